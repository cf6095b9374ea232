//! Counts bytes and lines while they are read, and ends the reading of a piece that is too long.

use std::io::{self, BufRead, Read};

use super::{super::documents::Place, TEXT_BYTES_MAX};

const CHUNK: usize = 64 * 1024;

/// The text on its way to the parser.
pub(super) struct Meter<R: Read> {
    input: R,
    buffer: Vec<u8>,
    /// What is buffered stands from here to `filled`.
    at: usize,
    filled: usize,
    offset: u64,
    line_no: u64,
    line_from: u64,
    /// No line ends before this byte: where the next line feed stands that is buffered, or the first byte that was not looked at.
    unbroken_to: u64,
    piece: usize,
    /// Set where a piece was longer than [`TEXT_BYTES_MAX`].
    pub(super) is_over: bool,
    /// Set once the input gave its end.
    pub(super) is_ended: bool,
}

impl<R: Read> Meter<R> {
    pub(super) fn new(text: R) -> Self {
        Self {
            input: text,
            buffer: vec![0; CHUNK],
            at: 0,
            filled: 0,
            offset: 0,
            line_no: 1,
            line_from: 0,
            unbroken_to: 0,
            piece: 0,
            is_over: false,
            is_ended: false,
        }
    }

    /// A new piece (tag, text, comment) starts here.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.piece = 0;
    }

    /// Where the next byte stands.
    #[inline]
    pub(super) fn place(&self) -> Place {
        Place { line_no: self.line_no, offset: self.offset }
    }

    #[cold]
    fn refill(&mut self) -> io::Result<()> {
        if self.piece > TEXT_BYTES_MAX {
            self.is_over = true;
            return Err(io::Error::other("a piece of the document is too long"));
        }
        (self.at, self.filled) = (0, 0);
        self.filled = self.input.read(&mut self.buffer)?;
        self.is_ended = self.filled == 0;
        Ok(())
    }

    /// Counts the lines that end before this place of the buffer, and looks where the next one does.
    fn count_lines(&mut self, end: usize) {
        let (used, rest) = (&self.buffer[self.at..end], &self.buffer[end..self.filled]);
        for at in memchr::memchr_iter(b'\n', used) {
            self.line_no += 1;
            self.line_from = self.offset + at as u64 + 1;
        }
        self.unbroken_to = self.offset + (used.len() + memchr::memchr(b'\n', rest).unwrap_or(rest.len())) as u64;
    }

    /// Byte of its line at which the next byte stands, from 1.
    #[inline]
    pub(super) fn column(&self) -> u32 {
        u32::try_from(self.offset - self.line_from + 1).unwrap_or(u32::MAX)
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(out.len());
        out[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Meter<R> {
    #[inline]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece > TEXT_BYTES_MAX || self.at == self.filled {
            self.refill()?;
        }
        Ok(&self.buffer[self.at..self.filled])
    }

    #[inline]
    fn consume(&mut self, count: usize) {
        let end = self.filled.min(self.at + count);
        let count = end - self.at;
        if self.offset + count as u64 > self.unbroken_to {
            self.count_lines(end);
        }
        self.at = end;
        self.offset += count as u64;
        self.piece += count;
    }
}

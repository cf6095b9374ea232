//! Counts bytes and lines while they are read, and ends the reading of a piece that is too long.

use std::io::{self, BufRead, BufReader, Read};

use super::{super::documents::Place, TEXT_BYTES_MAX};

const CHUNK: usize = 64 * 1024;

/// The text on its way to the parser.
pub(super) struct Meter<R: Read> {
    input: BufReader<R>,
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
        let input = BufReader::with_capacity(CHUNK, text);
        Self { input, offset: 0, line_no: 1, line_from: 0, unbroken_to: 0, piece: 0, is_over: false, is_ended: false }
    }

    /// A new piece (tag, text, comment) starts here.
    pub(super) fn begin(&mut self) {
        self.piece = 0;
    }

    /// Where the next byte stands.
    pub(super) fn place(&self) -> Place {
        Place { line_no: self.line_no, offset: self.offset }
    }

    /// Byte of its line at which the next byte stands, from 1.
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
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece > TEXT_BYTES_MAX {
            self.is_over = true;
            return Err(io::Error::other("a piece of the document is too long"));
        }
        let ready = self.input.fill_buf()?;
        self.is_ended = ready.is_empty();
        Ok(ready)
    }

    fn consume(&mut self, count: usize) {
        let buffered = self.input.buffer();
        let (used, rest) = buffered.split_at(count.min(buffered.len()));
        let end = self.offset + used.len() as u64;
        if end > self.unbroken_to {
            for at in memchr::memchr_iter(b'\n', used) {
                self.line_no += 1;
                self.line_from = self.offset + at as u64 + 1;
            }
            self.unbroken_to = end + memchr::memchr(b'\n', rest).unwrap_or(rest.len()) as u64;
        }
        self.offset = end;
        self.piece += used.len();
        self.input.consume(count);
    }
}

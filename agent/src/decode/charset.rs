//! Turns a file's character set into UTF-8 while it is read.

use std::io::{self, Read};

use encoding_rs::{CoderResult, Decoder, UTF_16BE, UTF_16LE, WINDOWS_1252};

const CHUNK: usize = 64 * 1024;

/// How a file spells its characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, with or without byte order mark. Wrong bytes pass through, so that only their line is held.
    Utf8,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
    /// Windows code page 1252.
    Windows1252,
    /// ISO 8859-1.
    Latin1,
}

impl Charset {
    /// The name by which people know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Windows1252 => "Windows-1252",
            Self::Latin1 => "ISO-8859-1",
        }
    }

    /// Finds the character set: byte order mark, else UTF-8 if all of the file is, else Windows-1252.
    ///
    /// # Errors
    /// Whatever reading gives.
    pub fn detect(input: &mut impl Read) -> io::Result<Self> {
        let mut bytes = vec![0; CHUNK];
        let mut kept = 0;
        let mut is_first = true;
        loop {
            let end = kept + input.read(&mut bytes[kept..])?;
            if is_first && end >= 2 {
                is_first = false;
                match (bytes[0], bytes[1]) {
                    (0xff, 0xfe) => return Ok(Self::Utf16Le),
                    (0xfe, 0xff) => return Ok(Self::Utf16Be),
                    _ => {}
                }
            }
            let at_end = end == kept;
            let valid = match std::str::from_utf8(&bytes[..end]) {
                Ok(_) => end,
                Err(e) if e.error_len().is_some() || at_end => return Ok(Self::Windows1252),
                Err(e) => e.valid_up_to(),
            };
            if at_end {
                return Ok(Self::Utf8);
            }
            bytes.copy_within(valid..end, 0);
            kept = end - valid;
        }
    }
}

/// Reads a file as UTF-8, without byte order mark.
pub(super) struct Utf8Reader<R> {
    input: R,
    charset: Charset,
    decoder: Option<Decoder>,
    is_latin1: bool,
    raw: Vec<u8>,
    raw_at: usize,
    is_started: bool,
    is_ended: bool,
}

impl<R: Read> Utf8Reader<R> {
    pub(super) fn new(input: R, charset: Charset) -> Self {
        let decoder = match charset {
            Charset::Utf8 | Charset::Latin1 => None,
            Charset::Utf16Le => Some(UTF_16LE.new_decoder_with_bom_removal()),
            Charset::Utf16Be => Some(UTF_16BE.new_decoder_with_bom_removal()),
            Charset::Windows1252 => Some(WINDOWS_1252.new_decoder_without_bom_handling()),
        };
        let is_latin1 = charset == Charset::Latin1;
        Self { input, charset, decoder, is_latin1, raw: Vec::new(), raw_at: 0, is_started: false, is_ended: false }
    }

    /// How the file spells its characters.
    pub(super) fn charset(&self) -> Charset {
        self.charset
    }

    fn refill(&mut self, most: usize) -> io::Result<()> {
        self.raw.resize(most, 0);
        let read = loop {
            match self.input.read(&mut self.raw) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.raw.truncate(read);
        self.raw_at = 0;
        self.is_ended = read == 0;
        Ok(())
    }

    /// UTF-8 passes through; only the byte order mark in front is taken away.
    fn read_plain(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.is_started {
            return self.input.read(out);
        }
        let mut head = Vec::with_capacity(3);
        (&mut self.input).take(3).read_to_end(&mut head)?;
        self.is_started = true;
        if head == [0xef, 0xbb, 0xbf] {
            return self.input.read(out);
        }
        out[..head.len()].copy_from_slice(&head);
        Ok(head.len())
    }

    fn read_latin1(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // One byte becomes at most two.
        self.refill((out.len() / 2).min(CHUNK))?;
        Ok(encoding_rs::mem::convert_latin1_to_utf8(&self.raw, out))
    }

    fn read_decoded(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.raw_at == self.raw.len() && !self.is_ended {
                self.refill(CHUNK)?;
            }
            let Some(decoder) = self.decoder.as_mut() else { return Ok(0) };
            let last = self.is_ended;
            let (result, read, written, _) = decoder.decode_to_utf8(&self.raw[self.raw_at..], out, last);
            self.raw_at += read;
            if last && result == CoderResult::InputEmpty {
                self.decoder = None;
            }
            if written > 0 || self.decoder.is_none() {
                return Ok(written);
            }
        }
    }
}

impl<R: Read> Read for Utf8Reader<R> {
    /// `out` must hold at least 16 bytes: room for any one character and the rest of a broken one.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        debug_assert!(out.len() >= 16, "the caller reads in large pieces");
        if self.is_latin1 {
            self.read_latin1(out)
        } else if self.decoder.is_some() {
            self.read_decoded(out)
        } else if self.is_ended {
            Ok(0)
        } else {
            self.read_plain(out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], charset: Charset) -> String {
        let mut reader = Utf8Reader::new(bytes, charset);
        let (mut all, mut buffer) = (Vec::new(), [0; 16]);
        loop {
            match reader.read(&mut buffer).unwrap() {
                0 => return String::from_utf8(all).unwrap(),
                n => all.extend_from_slice(&buffer[..n]),
            }
        }
    }

    #[test]
    fn every_character_set_gives_the_same_text() {
        let text = "Größe €5, naïve";
        let le: Vec<u8> = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        let (cp1252, ..) = WINDOWS_1252.encode(text);

        assert_eq!(read(text.as_bytes(), Charset::Utf8), text);
        assert_eq!(read(format!("\u{feff}{text}").as_bytes(), Charset::Utf8), text);
        assert_eq!(read(&le, Charset::Utf16Le), text);
        assert_eq!(read(&be, Charset::Utf16Be), text);
        assert_eq!(read(&cp1252, Charset::Windows1252), text);
        assert_eq!(read(b"Gr\xf6\xdfe", Charset::Latin1), "Größe");
    }

    #[test]
    fn the_character_set_is_found() {
        assert_eq!(Charset::detect(&mut "Größe".as_bytes()).unwrap(), Charset::Utf8);
        assert_eq!(Charset::detect(&mut &b"Gr\xf6\xdfe"[..]).unwrap(), Charset::Windows1252);
        assert_eq!(Charset::detect(&mut &b"\xff\xfea\0"[..]).unwrap(), Charset::Utf16Le);
        assert_eq!(Charset::detect(&mut &b"cut \xc3"[..]).unwrap(), Charset::Windows1252);
        assert_eq!(Charset::detect(&mut &b""[..]).unwrap(), Charset::Utf8);
    }

    #[test]
    fn a_character_across_two_pieces_is_still_utf_8() {
        let long = format!("{}é", "x".repeat(CHUNK - 1));

        assert_eq!(Charset::detect(&mut long.as_bytes()).unwrap(), Charset::Utf8);
    }
}

//! Turns a file's character set into UTF-8 while it is read.

use std::io::{self, Read, Seek, SeekFrom};

use encoding_rs::{CoderResult, Decoder, UTF_16BE, UTF_16LE, WINDOWS_1252};

const CHUNK: usize = 64 * 1024;
/// Bytes in which a mark of UTF-16 stands.
pub(super) const MARK_BYTES: usize = 2;

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

    /// The character set that a mark in front of the file names.
    pub(super) fn of_mark(head: &[u8]) -> Option<Self> {
        match head {
            [0xff, 0xfe, ..] => Some(Self::Utf16Le),
            [0xfe, 0xff, ..] => Some(Self::Utf16Be),
            _ => None,
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
                if let Some(marked) = Self::of_mark(&bytes[..end]) {
                    return Ok(marked);
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

/// A file that is read as UTF-8 before anybody knows whether it is: its bytes are checked on their way, so that it need not be
/// read once more for that. Bytes that are none end the reading with an error.
pub(super) struct Checked<'i, R> {
    input: &'i mut R,
    is_on: bool,
    /// Bytes at the end of what was read that begin a character.
    open: Vec<u8>,
    is_wrong: bool,
    is_ended: bool,
}

/// Most bytes of a character.
const CHARACTER_BYTES: usize = 4;

impl<'i, R: Read + Seek> Checked<'i, R> {
    /// With `is_on` false nothing is checked.
    pub(super) const fn new(input: &'i mut R, is_on: bool) -> Self {
        Self { input, is_on, open: Vec::new(), is_wrong: false, is_ended: false }
    }

    /// Whether all of the file is UTF-8, now that it was read; from now on nothing is checked. `has_failed` says that the reading
    /// ended with an error.
    ///
    /// # Errors
    /// Whatever reading gives.
    pub(super) fn is_utf8(&mut self, has_failed: bool) -> io::Result<bool> {
        self.is_on = false;
        if self.is_wrong || self.is_ended || has_failed {
            // An error of another kind is told as it is, whatever the character set.
            return Ok(!self.is_wrong);
        }
        // What was enough for the reader does not tell about the rest.
        self.input.rewind()?;
        Ok(Charset::detect(self.input)? == Charset::Utf8)
    }

    fn check(&mut self, bytes: &[u8]) {
        self.is_ended = bytes.is_empty();
        if self.is_ended {
            self.is_wrong |= !self.open.is_empty();
            return;
        }
        // The rest of the open character is looked at together with its beginning.
        let mut rest = bytes;
        while !self.open.is_empty()
            && let Some((first, tail)) = rest.split_first()
        {
            self.open.push(*first);
            rest = tail;
            match std::str::from_utf8(&self.open) {
                Ok(_) => self.open.clear(),
                Err(error) if error.error_len().is_some() || self.open.len() >= CHARACTER_BYTES => {
                    self.is_wrong = true;
                    return;
                }
                Err(_) => {}
            }
        }
        if let Err(error) = std::str::from_utf8(rest) {
            self.is_wrong |= error.error_len().is_some();
            self.open.extend_from_slice(&rest[error.valid_up_to()..]);
        }
    }
}

impl<R: Read + Seek> Read for Checked<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        if self.is_on && !out.is_empty() {
            self.check(&out[..read]);
            if self.is_wrong {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is no UTF-8"));
            }
        }
        Ok(read)
    }
}

impl<R: Seek> Seek for Checked<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.open.clear();
        self.is_ended = false;
        self.input.seek(to)
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

    proptest::proptest! {
        #[test]
        fn bytes_checked_on_their_way_are_found_to_be_what_a_look_at_all_of_them_finds(
            bytes in proptest::collection::vec(proptest::prop_oneof![
                4 => proptest::prelude::Just(&b"a"[..]), 2 => proptest::prelude::Just("\u{e9}\u{20ac}\u{1f4e6}".as_bytes()),
                1 => proptest::prelude::Just(&b"\xc3"[..]), 1 => proptest::prelude::Just(&b"\xa9"[..]),
                1 => proptest::prelude::Just(&b"\xf0\x9f"[..]),
            ], 0..12),
            piece in 1_usize..9,
        ) {
            let bytes = bytes.concat();
            let mut input = std::io::Cursor::new(&bytes);
            let mut checked = Checked::new(&mut input, true);
            let mut buffer = vec![0; piece];
            let has_failed = loop {
                match checked.read(&mut buffer) {
                    Ok(0) => break false,
                    Ok(_) => {}
                    Err(_) => break true,
                }
            };

            proptest::prop_assert_eq!(checked.is_utf8(has_failed).unwrap(), std::str::from_utf8(&bytes).is_ok());
        }
    }

    #[test]
    fn a_character_across_two_pieces_is_still_utf_8() {
        let long = format!("{}é", "x".repeat(CHUNK - 1));

        assert_eq!(Charset::detect(&mut long.as_bytes()).unwrap(), Charset::Utf8);
    }
}

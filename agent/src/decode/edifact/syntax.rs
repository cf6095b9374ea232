//! Splits the text of a file into segments, one at a time (ISO 9735: service string advice, separators, release character).

use std::io::{self, Read};

use encoding_rs::{Encoding, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6, ISO_8859_7, ISO_8859_8};
use encoding_rs::{WINDOWS_1252, WINDOWS_1254};

use super::{SEGMENT_BYTES_MAX, segment::Segment};
use crate::decode::{
    assign::Fault,
    charset::{Charset, Utf8Reader},
    hold,
};

const CHUNK: usize = 64 * 1024;

/// Characters with a meaning of their own, by UNA or by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Services {
    pub(super) component: u8,
    pub(super) element: u8,
    /// Decimal mark that the file declares, blank where it declares none; both marks are read whatever it says.
    pub(super) decimal: u8,
    /// Blank where none is used.
    pub(super) release: u8,
    /// Blank where none is used.
    pub(super) repetition: u8,
    pub(super) terminator: u8,
}

/// The set that holds without UNA (ISO 9735, level A).
pub(super) const DEFAULT: Services =
    Services { component: b':', element: b'+', decimal: b' ', release: b'?', repetition: b' ', terminator: b'\'' };
/// The control characters of level B: IS1, IS3, IS4.
const CONTROLS: Services =
    Services { component: 0x1f, element: 0x1d, decimal: b' ', release: b' ', repetition: b' ', terminator: 0x1c };

impl Services {
    /// The six characters behind `UNA`.
    fn read(text: [u8; 6]) -> Option<Self> {
        let [component, element, decimal, release, repetition, terminator] = text;
        let separators = [component, element, terminator];
        let are_special = separators.iter().all(|b| b.is_ascii() && !b.is_ascii_alphanumeric() && *b != b' ');
        let are_distinct = component != element && element != terminator && component != terminator;
        let is_releasable = release == b' ' || (release.is_ascii_punctuation() && !separators.contains(&release));
        let repetition = if separators.contains(&repetition) || repetition == release { b' ' } else { repetition };
        (are_special && are_distinct && is_releasable && repetition.is_ascii()).then_some(Self {
            component,
            element,
            decimal,
            release,
            repetition,
            terminator,
        })
    }
}

/// Why reading stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// The bytes could not be read.
    Read(io::Error),
    /// Nothing behind this place can be trusted.
    Broken(Box<Broken>),
}

/// Where and why.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) line_no: u64,
    pub(super) fault: Fault,
    pub(super) text: String,
}

/// Reads segments one by one.
pub(super) struct Reader<R> {
    input: Utf8Reader<R>,
    charset: Charset,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    is_ended: bool,
    offset: u64,
    ordinal: u64,
    is_within: bool,
    /// Separators of the interchange that is being read.
    pub(super) services: Services,
    /// Code page that UNB names, where the file was read as Windows-1252 for want of a better guess.
    code_page: Option<&'static Encoding>,
    raw: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: Utf8Reader<R>, offset: u64) -> Self {
        Self {
            charset: input.charset(),
            input,
            buffer: vec![0; CHUNK],
            at: 0,
            filled: 0,
            is_ended: false,
            offset,
            ordinal: 0,
            is_within: false,
            services: DEFAULT,
            code_page: None,
            raw: Vec::new(),
        }
    }

    /// The next segment; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Segment>, Stop> {
        self.skip_blanks()?;
        if self.peek()?.is_none() {
            return Ok(None);
        }
        self.ordinal += 1;
        if !self.is_within {
            self.head()?;
        }
        let offset = self.offset;
        self.raw.clear();
        let (mut is_released, mut has_end) = (false, false);
        while let Some(byte) = self.byte()? {
            if byte == self.services.terminator && !is_released {
                has_end = true;
                break;
            }
            // Line ends belong to no level of the character sets: lines of a fixed length are wrapped anywhere.
            if matches!(byte, b'\r' | b'\n') {
                continue;
            }
            is_released = !is_released && byte == self.services.release && self.services.release != b' ';
            self.raw.push(byte);
            if self.raw.len() > SEGMENT_BYTES_MAX {
                let expected = format!("segments of at most {SEGMENT_BYTES_MAX} bytes; is a terminator missing?");
                return Err(self.broken("RECORD_TOO_LONG", "a longer segment", expected));
            }
        }
        let is_transcoded = self.charset != Charset::Utf8;
        if !has_end && !self.raw.starts_with(b"UNZ") {
            return Err(self.torn("the file ends within a segment"));
        }
        let mut segment = Segment::split(&self.raw, &self.services, self.ordinal, offset, is_transcoded);
        if let Some(page) = self.code_page {
            segment.recode(page);
        }
        segment.has_end = has_end;
        self.note(&segment);
        Ok(Some(segment))
    }

    /// Follows the beginning and the end of interchanges.
    fn note(&mut self, segment: &Segment) {
        match segment.tag() {
            "UNB" => {
                self.is_within = true;
                self.code_page = code_page(segment.at(1, 1)).filter(|_| self.charset == Charset::Windows1252);
            }
            "UNZ" => {
                self.is_within = false;
                self.services = DEFAULT;
                self.code_page = None;
            }
            _ => {}
        }
    }

    /// An interchange begins with UNA or UNB, and what follows must agree with it.
    fn head(&mut self) -> Result<(), Stop> {
        self.services = DEFAULT;
        let mut has_advice = false;
        loop {
            let start = self.ahead(9)?;
            match start.get(..3) {
                Some(b"UNA") if !has_advice => {
                    has_advice = true;
                    self.advice()?;
                    self.skip_blanks()?;
                    self.ordinal += 1;
                }
                Some(b"UNB") => return self.check_head(has_advice),
                None => return Err(self.torn("the file ends within UNA or UNB")),
                Some(_) => {
                    let found = String::from_utf8_lossy(&start).into_owned();
                    let expected = "`UNA` or `UNB+` at the beginning of an interchange";
                    return Err(self.broken("ENVELOPE_MISMATCH", &found, expected.to_owned()));
                }
            }
        }
    }

    fn advice(&mut self) -> Result<(), Stop> {
        let mut all = [0; 9];
        for slot in &mut all {
            match self.byte()? {
                Some(byte) => *slot = byte,
                None => return Err(self.torn("the file ends within UNA")),
            }
        }
        let [_, _, _, advice @ ..] = all;
        match Services::read(advice) {
            Some(services) => self.services = services,
            None => {
                let found = String::from_utf8_lossy(&all).into_owned();
                let expected = "six different service characters, as `UNA:+.? '`".to_owned();
                return Err(self.broken("ENVELOPE_MISMATCH", &found, expected));
            }
        }
        Ok(())
    }

    /// The character behind `UNB` is the element separator; without UNA it may be that of level B.
    fn check_head(&mut self, has_advice: bool) -> Result<(), Stop> {
        let start = self.ahead(9)?;
        match start.get(3) {
            None => Err(self.torn("the file ends within UNB")),
            Some(byte) if *byte == self.services.element => Ok(()),
            Some(byte) if !has_advice && *byte == CONTROLS.element => {
                self.services = CONTROLS;
                Ok(())
            }
            Some(_) => {
                let found = String::from_utf8_lossy(&start).into_owned();
                let expected =
                    format!("`UNB{}`; other separators are declared by UNA", char::from(self.services.element));
                Err(self.broken("ENVELOPE_MISMATCH", &found, expected))
            }
        }
    }

    /// White space between segments, and the Ctrl-Z with which DOS programs end a text.
    fn skip_blanks(&mut self) -> Result<(), Stop> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n' | 0x1a) = self.peek()? {
            self.byte()?;
        }
        Ok(())
    }

    pub(super) fn torn(&self, found: &str) -> Stop {
        self.broken("TRUNCATED_FILE", found, "a complete interchange, up to its UNZ".to_owned())
    }

    fn broken(&self, code: &'static str, found: &str, expected: String) -> Stop {
        let text = String::from_utf8_lossy(self.raw.get(..200).unwrap_or(&self.raw)).into_owned();
        let fault = hold::whole(code, "", found, expected);
        Stop::Broken(Box::new(Broken { line_no: self.ordinal, fault, text }))
    }

    fn peek(&mut self) -> Result<Option<u8>, Stop> {
        if self.at == self.filled {
            self.refill()?;
        }
        Ok(if self.at < self.filled { self.buffer.get(self.at).copied() } else { None })
    }

    fn byte(&mut self) -> Result<Option<u8>, Stop> {
        let byte = self.peek()?;
        if byte.is_some() {
            self.at += 1;
            self.offset += 1;
        }
        Ok(byte)
    }

    /// The next bytes without taking them; fewer at the end of the file.
    fn ahead(&mut self, count: usize) -> Result<Vec<u8>, Stop> {
        while self.filled - self.at < count && !self.is_ended {
            self.refill()?;
        }
        let end = self.filled.min(self.at + count);
        Ok(self.buffer.get(self.at..end).unwrap_or_default().to_vec())
    }

    fn refill(&mut self) -> Result<(), Stop> {
        if self.is_ended {
            return Ok(());
        }
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        let read = loop {
            match self.input.read(&mut self.buffer[self.filled..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Stop::Read(e)),
                Ok(read) => break read,
            }
        };
        self.filled += read;
        self.is_ended = read == 0;
        Ok(())
    }
}

/// Code pages of the syntax identifiers beyond ISO 8859-1 (UNTDID, data element 0001).
fn code_page(syntax: &str) -> Option<&'static Encoding> {
    Some(match syntax.to_ascii_uppercase().as_str() {
        "UNOD" => ISO_8859_2,
        "UNOE" => ISO_8859_5,
        "UNOF" => ISO_8859_7,
        "UNOG" => ISO_8859_3,
        "UNOH" => ISO_8859_4,
        "UNOI" => ISO_8859_6,
        "UNOJ" => ISO_8859_8,
        "UNOK" => WINDOWS_1254,
        _ => return None,
    })
}

/// Text that was read as Windows-1252 as the bytes of another code page.
pub(super) fn recoded(text: &str, page: &'static Encoding) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let (bytes, _, has_errors) = WINDOWS_1252.encode(text);
    if has_errors {
        return None;
    }
    let (text, has_errors) = page.decode_without_bom_handling(&bytes);
    (!has_errors).then(|| text.into_owned())
}

//! Finds segments in a stream of text, with the delimiters that each interchange declares.

use std::io::{self, Read};

use super::{
    super::{assign::Fault, charset::Utf8Reader, hold::TEXT_CHARS_MAX, rows::valid, slide::slide, trade::fault},
    SEGMENT_BYTES_MAX,
    codes::is_segment,
    cut::Marks,
    outline::Watch,
    segment::{Delimiters, Segment, find, is_ink, is_inner},
};

const CHUNK: usize = 64 * 1024;
/// Characters within which an unpadded header must show its sixteen separators.
const ISA_CHARS_MAX: usize = 512;
/// Places of the separators in a padded header, from 0 (ASC X12.5, ISA: fixed lengths).
const ISA_SEPARATORS: [usize; 16] = [3, 6, 17, 20, 31, 34, 50, 53, 69, 76, 81, 83, 89, 99, 101, 103];
/// Characters of a padded header, with its terminator.
const ISA_CHARS: usize = 106;
/// Bytes that are shown of what is no interchange.
const SHOWN_BYTES: usize = 200;

/// What stands where an interchange may begin.
#[derive(Debug)]
pub(super) enum Outside {
    Interchange,
    /// `ST` without an envelope.
    Set,
    End,
    /// Anything else; the beginning of it.
    Other(String),
}

/// What stands where a segment is expected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Segment,
    /// The last segment of the file, without its terminator.
    Unended,
    End,
}

/// How a header was read.
#[derive(Debug)]
pub(super) enum Header {
    Good,
    /// Not padded to 106 characters.
    Unpadded,
    Torn,
    Bad(Fault),
}

/// Reads segments one after the other.
pub(super) struct Segments<R> {
    input: Utf8Reader<R>,
    buffer: Vec<u8>,
    /// What the buffer begins with, as far as it is text.
    text: String,
    start: usize,
    filled: usize,
    is_ended: bool,
    offset: u64,
    line_no: u64,
    delimiters: Delimiters,
    /// The same, where each of the two that part segments is one byte.
    marks: Option<Marks>,
    /// Only envelope segments are split; of the others the identifier is given.
    is_outline: bool,
    /// Sees each segment that is given.
    pub(super) watch: Option<Watch>,
}

impl<R: Read> Segments<R> {
    pub(super) fn new(input: Utf8Reader<R>, offset: u64) -> Self {
        let delimiters = Delimiters { element: '*', component: None, repetition: None, terminator: '~' };
        Self {
            input,
            buffer: Vec::new(),
            text: String::new(),
            start: 0,
            filled: 0,
            is_ended: false,
            offset,
            line_no: 0,
            delimiters,
            marks: marks(delimiters),
            is_outline: false,
            watch: None,
        }
    }

    /// For those who follow the envelope and count what stands within.
    pub(super) fn outlined(input: Utf8Reader<R>) -> Self {
        Self { is_outline: true, ..Self::new(input, 0) }
    }

    pub(super) const fn delimiters(&self) -> Delimiters {
        self.delimiters
    }

    /// Number of the last segment.
    pub(super) const fn line_no(&self) -> u64 {
        self.line_no
    }

    /// Looks at what comes next where an interchange may begin; takes nothing but blanks.
    pub(super) fn outside(&mut self) -> io::Result<Outside> {
        self.skip(true)?;
        self.fill(SHOWN_BYTES)?;
        let bytes = self.rest();
        if bytes.is_empty() {
            return Ok(Outside::End);
        }
        let opens = |id: &[u8]| bytes.starts_with(id) && bytes.get(id.len()).is_some_and(|b| is_mark(*b));
        if opens(b"ISA") || b"ISA".starts_with(bytes) {
            return Ok(Outside::Interchange);
        }
        if opens(b"ST") {
            return Ok(Outside::Set);
        }
        let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
        Ok(Outside::Other(String::from_utf8_lossy(shown).lines().next().unwrap_or("").to_owned()))
    }

    /// Passes over what is no interchange: up to a line that opens one, or to the end.
    pub(super) fn skip_other(&mut self) -> io::Result<()> {
        self.line_no += 1;
        loop {
            let at = self.rest().iter().position(|b| *b == b'\n' || *b == b'\r');
            if let Some(at) = at {
                self.take(at + 1);
                if matches!(self.outside()?, Outside::Interchange | Outside::End) {
                    return Ok(());
                }
                continue;
            }
            self.take(self.filled - self.start);
            if !self.refill()? {
                return Ok(());
            }
        }
    }

    /// Reads the header of an interchange; its delimiters hold until the next one.
    pub(super) fn header(&mut self, segment: &mut Segment) -> io::Result<Header> {
        self.fill(ISA_CHARS_MAX * 4)?;
        let text = valid(&self.buffer[self.start..self.filled]).to_owned();
        let chars: Vec<(usize, char)> = text.char_indices().take(ISA_CHARS_MAX).collect();
        let mark = |at: usize| chars.get(at).map(|(_, c)| *c);
        let Some(element) = mark(3) else { return Ok(Header::Torn) };
        let is_padded = chars.len() >= ISA_CHARS
            && ISA_SEPARATORS.iter().all(|at| mark(*at) == Some(element))
            && chars[..ISA_CHARS - 1].iter().filter(|(_, c)| *c == element).count() == ISA_SEPARATORS.len();
        let last = if is_padded {
            Some(ISA_CHARS - 3)
        } else {
            chars.iter().enumerate().filter(|(_, (_, c))| *c == element).nth(15).map(|(at, _)| at)
        };
        let Some(last) = last else {
            return Ok(if text.len() < ISA_CHARS_MAX && self.is_ended && !text.contains(['\n', '\r']) {
                Header::Torn
            } else {
                Header::Bad(bad_header(&text, "16 elements, each behind the separator that follows ISA"))
            });
        };
        // A header that ends right behind its last separator names no component separator.
        let is_bare = matches!(mark(last + 1), Some('\r' | '\n'));
        let at = if is_bare { last + 1 } else { last + 2 };
        let (Some(terminator), Some((end, _))) = (mark(at), chars.get(at)) else { return Ok(Header::Torn) };
        let component = if is_bare { None } else { mark(last + 1) };
        if !is_terminator(terminator, element) || component == Some(element) {
            return Ok(Header::Bad(bad_header(&text, "a segment terminator that is neither letter, digit nor blank")));
        }
        self.set(segment, &text[..*end], element);
        self.delimiters = Delimiters { element, component, repetition: repetition(segment), terminator };
        self.marks = marks(self.delimiters);
        self.take(end + terminator.len_utf8());
        Ok(if is_padded { Header::Good } else { Header::Unpadded })
    }

    /// Takes the delimiters of a set without envelope from its first segment: the element separator follows `ST`, the
    /// terminator is the first other character that is neither letter nor digit.
    pub(super) fn bare(&mut self) -> io::Result<bool> {
        self.fill(SHOWN_BYTES)?;
        let text = valid(&self.buffer[self.start..self.filled]);
        let Some(element) = text.chars().nth(2) else { return Ok(false) };
        let is_part = |c: char| c.is_alphanumeric() || c == element || c == ' ' || c == '.' || c == '-';
        let Some(terminator) = text.chars().find(|c| !is_part(*c)) else { return Ok(false) };
        self.delimiters = Delimiters { element, component: None, repetition: None, terminator };
        self.marks = marks(self.delimiters);
        Ok(true)
    }

    /// Reads the next segment.
    pub(super) fn next(&mut self, segment: &mut Segment) -> io::Result<Found> {
        let found = if self.is_plain(segment) { Found::Segment } else { self.any(segment)? };
        if let Some(watch) = &mut self.watch {
            watch.next(&found, segment);
        }
        Ok(found)
    }

    /// Reads the next segment, if it is one as nearly all are: buffered, text of visible characters, and not too long. False
    /// where it is another one; then nothing has been taken.
    #[inline]
    fn is_plain(&mut self, segment: &mut Segment) -> bool {
        let Some(marks) = self.marks.filter(|_| !self.is_outline) else { return false };
        let Some(rest) = self.text.as_bytes().get(self.start..) else { return false };
        let breaks = usize::from(rest.first() == Some(&b'\n'));
        let from = self.start + breaks;
        let Some(end) = segment.cut(&rest[breaks..], marks) else { return false };
        if end > SEGMENT_BYTES_MAX || !self.text.get(from..from + end).is_some_and(|text| segment.fill(text)) {
            return false;
        }
        self.take(breaks);
        self.number(segment);
        self.take(end + 1);
        true
    }

    /// Reads the next segment, whatever it looks like.
    fn any(&mut self, segment: &mut Segment) -> io::Result<Found> {
        self.skip(false)?;
        let mut mark = [0; 4];
        let terminator = self.delimiters.terminator.encode_utf8(&mut mark).as_bytes();
        let mut scanned = 0;
        loop {
            let bytes = &self.buffer[self.start..self.filled];
            let end = find(bytes, terminator, scanned);
            if end.is_none() && !self.is_ended && bytes.len() <= SEGMENT_BYTES_MAX {
                scanned = bytes.len().saturating_sub(terminator.len() - 1);
                self.refill()?;
                continue;
            }
            let body = end.unwrap_or(bytes.len());
            let is_ink = is_ink(&bytes[..body]);
            if !is_ink && let Some(at) = self.line_split(&bytes[..body]) {
                self.put(segment, at, is_ink);
                segment.lacks_terminator = true;
                self.take(at);
                return Ok(Found::Segment);
            }
            if let Some(end) = end {
                let length = terminator.len();
                self.put(segment, end, is_ink);
                self.take(end + length);
                return Ok(Found::Segment);
            }
            if bytes.is_empty() {
                return Ok(Found::End);
            }
            if self.is_ended {
                self.put(segment, body, is_ink);
                self.take(body);
                return Ok(Found::Unended);
            }
            self.put(segment, body, is_ink);
            return self.skip_to(terminator.len());
        }
    }

    /// Where a line break stands in place of the terminator: what follows begins as a segment does.
    fn line_split(&self, body: &[u8]) -> Option<usize> {
        let Delimiters { element, component, terminator, .. } = self.delimiters;
        if terminator == '\n' || terminator == '\r' {
            return None;
        }
        let mut from = 0;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', &body[from..]).map(|at| from + at) {
            let before = String::from_utf8_lossy(&body[at.saturating_sub(4)..at]);
            let after = body[at..].trim_ascii_start();
            let id_len = after.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
            let id = std::str::from_utf8(&after[..id_len]).unwrap_or("");
            let mut mark = [0; 4];
            let follows = after[id_len..].starts_with(element.encode_utf8(&mut mark).as_bytes());
            let is_open = before.ends_with(element) || component.is_some_and(|mark| before.ends_with(mark));
            if follows && !is_open && is_segment(id) {
                return Some(at);
            }
            from = (body.len() - after.len()).max(at + 1);
        }
        None
    }

    /// Fills the segment from what is buffered; of one that is too long only the beginning.
    fn put(&mut self, segment: &mut Segment, end: usize, is_ink: bool) {
        let is_too_long = end > SEGMENT_BYTES_MAX;
        let end = if is_too_long { TEXT_CHARS_MAX } else { end };
        self.number(segment);
        let bytes = &self.buffer[self.start..self.start + end];
        let id = inner_id(bytes, self.delimiters.element);
        segment.is_inner = id.is_some();
        match id.filter(|_| self.is_outline) {
            Some(id) => segment.name(id),
            None => match std::str::from_utf8(bytes) {
                Ok(text) => segment.split(text, self.delimiters.element, is_ink),
                Err(_) => segment.split(&String::from_utf8_lossy(bytes), self.delimiters.element, is_ink),
            },
        }
        segment.is_too_long |= is_too_long;
    }

    fn set(&mut self, segment: &mut Segment, text: &str, element: char) {
        self.number(segment);
        segment.split(text, element, false);
    }

    #[inline]
    fn number(&mut self, segment: &mut Segment) {
        self.line_no += 1;
        (segment.line_no, segment.offset) = (self.line_no, self.offset);
        (segment.is_too_long, segment.lacks_terminator) = (false, false);
    }

    /// Passes over the rest of a segment that is too long.
    fn skip_to(&mut self, length: usize) -> io::Result<Found> {
        let mut mark = [0; 4];
        let terminator = self.delimiters.terminator.encode_utf8(&mut mark).as_bytes().to_vec();
        loop {
            let bytes = self.rest();
            if let Some(end) = find(bytes, &terminator, 0) {
                self.take(end + length);
                return Ok(Found::Segment);
            }
            self.take(bytes.len().saturating_sub(length - 1));
            if !self.refill()? {
                self.take(self.filled - self.start);
                return Ok(Found::Unended);
            }
        }
    }

    /// Passes over blanks; outside of interchanges also over what mainframes and DOS fill files with.
    fn skip(&mut self, is_outside: bool) -> io::Result<()> {
        // Between most segments stands a line feed or nothing.
        match self.rest() {
            [first, ..] if first.is_ascii_graphic() => return Ok(()),
            [b'\n', second, ..] if second.is_ascii_graphic() => {
                self.take(1);
                return Ok(());
            }
            _ => {}
        }
        loop {
            let bytes = &self.buffer[self.start..self.filled];
            let is_blank = |b: &u8| b.is_ascii_whitespace() || (is_outside && matches!(b, 0 | 0x1a));
            let blanks = bytes.iter().take_while(|b| is_blank(b)).count();
            let tail = &bytes[blanks..];
            let mark = "\u{feff}".as_bytes();
            // A mark that is cut here may go on in what is read next.
            let is_all = tail.is_empty() || (is_outside && tail.len() < mark.len() && mark.starts_with(tail));
            let is_marked = is_outside && tail.starts_with(mark);
            self.take(blanks + if is_marked { 3 } else { 0 });
            if is_marked {
                continue;
            }
            if !is_all || !self.refill()? {
                return Ok(());
            }
        }
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.start..self.filled]
    }

    #[inline]
    fn take(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }

    /// Reads until so many bytes are there, or the end.
    fn fill(&mut self, count: usize) -> io::Result<()> {
        while self.filled - self.start < count && self.refill()? {}
        Ok(())
    }

    /// False at the end of the file.
    fn refill(&mut self) -> io::Result<bool> {
        let read = slide(&mut self.input, &mut self.buffer, &mut self.start, &mut self.filled, CHUNK)?;
        self.is_ended = read == 0;
        self.text.clear();
        self.text.push_str(valid(&self.buffer[..self.filled]));
        Ok(read > 0)
    }
}

/// The marks that part segments, where each is one visible byte.
fn marks(delimiters: Delimiters) -> Option<Marks> {
    let byte = |mark: char| u8::try_from(mark).ok().filter(u8::is_ascii_graphic);
    Some(Marks { element: byte(delimiters.element)?, terminator: byte(delimiters.terminator)? })
}

/// ISA11 is a repetition separator from release 00402 on; before that it named a standard (`U`).
fn repetition(isa: &Segment) -> Option<char> {
    let mark = isa.get(11).chars().next()?;
    (isa.get(12) >= "00402" && !mark.is_alphanumeric()).then_some(mark)
}

fn bad_header(text: &str, expected: &str) -> Fault {
    fault("ENVELOPE_MISMATCH", "ISA", 0, text.lines().next().unwrap_or(""), expected)
}

/// Whether the byte can be an element separator.
fn is_mark(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() && !matches!(byte, b' ' | b'\r' | b'\n')
}

fn is_terminator(mark: char, element: char) -> bool {
    mark != element && mark != ' ' && !mark.is_alphanumeric()
}

/// The identifier of a segment that is none of the envelope; `None` where all of the segment is to be looked at.
fn inner_id(bytes: &[u8], element: char) -> Option<&str> {
    let length = bytes.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    let id = std::str::from_utf8(&bytes[..length]).ok()?;
    let mut mark = [0; 4];
    let is_whole = bytes[length..].starts_with(element.encode_utf8(&mut mark).as_bytes());
    (is_whole && is_inner(id.as_bytes())).then_some(id)
}

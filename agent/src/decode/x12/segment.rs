//! One segment: its identifier and its elements.

use std::borrow::Cow;

use super::{
    super::places::places,
    cut::{Marks, cut},
};

/// Characters between the parts of an interchange; they come from its own header, never from habit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delimiters {
    pub(super) element: char,
    /// `None` where the header names none.
    pub(super) component: Option<char>,
    /// From release 00402 on, ISA11 names the repetition separator.
    pub(super) repetition: Option<char>,
    pub(super) terminator: char,
}

/// A segment of the file. Elements are numbered from 1 as in the standard; 0 is the identifier.
#[derive(Debug, Clone, Default)]
pub(super) struct Segment {
    /// Its place among the segments of the file, from 1.
    pub(super) line_no: u64,
    pub(super) offset: u64,
    /// Longer than [`super::SEGMENT_BYTES_MAX`]; only its beginning is kept.
    pub(super) is_too_long: bool,
    /// Ended by a line break although the terminator is another character.
    pub(super) lacks_terminator: bool,
    /// None of the envelope, as its identifier is written.
    pub(super) is_inner: bool,
    /// Only visible characters of ASCII.
    pub(super) is_ink: bool,
    /// The identifier as a number ([`code`]).
    code: u64,
    text: String,
    bounds: Vec<(usize, usize)>,
}

impl Segment {
    /// Finds the end of the segment that the bytes begin with, and its elements; [`Self::fill`] gives it their text.
    #[inline]
    pub(super) fn cut(&mut self, bytes: &[u8], marks: Marks) -> Option<usize> {
        cut(bytes, marks, &mut self.bounds)
    }

    /// Takes the text that was [`Self::cut`]; false where it has too many elements.
    #[inline]
    pub(super) fn fill(&mut self, text: &str) -> bool {
        self.text.clear();
        self.text.push_str(text);
        self.is_ink = true;
        let id_len = self.bounds.first().map_or(0, |(_, to)| *to);
        let id = text.as_bytes().get(..id_len).unwrap_or_default();
        let (code, is_usual) = usual_code(id);
        self.code = code;
        if is_usual {
            self.is_inner = self.bounds.len() > 1 && !is_envelope(id);
        } else {
            self.is_inner = self.bounds.len() > 1 && is_inner(id);
            self.capitalise();
        }
        self.bounds.len() <= super::ELEMENTS_MAX + 1
    }

    /// Splits the text at the element separator. Blanks around an element carry no meaning (ASC X12.6, 3.5.1.5); where the text
    /// [`is_ink`] there are none.
    pub(super) fn split(&mut self, text: &str, element: char, is_ink: bool) {
        self.is_ink = is_ink;
        self.text.clear();
        // Line breaks within a segment come from tools that wrap lines at a fixed width.
        let mut from = 0;
        if !is_ink {
            for at in memchr::memchr2_iter(b'\r', b'\n', text.as_bytes()) {
                self.text.push_str(&text[from..at]);
                from = at + 1;
            }
        }
        self.text.push_str(&text[from..]);
        self.bounds.clear();
        self.elements(element);
        if !is_ink {
            self.trim();
        }
        if self.bounds.len() > super::ELEMENTS_MAX + 1 {
            self.bounds.truncate(super::ELEMENTS_MAX + 1);
            self.is_too_long = true;
            return;
        }
        self.capitalise();
    }

    /// Brings the identifier into capitals.
    fn capitalise(&mut self) {
        let id = self.bounds.first().and_then(|(from, to)| self.text.as_bytes().get(*from..*to)).unwrap_or_default();
        self.code = code_of(id);
        if !id.iter().any(u8::is_ascii_lowercase) {
            return;
        }
        if let Some((from, to)) = self.bounds.first().copied()
            && let Some(id) = self.text.get_mut(from..to)
        {
            id.make_ascii_uppercase();
            self.code = code_of(id.as_bytes());
        }
    }

    /// The identifier as [`code`] gives it.
    #[inline]
    pub(super) const fn code(&self) -> u64 {
        self.code
    }

    /// Finds where elements begin and end; one more than are allowed tells enough.
    fn elements(&mut self, element: char) {
        let mut from = 0;
        let mut found = |at: usize| {
            if self.bounds.len() <= super::ELEMENTS_MAX + 1 {
                self.bounds.push((from, at));
                from = at + element.len_utf8();
            }
        };
        match u8::try_from(element) {
            Ok(byte) if element.is_ascii() => places(byte, self.text.as_bytes(), &mut found),
            _ => self.text.match_indices(element).for_each(|(at, _)| found(at)),
        }
        found(self.text.len());
    }

    /// Leaves out the blanks around each element.
    fn trim(&mut self) {
        let is_plain = |b: Option<&u8>| b.is_none_or(u8::is_ascii_graphic);
        for (from, to) in &mut self.bounds {
            let part = &self.text[*from..*to];
            if !(is_plain(part.as_bytes().first()) && is_plain(part.as_bytes().last())) {
                *from += part.len() - part.trim_start().len();
                *to = *from + part.trim().len();
            }
        }
    }

    /// Makes it equal to another one, in its own memory.
    pub(super) fn copy(&mut self, other: &Self) {
        let Self { line_no, offset, is_too_long, lacks_terminator, is_inner, is_ink, code, text, bounds } = self;
        (*line_no, *offset, *is_ink, *code) = (other.line_no, other.offset, other.is_ink, other.code);
        (*is_too_long, *lacks_terminator, *is_inner) = (other.is_too_long, other.lacks_terminator, other.is_inner);
        text.clone_from(&other.text);
        bounds.clone_from(&other.bounds);
    }

    /// Keeps the identifier alone, for those who only count.
    pub(super) fn name(&mut self, id: &str) {
        self.code = code(id);
        self.text.clear();
        self.text.push_str(id);
        self.bounds.clear();
        self.bounds.push((0, id.len()));
    }

    /// The identifier, as `W12`.
    pub(super) fn id(&self) -> &str {
        self.get(0)
    }

    /// Whether this is its identifier.
    #[inline]
    pub(super) fn is(&self, id: &str) -> bool {
        self.bounds.first().is_some_and(|(from, to)| self.text.as_bytes().get(*from..*to) == Some(id.as_bytes()))
    }

    /// The element without blanks around it; an empty text where it is absent.
    #[inline]
    pub(super) fn get(&self, n: usize) -> &str {
        self.bounds.get(n).and_then(|(from, to)| self.text.get(*from..*to)).unwrap_or("")
    }

    #[inline]
    pub(super) fn has(&self, n: usize) -> bool {
        self.bounds.get(n).is_some_and(|(from, to)| from < to)
    }

    /// Number of the last element, also an empty one.
    #[inline]
    pub(super) fn last(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The elements from this one on, joined by the usual separator; empty ones at the end are left out.
    pub(super) fn rest(&self, from: usize) -> String {
        let last = (from..=self.last()).rev().find(|n| self.has(*n)).unwrap_or(0);
        let mut rest = String::with_capacity(self.text.len());
        for n in from..=last {
            if n > from {
                rest.push('*');
            }
            rest.push_str(self.get(n));
        }
        rest
    }

    /// The same segment with an empty element put in at `n`.
    pub(super) fn shifted(&self, n: usize) -> Self {
        let mut shifted = self.clone();
        if n < shifted.bounds.len() {
            shifted.bounds.insert(n, (0, 0));
        }
        shifted
    }
}

/// A number for each identifier: its length and its bytes. One of more than seven bytes is none that anybody knows, and all of
/// those are one number.
pub(super) const fn code(id: &str) -> u64 {
    code_of(id.as_bytes())
}

/// The number, and whether the identifier is one of few capitals and digits, as nearly all are.
#[inline]
fn usual_code(id: &[u8]) -> (u64, bool) {
    let is_plain = |b: u8| b.is_ascii_uppercase() | b.is_ascii_digit();
    match *id {
        [a, b] => (2 << 16 | u64::from(a) << 8 | u64::from(b), is_plain(a) & is_plain(b)),
        [a, b, c] => {
            (3 << 24 | u64::from(a) << 16 | u64::from(b) << 8 | u64::from(c), is_plain(a) & is_plain(b) & is_plain(c))
        }
        _ => (0, false),
    }
}

const fn code_of(id: &[u8]) -> u64 {
    if id.len() > 7 {
        return u64::MAX;
    }
    let (mut code, mut at) = (id.len() as u64, 0);
    while at < id.len() {
        code = (code << 8) | id[at] as u64;
        at += 1;
    }
    code
}

/// Whether this is the identifier of a segment that is none of the envelope.
pub(super) fn is_inner(id: &[u8]) -> bool {
    is_word(id) && !is_envelope(id)
}

fn is_word(id: &[u8]) -> bool {
    !id.is_empty() && id.iter().all(u8::is_ascii_alphanumeric)
}

#[inline]
const fn is_envelope(id: &[u8]) -> bool {
    matches!(id, [b'G' | b'S', b'E'] | [b'G', b'S'] | [b'S', b'T'] | [b'I', b'S' | b'E', b'A'] | [b'T', b'A', b'1'])
}

/// Whether there are only visible characters of ASCII: no blank, no line break.
pub(super) fn is_ink(bytes: &[u8]) -> bool {
    // Without an early end, so that many bytes are looked at in one step.
    bytes.iter().fold(true, |is_ink, byte| is_ink & byte.is_ascii_graphic())
}

/// A code as the tables have it: some senders write their codes in small letters.
pub(super) fn upper(code: &str) -> Cow<'_, str> {
    if code.bytes().any(|b| b.is_ascii_lowercase()) { code.to_ascii_uppercase().into() } else { code.into() }
}

/// The first component of an element.
pub(super) fn component(text: &str, delimiters: Delimiters, n: usize) -> &str {
    match delimiters.component {
        Some(mark) => text.split(mark).nth(n).unwrap_or("").trim(),
        None if n == 0 => text,
        None => "",
    }
}

/// Where the mark stands from a place on.
pub(super) fn find(bytes: &[u8], mark: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let at = match mark {
        [only] => memchr::memchr(*only, rest),
        _ => memchr::memmem::find(rest, mark),
    };
    at.map(|at| from + at)
}

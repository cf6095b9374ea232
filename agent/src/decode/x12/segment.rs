//! One segment: its identifier and its elements.

use std::borrow::Cow;

use super::super::places::places;

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
    text: String,
    bounds: Vec<(usize, usize)>,
}

impl Segment {
    /// Splits the text at the element separator. Blanks around an element carry no meaning (ASC X12.6, 3.5.1.5); where the text
    /// [`is_ink`] there are none.
    pub(super) fn split(&mut self, text: &str, element: char, is_ink: bool) {
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
        if let Some((from, to)) = self.bounds.first().copied()
            && let Some(id) = self.text.get_mut(from..to)
        {
            id.make_ascii_uppercase();
        }
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
        let Self { line_no, offset, is_too_long, lacks_terminator, text, bounds } = self;
        (*line_no, *offset) = (other.line_no, other.offset);
        (*is_too_long, *lacks_terminator) = (other.is_too_long, other.lacks_terminator);
        text.clone_from(&other.text);
        bounds.clone_from(&other.bounds);
    }

    /// Keeps the identifier alone, for those who only count.
    pub(super) fn name(&mut self, id: &str) {
        self.text.clear();
        self.text.push_str(id);
        self.bounds.clear();
        self.bounds.push((0, id.len()));
    }

    /// The identifier, as `W12`.
    pub(super) fn id(&self) -> &str {
        self.get(0)
    }

    /// The element without blanks around it; an empty text where it is absent.
    pub(super) fn get(&self, n: usize) -> &str {
        self.bounds.get(n).and_then(|(from, to)| self.text.get(*from..*to)).unwrap_or("")
    }

    pub(super) fn has(&self, n: usize) -> bool {
        !self.get(n).is_empty()
    }

    /// Number of the last element, also an empty one.
    pub(super) fn last(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The elements from this one on, joined by the usual separator; empty ones at the end are left out.
    pub(super) fn rest(&self, from: usize) -> String {
        let last = (from..=self.last()).rev().find(|n| self.has(*n)).unwrap_or(0);
        let parts: Vec<&str> = (from..=last).map(|n| self.get(n)).collect();
        parts.join("*")
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

//! One segment: its identifier and its elements.

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
    /// Splits the text at the element separator. Blanks around an element carry no meaning (ASC X12.6, 3.5.1.5).
    pub(super) fn split(&mut self, text: &str, element: char) {
        self.text.clear();
        // Line breaks within a segment come from tools that wrap lines at a fixed width.
        self.text.extend(text.chars().filter(|c| *c != '\r' && *c != '\n'));
        self.bounds.clear();
        let mut from = 0;
        for part in self.text.split(element) {
            if self.bounds.len() > super::ELEMENTS_MAX {
                self.is_too_long = true;
                return;
            }
            let lead = part.len() - part.trim_start().len();
            let trimmed = part.trim();
            self.bounds.push((from + lead, from + lead + trimmed.len()));
            from += part.len() + element.len_utf8();
        }
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

/// The first component of an element.
pub(super) fn component(text: &str, delimiters: Delimiters, n: usize) -> &str {
    match delimiters.component {
        Some(mark) => text.split(mark).nth(n).unwrap_or("").trim(),
        None if n == 0 => text,
        None => "",
    }
}

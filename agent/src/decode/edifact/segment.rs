//! One segment: its tag, its elements and their components.

use encoding_rs::Encoding;

use super::syntax::{self, Services};

/// A segment, its values free of release characters and of the blanks that pad them.
#[derive(Debug, Default)]
pub(super) struct Segment {
    /// Number within the file, from 1; UNA is counted.
    pub(super) ordinal: u64,
    /// Byte of the text at which it starts.
    pub(super) offset: u64,
    /// False where its bytes are no text.
    pub(super) is_text: bool,
    /// False for a UNZ at the end of the file without its terminator.
    pub(super) has_end: bool,
    /// Whether an element is repeated; only the first of them is seen in [`Segment::at`].
    pub(super) is_repeated: bool,
    /// Elements with their components; the first is the tag.
    elements: Vec<Vec<String>>,
}

impl Segment {
    pub(super) fn split(raw: &[u8], services: &Services, ordinal: u64, offset: u64, is_transcoded: bool) -> Self {
        let mut segment = Self { ordinal, offset, is_text: true, ..Self::default() };
        let (mut value, mut components, mut is_repeat) = (Vec::new(), Vec::new(), false);
        let mut bytes = raw.iter().copied();
        while let Some(byte) = bytes.next() {
            if byte == services.release && services.release != b' ' {
                value.extend(bytes.next());
            } else if byte == services.component {
                segment.push(&mut value, &mut components, is_transcoded);
            } else if byte == services.element || (byte == services.repetition && byte != b' ') {
                segment.push(&mut value, &mut components, is_transcoded);
                segment.close(std::mem::take(&mut components), is_repeat);
                is_repeat = byte != services.element;
            } else {
                value.push(byte);
            }
        }
        segment.push(&mut value, &mut components, is_transcoded);
        segment.close(components, is_repeat);
        segment
    }

    fn push(&mut self, value: &mut Vec<u8>, components: &mut Vec<String>, is_transcoded: bool) {
        let text = String::from_utf8_lossy(value);
        let is_wrong = std::str::from_utf8(value).is_err() || value.contains(&0);
        self.is_text &= !(is_wrong || is_transcoded && text.contains('\u{fffd}'));
        components.push(text.trim().to_owned());
        value.clear();
    }

    /// Repetitions stay visible in [`Segment::shown`], as components behind an asterisk.
    fn close(&mut self, components: Vec<String>, is_repeat: bool) {
        match self.elements.last_mut().filter(|_| is_repeat) {
            Some(last) => {
                self.is_repeated = true;
                last.push(format!("*{}", components.join(":")));
            }
            None => self.elements.push(components),
        }
    }

    pub(super) fn recode(&mut self, page: &'static Encoding) {
        for value in self.elements.iter_mut().flatten() {
            if let Some(text) = syntax::recoded(value, page) {
                *value = text;
            }
        }
    }

    pub(super) fn tag(&self) -> &str {
        self.at(0, 1)
    }

    /// Component of an element, both from 1; empty where there is none.
    pub(super) fn at(&self, element: usize, component: usize) -> &str {
        let components = self.elements.get(element);
        components.and_then(|c| c.get(component.checked_sub(1)?)).map_or("", String::as_str)
    }

    /// Components of an element, from 1.
    pub(super) fn element(&self, element: usize) -> &[String] {
        self.elements.get(element).map_or(&[], Vec::as_slice)
    }

    /// Elements behind the tag.
    pub(super) fn len(&self) -> usize {
        self.elements.len().saturating_sub(1)
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn size(&self) -> usize {
        self.elements.iter().flatten().map(|value| value.len() + 24).sum::<usize>() + 64
    }

    /// The segment as people write it, in the default separators.
    pub(super) fn shown(&self) -> String {
        self.rest(0)
    }

    /// From this element on, as people write it, without empty elements at both ends.
    pub(super) fn rest(&self, from: usize) -> String {
        let elements: Vec<String> = self.elements.iter().skip(from).map(|c| joined(c)).collect();
        let text = elements.join("+");
        text.trim_end_matches('+').trim_start_matches('+').to_owned()
    }
}

/// Components as people write them, without empty ones at the end.
pub(super) fn joined(components: &[String]) -> String {
    components.join(":").trim_end_matches(':').to_owned()
}

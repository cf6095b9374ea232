//! Cuts a segment into its elements while its end is looked for.
//!
//! Segments are short: a search for the terminator, one for each separator and one for what is not plain cost more than to look once
//! at eight bytes together for all of them.

/// The two bytes that part nearly every interchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    pub(super) element: u8,
    pub(super) terminator: u8,
}

const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const HIGH: u64 = !LOW;

/// Finds the end of the segment that the bytes begin with and notes where its elements begin and end, if there are only visible
/// characters of ASCII before that end. `None` where there are others, or no end.
#[inline]
pub(super) fn cut(bytes: &[u8], marks: Marks, bounds: &mut Vec<(usize, usize)>) -> Option<usize> {
    bounds.clear();
    let (elements, terminators) = (u64::from_le_bytes([marks.element; 8]), u64::from_le_bytes([marks.terminator; 8]));
    let (words, rest) = bytes.as_chunks::<8>();
    let mut from = 0;
    for (nth, word) in words.iter().enumerate() {
        let (word, base) = (u64::from_le_bytes(*word), nth * 8);
        let (mut element, terminator) = (equal(word, elements), equal(word, terminators));
        // The bits below the first terminator; all where there is none.
        let before = (terminator & terminator.wrapping_neg()).wrapping_sub(1);
        if no_ink(word) & before != 0 {
            return None;
        }
        element &= before;
        while element != 0 {
            let at = base + (element.trailing_zeros() >> 3) as usize;
            bounds.push((from, at));
            from = at + 1;
            element &= element.wrapping_sub(1);
        }
        if terminator != 0 {
            let end = base + (terminator.trailing_zeros() >> 3) as usize;
            bounds.push((from, end));
            return Some(end);
        }
    }
    let base = bytes.len() - rest.len();
    for (at, byte) in rest.iter().enumerate().map(|(at, byte)| (base + at, *byte)) {
        if byte == marks.terminator {
            bounds.push((from, at));
            return Some(at);
        }
        if !byte.is_ascii_graphic() {
            return None;
        }
        if byte == marks.element {
            bounds.push((from, at));
            from = at + 1;
        }
    }
    None
}

/// The highest bit of each byte that is equal, and of no other (Warren, Hacker's Delight, section 6-1).
const fn equal(word: u64, wanted: u64) -> u64 {
    let differing = word ^ wanted;
    !((differing & LOW).wrapping_add(LOW) | differing | LOW)
}

/// The highest bit of each byte that is no visible character of ASCII (0x21 to 0x7e).
const fn no_ink(word: u64) -> u64 {
    let low = word & LOW;
    (word | low.wrapping_add(0x0101_0101_0101_0101) | !low.wrapping_add(0x5f5f_5f5f_5f5f_5f5f)) & HIGH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Marks, cut};

    proptest! {
        #[test]
        fn a_cut_is_what_searching_byte_by_byte_gives(
            bytes in proptest::collection::vec(prop_oneof![8 => 0x21_u8..0x7f, 3 => Just(b'*'), 1 => Just(b'~'), 1 => any::<u8>()], 0..60),
        ) {
            let mut bounds = Vec::new();
            let found = cut(&bytes, Marks { element: b'*', terminator: b'~' }, &mut bounds);

            let end = bytes.iter().position(|b| *b == b'~').filter(|end| bytes[..*end].iter().all(u8::is_ascii_graphic));
            prop_assert_eq!(found, end);
            if let Some(end) = end {
                let parts: Vec<&[u8]> = bytes[..end].split(|b| *b == b'*').collect();
                let cuts: Vec<&[u8]> = bounds.iter().map(|(from, to)| &bytes[*from..*to]).collect();
                prop_assert_eq!(cuts, parts);
            }
        }
    }
}

//! Finds every place of a byte in texts whose parts are short.

/// Gives each place at which the byte stands, in order. Eight bytes are looked at in one step: a search from one place to the next, as
/// `memchr` does it, costs more where the next is a dozen bytes away.
#[inline]
pub(super) fn places(byte: u8, bytes: &[u8], mut each: impl FnMut(usize)) {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let wanted = u64::from_le_bytes([byte; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    for (nth, word) in words.iter().enumerate() {
        let differing = u64::from_le_bytes(*word) ^ wanted;
        // The highest bit of each byte that is zero, and of no other (Warren, Hacker's Delight, section 6-1).
        let mut equal = !(((differing & LOW) + LOW) | differing | LOW);
        while equal != 0 {
            each(nth * 8 + equal.trailing_zeros() as usize / 8);
            equal &= equal - 1;
        }
    }
    let from = bytes.len() - rest.len();
    rest.iter().enumerate().filter(|(_, found)| **found == byte).for_each(|(at, _)| each(from + at));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::places;

    proptest! {
        #[test]
        fn every_place_is_found_and_no_other(bytes in proptest::collection::vec(prop_oneof![Just(b','), Just(b'-'), any::<u8>()], 0..80)) {
            let mut found = Vec::new();
            places(b',', &bytes, |at| found.push(at));

            let expected: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b',').collect();
            prop_assert_eq!(found, expected);
        }
    }
}

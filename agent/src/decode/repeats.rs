//! Finds keys that come more than once in a file, in bounded memory.
//!
//! A Bloom filter marks keys that may have been seen before; only those are kept exactly. A key marked by mistake costs a
//! few bytes and nothing else: the second pass counts for itself.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

/// Most bytes of the filter.
const FILTER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most keys that may repeat within one file.
pub const REPEATS_MAX: usize = 1_000_000;
/// A row of any real export has at least so many bytes.
const ROW_BYTES_LEAST: u64 = 32;

/// The first pass: which keys may repeat.
pub(super) struct Finder {
    bits: Vec<u64>,
    candidates: HashSet<Uuid>,
}

impl Finder {
    /// For a file of this size: ten bits for each row that it can have.
    pub(super) fn new(file_bytes: u64) -> Self {
        let bytes = usize::try_from(file_bytes / ROW_BYTES_LEAST * 10 / 8).unwrap_or(usize::MAX);
        let words = (bytes.clamp(1024, FILTER_BYTES_MAX) / 8).next_power_of_two().min(FILTER_BYTES_MAX / 8);
        Self { bits: vec![0; words], candidates: HashSet::new() }
    }

    /// Notes a key; false once more keys repeat than are allowed.
    pub(super) fn note(&mut self, key: Uuid) -> bool {
        let (high, low) = key.as_u64_pair();
        let mask = self.bits.len() as u64 * 64 - 1;
        let mut was_set = true;
        for nth in 0..4_u64 {
            let bit = high.wrapping_add(nth.wrapping_mul(low | 1)) & mask;
            let (word, bit) = ((bit / 64) as usize, 1_u64 << (bit % 64));
            was_set &= self.bits[word] & bit != 0;
            self.bits[word] |= bit;
        }
        if was_set {
            self.candidates.insert(key);
        }
        self.candidates.len() <= REPEATS_MAX
    }

    pub(super) fn finish(self) -> HashSet<Uuid> {
        self.candidates
    }
}

/// The second pass: numbers those that do.
pub(super) struct Numberer<'c> {
    candidates: &'c HashSet<Uuid>,
    seen: HashMap<Uuid, u32>,
}

impl<'c> Numberer<'c> {
    pub(super) fn new(candidates: &'c HashSet<Uuid>) -> Self {
        Self { candidates, seen: HashMap::new() }
    }

    pub(super) fn is_needed(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// 0 for the first of equal keys, 1 for the second.
    pub(super) fn next(&mut self, key: Uuid) -> u32 {
        if !self.candidates.contains(&key) {
            return 0;
        }
        let count = self.seen.entry(key).or_insert(0);
        let ordinal = *count;
        *count += 1;
        ordinal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_are_numbered_and_others_are_not() {
        let keys: Vec<Uuid> = (0..2000_u128).map(|n| Uuid::from_u128(n * 0x9e37_79b9_7f4a_7c15_f39c_c060)).collect();
        let mut finder = Finder::new(64_000);
        for key in keys.iter().chain(&keys[..3]) {
            assert!(finder.note(*key));
        }
        let candidates = finder.finish();

        let mut numberer = Numberer::new(&candidates);
        let ordinals: Vec<u32> = keys.iter().chain(&keys[..3]).map(|key| numberer.next(*key)).collect();

        assert!(ordinals[..2000].iter().all(|n| *n == 0));
        assert_eq!(ordinals[2000..], [1, 1, 1]);
        assert!(candidates.len() < 200, "the filter is large enough to be of use");
    }

    #[test]
    fn too_many_repeats_are_noticed() {
        let mut finder = Finder::new(0);
        finder.candidates.extend((0..REPEATS_MAX as u128).map(Uuid::from_u128));

        let key = Uuid::from_u128(u128::MAX);
        assert!(finder.note(key));
        assert!(!finder.note(key));
    }
}

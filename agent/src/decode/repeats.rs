//! Finds keys that come more than once in a file, in bounded memory.
//!
//! A Bloom filter marks keys that may have been seen before; only those are kept exactly. A key marked by mistake costs a
//! few bytes and nothing else: the second pass counts for itself. All bits of a key lie in one line of the processor's cache
//! (Putze, Sanders, Singler 2007): a key is one look into a filter that no cache holds.

use std::collections::{HashMap, HashSet};

use docksync_proto::{event::Event, identity};
use uuid::Uuid;

/// Most bytes of the filter.
const FILTER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most keys that may repeat within one file.
pub const REPEATS_MAX: usize = 1_000_000;
/// Words of a line: 64 bytes, as processors have them.
const LINE_WORDS: usize = 8;
/// A row of any real export has at least so many bytes.
const ROW_BYTES_LEAST: u64 = 32;
/// Events that are looked up together, so that the processor waits for memory once for many of them.
const TOGETHER: usize = 32;

/// The first pass: which events may be of one id.
pub(super) struct Repeats {
    finder: Finder,
    /// Marks of the next events to be looked up, and what gives their ids.
    marks: Vec<u64>,
    keys: Vec<Key>,
    names: String,
    /// Whether marks come from ids, because somebody knew them anyway. The first event tells: one file is seen in one way.
    is_by_id: Option<bool>,
}

impl Repeats {
    /// For a file of this size.
    pub(super) fn new(file_bytes: u64) -> Self {
        let (marks, keys, names) = (Vec::with_capacity(TOGETHER), Vec::with_capacity(TOGETHER), String::new());
        Self { finder: Finder::new(file_bytes), marks, keys, names, is_by_id: None }
    }

    /// Notes an event, and its id where that is known.
    pub(super) fn note(&mut self, event: &Event, id: Option<Uuid>) {
        if *self.is_by_id.get_or_insert(id.is_some()) {
            let id = id.unwrap_or_else(|| identity::event_id(event));
            self.marks.push(id.as_u64_pair().1);
            self.keys.push(Key::Id(id));
        } else {
            let from = self.names.len();
            identity::spell(event, &mut self.names);
            self.marks.push(mark(&self.names.as_bytes()[from..]));
            self.keys.push(Key::Name(from..self.names.len()));
        }
        if self.keys.len() == TOGETHER {
            self.look_up();
        }
    }

    fn look_up(&mut self) {
        self.finder.fetch(&self.marks);
        for (mark, key) in self.marks.drain(..).zip(self.keys.drain(..)) {
            self.finder.note(mark, || match key {
                Key::Id(id) => id,
                Key::Name(place) => identity::named(&self.names[place]),
            });
        }
        self.names.clear();
    }

    /// Ids that come more than once, and some that only look so; false where there are more than are allowed.
    pub(super) fn finish(mut self) -> (HashSet<Uuid>, bool) {
        self.look_up();
        let is_within = self.finder.candidates.len() <= REPEATS_MAX;
        (self.finder.candidates, is_within)
    }
}

/// What an event is known by until it is looked up.
enum Key {
    Id(Uuid),
    /// Its place among the names.
    Name(std::ops::Range<usize>),
}

/// A number that equal names share and others mostly do not. It is no defence against those who choose names: they could as well
/// repeat them.
fn mark(name: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    // Sixteen bytes in one product: each waits for the one before.
    let fold = |hash: u64, pair: u128| {
        let product = u128::from(hash ^ pair as u64) * u128::from((pair >> 64) as u64 ^ ODD);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let (pairs, rest) = name.as_chunks::<16>();
    let hash = pairs.iter().fold(name.len() as u64, |hash, pair| fold(hash, u128::from_le_bytes(*pair)));
    let mut last = [0; 16];
    last[..rest.len()].copy_from_slice(rest);
    fold(fold(hash, u128::from_le_bytes(last)), u128::from(ODD))
}

/// Which keys may repeat.
struct Finder {
    lines: Vec<[u64; LINE_WORDS]>,
    candidates: HashSet<Uuid>,
}

impl Finder {
    /// For a file of this size: ten bits for each row that it can have.
    fn new(file_bytes: u64) -> Self {
        let bytes = usize::try_from(file_bytes / ROW_BYTES_LEAST * 10 / 8).unwrap_or(usize::MAX);
        let bytes = bytes.clamp(1024, FILTER_BYTES_MAX).next_power_of_two().min(FILTER_BYTES_MAX);
        Self { lines: vec![[0; LINE_WORDS]; bytes / size_of::<[u64; LINE_WORDS]>()], candidates: HashSet::new() }
    }

    /// The lowest bits of a mark choose the bits of a line, the highest the line.
    fn line(&self, mark: u64) -> usize {
        (mark >> 36) as usize & (self.lines.len() - 1)
    }

    /// Reads a word of each line that these marks need: nothing waits for another here, so that the processor fetches them all at
    /// once.
    fn fetch(&self, marks: &[u64]) {
        std::hint::black_box(marks.iter().fold(0, |words, mark| words ^ self.lines[self.line(*mark)][0]));
    }

    /// Notes a key by its mark; `key` is asked for where it may have come before.
    fn note(&mut self, mark: u64, key: impl FnOnce() -> Uuid) {
        let at = self.line(mark);
        let line = &mut self.lines[at];
        let mut was_set = true;
        for nth in 0..4 {
            let bit = mark >> (nth * 9);
            let (word, bit) = ((bit / 64) as usize % LINE_WORDS, 1_u64 << (bit % 64));
            was_set &= line[word] & bit != 0;
            line[word] |= bit;
        }
        // One more than are allowed tells enough.
        if was_set && self.candidates.len() <= REPEATS_MAX {
            self.candidates.insert(key());
        }
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
    use docksync_proto::{
        event::{EventTime, EventType},
        site::SiteId,
    };
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn equal_keys_are_numbered_and_others_are_not() {
        let keys: Vec<Uuid> = (0..2000_u128).map(|n| Uuid::from_u128(n * 0x9e37_79b9_7f4a_7c15_f39c_c060)).collect();
        let mut finder = Finder::new(64_000);
        keys.iter().chain(&keys[..3]).for_each(|key| finder.note(key.as_u64_pair().1, || *key));
        let candidates = finder.candidates;

        let mut numberer = Numberer::new(&candidates);
        let ordinals: Vec<u32> = keys.iter().chain(&keys[..3]).map(|key| numberer.next(*key)).collect();

        assert!(ordinals[..2000].iter().all(|n| *n == 0));
        assert_eq!(ordinals[2000..], [1, 1, 1]);
        assert!(candidates.len() < 200, "the filter is large enough to be of use");
    }

    #[test]
    fn an_event_is_found_again_also_where_its_id_is_known_only_once() {
        let site = SiteId::new("DC7").unwrap();
        let time = EventTime::utc(Timestamp::UNIX_EPOCH);
        let event = Event::new(EventType::PickConfirmed, site, time, Timestamp::UNIX_EPOCH);
        let id = identity::event_id(&event);

        for known in [[Some(id), None], [None, Some(id)], [None, None]] {
            let mut repeats = Repeats::new(0);
            known.iter().for_each(|id| repeats.note(&event, *id));
            assert_eq!(repeats.finish(), (HashSet::from([id]), true), "{known:?}");
        }
    }

    #[test]
    fn too_many_repeats_are_noticed() {
        let mut repeats = Repeats::new(0);
        repeats.finder.candidates.extend((0..REPEATS_MAX as u128).map(Uuid::from_u128));

        for (key, is_within) in [(0, true), (u128::MAX, false)] {
            let key = Uuid::from_u128(key);
            (0..2).for_each(|_| repeats.finder.note(u64::MAX, || key));
            assert_eq!(repeats.finder.candidates.len() <= REPEATS_MAX, is_within);
        }
        assert!(!repeats.finish().1);
    }
}

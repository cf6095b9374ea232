//! What the first pass over a file keeps for the queue: most exports are small, and need not be read twice.

use docksync_proto::event::Event;
use uuid::Uuid;

use crate::{
    decode::Keep,
    queue::capture::{BATCH_EVENTS, BatchBuilder, HeldLine, ReadyBatch},
};

/// Most events that are kept: about twelve megabytes with their hashes.
const EVENTS_MAX: u64 = 120_000;
/// Most held lines that are kept: no more than one chunk takes.
const HELD_MAX: usize = 1_000;
/// Files above this size are not tried: they would be given up half-way.
const FILE_BYTES_MAX: u64 = EVENTS_MAX * 200;

/// Records of a file, encoded, each batch with its last record.
#[derive(Default)]
pub(super) struct Kept {
    builder: BatchBuilder,
    last: u64,
    pub(super) batches: Vec<(u64, ReadyBatch)>,
    /// Held lines with their records, in order.
    pub(super) held: Vec<(u64, HeldLine)>,
    is_given_up: bool,
}

impl Kept {
    /// `is_new` is false for a file of which a part is stored already: where it goes on is the second pass's to find.
    pub(super) fn new(file_bytes: u64, is_new: bool) -> Self {
        Self { is_given_up: !is_new || file_bytes > FILE_BYTES_MAX, ..Self::default() }
    }

    /// All of it; `None` where it was too much, or where equal facts must be told apart by numbers that only the second pass
    /// gives.
    pub(super) fn finish(mut self) -> Option<Self> {
        self.close_batch();
        let facts = self.batches.iter().flat_map(|(_, batch)| &batch.facts);
        let mut ids: Vec<Uuid> = facts.map(|fact| fact.id).collect();
        ids.sort_unstable();
        let is_distinct = ids.windows(2).all(|pair| pair[0] != pair[1]);
        (!self.is_given_up && is_distinct).then_some(self)
    }

    fn close_batch(&mut self) {
        match self.builder.take() {
            Ok(Some(batch)) => self.batches.push((self.last, batch)),
            Ok(None) => {}
            // The second pass meets the same limit and says so.
            Err(_) => self.give_up(),
        }
    }

    fn give_up(&mut self) {
        *self = Self { is_given_up: true, ..Self::default() };
    }
}

impl Keep for Kept {
    fn event(&mut self, record: u64, event: &Event) -> Option<Uuid> {
        if self.is_given_up {
            return None;
        }
        if self.builder.is_full() {
            self.close_batch();
        }
        if self.batches.len() as u64 * u64::from(BATCH_EVENTS) >= EVENTS_MAX {
            self.give_up();
            return None;
        }
        self.last = record;
        Some(self.builder.push(event))
    }

    fn held(&mut self, record: u64, lines: &[HeldLine]) {
        if self.is_given_up {
            return;
        }
        self.held.extend(lines.iter().map(|line| (record, line.clone())));
        if self.held.len() > HELD_MAX {
            self.give_up();
        }
    }
}

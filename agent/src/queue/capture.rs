//! What intake hands to the queue, and what it hears back.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use docksync_proto::{
    codec::{BatchEncoder, CodecError, PlainEvents},
    event::Event,
    frame::DayTotal,
    identity::Hash,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::QueueError;

/// Most events of one batch: large enough that columns compress, small enough that a batch stays under 64 KiB.
pub const BATCH_EVENTS: u32 = 500;
/// Most bytes of plain values of one batch.
pub const BATCH_PLAIN_BYTES: usize = 192 * 1024;

/// Number of a file in the queue's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId(pub i64);

/// A file that is complete, claimed and hashed.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// Feed whose folder it lay in.
    pub feed: String,
    /// Name as the warehouse system gave it; may hold anything but `/`, hence shown escaped.
    pub name: String,
    /// Where it lies now.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Last change, milliseconds since 1970.
    pub mtime_ms: i64,
    /// SHA-256 of its bytes.
    pub sha256: Hash,
    /// When the agent claimed it.
    pub found_at: Timestamp,
}

/// What the queue knows of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Never seen: read it from the start. It is registered with its first chunk.
    Unseen,
    /// Its capture was cut short: records through this one are stored.
    Resume {
        /// The file.
        file: FileId,
        /// Records (of all kinds: good, held, blank) already stored.
        records_done: u64,
    },
    /// The same bytes were captured before, from the same feed.
    Duplicate {
        /// This file's own entry.
        file: FileId,
        /// Name under which they were captured.
        earlier: String,
    },
}

/// A line that did not become an event, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLine {
    /// Line, from 1; 0 where the whole file is meant.
    pub line_no: u64,
    /// Column, from 1; 0 where the whole line is meant.
    pub column: u32,
    /// Name of the column or field.
    pub field: String,
    /// Stable code (`UNKNOWN_UOM`).
    pub code: String,
    /// What stands there.
    pub found: String,
    /// What would be right.
    pub expected: String,
    /// Whose move it is: `warehouse`, `integration`, `site_it`.
    pub owner: String,
    /// The line as read, at most 1,000 characters.
    pub text: String,
}

/// One encoded batch of events that belong to one file.
#[derive(Debug)]
pub struct ReadyBatch {
    /// Columns.
    pub bytes: Vec<u8>,
    /// Identity of each event, in order.
    pub facts: Vec<Fact>,
    /// Control totals.
    pub totals: Vec<DayTotal>,
    /// Latest event time in the batch, milliseconds since 1970.
    pub newest_ms: i64,
}

/// Identity of one event of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Fact {
    /// Event id.
    pub id: Uuid,
    /// Beginning of the hash of what is claimed: the id is already equal where two are compared.
    pub content: [u8; 8],
    /// Hash of everything that is sent, for the chain.
    pub payload: Hash,
}

/// Events of one batch that are not encoded yet.
#[derive(Debug, Default)]
pub struct PlainBatch {
    events: PlainEvents,
    totals: Vec<DayTotal>,
    newest_ms: i64,
}

impl PlainBatch {
    /// Encodes the batch; gives its memory back, emptied.
    ///
    /// # Errors
    /// [`CodecError`] where the batch is over a limit of the codec.
    pub fn encode(mut self, encoder: &mut BatchEncoder) -> Result<(ReadyBatch, Self), CodecError> {
        let mut facts = Vec::with_capacity(self.events.len());
        encoder.push_plain(&self.events, |id, digests| {
            let mut content = [0; 8];
            content.copy_from_slice(&digests.content[..8]);
            facts.push(Fact { id, content, payload: digests.payload });
        });
        let bytes = encoder.finish()?;
        let (totals, newest_ms) = (std::mem::take(&mut self.totals), std::mem::take(&mut self.newest_ms));
        self.events.clear();
        Ok((ReadyBatch { bytes, facts, totals, newest_ms }, self))
    }
}

/// Collects events into a [`ReadyBatch`].
#[derive(Debug, Default)]
pub struct BatchBuilder {
    plain: PlainBatch,
    encoder: BatchEncoder,
    /// The time of capture last seen and its day: all events of a file have one.
    day: Option<(Timestamp, u32)>,
}

impl BatchBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event; gives its id.
    pub fn push(&mut self, event: &Event) -> Uuid {
        let id = self.plain.events.push(event);
        self.plain.newest_ms = self.plain.newest_ms.max(event.time.at.as_millisecond());
        self.total(event);
        id
    }

    /// Whether the batch should be handed over before another event is added.
    pub fn is_full(&self) -> bool {
        self.plain.events.len() >= BATCH_EVENTS as usize || self.plain.events.plain_bytes() >= BATCH_PLAIN_BYTES
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.plain.events.is_empty()
    }

    /// What was added, not encoded, with `spare` to go on with; `None` where nothing was added.
    pub fn take_plain(&mut self, spare: PlainBatch) -> Option<PlainBatch> {
        (!self.is_empty()).then(|| std::mem::replace(&mut self.plain, spare))
    }

    /// The batch, or `None` where nothing was added. Leaves an empty builder.
    ///
    /// # Errors
    /// [`CodecError`] where the batch is over a limit of the codec.
    pub fn take(&mut self) -> Result<Option<ReadyBatch>, CodecError> {
        let Some(plain) = self.take_plain(PlainBatch::default()) else { return Ok(None) };
        let (batch, spare) = plain.encode(&mut self.encoder)?;
        self.plain = spare;
        Ok(Some(batch))
    }

    fn total(&mut self, event: &Event) {
        let known = self.day.filter(|(time, _)| *time == event.record_time);
        let (_, day) = *self.day.insert(known.unwrap_or_else(|| (event.record_time, day_of(event.record_time))));
        let event_type = event.event_type.code();
        let qty_micros = docksync_proto::stock::moved_micros(event);
        let same = |t: &&mut DayTotal| t.day == day && t.event_type == event_type && t.feed == event.source.feed;
        match self.plain.totals.iter_mut().find(same) {
            Some(total) => {
                total.count += 1;
                total.qty_micros = total.qty_micros.saturating_add(qty_micros);
            }
            None => {
                self.plain.totals.push(DayTotal {
                    day,
                    feed: event.source.feed.clone(),
                    event_type,
                    count: 1,
                    qty_micros,
                });
            }
        }
    }
}

/// The day of a time in UTC, as 20261123.
fn day_of(time: Timestamp) -> u32 {
    let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
    u32::from(date.year().unsigned_abs()) * 10_000
        + u32::from(date.month().unsigned_abs()) * 100
        + u32::from(date.day().unsigned_abs())
}

/// The file that a chunk belongs to.
#[derive(Debug)]
pub enum Of {
    /// One that is registered.
    Known(FileId),
    /// One that [`CaptureStore::begin`] called unseen: registered in the transaction of its first chunk.
    Unseen(Box<NewFile>),
}

/// Part of a file, stored in one transaction.
#[derive(Debug)]
pub struct Chunk {
    /// The file.
    pub file: Of,
    /// Its events.
    pub batches: Vec<ReadyBatch>,
    /// Its bad lines.
    pub held: Vec<HeldLine>,
    /// Records of the file that are done with this chunk.
    pub records_done: u64,
    /// Set with the last chunk.
    pub end: Option<FileEnd>,
}

/// How the reading of a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileEnd {
    /// All records are stored or held.
    Captured {
        /// Data lines of the file (header, blank and comment lines are not counted); of a standard, the segments of its documents
        /// or the lines that they span.
        lines: u64,
        /// Those of them that events hold. Each of the others is held, by itself or with its document.
        taken: u64,
    },
    /// Nothing of it was taken; the reasons are the held lines of the same chunk.
    Refused {
        /// Data lines, as far as they were read.
        lines: u64,
    },
}

/// What became of a chunk's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Events that are new to this site.
    pub accepted: u64,
    /// Events that this site had stored before, with the same content.
    pub duplicate: u64,
    /// Events that this site had stored before, with other content.
    pub revised: u64,
}

/// What became of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its file.
    pub file: FileId,
    /// Its events.
    pub appended: Appended,
    /// Set where the file's content turned out to be known, under this name: nothing of the chunk was stored.
    pub earlier: Option<String>,
}

/// Keeps chunks that were handed over one after another in that order: after one that failed, none is stored.
#[derive(Debug, Clone, Default)]
pub struct Order(Arc<AtomicBool>);

impl Order {
    /// Whether a chunk under this order failed.
    pub fn is_broken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Says that a chunk failed.
    pub fn break_off(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A chunk that is on its way to the disk.
pub struct Ticket(Box<dyn FnOnce() -> Result<Stored, QueueError> + Send>);

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket")
    }
}

impl Ticket {
    /// A ticket whose answer is waited for by `wait`.
    pub fn new(wait: impl FnOnce() -> Result<Stored, QueueError> + Send + 'static) -> Self {
        Self(Box::new(wait))
    }

    /// Blocks until the chunk is on disk.
    ///
    /// # Errors
    /// [`QueueError::Full`] where the disk budget is used up, [`QueueError::Overtaken`] where a chunk before it failed: then
    /// the file stays where it is.
    pub fn wait(self) -> Result<Stored, QueueError> {
        (self.0)()
    }
}

/// Where captured files are kept. All calls block; none may be made inside async code.
pub trait CaptureStore: Send + Sync {
    /// Says what is known of a file's content; registers a file that is known.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    fn begin(&self, file: &NewFile) -> Result<Begun, QueueError>;

    /// Hands a chunk over to be stored; it is on disk when its ticket says so. Chunks of one order are stored in the order in
    /// which they were handed over.
    fn append(&self, chunk: Chunk, order: &Order) -> Ticket;

    /// Records where files lie now that they are dealt with.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    fn moved(&self, files: Vec<(FileId, PathBuf)>) -> Result<(), QueueError>;

    /// Files that were begun or captured and not yet moved: to be reconciled with the folders at start.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    fn unfinished(&self) -> Result<Vec<Unfinished>, QueueError>;

    /// For folders that must not be changed: whether a file with this feed, path, size and time of change was dealt with.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    fn is_known_in_place(
        &self,
        feed: &str,
        path: &std::path::Path,
        size: u64,
        mtime_ms: i64,
    ) -> Result<bool, QueueError>;

    /// Whether new files may be taken now; false when the disk budget is nearly used up.
    fn has_room(&self) -> bool;
}

/// A file whose handling was cut short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The file.
    pub file: FileId,
    /// Its feed.
    pub feed: String,
    /// Its name.
    pub name: String,
    /// Where it was last seen.
    pub path: PathBuf,
    /// Its hash.
    pub sha256: Hash,
    /// Whether all of it is stored (then only the move is missing).
    pub is_captured: bool,
    /// Whether it was refused (then it belongs into quarantine).
    pub is_refused: bool,
}

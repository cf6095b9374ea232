//! What the first pass over a file keeps for the queue, so that the file need not be read twice.
//!
//! The first batches lie in memory, the rest in a file without a name beside the queue, which goes with whoever holds it. Where something
//! is in the way of keeping, the second pass reads the file again: keeping saves time and decides nothing. The events of a larger
//! file are encoded on a thread of their own while the next ones are read.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _},
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

use docksync_proto::{codec::BatchEncoder, event::Event};
use rustix::fs::{Mode, OFlags};
use uuid::Uuid;

use crate::{
    decode::Keep,
    queue::capture::{BatchBuilder, Fact, HeldLine, PlainBatch, ReadyBatch},
};

/// Batches that are kept in memory: 120,000 events, about nine megabytes with their hashes.
const MEMORY_BATCHES: usize = 240;
/// Batches that are kept in all: two million events, about 150 megabytes of disk.
const BATCHES_MAX: usize = 4_000;
/// Most held lines that are kept: no more than one chunk takes.
const HELD_MAX: usize = 1_000;
/// Files above this size are not tried: they would be given up half-way.
const FILE_BYTES_MAX: u64 = BATCHES_MAX as u64 * 500 * 200;
/// Disk that must stay free beside what is kept, as a multiple of the file's own size.
const FREE_TIMES: u64 = 2;
/// Longest part of a kept batch; only a damaged one has a longer.
const PART_BYTES_MAX: u32 = 16 * 1024 * 1024;
const FACT_BYTES: usize = 56;
/// Files above this size are encoded aside: a thread costs as much as some hundred events.
const ASIDE_BYTES: u64 = 1024 * 1024;
/// Batches on their way to that thread.
const AHEAD: usize = 4;

/// What the first pass keeps of a file.
#[derive(Default)]
pub(super) struct Kept {
    builder: BatchBuilder,
    last: u64,
    keeper: Keeper,
    /// Held lines with their records, in order.
    held: Vec<(u64, HeldLine)>,
}

/// Who encodes.
#[derive(Default)]
enum Keeper {
    /// Nobody: there was too much.
    #[default]
    GaveUp,
    Here(Shelf),
    Aside(Aside),
}

/// A thread that encodes; it ends when its door is closed.
struct Aside {
    door: SyncSender<(u64, PlainBatch)>,
    spare: Receiver<PlainBatch>,
    thread: JoinHandle<Shelf>,
}

/// Encoded batches, each with its last record.
#[derive(Default)]
struct Shelf {
    encoder: BatchEncoder,
    batches: Vec<(u64, ReadyBatch)>,
    spool: Option<Spool>,
    is_given_up: bool,
}

/// All of a file, in order.
pub(super) struct Whole {
    shelf: Shelf,
    held: Vec<(u64, HeldLine)>,
}

/// Batches on disk.
struct Spool {
    file: BufWriter<File>,
    batches: usize,
}

impl Kept {
    /// `is_new` is false for a file of which a part is stored already: where it goes on is the second pass's to find. What does not
    /// fit into memory goes to the file system of `dir`.
    pub(super) fn new(file_bytes: u64, is_new: bool, dir: &Path) -> Self {
        if !is_new || file_bytes > FILE_BYTES_MAX {
            return Self::default();
        }
        let free = rustix::fs::statvfs(dir).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize));
        let spool = if free > file_bytes.saturating_mul(FREE_TIMES) { Spool::create(dir).ok() } else { None };
        let shelf = Shelf { spool, ..Shelf::default() };
        let keeper = match file_bytes > ASIDE_BYTES {
            true => Aside::start(shelf).map_or(Keeper::GaveUp, Keeper::Aside),
            false => Keeper::Here(shelf),
        };
        Self { keeper, ..Self::default() }
    }

    /// All of it; `None` where it was too much, or where equal facts must be told apart by numbers that only the second pass
    /// gives. `repeats` holds at least the identities that come twice; `None` where nobody looked for them.
    pub(super) fn finish(mut self, repeats: Option<&HashSet<Uuid>>) -> Option<Whole> {
        self.close_batch();
        let mut shelf = match self.keeper {
            Keeper::GaveUp => return None,
            Keeper::Here(shelf) => shelf,
            Keeper::Aside(aside) => aside.finish()?,
        };
        if shelf.is_given_up {
            return None;
        }
        let is_distinct = match repeats {
            Some(repeats) if repeats.is_empty() => true,
            Some(repeats) => shelf.has_none_twice(repeats).ok()?,
            None => shelf.spooled() == 0 && shelf.is_distinct(),
        };
        is_distinct.then_some(Whole { shelf, held: self.held })
    }

    fn close_batch(&mut self) {
        let spare = match &self.keeper {
            Keeper::Aside(aside) => aside.spare.try_recv().unwrap_or_default(),
            Keeper::GaveUp | Keeper::Here(_) => PlainBatch::default(),
        };
        let Some(plain) = self.builder.take_plain(spare) else { return };
        let is_kept = match &mut self.keeper {
            Keeper::GaveUp => false,
            Keeper::Here(shelf) => {
                drop(shelf.take(self.last, plain));
                !shelf.is_given_up
            }
            // It has ended only where it gave up.
            Keeper::Aside(aside) => aside.door.send((self.last, plain)).is_ok(),
        };
        if !is_kept {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        if let Keeper::Aside(aside) = std::mem::take(&mut self.keeper) {
            drop(aside.finish());
        }
        *self = Self::default();
    }
}

impl Aside {
    fn start(mut shelf: Shelf) -> io::Result<Self> {
        let (door, taken) = sync_channel::<(u64, PlainBatch)>(AHEAD);
        let (back, spare) = sync_channel(AHEAD + 2);
        let thread = std::thread::Builder::new().name("encode".to_owned()).spawn(move || {
            for (last, plain) in taken {
                if let Some(emptied) = shelf.take(last, plain) {
                    // Where enough memory is on its way back, this one is not needed.
                    drop(back.try_send(emptied));
                }
                if shelf.is_given_up {
                    break;
                }
            }
            shelf
        })?;
        Ok(Self { door, spare, thread })
    }

    /// What was encoded; `None` where the thread panicked.
    fn finish(self) -> Option<Shelf> {
        drop(self.door);
        self.thread.join().ok()
    }
}

impl Shelf {
    /// Encodes and keeps a batch; gives its memory back.
    fn take(&mut self, last: u64, plain: PlainBatch) -> Option<PlainBatch> {
        let Ok((batch, emptied)) = plain.encode(&mut self.encoder) else {
            // The second pass meets the same limit of the codec and says so.
            self.is_given_up = true;
            return None;
        };
        if self.batches.len() < MEMORY_BATCHES {
            self.batches.push((last, batch));
        } else {
            let written = self.spool.as_mut().is_some_and(|spool| spool.write(last, &batch).is_ok());
            self.is_given_up |= !written || self.spooled() + MEMORY_BATCHES > BATCHES_MAX;
        }
        Some(emptied)
    }

    fn spooled(&self) -> usize {
        self.spool.as_ref().map_or(0, |spool| spool.batches)
    }

    fn is_distinct(&self) -> bool {
        let facts = self.batches.iter().flat_map(|(_, batch)| &batch.facts);
        let mut ids: Vec<Uuid> = facts.map(|fact| fact.id).collect();
        ids.sort_unstable();
        ids.windows(2).all(|pair| pair[0] != pair[1])
    }

    fn has_none_twice(&mut self, candidates: &HashSet<Uuid>) -> io::Result<bool> {
        let mut seen: HashSet<Uuid> = HashSet::new();
        let mut is_first = |fact: &Fact| !candidates.contains(&fact.id) || seen.insert(fact.id);
        if !self.batches.iter().flat_map(|(_, batch)| &batch.facts).all(&mut is_first) {
            return Ok(false);
        }
        if let Some(spool) = &mut self.spool {
            for batch in spool.read()? {
                if !batch?.1.facts.iter().all(&mut is_first) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// A batch with its last record.
type Numbered = io::Result<(u64, ReadyBatch)>;

impl Whole {
    /// Held lines with their records, in order; the first time.
    pub(super) fn take_held(&mut self) -> Vec<(u64, HeldLine)> {
        std::mem::take(&mut self.held)
    }

    /// The batches in order.
    ///
    /// # Errors
    /// Where the file of what did not fit into memory cannot be read from its beginning.
    pub(super) fn into_batches(mut self) -> io::Result<impl Iterator<Item = Numbered>> {
        let spooled = self.shelf.spool.as_mut().map(Spool::read).transpose()?;
        Ok(self.shelf.batches.into_iter().map(Ok).chain(spooled.into_iter().flatten()))
    }
}

impl Keep for Kept {
    fn event(&mut self, record: u64, event: &Event) -> Option<Uuid> {
        if self.builder.is_full() {
            self.close_batch();
        }
        if matches!(self.keeper, Keeper::GaveUp) {
            return None;
        }
        self.last = record;
        Some(self.builder.push(event))
    }

    fn held(&mut self, record: u64, lines: &[HeldLine]) {
        if matches!(self.keeper, Keeper::GaveUp) {
            return;
        }
        self.held.extend(lines.iter().map(|line| (record, line.clone())));
        if self.held.len() > HELD_MAX {
            self.give_up();
        }
    }

    fn forget(&mut self) {
        self.give_up();
    }
}

impl Spool {
    /// Where the file system knows no files without a name, there is none.
    fn create(dir: &Path) -> io::Result<Self> {
        let file = rustix::fs::open(dir, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { file: BufWriter::with_capacity(64 * 1024, file.into()), batches: 0 })
    }

    fn write(&mut self, last: u64, batch: &ReadyBatch) -> io::Result<()> {
        let totals = serde_json::to_vec(&batch.totals)?;
        let file = &mut self.file;
        file.write_all(&last.to_le_bytes())?;
        file.write_all(&batch.newest_ms.to_le_bytes())?;
        for length in [batch.bytes.len(), batch.facts.len(), totals.len()] {
            file.write_all(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes())?;
        }
        file.write_all(&batch.bytes)?;
        for fact in &batch.facts {
            file.write_all(fact.id.as_bytes())?;
            file.write_all(&fact.content)?;
            file.write_all(&fact.payload)?;
        }
        file.write_all(&totals)?;
        self.batches += 1;
        Ok(())
    }

    /// Every batch from the first, in order.
    fn read(&mut self) -> io::Result<impl Iterator<Item = Numbered> + use<>> {
        self.file.flush()?;
        let mut file = self.file.get_ref().try_clone()?;
        file.rewind()?;
        let mut file = BufReader::with_capacity(64 * 1024, file);
        Ok((0..self.batches).map(move |_| read_batch(&mut file)))
    }
}

fn read_batch(file: &mut BufReader<File>) -> Numbered {
    let (mut eight, mut four) = ([0; 8], [[0; 4]; 3]);
    file.read_exact(&mut eight)?;
    let last = u64::from_le_bytes(eight);
    file.read_exact(&mut eight)?;
    let newest_ms = i64::from_le_bytes(eight);
    four.iter_mut().try_for_each(|length| file.read_exact(length))?;
    let [bytes, facts, totals] = four.map(u32::from_le_bytes);
    let bytes = part(file, bytes, 1)?;
    let facts = part(file, facts, FACT_BYTES)?;
    let facts = facts.as_chunks::<FACT_BYTES>().0.iter().map(fact).collect();
    let totals = serde_json::from_slice(&part(file, totals, 1)?)?;
    Ok((last, ReadyBatch { bytes, facts, totals, newest_ms }))
}

fn part(file: &mut BufReader<File>, count: u32, each: usize) -> io::Result<Vec<u8>> {
    if count > PART_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut part = vec![0; count as usize * each];
    file.read_exact(&mut part)?;
    Ok(part)
}

fn fact(bytes: &[u8; FACT_BYTES]) -> Fact {
    let (mut id, mut content, mut payload) = ([0; 16], [0; 8], [0; 32]);
    id.copy_from_slice(&bytes[..16]);
    content.copy_from_slice(&bytes[16..24]);
    payload.copy_from_slice(&bytes[24..]);
    Fact { id: Uuid::from_bytes(id), content, payload }
}

#[cfg(test)]
mod tests {
    use docksync_proto::{
        event::{EventTime, EventType, RefKind, Reference},
        site::SiteId,
    };
    use jiff::Timestamp;

    use super::*;

    const EVENTS: u64 = MEMORY_BATCHES as u64 * 500 + 1_700;

    /// Keeps events of a file that is large enough for a thread of its own.
    fn keep(numbers: impl Iterator<Item = u64>, dir: &Path) -> (Kept, Vec<Uuid>) {
        let time = EventTime::utc(Timestamp::UNIX_EPOCH);
        let mut event = Event::new(EventType::PickConfirmed, SiteId::new("DC1").unwrap(), time, Timestamp::UNIX_EPOCH);
        let mut kept = Kept::new(ASIDE_BYTES + 1, true, dir);
        let mut ids = Vec::new();
        for (record, number) in (1..).zip(numbers) {
            event.references = vec![Reference { kind: RefKind::Transaction, value: format!("T{number}"), date: None }];
            ids.extend(kept.event(record, &event));
        }
        (kept, ids)
    }

    #[test]
    fn what_did_not_fit_into_memory_comes_back_as_it_was_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, ids) = keep(0..EVENTS, dir.path());

        let batches = kept.finish(Some(&HashSet::new())).unwrap().into_batches().unwrap();
        let batches: Vec<(u64, ReadyBatch)> = batches.map(Result::unwrap).collect();

        assert_eq!(batches.last().unwrap().0, EVENTS);
        assert!(batches.is_sorted_by_key(|(last, _)| *last));
        let facts: Vec<Uuid> = batches.iter().flat_map(|(_, batch)| &batch.facts).map(|fact| fact.id).collect();
        assert_eq!(facts, ids);
        let decoded: usize = batches
            .iter()
            .map(|(_, batch)| {
                let events = docksync_proto::codec::decode_batch(&batch.bytes).unwrap();
                let payloads: Vec<_> = batch.facts.iter().map(|fact| fact.payload).collect();
                assert_eq!(events.iter().map(|event| event.digests.payload).collect::<Vec<_>>(), payloads);
                assert_eq!(batch.totals.iter().map(|total| total.count).sum::<u64>(), events.len() as u64);
                events.len()
            })
            .sum();
        assert_eq!(decoded as u64, EVENTS);
    }

    #[test]
    fn equal_facts_are_left_to_the_second_pass_wherever_they_lie() {
        let dir = tempfile::tempdir().unwrap();
        for (first, second) in [(3, 40), (3, EVENTS - 5), (EVENTS - 900, EVENTS - 5)] {
            let (kept, ids) = keep((0..EVENTS).map(|n| if n == second { first } else { n }), dir.path());

            let repeats = HashSet::from([ids[usize::try_from(first).unwrap()], ids[1]]);

            assert!(kept.finish(Some(&repeats)).is_none());
        }
        let (kept, ids) = keep(0..EVENTS, dir.path());
        assert!(kept.finish(Some(&HashSet::from([ids[1]]))).is_some(), "a suspicion alone does no harm");
    }

    #[test]
    fn without_a_place_on_disk_only_memory_is_used() {
        let (kept, _) = keep(0..EVENTS, Path::new("/nowhere"));
        assert!(kept.finish(Some(&HashSet::new())).is_none());

        let (kept, _) = keep(0..1_000, Path::new("/nowhere"));
        assert!(kept.finish(Some(&HashSet::new())).is_some());
    }
}

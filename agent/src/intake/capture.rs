//! Takes one claimed file through the queue and onto its shelf.
//!
//! State first, move second: the file is moved only after all of it is stored, so that a cut at any moment leaves either a
//! file that is taken again and known by its hash, or one whose move is made up for.

use std::{
    collections::{BTreeSet, VecDeque},
    io::Read as _,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use docksync_proto::{
    event::{Event, EventTime, EventType, RefKind, Reference, STATEMENT_END},
    identity,
};
use jiff::{Timestamp, civil::Date};

use super::{
    Feed, IntakeError, answers,
    kept::{Kept, Whole},
    md5,
    open::{self, Opened},
    shelve::{self, Reason, Shelf, Shelves},
};
use crate::{
    decode::{FileFacts, Record, Survey, profile::CompleteRule},
    queue::{
        QueueError,
        capture::{
            Appended, BatchBuilder, Begun, CaptureStore, Chunk, FileEnd, FileId, HeldLine, NewFile, Of, Order,
            ReadyBatch, Ticket,
        },
    },
};

/// Most batches of one chunk: what a cut costs at most.
pub const CHUNK_BATCHES_MAX: usize = 10;
/// Most held lines of one chunk.
pub const CHUNK_HELD_MAX: usize = 1_000;

/// Most chunks of a file that are on their way to the disk while the next one is read.
const CHUNKS_AHEAD: usize = 2;

/// Most bytes of a companion that are read.
const COMPANION_BYTES_MAX: u64 = 4096;

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Captured { appended: Appended, held: u64 },
    Refused { reasons: usize },
    Duplicate { earlier: String },
}

/// What capturing needs.
pub(super) struct Desk<'d> {
    pub(super) feed: &'d Feed,
    pub(super) store: &'d dyn CaptureStore,
    pub(super) shelves: &'d Shelves,
    pub(super) file_bytes_max: u64,
    pub(super) now: Timestamp,
    pub(super) today: Date,
}

/// A file that was read and whose last chunks are on their way to the disk.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) path: PathBuf,
    file: Option<FileId>,
    tickets: VecDeque<Ticket>,
    appended: Appended,
    held: u64,
    /// Why it was refused as a whole; empty where it was taken.
    refusals: Vec<HeldLine>,
    sha256: String,
    earlier: Option<String>,
    answers: Vec<answers::Ready>,
}

impl Pending {
    /// Waits until all of the file is on disk.
    pub(super) fn wait(&mut self) -> Result<(), QueueError> {
        while let Some(ticket) = self.tickets.pop_front() {
            self.note(ticket)?;
        }
        Ok(())
    }

    fn note(&mut self, ticket: Ticket) -> Result<(), QueueError> {
        let stored = ticket.wait()?;
        self.file = Some(stored.file);
        self.appended.accepted += stored.appended.accepted;
        self.appended.duplicate += stored.appended.duplicate;
        self.appended.revised += stored.appended.revised;
        if stored.earlier.is_some() {
            self.earlier = stored.earlier;
        }
        Ok(())
    }
}

impl Desk<'_> {
    /// Reads a file that is claimed and hands all of it to the queue.
    pub(super) fn capture(&self, path: &Path, order: &Order) -> Result<Pending, IntakeError> {
        let mut opened = open::open(path)?;
        if opened.size > self.file_bytes_max {
            let (file_bytes, file_bytes_max) = (opened.size, self.file_bytes_max);
            return Err(IntakeError::TooLarge { path: path.to_path_buf(), file_bytes, file_bytes_max });
        }
        let read = |source| IntakeError::Read { path: path.to_path_buf(), source };
        let sha256 = open::sha256(&mut opened.file).map_err(read)?;
        self.check_sum(path, &mut opened, &sha256)?;
        let file = NewFile {
            feed: self.feed.name.clone(),
            name: shelve::name_of(path),
            path: path.to_path_buf(),
            size: opened.size,
            mtime_ms: i64::try_from(opened.mtime_ns / 1_000_000).unwrap_or(0),
            sha256,
            found_at: self.now,
        };
        let (tickets, appended, sha256) = (VecDeque::new(), Appended::default(), identity::hex(&sha256));
        let (refusals, answers, path) = (Vec::new(), Vec::new(), path.to_path_buf());
        let mut pending =
            Pending { path, file: None, tickets, appended, held: 0, refusals, sha256, earlier: None, answers };
        match self.store.begin(&file).map_err(|source| self.queue(&file.path, source))? {
            Begun::Duplicate { file, earlier } => {
                (pending.file, pending.earlier) = (Some(file), Some(earlier));
                Ok(pending)
            }
            Begun::Unseen => self.read(&mut opened, &file, pending, 0, order),
            Begun::Resume { file: id, records_done } => {
                pending.file = Some(id);
                self.read(&mut opened, &file, pending, records_done, order)
            }
        }
    }

    /// Moves files whose content is dealt with, and says so to the queue. Gives what became of each, in order.
    pub(super) fn finish(&self, files: Vec<Pending>) -> Vec<Result<Ended, (PathBuf, IntakeError)>> {
        let mut ended = Vec::with_capacity(files.len());
        let (mut moved, mut dirs) = (Vec::with_capacity(files.len()), BTreeSet::new());
        for pending in files {
            let path = pending.path.clone();
            let end = self.shelve(pending).map(|(id, to, end)| {
                dirs.extend(to.parent().filter(|_| to != path).map(Path::to_path_buf));
                moved.push((id, to));
                end
            });
            ended.push(end.map_err(|error| (path, error)));
        }
        if let Err(error) = self.settle(&dirs, moved) {
            // The content is safe and the moves are made up for at the next start; but the queue or the disk is in trouble.
            ended.push(Err((self.feed.folder.clone(), error)));
        }
        ended
    }

    /// Moves one file whose content is dealt with, and says so to the queue.
    pub(super) fn move_away(&self, file: FileId, path: &Path, shelf: Shelf) -> Result<(), IntakeError> {
        let to = self.shelves.shelve(path, &self.feed.folder, shelf, self.today)?;
        self.move_companion(path, &to);
        let dirs = to.parent().filter(|_| to != path).map(Path::to_path_buf).into_iter().collect();
        self.settle(&dirs, vec![(file, to)])
    }

    fn settle(&self, dirs: &BTreeSet<PathBuf>, moved: Vec<(FileId, PathBuf)>) -> Result<(), IntakeError> {
        for dir in dirs {
            shelve::sync_dir(dir).map_err(|source| IntakeError::Move { path: dir.clone(), source })?;
        }
        if moved.is_empty() {
            return Ok(());
        }
        self.store.moved(moved).map_err(|source| self.queue(&self.feed.folder, source))
    }

    fn shelve(&self, pending: Pending) -> Result<(FileId, PathBuf, Ended), IntakeError> {
        let path = &pending.path;
        // Every file was registered by its chunks or before.
        let Some(id) = pending.file else { return Err(self.queue(path, QueueError::Closed)) };
        // The events are on disk: only now may anybody be told so. A file that was known was answered when it came first.
        if pending.earlier.is_none() {
            answers::write(&self.feed.answers, &pending.answers)?;
        }
        let shelf = if pending.refusals.is_empty() { Shelf::Archive } else { Shelf::Quarantine };
        let to = self.shelves.shelve(path, &self.feed.folder, shelf, self.today)?;
        self.move_companion(path, &to);
        let ended = match pending.earlier {
            Some(earlier) => Ended::Duplicate { earlier },
            None if pending.refusals.is_empty() => Ended::Captured { appended: pending.appended, held: pending.held },
            None => {
                self.write_reason(path, &to, &pending.sha256, &pending.refusals)?;
                Ended::Refused { reasons: pending.refusals.len() }
            }
        };
        Ok((id, to, ended))
    }

    fn write_reason(&self, path: &Path, to: &Path, sha256: &str, reasons: &[HeldLine]) -> Result<(), IntakeError> {
        // A file that stays where it is gets no companion: its folder is not ours to write to.
        if to == path {
            return Ok(());
        }
        let (file, refused_at) = (&shelve::name_of(path), self.now.to_string());
        shelve::write_reason(to, &Reason { file, feed: &self.feed.name, sha256, refused_at, reasons })
    }

    fn read(
        &self,
        opened: &mut Opened,
        file: &NewFile,
        pending: Pending,
        done: u64,
        order: &Order,
    ) -> Result<Pending, IntakeError> {
        let facts = FileFacts {
            feed: file.feed.clone(),
            name: file.name.clone(),
            sha256: pending.sha256.clone(),
            size: file.size,
            record_time: file.found_at,
        };
        let decode = |source| IntakeError::Decode { path: file.path.clone(), source };
        let mut kept = Kept::new(file.size, done == 0, self.shelves.state_dir());
        let survey = self.feed.decoder.survey_keeping(&mut opened.file, &facts, &mut kept).map_err(decode)?;
        unchanged(opened, &file.path)?;
        for warning in &survey.warnings {
            tracing::warn!(feed = %file.feed, file = %file.name, warning, "export was doubtful");
        }
        let mut pending = pending;
        pending.answers = answers::of(self.feed.decoder.profile(), &facts, &survey);
        let mut writer = Writer::new(self, file, pending, done, order);
        if survey.is_refused() {
            return writer.refuse(survey);
        }
        writer.pending.held = survey.held;
        writer.statement_end = self.statement_end(file, &facts, &survey);
        if let Some(kept) = kept.finish(self.feed.decoder.repeats(&survey)) {
            return writer.take_all(kept, &survey);
        }
        let mut visit = |record, found: Record<'_>| writer.take(record, found);
        self.feed.decoder.emit(&mut opened.file, &facts, &survey, &mut visit).map_err(decode)?;
        if let Some(error) = writer.error.take() {
            return Err(error);
        }
        unchanged(opened, &file.path)?;
        writer.end(&survey)
    }

    /// What tells the centre that a statement of stock is whole: what a whole one does not name is none, what a part does not
    /// name is unknown. With it go the lines that were held.
    fn statement_end(&self, file: &NewFile, facts: &FileFacts, survey: &Survey) -> Option<Event> {
        if !survey.counts.contains_key(&EventType::InventorySnapshot) {
            return None;
        }
        let (site, at) = (self.feed.decoder.site().clone(), file.found_at);
        let mut event = Event::new(EventType::InventorySnapshot, site, EventTime::utc(at), at);
        event.references.push(Reference { kind: RefKind::Report, value: facts.sha256.clone(), date: None });
        event.extensions.insert(STATEMENT_END.to_owned(), survey.held.to_string());
        event.source.feed.clone_from(&facts.feed);
        event.source.file_name.clone_from(&facts.name);
        event.source.file_sha256.clone_from(&facts.sha256);
        event.source.file_size = facts.size;
        Some(event)
    }

    /// Writes the answers to a file whose events are stored and whose answers a crash may have cut off.
    pub(super) fn answer_again(&self, path: &Path, name: &str, sha256: &[u8; 32]) -> Result<(), IntakeError> {
        if !self.feed.decoder.profile().has_answers() {
            return Ok(());
        }
        let mut opened = open::open(path)?;
        let facts = FileFacts {
            feed: self.feed.name.clone(),
            name: name.to_owned(),
            sha256: identity::hex(sha256),
            size: opened.size,
            record_time: self.now,
        };
        let decode = |source| IntakeError::Decode { path: path.to_path_buf(), source };
        let survey = self.feed.decoder.survey(&mut opened.file, &facts).map_err(decode)?;
        answers::write(&self.feed.answers, &answers::of(self.feed.decoder.profile(), &facts, &survey))
    }

    /// A companion that holds a sum must hold this one.
    fn check_sum(&self, path: &Path, opened: &mut Opened, sha256: &[u8; 32]) -> Result<(), IntakeError> {
        let CompleteRule::Marker { suffix } = &self.feed.decoder.profile().complete else { return Ok(()) };
        let read = |source| IntakeError::Read { path: path.to_path_buf(), source };
        let sum = match suffix.as_str() {
            ".sha256" => identity::hex(sha256),
            ".md5" => identity::hex(&md5::of(&mut opened.file).map_err(read)?),
            _ => return Ok(()),
        };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        let companion = self.feed.folder.join(name);
        let mut text = String::new();
        let sums = match open::open(&companion) {
            // The export is there; it is its companion that is missing, and may come again.
            Err(error) if error.is_gone() => {
                return Err(IntakeError::Sum { path: path.to_path_buf(), companion });
            }
            other => other?,
        };
        // A sum is short; whatever else lies there is not read into memory.
        sums.file.take(COMPANION_BYTES_MAX).read_to_string(&mut text).map_err(read)?;
        let is_same = text.split_whitespace().next().is_some_and(|first| first.eq_ignore_ascii_case(&sum));
        if is_same { Ok(()) } else { Err(IntakeError::Sum { path: path.to_path_buf(), companion }) }
    }

    /// A marker goes where its file went. One that stays behind marks nothing, hence no error.
    fn move_companion(&self, path: &Path, to: &Path) {
        if let (CompleteRule::Marker { suffix }, Some(name)) = (&self.feed.decoder.profile().complete, path.file_name())
            && to != path
        {
            let (mut marker, mut target) = (name.to_owned(), to.as_os_str().to_owned());
            marker.push(suffix);
            target.push(suffix);
            if let Err(error) = std::fs::rename(self.feed.folder.join(marker), target) {
                tracing::debug!(feed = %self.feed.name, error = %error, "marker was left behind");
            }
        }
    }

    pub(super) fn queue(&self, path: &Path, source: QueueError) -> IntakeError {
        IntakeError::Queue { path: path.to_path_buf(), source: Box::new(source) }
    }
}

/// Whether the file is still the one that was hashed: a writer may hold it open although it was renamed.
fn unchanged(opened: &Opened, path: &Path) -> Result<(), IntakeError> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = opened.file.metadata().map_err(|source| IntakeError::Read { path: path.to_path_buf(), source })?;
    let mtime_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    if meta.len() == opened.size && mtime_ns == opened.mtime_ns {
        return Ok(());
    }
    Err(IntakeError::Changed { path: path.to_path_buf() })
}

/// Collects records into chunks.
struct Writer<'w> {
    desk: &'w Desk<'w>,
    file: &'w NewFile,
    order: &'w Order,
    done_before: u64,
    builder: BatchBuilder,
    batches: Vec<ReadyBatch>,
    held: Vec<HeldLine>,
    records_done: u64,
    pending: Pending,
    statement_end: Option<Event>,
    error: Option<IntakeError>,
}

impl<'w> Writer<'w> {
    fn new(desk: &'w Desk<'w>, file: &'w NewFile, pending: Pending, done_before: u64, order: &'w Order) -> Self {
        let (builder, batches, held) = (BatchBuilder::new(), Vec::new(), Vec::new());
        Self {
            desk,
            file,
            order,
            done_before,
            builder,
            batches,
            held,
            records_done: done_before,
            pending,
            statement_end: None,
            error: None,
        }
    }

    fn take(&mut self, record: u64, found: Record<'_>) -> ControlFlow<()> {
        // What an earlier run stored is read again, for its numbering, but not handed over again.
        if record <= self.done_before {
            return ControlFlow::Continue(());
        }
        let taken = match found {
            Record::Event(event) => self.event(event),
            Record::Held(lines) => {
                self.held.extend_from_slice(lines);
                Ok(())
            }
        };
        self.records_done = record;
        match taken.and_then(|()| self.flush_full()) {
            Ok(()) if self.pending.earlier.is_some() => ControlFlow::Break(()),
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// Hands over what the first pass kept.
    fn take_all(mut self, mut kept: Whole, survey: &Survey) -> Result<Pending, IntakeError> {
        let path = self.file.path.clone();
        let lost = |source| IntakeError::Read { path: path.clone(), source };
        let mut held = kept.take_held().into_iter().peekable();
        for batch in kept.into_batches().map_err(lost)? {
            let (last, batch) = batch.map_err(lost)?;
            if self.batches.len() >= CHUNK_BATCHES_MAX {
                // A chunk holds all of its records: going on behind it must skip no held line.
                while let Some((_, line)) = held.next_if(|(record, _)| *record <= self.records_done) {
                    self.held.push(line);
                }
                self.flush(None)?;
            }
            self.batches.push(batch);
            self.records_done = last;
        }
        self.held.extend(held.map(|(_, line)| line));
        self.end(survey)
    }

    fn event(&mut self, event: &Event) -> Result<(), IntakeError> {
        if self.builder.is_full() {
            self.batch()?;
        }
        let _id = self.builder.push(event);
        Ok(())
    }

    fn batch(&mut self) -> Result<(), IntakeError> {
        let ready =
            self.builder.take().map_err(|source| IntakeError::Encode { path: self.file.path.clone(), source })?;
        self.batches.extend(ready);
        Ok(())
    }

    fn flush_full(&mut self) -> Result<(), IntakeError> {
        let is_full = self.builder.is_full() && self.batches.len() + 1 >= CHUNK_BATCHES_MAX;
        if is_full || self.held.len() >= CHUNK_HELD_MAX { self.flush(None) } else { Ok(()) }
    }

    fn flush(&mut self, end: Option<FileEnd>) -> Result<(), IntakeError> {
        self.batch()?;
        let Some(file) = self.of()? else { return Ok(()) };
        let (batches, held) = (std::mem::take(&mut self.batches), std::mem::take(&mut self.held));
        let chunk = Chunk { file, batches, held, records_done: self.records_done, end };
        self.pending.tickets.push_back(self.desk.store.append(chunk, self.order));
        while self.pending.tickets.len() > CHUNKS_AHEAD {
            self.wait_first()?;
        }
        Ok(())
    }

    /// Whose the next chunk is: the first registers its file. `None` where that showed that the content is known.
    fn of(&mut self) -> Result<Option<Of>, IntakeError> {
        if self.pending.file.is_none() && !self.pending.tickets.is_empty() {
            self.wait_first()?;
        }
        Ok(match self.pending.file {
            _ if self.pending.earlier.is_some() => None,
            Some(id) => Some(Of::Known(id)),
            None => Some(Of::Unseen(Box::new(self.file.clone()))),
        })
    }

    fn wait_first(&mut self) -> Result<(), IntakeError> {
        match self.pending.tickets.pop_front() {
            Some(ticket) => self.pending.note(ticket).map_err(|source| self.desk.queue(&self.file.path, source)),
            None => Ok(()),
        }
    }

    fn refuse(mut self, survey: Survey) -> Result<Pending, IntakeError> {
        self.held.clone_from(&survey.refusals);
        self.records_done = survey.records;
        self.flush(Some(FileEnd::Refused { lines: survey.lines }))?;
        self.pending.refusals = survey.refusals;
        Ok(self.pending)
    }

    fn end(mut self, survey: &Survey) -> Result<Pending, IntakeError> {
        if let Some(event) = self.statement_end.take() {
            self.event(&event)?;
        }
        self.records_done = survey.records;
        self.flush(Some(FileEnd::Captured { lines: survey.lines, taken: survey.taken }))?;
        Ok(self.pending)
    }
}

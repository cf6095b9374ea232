//! Takes one claimed file through the queue and onto its shelf.
//!
//! State first, move second: the file is moved only after all of it is stored, so that a cut at any moment leaves either a
//! file that is taken again and known by its hash, or one whose move is made up for.

use std::{
    io::Read as _,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use docksync_proto::{event::Event, identity};
use jiff::{Timestamp, civil::Date};

use super::{
    Feed, IntakeError, md5,
    open::{self, Opened},
    shelve::{self, Reason, Shelf, Shelves},
};
use crate::{
    decode::{FileFacts, Record, Survey, profile::CompleteRule},
    queue::capture::{Appended, BatchBuilder, Begun, CaptureStore, Chunk, FileEnd, FileId, HeldLine, NewFile},
};

/// Most batches of one chunk: what a cut costs at most.
pub const CHUNK_BATCHES_MAX: usize = 10;
/// Most held lines of one chunk.
pub const CHUNK_HELD_MAX: usize = 1_000;

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

impl Desk<'_> {
    /// Captures a file that is claimed, and shelves it.
    pub(super) fn capture(&self, path: &Path) -> Result<Ended, IntakeError> {
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
        match self.store.begin(&file).map_err(|source| self.queue(path, source))? {
            Begun::Duplicate { file, earlier } => {
                self.finish(file, path, Shelf::Archive)?;
                Ok(Ended::Duplicate { earlier })
            }
            Begun::New(id) => self.read(&mut opened, &file, id, 0),
            Begun::Resume { file: id, records_done } => self.read(&mut opened, &file, id, records_done),
        }
    }

    /// Moves a file whose content is dealt with, and says so to the queue.
    pub(super) fn finish(&self, file: FileId, path: &Path, shelf: Shelf) -> Result<PathBuf, IntakeError> {
        let to = self.shelves.shelve(path, &self.feed.folder, shelf, self.today)?;
        self.move_companion(path, &to);
        self.store.moved(file, &to).map_err(|source| self.queue(path, source))?;
        Ok(to)
    }

    fn read(&self, opened: &mut Opened, file: &NewFile, id: FileId, done: u64) -> Result<Ended, IntakeError> {
        let facts = FileFacts {
            feed: file.feed.clone(),
            name: file.name.clone(),
            sha256: identity::hex(&file.sha256),
            size: file.size,
            record_time: file.found_at,
        };
        let decode = |source| IntakeError::Decode { path: file.path.clone(), source };
        let survey = self.feed.decoder.survey(&mut opened.file, &facts).map_err(decode)?;
        unchanged(opened, &file.path)?;
        for warning in &survey.warnings {
            tracing::warn!(feed = %file.feed, file = %file.name, warning, "export was doubtful");
        }
        if survey.is_refused() {
            return self.refuse(file, id, survey, &facts.sha256);
        }
        let mut writer = Writer::new(self, file, id, done);
        let mut visit = |record, found: Record<'_>| writer.take(record, found);
        self.feed.decoder.emit(&mut opened.file, &facts, &survey, &mut visit).map_err(decode)?;
        if let Some(error) = writer.error.take() {
            return Err(error);
        }
        unchanged(opened, &file.path)?;
        let appended = writer.end(survey.records, survey.lines)?;
        self.finish(id, &file.path, Shelf::Archive)?;
        Ok(Ended::Captured { appended, held: survey.held })
    }

    fn refuse(&self, file: &NewFile, id: FileId, survey: Survey, sha256: &str) -> Result<Ended, IntakeError> {
        let end = Some(FileEnd::Refused { lines: survey.lines });
        let held = survey.refusals.clone();
        let chunk = Chunk { file: id, batches: Vec::new(), held, records_done: survey.records, end };
        self.store.append(chunk).map_err(|source| self.queue(&file.path, source))?;
        let to = self.shelves.shelve(&file.path, &self.feed.folder, Shelf::Quarantine, self.today)?;
        self.move_companion(&file.path, &to);
        // A file that stays where it is gets no companion: its folder is not ours to write to.
        if to != file.path {
            let refused_at = self.now.to_string();
            let reason = Reason { file: &file.name, feed: &file.feed, sha256, refused_at, reasons: &survey.refusals };
            shelve::write_reason(&to, &reason)?;
        }
        self.store.moved(id, &to).map_err(|source| self.queue(&file.path, source))?;
        Ok(Ended::Refused { reasons: survey.refusals.len() })
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
        // A sum is short; whatever else lies there is not read into memory.
        open::open(&companion)?.file.take(COMPANION_BYTES_MAX).read_to_string(&mut text).map_err(read)?;
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

    fn queue(&self, path: &Path, source: crate::queue::QueueError) -> IntakeError {
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
    id: FileId,
    done_before: u64,
    builder: BatchBuilder,
    chunk: Chunk,
    appended: Appended,
    error: Option<IntakeError>,
}

impl<'w> Writer<'w> {
    fn new(desk: &'w Desk<'w>, file: &'w NewFile, id: FileId, done_before: u64) -> Self {
        let chunk = empty(id, done_before);
        let (builder, appended) = (BatchBuilder::new(), Appended::default());
        Self { desk, file, id, done_before, builder, chunk, appended, error: None }
    }

    fn take(&mut self, record: u64, found: Record<'_>) -> ControlFlow<()> {
        // What an earlier run stored is read again, for its numbering, but not handed over again.
        if record <= self.done_before {
            return ControlFlow::Continue(());
        }
        let taken = match found {
            Record::Event(event) => self.event(event),
            Record::Held(lines) => {
                self.held(lines);
                Ok(())
            }
        };
        self.chunk.records_done = record;
        match taken.and_then(|()| self.flush_full()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), IntakeError> {
        if self.builder.is_full() {
            self.batch()?;
        }
        self.builder.push(event);
        Ok(())
    }

    fn held(&mut self, lines: &[HeldLine]) {
        self.chunk.held.extend_from_slice(lines);
    }

    fn batch(&mut self) -> Result<(), IntakeError> {
        let ready =
            self.builder.take().map_err(|source| IntakeError::Encode { path: self.file.path.clone(), source })?;
        self.chunk.batches.extend(ready);
        Ok(())
    }

    fn flush_full(&mut self) -> Result<(), IntakeError> {
        let is_full = self.builder.is_full() && self.chunk.batches.len() + 1 >= CHUNK_BATCHES_MAX;
        if is_full || self.chunk.held.len() >= CHUNK_HELD_MAX { self.flush(None) } else { Ok(()) }
    }

    fn flush(&mut self, end: Option<FileEnd>) -> Result<(), IntakeError> {
        self.batch()?;
        let records_done = self.chunk.records_done;
        let mut chunk = std::mem::replace(&mut self.chunk, empty(self.id, records_done));
        chunk.end = end;
        let appended = self.desk.store.append(chunk).map_err(|source| self.desk.queue(&self.file.path, source))?;
        self.appended.accepted += appended.accepted;
        self.appended.duplicate += appended.duplicate;
        self.appended.revised += appended.revised;
        Ok(())
    }

    fn end(mut self, records: u64, lines: u64) -> Result<Appended, IntakeError> {
        self.chunk.records_done = records;
        self.flush(Some(FileEnd::Captured { lines }))?;
        Ok(self.appended)
    }
}

const fn empty(file: FileId, records_done: u64) -> Chunk {
    Chunk { file, batches: Vec::new(), held: Vec::new(), records_done, end: None }
}

//! The threads of the room: one scanner for each feed, so that a share that hangs holds up only itself, and a few workers.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::queue::capture::Order;

use super::{
    Disposition, Intake, IntakeError,
    board::{Job, pause},
    capture::{Desk, Ended, Pending},
    chain, open,
    scan::{self, Memory, Ready, Scan},
    shelve::{self, Claimed},
    watch::{self, Bell},
};

/// How long a thread may take to notice that it should stop.
const STOP_WAIT: Duration = Duration::from_millis(250);
/// Most files of one feed that are stored together.
const RUN_FILES_MAX: usize = 32;
/// Bytes of such files after which no other is added.
const RUN_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Pause after a scan, in times of what it took.
const SCAN_REST: u32 = 4;
/// Longest such pause.
const SCAN_REST_MAX: Duration = Duration::from_millis(250);

impl Intake {
    /// Runs until `stop`; blocks, hence on a thread of its own. A file that is being read is finished first up to its chunk.
    ///
    /// # Errors
    /// [`IntakeError`] with [`Disposition::Stop`]: the queue or a thread failed, the program must end.
    pub fn run(self, stop: &CancellationToken) -> Result<(), IntakeError> {
        self.reconcile()?;
        let failed = Mutex::new(None);
        let fail = |error: IntakeError| {
            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            self.board.stop();
        };
        thread::scope(|scope| {
            let spawn = |name: String, body: &mut dyn FnMut(thread::Builder) -> std::io::Result<()>| {
                if let Err(source) = body(thread::Builder::new().name(name.clone())) {
                    fail(IntakeError::Thread { name, source });
                }
            };
            for at in 0..self.feeds.len() {
                spawn(format!("scan-{at}"), &mut |builder| {
                    let this = &self;
                    builder.spawn_scoped(scope, move || this.scan_loop(at, stop)).map(drop)
                });
            }
            for at in 0..self.settings.workers {
                spawn(format!("intake-{at}"), &mut |builder| {
                    let (this, fail) = (&self, &fail);
                    builder.spawn_scoped(scope, move || this.work_loop(stop).unwrap_or_else(fail)).map(drop)
                });
            }
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn is_stopping(&self, stop: &CancellationToken) -> bool {
        stop.is_cancelled() || self.board.is_stopped()
    }

    fn scan_loop(&self, at: usize, stop: &CancellationToken) {
        let bell = Bell::default();
        let (mut watcher, mut memory, mut device) = (None, Memory::default(), None);
        while !self.is_stopping(stop) {
            if watcher.is_none() {
                let (new, watching) = watch::watch(&self.feeds[at].folder, &bell);
                watcher = new;
                self.facts.with(at, |facts| facts.watching = watching);
            }
            let begun = self.clock.monotonic();
            let again = self.scan_once(at, &mut memory, &mut device);
            // A full folder is not looked through again and again while it is worked off: its files are up already.
            let rest = (self.clock.monotonic().saturating_duration_since(begun) * SCAN_REST).min(SCAN_REST_MAX);
            thread::park_timeout(rest);
            let mut left = again.unwrap_or(self.settings.rescan).min(self.settings.rescan);
            while !left.is_zero() && !self.is_stopping(stop) {
                let slice = left.min(STOP_WAIT);
                left = if bell.wait(slice) { Duration::ZERO } else { left.saturating_sub(slice) };
            }
        }
    }

    /// Looks through a feed's folder and puts up what may be taken. Gives the time after which to look again.
    pub(super) fn scan_once(&self, at: usize, memory: &mut Memory, device: &mut Option<u64>) -> Option<Duration> {
        let feed = &self.feeds[at];
        let is_done = |path: &Path, size: u64, mtime_ns: i128| self.is_done(at, path, size, mtime_ns);
        let now = self.clock.monotonic();
        let found =
            scan::scan(&feed.folder, feed.decoder.profile(), memory, self.settings.file_bytes_max, now, &is_done)
                .and_then(|scan| same_device(scan, device, &feed.folder));
        match found {
            Ok(scan) => {
                let again = scan.look_again;
                self.note_scan(at, &scan);
                self.board.put(at, scan.ready);
                again
            }
            Err(error) => {
                self.trouble(at, &error);
                self.facts.with(at, |facts| facts.waiting = 0);
                None
            }
        }
    }

    /// Whether a file of a folder that may not be changed was dealt with.
    fn is_done(&self, at: usize, path: &Path, size: u64, mtime_ns: i128) -> bool {
        let mtime_ms = i64::try_from(mtime_ns / 1_000_000).unwrap_or(0);
        // An answer that cannot be had now is asked for again: reading twice is harmless, the hash tells.
        self.store.is_known_in_place(&self.feeds[at].name, path, size, mtime_ms).unwrap_or(false)
    }

    fn note_scan(&self, at: usize, scan: &Scan) {
        let (feed, now) = (&self.feeds[at], self.clock.wall());
        self.facts.with(at, |facts| {
            facts.waiting = scan.waiting;
            facts.waiting_since = (scan.waiting > 0).then(|| facts.waiting_since.unwrap_or(now));
            facts.ignored = scan.ignored;
            for name in &scan.fresh {
                facts.saw(super::shown(name), now);
            }
            facts.judge(feed.expect_every, feed.expect_hours.as_ref(), &self.zone, now);
            let is_folder = |code: &str| matches!(code, "F001" | "F002" | "F004" | "F005" | "F011");
            if scan.refused.is_empty() && facts.trouble.as_ref().is_some_and(|t| is_folder(t.code)) {
                facts.trouble = None;
            }
        });
        // One is told; the others follow once it is dealt with.
        if let Some(error) = scan.refused.first() {
            self.trouble(at, error);
        }
    }

    /// Notes trouble for people; logs it once as long as it stays the same.
    fn trouble(&self, at: usize, error: &IntakeError) {
        let text = chain(error);
        let is_new = self.facts.with(at, |facts| facts.fail(error.code(), text.clone(), self.clock.wall()));
        if is_new == Some(true) {
            tracing::error!(feed = %self.feeds[at].name, code = error.code(), error = %text, "export was not taken");
        }
    }

    fn work_loop(&self, stop: &CancellationToken) -> Result<(), IntakeError> {
        while !self.is_stopping(stop) {
            if !self.work_once()? {
                self.board.wait(STOP_WAIT);
            }
        }
        Ok(())
    }

    /// Deals with the next files of one feed; false where there is none, or no room for it.
    pub(super) fn work_once(&self) -> Result<bool, IntakeError> {
        if !self.store.has_room() {
            return Ok(false);
        }
        let Some((at, job, attempts)) = self.board.take(self.clock.monotonic()) else { return Ok(false) };
        let done = self.work(at, job, attempts);
        self.board.done(at);
        self.facts.with(at, |facts| facts.reading = None);
        done.map(|()| true)
    }

    /// Reads a run of files of one feed; they share syncs, so that many small files do not wait for the disk one by one.
    fn work(&self, at: usize, job: Job, attempts: u32) -> Result<(), IntakeError> {
        let (desk, order) = (self.desk(at), Order::default());
        let (mut pending, mut next, mut bytes) = (Vec::new(), Some((job, attempts)), 0);
        let mut failed = None;
        while let Some((job, attempts)) = next {
            let Some(path) = self.path_of(at, job) else {
                next = self.board.take_more(at, self.clock.monotonic());
                continue;
            };
            let name = shelve::name_of(&path);
            self.facts.with(at, |facts| facts.reading = Some(name.clone()));
            bytes += path.metadata().map_or(0, |meta| meta.len());
            match desk.capture(&path, &order) {
                Ok(file) => pending.push((attempts, name, file)),
                Err(error) if error.is_gone() => {
                    tracing::warn!(feed = %self.feeds[at].name, file = %name, "export vanished before it was captured");
                }
                Err(error) => {
                    failed = Some((path, attempts, error));
                    break;
                }
            }
            let is_more = pending.len() < RUN_FILES_MAX && bytes < RUN_BYTES_MAX && !self.board.is_stopped();
            next = if is_more { self.board.take_more(at, self.clock.monotonic()) } else { None };
        }
        self.finish(at, &desk, pending)?;
        failed.map_or(Ok(()), |(path, attempts, error)| self.failed(at, path, attempts, error))
    }

    /// Waits until the files are on disk and shelves them; those that are not come up again, in their order.
    fn finish(&self, at: usize, desk: &Desk<'_>, pending: Vec<(u32, String, Pending)>) -> Result<(), IntakeError> {
        let (mut names, mut stored, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for (attempts, name, mut file) in pending {
            match file.wait() {
                Ok(()) => {
                    names.push((attempts, name));
                    stored.push(file);
                }
                Err(source) => left.push((attempts, file.path.clone(), desk.queue(&file.path, source))),
            }
        }
        let mut names = names.into_iter();
        let mut result = Ok(());
        for ended in desk.finish(stored) {
            let known = names.next();
            match (ended, known) {
                (Ok(ended), Some((_, name))) => self.note_end(at, &name, &ended),
                (Err((path, error)), Some((attempts, _))) => {
                    result = result.and(self.failed(at, path, attempts, error))
                }
                // Moves that could not be written down: made up for at the next start.
                (Err((_, error)), None) => match error.disposition() {
                    Disposition::Stop => result = result.and(Err(error)),
                    Disposition::Retry | Disposition::Leave => self.trouble(at, &error),
                },
                (Ok(_), None) => {}
            }
        }
        for (attempts, path, error) in left {
            result = result.and(self.failed(at, path, attempts, error));
        }
        result
    }

    /// Where the file of a job lies, claimed; `None` where the next scan must look again.
    fn path_of(&self, at: usize, job: Job) -> Option<PathBuf> {
        match job {
            Job::Claimed(path) => Some(path),
            // What was not claimed is found by the next scan.
            Job::Found(ready) => self.claim(at, &ready).unwrap_or_else(|error| {
                self.trouble(at, &error);
                None
            }),
        }
    }

    /// Claims a file if it still is as it was seen; `None` where the next scan must look again.
    fn claim(&self, at: usize, ready: &Ready) -> Result<Option<PathBuf>, IntakeError> {
        let feed = &self.feeds[at];
        let opened = match open::open(&ready.path) {
            Err(error) if error.is_gone() => return Ok(None),
            other => other?,
        };
        if opened.size != ready.size || opened.mtime_ns != ready.mtime_ns {
            return Ok(None);
        }
        match self.shelves.claim(&feed.name, &ready.path) {
            Ok(Claimed::Moved(path)) => Ok(Some(path)),
            // It may have been captured between the scan and now.
            Ok(Claimed::InPlace) => {
                Ok((!self.is_done(at, &ready.path, ready.size, ready.mtime_ns)).then(|| ready.path.clone()))
            }
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn failed(&self, at: usize, path: PathBuf, attempts: u32, error: IntakeError) -> Result<(), IntakeError> {
        match error.disposition() {
            Disposition::Stop => return Err(error),
            Disposition::Retry | Disposition::Leave => self.trouble(at, &error),
        }
        // A file left in place comes up again with the next scan.
        let is_claimed =
            !path.starts_with(&self.feeds[at].folder) || path.components().any(|c| c.as_os_str() == shelve::SIDE_DIR);
        if is_claimed {
            // What the queue could not take was no fault of the file: its feed waits for it, however long.
            let is_queue = matches!(error, IntakeError::Queue { .. });
            let attempts = if is_queue { 1 } else { attempts.saturating_add(1) };
            self.board.put_claimed(at, path, attempts, self.clock.monotonic() + pause(attempts));
        }
        Ok(())
    }

    fn note_end(&self, at: usize, name: &str, ended: &Ended) {
        let (feed, now) = (self.feeds[at].name.as_str(), self.clock.wall());
        match ended {
            Ended::Captured { appended, held } => {
                let (accepted, duplicate, revised) = (appended.accepted, appended.duplicate, appended.revised);
                tracing::info!(feed, file = name, accepted, duplicate, revised, held, "file captured");
            }
            Ended::Refused { reasons } => tracing::error!(feed, file = name, reasons, "file set aside"),
            Ended::Duplicate { earlier } => tracing::info!(feed, file = name, earlier, "file was captured before"),
        }
        self.facts.with(at, |facts| {
            match ended {
                Ended::Captured { held, .. } => {
                    facts.captured += 1;
                    facts.held += held;
                }
                Ended::Refused { .. } => facts.quarantined += 1,
                Ended::Duplicate { .. } => facts.duplicates += 1,
            }
            if !matches!(ended, Ended::Refused { .. }) {
                facts.last_captured_name = name.to_owned();
                facts.last_captured_at = Some(now);
            }
            if facts.trouble.as_ref().is_some_and(|t| matches!(t.code, "F003" | "F007" | "F009" | "F031")) {
                facts.trouble = None;
            }
            facts.waiting = facts.waiting.saturating_sub(1);
        });
    }
}

/// A share that was unmounted leaves an empty folder on another device: not "no files", but trouble.
fn same_device(scan: Scan, device: &mut Option<u64>, folder: &Path) -> Result<Scan, IntakeError> {
    let is_empty = scan.waiting == 0 && scan.ignored == 0;
    if device.is_some_and(|known| known != scan.device) && is_empty {
        return Err(IntakeError::OtherDevice { path: folder.to_path_buf() });
    }
    *device = Some(scan.device);
    Ok(scan)
}

//! The writer thread: one connection, groups of requests in one synced transaction.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

use docksync_proto::{
    identity::{Chain, Incarnation},
    link::SenderState,
    site::SiteId,
};
use jiff::{Timestamp, tz::TimeZone};
use rusqlite::Connection;
use tokio::sync::watch;

use super::{
    QueueError,
    capture::{Begun, CaptureStore, Chunk, FileId, NewFile, Order, Stored, Ticket, Unfinished},
    known::Known,
    schema,
    store::{self, Head},
};

/// Requests that wait for the writer; more than this block their senders.
const REQUESTS_MAX: usize = 64;
/// Requests that share one transaction.
const GROUP_MAX: usize = 64;
/// Batches deleted in one go, so that pruning never holds up a capture for long.
const PRUNE_BATCHES: i64 = 256;

/// How a queue is opened.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    /// Folder of the database.
    pub dir: PathBuf,
    /// Site.
    pub site: SiteId,
    /// Zone that says what a day is.
    pub zone: TimeZone,
    /// Disk budget of the database, in bytes.
    pub bytes_max: u64,
    /// Bytes of a file that is given up when the disk is full, so that the queue can still drain.
    pub ballast_bytes: u64,
    /// What names this machine: a copy on another machine is told at once.
    pub machine: String,
    /// Bits for a new database's name.
    pub incarnation: Incarnation,
}

/// Counters that pages and heartbeats read without asking the database.
#[derive(Debug, Default)]
pub struct Counts {
    /// Bytes of the database in use.
    pub used_bytes: AtomicU64,
    /// Events stored since start.
    pub captured: AtomicU64,
    /// Events that were known already, since start.
    pub duplicates: AtomicU64,
    /// Files captured since start.
    pub files: AtomicU64,
    /// Lines held since start.
    pub held: AtomicU64,
    /// Transactions since start.
    pub commits: AtomicU64,
    /// Time of the last capture, milliseconds since 1970; 0 before the first.
    pub captured_at_ms: AtomicU64,
}

type Job = Box<dyn FnOnce(&mut Core) -> Result<Reply, QueueError> + Send>;

enum Request {
    /// Part of a group.
    Work(Work),
    Stop,
}

struct Work {
    job: Job,
    answer: Answer,
    /// Work under one order is done only if all before it was.
    order: Option<Order>,
}

type Answer = mpsc::SyncSender<Result<Reply, QueueError>>;

/// What a job gives back.
enum Reply {
    Begun(Begun),
    Stored(Stored),
    Unfinished(Vec<Unfinished>),
    State(Box<SenderState>),
    Count(usize),
    Flag(bool),
    File(Option<FileId>),
    Done,
}

/// The writer's own.
struct Core {
    db: Connection,
    config: QueueConfig,
    path: PathBuf,
    known: Known,
    head: Head,
    counts: Arc<Counts>,
    has_room: Arc<AtomicBool>,
    /// Bytes that the last chunk needed for which there was no room; until they are free no other is asked for.
    wanted: u64,
    /// Set when a write failed for another reason than room: this handle is not used again.
    is_poisoned: bool,
}

/// A handle to the queue. Calls block until the writer has synced: none may be made inside async code.
#[derive(Clone)]
pub struct Queue {
    requests: mpsc::SyncSender<Request>,
    path: PathBuf,
    head: watch::Receiver<SenderState>,
    counts: Arc<Counts>,
    has_room: Arc<AtomicBool>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    /// Answers what scans ask of every file they see, beside the writer: its transactions are for what changes.
    asked: Arc<Mutex<Connection>>,
    bytes_max: u64,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Queue {
    /// Opens the queue, creates it where there is none, and starts its writer.
    ///
    /// # Errors
    /// [`QueueError`] where another process has it, where it is damaged, or of a later version.
    pub fn open(config: QueueConfig) -> Result<Self, QueueError> {
        let path = config.dir.join("queue.db");
        let lock = schema::lock(&config.dir)?;
        let core = Core::open(config.clone(), &path)?;
        let asked = Arc::new(Mutex::new(schema::open_reader(&path)?));
        let (requests, inbox) = mpsc::sync_channel(REQUESTS_MAX);
        let (told, head) = watch::channel(core.head.state.clone());
        let (counts, has_room) = (core.counts.clone(), core.has_room.clone());
        let io = |source| QueueError::Io { path: path.clone(), what: "start the writer of", source };
        let thread = std::thread::Builder::new()
            .name("queue-writer".to_owned())
            .spawn(move || {
                write(core, &inbox, &told);
                drop(lock);
            })
            .map_err(io)?;
        let thread = Arc::new(Mutex::new(Some(thread)));
        Ok(Self { requests, path, head, counts, has_room, thread, asked, bytes_max: config.bytes_max })
    }

    /// Database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Disk budget, in bytes.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// State of the link as stored, told anew after every commit.
    pub fn head(&self) -> watch::Receiver<SenderState> {
        self.head.clone()
    }

    /// Counters.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Stores the engine's state; on disk when this returns. The head is the queue's own and stays.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn save_link(&self, state: SenderState) -> Result<(), QueueError> {
        self.call(Box::new(move |core| {
            let own = &core.head.state;
            let merged = SenderState {
                head: own.head,
                head_chain: own.head_chain,
                oldest_kept: own.oldest_kept,
                oldest_chain: own.oldest_chain,
                ..state
            };
            store::save_state(&core.db, &merged).map_err(core.sql("store the link in"))?;
            core.head.state = merged;
            Ok(Reply::Done)
        }))
        .map(drop)
    }

    /// Numbers every kept event anew from 1 under the epoch of `state`; gives the state as stored.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn rebase(&self, state: SenderState) -> Result<SenderState, QueueError> {
        let reply = self.call(Box::new(move |core| {
            let mut state = state;
            store::rebase(&core.db, &mut core.known, &core.config.site, &mut state).map_err(core.sql("renumber"))?;
            core.head.state = state.clone();
            Ok(Reply::State(Box::new(state)))
        }))?;
        match reply {
            Reply::State(state) => Ok(*state),
            _ => Err(QueueError::Closed),
        }
    }

    /// Gives up the batch that starts with this event because the disk has damaged it: its facts count as never captured, and
    /// its file waits to be read again. Gives the file the first time.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn give_up_batch(&self, first: u64) -> Result<Option<FileId>, QueueError> {
        let reply = self.call(Box::new(move |core| {
            let given_up = store::give_up(&core.db, &mut core.known, store::number(first));
            given_up.map(Reply::File).map_err(core.sql("write to"))
        }))?;
        Ok(if let Reply::File(file) = reply { file } else { None })
    }

    /// Deletes payloads through event `through` captured before `before`; gives the number of batches that went.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn prune(&self, through: u64, before: Timestamp) -> Result<usize, QueueError> {
        let before_ms = before.as_millisecond();
        let reply = self.call(Box::new(move |core| {
            let safe = through.min(core.head.state.marked);
            let gone = store::prune(&core.db, &mut core.head.state, safe, before_ms, PRUNE_BATCHES)
                .map_err(core.sql("prune"))?;
            core.keep_ballast();
            if gone == 0 && !core.has_room.load(Ordering::Relaxed) {
                // The index serves the site's own words; the ledger refuses doubles without it.
                core.known.forget_oldest(&core.db).map_err(core.sql("prune"))?;
            }
            Ok(Reply::Count(gone))
        }))?;
        Ok(if let Reply::Count(n) = reply { n } else { 0 })
    }

    /// Notes since when a condition holds.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn set_since(&self, name: &str, from: Timestamp, text: &str) -> Result<(), QueueError> {
        let (name, text, at) = (name.to_owned(), text.to_owned(), from.as_millisecond());
        self.call(Box::new(move |core| {
            store::set_since(&core.db, &name, at, &text).map_err(core.sql("write to"))?;
            Ok(Reply::Done)
        }))
        .map(drop)
    }

    /// Adds a line to the page's history.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn note_history(&self, at: Timestamp, what: &str) -> Result<(), QueueError> {
        let (what, at) = (what.to_owned(), at.as_millisecond());
        self.call(Box::new(move |core| {
            store::note_history(&core.db, at, &what).map_err(core.sql("write to"))?;
            Ok(Reply::Done)
        }))
        .map(drop)
    }

    /// Says that a file no longer needs a person; false where it did not.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn resolve_file(&self, file: FileId, why: &str) -> Result<bool, QueueError> {
        let why = why.to_owned();
        let reply = self.call(Box::new(move |core| {
            let at = Timestamp::now().as_millisecond();
            store::resolve_file(&core.db, file, at, &why).map(Reply::Flag).map_err(core.sql("write to"))
        }))?;
        Ok(matches!(reply, Reply::Flag(true)))
    }

    /// Ends the writer after what was asked of it; the database is closed when this returns.
    pub fn close(&self) {
        let asked = self.requests.send(Request::Stop).is_ok();
        let thread = self.thread.lock().ok().and_then(|mut t| t.take());
        if let Some(thread) = thread.filter(|_| asked) {
            let ended = thread.join();
            debug_assert!(ended.is_ok(), "the writer does not panic");
        }
    }

    fn call(&self, job: Job) -> Result<Reply, QueueError> {
        self.hand_over(job, None)?.recv().map_err(|_| QueueError::Closed)?
    }

    fn hand_over(
        &self,
        job: Job,
        order: Option<Order>,
    ) -> Result<mpsc::Receiver<Result<Reply, QueueError>>, QueueError> {
        let (answer, wait) = mpsc::sync_channel(1);
        self.requests.send(Request::Work(Work { job, answer, order })).map_err(|_| QueueError::Closed)?;
        Ok(wait)
    }

    fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, QueueError> {
        // A connection that reads is whole after whatever happened to the thread that used it before.
        let db = self.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        question(&db).map_err(|source| QueueError::Sqlite { path: self.path.clone(), what: "read", source })
    }
}

impl CaptureStore for Queue {
    fn begin(&self, file: &NewFile) -> Result<Begun, QueueError> {
        if !self.ask(|db| store::is_content_known(db, file))? {
            return Ok(Begun::Unseen);
        }
        let file = file.clone();
        let reply = self.call(Box::new(move |core| {
            store::begin(&core.db, &file).map(Reply::Begun).map_err(core.sql("register a file in"))
        }))?;
        if let Reply::Begun(begun) = reply { Ok(begun) } else { Err(QueueError::Closed) }
    }

    fn append(&self, chunk: Chunk, order: &Order) -> Ticket {
        let job: Job = Box::new(move |core| core.append(&chunk).map(Reply::Stored));
        let wait = self.hand_over(job, Some(order.clone()));
        Ticket::new(move || match wait?.recv() {
            Ok(Ok(Reply::Stored(stored))) => Ok(stored),
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Err(QueueError::Closed),
        })
    }

    fn moved(&self, files: Vec<(FileId, PathBuf)>) -> Result<(), QueueError> {
        self.call(Box::new(move |core| {
            for (file, to) in &files {
                store::moved(&core.db, *file, to).map_err(core.sql("write to"))?;
            }
            Ok(Reply::Done)
        }))
        .map(drop)
    }

    fn unfinished(&self) -> Result<Vec<Unfinished>, QueueError> {
        let reply =
            self.call(Box::new(|core| store::unfinished(&core.db).map(Reply::Unfinished).map_err(core.sql("read"))))?;
        if let Reply::Unfinished(files) = reply { Ok(files) } else { Err(QueueError::Closed) }
    }

    fn is_known_in_place(&self, feed: &str, path: &Path, size: u64, mtime_ms: i64) -> Result<bool, QueueError> {
        self.ask(|db| store::is_known_in_place(db, feed, path, size, mtime_ms))
    }

    fn has_room(&self) -> bool {
        self.has_room.load(Ordering::Relaxed)
    }
}

impl Core {
    fn open(config: QueueConfig, path: &Path) -> Result<Self, QueueError> {
        let db = schema::open_writer(path, config.bytes_max)?;
        let sql = |what| move |source| QueueError::Sqlite { path: path.to_owned(), what, source };
        let state = match store::load_state(&db).map_err(sql("read the link of"))? {
            Some((machine, state)) => {
                if machine != config.machine {
                    tracing::warn!(was = machine, is = config.machine, "queue was moved to another machine");
                }
                state
            }
            None => {
                let start = Chain::start(&config.site, config.incarnation);
                let state = SenderState::new(config.incarnation, start);
                store::create_state(&db, &config.machine, &state).map_err(sql("set up"))?;
                state
            }
        };
        let known = Known::open(&db).map_err(sql("read the identities of"))?;
        let (counts, has_room) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(true)));
        let head = Head { state, bytes: 0, events: 0 };
        let (path, wanted, is_poisoned) = (path.to_owned(), 0, false);
        let mut core = Self { db, config, path, known, head, counts, has_room, wanted, is_poisoned };
        core.check_head()?;
        core.weigh();
        core.keep_ballast();
        Ok(core)
    }

    /// Head row, last number and chain must agree: else a part of the database is older than the rest.
    fn check_head(&self) -> Result<(), QueueError> {
        use rusqlite::OptionalExtension as _;
        let last: Option<(i64, i64, [u8; 32])> = self
            .db
            .query_row("SELECT first, count, chain_after FROM batch ORDER BY first DESC LIMIT 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()
            .map_err(self.sql("read"))?;
        let state = &self.head.state;
        let fits = match last {
            Some((first, count, chain)) => {
                first + count - 1 == store::number(state.head) && Chain(chain) == state.head_chain
            }
            None => state.head + 1 == state.oldest_kept,
        };
        if fits {
            return Ok(());
        }
        let what = format!("its head says event {}, its last batch {last:?}", state.head);
        Err(QueueError::Damaged { path: self.path.clone(), what })
    }

    fn sql(&self, what: &'static str) -> impl Fn(rusqlite::Error) -> QueueError + use<> {
        let path = self.path.clone();
        move |source| QueueError::Sqlite { path: path.clone(), what, source }
    }

    fn append(&mut self, chunk: &Chunk) -> Result<Stored, QueueError> {
        let used = self.counts.used_bytes.load(Ordering::Relaxed);
        let asked: u64 = chunk.batches.iter().map(|b| b.bytes.len() as u64 * 2).sum();
        if !chunk.batches.is_empty() && used + asked > self.config.bytes_max {
            self.has_room.store(false, Ordering::Relaxed);
            self.wanted = asked;
            return Err(QueueError::Full {
                path: self.path.clone(),
                used_bytes: used,
                bytes_max: self.config.bytes_max,
            });
        }
        self.wanted = 0;
        let now = Timestamp::now();
        let date = now.to_zoned(self.config.zone.clone()).date();
        let day = i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day());
        let now_ms = now.as_millisecond();
        let stored = store::append(&self.db, &mut self.head, &mut self.known, chunk, now_ms, day)
            .map_err(self.sql("store events in"))?;
        // The head is part of the transaction: at start it must agree with the last batch.
        store::save_state(&self.db, &self.head.state).map_err(self.sql("store the link in"))?;
        if stored.earlier.is_some() {
            return Ok(stored);
        }
        let (counts, appended) = (&self.counts, stored.appended);
        counts.captured.fetch_add(appended.accepted + appended.revised, Ordering::Relaxed);
        counts.duplicates.fetch_add(appended.duplicate, Ordering::Relaxed);
        counts.held.fetch_add(chunk.held.len() as u64, Ordering::Relaxed);
        counts.captured_at_ms.store(u64::try_from(now_ms).unwrap_or(0), Ordering::Relaxed);
        if chunk.end.is_some() {
            counts.files.fetch_add(1, Ordering::Relaxed);
        }
        Ok(stored)
    }

    /// Bytes in use, and whether more files may be taken.
    fn weigh(&mut self) {
        let pragma =
            |name: &str| self.db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).unwrap_or(0);
        let used = (pragma("page_count") - pragma("freelist_count")).max(0) * 4096;
        let used = u64::try_from(used).unwrap_or(0);
        self.counts.used_bytes.store(used, Ordering::Relaxed);
        // Room for the write-ahead log of a group beside the database.
        let reserve = self.config.ballast_bytes.max(4 << 20);
        let disk_free = rustix::fs::statvfs(&self.config.dir).map_or(u64::MAX, |s| s.f_bavail * s.f_frsize);
        // What was refused must fit, or the next try is refused again and nothing is pruned meanwhile. A chunk is far smaller
        // than the smallest queue.
        let wanted = self.wanted.min(self.config.bytes_max / 2);
        let has_room = used + wanted <= self.config.bytes_max / 100 * 95 && disk_free > reserve;
        self.has_room.store(has_room, Ordering::Relaxed);
    }

    fn ballast(&self) -> PathBuf {
        self.config.dir.join("ballast")
    }

    /// On a full disk SQLite cannot even delete: this file is given up then.
    fn keep_ballast(&self) {
        let path = self.ballast();
        let disk_free = rustix::fs::statvfs(&self.config.dir).map_or(0, |s| s.f_bavail * s.f_frsize);
        if path.exists() || self.config.ballast_bytes == 0 || disk_free < self.config.ballast_bytes * 3 {
            return;
        }
        let made = std::fs::File::create(&path).and_then(|file| {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, self.config.ballast_bytes)?;
            file.sync_all()
        });
        if let Err(error) = made {
            tracing::warn!(%error, path = %path.display(), "ballast file could not be made");
        }
    }

    fn drop_ballast(&self) {
        if std::fs::remove_file(self.ballast()).is_ok() {
            tracing::warn!("disk is full, ballast file was given up so that the queue can drain");
        }
    }
}

struct Waiting {
    answer: Answer,
    reply: Result<Reply, QueueError>,
    order: Option<Order>,
}

/// The thread's body.
fn write(mut core: Core, inbox: &mpsc::Receiver<Request>, told: &watch::Sender<SenderState>) {
    let mut stopping = false;
    while !stopping {
        let Ok(first) = inbox.recv() else { return };
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            let Ok(next) = inbox.try_recv() else { break };
            group.push(next);
        }
        stopping = group.iter().any(|r| matches!(r, Request::Stop));
        let works = group.into_iter().filter_map(|r| match r {
            Request::Work(work) => Some(work),
            Request::Stop => None,
        });
        let answers = run_group(&mut core, works);
        // Before the next group: what comes after a failure under the same order must not be stored.
        for waiting in answers.iter().filter(|waiting| waiting.reply.is_err()) {
            waiting.order.iter().for_each(Order::break_off);
        }
        core.counts.commits.fetch_add(1, Ordering::Relaxed);
        core.weigh();
        told.send_replace(core.head.state.clone());
        for Waiting { answer, reply, .. } in answers {
            // Whoever asked may have gone; the work is done all the same.
            drop(answer.send(reply));
        }
        if core.is_poisoned {
            return;
        }
    }
    let closed = core.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);");
    if let Err(error) = closed {
        tracing::warn!(%error, "queue could not be checkpointed at the end");
    }
}

/// Runs the jobs in one transaction; where it fails, none of them has happened.
fn run_group(core: &mut Core, works: impl Iterator<Item = Work>) -> Vec<Waiting> {
    let before = core.head.clone();
    let mut answers: Vec<Waiting> = Vec::new();
    let mut failed = core.db.execute_batch("BEGIN IMMEDIATE").err();
    for Work { job, answer, order } in works {
        let reply = match &order {
            _ if failed.is_some() => Err(QueueError::Closed),
            Some(order) if order.is_broken() => Err(QueueError::Overtaken),
            _ => job(core),
        };
        if let (Some(order), Err(_)) = (&order, &reply) {
            order.break_off();
        }
        let is_fatal = matches!(reply, Err(QueueError::Sqlite { .. } | QueueError::Damaged { .. }));
        if is_fatal && failed.is_none() {
            failed = core.db.execute_batch("ROLLBACK").err().or(Some(rusqlite::Error::InvalidQuery));
        }
        answers.push(Waiting { answer, reply, order });
    }
    if failed.is_none() {
        failed = core.db.execute_batch("COMMIT").err();
        if failed.is_some() {
            drop(core.db.execute_batch("ROLLBACK"));
        }
    }
    if let Some(error) = failed {
        return undo(core, before, answers, &error);
    }
    answers
}

/// Takes back what the group changed in memory, and tells everyone.
fn undo(core: &mut Core, before: Head, answers: Vec<Waiting>, error: &rusqlite::Error) -> Vec<Waiting> {
    core.head = before;
    let reloaded = core.known.reload(&core.db);
    let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
        || answers.iter().any(|waiting| is_disk_full(&waiting.reply));
    if full {
        core.has_room.store(false, Ordering::Relaxed);
        core.drop_ballast();
    } else {
        // A failed sync may have lost pages that the kernel calls clean: only a new process reads the truth.
        tracing::error!(%error, "queue could not be written, the agent stops and reads it again");
        core.is_poisoned = true;
    }
    if let Err(error) = reloaded {
        tracing::error!(%error, "queue could not be read after a failed transaction");
        core.is_poisoned = true;
    }
    let (path, bytes_max) = (core.path.clone(), core.config.bytes_max);
    let used_bytes = core.counts.used_bytes.load(Ordering::Relaxed);
    let tell = |reply: Result<Reply, QueueError>| match reply {
        Ok(_) | Err(QueueError::Closed | QueueError::Sqlite { .. }) if full => {
            Err(QueueError::Full { path: path.clone(), used_bytes, bytes_max })
        }
        Ok(_) => Err(QueueError::Closed),
        Err(error) => Err(error),
    };
    let told = |Waiting { answer, reply, order }| Waiting { answer, reply: tell(reply), order };
    answers.into_iter().map(told).collect()
}

fn is_disk_full(reply: &Result<Reply, QueueError>) -> bool {
    match reply {
        Err(QueueError::Sqlite { source, .. }) => source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use docksync_proto::event::{Event, EventTime, EventType, Line, RefKind, Reference};

    use super::*;
    use crate::queue::{
        Reader,
        capture::{Appended, BatchBuilder, FileEnd, Of},
    };

    fn config(dir: &Path) -> QueueConfig {
        QueueConfig {
            dir: dir.to_owned(),
            site: SiteId::new("DC1").unwrap(),
            zone: TimeZone::UTC,
            bytes_max: 1 << 30,
            ballast_bytes: 0,
            machine: "m1".to_owned(),
            incarnation: Incarnation([7; 16]),
        }
    }

    fn file(name: &str, content: u8) -> NewFile {
        NewFile {
            feed: "pick".to_owned(),
            name: name.to_owned(),
            path: PathBuf::from("/work").join(name),
            size: 10,
            mtime_ms: 1,
            sha256: [content; 32],
            found_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn pick(n: usize, qty: i64) -> Event {
        let time = EventTime::utc(Timestamp::UNIX_EPOCH);
        let mut event = Event::new(EventType::PickConfirmed, SiteId::new("DC1").unwrap(), time, Timestamp::UNIX_EPOCH);
        event.correlation_id = format!("SO-{n}");
        event.references.push(Reference { kind: RefKind::Transaction, value: format!("T{n}"), date: None });
        let mut line = Line { qty: Some(qty.into()), uom: "EA".to_owned(), ..Line::default() };
        line.item.sku = "SKU-1".to_owned();
        event.lines.push(line);
        event
    }

    fn chunk(file: Of, picks: std::ops::Range<usize>, qty: i64) -> Chunk {
        let mut builder = BatchBuilder::new();
        for n in picks.clone() {
            builder.push(&pick(n, qty));
        }
        let batches = builder.take().unwrap().into_iter().collect();
        let end = Some(FileEnd::Captured { lines: picks.len() as u64 });
        Chunk { file, batches, held: Vec::new(), records_done: picks.len() as u64, end }
    }

    fn begun(queue: &Queue, name: &str, content: u8) -> Of {
        let file = file(name, content);
        assert_eq!(queue.begin(&file).unwrap(), Begun::Unseen);
        Of::Unseen(Box::new(file))
    }

    fn append(queue: &Queue, chunk: Chunk) -> Result<Stored, QueueError> {
        queue.append(chunk, &Order::default()).wait()
    }

    #[test]
    fn what_was_appended_is_there_after_a_restart_and_its_chain_holds() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(config(dir.path())).unwrap();
        let id = begun(&queue, "a.csv", 1);

        let appended = append(&queue, chunk(id, 0..300, 1)).unwrap();
        queue.close();
        let queue = Queue::open(config(dir.path())).unwrap();

        assert_eq!(appended.appended.accepted, 300);
        assert_eq!(queue.head().borrow().head, 300);
        let verified = Reader::open(queue.path()).unwrap().verify().unwrap();
        assert_eq!((verified.events, verified.faults.len()), (300, 0));
    }

    #[test]
    fn facts_captured_before_are_counted_as_duplicates_and_changed_ones_as_revised() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(config(dir.path())).unwrap();
        let first = begun(&queue, "a.csv", 1);
        append(&queue, chunk(first, 0..100, 1)).unwrap();

        let again = begun(&queue, "b.csv", 2);
        let duplicate = append(&queue, chunk(again, 0..100, 1)).unwrap();
        let corrected = begun(&queue, "c.csv", 3);
        let longer = append(&queue, chunk(corrected, 0..103, 1)).unwrap();
        let changed = begun(&queue, "d.csv", 4);
        let revised = append(&queue, chunk(changed, 0..2, 9)).unwrap();

        assert_eq!(duplicate.appended, Appended { accepted: 0, duplicate: 100, revised: 0 });
        assert_eq!(longer.appended, Appended { accepted: 3, duplicate: 100, revised: 0 });
        assert_eq!(revised.appended, Appended { accepted: 0, duplicate: 0, revised: 2 });
        // The batch in which nothing was new was not stored.
        assert_eq!(queue.head().borrow().head, 100 + 103 + 2);
    }

    #[test]
    fn the_same_bytes_under_another_name_are_a_duplicate_file() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(config(dir.path())).unwrap();
        let id = begun(&queue, "a.csv", 1);
        let stored = append(&queue, chunk(id, 0..1, 1)).unwrap();
        queue.moved(vec![(stored.file, PathBuf::from("/archive/a.csv"))]).unwrap();

        let again = queue.begin(&file("b.csv", 1)).unwrap();

        assert!(matches!(again, Begun::Duplicate { earlier, .. } if earlier == "a.csv"));
    }

    #[test]
    fn two_files_of_the_same_content_in_one_group_are_stored_once() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(config(dir.path())).unwrap();
        let (first, second) = (begun(&queue, "a.csv", 1), begun(&queue, "b.csv", 1));
        let order = Order::default();

        let tickets = [first, second].map(|of| queue.append(chunk(of, 0..10, 1), &order));
        let [first, second] = tickets.map(|ticket| ticket.wait().unwrap());

        assert_eq!((first.appended.accepted, second.appended.accepted), (10, 0));
        assert_eq!(second.earlier.as_deref(), Some("a.csv"));
        assert_eq!(queue.head().borrow().head, 10);
    }

    #[test]
    fn what_comes_after_a_chunk_that_failed_is_not_stored_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(QueueConfig { bytes_max: 64 * 1024, ..config(dir.path()) }).unwrap();
        let (large, small) = (begun(&queue, "a.csv", 1), begun(&queue, "b.csv", 2));
        let order = Order::default();
        let mut large = chunk(large, 0..1, 1);
        large.batches[0].bytes.resize(60 * 1024, 0);

        let tickets = [large, chunk(small, 5..6, 1)].map(|chunk| queue.append(chunk, &order));
        let [first, second] = tickets.map(Ticket::wait);

        assert!(matches!(first, Err(QueueError::Full { .. })), "{first:?}");
        assert!(matches!(second, Err(QueueError::Overtaken)), "{second:?}");
        assert_eq!(queue.head().borrow().head, 0);
    }

    #[test]
    fn a_second_process_is_refused_by_the_number_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let _queue = Queue::open(config(dir.path())).unwrap();

        let error = Queue::open(config(dir.path())).unwrap_err();

        assert!(error.to_string().contains(&format!("already running as process {}", std::process::id())), "{error}");
    }

    #[test]
    fn a_full_queue_says_so_takes_nothing_and_takes_again_after_pruning() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(QueueConfig { bytes_max: 512 * 1024, ..config(dir.path()) }).unwrap();
        let mut stored = 0;
        let full = (0_u8..250).find_map(|n| {
            let id = begun(&queue, &format!("{n}.csv"), n);
            let from = usize::from(n) * 500;
            append(&queue, chunk(id, from..from + 500, 1)).inspect(|_| stored += 500).err()
        });

        assert!(matches!(full, Some(QueueError::Full { .. })), "{full:?}");
        assert!(!queue.has_room());
        assert_eq!(queue.head().borrow().head, stored);
        let mut state = queue.head().borrow().clone();
        state.marked = state.head;
        queue.save_link(state).unwrap();
        assert!(queue.prune(u64::MAX, Timestamp::MAX).unwrap() > 0);
        assert!(queue.has_room());
    }

    #[test]
    fn nothing_unmarked_is_ever_pruned() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(config(dir.path())).unwrap();
        let id = begun(&queue, "a.csv", 1);
        append(&queue, chunk(id, 0..100, 1)).unwrap();

        assert_eq!(queue.prune(u64::MAX, Timestamp::MAX).unwrap(), 0);
    }

    #[test]
    fn a_rebase_numbers_from_one_and_keeps_every_event() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(config(dir.path())).unwrap();
        for n in 0..4_u8 {
            let id = begun(&queue, &format!("{n}.csv"), n);
            append(&queue, chunk(id, usize::from(n) * 10..usize::from(n) * 10 + 10, 1)).unwrap();
        }
        let mut state = queue.head().borrow().clone();
        state.marked = 20;
        queue.save_link(state.clone()).unwrap();
        queue.prune(10, Timestamp::MAX).unwrap();
        state.epoch = 2;
        state.marked = 0;

        let rebased = queue.rebase(state).unwrap();

        assert_eq!((rebased.head, rebased.oldest_kept, rebased.epoch), (30, 1, 2));
        let verified = Reader::open(queue.path()).unwrap().verify().unwrap();
        assert_eq!((verified.events, verified.faults), (30, Vec::new()));
    }

    #[test]
    fn a_file_gives_its_own_events_by_pages_also_after_a_rebase() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(config(dir.path())).unwrap();
        let (one, other) = (begun(&queue, "a.csv", 1), begun(&queue, "b.csv", 2));
        let one = append(&queue, chunk(one, 0..10, 1)).unwrap().file;
        append(&queue, chunk(other, 10..15, 1)).unwrap();
        append(&queue, chunk(Of::Known(one), 15..20, 2)).unwrap();
        let reader = Reader::open(queue.path()).unwrap();
        let seqs = |skip, limit| {
            let content = reader.content(&reader.file(one).unwrap().unwrap(), skip, limit).unwrap();
            (content.kept, content.events.iter().map(|event| event.seq).collect::<Vec<_>>())
        };

        assert_eq!(seqs(8, 4), (15, vec![9, 10, 16, 17]));
        assert_eq!(seqs(15, 4), (15, vec![]));
        let first = reader.content(&reader.file(one).unwrap().unwrap(), 0, 1).unwrap().events.remove(0);
        assert!(first.name.is_some_and(|name| name.event_type == "pick_confirmed" && !name.document.is_empty()));
        assert_eq!(reader.captured_lately(5).unwrap().len(), 2);

        // The first batch goes, and what is left is numbered anew.
        let mut state = queue.head().borrow().clone();
        state.marked = 10;
        queue.save_link(state.clone()).unwrap();
        queue.prune(10, Timestamp::MAX).unwrap();
        (state.epoch, state.marked) = (2, 0);
        queue.rebase(state).unwrap();
        assert_eq!(seqs(0, 9), (5, vec![6, 7, 8, 9, 10]));
    }

    #[test]
    fn a_damaged_batch_is_given_up_and_its_events_can_be_captured_again() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(config(dir.path())).unwrap();
        let of = begun(&queue, "a.csv", 1);
        let lost = append(&queue, chunk(of, 0..100, 1)).unwrap();
        let of = begun(&queue, "b.csv", 2);
        append(&queue, chunk(of, 100..200, 1)).unwrap();

        let given_up = queue.give_up_batch(1).unwrap();
        let again = queue.give_up_batch(1).unwrap();
        let reader = Reader::open(queue.path()).unwrap();
        let waiting = reader.damaged_files().unwrap();
        let of = begun(&queue, "c.csv", 3);
        let captured = append(&queue, chunk(of, 0..200, 1)).unwrap();

        assert_eq!((given_up, again), (Some(lost.file), None));
        assert_eq!(waiting, [lost.file]);
        assert_eq!(captured.appended, Appended { accepted: 100, duplicate: 100, revised: 0 });
    }

    #[test]
    fn a_flipped_bit_in_a_payload_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(config(dir.path())).unwrap();
        let id = begun(&queue, "a.csv", 1);
        append(&queue, chunk(id, 0..100, 1)).unwrap();
        queue.close();
        let db = Connection::open(dir.path().join("queue.db")).unwrap();
        let mut body: Vec<u8> = db.query_row("SELECT body FROM batch", [], |r| r.get(0)).unwrap();
        body[40] ^= 4;
        db.execute("UPDATE batch SET body = ?1", [body]).unwrap();

        let reader = Reader::open(&dir.path().join("queue.db")).unwrap();

        assert!(!reader.batches(1, 1).unwrap()[0].is_sound);
        assert!(!reader.verify().unwrap().faults.is_empty());
    }
}

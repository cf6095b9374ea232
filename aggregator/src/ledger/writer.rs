//! The writer's thread: commits of all sites and small writes, grouped into few transactions.
//!
//! Whatever has arrived while the last group was being synced goes into the next, up to [`GROUP_EVENTS_MAX`] events or
//! [`GROUP_COMMANDS_MAX`] commands: under load the groups grow by themselves, and a lone batch waits for nobody. Each
//! command is answered after the durable commit of its group. A failure of the disk ends all writing until a restart.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::sync::{
    mpsc::{self, error::TryRecvError},
    oneshot, watch,
};

use super::{Append, Change, Committed, LedgerError, LinkRow, Store, sqlite::SqliteStore};

/// Most events of one group.
pub const GROUP_EVENTS_MAX: usize = 20_000;
/// Most commands of one group.
pub const GROUP_COMMANDS_MAX: usize = 256;
/// Commands that may wait.
const COMMANDS_MAX: usize = 512;

type Reply = oneshot::Sender<Result<Vec<Committed>, LedgerError>>;
type Task = Box<dyn FnOnce(&mut SqliteStore) + Send>;

struct Work {
    appends: Vec<Append>,
    links: Vec<LinkRow>,
    changes: Vec<Change>,
    reply: Reply,
}

enum Command {
    Write(Work),
    Run(Task),
}

/// The way to the writer; cheap to clone.
#[derive(Debug, Clone)]
pub struct LedgerHandle {
    commands: mpsc::Sender<Command>,
    commits: watch::Receiver<u64>,
    has_room: Arc<AtomicBool>,
    path: Arc<PathBuf>,
}

/// The writer's thread.
#[derive(Debug)]
pub struct LedgerWriter {
    thread: thread::JoinHandle<()>,
}

impl LedgerWriter {
    /// Starts the thread. It ends when the last handle is dropped.
    ///
    /// `room_bytes_min` is the free space below which [`LedgerHandle::has_room`] says no.
    ///
    /// # Errors
    /// [`LedgerError::Io`] where no thread can be started.
    pub fn start(store: SqliteStore, room_bytes_min: u64) -> Result<(Self, LedgerHandle), LedgerError> {
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let (tell, commits) = watch::channel(0);
        let has_room = Arc::new(AtomicBool::new(true));
        let path = Arc::new(store.path().to_owned());
        let room = Room { path: Arc::clone(&path), bytes_min: room_bytes_min, has: Arc::clone(&has_room) };
        room.look();
        let thread = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || write_all(store, queue, &tell, &room))
            .map_err(|source| LedgerError::Io { doing: "start the writer of", path: path.to_path_buf(), source })?;
        Ok((Self { thread }, LedgerHandle { commands, commits, has_room, path }))
    }

    /// Waits until all was written and the database is closed; drop every handle first.
    ///
    /// # Errors
    /// [`LedgerError::Closed`] where the thread panicked.
    pub fn join(self) -> Result<(), LedgerError> {
        self.thread.join().map_err(|_| LedgerError::Closed)
    }
}

impl LedgerHandle {
    /// Stores batches and link states; returns after the durable commit.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing of it is stored then.
    pub async fn commit(&self, appends: Vec<Append>, links: Vec<LinkRow>) -> Result<Vec<Committed>, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let work = Work { appends, links, changes: Vec::new(), reply };
        self.commands.send(Command::Write(work)).await.map_err(|_| LedgerError::Closed)?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }

    /// Hands over batches and link states, and returns when they have their place in the order; the answer comes after
    /// the durable commit.
    ///
    /// # Errors
    /// [`LedgerError::Closed`] where the writer has ended.
    pub async fn submit(
        &self,
        appends: Vec<Append>,
        links: Vec<LinkRow>,
    ) -> Result<oneshot::Receiver<Result<Vec<Committed>, LedgerError>>, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let work = Work { appends, links, changes: Vec::new(), reply };
        self.commands.send(Command::Write(work)).await.map_err(|_| LedgerError::Closed)?;
        Ok(answer)
    }

    /// Stores link states and changes in one transaction; returns after the durable commit.
    ///
    /// # Errors
    /// As [`LedgerHandle::commit`].
    pub async fn link(&self, links: Vec<LinkRow>, changes: Vec<Change>) -> Result<(), LedgerError> {
        let (reply, answer) = oneshot::channel();
        let work = Work { appends: Vec::new(), links, changes, reply };
        self.commands.send(Command::Write(work)).await.map_err(|_| LedgerError::Closed)?;
        answer.await.map_err(|_| LedgerError::Closed)?.map(drop)
    }

    /// Stores changes; returns after the durable commit.
    ///
    /// # Errors
    /// As [`LedgerHandle::commit`].
    pub async fn change(&self, changes: Vec<Change>) -> Result<(), LedgerError> {
        let (reply, answer) = oneshot::channel();
        let work = Work { appends: Vec::new(), links: Vec::new(), changes, reply };
        self.commands.send(Command::Write(work)).await.map_err(|_| LedgerError::Closed)?;
        answer.await.map_err(|_| LedgerError::Closed)?.map(drop)
    }

    /// [`LedgerHandle::commit`] for threads that are not part of the runtime.
    ///
    /// # Errors
    /// As [`LedgerHandle::commit`].
    pub fn commit_blocking(&self, appends: Vec<Append>) -> Result<Vec<Committed>, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let work = Work { appends, links: Vec::new(), changes: Vec::new(), reply };
        self.commands.blocking_send(Command::Write(work)).map_err(|_| LedgerError::Closed)?;
        answer.blocking_recv().map_err(|_| LedgerError::Closed)?
    }

    /// [`LedgerHandle::change`] for threads that are not part of the runtime.
    ///
    /// # Errors
    /// As [`LedgerHandle::commit`].
    pub fn change_blocking(&self, changes: Vec<Change>) -> Result<(), LedgerError> {
        let (reply, answer) = oneshot::channel();
        let work = Work { appends: Vec::new(), links: Vec::new(), changes, reply };
        self.commands.blocking_send(Command::Write(work)).map_err(|_| LedgerError::Closed)?;
        answer.blocking_recv().map_err(|_| LedgerError::Closed)?.map(drop)
    }

    /// Runs a closure on the writer's thread, between two groups.
    ///
    /// # Errors
    /// The closure's own, or [`LedgerError::Closed`].
    pub async fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut SqliteStore) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let task: Task = Box::new(move |store| {
            // Nobody waits any more: the work is done all the same.
            drop(reply.send(task(store)));
        });
        self.commands.send(Command::Run(task)).await.map_err(|_| LedgerError::Closed)?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }

    /// Changes its value with every group that stored something.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }

    /// Whether the disk has room for more; without it no credit is granted.
    pub fn has_room(&self) -> bool {
        self.has_room.load(Ordering::Relaxed)
    }

    /// Database file, for readers.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Free space of the ledger's file system.
struct Room {
    path: Arc<PathBuf>,
    bytes_min: u64,
    has: Arc<AtomicBool>,
}

impl Room {
    fn look(&self) {
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        // A file system that does not answer has no room.
        let free = rustix::fs::statvfs(folder).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize));
        self.has.store(free >= self.bytes_min, Ordering::Relaxed);
    }
}

fn write_all(mut store: SqliteStore, mut queue: mpsc::Receiver<Command>, tell: &watch::Sender<u64>, room: &Room) {
    let mut next = None;
    while let Some(command) = next.take().or_else(|| wait(&mut store, &mut queue)) {
        match command {
            Command::Run(task) => task(&mut store),
            Command::Write(work) => {
                let mut group = vec![work];
                next = gather(&mut queue, &mut group);
                write_group(&mut store, group);
            }
        }
        tell.send_modify(|n| *n += 1);
        room.look();
    }
}

/// Waits for a command, and does meanwhile what can wait.
fn wait(store: &mut SqliteStore, queue: &mut mpsc::Receiver<Command>) -> Option<Command> {
    while store.wants_upkeep() {
        match queue.try_recv() {
            Ok(command) => return Some(command),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {}
        }
        if let Err(error) = store.upkeep() {
            // Tried again after the next command, which hears of it where it concerns it.
            tracing::warn!(%error, "upkeep of the ledger was put off");
            break;
        }
    }
    queue.blocking_recv()
}

/// Takes what waits, up to the limits; gives back the first command that does not belong to the group.
fn gather(queue: &mut mpsc::Receiver<Command>, group: &mut Vec<Work>) -> Option<Command> {
    let mut events: usize = group.iter().flat_map(|w| &w.appends).map(|a| a.events.len()).sum();
    while events < GROUP_EVENTS_MAX && group.len() < GROUP_COMMANDS_MAX {
        match queue.try_recv().ok()? {
            Command::Write(work) => {
                events += work.appends.iter().map(|a| a.events.len()).sum::<usize>();
                group.push(work);
            }
            other @ Command::Run(_) => return Some(other),
        }
    }
    None
}

fn write_group(store: &mut SqliteStore, group: Vec<Work>) {
    if let [_] = group.as_slice() {
        return group.into_iter().for_each(|work| write_alone(store, work));
    }
    let mut counts = Vec::with_capacity(group.len());
    let (mut appends, mut links, mut changes, mut replies) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for work in group {
        counts.push((work.appends.len(), work.links.len(), work.changes.len()));
        appends.extend(work.appends);
        links.extend(work.links);
        changes.extend(work.changes);
        replies.push(work.reply);
    }
    match store.write(&appends, &links, &changes) {
        Ok(committed) => {
            let mut committed = committed.into_iter();
            for (reply, (n, ..)) in replies.into_iter().zip(counts) {
                drop(reply.send(Ok(committed.by_ref().take(n).collect())));
            }
        }
        // One bad command must not fail its neighbours: each alone then gets the answer that is its own.
        Err(_) => {
            let (mut appends, mut links, mut changes) = (appends.into_iter(), links.into_iter(), changes.into_iter());
            for (reply, (a, l, c)) in replies.into_iter().zip(counts) {
                let work = Work {
                    appends: appends.by_ref().take(a).collect(),
                    links: links.by_ref().take(l).collect(),
                    changes: changes.by_ref().take(c).collect(),
                    reply,
                };
                write_alone(store, work);
            }
        }
    }
}

fn write_alone(store: &mut SqliteStore, work: Work) {
    let result = store.write(&work.appends, &work.links, &work.changes);
    // A caller that went away asks again by its mark; the commit stands.
    drop(work.reply.send(result));
}

//! Finds the exports that a warehouse system has finished writing, claims each once, and sees it into the queue.
//!
//! Takes: folders, the feeds' decoders, a [`CaptureStore`]. Gives: stored files, moved to the archive or into quarantine.
//!
//! - A full scan of every folder on a timer is the truth; what the kernel tells only makes it sooner.
//! - Half a file is never taken: the feed declares how a complete one is known ([`settle`]).
//! - A file is claimed by renaming it into `work/`; where the folder may not be changed it stays, known by path, size and
//!   time of change.
//! - State first, move second. No file is ever deleted.
//! - One file of a feed at a time: a feed's facts keep the order of its files. Feeds are read beside one another.
//! - While the queue has no room nothing is claimed: the export folder is then the buffer.
//!
//! | A file is | and then |
//! |---|---|
//! | seen, still changing | looked at again |
//! | ready | claimed |
//! | claimed, readable | captured, refused or known before; then shelved |
//! | claimed, not readable | tried again after a pause that grows |
//!
//! It does not read contents ([`crate::decode`]) and keeps no database ([`crate::queue`]).

mod answers;
mod board;
mod capture;
mod clock;
pub mod expire;
mod facts;
mod kept;
mod md5;
mod open;
mod pattern;
mod reconcile;
mod scan;
pub mod settle;
mod shelve;
#[cfg(test)]
mod tests;
mod watch;
mod work;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use docksync_proto::codec::CodecError;
use jiff::tz::TimeZone;

use crate::{
    config::{Config, units::Hours},
    decode::{DecodeError, Decoder},
    queue::{QueueError, capture::CaptureStore},
};
use board::Board;
use facts::FeedFacts as Facts;
use shelve::Shelves;

pub use capture::{CHUNK_BATCHES_MAX, CHUNK_HELD_MAX};
pub use clock::{Clock, SystemClock};
pub use facts::{FeedFacts, IntakeFacts, Trouble, Watching};
pub(crate) use open::sha256;
pub use pattern::{matches, shown};
pub use scan::{SCAN_FILES_MAX, SCAN_NAMES_MAX};

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It passes with time: try again after a pause.
    Retry,
    /// A person must act; the file stays where it is.
    Leave,
    /// The room cannot go on.
    Stop,
}

/// Why a file, or a folder, could not be dealt with.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The folder cannot be listed: not mounted, or not allowed.
    #[error("cannot list folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another, empty file system lies where the folder was.
    #[error("folder {path} is empty and on another device than before; is the share mounted?")]
    OtherDevice {
        /// The folder.
        path: PathBuf,
    },
    /// The file vanished, is locked or not allowed.
    #[error("cannot read export {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that is no file lies among the exports.
    #[error("{path} is {kind}, not a file")]
    NotPlain {
        /// What lies there.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// Larger than `intake.file_bytes_max`.
    #[error("export {path} has {file_bytes} bytes, the limit is {file_bytes_max}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        file_bytes: u64,
        /// The limit.
        file_bytes_max: u64,
    },
    /// The warehouse system wrote on after the file was claimed.
    #[error("export {path} changed while it was read")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The sum in its companion is another one.
    #[error("export {path} does not match its companion {companion}")]
    Sum {
        /// The file.
        path: PathBuf,
        /// File with the sum.
        companion: PathBuf,
    },
    /// It rests, but what makes it complete never came.
    #[error("export {path} is not complete and has not changed for a quarter of an hour")]
    Incomplete {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be moved.
    #[error("cannot move export {path}")]
    Move {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The reason beside a file in quarantine could not be written.
    #[error("cannot write {path}")]
    Reason {
        /// File of the reason.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An answer to a file could not be written.
    #[error("cannot write answer {path}")]
    Answer {
        /// The answer.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bytes could not be read while decoding.
    #[error("export {path}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DecodeError,
    },
    /// A batch is over a limit of the codec.
    #[error("cannot encode the events of export {path}")]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CodecError,
    },
    /// The queue did not take it.
    #[error("cannot store export {path}")]
    Queue {
        /// The file.
        path: PathBuf,
        /// Why; boxed, since the database's errors are large.
        source: Box<QueueError>,
    },
    /// A thread could not be started.
    #[error("cannot start thread {name}")]
    Thread {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
}

impl IntakeError {
    /// What to do about it.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Folder { .. }
            | Self::OtherDevice { .. }
            | Self::Read { .. }
            | Self::Changed { .. }
            | Self::Move { .. }
            | Self::Reason { .. }
            | Self::Answer { .. }
            | Self::Sum { .. }
            | Self::Decode { .. } => Disposition::Retry,
            Self::NotPlain { .. } | Self::TooLarge { .. } | Self::Incomplete { .. } | Self::Encode { .. } => {
                Disposition::Leave
            }
            Self::Queue { source, .. } if matches!(**source, QueueError::Full { .. } | QueueError::Overtaken) => {
                Disposition::Retry
            }
            Self::Queue { .. } | Self::Thread { .. } => Disposition::Stop,
        }
    }

    /// Stable code for people.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "F001",
            Self::OtherDevice { .. } => "F002",
            Self::Read { .. } | Self::Decode { .. } => "F003",
            Self::NotPlain { .. } => "F004",
            Self::TooLarge { .. } => "F005",
            Self::Changed { .. } | Self::Sum { .. } => "F007",
            Self::Incomplete { .. } => "F011",
            Self::Move { .. } | Self::Reason { .. } | Self::Answer { .. } => "F031",
            Self::Encode { .. } => "F008",
            Self::Queue { .. } => "F009",
            Self::Thread { .. } => "F010",
        }
    }

    /// Whether the file is simply gone: another took it, or the warehouse system renamed it.
    fn is_gone(&self) -> bool {
        match self {
            Self::Read { source, .. } | Self::Move { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Folder { .. }
            | Self::OtherDevice { .. }
            | Self::NotPlain { .. }
            | Self::TooLarge { .. }
            | Self::Changed { .. }
            | Self::Sum { .. }
            | Self::Incomplete { .. }
            | Self::Reason { .. }
            | Self::Answer { .. }
            | Self::Decode { .. }
            | Self::Encode { .. }
            | Self::Queue { .. }
            | Self::Thread { .. } => false,
        }
    }
}

/// An error with its sources, as one sentence.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// One watched folder.
#[derive(Debug, Clone)]
struct Feed {
    name: String,
    folder: PathBuf,
    decoder: Decoder,
    expect_every: Option<Duration>,
    expect_hours: Option<Hours>,
    answers: PathBuf,
}

#[derive(Debug, Clone)]
struct Settings {
    rescan: Duration,
    workers: usize,
    file_bytes_max: u64,
}

/// The room: built from the settings, run on a thread of its own.
pub struct Intake {
    feeds: Vec<Feed>,
    settings: Settings,
    zone: TimeZone,
    store: Arc<dyn CaptureStore>,
    clock: Arc<dyn Clock>,
    shelves: Shelves,
    board: Board,
    facts: IntakeFacts,
}

impl Intake {
    /// Builds the room; touches nothing.
    pub fn new(config: &Config, store: Arc<dyn CaptureStore>, clock: Arc<dyn Clock>) -> Self {
        let site = &config.site;
        let feed = |feed: &crate::config::FeedConfig| Feed {
            name: feed.name.clone(),
            folder: feed.folder.clone(),
            decoder: Decoder::new(Arc::clone(&feed.profile), &site.id, &site.time_zone, &site.time_zone_name),
            expect_every: feed.expect_every,
            expect_hours: feed.expect_hours,
            answers: feed.answers.clone().unwrap_or_else(|| config.state_dir.join("outbox").join(&feed.name)),
        };
        let feeds: Vec<Feed> = config.feeds.iter().map(feed).collect();
        let facts = |feed: &Feed| Facts::of(feed.name.clone(), feed.folder.clone());
        let intake = &config.intake;
        Self {
            facts: IntakeFacts::new(feeds.iter().map(facts).collect()),
            board: Board::new(feeds.len()),
            feeds,
            settings: Settings {
                rescan: intake.rescan,
                workers: intake.workers,
                file_bytes_max: intake.file_bytes_max,
            },
            zone: site.time_zone.clone(),
            store,
            shelves: Shelves::new(config.state_dir.clone(), clock.wall().as_microsecond().unsigned_abs()),
            clock,
        }
    }

    /// What the room knows, for the page; stays readable while it runs.
    pub fn facts(&self) -> IntakeFacts {
        self.facts.clone()
    }
}

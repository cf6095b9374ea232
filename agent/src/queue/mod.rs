//! The queue: what the site has captured and the centre does not hold yet, safe from power cuts.
//!
//! Takes encoded batches from intake, gives them to the uplink in the order of their numbers. One SQLite file (write-ahead log,
//! `synchronous=FULL`), one writer thread that alone writes and checkpoints; readers have connections of their own.
//! Invariants:
//! - an append returns only when its transaction is synced; number, chain and file state change in that transaction;
//! - nothing unmarked is ever deleted; payloads go when they are marked, backed up and older than `keep`;
//! - a damaged, missing or newer database stops the program with an instruction; it is never replaced in silence.
//!
//! Format: `migrations/`, `PRAGMA user_version`. A body carries its own checksum, verified before it is sent.
//! It does not: decode, decide when to send, move files.
//!
//! | file state | next |
//! |---|---|
//! | claimed | captured, refused (last chunk), duplicate (at once) |
//! | captured, refused, duplicate | moved (archive or quarantine) |
//! | held lines or refused | resolved by a later file or a person |

pub mod capture;
mod content;
mod known;
mod read;
mod schema;
mod store;
mod writer;

use std::path::PathBuf;

pub use content::{Content, EventName, EventRow};
pub use read::{BatchRow, FileFilter, FileRow, HistoryRow, Reader, Verified};
pub use writer::{Counts, Queue, QueueConfig};

/// Why the queue could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The database refused.
    #[error("queue {path}: cannot {what}")]
    Sqlite {
        /// Database file.
        path: PathBuf,
        /// What was attempted.
        what: &'static str,
        /// SQLite's own word.
        source: rusqlite::Error,
    },
    /// The disk budget is used up.
    #[error("queue {path} is full: {used_bytes} of {bytes_max} bytes")]
    Full {
        /// Database file.
        path: PathBuf,
        /// Bytes in use.
        used_bytes: u64,
        /// Budget.
        bytes_max: u64,
    },
    /// The writer has stopped.
    #[error("the queue's writer has stopped")]
    Closed,
    /// A chunk before this one, of the same feed, was not stored: the order of files would be broken.
    #[error("an earlier file of this feed was not stored")]
    Overtaken,
    /// A file beside the database could not be used.
    #[error("cannot {what} {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        what: &'static str,
        /// The system's word.
        source: std::io::Error,
    },
    /// Another process has the database.
    #[error("docksync-agent is already running as process {pid} (it holds {path}); stop it first, or use its commands")]
    Running {
        /// Lock file.
        path: PathBuf,
        /// Process that holds it.
        pid: String,
    },
    /// The SQLite library is too old to be trusted.
    #[error("SQLite {found} can corrupt a write-ahead log; use a build with 3.51.3 or later")]
    OldSqlite {
        /// Version found.
        found: String,
    },
    /// The database belongs to another version of this program.
    #[error(
        "queue {path} has schema {found}, this program knows {known}; install the version that wrote it, its data are safe"
    )]
    Version {
        /// Database file.
        path: PathBuf,
        /// Schema found.
        found: usize,
        /// Schema of this program.
        known: usize,
    },
    /// The database contradicts itself.
    #[error("queue {path} is damaged: {what}; keep the file and run `docksync-agent queue verify`")]
    Damaged {
        /// Database file.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
}

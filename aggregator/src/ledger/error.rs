//! Why the ledger could not do what was asked.

use std::{path::PathBuf, sync::Arc};

use docksync_proto::{codec::CodecError, site::SiteId};

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Passes with time.
    Retry,
    /// The process must end and start again: the handle can no longer be trusted.
    Restart,
    /// A person must act first.
    Person,
}

/// Why the ledger could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database file cannot be opened.
    #[error("cannot open ledger {path}")]
    Open {
        /// Database file.
        path: PathBuf,
        /// Cause.
        source: rusqlite::Error,
    },
    /// There is none.
    #[error("there is no ledger {path} yet: start docksync-aggregator first, or name its configuration with --config")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file or folder beside the database.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// Written by a later program.
    #[error(
        "ledger {path} has schema {found}, this program knows {known}: install the newer docksync-aggregator that wrote it, or restore a backup made before the upgrade"
    )]
    NewerSchema {
        /// Database file.
        path: PathBuf,
        /// Schema found.
        found: i64,
        /// Newest schema of this program.
        known: i64,
    },
    /// A SQLite library with known faults in its write-ahead log.
    #[error("SQLite {found} is too old, 3.51.3 or later is needed: use the program as packaged")]
    OldSqlite {
        /// Version of the library.
        found: &'static str,
    },
    /// A statement failed.
    #[error("cannot {doing}")]
    Sql {
        /// What was attempted.
        doing: &'static str,
        /// Cause.
        source: rusqlite::Error,
    },
    /// The caller's batch does not follow what is stored.
    #[error("batch of {site} epoch {epoch} starts at {first}, the ledger holds through {last} with another chain")]
    Discontinuous {
        /// Site.
        site: SiteId,
        /// Epoch.
        epoch: u32,
        /// First number of the batch.
        first: u64,
        /// Last number held.
        last: u64,
    },
    /// Events or verdicts do not match the batch's head.
    #[error("batch of {site} starting at {first} says {count} events and carries {found}")]
    Miscounted {
        /// Site.
        site: SiteId,
        /// First number of the batch.
        first: u64,
        /// Events by its head.
        count: u32,
        /// Events or verdicts given.
        found: usize,
    },
    /// Stored bytes are not what was written.
    #[error("batch {batch_no} of the ledger does not read back; restore a backup: docksync-aggregator restore")]
    Stored {
        /// Number of the batch.
        batch_no: i64,
        /// Cause.
        source: CodecError,
    },
    /// Stored rows contradict one another.
    #[error("ledger is damaged: {what} at {at}; restore a backup: docksync-aggregator restore")]
    Damaged {
        /// What does not hold.
        what: &'static str,
        /// Row.
        at: i64,
    },
    /// No such event, batch or request.
    #[error("no {what} {at} in the ledger")]
    Absent {
        /// Kind of thing.
        what: &'static str,
        /// Its number.
        at: i64,
    },
    /// Restoring would overwrite a ledger.
    #[error("{path} exists: move it away before a restore")]
    Exists {
        /// File in the way.
        path: PathBuf,
    },
    /// An earlier failure of the disk; nothing is written on that handle again.
    #[error("ledger stopped writing after a failure of its disk: repair the disk, then restart docksync-aggregator")]
    Poisoned {
        /// That failure.
        #[source]
        first: Arc<LedgerError>,
    },
    /// The writer has ended.
    #[error("ledger is closed")]
    Closed,
}

impl LedgerError {
    /// What to do next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Sql { .. } if self.is_fatal() => Disposition::Restart,
            Self::Sql { .. } => Disposition::Retry,
            Self::Poisoned { .. } | Self::Closed => Disposition::Restart,
            Self::Open { .. }
            | Self::Missing { .. }
            | Self::Io { .. }
            | Self::NewerSchema { .. }
            | Self::OldSqlite { .. }
            | Self::Discontinuous { .. }
            | Self::Miscounted { .. }
            | Self::Stored { .. }
            | Self::Damaged { .. }
            | Self::Absent { .. }
            | Self::Exists { .. } => Disposition::Person,
        }
    }

    /// Whether the handle may have lost what it believes to be written: after a failed sync the kernel forgets the pages.
    pub fn is_fatal(&self) -> bool {
        use rusqlite::ErrorCode as E;
        match self {
            Self::Sql { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(E::SystemIoFailure | E::DatabaseCorrupt | E::DiskFull | E::NotADatabase)
            ),
            Self::Poisoned { .. } | Self::Stored { .. } | Self::Damaged { .. } => true,
            Self::Open { .. }
            | Self::Missing { .. }
            | Self::Io { .. }
            | Self::NewerSchema { .. }
            | Self::OldSqlite { .. }
            | Self::Discontinuous { .. }
            | Self::Miscounted { .. }
            | Self::Absent { .. }
            | Self::Exists { .. }
            | Self::Closed => false,
        }
    }
}

/// Names what was attempted, for `map_err`.
pub(crate) fn sql(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> LedgerError {
    move |source| LedgerError::Sql { doing, source }
}

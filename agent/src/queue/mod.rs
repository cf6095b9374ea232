//! Room in the making.

pub mod capture;

use std::path::PathBuf;

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
}

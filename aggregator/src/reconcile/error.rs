//! Why reconciliation could not do what was asked.

use std::path::PathBuf;

use docksync_proto::codec::CodecError;

use crate::ledger::{LedgerError, error::Disposition};

/// Why reconciliation could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The ledger did not read or write.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Its own database cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// File.
        path: PathBuf,
        /// Cause.
        source: rusqlite::Error,
    },
    /// Written by a later program.
    #[error(
        "{path} has schema {found}, this program knows {known}: install the newer docksync-aggregator that wrote it, or move the file away: all but decisions is made again from the ledger"
    )]
    NewerSchema {
        /// File.
        path: PathBuf,
        /// Schema found.
        found: i64,
        /// Newest schema of this program.
        known: i64,
    },
    /// A statement failed.
    #[error("cannot {doing}")]
    Sql {
        /// What was attempted.
        doing: &'static str,
        /// Cause.
        source: rusqlite::Error,
    },
    /// A batch of the ledger does not read back.
    #[error("batch {batch_no} of the ledger does not read back; restore a backup: docksync-aggregator restore")]
    Stored {
        /// Batch.
        batch_no: i64,
        /// Cause.
        source: CodecError,
    },
    /// No such run.
    #[error("there is no run {run_no}: see recon list")]
    NoRun {
        /// What was asked.
        run_no: i64,
    },
    /// The inputs of a run are gone.
    #[error("the inputs of run {run_no} are no longer kept: only its report is, see recon show {run_no}")]
    NoInputs {
        /// Run.
        run_no: i64,
    },
    /// No such drift.
    #[error("there is no drift {drift_no}: see recon show")]
    NoDrift {
        /// What was asked.
        drift_no: i64,
    },
    /// The drift's state does not allow it.
    #[error("drift {drift_no} is {state}: {needed}")]
    Step {
        /// Drift.
        drift_no: i64,
        /// Its state.
        state: &'static str,
        /// What would be right.
        needed: String,
    },
    /// What is stored cannot be read back.
    #[error("{what} of run {run_no} cannot be read back: make a new run with recon run")]
    Damaged {
        /// What.
        what: &'static str,
        /// Run.
        run_no: i64,
    },
    /// A correction could not be made into an event.
    #[error("the correction of drift {drift_no} cannot be written")]
    Correction {
        /// Drift.
        drift_no: i64,
        /// Cause.
        source: CodecError,
    },
}

impl ReconcileError {
    /// What to do next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Ledger(error) => error.disposition(),
            Self::Sql { .. } => Disposition::Retry,
            Self::Open { .. }
            | Self::NewerSchema { .. }
            | Self::Stored { .. }
            | Self::NoRun { .. }
            | Self::NoInputs { .. }
            | Self::NoDrift { .. }
            | Self::Step { .. }
            | Self::Damaged { .. }
            | Self::Correction { .. } => Disposition::Person,
        }
    }
}

/// Names what was attempted, for `map_err`.
pub(super) fn sql(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> ReconcileError {
    move |source| ReconcileError::Sql { doing, source }
}

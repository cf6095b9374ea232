//! Deliveries: brings the effect of each event to each consumer, in the order of its document, once.
//!
//! Takes batches of the ledger behind the cursor of (consumer, site). Gives calls to [`crate::consumers`] and durable records of what
//! is known. Invariants: events of one document (lane) go in order; what is parked holds back its own lane only; `sending` is
//! committed before a call whose repetition the destination would not notice; the cursor passes an event when it is applied, parked or
//! held behind a parked one. A fault of the destination pauses the consumer with one incident, which
//! the ledger keeps, and counts against no event.
//!
//! | state | on | becomes | durable |
//! |---|---|---|---|
//! | ready | offered | sending | row `sending`, but for consumers with our key |
//! | sending | applied, already applied | applied | cursor, or row `done` above it |
//! | sending | destination fault | ready | row taken back |
//! | sending | rejected, needs a decision | parked | row `parked`; followers of its lane `held` |
//! | sending | no outcome, crash | unknown | row `unknown` |
//! | unknown | our key is kept there | ready | |
//! | unknown | look-up: found / absent / no answer | applied / ready / unknown | |
//! | unknown | look-up: several | parked as `AMBIGUOUS_DOCUMENT` | row `parked` |
//! | unknown | neither | parked as `UNKNOWN_OUTCOME` | row `parked` |
//! | parked | operator: retry / skip | ready / gone, followers in order | audit |
//!
//! Events that were not admitted come as parked, and follow the decision made on them.
//!
//! Deliberately not here: what an answer of a destination means (its profile does), who may decide.

pub mod board;
pub mod deliverer;
mod lanes;
mod load;
pub mod machine;
pub mod ops;
pub mod pause;
pub mod shell;
#[cfg(test)]
mod sim;
pub mod tempo;
mod watch;

use docksync_proto::codec::CodecError;

pub(crate) use load::fate;

/// What a consumer would be sent.
///
/// # Errors
/// [`LedgerError`].
pub(crate) fn load_one(
    reads: &impl crate::ledger::Reads,
    loc: crate::ledger::Loc,
    consumer: &str,
) -> Result<Option<crate::consumers::Delivery>, LedgerError> {
    load::read_one(reads, loc, consumer).map_err(|error| match error {
        load::LoadError::Ledger(error) => error,
        load::LoadError::Stored(batch_no, source) => LedgerError::Stored { batch_no, source },
    })
}

/// What a consumer would be sent, for tests of other rooms.
#[cfg(test)]
pub(crate) fn load_for_test(
    reads: &impl crate::ledger::Reads,
    loc: crate::ledger::Loc,
    consumer: &str,
) -> crate::consumers::Delivery {
    load_one(reads, loc, consumer).unwrap().unwrap()
}

use crate::ledger::{LedgerError, error::Disposition};

/// Why deliveries of a consumer ended.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The ledger did not read or write.
    #[error("cannot deliver to {consumer}")]
    Ledger {
        /// Consumer.
        consumer: String,
        /// Cause.
        source: LedgerError,
    },
    /// A stored batch does not decode.
    #[error("cannot read batch {batch_no} for {consumer}; restore a backup: docksync-aggregator restore")]
    Stored {
        /// Consumer.
        consumer: String,
        /// Batch.
        batch_no: i64,
        /// Cause.
        source: CodecError,
    },
    /// A consumer gave another number of outcomes than it was given events.
    #[error("consumer {consumer} gave {found} outcomes for {expected} events")]
    Outcomes {
        /// Consumer.
        consumer: String,
        /// Given.
        found: usize,
        /// Events.
        expected: usize,
    },
}

impl DeliverError {
    /// What to do next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Ledger { source, .. } => source.disposition(),
            Self::Stored { .. } => Disposition::Person,
            Self::Outcomes { .. } => Disposition::Restart,
        }
    }
}

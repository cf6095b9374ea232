//! ERPs that take one document at a time: how a batch goes to them.
//!
//! One after the other, for the calls of a document are several and two documents may be about one order. What the ERP says of itself
//! (it is down, it limits, its books are closed) holds for the rest of the batch too, which then is not sent.

use super::document::{Document, document};
use crate::consumers::{Delivery, FaultClass, LookUp, Outcome, erp::mapping::Mapping, wire::Failure};

/// Documents of one batch: few, so that a paused or stopped program does not wait long.
pub const BATCH: usize = 20;

/// How one document comes to such an ERP.
pub trait Single {
    /// How events are told to it.
    fn mapping(&self) -> &Mapping;
    /// Makes sure, before the first document of a start, that it takes documents at all.
    ///
    /// # Errors
    /// [`Failure`].
    fn prepare(&mut self) -> Result<(), Failure>;
    /// Brings it the document, or finds that it has it.
    fn bring(&mut self, document: &Document) -> Outcome;
    /// Asks for a document by key.
    fn find(&mut self, document: &Document) -> LookUp;
}

/// One outcome for each delivery.
pub fn apply<E: Single>(erp: &mut E, batch: &[Delivery]) -> Vec<Outcome> {
    let mut stopped: Option<Outcome> = None;
    let mut each = |delivery: &Delivery| match document(delivery, erp.mapping()) {
        Ok(None) => Outcome::Applied(String::new()),
        Err(unmapped) => unmapped.into(),
        Ok(Some(document)) => {
            if let Some(outcome) = &stopped {
                return outcome.clone();
            }
            let outcome = match erp.prepare() {
                Ok(()) => erp.bring(&document),
                Err(failure) => failure.without_effect(),
            };
            stopped = stops(&outcome);
            outcome
        }
    };
    batch.iter().map(&mut each).collect()
}

/// What an outcome means for the documents behind it, which were not sent.
fn stops(outcome: &Outcome) -> Option<Outcome> {
    match outcome {
        Outcome::Retry { .. } => Some(outcome.clone()),
        Outcome::Unknown { reason, was_answered: false } => Some(Outcome::Retry {
            class: FaultClass::Outage,
            after_ms: None,
            reason: format!("not sent behind a call without an answer: {reason}"),
        }),
        Outcome::Unknown { was_answered: true, .. }
        | Outcome::Applied(_)
        | Outcome::AlreadyApplied(_)
        | Outcome::NeedsDecision { .. }
        | Outcome::Rejected { .. } => None,
    }
}

/// Whether the document of a delivery is there.
pub fn look_up<E: Single>(erp: &mut E, delivery: &Delivery) -> LookUp {
    match document(delivery, erp.mapping()) {
        Ok(Some(document)) => match erp.prepare() {
            Ok(()) => erp.find(&document),
            Err(failure) => failure.no_answer(),
        },
        // It was never sent: applying it says what is missing.
        Ok(None) | Err(_) => LookUp::Absent,
    }
}

/// A refusal of our own.
pub fn reject(code: &str, reason: String) -> Outcome {
    Outcome::Rejected { code: code.to_owned(), reason }
}

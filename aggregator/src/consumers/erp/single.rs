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
pub fn stops(outcome: &Outcome) -> Option<Outcome> {
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

/// What the end of a search that found nothing says of the document.
pub fn not_found(outcome: &Outcome) -> LookUp {
    match outcome {
        Outcome::Rejected { reason, .. } => LookUp::Several { reason: reason.clone() },
        Outcome::Retry { class, reason, .. } => LookUp::NoAnswer { class: *class, reason: reason.clone() },
        other => LookUp::NoAnswer { class: FaultClass::Outage, reason: words(other) },
    }
}

/// Why something did not come about, in one line.
pub fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Rejected { code, reason } => format!("{code}: {reason}"),
        Outcome::Retry { class, reason, .. } => format!("{}: {reason}", class.as_str()),
        Outcome::Unknown { reason, .. } | Outcome::NeedsDecision { reason } => reason.clone(),
        Outcome::Applied(document) | Outcome::AlreadyApplied(document) => document.clone(),
    }
}

/// A refusal of our own.
pub fn reject(code: &str, reason: String) -> Outcome {
    Outcome::Rejected { code: code.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::consumers::conformance::{adjustment, shipment};

    /// Answers as it is told to, and counts how often it is asked.
    struct Scripted {
        mapping: Mapping,
        outcomes: VecDeque<Outcome>,
        is_down: bool,
        brought: usize,
    }

    impl Single for Scripted {
        fn mapping(&self) -> &Mapping {
            &self.mapping
        }
        fn prepare(&mut self) -> Result<(), Failure> {
            let down = Failure::Unknown { reason: "no answer".to_owned(), was_answered: false };
            if self.is_down { Err(down) } else { Ok(()) }
        }
        fn bring(&mut self, _: &Document) -> Outcome {
            self.brought += 1;
            self.outcomes.pop_front().unwrap_or(Outcome::Applied("D".to_owned()))
        }
        fn find(&mut self, _: &Document) -> LookUp {
            LookUp::Absent
        }
    }

    fn told(outcomes: Vec<Outcome>, is_down: bool) -> (Vec<Outcome>, usize) {
        let mapping = Mapping::default();
        let mut erp = Scripted { mapping, outcomes: outcomes.into(), is_down, brought: 0 };
        let outcomes = apply(&mut erp, &[shipment(1), adjustment(1, 1), shipment(2)]);
        (outcomes, erp.brought)
    }

    #[test]
    fn behind_a_fault_or_a_lost_answer_nothing_of_the_batch_is_sent() {
        let limit = Outcome::Retry { class: FaultClass::Limit, after_ms: Some(7), reason: String::new() };
        let lost = Outcome::Unknown { reason: "time-out".to_owned(), was_answered: false };

        let (limited, calls) = told(vec![limit.clone()], false);
        assert_eq!((limited, calls), (vec![limit.clone(), limit.clone(), limit], 1));

        let (silent, calls) = told(vec![lost.clone()], false);
        assert_eq!((&silent[0], calls), (&lost, 1));
        assert!(
            silent[1..].iter().all(|o| matches!(o, Outcome::Retry { class: FaultClass::Outage, .. })),
            "{silent:?}"
        );
    }

    #[test]
    fn a_refusal_or_a_question_is_one_document_s_own() {
        let refused = reject("QUANTITY", "no".to_owned());
        let asks = Outcome::NeedsDecision { reason: "which".to_owned() };

        let (outcomes, calls) = told(vec![refused.clone(), asks.clone()], false);

        assert_eq!((outcomes, calls), (vec![refused, asks, Outcome::Applied("D".to_owned())], 3));
    }

    #[test]
    fn an_erp_that_cannot_be_greeted_has_had_nothing() {
        let (outcomes, calls) = told(Vec::new(), true);

        assert!(outcomes.iter().all(|o| matches!(o, Outcome::Retry { class: FaultClass::Outage, .. })), "{outcomes:?}");
        assert_eq!(calls, 0);
    }
}

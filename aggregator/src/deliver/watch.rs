//! The incidents of one destination: opened by its faults, ended by its answers, kept in the ledger and told to the board.

use super::{
    board::Board,
    pause::{Incident, Pause},
};
use crate::{
    consumers::{FaultClass, Outcome},
    ledger::{Change, IncidentRow},
};

/// Watches one destination. What it gives is to be written with the outcomes that brought it.
#[derive(Debug)]
pub(super) struct Watch {
    consumer: String,
    pause: Pause,
    board: Board,
}

impl Watch {
    pub(super) fn new(consumer: &str, board: Board, seed: u64) -> Self {
        Self { consumer: consumer.to_owned(), pause: Pause::new(seed), board }
    }

    /// Takes up what a former run left open; the next step tries whether it is over.
    pub(super) fn go_on(&mut self, newest: Option<&IncidentRow>) {
        let Some(row) = newest.filter(|row| row.until_ms.is_none()) else { return };
        self.pause.go_on(Incident {
            class: FaultClass::from_word(&row.class),
            reason: row.reason.clone(),
            since_ms: row.since_ms,
            failures: row.failures,
            next_try_ms: 0,
        });
        self.board.paused(&self.consumer, self.pause.incident());
    }

    /// Until when nothing is tried.
    pub(super) fn paused_until(&self, now_ms: i64) -> Option<i64> {
        self.pause.paused_until(now_ms)
    }

    /// Whether the next call is a trial, to be made with one event.
    pub(super) fn is_trial(&self) -> bool {
        self.pause.is_trial()
    }

    /// Pauses for a fault of the destination; any judged event without one ends the incident. An answer that was lost beside answers
    /// that came is a matter of its event: the destination works.
    pub(super) fn heed(&mut self, outcomes: &[Outcome], now_ms: i64) -> Vec<Change> {
        let is_heard = outcomes.iter().any(|outcome| !outcome.is_fault());
        let fault = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Retry { class, after_ms, reason } => Some((*class, *after_ms, reason)),
            Outcome::Unknown { reason, .. } if !is_heard => Some((FaultClass::Outage, None, reason)),
            Outcome::Unknown { .. }
            | Outcome::Applied(_)
            | Outcome::AlreadyApplied(_)
            | Outcome::NeedsDecision { .. }
            | Outcome::Rejected { .. } => None,
        });
        match fault {
            Some((class, after_ms, reason)) => self.fault(class, after_ms, reason, now_ms),
            None => self.clear(now_ms),
        }
    }

    /// It takes nothing now. An incident is written when it opens or changes its kind, but not at each try.
    pub(super) fn fault(&mut self, class: FaultClass, after_ms: Option<u64>, reason: &str, now_ms: i64) -> Vec<Change> {
        let was = self.pause.incident().map(|incident| incident.class);
        if self.pause.fault(class, after_ms, reason, now_ms) {
            tracing::warn!(consumer = self.consumer, class = class.as_str(), error = reason, "destination paused");
        }
        self.board.paused(&self.consumer, self.pause.incident());
        let written = self.pause.incident().filter(|_| was != Some(class));
        written.map(|incident| self.row(incident, None)).into_iter().collect()
    }

    /// It takes events.
    pub(super) fn clear(&mut self, now_ms: i64) -> Vec<Change> {
        let Some(incident) = self.pause.clear() else { return Vec::new() };
        tracing::info!(consumer = self.consumer, failures = incident.failures, "destination resumed");
        self.board.paused(&self.consumer, None);
        vec![self.row(&incident, Some(now_ms))]
    }

    fn row(&self, incident: &Incident, until_ms: Option<i64>) -> Change {
        Change::Incident(IncidentRow {
            consumer: self.consumer.clone(),
            class: incident.class.as_str().to_owned(),
            reason: incident.reason.clone(),
            since_ms: incident.since_ms,
            failures: incident.failures,
            until_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Outcome {
        Outcome::Unknown { reason: "the connection broke".to_owned(), was_answered: false }
    }

    fn rows(changes: Vec<Change>) -> Vec<IncidentRow> {
        let row = |change| if let Change::Incident(row) = change { Some(row) } else { None };
        changes.into_iter().filter_map(row).collect()
    }

    #[test]
    fn a_lost_answer_is_an_incident_only_where_nothing_was_answered() {
        let mut watch = Watch::new("erp", Board::default(), 1);

        assert!(watch.heed(&[Outcome::Applied(String::new()), lost()], 1).is_empty());
        assert_eq!(watch.paused_until(1), None);
        assert_eq!(rows(watch.heed(&[lost(), lost()], 1)).len(), 1);
        assert!(watch.paused_until(1).is_some());
    }

    #[test]
    fn an_incident_is_written_when_it_opens_changes_and_closes_and_goes_on_after_a_start() {
        let mut watch = Watch::new("erp", Board::default(), 1);

        let opened = rows(watch.fault(FaultClass::Outage, None, "down", 1_000));
        assert!(watch.fault(FaultClass::Outage, None, "down", 2_000).is_empty());
        let changed = rows(watch.fault(FaultClass::Auth, None, "who", 3_000));
        let mut later = Watch::new("erp", Board::default(), 1);
        later.go_on(changed.first());
        let closed = rows(later.clear(9_000));

        assert_eq!((opened[0].since_ms, opened[0].until_ms), (1_000, None));
        assert_eq!((changed[0].since_ms, changed[0].class.as_str(), changed[0].failures), (1_000, "auth", 3));
        assert_eq!((closed[0].since_ms, closed[0].until_ms), (1_000, Some(9_000)));
        later.go_on(closed.first());
        assert!(!later.is_trial(), "what is closed stays closed");
    }
}

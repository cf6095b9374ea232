//! Why two books may differ: rules that can be read, in the order in which they are tried. Pure.
//!
//! | cause | rule |
//! |---|---|
//! | `skipped_event` | a person left out an event with just this effect |
//! | `wrong_status`, `wrong_lot` | the same quantity is too much under another status or lot of the item |
//! | `opening_balance` | the item differed when both were compared for the first time |
//! | `missed_*`, `doubled_*` | one event since the last exact comparison has just this effect, or was counted twice |
//! | `unit_of_measure` | one such event was counted in another unit, or the whole balance is |
//! | `unknown` | none of these |
//!
//! Where events of different kinds would fit, the cause is `unknown` and all of them are named: a rule never guesses.

use docksync_proto::event::EventType;
use serde::{Deserialize, Serialize};

use crate::ledger::Loc;

/// Usual contents of cases and pallets, tried where the configuration names no factor.
const USUAL: [u32; 6] = [6, 10, 12, 20, 24, 48];
/// Candidates that are named.
const NAMED: usize = 3;

/// A movement of the item since both sides last agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Event.
    pub loc: Loc,
    /// Its effect, millionths.
    pub micros: i64,
    /// What it was.
    pub kind: EventType,
}

/// What the rules look at.
#[derive(Debug, Clone, Default)]
pub struct Facts<'f> {
    /// Other side less ledger, after everything known: millionths.
    pub unexplained: i64,
    /// Balance that was expected.
    pub expected: i64,
    /// Balance there.
    pub other: i64,
    /// Movements of the balance since both agreed, newest last.
    pub moved: &'f [Moved],
    /// Events that a person left out for this side.
    pub skipped: &'f [Loc],
    /// The same item and lot under other statuses: status, unexplained.
    pub places: &'f [(&'f str, i64)],
    /// The same item and status in other lots: lot, unexplained.
    pub lots: &'f [(&'f str, i64)],
    /// Whether both sides are compared for the first time.
    pub is_first: bool,
    /// Pieces in units, by the configuration.
    pub factors: &'f [u32],
}

/// A probable cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Stable code.
    pub code: String,
    /// Events that it points to, newest first.
    pub events: Vec<i64>,
    /// What else it found: another status or lot, a factor.
    pub detail: String,
}

impl Cause {
    fn new(code: &str, detail: String) -> Self {
        Self { code: code.to_owned(), events: Vec::new(), detail }
    }

    fn at(mut self, events: impl IntoIterator<Item = Loc>) -> Self {
        self.events = events.into_iter().map(|loc| loc.0).collect();
        self
    }
}

/// The first rule that fits.
pub fn cause(facts: &Facts<'_>) -> Cause {
    let lacks = |m: &&Moved| m.micros == facts.unexplained.saturating_neg();
    if let Some(skipped) = facts.moved.iter().rev().filter(lacks).find(|m| facts.skipped.contains(&m.loc)) {
        return Cause::new("skipped_event", String::new()).at([skipped.loc]);
    }
    let opposite = |others: &[(&str, i64)]| {
        others.iter().find(|(_, n)| *n == facts.unexplained.saturating_neg()).map(|(name, _)| (*name).to_owned())
    };
    if let Some(place) = opposite(facts.places) {
        let place = if place.is_empty() { "available".to_owned() } else { place };
        return Cause::new("wrong_status", place);
    }
    if let Some(lot) = opposite(facts.lots) {
        return Cause::new("wrong_lot", lot);
    }
    if facts.is_first {
        return Cause::new("opening_balance", String::new());
    }
    one_event(facts).or_else(|| unit(facts)).unwrap_or_else(|| Cause::new("unknown", String::new()))
}

fn one_event(facts: &Facts<'_>) -> Option<Cause> {
    let code_of = |m: &Moved| {
        let how = if m.micros == facts.unexplained.saturating_neg() { "missed" } else { "doubled" };
        format!("{how}_{}", word(m.kind))
    };
    let fits = |m: &&Moved| m.micros.saturating_abs() == facts.unexplained.saturating_abs() && m.micros != 0;
    let found: Vec<(&Moved, String)> = facts.moved.iter().rev().filter(fits).map(|m| (m, code_of(m))).collect();
    let (_, code) = found.first()?;
    let is_clear = found.iter().all(|(_, other)| other == code);
    let named = found.iter().take(NAMED).map(|(m, _)| m.loc);
    if is_clear {
        let detail = if found.len() > 1 { format!("one of {} such events", found.len()) } else { String::new() };
        return Some(Cause::new(code, detail).at(named));
    }
    let mut codes: Vec<&str> = found.iter().map(|(_, code)| code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    Some(Cause::new("unknown", format!("fits {}", codes.join(" and "))).at(named))
}

fn unit(facts: &Facts<'_>) -> Option<Cause> {
    let factors = facts.factors.iter().copied().chain(USUAL).filter(|f| *f > 1).map(i64::from);
    for factor in factors {
        let detail = format!("1 to {factor}");
        for m in facts.moved.iter().rev().filter(|m| m.micros != 0) {
            let is_more = m.micros.checked_mul(factor - 1) == Some(facts.unexplained);
            let is_less = m.micros % factor == 0 && m.micros / factor - m.micros == facts.unexplained;
            if is_more || is_less {
                return Some(Cause::new("unit_of_measure", detail).at([m.loc]));
            }
        }
        let whole = facts.expected != 0
            && (facts.expected.checked_mul(factor) == Some(facts.other)
                || facts.other.checked_mul(factor) == Some(facts.expected) && facts.other != 0);
        if whole {
            return Some(Cause::new("unit_of_measure", detail));
        }
    }
    None
}

/// What an event is called in the code of a cause.
pub fn word(kind: EventType) -> &'static str {
    match kind {
        EventType::InventoryAdjusted => "adjustment",
        EventType::CycleCountCompleted => "count",
        EventType::ReceiptConfirmed => "receipt",
        EventType::ReturnReceived => "return",
        EventType::ShipmentConfirmed => "shipment",
        EventType::ShipmentVoided => "void",
        EventType::TransferShipped => "transfer",
        EventType::InventoryStatusChanged => "status_change",
        _ => "event",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(loc: i64, micros: i64, kind: EventType) -> Moved {
        Moved { loc: Loc(loc), micros, kind }
    }

    fn code(facts: &Facts<'_>) -> String {
        cause(facts).code
    }

    #[test]
    fn an_event_that_fits_is_named_as_missed_or_doubled() {
        let all = [moved(1, 7, EventType::ReceiptConfirmed), moved(2, -3, EventType::InventoryAdjusted)];
        let facts =
            |unexplained| Facts { unexplained, moved: &all, expected: 40, other: 40 + unexplained, ..Facts::default() };

        assert_eq!(code(&facts(3)), "missed_adjustment");
        assert_eq!(code(&facts(-3)), "doubled_adjustment");
        assert_eq!(code(&facts(-7)), "missed_receipt");
        assert_eq!(code(&facts(7)), "doubled_receipt");
        assert_eq!(code(&facts(5)), "unknown");
    }

    #[test]
    fn two_kinds_that_both_fit_are_named_and_not_chosen_from() {
        let all = [moved(1, 7, EventType::ReceiptConfirmed), moved(2, 7, EventType::CycleCountCompleted)];

        let found = cause(&Facts { unexplained: -7, moved: &all, ..Facts::default() });

        assert_eq!((found.code.as_str(), found.events.len()), ("unknown", 2));
        assert_eq!(found.detail, "fits missed_count and missed_receipt");
    }

    #[test]
    fn a_unit_is_known_by_its_factor() {
        let all = [moved(1, 3, EventType::ReceiptConfirmed)];
        let facts = Facts { unexplained: 33, moved: &all, expected: 100, other: 133, ..Facts::default() };
        assert_eq!(code(&facts), "unit_of_measure");

        let facts = Facts { unexplained: 132, expected: 12, other: 144, ..Facts::default() };
        assert_eq!((code(&facts).as_str(), cause(&facts).detail.as_str()), ("unit_of_measure", "1 to 12"));
    }

    #[test]
    fn what_is_too_much_elsewhere_lies_in_the_wrong_place() {
        let facts = Facts { unexplained: -5, places: &[("damaged", 5)], is_first: true, ..Facts::default() };
        assert_eq!((code(&facts).as_str(), cause(&facts).detail.as_str()), ("wrong_status", "damaged"));

        let facts = Facts { unexplained: -5, lots: &[("L1", 4), ("L2", 5)], ..Facts::default() };
        assert_eq!((code(&facts).as_str(), cause(&facts).detail.as_str()), ("wrong_lot", "L2"));
    }
}

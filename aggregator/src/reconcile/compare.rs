//! Balances of one item on two sides. Pure.
//!
//! `other = ledger + on_way + parked + unmapped + not_told + unexplained`. For a destination, what it has not had is subtracted; for a
//! warehouse system, what it stated and we had not had is added. An outcome that is not known counts as it fits.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Most unknown outcomes of one balance whose combinations are tried.
const UNKNOWN_MAX: usize = 12;

/// Lot, place, unit.
pub type Key = (String, String, String);

/// What the ledger expects the other side to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Balance of the ledger.
    pub ledger: i64,
    /// On the way, as the other side lacks or has it.
    pub on_way: i64,
    /// Parked events.
    pub parked: i64,
    /// Parked events for which a mapping lacks.
    pub unmapped: i64,
    /// Events that the other side is never told.
    pub not_told: i64,
    /// Each may have arrived or not.
    pub unknown: Vec<i64>,
    /// Sums that explain a difference only where they explain all of it.
    pub maybe: Vec<i64>,
    /// Whether the ledger knows what was there in the beginning.
    pub is_opened: bool,
    /// Accounts behind it.
    pub accounts: Vec<i64>,
}

/// One balance on both sides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Lot; empty where the other side keeps none.
    pub lot: String,
    /// Place or status; empty is available stock.
    pub place: String,
    /// Unit; empty is pieces.
    pub uom: String,
    /// Balance of the ledger, millionths as all that follow.
    pub ledger: i64,
    /// Balance of the other side.
    pub other: i64,
    /// On the way.
    pub on_way: i64,
    /// Parked.
    pub parked: i64,
    /// Parked for a mapping.
    pub unmapped: i64,
    /// Never told.
    pub not_told: i64,
    /// What nothing explains.
    pub unexplained: i64,
    /// Accounts of the book behind it.
    pub accounts: Vec<i64>,
    /// Whether nobody had told what was there in the beginning.
    pub is_opening: bool,
}

impl Compared {
    /// Whether both sides say the same.
    pub fn is_exact(&self) -> bool {
        self.ledger == self.other && self.unexplained == 0
    }
}

/// Compares an item. `absent_is_zero` is whether a balance that the other side does not name is none.
pub fn compare(expected: BTreeMap<Key, Expected>, other: BTreeMap<Key, i64>, absent_is_zero: bool) -> Vec<Compared> {
    // Where the other side keeps no lots of the item, lots are no difference.
    let keeps_lots = other.keys().any(|(lot, ..)| !lot.is_empty());
    let expected = match (keeps_lots, other.is_empty()) {
        (true, _) => expected,
        (false, false) => without_lots(expected),
        // It names none of them: whether it keeps lots cannot be seen, and does not matter where nothing is left in sum.
        (false, true) => {
            let merged = without_lots(expected.clone());
            let closes = |(key, e): (&Key, &Expected)| balance(key, e, 0).unexplained == 0;
            if merged.iter().all(closes) { merged } else { expected }
        }
    };
    let keys: BTreeSet<&Key> = expected.keys().chain(other.keys()).collect();
    let mut all = Vec::with_capacity(keys.len());
    let nothing = Expected::default();
    for key in keys {
        let there = other.get(key).copied();
        if there.is_none() && !absent_is_zero {
            continue;
        }
        let e = expected.get(key).unwrap_or(&nothing);
        all.push(balance(key, e, there.unwrap_or(0)));
    }
    all
}

fn without_lots(expected: BTreeMap<Key, Expected>) -> BTreeMap<Key, Expected> {
    let mut all: BTreeMap<Key, Expected> = BTreeMap::new();
    for ((_, place, uom), e) in expected {
        let sum = all
            .entry((String::new(), place, uom))
            .or_insert_with(|| Expected { is_opened: true, ..Expected::default() });
        add(sum, e);
    }
    all
}

/// Adds a balance to another one.
pub fn add(sum: &mut Expected, e: Expected) {
    sum.ledger = sum.ledger.saturating_add(e.ledger);
    sum.on_way = sum.on_way.saturating_add(e.on_way);
    sum.parked = sum.parked.saturating_add(e.parked);
    sum.unmapped = sum.unmapped.saturating_add(e.unmapped);
    sum.not_told = sum.not_told.saturating_add(e.not_told);
    sum.unknown.extend(e.unknown);
    sum.maybe.extend(e.maybe);
    sum.is_opened &= e.is_opened;
    sum.accounts.extend(e.accounts);
}

fn balance((lot, place, uom): &Key, e: &Expected, other: i64) -> Compared {
    let sure = e
        .ledger
        .saturating_add(e.on_way)
        .saturating_add(e.parked)
        .saturating_add(e.unmapped)
        .saturating_add(e.not_told);
    let left = other.saturating_sub(sure);
    let open = fitting(&e.unknown, left).or_else(|| fitting(&e.maybe, left)).unwrap_or(0);
    Compared {
        lot: lot.clone(),
        place: place.clone(),
        uom: uom.clone(),
        ledger: e.ledger,
        other,
        on_way: e.on_way.saturating_add(open),
        parked: e.parked,
        unmapped: e.unmapped,
        not_told: e.not_told,
        unexplained: left.saturating_sub(open),
        accounts: e.accounts.clone(),
        is_opening: !e.is_opened,
    }
}

/// The sum of some of them, where one makes exactly what is wanted.
fn fitting(parts: &[i64], wanted: i64) -> Option<i64> {
    if wanted == 0 || parts.is_empty() {
        return None;
    }
    let parts = &parts[..parts.len().min(UNKNOWN_MAX)];
    (1_u32..1 << parts.len())
        .any(|chosen| {
            let sum = parts.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1).map(|(_, part)| *part);
            sum.fold(0, i64::saturating_add) == wanted
        })
        .then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(lot: &str, place: &str) -> Key {
        (lot.to_owned(), place.to_owned(), String::new())
    }

    fn of(ledger: i64) -> Expected {
        Expected { ledger, is_opened: true, ..Expected::default() }
    }

    #[test]
    fn what_is_on_its_way_or_parked_is_no_drift() {
        let expected = Expected { on_way: -5, parked: -2, ..of(20) };

        let all = compare([(key("", ""), expected)].into(), [(key("", ""), 12)].into(), true);

        assert_eq!(all[0].unexplained, -1, "20 - 5 - 2 is 13");
    }

    #[test]
    fn an_unknown_outcome_counts_as_it_fits() {
        for other in [20, 17, 16, 13] {
            let expected = Expected { unknown: vec![-3, -4], ..of(20) };
            let all = compare([(key("", ""), expected)].into(), [(key("", ""), other)].into(), true);
            assert_eq!(all[0].unexplained, 0, "{other}");
        }
        let expected = Expected { unknown: vec![-3, -4], ..of(20) };
        let all = compare([(key("", ""), expected)].into(), [(key("", ""), 18)].into(), true);
        assert_eq!(all[0].unexplained, -2);
    }

    #[test]
    fn only_so_many_unknown_outcomes_are_tried() {
        let unknown: Vec<i64> = (0..40).map(|n| 1 << n).collect();
        let of = |wanted| {
            let expected = Expected { unknown: unknown.clone(), ..of(0) };
            compare([(key("", ""), expected)].into(), [(key("", ""), wanted)].into(), true)[0].unexplained
        };

        assert_eq!(of(0b1111_1111_1111), 0, "the first twelve are tried in every combination");
        assert_eq!(of(1 << 12), 1 << 12);
    }

    #[test]
    fn a_side_without_lots_is_compared_without_them() {
        let expected = BTreeMap::from([(key("L1", ""), of(3)), (key("L2", ""), of(4))]);

        let all = compare(expected.clone(), [(key("", ""), 7)].into(), true);
        assert_eq!((all.len(), all[0].unexplained), (1, 0));

        let all = compare(expected, [(key("L1", ""), 7)].into(), true);
        assert_eq!(all.iter().map(|c| c.unexplained).collect::<Vec<_>>(), [4, -4]);
    }

    #[test]
    fn a_sold_out_item_is_equal_though_its_lots_are_not_told() {
        let expected = BTreeMap::from([(key("L1", ""), of(5)), (key("", ""), of(-5))]);

        let all = compare(expected, BTreeMap::new(), true);

        assert!(all.iter().all(|c| c.unexplained == 0), "{all:?}");
    }

    #[test]
    fn a_number_that_nobody_told_is_not_zero() {
        assert!(compare([(key("", ""), of(9))].into(), BTreeMap::new(), false).is_empty());
        assert_eq!(compare([(key("", ""), of(9))].into(), BTreeMap::new(), true)[0].unexplained, -9);
    }
}

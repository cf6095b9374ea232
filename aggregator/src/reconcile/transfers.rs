//! Transfers between sites: what left against what arrived. Pure.
//!
//! A receipt may be known before its shipment: then the sender's line is late, and nothing is wrong before the lead time is over. What is on
//! the way is never less than none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A line of a shipment or a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Number of the transfer.
    pub transfer: String,
    /// Whether it arrived; otherwise it left.
    pub is_receipt: bool,
    /// Whether it says itself that it is one of a transfer.
    pub is_named: bool,
    /// Site of the event.
    pub site: String,
    /// Where it should arrive, where the shipment says so.
    pub to_site: String,
    /// Item.
    pub sku: String,
    /// Lot.
    pub lot: String,
    /// Unit.
    pub uom: String,
    /// Quantity, millionths.
    pub micros: i64,
    /// When it happened, milliseconds since 1970.
    pub happened_ms: i64,
    /// Event.
    pub loc: i64,
}

/// How an item of a transfer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// All arrived.
    Matched,
    /// On its way within the lead time.
    InTransit,
    /// Arrived, and its shipment is not known yet, within the lead time.
    Early,
    /// Less arrived than left, and no more is expected.
    Short,
    /// More arrived than left.
    Over,
    /// Nothing arrived within the lead time.
    Overdue,
    /// Nothing left, as far as is known, and the lead time is over.
    Unshipped,
    /// The same quantity arrived in another lot.
    WrongLot,
}

impl Standing {
    /// Whether a person must look.
    pub fn is_wrong(self) -> bool {
        !matches!(self, Self::Matched | Self::InTransit | Self::Early)
    }

    /// The word on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::InTransit => "in transit",
            Self::Early => "arrived before its shipment was told",
            Self::Short => "short",
            Self::Over => "over",
            Self::Overdue => "overdue",
            Self::Unshipped => "no shipment told",
            Self::WrongLot => "wrong lot",
        }
    }
}

/// An item of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matched {
    /// Number of the transfer.
    pub transfer: String,
    /// Item.
    pub sku: String,
    /// Lot; empty where lots are not told apart.
    pub lot: String,
    /// Unit.
    pub uom: String,
    /// Where it left; empty before that is known.
    pub from_site: String,
    /// Where it arrived, or should.
    pub to_site: String,
    /// Shipped, millionths.
    pub shipped: i64,
    /// Received.
    pub received: i64,
    /// On the way.
    pub in_transit: i64,
    /// Hours since the first of both.
    pub age_hours: i64,
    /// How it stands.
    pub standing: Standing,
    /// Events, in the order of the ledger.
    pub events: Vec<i64>,
}

#[derive(Default)]
struct Sums {
    from: BTreeSet<String>,
    to: BTreeSet<String>,
    shipped: i64,
    received: i64,
    first_ms: Option<i64>,
    /// When goods came last.
    came_ms: Option<i64>,
    events: Vec<i64>,
}

/// Matches all legs of transfers.
pub fn matched(legs: &[Leg], now_ms: i64, lead_hours: u32) -> Vec<Matched> {
    let mut by_transfer: BTreeMap<&str, Vec<&Leg>> = BTreeMap::new();
    for leg in legs {
        by_transfer.entry(&leg.transfer).or_default().push(leg);
    }
    let mut all = Vec::new();
    for (transfer, legs) in by_transfer {
        // A purchase order is no transfer, though its number stands where one could.
        if !legs.iter().any(|leg| !leg.is_receipt || leg.is_named) {
            continue;
        }
        let all_legs = &legs;
        // Where one side tells no lot of an item, there is none to be wrong.
        let keeps_lots = |sku: &str| {
            let tells = |received: bool| {
                let of_side = || all_legs.iter().filter(|l| l.sku == sku && l.is_receipt == received);
                of_side().next().is_none() || of_side().any(|l| !l.lot.is_empty())
            };
            tells(true) && tells(false)
        };
        let mut sums: BTreeMap<(&str, &str, &str), Sums> = BTreeMap::new();
        for leg in all_legs {
            let lot = if keeps_lots(&leg.sku) { leg.lot.as_str() } else { "" };
            take(sums.entry((&leg.sku, lot, &leg.uom)).or_default(), leg);
        }
        let is_closed = |sku: &str| -> bool {
            sums.iter().filter(|((of, ..), _)| *of == sku).map(|(_, s)| s.shipped - s.received).sum::<i64>() == 0
        };
        for ((sku, lot, uom), s) in &sums {
            let standing = standing(s, keeps_lots(sku) && is_closed(sku), now_ms, lead_hours);
            all.push(Matched {
                transfer: transfer.to_owned(),
                sku: (*sku).to_owned(),
                lot: (*lot).to_owned(),
                uom: (*uom).to_owned(),
                from_site: s.from.iter().next().cloned().unwrap_or_default(),
                to_site: s.to.iter().next().cloned().unwrap_or_default(),
                shipped: s.shipped,
                received: s.received,
                in_transit: s.shipped.saturating_sub(s.received).max(0),
                age_hours: hours(s.first_ms, now_ms),
                standing,
                events: s.events.clone(),
            });
        }
    }
    all
}

fn take(sums: &mut Sums, leg: &Leg) {
    if leg.is_receipt {
        sums.received = sums.received.saturating_add(leg.micros);
        sums.to.insert(leg.site.clone());
        sums.came_ms = sums.came_ms.max(Some(leg.happened_ms));
    } else {
        sums.shipped = sums.shipped.saturating_add(leg.micros);
        sums.from.insert(leg.site.clone());
        if !leg.to_site.is_empty() && sums.to.is_empty() {
            sums.to.insert(leg.to_site.clone());
        }
    }
    sums.first_ms = Some(sums.first_ms.map_or(leg.happened_ms, |ms| ms.min(leg.happened_ms)));
    sums.events.push(leg.loc);
}

fn hours(since_ms: Option<i64>, now_ms: i64) -> i64 {
    since_ms.map_or(0, |ms| now_ms.saturating_sub(ms).max(0) / 3_600_000)
}

fn standing(s: &Sums, is_other_lot: bool, now_ms: i64, lead_hours: u32) -> Standing {
    let is_late = |since| hours(since, now_ms) >= i64::from(lead_hours);
    match (s.shipped, s.received) {
        (shipped, received) if shipped == received => Standing::Matched,
        (_, _) if is_other_lot => Standing::WrongLot,
        (0, _) if is_late(s.first_ms) => Standing::Unshipped,
        (0, _) => Standing::Early,
        (_, 0) if is_late(s.first_ms) => Standing::Overdue,
        (_, 0) => Standing::InTransit,
        // A part of the shipments may not be told yet, as a part of the goods may not have come yet.
        (shipped, received) if received > shipped && is_late(s.came_ms) => Standing::Over,
        (shipped, received) if received > shipped => Standing::Early,
        _ if is_late(s.first_ms) => Standing::Short,
        _ => Standing::InTransit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn leg(site: &str, lot: &str, micros: i64, at_hours: i64) -> Leg {
        Leg {
            transfer: "T-1".to_owned(),
            is_receipt: site == "B",
            is_named: true,
            site: site.to_owned(),
            to_site: String::new(),
            sku: "SKU-1".to_owned(),
            lot: lot.to_owned(),
            uom: String::new(),
            micros,
            happened_ms: at_hours * HOUR,
            loc: 1,
        }
    }

    fn standings(legs: &[Leg], now_hours: i64) -> Vec<Standing> {
        matched(legs, now_hours * HOUR, 48).iter().map(|m| m.standing).collect()
    }

    #[test]
    fn nothing_is_wrong_within_the_lead_time() {
        assert_eq!(standings(&[leg("A", "", 10, 0)], 47), [Standing::InTransit]);
        assert_eq!(standings(&[leg("A", "", 10, 0), leg("B", "", 4, 20)], 47), [Standing::InTransit]);
        assert_eq!(standings(&[leg("B", "", 10, 0)], 47), [Standing::Early]);
        assert_eq!(standings(&[leg("A", "", 10, 0), leg("B", "", 10, 90)], 900), [Standing::Matched]);
    }

    #[test]
    fn what_is_short_over_or_missing_is_told_after_it() {
        assert_eq!(standings(&[leg("A", "", 10, 0), leg("B", "", 8, 20)], 48), [Standing::Short]);
        assert_eq!(standings(&[leg("A", "", 10, 0), leg("B", "", 11, 20)], 68), [Standing::Over]);
        assert_eq!(standings(&[leg("A", "", 10, 0)], 48), [Standing::Overdue]);
        assert_eq!(standings(&[leg("B", "", 10, 0)], 48), [Standing::Unshipped]);
    }

    #[test]
    fn another_lot_is_no_shortage() {
        let legs = [leg("A", "L1", 10, 0), leg("B", "L2", 10, 20)];
        assert_eq!(standings(&legs, 48), [Standing::WrongLot; 2]);
        // Where one side tells no lot, there is none to be wrong.
        assert_eq!(standings(&[leg("A", "L1", 10, 0), leg("B", "", 10, 20)], 48), [Standing::Matched]);
    }

    #[test]
    fn what_is_on_the_way_is_never_less_than_none() {
        for m in matched(&[leg("A", "", 10, 0), leg("B", "", 12, 1)], HOUR, 48) {
            assert_eq!(m.in_transit, 0);
        }
    }

    #[test]
    fn a_purchase_order_is_no_transfer() {
        let receipt = Leg { is_named: false, ..leg("B", "", 10, 0) };
        assert!(matched(&[receipt], 900 * HOUR, 48).is_empty());
    }

    /// A thousand transfers whose parts come in any order and late, because lines are cut: within the lead time nothing is wrong, after it
    /// exactly what is.
    #[test]
    fn of_a_thousand_transfers_only_the_eleven_that_are_short_or_over_are_named() {
        let mut dice = 7_u64;
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        let (mut legs, mut planted) = (Vec::new(), Vec::new());
        for n in 0..1_000_i64 {
            let transfer = format!("T-{n:04}");
            let pieces = 10 + i64::try_from(roll(90)).unwrap();
            let wrong = if n % 91 == 13 { [-1, 2][usize::try_from(roll(2)).unwrap()] } else { 0 };
            if wrong != 0 {
                planted.push((transfer.clone(), if wrong < 0 { Standing::Short } else { Standing::Over }));
            }
            let first = i64::try_from(roll(6)).unwrap();
            let of = |site: &str, micros, hours| Leg { transfer: transfer.clone(), ..leg(site, "", micros, hours) };
            legs.push((roll(1_000_000), of("A", pieces, first)));
            // It arrives in one part or in two.
            let part = if roll(3) == 0 { 4 } else { 0 };
            if part > 0 {
                legs.push((roll(1_000_000), of("B", part, first + 5)));
            }
            legs.push((roll(1_000_000), of("B", pieces + wrong - part, first + 9)));
        }
        legs.sort_by_key(|(order, _)| *order);
        let legs: Vec<Leg> = legs.into_iter().map(|(_, leg)| leg).collect();

        for known in [0, 500, 1_500, legs.len()] {
            for m in matched(&legs[..known], 30 * HOUR, 48) {
                assert!(!m.standing.is_wrong() && m.in_transit >= 0, "{m:?}");
            }
        }
        let all = matched(&legs, 100 * HOUR, 48);
        let wrong: Vec<_> =
            all.into_iter().filter(|m| m.standing.is_wrong()).map(|m| (m.transfer, m.standing)).collect();
        assert_eq!((wrong.len(), &wrong), (11, &planted));
    }
}

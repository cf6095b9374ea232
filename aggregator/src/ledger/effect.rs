//! What an event does to balances, alone or in place of an earlier version of itself. Pure.

use std::collections::BTreeMap;

use docksync_proto::{
    event::{Action, Event},
    stock::{self, Movement},
};

use super::place::Standing;

/// Item, lot, status.
pub type StockKey = (String, String, String);
/// Item, lot, status, unit.
pub type UnitKey = (String, String, String, String);

/// Changes of balances, zero sums left out.
pub fn effect(event: &Event, prior: Option<(&Event, Standing)>) -> BTreeMap<StockKey, i64> {
    sums(event, prior, |m| (m.sku.to_owned(), m.lot.to_owned(), m.status.to_owned()))
}

/// As [`effect`], each unit by itself; pieces are an empty unit.
pub fn effect_by_unit(event: &Event, prior: Option<(&Event, Standing)>) -> BTreeMap<UnitKey, i64> {
    sums(event, prior, |m| {
        let uom = if m.uom == "EA" { "" } else { m.uom };
        (m.sku.to_owned(), m.lot.to_owned(), m.status.to_owned(), uom.to_owned())
    })
}

fn sums<K: Ord>(
    event: &Event,
    prior: Option<(&Event, Standing)>,
    key: impl Fn(&Movement<'_>) -> K,
) -> BTreeMap<K, i64> {
    let mut sums = BTreeMap::new();
    let mut add = |event: &Event, sign: i64| {
        stock::movements(event, |m| {
            let sum: &mut i64 = sums.entry(key(&m)).or_default();
            *sum = sum.saturating_add(m.micros.saturating_mul(sign));
        });
    };
    match prior {
        None => add(event, 1),
        Some((prior, standing)) => {
            if !(standing == Standing::Correction && prior.action == Action::Void) {
                add(prior, -1);
            }
            // A version that withdraws the fact leaves nothing of it: the withdrawal's own sign is for facts under another id.
            if event.action != Action::Void {
                add(event, 1);
            }
        }
    }
    sums.retain(|_, micros| *micros != 0);
    sums
}

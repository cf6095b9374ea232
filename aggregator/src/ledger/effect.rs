//! What an event does to balances, alone or in place of an earlier version of itself. Pure.

use std::collections::BTreeMap;

use docksync_proto::{
    event::{Action, Event},
    stock,
};

use super::place::Standing;

/// Item, lot, status.
pub type StockKey = (String, String, String);

/// Changes of balances, zero sums left out.
pub fn effect(event: &Event, prior: Option<(&Event, Standing)>) -> BTreeMap<StockKey, i64> {
    let mut sums = BTreeMap::new();
    match prior {
        None => add(&mut sums, event, 1),
        Some((prior, standing)) => {
            if !(standing == Standing::Correction && prior.action == Action::Void) {
                add(&mut sums, prior, -1);
            }
            // A version that withdraws the fact leaves nothing of it: the withdrawal's own sign is for facts under another id.
            if event.action != Action::Void {
                add(&mut sums, event, 1);
            }
        }
    }
    sums.retain(|_, micros| *micros != 0);
    sums
}

fn add(sums: &mut BTreeMap<StockKey, i64>, event: &Event, sign: i64) {
    stock::movements(event, |m| {
        let sum = sums.entry((m.sku.to_owned(), m.lot.to_owned(), m.status.to_owned())).or_default();
        *sum = sum.saturating_add(m.micros.saturating_mul(sign));
    });
}

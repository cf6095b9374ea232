//! Delivery to a destination that costs nothing, beside the ledger's own reading and updating of the same events.

use std::{path::Path, sync::Arc, time::Instant};

use docksync_aggregator::{
    consumers::{Capability, Consumer, Delivery, LookUp, Outcome},
    deliver::{
        board::Board,
        deliverer::{Deliverer, Step},
    },
    ledger::{
        Change, CursorRow, Loc, Reads as _, Store as _,
        conformance::{Stream, receipt},
        sqlite::SqliteStore,
    },
};
use docksync_proto::codec;

use super::{Goal, Options, Row, Rows};

const EVENTS: usize = 200_000;
const EVENTS_QUICK: usize = 50_000;
const BATCH: usize = 500;
/// Events of one call, and of one update in the ceiling.
const CALL: usize = 200;
const SITE: &str = "DC01";

/// Rounds of the comparison with and without a document that is never taken: its median counts.
const ROUNDS: usize = 5;
const POISON_EVENTS: usize = 50_000;

/// Takes everything at once and keeps the key, as the ERP module does.
#[derive(Default)]
struct Free {
    /// Document that it refuses.
    refuses: Option<String>,
}

impl Consumer for Free {
    fn capability(&self) -> Capability {
        Capability::OwnKey
    }
    fn is_ordered(&self) -> bool {
        false
    }
    fn batch_max(&self) -> usize {
        CALL
    }
    fn apply(&mut self, batch: &[Delivery]) -> Vec<Outcome> {
        let is_bad = |delivery: &Delivery| self.refuses.as_ref().is_some_and(|d| *d == delivery.event.correlation_id);
        let refused = || Outcome::Rejected { code: "UNKNOWN_ITEM".to_owned(), reason: "no such item".to_owned() };
        batch.iter().map(|d| if is_bad(d) { refused() } else { Outcome::Applied(String::new()) }).collect()
    }
    fn look_up(&mut self, _: &Delivery) -> LookUp {
        LookUp::Absent
    }
}

/// Measures both on ledgers with the same events.
///
/// # Errors
/// Where a ledger cannot be written or read.
pub(super) fn measure(options: &Options, dir: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let events = if options.quick { EVENTS_QUICK } else { EVENTS };
    let bare = bare(fill(&dir.join("bare.sqlite"), events)?, events)?;
    let store = fill(&dir.join("ledger.sqlite"), events)?;
    let rate = events as f64 / drain(store, "free", None)?;
    // The ceiling is the ledger's own read and update.
    let row = Row::new("deliver, cost-free destination", rate, "events/s").of(bare);
    rows.push(row.goal(Goal::AtLeast((bare / 2.0).min(30_000.0))));
    poison(&dir.join("poison.sqlite"), rows)
}

/// Seconds until nothing is left to send.
fn drain(store: SqliteStore, consumer: &str, refuses: Option<String>) -> anyhow::Result<f64> {
    let mut deliverer = Deliverer::open(consumer, store, Free { refuses }, Board::default(), 1)?;
    let begun = Instant::now();
    let mut now_ms = 1;
    while deliverer.step(now_ms)? != (Step::Idle { until_ms: None }) {
        now_ms += 1;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// One document in 50,000 events is never taken: what the others lose by it. Each round is a consumer of its own over one ledger.
fn poison(path: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    drop(fill(path, POISON_EVENTS)?);
    let open = || SqliteStore::open(path, Arc::new(|| 1));
    let bad = receipt(SITE, "R-100", "SKU-100", 1).correlation_id;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        without.push(drain(open()?, &format!("well-{round}"), None)?);
        with.push(drain(open()?, &format!("ill-{round}"), Some(bad.clone()))?);
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        POISON_EVENTS as f64 / times[ROUNDS / 2]
    };
    let (with, without) = (median(&mut with), median(&mut without));
    let row = Row::new("deliver, one document in 50,000 never taken", with, "events/s").of(without);
    rows.push(row.goal(Goal::PartOf(0.95)));
    Ok(())
}

fn fill(path: &Path, events: usize) -> anyhow::Result<SqliteStore> {
    let mut store = SqliteStore::open(path, Arc::new(|| 1))?;
    let mut stream = Stream::new(SITE, 1);
    for from in (0..events).step_by(BATCH) {
        let of_batch: Vec<_> = (from..events.min(from + BATCH))
            .map(|n| receipt(SITE, &format!("R-{n}"), &format!("SKU-{}", n % 2_000), 1))
            .collect();
        store.commit(&[stream.batch(&of_batch)], &[])?;
    }
    Ok(store)
}

/// Reads and decodes every batch and moves a cursor once for each call.
fn bare(mut store: SqliteStore, events: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let (mut after, mut read) = (0, 0);
    let site = docksync_proto::site::SiteId::new(SITE)?;
    loop {
        let batches = store.reads().read_batches(&site, after, 16)?;
        let Some(last) = batches.last() else { break };
        after = last.batch_no;
        for batch in &batches {
            let count = codec::decode_batch(&batch.columns)?.len();
            read += count;
            for at in (0..count).step_by(CALL) {
                let last = (at + CALL).min(count) - 1;
                store.change(&[Change::Cursor(CursorRow {
                    consumer: "free".to_owned(),
                    site: site.clone(),
                    loc: Loc::new(batch.batch_no, last),
                    epoch: 1,
                    seq: batch.head.first + last as u64,
                })])?;
            }
        }
    }
    anyhow::ensure!(read == events, "the ledger holds {read} of {events} events");
    Ok(events as f64 / begun.elapsed().as_secs_f64())
}

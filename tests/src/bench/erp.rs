//! Deliveries to a real Tryton, beside a bare client that sends the same documents to the same server.

use std::{path::Path, sync::Arc, time::Instant};

use anyhow::Context as _;
use docksync_aggregator::{
    consumers::{Consumer, Delivery, Outcome},
    deliver::{
        board::Board,
        deliverer::{Deliverer, Step},
    },
    ledger::{Loc, Store as _, conformance::Stream, effect::effect, sqlite::SqliteStore},
};
use docksync_proto::{
    event::{Event, EventTime, EventType, Item, Line, RefKind, Reference},
    identity::event_id,
    site::SiteId,
};

use super::{Goal, Options, Row, Rows};
use crate::harness::tryton::{Seed, Tryton};

const SEED: Seed<'_> = Seed { sites: &["DC01", "DC02", "DC03"], products: 200, shipments: 120 };
const SITE: &str = "DC01";
/// Rounds of each, in turn; the medians count.
const ROUNDS: usize = 3;
/// Events of a round: some full calls through the module, fewer where each event is a document of its own calls.
const WITH_MODULE: usize = 600;
const WITHOUT: usize = 40;

/// Measures both ways to a Tryton.
///
/// # Errors
/// Where the server cannot be brought up, or does not take an event.
pub(super) fn measure(_: &Options, dir: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let tryton = Tryton::start(&dir.join("tryton"), SEED)?;
    compare("deliver to Tryton with the module", WITH_MODULE, &dir.join("module"), rows, || tryton.connector())?;
    drop(tryton);
    let tryton = Tryton::start_plain(&dir.join("plain-tryton"), SEED)?;
    compare("deliver to Tryton without the module", WITHOUT, &dir.join("plain"), rows, || tryton.plain(&[]))
}

/// The line from the ledger beside the connector alone: the same documents in the same calls, without ledger and lanes.
fn compare<C: Consumer>(
    name: &str,
    events: usize,
    dir: &Path,
    rows: &mut Rows,
    connect: impl Fn() -> anyhow::Result<C>,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        bare.push(bare_round(&mut connect()?, &adjustments(events, round * 2))?);
        let path = dir.join(format!("ledger-{round}.sqlite"));
        whole.push(whole_round(connect()?, &path, &adjustments(events, round * 2 + 1))?);
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        events as f64 / times[ROUNDS / 2]
    };
    rows.push(Row::new(name, median(&mut whole), "events/s").of(median(&mut bare)).goal(Goal::PartOf(0.85)));
    Ok(())
}

fn adjustments(events: usize, round: usize) -> Vec<Event> {
    let each = |n: usize| {
        let site = SiteId::new(SITE).ok()?;
        let at: jiff::Timestamp = "2026-11-23T15:00:00Z".parse().ok()?;
        let mut event = Event::new(EventType::InventoryAdjusted, site, EventTime::utc(at), at);
        event.correlation_id = format!("A-{round}-{n}");
        event.references =
            vec![Reference { kind: RefKind::Adjustment, value: event.correlation_id.clone(), date: None }];
        let item = Item { sku: format!("SKU-{:04}", n % 200 + 1), ..Item::default() };
        event.lines = vec![Line { item, uom: "EA".to_owned(), qty: Some(1.into()), ..Line::default() }];
        Some(event)
    };
    (0..events).filter_map(each).collect()
}

fn bare_round(client: &mut impl Consumer, events: &[Event]) -> anyhow::Result<f64> {
    let delivery = |(n, event): (usize, &Event)| {
        let (id, stock) = (event_id(event), effect(event, None));
        let loc = Loc::new(1 + n as i64 / 4_000, n % 4_000);
        Delivery {
            site: event.site_id.clone(),
            loc,
            epoch: 1,
            seq: n as u64,
            id,
            key: id.to_string(),
            event: event.clone(),
            stock,
        }
    };
    let deliveries: Vec<Delivery> = events.iter().enumerate().map(delivery).collect();
    let begun = Instant::now();
    for batch in deliveries.chunks(client.batch_max()) {
        let other = client.apply(batch).into_iter().find(|outcome| !matches!(outcome, Outcome::Applied(_)));
        anyhow::ensure!(other.is_none(), "the bare client was answered {other:?}");
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn whole_round(consumer: impl Consumer, path: &Path, events: &[Event]) -> anyhow::Result<f64> {
    let mut store = SqliteStore::open(path, Arc::new(|| 1))?;
    let mut stream = Stream::new(SITE, 1);
    for part in events.chunks(500) {
        store.commit(&[stream.batch(part)], &[])?;
    }
    let mut deliverer = Deliverer::open("tryton", store, consumer, Board::default(), 1)?;
    let begun = Instant::now();
    let mut now_ms = 1;
    loop {
        match deliverer.step(now_ms)? {
            Step::Worked => now_ms += 1,
            Step::Idle { until_ms: None } => break,
            other => anyhow::bail!("deliveries did not go on: {other:?}"),
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let reads = docksync_aggregator::ledger::reads::SqliteReader::open(path)?;
    let seq = docksync_aggregator::ledger::Reads::cursors(&reads)?.first().context("a cursor")?.seq;
    anyhow::ensure!(seq == events.len() as u64, "{seq} of {} events were settled", events.len());
    Ok(took)
}

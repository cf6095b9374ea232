//! Delivery to a real Tryton, with our module and without it, beside a bare client that makes the same calls to the same server.
//!
//! Both take turns, some calls each, for what else a machine does changes within the minutes that this takes. The bare client has its
//! documents ready, keeps no ledger and asks nothing twice.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use docksync_aggregator::{
    consumers::erp::{
        document::{Document, document},
        mapping::Mapping,
        tryton::{self, UseModule, plain, rpc::Rpc},
    },
    deliver::{
        board::Board,
        deliverer::{Deliverer, Step},
    },
    ledger::{Store as _, conformance::Stream, sqlite::SqliteStore},
};
use docksync_proto::{
    event::{Event, EventTime, EventType, Item, Line, RefKind, Reference},
    site::SiteId,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Goal, Options, Row, Rows};
use crate::harness::tryton::{Seed, Tryton};

const SITE: &str = "DC01";
/// The same as the tests', so that its database is made once.
const SEED: Seed<'_> = Seed { sites: &["DC01", "DC02", "DC03"], products: 200, shipments: 120 };
/// Calls that a round has, and rounds.
const CALLS: usize = 2;
const ROUNDS: usize = 4;
const ROUNDS_QUICK: usize = 1;
const PART: f64 = 0.85;

/// One way of delivery.
struct Way {
    name: &'static str,
    module: UseModule,
    /// Documents of one call.
    batch: usize,
    bare: fn(&mut Rpc, &[Document]) -> anyhow::Result<()>,
}

const WAYS: [Way; 2] = [
    Way {
        name: "deliver to Tryton, with the module",
        module: UseModule::Required,
        batch: tryton::BATCH,
        bare: by_module,
    },
    Way { name: "deliver to Tryton, without it", module: UseModule::None, batch: plain::BATCH, bare: by_documents },
];

/// Measures both ways against one server.
///
/// # Errors
/// Where the server does not come up, or does not take what it is sent.
pub(super) fn measure(options: &Options, dir: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let tryton = Tryton::start(&dir.join("tryton"), SEED)?;
    for (at, way) in WAYS.iter().enumerate() {
        let (mut bare, mut ours) = (Duration::ZERO, Duration::ZERO);
        let rounds = if options.quick { ROUNDS_QUICK } else { ROUNDS };
        let count = way.batch * CALLS;
        let mut delivery = Delivering::start(&tryton, way, &dir.join(format!("ledger-{at}.sqlite")))?;
        let mut rpc = tryton.rpc()?;
        for round in 0..=rounds {
            let told = told(at, round, 0, count)?;
            let begun = Instant::now();
            for documents in told.chunks(way.batch) {
                (way.bare)(&mut rpc, documents)?;
            }
            let of_bare = begun.elapsed();
            let of_ours = delivery.take(events(at, round, 1, count))?;
            // The first round warms both up: logins, Tryton's caches.
            if round > 0 {
                bare += of_bare;
                ours += of_ours;
            }
        }
        let rate = |time: Duration| (count * rounds) as f64 / time.as_secs_f64();
        rows.push(Row::new(way.name, rate(ours), "events/s").of(rate(bare)).goal(Goal::PartOf(PART)));
    }
    Ok(())
}

/// An aggregator's deliveries from a ledger of their own.
struct Delivering {
    deliverer: Deliverer<SqliteStore, tryton::Tryton>,
    store: SqliteStore,
    stream: Stream,
    now_ms: i64,
}

impl Delivering {
    fn start(tryton: &Tryton, way: &Way, path: &Path) -> anyhow::Result<Self> {
        let mut connector = tryton.connector_by(way.module, tryton.access().clone(), Mapping::default())?;
        connector.meet();
        let store = SqliteStore::open(path, Arc::new(|| 1))?;
        let books = SqliteStore::open(path, Arc::new(|| 1))?;
        let deliverer = Deliverer::open("tryton", books, connector, Board::default(), 1)?;
        Ok(Self { deliverer, store, stream: Stream::new(SITE, 1), now_ms: 1 })
    }

    /// Writes events to the ledger; gives the time until all are delivered.
    fn take(&mut self, events: Vec<Event>) -> anyhow::Result<Duration> {
        self.store.commit(&[self.stream.batch(&events)], &[])?;
        let begun = Instant::now();
        loop {
            match self.deliverer.step(self.now_ms)? {
                Step::Worked => self.now_ms += 1,
                Step::Idle { until_ms: None } => return Ok(begun.elapsed()),
                other => anyhow::bail!("Tryton takes nothing: {other:?}"),
            }
        }
    }
}

/// Adjustments of one piece, each of a document of its own.
fn events(way: usize, round: usize, side: usize, count: usize) -> Vec<Event> {
    let event = |n: usize| {
        let at = jiff::Timestamp::from_second(1_763_000_000).unwrap_or_default();
        let site = SiteId::new(SITE).unwrap_or_else(|error| unreachable!("it is a code of a site: {error}"));
        let mut event = Event::new(EventType::InventoryAdjusted, site, EventTime::utc(at), at);
        let number = format!("A-{way}-{round}-{side}-{n}");
        event.correlation_id.clone_from(&number);
        event.references = vec![Reference { kind: RefKind::Adjustment, value: number, date: None }];
        let item = Item { sku: format!("SKU-{:04}", n % 200 + 1), ..Item::default() };
        event.lines = vec![Line {
            item,
            uom: "EA".to_owned(),
            qty: Some((if n.is_multiple_of(2) { 1 } else { -1 }).into()),
            ..Line::default()
        }];
        event
    };
    (0..count).map(event).collect()
}

/// The same as documents that are ready to be sent.
fn told(way: usize, round: usize, side: usize, count: usize) -> anyhow::Result<Vec<Document>> {
    let mapping = Mapping::default();
    let each = |(n, event): (usize, Event)| {
        let id = Uuid::from_u128(((way * 100 + round) * 1_000_000 + n) as u128);
        let stock = docksync_aggregator::ledger::effect::effect(&event, None);
        let (site, key) = (event.site_id.clone(), id.to_string());
        let loc = docksync_aggregator::ledger::Loc::default();
        let delivery = docksync_aggregator::consumers::Delivery { site, loc, epoch: 1, seq: 1, id, key, event, stock };
        let told = document(&delivery, &mapping).map_err(|unmapped| anyhow::anyhow!(unmapped.reason))?;
        told.ok_or_else(|| anyhow::anyhow!("an adjustment is a document"))
    };
    events(way, round, side, count).into_iter().enumerate().map(each).collect()
}

fn call(rpc: &mut Rpc, method: &str, params: &[Value]) -> anyhow::Result<Value> {
    rpc.call(method, params).map_err(|failure| anyhow::anyhow!("{method} failed: {}", failure.words()))
}

fn by_module(rpc: &mut Rpc, documents: &[Document]) -> anyhow::Result<()> {
    call(rpc, "model.docksync.event.apply", &[json!(documents)]).map(drop)
}

/// What the connector calls for a batch, and no more: the day, the closed periods, look-up by reference, four buttons.
fn by_documents(rpc: &mut Rpc, documents: &[Document]) -> anyhow::Result<()> {
    const MODEL: &str = "model.stock.shipment.internal";
    call(rpc, "model.ir.date.today", &[])?;
    let closed = [json!([["state", "=", "closed"]]), json!(0), json!(1), json!([["date", "DESC"]]), json!(["date"])];
    call(rpc, "model.stock.period.search_read", &closed)?;
    let rows = |rpc: &mut Rpc, model: &str, by: &str, values: Vec<&str>, fields: Value| -> anyhow::Result<Vec<Value>> {
        let params = [json!([[by, "in", values]]), json!(0), json!(null), json!([["id", "ASC"]]), fields];
        let answer = call(rpc, &format!("{model}.search_read"), &params)?;
        Ok(answer.as_array().cloned().unwrap_or_default())
    };
    // Kept by the connector; read again it is a small part of a batch.
    let places = json!(["code", "storage_location", "lost_found_location"]);
    let places = rows(rpc, "model.stock.location", "code", vec![SITE], places)?;
    let (storage, lost) = (&places[0]["storage_location"], &places[0]["lost_found_location"]);
    let codes = documents.iter().map(|document| document.lines[0].product.as_str()).collect();
    let products = rows(rpc, "model.product.product", "code", codes, json!(["code", "default_uom"]))?;
    let keys: Vec<&str> = documents.iter().map(|document| document.key.as_str()).collect();
    let state = || json!(["reference", "state", "number"]);
    anyhow::ensure!(rows(rpc, MODEL, "reference", keys.clone(), state())?.is_empty(), "the keys are new");
    let records: Vec<Value> = documents.iter().map(|document| record(document, (storage, lost), &products)).collect();
    let company = rpc.context("company");
    let records: Vec<Value> = records.into_iter().map(|record| of_company(record, &company)).collect();
    let ids = call(rpc, &format!("{MODEL}.create"), &[json!(records)])?;
    call(rpc, &format!("{MODEL}.wait"), std::slice::from_ref(&ids))?;
    rows(rpc, MODEL, "reference", keys, state())?;
    call(rpc, &format!("{MODEL}.assign_force"), std::slice::from_ref(&ids))?;
    call(rpc, &format!("{MODEL}.do"), std::slice::from_ref(&ids)).map(drop)
}

fn record(document: &Document, (storage, lost): (&Value, &Value), products: &[Value]) -> Value {
    let line = &document.lines[0];
    let product = products.iter().find(|product| product["code"] == line.product.as_str());
    let (from, to) = if line.quantity.starts_with('-') { (storage, lost) } else { (lost, storage) };
    let day = json!({"__class__": "date", "year": 2025, "month": 11, "day": 13});
    json!({
        "reference": document.key, "from_location": from, "to_location": to, "planned_date": day,
        "planned_start_date": day, "effective_date": day,
        "moves": [["create", [{
            "product": product.map(|product| &product["id"]), "unit": product.map(|product| &product["default_uom"]),
            "quantity": 1.0, "from_location": from, "to_location": to,
        }]]],
    })
}

fn of_company(mut record: Value, company: &Value) -> Value {
    record["company"] = company.clone();
    record["moves"][0][1][0]["company"] = company.clone();
    record
}

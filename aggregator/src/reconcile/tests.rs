//! The room on a real ledger: histories, statements, destinations, damage.

mod compare;
mod damage;
mod histories;
mod workflow;

use std::{collections::BTreeMap, sync::Arc};

use docksync_proto::{
    codec::{self, BatchEncoder},
    event::{Event, EventTime, EventType, Item, Line, RefKind, Reference},
    frame::BatchHead,
    identity::Chain,
    site::SiteId,
    stock::{MICROS, micros},
};
use jiff::Timestamp;
use proptest::prelude::*;

use super::{
    complete::Hole,
    drift::{self, Act, State},
    gate::Gate,
    post,
    report::Report,
    run::{self, Destination, Surroundings},
    store::{ReconStore, Wish},
    *,
};
use crate::{
    admit::Verdict,
    ledger::{Append, Change, CursorRow, DeliveryRow, Loc, Reads as _, Stage, Store as _, sqlite::SqliteStore},
};

const NOON: i64 = 1_790_000_000_000;

/// A destination whose balances the test sets.
#[derive(Clone, Default)]
struct Books(Arc<std::sync::Mutex<Kept>>);

type Kept = BTreeMap<(String, String, String), i64>;

impl Books {
    fn add(&self, item: &str, lot: &str, place: &str, pieces: i64) {
        let key = (item.to_owned(), lot.to_owned(), place.to_owned());
        *self.0.lock().unwrap().entry(key).or_default() += pieces * MICROS;
    }
}

impl Balances for Books {
    fn read(&mut self, _: &SiteId) -> Result<Vec<OtherBalance>, String> {
        let all = self.0.lock().unwrap();
        let balance = |((item, lot, place), micros): (&(String, String, String), &i64)| OtherBalance {
            item: item.clone(),
            lot: lot.clone(),
            place: place.clone(),
            micros: *micros,
        };
        Ok(all.iter().map(balance).collect())
    }
    fn place(&self, _: &str, (sku, status, _): (&str, &str, &str), micros: i64) -> Option<Placed> {
        Some(Placed { item: sku.to_owned(), place: status.to_owned(), micros })
    }
    fn takes(&self, _: EventType) -> bool {
        true
    }
}

struct Rig {
    _dir: tempfile::TempDir,
    ledger: SqliteStore,
    store: ReconStore,
    site: SiteId,
    next: u64,
    chain: Chain,
    books: Books,
    settings: Settings,
    has_erp: bool,
    holes: Vec<Hole>,
    now_ms: i64,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledger = SqliteStore::open(&dir.path().join("ledger.sqlite"), Arc::new(|| NOON)).unwrap();
        let store = ReconStore::open(dir.path()).unwrap();
        let site = SiteId::new("DC1").unwrap();
        let chain = Chain::start(&site, ledger.reads().ledger_id().unwrap());
        Self {
            _dir: dir,
            ledger,
            store,
            site,
            next: 1,
            chain,
            books: Books::default(),
            settings: Settings::default(),
            has_erp: true,
            holes: Vec::new(),
            now_ms: NOON,
        }
    }

    /// Stores one batch; gives the place of its first event.
    fn store(&mut self, events: &[Event]) -> Loc {
        let (columns, head) = self.head(events);
        let decoded = codec::decode_batch(&columns).unwrap();
        let verdicts = vec![Verdict::Admitted; events.len()];
        let append = Append { site: self.site.clone(), head, columns, events: decoded, verdicts };
        let committed = self.ledger.commit(&[append], &[]).unwrap();
        self.next += events.len() as u64;
        self.chain = head.chain_after;
        Loc::new(committed[0].batch_no, 0)
    }

    fn head(&self, events: &[Event]) -> (Vec<u8>, BatchHead) {
        let mut encoder = BatchEncoder::new();
        let mut chain = self.chain;
        for (seq, event) in (self.next..).zip(events) {
            let (id, digests) = encoder.push(event);
            chain = chain.next(seq, id, &digests.payload);
        }
        let head = BatchHead {
            epoch: 1,
            session: 0,
            first: self.next,
            count: u32::try_from(events.len()).unwrap(),
            chain_before: self.chain,
            chain_after: chain,
        };
        (encoder.finish().unwrap(), head)
    }

    fn event(&self, kind: EventType, reference: (RefKind, &str), lines: Vec<Line>, seconds: i64) -> Event {
        let at = Timestamp::from_millisecond(NOON + seconds * 1000).unwrap();
        let mut event = Event::new(kind, self.site.clone(), EventTime::utc(at), at);
        event.references.push(Reference { kind: reference.0, value: reference.1.to_owned(), date: None });
        event.source.file_name = format!("{}.csv", reference.1);
        event.source.file_sha256 = format!("sha of {}", reference.1);
        event.source.feed = kind.as_str().to_owned();
        event.lines = lines;
        event
    }

    fn adjust(&self, number: &str, sku: &str, pieces: i64, seconds: i64) -> Event {
        let line = Line { item: item(sku), qty: Some(pieces.into()), ..Line::default() };
        self.event(EventType::InventoryAdjusted, (RefKind::Adjustment, number), vec![line], seconds)
    }

    fn receive(&self, number: &str, sku: &str, pieces: i64, seconds: i64) -> Event {
        let line = Line { item: item(sku), qty_received: Some(pieces.into()), ..Line::default() };
        self.event(EventType::ReceiptConfirmed, (RefKind::Receipt, number), vec![line], seconds)
    }

    fn statement(&self, number: &str, stock: &[(&str, i64)], seconds: i64) -> Event {
        let lines = stock
            .iter()
            .map(|(sku, pieces)| Line { item: item(sku), qty: Some((*pieces).into()), ..Line::default() })
            .collect();
        self.event(EventType::InventorySnapshot, (RefKind::Report, number), lines, seconds)
    }

    /// What the agent sends behind a file with statements.
    fn end(&self, number: &str, held: u64) -> Event {
        let mut event = self.event(EventType::InventorySnapshot, (RefKind::Report, number), Vec::new(), 0);
        event.references[0].value = format!("sha of {number}");
        event.extensions.insert(docksync_proto::event::STATEMENT_END.to_owned(), held.to_string());
        event
    }

    /// A whole statement.
    fn state(&mut self, number: &str, stock: &[(&str, i64)], seconds: i64) -> Loc {
        let events = [self.statement(number, stock, seconds), self.end(number, 0)];
        self.store(&events)
    }

    /// The destination has had everything through here.
    fn settle(&mut self, loc: Loc) {
        let cursor =
            CursorRow { consumer: "erp".to_owned(), site: self.site.clone(), loc, epoch: 1, seq: self.next - 1 };
        self.ledger.change(&[Change::Cursor(cursor)]).unwrap();
    }

    fn deliver(&mut self, loc: Loc, stage: Stage, code: &str) {
        let row = DeliveryRow {
            consumer: "erp".to_owned(),
            site: self.site.clone(),
            loc,
            lane: 1,
            stage,
            attempts: 1,
            code: code.to_owned(),
            reason: String::new(),
            at_ms: 0,
        };
        self.ledger.change(&[Change::Delivery(row)]).unwrap();
    }

    fn run(&mut self) -> Report {
        self.run_of(Wish { by: "test".to_owned(), is_full: true, ..Wish::default() })
    }

    fn run_of(&mut self, wish: Wish) -> Report {
        let run_no = self.store.ask(&wish, self.now_ms).unwrap();
        let run = self.store.run(run_no).unwrap().unwrap();
        let mut destinations = self.destinations();
        let (now, mut holes) = (self.now_ms, Vec::new());
        let mut around = Surroundings {
            settings: &self.settings,
            destinations: &mut destinations,
            told: &|_| None,
            now_ms: &|| now,
            want: &mut |_, found| {
                holes.extend_from_slice(found);
                true
            },
        };
        let report = run::make(&self.store, self.ledger.reads(), &run, &mut around).unwrap();
        self.holes = holes;
        report
    }

    fn destinations(&self) -> Vec<Destination> {
        if !self.has_erp {
            return Vec::new();
        }
        vec![Destination { name: "erp".to_owned(), balances: Box::new(self.books.clone()), gate: Gate::default() }]
    }
}

fn item(sku: &str) -> Item {
    Item { sku: sku.to_owned(), ..Item::default() }
}

fn found(report: &Report) -> Vec<(&str, &str, &str, i64)> {
    let mut all: Vec<_> = report
        .drifts
        .iter()
        .map(|l| (l.side.as_str(), l.item.as_str(), l.cause.code.as_str(), l.balance.unexplained / MICROS))
        .collect();
    all.sort_unstable();
    all
}

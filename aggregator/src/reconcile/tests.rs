//! The room on a real ledger: histories, statements, destinations, damage.

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

#[test]
fn a_statement_is_compared_at_its_own_point_of_the_stream() {
    let mut rig = Rig::new();
    rig.has_erp = false;
    rig.state("S1", &[("A", 10), ("B", 5)], 0);
    rig.store(&[rig.adjust("1", "A", 3, 10)]);
    assert_eq!(found(&rig.run()), [], "the first statement opens the book");

    rig.state("S2", &[("A", 13), ("B", 5)], 20);
    // What came after the statement is no matter of it.
    rig.store(&[rig.adjust("2", "B", -2, 30)]);
    let report = rig.run();

    assert_eq!(found(&report), []);
    let wms = report.sides.iter().find(|s| s.side == WMS).unwrap();
    assert_eq!((wms.compared, wms.exact), (2, 2));

    rig.state("S3", &[("A", 9), ("B", 3)], 40);
    rig.store(&[rig.adjust("3", "A", 1, 50)]);
    assert_eq!(found(&rig.run()), [("wms", "A", "unknown", -4)]);
}

#[test]
fn an_item_that_a_whole_statement_leaves_out_is_none_and_one_of_a_partial_one_is_unknown() {
    let mut rig = Rig::new();
    rig.has_erp = false;
    rig.state("S1", &[("A", 10), ("B", 5)], 0);
    let mut partial = rig.statement("S2", &[("A", 10)], 10);
    partial.extensions.insert("partial".to_owned(), "true".to_owned());
    let end = rig.end("S2", 0);
    rig.store(&[partial, end]);
    rig.store(&[rig.adjust("1", "A", 1, 11)]);
    assert_eq!(found(&rig.run()), []);

    rig.state("S3", &[("A", 11)], 20);
    rig.store(&[rig.adjust("2", "A", 1, 21)]);
    assert_eq!(found(&rig.run()), [("wms", "B", "unknown", -5)]);
}

#[test]
fn a_statement_that_is_not_whole_is_not_compared() {
    let mut rig = Rig::new();
    rig.store(&[rig.statement("S1", &[("A", 10)], 0)]);
    // Another feed's file may stand in the middle of it.
    rig.store(&[rig.adjust("1", "A", 1, 1)]);

    let report = rig.run();

    let wms = report.sides.iter().find(|s| s.side == WMS).unwrap();
    assert!(!wms.not_compared.is_empty(), "more of it may be on its way");
}

#[test]
fn what_a_destination_has_not_had_is_no_drift_and_what_is_left_has_its_cause() {
    let mut rig = Rig::new();
    rig.state("S1", &[("A", 100), ("B", 100), ("C", 100), ("D", 100), ("E", 100)], 0);
    for sku in ["A", "B", "C", "D", "E"] {
        rig.books.add(sku, "", "", 100);
    }
    let first = rig.store(&[rig.adjust("0", "A", 1, 1)]);
    rig.books.add("A", "", "", 1);
    rig.settle(first);
    assert_eq!(found(&rig.run()), []);

    let applied = rig.store(&[rig.adjust("1", "A", -3, 10), rig.receive("R1", "B", 7, 11)]);
    let last = Loc(applied.0 + 1);
    let parked = rig.store(&[rig.adjust("2", "C", 4, 12)]);
    rig.settle(parked);
    rig.deliver(parked, Stage::Parked, "UNMAPPED_UNIT");
    rig.store(&[rig.adjust("3", "D", 6, 13)]);
    // The adjustment of A was lost over there, the receipt of B came twice; C is parked, D on its way, E untouched.
    rig.books.add("B", "", "", 14);
    assert!(last > applied);

    let report = rig.run();

    assert_eq!(found(&report), [("erp", "A", "missed_adjustment", 3), ("erp", "B", "doubled_receipt", 7)]);
    assert_eq!(report.explained, 2);
    assert_eq!(report.drifts[0].evidence.len(), 1);
    assert!(report.drifts[0].evidence[0].contains("R1.csv"), "{:?}", report.drifts[0].evidence);
}

#[test]
fn a_run_is_repeated_with_the_same_answer_whatever_came_since() {
    let mut rig = Rig::new();
    rig.state("S1", &[("A", 10), ("B", 5)], 0);
    let loc = rig.store(&[rig.adjust("1", "A", 3, 10)]);
    rig.settle(loc);
    rig.books.add("A", "", "", 13);
    rig.books.add("B", "", "", 4);
    let first = rig.run();
    rig.store(&[rig.adjust("2", "A", 30, 20)]);
    rig.state("S2", &[("A", 1)], 30);
    rig.store(&[rig.adjust("4", "B", 30, 40)]);
    rig.books.add("B", "", "", 77);

    let again = rig.run_of(Wish { by: "test".to_owned(), again: Some(first.run_no), ..Wish::default() });

    assert_eq!(found(&again), found(&first));
    let sums = |r: &Report| (r.compared, r.exact, r.explained, r.drift);
    assert_eq!(sums(&again), sums(&first));
}

#[test]
fn a_correction_is_proposed_approved_posted_and_closes_its_drift() {
    let mut rig = Rig::new();
    rig.settings.approve_above = 2;
    rig.state("S1", &[("A", 10)], 0);
    let loc = rig.store(&[rig.adjust("1", "A", 1, 1)]);
    rig.settle(loc);
    rig.books.add("A", "", "", 6);
    let report = rig.run();
    let drift_no = report.drifts[0].drift_no;
    let act = |rig: &Rig, act: &Act, by: &str| drift::act(&rig.store, drift_no, act, (by, "why"), &rig.settings, NOON);

    act(&rig, &Act::Recount, "ann").unwrap();
    assert!(act(&rig, &Act::Approve, "ann").is_err(), "nothing is proposed");
    act(&rig, &Act::Propose(None), "ann").unwrap();
    assert!(act(&rig, &Act::Approve, "ann").is_err(), "five pieces need two persons");
    assert_eq!(act(&rig, &Act::Approve, "bob").unwrap().state, State::Approved);

    for _ in 0..2 {
        let destinations = rig.destinations();
        let reader = crate::ledger::reads::SqliteReader::open(rig.ledger.path()).unwrap();
        let ledger = &mut rig.ledger;
        let mut commit = |append| Ok(ledger.commit(&[append], &[])?[0]);
        post::post_approved(&rig.store, &reader, &destinations, &mut commit, NOON).unwrap();
    }
    let last = rig.ledger.reads().last_batch().unwrap();
    let batch = rig.ledger.reads().batch(last).unwrap().unwrap();
    assert_eq!(batch.site.as_str(), CENTRE_STREAM);
    let event = &codec::decode_batch(&batch.columns).unwrap()[0].event;
    assert_eq!((event.site_id.as_str(), micros(event.lines[0].qty.unwrap()) / MICROS), ("DC1", 5));

    // The destination has it: both are equal, and the book, which was right, has not moved.
    rig.books.add("A", "", "", 5);
    let report = rig.run();
    assert_eq!((found(&report), report.closed.clone()), (vec![], vec![drift_no]));
    let acts: Vec<String> = drift::steps(&rig.store, drift_no).unwrap().into_iter().map(|s| s.act).collect();
    assert_eq!(acts, ["open", "recon_recount", "recon_propose", "recon_approve", "post", "close"]);
}

#[test]
fn a_correction_by_the_warehouse_system_moves_the_book() {
    let mut rig = Rig::new();
    rig.state("S1", &[("A", 10)], 0);
    rig.store(&[rig.adjust("1", "A", 1, 1)]);
    rig.run();
    rig.state("S2", &[("A", 9)], 10);
    let loc = rig.store(&[rig.adjust("2", "A", 1, 20)]);
    rig.settle(loc);
    rig.books.add("A", "", "", 12);
    let report = rig.run();
    assert_eq!(found(&report).iter().map(|f| (f.0, f.3)).collect::<Vec<_>>(), [("wms", -2)]);
    let drift_no = report.drifts[0].drift_no;
    for (act, by) in [(Act::Propose(None), "ann"), (Act::Approve, "bob")] {
        drift::act(&rig.store, drift_no, &act, (by, "counted"), &rig.settings, NOON).unwrap();
    }
    let reader = crate::ledger::reads::SqliteReader::open(rig.ledger.path()).unwrap();
    let destinations = rig.destinations();
    let ledger = &mut rig.ledger;
    let mut commit = |append| Ok(ledger.commit(&[append], &[])?[0]);
    post::post_approved(&rig.store, &reader, &destinations, &mut commit, NOON).unwrap();

    let report = rig.run();

    // It is on its way to the destination; the old statement still differs, until the next one.
    let erp = report.sides.iter().find(|s| s.side == "erp").unwrap();
    assert_eq!((erp.drift, erp.explained), (0, 1), "{report:?}");
    rig.state("S3", &[("A", 10)], 30);
    rig.store(&[rig.adjust("3", "A", 1, 40)]);
    assert_eq!(found(&rig.run()), []);
}

#[test]
fn batches_deleted_behind_the_ledgers_back_are_named_put_back_and_read_again() {
    let mut rig = Rig::new();
    rig.state("S1", &[("A", 10)], 0);
    let (mut heads, mut batches) = (Vec::new(), Vec::new());
    for n in 0..12 {
        let events = [rig.adjust(&format!("{n}"), "A", 1, n), rig.adjust(&format!("{n}b"), "B", 2, n)];
        let (columns, head) = rig.head(&events);
        batches.push(rig.store(&events).batch_no());
        heads.push((columns, head));
    }
    rig.run();
    let before = trace::accounts(&rig.store, "DC1", None).unwrap();
    let behind = rusqlite::Connection::open(rig.ledger.path()).unwrap();
    for at in [2, 3, 7] {
        behind.execute("DELETE FROM batch WHERE batch_no = ?1", [batches[at]]).unwrap();
    }

    let report = rig.run();

    let complete = &report.complete[0];
    assert_eq!((complete.have, complete.told, complete.is_proven()), (20, 26, false));
    let ranges: Vec<(u64, u64)> = rig.holes.iter().map(|hole| (hole.first, hole.last)).collect();
    assert_eq!(ranges, [(7, 10), (17, 18)]);

    for at in [7, 2, 3] {
        let (columns, head) = &heads[at];
        let events = codec::decode_batch(columns).unwrap();
        assert!(rig.ledger.mend(&rig.site, head, columns, &events).unwrap());
        assert_eq!(rig.ledger.reads().batch(batches[at]).unwrap().unwrap().head.first, head.first);
    }
    let report = rig.run();
    assert!(report.complete[0].is_proven(), "{:?}", report.complete[0]);
    assert_eq!(trace::accounts(&rig.store, "DC1", None).unwrap(), before);
}

#[test]
fn an_event_that_was_altered_is_named_and_only_its_own_batch_mends_it() {
    let mut rig = Rig::new();
    let events: Vec<Event> = (0..50).map(|n| rig.adjust(&format!("{n}"), "A", 1, n)).collect();
    let (columns, head) = rig.head(&events);
    let loc = rig.store(&events);
    let mut forged = events.clone();
    forged[31].lines[0].qty = Some(1000.into());
    let other = {
        let mut encoder = BatchEncoder::new();
        for event in &forged {
            encoder.push(event);
        }
        encoder.finish().unwrap()
    };
    let behind = rusqlite::Connection::open(rig.ledger.path()).unwrap();
    behind
        .execute("UPDATE batch SET columns = ?2 WHERE batch_no = ?1", rusqlite::params![loc.batch_no(), other])
        .unwrap();

    rig.run();

    assert_eq!(rig.holes.len(), 1, "{:?}", rig.holes);
    assert_eq!((rig.holes[0].first, rig.holes[0].last), (32, 32));
    assert!(rig.holes[0].words.contains("31.csv"), "{}", rig.holes[0].words);
    let decoded = codec::decode_batch(&other).unwrap();
    assert!(!rig.ledger.mend(&rig.site, &head, &other, &decoded).unwrap(), "a forgery does not fit the chain");
    let decoded = codec::decode_batch(&columns).unwrap();
    assert!(rig.ledger.mend(&rig.site, &head, &columns, &decoded).unwrap());
    rig.run();
    assert!(rig.holes.is_empty());
}

#[test]
fn an_unknown_outcome_explains_a_difference_either_way() {
    for has_it in [false, true] {
        let mut rig = Rig::new();
        rig.state("S1", &[("A", 10)], 0);
        let loc = rig.store(&[rig.adjust("1", "A", 4, 10)]);
        rig.settle(loc);
        rig.deliver(loc, Stage::Unknown, "");
        rig.books.add("A", "", "", if has_it { 14 } else { 10 });

        assert_eq!(found(&rig.run()), []);
    }
}

/// Two hundred thousand balances, five thousand events on their way or parked, three drifts.
#[test]
fn three_drifts_among_many_balances_and_events_on_their_way_are_found_and_no_other() {
    const BALANCES: usize = 200_000;
    let mut rig = Rig::new();
    let skus: Vec<String> = (0..BALANCES).map(|n| format!("SKU-{n:06}")).collect();
    for part in skus.chunks(500) {
        let stock: Vec<(&str, i64)> = part.iter().map(|sku| (sku.as_str(), 50)).collect();
        let mut event = rig.statement("S1", &stock, 0);
        event.split = true;
        rig.store(&[event]);
    }
    let end = rig.end("S1", 0);
    let mut last = rig.store(&[end]);
    skus.iter().for_each(|sku| rig.books.add(sku, "", "", 50));
    rig.settle(last);
    assert_eq!(found(&rig.run()), []);
    // Six thousand adjustments: a thousand are applied, every fiftieth of the rest is parked, the others are on their way.
    let pieces = |n: usize| 1 + i64::try_from(n % 5).unwrap();
    let sku = |n: usize| skus[n * 31 % BALANCES].as_str();
    for batch in (0..6_000).step_by(50) {
        let events: Vec<Event> =
            (batch..batch + 50).map(|n| rig.adjust(&format!("{n}"), sku(n), pieces(n), 10)).collect();
        last = rig.store(&events);
        if batch < 1_000 {
            (batch..batch + 50).for_each(|n| rig.books.add(sku(n), "", "", pieces(n)));
            rig.settle(Loc(last.0 + 49));
        } else {
            rig.deliver(last, Stage::Parked, "REFUSED");
        }
    }
    // One adjustment was lost over there, one counted twice, one stock is simply wrong.
    rig.books.add(sku(10), "", "", -pieces(10));
    rig.books.add(sku(11), "", "", pieces(11));
    rig.books.add(sku(12), "", "", 17);

    let report = rig.run();

    let (erp, all) = (report.sides.iter().find(|s| s.side == "erp").unwrap(), found(&report));
    assert_eq!((erp.compared, erp.explained), (BALANCES as u64, 5_000));
    assert_eq!(all.len(), 3, "{all:?}");
    let causes: std::collections::BTreeSet<&str> = all.iter().map(|f| f.2).collect();
    assert_eq!(causes, ["doubled_adjustment", "missed_adjustment", "unknown"].into());
}

#[test]
fn statuses_are_compared_in_the_buckets_of_the_configuration() {
    let mut rig = Rig::new();
    rig.has_erp = false;
    let state = |rig: &Rig, number: &str, stock: &[(&str, i64)], seconds| {
        let mut event = rig.statement(number, &[], seconds);
        event.lines = stock
            .iter()
            .map(|(status, pieces)| Line {
                item: item("A"),
                qty: Some((*pieces).into()),
                stock_status_to: (*status).to_owned(),
                ..Line::default()
            })
            .collect();
        [event, rig.end(number, 0)]
    };
    let events = state(&rig, "S1", &[("available", 10), ("allocated", 5), ("damaged", 2), ("in_transit", 40)], 0);
    rig.store(&events);
    rig.run();

    // What was allocated is available again, and what is on its way here is no stock yet.
    let events = state(&rig, "S2", &[("available", 15), ("damaged", 2), ("in_transit", 90), ("other:63", 7)], 10);
    rig.store(&events);
    assert_eq!(found(&rig.run()), []);

    let events = state(&rig, "S3", &[("available", 12), ("damaged", 5)], 20);
    rig.store(&events);
    assert_eq!(found(&rig.run()), [("wms", "A", "wrong_status", -3), ("wms", "A", "wrong_status", 3)]);
}

#[test]
fn a_dear_correction_needs_two_persons_however_small_it_is() {
    let mut rig = Rig::new();
    rig.has_erp = false;
    let prices = rig._dir.path().join("prices.csv");
    std::fs::write(&prices, "item,price\nA,99.5\nB,0.01\n").unwrap();
    rig.settings.prices = Some(prices);
    rig.state("S1", &[("A", 10), ("B", 10)], 0);
    rig.run();
    rig.state("S2", &[("A", 7), ("B", 3)], 10);
    let report = rig.run();

    assert_eq!(report.drifts.iter().map(|d| d.item.as_str()).collect::<Vec<_>>(), ["A", "B"], "the dearest first");
    assert_eq!(report.value, Some(rust_decimal::Decimal::new(29_857, 2)));
    let act = |n: usize, act: &Act| {
        drift::act(&rig.store, report.drifts[n].drift_no, act, ("ann", "counted"), &rig.settings, NOON)
    };
    for n in [0, 1] {
        act(n, &Act::Propose(None)).unwrap();
    }
    assert!(act(0, &Act::Approve).unwrap_err().to_string().contains("a value above 250"));
    act(1, &Act::Approve).unwrap();
}

#[test]
fn a_statement_with_held_lines_makes_nothing_zero_and_closes_only_what_it_names() {
    let mut rig = Rig::new();
    rig.has_erp = false;
    rig.state("S1", &[("A", 10), ("B", 5), ("C", 7)], 0);
    rig.store(&[rig.adjust("1", "A", 1, 1)]);
    rig.run();
    rig.state("S2", &[("A", 8), ("B", 5), ("C", 7)], 10);
    let report = rig.run();
    assert_eq!(found(&report), [("wms", "A", "unknown", -3)]);

    // A's line was held at the site, and C's as well.
    let events = [rig.statement("S3", &[("B", 5)], 20), rig.end("S3", 2)];
    rig.store(&events);
    let report = rig.run();

    assert_eq!((found(&report), report.closed.len()), (vec![], 0));
    let open = drift::open(&rig.store).unwrap();
    assert_eq!(open.len(), 1, "nobody has looked at A");
}

#[test]
fn a_mended_site_leaves_the_corrections_of_others_alone() {
    let mut rig = Rig::new();
    rig.state("S1", &[("A", 10)], 0);
    rig.run();
    rig.state("S2", &[("A", 8)], 10);
    let report = rig.run();
    let drift_no = report.drifts.iter().find(|d| d.side == WMS).unwrap().drift_no;
    for act in [Act::Propose(None), Act::Approve] {
        drift::act(&rig.store, drift_no, &act, ("ann", "counted"), &rig.settings, NOON).unwrap();
    }
    let reader = crate::ledger::reads::SqliteReader::open(rig.ledger.path()).unwrap();
    let ledger = &mut rig.ledger;
    let mut commit = |append| Ok(ledger.commit(&[append], &[])?[0]);
    post::post_approved(&rig.store, &reader, &[], &mut commit, NOON).unwrap();
    rig.run();
    let stock = |rig: &Rig| trace::accounts(&rig.store, "DC1", Some("A")).unwrap()[0].micros / MICROS;
    assert_eq!(stock(&rig), 8);

    for site in ["DC2", "DC1", "DC2"] {
        let entry = crate::ledger::audit::Entry {
            who: "receive".to_owned(),
            act: "mend".to_owned(),
            subject: site.to_owned(),
            detail: String::new(),
        };
        rig.ledger.change(&[Change::Audit(entry)]).unwrap();
        rig.run();
        assert_eq!(stock(&rig), 8, "after a mend of {site}");
    }
}

#[test]
fn a_batch_that_is_there_or_overlaps_others_mends_nothing() {
    let mut rig = Rig::new();
    let mut all = Vec::new();
    for n in 0..3 {
        let events = [rig.adjust(&format!("{n}"), "A", 1, n), rig.adjust(&format!("{n}b"), "A", 1, n)];
        all.push((rig.head(&events), events.clone()));
        rig.store(&events);
    }
    let mend = |rig: &mut Rig, columns: &[u8], head: &BatchHead| {
        let events = codec::decode_batch(columns).unwrap();
        rig.ledger.mend(&rig.site.clone(), head, columns, &events).unwrap()
    };
    let ((columns, head), _) = &all[1];
    assert!(!mend(&mut rig, columns, head), "it is there");

    // The site sends its own cut again, which reaches over the neighbour.
    let behind = rusqlite::Connection::open(rig.ledger.path()).unwrap();
    behind.execute("DELETE FROM batch WHERE first_seq = 3", []).unwrap();
    let (next, chain) = (rig.next, rig.chain);
    (rig.next, rig.chain) = (3, all[1].0.1.chain_before);
    let both: Vec<Event> = all[1].1.iter().chain(&all[2].1).cloned().collect();
    let (wide, wide_head) = rig.head(&both);
    (rig.next, rig.chain) = (next, chain);
    assert!(!mend(&mut rig, &wide, &wide_head), "a part of it is held by another batch");
    assert!(mend(&mut rig, columns, head));
}

#[test]
fn each_site_is_compared_once_in_its_own_night_whatever_the_clock_does() {
    let rig = Rig::new();
    let zones = [("DC1", "America/Chicago"), ("DC2", "Europe/Berlin")]
        .map(|(site, zone)| (SiteId::new(site).unwrap(), zone.to_owned()));
    let ask = |moment: &str| -> Vec<String> {
        let before = rig.store.runs(100).unwrap().len();
        let now: Timestamp = moment.parse().unwrap();
        shell::ask_for_nights(&rig.store, jiff::civil::time(2, 30, 0, 0), &zones, now.as_millisecond()).unwrap();
        let runs = rig.store.runs(100).unwrap();
        runs[..runs.len() - before].iter().map(|run| run.sites.clone()).collect()
    };
    let none: Vec<String> = Vec::new();

    assert_eq!(ask("2026-11-23T12:00:00Z"), none, "a new site waits for its night");
    assert_eq!(ask("2026-11-24T01:29:59Z"), none);
    assert_eq!(ask("2026-11-24T01:30:00Z"), ["DC2"]);
    assert_eq!(ask("2026-11-24T08:30:00Z"), ["DC1"]);
    assert_eq!(ask("2026-11-24T23:00:00Z"), none, "once a day");
    assert_eq!(ask("2026-11-26T12:00:00Z"), ["DC1,DC2"], "a night that was missed is made up for, once");
    assert_eq!(ask("2031-01-01T12:00:00Z"), ["DC1,DC2"], "the clock is wrong");
    assert_eq!(ask("2026-11-26T12:01:00Z"), ["DC1,DC2"], "and right again: comparisons go on");
    assert_eq!(ask("2026-11-26T12:02:00Z"), none);
}

#[test]
fn what_is_kept_is_bounded_and_the_book_does_not_change_by_letting_go() {
    let mut rig = Rig::new();
    rig.has_erp = false;
    rig.settings.keep_runs = 3;
    rig.state("S0", &[("A", 10)], 0);
    let count = |rig: &Rig, table: &str| -> i64 {
        rig.store.conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0)).unwrap()
    };
    for n in 1..40_i64 {
        rig.store(&[rig.adjust(&format!("{n}"), "A", 1, n)]);
        rig.state(&format!("S{n}"), &[("A", 10 + n)], n);
        assert_eq!(found(&rig.run()), []);
    }

    for (table, most) in [("input", 3), ("movement", 4), ("statement", 5), ("told", 5), ("run", 31)] {
        assert!(count(&rig, table) <= most, "{table} holds {}", count(&rig, table));
    }
    assert_eq!(trace::accounts(&rig.store, "DC1", Some("A")).unwrap()[0].micros, 49 * MICROS);
}

#[test]
fn transfers_that_match_are_let_go_of_and_others_stay() {
    let mut rig = Rig::new();
    rig.has_erp = false;
    for (number, came) in [("T-1", 5), ("T-2", 4)] {
        let line = |q: i64| vec![Line { item: item("A"), qty: Some(q.into()), ..Line::default() }];
        let mut shipped = rig.event(EventType::TransferShipped, (RefKind::Transfer, number), line(5), 0);
        shipped.correlation_id = number.to_owned();
        let mut received = rig.event(EventType::ReceiptConfirmed, (RefKind::Transfer, number), line(came), 60);
        received.references.push(Reference { kind: RefKind::Receipt, value: format!("R{number}"), date: None });
        rig.store(&[shipped, received]);
    }
    rig.now_ms = NOON + 1_000 * 3_600_000;

    let report = rig.run();

    assert_eq!((report.transfers_matched, found(&report)), (1, vec![("transfer", "A", "transfer_short", -1)]));
    assert_eq!(rig.run().transfers_matched, 0, "it is over");
    let entry = crate::ledger::audit::Entry {
        who: "receive".to_owned(),
        act: "mend".to_owned(),
        subject: "DC1".to_owned(),
        detail: String::new(),
    };
    rig.ledger.change(&[Change::Audit(entry)]).unwrap();
    let report = rig.run();
    assert_eq!(
        (report.transfers_matched, found(&report).len()),
        (0, 1),
        "a book that begins again knows that it is over"
    );
}

#[test]
fn one_of_a_million_events_that_was_altered_is_named_with_its_file_and_line() {
    const BATCH: usize = 4_000;
    let mut rig = Rig::new();
    rig.has_erp = false;
    let mut altered = None;
    for batch in 0..250 {
        let events: Vec<Event> = (0..BATCH)
            .map(|n| {
                let mut event = rig.adjust(&format!("{batch}-{n}"), "A", 1, 1);
                event.source.line_no = n as u64 + 2;
                event
            })
            .collect();
        let loc = rig.store(&events);
        if batch == 171 {
            let mut forged = events;
            forged[2_718].lines[0].qty = Some(1_000.into());
            let mut encoder = BatchEncoder::new();
            for event in &forged {
                encoder.push(event);
            }
            altered = Some((loc.batch_no(), encoder.finish().unwrap()));
        }
    }
    let (batch_no, forged) = altered.unwrap();
    let behind = rusqlite::Connection::open(rig.ledger.path()).unwrap();
    behind.execute("UPDATE batch SET columns = ?2 WHERE batch_no = ?1", rusqlite::params![batch_no, forged]).unwrap();

    let report = rig.run();

    let seq = 171 * BATCH as u64 + 2_718 + 1;
    assert_eq!(report.complete[0].have, 1_000_000);
    assert_eq!(rig.holes.len(), 1, "{:?}", rig.holes);
    assert_eq!((rig.holes[0].first, rig.holes[0].last), (seq, seq));
    assert!(rig.holes[0].words.contains("171-2718.csv line 2720"), "{}", rig.holes[0].words);
}

#[test]
fn more_holes_than_are_named_are_counted_and_the_site_is_told_by_all_of_them() {
    let mut rig = Rig::new();
    rig.has_erp = false;
    for n in 0..250 {
        rig.store(&[rig.adjust(&format!("{n}"), "A", 1, n)]);
    }
    let behind = rusqlite::Connection::open(rig.ledger.path()).unwrap();
    behind.execute("DELETE FROM batch WHERE first_seq % 2 = 0 AND first_seq < 250", []).unwrap();

    let report = rig.run();

    let line = &report.complete[0];
    assert_eq!((line.have, line.told), (126, 250));
    assert_eq!((line.holes.len(), line.more_holes), (complete::NAMED, 24));
    assert!(report::text(&report).contains("24 more. The site is asked for them again"));
}

#[test]
fn a_destination_that_does_not_tell_is_left_alone_after_three_sites() {
    #[derive(Clone, Default)]
    struct Silent(Arc<std::sync::atomic::AtomicU32>);
    impl Balances for Silent {
        fn read(&mut self, _: &SiteId) -> Result<Vec<OtherBalance>, String> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Err("it does not answer".to_owned())
        }
        fn place(&self, _: &str, _: (&str, &str, &str), _: i64) -> Option<Placed> {
            None
        }
        fn takes(&self, _: EventType) -> bool {
            true
        }
    }
    let mut rig = Rig::new();
    let id = rig.ledger.reads().ledger_id().unwrap();
    for n in 1..=6 {
        rig.site = SiteId::new(&format!("DC{n}")).unwrap();
        (rig.next, rig.chain) = (1, Chain::start(&rig.site, id));
        rig.store(&[rig.adjust("1", "A", 1, 1)]);
    }
    let silent = Silent::default();
    let mut destinations =
        vec![Destination { name: "erp".to_owned(), balances: Box::new(silent.clone()), gate: Gate::default() }];
    let run_no = rig.store.ask(&Wish::default(), NOON).unwrap();
    let mut around = Surroundings {
        settings: &rig.settings,
        destinations: &mut destinations,
        told: &|_| None,
        now_ms: &|| NOON,
        want: &mut |_, _| false,
    };

    let report =
        run::make(&rig.store, rig.ledger.reads(), &rig.store.run(run_no).unwrap().unwrap(), &mut around).unwrap();

    assert_eq!(silent.0.load(std::sync::atomic::Ordering::Relaxed), 3);
    let why: Vec<&str> = report.sides.iter().filter(|s| s.side == "erp").map(|s| s.not_compared.as_str()).collect();
    assert_eq!(why[2..4], ["it does not answer", "not asked: it did not answer for 3 other sites"]);
    assert_eq!(why.len(), 6);
}

#[test]
fn what_came_of_a_range_is_wanted_no_more() {
    let (wants, site) = (shell::Wants::default(), SiteId::new("DC1").unwrap());
    wants.set(&site, [(1, 10, 20), (2, 5, 5)]);

    wants.came(&site, 1, 12, 14);
    assert_eq!(wants.of(&site, 1), [(10, 11), (15, 20)]);
    wants.came(&site, 1, 1, 10);
    wants.came(&site, 1, 19, 40);
    assert_eq!(wants.of(&site, 1), [(11, 11), (15, 18)]);
    wants.came(&site, 1, 1, 100);
    assert_eq!((wants.of(&site, 1), wants.of(&site, 2)), (vec![], vec![(5, 5)]), "another epoch's numbers are others");
    wants.set(&site, []);
    assert_eq!(wants.of(&site, 2), []);
}

/// What may happen between two looks at the books.
#[derive(Debug, Clone)]
enum Happens {
    Move { item: u8, pieces: i8 },
    Apply,
    Park,
    Release,
    Unknown { has_it: bool },
    State,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0..4_u8, -9..9_i8).prop_map(|(item, pieces)| Happens::Move { item, pieces }),
        3 => Just(Happens::Apply),
        1 => Just(Happens::Park),
        1 => Just(Happens::Release),
        1 => any::<bool>().prop_map(|has_it| Happens::Unknown { has_it }),
        1 => Just(Happens::State),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Captured is applied, parked and on the way: whatever happened, nothing is left unexplained.
    #[test]
    fn for_any_history_the_equation_closes_to_zero(history in prop::collection::vec(happens(), 1..40)) {
        let mut rig = Rig::new();
        let skus = ["A", "B", "C", "D"];
        let mut wms: BTreeMap<&str, i64> = skus.iter().map(|sku| (*sku, 20)).collect();
        let opening: Vec<(&str, i64)> = wms.iter().map(|(sku, n)| (*sku, *n)).collect();
        rig.state("S0", &opening, 0);
        skus.iter().for_each(|sku| rig.books.add(sku, "", "", 20));
        let (mut queue, mut parked) = (std::collections::VecDeque::new(), Vec::new());
        for (n, what) in (1..).zip(history) {
            match what {
                Happens::Move { item, pieces } => {
                    let sku = skus[usize::from(item)];
                    *wms.get_mut(sku).unwrap() += i64::from(pieces);
                    let loc = rig.store(&[rig.adjust(&format!("{n}"), sku, pieces.into(), n)]);
                    queue.push_back((loc, sku, i64::from(pieces)));
                }
                Happens::Apply => if let Some((loc, sku, pieces)) = queue.pop_front() {
                    rig.books.add(sku, "", "", pieces);
                    rig.settle(loc);
                },
                Happens::Park => if let Some((loc, sku, pieces)) = queue.pop_front() {
                    rig.settle(loc);
                    rig.deliver(loc, Stage::Parked, "REFUSED");
                    parked.push((loc, sku, pieces));
                },
                Happens::Release => if let Some((loc, sku, pieces)) = parked.pop() {
                    rig.books.add(sku, "", "", pieces);
                    rig.ledger.change(&[Change::Forget { consumer: "erp".to_owned(), site: rig.site.clone(), loc }]).unwrap();
                },
                Happens::Unknown { has_it } => if let Some((loc, sku, pieces)) = queue.pop_front() {
                    rig.settle(loc);
                    rig.deliver(loc, Stage::Unknown, "");
                    if has_it { rig.books.add(sku, "", "", pieces); }
                },
                Happens::State => {
                    let stock: Vec<(&str, i64)> = wms.iter().map(|(sku, n)| (*sku, *n)).collect();
                    let loc = rig.state(&format!("S{n}"), &stock, n);
                    queue.push_back((loc, "A", 0));
                }
            }
        }
        let end = rig.adjust("end", "A", 0, 1_000);
        rig.store(&[end]);
        let report = rig.run();
        prop_assert_eq!(found(&report), vec![]);
        for side in &report.sides {
            prop_assert_eq!(side.compared, side.exact + side.explained, "{:?}", side);
        }
    }
}

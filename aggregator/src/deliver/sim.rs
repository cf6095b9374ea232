//! Deliveries against a scripted destination that commits and does not answer, and a program that is killed between any two steps.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use proptest::prelude::*;

use super::{
    board::Board,
    deliverer::{Books, Deliverer, Step},
};
use crate::{
    consumers::{Capability, Consumer, Delivery, FaultClass, LookUp, Outcome},
    ledger::{
        Change, LedgerError, Loc, OpKind, Reads as _, Store,
        conformance::{Stream, receipt},
        reads::SqliteReader,
        sqlite::SqliteStore,
    },
};

/// How long a call that was given up may go on.
const SETTLE_MS: i64 = 10_000;

/// What the destination holds and what it is going to do.
#[derive(Default)]
struct World {
    /// Effects in the order in which they were made: document and key.
    effects: Vec<(String, String)>,
    script: Vec<u8>,
    calls: usize,
    keeps_keys: bool,
    /// Effects of calls that were given up and go on all the same: when they are made, and of what.
    late: Vec<(i64, Delivery)>,
    now_ms: i64,
    rejects: Option<String>,
}

impl World {
    fn turn(&mut self) -> u8 {
        let (due, late) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= self.now_ms);
        self.late = late;
        let due: Vec<(i64, Delivery)> = due;
        due.iter().for_each(|(_, delivery)| self.make(delivery));
        let turn = self.script.get(self.calls).copied().unwrap_or(0);
        self.calls += 1;
        turn
    }

    fn has(&self, key: &str) -> bool {
        self.effects.iter().any(|(_, k)| k == key)
    }

    fn make(&mut self, delivery: &Delivery) {
        if !(self.keeps_keys && self.has(&delivery.key)) {
            self.effects.push((delivery.event.correlation_id.clone(), delivery.key.clone()));
        }
    }
}

struct Scripted {
    world: Rc<RefCell<World>>,
    capability: Capability,
    is_ordered: bool,
}

impl Consumer for Scripted {
    fn capability(&self) -> Capability {
        self.capability
    }
    fn is_ordered(&self) -> bool {
        self.is_ordered
    }
    fn settle_ms(&self) -> i64 {
        SETTLE_MS
    }
    fn batch_max(&self) -> usize {
        3
    }
    fn apply(&mut self, batch: &[Delivery]) -> Vec<Outcome> {
        let mut world = self.world.borrow_mut();
        let mut stopped = false;
        batch
            .iter()
            .map(|delivery| {
                let turn = if stopped { 2 } else { world.turn() };
                // An ordered batch ends at its first failure, as a transaction does.
                stopped = self.is_ordered && turn % 6 != 0 && turn % 6 != 5;
                let reason = "scripted".to_owned();
                if world.rejects.as_deref() == Some(delivery.event.lines[0].item.sku.as_str()) {
                    return Outcome::Rejected { code: "E021".to_owned(), reason };
                }
                match turn % 6 {
                    3 if turn > 6 && self.capability == Capability::LookUp => {
                        let due = world.now_ms + SETTLE_MS / 2;
                        world.late.push((due, delivery.clone()));
                        Outcome::Unknown { reason, was_answered: false }
                    }
                    1 => {
                        world.make(delivery);
                        Outcome::Unknown { reason, was_answered: false }
                    }
                    2 => Outcome::Retry { class: FaultClass::Outage, after_ms: None, reason },
                    3 => Outcome::Unknown { reason, was_answered: false },
                    4 => Outcome::Retry { class: FaultClass::Limit, after_ms: Some(900), reason },
                    _ => {
                        world.make(delivery);
                        Outcome::Applied(format!("DOC-{}", world.effects.len()))
                    }
                }
            })
            .collect()
    }
    fn look_up(&mut self, delivery: &Delivery) -> LookUp {
        let mut world = self.world.borrow_mut();
        if world.turn() % 6 == 2 {
            return LookUp::NoAnswer { class: FaultClass::Outage, reason: "scripted".to_owned() };
        }
        if world.has(&delivery.key) { LookUp::Found("DOC".to_owned()) } else { LookUp::Absent }
    }
}

/// A ledger whose program dies at chosen writes: before them, or after them.
struct Mortal {
    store: SqliteStore,
    kills: Rc<RefCell<Vec<u8>>>,
}

impl Books for Mortal {
    type Reads = SqliteReader;
    fn reads(&self) -> &SqliteReader {
        Store::reads(&self.store)
    }
    fn change(&mut self, changes: Vec<Change>) -> Result<(), LedgerError> {
        let kill = self.kills.borrow_mut().pop().unwrap_or(9);
        if kill == 0 {
            return Err(LedgerError::Closed);
        }
        Store::change(&mut self.store, &changes)?;
        if kill == 1 { Err(LedgerError::Closed) } else { Ok(()) }
    }
}

fn ledger(dir: &std::path::Path) -> SqliteStore {
    timed_ledger(dir, &Arc::default())
}

fn timed_ledger(dir: &std::path::Path, clock: &Arc<AtomicI64>) -> SqliteStore {
    let clock = Arc::clone(clock);
    SqliteStore::open(&dir.join("ledger.sqlite"), Arc::new(move || clock.load(Ordering::Relaxed))).unwrap()
}

fn fill(dir: &std::path::Path, events: usize, documents: usize) {
    let mut stream = Stream::new("DC01", 1);
    let mut store = ledger(dir);
    let all: Vec<_> = (0..events)
        .map(|n| {
            let mut event = receipt("DC01", &format!("R-{n}"), &format!("SKU-{n}"), 1);
            event.correlation_id = format!("ORDER-{}", n % documents);
            event
        })
        .collect();
    for part in all.chunks(4) {
        store.commit(&[stream.batch(part)], &[]).unwrap();
    }
}

/// Runs to the end through every kill; gives the number of restarts.
fn run(
    dir: &std::path::Path,
    world: &Rc<RefCell<World>>,
    kills: Vec<u8>,
    capability: Capability,
    is_ordered: bool,
) -> usize {
    let kills = Rc::new(RefCell::new(kills));
    let (mut now_ms, clock) = (1, Arc::new(AtomicI64::new(1)));
    for lives in 0..200 {
        let books = Mortal { store: timed_ledger(dir, &clock), kills: Rc::clone(&kills) };
        let consumer = Scripted { world: Rc::clone(world), capability, is_ordered };
        let Ok(mut deliverer) = Deliverer::open("erp", books, consumer, Board::new(["erp".to_owned()]), 5) else {
            continue;
        };
        loop {
            world.borrow_mut().now_ms = now_ms;
            clock.store(now_ms, Ordering::Relaxed);
            match deliverer.step(now_ms) {
                Ok(Step::Worked) => now_ms += 1,
                Ok(Step::Idle { until_ms: Some(until) } | Step::Paused { until_ms: until }) => now_ms = until,
                Ok(Step::Idle { until_ms: None }) => return lives,
                Err(_) => break,
            }
        }
    }
    panic!("the deliveries never came to rest");
}

/// A person tries again what the destination was silent about while it answered for others.
fn retry_the_mute(dir: &std::path::Path, world: &Rc<RefCell<World>>, capability: Capability, is_ordered: bool) {
    loop {
        let mut store = ledger(dir);
        let parked = Store::reads(&store).parked(100).unwrap();
        if parked.is_empty() {
            return;
        }
        for row in parked {
            assert_eq!(row.code, "UNKNOWN_OUTCOME", "nothing else parks here");
            let (target, kind, loc) = ("erp".to_owned(), OpKind::Retry, row.loc);
            let (reason, by) = ("it answers again".to_owned(), "kim".to_owned());
            Store::change(&mut store, &[Change::Ask { target, kind, loc, reason, by }]).unwrap();
        }
        drop(store);
        run(dir, world, Vec::new(), capability, is_ordered);
    }
}

fn assert_once_and_in_order(world: &World, events: usize) {
    let mut by_document: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let order: BTreeMap<String, usize> = (0..events)
        .map(|n| {
            let event = receipt("DC01", &format!("R-{n}"), "", 1);
            (docksync_proto::identity::event_id(&event).to_string(), n)
        })
        .collect();
    for (document, key) in &world.effects {
        by_document.entry(document).or_default().push(order[key]);
    }
    assert_eq!(world.effects.len(), events, "each effect is made once");
    for (document, order) in by_document {
        assert!(order.is_sorted(), "{document}: {order:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn effects_are_made_once_and_in_order_through_every_fault(
        script in prop::collection::vec(0_u8..12, 0..60),
        kills in prop::collection::vec(0_u8..6, 0..20),
        asks in any::<bool>(),
        documents in 1_usize..6,
    ) {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 13, documents);
        let world = Rc::new(RefCell::new(World { script, keeps_keys: !asks, ..World::default() }));
        let capability = if asks { Capability::LookUp } else { Capability::OwnKey };

        run(dir.path(), &world, kills, capability, !asks);
        retry_the_mute(dir.path(), &world, capability, !asks);

        assert_once_and_in_order(&world.borrow(), 13);
        let cursors = Store::reads(&ledger(dir.path())).cursors().unwrap();
        assert_eq!(cursors[0].seq, 13);
    }
}

#[test]
fn a_rejected_event_holds_back_its_document_alone_until_it_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 12, 3);
    let world = Rc::new(RefCell::new(World { rejects: Some("SKU-0".to_owned()), ..World::default() }));

    run(dir.path(), &world, Vec::new(), Capability::LookUp, false);
    let flowed = world.borrow().effects.len();
    let mut store = ledger(dir.path());
    let parked = Store::reads(&store).parked(10).unwrap();
    let seq = Store::reads(&store).cursors().unwrap()[0].seq;
    let (reason, by) = ("known".to_owned(), "kim".to_owned());
    Store::change(
        &mut store,
        &[Change::Ask { target: "erp".into(), kind: OpKind::Skip, loc: parked[0].loc, reason, by }],
    )
    .unwrap();
    drop(store);
    run(dir.path(), &world, vec![1, 0], Capability::LookUp, false);

    assert_eq!((flowed, seq, parked.len()), (8, 12, 1));
    assert_eq!((parked[0].loc, parked[0].code.as_str()), (Loc::new(1, 0), "E021"));
    assert_eq!(world.borrow().effects.len(), 11);
    let order: Vec<_> = world.borrow().effects[8..].iter().map(|(document, _)| document.clone()).collect();
    assert_eq!(order, ["ORDER-0"; 3]);
    let store = ledger(dir.path());
    assert!(Store::reads(&store).parked(10).unwrap().is_empty());
    assert_eq!(Store::reads(&store).audit_rows(1, 10).unwrap()[0].entry.act, "skip");
}

#[test]
fn without_key_and_look_up_an_open_outcome_waits_for_a_person() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 4, 4);
    let world = Rc::new(RefCell::new(World { script: vec![1], ..World::default() }));

    run(dir.path(), &world, Vec::new(), Capability::Neither, false);

    let parked = Store::reads(&ledger(dir.path())).parked(10).unwrap();
    assert_eq!(parked.iter().map(|p| p.code.as_str()).collect::<Vec<_>>(), ["UNKNOWN_OUTCOME"]);
    assert_eq!(world.borrow().effects.len(), 4);
}

#[test]
fn an_event_that_was_not_admitted_holds_back_its_document_until_it_is_decided() {
    for (kind, keys) in [(OpKind::Retry, 5), (OpKind::Skip, 4)] {
        let dir = tempfile::tempdir().unwrap();
        let mut stream = Stream::new("DC01", 1);
        let mut store = ledger(dir.path());
        let order = |number: &str, document: &str, quantity| {
            let mut event = receipt("DC01", number, "A", quantity);
            event.correlation_id = document.to_owned();
            event
        };
        // The second says otherwise than the first of the same receipt, without saying that it corrects it.
        let events = [("R-1", "X", 1), ("R-1", "X", 2), ("R-2", "X", 1), ("R-3", "Y", 1), ("R-4", "X", 1)];
        let events = events.map(|(number, document, quantity)| order(number, document, quantity));
        store.commit(&[stream.batch(&events)], &[]).unwrap();
        drop(store);
        let world = Rc::new(RefCell::new(World::default()));

        run(dir.path(), &world, Vec::new(), Capability::LookUp, false);
        let before = world.borrow().effects.len();
        let mut store = ledger(dir.path());
        let cursor = Store::reads(&store).cursors().unwrap()[0].seq;
        let loc = Store::reads(&store).refusals(10).unwrap()[0].loc;
        let decide = Change::Decide { loc, kind, reason: "right".into(), by: "kim".into() };
        Store::change(&mut store, &[decide]).unwrap();
        drop(store);
        run(dir.path(), &world, Vec::new(), Capability::LookUp, false);

        assert_eq!((before, cursor), (2, 5));
        let world = world.borrow();
        assert_eq!(world.effects.len(), keys);
        let revised = world.effects.iter().position(|(_, key)| key.contains('.'));
        assert_eq!(revised, (kind == OpKind::Retry).then_some(2), "the decided one goes before its followers");
    }
}

#[test]
fn after_a_reset_everything_is_sent_again_and_takes_effect_only_where_it_had_none() {
    for (capability, keeps_keys) in [(Capability::LookUp, false), (Capability::OwnKey, true)] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 12, 3);
        let world = Rc::new(RefCell::new(World { keeps_keys, rejects: Some("SKU-4".to_owned()), ..World::default() }));
        run(dir.path(), &world, Vec::new(), capability, false);
        // The destination was put back to an older copy, which has the first half.
        world.borrow_mut().effects.truncate(4);
        world.borrow_mut().rejects = None;
        let (target, kind, loc) = ("erp".to_owned(), OpKind::Reset, Loc::new(1, 0));
        let (reason, by) = ("put back".to_owned(), "kim".to_owned());
        Store::change(&mut ledger(dir.path()), &[Change::Ask { target, kind, loc, reason, by }]).unwrap();

        run(dir.path(), &world, vec![9, 1, 9, 0, 9], capability, false);

        assert_once_and_in_order(&world.borrow(), 12);
        assert!(Store::reads(&ledger(dir.path())).parked(10).unwrap().is_empty());
    }
}

#[test]
fn what_cannot_be_asked_and_keeps_no_key_is_not_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 4, 4);
    let world = Rc::new(RefCell::new(World::default()));
    run(dir.path(), &world, Vec::new(), Capability::Neither, false);
    let (target, kind, loc) = ("erp".to_owned(), OpKind::Reset, Loc::new(1, 0));
    let (reason, by) = ("put back".to_owned(), "kim".to_owned());
    Store::change(&mut ledger(dir.path()), &[Change::Ask { target, kind, loc, reason, by }]).unwrap();

    run(dir.path(), &world, Vec::new(), Capability::Neither, false);

    assert_eq!(world.borrow().effects.len(), 4);
    let op = Store::reads(&ledger(dir.path())).op(1).unwrap().unwrap();
    assert_eq!(op.answered, Some(false));
}

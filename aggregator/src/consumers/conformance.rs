//! What every connector must do, whatever the destination: one suite through the trait [`Consumer`], against a double of each.
//!
//! The destination of a [`Bench`] has the warehouse `DC01` with the item `SKU-1`, an order `SO-<n>` of ten and a purchase `PO-<n>` of ten
//! for each n below [`DOCUMENTS`].

use std::sync::Arc;

use docksync_proto::{
    event::{Event, EventTime, EventType, Item, Line, RefKind, Reference},
    site::SiteId,
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Capability, Consumer, Delivery, FaultClass, LookUp, Outcome,
    double::{Faults, RETRY_AFTER_SECS, Turn},
};
use crate::{
    deliver::{
        board::Board,
        deliverer::{Deliverer, Step},
    },
    ledger::{Loc, Reads as _, Store, conformance::Stream, effect::effect, sqlite::SqliteStore},
};

/// Orders and purchases that a destination of the suite has.
pub(crate) const DOCUMENTS: u32 = 9;

/// A destination with its connector.
pub(crate) trait Bench {
    /// The connector.
    type Consumer: Consumer;
    /// Whether it is an ERP: it knows items, warehouses and units, and may lack one.
    const IS_ERP: bool;
    /// A new connection; `None` asks for one to an address where nobody listens.
    fn connect(&self, to_nobody: bool) -> Option<Self::Consumer>;
    /// The faults that the destination shows, where it can.
    fn faults(&self) -> Option<&Faults>;
    /// Effects there are of a key.
    fn effects(&self, key: &str) -> usize;
    /// Effects there are at all.
    fn total(&self) -> usize;
    /// Makes a second document for a reference (for an ERP: a second order of that number). False where it has no such thing.
    fn double(&self, reference: &str, key: &str) -> bool;
}

fn event(event_type: EventType, kind: RefKind, reference: String, line: Line) -> Event {
    let site = SiteId::new("DC01").unwrap();
    let at = Timestamp::UNIX_EPOCH;
    let mut event = Event::new(event_type, site, EventTime::utc(at), at);
    event.correlation_id.clone_from(&reference);
    event.references = vec![Reference { kind, value: reference, date: None }];
    event.lines = vec![line];
    event
}

pub(crate) fn deliver(n: u32, event: Event) -> Delivery {
    let id = Uuid::from_u128(0x5eed_0000 + u128::from(n));
    let stock = effect(&event, None);
    let (site, key) = (event.site_id.clone(), id.to_string());
    Delivery { site, loc: Loc::new(i64::from(n), 0), epoch: 1, seq: u64::from(n), id, key, event, stock }
}

pub(crate) fn line(sku: &str, quantity: i64) -> Line {
    let item = Item { sku: sku.to_owned(), ..Item::default() };
    Line { item, uom: "EA".to_owned(), qty: Some(quantity.into()), ..Line::default() }
}

/// Four of the ten of order `SO-<n>` left.
pub(crate) fn shipment(n: u32) -> Delivery {
    shipment_of(n, line("SKU-1", 4))
}

pub(crate) fn shipment_of(n: u32, line: Line) -> Delivery {
    deliver(n, event(EventType::ShipmentConfirmed, RefKind::So, format!("SO-{n}"), line))
}

/// Ten of purchase `PO-<n>` came.
pub(crate) fn receipt(n: u32) -> Delivery {
    deliver(100 + n, event(EventType::ReceiptConfirmed, RefKind::Po, format!("PO-{n}"), line("SKU-1", 10)))
}

/// Stock was corrected.
pub(crate) fn adjustment(n: u32, quantity: i64) -> Delivery {
    deliver(
        200 + n,
        event(EventType::InventoryAdjusted, RefKind::Adjustment, format!("A-{n}"), line("SKU-1", quantity)),
    )
}

pub(crate) fn one<C: Consumer>(consumer: &mut C, delivery: &Delivery) -> Outcome {
    let mut outcomes = consumer.apply(std::slice::from_ref(delivery));
    assert_eq!(outcomes.len(), 1, "one outcome for one event");
    outcomes.remove(0)
}

/// Every case, each on a destination of its own.
pub(crate) fn all<B: Bench>(make: impl Fn() -> B) {
    an_event_takes_effect_once(&make());
    what_is_not_there_is_absent(&make());
    only_the_bad_event_of_a_batch_is_refused(&make());
    two_documents_are_never_guessed_between(&make());
    if make().faults().is_some() {
        an_answer_lost_at_any_step_leaves_one_document(&make);
        faults_of_the_destination_are_no_event_s(&make);
        a_line_that_breaks_and_a_program_that_dies_double_nothing(&make());
    }
    nobody_there_is_an_outage(&make());
    if B::IS_ERP {
        what_the_configuration_or_the_erp_lacks_has_its_code(&make());
    }
}

fn an_event_takes_effect_once<B: Bench>(bench: &B) {
    for delivery in [shipment(1), receipt(1), adjustment(1, 3), adjustment(2, -2)] {
        let mut consumer = bench.connect(false).expect("it connects");

        let first = one(&mut consumer, &delivery);
        let again = one(&mut consumer, &delivery);
        let other = one(&mut bench.connect(false).expect("it connects"), &delivery);
        let found = consumer.look_up(&delivery);

        let Outcome::Applied(number) = first else { panic!("{first:?}") };
        assert!(!B::IS_ERP || !number.is_empty(), "an ERP names its document");
        assert_eq!(again, Outcome::AlreadyApplied(number.clone()));
        assert_eq!(other, Outcome::AlreadyApplied(number.clone()), "another connection of another start");
        if consumer.capability() != Capability::Neither {
            assert_eq!(found, LookUp::Found(number));
        }
        assert_eq!(bench.effects(&delivery.key), 1);
    }
    assert_eq!(bench.total(), 4);
}

fn what_is_not_there_is_absent<B: Bench>(bench: &B) {
    let mut consumer = bench.connect(false).expect("it connects");
    if consumer.capability() == Capability::Neither {
        return;
    }
    assert_eq!(consumer.look_up(&shipment(1)), LookUp::Absent);
}

fn only_the_bad_event_of_a_batch_is_refused<B: Bench>(bench: &B) {
    let mut consumer = bench.connect(false).expect("it connects");
    let batch = [shipment(1), shipment_of(2, line("NO-SUCH-ITEM", 1)), shipment(3)];

    let outcomes = consumer.apply(&batch);

    assert!(matches!(outcomes[0], Outcome::Applied(_)), "{outcomes:?}");
    assert!(matches!(outcomes[2], Outcome::Applied(_)), "{outcomes:?}");
    match &outcomes[1] {
        Outcome::Rejected { code, reason } => assert!(!code.is_empty() && !reason.is_empty()),
        // A staging table judges nothing.
        Outcome::Applied(_) if !B::IS_ERP && bench.faults().is_none() => return,
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.effects(&batch[1].key), 0);
    assert_eq!(bench.total(), 2);
}

/// Where an answer can be lost: at each write that a connector makes for one event.
fn an_answer_lost_at_any_step_leaves_one_document<B: Bench>(make: &impl Fn() -> B) {
    for make_delivery in [|| shipment(1), || receipt(1), || adjustment(1, 3), || adjustment(1, -3)] {
        for turn in [Turn::Drop, Turn::Hang] {
            let mut steps = 0;
            loop {
                let (bench, delivery) = (make(), make_delivery());
                let faults = bench.faults().expect("it shows faults");
                faults.once(turn, steps);
                let first = one(&mut bench.connect(false).expect("it connects"), &delivery);
                if !faults.was_met() {
                    assert!(matches!(first, Outcome::Applied(_)), "{first:?}");
                    break;
                }
                assert!(
                    matches!(first, Outcome::Unknown { was_answered: false, .. }),
                    "{turn:?} at write {steps}: {first:?}"
                );

                let number = settle(&bench, &delivery);

                assert!(!B::IS_ERP || !number.is_empty());
                assert_eq!(bench.effects(&delivery.key), 1, "{turn:?} at write {steps}");
                assert_eq!(bench.total(), 1, "{turn:?} at write {steps}");
                steps += 1;
            }
            assert!(steps > 0, "an effect needs a write");
        }
    }
}

/// As the machine of deliveries settles a lost outcome, after a new start.
fn settle<B: Bench>(bench: &B, delivery: &Delivery) -> String {
    let mut consumer = bench.connect(false).expect("it connects");
    if consumer.capability() == Capability::LookUp {
        match consumer.look_up(delivery) {
            LookUp::Found(number) => return number,
            LookUp::Absent => {}
            other => panic!("{other:?}"),
        }
    }
    match one(&mut consumer, delivery) {
        Outcome::Applied(number) | Outcome::AlreadyApplied(number) => number,
        other => panic!("{other:?}"),
    }
}

fn faults_of_the_destination_are_no_event_s<B: Bench>(make: &impl Fn() -> B) {
    let limit = Some(RETRY_AFTER_SECS * 1000);
    let faults = [
        (Turn::Unauthorised, FaultClass::Auth, None),
        (Turn::LimitStatus, FaultClass::Limit, limit),
        (Turn::LimitBody, FaultClass::Limit, limit),
        (Turn::Unavailable, FaultClass::Outage, None),
        (Turn::Closed, FaultClass::ClosedPeriod, None),
    ];
    for (turn, expected, expected_ms) in faults {
        let bench = make();
        let mut consumer = bench.connect(false).expect("it connects");
        let batch = [shipment(1), shipment(2), adjustment(1, 3)];
        bench.faults().expect("it shows faults").always(turn);

        let during = consumer.apply(&batch);

        for outcome in &during {
            let Outcome::Retry { class, after_ms, reason } = outcome else { panic!("{turn:?}: {outcome:?}") };
            assert_eq!((*class, *after_ms), (expected, expected_ms), "{turn:?}: {reason}");
        }
        assert_eq!(bench.total(), 0, "{turn:?}");
        if turn != Turn::Closed && consumer.capability() != Capability::Neither {
            let asked = consumer.look_up(&batch[0]);
            assert!(matches!(asked, LookUp::NoAnswer { class, .. } if class == expected), "{turn:?}: {asked:?}");
        }

        bench.faults().expect("it shows faults").clear();
        let after = consumer.apply(&batch);

        assert!(after.iter().all(|o| matches!(o, Outcome::Applied(_))), "{turn:?}: {after:?}");
        assert_eq!(bench.total(), 3, "{turn:?}");
    }
}

/// From a real ledger, by the machine of deliveries: each third write loses its answer, and the program ends after every few steps.
fn a_line_that_breaks_and_a_program_that_dies_double_nothing<B: Bench>(bench: &B) {
    const STEPS_OF_A_LIFE: usize = 3;
    const LIVES_MAX: usize = 1_000;
    let dir = tempfile::tempdir().expect("a folder");
    let open = || SqliteStore::open(&dir.path().join("ledger.sqlite"), Arc::new(|| 1)).expect("the ledger opens");
    let numbers = 1..=DOCUMENTS;
    let events: Vec<Event> =
        numbers.flat_map(|n| [shipment(n), receipt(n), adjustment(n, -3)]).map(|d| d.event).collect();
    open().commit(&[Stream::new("DC01", 1).batch(&events)], &[]).expect("they are written");
    bench.faults().expect("it shows faults").every(Turn::Drop, 2);

    let mut now_ms = 0;
    let mut is_over = false;
    for life in 0..LIVES_MAX {
        let consumer = bench.connect(false).expect("it connects");
        let mut deliverer = Deliverer::open("erp", open(), consumer, Board::default(), 1).expect("it opens");
        for _ in 0..STEPS_OF_A_LIFE + life % 2 {
            match deliverer.step(now_ms).expect("it steps") {
                Step::Worked => now_ms += 1,
                Step::Idle { until_ms: Some(until_ms) } | Step::Paused { until_ms } => now_ms = until_ms,
                Step::Idle { until_ms: None } => is_over = true,
            }
        }
        if is_over {
            break;
        }
    }

    let waiting =
        Store::reads(&open()).deliveries("erp", &SiteId::new("DC01").expect("a site")).expect("they are read");
    assert!(
        is_over,
        "the deliveries never came to rest: {} effects at {now_ms} ms, waiting {waiting:?}",
        bench.total()
    );
    let parked = Store::reads(&open()).parked(10).expect("it is read");
    assert!(parked.is_empty(), "{parked:?}");
    assert_eq!(bench.total(), events.len());
}

fn nobody_there_is_an_outage<B: Bench>(bench: &B) {
    let Some(mut consumer) = bench.connect(true) else { return };

    let applied = one(&mut consumer, &shipment(1));
    let asked = consumer.look_up(&shipment(1));

    assert!(matches!(applied, Outcome::Retry { class: FaultClass::Outage, .. }), "{applied:?}");
    assert!(matches!(asked, LookUp::NoAnswer { class: FaultClass::Outage, .. }), "{asked:?}");
}

fn two_documents_are_never_guessed_between<B: Bench>(bench: &B) {
    let delivery = shipment(1);
    if !bench.double("SO-1", &delivery.key) {
        return;
    }
    let before = bench.total();
    let mut consumer = bench.connect(false).expect("it connects");

    if B::IS_ERP {
        // Under a code of its own, so that all that wait for the same are seen together.
        let outcome = one(&mut consumer, &delivery);
        assert!(matches!(&outcome, Outcome::Rejected { code, .. } if code == "AMBIGUOUS_DOCUMENT"), "{outcome:?}");
        assert_eq!(consumer.heals("AMBIGUOUS_DOCUMENT"), super::Heals::ByPerson);
    } else {
        let asked = consumer.look_up(&delivery);
        assert!(matches!(asked, LookUp::Several { .. }), "{asked:?}");
    }
    assert_eq!(bench.total(), before);
}

fn what_the_configuration_or_the_erp_lacks_has_its_code<B: Bench>(bench: &B) {
    let mut consumer = bench.connect(false).expect("it connects");
    let pallet = Line { uom: "PL".to_owned(), ..line("SKU-1", 1) };
    let damaged = Line { stock_status_to: "damaged".to_owned(), ..line("SKU-1", -1) };
    let mut elsewhere = shipment(3);
    elsewhere.event.site_id = SiteId::new("DC99").unwrap();
    let adjusted = |line| deliver(300, event(EventType::InventoryAdjusted, RefKind::Adjustment, "A".to_owned(), line));
    let no_order =
        deliver(301, event(EventType::ShipmentConfirmed, RefKind::So, "SO-404".to_owned(), line("SKU-1", 1)));
    let lacking = [
        (shipment_of(1, pallet), "UNMAPPED_UNIT"),
        (adjusted(damaged), "UNMAPPED_STATUS"),
        (adjusted(line("NO-SUCH-ITEM", 1)), "UNKNOWN_PRODUCT"),
        (elsewhere, "UNKNOWN_WAREHOUSE"),
        (no_order, "UNKNOWN_DOCUMENT"),
    ];
    for (delivery, expected) in lacking {
        let outcome = one(&mut consumer, &delivery);

        let Outcome::Rejected { code, reason } = outcome else { panic!("{expected}: {outcome:?}") };
        assert_eq!(code, expected, "{reason}");
        assert_ne!(consumer.heals(&code), super::Heals::ByPerson, "{code}: it goes again by itself");
    }
    assert_eq!(bench.total(), 0);
}

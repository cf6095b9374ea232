//! A real Tryton without our module: every effect once, whatever is lost or killed, by documents of Tryton's own.
//!
//! Needs what `erp.rs` needs.

#![expect(clippy::unwrap_used, reason = "what a test cannot have, it cannot go on without")]

use std::collections::BTreeSet;

use docksync_aggregator::{
    consumers::{
        Consumer as _, Delivery, LookUp, Outcome,
        erp::{
            mapping::{Mapping, STEP_EVENTS},
            tryton::{Tryton as Connector, rpc::Access},
        },
    },
    ledger::{Loc, effect::effect},
};
use docksync_proto::{
    event::{Event, EventTime, EventType, Item, Line, LineStatus, Party, PartyRole, RefKind, Reference},
    site::SiteId,
};
use docksync_tests::harness::{
    lossy::Lossy,
    tryton::{Kind, Order, Seed, Tryton},
};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

const SEED: Seed<'_> = Seed { sites: &["DC01", "DC02", "DC03"], products: 200, shipments: 120 };
const PLAIN: Kind = Kind { is_plain: true, is_postgresql: false };

/// A Tryton with a line to it.
struct Bench {
    tryton: Tryton,
    lossy: Lossy,
    next: std::cell::Cell<u32>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tryton = Tryton::start_as(PLAIN, &dir.path().join("tryton"), SEED).unwrap();
        let address = tryton.access().url.strip_prefix("http://").unwrap().parse().unwrap();
        Self { tryton, lossy: Lossy::start(address).unwrap(), next: 1.into(), _dir: dir }
    }

    /// A new connection over the line, as after a start.
    fn connect(&self) -> Connector {
        let url = format!("http://{}", self.lossy.address());
        let mut mapping =
            Mapping { statuses: [("damaged".to_owned(), "{warehouse}-DMG".to_owned())].into(), ..Mapping::default() };
        mapping.events.extend(STEP_EVENTS);
        self.tryton.connector(Access { url, ..self.tryton.access().clone() }, mapping).unwrap()
    }

    fn deliver(&self, event_type: EventType, kind: RefKind, reference: &str, lines: Vec<Line>) -> Delivery {
        let at = Timestamp::now();
        let mut event = Event::new(event_type, SiteId::new("DC01").unwrap(), EventTime::utc(at), at);
        event.correlation_id = reference.to_owned();
        event.references = vec![Reference { kind, value: reference.to_owned(), date: None }];
        event.lines = lines;
        self.delivery(event)
    }

    fn delivery(&self, event: Event) -> Delivery {
        let n = self.next.replace(self.next.get() + 1);
        let id = Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 + u128::from(n));
        let stock = effect(&event, None);
        let (site, key) = (event.site_id.clone(), id.to_string());
        Delivery { site, loc: Loc::new(i64::from(n), 0), epoch: 1, seq: u64::from(n), id, key, event, stock }
    }

    fn pieces(&self, site: &str, sku: &str) -> Decimal {
        self.tryton.stock(site).unwrap().get(sku).copied().unwrap_or_default()
    }

    fn at(&self, sku: &str, place: &str) -> Decimal {
        let stock = self.connect().stock("DC01").unwrap();
        stock.get(&(sku.to_owned(), String::new(), place.to_owned())).copied().unwrap_or_default()
    }

    fn orders(&self) -> Vec<Order> {
        self.tryton
            .orders(120)
            .unwrap()
            .into_iter()
            .filter(|order| order.site == "DC01" && order.lines.len() > 1)
            .collect()
    }

    /// State of the shipments of an order, oldest first.
    fn shipments(&self, reference: &str) -> Vec<String> {
        let ids =
            self.rows("sale.sale", json!([["reference", "=", reference]]), &["shipments"])[0]["shipments"].clone();
        let rows = self.rows("stock.shipment.out", json!([["id", "in", ids]]), &["state"]);
        rows.iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect()
    }

    fn rows(&self, model: &str, domain: Value, fields: &[&str]) -> Vec<Value> {
        let params = [domain, json!(0), json!(null), json!([["id", "ASC"]]), json!(fields)];
        let answer = self.tryton.rpc().unwrap().call(&format!("model.{model}.search_read"), &params).unwrap();
        answer.as_array().unwrap().clone()
    }

    /// Brings an event while the answer to each change in turn is lost; settles it as deliveries do. Gives how many events it took.
    fn each_answer_lost(&self, make: impl Fn() -> Delivery) -> u32 {
        for lost in 0.. {
            let delivery = make();
            self.lossy.lose(lost);
            let first = one(&mut self.connect(), &delivery);
            if !self.lossy.was_met() {
                self.lossy.lose(usize::MAX);
                assert!(matches!(first, Outcome::Applied(_)), "{first:?}");
                self.is_there_once(&delivery);
                return u32::try_from(lost).unwrap() + 1;
            }
            match first {
                Outcome::Unknown { was_answered: false, .. } => {
                    let found = self.connect().look_up(&delivery);
                    if found == LookUp::Absent {
                        settled(one(&mut self.connect(), &delivery), lost);
                    } else {
                        assert!(matches!(found, LookUp::Found(_)), "call {lost}: {found:?}");
                    }
                }
                other => panic!("call {lost}: {other:?}"),
            }
            self.is_there_once(&delivery);
        }
        unreachable!("a document takes finitely many calls")
    }

    fn is_there_once(&self, delivery: &Delivery) {
        let mut connector = self.connect();
        let again = one(&mut connector, delivery);
        let Outcome::AlreadyApplied(name) = again else { panic!("{again:?}") };
        assert_eq!(connector.look_up(delivery), LookUp::Found(name));
    }
}

fn settled(outcome: Outcome, lost: usize) {
    assert!(matches!(outcome, Outcome::Applied(_) | Outcome::AlreadyApplied(_)), "call {lost}: {outcome:?}");
}

fn one(connector: &mut Connector, delivery: &Delivery) -> Outcome {
    connector.apply(std::slice::from_ref(delivery)).remove(0)
}

fn applied(outcome: Outcome) -> String {
    let Outcome::Applied(name) = outcome else { panic!("{outcome:?}") };
    name
}

fn code(outcome: Outcome) -> String {
    let Outcome::Rejected { code, reason } = outcome else { panic!("{outcome:?}") };
    assert!(!reason.is_empty());
    code
}

fn piece(sku: &str, quantity: impl Into<Decimal>) -> Line {
    let item = Item { sku: sku.to_owned(), ..Item::default() };
    Line { item, uom: "EA".to_owned(), qty: Some(quantity.into()), ..Line::default() }
}

fn to_site(id: &str) -> Party {
    let none = String::new;
    Party { role: PartyRole::ShipTo, id: id.to_owned(), id_scheme: none(), name: none(), address: none() }
}

#[test]
fn an_answer_lost_at_any_call_leaves_one_effect() {
    let bench = Bench::start();
    let orders = bench.orders();
    let purchase =
        bench.rows("purchase.purchase", json!([["warehouse.code", "=", "DC01"]]), &["reference", "lines.product.code"]);
    let (po, bought) =
        (purchase[1]["reference"].as_str().unwrap(), purchase[1]["lines."][0]["product."]["code"].as_str().unwrap());

    let before = bench.pieces("DC01", "SKU-0001");
    let n = bench.each_answer_lost(|| {
        bench.deliver(EventType::InventoryAdjusted, RefKind::Adjustment, "A", vec![piece("SKU-0001", -2)])
    });
    assert_eq!(bench.pieces("DC01", "SKU-0001"), before - Decimal::from(2 * n), "{n} adjustments");

    // Two legs: what is damaged goes elsewhere than what is lost.
    let (before, damaged) = (bench.pieces("DC01", "SKU-0002"), bench.at("SKU-0002", "DC01-DMG"));
    let changed = || {
        let broken = Line { stock_status_to: "damaged".to_owned(), ..piece("SKU-0002", 3) };
        bench.deliver(EventType::InventoryStatusChanged, RefKind::Adjustment, "S", vec![broken])
    };
    let n = bench.each_answer_lost(changed);
    assert_eq!(bench.pieces("DC01", "SKU-0002"), before);
    assert_eq!(bench.at("SKU-0002", "DC01-DMG"), damaged + Decimal::from(3 * n));

    let before = bench.pieces("DC01", bought);
    let received = || {
        let line = Line { qty_received: Some(3.into()), qty_damaged: Some(1.into()), ..piece(bought, 3) };
        bench.deliver(EventType::ReceiptConfirmed, RefKind::Po, po, vec![line])
    };
    let n = bench.each_answer_lost(received);
    assert_eq!(bench.pieces("DC01", bought), before + Decimal::from(3 * n), "{n} receipts");
    assert_eq!(bench.at(bought, "DC01-DMG"), Decimal::from(n));

    // Each order in its own turn, of whose first line one stays behind.
    let orders = std::cell::RefCell::new(orders.into_iter());
    let sku_count = |order: &Order| order.lines.iter().map(|(_, n)| *n).sum::<Decimal>();
    let left = std::cell::Cell::new(Decimal::ZERO);
    let total = || bench.tryton.stock("DC01").unwrap().values().copied().sum::<Decimal>();
    let before = total();
    let shipped = || {
        let order = orders.borrow_mut().next().expect("there are orders enough");
        left.set(left.get() + sku_count(&order) - Decimal::ONE);
        let short =
            |(at, (sku, n)): (usize, &(String, Decimal))| piece(sku, if at == 0 { n - Decimal::ONE } else { *n });
        let lines = order.lines.iter().enumerate().map(short).collect();
        bench.deliver(EventType::ShipmentConfirmed, RefKind::So, &order.reference, lines)
    };
    bench.each_answer_lost(shipped);
    assert_eq!(total(), before - left.get());

    let effects = bench.tryton.effects().unwrap();
    assert_eq!(effects.iter().collect::<BTreeSet<_>>().len(), effects.len(), "{effects:?}");
}

#[test]
fn orders_go_short_come_back_are_taken_back_and_picked() {
    let bench = Bench::start();
    let mut connector = bench.connect();
    let orders = bench.orders();
    let (first, second, third, fourth) = (&orders[0], &orders[1], &orders[2], &orders[3]);
    let ship = |order: &Order, lines: Vec<Line>| {
        bench.deliver(EventType::ShipmentConfirmed, RefKind::So, &order.reference, lines)
    };
    let whole = |order: &Order| order.lines.iter().map(|(sku, n)| piece(sku, *n)).collect::<Vec<_>>();

    // Short: the rest goes by the backorder, which has no reference of its own.
    let (sku, ordered) = &first.lines[0];
    let before = bench.pieces("DC01", sku);
    let part = ship(first, vec![piece(sku, 1)]);
    let rest = ship(
        first,
        std::iter::once(piece(sku, ordered - Decimal::ONE)).chain(whole(first).into_iter().skip(1)).collect(),
    );
    let names = [applied(one(&mut connector, &part)), applied(one(&mut connector, &rest))];
    assert_ne!(names[0], names[1]);
    assert_eq!(bench.shipments(&first.reference), ["done", "done"]);
    assert_eq!(bench.pieces("DC01", sku), before - ordered);
    assert_eq!(connector.look_up(&part), LookUp::Found(names[0].clone()));
    assert_eq!(code(one(&mut connector, &ship(first, whole(first)))), "STATE");

    // Cancelled: no backorder is left open.
    let closed = Line { status_code: Some(LineStatus::ShortNoBackorder), ..piece(&second.lines[0].0, 1) };
    let lines = std::iter::once(closed).chain(whole(second).into_iter().skip(1)).collect();
    let cancelled = ship(second, lines);
    applied(one(&mut connector, &cancelled));
    assert_eq!(bench.shipments(&second.reference), ["done", "cancelled"]);
    let sale = bench.rows("sale.sale", json!([["reference", "=", second.reference]]), &["shipment_state"]);
    assert_eq!(sale[0]["shipment_state"], "sent");
    bench.is_there_once(&cancelled);

    // Back from the customer, a part; more than left is refused.
    let before = bench.pieces("DC01", sku);
    let back = bench.deliver(EventType::ReturnReceived, RefKind::So, &first.reference, vec![piece(sku, 1)]);
    applied(one(&mut connector, &back));
    bench.is_there_once(&back);
    assert_eq!(bench.pieces("DC01", sku), before + Decimal::ONE);
    let too_much = bench.deliver(EventType::ReturnReceived, RefKind::So, &first.reference, vec![piece(sku, *ordered)]);
    assert_eq!(code(one(&mut connector, &too_much)), "QUANTITY");

    // Taken back as a whole.
    let sku = &third.lines[0].0;
    let before = bench.pieces("DC01", sku);
    applied(one(&mut connector, &ship(third, whole(third))));
    let void = bench.deliver(EventType::ShipmentVoided, RefKind::So, &third.reference, Vec::new());
    let outcome = one(&mut connector, &void);
    // Without lines there is nothing to tell an ERP by; with them it comes back.
    assert_eq!(applied(outcome), "");
    let void = bench.deliver(EventType::ShipmentVoided, RefKind::So, &third.reference, whole(third));
    applied(one(&mut connector, &void));
    bench.is_there_once(&void);
    assert_eq!(bench.pieces("DC01", sku), before);

    // Picked by two events, then another quantity leaves than was picked.
    let (sku, ordered) = &fourth.lines[0];
    let pick = |lines: Vec<Line>| bench.deliver(EventType::PickConfirmed, RefKind::So, &fourth.reference, lines);
    let (one_line, others) = (pick(vec![piece(sku, *ordered)]), pick(whole(fourth).into_iter().skip(1).collect()));
    applied(one(&mut connector, &one_line));
    assert_eq!(bench.shipments(&fourth.reference), ["waiting"]);
    assert!(matches!(one(&mut connector, &one_line), Outcome::AlreadyApplied(_)));
    applied(one(&mut connector, &others));
    assert_eq!(bench.shipments(&fourth.reference), ["picked"]);
    bench.is_there_once(&others);
    let before = bench.pieces("DC01", sku);
    let lines = std::iter::once(piece(sku, ordered - Decimal::ONE)).chain(whole(fourth).into_iter().skip(1)).collect();
    let left = ship(fourth, lines);
    applied(one(&mut connector, &left));
    bench.is_there_once(&left);
    assert_eq!(bench.shipments(&fourth.reference), ["done", "waiting"]);
    assert_eq!(bench.pieces("DC01", sku), before - ordered + Decimal::ONE);
    assert_eq!(
        bench.rows("stock.shipment.internal", json!([["reference", "=", format!("{}/out", left.key)]]), &["state"])[0]
            ["state"],
        "done"
    );

    let carton = bench.deliver(EventType::CartonPacked, RefKind::So, &fourth.reference, Vec::new());
    assert_eq!(applied(one(&mut connector, &carton)), "", "a carton without contents tells nothing");
}

#[test]
fn goods_go_from_warehouse_to_warehouse_and_what_takes_the_module_is_said() {
    let bench = Bench::start();
    let mut connector = bench.connect();
    let (here, there) = (bench.pieces("DC01", "SKU-0009"), bench.pieces("DC02", "SKU-0009"));
    let mut sent =
        bench.deliver(EventType::TransferShipped, RefKind::Transfer, "TR_1", vec![piece("SKU-0009", 5)]).event;
    sent.parties = vec![to_site("DC02")];
    let sent = bench.delivery(sent);
    applied(one(&mut connector, &sent));
    bench.is_there_once(&sent);
    assert_eq!(bench.pieces("DC01", "SKU-0009"), here - Decimal::from(5));

    let came = |n: i64| {
        let line = Line { qty_received: Some(n.into()), ..piece("SKU-0009", n) };
        let mut event = bench.deliver(EventType::ReceiptConfirmed, RefKind::Transfer, "TR_1", vec![line]).event;
        event.site_id = SiteId::new("DC02").unwrap();
        bench.delivery(event)
    };
    applied(one(&mut connector, &came(1)));
    assert_eq!(code(one(&mut connector, &came(9))), "QUANTITY");
    applied(one(&mut connector, &came(3)));
    assert_eq!(bench.pieces("DC02", "SKU-0009"), there + Decimal::from(4));

    let unknown = bench.deliver(EventType::ShipmentConfirmed, RefKind::So, "NO-ORDER", vec![piece("SKU-0001", 1)]);
    assert_eq!(code(one(&mut connector, &unknown)), "UNKNOWN_DOCUMENT");
    let mapping = Mapping {
        without_document: docksync_aggregator::consumers::erp::mapping::WithoutDocument::Move,
        ..Mapping::default()
    };
    let mut moving = bench.tryton.connector(bench.tryton.access().clone(), mapping).unwrap();
    let loose = bench.deliver(EventType::ReceiptConfirmed, RefKind::Po, "NO-PURCHASE", vec![piece("SKU-0001", 1)]);
    assert_eq!(code(one(&mut moving, &loose)), "NEEDS_MODULE");
}

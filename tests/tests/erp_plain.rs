//! A real Tryton without our module behind real processes: shipments, receipts, returns, adjustments; server and centre killed.

#![expect(clippy::unwrap_used, reason = "what a test cannot have, it cannot go on without")]

use std::{collections::BTreeMap, path::Path, time::Duration};

use docksync_aggregator::{
    consumers::{Consumer as _, Delivery, LookUp, Outcome},
    ledger::{Loc, effect::effect},
};
use docksync_proto::{
    event::{Event, EventTime, EventType, Item, Line as EventLine, RefKind, Reference},
    site::SiteId,
};
use docksync_tests::harness::{
    await_that,
    centre::Centre,
    site::Site,
    tryton::{Order, Seed, Tryton},
};
use serde_json::{Value, json};

/// The same as the demo's, so that its database is made once.
const SEED: Seed<'_> = Seed { sites: &["DC01", "DC02", "DC03"], products: 200, shipments: 120 };
/// Tryton is slow where a machine is shared.
const WITHIN: Duration = Duration::from_secs(240);

struct Line {
    tryton: Tryton,
    centre: Centre,
    site: Site,
}

impl Line {
    fn start(dir: &Path) -> Self {
        let tryton = Tryton::start_plain(&dir.join("tryton"), SEED).unwrap();
        let centre = Centre::start(&dir.join("centre"), &tryton.consumer("")).unwrap();
        let mqtt = centre.address("mqtt");
        let site = Site::enrol_with_business("DC01", &dir.join("site"), &centre, mqtt).unwrap();
        Self { tryton, centre, site }
    }

    fn adjust(&self, numbers: std::ops::Range<u32>, sku: &str, sign: char) {
        let mut text = String::from("adj_no,line,when,sku,lot,qty,sign,uom,reason,note,status,user\n");
        for n in numbers.clone() {
            text.push_str(&format!("A-{n},1,2026-11-23T09:00:00,{sku},,1,{sign},EA,CC+,,AVL,kim\n"));
        }
        self.site.put("adjust", &format!("ADJ_{}.csv", numbers.start), &text).unwrap();
    }

    /// Ships an order, each line short by so many.
    fn ship(&self, n: usize, order: &Order, short: i64) {
        let mut text = String::from(
            "order;shipment;ship_date;ship_time;customer;carrier;line;item;ean;ordered;shipped;unit;status;sscc\n",
        );
        for (item, ordered) in &order.lines {
            let shipped = *ordered - rust_decimal::Decimal::from(short);
            let row =
                format!("{};S-{n};23.11.2026;14:05;C-1;dhl;10;{item};;{ordered};{shipped};STK;C;\n", order.reference);
            text.push_str(&row);
        }
        self.site.put("ship", &format!("SHIP_{n}.csv"), &text).unwrap();
    }

    fn read(&self, model: &str, domain: Value, fields: &[&str]) -> Vec<Value> {
        let params = [domain, json!(0), json!(null), json!([["id", "ASC"]]), json!(fields)];
        let told = self.tryton.rpc().and_then(|mut rpc| {
            rpc.call(&format!("model.{model}.search_read"), &params).map_err(|failure| anyhow::anyhow!("{failure:?}"))
        });
        told.ok().and_then(|rows| rows.as_array().cloned()).unwrap_or_default()
    }

    /// Internal shipments that are done.
    fn corrections(&self) -> usize {
        self.read("stock.shipment.internal", json!([["state", "=", "done"]]), &["reference"]).len()
    }

    /// Notes on shipments that are done: Tryton tells notes of named documents only.
    fn notes(&self) -> usize {
        let done = self.read("stock.shipment.out", json!([["state", "=", "done"]]), &["id"]);
        let done: Vec<String> = done.iter().map(|row| format!("stock.shipment.out,{}", row["id"])).collect();
        self.read("ir.note", json!([["resource", "in", done]]), &["message"]).len()
    }

    fn pieces(&self, sku: &str) -> i64 {
        let stock: BTreeMap<_, _> = self.tryton.plain_stock("DC01").unwrap();
        stock.get(sku).copied().unwrap_or_default().normalize().to_string().parse().unwrap()
    }

    fn parked(&self) -> Vec<(String, u64)> {
        let said: Value = serde_json::from_str(&self.centre.command(&["parked", "groups", "--json"]).unwrap()).unwrap();
        let group = |g: &Value| (g["code"].as_str().unwrap().to_owned(), g["events"].as_u64().unwrap());
        said.as_array().unwrap().iter().map(group).collect()
    }
}

#[test]
fn without_the_module_each_effect_is_there_once_whatever_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut line = Line::start(dir.path());
    assert!(line.centre.command(&["erp", "test"]).unwrap().contains("without the module docksync; 3 warehouses"));
    let before = line.pieces("SKU-0001");
    let orders: Vec<Order> =
        line.tryton.orders(120).unwrap().into_iter().filter(|order| order.site == "DC01").take(3).collect();

    // The server dies with calls under way, then the centre does; both come back.
    line.adjust(0..20, "SKU-0001", '+');
    await_that("first effects", WITHIN, || line.corrections() > 0).unwrap();
    line.tryton.kill().unwrap();
    line.adjust(20..30, "SKU-0001", '-');
    line.centre.kill().unwrap();
    line.tryton.up().unwrap();
    line.centre.restart().unwrap();
    await_that("every correction", WITHIN, || line.corrections() >= 30).unwrap();
    assert_eq!(line.corrections(), 30);
    assert_eq!(line.pieces("SKU-0001"), before + 10);

    // One order whole, one short by a piece of each line, and the rest of that one by its backorder.
    line.ship(0, &orders[0], 0);
    line.ship(1, &orders[1], 1);
    let references = [&orders[0].reference, &orders[1].reference];
    let done = |line: &Line| {
        let domain = json!([["state", "=", "done"], ["reference", "in", references]]);
        line.read("stock.shipment.out", domain, &["reference"]).len()
    };
    await_that("both shipments", WITHIN, || done(&line) == 2).unwrap();
    let sale =
        line.read("sale.sale", json!([["reference", "=", orders[1].reference]]), &["shipment_state", "shipments"]);
    assert_eq!(sale[0]["shipment_state"], "partially shipped");
    assert_eq!(sale[0]["shipments"].as_array().unwrap().len(), 2, "Tryton made the backorder");
    let rest = Order {
        lines: orders[1].lines.iter().map(|(item, _)| (item.clone(), rust_decimal::Decimal::ONE)).collect(),
        ..orders[1].clone()
    };
    line.ship(2, &rest, 0);
    let state = |line: &Line, reference: &str| {
        let sale = line.read("sale.sale", json!([["reference", "=", reference]]), &["shipment_state"]);
        sale[0]["shipment_state"].as_str().unwrap_or_default().to_owned()
    };
    await_that("the backorder", WITHIN, || state(&line, &orders[1].reference) == "sent").unwrap();

    // What has no order waits, and says so; nothing of it moved.
    let unknown = Order { reference: "SO-NOWHERE".to_owned(), ..orders[2].clone() };
    line.ship(3, &unknown, 0);
    await_that("one to wait", WITHIN, || line.parked() == [("UNKNOWN_DOCUMENT".to_owned(), 1)]).unwrap();

    // After a restore everything since the backup comes again, and moves nothing.
    assert_eq!(line.notes(), 3, "each shipment carries its event's note");
    line.centre.command(&["consumers", "reset", "tryton", "--reason", "restored", "--by", "kim"]).unwrap();
    line.adjust(30..31, "SKU-0002", '+');
    await_that("what is new", WITHIN, || line.corrections() == 31).unwrap();
    assert_eq!(line.notes(), 3);
    assert_eq!(line.pieces("SKU-0002"), 1_001 - shipped(&orders, "SKU-0002"));
    line.site.stop().unwrap();
    line.centre.stop().unwrap();
}

/// Pieces of an item in the orders that were shipped.
fn shipped(orders: &[Order], item: &str) -> i64 {
    let lines = orders[..2].iter().flat_map(|order| &order.lines).filter(|(of, _)| of == item);
    lines.map(|(_, quantity)| quantity.to_string().parse::<i64>().unwrap()).sum()
}

/// Pieces in a purchase's open moves and their products.
fn open_moves(tryton: &Tryton, reference: &str) -> Vec<(String, i64)> {
    let mut rpc = tryton.rpc().unwrap();
    let params = [json!([["reference", "=", reference]]), json!(0), json!(1), json!(null), json!(["moves"])];
    let found = rpc.call("model.purchase.purchase.search_read", &params).unwrap();
    let moves =
        rpc.call("model.stock.move.read", &[found[0]["moves"].clone(), json!(["product.code", "quantity"])]).unwrap();
    let each =
        |row: &Value| (row["product."]["code"].as_str().unwrap().to_owned(), row["quantity"].as_f64().unwrap() as i64);
    moves.as_array().unwrap().iter().map(each).collect()
}

fn line_of(sku: &str, quantity: i64) -> EventLine {
    EventLine {
        item: Item { sku: sku.to_owned(), ..Item::default() },
        uom: "EA".to_owned(),
        qty: Some(quantity.into()),
        ..EventLine::default()
    }
}

fn delivery(n: u128, kind: EventType, reference: (RefKind, &str), lines: Vec<EventLine>) -> Delivery {
    let site = SiteId::new("DC01").unwrap();
    let at: jiff::Timestamp = "2026-11-23T15:00:00Z".parse().unwrap();
    let mut event = Event::new(kind, site.clone(), EventTime::utc(at), at);
    event.references = vec![Reference { kind: reference.0, value: reference.1.to_owned(), date: None }];
    event.lines = lines;
    let id = uuid::Uuid::from_u128(n);
    let stock = effect(&event, None);
    let loc = Loc::new(i64::try_from(n).unwrap(), 0);
    Delivery { site, loc, epoch: 1, seq: 1, id, key: id.to_string(), event, stock }
}

#[test]
fn receipts_returns_and_moves_are_tryton_s_own_documents() {
    let dir = tempfile::tempdir().unwrap();
    let tryton = Tryton::start_plain(&dir.path().join("tryton"), SEED).unwrap();
    let before = tryton.plain_stock("DC01").unwrap();
    let mut plain = tryton.plain(&[("damaged", "{warehouse}-DMG")]).unwrap();
    let order = tryton.orders(120).unwrap().into_iter().find(|order| order.site == "DC01").unwrap();
    let pieces = |quantity: rust_decimal::Decimal| i64::try_from(quantity).unwrap();
    let open = open_moves(&tryton, "PO-20001");
    let (came, ordered) = (open[0].0.clone(), open[0].1);
    let received =
        EventLine { qty_received: Some((ordered - 2).into()), qty_damaged: Some(3.into()), ..line_of(&came, 0) };
    let whole: Vec<EventLine> = order.lines.iter().map(|(sku, quantity)| line_of(sku, pieces(*quantity))).collect();
    let (sold, first) = (order.lines[0].0.clone(), pieces(order.lines[0].1));
    let order_ref = (RefKind::So, order.reference.as_str());
    let aside = EventLine { stock_status_to: "damaged".to_owned(), ..line_of("SKU-0007", 4) };
    let batch = [
        delivery(1, EventType::ReceiptConfirmed, (RefKind::Po, "PO-20001"), vec![received]),
        delivery(2, EventType::ShipmentConfirmed, order_ref, whole.clone()),
        delivery(3, EventType::ReturnReceived, order_ref, vec![line_of(&sold, 1)]),
        delivery(4, EventType::InventoryStatusChanged, (RefKind::Adjustment, "M-1"), vec![aside]),
        delivery(5, EventType::ReceiptConfirmed, (RefKind::Po, "PO-20001"), vec![line_of("SKU-0200", 1)]),
        delivery(6, EventType::TransferShipped, (RefKind::Transfer, "T-1"), vec![line_of("SKU-0007", 1)]),
    ];

    let first_time = plain.apply(&batch);
    let again = plain.apply(&batch);
    let told: Vec<LookUp> = batch[..4].iter().map(|delivery| plain.look_up(delivery)).collect();

    for (at, outcome) in first_time[..4].iter().enumerate() {
        let Outcome::Applied(name) = outcome else { panic!("{at}: {outcome:?}") };
        assert_eq!(again[at], Outcome::AlreadyApplied(name.clone()));
        assert_eq!(told[at], LookUp::Found(name.clone()));
    }
    let code = |outcome: &Outcome| match outcome {
        Outcome::Rejected { code, .. } => code.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!([code(&first_time[4]), code(&first_time[5])], ["UNMATCHED_LINE", "NEEDS_MODULE"]);
    let after = tryton.plain_stock("DC01").unwrap();
    let change = |sku: &str| pieces((after[sku] - before[sku]).normalize());
    // A product of two of these documents has the sum of both.
    let both = |sku: &str| {
        let mut sum = if sku == came { ordered - 2 } else { 0 };
        sum -= order.lines.iter().filter(|(of, _)| of == sku).map(|(_, quantity)| pieces(*quantity)).sum::<i64>();
        sum + i64::from(sku == sold)
    };
    for sku in [&came, &sold, &"SKU-0007".to_owned()] {
        assert_eq!(change(sku), both(sku), "{sku}");
    }
    assert_eq!(
        open_moves(&tryton, "PO-20001").iter().filter(|(sku, q)| *sku == came && *q == 2).count(),
        1,
        "what is short stays open"
    );
    assert!(first >= 1);
    let damaged = tryton.plain_places("DC01").unwrap();
    assert_eq!(damaged.get(&(came, "DC01-DMG".to_owned())).map(|q| pieces(q.normalize())), Some(3));
    assert_eq!(damaged.get(&("SKU-0007".to_owned(), "DC01-DMG".to_owned())).map(|q| pieces(q.normalize())), Some(4));
}

//! A real Tryton without our module behind real processes: shipments, receipts, returns, adjustments; server and centre killed.

#![expect(clippy::unwrap_used, reason = "what a test cannot have, it cannot go on without")]

use std::{collections::BTreeMap, path::Path, time::Duration};

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

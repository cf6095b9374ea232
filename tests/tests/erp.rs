//! A real Tryton behind real processes: what is killed, restored or lacking changes neither how often an event takes effect
//! nor what stock it leaves.
//!
//! Needs `python3` with `venv`; `./tests/run` sees to it. The server is brought up by `tests/erp/tryton-up`, whose cache makes the second
//! start quick.

#![expect(clippy::unwrap_used, reason = "what a test cannot have, it cannot go on without")]

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use docksync_tests::harness::{
    await_that,
    centre::Centre,
    site::Site,
    tryton::{Kind, Order, Seed, Tryton},
};
use serde_json::Value;

/// The same as the demo's, so that its database is made once.
const SEED: Seed<'_> = Seed { sites: &["DC01", "DC02", "DC03"], products: 200, shipments: 120 };
/// Tryton is slow where a machine is shared.
const WITHIN: Duration = Duration::from_secs(180);

struct Line {
    tryton: Tryton,
    centre: Centre,
    site: Site,
}

impl Line {
    fn start(dir: &Path, more: &str) -> Self {
        Self::start_as(Kind::default(), dir, more)
    }

    fn start_as(kind: Kind, dir: &Path, more: &str) -> Self {
        // PostgreSQL runs as a user of its own.
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        let tryton = Tryton::start_as(kind, &dir.join("tryton"), SEED).unwrap();
        let centre = Centre::start(&dir.join("centre"), &tryton.consumer(more)).unwrap();
        let mqtt = centre.address("mqtt");
        let site = Site::enrol_with_business("DC01", &dir.join("site"), &centre, mqtt).unwrap();
        Self { tryton, centre, site }
    }

    /// Exports one adjustment for each number, one piece of a product each.
    fn adjust(&self, numbers: std::ops::Range<u32>, sku: &str, uom: &str) {
        let mut text = String::from("adj_no,line,when,sku,lot,qty,sign,uom,reason,note,status,user\n");
        for n in numbers.clone() {
            text.push_str(&format!("A-{n},1,2026-11-23T09:00:00,{sku},,1,+,{uom},CC+,,AVL,kim\n"));
        }
        self.site.put("adjust", &format!("ADJ_{}.csv", numbers.start), &text).unwrap();
    }

    /// Exports an order that leaves, of whose first line so many stay behind. Gives the pieces that leave.
    fn ship(&self, n: usize, order: &Order, short: i64) -> i64 {
        let mut text = String::from(
            "order;shipment;ship_date;ship_time;customer;carrier;line;item;ean;ordered;shipped;unit;status;sscc\n",
        );
        let mut left = 0;
        for (at, (item, ordered)) in order.lines.iter().enumerate() {
            let ordered: i64 = ordered.to_string().parse().unwrap();
            let shipped = ordered - if at == 0 { short } else { 0 };
            let status = if shipped < ordered { "B" } else { "C" };
            text.push_str(&format!(
                "{};S-{n};23.11.2026;14:05;C-1;dhl;{};{item};;{ordered};{shipped};STK;{status};\n",
                order.reference,
                10 * (at + 1)
            ));
            left += shipped;
        }
        self.site.put("ship", &format!("SHIP_{n}.csv"), &text).unwrap();
        left
    }

    /// Orders of the site that wait to be shipped.
    fn orders(&self, count: usize) -> Vec<Order> {
        let orders = self.tryton.orders(SEED.shipments).unwrap().into_iter();
        orders.filter(|order| order.site == "DC01").take(count).collect()
    }

    /// All pieces of the site.
    fn total(&self) -> i64 {
        let total: rust_decimal::Decimal = self.tryton.stock("DC01").unwrap().values().copied().sum();
        total.to_string().parse().unwrap()
    }

    fn await_first_effect(&self, than: usize) {
        await_that("a first effect", WITHIN, || self.tryton.effects().is_ok_and(|e| e.len() > than)).unwrap();
    }

    /// Waits until the ERP keeps so many effects; none of them twice.
    fn await_effects(&self, count: usize) {
        let mut last = Vec::new();
        let seen = await_that("every effect in the ERP", WITHIN, || {
            last = self.tryton.effects().unwrap_or_default();
            last.len() >= count
        });
        seen.unwrap_or_else(|error| panic!("{error}; it has {} of {count}", last.len()));
        assert_eq!(last.iter().collect::<BTreeSet<_>>().len(), last.len(), "an effect is there twice");
        assert_eq!(last.len(), count);
    }

    fn pieces(&self, sku: &str) -> i64 {
        let pieces = self.tryton.stock("DC01").unwrap().get(sku).copied().unwrap_or_default();
        pieces.to_string().parse().unwrap()
    }

    /// Causes for which the ERP's events wait, each with its code and how many.
    fn groups(&self) -> Vec<(String, u64)> {
        let said: Value = serde_json::from_str(&self.centre.command(&["parked", "groups", "--json"]).unwrap()).unwrap();
        let group = |g: &Value| (g["code"].as_str().unwrap().to_owned(), g["events"].as_u64().unwrap());
        said.as_array().unwrap().iter().filter(|g| g["target"] == "tryton").map(group).collect()
    }

    fn await_groups(&self, wanted: &[(&str, u64)]) {
        let wanted: Vec<(String, u64)> = wanted.iter().map(|(code, n)| ((*code).to_owned(), *n)).collect();
        let seen = await_that("the parked groups", WITHIN, || self.groups() == wanted);
        seen.unwrap_or_else(|error| panic!("{error}; they are {:?}", self.groups()));
    }
}

#[test]
fn kills_and_a_restore_double_nothing_in_the_erp() {
    let dir = tempfile::tempdir().unwrap();
    let mut line = Line::start(dir.path(), "");
    let before = line.pieces("SKU-0001");
    let orders: Vec<_> =
        line.tryton.orders(120).unwrap().into_iter().filter(|order| order.site == "DC01").take(5).collect();

    // The ERP dies with calls under way, then the centre does; both come back.
    line.adjust(0..400, "SKU-0001", "EA");
    await_that("first effects", WITHIN, || line.tryton.effects().is_ok_and(|e| !e.is_empty())).unwrap();
    line.tryton.kill().unwrap();
    line.adjust(400..600, "SKU-0001", "EA");
    line.centre.kill().unwrap();
    line.tryton.up().unwrap();
    line.centre.restart().unwrap();
    line.await_effects(600);
    assert_eq!(line.pieces("SKU-0001"), before + 600);

    // From a backup made now the centre later knows nothing of what follows: sites send it again, the ERP takes none of it twice.
    let backup = dir.path().join("backup.sqlite");
    line.centre.command(&["backup", backup.to_str().unwrap()]).unwrap();
    let mut shipped = 0;
    for (n, order) in orders.iter().enumerate() {
        let mut text = String::from(
            "order;shipment;ship_date;ship_time;customer;carrier;line;item;ean;ordered;shipped;unit;status;sscc\n",
        );
        for (item, ordered) in &order.lines {
            text.push_str(&format!(
                "{};S-{n};23.11.2026;14:05;C-1;dhl;10;{item};;{ordered};{ordered};STK;C;\n",
                order.reference
            ));
            shipped += usize::from(item.as_str() == "SKU-0001");
        }
        line.site.put("ship", &format!("SHIP_{n}.csv"), &text).unwrap();
    }
    line.adjust(600..700, "SKU-0002", "EA");
    line.await_effects(600 + orders.len() + 100);
    line.centre.stop().unwrap();
    let ledger = line.centre.ledger();
    for end in ["", "-wal", "-shm"] {
        let file = ledger.with_file_name(format!("ledger.sqlite{end}"));
        assert!(std::fs::remove_file(&file).is_ok() || !end.is_empty());
    }
    line.centre.command(&["restore", backup.to_str().unwrap()]).unwrap();
    line.centre.restart().unwrap();
    let stock = line.tryton.stock("DC01").unwrap();
    line.adjust(700..710, "SKU-0003", "EA");

    line.await_effects(600 + orders.len() + 100 + 10);
    let after = line.tryton.stock("DC01").unwrap();
    let changed: Vec<&String> = stock.keys().filter(|item| stock.get(*item) != after.get(*item)).collect();
    assert_eq!(changed, ["SKU-0003"], "only what is new moved stock; {shipped} lines of SKU-0001 were shipped before");
    assert_eq!(line.groups(), []);
    line.site.stop().unwrap();
    line.centre.stop().unwrap();
}

#[test]
fn without_the_module_kills_double_nothing_either() {
    let dir = tempfile::tempdir().unwrap();
    let kind = Kind { is_plain: true, ..Kind::default() };
    // What is killed has nothing under way any more.
    let mut line = Line::start_as(kind, dir.path(), "settle_ms = 500\n");
    let before = line.total();
    assert!(line.centre.command(&["erp", "test"]).unwrap().contains("without the module"));

    line.adjust(0..120, "SKU-0001", "EA");
    line.await_first_effect(0);
    line.tryton.kill().unwrap();
    line.adjust(120..180, "SKU-0001", "EA");
    line.centre.kill().unwrap();
    line.tryton.up().unwrap();
    line.centre.restart().unwrap();
    line.await_effects(180);
    assert_eq!(line.total(), before + 180);

    // Orders, of each of which one piece stays behind.
    let orders = line.orders(8);
    let left: i64 = orders.iter().enumerate().map(|(n, order)| line.ship(n, order, 1)).sum();
    line.await_first_effect(180);
    line.tryton.kill().unwrap();
    line.tryton.up().unwrap();
    line.centre.kill().unwrap();
    line.centre.restart().unwrap();
    line.await_effects(180 + orders.len());
    assert_eq!(line.total(), before + 180 - left);
    assert_eq!(line.groups(), []);
    line.site.stop().unwrap();
    line.centre.stop().unwrap();
}

/// PostgreSQL under the ERP ends as in a crash while events go.
fn a_restart_of_postgresql_is_one_incident(is_plain: bool, adjustments: u32) {
    let dir = tempfile::tempdir().unwrap();
    let kind = Kind { is_plain, is_postgresql: true };
    let mut line = Line::start_as(kind, dir.path(), "settle_ms = 500\n");
    let before = line.total();
    let log = || std::fs::read_to_string(dir.path().join("centre/aggregator.log")).unwrap();

    line.adjust(0..adjustments, "SKU-0001", "EA");
    let orders = line.orders(6);
    let left: i64 = orders.iter().enumerate().map(|(n, order)| line.ship(n, order, 1)).sum();
    line.await_first_effect(0);
    line.tryton.restart_database().unwrap();

    let count = usize::try_from(adjustments).unwrap() + orders.len();
    line.await_effects(count);
    assert_eq!(line.total(), before + i64::from(adjustments) - left);
    assert_eq!(line.groups(), []);
    await_that("the incident to end", WITHIN, || log().matches("destination resumed").count() == 1).unwrap();
    assert_eq!(log().matches("destination paused").count(), 1, "one incident");
    line.site.stop().unwrap();
    line.centre.stop().unwrap();
}

#[test]
fn postgresql_under_the_erp_restarts_and_nothing_is_doubled_or_missing() {
    a_restart_of_postgresql_is_one_incident(false, 600);
}

#[test]
#[ignore = "takes minutes: ./tests/faults runs it"]
fn postgresql_under_the_erp_restarts_and_without_the_module_nothing_is_doubled_or_missing() {
    a_restart_of_postgresql_is_one_incident(true, 150);
}

#[test]
fn what_is_lacking_parks_under_one_cause_and_is_released_by_adding_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut line = Line::start(dir.path(), "");
    let before = line.pieces("SKU-0004");

    assert!(line.centre.command(&["erp", "test"]).unwrap().contains("takes events"));
    line.adjust(0..30, "SKU-0004", "CS");
    line.adjust(30..35, "NO-SUCH-ITEM", "EA");
    line.adjust(35..85, "SKU-0004", "EA");

    // Neither holds up the others.
    line.await_effects(50);
    line.await_groups(&[("UNMAPPED_UNIT", 30), ("UNKNOWN_PRODUCT", 5)]);
    assert_eq!(line.pieces("SKU-0004"), before + 50);

    line.centre.stop().unwrap();
    line.centre.reconfigure(&format!("{}\n[consumer.units]\nCA = \"12 u\"\n", line.tryton.consumer("")));
    line.centre.restart().unwrap();
    line.await_effects(80);
    line.await_groups(&[("UNKNOWN_PRODUCT", 5)]);
    assert_eq!(line.pieces("SKU-0004"), before + 50 + 30 * 12);

    let skip = ["parked", "skip", "--code", "UNKNOWN_PRODUCT", "--reason", "never existed", "--by", "kim"];
    line.centre.command(&skip).unwrap();
    line.await_groups(&[]);
    line.site.stop().unwrap();
    line.centre.stop().unwrap();
}

#[test]
fn the_books_of_ledger_and_erp_are_compared_and_what_was_changed_in_the_erp_is_found_and_corrected() {
    let dir = tempfile::tempdir().unwrap();
    let line = Line::start(dir.path(), "");
    line.adjust(0..5, "SKU-0001", "EA");
    line.await_effects(5);
    let run = || -> Value { serde_json::from_str(&line.centre.command(&["recon", "run", "--json"]).unwrap()).unwrap() };
    let first = run();
    let tryton =
        |report: &Value| report["sides"].as_array().unwrap().iter().find(|s| s["side"] == "tryton").unwrap().clone();
    // No warehouse system has stated its stock: the ERP's own is the beginning.
    assert!(tryton(&first)["opened"].as_u64().unwrap() >= 200, "{first}");
    assert_eq!(first["drift"], 0);
    line.adjust(5..9, "SKU-0002", "EA");
    line.await_effects(9);
    // Somebody books seven more pieces in the ERP alone.
    let document = serde_json::json!({
        "key": "booked-by-hand", "event_id": "booked-by-hand", "kind": "adjusted", "site": "DC01", "date": "2026-11-23",
        "reference": null, "number": "HAND-1", "source": "by hand", "trace": "", "without_document": "move",
        "lines": [{"product": "SKU-0003", "quantity": "7", "unit": null, "lot": null, "location": null, "to_location": null,
                   "line": null, "short": null, "container": null}],
    });
    line.tryton.rpc().unwrap().call("model.docksync.event.apply", &[serde_json::json!([document])]).unwrap();
    let before = line.pieces("SKU-0003");

    let report = run();

    let drift = &report["drifts"].as_array().unwrap()[..];
    assert_eq!(drift.len(), 1, "{report}");
    assert_eq!((&drift[0]["item"], &drift[0]["unexplained"]), (&"SKU-0003".into(), &7_000_000.into()));
    let number = drift[0]["drift_no"].to_string();
    for act in ["propose", "approve"] {
        line.centre.command(&["recon", act, &number, "--by", "ann", "--reason", "booked by hand"]).unwrap();
    }
    await_that("the correction in the ERP", WITHIN, || line.pieces("SKU-0003") == before - 7).unwrap();
    let report = run();
    assert_eq!((report["drift"].as_u64(), report["closed"].to_string()), (Some(0), format!("[{number}]")));
}

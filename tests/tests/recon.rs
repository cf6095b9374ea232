//! Reconciliation on real processes: what is planted is named, what is decided is done, what is deleted comes back.
#![expect(clippy::unwrap_used, reason = "what a test cannot have, it cannot go on without")]

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use docksync_tests::{
    demo::{self, Options},
    harness::{DEADLINE, await_that, centre::Centre, site::Site},
};
use rusqlite::Connection;
use serde_json::Value;

fn run(centre: &Centre, more: &[&str]) -> Value {
    let said = centre.command(&[&["recon", "run", "--json"], more].concat()).unwrap();
    serde_json::from_str(&said).unwrap()
}

fn drifts(report: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = report["drifts"].as_array().unwrap().iter();
    lines.map(|line| (text(&line["side"]), text(&line["item"]), text(&line["cause"]["code"]))).collect()
}

fn adjust(site: &Site, number: u32, item: &str, pieces: i64) {
    let (sign, pieces) = (if pieces < 0 { "-" } else { "+" }, pieces.abs());
    let text = format!(
        "adj_no,line,when,sku,lot,qty,sign,uom,reason,note,status,user\n\
         A-{number},1,2026-11-23T09:00:00,{item},,{pieces},{sign},EA,CC{sign},,AVL,kim\n"
    );
    site.put("adjust", &format!("ADJ_{number:06}.csv"), &text).unwrap();
}

fn state(site: &Site, number: u32, stock: &[(&str, i64)]) {
    let mut text = String::from("report,as_of,sku,lot,status,on_hand,uom\n");
    for (item, pieces) in stock {
        text.push_str(&format!("N{number},2026-11-24T0{number}:00:00,{item},,available,{pieces},EA\n"));
    }
    site.put("snapshot", &format!("STOCK_{number:06}.csv"), &text).unwrap();
}

fn await_applied(centre: &Centre, count: u64) {
    await_that("the events in the destination's books", DEADLINE, || centre.applied_count().is_ok_and(|n| n >= count))
        .unwrap();
}

fn books(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    db.busy_timeout(DEADLINE).unwrap();
    db
}

#[test]
fn the_second_night_names_what_was_planted_by_day_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { run_for: None, cut: None, kill: false, erp: false, night: true, json: true };

    let outcome = demo::run(options, dir.path(), &Arc::new(AtomicBool::new(false)), &mut Vec::new()).unwrap();

    let recon = outcome.recon.as_ref().unwrap();
    assert_eq!(recon.found, recon.planted);
    assert_eq!(recon.planted.len(), 5);
    assert!(recon.explained > 0, "events were on their way");
    assert!(outcome.is_good(), "{outcome:?}");
}

#[test]
fn a_drift_is_corrected_by_two_persons_and_closes_when_it_is_exact() {
    let dir = tempfile::tempdir().unwrap();
    let settings = "[reconcile]\ndaily = \"never\"\napprove_above = 3\n";
    let centre = Centre::start(&dir.path().join("centre"), settings).unwrap();
    let site = Site::enrol_with_business("DC1", &dir.path().join("DC1"), &centre, centre.address("mqtt")).unwrap();
    state(&site, 1, &[("A", 50), ("B", 20)]);
    // Two lines, and the end of the statement.
    await_applied(&centre, 3);
    adjust(&site, 1, "A", 2);
    await_applied(&centre, 4);
    books(&centre.staging())
        .execute_batch("UPDATE docksync_stock SET quantity_micros = quantity_micros - 7000000 WHERE sku = 'A'")
        .unwrap();

    let report = run(&centre, &[]);
    assert_eq!(drifts(&report), [("erp".to_owned(), "A".to_owned(), "opening_balance".to_owned())]);
    let number = report["drifts"][0]["drift_no"].to_string();
    let decide =
        |act: &str, by: &str| centre.command(&["recon", act, &number, "--by", by, "--reason", "counted twice"]);
    decide("recount", "ann").unwrap();
    decide("propose", "ann").unwrap();
    assert!(decide("approve", "ann").unwrap_err().to_string().contains("two persons"));
    decide("approve", "bob").unwrap();
    await_that("the correction in the destination's books", DEADLINE, || {
        let read = "SELECT quantity_micros FROM docksync_stock WHERE sku = 'A'";
        books(&centre.staging()).query_row(read, [], |r| r.get::<_, i64>(0)).is_ok_and(|n| n == 2_000_000)
    })
    .unwrap();

    let report = run(&centre, &[]);

    assert_eq!((drifts(&report), report["closed"].to_string()), (vec![], format!("[{number}]")));
    let trace = centre.command(&["recon", "trace", "DC1", "A"]).unwrap();
    assert!(trace.contains("ADJ_000001.csv line 2"), "{trace}");
    let page = page(&centre, "/books");
    assert!(page.contains("Books: no drift") && page.contains("closed: #"), "{page}");
}

fn page(centre: &Centre, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let address = centre.address("page");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Files, and so events and batches, of which some are deleted.
const FILES: u32 = 100;

#[test]
fn what_was_deleted_from_the_ledger_behind_its_back_is_fetched_again_without_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let centre = Centre::start(&dir.path().join("centre"), "[reconcile]\ndaily = \"never\"\n").unwrap();
    let site = Site::enrol_with_business("DC1", &dir.path().join("DC1"), &centre, centre.address("mqtt")).unwrap();
    // One batch for each file: the next is exported when the one before has arrived.
    for n in 0..FILES {
        adjust(&site, n, &format!("ITEM-{n}"), 1);
        await_applied(&centre, u64::from(n) + 1);
    }
    run(&centre, &[]);
    let before = centre.command(&["recon", "stock", "DC1"]).unwrap();
    let deleted = books(&centre.ledger())
        .execute(
            "DELETE FROM batch WHERE batch_no IN (SELECT batch_no FROM batch WHERE count = 1 ORDER BY batch_no * 7919 % 101 LIMIT 37)",
            [],
        )
        .unwrap();
    assert_eq!(deleted, 37);

    let report = run(&centre, &[]);
    let complete = &report["complete"][0];
    assert_eq!((&complete["told"], &complete["have"]), (&FILES.into(), &(FILES - 37).into()), "{complete}");
    let holes = complete["holes"].as_array().unwrap().iter();
    let missing: u64 = holes.map(|h| h["last"].as_u64().unwrap() + 1 - h["first"].as_u64().unwrap()).sum();
    assert_eq!(missing, 37, "{complete}");

    await_that("the ledger to be whole again", DEADLINE, || {
        let report = run(&centre, &["--full"]);
        report["complete"][0]["have"] == FILES && report["complete"][0]["holes"].as_array().unwrap().is_empty()
    })
    .unwrap();
    assert_eq!(centre.command(&["recon", "stock", "DC1"]).unwrap(), before);
    assert_eq!(centre.applied_count().unwrap(), u64::from(FILES), "nothing was delivered twice");
    let found = centre.command(&["events", "find", "A-33"]).unwrap();
    assert!(found.contains("A-33") && found.contains("1 events"), "{found}");
}

#[test]
fn after_a_restore_the_books_are_compared_with_what_the_sites_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut centre = Centre::start(&dir.path().join("centre"), "[reconcile]\ndaily = \"never\"\n").unwrap();
    let site = Site::enrol_with_business("DC1", &dir.path().join("DC1"), &centre, centre.address("mqtt")).unwrap();
    state(&site, 1, &[("A", 50), ("B", 20)]);
    await_applied(&centre, 3);
    adjust(&site, 1, "A", 2);
    await_applied(&centre, 4);
    assert_eq!(drifts(&run(&centre, &[])), []);
    let copy = dir.path().join("backup.sqlite");
    centre.command(&["backup", copy.to_str().unwrap()]).unwrap();
    adjust(&site, 2, "A", 5);
    await_applied(&centre, 5);
    state(&site, 2, &[("A", 57), ("B", 20)]);
    await_applied(&centre, 8);
    assert_eq!(drifts(&run(&centre, &[])), []);

    centre.stop().unwrap();
    let ledger = centre.ledger();
    for end in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(format!("{}{end}", ledger.display())));
    }
    centre.command(&["restore", copy.to_str().unwrap()]).unwrap();
    // Before the site has sent again what is lost, what the destination has more is on no way that the ledger knows; nothing else is wrong.
    centre.restart().unwrap();
    await_that("the books to be whole and equal again", DEADLINE, || {
        let report = run(&centre, &["--full"]);
        let complete = &report["complete"][0];
        complete["have"].as_u64() >= Some(8) && complete["holes"] == serde_json::json!([]) && drifts(&report).is_empty()
    })
    .unwrap();
    adjust(&site, 3, "B", 1);
    await_applied(&centre, 9);
    let report = run(&centre, &[]);
    assert_eq!(drifts(&report), []);
    assert!(centre.command(&["recon", "stock", "DC1", "A"]).unwrap().contains("available: 57"), "{report}");
}

#[test]
fn a_run_that_was_killed_is_taken_up_and_one_beside_a_stopped_service_is_made_by_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let mut centre = Centre::start(&dir.path().join("centre"), "[reconcile]\ndaily = \"never\"\n").unwrap();
    let site = Site::enrol_with_business("DC1", &dir.path().join("DC1"), &centre, centre.address("mqtt")).unwrap();
    adjust(&site, 1, "A", 5);
    await_applied(&centre, 1);
    let state = dir.path().join("centre/state");
    let store = docksync_aggregator::reconcile::store::ReconStore::open(&state).unwrap();
    let is_done = |run_no| store.run(run_no).unwrap().unwrap().ended_ms.is_some();
    let has_begun = |run_no| store.run(run_no).unwrap().unwrap().started_ms.is_some();
    for n in 0..6 {
        let wish = docksync_aggregator::reconcile::store::Wish { by: "ann".to_owned(), ..Default::default() };
        let asked = store.ask(&wish, 1).unwrap();
        // Killed in whatever step it is at, or before it begins.
        if n % 2 == 0 {
            await_that("the run to begin", DEADLINE, || has_begun(asked)).unwrap();
        }
        centre.kill().unwrap();
        centre.restart().unwrap();
        await_that("the run to be done", DEADLINE, || is_done(asked)).unwrap();
        let report: Value = serde_json::from_str(&store.run(asked).unwrap().unwrap().report).unwrap();
        assert_eq!((drifts(&report), report["compared"].as_u64()), (vec![], Some(1)), "{report}");
    }

    centre.stop().unwrap();
    let report = run(&centre, &[]);
    assert_eq!((drifts(&report), report["compared"].as_u64()), (vec![], Some(1)));
}

//! What becomes of a drift, and when books are compared.

use super::*;

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

//! What is compared with what, and what explains a difference.

use super::*;

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

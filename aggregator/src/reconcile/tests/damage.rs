//! Holes and altered events: named, asked for, put back.

use super::*;

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

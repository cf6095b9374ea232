//! What destinations do to deliveries, on real processes: answers lost after the commit while the centre is killed, outages of every
//! kind, one document that is never taken. `./tests/faults` runs them at full size.
#![expect(clippy::unwrap_used, reason = "what a test cannot have, it cannot go on without")]

use std::time::{Duration, Instant};

use docksync_tests::harness::{
    DEADLINE, await_that,
    centre::Centre,
    destination::{DestinationDouble, Mode},
    site::Site,
    wms::Wms,
};

/// Full size is asked for by `./tests/faults`.
fn is_full() -> bool {
    std::env::var_os("DOCKSYNC_FAULTS_FULL").is_some()
}

struct Line {
    centre: Centre,
    site: Site,
    wms: Wms,
    double: DestinationDouble,
    dir: tempfile::TempDir,
}

impl Line {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let double = DestinationDouble::start().unwrap();
        let centre = Centre::start(&dir.path().join("centre"), &double.settings("api")).unwrap();
        let site = Site::enrol("DC1", &dir.path().join("DC1"), &centre, centre.address("mqtt")).unwrap();
        let wms = Wms::new("DC1", &site.export(), 1);
        Self { centre, site, wms, double, dir }
    }

    fn parked(&self) -> serde_json::Value {
        serde_json::from_str(&self.centre.command(&["parked", "list", "--json"]).unwrap()).unwrap()
    }

    /// Every document is there once; in each order they came as they were exported.
    fn has_each_once(&self, events: usize) {
        let documents = self.double.documents();
        let doubled: Vec<_> = documents.iter().filter(|(_, all)| all.len() != 1).collect();
        assert!(doubled.is_empty(), "{doubled:?}");
        assert_eq!((documents.len(), self.double.count()), (events, events));
    }

    fn end(mut self) {
        self.site.stop().unwrap();
        self.centre.stop().unwrap();
        drop(self.dir);
    }
}

#[test]
fn answers_lost_after_the_commit_double_nothing_though_the_centre_is_killed() {
    let (events, kill_every) =
        if is_full() { (10_000, Duration::from_secs(20)) } else { (4_000, Duration::from_millis(300)) };
    let mut line = Line::start();
    line.double.set(Mode::DropAnswers(5));
    line.wms.export(events).unwrap();
    let events = usize::try_from(events).unwrap();

    let deadline = Instant::now() + if is_full() { Duration::from_secs(1_800) } else { DEADLINE * 3 };
    let mut kills = 0;
    while line.double.count() < events {
        assert!(Instant::now() < deadline, "{} of {events} after {kills} kills", line.double.count());
        let goes_on = await_that("all documents", kill_every, || line.double.count() >= events);
        if goes_on.is_err() {
            line.centre.kill().unwrap();
            line.centre.restart().unwrap();
            kills += 1;
        }
    }
    // What was under way when the last answer was lost is settled by asking.
    line.double.set(Mode::Normal);
    let behind = |line: &Line| {
        let told = line.centre.command(&["consumers", "list", "--json"]).unwrap();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told.as_array().unwrap().iter().filter_map(|row| row["behind"].as_u64()).sum::<u64>()
    };
    await_that("nothing to be under way", DEADLINE, || behind(&line) == 0).unwrap();

    assert!(line.double.faults().0 > 0 && kills > 0, "{:?}, {kills} kills", line.double.faults());
    line.has_each_once(events);
    assert_eq!(line.parked(), serde_json::json!([]));
    line.end();
}

#[test]
fn an_outage_of_any_kind_parks_nothing_and_ends_by_itself() {
    let mut line = Line::start();
    let limit = "{\"error\":\"too many requests, slow down\"}".to_owned();
    let (mut expected, mut incidents) = (0, 0);
    for mode in
        [Mode::Refuse(401, "{}".to_owned()), Mode::Refuse(400, limit), Mode::Refuse(503, "{}".to_owned()), Mode::Hang]
    {
        line.double.set(mode.clone());
        line.wms.export(20).unwrap();
        let begun = |line: &Line| line.log().matches("destination paused").count();
        let before = incidents;
        await_that("the destination to be paused", DEADLINE, || begun(&line) > before).unwrap();
        incidents = begun(&line);
        assert_eq!(incidents, before + 1, "one incident each, {mode:?}");
        assert_eq!(line.parked(), serde_json::json!([]), "{mode:?}");
        assert_eq!(line.double.count(), expected, "{mode:?}");

        line.double.set(Mode::Normal);

        expected += 20;
        await_that("what waited to be there", DEADLINE, || line.double.count() >= expected).unwrap();
        await_that("the incident to end", DEADLINE, || line.log().matches("destination resumed").count() == incidents)
            .unwrap();
        line.has_each_once(expected);
    }
    line.end();
}

#[test]
fn one_document_that_is_never_taken_holds_up_its_followers_alone() {
    let events = if is_full() { 50_000 } else { 3_000 };
    let mut line = Line::start();
    // The second order: three picks, of which none may pass while the first is refused.
    let bad = "SO-100001".to_owned();
    line.double.set(Mode::Poison(bad.clone()));
    line.wms.export(events).unwrap();
    let events = usize::try_from(events).unwrap();

    await_that("all others to be there", DEADLINE * 10, || line.double.count() + 3 >= events).unwrap();

    await_that("one to be parked", DEADLINE, || line.parked().as_array().is_some_and(|all| all.len() == 1)).unwrap();
    assert_eq!(line.parked()[0]["code"], "UNKNOWN_ITEM");
    assert_eq!(line.double.faults().1, 1, "a judgement is not asked for twice");
    line.has_each_once(events - 3);
    line.double.set(Mode::Normal);
    line.centre
        .command(&["parked", "retry", "--code", "UNKNOWN_ITEM", "--reason", "item added", "--by", "kim"])
        .unwrap();
    await_that("the document and its followers", DEADLINE, || line.double.count() == events).unwrap();
    let followers: Vec<String> =
        line.double.orders().into_iter().filter(|(_, order)| *order == bad).map(|(key, _)| key).collect();
    let told: serde_json::Value =
        serde_json::from_str(&line.centre.command(&["events", "find", &bad, "--json"]).unwrap()).unwrap();
    let mut exported: Vec<(u64, String)> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["seq"].as_u64().unwrap(), e["event_id"].as_str().unwrap().to_owned()))
        .collect();
    exported.sort();
    assert_eq!(followers, exported.into_iter().map(|(_, id)| id).collect::<Vec<_>>(), "they go in the order of export");
    line.has_each_once(events);
    line.end();
}

impl Line {
    /// The centre's journal.
    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("centre/aggregator.log")).unwrap_or_default()
    }
}

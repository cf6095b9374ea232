//! SQL staging and HTTP destinations against real ones: a database file, and a server that commits and then does not answer.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use tokio::{runtime::Runtime, sync::Notify};

use super::{
    http::{HttpConsumer, Meaning, Profile, Rule},
    sql::SqlConsumer,
    *,
};
use crate::{
    deliver::{
        board::Board,
        deliverer::{Deliverer, RECHECK_EVERY_MS, Step},
    },
    ledger::{
        Reads as _, Store,
        conformance::{Stream, receipt},
        sqlite::SqliteStore,
    },
};

fn ledger(dir: &std::path::Path, events: usize) -> SqliteStore {
    let mut store = SqliteStore::open(&dir.join("ledger.sqlite"), Arc::new(|| 1)).unwrap();
    let mut stream = Stream::new("DC01", 1);
    let all: Vec<Event> =
        (0..events).map(|n| receipt("DC01", &format!("R-{n}"), &format!("SKU-{}", n % 100), 1)).collect();
    let appends: Vec<_> = all.chunks(500).map(|part| stream.batch(part)).collect();
    store.commit(&appends, &[]).unwrap();
    store
}

/// Steps until nothing is left to do, on a clock that jumps to the next try.
fn settle<C: Consumer>(deliverer: &mut Deliverer<SqliteStore, C>) {
    let mut now_ms = 0;
    for _ in 0..10_000 {
        match deliverer.step(now_ms).unwrap() {
            Step::Worked => now_ms += 1,
            Step::Idle { until_ms: Some(until) } | Step::Paused { until_ms: until } => now_ms = until,
            Step::Idle { until_ms: None } => return,
        }
    }
    panic!("the deliveries never came to rest");
}

#[test]
fn staging_holds_each_event_once_and_its_speed_is_printed() {
    const EVENTS: usize = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let staging = dir.path().join("staging.sqlite");
    let store = ledger(dir.path(), EVENTS);
    let board = Board::new(["staging".to_owned()]);
    let consumer = SqlConsumer::open(&staging).unwrap();
    let mut deliverer = Deliverer::open("staging", store, consumer, board.clone(), 1).unwrap();

    let start = Instant::now();
    settle(&mut deliverer);
    let took = start.elapsed();

    println!("staging: {EVENTS} events in {took:?}, {:.0}/s", EVENTS as f64 / took.as_secs_f64());
    let conn = rusqlite::Connection::open(&staging).unwrap();
    let one = |text: &str| conn.query_row(text, [], |r| r.get::<_, i64>(0)).unwrap();
    assert_eq!(one("SELECT count(*) FROM docksync_event"), 10_000);
    assert_eq!(one("SELECT sum(quantity_micros) FROM docksync_stock"), 10_000_000_000);
    assert_eq!(one("SELECT site_seq FROM docksync_cursor"), 10_000);
    assert_eq!(one("SELECT json ->> 'site_seq' = 1 FROM docksync_event WHERE site_seq = 1"), 1);
    assert_eq!(board.applied(&docksync_proto::site::SiteId::new("DC01").unwrap(), 1), Some(10_000));
}

#[test]
fn a_second_delivery_to_staging_has_no_effect() {
    let dir = tempfile::tempdir().unwrap();
    let staging = dir.path().join("staging.sqlite");
    for name in ["a", "b"] {
        let store = if name == "a" {
            ledger(dir.path(), 5)
        } else {
            SqliteStore::open(&dir.path().join("ledger.sqlite"), Arc::new(|| 1)).unwrap()
        };
        let mut deliverer =
            Deliverer::open(name, store, SqlConsumer::open(&staging).unwrap(), Board::default(), 1).unwrap();
        settle(&mut deliverer);
    }

    let conn = rusqlite::Connection::open(&staging).unwrap();
    let sum: i64 = conn.query_row("SELECT sum(quantity_micros) FROM docksync_stock", [], |r| r.get(0)).unwrap();
    assert_eq!(sum, 5_000_000);
}

#[derive(Default)]
struct Erp {
    documents: Mutex<BTreeMap<String, Vec<String>>>,
    script: Mutex<VecDeque<&'static str>>,
    /// What it does to every call when the script is at its end.
    fault: Mutex<Option<&'static str>>,
    never: Notify,
}

async fn take(State(erp): State<Arc<Erp>>, headers: HeaderMap) -> (StatusCode, HeaderMap, String) {
    let key = headers["Idempotency-Key"].to_str().unwrap().to_owned();
    assert!(headers.contains_key("traceparent"));
    let scripted = erp.script.lock().unwrap().pop_front();
    let turn = scripted.or(*erp.fault.lock().unwrap()).unwrap_or("take");
    let commit = || erp.documents.lock().unwrap().entry(key.clone()).or_default().push("x".to_owned());
    let answer = |status: u16, body: &str| (StatusCode::from_u16(status).unwrap(), HeaderMap::new(), body.to_owned());
    match turn {
        "commit, no answer" => {
            commit();
            erp.never.notified().await;
            answer(200, "")
        }
        "no answer" => {
            erp.never.notified().await;
            answer(200, "")
        }
        "limit" => {
            let mut headers = HeaderMap::new();
            headers.insert("Retry-After", "7".parse().unwrap());
            (StatusCode::TOO_MANY_REQUESTS, headers, String::new())
        }
        "unauthorised" => answer(401, ""),
        "too many" => answer(400, r#"{"error":{"code":"SSS_REQUEST_LIMIT_EXCEEDED"}}"#),
        "busy" => answer(503, ""),
        "closed" => answer(422, "the period is closed"),
        "reject" => answer(422, r#"{"code":"E021","message":"item not found"}"#),
        _ => {
            commit();
            answer(201, &format!(r#"{{"id":"DOC-{}"}}"#, &key[..4]))
        }
    }
}

async fn find(State(erp): State<Arc<Erp>>, Path(key): Path<String>) -> (StatusCode, String) {
    let is_mute = *erp.fault.lock().unwrap() == Some("no answer");
    if is_mute {
        erp.never.notified().await;
    }
    if erp.documents.lock().unwrap().contains_key(&key) {
        (StatusCode::OK, r#"{"id":"FOUND"}"#.to_owned())
    } else {
        (StatusCode::NOT_FOUND, String::new())
    }
}

fn serve(runtime: &Runtime, erp: Arc<Erp>) -> String {
    let app = Router::new().route("/events", post(take)).route("/events/{key}", get(find)).with_state(erp);
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/events")
}

fn profile(url: &str) -> Profile {
    Profile {
        method: reqwest::Method::POST,
        url: template::Template::parse(url).unwrap(),
        headers: Vec::new(),
        body: template::Template::parse("{event}").unwrap(),
        look_up_url: Some(template::Template::parse(&format!("{url}/{{key}}")).unwrap()),
        look_up_pointer: String::new(),
        document_header: None,
        is_idempotent: false,
        document_pointer: "/id".to_owned(),
        code_pointer: "/code".to_owned(),
        authorization: None,
        rules: vec![Rule {
            status: Some(422),
            body: Some(regex::Regex::new("period is closed").unwrap()),
            meaning: Meaning::Fault(FaultClass::ClosedPeriod),
        }],
        timeout: Duration::from_millis(300),
        settle: Duration::from_millis(600),
        concurrency: 4,
    }
}

#[test]
fn a_destination_that_commits_and_does_not_answer_gets_each_event_once() {
    let runtime = Runtime::new().unwrap();
    let script = ["commit, no answer", "limit", "no answer", "closed", "reject", "take", "commit, no answer"];
    let erp = Arc::new(Erp { script: Mutex::new(script.into()), ..Erp::default() });
    let url = serve(&runtime, Arc::clone(&erp));
    let dir = tempfile::tempdir().unwrap();
    let store = ledger(dir.path(), 12);
    let consumer = HttpConsumer::new(profile(&url), runtime.handle().clone()).unwrap();
    let mut deliverer = Deliverer::open("erp", store, consumer, Board::new(["erp".to_owned()]), 1).unwrap();

    settle(&mut deliverer);
    drop(deliverer);

    let store = SqliteStore::open(&dir.path().join("ledger.sqlite"), Arc::new(|| 1)).unwrap();
    let parked = Store::reads(&store).parked(10).unwrap();
    let documents = erp.documents.lock().unwrap();
    assert_eq!(parked.iter().map(|p| p.code.as_str()).collect::<Vec<_>>(), ["E021"]);
    assert!(parked[0].reason.contains("item not found"), "{}", parked[0].reason);
    assert_eq!(documents.len(), 11);
    assert!(documents.values().all(|made| made.len() == 1), "{documents:?}");
    assert_eq!(Store::reads(&store).cursors().unwrap()[0].seq, 12);
    runtime.shutdown_background();
}

#[test]
fn a_destination_that_is_not_there_is_an_outage_and_no_attempt() {
    let runtime = Runtime::new().unwrap();
    // A port that was free a moment ago, and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = ledger(dir.path(), 1);
    let consumer = HttpConsumer::new(profile(&format!("http://{free}/events")), runtime.handle().clone()).unwrap();
    let board = Board::new(["erp".to_owned()]);
    let mut deliverer = Deliverer::open("erp", store, consumer, board.clone(), 1).unwrap();

    let mut now_ms = 0;
    for _ in 0..12 {
        if let Step::Paused { until_ms: until } = deliverer.step(now_ms).unwrap() {
            now_ms = until;
        }
    }

    let incidents = board.incidents();
    assert_eq!(incidents["erp"].class, FaultClass::Outage);
    assert!(incidents["erp"].failures >= 5, "{incidents:?}");
    drop(deliverer);
    let store = SqliteStore::open(&dir.path().join("ledger.sqlite"), Arc::new(|| 1)).unwrap();
    assert!(Store::reads(&store).parked(10).unwrap().is_empty());
}

#[test]
fn an_hour_of_any_fault_is_one_incident_parks_nothing_and_flows_again_within_half_a_minute() {
    const HOUR_MS: i64 = 3_600_000;
    let faults = [
        ("unauthorised", FaultClass::Auth),
        ("too many", FaultClass::Limit),
        ("busy", FaultClass::Outage),
        ("no answer", FaultClass::Outage),
    ];
    let runtime = Runtime::new().unwrap();
    let limit = regex::Regex::new("REQUEST_LIMIT_EXCEEDED").unwrap();
    for (fault, class) in faults {
        let erp = Arc::new(Erp { fault: Mutex::new(Some(fault)), ..Erp::default() });
        let url = serve(&runtime, Arc::clone(&erp));
        let dir = tempfile::tempdir().unwrap();
        // What answers may take its time on a busy machine; what does not is waited for some hundred times.
        let timeout = Duration::from_millis(if fault == "no answer" { 20 } else { 10_000 });
        let mut profile = Profile { timeout, ..profile(&url) };
        profile.rules.push(Rule {
            status: Some(400),
            body: Some(limit.clone()),
            meaning: Meaning::Fault(FaultClass::Limit),
        });
        let consumer = HttpConsumer::new(profile.clone(), runtime.handle().clone()).unwrap();
        let board = Board::new(["erp".to_owned()]);
        let mut deliverer = Deliverer::open("erp", ledger(dir.path(), 20), consumer, board.clone(), 1).unwrap();

        let (mut now_ms, mut tried_ms, mut begun) = (0, 0, Vec::new());
        while now_ms < HOUR_MS {
            tried_ms = now_ms;
            now_ms = match deliverer.step(now_ms).unwrap() {
                Step::Worked => now_ms + 1,
                Step::Paused { until_ms } | Step::Idle { until_ms: Some(until_ms) } => until_ms,
                Step::Idle { until_ms: None } => panic!("{fault}: nothing is left to do"),
            };
            begun.extend(board.incidents().get("erp").map(|incident| (incident.since_ms, incident.class)));
        }
        begun.dedup();
        assert!(erp.documents.lock().unwrap().is_empty(), "{fault}");
        assert_eq!(begun.len(), 1, "{fault}: {begun:?}");
        assert_eq!(begun[0].1, class, "{fault}");

        *erp.fault.lock().unwrap() = None;
        while erp.documents.lock().unwrap().is_empty() {
            now_ms = match deliverer.step(now_ms).unwrap() {
                Step::Worked => now_ms + 1,
                Step::Paused { until_ms } | Step::Idle { until_ms: Some(until_ms) } => until_ms,
                Step::Idle { until_ms: None } => panic!("{fault}: nothing flows"),
            };
        }
        // It recovers in the moment after a try failed: the longest wait there is.
        assert!(now_ms <= tried_ms + 30_000, "{fault}: tried at {tried_ms}, flows again at {now_ms}");
        while deliverer.step(now_ms).unwrap() != (Step::Idle { until_ms: None }) {
            now_ms += 1_000;
        }

        drop(deliverer);
        let store = SqliteStore::open(&dir.path().join("ledger.sqlite"), Arc::new(|| 1)).unwrap();
        let documents = erp.documents.lock().unwrap();
        assert!(documents.len() == 20 && documents.values().all(|made| made.len() == 1), "{fault}: {documents:?}");
        assert!(Store::reads(&store).parked(10).unwrap().is_empty(), "{fault}");
    }
    runtime.shutdown_background();
}

/// Refuses everything under a code until it knows what it lacked.
struct Lacking {
    code: &'static str,
    knows: Arc<std::sync::atomic::AtomicBool>,
    applied: Arc<Mutex<Vec<String>>>,
}

impl Consumer for Lacking {
    fn capability(&self) -> Capability {
        Capability::OwnKey
    }
    fn is_ordered(&self) -> bool {
        false
    }
    fn heals(&self, code: &str) -> Heals {
        erp::heals(code)
    }
    fn batch_max(&self) -> usize {
        10
    }
    fn apply(&mut self, batch: &[Delivery]) -> Vec<Outcome> {
        let apply = |delivery: &Delivery| {
            if !self.knows.load(std::sync::atomic::Ordering::Relaxed) {
                return Outcome::Rejected { code: self.code.to_owned(), reason: "lacking".to_owned() };
            }
            self.applied.lock().unwrap().push(delivery.event.correlation_id.clone());
            Outcome::Applied(String::new())
        };
        batch.iter().map(apply).collect()
    }
    fn look_up(&mut self, _: &Delivery) -> LookUp {
        LookUp::Absent
    }
}

#[test]
fn what_the_configuration_lacked_goes_again_at_the_next_start_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (knows, applied): (Arc<std::sync::atomic::AtomicBool>, Arc<Mutex<Vec<String>>>) = Default::default();
    let lacking = |code| Lacking { code, knows: knows.clone(), applied: applied.clone() };
    let mut first =
        Deliverer::open("erp", ledger(dir.path(), 5), lacking("UNMAPPED_UNIT"), Board::default(), 1).unwrap();
    settle(&mut first);
    drop(first);
    knows.store(true, std::sync::atomic::Ordering::Relaxed);

    let store = SqliteStore::open(&dir.path().join("ledger.sqlite"), Arc::new(|| 1)).unwrap();
    assert_eq!(store.reads().parked(10).unwrap().len(), 5);
    let mut second = Deliverer::open("erp", store, lacking("UNMAPPED_UNIT"), Board::default(), 1).unwrap();
    settle(&mut second);

    assert_eq!(*applied.lock().unwrap(), ["R-0", "R-1", "R-2", "R-3", "R-4"]);
}

#[test]
fn what_the_destination_did_not_know_is_tried_again_in_time_and_other_refusals_are_not() {
    for (code, expected) in [("UNKNOWN_PRODUCT", 5), ("UNKNOWN_OUTCOME", 0), ("QUANTITY", 0)] {
        let dir = tempfile::tempdir().unwrap();
        let (knows, applied): (Arc<std::sync::atomic::AtomicBool>, Arc<Mutex<Vec<String>>>) = Default::default();
        let lacking = Lacking { code, knows: knows.clone(), applied: applied.clone() };
        let mut deliverer = Deliverer::open("erp", ledger(dir.path(), 5), lacking, Board::default(), 1).unwrap();
        settle(&mut deliverer);
        knows.store(true, std::sync::atomic::Ordering::Relaxed);

        deliverer.step(RECHECK_EVERY_MS / 2).unwrap();
        assert_eq!(applied.lock().unwrap().len(), 0, "{code}: it was asked a moment ago");
        while deliverer.step(RECHECK_EVERY_MS * 2).unwrap() == Step::Worked {}

        assert_eq!(applied.lock().unwrap().len(), expected, "{code}");
    }
}

#[test]
fn a_paused_destination_gets_nothing_until_it_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let (knows, applied): (Arc<std::sync::atomic::AtomicBool>, Arc<Mutex<Vec<String>>>) = Default::default();
    knows.store(true, std::sync::atomic::Ordering::Relaxed);
    let pause = |reason: Option<&str>| crate::ledger::Change::Pause {
        consumer: "erp".to_owned(),
        reason: reason.map(str::to_owned),
        by: "kim".to_owned(),
    };
    let mut store = ledger(dir.path(), 5);
    store.change(&[pause(Some("upgrade"))]).unwrap();
    let lacking = Lacking { code: "", knows, applied: applied.clone() };
    let mut deliverer = Deliverer::open("erp", store, lacking, Board::default(), 1).unwrap();

    let stepped = deliverer.step(1).unwrap();
    let before = applied.lock().unwrap().len();
    let mut other = SqliteStore::open(&dir.path().join("ledger.sqlite"), Arc::new(|| 1)).unwrap();
    other.change(&[pause(None)]).unwrap();
    settle(&mut deliverer);

    assert!(matches!(stepped, Step::Paused { until_ms } if until_ms > 1));
    assert_eq!((before, applied.lock().unwrap().len()), (0, 5));
}

/// Notes what it is given and knows none of it.
struct Stranger(Arc<Mutex<Vec<String>>>);

impl Consumer for Stranger {
    fn capability(&self) -> Capability {
        Capability::OwnKey
    }
    fn is_ordered(&self) -> bool {
        false
    }
    fn heals(&self, code: &str) -> Heals {
        erp::heals(code)
    }
    fn batch_max(&self) -> usize {
        10
    }
    fn apply(&mut self, batch: &[Delivery]) -> Vec<Outcome> {
        let apply = |delivery: &Delivery| {
            self.0.lock().unwrap().push(delivery.event.correlation_id.clone());
            Outcome::Rejected { code: "UNKNOWN_PRODUCT".to_owned(), reason: "lacking".to_owned() }
        };
        batch.iter().map(apply).collect()
    }
    fn look_up(&mut self, _: &Delivery) -> LookUp {
        LookUp::Absent
    }
}

#[test]
fn events_that_never_heal_do_not_keep_others_from_being_tried() {
    use std::sync::atomic::{AtomicI64, Ordering};
    let dir = tempfile::tempdir().unwrap();
    drop(ledger(dir.path(), 45));
    let (clock, tried): (Arc<AtomicI64>, Arc<Mutex<Vec<String>>>) = Default::default();
    let now = Arc::clone(&clock);
    let path = dir.path().join("ledger.sqlite");
    let store = SqliteStore::open(&path, Arc::new(move || now.load(Ordering::Relaxed))).unwrap();
    let mut deliverer = Deliverer::open("erp", store, Stranger(tried.clone()), Board::default(), 1).unwrap();
    settle(&mut deliverer);
    tried.lock().unwrap().clear();

    for round in 1..=3 {
        let now_ms = RECHECK_EVERY_MS * 2 * round;
        clock.store(now_ms, Ordering::Relaxed);
        while deliverer.step(now_ms).unwrap() == Step::Worked {}
    }

    let tried: std::collections::BTreeSet<String> = tried.lock().unwrap().iter().cloned().collect();
    assert_eq!(tried.len(), 45, "three rounds of twenty reach every one");
}

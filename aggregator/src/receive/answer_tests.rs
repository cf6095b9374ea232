use docksync_proto::fate::QUESTION_EVENTS_MAX;

use super::*;
use crate::ledger::{
    Change, Clock, CursorRow, IncidentRow, OpKind, Store as _,
    conformance::{Stream, receipt},
    sqlite::SqliteStore,
};

struct Books {
    store: SqliteStore,
    stream: Stream,
    dir: tempfile::TempDir,
}

impl Books {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Clock = Arc::new(|| 1_000);
        let store = SqliteStore::open(&dir.path().join("ledger.sqlite"), clock).unwrap();
        Self { store, stream: Stream::new("DC01", 1), dir }
    }

    /// Stores receipts, one of each quantity, in one batch.
    fn store(&mut self, documents: &[(&str, i64)]) {
        let events: Vec<_> = documents.iter().map(|(number, n)| receipt("DC01", number, "SKU-1", *n)).collect();
        self.store.commit(&[self.stream.batch(&events)], &[]).unwrap();
    }

    fn delivery(&mut self, loc: Loc, stage: Stage, code: &str, reason: &str) {
        let (code, reason) = (code.to_owned(), reason.to_owned());
        let site = self.stream.site().clone();
        let row =
            DeliveryRow { consumer: "erp".into(), site, loc, lane: 1, stage, attempts: 1, code, reason, at_ms: 0 };
        self.store.change(&[Change::Delivery(row)]).unwrap();
    }

    fn settle(&mut self, loc: Loc) {
        let site = self.stream.site().clone();
        let seq = loc.index() as u64 + 1;
        self.store.change(&[Change::Cursor(CursorRow { consumer: "erp".into(), site, loc, epoch: 1, seq })]).unwrap();
    }

    fn ask(&self, epoch: u32, first: u64, last: u64, erps: &[&str]) -> Answer {
        let erps: Vec<String> = erps.iter().map(|name| (*name).to_owned()).collect();
        let question = Question { epoch, session: 7, first, last };
        answer(self.store.reads(), self.stream.site(), &question, &erps).unwrap().unwrap()
    }

    /// State, text and whether it is a repeat of each event at the ERP.
    fn told(&self, first: u64, last: u64) -> Vec<(FateState, String, bool)> {
        let fates = self.ask(1, first, last, &["erp"]).fates;
        fates.into_iter().map(|fate| (fate.state, fate.text, fate.is_repeat)).collect()
    }
}

fn told(state: FateState, text: &str) -> (FateState, String, bool) {
    (state, text.to_owned(), false)
}

#[test]
fn each_event_is_told_with_its_number_its_reason_or_that_it_is_on_its_way() {
    let mut books = Books::new();
    books.store(&[("R-1", 1), ("R-2", 2), ("R-3", 3), ("R-4", 4), ("R-5", 5)]);
    let document = Change::Document { consumer: "erp".into(), loc: Loc::new(1, 0), document: "D-7".into() };
    books.store.change(&[document]).unwrap();
    books.delivery(Loc::new(1, 1), Stage::Parked, "UNKNOWN_ITEM", "no such item");
    books.delivery(Loc::new(1, 2), Stage::Held, "", "");
    books.settle(Loc::new(1, 3));

    let found = books.told(1, 6);

    let wanted = [
        told(FateState::Applied, "D-7"),
        told(FateState::Parked, "UNKNOWN_ITEM: no such item"),
        told(FateState::Behind, ""),
        told(FateState::Applied, ""),
        told(FateState::OnTheWay, ""),
        told(FateState::NotHeld, ""),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn what_a_person_left_out_is_not_told_as_being_in_the_erp() {
    let mut books = Books::new();
    books.store(&[("R-1", 1), ("R-2", 2)]);
    let ask = |loc, kind| Change::Ask { target: "erp".into(), kind, loc, reason: "no".into(), by: "kim".into() };
    books.store.change(&[ask(Loc::new(1, 0), OpKind::Skip), ask(Loc::new(1, 1), OpKind::Retry)]).unwrap();
    for op_id in [1, 2] {
        books.store.change(&[Change::Answer { op_id, done: true, result: "done".into() }]).unwrap();
    }
    books.settle(Loc::new(1, 1));

    let found = books.told(1, 2);

    assert_eq!(found, [told(FateState::LeftOut, "by head office"), told(FateState::Applied, "")]);
}

#[test]
fn what_was_not_admitted_waits_for_a_person_even_without_an_erp() {
    let mut books = Books::new();
    books.store(&[("R-1", 5)]);
    books.store(&[("R-1", 6)]);

    let fates = books.ask(1, 1, 2, &[]).fates;

    assert_eq!((fates[0].state, fates[1].state), (FateState::NoErp, FateState::Parked));
    assert!(fates[1].text.starts_with("REVISED_DOCUMENT: "), "{}", fates[1].text);
}

#[test]
fn a_repeat_is_told_of_the_fact_that_counts_and_a_test_of_nothing() {
    let mut books = Books::new();
    books.store(&[("R-1", 5), ("R-2", 5)]);
    books.store(&[("R-1", 6)]);
    let mut test = receipt("DC01", "R-3", "SKU-1", 5);
    test.interchange.usage = "T".to_owned();
    let number = |loc, document: &str| Change::Document { consumer: "erp".into(), loc, document: document.into() };
    books.settle(Loc::new(1, 1));
    books.store.change(&[number(Loc::new(1, 0), "D-1"), number(Loc::new(1, 1), "D-2")]).unwrap();
    // The same facts once more, in the numbers that a new epoch gives them; the second version of R-1 waits for a person.
    let mut again = Stream::new("DC01", 2);
    let events = [receipt("DC01", "R-2", "SKU-1", 5), receipt("DC01", "R-1", "SKU-1", 6), test];
    books.store.commit(&[again.batch(&events)], &[]).unwrap();

    let fates = books.ask(2, 1, 3, &["erp"]).fates;

    let found: Vec<_> = fates.iter().map(|fate| (fate.state, fate.is_repeat)).collect();
    assert_eq!(found, [(FateState::Applied, true), (FateState::Parked, true), (FateState::Test, false)]);
    assert_eq!(fates[0].text, "D-2");
}

#[test]
fn why_the_erp_takes_nothing_is_told_with_what_is_on_its_way() {
    let mut books = Books::new();
    books.store(&[("R-1", 5)]);
    let incident = |until_ms| {
        let (consumer, class, reason) = ("erp".into(), "outage".into(), "connection refused".into());
        Change::Incident(IncidentRow { consumer, class, reason, since_ms: 1, failures: 3, until_ms })
    };

    books.store.change(&[incident(None)]).unwrap();
    let halted = books.told(1, 1);
    books.store.change(&[incident(Some(2))]).unwrap();
    let pause = Change::Pause { consumer: "erp".into(), reason: Some("upgrade".into()), by: "kim".into() };
    books.store.change(&[pause]).unwrap();
    let paused = books.told(1, 1);

    assert_eq!(halted, [told(FateState::OnTheWay, "the ERP does not answer head office")]);
    assert_eq!(paused, [told(FateState::OnTheWay, "head office has paused it")]);
}

#[test]
fn every_erp_is_told_of_and_no_other_consumer() {
    let mut books = Books::new();
    books.store(&[("R-1", 5)]);
    let number =
        |consumer: &str| Change::Document { consumer: consumer.into(), loc: Loc::new(1, 0), document: "X".into() };
    books.settle(Loc::new(1, 0));
    books.store.change(&[number("erp"), number("analytics")]).unwrap();

    let fates = books.ask(1, 1, 1, &["erp", "other"]).fates;

    let found: Vec<_> = fates.iter().map(|fate| (fate.destination.as_str(), fate.state)).collect();
    assert_eq!(found, [("erp", FateState::Applied), ("other", FateState::OnTheWay)]);
}

#[test]
fn an_answer_is_bounded_and_goes_over_the_bounds_of_batches() {
    let mut books = Books::new();
    let names: Vec<String> = (0..150).map(|n| format!("R-{n}")).collect();
    for half in names.chunks(70) {
        let documents: Vec<(&str, i64)> = half.iter().map(|name| (name.as_str(), 1)).collect();
        books.store(&documents);
    }

    let answer = books.ask(1, 60, u64::MAX, &["erp"]);

    assert_eq!((answer.first, answer.last), (60, 60 + QUESTION_EVENTS_MAX - 1));
    let held: Vec<u64> =
        answer.fates.iter().filter(|fate| fate.state != FateState::NotHeld).map(|fate| fate.seq).collect();
    assert_eq!(held, (60..=150).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_site_has_one_question_at_a_time_and_not_one_behind_the_other() {
    let mut books = Books::new();
    books.store(&[("R-1", 5)]);
    let path = books.dir.path().join("ledger.sqlite");
    let (answering, start) = (Answering::new(["erp".to_owned()]), Instant::now());
    let site = books.stream.site().clone();
    let question = Question { epoch: 1, session: 7, first: 1, last: 1 };
    let mut questions = Questions::default();

    assert!(questions.take(&answering, &path, (&site, question), start));
    assert!(!questions.take(&answering, &path, (&site, question), start + EVERY), "one is under way");
    let answer = questions.next().await.unwrap();
    assert!(!questions.take(&answering, &path, (&site, question), start), "it comes too soon");
    assert!(!questions.is_busy());
    assert!(questions.take(&answering, &path, (&site, question), start + EVERY));

    assert!(answer.is_to(&question) && answer.fates[0].state == FateState::OnTheWay);
}

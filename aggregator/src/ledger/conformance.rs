//! What every store must do, as functions over a factory: each store's tests call [`all`].
//!
//! # Panics
//! Every function panics where the store does not hold to the rule in its name.

use docksync_proto::{
    codec::{BatchEncoder, Decoded},
    event::{Action, Event, EventTime, EventType, Line, RefKind, Reference},
    frame::BatchHead,
    identity::{Chain, Incarnation},
    site::SiteId,
};
use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{
    Append, Change, CursorRow, DeliveryRow, LedgerError, LinkRow, Loc, OpKind, Reads as _, RefusalState, Stage, Store,
    audit::{self, Entry},
};
use crate::admit::admit;

/// A site that makes batches, as an agent would.
#[derive(Debug)]
pub struct Stream {
    site: SiteId,
    epoch: u32,
    next: u64,
    chain: Chain,
}

impl Stream {
    /// An empty stream.
    pub fn new(site: &str, epoch: u32) -> Self {
        let site = SiteId::new(site).expect("the suite names sites rightly");
        let chain = Chain::start(&site, Incarnation([epoch.to_le_bytes()[0]; 16]));
        Self { site, epoch, next: 1, chain }
    }

    /// Its site.
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    /// The next batch of the stream, judged as [`crate::admit`] judges.
    pub fn batch(&mut self, events: &[Event]) -> Append {
        let mut encoder = BatchEncoder::new();
        let (first, chain_before) = (self.next, self.chain);
        let mut decoded = Vec::with_capacity(events.len());
        for event in events {
            let (id, digests) = encoder.push(event);
            self.chain = self.chain.next(self.next, id, &digests.payload);
            self.next += 1;
            decoded.push(Decoded { event: event.clone(), id, digests });
        }
        let count = encoder.len();
        let verdicts = decoded.iter().map(|d| admit(d, &self.site)).collect();
        Append {
            site: self.site.clone(),
            head: BatchHead { epoch: self.epoch, session: 0, first, count, chain_before, chain_after: self.chain },
            columns: encoder.finish().expect("the suite makes small batches"),
            events: decoded,
            verdicts,
        }
    }
}

/// A receipt of one item, good to be admitted.
pub fn receipt(site: &str, number: &str, sku: &str, quantity: i64) -> Event {
    let site = SiteId::new(site).expect("the suite names sites rightly");
    let at = Timestamp::UNIX_EPOCH;
    let mut event = Event::new(EventType::ReceiptConfirmed, site, EventTime::utc(at), at);
    event.correlation_id = number.to_owned();
    event.references = vec![Reference { kind: RefKind::Receipt, value: number.to_owned(), date: None }];
    let mut line = Line { qty_received: Some(Decimal::from(quantity)), ..Line::default() };
    line.item.sku = sku.to_owned();
    event.lines = vec![line];
    event.source.file_name = "receipts.csv".to_owned();
    event
}

/// Every rule, each on a store of its own.
pub fn all<S: Store>(mut make: impl FnMut() -> S) {
    resent_events_are_duplicates(make());
    declared_corrections_move_only_the_difference(make());
    withdrawals_leave_nothing(make());
    undeclared_versions_wait_for_a_person(make());
    a_good_version_supersedes_a_refused_one(make());
    tests_and_strangers_do_not_occupy_an_id(make());
    batches_follow_their_chain(make());
    a_failed_write_leaves_nothing(make());
    texts_find_their_batches(make());
    links_and_cursors_come_back(make());
    decisions_reach_every_consumer(make());
    the_audit_trail_is_a_chain(make());
    a_pause_lasts_until_it_is_taken_back(make());
}

fn a_pause_lasts_until_it_is_taken_back<S: Store>(mut store: S) {
    let pause = |reason: Option<&str>| Change::Pause {
        consumer: "erp".to_owned(),
        reason: reason.map(str::to_owned),
        by: "kim".to_owned(),
    };
    store.change(&[pause(Some("upgrade"))]).expect("it is paused");
    let paused = store.reads().paused("erp").expect("it is read");
    let other = store.reads().paused("staging").expect("it is read");
    store.change(&[pause(None)]).expect("it is resumed");
    let resumed = store.reads().paused("erp").expect("it is read");
    let acts: Vec<String> =
        store.reads().audit_rows(1, 10).expect("the trail is read").into_iter().map(|row| row.entry.act).collect();

    assert_eq!((paused.as_deref(), other, resumed), (Some("kim: upgrade"), None, None));
    assert_eq!(acts, ["pause", "resume"]);
}

fn on_hand<S: Store>(store: &S, site: &str, sku: &str) -> i64 {
    let site = SiteId::new(site).expect("the suite names sites rightly");
    let rows = store.reads().balances(&site).expect("balances are read");
    rows.iter().filter(|r| r.sku == sku).map(|r| r.micros / 1_000_000).sum()
}

fn commit<S: Store>(store: &mut S, append: Append) -> super::Committed {
    store.commit(&[append], &[]).expect("the batch is stored")[0]
}

fn resent_events_are_duplicates<S: Store>(mut store: S) {
    let (mut one, mut two) = (Stream::new("DC01", 1), Stream::new("DC01", 2));
    let events = [receipt("DC01", "R-1", "SKU-1", 5), receipt("DC01", "R-2", "SKU-1", 7)];

    let first = commit(&mut store, one.batch(&events));
    let again = store.commit(&[two.batch(&events), two.batch(&events)], &[]).expect("both are stored");

    assert_eq!((first.new, first.duplicate), (2, 0));
    assert!(again.iter().all(|c| (c.new, c.duplicate) == (0, 2)), "{again:?}");
    assert_eq!(on_hand(&store, "DC01", "SKU-1"), 12);
    let facts = &store.reads().sites().expect("facts are read")[0];
    assert_eq!((facts.events, facts.new, facts.duplicate), (6, 2, 4));
}

fn declared_corrections_move_only_the_difference<S: Store>(mut store: S) {
    let mut stream = Stream::new("DC01", 1);
    let mut change = receipt("DC01", "R-1", "SKU-1", 8);
    change.action = Action::Change;
    let original = receipt("DC01", "R-1", "SKU-1", 5);

    commit(&mut store, stream.batch(std::slice::from_ref(&original)));
    let corrected = commit(&mut store, stream.batch(&[change]));
    let old_again = commit(&mut store, stream.batch(&[original]));

    assert_eq!((corrected.corrected, old_again.duplicate), (1, 1));
    assert_eq!(on_hand(&store, "DC01", "SKU-1"), 8);
    let batch = store.reads().batch(corrected.batch_no).expect("the batch is read").expect("the batch is there");
    assert_eq!(batch.priors, vec![(0, Loc::new(1, 0))]);
}

fn withdrawals_leave_nothing<S: Store>(mut store: S) {
    let mut stream = Stream::new("DC01", 1);
    let mut void = receipt("DC01", "R-1", "SKU-1", 5);
    void.action = Action::Void;
    let mut anew = receipt("DC01", "R-1", "SKU-1", 3);
    anew.action = Action::Change;

    let batch = stream.batch(&[receipt("DC01", "R-1", "SKU-1", 5), void]);
    let both = commit(&mut store, batch);
    let after_void = on_hand(&store, "DC01", "SKU-1");
    commit(&mut store, stream.batch(&[anew]));

    assert_eq!((both.new, both.corrected, after_void), (1, 1, 0));
    assert_eq!(on_hand(&store, "DC01", "SKU-1"), 3);
}

fn undeclared_versions_wait_for_a_person<S: Store>(mut store: S) {
    let mut stream = Stream::new("DC01", 1);
    commit(&mut store, stream.batch(&[receipt("DC01", "R-1", "SKU-1", 5)]));

    let revised = commit(&mut store, stream.batch(&[receipt("DC01", "R-1", "SKU-1", 6)]));
    let again = commit(&mut store, stream.batch(&[receipt("DC01", "R-1", "SKU-1", 6)]));

    assert_eq!((revised.revised, again.duplicate), (1, 1));
    assert_eq!(on_hand(&store, "DC01", "SKU-1"), 5);
    let refusals = store.reads().refusals(10).expect("refusals are read");
    assert_eq!(refusals.len(), 1);
    assert_eq!((refusals[0].code.as_str(), refusals[0].other), ("REVISED_DOCUMENT", Some(Loc::new(1, 0))));

    let retry = Change::Decide { loc: refusals[0].loc, kind: OpKind::Retry, reason: "right".into(), by: "kim".into() };
    store.change(std::slice::from_ref(&retry)).expect("the decision is stored");

    assert_eq!(on_hand(&store, "DC01", "SKU-1"), 6);
    assert!(matches!(store.change(&[retry]), Err(LedgerError::Absent { .. })), "a decision is made once");
    assert_eq!(on_hand(&store, "DC01", "SKU-1"), 6);
}

fn a_good_version_supersedes_a_refused_one<S: Store>(mut store: S) {
    let mut stream = Stream::new("DC01", 1);
    let bad = receipt("DC01", "R-1", "", 5);

    let parked = commit(&mut store, stream.batch(std::slice::from_ref(&bad)));
    let good = commit(&mut store, stream.batch(&[receipt("DC01", "R-1", "SKU-1", 5)]));
    let bad_again = commit(&mut store, stream.batch(&[bad]));

    assert_eq!((parked.parked, good.new, bad_again.duplicate), (1, 1, 1));
    assert_eq!(on_hand(&store, "DC01", "SKU-1"), 5);
    let refusal = store.reads().refusal(Loc::new(1, 0)).expect("it is read").expect("it is there");
    assert_eq!(refusal.state, RefusalState::Superseded);
}

fn tests_and_strangers_do_not_occupy_an_id<S: Store>(mut store: S) {
    let (mut one, mut other) = (Stream::new("DC01", 1), Stream::new("DC02", 1));
    let mut test = receipt("DC01", "R-1", "SKU-1", 5);
    test.interchange.usage = "T".to_owned();

    let stranger = commit(&mut store, other.batch(&[receipt("DC01", "R-1", "SKU-1", 5)]));
    let tested = commit(&mut store, one.batch(&[test]));
    let real = commit(&mut store, one.batch(&[receipt("DC01", "R-1", "SKU-1", 5)]));

    assert_eq!((stranger.parked, tested.test, real.new), (1, 1, 1));
    assert_eq!((on_hand(&store, "DC01", "SKU-1"), on_hand(&store, "DC02", "SKU-1")), (5, 0));
}

fn batches_follow_their_chain<S: Store>(mut store: S) {
    let mut stream = Stream::new("DC01", 1);
    let first = stream.batch(&[receipt("DC01", "R-1", "SKU-1", 5)]);
    commit(&mut store, first.clone());
    let mut forked = stream.batch(&[receipt("DC01", "R-2", "SKU-1", 5)]);
    forked.head.chain_before = Chain([9; 32]);

    let again = store.commit(&[first], &[]);
    let fork = store.commit(&[forked], &[]);

    assert!(matches!(again, Err(LedgerError::Discontinuous { .. })), "{again:?}");
    assert!(matches!(fork, Err(LedgerError::Discontinuous { .. })), "{fork:?}");
    let tail = store.reads().tail(stream.site(), 1).expect("the end is read").map(|(last, _)| last);
    assert_eq!(tail, Some(1));
}

fn a_failed_write_leaves_nothing<S: Store>(mut store: S) {
    let mut stream = Stream::new("DC01", 1);
    let good = stream.batch(&[receipt("DC01", "R-1", "SKU-1", 5)]);
    let mut bad = stream.batch(&[receipt("DC01", "R-2", "SKU-1", 5)]);
    bad.verdicts.clear();

    let refused = store.commit(&[good.clone(), bad], &[]);
    let alone = commit(&mut store, good);

    assert!(matches!(refused, Err(LedgerError::Miscounted { .. })), "{refused:?}");
    assert_eq!((alone.new, on_hand(&store, "DC01", "SKU-1")), (1, 5));
}

fn texts_find_their_batches<S: Store>(mut store: S) {
    let mut stream = Stream::new("DC01", 1);
    commit(&mut store, stream.batch(&[receipt("DC01", "R-1", "SKU-1", 5)]));
    let second = commit(&mut store, stream.batch(&[receipt("DC01", "R-2", "SKU-2", 5)]));

    let reads = store.reads();

    assert_eq!(reads.batches_with_term("r-2", 10).expect("found"), vec![second.batch_no]);
    assert_eq!(reads.batches_with_term("receipts.csv", 10).expect("found").len(), 2);
    assert!(reads.batches_with_term("R-3", 10).expect("looked").is_empty());
    let page = reads.read_batches(stream.site(), 1, 10).expect("batches are read");
    assert_eq!(page.iter().map(|b| b.batch_no).collect::<Vec<_>>(), vec![2]);
}

fn links_and_cursors_come_back<S: Store>(mut store: S) {
    let site = SiteId::new("DC01").expect("a good name");
    let link = LinkRow { site: site.clone(), epoch: 3, marked: 77, state: vec![1, 2, 3] };
    let cursor = |loc, seq| CursorRow { consumer: "erp".into(), site: site.clone(), loc, epoch: 3, seq };
    let row = |loc, stage| {
        let (code, reason) = (String::new(), String::new());
        DeliveryRow {
            consumer: "erp".into(),
            site: site.clone(),
            loc,
            lane: 1,
            stage,
            attempts: 0,
            code,
            reason,
            at_ms: 0,
        }
    };
    let at = |index| Loc::new(1, index);

    store.commit(&[], std::slice::from_ref(&link)).expect("the link is stored");
    let rows = [row(at(1), Stage::Done), row(at(2), Stage::Parked), row(at(9), Stage::Done)];
    store.change(&rows.map(Change::Delivery)).expect("deliveries are stored");
    store.change(&[Change::Cursor(cursor(at(5), 5))]).expect("the cursor moves");
    store.change(&[Change::Cursor(cursor(at(4), 4))]).expect("a late cursor is ignored");

    let reads = store.reads();
    assert_eq!(reads.links().expect("links are read"), vec![link]);
    assert_eq!(reads.cursors().expect("cursors are read"), vec![cursor(at(5), 5)]);
    let left: Vec<_> = reads.deliveries("erp", &site).expect("read").into_iter().map(|d| (d.loc, d.stage)).collect();
    assert_eq!(left, vec![(at(2), Stage::Parked), (at(9), Stage::Done)]);
}

fn decisions_reach_every_consumer<S: Store>(mut store: S) {
    let mut stream = Stream::new("DC01", 1);
    let site = stream.site().clone();
    commit(&mut store, stream.batch(&[receipt("DC01", "R-1", "", 5)]));
    let cursors = ["bi", "erp"].map(|consumer| {
        Change::Cursor(CursorRow {
            consumer: consumer.into(),
            site: site.clone(),
            loc: Loc::new(1, 0),
            epoch: 1,
            seq: 1,
        })
    });
    store.change(&cursors).expect("cursors are stored");

    let skip = Change::Decide { loc: Loc::new(1, 0), kind: OpKind::Skip, reason: "no".into(), by: "kim".into() };
    store.change(&[skip]).expect("the decision is stored");

    for consumer in ["bi", "erp"] {
        let ops = store.reads().ops_waiting(consumer).expect("requests are read");
        assert_eq!(ops.len(), 1, "{consumer}");
        let answer = Change::Answer { op_id: ops[0].op_id, done: true, result: "done".into() };
        store.change(&[answer]).expect("the answer is stored");
        assert!(store.reads().ops_waiting(consumer).expect("requests are read").is_empty());
    }
}

fn the_audit_trail_is_a_chain<S: Store>(mut store: S) {
    let entry = |act: &str| Entry { who: "kim".into(), act: act.into(), subject: "1.0".into(), detail: "why".into() };
    store.change(&[Change::Audit(entry("retry")), Change::Audit(entry("skip"))]).expect("entries are stored");

    let rows = store.reads().audit_rows(1, 10).expect("the trail is read");
    let mut forged = rows.clone();
    forged[0].entry.detail = "other".to_owned();

    assert_eq!(audit::verify(rows.clone()), Ok(2));
    assert_eq!(audit::verify(forged), Err(1));
    assert_eq!(audit::verify(rows.into_iter().skip(1)), Err(2));
}

//! The SQLite store against the conformance suite, its files, and its speed.

use std::{sync::Arc, time::Instant};

use super::{
    conformance::{self, Stream, receipt},
    sqlite::SqliteStore,
    writer::LedgerWriter,
    *,
};

fn clock() -> Clock {
    Arc::new(|| 1_000)
}

#[test]
fn the_sqlite_store_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let mut n = 0;

    conformance::all(|| {
        n += 1;
        SqliteStore::open(&dir.path().join(format!("{n}.sqlite")), clock()).unwrap()
    });

    assert_eq!(n, 13);
}

#[test]
fn a_ledger_reopens_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    let mut stream = Stream::new("DC01", 1);
    let mut store = SqliteStore::open(&path, clock()).unwrap();
    store.commit(&[stream.batch(&[receipt("DC01", "R-1", "A", 1)])], &[]).unwrap();
    let id = store.reads().ledger_id().unwrap();
    drop(store);

    let mut store = SqliteStore::open(&path, clock()).unwrap();
    let next = store.commit(&[stream.batch(&[receipt("DC01", "R-2", "A", 1)])], &[]).unwrap();

    assert_eq!(store.reads().ledger_id().unwrap(), id);
    assert_eq!(next[0].batch_no, 2);
}

#[test]
fn a_ledger_of_a_later_program_is_refused_with_an_instruction() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    drop(SqliteStore::open(&path, clock()).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();

    let refused = SqliteStore::open(&path, clock()).unwrap_err();

    assert!(matches!(refused, LedgerError::NewerSchema { found: 99, .. }), "{refused}");
    assert!(refused.to_string().contains("install the newer"), "{refused}");
}

#[test]
fn the_audit_trail_refuses_to_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    let mut store = SqliteStore::open(&path, clock()).unwrap();
    let text = String::from;
    let entry = audit::Entry { who: text("kim"), act: text("skip"), subject: text("1.0"), detail: text("no") };
    store.change(&[Change::Audit(entry)]).unwrap();

    let other = rusqlite::Connection::open(&path).unwrap();

    assert!(other.execute("UPDATE audit SET who = 'x'", []).is_err());
    assert!(other.execute("DELETE FROM audit", []).is_err());
}

#[test]
fn a_backup_is_checked_and_a_restore_has_a_new_name() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mut store = SqliteStore::open(&at("ledger.sqlite"), clock()).unwrap();
    let mut stream = Stream::new("DC01", 1);
    store.commit(&[stream.batch(&[receipt("DC01", "R-1", "A", 1)])], &[]).unwrap();

    let made = backup::backup(&at("ledger.sqlite"), &at("copy.sqlite")).unwrap();
    let restored = backup::restore(&at("copy.sqlite"), &at("new.sqlite")).unwrap();

    assert_eq!(made.streams.values().copied().collect::<Vec<_>>(), vec![1]);
    assert_ne!(made.ledger_id, restored.ledger_id);
    let reopened = SqliteStore::open(&at("new.sqlite"), clock()).unwrap();
    assert!(reopened.reads().is_recovering().unwrap());
    assert_eq!(reopened.reads().ledger_id().unwrap(), restored.ledger_id);
    let refused = backup::restore(&at("copy.sqlite"), &at("new.sqlite"));
    assert!(matches!(refused, Err(LedgerError::Exists { .. })), "{refused:?}");
}

#[test]
fn a_restore_takes_up_no_log_of_a_ledger_that_was_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    drop(SqliteStore::open(&at("ledger.sqlite"), clock()).unwrap());
    backup::backup(&at("ledger.sqlite"), &at("copy.sqlite")).unwrap();
    std::fs::write(at("new.sqlite-wal"), "of another one").unwrap();

    let refused = backup::restore(&at("copy.sqlite"), &at("new.sqlite"));

    assert!(matches!(&refused, Err(LedgerError::Exists { path }) if path.ends_with("new.sqlite-wal")), "{refused:?}");
    assert!(!at("new.sqlite").exists());
}

#[test]
fn a_backup_of_altered_events_does_not_pass() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mut store = SqliteStore::open(&at("ledger.sqlite"), clock()).unwrap();
    let mut stream = Stream::new("DC01", 1);
    let first = stream.batch(&[receipt("DC01", "R-1", "A", 1)]);
    let second = stream.batch(&[receipt("DC01", "R-2", "A", 2)]);
    let columns = second.columns.clone();
    store.commit(&[first, second], &[]).unwrap();
    let other = rusqlite::Connection::open(at("ledger.sqlite")).unwrap();
    other.execute("UPDATE batch SET columns = ?1 WHERE batch_no = 1", [columns]).unwrap();

    let made = backup::backup(&at("ledger.sqlite"), &at("copy.sqlite"));

    assert!(matches!(made, Err(LedgerError::Damaged { what: "chain of events", at: 1 })), "{made:?}");
    assert!(!at("copy.sqlite").exists());
}

#[test]
fn the_writer_answers_each_command_with_its_own_result() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("ledger.sqlite"), clock()).unwrap();
    let (writer, handle) = LedgerWriter::start(store, 0).unwrap();
    let (mut one, mut two) = (Stream::new("DC01", 1), Stream::new("DC02", 1));
    let good = one.batch(&[receipt("DC01", "R-1", "A", 1), receipt("DC01", "R-2", "A", 1)]);
    let mut bad = two.batch(&[receipt("DC02", "R-1", "A", 1)]);
    bad.verdicts.clear();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

    let (stored, refused) =
        runtime.block_on(async { tokio::join!(handle.commit(vec![good], vec![]), handle.commit(vec![bad], vec![])) });
    let id = runtime.block_on(handle.run(|store| store.reads().ledger_id())).unwrap();

    assert_eq!(stored.unwrap()[0].new, 2);
    assert!(matches!(refused, Err(LedgerError::Miscounted { .. })), "{refused:?}");
    assert_ne!(id.0, [0; 16]);
    assert!(handle.has_room());
    drop(handle);
    writer.join().unwrap();
}

#[test]
fn texts_are_found_after_their_runs_were_merged() {
    const COMMITS: usize = 150;
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(&dir.path().join("ledger.sqlite"), clock()).unwrap();
    let mut stream = Stream::new("DC01", 1);
    for n in 0..COMMITS {
        store.commit(&[stream.batch(&[receipt("DC01", &format!("R-{n}"), "A", 1)])], &[]).unwrap();
    }

    let found = |text: &str| store.reads().batches_with_term(text, 1_000).unwrap();

    assert!((0..COMMITS).all(|n| found(&format!("R-{n}")) == [n as i64 + 1]));
    assert_eq!(found("receipts.csv").len(), COMMITS);
    assert_eq!(found("receipts.csv")[0], COMMITS as i64);
    assert!(store.runs.len() < 24, "{} runs", store.runs.len());
}

#[test]
fn a_full_disk_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("ledger.sqlite"), clock()).unwrap();

    let (_writer, handle) = LedgerWriter::start(store, u64::MAX).unwrap();

    assert!(!handle.has_room());
}

#[test]
fn speed_of_commits_is_printed() {
    const EVENTS: usize = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(&dir.path().join("ledger.sqlite"), clock()).unwrap();
    let mut stream = Stream::new("DC01", 1);
    let batches: Vec<Append> = (0..EVENTS / 500)
        .map(|b| {
            let line = |n: usize| receipt("DC01", &format!("R-{}", b * 500 + n), &format!("SKU-{}", n % 200), 1);
            stream.batch(&(0..500).map(line).collect::<Vec<_>>())
        })
        .collect();

    let start = Instant::now();
    for group in batches.chunks(40) {
        store.commit(group, &[]).unwrap();
    }
    let took = start.elapsed();

    println!("ledger: {EVENTS} events in {took:?}, {:.0}/s", EVENTS as f64 / took.as_secs_f64());
    assert_eq!(store.reads().sites().unwrap()[0].new, EVENTS as u64);
}

#[test]
fn a_ledger_of_the_first_schema_is_brought_to_this_one_and_knows_its_events() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("migrations/001_ledger.sql")).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let mut stream = Stream::new("DC01", 1);
    let batch = stream.batch(&[receipt("DC01", "R-1", "A", 1)]);
    let (id, digest) = (batch.events[0].id, batch.events[0].digests.content);
    let content = i64::from_be_bytes(digest[..8].try_into().unwrap());
    old.execute(
        "INSERT INTO event_key VALUES (?1, ?2, ?3)",
        rusqlite::params![id.as_bytes(), content, Loc::new(7, 0).0],
    )
    .unwrap();
    drop(old);

    let mut store = SqliteStore::open(&path, clock()).unwrap();
    let known = store.reads().event(id).unwrap();
    let committed = store.commit(&[batch], &[]).unwrap();

    assert_eq!(known, Some(Loc::new(7, 0)));
    assert_eq!((committed[0].new, committed[0].duplicate), (0, 1));
}

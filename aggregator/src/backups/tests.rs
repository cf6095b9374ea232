//! When a backup is due, what it holds, and which are kept.

use std::os::unix::fs::PermissionsExt as _;

use jiff::{Timestamp, civil::time, tz::TimeZone};

use super::{schedule::*, *};
use crate::{
    ledger::{
        Store as _,
        conformance::{Stream, receipt},
        sqlite::SqliteStore,
    },
    pki::Pki,
};

fn settings(dir: &Path, zone: &str) -> BackupSettings {
    BackupSettings { dir: dir.to_owned(), daily: time(3, 30, 0, 0), zone: TimeZone::get(zone).unwrap(), keep: 2 }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn last(text: &str) -> Standing {
    Standing { last_at: Some(at(text)), ..Standing::default() }
}

#[test]
fn one_is_due_once_a_day_at_its_time_and_a_missed_one_at_once() {
    let daily = settings(Path::new("/b"), "UTC");
    let due = |standing: &Standing, now: &str| is_due(&daily, standing, at(now));

    assert!(due(&Standing::default(), "2026-03-01T12:00:00Z"), "the first is not waited for");
    assert!(!due(&last("2026-03-01T03:30:05Z"), "2026-03-02T03:29:59Z"));
    assert!(due(&last("2026-03-01T03:30:05Z"), "2026-03-02T03:30:00Z"));
    assert!(due(&last("2026-02-20T03:30:05Z"), "2026-03-02T01:00:00Z"), "it was off for days");
    assert!(due(&last("2027-01-01T00:00:00Z"), "2026-03-02T01:00:00Z"), "made by a clock that ran ahead");
    let failed = Standing { failed_at: Some(at("2026-03-02T03:30:00Z")), ..last("2026-03-01T03:30:05Z") };
    assert!(!due(&failed, "2026-03-02T03:44:00Z"));
    assert!(due(&failed, "2026-03-02T03:46:00Z"));
}

#[test]
fn a_time_that_the_clocks_skip_is_the_moment_behind_it() {
    let daily = BackupSettings { daily: time(2, 30, 0, 0), ..settings(Path::new("/b"), "America/Chicago") };
    let yesterday = last("2026-03-07T08:30:01Z");

    assert!(!is_due(&daily, &yesterday, at("2026-03-08T07:59:00Z")));
    assert!(is_due(&daily, &yesterday, at("2026-03-08T08:31:00Z")));
    assert!(!is_due(&daily, &last("2026-03-08T08:31:00Z"), at("2026-03-09T07:00:00Z")));
}

#[test]
fn a_backup_brings_the_authority_to_a_new_machine_and_leaves_one_that_is_there() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ledger, file) = (old.path().join("ledger.sqlite"), new.path().join("copy.sqlite"));
    let mut store = SqliteStore::open(&ledger, std::sync::Arc::new(|| 0)).unwrap();
    store.commit(&[Stream::new("DC01", 1).batch(&[receipt("DC01", "R-1", "A", 1)])], &[]).unwrap();
    let names = ["localhost".to_owned()];
    let pki = Pki::open_or_create(&old.path().join("pki"), &names, at("2026-03-01T00:00:00Z")).unwrap();

    let made = make(old.path(), &ledger, &file).unwrap();
    let put = put_back(&file, new.path(), false).unwrap();
    let again = put_back(&file, old.path(), false).unwrap();
    let second = make(old.path(), &ledger, &file);

    assert_eq!((made.report.events, made.has_authority, made.changes().len()), (1, true, 1));
    assert_eq!((put.authority, again.authority), (true, false));
    let found = Pki::open_or_create(&new.path().join("pki"), &names, at("2026-03-02T00:00:00Z")).unwrap();
    assert_eq!(found.ca_pem(), pki.ca_pem());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&beside(&file, ".pki")), 0o700);
    assert_eq!(mode(&beside(&file, ".pki").join("ca.key")), 0o600);
    assert_eq!(mode(&new.path().join("pki/ca.key")), 0o600);
    let other = tempfile::tempdir().unwrap();
    drop(Pki::open_or_create(&other.path().join("pki"), &names, at("2026-03-02T00:00:00Z")).unwrap());
    let refused = put_back(&file, other.path(), false);
    assert!(matches!(refused, Err(BackupError::OtherAuthority { .. })), "{refused:?}");
    assert!(!put_back(&file, other.path(), true).unwrap().authority);
    assert_eq!(mode(&file), 0o600);
    assert!(matches!(second, Err(BackupError::Ledger(LedgerError::Exists { .. }))), "{second:?}");
}

#[test]
fn what_an_attempt_left_is_replaced_and_only_the_oldest_of_ours_go() {
    let dir = tempfile::tempdir().unwrap();
    let (state, ledger) = (dir.path().join("state"), dir.path().join("state/ledger.sqlite"));
    fs::create_dir_all(&state).unwrap();
    drop(SqliteStore::open(&ledger, std::sync::Arc::new(|| 0)).unwrap());
    fs::write(dir.path().join("by-hand.sqlite"), "mine").unwrap();
    for day in ["20260301", "20260302", "20260303"] {
        let file = dir.path().join(format!("docksync-{day}T033000Z.sqlite"));
        fs::write(beside(&file, ".making"), "half").unwrap();
        fs::create_dir(beside(&file, ".pki")).unwrap();
        make(&state, &ledger, &file).unwrap();
    }

    prune(dir.path(), 2, at("2026-03-03T03:30:00Z")).unwrap();

    let left = || -> Vec<String> { kept(dir.path()).unwrap().iter().map(|(at, _)| at.to_string()).collect() };
    assert_eq!(left(), ["2026-03-02T03:30:00Z", "2026-03-03T03:30:00Z"]);
    prune(dir.path(), 1, at("2026-03-02T03:30:00Z")).unwrap();
    assert_eq!(left(), ["2026-03-02T03:30:00Z"], "what a clock that ran ahead has made goes before what was made now");
    assert!(dir.path().join("by-hand.sqlite").exists());
}

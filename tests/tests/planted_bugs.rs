//! A net that catches no planted fish is not a net: each fault, planted on purpose, must break a promise in some seed.
//!
//! Run with `cargo test -p docksync-tests --no-default-features --features planted-bugs --test planted_bugs`.
#![cfg(feature = "planted-bugs")]

use docksync_proto::link::Bug;
use docksync_tests::sim::{self, Plan, SimBug};

const SEEDS: u64 = 400;

/// The first failure among the seeds, or a panic that says that the net has a hole.
fn caught(bug: SimBug) -> String {
    let plans = (0..SEEDS).map(|seed| Plan::of(seed).with_bug(bug));
    let failure = plans.filter_map(|plan| sim::run(plan).err()).next();
    failure.unwrap_or_else(|| panic!("{bug:?} was not caught in {SEEDS} seeds")).what
}

#[test]
fn a_mark_before_the_commit_is_caught() {
    assert!(caught(SimBug::Engine(Bug::MarkBeforeCommit)).contains("while the ledger holds"));
}

#[test]
fn a_missing_overlap_check_is_caught() {
    let plans = (0..SEEDS).map(|seed| Plan::of(seed).with_bug(SimBug::Engine(Bug::NoOverlapCheck)));
    let failures: Vec<String> = plans.filter_map(|plan| sim::run(plan).err()).map(|f| f.what).collect();

    // Whatever else it breaks, this fault loses events: a net that only sees its side effects would have a hole.
    assert!(failures.iter().any(|what| what.contains("events were lost")), "{failures:?}");
}

#[test]
fn a_release_at_the_brokers_acknowledgement_is_caught() {
    // Without copies of machines the only thing that can go wrong is the loss itself.
    let plans =
        (0..SEEDS).map(|seed| Plan { copies: false, ..Plan::of(seed).with_bug(SimBug::Engine(Bug::ReleaseAtPubAck)) });
    let what = plans.filter_map(|plan| sim::run(plan).err()).next().expect("the fault is caught").what;

    assert!(what.contains("lost") || what.contains("did not come to rest"), "{what}");
}

#[test]
fn a_missing_ratchet_is_caught() {
    let what = caught(SimBug::Engine(Bug::NoRatchet));

    assert!(what.contains("without an operator's word") || what.contains("forked"), "{what}");
}

#[test]
fn a_database_that_does_not_sync_is_caught() {
    let what = caught(SimBug::SynchronousNormal);

    assert!(what.contains("lost"), "{what}");
}

#[test]
fn a_retry_without_a_look_up_is_caught() {
    assert!(caught(SimBug::RetryWithoutLookUp).contains("documents in the ERP"));
}

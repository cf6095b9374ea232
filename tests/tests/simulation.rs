//! The link under seeded faults; `./tests/sim` runs more seeds.

use docksync_tests::sim::{self, Plan};

/// Each quarter runs on a thread of its own.
fn seeds(from: u64) {
    for seed in from..from + 500 {
        if let Err(failure) = sim::run(Plan::of(seed)) {
            panic!("{failure}");
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_in_seeds_0_to_499() {
    seeds(0);
}

#[test]
fn nothing_is_lost_or_doubled_in_seeds_500_to_999() {
    seeds(500);
}

#[test]
fn nothing_is_lost_or_doubled_in_seeds_1000_to_1499() {
    seeds(1_000);
}

#[test]
fn nothing_is_lost_or_doubled_in_seeds_1500_to_1999() {
    seeds(1_500);
}

#[test]
fn a_seed_replays_to_the_letter() {
    let trace = |seed| {
        let mut plan = Plan::of(seed);
        plan.trace = true;
        sim::run(plan).map(|s| (s.captured, s.applied, s.faults, s.steps)).map_err(|f| f.script)
    };

    assert_eq!(trace(7), trace(7));
}

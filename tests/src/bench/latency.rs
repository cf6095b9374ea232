//! One event at a time on an idle system, from the rename of its file to the commit of the ledger.
//!
//! The commit is seen by a read connection that asks for the site's counters every [`LOOK_EVERY`]: what a reader can see is
//! committed and, in this write-ahead log, synced. The figure holds the asking, so it is never too good.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{Goal, Options, Row, Rows, rig::Rig};

const EVENTS: usize = 200;
const EVENTS_QUICK: usize = 60;
const LOOK_EVERY: Duration = Duration::from_micros(100);
/// Between two events, so that the system is idle again.
const PAUSE: Duration = Duration::from_millis(30);

/// Measures p50 and p99.
///
/// # Errors
/// Where an event does not arrive.
pub fn measure(options: &Options, dir: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let count = if options.quick { EVENTS_QUICK } else { EVENTS };
    let mut rig = Rig::start(dir)?;
    let mut delays = Vec::with_capacity(count);
    for _ in 0..count {
        let file = rig.prepare(1)?;
        std::thread::park_timeout(PAUSE);
        delays.push(one(&rig, &file)?);
    }
    delays.sort_unstable();
    let at = |percent: usize| delays[(count * percent / 100).min(count - 1)].as_secs_f64() * 1e3;
    rows.push(Row::new("idle latency, p50", at(50), "ms").goal(Goal::Below(5.0)));
    rows.push(Row::new("idle latency, p99", at(99), "ms").goal(Goal::Below(20.0)));
    rig.stop()
}

fn one(rig: &Rig, file: &Path) -> anyhow::Result<Duration> {
    let wanted = rig.written();
    let begun = Instant::now();
    rig.export(file)?;
    while rig.held()? < wanted {
        anyhow::ensure!(begun.elapsed() < crate::harness::DEADLINE, "event {wanted} did not arrive");
        std::thread::park_timeout(LOOK_EVERY);
    }
    Ok(begun.elapsed())
}

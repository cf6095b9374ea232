//! The agent's memory: idle, and with a backlog while the centre is away; and how fast it starts with that backlog.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{Goal, Options, Row, Rows, rig, rig::Rig};

const FILES: u64 = 5;
const LINES: u64 = 1_000_000;
const LINES_QUICK: u64 = 100_000;
/// How long the agent is left alone before it counts as idle.
const SETTLE: Duration = Duration::from_secs(2);

/// Measures memory and start.
///
/// # Errors
/// Where the backlog does not come about.
pub fn measure(options: &Options, dir: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let lines = if options.quick { LINES_QUICK } else { LINES };
    let mut rig = Rig::start(dir)?;
    std::thread::park_timeout(SETTLE);
    let site = rig.pids()?.0;
    rows.push(Row::new("agent's memory, idle", rig::memory_mib(site, "VmRSS")?, "MiB").goal(Goal::Below(32.0)));
    rig.relay.cut(true);
    rig.centre.kill()?;
    for _ in 0..FILES {
        let file = rig.prepare(lines)?;
        rig.export(&file)?;
        rig.await_captured(rig.written())?;
    }
    let name = |what: &str| format!("{what} with {} events waiting", FILES * lines);
    let most = rig::memory_mib(site, "VmHWM")?;
    rows.push(Row::new(&name("agent's memory at most,"), most, "MiB").goal(Goal::Below(64.0)));
    rig.site.stop()?;
    let begun = Instant::now();
    rig.site.start()?;
    rows.push(Row::new(&name("agent's start"), begun.elapsed().as_secs_f64(), "s").goal(Goal::Below(1.0)));
    let again = rig.site.process().map_or(0, |p| p.pid());
    rows.push(Row::new(&name("agent's memory after start"), rig::memory_mib(again, "VmRSS")?, "MiB"));
    rig.site.stop()
}

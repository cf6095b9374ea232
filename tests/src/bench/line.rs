//! The whole line: one large file, from its rename to the ledger with balances.

use std::{path::Path, time::Instant};

use super::{Goal, Options, Row, Rows, bare, export, rig, rig::Rig};

/// Rows of the file.
const EVENTS: u64 = 1_000_000;
const EVENTS_QUICK: u64 = 100_000;

/// Measures the line beside the bare pipeline.
///
/// # Errors
/// Where the load does not arrive.
pub fn measure(options: &Options, dir: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let events = if options.quick { EVENTS_QUICK } else { EVENTS };
    let file = dir.join("bare.csv");
    export::write(&file, 1, events)?;
    let bare = bare::run(&file, events, dir)?;
    std::fs::remove_file(&file)?;
    let mut rig = Rig::start(dir)?;
    let file = rig.prepare(events)?;
    let (site, centre) = rig.pids()?;
    let before = Used::read(&rig, site, centre)?;
    let begun = Instant::now();
    rig.export(&file)?;
    let seen = rig.await_ledger(rig.written())?;
    let secs = seen.duration_since(begun).as_secs_f64();
    let used = Used::read(&rig, site, centre)?;
    let (n, million) = (events as f64, events as f64 / 1e6);
    rows.push(Row::new("whole line", n / secs, "events/s").goal(Goal::AtLeast(150_000.0)));
    if let Some(bare) = bare {
        rows.push(Row::new("bare pipeline (the ceiling), through mosquitto", bare.rate, "events/s"));
        rows.push(Row::new("bare pipeline, CPU without mosquitto", bare.cpu_secs / million, "s/million"));
        let beside = Row::new("whole line, beside the bare pipeline", n / secs, "events/s");
        rows.push(beside.of(bare.rate).goal(Goal::PartOf(0.6)));
    }
    let (edge, middle) = ((used.site - before.site) / million, (used.centre - before.centre) / million);
    rows.push(Row::new("whole line, CPU of agent", edge, "s/million").goal(Goal::AtMost(2.5)));
    rows.push(Row::new("whole line, CPU of aggregator", middle, "s/million"));
    rows.push(Row::new("whole line, CPU of both", edge + middle, "s/million").goal(Goal::AtMost(10.0)));
    let wire = (used.wire - before.wire) / n;
    rows.push(Row::new("wire, all bytes both ways", wire, "bytes/event").goal(Goal::AtMost(25.0)));
    let disk = (used.disk - before.disk) / n;
    rows.push(Row::new("agent's disk writes", disk, "bytes/event").goal(Goal::AtMost(300.0)));
    let most = rig::memory_mib(site, "VmHWM")?;
    rows.push(Row::new("agent's memory at most, one large file", most, "MiB").goal(Goal::Below(64.0)));
    rows.push(Row::new("aggregator's memory at most", rig::memory_mib(centre, "VmHWM")?, "MiB"));
    for (program, pid) in [("agent", site), ("aggregator", centre)] {
        for (thread, secs) in rig::threads(pid)?.into_iter().take(4) {
            rows.push(Row::new(&format!("CPU of thread {program}/{thread}"), secs / million, "s/million"));
        }
    }
    rig.stop()
}

/// What was used so far.
struct Used {
    site: f64,
    centre: f64,
    wire: f64,
    disk: f64,
}

impl Used {
    fn read(rig: &Rig, site: u32, centre: u32) -> anyhow::Result<Self> {
        Ok(Self {
            site: rig::cpu_secs(site)?,
            centre: rig::cpu_secs(centre)?,
            wire: rig.relay.bytes() as f64,
            disk: rig::written_bytes(site)?,
        })
    }
}

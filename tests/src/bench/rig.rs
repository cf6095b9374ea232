//! A site and a centre as real processes, without any destination, and what `/proc` says of them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use docksync_aggregator::ledger::{Reads as _, reads::SqliteReader};

use super::export;
use crate::{
    demo::relay::Relay,
    harness::{self, centre::Centre, site::Site},
};

/// Longest wait for a load to arrive.
const LOAD_WITHIN: Duration = Duration::from_secs(600);
/// Time between two looks at the ledger: short beside what is measured, long enough to leave the machine alone.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Unit of times in `/proc`: Linux promises programs this figure on every machine that we run on.
const TICKS_PER_SEC: f64 = 100.0;

/// One site, the line to its centre, the centre.
#[derive(Debug)]
pub struct Rig {
    /// The centre; its ledger is the end of the line.
    pub centre: Centre,
    /// The site.
    pub site: Site,
    /// Between them.
    pub relay: Relay,
    ledger: SqliteReader,
    aside: PathBuf,
    next: u64,
}

impl Rig {
    /// Starts both and sees one event through, so that connection and schema are there.
    ///
    /// # Errors
    /// Where a process cannot be started, or the event does not arrive.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        let centre = Centre::start_bare(&dir.join("centre"))?;
        let relay = Relay::start(centre.address("mqtt"))?;
        let site = Site::enrol("DC01", &dir.join("site"), &centre, relay.address())?;
        let ledger = SqliteReader::open(&centre.ledger())?;
        let aside = dir.join("aside");
        fs::create_dir_all(&aside)?;
        let mut rig = Self { centre, site, relay, ledger, aside, next: 1 };
        let file = rig.prepare(1)?;
        rig.export(&file)?;
        rig.await_ledger(1)?;
        Ok(rig)
    }

    /// Writes a file of this many new rows beside the export folder.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn prepare(&mut self, rows: u64) -> anyhow::Result<PathBuf> {
        let path = self.aside.join(format!("PICK_{:09}.csv", self.next));
        export::write(&path, self.next, rows)?;
        self.next += rows;
        Ok(path)
    }

    /// Renames a prepared file into the export folder.
    ///
    /// # Errors
    /// Where it cannot be renamed.
    pub fn export(&self, file: &Path) -> anyhow::Result<()> {
        let name = file.file_name().context("a file has a name")?;
        Ok(fs::rename(file, self.site.export().join(name))?)
    }

    /// Events that the ledger holds.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn held(&self) -> anyhow::Result<u64> {
        Ok(self.ledger.sites()?.iter().map(|site| site.new).sum())
    }

    /// Rows written so far: what the ledger holds in the end.
    pub const fn written(&self) -> u64 {
        self.next - 1
    }

    /// Waits until the ledger holds so many events; gives the time at which it was seen.
    ///
    /// # Errors
    /// Where it does not come to hold them.
    pub fn await_ledger(&self, events: u64) -> anyhow::Result<Instant> {
        let end = Instant::now() + LOAD_WITHIN;
        loop {
            let held = self.held()?;
            if held >= events {
                return Ok(Instant::now());
            }
            anyhow::ensure!(Instant::now() < end, "the ledger holds {held} of {events} events");
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Waits until the site has captured so many events.
    ///
    /// # Errors
    /// Where it does not.
    pub fn await_captured(&self, events: u64) -> anyhow::Result<()> {
        harness::await_that("capture", LOAD_WITHIN, || self.captured().is_ok_and(|n| n >= events))
    }

    fn captured(&self) -> anyhow::Result<u64> {
        let said: serde_json::Value = serde_json::from_str(&self.site.command(&["queue", "stat", "--json"])?)?;
        said["head"].as_u64().context("the queue has a head")
    }

    /// Process numbers of the site and the centre.
    ///
    /// # Errors
    /// Where one does not run.
    pub fn pids(&mut self) -> anyhow::Result<(u32, u32)> {
        let site = self.site.process().context("the agent runs")?.pid();
        Ok((site, self.centre.process().context("the aggregator runs")?.pid()))
    }

    /// Stops both in order.
    ///
    /// # Errors
    /// Where one does not stop.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.site.stop()?;
        self.centre.stop()
    }
}

/// CPU seconds that a process has used.
///
/// # Errors
/// Where it is gone.
pub fn cpu_secs(pid: u32) -> anyhow::Result<f64> {
    cpu_in(&fs::read_to_string(format!("/proc/{pid}/stat"))?)
}

fn cpu_in(stat: &str) -> anyhow::Result<f64> {
    // The name before the last bracket may hold anything.
    let rest = stat.rsplit_once(')').context("stat names the process")?.1;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || -> anyhow::Result<f64> { Ok(fields.next().context("stat has times")?.parse()?) };
    Ok((next()? + next()?) / TICKS_PER_SEC)
}

/// Threads of a process with the CPU seconds that each has used, busiest first.
///
/// # Errors
/// Where it is gone.
pub fn threads(pid: u32) -> anyhow::Result<Vec<(String, f64)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(entry?.path().join("stat"))?;
        let name = stat.split_once('(').and_then(|(_, rest)| Some(rest.rsplit_once(')')?.0.to_owned()));
        all.push((name.unwrap_or_default(), cpu_in(&stat)?));
    }
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(all)
}

/// Bytes that a process caused to be written to disks.
///
/// # Errors
/// Where it is gone.
pub fn written_bytes(pid: u32) -> anyhow::Result<f64> {
    field(&format!("/proc/{pid}/io"), "write_bytes:")
}

/// MiB of a process's memory: `VmRSS` now, `VmHWM` at most so far.
///
/// # Errors
/// Where it is gone.
pub fn memory_mib(pid: u32, which: &str) -> anyhow::Result<f64> {
    Ok(field(&format!("/proc/{pid}/status"), &format!("{which}:"))? / 1024.0)
}

fn field(path: &str, name: &str) -> anyhow::Result<f64> {
    let text = fs::read_to_string(path)?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name)).context("the kernel tells this")?;
    Ok(rest.split_whitespace().next().context("with a number")?.parse()?)
}

//! The demo: three sites and a centre as real processes on this machine, over TLS, with the habits of real warehouses.
//!
//! What it shows is what the product does: the programs are the shipped ones, started with settings of their own folder. Truth
//! is the warehouse systems' own list of what they exported; it is compared with the books of the destination.

pub mod erp;
pub mod night;
pub mod relay;

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Serialize;
use serde_json::Value;

use self::{
    erp::{Erp, ErpOutcome},
    night::NightOutcome,
    relay::Relay,
};
use crate::harness::{centre::Centre, process, site::Site, wms::Wms};

/// The sites of the demo.
const SITES: [&str; 3] = ["DC01", "DC02", "DC03"];
/// Time between two exports of a site.
const EXPORT_EVERY: Duration = Duration::from_millis(400);
/// How long everything may take to arrive after the last export.
const DRAIN: Duration = Duration::from_secs(90);

/// What to show.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long exports are written; until Ctrl-C where absent.
    pub run_for: Option<Duration>,
    /// How long the network is away, in the middle.
    pub cut: Option<Duration>,
    /// Whether processes are killed and started again.
    pub kill: bool,
    /// Whether a real ERP is brought up and its stock compared in the end.
    pub erp: bool,
    /// Whether the books of a second night are compared, with drifts planted.
    pub night: bool,
    /// Whether words go to standard error, so that standard output is one JSON object.
    pub json: bool,
}

/// How it ended.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Outcome {
    /// Good lines exported.
    pub exported: u64,
    /// Events that the sites stored.
    pub captured: u64,
    /// Events that the ledger holds, by the sites' word.
    pub marked: u64,
    /// Events that the destination posted.
    pub applied: u64,
    /// Files recognised as known.
    pub duplicates_refused: u64,
    /// Bad lines held with a reason.
    pub held: u64,
    /// Bad lines exported.
    pub bad: u64,
    /// Good lines that the destination never saw.
    pub lost: u64,
    /// Good lines that it saw more than once.
    pub doubled: u64,
    /// Half of the lines were posted within so many milliseconds after their file appeared.
    pub p50_ms: u64,
    /// Ninety-nine of a hundred were.
    pub p99_ms: u64,
    /// Processes killed and started again.
    pub kills: u64,
    /// Milliseconds without network.
    pub cut_ms: u64,
    /// How the ERP's books compare, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erp: Option<ErpOutcome>,
    /// What the second night's report named, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recon: Option<NightOutcome>,
}

impl Outcome {
    /// Whether every promise was kept.
    pub fn is_good(&self) -> bool {
        let books = self.erp.as_ref().is_none_or(ErpOutcome::is_good);
        let night = self.recon.as_ref().map_or(0, |recon| recon.facts);
        let facts = self.erp.as_ref().map_or(0, |erp| erp.facts) + night;
        let books = books && self.recon.as_ref().is_none_or(NightOutcome::is_good);
        let is_applied = self.applied == self.exported && self.captured == self.exported + facts;
        self.lost == 0 && self.doubled == 0 && self.held == self.bad && is_applied && books
    }
}

/// One site with everything around it.
struct Place {
    site: Site,
    wms: Wms,
    relay: Relay,
}

/// The demo while it runs.
struct Demo {
    options: Options,
    centre: Centre,
    places: Vec<Place>,
    erp: Option<Erp>,
    rng: StdRng,
    seen: BTreeMap<String, Instant>,
    outcome: Outcome,
    rounds: u64,
}

/// Runs the demo in a folder; `stop` ends it in order.
///
/// # Errors
/// Where a program cannot be started or stopped.
pub fn run(options: Options, dir: &Path, stop: &Arc<AtomicBool>, words: &mut dyn Write) -> anyhow::Result<Outcome> {
    ensure_built()?;
    let mut demo = Demo::start(options, dir, words)?;
    if demo.options.night {
        let sites: Vec<&Site> = demo.places.iter().map(|place| &place.site).collect();
        demo.outcome.recon = Some(night::run(&demo.centre, &sites, &mut demo.rng, words)?);
    }
    let begun = Instant::now();
    let mut cut = Cut::default();
    // After a night the demo is over, unless it was asked to go on.
    let run_for = demo.options.run_for.or(demo.options.night.then_some(Duration::ZERO));
    while !stop.load(Ordering::Relaxed) && run_for.is_none_or(|limit| begun.elapsed() < limit) {
        demo.round()?;
        cut.turn(&mut demo, begun.elapsed(), words)?;
        if demo.options.kill && demo.rounds.is_multiple_of(20) {
            demo.kill_one(words)?;
        }
        if demo.rounds.is_multiple_of(5) {
            demo.say(words, begun)?;
        }
        std::thread::park_timeout(EXPORT_EVERY / u32::try_from(SITES.len())?);
    }
    cut.end(&mut demo);
    demo.finish(words)
}

/// The programs lie beside this one when the whole workspace was built.
fn ensure_built() -> anyhow::Result<()> {
    if process::program("docksync-agent").is_ok() && process::program("docksync-aggregator").is_ok() {
        return Ok(());
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = std::process::Command::new(cargo);
    command.args(["build", "--quiet", "-p", "docksync-agent", "-p", "docksync-aggregator"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    anyhow::ensure!(command.status()?.success(), "the two programs could not be built");
    Ok(())
}

impl Demo {
    fn start(options: Options, dir: &Path, words: &mut dyn Write) -> anyhow::Result<Self> {
        let erp = options.erp.then(|| Erp::start(dir, &SITES, words)).transpose()?;
        let night = if options.night { night::SETTINGS } else { "" };
        let consumer = format!("{night}{}", erp.as_ref().map(Erp::consumer).unwrap_or_default());
        let centre = Centre::start(&dir.join("centre"), &consumer)?;
        writeln!(
            words,
            "centre   https page http://{}/   sites connect to {} (MQTT 5, TLS)",
            centre.address("page"),
            centre.address("mqtt")
        )?;
        let mut places = Vec::new();
        for (n, id) in SITES.iter().enumerate() {
            let relay = Relay::start(centre.address("mqtt"))?;
            let enrol = if options.erp || options.night { Site::enrol_with_business } else { Site::enrol };
            let site = enrol(id, &dir.join(id), &centre, relay.address())?;
            let page = site.page().context("a running agent has a page")?;
            writeln!(words, "{id}     status page http://{page}/   exports in {}", site.export().display())?;
            let wms = Wms::new(id, &site.export(), n as u64 + 1);
            places.push(Place { site, wms, relay });
        }
        writeln!(words, "Ctrl-C stops in order.")?;
        let rng = StdRng::seed_from_u64(7);
        let (seen, outcome) = (BTreeMap::new(), Outcome::default());
        Ok(Self { options, centre, places, erp, rng, seen, outcome, rounds: 0 })
    }

    /// One export of one site, as real systems write them.
    fn round(&mut self) -> anyhow::Result<()> {
        self.rounds += 1;
        let n = self.rounds as usize % self.places.len();
        let lines = self.rng.random_range(3..60);
        let habit = self.rng.random_range(0..20);
        let wms = &mut self.places[n].wms;
        match habit {
            0 => drop(wms.export_with_bad_line(lines)?),
            1 => wms.export_again()?,
            2 => wms.leave_half()?,
            _ => drop(wms.export(lines)?),
        }
        if let Some(erp) = &mut self.erp {
            erp.round(self.rounds, &self.places[n].site, &mut self.rng)?;
        }
        self.look()
    }

    /// Notes when each line was first seen in the destination's books.
    fn look(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        for transaction in self.centre.applied()?.into_keys() {
            self.seen.entry(transaction).or_insert(now);
        }
        Ok(())
    }

    fn kill_one(&mut self, words: &mut dyn Write) -> anyhow::Result<()> {
        self.outcome.kills += 1;
        let n = self.rng.random_range(0..=self.places.len());
        match self.places.get_mut(n) {
            Some(place) => {
                writeln!(words, "kill -9 of the agent of {}, and start", place.site.id)?;
                place.site.kill()?;
                place.site.start()
            }
            None => {
                writeln!(words, "kill -9 of the aggregator, and start")?;
                self.centre.kill()?;
                self.centre.restart()
            }
        }
    }

    fn totals(&self) -> (u64, u64) {
        let of = |place: &Place| {
            let said = place.site.command(&["queue", "stat", "--json"]).ok()?;
            let stat: Value = serde_json::from_str(&said).ok()?;
            Some((stat["head"].as_u64()?, stat["marked"].as_u64()?))
        };
        self.places.iter().filter_map(of).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    fn say(&self, words: &mut dyn Write, begun: Instant) -> anyhow::Result<()> {
        let (captured, marked) = self.totals();
        let exported: usize = self.places.iter().map(|p| p.wms.truth.len()).sum();
        writeln!(
            words,
            "{:>5.0} s  exported {exported:>6}   captured {captured:>6}   accepted {marked:>6}   in ERP {:>6}   waiting {:>5}",
            begun.elapsed().as_secs_f64(),
            self.seen.len(),
            captured.saturating_sub(marked),
        )?;
        Ok(())
    }

    /// Waits until everything has arrived, compares the books, stops in order.
    fn finish(mut self, words: &mut dyn Write) -> anyhow::Result<Outcome> {
        let end = Instant::now() + DRAIN;
        let exported: u64 = self.places.iter().map(|p| p.wms.truth.len() as u64).sum();
        writeln!(words, "exports end; waiting until {exported} lines are in the destination's books")?;
        loop {
            self.look()?;
            let (captured, marked) = self.totals();
            let all = self.seen.len() as u64 >= exported && captured == marked && self.held()? == self.bad();
            if all || Instant::now() > end {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        self.count(exported)?;
        self.outcome.erp = self.erp.as_ref().map(|erp| erp.finish(&self.centre, words)).transpose()?;
        for place in &mut self.places {
            place.site.stop()?;
        }
        self.centre.stop()?;
        Ok(self.outcome)
    }

    fn bad(&self) -> u64 {
        self.places.iter().map(|p| p.wms.bad).sum()
    }

    fn held(&self) -> anyhow::Result<u64> {
        Ok(self.files()?.iter().filter_map(|file| file["held"].as_u64()).sum())
    }

    fn files(&self) -> anyhow::Result<Vec<Value>> {
        let mut all = Vec::new();
        for place in &self.places {
            let said = place.site.command(&["files", "list", "--limit", "100000", "--json"])?;
            all.extend(serde_json::from_str::<Vec<Value>>(&said)?);
        }
        Ok(all)
    }

    fn count(&mut self, exported: u64) -> anyhow::Result<()> {
        let applied = self.centre.applied()?;
        let truth: BTreeMap<String, Instant> = self.places.iter().flat_map(|p| p.wms.truth.clone()).collect();
        let (captured, marked) = self.totals();
        let mut delays: Vec<u64> = truth
            .iter()
            .filter_map(|(t, at)| {
                Some(u64::try_from(self.seen.get(t)?.saturating_duration_since(*at).as_millis()).unwrap_or(u64::MAX))
            })
            .collect();
        delays.sort_unstable();
        let at = |part: usize| {
            delays.get((delays.len() * part / 100).min(delays.len().saturating_sub(1))).copied().unwrap_or(0)
        };
        let (held, bad) = (self.held()?, self.bad());
        let duplicates = self.files()?.iter().filter(|f| f["state"] == "duplicate").count() as u64;
        let o = &mut self.outcome;
        (o.exported, o.captured, o.marked, o.held, o.bad) = (exported, captured, marked, held, bad);
        o.duplicates_refused = duplicates;
        o.applied = applied.values().map(|n| u64::from(*n)).sum();
        o.lost = truth.keys().filter(|t| !applied.contains_key(*t)).count() as u64;
        o.doubled = applied.values().filter(|n| **n > 1).count() as u64;
        (o.p50_ms, o.p99_ms) = (at(50), at(99));
        Ok(())
    }
}

/// The network's absence in the middle of the run.
#[derive(Default)]
struct Cut {
    begun: Option<Instant>,
    is_over: bool,
}

impl Cut {
    fn turn(&mut self, demo: &mut Demo, elapsed: Duration, words: &mut dyn Write) -> anyhow::Result<()> {
        let Some(length) = demo.options.cut.filter(|_| !self.is_over) else { return Ok(()) };
        let start = demo.options.run_for.map_or(Duration::from_secs(10), |all| all / 4);
        match self.begun {
            None if elapsed >= start => {
                writeln!(words, "the network is gone for {length:?}")?;
                demo.places.iter().for_each(|p| p.relay.cut(true));
                self.begun = Some(Instant::now());
            }
            Some(begun) if begun.elapsed() >= length => {
                writeln!(words, "the network is back")?;
                self.end(demo);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, demo: &mut Demo) {
        if let Some(begun) = self.begun.filter(|_| !self.is_over) {
            demo.places.iter().for_each(|p| p.relay.cut(false));
            demo.outcome.cut_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.is_over = true;
        }
    }
}

/// Sets a flag when the process is asked to stop.
///
/// # Errors
/// Where the signals cannot be taken.
pub fn stop_on_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(async {
                let asked = tokio::signal::ctrl_c().await;
                set.store(asked.is_ok(), Ordering::Relaxed);
            });
        }
    })?;
    Ok(flag)
}

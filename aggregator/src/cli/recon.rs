//! `recon`: run, list, show, diff, trace, stock, and what people decide on drifts.

use std::{io::Write, thread, time::Duration};

use clap::{Args, Subcommand};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::json;

use super::{CliError, copies::open};
use crate::{
    config::Config,
    ledger::{Change, LedgerError, Store as _, audit::Entry, lock::StateLock, reads::SqliteReader},
    reconcile::{
        ReconcileError,
        drift::{self, Act, Drift},
        gate::Gates,
        post,
        report::{self, Report, quantity},
        run::{self, Surroundings},
        store::{ReconStore, RunRow, RunState, Wish},
        trace,
    },
};

/// How often the running service is asked whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Comparison of the books.
#[derive(Debug, Subcommand)]
pub enum ReconCommand {
    /// Compare now: warehouse systems, ledger, ERPs, transfers, completeness
    Run(RunArgs),
    /// Runs, newest first
    List(ManyArgs),
    /// What a run found; the newest without a number
    Show(ReportArgs),
    /// What differs between two runs: drifts that came, went or changed
    Diff(DiffArgs),
    /// One item of a site: balances, movements, and the event at which the books part
    Trace(TraceArgs),
    /// Balances of the stock book
    Stock(StockArgs),
    /// Ask for a count
    Recount(DecideArgs),
    /// Propose a correction
    Propose(ProposeArgs),
    /// Approve a proposed correction; above the limit of the configuration by a second person
    Approve(DecideArgs),
    /// Leave a drift alone until a day
    Ignore(IgnoreArgs),
    /// Close a drift without a correction
    Close(DecideArgs),
}

/// What to compare.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Only this site; may be given several times
    #[arg(long)]
    pub site: Vec<String>,
    /// Compare again what this run compared; changes no drift
    #[arg(long)]
    pub again: Option<i64>,
    /// Read every event of the ledger again, not only a seventh
    #[arg(long)]
    pub full: bool,
    /// Who asks; kept with the run
    #[arg(long, default_value = "command")]
    pub by: String,
    /// As JSON
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Drifts as CSV
    #[arg(long)]
    pub csv: bool,
}

/// How many runs.
#[derive(Debug, Args)]
pub struct ManyArgs {
    /// Most rows
    #[arg(long, default_value_t = 30)]
    pub limit: usize,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Which run, and how.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Number of the run
    pub run: Option<i64>,
    /// As JSON
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Drifts as CSV
    #[arg(long)]
    pub csv: bool,
}

/// Which runs.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Earlier run
    pub from: i64,
    /// Later run
    pub to: i64,
}

/// Which item.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Site
    pub site: String,
    /// Item
    pub item: String,
    /// Most movements
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Which balances.
#[derive(Debug, Args)]
pub struct StockArgs {
    /// Site
    pub site: String,
    /// Item
    pub item: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// A decision.
#[derive(Debug, Args)]
pub struct DecideArgs {
    /// Number of the drift, as `recon show` names it
    pub drift: i64,
    /// Why; kept in the audit trail
    #[arg(long)]
    pub reason: String,
    /// Who decides; kept in the audit trail
    #[arg(long)]
    pub by: String,
}

/// A proposal.
#[derive(Debug, Args)]
pub struct ProposeArgs {
    /// The decision
    #[command(flatten)]
    pub decide: DecideArgs,
    /// Correct by so much, signed; all of the drift without it
    #[arg(long, allow_hyphen_values = true)]
    pub quantity: Option<rust_decimal::Decimal>,
}

/// Until when.
#[derive(Debug, Args)]
pub struct IgnoreArgs {
    /// The decision
    #[command(flatten)]
    pub decide: DecideArgs,
    /// First day on which it counts again (UTC), as 2026-12-24
    #[arg(long)]
    pub until: Date,
}

/// Does one of the commands.
///
/// # Errors
/// [`CliError`]; a run that finds drift is no error.
pub(super) fn recon(config: &Config, command: &ReconCommand, out: &mut dyn Write) -> Result<(), CliError> {
    // A folder without a ledger is not made one by a question.
    let reads = SqliteReader::open(&config.ledger_path())?;
    let store = ReconStore::open(&config.state_dir)?;
    match command {
        ReconCommand::Run(args) => start(config, &store, &reads, args, out),
        ReconCommand::List(args) => list(&store, args, out),
        ReconCommand::Show(args) => {
            let run = match args.run {
                Some(run_no) => get(&store, run_no)?,
                None => match store.last_done()? {
                    Some(run) => run,
                    None => {
                        writeln!(out, "nothing was compared yet: docksync-aggregator recon run")?;
                        return Ok(());
                    }
                },
            };
            show(&run, (args.json, args.csv), out)
        }
        ReconCommand::Diff(args) => diff(&store, args, out),
        ReconCommand::Trace(args) => traced(&store, &reads, args, out),
        ReconCommand::Stock(args) => stock(&store, args, out),
        ReconCommand::Recount(args) => decide(config, &store, args, &Act::Recount, out),
        ReconCommand::Propose(args) => {
            let micros = args.quantity.map(docksync_proto::stock::micros);
            decide(config, &store, &args.decide, &Act::Propose(micros), out)
        }
        ReconCommand::Approve(args) => decide(config, &store, args, &Act::Approve, out),
        ReconCommand::Ignore(args) => {
            let until = args.until.to_zoned(TimeZone::UTC).map_or(i64::MAX, |z| z.timestamp().as_millisecond());
            decide(config, &store, &args.decide, &Act::Ignore(until), out)
        }
        ReconCommand::Close(args) => decide(config, &store, args, &Act::Close, out),
    }
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

fn get(store: &ReconStore, run_no: i64) -> Result<RunRow, CliError> {
    Ok(store.run(run_no)?.ok_or(ReconcileError::NoRun { run_no })?)
}

fn start(
    config: &Config,
    store: &ReconStore,
    reads: &SqliteReader,
    args: &RunArgs,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if let Some(again) = args.again {
        get(store, again)?;
    }
    let wish = Wish { by: args.by.clone(), sites: args.site.clone(), again: args.again, is_full: args.full };
    let run_no = store.ask(&wish, now_ms())?;
    let mut said = String::new();
    loop {
        let run = get(store, run_no)?;
        match run.state {
            RunState::Done | RunState::Failed => return show(&run, (args.json, args.csv), out),
            RunState::Asked | RunState::Running => {}
        }
        if let Some(_lock) = StateLock::take(&config.state_dir)? {
            make_alone(config, store, reads)?;
            continue;
        }
        let is_quiet = args.json || args.csv;
        if !is_quiet && !run.step.is_empty() && run.step != said {
            writeln!(out, "... {}", run.step)?;
            said = run.step;
        }
        thread::park_timeout(LOOK_EVERY);
    }
}

/// What the service would do, where none runs.
fn make_alone(config: &Config, store: &ReconStore, reads: &SqliteReader) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _entered = runtime.enter();
    let mut destinations = crate::run::destinations(config, &Gates::new()).map_err(CliError::Service)?;
    if drift::open(store)?.iter().any(|drift| drift.state == drift::State::Approved) {
        // Only then: opening a ledger to write reads all its young keys.
        let mut ledger = open(config)?;
        let mut commit = |append| {
            let committed = ledger.commit(&[append], &[])?;
            committed.into_iter().next().ok_or(LedgerError::Closed)
        };
        post::post_approved(store, reads, &destinations, &mut commit, now_ms())?;
    }
    while let Some(run) = store.next_run()? {
        let mut around = Surroundings {
            settings: &config.reconcile,
            destinations: &mut destinations,
            told: &|_| None,
            now_ms: &now_ms,
            want: &mut |_, _| false,
        };
        // The reason of a failure is kept with the run, and shown from there.
        drop(run::make(store, reads, &run, &mut around));
    }
    Ok(())
}

fn report_of(run: &RunRow) -> Result<Report, CliError> {
    serde_json::from_str(&run.report)
        .map_err(|_| ReconcileError::Damaged { what: "the report", run_no: run.run_no }.into())
}

fn show(run: &RunRow, (as_json, as_csv): (bool, bool), out: &mut dyn Write) -> Result<(), CliError> {
    match run.state {
        RunState::Done => {}
        RunState::Failed => return Err(CliError::RunFailed { run_no: run.run_no, why: run.report.clone() }),
        RunState::Asked | RunState::Running => {
            writeln!(out, "run {} is {}: {}", run.run_no, run.state.as_str(), run.step)?;
            return Ok(());
        }
    }
    if as_json {
        writeln!(out, "{}", run.report)?;
    } else if as_csv {
        write!(out, "{}", report::csv(&report_of(run)?))?;
    } else {
        write!(out, "{}", report::text(&report_of(run)?))?;
    }
    Ok(())
}

fn list(store: &ReconStore, args: &ManyArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for run in store.runs(args.limit)? {
        let report = (run.state == RunState::Done).then(|| report_of(&run)).transpose()?.unwrap_or_default();
        rows.push(json!({
            "run": run.run_no, "state": run.state.as_str(), "asked_by": run.asked_by, "sites": run.sites,
            "at": super::moment(run.started_ms.unwrap_or(run.asked_ms)), "compared": report.compared, "exact": report.exact,
            "explained": report.explained, "drift": report.drift,
        }));
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &rows).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    for r in &rows {
        writeln!(
            out,
            "{}  {}  {}  by {}  {} compared, {} exact, {} explained, {} adrift",
            r["run"],
            r["at"].as_str().unwrap_or_default(),
            r["state"].as_str().unwrap_or_default(),
            r["asked_by"].as_str().unwrap_or_default(),
            r["compared"],
            r["exact"],
            r["explained"],
            r["drift"]
        )?;
    }
    if rows.is_empty() {
        writeln!(out, "nothing was compared yet: docksync-aggregator recon run")?;
    }
    Ok(())
}

fn diff(store: &ReconStore, args: &DiffArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let (from, to) = (report_of(&get(store, args.from)?)?, report_of(&get(store, args.to)?)?);
    let mut differs = false;
    for line in &to.drifts {
        let before = from.drifts.iter().find(|l| l.drift_no == line.drift_no);
        let now = quantity(line.balance.unexplained);
        let what = match before {
            None => format!("came: {now}"),
            Some(b) if b.balance.unexplained != line.balance.unexplained => {
                format!("was {}, is {now}", quantity(b.balance.unexplained))
            }
            Some(_) => continue,
        };
        differs = true;
        writeln!(out, "#{}  {} {} {}  {what}  {}", line.drift_no, line.side, line.site, line.item, line.cause.code)?;
    }
    for line in from.drifts.iter().filter(|l| !to.drifts.iter().any(|t| t.drift_no == l.drift_no)) {
        differs = true;
        writeln!(
            out,
            "#{}  {} {} {}  went: was {}",
            line.drift_no,
            line.side,
            line.site,
            line.item,
            quantity(line.balance.unexplained)
        )?;
    }
    if !differs {
        writeln!(out, "both found the same")?;
    }
    Ok(())
}

fn traced(store: &ReconStore, reads: &SqliteReader, args: &TraceArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let t = trace::trace(store, reads, &args.site, &args.item, args.limit)?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &t).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    if t.accounts.is_empty() {
        writeln!(
            out,
            "the book knows no item {} at {}: has its site's stock moved, and was there a run since?",
            t.item, t.site
        )?;
        return Ok(());
    }
    for a in &t.accounts {
        writeln!(out, "{}", account(a))?;
    }
    for m in &t.movements {
        let sign = if m.micros > 0 { "+" } else { "" };
        writeln!(
            out,
            "  {sign}{} -> {}   {}   {}",
            quantity(m.micros),
            quantity(m.balance),
            m.event,
            m.documents.join(", ")
        )?;
    }
    for s in &t.runs {
        match &s.balance {
            None => writeln!(out, "run {} {}: {} agreed", s.run_no, super::moment(s.at_ms), s.side)?,
            Some(c) => writeln!(
                out,
                "run {} {}: {} had {}, the ledger {}, unexplained {}",
                s.run_no,
                super::moment(s.at_ms),
                s.side,
                quantity(c.other),
                quantity(c.ledger),
                quantity(c.unexplained)
            )?,
        }
    }
    for part in &t.parts_at {
        writeln!(out, "{part}")?;
    }
    for (drift, steps) in &t.drifts {
        writeln!(out, "{}", drift_line(drift))?;
        for step in steps {
            writeln!(out, "    {} {} {}: {}", super::moment(step.at_ms), step.who, step.act, step.reason)?;
        }
    }
    Ok(())
}

fn account(a: &trace::AccountRow) -> String {
    let status = if a.status.is_empty() { "available" } else { &a.status };
    let lot = if a.lot.is_empty() { String::new() } else { format!(" lot {}", a.lot) };
    let opening = match a.opening {
        Some(opening) => format!("opening {} by {}", quantity(opening), a.opened_by),
        None => "opening not told: counted from nothing".to_owned(),
    };
    let uom = if a.uom.is_empty() { "" } else { &a.uom };
    format!("{}{lot} {status}: {} {uom}   ({opening})", a.sku, quantity(a.micros))
}

fn stock(store: &ReconStore, args: &StockArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let rows = trace::accounts(store, &args.site, args.item.as_deref())?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &rows).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    for row in &rows {
        writeln!(out, "{}", account(row))?;
    }
    if rows.is_empty() {
        writeln!(out, "no balances: the book is carried by recon run")?;
    }
    Ok(())
}

fn drift_line(drift: &Drift) -> String {
    format!(
        "#{} {} {} {}: {}, {}, {}",
        drift.drift_no,
        drift.about.side,
        drift.about.site,
        drift.about.item,
        quantity(drift.micros),
        drift.cause,
        drift.state.as_str()
    )
}

fn decide(
    config: &Config,
    store: &ReconStore,
    args: &DecideArgs,
    act: &Act,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let drift = drift::act(store, args.drift, act, (&args.by, &args.reason), &config.reconcile, now_ms())?;
    let entry = Entry {
        who: args.by.clone(),
        act: act.as_str().to_owned(),
        subject: format!("{} {} {} {}", drift.about.side, drift.about.site, drift.about.item, drift.drift_no),
        detail: args.reason.clone(),
    };
    open(config)?.change(&[Change::Audit(entry)])?;
    writeln!(out, "{}", drift_line(&drift))?;
    if drift.state == drift::State::Approved {
        writeln!(out, "the running service writes the correction into the ledger; a run shows when it is exact")?;
    }
    if let (drift::State::Proposed, Some(micros)) = (drift.state, drift.proposed) {
        writeln!(
            out,
            "proposed: {} by {}; go on with: recon approve {}",
            quantity(micros),
            drift.proposed_by,
            drift.drift_no
        )?;
    }
    Ok(())
}

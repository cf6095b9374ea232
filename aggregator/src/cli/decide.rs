//! `parked retry` and `skip`: what is meant, what would come of it, and the requests to the service, some at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{IsTerminal as _, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::{ArgGroup, Args};

use super::{
    CliError,
    copies::open,
    parked::{GROUPED_MAX, Row, place, rows},
    preview,
};
use crate::{
    config::Config,
    consumers::{Capability, Consumer, Delivery, FaultClass, LookUp, Outcome},
    deliver::{board::Board, deliverer::Deliverer, ops},
    ledger::{
        ADMIT_TARGET, Change, LedgerError, Loc, OpKind, Reads as _, RefusalState, Stage, Store as _, lock::StateLock,
        reads::SqliteReader, sqlite::SqliteStore,
    },
};

/// How long a command waits for the running service.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Decisions that are asked for together; between two lots a person can stop.
const LOT: usize = 100;

/// A decision on some events.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("scope").args(["places", "code", "consumer", "site"]).required(true).multiple(true))]
pub struct DecideArgs {
    /// Places as `parked list` shows them
    #[arg(value_name = "PLACE", conflicts_with_all = ["code", "site"])]
    pub places: Vec<String>,
    /// All that wait under this code, as `parked groups` shows it
    #[arg(long)]
    pub code: Option<String>,
    /// Only for this consumer
    #[arg(long)]
    pub consumer: Option<String>,
    /// Only of this site
    #[arg(long)]
    pub site: Option<String>,
    /// Show what would come of it; change nothing, send nothing
    #[arg(long)]
    pub preview: bool,
    /// With --preview: as JSON
    #[arg(long, requires = "preview")]
    pub json: bool,
    /// Why; kept in the audit trail
    #[arg(long, required_unless_present = "preview", default_value = "")]
    pub reason: String,
    /// Who decides; kept in the audit trail
    #[arg(long, required_unless_present = "preview", default_value = "")]
    pub by: String,
}

/// One decision: for whom, and on which event.
pub(super) type Item = (String, Loc);

/// Has events tried again.
///
/// # Errors
/// [`CliError`].
pub fn retry(config: &Config, args: &DecideArgs, out: &mut dyn Write) -> Result<(), CliError> {
    decide(config, args, OpKind::Retry, out)
}

/// Has events left out.
///
/// # Errors
/// [`CliError`].
pub fn skip(config: &Config, args: &DecideArgs, out: &mut dyn Write) -> Result<(), CliError> {
    decide(config, args, OpKind::Skip, out)
}

fn decide(config: &Config, args: &DecideArgs, kind: OpKind, out: &mut dyn Write) -> Result<(), CliError> {
    if args.preview {
        let reads = SqliteReader::open(&config.ledger_path())?;
        return preview::preview(config, &reads, &scope(&reads, args)?, (kind, args.json), out);
    }
    let lock = StateLock::take(&config.state_dir)?;
    let mut store = open(config)?;
    let items = scope(store.reads(), args)?;
    let stop = stopped_by_a_person()?;
    let shows_progress = items.len() > LOT && std::io::stderr().is_terminal();
    let mut done = 0;
    for lot in items.chunks(LOT) {
        if stop.load(Ordering::Relaxed) {
            return Err(CliError::Stopped { done, total: items.len() });
        }
        let asks = lot.iter().map(|(target, loc)| Change::Ask {
            target: target.clone(),
            kind,
            loc: *loc,
            reason: args.reason.clone(),
            by: args.by.clone(),
        });
        store = ask(config, store, lock.is_some(), asks.collect(), lot)?;
        for (target, loc) in lot {
            writeln!(out, "{} {loc} for {target}: done", kind.as_str())?;
        }
        done += lot.len();
        if shows_progress {
            eprintln_quietly(&format!("{done} of {} decided; Ctrl-C stops after these", items.len()));
        }
    }
    Ok(())
}

fn eprintln_quietly(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Set by the first Ctrl-C: what was asked for is waited for, the rest stays as it is.
fn stopped_by_a_person() -> Result<Arc<AtomicBool>, CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = Arc::clone(&stop);
    // It ends with the program.
    thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            told.store(true, Ordering::Relaxed);
        }
    })?;
    Ok(stop)
}

/// What the arguments mean, in the order in which it came.
fn scope(reads: &SqliteReader, args: &DecideArgs) -> Result<Vec<Item>, CliError> {
    let only = args.consumer.as_deref();
    if !args.places.is_empty() {
        let mut items = Vec::new();
        for text in &args.places {
            let loc = place(text)?;
            let targets = targets(reads, loc, only)?;
            if targets.is_empty() {
                return Err(CliError::NotParked { place: loc.to_string() });
            }
            items.extend(targets.into_iter().map(|target| (target, loc)));
        }
        return Ok(items.into_iter().collect::<BTreeSet<_>>().into_iter().collect());
    }
    let is_meant = |row: &&Row| {
        args.code.as_ref().is_none_or(|code| *code == row.code)
            && only.is_none_or(|o| o == row.target)
            && args.site.as_ref().is_none_or(|site| *site == row.site)
    };
    let rows = rows(reads, GROUPED_MAX)?;
    let found = rows.iter().filter(is_meant).map(|row| Ok((row.target.clone(), place(&row.place)?)));
    let mut items = found.collect::<Result<Vec<Item>, CliError>>()?;
    items.sort_by_key(|(_, loc)| *loc);
    let what = || [&args.code, &args.consumer, &args.site].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    if items.is_empty() { Err(CliError::NoSuchGroup { code: what() }) } else { Ok(items) }
}

/// Who holds the event back: its admission, or consumers.
pub(super) fn targets(reads: &SqliteReader, loc: Loc, only: Option<&str>) -> Result<Vec<String>, LedgerError> {
    if reads.refusal(loc)?.is_some_and(|r| r.state == RefusalState::Open) {
        return Ok(vec![ADMIT_TARGET.to_owned()]);
    }
    let Some(batch) = reads.batch(loc.batch_no())? else { return Ok(Vec::new()) };
    let (rows, _) = reads.fates(&batch.site, loc)?;
    let parked = rows.into_iter().filter(|r| r.stage == Stage::Parked).map(|r| r.consumer);
    Ok(parked.filter(|name| only.is_none_or(|o| o == name)).collect())
}

/// Leaves requests, all or none, and waits for their answers; where no service runs it gives them itself.
pub(super) fn ask(
    config: &Config,
    mut store: SqliteStore,
    is_alone: bool,
    changes: Vec<Change>,
    items: &[Item],
) -> Result<SqliteStore, CliError> {
    let before = store.reads().last_op()?;
    store.change(&changes)?;
    let mut by_target: BTreeMap<&str, BTreeSet<Loc>> = BTreeMap::new();
    for (target, loc) in items {
        by_target.entry(target).or_default().insert(*loc);
    }
    for (target, locs) in by_target {
        let asked: BTreeMap<Loc, i64> =
            store.reads().ops_after(before, target)?.into_iter().map(|op| (op.loc, op.op_id)).collect();
        if is_alone {
            store = act_alone(config, store, target)?;
        }
        for op_id in locs.iter().filter_map(|loc| asked.get(loc)) {
            await_answer(store.reads(), *op_id)?;
        }
    }
    Ok(store)
}

/// Answers waiting requests as the service would, without a call to any destination.
fn act_alone(config: &Config, mut store: SqliteStore, target: &str) -> Result<SqliteStore, CliError> {
    if target == ADMIT_TARGET {
        ops::answer_waiting(&mut store)?;
        return Ok(store);
    }
    Deliverer::open(target, store, Nobody, Board::default(), 0)?.answer_only()?;
    Ok(open(config)?)
}

fn await_answer(reads: &SqliteReader, op_id: i64) -> Result<(), CliError> {
    let start = Instant::now();
    loop {
        match reads.op(op_id)?.map(|op| (op.answered, op.result)) {
            Some((Some(true), _)) => return Ok(()),
            Some((Some(false), answer)) => return Err(CliError::Refused { answer }),
            Some((None, _)) | None if start.elapsed() >= ANSWER_WITHIN => return Err(CliError::Unanswered { op_id }),
            Some((None, _)) | None => thread::park_timeout(LOOK_EVERY),
        }
    }
}

/// Stands for a destination that must not be called now.
struct Nobody;

impl Consumer for Nobody {
    fn capability(&self) -> Capability {
        Capability::LookUp
    }
    fn is_ordered(&self) -> bool {
        false
    }
    fn batch_max(&self) -> usize {
        1
    }
    fn apply(&mut self, batch: &[Delivery]) -> Vec<Outcome> {
        let reason = "not called by commands".to_owned();
        vec![Outcome::Retry { class: FaultClass::Outage, after_ms: None, reason }; batch.len()]
    }
    fn look_up(&mut self, _: &Delivery) -> LookUp {
        LookUp::NoAnswer { class: FaultClass::Outage, reason: "not called by commands".to_owned() }
    }
}

//! `parked groups`, `list`, `show`, `retry`, `skip`.

use std::{
    collections::BTreeMap,
    io::Write,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{CliError, DecideArgs, ListArgs, ShowArgs, copies::open, events, moment};
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
/// Most events that are grouped, or decided on at once.
const GROUPED_MAX: usize = 100_000;

#[derive(Serialize)]
struct Row {
    place: String,
    target: String,
    site: String,
    code: String,
    reason: String,
    since: String,
    attempts: u32,
}

/// Lists what waits for a person.
///
/// # Errors
/// [`CliError`].
pub fn list(config: &Config, args: &ListArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let rows = rows(&SqliteReader::open(&config.ledger_path())?, args.limit)?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &rows).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    for r in &rows {
        writeln!(out, "{:>10}  {}  {}  {}  {}  {}", r.place, r.since, r.site, r.target, r.code, r.reason)?;
    }
    writeln!(out, "{} events wait for a person", rows.len())?;
    Ok(())
}

#[derive(Serialize)]
struct Group {
    target: String,
    code: String,
    reason: String,
    events: usize,
    since: String,
    /// The oldest of them.
    first: String,
}

/// One row for each cause, the largest first: a thousand events that wait for one thing are one task.
///
/// # Errors
/// [`CliError`].
pub fn groups(config: &Config, args: &ListArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let rows = rows(&SqliteReader::open(&config.ledger_path())?, GROUPED_MAX)?;
    let events = rows.len();
    let mut by_cause: BTreeMap<(String, String, String), Group> = BTreeMap::new();
    for row in rows {
        let key = (row.target.clone(), row.code.clone(), row.reason.clone());
        let group = by_cause.entry(key).or_insert_with(|| Group {
            target: row.target,
            code: row.code,
            reason: row.reason,
            events: 0,
            since: row.since.clone(),
            first: row.place.clone(),
        });
        group.events += 1;
        if row.since < group.since {
            (group.since, group.first) = (row.since, row.place);
        }
    }
    let mut groups: Vec<Group> = by_cause.into_values().collect();
    groups.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.since.cmp(&b.since)));
    groups.truncate(args.limit);
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &groups).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    for g in &groups {
        writeln!(
            out,
            "{:>7}  since {}  {}  {}  {} (first: {})",
            g.events, g.since, g.target, g.code, g.reason, g.first
        )?;
    }
    writeln!(out, "{events} events wait for a person, for {} causes", groups.len())?;
    Ok(())
}

fn rows(reads: &SqliteReader, limit: usize) -> Result<Vec<Row>, LedgerError> {
    let mut rows: Vec<Row> = reads
        .refusals(limit)?
        .into_iter()
        .map(|r| Row {
            place: r.loc.to_string(),
            target: ADMIT_TARGET.to_owned(),
            site: r.site.to_string(),
            code: r.code,
            reason: r.other.map_or(r.reason.clone(), |o| format!("{}; in force: {o}", r.reason)),
            since: moment(r.at_ms),
            attempts: 0,
        })
        .collect();
    rows.extend(reads.parked(limit.saturating_sub(rows.len()))?.into_iter().map(|d| Row {
        place: d.loc.to_string(),
        target: d.consumer,
        site: d.site.to_string(),
        code: d.code,
        reason: d.reason,
        since: moment(d.at_ms),
        attempts: d.attempts,
    }));
    Ok(rows)
}

/// Shows one event, where it stands and what it says.
///
/// # Errors
/// [`CliError`].
pub fn show(config: &Config, args: &ShowArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let loc = place(&args.place)?;
    let reads = SqliteReader::open(&config.ledger_path())?;
    let absent = || CliError::NotParked { place: args.place.clone() };
    events::write_trail(&events::trail_at(&reads, loc)?.ok_or_else(absent)?, out)?;
    let batch = reads.batch(loc.batch_no())?.ok_or_else(absent)?;
    let decoded = events::decode(&batch)?.into_iter().nth(loc.index()).ok_or_else(absent)?;
    serde_json::to_writer_pretty(&mut *out, &decoded.event).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// Has an event tried again.
///
/// # Errors
/// [`CliError`].
pub fn retry(config: &Config, args: &DecideArgs, out: &mut dyn Write) -> Result<(), CliError> {
    decide(config, args, OpKind::Retry, out)
}

/// Has an event left out.
///
/// # Errors
/// [`CliError`].
pub fn skip(config: &Config, args: &DecideArgs, out: &mut dyn Write) -> Result<(), CliError> {
    decide(config, args, OpKind::Skip, out)
}

pub(super) fn place(text: &str) -> Result<Loc, CliError> {
    text.parse().map_err(|_| CliError::Place { text: text.to_owned() })
}

fn decide(config: &Config, args: &DecideArgs, kind: OpKind, out: &mut dyn Write) -> Result<(), CliError> {
    let one = args.place.as_deref().map(place).transpose()?;
    let lock = StateLock::take(&config.state_dir)?;
    let mut store = open(config)?;
    let places = match (one, &args.code) {
        (Some(loc), _) => vec![loc],
        (None, code) => places_under(store.reads(), code.as_deref().unwrap_or_default(), args.consumer.as_deref())?,
    };
    for loc in places {
        store = decide_one(config, store, lock.is_some(), (args, kind, loc), out)?;
    }
    Ok(())
}

/// Everything that waits under a code, in the order in which it came.
fn places_under(reads: &SqliteReader, code: &str, only: Option<&str>) -> Result<Vec<Loc>, CliError> {
    let is_meant = |row: &&Row| row.code == code && only.is_none_or(|o| o == row.target);
    let rows = rows(reads, GROUPED_MAX)?;
    let places = rows.iter().filter(is_meant).map(|row| place(&row.place));
    let mut places = places.collect::<Result<Vec<_>, _>>()?;
    places.sort_unstable();
    places.dedup();
    if places.is_empty() { Err(CliError::NoSuchGroup { code: code.to_owned() }) } else { Ok(places) }
}

fn decide_one(
    config: &Config,
    mut store: SqliteStore,
    is_alone: bool,
    (args, kind, loc): (&DecideArgs, OpKind, Loc),
    out: &mut dyn Write,
) -> Result<SqliteStore, CliError> {
    let targets = targets(store.reads(), loc, args.consumer.as_deref())?;
    if targets.is_empty() {
        return Err(CliError::NotParked { place: loc.to_string() });
    }
    for target in targets {
        store = ask(config, store, is_alone, (&target, kind, loc, &args.reason, &args.by))?;
        writeln!(out, "{} {loc} for {target}: done", kind.as_str())?;
    }
    Ok(store)
}

/// Leaves a request, and waits for its answer.
fn ask(
    config: &Config,
    mut store: SqliteStore,
    is_alone: bool,
    (target, kind, loc, reason, by): (&str, OpKind, Loc, &str, &str),
) -> Result<SqliteStore, CliError> {
    let ask = Change::Ask { target: target.to_owned(), kind, loc, reason: reason.to_owned(), by: by.to_owned() };
    store.change(&[ask])?;
    settle(config, store, is_alone, target, loc)
}

/// Waits for the answer to a request that was left, or gives it where no service runs.
pub(super) fn settle(
    config: &Config,
    mut store: SqliteStore,
    is_alone: bool,
    target: &str,
    loc: Loc,
) -> Result<SqliteStore, CliError> {
    let asked = store.reads().ops_waiting(target)?.into_iter().rev().find(|op| op.loc == loc);
    let op_id = asked.map_or(0, |op| op.op_id);
    if is_alone {
        store = act_alone(config, store, target)?;
    }
    await_answer(store.reads(), op_id)?;
    Ok(store)
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

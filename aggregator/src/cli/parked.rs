//! `parked groups`, `list`, `show`.

use std::{collections::BTreeMap, io::Write};

use serde::Serialize;

use super::{CliError, ListArgs, ShowArgs, events, moment};
use crate::{
    config::Config,
    ledger::{ADMIT_TARGET, LedgerError, Loc, Reads as _, reads::SqliteReader},
};

/// Most events that are grouped, or decided on at once.
pub(super) const GROUPED_MAX: usize = 100_000;

/// One event that waits.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) place: String,
    pub(super) target: String,
    pub(super) site: String,
    pub(super) code: String,
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

/// Everything that waits, the refusals first.
pub(super) fn rows(reads: &SqliteReader, limit: usize) -> Result<Vec<Row>, LedgerError> {
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

/// A place in the ledger, as a person types it.
pub(super) fn place(text: &str) -> Result<Loc, CliError> {
    text.parse().map_err(|_| CliError::Place { text: text.to_owned() })
}

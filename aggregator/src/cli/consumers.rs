//! `consumers list`, `pause`, `resume`, `reset`.

use std::{collections::BTreeMap, io::Write};

use docksync_proto::site::SiteId;
use jiff::{Timestamp, civil, tz::TimeZone};
use serde::Serialize;

use super::{CliError, FormArgs, PauseArgs, ResetArgs, ResumeArgs, copies::open, decide, moment};
use crate::{
    config::{Config, ConsumerConfig},
    ledger::{Change, Loc, OpKind, Reads as _, Stage, Store as _, lock::StateLock, reads::SqliteReader},
    reconcile::CENTRE_STREAM,
};

/// How far a destination is with one site.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) consumer: String,
    /// Who paused it and why.
    pub(super) paused: Option<String>,
    /// Why it takes nothing, by itself.
    pub(super) incident: Option<Incident>,
    pub(super) site: String,
    pub(super) epoch: u32,
    pub(super) applied_through: u64,
    pub(super) held_through: u64,
    pub(super) behind: u64,
    pub(super) parked: usize,
    pub(super) waiting_behind_parked: usize,
}

/// A time during which a destination takes nothing, or took nothing.
#[derive(Clone, Serialize)]
pub(super) struct Incident {
    pub(super) class: String,
    pub(super) reason: String,
    pub(super) since: String,
    pub(super) until: Option<String>,
}

/// Incidents of a destination, the newest first.
pub(super) fn incidents(reads: &SqliteReader, consumer: &str, limit: usize) -> Result<Vec<Incident>, CliError> {
    let rows = reads.incidents(consumer, limit)?.into_iter();
    Ok(rows
        .map(|row| Incident {
            class: row.class,
            reason: row.reason,
            since: moment(row.since_ms),
            until: row.until_ms.map(moment),
        })
        .collect())
}

/// One row for each site.
pub(super) fn rows(reads: &SqliteReader, consumer: &str) -> Result<Vec<Row>, CliError> {
    let links: BTreeMap<SiteId, (u32, u64)> =
        reads.links()?.into_iter().map(|link| (link.site, (link.epoch, link.marked))).collect();
    let cursors = reads.cursors()?;
    let paused = reads.paused(consumer)?;
    let incident = incidents(reads, consumer, 1)?.into_iter().find(|incident| incident.until.is_none());
    let mut rows = Vec::new();
    // The centre's own stream is delivered as every other, and is no site.
    for facts in reads.sites()?.into_iter().filter(|f| f.site.as_str() != CENTRE_STREAM) {
        let cursor = cursors.iter().find(|c| c.consumer == consumer && c.site == facts.site);
        let (epoch, marked) = links.get(&facts.site).copied().unwrap_or_default();
        let applied_through = cursor.filter(|c| c.epoch == epoch).map_or(0, |c| c.seq);
        let stages = reads.deliveries(consumer, &facts.site)?;
        let count = |stage: Stage| stages.iter().filter(|row| row.stage == stage).count();
        rows.push(Row {
            consumer: consumer.to_owned(),
            paused: paused.clone(),
            incident: incident.clone(),
            site: facts.site.to_string(),
            epoch,
            applied_through,
            held_through: marked,
            behind: marked.saturating_sub(applied_through),
            parked: count(Stage::Parked),
            waiting_behind_parked: count(Stage::Held),
        });
    }
    Ok(rows)
}

/// In words, whether it takes events.
pub(super) fn state(paused: Option<&str>, incident: Option<&Incident>) -> String {
    match (paused, incident) {
        (Some(why), _) => format!("paused by {why}"),
        (None, Some(i)) => format!("takes nothing since {}, {}: {}", i.since, i.class, i.reason),
        (None, None) => "runs".to_owned(),
    }
}

/// How far each destination is with each site.
///
/// # Errors
/// [`CliError`].
pub(super) fn list(config: &Config, args: &FormArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let reads = SqliteReader::open(&config.ledger_path())?;
    let mut all = Vec::new();
    for consumer in &config.consumers {
        all.extend(rows(&reads, &consumer.name)?);
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &all).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    for r in &all {
        let state = state(r.paused.as_deref(), r.incident.as_ref());
        writeln!(
            out,
            "{}  {}  through {} of {}, {} behind, {} parked, {} wait behind them  {state}",
            r.consumer, r.site, r.applied_through, r.held_through, r.behind, r.parked, r.waiting_behind_parked
        )?;
    }
    if all.is_empty() {
        writeln!(out, "no destination, or no site yet")?;
    }
    Ok(())
}

/// Has a destination sent everything again. Where it can be asked it is asked before each event, else it keeps our key: what it has had
/// takes no second effect.
///
/// # Errors
/// [`CliError`].
pub(super) fn reset(config: &Config, args: &ResetArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let settings = known(config, &args.consumer)?;
    if !settings.is_repeatable() {
        return Err(CliError::NotRepeatable { name: args.consumer.clone() });
    }
    let lock = StateLock::take(&config.state_dir)?;
    let store = open(config)?;
    let from = match &args.from {
        None => Loc::new(1, 0),
        Some(text) => {
            let batch = store.reads().first_batch_since(moment_of(text)?)?;
            Loc::new(batch.ok_or_else(|| CliError::NothingSince { from: text.clone() })?, 0)
        }
    };
    let (target, kind) = (args.consumer.clone(), OpKind::Reset);
    let ask = Change::Ask { target: target.clone(), kind, loc: from, reason: args.reason.clone(), by: args.by.clone() };
    decide::ask(config, store, lock.is_some(), vec![ask], &[(target, from)])?;
    writeln!(out, "{} is sent everything from {from} on again; what it has had takes no second effect", args.consumer)?;
    writeln!(out, "decisions to leave events out do not count any more: what was left out may be parked again")?;
    Ok(())
}

/// A date, or a moment, in milliseconds since 1970.
fn moment_of(text: &str) -> Result<i64, CliError> {
    let moment = text.parse::<Timestamp>().or_else(|_| {
        text.parse::<civil::Date>().and_then(|date| date.to_zoned(TimeZone::UTC)).map(|zoned| zoned.timestamp())
    });
    moment.map(Timestamp::as_millisecond).map_err(|_| CliError::Moment { text: text.to_owned() })
}

/// Sends nothing to a destination until it is resumed.
///
/// # Errors
/// [`CliError`].
pub(super) fn pause(config: &Config, args: &PauseArgs, out: &mut dyn Write) -> Result<(), CliError> {
    change(config, &args.consumer, Some(args.reason.clone()), &args.by)?;
    writeln!(out, "{} is paused; what comes waits in order. Go on with: consumers resume {0}", args.consumer)?;
    Ok(())
}

/// Goes on.
///
/// # Errors
/// [`CliError`].
pub(super) fn resume(config: &Config, args: &ResumeArgs, out: &mut dyn Write) -> Result<(), CliError> {
    change(config, &args.consumer, None, &args.by)?;
    writeln!(out, "{} goes on within a second or two", args.consumer)?;
    Ok(())
}

fn known<'c>(config: &'c Config, name: &str) -> Result<&'c ConsumerConfig, CliError> {
    config.consumers.iter().find(|c| c.name == name).ok_or_else(|| {
        let known: Vec<&str> = config.consumers.iter().map(|c| c.name.as_str()).collect();
        CliError::NoSuchConsumer { name: name.to_owned(), known: known.join(", ") }
    })
}

fn change(config: &Config, name: &str, reason: Option<String>, by: &str) -> Result<(), CliError> {
    known(config, name)?;
    let change = Change::Pause { consumer: name.to_owned(), reason, by: by.to_owned() };
    Ok(open(config)?.change(&[change])?)
}

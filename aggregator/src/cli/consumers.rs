//! `consumers list`, `pause`, `resume`.

use std::{collections::BTreeMap, io::Write};

use docksync_proto::site::SiteId;
use serde::Serialize;

use super::{CliError, FormArgs, PauseArgs, ResumeArgs, copies::open};
use crate::{
    config::Config,
    ledger::{Change, Reads as _, Stage, Store as _, reads::SqliteReader},
    reconcile::CENTRE_STREAM,
};

#[derive(Serialize)]
struct Row {
    consumer: String,
    paused: Option<String>,
    site: String,
    epoch: u32,
    applied_through: u64,
    held_through: u64,
    behind: u64,
    parked: usize,
    waiting_behind_parked: usize,
}

/// How far each destination is with each site.
///
/// # Errors
/// [`CliError`].
pub(super) fn list(config: &Config, args: &FormArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let reads = SqliteReader::open(&config.ledger_path())?;
    let links: BTreeMap<SiteId, (u32, u64)> =
        reads.links()?.into_iter().map(|link| (link.site, (link.epoch, link.marked))).collect();
    let cursors = reads.cursors()?;
    let mut rows = Vec::new();
    for consumer in &config.consumers {
        let paused = reads.paused(&consumer.name)?;
        // The centre's own stream is delivered as every other, and is no site.
        for facts in reads.sites()?.into_iter().filter(|f| f.site.as_str() != CENTRE_STREAM) {
            let cursor = cursors.iter().find(|c| c.consumer == consumer.name && c.site == facts.site);
            let (epoch, marked) = links.get(&facts.site).copied().unwrap_or_default();
            let applied_through = cursor.filter(|c| c.epoch == epoch).map_or(0, |c| c.seq);
            let stages = reads.deliveries(&consumer.name, &facts.site)?;
            let count = |stage: Stage| stages.iter().filter(|row| row.stage == stage).count();
            rows.push(Row {
                consumer: consumer.name.clone(),
                paused: paused.clone(),
                site: facts.site.to_string(),
                epoch,
                applied_through,
                held_through: marked,
                behind: marked.saturating_sub(applied_through),
                parked: count(Stage::Parked),
                waiting_behind_parked: count(Stage::Held),
            });
        }
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &rows).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    for r in &rows {
        let state = r.paused.as_ref().map_or_else(|| "runs".to_owned(), |why| format!("paused by {why}"));
        writeln!(
            out,
            "{}  {}  through {} of {}, {} behind, {} parked, {} wait behind them  {state}",
            r.consumer, r.site, r.applied_through, r.held_through, r.behind, r.parked, r.waiting_behind_parked
        )?;
    }
    if rows.is_empty() {
        writeln!(out, "no destination, or no site yet")?;
    }
    Ok(())
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

fn change(config: &Config, name: &str, reason: Option<String>, by: &str) -> Result<(), CliError> {
    if !config.consumers.iter().any(|c| c.name == name) {
        let known: Vec<&str> = config.consumers.iter().map(|c| c.name.as_str()).collect();
        return Err(CliError::NoSuchConsumer { name: name.to_owned(), known: known.join(", ") });
    }
    let change = Change::Pause { consumer: name.to_owned(), reason, by: by.to_owned() };
    Ok(open(config)?.change(&[change])?)
}

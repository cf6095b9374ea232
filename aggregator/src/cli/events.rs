//! `events find` and `events trace`: every hop that is known.

use std::{collections::BTreeMap, io::Write};

use docksync_proto::{
    codec::{self, Decoded},
    identity::{document_key, traceparent},
};
use serde::Serialize;
use uuid::Uuid;

use super::{CliError, SearchArgs, moment};
use crate::{
    config::Config,
    ledger::{LedgerError, Loc, Reads, Standing, StoredBatch, reads::SqliteReader, terms},
};

/// Most batches that one search opens.
const BATCHES_MAX: usize = 1_000;

/// An event and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Trail {
    pub(super) place: String,
    event_id: Uuid,
    /// As destinations get it (W3C Trace Context).
    traceparent: String,
    event_type: &'static str,
    action: &'static str,
    document: String,
    site: String,
    epoch: u32,
    seq: u64,
    event_time: String,
    file: String,
    line: u64,
    captured: String,
    received: String,
    standing: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    consumers: BTreeMap<String, String>,
}

/// Lists the events that carry a text.
///
/// # Errors
/// [`CliError`].
pub fn find(config: &Config, args: &SearchArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let trails = search(&SqliteReader::open(&config.ledger_path())?, args)?;
    if args.json {
        return json(&trails, out);
    }
    for t in &trails {
        writeln!(
            out,
            "{:>10}  {}  {}  {}  {}  {} {}  {}",
            t.place, t.event_id, t.event_time, t.site, t.event_type, t.document, t.action, t.standing
        )?;
    }
    writeln!(out, "{} events", trails.len())?;
    Ok(())
}

/// Tells every hop of the events that carry a text.
///
/// # Errors
/// [`CliError`].
pub fn trace(config: &Config, args: &SearchArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let trails = search(&SqliteReader::open(&config.ledger_path())?, args)?;
    if args.json {
        return json(&trails, out);
    }
    trails.iter().try_for_each(|trail| write_trail(trail, out))?;
    writeln!(out, "{} events", trails.len())?;
    Ok(())
}

pub(super) fn write_trail(t: &Trail, out: &mut dyn Write) -> Result<(), CliError> {
    writeln!(out, "{} {} {}  event {}  place {}", t.event_type, t.document, t.action, t.event_id, t.place)?;
    writeln!(out, "  traceparent {}", t.traceparent)?;
    writeln!(out, "  {}  WMS       file {} line {}", t.event_time, t.file, t.line)?;
    writeln!(out, "  {}  agent     captured at {}, epoch {} seq {}", t.captured, t.site, t.epoch, t.seq)?;
    writeln!(out, "  {}  ledger    stored as {}", t.received, t.standing)?;
    if let Some(refused) = &t.refused {
        writeln!(out, "  {:20}  admission {refused}", "")?;
    }
    for (consumer, state) in &t.consumers {
        writeln!(out, "  {:20}  {consumer:9} {state}", "")?;
    }
    Ok(())
}

fn json(trails: &[Trail], out: &mut dyn Write) -> Result<(), CliError> {
    serde_json::to_writer_pretty(&mut *out, trails).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

fn search(reads: &impl Reads, args: &SearchArgs) -> Result<Vec<Trail>, LedgerError> {
    let id: Option<Uuid> = args.text.trim().parse().ok();
    if let Some(loc) = id.map(|id| reads.event(id)).transpose()?.flatten() {
        return Ok(trail_at(reads, loc)?.into_iter().collect());
    }
    let mut trails = Vec::new();
    for batch_no in reads.batches_with_term(&args.text, BATCHES_MAX)? {
        let Some(batch) = reads.batch(batch_no)? else { continue };
        for (index, decoded) in decode(&batch)?.into_iter().enumerate() {
            if trails.len() < args.limit && terms::carries(&decoded.event, &args.text) {
                trails.push(trail(reads, &batch, index, &decoded)?);
            }
        }
        if trails.len() >= args.limit {
            break;
        }
    }
    Ok(trails)
}

/// What became of the event at a place.
pub(super) fn trail_at(reads: &impl Reads, loc: Loc) -> Result<Option<Trail>, LedgerError> {
    let Some(batch) = reads.batch(loc.batch_no())? else { return Ok(None) };
    let decoded = decode(&batch)?.into_iter().nth(loc.index());
    decoded.map(|d| trail(reads, &batch, loc.index(), &d)).transpose()
}

/// Decodes a stored batch.
pub(super) fn decode(batch: &StoredBatch) -> Result<Vec<Decoded>, LedgerError> {
    codec::decode_batch(&batch.columns).map_err(|source| LedgerError::Stored { batch_no: batch.batch_no, source })
}

fn trail(reads: &impl Reads, batch: &StoredBatch, index: usize, decoded: &Decoded) -> Result<Trail, LedgerError> {
    let loc = Loc::new(batch.batch_no, index);
    let standing = batch.standings.get(index).and_then(|b| Standing::from_byte(*b));
    let refused = match standing {
        Some(Standing::Parked | Standing::Revised) => reads.refusal(loc)?,
        Some(Standing::New | Standing::Duplicate | Standing::Correction | Standing::Test) | None => None,
    };
    let event = &decoded.event;
    Ok(Trail {
        place: loc.to_string(),
        event_id: decoded.id,
        traceparent: traceparent(event, decoded.id),
        event_type: event.event_type.as_str(),
        action: event.action.as_str(),
        document: document_key(event).to_owned(),
        site: batch.site.to_string(),
        epoch: batch.head.epoch,
        seq: batch.head.first + index as u64,
        event_time: event.time.rfc3339(),
        file: event.source.file_name.clone(),
        line: event.source.line_no,
        captured: event.record_time.to_string(),
        received: moment(batch.received_ms),
        standing: standing.map_or("unknown to this program", Standing::as_str),
        refused: refused.map(|r| format!("{:?} {}: {}", r.state, r.code, r.reason).to_lowercase()),
        consumers: states(reads, batch, loc, standing)?,
    })
}

fn states(
    reads: &impl Reads,
    batch: &StoredBatch,
    loc: Loc,
    standing: Option<Standing>,
) -> Result<BTreeMap<String, String>, LedgerError> {
    let (rows, documents) = reads.fates(&batch.site, loc)?;
    let mut states = BTreeMap::new();
    for cursor in reads.cursors()?.into_iter().filter(|c| c.site == batch.site) {
        let state = match standing {
            Some(Standing::Duplicate | Standing::Test) => "no effect",
            Some(Standing::New | Standing::Correction | Standing::Revised | Standing::Parked) | None
                if cursor.loc >= loc =>
            {
                "applied"
            }
            Some(Standing::New | Standing::Correction | Standing::Revised | Standing::Parked) | None => "waiting",
        };
        states.insert(cursor.consumer, state.to_owned());
    }
    for row in rows {
        let why = if row.code.is_empty() { String::new() } else { format!(" {}: {}", row.code, row.reason) };
        states.insert(row.consumer, format!("{}{why} since {}", row.stage.as_str(), moment(row.at_ms)));
    }
    for (consumer, document) in documents {
        states.insert(consumer, format!("applied as {document}"));
    }
    for (consumer, who, _) in reads.edits(loc)? {
        states.entry(consumer).or_default().push_str(&format!(", edited by {who}"));
    }
    Ok(states)
}

//! Single steps within this process: reading an export, encoding and decoding batches.
//!
//! Rates are by CPU second of this process, which has no other work meanwhile: what neighbours take does not count.

use std::{fs::File, hint::black_box, ops::ControlFlow, path::Path, sync::Arc};

use docksync_agent::{
    decode::{Decoder, FileFacts, Record, profile},
    queue::capture::BATCH_EVENTS,
};
use docksync_proto::{
    codec::{BatchEncoder, decode_batch},
    event::Event,
    site::SiteId,
};
use jiff::{Timestamp, tz::TimeZone};

use super::{Options, Row, Rows, export, rig};

const EVENTS: u64 = 200_000;
const EVENTS_QUICK: u64 = 50_000;
/// Events kept for the batches.
const KEPT: usize = 10 * BATCH_EVENTS as usize;
const ZONE: &str = "America/Chicago";

/// Measures each step.
///
/// # Errors
/// Where the export cannot be read.
pub fn measure(options: &Options, dir: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let count = if options.quick { EVENTS_QUICK } else { EVENTS };
    let path = dir.join("PICK_1.csv");
    export::write(&path, 1, count)?;
    let (decoder, mut file) = (decoder()?, File::open(&path)?);
    let facts = facts(&file)?;
    let watch = Watch::start()?;
    let survey = decoder.survey(&mut file, &facts)?;
    rows.push(Row::new("CSV survey pass", count as f64 / watch.secs()?, "rows/CPU s"));
    anyhow::ensure!(survey.held == 0 && survey.records == count, "the export is not as it was meant");
    let mut events: Vec<Event> = Vec::new();
    let watch = Watch::start()?;
    decoder.emit(&mut file, &facts, &survey, &mut |_, record| {
        if let Record::Event(event) = black_box(record)
            && events.len() < KEPT
        {
            events.push(event.clone());
        }
        ControlFlow::Continue(())
    })?;
    rows.push(Row::new("CSV emit pass", count as f64 / watch.secs()?, "rows/CPU s"));
    batches(&events, rows)
}

fn batches(events: &[Event], rows: &mut Rows) -> anyhow::Result<()> {
    const ROUNDS: usize = 60;
    let total = (events.len() * ROUNDS) as f64;
    let mut bodies = Vec::new();
    let watch = Watch::start()?;
    for _ in 0..ROUNDS {
        bodies.clear();
        for batch in events.chunks(BATCH_EVENTS as usize) {
            let mut encoder = BatchEncoder::new();
            for event in batch {
                black_box(encoder.push(event));
            }
            bodies.push(encoder.finish()?);
        }
    }
    rows.push(Row::new("codec, encode batches of 500", total / watch.secs()?, "events/CPU s"));
    let watch = Watch::start()?;
    for _ in 0..ROUNDS {
        for body in &bodies {
            black_box(decode_batch(body)?);
        }
    }
    rows.push(Row::new("codec, decode batches of 500", total / watch.secs()?, "events/CPU s"));
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    rows.push(Row::new("batch bodies of 500", bytes as f64 / events.len() as f64, "bytes/event"));
    Ok(())
}

/// CPU seconds of this process since a moment.
pub(super) struct Watch(f64);

impl Watch {
    pub(super) fn start() -> anyhow::Result<Self> {
        Ok(Self(rig::cpu_secs(std::process::id())?))
    }

    /// At least one tick of the kernel's clock, so that a rate stays finite.
    pub(super) fn secs(&self) -> anyhow::Result<f64> {
        Ok((rig::cpu_secs(std::process::id())? - self.0).max(0.01))
    }
}

fn decoder() -> anyhow::Result<Decoder> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/feeds/pick-csv.toml");
    let text = std::fs::read_to_string(&path)?;
    let profile = profile::read(&path, &text).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    Ok(Decoder::new(Arc::new(profile), &SiteId::new("DC01")?, &TimeZone::get(ZONE)?, ZONE))
}

fn facts(file: &File) -> anyhow::Result<FileFacts> {
    Ok(FileFacts {
        feed: "pick-csv".to_owned(),
        name: "PICK_1.csv".to_owned(),
        sha256: "0".repeat(64),
        size: file.metadata()?.len(),
        record_time: Timestamp::now(),
    })
}

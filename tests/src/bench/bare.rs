//! The ceiling: the shortest pipeline that could be called one, on the same lines, through the same kind of channel.
//!
//! One end reads the CSV with the csv crate, packs batches of 500 into columns with bincode and zstd, stores each in SQLite
//! (write-ahead log, synced) and publishes it at QoS 1 over TLS; the other end decodes and stores a row for each event, unique
//! by its number, with balances summed per transaction. No chain, no signature, no search, no recovery, no second reading.
//! Needs `mosquitto`; without it there is no ceiling.

pub mod broker;
pub mod ends;

use std::{path::Path, sync::mpsc, thread, time::Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::rig;

/// Events of a batch.
const BATCH: usize = 500;
/// Batches on their way between the threads of one end.
const BATCHES_WAITING: usize = 64;

/// What the bare pipeline did.
#[derive(Debug, Clone, Copy)]
pub struct Bare {
    /// Events a second.
    pub rate: f64,
    /// CPU seconds of both ends, without the broker.
    pub cpu_secs: f64,
}

/// A batch of events, by columns.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Columns {
    first: u64,
    order: Vec<String>,
    line: Vec<u32>,
    sku: Vec<String>,
    lot: Vec<String>,
    qty: Vec<i64>,
    uom: Vec<String>,
    lpn: Vec<String>,
    location: Vec<String>,
    picked_at: Vec<i64>,
    operator: Vec<String>,
    txn: Vec<String>,
}

/// Sends a file through; `None` where there is no broker.
///
/// # Errors
/// Where a step fails.
pub fn run(file: &Path, events: u64, dir: &Path) -> anyhow::Result<Option<Bare>> {
    let Some(broker) = broker::Broker::start(dir)? else { return Ok(None) };
    let (packed, to_send) = mpsc::sync_channel(BATCHES_WAITING);
    let (arrived, to_store) = mpsc::sync_channel(BATCHES_WAITING);
    let (subscribed, is_subscribed) = mpsc::sync_channel(1);
    let before = rig::cpu_secs(std::process::id())?;
    let begun = thread::scope(|scope| -> anyhow::Result<Instant> {
        let (broker, ledger) = (&broker, dir.join("bare-ledger.db"));
        let receiving = scope.spawn(move || broker.receive(events, &arrived, &subscribed));
        is_subscribed.recv().context("the receiving end did not come up")?;
        let begun = Instant::now();
        let sending = scope.spawn(move || broker.send(&to_send));
        let storing = scope.spawn(move || ends::store(&ledger, events, &to_store));
        ends::pack(file, &dir.join("bare-queue.db"), packed)?;
        for end in [sending, storing, receiving] {
            end.join().map_err(|_| anyhow::anyhow!("an end of the bare pipeline panicked"))??;
        }
        Ok(begun)
    })?;
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    Ok(Some(Bare { rate, cpu_secs: rig::cpu_secs(std::process::id())? - before }))
}

//! Both ends of the bare pipeline: file to stored batch, batch to stored events.

use std::{collections::BTreeMap, path::Path, sync::mpsc};

use anyhow::Context as _;
use rusqlite::{Connection, params};

use super::{BATCH, Columns};

/// Batches that one transaction of the sending end takes.
const GROUP: usize = 10;
/// Events that one transaction of the receiving end takes.
const TRANSACTION: u64 = 5_000;
const LEVEL: i32 = 1;

fn open(path: &Path, schema: &str) -> anyhow::Result<Connection> {
    let db = Connection::open(path)?;
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;")?;
    db.execute_batch(schema)?;
    Ok(db)
}

/// Reads the file, stores its batches, hands each over when it is synced.
pub(super) fn pack(file: &Path, queue: &Path, out: mpsc::SyncSender<Vec<u8>>) -> anyhow::Result<()> {
    let db = open(queue, "CREATE TABLE batch (first INTEGER PRIMARY KEY, body BLOB NOT NULL)")?;
    let mut reader = csv::Reader::from_path(file)?;
    let mut record = csv::StringRecord::new();
    let (mut columns, mut group, mut n) = (Columns { first: 1, ..Columns::default() }, Vec::new(), 0);
    loop {
        let more = reader.read_record(&mut record)?;
        if more {
            n += 1;
            read(&record, &mut columns)?;
        }
        if columns.order.len() == BATCH || (!more && !columns.order.is_empty()) {
            let full = std::mem::replace(&mut columns, Columns { first: n + 1, ..Columns::default() });
            let plain = bincode::serde::encode_to_vec(&full, bincode::config::standard())?;
            group.push((full.first, zstd::bulk::compress(&plain, LEVEL)?));
        }
        if group.len() == GROUP || !more {
            db.execute_batch("BEGIN IMMEDIATE")?;
            for (first, body) in &group {
                db.prepare_cached("INSERT INTO batch VALUES (?1, ?2)")?.execute(params![first.cast_signed(), body])?;
            }
            db.execute_batch("COMMIT")?;
            group.drain(..).try_for_each(|(_, body)| out.send(body)).context("the sending end ended early")?;
        }
        if !more {
            return Ok(());
        }
    }
}

fn read(record: &csv::StringRecord, columns: &mut Columns) -> anyhow::Result<()> {
    let cell = |at: usize| record.get(at).unwrap_or_default();
    let text = |at: usize| cell(at).to_owned();
    columns.order.push(text(0));
    columns.line.push(cell(1).parse()?);
    columns.sku.push(text(2));
    columns.lot.push(text(3));
    columns.qty.push(cell(4).parse()?);
    columns.uom.push(text(5));
    columns.lpn.push(text(6));
    columns.location.push(text(7));
    let local: jiff::civil::DateTime = cell(8).parse()?;
    columns.picked_at.push(local.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp().as_millisecond());
    columns.operator.push(text(9));
    columns.txn.push(text(10));
    Ok(())
}

/// Decodes what arrives and stores it.
pub(super) fn store(ledger: &Path, events: u64, arrived: &mpsc::Receiver<Vec<u8>>) -> anyhow::Result<()> {
    let db = open(
        ledger,
        "CREATE TABLE event (site INTEGER NOT NULL, seq INTEGER NOT NULL, order_no TEXT, line INTEGER, sku TEXT, lot TEXT,
           qty INTEGER, lpn TEXT, location TEXT, at INTEGER, operator TEXT, txn TEXT, PRIMARY KEY (site, seq)) WITHOUT ROWID;
         CREATE TABLE balance (sku TEXT NOT NULL, lot TEXT NOT NULL, qty INTEGER NOT NULL, PRIMARY KEY (sku, lot)) WITHOUT ROWID;",
    )?;
    let mut stored = 0;
    while stored < events {
        let (mut sums, mut group) = (BTreeMap::new(), 0);
        db.execute_batch("BEGIN IMMEDIATE")?;
        while group < TRANSACTION && stored + group < events {
            let body = arrived.recv().context("the receiving end ended early")?;
            group += store_batch(&db, &body, &mut sums)?;
        }
        add(&db, sums)?;
        db.execute_batch("COMMIT")?;
        stored += group;
    }
    Ok(())
}

type Sums = BTreeMap<(String, String), i64>;

fn store_batch(db: &Connection, body: &[u8], sums: &mut Sums) -> anyhow::Result<u64> {
    let plain = zstd::bulk::decompress(body, 1 << 20)?;
    let (c, _): (Columns, usize) = bincode::serde::decode_from_slice(&plain, bincode::config::standard())?;
    let mut insert =
        db.prepare_cached("INSERT OR IGNORE INTO event VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?;
    for at in 0..c.order.len() {
        let seq = c.first.cast_signed() + i64::try_from(at)?;
        insert.execute(params![
            seq,
            c.order[at],
            c.line[at],
            c.sku[at],
            c.lot[at],
            c.qty[at],
            c.lpn[at],
            c.location[at],
            c.picked_at[at],
            c.operator[at],
            c.txn[at]
        ])?;
        *sums.entry((c.sku[at].clone(), c.lot[at].clone())).or_default() += c.qty[at];
    }
    Ok(c.order.len() as u64)
}

fn add(db: &Connection, sums: Sums) -> anyhow::Result<()> {
    let mut add = db
        .prepare_cached("INSERT INTO balance VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET qty = qty + excluded.qty")?;
    for ((sku, lot), qty) in sums {
        add.execute(params![sku, lot, qty])?;
    }
    Ok(())
}

//! What the writer does inside a transaction.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use docksync_proto::{identity::Chain, link::SenderState, site::SiteId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    capture::{Appended, Begun, Chunk, FileEnd, FileId, HeldLine, NewFile, Of, ReadyBatch, Stored, Unfinished},
    known::Known,
};

pub(super) const CLAIMED: i64 = 1;
pub(super) const CAPTURED: i64 = 2;
/// The word for it.
pub(super) const CAPTURED_WORD: &str = "captured";
pub(super) const REFUSED: i64 = 3;
pub(super) const DUPLICATE: i64 = 4;
/// Code under which a file waits to be read again because a stored batch of it is damaged.
pub(super) const DAMAGED_BATCH: &str = "DAMAGED_BATCH";
const HISTORY_MAX: i64 = 5_000;

/// Everything that a transaction changes in memory: taken back with it.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) state: SenderState,
    pub(super) bytes: u64,
    pub(super) events: u64,
}

pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub(super) fn load_state(db: &Connection) -> rusqlite::Result<Option<(String, SenderState)>> {
    let row = db
        .query_row("SELECT machine, state FROM link", [], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    row.map(|(machine, json)| {
        let state = serde_json::from_str(&json)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(e)))?;
        Ok((machine, state))
    })
    .transpose()
}

fn json(state: &SenderState) -> rusqlite::Result<String> {
    serde_json::to_string(state).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

pub(super) fn create_state(db: &Connection, machine: &str, state: &SenderState) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO link (id, incarnation, machine, state) VALUES (1, ?1, ?2, ?3)",
        params![state.incarnation.0, machine, json(state)?],
    )?;
    Ok(())
}

pub(super) fn save_state(db: &Connection, state: &SenderState) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE link SET state = ?1")?.execute([json(state)?])?;
    Ok(())
}

/// Whether any file with this content came by; false means that it need not be asked again inside a transaction.
pub(super) fn is_content_known(db: &Connection, file: &NewFile) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM file WHERE sha256 = ?1 AND feed = ?2 LIMIT 1")?
        .exists(params![file.sha256, file.feed])
}

/// Registers a file, or says that its content is known.
pub(super) fn begin(db: &Connection, file: &NewFile) -> rusqlite::Result<Begun> {
    // A file whose held lines a person wants checked again is read again: its good lines are known, and counted as such.
    let same: Option<(i64, i64, i64, String, i64)> = db
        .prepare_cached(
            "SELECT id, state, records_done, name, is_moved FROM file
             WHERE sha256 = ?1 AND feed = ?2 AND state < 4 AND coalesce(resolved_why, '') <> 'checked again'
             ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![file.sha256, file.feed], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)))
        .optional()?;
    match same {
        Some((id, CLAIMED, records_done, ..)) => {
            db.execute("UPDATE file SET path = ?2 WHERE id = ?1", params![id, text(&file.path)])?;
            let records_done = u64::try_from(records_done).unwrap_or(0);
            Ok(Begun::Resume { file: FileId(id), records_done })
        }
        Some((id, CAPTURED, _, earlier, 0)) if earlier == file.name => {
            // Captured, but the move was cut short and the file found again: it is that very file.
            db.execute("UPDATE file SET path = ?2 WHERE id = ?1", params![id, text(&file.path)])?;
            Ok(Begun::Duplicate { file: FileId(id), earlier })
        }
        Some((_, CAPTURED, _, earlier, _)) => {
            let id = insert_file(db, file, DUPLICATE, Some(&earlier))?;
            Ok(Begun::Duplicate { file: id, earlier })
        }
        // A refused file may be put back after its feed was mended.
        _ => insert_file(db, file, CLAIMED, None).map(|file| Begun::Resume { file, records_done: 0 }),
    }
}

fn insert_file(db: &Connection, file: &NewFile, state: i64, earlier: Option<&str>) -> rusqlite::Result<FileId> {
    let size = i64::try_from(file.size).unwrap_or(i64::MAX);
    let found = file.found_at.as_millisecond();
    db.prepare_cached(
        "INSERT INTO file (feed, name, path, size, mtime_ms, sha256, state, found_ms, ended_ms, earlier)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        file.feed,
        file.name,
        text(&file.path),
        size,
        file.mtime_ms,
        file.sha256,
        state,
        found,
        (state == DUPLICATE).then_some(found),
        earlier
    ])?;
    Ok(FileId(db.last_insert_rowid()))
}

pub(super) fn append(
    db: &Connection,
    head: &mut Head,
    known: &mut Known,
    chunk: &Chunk,
    now_ms: i64,
    day: i64,
) -> rusqlite::Result<Stored> {
    let mut total = Appended::default();
    let file = match &chunk.file {
        Of::Known(file) => *file,
        Of::Unseen(new) => match begin(db, new)? {
            Begun::Duplicate { file, earlier } => {
                return Ok(Stored { file, appended: total, earlier: Some(earlier) });
            }
            Begun::Resume { file, .. } => file,
            // Registering answers with a number.
            Begun::Unseen => return Err(rusqlite::Error::QueryReturnedNoRows),
        },
    };
    let first = head.state.head + 1;
    for batch in &chunk.batches {
        let judged = known.judge(db, &batch.facts)?;
        total.accepted += judged.accepted;
        total.duplicate += judged.duplicate;
        total.revised += judged.revised;
        // A batch in which nothing is new would only be refused by the ledger, event by event.
        if judged.accepted + judged.revised > 0 {
            store_batch(db, head, file, batch, (now_ms, day, known.next_run()))?;
            known.add(db, &batch.facts, now_ms)?;
            add_totals(db, batch)?;
        }
    }
    hold(db, file, chunk)?;
    let last = head.state.head;
    end(db, file, chunk, &total, now_ms, (last >= first).then_some((first, last)))?;
    Ok(Stored { file, appended: total, earlier: None })
}

fn store_batch(
    db: &Connection,
    head: &mut Head,
    file: FileId,
    batch: &ReadyBatch,
    (now_ms, day, run): (i64, i64, i64),
) -> rusqlite::Result<()> {
    let first = head.state.head + 1;
    let before = head.state.head_chain;
    let mut chain = before;
    for (seq, fact) in (first..).zip(&batch.facts) {
        chain = chain.next(seq, fact.id, &fact.payload);
    }
    let crc = crc32c::crc32c(&batch.bytes);
    db.prepare_cached(
        "INSERT INTO batch (first, count, file, captured_ms, crc, chain_before, chain_after, body, run) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![number(first), number(batch.facts.len() as u64), file.0, now_ms, crc, before.0, chain.0, batch.bytes, run])?;
    db.prepare_cached("INSERT OR IGNORE INTO day_start (day, first_seq) VALUES (?1, ?2)")?
        .execute([day, number(first)])?;
    head.state.head += batch.facts.len() as u64;
    head.state.head_chain = chain;
    head.bytes += batch.bytes.len() as u64;
    head.events += batch.facts.len() as u64;
    Ok(())
}

fn add_totals(db: &Connection, batch: &ReadyBatch) -> rusqlite::Result<()> {
    let mut add = db.prepare_cached(
        "INSERT INTO day_total (day, feed, event_type, count, qty_micros) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET count = count + excluded.count, qty_micros = qty_micros + excluded.qty_micros",
    )?;
    for total in &batch.totals {
        add.execute(params![total.day, total.feed, total.event_type, number(total.count), total.qty_micros])?;
    }
    Ok(())
}

pub(super) fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn hold(db: &Connection, file: FileId, chunk: &Chunk) -> rusqlite::Result<()> {
    for (n, line) in chunk.held.iter().enumerate() {
        hold_one(db, file, i64::try_from(n).unwrap_or(i64::MAX), line)?;
    }
    Ok(())
}

fn hold_one(db: &Connection, file: FileId, n: i64, line: &HeldLine) -> rusqlite::Result<()> {
    let mut add = db.prepare_cached(
        "INSERT OR REPLACE INTO held (file, line_no, col, n, field, code, found, expected, owner, text)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let (at, col, l) = (number(line.line_no), i64::from(line.column), line);
    add.execute(params![file.0, at, col, n, l.field, l.code, l.found, l.expected, l.owner, l.text])?;
    Ok(())
}

fn end(
    db: &Connection,
    file: FileId,
    chunk: &Chunk,
    total: &Appended,
    now_ms: i64,
    seqs: Option<(u64, u64)>,
) -> rusqlite::Result<()> {
    let (state, lines, taken, ended) = match chunk.end {
        None => (CLAIMED, 0, None, None),
        Some(FileEnd::Captured { lines, taken }) => (CAPTURED, lines, Some(taken), Some(now_ms)),
        Some(FileEnd::Refused { lines }) => (REFUSED, lines, Some(0), Some(now_ms)),
    };
    db.prepare_cached(
        "UPDATE file SET state = ?2, records_done = ?3, lines = ?4, ended_ms = ?5, accepted = accepted + ?6,
         duplicate = duplicate + ?7, revised = revised + ?8, held = held + ?9,
         first_seq = coalesce(first_seq, ?10), last_seq = coalesce(?11, last_seq), taken = ?12 WHERE id = ?1",
    )?
    .execute(params![
        file.0,
        state,
        number(chunk.records_done),
        number(lines),
        ended,
        number(total.accepted),
        number(total.duplicate),
        number(total.revised),
        number(chunk.held.len() as u64),
        seqs.map(|(first, _)| number(first)),
        seqs.map(|(_, last)| number(last)),
        taken.map(number),
    ])?;
    Ok(())
}

pub(super) fn moved(db: &Connection, file: FileId, to: &Path) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE file SET path = ?2, is_moved = 1 WHERE id = ?1")?.execute(params![file.0, text(to)])?;
    Ok(())
}

pub(super) fn unfinished(db: &Connection) -> rusqlite::Result<Vec<Unfinished>> {
    db.prepare("SELECT id, feed, name, path, sha256, state FROM file WHERE is_moved = 0 ORDER BY id")?
        .query_map([], |row| {
            let state: i64 = row.get(5)?;
            Ok(Unfinished {
                file: FileId(row.get(0)?),
                feed: row.get(1)?,
                name: row.get(2)?,
                path: PathBuf::from(row.get::<_, String>(3)?),
                sha256: row.get(4)?,
                is_captured: state == CAPTURED || state == DUPLICATE,
                is_refused: state == REFUSED,
            })
        })?
        .collect()
}

pub(super) fn is_known_in_place(
    db: &Connection,
    feed: &str,
    path: &Path,
    size: u64,
    mtime_ms: i64,
) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT 1 FROM file WHERE feed = ?1 AND path = ?2 AND size = ?3 AND mtime_ms = ?4 AND state > 1 LIMIT 1",
    )?
    .exists(params![feed, text(path), number(size), mtime_ms])
}

/// Gives up a batch that the disk has damaged: its facts count as never captured, and its file needs to be read again.
/// Gives the file, once.
pub(super) fn give_up(db: &Connection, known: &mut Known, first: i64) -> rusqlite::Result<Option<FileId>> {
    let row: Option<(i64, i64, i64)> = db
        .query_row("SELECT file, run, count FROM batch WHERE first = ?1 AND run IS NOT NULL", [first], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?))
        })
        .optional()?;
    let Some((file, run, count)) = row else { return Ok(None) };
    known.forget_run(db, run)?;
    db.execute("UPDATE batch SET run = NULL WHERE first = ?1", [first])?;
    let line = HeldLine {
        line_no: 0,
        column: 0,
        field: String::new(),
        code: DAMAGED_BATCH.to_owned(),
        found: format!("{count} events that the disk has damaged"),
        expected: "the file to be read again from the archive; check the disk of this server".to_owned(),
        owner: "site_it".to_owned(),
        text: String::new(),
    };
    hold_one(db, FileId(file), first, &line)?;
    db.execute("UPDATE file SET held = held + 1, resolved_ms = NULL, resolved_why = NULL WHERE id = ?1", [file])?;
    Ok(Some(FileId(file)))
}

/// Numbers every kept event anew from 1: the chains are recomputed from the events themselves.
pub(super) fn rebase(
    db: &Connection,
    known: &mut Known,
    site: &SiteId,
    state: &mut SenderState,
) -> rusqlite::Result<()> {
    let mut chain = Chain::start(site, state.incarnation);
    state.oldest_kept = 1;
    state.oldest_chain = chain;
    let mut next = 1_u64;
    db.execute_batch("CREATE TEMP TABLE renumbered AS SELECT first FROM batch ORDER BY first")?;
    let firsts: Vec<i64> = db
        .prepare("SELECT first FROM renumbered ORDER BY first")?
        .query_map([], |r| r.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    db.execute_batch("DROP TABLE renumbered")?;
    let mut files: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
    for first in firsts {
        let (file, body): (i64, Vec<u8>) =
            db.query_row("SELECT file, body FROM batch WHERE first = ?1", [first], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let Ok(events) = docksync_proto::codec::decode_batch(&body) else {
            // A damaged batch cannot be sent.
            give_up(db, known, first)?;
            db.execute("DELETE FROM batch WHERE first = ?1", [first])?;
            continue;
        };
        let before = chain;
        for (seq, event) in (next..).zip(&events) {
            chain = chain.next(seq, event.id, &event.digests.payload);
        }
        // Numbers only shrink, so a new number is never one that is still in use.
        db.prepare_cached("UPDATE batch SET first = ?2, chain_before = ?3, chain_after = ?4 WHERE first = ?1")?
            .execute(params![first, number(next), before.0, chain.0])?;
        let start = next;
        next += events.len() as u64;
        files.entry(file).or_insert((start, start)).1 = next - 1;
    }
    renumber_files(db, &files)?;
    state.head = next - 1;
    state.head_chain = chain;
    db.execute("DELETE FROM day_start", [])?;
    save_state(db, state)
}

/// Gives files the numbers that their events have now; those whose events are gone have none.
fn renumber_files(db: &Connection, files: &BTreeMap<i64, (u64, u64)>) -> rusqlite::Result<()> {
    db.execute("UPDATE file SET first_seq = NULL, last_seq = NULL WHERE first_seq IS NOT NULL", [])?;
    let mut renumber = db.prepare_cached("UPDATE file SET first_seq = ?2, last_seq = ?3 WHERE id = ?1")?;
    for (file, (first, last)) in files {
        renumber.execute(params![file, number(*first), number(*last)])?;
    }
    Ok(())
}

/// Deletes payloads through `through` that were captured before `before_ms`; gives how many batches.
pub(super) fn prune(
    db: &Connection,
    state: &mut SenderState,
    through: u64,
    before_ms: i64,
    batches_max: i64,
) -> rusqlite::Result<usize> {
    let last: Option<(i64, i64, [u8; 32])> = db
        .query_row(
            "SELECT first, count, chain_after FROM (
                SELECT first, count, chain_after FROM batch
                WHERE first + count - 1 <= ?1 AND captured_ms < ?2 ORDER BY first LIMIT ?3
             ) ORDER BY first DESC LIMIT 1",
            params![number(through), before_ms, batches_max],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let Some((first, count, chain)) = last else { return Ok(0) };
    let gone = db.execute("DELETE FROM batch WHERE first <= ?1", [first])?;
    state.oldest_kept = u64::try_from(first + count).unwrap_or(0);
    state.oldest_chain = Chain(chain);
    save_state(db, state)?;
    Ok(gone)
}

pub(super) fn note_history(db: &Connection, at_ms: i64, what: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO history (at_ms, what) VALUES (?1, ?2)")?.execute(params![at_ms, what])?;
    db.prepare_cached("DELETE FROM history WHERE id <= ?1")?.execute([db.last_insert_rowid() - HISTORY_MAX])?;
    Ok(())
}

pub(super) fn set_since(db: &Connection, name: &str, from_ms: i64, text: &str) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO since (name, from_ms, text) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET from_ms = ?2, text = ?3",
    )?
    .execute(params![name, from_ms, text])?;
    Ok(())
}

pub(super) fn resolve_file(db: &Connection, file: FileId, at_ms: i64, why: &str) -> rusqlite::Result<bool> {
    let n = db.execute(
        "UPDATE file SET resolved_ms = ?2, resolved_why = ?3 WHERE id = ?1 AND resolved_ms IS NULL AND (state = 3 OR held > 0)",
        params![file.0, at_ms, why],
    )?;
    Ok(n > 0)
}

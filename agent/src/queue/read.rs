//! Reading beside the writer: batches for the uplink, rows for pages and commands.

use std::path::{Path, PathBuf};

use docksync_proto::{codec, frame::DayTotal, identity::Chain, link::SenderState};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    QueueError,
    capture::{FileId, HeldLine},
    schema, store,
};

/// A stored batch.
#[derive(Debug, Clone)]
pub struct BatchRow {
    /// Number of its first event.
    pub first: u64,
    /// Events.
    pub count: u32,
    /// Chain before the first.
    pub chain_before: Chain,
    /// Chain after the last.
    pub chain_after: Chain,
    /// Columns; empty where the checksum does not match.
    pub body: Vec<u8>,
    /// Whether the checksum matches.
    pub is_sound: bool,
}

impl BatchRow {
    /// Number of its last event.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }
}

/// A file as the page and the commands show it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct FileRow {
    /// Number.
    pub id: FileId,
    /// Feed.
    pub feed: String,
    /// Name as found.
    pub name: String,
    /// Where it lies.
    pub path: String,
    /// `claimed`, `captured`, `refused` or `duplicate`.
    pub state: &'static str,
    /// When it was found, milliseconds since 1970.
    pub found_ms: i64,
    /// When it was dealt with.
    pub ended_ms: Option<i64>,
    /// Bytes.
    pub size: i64,
    /// SHA-256, hex.
    pub sha256: String,
    /// Data lines.
    pub lines: i64,
    /// Those of them that events hold; `None` for a file of before they were counted.
    pub taken: Option<i64>,
    /// Events that were new.
    pub accepted: i64,
    /// Events that were captured before.
    pub duplicate: i64,
    /// Events that were captured before with other content.
    pub revised: i64,
    /// Reasons for which lines are held.
    pub held: i64,
    /// Name under which the same bytes were captured before.
    pub earlier: Option<String>,
    /// First event.
    pub first_seq: Option<i64>,
    /// Last event.
    pub last_seq: Option<i64>,
    /// When it stopped needing a person.
    pub resolved_ms: Option<i64>,
    /// Why.
    pub resolved_why: Option<String>,
}

/// Which files to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFilter {
    /// The newest.
    Newest,
    /// Those that need a person, oldest first.
    NeedPerson,
}

/// A line of the page's history.
#[derive(Debug, Clone, serde::Serialize)]
pub struct HistoryRow {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// What.
    pub what: String,
}

/// What `queue verify` found.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Verified {
    /// Batches read.
    pub batches: u64,
    /// Events whose chain was recomputed.
    pub events: u64,
    /// What does not fit; empty for a sound queue.
    pub faults: Vec<String>,
}

/// A connection for reading.
#[derive(Debug)]
pub struct Reader {
    pub(super) db: Connection,
    path: PathBuf,
}

const FILE_COLUMNS: &str = "id, feed, name, path, state, found_ms, ended_ms, size, sha256, lines, accepted, duplicate, revised, held, \
                            earlier, first_seq, last_seq, resolved_ms, resolved_why, taken";

impl Reader {
    /// Opens the database for reading.
    ///
    /// # Errors
    /// [`QueueError`] where there is none, or none of this version.
    pub fn open(path: &Path) -> Result<Self, QueueError> {
        Ok(Self { db: schema::open_reader(path)?, path: path.to_owned() })
    }

    pub(super) fn sql(&self, source: rusqlite::Error) -> QueueError {
        QueueError::Sqlite { path: self.path.clone(), what: "read", source }
    }

    /// State of the link.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn link(&self) -> Result<Option<SenderState>, QueueError> {
        Ok(store::load_state(&self.db).map_err(|e| self.sql(e))?.map(|(_, state)| state))
    }

    /// Batches from the one that holds event `from`, at most `batches` of them.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn batches(&self, from: u64, batches: u32) -> Result<Vec<BatchRow>, QueueError> {
        self.read_batches(from, batches).map_err(|e| self.sql(e))
    }

    fn read_batches(&self, from: u64, batches: u32) -> rusqlite::Result<Vec<BatchRow>> {
        let from = store::number(from);
        let start: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT first FROM batch WHERE first <= ?1 AND first + count > ?1 ORDER BY first DESC LIMIT 1",
            )?
            .query_row([from], |row| row.get(0))
            .optional()?;
        self.db
            .prepare_cached(
                "SELECT first, count, chain_before, chain_after, body, crc FROM batch WHERE first >= ?1 ORDER BY first LIMIT ?2",
            )?
            .query_map(params![start.unwrap_or(from), batches], batch_row)?
            .collect()
    }

    /// Files of which a stored batch is damaged and that wait to be read again.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn damaged_files(&self) -> Result<Vec<FileId>, QueueError> {
        self.files_by(
            "SELECT DISTINCT f.id FROM file f JOIN held h ON h.file = f.id
             WHERE (f.state = 3 OR f.held > 0) AND f.resolved_ms IS NULL AND h.code = ?1",
            store::DAMAGED_BATCH,
        )
    }

    /// Files that were to be read again and never came by again: the agent was stopped in between.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn files_not_read_again(&self) -> Result<Vec<FileId>, QueueError> {
        self.files_by(
            "SELECT f.id FROM file f WHERE f.resolved_why = ?1 AND NOT EXISTS
             (SELECT 1 FROM file g WHERE g.sha256 = f.sha256 AND g.feed = f.feed AND g.id > f.id)",
            crate::requests::CHECKED_AGAIN,
        )
    }

    fn files_by(&self, sql: &str, word: &str) -> Result<Vec<FileId>, QueueError> {
        let read = || {
            self.db
                .prepare_cached(sql)?
                .query_map([word], |row| row.get(0).map(FileId))?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(|e| self.sql(e))
    }

    /// Chain after event `seq`, where its batch, or the one behind it, is kept.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn chain_at(&self, seq: u64) -> Result<Option<Chain>, QueueError> {
        let Some(batch) = self.batches(seq, 1)?.into_iter().next().filter(|b| b.first <= seq + 1) else {
            return Ok(None);
        };
        if batch.first == seq + 1 {
            return Ok(Some(batch.chain_before));
        }
        if batch.last() == seq {
            return Ok(Some(batch.chain_after));
        }
        let mut chain = batch.chain_before;
        let Ok(events) = codec::decode_batch(&batch.body) else { return Ok(None) };
        for (n, event) in (batch.first..=seq).zip(&events) {
            chain = chain.next(n, event.id, &event.digests.payload);
        }
        Ok(Some(chain))
    }

    /// When the oldest event behind `marked` was captured, milliseconds since 1970.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn oldest_after(&self, marked: u64) -> Result<Option<i64>, QueueError> {
        self.db
            .prepare_cached("SELECT captured_ms FROM batch WHERE first > ?1 ORDER BY first LIMIT 1")
            .and_then(|mut s| s.query_row([store::number(marked)], |row| row.get(0)).optional())
            .map_err(|e| self.sql(e))
    }

    /// Number before the first event of this day (`YYYYMMDD`), or of the next day that has one.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn day_start(&self, day: i64) -> Result<Option<u64>, QueueError> {
        self.db
            .prepare_cached("SELECT first_seq - 1 FROM day_start WHERE day >= ?1 ORDER BY day LIMIT 1")
            .and_then(|mut s| s.query_row([day], |row| row.get::<_, i64>(0)).optional())
            .map(|seq| seq.map(|n| u64::try_from(n).unwrap_or(0)))
            .map_err(|e| self.sql(e))
    }

    /// Files.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn files(&self, filter: FileFilter, limit: u32) -> Result<Vec<FileRow>, QueueError> {
        let which = match filter {
            FileFilter::Newest => "ORDER BY id DESC LIMIT ?1",
            FileFilter::NeedPerson => "WHERE (state = 3 OR held > 0) AND resolved_ms IS NULL ORDER BY id LIMIT ?1",
        };
        self.db
            .prepare_cached(&format!("SELECT {FILE_COLUMNS} FROM file {which}"))
            .and_then(|mut s| s.query_map([limit], file_row)?.collect())
            .map_err(|e| self.sql(e))
    }

    /// How many files need a person.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn files_needing_person(&self) -> Result<u64, QueueError> {
        self.db
            .prepare_cached("SELECT count(*) FROM file WHERE (state = 3 OR held > 0) AND resolved_ms IS NULL")
            .and_then(|mut s| s.query_row([], |row| row.get::<_, i64>(0)))
            .map(|n| u64::try_from(n).unwrap_or(0))
            .map_err(|e| self.sql(e))
    }

    /// One file.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn file(&self, id: FileId) -> Result<Option<FileRow>, QueueError> {
        self.db
            .query_row(&format!("SELECT {FILE_COLUMNS} FROM file WHERE id = ?1"), [id.0], file_row)
            .optional()
            .map_err(|e| self.sql(e))
    }

    /// The held lines of a file, at most `limit`.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn held(&self, file: FileId, limit: u32) -> Result<Vec<HeldLine>, QueueError> {
        let row = |r: &Row<'_>| {
            Ok(HeldLine {
                line_no: u64::try_from(r.get::<_, i64>(0)?).unwrap_or(0),
                column: u32::try_from(r.get::<_, i64>(1)?).unwrap_or(0),
                field: r.get(2)?,
                code: r.get(3)?,
                found: r.get(4)?,
                expected: r.get(5)?,
                owner: r.get(6)?,
                text: r.get(7)?,
            })
        };
        self.db
            .prepare_cached(
                "SELECT line_no, col, field, code, found, expected, owner, text FROM held WHERE file = ?1 ORDER BY line_no, col LIMIT ?2",
            )
            .and_then(|mut s| s.query_map(params![file.0, limit], row)?.collect())
            .map_err(|e| self.sql(e))
    }

    /// Control totals of the days from this one (`YYYYMMDD`) on.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn totals(&self, from_day: i64) -> Result<Vec<DayTotal>, QueueError> {
        let row = |r: &Row<'_>| {
            Ok(DayTotal {
                day: r.get(0)?,
                feed: r.get(1)?,
                event_type: r.get(2)?,
                count: u64::try_from(r.get::<_, i64>(3)?).unwrap_or(0),
                qty_micros: r.get(4)?,
            })
        };
        self.db
            .prepare_cached("SELECT day, feed, event_type, count, qty_micros FROM day_total WHERE day >= ?1 ORDER BY 1, 2, 3 LIMIT 500")
            .and_then(|mut s| s.query_map([from_day], row)?.collect())
            .map_err(|e| self.sql(e))
    }

    /// Since when a named condition holds: milliseconds since 1970 and its text.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn since(&self, name: &str) -> Result<Option<(i64, String)>, QueueError> {
        self.db
            .query_row("SELECT from_ms, text FROM since WHERE name = ?1", [name], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(|e| self.sql(e))
    }

    /// The newest lines of the history.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn history(&self, limit: u32) -> Result<Vec<HistoryRow>, QueueError> {
        self.db
            .prepare_cached("SELECT at_ms, what FROM history ORDER BY id DESC LIMIT ?1")
            .and_then(|mut s| s.query_map([limit], |r| Ok(HistoryRow { at_ms: r.get(0)?, what: r.get(1)? }))?.collect())
            .map_err(|e| self.sql(e))
    }

    /// Reads everything and recomputes every chain.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn verify(&self) -> Result<Verified, QueueError> {
        let mut found = Verified::default();
        let check: String = self.db.query_row("PRAGMA integrity_check", [], |r| r.get(0)).map_err(|e| self.sql(e))?;
        if check != "ok" {
            found.faults.push(format!("SQLite: {check}"));
        }
        let state = self.link()?;
        let mut next = state.as_ref().map_or(1, |s| s.oldest_kept);
        let mut chain = state.as_ref().map(|s| s.oldest_chain);
        loop {
            let batches = self.batches(next, 64)?;
            if batches.is_empty() {
                break;
            }
            for batch in &batches {
                verify_batch(batch, &mut chain, &mut next, &mut found);
            }
        }
        if let Some(state) = state.filter(|s| s.head + 1 != next || chain != Some(s.head_chain)) {
            found.faults.push(format!("the head says event {}, the batches end at {}", state.head, next - 1));
        }
        Ok(found)
    }
}

fn verify_batch(batch: &BatchRow, chain: &mut Option<Chain>, next: &mut u64, found: &mut Verified) {
    let name = format!("events {} to {}", batch.first, batch.last());
    if batch.first != *next || chain.is_some_and(|c| c != batch.chain_before) {
        found.faults.push(format!("{name}: do not follow event {}", *next - 1));
    }
    match codec::decode_batch(&batch.body) {
        Ok(events) if batch.is_sound => {
            let mut follow = batch.chain_before;
            for (seq, event) in (batch.first..).zip(&events) {
                follow = follow.next(seq, event.id, &event.digests.payload);
            }
            if follow != batch.chain_after || events.len() != batch.count as usize {
                found.faults.push(format!("{name}: the chain does not come out"));
            }
            found.events += events.len() as u64;
        }
        Ok(_) => found.faults.push(format!("{name}: the checksum does not match")),
        Err(error) => found.faults.push(format!("{name}: {error}")),
    }
    found.batches += 1;
    *chain = Some(batch.chain_after);
    *next = batch.last() + 1;
}

fn batch_row(row: &Row<'_>) -> rusqlite::Result<BatchRow> {
    let body: Vec<u8> = row.get(4)?;
    let is_sound = crc32c::crc32c(&body) == row.get::<_, u32>(5)?;
    Ok(BatchRow {
        first: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
        count: row.get(1)?,
        chain_before: Chain(row.get(2)?),
        chain_after: Chain(row.get(3)?),
        body,
        is_sound,
    })
}

fn file_row(row: &Row<'_>) -> rusqlite::Result<FileRow> {
    let state = match row.get::<_, i64>(4)? {
        store::CLAIMED => "claimed",
        store::CAPTURED => store::CAPTURED_WORD,
        store::REFUSED => "refused",
        _ => "duplicate",
    };
    Ok(FileRow {
        id: FileId(row.get(0)?),
        feed: row.get(1)?,
        name: row.get(2)?,
        path: row.get(3)?,
        state,
        found_ms: row.get(5)?,
        ended_ms: row.get(6)?,
        size: row.get(7)?,
        sha256: docksync_proto::identity::hex(&row.get::<_, [u8; 32]>(8)?),
        lines: row.get(9)?,
        accepted: row.get(10)?,
        duplicate: row.get(11)?,
        revised: row.get(12)?,
        held: row.get(13)?,
        earlier: row.get(14)?,
        first_seq: row.get(15)?,
        last_seq: row.get(16)?,
        resolved_ms: row.get(17)?,
        resolved_why: row.get(18)?,
        taken: row.get(19)?,
    })
}

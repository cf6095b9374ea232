//! The search index: sorted runs of (text hash, batch), merged by and by.
//!
//! A group of commits writes one run in a few rows; [`FAN_IN`] runs of one level become one of the next, until a run has
//! [`ENTRIES_MAX`] entries. A row per text and batch would cost the writer as much again as all else, for look-ups that people make.
//! Format of `term_chunk.entries`: pairs of 14 bytes, hash (i64) and batch number (48 bits), big endian, sorted.

use rusqlite::{Connection, params};

use super::{
    error::{LedgerError, sql},
    sqlite::SqliteStore,
};

/// Runs of one level that become one of the next.
const FAN_IN: usize = 8;
/// Most entries of a run: a merge of this size holds the writer up for a fraction of a second.
const ENTRIES_MAX: usize = 2_000_000;
const ENTRY_BYTES: usize = 14;
const CHUNK_ENTRIES: usize = 280;

/// Text hash and batch number.
pub(super) type Entry = (i64, i64);

/// One run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    run_no: i64,
    level: i64,
    entries: usize,
}

/// Every run, oldest first.
pub(super) fn read_runs(conn: &Connection) -> Result<Vec<Run>, LedgerError> {
    let doing = "read the search index";
    let mut all = conn.prepare("SELECT run_no, level, entries FROM term_run ORDER BY run_no").map_err(sql(doing))?;
    all.query_map([], |r| Ok(Run { run_no: r.get(0)?, level: r.get(1)?, entries: r.get::<_, i64>(2)? as usize }))
        .and_then(Iterator::collect)
        .map_err(sql(doing))
}

/// Batches that carry a text, newest first.
pub(super) fn look_up(conn: &Connection, hash: i64, limit: usize) -> Result<Vec<i64>, LedgerError> {
    let doing = "look up a text";
    // Entries of one hash may begin in the chunk before the first that starts with it.
    let mut chunks = conn
        .prepare_cached(
            "SELECT entries FROM term_chunk WHERE run_no = ?1 AND first_hash <= ?2 AND first_hash >= coalesce( \
             (SELECT max(first_hash) FROM term_chunk WHERE run_no = ?1 AND first_hash < ?2), ?2)",
        )
        .map_err(sql(doing))?;
    let mut found = Vec::new();
    for run in read_runs(conn)? {
        let mut rows = chunks.query(params![run.run_no, hash]).map_err(sql(doing))?;
        while let Some(row) = rows.next().map_err(sql(doing))? {
            let bytes: Vec<u8> = row.get(0).map_err(sql(doing))?;
            found.extend(unpack(&bytes).filter(|(h, _)| *h == hash).map(|(_, batch_no)| batch_no));
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.dedup();
    found.truncate(limit);
    Ok(found)
}

impl SqliteStore {
    /// Writes the sorted entries of a group and merges what has become too many runs.
    pub(super) fn add_run(&mut self, entries: &[Entry]) -> Result<(), LedgerError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.write_run(entries, 0)?;
        let mut level = 0;
        while let Some(few) = self.ripe(level) {
            let mut merged = Vec::with_capacity(few.iter().map(|r| r.entries).sum());
            for run in &few {
                self.take_run(run.run_no, &mut merged)?;
            }
            self.runs.retain(|r| few.iter().all(|f| f.run_no != r.run_no));
            // The stable sort finds the runs that are sorted already.
            merged.sort();
            level += 1;
            self.write_run(&merged, level)?;
        }
        Ok(())
    }

    /// Runs of a level that are due for a merge.
    fn ripe(&self, level: i64) -> Option<Vec<Run>> {
        let few: Vec<Run> =
            self.runs.iter().filter(|r| r.level == level && r.entries < ENTRIES_MAX / FAN_IN).copied().collect();
        (few.len() >= FAN_IN).then_some(few)
    }

    fn write_run(&mut self, entries: &[Entry], level: i64) -> Result<(), LedgerError> {
        let doing = "write the search index";
        let run_no = self.runs.iter().map(|r| r.run_no).max().unwrap_or(0) + 1;
        self.run(doing, "INSERT INTO term_run VALUES (?1, ?2, ?3)", params![run_no, level, entries.len() as i64])?;
        let mut insert = self
            .db
            .conn
            .prepare_cached("INSERT INTO term_chunk (run_no, first_hash, entries) VALUES (?1, ?2, ?3)")
            .map_err(sql(doing))?;
        for chunk in entries.chunks(CHUNK_ENTRIES) {
            insert.execute(params![run_no, chunk[0].0, pack(chunk)]).map_err(sql(doing))?;
        }
        drop(insert);
        self.runs.push(Run { run_no, level, entries: entries.len() });
        Ok(())
    }

    fn take_run(&self, run_no: i64, entries: &mut Vec<Entry>) -> Result<(), LedgerError> {
        let doing = "merge the search index";
        let mut chunks = self
            .db
            .conn
            .prepare_cached("SELECT entries FROM term_chunk WHERE run_no = ?1 ORDER BY first_hash")
            .map_err(sql(doing))?;
        let mut rows = chunks.query([run_no]).map_err(sql(doing))?;
        while let Some(row) = rows.next().map_err(sql(doing))? {
            let bytes: Vec<u8> = row.get(0).map_err(sql(doing))?;
            entries.extend(unpack(&bytes));
        }
        self.run(doing, "DELETE FROM term_chunk WHERE run_no = ?1", [run_no])?;
        self.run(doing, "DELETE FROM term_run WHERE run_no = ?1", [run_no])
    }
}

fn pack(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for (hash, batch_no) in entries {
        bytes.extend_from_slice(&hash.to_be_bytes());
        bytes.extend_from_slice(&batch_no.to_be_bytes()[2..]);
    }
    bytes
}

fn unpack(bytes: &[u8]) -> impl Iterator<Item = Entry> + '_ {
    bytes.chunks_exact(ENTRY_BYTES).map(|pair| {
        let (mut hash, mut batch_no) = ([0; 8], [0; 8]);
        hash.copy_from_slice(&pair[..8]);
        batch_no[2..].copy_from_slice(&pair[8..]);
        (i64::from_be_bytes(hash), i64::from_be_bytes(batch_no))
    })
}

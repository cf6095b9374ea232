//! The audit trail: who did what, when and why. Append-only by triggers, and each row's hash covers the row before it.

use docksync_proto::identity::Hash;
use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::{
    Reads,
    error::{LedgerError, sql},
    sqlite::SqliteStore,
};

/// A new row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Person or program.
    pub who: String,
    /// What was done, one word (`retry`, `skip`, `backup`).
    pub act: String,
    /// To what.
    pub subject: String,
    /// Reason and outcome.
    pub detail: String,
}

/// A stored row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number, from 1 without gaps.
    pub audit_no: i64,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// What.
    pub entry: Entry,
    /// SHA-256 over the hash before and every value.
    pub hash: Hash,
}

/// End of the trail.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AuditTail {
    no: i64,
    hash: Hash,
}

impl AuditTail {
    pub(super) fn read(conn: &Connection) -> Result<Self, LedgerError> {
        conn.query_row("SELECT audit_no, hash FROM audit ORDER BY audit_no DESC LIMIT 1", [], |r| {
            Ok(Self { no: r.get(0)?, hash: r.get(1)? })
        })
        .optional()
        .map(Option::unwrap_or_default)
        .map_err(sql("read the audit trail"))
    }
}

impl SqliteStore {
    pub(super) fn append_audit(&mut self, entry: &Entry) -> Result<(), LedgerError> {
        // Read anew: commands write to the trail beside the running service.
        let tail = AuditTail::read(&self.db.conn)?;
        let no = tail.no + 1;
        let hash = chain(&tail.hash, no, self.now_ms, entry);
        self.run(
            "write the audit trail",
            "INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![no, self.now_ms, entry.who, entry.act, entry.subject, entry.detail, hash],
        )
    }
}

fn chain(before: &Hash, no: i64, at_ms: i64, entry: &Entry) -> Hash {
    let mut sha = Sha256::new();
    sha.update(before);
    sha.update(no.to_be_bytes());
    sha.update(at_ms.to_be_bytes());
    for text in [&entry.who, &entry.act, &entry.subject, &entry.detail] {
        sha.update((text.len() as u64).to_be_bytes());
        sha.update(text.as_bytes());
    }
    sha.finalize().into()
}

/// Rows read at a time.
const ROWS: usize = 1_000;

/// Every row behind a number, in order; gives the last number that was seen, or the one that was given.
///
/// # Errors
/// [`LedgerError`].
pub fn each(reads: &impl Reads, behind: i64, mut take: impl FnMut(&AuditRow)) -> Result<i64, LedgerError> {
    let mut last = behind;
    loop {
        let rows = reads.audit_rows(last + 1, ROWS)?;
        let Some(row) = rows.last() else { return Ok(last) };
        last = row.audit_no;
        rows.iter().for_each(&mut take);
    }
}

/// Recomputes the chain over rows that start at the first; gives the number of the first row that does not fit.
pub fn verify(rows: impl IntoIterator<Item = AuditRow>) -> Result<i64, i64> {
    let mut before = Hash::default();
    let mut last = 0;
    for row in rows {
        if row.audit_no != last + 1 || chain(&before, row.audit_no, row.at_ms, &row.entry) != row.hash {
            return Err(row.audit_no);
        }
        before = row.hash;
        last = row.audit_no;
    }
    Ok(last)
}

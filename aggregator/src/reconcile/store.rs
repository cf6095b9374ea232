//! The database of reconciliation, beside the ledger: book, runs, drifts.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::error::{ReconcileError, sql};
use crate::ledger::LedgerError;

/// File below the state folder.
pub const RECONCILE_FILE: &str = "reconcile.sqlite";
/// Forward only; the place in this list is the schema that a migration leads to.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];
const BUSY_WAIT: Duration = Duration::from_secs(10);
const CACHE_KIB: i64 = 64 * 1024;

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Asked for.
    Asked = 1,
    /// Under way.
    Running = 2,
    /// Done.
    Done = 3,
    /// Ended without a result.
    Failed = 4,
}

impl RunState {
    fn from_code(code: i64) -> Self {
        match code {
            2 => Self::Running,
            3 => Self::Done,
            4 => Self::Failed,
            _ => Self::Asked,
        }
    }

    /// The word on pages and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Number.
    pub run_no: i64,
    /// By whom.
    pub asked_by: String,
    /// Only these sites, separated by commas; empty is all.
    pub sites: String,
    /// Whether every batch of the ledger is read again.
    pub is_full: bool,
    /// The run whose inputs are compared again.
    pub again: Option<i64>,
    /// State.
    pub state: RunState,
    /// What it is at.
    pub step: String,
    /// When it was asked for, milliseconds since 1970.
    pub asked_ms: i64,
    /// When it began.
    pub started_ms: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// Report as JSON, or why it failed.
    pub report: String,
}

/// A run that somebody asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// By whom.
    pub by: String,
    /// Only these sites; none is all.
    pub sites: Vec<String>,
    /// Compare again what this run compared.
    pub again: Option<i64>,
    /// Read every batch of the ledger again.
    pub is_full: bool,
}

/// A connection to the database of reconciliation.
#[derive(Debug)]
pub struct ReconStore {
    pub(super) conn: Connection,
}

impl ReconStore {
    /// Opens the database of a state folder, creating it where there is none.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub fn open(state_dir: &Path) -> Result<Self, ReconcileError> {
        let path = state_dir.join(RECONCILE_FILE);
        let error = |source| ReconcileError::Open { path: path.clone(), source };
        let conn = Connection::open(&path).map_err(error)?;
        prepare(&conn).map_err(error)?;
        let found: i64 = conn.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(error)?;
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        let version = usize::try_from(found).ok().filter(|_| found <= known);
        let version = version.ok_or(ReconcileError::NewerSchema { path: path.clone(), found, known })?;
        for (at, migration) in MIGRATIONS.iter().enumerate().skip(version) {
            let script = format!("BEGIN IMMEDIATE;\n{migration}\nPRAGMA user_version = {};\nCOMMIT;", at + 1);
            conn.execute_batch(&script).map_err(error)?;
        }
        Ok(Self { conn })
    }

    /// Copies the database while it is in use; `false` where there is none.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub fn copy(state_dir: &Path, to: &Path) -> Result<bool, ReconcileError> {
        if !state_dir.join(RECONCILE_FILE).exists() {
            return Ok(false);
        }
        let store = Self::open(state_dir)?;
        // An older copy of the same name is an older backup's: that was refused to be overwritten before.
        remove_if_there(to)?;
        store.run_sql("copy the comparisons of the books", "VACUUM INTO ?1", [to.to_string_lossy()])?;
        Ok(true)
    }

    /// Puts a copy in place, where there is one and nothing is in its way.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub fn put_back(from: &Path, state_dir: &Path) -> Result<(), ReconcileError> {
        let to = state_dir.join(RECONCILE_FILE);
        if !from.exists() || to.exists() {
            return Ok(());
        }
        let io = |source| LedgerError::Io { doing: "put back", path: to.clone(), source };
        let aside = to.with_extension("restoring");
        std::fs::copy(from, &aside)
            .and_then(|_| std::fs::File::open(&aside)?.sync_all())
            .and_then(|()| std::fs::rename(&aside, &to))
            .map_err(io)?;
        Ok(())
    }

    pub(super) fn run_sql(
        &self,
        doing: &'static str,
        text: &str,
        values: impl Params,
    ) -> Result<usize, ReconcileError> {
        self.conn.prepare_cached(text).and_then(|mut s| s.execute(values)).map_err(sql(doing))
    }

    pub(super) fn all<T>(
        &self,
        doing: &'static str,
        text: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Vec<T>, ReconcileError> {
        let mut statement = self.conn.prepare_cached(text).map_err(sql(doing))?;
        statement.query_map(values, read).and_then(Iterator::collect).map_err(sql(doing))
    }

    pub(super) fn one<T>(
        &self,
        doing: &'static str,
        text: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Option<T>, ReconcileError> {
        let mut statement = self.conn.prepare_cached(text).map_err(sql(doing))?;
        statement.query_row(values, read).optional().map_err(sql(doing))
    }

    /// Everything in `work` is one durable transaction.
    pub(super) fn together<T>(&self, work: impl FnOnce() -> Result<T, ReconcileError>) -> Result<T, ReconcileError> {
        self.conn.execute_batch("BEGIN IMMEDIATE").map_err(sql("begin a transaction"))?;
        match work() {
            Ok(value) => {
                self.conn.execute_batch("COMMIT").map_err(sql("commit"))?;
                Ok(value)
            }
            Err(error) => {
                // The first error is the one that counts.
                drop(self.conn.execute_batch("ROLLBACK"));
                Err(error)
            }
        }
    }

    /// A number kept under a name; 0 before it was set.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub fn meta(&self, key: &str) -> Result<i64, ReconcileError> {
        let found = self.one("read a position", "SELECT value FROM meta WHERE key = ?1", [key], |r| r.get(0))?;
        Ok(found.unwrap_or(0))
    }

    pub(super) fn set_meta(&self, key: &str, value: i64) -> Result<(), ReconcileError> {
        self.run_sql("keep a position", "INSERT OR REPLACE INTO meta VALUES (?1, ?2)", params![key, value]).map(drop)
    }

    /// Asks for a run; gives its number.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub fn ask(&self, wish: &Wish, now_ms: i64) -> Result<i64, ReconcileError> {
        self.run_sql(
            "ask for a run",
            "INSERT INTO run (asked_ms, asked_by, sites, again, is_full) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![now_ms, wish.by, wish.sites.join(","), wish.again, wish.is_full],
        )?;
        Ok(self.conn.last_insert_rowid())
    }

    /// The next run that is to be made: one that was under way goes on first.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub fn next_run(&self) -> Result<Option<RunRow>, ReconcileError> {
        self.one(
            "look for a run",
            &format!("{RUN} WHERE state IN (1, 2) ORDER BY state DESC, run_no LIMIT 1"),
            [],
            run_row,
        )
    }

    /// One run.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub fn run(&self, run_no: i64) -> Result<Option<RunRow>, ReconcileError> {
        self.one("read a run", &format!("{RUN} WHERE run_no = ?1"), [run_no], run_row)
    }

    /// Newest runs, newest first.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub fn runs(&self, limit: usize) -> Result<Vec<RunRow>, ReconcileError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.all("read runs", &format!("{RUN} ORDER BY run_no DESC LIMIT ?1"), [limit], run_row)
    }

    /// The newest run that is done.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub fn last_done(&self) -> Result<Option<RunRow>, ReconcileError> {
        self.one("read the last run", &format!("{RUN} WHERE state = 3 ORDER BY run_no DESC LIMIT 1"), [], run_row)
    }

    pub(super) fn set_step(&self, run_no: i64, step: &str, now_ms: i64) -> Result<(), ReconcileError> {
        self.run_sql(
            "note the progress of a run",
            "UPDATE run SET state = 2, step = ?2, started_ms = coalesce(started_ms, ?3) WHERE run_no = ?1",
            params![run_no, step, now_ms],
        )
        .map(drop)
    }

    pub(super) fn end_run(
        &self,
        run_no: i64,
        state: RunState,
        report: &str,
        now_ms: i64,
    ) -> Result<(), ReconcileError> {
        self.run_sql(
            "end a run",
            "UPDATE run SET state = ?2, step = '', report = ?3, ended_ms = ?4 WHERE run_no = ?1",
            params![run_no, state as i64, report, now_ms],
        )
        .map(drop)
    }
}

const RUN: &str =
    "SELECT run_no, asked_by, sites, again, state, step, asked_ms, started_ms, ended_ms, report, is_full FROM run";

fn run_row(r: &Row<'_>) -> Result<RunRow, rusqlite::Error> {
    Ok(RunRow {
        run_no: r.get(0)?,
        asked_by: r.get(1)?,
        sites: r.get(2)?,
        is_full: r.get(10)?,
        again: r.get(3)?,
        state: RunState::from_code(r.get(4)?),
        step: r.get(5)?,
        asked_ms: r.get(6)?,
        started_ms: r.get(7)?,
        ended_ms: r.get(8)?,
        report: r.get(9)?,
    })
}

fn remove_if_there(path: &Path) -> Result<(), ReconcileError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(LedgerError::Io { doing: "replace", path: path.to_owned(), source }.into()),
    }
}

fn prepare(conn: &Connection) -> Result<(), rusqlite::Error> {
    conn.busy_timeout(BUSY_WAIT)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)
}

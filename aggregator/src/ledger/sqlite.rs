//! The embedded store: one SQLite database, write-ahead log, a sync at every commit.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use docksync_proto::{
    identity::{Chain, Incarnation},
    site::SiteId,
};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::{
    Append, Change, Clock, Committed, LinkRow, Store,
    error::{LedgerError, sql},
    keys::Keys,
    reads::SqliteReader,
    runs::{Run, read_runs},
};

/// Forward only; the place in this list is the schema that a migration leads to.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/001_ledger.sql"),
    include_str!("migrations/002_young_keys.sql"),
    include_str!("migrations/003_edits.sql"),
    include_str!("migrations/004_incidents.sql"),
];
/// 3.51.3 repaired a race between checkpoint and commit of two connections.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// Page cache.
const CACHE_KIB: i64 = 16 * 1024;
/// Pages in the write-ahead log before the writer checkpoints.
const CHECKPOINT_PAGES: i64 = 4000;
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// File of the ledger below the state folder.
pub const LEDGER_FILE: &str = "ledger.sqlite";

/// Last event held of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    pub(super) last: u64,
    pub(super) chain: Chain,
}

/// The writer's handle.
pub struct SqliteStore {
    pub(super) db: SqliteReader,
    pub(super) path: PathBuf,
    clock: Clock,
    pub(super) now_ms: i64,
    pub(super) next_batch: i64,
    site_nos: HashMap<SiteId, i64>,
    pub(super) tails: HashMap<(i64, u32), Tail>,
    pub(super) runs: Vec<Run>,
    pub(super) keys: Keys,
    poisoned: Option<std::sync::Arc<LedgerError>>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the ledger, creating it where there is none and bringing its schema up to date.
    ///
    /// # Errors
    /// [`LedgerError`], each with what to do.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, LedgerError> {
        if rusqlite::version_number() < SQLITE_VERSION_MIN {
            return Err(LedgerError::OldSqlite { found: rusqlite::version() });
        }
        let conn = Connection::open(path).map_err(|source| LedgerError::Open { path: path.to_owned(), source })?;
        prepare(&conn).map_err(|source| LedgerError::Open { path: path.to_owned(), source })?;
        migrate(&conn, path)?;
        let mut store = Self {
            db: SqliteReader { conn },
            path: path.to_owned(),
            now_ms: clock(),
            clock,
            next_batch: 1,
            site_nos: HashMap::new(),
            tails: HashMap::new(),
            runs: Vec::new(),
            keys: Keys::default(),
            poisoned: None,
        };
        store.name_ledger()?;
        store.reload()?;
        Ok(store)
    }

    /// Database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn name_ledger(&self) -> Result<(), LedgerError> {
        let id: [u8; 16] = rand::random();
        self.run("name the ledger", "INSERT OR IGNORE INTO meta VALUES ('ledger_id', ?1)", params![id])
    }

    /// Fills what is kept in memory from the database.
    fn reload(&mut self) -> Result<(), LedgerError> {
        let conn = &self.db.conn;
        self.next_batch = conn
            .query_row("SELECT coalesce(max(batch_no), 0) + 1 FROM batch", [], |r| r.get(0))
            .map_err(sql("read the last batch"))?;
        let mut sites = conn.prepare("SELECT site, site_no FROM site").map_err(sql("read the sites"))?;
        let rows = sites
            .query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?)))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(sql("read the sites"))?;
        self.site_nos.clear();
        for (name, no) in rows {
            let site = SiteId::new(&name).map_err(|_| LedgerError::Damaged { what: "name of a site", at: no })?;
            self.site_nos.insert(site, no);
        }
        let mut tails = conn
            .prepare(
                "SELECT site_no, epoch, first_seq + count - 1, chain_after FROM batch b WHERE first_seq = \
                 (SELECT max(first_seq) FROM batch WHERE site_no = b.site_no AND epoch = b.epoch)
                 AND (site_no, epoch) IN (SELECT site_no, max(epoch) FROM batch GROUP BY site_no)",
            )
            .map_err(sql("read the ends of streams"))?;
        let rows = tails
            .query_map([], |r| Ok(((r.get(0)?, r.get(1)?), r.get::<_, i64>(2)?, r.get(3)?)))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(sql("read the ends of streams"))?;
        self.tails = rows
            .into_iter()
            .map(|(key, last, chain)| (key, Tail { last: last.cast_unsigned(), chain: Chain(chain) }))
            .collect();
        self.runs = read_runs(conn)?;
        self.keys = Keys::open(conn)?;
        Ok(())
    }

    /// Number of a site, given on first use.
    pub(super) fn site_no(&mut self, site: &SiteId) -> Result<i64, LedgerError> {
        if let Some(no) = self.site_nos.get(site) {
            return Ok(*no);
        }
        self.run("add a site", "INSERT OR IGNORE INTO site (site) VALUES (?1)", [site.as_str()])?;
        let no = self
            .db
            .conn
            .query_row("SELECT site_no FROM site WHERE site = ?1", [site.as_str()], |r| r.get(0))
            .map_err(sql("add a site"))?;
        self.site_nos.insert(site.clone(), no);
        Ok(no)
    }

    fn write_all(
        &mut self,
        appends: &[Append],
        links: &[LinkRow],
        changes: &[Change],
    ) -> Result<Vec<Committed>, LedgerError> {
        let committed = self.append(appends)?;
        // Neighbours in a group are mostly of one site, and its last state holds all before it.
        let is_last = |at: usize| links[at + 1..].iter().all(|later| later.site != links[at].site);
        for (_, link) in links.iter().enumerate().filter(|(at, _)| is_last(*at)) {
            let site_no = self.site_no(&link.site)?;
            self.run(
                "store a link",
                "INSERT INTO link VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET epoch = excluded.epoch, \
                 marked = excluded.marked, state = excluded.state",
                params![site_no, link.epoch, link.marked.cast_signed(), link.state],
            )?;
        }
        changes.iter().try_for_each(|change| self.apply(change))?;
        self.keys.write(&self.db.conn)?;
        Ok(committed)
    }

    /// One durable transaction: on error nothing of it is there.
    pub(super) fn together<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        if let Some(first) = &self.poisoned {
            return Err(LedgerError::Poisoned { first: std::sync::Arc::clone(first) });
        }
        self.now_ms = (self.clock)();
        self.db.conn.execute_batch("BEGIN IMMEDIATE").map_err(sql("begin a transaction"))?;
        let done =
            work(self).and_then(|value| self.db.conn.execute_batch("COMMIT").map(|()| value).map_err(sql("commit")));
        done.map_err(|error| self.undo(error))
    }

    /// Whether [`SqliteStore::upkeep`] has something to do.
    pub(super) fn wants_upkeep(&self) -> bool {
        self.poisoned.is_none() && self.keys.wants_fold()
    }

    /// Does a little of what can wait, in a transaction of its own.
    pub(super) fn upkeep(&mut self) -> Result<(), LedgerError> {
        self.db.conn.execute_batch("BEGIN IMMEDIATE").map_err(sql("begin a transaction"))?;
        let done = self.keys.fold_some(&self.db.conn);
        let done = done.and_then(|()| self.db.conn.execute_batch("COMMIT").map_err(sql("commit")));
        done.map_err(|error| self.undo(error))
    }

    fn undo(&mut self, error: LedgerError) -> LedgerError {
        let back = if self.db.conn.is_autocommit() {
            Ok(())
        } else {
            self.db.conn.execute_batch("ROLLBACK").map_err(sql("roll back"))
        };
        let fatal = error.is_fatal();
        let again = back.and_then(|()| self.reload());
        if !fatal && again.is_ok() {
            return error;
        }
        let first = std::sync::Arc::new(error);
        self.poisoned = Some(std::sync::Arc::clone(&first));
        LedgerError::Poisoned { first }
    }
}

impl Store for SqliteStore {
    type Reads = SqliteReader;

    fn reads(&self) -> &SqliteReader {
        &self.db
    }

    fn write(
        &mut self,
        appends: &[Append],
        links: &[LinkRow],
        changes: &[Change],
    ) -> Result<Vec<Committed>, LedgerError> {
        self.together(|store| store.write_all(appends, links, changes))
    }
}

fn prepare(conn: &Connection) -> Result<(), rusqlite::Error> {
    conn.busy_timeout(BUSY_WAIT)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", false)?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, LedgerError> {
    if !path.exists() {
        return Err(LedgerError::Missing { path: path.to_owned() });
    }
    let opened = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let conn = opened.map_err(|source| LedgerError::Open { path: path.to_owned(), source })?;
    conn.busy_timeout(BUSY_WAIT).map_err(sql("set up a reader"))?;
    check_schema(&conn, path)?;
    Ok(conn)
}

fn check_schema(conn: &Connection, path: &Path) -> Result<usize, LedgerError> {
    let found: i64 = conn.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(sql("read the schema version"))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match usize::try_from(found) {
        Ok(version) if found <= known => Ok(version),
        _ => Err(LedgerError::NewerSchema { path: path.to_owned(), found, known }),
    }
}

fn migrate(conn: &Connection, path: &Path) -> Result<(), LedgerError> {
    let version = check_schema(conn, path)?;
    for (at, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        let script = format!("BEGIN IMMEDIATE;\n{migration}\nPRAGMA user_version = {};\nCOMMIT;", at + 1);
        conn.execute_batch(&script).map_err(sql("bring the schema up to date"))?;
    }
    Ok(())
}

/// Gives a restored ledger its new name and marks it as recovering.
pub(super) fn rename_ledger(path: &Path) -> Result<Incarnation, LedgerError> {
    let conn = Connection::open(path).map_err(|source| LedgerError::Open { path: path.to_owned(), source })?;
    prepare(&conn).map_err(|source| LedgerError::Open { path: path.to_owned(), source })?;
    let id: [u8; 16] = rand::random();
    conn.execute_batch("BEGIN IMMEDIATE").map_err(sql("rename the ledger"))?;
    conn.execute("UPDATE meta SET value = ?1 WHERE key = 'ledger_id'", [id]).map_err(sql("rename the ledger"))?;
    conn.execute("INSERT OR REPLACE INTO meta VALUES ('recovery', x'01')", []).map_err(sql("mark the recovery"))?;
    // A call that the lost time made is not known here: whatever the backup does not settle is asked for by key first.
    conn.execute("UPDATE delivery SET stage = 2 WHERE stage = 1", []).map_err(sql("mark the recovery"))?;
    conn.execute_batch("COMMIT").map_err(sql("rename the ledger"))?;
    Ok(Incarnation(id))
}

pub(super) fn meta(conn: &Connection, key: &str) -> Result<Option<Vec<u8>>, LedgerError> {
    conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |r| r.get(0))
        .optional()
        .map_err(sql("read the ledger's name"))
}

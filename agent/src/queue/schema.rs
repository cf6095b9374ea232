//! Opening the database: settings, checks, migrations.

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::FlockOperation;

use super::QueueError;

/// SQLite before this version can corrupt a write-ahead log (sqlite.org/wal.html, section 11).
const SQLITE_MIN: i32 = 3_051_003;
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/001_queue.sql"),
    include_str!("migrations/002_damage.sql"),
    include_str!("migrations/003_known_parts.sql"),
    include_str!("migrations/004_taken.sql"),
];
const PAGE_BYTES: u64 = 4096;

/// Held while a process owns the database.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Takes the database for this process.
///
/// # Errors
/// [`QueueError::Running`] names the process that has it.
pub(super) fn lock(dir: &Path) -> Result<Lock, QueueError> {
    let path = dir.join("queue.lock");
    let io = |source| QueueError::Io { path: path.clone(), what: "lock", source };
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(io)?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut pid = String::new();
        file.read_to_string(&mut pid).map_err(io)?;
        return Err(QueueError::Running { path, pid: pid.trim().to_owned() });
    }
    file.set_len(0).map_err(io)?;
    file.rewind().map_err(io)?;
    write!(file, "{}", std::process::id()).map_err(io)?;
    Ok(Lock { _file: file })
}

/// Opens the database for writing, and brings it to this version.
///
/// # Errors
/// [`QueueError`] with an instruction where the file is damaged or of a later version.
pub(super) fn open_writer(path: &Path, bytes_max: u64) -> Result<Connection, QueueError> {
    if rusqlite::version_number() < SQLITE_MIN {
        return Err(QueueError::OldSqlite { found: rusqlite::version().to_owned() });
    }
    let sql = |what| move |source| QueueError::Sqlite { path: path.to_owned(), what, source };
    let mut db = Connection::open(path).map_err(sql("open"))?;
    db.busy_timeout(Duration::from_secs(5)).map_err(sql("open"))?;
    let pages = (bytes_max / PAGE_BYTES).max(64);
    db.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -2048;
         PRAGMA trusted_schema = OFF; PRAGMA max_page_count = {pages}; PRAGMA journal_size_limit = 8388608;"
    ))
    .map_err(sql("set up"))?;
    migrate(&mut db, path)?;
    Ok(db)
}

/// Opens the database for reading alone.
///
/// # Errors
/// [`QueueError`] where it cannot be opened, or is not of this version.
pub(super) fn open_reader(path: &Path) -> Result<Connection, QueueError> {
    let sql = |what| move |source| QueueError::Sqlite { path: path.to_owned(), what, source };
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(sql("open"))?;
    db.busy_timeout(Duration::from_secs(5)).map_err(sql("open"))?;
    db.execute_batch("PRAGMA cache_size = -1024; PRAGMA query_only = ON;").map_err(sql("set up"))?;
    let found = version(&db, path)?;
    if found != MIGRATIONS.len() {
        return Err(QueueError::Version { path: path.to_owned(), found, known: MIGRATIONS.len() });
    }
    Ok(db)
}

fn version(db: &Connection, path: &Path) -> Result<usize, QueueError> {
    let sql = |source| QueueError::Sqlite { path: PathBuf::from(path), what: "read the version of", source };
    db.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
        .map(|v| usize::try_from(v).unwrap_or(0))
        .map_err(sql)
}

fn migrate(db: &mut Connection, path: &Path) -> Result<(), QueueError> {
    let found = version(db, path)?;
    if found > MIGRATIONS.len() {
        return Err(QueueError::Version { path: path.to_owned(), found, known: MIGRATIONS.len() });
    }
    for (at, script) in MIGRATIONS.iter().enumerate().skip(found) {
        let sql = |source| QueueError::Sqlite { path: path.to_owned(), what: "migrate", source };
        let tx = db.transaction().map_err(sql)?;
        tx.execute_batch(script).map_err(sql)?;
        tx.pragma_update(None, "user_version", i64::try_from(at + 1).unwrap_or(i64::MAX)).map_err(sql)?;
        tx.commit().map_err(sql)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_of_every_earlier_version_is_brought_to_this_one_with_its_rows() {
        for known in 1..MIGRATIONS.len() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("queue.db");
            let old = Connection::open(&path).unwrap();
            MIGRATIONS[..known].iter().for_each(|script| old.execute_batch(script).unwrap());
            old.pragma_update(None, "user_version", known as i64).unwrap();
            old.execute_batch(
                "INSERT INTO batch (first, count, file, captured_ms, crc, chain_before, chain_after, body)
                 VALUES (1, 500, 7, 0, 0, x'00', x'00', x'2a')",
            )
            .unwrap();
            drop(old);

            let db = open_writer(&path, 1 << 30).unwrap();

            assert_eq!(version(&db, &path).unwrap(), MIGRATIONS.len());
            let row: (i64, Option<i64>) =
                db.query_row("SELECT count, run FROM batch", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
            assert_eq!(row, (500, None));
        }
    }

    #[test]
    fn a_queue_of_a_later_version_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("queue.db");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();

        assert!(matches!(open_writer(&path, 1 << 30), Err(QueueError::Version { found: 99, .. })));
    }
}

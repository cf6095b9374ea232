//! Copies of the ledger that are known to be good, and the way back.
//!
//! A backup is made while the service runs, then opened and checked: SQLite's own check, the schema, and every stream's chain,
//! recomputed event by event from the stored bytes. A restore checks first, and gives the ledger a new name, by which every site learns
//! that it must say again what it holds.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use docksync_proto::{
    codec,
    identity::{Chain, Incarnation},
    site::SiteId,
};
use rusqlite::{Connection, backup::Backup};

use super::{LedgerError, Reads as _, StoredBatch, error::sql, reads::SqliteReader, sqlite};

const PAGES_PER_STEP: std::ffi::c_int = 4096;
const BATCHES_PER_READ: usize = 64;

/// What a checked copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The copy.
    pub path: PathBuf,
    /// Name of the ledger in it.
    pub ledger_id: Incarnation,
    /// Last number of each stream.
    pub streams: BTreeMap<(SiteId, u32), u64>,
    /// Events in it.
    pub events: u64,
}

/// Copies the ledger and checks the copy.
///
/// # Errors
/// [`LedgerError`]; the copy is removed where it does not hold.
pub fn backup(from: &Path, to: &Path) -> Result<Report, LedgerError> {
    refuse_existing(to)?;
    let partial = to.with_extension("partial");
    remove_if_there(&partial)?;
    copy(from, &partial)?;
    let report = verify(&partial)?;
    settle(&partial, to)?;
    Ok(Report { path: to.to_owned(), ..report })
}

/// Puts a backup in the place of a ledger, under a new name.
///
/// # Errors
/// [`LedgerError::Exists`] where a ledger is in the way; others where the backup does not hold.
pub fn restore(from: &Path, to: &Path) -> Result<Report, LedgerError> {
    refuse_existing(to)?;
    // What is left of the ledger that was moved away would be taken for a part of this one.
    for beside in ["-wal", "-shm"] {
        let mut name = to.as_os_str().to_owned();
        name.push(beside);
        refuse_existing(Path::new(&name))?;
    }
    let report = verify(from)?;
    let partial = to.with_extension("partial");
    remove_if_there(&partial)?;
    copy(from, &partial)?;
    let ledger_id = sqlite::rename_ledger(&partial)?;
    settle(&partial, to)?;
    Ok(Report { path: to.to_owned(), ledger_id, ..report })
}

/// Checks a ledger: pages, schema, and the chain of every stream.
///
/// # Errors
/// [`LedgerError`] names what does not hold.
pub fn verify(path: &Path) -> Result<Report, LedgerError> {
    let reader = SqliteReader::open(path)?;
    let found: String = reader
        .conn
        .query_row("PRAGMA integrity_check(1)", [], |r| r.get(0))
        .map_err(sql("check the pages of the ledger"))?;
    if found != "ok" {
        return Err(LedgerError::Damaged { what: "a page", at: 0 });
    }
    let mut report =
        Report { path: path.to_owned(), ledger_id: reader.ledger_id()?, streams: BTreeMap::new(), events: 0 };
    for facts in reader.sites()? {
        verify_site(&reader, &facts.site, &mut report)?;
    }
    Ok(report)
}

fn verify_site(reader: &SqliteReader, site: &SiteId, report: &mut Report) -> Result<(), LedgerError> {
    let mut after = 0;
    let mut tails: BTreeMap<u32, (u64, Chain)> = BTreeMap::new();
    loop {
        let batches = reader.read_batches(site, after, BATCHES_PER_READ)?;
        let Some(last) = batches.last() else { break };
        after = last.batch_no;
        for batch in &batches {
            let before = tails.insert(batch.head.epoch, (batch.head.last(), batch.head.chain_after));
            verify_batch(batch, before)?;
            report.events += u64::from(batch.head.count);
        }
    }
    report.streams.extend(tails.into_iter().map(|(epoch, (last, _))| ((site.clone(), epoch), last)));
    Ok(())
}

fn verify_batch(batch: &StoredBatch, before: Option<(u64, Chain)>) -> Result<(), LedgerError> {
    let (batch_no, head) = (batch.batch_no, &batch.head);
    if let Some((last, chain)) = before
        && (head.first <= last || (head.first == last + 1 && head.chain_before != chain))
    {
        return Err(LedgerError::Damaged { what: "order of batches", at: batch_no });
    }
    let events = codec::decode_batch(&batch.columns).map_err(|source| LedgerError::Stored { batch_no, source })?;
    if events.len() != head.count as usize || events.len() != batch.standings.len() {
        return Err(LedgerError::Damaged { what: "number of events", at: batch_no });
    }
    let chain = events
        .iter()
        .zip(head.first..)
        .fold(head.chain_before, |chain, (event, seq)| chain.next(seq, event.id, &event.digests.payload));
    if chain != head.chain_after {
        return Err(LedgerError::Damaged { what: "chain of events", at: batch_no });
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), LedgerError> {
    let source = sqlite::open_reader(from)?;
    let mut target = Connection::open(to).map_err(|source| LedgerError::Open { path: to.to_owned(), source })?;
    {
        let backup = Backup::new(&source, &mut target).map_err(sql("start a copy of the ledger"))?;
        backup.run_to_completion(PAGES_PER_STEP, Duration::ZERO, None).map_err(sql("copy the ledger"))?;
    }
    // The copy is one file that may be carried away: no log beside it.
    target.pragma_update(None, "journal_mode", "DELETE").map_err(sql("close the copy"))?;
    target.close().map_err(|(_, source)| LedgerError::Sql { doing: "close the copy", source })
}

/// Syncs a finished file, gives it its name and syncs the folder.
fn settle(partial: &Path, to: &Path) -> Result<(), LedgerError> {
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| LedgerError::Io { doing, path, source }
    };
    for beside in ["partial-wal", "partial-shm"] {
        remove_if_there(&to.with_extension(beside))?;
    }
    fs::File::open(partial).and_then(|f| f.sync_all()).map_err(io("sync", partial))?;
    fs::rename(partial, to).map_err(io("rename", partial))?;
    let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::File::open(folder).and_then(|f| f.sync_all()).map_err(io("sync", folder))
}

fn refuse_existing(path: &Path) -> Result<(), LedgerError> {
    if path.exists() { Err(LedgerError::Exists { path: path.to_owned() }) } else { Ok(()) }
}

fn remove_if_there(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(LedgerError::Io { doing: "remove", path: path.to_owned(), source }),
    }
}

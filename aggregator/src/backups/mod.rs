//! Backups: checked copies of everything that cannot be made again, by command and every day.
//!
//! A backup is the file of the ledger's copy, `FILE.reconcile` (what was decided on drifts) and the folder `FILE.pki` (the authority's
//! keys and its register). The ledger's copy is opened and checked, chain by chain, before the backup counts; then the ledger is told how
//! far it reaches, and sites may let go of what is in it. Whoever can read a backup can speak for the centre: keep it as the state folder.

mod schedule;

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    ledger::{Change, LedgerError, backup},
    pki::{self, PkiError},
    reconcile::{ReconcileError, store::ReconStore},
};

pub use schedule::{BackupSettings, Backups, Standing};

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The ledger could not be copied, or its copy does not hold.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The decisions on drifts could not be copied.
    #[error(transparent)]
    Books(#[from] ReconcileError),
    /// The authority could not be copied.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The folder of backups cannot be used.
    #[error("cannot {doing} {path}: see who owns it, and what is in its way")]
    Folder {
        /// What was attempted.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The authority that is there is another than the backup's.
    #[error(
        "{path} holds another authority than the backup; sites know that of the backup: move it away and restore again, or give \
         --keep-authority where it has replaced the backup's since"
    )]
    OtherAuthority {
        /// Folder.
        path: PathBuf,
    },
    /// The disk is too small.
    #[error(
        "{path} has room for {free} bytes, the copy needs {needed}: make room there, or name another folder in [backup]"
    )]
    NoRoom {
        /// Folder.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that the copy takes.
        needed: u64,
    },
}

/// What was copied.
#[derive(Debug)]
pub struct Made {
    /// The checked copy of the ledger.
    pub report: backup::Report,
    /// Whether decisions on drifts were there to be copied.
    pub has_decisions: bool,
    /// Whether an authority was there to be copied.
    pub has_authority: bool,
}

impl Made {
    /// What the ledger is to be told: how far the backup reaches.
    pub fn changes(&self) -> Vec<Change> {
        let through = |((site, epoch), through): (&(_, u32), &u64)| Change::BackedUp {
            site: Clone::clone(site),
            epoch: *epoch,
            through: *through,
        };
        self.report.streams.iter().map(through).collect()
    }
}

/// Copies a state folder into a backup and checks the copy.
///
/// # Errors
/// [`BackupError`]; what is left beside the file without the file itself is no backup.
pub fn make(state_dir: &Path, ledger: &Path, file: &Path) -> Result<Made, BackupError> {
    if file.exists() {
        return Err(LedgerError::Exists { path: file.to_owned() }.into());
    }
    has_room(ledger, file)?;
    let (decisions, authority) = (beside(file, ".reconcile"), beside(file, ".pki"));
    let making = beside(file, ".making");
    // Without the file they are what an earlier attempt left.
    if authority.exists() {
        fs::remove_dir_all(&authority).map_err(folder_error("replace", &authority))?;
    }
    if making.exists() {
        fs::remove_file(&making).map_err(folder_error("replace", &making))?;
    }
    let report = backup::backup(ledger, &making)?;
    // Behind the ledger: of every event in the copy, the site and its key are in the register's.
    let has_authority = state_dir.join("pki").join("ca.key").exists();
    if has_authority {
        pki::copy(&state_dir.join("pki"), &authority)?;
    }
    let has_decisions = ReconStore::copy(state_dir, &decisions)?;
    for path in [&making, &decisions] {
        if path.exists() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(folder_error("close", path))?;
        }
    }
    // Last: with its name it is a backup.
    let named = fs::rename(&making, file).and_then(|()| fs::File::open(folder(file))?.sync_all());
    named.map_err(folder_error("name", file))?;
    Ok(Made { report: backup::Report { path: file.to_owned(), ..report }, has_decisions, has_authority })
}

/// What was put back beside the ledger.
#[derive(Debug, Clone, Copy)]
pub struct PutBack {
    /// Whether the authority was; where there is one, it stays.
    pub authority: bool,
}

/// Puts what lies beside a backup's file in place, where nothing is in its way.
///
/// # Errors
/// [`BackupError`]; of another authority that is there, unless `keep_authority` says that it counts.
pub fn put_back(file: &Path, state_dir: &Path, keep_authority: bool) -> Result<PutBack, BackupError> {
    let present = state_dir.join("pki");
    if !keep_authority && pki::differ(&beside(file, ".pki"), &present) {
        return Err(BackupError::OtherAuthority { path: present });
    }
    ReconStore::put_back(&beside(file, ".reconcile"), state_dir)?;
    let authority = pki::put_back(&beside(file, ".pki"), &present)?;
    Ok(PutBack { authority })
}

/// Removes a backup and what lies beside it; the file goes first, for with it the backup ends.
fn remove(file: &Path) -> Result<(), BackupError> {
    fs::remove_file(file).map_err(folder_error("remove", file))?;
    let (decisions, authority) = (beside(file, ".reconcile"), beside(file, ".pki"));
    if decisions.exists() {
        fs::remove_file(&decisions).map_err(folder_error("remove", &decisions))?;
    }
    if authority.exists() {
        fs::remove_dir_all(&authority).map_err(folder_error("remove", &authority))?;
    }
    Ok(())
}

/// The name of what lies beside a backup's file.
pub fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name: OsString = file.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn has_room(ledger: &Path, file: &Path) -> Result<(), BackupError> {
    let folder = folder(file);
    let size = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    let needed = size(ledger) + size(&beside(ledger, "-wal"));
    let stat = rustix::fs::statvfs(folder).map_err(|errno| folder_error("look at", folder)(errno.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < needed { Err(BackupError::NoRoom { path: folder.to_owned(), free, needed }) } else { Ok(()) }
}

fn folder_error(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |source| BackupError::Folder { doing, path, source }
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests;

//! `backup` and `restore`.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{CliError, CopyArgs};
use crate::{
    config::Config,
    ledger::{Change, LedgerError, Store as _, audit::Entry, backup, lock::StateLock, sqlite::SqliteStore},
    reconcile::store::ReconStore,
};

/// Copies the ledger and checks the copy.
///
/// # Errors
/// [`CliError`]; no copy is left that did not pass.
pub fn backup(config: &Config, args: &CopyArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let report = backup::backup(&config.ledger_path(), &args.file)?;
    // Sites may let go of what a checked backup holds.
    let mut store = open(config)?;
    let changes: Vec<Change> = report
        .streams
        .iter()
        .map(|((site, epoch), through)| Change::BackedUp { site: site.clone(), epoch: *epoch, through: *through })
        .collect();
    store.change(&changes)?;
    let decisions = ReconStore::copy(&config.state_dir, &decisions_of(&args.file))?;
    writeln!(out, "{}: {} events in {} streams, checked", report.path.display(), report.events, report.streams.len())?;
    if decisions {
        writeln!(out, "{}: comparisons of the books, and what was decided", decisions_of(&args.file).display())?;
    }
    Ok(())
}

/// Puts a checked backup in the place of the ledger.
///
/// # Errors
/// [`CliError::Running`] while the service runs.
pub fn restore(config: &Config, args: &CopyArgs, out: &mut dyn Write) -> Result<(), CliError> {
    std::fs::create_dir_all(&config.state_dir).map_err(|source| LedgerError::Io {
        doing: "create",
        path: config.state_dir.clone(),
        source,
    })?;
    let _lock = StateLock::take(&config.state_dir)?.ok_or(CliError::Running)?;
    let report = backup::restore(&args.file, &config.ledger_path())?;
    ReconStore::put_back(&decisions_of(&args.file), &config.state_dir)?;
    let mut store = open(config)?;
    store.change(&[Change::Audit(Entry {
        who: "docksync-aggregator".to_owned(),
        act: "restore".to_owned(),
        subject: args.file.display().to_string(),
        detail: format!("{} events, new ledger id {}", report.events, report.ledger_id),
    })])?;
    writeln!(
        out,
        "{}: {} events, new ledger id {}; sites send again what it lacks",
        report.path.display(),
        report.events,
        report.ledger_id
    )?;
    Ok(())
}

/// The copy of what was decided on drifts, beside that of the ledger.
fn decisions_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".reconcile");
    PathBuf::from(name)
}

pub(super) fn open(config: &Config) -> Result<SqliteStore, LedgerError> {
    SqliteStore::open(&config.ledger_path(), Arc::new(|| jiff::Timestamp::now().as_millisecond()))
}

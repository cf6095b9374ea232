//! `backup` and `restore`.

use std::{io::Write, sync::Arc};

use super::{CliError, CopyArgs, RestoreArgs};
use crate::{
    backups::{self, beside},
    config::Config,
    ledger::{Change, LedgerError, Store as _, audit::Entry, backup, lock::StateLock, sqlite::SqliteStore},
};

/// Copies the ledger and what belongs to it, and checks the copy.
///
/// # Errors
/// [`CliError`]; no copy is left that did not pass.
pub fn backup(config: &Config, args: &CopyArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let made = backups::make(&config.state_dir, &config.ledger_path(), &args.file)?;
    // Sites may let go of what a checked backup holds.
    open(config)?.change(&made.changes())?;
    let report = &made.report;
    writeln!(out, "{}: {} events in {} streams, checked", report.path.display(), report.events, report.streams.len())?;
    if made.has_decisions {
        writeln!(
            out,
            "{}: comparisons of the books, and what was decided",
            beside(&args.file, ".reconcile").display()
        )?;
    }
    if made.has_authority {
        writeln!(
            out,
            "{}: keys of the authority and its register; whoever reads them can speak for the centre",
            beside(&args.file, ".pki").display()
        )?;
    }
    Ok(())
}

/// Puts a checked backup in the place of the ledger.
///
/// # Errors
/// [`CliError::Running`] while the service runs.
pub fn restore(config: &Config, args: &RestoreArgs, out: &mut dyn Write) -> Result<(), CliError> {
    std::fs::create_dir_all(&config.state_dir).map_err(|source| LedgerError::Io {
        doing: "create",
        path: config.state_dir.clone(),
        source,
    })?;
    let _lock = StateLock::take(&config.state_dir)?.ok_or(CliError::Running)?;
    if config.ledger_path().exists() {
        return Err(LedgerError::Exists { path: config.ledger_path() }.into());
    }
    // The ledger last: with it the service starts, and would make an authority where there is none.
    let put = backups::put_back(&args.file, &config.state_dir, args.keep_authority)?;
    let report = backup::restore(&args.file, &config.ledger_path())?;
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
    if put.authority {
        writeln!(out, "{}: the authority of the backup, which its sites know", config.state_dir.join("pki").display())?;
    }
    Ok(())
}

pub(super) fn open(config: &Config) -> Result<SqliteStore, LedgerError> {
    SqliteStore::open(&config.ledger_path(), Arc::new(|| jiff::Timestamp::now().as_millisecond()))
}

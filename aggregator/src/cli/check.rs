//! `check`.

use std::{io::Write, path::Path};

use super::CliError;
use crate::{
    config::Config,
    ledger::{LedgerError, reads::SqliteReader},
};

/// Says that the configuration holds, and whether the ledger can be read.
///
/// # Errors
/// [`CliError`].
pub fn check(config: &Config, path: &Path, out: &mut dyn Write) -> Result<(), CliError> {
    writeln!(out, "{}: no problems, {} consumers", path.display(), config.consumers.len())?;
    let ledger = config.ledger_path();
    let shown = ledger.display();
    match ledger.try_exists() {
        Ok(true) => {
            drop(SqliteReader::open(&ledger)?);
            writeln!(out, "{shown}: readable")?;
        }
        Ok(false) => writeln!(out, "{shown}: not there yet, will be created at the first start")?,
        // Settings can be checked by who may not enter the state folder.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            writeln!(out, "{shown}: was not looked at, this user may not enter its folder")?;
        }
        Err(source) => return Err(LedgerError::Io { doing: "look for", path: ledger, source }.into()),
    }
    Ok(())
}

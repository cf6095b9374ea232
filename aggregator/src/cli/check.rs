//! `check`.

use std::{io::Write, path::Path};

use super::CliError;
use crate::{config::Config, ledger::reads::SqliteReader};

/// Says that the configuration holds, and whether the ledger can be read.
///
/// # Errors
/// [`CliError`].
pub fn check(config: &Config, path: &Path, out: &mut dyn Write) -> Result<(), CliError> {
    writeln!(out, "{}: no problems, {} consumers", path.display(), config.consumers.len())?;
    let ledger = config.ledger_path();
    if ledger.exists() {
        drop(SqliteReader::open(&ledger)?);
        writeln!(out, "{}: readable", ledger.display())?;
    } else {
        writeln!(out, "{}: not there yet, will be created at the first start", ledger.display())?;
    }
    Ok(())
}

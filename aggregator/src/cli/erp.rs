//! `erp test`.

use std::io::Write;

use super::CliError;
use crate::config::{Config, ConsumerKind};

/// Logs in to every ERP of the configuration and asks whether it takes events. Nothing is sent.
///
/// # Errors
/// [`CliError::ErpTest`] where one does not; its words are in the output.
pub fn test(config: &Config, out: &mut dyn Write) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (mut tested, mut failed) = (0, 0);
    for consumer in &config.consumers {
        let ConsumerKind::Tryton(tryton) = &consumer.kind else { continue };
        tested += 1;
        let (name, url) = (&consumer.name, &tryton.url);
        match tryton.connect(runtime.handle().clone())?.greet() {
            Ok(version) => writeln!(out, "{name}: {url} takes events, its module speaks version {version}")?,
            Err(failure) => {
                failed += 1;
                writeln!(out, "{name}: {url} does not take events: {}", failure.words())?;
            }
        }
    }
    if tested == 0 {
        writeln!(out, "the configuration names no ERP")?;
    }
    if failed > 0 { Err(CliError::ErpTest { failed, tested }) } else { Ok(()) }
}

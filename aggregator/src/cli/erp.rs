//! `erp test`.

use std::io::Write;

use tokio::runtime::Handle;

use super::CliError;
use crate::{
    config::{Config, ConsumerKind},
    consumers::{ConsumerError, wire::Failure},
};

/// Logs in to every ERP of the configuration and asks whether it takes events. Nothing is sent.
///
/// # Errors
/// [`CliError::ErpTest`] where one does not; its words are in the output.
pub fn test(config: &Config, out: &mut dyn Write) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (mut tested, mut failed) = (0, 0);
    for consumer in &config.consumers {
        let Some((url, greeting)) = greet(&consumer.kind, runtime.handle())? else { continue };
        tested += 1;
        let name = &consumer.name;
        match greeting {
            Ok(words) => writeln!(out, "{name}: {url} takes events, {words}")?,
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

/// Address and answer of a destination that is an ERP.
type Greeting<'c> = Option<(&'c str, Result<String, Failure>)>;

fn greet<'c>(kind: &'c ConsumerKind, runtime: &Handle) -> Result<Greeting<'c>, ConsumerError> {
    let runtime = runtime.clone();
    Ok(match kind {
        ConsumerKind::Tryton(tryton) => {
            let greeting = tryton.connect(runtime)?.greet();
            Some((&tryton.url, greeting))
        }
        ConsumerKind::Odoo(odoo) => {
            let greeting = odoo.connect(runtime)?.greet();
            Some((&odoo.url, greeting.map(|api| format!("spoken to by {api}"))))
        }
        ConsumerKind::ErpNext(erpnext) => {
            let greeting = erpnext.connect(runtime)?.greet();
            Some((&erpnext.url, greeting.map(|user| format!("as user {user}"))))
        }
        ConsumerKind::Sql { .. } | ConsumerKind::Http(_) => None,
    })
}

//! `erp test`, `erp status`.

use std::io::Write;

use serde::Serialize;
use tokio::runtime::Handle;

use super::{
    CliError, FormArgs,
    consumers::{Incident, Row, incidents, rows, state},
    moment,
};
use crate::{
    config::{Config, ConsumerKind},
    consumers::{ConsumerError, wire::Failure},
    ledger::{Reads as _, reads::SqliteReader},
};

/// Incidents that are told of each ERP.
const INCIDENTS_SHOWN: usize = 5;

#[derive(Serialize)]
struct Standing {
    erp: String,
    kind: &'static str,
    paused: Option<String>,
    /// The newest first; one without an end goes on.
    incidents: Vec<Incident>,
    last_document: Option<String>,
    last_document_at: Option<String>,
    sites: Vec<Row>,
}

/// How far each ERP is, and whether it takes events. Nothing is called.
///
/// # Errors
/// [`CliError`].
pub fn status(config: &Config, args: &FormArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let reads = SqliteReader::open(&config.ledger_path())?;
    let mut all = Vec::new();
    for consumer in config.consumers.iter().filter(|c| c.is_erp) {
        let (last_document, at_ms) = reads.last_document(&consumer.name)?.unzip();
        all.push(Standing {
            erp: consumer.name.clone(),
            kind: consumer.kind.as_str(),
            paused: reads.paused(&consumer.name)?,
            incidents: incidents(&reads, &consumer.name, INCIDENTS_SHOWN)?,
            last_document,
            last_document_at: at_ms.map(moment),
            sites: rows(&reads, &consumer.name)?,
        });
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &all).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    all.iter().try_for_each(|erp| write_status(erp, out))?;
    if all.is_empty() {
        writeln!(out, "the configuration names no ERP: a [[consumer]] with erp = true")?;
    }
    Ok(())
}

fn write_status(erp: &Standing, out: &mut dyn Write) -> Result<(), CliError> {
    let open = erp.incidents.iter().find(|incident| incident.until.is_none());
    writeln!(out, "{} ({}): {}", erp.erp, erp.kind, state(erp.paused.as_deref(), open))?;
    if let (Some(document), Some(at)) = (&erp.last_document, &erp.last_document_at) {
        writeln!(out, "  newest document {document}, {at}")?;
    }
    for site in &erp.sites {
        writeln!(
            out,
            "  {}: through {} of {}, {} behind, {} parked, {} wait behind them",
            site.site, site.applied_through, site.held_through, site.behind, site.parked, site.waiting_behind_parked
        )?;
    }
    for incident in erp.incidents.iter().filter(|incident| incident.until.is_some()) {
        let until = incident.until.as_deref().unwrap_or_default();
        writeln!(out, "  took nothing from {} to {until}, {}: {}", incident.since, incident.class, incident.reason)?;
    }
    Ok(())
}

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
        ConsumerKind::Sql { .. } | ConsumerKind::Postgres(_) | ConsumerKind::Http(_) => None,
    })
}

//! Approved corrections become events of the centre's own stream, and go to the books as every other event does.
//!
//! A correction's identity is its drift, its time that of the approval: written twice after a crash, it is a duplicate.

use docksync_proto::{
    codec::{self, BatchEncoder},
    event::{Action, Event, EventTime, EventType, Item, Line, Precision, Reason, RefKind, Reference},
    frame::BatchHead,
    identity::Chain,
    site::SiteId,
    stock::MICROS,
};
use jiff::Timestamp;
use rusqlite::params;
use rust_decimal::Decimal;

use super::{
    CENTRE_STREAM, FOR, ReconcileError, WMS,
    drift::{self, Act, Drift, State},
    run::Destination,
    store::ReconStore,
};
use crate::{
    admit::Verdict,
    ledger::{Append, Committed, LedgerError, Loc, Reads},
};

/// Stores one batch; durable on return.
pub type Commit<'c> = dyn FnMut(Append) -> Result<Committed, LedgerError> + 'c;

/// Writes every approved correction into the ledger; gives how many.
///
/// # Errors
/// [`ReconcileError`]; what was written stays, the rest is tried again.
pub fn post_approved<R: Reads>(
    store: &ReconStore,
    reads: &R,
    destinations: &[Destination],
    commit: &mut Commit<'_>,
    now_ms: i64,
) -> Result<u64, ReconcileError> {
    let approved: Vec<Drift> = drift::open(store)?.into_iter().filter(|d| d.state == State::Approved).collect();
    let mut posted = 0;
    for drift in approved {
        let loc = post(store, reads, destinations, commit, &drift)?;
        store.together(|| {
            store.run_sql(
                "keep a correction",
                "INSERT OR REPLACE INTO posted VALUES (?1, ?2)",
                params![loc.0, drift.drift_no],
            )?;
            store.run_sql(
                "note a correction",
                "UPDATE drift SET state = 5, posted_loc = ?2 WHERE drift_no = ?1",
                params![drift.drift_no, loc.0],
            )?;
            drift::note(
                store,
                drift.drift_no,
                ("reconcile", "post", &format!("event {loc} of {CENTRE_STREAM}")),
                now_ms,
            )
        })?;
        posted += 1;
    }
    Ok(posted)
}

fn post<R: Reads>(
    store: &ReconStore,
    reads: &R,
    destinations: &[Destination],
    commit: &mut Commit<'_>,
    drift: &Drift,
) -> Result<Loc, ReconcileError> {
    let approve = Act::Approve;
    let steps = drift::steps(store, drift.drift_no)?;
    let approved = steps.iter().rev().find(|step| step.act == approve.as_str());
    let at_ms = approved.map_or(drift.since_ms, |step| step.at_ms);
    let error = |source| ReconcileError::Correction { drift_no: drift.drift_no, source };
    let event = correction(
        drift,
        destinations,
        at_ms,
        steps.iter().rev().map(|step| step.reason.as_str()).next().unwrap_or_default(),
    )?;
    let mut encoder = BatchEncoder::new();
    let (id, digests) = encoder.push(&event);
    if let Some(loc) = reads.event(id)? {
        return Ok(loc);
    }
    let columns = encoder.finish().map_err(error)?;
    let site = centre()?;
    let (last, chain) = match reads.tail(&site, 1)? {
        Some(tail) => tail,
        None => (0, Chain::start(&site, reads.ledger_id()?)),
    };
    let head = BatchHead {
        epoch: 1,
        session: 0,
        first: last + 1,
        count: 1,
        chain_before: chain,
        chain_after: chain.next(last + 1, id, &digests.payload),
    };
    let events = codec::decode_batch(&columns).map_err(error)?;
    let committed = commit(Append { site, head, columns, events, verdicts: vec![Verdict::Admitted] })?;
    Ok(Loc::new(committed.batch_no, 0))
}

fn centre() -> Result<SiteId, ReconcileError> {
    SiteId::new(CENTRE_STREAM).map_err(|_| LedgerError::Damaged { what: "name of the centre's stream", at: 0 }.into())
}

fn correction(drift: &Drift, destinations: &[Destination], at_ms: i64, why: &str) -> Result<Event, ReconcileError> {
    let about = &drift.about;
    let damaged = |what| ReconcileError::Ledger(LedgerError::Damaged { what, at: drift.drift_no });
    let site = SiteId::new(&about.site).map_err(|_| damaged("site of a drift"))?;
    let at = Timestamp::from_millisecond(at_ms).map_err(|_| damaged("time of an approval"))?;
    let time = EventTime { precision: Precision::Instant, ..EventTime::utc(at) };
    let mut event = Event::new(EventType::InventoryAdjusted, site, time, at);
    event.action = Action::Add;
    // Numbers of drifts begin again where their database was lost: the time of the approval does not.
    let number = format!("RECON-{}-{at_ms}", drift.drift_no);
    event.correlation_id.clone_from(&number);
    event.references.push(Reference { kind: RefKind::Adjustment, value: number, date: None });
    event.source.format = "reconcile".to_owned();
    event.source.feed = "reconcile".to_owned();
    event.source.file_name = format!("drift {}", drift.drift_no);
    let destination = destinations.iter().find(|d| d.name == about.side);
    let (item, status) = match destination {
        Some(d) => {
            let ours = d.balances.renamed().into_iter().find(|(_, theirs)| *theirs == about.item);
            let status = d.balances.status_of(&about.site, &about.place).unwrap_or_else(|| about.place.clone());
            (ours.map_or_else(|| about.item.clone(), |(sku, _)| sku), status)
        }
        None => (about.item.clone(), about.place.clone()),
    };
    let meant_for = if about.side == WMS { "*" } else { about.side.as_str() };
    event.extensions.insert(FOR.to_owned(), meant_for.to_owned());
    let micros = drift.proposed.unwrap_or_default();
    let uom = if about.uom.is_empty() { "EA".to_owned() } else { about.uom.clone() };
    event.lines.push(Line {
        line_no: "1".to_owned(),
        item: Item { sku: item, ..Item::default() },
        lot: about.lot.clone(),
        qty: Some((Decimal::from(micros) / Decimal::from(MICROS)).normalize()),
        uom,
        stock_status_to: if status.is_empty() { "available".to_owned() } else { status },
        reason: Reason { code: "other".to_owned(), source_code: drift.cause.clone(), text: why.to_owned() },
        ..Line::default()
    });
    Ok(event)
}

//! The stock book: carries what the ledger took into accounts, statements and transfers.
//!
//! Reads batches in order and keeps how far it is in the same transaction as what it read, so that it goes on after a crash where it
//! stopped. An event that was not admitted counts from the batch on at which its admission was seen.

use std::collections::{BTreeMap, BTreeSet};

use docksync_proto::{
    codec::{self, Decoded},
    event::{Event, EventType, Line, PartyRole, Precision, RefKind, STATEMENT_END},
    site::SiteId,
    stock,
};
use rusqlite::params;

use super::{CENTRE_STREAM, FOR, ReconcileError, store::ReconStore};
use crate::{
    deliver::{fate, machine::Fate},
    ledger::{
        LedgerError, Loc, Reads, RefusalState, Standing, StoredBatch, audit, earlier,
        effect::{UnitKey, effect_by_unit},
    },
};

/// Batches of one transaction.
const BATCHES: usize = 64;

/// How far a book was carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Batches read.
    pub batches: u64,
    /// Events read.
    pub events: u64,
}

/// Carries everything through batch `until` into the book; says to `progress` how far it is.
///
/// # Errors
/// [`ReconcileError`]; what was carried stays.
pub fn carry(
    store: &ReconStore,
    reads: &impl Reads,
    until: i64,
    mut progress: impl FnMut(&str) -> Result<(), ReconcileError>,
) -> Result<Carried, ReconcileError> {
    let mut carried = Carried::default();
    follow_ledger(store, reads)?;
    for site in reads.sites()?.into_iter().map(|facts| facts.site) {
        let key = format!("book {site}");
        loop {
            let after = store.meta(&key)?;
            if after >= until {
                break;
            }
            let mut batches = reads.read_batches(&site, after, BATCHES)?;
            let is_last = batches.len() < BATCHES;
            batches.retain(|batch| batch.batch_no <= until);
            let through = if is_last { until } else { batches.last().map_or(until, |batch| batch.batch_no) };
            store.together(|| {
                for batch in &batches {
                    carried.events += batch.standings.len() as u64;
                    take_batch(store, reads, batch)?;
                }
                store.set_meta(&key, through)
            })?;
            carried.batches += batches.len() as u64;
            progress(&format!("book: {site} through batch {through} of {until}"))?;
        }
    }
    decide_waiting(store, reads, until)?;
    Ok(carried)
}

/// A restored ledger is another one, and a mended stream is not what was read: what was carried from them is carried again.
fn follow_ledger(store: &ReconStore, reads: &impl Reads) -> Result<(), ReconcileError> {
    let id = reads.ledger_id()?.0;
    let (known, now) = (store.meta("ledger")?, i64::from_be_bytes(*id.first_chunk().unwrap_or(&[0; 8])));
    if known != now {
        store.together(|| {
            if known != 0 {
                for table in ["input", "other_balance", "unsettled", "line", "posted"] {
                    store.run_sql("leave a ledger", &format!("DELETE FROM {table}"), [])?;
                }
                // Statements and posted corrections of the lost ledger come again with its events, or are written again.
                store.run_sql("leave a ledger", "DELETE FROM told", [])?;
                store.run_sql("leave a ledger", "DELETE FROM statement", [])?;
                store.run_sql("leave a ledger", "DELETE FROM suspect", [])?;
                store.run_sql("leave a ledger", "DELETE FROM transfer_over", [])?;
                store.run_sql("leave a ledger", "UPDATE drift SET state = 4 WHERE state = 5", [])?;
                store.run_sql("leave a ledger", "UPDATE account SET opened_at = 0 WHERE opened_at IS NOT NULL", [])?;
                store.run_sql("leave a ledger", "UPDATE meta SET value = 1 WHERE key LIKE 'stated %'", [])?;
                store.run_sql("leave a ledger", "DELETE FROM meta WHERE key = 'mended'", [])?;
            }
            // Those too that the restored ledger has never heard of.
            let mut sites: BTreeSet<SiteId> = reads.sites()?.into_iter().map(|facts| facts.site).collect();
            let known = "SELECT site FROM account UNION SELECT substr(key, 6) FROM meta WHERE key LIKE 'book %'";
            let known = store.all("leave a ledger", known, [], |r| r.get::<_, String>(0))?;
            sites.extend(known.iter().filter_map(|site| SiteId::new(site).ok()));
            for site in &sites {
                begin_again(store, site)?;
            }
            store.set_meta("ledger", now)
        })?;
    }
    let (mut mended, seen) = (BTreeSet::new(), store.meta("mended")?);
    let last = audit::each(reads, seen, |row| {
        if row.entry.act == "mend" {
            mended.extend(SiteId::new(&row.entry.subject).ok());
        }
    })?;
    if last == seen {
        return Ok(());
    }
    store.together(|| {
        mended.iter().try_for_each(|site| begin_again(store, site))?;
        store.set_meta("mended", last)
    })
}

fn begin_again(store: &ReconStore, site: &SiteId) -> Result<(), ReconcileError> {
    let doing = "begin a book again";
    let name = site.as_str();
    let of_site = "account_no IN (SELECT account_no FROM account WHERE site = ?1)";
    store.run_sql(doing, &format!("DELETE FROM movement WHERE {of_site}"), [name])?;
    store.run_sql(doing, &format!("DELETE FROM waiting WHERE {of_site}"), [name])?;
    store.run_sql(doing, &format!("DELETE FROM centre_effect WHERE {of_site}"), [name])?;
    store.run_sql(doing, "UPDATE account SET micros = 0, last_at = 0 WHERE site = ?1", [name])?;
    store.run_sql(doing, "DELETE FROM transfer WHERE site = ?1", [name])?;
    store.run_sql(doing, "DELETE FROM captured WHERE site = ?1", [name])?;
    // Statements keep their numbers, which inputs of runs name.
    store.run_sql(
        doing,
        "DELETE FROM told WHERE statement_no IN (SELECT statement_no FROM statement WHERE site = ?1)",
        [name],
    )?;
    store.set_meta(&format!("book {site}"), 0)?;
    // Corrections made at the centre count for this site, and stand in a stream of their own.
    store.run_sql(doing, "DELETE FROM meta WHERE key = ?1", [format!("book {CENTRE_STREAM}")]).map(drop)
}

fn take_batch(store: &ReconStore, reads: &impl Reads, batch: &StoredBatch) -> Result<(), ReconcileError> {
    // A batch that does not read back is no reason to stop: the step of completeness names it and asks for it again.
    let Ok(events) = codec::decode_batch(&batch.columns) else { return Ok(()) };
    count(store, batch, &events)?;
    for (index, decoded) in events.iter().enumerate() {
        let loc = Loc::new(batch.batch_no, index);
        let prior = batch.priors.iter().find(|(at, _)| *at == index).map(|(_, prior)| *prior);
        match fate(batch, index) {
            Fate::Nothing => {}
            Fate::Deliver => {
                take_event(store, reads, (batch, loc, loc.0), decoded, prior)?;
            }
            Fate::Refused => wait(store, reads, batch, loc, decoded)?,
        }
    }
    Ok(())
}

/// The last place of a batch.
pub(super) fn end_of(batch_no: i64) -> i64 {
    Loc::new(batch_no + 1, 0).0 - 1
}

/// Counts what a site captured by its day, feed and type, as its agent counts it.
fn count(store: &ReconStore, batch: &StoredBatch, events: &[Decoded]) -> Result<(), ReconcileError> {
    let mut sums: BTreeMap<(i64, &str, u8), (i64, i64)> = BTreeMap::new();
    for (decoded, standing) in events.iter().zip(&batch.standings) {
        if *standing == Standing::Duplicate as u8 {
            continue;
        }
        let event = &decoded.event;
        let date = event.record_time.to_zoned(jiff::tz::TimeZone::UTC).date();
        let day = i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day());
        let sum = sums.entry((day, event.source.feed.as_str(), event.event_type.code())).or_default();
        sum.0 += 1;
        sum.1 = sum.1.saturating_add(stock::moved_micros(event));
    }
    for ((day, feed, kind), (events, micros)) in sums {
        store.run_sql(
            "count what was captured",
            "INSERT INTO captured VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET events = events + excluded.events, \
             micros = micros + excluded.micros",
            params![batch.site.as_str(), day, feed, kind, events, micros],
        )?;
    }
    Ok(())
}

/// Where an event counts: its own site; the centre's corrections where they say so.
fn site_of<'e>(batch: &StoredBatch, event: &'e Event) -> Option<&'e SiteId> {
    let is_for_one = event.extensions.get(FOR).is_some_and(|name| name != "*");
    (batch.site.as_str() != CENTRE_STREAM || !is_for_one).then_some(&event.site_id)
}

fn take_event(
    store: &ReconStore,
    reads: &impl Reads,
    (batch, loc, at): (&StoredBatch, Loc, i64),
    decoded: &Decoded,
    prior: Option<Loc>,
) -> Result<(), ReconcileError> {
    let event = &decoded.event;
    let Some(site) = site_of(batch, event) else { return Ok(()) };
    match event.event_type {
        EventType::InventorySnapshot => return take_statement(store, batch, loc, event, prior),
        EventType::TransferShipped | EventType::ReceiptConfirmed => take_transfer(store, loc, event, prior)?,
        _ => {}
    }
    let sums = match prior {
        None => effect_by_unit(event, None),
        Some(prior) => {
            let (earlier, standing) = earlier(reads, prior)?;
            effect_by_unit(event, Some((&earlier.event, standing)))
        }
    };
    let when = (event.event_type, event.time.at.as_millisecond(), is_exact(event));
    let is_centre = batch.site.as_str() == CENTRE_STREAM;
    if is_centre && !sums.is_empty() {
        store.run_sql("keep a correction", "INSERT OR IGNORE INTO posted VALUES (?1, 0)", [loc.0])?;
    }
    sums.iter().try_for_each(|(key, micros)| move_stock(store, (site, is_centre), key, (at, loc, *micros), when))
}

fn is_exact(event: &Event) -> bool {
    event.time.precision != Precision::Date
}

fn move_stock(
    store: &ReconStore,
    (site, is_centre): (&SiteId, bool),
    key: &UnitKey,
    (at, loc, micros): (i64, Loc, i64),
    (kind, happened_ms, is_exact): (EventType, i64, bool),
) -> Result<(), ReconcileError> {
    let account_no = account(store, site.as_str(), key, if is_centre { 0 } else { micros }, at)?;
    if is_centre
        && store.run_sql(
            "keep a correction",
            "INSERT OR IGNORE INTO centre_effect VALUES (?1, ?2)",
            [loc.0, account_no],
        )? == 1
    {
        let add = "UPDATE account SET micros = micros + ?2 WHERE account_no = ?1";
        store.run_sql("keep a correction", add, [account_no, micros])?;
    }
    store
        .run_sql(
            "keep a movement",
            "INSERT OR REPLACE INTO movement VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![account_no, at, loc.0, micros, kind.code(), happened_ms, is_exact],
        )
        .map(drop)
}

/// The number of an account, after `micros` were added to it.
pub(super) fn account(
    store: &ReconStore,
    site: &str,
    (sku, lot, status, uom): &UnitKey,
    micros: i64,
    at: i64,
) -> Result<i64, ReconcileError> {
    let found = store.one(
        "keep an account",
        "INSERT INTO account (site, sku, lot, uom, status, micros, last_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT DO UPDATE SET micros = micros + excluded.micros, last_at = max(last_at, excluded.last_at) \
         RETURNING account_no",
        params![site, sku, lot, uom, status, micros, at],
        |r| r.get(0),
    )?;
    Ok(found.unwrap_or_default())
}

fn decode_one(batch: &StoredBatch, loc: Loc) -> Result<Decoded, ReconcileError> {
    let stored = |source| ReconcileError::Stored { batch_no: batch.batch_no, source };
    let events = codec::decode_batch(&batch.columns).map_err(stored)?;
    let absent = LedgerError::Absent { what: "event", at: loc.0 };
    events.into_iter().nth(loc.index()).ok_or(ReconcileError::Ledger(absent))
}

/// Keeps what an event would move that was not admitted.
fn wait(
    store: &ReconStore,
    reads: &impl Reads,
    batch: &StoredBatch,
    loc: Loc,
    decoded: &Decoded,
) -> Result<(), ReconcileError> {
    // Under the name of another site it says nothing of that site's stock.
    if decoded.event.site_id != batch.site {
        return Ok(());
    }
    let prior = reads.refusal(loc)?.and_then(|refusal| refusal.other);
    let sums = match prior.map(|prior| earlier(reads, prior)).transpose()? {
        Some((earlier, standing)) => effect_by_unit(&decoded.event, Some((&earlier.event, standing))),
        None => effect_by_unit(&decoded.event, None),
    };
    for (key, micros) in &sums {
        let account_no = account(store, batch.site.as_str(), key, 0, 0)?;
        store.run_sql(
            "keep what waits",
            "INSERT OR REPLACE INTO waiting VALUES (?1, ?2, ?3, ?4, NULL)",
            params![loc.0, account_no, loc.0, micros],
        )?;
    }
    Ok(())
}

/// Takes what was admitted since, lets go of what was left out.
fn decide_waiting(store: &ReconStore, reads: &impl Reads, until: i64) -> Result<(), ReconcileError> {
    let waiting =
        store.all("read what waits", "SELECT DISTINCT loc FROM waiting WHERE decided_at IS NULL", [], |r| {
            r.get::<_, i64>(0)
        })?;
    for loc in waiting.into_iter().map(Loc) {
        let state = reads.refusal(loc)?.map(|refusal| refusal.state);
        if state == Some(RefusalState::Open) {
            continue;
        }
        store.together(|| {
            if state == Some(RefusalState::Readmitted)
                && let Some(batch) = reads.batch(loc.batch_no())?
            {
                let decoded = decode_one(&batch, loc)?;
                let prior = batch.priors.iter().find(|(at, _)| *at == loc.index()).map(|(_, prior)| *prior);
                // From now on, not since it came.
                take_event(store, reads, (&batch, loc, end_of(until)), &decoded, prior)?;
            }
            // Statements from before still know it.
            store
                .run_sql("end a wait", "UPDATE waiting SET decided_at = ?2 WHERE loc = ?1", [loc.0, end_of(until)])
                .map(drop)
        })?;
    }
    Ok(())
}

fn take_statement(
    store: &ReconStore,
    batch: &StoredBatch,
    loc: Loc,
    event: &Event,
    prior: Option<Loc>,
) -> Result<(), ReconcileError> {
    let (site, report) = (event.site_id.as_str(), event.reference(RefKind::Report));
    if let Some(held) = event.extensions.get(STATEMENT_END) {
        // What lines were held at the site is not known here: then nothing that is not named is none.
        return store
            .run_sql(
                "note a whole statement",
                "UPDATE statement SET is_whole = 1, is_partial = max(is_partial, ?4) WHERE site = ?1 AND sha = ?2 AND last_loc < ?3 \
                 AND is_whole = 0",
                params![batch.site.as_str(), event.source.file_sha256, loc.0, held != "0"],
            )
            .map(drop);
    }
    let is_partial = event.extensions.get("partial").is_some_and(|v| v == "true");
    let number = store.one(
        "keep a statement",
        "INSERT INTO statement (site, report, as_of_ms, is_exact, is_partial, first_at, last_loc, file, sha) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET last_loc = max(last_loc, excluded.last_loc), \
         is_partial = max(is_partial, excluded.is_partial), is_whole = 0, file = excluded.file, sha = excluded.sha \
         RETURNING statement_no",
        params![
            site,
            report,
            event.time.at.as_millisecond(),
            is_exact(event),
            is_partial,
            loc.0,
            loc.0,
            event.source.file_name,
            event.source.file_sha256
        ],
        |r| r.get::<_, i64>(0),
    )?;
    if let Some(prior) = prior {
        store.run_sql(
            "replace a part of a statement",
            "DELETE FROM told WHERE statement_no = ?1 AND loc = ?2",
            params![number, prior.0],
        )?;
    }
    for line in &event.lines {
        let Some(quantity) = line.qty.or(line.qty_after) else { continue };
        let status = if line.stock_status_to == "available" { "" } else { line.stock_status_to.as_str() };
        let uom = if line.uom == "EA" { "" } else { line.uom.as_str() };
        store.run_sql(
            "keep a stated balance",
            "INSERT INTO told VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET micros = micros + excluded.micros",
            params![number, line.item.sku, line.lot, uom, status, stock::micros(quantity), loc.0],
        )?;
    }
    Ok(())
}

fn take_transfer(store: &ReconStore, loc: Loc, event: &Event, prior: Option<Loc>) -> Result<(), ReconcileError> {
    let is_receipt = event.event_type == EventType::ReceiptConfirmed;
    if let Some(prior) = prior {
        store.run_sql("replace a transfer", "DELETE FROM transfer WHERE loc = ?1", [prior.0])?;
    }
    let named = event.reference(RefKind::Transfer);
    // A receipt may name the transfer as its order or notice; one that matches nothing is no transfer.
    let number = match (named.is_empty(), is_receipt) {
        (false, _) => named,
        (true, false) => first(event, &[RefKind::DepositorOrder, RefKind::Shipment]),
        (true, true) => first(event, &[RefKind::Desadv, RefKind::Po]),
    };
    if number.is_empty() || event.action == docksync_proto::event::Action::Void {
        return Ok(());
    }
    let over = "SELECT 1 FROM transfer_over WHERE transfer = ?1 AND last_ms >= ?2";
    let happened_ms = event.time.at.as_millisecond();
    if store.one("look for a transfer that is over", over, params![number, happened_ms], |_| Ok(()))?.is_some() {
        return Ok(());
    }
    let to = event.party(PartyRole::ShipTo).map_or("", |party| party.id.as_str());
    let is_named = if is_receipt && named.is_empty() { 2 } else { i64::from(is_receipt) };
    for line in &event.lines {
        let Some(quantity) = moved(line, is_receipt) else { continue };
        let uom = if line.uom == "EA" { "" } else { line.uom.as_str() };
        store.run_sql(
            "keep a transfer",
            "INSERT INTO transfer VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
             ON CONFLICT DO UPDATE SET micros = micros + excluded.micros",
            params![
                number,
                loc.0,
                is_named,
                event.site_id.as_str(),
                to,
                line.item.sku,
                line.lot,
                uom,
                stock::micros(quantity),
                event.time.at.as_millisecond()
            ],
        )?;
    }
    Ok(())
}

fn first<'e>(event: &'e Event, kinds: &[RefKind]) -> &'e str {
    kinds.iter().map(|kind| event.reference(*kind)).find(|value| !value.is_empty()).unwrap_or("")
}

fn moved(line: &Line, is_receipt: bool) -> Option<rust_decimal::Decimal> {
    if is_receipt { line.qty_received.or(line.qty) } else { line.qty_shipped.or(line.qty) }
}

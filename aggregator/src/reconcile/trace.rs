//! One item of a site: its balances, the movements that made them, how both sides stood over time, and where they part.

use docksync_proto::{codec, event::RefKind, site::SiteId, stock};
use rusqlite::params;
use serde::Serialize;

use super::{
    ReconcileError,
    compare::Compared,
    drift::{self, Drift},
    report::{moment, quantity},
    store::ReconStore,
};
use crate::ledger::{Loc, Reads};

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountRow {
    /// Item.
    pub sku: String,
    /// Lot.
    pub lot: String,
    /// Unit; empty is pieces.
    pub uom: String,
    /// Status; empty is available.
    pub status: String,
    /// Balance, millionths.
    pub micros: i64,
    /// What was there in the beginning; `None` where nobody has told.
    pub opening: Option<i64>,
    /// Who told.
    pub opened_by: String,
}

/// A movement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovementRow {
    /// Event.
    pub loc: i64,
    /// Lot.
    pub lot: String,
    /// Status.
    pub status: String,
    /// Its effect, millionths.
    pub micros: i64,
    /// Balance after it, of its lot, status and unit.
    pub balance: i64,
    /// When it happened, milliseconds since 1970.
    pub happened_ms: i64,
    /// The event in words: what, number, file, line.
    pub event: String,
    /// Documents that destinations gave for it.
    pub documents: Vec<String>,
}

/// How a side stood in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stood {
    /// Run.
    pub run_no: i64,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Side.
    pub side: String,
    /// The balance; `None` where both sides agreed.
    pub balance: Option<Compared>,
}

/// Everything about an item of a site.
#[derive(Debug, Clone, Serialize)]
pub struct Trace {
    /// Site.
    pub site: String,
    /// Item.
    pub item: String,
    /// Its accounts.
    pub accounts: Vec<AccountRow>,
    /// Its newest movements, oldest first.
    pub movements: Vec<MovementRow>,
    /// The last runs, oldest first.
    pub runs: Vec<Stood>,
    /// The first event after the last run in which a side agreed, for each side that does not agree now.
    pub parts_at: Vec<String>,
    /// Its open drifts, with what was decided.
    #[serde(skip)]
    pub drifts: Vec<(Drift, Vec<drift::StepRow>)>,
}

/// Accounts of a site, of one item where it is given.
///
/// # Errors
/// [`ReconcileError`].
pub fn accounts(store: &ReconStore, site: &str, item: Option<&str>) -> Result<Vec<AccountRow>, ReconcileError> {
    store.all(
        "read the book",
        "SELECT sku, lot, uom, status, micros + coalesce(opening, 0), opening, opened_by FROM account \
         WHERE site = ?1 AND (?2 IS NULL OR sku = ?2) ORDER BY sku, lot, uom, status",
        params![site, item],
        |r| {
            Ok(AccountRow {
                sku: r.get(0)?,
                lot: r.get(1)?,
                uom: r.get(2)?,
                status: r.get(3)?,
                micros: r.get(4)?,
                opening: r.get(5)?,
                opened_by: r.get(6)?,
            })
        },
    )
}

/// Traces an item of a site.
///
/// # Errors
/// [`ReconcileError`].
pub fn trace<R: Reads>(
    store: &ReconStore,
    reads: &R,
    site: &str,
    item: &str,
    limit: usize,
) -> Result<Trace, ReconcileError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = store.all(
        "read movements",
        "SELECT m.loc, a.lot, a.status, m.micros, m.happened_ms, a.account_no, a.micros + coalesce(a.opening, 0) - \
         coalesce((SELECT sum(n.micros) FROM movement n WHERE n.account_no = m.account_no AND (n.at, n.loc) > (m.at, m.loc)), 0) \
         FROM account a JOIN movement m USING (account_no) WHERE a.site = ?1 AND a.sku = ?2 ORDER BY m.at DESC, m.loc DESC LIMIT ?3",
        params![site, item, limit],
        |r| {
            Ok(MovementRow {
                loc: r.get(0)?,
                lot: r.get(1)?,
                status: r.get(2)?,
                micros: r.get(3)?,
                happened_ms: r.get(4)?,
                balance: r.get(6)?,
                event: String::new(),
                documents: Vec::new(),
            })
        },
    )?;
    rows.reverse();
    let site_id = SiteId::new(site).ok();
    for row in &mut rows {
        row.event = describe(reads, Loc(row.loc))?;
        if let Some(site) = &site_id {
            let (_, documents) = reads.fates(site, Loc(row.loc))?;
            row.documents = documents.into_iter().map(|(consumer, number)| format!("{consumer} {number}")).collect();
        }
    }
    let runs = stood(store, site, item)?;
    let open = drift::open(store)?;
    let mut drifts = Vec::new();
    for drift in open.into_iter().filter(|d| d.about.site == site && d.about.item == item) {
        let steps = drift::steps(store, drift.drift_no)?;
        drifts.push((drift, steps));
    }
    let parts_at = parts_at(store, reads, (site, item), &runs)?;
    Ok(Trace {
        site: site.to_owned(),
        item: item.to_owned(),
        accounts: accounts(store, site, Some(item))?,
        movements: rows,
        runs,
        parts_at,
        drifts,
    })
}

fn stood(store: &ReconStore, site: &str, item: &str) -> Result<Vec<Stood>, ReconcileError> {
    let rows = store.all(
        "read how sides stood",
        "SELECT i.run_no, i.read_ms, i.side, l.body FROM input i LEFT JOIN line l ON l.run_no = i.run_no AND l.side = i.side \
         AND l.site = i.site AND l.item = ?2 AND l.unexplained <> 0 WHERE i.site = ?1 ORDER BY i.run_no, i.side",
        [site, item],
        |r| Ok((r.get(0)?, r.get(1)?, r.get::<_, String>(2)?, r.get::<_, Option<String>>(3)?)),
    )?;
    rows.into_iter()
        .map(|(run_no, at_ms, side, body)| {
            let read = |text: String| {
                serde_json::from_str(&text).map_err(|_| ReconcileError::Damaged { what: "a balance", run_no })
            };
            Ok(Stood { run_no, at_ms, side, balance: body.map(read).transpose()? })
        })
        .collect()
}

/// The first event behind the last agreement of each side that does not agree now.
fn parts_at<R: Reads>(
    store: &ReconStore,
    reads: &R,
    (site, item): (&str, &str),
    runs: &[Stood],
) -> Result<Vec<String>, ReconcileError> {
    let mut all = Vec::new();
    let mut sides: Vec<&str> = runs.iter().map(|stood| stood.side.as_str()).collect();
    sides.sort_unstable();
    sides.dedup();
    for side in sides {
        let of_side = || runs.iter().filter(|stood| stood.side == side);
        if of_side().next_back().is_none_or(|last| last.balance.is_none()) {
            continue;
        }
        let Some(agreed) = of_side().rfind(|stood| stood.balance.is_none()) else {
            all.push(format!("{side}: they have not agreed in any run that is kept"));
            continue;
        };
        let first = store.one(
            "look for the event at which both part",
            "SELECT m.loc FROM account a JOIN movement m USING (account_no) JOIN input i ON i.run_no = ?3 AND i.side = ?4 AND i.site = ?1 \
             WHERE a.site = ?1 AND a.sku = ?2 AND m.at > i.at ORDER BY m.at, m.loc LIMIT 1",
            params![site, item, agreed.run_no, side],
            |r| r.get::<_, i64>(0),
        )?;
        all.push(match first {
            Some(loc) => format!(
                "{side}: agreed in run {} ({}); then came {}",
                agreed.run_no,
                moment(agreed.at_ms),
                describe(reads, Loc(loc))?
            ),
            None => format!(
                "{side}: agreed in run {} ({}); no event of the ledger came since",
                agreed.run_no,
                moment(agreed.at_ms)
            ),
        });
    }
    Ok(all)
}

/// An event in words: what, its number, quantities, file and line.
///
/// # Errors
/// [`ReconcileError`].
pub fn describe<R: Reads>(reads: &R, loc: Loc) -> Result<String, ReconcileError> {
    let Some(batch) = reads.batch(loc.batch_no())? else {
        return Ok(format!("event {loc}, which the ledger no longer holds"));
    };
    let stored = |source| ReconcileError::Stored { batch_no: batch.batch_no, source };
    let events = codec::decode_batch(&batch.columns).map_err(stored)?;
    let Some(decoded) = events.into_iter().nth(loc.index()) else { return Ok(format!("event {loc}")) };
    let event = decoded.event;
    const NUMBERS: [RefKind; 9] = [
        RefKind::Adjustment,
        RefKind::Receipt,
        RefKind::Shipment,
        RefKind::Transfer,
        RefKind::Count,
        RefKind::Rma,
        RefKind::Transaction,
        RefKind::So,
        RefKind::Po,
    ];
    let number =
        NUMBERS.iter().map(|kind| event.reference(*kind)).find(|n| !n.is_empty()).unwrap_or(&event.correlation_id);
    let mut moved = Vec::new();
    stock::movements(&event, |m| {
        if moved.len() < 3 {
            let status = if m.status.is_empty() { String::new() } else { format!(" {}", m.status) };
            let sign = if m.micros > 0 { "+" } else { "" };
            moved.push(format!("{sign}{} {}{status}", quantity(m.micros), m.sku));
        }
    });
    Ok(format!(
        "{} {number} of {} ({}), {} line {}, at {loc}",
        event.event_type,
        event.time.rfc3339(),
        moved.join(", "),
        event.source.file_name,
        event.source.line_no
    ))
}

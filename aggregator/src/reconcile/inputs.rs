//! What a run compares: the statements of the warehouse systems, and balances of destinations at their own cursors.

use docksync_proto::{event::EventType, site::SiteId};
use rusqlite::params;

use super::{Balances, ReconcileError, WMS, book::end_of, run::Destination, store::ReconStore};
use crate::{
    consumers::erp::UNMAPPED,
    ledger::{CursorRow, DeliveryRow, LedgerError, Loc, Reads, Stage},
};

/// Rows written in one transaction.
const ROWS: usize = 20_000;

/// Why a destination has not had an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It is on its way.
    OnWay = 1,
    /// A call was made whose outcome is not known.
    Unknown = 2,
    /// It is parked, or held behind a parked one.
    Parked = 3,
    /// It is parked because a mapping lacks.
    Unmapped = 4,
}

/// Where a side was compared with the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// `wms` or a destination.
    pub side: String,
    /// Site.
    pub site: String,
    /// Place of the ledger through which it counts.
    pub at: i64,
    /// Statement of the warehouse system.
    pub statement_no: Option<i64>,
}

/// What the deliveries of a destination had settled at one moment.
struct Moment {
    batch_no: i64,
    rows: Vec<(SiteId, Vec<DeliveryRow>)>,
    /// Cursors of the centre's own stream and others, by site.
    cursors: Vec<CursorRow>,
}

/// Reads a destination's balances of a site and what it had not had at that moment. `book` then carries the ledger to that point.
///
/// # Errors
/// [`ReconcileError`]; the inner error are the destination's words.
pub fn read_destination<R: Reads>(
    store: &ReconStore,
    reads: &R,
    destination: &mut Destination,
    (run_no, site, now_ms): (i64, &SiteId, i64),
    book: impl FnOnce(i64) -> Result<(), ReconcileError>,
) -> Result<Result<Input, String>, ReconcileError> {
    let Destination { name, balances, gate } = destination;
    let name = name.as_str();
    let (told, moment) = gate.rest(|| (balances.read(site), moment(reads, name, site)));
    let (moment, told) = match (moment?, told) {
        (moment, Ok(told)) => (moment, told),
        (_, Err(words)) => return Ok(Err(words)),
    };
    book(moment.batch_no)?;
    let at = end_of(moment.batch_no);
    for rows in told.chunks(ROWS) {
        store.together(|| {
            for row in rows {
                store.run_sql(
                    "keep a balance",
                    "INSERT INTO other_balance VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET micros = micros + excluded.micros",
                    params![run_no, name, site.as_str(), row.item, row.lot, row.place, row.micros],
                )?;
            }
            Ok(())
        })?;
    }
    store.together(|| {
        keep_unsettled(store, (run_no, name, site.as_str()), &moment, &**balances)?;
        let input = Input { side: name.to_owned(), site: site.to_string(), at, statement_no: None };
        keep_input(store, run_no, &input, now_ms)?;
        Ok(Ok(input))
    })
}

fn moment<R: Reads>(reads: &R, name: &str, site: &SiteId) -> Result<Moment, LedgerError> {
    let cursors: Vec<CursorRow> = reads.cursors()?.into_iter().filter(|c| c.consumer == name).collect();
    let mut rows = Vec::new();
    for facts in reads.sites()? {
        if facts.site == *site || facts.site.as_str() == super::CENTRE_STREAM {
            let of_site = reads.deliveries(name, &facts.site)?;
            rows.push((facts.site, of_site));
        }
    }
    Ok(Moment { batch_no: reads.last_batch()?, rows, cursors })
}

fn keep_unsettled(
    store: &ReconStore,
    (run_no, side, site): (i64, &str, &str),
    moment: &Moment,
    balances: &dyn Balances,
) -> Result<(), ReconcileError> {
    let at = end_of(moment.batch_no);
    let settled = |of: &str| moment.cursors.iter().find(|c| c.site.as_str() == of).map_or(Loc::default(), |c| c.loc);
    let through = settled(site);
    let keep = "INSERT OR REPLACE INTO unsettled SELECT ?1, ?2, ?3, m.account_no, m.loc, ?4, m.micros FROM movement m \
                JOIN account a USING (account_no) WHERE a.site = ?3 AND m.at <= ?5 AND";
    // Everything behind the cursor is on its way, but for what is settled already or told apart below.
    store.run_sql(
        "keep what is on its way",
        &format!("{keep} m.loc > ?6"),
        params![run_no, side, site, Class::OnWay as i64, at, through.0],
    )?;
    for (stream, rows) in &moment.rows {
        if stream.as_str() == super::CENTRE_STREAM {
            // The centre's own stream has a cursor of its own, and its numbers may lie before this site's.
            keep_centre(store, (run_no, side, site), (at, settled(stream.as_str()), through), keep)?;
        }
        for row in rows {
            let class = match row.stage {
                Stage::Done => {
                    store.run_sql(
                        "leave out what is settled",
                        "DELETE FROM unsettled WHERE run_no = ?1 AND side = ?2 AND site = ?3 AND loc = ?4",
                        params![run_no, side, site, row.loc.0],
                    )?;
                    continue;
                }
                Stage::Sending | Stage::Unknown => Class::Unknown,
                Stage::Parked if row.code.starts_with(UNMAPPED) => Class::Unmapped,
                Stage::Parked | Stage::Held => Class::Parked,
            };
            store.run_sql(
                "keep what is parked",
                &format!("{keep} m.loc = ?6"),
                params![run_no, side, site, class as i64, at, row.loc.0],
            )?;
        }
    }
    // What is never told to it is no matter of deliveries.
    for kind in EventType::ALL.iter().filter(|kind| !balances.takes(**kind)) {
        store.run_sql(
            "leave out what is not told",
            "DELETE FROM unsettled WHERE run_no = ?1 AND side = ?2 AND site = ?3 AND EXISTS (SELECT 1 FROM movement m \
             WHERE m.account_no = unsettled.account_no AND m.loc = unsettled.loc AND m.kind = ?4)",
            params![run_no, side, site, kind.code()],
        )?;
    }
    Ok(())
}

/// Corrections that the centre made itself stand in a stream of their own.
fn keep_centre(
    store: &ReconStore,
    (run_no, side, site): (i64, &str, &str),
    (at, own, through): (i64, Loc, Loc),
    keep: &str,
) -> Result<(), ReconcileError> {
    let is_centre = "m.loc IN (SELECT loc FROM posted)";
    store.run_sql(
        "keep what is on its way",
        &format!("{keep} m.loc > ?6 AND {is_centre}"),
        params![run_no, side, site, Class::OnWay as i64, at, own.0],
    )?;
    store
        .run_sql(
            "leave out what is settled",
            "DELETE FROM unsettled WHERE run_no = ?1 AND side = ?2 AND site = ?3 AND class = 1 AND loc > ?4 AND loc <= ?5 \
             AND loc IN (SELECT loc FROM posted)",
            params![run_no, side, site, through.0, own.0],
        )
        .map(drop)
}

pub(super) fn keep_input(store: &ReconStore, run_no: i64, input: &Input, now_ms: i64) -> Result<(), ReconcileError> {
    store
        .run_sql(
            "keep the inputs of a run",
            "INSERT OR REPLACE INTO input VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![run_no, input.side, input.site, input.at, input.statement_no, now_ms],
        )
        .map(drop)
}

/// The newest whole statement of a site.
///
/// # Errors
/// [`ReconcileError`].
pub fn statement(store: &ReconStore, site: &str) -> Result<Option<Input>, ReconcileError> {
    store.one(
        "read the last statement",
        "SELECT statement_no, first_at FROM statement WHERE site = ?1 AND is_whole = 1 ORDER BY first_at DESC, statement_no DESC LIMIT 1",
        [site],
        |r| Ok(Input { side: WMS.to_owned(), site: site.to_owned(), at: r.get(1)?, statement_no: Some(r.get(0)?) }),
    )
}

/// The inputs that a run has so far.
///
/// # Errors
/// [`ReconcileError`].
pub fn inputs_of(store: &ReconStore, run_no: i64) -> Result<Vec<Input>, ReconcileError> {
    store.all(
        "read the inputs of a run",
        "SELECT side, site, at, statement_no FROM input WHERE run_no = ?1 ORDER BY site, side",
        [run_no],
        |r| Ok(Input { side: r.get(0)?, site: r.get(1)?, at: r.get(2)?, statement_no: r.get(3)? }),
    )
}

//! What reconciliation lets go of: inputs of old runs, movements that no kept run needs, transfers that are over.

use jiff::Timestamp;
use rusqlite::params;

use super::{ReconcileError, Settings, store::ReconStore};

/// Reports are kept so many times as long as the inputs of their runs.
const REPORTS: i64 = 10;
/// Transfers that match are kept for so many lead times: what comes later for them stands alone.
const LEADS: i64 = 4;
const HOUR_MS: i64 = 3_600_000;
/// Counts by day are kept for a year: days are numbers as 20261126.
const DAYS_APART: i64 = 10_000;

/// Lets go of what is older than the runs that are kept.
///
/// # Errors
/// [`ReconcileError`]; it is tried again at the next run.
pub(super) fn prune(store: &ReconStore, run_no: i64, settings: &Settings, now_ms: i64) -> Result<(), ReconcileError> {
    let keep = i64::from(settings.keep_runs);
    prune_transfers(store, now_ms.saturating_sub(i64::from(settings.lead_hours) * HOUR_MS * LEADS))?;
    let older = run_no.saturating_sub(keep.saturating_mul(REPORTS));
    store.run_sql("let go of old reports", "DELETE FROM run WHERE run_no <= ?1 AND state > 2", [older])?;
    // By our clock: a site's may be years ahead.
    let today = Timestamp::from_millisecond(now_ms).unwrap_or_default().strftime("%Y%m%d").to_string();
    let oldest_day = today.parse::<i64>().unwrap_or(0) - DAYS_APART;
    store.run_sql("let go of old counts", "DELETE FROM captured WHERE day < ?1", [oldest_day])?;
    let before = run_no - keep;
    if before <= 0 {
        return Ok(());
    }
    store.together(|| {
        for table in ["input", "other_balance", "unsettled", "line"] {
            store.run_sql("let go of old runs", &format!("DELETE FROM {table} WHERE run_no <= ?1"), [before])?;
        }
        let sites = store.all(
            "look how far runs reach back",
            "SELECT site, min(at) FROM input GROUP BY site",
            [],
            |r| Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?)),
        )?;
        for (site, oldest) in sites {
            let old = params![site, oldest];
            let of_site = "account_no IN (SELECT account_no FROM account WHERE site = ?1)";
            // Older movements are in the sums of their accounts, and stay there.
            store.run_sql("let go of old movements", &format!("DELETE FROM movement WHERE loc < ?2 AND at < ?2 AND {of_site}"), old)?;
            store.run_sql("let go of decisions", &format!("DELETE FROM waiting WHERE decided_at < ?2 AND {of_site}"), old)?;
            store.run_sql("let go of receipts", "DELETE FROM transfer WHERE is_receipt = 2 AND site = ?1 AND loc < ?2 AND NOT EXISTS (SELECT 1 FROM transfer s WHERE s.transfer = transfer.transfer AND s.is_receipt = 0)", old)?;
            let statements = "SELECT statement_no FROM statement WHERE site = ?1 AND is_whole = 1 AND last_loc < ?2 AND statement_no NOT IN \
                 (SELECT statement_no FROM input WHERE statement_no IS NOT NULL)";
            store.run_sql("let go of statements", &format!("DELETE FROM told WHERE statement_no IN ({statements})"), old)?;
            store.run_sql("let go of statements", &format!("DELETE FROM statement WHERE statement_no IN ({statements})"), old)?;
        }
        Ok(())
    })
}

/// Whatever is not equal stays, and is told until somebody closes it.
fn prune_transfers(store: &ReconStore, before_ms: i64) -> Result<(), ReconcileError> {
    let over = "SELECT transfer, max(last) AS last FROM (SELECT transfer, \
         sum(CASE is_receipt WHEN 0 THEN micros ELSE -micros END) AS rest, max(happened_ms) AS last FROM transfer \
         GROUP BY transfer, sku, lot, uom) GROUP BY transfer HAVING max(abs(rest)) = 0 AND max(last) < ?1";
    store.together(|| {
        store.run_sql("let go of transfers", &format!("INSERT OR REPLACE INTO transfer_over {over}"), [before_ms])?;
        let gone = "DELETE FROM transfer WHERE EXISTS (SELECT 1 FROM transfer_over o WHERE o.transfer = transfer.transfer AND \
             transfer.happened_ms <= o.last_ms)";
        store.run_sql("let go of transfers", gone, []).map(drop)
    })
}

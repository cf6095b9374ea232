//! What the ledger keeps of a destination as a whole: its incidents, and from where it is sent everything again.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Loc,
    audit::Entry,
    error::{LedgerError, sql},
    reads::SqliteReader,
    sqlite::{SqliteStore, meta},
};

/// Incidents that are kept of one destination; older ones go.
const INCIDENTS_MAX: i64 = 1_000;
/// Beginning of the key under which it is kept through which event a destination is asked first, before the consumer's name.
const ASKS: &str = "asks ";

/// A time during which a destination took nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRow {
    /// Consumer.
    pub consumer: String,
    /// Kind of fault, as [`crate::consumers::FaultClass`] names it; the last one where it changed.
    pub class: String,
    /// The destination's last words.
    pub reason: String,
    /// First fault, milliseconds since 1970.
    pub since_ms: i64,
    /// Tries that failed, as far as they were written down: when it opened, changed its kind, or closed.
    pub failures: u32,
    /// When it took events again; `None` while it does not.
    pub until_ms: Option<i64>,
}

impl SqliteStore {
    /// Writes the incident of a destination as it is now: opens it, changes it, or closes it.
    pub(super) fn put_incident(&mut self, row: &IncidentRow) -> Result<(), LedgerError> {
        let known: Option<i64> = self
            .db
            .conn
            .prepare_cached("SELECT incident_no FROM incident WHERE consumer = ?1 AND until_ms IS NULL")
            .and_then(|mut s| s.query_row([&row.consumer], |r| r.get(0)).optional())
            .map_err(sql("read the open incident"))?;
        if let Some(incident_no) = known {
            return self.run(
                "change an incident",
                "UPDATE incident SET class = ?2, reason = ?3, failures = ?4, until_ms = ?5 WHERE incident_no = ?1",
                params![incident_no, row.class, row.reason, row.failures, row.until_ms],
            );
        }
        self.run(
            "open an incident",
            "INSERT INTO incident (consumer, class, reason, since_ms, failures, until_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![row.consumer, row.class, row.reason, row.since_ms, row.failures, row.until_ms],
        )?;
        self.run(
            "let old incidents go",
            "DELETE FROM incident WHERE consumer = ?1 AND incident_no <= (SELECT incident_no FROM incident \
             WHERE consumer = ?1 ORDER BY incident_no DESC LIMIT 1 OFFSET ?2)",
            params![row.consumer, INCIDENTS_MAX],
        )
    }

    /// Lets a destination be sent everything from an event on again, and has it asked first where it can be asked.
    pub(super) fn rewind(&mut self, consumer: &str, from: Loc, reason: &str, by: &str) -> Result<(), LedgerError> {
        self.run(
            "set a consumer back",
            "UPDATE cursor SET loc = ?2, \
             epoch = coalesce((SELECT b.epoch FROM batch b WHERE b.site_no = cursor.site_no AND b.batch_no < ?3 \
               ORDER BY b.batch_no DESC LIMIT 1), 0), \
             seq = coalesce((SELECT b.first_seq + b.count - 1 FROM batch b WHERE b.site_no = cursor.site_no \
               AND b.batch_no < ?3 ORDER BY b.batch_no DESC LIMIT 1), 0) \
             WHERE consumer = ?1 AND loc >= ?4",
            params![consumer, from.0 - 1, from.batch_no(), from.0],
        )?;
        self.run(
            "set deliveries back",
            "DELETE FROM delivery WHERE consumer = ?1 AND loc >= ?2",
            params![consumer, from.0],
        )?;
        self.run(
            "forget document numbers",
            "DELETE FROM applied WHERE consumer = ?1 AND loc >= ?2",
            params![consumer, from.0],
        )?;
        self.ask_through_now(consumer)?;
        self.append_audit(&Entry {
            who: by.to_owned(),
            act: "reset".to_owned(),
            subject: format!("{consumer} from {from}"),
            detail: reason.to_owned(),
        })
    }

    /// The sites have sent again what a restored ledger lacked. What is stored by now may have taken effect before the restore.
    pub(super) fn end_recovery(&mut self) -> Result<(), LedgerError> {
        let consumers: Vec<String> = self
            .db
            .conn
            .prepare_cached("SELECT DISTINCT consumer FROM cursor")
            .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
            .map_err(sql("read the consumers"))?;
        for consumer in consumers {
            self.ask_through_now(&consumer)?;
        }
        self.run("end recovery", "DELETE FROM meta WHERE key = 'recovery'", [])
    }

    fn ask_through_now(&self, consumer: &str) -> Result<(), LedgerError> {
        self.run(
            "note what is asked first",
            "INSERT OR REPLACE INTO meta SELECT ?1, CAST(CAST(coalesce(max(batch_no), 0) AS TEXT) AS BLOB) FROM batch",
            [format!("{ASKS}{consumer}")],
        )
    }
}

impl SqliteReader {
    /// Last event of which a destination may know more than the ledger, so that it is asked before it is sent; nothing where
    /// the ledger has known all from the start.
    pub(super) fn asks(&self, consumer: &str) -> Result<Loc, LedgerError> {
        if meta(&self.conn, "recovery")?.is_some() {
            return Ok(Loc(i64::MAX));
        }
        let found = meta(&self.conn, &format!("{ASKS}{consumer}"))?;
        let last = found.and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<i64>().ok());
        Ok(last.map_or(Loc::default(), |batch_no| Loc(Loc::new(batch_no + 1, 0).0 - 1)))
    }

    /// Incidents, the newest first.
    pub(super) fn incident_rows(&self, consumer: &str, limit: usize) -> Result<Vec<IncidentRow>, LedgerError> {
        self.conn
            .prepare_cached(
                "SELECT consumer, class, reason, since_ms, failures, until_ms FROM incident WHERE consumer = ?1 \
                 ORDER BY incident_no DESC LIMIT ?2",
            )
            .and_then(|mut s| s.query_map(params![consumer, limit as i64], incident)?.collect())
            .map_err(sql("read incidents"))
    }
}

fn incident(r: &Row<'_>) -> Result<IncidentRow, rusqlite::Error> {
    Ok(IncidentRow {
        consumer: r.get(0)?,
        class: r.get(1)?,
        reason: r.get(2)?,
        since_ms: r.get(3)?,
        failures: r.get(4)?,
        until_ms: r.get(5)?,
    })
}

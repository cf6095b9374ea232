//! Reads of the SQLite store, on a connection of their own.

use std::path::Path;

use docksync_proto::{
    frame::BatchHead,
    identity::{Chain, Incarnation},
    site::SiteId,
};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use uuid::Uuid;

use super::{
    ADMIT_TARGET, BalanceRow, CursorRow, DeliveryRow, Fates, IncidentRow, LinkRow, Loc, OpKind, OpRow, Reads,
    RefusalRow, RefusalState, SiteFacts, Stage, Standing, StoredBatch,
    audit::{AuditRow, Entry},
    change::PAUSED,
    error::{LedgerError, sql},
    keys, runs, sqlite,
    terms::term_hash,
};

/// A connection for reads.
#[derive(Debug)]
pub struct SqliteReader {
    pub(super) conn: Connection,
}

const BATCH: &str = "SELECT b.batch_no, s.site, b.epoch, b.first_seq, b.count, b.received_ms, b.chain_before, \
     b.chain_after, b.standings, b.columns FROM batch b JOIN site s USING (site_no)";
const DELIVERY: &str = "SELECT d.consumer, s.site, d.loc, d.lane, d.stage, d.attempts, d.code, d.reason, d.at_ms \
     FROM delivery d JOIN site s USING (site_no)";
const REFUSAL: &str =
    "SELECT r.loc, s.site, r.code, r.reason, r.other, r.state, r.at_ms FROM refusal r JOIN site s USING (site_no)";
const OP: &str = "SELECT op_id, target, kind, loc, reason, requested_by, state, result FROM op";

impl SqliteReader {
    /// Opens a ledger for reading.
    ///
    /// # Errors
    /// [`LedgerError`] where there is none, or one of a later program.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Ok(Self { conn: sqlite::open_reader(path)? })
    }

    fn all<T>(
        &self,
        doing: &'static str,
        text: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Vec<T>, LedgerError> {
        let mut statement = self.conn.prepare_cached(text).map_err(sql(doing))?;
        statement.query_map(values, read).and_then(Iterator::collect).map_err(sql(doing))
    }

    fn one<T>(
        &self,
        doing: &'static str,
        text: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Option<T>, LedgerError> {
        let mut statement = self.conn.prepare_cached(text).map_err(sql(doing))?;
        statement.query_row(values, read).optional().map_err(sql(doing))
    }

    /// Adds what was decided since to batches that have anything to decide.
    fn complete(&self, mut batches: Vec<StoredBatch>) -> Result<Vec<StoredBatch>, LedgerError> {
        for batch in &mut batches {
            let has = |wanted: &[Standing]| batch.standings.iter().any(|b| wanted.iter().any(|w| *w as u8 == *b));
            let range = params![Loc::new(batch.batch_no, 0).0, Loc::new(batch.batch_no + 1, 0).0];
            let (refused, replacing) =
                (has(&[Standing::Parked, Standing::Revised]), has(&[Standing::Correction, Standing::Revised]));
            if refused {
                let rows = self.all(
                    "read refusals",
                    "SELECT loc, state FROM refusal WHERE loc >= ?1 AND loc < ?2 ORDER BY loc",
                    range,
                    |r| Ok((Loc(r.get(0)?).index(), r.get(1)?)),
                )?;
                batch.refusals = rows
                    .into_iter()
                    .map(|(at, state)| Ok((at, RefusalState::from_code(state)?)))
                    .collect::<Result<_, LedgerError>>()?;
            }
            if replacing {
                batch.priors = self.all(
                    "read corrections",
                    "SELECT loc, prior FROM correction WHERE loc >= ?1 AND loc < ?2 ORDER BY loc",
                    range,
                    |r| Ok((Loc(r.get(0)?).index(), Loc(r.get(1)?))),
                )?;
            }
        }
        Ok(batches)
    }

    fn delivery_rows(&self, tail: &str, values: impl Params) -> Result<Vec<DeliveryRow>, LedgerError> {
        let text = format!("{DELIVERY} {tail}");
        let rows = self.all("read deliveries", &text, values, |r| Ok((delivery(r)?, r.get(4)?)))?;
        rows.into_iter().map(|(row, stage)| Ok(DeliveryRow { stage: Stage::from_code(stage)?, ..row })).collect()
    }

    fn refusal_rows(&self, tail: &str, values: impl Params) -> Result<Vec<RefusalRow>, LedgerError> {
        let rows = self.all("read refusals", &format!("{REFUSAL} {tail}"), values, |r| Ok((refusal(r)?, r.get(5)?)))?;
        rows.into_iter().map(|(row, state)| Ok(RefusalRow { state: RefusalState::from_code(state)?, ..row })).collect()
    }
}

impl Reads for SqliteReader {
    fn ledger_id(&self) -> Result<Incarnation, LedgerError> {
        let id = sqlite::meta(&self.conn, "ledger_id")?.and_then(|id| id.try_into().ok());
        id.map(Incarnation).ok_or(LedgerError::Damaged { what: "name of the ledger", at: 0 })
    }

    fn is_recovering(&self) -> Result<bool, LedgerError> {
        sqlite::meta(&self.conn, "recovery").map(|found| found.is_some())
    }

    fn asks_through(&self, consumer: &str) -> Result<Loc, LedgerError> {
        self.asks(consumer)
    }

    fn incidents(&self, consumer: &str, limit: usize) -> Result<Vec<IncidentRow>, LedgerError> {
        self.incident_rows(consumer, limit)
    }

    fn first_batch_since(&self, at_ms: i64) -> Result<Option<i64>, LedgerError> {
        let text = "SELECT min(batch_no) FROM batch WHERE received_ms >= ?1";
        Ok(self.one("look for a moment", text, [at_ms], |r| r.get(0))?.flatten())
    }

    fn links(&self) -> Result<Vec<LinkRow>, LedgerError> {
        self.all(
            "read the links",
            "SELECT s.site, l.epoch, l.marked, l.state FROM link l JOIN site s USING (site_no) ORDER BY s.site",
            [],
            |r| {
                Ok(LinkRow {
                    site: site(r, 0)?,
                    epoch: r.get(1)?,
                    marked: r.get::<_, i64>(2)?.cast_unsigned(),
                    state: r.get(3)?,
                })
            },
        )
    }

    fn tail(&self, site: &SiteId, epoch: u32) -> Result<Option<(u64, Chain)>, LedgerError> {
        self.one(
            "read the end of a stream",
            "SELECT first_seq + count - 1, chain_after FROM batch WHERE site_no = \
             (SELECT site_no FROM site WHERE site = ?1) AND epoch = ?2 ORDER BY first_seq DESC LIMIT 1",
            params![site.as_str(), epoch],
            |r| Ok((r.get::<_, i64>(0)?.cast_unsigned(), Chain(r.get(1)?))),
        )
    }

    fn read_batches(&self, site: &SiteId, after: i64, limit: usize) -> Result<Vec<StoredBatch>, LedgerError> {
        let text = format!(
            "{BATCH} WHERE b.site_no = (SELECT site_no FROM site WHERE site = ?1) AND b.batch_no > ?2 \
             ORDER BY b.batch_no LIMIT ?3"
        );
        let rows = self.all("read batches", &text, params![site.as_str(), after, limit as i64], batch)?;
        self.complete(rows)
    }

    fn last_batch(&self) -> Result<i64, LedgerError> {
        let found = self.one("read the last batch", "SELECT max(batch_no) FROM batch", [], |r| r.get(0))?;
        Ok(found.flatten().unwrap_or(0))
    }

    fn batch(&self, batch_no: i64) -> Result<Option<StoredBatch>, LedgerError> {
        let rows = self.all("read a batch", &format!("{BATCH} WHERE b.batch_no = ?1"), [batch_no], batch)?;
        Ok(self.complete(rows)?.pop())
    }

    fn batch_with(&self, site: &SiteId, epoch: u32, seq: u64) -> Result<Option<StoredBatch>, LedgerError> {
        let text = format!(
            "{BATCH} WHERE b.site_no = (SELECT site_no FROM site WHERE site = ?1) AND b.epoch = ?2 \
             AND b.first_seq <= ?3 AND b.first_seq + b.count > ?3 ORDER BY b.first_seq DESC LIMIT 1"
        );
        let rows = self.all("read a batch", &text, params![site.as_str(), epoch, seq.cast_signed()], batch)?;
        Ok(self.complete(rows)?.pop())
    }

    fn heads(&self, site: &SiteId, each: &mut dyn FnMut(i64, BatchHead)) -> Result<(), LedgerError> {
        let doing = "read the heads of a stream";
        let mut statement = self
            .conn
            .prepare_cached(
                "SELECT batch_no, epoch, first_seq, count, chain_before, chain_after FROM batch WHERE site_no = \
                 (SELECT site_no FROM site WHERE site = ?1) ORDER BY epoch, first_seq",
            )
            .map_err(sql(doing))?;
        let mut rows = statement.query([site.as_str()]).map_err(sql(doing))?;
        while let Some(row) = rows.next().map_err(sql(doing))? {
            let head = || {
                Ok(BatchHead {
                    epoch: row.get(1)?,
                    session: 0,
                    first: row.get::<_, i64>(2)?.cast_unsigned(),
                    count: row.get(3)?,
                    chain_before: Chain(row.get(4)?),
                    chain_after: Chain(row.get(5)?),
                })
            };
            each(row.get(0).map_err(sql(doing))?, head().map_err(sql(doing))?);
        }
        Ok(())
    }

    fn event(&self, id: Uuid) -> Result<Option<Loc>, LedgerError> {
        Ok(self.key(id)?.map(|(_, loc)| loc))
    }

    fn key(&self, id: Uuid) -> Result<Option<(i64, Loc)>, LedgerError> {
        keys::look_up(&self.conn, id.as_bytes())
    }

    fn batches_with_term(&self, text: &str, limit: usize) -> Result<Vec<i64>, LedgerError> {
        runs::look_up(&self.conn, term_hash(text), limit)
    }

    fn sites(&self) -> Result<Vec<SiteFacts>, LedgerError> {
        self.all(
            "read the sites",
            "SELECT site, events, fresh, duplicate, corrected, revised, parked, test, last_received_ms, \
             backed_up_epoch, backed_up FROM site ORDER BY site",
            [],
            |r| {
                let count = |at: usize| r.get::<_, i64>(at).map(i64::cast_unsigned);
                Ok(SiteFacts {
                    site: site(r, 0)?,
                    events: count(1)?,
                    new: count(2)?,
                    duplicate: count(3)?,
                    corrected: count(4)?,
                    revised: count(5)?,
                    parked: count(6)?,
                    test: count(7)?,
                    last_received_ms: r.get(8)?,
                    backed_up_epoch: r.get(9)?,
                    backed_up: count(10)?,
                })
            },
        )
    }

    fn balances(&self, site: &SiteId) -> Result<Vec<BalanceRow>, LedgerError> {
        self.all(
            "read balances",
            "SELECT sku, lot, status, micros FROM balance WHERE site_no = (SELECT site_no FROM site WHERE site = ?1) \
             ORDER BY sku, lot, status",
            [site.as_str()],
            |r| Ok(BalanceRow { sku: r.get(0)?, lot: r.get(1)?, status: r.get(2)?, micros: r.get(3)? }),
        )
    }

    fn cursors(&self) -> Result<Vec<CursorRow>, LedgerError> {
        self.all(
            "read the cursors",
            "SELECT c.consumer, s.site, c.loc, c.epoch, c.seq FROM cursor c JOIN site s USING (site_no) \
             ORDER BY c.consumer, s.site",
            [],
            |r| {
                Ok(CursorRow {
                    consumer: r.get(0)?,
                    site: site(r, 1)?,
                    loc: Loc(r.get(2)?),
                    epoch: r.get(3)?,
                    seq: r.get::<_, i64>(4)?.cast_unsigned(),
                })
            },
        )
    }

    fn deliveries(&self, consumer: &str, site: &SiteId) -> Result<Vec<DeliveryRow>, LedgerError> {
        self.delivery_rows("WHERE d.consumer = ?1 AND s.site = ?2 ORDER BY d.loc", params![consumer, site.as_str()])
    }

    fn fates(&self, site: &SiteId, loc: Loc) -> Result<Fates, LedgerError> {
        let rows = self.delivery_rows(
            "WHERE d.consumer IN (SELECT consumer FROM cursor) AND s.site = ?1 AND d.loc = ?2 ORDER BY d.consumer",
            params![site.as_str(), loc.0],
        )?;
        let documents = self.all(
            "read document numbers",
            "SELECT consumer, document FROM applied WHERE loc = ?1 AND consumer IN (SELECT consumer FROM cursor) \
             ORDER BY consumer",
            [loc.0],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )?;
        Ok((rows, documents))
    }

    fn parked(&self, limit: usize) -> Result<Vec<DeliveryRow>, LedgerError> {
        self.delivery_rows(
            "WHERE d.stage = 3 AND d.loc NOT IN (SELECT loc FROM refusal WHERE state = 1) \
             ORDER BY d.at_ms, d.loc LIMIT ?1",
            [limit as i64],
        )
    }

    fn refusals(&self, limit: usize) -> Result<Vec<RefusalRow>, LedgerError> {
        self.refusal_rows("WHERE r.state = 1 ORDER BY r.loc LIMIT ?1", [limit as i64])
    }

    fn refusal(&self, loc: Loc) -> Result<Option<RefusalRow>, LedgerError> {
        Ok(self.refusal_rows("WHERE r.loc = ?1", [loc.0])?.pop())
    }

    fn edits(&self, loc: Loc) -> Result<Vec<(String, String, String)>, LedgerError> {
        let mut s = self
            .conn
            .prepare_cached("SELECT consumer, who, event FROM edit WHERE loc = ?1 ORDER BY consumer")
            .map_err(sql("read edits"))?;
        s.query_map([loc.0], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .and_then(Iterator::collect)
            .map_err(sql("read edits"))
    }

    fn ops_waiting(&self, target: &str) -> Result<Vec<OpRow>, LedgerError> {
        self.all(
            "read requests",
            &format!("{OP} WHERE state = 1 AND target = ?1 ORDER BY op_id LIMIT 1000"),
            [target],
            op,
        )
    }

    fn op(&self, op_id: i64) -> Result<Option<OpRow>, LedgerError> {
        self.one("read a request", &format!("{OP} WHERE op_id = ?1"), [op_id], op)
    }

    fn last_op(&self) -> Result<i64, LedgerError> {
        let found = self.one("read the last request", "SELECT max(op_id) FROM op", [], |r| r.get(0))?;
        Ok(found.flatten().unwrap_or(0))
    }

    fn ops_after(&self, op_id: i64, target: &str) -> Result<Vec<OpRow>, LedgerError> {
        let text = format!("{OP} WHERE op_id > ?1 AND target = ?2 ORDER BY op_id");
        self.all("read requests", &text, params![op_id, target], op)
    }

    fn ops_asked(&self, limit: usize) -> Result<Vec<OpRow>, LedgerError> {
        self.all("read requests", &format!("{OP} ORDER BY op_id DESC LIMIT ?1"), [limit as i64], op)
    }

    fn last_document(&self, consumer: &str) -> Result<Option<(String, i64)>, LedgerError> {
        let text = "SELECT document, at_ms FROM applied WHERE consumer = ?1 ORDER BY loc DESC LIMIT 1";
        self.one("read the last document", text, [consumer], |r| Ok((r.get(0)?, r.get(1)?)))
    }

    fn paused(&self, consumer: &str) -> Result<Option<String>, LedgerError> {
        let key = format!("{PAUSED}{consumer}");
        self.one(
            "read whether a consumer is paused",
            "SELECT CAST(value AS TEXT) FROM meta WHERE key = ?1",
            [key],
            |r| r.get(0),
        )
    }

    fn audit_rows(&self, from: i64, limit: usize) -> Result<Vec<AuditRow>, LedgerError> {
        self.all(
            "read the audit trail",
            "SELECT audit_no, at_ms, who, act, subject, detail, hash FROM audit WHERE audit_no >= ?1 \
             ORDER BY audit_no LIMIT ?2",
            params![from, limit as i64],
            |r| {
                Ok(AuditRow {
                    audit_no: r.get(0)?,
                    at_ms: r.get(1)?,
                    entry: Entry { who: r.get(2)?, act: r.get(3)?, subject: r.get(4)?, detail: r.get(5)? },
                    hash: r.get(6)?,
                })
            },
        )
    }
}

fn site(row: &Row<'_>, at: usize) -> Result<SiteId, rusqlite::Error> {
    let text: String = row.get(at)?;
    SiteId::new(&text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(e)))
}

fn batch(r: &Row<'_>) -> Result<StoredBatch, rusqlite::Error> {
    Ok(StoredBatch {
        batch_no: r.get(0)?,
        site: site(r, 1)?,
        head: BatchHead {
            // The grant is over; only the stream's own numbers are stored.
            session: 0,
            epoch: r.get(2)?,
            first: r.get::<_, i64>(3)?.cast_unsigned(),
            count: r.get(4)?,
            chain_before: Chain(r.get(6)?),
            chain_after: Chain(r.get(7)?),
        },
        received_ms: r.get(5)?,
        standings: r.get(8)?,
        columns: r.get(9)?,
        refusals: Vec::new(),
        priors: Vec::new(),
    })
}

fn delivery(r: &Row<'_>) -> Result<DeliveryRow, rusqlite::Error> {
    Ok(DeliveryRow {
        consumer: r.get(0)?,
        site: site(r, 1)?,
        loc: Loc(r.get(2)?),
        lane: r.get(3)?,
        stage: Stage::Held,
        attempts: r.get(5)?,
        code: r.get(6)?,
        reason: r.get(7)?,
        at_ms: r.get(8)?,
    })
}

fn refusal(r: &Row<'_>) -> Result<RefusalRow, rusqlite::Error> {
    Ok(RefusalRow {
        loc: Loc(r.get(0)?),
        site: site(r, 1)?,
        code: r.get(2)?,
        reason: r.get(3)?,
        other: r.get::<_, Option<i64>>(4)?.map(Loc),
        state: RefusalState::Open,
        at_ms: r.get(6)?,
    })
}

fn op(r: &Row<'_>) -> Result<OpRow, rusqlite::Error> {
    let kind: String = r.get(2)?;
    let state: i64 = r.get(6)?;
    Ok(OpRow {
        op_id: r.get(0)?,
        target: r.get(1)?,
        kind: OpKind::from_word(&kind),
        loc: Loc(r.get(3)?),
        reason: r.get(4)?,
        requested_by: r.get(5)?,
        answered: match state {
            1 => None,
            code => Some(code == 2),
        },
        result: r.get(7)?,
    })
}

/// Whether a request is about an event that was not admitted.
impl OpRow {
    /// Whether the request is about an event that was not admitted.
    pub fn is_about_admission(&self) -> bool {
        self.target == ADMIT_TARGET
    }
}

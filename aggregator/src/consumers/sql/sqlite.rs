//! Staging tables in one SQLite file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use docksync_proto::{event::EventType, site::SiteId};
use rusqlite::{Connection, OpenFlags, params};

use crate::consumers::{Capability, Consumer, ConsumerError, Delivery, FaultClass, LookUp, Outcome, json::event_json};
use crate::{
    ledger::effect::StockKey,
    reconcile::{Balances, OtherBalance, Placed},
};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS docksync_event (
  event_id TEXT PRIMARY KEY, site TEXT NOT NULL, site_epoch INTEGER NOT NULL, site_seq INTEGER NOT NULL,
  type TEXT NOT NULL, document TEXT NOT NULL, event_time TEXT NOT NULL, json TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS docksync_stock (
  site TEXT NOT NULL, sku TEXT NOT NULL, lot TEXT NOT NULL, status TEXT NOT NULL, quantity_micros INTEGER NOT NULL,
  PRIMARY KEY (site, sku, lot, status)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS docksync_cursor (
  site TEXT PRIMARY KEY, site_epoch INTEGER NOT NULL, site_seq INTEGER NOT NULL) WITHOUT ROWID;";
const BATCH_MAX: usize = 5_000;
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// A staging database.
#[derive(Debug)]
pub struct SqlConsumer {
    conn: Connection,
}

impl SqlConsumer {
    /// Opens the database, creating its tables where they are not.
    ///
    /// # Errors
    /// [`ConsumerError::Database`].
    pub fn open(path: &Path) -> Result<Self, ConsumerError> {
        let error = |source| ConsumerError::Database { path: path.to_owned(), source };
        let conn = Connection::open(path).map_err(error)?;
        conn.busy_timeout(BUSY_WAIT).map_err(error)?;
        conn.pragma_update(None, "journal_mode", "WAL").map_err(error)?;
        conn.pragma_update(None, "synchronous", "FULL").map_err(error)?;
        conn.execute_batch(SCHEMA).map_err(error)?;
        Ok(Self { conn })
    }

    fn post(&mut self, batch: &[Delivery]) -> Result<Vec<bool>, rusqlite::Error> {
        let transaction = self.conn.transaction()?;
        let mut fresh = Vec::with_capacity(batch.len());
        let mut stock: BTreeMap<(&str, &StockKey), i64> = BTreeMap::new();
        let mut cursors: BTreeMap<&str, (u32, u64)> = BTreeMap::new();
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO docksync_event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
            )?;
            for delivery in batch {
                let event = &delivery.event;
                let site = delivery.site.as_str();
                let document = docksync_proto::identity::document_key(event);
                let is_new = insert.execute(params![
                    delivery.key,
                    site,
                    delivery.epoch,
                    delivery.seq.cast_signed(),
                    event.event_type.as_str(),
                    document,
                    event.time.rfc3339(),
                    event_json(delivery)
                ])? == 1;
                if is_new {
                    // A correction made at the centre comes in a stream of its own and is about another site.
                    let about = event.site_id.as_str();
                    delivery.stock.iter().for_each(|(key, micros)| *stock.entry((about, key)).or_default() += micros);
                }
                let cursor = cursors.entry(site).or_default();
                *cursor = (*cursor).max((delivery.epoch, delivery.seq));
                fresh.push(is_new);
            }
            let mut add = transaction.prepare_cached(
                "INSERT INTO docksync_stock VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET \
                 quantity_micros = quantity_micros + excluded.quantity_micros",
            )?;
            for ((site, (sku, lot, status)), micros) in &stock {
                add.execute(params![site, sku, lot, status, micros])?;
            }
            let mut advance = transaction.prepare_cached(
                "INSERT INTO docksync_cursor VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET \
                 site_epoch = excluded.site_epoch, site_seq = excluded.site_seq \
                 WHERE (excluded.site_epoch, excluded.site_seq) > (site_epoch, site_seq)",
            )?;
            for (site, (epoch, seq)) in cursors {
                advance.execute(params![site, epoch, seq.cast_signed()])?;
            }
        }
        transaction.commit()?;
        Ok(fresh)
    }
}

/// The balances of a staging database, on a connection that only reads.
#[derive(Debug)]
pub struct SqlBalances {
    path: PathBuf,
}

impl SqlBalances {
    /// Balances of this file.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn all(&self, site: &SiteId) -> Result<Vec<OtherBalance>, rusqlite::Error> {
        let conn = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        conn.busy_timeout(BUSY_WAIT)?;
        let mut read = conn.prepare(
            "SELECT sku, lot, status, quantity_micros FROM docksync_stock WHERE site = ?1 AND quantity_micros <> 0",
        )?;
        let row = |r: &rusqlite::Row<'_>| {
            Ok(OtherBalance { item: r.get(0)?, lot: r.get(1)?, place: r.get(2)?, micros: r.get(3)? })
        };
        read.query_map([site.as_str()], row)?.collect()
    }
}

impl Balances for SqlBalances {
    fn read(&mut self, site: &SiteId) -> Result<Vec<OtherBalance>, String> {
        self.all(site).map_err(|error| format!("{} cannot be read: {error}", self.path.display()))
    }

    fn place(&self, _site: &str, (sku, status, _uom): (&str, &str, &str), micros: i64) -> Option<Placed> {
        // Its table of stock adds up whatever unit an event had.
        Some(Placed { item: sku.to_owned(), place: status.to_owned(), micros })
    }

    fn is_from_nothing(&self) -> bool {
        true
    }

    fn takes(&self, _kind: EventType) -> bool {
        true
    }
}

impl Consumer for SqlConsumer {
    fn capability(&self) -> Capability {
        Capability::OwnKey
    }

    fn is_ordered(&self) -> bool {
        true
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn apply(&mut self, batch: &[Delivery]) -> Vec<Outcome> {
        match self.post(batch) {
            Ok(fresh) => fresh
                .into_iter()
                .map(
                    |is_new| {
                        if is_new { Outcome::Applied(String::new()) } else { Outcome::AlreadyApplied(String::new()) }
                    },
                )
                .collect(),
            // A failed commit leaves nothing, and what it might have left is not posted twice.
            Err(error) => {
                let reason = error.to_string();
                let retry = Outcome::Retry { class: FaultClass::Outage, after_ms: None, reason };
                vec![retry; batch.len()]
            }
        }
    }

    fn look_up(&mut self, delivery: &Delivery) -> LookUp {
        let found = self
            .conn
            .prepare_cached("SELECT 1 FROM docksync_event WHERE event_id = ?1")
            .and_then(|mut s| s.exists([&delivery.key]));
        match found {
            Ok(true) => LookUp::Found(String::new()),
            Ok(false) => LookUp::Absent,
            Err(error) => LookUp::NoAnswer { class: FaultClass::Outage, reason: error.to_string() },
        }
    }
}

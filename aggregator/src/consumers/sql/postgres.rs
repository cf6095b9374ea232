//! Staging tables in PostgreSQL: one connection, opened when it is needed and given up with the first fault of it.
//!
//! The tables lie in a schema of their own; they are made where they are not and the user may. What an error means is told by its
//! SQLSTATE (PostgreSQL 15, Appendix A): classes 08, 53 and 57 are outages, 28 and 42501 refuse who we are, 22 and 23 refuse the event.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use docksync_proto::{event::EventType, identity::document_key, site::SiteId};
use rustls::ClientConfig;
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{error::Elapsed, timeout},
};
use tokio_postgres::{Client, Config, NoTls, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    consumers::{Capability, Consumer, Delivery, FaultClass, LookUp, Outcome, json::event_json},
    ledger::effect::StockKey,
    reconcile::{Balances, OtherBalance, Placed},
};

/// Time for everything that one batch needs; the server gives its statements up before.
const BATCH_WITHIN: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A line that is dead is noticed within about this time.
const UNANSWERED_WITHIN: Duration = Duration::from_secs(30);
const BATCH_MAX: usize = 2_000;
/// Two programs that meet make the tables one after the other; the number is ours alone.
const TABLES_LOCK: i64 = 0x646f_636b_7379_6e63;

const TABLES: &str = "
CREATE TABLE docksync_event (
  event_id text PRIMARY KEY, site text NOT NULL, site_epoch bigint NOT NULL, site_seq bigint NOT NULL,
  type text NOT NULL, document text NOT NULL, event_time text NOT NULL, json json NOT NULL);
CREATE TABLE docksync_stock (
  site text NOT NULL, sku text NOT NULL, lot text NOT NULL, status text NOT NULL, quantity_micros bigint NOT NULL,
  PRIMARY KEY (site, sku, lot, status));
CREATE TABLE docksync_cursor (site text PRIMARY KEY, site_epoch bigint NOT NULL, site_seq bigint NOT NULL);";

/// How a database is reached.
#[derive(Clone)]
pub struct Access {
    /// Host, port, database, user.
    pub server: Config,
    /// The user's password; `None` where the server asks for none.
    pub password: Option<String>,
    /// Checks the server's certificate; `None` sends everything in the clear.
    pub tls: Option<ClientConfig>,
    /// Schema of the tables: small letters, digits and underscores.
    pub schema: String,
}

/// A connection that is made when it is needed.
struct Line {
    access: Access,
    runtime: Handle,
    open: Option<(Client, JoinHandle<()>)>,
}

/// Why a call did not come about.
#[derive(Debug)]
enum Fault {
    Postgres(tokio_postgres::Error),
    Late,
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<Elapsed> for Fault {
    fn from(_: Elapsed) -> Self {
        Self::Late
    }
}

impl Fault {
    /// In one line.
    fn words(&self) -> String {
        match self {
            Self::Late => format!("no answer within {} s", BATCH_WITHIN.as_secs()),
            Self::Postgres(error) => match error.as_db_error() {
                Some(db) => format!("{}: {}", db.code().code(), db.message()),
                None => {
                    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
                    format!("{error}{cause}")
                }
            },
        }
    }

    /// The refusal of an event, where it is one.
    fn refusal(&self) -> Option<(String, String)> {
        let Self::Postgres(error) = self else { return None };
        let db = error.as_db_error()?;
        let code = db.code().code();
        (code.starts_with("22") || code.starts_with("23")).then(|| (code.to_owned(), db.message().to_owned()))
    }

    fn class(&self) -> FaultClass {
        let Self::Postgres(error) = self else { return FaultClass::Outage };
        match error.code() {
            Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => FaultClass::Limit,
            Some(code)
                if code.code().starts_with("28")
                    || [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::INVALID_CATALOG_NAME].contains(code) =>
            {
                FaultClass::Auth
            }
            Some(_) | None => FaultClass::Outage,
        }
    }
}

impl Line {
    fn new(access: Access, runtime: Handle) -> Self {
        Self { access, runtime, open: None }
    }

    /// Runs a call on an open connection, within its time. A fault that is not an event's own gives the connection up.
    fn call<T>(&mut self, act: impl AsyncFnOnce(&mut Client) -> Result<T, Fault>) -> Result<T, Fault> {
        let runtime = self.runtime.clone();
        let answer = runtime.block_on(async {
            timeout(BATCH_WITHIN, async {
                let client = self.connected().await?;
                act(client).await
            })
            .await?
        });
        if answer.as_ref().is_err_and(|fault| fault.refusal().is_none()) {
            self.close();
        }
        answer
    }

    async fn connected(&mut self) -> Result<&mut Client, Fault> {
        if self.open.as_ref().is_none_or(|(client, _)| client.is_closed()) {
            self.close();
            let mut opened = connect(&self.access, &self.runtime).await?;
            prepare(&mut opened.0, &self.access.schema).await?;
            self.open = Some(opened);
        }
        match &mut self.open {
            Some((client, _)) => Ok(client),
            None => Err(Fault::Late),
        }
    }

    fn close(&mut self) {
        if let Some((_, connection)) = self.open.take() {
            connection.abort();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.close();
    }
}

async fn connect(access: &Access, runtime: &Handle) -> Result<(Client, JoinHandle<()>), Fault> {
    let mut server = access.server.clone();
    server
        .application_name("docksync-aggregator")
        .connect_timeout(CONNECT_WITHIN)
        .tcp_user_timeout(UNANSWERED_WITHIN)
        .keepalives_idle(UNANSWERED_WITHIN)
        .options(format!(
            "-c search_path={} -c statement_timeout=50000 -c idle_in_transaction_session_timeout=60000",
            access.schema
        ));
    if let Some(password) = &access.password {
        server.password(password);
    }
    Ok(match &access.tls {
        Some(tls) => {
            server.ssl_mode(tokio_postgres::config::SslMode::Require);
            let (client, connection) = server.connect(MakeRustlsConnect::new(tls.clone())).await?;
            (client, runtime.spawn(async move { tell(connection.await) }))
        }
        None => {
            server.ssl_mode(tokio_postgres::config::SslMode::Disable);
            let (client, connection) = server.connect(NoTls).await?;
            (client, runtime.spawn(async move { tell(connection.await) }))
        }
    })
}

/// The call that was under way has the same words; without one they are only of interest to who looks closely.
fn tell(ended: Result<(), tokio_postgres::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection to a staging database ended");
    }
}

/// Makes the tables where they are not.
async fn prepare(client: &mut Client, schema: &str) -> Result<(), Fault> {
    // By the catalogue's rows: a look-up by name may come from the connection's cache, older than what another program just made.
    let is_there =
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'docksync_cursor')";
    if client.query_one(is_there, &[&schema]).await?.get(0) {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&TABLES_LOCK]).await?;
    if !transaction.query_one(is_there, &[&schema]).await?.get::<_, bool>(0) {
        transaction.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {schema};{TABLES}")).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// A staging schema.
pub struct PostgresConsumer {
    line: Line,
}

impl std::fmt::Debug for PostgresConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresConsumer").field("schema", &self.line.access.schema).finish_non_exhaustive()
    }
}

impl PostgresConsumer {
    /// Sets it up; it connects with its first call, on `runtime`.
    pub fn new(access: Access, runtime: Handle) -> Self {
        Self { line: Line::new(access, runtime) }
    }

    fn post(&mut self, batch: &[Delivery]) -> Result<Vec<bool>, Fault> {
        self.line.call(async |client| post(client, batch).await)
    }

    /// After the refusal of a batch, to find whose it is.
    fn post_one(&mut self, delivery: &Delivery) -> Outcome {
        match self.post(std::slice::from_ref(delivery)) {
            Ok(fresh) => outcome(fresh.first() == Some(&true)),
            Err(fault) => match fault.refusal() {
                Some((code, reason)) => Outcome::Rejected { code, reason },
                None => retry(&fault),
            },
        }
    }
}

fn outcome(is_new: bool) -> Outcome {
    if is_new { Outcome::Applied(String::new()) } else { Outcome::AlreadyApplied(String::new()) }
}

/// What a lost commit might have left is not posted twice.
fn retry(fault: &Fault) -> Outcome {
    Outcome::Retry { class: fault.class(), after_ms: None, reason: fault.words() }
}

/// The columns of the rows to insert.
#[derive(Default)]
struct Columns {
    key: Vec<String>,
    site: Vec<String>,
    epoch: Vec<i64>,
    seq: Vec<i64>,
    kind: Vec<&'static str>,
    document: Vec<String>,
    time: Vec<String>,
    json: Vec<String>,
}

impl Columns {
    fn of(batch: &[Delivery]) -> Self {
        let mut columns = Self::default();
        for delivery in batch {
            columns.key.push(delivery.key.clone());
            columns.site.push(delivery.site.to_string());
            columns.epoch.push(delivery.epoch.into());
            columns.seq.push(delivery.seq.cast_signed());
            columns.kind.push(delivery.event.event_type.as_str());
            columns.document.push(document_key(&delivery.event).to_owned());
            columns.time.push(delivery.event.time.rfc3339());
            columns.json.push(event_json(delivery));
        }
        columns
    }
}

/// Inserts what is new and adds its movements, in one transaction; tells of each whether it was new.
async fn post(client: &mut Client, batch: &[Delivery]) -> Result<Vec<bool>, Fault> {
    let columns = Columns::of(batch);
    let transaction = client.transaction().await?;
    let insert = transaction
        .prepare(
            "INSERT INTO docksync_event SELECT a, b, c, d, e, f, g, h::json FROM unnest($1::text[], $2::text[], $3::bigint[], \
             $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[]) AS t (a, b, c, d, e, f, g, h) \
             ON CONFLICT DO NOTHING RETURNING event_id",
        )
        .await?;
    let Columns { key, site, epoch, seq, kind, document, time, json } = &columns;
    let rows = transaction.query(&insert, &[key, site, epoch, seq, kind, document, time, json]).await?;
    let mut fresh: BTreeSet<String> = rows.into_iter().map(|row| row.get(0)).collect();
    let is_new: Vec<bool> = batch.iter().map(|delivery| fresh.remove(&delivery.key)).collect();
    add_stock(&transaction, batch.iter().zip(&is_new).filter(|(_, is_new)| **is_new).map(|(d, _)| d)).await?;
    advance(&transaction, batch).await?;
    transaction.commit().await?;
    Ok(is_new)
}

async fn add_stock<'d>(
    transaction: &tokio_postgres::Transaction<'_>,
    fresh: impl Iterator<Item = &'d Delivery>,
) -> Result<(), Fault> {
    let mut stock: BTreeMap<(&str, &StockKey), i64> = BTreeMap::new();
    for delivery in fresh {
        // A correction made at the centre comes in a stream of its own and is about another site.
        let about = delivery.event.site_id.as_str();
        delivery.stock.iter().for_each(|(key, micros)| *stock.entry((about, key)).or_default() += micros);
    }
    // In the order of their keys: two programs that meet do not wait for each other in a circle.
    let column = |at: fn(&(&str, &StockKey)) -> String| stock.keys().map(at).collect::<Vec<String>>();
    let (site, sku) = (column(|k| k.0.to_owned()), column(|k| k.1.0.clone()));
    let (lot, status) = (column(|k| k.1.1.clone()), column(|k| k.1.2.clone()));
    let micros: Vec<i64> = stock.values().copied().collect();
    let add = transaction
        .prepare(
            "INSERT INTO docksync_stock SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) \
             ON CONFLICT (site, sku, lot, status) DO UPDATE SET \
             quantity_micros = docksync_stock.quantity_micros + excluded.quantity_micros",
        )
        .await?;
    transaction.execute(&add, &[&site, &sku, &lot, &status, &micros]).await?;
    Ok(())
}

async fn advance(transaction: &tokio_postgres::Transaction<'_>, batch: &[Delivery]) -> Result<(), Fault> {
    let mut cursors: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for delivery in batch {
        let cursor = cursors.entry(delivery.site.as_str()).or_default();
        *cursor = (*cursor).max((delivery.epoch.into(), delivery.seq.cast_signed()));
    }
    let (site, at): (Vec<&str>, Vec<(i64, i64)>) = cursors.into_iter().unzip();
    let (epoch, seq): (Vec<i64>, Vec<i64>) = at.into_iter().unzip();
    let advance = transaction
        .prepare(
            "INSERT INTO docksync_cursor AS c SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) ON CONFLICT (site) \
             DO UPDATE SET site_epoch = excluded.site_epoch, site_seq = excluded.site_seq \
             WHERE (excluded.site_epoch, excluded.site_seq) > (c.site_epoch, c.site_seq)",
        )
        .await?;
    transaction.execute(&advance, &[&site, &epoch, &seq]).await?;
    Ok(())
}

impl Consumer for PostgresConsumer {
    fn capability(&self) -> Capability {
        Capability::OwnKey
    }

    fn is_ordered(&self) -> bool {
        // One event that its columns cannot hold must not take others of its document with it, nor let them pass before it.
        false
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn apply(&mut self, batch: &[Delivery]) -> Vec<Outcome> {
        match self.post(batch) {
            Ok(fresh) => fresh.into_iter().map(outcome).collect(),
            // Each alone shows whose it is.
            Err(fault) if fault.refusal().is_some() => batch.iter().map(|delivery| self.post_one(delivery)).collect(),
            Err(fault) => vec![retry(&fault); batch.len()],
        }
    }

    fn look_up(&mut self, delivery: &Delivery) -> LookUp {
        let key = &delivery.key;
        let found = self.line.call(async |client| {
            let read = "SELECT 1 FROM docksync_event WHERE event_id = $1";
            Ok(client.query_opt(read, &[key]).await?.is_some())
        });
        match found {
            Ok(true) => LookUp::Found(String::new()),
            Ok(false) => LookUp::Absent,
            Err(fault) => LookUp::NoAnswer { class: fault.class(), reason: fault.words() },
        }
    }
}

/// The balances of a staging schema, on a connection of their own.
pub struct PostgresBalances {
    line: Line,
}

impl PostgresBalances {
    /// Balances of this schema.
    pub fn new(access: Access, runtime: Handle) -> Self {
        Self { line: Line::new(access, runtime) }
    }
}

impl Balances for PostgresBalances {
    fn read(&mut self, site: &SiteId) -> Result<Vec<OtherBalance>, String> {
        let site = site.as_str();
        let rows = self.line.call(async |client| {
            let read =
                "SELECT sku, lot, status, quantity_micros FROM docksync_stock WHERE site = $1 AND quantity_micros <> 0";
            Ok(client.query(read, &[&site]).await?)
        });
        let balance = |row: &tokio_postgres::Row| OtherBalance {
            item: row.get(0),
            lot: row.get(1),
            place: row.get(2),
            micros: row.get(3),
        };
        rows.map(|rows| rows.iter().map(balance).collect()).map_err(|fault| fault.words())
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

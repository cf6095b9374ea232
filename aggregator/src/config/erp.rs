//! Settings of ERPs, and the connectors that they make.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use docksync_proto::event::EventType;
use tokio::runtime::Handle;

use super::{
    consumer::{first_line, is_url, required},
    read::Section,
};
use crate::consumers::{
    ConsumerError,
    erp::{
        erpnext::{self, ErpNext},
        mapping::{Mapping, STEP_EVENTS, STOCK_EVENTS, Unit, WithoutDocument},
        odoo::{self, Odoo, Ways, rpc::Api},
        tryton::{self, Tryton, UseModule, rpc::Access},
    },
};

/// Longer than the minute after which Tryton gives up a call itself.
const TRYTON_TIMEOUT_MS: u64 = 90_000;
/// Time within which Tryton has ended a call whose connection broke (its `request.timeout`).
const TRYTON_SETTLE_MS: u64 = 60_000;
/// Longer than the two minutes after which Odoo ends a call itself (its `limit_time_real`).
const ODOO_TIMEOUT_MS: u64 = 130_000;
/// Time within which Odoo has ended a call that was given up.
const ODOO_SETTLE_MS: u64 = 120_000;

/// Longer than the two minutes after which a worker of Frappe ends a call (its `http_timeout`).
const ERPNEXT_TIMEOUT_MS: u64 = 130_000;

/// A Tryton.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrytonConfig {
    /// Its address.
    pub url: String,
    /// Its database.
    pub database: String,
    /// Our user there.
    pub user: String,
    /// File whose first line is the password.
    pub password_file: PathBuf,
    /// Time for a call, milliseconds.
    pub timeout_ms: u64,
    /// Whether our module is used, and how long a call that was given up may go on.
    pub ways: tryton::Ways,
    /// How sites and events are told to it.
    pub mapping: Mapping,
}

/// An Odoo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OdooConfig {
    /// Its address.
    pub url: String,
    /// Its database.
    pub database: String,
    /// Our user there.
    pub user: String,
    /// File whose first line is the user's API key.
    pub key_file: PathBuf,
    /// Which of its APIs is spoken.
    pub api: Api,
    /// Time for a call, milliseconds.
    pub timeout_ms: u64,
    /// Where goods lie between two sites, and how long a call that was given up may go on.
    pub ways: Ways,
    /// How sites and events are told to it.
    pub mapping: Mapping,
}

/// An ERPNext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErpNextConfig {
    /// Address of its site.
    pub url: String,
    /// File whose first line is `api_key:api_secret` of our user.
    pub token_file: PathBuf,
    /// Time for a call, milliseconds.
    pub timeout_ms: u64,
    /// Whose books are kept, and where goods lie between two sites.
    pub ways: erpnext::Ways,
    /// How sites and events are told to it.
    pub mapping: Mapping,
}

impl TrytonConfig {
    /// Sets up the connection.
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub fn connect(&self, runtime: Handle) -> Result<Tryton, ConsumerError> {
        let access = Access {
            url: self.url.clone(),
            database: self.database.clone(),
            user: self.user.clone(),
            password: first_line(&self.password_file)?,
            timeout: Duration::from_millis(self.timeout_ms),
        };
        Tryton::new(access, self.mapping.clone(), self.ways, runtime)
    }

    /// Sets up the connection and asks whether the module is there.
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub fn open(&self, runtime: Handle) -> Result<Tryton, ConsumerError> {
        let mut tryton = self.connect(runtime)?;
        tryton.meet();
        Ok(tryton)
    }
}

impl OdooConfig {
    /// Sets up the connection.
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub fn connect(&self, runtime: Handle) -> Result<Odoo, ConsumerError> {
        let access = odoo::rpc::Access {
            url: self.url.clone(),
            database: self.database.clone(),
            user: self.user.clone(),
            key: first_line(&self.key_file)?,
            api: self.api,
            timeout: Duration::from_millis(self.timeout_ms),
        };
        Odoo::new(access, self.mapping.clone(), self.ways.clone(), runtime)
    }
}

impl ErpNextConfig {
    /// Sets up the connection.
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub fn connect(&self, runtime: Handle) -> Result<ErpNext, ConsumerError> {
        let access = erpnext::rest::Access {
            url: self.url.clone(),
            token: first_line(&self.token_file)?,
            timeout: Duration::from_millis(self.timeout_ms),
        };
        ErpNext::new(access, self.mapping.clone(), self.ways.clone(), runtime)
    }
}

pub(super) fn read_tryton(section: &Section<'_>) -> Option<TrytonConfig> {
    let url = read_url(section, "the address of Tryton, without the database");
    let database = required(section, "database", "the name of Tryton's database");
    let user = required(section, "user", "our user in Tryton");
    let password_file = required(section, "password_file", "the file whose first line is the user's password");
    let timeout_ms = section.number("timeout_ms", 1_000..=600_000).unwrap_or(TRYTON_TIMEOUT_MS);
    let words = [("auto", UseModule::Auto), ("required", UseModule::Required), ("none", UseModule::None)];
    let module = section.word("module", &words).unwrap_or(UseModule::Auto);
    let settle_ms = section.number("settle_ms", 0..=3_600_000).unwrap_or(TRYTON_SETTLE_MS);
    let ways = tryton::Ways { module, settle_ms: i64::try_from(settle_ms).unwrap_or(i64::MAX) };
    let mapping = read_mapping(section, &STEP_EVENTS);
    let password_file = PathBuf::from(password_file?);
    Some(TrytonConfig { url: url?, database: database?, user: user?, password_file, timeout_ms, ways, mapping })
}

pub(super) fn read_odoo(section: &Section<'_>) -> Option<OdooConfig> {
    let url = read_url(section, "the address of Odoo");
    let database = required(section, "database", "the name of Odoo's database");
    let user = required(section, "user", "the login of the user whose API key is used");
    let key_file = required(section, "key_file", "the file whose first line is the user's API key");
    let apis = [("auto", Api::Auto), ("json2", Api::Json2), ("jsonrpc", Api::JsonRpc)];
    let api = section.word("api", &apis).unwrap_or(Api::Auto);
    let timeout_ms = section.number("timeout_ms", 1_000..=600_000).unwrap_or(ODOO_TIMEOUT_MS);
    let settle_ms = section.number("settle_ms", 0..=3_600_000).unwrap_or(ODOO_SETTLE_MS);
    let ways = Ways { transit: read_transit(section), settle_ms: i64::try_from(settle_ms).unwrap_or(i64::MAX) };
    let mapping = read_mapping(section, &[]);
    let key_file = PathBuf::from(key_file?);
    Some(OdooConfig { url: url?, database: database?, user: user?, key_file, api, timeout_ms, ways, mapping })
}

pub(super) fn read_erpnext(section: &Section<'_>) -> Option<ErpNextConfig> {
    let url = read_url(section, "the address of the site of ERPNext");
    let token_file = required(section, "token_file", "the file whose first line is api_key:api_secret of our user");
    let company = required(section, "company", "the name of the company in ERPNext");
    let timeout_ms = section.number("timeout_ms", 1_000..=600_000).unwrap_or(ERPNEXT_TIMEOUT_MS);
    let transit = read_transit(section);
    let mapping = read_mapping(section, &[]);
    let ways = erpnext::Ways { company: company?, transit };
    Some(ErpNextConfig { url: url?, token_file: PathBuf::from(token_file?), timeout_ms, ways, mapping })
}

fn read_url(section: &Section<'_>, expected: &str) -> Option<String> {
    let url = section.parsed("url", "an http or https URL", is_url);
    if url.is_none() {
        section.missing("url", expected);
    }
    url
}

fn read_transit(section: &Section<'_>) -> Option<String> {
    section.text("transit").map(|(name, _)| name)
}

/// `steps` are the types of events by which this ERP can follow a shipment before it leaves.
fn read_mapping(section: &Section<'_>, steps: &[EventType]) -> Mapping {
    let words = [("refuse", WithoutDocument::Refuse), ("move", WithoutDocument::Move)];
    let mut mapping = Mapping {
        sites: section.pairs("sites", "a text", |_, text| Some(text.to_owned())),
        items: section.pairs("items", "a text", |_, text| Some(text.to_owned())),
        units: section.pairs(
            "units",
            "a unit of the ERP, with a factor before it where they differ: `12 u`",
            |_, text| unit(text),
        ),
        statuses: section.pairs("statuses", "a text", |_, text| Some(text.to_owned())),
        reasons: section.pairs("reasons", "a text", |_, text| Some(text.to_owned())),
        without_document: section.word("without_document", &words).unwrap_or(WithoutDocument::Refuse),
        ..Mapping::default()
    };
    if !steps.is_empty() && section.flag("steps").unwrap_or(false) {
        mapping.events.extend(steps);
    }
    let known: BTreeMap<&str, EventType> =
        STOCK_EVENTS.iter().chain(steps).map(|event_type| (event_type.as_str(), *event_type)).collect();
    if let Some(events) = section.words("events", &known) {
        mapping.events = events.into_iter().collect();
    }
    mapping
}

/// `u`, or `12 u` where one of ours makes twelve of theirs.
fn unit(text: &str) -> Option<Unit> {
    let (factor, symbol) = match text.trim().split_once(' ') {
        Some((factor, symbol)) => (factor.parse().ok()?, symbol.trim()),
        None => (rust_decimal::Decimal::ONE, text.trim()),
    };
    (!symbol.is_empty() && factor > rust_decimal::Decimal::ZERO).then(|| Unit { symbol: symbol.to_owned(), factor })
}

//! Settings of destinations, and the consumers that they make.

use std::{fs, ops::RangeInclusive, path::PathBuf, time::Duration};

use regex::Regex;
use reqwest::{
    Method,
    header::{HeaderName, HeaderValue},
};
use tokio::runtime::Handle;

use super::{
    erp::{self, ErpNextConfig, OdooConfig, TrytonConfig},
    postgres::{self, PostgresConfig},
    read::Section,
};
use crate::consumers::{
    Consumer, ConsumerError, FaultClass,
    http::{HttpConsumer, Meaning, Profile, Rule},
    sql::{PostgresBalances, PostgresConsumer, SqlBalances, SqlConsumer},
    template::Template,
};
use crate::reconcile::Balances;

const TIMEOUT_MS: u64 = 10_000;
const CONCURRENCY: u64 = 8;
const STATUS: RangeInclusive<u64> = 100..=599;

/// Settings of one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// Name of its cursor, on pages and in commands; never changes.
    pub name: String,
    /// Whether it is the ERP: sites are told how far it is.
    pub is_erp: bool,
    /// What it is.
    pub kind: ConsumerKind,
}

/// What a destination is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerKind {
    /// A staging database in a SQLite file.
    Sql {
        /// Its file.
        path: PathBuf,
    },
    /// A staging database in PostgreSQL.
    Postgres(PostgresConfig),
    /// An HTTP endpoint.
    Http(HttpConfig),
    /// A Tryton, with our module or without.
    Tryton(TrytonConfig),
    /// An Odoo.
    Odoo(OdooConfig),
    /// An ERPNext.
    ErpNext(ErpNextConfig),
}

/// An HTTP endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Whether events are put where they are otherwise posted.
    pub is_put: bool,
    /// Where events are sent.
    pub url: Template,
    /// Headers beside those of every call.
    pub headers: Vec<(HeaderName, Template)>,
    /// What is sent.
    pub body: Template,
    /// Where an effect is asked for.
    pub look_up_url: Option<Template>,
    /// JSON pointer to what a look-up found.
    pub look_up_pointer: String,
    /// Header of an answer that tells the document.
    pub document_header: Option<HeaderName>,
    /// Whether it keeps `Idempotency-Key` for ever.
    pub is_idempotent: bool,
    /// JSON pointer to the document number.
    pub document_pointer: String,
    /// JSON pointer to the error code.
    pub code_pointer: String,
    /// File whose first line is the value of `Authorization`.
    pub authorization_file: Option<PathBuf>,
    /// Time for a call, milliseconds.
    pub timeout_ms: u64,
    /// How long a call that was given up may go on over there, milliseconds.
    pub settle_ms: u64,
    /// Calls at one time.
    pub concurrency: u64,
    /// What its answers mean, before the rules of HTTP.
    pub rules: Vec<RuleConfig>,
}

/// What one kind of answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleConfig {
    /// Status.
    pub status: Option<u16>,
    /// Pattern of the body.
    pub body: Option<String>,
    /// Its meaning.
    pub meaning: Meaning,
}

impl ConsumerKind {
    /// The word in the configuration.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Sql { .. } | Self::Postgres(_) => "sql",
            Self::Http(_) => "http",
            Self::Tryton(_) => "tryton",
            Self::Odoo(_) => "odoo",
            Self::ErpNext(_) => "erpnext",
        }
    }
}

impl ConsumerConfig {
    /// Whether what it has had takes no second effect: it keeps our key, or can be asked.
    pub const fn is_repeatable(&self) -> bool {
        match &self.kind {
            ConsumerKind::Http(http) => http.is_idempotent || http.look_up_url.is_some(),
            ConsumerKind::Sql { .. }
            | ConsumerKind::Postgres(_)
            | ConsumerKind::Tryton(_)
            | ConsumerKind::Odoo(_)
            | ConsumerKind::ErpNext(_) => true,
        }
    }

    /// Sets up the consumer; HTTP calls run on `runtime`.
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub fn open(&self, runtime: Handle) -> Result<Box<dyn Consumer + Send>, ConsumerError> {
        Ok(match &self.kind {
            ConsumerKind::Sql { path } => Box::new(SqlConsumer::open(path)?),
            ConsumerKind::Postgres(postgres) => Box::new(PostgresConsumer::new(postgres.access()?, runtime)),
            ConsumerKind::Http(http) => Box::new(HttpConsumer::new(http.profile()?, runtime)?),
            ConsumerKind::Tryton(tryton) => Box::new(tryton.open(runtime)?),
            ConsumerKind::Odoo(odoo) => Box::new(odoo.connect(runtime)?),
            ConsumerKind::ErpNext(erpnext) => Box::new(erpnext.connect(runtime)?),
        })
    }
}

impl ConsumerConfig {
    /// Its balances, where it can tell them; on a connection of their own.
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub fn balances(&self, runtime: Handle) -> Result<Option<Box<dyn Balances>>, ConsumerError> {
        Ok(match &self.kind {
            ConsumerKind::Sql { path } => Some(Box::new(SqlBalances::new(path.clone()))),
            ConsumerKind::Postgres(postgres) => Some(Box::new(PostgresBalances::new(postgres.access()?, runtime))),
            ConsumerKind::Tryton(tryton) => Some(Box::new(tryton.connect(runtime)?)),
            ConsumerKind::Odoo(odoo) => Some(Box::new(odoo.connect(runtime)?)),
            ConsumerKind::ErpNext(erpnext) => Some(Box::new(erpnext.connect(runtime)?)),
            ConsumerKind::Http(_) => None,
        })
    }
}

impl HttpConfig {
    fn profile(&self) -> Result<Profile, ConsumerError> {
        let pattern =
            |text: &String| Regex::new(text).map_err(|source| ConsumerError::Pattern { pattern: text.clone(), source });
        let rules = self.rules.iter().map(|rule| {
            Ok(Rule { status: rule.status, body: rule.body.as_ref().map(pattern).transpose()?, meaning: rule.meaning })
        });
        Ok(Profile {
            method: if self.is_put { Method::PUT } else { Method::POST },
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            look_up_url: self.look_up_url.clone(),
            look_up_pointer: self.look_up_pointer.clone(),
            document_header: self.document_header.clone(),
            is_idempotent: self.is_idempotent,
            document_pointer: self.document_pointer.clone(),
            code_pointer: self.code_pointer.clone(),
            authorization: self.authorization_file.as_ref().map(secret).transpose()?,
            rules: rules.collect::<Result<_, ConsumerError>>()?,
            timeout: Duration::from_millis(self.timeout_ms),
            settle: Duration::from_millis(self.settle_ms),
            concurrency: usize::try_from(self.concurrency).unwrap_or(1),
        })
    }
}

fn secret(path: &PathBuf) -> Result<HeaderValue, ConsumerError> {
    HeaderValue::from_str(&first_line(path)?).map_err(|_| ConsumerError::Header { path: path.clone() })
}

pub(super) fn first_line(path: &PathBuf) -> Result<String, ConsumerError> {
    let text = fs::read_to_string(path).map_err(|source| ConsumerError::Secret { path: path.clone(), source })?;
    Ok(text.lines().next().unwrap_or("").trim().to_owned())
}

#[derive(Clone, Copy)]
enum Word {
    Sql,
    Http,
    Tryton,
    Odoo,
    ErpNext,
}

pub(super) fn read(section: &Section<'_>) -> Option<ConsumerConfig> {
    let name = section.text("name").map(|(name, _)| name);
    if name.is_none() {
        section.missing("name", "a name that never changes");
    }
    let is_erp = section.flag("erp").unwrap_or(false);
    let words = [
        ("sql", Word::Sql),
        ("http", Word::Http),
        ("tryton", Word::Tryton),
        ("odoo", Word::Odoo),
        ("erpnext", Word::ErpNext),
    ];
    let word = section.word("kind", &words);
    if word.is_none() {
        section.missing("kind", "sql, http, tryton, odoo or erpnext");
    }
    let kind = match word {
        Some(Word::Sql) => postgres::read_sql(section),
        Some(Word::Http) => read_http(section).map(ConsumerKind::Http),
        Some(Word::Tryton) => erp::read_tryton(section).map(ConsumerKind::Tryton),
        Some(Word::Odoo) => erp::read_odoo(section).map(ConsumerKind::Odoo),
        Some(Word::ErpNext) => erp::read_erpnext(section).map(ConsumerKind::ErpNext),
        // Without a kind no key can be called unknown.
        None => return None,
    };
    section.finish();
    Some(ConsumerConfig { name: name?, is_erp, kind: kind? })
}

pub(super) fn required(section: &Section<'_>, key: &'static str, expected: &str) -> Option<String> {
    let text = section.text(key).map(|(text, _)| text);
    if text.is_none() {
        section.missing(key, expected);
    }
    text
}

fn read_http(section: &Section<'_>) -> Option<HttpConfig> {
    let or = |key, default: &str| section.text(key).map_or_else(|| default.to_owned(), |(text, _)| text);
    let timeout_ms = section.number("timeout_ms", 100..=600_000).unwrap_or(TIMEOUT_MS);
    let name = |text: &str| HeaderName::from_bytes(text.as_bytes()).ok();
    let header = |key: &str, text: &str| Some((name(key)?, flat(text)?));
    let url = section.parsed("url", ADDRESS, address);
    if url.is_none() {
        section.missing("url", "where events are sent");
    }
    let body = section.parsed("body", "JSON with places that are known: {event}, {key}, {json:/lines}", body);
    let headers = section.pairs("headers", "a header with places that are known: {key}, {site}", header);
    let config = HttpConfig {
        is_put: section.word("method", &[("post", false), ("put", true)]).unwrap_or(false),
        headers: headers.into_values().collect(),
        body: body.or_else(|| Template::parse("{event}").ok())?,
        look_up_url: section.parsed("look_up_url", ADDRESS, address),
        look_up_pointer: or("look_up_pointer", ""),
        document_header: section.parsed("document_header", "the name of a header", name),
        is_idempotent: section.flag("idempotent").unwrap_or(false),
        document_pointer: or("document_pointer", "/id"),
        code_pointer: or("code_pointer", "/code"),
        authorization_file: section.text("authorization_file").map(|(path, _)| PathBuf::from(path)),
        timeout_ms,
        settle_ms: section.number("settle_ms", 0..=3_600_000).unwrap_or(timeout_ms * 2),
        concurrency: section.number("concurrency", 1..=256).unwrap_or(CONCURRENCY),
        rules: section.tables("answer").iter().filter_map(read_rule).collect(),
        url: url?,
    };
    Some(config)
}

const ADDRESS: &str = "an http or https URL, its places among {key}, {document}, {site}, {type} and {/pointer}";

fn address(text: &str) -> Option<Template> {
    let template = flat(text)?;
    is_url(&template.sample()).map(|_| template)
}

/// A template of texts: whole JSON stands in bodies only.
fn flat(text: &str) -> Option<Template> {
    Template::parse(text).ok().filter(|template| !template.holds_json())
}

fn body(text: &str) -> Option<Template> {
    let template = Template::parse(text).ok()?;
    serde_json::from_str::<serde::de::IgnoredAny>(&template.sample()).ok().map(|_| template)
}

/// An address that HTTP can be spoken to.
pub(super) fn is_url(text: &str) -> Option<String> {
    (text.starts_with("http://") || text.starts_with("https://")).then(|| text.to_owned())
}

fn read_rule(section: &Section<'_>) -> Option<RuleConfig> {
    let words = [
        ("outage", Meaning::Fault(FaultClass::Outage)),
        ("auth", Meaning::Fault(FaultClass::Auth)),
        ("limit", Meaning::Fault(FaultClass::Limit)),
        ("closed_period", Meaning::Fault(FaultClass::ClosedPeriod)),
        ("already", Meaning::Already),
        ("reject", Meaning::Reject),
        ("decide", Meaning::Decide),
    ];
    let status = section.number("status", STATUS).and_then(|s| u16::try_from(s).ok());
    let body = section.parsed("body", "a regular expression", |t| Regex::new(t).ok().map(|_| t.to_owned()));
    let meaning = section.word("means", &words);
    if meaning.is_none() {
        section.missing("means", "what the answer means");
    }
    section.finish();
    meaning.map(|meaning| RuleConfig { status, body, meaning })
}

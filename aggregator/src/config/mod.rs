//! Settings of the aggregator: one TOML file, read into types that cannot be wrong.
//!
//! Every problem of the file is reported at once ([`report`]); a program that is refused exits with 78. `config/aggregator.toml` is the
//! reference: every key with its default. Secrets are files that the keys name, never values.

mod backup;
mod consumer;
mod erp;
mod postgres;
mod read;
mod reconcile;
pub mod report;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

pub use consumer::{ConsumerConfig, ConsumerKind, HttpConfig, RuleConfig};
pub use erp::{ErpNextConfig, OdooConfig, TrytonConfig};
pub use postgres::PostgresConfig;
use read::Section;
use report::{Problem, Report};
use reqwest::header::HeaderName;
use toml::de::DeTable;

use crate::{backups::BackupSettings, reconcile::Settings};

/// Where the settings are looked for.
pub const CONFIG_FILE: &str = "/etc/docksync/aggregator.toml";
const STATE_DIR: &str = "/var/lib/docksync-aggregator";
const MQTT: &str = "0.0.0.0:8883";
const ENROLL: &str = "0.0.0.0:8443";
const PAGE: &str = "127.0.0.1:8078";
const BROKER_PORT: u16 = 8883;
const ROOM_BYTES_MIN: u64 = 1 << 30;

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This centre.
    pub centre: CentreConfig,
    /// Folder of everything that is kept.
    pub state_dir: PathBuf,
    /// The ledger.
    pub ledger: LedgerConfig,
    /// An outside broker, used in place of the own listener.
    pub broker: Option<BrokerConfig>,
    /// Destinations.
    pub consumers: Vec<ConsumerConfig>,
    /// How books are compared.
    pub reconcile: Settings,
    /// Daily backups.
    pub backup: Option<BackupSettings>,
    /// The journal.
    pub log: LogConfig,
}

/// This centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CentreConfig {
    /// Name, on pages and in the certificate.
    pub name: String,
    /// Where sites connect.
    pub mqtt: SocketAddr,
    /// Where sites get their certificates.
    pub enroll: SocketAddr,
    /// Where people look.
    pub page: SocketAddr,
    /// Header in which the proxy before the pages names the person; without it nobody decides on pages.
    pub page_user_header: Option<HeaderName>,
    /// Host names and addresses by which sites reach it.
    pub certificate_names: Vec<String>,
}

/// The ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerConfig {
    /// Free bytes below which sites get no credit.
    pub room_bytes_min: u64,
}

/// An outside broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// The journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// Least level that is written.
    pub level: LogLevel,
    /// Form of a line.
    pub format: LogFormat,
}

/// Least level that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// A person must act.
    Error,
    /// Degraded, healing itself.
    Warn,
    /// Starts, stops, connections.
    Info,
    /// Each batch.
    Debug,
    /// Each event.
    Trace,
}

/// Form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {path}")]
    Read {
        /// File.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The file has problems.
    #[error(transparent)]
    Refused(#[from] Box<Report>),
}

impl ConfigError {
    /// A person must correct the file.
    pub fn disposition(&self) -> crate::ledger::error::Disposition {
        match self {
            Self::Read { .. } | Self::Refused(_) => crate::ledger::error::Disposition::Person,
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem of it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text).map_err(|report| ConfigError::Refused(Box::new(report)))
    }

    /// Reads a text; `path` is only named in the report.
    ///
    /// # Errors
    /// [`Report`] with every problem of it.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Report> {
        let (table, syntax) = DeTable::parse_recoverable(text);
        let problems = RefCell::new(Vec::new());
        for error in syntax {
            problems.borrow_mut().push(Problem {
                code: "C001",
                span: error.span().unwrap_or(0..0),
                message: error.message().to_owned(),
                hint: "cannot be read as TOML".to_owned(),
            });
        }
        let config = read_all(&Section::root(&table, &problems));
        let mut problems = problems.into_inner();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => {
                problems.sort_by_key(|p| (p.span.start, p.code));
                Err(Report { path: path.to_owned(), text: text.to_owned(), problems })
            }
        }
    }

    /// The ledger's database file.
    pub fn ledger_path(&self) -> PathBuf {
        self.state_dir.join(crate::ledger::sqlite::LEDGER_FILE)
    }
}

fn read_all(root: &Section<'_>) -> Option<Config> {
    let centre = read_centre(&root.table("centre"));
    let state = root.table("state");
    let state_dir = state.text("dir").map_or_else(|| PathBuf::from(STATE_DIR), |(dir, _)| PathBuf::from(dir));
    state.finish();
    let ledger = root.table("ledger");
    let room_bytes_min = ledger.number("room_bytes_min", 0..=1 << 50).unwrap_or(ROOM_BYTES_MIN);
    ledger.finish();
    let broker = root.table_if_any("broker").and_then(|section| read_broker(&section));
    let sections = root.tables("consumer");
    let consumers: Vec<Option<ConsumerConfig>> = sections.iter().map(consumer::read).collect();
    let mut names = BTreeSet::new();
    for (section, consumer) in sections.iter().zip(&consumers) {
        if let Some(consumer) = consumer.as_ref().filter(|c| !names.insert(c.name.clone())) {
            let message = format!("two consumers are named `{}`", consumer.name);
            section.problem("C006", section.span(), message, "each cursor needs a name of its own");
        }
    }
    let reconcile = reconcile::read(&root.table("reconcile"));
    let backup = root.table_if_any("backup").and_then(|section| backup::read(&section));
    let log = read_log(&root.table("log"));
    root.finish();
    let consumers = consumers.into_iter().collect::<Option<_>>()?;
    let ledger = LedgerConfig { room_bytes_min };
    Some(Config { centre: centre?, state_dir, ledger, broker, consumers, reconcile, backup, log })
}

fn read_centre(section: &Section<'_>) -> Option<CentreConfig> {
    let address = |key, default: &str| {
        let read = section.parsed(key, "an address with port, as 0.0.0.0:8883", |t| t.parse::<SocketAddr>().ok());
        read.or_else(|| default.parse().ok())
    };
    let name = section.text("name").map(|(name, _)| name).filter(|n| !n.is_empty());
    if name.is_none() {
        section.missing("name", "the name of this centre");
    }
    let centre = (|| {
        Some(CentreConfig {
            mqtt: address("mqtt", MQTT)?,
            enroll: address("enroll", ENROLL)?,
            page: address("page", PAGE)?,
            page_user_header: section.parsed("page_user_header", "the name of a header", |text| {
                HeaderName::from_bytes(text.as_bytes()).ok()
            }),
            certificate_names: section.texts("certificate_names").unwrap_or_default(),
            name: name?,
        })
    })();
    ["mqtt", "enroll", "page", "page_user_header", "certificate_names"].into_iter().for_each(|key| section.note(key));
    section.finish();
    centre
}

fn read_broker(section: &Section<'_>) -> Option<BrokerConfig> {
    let host = section.text("host").map(|(host, _)| host);
    let port = section.number("port", 1..=65_535).and_then(|p| u16::try_from(p).ok()).unwrap_or(BROKER_PORT);
    if host.is_none() {
        section.missing("host", "the broker's host name");
    }
    section.finish();
    host.map(|host| BrokerConfig { host, port })
}

fn read_log(section: &Section<'_>) -> LogConfig {
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let level = section.word("level", &levels).unwrap_or(LogLevel::Info);
    let format = section.word("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    section.finish();
    LogConfig { level, format: format.unwrap_or(LogFormat::Text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../config/aggregator.toml");

    #[test]
    fn the_reference_is_read_and_shows_the_defaults() {
        let path = Path::new("aggregator.toml");

        let sample = Config::parse(path, SAMPLE).unwrap_or_else(|report| panic!("{report}"));
        let least = Config::parse(path, "[centre]\nname = \"ACME\"\n").unwrap();

        assert_eq!(
            sample.centre,
            CentreConfig { certificate_names: sample.centre.certificate_names.clone(), ..least.centre }
        );
        assert_eq!((sample.state_dir, sample.ledger, sample.log), (least.state_dir, least.ledger, least.log));
        let units = sample.reconcile.units.clone();
        assert_eq!(sample.reconcile, Settings { units, ..least.reconcile });
        assert_eq!(sample.consumers.len(), 5);
    }

    #[test]
    fn all_problems_are_told_at_once_with_their_places() {
        let text = "[centre]\nnmae = \"ACME\"\npage = \"nowhere\"\n[log]\nlevel = \"inof\"\n[[consumer]]\nname = 7\nkind = \"sql\"\n";

        let report = Config::parse(Path::new("a.toml"), text).unwrap_err();

        let shown = report.to_string();
        for part in [
            "error[C002]: unknown key `centre.nmae`\n --> a.toml:2:1\n  |\n2 | nmae = \"ACME\"\n  | ^^^^ did you mean `name`?",
            "a.toml:3:8",
            "did you mean `info`?",
            "`consumer.name` is a integer, expected a text",
            "`consumer.path` is missing",
            "`centre.name` is missing",
        ] {
            assert!(shown.contains(part), "{part}\n---\n{shown}");
        }
        assert!(shown.ends_with("a.toml: 6 problems") || shown.ends_with("a.toml: 7 problems"), "{shown}");
    }

    #[test]
    fn what_an_erp_lacks_or_does_not_know_is_told_with_its_place() {
        let text = "[centre]\nname = \"A\"\n[[consumer]]\nname = \"erp\"\nkind = \"odoo\"\nurl = \"odoo.example\"\napi = \"xml\"\nsteps = true\nevents = [\"pick_confirmed\"]\n";

        let report = Config::parse(Path::new("a.toml"), text).unwrap_err();

        let shown = report.to_string();
        for part in [
            "a.toml:6:7",
            "expected an http or https URL",
            "a.toml:7:7",
            "expected one of auto, json2, jsonrpc",
            "error[C002]: unknown key `consumer.steps`\n --> a.toml:8:1",
            "a.toml:9:10",
            "`consumer.events` holds `pick_confirmed`",
            "`consumer.database` is missing",
            "`consumer.user` is missing",
            "`consumer.key_file` is missing",
        ] {
            assert!(shown.contains(part), "{part}\n---\n{shown}");
        }
    }

    #[test]
    fn an_erpnext_without_company_or_token_is_refused() {
        let text = "[centre]\nname = \"A\"\n[[consumer]]\nname = \"erp\"\nkind = \"erpnext\"\nurl = \"http://erp\"\ntokn_file = \"/run/token\"\n";

        let report = Config::parse(Path::new("a.toml"), text).unwrap_err();

        let shown = report.to_string();
        for part in [
            "error[C002]: unknown key `consumer.tokn_file`\n --> a.toml:7:1",
            "did you mean `token_file`?",
            "`consumer.token_file` is missing",
            "`consumer.company` is missing",
        ] {
            assert!(shown.contains(part), "{part}\n---\n{shown}");
        }
    }

    #[test]
    fn templates_are_read_before_anything_is_sent_by_them() {
        let text = "[centre]\nname = \"A\"\n[[consumer]]\nname = \"api\"\nkind = \"http\"\nurl = \"http://erp/{docment}\"\nbody = '{\"a\": {event}'\nmethod = \"get\"\n[consumer.headers]\nX-Site = \"{event}\"\n";

        let report = Config::parse(Path::new("a.toml"), text).unwrap_err();

        let shown = report.to_string();
        for part in [
            "`consumer.url` is `http://erp/{docment}`",
            "a.toml:7:8",
            "expected one of post, put",
            "`consumer.headers.X-Site` is `{event}`",
        ] {
            assert!(shown.contains(part), "{part}\n---\n{shown}");
        }
    }

    #[test]
    fn broken_syntax_is_told_with_its_line() {
        let report = Config::parse(Path::new("a.toml"), "[centre]\nname = \"ACME\n").unwrap_err();

        assert!(report.to_string().contains("error[C001]"), "{report}");
        assert!(report.to_string().contains("a.toml:2:"), "{report}");
    }
}

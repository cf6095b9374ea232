//! Consumers: where the effects of events go.
//!
//! Takes [`Delivery`]s in the order of their documents, from [`crate::deliver`]. Gives one [`Outcome`] each. A consumer may be given an
//! event twice and must have its effect once; how it can know is its [`Capability`]. None knows another, none reads the ledger.

#[cfg(test)]
mod benches;
#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
pub(crate) mod double;
pub mod erp;
pub mod http;
pub mod json;
pub mod sql;
pub mod template;
#[cfg(test)]
mod tests;
pub mod wire;

use std::collections::BTreeMap;

use docksync_proto::{event::Event, site::SiteId};
use uuid::Uuid;

use crate::ledger::{Loc, effect::StockKey};

/// One event on its way to a consumer.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Site.
    pub site: SiteId,
    /// Place in the ledger.
    pub loc: Loc,
    /// Epoch of its stream.
    pub epoch: u32,
    /// Number in its stream.
    pub seq: u64,
    /// Identity of the fact.
    pub id: Uuid,
    /// Key of this effect: the event id, and for a correction the id with its content behind it.
    pub key: String,
    /// The event.
    pub event: Event,
    /// Changes of balances: for a correction, the difference alone.
    pub stock: BTreeMap<StockKey, i64>,
}

/// How a consumer can tell whether it has had an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// It keeps our key and has each effect once: an unknown outcome is settled by sending again.
    OwnKey,
    /// It can be asked by key: an unknown outcome is settled by asking.
    LookUp,
    /// Neither: an unknown outcome is settled by a person.
    Neither,
}

/// Why a destination takes nothing now; no event is at fault and no attempt is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultClass {
    /// It does not answer, or says it cannot.
    Outage,
    /// It does not accept who we are.
    Auth,
    /// It asks us to slow down.
    Limit,
    /// Its books are closed for the time of the event.
    ClosedPeriod,
}

impl FaultClass {
    /// The word on pages and in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Auth => "auth",
            Self::Limit => "limit",
            Self::ClosedPeriod => "closed_period",
        }
    }

    /// What the word means; one that is not known is an outage.
    pub fn from_word(word: &str) -> Self {
        match word {
            "auth" => Self::Auth,
            "limit" => Self::Limit,
            "closed_period" => Self::ClosedPeriod,
            _ => Self::Outage,
        }
    }
}

/// What became of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect; the number that the destination gave, or an empty text.
    Applied(String),
    /// It had taken effect before.
    AlreadyApplied(String),
    /// The destination cannot go on without a person.
    NeedsDecision {
        /// What it asks.
        reason: String,
    },
    /// The destination judged the event and will not have it.
    Rejected {
        /// Its code, as it came.
        code: String,
        /// In words.
        reason: String,
    },
    /// The destination takes nothing now; surely without effect.
    Retry {
        /// Why.
        class: FaultClass,
        /// When it asks us to come back, in milliseconds.
        after_ms: Option<u64>,
        /// In words.
        reason: String,
    },
    /// It may have taken effect or not.
    Unknown {
        /// What went wrong.
        reason: String,
        /// Whether the destination answered at all: an event that breaks it is parked in the end, silence counts against none.
        was_answered: bool,
    },
}

impl Outcome {
    /// Whether it says nothing of the event: the destination takes nothing now, or did not say.
    pub const fn is_fault(&self) -> bool {
        match self {
            Self::Retry { .. } | Self::Unknown { .. } => true,
            Self::Applied(_) | Self::AlreadyApplied(_) | Self::NeedsDecision { .. } | Self::Rejected { .. } => false,
        }
    }
}

/// Answer to a question by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookUp {
    /// The effect is there, under this number.
    Found(String),
    /// It is not.
    Absent,
    /// Several are there: which is ours, or whether one is too many, a person must say.
    Several {
        /// In words.
        reason: String,
    },
    /// No answer.
    NoAnswer {
        /// Why.
        class: FaultClass,
        /// In words.
        reason: String,
    },
}

/// When an event that was parked under some code is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heals {
    /// When a person says so.
    ByPerson,
    /// At the next start too: the configuration may name now what it lacked.
    AtStart,
    /// From time to time too: what the destination did not know may have come since.
    ByTime,
}

/// A destination.
pub trait Consumer {
    /// How it can tell whether it has had an event.
    fn capability(&self) -> Capability;
    /// Whether a batch is applied in order, so that it may hold several events of one document.
    fn is_ordered(&self) -> bool;
    /// How long a call whose outcome is lost may go on at the destination before "absent" means that it had no effect, in
    /// milliseconds.
    fn settle_ms(&self) -> i64 {
        0
    }
    /// When what it refused under this code is tried again.
    fn heals(&self, _code: &str) -> Heals {
        Heals::ByPerson
    }
    /// What it would refuse of a delivery without a call: what the configuration does not name. Calls nothing.
    fn refuses(&self, _delivery: &Delivery) -> Option<Outcome> {
        None
    }
    /// Most events of one call.
    fn batch_max(&self) -> usize;
    /// Applies deliveries; one outcome each, in their order.
    fn apply(&mut self, batch: &[Delivery]) -> Vec<Outcome>;
    /// Asks for the effect of one delivery.
    fn look_up(&mut self, delivery: &Delivery) -> LookUp;
}

impl<C: Consumer + ?Sized> Consumer for Box<C> {
    fn capability(&self) -> Capability {
        (**self).capability()
    }
    fn is_ordered(&self) -> bool {
        (**self).is_ordered()
    }
    fn settle_ms(&self) -> i64 {
        (**self).settle_ms()
    }
    fn heals(&self, code: &str) -> Heals {
        (**self).heals(code)
    }
    fn refuses(&self, delivery: &Delivery) -> Option<Outcome> {
        (**self).refuses(delivery)
    }
    fn batch_max(&self) -> usize {
        (**self).batch_max()
    }
    fn apply(&mut self, batch: &[Delivery]) -> Vec<Outcome> {
        (**self).apply(batch)
    }
    fn look_up(&mut self, delivery: &Delivery) -> LookUp {
        (**self).look_up(delivery)
    }
}

/// Why a consumer cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// Its database.
    #[error("cannot open staging database {path}")]
    Database {
        /// File.
        path: std::path::PathBuf,
        /// Cause.
        source: rusqlite::Error,
    },
    /// The address of a database.
    #[error("cannot read the address {url}")]
    Address {
        /// Address.
        url: String,
        /// Cause.
        source: tokio_postgres::Error,
    },
    /// What checks the server's certificate.
    #[error("cannot set up the check of certificates")]
    Tls {
        /// Cause.
        source: rustls::Error,
    },
    /// A file of certificates.
    #[error("cannot read certificates {path}")]
    Certificates {
        /// File.
        path: std::path::PathBuf,
        /// Cause.
        source: rustls_pki_types::pem::Error,
    },
    /// Its HTTP client.
    #[error("cannot set up the HTTP client for {url}")]
    Client {
        /// Destination.
        url: String,
        /// Cause.
        source: reqwest::Error,
    },
    /// A pattern of its profile.
    #[error("cannot read pattern {pattern}")]
    Pattern {
        /// Pattern.
        pattern: String,
        /// Cause.
        source: regex::Error,
    },
    /// A secret's file.
    #[error("cannot read secret {path}")]
    Secret {
        /// File.
        path: std::path::PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// A secret that no header can carry.
    #[error("secret {path} does not fit into a header")]
    Header {
        /// File.
        path: std::path::PathBuf,
    },
}

impl ConsumerError {
    /// Every one needs a person before a start can succeed.
    pub fn disposition(&self) -> crate::ledger::error::Disposition {
        match self {
            Self::Database { .. }
            | Self::Address { .. }
            | Self::Tls { .. }
            | Self::Certificates { .. }
            | Self::Client { .. }
            | Self::Pattern { .. }
            | Self::Secret { .. }
            | Self::Header { .. } => crate::ledger::error::Disposition::Person,
        }
    }
}

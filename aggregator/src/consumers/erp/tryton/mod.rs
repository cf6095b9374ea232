//! Tryton 8.2, with our module `docksync` or without it.
//!
//! With it ([`module`]) the ERP keeps the key of every event, and one call applies many. Without it ([`plain`]) nothing is added to
//! Tryton: documents that carry the key are taken from state to state by its own buttons. Which of the two is asked once, at the
//! start, and told in the log and by `erp test`; it does not change while the program runs, for what was applied one way is not
//! found the other way.

#[cfg(test)]
mod double;
mod module;
pub mod plain;
pub mod rpc;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use tokio::runtime::Handle;

pub use self::module::BATCH;
use self::{
    plain::Plain,
    rpc::{Access, Failure, Rpc},
};
use super::{
    balances::{Stocked, Told},
    document::{Document, document},
    mapping::{Mapping, Unmapped},
};
use crate::consumers::{Capability, Consumer, ConsumerError, Delivery, FaultClass, Heals, LookUp, Outcome};

/// Whether our module is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UseModule {
    /// Where it is there.
    Auto,
    /// Nothing is delivered without it.
    Required,
    /// Not even where it is there.
    None,
}

/// Settings beside mapping and access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ways {
    /// Whether our module is used.
    pub module: UseModule,
    /// How long a call that was given up may go on over there, milliseconds.
    pub settle_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Module { version: String },
    Plain,
}

/// A Tryton.
#[derive(Debug)]
pub struct Tryton {
    rpc: Rpc,
    mapping: Mapping,
    ways: Ways,
    way: Option<Way>,
    plain: Plain,
}

/// One balance in Tryton: product code, lot, location code.
pub type Balance = (String, String, String);

impl Tryton {
    /// Sets up the connection; calls run on `runtime`. Nobody is called yet.
    ///
    /// # Errors
    /// [`ConsumerError::Client`].
    pub fn new(access: Access, mapping: Mapping, ways: Ways, runtime: Handle) -> Result<Self, ConsumerError> {
        let rpc = Rpc::new(access, runtime)?;
        Ok(Self { rpc, mapping, ways, way: None, plain: Plain::default() })
    }

    /// Logs in and finds out whether the module is there; gives in words which way events go.
    ///
    /// # Errors
    /// [`Failure`], whose words say what to do.
    pub fn greet(&mut self) -> Result<String, Failure> {
        let version = match self.ways.module {
            UseModule::None => None,
            UseModule::Auto | UseModule::Required => module::version(&mut self.rpc)?,
        };
        let (way, words) = match version {
            Some(version) => {
                let words = format!("by its module docksync, version {version}");
                (Way::Module { version }, words)
            }
            None if self.ways.module == UseModule::Required => {
                let reason = "Tryton has no module docksync: install it, or set module = \"auto\"".to_owned();
                return Err(Failure::Fault { class: FaultClass::Auth, after_ms: None, reason });
            }
            None => {
                self.plain.greet(&mut self.rpc)?;
                (Way::Plain, "without the module docksync, by documents of its own".to_owned())
            }
        };
        if self.way.is_none() {
            tracing::info!(url = self.rpc.url(), way = words, "Tryton takes events");
        }
        self.way = Some(way);
        Ok(words)
    }

    /// Asks once, so that what it can do is known before the first event is read; one that does not answer now is asked again
    /// before the first event is sent.
    pub fn meet(&mut self) {
        if let Err(failure) = self.greet() {
            tracing::debug!(url = self.rpc.url(), error = failure.words(), "Tryton could not be asked at the start");
        }
    }

    fn prepare(&mut self) -> Result<(), Failure> {
        if self.way.is_none() {
            self.greet()?;
        }
        Ok(())
    }

    /// Balances of a site's warehouse that are not zero, in Tryton's words.
    ///
    /// # Errors
    /// In words: why it does not tell.
    pub fn stock(&mut self, site: &str) -> Result<BTreeMap<Balance, Decimal>, String> {
        let warehouse = self.mapping.warehouse(site).map_err(|unmapped| unmapped.reason)?;
        self.balances(&warehouse)
    }

    fn balances(&mut self, warehouse: &str) -> Result<BTreeMap<Balance, Decimal>, String> {
        self.prepare().map_err(|failure| failure.words())?;
        match self.way {
            Some(Way::Module { .. }) => module::balances(&mut self.rpc, warehouse).map_err(|failure| failure.words()),
            Some(Way::Plain) | None => self.plain.balances(&mut self.rpc, &self.mapping, warehouse),
        }
    }

    fn apply_all(&mut self, documents: &[&Document]) -> BTreeMap<String, Outcome> {
        match self.way {
            Some(Way::Module { .. }) => module::apply_all(&mut self.rpc, documents),
            Some(Way::Plain) | None => self.plain.apply_all(&mut self.rpc, documents),
        }
    }
}

impl Consumer for Tryton {
    fn capability(&self) -> Capability {
        match (&self.way, self.ways.module) {
            (Some(Way::Module { .. }), _) | (None, UseModule::Required) => Capability::OwnKey,
            // Asking is right either way: the module can be asked too.
            (Some(Way::Plain), _) | (None, UseModule::Auto | UseModule::None) => Capability::LookUp,
        }
    }

    fn is_ordered(&self) -> bool {
        // A refused document is taken out of its call: nothing of its lane may stand behind it there.
        false
    }

    fn settle_ms(&self) -> i64 {
        self.ways.settle_ms
    }

    fn heals(&self, code: &str) -> Heals {
        super::heals(code)
    }

    fn refuses(&self, delivery: &Delivery) -> Option<Outcome> {
        super::refuses(delivery, &self.mapping)
    }

    fn batch_max(&self) -> usize {
        match self.way {
            Some(Way::Module { .. }) => BATCH,
            Some(Way::Plain) | None => self.plain.batch_max(),
        }
    }

    fn apply(&mut self, batch: &[Delivery]) -> Vec<Outcome> {
        let told: Vec<Result<Option<Document>, Unmapped>> = batch.iter().map(|d| document(d, &self.mapping)).collect();
        let documents: Vec<&Document> = told.iter().flatten().flatten().collect();
        let greeted = if documents.is_empty() { Ok(()) } else { self.prepare() };
        let mut outcomes = match greeted {
            Ok(()) => self.apply_all(&documents),
            // Nothing was sent: whatever went wrong, it is without effect.
            Err(failure) => {
                let outcome = failure.without_effect();
                documents.iter().map(|document| (document.key.clone(), outcome.clone())).collect()
            }
        };
        let outcome = |told: Result<Option<Document>, Unmapped>| match told {
            Ok(Some(document)) => outcomes.remove(&document.key).unwrap_or_else(|| Outcome::Unknown {
                reason: "the answer says nothing of it".to_owned(),
                was_answered: true,
            }),
            Ok(None) => Outcome::Applied(String::new()),
            Err(unmapped) => unmapped.into(),
        };
        told.into_iter().map(outcome).collect()
    }

    fn look_up(&mut self, delivery: &Delivery) -> LookUp {
        if let Err(failure) = self.prepare() {
            return failure.no_answer();
        }
        match self.way {
            Some(Way::Module { .. }) => module::look_up(&mut self.rpc, &delivery.key),
            Some(Way::Plain) | None => match document(delivery, &self.mapping) {
                Ok(Some(document)) => self.plain.look_up(&mut self.rpc, &document),
                // It was never sent: applying it says what is missing.
                Ok(None) | Err(_) => LookUp::Absent,
            },
        }
    }
}

impl Stocked for Tryton {
    fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    fn stock(&mut self, warehouse: &str) -> Result<Vec<Told>, String> {
        let told = self.balances(warehouse)?;
        Ok(told.into_iter().map(|((item, lot, location), quantity)| (item, lot, location, quantity)).collect())
    }
}

//! Tryton without our module: nothing is added to it, and every effect is a document of its own.
//!
//! Tryton keeps no key of ours, and its `reference` is not unique. So each effect is one document that carries the key: adjustments,
//! counts, moves and transfers an internal shipment, receipts a supplier shipment, returns a customer return, all with the key as their
//! reference; a shipment of an order keeps the order's number and has the key in a note ([`claim`]). A call is a transaction, a document
//! takes several: find or make it, write quantities, press its buttons to done. Whatever stops in between leaves a document that has
//! moved nothing, is found by its key and taken up from the state that it is in; what a person finds twice is never guessed between.
//! That holds with one writer for each document: the machine of deliveries sends one event of a lane at a time.
//!
//! What takes a module is refused under `NEEDS_MODULE`: goods without a document of the ERP, and cartons, whose number Tryton gives.
//!
//! Run against trytond 8.2.1; the figures of its calls are in the README of the module.

mod batch;
mod catalog;
mod choose;
mod claim;
mod doing;
#[cfg(test)]
pub(crate) mod double;
mod fill;
mod internal;
mod meaning;
mod output;
mod picking;
mod receiving;
mod rest;
mod returning;
mod shipping;
mod stock;
#[cfg(test)]
mod tests;
mod unit;

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use self::{
    batch::{Course, Desk, Told},
    catalog::Catalog,
    doing::{Doing, Facts, Shared},
};
use super::{
    Balance,
    rpc::{Failure, Rpc},
};
use crate::consumers::{
    FaultClass, LookUp, Outcome,
    erp::{
        document::Document,
        mapping::Mapping,
        single::{not_found, reject},
    },
};

/// Documents of one batch: their calls cost what matters, and a program that is stopped does not wait long.
pub const BATCH: usize = 50;
/// Batches of one document each, behind a call that Tryton answered and left open: whose fault it is shows so.
const WARY: usize = 2 * BATCH;

/// What is known of a Tryton without our module.
#[derive(Debug, Default)]
pub(super) struct Plain {
    catalog: Catalog,
    facts: Facts,
    wary: usize,
}

/// What a user must be allowed to: model, and whether to make and write it.
const RIGHTS: [(&str, bool); 7] = [
    ("stock.shipment.internal", true),
    ("stock.shipment.out", true),
    ("stock.shipment.in", true),
    ("stock.shipment.out.return", true),
    ("stock.move", true),
    ("stock.location", false),
    ("product.product", false),
];

impl Plain {
    /// Makes sure that the user may do what is needed, and learns which modules of Tryton's own are there.
    pub(super) fn greet(&mut self, rpc: &mut Rpc) -> Result<(), Failure> {
        let models = RIGHTS.map(|(model, _)| model);
        let access = setup(rpc.call("model.ir.model.access.get_access", &[json!(models)]))?;
        for (model, is_written) in RIGHTS {
            let may = |what: &str| access[model][what].as_i64().is_some_and(|n| n > 0) || access[model][what] == true;
            if !may("read") || is_written && !(may("write") && may("create")) {
                let reason = format!("the user may not work with {model} in Tryton: put it into the groups of stock");
                return Err(Failure::Fault { class: FaultClass::Auth, after_ms: None, reason });
            }
        }
        let names = ["stock.lot", "sale.sale", "purchase.purchase"];
        let params = [json!([["name", "in", names]]), json!(0), json!(null), json!(null), json!(["name"])];
        let found = setup(rpc.call("model.ir.model.search_read", &params))?;
        let has = |name: &str| found.as_array().is_some_and(|rows| rows.iter().any(|row| row["name"] == name));
        self.facts.has_lots = has("stock.lot");
        self.facts.has_sales = has("sale.sale");
        self.facts.has_purchases = has("purchase.purchase");
        let params = [json!([1]), json!(["shipment_internal_transit"])];
        let configured = setup(rpc.call("model.stock.configuration.read", &params))?;
        self.facts.transit = configured[0]["shipment_internal_transit"].as_i64();
        self.facts.company = rpc.context("company").as_i64().ok_or_else(|| {
            let reason = "the user has no company in Tryton: give it one".to_owned();
            Failure::Fault { class: FaultClass::Auth, after_ms: None, reason }
        })?;
        self.look(rpc)
    }

    /// What may change from one batch to the next: the day, and which periods are closed.
    fn look(&mut self, rpc: &mut Rpc) -> Result<(), Failure> {
        let unreadable = |of: &Value| Failure::Unknown { reason: format!("a date reads {of}"), was_answered: true };
        let today = setup(rpc.call("model.ir.date.today", &[]))?;
        self.facts.today = doing::iso(&today).ok_or_else(|| unreadable(&today))?;
        let domain = json!([["state", "=", "closed"], ["company", "=", self.facts.company]]);
        let params = [domain, json!(0), json!(1), json!([["date", "DESC"]]), json!(["date"])];
        let closed = setup(rpc.call("model.stock.period.search_read", &params))?;
        self.facts.closed = closed.get(0).and_then(|row| doing::iso(&row["date"]));
        Ok(())
    }

    pub(super) const fn batch_max(&self) -> usize {
        if self.wary > 0 { 1 } else { BATCH }
    }

    /// Brings documents of different lanes; gives the outcome of each by its key.
    pub(super) fn apply_all(&mut self, rpc: &mut Rpc, documents: &[&Document]) -> BTreeMap<String, Outcome> {
        let mut outcomes = BTreeMap::new();
        if documents.is_empty() {
            return outcomes;
        }
        if let Err(failure) = self.look(rpc) {
            let outcome = failure.without_effect();
            return documents.iter().map(|document| (document.key.clone(), outcome.clone())).collect();
        }
        let mut stopped: Option<Outcome> = None;
        for wave in waves(documents) {
            let ends = match &stopped {
                Some(outcome) => wave.iter().map(|_| outcome.clone()).collect(),
                None => self.bring(rpc, &wave),
            };
            for (document, outcome) in wave.iter().zip(ends) {
                stopped = stopped.or_else(|| crate::consumers::erp::single::stops(&outcome));
                outcomes.insert(document.key.clone(), outcome);
            }
        }
        self.learn(rpc, documents, &mut outcomes);
        outcomes
    }

    fn bring(&self, rpc: &mut Rpc, wave: &[&Document]) -> Vec<Outcome> {
        let shared = Shared { facts: &self.facts, catalog: &self.catalog };
        let desks: Vec<Desk> = wave.iter().map(|_| Desk::default()).collect();
        let course = |(document, desk)| -> Course<'_, Outcome> {
            let doing = Doing { desk, shared: &shared, document };
            Box::pin(async move { bring(&doing).await.unwrap_or_else(|outcome| outcome) })
        };
        let courses = wave.iter().copied().zip(&desks).map(course).collect();
        batch::run(rpc, &desks, courses)
    }

    /// What a batch tells about those behind it.
    fn learn(&mut self, rpc: &mut Rpc, documents: &[&Document], outcomes: &mut BTreeMap<String, Outcome>) {
        self.heed(outcomes.values());
        if !outcomes.values().any(|outcome| matches!(outcome, Outcome::Rejected { .. })) {
            return;
        }
        self.catalog.forget();
        let is_own = |outcome: &Outcome| matches!(outcome, Outcome::Rejected { code, .. } if code == meaning::REFUSED);
        // A period that was closed meanwhile is no document's fault, and is told by a sentence only.
        if outcomes.values().any(is_own) && self.look(rpc).is_ok() {
            let closed = self.facts.closed.clone().unwrap_or_default();
            for document in documents.iter().filter(|document| document.date <= closed) {
                if let Some(outcome) = outcomes.get_mut(&document.key).filter(|outcome| is_own(outcome)) {
                    let reason = format!("the stock period of {} is closed in Tryton, up to {closed}", document.date);
                    *outcome = Outcome::Retry { class: FaultClass::ClosedPeriod, after_ms: None, reason };
                }
            }
        }
    }

    /// A call that Tryton answered and left open may be one document's fault: for a while each goes alone.
    fn heed<'o>(&mut self, mut outcomes: impl Iterator<Item = &'o Outcome>) {
        let is_open = |outcome: &Outcome| matches!(outcome, Outcome::Unknown { was_answered: true, .. });
        self.wary = if outcomes.any(is_open) { WARY } else { self.wary.saturating_sub(1) };
    }

    /// Whether a document was brought.
    pub(super) fn look_up(&mut self, rpc: &mut Rpc, document: &Document) -> LookUp {
        let shared = Shared { facts: &self.facts, catalog: &self.catalog };
        let desks = [Desk::default()];
        let doing = Doing { desk: &desks[0], shared: &shared, document };
        let course: Course<'_, LookUp> = Box::pin(async move { find(&doing).await.unwrap_or_else(|o| absent(&o)) });
        batch::run(rpc, &desks, vec![course]).pop().unwrap_or(LookUp::Absent)
    }

    /// Balances of a warehouse.
    pub(super) fn balances(
        &mut self,
        rpc: &mut Rpc,
        mapping: &Mapping,
        warehouse: &str,
    ) -> Result<BTreeMap<Balance, Decimal>, String> {
        self.look(rpc).map_err(|failure| failure.words())?;
        stock::balances(rpc, mapping, warehouse, (&self.facts.today, self.facts.has_lots))
    }
}

/// A refusal before the first document is no document's: the user lacks a right, or Tryton a module.
fn setup(answer: Result<Value, Failure>) -> Result<Value, Failure> {
    answer.map_err(|failure| match failure {
        Failure::Refused(refusal) => {
            Failure::Fault { class: FaultClass::Auth, after_ms: None, reason: refusal.words() }
        }
        other => other,
    })
}

async fn bring(doing: &Doing<'_>) -> Told<Outcome> {
    match doing.document.kind {
        "shipped" => doing.bring_shipped().await,
        "received" => doing.bring_received().await,
        "returned" | "voided" => doing.bring_returned().await,
        "picked" => doing.bring_picked().await,
        "adjusted" | "counted" | "moved" | "transferred" => doing.bring_internal().await,
        kind => {
            let reason = format!(
                "what is {kind} can be told to Tryton through the module docksync only: install it, or leave the type out of `events`"
            );
            Err(reject("NEEDS_MODULE", reason))
        }
    }
}

async fn find(doing: &Doing<'_>) -> Told<LookUp> {
    match doing.document.kind {
        "shipped" => doing.find_shipped().await,
        "received" => doing.find_received().await,
        "returned" | "voided" => doing.find_returned().await,
        "picked" => doing.find_picked().await,
        "adjusted" | "counted" | "moved" | "transferred" => doing.find_internal().await,
        _ => Ok(LookUp::Absent),
    }
}

/// What the end of a search says that did not come through. What the configuration or Tryton lacks was lacking before the first write too.
fn absent(outcome: &Outcome) -> LookUp {
    match outcome {
        Outcome::Rejected { code, .. } if code != "AMBIGUOUS_DOCUMENT" => LookUp::Absent,
        other => not_found(other),
    }
}

/// Runs of documents of which no two can mean the same document of Tryton.
fn waves<'d>(documents: &[&'d Document]) -> Vec<Vec<&'d Document>> {
    let mut waves: Vec<Vec<&Document>> = vec![Vec::new()];
    let mut references: BTreeSet<&str> = BTreeSet::new();
    for document in documents {
        let is_loose = matches!(document.kind, "adjusted" | "counted" | "moved");
        if let Some(reference) = document.reference.as_deref().filter(|_| !is_loose)
            && !references.insert(reference)
        {
            references = BTreeSet::from([reference]);
            waves.push(Vec::new());
        }
        if let Some(wave) = waves.last_mut() {
            wave.push(document);
        }
    }
    waves
}

//! Tryton 8.2 as it is, without a module of ours: single writer, documents that can be taken up again.
//!
//! Every effect is a document of Tryton's own that carries the event's key: in `reference` where we make the document (receipts, returns,
//! internal shipments), in a note on the document where the ERP made it (shipments of its orders). A document is walked through its
//! states by its own buttons; whatever a lost answer, a crash or a killed server left of it is found by its key and walked on.
//! Each call is one transaction of the server; nothing has moved before the last one. Nothing keeps two writers from making a document
//! twice: there must be one.
//!
//! What only the module can do is refused as [`NEEDS_MODULE`]: goods between two sites, picks and cartons.

mod catalog;
#[cfg(test)]
mod double;
mod goods;
mod parts;
mod receiving;
mod shipping;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use self::catalog::Catalog;
use super::rpc::{Access, Failure, Refusal, Rpc};
use crate::consumers::{
    Capability, Consumer, ConsumerError, Delivery, FaultClass, Heals, LookUp, Outcome,
    erp::{
        balances::{Stocked, Told as Balance},
        document::Document,
        mapping::Mapping,
        quantity,
        single::{self, Single, reject},
    },
};

/// Code of what a Tryton without the module cannot be told.
pub const NEEDS_MODULE: &str = "NEEDS_MODULE";
/// A call that was given up may go on for as long as the server lets it (trytond's default time-out of a request).
const SETTLE_MS: i64 = 60_000;
/// Documents of one reference that are looked at.
const FOUND_MAX: usize = 20;
/// Warnings that are passed over for one call: each asks whether what happened shall be believed.
const WARNINGS_MAX: usize = 20;
/// Ends of the names of those warnings: quantities that differ from the order, moves without an origin (stock, sale, purchase).
const BELIEVED: [&str; 3] = ["check_move_quantity", "done", "no_origin"];

/// A result, or what is to be answered in its place.
type Told<T> = Result<T, Outcome>;

/// A Tryton without our module.
#[derive(Debug)]
pub struct Plain {
    rpc: Rpc,
    mapping: Mapping,
    is_greeted: bool,
    catalog: Catalog,
}

impl Plain {
    /// Sets up the connection; calls run on `runtime`. Nobody is called yet.
    ///
    /// # Errors
    /// [`ConsumerError::Client`].
    pub fn new(access: Access, mapping: Mapping, runtime: Handle) -> Result<Self, ConsumerError> {
        Ok(Self { rpc: Rpc::new(access, runtime)?, mapping, is_greeted: false, catalog: Catalog::default() })
    }

    /// Logs in and makes sure that stock can be read; gives how many warehouses there are.
    ///
    /// # Errors
    /// [`Failure`], whose words say what to do.
    pub fn greet(&mut self) -> Result<usize, Failure> {
        let params = [json!([["type", "=", "warehouse"]]), json!(0), json!(null), json!(null), json!(["code"])];
        let answer = self.rpc.call("model.stock.location.search_read", &params).map_err(|failure| match failure {
            Failure::Refused(refusal) => {
                let reason = format!("stock cannot be read ({}): give the user the stock group", refusal.words());
                Failure::Fault { class: FaultClass::Auth, after_ms: None, reason }
            }
            other => other,
        })?;
        self.is_greeted = true;
        Ok(answer.as_array().map_or(0, Vec::len))
    }

    /// Rows of a model; reads change nothing.
    fn rows(&mut self, model: &str, domain: Value, limit: usize, fields: &[&str]) -> Told<Vec<Value>> {
        let params = [domain, json!(0), json!(limit), json!(null), json!(fields)];
        let answer = self.rpc.call(&format!("model.{model}.search_read"), &params).map_err(read)?;
        Ok(answer.as_array().cloned().unwrap_or_default())
    }

    /// As [`Plain::rows`]; nothing where the ERP does not have the model.
    fn rows_if_any(&mut self, model: &str, domain: Value, limit: usize, fields: &[&str]) -> Told<Option<Vec<Value>>> {
        let params = [domain, json!(0), json!(limit), json!(null), json!(fields)];
        match self.rpc.call(&format!("model.{model}.search_read"), &params) {
            Ok(answer) => Ok(Some(answer.as_array().cloned().unwrap_or_default())),
            Err(Failure::Refused(refusal)) if refusal.kind != "UserError" => Ok(None),
            Err(failure) => Err(read(failure)),
        }
    }

    /// Records by number.
    fn records(&mut self, model: &str, ids: &Value, fields: &[&str]) -> Told<Vec<Value>> {
        if ids.as_array().is_none_or(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let answer = self.rpc.call(&format!("model.{model}.read"), &[ids.clone(), json!(fields)]).map_err(read)?;
        Ok(answer.as_array().cloned().unwrap_or_default())
    }

    /// Changes something. Warnings that ask whether what happened shall be believed are passed over.
    fn tell(&mut self, method: &str, params: &[Value]) -> Told<Value> {
        for _ in 0..WARNINGS_MAX {
            match self.rpc.call(method, params) {
                Err(Failure::Refused(refusal)) if is_believed(&refusal) => {
                    let skip = [json!(refusal.description), json!(false)];
                    self.rpc.call("model.res.user.warning.skip", &skip).map_err(read)?;
                }
                other => return other.map_err(written),
            }
        }
        Err(reject("REFUSED", format!("{method} went on warning")))
    }

    fn bring_all(&mut self, document: &Document) -> Told<Outcome> {
        let parts = self.parts(document)?;
        if parts.is_empty() {
            return Ok(Outcome::Applied(String::new()));
        }
        let (mut names, mut was_there) = (Vec::new(), true);
        for part in &parts {
            let own = self.own(document, part)?;
            was_there &= own.as_ref().is_some_and(parts::Own::is_done);
            let own = match own {
                Some(own) => own,
                None => self.make(document, part)?,
            };
            // Some get their number on the way.
            names.push(self.finish(document, part, own)?.name());
        }
        let names = names.join(", ");
        Ok(if was_there { Outcome::AlreadyApplied(names) } else { Outcome::Applied(names) })
    }

    fn find_all(&mut self, document: &Document) -> Told<Option<String>> {
        let parts = self.parts(document)?;
        let mut names = Vec::new();
        for part in &parts {
            match self.own(document, part)? {
                Some(own) if own.is_done() => names.push(own.name()),
                // What has not come to its end has moved nothing, and is taken up when the event goes again.
                Some(_) | None => return Ok(None),
            }
        }
        Ok(Some(names.join(", ")))
    }
}

impl Single for Plain {
    fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    fn prepare(&mut self) -> Result<(), Failure> {
        if !self.is_greeted {
            self.greet()?;
        }
        Ok(())
    }

    fn bring(&mut self, document: &Document) -> Outcome {
        let outcome = self.bring_all(document).unwrap_or_else(|outcome| outcome);
        if matches!(outcome, Outcome::Rejected { .. }) {
            // What was kept of it may no longer be so.
            self.catalog = Catalog::default();
        }
        outcome
    }

    fn find(&mut self, document: &Document) -> LookUp {
        match self.find_all(document) {
            Ok(Some(name)) => LookUp::Found(name),
            Ok(None) => LookUp::Absent,
            Err(Outcome::Rejected { code, .. }) if code != "AMBIGUOUS_DOCUMENT" => LookUp::Absent,
            Err(outcome) => single::not_found(&outcome),
        }
    }
}

impl Consumer for Plain {
    fn capability(&self) -> Capability {
        Capability::LookUp
    }

    fn is_ordered(&self) -> bool {
        // A refused document does not hold back those behind it.
        false
    }

    fn settle_ms(&self) -> i64 {
        SETTLE_MS
    }

    fn heals(&self, code: &str) -> Heals {
        crate::consumers::erp::heals(code)
    }

    fn refuses(&self, delivery: &Delivery) -> Option<Outcome> {
        crate::consumers::erp::refuses(delivery, &self.mapping)
    }

    fn batch_max(&self) -> usize {
        single::BATCH
    }

    fn apply(&mut self, batch: &[Delivery]) -> Vec<Outcome> {
        single::apply(self, batch)
    }

    fn look_up(&mut self, delivery: &Delivery) -> LookUp {
        single::look_up(self, delivery)
    }
}

impl Stocked for Plain {
    fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Without lots: Tryton tells them in no call of its own that is bounded.
    fn stock(&mut self, warehouse: &str) -> Result<Vec<Balance>, String> {
        let words = |outcome: Outcome| single::words(&outcome);
        let site = self.warehouse(warehouse).map_err(words)?;
        let domain = json!([["parent", "child_of", [site.id]], ["type", "=", "storage"]]);
        let places = self.rows("stock.location", domain, 1_000, &["code"]).map_err(words)?;
        let mut told: BTreeMap<(String, String), Decimal> = BTreeMap::new();
        for place in places {
            // Where goods lie for a moment is part of what the site has.
            let is_way = [site.input, site.output].contains(&place["id"].as_i64().unwrap_or_default());
            let name = place["code"].as_str().filter(|_| !is_way).unwrap_or_default();
            let name = if place["id"].as_i64() == Some(site.storage) { "" } else { name };
            for row in self.quantities(&place["id"]).map_err(|failure| failure.words())? {
                let quantity = quantity::decimal(&row["quantity"]).unwrap_or_default();
                let item = row["code"].as_str().unwrap_or_default().to_owned();
                *told.entry((item, name.to_owned())).or_default() += quantity;
            }
        }
        Ok(told.into_iter().map(|((item, place), quantity)| (item, String::new(), place, quantity)).collect())
    }
}

impl Plain {
    /// What lies in one location today.
    fn quantities(&mut self, location: &Value) -> Result<Vec<Value>, Failure> {
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
        let more = json!({"locations": [location], "with_childs": false, "stock_date_end": goods::date(&today)});
        let domain = json!([["quantity", "!=", 0]]);
        let params = [domain, json!(0), json!(null), json!(null), json!(["code", "quantity"])];
        let answer = self.rpc.call_with("model.product.product.search_read", &params, &more)?;
        Ok(answer.as_array().cloned().unwrap_or_default())
    }
}

fn is_believed(refusal: &Refusal) -> bool {
    refusal.kind == "UserWarning" && BELIEVED.iter().any(|end| refusal.description.ends_with(end))
}

/// What became of a call that changes nothing.
fn read(failure: Failure) -> Outcome {
    match failure {
        Failure::Refused(refusal) => meaning(&refusal),
        other => other.without_effect(),
    }
}

/// What became of a call that changes something: a refusal is without effect, a lost answer may not be.
fn written(failure: Failure) -> Outcome {
    match failure {
        Failure::Refused(refusal) => meaning(&refusal),
        Failure::Fault { class, after_ms, reason } => Outcome::Retry { class, after_ms, reason },
        Failure::Unknown { reason, was_answered } => Outcome::Unknown { reason, was_answered },
    }
}

/// What a refusal of Tryton's own means. A closed period has no code of its own there, only its sentence (stock 8.2, `message.xml`).
fn meaning(refusal: &Refusal) -> Outcome {
    let reason = refusal.words();
    match refusal.kind.as_str() {
        "UserError" if refusal.message.contains("you must reopen period") => {
            Outcome::Retry { class: FaultClass::ClosedPeriod, after_ms: None, reason }
        }
        "UserError" => reject("REFUSED", reason),
        "UserWarning" => Outcome::NeedsDecision { reason },
        "ConcurrencyException" => Outcome::Retry { class: FaultClass::Outage, after_ms: None, reason },
        _ => reject("ERP_FAULT", reason),
    }
}

fn id_of(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

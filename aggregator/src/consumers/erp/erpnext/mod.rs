//! ERPNext 14 and later through Frappe's REST API.
//!
//! Every effect is one document (delivery note, purchase receipt, stock entry) that carries our key in the field [`KEY_FIELD`], which is
//! added to ERPNext by hand and is unique there: a second document of one key cannot come to be, whoever inserts it. A document is
//! saved as a draft, which moves nothing, and then submitted. A draft that was left behind is found by its key, gets the content
//! that the event has now, and is submitted.
//!
//! Counts and corrections are told by their difference, as to every ERP: a stock reconciliation states what is there, and would undo what
//! is still on its way. Documents for orders are made by ERPNext's own mapping of the order, so that prices, taxes and links are its own.
//!
//! Not run against a real server: its shapes are those of the documentation and of the sources of Frappe and ERPNext.

#[cfg(test)]
pub(crate) mod double;
mod meaning;
mod paper;
pub mod rest;
mod rows;
mod stock;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::runtime::Handle;

use self::{
    paper::{Own, Paper},
    rest::{Access, Rest},
};
use super::{
    document::Document,
    mapping::Mapping,
    single::{self, Single, reject},
};
use crate::consumers::{
    Capability, Consumer, ConsumerError, Delivery, FaultClass, Heals, LookUp, Outcome, wire::Failure,
};

/// The field of each kind of document that holds our key; unique.
pub const KEY_FIELD: &str = "custom_docsync_key";
/// The field of a stock entry that holds the reference of goods between two sites.
pub const REFERENCE_FIELD: &str = "custom_docsync_reference";
/// How often a call that met another transaction is made again at once.
const CONFLICTS_MAX: u32 = 3;
/// How often an insert that met a document of its own key is begun anew.
const RACES_MAX: u32 = 2;

/// A result, or what became of the document.
type Told<T> = Result<T, Outcome>;

/// Settings beside mapping and access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    /// Company whose books are kept.
    pub company: String,
    /// Warehouse of goods between two sites; without it transfers are parked.
    pub transit: Option<String>,
}

/// An ERPNext.
#[derive(Debug)]
pub struct ErpNext {
    rest: Rest,
    mapping: Mapping,
    ways: Ways,
    is_greeted: bool,
    items: BTreeMap<String, Item>,
    warehouses: BTreeSet<String>,
}

/// An item.
#[derive(Debug, Clone)]
struct Item {
    stock_unit: String,
    has_batches: bool,
    has_serials: bool,
}

impl ErpNext {
    /// Sets up the connection; calls run on `runtime`. Nobody is called yet.
    ///
    /// # Errors
    /// [`ConsumerError::Client`].
    pub fn new(access: Access, mapping: Mapping, ways: Ways, runtime: Handle) -> Result<Self, ConsumerError> {
        let (items, warehouses) = Default::default();
        Ok(Self { rest: Rest::new(access, runtime)?, mapping, ways, is_greeted: false, items, warehouses })
    }

    /// Logs in and makes sure that ERPNext has what is needed; tells who we are there.
    ///
    /// # Errors
    /// [`Failure`], whose words say what to do.
    pub fn greet(&mut self) -> Result<String, Failure> {
        let setup = |reason| Failure::Fault { class: FaultClass::Auth, after_ms: None, reason };
        let user = self.asked("frappe.auth.get_logged_user", &[])?;
        for doctype in ["Delivery Note", "Purchase Receipt", "Stock Entry"] {
            let meta = self.asked("frappe.desk.form.load.getdoctype", &[("doctype", &json!(doctype))])?;
            let field = |name: &str| {
                let fields = meta["docs"][0]["fields"].as_array().map_or(&[][..], Vec::as_slice);
                fields.iter().find(|field| field["fieldname"] == name).cloned()
            };
            match field(KEY_FIELD) {
                Some(found) if found["unique"] == 1 => {}
                Some(_) => return Err(setup(format!("field {KEY_FIELD} of {doctype} is not unique: tick it there"))),
                None => {
                    return Err(setup(format!("{doctype} has no field {KEY_FIELD}: add it as Data, unique, no copy")));
                }
            }
            if doctype == "Stock Entry" && self.ways.transit.is_some() && field(REFERENCE_FIELD).is_none() {
                return Err(setup(format!("{doctype} has no field {REFERENCE_FIELD}: add it as Data")));
            }
        }
        self.is_greeted = true;
        Ok(user.as_str().unwrap_or_default().to_owned())
    }

    fn asked(&self, method: &str, query: &[(&str, &Value)]) -> Result<Value, Failure> {
        match self.rest.ask(method, query) {
            // The user may not see it: no event is at fault.
            Err(Failure::Refused(refusal)) => {
                Err(Failure::Fault { class: FaultClass::Auth, after_ms: None, reason: refusal.words() })
            }
            other => other,
        }
    }

    /// Documents that fit, at most `limit`. Reading has no effect, whatever becomes of it.
    fn list(&self, doctype: &str, filters: &Value, or: &Value, fields: &Value, limit: usize) -> Told<Vec<Value>> {
        let limit = json!(limit);
        let mut query = vec![("filters", filters), ("fields", fields), ("limit_page_length", &limit)];
        if !or.is_null() {
            query.push(("or_filters", or));
        }
        match self.rest.list(doctype, &query).map_err(read)? {
            Value::Array(rows) => Ok(rows),
            other => Err(Outcome::Retry {
                class: FaultClass::Outage,
                after_ms: None,
                reason: format!("a list was answered by {other}"),
            }),
        }
    }

    fn item(&mut self, code: &str) -> Told<Item> {
        if let Some(known) = self.items.get(code) {
            return Ok(known.clone());
        }
        let filters = json!([["name", "=", code], ["disabled", "=", 0]]);
        let fields = json!(["name", "stock_uom", "has_batch_no", "has_serial_no"]);
        let rows = self.list("Item", &filters, &Value::Null, &fields, 1)?;
        let row = rows.first().ok_or_else(|| {
            reject("UNKNOWN_PRODUCT", format!("ERPNext has no enabled item with the code \"{code}\""))
        })?;
        let item = Item {
            stock_unit: row["stock_uom"].as_str().unwrap_or_default().to_owned(),
            has_batches: row["has_batch_no"] == 1,
            has_serials: row["has_serial_no"] == 1,
        };
        self.items.insert(code.to_owned(), item.clone());
        Ok(item)
    }

    /// Makes sure that a warehouse is there; `code` is what is told where it is not.
    fn warehouse(&mut self, name: &str, code: &str) -> Told<String> {
        if !self.warehouses.contains(name) {
            let filters = json!([["name", "=", name], ["is_group", "=", 0]]);
            let rows = self.list("Warehouse", &filters, &Value::Null, &json!(["name"]), 1)?;
            if rows.is_empty() {
                return Err(reject(code, format!("ERPNext has no warehouse \"{name}\" that goods can lie in")));
            }
            self.warehouses.insert(name.to_owned());
        }
        Ok(name.to_owned())
    }

    fn bring_once(&mut self, document: &Document, races: u32) -> Told<Outcome> {
        let slots = paper::slots(document);
        let own = slots.iter().map(|slot| self.own(slot)).collect::<Told<Vec<Own>>>()?;
        if let Some(outcome) = paper::settled(&own) {
            return Ok(outcome);
        }
        // All of it is read before any of it is written: what is refused leaves nothing behind.
        let mut papers = Vec::with_capacity(slots.len());
        for slot in &slots {
            papers.push(self.paper(document, slot)?);
        }
        let mut names = Vec::with_capacity(slots.len());
        for (paper, own) in papers.into_iter().zip(own) {
            let Some(paper) = paper else { continue };
            match self.submit(&paper, own) {
                Ok(name) => names.push(name),
                Err(Failure::Refused(refusal)) if meaning::is_there(&refusal) && races < RACES_MAX => {
                    return self.bring_once(document, races + 1);
                }
                Err(failure) => return Err(written(failure)),
            }
        }
        Ok(Outcome::Applied(names.join(", ")))
    }

    /// Saves and submits, from wherever it is; gives the name.
    fn submit(&self, paper: &Paper, own: Own) -> Result<String, Failure> {
        let saved = match own {
            Own::Submitted(name) => return Ok(name),
            Own::Draft { doctype, name } if doctype == paper.doctype => {
                self.again(|| self.rest.update(doctype, &name, &paper.body))?
            }
            // The order came, or went, since the draft was made.
            Own::Draft { doctype, name } => {
                let message = format!("draft {name} ({doctype}) is there for the event: delete it, then retry");
                return Err(refused("CONFLICT", message));
            }
            Own::Absent | Own::Cancelled(_) => self.again(|| self.rest.insert(paper.doctype, &paper.body))?,
        };
        if let Err(Outcome::Rejected { code, reason }) = rows::check_saved(&paper.body, &saved) {
            return Err(refused(&code, reason));
        }
        let name = saved["name"].as_str().unwrap_or_default().to_owned();
        let after = self.again(|| self.rest.update(paper.doctype, &name, &json!({"docstatus": 1})))?;
        if after["docstatus"] == 1 {
            return Ok(name);
        }
        Err(refused("NOT_SUBMITTED", format!("ERPNext left {name} a draft: submit it there, then retry")))
    }

    /// A call that may have met another transaction is made again at once, some times.
    fn again(&self, call: impl Fn() -> Result<Value, Failure>) -> Result<Value, Failure> {
        let mut conflicts = 0;
        loop {
            match call() {
                Err(Failure::Refused(refusal)) if meaning::is_conflict(&refusal) && conflicts < CONFLICTS_MAX => {
                    conflicts += 1;
                }
                other => return other,
            }
        }
    }
}

/// A refusal of our own: its kind is the code.
fn refused(code: &str, message: String) -> Failure {
    Failure::Refused(crate::consumers::wire::Refusal { kind: code.to_owned(), message, description: OURS.to_owned() })
}

/// Tells refusals of our own from those of ERPNext.
const OURS: &str = "ours";

fn read(failure: Failure) -> Outcome {
    match failure {
        Failure::Refused(refusal) => meaning::outcome(&refusal),
        other => other.without_effect(),
    }
}

/// What became of a call that changes something: a refusal is without effect, a lost answer is not.
fn written(failure: Failure) -> Outcome {
    match failure {
        Failure::Refused(refusal) if refusal.description == OURS => reject(&refusal.kind, refusal.message),
        Failure::Refused(refusal) => meaning::outcome(&refusal),
        Failure::Fault { class, after_ms, reason } => Outcome::Retry { class, after_ms, reason },
        Failure::Unknown { reason, was_answered } => Outcome::Unknown { reason, was_answered },
    }
}

impl Single for ErpNext {
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
        let outcome = self.bring_once(document, 0).unwrap_or_else(|outcome| outcome);
        if matches!(outcome, Outcome::Rejected { .. }) {
            // What was kept of it may no longer be so.
            self.items.clear();
            self.warehouses.clear();
        }
        outcome
    }

    fn find(&mut self, document: &Document) -> LookUp {
        let own = paper::slots(document).iter().map(|slot| self.own(slot)).collect::<Told<Vec<Own>>>();
        match own.map(|own| paper::settled(&own)) {
            Ok(Some(Outcome::AlreadyApplied(name))) => LookUp::Found(name),
            // What is not submitted has moved nothing, and is taken up when the event goes again.
            Ok(_) => LookUp::Absent,
            Err(outcome) => single::not_found(&outcome),
        }
    }
}

impl Consumer for ErpNext {
    fn capability(&self) -> Capability {
        // The key is unique there: whatever is sent again is found, or refused as there already.
        Capability::OwnKey
    }

    fn is_ordered(&self) -> bool {
        // A refused document does not hold back those behind it.
        false
    }

    fn heals(&self, code: &str) -> Heals {
        super::heals(code)
    }

    fn refuses(&self, delivery: &Delivery) -> Option<Outcome> {
        super::refuses(delivery, &self.mapping)
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

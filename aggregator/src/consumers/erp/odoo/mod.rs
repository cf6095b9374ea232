//! Odoo 17 and later through its public API: JSON-2 where it has it, JSON-RPC before.
//!
//! Every effect is one transfer (`stock.picking`). Odoo keeps no key of ours, so the transfer carries it in the field
//! [`KEY_FIELD`], which is added to Odoo by hand (see `packaging/erp/odoo/README.md`); by it a transfer whose answer was lost is
//! found. A call is a transaction, a document takes several: find or make the transfer, write key and quantities, validate. Whatever
//! stops in between leaves a transfer that is not done, has moved nothing, and is found by its key and taken up again.
//!
//! `button_validate` may answer with an action instead of finishing (a wizard): the state of the transfer counts, never the answer. The
//! question of the backorder is answered beforehand by the context, as Odoo's own wizard does (`addons/stock/models/stock_picking.py`);
//! any other waits for a person. Odoo dates a transfer by the moment in which it is validated.
//!
//! Not run against a real server: its shapes are those of the documentation and of Odoo's source.

mod catalog;
#[cfg(test)]
pub(crate) mod double;
mod fill;
mod meaning;
mod plan;
pub mod rpc;
mod stock;
#[cfg(test)]
mod tests;
mod transfer;

use serde_json::{Value, json};
use tokio::runtime::Handle;

use self::{
    catalog::Catalog,
    rpc::{Access, Rpc},
};
use super::{
    document::Document,
    mapping::Mapping,
    single::{self, Single},
};
use crate::consumers::{
    Capability, Consumer, ConsumerError, Delivery, FaultClass, Heals, LookUp, Outcome, wire::Failure,
};

/// The field of `stock.picking` that holds our key.
pub const KEY_FIELD: &str = "x_docksync_key";
/// How often a call that met another transaction is made again at once.
const CONFLICTS_MAX: u32 = 3;

/// A result, or what became of the document.
type Told<T> = Result<T, Outcome>;

/// Settings beside mapping and access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    /// Full name of the location of goods between two sites; without it transfers are parked.
    pub transit: Option<String>,
    /// How long a call that was given up may go on over there, milliseconds.
    pub settle_ms: i64,
}

/// An Odoo.
#[derive(Debug)]
pub struct Odoo {
    rpc: Rpc,
    mapping: Mapping,
    ways: Ways,
    catalog: Catalog,
    schema: Option<Schema>,
}

/// What differs between versions.
#[derive(Debug, Clone)]
struct Schema {
    move_unit: &'static str,
    line_unit: &'static str,
    /// Until 18 a move needs a description.
    has_move_name: bool,
    /// With sales installed a return counts for its order line.
    has_sale_line: bool,
}

impl Odoo {
    /// Sets up the connection; calls run on `runtime`. Nobody is called yet.
    ///
    /// # Errors
    /// [`ConsumerError::Client`].
    pub fn new(access: Access, mapping: Mapping, ways: Ways, runtime: Handle) -> Result<Self, ConsumerError> {
        Ok(Self { rpc: Rpc::new(access, runtime)?, mapping, ways, catalog: Catalog::default(), schema: None })
    }

    /// Logs in and makes sure that Odoo has what is needed; tells the API that is spoken.
    ///
    /// # Errors
    /// [`Failure`], whose words say what to do.
    pub fn greet(&mut self) -> Result<String, Failure> {
        let setup = |reason| Failure::Fault { class: FaultClass::Auth, after_ms: None, reason };
        let picking = self.fields("stock.picking", &[KEY_FIELD])?;
        if picking.get(KEY_FIELD).is_none() {
            return Err(setup(format!(
                "transfers (stock.picking) have no field {KEY_FIELD}: add it as a text, not copied"
            )));
        }
        let of_move = ["quantity", "picked", "product_uom", "uom_id", "name", "sale_line_id", "to_refund"];
        let moves = self.fields("stock.move", &of_move)?;
        if moves.get("quantity").is_none() || moves.get("picked").is_none() {
            return Err(setup("stock moves have no quantity and picked: Odoo 17 or later is needed".to_owned()));
        }
        let lines = self.fields("stock.move.line", &["product_uom_id", "uom_id"])?;
        let has = |fields: &Value, name: &str| fields.get(name).is_some();
        self.schema = Some(Schema {
            move_unit: if has(&moves, "product_uom") { "product_uom" } else { "uom_id" },
            line_unit: if has(&lines, "product_uom_id") { "product_uom_id" } else { "uom_id" },
            has_move_name: has(&moves, "name"),
            has_sale_line: has(&moves, "sale_line_id") && has(&moves, "to_refund"),
        });
        Ok(self.rpc.spoken().to_owned())
    }

    fn fields(&mut self, model: &str, names: &[&str]) -> Result<Value, Failure> {
        let asked = json!({"allfields": names, "attributes": ["type"]});
        match self.rpc.call(model, "fields_get", None, asked) {
            // The user may not see the model, or inventory is not installed: no event is at fault.
            Err(Failure::Refused(refusal)) => {
                Err(Failure::Fault { class: FaultClass::Auth, after_ms: None, reason: refusal.words() })
            }
            other => other,
        }
    }

    fn schema(&self) -> Schema {
        self.schema.clone().expect("nothing is brought before prepare")
    }

    /// Records that fit, at most `limit`. Reading has no effect, whatever becomes of it.
    fn rows(&mut self, model: &str, domain: Value, fields: &[&str], limit: usize) -> Told<Vec<Value>> {
        let asked = json!({"domain": domain, "fields": fields, "limit": limit, "order": "id", "context": context()});
        match self.rpc.call(model, "search_read", None, asked) {
            Ok(Value::Array(rows)) => Ok(rows),
            Ok(other) => Err(Outcome::Retry {
                class: FaultClass::Outage,
                after_ms: None,
                reason: format!("a search was answered by {other}"),
            }),
            Err(Failure::Refused(refusal)) => Err(meaning::outcome(&refusal)),
            Err(failure) => Err(failure.without_effect()),
        }
    }

    /// A call that changes something. A refusal is without effect, a lost answer is not.
    fn change(&mut self, model: &str, method: &str, ids: Option<&[i64]>, named: Value) -> Told<Value> {
        let mut conflicts = 0;
        loop {
            match self.rpc.call(model, method, ids, named.clone()) {
                Ok(value) => return Ok(value),
                Err(Failure::Refused(refusal)) if meaning::is_conflict(&refusal) && conflicts < CONFLICTS_MAX => {
                    conflicts += 1;
                }
                Err(Failure::Refused(refusal)) => return Err(meaning::outcome(&refusal)),
                Err(Failure::Fault { class, after_ms, reason }) => {
                    return Err(Outcome::Retry { class, after_ms, reason });
                }
                Err(Failure::Unknown { reason, was_answered }) => {
                    return Err(Outcome::Unknown { reason, was_answered });
                }
            }
        }
    }
}

/// In English, so that sentences without a class of their own can be told apart.
fn context() -> Value {
    json!({"lang": "en_US"})
}

impl Single for Odoo {
    fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    fn prepare(&mut self) -> Result<(), Failure> {
        if self.schema.is_none() {
            self.greet()?;
        }
        Ok(())
    }

    fn bring(&mut self, document: &Document) -> Outcome {
        let outcome = self.transfer(document).unwrap_or_else(|outcome| outcome);
        if matches!(outcome, Outcome::Rejected { .. }) {
            self.forget();
        }
        outcome
    }

    fn find(&mut self, document: &Document) -> LookUp {
        match self.own(&document.key) {
            Ok(Some(own)) if own.state == "done" => LookUp::Found(own.name),
            // What is not done has moved nothing, and is taken up when the event goes again.
            Ok(_) => LookUp::Absent,
            Err(outcome) => single::not_found(&outcome),
        }
    }
}

impl Consumer for Odoo {
    fn capability(&self) -> Capability {
        Capability::LookUp
    }

    fn is_ordered(&self) -> bool {
        // A refused document does not hold back those behind it.
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
        single::BATCH
    }

    fn apply(&mut self, batch: &[Delivery]) -> Vec<Outcome> {
        single::apply(self, batch)
    }

    fn look_up(&mut self, delivery: &Delivery) -> LookUp {
        single::look_up(self, delivery)
    }
}

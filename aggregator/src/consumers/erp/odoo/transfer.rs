//! One transfer of Odoo from whatever it is at to done.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    KEY_FIELD, Odoo, Told,
    catalog::id_of,
    context,
    fill::{Filled, Goods, Move, Rest, exact, fill},
    plan::{MOVES_MAX, New, Plan},
};
use crate::consumers::{
    Outcome,
    erp::{document::Document, quantity, single::reject},
};

/// Transfers of one key that are looked at.
const OWN_MAX: usize = 10;

/// A transfer.
#[derive(Debug, Clone)]
pub(super) struct Picking {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) state: String,
    key: Option<String>,
    backorder_of: Option<i64>,
}

impl Odoo {
    /// Brings a document, or finds that it was brought.
    pub(super) fn transfer(&mut self, document: &Document) -> Told<Outcome> {
        let own = self.own(&document.key)?;
        match &own {
            Some(own) if own.state == "done" => return Ok(Outcome::AlreadyApplied(own.name.clone())),
            Some(own) if own.state == "cancel" => {
                return Ok(Outcome::NeedsDecision { reason: format!("{} was cancelled in Odoo", own.name) });
            }
            Some(_) | None => {}
        }
        let goods = self.goods(document)?;
        let plan = match own {
            Some(own) => Plan::Open(own),
            None => self.plan(document, &goods)?,
        };
        let is_nothing = goods.iter().all(|good| good.quantity.is_zero());
        let picking = match plan {
            Plan::New(_) if is_nothing => return Ok(Outcome::Applied(String::new())),
            Plan::Open(picking) => {
                self.check_unclaimed(&picking, &document.key)?;
                picking
            }
            Plan::New(new) => self.make(document, &new, &goods)?,
        };
        self.finish(picking, document, &goods)
    }

    /// The transfer that carries a key. A copy that Odoo made of it for the rest is not it.
    pub(super) fn own(&mut self, key: &str) -> Told<Option<Picking>> {
        let found = self.pickings(json!([[KEY_FIELD, "=", key]]), OWN_MAX)?;
        let ids: Vec<i64> = found.iter().map(|picking| picking.id).collect();
        let is_copy = |picking: &Picking| picking.backorder_of.is_some_and(|of| ids.contains(&of));
        let mut own: Vec<Picking> = found.into_iter().filter(|picking| !is_copy(picking)).collect();
        if own.len() > 1 {
            let names: Vec<&str> = own.iter().map(|picking| picking.name.as_str()).collect();
            return Err(reject(
                "AMBIGUOUS_DOCUMENT",
                format!("Odoo has the event more than once: {}", names.join(", ")),
            ));
        }
        Ok(own.pop())
    }

    pub(super) fn pickings(&mut self, domain: Value, limit: usize) -> Told<Vec<Picking>> {
        let fields = ["name", "state", "backorder_id", KEY_FIELD];
        Ok(self.rows("stock.picking", domain, &fields, limit)?.iter().filter_map(picking).collect())
    }

    /// A transfer that another event has prepared and not finished is that event's.
    fn check_unclaimed(&mut self, picking: &Picking, key: &str) -> Told<()> {
        let Some(other) = picking.key.as_deref().filter(|other| *other != key) else { return Ok(()) };
        let is_copy = match picking.backorder_of {
            Some(of) => self.own(other)?.is_some_and(|own| own.id == of),
            None => false,
        };
        if is_copy {
            return Ok(());
        }
        let reason = format!("{} was prepared for event {other}, which is not finished", picking.name);
        Err(reject("CONFLICT", reason))
    }

    fn make(&mut self, document: &Document, new: &New, goods: &[Goods]) -> Told<Picking> {
        let some = goods.iter().filter(|good| !good.quantity.is_zero());
        let moves = some.map(|good| self.new_move(good, new)).collect::<Told<Vec<Value>>>()?;
        let origin = document.reference.as_deref().or(document.number.as_deref()).unwrap_or(&document.source);
        let values = json!({
            "picking_type_id": new.operation_type, "location_id": new.from, "location_dest_id": new.to,
            "origin": origin, KEY_FIELD: document.key, "move_ids": moves,
        });
        let named = json!({"vals_list": [values], "context": context()});
        let made = self.change("stock.picking", "create", None, named)?;
        let id = id_of(&made).ok_or_else(|| Outcome::Unknown {
            reason: format!("making a transfer was answered by {made}"),
            was_answered: true,
        })?;
        self.again(id)
    }

    fn new_move(&self, good: &Goods, new: &New) -> Told<Value> {
        let schema = self.schema();
        let mut values = json!({
            "product_id": good.product.id, "product_uom_qty": exact(good.quantity)?,
            "location_id": good.from.unwrap_or(new.from), "location_dest_id": good.to.unwrap_or(new.to),
        });
        values[schema.move_unit] = json!(good.unit);
        if schema.has_move_name {
            values["name"] = json!(good.product.code);
        }
        if let Some(shipped) = new.taken_back.iter().find(|of| of.product == good.product.id) {
            values["origin_returned_move_id"] = json!(shipped.id);
            if let Some(sale_line) = shipped.sale_line {
                values["sale_line_id"] = json!(sale_line);
                values["to_refund"] = json!(true);
            }
        }
        // `[0, 0, values]` makes a record (ORM reference, `Command.create`).
        Ok(json!([0, 0, values]))
    }

    fn again(&mut self, id: i64) -> Told<Picking> {
        self.pickings(json!([["id", "=", id]]), 1)?.pop().ok_or_else(|| Outcome::Unknown {
            reason: format!("transfer {id} is not there any more"),
            was_answered: true,
        })
    }

    /// Writes key and quantities, validates, and believes nothing but the state.
    fn finish(&mut self, picking: Picking, document: &Document, goods: &[Goods]) -> Told<Outcome> {
        if picking.state == "draft" {
            self.change("stock.picking", "action_confirm", Some(&[picking.id]), json!({"context": context()}))?;
        }
        let moves =
            self.moves(picking.id, goods.iter().any(|good| good.lot.is_some() || good.from.or(good.to).is_some()))?;
        let filled = fill(&moves, goods, self.schema().line_unit)?;
        if filled.rest == Rest::Mixed {
            let reason =
                format!("{}: a part of what is short is cancelled, a part is not; split it in Odoo", picking.name);
            return Ok(Outcome::NeedsDecision { reason });
        }
        if filled.expected.values().all(Decimal::is_zero) {
            return Ok(nothing_went(&picking, filled.rest));
        }
        let values = json!({KEY_FIELD: document.key, "move_ids": filled.commands});
        self.change("stock.picking", "write", Some(&[picking.id]), json!({"vals": values, "context": context()}))?;
        self.check_written(picking.id, &filled)?;
        self.validate(&picking, filled.rest)
    }

    fn moves(&mut self, picking: i64, with_lines: bool) -> Told<Vec<Move>> {
        let unit = self.schema().move_unit;
        let fields = ["product_id", "product_uom_qty", unit, "location_id", "location_dest_id", "move_line_ids"];
        let fields = if with_lines { &fields[..] } else { &fields[..5] };
        let domain = json!([["picking_id", "=", picking], ["state", "not in", ["done", "cancel"]]]);
        let rows = self.rows("stock.move", domain, fields, MOVES_MAX)?;
        let read = |row: &Value| {
            let ids = row["move_line_ids"].as_array().map_or(&[][..], Vec::as_slice);
            Some(Move {
                id: id_of(&row["id"])?,
                product: id_of(&row["product_id"])?,
                unit: id_of(&row[unit])?,
                demand: quantity::decimal(&row["product_uom_qty"])?.normalize(),
                from: id_of(&row["location_id"])?,
                to: id_of(&row["location_dest_id"])?,
                lines: ids.iter().filter_map(Value::as_i64).collect(),
            })
        };
        Ok(rows.iter().filter_map(read).collect())
    }

    /// Odoo rounds what a unit cannot hold, and says nothing.
    fn check_written(&mut self, picking: i64, filled: &Filled) -> Told<()> {
        let domain = json!([["picking_id", "=", picking], ["state", "not in", ["done", "cancel"]]]);
        let rows = self.rows("stock.move", domain, &["quantity"], MOVES_MAX)?;
        for (id, expected) in &filled.expected {
            let found = rows.iter().find(|row| id_of(&row["id"]) == Some(*id)).map(|row| &row["quantity"]);
            let found = found.and_then(quantity::decimal).unwrap_or_default();
            if found != *expected {
                let reason = format!("{expected} went, Odoo made {found} of it: its unit has fewer decimals");
                return Err(reject("QUANTITY", reason));
            }
        }
        Ok(())
    }

    fn validate(&mut self, picking: &Picking, rest: Rest) -> Told<Outcome> {
        let mut context = context();
        context["skip_backorder"] = json!(true);
        if rest == Rest::Cancel {
            context["picking_ids_not_to_backorder"] = json!([picking.id]);
        }
        let answer =
            self.change("stock.picking", "button_validate", Some(&[picking.id]), json!({"context": context}))?;
        // The call was answered and may have taken effect: whatever becomes of this question, it is not without.
        let after = self.again(picking.id).map_err(|outcome| match outcome {
            Outcome::Retry { reason, .. } => Outcome::Unknown { reason, was_answered: false },
            other => other,
        })?;
        match after.state.as_str() {
            "done" => Ok(Outcome::Applied(after.name)),
            state => Ok(Outcome::NeedsDecision { reason: question(&after.name, state, &answer) }),
        }
    }
}

/// An order of which nothing went: there is nothing to validate.
fn nothing_went(picking: &Picking, rest: Rest) -> Outcome {
    match rest {
        Rest::Cancel => {
            let reason = format!("nothing of {} went and nothing will: cancel it in Odoo", picking.name);
            Outcome::NeedsDecision { reason }
        }
        // It stays open, as it is.
        Rest::Backorder | Rest::Mixed => Outcome::Applied(picking.name.clone()),
    }
}

/// What Odoo asks, by the action that it answered with instead of finishing.
fn question(name: &str, state: &str, answer: &Value) -> String {
    let what = ["res_model", "name", "tag"].into_iter().find_map(|field| answer[field].as_str());
    match what {
        Some(what) => format!("Odoo asks something before it validates {name} ({what}): validate it there, then retry"),
        None => format!("Odoo left {name} in state {state}: validate it there, then retry"),
    }
}

fn picking(row: &Value) -> Option<Picking> {
    Some(Picking {
        id: id_of(&row["id"])?,
        name: row["name"].as_str()?.to_owned(),
        state: row["state"].as_str()?.to_owned(),
        key: row[KEY_FIELD].as_str().map(str::to_owned),
        backorder_of: id_of(&row["backorder_id"]),
    })
}

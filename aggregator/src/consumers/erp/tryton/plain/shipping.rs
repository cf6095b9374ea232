//! Shipments of Tryton's own orders: claimed by a note with the event's key, filled with what went, taken to done.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    FOUND_MAX, Plain, Told,
    catalog::Warehouse,
    goods::{Goods, MOVE_FIELDS, date, fill, write_params},
    id_of,
    parts::{OUT, Own, ambiguous},
};
use crate::consumers::erp::{document::Document, quantity, single::reject};

const FIELDS: [&str; 4] = ["state", "number", "warehouse", "outgoing_moves"];

impl Plain {
    /// Every shipment of the order that a document is about: by its own reference or number, or through the sale, whose backorders
    /// have no reference.
    pub(super) fn shipments(&mut self, document: &Document) -> Told<Vec<Value>> {
        let Some(reference) = &document.reference else { return Ok(Vec::new()) };
        let either = json!(["OR", ["reference", "=", reference], ["number", "=", reference]]);
        let sales =
            self.rows_if_any("sale.sale", json!([["reference", "=", reference]]), FOUND_MAX, &["shipments", "number"])?;
        let sales = sales.unwrap_or_default();
        if sales.len() > 1 {
            return Err(ambiguous(reference, &sales));
        }
        let mut found: BTreeMap<i64, Value> = BTreeMap::new();
        let direct = self.rows(OUT, either, FOUND_MAX, &FIELDS)?;
        let of_sale = match sales.first() {
            Some(sale) => self.records(OUT, &sale["shipments"], &FIELDS)?,
            None => Vec::new(),
        };
        found.extend(direct.into_iter().chain(of_sale).map(|row| (id_of(&row["id"]), row)));
        Ok(found.into_values().collect())
    }

    /// The shipment that carries the event's note.
    pub(super) fn own_shipment(&mut self, document: &Document) -> Told<Option<Own>> {
        let shipments = self.shipments(document)?;
        if shipments.is_empty() {
            return Ok(None);
        }
        let resources: Vec<String> = shipments.iter().map(|row| resource(id_of(&row["id"]))).collect();
        let domain = json!([["resource", "in", resources], ["message", "=", note(document)]]);
        let notes = self.rows("ir.note", domain, FOUND_MAX, &["resource"])?;
        let mut noted = shipments.iter().filter(|row| {
            let resource = resource(id_of(&row["id"]));
            notes.iter().any(|note| note["resource"] == resource.as_str())
        });
        match (noted.next(), noted.next()) {
            (None, _) => Ok(None),
            (Some(one), None) => Ok(Some(Own::of(OUT, one))),
            (Some(_), Some(_)) => Err(ambiguous(&document.key, &shipments)),
        }
    }

    /// Notes the event's key on the one open shipment of the order.
    pub(super) fn claim(&mut self, document: &Document, warehouse: Warehouse) -> Told<Own> {
        let reference = document.reference.as_deref().unwrap_or_default();
        let all = self.shipments(document)?;
        let is_open = |row: &&Value| !matches!(row["state"].as_str(), Some("done" | "cancelled"));
        let open: Vec<Value> = all.iter().filter(is_open).cloned().collect();
        let shipment = match open.as_slice() {
            [one] => one,
            [] if all.is_empty() => {
                let reason = format!("Tryton has no shipment for {reference} (shipped)");
                return Err(reject("UNKNOWN_DOCUMENT", reason));
            }
            [] => return Err(reject("STATE", format!("every shipment of {reference} is done or cancelled"))),
            _ => return Err(ambiguous(reference, &open)),
        };
        if id_of(&shipment["warehouse"]) != warehouse.id {
            return Err(reject("CONFLICT", format!("the shipment of {reference} is another warehouse's")));
        }
        let own = Own::of(OUT, shipment);
        let values = json!([{"resource": resource(own.id), "message": note(document)}]);
        self.tell("model.ir.note.create", &[values])?;
        Ok(own)
    }

    /// Sets its moves to what went and takes it to done. What stands there already is not written again: after a lost answer it goes
    /// on from where it was.
    pub(super) fn ship(&mut self, document: &Document, goods: &[Goods], mut own: Own) -> Told<Own> {
        let ids = json!([own.id]);
        if own.state == "draft" || (own.state == "assigned" && self.missing(document, goods, &own)?.is_some()) {
            // Only a waiting shipment can be changed; going back there makes its moves anew.
            self.tell(&format!("model.{OUT}.wait"), std::slice::from_ref(&ids))?;
            own = self.reread(OUT, &ids)?;
        }
        match own.state.as_str() {
            "waiting" => {
                if let Some(writes) = self.missing(document, goods, &own)? {
                    self.tell("model.stock.move.write", &writes)?;
                    let day = json!({"effective_date": date(&document.date)});
                    self.tell(&format!("model.{OUT}.write"), &[ids, day])?;
                }
            }
            "picked" | "packed" | "shipped" => self.check_picked(goods, &own)?,
            _ => {}
        }
        self.walk(
            own,
            &[
                ("waiting", "assign_force", "assigned"),
                ("assigned", "pick", "picked"),
                ("picked", "pack", "packed"),
                ("packed", "do", "done"),
                ("shipped", "do", "done"),
            ],
        )
    }

    /// What is to be written to its moves; nothing where they and its day are as they should be.
    fn missing(&mut self, document: &Document, goods: &[Goods], own: &Own) -> Told<Option<Vec<Value>>> {
        let fields = ["inventory_moves", "outgoing_moves", "effective_date"];
        let rows = self.records(OUT, &json!([own.id]), &fields)?;
        let row = rows.first().cloned().unwrap_or_default();
        // Where storage and output are one place there is nothing to pick.
        let is_picked = row["inventory_moves"].as_array().is_some_and(|moves| !moves.is_empty());
        let ids = if is_picked { &row["inventory_moves"] } else { &row["outgoing_moves"] };
        let moves = self.records("stock.move", ids, &MOVE_FIELDS)?;
        let filled = fill(&moves, goods)?;
        let is_set = filled.iter().all(|one| {
            let row = moves.iter().find(|row| id_of(&row["id"]) == one.id);
            let quantity = row.and_then(|row| quantity::decimal(&row["quantity"]));
            quantity == Some(one.quantity) && one.lot.is_none() && one.place.is_none()
        });
        // The day is written last: it says that the rest was.
        if is_set && row["effective_date"] == date(&document.date) {
            return Ok(None);
        }
        write_params(&filled, Some("from_location")).map(Some)
    }

    /// Picked by hand there, or by us before an answer was lost: what was picked must be what went.
    fn check_picked(&mut self, goods: &[Goods], own: &Own) -> Told<()> {
        let rows = self.records(OUT, &json!([own.id]), &["outgoing_moves"])?;
        let ids = rows.first().map(|row| row["outgoing_moves"].clone()).unwrap_or_default();
        let mut sums: BTreeMap<i64, Decimal> = BTreeMap::new();
        for row in self.records("stock.move", &ids, &MOVE_FIELDS)? {
            *sums.entry(id_of(&row["product"])).or_default() += quantity::decimal(&row["quantity"]).unwrap_or_default();
        }
        for good in goods {
            *sums.entry(good.product.id).or_default() -= good.quantity;
        }
        if sums.values().all(Decimal::is_zero) {
            return Ok(());
        }
        let reason =
            format!("{} was picked with other quantities than went: take it back to waiting there", own.name());
        Err(reject("STATE", reason))
    }
}

fn resource(id: i64) -> String {
    format!("{OUT},{id}")
}

/// Words by which the ERP's people see whose doing it is, and we find it again.
fn note(document: &Document) -> String {
    format!("docksync {}", document.key)
}

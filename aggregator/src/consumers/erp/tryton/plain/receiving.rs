//! What comes in: goods of purchases by a supplier's shipment, goods of customers by a return. Both are made by us and carry the key in
//! their reference.

use serde_json::{Value, json};

use super::{
    FOUND_MAX, Plain, Told,
    catalog::Warehouse,
    goods::{Filled, Goods, MOVE_FIELDS, date, exact, fill, write_params},
    id_of,
    parts::{IN, INCOMING, Own, RETURN, ambiguous},
};
use crate::consumers::erp::{document::Document, single::reject};

impl Plain {
    /// A supplier's shipment with the open moves of the purchase that goods came for.
    pub(super) fn make_receipt(&mut self, document: &Document, warehouse: Warehouse, goods: &[Goods]) -> Told<Own> {
        let (party, open) = self.purchase(document, warehouse)?;
        let taken: Vec<i64> = fill(&open, goods)?.iter().filter(|f| !f.quantity.is_zero()).map(|f| f.id).collect();
        let values = json!({
            "reference": document.key, "supplier": party, "warehouse": warehouse.id, "warehouse_input": warehouse.input,
            "warehouse_storage": warehouse.storage, "effective_date": date(&document.date),
            "incoming_moves": [["add", taken]],
        });
        self.create(IN, &values)
    }

    /// The supplier and the moves that wait for goods.
    fn purchase(&mut self, document: &Document, warehouse: Warehouse) -> Told<(Value, Vec<Value>)> {
        let reference = document.reference.as_deref().unwrap_or_default();
        let domain =
            json!([["OR", ["reference", "=", reference], ["number", "=", reference]], ["state", "=", "processing"]]);
        let fields = ["number", "party", "warehouse", "moves"];
        let found = self.rows_if_any("purchase.purchase", domain, FOUND_MAX, &fields)?.unwrap_or_default();
        let purchase = match found.as_slice() {
            [one] => one,
            [] => {
                let reason = format!("Tryton has no open purchase {reference} (received)");
                return Err(reject("UNKNOWN_DOCUMENT", reason));
            }
            _ => return Err(ambiguous(reference, &found)),
        };
        if id_of(&purchase["warehouse"]) != warehouse.id {
            return Err(reject("CONFLICT", format!("purchase {reference} is another warehouse's")));
        }
        let mut moves = self.records("stock.move", &purchase["moves"], &MOVE_FIELDS)?;
        moves.retain(|row| row["state"] == "draft" && row["shipment"].is_null());
        Ok((purchase["party"].clone(), moves))
    }

    /// Sets its moves to what came, and takes it to done.
    pub(super) fn receive(&mut self, goods: &[Goods], own: Own) -> Told<Own> {
        if own.state == "draft" {
            let rows = self.records(IN, &json!([own.id]), &["incoming_moves"])?;
            let ids = rows.first().map(|row| row["incoming_moves"].clone()).unwrap_or_default();
            let moves = self.records("stock.move", &ids, &MOVE_FIELDS)?;
            let filled = fill(&moves, goods)?;
            self.tell("model.stock.move.write", &write_params(&filled, None)?)?;
        }
        self.walk(own, &INCOMING)
    }

    /// A return of what the order's shipments took away.
    pub(super) fn make_return(&mut self, document: &Document, warehouse: Warehouse, goods: &[Goods]) -> Told<Own> {
        let reference = document.reference.as_deref().unwrap_or_default();
        let shipped: Vec<Value> = self.shipments(document)?.into_iter().filter(|row| row["state"] == "done").collect();
        let ids: Vec<Value> = shipped.iter().map(|row| row["id"].clone()).collect();
        let parties =
            self.records(super::parts::OUT, &json!(ids), &["customer", "delivery_address", "outgoing_moves"])?;
        let Some(first) = parties.first() else {
            let reason = format!("Tryton has no shipment for {reference} that is done ({})", document.kind);
            return Err(reject("UNKNOWN_DOCUMENT", reason));
        };
        let moves: Vec<Value> =
            parties.iter().flat_map(|row| row["outgoing_moves"].as_array().cloned().unwrap_or_default()).collect();
        let moves = self.records("stock.move", &json!(moves), &MOVE_FIELDS)?;
        let filled = fill(&moves, goods)?;
        let back = filled.iter().filter(|one| !one.quantity.is_zero());
        let back = back.map(|one| returned(one, &moves, warehouse)).collect::<Told<Vec<Value>>>()?;
        let values = json!({
            "reference": document.key, "customer": first["customer"], "contact_address": first["delivery_address"],
            "warehouse": warehouse.id, "warehouse_input": warehouse.input, "warehouse_storage": warehouse.storage,
            "effective_date": date(&document.date), "incoming_moves": [["create", back]],
        });
        self.create(RETURN, &values)
    }
}

/// The move that takes back what another took away, at its price.
fn returned(filled: &Filled, moves: &[Value], warehouse: Warehouse) -> Told<Value> {
    let of = moves.iter().find(|row| id_of(&row["id"]) == filled.id).cloned().unwrap_or_default();
    let mut values = json!({
        "product": of["product"], "unit": of["unit"], "quantity": exact(filled.quantity)?,
        "from_location": of["to_location"], "to_location": warehouse.input,
        "unit_price": of["unit_price"], "currency": of["currency"], "origin": format!("stock.move,{}", filled.id),
    });
    if let Some(lot) = filled.lot {
        values["lot"] = json!(lot);
    }
    Ok(values)
}

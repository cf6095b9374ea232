//! What only moves within the company: adjustments, counts, changes of status, goods on their way between warehouses.
//!
//! One internal shipment for each pair of places, all of a document made, and taken from state to state, in one call each: a document
//! is there whole or not at all, and so is its effect. The first carries the key as its reference, the others the key with their number.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    batch::Told,
    catalog::Warehouse,
    doing::{Doing, Goods, date, exact, name},
};
use crate::consumers::{LookUp, Outcome, erp::single::reject};

const MODEL: &str = "stock.shipment.internal";
const FIELDS: &[&str] = &["reference", "state", "number"];
/// Pairs of places of one document: there are as many as stock statuses, and few.
const LEGS_MAX: usize = 32;
/// Buttons on the way from draft to done (trytond_stock 8.2, `shipment.py`).
const WAY: [(&str, &str, &str); 4] = [
    ("request", "draft", "draft"),
    ("draft", "wait", "waiting"),
    ("waiting", "assign_force", "assigned"),
    ("assigned", "do", "done"),
];

/// Goods from one place to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) goods: Vec<(Goods, Decimal)>,
}

/// Puts goods onto the leg between two places.
pub(super) fn put(legs: &mut Vec<Leg>, (from, to): (i64, i64), goods: &Goods, quantity: Decimal) {
    if quantity.is_zero() || from == to {
        return;
    }
    let goods = (goods.clone(), quantity);
    match legs.iter_mut().find(|leg| (leg.from, leg.to) == (from, to)) {
        Some(leg) => leg.goods.push(goods),
        None => legs.push(Leg { from, to, goods: vec![goods] }),
    }
}

/// References of the legs of a document.
fn references(base: &str, legs: usize) -> Vec<Value> {
    (0..legs).map(|at| if at == 0 { json!(base) } else { json!(format!("{base}/{}", at + 1)) }).collect()
}

impl Doing<'_> {
    /// Brings a document of this kind.
    pub(super) async fn bring_internal(&self) -> Told<Outcome> {
        let (base, legs) = self.internal().await?;
        self.take_legs(&base, &legs).await
    }

    /// Whether it was brought.
    pub(super) async fn find_internal(&self) -> Told<LookUp> {
        self.find_legs(&self.internal_reference()).await
    }

    fn internal_reference(&self) -> String {
        if self.document.kind == "transferred" { self.transfer_reference() } else { self.document.key.clone() }
    }

    async fn internal(&self) -> Told<(String, Vec<Leg>)> {
        let document = self.document;
        let warehouse = self.warehouse(&document.site).await?;
        let goods = self.goods(&warehouse).await?;
        let mut legs = Vec::new();
        for (good, line) in goods.iter().zip(&document.lines) {
            let place = good.place.unwrap_or(warehouse.storage);
            let account = match &line.account {
                Some(code) => Some(self.account(&warehouse, code).await?),
                None => None,
            };
            let booked = || account.map_or_else(|| lost(&warehouse), Ok);
            let ends = match document.kind {
                "moved" => (place, good.to_place.unwrap_or(warehouse.storage)),
                "transferred" if line.to_location.is_some() => (place, self.transit()?),
                // Nobody told where it goes: it is missing until a person or a receipt finds it.
                "transferred" => (place, lost(&warehouse)?),
                _ if good.quantity < Decimal::ZERO => (place, booked()?),
                _ => (booked()?, place),
            };
            put(&mut legs, ends, good, good.quantity.abs());
        }
        if legs.len() > LEGS_MAX {
            return Err(reject("QUANTITY", format!("it moves goods between {} pairs of places", legs.len())));
        }
        Ok((self.internal_reference(), legs))
    }

    /// Where goods lie between two warehouses.
    pub(super) fn transit(&self) -> Told<i64> {
        let reason = "the stock configuration of Tryton names no transit location for internal shipments";
        self.shared.facts.transit.ok_or_else(|| reject("ERP_SETUP", reason.to_owned()))
    }

    /// Whether the legs under a reference are done.
    pub(super) async fn find_legs(&self, base: &str) -> Told<LookUp> {
        let rows = self.own_legs(base, LEGS_MAX).await?;
        let is_done = !rows.is_empty() && rows.iter().all(|row| row["state"] == "done");
        // What is not done has moved nothing, and is taken up when the event goes again.
        Ok(if is_done { LookUp::Found(names(&rows)) } else { LookUp::Absent })
    }

    async fn own_legs(&self, base: &str, legs: usize) -> Told<Vec<Value>> {
        let references = references(base, legs);
        let rows = self.find(MODEL, &["reference"], references.clone(), json!([]), FIELDS, 2).await?;
        let is_twice = |reference: &&Value| rows.iter().filter(|row| row["reference"] == **reference).count() > 1;
        match references.iter().find(is_twice) {
            None => Ok(rows),
            Some(reference) => {
                let reason = format!("Tryton has several internal shipments {reference}: {}", names(&rows));
                Err(reject("AMBIGUOUS_DOCUMENT", reason))
            }
        }
    }

    /// Makes the legs, or takes up what there is of them, and takes them to done.
    pub(super) async fn take_legs(&self, base: &str, legs: &[Leg]) -> Told<Outcome> {
        if legs.is_empty() {
            return Ok(Outcome::Applied(String::new()));
        }
        let mut rows = self.own_legs(base, legs.len()).await?;
        if rows.is_empty() {
            rows = self.make_legs(base, legs).await?;
        } else if rows.iter().all(|row| row["state"] == "done") {
            return Ok(Outcome::AlreadyApplied(names(&rows)));
        }
        if rows.len() != legs.len() || rows.iter().any(|row| row["state"] == "cancelled") {
            let reason = format!("a part of {} was cancelled or is missing in Tryton", names(&rows));
            return Ok(Outcome::NeedsDecision { reason });
        }
        for (before, button, after) in WAY {
            let at: Vec<i64> =
                rows.iter().filter(|row| row["state"] == before).filter_map(|row| row["id"].as_i64()).collect();
            if at.is_empty() {
                continue;
            }
            self.press(MODEL, button, at).await?;
            for row in rows.iter_mut().filter(|row| row["state"] == before) {
                row["state"] = json!(after);
            }
            if button == "wait" {
                // Only now they have their numbers.
                rows = self.own_legs(base, legs.len()).await?;
            }
        }
        if rows.iter().all(|row| row["state"] == "done") {
            return Ok(Outcome::Applied(names(&rows)));
        }
        let reason = format!("{} is in a state that Docksync does not know", names(&rows));
        Ok(Outcome::NeedsDecision { reason })
    }

    async fn make_legs(&self, base: &str, legs: &[Leg]) -> Told<Vec<Value>> {
        let (day, company) = (date(&self.day()?), self.shared.facts.company);
        let mut records = Vec::with_capacity(legs.len());
        for (leg, reference) in legs.iter().zip(references(base, legs.len())) {
            let mut moves = Vec::with_capacity(leg.goods.len());
            for (good, quantity) in &leg.goods {
                let mut values = json!({
                    "product": good.product.id, "unit": good.product.unit.id, "quantity": exact(*quantity)?,
                    "from_location": leg.from, "to_location": leg.to, "company": company,
                });
                if let Some(lot) = good.lot {
                    values["lot"] = json!(lot);
                }
                moves.push(values);
            }
            records.push(json!({
                "reference": reference, "company": company, "from_location": leg.from, "to_location": leg.to,
                "planned_date": day, "planned_start_date": day, "effective_date": day, "moves": [["create", moves]],
            }));
        }
        let ids = self.create(MODEL, records).await?;
        Ok(ids.into_iter().map(|id| json!({"id": id, "state": "draft"})).collect())
    }
}

fn lost(warehouse: &Warehouse) -> Told<i64> {
    warehouse.lost.ok_or_else(|| {
        reject("ERP_SETUP", format!("warehouse {} of Tryton has no lost and found location", warehouse.code))
    })
}

fn names(rows: &[Value]) -> String {
    let names: Vec<String> = rows.iter().map(|row| name(MODEL, row)).collect();
    names.join(", ")
}

//! The documents of Tryton that an event makes or takes to their end, and how each is walked there.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    FOUND_MAX, NEEDS_MODULE, Plain, Told,
    catalog::Warehouse,
    goods::{Goods, date, exact},
    id_of,
};
use crate::consumers::{
    Outcome,
    erp::{document::Document, single::reject},
};

/// Models of shipments.
pub(super) const OUT: &str = "stock.shipment.out";
pub(super) const IN: &str = "stock.shipment.in";
pub(super) const RETURN: &str = "stock.shipment.out.return";
const INTERNAL: &str = "stock.shipment.internal";

/// State, button, state behind it.
pub(super) type Button = (&'static str, &'static str, &'static str);

/// How what came in is taken on.
pub(super) const INCOMING: [Button; 2] = [("draft", "receive", "received"), ("received", "do", "done")];

/// A document in Tryton that belongs to the event.
#[derive(Debug, Clone)]
pub(super) struct Own {
    pub(super) model: &'static str,
    pub(super) id: i64,
    pub(super) state: String,
    number: String,
}

impl Own {
    pub(super) fn of(model: &'static str, row: &Value) -> Self {
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        Self { model, id: id_of(&row["id"]), state: text("state"), number: text("number") }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == "done"
    }

    /// As people find it there.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.model, self.number)
    }
}

/// One document of an event.
#[derive(Debug)]
pub(super) enum Part {
    /// The shipment that Tryton has for the order.
    Shipment { warehouse: Warehouse, goods: Vec<Goods> },
    /// A supplier's shipment for open moves of a purchase.
    Receipt { warehouse: Warehouse, goods: Vec<Goods> },
    /// A customer's return of what was shipped.
    Return { warehouse: Warehouse, goods: Vec<Goods> },
    /// Goods between two places of a site.
    Internal { reference: String, from: i64, to: i64, goods: Vec<Goods> },
}

impl Plain {
    /// The documents of an event, in the order in which they come about; always the same for the same event.
    pub(super) fn parts(&mut self, document: &Document) -> Told<Vec<Part>> {
        let warehouse = self.warehouse(&document.site)?;
        if matches!(document.kind, "transferred" | "picked" | "packed") {
            let reason =
                format!("a Tryton without the module docksync cannot be told that goods were {}", document.kind);
            return Err(reject(NEEDS_MODULE, reason));
        }
        let goods = self.goods(document, warehouse)?;
        let mut parts = Vec::new();
        match document.kind {
            "shipped" => parts.push(Part::Shipment { warehouse, goods }),
            "received" | "returned" | "voided" => {
                let aside = asides(&goods, warehouse);
                parts.push(match document.kind {
                    "received" => Part::Receipt { warehouse, goods },
                    _ => Part::Return { warehouse, goods },
                });
                parts.extend(internals(document, aside, 1));
            }
            "adjusted" | "counted" => {
                let ends = corrections(document, &goods, warehouse)?;
                parts.extend(internals(document, ends, 0));
            }
            _ => {
                let ends =
                    goods.iter().map(|g| (g.place.unwrap_or(warehouse.storage), g.to.unwrap_or(warehouse.storage)));
                parts.extend(internals(document, ends.zip(goods.clone()).collect(), 0));
            }
        }
        Ok(parts)
    }

    /// What there is of a part, by the event's key.
    pub(super) fn own(&mut self, document: &Document, part: &Part) -> Told<Option<Own>> {
        match part {
            Part::Shipment { .. } => self.own_shipment(document),
            Part::Receipt { .. } => self.by_reference(IN, &document.key),
            Part::Return { .. } => self.by_reference(RETURN, &document.key),
            Part::Internal { reference, .. } => self.by_reference(INTERNAL, reference),
        }
    }

    /// Makes or claims it; nothing has moved then.
    pub(super) fn make(&mut self, document: &Document, part: &Part) -> Told<Own> {
        match part {
            Part::Shipment { warehouse, .. } => self.claim(document, *warehouse),
            Part::Receipt { warehouse, goods } => self.make_receipt(document, *warehouse, goods),
            Part::Return { warehouse, goods } => self.make_return(document, *warehouse, goods),
            Part::Internal { reference, from, to, goods } => {
                let each = |good: &Goods| {
                    let mut values = json!({
                        "product": good.product.id, "unit": good.product.unit, "quantity": exact(good.quantity.abs())?,
                        "from_location": from, "to_location": to,
                    });
                    if let Some(lot) = good.lot {
                        values["lot"] = json!(lot);
                    }
                    Ok(values)
                };
                let moves = goods.iter().map(each).collect::<Told<Vec<Value>>>()?;
                let day = date(&document.date);
                let values = json!({
                    "reference": reference, "from_location": from, "to_location": to, "effective_date": day,
                    "planned_date": day, "planned_start_date": day, "moves": [["create", moves]],
                });
                self.create(INTERNAL, &values)
            }
        }
    }

    /// Takes it to its end.
    pub(super) fn finish(&mut self, document: &Document, part: &Part, own: Own) -> Told<Own> {
        match part {
            Part::Shipment { goods, .. } => self.ship(document, goods, own),
            Part::Receipt { goods, .. } => self.receive(goods, own),
            Part::Return { .. } => self.walk(own, &INCOMING),
            Part::Internal { .. } => self.walk(
                own,
                &[
                    ("request", "draft", "draft"),
                    ("draft", "wait", "waiting"),
                    ("waiting", "assign_force", "assigned"),
                    ("assigned", "do", "done"),
                    ("shipped", "do", "done"),
                ],
            ),
        }
    }

    /// The document that carries a key in its reference.
    fn by_reference(&mut self, model: &'static str, reference: &str) -> Told<Option<Own>> {
        let rows = self.rows(model, json!([["reference", "=", reference]]), FOUND_MAX, &["state", "number"])?;
        match rows.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(Own::of(model, one))),
            _ => Err(ambiguous(reference, &rows)),
        }
    }

    /// Makes a document: a draft, which moves nothing.
    pub(super) fn create(&mut self, model: &'static str, values: &Value) -> Told<Own> {
        let ids = self.tell(&format!("model.{model}.create"), &[json!([values])])?;
        Ok(Own { model, id: id_of(&ids[0]), state: "draft".to_owned(), number: String::new() })
    }

    pub(super) fn reread(&mut self, model: &'static str, ids: &Value) -> Told<Own> {
        let rows = self.records(model, ids, &["state", "number"])?;
        rows.first().map(|row| Own::of(model, row)).ok_or_else(|| reject("ERP_FAULT", format!("{model} {ids} is gone")))
    }

    /// Presses the button of each state until it is done, and sees that it is: some buttons do less than they are asked and say nothing.
    pub(super) fn walk(&mut self, own: Own, buttons: &[Button]) -> Told<Own> {
        let mut state = own.state.as_str();
        let ids = json!([own.id]);
        while state != "done" {
            if state == "cancelled" {
                return Err(Outcome::NeedsDecision { reason: format!("{} was cancelled in Tryton", own.name()) });
            }
            let Some((_, button, next)) = buttons.iter().find(|(from, ..)| *from == state) else {
                return Err(reject("STATE", format!("{} is {state}, from where it is not taken on", own.name())));
            };
            self.tell(&format!("model.{}.{button}", own.model), std::slice::from_ref(&ids))?;
            state = next;
        }
        let own = self.reread(own.model, &ids)?;
        if own.is_done() {
            return Ok(own);
        }
        Err(reject("STATE", format!("{} is {} after every step to its end", own.name(), own.state)))
    }
}

pub(super) fn ambiguous(reference: &str, rows: &[Value]) -> Outcome {
    let names: Vec<&str> = rows.iter().filter_map(|row| row["number"].as_str()).collect();
    reject("AMBIGUOUS_DOCUMENT", format!("Tryton has several documents for {reference}: {}", names.join(", ")))
}

/// One internal shipment for each pair of places; its reference is the key, with a number behind it for all but the first.
fn internals(document: &Document, ends: Vec<((i64, i64), Goods)>, first: usize) -> Vec<Part> {
    let mut by_ends: BTreeMap<(i64, i64), Vec<Goods>> = BTreeMap::new();
    for (ends, good) in ends {
        if !good.quantity.is_zero() && ends.0 != ends.1 {
            by_ends.entry(ends).or_default().push(good);
        }
    }
    let reference = |n: usize| if n == 0 { document.key.clone() } else { format!("{}/{n}", document.key) };
    let part = |(n, ((from, to), goods)): (usize, ((i64, i64), Vec<Goods>))| Part::Internal {
        reference: reference(n + first),
        from,
        to,
        goods,
    };
    by_ends.into_iter().enumerate().map(part).collect()
}

/// Goods that came and lie elsewhere than where available stock lies: they go there once they are in.
fn asides(goods: &[Goods], warehouse: Warehouse) -> Vec<((i64, i64), Goods)> {
    let elsewhere = goods.iter().filter_map(|good| Some((good.to.or(good.place)?, good)));
    elsewhere.map(|(to, good)| ((warehouse.storage, to), good.clone())).collect()
}

/// What was lost goes to its account, what was found comes from there.
fn corrections(document: &Document, goods: &[Goods], warehouse: Warehouse) -> Told<Vec<((i64, i64), Goods)>> {
    let each = |good: &Goods| {
        let lost = good.account.or(warehouse.lost).ok_or_else(|| {
            reject("ERP_SETUP", format!("warehouse {} has no lost and found location in Tryton", document.site))
        })?;
        let place = good.place.unwrap_or(warehouse.storage);
        let ends = if good.quantity < Decimal::ZERO { (place, lost) } else { (lost, place) };
        Ok((ends, good.clone()))
    };
    goods.iter().map(each).collect()
}

//! Goods of a document in Tryton's records, and how they are spread over the moves of an order.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    Plain, Told,
    catalog::{Product, Warehouse},
    id_of,
};
use crate::consumers::erp::{
    document::{Document, DocumentLine},
    quantity,
    single::reject,
    spread::spread,
};

/// Goods of one line.
#[derive(Debug, Clone)]
pub(super) struct Goods {
    pub(super) code: String,
    pub(super) product: Product,
    /// Signed for adjustments and counts.
    pub(super) quantity: Decimal,
    pub(super) lot: Option<i64>,
    /// Another place than where available stock lies.
    pub(super) place: Option<i64>,
    pub(super) to: Option<i64>,
    /// Where it is booked, where a reason says so.
    pub(super) account: Option<i64>,
}

/// Fields of a move that spreading needs.
pub(super) const MOVE_FIELDS: [&str; 8] =
    ["product", "unit", "quantity", "state", "shipment", "to_location", "unit_price", "currency"];

impl Plain {
    pub(super) fn goods(&mut self, document: &Document, warehouse: Warehouse) -> Told<Vec<Goods>> {
        document.lines.iter().map(|line| self.goods_of(document, line, warehouse)).collect()
    }

    fn goods_of(&mut self, document: &Document, line: &DocumentLine, warehouse: Warehouse) -> Told<Goods> {
        let product = self.product(&line.product)?;
        if line.unit.as_ref().is_some_and(|unit| *unit != product.symbol) {
            let reason = format!("stock of {} is kept in {}: map the unit to it", line.product, product.symbol);
            return Err(reject("UNIT", reason));
        }
        let quantity: Decimal =
            line.quantity.parse().map_err(|_| reject("QUANTITY", format!("{} is no decimal", line.quantity)))?;
        let may_be_new = match document.kind {
            "received" | "returned" | "voided" => true,
            "adjusted" | "counted" => quantity > Decimal::ZERO,
            _ => false,
        };
        let lot = match line.lot.as_deref() {
            Some(number) => self.lot(&product, number, may_be_new)?,
            None => None,
        };
        let place = line.location.as_deref().map(|code| self.place(warehouse, code)).transpose()?;
        let to = line.to_location.as_deref().map(|code| self.place(warehouse, code)).transpose()?;
        let account = line.account.as_deref().map(|code| self.account(warehouse, code)).transpose()?;
        Ok(Goods { code: line.product.clone(), product, quantity, lot, place, to, account })
    }
}

/// What is written to one move.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Filled {
    pub(super) id: i64,
    pub(super) quantity: Decimal,
    pub(super) lot: Option<i64>,
    pub(super) place: Option<i64>,
}

impl Filled {
    /// Absolute values, so that they can be written again.
    pub(super) fn values(&self, place_field: Option<&str>) -> Told<Value> {
        let mut values = json!({"quantity": exact(self.quantity)?});
        if let Some(lot) = self.lot {
            values["lot"] = json!(lot);
        }
        if let (Some(field), Some(place)) = (place_field, self.place) {
            values[field] = json!(place);
        }
        Ok(values)
    }
}

/// Spreads goods over moves: each up to what it has, what is more on the last of its product; every move gets a value.
pub(super) fn fill(moves: &[Value], goods: &[Goods]) -> Told<Vec<Filled>> {
    let quantity_of = |row: &Value| quantity::decimal(&row["quantity"]).unwrap_or_default().normalize();
    let mut left: Vec<Decimal> = moves.iter().map(quantity_of).collect();
    let mut filled: BTreeMap<i64, Filled> = moves
        .iter()
        .map(|row| id_of(&row["id"]))
        .map(|id| (id, Filled { id, quantity: Decimal::ZERO, lot: None, place: None }))
        .collect();
    for good in goods.iter().filter(|good| !good.quantity.is_zero()) {
        let of_product: Vec<usize> =
            (0..moves.len()).filter(|at| id_of(&moves[*at]["product"]) == good.product.id).collect();
        if of_product.is_empty() {
            return Err(reject("UNMATCHED_LINE", format!("the document has no open move of {}", good.code)));
        }
        if of_product.iter().any(|at| id_of(&moves[*at]["unit"]) != good.product.unit) {
            return Err(reject("UNIT", format!("the document has {} in another unit than its stock", good.code)));
        }
        let mut rooms: Vec<Decimal> = of_product.iter().map(|at| left[*at]).collect();
        for (at, part) in spread(&mut rooms, good.quantity) {
            let target = of_product[at];
            left[target] = rooms[at];
            let Some(entry) = filled.get_mut(&id_of(&moves[target]["id"])) else { continue };
            let is_other = !entry.quantity.is_zero() && (entry.lot, entry.place) != (good.lot, good.place);
            if is_other {
                let reason = format!("{} is of several lots or places, which only the module can tell", good.code);
                return Err(reject(super::NEEDS_MODULE, reason));
            }
            entry.quantity += part;
            (entry.lot, entry.place) = (good.lot, good.place);
        }
    }
    Ok(filled.into_values().collect())
}

/// Parameters of one `write` for many moves: one transaction (trytond, `ModelStorage.write` takes pairs).
pub(super) fn write_params(filled: &[Filled], place_field: Option<&str>) -> Told<Vec<Value>> {
    let mut params = Vec::with_capacity(filled.len() * 2);
    for one in filled {
        params.push(json!([one.id]));
        params.push(one.values(place_field)?);
    }
    Ok(params)
}

pub(super) fn exact(quantity: Decimal) -> Told<Value> {
    quantity::number(quantity)
        .ok_or_else(|| reject("QUANTITY", format!("{quantity} has more digits than a number of Tryton holds")))
}

/// A day as Tryton's JSON has it (`protocols/jsonrpc.py`).
pub(super) fn date(day: &str) -> Value {
    let mut parts = day.split('-').map(|part| part.parse::<i64>().unwrap_or_default());
    let mut next = || parts.next().unwrap_or_default();
    json!({"__class__": "date", "year": next(), "month": next(), "day": next()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goods(quantity: i64, lot: Option<i64>) -> Goods {
        let product = Product { id: 9, unit: 1, symbol: "u".to_owned() };
        let (place, to, account) = (None, None, None);
        Goods { code: "SKU-9".to_owned(), product, quantity: quantity.into(), lot, place, to, account }
    }

    fn moves(quantities: &[f64]) -> Vec<Value> {
        let row = |(n, q): (usize, &f64)| json!({"id": n + 1, "product": 9, "unit": 1, "quantity": q});
        quantities.iter().enumerate().map(row).collect()
    }

    fn told(moves: &[Value], goods: &[Goods]) -> Vec<i64> {
        let filled = fill(moves, goods).unwrap();
        filled.iter().map(|f| i64::try_from(f.quantity).unwrap()).collect()
    }

    #[test]
    fn what_was_written_once_is_written_alike_again() {
        for (planned, went, expected) in
            [([5.0, 5.0], 7, [5, 2]), ([5.0, 5.0], 3, [3, 0]), ([5.0, 5.0], 12, [5, 7]), ([5.0, 5.0], 0, [0, 0])]
        {
            let first = told(&moves(&planned), &[goods(went, None)]);
            let written: Vec<f64> = first.iter().map(|q| *q as f64).collect();

            assert_eq!(first, expected);
            assert_eq!(told(&moves(&written), &[goods(went, None)]), expected, "taken up again");
        }
    }

    #[test]
    fn what_a_move_cannot_say_is_refused() {
        let code = |moves: &[Value], goods: &[Goods]| match fill(moves, goods) {
            Err(crate::consumers::Outcome::Rejected { code, .. }) => code,
            other => panic!("{other:?}"),
        };
        let other_unit = [json!({"id": 1, "product": 9, "unit": 2, "quantity": 5.0})];

        assert_eq!(code(&[], &[goods(1, None)]), "UNMATCHED_LINE");
        assert_eq!(code(&other_unit, &[goods(1, None)]), "UNIT");
        assert_eq!(code(&moves(&[5.0]), &[goods(1, Some(7)), goods(1, Some(8))]), super::super::NEEDS_MODULE);
    }

    #[test]
    fn a_day_is_written_as_tryton_reads_it() {
        assert_eq!(date("2026-11-05"), json!({"__class__": "date", "year": 2026, "month": 11, "day": 5}));
    }
}

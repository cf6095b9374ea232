//! How the goods of a document are spread over the moves of a transfer. Pure.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    Told,
    catalog::{Product, Tracking},
};
use crate::consumers::erp::{quantity, single::reject, spread::spread};

/// Goods of one line, in Odoo's records.
#[derive(Debug, Clone)]
pub(super) struct Goods {
    pub(super) product: Product,
    pub(super) quantity: Decimal,
    /// Unit that the quantity is in.
    pub(super) unit: i64,
    pub(super) lot: Option<Lot>,
    /// Other places than those of the move.
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
    /// Whether the order waits no longer for what is short.
    pub(super) is_rest_cancelled: bool,
}

/// A lot that is there, or that comes in with the goods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lot {
    Known(i64),
    New(String),
}

/// A move that is not done yet.
#[derive(Debug, Clone)]
pub(super) struct Move {
    pub(super) id: i64,
    pub(super) product: i64,
    pub(super) unit: i64,
    pub(super) demand: Decimal,
    pub(super) from: i64,
    pub(super) to: i64,
    /// Lines that reservation has made.
    pub(super) lines: Vec<i64>,
}

/// What is written to the moves of a transfer.
#[derive(Debug)]
pub(super) struct Filled {
    /// Commands for `move_ids`.
    pub(super) commands: Vec<Value>,
    /// Quantity that each move must then have.
    pub(super) expected: BTreeMap<i64, Decimal>,
    /// What becomes of what is short.
    pub(super) rest: Rest,
}

/// What becomes of what a transfer is short of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing is, or it stays on order.
    Backorder,
    /// It is no longer waited for.
    Cancel,
    /// Some lines say the one, some the other, and Odoo knows one answer for a transfer.
    Mixed,
}

/// Spreads goods over moves: each up to what it demands, what is more on the last of its product.
pub(super) fn fill(moves: &[Move], goods: &[Goods], line_unit: &str) -> Told<Filled> {
    let mut pieces: BTreeMap<i64, Vec<(Decimal, &Goods)>> = BTreeMap::new();
    let mut left: BTreeMap<i64, Decimal> = moves.iter().map(|m| (m.id, m.demand)).collect();
    for good in goods {
        let of_product = moves_for(moves, good);
        if of_product.is_empty() {
            return Err(reject("UNMATCHED_LINE", format!("the transfer has no open move of {}", good.product.code)));
        }
        if of_product.iter().any(|m| m.unit != good.unit) {
            let code = &good.product.code;
            return Err(reject(
                "UNIT",
                format!("the transfer has {code} in another unit: map the unit, or change it there"),
            ));
        }
        let mut rooms: Vec<Decimal> =
            of_product.iter().map(|of| left.get(&of.id).copied().unwrap_or_default()).collect();
        for (at, part) in spread(&mut rooms, good.quantity) {
            let id = of_product[at].id;
            pieces.entry(id).or_default().push((part, good));
            left.insert(id, rooms[at]);
        }
    }
    let commands = moves.iter().map(|of| command(of, pieces.get(&of.id).map_or(&[], Vec::as_slice), line_unit));
    let commands = commands.collect::<Told<Vec<Value>>>()?;
    let sum = |of: &Move| pieces.get(&of.id).into_iter().flatten().map(|(part, _)| *part).sum();
    let expected = moves.iter().map(|of| (of.id, sum(of))).collect();
    Ok(Filled { commands, expected, rest: rest(moves, goods, &left) })
}

/// The moves that goods may be told by: those between the same places, or else all of the product.
fn moves_for<'m>(moves: &'m [Move], good: &Goods) -> Vec<&'m Move> {
    let of_product: Vec<&Move> = moves.iter().filter(|of| of.product == good.product.id).collect();
    let between: Vec<&Move> = of_product.iter().copied().filter(|of| !good.is_elsewhere(of)).collect();
    if between.is_empty() { of_product } else { between }
}

impl Goods {
    /// Whether they go between other places than those of the move.
    fn is_elsewhere(&self, of: &Move) -> bool {
        self.from.is_some_and(|from| from != of.from) || self.to.is_some_and(|to| to != of.to)
    }
}

fn rest(moves: &[Move], goods: &[Goods], left: &BTreeMap<i64, Decimal>) -> Rest {
    let is_short = |of: &&Move| left.get(&of.id).is_some_and(|left| *left > Decimal::ZERO);
    let is_cancelled = |of: &Move| goods.iter().any(|good| good.product.id == of.product && good.is_rest_cancelled);
    let short: Vec<bool> = moves.iter().filter(is_short).map(is_cancelled).collect();
    match (short.iter().any(|cancelled| *cancelled), short.iter().all(|cancelled| *cancelled)) {
        (false, _) => Rest::Backorder,
        (true, true) => Rest::Cancel,
        (true, false) => Rest::Mixed,
    }
}

/// `[1, id, values]` updates the record (ORM reference, `Command.update`).
fn command(of: &Move, pieces: &[(Decimal, &Goods)], line_unit: &str) -> Told<Value> {
    let quantity: Decimal = pieces.iter().map(|(part, _)| *part).sum();
    if !pieces.iter().any(|(_, good)| good.lot.is_some() || good.is_elsewhere(of)) {
        return Ok(json!([1, of.id, {"quantity": exact(quantity)?, "picked": !quantity.is_zero()}]));
    }
    // `[2, id, 0]` deletes: what was reserved is not what went.
    let mut lines: Vec<Value> = of.lines.iter().map(|id| json!([2, id, 0])).collect();
    for (part, good) in pieces {
        let mut values = json!({
            "product_id": of.product, "quantity": exact(*part)?, "picked": true,
            "location_id": good.from.unwrap_or(of.from), "location_dest_id": good.to.unwrap_or(of.to),
        });
        values[line_unit] = json!(good.unit);
        match &good.lot {
            Some(Lot::Known(id)) => values["lot_id"] = json!(id),
            Some(Lot::New(name)) => values["lot_name"] = json!(name),
            None => {}
        }
        lines.push(json!([0, 0, values]));
    }
    Ok(json!([1, of.id, {"move_line_ids": lines}]))
}

pub(super) fn exact(quantity: Decimal) -> Told<Value> {
    quantity::number(quantity)
        .ok_or_else(|| reject("QUANTITY", format!("{quantity} has more digits than a number of Odoo holds")))
}

/// Whether goods of a product need a lot, and have it.
pub(super) fn check_lot(product: &Product, lot: Option<&str>) -> Told<bool> {
    match (product.tracking, lot) {
        // Odoo keeps no lots of it.
        (Tracking::None, _) => Ok(false),
        (Tracking::Lot, Some(_)) => Ok(true),
        (Tracking::Lot, None) => {
            Err(reject("LOT", format!("Odoo keeps {} by lot, and the event names none", product.code)))
        }
        (Tracking::Serial, _) => Err(reject(
            "SERIALS",
            format!("Odoo keeps {} by serial number, which this connector does not tell", product.code),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(id: i64) -> Product {
        Product { id, code: format!("SKU-{id}"), unit: 1, tracking: Tracking::None, loss: None }
    }

    fn goods(product_id: i64, quantity: i64) -> Goods {
        Goods {
            product: product(product_id),
            quantity: quantity.into(),
            unit: 1,
            lot: None,
            from: None,
            to: None,
            is_rest_cancelled: false,
        }
    }

    fn demand(id: i64, product: i64, demand: i64) -> Move {
        Move { id, product, unit: 1, demand: demand.into(), from: 8, to: 5, lines: vec![70 + id] }
    }

    fn quantities(filled: &Filled) -> Vec<(i64, i64)> {
        filled.expected.iter().map(|(id, quantity)| (*id, i64::try_from(*quantity).unwrap())).collect()
    }

    #[test]
    fn each_move_gets_what_it_demands_and_the_last_what_is_more() {
        let moves = [demand(1, 9, 4), demand(2, 9, 4), demand(3, 7, 2)];

        let short = fill(&moves, &[goods(9, 5)], "uom").unwrap();
        let over = fill(&moves, &[goods(9, 6), goods(9, 4), goods(7, 2)], "uom").unwrap();

        assert_eq!(quantities(&short), [(1, 4), (2, 1), (3, 0)]);
        assert_eq!(quantities(&over), [(1, 4), (2, 6), (3, 2)]);
        assert_eq!(short.commands[2], json!([1, 3, {"quantity": 0.0, "picked": false}]));
    }

    #[test]
    fn what_is_short_has_one_answer_or_a_person_gives_it() {
        let moves = [demand(1, 9, 4), demand(2, 7, 4)];
        let rest = |goods: &[Goods]| fill(&moves, goods, "uom").unwrap().rest;
        let cancelled = |good: Goods| Goods { is_rest_cancelled: true, ..good };

        assert_eq!(rest(&[goods(9, 1), goods(7, 1)]), Rest::Backorder);
        assert_eq!(rest(&[cancelled(goods(9, 1)), goods(7, 4)]), Rest::Cancel);
        assert_eq!(rest(&[cancelled(goods(9, 1)), goods(7, 1)]), Rest::Mixed);
        assert_eq!(rest(&[cancelled(goods(9, 4)), goods(7, 4)]), Rest::Backorder, "nothing is short");
    }

    #[test]
    fn a_lot_or_another_place_is_told_by_lines_instead_of_those_reserved() {
        let lot = Goods { lot: Some(Lot::Known(31)), from: Some(88), ..goods(9, 3) };

        let filled = fill(&[demand(1, 9, 4)], &[lot], "uom").unwrap();

        let lines = &filled.commands[0][2]["move_line_ids"];
        assert_eq!(lines[0], json!([2, 71, 0]));
        assert_eq!(lines[1][2]["lot_id"], 31);
        assert_eq!((&lines[1][2]["location_id"], &lines[1][2]["location_dest_id"]), (&json!(88), &json!(5)));
    }

    #[test]
    fn goods_of_no_move_or_in_another_unit_are_refused() {
        let code = |goods: &[Goods]| match fill(&[demand(1, 9, 4)], goods, "uom") {
            Err(crate::consumers::Outcome::Rejected { code, .. }) => code,
            other => panic!("{other:?}"),
        };

        assert_eq!(code(&[goods(8, 1)]), "UNMATCHED_LINE");
        assert_eq!(code(&[Goods { unit: 2, ..goods(9, 1) }]), "UNIT");
    }
}

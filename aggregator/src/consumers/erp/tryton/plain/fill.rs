//! How goods are dealt out to the moves of a document. Pure.
//!
//! What was dealt out once and written is dealt out the same way again, so that a document whose writing was lost can be taken up.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    batch::Told,
    catalog::id_of,
    doing::{Goods, exact},
    unit::Unit,
};
use crate::consumers::erp::{quantity, single::reject};

/// Fields that [`Move::read`] needs beside those of lots.
pub(super) const FIELDS: &[&str] = &[
    "product",
    "unit",
    "quantity",
    "internal_quantity",
    "from_location",
    "to_location",
    "origin",
    "state",
    "shipment",
    "unit_price",
    "currency",
];
/// The same, where lots are kept.
pub(super) const FIELDS_WITH_LOT: &[&str] = &[
    "product",
    "unit",
    "quantity",
    "internal_quantity",
    "from_location",
    "to_location",
    "origin",
    "state",
    "shipment",
    "unit_price",
    "currency",
    "lot",
];

/// A move of stock.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Move {
    pub(super) id: i64,
    pub(super) product: i64,
    pub(super) unit: i64,
    /// In the move's unit, and in the product's own.
    pub(super) quantity: Decimal,
    pub(super) base: Decimal,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) lot: Option<i64>,
    pub(super) origin: Option<String>,
    pub(super) shipment: Option<String>,
    pub(super) state: String,
    price: Value,
    currency: Value,
}

impl Move {
    pub(super) fn read(row: &Value) -> Option<Self> {
        Some(Self {
            id: id_of(&row["id"])?,
            product: id_of(&row["product"])?,
            unit: id_of(&row["unit"])?,
            quantity: quantity::decimal(&row["quantity"])?.normalize(),
            base: quantity::decimal(&row["internal_quantity"])?.normalize(),
            from: id_of(&row["from_location"])?,
            to: id_of(&row["to_location"])?,
            lot: id_of(&row["lot"]),
            origin: row["origin"].as_str().map(str::to_owned),
            shipment: row["shipment"].as_str().map(str::to_owned),
            state: row["state"].as_str().unwrap_or_default().to_owned(),
            price: row["unit_price"].clone(),
            currency: row["currency"].clone(),
        })
    }

    /// What it is worth, for a move that is made like it.
    pub(super) fn priced(&self) -> Value {
        if self.price.is_null() {
            return json!({});
        }
        json!({"unit_price": self.price, "currency": self.currency})
    }

    /// Whether it can still be changed.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state.as_str(), "done" | "cancelled")
    }
}

/// What sets goods of one product apart: `None` is whatever the move has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) lot: Option<i64>,
    pub(super) place: Option<i64>,
}

/// Which end of a move the place of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    From,
    To,
}

impl End {
    const fn field(self) -> &'static str {
        match self {
            Self::From => "from_location",
            Self::To => "to_location",
        }
    }

    fn of(self, of: &Move) -> i64 {
        match self {
            Self::From => of.from,
            Self::To => of.to,
        }
    }
}

/// Goods by product and key, in the product's own unit.
pub(super) type Pieces = BTreeMap<i64, BTreeMap<Key, Decimal>>;

/// The pieces of a document; its place is chosen by the caller.
pub(super) fn pieces<'g>(goods: impl IntoIterator<Item = &'g Goods>, place: impl Fn(&Goods) -> Option<i64>) -> Pieces {
    let mut pieces = Pieces::new();
    for good in goods {
        let key = Key { lot: good.lot, place: place(good) };
        *pieces.entry(good.product.id).or_default().entry(key).or_default() += good.quantity;
    }
    pieces
}

/// What a move gets of the pieces of its product, in the product's own unit.
pub(super) type Shares = BTreeMap<i64, Vec<(Key, Decimal)>>;

/// Deals pieces out: first to moves that have their lot and place already, then to any up to what is planned on it, and what is
/// more onto the last of the product.
pub(super) fn deal(moves: &[Move], pieces: &Pieces, end: End) -> Shares {
    let mut shares: Shares = moves.iter().map(|of| (of.id, Vec::new())).collect();
    for (product, wanted) in pieces {
        let mut rest: Vec<(Key, Decimal)> = wanted.iter().map(|(key, quantity)| (*key, *quantity)).collect();
        let of_product: Vec<&Move> = moves.iter().filter(|of| of.product == *product).collect();
        let mut rooms: Vec<Decimal> = of_product.iter().map(|of| of.base).collect();
        let last = of_product.len().saturating_sub(1);
        for pass in [Pass::Own, Pass::Any, Pass::Rest] {
            for (at, of) in of_product.iter().enumerate() {
                for (key, left) in &mut rest {
                    let fits = match pass {
                        Pass::Own => is_own(of, *key, end),
                        Pass::Any => true,
                        Pass::Rest => at == last,
                    };
                    let taken = if pass == Pass::Rest { *left } else { (*left).min(rooms[at]) };
                    if fits && taken > Decimal::ZERO {
                        add(shares.entry(of.id).or_default(), *key, taken);
                        *left -= taken;
                        rooms[at] -= taken;
                    }
                }
            }
        }
    }
    shares
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Own,
    Any,
    Rest,
}

fn is_own(of: &Move, key: Key, end: End) -> bool {
    let has = |wanted: Option<i64>, own: Option<i64>| wanted.is_none() || wanted == own;
    (key.lot.is_some() || key.place.is_some()) && has(key.lot, of.lot) && has(key.place, Some(end.of(of)))
}

fn add(shares: &mut Vec<(Key, Decimal)>, key: Key, quantity: Decimal) {
    match shares.iter_mut().find(|(known, _)| *known == key) {
        Some((_, sum)) => *sum += quantity,
        None => shares.push((key, quantity)),
    }
}

/// Whether every product has a move; refused where one has none.
pub(super) fn check_matched(moves: &[Move], goods: &[Goods], document: &str) -> Told<()> {
    match goods.iter().find(|good| !moves.iter().any(|of| of.product == good.product.id)) {
        None => Ok(()),
        Some(good) => {
            let reason = format!("{document} has no open move of {}", good.label);
            Err(reject("UNMATCHED_LINE", reason))
        }
    }
}

/// Commands for the field that holds the moves, `[["write", ids, values], ["create", [values]]]`; none where all is so already.
///
/// `units` has the product's own unit and the move's, by the move.
pub(super) fn commands(
    moves: &[Move],
    shares: &Shares,
    end: End,
    units: &BTreeMap<i64, (Unit, Unit)>,
    company: i64,
) -> Told<Vec<Value>> {
    let (mut written, mut made) = (Vec::new(), Vec::new());
    for of in moves {
        let Some((own, unit)) = units.get(&of.id) else { continue };
        let mut parts = shares.get(&of.id).map_or(&[][..], Vec::as_slice).iter();
        let (key, first) = parts.next().copied().unwrap_or((Key { lot: of.lot, place: None }, Decimal::ZERO));
        let values = changed(of, key, own.told_in(first, unit)?, end)?;
        if values.as_object().is_some_and(|values| !values.is_empty()) {
            written.push(json!(["write", [of.id], values]));
        }
        for (key, more) in parts {
            made.push(copy(of, *key, own.told_in(*more, unit)?, end, company)?);
        }
    }
    if !made.is_empty() {
        written.push(json!(["create", made]));
    }
    Ok(written)
}

fn changed(of: &Move, key: Key, quantity: Decimal, end: End) -> Told<Value> {
    let mut values = json!({});
    if quantity != of.quantity {
        values["quantity"] = exact(quantity)?;
    }
    if key.lot.is_some() && key.lot != of.lot {
        values["lot"] = json!(key.lot);
    }
    if let Some(place) = key.place.filter(|place| *place != end.of(of)) {
        values[end.field()] = json!(place);
    }
    Ok(values)
}

/// A move beside another, for goods of another lot or place.
fn copy(of: &Move, key: Key, quantity: Decimal, end: End, company: i64) -> Told<Value> {
    let mut values = of.priced();
    values["product"] = json!(of.product);
    values["unit"] = json!(of.unit);
    values["quantity"] = exact(quantity)?;
    values["from_location"] = json!(of.from);
    values["to_location"] = json!(of.to);
    values["company"] = json!(company);
    values["origin"] = json!(of.origin);
    if let Some(place) = key.place {
        values[end.field()] = json!(place);
    }
    if let Some(lot) = key.lot.or(of.lot) {
        values["lot"] = json!(lot);
    }
    Ok(values)
}

/// Sums by product and lot of what moves say, in the product's own unit.
pub(super) fn sums<'m>(moves: impl IntoIterator<Item = &'m Move>) -> BTreeMap<(i64, Option<i64>), Decimal> {
    let mut sums = BTreeMap::new();
    for of in moves {
        *sums.entry((of.product, of.lot)).or_default() += of.base;
    }
    sums
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn movement(id: i64, base: i64, lot: Option<i64>, to: i64) -> Move {
        let (price, currency) = (Value::Null, Value::Null);
        let (quantity, base) = (Decimal::from(base), Decimal::from(base));
        let (origin, shipment, state) = (Some("sale.line,1".to_owned()), None, "draft".to_owned());
        Move { id, product: 1, unit: 1, quantity, base, from: 3, to, lot, origin, shipment, state, price, currency }
    }

    fn wanted(parts: &[(Option<i64>, Option<i64>, i64)]) -> Pieces {
        let part = |(lot, place, n): &(Option<i64>, Option<i64>, i64)| (Key { lot: *lot, place: *place }, (*n).into());
        BTreeMap::from([(1, parts.iter().map(part).collect())])
    }

    fn dealt(moves: &[Move], pieces: &Pieces, end: End) -> Vec<(i64, Option<i64>, Option<i64>, String)> {
        let shares = deal(moves, pieces, end);
        shares
            .into_iter()
            .flat_map(|(id, parts)| parts.into_iter().map(move |(key, n)| (id, key.lot, key.place, n.to_string())))
            .collect()
    }

    #[test]
    fn each_move_gets_what_is_planned_and_the_last_what_is_more() {
        let moves = [movement(7, 4, None, 2), movement(8, 6, None, 2)];

        let short = dealt(&moves, &wanted(&[(None, None, 5)]), End::From);
        let more = dealt(&moves, &wanted(&[(None, None, 12)]), End::From);

        assert_eq!(short, [(7, None, None, "4".to_owned()), (8, None, None, "1".to_owned())]);
        assert_eq!(more, [(7, None, None, "4".to_owned()), (8, None, None, "8".to_owned())]);
    }

    #[test]
    fn what_was_dealt_once_is_dealt_the_same_again() {
        let before = [movement(7, 10, None, 2)];
        let after = [movement(7, 3, Some(31), 2), movement(8, 2, Some(32), 2)];
        let pieces = wanted(&[(Some(31), None, 3), (Some(32), None, 2)]);

        let first = dealt(&before, &pieces, End::From);
        let again = dealt(&after, &pieces, End::From);

        assert_eq!(first, [(7, Some(31), None, "3".to_owned()), (7, Some(32), None, "2".to_owned())]);
        assert_eq!(again, [(7, Some(31), None, "3".to_owned()), (8, Some(32), None, "2".to_owned())]);
    }

    #[test]
    fn goods_for_two_places_are_put_away_by_two_moves() {
        let pieces = wanted(&[(None, Some(10), 3), (None, Some(2), 7)]);

        let first = dealt(&[movement(7, 10, None, 2)], &pieces, End::To);
        let again = dealt(&[movement(7, 7, None, 2), movement(8, 3, None, 10)], &pieces, End::To);

        assert_eq!(first, [(7, None, Some(2), "7".to_owned()), (7, None, Some(10), "3".to_owned())]);
        assert_eq!(again, [(7, None, Some(2), "7".to_owned()), (8, None, Some(10), "3".to_owned())]);
    }

    #[test]
    fn only_what_differs_is_written_and_what_goes_beside_is_made() {
        let moves = [movement(7, 10, None, 2), movement(8, 4, None, 2)];
        let pieces = wanted(&[(None, Some(10), 3), (None, Some(2), 7)]);
        let unit = Unit { id: 1, symbol: "u".to_owned(), category: 1, factor: 1.into(), rate: 1.into(), digits: 0 };
        let units = moves.iter().map(|of| (of.id, (unit.clone(), unit.clone()))).collect();

        let commands = commands(&moves, &deal(&moves, &pieces, End::To), End::To, &units, 1).unwrap();

        assert_eq!(commands[0], json!(["write", [7], {"quantity": 7.0}]));
        assert_eq!(commands[1], json!(["write", [8], {"quantity": 0.0}]));
        let made = &commands[2][1][0];
        assert_eq!(
            (&made["quantity"], &made["to_location"], &made["origin"]),
            (&json!(3.0), &json!(10), &json!("sale.line,1"))
        );
        let same =
            super::commands(&moves[..1], &deal(&moves[..1], &wanted(&[(None, None, 10)]), End::To), End::To, &units, 1);
        assert_eq!(same, Ok(Vec::new()));
    }
}

//! What stands in the output place of a shipment that was picked, when another quantity leaves than was picked.
//!
//! The pick is done and stays done: goods that were picked and did not go are back in the storage place, and goods that went unpicked
//! came from there. Tryton has no document for that, so it is an internal shipment, done before the goods leave.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::{
    batch::Told,
    choose::Found,
    doing::{Doing, Goods},
    fill::{self, Move},
    internal::{Leg, put},
};
use crate::consumers::Outcome;

/// Quantities by product and lot.
type Sums = BTreeMap<(i64, Option<i64>), Decimal>;

/// What was picked more than it went, or less, by product and lot. Where nobody told lots of what went, those of the pick count
/// together, under their lot where it is one.
fn surplus(picked: &Sums, goods: &[Goods]) -> Vec<((i64, Option<i64>), Decimal)> {
    let mut went: Sums = Sums::new();
    for good in goods {
        *went.entry((good.product.id, good.lot)).or_default() += good.quantity;
    }
    let products: BTreeSet<i64> = picked.keys().chain(went.keys()).map(|(product, _)| *product).collect();
    let mut all = Vec::new();
    for product in products {
        let of = |sums: &Sums| -> Sums {
            sums.iter().filter(|((of, _), _)| *of == product).map(|(key, quantity)| (*key, *quantity)).collect()
        };
        let (picked, went) = (of(picked), of(&went));
        if went.keys().any(|(_, lot)| lot.is_some()) {
            let keys: BTreeSet<(i64, Option<i64>)> = picked.keys().chain(went.keys()).copied().collect();
            let sum = |sums: &Sums, key| sums.get(key).copied().unwrap_or_default();
            all.extend(keys.iter().map(|key| (*key, sum(&picked, key) - sum(&went, key))));
            continue;
        }
        let mut lots = picked.keys().map(|(_, lot)| *lot);
        let lot = match (lots.next(), lots.next()) {
            (Some(lot), None) => lot,
            _ => None,
        };
        all.push(((product, lot), picked.values().sum::<Decimal>() - went.values().sum::<Decimal>()));
    }
    all.retain(|(_, quantity)| !quantity.is_zero());
    all
}

impl Doing<'_> {
    /// Brings the output place in line with what leaves it.
    pub(super) async fn correct_output(&self, shipment: &Found, all: &[Move], goods: &[Goods]) -> Told<()> {
        let picked = fill::sums(all.iter().filter(|of| of.to == shipment.output && of.state == "done"));
        let mut legs: Vec<Leg> = Vec::new();
        for ((product, lot), quantity) in surplus(&picked, goods) {
            let ends = if quantity > Decimal::ZERO {
                (shipment.output, shipment.storage)
            } else {
                (shipment.storage, shipment.output)
            };
            let goods = self.goods_like(product, quantity.abs(), lot, None).await?;
            put(&mut legs, ends, &goods, quantity.abs());
        }
        let base = format!("{}/out", self.document.key);
        match self.take_legs(&base, &legs).await? {
            Outcome::Applied(_) | Outcome::AlreadyApplied(_) => Ok(()),
            other => Err(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumers::erp::tryton::plain::{catalog::Product, unit::Unit};

    fn goods(product: i64, quantity: i64, lot: Option<i64>) -> Goods {
        let unit = Unit { id: 1, symbol: "u".to_owned(), category: 1, factor: 1.into(), rate: 1.into(), digits: 0 };
        let product = Product { id: product, code: product.to_string(), unit };
        let (quantity, label) = (quantity.into(), String::new());
        Goods { product, quantity, lot, place: None, to_place: None, is_rest_cancelled: false, label }
    }

    fn of(picked: &[(i64, Option<i64>, i64)], goods: &[Goods]) -> Vec<(i64, Option<i64>, i64)> {
        let picked = picked.iter().map(|(product, lot, n)| ((*product, *lot), (*n).into())).collect();
        surplus(&picked, goods)
            .into_iter()
            .map(|((product, lot), n)| (product, lot, n.to_string().parse().unwrap()))
            .collect()
    }

    #[test]
    fn what_was_picked_and_did_not_go_is_over_and_what_went_unpicked_is_lacking() {
        assert_eq!(of(&[(1, None, 5), (2, None, 3)], &[goods(1, 5, None), goods(2, 4, None)]), [(2, None, -1)]);
        assert_eq!(of(&[(1, None, 5), (2, None, 3)], &[goods(1, 2, None)]), [(1, None, 3), (2, None, 3)]);
    }

    #[test]
    fn lots_count_apart_where_they_were_told() {
        let picked = [(1, Some(31), 5), (1, Some(32), 2)];

        assert_eq!(of(&picked, &[goods(1, 5, Some(32)), goods(1, 2, Some(31))]), [(1, Some(31), 3), (1, Some(32), -3)]);
        assert_eq!(of(&picked, &[goods(1, 7, None)]), []);
        assert_eq!(of(&picked[..1], &[goods(1, 4, None)]), [(1, Some(31), 1)]);
    }
}

//! Picks: a shipment is picked when every product of it is, or is said to be short.
//!
//! Tryton keeps no progress of a pick, and a shipment may be picked by several events. What each picked stands in its note on the
//! shipment, and the one that completes it takes the shipment on.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    batch::Told,
    choose::{Found, ambiguous},
    doing::{Doing, Goods},
    shipping::MODEL,
};
use crate::consumers::{LookUp, Outcome, erp::single::reject};

impl Doing<'_> {
    /// Brings a pick.
    pub(super) async fn bring_picked(&self) -> Told<Outcome> {
        let day = self.day()?;
        let warehouse = self.warehouse(&self.document.site).await?;
        let goods = self.goods(&warehouse).await?;
        let mut shipment = self.being_picked(warehouse.id).await?;
        let is_known = shipment.has_note_of(&self.document.key);
        if !shipment.is_before_pick() {
            // Late news of goods that are further on already.
            return Ok(ended(is_known, shipment.name));
        }
        if !is_known {
            let moves = self.moves_of(&shipment.resource).await?;
            // Those of a draft are made when it waits.
            let planned = if shipment.state == "draft" { moves } else { shipment.planned(&moves) };
            super::fill::check_matched(&planned, &goods, &shipment.name)?;
            shipment.claims = self.note(&shipment.resource, &told(&goods)).await?;
        }
        let picked = picked(&shipment);
        if !self.is_complete(&shipment, &picked).await? {
            return Ok(ended(is_known, shipment.name));
        }
        let mut all = Vec::with_capacity(picked.len());
        for part in picked {
            all.push(self.goods_like(part.product, part.quantity, part.lot, part.place).await?);
        }
        let mut shipment = self.prepare_shipment(shipment, &all, &day).await?;
        while shipment.is_before_pick() {
            let Some((button, after)) = shipment.next().filter(|(button, _)| *button != "pack") else { break };
            self.press(MODEL, button, vec![shipment.id]).await?;
            after.clone_into(&mut shipment.state);
        }
        Ok(Outcome::Applied(shipment.name))
    }

    /// Whether it was brought: its note stands there, and the pick that it may have completed is done.
    pub(super) async fn find_picked(&self) -> Told<LookUp> {
        let Some(reference) = &self.document.reference else { return Ok(LookUp::Absent) };
        let found = self.shipments(reference).await?;
        let own = found.iter().find(|of| of.has_note_of(&self.document.key) && !of.is_before_pick());
        Ok(own.map_or(LookUp::Absent, |own| LookUp::Found(own.name.clone())))
    }

    async fn being_picked(&self, warehouse: i64) -> Told<Found> {
        let Some(reference) = self.document.reference.as_deref() else { return Err(self.nothing_for()) };
        let found = self.shipments(reference).await?;
        if let Some(own) = found.iter().find(|of| of.has_note_of(&self.document.key)) {
            return Ok(own.clone());
        }
        let here: Vec<&Found> =
            found.iter().filter(|of| of.warehouse == warehouse && of.state != "cancelled").collect();
        let open: Vec<&Found> = here.iter().copied().filter(|of| of.is_open()).collect();
        let named: Vec<&Found> = open.iter().copied().filter(|of| of.is_named).collect();
        let fitting = if named.is_empty() { &open } else { &named };
        match (fitting.as_slice(), here.as_slice()) {
            ([one], _) | ([], [one]) => Ok((*one).clone()),
            ([], []) if found.is_empty() => Err(self.nothing_for()),
            ([], []) => Err(reject("CONFLICT", format!("{} is of another warehouse", found[0].name))),
            ([], several) | (several, _) => Err(ambiguous(reference, several)),
        }
    }

    async fn is_complete(&self, shipment: &Found, picked: &[Part]) -> Told<bool> {
        let mut planned: BTreeMap<i64, Decimal> = BTreeMap::new();
        let moves = self.moves_of(&shipment.resource).await?;
        let of_state = if shipment.state == "draft" { moves } else { shipment.planned(&moves) };
        for of in of_state {
            *planned.entry(of.product).or_default() += of.base;
        }
        let ended: BTreeSet<i64> = picked.iter().filter(|part| part.is_short).map(|part| part.product).collect();
        let sum = |product: i64| {
            picked.iter().filter(|part| part.product == product).map(|part| part.quantity).sum::<Decimal>()
        };
        Ok(planned.iter().all(|(product, quantity)| ended.contains(product) || sum(*product) >= *quantity))
    }
}

fn ended(is_known: bool, name: String) -> Outcome {
    if is_known { Outcome::AlreadyApplied(name) } else { Outcome::Applied(name) }
}

/// What one event picked of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    product: i64,
    quantity: Decimal,
    lot: Option<i64>,
    place: Option<i64>,
    is_short: bool,
}

/// What is remembered of a pick.
fn told(goods: &[Goods]) -> Value {
    let part = |good: &Goods| {
        json!([good.product.id, good.quantity.to_string(), good.lot, good.place, good.is_rest_cancelled])
    };
    json!({"picked": goods.iter().map(part).collect::<Vec<_>>()})
}

/// What all picks of a shipment have picked.
fn picked(shipment: &Found) -> Vec<Part> {
    let part = |row: &Value| {
        Some(Part {
            product: row[0].as_i64()?,
            quantity: row[1].as_str()?.parse().ok()?,
            lot: row[2].as_i64(),
            place: row[3].as_i64(),
            is_short: row[4].as_bool().unwrap_or_default(),
        })
    };
    let of_claim = |claim: &super::claim::Claim| claim.more["picked"].as_array().cloned().unwrap_or_default();
    shipment
        .claims
        .iter()
        .filter(|claim| claim.kind == "picked")
        .flat_map(of_claim)
        .filter_map(|row| part(&row))
        .collect()
}

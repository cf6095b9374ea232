//! What comes back from customers, and shipments that the warehouse takes back.
//!
//! Both are returns in Tryton. Of a shipment that is taken back the order is not planned anew, as our module has it: that takes a
//! change of how Tryton counts, and is told in the documentation.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    batch::Told,
    catalog::{Warehouse, id_of},
    choose::{Found, ambiguous},
    claim::owner,
    doing::{Doing, Goods, date, exact},
    fill::Move,
    receiving::Incoming,
    shipping,
};
use crate::consumers::{LookUp, Outcome, erp::single::reject};

const MODEL: &str = "stock.shipment.out.return";
const FIELDS: &[&str] = &["number", "reference", "state", "warehouse"];
/// Returns of one reference that are looked at.
const FOUND_MAX: usize = 20;

/// A part of a move that comes back.
#[derive(Debug, Clone)]
struct Back {
    of: Move,
    left: Decimal,
}

impl Doing<'_> {
    /// Brings a return or takes a shipment back.
    pub(super) async fn bring_returned(&self) -> Told<Outcome> {
        let day = self.day()?;
        let warehouse = self.warehouse(&self.document.site).await?;
        let goods = self.goods(&warehouse).await?;
        if let Some(own) = self.own_return().await? {
            return self.finish_return(own, &warehouse, &goods).await;
        }
        if self.document.kind == "returned"
            && let Some(announced) = self.announced(&warehouse).await?
        {
            self.claim(&announced.resource(), &json!({"number": self.document.number})).await?;
            self.write(MODEL, announced.id, json!({"effective_date": date(&day)})).await?;
            return self.finish_incoming(announced, &warehouse, &goods).await;
        }
        let shipments = self.gone(&warehouse).await?;
        let own = self.make_return(&shipments, &warehouse, &goods, &day).await?;
        self.finish_return(own, &warehouse, &goods).await
    }

    /// Whether it was brought.
    pub(super) async fn find_returned(&self) -> Told<LookUp> {
        Ok(match self.own_return().await? {
            Some(own) if own.state == "done" => LookUp::Found(own.name),
            Some(_) | None => LookUp::Absent,
        })
    }

    /// The return that carries the key: as its reference, or in a note where it was announced in Tryton.
    async fn own_return(&self) -> Told<Option<Incoming>> {
        if let Some(own) = self.own(MODEL, FIELDS).await? {
            return Ok(Some(own));
        }
        if self.document.kind != "returned" {
            return Ok(None);
        }
        let rows = self.returns().await?;
        let resources = rows.iter().map(|row| json!(format!("{MODEL},{}", row["id"]))).collect();
        let claims = self.claims(resources).await?;
        let is_own = |row: &&Value| {
            let resource = format!("{MODEL},{}", row["id"]);
            owner(&claims, &resource, self.document.kind) == Some(&self.document.key)
        };
        Ok(rows.iter().find(is_own).and_then(|row| Incoming::read(MODEL, row)))
    }

    /// Returns under the reference, and of a sale of that reference.
    async fn returns(&self) -> Told<Vec<Value>> {
        let Some(reference) = &self.document.reference else { return Ok(Vec::new()) };
        let named = vec![json!(reference)];
        let rows = self.find(MODEL, &["reference", "number"], named, json!([]), FIELDS, FOUND_MAX).await?;
        if !rows.is_empty() {
            return Ok(rows);
        }
        let sales = self.sales(reference).await?;
        let ids = sales.iter().flat_map(|sale| sale["shipment_returns"].as_array().cloned().unwrap_or_default());
        self.find(MODEL, &["id"], ids.collect(), json!([]), FIELDS, 1).await
    }

    /// A return that somebody announced in Tryton.
    async fn announced(&self, warehouse: &Warehouse) -> Told<Option<Incoming>> {
        let rows = self.returns().await?;
        let drafts: Vec<&Value> = rows.iter().filter(|row| row["state"] == "draft").collect();
        match drafts.as_slice() {
            [] => Ok(None),
            [one] if id_of(&one["warehouse"]) == Some(warehouse.id) => Ok(Incoming::read(MODEL, one)),
            [one] => {
                let reason = format!("{MODEL} {} is for another warehouse than {}", one["number"], warehouse.code);
                Err(reject("CONFLICT", reason))
            }
            several => {
                let reason = format!("Tryton has {} draft returns for it", several.len());
                Err(reject("AMBIGUOUS_DOCUMENT", reason))
            }
        }
    }

    /// The shipments that goods can come back from: all of an order for a return, one for a shipment that is taken back.
    async fn gone(&self, warehouse: &Warehouse) -> Told<Vec<Found>> {
        let Some(reference) = self.document.reference.as_deref() else { return Err(self.nothing_for()) };
        let is_gone = |of: &Found| matches!(of.state.as_str(), "shipped" | "done");
        let found = self.shipments(reference).await?;
        let gone: Vec<Found> = found.iter().filter(|of| is_gone(of)).cloned().collect();
        if gone.is_empty() {
            return Err(match found.first() {
                Some(one) => reject("STATE", format!("{} is {} in Tryton, nothing of it left", one.name, one.state)),
                None => self.nothing_for(),
            });
        }
        if self.document.kind == "returned" {
            return Ok(gone);
        }
        let here: Vec<Found> = gone.into_iter().filter(|of| of.warehouse == warehouse.id).collect();
        let number = json!(self.document.number);
        let told = |of: &&Found| {
            of.claims.iter().any(|c| c.kind == "shipped" && !number.is_null() && c.more["number"] == number)
        };
        let numbered: Vec<&Found> = here.iter().filter(told).collect();
        match (numbered.as_slice(), here.as_slice()) {
            ([one], _) => Ok(vec![(*one).clone()]),
            (_, [one]) => Ok(vec![one.clone()]),
            (_, []) => Err(reject("CONFLICT", format!("nothing of {reference} left {}", warehouse.code))),
            (_, several) => Err(ambiguous(reference, &several.iter().collect::<Vec<_>>())),
        }
    }

    async fn make_return(
        &self,
        shipments: &[Found],
        warehouse: &Warehouse,
        goods: &[Goods],
        day: &str,
    ) -> Told<Incoming> {
        let ids: Vec<Value> = shipments.iter().map(|of| json!(of.id)).collect();
        let fields = &["customer", "customer_location"];
        let rows = self.find(shipping::MODEL, &["id"], ids, json!([]), fields, 1).await?;
        let (customer, place) = match rows.first() {
            Some(row) => (row["customer"].clone(), row["customer_location"].clone()),
            None => return Err(self.nothing_for()),
        };
        let back = self.returnable(shipments).await?;
        let moves = self.moves_back(&back, goods, &place, warehouse)?;
        if moves.is_empty() {
            let names: Vec<&str> = shipments.iter().map(|of| of.name.as_str()).collect();
            return Err(reject("STATE", format!("all of {} came back already", names.join(", "))));
        }
        let record = json!({
            "reference": self.document.key, "company": self.shared.facts.company, "customer": customer,
            "warehouse": warehouse.id, "warehouse_input": warehouse.input, "warehouse_storage": warehouse.storage,
            "effective_date": date(day), "incoming_moves": [["create", moves]],
        });
        self.made(MODEL, FIELDS, record).await
    }

    /// What of the moves of shipments has not come back yet.
    async fn returnable(&self, shipments: &[Found]) -> Told<Vec<Back>> {
        let resources = shipments.iter().map(|of| json!(of.resource)).collect();
        let moves = self.moves(&["shipment"], resources, json!([["state", "=", "done"]])).await?;
        let outputs: Vec<i64> = shipments.iter().map(|of| of.output).collect();
        let out: Vec<Move> = moves.into_iter().filter(|of| outputs.contains(&of.from)).collect();
        let origins = out.iter().map(|of| json!(format!("stock.move,{}", of.id))).collect();
        let more = json!([["state", "=", "done"], ["from_location.type", "=", "customer"]]);
        let returned = self.moves(&["origin"], origins, more).await?;
        let mut came: BTreeMap<String, Decimal> = BTreeMap::new();
        for of in returned {
            *came.entry(of.origin.unwrap_or_default()).or_default() += of.base;
        }
        let left = |of: Move| {
            let came = came.get(&format!("stock.move,{}", of.id)).copied().unwrap_or_default();
            Back { left: of.base - came, of }
        };
        Ok(out.into_iter().map(left).filter(|back| back.left > Decimal::ZERO).collect())
    }

    /// New moves for what comes back; no lines mean all of it.
    fn moves_back(&self, back: &[Back], goods: &[Goods], place: &Value, warehouse: &Warehouse) -> Told<Vec<Value>> {
        let mut left: Vec<Back> = back.to_vec();
        let mut moves = Vec::new();
        if goods.is_empty() {
            for one in &left {
                moves.push(self.move_back(&one.of, one.left, one.of.lot, place, warehouse)?);
            }
            return Ok(moves);
        }
        for good in goods {
            let mut need = good.quantity;
            let mut of_product: Vec<&mut Back> = left.iter_mut().filter(|b| b.of.product == good.product.id).collect();
            if of_product.is_empty() && !need.is_zero() {
                return Err(reject("UNMATCHED_LINE", format!("no {} is out of that order", good.label)));
            }
            of_product.sort_by_key(|b| good.lot.is_some() && b.of.lot != good.lot);
            for one in of_product {
                let taken = need.min(one.left);
                if taken > Decimal::ZERO {
                    one.left -= taken;
                    need -= taken;
                    moves.push(self.move_back(&one.of, taken, good.lot.or(one.of.lot), place, warehouse)?);
                }
            }
            if need > Decimal::ZERO {
                let reason = format!("{} of {} came, {need} more than left", good.quantity, good.label);
                return Err(reject("QUANTITY", reason));
            }
        }
        Ok(moves)
    }

    fn move_back(
        &self,
        of: &Move,
        base: Decimal,
        lot: Option<i64>,
        place: &Value,
        warehouse: &Warehouse,
    ) -> Told<Value> {
        // Told in the unit of the move that it takes back, of which it is a part.
        let quantity =
            if of.base == base { of.quantity } else { (base * of.quantity / of.base).round_dp(6).normalize() };
        let mut values = of.priced();
        values["product"] = json!(of.product);
        values["unit"] = json!(of.unit);
        values["quantity"] = exact(quantity)?;
        values["from_location"] = place.clone();
        values["to_location"] = json!(warehouse.input);
        values["origin"] = json!(format!("stock.move,{}", of.id));
        values["company"] = json!(self.shared.facts.company);
        if let Some(lot) = lot {
            values["lot"] = json!(lot);
        }
        Ok(values)
    }

    /// To done. A return that we made has its quantities already.
    async fn finish_return(&self, own: Incoming, warehouse: &Warehouse, goods: &[Goods]) -> Told<Outcome> {
        if goods.is_empty() && own.state == "draft" {
            self.press(MODEL, "receive", vec![own.id]).await?;
            if warehouse.input == warehouse.storage {
                return Ok(Outcome::Applied(own.name));
            }
            self.press(MODEL, "do", vec![own.id]).await?;
            return Ok(Outcome::Applied(own.name));
        }
        self.finish_incoming(own, warehouse, goods).await
    }
}

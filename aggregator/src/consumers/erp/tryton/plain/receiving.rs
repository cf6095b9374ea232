//! What comes in against a purchase, or out of transit from another warehouse.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    batch::Told,
    catalog::{Warehouse, id_of},
    doing::{Doing, Goods, date, name},
    fill::{self, End, Move},
    internal::{Leg, put},
};
use crate::consumers::{
    LookUp, Outcome,
    erp::{mapping::WithoutDocument, single::reject},
};

const MODEL: &str = "stock.shipment.in";
const FIELDS: &[&str] = &["number", "reference", "state"];
/// Purchases of one reference that are looked at.
const PURCHASES_MAX: usize = 5;

/// A document by which goods come in, on its way.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub(super) model: &'static str,
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) state: String,
}

impl Incoming {
    pub(super) fn read(model: &'static str, row: &Value) -> Option<Self> {
        let state = row["state"].as_str()?.to_owned();
        Some(Self { model, id: id_of(&row["id"])?, name: name(model, row), state })
    }

    pub(super) fn resource(&self) -> String {
        format!("{},{}", self.model, self.id)
    }
}

/// Where goods of a line go in the end.
fn end_of(good: &Goods, warehouse: &Warehouse) -> i64 {
    good.to_place.or(good.place).unwrap_or(warehouse.storage)
}

impl Doing<'_> {
    /// Brings a receipt.
    pub(super) async fn bring_received(&self) -> Told<Outcome> {
        let day = self.day()?;
        let warehouse = self.warehouse(&self.document.site).await?;
        let goods = self.goods(&warehouse).await?;
        if let Some(own) = self.own(MODEL, FIELDS).await? {
            return self.finish_incoming(own, &warehouse, &goods).await;
        }
        let purchases = self.purchases().await?;
        let purchase = match purchases.as_slice() {
            [] => return self.out_of_transit(&warehouse, &goods).await,
            [one] => one,
            several => {
                let names: Vec<String> = several.iter().map(|row| name("purchase.purchase", row)).collect();
                return Err(reject("AMBIGUOUS_DOCUMENT", format!("Tryton has several: {}", names.join(", "))));
            }
        };
        let own = self.make_receipt(purchase, &warehouse, &goods, &day).await?;
        self.finish_incoming(own, &warehouse, &goods).await
    }

    /// Whether it was brought.
    pub(super) async fn find_received(&self) -> Told<LookUp> {
        match self.own(MODEL, FIELDS).await? {
            Some(own) => Ok(if own.state == "done" { LookUp::Found(own.name) } else { LookUp::Absent }),
            None => self.find_legs(&self.transfer_reference()).await,
        }
    }

    /// The document that has the key as its reference.
    pub(super) async fn own(&self, model: &'static str, fields: &'static [&'static str]) -> Told<Option<Incoming>> {
        let mut rows = self.find(model, &["reference"], vec![json!(self.document.key)], json!([]), fields, 2).await?;
        if rows.len() > 1 {
            let names: Vec<String> = rows.iter().map(|row| name(model, row)).collect();
            return Err(reject(
                "AMBIGUOUS_DOCUMENT",
                format!("Tryton has the event more than once: {}", names.join(", ")),
            ));
        }
        Ok(rows.pop().as_ref().and_then(|row| Incoming::read(model, row)))
    }

    async fn purchases(&self) -> Told<Vec<Value>> {
        let Some(reference) = self.document.reference.as_ref().filter(|_| self.shared.facts.has_purchases) else {
            return Ok(Vec::new());
        };
        let fields = &["reference", "number", "state", "party", "warehouse", "moves"];
        let more = json!([["state", "!=", "cancelled"]]);
        self.find("purchase.purchase", &["reference", "number"], vec![json!(reference)], more, fields, PURCHASES_MAX)
            .await
    }

    async fn make_receipt(
        &self,
        purchase: &Value,
        warehouse: &Warehouse,
        goods: &[Goods],
        day: &str,
    ) -> Told<Incoming> {
        let label = name("purchase.purchase", purchase);
        if id_of(&purchase["warehouse"]) != Some(warehouse.id) {
            return Err(reject("CONFLICT", format!("{label} is for another warehouse than {}", warehouse.code)));
        }
        let state = purchase["state"].as_str().unwrap_or_default();
        if !matches!(state, "confirmed" | "processing" | "done") {
            return Err(reject("STATE", format!("{label} is {state} in Tryton")));
        }
        let ids = purchase["moves"].as_array().cloned().unwrap_or_default();
        let moves = self.moves(&["id"], ids, json!([])).await?;
        let is_open = |of: &Move| of.is_open() && of.shipment.is_none() && of.to == warehouse.input;
        let open: Vec<Move> = moves.into_iter().filter(is_open).collect();
        if open.is_empty() {
            return Err(reject("STATE", format!("{label} has nothing open in Tryton")));
        }
        fill::check_matched(&open, goods, &label)?;
        let shares = fill::deal(&open, &self.incoming_pieces(warehouse, goods), End::To);
        let taken: Vec<i64> =
            open.iter().filter(|of| shares.get(&of.id).is_some_and(|s| !s.is_empty())).map(|of| of.id).collect();
        if taken.is_empty() {
            return Err(reject("QUANTITY", format!("nothing of {label} came")));
        }
        let record = json!({
            "reference": self.document.key, "company": self.shared.facts.company, "supplier": purchase["party"],
            "warehouse": warehouse.id, "warehouse_input": warehouse.input, "warehouse_storage": warehouse.storage,
            "effective_date": date(day), "incoming_moves": [["add", taken]],
        });
        self.made(MODEL, FIELDS, record).await
    }

    /// Makes a document of ours; its number is known only then.
    pub(super) async fn made(
        &self,
        model: &'static str,
        fields: &'static [&'static str],
        record: Value,
    ) -> Told<Incoming> {
        let ids = self.create(model, vec![record]).await?;
        let rows = self.find(model, &["id"], ids.iter().map(|id| json!(id)).collect(), json!([]), fields, 1).await?;
        rows.first().and_then(|row| Incoming::read(model, row)).ok_or_else(|| Outcome::Unknown {
            reason: format!("{model} {ids:?} is not there any more"),
            was_answered: true,
        })
    }

    /// By lot; and by place only where goods are received straight into storage.
    fn incoming_pieces(&self, warehouse: &Warehouse, goods: &[Goods]) -> fill::Pieces {
        let is_one_step = warehouse.input == warehouse.storage;
        fill::pieces(goods, |good| is_one_step.then(|| end_of(good, warehouse)))
    }

    /// Quantities, receipt, put-away: from wherever it is to done.
    pub(super) async fn finish_incoming(
        &self,
        mut own: Incoming,
        warehouse: &Warehouse,
        goods: &[Goods],
    ) -> Told<Outcome> {
        match own.state.as_str() {
            "done" => return Ok(Outcome::AlreadyApplied(own.name)),
            "cancelled" => {
                let reason = format!("{} was cancelled in Tryton", own.name);
                return Ok(Outcome::NeedsDecision { reason });
            }
            _ => {}
        }
        let is_one_step = warehouse.input == warehouse.storage;
        if own.state == "draft" {
            let moves = self.moves_of(&own.resource()).await?;
            let incoming: Vec<Move> = moves.into_iter().filter(|of| of.is_open()).collect();
            fill::check_matched(&incoming, goods, &own.name)?;
            let commands = self.commands(&incoming, &self.incoming_pieces(warehouse, goods), End::To).await?;
            if !commands.is_empty() {
                self.write(own.model, own.id, json!({"incoming_moves": commands})).await?;
            }
            self.press(own.model, "receive", vec![own.id]).await?;
            "received".clone_into(&mut own.state);
            if is_one_step {
                return Ok(Outcome::Applied(own.name));
            }
        }
        if goods.iter().any(|good| end_of(good, warehouse) != warehouse.storage) {
            self.put_away(&own, warehouse, goods).await?;
        }
        self.press(own.model, "do", vec![own.id]).await?;
        Ok(Outcome::Applied(own.name))
    }

    /// Sends goods that a line has a place for there instead of to the storage place.
    async fn put_away(&self, own: &Incoming, warehouse: &Warehouse, goods: &[Goods]) -> Told<()> {
        let moves = self.moves_of(&own.resource()).await?;
        let is_inventory = |of: &Move| of.is_open() && of.from == warehouse.input;
        let inventory: Vec<Move> = moves.into_iter().filter(is_inventory).collect();
        let pieces = fill::pieces(goods, |good| Some(end_of(good, warehouse)));
        let commands = self.commands(&inventory, &pieces, End::To).await?;
        if commands.is_empty() {
            return Ok(());
        }
        self.write(own.model, own.id, json!({"inventory_moves": commands})).await
    }

    /// Goods that another warehouse sent under the reference.
    async fn out_of_transit(&self, warehouse: &Warehouse, goods: &[Goods]) -> Told<Outcome> {
        let base = self.transfer_reference();
        let legs = |transit: i64| {
            let mut legs: Vec<Leg> = Vec::new();
            for good in goods {
                put(&mut legs, (transit, end_of(good, warehouse)), good, good.quantity);
            }
            legs
        };
        let Some(transit) = self.shared.facts.transit else { return Err(self.nothing_for()) };
        let legs = legs(transit);
        // What is begun already must not be counted against itself.
        if matches!(self.find_legs(&base).await?, LookUp::Found(_)) {
            return self.take_legs(&base, &legs).await;
        }
        let left = self.in_transit(transit, &base).await?;
        if left.is_empty() {
            return Err(self.nothing_for());
        }
        for good in goods {
            let of_product = |lot: Option<i64>| -> Decimal {
                left.iter()
                    .filter(|of| of.product == good.product.id && (lot.is_none() || of.lot == lot))
                    .map(|of| if of.to == transit { of.base } else { -of.base })
                    .sum()
            };
            let came: Decimal =
                goods.iter().filter(|g| (g.product.id, g.lot) == (good.product.id, good.lot)).map(|g| g.quantity).sum();
            if came > of_product(good.lot) {
                let reason = format!("{came} of {} came, {} are on their way", good.label, of_product(good.lot));
                return Err(reject("QUANTITY", reason));
            }
        }
        self.take_legs(&base, &legs).await
    }

    /// Moves into transit and out of it under the reference, but for those of this document.
    async fn in_transit(&self, transit: i64, own: &str) -> Told<Vec<Move>> {
        let Some(reference) = &self.document.reference else { return Ok(Vec::new()) };
        // `_` and `%` stand for anything in `like`.
        let escaped = reference.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let domain = json!([["reference", "like", format!("{escaped} %")], ["state", "=", "done"]]);
        let params = vec![domain, json!(0), json!(null), json!([["id", "ASC"]]), json!(["reference"])];
        let method = "model.stock.shipment.internal.search_read".to_owned();
        let rows = self.call(method, params, serde_json::Map::new(), false).await?;
        let others =
            rows.as_array().into_iter().flatten().filter(|row| {
                !row["reference"].as_str().is_some_and(|of| of == own || of.starts_with(&format!("{own}/")))
            });
        let resources = others.map(|row| json!(format!("stock.shipment.internal,{}", row["id"]))).collect();
        let moves = self.moves(&["shipment"], resources, json!([["state", "=", "done"]])).await?;
        Ok(moves.into_iter().filter(|of| of.to == transit || of.from == transit).collect())
    }

    /// The refusal of a document whose reference Tryton does not know.
    pub(super) fn nothing_for(&self) -> Outcome {
        let (kind, site) = (self.document.kind, &self.document.site);
        let reference = self.document.reference.as_deref().unwrap_or_default();
        if self.document.without_document == WithoutDocument::Move.as_str() {
            let reason = format!(
                "Tryton has no document for {reference}, and without the module docksync goods cannot be {kind} without one"
            );
            return reject("NEEDS_MODULE", reason);
        }
        reject("UNKNOWN_DOCUMENT", format!("Tryton has no document for {reference} in {site} ({kind})"))
    }
}

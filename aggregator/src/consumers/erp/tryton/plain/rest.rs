//! What an order is short of and waits for no longer.
//!
//! Tryton makes a backorder of whatever was not shipped. Where the warehouse says that it will not come, the backorder is cancelled and
//! the sale told to ignore it, as a person does (`sale.handle.shipment.exception`, trytond_sale 8.2).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    batch::Told,
    catalog::id_of,
    choose::Found,
    doing::{Doing, Goods},
    shipping::{MODEL, MOVES_MAX},
};
use crate::consumers::Outcome;

/// A sale with what of it is no longer waited for and still stands there.
#[derive(Debug)]
struct Rest {
    sale: i64,
    /// Backorders to cancel.
    backorders: Vec<i64>,
    /// Moves to ignore.
    moves: Vec<i64>,
    /// Backorders of which a part is still waited for.
    mixed: Vec<String>,
}

impl Doing<'_> {
    /// Cancels what is no longer waited for, behind a shipment that is done.
    pub(super) async fn close_rest(&self, goods: &[Goods], outcome: Outcome) -> Told<Outcome> {
        let products: BTreeSet<i64> = goods.iter().filter(|g| g.is_rest_cancelled).map(|g| g.product.id).collect();
        if products.is_empty() {
            return Ok(outcome);
        }
        let warehouse = self.warehouse(&self.document.site).await?;
        let Some(rest) = self.rest(&products, warehouse.id).await? else { return Ok(outcome) };
        if !rest.mixed.is_empty() {
            let names = rest.mixed.join(", ");
            let reason =
                format!("a part of {names} is still waited for, a part is not: take that out in Tryton, then retry");
            return Ok(Outcome::NeedsDecision { reason });
        }
        self.press(MODEL, "cancel", rest.backorders.clone()).await?;
        let moves = match self.rest(&products, warehouse.id).await? {
            Some(now) => now.moves,
            None => return Ok(outcome),
        };
        self.ignore(rest.sale, &moves).await?;
        Ok(outcome)
    }

    /// Whether a shipment that is done has left something to close.
    pub(super) async fn has_open_rest(&self, shipment: &Found) -> Told<bool> {
        let mut products = BTreeSet::new();
        for line in self.document.lines.iter().filter(|line| line.short == Some("cancel")) {
            products.insert(self.product(&line.product).await?.id);
        }
        Ok(self.rest(&products, shipment.warehouse).await?.is_some())
    }

    async fn rest(&self, products: &BTreeSet<i64>, warehouse: i64) -> Told<Option<Rest>> {
        let reference = self.document.reference.as_deref().unwrap_or_default();
        let sales = self.sales(reference).await?;
        let [sale] = sales.as_slice() else { return Ok(None) };
        let id = id_of(&sale["id"]).unwrap_or_default();
        let lines = self.find("sale.line", &["sale"], vec![json!(id)], json!([]), &["sale"], MOVES_MAX).await?;
        let origins: Vec<Value> = lines.iter().map(|line| json!(format!("sale.line,{}", line["id"]))).collect();
        let more = json!([["state", "!=", "done"]]);
        let fields = &["product", "state", "shipment", "origin", "sale_exception_state"];
        let moves = self.find("stock.move", &["origin"], origins, more, fields, MOVES_MAX).await?;
        let found = self.shipments(reference).await?;
        let is_backorder = |of: &&Found| !of.is_named && of.warehouse == warehouse && of.claims.is_empty();
        let mut rest = Rest { sale: id, backorders: Vec::new(), moves: Vec::new(), mixed: Vec::new() };
        for backorder in found.iter().filter(is_backorder) {
            let (ended, waited): (Vec<&Value>, Vec<&Value>) = moves
                .iter()
                .filter(|of| of["shipment"] == *backorder.resource && is_unanswered(of))
                .partition(|of| id_of(&of["product"]).is_some_and(|product| products.contains(&product)));
            if ended.is_empty() {
                continue;
            }
            if backorder.is_open() && !waited.is_empty() {
                rest.mixed.push(backorder.name.clone());
            } else if backorder.is_open() {
                rest.backorders.push(backorder.id);
            }
            rest.moves.extend(ended.iter().filter_map(|of| id_of(&of["id"])));
        }
        Ok((!rest.moves.is_empty()).then_some(rest))
    }

    /// Answers the sale's exception: those moves are not made again.
    async fn ignore(&self, sale: i64, moves: &[i64]) -> Told<()> {
        const WIZARD: &str = "wizard.sale.handle.shipment.exception";
        let call = |method: &str, params, more| self.call(format!("{WIZARD}.{method}"), params, more, true);
        let begun = call("create", Vec::new(), Map::new()).await?;
        let answer = json!({"ask": {"recreate_moves": [], "ignore_moves": moves, "domain_moves": moves}});
        let mut more = Map::new();
        more.insert("active_model".to_owned(), json!("sale.sale"));
        more.insert("active_id".to_owned(), json!(sale));
        more.insert("active_ids".to_owned(), json!([sale]));
        call("execute", vec![begun[0].clone(), answer, json!("handle")], more).await?;
        call("delete", vec![begun[0].clone()], Map::new()).await.map(drop)
    }
}

/// Whether a move still waits, or was cancelled and nobody has said what becomes of it.
fn is_unanswered(of: &Value) -> bool {
    of["state"] != "cancelled" || of["sale_exception_state"].as_str().unwrap_or_default().is_empty()
}

//! What a document asks of Odoo: which transfer it is about, and between which locations goods go. Nothing is written here.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    KEY_FIELD, Odoo, Told,
    catalog::{Product, Warehouse, id_of},
    fill::{Goods, Lot, check_lot},
    transfer::Picking,
};
use crate::consumers::erp::{
    document::{Document, DocumentLine},
    mapping::WithoutDocument,
    quantity,
    single::reject,
};

/// Documents of a reference that are looked at: enough to see that there are several.
const FOUND_MAX: usize = 3;
/// Moves of a transfer that are read.
pub(super) const MOVES_MAX: usize = 2_000;

/// What to do.
#[derive(Debug)]
pub(super) enum Plan {
    /// Take this transfer to its end.
    Open(Picking),
    /// Make one.
    New(New),
}

/// A transfer to make.
#[derive(Debug)]
pub(super) struct New {
    pub(super) operation_type: i64,
    pub(super) from: i64,
    pub(super) to: i64,
    /// Moves that are taken back, by product, where it is a return.
    pub(super) taken_back: Vec<Shipped>,
}

/// A move of a transfer that is done.
#[derive(Debug, Clone)]
pub(super) struct Shipped {
    pub(super) id: i64,
    pub(super) product: i64,
    pub(super) quantity: Decimal,
    pub(super) sale_line: Option<i64>,
}

impl Odoo {
    /// The goods of a document in Odoo's records.
    pub(super) fn goods(&mut self, document: &Document) -> Told<Vec<Goods>> {
        document.lines.iter().map(|line| self.goods_of(document, line)).collect()
    }

    fn goods_of(&mut self, document: &Document, line: &DocumentLine) -> Told<Goods> {
        let product = self.product(&line.product)?;
        let signed: Decimal =
            line.quantity.parse().map_err(|_| reject("QUANTITY", format!("{} is no decimal", line.quantity)))?;
        let unit = match &line.unit {
            Some(symbol) => self.unit(symbol)?,
            None => product.unit,
        };
        // What comes in, or is found, may be of a lot that nobody has heard of.
        let may_be_new = match document.kind {
            "received" | "returned" | "voided" => true,
            "adjusted" | "counted" => signed > Decimal::ZERO,
            _ => false,
        };
        let lot = match line.lot.as_deref() {
            lot if !check_lot(&product, lot)? => None,
            lot => self.lot_of(lot.unwrap_or_default(), &product, may_be_new)?,
        };
        let place = line.location.as_deref().map(|name| self.location(name)).transpose()?;
        let other = line.to_location.as_deref();
        let (from, to) = match document.kind {
            // Where stock is, and where what is lost of it goes or found of it comes from.
            "adjusted" | "counted" => {
                let account = line.account.as_deref().map(|name| self.location(name)).transpose()?;
                self.correction(document, (&product, account), place, signed)?
            }
            "received" | "returned" | "voided" => (None, other.map(|name| self.location(name)).transpose()?.or(place)),
            // The other end is another warehouse, which receives by a transfer of its own.
            "transferred" => (place, None),
            _ => (place, other.map(|name| self.location(name)).transpose()?),
        };
        let is_rest_cancelled = line.short == Some("cancel");
        Ok(Goods { product, quantity: signed.abs(), unit, lot, from, to, is_rest_cancelled })
    }

    fn lot_of(&mut self, name: &str, product: &Product, may_be_new: bool) -> Told<Option<Lot>> {
        match self.lot(name, product)? {
            Some(id) => Ok(Some(Lot::Known(id))),
            None if may_be_new => Ok(Some(Lot::New(name.to_owned()))),
            None => Err(reject("UNKNOWN_LOT", format!("Odoo has no lot \"{name}\" of {}", product.code))),
        }
    }

    fn correction(
        &mut self,
        document: &Document,
        (product, account): (&Product, Option<i64>),
        place: Option<i64>,
        signed: Decimal,
    ) -> Told<(Option<i64>, Option<i64>)> {
        let loss = account.or(product.loss).ok_or_else(|| {
            reject("ERP_SETUP", format!("product {} of Odoo has no inventory location", product.code))
        })?;
        let place = match place {
            Some(place) => place,
            None => self.warehouse(&document.site)?.stock,
        };
        Ok(if signed < Decimal::ZERO { (Some(place), Some(loss)) } else { (Some(loss), Some(place)) })
    }

    /// What a document is about.
    pub(super) fn plan(&mut self, document: &Document, goods: &[Goods]) -> Told<Plan> {
        let warehouse = self.warehouse(&document.site)?;
        match document.kind {
            "shipped" => self.shipped(document, warehouse),
            "received" => self.received(document, warehouse),
            "returned" => match self.open(document, warehouse, warehouse.incoming)? {
                Some(open) => Ok(Plan::Open(open)),
                None => self.taken_back(document, warehouse, goods),
            },
            "voided" => self.taken_back(document, warehouse, goods),
            "transferred" => {
                let transit = self.transit()?;
                Ok(Plan::New(New::internal(warehouse, warehouse.stock, transit)))
            }
            // The ends of each line are its own; these are for the head.
            _ => {
                let (from, to) = goods.first().map_or((None, None), |good| (good.from, good.to));
                let (from, to) = (from.unwrap_or(warehouse.stock), to.unwrap_or(warehouse.stock));
                Ok(Plan::New(New::internal(warehouse, from, to)))
            }
        }
    }

    fn shipped(&mut self, document: &Document, warehouse: Warehouse) -> Told<Plan> {
        if let Some(open) = self.open(document, warehouse, warehouse.outgoing)? {
            return Ok(Plan::Open(open));
        }
        self.or_move(document)?;
        let customers = self.ends(warehouse.outgoing)?.to;
        let to = customers.ok_or_else(|| no_end("deliveries", "destination"))?;
        Ok(Plan::New(New { operation_type: warehouse.outgoing, from: warehouse.stock, to, taken_back: Vec::new() }))
    }

    fn received(&mut self, document: &Document, warehouse: Warehouse) -> Told<Plan> {
        if let Some(open) = self.open(document, warehouse, warehouse.incoming)? {
            return Ok(Plan::Open(open));
        }
        if self.is_on_its_way(document)? {
            let transit = self.transit()?;
            return Ok(Plan::New(New::internal(warehouse, transit, warehouse.stock)));
        }
        self.or_move(document)?;
        let suppliers = self.ends(warehouse.incoming)?.from;
        let from = suppliers.ok_or_else(|| no_end("receipts", "source"))?;
        Ok(Plan::New(New { operation_type: warehouse.incoming, from, to: warehouse.stock, taken_back: Vec::new() }))
    }

    /// Goods that came back: against the delivery that they left by, where there is one.
    fn taken_back(&mut self, document: &Document, warehouse: Warehouse, goods: &[Goods]) -> Told<Plan> {
        let done = match &document.reference {
            Some(reference) => {
                let mut domain = by_reference(reference, "=", &["done"]);
                domain.push(json!(["picking_type_id", "=", warehouse.outgoing]));
                self.only_one(document, domain.into())?
            }
            None => None,
        };
        let taken_back = match done {
            Some(delivery) => self.shipped_by(delivery.id, goods)?,
            None => {
                self.or_move(document)?;
                Vec::new()
            }
        };
        let customers = self.ends(warehouse.outgoing)?.to;
        let from = customers.ok_or_else(|| no_end("deliveries", "destination"))?;
        Ok(Plan::New(New { operation_type: warehouse.incoming, from, to: warehouse.stock, taken_back }))
    }

    fn shipped_by(&mut self, delivery: i64, goods: &[Goods]) -> Told<Vec<Shipped>> {
        let mut fields = vec!["product_id", "quantity"];
        if self.schema().has_sale_line {
            fields.push("sale_line_id");
        }
        let domain = json!([["picking_id", "=", delivery], ["state", "=", "done"]]);
        let shipped: Vec<Shipped> =
            self.rows("stock.move", domain, &fields, MOVES_MAX)?.iter().filter_map(shipped_move).collect();
        let ids: Vec<i64> = shipped.iter().map(|of| of.id).collect();
        let domain = json!([["origin_returned_move_id", "in", ids], ["state", "=", "done"]]);
        let back: Vec<Shipped> = self
            .rows("stock.move", domain, &["product_id", "quantity"], MOVES_MAX)?
            .iter()
            .filter_map(shipped_move)
            .collect();
        let sum = |of: &[Shipped], id| of.iter().filter(|m| m.product == id).map(|m| m.quantity).sum::<Decimal>();
        for good in goods {
            let left = sum(&shipped, good.product.id) - sum(&back, good.product.id);
            let code = &good.product.code;
            if !shipped.iter().any(|of| of.product == good.product.id) {
                return Err(reject("UNMATCHED_LINE", format!("no {code} left by that delivery")));
            }
            if good.quantity > left {
                return Err(reject(
                    "QUANTITY",
                    format!("{left} of {code} can come back from that delivery, {} came", good.quantity),
                ));
            }
        }
        Ok(shipped)
    }

    /// The open transfer of a reference.
    fn open(&mut self, document: &Document, warehouse: Warehouse, operation_type: i64) -> Told<Option<Picking>> {
        let Some(reference) = &document.reference else { return Ok(None) };
        let mut domain = by_reference(reference, "not in", &["done", "cancel"]);
        domain.push(json!(["picking_type_id", "=", operation_type]));
        domain.push(json!(["picking_type_id.warehouse_id", "=", warehouse.id]));
        let found = self.only_one(document, domain.into())?;
        match found {
            Some(open) if open.state == "waiting" => {
                let reason = format!("{} waits for another operation: deliver and receive in one step", open.name);
                Err(reject("STATE", reason))
            }
            other => Ok(other),
        }
    }

    fn only_one(&mut self, document: &Document, domain: Value) -> Told<Option<Picking>> {
        let mut found = self.pickings(domain, FOUND_MAX)?;
        if found.len() > 1 {
            let names: Vec<&str> = found.iter().map(|picking| picking.name.as_str()).collect();
            let reference = document.reference.as_deref().unwrap_or_default();
            let reason = format!("Odoo has several transfers for {reference}: {}", names.join(", "));
            return Err(reject("AMBIGUOUS_DOCUMENT", reason));
        }
        Ok(found.pop())
    }

    /// Whether another site of ours has sent goods under this reference.
    fn is_on_its_way(&mut self, document: &Document) -> Told<bool> {
        let (Some(reference), Some(_)) = (&document.reference, &self.ways.transit) else { return Ok(false) };
        let transit = self.transit()?;
        let domain = json!([
            ["origin", "=", reference],
            ["state", "=", "done"],
            ["location_dest_id", "=", transit],
            [KEY_FIELD, "!=", false],
        ]);
        Ok(!self.pickings(domain, 1)?.is_empty())
    }

    fn transit(&mut self) -> Told<i64> {
        match self.ways.transit.clone() {
            Some(name) => self.location(&name),
            None => {
                let reason =
                    "the configuration names no location for goods between two sites: add `transit`, then restart";
                Err(reject("UNMAPPED_TRANSIT", reason.to_owned()))
            }
        }
    }

    fn or_move(&self, document: &Document) -> Told<()> {
        if self.mapping.without_document == WithoutDocument::Move {
            return Ok(());
        }
        let reference = document.reference.as_deref().unwrap_or_default();
        let (kind, site) = (document.kind, &document.site);
        Err(reject("UNKNOWN_DOCUMENT", format!("Odoo has no open transfer for {reference} in {site} ({kind})")))
    }
}

impl New {
    fn internal(warehouse: Warehouse, from: i64, to: i64) -> Self {
        Self { operation_type: warehouse.internal, from, to, taken_back: Vec::new() }
    }
}

/// A transfer is known by its own name, or by that of the order or purchase that it is for.
fn by_reference(reference: &str, operator: &str, states: &[&str]) -> Vec<Value> {
    let state = if operator == "=" { json!(["state", "=", states[0]]) } else { json!(["state", operator, states]) };
    vec![json!("|"), json!(["origin", "=", reference]), json!(["name", "=", reference]), state]
}

fn shipped_move(row: &Value) -> Option<Shipped> {
    Some(Shipped {
        id: id_of(&row["id"])?,
        product: id_of(&row["product_id"])?,
        quantity: quantity::decimal(&row["quantity"])?.normalize(),
        sale_line: id_of(&row["sale_line_id"]),
    })
}

fn no_end(of: &str, end: &str) -> crate::consumers::Outcome {
    reject("ERP_SETUP", format!("the operation type of {of} has no default {end} location in Odoo"))
}

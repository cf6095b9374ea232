//! Which document of ERPNext an event asks for, and what stands in it. Nothing of it is submitted here.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::{
    ErpNext, KEY_FIELD, REFERENCE_FIELD, Told, read,
    rows::{self, Goods},
    written,
};
use crate::consumers::{
    Outcome,
    erp::{
        document::{Document, DocumentLine},
        mapping::WithoutDocument,
        single::reject,
    },
};

const NOTE: &str = "Delivery Note";
const RECEIPT: &str = "Purchase Receipt";
const ENTRY: &str = "Stock Entry";
const MAKE_NOTE: &str = "erpnext.selling.doctype.sales_order.sales_order.make_delivery_note";
const MAKE_RECEIPT: &str = "erpnext.buying.doctype.purchase_order.purchase_order.make_purchase_receipt";
const MAKE_RETURN: &str = "erpnext.stock.doctype.delivery_note.delivery_note.make_sales_return";
/// Documents of a reference that are looked at; rows of one document may repeat its name.
const FOUND_MAX: usize = 100;

/// A part of an event's document that is one document in ERPNext.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    key: String,
    /// What it may be, by what the ERP has for it.
    doctypes: &'static [&'static str],
    /// Whether it holds what came to stock, where one document cannot hold both.
    gains: Option<bool>,
}

/// What there is of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Own {
    Absent,
    Draft { doctype: &'static str, name: String },
    Submitted(String),
    Cancelled(String),
}

/// A document to save and submit.
#[derive(Debug)]
pub(super) struct Paper {
    pub(super) doctype: &'static str,
    pub(super) body: Value,
}

/// The slots of a document. What was found and what was lost are two stock entries, for ERPNext values the two apart.
pub(super) fn slots(document: &Document) -> Vec<Slot> {
    let one = |doctypes| vec![Slot { key: document.key.clone(), doctypes, gains: None }];
    match document.kind {
        "shipped" | "returned" | "voided" => one(&[NOTE, ENTRY]),
        "received" => one(&[RECEIPT, ENTRY]),
        "adjusted" | "counted" => {
            let is_less = |line: &DocumentLine| line.quantity.starts_with('-');
            let slot = |gains: bool| Slot {
                key: format!("{}:{}", document.key, if gains { "in" } else { "out" }),
                doctypes: &[ENTRY],
                gains: Some(gains),
            };
            let has = |gains: bool| document.lines.iter().any(|line| is_less(line) != gains);
            [true, false].into_iter().filter(|gains| has(*gains)).map(slot).collect()
        }
        _ => one(&[ENTRY]),
    }
}

/// What follows from what is there, where that is all that there is to say.
pub(super) fn settled(own: &[Own]) -> Option<Outcome> {
    let cancelled = own.iter().find_map(|own| match own {
        Own::Cancelled(name) => Some(name),
        Own::Absent | Own::Draft { .. } | Own::Submitted(_) => None,
    });
    if let Some(name) = cancelled {
        return Some(Outcome::NeedsDecision { reason: format!("{name} was cancelled in ERPNext") });
    }
    let name = |own: &Own| match own {
        Own::Submitted(name) => Some(name.clone()),
        Own::Absent | Own::Draft { .. } | Own::Cancelled(_) => None,
    };
    own.iter().map(name).collect::<Option<Vec<String>>>().map(|names| Outcome::AlreadyApplied(names.join(", ")))
}

impl ErpNext {
    /// What there is of a slot, by its key.
    pub(super) fn own(&self, slot: &Slot) -> Told<Own> {
        for doctype in slot.doctypes {
            let filters = json!([[KEY_FIELD, "=", slot.key]]);
            let rows = self.list(doctype, &filters, &Value::Null, &json!(["name", "docstatus"]), FOUND_MAX)?;
            if rows.len() > 1 {
                return Err(reject(
                    "AMBIGUOUS_DOCUMENT",
                    format!("ERPNext has the event more than once: {}", names(&rows)),
                ));
            }
            let Some(row) = rows.first() else { continue };
            let name = row["name"].as_str().unwrap_or_default().to_owned();
            return Ok(match row["docstatus"].as_i64() {
                Some(0) => Own::Draft { doctype, name },
                Some(1) => Own::Submitted(name),
                _ => Own::Cancelled(name),
            });
        }
        Ok(Own::Absent)
    }

    /// The document for a slot; `None` where nothing of it went.
    pub(super) fn paper(&mut self, document: &Document, slot: &Slot) -> Told<Option<Paper>> {
        let goods = self.goods(document, slot)?;
        if goods.iter().all(|good| good.quantity.is_zero()) {
            return Ok(None);
        }
        let paper = match document.kind {
            "shipped" => match self.order("Sales Order", document)? {
                Some(order) => self.of_order(document, (NOTE, MAKE_NOTE, &order), &goods)?,
                None => self.moved(document, "Material Issue", &goods)?,
            },
            "received" => match self.order("Purchase Order", document)? {
                Some(order) => self.of_order(document, (RECEIPT, MAKE_RECEIPT, &order), &goods)?,
                None => self.received(document, goods)?,
            },
            "returned" | "voided" => match self.note(document)? {
                Some(note) => self.of_order(document, (NOTE, MAKE_RETURN, &note), &goods)?,
                None => self.moved(document, "Material Receipt", &goods)?,
            },
            "adjusted" | "counted" => {
                let purpose = if slot.gains == Some(true) { "Material Receipt" } else { "Material Issue" };
                self.entry(document, purpose, &goods)?
            }
            _ => self.entry(document, "Material Transfer", &goods)?,
        };
        let Paper { doctype, mut body } = paper;
        body[KEY_FIELD] = json!(slot.key);
        Ok(Some(Paper { doctype, body }))
    }

    fn goods(&mut self, document: &Document, slot: &Slot) -> Told<Vec<Goods>> {
        let site = self.warehouse(&document.site, "UNKNOWN_WAREHOUSE")?;
        let is_meant = |line: &&DocumentLine| slot.gains.is_none_or(|gains| gains != line.quantity.starts_with('-'));
        document.lines.iter().filter(is_meant).map(|line| self.goods_of(document, line, &site)).collect()
    }

    fn goods_of(&mut self, document: &Document, line: &DocumentLine, site: &str) -> Told<Goods> {
        let item = self.item(&line.product)?;
        let signed: Decimal =
            line.quantity.parse().map_err(|_| reject("QUANTITY", format!("{} is no decimal", line.quantity)))?;
        if item.has_serials {
            let reason = format!("ERPNext keeps {} by serial number, which this connector does not tell", line.product);
            return Err(reject("SERIALS", reason));
        }
        let place = |name: &Option<String>| name.clone();
        let known = |erp: &mut Self, name: Option<String>| match name {
            Some(name) => erp.warehouse(&name, "UNKNOWN_LOCATION"),
            None => Ok(site.to_owned()),
        };
        let is_gain = matches!(document.kind, "received" | "returned" | "voided")
            || (signed > Decimal::ZERO && is_signed(document));
        let (from, to) = match document.kind {
            "transferred" => (Some(known(self, place(&line.location))?), Some(self.transit()?)),
            "moved" => (Some(known(self, place(&line.location))?), Some(known(self, place(&line.to_location))?)),
            _ if is_gain => (None, Some(known(self, place(&line.to_location).or(place(&line.location)))?)),
            _ => (Some(known(self, place(&line.location))?), None),
        };
        Ok(Goods {
            item: line.product.clone(),
            quantity: signed.abs(),
            unit: line.unit.clone().unwrap_or_else(|| item.stock_unit.clone()),
            batch: if item.has_batches { Some(self.batch(line, is_gain)?) } else { None },
            stock_unit: item.stock_unit,
            from,
            to,
            account: line.account.clone(),
        })
    }

    /// The batch of a line. What comes in may be of one that nobody has heard of: it is made, which moves nothing.
    fn batch(&self, line: &DocumentLine, is_gain: bool) -> Told<String> {
        let item = &line.product;
        let Some(lot) = &line.lot else {
            return Err(reject("LOT", format!("ERPNext keeps {item} by batch, and the event names none")));
        };
        let filters = json!([["name", "=", lot], ["item", "=", item]]);
        if !self.list("Batch", &filters, &Value::Null, &json!(["name"]), 1)?.is_empty() {
            return Ok(lot.clone());
        }
        if !is_gain {
            return Err(reject("UNKNOWN_LOT", format!("ERPNext has no batch \"{lot}\" of {item}")));
        }
        let made = self.again(|| self.rest.insert("Batch", &json!({"batch_id": lot, "item": item})));
        made.map_err(written)?;
        Ok(lot.clone())
    }

    fn transit(&mut self) -> Told<String> {
        match self.ways.transit.clone() {
            Some(name) => self.warehouse(&name, "UNKNOWN_LOCATION"),
            None => {
                let reason =
                    "the configuration names no warehouse for goods between two sites: add `transit`, then restart";
                Err(reject("UNMAPPED_TRANSIT", reason.to_owned()))
            }
        }
    }

    /// The submitted order of a reference: its own name, or for a sale the customer's number.
    fn order(&self, doctype: &str, document: &Document) -> Told<Option<String>> {
        let Some(reference) = &document.reference else { return Ok(None) };
        let filters = json!([["docstatus", "=", 1], ["company", "=", self.ways.company]]);
        let mut or = vec![json!(["name", "=", reference])];
        if doctype == "Sales Order" {
            or.push(json!(["po_no", "=", reference]));
        }
        let rows = self.list(doctype, &filters, &or.into(), &json!(["name"]), FOUND_MAX)?;
        only(&rows, reference)
    }

    /// The delivery note that the goods of an order left by.
    fn note(&self, document: &Document) -> Told<Option<String>> {
        let Some(order) = self.order("Sales Order", document)? else { return Ok(None) };
        let filters = json!([
            ["Delivery Note Item", "against_sales_order", "=", order],
            [NOTE, "docstatus", "=", 1],
            [NOTE, "is_return", "=", 0],
        ]);
        let rows = self.list(NOTE, &filters, &Value::Null, &json!(["name"]), FOUND_MAX)?;
        only(&rows, &order)
    }

    /// A document as ERPNext itself maps it, with what went in place of what is open.
    fn of_order(&self, document: &Document, source: (&'static str, &str, &str), goods: &[Goods]) -> Told<Paper> {
        let (doctype, method, name) = source;
        let mapped = self.rest.ask(method, &[("source_name", &json!(name))]).map_err(read)?;
        let open = mapped["items"].as_array().map_or(&[][..], Vec::as_slice);
        let rows = rows::of_order(open, goods, method == MAKE_RETURN)?;
        let mut body: Map<String, Value> = mapped.as_object().cloned().unwrap_or_default();
        let is_own = |field: &str| {
            field.starts_with("__") || matches!(field, "name" | "docstatus" | "doctype" | "set_warehouse")
        };
        body.retain(|field, _| !is_own(field));
        body.insert("items".to_owned(), rows.into());
        Ok(Paper { doctype, body: self.dated(document, Value::Object(body)) })
    }

    /// Goods of another site of ours that were on their way, or goods without a purchase.
    fn received(&mut self, document: &Document, goods: Vec<Goods>) -> Told<Paper> {
        if let (Some(reference), Some(transit)) = (&document.reference, self.ways.transit.clone()) {
            let filters = json!([
                [ENTRY, REFERENCE_FIELD, "=", reference],
                [ENTRY, "docstatus", "=", 1],
                ["Stock Entry Detail", "t_warehouse", "=", transit],
            ]);
            if !self.list(ENTRY, &filters, &Value::Null, &json!(["name"]), 1)?.is_empty() {
                let from = |good: Goods| Goods { from: Some(transit.clone()), ..good };
                let goods: Vec<Goods> = goods.into_iter().map(from).collect();
                return self.entry(document, "Material Transfer", &goods);
            }
        }
        self.moved(document, "Material Receipt", &goods)
    }

    /// Goods without an order, where that is allowed.
    fn moved(&self, document: &Document, purpose: &str, goods: &[Goods]) -> Told<Paper> {
        if self.mapping.without_document == WithoutDocument::Move {
            return self.entry(document, purpose, goods);
        }
        let reference = document.reference.as_deref().unwrap_or_default();
        let reason = format!("ERPNext has no submitted document for {reference} ({})", document.kind);
        Err(reject("UNKNOWN_DOCUMENT", reason))
    }

    fn entry(&self, document: &Document, purpose: &str, goods: &[Goods]) -> Told<Paper> {
        let some = goods.iter().filter(|good| !good.quantity.is_zero());
        let rows = some.map(rows::of_entry).collect::<Told<Vec<Value>>>()?;
        let mut body = json!({
            "stock_entry_type": purpose, "purpose": purpose, "company": self.ways.company, "items": rows,
            "remarks": document.source,
        });
        if self.ways.transit.is_some() {
            body[REFERENCE_FIELD] = json!(document.reference);
        }
        Ok(Paper { doctype: ENTRY, body: self.dated(document, body) })
    }

    /// On the day on which it happened.
    fn dated(&self, document: &Document, mut body: Value) -> Value {
        body["posting_date"] = json!(document.date);
        body["set_posting_time"] = json!(1);
        body
    }
}

fn is_signed(document: &Document) -> bool {
    matches!(document.kind, "adjusted" | "counted")
}

/// The one document of a reference; of several none is guessed.
fn only(rows: &[Value], reference: &str) -> Told<Option<String>> {
    let mut names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).to_owned())),
        several => {
            let reason = format!("ERPNext has several documents for {reference}: {}", several.join(", "));
            Err(reject("AMBIGUOUS_DOCUMENT", reason))
        }
    }
}

fn names(rows: &[Value]) -> String {
    rows.iter().filter_map(|row| row["name"].as_str()).collect::<Vec<_>>().join(", ")
}

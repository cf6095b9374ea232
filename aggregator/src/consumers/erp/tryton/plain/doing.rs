//! What every course needs: calls with their answers read, the document's goods in Tryton's records, its day.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::{
    batch::{Ask, Desk, Told},
    catalog::{Catalog, Product, Warehouse, id_of},
};
use crate::consumers::{
    FaultClass, Outcome,
    erp::{
        document::{Document, DocumentLine},
        quantity,
        single::reject,
    },
};

/// What holds for a whole batch.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Company of the login.
    pub(super) company: i64,
    /// Today in the company, `2026-11-23`.
    pub(super) today: String,
    /// Last day of the closed stock periods.
    pub(super) closed: Option<String>,
    /// Whether lots, sales and purchases are there.
    pub(super) has_lots: bool,
    pub(super) has_sales: bool,
    pub(super) has_purchases: bool,
    /// Where goods lie between two warehouses.
    pub(super) transit: Option<i64>,
}

/// What the courses of a batch share.
pub(super) struct Shared<'a> {
    pub(super) facts: &'a Facts,
    pub(super) catalog: &'a Catalog,
}

/// One document under way.
pub(super) struct Doing<'a> {
    pub(super) desk: &'a Desk,
    pub(super) shared: &'a Shared<'a>,
    pub(super) document: &'a Document,
}

/// Goods of one line in Tryton's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Goods {
    pub(super) product: Product,
    /// In the product's own unit; signed.
    pub(super) quantity: Decimal,
    pub(super) lot: Option<i64>,
    /// Places that the line names.
    pub(super) place: Option<i64>,
    pub(super) to_place: Option<i64>,
    /// Whether what is short of it is no longer waited for.
    pub(super) is_rest_cancelled: bool,
    /// Words for people.
    pub(super) label: String,
}

/// `{"__class__": "date", …}`, as trytond's JSON has dates (`protocols/jsonrpc.py`).
pub(super) fn date(iso: &str) -> Value {
    let mut parts = iso.split('-').map(|part| part.parse::<i64>().unwrap_or_default());
    let mut next = || parts.next().unwrap_or_default();
    json!({"__class__": "date", "year": next(), "month": next(), "day": next()})
}

/// The text of such a date.
pub(super) fn iso(date: &Value) -> Option<String> {
    let part = |name: &str| date[name].as_i64();
    Some(format!("{:04}-{:02}-{:02}", part("year")?, part("month")?, part("day")?))
}

/// A quantity as a number of JSON.
pub(super) fn exact(quantity: Decimal) -> Told<Value> {
    quantity::number(quantity)
        .ok_or_else(|| reject("QUANTITY", format!("{quantity} is more exact than Tryton can be told")))
}

impl Doing<'_> {
    /// Records of which one field of several has one of these values.
    pub(super) async fn find(
        &self,
        model: &'static str,
        by: &'static [&'static str],
        values: Vec<Value>,
        more: Value,
        fields: &'static [&'static str],
        limit: usize,
    ) -> Told<Vec<Value>> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let limit = limit.saturating_mul(values.len());
        let answer = self.desk.call(Ask::Find { model, by, values, more, fields, limit }).await?;
        Ok(if let Value::Array(rows) = answer { rows } else { Vec::new() })
    }

    /// Makes records; gives their numbers.
    pub(super) async fn create(&self, model: &'static str, records: Vec<Value>) -> Told<Vec<i64>> {
        let count = records.len();
        let answer = self.desk.call(Ask::Create { model, records }).await?;
        let ids: Vec<i64> = answer.as_array().into_iter().flatten().filter_map(id_of).collect();
        if ids.len() == count {
            return Ok(ids);
        }
        let reason = format!("making {count} of {model} was answered by {answer}");
        Err(Outcome::Unknown { reason, was_answered: true })
    }

    /// Writes values of one record.
    pub(super) async fn write(&self, model: &'static str, id: i64, values: Value) -> Told<()> {
        self.desk.call(Ask::Write { model, id, values }).await.map(drop)
    }

    /// Presses a button of records, all at once.
    pub(super) async fn press(&self, model: &'static str, button: &'static str, ids: Vec<i64>) -> Told<()> {
        if ids.is_empty() {
            return Ok(());
        }
        self.desk.call(Ask::Press { model, button, ids }).await.map(drop)
    }

    /// Any other call.
    pub(super) async fn call(
        &self,
        method: String,
        params: Vec<Value>,
        more: Map<String, Value>,
        is_write: bool,
    ) -> Told<Value> {
        self.desk.call(Ask::Call { method, params, more, is_write }).await
    }

    /// The day to book it on. A site east of the company is in tomorrow for some hours; stock of tomorrow would not count today.
    pub(super) fn day(&self) -> Told<String> {
        let (date, facts) = (&self.document.date, self.shared.facts);
        if let Some(closed) = facts.closed.as_ref().filter(|closed| date <= *closed) {
            let reason = format!("the stock period of {date} is closed in Tryton, up to {closed}");
            return Err(Outcome::Retry { class: FaultClass::ClosedPeriod, after_ms: None, reason });
        }
        if *date <= facts.today {
            return Ok(date.clone());
        }
        let day: Option<jiff::civil::Date> = facts.today.parse().ok();
        match day.and_then(|day| day.tomorrow().ok()) {
            Some(tomorrow) if *date <= tomorrow.to_string() => Ok(facts.today.clone()),
            _ => {
                let reason = format!("it is dated {date}, and today is {} in Tryton", facts.today);
                Err(Outcome::NeedsDecision { reason })
            }
        }
    }

    /// The goods of its lines.
    pub(super) async fn goods(&self, warehouse: &Warehouse) -> Told<Vec<Goods>> {
        let mut goods = Vec::with_capacity(self.document.lines.len());
        for line in &self.document.lines {
            goods.push(self.goods_of(warehouse, line).await?);
        }
        Ok(goods)
    }

    async fn goods_of(&self, warehouse: &Warehouse, line: &DocumentLine) -> Told<Goods> {
        let product = self.product(&line.product).await?;
        let told: Decimal =
            line.quantity.parse().map_err(|_| reject("QUANTITY", format!("{} is no decimal", line.quantity)))?;
        let kind = self.document.kind;
        let is_signed = matches!(kind, "adjusted" | "counted");
        if told < Decimal::ZERO && !is_signed {
            return Err(reject("QUANTITY", format!("{told} of {} cannot be {kind}", product.code)));
        }
        let unit = match &line.unit {
            Some(symbol) => self.unit(symbol, &product).await?,
            None => product.unit.clone(),
        };
        let quantity = unit.told_in(told, &product.unit)?;
        // What comes in, or is found, may be of a lot that nobody has heard of.
        let may_be_new = matches!(kind, "received" | "returned") || is_signed && told > Decimal::ZERO;
        let lot = match &line.lot {
            Some(number) => self.lot(number, &product, may_be_new).await?,
            None => None,
        };
        let place = match &line.location {
            Some(code) => Some(self.location(warehouse, code).await?),
            None => None,
        };
        let to_place = match &line.to_location {
            // The other end of a transfer is a warehouse, which receives by an event of its own.
            Some(code) if kind != "transferred" => Some(self.location(warehouse, code).await?),
            _ => None,
        };
        let is_rest_cancelled = line.short == Some("cancel");
        let label = product.code.clone();
        Ok(Goods { product, quantity, lot, place, to_place, is_rest_cancelled, label })
    }

    /// Goods of a product that Tryton itself told of.
    pub(super) async fn goods_like(
        &self,
        product: i64,
        quantity: Decimal,
        lot: Option<i64>,
        place: Option<i64>,
    ) -> Told<Goods> {
        let label = format!("product {product}");
        let product = Product { id: product, code: label.clone(), unit: self.own_unit(product).await? };
        Ok(Goods { product, quantity, lot, place, to_place: None, is_rest_cancelled: false, label })
    }

    /// The reference of a document that is its own: the key, behind the number of a transfer where it belongs to one.
    pub(super) fn transfer_reference(&self) -> String {
        match &self.document.reference {
            Some(reference) => format!("{reference} {}", self.document.key),
            None => self.document.key.clone(),
        }
    }
}

/// Number of a document, as `stock.shipment.out 17`.
pub(super) fn name(model: &str, row: &Value) -> String {
    match row["number"].as_str() {
        Some(number) => format!("{model} {number}"),
        None => format!("{model} ({})", row["id"]),
    }
}

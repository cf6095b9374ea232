//! What Tryton calls the things of a document: warehouses, locations, products, units, lots.
//!
//! Kept between documents, for most of a day is about the same few; forgotten whenever Tryton refuses something, for it may be that
//! what was kept is no longer so.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::{Value, json};

use super::{
    batch::Told,
    doing::Doing,
    unit::{self, Unit},
};
use crate::consumers::erp::single::reject;

/// Units of one symbol, in different categories.
const UNITS_MAX: usize = 20;

/// What is known of a Tryton.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    warehouses: RefCell<BTreeMap<String, Warehouse>>,
    locations: RefCell<BTreeMap<(i64, String), i64>>,
    products: RefCell<BTreeMap<String, Product>>,
    units: RefCell<BTreeMap<i64, Unit>>,
    /// The unit of each product, by its record.
    own_units: RefCell<BTreeMap<i64, i64>>,
}

/// A warehouse with its places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Warehouse {
    pub(super) id: i64,
    pub(super) code: String,
    pub(super) storage: i64,
    pub(super) input: i64,
    /// Where what is lost goes and what is found comes from.
    pub(super) lost: Option<i64>,
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) id: i64,
    pub(super) code: String,
    /// The unit that its stock is kept in.
    pub(super) unit: Unit,
}

/// The record of a many2one.
pub(super) fn id_of(value: &Value) -> Option<i64> {
    value.as_i64()
}

impl Catalog {
    /// Whatever was known may be no longer so.
    pub(super) fn forget(&self) {
        self.warehouses.borrow_mut().clear();
        self.locations.borrow_mut().clear();
        self.products.borrow_mut().clear();
        self.units.borrow_mut().clear();
        self.own_units.borrow_mut().clear();
    }
}

impl Doing<'_> {
    /// The site's warehouse.
    pub(super) async fn warehouse(&self, code: &str) -> Told<Warehouse> {
        if let Some(known) = self.shared.catalog.warehouses.borrow().get(code) {
            return Ok(known.clone());
        }
        let fields = &["code", "storage_location", "input_location", "lost_found_location"];
        let more = json!([["type", "=", "warehouse"]]);
        let row = self.only("stock.location", code, more, fields, ("WAREHOUSE", "warehouse")).await?;
        let part = |field: &str| {
            id_of(&row[field]).ok_or_else(|| reject("ERP_SETUP", format!("warehouse {code} of Tryton has no {field}")))
        };
        let warehouse = Warehouse {
            id: part("id")?,
            code: code.to_owned(),
            storage: part("storage_location")?,
            input: part("input_location")?,
            lost: id_of(&row["lost_found_location"]),
        };
        self.shared.catalog.warehouses.borrow_mut().insert(code.to_owned(), warehouse.clone());
        Ok(warehouse)
    }

    /// A storage location below a warehouse.
    pub(super) async fn location(&self, warehouse: &Warehouse, code: &str) -> Told<i64> {
        let key = (warehouse.id, code.to_owned());
        if let Some(known) = self.shared.catalog.locations.borrow().get(&key) {
            return Ok(*known);
        }
        let more = json!([["type", "=", "storage"], ["parent", "child_of", [warehouse.id]]]);
        let row =
            self.only("stock.location", code, more, &["code"], ("LOCATION", "location of that warehouse")).await?;
        let id = id_of(&row["id"]).unwrap_or_default();
        self.shared.catalog.locations.borrow_mut().insert(key, id);
        Ok(id)
    }

    /// Where what was lost or found for a reason is booked: in that warehouse or in none.
    pub(super) async fn account(&self, warehouse: &Warehouse, code: &str) -> Told<i64> {
        let key = (warehouse.id, code.to_owned());
        if let Some(known) = self.shared.catalog.locations.borrow().get(&key) {
            return Ok(*known);
        }
        let more = json!([["type", "=", "lost_found"]]);
        let words = ("LOCATION", "lost and found location");
        let row = self.only("stock.location", code, more, &["code"], words).await?;
        let id = id_of(&row["id"]).unwrap_or_default();
        self.shared.catalog.locations.borrow_mut().insert(key, id);
        Ok(id)
    }

    /// A product by its code.
    pub(super) async fn product(&self, code: &str) -> Told<Product> {
        if let Some(known) = self.shared.catalog.products.borrow().get(code) {
            return Ok(known.clone());
        }
        let fields = &["code", "default_uom"];
        let row = self.only("product.product", code, json!([]), fields, ("PRODUCT", "active product")).await?;
        let unit = self.unit_of(id_of(&row["default_uom"]).unwrap_or_default()).await?;
        let product = Product { id: id_of(&row["id"]).unwrap_or_default(), code: code.to_owned(), unit };
        self.shared.catalog.own_units.borrow_mut().insert(product.id, product.unit.id);
        self.shared.catalog.products.borrow_mut().insert(code.to_owned(), product.clone());
        Ok(product)
    }

    /// A unit by its record.
    pub(super) async fn unit_of(&self, id: i64) -> Told<Unit> {
        if let Some(known) = self.shared.catalog.units.borrow().get(&id) {
            return Ok(known.clone());
        }
        let rows = self.find("product.uom", &["id"], vec![json!(id)], json!([]), unit::FIELDS, 1).await?;
        let unit = rows.first().and_then(Unit::read);
        let unit = unit.ok_or_else(|| reject("UNKNOWN_UNIT", format!("Tryton has no unit {id}")))?;
        self.shared.catalog.units.borrow_mut().insert(id, unit.clone());
        Ok(unit)
    }

    /// The unit that the stock of a product is kept in, by its record: a move may be of one that no line names.
    pub(super) async fn own_unit(&self, product: i64) -> Told<Unit> {
        let known = self.shared.catalog.own_units.borrow().get(&product).copied();
        let unit = match known {
            Some(unit) => unit,
            None => {
                let fields = &["code", "default_uom"];
                let rows = self.find("product.product", &["id"], vec![json!(product)], json!([]), fields, 1).await?;
                let unit = rows.first().and_then(|row| id_of(&row["default_uom"])).unwrap_or_default();
                self.shared.catalog.own_units.borrow_mut().insert(product, unit);
                unit
            }
        };
        self.unit_of(unit).await
    }

    /// The unit of a symbol in which a product can be told. Two categories may use one symbol.
    pub(super) async fn unit(&self, symbol: &str, product: &Product) -> Told<Unit> {
        if product.unit.symbol == symbol {
            return Ok(product.unit.clone());
        }
        let values = vec![json!(symbol)];
        let rows = self.find("product.uom", &["symbol"], values, json!([]), unit::FIELDS, UNITS_MAX).await?;
        let fits = |unit: &Unit| unit.category == product.unit.category;
        let mut units: Vec<Unit> = rows.iter().filter_map(Unit::read).filter(fits).collect();
        match (units.pop(), units.is_empty()) {
            (Some(unit), true) => Ok(unit),
            _ => {
                let (code, own) = (&product.code, &product.unit.symbol);
                let reason = format!("Tryton has not one unit \"{symbol}\" for {code}, which is kept in \"{own}\"");
                Err(reject("UNKNOWN_UNIT", reason))
            }
        }
    }

    /// A lot of a product; `None` where lots are not kept, or there is none of that number.
    pub(super) async fn lot(&self, number: &str, product: &Product, may_be_new: bool) -> Told<Option<i64>> {
        if !self.shared.facts.has_lots {
            return Ok(None);
        }
        let more = json!([["product", "=", product.id]]);
        let rows = self.find("stock.lot", &["number"], vec![json!(number)], more, &["number"], 1).await?;
        if let Some(id) = rows.first().and_then(|row| id_of(&row["id"])) {
            return Ok(Some(id));
        }
        if !may_be_new {
            return Err(reject("UNKNOWN_LOT", format!("Tryton has no lot \"{number}\" of {}", product.code)));
        }
        // Made twice after a lost answer, both mean the same goods and the first is used.
        let made = self.create("stock.lot", vec![json!({"number": number, "product": product.id})]).await?;
        Ok(made.first().copied())
    }

    /// The one record of a code; none and several have a code each.
    async fn only(
        &self,
        model: &'static str,
        name: &str,
        more: Value,
        fields: &'static [&'static str],
        (code, what): (&str, &str),
    ) -> Told<Value> {
        let mut rows = self.find(model, &["code"], vec![json!(name)], more, fields, 2).await?;
        match rows.len() {
            1 => Ok(rows.remove(0)),
            0 => Err(reject(&format!("UNKNOWN_{code}"), format!("Tryton has no {what} with the code \"{name}\""))),
            _ => {
                let reason = format!("Tryton has more than one {what} with the code \"{name}\"");
                Err(reject(&format!("AMBIGUOUS_{code}"), reason))
            }
        }
    }
}

//! What Odoo calls the things of a document: warehouses, locations, products, units, lots.
//!
//! Kept between documents, for most of a day is about the same few; forgotten whenever Odoo refuses something, for it may be that
//! what was kept is no longer so.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Odoo, Told};
use crate::consumers::erp::single::reject;

/// What is known of an Odoo.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    warehouses: BTreeMap<String, Warehouse>,
    locations: BTreeMap<String, i64>,
    products: BTreeMap<String, Product>,
    units: BTreeMap<String, i64>,
    types: BTreeMap<i64, Ends>,
}

/// A warehouse.
#[derive(Debug, Clone, Copy)]
pub(super) struct Warehouse {
    /// Its record.
    pub(super) id: i64,
    /// Where its available stock lies.
    pub(super) stock: i64,
    /// Its operation types.
    pub(super) incoming: i64,
    pub(super) outgoing: i64,
    pub(super) internal: i64,
}

/// Where the goods of an operation type come from and go to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) from: Option<i64>,
    pub(super) to: Option<i64>,
}

/// A product.
#[derive(Debug, Clone)]
pub(super) struct Product {
    pub(super) id: i64,
    pub(super) code: String,
    /// Its own unit.
    pub(super) unit: i64,
    /// Whether its stock is kept by lot or by serial number.
    pub(super) tracking: Tracking,
    /// Where what is lost of it goes.
    pub(super) loss: Option<i64>,
}

/// How stock of a product is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tracking {
    None,
    Lot,
    Serial,
}

/// The record of a many2one: `[id, name]`, or false where it is empty.
pub(super) fn id_of(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.get(0)?.as_i64())
}

impl Odoo {
    pub(super) fn forget(&mut self) {
        self.catalog = Catalog::default();
    }

    pub(super) fn warehouse(&mut self, code: &str) -> Told<Warehouse> {
        if let Some(known) = self.catalog.warehouses.get(code) {
            return Ok(*known);
        }
        let fields = ["lot_stock_id", "in_type_id", "out_type_id", "int_type_id"];
        let row =
            self.only("stock.warehouse", json!([["code", "=", code]]), &fields, ("WAREHOUSE", "warehouse", code))?;
        let part = |field: &str| {
            id_of(&row[field]).ok_or_else(|| reject("ERP_SETUP", format!("warehouse {code} of Odoo has no {field}")))
        };
        let warehouse = Warehouse {
            id: part("id")?,
            stock: part("lot_stock_id")?,
            incoming: part("in_type_id")?,
            outgoing: part("out_type_id")?,
            internal: part("int_type_id")?,
        };
        self.catalog.warehouses.insert(code.to_owned(), warehouse);
        Ok(warehouse)
    }

    /// A location by its full name, as `WH/Stock/Damaged`.
    pub(super) fn location(&mut self, name: &str) -> Told<i64> {
        if let Some(known) = self.catalog.locations.get(name) {
            return Ok(*known);
        }
        let domain = json!([["complete_name", "=", name]]);
        let row = self.only("stock.location", domain, &[], ("LOCATION", "location", name))?;
        let id = id_of(&row["id"]).unwrap_or_default();
        self.catalog.locations.insert(name.to_owned(), id);
        Ok(id)
    }

    pub(super) fn product(&mut self, code: &str) -> Told<Product> {
        if let Some(known) = self.catalog.products.get(code) {
            return Ok(known.clone());
        }
        let fields = ["uom_id", "tracking", "property_stock_inventory"];
        let domain = json!([["default_code", "=", code]]);
        let row = self.only(
            "product.product",
            domain,
            &fields,
            ("PRODUCT", "active product with the internal reference", code),
        )?;
        let product = Product {
            id: id_of(&row["id"]).unwrap_or_default(),
            code: code.to_owned(),
            unit: id_of(&row["uom_id"]).unwrap_or_default(),
            tracking: match row["tracking"].as_str() {
                Some("lot") => Tracking::Lot,
                Some("serial") => Tracking::Serial,
                _ => Tracking::None,
            },
            loss: id_of(&row["property_stock_inventory"]),
        };
        self.catalog.products.insert(code.to_owned(), product.clone());
        Ok(product)
    }

    pub(super) fn unit(&mut self, name: &str) -> Told<i64> {
        if let Some(known) = self.catalog.units.get(name) {
            return Ok(*known);
        }
        let row = self.only("uom.uom", json!([["name", "=", name]]), &[], ("UNIT", "unit of measure", name))?;
        let id = id_of(&row["id"]).unwrap_or_default();
        self.catalog.units.insert(name.to_owned(), id);
        Ok(id)
    }

    /// A lot of a product, where there is one of that name.
    pub(super) fn lot(&mut self, name: &str, product: &Product) -> Told<Option<i64>> {
        let domain = json!([["name", "=", name], ["product_id", "=", product.id]]);
        let rows = self.rows("stock.lot", domain, &["id"], 1)?;
        Ok(rows.first().and_then(|row| id_of(&row["id"])))
    }

    pub(super) fn ends(&mut self, operation_type: i64) -> Told<Ends> {
        if let Some(known) = self.catalog.types.get(&operation_type) {
            return Ok(*known);
        }
        let fields = ["default_location_src_id", "default_location_dest_id"];
        // Internal transfers are switched off where a warehouse has one location only, and exist all the same.
        let domain = json!([["id", "=", operation_type], ["active", "in", [true, false]]]);
        let rows = self.rows("stock.picking.type", domain, &fields, 1)?;
        let end = |field: &str| rows.first().and_then(|row| id_of(&row[field]));
        let ends = Ends { from: end("default_location_src_id"), to: end("default_location_dest_id") };
        self.catalog.types.insert(operation_type, ends);
        Ok(ends)
    }

    /// The one record that fits; none and several have a code each.
    fn only(
        &mut self,
        model: &str,
        domain: Value,
        fields: &[&str],
        (code, what, name): (&str, &str, &str),
    ) -> Told<Value> {
        let mut fields = fields.to_vec();
        fields.push("id");
        let mut rows = self.rows(model, domain, &fields, 2)?;
        match rows.len() {
            1 => Ok(rows.remove(0)),
            0 => Err(reject(&format!("UNKNOWN_{code}"), format!("Odoo has no {what} \"{name}\""))),
            _ => Err(reject(&format!("AMBIGUOUS_{code}"), format!("Odoo has more than one {what} \"{name}\""))),
        }
    }
}

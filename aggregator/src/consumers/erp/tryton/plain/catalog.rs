//! Master data by the names that documents use, kept for as long as nothing of it is refused.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Plain, Told, id_of, read, written};
use crate::consumers::erp::{single::reject, tryton::rpc::Failure};

/// What was looked up.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    warehouses: HashMap<String, Warehouse>,
    products: HashMap<String, Product>,
    /// By warehouse and code.
    locations: HashMap<(i64, String), i64>,
    lots: HashMap<(i64, String), i64>,
}

/// A warehouse and its places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Warehouse {
    pub(super) id: i64,
    pub(super) storage: i64,
    pub(super) input: i64,
    pub(super) output: i64,
    pub(super) lost: Option<i64>,
}

/// A product and the unit that its stock is kept in.
#[derive(Debug, Clone)]
pub(super) struct Product {
    pub(super) id: i64,
    pub(super) unit: i64,
    pub(super) symbol: String,
}

impl Plain {
    pub(super) fn warehouse(&mut self, code: &str) -> Told<Warehouse> {
        if let Some(known) = self.catalog.warehouses.get(code) {
            return Ok(*known);
        }
        let fields = ["storage_location", "input_location", "output_location", "lost_found_location"];
        let domain = json!([["type", "=", "warehouse"], ["code", "=", code]]);
        let row = self.only("stock.location", domain, &fields, ("WAREHOUSE", "warehouse with the code", code))?;
        let warehouse = Warehouse {
            id: id_of(&row["id"]),
            storage: id_of(&row["storage_location"]),
            input: id_of(&row["input_location"]),
            output: id_of(&row["output_location"]),
            lost: row["lost_found_location"].as_i64(),
        };
        self.catalog.warehouses.insert(code.to_owned(), warehouse);
        Ok(warehouse)
    }

    pub(super) fn product(&mut self, code: &str) -> Told<Product> {
        if let Some(known) = self.catalog.products.get(code) {
            return Ok(known.clone());
        }
        let domain = json!([["code", "=", code]]);
        let fields = ["default_uom", "default_uom.symbol"];
        let row = self.only("product.product", domain, &fields, ("PRODUCT", "active product with the code", code))?;
        let product = Product {
            id: id_of(&row["id"]),
            unit: id_of(&row["default_uom"]),
            symbol: row["default_uom."]["symbol"].as_str().unwrap_or_default().to_owned(),
        };
        self.catalog.products.insert(code.to_owned(), product.clone());
        Ok(product)
    }

    /// A place of a warehouse that holds stock.
    pub(super) fn place(&mut self, warehouse: Warehouse, code: &str) -> Told<i64> {
        let domain = json!([["type", "=", "storage"], ["code", "=", code], ["parent", "child_of", [warehouse.id]]]);
        self.location(warehouse, code, domain)
    }

    /// Where what is lost is booked: in the warehouse or in none.
    pub(super) fn account(&mut self, warehouse: Warehouse, code: &str) -> Told<i64> {
        self.location(warehouse, code, json!([["type", "=", "lost_found"], ["code", "=", code]]))
    }

    fn location(&mut self, warehouse: Warehouse, code: &str, domain: Value) -> Told<i64> {
        let key = (warehouse.id, code.to_owned());
        if let Some(known) = self.catalog.locations.get(&key) {
            return Ok(*known);
        }
        let row = self.only("stock.location", domain, &[], ("LOCATION", "location with the code", code))?;
        let id = id_of(&row["id"]);
        self.catalog.locations.insert(key, id);
        Ok(id)
    }

    /// The lot of a product; `None` where Tryton keeps no lots. What comes in may be of one that nobody has heard of: it is made, which
    /// moves nothing.
    pub(super) fn lot(&mut self, product: &Product, number: &str, may_be_new: bool) -> Told<Option<i64>> {
        let key = (product.id, number.to_owned());
        if let Some(known) = self.catalog.lots.get(&key) {
            return Ok(Some(*known));
        }
        let domain = json!([["product", "=", product.id], ["number", "=", number]]);
        let Some(rows) = self.rows_if_any("stock.lot", domain, 1, &["number"])? else { return Ok(None) };
        let id = match rows.first() {
            Some(row) => id_of(&row["id"]),
            None if may_be_new => {
                let values = json!([{"product": product.id, "number": number}]);
                id_of(&self.rpc.call("model.stock.lot.create", &[values]).map_err(written)?[0])
            }
            None => return Err(reject("UNKNOWN_LOT", format!("Tryton has no lot \"{number}\" of that product"))),
        };
        self.catalog.lots.insert(key, id);
        Ok(Some(id))
    }

    /// The one record of a name; `what` is the code's end, words and the name.
    fn only(&mut self, model: &str, domain: Value, fields: &[&str], what: (&str, &str, &str)) -> Told<Value> {
        let (code, words, name) = what;
        let params = [domain, json!(0), json!(2), json!(null), json!(fields)];
        let answer = self.rpc.call(&format!("model.{model}.search_read"), &params);
        let answer = answer.map_err(|failure: Failure| read(failure))?;
        match answer.as_array().map_or(&[][..], Vec::as_slice) {
            [one] => Ok(one.clone()),
            [] => Err(reject(&format!("UNKNOWN_{code}"), format!("Tryton has no {words} \"{name}\""))),
            _ => Err(reject(&format!("AMBIGUOUS_{code}"), format!("Tryton has several {words} \"{name}\""))),
        }
    }
}

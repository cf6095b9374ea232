//! What ERPNext has in stock: its bins, which add up an item in a warehouse over all batches.

use serde_json::{Value, json};

use super::{ErpNext, Told};
use crate::consumers::erp::{
    balances::{self, Stocked},
    mapping::Mapping,
    quantity,
    single::{Single as _, words},
};

/// All of them (docs.frappe.io, *Listing Documents*).
const ALL: usize = 0;

impl ErpNext {
    fn bins(&self, warehouse: &str) -> Told<Vec<balances::Told>> {
        let mut warehouses = balances::places(&self.mapping, warehouse);
        warehouses.insert(warehouse.to_owned());
        let filters = json!([["warehouse", "in", warehouses], ["actual_qty", "!=", 0]]);
        let fields = json!(["item_code", "warehouse", "actual_qty"]);
        let rows = self.list("Bin", &filters, &Value::Null, &fields, ALL)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let told = |row: &Value| {
            let quantity = quantity::decimal(&row["actual_qty"])?;
            Some((text(&row["item_code"]), String::new(), text(&row["warehouse"]), quantity))
        };
        Ok(rows.iter().filter_map(told).collect())
    }
}

impl Stocked for ErpNext {
    fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    fn stock(&mut self, warehouse: &str) -> Result<Vec<balances::Told>, String> {
        self.prepare().map_err(|failure| failure.words())?;
        self.bins(warehouse).map_err(|outcome| words(&outcome))
    }
}

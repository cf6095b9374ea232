//! What Odoo has in stock: its quants, page by page.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Odoo, Told, catalog::id_of};
use crate::consumers::erp::{
    balances::{self, Stocked},
    mapping::Mapping,
    quantity,
    single::{Single as _, words},
};

/// Records of one page.
const PAGE: usize = 2_000;

impl Odoo {
    fn quants(&mut self, warehouse: &str) -> Told<Vec<balances::Told>> {
        let found = self.rows("stock.warehouse", json!([["code", "=", warehouse]]), &["view_location_id"], 1)?;
        let top = found.first().and_then(|row| id_of(&row["view_location_id"]));
        let top = top.ok_or_else(|| {
            super::single::reject("UNKNOWN_WAREHOUSE", format!("Odoo has no warehouse \"{warehouse}\""))
        })?;
        let (mut quants, mut last) = (Vec::new(), 0);
        loop {
            let domain =
                json!([["id", ">", last], ["location_id", "child_of", top], ["location_id.usage", "=", "internal"],]);
            let page = self.rows("stock.quant", domain, &["product_id", "lot_id", "location_id", "quantity"], PAGE)?;
            last = page.last().and_then(|row| id_of(&row["id"])).unwrap_or(last);
            let is_last = page.len() < PAGE;
            quants.extend(page);
            if is_last {
                break;
            }
        }
        let codes = self.named("product.product", "default_code", ids(&quants, "product_id"))?;
        let places = self.named("stock.location", "complete_name", ids(&quants, "location_id"))?;
        let told = |row: &Value| {
            let of = |names: &BTreeMap<i64, String>, field: &str| {
                let name = id_of(&row[field]).and_then(|id| names.get(&id).cloned());
                name.unwrap_or_else(|| shown(&row[field]))
            };
            Some((
                of(&codes, "product_id"),
                shown(&row["lot_id"]),
                of(&places, "location_id"),
                quantity::decimal(&row["quantity"])?,
            ))
        };
        Ok(quants.iter().filter_map(told).collect())
    }

    /// The name of each record by one of its fields; archived ones too, for they may still lie somewhere.
    fn named(&mut self, model: &str, field: &str, ids: BTreeSet<i64>) -> Told<BTreeMap<i64, String>> {
        let ids: Vec<i64> = ids.into_iter().collect();
        let mut names = BTreeMap::new();
        for part in ids.chunks(PAGE) {
            let domain = json!([["id", "in", part], ["active", "in", [true, false]]]);
            for row in self.rows(model, domain, &[field], PAGE)? {
                names.extend(id_of(&row["id"]).zip(row[field].as_str().map(str::to_owned)));
            }
        }
        Ok(names)
    }
}

fn ids(rows: &[Value], field: &str) -> BTreeSet<i64> {
    rows.iter().filter_map(|row| id_of(&row[field])).collect()
}

/// What a many2one shows to people; empty where it is empty.
fn shown(value: &Value) -> String {
    value.get(1).and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl Stocked for Odoo {
    fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    fn stock(&mut self, warehouse: &str) -> Result<Vec<balances::Told>, String> {
        self.prepare().map_err(|failure| failure.words())?;
        self.quants(warehouse).map_err(|outcome| words(&outcome))
    }
}

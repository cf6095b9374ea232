//! What Tryton has in stock, by product, lot and the places that a mapping names.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::{
    super::{Balance, rpc::Rpc},
    doing::date,
};
use crate::consumers::erp::{balances::places, mapping::Mapping, quantity};

/// Records of one page.
const PAGE: usize = 1_000;
/// Locations of one warehouse that are read.
const LOCATIONS_MAX: usize = 100_000;

/// Balances that are not zero. Only places of a status are told apart: all others of the warehouse hold available stock, and a
/// warehouse may have thousands of them.
pub(super) fn balances(
    rpc: &mut Rpc,
    mapping: &Mapping,
    warehouse: &str,
    (today, has_lots): (&str, bool),
) -> Result<BTreeMap<Balance, Decimal>, String> {
    let locations = locations(rpc, warehouse)?;
    let named = places(mapping, warehouse);
    let mut by_place: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (id, code) in &locations {
        by_place.entry(named.get(code).map_or("", String::as_str)).or_default().push(*id);
    }
    let mut balances = BTreeMap::new();
    for (place, ids) in by_place {
        let mut context = Map::new();
        context.insert("locations".to_owned(), json!(ids));
        context.insert("stock_date_end".to_owned(), date(today));
        context.insert("with_childs".to_owned(), json!(false));
        // What is no longer sold may still lie there.
        context.insert("active_test".to_owned(), json!(false));
        let mut add = |item: &str, lot: &str, quantity: Decimal| {
            *balances.entry((item.to_owned(), lot.to_owned(), place.to_owned())).or_default() += quantity;
        };
        if has_lots {
            for row in pages(rpc, "stock.lot", &["number", "quantity", "product.code"], &context)? {
                let (item, quantity) = (text(&row["product."]["code"]), amount(&row)?);
                add(item, text(&row["number"]), quantity);
                // The product's own sum has it too.
                add(item, "", -quantity);
            }
        }
        for row in pages(rpc, "product.product", &["code", "quantity"], &context)? {
            add(text(&row["code"]), "", amount(&row)?);
        }
    }
    balances.retain(|_, quantity: &mut Decimal| !quantity.is_zero());
    Ok(balances)
}

fn locations(rpc: &mut Rpc, warehouse: &str) -> Result<Vec<(i64, String)>, String> {
    let domain = json!([["type", "=", "warehouse"], ["code", "=", warehouse]]);
    let found = read(rpc, "stock.location", domain, &["code"], (0, 2), &Map::new())?;
    let [one] = found.as_slice() else {
        return Err(format!("UNKNOWN_WAREHOUSE: Tryton has not one warehouse with the code \"{warehouse}\""));
    };
    let domain = json!([["type", "=", "storage"], ["parent", "child_of", [one["id"]]]]);
    let context = Map::from_iter([("active_test".to_owned(), json!(false))]);
    let rows = read(rpc, "stock.location", domain, &["code"], (0, LOCATIONS_MAX), &context)?;
    Ok(rows.iter().filter_map(|row| Some((row["id"].as_i64()?, text(&row["code"]).to_owned()))).collect())
}

/// All records whose quantity is not zero in the context.
fn pages(rpc: &mut Rpc, model: &str, fields: &[&str], context: &Map<String, Value>) -> Result<Vec<Value>, String> {
    let (mut all, mut last) = (Vec::new(), 0);
    loop {
        let domain = json!([["quantity", "!=", 0], ["id", ">", last]]);
        let page = read(rpc, model, domain, fields, (0, PAGE), context)?;
        last = page.last().and_then(|row| row["id"].as_i64()).unwrap_or(last);
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

fn read(
    rpc: &mut Rpc,
    model: &str,
    domain: Value,
    fields: &[&str],
    (offset, limit): (usize, usize),
    context: &Map<String, Value>,
) -> Result<Vec<Value>, String> {
    let params = [domain, json!(offset), json!(limit), json!([["id", "ASC"]]), json!(fields)];
    let answer = rpc.call_in(&format!("model.{model}.search_read"), &params, context);
    match answer.map_err(|failure| failure.words())? {
        Value::Array(rows) => Ok(rows),
        other => Err(format!("a search was answered by {other}")),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn amount(row: &Value) -> Result<Decimal, String> {
    quantity::decimal(&row["quantity"]).map(|n| n.normalize()).ok_or_else(|| format!("a balance reads {row}"))
}

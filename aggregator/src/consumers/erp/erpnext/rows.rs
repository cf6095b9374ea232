//! The rows of a document of ERPNext: those that an order has mapped, with what went, or new ones. Pure.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::Told;
use crate::consumers::erp::{quantity, single::reject, spread::spread};

/// Fields of a mapped row that belong to the row it came from, or are worked out again when it is saved.
const OWN_FIELDS: [&str; 13] = [
    "name",
    "idx",
    "parent",
    "parentfield",
    "parenttype",
    "docstatus",
    "owner",
    "creation",
    "modified",
    "modified_by",
    "stock_qty",
    "received_stock_qty",
    "serial_and_batch_bundle",
];

/// Goods of one line, in ERPNext's words.
#[derive(Debug, Clone)]
pub(super) struct Goods {
    pub(super) item: String,
    pub(super) quantity: Decimal,
    /// Unit that the quantity is in; the item's own where none was named.
    pub(super) unit: String,
    /// Unit that the item's stock is kept in.
    pub(super) stock_unit: String,
    /// Batch, where the item has batches.
    pub(super) batch: Option<String>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    /// Account of what was found or lost; the company's own where none is named.
    pub(super) account: Option<String>,
}

/// Rows of an order's document: each mapped row up to what is open, what is more on the last of its item.
pub(super) fn of_order(mapped: &[Value], goods: &[Goods], is_return: bool) -> Told<Vec<Value>> {
    let open = |row: &Value| quantity::decimal(&row["qty"]).unwrap_or_default().abs().normalize();
    let mut rooms: Vec<Decimal> = mapped.iter().map(open).collect();
    let mut rows = Vec::new();
    for good in goods.iter().filter(|good| !good.quantity.is_zero()) {
        let of_item: Vec<usize> =
            (0..mapped.len()).filter(|at| mapped[*at]["item_code"] == good.item.as_str()).collect();
        if of_item.is_empty() {
            return Err(reject("UNMATCHED_LINE", format!("the order has nothing open of {}", good.item)));
        }
        let quantity = in_unit_of(&mapped[of_item[0]], good)?;
        if of_item.iter().any(|at| mapped[*at]["uom"] != mapped[of_item[0]]["uom"]) {
            return Err(reject("UNIT", format!("the order has {} in several units", good.item)));
        }
        let mut own: Vec<Decimal> = of_item.iter().map(|at| rooms[*at]).collect();
        for (at, part) in spread(&mut own, quantity) {
            rows.push(row(&mapped[of_item[at]], part, good, is_return)?);
        }
        for (at, room) in of_item.iter().zip(own) {
            rooms[*at] = room;
        }
    }
    Ok(rows)
}

fn row(mapped: &Value, part: Decimal, good: &Goods, is_return: bool) -> Told<Value> {
    let mut row: Map<String, Value> = mapped.as_object().cloned().unwrap_or_default();
    row.retain(|field, _| !field.starts_with("__") && !OWN_FIELDS.contains(&field.as_str()));
    let quantity = exact(if is_return { -part } else { part })?;
    if row.contains_key("received_qty") {
        row.insert("received_qty".to_owned(), quantity.clone());
        row.insert("rejected_qty".to_owned(), json!(0));
    }
    row.insert("qty".to_owned(), quantity);
    if let Some(warehouse) = good.from.as_ref().or(good.to.as_ref()) {
        row.insert("warehouse".to_owned(), json!(warehouse));
    }
    let mut row = Value::Object(row);
    set_batch(&mut row, good);
    Ok(row)
}

/// A row of a stock entry.
pub(super) fn of_entry(good: &Goods) -> Told<Value> {
    if good.unit != good.stock_unit {
        let reason =
            format!("stock of {} is kept in {}, not in {}: map the unit", good.item, good.stock_unit, good.unit);
        return Err(reject("UNIT", reason));
    }
    let mut row = json!({
        "item_code": good.item, "qty": exact(good.quantity)?, "uom": good.unit, "stock_uom": good.unit,
        "conversion_factor": 1, "s_warehouse": good.from, "t_warehouse": good.to,
    });
    if let Some(account) = &good.account {
        row["expense_account"] = json!(account);
    }
    set_batch(&mut row, good);
    Ok(row)
}

fn set_batch(row: &mut Value, good: &Goods) {
    if let Some(batch) = &good.batch {
        row["batch_no"] = json!(batch);
        // Since 15 a batch stands in a bundle of its own unless the row says that it stands here.
        row["use_serial_batch_fields"] = json!(1);
    }
}

/// The quantity in the unit of an order's row; exactly or not at all.
fn in_unit_of(row: &Value, good: &Goods) -> Told<Decimal> {
    let unit = row["uom"].as_str().unwrap_or(&good.stock_unit);
    if unit == good.unit {
        return Ok(good.quantity);
    }
    let factor = quantity::decimal(&row["conversion_factor"]).filter(|factor| *factor > Decimal::ZERO);
    let whole = factor.filter(|_| good.unit == good.stock_unit).and_then(|factor| {
        let whole = good.quantity.checked_div(factor)?.normalize();
        (whole.checked_mul(factor)? == good.quantity).then_some(whole)
    });
    whole.ok_or_else(|| {
        let reason =
            format!("the order has {} in {unit}, which {} {} do not make", good.item, good.quantity, good.unit);
        reject("UNIT", reason)
    })
}

fn exact(quantity: Decimal) -> Told<Value> {
    quantity::number(quantity)
        .ok_or_else(|| reject("QUANTITY", format!("{quantity} has more digits than a number of ERPNext holds")))
}

/// ERPNext rounds what its precision cannot hold, and says nothing: whether what was saved is what was sent.
pub(super) fn check_saved(sent: &Value, saved: &Value) -> Told<()> {
    let sums = |document: &Value| {
        let mut sums: BTreeMap<String, Decimal> = BTreeMap::new();
        for row in document["items"].as_array().into_iter().flatten() {
            let item = row["item_code"].as_str().unwrap_or_default().to_owned();
            *sums.entry(item).or_default() += quantity::decimal(&row["qty"]).unwrap_or_default();
        }
        sums
    };
    let saved = sums(saved);
    for (item, sent) in sums(sent) {
        let found = saved.get(&item).copied().unwrap_or_default();
        if found != sent {
            let reason =
                format!("{sent} of {item} were told, ERPNext made {found} of it: its precision has fewer decimals");
            return Err(reject("QUANTITY", reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumers::Outcome;

    fn goods(quantity: i64) -> Goods {
        Goods {
            item: "SKU-1".to_owned(),
            quantity: quantity.into(),
            unit: "Nos".to_owned(),
            stock_unit: "Nos".to_owned(),
            batch: None,
            from: Some("Stores - A".to_owned()),
            to: None,
            account: None,
        }
    }

    fn mapped(detail: &str, open: f64, unit: &str, factor: f64) -> Value {
        json!({"name": "x", "__islocal": 1, "item_code": "SKU-1", "qty": open, "uom": unit, "conversion_factor": factor,
               "so_detail": detail, "stock_qty": 99, "warehouse": "Other - A", "rate": 3.5})
    }

    fn code<T: std::fmt::Debug>(told: Told<T>) -> String {
        match told {
            Err(Outcome::Rejected { code, .. }) => code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rows_keep_their_line_of_the_order_and_lose_what_is_worked_out_again() {
        let open = [mapped("a", 4.0, "Nos", 1.0), mapped("b", 4.0, "Nos", 1.0)];

        let rows = of_order(&open, &[goods(5)], false).unwrap();

        let expected = json!({"item_code": "SKU-1", "qty": 4.0, "uom": "Nos", "conversion_factor": 1.0, "so_detail": "a",
                              "warehouse": "Stores - A", "rate": 3.5});
        assert_eq!(rows[0], expected);
        assert_eq!((&rows[1]["so_detail"], &rows[1]["qty"]), (&json!("b"), &json!(1.0)));
    }

    #[test]
    fn an_order_in_another_unit_gets_what_the_pieces_make_of_it() {
        let dozens = [mapped("a", 4.0, "Dozen", 12.0)];

        let whole = of_order(&dozens, &[goods(24)], false).unwrap();

        assert_eq!(whole[0]["qty"], json!(2.0));
        assert_eq!(code(of_order(&dozens, &[Goods { unit: "Box".to_owned(), ..goods(2) }], false)), "UNIT");
        assert_eq!(code(of_order(&[mapped("a", 4.0, "Dozen", 7.0)], &[goods(2)], false)), "UNIT");
        assert_eq!(code(of_order(&[], &[goods(1)], false)), "UNMATCHED_LINE");
    }

    #[test]
    fn what_was_lost_names_its_account_and_otherwise_none() {
        let of_reason = Goods { account: Some("6100 - Damage - A".to_owned()), ..goods(3) };

        assert_eq!(of_entry(&of_reason).unwrap()["expense_account"], json!("6100 - Damage - A"));
        assert_eq!(of_entry(&goods(3)).unwrap().get("expense_account"), None);
    }

    #[test]
    fn what_comes_back_is_told_as_less() {
        let rows = of_order(&[mapped("a", -4.0, "Nos", 1.0)], &[goods(3)], true).unwrap();

        assert_eq!(rows[0]["qty"], json!(-3.0));
    }

    #[test]
    fn what_was_rounded_is_found_before_it_counts() {
        let sent = json!({"items": [{"item_code": "A", "qty": 1.125}, {"item_code": "A", "qty": 1.0}]});
        let rounded = json!({"items": [{"item_code": "A", "qty": 1.13}, {"item_code": "A", "qty": 1.0}]});

        assert_eq!(check_saved(&sent, &sent), Ok(()));
        assert_eq!(code(check_saved(&sent, &rounded)), "QUANTITY");
    }
}

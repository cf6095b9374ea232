//! An Odoo as far as its API shows it: models in memory, transfers that are really done, both APIs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::{get, post},
};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::{
    KEY_FIELD, Odoo, Ways,
    rpc::{Access, Api},
};
use crate::consumers::{
    conformance::{Bench, DOCUMENTS},
    double::{self, Faults, said},
    erp::mapping::{Mapping, WithoutDocument},
};

pub(super) const STOCK: i64 = 8;
pub(super) const SUPPLIERS: i64 = 4;
pub(super) const CUSTOMERS: i64 = 5;
pub(super) const LOSS: i64 = 14;
pub(super) const TRANSIT: i64 = 20;
pub(super) const DAMAGED: i64 = 21;
const INCOMING: i64 = 1;
const OUTGOING: i64 = 2;
const INTERNAL: i64 = 3;

/// An error of Odoo: its class and sentence.
type Refused = (&'static str, String);

/// What Odoo holds.
pub(crate) struct Models {
    pub(super) tables: BTreeMap<&'static str, BTreeMap<i64, Map<String, Value>>>,
    next: i64,
    /// Model that `button_validate` asks by instead of finishing.
    pub(super) asks: Option<&'static str>,
    /// Calls that lose against another transaction, one after the other.
    pub(super) conflicts: u32,
    /// Decimals of its quantities.
    pub(super) decimals: u32,
    /// Whether somebody has added it.
    pub(crate) has_key_field: bool,
}

pub(crate) struct Server {
    pub(crate) faults: Faults,
    pub(crate) models: Mutex<Models>,
}

impl Models {
    fn new() -> Self {
        let mut models =
            Self { tables: BTreeMap::new(), next: 1000, asks: None, conflicts: 0, decimals: 6, has_key_field: true };
        let rows = json!([
            ["stock.warehouse", 1, {"code": "DC01", "lot_stock_id": STOCK, "view_location_id": 7, "in_type_id": INCOMING, "out_type_id": OUTGOING, "int_type_id": INTERNAL}],
            ["stock.picking.type", INCOMING, {"warehouse_id": 1, "active": true, "default_location_src_id": SUPPLIERS, "default_location_dest_id": STOCK}],
            ["stock.picking.type", OUTGOING, {"warehouse_id": 1, "active": true, "default_location_src_id": STOCK, "default_location_dest_id": CUSTOMERS}],
            ["stock.picking.type", INTERNAL, {"warehouse_id": 1, "active": false, "default_location_src_id": STOCK, "default_location_dest_id": STOCK}],
            ["stock.location", TRANSIT, {"complete_name": "Transit"}],
            ["stock.location", DAMAGED, {"complete_name": "DC01/Damaged", "view": 7, "usage": "internal", "active": true}],
            ["stock.location", STOCK, {"complete_name": "DC01/Stock", "view": 7, "usage": "internal", "active": true}],
            ["stock.quant", 1, {"product_id": 100, "lot_id": false, "location_id": STOCK, "quantity": 7.5}],
            ["stock.quant", 2, {"product_id": 100, "lot_id": false, "location_id": DAMAGED, "quantity": 2.0}],
            ["stock.quant", 3, {"product_id": 101, "lot_id": 31, "location_id": STOCK, "quantity": 3.0}],
            ["stock.quant", 4, {"product_id": 100, "lot_id": false, "location_id": TRANSIT, "quantity": 9.0}],
            ["uom.uom", 1, {"name": "Units"}],
            ["uom.uom", 2, {"name": "Dozens"}],
            ["product.product", 100, {"default_code": "SKU-1", "active": true, "uom_id": 1, "tracking": "none", "property_stock_inventory": LOSS}],
            ["product.product", 101, {"default_code": "LOTTED", "active": true, "uom_id": 1, "tracking": "lot", "property_stock_inventory": LOSS}],
            ["stock.lot", 31, {"name": "L-1", "product_id": 101}],
        ]);
        for row in rows.as_array().unwrap() {
            models.put(row[0].as_str().unwrap(), row[1].as_i64().unwrap(), &row[2]);
        }
        for n in 1..=DOCUMENTS {
            models.order(&format!("SO-{n}"), OUTGOING, 100, 10);
            models.order(&format!("PO-{n}"), INCOMING, 100, 10);
        }
        models
    }

    fn put(&mut self, model: &str, id: i64, row: &Value) {
        let mut row = row.as_object().unwrap().clone();
        row.insert("id".to_owned(), json!(id));
        self.tables.entry(name_of(model)).or_default().insert(id, row);
    }

    /// A transfer as an order or purchase makes it.
    pub(super) fn order(&mut self, origin: &str, kind: i64, product: i64, demand: i64) -> i64 {
        let (from, to) = if kind == OUTGOING { (STOCK, CUSTOMERS) } else { (SUPPLIERS, STOCK) };
        let moves = json!([[0, 0, {"product_id": product, "product_uom_qty": demand, "product_uom": 1, "location_id": from, "location_dest_id": to, "sale_line_id": 77}]]);
        let values = json!({"picking_type_id": kind, "origin": origin, "location_id": from, "location_dest_id": to, "move_ids": moves});
        let id = self.create(&values);
        self.row("stock.picking", id)["state"] = json!("assigned");
        id
    }

    pub(super) fn row(&mut self, model: &str, id: i64) -> &mut Map<String, Value> {
        self.tables.get_mut(model).unwrap().get_mut(&id).unwrap()
    }

    pub(super) fn rows_of(&self, model: &str, field: &str, value: &Value) -> Vec<Map<String, Value>> {
        let rows = self.tables.get(model).into_iter().flat_map(BTreeMap::values);
        rows.filter(|row| row.get(field) == Some(value)).cloned().collect()
    }

    fn create(&mut self, values: &Value) -> i64 {
        self.next += 1;
        let id = self.next;
        let mut row = values.as_object().unwrap().clone();
        let moves = row.remove("move_ids").unwrap_or_default();
        row.insert("state".to_owned(), json!("draft"));
        row.entry("backorder_id").or_insert(json!(false));
        row.entry(KEY_FIELD).or_insert(json!(false));
        row.insert("name".to_owned(), json!(format!("WH/{id:05}")));
        self.put("stock.picking", id, &Value::Object(row));
        self.command_moves(id, &moves);
        id
    }

    fn command_moves(&mut self, picking: i64, commands: &Value) {
        for command in commands.as_array().into_iter().flatten() {
            let mut values = command[2].as_object().unwrap().clone();
            let lines = values.remove("move_line_ids");
            let id = match command[0].as_i64() {
                Some(0) => {
                    self.next += 1;
                    let id = self.next;
                    self.put("stock.move", id, &json!({"picking_id": picking, "state": "draft", "quantity": 0.0, "picked": false, "move_line_ids": []}));
                    id
                }
                Some(1) => command[1].as_i64().unwrap(),
                other => panic!("no command {other:?}"),
            };
            if let Some(quantity) = values.get_mut("quantity") {
                *quantity = self.round(quantity);
            }
            self.row("stock.move", id).extend(values);
            self.command_lines(id, &lines.unwrap_or_default());
        }
    }

    fn command_lines(&mut self, of: i64, commands: &Value) {
        for command in commands.as_array().into_iter().flatten() {
            let mut sum = 0.0;
            match command[0].as_i64() {
                Some(0) => {
                    self.next += 1;
                    let id = self.next;
                    let mut line = command[2].clone();
                    line["move_id"] = json!(of);
                    line["product_uom_id"].as_i64().expect("a line is told in a unit");
                    self.put("stock.move.line", id, &line);
                    let ids: Vec<i64> = self
                        .rows_of("stock.move.line", "move_id", &json!(of))
                        .iter()
                        .map(|l| l["id"].as_i64().unwrap())
                        .collect();
                    self.row("stock.move", of)["move_line_ids"] = json!(ids);
                }
                Some(2) => drop(self.tables.get_mut("stock.move.line").unwrap().remove(&command[1].as_i64().unwrap())),
                other => panic!("no command {other:?}"),
            }
            for line in self.rows_of("stock.move.line", "move_id", &json!(of)) {
                sum += line["quantity"].as_f64().unwrap();
            }
            self.row("stock.move", of)["quantity"] = json!(sum);
        }
    }

    fn round(&self, quantity: &Value) -> Value {
        let scale = 10_f64.powi(i32::try_from(self.decimals).unwrap());
        json!((quantity.as_f64().unwrap() * scale).round() / scale)
    }

    fn matches(&self, row: &Map<String, Value>, domain: &[Value]) -> bool {
        let mut stack = Vec::new();
        for term in domain.iter().rev() {
            if term == "|" {
                let (a, b): (bool, bool) = (stack.pop().unwrap(), stack.pop().unwrap());
                stack.push(a || b);
                continue;
            }
            let found = self.field(row, term[0].as_str().unwrap());
            let is_in = || term[2].as_array().unwrap().contains(&found);
            stack.push(match term[1].as_str().unwrap() {
                "=" => found == term[2],
                "!=" => found != term[2],
                ">" => found.as_i64() > term[2].as_i64(),
                "child_of" => self.tables["stock.location"][&found.as_i64().unwrap()].get("view") == Some(&term[2]),
                "in" => is_in(),
                "not in" => !is_in(),
                other => panic!("no operator {other}"),
            });
        }
        stack.into_iter().all(|is_true| is_true)
    }

    fn field(&self, row: &Map<String, Value>, path: &str) -> Value {
        match path.split_once('.') {
            Some(("picking_type_id", rest)) => {
                let of = row["picking_type_id"].as_i64().unwrap();
                self.tables["stock.picking.type"][&of][rest].clone()
            }
            Some(("location_id", rest)) => {
                let of = row["location_id"].as_i64().unwrap();
                self.tables["stock.location"][&of].get(rest).cloned().unwrap_or(json!(false))
            }
            Some(other) => panic!("no path {other:?}"),
            None => row.get(path).cloned().unwrap_or(json!(false)),
        }
    }

    fn search_read(&self, model: &str, named: &Value) -> Value {
        let domain = named["domain"].as_array().unwrap();
        let limit = usize::try_from(named["limit"].as_u64().unwrap()).unwrap();
        let read = |row: &Map<String, Value>| {
            let mut read = Map::from_iter([("id".to_owned(), row["id"].clone())]);
            for field in named["fields"].as_array().unwrap().iter().filter_map(Value::as_str) {
                let value = row.get(field).cloned().unwrap_or(json!(false));
                let is_one = field.ends_with("_id") || matches!(field, "property_stock_inventory" | "product_uom");
                read.insert(
                    field.to_owned(),
                    if is_one && value.is_i64() {
                        json!([value, if field == "lot_id" { "L-1" } else { "name" }])
                    } else {
                        value
                    },
                );
            }
            Value::Object(read)
        };
        let rows = self.tables.get(model).into_iter().flat_map(BTreeMap::values);
        rows.filter(|row| self.matches(row, domain)).take(limit).map(read).collect()
    }

    fn call(
        &mut self,
        model: &str,
        method: &str,
        ids: &[i64],
        named: &Value,
        is_closed: bool,
    ) -> Result<Value, Refused> {
        let is_write = is_write(method);
        if is_write && self.conflicts > 0 {
            self.conflicts -= 1;
            return Err(("psycopg2.errors.SerializationFailure", "could not serialize access".to_owned()));
        }
        match (model, method) {
            (_, "fields_get") => {
                let known = [
                    "quantity",
                    "picked",
                    "product_uom",
                    "name",
                    "sale_line_id",
                    "to_refund",
                    "product_uom_id",
                    KEY_FIELD,
                ];
                let asked = named["allfields"].as_array().unwrap().iter().filter_map(Value::as_str);
                Ok(asked
                    .filter(|name| known.contains(name) && (self.has_key_field || *name != KEY_FIELD))
                    .map(|name| (name.to_owned(), json!({})))
                    .collect::<Map<_, _>>()
                    .into())
            }
            (_, "search_read") => Ok(self.search_read(model, named)),
            ("stock.picking", "create") => {
                let ids: Vec<i64> =
                    named["vals_list"].as_array().unwrap().iter().map(|values| self.create(values)).collect();
                Ok(json!(ids))
            }
            ("stock.picking", "write") => {
                let mut values = named["vals"].as_object().unwrap().clone();
                let moves = values.remove("move_ids").unwrap_or_default();
                self.row("stock.picking", ids[0]).extend(values);
                self.command_moves(ids[0], &moves);
                Ok(json!(true))
            }
            ("stock.picking", "action_confirm") => {
                self.row("stock.picking", ids[0])["state"] = json!("assigned");
                Ok(json!(true))
            }
            ("stock.picking", "button_validate") => self.validate(ids[0], &named["context"], is_closed),
            other => panic!("no call {other:?}"),
        }
    }

    fn validate(&mut self, id: i64, context: &Value, is_closed: bool) -> Result<Value, Refused> {
        let refuse = |text: &str| Err(("odoo.exceptions.UserError", text.to_owned()));
        let action = |model: &str| Ok(json!({"type": "ir.actions.act_window", "res_model": model}));
        if self.row("stock.picking", id)["state"] == "done" {
            return Ok(json!(true));
        }
        let moves = self.rows_of("stock.move", "picking_id", &json!(id));
        if moves.iter().all(|of| of["quantity"] == 0.0) {
            return refuse("You cannot validate a transfer if no quantities are reserved.");
        }
        let is_short = moves.iter().any(|of| of["quantity"].as_f64() < of["product_uom_qty"].as_f64());
        match self.asks {
            _ if is_short && context["skip_backorder"] != true => return action("stock.backorder.confirmation"),
            Some(model) => return action(model),
            None => {}
        }
        if is_closed {
            return refuse("You cannot add/modify entries prior to and inclusive of: Hard Lock Date (10/31/2026).");
        }
        let is_kept = !context["picking_ids_not_to_backorder"].as_array().is_some_and(|ids| ids.contains(&json!(id)));
        self.done(id, &moves, is_short && is_kept);
        Ok(json!(true))
    }

    fn done(&mut self, id: i64, moves: &[Map<String, Value>], has_backorder: bool) {
        self.row("stock.picking", id)["state"] = json!("done");
        for of in moves {
            self.row("stock.move", of["id"].as_i64().unwrap())["state"] = json!("done");
        }
        if has_backorder {
            let mut copy = self.row("stock.picking", id).clone();
            copy["backorder_id"] = json!(id);
            let rest = |of: &Map<String, Value>| {
                let mut of = of.clone();
                of["product_uom_qty"] =
                    json!(of["product_uom_qty"].as_f64().unwrap() - of["quantity"].as_f64().unwrap());
                of["quantity"] = json!(0.0);
                for own in ["id", "picking_id", "state", "move_line_ids"] {
                    of.remove(own);
                }
                json!([0, 0, of])
            };
            copy.insert("move_ids".to_owned(), moves.iter().map(rest).collect());
            // A field that somebody has added is copied unless he says no: the key comes along.
            let backorder = self.create(&Value::Object(copy));
            self.row("stock.picking", backorder)["state"] = json!("assigned");
        }
    }
}

fn is_write(method: &str) -> bool {
    matches!(method, "create" | "write" | "action_confirm" | "button_validate")
}

fn name_of(model: &str) -> &'static str {
    const NAMES: [&str; 10] = [
        "stock.warehouse",
        "stock.quant",
        "stock.picking.type",
        "stock.location",
        "uom.uom",
        "product.product",
        "stock.lot",
        "stock.picking",
        "stock.move",
        "stock.move.line",
    ];
    NAMES.into_iter().find(|name| *name == model).unwrap()
}

async fn json2(
    State(server): State<Arc<Server>>,
    Path((model, method)): Path<(String, String)>,
    headers: HeaderMap,
    body: String,
) -> Response {
    assert_eq!(headers["Authorization"], "bearer key");
    assert_eq!(headers["X-Odoo-Database"], "company");
    let named: Value = serde_json::from_str(&body).unwrap();
    let ids: Vec<i64> = named["ids"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    let act = |is_closed| match server.models.lock().unwrap().call(&model, &method, &ids, &named, is_closed) {
        Ok(value) => said(200, &value.to_string()),
        Err((name, message)) => {
            let error = json!({"name": name, "message": message, "arguments": [message], "context": {}, "debug": "…"});
            said(422, &error.to_string())
        }
    };
    server.faults.serve(is_write(&method), act).await
}

async fn version(State(server): State<Arc<Server>>) -> Response {
    server.faults.serve(false, |_| said(200, r#"{"version_info":[19,0,0,"final",0,""],"version":"19.0"}"#)).await
}

async fn json_rpc(State(server): State<Arc<Server>>, body: String) -> Response {
    let call: Value = serde_json::from_str(&body).unwrap();
    let args = &call["params"]["args"];
    let method = args[4].as_str().unwrap_or_default().to_owned();
    let act = |is_closed| {
        let result = if call["params"]["service"] == "common" {
            Ok(if args[2] == "key" { json!(7) } else { json!(false) })
        } else {
            let (ids, named) = positional(&method, args);
            let model = args[3].as_str().unwrap();
            server.models.lock().unwrap().call(model, &method, &ids, &named, is_closed)
        };
        let answer = match result {
            Ok(result) => json!({"jsonrpc": "2.0", "id": call["id"], "result": result}),
            Err((name, message)) => json!({"jsonrpc": "2.0", "id": call["id"], "error": {
                "code": 200, "message": "Odoo Server Error", "data": {"name": name, "message": message, "debug": "…"}}}),
        };
        said(200, &answer.to_string())
    };
    server.faults.serve(is_write(&method), act).await
}

/// Values of `create` and records come by their place, the rest by name.
fn positional(method: &str, args: &Value) -> (Vec<i64>, Value) {
    let mut named = args[6].clone();
    if method == "create" {
        named["vals_list"] = args[5][0].clone();
        return (Vec::new(), named);
    }
    (args[5][0].as_array().into_iter().flatten().filter_map(Value::as_i64).collect(), named)
}

pub(crate) struct Double {
    runtime: Runtime,
    pub(crate) server: Arc<Server>,
    pub(crate) url: String,
    pub(super) without_document: WithoutDocument,
    pub(super) key: &'static str,
}

impl Double {
    /// One with JSON-2, or one before it.
    pub(crate) fn start(has_json2: bool) -> Self {
        let server = Arc::new(Server { faults: Faults::default(), models: Mutex::new(Models::new()) });
        let app = if has_json2 {
            Router::new().route("/web/version", get(version)).route("/json/2/{model}/{method}", post(json2))
        } else {
            Router::new().route("/jsonrpc", post(json_rpc))
        };
        let runtime = Runtime::new().unwrap();
        let url = double::serve(&runtime, app.with_state(Arc::clone(&server)));
        Self { runtime, server, url, without_document: WithoutDocument::Refuse, key: "key" }
    }

    /// Transfers that are done, by key.
    fn done(&self, key: Option<&str>) -> usize {
        let done = self.server.models.lock().unwrap().rows_of("stock.picking", "state", &json!("done"));
        done.iter().filter(|row| key.is_none_or(|key| row[KEY_FIELD] == key)).count()
    }
}

impl Bench for Double {
    type Consumer = Odoo;
    const IS_ERP: bool = true;

    fn connect(&self, to_nobody: bool) -> Option<Odoo> {
        let access = Access {
            url: if to_nobody { double::nobody() } else { self.url.clone() },
            database: "company".to_owned(),
            user: "docksync".to_owned(),
            key: self.key.to_owned(),
            api: Api::Auto,
            timeout: self.server.faults.timeout(),
        };
        let mapping = Mapping {
            units: BTreeMap::from([(
                "DZ".to_owned(),
                crate::consumers::erp::mapping::Unit { symbol: "Dozens".to_owned(), factor: 1.into() },
            )]),
            without_document: self.without_document,
            ..Mapping::default()
        };
        let ways = Ways { transit: Some("Transit".to_owned()), settle_ms: 0 };
        Some(Odoo::new(access, mapping, ways, self.runtime.handle().clone()).unwrap())
    }

    fn faults(&self) -> Option<&Faults> {
        Some(&self.server.faults)
    }

    fn effects(&self, key: &str) -> usize {
        self.done(Some(key))
    }

    fn total(&self) -> usize {
        self.done(None)
    }

    fn double(&self, reference: &str, _: &str) -> bool {
        self.server.models.lock().unwrap().order(reference, OUTGOING, 100, 10);
        true
    }
}

//! A Tryton without our module, as far as its wire shows it: models in memory, buttons that move stock as trytond's own do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, response::Response, routing::post};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::consumers::{
    conformance::{Bench, DOCUMENTS},
    double::{self, Faults, said},
    erp::{
        mapping::Mapping,
        tryton::{Tryton, UseModule, Ways, rpc::Access},
    },
};

const INPUT: i64 = 1;
const OUTPUT: i64 = 2;
const STORAGE: i64 = 3;
const CUSTOMERS: i64 = 7;
const SUPPLIERS: i64 = 6;
const LOST: i64 = 9;
const WAREHOUSE: i64 = 5;

/// A row of a model.
type Row = Map<String, Value>;

/// What Tryton holds.
pub(crate) struct Models {
    pub(super) tables: BTreeMap<String, BTreeMap<i64, Row>>,
    next: i64,
    /// Name of the warning that the next `do` asks by.
    pub(super) asks: Option<&'static str>,
    skipped: Vec<String>,
    /// Calls so far, by method.
    pub(super) calls: BTreeMap<String, usize>,
}

pub(crate) struct Server {
    pub(crate) faults: Faults,
    pub(crate) models: Mutex<Models>,
}

/// The error of an answer.
type Refused = Value;

fn refused(sentence: &str) -> Refused {
    json!(["UserError", [sentence, "", null]])
}

impl Models {
    fn new() -> Self {
        let (tables, calls) = (BTreeMap::new(), BTreeMap::new());
        let mut models = Self { tables, next: 100, asks: None, skipped: Vec::new(), calls };
        let rows = json!([
            ["stock.location", WAREHOUSE, {"code": "DC01", "type": "warehouse", "storage_location": STORAGE, "input_location": INPUT, "output_location": OUTPUT, "lost_found_location": LOST}],
            ["stock.location", STORAGE, {"code": "DC01-STO", "type": "storage"}],
            ["product.product", 40, {"code": "SKU-1", "default_uom": 1}],
            ["product.uom", 1, {"symbol": "u", "category": 1, "factor": 1.0, "rate": 1.0, "digits": 0}],
            ["stock.configuration", 1, {"shipment_internal_transit": 8}],
            ["ir.model", 1, {"name": "sale.sale"}],
            ["ir.model", 2, {"name": "purchase.purchase"}],
        ]);
        for row in rows.as_array().unwrap() {
            models.put(row[0].as_str().unwrap(), row[1].as_i64().unwrap(), &row[2]);
        }
        for n in 1..=DOCUMENTS {
            models.order(&format!("SO-{n}"));
            let wanted = models.movement(SUPPLIERS, INPUT, 10.0, &json!({"origin": "purchase.line,1"}));
            let purchase = json!({"reference": format!("PO-{n}"), "number": n.to_string(), "state": "processing", "party": 22, "warehouse": WAREHOUSE, "moves": [wanted]});
            models.add("purchase.purchase", &purchase);
        }
        models
    }

    fn put(&mut self, model: &str, id: i64, row: &Value) {
        let mut row = row.as_object().unwrap().clone();
        row.insert("id".to_owned(), json!(id));
        self.tables.entry(model.to_owned()).or_default().insert(id, row);
    }

    fn add(&mut self, model: &str, row: &Value) -> i64 {
        self.next += 1;
        self.put(model, self.next, row);
        self.next
    }

    fn movement(&mut self, from: i64, to: i64, quantity: f64, more: &Value) -> i64 {
        let mut row = json!({"product": 40, "unit": 1, "quantity": quantity, "internal_quantity": quantity, "from_location": from, "to_location": to, "state": "draft", "origin": null, "shipment": null, "unit_price": null, "currency": null});
        for (name, value) in more.as_object().unwrap() {
            row[name] = value.clone();
        }
        self.add("stock.move", &row)
    }

    /// A waiting shipment as a sale makes it.
    pub(super) fn order(&mut self, reference: &str) -> i64 {
        let number = (self.next + 1).to_string();
        let row = json!({"reference": reference, "number": number, "state": "waiting", "warehouse": WAREHOUSE, "warehouse_storage": STORAGE, "warehouse_output": OUTPUT});
        let id = self.add("stock.shipment.out", &row);
        let shipment = format!("stock.shipment.out,{id}");
        let out = self.movement(OUTPUT, CUSTOMERS, 10.0, &json!({"shipment": shipment, "origin": "sale.line,1"}));
        self.movement(STORAGE, OUTPUT, 10.0, &json!({"shipment": shipment, "origin": format!("stock.move,{out}")}));
        id
    }

    pub(super) fn rows(&self, model: &str) -> Vec<Row> {
        self.tables.get(model).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    fn row(&mut self, model: &str, id: i64) -> &mut Row {
        self.tables.get_mut(model).unwrap().get_mut(&id).unwrap()
    }

    fn search(&self, model: &str, params: &Value) -> Value {
        let domain = params[0].as_array().unwrap();
        let fits = |row: &Row| domain.iter().all(|clause| matches(row, clause));
        let limit = params[2].as_u64().map_or(usize::MAX, |limit| usize::try_from(limit).unwrap());
        self.rows(model).into_iter().filter(fits).take(limit).map(Value::Object).collect()
    }

    fn create(&mut self, model: &str, records: &Value) -> Value {
        let make = |record: &Value| {
            let mut record = record.clone();
            let moves: Vec<Value> = ["moves", "incoming_moves"]
                .iter()
                .filter_map(|field| record.as_object_mut().unwrap().remove(*field))
                .flat_map(|commands| commands.as_array().unwrap().clone())
                .collect();
            if model.starts_with("stock.shipment") {
                record["state"] = json!("draft");
                record["number"] =
                    if model.ends_with("internal") { json!(null) } else { json!((self.next + 1).to_string()) };
            }
            let id = self.add(model, &record);
            self.command(&format!("{model},{id}"), &moves);
            json!(id)
        };
        records.as_array().unwrap().iter().map(make).collect()
    }

    fn command(&mut self, shipment: &str, commands: &[Value]) {
        for command in commands {
            match command[0].as_str().unwrap() {
                "create" => {
                    for values in command[1].as_array().unwrap() {
                        let quantity = values["quantity"].as_f64().unwrap();
                        let mut more = values.clone();
                        more["shipment"] = json!(shipment);
                        self.movement(0, 0, quantity, &more);
                    }
                }
                "add" => {
                    for id in command[1].as_array().unwrap() {
                        self.row("stock.move", id.as_i64().unwrap()).insert("shipment".to_owned(), json!(shipment));
                    }
                }
                "write" => {
                    let mut values = command[2].as_object().unwrap().clone();
                    if let Some(quantity) = values.get("quantity").cloned() {
                        values.insert("internal_quantity".to_owned(), quantity);
                    }
                    for id in command[1].as_array().unwrap() {
                        self.row("stock.move", id.as_i64().unwrap()).extend(values.clone());
                    }
                }
                other => panic!("no command {other}"),
            }
        }
    }

    fn write(&mut self, model: &str, params: &Value) {
        // The context stands behind the pairs.
        for pair in params.as_array().unwrap().chunks_exact(2) {
            for id in pair[0].as_array().unwrap() {
                let mut values = pair[1].as_object().unwrap().clone();
                let moves: Vec<Value> = ["inventory_moves", "outgoing_moves", "incoming_moves"]
                    .iter()
                    .filter_map(|field| values.remove(*field))
                    .flat_map(|commands| commands.as_array().unwrap().clone())
                    .collect();
                self.row(model, id.as_i64().unwrap()).extend(values);
                self.command(&format!("{model},{id}"), &moves);
            }
        }
    }

    fn moves_of(&self, shipment: &str) -> Vec<Row> {
        self.rows("stock.move").into_iter().filter(|row| row["shipment"] == shipment).collect()
    }

    fn done(&mut self, shipment: &str, end: &str, place: i64) {
        for of in self.moves_of(shipment).iter().filter(|of| place == 0 || of[end] == place) {
            self.row("stock.move", of["id"].as_i64().unwrap()).insert("state".to_owned(), json!("done"));
        }
    }

    fn press(&mut self, model: &str, button: &str, id: i64) -> Result<(), Refused> {
        let state = self.row(model, id)["state"].as_str().unwrap().to_owned();
        let shipment = format!("{model},{id}");
        let after = match (model, state.as_str(), button) {
            ("stock.shipment.internal", "draft", "wait") => {
                let number = (id + 1000).to_string();
                self.row(model, id).insert("number".to_owned(), json!(number));
                "waiting"
            }
            (_, "waiting", "assign_force") => "assigned",
            ("stock.shipment.out", "assigned", "pick") => {
                let moves = self.moves_of(&shipment);
                for of in moves.iter().filter(|of| of["to_location"] == OUTPUT) {
                    let out: i64 = of["origin"].as_str().unwrap().rsplit(',').next().unwrap().parse().unwrap();
                    let quantity = of["quantity"].clone();
                    let out = self.row("stock.move", out);
                    out.insert("quantity".to_owned(), quantity.clone());
                    out.insert("internal_quantity".to_owned(), quantity);
                }
                self.done(&shipment, "to_location", OUTPUT);
                "picked"
            }
            ("stock.shipment.out", "picked", "pack") => "packed",
            ("stock.shipment.out", "packed", "do") => {
                self.done(&shipment, "to_location", CUSTOMERS);
                "done"
            }
            ("stock.shipment.internal", "assigned", "do") => {
                self.done(&shipment, "", 0);
                "done"
            }
            (_, "draft", "receive") => {
                for of in self.moves_of(&shipment) {
                    let quantity = of["quantity"].as_f64().unwrap();
                    self.movement(INPUT, STORAGE, quantity, &json!({"shipment": shipment}));
                }
                self.done(&shipment, "to_location", INPUT);
                "received"
            }
            (_, "received", "do") => {
                self.done(&shipment, "from_location", INPUT);
                "done"
            }
            _ => return Err(refused(&format!("You can not call \"{button}\" on \"{shipment}\", which is {state}."))),
        };
        self.row(model, id).insert("state".to_owned(), json!(after));
        Ok(())
    }

    /// A button on all records, or on none.
    fn press_all(&mut self, model: &str, button: &str, ids: &Value) -> Result<Value, Refused> {
        if let Some(name) = self.asks.filter(|name| button == "do" && !self.skipped.contains(&(*name).to_owned())) {
            return Err(json!(["UserWarning", [name, "Are you sure?", ""]]));
        }
        let before = self.tables.clone();
        for id in ids.as_array().unwrap() {
            if let Err(refusal) = self.press(model, button, id.as_i64().unwrap()) {
                self.tables = before;
                return Err(refusal);
            }
        }
        Ok(Value::Null)
    }

    /// Keys of documents that are done, each as often as there is one.
    fn effects(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for model in ["stock.shipment.internal", "stock.shipment.in"] {
            let done = self.rows(model).into_iter().filter(|row| row["state"] == "done");
            keys.extend(done.map(|row| row["reference"].as_str().unwrap().to_owned()));
        }
        for note in self.rows("ir.note") {
            let shipment = note["resource"].as_str().unwrap().rsplit(',').next().unwrap().parse().unwrap();
            if self.tables["stock.shipment.out"][&shipment]["state"] == "done" {
                let first = note["message"].as_str().unwrap().lines().next().unwrap().to_owned();
                keys.push(first.rsplit(' ').next().unwrap().to_owned());
            }
        }
        keys
    }
}

fn matches(row: &Row, clause: &Value) -> bool {
    if clause[0] == "OR" {
        return clause.as_array().unwrap()[1..].iter().any(|one| matches(row, one));
    }
    let found = row.get(clause[0].as_str().unwrap()).unwrap_or(&Value::Null);
    let is_in = || clause[2].as_array().unwrap().contains(found);
    match clause[1].as_str().unwrap() {
        "=" => *found == clause[2],
        "!=" => *found != clause[2],
        "in" => is_in(),
        // It has one warehouse.
        "child_of" => true,
        "like" => false,
        other => panic!("no operator {other}"),
    }
}

impl Server {
    fn answer(&self, method: &str, call: &Value, is_closed: bool) -> Response {
        let params = &call["params"];
        let answer = match self.act(method, params, is_closed) {
            Ok(result) => json!({"id": call["id"], "result": result}),
            Err(error) => json!({"id": call["id"], "error": error}),
        };
        said(200, &answer.to_string())
    }

    fn act(&self, method: &str, params: &Value, is_closed: bool) -> Result<Value, Refused> {
        let mut models = self.models.lock().unwrap();
        *models.calls.entry(method.to_owned()).or_default() += 1;
        let day = json!({"__class__": "date", "year": 2026, "month": 11, "day": 23});
        let (model, call) = method.strip_prefix("model.").unwrap_or(method).rsplit_once('.').unwrap();
        match (model, call) {
            ("common.db", "login") => Ok(json!([3, "session", null])),
            ("res.user", "get_preferences") => Ok(json!({"company": 1, "groups": [11]})),
            // Pool.get of a model that is not there.
            ("docksync.event", _) => Err(json!(["'docksync.event'", ""])),
            ("ir.model.access", "get_access") => {
                let all = json!({"read": 1, "write": 1, "create": 1, "delete": 0});
                Ok(params[0]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|m| (m.as_str().unwrap().to_owned(), all.clone()))
                    .collect::<Map<_, _>>()
                    .into())
            }
            ("ir.date", "today") => Ok(day),
            ("stock.period", _) => {
                Ok(if self.faults.is_closed() { json!([{"id": 1, "date": day}]) } else { json!([]) })
            }
            ("stock.configuration", "read") => {
                Ok(Value::Object(models.tables[model][&1].clone())).map(|row| json!([row]))
            }
            (_, "search_read") => Ok(models.search(model, params)),
            _ if is_closed => Err(refused("the period is closed")),
            ("res.user.warning", "skip") => {
                models.skipped.push(params[0].as_str().unwrap().to_owned());
                Ok(Value::Null)
            }
            (_, "create") => Ok(models.create(model, &params[0])),
            (_, "write") => {
                models.write(model, params);
                Ok(Value::Null)
            }
            (_, button) => models.press_all(model, button, &params[0]),
        }
    }
}

async fn rpc(State(server): State<Arc<Server>>, body: String) -> Response {
    const READS: [&str; 6] = ["search_read", "read", "login", "get_preferences", "get_access", "today"];
    let call: Value = serde_json::from_str(&body).unwrap();
    let method = call["method"].as_str().unwrap().to_owned();
    let last = method.rsplit('.').next().unwrap();
    let is_write = !READS.contains(&last) && !method.starts_with("model.docksync");
    server.faults.serve(is_write, |is_closed| server.answer(&method, &call, is_closed)).await
}

pub(crate) struct Double {
    runtime: Runtime,
    pub(crate) server: Arc<Server>,
    url: String,
}

impl Double {
    pub(crate) fn start() -> Self {
        let models = Mutex::new(Models::new());
        let (runtime, server) = (Runtime::new().unwrap(), Arc::new(Server { faults: Faults::default(), models }));
        let app = Router::new().route("/company/rpc/", post(rpc)).with_state(Arc::clone(&server));
        let url = double::serve(&runtime, app);
        Self { runtime, server, url }
    }

    pub(super) fn connect_as(&self, module: UseModule, to_nobody: bool) -> Tryton {
        let access = Access {
            url: if to_nobody { double::nobody() } else { self.url.clone() },
            database: "company".to_owned(),
            user: "docksync".to_owned(),
            password: "secret".to_owned(),
            timeout: self.server.faults.timeout(),
        };
        let ways = Ways { module, settle_ms: 0 };
        Tryton::new(access, Mapping::default(), ways, self.runtime.handle().clone()).unwrap()
    }
}

impl Bench for Double {
    type Consumer = Tryton;
    const IS_ERP: bool = true;

    fn connect(&self, to_nobody: bool) -> Option<Tryton> {
        Some(self.connect_as(UseModule::Auto, to_nobody))
    }

    fn faults(&self) -> Option<&Faults> {
        Some(&self.server.faults)
    }

    fn effects(&self, key: &str) -> usize {
        self.server.models.lock().unwrap().effects().iter().filter(|of| *of == key).count()
    }

    fn total(&self) -> usize {
        self.server.models.lock().unwrap().effects().len()
    }

    fn double(&self, reference: &str, _: &str) -> bool {
        self.server.models.lock().unwrap().order(reference);
        true
    }
}

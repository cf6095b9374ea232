//! A Tryton as far as its own models show on the wire: records, domains of the kinds that are asked, buttons with their states.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, response::Response, routing::post};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Access, Plain};
use crate::consumers::{
    conformance::{self, Bench, DOCUMENTS},
    double::{self, Faults, said},
    erp::mapping::Mapping,
};

const SHIPMENTS: [&str; 4] =
    ["stock.shipment.out", "stock.shipment.in", "stock.shipment.out.return", "stock.shipment.internal"];

/// State, button, next state.
const BUTTONS: [(&str, &str, &str); 13] = [
    ("draft", "wait", "waiting"),
    ("assigned", "wait", "waiting"),
    ("waiting", "wait", "waiting"),
    ("waiting", "assign_force", "assigned"),
    ("assigned", "pick", "picked"),
    ("picked", "pack", "packed"),
    ("packed", "do", "done"),
    ("assigned", "do", "done"),
    ("received", "do", "done"),
    ("draft", "receive", "received"),
    ("shipped", "do", "done"),
    ("request", "draft", "draft"),
    ("picked", "do", "done"),
];

#[derive(Default)]
struct Books {
    records: BTreeMap<String, BTreeMap<i64, Value>>,
    last: i64,
}

struct Server {
    faults: Faults,
    books: Mutex<Books>,
}

async fn rpc(State(server): State<Arc<Server>>, body: String) -> Response {
    let call: Value = serde_json::from_str(&body).unwrap();
    let method = call["method"].as_str().unwrap().to_owned();
    let is_read = ["search_read", "read", "login", "get_preferences"].iter().any(|end| method.ends_with(end));
    let answer = |is_closed| {
        let told = server.books.lock().unwrap().answer(&method, &call["params"], is_closed);
        let told = match told {
            Ok(result) => json!({"id": call["id"], "result": result}),
            Err(words) => json!({"id": call["id"], "error": ["UserError", [words, "", null]]}),
        };
        said(200, &told.to_string())
    };
    server.faults.serve(!is_read, answer).await
}

impl Books {
    fn seeded() -> Self {
        let mut books = Self::default();
        books.put("stock.location", json!({"type": "storage", "code": "DC01-IN"}));
        books.put("stock.location", json!({"type": "storage", "code": "DC01-STO"}));
        books.put("stock.location", json!({"type": "storage", "code": "DC01-OUT"}));
        books.put("stock.location", json!({"type": "lost_found", "code": "LF"}));
        let places = json!({"type": "warehouse", "code": "DC01", "input_location": 1, "storage_location": 2,
                            "output_location": 3, "lost_found_location": 4});
        let warehouse = books.put("stock.location", places);
        let product =
            books.put("product.product", json!({"code": "SKU-1", "default_uom": 1, "default_uom.": {"symbol": "u"}}));
        for n in 1..=DOCUMENTS {
            let shipment = books.order(&format!("SO-{n}"), warehouse, product);
            books.put("sale.sale", json!({"reference": format!("SO-{n}"), "shipments": [shipment]}));
            let open = books.movement(product, &Value::Null);
            let purchase = json!({"reference": format!("PO-{n}"), "state": "processing", "party": 1,
                                  "warehouse": warehouse, "moves": [open]});
            books.put("purchase.purchase", purchase);
        }
        books
    }

    fn movement(&mut self, product: i64, shipment: &Value) -> i64 {
        let values = json!({"product": product, "unit": 1, "quantity": 10.0, "state": "draft", "shipment": shipment});
        self.put("stock.move", values)
    }

    /// An order's shipment that waits.
    fn order(&mut self, reference: &str, warehouse: i64, product: i64) -> i64 {
        let (inventory, outgoing) = (self.movement(product, &json!("x")), self.movement(product, &json!("x")));
        let values = json!({"reference": reference, "state": "waiting", "warehouse": warehouse,
                            "inventory_moves": [inventory], "outgoing_moves": [outgoing]});
        self.put("stock.shipment.out", values)
    }

    fn put(&mut self, model: &str, mut record: Value) -> i64 {
        self.last += 1;
        record["id"] = json!(self.last);
        if SHIPMENTS.contains(&model) && record.get("number").is_none() {
            record["number"] = json!(self.last.to_string());
        }
        self.records.entry(model.to_owned()).or_default().insert(self.last, record);
        self.last
    }

    fn answer(&mut self, method: &str, params: &Value, is_closed: bool) -> Result<Value, String> {
        if method == "common.db.login" {
            return Ok(json!([3, "session"]));
        }
        let (model, act) = method.strip_prefix("model.").unwrap().rsplit_once('.').unwrap();
        match act {
            "get_preferences" => Ok(json!({"company": 1})),
            "search_read" => Ok(self.search(model, &params[0], params[2].as_u64())),
            "read" => {
                let all = self.records.get(model).cloned().unwrap_or_default();
                Ok(params[0].as_array().unwrap().iter().map(|id| all[&id.as_i64().unwrap()].clone()).collect())
            }
            "create" => {
                let values = params[0][0].clone();
                Ok(json!([self.create(model, values)]))
            }
            "write" => {
                // Pairs of records and values, and the context behind them.
                for pair in params.as_array().unwrap().chunks_exact(2) {
                    self.write(model, &pair[0], &pair[1]);
                }
                Ok(Value::Null)
            }
            button => self.press(model, button, params[0][0].as_i64().unwrap(), is_closed),
        }
    }

    fn search(&self, model: &str, domain: &Value, limit: Option<u64>) -> Value {
        let all = self.records.get(model).into_iter().flat_map(BTreeMap::values);
        let found = all.filter(|record| fits(record, domain));
        found.take(limit.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)).cloned().collect()
    }

    fn create(&mut self, model: &str, mut values: Value) -> i64 {
        for field in ["moves", "incoming_moves"] {
            let Some(commands) = values.get(field).and_then(Value::as_array).cloned() else { continue };
            let mut ids = Vec::new();
            for command in commands {
                for one in command[1].as_array().unwrap() {
                    if command[0] == "add" {
                        self.write("stock.move", &json!([one]), &json!({"shipment": "x"}));
                        ids.push(one.clone());
                    } else {
                        ids.push(json!(self.put("stock.move", one.clone())));
                    }
                }
            }
            values[field] = ids.into();
        }
        if SHIPMENTS.contains(&model) {
            values["state"] = json!("draft");
        }
        self.put(model, values)
    }

    fn write(&mut self, model: &str, ids: &Value, values: &Value) {
        for id in ids.as_array().unwrap() {
            let record = self.records.get_mut(model).unwrap().get_mut(&id.as_i64().unwrap()).unwrap();
            for (field, value) in values.as_object().unwrap() {
                record[field] = value.clone();
            }
        }
    }

    fn press(&mut self, model: &str, button: &str, id: i64, is_closed: bool) -> Result<Value, String> {
        if is_closed && button == "do" {
            return Err("To modify stock move \"x\" you must reopen period \"y\".".to_owned());
        }
        let record = &self.records[model][&id];
        let next = BUTTONS.iter().find(|(from, name, _)| *from == record["state"] && *name == button);
        let Some((.., to)) = next else {
            return Err(format!("You can not call \"{button}\" on \"{id}\"."));
        };
        if button == "pick" {
            // What was picked is what goes.
            let picked =
                self.records["stock.move"][&record["inventory_moves"][0].as_i64().unwrap()]["quantity"].clone();
            let outgoing = record["outgoing_moves"].clone();
            self.write("stock.move", &outgoing, &json!({"quantity": picked}));
        }
        self.write(model, &json!([id]), &json!({"state": to}));
        Ok(Value::Null)
    }

    fn done(&self) -> impl Iterator<Item = (&str, &Value)> {
        let all = SHIPMENTS.iter().flat_map(|model| {
            self.records.get(*model).into_iter().flat_map(move |of| of.values().map(move |r| (*model, r)))
        });
        all.filter(|(_, record)| record["state"] == "done")
    }
}

fn fits(record: &Value, domain: &Value) -> bool {
    let clauses = domain.as_array().unwrap();
    if clauses.first().is_some_and(|first| first == "OR") {
        return clauses[1..].iter().any(|clause| fits(record, &json!([clause])));
    }
    clauses.iter().all(|clause| match clause[1].as_str() {
        _ if clause[0].is_array() || clause[0] == "OR" => fits(record, clause),
        Some("=") => record[clause[0].as_str().unwrap()] == clause[2],
        Some("in") => clause[2].as_array().unwrap().contains(&record[clause[0].as_str().unwrap()]),
        _ => true,
    })
}

struct Double {
    runtime: Runtime,
    server: Arc<Server>,
    url: String,
}

impl Double {
    fn start() -> Self {
        let (runtime, books) = (Runtime::new().unwrap(), Mutex::new(Books::seeded()));
        let server = Arc::new(Server { faults: Faults::default(), books });
        let app = Router::new().route("/company/rpc/", post(rpc)).with_state(Arc::clone(&server));
        let url = double::serve(&runtime, app);
        Self { runtime, server, url }
    }
}

impl Bench for Double {
    type Consumer = Plain;
    const IS_ERP: bool = true;

    fn connect(&self, to_nobody: bool) -> Option<Plain> {
        let access = Access {
            url: if to_nobody { double::nobody() } else { self.url.clone() },
            database: "company".to_owned(),
            user: "docksync".to_owned(),
            password: "secret".to_owned(),
            timeout: self.server.faults.timeout(),
        };
        Some(Plain::new(access, Mapping::default(), self.runtime.handle().clone()).unwrap())
    }

    fn faults(&self) -> Option<&Faults> {
        Some(&self.server.faults)
    }

    fn effects(&self, key: &str) -> usize {
        let books = self.server.books.lock().unwrap();
        let noted = format!("docksync {key}");
        let notes: Vec<String> = books
            .records
            .get("ir.note")
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter(|note| note["message"] == noted.as_str())
            .map(|note| note["resource"].as_str().unwrap().to_owned())
            .collect();
        let is_of = |model: &str, record: &Value| {
            record["reference"] == key || notes.contains(&format!("{model},{}", record["id"]))
        };
        books.done().filter(|(model, record)| is_of(model, record)).count()
    }

    fn total(&self) -> usize {
        self.server.books.lock().unwrap().done().count()
    }

    fn double(&self, reference: &str, _: &str) -> bool {
        let mut books = self.server.books.lock().unwrap();
        let first = books.search("stock.shipment.out", &json!([["reference", "=", reference]]), None)[0].clone();
        let product = books.records["product.product"].keys().next().copied().unwrap();
        books.order(reference, first["warehouse"].as_i64().unwrap(), product);
        true
    }
}

#[test]
fn a_tryton_without_the_module_conforms() {
    conformance::all(Double::start);
}

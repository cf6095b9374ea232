//! A Tryton with our module as far as the wire shows it: logs in, keeps keys, refuses a call in the words of the module's README.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, response::Response, routing::post};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Access, Tryton, UseModule, Ways};
use crate::consumers::{
    conformance::{self, Bench, DOCUMENTS},
    double::{self, Faults, said},
    erp::mapping::Mapping,
};

#[derive(Default)]
struct Books {
    references: BTreeMap<String, usize>,
    applied: BTreeMap<String, String>,
}

struct Server {
    faults: Faults,
    books: Mutex<Books>,
}

async fn rpc(State(server): State<Arc<Server>>, body: String) -> Response {
    let call: Value = serde_json::from_str(&body).unwrap();
    let method = call["method"].as_str().unwrap().to_owned();
    server.faults.serve(method.ends_with(".apply"), |is_closed| server.answer(&method, &call, is_closed)).await
}

impl Server {
    fn answer(&self, method: &str, call: &Value, is_closed: bool) -> Response {
        let params = &call["params"];
        let result = match method {
            "common.db.login" => Ok(json!([3, "session"])),
            "model.res.user.get_preferences" => Ok(json!({"company": 1})),
            "model.docksync.event.version" => Ok(json!("1")),
            "model.docksync.event.lookup" => Ok(self.books.lock().unwrap().look_up(&params[0])),
            "model.docksync.event.apply" => self.books.lock().unwrap().apply(&params[0], is_closed),
            other => panic!("no call {other}"),
        };
        let answer = match result {
            Ok(result) => json!({"id": call["id"], "result": result}),
            Err((key, code)) => {
                let description = json!({"key": key, "code": code}).to_string();
                json!({"id": call["id"], "error": ["UserError", [format!("no: {code}"), description, null]]})
            }
        };
        said(200, &answer.to_string())
    }
}

impl Books {
    fn look_up(&self, keys: &Value) -> Value {
        let known = |key: &Value| self.applied.get(key.as_str()?).map(|document| json!([key, document]));
        keys.as_array().unwrap().iter().filter_map(known).collect()
    }

    /// All documents of a call, or none and the key of the one to take out.
    fn apply(&mut self, documents: &Value, is_closed: bool) -> Result<Value, (Value, &'static str)> {
        let mut rows = Vec::new();
        for document in documents.as_array().unwrap() {
            let key = document["key"].as_str().unwrap();
            if let Some(number) = self.applied.get(key) {
                rows.push(json!([key, "duplicate", number]));
                continue;
            }
            if let Some(code) = self.refusal(document, is_closed) {
                return Err((document["key"].clone(), code));
            }
            rows.push(json!([key, "applied", format!("stock.shipment.out {key}")]));
        }
        for row in rows.iter().filter(|row| row[1] == "applied") {
            self.applied.insert(row[0].as_str().unwrap().to_owned(), row[2].as_str().unwrap().to_owned());
        }
        Ok(rows.into())
    }

    fn refusal(&self, document: &Value, is_closed: bool) -> Option<&'static str> {
        let (is_about_one, reference) = (document["kind"] != "adjusted", document["reference"].as_str().unwrap());
        let found = self.references.get(reference).copied().unwrap_or(0);
        match document {
            _ if is_closed => Some("CLOSED_PERIOD"),
            _ if document["site"] != "DC01" => Some("UNKNOWN_WAREHOUSE"),
            _ if document["lines"][0]["product"] != "SKU-1" => Some("UNKNOWN_PRODUCT"),
            _ if is_about_one && found == 0 => Some("UNKNOWN_DOCUMENT"),
            _ if is_about_one && found > 1 => Some("AMBIGUOUS_DOCUMENT"),
            _ => None,
        }
    }
}

struct Double {
    runtime: Runtime,
    server: Arc<Server>,
    url: String,
}

impl Double {
    fn start() -> Self {
        let references: BTreeSet<String> =
            (1..=DOCUMENTS).flat_map(|n| [format!("SO-{n}"), format!("PO-{n}")]).collect();
        let references = references.into_iter().map(|reference| (reference, 1)).collect();
        let books = Mutex::new(Books { references, ..Books::default() });
        let (runtime, server) = (Runtime::new().unwrap(), Arc::new(Server { faults: Faults::default(), books }));
        let app = Router::new().route("/company/rpc/", post(rpc)).with_state(Arc::clone(&server));
        let url = double::serve(&runtime, app);
        Self { runtime, server, url }
    }
}

impl Bench for Double {
    type Consumer = Tryton;
    const IS_ERP: bool = true;

    fn connect(&self, to_nobody: bool) -> Option<Tryton> {
        let access = Access {
            url: if to_nobody { double::nobody() } else { self.url.clone() },
            database: "company".to_owned(),
            user: "docksync".to_owned(),
            password: "secret".to_owned(),
            timeout: self.server.faults.timeout(),
        };
        let ways = Ways { module: UseModule::Required, settle_ms: 0 };
        Some(Tryton::new(access, Mapping::default(), ways, self.runtime.handle().clone()).unwrap())
    }

    fn faults(&self) -> Option<&Faults> {
        Some(&self.server.faults)
    }

    fn effects(&self, key: &str) -> usize {
        usize::from(self.server.books.lock().unwrap().applied.contains_key(key))
    }

    fn total(&self) -> usize {
        self.server.books.lock().unwrap().applied.len()
    }

    fn double(&self, reference: &str, _: &str) -> bool {
        self.server.books.lock().unwrap().references.insert(reference.to_owned(), 2);
        true
    }
}

#[test]
fn tryton_conforms() {
    conformance::all(Double::start);
}

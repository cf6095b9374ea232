//! An ERPNext as far as its API shows it: documents in memory, drafts that are submitted, a key that is unique.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::Response,
    routing::{get, put},
};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::{ErpNext, KEY_FIELD, REFERENCE_FIELD, Ways, rest::Access};
use crate::consumers::{
    conformance::{Bench, DOCUMENTS},
    double::{self, Faults, said},
    erp::mapping::{Mapping, WithoutDocument},
};

const COMPANY: &str = "ACME";

/// An error of Frappe: its class, status and sentence.
type Refused = (&'static str, u16, String);

/// What ERPNext holds.
pub(crate) struct Books {
    pub(super) documents: BTreeMap<String, BTreeMap<String, Map<String, Value>>>,
    next: u32,
    /// Refused at each submission.
    pub(super) refuses: Option<(&'static str, &'static str)>,
    /// Calls that lose against another transaction, one after the other.
    pub(super) conflicts: u32,
    /// Decimals of its quantities.
    pub(super) decimals: u32,
    /// Questions by key that are answered before what they ask for is there.
    pub(super) too_early: u32,
    /// Whether somebody ticked it.
    pub(crate) is_unique: bool,
}

pub(crate) struct Server {
    pub(crate) faults: Faults,
    pub(crate) books: Mutex<Books>,
}

impl Books {
    fn new() -> Self {
        let documents = BTreeMap::new();
        let mut books =
            Self { documents, next: 0, refuses: None, conflicts: 0, decimals: 9, too_early: 0, is_unique: true };
        for warehouse in ["DC01", "Damaged DC01", "Transit"] {
            books.put("Warehouse", warehouse, json!({"is_group": 0}));
        }
        books.put("Item", "SKU-1", json!({"disabled": 0, "stock_uom": "Nos", "has_batch_no": 0, "has_serial_no": 0}));
        books.put("Item", "LOTTED", json!({"disabled": 0, "stock_uom": "Nos", "has_batch_no": 1, "has_serial_no": 0}));
        for (name, warehouse, quantity) in
            [("B-1", "DC01", 7.5), ("B-2", "Damaged DC01", 2.0), ("B-3", "Transit", 9.0), ("B-4", "DC01", 0.0)]
        {
            let item = if name == "B-4" { "LOTTED" } else { "SKU-1" };
            books.put("Bin", name, json!({"item_code": item, "warehouse": warehouse, "actual_qty": quantity}));
        }
        books.put("Batch", "L-1", json!({"item": "LOTTED"}));
        for n in 1..=DOCUMENTS {
            books.order("Sales Order", &format!("SO-{n}"), "SKU-1", 10.0);
            books.order("Purchase Order", &format!("PO-{n}"), "SKU-1", 10.0);
        }
        books
    }

    fn put(&mut self, doctype: &str, name: &str, document: Value) {
        let mut document = document.as_object().unwrap().clone();
        document.insert("name".to_owned(), json!(name));
        self.documents.entry(doctype.to_owned()).or_default().insert(name.to_owned(), document);
    }

    pub(super) fn order(&mut self, doctype: &str, name: &str, item: &str, quantity: f64) {
        let rows =
            json!([{"name": format!("{name}-1"), "item_code": item, "qty": quantity, "done": 0.0, "uom": "Nos"}]);
        self.put(
            doctype,
            name,
            json!({"docstatus": 1, "company": COMPANY, "po_no": format!("C-{name}"), "items": rows}),
        );
    }

    /// Rows of submitted documents with the key, or with those that are made of it.
    pub(super) fn rows(&self, key: Option<&str>) -> Vec<Map<String, Value>> {
        let effects = self.effects(key);
        effects
            .iter()
            .flat_map(|d| d["items"].as_array().unwrap().clone())
            .map(|row| row.as_object().unwrap().clone())
            .collect()
    }

    pub(super) fn effects(&self, key: Option<&str>) -> Vec<Map<String, Value>> {
        let is_own = |document: &&Map<String, Value>| match (document.get(KEY_FIELD).and_then(Value::as_str), key) {
            (Some(own), Some(key)) => own == key || own.split(':').next() == Some(key),
            (own, None) => own.is_some(),
            (None, Some(_)) => false,
        };
        let all = self.documents.values().flat_map(BTreeMap::values);
        all.filter(|document| document.get("docstatus") == Some(&json!(1))).filter(is_own).cloned().collect()
    }

    fn list(&mut self, doctype: &str, query: &BTreeMap<String, String>) -> Value {
        if self.too_early > 0 && query["filters"].contains(KEY_FIELD) {
            self.too_early -= 1;
            return json!([]);
        }
        let terms = |name: &str| -> Vec<Value> {
            query.get(name).map_or_else(Vec::new, |text| serde_json::from_str(text).unwrap())
        };
        let (all, any) = (terms("filters"), terms("or_filters"));
        let fields: Vec<String> = serde_json::from_str(&query["fields"]).unwrap();
        let limit: usize = query["limit_page_length"].parse().unwrap();
        let rows = self.documents.get(doctype).into_iter().flat_map(BTreeMap::values);
        let fits = |row: &&Map<String, Value>| {
            all.iter().all(|term| holds(doctype, row, term))
                && (any.is_empty() || any.iter().any(|term| holds(doctype, row, term)))
        };
        let read = |row: &Map<String, Value>| fields.iter().map(|f| (f.clone(), row[f].clone())).collect::<Map<_, _>>();
        rows.filter(fits)
            .take(if limit == 0 { usize::MAX } else { limit })
            .map(|row| Value::Object(read(row)))
            .collect()
    }

    /// Saves; the key is a unique column.
    fn save(&mut self, doctype: &str, name: Option<&str>, body: &Map<String, Value>) -> Result<Value, Refused> {
        if let Some(key) = body.get(KEY_FIELD) {
            let others = self.documents.get(doctype).into_iter().flat_map(BTreeMap::values);
            if others
                .filter(|other| Some(other["name"].as_str().unwrap()) != name)
                .any(|other| other.get(KEY_FIELD) == Some(key))
            {
                return Err(("UniqueValidationError", 417, "Docsync Key must be unique".to_owned()));
            }
        }
        let name = name.map_or_else(
            || {
                self.next += 1;
                body.get("batch_id")
                    .and_then(Value::as_str)
                    .map_or(format!("{doctype}-{:05}", self.next), str::to_owned)
            },
            str::to_owned,
        );
        let old = self.documents.entry(doctype.to_owned()).or_default().get(&name).cloned();
        let mut document = old
            .unwrap_or_else(|| Map::from_iter([("docstatus".to_owned(), json!(0)), ("name".to_owned(), json!(name))]));
        document.extend(body.clone());
        let scale = 10_f64.powi(i32::try_from(self.decimals).unwrap());
        for row in document.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            row["qty"] = json!((row["qty"].as_f64().unwrap() * scale).round() / scale);
        }
        self.documents.get_mut(doctype).unwrap().insert(name, document.clone());
        Ok(document.into())
    }

    fn update(
        &mut self,
        doctype: &str,
        name: &str,
        body: &Map<String, Value>,
        is_closed: bool,
    ) -> Result<Value, Refused> {
        let is_submission = body.get("docstatus") == Some(&json!(1));
        if is_submission && is_closed {
            let sentence = "Books have been closed till the period ending on 31-10-2026</br >You cannot create/amend any accounting entries till this date.";
            return Err(("ValidationError", 417, sentence.to_owned()));
        }
        if let Some((class, sentence)) = self.refuses.filter(|_| is_submission) {
            return Err((class, 417, sentence.to_owned()));
        }
        assert_eq!(self.documents[doctype][name]["docstatus"], 0, "what is submitted is not changed");
        let saved = self.save(doctype, Some(name), body)?;
        if is_submission {
            for row in saved["items"].as_array().unwrap() {
                self.done("Sales Order", &row["against_sales_order"], row);
                self.done("Purchase Order", &row["purchase_order"], row);
            }
        }
        Ok(saved)
    }

    fn done(&mut self, doctype: &str, order: &Value, by: &Value) {
        let Some(order) = order.as_str().and_then(|name| self.documents.get_mut(doctype)?.get_mut(name)) else {
            return;
        };
        let row = &mut order["items"][0];
        row["done"] = json!(row["done"].as_f64().unwrap() + by["qty"].as_f64().unwrap());
    }

    /// As ERPNext maps an order: head and rows that are not saved, with what is open.
    fn mapped(&self, method: &str, name: &str) -> Value {
        let (doctype, link, of) = match method.rsplit('.').next().unwrap() {
            "make_delivery_note" => ("Sales Order", "against_sales_order", "Delivery Note"),
            "make_purchase_receipt" => ("Purchase Order", "purchase_order", "Purchase Receipt"),
            "make_sales_return" => return self.returned(name),
            other => panic!("no method {other}"),
        };
        let row = &self.documents[doctype][name]["items"][0];
        let open = row["qty"].as_f64().unwrap() - row["done"].as_f64().unwrap();
        let mut mapped = json!({"item_code": row["item_code"], "qty": open, "uom": row["uom"], "conversion_factor": 1.0,
            "stock_qty": open, "warehouse": "Elsewhere", "rate": 3.5, "__islocal": 1});
        mapped[link] = json!(name);
        if doctype == "Purchase Order" {
            mapped["received_qty"] = json!(open);
        }
        let rows = if open > 0.0 { json!([mapped]) } else { json!([]) };
        json!({"doctype": of, "docstatus": 0, "__islocal": 1, "customer": "C", "company": COMPANY, "set_warehouse": "Elsewhere", "items": rows})
    }

    fn returned(&self, name: &str) -> Value {
        let note = &self.documents["Delivery Note"][name];
        let less = |row: &Value| {
            let mut row = row.clone();
            row["qty"] = json!(-row["qty"].as_f64().unwrap());
            row
        };
        let rows: Vec<Value> = note["items"].as_array().unwrap().iter().map(less).collect();
        json!({"doctype": "Delivery Note", "is_return": 1, "return_against": name, "company": COMPANY, "items": rows})
    }
}

fn holds(doctype: &str, row: &Map<String, Value>, term: &Value) -> bool {
    let term = term.as_array().unwrap();
    let (of, term) = if term.len() == 4 { (term[0].as_str().unwrap(), &term[1..]) } else { (doctype, &term[..]) };
    let field = term[0].as_str().unwrap();
    let found = if of == doctype {
        vec![row.get(field).cloned().unwrap_or(json!(0))]
    } else {
        row["items"].as_array().unwrap().iter().map(|child| child[field].clone()).collect()
    };
    match term[1].as_str().unwrap() {
        "=" => found.contains(&term[2]),
        "in" => found.iter().any(|value| term[2].as_array().unwrap().contains(value)),
        "!=" => found.iter().all(|value| value.as_f64() != term[2].as_f64()),
        other => panic!("no operator {other}"),
    }
}

fn answer(told: Result<Value, Refused>, field: &str) -> Response {
    match told {
        Ok(value) => said(200, &json!({ field: value }).to_string()),
        Err((class, status, sentence)) => {
            let message = json!({"message": sentence, "title": "Message"}).to_string();
            let error = json!({"exc_type": class, "_server_messages": json!([message]).to_string()});
            said(status, &error.to_string())
        }
    }
}

fn check(headers: &HeaderMap) {
    assert_eq!(headers["Authorization"], "token key:secret");
    assert_eq!(headers["Accept"], "application/json");
}

async fn list(
    State(server): State<Arc<Server>>,
    Path(doctype): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    check(&headers);
    server.faults.serve(false, |_| answer(Ok(server.books.lock().unwrap().list(&doctype, &query)), "data")).await
}

async fn insert(State(server): State<Arc<Server>>, Path(doctype): Path<String>, body: String) -> Response {
    let body: Map<String, Value> = serde_json::from_str(&body).unwrap();
    let act = |_| answer(server.books.lock().unwrap().write(|books| books.save(&doctype, None, &body)), "data");
    server.faults.serve(true, act).await
}

async fn update(
    State(server): State<Arc<Server>>,
    Path((doctype, name)): Path<(String, String)>,
    body: String,
) -> Response {
    let body: Map<String, Value> = serde_json::from_str(&body).unwrap();
    let act = |is_closed| {
        let mut books = server.books.lock().unwrap();
        answer(books.write(|books| books.update(&doctype, &name, &body, is_closed)), "data")
    };
    server.faults.serve(true, act).await
}

impl Books {
    fn write(&mut self, act: impl FnOnce(&mut Self) -> Result<Value, Refused>) -> Result<Value, Refused> {
        if self.conflicts > 0 {
            self.conflicts -= 1;
            return Err(("QueryDeadlockError", 508, "Deadlock found when trying to get lock".to_owned()));
        }
        act(self)
    }
}

async fn method(
    State(server): State<Arc<Server>>,
    Path(method): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    check(&headers);
    let act = |_| {
        let books = server.books.lock().unwrap();
        match method.as_str() {
            "frappe.auth.get_logged_user" => answer(Ok(json!("docksync")), "message"),
            "frappe.desk.form.load.getdoctype" => {
                let unique = i32::from(books.is_unique);
                let fields =
                    json!([{"fieldname": KEY_FIELD, "unique": unique}, {"fieldname": REFERENCE_FIELD, "unique": 0}]);
                said(
                    200,
                    &json!({"docs": [{"name": query["doctype"], "fields": fields}], "user_settings": "{}"}).to_string(),
                )
            }
            other => answer(Ok(books.mapped(other, &query["source_name"])), "message"),
        }
    };
    server.faults.serve(false, act).await
}

pub(crate) struct Double {
    runtime: Runtime,
    pub(crate) server: Arc<Server>,
    pub(crate) url: String,
    pub(super) without_document: WithoutDocument,
}

impl Double {
    pub(crate) fn start() -> Self {
        let server = Arc::new(Server { faults: Faults::default(), books: Mutex::new(Books::new()) });
        let app = Router::new()
            .route("/api/resource/{doctype}", get(list).post(insert))
            .route("/api/resource/{doctype}/{name}", put(update))
            .route("/api/method/{method}", get(method));
        let runtime = Runtime::new().unwrap();
        let url = double::serve(&runtime, app.with_state(Arc::clone(&server)));
        Self { runtime, server, url, without_document: WithoutDocument::Refuse }
    }
}

impl Bench for Double {
    type Consumer = ErpNext;
    const IS_ERP: bool = true;

    fn connect(&self, to_nobody: bool) -> Option<ErpNext> {
        let access = Access {
            url: if to_nobody { double::nobody() } else { self.url.clone() },
            token: "key:secret".to_owned(),
            timeout: self.server.faults.timeout(),
        };
        let mapping = Mapping { without_document: self.without_document, ..Mapping::default() };
        let ways = Ways { company: COMPANY.to_owned(), transit: Some("Transit".to_owned()) };
        Some(ErpNext::new(access, mapping, ways, self.runtime.handle().clone()).unwrap())
    }

    fn faults(&self) -> Option<&Faults> {
        Some(&self.server.faults)
    }

    fn effects(&self, key: &str) -> usize {
        self.server.books.lock().unwrap().effects(Some(key)).len()
    }

    fn total(&self) -> usize {
        self.server.books.lock().unwrap().effects(None).len()
    }

    fn double(&self, reference: &str, _: &str) -> bool {
        let mut books = self.server.books.lock().unwrap();
        books.order("Sales Order", "SO-OTHER", "SKU-1", 10.0);
        books.documents.get_mut("Sales Order").unwrap().get_mut("SO-OTHER").unwrap()["po_no"] = json!(reference);
        true
    }
}

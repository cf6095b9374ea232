//! Staging databases and HTTP endpoints in the suite of [`super::conformance`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::{get, post},
};
use regex::Regex;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{
    FaultClass,
    conformance::{self, Bench},
    double::{self, Faults, said},
    http::{HttpConsumer, Meaning, Profile, Rule},
    sql::SqlConsumer,
};

struct Staging(tempfile::TempDir);

impl Staging {
    fn count(&self, condition: &str) -> usize {
        let conn = rusqlite::Connection::open(self.0.path().join("staging.sqlite")).unwrap();
        let text = format!("SELECT count(*) FROM docksync_event WHERE {condition}");
        let count: i64 = conn.query_row(&text, [], |r| r.get(0)).unwrap();
        count.try_into().unwrap()
    }
}

impl Bench for Staging {
    type Consumer = SqlConsumer;
    const IS_ERP: bool = false;

    fn connect(&self, to_nobody: bool) -> Option<SqlConsumer> {
        (!to_nobody).then(|| SqlConsumer::open(&self.0.path().join("staging.sqlite")).unwrap())
    }

    fn faults(&self) -> Option<&Faults> {
        None
    }

    fn effects(&self, key: &str) -> usize {
        self.count(&format!("event_id = '{key}'"))
    }

    fn total(&self) -> usize {
        self.count("TRUE")
    }

    fn double(&self, _: &str, _: &str) -> bool {
        // Its key is a primary key.
        false
    }
}

/// An endpoint that keeps `Idempotency-Key` and answers a second call of one with 409.
#[derive(Default)]
struct Endpoint {
    faults: Faults,
    documents: Mutex<BTreeMap<String, usize>>,
}

async fn take(State(endpoint): State<Arc<Endpoint>>, headers: HeaderMap, body: String) -> Response {
    let key = headers["Idempotency-Key"].to_str().unwrap().to_owned();
    endpoint.faults.serve(true, |is_closed| endpoint.commit(&key, &body, is_closed)).await
}

async fn find(State(endpoint): State<Arc<Endpoint>>, Path(key): Path<String>) -> Response {
    endpoint.faults.serve(false, |_| endpoint.told(&key)).await
}

impl Endpoint {
    fn commit(&self, key: &str, body: &str, is_closed: bool) -> Response {
        let event: Value = serde_json::from_str(body).unwrap();
        if is_closed {
            return said(422, "the period is closed");
        }
        if event["lines"][0]["item"]["sku"] == "NO-SUCH-ITEM" {
            return said(422, r#"{"code":"E021","message":"item not found"}"#);
        }
        let mut documents = self.documents.lock().unwrap();
        let status = if documents.contains_key(key) { 409 } else { 201 };
        documents.entry(key.to_owned()).or_insert(1);
        said(status, &format!(r#"{{"id":"DOC-{key}"}}"#))
    }

    fn told(&self, key: &str) -> Response {
        let count = self.documents.lock().unwrap().get(key).copied().unwrap_or(0);
        let documents: Vec<Value> = (0..count).map(|_| serde_json::json!({"id": format!("DOC-{key}")})).collect();
        said(200, &Value::from(documents).to_string())
    }
}

struct Http {
    runtime: Runtime,
    endpoint: Arc<Endpoint>,
    url: String,
}

impl Http {
    fn start() -> Self {
        let (runtime, endpoint) = (Runtime::new().unwrap(), Arc::new(Endpoint::default()));
        let app = Router::new().route("/events", post(take)).route("/events/{key}", get(find));
        let url = double::serve(&runtime, app.with_state(Arc::clone(&endpoint)));
        Self { runtime, endpoint, url }
    }
}

impl Bench for Http {
    type Consumer = HttpConsumer;
    const IS_ERP: bool = false;

    fn connect(&self, to_nobody: bool) -> Option<HttpConsumer> {
        let url = if to_nobody { double::nobody() } else { self.url.clone() };
        let rule = |status, body: Option<&str>, meaning| Rule {
            status: Some(status),
            body: body.map(|text| Regex::new(text).unwrap()),
            meaning,
        };
        let profile = Profile {
            url: format!("{url}/events"),
            look_up_url: Some(format!("{url}/events/{{key}}")),
            is_idempotent: true,
            document_pointer: "/id".to_owned(),
            code_pointer: "/code".to_owned(),
            authorization: None,
            rules: vec![
                rule(422, Some("period is closed"), Meaning::Fault(FaultClass::ClosedPeriod)),
                rule(400, Some("REQUEST_LIMIT_EXCEEDED"), Meaning::Fault(FaultClass::Limit)),
                rule(409, None, Meaning::Already),
            ],
            timeout: self.endpoint.faults.timeout(),
            settle: Duration::ZERO,
            concurrency: 4,
        };
        Some(HttpConsumer::new(profile, self.runtime.handle().clone()).unwrap())
    }

    fn faults(&self) -> Option<&Faults> {
        Some(&self.endpoint.faults)
    }

    fn effects(&self, key: &str) -> usize {
        self.endpoint.documents.lock().unwrap().get(key).copied().unwrap_or(0)
    }

    fn total(&self) -> usize {
        self.endpoint.documents.lock().unwrap().values().sum()
    }

    fn double(&self, _: &str, key: &str) -> bool {
        self.endpoint.documents.lock().unwrap().insert(key.to_owned(), 2);
        true
    }
}

#[test]
fn a_staging_database_conforms() {
    conformance::all(|| {
        let staging = Staging(tempfile::tempdir().unwrap());
        drop(staging.connect(false));
        staging
    });
}

#[test]
fn an_http_endpoint_conforms() {
    conformance::all(Http::start);
}

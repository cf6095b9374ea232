//! Staging databases and HTTP endpoints in the suite of [`super::conformance`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::Response,
    routing::{get, post, put},
};
use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{
    Consumer as _, FaultClass, LookUp, Outcome,
    conformance::{self, Bench},
    double::{self, Faults, said},
    http::{HttpConsumer, Meaning, Profile, Rule},
    sql::SqlConsumer,
    template::Template,
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
        let documents: Vec<Value> = (0..count).map(|_| json!({"id": format!("DOC-{key}")})).collect();
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

    fn profile(url: &str, timeout: Duration) -> Profile {
        let rule = |status, body: Option<&str>, meaning| Rule {
            status: Some(status),
            body: body.map(|text| Regex::new(text).unwrap()),
            meaning,
        };
        Profile {
            method: Method::POST,
            url: Template::parse(&format!("{url}/events")).unwrap(),
            headers: Vec::new(),
            body: Template::parse("{event}").unwrap(),
            look_up_url: Some(Template::parse(&format!("{url}/events/{{key}}")).unwrap()),
            look_up_pointer: String::new(),
            document_header: None,
            is_idempotent: true,
            document_pointer: "/id".to_owned(),
            code_pointer: "/code".to_owned(),
            authorization: None,
            rules: vec![
                rule(422, Some("period is closed"), Meaning::Fault(FaultClass::ClosedPeriod)),
                rule(400, Some("REQUEST_LIMIT_EXCEEDED"), Meaning::Fault(FaultClass::Limit)),
                rule(409, None, Meaning::Already),
            ],
            timeout,
            settle: Duration::ZERO,
            concurrency: 4,
        }
    }
}

impl Bench for Http {
    type Consumer = HttpConsumer;
    const IS_ERP: bool = false;

    fn connect(&self, to_nobody: bool) -> Option<HttpConsumer> {
        let url = if to_nobody { double::nobody() } else { self.url.clone() };
        let profile = Self::profile(&url, self.endpoint.faults.timeout());
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

/// An endpoint with ways of its own: puts, wants a header, names what it made in `Location`, and wraps what it finds.
async fn put_own(Path(key): Path<String>, headers: HeaderMap, body: String) -> Response {
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&headers["X-Site"], &told["external"], &told["sku"]),
        (&"DC01".parse().unwrap(), &json!(key), &json!("SKU-1"))
    );
    assert_eq!(told["rows"][0]["item"]["sku"], "SKU-1");
    let mut response = said(201, "");
    response.headers_mut().insert("Location", format!("/api/documents/D-{}/", &key[..4]).parse().unwrap());
    response
}

async fn find_own(Query(query): Query<BTreeMap<String, String>>) -> Response {
    assert_eq!(query["order"], "SO-1");
    said(200, &json!({"count": 1, "items": [{"no": "D-7"}]}).to_string())
}

#[test]
fn an_endpoint_with_ways_of_its_own_is_spoken_to_by_templates() {
    let runtime = Runtime::new().unwrap();
    let app = Router::new().route("/documents/{key}", put(put_own)).route("/documents", get(find_own));
    let url = double::serve(&runtime, app);
    let template = |text: &str| Template::parse(text).unwrap();
    let profile = Profile {
        method: Method::PUT,
        url: template(&format!("{url}/documents/{{key}}")),
        headers: vec![("X-Site".parse().unwrap(), template("{site}"))],
        body: template(r#"{"external": "{key}", "sku": "{/lines/0/item/sku}", "rows": {json:/lines}}"#),
        look_up_url: Some(template(&format!("{url}/documents?order={{document}}"))),
        look_up_pointer: "/items".to_owned(),
        document_pointer: "/no".to_owned(),
        document_header: Some("Location".parse().unwrap()),
        ..Http::profile(&url, Duration::from_secs(60))
    };
    let mut consumer = HttpConsumer::new(profile, runtime.handle().clone()).unwrap();
    let delivery = conformance::shipment(1);

    let applied = conformance::one(&mut consumer, &delivery);
    let found = consumer.look_up(&delivery);

    assert_eq!(applied, Outcome::Applied(format!("D-{}", &delivery.key[..4])));
    assert_eq!(found, LookUp::Found("D-7".to_owned()));
}

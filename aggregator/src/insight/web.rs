//! The centre's pages over HTTP: who may ask, what is answered.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header, uri::Authority},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use maud::Markup;
use tokio::sync::Mutex;

use super::{InsightError, Source, View, metrics, page};
use crate::logging::chain;

/// A view serves all who ask within this time.
const FRESH_FOR: Duration = Duration::from_millis(500);
const CSP: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A view and when it was read.
type Read = (Instant, Arc<View>);

/// What the answers are made from.
#[derive(Clone)]
pub(super) struct Desk {
    source: Source,
    hosts: Arc<BTreeSet<String>>,
    last: Arc<Mutex<Option<Read>>>,
}

impl Desk {
    pub(super) fn new(source: Source, hosts: BTreeSet<String>) -> Self {
        Self { source, hosts: Arc::new(hosts), last: Arc::default() }
    }

    /// The view; those who ask at the same time wait for one reading.
    async fn view(&self) -> Result<Arc<View>, InsightError> {
        let mut last = self.last.lock().await;
        if let Some((at, view)) = last.as_ref()
            && at.elapsed() < FRESH_FOR
        {
            return Ok(view.clone());
        }
        let source = self.source.clone();
        let read = tokio::task::spawn_blocking(move || source.read());
        let view = Arc::new(read.await.map_err(|_| InsightError::Reader)??);
        *last = Some((Instant::now(), view.clone()));
        Ok(view)
    }
}

/// All routes behind the guard.
pub(super) fn router(desk: Desk) -> Router {
    Router::new()
        .route("/", get(sites))
        .route("/sites.json", get(sites_json))
        .route("/parked", get(parked))
        .route("/parked.json", get(parked_json))
        .route("/books", get(books))
        .route("/books.json", get(books_json))
        .route("/books.csv", get(books_csv))
        .route("/style.css", get(style))
        .route("/metrics", get(figures))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "There is no such page.") })
        .layer(DefaultBodyLimit::max(0))
        .layer(middleware::from_fn_with_state(desk.clone(), guard))
        .with_state(desk)
}

/// Host names that may be in a request: a foreign name means that a web site tries to reach the pages through a browser.
pub(super) fn hosts(listen: SocketAddr, more: &[String]) -> BTreeSet<String> {
    let own = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
    own.into_iter().chain([listen.ip().to_string()]).chain(more.iter().map(|host| host.to_ascii_lowercase())).collect()
}

async fn guard(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<Authority>().ok());
    let is_known = authority.is_some_and(|authority| desk.hosts.contains(&authority.host().to_ascii_lowercase()));
    let mut response = if is_known {
        next.run(request).await
    } else {
        problem(StatusCode::MISDIRECTED_REQUEST, "This name is not one of these pages.")
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// An error as RFC 9457 wants it.
fn problem(status: StatusCode, title: &str) -> Response {
    let body = serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16() });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

fn failed(error: &InsightError) -> &'static str {
    tracing::warn!(error = chain(error), "pages could not be made");
    "The pages cannot be made now; the journal of docksync-aggregator says why."
}

async fn html(desk: &Desk, make: impl FnOnce(&View) -> Markup) -> Response {
    let (status, markup) = match desk.view().await {
        Ok(view) => (StatusCode::OK, make(&view)),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, page::message_page("No answer", failed(&error))),
    };
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], markup.into_string()).into_response()
}

async fn data(desk: &Desk, make: impl FnOnce(&View) -> Response) -> Response {
    match desk.view().await {
        Ok(view) => make(&view),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, failed(&error)),
    }
}

async fn sites(State(desk): State<Desk>) -> Response {
    html(&desk, |view| page::sites_page(&view.overview)).await
}

async fn parked(State(desk): State<Desk>) -> Response {
    html(&desk, |view| page::parked_page(&view.overview, &view.groups, view.is_cut)).await
}

async fn books(State(desk): State<Desk>) -> Response {
    html(&desk, |view| super::books::books_page(&view.overview, &view.books)).await
}

async fn books_json(State(desk): State<Desk>) -> Response {
    data(&desk, |view| axum::Json(&view.books).into_response()).await
}

async fn books_csv(State(desk): State<Desk>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/csv; charset=utf-8")];
    data(&desk, |view| {
        let text = view.books.report.as_ref().map(crate::reconcile::report::csv).unwrap_or_default();
        (kind, text).into_response()
    })
    .await
}

async fn sites_json(State(desk): State<Desk>) -> Response {
    data(&desk, |view| axum::Json(&view.overview).into_response()).await
}

async fn parked_json(State(desk): State<Desk>) -> Response {
    data(&desk, |view| {
        let body = serde_json::json!({ "version": super::sites::SCHEMA, "is_cut": view.is_cut, "groups": view.groups });
        axum::Json(body).into_response()
    })
    .await
}

async fn figures(State(desk): State<Desk>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    data(&desk, |view| match metrics::metrics(&view.overview, &view.groups, &view.destinations, &view.books) {
        Ok(text) => (kind, text).into_response(),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "The figures could not be written."),
    })
    .await
}

/// Ready means: the ledger and the register can be read.
async fn ready(State(desk): State<Desk>) -> Response {
    match desk.view().await {
        Ok(_) => (StatusCode::OK, "ready\n").into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n[-] {}\n", chain(&error))).into_response(),
    }
}

async fn style() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=300")];
    (kind, include_str!("style.css")).into_response()
}

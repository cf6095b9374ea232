//! The centre's pages over HTTP: who may ask, what is answered.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Form, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, uri::Authority},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use maud::Markup;
use tokio::sync::Mutex;

use super::{
    Decisions, InsightError, Source, View,
    decide::{self, Decision, Refused, Which},
    metrics, page,
    parked::Waiting,
};
use crate::{ledger::reads::SqliteReader, logging::chain};

/// A view serves all who ask within this time.
const FRESH_FOR: Duration = Duration::from_millis(500);
/// Largest form.
const FORM_BYTES_MAX: usize = 16 * 1024;
const HTML: &str = "text/html; charset=utf-8";
const CSP: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A view and when it was read.
type Read = (Instant, Arc<View>);

/// What the answers are made from.
#[derive(Clone)]
pub(super) struct Desk {
    source: Source,
    decisions: Option<Decisions>,
    hosts: Arc<BTreeSet<String>>,
    last: Arc<Mutex<Option<Read>>>,
}

impl Desk {
    pub(super) fn new(source: Source, hosts: BTreeSet<String>, decisions: Option<Decisions>) -> Self {
        Self { source, decisions, hosts: Arc::new(hosts), last: Arc::default() }
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
        .route("/parked/decide", get(decide).post(decided).layer(DefaultBodyLimit::max(FORM_BYTES_MAX)))
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
    (status, [(header::CONTENT_TYPE, HTML)], markup.into_string()).into_response()
}

async fn data(desk: &Desk, make: impl FnOnce(&View) -> Response) -> Response {
    match desk.view().await {
        Ok(view) => make(&view),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, failed(&error)),
    }
}

async fn sites(State(desk): State<Desk>) -> Response {
    html(&desk, |view| page::sites_page(&view.overview, &view.destinations)).await
}

async fn parked(State(desk): State<Desk>) -> Response {
    let may_decide = desk.decisions.is_some();
    html(&desk, |view| page::parked_page(&view.overview, (&view.groups, view.is_cut), &view.decided, may_decide)).await
}

/// Who asks, and what decisions need; or why nobody may decide.
fn person<'d>(desk: &'d Desk, headers: &HeaderMap) -> Result<(String, &'d Decisions), Box<Response>> {
    let refuse = |text: &str| {
        let page = page::message_page("Not decided", text).into_string();
        Box::new((StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, HTML)], page).into_response())
    };
    let decisions = desk.decisions.as_ref().ok_or_else(|| {
        refuse("Nobody decides on these pages: the settings name no page_user_header. Use docksync-aggregator parked.")
    })?;
    // Browsers say where a request comes from (Fetch Metadata Request Headers, section 2.1); programs say nothing.
    let is_foreign = headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    let named = headers.get(&decisions.user_header).and_then(|name| name.to_str().ok()).map(str::trim);
    match named.filter(|name| !name.is_empty() && !is_foreign) {
        Some(name) => Ok((name.to_owned(), decisions)),
        None => {
            Err(refuse("The proxy before these pages did not say who you are, or the request came from another page."))
        }
    }
}

async fn decide(State(desk): State<Desk>, headers: HeaderMap, Query(which): Query<Which>) -> Response {
    match person(&desk, &headers) {
        Ok((by, decisions)) => decide_page(&desk, which, (&by, &decisions.token), None).await,
        Err(refused) => *refused,
    }
}

async fn decide_page(desk: &Desk, which: Which, who: (&str, &str), refused: Option<Refused>) -> Response {
    let group = match group(desk, &which).await {
        Ok(group) => group,
        Err(error) => return problem(StatusCode::SERVICE_UNAVAILABLE, failed(&error)),
    };
    html(desk, |view| decide::decide_page(&view.overview, &which, &group, who, refused.as_ref())).await
}

async fn group(desk: &Desk, which: &Which) -> Result<Vec<Waiting>, InsightError> {
    let (path, which) = (desk.source.ledger.clone(), which.clone());
    let read = tokio::task::spawn_blocking(move || decide::of_group(&SqliteReader::open(&path)?, &which));
    Ok(read.await.map_err(|_| InsightError::Reader)??)
}

async fn decided(State(desk): State<Desk>, headers: HeaderMap, Form(decision): Form<Decision>) -> Response {
    let (by, decisions) = match person(&desk, &headers) {
        Ok(known) => known,
        Err(refused) => return *refused,
    };
    if decision.token != decisions.token {
        let text = "The centre was started again since this page was made: go back and decide once more.";
        let page = page::message_page("Not decided", text).into_string();
        return (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, HTML)], page).into_response();
    }
    let which = Which { code: decision.code.clone(), site: decision.site.clone(), target: decision.target.clone() };
    let asked = match group(&desk, &which).await {
        Ok(group) => decide::requests(&decision, &group, &by),
        Err(error) => return problem(StatusCode::SERVICE_UNAVAILABLE, failed(&error)),
    };
    let changes = match asked {
        Ok(changes) => changes,
        Err(refused) => return decide_page(&desk, which, (&by, &decisions.token), Some(refused)).await,
    };
    if let Err(error) = decisions.ledger.change(changes).await {
        return problem(StatusCode::SERVICE_UNAVAILABLE, failed(&error.into()));
    }
    *desk.last.lock().await = None;
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/parked")]).into_response()
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
        let body = serde_json::json!({ "version": super::sites::SCHEMA, "is_cut": view.is_cut, "groups": view.groups,
            "destinations": view.destinations });
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

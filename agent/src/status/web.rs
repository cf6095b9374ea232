//! The page over HTTP: who may ask, what is answered. Holds no facts of its own.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Form, Router,
    extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, uri::Authority},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::Markup;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use super::{
    StatusAction, events,
    events::EventsView,
    file_page, metrics, page, shape,
    snapshot::{FileView, SCHEMA, Snapshot},
    text,
};
use crate::{
    queue::{Content, capture::FileId},
    uplink::fates::Fates,
};

const BODY_BYTES_MAX: usize = 8 * 1024;
const REASON_CHARS_MAX: usize = 500;
/// A view older than this is not the present any more.
const STALE_SECS: u64 = 30;
const CSP: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Reads a file for its page.
pub(super) type ReadFile = Arc<dyn Fn(FileId, u64) -> Option<(FileView, Content)> + Send + Sync>;

/// What the answers are made from.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) actions: mpsc::Sender<StatusAction>,
    /// Reads one file with its held lines, and its events behind the first so many; blocks.
    pub(super) file: ReadFile,
    /// What head office says of events.
    pub(super) fates: Fates,
    pub(super) csrf: Arc<str>,
    pub(super) hosts: Arc<BTreeSet<String>>,
    pub(super) clock: fn() -> jiff::Timestamp,
}

/// All routes behind the guard.
pub(super) fn router(desk: Desk) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/status.json", get(status_json))
        .route("/status.txt", get(status_text))
        .route("/check.txt", get(check_text))
        .route("/files/{id}", get(file))
        .route("/files/{id}/file.json", get(file_json))
        .route("/files/{id}/retry", post(retry))
        .route("/files/{id}/set-aside", post(set_aside))
        .route("/try-now", post(try_now))
        .route("/style.css", get(style))
        .route("/icon/{name}", get(icon))
        .route("/metrics", get(metrics_text))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "There is no such page.", "Start at /.") })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(desk.clone(), guard))
        .with_state(desk)
}

/// Host names that may be in a request: a foreign name means that a web site tries to reach this page through a browser.
pub(super) fn hosts(listen: SocketAddr, more: &[String]) -> BTreeSet<String> {
    let own = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
    own.into_iter().chain([listen.ip().to_string()]).chain(more.iter().map(|host| host.to_ascii_lowercase())).collect()
}

async fn guard(State(desk): State<Desk>, peer: ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let mut response = if !is_known_host(headers, &desk.hosts) {
        let next_step = "Use the address of the settings, as http://127.0.0.1:8077/.";
        problem(StatusCode::MISDIRECTED_REQUEST, "This name is not one of this page.", next_step)
    } else if request.method() == Method::POST && !(peer.0.ip().to_canonical().is_loopback() && is_same_origin(headers))
    {
        problem(StatusCode::FORBIDDEN, "Actions are taken on this server itself only.", "Open the page on the server.")
    } else {
        next.run(request).await
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

fn is_known_host(headers: &HeaderMap, hosts: &BTreeSet<String>) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<Authority>().ok());
    authority.is_some_and(|authority| hosts.contains(&authority.host().to_ascii_lowercase()))
}

/// Browsers tell where a form came from; what is no browser needs the token alone.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_own = match (text("origin"), text("host")) {
        (None, _) => !headers.contains_key("origin"),
        (Some(origin), Some(host)) => origin.strip_prefix("http://") == Some(host),
        (Some(_), None) => false,
    };
    is_own && matches!(text("sec-fetch-site"), None | Some("same-origin"))
}

fn html(markup: Markup) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], markup.into_string()).into_response()
}

/// An error as RFC 9457 wants it.
fn problem(status: StatusCode, title: &str, next_step: &str) -> Response {
    let body = serde_json::json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "next_step": next_step,
    });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

impl Desk {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// The token of the forms, for those who may use them.
    fn csrf_for(&self, peer: SocketAddr) -> Option<&str> {
        peer.ip().to_canonical().is_loopback().then_some(&*self.csrf)
    }

    fn message(&self, status: StatusCode, title: &str, text: &str) -> Response {
        (status, html(page::message_page(&self.snapshot(), title, text))).into_response()
    }

    fn is_token(&self, given: &str) -> bool {
        // Hashes of equal length are compared, so the time taken tells nothing of the token.
        let hash = |text: &str| ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        hash(given).as_ref() == hash(&self.csrf).as_ref()
    }

    fn act(&self, token: &str, action: StatusAction, back: &str) -> Response {
        if !self.is_token(token) {
            return self.message(
                StatusCode::FORBIDDEN,
                "This form is old",
                "Open the page again and press the button once more.",
            );
        }
        match self.actions.try_send(action) {
            Ok(()) => Redirect::to(back).into_response(),
            Err(_) => self.message(
                StatusCode::SERVICE_UNAVAILABLE,
                "Not taken",
                "The agent has too much to do at the moment, or is stopping. Try again in a minute.",
            ),
        }
    }
}

async fn home(State(desk): State<Desk>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    html(page::page(&desk.snapshot(), desk.csrf_for(peer)))
}

async fn status_json(State(desk): State<Desk>) -> Response {
    axum::Json(&*desk.snapshot()).into_response()
}

/// The words of the `status` command.
async fn status_text(State(desk): State<Desk>) -> Response {
    text::lines(&desk.snapshot()).into_response()
}

/// Ages that `status --check` was given.
#[derive(Deserialize)]
struct Ages {
    warn_secs: u64,
    crit_secs: u64,
}

/// The line of `status --check`, behind its exit code.
async fn check_text(State(desk): State<Desk>, Query(ages): Query<Ages>) -> Response {
    let (warn, crit) = (Duration::from_secs(ages.warn_secs), Duration::from_secs(ages.crit_secs));
    let check = text::check(&desk.snapshot(), warn, crit);
    format!("{}\n{}\n", check.exit, check.line).into_response()
}

#[derive(Deserialize)]
struct Shown {
    done: Option<String>,
    /// Place of the first event, from 1.
    from: Option<u64>,
}

impl Desk {
    /// A file with its events, from this place on; what is not known of them is asked for.
    async fn file(&self, id: i64, from: Option<u64>) -> Option<(FileView, EventsView)> {
        let (read, skip) = (self.file.clone(), from.unwrap_or(1).saturating_sub(1).min(u64::from(u32::MAX)));
        let (file, content) = tokio::task::spawn_blocking(move || read(FileId(id), skip)).await.ok().flatten()?;
        let snap = self.snapshot();
        let is_link_up = snap.link.as_ref().is_some_and(|link| link.is_up);
        let look = |first, last| self.fates.look(first, last, (self.clock)());
        let events = events::view(content, skip, snap.stream.marked, is_link_up, look);
        Some((file, events))
    }
}

async fn file(
    State(desk): State<Desk>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(id): Path<i64>,
    Query(Shown { done, from }): Query<Shown>,
) -> Response {
    let note = match done.as_deref() {
        Some("retry") => Some("The file is checked again. What is stored already will not be stored twice."),
        Some("set-aside") => Some("The file is being set aside, with your reason."),
        _ => None,
    };
    match (desk.file(id, from).await, note) {
        (Some((file, events)), note) => {
            html(file_page::file_page(&desk.snapshot(), &file, &events, desk.csrf_for(peer), note))
        }
        (None, Some(note)) => desk.message(StatusCode::OK, "Done", note),
        (None, None) => desk.message(StatusCode::NOT_FOUND, "No such file", "It needs nobody any more, or never came."),
    }
}

/// The same for programs.
async fn file_json(State(desk): State<Desk>, Path(id): Path<i64>, Query(Shown { from, .. }): Query<Shown>) -> Response {
    match desk.file(id, from).await {
        Some((file, events)) => {
            axum::Json(serde_json::json!({ "version": SCHEMA, "file": file, "events": events })).into_response()
        }
        None => problem(StatusCode::NOT_FOUND, "There is no such file.", "See the files of /status.json."),
    }
}

#[derive(Deserialize)]
struct Plain {
    csrf: String,
}

#[derive(Deserialize)]
struct Reasoned {
    csrf: String,
    reason: String,
}

async fn retry(State(desk): State<Desk>, Path(id): Path<i64>, Form(form): Form<Plain>) -> Response {
    desk.act(&form.csrf, StatusAction::Retry { file: FileId(id) }, &format!("/files/{id}?done=retry"))
}

async fn set_aside(State(desk): State<Desk>, Path(id): Path<i64>, Form(form): Form<Reasoned>) -> Response {
    let reason = form.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        let text = "Say in a few words why the file is set aside; it is kept with the file.";
        return desk.message(StatusCode::UNPROCESSABLE_ENTITY, "A reason is needed", text);
    }
    let action = StatusAction::SetAside { file: FileId(id), reason: reason.to_owned() };
    desk.act(&form.csrf, action, &format!("/files/{id}?done=set-aside"))
}

async fn try_now(State(desk): State<Desk>, Form(form): Form<Plain>) -> Response {
    desk.act(&form.csrf, StatusAction::TryNow, "/")
}

async fn style() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=300")];
    (kind, include_str!("style.css")).into_response()
}

async fn icon(Path(name): Path<String>) -> Response {
    match name.strip_suffix(".svg").and_then(shape::level_of) {
        Some(level) => ([(header::CONTENT_TYPE, "image/svg+xml")], shape::icon(level)).into_response(),
        None => problem(StatusCode::NOT_FOUND, "There is no such icon.", "Start at /."),
    }
}

async fn metrics_text(State(desk): State<Desk>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match metrics::metrics(&desk.snapshot()) {
        Ok(text) => (kind, text).into_response(),
        Err(_) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The figures could not be written.",
            "Tell the integration team.",
        ),
    }
}

#[derive(Deserialize)]
struct Verbose {
    verbose: Option<String>,
}

/// Ready means: exports are stored. Head office may be away, for that is what the store is for.
async fn ready(State(desk): State<Desk>, Query(Verbose { verbose }): Query<Verbose>) -> Response {
    let snap = desk.snapshot();
    let age = super::phrase::secs_between(snap.generated_at, (desk.clock)());
    let checks = [
        ("store", snap.is_store_readable, "the local store can be read"),
        ("room", snap.has_room, "there is room for new events"),
        ("view", age < STALE_SECS, "the view is fresh"),
    ];
    let is_ready = checks.iter().all(|(_, is_good, _)| *is_good);
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = if is_ready { "ready\n" } else { "not ready\n" }.to_owned();
    if verbose.is_some() || !is_ready {
        for (name, is_good, means) in checks {
            text.push_str(&format!("[{}] {name}: {means}\n", if is_good { "+" } else { "-" }));
        }
    }
    (status, text).into_response()
}

#[cfg(test)]
#[path = "web_tests.rs"]
mod tests;

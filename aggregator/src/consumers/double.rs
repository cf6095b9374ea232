//! Doubles of destinations: servers that keep what they are told, answer in the documented shapes, and show faults when told to.
//!
//! A fault that lies in HTTP itself is the same for every destination and is shown here; one in the words of the destination
//! ([`Turn::Closed`]) is left to its double.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::StatusCode,
    response::Response,
};
use futures_util::stream;
use tokio::{runtime::Runtime, sync::Notify};

/// Seconds after which a double that limits its rate asks to come back.
pub(crate) const RETRY_AFTER_SECS: u64 = 7;

/// What a destination does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Takes effect, then the connection breaks in the middle of the answer.
    Drop,
    /// Takes no effect and never answers.
    Hang,
    /// Does not know who calls.
    Unauthorised,
    /// 429.
    LimitStatus,
    /// 400, with a body that speaks of a rate limit.
    LimitBody,
    /// 503.
    Unavailable,
    /// The books are closed for the time of the event.
    Closed,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    turn: Turn,
    /// Writes that go well before it; `None` meets every call, for as long as the plan stands.
    after_writes: Option<usize>,
    /// Writes that go well before it comes again.
    again_after: Option<usize>,
}

/// The faults that a double shows.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    plan: Mutex<Option<Plan>>,
    was_met: AtomicBool,
    never: Notify,
}

impl Faults {
    /// The write behind so many others meets it, once.
    pub(crate) fn once(&self, turn: Turn, after_writes: usize) {
        self.was_met.store(false, Ordering::Relaxed);
        *self.plan.lock().unwrap() = Some(Plan { turn, after_writes: Some(after_writes), again_after: None });
    }

    /// Every call meets it until it is over.
    pub(crate) fn always(&self, turn: Turn) {
        *self.plan.lock().unwrap() = Some(Plan { turn, after_writes: None, again_after: None });
    }

    /// Every write behind so many others meets it, again and again.
    pub(crate) fn every(&self, turn: Turn, writes: usize) {
        *self.plan.lock().unwrap() = Some(Plan { turn, after_writes: Some(writes), again_after: Some(writes) });
    }

    /// It is over.
    pub(crate) fn clear(&self) {
        *self.plan.lock().unwrap() = None;
    }

    /// Whether a call met the one that was told by [`Self::once`].
    pub(crate) fn was_met(&self) -> bool {
        self.was_met.load(Ordering::Relaxed)
    }

    /// Whether its books are closed for as long as nobody says otherwise.
    pub(crate) fn is_closed(&self) -> bool {
        self.plan.lock().unwrap().is_some_and(|plan| plan.turn == Turn::Closed && plan.after_writes.is_none())
    }

    /// Time that a connector should give a call: what answers may take long on a busy machine, what hangs need not be waited for.
    pub(crate) fn timeout(&self) -> Duration {
        let is_mute = self.plan.lock().unwrap().is_some_and(|plan| plan.turn == Turn::Hang);
        if is_mute { Duration::from_millis(500) } else { Duration::from_secs(60) }
    }

    fn meets(&self, is_write: bool) -> Option<Turn> {
        let mut plan = self.plan.lock().unwrap();
        let Plan { turn, after_writes, again_after } = (*plan)?;
        match after_writes {
            // Closed books refuse what is posted; who reads is answered.
            None => (is_write || turn != Turn::Closed).then_some(turn),
            Some(_) if !is_write => None,
            Some(0) => {
                *plan = again_after.map(|writes| Plan { turn, after_writes: Some(writes), again_after });
                self.was_met.store(true, Ordering::Relaxed);
                Some(turn)
            }
            Some(left) => {
                *plan = Some(Plan { turn, after_writes: Some(left - 1), again_after });
                None
            }
        }
    }

    /// Answers one call: `act` is what the destination does, told whether its books are closed.
    pub(crate) async fn serve(&self, is_write: bool, act: impl FnOnce(bool) -> Response) -> Response {
        match self.meets(is_write) {
            None => act(false),
            Some(Turn::Closed) => act(true),
            Some(Turn::Drop) => {
                drop(act(false));
                let cut = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("the connection breaks"))];
                Response::new(Body::from_stream(stream::iter(cut)))
            }
            Some(Turn::Hang) => {
                self.never.notified().await;
                Response::default()
            }
            Some(Turn::Unauthorised) => said(401, ""),
            Some(Turn::Unavailable) => said(503, "<html>Service Unavailable</html>"),
            Some(Turn::LimitStatus) => limited(429, ""),
            // As NetSuite's RESTlets answer.
            Some(Turn::LimitBody) => limited(400, r#"{"error":{"code":"SSS_REQUEST_LIMIT_EXCEEDED"}}"#),
        }
    }
}

/// An answer.
pub(crate) fn said(status: u16, body: &str) -> Response {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn limited(status: u16, body: &str) -> Response {
    let mut response = said(status, body);
    response.headers_mut().insert("Retry-After", RETRY_AFTER_SECS.into());
    response
}

/// Serves on a free port of this machine; gives the address.
pub(crate) fn serve(runtime: &Runtime, app: Router) -> String {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

/// An address where nobody listens: a port that was free a moment ago.
pub(crate) fn nobody() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{free}")
}

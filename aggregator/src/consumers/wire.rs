//! What destinations share of HTTP: a client that never follows a redirect, one call at a time, and why a call gave no result.

use std::time::Duration;

use reqwest::{
    Client, RequestBuilder, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use tokio::runtime::Handle;

use super::{ConsumerError, FaultClass, LookUp, Outcome};

/// Most bytes of an answer that are read: balances of a large warehouse.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most characters of an answer that a reason repeats.
pub(super) const REASON_CHARS_MAX: usize = 2_000;
/// What rate limits are called by those who tell them under another status: NetSuite's RESTlets, and gateways in front of others.
const LIMITS: [&str; 4] = ["request_limit_exceeded", "rate limit", "ratelimit", "too many requests"];

/// Why a call gave no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The server judged the call and refused it: nothing of it took effect.
    Refused(Refusal),
    /// It takes nothing now; surely without effect.
    Fault {
        /// Why.
        class: FaultClass,
        /// When it asks us to come back, in milliseconds.
        after_ms: Option<u64>,
        /// In words.
        reason: String,
    },
    /// The call may have taken effect.
    Unknown {
        /// What went wrong.
        reason: String,
        /// Whether the server answered at all.
        was_answered: bool,
    },
}

/// A refusal in the server's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its kind: the class of the server's error, or the text of a fault in its own code.
    pub kind: String,
    /// The sentence.
    pub message: String,
    /// What the raiser added.
    pub description: String,
}

impl Refusal {
    /// Kind and sentence in one line.
    pub fn words(&self) -> String {
        format!("{}: {}", self.kind, self.message)
    }
}

impl Failure {
    /// In one line, for people.
    pub fn words(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.words(),
            Self::Fault { class, reason, .. } => format!("{}: {reason}", class.as_str()),
            Self::Unknown { reason, .. } => reason.clone(),
        }
    }

    /// Of a call that changes nothing: whatever went wrong, nothing took effect.
    pub fn without_effect(self) -> Outcome {
        let outage = |reason| Outcome::Retry { class: FaultClass::Outage, after_ms: None, reason };
        match self {
            Self::Fault { class, after_ms, reason } => Outcome::Retry { class, after_ms, reason },
            Self::Refused(refusal) => outage(refusal.words()),
            Self::Unknown { reason, .. } => outage(reason),
        }
    }

    /// Of a question by key.
    pub fn no_answer(self) -> LookUp {
        match self {
            Self::Fault { class, reason, .. } => LookUp::NoAnswer { class, reason },
            Self::Refused(refusal) => LookUp::NoAnswer { class: FaultClass::Outage, reason: refusal.words() },
            Self::Unknown { reason, .. } => LookUp::NoAnswer { class: FaultClass::Outage, reason },
        }
    }
}

/// An answer that came whole.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// When it asks us to come back, in milliseconds.
    pub after_ms: Option<u64>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The beginning of the body, for a reason.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(REASON_CHARS_MAX).collect()
    }

    /// A fault told by this answer.
    pub fn fault(&self, class: FaultClass) -> Failure {
        Failure::Fault { class, after_ms: self.after_ms, reason: format!("{}: {}", self.status, self.said()) }
    }

    /// What the status alone says of an answer that holds no word of the application: it comes from a server or gateway in front.
    pub fn by_status(&self) -> Failure {
        match self.status.as_u16() {
            400..=499 if says_limit(&self.said()) => self.fault(FaultClass::Limit),
            401 | 403 | 407 => self.fault(FaultClass::Auth),
            429 => self.fault(FaultClass::Limit),
            503 => self.fault(FaultClass::Outage),
            // A wrong address is the destination's fault, and parking every event for it would bury the cause.
            300..=499 => self.fault(FaultClass::Outage),
            _ => Failure::Unknown { reason: format!("{}: {}", self.status, self.said()), was_answered: true },
        }
    }
}

/// Whether a body asks to slow down, under whatever status.
pub fn says_limit(body: &str) -> bool {
    let body = body.to_ascii_lowercase();
    LIMITS.iter().any(|limit| body.contains(limit))
}

/// A client with the place where its calls run.
#[derive(Debug)]
pub struct Wire {
    client: Client,
    runtime: Handle,
}

impl Wire {
    /// Sets up the client; calls run on `runtime`.
    ///
    /// # Errors
    /// [`ConsumerError::Client`].
    pub fn new(url: &str, timeout: Duration, runtime: Handle) -> Result<Self, ConsumerError> {
        Ok(Self { client: client(url, timeout, HeaderMap::new())?, runtime })
    }

    /// To build requests with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// [`Failure::Fault`] where nothing left this machine, [`Failure::Unknown`] where no whole answer came.
    pub fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        self.runtime.block_on(async move {
            let response = request.send().await.map_err(|error| unsent(&error))?;
            let (status, after_ms) = (response.status(), retry_after(response.headers()));
            match read(response, ANSWER_BYTES_MAX).await {
                Ok(body) => Ok(Answer { status, after_ms, body }),
                Err(error) => Err(Failure::Unknown { reason: chain(&error), was_answered: false }),
            }
        })
    }
}

/// Sets up a client that follows no redirect: one would repeat a POST elsewhere.
pub(super) fn client(url: &str, timeout: Duration, headers: HeaderMap) -> Result<Client, ConsumerError> {
    // Another room may have named the provider before: it is the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
        .default_headers(headers)
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|source| ConsumerError::Client { url: url.to_owned(), source })
}

fn unsent(error: &reqwest::Error) -> Failure {
    // Without a connection nothing left this machine.
    if error.is_connect() || error.is_builder() {
        return Failure::Fault { class: FaultClass::Outage, after_ms: None, reason: chain(error) };
    }
    Failure::Unknown { reason: chain(error), was_answered: false }
}

/// The answer's body, cut at `bytes_max`.
pub(super) async fn read(mut response: reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        body.extend_from_slice(&part);
        if body.len() >= bytes_max {
            body.truncate(bytes_max);
            break;
        }
    }
    Ok(body)
}

/// Seconds of `Retry-After`; its date form is rare and falls back to our own schedule.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let secs: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    secs.checked_mul(1000)
}

/// A text as one segment of a URL.
pub(super) fn escape(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
        out
    })
}

/// The error with everything behind it.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), after_ms: Some(7_000), body: body.into() }
    }

    #[test]
    fn a_status_without_a_word_of_the_application_has_one_meaning() {
        let class = |status, body: &str| match answer(status, body).by_status() {
            Failure::Fault { class, after_ms, .. } => (Some(class), after_ms),
            Failure::Refused(_) | Failure::Unknown { .. } => (None, None),
        };

        assert_eq!(class(401, ""), (Some(FaultClass::Auth), Some(7_000)));
        assert_eq!(class(429, ""), (Some(FaultClass::Limit), Some(7_000)));
        assert_eq!(
            class(400, r#"{"error":{"code":"SSS_REQUEST_LIMIT_EXCEEDED"}}"#),
            (Some(FaultClass::Limit), Some(7_000))
        );
        assert_eq!(class(403, "Rate limit reached"), (Some(FaultClass::Limit), Some(7_000)));
        assert_eq!(class(404, "<html>"), (Some(FaultClass::Outage), Some(7_000)));
        assert_eq!(class(503, ""), (Some(FaultClass::Outage), Some(7_000)));
        assert_eq!(class(502, ""), (None, None), "it may have taken effect");
    }
}

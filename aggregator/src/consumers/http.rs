//! HTTP destinations: one call with JSON per event, with `Idempotency-Key` and `traceparent`.
//!
//! Address, headers and body are templates ([`super::template`]); where the number of the document stands in an answer is told by pointers.
//! A profile says what the answers mean. A time-out or a lost connection after the request may have left is unknown, and is settled by
//! the look-up URL, by the destination's own key, or by a person. Calls of one batch run side by side, at most `concurrency`.

use std::time::Duration;

use docksync_proto::identity::traceparent;
use futures_util::{StreamExt as _, stream};
use regex::Regex;
use reqwest::{
    Client, Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;
use tokio::runtime::Handle;

use super::{
    Capability, Consumer, ConsumerError, Delivery, FaultClass, LookUp, Outcome,
    template::{Place, Template},
    wire::{self, REASON_CHARS_MAX, chain, read, retry_after},
};

/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The destination takes nothing now.
    Fault(FaultClass),
    /// It had the event before.
    Already,
    /// It will not have the event.
    Reject,
    /// A person must decide.
    Decide,
}

/// One rule of a profile; the first that fits counts.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Status; `None` fits every one.
    pub status: Option<u16>,
    /// Pattern that the body must hold.
    pub body: Option<Regex>,
    /// What it means.
    pub meaning: Meaning,
}

impl Rule {
    fn fits(&self, status: StatusCode, body: &str) -> bool {
        self.status.is_none_or(|s| s == status.as_u16()) && self.body.as_ref().is_none_or(|b| b.is_match(body))
    }
}

/// How a destination is spoken to.
#[derive(Debug, Clone)]
pub struct Profile {
    /// How events are sent: POST or PUT.
    pub method: Method,
    /// Where to.
    pub url: Template,
    /// Headers beside those of every call.
    pub headers: Vec<(HeaderName, Template)>,
    /// What is sent.
    pub body: Template,
    /// Where an effect is asked for.
    pub look_up_url: Option<Template>,
    /// JSON pointer to what a look-up found: a document, or a list of them. Empty is the whole answer.
    pub look_up_pointer: String,
    /// Header of an answer that tells the document where its body does not; its last segment.
    pub document_header: Option<HeaderName>,
    /// Whether the destination keeps `Idempotency-Key` for ever.
    pub is_idempotent: bool,
    /// JSON pointer to the document number in an answer.
    pub document_pointer: String,
    /// JSON pointer to the error code in an answer.
    pub code_pointer: String,
    /// Value of `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// Rules before those of HTTP itself.
    pub rules: Vec<Rule>,
    /// Time for a whole call.
    pub timeout: Duration,
    /// How long a call that was given up may go on over there: until then "absent" is not believed.
    pub settle: Duration,
    /// Calls at one time.
    pub concurrency: usize,
}

/// An HTTP destination.
#[derive(Debug)]
pub struct HttpConsumer {
    client: Client,
    profile: Profile,
    runtime: Handle,
}

impl HttpConsumer {
    /// Sets up the client; calls run on `runtime`.
    ///
    /// # Errors
    /// [`ConsumerError::Client`].
    pub fn new(profile: Profile, runtime: Handle) -> Result<Self, ConsumerError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(value) = &profile.authorization {
            let mut value = value.clone();
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = wire::client(&profile.url.sample(), profile.timeout, headers)?;
        Ok(Self { client, profile, runtime })
    }
}

impl Consumer for HttpConsumer {
    fn capability(&self) -> Capability {
        match (&self.profile.look_up_url, self.profile.is_idempotent) {
            (Some(_), _) => Capability::LookUp,
            (None, true) => Capability::OwnKey,
            (None, false) => Capability::Neither,
        }
    }

    fn is_ordered(&self) -> bool {
        false
    }

    fn settle_ms(&self) -> i64 {
        i64::try_from(self.profile.settle.as_millis()).unwrap_or(i64::MAX)
    }

    fn batch_max(&self) -> usize {
        self.profile.concurrency
    }

    fn apply(&mut self, batch: &[Delivery]) -> Vec<Outcome> {
        let calls = stream::iter(batch).map(|d| post(&self.client, &self.profile, d));
        self.runtime.block_on(calls.buffered(self.profile.concurrency.max(1)).collect())
    }

    fn look_up(&mut self, delivery: &Delivery) -> LookUp {
        self.runtime.block_on(ask(&self.client, &self.profile, delivery))
    }
}

async fn post(client: &Client, profile: &Profile, delivery: &Delivery) -> Outcome {
    let mut request = client
        .request(profile.method.clone(), profile.url.render(delivery, Place::Url))
        .header("Idempotency-Key", &delivery.key)
        .header("traceparent", traceparent(&delivery.event, delivery.id))
        .body(profile.body.render(delivery, Place::Json));
    for (name, value) in &profile.headers {
        request = request.header(name, value.render(delivery, Place::Header));
    }
    match request.send().await {
        Ok(response) => {
            let status = response.status();
            let after_ms = retry_after(response.headers());
            let named = profile.document_header.as_ref().and_then(|name| last_segment(response.headers(), name));
            match read(response, ANSWER_BYTES_MAX).await {
                Ok(body) => judge(profile, (status, after_ms, named), &body),
                // The status is known, the document number is not: only a refusal is sure.
                Err(error) => Outcome::Unknown { reason: chain(&error), was_answered: false },
            }
        }
        // Without a connection nothing left this machine.
        Err(error) if error.is_connect() || error.is_builder() => {
            Outcome::Retry { class: FaultClass::Outage, after_ms: None, reason: chain(&error) }
        }
        Err(error) => Outcome::Unknown { reason: chain(&error), was_answered: false },
    }
}

/// What an answer means for the event; pure.
fn judge(profile: &Profile, head: (StatusCode, Option<u64>, Option<String>), body: &[u8]) -> Outcome {
    let (status, after_ms, named) = head;
    let text = String::from_utf8_lossy(body);
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let at = |pointer: &str| number(json.as_ref(), pointer);
    let reason = || format!("{status}: {}", text.chars().take(REASON_CHARS_MAX).collect::<String>());
    let document =
        || Some(at(&profile.document_pointer)).filter(|n| !n.is_empty()).or(named.clone()).unwrap_or_default();
    let rule = profile.rules.iter().find(|rule| rule.fits(status, &text));
    let meaning = rule.map(|rule| rule.meaning).or_else(|| by_status(status));
    match meaning {
        None if status.is_success() => Outcome::Applied(document()),
        // 5xx and what HTTP does not define: the effect may be there.
        None => Outcome::Unknown { reason: reason(), was_answered: true },
        Some(Meaning::Already) => Outcome::AlreadyApplied(document()),
        Some(Meaning::Decide) => Outcome::NeedsDecision { reason: reason() },
        Some(Meaning::Fault(class)) => Outcome::Retry { class, after_ms, reason: reason() },
        Some(Meaning::Reject) => {
            let code = at(&profile.code_pointer);
            let code = if code.is_empty() { format!("HTTP_{}", status.as_u16()) } else { code };
            Outcome::Rejected { code, reason: reason() }
        }
    }
}

/// RFC 9110 and RFC 6585: which refusals leave no effect.
fn by_status(status: StatusCode) -> Option<Meaning> {
    match status.as_u16() {
        401 | 403 | 407 => Some(Meaning::Fault(FaultClass::Auth)),
        429 => Some(Meaning::Fault(FaultClass::Limit)),
        503 => Some(Meaning::Fault(FaultClass::Outage)),
        // A conflict may be an effect that is there, or one still in the making: asked for, unless the profile knows better.
        409 => None,
        // A wrong address is the destination's fault, and parking every event for it would bury the cause.
        300..=399 | 404 | 405 | 410 => Some(Meaning::Fault(FaultClass::Outage)),
        400..=499 => Some(Meaning::Reject),
        _ => None,
    }
}

async fn ask(client: &Client, profile: &Profile, delivery: &Delivery) -> LookUp {
    let Some(template) = &profile.look_up_url else {
        return LookUp::NoAnswer { class: FaultClass::Outage, reason: "no look-up URL is configured".to_owned() };
    };
    let mut request = client
        .get(template.render(delivery, Place::Url))
        .header("traceparent", traceparent(&delivery.event, delivery.id));
    for (name, value) in &profile.headers {
        request = request.header(name, value.render(delivery, Place::Header));
    }
    let lost = |error: reqwest::Error| LookUp::NoAnswer { class: FaultClass::Outage, reason: chain(&error) };
    match request.send().await {
        Ok(response) => {
            let status = response.status();
            match read(response, ANSWER_BYTES_MAX).await {
                Ok(body) => answered(profile, status, &body),
                Err(error) => lost(error),
            }
        }
        Err(error) => lost(error),
    }
}

/// What the answer to a question means; a rule of the profile that names a fault counts here too.
fn answered(profile: &Profile, status: StatusCode, body: &[u8]) -> LookUp {
    let text = String::from_utf8_lossy(body);
    let no_answer = |class| LookUp::NoAnswer { class, reason: format!("the look-up was answered by {status}") };
    match profile.rules.iter().find(|rule| rule.fits(status, &text)).map(|rule| rule.meaning) {
        Some(Meaning::Fault(class)) => return no_answer(class),
        Some(Meaning::Already | Meaning::Reject | Meaning::Decide) | None => {}
    }
    match (status, by_status(status)) {
        (StatusCode::NOT_FOUND, _) => LookUp::Absent,
        (_, None) if status.is_success() => found(profile, body),
        (_, Some(Meaning::Fault(class))) => no_answer(class),
        (_, Some(Meaning::Already | Meaning::Reject | Meaning::Decide) | None) => no_answer(FaultClass::Outage),
    }
}

/// An empty list or null is the answer of a search that found nothing; of several none is taken for ours.
fn found(profile: &Profile, body: &[u8]) -> LookUp {
    let told = serde_json::from_slice::<Value>(body);
    let what = match &told {
        Ok(json) => json.pointer(&profile.look_up_pointer).unwrap_or(&Value::Null),
        Err(error) => {
            return LookUp::NoAnswer { class: FaultClass::Outage, reason: format!("the look-up is no JSON: {error}") };
        }
    };
    match what {
        Value::Null => LookUp::Absent,
        Value::Array(list) => match list.as_slice() {
            [] => LookUp::Absent,
            [one] => LookUp::Found(number(Some(one), &profile.document_pointer)),
            several => LookUp::Several { reason: format!("the look-up found {} documents", several.len()) },
        },
        one => LookUp::Found(number(Some(one), &profile.document_pointer)),
    }
}

/// The last segment of an address, as of the `Location` of what was made.
fn last_segment(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    value.trim_end_matches('/').rsplit('/').next().map(str::to_owned)
}

fn number(json: Option<&Value>, pointer: &str) -> String {
    // An empty pointer would name the whole answer.
    let value = json.filter(|_| !pointer.is_empty()).and_then(|j| j.pointer(pointer));
    value.map(plain).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

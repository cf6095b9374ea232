//! Tryton's JSON-RPC: one session, one call at a time.
//!
//! `POST /<database>/rpc/` with exactly `id`, `method`, `params`; the last parameter is the context. A refusal is an answer with
//! `error`, its first item says of which kind (trytond 8.2, `protocols/jsonrpc.py` and `exceptions.py`). Outages, a login that is not
//! accepted and limits are told by the HTTP status.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

pub use crate::consumers::wire::{Failure, Refusal};
use crate::consumers::{
    ConsumerError, FaultClass,
    wire::{Answer, Wire},
};

/// Where a Tryton is, and who we are there.
#[derive(Debug, Clone)]
pub struct Access {
    /// Address, without the database.
    pub url: String,
    /// Database.
    pub database: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
    /// Time for a whole call: the server itself gives up a call after a minute.
    pub timeout: Duration,
}

/// A connection with its login.
pub struct Rpc {
    wire: Wire,
    access: Access,
    session: Option<Session>,
    calls: u64,
}

struct Session {
    authorization: HeaderValue,
    context: Map<String, Value>,
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rpc").field("url", &self.access.url).field("user", &self.access.user).finish_non_exhaustive()
    }
}

impl Rpc {
    /// Sets up the client; calls run on `runtime`. Nobody is called yet.
    ///
    /// # Errors
    /// [`ConsumerError::Client`].
    pub fn new(access: Access, runtime: Handle) -> Result<Self, ConsumerError> {
        let wire = Wire::new(&access.url, access.timeout, runtime)?;
        Ok(Self { wire, access, session: None, calls: 0 })
    }

    /// Address of the server.
    pub fn url(&self) -> &str {
        &self.access.url
    }

    /// Calls a method with the context of the login. A session that has ended is begun anew, once.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn call(&mut self, method: &str, params: &[Value]) -> Result<Value, Failure> {
        self.call_in(method, params, &Map::new())
    }

    /// As [`Self::call`], with more in the context.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn call_in(&mut self, method: &str, params: &[Value], more: &Map<String, Value>) -> Result<Value, Failure> {
        let was_logged_in = self.session.is_some();
        match self.call_once(method, params, more) {
            Err(Failure::Fault { class: FaultClass::Auth, .. }) if was_logged_in => {
                self.session = None;
                self.call_once(method, params, more)
            }
            other => other,
        }
    }

    /// What of the login stands in every context, e.g. `company` and `groups`; null before the first call.
    pub fn context(&self, key: &str) -> Value {
        self.session.as_ref().and_then(|session| session.context.get(key)).cloned().unwrap_or_default()
    }

    fn call_once(&mut self, method: &str, params: &[Value], more: &Map<String, Value>) -> Result<Value, Failure> {
        if self.session.is_none() {
            self.session = Some(self.log_in()?);
        }
        let Some(session) = &self.session else {
            return Err(Failure::Unknown { reason: "no session".to_owned(), was_answered: false });
        };
        let mut context = session.context.clone();
        context.extend(more.clone());
        let mut all = params.to_vec();
        all.push(Value::Object(context));
        let authorization = session.authorization.clone();
        self.post(method, &all, Some(authorization))
    }

    fn log_in(&mut self) -> Result<Session, Failure> {
        let who = json!(self.access.user);
        let login = [who, json!({ "password": self.access.password }), json!("en")];
        let answer = self.post("common.db.login", &login, None).map_err(before_login)?;
        let (Some(user), Some(token)) = (answer[0].as_i64(), answer[1].as_str()) else {
            let reason = format!("{} does not let user {} in", self.access.url, self.access.user);
            return Err(Failure::Fault { class: FaultClass::Auth, after_ms: None, reason });
        };
        let plain = format!("{}:{user}:{token}", self.access.user);
        let mut authorization = HeaderValue::from_str(&format!("Session {}", base64(plain.as_bytes())))
            .map_err(|_| Failure::Unknown { reason: "the session is no header".to_owned(), was_answered: true })?;
        authorization.set_sensitive(true);
        let params = [json!(true), json!({})];
        let preferences = self.post("model.res.user.get_preferences", &params, Some(authorization.clone()));
        let preferences = preferences.map_err(before_login)?;
        let mut context = Map::new();
        for key in ["company", "companies", "language", "groups"] {
            if let Some(value) = preferences.get(key) {
                context.insert(key.to_owned(), value.clone());
            }
        }
        Ok(Session { authorization, context })
    }

    fn post(&mut self, method: &str, params: &[Value], session: Option<HeaderValue>) -> Result<Value, Failure> {
        self.calls += 1;
        let url = format!("{}/{}/rpc/", self.access.url.trim_end_matches('/'), self.access.database);
        let body = json!({ "id": self.calls, "method": method, "params": params }).to_string();
        let mut request = self.wire.client().post(url).header(CONTENT_TYPE, "application/json").body(body);
        if let Some(session) = session {
            request = request.header(AUTHORIZATION, session);
        }
        judge(&self.wire.send(request)?)
    }
}

/// Before the first login the server may not know its own models yet: it is not up, and no event is at fault.
fn before_login(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(refusal) => Failure::Fault {
            class: FaultClass::Outage,
            after_ms: None,
            reason: format!("the login was answered by: {} {}", refusal.kind, refusal.message),
        },
        Failure::Unknown { reason, .. } => Failure::Fault { class: FaultClass::Outage, after_ms: None, reason },
        fault @ Failure::Fault { .. } => fault,
    }
}

/// What an answer means; pure. The server's own statuses: `trytond/protocols/dispatcher.py`, `wrappers.py`. It answers 503 where the
/// pool of database connections is used up, or a transaction conflicted too often: rolled back.
fn judge(answer: &Answer) -> Result<Value, Failure> {
    if answer.status.as_u16() != 200 {
        return Err(answer.by_status());
    }
    let (body, said) = (&answer.body, || answer.said());
    let answer: Value = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => {
            let reason = format!("the answer is no JSON ({error}): {}", said());
            return Err(Failure::Unknown { reason, was_answered: true });
        }
    };
    match (answer.get("error"), answer.get("result")) {
        (Some(error), _) => Err(Failure::Refused(refusal(error))),
        (None, Some(result)) => Ok(result.clone()),
        (None, None) => {
            Err(Failure::Unknown { reason: format!("neither result nor error: {}", said()), was_answered: true })
        }
    }
}

fn refusal(error: &Value) -> Refusal {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let kind = text(&error[0]);
    // UserError carries message, description and domain; UserWarning has its name before them.
    let part = |n: usize| error[1].get(n).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (message, description) = match error[1].is_array() {
        // By its name it can be answered; what its raiser added never says more than the sentence.
        true if kind == "UserWarning" => (part(1), part(0)),
        true => (part(0), part(1)),
        false => (text(&error[1]), String::new()),
    };
    Refusal { kind, message, description }
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |n: usize| u32::from(three.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for (n, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = char::from(ALPHABET[(bits >> shift & 63) as usize]);
            text.push(if n <= three.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_written_as_the_rfc_has_it() {
        // RFC 4648 section 10.
        let vectors =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in vectors {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn each_answer_has_its_meaning() {
        let judge = |status: u16, body: &str| {
            let status = reqwest::StatusCode::from_u16(status).unwrap();
            judge(&Answer { status, after_ms: None, body: body.into() })
        };
        let class = |answer: Result<Value, Failure>| match answer {
            Err(Failure::Fault { class, .. }) => Some(class),
            _ => None,
        };

        assert_eq!(judge(200, r#"{"id":1,"result":[1]}"#), Ok(json!([1])));
        assert_eq!(class(judge(401, "")), Some(FaultClass::Auth));
        assert_eq!(class(judge(429, "")), Some(FaultClass::Limit));
        assert_eq!(class(judge(503, "")), Some(FaultClass::Outage));
        assert!(matches!(judge(504, ""), Err(Failure::Unknown { was_answered: true, .. })));
        assert!(matches!(judge(200, "<html>"), Err(Failure::Unknown { .. })));
        let refused = judge(200, r#"{"id":2,"error":["UserError",["no such item","{\"key\":\"k\"}",null]]}"#);
        let expected = Refusal {
            kind: "UserError".to_owned(),
            message: "no such item".to_owned(),
            description: r#"{"key":"k"}"#.to_owned(),
        };
        assert_eq!(refused, Err(Failure::Refused(expected)));
    }
}

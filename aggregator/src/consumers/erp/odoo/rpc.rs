//! Odoo's two APIs behind one call.
//!
//! From 19 on JSON-2: `POST /json/2/<model>/<method>` with an API key, parameters by name, a status and an object with `name` and `message`
//! for errors (odoo/documentation, `developer/reference/external_api.rst`; `addons/rpc/controllers/json2.py`). Before it JSON-RPC: `POST
//! /jsonrpc` with `execute_kw`, whose errors come with status 200 and have the same two fields in `error.data` (`external_rpc_api.rst`,
//! deprecated since 19). Every call is one transaction: what is answered with an error took no effect.

use std::time::Duration;

use reqwest::{
    RequestBuilder,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use crate::consumers::{
    ConsumerError, FaultClass,
    wire::{Answer, Failure, Refusal, Wire},
};

/// First version with JSON-2.
const JSON2_SINCE: i64 = 19;

/// Which API is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// The one that the server's version has.
    Auto,
    /// JSON-2.
    Json2,
    /// JSON-RPC.
    JsonRpc,
}

/// Where an Odoo is, and who we are there.
#[derive(Clone)]
pub struct Access {
    /// Address.
    pub url: String,
    /// Database.
    pub database: String,
    /// Login; JSON-2 knows the user by the key.
    pub user: String,
    /// API key of the user.
    pub key: String,
    /// API.
    pub api: Api,
    /// Time for a whole call.
    pub timeout: Duration,
}

// What lets us in is nobody's to print.
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
enum Spoken {
    Json2,
    JsonRpc { user_id: i64 },
}

/// A connection.
pub struct Rpc {
    wire: Wire,
    access: Access,
    spoken: Option<Spoken>,
    calls: u64,
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rpc").field("url", &self.access.url).field("spoken", &self.spoken).finish_non_exhaustive()
    }
}

impl Rpc {
    /// Sets up the client; calls run on `runtime`. Nobody is called yet.
    ///
    /// # Errors
    /// [`ConsumerError::Client`].
    pub fn new(access: Access, runtime: Handle) -> Result<Self, ConsumerError> {
        let wire = Wire::new(&access.url, access.timeout, runtime)?;
        Ok(Self { wire, access, spoken: None, calls: 0 })
    }

    /// The API that is spoken, in words for people.
    pub fn spoken(&self) -> &'static str {
        match self.spoken {
            Some(Spoken::Json2) => "JSON-2",
            Some(Spoken::JsonRpc { .. }) => "JSON-RPC",
            None => "no API",
        }
    }

    /// Calls a public method; `ids` are the records of a method that has some, `named` its parameters.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn call(&mut self, model: &str, method: &str, ids: Option<&[i64]>, named: Value) -> Result<Value, Failure> {
        let spoken = match &self.spoken {
            Some(spoken) => spoken.clone(),
            None => {
                let spoken = self.greet().map_err(before_login)?;
                self.spoken = Some(spoken.clone());
                spoken
            }
        };
        let Value::Object(named) = named else { unreachable!("parameters have names") };
        match spoken {
            Spoken::Json2 => self.json2(model, method, ids, named),
            Spoken::JsonRpc { user_id } => self.execute_kw(user_id, (model, method), ids, named),
        }
    }

    fn greet(&mut self) -> Result<Spoken, Failure> {
        match self.access.api {
            Api::Json2 => Ok(Spoken::Json2),
            Api::JsonRpc => self.log_in(),
            Api::Auto if self.version()? >= JSON2_SINCE => Ok(Spoken::Json2),
            Api::Auto => self.log_in(),
        }
    }

    /// The major version; 0 where the server is older than the page that tells it.
    fn version(&self) -> Result<i64, Failure> {
        let answer = self.wire.send(self.wire.client().get(self.url("web/version")))?;
        if answer.status.as_u16() == 404 {
            return Ok(0);
        }
        let told = judge_json2(&answer)?;
        Ok(told["version_info"][0].as_i64().unwrap_or(0))
    }

    fn log_in(&mut self) -> Result<Spoken, Failure> {
        let Access { database, user, key, .. } = self.access.clone();
        match self.json_rpc("common", "authenticate", &json!([database, user, key, {}]))?.as_i64() {
            Some(user_id) => Ok(Spoken::JsonRpc { user_id }),
            None => {
                let reason = format!("{} does not let user {user} into database {database}", self.access.url);
                Err(Failure::Fault { class: FaultClass::Auth, after_ms: None, reason })
            }
        }
    }

    fn json2(
        &self,
        model: &str,
        method: &str,
        ids: Option<&[i64]>,
        named: Map<String, Value>,
    ) -> Result<Value, Failure> {
        let mut body = named;
        if let Some(ids) = ids {
            body.insert("ids".to_owned(), json!(ids));
        }
        let request = self.post(&format!("json/2/{model}/{method}"), &Value::Object(body));
        let request = request
            .header(AUTHORIZATION, format!("bearer {}", self.access.key))
            .header("X-Odoo-Database", &self.access.database);
        judge_json2(&self.wire.send(request)?)
    }

    fn execute_kw(
        &mut self,
        user_id: i64,
        (model, method): (&str, &str),
        ids: Option<&[i64]>,
        mut named: Map<String, Value>,
    ) -> Result<Value, Failure> {
        let mut positional: Vec<Value> = ids.map(|ids| json!(ids)).into_iter().collect();
        // The server looks for the values of `create` by their place.
        positional.extend(named.remove("vals_list"));
        let Access { database, key, .. } = self.access.clone();
        self.json_rpc("object", "execute_kw", &json!([database, user_id, key, model, method, positional, named]))
    }

    fn json_rpc(&mut self, service: &str, method: &str, args: &Value) -> Result<Value, Failure> {
        self.calls += 1;
        let params = json!({ "service": service, "method": method, "args": args });
        let body = json!({ "jsonrpc": "2.0", "method": "call", "params": params, "id": self.calls });
        judge_json_rpc(&self.wire.send(self.post("jsonrpc", &body))?)
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let request = self.wire.client().post(self.url(path)).header(CONTENT_TYPE, "application/json");
        request.body(body.to_string())
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.access.url.trim_end_matches('/'))
    }
}

/// Nothing was sent yet that could have taken effect.
fn before_login(failure: Failure) -> Failure {
    let outage = |reason| Failure::Fault { class: FaultClass::Outage, after_ms: None, reason };
    match failure {
        Failure::Refused(refusal) if refusal.kind.ends_with("AccessDenied") => {
            Failure::Fault { class: FaultClass::Auth, after_ms: None, reason: refusal.words() }
        }
        Failure::Refused(refusal) => outage(format!("the login was answered by {}", refusal.words())),
        Failure::Unknown { reason, .. } => outage(reason),
        fault @ Failure::Fault { .. } => fault,
    }
}

fn judge_json2(answer: &Answer) -> Result<Value, Failure> {
    let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
    match (answer.status.as_u16(), said) {
        (200..=299, Some(value)) => Ok(value),
        (200..=299, None) => {
            Err(Failure::Unknown { reason: format!("the answer is no JSON: {}", answer.said()), was_answered: true })
        }
        // These speak of us or of the server, whoever raised them.
        (401 | 407 | 429 | 503, _) => Err(answer.by_status()),
        (_, Some(error)) if error["name"].is_string() => Err(Failure::Refused(refusal(&error))),
        _ => Err(answer.by_status()),
    }
}

fn judge_json_rpc(answer: &Answer) -> Result<Value, Failure> {
    if answer.status.as_u16() != 200 {
        return Err(answer.by_status());
    }
    let unreadable =
        || Failure::Unknown { reason: format!("neither result nor error: {}", answer.said()), was_answered: true };
    let said: Value = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
    match (said.get("error"), said.get("result")) {
        (Some(error), _) => Err(Failure::Refused(refusal(&error["data"]))),
        (None, Some(result)) => Ok(result.clone()),
        (None, None) => Err(unreadable()),
    }
}

fn refusal(error: &Value) -> Refusal {
    let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    // The traceback beside them is Odoo's own affair, and may hold what is nobody's business.
    Refusal { kind: text("name"), message: text("message"), description: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status: reqwest::StatusCode::from_u16(status).unwrap(), after_ms: None, body: body.into() }
    }

    #[test]
    fn an_error_has_its_name_and_sentence_in_both_apis() {
        let error =
            r#"{"name":"odoo.exceptions.UserError","message":"no","arguments":["no"],"context":{},"debug":"…"}"#;
        let expected = Refusal {
            kind: "odoo.exceptions.UserError".to_owned(),
            message: "no".to_owned(),
            description: String::new(),
        };

        let json2 = judge_json2(&answer(422, error));
        let wrapped = format!(r#"{{"id":1,"error":{{"code":200,"message":"Odoo Server Error","data":{error}}}}}"#);
        let rpc = judge_json_rpc(&answer(200, &wrapped));

        assert_eq!(json2, Err(Failure::Refused(expected.clone())));
        assert_eq!(rpc, Err(Failure::Refused(expected)));
    }

    #[test]
    fn an_answer_of_nobody_knows_whom_may_have_taken_effect() {
        for told in [judge_json2(&answer(502, "<html>")), judge_json_rpc(&answer(500, "<html>"))] {
            assert!(matches!(told, Err(Failure::Unknown { was_answered: true, .. })), "{told:?}");
        }
        assert!(matches!(judge_json2(&answer(404, "<html>")), Err(Failure::Fault { class: FaultClass::Outage, .. })));
    }

    #[test]
    fn a_key_that_is_not_known_is_our_fault_and_not_the_event_s() {
        let body = r#"{"name":"werkzeug.exceptions.Unauthorized","message":"Invalid apikey"}"#;

        let told = judge_json2(&answer(401, body));

        assert!(matches!(told, Err(Failure::Fault { class: FaultClass::Auth, .. })), "{told:?}");
    }

    #[test]
    fn what_lets_us_in_is_not_printed() {
        let access = Access {
            url: "http://erp".to_owned(),
            database: "company".to_owned(),
            user: "docksync".to_owned(),
            key: "s3cret".to_owned(),
            api: Api::Auto,
            timeout: Duration::ZERO,
        };

        let shown = format!("{access:?}");

        assert!(shown.contains("http://erp") && !shown.contains("s3cret"), "{shown}");
    }
}

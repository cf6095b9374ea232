//! Frappe's REST API as ERPNext has it: `/api/resource/<doctype>` for documents, `/api/method/<path>` for calls, a token of API key and
//! secret (docs.frappe.io, *REST API* and *Listing Documents*).
//!
//! An error is an object with `exc_type` (since Frappe 15; before it the class begins `exception`) and sentences in
//! `_server_messages` (frappe/frappe, `frappe/utils/response.py`). It comes as JSON only where the call accepts JSON
//! (`frappe/app.py`), and the request's transaction was rolled back.

use std::time::Duration;

use reqwest::{
    Method,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::Value;
use tokio::runtime::Handle;

use crate::consumers::{
    ConsumerError,
    wire::{Answer, Failure, Refusal, Wire, escape},
};

/// Where an ERPNext is, and who we are there.
#[derive(Clone)]
pub struct Access {
    /// Address of the site.
    pub url: String,
    /// `api_key:api_secret` of our user.
    pub token: String,
    /// Time for a whole call.
    pub timeout: Duration,
}

// What lets us in is nobody's to print.
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A connection.
pub struct Rest {
    wire: Wire,
    access: Access,
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rest").field("url", &self.access.url).finish_non_exhaustive()
    }
}

impl Rest {
    /// Sets up the client; calls run on `runtime`. Nobody is called yet.
    ///
    /// # Errors
    /// [`ConsumerError::Client`].
    pub fn new(access: Access, runtime: Handle) -> Result<Self, ConsumerError> {
        let wire = Wire::new(&access.url, access.timeout, runtime)?;
        Ok(Self { wire, access })
    }

    /// Documents that fit.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn list(&self, doctype: &str, query: &[(&str, &Value)]) -> Result<Value, Failure> {
        self.send(Method::GET, &format!("api/resource/{}{}", escape(doctype), query_of(query)), None)
    }

    /// Calls a method that changes nothing.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn ask(&self, method: &str, query: &[(&str, &Value)]) -> Result<Value, Failure> {
        self.send(Method::GET, &format!("api/method/{method}{}", query_of(query)), None)
    }

    /// Makes a document; gives it as it was saved.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn insert(&self, doctype: &str, body: &Value) -> Result<Value, Failure> {
        self.send(Method::POST, &format!("api/resource/{}", escape(doctype)), Some(body))
    }

    /// Changes a document; gives it as it was saved.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn update(&self, doctype: &str, name: &str, body: &Value) -> Result<Value, Failure> {
        self.send(Method::PUT, &format!("api/resource/{}/{}", escape(doctype), escape(name)), Some(body))
    }

    fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let url = format!("{}/{path}", self.access.url.trim_end_matches('/'));
        let mut request = self
            .wire
            .client()
            .request(method, url)
            .header(AUTHORIZATION, format!("token {}", self.access.token))
            .header(ACCEPT, "application/json");
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        judge(&self.wire.send(request)?)
    }
}

/// Texts go as they are, everything else as JSON.
fn query_of(query: &[(&str, &Value)]) -> String {
    let pair = |(name, value): &(&str, &Value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{name}={}", escape(&text))
    };
    let pairs: Vec<String> = query.iter().map(pair).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn judge(answer: &Answer) -> Result<Value, Failure> {
    let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
    match (answer.status.as_u16(), said) {
        (200..=299, Some(mut told)) => {
            // `data` of documents, `message` of methods; a few methods answer beside both.
            match ["data", "message"].into_iter().find(|field| told.get(*field).is_some()) {
                Some(field) => Ok(told[field].take()),
                None => Ok(told),
            }
        }
        (200..=299, None) => {
            Err(Failure::Unknown { reason: format!("the answer is no JSON: {}", answer.said()), was_answered: true })
        }
        // These speak of us or of the server, whoever raised them.
        (401 | 407 | 429 | 503, _) => Err(answer.by_status()),
        (_, Some(error)) => refusal(&error).map_or_else(|| Err(answer.by_status()), |r| Err(Failure::Refused(r))),
        (_, None) => Err(answer.by_status()),
    }
}

fn refusal(error: &Value) -> Option<Refusal> {
    let exception = error["exception"].as_str().unwrap_or_default();
    let (class, sentence) = exception.split_once(": ").unwrap_or((exception, ""));
    let kind = error["exc_type"].as_str().or_else(|| class.rsplit('.').next()).filter(|kind| !kind.is_empty())?;
    let told = sentences(&error["_server_messages"]);
    let message = if told.is_empty() { sentence.to_owned() } else { told };
    Some(Refusal { kind: kind.to_owned(), message: plain(&message), description: String::new() })
}

/// A list of objects with `message`, each as text, the whole as text.
fn sentences(messages: &Value) -> String {
    let list: Vec<String> = messages.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let sentence = |text: &String| {
        let said: Value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
        said["message"].as_str().or(said.as_str()).map(str::to_owned)
    };
    list.iter().filter_map(sentence).collect::<Vec<_>>().join(" ")
}

/// Its sentences are pieces of pages.
fn plain(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut is_tag = false;
    for c in html.chars() {
        match c {
            '<' => is_tag = true,
            '>' if is_tag => is_tag = false,
            _ if !is_tag => text.push(c),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumers::FaultClass;

    fn told(status: u16, body: &str) -> Result<Value, Failure> {
        let status = reqwest::StatusCode::from_u16(status).unwrap();
        judge(&Answer { status, after_ms: None, body: body.into() })
    }

    #[test]
    fn an_error_is_known_by_its_class_in_new_versions_and_old() {
        let messages = r#"["{\"message\":\"<b>5</b> units of SKU-1 needed\",\"title\":\"Insufficient Stock\"}"]"#;
        let new = serde_json::json!({"exc_type": "NegativeStockError", "_server_messages": messages});
        let old = serde_json::json!({"exception": "erpnext.stock.stock_ledger.NegativeStockError: 5 units of SKU-1 needed", "exc": "[]"});

        for body in [new, old] {
            let Err(Failure::Refused(refusal)) = told(417, &body.to_string()) else { panic!("{body}") };
            assert_eq!(refusal.kind, "NegativeStockError");
            assert_eq!(refusal.message, "5 units of SKU-1 needed");
        }
    }

    #[test]
    fn who_calls_and_how_often_is_told_by_the_status() {
        let class = |status| match told(status, r#"{"exc_type":"ValidationError"}"#) {
            Err(Failure::Fault { class, .. }) => Some(class),
            _ => None,
        };

        assert_eq!(class(401), Some(FaultClass::Auth));
        assert_eq!(class(429), Some(FaultClass::Limit));
        assert_eq!(class(503), Some(FaultClass::Outage));
        assert!(matches!(told(504, "<html>"), Err(Failure::Unknown { was_answered: true, .. })));
    }

    #[test]
    fn filters_stand_in_the_address() {
        let filters = serde_json::json!([["name", "=", "A B"]]);

        let query = query_of(&[("filters", &filters), ("source_name", &"SO-1".into())]);

        assert_eq!(query, "?filters=%5B%5B%22name%22%2C%22%3D%22%2C%22A%20B%22%5D%5D&source_name=SO-1");
    }

    #[test]
    fn what_lets_us_in_is_not_printed() {
        let access = Access { url: "http://erp".to_owned(), token: "key:s3cret".to_owned(), timeout: Duration::ZERO };

        let shown = format!("{access:?}");

        assert!(shown.contains("http://erp") && !shown.contains("s3cret"), "{shown}");
    }
}

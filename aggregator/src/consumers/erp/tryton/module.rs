//! A Tryton with our module `docksync` (in `packaging/erp/tryton`), which keeps the key of every event it has applied.
//!
//! One call carries many documents and is one transaction there: all are applied or none. A document that is refused is named, taken
//! out and answered for; the rest goes again. What was lost on the way goes again too, for a key that is known there has no
//! second effect.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    Balance,
    rpc::{Failure, Refusal, Rpc},
};
use crate::consumers::{FaultClass, LookUp, Outcome, erp::document::Document};

/// Documents of one call: enough that their cost counts and not the call's.
pub const BATCH: usize = 200;
/// Version of the module's calls that this program knows.
const VERSION: &str = "1";
/// Its model.
const MODEL: &str = "docksync.event";
/// How often a call that met another transaction is made again at once.
const CONFLICTS_MAX: u32 = 3;

/// The module's version; `None` where there is no such module. A server that has no model of a name answers with the name
/// itself instead of the class of an error (trytond 8.2, `Pool.get`).
pub(super) fn version(rpc: &mut Rpc) -> Result<Option<String>, Failure> {
    let version = match rpc.call("model.docksync.event.version", &[]) {
        Ok(version) => answer_text(&version),
        Err(Failure::Refused(refusal)) if refusal.kind.contains(MODEL) => return Ok(None),
        Err(Failure::Refused(refusal)) => {
            let reason =
                format!("the module docksync does not answer ({}): put the user into its group", refusal.words());
            return Err(Failure::Fault { class: FaultClass::Auth, after_ms: None, reason });
        }
        Err(other) => return Err(other),
    };
    if version != VERSION {
        let reason = format!("the module docksync speaks version {version}, this program {VERSION}: upgrade one");
        return Err(Failure::Fault { class: FaultClass::Auth, after_ms: None, reason });
    }
    Ok(Some(version))
}

/// Balances of a warehouse that are not zero.
pub(super) fn balances(rpc: &mut Rpc, warehouse: &str) -> Result<BTreeMap<Balance, Decimal>, Failure> {
    let rows = rpc.call("model.docksync.event.stock", &[json!(warehouse)])?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let unreadable = |row: &Value| Failure::Unknown { reason: format!("a balance reads {row}"), was_answered: true };
    let mut balances = BTreeMap::new();
    for row in rows.as_array().into_iter().flatten() {
        let quantity: Decimal = text(&row[3]).parse().map_err(|_| unreadable(row))?;
        *balances.entry((text(&row[0]), text(&row[1]), text(&row[2]))).or_default() += quantity;
    }
    Ok(balances)
}

/// Whether a key is in the module's ledger.
pub(super) fn look_up(rpc: &mut Rpc, key: &str) -> LookUp {
    match rpc.call("model.docksync.event.lookup", &[json!([key])]) {
        Ok(answer) => match answer.get(0) {
            Some(row) => LookUp::Found(row[1].as_str().unwrap_or_default().to_owned()),
            None => LookUp::Absent,
        },
        Err(failure) => failure.no_answer(),
    }
}

fn send(rpc: &mut Rpc, documents: &[&Document]) -> Result<BTreeMap<String, Outcome>, Failure> {
    let mut conflicts = 0;
    loop {
        match rpc.call("model.docksync.event.apply", &[json!(documents)]) {
            Ok(answer) => return read_applied(documents, &answer),
            // Nothing of it was applied, and nobody is at fault.
            Err(Failure::Refused(refusal)) if refusal.kind == "ConcurrencyException" && conflicts < CONFLICTS_MAX => {
                conflicts += 1;
            }
            Err(other) => return Err(other),
        }
    }
}

/// Applies documents of different lanes; gives the outcome of each by its key.
pub(super) fn apply_all(rpc: &mut Rpc, documents: &[&Document]) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    let mut left: Vec<&Document> = documents.to_vec();
    while !left.is_empty() {
        match send(rpc, &left) {
            Ok(applied) => {
                outcomes.extend(applied);
                return outcomes;
            }
            Err(Failure::Refused(refusal)) => match culprit(&refusal, &left) {
                Some((key, outcome)) => {
                    let is_fault = matches!(outcome, Outcome::Retry { .. });
                    left.retain(|document| document.key != key);
                    outcomes.insert(key, outcome.clone());
                    if is_fault {
                        outcomes.extend(left.drain(..).map(|document| (document.key.clone(), outcome.clone())));
                    }
                }
                None => {
                    // A fault of the server's own code names nobody: each alone shows whose it is.
                    if let [one] = left.as_slice() {
                        outcomes.insert(one.key.clone(), unnamed(&refusal));
                        return outcomes;
                    }
                    let (first, second) = left.split_at(left.len() / 2);
                    outcomes.extend(apply_all(rpc, first));
                    outcomes.extend(apply_all(rpc, second));
                    return outcomes;
                }
            },
            Err(Failure::Fault { class, after_ms, reason }) => {
                let outcome = Outcome::Retry { class, after_ms, reason };
                outcomes.extend(left.drain(..).map(|document| (document.key.clone(), outcome.clone())));
            }
            Err(Failure::Unknown { reason, was_answered }) => {
                let outcome = Outcome::Unknown { reason, was_answered };
                outcomes.extend(left.drain(..).map(|document| (document.key.clone(), outcome.clone())));
            }
        }
    }
    outcomes
}

fn read_applied(documents: &[&Document], answer: &Value) -> Result<BTreeMap<String, Outcome>, Failure> {
    let rows = answer.as_array().map_or(&[][..], Vec::as_slice);
    let mut outcomes = BTreeMap::new();
    for row in rows {
        let text = |at: usize| row[at].as_str().unwrap_or_default().to_owned();
        let outcome = match row[1].as_str() {
            Some("applied") => Outcome::Applied(text(2)),
            Some("duplicate") => Outcome::AlreadyApplied(text(2)),
            _ => return Err(Failure::Unknown { reason: format!("an answer reads {row}"), was_answered: true }),
        };
        outcomes.insert(text(0), outcome);
    }
    match documents.iter().find(|document| !outcomes.contains_key(&document.key)) {
        None => Ok(outcomes),
        Some(one) => {
            Err(Failure::Unknown { reason: format!("the answer says nothing of {}", one.key), was_answered: true })
        }
    }
}

/// Whose document was refused and what that means, where the refusal says so.
fn culprit(refusal: &Refusal, sent: &[&Document]) -> Option<(String, Outcome)> {
    let said: Value = serde_json::from_str(&refusal.description).ok()?;
    let code = said["code"].as_str()?.to_owned();
    let reason = cause(&refusal.message, &said);
    let fault = |class| Outcome::Retry { class, after_ms: None, reason: reason.clone() };
    let outcome = match code.as_str() {
        "ACCESS" | "SETUP" => fault(FaultClass::Auth),
        "CLOSED_PERIOD" => fault(FaultClass::ClosedPeriod),
        "NEEDS_DECISION" => Outcome::NeedsDecision { reason: reason.clone() },
        _ => Outcome::Rejected { code, reason: reason.clone() },
    };
    // A refusal of the whole call names no key; it is then no document's fault.
    let key = match said["key"].as_str() {
        Some(key) => key.to_owned(),
        None if matches!(outcome, Outcome::Retry { .. }) => sent.first()?.key.clone(),
        None => return None,
    };
    sent.iter().any(|document| document.key == key).then_some((key, outcome))
}

/// The sentence without the document and line that it begins with: what many documents meet is one cause.
fn cause(message: &str, said: &Value) -> String {
    let Some(document) = said["document"].as_str() else { return message.to_owned() };
    let line = said["line"].as_str().unwrap_or_default();
    let of_line = message.strip_prefix(&format!("Document \"{document}\", line {line}: ")).map(str::to_owned);
    let of_document = || message.strip_prefix(&format!("Document \"{document}\" ")).map(|rest| format!("it {rest}"));
    of_line.or_else(of_document).unwrap_or_else(|| message.to_owned())
}

/// A refusal that names nobody, of a call with one document.
fn unnamed(refusal: &Refusal) -> Outcome {
    let reason = refusal.words();
    match refusal.kind.as_str() {
        "UserWarning" => Outcome::NeedsDecision { reason },
        "UserError" => Outcome::Rejected { code: "REFUSED".to_owned(), reason },
        "ConcurrencyException" => Outcome::Retry { class: FaultClass::Outage, after_ms: None, reason },
        _ => Outcome::Rejected { code: "ERP_FAULT".to_owned(), reason },
    }
}

fn answer_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(key: &str) -> Document {
        Document {
            key: key.to_owned(),
            event_id: key.to_owned(),
            kind: "adjusted",
            site: "DC1".to_owned(),
            date: "2026-11-23".to_owned(),
            reference: None,
            number: None,
            source: String::new(),
            trace: String::new(),
            without_document: "refuse",
            lines: Vec::new(),
        }
    }

    fn refused(kind: &str, description: &str) -> Refusal {
        Refusal { kind: kind.to_owned(), message: "no".to_owned(), description: description.to_owned() }
    }

    #[test]
    fn a_refusal_falls_on_the_document_that_it_names_and_on_no_other() {
        let (a, b) = (sent("a"), sent("b"));
        let of = |description: &str| culprit(&refused("UserError", description), &[&a, &b]);

        let named = of(r#"{"key":"b","code":"UNKNOWN_PRODUCT"}"#).unwrap();
        assert_eq!(named.0, "b");
        assert!(matches!(named.1, Outcome::Rejected { code, .. } if code == "UNKNOWN_PRODUCT"));
        assert!(of(r#"{"key":"c","code":"QUANTITY"}"#).is_none(), "nobody sent that");
        assert!(of("").is_none());
    }

    #[test]
    fn what_two_documents_meet_is_told_in_the_same_words() {
        let (a, b) = (sent("a"), sent("b"));
        let of = |key: &str| {
            let message =
                format!("Document \"adjusted {key} (DC1)\", line 1 (X): no active product has the code \"X\".");
            let said = json!({"key": key, "code": "UNKNOWN_PRODUCT", "document": format!("adjusted {key} (DC1)"), "line": "1 (X)"});
            let refusal = Refusal { kind: "UserError".to_owned(), message, description: said.to_string() };
            culprit(&refusal, &[&a, &b]).unwrap().1
        };

        assert_eq!(of("a"), of("b"));
        assert!(
            matches!(of("a"), Outcome::Rejected { reason, .. } if reason == "no active product has the code \"X\".")
        );
    }

    #[test]
    fn a_closed_period_or_a_missing_right_is_no_fault_of_the_event() {
        let a = sent("a");
        let of = |description: &str| culprit(&refused("UserError", description), &[&a]).unwrap().1;

        let closed = of(r#"{"key":"a","code":"CLOSED_PERIOD"}"#);
        let access = of(r#"{"key":null,"code":"ACCESS"}"#);

        assert!(matches!(closed, Outcome::Retry { class: FaultClass::ClosedPeriod, .. }));
        assert!(matches!(access, Outcome::Retry { class: FaultClass::Auth, .. }));
    }

    #[test]
    fn an_answer_that_leaves_one_out_settles_none() {
        let (a, b) = (sent("a"), sent("b"));

        let whole = read_applied(&[&a, &b], &json!([["a", "applied", "1"], ["b", "duplicate", "2"]])).unwrap();
        let part = read_applied(&[&a, &b], &json!([["a", "applied", "1"]]));

        assert_eq!(whole["b"], Outcome::AlreadyApplied("2".to_owned()));
        assert!(matches!(part, Err(Failure::Unknown { was_answered: true, .. })));
    }
}

//! Notes by which a document of the ERP's own is known to be an event's.
//!
//! A shipment of an order keeps the order's number as its reference, so our key stands in a note on it (`ir.note`, trytond 8.2):
//! first line `docksync <kind> <key>`, then what else must be remembered, as JSON. It is written before anything of the shipment is
//! changed, and tells whose the shipment is when it is found done, or half done.

use serde_json::{Value, json};

use super::{batch::Told, doing::Doing};
use crate::consumers::erp::single::reject;

/// Notes of one record that are read.
const NOTES_MAX: usize = 1_000;
/// First word of ours.
const WORD: &str = "docksync";

/// A note of ours.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claim {
    /// Record that it is on, as `stock.shipment.out,17`.
    pub(super) resource: String,
    pub(super) kind: String,
    pub(super) key: String,
    pub(super) more: Value,
}

/// Whose a record is for this kind of event: who put the first note on it. Two that reach for one at the same time both leave a note.
pub(super) fn owner<'c>(claims: &'c [Claim], resource: &str, kind: &str) -> Option<&'c str> {
    let first = claims.iter().find(|claim| claim.resource == resource && claim.kind == kind);
    first.map(|claim| claim.key.as_str())
}

fn read(row: &Value) -> Option<Claim> {
    let message = row["message"].as_str()?;
    let (first, more) = message.split_once('\n').unwrap_or((message, "null"));
    let mut words = first.split(' ');
    if words.next() != Some(WORD) {
        return None;
    }
    let (kind, key) = (words.next()?.to_owned(), words.next()?.to_owned());
    let resource = row["resource"].as_str()?.to_owned();
    Some(Claim { resource, kind, key, more: serde_json::from_str(more).unwrap_or_default() })
}

impl Doing<'_> {
    /// Our notes on records, oldest first.
    pub(super) async fn claims(&self, resources: Vec<Value>) -> Told<Vec<Claim>> {
        let rows =
            self.find("ir.note", &["resource"], resources, json!([]), &["message", "resource"], NOTES_MAX).await?;
        Ok(rows.iter().filter_map(read).collect())
    }

    /// Puts our note on a record; gives all of ours on it.
    pub(super) async fn note(&self, resource: &str, more: &Value) -> Told<Vec<Claim>> {
        let (kind, key) = (self.document.kind, &self.document.key);
        let message = format!("{WORD} {kind} {key}\n{more}");
        self.create("ir.note", vec![json!({"resource": resource, "message": message})]).await?;
        self.claims(vec![json!(resource)]).await
    }

    /// Makes a record ours; refused where another event was there first.
    pub(super) async fn claim(&self, resource: &str, more: &Value) -> Told<()> {
        let (kind, key) = (self.document.kind, &self.document.key);
        let claims = self.note(resource, more).await?;
        match owner(&claims, resource, kind) {
            Some(owner) if owner != key => {
                Err(reject("CONFLICT", format!("{resource} was taken for event {owner} at the same time")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_ours_is_told_from_what_people_write() {
        let of = |message: &str| read(&json!({"message": message, "resource": "stock.shipment.out,3"}));

        let claim = of("docksync shipped 0193-key\n{\"number\":\"S-1\"}").unwrap();
        assert_eq!(
            (claim.kind.as_str(), claim.key.as_str(), &claim.more["number"]),
            ("shipped", "0193-key", &json!("S-1"))
        );
        assert_eq!(of("docksync shipped k").unwrap().more, Value::Null);
        assert_eq!(of("call the customer"), None);
        assert_eq!(of("docksync"), None);
    }

    #[test]
    fn a_record_is_whose_note_was_first() {
        let note = |kind: &str, key: &str| {
            read(&json!({"message": format!("docksync {kind} {key}"), "resource": "stock.shipment.out,3"})).unwrap()
        };
        let claims = [note("picked", "p"), note("shipped", "a"), note("shipped", "b")];

        assert_eq!(owner(&claims, "stock.shipment.out,3", "shipped"), Some("a"));
        assert_eq!(owner(&claims, "stock.shipment.out,4", "shipped"), None);
    }
}

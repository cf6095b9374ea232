//! Notes by which a document of the ERP's own is known to be an event's.
//!
//! A shipment of an order keeps the order's number as its reference, so our key stands in a note on it (`ir.note`, trytond 8.2):
//! first line `docksync <kind> <key>`, then what else must be remembered, as JSON. It is written before anything of the shipment is
//! changed, and tells whose the shipment is when it is found done, or half done.

use serde_json::{Value, json};

use super::{batch::Told, doing::Doing};

/// Notes of one record that are read.
const NOTES_MAX: usize = 200;
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

    /// Puts our note on a record.
    pub(super) async fn claim(&self, resource: &str, more: &Value) -> Told<()> {
        let (kind, key) = (self.document.kind, &self.document.key);
        let message = format!("{WORD} {kind} {key}\n{more}");
        self.create("ir.note", vec![json!({"resource": resource, "message": message})]).await.map(drop)
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
}

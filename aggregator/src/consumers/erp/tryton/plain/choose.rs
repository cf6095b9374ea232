//! Which shipment an event means, and where that one is on its way. Pure.

use serde_json::Value;

use super::{
    batch::Told,
    catalog::id_of,
    claim::{Claim, owner},
    doing::name,
    fill::Move,
};
use crate::consumers::{
    Outcome,
    erp::{document::Document, single::reject},
};

/// A shipment of an order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) id: i64,
    /// As `stock.shipment.out,17` and `stock.shipment.out 5`.
    pub(super) resource: String,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) warehouse: i64,
    pub(super) storage: i64,
    pub(super) output: i64,
    /// Whether the reference is its own, and not only its sale's.
    pub(super) is_named: bool,
    pub(super) claims: Vec<Claim>,
}

/// What to do with it.
#[derive(Debug)]
pub(super) enum Choice {
    /// The event has had its effect, by this document.
    Done(String),
    /// A person must look.
    Ask(String),
    /// Take this one on its way.
    Take(Found),
}

impl Found {
    pub(super) fn read(model: &str, row: &Value, is_named: bool, claims: &[Claim]) -> Option<Self> {
        let id = id_of(&row["id"])?;
        let resource = format!("{model},{id}");
        Some(Self {
            id,
            name: name(model, row),
            state: row["state"].as_str()?.to_owned(),
            warehouse: id_of(&row["warehouse"])?,
            storage: id_of(&row["warehouse_storage"]).unwrap_or_default(),
            output: id_of(&row["warehouse_output"]).unwrap_or_default(),
            is_named,
            claims: claims.iter().filter(|claim| claim.resource == resource).cloned().collect(),
            resource,
        })
    }

    /// Whether a note tells of this event.
    pub(super) fn has_note_of(&self, key: &str) -> bool {
        self.claims.iter().any(|claim| claim.key == key)
    }

    /// Whether it is this event's.
    pub(super) fn is_claimed_by(&self, document: &Document) -> bool {
        owner(&self.claims, &self.resource, document.kind) == Some(&document.key)
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state.as_str(), "done" | "cancelled")
    }

    fn is_one_step(&self) -> bool {
        self.storage == self.output
    }

    pub(super) fn is_before_pick(&self) -> bool {
        matches!(self.state.as_str(), "draft" | "waiting" | "assigned")
    }

    /// Whether its goods stand in the output place.
    pub(super) fn is_picked(&self) -> bool {
        !self.is_before_pick() && !self.is_one_step()
    }

    /// Field of the moves that carry its quantities in its state.
    pub(super) fn planned_field(&self) -> &'static str {
        if self.is_before_pick() && !self.is_one_step() { "inventory_moves" } else { "outgoing_moves" }
    }

    /// Those moves.
    pub(super) fn planned(&self, moves: &[Move]) -> Vec<Move> {
        let is_inventory = self.planned_field() == "inventory_moves";
        let is_planned = |of: &&Move| match (is_inventory, self.is_one_step()) {
            (true, _) => of.to == self.output,
            (false, true) => true,
            (false, false) => of.from == self.output,
        };
        moves.iter().filter(|of| of.is_open()).filter(is_planned).cloned().collect()
    }

    /// The button after which quantities can be written, where they cannot now (trytond_stock 8.2: an assigned move refuses them).
    pub(super) fn way_back(&self) -> Option<&'static str> {
        match self.state.as_str() {
            "assigned" => Some("wait"),
            "packed" if self.is_one_step() => Some("wait"),
            // Legal from packed, and leads back.
            "packed" => Some("pick"),
            _ => None,
        }
    }

    /// The next button on its way to done, and the state behind it.
    pub(super) fn next(&self) -> Option<(&'static str, &'static str)> {
        match self.state.as_str() {
            "draft" => Some(("wait", "waiting")),
            "waiting" => Some(("assign_force", "assigned")),
            "assigned" if self.is_one_step() => Some(("pack", "packed")),
            "assigned" => Some(("pick", "picked")),
            "picked" => Some(("pack", "packed")),
            "packed" | "shipped" => Some(("do", "done")),
            _ => None,
        }
    }
}

/// The shipment that an event of goods leaving means; two that fit are never guessed between.
pub(super) fn choose(found: &[Found], document: &Document, warehouse: i64) -> Told<Choice> {
    let reference = document.reference.as_deref().unwrap_or_default();
    let own: Vec<&Found> = found.iter().filter(|of| of.is_claimed_by(document)).collect();
    match own.as_slice() {
        [] => {}
        [one] if one.state == "done" => return Ok(Choice::Done(one.name.clone())),
        [one] if one.state == "cancelled" => return Ok(Choice::Ask(format!("{} was cancelled in Tryton", one.name))),
        [one] => return Ok(Choice::Take((*one).clone())),
        several => return Err(ambiguous(reference, several)),
    }
    let mut open: Vec<&Found> = found.iter().filter(|of| of.is_named && of.is_open()).collect();
    if open.is_empty() {
        open = found.iter().filter(|of| of.is_open()).collect();
    }
    let here: Vec<&Found> = open.iter().copied().filter(|of| of.warehouse == warehouse).collect();
    match here.as_slice() {
        [one] => match one.claims.iter().find(|claim| claim.kind == document.kind) {
            None => Ok(Choice::Take((*one).clone())),
            Some(other) => {
                let reason = format!(
                    "{} was begun for event {}, which is not finished; if that one was given up, delete its note in Tryton",
                    one.name, other.key
                );
                Err(reject("CONFLICT", reason))
            }
        },
        [] => Err(nothing_open(found, &open, reference, &document.site, warehouse)),
        several => Err(ambiguous(reference, several)),
    }
}

fn nothing_open(found: &[Found], open: &[&Found], reference: &str, site: &str, warehouse: i64) -> Outcome {
    let elsewhere = |of: &&Found| of.warehouse != warehouse;
    if let Some(other) = open
        .first()
        .copied()
        .or_else(|| found.iter().find(elsewhere))
        .filter(|_| !found.iter().any(|of| of.warehouse == warehouse))
    {
        return reject("CONFLICT", format!("{} is of another warehouse than {site}", other.name));
    }
    match found.iter().find(|of| of.warehouse == warehouse) {
        Some(one) => {
            let reason = format!("{} is {} in Tryton, and {reference} has nothing else open", one.name, one.state);
            reject("STATE", reason)
        }
        None => reject("UNKNOWN_DOCUMENT", format!("Tryton has no shipment for {reference} in {site}")),
    }
}

/// Several documents, of which none is guessed.
pub(super) fn ambiguous(reference: &str, several: &[&Found]) -> Outcome {
    let names: Vec<&str> = several.iter().map(|of| of.name.as_str()).collect();
    reject("AMBIGUOUS_DOCUMENT", format!("Tryton has several for {reference}: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(id: i64, state: &str, is_named: bool, shipped_by: &[&str]) -> Found {
        let row = json!({"id": id, "number": id.to_string(), "state": state, "warehouse": 5, "warehouse_storage": 3, "warehouse_output": 2});
        let claim = |key: &&str| Claim {
            resource: format!("stock.shipment.out,{id}"),
            kind: "shipped".to_owned(),
            key: (*key).to_owned(),
            more: Value::Null,
        };
        let claims: Vec<Claim> = shipped_by.iter().map(claim).collect();
        Found::read("stock.shipment.out", &row, is_named, &claims).unwrap()
    }

    fn document(key: &str) -> Document {
        Document {
            key: key.to_owned(),
            event_id: key.to_owned(),
            kind: "shipped",
            site: "DC01".to_owned(),
            date: "2026-11-23".to_owned(),
            reference: Some("WEB-1".to_owned()),
            number: None,
            source: String::new(),
            trace: String::new(),
            without_document: "refuse",
            lines: Vec::new(),
        }
    }

    fn chosen(found: &[Found], key: &str) -> String {
        match choose(found, &document(key), 5) {
            Ok(Choice::Done(name)) => format!("done by {name}"),
            Ok(Choice::Ask(reason)) => format!("ask: {reason}"),
            Ok(Choice::Take(one)) => format!("take {}", one.id),
            Err(Outcome::Rejected { code, .. }) => code,
            Err(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn what_carries_the_event_is_it_whatever_else_there_is() {
        let orders = [found(3, "done", true, &["a"]), found(51, "waiting", false, &[])];

        assert_eq!(chosen(&orders, "a"), "done by stock.shipment.out 3");
        assert_eq!(chosen(&orders, "b"), "take 51", "the backorder has no reference of its own");
        assert_eq!(chosen(&[found(3, "picked", true, &["a"])], "a"), "take 3");
        assert!(chosen(&[found(3, "cancelled", true, &["a"])], "a").starts_with("ask"));
    }

    #[test]
    fn two_that_fit_are_never_guessed_between_and_one_of_another_event_is_left_to_it() {
        assert_eq!(
            chosen(&[found(3, "waiting", true, &[]), found(4, "waiting", true, &[])], "a"),
            "AMBIGUOUS_DOCUMENT"
        );
        assert_eq!(
            chosen(&[found(3, "done", true, &["a"]), found(4, "done", true, &["a"])], "a"),
            "AMBIGUOUS_DOCUMENT"
        );
        assert_eq!(chosen(&[found(3, "assigned", true, &["b"])], "a"), "CONFLICT");
        // Both reached for it, the other was first.
        assert_eq!(chosen(&[found(3, "done", true, &["b", "a"])], "a"), "STATE");
    }

    #[test]
    fn what_is_not_there_or_elsewhere_or_over_has_its_code() {
        let elsewhere = Found { warehouse: 6, ..found(3, "waiting", true, &[]) };

        assert_eq!(chosen(&[], "a"), "UNKNOWN_DOCUMENT");
        assert_eq!(chosen(&[elsewhere], "a"), "CONFLICT");
        assert_eq!(chosen(&[found(3, "done", true, &[])], "a"), "STATE");
        assert_eq!(chosen(&[found(3, "cancelled", true, &[])], "a"), "STATE");
    }

    #[test]
    fn from_every_state_buttons_lead_to_done() {
        let way = |mut one: Found| {
            let mut buttons = Vec::new();
            while let Some((button, after)) = one.next() {
                buttons.push(button);
                after.clone_into(&mut one.state);
            }
            (one.state, buttons)
        };
        let one_step = Found { output: 3, ..found(1, "waiting", true, &[]) };

        assert_eq!(
            way(found(1, "draft", true, &[])),
            ("done".to_owned(), vec!["wait", "assign_force", "pick", "pack", "do"])
        );
        assert_eq!(way(one_step), ("done".to_owned(), vec!["assign_force", "pack", "do"]));
        assert_eq!(way(found(1, "shipped", true, &[])), ("done".to_owned(), vec!["do"]));
    }
}

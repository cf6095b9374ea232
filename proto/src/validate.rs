//! Business rules that hold for an event on its own, the same at the site and at the centre.

use rust_decimal::Decimal;

use crate::{
    canonical,
    event::{Event, EventType, Line},
};

/// A rule that an event breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: found {found}, expected {expected}")]
pub struct Violation {
    /// Stable code (EVENTS 13).
    pub code: &'static str,
    /// Field, by the names of the contract.
    pub path: String,
    /// What stands there.
    pub found: String,
    /// What would be right.
    pub expected: &'static str,
}

/// Every rule that the event breaks; empty for a good one.
pub fn violations(event: &Event) -> Vec<Violation> {
    let mut found = Vec::new();
    if needs_correlation(event.event_type) && event.correlation_id.is_empty() {
        found.push(missing("correlation_id", "an order, shipment or receipt number"));
    }
    if needs_lines(event.event_type) && event.lines.is_empty() {
        found.push(missing("lines", "at least one line"));
    }
    if event.event_type == EventType::CartonPacked {
        match event.containers.first() {
            Some(c) if !c.container_id.is_empty() || !c.sscc.is_empty() => {}
            _ => found.push(missing("containers.container_id", "the licence plate of the carton")),
        }
    }
    for (at, line) in event.lines.iter().enumerate() {
        check_line(event, at, line, &mut found);
    }
    for (at, content) in event.containers.iter().flat_map(|c| &c.contents).enumerate() {
        check_quantity(|| format!("containers.contents[{at}].qty"), content.qty.as_ref(), &mut found);
    }
    found
}

fn check_line(event: &Event, at: usize, line: &Line, found: &mut Vec<Violation>) {
    if line.item.sku.is_empty() {
        found.push(missing(&format!("lines[{at}].item.sku"), "an item number"));
    }
    let mut check = |name: &str, quantity: &Option<Decimal>| {
        if quantity.is_some() {
            check_quantity(|| format!("lines[{at}].{name}"), quantity.as_ref(), found);
        }
    };
    check("qty", &line.qty);
    check("qty_ordered", &line.qty_ordered);
    check("qty_shipped", &line.qty_shipped);
    check("qty_difference", &line.qty_difference);
    check("qty_received", &line.qty_received);
    check("qty_damaged", &line.qty_damaged);
    check("qty_before", &line.qty_before);
    check("qty_after", &line.qty_after);
    if let Some((name, expected)) = required_quantity(event.event_type, line) {
        found.push(missing(&format!("lines[{at}].{name}"), expected));
    }
    let never_negative = [("qty_shipped", line.qty_shipped), ("qty_received", line.qty_received)];
    for (name, quantity) in never_negative {
        if let Some(q) = quantity.filter(|q| q.is_sign_negative() && *q < Decimal::ZERO) {
            found.push(Violation {
                code: "INVALID_QUANTITY",
                path: format!("lines[{at}].{name}"),
                found: q.to_string(),
                expected: "a quantity that is not negative",
            });
        }
    }
}

/// The quantity that this type cannot do without, where the line lacks it.
fn required_quantity(event_type: EventType, line: &Line) -> Option<(&'static str, &'static str)> {
    let (name, present) = match event_type {
        EventType::ShipmentConfirmed => ("qty_shipped", line.qty_shipped.or(line.qty).is_some()),
        EventType::ReceiptConfirmed | EventType::ReturnReceived => {
            ("qty_received", line.qty_received.or(line.qty).is_some())
        }
        EventType::CycleCountCompleted => ("qty_after", line.qty_after.or(line.qty).is_some()),
        EventType::InventoryAdjusted
        | EventType::InventoryStatusChanged
        | EventType::InventoryTransferred
        | EventType::InventorySnapshot
        | EventType::PickConfirmed
        | EventType::ReplenishmentTriggered => ("qty", line.qty.is_some()),
        EventType::OrderSubmitted => ("qty_ordered", line.qty_ordered.or(line.qty).is_some()),
        EventType::TransferShipped => ("qty_shipped", line.qty_shipped.or(line.qty).is_some()),
        EventType::OrderAcknowledged
        | EventType::CartonPacked
        | EventType::ShipmentManifested
        | EventType::ShipmentVoided
        | EventType::ReceiptExpected
        | EventType::ExceptionRaised
        | EventType::DocumentAcknowledged
        | EventType::EpcisOther => return None,
    };
    (!present).then_some((name, "a quantity"))
}

/// The path is written only where it is told: this runs for every quantity of every event.
fn check_quantity(path: impl FnOnce() -> String, quantity: Option<&Decimal>, found: &mut Vec<Violation>) {
    if let Some(q) = quantity.filter(|q| canonical::check_decimal(**q).is_err()) {
        found.push(Violation {
            code: "INVALID_QUANTITY",
            path: path(),
            found: q.to_string(),
            expected: "at most 13 digits before and 6 behind the point",
        });
    }
}

fn missing(path: &str, expected: &'static str) -> Violation {
    Violation { code: "MISSING_MANDATORY", path: path.to_owned(), found: "nothing".to_owned(), expected }
}

const fn needs_correlation(event_type: EventType) -> bool {
    matches!(
        event_type,
        EventType::OrderSubmitted
            | EventType::OrderAcknowledged
            | EventType::ShipmentConfirmed
            | EventType::ShipmentVoided
            | EventType::TransferShipped
    )
}

const fn needs_lines(event_type: EventType) -> bool {
    matches!(
        event_type,
        EventType::OrderSubmitted
            | EventType::PickConfirmed
            | EventType::ShipmentConfirmed
            | EventType::TransferShipped
            | EventType::ReceiptConfirmed
            | EventType::ReturnReceived
            | EventType::InventoryAdjusted
            | EventType::InventoryStatusChanged
            | EventType::CycleCountCompleted
            | EventType::InventoryTransferred
            | EventType::ReplenishmentTriggered
    )
}

/// Whether this event is of a test interchange: stored, never applied.
pub fn is_test(event: &Event) -> bool {
    event.interchange.usage == "T"
}

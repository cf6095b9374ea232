//! What an event is about: type and action by business step, places, times (EVENTS 6).

use docksync_proto::event::{Action, EventType};

use super::{
    ids::Kind,
    raw::{Id, Raw},
};

/// Type and action by business step; the step of a packing event is often left out.
pub(super) fn meaning(raw: &Raw, has_shipped: bool) -> (EventType, Action) {
    use EventType as T;
    let is_packing = raw.kind == "AggregationEvent" && raw.action != "OBSERVE";
    let is_return = raw.disposition == "returned" || raw.transactions.iter().any(|(kind, _)| kind == "rma");
    let event_type = match (raw.kind.as_str(), raw.step.as_str()) {
        ("TransformationEvent" | "AssociationEvent", _) => T::EpcisOther,
        (_, "picking") => T::PickConfirmed,
        (_, "packing") => T::CartonPacked,
        (_, "staging_outbound" | "loading") => T::ShipmentManifested,
        (_, "shipping") => T::ShipmentConfirmed,
        (_, "departing") if !has_shipped => T::ShipmentConfirmed,
        (_, "receiving") if is_return => T::ReturnReceived,
        (_, "receiving") => T::ReceiptConfirmed,
        (_, "cycle_counting") => T::CycleCountCompleted,
        (_, "stock_taking") if raw.action == "OBSERVE" || raw.kind == "QuantityEvent" => T::InventorySnapshot,
        (_, "stock_taking" | "destroying" | "disposing") => T::InventoryAdjusted,
        (_, "inspecting" | "holding") => T::InventoryStatusChanged,
        (_, "storing" | "stocking") => T::InventoryTransferred,
        (_, "void_shipping") => T::ShipmentVoided,
        (_, "" | "unpacking") if is_packing => T::CartonPacked,
        _ => T::EpcisOther,
    };
    let is_undone = match event_type {
        T::CartonPacked => raw.action == "DELETE",
        T::ShipmentConfirmed | T::ShipmentManifested => raw.kind == "TransactionEvent" && raw.action == "DELETE",
        _ => false,
    };
    (event_type, if is_undone { Action::Void } else { Action::Add })
}

/// Whether a line of this type cannot do without a quantity.
pub(super) const fn needs_quantity(event_type: EventType) -> bool {
    use EventType as T;
    !matches!(event_type, T::EpcisOther | T::CartonPacked | T::ShipmentManifested | T::ShipmentVoided)
}

/// Spellings by which a feed may list a place.
pub(super) fn codes(id: &Id) -> Vec<String> {
    let mut codes = vec![id.key.id.clone(), id.text.clone(), id.key.label()];
    if !id.key.serial.is_empty() {
        codes.insert(0, format!("{}.{}", id.key.id, id.key.serial));
    }
    codes
}

/// Where goods were and where they are: a place within the site by its extension, else by its number.
pub(super) fn locations(raw: &Raw) -> [String; 2] {
    let name = |id: &Id| match id.key.kind {
        Kind::Gln if !id.key.serial.is_empty() => id.key.serial.clone(),
        Kind::Gln | Kind::Gtin | Kind::Sscc | Kind::Asset | Kind::Other => id.key.id.clone(),
    };
    let from = raw.read_point.as_ref().or(raw.location.as_ref());
    let to = raw.location.as_ref().or(raw.read_point.as_ref());
    [from, to].map(|id| id.map(name).unwrap_or_default())
}

/// Whether a time names its zone: `Z` or an offset behind the time of day.
pub(super) fn has_zone(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.any(|byte| byte == b'T') && (text.ends_with(['Z', 'z']) || bytes.any(|byte| matches!(byte, b'+' | b'-')))
}

pub(super) fn offset_secs(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

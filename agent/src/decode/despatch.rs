//! What follows from a confirmed shipment: the cartons that it closed, its manifest and its shortages (EVENTS 2).

use docksync_proto::event::{Content, Event, EventType, Line, PartyRole, RefKind};
use rust_decimal::Decimal;

use super::trade;

/// The events of a shipment in the order in which they take effect; all share its document numbers and its correlation.
///
/// A pick gets its shortages only; any other event stays alone.
pub(super) fn with_consequences(event: Event) -> Vec<Event> {
    let mut all = Vec::new();
    let is_shipment = event.event_type == EventType::ShipmentConfirmed;
    if is_shipment {
        all.extend(cartons(&event));
        all.extend(manifest(&event));
    }
    let shorts = if is_shipment { shortages(&event) } else { Vec::new() };
    all.push(event);
    all.extend(shorts);
    all
}

/// What lies in a container, as a line says it.
pub(super) fn content(line: &Line) -> Content {
    Content {
        line_no: line.line_no.clone(),
        sku: line.item.sku.clone(),
        qty: line.qty_shipped.or(line.qty_received).or(line.qty),
        uom: line.uom.clone(),
        lot: line.lot.clone(),
        serials: line.serials.clone(),
    }
}

/// The same document's event of another type, without goods.
fn derived(event: &Event, event_type: EventType) -> Event {
    let mut derived = event.clone();
    derived.event_type = event_type;
    derived.lines.clear();
    derived.containers.clear();
    derived.extensions.clear();
    derived.warnings.clear();
    derived
}

fn cartons(event: &Event) -> impl Iterator<Item = Event> {
    event.containers.iter().filter(|container| !container.contents.is_empty()).map(|container| {
        let mut packed = derived(event, EventType::CartonPacked);
        let lines = event.lines.iter().filter(|line| line.container_ref == container.container_id);
        packed.lines = lines.cloned().collect();
        packed.containers.push(container.clone());
        packed
    })
}

/// Only where the paper that goes with the carrier is named.
fn manifest(event: &Event) -> Option<Event> {
    let has_paper = [RefKind::Manifest, RefKind::Bol].iter().any(|kind| !event.reference(*kind).is_empty());
    (has_paper && event.party(PartyRole::Carrier).is_some()).then(|| {
        let mut manifest = derived(event, EventType::ShipmentManifested);
        manifest.containers.clone_from(&event.containers);
        manifest
    })
}

fn shortages(event: &Event) -> Vec<Event> {
    let short = event.lines.iter().filter(|line| line.qty_difference.is_some_and(|short| short > Decimal::ZERO));
    let raised = short.map(|line| {
        let mut raised = derived(event, EventType::ExceptionRaised);
        trade::refer(&mut raised.references, RefKind::ExceptionCode, "SHORT_SHIP");
        raised.lines.push(line.clone());
        raised
    });
    raised.collect()
}

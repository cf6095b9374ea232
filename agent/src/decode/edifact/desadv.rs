//! DESADV, despatch advice: what left in which containers, or what is announced to this site.

use docksync_proto::event::{Action, Container, Content, Event, EventType, PartyRole, RefKind, Reference};
use rust_decimal::Decimal;

use super::{
    codes,
    document::{DocLine, Document, Head, line_status},
};
use crate::decode::{
    message::{Message, Messages},
    trade,
};

/// Parties that ship, and those that may be known by a company's number only.
const FROM: &[&str] = &["WH", "SF", "SH", "CZ", "PW", "LSP"];
const FROM_WEAK: &[&str] = &["SU", "SE"];
/// Parties that receive.
const TO: &[&str] = &["ST", "DP", "CN", "UC"];
const TO_WEAK: &[&str] = &["WH", "LSP", "BY"];

/// Quantities that are despatched, the standard's own qualifier first.
const SHIPPED: &[&str] = &["12", "46", "113", "1"];

/// Which way the goods go, seen from the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Out,
    In,
    Transfer,
}

pub(super) fn assemble(messages: &mut Messages<'_, '_>, _head: &Head, mut document: Document, message: &mut Message) {
    document.needs_number(message);
    let direction = direction(messages, &document);
    if direction == Direction::In {
        document.time(messages, message, &["137", "11"]);
        document.place(messages, message, TO, TO_WEAK);
    } else {
        document.time(messages, message, &["11", "200", "137"]);
        document.place(messages, message, FROM, FROM_WEAK);
    }
    name(&mut document, direction);
    let lines = std::mem::take(&mut document.lines);
    let mut shorts = Vec::new();
    let mut main = document.event(event_type(direction, document.event.action));
    for mut line in lines {
        ship(messages, &mut line, direction, message);
        if direction != Direction::In
            && let Some(short) = line.line.qty_difference.filter(|d| *d > Decimal::ZERO)
        {
            shorts.push(exception(&document, &line, "SHORT_SHIP", short));
        }
        if direction == Direction::In {
            line.line.qty = line.line.qty_shipped;
        }
        line.settle(&mut main);
    }
    main.containers.clone_from(&document.containers);
    if main.event_type == EventType::ShipmentVoided {
        // The type says the withdrawal already; a withdrawn withdrawal would issue the goods again.
        main.action = Action::Add;
        return message.events.push(main);
    }
    if direction == Direction::In {
        fill(&mut main);
        return message.events.push(main);
    }
    message.events.extend(cartons(&document, &main));
    message.events.extend(manifest(&document));
    // Goods in transit without a line would be a shipment of nothing.
    let is_freight_only = main.lines.is_empty() && !message.events.is_empty();
    if !is_freight_only {
        message.events.push(main);
    }
    message.events.append(&mut shorts);
}

fn direction(messages: &Messages<'_, '_>, document: &Document) -> Direction {
    let is_from = document.has_own(messages, FROM) || document.has_own(messages, FROM_WEAK);
    let is_to = document.has_own(messages, TO);
    match messages.parse.first("direction") {
        Some("in") => Direction::In,
        _ if is_from && is_to => Direction::Transfer,
        Some(_) => Direction::Out,
        None if is_to || (!is_from && document.has_own(messages, &["BY"])) => Direction::In,
        None => Direction::Out,
    }
}

fn event_type(direction: Direction, action: Action) -> EventType {
    match (direction, action) {
        (Direction::In, _) => EventType::ReceiptExpected,
        (_, Action::Void) => EventType::ShipmentVoided,
        (Direction::Transfer, _) => EventType::TransferShipped,
        (Direction::Out, _) => EventType::ShipmentConfirmed,
    }
}

/// References and the business act: the order where it is known, else the shipment.
fn name(document: &mut Document, direction: Direction) {
    document.event.action = codes::action(&document.function);
    let number = document.number.clone();
    let order = [document.reference(&["ON"]).to_owned(), document.common_order()];
    let order = order.into_iter().find(|order| !order.is_empty());
    let order = order.unwrap_or_else(|| document.reference(&["VN", "AAJ", "CO"]).to_owned());
    let references = &mut document.event.references;
    references.retain(|r| r.value != number || !matches!(r.kind, RefKind::Desadv | RefKind::Shipment));
    if !number.is_empty() {
        for kind in [RefKind::Shipment, RefKind::Desadv] {
            references.insert(0, Reference { kind, value: number.clone(), date: None });
        }
    }
    if direction == Direction::Transfer {
        trade::refer(references, RefKind::Transfer, if order.is_empty() { &number } else { &order });
    }
    if document.reference(&["ON"]).is_empty() && !document.common_order().is_empty() {
        let common = document.lines.first().into_iter().flat_map(|line| &line.line.references);
        let kinds: Vec<RefKind> = common.filter(|r| r.value == order).map(|r| r.kind).collect();
        kinds.into_iter().for_each(|kind| trade::refer(&mut document.event.references, kind, &order));
    }
    document.event.correlation_id = if order.is_empty() { number } else { order };
}

/// Shipped, ordered and what lies between them.
fn ship(messages: &Messages<'_, '_>, line: &mut DocLine, direction: Direction, message: &mut Message) {
    let ordered = line.value("21");
    let stated = line.variances.first().map(|(difference, _)| difference.abs());
    let shipped = line.quantity(SHIPPED).map(|quantity| (quantity.code.clone(), quantity.value, quantity.uom.clone()));
    line.line.qty_ordered = ordered;
    if let Some((code, value, uom)) = shipped {
        if code != "12" {
            warn(line, "QUANTITY_QUALIFIER", format!("QTY+{code} is taken as the despatched quantity"));
        }
        line.line.qty_shipped = Some(value);
        line.line.uom = uom;
        line.keep_quantities(&[&code, "21"]);
    } else if let (Some(ordered), Some(difference)) = (ordered, stated) {
        line.line.qty_shipped = Some((ordered - difference).max(Decimal::ZERO));
        line.line.uom = line.quantity(&["21"]).map(|quantity| quantity.uom.clone()).unwrap_or_default();
        line.keep_quantities(&["21"]);
    } else {
        line.keep_quantities(&["21"]);
        if direction != Direction::In && !line.has_faults {
            let fault = trade::fault("MISSING_MANDATORY", "QTY/C186.6063", 1, "no QTY+12", "the despatched quantity");
            message.fault(line.ordinal, fault, &line.text);
        }
    }
    line.keep_variances();
    difference(messages, line, stated);
}

fn difference(messages: &Messages<'_, '_>, line: &mut DocLine, stated: Option<Decimal>) {
    let code = line.variances.first().map(|(_, code)| code.clone()).unwrap_or_default();
    let is_negative = line.variances.first().is_some_and(|(difference, _)| difference.is_sign_negative());
    line.line.status_code = line_status(messages, &code);
    line.line.status_source.clone_from(&code);
    let computed = line.line.qty_ordered.zip(line.line.qty_shipped).map(|(ordered, shipped)| ordered - shipped);
    let is_short =
        is_negative || matches!(code.as_str(), "BP" | "BO" | "BK" | "CP" | "PR" | "OS" | "CU" | "IC" | "CK" | "AD");
    line.line.qty_difference = computed.or(stated.filter(|_| is_short));
    if let (Some(computed), Some(stated)) = (computed, stated)
        && computed.abs() != stated
    {
        let text = format!("QVR says {}, ordered less despatched is {}", stated.normalize(), computed.normalize());
        warn(line, "TOTAL_MISMATCH", text);
    }
}

fn warn(line: &mut DocLine, code: &str, text: String) {
    let path = format!("lines[{}]", line.nth - 1);
    line.warnings.push(docksync_proto::event::Warning { code: code.to_owned(), path, text });
}

/// What a line tells beside the event that it stands in.
pub(super) fn exception(document: &Document, line: &DocLine, code: &str, quantity: Decimal) -> Event {
    let mut event = document.event(EventType::ExceptionRaised);
    event.extensions.clear();
    event.warnings.clear();
    event.source.line_no = line.ordinal;
    event.source.byte_offset = line.offset;
    event.references.push(Reference { kind: RefKind::ExceptionCode, value: code.to_owned(), date: None });
    trade::keep(&mut event, "severity", "warning");
    let mut found = line.line.clone();
    found.qty = Some(quantity);
    found.reason.source_code.clone_from(&found.status_source);
    found.reason.text = line.notes.join(" ");
    event.lines.push(found);
    event
}

fn content(line: &docksync_proto::event::Line) -> Content {
    Content {
        line_no: line.line_no.clone(),
        sku: line.item.sku.clone(),
        qty: line.qty_shipped.or(line.qty),
        uom: line.uom.clone(),
        lot: line.lot.clone(),
        serials: line.serials.clone(),
    }
}

fn contents(main: &Event, container: &Container) -> Vec<Content> {
    main.lines.iter().filter(|line| line.container_ref == container.container_id).map(content).collect()
}

/// An announced delivery keeps its containers with what lies in them: nobody packed them here.
fn fill(main: &mut Event) {
    let mut containers = std::mem::take(&mut main.containers);
    for container in &mut containers {
        container.contents = contents(main, container);
    }
    main.containers = containers;
}

/// One event for each container with goods in it.
fn cartons(document: &Document, main: &Event) -> Vec<Event> {
    let packed = |container: &Container| {
        let contents = contents(main, container);
        if contents.is_empty() {
            return None;
        }
        let mut event = document.event(EventType::CartonPacked);
        event.extensions.clear();
        event.warnings.clear();
        event.containers.push(Container { contents, ..container.clone() });
        Some(event)
    };
    document.containers.iter().filter_map(packed).collect()
}

/// A bill of lading with its carrier.
fn manifest(document: &Document) -> Option<Event> {
    let has_bill = !document.event.reference(RefKind::Bol).is_empty();
    (has_bill && document.event.party(PartyRole::Carrier).is_some()).then(|| {
        let mut event = document.event(EventType::ShipmentManifested);
        event.extensions.clear();
        event.warnings.clear();
        event
    })
}

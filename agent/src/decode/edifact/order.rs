//! ORDERS, ORDCHG and HANMOV, what is asked of the site; ORDRSP, what a supplier answers.

use docksync_proto::event::{Action, EventType, LineStatus, RefKind};
use rust_decimal::Decimal;

use super::{
    codes,
    document::{DocLine, Document, Head, line_status},
};
use crate::decode::{
    message::{Message, Messages},
    trade,
};

const SITE: &[&str] = &["WH", "LSP", "SF"];
const SITE_WEAK: &[&str] = &["SH", "SU", "SE"];

/// Quantities that are ordered; 113 is the quantity to be delivered of a handling order.
const ORDERED: &[&str] = &["21", "113", "1"];

pub(super) fn assemble(messages: &mut Messages<'_, '_>, head: &Head, mut document: Document, message: &mut Message) {
    document.needs_number(message);
    document.time(messages, message, &["137", "4"]);
    document.place(messages, message, SITE, SITE_WEAK);
    document.event.action = codes::action(&document.function);
    let number = document.number.clone();
    let original = document.reference(&["ON"]).to_owned();
    let event = &mut document.event;
    match head.kind.as_str() {
        "ORDCHG" => {
            event.action = if event.action == Action::Void { Action::Void } else { Action::Change };
            // Where no order is named, the change carries the order's own number.
            event.correlation_id = if original.is_empty() { number.clone() } else { original };
            let order = event.correlation_id.clone();
            trade::refer(&mut event.references, RefKind::Po, &order);
            trade::refer(&mut event.references, RefKind::OrderChange, &number);
        }
        "HANMOV" => {
            event.correlation_id.clone_from(&number);
            trade::refer(&mut event.references, RefKind::DepositorOrder, &number);
        }
        _ => {
            event.correlation_id.clone_from(&number);
            event.references.retain(|r| r.kind != RefKind::Po || r.value != number);
            let own = docksync_proto::event::Reference { kind: RefKind::Po, value: number, date: None };
            event.references.insert(0, own);
        }
    }
    let mut main = document.event(EventType::OrderSubmitted);
    for mut line in std::mem::take(&mut document.lines) {
        order_line(&mut line, message);
        line.settle(&mut main);
    }
    main.containers.clone_from(&document.containers);
    message.events.push(main);
}

fn order_line(line: &mut DocLine, message: &mut Message) {
    // Data element 1229: 2 is a line that is taken away.
    let is_deleted = line.action == "2";
    let ordered = line.quantity(ORDERED).map(|quantity| (quantity.code.clone(), quantity.value, quantity.uom.clone()));
    if is_deleted {
        line.line.status_code = Some(LineStatus::Cancelled);
        "2".clone_into(&mut line.line.status_source);
    }
    match ordered {
        Some((code, value, uom)) => {
            line.line.qty_ordered = Some(value);
            line.line.uom = uom;
            line.keep_quantities(&[&code]);
        }
        None if is_deleted => {
            line.line.qty_ordered = Some(Decimal::ZERO);
            line.keep_quantities(&[]);
        }
        None if line.has_faults => {}
        None => {
            let fault = trade::fault("MISSING_MANDATORY", "QTY/C186.6063", 1, "no QTY+21", "the ordered quantity");
            message.fault(line.ordinal, fault, &line.text);
        }
    }
    line.keep_variances();
}

/// The answer to an order: what is confirmed of each line.
pub(super) fn assemble_response(
    messages: &mut Messages<'_, '_>,
    _head: &Head,
    mut document: Document,
    message: &mut Message,
) {
    document.needs_number(message);
    document.time(messages, message, &["137", "4"]);
    document.place(messages, message, SITE, SITE_WEAK);
    document.event.action = codes::action(&document.function);
    // In an answer 4 says that the order was changed, not that the answer replaces another.
    if document.function == "4" {
        document.event.action = Action::Add;
    }
    let orders = [document.reference(&["ON"]).to_owned(), document.common_order(), document.number.clone()];
    let order = orders.into_iter().find(|order| !order.is_empty()).unwrap_or_default();
    let number = document.number.clone();
    let event = &mut document.event;
    trade::refer(&mut event.references, RefKind::Po, &order);
    trade::keep(event, "edifact:BGM/1004", &number);
    event.correlation_id = order;
    let mut main = document.event(EventType::OrderAcknowledged);
    for mut line in std::mem::take(&mut document.lines) {
        response_line(messages, &mut line);
        line.settle(&mut main);
    }
    message.events.push(main);
}

fn response_line(messages: &Messages<'_, '_>, line: &mut DocLine) {
    line.line.status_code = match line.action.as_str() {
        "" => None,
        "5" => Some(LineStatus::Complete),
        "2" | "7" => Some(LineStatus::Cancelled),
        _ => Some(LineStatus::Other),
    };
    line.action.clone_into(&mut line.line.status_source);
    let confirmed = line.quantity(&["113", "12", "194"]).map(|quantity| quantity.value);
    line.line.qty_ordered = line.value("21");
    line.line.qty = confirmed.or(line.line.qty_ordered);
    line.line.uom = line.quantity(&["21", "113", "12", "194"]).map(|q| q.uom.clone()).unwrap_or_default();
    let backordered = line.value("83").is_some_and(|quantity| quantity > Decimal::ZERO);
    if let Some(code) = line.variances.first().map(|(_, code)| code.clone()).filter(|code| !code.is_empty()) {
        line.line.status_code = line_status(messages, &code);
        line.line.status_source = code;
    } else if backordered {
        line.line.status_code = Some(LineStatus::ShortBackordered);
    }
    line.line.qty_difference = line.line.qty_ordered.zip(confirmed).map(|(ordered, confirmed)| ordered - confirmed);
    line.keep_quantities(&["21", "113", "12", "194"]);
    line.keep_variances();
}

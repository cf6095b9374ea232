//! RECADV, receiving advice: what arrived, and what of it was not as it should be.

use docksync_proto::event::{EventType, RefKind, Reference, Warning};
use rust_decimal::Decimal;

use super::{
    codes,
    desadv::exception,
    document::{DocLine, Document, Head, line_status},
};
use crate::decode::{
    message::{Message, Messages},
    trade,
};

const SITE: &[&str] = &["WH", "ST", "DP", "CN", "UC", "LSP"];

pub(super) fn assemble(messages: &mut Messages<'_, '_>, _head: &Head, mut document: Document, message: &mut Message) {
    document.needs_number(message);
    document.time(messages, message, &["50", "310", "137"]);
    document.place(messages, message, SITE, &["BY"]);
    name(&mut document);
    let is_return = !document.event.reference(RefKind::Rma).is_empty();
    let mut main = document.event(if is_return { EventType::ReturnReceived } else { EventType::ReceiptConfirmed });
    let mut exceptions = Vec::new();
    for mut line in std::mem::take(&mut document.lines) {
        let found = receive(messages, &mut line, message);
        exceptions.extend(found.into_iter().map(|(code, quantity)| exception(&document, &line, code, quantity)));
        line.settle(&mut main);
    }
    main.containers.clone_from(&document.containers);
    message.events.push(main);
    message.events.append(&mut exceptions);
}

/// The receipt is named by the receiver's own number (RFF+ALO), else by the document's.
fn name(document: &mut Document) {
    document.event.action = codes::action(&document.function);
    let order = [document.reference(&["ON"]).to_owned(), document.common_order()];
    let order = order.into_iter().find(|order| !order.is_empty()).unwrap_or_default();
    let advice = document.reference(&["AAK", "DQ", "AAU", "SRN"]).to_owned();
    let number = document.number.clone();
    let event = &mut document.event;
    if !number.is_empty() {
        event.references.insert(0, Reference { kind: RefKind::Recadv, value: number.clone(), date: None });
        if event.reference(RefKind::Receipt).is_empty() {
            trade::refer(&mut event.references, RefKind::Receipt, &number);
        }
    }
    let candidates = [order, advice, number];
    event.correlation_id = candidates.into_iter().find(|id| !id.is_empty()).unwrap_or_default();
}

/// Sets the received quantities; gives what was not as announced.
///
/// 48 is all that came. 194 is what was accepted: then what was damaged (124) came beside it, and what goes back or is destroyed
/// (195, 196) never becomes stock.
fn receive(messages: &Messages<'_, '_>, line: &mut DocLine, message: &mut Message) -> Vec<(&'static str, Decimal)> {
    let (announced, all, accepted) = (line.value("12"), line.value("48"), line.value("194"));
    let rejected = [line.value("195"), line.value("196")].into_iter().flatten().sum::<Decimal>();
    let stated_damage = line.value("124");
    let by_variance: Decimal = line.variances.iter().filter(|(_, code)| code == "AF").map(|(d, _)| d.abs()).sum();
    let damaged = stated_damage.or((by_variance > Decimal::ZERO).then_some(by_variance));
    let harm = damaged.unwrap_or_default();
    let mut unexplained = Decimal::ZERO;
    let received = match (all, accepted) {
        (Some(all), Some(accepted)) => {
            unexplained = all - accepted - harm - rejected;
            Some(if unexplained > Decimal::ZERO { accepted + harm } else { all - rejected })
        }
        (Some(all), None) => Some(all - rejected),
        (None, Some(accepted)) => Some(accepted + harm),
        (None, None) => line.quantity(&["46", "1"]).map(|quantity| quantity.value),
    };
    line.line.uom = line.quantity(&["48", "194", "46", "1", "12"]).map(|q| q.uom.clone()).unwrap_or_default();
    line.line.qty_ordered = line.value("21");
    line.line.qty_shipped = announced;
    line.line.qty_received = received;
    line.line.qty_damaged = damaged;
    let code = line.variances.first().map(|(_, code)| code.clone()).unwrap_or_default();
    line.line.status_source.clone_from(&code);
    line.line.status_code = line_status(messages, &code);
    line.keep_variances();
    line.keep_quantities(&["12", "21", "48", "194", "124"]);
    let Some(received) = received else {
        let expected = "QTY+48, the received quantity, or QTY+194, what was accepted";
        let fault = trade::fault("MISSING_MANDATORY", "QTY/C186.6063", 1, "neither", expected);
        if !line.has_faults {
            message.fault(line.ordinal, fault, &line.text);
        }
        return Vec::new();
    };
    if unexplained > Decimal::ZERO {
        let text = format!("{} received and not accepted without a reason", unexplained.normalize());
        let path = format!("lines[{}].qty_received", line.nth - 1);
        line.warnings.push(Warning { code: "QUANTITY_MISMATCH".to_owned(), path, text });
    }
    let refused = rejected + unexplained.max(Decimal::ZERO);
    let short = announced.map_or(Decimal::ZERO, |announced| announced - received - refused);
    let mut found = Vec::new();
    let mut note = |code, quantity: Decimal| {
        if quantity > Decimal::ZERO {
            found.push((code, quantity));
        }
    };
    note("RECEIPT_DAMAGED", harm);
    note("RECEIPT_REJECTED", refused);
    note("RECEIPT_SHORT", short);
    note("RECEIPT_OVER", -short);
    found
}

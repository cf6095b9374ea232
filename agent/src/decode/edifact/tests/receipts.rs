//! RECADV.

use docksync_proto::event::{Action, EventType, RefKind};

use super::fixtures::{RECADV, events, faults, types, warnings};

const KIND: &str = "RECADV:D:01B:UN:EAN007";

fn codes(body: &str) -> Vec<(String, String)> {
    let events = events(KIND, body);
    let raised = events.iter().filter(|event| event.event_type == EventType::ExceptionRaised);
    raised.map(|e| (e.reference(RefKind::ExceptionCode).to_owned(), e.lines[0].qty.unwrap().to_string())).collect()
}

fn pair(code: &str, quantity: &str) -> (String, String) {
    (code.to_owned(), quantity.to_owned())
}

#[test]
fn a_receipt_is_known_by_the_receivers_number() {
    let events = events(KIND, RECADV);

    let receipt = &events[0];
    assert_eq!(types(&events), [EventType::ReceiptConfirmed, EventType::ExceptionRaised, EventType::ExceptionRaised]);
    let numbers = [RefKind::Receipt, RefKind::Recadv, RefKind::Desadv, RefKind::Po].map(|kind| receipt.reference(kind));
    assert_eq!(numbers, ["WR-1", "RA-5", "DA-77", "PO-9"]);
    assert_eq!((&*receipt.correlation_id, receipt.time.rfc3339().as_str()), ("PO-9", "2026-07-15T08:00:00-05:00"));
}

#[test]
fn damaged_goods_are_part_of_what_was_received() {
    let events = events(KIND, RECADV);

    let [first, second] = events[0].lines.as_slice() else { panic!("two lines") };
    assert_eq!(
        (first.qty_received, first.qty_damaged, first.qty_shipped),
        (Some(18.into()), Some(3.into()), Some(20.into()))
    );
    assert_eq!((second.qty_received, second.qty_damaged, &*first.lot), (Some(5.into()), None, "L77"));
    assert_eq!(codes(RECADV), [pair("RECEIPT_DAMAGED", "3"), pair("RECEIPT_SHORT", "2")]);
}

#[test]
fn what_was_accepted_alone_is_received_and_damage_comes_beside_it() {
    let body = RECADV.replace("QTY+48:18:PCE", "QTY+194:17:PCE");

    assert_eq!(events(KIND, &body)[0].lines[0].qty_received, Some(20.into()));
    assert_eq!(codes(&body), [pair("RECEIPT_DAMAGED", "3")]);
}

#[test]
fn what_goes_back_never_becomes_stock() {
    let body = RECADV.replace("QTY+124:3:PCE", "QTY+195:3:PCE");

    assert_eq!(events(KIND, &body)[0].lines[0].qty_received, Some(15.into()));
    assert_eq!(codes(&body), [pair("RECEIPT_REJECTED", "3"), pair("RECEIPT_SHORT", "2")]);
}

#[test]
fn received_and_not_accepted_without_a_reason_is_a_doubt() {
    let body = RECADV.replace("QTY+48:18:PCE", "QTY+48:20:PCE").replace("QTY+124:3:PCE", "QTY+194:16:PCE");

    let events = events(KIND, &body);

    assert_eq!((events[0].lines[0].qty_received, warnings(&events[0])), (Some(16.into()), vec!["QUANTITY_MISMATCH"]));
    assert_eq!(codes(&body), [pair("RECEIPT_REJECTED", "4")]);
}

#[test]
fn more_than_announced_is_told() {
    assert_eq!(codes(&RECADV.replace("QTY+194:5:PCE", "QTY+194:7:PCE")).last(), Some(&pair("RECEIPT_OVER", "2")));
}

#[test]
fn damage_may_stand_in_the_variance() {
    let body = RECADV.replace("QTY+124:3:PCE'", "QVR+-3:12+AF'");

    assert_eq!(events(KIND, &body)[0].lines[0].qty_damaged, Some(3.into()));
}

#[test]
fn a_returns_notice_makes_it_a_return() {
    let events = events(KIND, &RECADV.replace("RFF+ALO:WR-1", "RFF+ALQ:RMA-3"));

    assert_eq!((events[0].event_type, events[0].reference(RefKind::Rma)), (EventType::ReturnReceived, "RMA-3"));
    assert_eq!(events[0].reference(RefKind::Receipt), "RA-5");
}

#[test]
fn the_shipment_names_a_receipt_without_order() {
    let events = events(KIND, &RECADV.replace("RFF+ON:PO-9'\n", ""));

    assert_eq!(events[0].correlation_id, "DA-77");
}

#[test]
fn a_withdrawn_receipt_is_void() {
    assert_eq!(events(KIND, &RECADV.replacen("RA-5+9", "RA-5+1", 1))[0].action, Action::Void);
}

#[test]
fn a_line_without_a_received_quantity_holds_the_message() {
    let body = RECADV.replace("QTY+194:5:PCE'\n", "");

    assert_eq!(faults(KIND, &body), [(17, "MISSING_MANDATORY".to_owned(), "QTY/C186.6063".to_owned())]);
}

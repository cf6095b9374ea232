//! ORDERS, ORDCHG, ORDRSP.

use docksync_proto::event::{Action, EventType, LineStatus, PartyRole, RefKind};

use super::fixtures::{ORDERS, events, faults, good, outcome_with, warnings, xml};

const ORDER: &str = "IDOCTYP=ORDERS05 MESTYP=ORDERS SNDPRN=ERP";

#[test]
fn an_order_is_known_by_the_buyers_number() {
    let events = events(ORDER, ORDERS);

    let [order] = events.as_slice() else { panic!("one event") };
    assert_eq!(
        (order.event_type, &*order.correlation_id, &*order.source.format),
        (EventType::OrderSubmitted, "PO-9", "idoc-orders")
    );
    assert_eq!(order.references[0].date.unwrap().to_string(), "2026-07-01");
    assert_eq!(order.time.rfc3339(), "2026-07-02T00:00:00-05:00");
    assert_eq!(order.party(PartyRole::Buyer).unwrap().name, "Shop 12");
    assert_eq!(order.extensions["idoc:E1EDK14.ORGID"], "1000");
}

#[test]
fn lines_of_an_order_are_read() {
    let order = &events(ORDER, ORDERS)[0];

    let first = &order.lines[0];
    let item = &first.item;
    assert_eq!(
        [&*item.sku, &item.buyer_item, &item.gtin, &item.description],
        ["10004741", "B-1", "04006381333931", "Pencils"]
    );
    assert_eq!((first.qty_ordered, &*first.uom, &*first.line_no), (Some(20.into()), "EA", "000010"));
    assert_eq!((&*order.lines[1].item.sku, &*order.lines[1].uom), ("B-2", "KG"));
}

#[test]
fn the_feed_chooses_the_item_number() {
    let events = good(outcome_with("sku = [\"001\"]", "", &xml(ORDER, ORDERS)));

    assert_eq!(events[0].lines[0].item.sku, "B-1");
}

#[test]
fn a_change_is_declared() {
    assert_eq!(events("IDOCTYP=ORDERS05 MESTYP=ORDCHG", ORDERS)[0].action, Action::Change);
}

#[test]
fn a_response_confirms_the_sum_of_its_schedule() {
    let body =
        ORDERS.replace("E1EDK02 QUALF=001 BELNR=PO-9", "E1EDK02 QUALF=002 BELNR=SO-4\nE1EDK02 QUALF=001 BELNR=PO-9");
    let short = body.replace("WMENG=5.000", "WMENG=2.000").replace("MENGE=5.000", "ABGRU=05 MENGE=5.000");

    let whole = events("IDOCTYP=ORDERS05 MESTYP=ORDRSP", &body);
    let part = events("IDOCTYP=ORDERS05 MESTYP=ORDRSP", &short);

    assert_eq!((whole[0].event_type, whole[0].reference(RefKind::So)), (EventType::OrderAcknowledged, "SO-4"));
    assert_eq!((whole[0].lines[0].qty, whole[0].lines[0].status_code), (Some(20.into()), Some(LineStatus::Complete)));
    assert_eq!(
        (part[0].lines[0].qty_difference, part[0].lines[0].status_code),
        (Some(3.into()), Some(LineStatus::Other))
    );
    assert_eq!(part[0].lines[1].status_code, Some(LineStatus::Cancelled));
}

#[test]
fn the_number_of_lines_is_compared() {
    assert_eq!(warnings(&events(ORDER, &ORDERS.replace("SUMME=2", "SUMME=3"))[0]), ["TOTAL_MISMATCH"]);
}

#[test]
fn what_is_missing_is_named() {
    let found = |body: &str| faults(ORDER, body)[0].1.clone();

    assert_eq!(found(&ORDERS.replace("  E1EDP19 QUALF=001 IDTNR=B-2\n", "")), "E1EDP19/IDTNR");
    assert_eq!(found(&ORDERS.replace(" MENGE=5.000", "")), "E1EDP01/MENGE");
    assert_eq!(found(&ORDERS.replace("BELNR=PO-9", "X=1")), "E1EDK01/BELNR");
}

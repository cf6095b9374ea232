//! MBGMCR and WMMBXY.

use docksync_proto::{
    event::{Action, Event, EventType, RefKind},
    identity,
};

use super::fixtures::{MBGMCR, RECEIPT, events, faults, types, warnings};

fn item(movement: &str, more: &str) -> Vec<Event> {
    let body = format!(
        "E1MBGMCR\n  E1BP2017_GM_HEAD_01 PSTNG_DATE=20260714 REF_DOC_NO=GR-5\n  E1BP2017_GM_ITEM_CREATE MATERIAL=0004711 PLANT=DC7 \
         STGE_LOC=0001 BATCH=L77 MOVE_TYPE={movement} ENTRY_QNT=3 ENTRY_UOM=ST {more}"
    );
    events(MBGMCR, &body)
}

#[test]
fn a_receipt_is_one_event_of_all_its_items() {
    let events = events(MBGMCR, RECEIPT);

    let [receipt] = events.as_slice() else { panic!("one event") };
    assert_eq!(
        (receipt.event_type, &*receipt.correlation_id, &*receipt.operator),
        (EventType::ReceiptConfirmed, "4500000001", "KIM")
    );
    let numbers = [RefKind::Receipt, RefKind::Po].map(|kind| receipt.reference(kind));
    assert_eq!((numbers, receipt.time.rfc3339().as_str()), (["GR-5", "4500000001"], "2026-07-14T00:00:00-05:00"));
    let first = &receipt.lines[0];
    assert_eq!((first.qty_received, &*first.location_to, &*first.lot), (Some(18.into()), "0001", "L77"));
    assert_eq!(
        [&*first.item.sku, &first.uom, &first.source_line_no, &first.status_source],
        ["10004741", "EA", "00010", "101"]
    );
    assert_eq!(receipt.extensions["idoc:E1BP2017_GM_CODE.GM_CODE"], "01");
}

#[test]
fn a_reversed_receipt_is_void() {
    assert_eq!(item("102", "")[0].action, Action::Void);
}

#[test]
fn movements_correct_the_stock_by_their_type() {
    for (movement, quantity, reason) in [
        ("122", -3, "receipt_correction"),
        ("201", -3, "other"),
        ("262", 3, "other"),
        ("551", -3, "damage"),
        ("701", 3, "count_gain"),
        ("702", -3, "count_loss"),
        ("711", -3, "count_loss"),
        ("712", 3, "count_gain"),
    ] {
        let events = item(movement, "MOVE_REAS=0012 STCK_TYPE=S");

        let (event, line) = (&events[0], &events[0].lines[0]);
        assert_eq!(
            (event.event_type, event.reference(RefKind::Adjustment)),
            (EventType::InventoryAdjusted, "GR-5"),
            "{movement}"
        );
        assert_eq!((line.qty, &*line.reason.code), (Some(quantity.into()), reason), "{movement}");
        assert_eq!((&*line.reason.source_code, &*line.stock_status_to), ("12", "hold"), "{movement}");
    }
}

#[test]
fn movements_change_the_status_by_their_type() {
    for (movement, from, to) in [
        ("321", "quality", "available"),
        ("322", "available", "quality"),
        ("343", "hold", "available"),
        ("344", "available", "hold"),
    ] {
        let events = item(movement, "");

        let line = &events[0].lines[0];
        assert_eq!(
            (events[0].event_type, &*line.stock_status_from, &*line.stock_status_to),
            (EventType::InventoryStatusChanged, from, to)
        );
        assert_eq!(events[0].reference(RefKind::Transaction), "GR-5");
    }
}

#[test]
fn a_move_names_both_places() {
    let events = item("311", "MOVE_STLOC=0002");

    let line = &events[0].lines[0];
    assert_eq!(
        (events[0].event_type, &*line.location_from, &*line.location_to),
        (EventType::InventoryTransferred, "0001", "0002")
    );
    assert_eq!(warnings(&item("301", "MOVE_PLANT=DC8")[0]), ["SEVERAL_PLANTS"]);
}

#[test]
fn a_relabelled_item_leaves_and_enters_the_stock() {
    let events = item("309", "MOVE_MAT=0004712 MOVE_BATCH=L78");

    let told: Vec<_> = events
        .iter()
        .map(|e| (&*e.lines[0].item.sku, &*e.lines[0].lot, e.lines[0].qty, &*e.lines[0].reason.code))
        .collect();
    assert_eq!(told, [("4711", "L77", Some((-3).into()), "relabel"), ("4712", "L78", Some(3.into()), "relabel")]);
}

#[test]
fn issues_and_returns_are_shipments_and_returns() {
    let issue = &item("601", "DELIV_NUMB=0080001234")[0];
    assert_eq!(
        (issue.event_type, &*issue.correlation_id, issue.lines[0].qty_shipped),
        (EventType::ShipmentConfirmed, "0080001234", Some(3.into()))
    );
    assert_eq!((issue.reference(RefKind::DepositorOrder), issue.reference(RefKind::Shipment)), ("0080001234", "GR-5"));
    assert_eq!(types(&item("602", "DELIV_NUMB=0080001234")), [EventType::ShipmentVoided]);
    assert_eq!(types(&item("641", "")), [EventType::TransferShipped]);
    assert_eq!(
        (item("651", "")[0].event_type, item("651", "")[0].lines[0].qty_received),
        (EventType::ReturnReceived, Some(3.into()))
    );
}

#[test]
fn equal_items_of_a_document_are_two_facts() {
    let line = "  E1BP2017_GM_ITEM_CREATE MATERIAL=1 MOVE_TYPE=551 ENTRY_QNT=3 ENTRY_UOM=ST\n";
    let body = format!("E1MBGMCR\n  E1BP2017_GM_HEAD_01 PSTNG_DATE=20260714 REF_DOC_NO=GR-5\n{line}{line}");

    let events = events(MBGMCR, &body);

    assert_ne!(identity::event_id(&events[0]), identity::event_id(&events[1]));
}

#[test]
fn a_movement_type_of_the_customer_is_held() {
    let body = RECEIPT.replace("MOVE_TYPE=101", "MOVE_TYPE=Z01");

    assert_eq!(faults(MBGMCR, &body)[0], ("INVALID_CODE".to_owned(), "E1BP2017_GM_ITEM_CREATE/MOVE_TYPE".to_owned()));
    assert_eq!(faults(MBGMCR, "E1MBGMCR\n  E1BP2017_GM_HEAD_01 PSTNG_DATE=20260714")[0].0, "MISSING_MANDATORY");
}

#[test]
fn a_wmmbxy_says_the_same_in_other_words() {
    let body = "E1MBXYH BLDAT=20260713 BUDAT=20260714 XBLNR=GR-5 TCODE=MIGO USNAM=KIM
  E1MBXYI MATNR=000000000010004741 WERKS=DC7 LGORT=0001 CHARG=L77 BWART=101 ERFMG=18.000 ERFME=ST EBELN=4500000001 EBELP=00010
  E1MBXYI MATNR=A-2 WERKS=DC7 LGORT=0001 BWART=551 ERFMG=1.000 ERFME=ST GRUND=0003";

    let events = events("IDOCTYP=WMMBID02 MESTYP=WMMBXY", body);

    assert_eq!(types(&events), [EventType::ReceiptConfirmed, EventType::InventoryAdjusted]);
    let line = &events[0].lines[0];
    assert_eq!((&*line.item.sku, line.qty_received, &*line.location_to), ("10004741", Some(18.into()), "0001"));
    assert_eq!((events[0].reference(RefKind::Receipt), &*events[0].correlation_id), ("GR-5", "4500000001"));
    assert_eq!((&*events[1].lines[0].reason.source_code, events[1].lines[0].qty), ("3", Some((-1).into())));
}

#[test]
fn without_a_number_of_its_own_a_movement_is_known_by_the_idoc() {
    let events = events(MBGMCR, &RECEIPT.replace(" REF_DOC_NO=GR-5", "").replace("MOVE_TYPE=101", "MOVE_TYPE=551"));

    assert_eq!(events[0].reference(RefKind::Adjustment), "0000000000000043");
}

//! SHPCON, WHSCON, DESADV.

use docksync_proto::event::{Action, EventType, LineStatus, PartyRole, RefKind};

use super::fixtures::{
    DELIVERY, SHIPMENT, SHPCON, events, faults, file, good, idoc, outcome, outcome_with, types, warnings, xml,
};

const REQUEST: &str = "IDOCTYP=DELVRY07 MESTYP=DESADV DIRECT=1 SNDPRN=ERP CREDAT=20260714 CRETIM=100000";

#[test]
fn a_goods_issue_is_a_shipment_with_its_units_and_shorts() {
    let events = events(SHPCON, SHIPMENT);

    use EventType::{CartonPacked, ExceptionRaised, ShipmentConfirmed, ShipmentManifested};
    assert_eq!(types(&events), [CartonPacked, CartonPacked, ShipmentManifested, ShipmentConfirmed, ExceptionRaised]);
    for event in &events {
        assert_eq!((&*event.correlation_id, &*event.source.format), ("0080001234", "idoc-shpcon"));
        assert_eq!(event.time.rfc3339(), "2026-07-14T15:30:00-05:00");
    }
    let numbers = [RefKind::DepositorOrder, RefKind::Shipment, RefKind::Bol, RefKind::So, RefKind::Po];
    assert_eq!(numbers.map(|kind| events[3].reference(kind)), ["0080001234", "SH-9", "BL-5", "0000012345", "PO-9"]);
}

#[test]
fn the_envelope_comes_from_the_control_record() {
    let known = &events(SHPCON, SHIPMENT)[3].interchange;

    let found = [&*known.sender, &known.receiver, &known.control, &known.version, &known.usage];
    assert_eq!(found, ["LS:WMS", "ERP", "0000000000000042", "DELVRY07", "P"]);
    assert_eq!(events(&format!("{SHPCON} TEST=X"), SHIPMENT)[3].interchange.usage, "T");
}

#[test]
fn lines_of_a_shipment_are_read() {
    let events = events(SHPCON, SHIPMENT);

    let [first, second] = events[3].lines.as_slice() else { panic!("two lines") };
    let item = &first.item;
    assert_eq!([&*item.sku, &item.gtin, &item.description], ["10004741", "04006381333931", "Pencils"]);
    assert_eq!([&*first.line_no, &first.source_line_no, &first.lot, &first.uom], ["000010", "000010", "000077", "EA"]);
    assert_eq!(
        (first.qty_shipped, first.qty_ordered, first.qty_difference),
        (Some(18.into()), Some(20.into()), Some(2.into()))
    );
    assert_eq!(
        (first.serials.as_slice(), first.expiry_date.unwrap().to_string()),
        (&["S1".to_owned()][..], "2027-12-31".to_owned())
    );
    assert_eq!((&*first.location_from, first.net_weight.as_ref().unwrap().unit.as_str()), ("0001", "KG"));
    assert_eq!((&*second.item.sku, &*second.uom, second.expiry_date), ("A-2", "CA", None));
    assert_eq!(events[3].extensions["idoc:E1EDL24.MATNR[1]"], "000000000010004741");
    assert_eq!(events[3].extensions["idoc:E1EDL20.BTGEW"], "10.5");
    assert!(!events[3].extensions.contains_key("idoc:E1EDL24.LGMNG[1]"));
    assert_eq!(events[4].lines[0].qty, Some(2.into()));
}

#[test]
fn handling_units_stand_in_each_other() {
    let events = events(SHPCON, SHIPMENT);

    let (outer, inner) = (&events[0].containers[0], &events[1].containers[0]);
    assert_eq!(
        (&*outer.sscc, &*outer.contents[0].sku, outer.contents[0].qty),
        ("354000000000000011", "10004741", Some(18.into()))
    );
    assert_eq!((&*inner.container_id, &*inner.parent_id), ("0000000000000PAL0002", "354000000000000011"));
    assert_eq!(events[3].lines[1].container_ref, "0000000000000PAL0002");
    assert!(events[3].containers.iter().all(|container| container.contents.is_empty()));
}

#[test]
fn a_pick_without_goods_issue_is_a_pick() {
    let body = SHIPMENT.replace("  E1EDL18 QUALF=PGI\n", "").replace("QUALF=006", "QUALF=010");

    let events = events(SHPCON, &body);

    let pick = events.last().unwrap();
    assert_eq!((pick.event_type, pick.lines[0].qty), (EventType::PickConfirmed, Some(18.into())));
    assert_eq!(pick.time.rfc3339(), "2026-07-14T15:30:00-05:00");
}

#[test]
fn an_actual_goods_issue_is_one_without_its_qualifier_too() {
    let body = SHIPMENT.replace("  E1EDL18 QUALF=PGI\n", "").replace("  E1EDL18 QUALF=PIC\n", "");

    assert!(types(&events(SHPCON, &body)).contains(&EventType::ShipmentConfirmed));
    let planned = body.replace("ISDD=20260714", "ISDD=00000000");
    assert_eq!(faults(SHPCON, &planned), [("INVALID_CODE".to_owned(), "E1EDL18/QUALF".to_owned())]);
}

#[test]
fn a_planned_time_is_taken_with_a_doubt() {
    let events = events(SHPCON, &SHIPMENT.replace("ISDD=20260714", "ISDD=00000000"));

    let shipment = &events[3];
    assert_eq!(
        (shipment.time.rfc3339().as_str(), warnings(shipment)),
        ("2026-07-13T12:00:00-05:00", vec!["PLANNED_TIME"])
    );
}

#[test]
fn the_zone_of_the_document_goes_before_that_of_the_site() {
    let zoned = |zone: &str| events(SHPCON, &SHIPMENT.replace("ISDD=", &format!("TZONE_BEG={zone} ISDD=")))[3].clone();

    assert_eq!(zoned("CET").time.rfc3339(), "2026-07-14T15:30:00+02:00");
    assert_eq!(
        (zoned("NOWHR").time.rfc3339().as_str(), warnings(&zoned("NOWHR"))),
        ("2026-07-14T15:30:00-05:00", vec!["UNKNOWN_ZONE"])
    );
}

#[test]
fn a_delivery_of_the_erp_is_asked_for_by_its_type() {
    let of = |lfart: &str| events(REQUEST, &DELIVERY.replace("LFART=LF", &format!("LFART={lfart}")))[0].clone();

    let order = of("LF");
    assert_eq!((order.event_type, order.lines[0].qty_ordered), (EventType::OrderSubmitted, Some(18.into())));
    assert_eq!((order.time.rfc3339().as_str(), &*order.correlation_id), ("2026-07-14T10:00:00-05:00", "0080001234"));
    let expected = of("EL");
    assert_eq!((expected.event_type, expected.reference(RefKind::Po)), (EventType::ReceiptExpected, "0000012345"));
    assert_eq!((expected.reference(RefKind::Desadv), expected.lines[0].qty), ("0080001234", Some(18.into())));
    let returned = of("LR");
    assert_eq!((returned.event_type, returned.reference(RefKind::Rma)), (EventType::ReceiptExpected, "0000012345"));
    assert_eq!(of("NL").event_type, EventType::OrderSubmitted);
}

#[test]
fn a_delivery_to_the_erp_confirms_by_its_type() {
    let of = |lfart: &str| {
        let body = DELIVERY.replace("LFART=LF", &format!("LFART={lfart}")).replace("NTANF=", "ISDD=");
        events("IDOCTYP=DELVRY03 MESTYP=DESADV DIRECT=2", &body).pop().unwrap()
    };

    assert_eq!(of("LF").event_type, EventType::ShipmentConfirmed);
    let transfer = of("NL");
    assert_eq!(
        (transfer.event_type, transfer.reference(RefKind::Transfer)),
        (EventType::TransferShipped, "0000012345")
    );
    assert_eq!((of("EL").event_type, of("EL").lines[0].qty_received), (EventType::ReceiptConfirmed, Some(18.into())));
    assert_eq!((of("LR").event_type, of("LR").reference(RefKind::Rma)), (EventType::ReturnReceived, "0000012345"));
}

#[test]
fn a_change_and_a_withdrawal_are_declared() {
    let of = |qualifier: &str| events(REQUEST, &DELIVERY.replace("QUALF=ORI", &format!("QUALF={qualifier}")))[0].action;

    assert_eq!([of("ORI"), of("CHA"), of("DEL")], [Action::Add, Action::Change, Action::Void]);
}

#[test]
fn a_stock_confirmation_is_a_receipt() {
    let body = DELIVERY.replace("  E1EDL21 LFART=LF\n", "").replace("NTANF=", "ISDD=");

    let events = events("IDOCTYP=DELVRY01 MESTYP=WHSCON", &body);

    let receipt = &events[0];
    assert_eq!((receipt.event_type, receipt.lines[0].qty_received), (EventType::ReceiptConfirmed, Some(18.into())));
    assert_eq!((receipt.time.rfc3339().as_str(), &*receipt.lines[0].location_from), ("2026-07-15T00:00:00-05:00", ""));
}

#[test]
fn the_option_overrides_the_direction() {
    let read = |direction: &str| {
        let option = format!("direction = \"{direction}\"");
        types(&good(outcome_with(&option, "", &xml(REQUEST, DELIVERY))))
    };

    assert_eq!(read("out"), [EventType::ShipmentConfirmed]);
    assert_eq!(read("in"), [EventType::ReceiptExpected]);
}

#[test]
fn plants_are_sites() {
    let known = good(outcome_with("", "[sites]\nDC7 = \"EAST\"", &xml(REQUEST, DELIVERY)));
    let unknown = outcome_with("", "[sites]\nDC8 = \"EAST\"", &xml(REQUEST, DELIVERY));
    let by_point = good(outcome_with("", "[sites]\nNL0R = \"EAST\"", &xml(REQUEST, DELIVERY)));

    assert_eq!((known[0].site_id.as_str(), by_point[0].site_id.as_str()), ("EAST", "EAST"));
    assert_eq!((&*unknown.held[0].code, &*unknown.held[0].field), ("UNKNOWN_SITE", "E1EDL24/WERKS"));
    assert_eq!(known[0].party(PartyRole::Warehouse).unwrap().id, "NL0R");
}

#[test]
fn a_bad_idoc_is_held_and_its_neighbour_flows() {
    let bad = SHIPMENT.replace("LFIMG=5.000", "LFIMG=x");

    let outcome = outcome(&file(&[idoc(SHPCON, &bad), idoc(SHPCON, &SHIPMENT.replace("0080001234", "0080001235"))]));

    let held: Vec<_> = outcome.held.iter().map(|l| (&*l.code, &*l.field, &*l.found)).collect();
    assert_eq!(held, [("INVALID_QUANTITY", "E1EDL24/LFIMG", "x")]);
    assert_eq!(outcome.held[0].line_no, 72);
    assert!(outcome.events.iter().all(|event| event.correlation_id == "0080001235"));
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    let found = |body: &str| faults(SHPCON, body)[0].clone();

    assert_eq!(
        found(&SHIPMENT.replace(" MATNR=A-2", "")),
        ("MISSING_MANDATORY".to_owned(), "E1EDL24/MATNR".to_owned())
    );
    assert_eq!(
        found(&SHIPMENT.replace(" LFIMG=5.000", "")),
        ("MISSING_MANDATORY".to_owned(), "E1EDL24/LFIMG".to_owned())
    );
    assert_eq!(
        found(&SHIPMENT.replace("VRKME=KAR", "VRKME=FUR")),
        ("UNKNOWN_UOM".to_owned(), "E1EDL24/VRKME".to_owned())
    );
    assert_eq!(
        found(&SHIPMENT.replace("VFDAT=20271231", "VFDAT=20271331")),
        ("INVALID_DATE".to_owned(), "E1EDL24/VFDAT".to_owned())
    );
}

#[test]
fn numbers_may_end_with_their_sign_and_units_may_be_missing() {
    let body = SHIPMENT.replace("ORMNG=20.000", "ORMNG=20.000-").replace(" VRKME=KAR", "");

    let events = events(SHPCON, &body);
    let shipment = events.iter().find(|event| event.event_type == EventType::ShipmentConfirmed).unwrap();

    assert_eq!(shipment.lines[0].qty_ordered, Some((-20).into()));
    assert_eq!((&*shipment.lines[1].uom, warnings(shipment)), ("", vec!["UOM_MISSING"]));
}

#[test]
fn a_deleted_item_is_cancelled() {
    let body = SHIPMENT.replace("    E1EDL11 SERNR=S1", "    E1EDL19 QUALF=DEL");

    assert_eq!(events(SHPCON, &body)[3].lines[0].status_code, Some(LineStatus::Cancelled));
}

#[test]
fn other_message_types_are_held_with_their_name() {
    let outcome = outcome(&xml("IDOCTYP=MATMAS05 MESTYP=MATMAS", "E1MARAM MATNR=1"));

    assert_eq!((&*outcome.held[0].code, &*outcome.held[0].found), ("UNSUPPORTED_DOCUMENT", "MATMAS MATMAS05"));
    let empty = super::fixtures::outcome("<A><B>1</B></A>");
    assert_eq!(empty.survey.refusals[0].code, "UNSUPPORTED_DOCUMENT");
}

//! 943, 944, 945 and 856.

use docksync_proto::event::{Action, ContainerKind, EventType, LineStatus, PartyRole, Precision, RefKind};
use rust_decimal::Decimal;

use super::fixtures::{NOTICE, RECEIPT, SHIPPING, TRANSFER, changed, codes, document, good, held, only, plain, with};

fn of(n: i64) -> Option<Decimal> {
    Some(Decimal::from(n))
}

fn without<'s>(segments: &[&'s str], id: &str) -> Vec<&'s str> {
    segments.iter().filter(|segment| !segment.starts_with(id)).copied().collect()
}

#[test]
fn a_shipping_advice_gives_its_events_in_their_order() {
    let events = good(&document("945", SHIPPING));

    let types: Vec<EventType> = events.iter().map(|event| event.event_type).collect();
    assert_eq!(
        types,
        [
            EventType::CartonPacked,
            EventType::CartonPacked,
            EventType::ShipmentManifested,
            EventType::ShipmentConfirmed,
            EventType::ExceptionRaised
        ]
    );
    assert!(events.iter().all(|event| event.correlation_id == "ORD-7701"));
    assert!(events.iter().all(|event| event.time.rfc3339() == "2026-07-15T13:30:00+00:00"));
    assert!(events.iter().all(|event| event.source.format == "x12-945" && event.source.line_no == 3));
}

#[test]
fn a_shipment_says_what_left_for_whom() {
    let events = good(&document("945", SHIPPING));

    let shipment = only(&events, EventType::ShipmentConfirmed);
    for (kind, value) in [
        (RefKind::DepositorOrder, "ORD-7701"),
        (RefKind::Shipment, "SHP-9"),
        (RefKind::Po, "PO-55"),
        (RefKind::Bol, "BOL-31"),
        (RefKind::Seal, "SEAL-8"),
    ] {
        assert_eq!(shipment.reference(kind), value);
    }
    assert_eq!(shipment.time.precision, Precision::Minute);
    let to = shipment.party(PartyRole::ShipTo).unwrap();
    assert_eq!((&*to.id, &*to.id_scheme, &*to.name), ("0012", "92", "CORNER SHOP 12"));
    assert_eq!(to.address, "1 HARBOR ROAD, DULUTH, MN, 55802, US");
    let carrier = shipment.party(PartyRole::Carrier).unwrap();
    assert_eq!((&*carrier.id, &*carrier.id_scheme), ("RDWY", "SCAC"));
    assert_eq!(shipment.extensions["x12:W2703"], "ROADWAY");
    assert_eq!(shipment.extensions["x12:W0605"], "AG1");
    assert_eq!(shipment.extensions["x12:W0601"], "F");
    assert_eq!(shipment.extensions["x12:N9*PJ[2]"], "X7");
    assert_eq!(codes(shipment), ["DATE_MISMATCH"]);
}

#[test]
fn lines_of_a_shipment_have_quantities_items_and_containers() {
    let events = good(&document("945", SHIPPING));

    let shipment = only(&events, EventType::ShipmentConfirmed);
    let [first, second] = shipment.lines.as_slice() else { panic!("two lines") };
    assert_eq!((&*first.line_no, &*first.source_line_no, &*first.lot), ("1", "10", "LOT-A"));
    assert_eq!((first.qty_ordered, first.qty_shipped, first.qty_difference), (of(24), of(24), of(0)));
    assert_eq!((&*first.item.sku, &*first.item.gtin), ("SKU-1", "10614141000415"));
    assert_eq!((&*first.item.upc_case, &*first.item.description), ("000000614141", "TRAIL MIX"));
    assert_eq!(first.status_code, Some(LineStatus::Complete));
    assert_eq!(first.container_ref, "00106141412345678908");
    assert_eq!((second.qty_shipped, second.qty_difference), (of(55), of(5)));
    assert_eq!((&*second.lot, &*second.uom), ("LOT-B", "EA"));
    let weight = second.gross_weight.as_ref().unwrap();
    assert_eq!((weight.value.to_string(), &*weight.unit), ("110.5".to_owned(), "LB"));
    assert_eq!(second.status_code, Some(LineStatus::ShortBackordered));
}

#[test]
fn cartons_hold_what_their_group_or_their_plate_says() {
    let events = good(&document("945", SHIPPING));

    let cartons: Vec<_> = events.iter().filter(|event| event.event_type == EventType::CartonPacked).collect();
    let first = &cartons[0].containers[0];
    assert_eq!((&*first.sscc, &*first.tracking_no), ("106141412345678908", "1Z999AA10123456784"));
    assert_eq!((first.kind, &*first.carrier_scac), (Some(ContainerKind::Carton), "RDWY"));
    assert_eq!((&*first.contents[0].sku, first.contents[0].qty), ("SKU-1", of(24)));
    let second = &cartons[1].containers[0];
    assert_eq!((&*second.sscc, second.contents[0].qty), ("106141412345678915", of(55)));
    assert_eq!(cartons[1].reference(RefKind::Shipment), "SHP-9");
}

#[test]
fn a_short_line_raises_an_exception() {
    let events = good(&document("945", SHIPPING));

    let exception = only(&events, EventType::ExceptionRaised);
    assert_eq!(exception.reference(RefKind::ExceptionCode), "SHORT_SHIP");
    assert_eq!(exception.extensions["severity"], "warning");
    assert_eq!((&*exception.lines[0].item.sku, exception.lines[0].qty), ("SKU-2", of(5)));
}

#[test]
fn a_plate_named_by_two_lines_is_one_pallet() {
    let segments = changed(SHIPPING, "MAN*GM*00106141412345678908**CP*1Z999AA10123456784", "PAL*4");
    let mut segments = changed(&segments, "N9*LT*LOT-A", "N9*LV*00106141412345678915*24");
    segments.push("N9*ZZ*X");

    let events = good(&document("945", &segments));

    let carton = only(&events, EventType::CartonPacked);
    let contents: Vec<_> = carton.containers[0].contents.iter().map(|content| (&*content.sku, content.qty)).collect();
    assert_eq!(contents, [("SKU-1", of(24)), ("SKU-2", of(55))]);
}

#[test]
fn containers_that_share_a_line_do_not_claim_all_of_it() {
    let two = "MAN*GM*00106141412345678908**GM*00106141412345678922";
    let segments = changed(SHIPPING, "MAN*GM*00106141412345678908**CP*1Z999AA10123456784", two);

    let events = good(&document("945", &segments));

    let cartons: Vec<_> = events.iter().filter(|event| event.event_type == EventType::CartonPacked).collect();
    assert_eq!(cartons.len(), 3);
    assert_eq!((cartons[0].containers[0].contents[0].qty, cartons[1].containers[0].contents[0].qty), (None, None));
    assert!(codes(only(&events, EventType::ShipmentConfirmed)).contains(&"SHARED_CONTENTS"));
}

#[test]
fn a_difference_follows_from_the_quantities() {
    for stated in ["", "5", "-5"] {
        let line = format!("W12*CP*60*55*{stated}*EA**VN*SKU-2");
        let segments = changed(SHIPPING, "W12*BP*60*55*5*EA**VN*SKU-2*LOT-B*110.5*G*L", &line);

        let events = good(&document("945", &segments));

        let shipment = only(&events, EventType::ShipmentConfirmed);
        assert_eq!(shipment.lines[1].qty_difference, of(5), "{stated}");
        assert_eq!(only(&events, EventType::ExceptionRaised).extensions["severity"], "error");
    }
}

#[test]
fn quantities_count_where_the_status_says_otherwise() {
    for (line, expected) in [
        ("W12*CC*60*55**EA**VN*SKU-2", LineStatus::ShortNoBackorder),
        ("W12*CC*60*0**EA**VN*SKU-2", LineStatus::Cancelled),
        ("W12*BP*60*60**EA**VN*SKU-2", LineStatus::Complete),
    ] {
        let segments = changed(SHIPPING, "W12*BP*60*55*5*EA**VN*SKU-2*LOT-B*110.5*G*L", line);

        let events = good(&document("945", &segments));

        let shipment = only(&events, EventType::ShipmentConfirmed);
        assert_eq!(shipment.lines[1].status_code, Some(expected), "{line}");
        assert!(codes(shipment).contains(&"STATUS_MISMATCH"), "{line}");
    }
}

#[test]
fn a_line_without_a_shipped_quantity_is_held() {
    let segments = changed(SHIPPING, "W12*BP*60*55*5*EA**VN*SKU-2*LOT-B*110.5*G*L", "W12*BP*60**5*EA**VN*SKU-2");

    assert_eq!(held(&plain(&document("945", &segments))), [("MISSING_MANDATORY", "W1203")]);
}

#[test]
fn elements_that_have_moved_hold_the_line_unless_the_feed_knows() {
    for (line, field) in [("W12*BP*60*55*EA**VN*SKU-2*LOT-B", "W1204"), ("W12*BP*60*55*5*EA*VN*SKU-2*LOT-B", "W1206")] {
        let segments = changed(SHIPPING, "W12*BP*60*55*5*EA**VN*SKU-2*LOT-B*110.5*G*L", line);
        let text = document("945", &segments);

        let strict = plain(&text);
        let known = with("w12_shift = true", "", &text);

        assert_eq!(held(&strict), [("ELEMENT_SHIFT", field)]);
        let shipment = only(&known.events, EventType::ShipmentConfirmed);
        let line = &shipment.lines[1];
        assert_eq!((&*line.item.sku, &*line.uom, &*line.lot), ("SKU-2", "EA", "LOT-B"), "{field}");
        assert_eq!(line.qty_shipped, of(55));
    }
}

#[test]
fn an_advice_of_freight_alone_is_no_shipment_of_nothing() {
    let mut segments: Vec<&str> = SHIPPING[..9].to_vec();
    segments.push("W03*79*310*LB");

    let events = good(&document("945", &segments));

    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event_type, EventType::ShipmentManifested);
    assert_eq!(events[0].reference(RefKind::Bol), "BOL-31");
}

#[test]
fn a_shipment_needs_an_order_and_a_day() {
    let nameless = changed(SHIPPING, "W06*F*ORD-7701*20260714*SHP-9*AG1*PO-55", "W06*F**20260714*SHP-9");
    let dayless = without(&changed(SHIPPING, "W06*F*ORD-7701*20260714*SHP-9*AG1*PO-55", "W06*F*ORD-1"), "G62");
    let literal = changed(SHIPPING, "W06*F*ORD-7701*20260714*SHP-9*AG1*PO-55", "W06*F*ORD-1*CCYYMMDD");

    assert_eq!(held(&plain(&document("945", &nameless))), [("MISSING_MANDATORY", "W0602")]);
    assert_eq!(held(&plain(&document("945", &dayless))), [("MISSING_MANDATORY", "W0603")]);
    assert_eq!(held(&plain(&document("945", &literal))), [("INVALID_DATE", "W0603")]);
}

#[test]
fn the_order_of_a_customer_names_a_shipment_without_one() {
    let mut segments = changed(SHIPPING, "W06*F*ORD-7701*20260714*SHP-9*AG1*PO-55", "W06*F**20260714*SHP-9");
    segments.insert(1, "N9*CO*C-9");

    assert_eq!(only(&good(&document("945", &segments)), EventType::ShipmentConfirmed).correlation_id, "C-9");
}

#[test]
fn a_withdrawn_shipment_is_voided() {
    let first = "W06*F*ORD-7701*20260714*SHP-9*AG1*PO-55";
    let segments = changed(SHIPPING, first, "W06*F*ORD-7701*20260714*SHP-9********3");

    let events = good(&document("945", &segments));

    assert_eq!(events.len(), 1);
    assert_eq!((events[0].event_type, events[0].action), (EventType::ShipmentVoided, Action::Void));
}

#[test]
fn a_long_carrier_code_is_a_name() {
    let events = good(&document("945", &changed(SHIPPING, "W27*M*RDWY*ROADWAY", "W27*M*ROADWAY EXPRESS")));

    let shipment = only(&events, EventType::ShipmentConfirmed);
    let carrier = shipment.party(PartyRole::Carrier).unwrap();
    assert_eq!((&*carrier.id, &*carrier.name), ("", "ROADWAY EXPRESS"));
    assert!(codes(shipment).contains(&"CARRIER_CODE"));
}

#[test]
fn a_total_that_does_not_fit_is_told() {
    let events = good(&document("945", &changed(SHIPPING, "W03*79*310*LB", "W03*80*310*LB")));

    assert!(codes(only(&events, EventType::ShipmentConfirmed)).contains(&"TOTAL_MISMATCH"));
}

#[test]
fn an_order_of_item_numbers_of_the_feed_goes_first() {
    let outcome = with("sku = [\"UK\", \"UPC\"]", "", &document("945", &SHIPPING[..14]));

    assert_eq!(only(&outcome.events, EventType::ShipmentConfirmed).lines[0].item.sku, "10614141000415");
    assert_eq!(held(&with("sku = [\"BP\"]", "", &document("945", &SHIPPING[..14]))), [("MISSING_MANDATORY", "W1207")]);
}

#[test]
fn the_sites_of_a_feed_are_found_by_the_warehouse() {
    let tables = "[sites]\nN01 = \"DC9\"\n";
    let known = with("", tables, &document("945", SHIPPING));
    let unknown = with("", "[sites]\nX99 = \"DC9\"\n", &document("945", SHIPPING));

    assert!(known.events.iter().all(|event| event.site_id.as_str() == "DC9"));
    assert_eq!(held(&unknown), [("UNKNOWN_SITE", "N104")]);
    assert_eq!(unknown.held[0].line_no, 5);
}

#[test]
fn a_transfer_goes_out_where_nothing_else_is_known() {
    let events = good(&document("943", TRANSFER));

    let transfer = only(&events, EventType::TransferShipped);
    assert_eq!((&*transfer.correlation_id, transfer.reference(RefKind::Shipment)), ("TRF-5", "SHP-5"));
    let line = &transfer.lines[0];
    assert_eq!((line.qty_shipped, line.qty, &*line.lot, &*line.uom), (of(40), None, "LOT-A", "CA"));
    assert_eq!(line.container_ref, "00106141412345678908");
    assert_eq!(transfer.containers[0].contents[0].qty, of(40));
    assert_eq!(codes(transfer), [""; 0]);
}

#[test]
fn the_direction_of_a_transfer_follows_from_the_feed_or_from_its_sites() {
    let text = document("943", TRANSFER);
    let to = with("", "[sites]\nN01 = \"DC9\"\n", &text);
    let from = with("", "[sites]\nS01 = \"DC5\"\n", &text);
    let said = with("direction = \"in\"", "", &text);

    let expected = only(&to.events, EventType::ReceiptExpected);
    assert_eq!((expected.site_id.as_str(), expected.reference(RefKind::Desadv)), ("DC9", "SHP-5"));
    assert_eq!((expected.lines[0].qty, expected.lines[0].qty_shipped), (of(40), of(40)));
    assert_eq!(only(&from.events, EventType::TransferShipped).site_id.as_str(), "DC5");
    only(&said.events, EventType::ReceiptExpected);
}

#[test]
fn a_receipt_says_what_arrived_and_in_which_condition() {
    let events = good(&document("944", RECEIPT));

    let receipt = only(&events, EventType::ReceiptConfirmed);
    assert_eq!(receipt.time.rfc3339(), "2026-07-14T09:30:00-05:00");
    assert_eq!((&*receipt.correlation_id, receipt.reference(RefKind::Receipt)), ("TRF-5", "RCP-1"));
    assert_eq!((receipt.reference(RefKind::Trailer), receipt.reference(RefKind::Seal)), ("TRL-4", "SEAL-4"));
    let [first, second] = receipt.lines.as_slice() else { panic!("two lines") };
    assert_eq!((&*first.lot, &*first.production_code, first.qty_received), ("LOT-A", "PROD-3", of(40)));
    assert_eq!((first.qty_damaged, second.qty_difference), (of(4), of(2)));
    assert_eq!((&*second.lot, first.net_weight.as_ref().unwrap().unit.as_str()), ("LOT-B", "KG"));
    assert_eq!(codes(receipt), [""; 0]);
    assert!(!receipt.extensions.keys().any(|key| key.starts_with("x12:W07")), "{:?}", receipt.extensions);
}

#[test]
fn conditions_of_a_receipt_raise_exceptions() {
    let events = good(&document("944", RECEIPT));

    let raised: Vec<_> = events.iter().filter(|event| event.event_type == EventType::ExceptionRaised).collect();
    let told: Vec<_> =
        raised.iter().map(|event| (event.reference(RefKind::ExceptionCode), event.lines[0].qty)).collect();
    assert_eq!(told, [("RECEIPT_DAMAGED", of(4)), ("RECEIPT_SHORT", of(2))]);
    assert_eq!((&*raised[0].lines[0].reason.source_code, &*raised[0].lines[0].reason.text), ("01", "CC"));
    assert_eq!(raised[0].reference(RefKind::Receipt), "RCP-1");
}

#[test]
fn damaged_goods_are_part_of_what_was_received_unless_the_feed_counts_them_apart() {
    let apart = with("w07_excludes_damaged = true", "", &document("944", RECEIPT));

    assert_eq!(only(&apart.events, EventType::ReceiptConfirmed).lines[0].qty_received, of(44));
}

#[test]
fn the_kind_of_a_receipt_follows_from_its_reporting_code() {
    let first = "W17*F*20260714*RCP-1*TRF-5*SHP-5*8*0930";
    let back = good(&document("944", &changed(RECEIPT, first, "W17*C*20260714*RCP-1*ORD-1")));
    let correction = good(&document("944", &changed(RECEIPT, first, "W17*A*20260714*RCP-1")));

    only(&back, EventType::ReturnReceived);
    let adjusted = only(&correction, EventType::InventoryAdjusted);
    assert_eq!((adjusted.lines[0].qty, adjusted.lines[0].qty_received), (of(40), None));
    assert_eq!(
        (&*adjusted.lines[0].reason.code, adjusted.reference(RefKind::Adjustment)),
        ("receipt_correction", "RCP-1")
    );
}

#[test]
fn a_receipt_needs_a_number_a_day_and_lines() {
    for (first, expected) in [
        ("W17*F*20260714**TRF-5", ("MISSING_MANDATORY", "W1703")),
        ("W17*F**RCP-1*TRF-5", ("MISSING_MANDATORY", "W1702")),
        ("W17*F*20260732*RCP-1*TRF-5", ("INVALID_DATE", "W1702")),
    ] {
        let segments = changed(RECEIPT, "W17*F*20260714*RCP-1*TRF-5*SHP-5*8*0930", first);

        assert_eq!(held(&plain(&document("944", &segments))), [expected], "{first}");
    }
    assert_eq!(held(&plain(&document("944", &RECEIPT[..4]))), [("MISSING_MANDATORY", "W17")]);
}

#[test]
fn a_ship_notice_is_a_tree_whatever_the_order_of_its_levels() {
    let events = good(&document("856", NOTICE));

    let shipment = only(&events, EventType::ShipmentConfirmed);
    assert_eq!(shipment.time.rfc3339(), "2026-07-15T08:00:00-05:00");
    assert_eq!((&*shipment.correlation_id, shipment.reference(RefKind::Shipment)), ("PO-55", "SHP-9"));
    let [first, second] = shipment.lines.as_slice() else { panic!("two lines") };
    assert_eq!((&*first.source_line_no, &*first.lot, first.qty_shipped), ("10", "LOT-A", of(24)));
    assert_eq!(
        (first.qty_ordered, first.expiry_date.map(|day| day.to_string())),
        (of(30), Some("2027-01-01".to_owned()))
    );
    assert_eq!((&*second.item.sku, &*second.container_ref), ("SKU-2", "00106141412345678908"));
    assert_eq!(second.references[0].value, "PO-55");
    let [pallet, pack] = shipment.containers.as_slice() else { panic!("two containers") };
    assert_eq!((pallet.kind, pack.kind), (Some(ContainerKind::Pallet), Some(ContainerKind::Carton)));
    assert_eq!((&*pack.parent_id, &*pack.tracking_no), ("00106141412345678915", "1Z999AA10123456784"));
    assert_eq!(codes(shipment), [""; 0]);
}

#[test]
fn packs_of_a_ship_notice_are_packed_and_its_bill_is_a_manifest() {
    let events = good(&document("856", NOTICE));

    let packed = only(&events, EventType::CartonPacked);
    assert_eq!((&*packed.containers[0].sscc, packed.containers[0].contents.len()), ("106141412345678908", 2));
    let manifest = only(&events, EventType::ShipmentManifested);
    assert_eq!(
        (manifest.reference(RefKind::Bol), &*manifest.party(PartyRole::Carrier).unwrap().id),
        ("BOL-31", "RDWY")
    );
}

#[test]
fn a_ship_notice_to_a_site_of_the_feed_announces_a_receipt() {
    let text = document("856", NOTICE);
    let sites = with("", "[sites]\n\"0012\" = \"DC9\"\n", &text);
    let said = with("direction = \"in\"", "", &text);

    for outcome in [&sites, &said] {
        assert_eq!(outcome.events.len(), 1);
        assert_eq!(outcome.events[0].event_type, EventType::ReceiptExpected);
        assert_eq!(outcome.events[0].reference(RefKind::Desadv), "SHP-9");
        assert_eq!(outcome.events[0].lines[0].qty, of(24));
    }
    assert_eq!(sites.events[0].site_id.as_str(), "DC9");
}

#[test]
fn packs_below_an_item_hold_it() {
    let segments = [
        "BSN*00*SHP-9*20260714*1330*0002",
        "HL*1**S",
        "HL*2*1*O",
        "PRF*PO-1",
        "HL*3*2*I",
        "LIN**VN*SKU-1",
        "SN1**24*EA",
        "HL*4*3*P",
        "MAN*GM*00106141412345678908",
        "HL*5*1*O",
        "PRF*PO-2",
        "CTT*5",
    ];

    let events = good(&document("856", &segments));

    let shipment = only(&events, EventType::ShipmentConfirmed);
    assert_eq!(shipment.correlation_id, "SHP-9");
    assert_eq!(shipment.containers[0].contents[0].qty, of(24));
    assert_eq!(shipment.lines[0].container_ref, "00106141412345678908");
}

#[test]
fn a_ship_notice_whose_levels_do_not_hang_together_is_held() {
    let orphan = changed(NOTICE, "HL*5*4*I", "HL*5*44*I");
    let twice = changed(NOTICE, "HL*5*4*I", "HL*4*4*I");

    assert_eq!(held(&plain(&document("856", &orphan))), [("SCHEMA_VIOLATION", "HL02")]);
    assert_eq!(held(&plain(&document("856", &twice)))[0], ("SCHEMA_VIOLATION", "HL01"));
}

#[test]
fn levels_in_a_circle_end() {
    let segments = ["BSN*00*S*20260714*1330", "HL*1*2*P", "HL*2*1*P", "HL*3*2*I", "LIN**VN*SKU-1", "SN1**1*EA"];

    assert_eq!(only(&good(&document("856", &segments)), EventType::ShipmentConfirmed).lines.len(), 1);
}

#[test]
fn a_cancelled_ship_notice_is_voided() {
    let events = good(&document("856", &changed(NOTICE, NOTICE[0], "BSN*01*SHP-9*20260714*1330*0001")));

    assert_eq!((events.len(), events[0].event_type, events[0].action), (1, EventType::ShipmentVoided, Action::Void));
}

#[test]
fn a_mark_behind_a_line_is_the_carton_of_that_line_alone() {
    let mut segments: Vec<&str> = SHIPPING[..9].to_vec();
    segments.extend([
        "LX*1",
        "W12*CC*24*24**EA**VN*SKU-1",
        "MAN*GM*00106141412345678908",
        "W12*CC*5*5**EA**VN*SKU-2",
        "MAN*GM*00106141412345678915",
        "N9*2I*1Z999AA10123456784",
    ]);

    let events = good(&document("945", &segments));

    let cartons: Vec<_> = events.iter().filter(|event| event.event_type == EventType::CartonPacked).collect();
    let told: Vec<_> = cartons
        .iter()
        .map(|event| &event.containers[0])
        .map(|carton| (&*carton.sscc, carton.contents.len(), carton.contents[0].qty))
        .collect();
    assert_eq!(told, [("106141412345678908", 1, of(24)), ("106141412345678915", 1, of(5))]);
    let shipment = only(&events, EventType::ShipmentConfirmed);
    assert_eq!(shipment.lines[1].references[0].kind, RefKind::Tracking);
}

#[test]
fn a_plate_that_is_no_serial_container_code_is_a_container_all_the_same() {
    let segments: Vec<&str> =
        SHIPPING.iter().map(|s| if s.starts_with("N9*LV") { "N9*LV*LP-4711*55" } else { s }).collect();

    let events = good(&document("945", &segments));

    let shipment = only(&events, EventType::ShipmentConfirmed);
    assert_eq!((&*shipment.lines[1].container_ref, &*shipment.containers[1].sscc), ("LP-4711", ""));
    assert!(!codes(shipment).contains(&"SSCC_CHECK_DIGIT"));
}

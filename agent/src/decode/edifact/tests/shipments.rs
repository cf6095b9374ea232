//! DESADV.

use docksync_proto::event::{Action, ContainerKind, EventType, LineStatus, PartyRole, RefKind};

use super::fixtures::{DESADV, events, faults, good, interchange, outcome_with, types, warnings};

const KIND: &str = "DESADV:D:96A:UN:EAN007";

#[test]
fn a_despatch_gives_cartons_a_manifest_the_shipment_and_its_shorts() {
    let events = events(KIND, DESADV);

    use EventType::{CartonPacked, ExceptionRaised, ShipmentConfirmed, ShipmentManifested};
    assert_eq!(types(&events), [CartonPacked, CartonPacked, ShipmentManifested, ShipmentConfirmed, ExceptionRaised]);
    for event in &events {
        assert_eq!(event.correlation_id, "PO-9");
        assert_eq!(event.time.rfc3339(), "2026-07-14T15:30:00-05:00");
        assert_eq!((event.reference(RefKind::Shipment), event.reference(RefKind::Desadv)), ("DA-77", "DA-77"));
        assert_eq!((event.reference(RefKind::Po), event.reference(RefKind::Bol)), ("PO-9", "BL-5"));
    }
}

#[test]
fn the_header_is_read() {
    let events = events(KIND, DESADV);
    let shipment = &events[3];

    let to = shipment.party(PartyRole::ShipTo).unwrap();
    assert_eq!([&*to.id, &to.id_scheme, &to.name], ["5400000000034", "GLN", "Shop 12"]);
    assert_eq!(to.address, "Main street 1, Springfield, 62701, US");
    let carrier = shipment.party(PartyRole::Carrier).unwrap();
    assert_eq!([&*carrier.id, &carrier.name], ["RYDD", "Ryder"]);
    assert_eq!(shipment.party(PartyRole::ShipFrom).unwrap().id, "DC7");
    let po = shipment.references.iter().find(|r| r.kind == RefKind::Po).unwrap();
    assert_eq!(po.date.unwrap().to_string(), "2026-07-01");
    assert_eq!(shipment.extensions["edifact:NAD+DP/RFF+VA"], "123");
    assert_eq!(shipment.extensions["edifact:DTM+137"], "20260714:102");
    assert_eq!(shipment.extensions["edifact:FTX+ZZZ[1]"], "two are missing");
    assert_eq!(shipment.extensions["edifact:QVR[1]"], "-2+BP");
    assert!(shipment.warnings.is_empty(), "{:?}", shipment.warnings);
}

#[test]
fn lines_are_read() {
    let events = events(KIND, DESADV);
    let [first, second] = events[3].lines.as_slice() else { panic!("two lines") };

    assert_eq!([&*first.line_no, &first.source_line_no, &first.lot, &first.uom], ["1", "10", "L77", "EA"]);
    let item = &first.item;
    assert_eq!(
        [&*item.sku, &item.gtin, &item.vendor_item, &item.buyer_item],
        ["SKU-1", "04006381333931", "SKU-1", "B-1"]
    );
    assert_eq!(item.description, "Pencils red");
    assert_eq!(
        (first.qty_shipped, first.qty_ordered, first.qty_difference),
        (Some(18.into()), Some(20.into()), Some(2.into()))
    );
    assert_eq!((first.status_code, &*first.status_source), (Some(LineStatus::ShortBackordered), "BP"));
    assert_eq!(first.expiry_date.unwrap().to_string(), "2027-12-31");
    assert_eq!(first.container_ref, "354000000000000028");
    assert_eq!(
        (second.serials.as_slice(), &*second.container_ref),
        (&["S1".to_owned(), "S2".to_owned()][..], "354000000000000035")
    );
}

#[test]
fn packages_stand_in_each_other() {
    let events = events(KIND, DESADV);

    let [pallet, carton, _] = events[3].containers.as_slice() else { panic!("three containers") };
    assert_eq!(
        (&*pallet.sscc, pallet.kind, &*pallet.parent_id),
        ("354000000000000011", Some(ContainerKind::Pallet), "")
    );
    assert_eq!(
        (pallet.weight.as_ref().unwrap().value.to_string(), &*pallet.dims),
        ("263.2".to_owned(), "1200x800 MMT")
    );
    assert_eq!((carton.kind, &*carton.parent_id), (Some(ContainerKind::Carton), "354000000000000011"));
    let packed = &events[0].containers[0];
    assert_eq!(
        (&*packed.sscc, &*packed.contents[0].sku, packed.contents[0].qty),
        ("354000000000000028", "SKU-1", Some(18.into()))
    );
    assert_eq!(packed.contents[0].lot, "L77");
}

#[test]
fn a_short_is_an_exception_of_its_line() {
    let events = events(KIND, DESADV);

    let short = &events[4];
    assert_eq!(short.reference(RefKind::ExceptionCode), "SHORT_SHIP");
    assert_eq!((short.lines[0].qty, &*short.lines[0].item.sku), (Some(2.into()), "SKU-1"));
    assert_eq!((short.source.line_no, &*short.extensions["severity"]), (25, "warning"));
}

#[test]
fn a_range_of_sscc_is_written_out() {
    let body = DESADV.replace("GIN+BJ+354000000000000035'", "GIN+BJ+354000000000000035:354000000000000059'");

    let events = events(KIND, &body);
    let shipment = events.iter().find(|e| e.event_type == EventType::ShipmentConfirmed).unwrap();

    let numbers: Vec<&str> = shipment.containers.iter().skip(2).map(|c| &*c.sscc).collect();
    assert_eq!(numbers, ["354000000000000035", "354000000000000042", "354000000000000059"]);
    assert_eq!((&*shipment.lines[1].container_ref, warnings(shipment)), ("", vec!["CONTAINER_AMBIGUOUS"]));
}

#[test]
fn a_line_without_its_own_package_lies_in_the_one_around_it() {
    let body =
        DESADV.replace("GIN+BJ+354000000000000035'\n", "").replace("CPS+4+2'\nPAC+1++CT'\nPCI+33E'\n", "CPS+4+2'\n");

    let events = events(KIND, &body);

    assert_eq!(events[2].lines.len(), 0);
    assert_eq!(
        events.iter().find(|e| e.event_type == EventType::ShipmentConfirmed).unwrap().lines[1].container_ref,
        "354000000000000011"
    );
}

fn with_sites(parse: &str, sites: &str) -> Vec<docksync_proto::event::Event> {
    good(outcome_with(parse, &format!("[sites]\n{sites}"), &interchange(&[(KIND, DESADV)])))
}

#[test]
fn the_sites_decide_about_the_direction() {
    let out = with_sites("", "DC7 = \"DC7\"");
    let to = with_sites("", "5400000000034 = \"SHOP12\"");
    let both = with_sites("", "DC7 = \"DC7\"\n5400000000034 = \"SHOP12\"");

    assert_eq!(out[3].event_type, EventType::ShipmentConfirmed);
    assert_eq!((types(&to), to[0].site_id.as_str()), (vec![EventType::ReceiptExpected], "SHOP12"));
    assert_eq!((both[3].event_type, both[3].site_id.as_str()), (EventType::TransferShipped, "DC7"));
    assert_eq!(both[3].reference(RefKind::Transfer), "PO-9");
}

#[test]
fn the_option_decides_before_the_sites() {
    let events = with_sites("direction = \"in\"", "DC7 = \"DC7\"\n5400000000034 = \"SHOP12\"");

    let [event] = events.as_slice() else { panic!("one event") };
    assert_eq!(
        (event.event_type, event.time.rfc3339().as_str()),
        (EventType::ReceiptExpected, "2026-07-14T00:00:00-05:00")
    );
    assert_eq!(event.containers[1].contents[0].sku, "SKU-1");
    assert_eq!((event.lines[0].qty, event.reference(RefKind::Desadv)), (Some(18.into()), "DA-77"));
}

#[test]
fn an_unknown_site_holds_the_message() {
    let outcome = outcome_with("direction = \"out\"", "[sites]\nDC8 = \"DC8\"", &interchange(&[(KIND, DESADV)]));

    let held = &outcome.held[0];
    assert_eq!(
        [&*held.code, &held.field, &held.found, &held.expected],
        ["UNKNOWN_SITE", "NAD/C082.3039", "DC7", "one of DC8"]
    );
}

#[test]
fn a_cancellation_voids_the_shipment_and_a_replacement_changes_it() {
    let void = events(KIND, &DESADV.replacen("DA-77+9", "DA-77+1", 1));
    let change = events(KIND, &DESADV.replacen("DA-77+9", "DA-77+5", 1));

    assert_eq!(types(&void), [EventType::ShipmentVoided]);
    assert_eq!(void[0].lines.len(), 2);
    assert!(change.iter().all(|event| event.action == Action::Change));
}

#[test]
fn what_is_needed_is_named_where_it_is_missing() {
    let number = DESADV.replacen("+DA-77+9", "++9", 1);
    let quantity = DESADV.replace("QTY+12:5:PCE'", "QTY+59:1:PCE'");
    let item = DESADV.replace("PIA+5+SKU-2:SA'", "IMD+F++:::x'");
    let unit = DESADV.replace("QTY+12:5:PCE", "QTY+12:5:FURLONG");

    let found = |body: &str| {
        faults(KIND, body).into_iter().map(|(at, code, field)| format!("{at} {code} {field}")).collect::<Vec<_>>()
    };

    assert_eq!(found(&number), ["3 MISSING_MANDATORY BGM/C106.1004"]);
    assert_eq!(found(&quantity), ["39 MISSING_MANDATORY QTY/C186.6063"]);
    assert_eq!(found(&item), ["39 MISSING_MANDATORY LIN/C212.7140"]);
    assert_eq!(found(&unit), ["41 UNKNOWN_UOM QTY/C186.6411"]);
}

#[test]
fn numbers_beyond_the_contract_are_refused_before_they_are_reckoned_with() {
    let body = DESADV
        .replace("QTY+12:18:PCE", "QTY+12:-79228162514264337593543950335:PCE")
        .replace("QTY+21:20:PCE", "QTY+21:79228162514264337593543950335:PCE");

    let codes: Vec<String> = faults(KIND, &body).into_iter().map(|(_, code, _)| code).collect();

    assert_eq!(codes, ["INVALID_QUANTITY", "INVALID_QUANTITY"]);
}

#[test]
fn the_feed_chooses_the_item_number() {
    let outcome = outcome_with("sku = [\"IN\", \"SRV\"]", "", &interchange(&[(KIND, DESADV)]));

    let lines = &outcome.events[3].lines;
    assert_eq!([&*lines[0].item.sku, &lines[1].item.sku], ["B-1", "SKU-2"]);
}

#[test]
fn partners_units_are_read_by_the_feeds_table() {
    let text = interchange(&[(KIND, &DESADV.replace("QTY+12:5:PCE", "QTY+12:5:STK"))]);

    let outcome = outcome_with("", "[[table]]\nname = \"uom\"\nrows = { STK = \"EA\" }", &text);

    assert_eq!(good(outcome)[3].lines[1].uom, "EA");
}

#[test]
fn partners_codes_of_a_lines_end_are_read_by_the_feeds_table() {
    let text = interchange(&[(KIND, &DESADV.replace("21+BP", "21+Q7"))]);

    let outcome = outcome_with("", "[[table]]\nname = \"status\"\nrows = { Q7 = \"cancelled\" }", &text);

    let lines = &good(outcome)[3].lines;
    assert_eq!((lines[0].status_code, &*lines[0].status_source), (Some(LineStatus::Cancelled), "Q7"));
}

#[test]
fn control_totals_are_compared() {
    let events = events(KIND, &DESADV.replace("CNT+2:2", "CNT+2:3"));

    assert_eq!(warnings(&events[3]), ["TOTAL_MISMATCH"]);
}

#[test]
fn freight_without_goods_is_a_manifest_alone() {
    let body = "BGM+351+DA-78+9'\nDTM+11:20260714:102'\nRFF+BM:BL-6'\nTDT+20++30+31+RYDD'";

    assert_eq!(types(&events(KIND, body)), [EventType::ShipmentManifested]);
    let nothing = faults(KIND, "BGM+351+DA-78+9'\nDTM+11:20260714:102'");
    assert_eq!(nothing[0].1, "MISSING_MANDATORY");
}

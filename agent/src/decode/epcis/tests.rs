use std::io::{Cursor, Read};

use docksync_proto::{
    event::{Action, Event, EventType, PartyRole, RefKind},
    identity,
};
use proptest::prelude::*;

use super::{
    super::{
        profile::DialectKind,
        samples::{self, Outcome},
    },
    EVENT_BYTES_MAX, EVENT_NODES_MAX, json,
};

const JSON: &str = include_str!("../../../../tests/golden/epcis/twin.json");
const XML: &str = include_str!("../../../../tests/golden/epcis/twin.xml");

fn read(text: &str) -> Outcome {
    samples::read(&samples::decoder(DialectKind::Epcis), text.as_bytes())
}

/// A document with these events.
fn document(events: &[String]) -> String {
    format!("{{\"type\":\"EPCISDocument\",\"epcisBody\":{{\"eventList\":[\n{}\n]}}}}", events.join(",\n"))
}

/// An observed event; `more` are further fields.
fn observed(step: &str, more: &str) -> String {
    format!(
        "{{\"type\":\"ObjectEvent\",\"action\":\"OBSERVE\",\"eventTime\":\"2026-11-23T09:15:27-06:00\",\"eventTimeZoneOffset\":\
         \"-06:00\",\"bizStep\":\"{step}\"{}{more}}}",
        if more.is_empty() { "" } else { "," }
    )
}

const GOODS: &str = "\"quantityList\":[{\"epcClass\":\"urn:epc:class:lgtin:9521141.067890.L1\",\"quantity\":5}]";
const ORDER: &str = "\"bizTransactionList\":[{\"type\":\"po\",\"bizTransaction\":\"PO-1\"}]";

fn one(event: &str) -> Event {
    let mut found = read(&document(&[event.to_owned()]));
    assert_eq!(found.events.len(), 1, "{:?} {:?}", found.held, found.survey.refusals);
    found.events.remove(0)
}

fn fault(event: &str) -> (String, String, String) {
    let found = read(&document(&[event.to_owned()]));
    let [held] = found.held.as_slice() else { panic!("one fault, not {:?}", found.held) };
    (held.code.clone(), held.field.clone(), held.found.clone())
}

#[test]
fn samples_read_as_recorded() {
    samples::check("epcis", DialectKind::Epcis);
}

#[test]
fn a_document_gives_the_same_events_as_xml_and_as_json() {
    let (json, xml) = (read(JSON), read(XML));

    assert_eq!(json.events.len(), 5, "{:?} {:?}", json.held, json.survey.refusals);
    assert_eq!(xml.events.len(), 5, "{:?} {:?}", xml.held, xml.survey.refusals);
    for (one, other) in json.events.iter().zip(&xml.events) {
        let bare =
            |event: &Event| Event { source: Default::default(), interchange: Default::default(), ..event.clone() };
        assert_eq!(bare(one), bare(other));
        assert_eq!(identity::event_id(one), identity::event_id(other));
        assert_eq!(identity::digests(one).content, identity::digests(other).content);
    }
    assert_eq!(json.events[0].source.format, "epcis-json");
    assert_eq!(xml.events[0].source.format, "epcis-xml");
}

#[test]
fn a_packed_pallet_is_shipped_with_what_lies_in_it() {
    let found = read(JSON);

    let packed = &found.events[0];
    assert_eq!(packed.event_type, EventType::CartonPacked);
    assert_eq!(packed.time.rfc3339(), "2026-11-23T09:15:27.25-06:00");
    assert_eq!(packed.time.zone, "-06:00");
    assert_eq!(packed.containers[0].sscc, "095211410000000175");
    assert_eq!(packed.containers[0].contents.len(), 3);
    assert_eq!(packed.extensions["epcis:recordTime"], "2026-11-23T15:16:00Z");
    assert_eq!(packed.extensions["epcis:http://ns.dock.example/epcis#door"], "4");
    let shipped = &found.events[1];
    assert_eq!(shipped.event_type, EventType::ShipmentConfirmed);
    assert_eq!(shipped.correlation_id, "urn:epcglobal:cbv:bt:9521141000014:PO-77");
    assert_eq!(shipped.reference(RefKind::Shipment), "urn:epcglobal:cbv:bt:9521141000014:DA-78");
    let lines: Vec<String> = shipped
        .lines
        .iter()
        .map(|l| format!("{} {} {} {} {}", l.item.gtin, l.qty_shipped.unwrap(), l.uom, l.lot, l.serials.join("")))
        .collect();
    assert_eq!(lines, ["09521141123454 1 EA  1001", "09521141123454 1 EA  1002", "09521141678909 12.5 KG LOT-7 "]);
    assert_eq!(shipped.lines[0].container_ref, "095211410000000175");
    assert_eq!(shipped.lines[0].location_from, "DOCK4");
    assert_eq!(shipped.party(PartyRole::ShipTo).unwrap().id, "9521141000038");
    assert_eq!(shipped.party(PartyRole::Supplier).unwrap().id, "9521141000014");
    assert_eq!(shipped.extensions["epcis:destinationList/possessing_party"], "(414)9521141000021");
    assert_eq!(shipped.extensions["epcis:bizTransactionList/pedigree"], "urn:epcglobal:cbv:bt:9521141000014:PD-1");
}

#[test]
fn what_has_no_place_becomes_an_extension() {
    let event = &read(XML).events[2];

    let kept: Vec<String> = event.extensions.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        kept,
        [
            "epcis:action=ADD",
            "epcis:bizStep=commissioning",
            "epcis:disposition=active",
            "epcis:ilmd/http://ns.dock.example/epcis#oven/number=3",
            "epcis:ilmd/http://ns.dock.example/epcis#oven/shift=a | b",
            "epcis:persistentDisposition/set=completeness_verified",
            "epcis:sensorElementList/sensorMetadata/time=2026-11-23T09:24:00-06:00",
            "epcis:sensorElementList/sensorReport/type=Temperature",
            "epcis:sensorElementList/sensorReport/uom=CEL",
            "epcis:sensorElementList/sensorReport/value=4.5",
            "epcis:type=ObjectEvent",
        ]
    );
    assert_eq!(event.event_type, EventType::EpcisOther);
    assert_eq!(event.lines[1].lot, "LOT-9");
    assert_eq!(event.lines[1].expiry_date.unwrap().to_string(), "2027-11-30");
}

#[test]
fn the_business_step_decides_about_the_type() {
    use EventType as T;
    for (step, expected) in [
        ("picking", T::PickConfirmed),
        ("staging_outbound", T::ShipmentManifested),
        ("loading", T::ShipmentManifested),
        ("shipping", T::ShipmentConfirmed),
        ("departing", T::ShipmentConfirmed),
        ("receiving", T::ReceiptConfirmed),
        ("cycle_counting", T::CycleCountCompleted),
        ("stock_taking", T::InventorySnapshot),
        ("inspecting", T::InventoryStatusChanged),
        ("holding", T::InventoryStatusChanged),
        ("storing", T::InventoryTransferred),
        ("stocking", T::InventoryTransferred),
        ("void_shipping", T::ShipmentVoided),
        ("destroying", T::InventoryAdjusted),
        ("disposing", T::InventoryAdjusted),
        ("arriving", T::EpcisOther),
        ("urn:epcglobal:cbv:bizstep:picking", T::PickConfirmed),
        ("https://ref.gs1.org/cbv/BizStep-picking", T::PickConfirmed),
        ("cbv:BizStep-picking", T::PickConfirmed),
    ] {
        let event = one(&observed(step, &format!("{GOODS},{ORDER}")));

        assert_eq!((event.event_type, event.action), (expected, Action::Add), "{step}");
        assert_eq!(event.lines[0].item.sku, "09521141678909", "{step}");
    }
}

#[test]
fn quantities_go_where_the_type_asks_for_them() {
    let line = |step: &str, more: &str| one(&observed(step, &format!("{GOODS},{ORDER}{more}"))).lines.remove(0);

    assert_eq!(line("receiving", "").qty_received.unwrap().to_string(), "5");
    assert_eq!(line("receiving", ",\"disposition\":\"damaged\"").stock_status_to, "damaged");
    assert_eq!(line("cycle_counting", "").qty_after.unwrap().to_string(), "5");
    assert_eq!(line("destroying", "").qty.unwrap().to_string(), "-5");
    assert_eq!(line("destroying", "").reason.code, "damage");
    assert_eq!(line("inspecting", "").stock_status_to, "quality");
    assert_eq!(line("holding", ",\"disposition\":\"recalled\"").stock_status_to, "hold");
    let place = ",\"bizLocation\":{\"id\":\"https://id.gs1.org/414/9521141000014/254/A-1\"}";
    assert_eq!(line("storing", place).location_to, "A-1");
}

#[test]
fn returned_goods_are_no_receipt() {
    let by_disposition = one(&observed("receiving", &format!("{GOODS},\"disposition\":\"returned\"")));
    let rma = "\"bizTransactionList\":[{\"type\":\"rma\",\"bizTransaction\":\"R-1\"}]";
    let by_number = one(&observed("receiving", &format!("{GOODS},{rma}")));

    assert_eq!(by_disposition.event_type, EventType::ReturnReceived);
    assert_eq!((by_number.event_type, by_number.correlation_id.as_str()), (EventType::ReturnReceived, "R-1"));
}

#[test]
fn goods_that_have_left_do_not_leave_again() {
    let epc = "\"epcList\":[\"urn:epc:id:sgtin:9521141.012345.7\"]";
    let found = read(&document(&[
        observed("shipping", &format!("{epc},{ORDER}")),
        observed("departing", &format!("{epc},{ORDER}")),
        observed("departing", &format!("\"epcList\":[\"urn:epc:id:sgtin:9521141.012345.8\"],{ORDER}")),
    ]));

    let types: Vec<EventType> = found.events.iter().map(|event| event.event_type).collect();
    assert_eq!(types, [EventType::ShipmentConfirmed, EventType::EpcisOther, EventType::ShipmentConfirmed]);
}

#[test]
fn containers_of_unknown_contents_are_no_shipment() {
    let event = one(&observed("shipping", &format!("\"epcList\":[\"urn:epc:id:sscc:9521141.0000000017\"],{ORDER}")));

    assert_eq!(event.event_type, EventType::ShipmentManifested);
    assert_eq!(event.containers[0].sscc, "095211410000000175");
    assert_eq!(event.warnings[0].code, "CONTENTS_UNKNOWN");
}

#[test]
fn unpacking_withdraws_what_was_packed() {
    let event = one(
        "{\"type\":\"AggregationEvent\",\"action\":\"DELETE\",\"eventTime\":\"2026-11-23T15:15:27Z\",\"eventTimeZoneOffset\":\
         \"+00:00\",\"bizStep\":\"unpacking\",\"parentID\":\"https://id.gs1.org/00/095211410000000175\"}",
    );

    assert_eq!((event.event_type, event.action), (EventType::CartonPacked, Action::Void));
}

#[test]
fn a_declared_error_withdraws_and_its_correction_names_it() {
    let id = "\"eventID\":\"urn:uuid:1\"";
    let right = "\"eventID\":\"urn:uuid:2\"";
    let error = "\"errorDeclaration\":{\"declarationTime\":\"2026-11-24T00:00:00Z\",\"reason\":\"incorrect_data\",\
                 \"correctiveEventIDs\":[\"urn:uuid:2\"]}";
    let found = read(&document(&[
        observed("receiving", &format!("{GOODS},{ORDER},{id},{error}")),
        observed("receiving", &format!("{GOODS},{ORDER},{right}")),
    ]));
    let original = one(&observed("receiving", &format!("{GOODS},{ORDER},{id}")));

    let [wrong, corrected] = found.events.as_slice() else { panic!("two events") };
    assert_eq!((wrong.action, corrected.action), (Action::Void, Action::Add));
    assert_eq!(wrong.causation_id, Some(identity::event_id(&original)));
    assert_eq!(corrected.causation_id, wrong.causation_id);
    let doubtful = "\"errorDeclaration\":{\"reason\":\"incorrect_data\"}";
    assert_eq!(one(&observed("receiving", &format!("{GOODS},{id},{doubtful}"))).action, Action::Change);
}

#[test]
fn an_event_under_the_same_id_is_the_same_fact() {
    let id = "\"eventID\":\"urn:uuid:1\"";
    let error = "\"errorDeclaration\":{\"reason\":\"did_not_occur\"}";
    let event = observed("receiving", &format!("{GOODS},{ORDER},{id}"));
    let found =
        read(&document(&[event.clone(), event, observed("receiving", &format!("{GOODS},{ORDER},{id},{error}"))]));

    assert_eq!(found.events.iter().map(|event| event.ordinal).collect::<Vec<_>>(), [0, 0, 0]);
    let ids: std::collections::BTreeSet<_> = found.events.iter().map(identity::event_id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(found.events[2].action, Action::Void);
}

#[test]
fn a_large_stock_statement_is_split() {
    let class = |at: usize| format!("{{\"epcClass\":\"urn:epc:class:lgtin:9521141.067890.L{at}\",\"quantity\":{at}}}");
    let list = (0..1001).map(class).collect::<Vec<_>>().join(",");
    let found = read(&observed("stock_taking", &format!("\"quantityList\":[{list}],\"eventID\":\"urn:uuid:9\"")));

    assert_eq!(found.events.iter().map(|event| event.lines.len()).collect::<Vec<_>>(), [500, 500, 1]);
    assert!(found.events.iter().all(|event| event.split && event.reference(RefKind::Report) == "urn:uuid:9"));
    let ids: std::collections::BTreeSet<_> = found.events.iter().map(identity::event_id).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn every_wrapping_of_events_is_read() {
    let event = observed("picking", &format!("{GOODS},{ORDER}"));
    let query = format!(
        "{{\"type\":\"EPCISQueryDocument\",\"epcisBody\":{{\"queryResults\":{{\"queryName\":\"q\",\"resultsBody\":{{\"eventList\":\
         [{event}]}}}}}}}}"
    );
    let single = format!("{{\"epcisBody\":{{\"event\":{event}}}}}");
    for text in [event.clone(), format!("[{event}]"), query, single, format!("\n\n {event} \n")] {
        let found = read(&text);

        assert_eq!(found.events.len(), 1, "{text} {:?}", found.survey.refusals);
        assert_eq!(found.events[0].event_type, EventType::PickConfirmed);
    }
    for text in ["", " \n", "[]", "{\"type\":\"EPCISDocument\",\"epcisBody\":{\"eventList\":[]}}"] {
        let found = read(text);
        assert_eq!((found.events.len(), found.held.len(), found.survey.refusals.len()), (0, 0, 0), "{text}");
    }
}

#[test]
fn xml_of_every_wrapping_is_read() {
    let event = "<ObjectEvent><eventTime>2026-11-23T09:15:27Z</eventTime><eventTimeZoneOffset>Z</eventTimeZoneOffset><epcList>\
                 <epc>urn:epc:id:sgtin:9521141.012345.7</epc></epcList><action>OBSERVE</action></ObjectEvent>";
    let query = format!(
        "<q:EPCISQueryDocument xmlns:q='urn:epcglobal:epcis-query:xsd:2'><EPCISBody><q:QueryResults><queryName>x</queryName>\
         <resultsBody><EventList>{event}</EventList></resultsBody></q:QueryResults></EPCISBody></q:EPCISQueryDocument>"
    );
    assert_eq!(read(event).events.len(), 1);
    assert_eq!(read(&query).events.len(), 1, "{:?}", read(&query).survey.refusals);
    let bad = query.replace("OBSERVE", "CREATE");
    assert_eq!(read(&bad).held[0].field, "/epcisBody/queryResults/resultsBody/eventList/0/action");
}

#[test]
fn prefixes_are_known_wherever_the_context_stands() {
    let event = observed("picking", &format!("{GOODS},{ORDER},\"ex:door\":\"4\""));
    let context = "\"@context\":[\"https://x/c.jsonld\",{\"ex\":\"http://ex.example/ns/\"}]";
    let before = format!("{{{context},\"epcisBody\":{{\"eventList\":[{event}]}}}}");
    let after = format!("{{\"epcisBody\":{{\"eventList\":[{event}]}},{context}}}");
    let own = format!("{{{context},{}", event.trim_start_matches('{'));
    for text in [before, after, own.clone(), format!("[{own}]")] {
        let found = read(&text);

        assert_eq!(found.events[0].extensions["epcis:http://ex.example/ns#door"], "4", "{text}");
    }
}

#[test]
fn a_context_that_comes_too_late_is_told() {
    let note = "x".repeat(3000);
    let event = observed("picking", &format!("{GOODS},{ORDER},\"ex:door\":\"4\",\"ex:note\":\"{note}\""));
    let list = vec![event; 1000].join(",");
    let found = read(&format!(
        "{{\"epcisBody\":{{\"eventList\":[{list}]}},\"@context\":{{\"ex\":\"http://ex.example/ns/\"}}}}"
    ));

    assert_eq!(found.events.len(), 1000);
    assert_eq!(found.events[0].extensions["epcis:ex#door"], "4");
    assert_eq!(found.survey.warnings.len(), 1);
}

#[test]
fn faults_name_their_place() {
    let text = |code: &str, field: &str, found: &str| (code.to_owned(), field.to_owned(), found.to_owned());
    let list = "/epcisBody/eventList/0";
    let base = observed("picking", &format!("{GOODS},{ORDER}"));
    for (from, to, expected) in [
        ("\"OBSERVE\"", "\"CREATE\"", text("SCHEMA_VIOLATION", &format!("{list}/action"), "CREATE")),
        ("\"action\":\"OBSERVE\",", "", text("MISSING_MANDATORY", &format!("{list}/action"), "nothing")),
        ("27-06:00", "27", text("INVALID_DATE", &format!("{list}/eventTime"), "2026-11-23T09:15:27")),
        ("2026-11-23T", "2026-11-31T", text("INVALID_DATE", &format!("{list}/eventTime"), "2026-11-31T09:15:27-06:00")),
        ("\"-06:00\"", "\"CST\"", text("INVALID_DATE", &format!("{list}/eventTimeZoneOffset"), "CST")),
        (
            "\"quantity\":5",
            "\"quantity\":\"5\"",
            text("INVALID_QUANTITY", &format!("{list}/quantityList/0/quantity"), "\"5\""),
        ),
        (
            "\"quantity\":5",
            "\"quantity\":5,\"uom\":\"XYZ\"",
            text("UNKNOWN_UOM", &format!("{list}/quantityList/0/uom"), "XYZ"),
        ),
        ("\"quantityList\":", "\"other\":", text("MISSING_MANDATORY", &format!("{list}/epcList"), "nothing")),
        ("\"picking\"", "[1]", text("SCHEMA_VIOLATION", &format!("{list}/bizStep"), "[1]")),
        (",\"quantity\":5", "", text("MISSING_MANDATORY", &format!("{list}/quantityList/0/quantity"), "nothing")),
        ("{\"epcClass\"", "7,{\"epcClass\"", text("SCHEMA_VIOLATION", &format!("{list}/quantityList/0"), "7")),
    ] {
        let event = base.replacen(from, to, 1);

        assert_eq!(fault(&event), expected, "{event}");
    }
    let found = read(&document(&[base.clone(), base.replace("OBSERVE", "CREATE"), base]));
    assert_eq!((found.events.len(), found.held.len(), found.held[0].line_no), (2, 1, 3));
    assert_eq!(found.held[0].field, "/epcisBody/eventList/1/action");
}

#[test]
fn the_place_decides_about_the_site() {
    let sites = "[sites]\n\"9521141000014\" = \"DC8\"\n\"urn:epc:id:sgln:9521141.00002.0\" = \"DC9\"\n";
    let decoder = samples::decoder_with(DialectKind::Epcis, "", sites);
    let at = |place: &str| {
        let place = format!("\"bizLocation\":{{\"id\":\"{place}\"}}");
        samples::read(&decoder, observed("picking", &format!("{GOODS},{ORDER},{place}")).as_bytes())
    };

    assert_eq!(at("https://id.gs1.org/414/9521141000014/254/A").events[0].site_id.as_str(), "DC8");
    assert_eq!(at("urn:epc:id:sgln:9521141.00001.A").events[0].site_id.as_str(), "DC8");
    assert_eq!(at("urn:epc:id:sgln:9521141.00002.0").events[0].site_id.as_str(), "DC9");
    let unknown = at("urn:epc:id:sgln:9521141.00003.0");
    assert_eq!((unknown.held[0].code.as_str(), unknown.held[0].field.as_str()), ("UNKNOWN_SITE", "/bizLocation/id"));
}

#[test]
fn a_wrong_check_digit_is_doubted() {
    let epc =
        "\"epcList\":[\"https://id.gs1.org/01/09521141123455/21/7\",\"https://id.gs1.org/00/095211410000000176\"]";

    let event = one(&observed("picking", &format!("{epc},{ORDER}")));

    let codes: Vec<&str> = event.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["GTIN_CHECK_DIGIT", "SSCC_CHECK_DIGIT"]);
    assert_eq!((event.lines[0].item.sku.as_str(), event.lines[0].item.gtin.as_str()), ("09521141123455", ""));
    assert_eq!(
        (event.containers[0].container_id.as_str(), event.containers[0].sscc.as_str()),
        ("095211410000000176", "")
    );
}

#[test]
fn what_is_no_epcis_document_is_refused() {
    let refused = |text: &str| {
        let found = read(text);
        assert!(found.events.is_empty());
        found.survey.refusals.first().map(|refusal| refusal.code.clone()).unwrap_or_default()
    };

    assert_eq!(refused("<DespatchAdvice><ID>1</ID><Line><ID>1</ID></Line></DespatchAdvice>"), "UNSUPPORTED_DOCUMENT");
    assert_eq!(refused("{\"type\":\"EPCISDocument\",\"epcisBody\":{}}"), "UNSUPPORTED_DOCUMENT");
    assert_eq!(refused("17"), "SCHEMA_VIOLATION");
    assert_eq!(refused("[] []"), "SCHEMA_VIOLATION");
    assert_eq!(refused("{\"epcisBody\":{\"eventList\":{}}}"), "SCHEMA_VIOLATION");
    assert_eq!(refused("{\"epcisBody\":[]}"), "SCHEMA_VIOLATION");
    assert_eq!(refused("[1]"), "SCHEMA_VIOLATION");
    assert_eq!(refused(&"[".repeat(500)), "SCHEMA_VIOLATION");
    assert_eq!(refused("<!DOCTYPE x><ObjectEvent/>"), "SCHEMA_VIOLATION");
}

#[test]
fn an_event_over_the_limits_is_told() {
    let many = format!("\"epcList\":[{}\"x\"]", "\"x\",".repeat(EVENT_NODES_MAX));
    let found = read(&document(&[observed("picking", &many), observed("picking", &format!("{GOODS},{ORDER}"))]));
    assert_eq!((found.held[0].code.as_str(), found.events.len()), ("DOCUMENT_TOO_LARGE", 1));

    let long = format!("\"note\":\"{}\"", "x".repeat(EVENT_BYTES_MAX as usize + 100_000));
    let found = read(&document(&[observed("picking", &long)]));
    assert_eq!(found.survey.refusals[0].code, "DOCUMENT_TOO_LARGE");
}

/// The same event again and again, never all of it in memory.
struct Endless {
    event: Vec<u8>,
    left: usize,
    now: Cursor<Vec<u8>>,
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.now.read(out)?;
        if count > 0 || self.left == 0 {
            return Ok(count);
        }
        self.left -= 1;
        let mut next = self.event.clone();
        next.extend_from_slice(if self.left == 0 { b"]}}" } else { b"," });
        self.now = Cursor::new(next);
        self.now.read(out)
    }
}

#[test]
fn a_list_of_any_length_is_read_event_by_event() {
    let head = b"{\"@context\":[],\"epcisBody\":{\"eventList\":[".to_vec();
    let event = observed("picking", &format!("{GOODS},{ORDER}")).into_bytes();
    let text = Endless { event, left: 20_000, now: Cursor::new(head) };
    let mut count = 0;

    json::walk(text, 0, &mut |_, found| {
        assert_eq!(found.pointer, format!("/epcisBody/eventList/{count}"));
        count += 1;
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();

    assert_eq!(count, 20_000);
}

#[test]
fn a_document_cut_anywhere_gives_nothing() {
    for text in [JSON.trim_end(), XML.trim_end()] {
        for cut in 1..text.len() {
            let found = samples::read(&samples::decoder(DialectKind::Epcis), &text.as_bytes()[..cut]);

            assert!(found.events.is_empty(), "{cut}");
            assert_eq!(
                found.survey.refusals.first().map(|refusal| refusal.code.as_str()),
                Some("TRUNCATED_FILE"),
                "{cut}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_size_of_the_pieces_does_not_matter(step in 1_usize..40, is_xml in any::<bool>()) {
        let text = if is_xml { XML } else { JSON };
        let decoder = samples::decoder(DialectKind::Epcis);

        let whole = samples::read(&decoder, text.as_bytes());
        let pieces = samples::read_slowly(&decoder, text.as_bytes(), step);

        prop_assert_eq!(samples::summary(&whole), samples::summary(&pieces));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(at in 0..JSON.len(), noise in "[<>{}\\[\\],:\"a0/&; \\x00é.*-]{0,9}", is_xml in any::<bool>()) {
        let mut bytes = if is_xml { XML } else { JSON }.as_bytes().to_vec();
        let at = at.min(bytes.len());
        let end = (at + noise.len()).min(bytes.len());
        bytes.splice(at..end, noise.into_bytes());

        samples::read(&samples::decoder(DialectKind::Epcis), &bytes);
    }

    #[test]
    fn any_identifier_is_read_without_a_panic(id in "(urn:epc:(id|class|idpat):(sgtin|lgtin|sscc|sgln|grai):)?[0-9.*%aé:/]{0,30}") {
        let event = observed("picking", &format!("\"epcList\":[{id:?}],{ORDER}"));

        let found = read(&event);

        prop_assert_eq!(found.events.len() + found.held.len(), 1);
    }
}

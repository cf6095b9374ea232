//! What is unusual and legal: other delimiters, character sets and releases, several interchanges, small letters.

use docksync_proto::event::{EventType, RefKind};

use super::{
    super::super::{
        profile::DialectKind,
        samples::{Outcome, decoder, read},
    },
    fixtures::{NOTICE, SHIPPING, changed, codes, document, good, group, held, interchange, plain, set},
};

/// The quantities that left, by order.
fn shipped(outcome: &Outcome) -> Vec<String> {
    assert!(outcome.held.is_empty() && !outcome.survey.is_refused(), "{:?}", outcome.held);
    let shipments = outcome.events.iter().filter(|event| event.event_type == EventType::ShipmentConfirmed);
    let line = |line: &docksync_proto::event::Line| format!("{} {}", line.item.sku, line.qty_shipped.unwrap());
    shipments.map(|event| event.lines.iter().map(line).collect::<Vec<_>>().join(", ")).collect()
}

#[test]
fn an_interchange_of_release_005010_has_repetition_and_component_separators_of_its_own() {
    let old = document("945", SHIPPING);
    let text = old.replace("*U*00401*", "*^*00501*").replace("*X*004010", "*X*005010").replace("*P*>~", "*P*:~");

    assert_eq!(shipped(&plain(&text)), shipped(&plain(&old)));
    assert_eq!(good(&text)[0].interchange.version, "005010");
}

#[test]
fn each_interchange_of_a_file_has_its_own_delimiters() {
    let first = document("945", SHIPPING);
    let other = document("945", &changed(SHIPPING, SHIPPING[0], "W06*F*SO-78*20260714*SHP-10"))
        .replace("000000041", "000000042");
    let other = other.replace('*', "|").replace("~\n", "'");

    let outcome = plain(&format!("{first}\r\n\r\n{other}\u{1a}"));

    assert_eq!(shipped(&outcome).len(), 2);
    assert_eq!(outcome.survey.lines, outcome.survey.taken);
}

#[test]
fn groups_of_several_kinds_stand_in_one_interchange() {
    let groups = [
        group("SW", "1", &[set("945", "0001", SHIPPING)]),
        group(
            "SH",
            "2",
            &[set("856", "0001", NOTICE), set("856", "0002", &changed(NOTICE, NOTICE[0], "BSN*00*SHP-10*20260714"))],
        ),
    ];

    let outcome = plain(&interchange("000000041", "P", &groups));

    assert_eq!(shipped(&outcome).len(), 3);
}

#[test]
fn every_character_set_gives_the_same_events() {
    let text = document("945", SHIPPING).replace("CORNER SHOP", "CAFÉ Größe");
    let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(bytes).collect()
    };
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let marked = format!("\u{feff}{text}").into_bytes();

    let names = |bytes: &[u8]| -> Vec<String> {
        let outcome = read(&decoder(DialectKind::X12), bytes);
        outcome.events.iter().flat_map(|event| &event.parties).map(|party| party.name.clone()).collect()
    };

    let expected = names(text.as_bytes());
    assert!(expected.iter().any(|name| name.contains("CAFÉ Größe")), "{expected:?}");
    for bytes in [utf16(u16::to_le_bytes), utf16(u16::to_be_bytes), latin, marked] {
        assert_eq!(names(&bytes), expected);
    }
}

#[test]
fn codes_in_small_letters_are_the_same_codes() {
    let text = document("945", SHIPPING);
    let small = text.replace("*VN*", "*vn*").replace("N9*", "n9*").replace("N1*ST", "n1*st");

    let (large, small) = (good(&text), good(&small));

    assert_eq!(shipped(&plain(&text)).len(), 1);
    let last = |events: &[docksync_proto::event::Event]| {
        let event = events.iter().find(|event| event.event_type == EventType::ShipmentConfirmed).unwrap();
        (event.lines.clone(), event.parties.clone(), codes(event).len())
    };
    assert_eq!(last(&large), last(&small));
}

#[test]
fn a_notice_without_number_goes_by_its_bill_of_lading() {
    let nameless = changed(NOTICE, NOTICE[0], "BSN*00**20260714*1330*0001");

    let events = good(&document("856", &nameless));

    let shipment = events.iter().find(|event| event.event_type == EventType::ShipmentConfirmed).unwrap();
    assert_eq!(shipment.reference(RefKind::Bol), "BOL-31");
    assert!(codes(shipment).contains(&"MISSING_SHIPMENT"));

    let unbilled: Vec<&str> = nameless.iter().copied().filter(|segment| !segment.starts_with("REF*BM")).collect();
    assert_eq!(held(&plain(&document("856", &unbilled))), [("MISSING_MANDATORY", "BSN02")]);
}

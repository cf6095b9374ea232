//! The flat form.

use docksync_proto::event::EventType;

use super::fixtures::{good, outcome, outcome_with, types};
use crate::decode::{
    idoc::SEGMENTS_MAX,
    profile::DialectKind,
    samples::{decoder, read},
};

/// A record with values at their places, from 0.
fn record(name: &str, values: &[(usize, &str)]) -> String {
    let mut line: Vec<char> = name.chars().collect();
    for (at, value) in values {
        line.resize(line.len().max(*at), ' ');
        line.splice(*at..line.len().min(at + value.chars().count()), value.chars());
    }
    line.into_iter().collect::<String>() + "\n"
}

fn control(message: &str, basic: &str) -> String {
    record(
        "EDI_DC40",
        &[(10, "100"), (13, "0000000000000042"), (39, basic), (99, message), (162, "WMS"), (378, "20260714160000")],
    )
}

/// The places are those of a data record: 63 characters before the data.
#[expect(non_snake_case, reason = "a fixture like the constants beside it")]
pub(super) fn SHIPMENT() -> String {
    let item = |posnr: &str, matnr: &str, lfimg: &str, vrkme: &str| {
        record(
            "E2EDL24006",
            &[
                (63, posnr),
                (69, matnr),
                (105, "Größe"),
                (199, "DC7"),
                (207, "L77"),
                (239, lfimg),
                (254, vrkme),
                (935, "20271231"),
            ],
        )
    };
    [
        control("SHPCON", "DELVRY03"),
        record("E2EDL20002", &[(33, "0000000000000042"), (63, "0080001234"), (281, "SH-9")]),
        record("E2EDL18", &[(63, "PGI")]),
        record("E2EDT13001", &[(63, "006"), (124, "20260714153000")]),
        record("E2ADRM1001", &[(63, "WE"), (67, "100200"), (118, "Shop 12")]),
        item("000010", "000000000010004741", "18.000", "PCE"),
        record("E2EDL41000", &[(63, "001PO-9"), (125, "1")]),
        item("000020", "A-2", "5.000", "KAR"),
        record("E2EDL37", &[(63, "00354000000000000011")]),
        record("E2EDL44", &[(63, "10080001234000010"), (100, "18.000"), (117, "PCE")]),
    ]
    .concat()
}

#[test]
fn fields_stand_at_the_places_of_the_released_segments() {
    let events = good(outcome(&SHIPMENT()));

    assert_eq!(types(&events), [EventType::CartonPacked, EventType::ShipmentConfirmed]);
    let shipment = &events[1];
    assert_eq!(
        (&*shipment.correlation_id, shipment.time.rfc3339().as_str()),
        ("0080001234", "2026-07-14T15:30:00-05:00")
    );
    assert_eq!((&*shipment.interchange.sender, &*shipment.interchange.control), ("WMS", "0000000000000042"));
    let first = &shipment.lines[0];
    assert_eq!([&*first.item.sku, &first.item.description, &first.lot, &first.uom], ["10004741", "Größe", "L77", "EA"]);
    assert_eq!((first.qty_shipped, &*first.source_line_no), (Some(18.into()), "1"));
    assert_eq!((first.expiry_date.unwrap().to_string(), &*shipment.lines[1].uom), ("2027-12-31".to_owned(), "CA"));
    assert_eq!((&*shipment.parties[0].id, &*shipment.parties[0].name), ("100200", "Shop 12"));
    assert_eq!((&*first.container_ref, shipment.lines[1].container_ref.as_str()), ("354000000000000011", ""));
}

#[test]
fn several_idocs_lie_in_one_file_and_lines_are_physical() {
    let text = format!("{}{}", SHIPMENT().replace("18.000", "x     "), SHIPMENT().replace("0080001234", "0080001235"));

    let outcome = outcome(&text);

    assert_eq!((outcome.held[0].line_no, &*outcome.held[0].found, outcome.survey.lines), (6, "x", 20));
    assert_eq!(outcome.events.last().unwrap().correlation_id, "0080001235");
    assert_eq!(outcome.events.last().unwrap().source.line_no, 11);
}

#[test]
fn line_ends_and_character_sets_do_not_matter() {
    let crlf = SHIPMENT().replace('\n', "\r\n");
    let utf16: Vec<u8> = std::iter::once(0xfeff).chain(SHIPMENT().encode_utf16()).flat_map(u16::to_le_bytes).collect();

    let descriptions =
        |bytes: &[u8]| good(read(&decoder(DialectKind::Idoc), bytes)).pop().unwrap().lines[0].item.description.clone();

    assert_eq!([descriptions(crlf.as_bytes()), descriptions(&utf16)], ["Größe", "Größe"]);
}

#[test]
fn a_last_record_of_full_length_needs_no_line_end() {
    let text = SHIPMENT();
    let padded: Vec<String> =
        text.lines().skip(1).map(|line| format!("{line}{}", " ".repeat(1063 - line.chars().count()))).collect();
    let whole = format!("{}\n{}", text.lines().next().unwrap(), padded.join("\n"));

    assert_eq!(good(outcome(&whole)).len(), 2);
    assert_eq!(outcome(text.trim_end()).survey.refusals[0].code, "TRUNCATED_FILE");
}

#[test]
fn a_feed_declares_its_own_places() {
    let text = SHIPMENT().replace("E2EDL24006", "E1EDL24   ").replace("18.000", "      ");
    let moved: String = text
        .lines()
        .map(|line| if line.starts_with("E1EDL24") { format!("{line:<300} 7.5\n") } else { format!("{line}\n") })
        .collect();
    let layout =
        "layout = [\"E1EDL24.POSNR=0+6\", \"E1EDL24.MATNR=6+18\", \"E1EDL24.LFIMG=881+10\", \"E1EDL24.VRKME=191+3\"]";
    let with_place: String = moved
        .lines()
        .map(|line| {
            if line.starts_with("E1EDL24") {
                let head: String = line.chars().take(943).collect();
                format!("{head} 7.5\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();

    let events = good(outcome_with(layout, "", &with_place));

    assert_eq!(events.last().unwrap().lines[0].qty_shipped.unwrap().to_string(), "7.5");
    let wrong = outcome_with("layout = [\"E1EDL24:5\"]", "", &with_place);
    assert_eq!((&*wrong.survey.refusals[0].code, &*wrong.survey.refusals[0].found), ("INVALID_CODE", "E1EDL24:5"));
}

#[test]
fn goods_movements_and_orders_are_read_too() {
    let movement = [
        control("MBGMCR", "MBGMCR03"),
        record("E2BP2017_GM_HEAD_01000", &[(63, "20260714"), (71, "20260713"), (79, "GR-5")]),
        record(
            "E2BP2017_GM_ITEM_CREATE000",
            &[(63, "4711"), (81, "DC7"), (85, "0001"), (99, "101"), (154, "18.000"), (169, "ST"), (196, "4500000001")],
        ),
    ]
    .concat();
    let order = [
        control("ORDERS", "ORDERS05"),
        record("E2EDK01005", &[(146, "PO-9")]),
        record("E2EDK03", &[(63, "01220260701")]),
        record("E2EDP01007", &[(63, "000010"), (74, "20.000"), (89, "PCE")]),
        record("E2EDP19001", &[(63, "002"), (66, "4711"), (101, "Pencils")]),
    ]
    .concat();

    let (movement, order) = (good(outcome(&movement)), good(outcome(&order)));

    assert_eq!((movement[0].event_type, &*movement[0].correlation_id), (EventType::ReceiptConfirmed, "4500000001"));
    assert_eq!((movement[0].lines[0].qty_received, &*movement[0].lines[0].location_to), (Some(18.into()), "0001"));
    assert_eq!((order[0].event_type, &*order[0].correlation_id), (EventType::OrderSubmitted, "PO-9"));
    assert_eq!((order[0].lines[0].qty_ordered, &*order[0].lines[0].item.sku), (Some(20.into()), "4711"));
}

#[test]
fn what_is_no_idoc_is_refused_in_words() {
    let outcome = outcome("HDR|1|2\n");

    assert_eq!(
        (&*outcome.survey.refusals[0].code, &*outcome.survey.refusals[0].found),
        ("ENVELOPE_MISMATCH", "HDR|1|2")
    );
    for text in ["", "\n\n"] {
        assert_eq!(super::fixtures::outcome(text).survey.refusals.len(), 0);
    }
}

#[test]
fn limits_are_told() {
    let long = format!("{}{}\n", control("SHPCON", "DELVRY03"), "x".repeat(20_000));
    assert_eq!(outcome(&long).survey.refusals[0].code, "RECORD_TOO_LONG");

    let many = SHIPMENT() + &record("E2EDL18", &[(63, "ORI")]).repeat(SEGMENTS_MAX);
    let outcome = outcome(&many);
    assert_eq!((&*outcome.held[0].code, outcome.events.len()), ("DOCUMENT_TOO_LARGE", 0));
}

#[test]
fn bytes_that_are_no_text_hold_their_idoc() {
    let text = SHIPMENT().replace("Shop 12", "Shop\u{0}12");

    assert_eq!(outcome(&text).held[0].code, "ENCODING_ERROR");
}

//! Delimiters, headers and trailers.

use docksync_proto::{event::EventType, identity};

use super::{
    super::{
        super::{
            profile::DialectKind,
            samples::{decoder, read},
        },
        SET_SEGMENTS_MAX,
    },
    fixtures::{ORDER, SHIPPING, codes, document, good, group, held, interchange, only, plain, set, with},
};

fn order(number: &str) -> Vec<String> {
    set("940", number, ORDER)
}

/// The same document behind other delimiters gives the same facts.
#[test]
fn delimiters_are_those_of_the_header() {
    let usual = document("940", ORDER);
    let id = identity::event_id(&good(&usual)[0]);
    for (element, terminator) in [
        ('*', "~\r\n"),
        ('~', "}\r\n"),
        ('~', "*"),
        ('|', "\n"),
        ('*', "\r\n"),
        ('*', "\r"),
        ('*', "|"),
        ('\u{1d}', "\u{1e}"),
        ('*', "\u{2026}\r\n"),
        ('*', "~\n   \t"),
    ] {
        let text = usual.replace('*', "\u{1}").replace("~\n", "\u{2}");
        let text = text.replace('\u{1}', &element.to_string()).replace('\u{2}', terminator);

        let events = good(&text);

        assert_eq!(identity::event_id(&events[0]), id, "{element:?} {terminator:?}");
        assert_eq!(events[0].source.line_no, 3);
    }
}

#[test]
fn character_sets_give_the_same_facts() {
    let usual = document("940", ORDER);
    let id = identity::event_id(&good(&usual)[0]);
    let utf16: Vec<u8> = format!("\u{feff}{usual}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = format!("\u{feff}\r\n  {usual}").into_bytes();
    // The ellipsis of Windows-1252, a single byte that becomes three in UTF-8.
    let mut cp1252 = usual.replace("~\n", "\u{1}").into_bytes();
    cp1252.iter_mut().filter(|byte| **byte == 1).for_each(|byte| *byte = 0x85);

    for bytes in [utf16, marked, cp1252] {
        let outcome = read(&decoder(DialectKind::X12), &bytes);

        assert_eq!(outcome.events.iter().map(identity::event_id).collect::<Vec<_>>(), [id]);
    }
}

#[test]
fn a_header_that_is_not_padded_is_read_and_told() {
    let text = document("940", ORDER).replace("*ACME           *", "*ACME*");

    let outcome = plain(&text);

    assert_eq!(outcome.events.len(), 1);
    assert!(outcome.survey.warnings[0].starts_with("ISA_LENGTH"), "{:?}", outcome.survey.warnings);
}

#[test]
fn a_line_end_in_place_of_a_terminator_is_taken_and_told() {
    let text = document("940", ORDER).replace("DULUTH*MN*55802~", "DULUTH*MN*55802");

    let events = good(&text);

    assert_eq!(events[0].parties[0].address, "DULUTH, MN, 55802");
    assert_eq!(codes(&events[0]), ["MISSING_TERMINATOR"]);
}

#[test]
fn a_line_wrapped_within_an_element_is_joined() {
    let text = document("940", ORDER).replace("CORNER SHOP", "CORNER\r\n SHOP").replace("*92*0012", "*92\n*0012");

    let events = good(&text);

    assert_eq!(events[0].parties[0].name, "CORNER SHOP 12");
    assert_eq!(events[0].parties[0].id, "0012");
}

#[test]
fn a_repetition_separator_counts_from_release_00402_on() {
    let five = document("940", ORDER).replace("*U*00401*", "*^*00501*").replace("CORNER SHOP", "CORNER^SHOP");
    let four = five.replace("*00501*", "*00401*");

    assert_eq!(codes(&good(&five)[0]), ["REPEATED_ELEMENT"]);
    assert_eq!(codes(&good(&four)[0]), [""; 0]);
}

#[test]
fn a_set_without_envelope_is_taken_where_the_feed_allows_it() {
    let bare: String = order("0001").iter().map(|segment| format!("{segment}\n")).collect();

    let refused = plain(&bare);
    let taken = with("allow_bare_st = true", "", &format!("{bare}{bare}"));

    assert_eq!(refused.survey.refusals[0].code, "ENVELOPE_MISMATCH");
    assert_eq!(taken.events.len(), 2);
    assert_eq!(taken.events[0].correlation_id, "ORD-7701");
    assert_eq!(taken.events[0].site_id.as_str(), "DC7");
}

#[test]
fn several_interchanges_groups_and_sets_are_read_in_their_order() {
    let first = [group("OW", "1", &[order("0001"), order("0002")]), group("SW", "2", &[set("945", "0001", SHIPPING)])];
    let text = interchange("000000001", "P", &first)
        + "\n\n"
        + &interchange("000000002", "T", &[group("OW", "7", &[order("0009")])]);

    let outcome = plain(&text);

    let places: Vec<(&str, &str, &str, &str)> = outcome
        .events
        .iter()
        .map(|event| &event.interchange)
        .map(|known| (&*known.control, &*known.group_control, &*known.set_control, &*known.usage))
        .collect();
    assert_eq!(places[0], ("000000001", "1", "0001", "P"));
    assert_eq!(places[1], ("000000001", "1", "0002", "P"));
    assert_eq!(places[2], ("000000001", "2", "0001", "P"));
    assert_eq!(*places.last().unwrap(), ("000000002", "7", "0009", "T"));
    assert_eq!(outcome.events[0].interchange.sender, "ZZ:ACME");
    assert_eq!(outcome.events[0].interchange.version, "004010");
    assert!(codes(outcome.events.last().unwrap()).contains(&"TEST_INTERCHANGE"));
}

#[test]
fn one_document_twice_in_a_file_is_one_fact() {
    let text = interchange("000000001", "P", &[group("OW", "1", &[order("0001"), order("0002")])]);

    let events = good(&text);

    assert_eq!(identity::event_id(&events[0]), identity::event_id(&events[1]));
    assert_eq!(identity::digests(&events[0]).content, identity::digests(&events[1]).content);
}

#[test]
fn a_document_sent_again_under_new_numbers_is_the_same_fact() {
    let first = interchange("000000001", "P", &[group("OW", "1", &[order("0001")])]);
    let again =
        interchange("000000077", "P", &[group("OW", "78", &[order("0079")])]).replace("20260714*1015", "20260801*0900");

    let (first, again) = (good(&first), good(&again));

    assert_eq!(identity::event_id(&first[0]), identity::event_id(&again[0]));
    assert_eq!(identity::digests(&first[0]).content, identity::digests(&again[0]).content);
}

#[test]
fn a_bad_set_does_not_block_its_neighbours() {
    let bad = set("940", "0002", &["W05*N*ORD-2", "G62*10*20260230", "W01*x*EA**VN*SKU-1"]);
    let other = set("810", "0003", &["BIG*20260714*1"]);
    let text = interchange("000000001", "P", &[group("OW", "1", &[order("0001"), bad, other, order("0004")])]);

    let outcome = plain(&text);

    assert_eq!(
        held(&outcome),
        [("INVALID_DATE", "G6202"), ("INVALID_QUANTITY", "W0101"), ("UNSUPPORTED_DOCUMENT", "ST01")]
    );
    assert_eq!(outcome.held[1].column, 1);
    assert_eq!(outcome.held[1].line_no, 23);
    assert_eq!(outcome.events.len(), 2);
}

#[test]
fn a_wrong_trailer_of_a_set_holds_the_set() {
    let text = interchange("000000001", "P", &[group("OW", "1", &[order("0001"), order("0002")])]);
    let count = text.replacen("SE*17*0001", "SE*18*0001", 1);
    let number = text.replacen("SE*17*0001", "SE*17*0003", 1);

    let (count, number) = (plain(&count), plain(&number));

    assert_eq!(held(&count), [("COUNT_MISMATCH", "SE01")]);
    assert_eq!(held(&number), [("ENVELOPE_MISMATCH", "SE02")]);
    assert_eq!((count.events.len(), number.events.len()), (1, 1));
}

#[test]
fn a_wrong_trailer_of_a_group_holds_the_group_unless_the_feed_is_lenient() {
    let groups = [group("OW", "1", &[order("0001")]), group("OW", "2", &[order("0002")])];
    let text = interchange("000000001", "P", &groups);
    for (from, to, expected) in
        [("GE*1*1~", "GE*2*1~", ("COUNT_MISMATCH", "GE01")), ("GE*1*1~", "GE*1*9~", ("ENVELOPE_MISMATCH", "GE02"))]
    {
        let wrong = text.replace(from, to);

        let strict = plain(&wrong);
        let lenient = with("lenient_counts = true", "", &wrong);

        assert_eq!(held(&strict), [expected]);
        assert_eq!(strict.events.len(), 1);
        assert_eq!(strict.events[0].interchange.group_control, "2");
        assert_eq!(lenient.events.len(), 2);
        assert!(lenient.survey.warnings[0].starts_with(expected.0), "{:?}", lenient.survey.warnings);
    }
}

#[test]
fn a_wrong_trailer_of_an_interchange_holds_the_interchange() {
    let good = interchange("000000001", "P", &[group("OW", "1", &[order("0001")])]);
    let bad = interchange("000000002", "P", &[group("OW", "1", &[order("0001")])]);
    for (from, to, expected) in [
        ("IEA*1*000000002", "IEA*1*000000003", ("ENVELOPE_MISMATCH", "IEA02")),
        ("IEA*1*000000002", "IEA*4*000000002", ("COUNT_MISMATCH", "IEA01")),
    ] {
        let outcome = plain(&format!("{good}{}", bad.replace(from, to)));

        assert_eq!(held(&outcome), [expected]);
        assert_eq!(outcome.events.len(), 1);
    }
}

#[test]
fn control_numbers_are_compared_as_numbers() {
    let text = document("940", ORDER).replace("IEA*1*000000041", "IEA*1*41").replace("SE*17*0001", "SE*17*1");

    let outcome = plain(&text);

    assert_eq!(outcome.events.len(), 1);
    assert_eq!(outcome.survey.warnings.len(), 2);
    assert!(outcome.survey.warnings.iter().all(|warning| warning.starts_with("CONTROL_NUMBER")));
}

#[test]
fn a_control_number_that_comes_twice_holds_what_has_it() {
    let first = interchange("000000001", "P", &[group("OW", "1", &[order("0001"), order("1")])]);
    let again = interchange("000000001", "P", &[group("OW", "2", &[order("0001")])]);

    let outcome = plain(&(first + &again));

    assert_eq!(held(&outcome), [("ENVELOPE_MISMATCH", "ST02"), ("DUPLICATE_INTERCHANGE_CONTROL", "ISA13")]);
    assert_eq!(outcome.events.len(), 1);
}

#[test]
fn a_group_of_another_kind_is_doubtful() {
    let text = document("940", ORDER).replace("GS*OW", "GS*IN");

    assert_eq!(codes(&good(&text)[0]), ["ENVELOPE_MISMATCH"]);
}

#[test]
fn a_set_outside_of_groups_is_held() {
    let text = document("940", ORDER);
    let lines = text.lines().filter(|line| !line.starts_with("GS") && !line.starts_with("GE"));
    let text = lines.collect::<Vec<_>>().join("\n").replace("IEA*1*", "IEA*0*");

    assert_eq!(held(&plain(&text)), [("ENVELOPE_MISMATCH", "GS01")]);
}

#[test]
fn a_missing_trailer_refuses_the_file() {
    let text = document("940", ORDER);
    for trailer in ["SE*17*0001~\n", "GE*1*41~\n", "IEA*1*000000041~\n"] {
        let outcome = plain(&text.replace(trailer, ""));

        assert_eq!(outcome.survey.refusals[0].code, "TRUNCATED_FILE", "{trailer}");
        assert_eq!(outcome.survey.refusals[0].owner, "site_it");
        assert!(outcome.events.is_empty());
    }
}

#[test]
fn what_stands_behind_the_last_interchange_is_held_by_itself() {
    let text = document("940", ORDER);

    let filled = plain(&format!("{text}\r\n\0\0\u{1a}"));
    let mail = plain(&format!("{text}-- \nsent by a machine\n"));
    let torn = plain(&format!("{text}IS"));

    assert_eq!((filled.events.len(), filled.held.len()), (1, 0));
    assert_eq!((mail.events.len(), held(&mail)), (1, vec![("ENVELOPE_MISMATCH", "ISA")]));
    assert_eq!(mail.held[0].found, "-- ");
    assert_eq!(torn.survey.refusals[0].code, "TRUNCATED_FILE");
}

#[test]
fn words_between_interchanges_do_not_hide_the_next_one() {
    let first = interchange("000000001", "P", &[group("OW", "1", &[order("0001")])]);
    let second = interchange("000000002", "P", &[group("OW", "2", &[order("0001")])]);

    let outcome = plain(&format!("{first}page 2\n{second}"));

    assert_eq!((outcome.events.len(), outcome.held.len()), (2, 1));
}

#[test]
fn an_empty_file_and_one_of_another_format_are_told_apart() {
    assert!(!plain("").survey.is_refused());
    assert!(!plain("\r\n \n").survey.is_refused());
    assert_eq!(plain("order,sku\n1,2\n").survey.refusals[0].code, "ENVELOPE_MISMATCH");
    assert_eq!(plain("UNB+UNOA:3+A+B'").survey.refusals[0].found, "UNB+UNOA:3+A+B'");
}

#[test]
fn an_acknowledgment_of_an_interchange_is_an_event() {
    let mut groups = vec![vec!["TA1*000000905*260701*1200*R*025".to_owned()]];
    groups.push(group("OW", "1", &[order("0001")]));
    let text = interchange("000000001", "P", &groups).replace("IEA*2*", "IEA*1*");

    let events = good(&text);

    let answered = only(&events, EventType::DocumentAcknowledged);
    assert_eq!(answered.correlation_id, "ISA/000000905");
    assert_eq!(answered.extensions["status"], "rejected");
    assert_eq!(answered.extensions["x12:TA1"], "260701*1200*R*025");
    assert_eq!(answered.source.format, "x12-TA1");
    only(&events, EventType::ExceptionRaised);
    only(&events, EventType::OrderSubmitted);
}

#[test]
fn a_segment_without_bounds_holds_its_set() {
    let long = format!("NTE*DEL*{}", "x".repeat(100_000));
    let many = format!("NTE{}", "*x".repeat(2_000));
    let next = order("0002");
    for segment in [long, many] {
        let bad = set("940", "0001", &["W05*N*ORD-1", &segment, "W01*1*EA**VN*SKU-1"]);
        let text = interchange("000000001", "P", &[group("OW", "1", &[bad, next.clone()])]);

        let outcome = plain(&text);

        assert!(!outcome.held.is_empty(), "{:?}", outcome.survey.refusals);
        assert_eq!(outcome.held[0].code, "RECORD_TOO_LONG");
        assert_eq!(outcome.events.len(), 1);
    }
}

#[test]
fn a_set_without_bounds_is_held() {
    let mut segments = vec!["W05*N*ORD-1"];
    segments.resize(SET_SEGMENTS_MAX as usize + 10, "W01*1*EA**VN*SKU-1");
    let text = interchange("000000001", "P", &[group("OW", "1", &[set("940", "0001", &segments), order("0002")])]);

    let outcome = plain(&text);

    assert_eq!(outcome.held[0].code, "DOCUMENT_TOO_LARGE");
    assert_eq!(outcome.events.len(), 1);
}

#[test]
fn characters_that_are_none_hold_the_set() {
    let text = document("940", ORDER).replace("CORNER", "\u{fffd}ORNER");

    assert_eq!(held(&plain(&text)), [("ENCODING_ERROR", "N102")]);
}

#[test]
fn what_is_no_segment_of_these_documents_is_kept_and_told() {
    let mut segments = ORDER.to_vec();
    segments.insert(8, "ZQ9*A*B");

    let events = good(&document("940", &segments));

    assert_eq!(events[0].extensions["x12:ZQ9*A"], "B");
    assert_eq!(codes(&events[0]), ["UNKNOWN_SEGMENT"]);
}

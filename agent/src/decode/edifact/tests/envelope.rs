//! UNA to UNZ.

use super::fixtures::{
    DESADV, ORDERS, RECADV, enclosed, events, faults, good, interchange, outcome, outcome_with, wrapped,
};
use crate::decode::{
    edifact::{MESSAGE_SEGMENTS_MAX, SEGMENT_BYTES_MAX},
    profile::DialectKind,
    samples::{decoder, read, summary},
};

const ORDER: (&str, &str) = ("ORDERS:D:96A:UN", ORDERS);

fn refusal(text: &str) -> (u64, String, String) {
    let outcome = outcome(text);
    assert!(outcome.events.is_empty());
    let [line] = outcome.survey.refusals.as_slice() else { panic!("one refusal, not {:?}", outcome.survey.refusals) };
    (line.line_no, line.code.clone(), line.found.clone())
}

#[test]
fn other_separators_say_the_same() {
    let text = interchange(&[ORDER]);
    let other = text.replace('+', "|").replace(':', "~").replace('\'', ";").replace(',', ".");
    let with_advice = format!("UNA~|.# ;\n{other}");

    let events = good(outcome(&with_advice));

    // UNA is a segment of the file: line numbers move by one.
    let line =
        |text: &str| text.lines().filter(|line| !line.contains(" id ") && !line.contains("edifact-orders:")).count();
    assert_eq!(line(&summary(&outcome(&text))), line(&summary(&outcome(&with_advice))));
    assert_eq!(events[0].source.line_no, 3);
    assert_eq!(events[0].lines[1].qty_ordered.unwrap().to_string(), "1.5");
}

#[test]
fn the_release_character_makes_a_separator_text() {
    let body = ORDERS.replace("SKU-2:SA", "A?+B?:C?'D??E:SA");

    assert_eq!(events(ORDER.0, &body)[0].lines[1].item.sku, "A+B:C'D?E");
}

#[test]
fn a_wrapped_file_is_read_like_a_long_line() {
    let text = interchange(&[ORDER]);
    let bare: Vec<char> = text.replace('\n', "").chars().collect();
    let wrapped: String = bare.chunks(20).map(|chunk| chunk.iter().collect::<String>() + "\r\n").collect();

    let ids = |text: &str| good(outcome(text)).iter().map(|e| e.lines.clone()).collect::<Vec<_>>();

    assert_eq!(ids(&wrapped), ids(&text));
}

#[test]
fn both_decimal_marks_are_read_and_one_that_contradicts_una_is_a_doubt() {
    let text = format!("UNA:+.? '{}", interchange(&[ORDER]));
    let comma = format!("UNA:+,? '{}", interchange(&[ORDER]));

    assert_eq!(good(outcome(&text))[0].warnings[0].code, "DECIMAL_MARK");
    assert!(good(outcome(&comma))[0].warnings.is_empty());
}

#[test]
fn a_bad_message_is_held_alone() {
    let bad = ORDERS.replace("QTY+21:20:PCE", "QTY+21:many:PCE");

    let outcome = outcome(&interchange(&[ORDER, (ORDER.0, &bad), ("RECADV:D:96A:UN", RECADV)]));

    let held: Vec<_> = outcome.held.iter().map(|l| (l.line_no, &*l.code, &*l.field, l.column, &*l.found)).collect();
    assert_eq!(held, [(29, "INVALID_QUANTITY", "QTY/C186.6060", 1, "many")]);
    assert_eq!(outcome.events.first().unwrap().source.format, "edifact-orders");
    assert_eq!(outcome.events.last().unwrap().correlation_id, "PO-9");
    assert!(outcome.events.len() > 2);
}

#[test]
fn a_wrong_count_or_reference_in_unt_holds_the_message() {
    let text = interchange(&[ORDER]);
    let count = outcome(&text.replace("UNT+17+1", "UNT+18+1"));
    let name = outcome(&text.replace("UNT+17+1", "UNT+17+2"));

    assert_eq!(
        (&*count.held[0].code, &*count.held[0].field, &*count.held[0].found),
        ("COUNT_MISMATCH", "UNT/0074", "18")
    );
    assert_eq!((&*name.held[0].code, &*name.held[0].field), ("ENVELOPE_MISMATCH", "UNT/0062"));
    assert!(count.events.is_empty() && name.events.is_empty());
}

#[test]
fn a_wrong_unz_holds_its_interchange_alone() {
    let first = interchange(&[ORDER]).replace("UNZ+1+", "UNZ+2+");
    let second = interchange(&[ORDER]).replace("IC42", "IC43").replace("PO-9", "PO-10");

    let outcome = outcome(&format!("{first}{second}"));

    assert_eq!((&*outcome.held[0].code, &*outcome.held[0].expected), ("COUNT_MISMATCH", "1 messages, as there are"));
    assert_eq!(outcome.events.iter().map(|e| &*e.correlation_id).collect::<Vec<_>>(), ["PO-10"]);
}

#[test]
fn a_lenient_feed_takes_wrong_counts_with_a_warning() {
    let text = interchange(&[ORDER]).replace("UNZ+1+IC42", "UNZ+2+IC41");

    let outcome = outcome_with("lenient_counts = true", "", &text);

    assert_eq!(outcome.survey.warnings.len(), 2);
    assert_eq!(good(outcome).len(), 1);
}

#[test]
fn leading_zeros_of_a_reference_are_a_warning() {
    let text = interchange(&[ORDER]).replace("IC42'\nUNH", "0042'\nUNH").replace("UNZ+1+IC42", "UNZ+1+42");

    let outcome = outcome(&text);

    assert_eq!(outcome.survey.warnings, ["ENVELOPE_MISMATCH: UNZ/0020 is 42, the header says 0042"]);
    assert_eq!(outcome.events.len(), 1);
}

#[test]
fn the_same_reference_twice_holds_the_second_interchange() {
    let text = interchange(&[ORDER]);

    let outcome = outcome(&format!("{text}{text}"));

    assert_eq!((outcome.events.len(), &*outcome.held[0].code), (1, "DUPLICATE_INTERCHANGE_CONTROL"));
}

#[test]
fn groups_are_counted_and_named() {
    let message = wrapped(1, ORDER.0, ORDERS);
    let text = |une: &str, unz: &str| {
        format!(
            "UNB+UNOC:3+A+B+260714:1015+7'\nUNG+ORDERS+A+B+260714:1015+G1+UN+D:96A'\n{message}{une}'\nUNZ+{unz}+7'\n"
        )
    };

    let events = good(outcome(&text("UNE+1+G1", "1")));

    assert_eq!(events[0].interchange.group_control, "G1");
    assert_eq!(outcome(&text("UNE+2+G1", "1")).held[0].field, "UNE/0060");
    assert_eq!(outcome(&text("UNE+1+G2", "1")).held[0].field, "UNE/0048");
    assert_eq!(outcome(&text("UNE+1+G1", "3")).held[0].field, "UNZ/0036");
}

#[test]
fn a_torn_envelope_refuses_the_file_and_says_what_is_missing() {
    let text = interchange(&[ORDER, ORDER]);
    let without = |segment: &str| text.lines().filter(|l| !l.starts_with(segment)).collect::<Vec<_>>().join("\n");

    assert_eq!(refusal(&without("UNZ")).1, "TRUNCATED_FILE");
    assert_eq!(refusal(&without("UNT")), (18, "TRUNCATED_FILE".to_owned(), "UNH within message 1".to_owned()));
    let twice = format!("{}{text}", without("UNZ"));
    assert_eq!(refusal(&twice).2, "UNB within interchange IC42");
}

#[test]
fn a_header_that_is_none_is_named() {
    let text = interchange(&[ORDER]);

    assert_eq!(refusal(&text[1..]), (1, "ENVELOPE_MISMATCH".to_owned(), "NB+UNOC:3".to_owned()));
    assert_eq!(refusal(&text.replacen("UNB+", "UNB|", 1)).2, "UNB|UNOC:");
    assert_eq!(refusal(&format!("UNA++.? '{text}")).2, "UNA++.? '");
    assert_eq!(refusal(&text.replacen("UNOC", "ABCD", 1)).2, "ABCD");
    assert_eq!(refusal(&text.replacen("+5400000000027:14", "+", 1)).1, "ENVELOPE_MISMATCH");
    assert_eq!(refusal(&format!("{text}BGM+1'")).2, "BGM+1'");
    assert_eq!(refusal(&text.replacen("UNH+1", "BGM+1'UNH+1", 1)).2, "BGM+1");
}

#[test]
fn an_empty_file_has_no_events_and_no_fault() {
    for text in ["", "\r\n\r\n", " \x1a"] {
        let outcome = outcome(text);

        assert_eq!((outcome.survey.lines, outcome.survey.refusals.len()), (0, 0));
    }
}

#[test]
fn a_test_interchange_says_so_in_its_events() {
    let unb = "UNB+UNOC:3+A:14:R1+B:14+260714:1015+T1++APP+++AGR+1'";

    let events = good(outcome(&enclosed(unb, &[ORDER])));

    let known = &events[0].interchange;
    assert_eq!([&*known.usage, &known.sender, &known.receiver, &known.control], ["T", "14:A", "14:B", "T1"]);
    assert_eq!([&*known.set_control, &known.version], ["1", "D:96A:UN"]);
    let extensions =
        ["edifact:UNB/0008", "edifact:UNB/0026", "edifact:UNB/0032"].map(|key| &*events[0].extensions[key]);
    assert_eq!(extensions, ["R1", "APP", "AGR"]);
    assert_eq!(super::fixtures::events(ORDER.0, ORDERS)[0].interchange.usage, "P");
}

#[test]
fn the_code_page_is_that_of_unb_where_the_file_is_no_utf_8() {
    let text = interchange(&[ORDER])
        .replacen("UNOC", "UNOD", 1)
        .replace("NAD+BY+5400000000034::9", "NAD+BY+1::9++\u{a3}\u{f3}d\u{bc}");
    let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();

    let events = good(read(&decoder(DialectKind::Edifact), &bytes));

    assert_eq!(events[0].parties[0].name, "Łódź");
    let utf8 = interchange(&[ORDER]).replace("NAD+BY+5400000000034::9", "NAD+BY+1::9++Łódź");
    assert_eq!(good(outcome(&utf8))[0].parties[0].name, "Łódź");
}

#[test]
fn bytes_that_are_no_text_hold_their_message() {
    let text = interchange(&[ORDER, ("DESADV:D:96A:UN", DESADV)]);
    let bytes: Vec<u8> = text.replace("ring twice", "\u{1}").bytes().map(|b| if b == 1 { 0 } else { b }).collect();

    let outcome = read(&decoder(DialectKind::Edifact), &bytes);

    assert_eq!((&*outcome.held[0].code, outcome.held.len()), ("ENCODING_ERROR", 1));
    assert!(!outcome.events.is_empty());
}

#[test]
fn limits_are_told() {
    let long = ORDERS.replace("ring twice", &"x".repeat(SEGMENT_BYTES_MAX));
    assert_eq!(refusal(&interchange(&[(ORDER.0, &long)])).1, "RECORD_TOO_LONG");

    let many = ORDERS.replace("UNS+S'", &("FTX+ZZZ+++x'\n".repeat(MESSAGE_SEGMENTS_MAX) + "UNS+S'"));
    let outcome = outcome(&interchange(&[(ORDER.0, &many), ORDER]));
    assert_eq!((&*outcome.held[0].code, outcome.events.len()), ("DOCUMENT_TOO_LARGE", 1));
    assert_eq!(outcome.survey.lines, 20_000 + 17 * 2);
}

#[test]
fn a_message_that_nobody_maps_is_held_with_its_type() {
    assert_eq!(
        faults("INVOIC:D:96A:UN", "BGM+380+1+9'"),
        [(2, "UNSUPPORTED_DOCUMENT".to_owned(), "UNH/S009.0065".to_owned())]
    );
    assert_eq!(faults("ORDERS:D:96A:UN", "DTM+137:20260701:102'")[0].2, "BGM");
}

#[test]
fn dates_that_are_none_hold_the_message() {
    for wrong in ["20260230", "CCYYMMDD", "2026"] {
        let body = ORDERS.replace("DTM+137:20260701:102", &format!("DTM+137:{wrong}:102"));

        assert_eq!(faults(ORDER.0, &body), [(4, "INVALID_DATE".to_owned(), "DTM+137/C507.2380".to_owned())]);
    }
}

//! 947 and 846.

use docksync_proto::{
    event::{Action, EventType, RefKind},
    identity,
};
use rust_decimal::Decimal;

use super::{
    super::SET_SEGMENTS_MAX,
    fixtures::{ADJUSTMENT, STOCK, codes, document, good, held, only, plain, with},
};

fn of(n: i64) -> Option<Decimal> {
    Some(Decimal::from(n))
}

#[test]
fn each_line_of_an_adjustment_is_a_fact_of_its_own_kind() {
    let events = good(&document("947", ADJUSTMENT));

    let told: Vec<_> = events
        .iter()
        .map(|event| (event.event_type, &*event.lines[0].line_no, event.lines[0].qty, &*event.lines[0].reason.code))
        .collect();
    assert_eq!(
        told,
        [
            (EventType::InventoryAdjusted, "1", of(-13), "count_loss"),
            (EventType::InventoryStatusChanged, "2", of(20), "hold"),
            (EventType::CycleCountCompleted, "3", of(3), "count_gain"),
            (EventType::InventoryAdjusted, "4", of(-2), "damage"),
        ]
    );
    assert!(events.iter().all(|event| event.correlation_id == "ADJ-1"));
    assert_eq!(events[0].lines[0].item.description, "TRAIL MIX");
    assert_eq!((&*events[1].lines[0].stock_status_from, &*events[1].lines[0].stock_status_to), ("available", "hold"));
    assert!(events.iter().all(|event| codes(event).is_empty()));
}

fn adjusted(lines: &[&str]) -> String {
    let mut segments = vec!["W15*20260714*ADJ-1"];
    segments.extend_from_slice(lines);
    document("947", &segments)
}

#[test]
fn reasons_move_goods_from_one_status_to_another() {
    for (code, from, to) in [
        ("05", "available", "hold"),
        ("55", "hold", "available"),
        ("08", "available", "quality"),
        ("88", "quality", "available"),
        ("52", "damaged", "available"),
    ] {
        let line = format!("W19*{code}*-7*EA**VN*SKU-1");

        let events = good(&adjusted(&[&line]));

        let line = &only(&events, EventType::InventoryStatusChanged).lines[0];
        assert_eq!((&*line.stock_status_from, &*line.stock_status_to, line.qty), (from, to, of(7)), "{code}");
    }
}

#[test]
fn a_pair_of_lines_is_one_change_of_status() {
    let events = good(&adjusted(&[
        "W19*AH*-5*EA**VN*SKU-1***LOT-A*******SA",
        "W19*AH*5*EA**VN*SKU-1***LOT-A*******DM",
        "W19*AH*-5*EA**VN*SKU-2",
    ]));

    let changed = &only(&events, EventType::InventoryStatusChanged).lines[0];
    assert_eq!((&*changed.stock_status_from, &*changed.stock_status_to, changed.qty), ("available", "damaged", of(5)));
    assert_eq!(only(&events, EventType::InventoryAdjusted).lines[0].item.sku, "SKU-2");
}

#[test]
fn a_transaction_type_alone_moves_goods() {
    let events = good(&adjusted(&["W19*AH*5*EA**VN*SKU-1**********QU", "W19*AH*-5*EA**VN*SKU-2**********QI"]));

    let told: Vec<_> = events.iter().map(|e| (&*e.lines[0].stock_status_from, &*e.lines[0].stock_status_to)).collect();
    assert_eq!(told, [("available", "hold"), ("quality", "available")]);
}

#[test]
fn signs_are_as_sent_unless_the_feed_reads_them_from_the_reason() {
    let text = adjusted(&["W19*06*13*EA**VN*SKU-1", "W19*56*2*EA**VN*SKU-2"]);
    let mixed = adjusted(&["W19*06*13*EA**VN*SKU-1", "W19*AU*-2*EA**VN*SKU-2"]);

    let sent = good(&text);
    let by_reason = with("w19_sign = \"by_reason\"", "", &text).events;
    let signed = with("w19_sign = \"by_reason\"", "", &mixed).events;

    assert_eq!((sent[0].lines[0].qty, codes(&sent[0])), (of(13), vec!["SIGN_MISMATCH"]));
    assert_eq!((by_reason[0].lines[0].qty, by_reason[1].lines[0].qty), (of(-13), of(2)));
    assert_eq!(signed[0].lines[0].qty, of(13));
}

#[test]
fn a_partner_names_its_own_reasons() {
    let text = adjusted(&["W19*DA*-5*EA**VN*SKU-1"]);

    let unknown = good(&text);
    let known = with("", "[[table]]\nname = \"reason\"\nrows = { DA = \"damage\" }\n", &text).events;

    assert_eq!((&*unknown[0].lines[0].reason.code, codes(&unknown[0])), ("other", vec!["UNKNOWN_REASON"]));
    assert_eq!((&*known[0].lines[0].reason.code, &*known[0].lines[0].reason.source_code), ("damage", "DA"));
}

#[test]
fn the_purpose_of_an_adjustment_is_kept() {
    let text = adjusted(&["W19*AU*-5*EA**VN*SKU-1"]);

    let void = good(&text.replace("*ADJ-1~", "*ADJ-1**01~"));
    let change = good(&text.replace("*ADJ-1~", "*ADJ-1**05~"));

    assert_eq!((void[0].action, change[0].action), (Action::Void, Action::Change));
}

#[test]
fn an_adjustment_out_of_shape_is_held() {
    for (line, expected) in [
        ("W19*AU*-5*EA*VN*SKU-1", ("ELEMENT_SHIFT", "W1904")),
        ("W19*AU**EA**VN*SKU-1", ("MISSING_MANDATORY", "W1902")),
        ("W19**-5*EA**VN*SKU-1", ("MISSING_MANDATORY", "W1901")),
    ] {
        assert_eq!(held(&plain(&adjusted(&[line]))), [expected]);
    }
    assert_eq!(held(&plain(&adjusted(&[]))), [("MISSING_MANDATORY", "W15")]);
    assert_eq!(
        held(&plain(&document("947", &["W15*20260714", "W19*AU*-5*EA**VN*SKU-1"]))),
        [("MISSING_MANDATORY", "W1502")]
    );
}

#[test]
fn a_stock_report_has_a_line_for_each_quantity() {
    let events = good(&document("846", STOCK));

    let report = only(&events, EventType::InventorySnapshot);
    assert_eq!((report.reference(RefKind::Report), report.split), ("RPT-1", true));
    assert_eq!(report.time.rfc3339(), "2026-07-13T23:00:00-05:00");
    let told: Vec<_> = report
        .lines
        .iter()
        .map(|line| (&*line.line_no, &*line.item.sku, line.qty, &*line.uom, &*line.stock_status_to))
        .collect();
    assert_eq!(
        told,
        [
            ("1", "SKU-1", of(500), "EA", "available"),
            ("1", "SKU-1", of(4), "EA", "damaged"),
            ("2", "SKU-2", of(12), "CA", "hold"),
        ]
    );
    assert_eq!((&*report.lines[0].lot, &*report.lines[1].location_to), ("LOT-A", "A-01-02"));
    assert_eq!(report.lines[2].expiry_date.map(|day| day.to_string()).as_deref(), Some("2027-01-01"));
    assert_eq!(codes(report), [""; 0]);
}

#[test]
fn a_partner_means_its_own_status_by_a_kind_of_quantity() {
    let tables = "[[table]]\nname = \"stock_status\"\nrows = { \"33\" = \"other:on_hand\" }\n";

    let outcome = with("", tables, &document("846", STOCK));

    assert_eq!(outcome.events[0].lines[0].stock_status_to, "other:on_hand");
}

#[test]
fn what_is_on_hand_is_the_stock_alone_and_a_total_beside_its_parts() {
    let told = |quantities: &[&str]| -> Vec<String> {
        let segments = [&["BIA*00*SI*RPT-1*20260714", "LIN*1*VN*SKU-1"], quantities].concat();
        let events = good(&document("846", &segments));
        events[0].lines.iter().map(|line| format!("{}={}", line.status_source, line.stock_status_to)).collect()
    };

    assert_eq!(told(&["QTY*17*9*EA"]), ["17="]);
    assert_eq!(told(&["QTY*17*9*EA", "QTY*IQ*3*EA"]), ["17=", "IQ=in_transit"]);
    assert_eq!(told(&["QTY*17*9*EA", "QTY*33*7*EA", "QTY*QH*2*EA"]), ["17=other:17", "33=available", "QH=hold"]);
}

#[test]
fn a_partial_report_says_so() {
    let text = document("846", STOCK).replace("BIA*00", "BIA*25");

    assert_eq!(good(&text)[0].extensions["partial"], "true");
}

#[test]
fn items_of_several_warehouses_are_told_apart() {
    let segments = [
        "BIA*00*SI*RPT-1*20260714",
        "LIN*1*VN*SKU-1",
        "QTY*33*1*EA",
        "N1*WH*NORTH*92*N01",
        "LIN*2*VN*SKU-1",
        "QTY*33*2*EA",
        "N1*WH*SOUTH*92*S01",
        "LIN*3*VN*SKU-2",
        "QTY*33*3*EA",
        "N1*WH*NORTH*92*N01",
    ];

    let outcome = with("", "[sites]\nN01 = \"DC1\"\nS01 = \"DC2\"\n", &document("846", &segments));

    let mut told: Vec<_> = outcome.events.iter().map(|event| (event.site_id.as_str(), event.lines.len())).collect();
    told.sort_unstable();
    assert_eq!(told, [("DC1", 2), ("DC2", 1)]);
}

fn stock(items: u64, bad: Option<u64>) -> String {
    let mut segments = vec!["BIA*00*SI*RPT-1*20260714".to_owned(), "N1*WH*NORTH*92*N01".to_owned()];
    for item in 1..=items {
        segments.push(format!("LIN*{item}*VN*SKU-{item}"));
        segments.push(format!("QTY*33*{}*EA", if bad == Some(item) { "x".to_owned() } else { item.to_string() }));
    }
    segments.push(format!("CTT*{items}"));
    document("846", &segments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_long_report_becomes_several_events_with_an_identity_each() {
    for items in [1_200, SET_SEGMENTS_MAX + 1_200] {
        let outcome = plain(&stock(items, None));

        assert!(outcome.held.is_empty());
        assert_eq!(outcome.events.iter().map(|event| event.lines.len() as u64).sum::<u64>(), items);
        assert!(outcome.events.iter().all(|event| event.lines.len() <= 500 && event.split));
        let mut ids: Vec<_> = outcome.events.iter().map(identity::event_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), outcome.events.len());
        assert_eq!(outcome.survey.taken, outcome.survey.lines);
        assert!(outcome.events.iter().all(|event| codes(event).is_empty()), "{items}");
    }
}

#[test]
fn a_bad_item_holds_a_report_or_its_part_of_a_long_one() {
    let short = plain(&stock(1_200, Some(700)));
    let long = plain(&stock(SET_SEGMENTS_MAX + 1_200, Some(SET_SEGMENTS_MAX)));

    assert_eq!((held(&short), short.events.len()), (vec![("INVALID_QUANTITY", "QTY02")], 0));
    assert_eq!(held(&long), [("INVALID_QUANTITY", "QTY02")]);
    assert!(long.events.iter().map(|event| event.lines.len() as u64).sum::<u64>() >= SET_SEGMENTS_MAX);
}

#[test]
fn a_long_report_with_a_wrong_trailer_is_held_whole() {
    let items = SET_SEGMENTS_MAX + 1_200;
    let text = stock(items, None).replace(&format!("SE*{}*", 2 * items + 5), "SE*7*");

    let outcome = plain(&text);

    assert_eq!((held(&outcome), outcome.events.len()), (vec![("COUNT_MISMATCH", "SE01")], 0));
}

//! 940, 850, 860, 855 and 997.

use docksync_proto::event::{Action, EventType, LineStatus, RefKind};
use rust_decimal::Decimal;

use super::fixtures::{
    ACKNOWLEDGMENT, ANSWER, CHANGE, ORDER, PURCHASE, codes, document, good, held, only, plain, with,
};

fn of(n: i64) -> Option<Decimal> {
    Some(Decimal::from(n))
}

fn first_as<'s>(segments: &[&'s str], first: &'s str) -> Vec<&'s str> {
    let mut segments = segments.to_vec();
    segments[0] = first;
    segments
}

#[test]
fn a_shipping_order_says_what_is_asked_for() {
    let events = good(&document("940", ORDER));

    let order = only(&events, EventType::OrderSubmitted);
    assert_eq!((&*order.correlation_id, order.action), ("ORD-7701", Action::Add));
    assert_eq!((order.reference(RefKind::Po), order.reference(RefKind::CustomerOrder)), ("PO-55", "C-9"));
    assert_eq!(order.time.rfc3339(), "2026-07-10T00:00:00-05:00");
    let line = &order.lines[0];
    assert_eq!((line.qty_ordered, &*line.uom, &*line.lot), (of(24), "EA", "LOT-A"));
    assert_eq!((&*line.item.sku, &*line.item.vendor_item, &*line.item.gtin), ("SKU-1", "SKU-1", "00614141000418"));
    assert_eq!((&*line.source_line_no, &*line.item.description), ("10", "TRAIL MIX"));
    assert_eq!(line.gross_weight.as_ref().unwrap().value, Decimal::from(240));
    assert_eq!(order.extensions["x12:NTE*DEL"], "CALL FIRST");
    assert_eq!(order.extensions["x12:G62*10"], "20260714");
    assert_eq!(order.extensions["x12:W6605"], "VIA RAIL");
    assert_eq!(codes(order), [""; 0]);
}

#[test]
fn the_status_of_an_order_says_what_is_to_be_done_with_it() {
    for (code, action) in [
        ("N", Action::Add),
        ("S", Action::Add),
        ("R", Action::Change),
        ("G", Action::Change),
        ("L", Action::Change),
        ("D", Action::Void),
        ("F", Action::Void),
    ] {
        let first = format!("W05*{code}*ORD-1");

        let events = good(&document("940", &first_as(ORDER, &first)));

        assert_eq!(events[0].action, action, "{code}");
    }
}

#[test]
fn an_unknown_status_of_an_order_holds_it_unless_the_feed_knows_it() {
    let text = document("940", &first_as(ORDER, "W05*B*ORD-1"));

    let known = with("", "[[table]]\nname = \"action\"\nrows = { B = \"add\" }\n", &text);

    assert_eq!(held(&plain(&text)), [("INVALID_ACTION", "W0501")]);
    assert_eq!(known.events[0].action, Action::Add);
}

#[test]
fn a_test_order_is_dropped_and_told() {
    let outcome = plain(&document("940", &first_as(ORDER, "W05*X*ORD-1")));

    assert!(outcome.events.is_empty() && outcome.held.is_empty());
    assert!(outcome.survey.warnings[0].starts_with("TEST_ORDER"));
}

#[test]
fn an_order_needs_a_number_and_lines() {
    assert_eq!(held(&plain(&document("940", &first_as(ORDER, "W05*N")))), [("MISSING_MANDATORY", "W0502")]);
    assert_eq!(held(&plain(&document("940", &ORDER[..9]))), [("MISSING_MANDATORY", "W05")]);
    assert_eq!(held(&plain(&document("940", &ORDER[1..]))), [("MISSING_MANDATORY", "W05")]);
}

#[test]
fn lines_need_no_group_before_them() {
    let segments: Vec<&str> = ORDER.iter().filter(|segment| !segment.starts_with("LX")).copied().collect();

    assert_eq!(good(&document("940", &segments))[0].lines[0].line_no, "1");
}

#[test]
fn a_line_with_an_unknown_unit_or_item_is_held() {
    for (line, expected) in [
        ("W01*24*FURLONG**VN*SKU-1", ("UNKNOWN_UOM", "W0102")),
        ("W01*24*EA", ("MISSING_MANDATORY", "W0104")),
        ("W01**EA**VN*SKU-1", ("MISSING_MANDATORY", "W0101")),
        ("W01*1E40*EA**VN*SKU-1", ("INVALID_QUANTITY", "W0101")),
    ] {
        let outcome = plain(&document("940", &["W05*N*ORD-1", "G62*04*20260710", line]));

        assert_eq!(held(&outcome), [expected], "{line}");
    }
}

#[test]
fn an_item_number_of_last_resort_is_told() {
    let events = good(&document("940", &["W05*N*ORD-1", "G62*04*20260710", "W01*24*EA**CB*C-1"]));

    assert_eq!((&*events[0].lines[0].item.sku, codes(&events[0])), ("C-1", vec!["SKU_FALLBACK"]));
}

#[test]
fn a_purchase_order_is_divided_among_its_stores() {
    let events = good(&document("850", PURCHASE));

    let order = only(&events, EventType::OrderSubmitted);
    assert_eq!((&*order.correlation_id, order.reference(RefKind::Department)), ("PO-55", "045"));
    let told: Vec<_> = order
        .lines
        .iter()
        .map(|line| (&*line.line_no, &*line.source_line_no, &*line.item.sku, line.qty_ordered))
        .collect();
    assert_eq!(told, [("1.1", "1", "SKU-1", of(10)), ("1.2", "1", "SKU-1", of(20)), ("2", "2", "B-2", of(6))]);
    assert_eq!((order.lines[1].references[0].kind, &*order.lines[1].references[0].value), (RefKind::Store, "0013"));
    assert_eq!(order.extensions["x12:DTM*002"], "20260720");
    assert_eq!(codes(order), [""; 0]);
}

#[test]
fn totals_of_an_order_are_compared() {
    let text = document("850", PURCHASE).replace("CTT*2*36", "CTT*3*37").replace("*0013*20", "*0013*19");

    assert_eq!(codes(&good(&text)[0]), ["TOTAL_MISMATCH", "COUNT_MISMATCH", "TOTAL_MISMATCH"]);
}

#[test]
fn the_purpose_of_an_order_says_what_is_to_be_done_with_it() {
    for (code, action) in [("00", Action::Add), ("01", Action::Void), ("05", Action::Change), ("07", Action::Add)] {
        let first = format!("BEG*{code}*SA*PO-55**20260710");

        assert_eq!(good(&document("850", &first_as(PURCHASE, &first)))[0].action, action);
    }
    assert_eq!(
        held(&plain(&document("850", &first_as(PURCHASE, "BEG*28*SA*PO-55**20260710")))),
        [("INVALID_ACTION", "BEG01")]
    );
}

#[test]
fn a_change_of_an_order_has_a_number_of_its_own() {
    let events = good(&document("860", CHANGE));

    let change = only(&events, EventType::OrderSubmitted);
    assert_eq!((change.action, change.reference(RefKind::OrderChange)), (Action::Change, "2"));
    assert_eq!(change.time.rfc3339(), "2026-07-12T00:00:00-05:00");
    let [raised, deleted] = change.lines.as_slice() else { panic!("two lines") };
    assert_eq!((raised.qty_ordered, &*raised.status_source), (of(36), "QI"));
    assert_eq!((deleted.qty_ordered, deleted.status_code), (of(0), Some(LineStatus::Cancelled)));
}

#[test]
fn an_answer_to_an_order_has_a_line_for_each_verdict() {
    let events = good(&document("855", ANSWER));

    let answer = only(&events, EventType::OrderAcknowledged);
    assert_eq!((&*answer.correlation_id, answer.reference(RefKind::So)), ("PO-55", "SO-9"));
    let told: Vec<_> = answer.lines.iter().map(|line| (&*line.line_no, line.qty, line.status_code.unwrap())).collect();
    assert_eq!(
        told,
        [
            ("1", of(20), LineStatus::Complete),
            ("1.2", of(10), LineStatus::ShortBackordered),
            ("2", of(6), LineStatus::Cancelled)
        ]
    );
    assert_eq!(answer.extensions["x12:ACK05"], "20260720");
}

#[test]
fn an_acknowledgment_speaks_of_each_set() {
    let events = good(&document("997", ACKNOWLEDGMENT));

    let told: Vec<_> = events
        .iter()
        .map(|event| (event.event_type, event.reference(RefKind::Subject), event.extensions["status"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (EventType::DocumentAcknowledged, "OW/1044/0001", "accepted"),
            (EventType::DocumentAcknowledged, "OW/1044/0002", "rejected"),
            (EventType::ExceptionRaised, "OW/1044/0002", "rejected"),
        ]
    );
    assert_eq!(events[1].extensions["x12:AK3"], "W01*5**8");
    assert_eq!(events[1].extensions["x12:AK4"], "2*355*7*ZZ");
    assert_eq!(events[1].extensions["x12:AK5"], "R*5");
}

#[test]
fn an_acknowledgment_without_sets_speaks_of_the_group() {
    let events = good(&document("997", &["AK1*OW*1044", "AK9*A*3*3*3"]));

    assert_eq!(events.len(), 1);
    assert_eq!((events[0].reference(RefKind::Subject), &*events[0].extensions["status"]), ("OW/1044", "accepted"));
}

#[test]
fn an_acknowledgment_out_of_order_is_held() {
    for segments in [&["AK1*OW*1", "AK5*A", "AK9*A*1*1*1"][..], &["AK1*OW*1", "AK2*940*1", "AK9*A*1*1*1"]] {
        assert_eq!(plain(&document("997", segments)).held[0].code, "SCHEMA_VIOLATION");
    }
}

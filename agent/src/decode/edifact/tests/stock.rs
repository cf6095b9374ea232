//! INVRPT.

use docksync_proto::{
    event::{EventType, RefKind},
    identity,
};

use super::fixtures::{INVRPT, events, faults, good, interchange, outcome, outcome_with, types, warnings};
use crate::decode::edifact::REPORT_LINES_MAX;

const KIND: &str = "INVRPT:D:96A:UN";
const HEAD: &str = "BGM+35+IR-1+9'\nDTM+366:20260714:102'\nNAD+WH+DC7::92'\n";

#[test]
fn a_statement_of_stock_is_a_snapshot() {
    let events = events(KIND, INVRPT);

    let [snapshot] = events.as_slice() else { panic!("one event") };
    assert_eq!((snapshot.event_type, snapshot.split), (EventType::InventorySnapshot, true));
    assert_eq!(
        (snapshot.reference(RefKind::Report), snapshot.time.rfc3339().as_str()),
        ("IR-1", "2026-07-14T23:59:00-05:00")
    );
    let told: Vec<_> = snapshot
        .lines
        .iter()
        .map(|l| {
            format!(
                "{} {} {} {:?} {} {} {}",
                l.item.sku,
                l.qty.unwrap(),
                l.uom,
                l.stock_status_to,
                l.status_source,
                l.location_to,
                l.lot
            )
        })
        .collect();
    assert_eq!(
        told,
        ["SKU-1 850 EA \"other:145\" 145 A-01 L77", "SKU-1 4 EA \"damaged\" 124  ", "SKU-2 30 KG \"\" 17  "]
    );
    assert_eq!(snapshot.extensions["edifact:QTY+52[1]"], "12 EA");
}

#[test]
fn the_whole_stock_of_an_item_is_no_status_beside_its_parts() {
    let told = |lines: &str| -> Vec<String> {
        let events = events(KIND, &format!("{HEAD}{lines}"));
        events[0].lines.iter().map(|line| format!("{}={}", line.status_source, line.stock_status_to)).collect()
    };

    assert_eq!(told("LIN+1++SKU-1:SA'\nQTY+145:9:PCE'"), ["145="]);
    assert_eq!(told("LIN+1++SKU-1:SA'\nQTY+145:9:PCE'\nQTY+124:2:PCE'"), ["145=other:145", "124=damaged"]);
    assert_eq!(told("LIN+1++SKU-1:SA'\nQTY+17:9:PCE'\nLIN+2++SKU-2:SA'\nQTY+124:2:PCE'"), ["17=", "124=damaged"]);
}

#[test]
fn movements_are_adjustments_with_the_sign_of_their_direction() {
    let lines = "LIN+1++SKU-1:SA'\nQTY+1:5:PCE'\nINV+1++3'\nLIN+2++SKU-2:SA'\nQTY+1:7:PCE'\nINV+2+2+4'\nLIN+3++SKU-3:SA'\nQTY+48:2:PCE'\nINV+2++1'\nLIN+4++SKU-4:SA'\nQTY+1:1:PCE'\nINV+1'";

    let events = events(KIND, &format!("{HEAD}{lines}"));

    assert!(
        events
            .iter()
            .all(|e| e.event_type == EventType::InventoryAdjusted && e.reference(RefKind::Adjustment) == "IR-1")
    );
    let told: Vec<_> = events
        .iter()
        .map(|e| {
            format!(
                "{} {} {} {:?} {:?}",
                e.lines[0].item.sku,
                e.lines[0].qty.unwrap(),
                e.lines[0].reason.code,
                e.lines[0].stock_status_to,
                warnings(e)
            )
        })
        .collect();
    let expected = [
        "SKU-1 -5 damage \"\" []",
        "SKU-2 7 count_gain \"damaged\" []",
        "SKU-3 2 receipt_correction \"\" [\"MOVEMENT_REASON\"]",
        "SKU-4 -1 other \"\" [\"UNKNOWN_REASON\"]",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_movement_before_its_quantities_holds_for_all_of_them() {
    let events =
        events(KIND, &format!("{HEAD}LIN+1++SKU-1:SA'\nINV+1++4'\nQTY+1:5:PCE'\nRFF+BT:A'\nQTY+1:6:PCE'\nRFF+BT:B'"));

    let told: Vec<_> = events.iter().map(|e| (e.lines[0].qty.unwrap().to_string(), &*e.lines[0].lot)).collect();
    assert_eq!(told, [("-5".to_owned(), "A"), ("-6".to_owned(), "B")]);
}

#[test]
fn the_partners_tables_say_what_codes_mean() {
    let text = interchange(&[(KIND, &format!("{HEAD}LIN+1++SKU-1:SA'\nQTY+198:5:PCE'\nQTY+1:2:PCE'\nINV+2++Z9'"))]);

    let outcome = outcome_with(
        "",
        "[[table]]\nname = \"stock_status\"\nrows = { 198 = \"in_transit\" }\n[[table]]\nname = \"reason\"\nrows = { Z9 = \"rework\" }",
        &text,
    );

    let events = good(outcome);
    assert_eq!((&*events[0].lines[0].stock_status_to, &*events[1].lines[0].reason.code), ("in_transit", "rework"));
}

fn report(lines: usize) -> String {
    let body: String = (1..=lines).map(|n| format!("LIN+{n}++SKU-{n}:SA'\nQTY+145:{n}:PCE'\n")).collect();
    interchange(&[(KIND, &format!("{HEAD}{body}CNT+2:{lines}'"))])
}

#[test]
fn a_report_of_more_lines_is_several_snapshots() {
    let events = good(outcome(&report(REPORT_LINES_MAX * 2 + 1)));

    let counts: Vec<usize> = events.iter().map(|event| event.lines.len()).collect();
    assert_eq!((types(&events).len(), counts), (3, vec![500, 500, 1]));
    let mut ids: Vec<_> = events.iter().map(identity::event_id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_report_beyond_what_is_kept_is_read_in_pieces() {
    let text = report(15_000);

    let outcome = outcome(&text);

    assert_eq!(outcome.survey.lines, 30_000 + 6);
    let events = good(outcome);
    assert_eq!((events.len(), events.iter().map(|e| e.lines.len()).sum::<usize>()), (30, 15_000));
    assert!(events.iter().all(|event| event.warnings.is_empty()));
}

#[test]
fn a_bad_line_of_such_a_report_holds_its_piece() {
    let outcome = outcome(&report(15_000).replace("QTY+145:12000:PCE", "QTY+145:x:PCE"));

    assert_eq!((outcome.held.len(), &*outcome.held[0].code), (1, "INVALID_QUANTITY"));
    assert_eq!(outcome.events.iter().map(|e| e.lines.len()).sum::<usize>(), 14_500);
}

#[test]
fn a_bad_header_of_such_a_report_holds_all_of_it() {
    let outcome = outcome(&report(15_000).replace("DTM+366:20260714", "DTM+366:20261314"));

    assert_eq!((outcome.held.len(), outcome.events.len(), outcome.survey.lines), (1, 0, 30_006));
    let count = super::fixtures::outcome(&report(15_000).replace("UNT+30006", "UNT+30005"));
    assert_eq!((count.held.len(), count.events.len(), count.survey.lines), (1, 0, 30_006));
}

#[test]
fn a_report_of_nothing_is_held() {
    assert_eq!(faults(KIND, HEAD)[0].1, "MISSING_MANDATORY");
}

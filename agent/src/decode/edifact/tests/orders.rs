//! ORDERS, ORDCHG, HANMOV, ORDRSP, and the answers of partners: CONTRL, APERAK.

use docksync_proto::event::{Action, EventType, LineStatus, PartyRole, RefKind};

use super::fixtures::{CONTRL, ORDERS, events, faults, good, interchange, outcome, outcome_with, types};

pub(super) const ORDCHG: &str = "BGM+230+CH-2+4'
DTM+137:20260702:102'
RFF+ON:PO-9'
LIN+1+3+SKU-1:SA'
QTY+21:25:PCE'
LIN+2+2+SKU-2:SA'
UNS+S'";

pub(super) const ORDRSP: &str = "BGM+231+SO-4+29'
DTM+137:20260703:102'
RFF+ON:PO-9'
RFF+VN:SO-4'
LIN+1+5+SKU-1:SA'
QTY+21:20:PCE'
QTY+113:20:PCE'
LIN+2+3+SKU-2:SA'
QTY+21:10:PCE'
QTY+113:6:PCE'
QTY+83:4:PCE'
LIN+3+7+SKU-3:SA'
QTY+21:1:PCE'
UNS+S'";

pub(super) const HANMOV: &str = "BGM+90E::9+H-1+9'
DTM+137:202607190000:102'
NAD+LSP+DC7::92'
NAD+BY+5400000000010::9'
NAD+DP+5400000000034::9'
LIN+10'
PIA+5+SKU-1:SA'
QTY+113:768:PCE'
PAC+1++10'";

pub(super) const APERAK: &str = "BGM+313+AP-1+27'
DTM+137:202607151200:203'
RFF+ACW:DA-77'
RFF+ON:PO-9'
ERC+42::9'
FTX+AAO+++unknown item'";

#[test]
fn an_order_is_submitted_with_its_lines() {
    let events = events("ORDERS:D:93A:UN:EAN007", ORDERS);

    let [order] = events.as_slice() else { panic!("one event") };
    assert_eq!(
        (order.event_type, &*order.correlation_id, order.action),
        (EventType::OrderSubmitted, "PO-9", Action::Add)
    );
    assert_eq!(order.interchange.sender, "14:5400000000010");
    assert_eq!(order.party(PartyRole::ShipTo).unwrap().id, "5400000000041");
    let lines: Vec<_> =
        order.lines.iter().map(|l| format!("{} {} {}", l.item.sku, l.qty_ordered.unwrap(), l.uom)).collect();
    assert_eq!(lines, ["SKU-1 20 EA", "SKU-2 1.5 KG"]);
    let kept = ["edifact:DTM+2", "edifact:FTX+DEL", "edifact:PRI+AAA[1]"].map(|key| &*order.extensions[key]);
    assert_eq!(kept, ["20260714:102", "ring twice", "1.20"]);
}

#[test]
fn a_cancelled_order_is_void() {
    assert_eq!(events("ORDERS:D:96A:UN", &ORDERS.replacen("PO-9+9", "PO-9+1", 1))[0].action, Action::Void);
}

#[test]
fn a_change_names_its_order_and_itself() {
    let events = events("ORDCHG:D:96A:UN", ORDCHG);

    let change = &events[0];
    assert_eq!(
        (change.event_type, change.action, &*change.correlation_id),
        (EventType::OrderSubmitted, Action::Change, "PO-9")
    );
    assert_eq!(change.reference(RefKind::OrderChange), "CH-2");
    assert_eq!(change.lines[0].qty_ordered, Some(25.into()));
    assert_eq!(
        (change.lines[1].qty_ordered, change.lines[1].status_code),
        (Some(0.into()), Some(LineStatus::Cancelled))
    );
}

#[test]
fn a_handling_order_is_an_order_of_the_depositor() {
    let sites = "[sites]\nDC7 = \"DC7\"";

    let events = good(outcome_with("", sites, &interchange(&[("HANMOV:D:96A:UN:EAN002", HANMOV)])));

    let order = &events[0];
    assert_eq!((order.reference(RefKind::DepositorOrder), &*order.correlation_id), ("H-1", "H-1"));
    assert_eq!((order.lines[0].qty_ordered, &*order.lines[0].line_no), (Some(768.into()), "10"));
    assert_eq!((order.site_id.as_str(), &*order.warnings[0].code), ("DC7", "DATE_FORMAT"));
    assert_eq!(order.party(PartyRole::Warehouse).unwrap().id, "DC7");
}

#[test]
fn a_response_says_what_is_confirmed() {
    let events = events("ORDRSP:D:21B:UN", ORDRSP);

    let answer = &events[0];
    assert_eq!((answer.event_type, &*answer.correlation_id), (EventType::OrderAcknowledged, "PO-9"));
    assert_eq!(answer.reference(RefKind::So), "SO-4");
    let told: Vec<_> = answer.lines.iter().map(|l| (l.qty, l.qty_difference, l.status_code)).collect();
    assert_eq!(told[0], (Some(20.into()), Some(0.into()), Some(LineStatus::Complete)));
    assert_eq!(told[1], (Some(6.into()), Some(4.into()), Some(LineStatus::ShortBackordered)));
    assert_eq!(told[2], (Some(1.into()), None, Some(LineStatus::Cancelled)));
}

#[test]
fn a_contrl_speaks_of_the_interchange_and_of_each_message() {
    let events = events("CONTRL:D:3:UN", CONTRL);

    use EventType::{DocumentAcknowledged, ExceptionRaised};
    assert_eq!(types(&events), [DocumentAcknowledged, DocumentAcknowledged, DocumentAcknowledged, ExceptionRaised]);
    let told: Vec<_> = events.iter().map(|e| (e.reference(RefKind::Subject), &*e.extensions["status"])).collect();
    assert_eq!(told, [("IC7", "accepted"), ("IC7/M1", "accepted"), ("IC7/M2", "rejected"), ("IC7/M2", "rejected")]);
    assert_eq!(events[3].reference(RefKind::ExceptionCode), "CONTRL_13");
    assert_eq!(events[3].extensions["edifact:UCM/errors"], "UCS+5+13");
    assert_eq!(events[0].time.rfc3339(), "2026-07-14T10:15:00-05:00");
}

#[test]
fn a_contrl_without_uci_is_held() {
    assert_eq!(faults("CONTRL:D:3:UN", "UCM+1+ORDERS:D:96A:UN+7'")[0].2, "UCI/0020");
}

#[test]
fn an_aperak_with_errors_rejects_its_document() {
    let events = events("APERAK:D:96A:UN", APERAK);

    assert_eq!(types(&events), [EventType::DocumentAcknowledged, EventType::ExceptionRaised]);
    assert_eq!((events[0].reference(RefKind::Subject), &*events[0].correlation_id), ("DA-77", "PO-9"));
    assert_eq!(
        (&*events[0].extensions["status"], &*events[0].extensions["edifact:ERC"]),
        ("rejected", "42::9 unknown item")
    );
    assert_eq!(events[1].reference(RefKind::ExceptionCode), "APERAK_42::9");
}

#[test]
fn an_aperak_without_errors_accepts_it() {
    let body = "BGM+312+AP-1+29'\nDTM+137:20260715:102'\nRFF+AAK:DA-77'";

    let outcome = outcome(&interchange(&[("APERAK:D:96A:UN", body)]));

    let events = good(outcome);
    assert_eq!(
        (events.len(), &*events[0].extensions["status"], events[0].reference(RefKind::Subject)),
        (1, "accepted", "DA-77")
    );
}

//! 940 warehouse shipping order: the depositor asks for goods to be shipped.

use docksync_proto::event::{Action, EventType, Line, RefKind};
use rust_decimal::Decimal;

use super::{
    super::{message::doubt, trade::refer},
    header::{Header, begin},
    item::Places,
    segment::Segment,
    sheet::{Sheet, keep_element, keep_others},
};

/// W01: 03 case code; 04/05, 06/07 and 15/16 item numbers (ASC X12 004010, segment W01).
const ITEM: Places<'_> = Places { upc: 3, pairs: &[4, 6, 15] };

/// Reads the document. False for a test order, which is dropped.
pub(super) fn read(sheet: &mut Sheet<'_, '_, '_, '_>, segments: &[Segment]) -> bool {
    let Some(w05) = begin(sheet, segments, "W05") else { return true };
    if w05.get(1) == "X" {
        return false;
    }
    let mut header = Header::new(sheet.event(EventType::OrderSubmitted));
    start(sheet, &mut header, w05);
    let (mut sum, mut group) = (Decimal::ZERO, String::new());
    for segment in segments {
        let nth = header.event.lines.len();
        match segment.id() {
            "ST" | "SE" | "W05" => {}
            "LX" => segment.get(1).clone_into(&mut group),
            "W01" => sum += line(sheet, &mut header, segment, &mut group),
            "W76" => {
                sheet.total(&mut header.event, segment, 1, sum, "TOTAL_MISMATCH");
                keep_others(&mut header.event, segment, &[1], 1);
            }
            _ if nth == 0 => header.take(sheet, segment),
            _ => below(sheet, &mut header, segment, nth),
        }
    }
    let Header { mut event, sites, .. } = header;
    sheet.site(&mut event, &sites, &["WH", "SF"]);
    order_time(sheet, &mut event, segments);
    if event.lines.is_empty() {
        sheet.fault(w05, 0, "MISSING_MANDATORY", "at least one line (W01)");
    }
    sheet.message.events.push(event);
    true
}

fn start(sheet: &mut Sheet<'_, '_, '_, '_>, header: &mut Header, w05: &Segment) {
    let event = &mut header.event;
    let word = sheet.messages.parse.partner("action", w05.get(1));
    match word.and_then(Action::from_word).or(match w05.get(1) {
        // S is a future order: one that waits, as the extension says.
        "N" | "S" => Some(Action::Add),
        "R" | "G" | "L" => Some(Action::Change),
        "D" | "F" => Some(Action::Void),
        _ => None,
    }) {
        Some(action) => event.action = action,
        None => {
            sheet.fault(w05, 1, "INVALID_ACTION", "N, R, G, L, D, F or S, or an entry in the feed's table `action`")
        }
    }
    if w05.get(1) == "S" {
        doubt(event, "FUTURE_ORDER", "W0501", "the order is to be held until its day");
    }
    let order = sheet.must(w05, 2, "the depositor's order number");
    order.clone_into(&mut event.correlation_id);
    refer(&mut event.references, RefKind::DepositorOrder, order);
    refer(&mut event.references, RefKind::Po, w05.get(3));
    let used: &[usize] = if w05.get(1) == "N" { &[1, 2, 3] } else { &[2, 3] };
    keep_others(event, w05, used, 1);
}

fn line(sheet: &mut Sheet<'_, '_, '_, '_>, header: &mut Header, w01: &Segment, group: &mut String) -> Decimal {
    let event = &mut header.event;
    let nth = event.lines.len() + 1;
    let mut line = Line { line_no: nth.to_string(), ..Line::default() };
    let ordered = sheet.must_quantity(w01, 1);
    line.qty_ordered = ordered;
    sheet.unit(event, &mut line, w01, 2);
    w01.get(13).clone_into(&mut line.lot);
    sheet.item(event, &mut line, w01, &ITEM, nth);
    let mut used = ITEM.used();
    used.extend([1, 2, 13]);
    keep_others(event, w01, &used, nth);
    group_of(event, group, &line.line_no, nth);
    event.lines.push(line);
    ordered.unwrap_or_default()
}

/// The number of an `LX` is told only where it is not the line's own.
pub(super) fn group_of(event: &mut docksync_proto::event::Event, group: &mut String, line_no: &str, nth: usize) {
    if !group.is_empty() && group != line_no {
        super::super::trade::keep(event, super::sheet::nth_key("x12:LX01".to_owned(), nth), group);
    }
    group.clear();
}

fn below(sheet: &mut Sheet<'_, '_, '_, '_>, header: &mut Header, segment: &Segment, nth: usize) {
    let Some(mut line) = header.event.lines.pop() else { return };
    if sheet.below(&mut header.event, &mut line, segment, nth).is_some() {
        keep_element(&mut header.event, segment, 2, nth);
    }
    header.event.lines.push(line);
}

/// A 940 has no day of its own: the order's day, else the day of processing or effect, else the day on which it is asked for.
/// Only where the document names none does the envelope count, because that changes when the document is sent again.
fn order_time(sheet: &mut Sheet<'_, '_, '_, '_>, event: &mut docksync_proto::event::Event, segments: &[Segment]) {
    let dated = |qualifier: &str| segments.iter().find(|segment| segment.id() == "G62" && segment.get(1) == qualifier);
    match ["04", "09", "07", "10", "38", "02", "17"].iter().find_map(|qualifier| dated(qualifier)) {
        Some(segment) => {
            sheet.time(event, segment, [2, 4, 5]);
            // A day on which goods are asked for lies ahead.
            event.warnings.retain(|known| known.code != "FUTURE_TIME");
        }
        None => sheet.sent_time(event),
    }
}

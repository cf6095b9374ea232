//! 943 stock transfer shipment advice: goods on their way from one warehouse to another.
//!
//! `transfer_shipped` where they leave this site, `receipt_expected` where they come to it (see [`super::direction`]).

use docksync_proto::event::{EventType, Line, RefKind};
use rust_decimal::Decimal;

use super::{
    super::trade::refer,
    direction::Direction,
    header::{Header, begin},
    item::{Places, Plate},
    order::group_of,
    plates::{Plates, plate_quantity},
    segment::Segment,
    sheet::{Sheet, keep_others},
    shipping::{ship_time, start},
};

/// W04: 03 case code; 04/05, 06/07 and 14/15 item numbers (ASC X12 004010, segment W04).
const ITEM: Places<'_> = Places { upc: 3, pairs: &[4, 6, 14] };

/// Reads the document.
pub(super) fn read(sheet: &mut Sheet<'_, '_, '_, '_>, segments: &[Segment]) {
    let Some(w06) = begin(sheet, segments, "W06") else { return };
    let mut header = Header::new(sheet.event(EventType::TransferShipped));
    start(sheet, &mut header, w06);
    let transfer = sheet.must(w06, 2, "the number of the transfer");
    transfer.clone_into(&mut header.event.correlation_id);
    let (mut sum, mut group, mut below, mut plates) = (Decimal::ZERO, String::new(), Vec::new(), Plates::default());
    for segment in segments {
        let nth = header.event.lines.len();
        match segment.id() {
            "ST" | "SE" | "W06" => {}
            "LX" => segment.get(1).clone_into(&mut group),
            "W04" => {
                close(&mut header, &mut plates, &mut below);
                sum += line(sheet, &mut header, segment, &mut group);
            }
            "W03" => {
                sheet.total(&mut header.event, segment, 1, sum, "TOTAL_MISMATCH");
                keep_others(&mut header.event, segment, &[1], 1);
            }
            _ if nth == 0 => header.take(sheet, segment),
            _ => {
                if let Some(mut line) = header.event.lines.pop() {
                    below.extend(sheet.below(&mut header.event, &mut line, segment, nth));
                    header.event.lines.push(line);
                }
            }
        }
    }
    close(&mut header, &mut plates, &mut below);
    finish(sheet, header, plates, w06, segments);
}

fn line(sheet: &mut Sheet<'_, '_, '_, '_>, header: &mut Header, w04: &Segment, group: &mut String) -> Decimal {
    let event = &mut header.event;
    let nth = event.lines.len() + 1;
    let mut line = Line { line_no: nth.to_string(), ..Line::default() };
    line.qty_shipped = sheet.must_quantity(w04, 1);
    sheet.unit(event, &mut line, w04, 2);
    sheet.item(event, &mut line, w04, &ITEM, nth);
    let mut used = ITEM.used();
    used.extend([1, 2]);
    keep_others(event, w04, &used, nth);
    group_of(event, group, &line.line_no, nth);
    let shipped = line.qty_shipped.unwrap_or_default();
    event.lines.push(line);
    shipped
}

/// Puts the last line on the plates below it.
pub(super) fn close(header: &mut Header, plates: &mut Plates, below: &mut Vec<Plate>) {
    let named = std::mem::take(below);
    let Some(mut line) = header.event.lines.pop() else { return };
    let all = line.qty_shipped.or(line.qty_received);
    for plate in &named {
        let index = plates.open_plate(&mut header.event, &plate.id);
        plates.put(index, &line, plate_quantity(&line, plate.qty, named.len() == 1, all));
        if named.len() == 1 {
            line.container_ref.clone_from(&plate.id);
        }
    }
    header.event.lines.push(line);
}

fn finish(sheet: &mut Sheet<'_, '_, '_, '_>, header: Header, plates: Plates, w06: &Segment, segments: &[Segment]) {
    let Header { mut event, sites, .. } = header;
    event.containers = plates.all;
    ship_time(sheet, &mut event, w06, segments);
    match sheet.direction(&sites, &["ST", "WH"]) {
        Direction::In => {
            event.event_type = EventType::ReceiptExpected;
            sheet.site(&mut event, &sites, &["WH", "ST"]);
            let announced = if w06.has(4) { w06.get(4) } else { w06.get(2) };
            refer(&mut event.references, RefKind::Desadv, announced);
            event.lines.iter_mut().for_each(|line| line.qty = line.qty_shipped);
        }
        Direction::Out => sheet.site(&mut event, &sites, &["SF", "WH"]),
    }
    if event.lines.is_empty() {
        sheet.fault(w06, 0, "MISSING_MANDATORY", "at least one line (W04)");
    }
    sheet.message.events.push(event);
}

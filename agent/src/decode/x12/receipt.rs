//! 944 stock transfer receipt advice: what arrived and was counted in, returned, or corrected.

use docksync_proto::event::{Event, EventType, Line, Reason, RefKind};
use rust_decimal::Decimal;

use super::{
    super::{message::doubt, trade::refer},
    codes,
    header::{Header, begin},
    item::{Places, Plate},
    order::group_of,
    plates::{Plates, exception},
    segment::Segment,
    sheet::{Sheet, keep_element, keep_others},
    transfer::close,
};

/// W07: 03 case code; 04/05, 06/07 and 10/11 item numbers; 08 lot (ASC X12 004010, segment W07).
const ITEM: Places<'_> = Places { upc: 3, pairs: &[4, 6, 10] };
/// The same where 06 says `LT` and nothing stands behind it: the lot is in its own element.
const LOT_APART: Places<'_> = Places { upc: 3, pairs: &[4, 10] };

/// A 944 while it is read.
struct Receiving {
    header: Header,
    plates: Plates,
    below: Vec<Plate>,
    group_no: String,
    received: Decimal,
    /// Conditions by line: code, quantity, and the line as it was received.
    conditions: Vec<(usize, Segment, Option<Decimal>)>,
}

/// Reads the document.
pub(super) fn read(sheet: &mut Sheet<'_, '_, '_, '_>, segments: &[Segment]) {
    let Some(w17) = begin(sheet, segments, "W17") else { return };
    let event_type = match w17.get(1) {
        "C" => EventType::ReturnReceived,
        "A" => EventType::InventoryAdjusted,
        _ => EventType::ReceiptConfirmed,
    };
    let header = Header::new(sheet.event(event_type));
    let mut receiving = Receiving {
        header,
        plates: Plates::default(),
        below: Vec::new(),
        group_no: String::new(),
        received: Decimal::ZERO,
        conditions: Vec::new(),
    };
    receiving.start(sheet, w17);
    for segment in segments {
        receiving.take(sheet, segment);
    }
    close(&mut receiving.header, &mut receiving.plates, &mut receiving.below);
    receiving.finish(sheet, w17);
}

impl Receiving {
    fn start(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, w17: &Segment) {
        let event = &mut self.header.event;
        if !w17.has(1) {
            doubt(event, "MISSING_REPORTING_CODE", "W1701", "the reporting code is empty");
        }
        let receipt = sheet.must(w17, 3, "the number of the receipt");
        let kind = if w17.get(1) == "A" { RefKind::Adjustment } else { RefKind::Receipt };
        refer(&mut event.references, kind, receipt);
        refer(&mut event.references, RefKind::DepositorOrder, w17.get(4));
        refer(&mut event.references, RefKind::Shipment, w17.get(5));
        let order = if w17.has(4) { w17.get(4) } else { receipt };
        order.clone_into(&mut event.correlation_id);
        sheet.must(w17, 2, "the day of receipt");
        sheet.time(event, w17, [2, 7, 0]);
        keep_others(event, w17, &[2, 3, 4, 5, 6, 7], 1);
    }

    fn take(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &Segment) {
        let nth = self.header.event.lines.len();
        match segment.id() {
            "ST" | "SE" | "W17" => {}
            "LX" => segment.get(1).clone_into(&mut self.group_no),
            "W07" => {
                close(&mut self.header, &mut self.plates, &mut self.below);
                self.line(sheet, segment);
            }
            "W13" if nth > 0 => self.condition(sheet, segment, nth),
            "W14" => {
                sheet.total(&mut self.header.event, segment, 1, self.received, "TOTAL_MISMATCH");
                keep_others(&mut self.header.event, segment, &[1], 1);
            }
            _ if nth == 0 => self.header.take(sheet, segment),
            _ => {
                if let Some(mut line) = self.header.event.lines.pop() {
                    self.below.extend(sheet.below(&mut self.header.event, &mut line, segment, nth));
                    self.header.event.lines.push(line);
                }
            }
        }
    }

    fn line(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, w07: &Segment) {
        let event = &mut self.header.event;
        let nth = event.lines.len() + 1;
        let mut line = Line { line_no: nth.to_string(), ..Line::default() };
        let received = sheet.must_quantity(w07, 1);
        self.received += received.unwrap_or_default();
        line.qty_received = received;
        sheet.unit(event, &mut line, w07, 2);
        let is_apart = w07.get(6) == "LT" && !w07.has(7) && w07.has(8);
        let places = if is_apart { LOT_APART } else { ITEM };
        sheet.item(event, &mut line, w07, &places, nth);
        let mut used = places.used();
        used.extend([1, 2]);
        if is_apart {
            used.push(6);
        }
        if line.lot.is_empty() || line.lot == w07.get(8) {
            w07.get(8).clone_into(&mut line.lot);
            used.push(8);
        }
        keep_others(event, w07, &used, nth);
        group_of(event, &mut self.group_no, &line.line_no, nth);
        event.lines.push(line);
    }

    /// W13: 01 quantity, 02 unit, 03 condition, 04 lot, 05 reason of damage.
    fn condition(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, w13: &Segment, nth: usize) {
        let qty = sheet.must_quantity(w13, 1);
        let Some(line) = self.header.event.lines.last_mut() else { return };
        let excludes = sheet.messages.parse.is_set("w07_excludes_damaged");
        let add = |slot: &mut Option<Decimal>, qty: Decimal| *slot = Some(slot.unwrap_or_default() + qty);
        match (w13.get(3), qty) {
            ("01", Some(qty)) => {
                add(&mut line.qty_damaged, qty);
                if excludes {
                    add(&mut line.qty_received, qty);
                }
            }
            ("02" | "16", Some(qty)) => add(&mut line.qty_difference, qty),
            ("03" | "12", Some(qty)) => add(&mut line.qty_difference, -qty),
            _ => {}
        }
        if w13.has(2) && sheet.unit_of(w13, 2, w13.get(2)) != line.uom {
            let words = format!("segment {} counts in another unit than its line", w13.line_no);
            doubt(&mut self.header.event, "UNIT_MISMATCH", "W1302", words);
        }
        (1..=w13.last()).filter(|n| *n > 5).for_each(|n| keep_element(&mut self.header.event, w13, n, nth));
        self.conditions.push((nth, w13.clone(), qty));
    }

    fn finish(self, sheet: &mut Sheet<'_, '_, '_, '_>, w17: &Segment) {
        let Header { mut event, sites, .. } = self.header;
        sheet.site(&mut event, &sites, &["WH", "ST"]);
        event.containers = self.plates.all;
        let code = w17.get(1).to_owned();
        keep_condition(&mut event, &self.conditions);
        if event.lines.is_empty() {
            sheet.fault(w17, 0, "MISSING_MANDATORY", "at least one line (W07)");
        }
        let exceptions = exceptions(sheet, &event, &self.conditions);
        if event.event_type == EventType::InventoryAdjusted {
            adjust(&mut event, &code);
        }
        sheet.message.events.push(event);
        sheet.message.events.extend(exceptions);
    }
}

/// A receipt that corrects stock: the quantity is the change.
fn adjust(event: &mut Event, code: &str) {
    for line in &mut event.lines {
        line.qty = line.qty_received.take();
        let (code, source_code) = ("receipt_correction".to_owned(), code.to_owned());
        line.reason = Reason { code, source_code, text: String::new() };
    }
}

/// Goods of one condition throughout have its stock status.
fn keep_condition(event: &mut Event, conditions: &[(usize, Segment, Option<Decimal>)]) {
    for (nth, w13, qty) in conditions {
        let Some(line) = event.lines.get_mut(nth - 1) else { continue };
        if *qty == line.qty_received && line.stock_status_to.is_empty() {
            let status = match w13.get(3) {
                "04" => "quality",
                "09" => "hold",
                _ => continue,
            };
            status.clone_into(&mut line.stock_status_to);
        }
    }
}

fn exceptions(sheet: &Sheet<'_, '_, '_, '_>, event: &Event, all: &[(usize, Segment, Option<Decimal>)]) -> Vec<Event> {
    let mut exceptions = Vec::new();
    for (nth, w13, qty) in all {
        let code = w13.get(3);
        let word = match codes::condition(code) {
            Some(word) => word.to_owned(),
            None if matches!(code, "07" | "11") => continue,
            None => code.to_owned(),
        };
        let Some(mut line) = event.lines.get(nth - 1).cloned() else { continue };
        line.qty = *qty;
        if w13.has(4) {
            w13.get(4).clone_into(&mut line.lot);
        }
        let (source_code, text) = (code.to_owned(), w13.get(5).to_owned());
        let reason = if code == "01" { "damage".to_owned() } else { String::new() };
        line.reason = Reason { code: reason, source_code, text };
        let severity = if matches!(code, "03" | "06" | "12" | "14") { "warning" } else { "error" };
        exceptions.push(exception(sheet, event, &format!("RECEIPT_{word}"), severity, line));
    }
    exceptions
}

//! 850 purchase order, 860 its change, 855 its acknowledgment.

use docksync_proto::event::{Event, EventType, Line, LineStatus, RefKind};
use rust_decimal::Decimal;

use super::{
    super::{message::doubt, trade::refer},
    codes,
    header::{Header, begin},
    item::{Places, line_refer},
    segment::Segment,
    sheet::{Sheet, keep_element, keep_others},
};

/// What tells the three documents apart.
struct Kind {
    begin: &'static str,
    detail: &'static str,
    event_type: EventType,
    /// Elements of the beginning: release, change number, day of this document, seller's number.
    release: usize,
    change: usize,
    days: &'static [usize],
    seller: usize,
    /// Elements of the detail: change code, quantity, unit; first qualifier of item numbers.
    code: usize,
    qty: usize,
    unit: usize,
    ids: usize,
}

const ORDER: Kind = Kind {
    begin: "BEG",
    detail: "PO1",
    event_type: EventType::OrderSubmitted,
    release: 4,
    change: 0,
    days: &[5],
    seller: 0,
    code: 0,
    qty: 2,
    unit: 3,
    ids: 6,
};

const CHANGE: Kind = Kind {
    begin: "BCH",
    detail: "POC",
    event_type: EventType::OrderSubmitted,
    release: 4,
    change: 5,
    days: &[11, 6],
    seller: 9,
    code: 2,
    qty: 3,
    unit: 5,
    ids: 8,
};

const ANSWER: Kind = Kind {
    begin: "BAK",
    detail: "PO1",
    event_type: EventType::OrderAcknowledged,
    release: 5,
    change: 0,
    days: &[9, 4],
    seller: 8,
    code: 0,
    qty: 2,
    unit: 3,
    ids: 6,
};

/// An order while it is read.
struct Order {
    kind: &'static Kind,
    header: Header,
    /// Details so far; each may have become several lines.
    details: u64,
    /// First line of the last detail.
    first: usize,
    /// Quantity and quantities of stores of the last detail.
    stores: Vec<(String, Decimal)>,
    sum: Decimal,
}

/// Reads the document.
pub(super) fn read(sheet: &mut Sheet<'_, '_, '_, '_>, segments: &[Segment]) {
    let kind = match sheet.kind {
        "860" => &CHANGE,
        "855" => &ANSWER,
        _ => &ORDER,
    };
    let Some(start) = begin(sheet, segments, kind.begin) else { return };
    let header = Header::new(sheet.event(kind.event_type));
    let mut order = Order { kind, header, details: 0, first: 0, stores: Vec::new(), sum: Decimal::ZERO };
    order.start(sheet, start);
    for segment in segments {
        order.take(sheet, segment);
    }
    order.divide();
    order.finish(sheet, start);
}

impl Order {
    fn start(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, start: &Segment) {
        let Kind { release, change, days, seller, .. } = *self.kind;
        let event = &mut self.header.event;
        sheet.purpose(event, start, 1, self.kind.event_type == EventType::OrderSubmitted);
        let order = sheet.must(start, 3, "the number of the order");
        order.clone_into(&mut event.correlation_id);
        refer(&mut event.references, RefKind::Po, order);
        // A release is an order of its own under one number, as a change is.
        let number = [release, change].map(|n| if n > 0 { start.get(n) } else { "" });
        let number: Vec<&str> = number.into_iter().filter(|part| !part.is_empty()).collect();
        refer(&mut event.references, RefKind::OrderChange, &number.join("/"));
        if seller > 0 {
            refer(&mut event.references, RefKind::So, start.get(seller));
        }
        let mut has_time = false;
        for n in days {
            if has_time {
                sheet.day(start, *n);
                keep_element(event, start, *n, 1);
            } else {
                has_time = sheet.time(event, start, [*n, 0, 0]);
            }
        }
        if !has_time && sheet.message.is_good() {
            sheet.fault(start, *days.last().unwrap_or(&0), "MISSING_MANDATORY", "the day of the order");
        }
        let mut used = vec![1, 3, release, change, seller];
        used.extend_from_slice(days);
        keep_others(event, start, &used, 1);
    }

    fn take(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &Segment) {
        let nth = self.header.event.lines.len();
        match segment.id() {
            "ST" | "SE" => {}
            id if id == self.kind.begin => {}
            id if id == self.kind.detail => {
                self.divide();
                self.line(sheet, segment);
            }
            "CTT" => {
                self.divide();
                let event = &mut self.header.event;
                sheet.total(event, segment, 1, self.details.into(), "COUNT_MISMATCH");
                sheet.total(event, segment, 2, self.sum, "TOTAL_MISMATCH");
                keep_others(event, segment, &[1, 2], 1);
            }
            _ if nth == 0 => self.header.take(sheet, segment),
            "AMT" if segment.get(1) == "TT" => sheet.keep(&mut self.header.event, segment, 1),
            "SDQ" => self.store(sheet, segment),
            "ACK" => self.answer(sheet, segment, nth),
            _ => {
                if let Some(mut line) = self.header.event.lines.pop() {
                    if sheet.below(&mut self.header.event, &mut line, segment, nth).is_some() {
                        sheet.keep(&mut self.header.event, segment, nth);
                    }
                    self.header.event.lines.push(line);
                }
            }
        }
    }

    fn line(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &Segment) {
        let Kind { code, qty, unit, ids, .. } = *self.kind;
        let event = &mut self.header.event;
        self.first = event.lines.len();
        self.details += 1;
        let nth = self.first + 1;
        let number = if segment.has(1) { segment.get(1).to_owned() } else { self.details.to_string() };
        let mut line = Line { line_no: number, source_line_no: segment.get(1).to_owned(), ..Line::default() };
        let is_deleted = code > 0 && segment.get(code) == "DI";
        line.qty_ordered = if is_deleted && !segment.has(qty) {
            Some(Decimal::ZERO)
        } else if self.kind.event_type == EventType::OrderSubmitted {
            sheet.must_quantity(segment, qty)
        } else {
            sheet.quantity(segment, qty)
        };
        if segment.has(unit) || !is_deleted {
            sheet.unit(event, &mut line, segment, unit);
        }
        if code > 0 {
            segment.get(code).clone_into(&mut line.status_source);
            line.status_code = is_deleted.then_some(LineStatus::Cancelled);
        }
        let pairs: Vec<usize> = (ids..=segment.last()).step_by(2).collect();
        let places = Places { upc: 0, pairs: &pairs };
        if pairs.is_empty() {
            sheet.fault(segment, ids, "MISSING_MANDATORY", "the number of an item");
        } else {
            sheet.item(event, &mut line, segment, &places, nth);
        }
        let mut used = places.used();
        used.extend([1, code, qty, unit]);
        keep_others(event, segment, &used, nth);
        self.sum += line.qty_ordered.unwrap_or_default();
        event.lines.push(line);
    }

    /// SDQ: 01 unit, 02 list of the stores' numbers, then pairs of store and quantity up to 22; 23 a location.
    fn store(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, sdq: &Segment) {
        for at in (3..=sdq.last().min(22)).step_by(2) {
            if !sdq.has(at) && !sdq.has(at + 1) {
                continue;
            }
            let store = sheet.must(sdq, at, "the number of a store").to_owned();
            if let Some(qty) = sheet.must_quantity(sdq, at + 1) {
                self.stores.push((store, qty));
            }
        }
        let nth = self.header.event.lines.len();
        let has_unit = sdq.has(1) && sheet.unit_of(sdq, 1, sdq.get(1)) != self.unit();
        if has_unit {
            sheet.fault(sdq, 1, "UNIT_MISMATCH", format!("{}, the unit of the line", self.unit()));
        }
        keep_element(&mut self.header.event, sdq, 2, nth);
        keep_element(&mut self.header.event, sdq, 23, nth);
    }

    fn unit(&self) -> String {
        self.header.event.lines.last().map(|line| line.uom.clone()).unwrap_or_default()
    }

    /// One line for each store in place of the line of all.
    fn divide(&mut self) {
        let stores = std::mem::take(&mut self.stores);
        if stores.is_empty() {
            return;
        }
        let event = &mut self.header.event;
        let Some(line) = event.lines.pop() else { return };
        let sum: Decimal = stores.iter().map(|(_, qty)| qty).sum();
        if line.qty_ordered.is_some_and(|ordered| ordered != sum) {
            let ordered = line.qty_ordered.unwrap_or_default();
            let words = format!("line {}: the stores are to get {sum}, the line orders {ordered}", line.line_no);
            doubt(event, "TOTAL_MISMATCH", "SDQ", words);
        }
        for (nth, (store, qty)) in stores.into_iter().enumerate() {
            let mut part = line.clone();
            part.line_no = format!("{}.{}", line.line_no, nth + 1);
            part.qty_ordered = Some(qty);
            line_refer(&mut part, RefKind::Store, &store);
            event.lines.push(part);
        }
    }

    /// ACK: 01 status, 02 quantity, 03 unit, 04 and 05 a day. Several below one line are several parts of it.
    fn answer(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, ack: &Segment, nth: usize) {
        let event = &mut self.header.event;
        let code = ack.get(1);
        let status = sheet.messages.parse.partner("status", code).and_then(LineStatus::from_word);
        let status = status.or_else(|| codes::answer_status(code));
        if status.is_none() {
            doubt(event, "UNKNOWN_STATUS", "ACK01", format!("`{code}` is no known status of a line"));
        }
        let qty = sheet.quantity(ack, 2);
        let unit = if ack.has(3) { sheet.unit_of(ack, 3, ack.get(3)) } else { String::new() };
        sheet.day(ack, 5);
        let is_more = self.header.event.lines.last().is_some_and(|line| line.status_code.is_some());
        if is_more && let Some(mut part) = self.header.event.lines.last().cloned() {
            part.line_no = format!("{}.{}", self.details, self.header.event.lines.len() - self.first + 1);
            self.header.event.lines.push(part);
        }
        if let Some(line) = self.header.event.lines.last_mut() {
            line.status_code = Some(status.unwrap_or(LineStatus::Other));
            code.clone_into(&mut line.status_source);
            line.qty = qty;
            if line.uom.is_empty() {
                line.uom = unit;
            }
        }
        let nth = nth + usize::from(is_more);
        (4..=ack.last()).for_each(|n| keep_element(&mut self.header.event, ack, n, nth));
    }

    fn finish(self, sheet: &mut Sheet<'_, '_, '_, '_>, start: &Segment) {
        let Header { mut event, sites, .. } = self.header;
        order_site(sheet, &mut event, &sites);
        if event.lines.is_empty() && self.kind.event_type == EventType::OrderSubmitted {
            sheet.fault(start, 0, "MISSING_MANDATORY", format!("at least one line ({})", self.kind.detail));
        }
        sheet.message.events.push(event);
    }
}

/// An order goes to whom it names; only a warehouse, or a place to ship from, says which site that is.
fn order_site(sheet: &mut Sheet<'_, '_, '_, '_>, event: &mut Event, sites: &[super::sheet::Site]) {
    let own: Vec<_> = sites.iter().filter(|site| sheet.messages.is_own_site(&site.code)).cloned().collect();
    sheet.site(event, &own, &["WH", "SF"]);
}

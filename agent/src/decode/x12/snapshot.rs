//! 846 inventory inquiry or advice: the warehouse's own statement of its stock.
//!
//! A report may have any length. It is read item by item into events of at most [`SNAPSHOT_LINES_MAX`] lines, always marked
//! as parts of a whole, so that their identity does not depend on the length of the report.

use docksync_proto::event::{Event, EventType, Line, RefKind};

use super::{
    super::{
        message::doubt,
        trade::{refer, settle_whole},
    },
    codes,
    header::Header,
    item::Places,
    segment::{Segment, component},
    sheet::{Sheet, Site, keep_element, keep_others},
};

/// Most lines of one event.
pub(super) const SNAPSHOT_LINES_MAX: usize = 500;
/// Most segments of one item; more are a fault.
const ITEM_SEGMENTS_MAX: usize = 2_000;
/// Sites that one report may speak of at a time.
const SITES_MAX: usize = 50;

/// An 846 while it is read.
pub(super) struct Snapshot {
    header: Header,
    has_begin: bool,
    has_time: bool,
    /// Segments of the open item.
    item: Vec<Segment>,
    /// Items so far.
    items: u64,
    /// Open events, one for each warehouse that items name.
    parts: Vec<Event>,
    /// Whether the header is closed, and its warehouse known.
    has_head: bool,
}

impl Snapshot {
    pub(super) fn new(sheet: &Sheet<'_, '_, '_, '_>) -> Self {
        let mut event = sheet.event(EventType::InventorySnapshot);
        event.split = true;
        let (header, item, parts) = (Header::new(event), Vec::new(), Vec::new());
        Self { header, has_begin: false, has_time: false, item, items: 0, parts, has_head: false }
    }

    /// Takes the next segment of the set; full events go to the sheet's message.
    pub(super) fn take(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &Segment) {
        match segment.id() {
            "ST" | "SE" => {}
            "BIA" => self.begin(sheet, segment),
            "LIN" => {
                self.close_item(sheet);
                self.items += 1;
                self.item.push(segment.clone());
            }
            "CTT" => {
                self.close_item(sheet);
                let last = self.parts.last_mut().unwrap_or(&mut self.header.event);
                sheet.total(last, segment, 1, self.items.into(), "COUNT_MISMATCH");
                keep_others(last, segment, &[1], 1);
            }
            _ if self.item.is_empty() => self.head(sheet, segment),
            _ if self.item.len() >= ITEM_SEGMENTS_MAX => {
                let expected = format!("at most {ITEM_SEGMENTS_MAX} segments of one item");
                sheet.fault(segment, 0, "DOCUMENT_TOO_LARGE", expected);
            }
            _ => self.item.push(segment.clone()),
        }
    }

    /// Closes the report.
    pub(super) fn finish(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, st: &Segment) {
        self.close_item(sheet);
        if !self.has_begin {
            sheet.fault(st, 0, "MISSING_MANDATORY", "a segment BIA behind ST");
        }
        if self.items == 0 {
            sheet.fault(st, 0, "MISSING_MANDATORY", "at least one item (LIN)");
        }
        sheet.message.events.append(&mut self.parts);
    }

    /// BIA: 01 purpose, 02 type of report, 03 its number, 04 day, 05 time.
    fn begin(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, bia: &Segment) {
        self.has_begin = true;
        let event = &mut self.header.event;
        sheet.purpose(event, bia, 1, false);
        if matches!(bia.get(1), "04" | "25") {
            // What is not in it has not become zero.
            super::super::trade::keep(event, "partial", "true");
        }
        let report = sheet.must(bia, 3, "the number of the report");
        refer(&mut event.references, RefKind::Report, report);
        report.clone_into(&mut event.correlation_id);
        sheet.must(bia, 4, "the day of the report");
        sheet.time(event, bia, [4, 5, 0]);
        keep_others(event, bia, &[1, 3, 4, 5], 1);
    }

    /// The day that the stock is stated for goes before the day of the report.
    fn head(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &Segment) {
        if segment.id() == "DTM" && matches!(segment.get(1), "007" | "167" | "405") && !self.has_time {
            self.has_time = sheet.time(&mut self.header.event, segment, [2, 3, 4]);
            return;
        }
        self.header.take(sheet, segment);
    }

    fn close_item(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>) {
        let segments = std::mem::take(&mut self.item);
        if segments.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.has_head, true) {
            sheet.site(&mut self.header.event, &self.header.sites, &["WH", "SF", "ST"]);
        }
        let mut part = self.part(sheet, &segments);
        let mut reader = Item { line: Line::default(), lines: Vec::new(), nth: part.lines.len() + 1, is_open: false };
        for segment in &segments {
            reader.take(sheet, &mut part, segment, self.items);
        }
        if let Some(lin) = segments.first() {
            reader.finish(sheet, &mut part, lin);
        }
        if part.lines.len() >= SNAPSHOT_LINES_MAX {
            sheet.message.events.push(part);
        } else {
            self.parts.push(part);
        }
    }

    /// The open event of the item's warehouse: its own, or that of the header.
    fn part(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segments: &[Segment]) -> Event {
        let mut fresh = self.header.event.clone();
        let named = segments.iter().find(|s| s.id() == "N1" && matches!(s.get(1), "WH" | "SF" | "ST") && s.has(4));
        if let Some(n1) = named {
            let (qualifier, code, text) = (n1.get(1).to_owned(), n1.get(4).to_owned(), n1.text().to_owned());
            let site = Site { qualifier, code, line_no: n1.line_no, text };
            sheet.site(&mut fresh, &[site], &["WH", "SF", "ST"]);
        }
        let quantities = segments.iter().filter(|s| s.id() == "QTY").count();
        if let Some(at) = self.parts.iter().position(|part| part.site_id == fresh.site_id) {
            let part = self.parts.swap_remove(at);
            if part.lines.len() + quantities <= SNAPSHOT_LINES_MAX || part.lines.is_empty() {
                return part;
            }
            sheet.message.events.push(part);
        } else if self.parts.len() >= SITES_MAX {
            sheet.message.events.push(self.parts.remove(0));
        }
        fresh
    }
}

/// One item, with a line for each of its quantities.
struct Item {
    /// What all its lines share.
    line: Line,
    lines: Vec<Line>,
    nth: usize,
    /// Whether a quantity is open: dates and references behind it are its own.
    is_open: bool,
}

impl Item {
    fn take(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, event: &mut Event, segment: &Segment, ordinal: u64) {
        match segment.id() {
            "LIN" => {
                let pairs: Vec<usize> = (2..=segment.last()).step_by(2).collect();
                let number = if segment.has(1) { segment.get(1).to_owned() } else { ordinal.to_string() };
                self.line.line_no = number;
                sheet.item(event, &mut self.line, segment, &Places { upc: 0, pairs: &pairs }, self.nth);
            }
            "QTY" => self.quantity(sheet, event, segment),
            "UIT" => {
                let unit = component(segment.get(1), sheet.envelope.delimiters, 0).to_owned();
                if let Some(line) = self.lines.last_mut().filter(|line| line.uom.is_empty()) {
                    line.uom = sheet.unit_of(segment, 1, &unit);
                }
                keep_others(event, segment, &[1], self.place());
            }
            "DTM" if matches!(segment.get(1), "371" | "036") => {
                let day = sheet.day(segment, 2);
                self.current().expiry_date = day;
            }
            "REF" | "N9" if matches!(segment.get(1), "WS" | "LU") => {
                segment.get(2).clone_into(&mut self.current().location_to);
            }
            "N1" => self.warehouse(sheet, event, segment),
            _ => {
                let nth = self.place();
                let mut line = std::mem::take(self.current());
                if let Some(plate) = sheet.below(event, &mut line, segment, nth) {
                    line.container_ref = plate.id;
                }
                *self.current() = line;
            }
        }
    }

    /// The line that is open, or what all lines share.
    fn current(&mut self) -> &mut Line {
        match self.lines.last_mut() {
            Some(line) if self.is_open => line,
            _ => &mut self.line,
        }
    }

    fn place(&self) -> usize {
        self.nth + self.lines.len().saturating_sub(1)
    }

    /// QTY: 01 kind, 02 amount, 03 unit (element 673, EVENTS 3.6).
    fn quantity(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, event: &mut Event, segment: &Segment) {
        let mut line = self.line.clone();
        line.qty = sheet.must_quantity(segment, 2);
        if segment.has(3) {
            let unit = component(segment.get(3), sheet.envelope.delimiters, 0).to_owned();
            line.uom = sheet.unit_of(segment, 3, &unit);
        }
        let code = sheet.must(segment, 1, "the kind of the quantity");
        let own = sheet.messages.parse.partner("stock_status", code).map(str::to_owned);
        line.stock_status_to =
            own.or_else(|| codes::stock_status(code).map(str::to_owned)).unwrap_or_else(|| format!("other:{code}"));
        code.clone_into(&mut line.status_source);
        self.lines.push(line);
        self.is_open = true;
        (4..=segment.last()).for_each(|n| keep_element(event, segment, n, self.place()));
    }

    fn warehouse(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, event: &mut Event, segment: &Segment) {
        if !matches!(segment.get(1), "WH" | "SF" | "ST") || !segment.has(4) {
            let nth = self.place();
            sheet.keep(event, segment, nth);
        }
    }

    fn finish(mut self, sheet: &mut Sheet<'_, '_, '_, '_>, event: &mut Event, lin: &Segment) {
        settle_whole(&mut self.lines);
        if self.lines.is_empty() {
            sheet.fault(lin, 0, "MISSING_MANDATORY", "at least one quantity (QTY) of the item");
        }
        for line in self.lines {
            if line.uom.is_empty() {
                let words = format!("item {}: quantity `{}` has no unit", line.line_no, line.status_source);
                doubt(event, "MISSING_UOM", "QTY03", words);
            }
            event.lines.push(line);
        }
    }
}

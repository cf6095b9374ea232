//! INVRPT, inventory report: the stock as the warehouse states it, and what moved it.
//!
//! A quantity whose INV states a direction is a movement (`inventory_adjusted`, one event each); one of the stock qualifiers is a
//! line of `inventory_snapshot`; any other is kept. Every snapshot is split, so that its identity does not depend on its size.

use std::ops::ControlFlow;

use docksync_proto::event::{Event, EventType, Line, RefKind};

use super::{
    MESSAGE_SEGMENTS_MAX, REPORT_LINES_MAX, codes,
    document::{DocLine, Document, Head, Quantity, started},
    parse::Parser,
    segment::Segment,
};
use crate::decode::{
    hold,
    message::{Message, Messages, doubt},
    trade,
};

const SITE: &[&str] = &["WH", "ST", "GY", "GM", "DP", "LSP"];
const SITE_WEAK: &[&str] = &["SU", "SE", "SF", "CN", "BY"];

pub(super) fn assemble(messages: &mut Messages<'_, '_>, _head: &Head, mut document: Document, message: &mut Message) {
    open(messages, &mut document, message);
    pour(messages, &mut document, message);
    if message.events.is_empty() && message.is_good() {
        let fault = hold::whole("MISSING_MANDATORY", "QTY", "no stock quantity", "LIN with QTY+145 or another stock");
        let text = message.text.clone();
        message.fault(document.bgm_ordinal, fault, &text);
    }
}

/// What the header says: number, time, site.
fn open(messages: &mut Messages<'_, '_>, document: &mut Document, message: &mut Message) {
    document.needs_number(message);
    document.time(messages, message, &["366", "7", "137"]);
    document.dates.clear();
    document.place(messages, message, SITE, SITE_WEAK);
    document.event.action = codes::action(&document.function);
}

/// Turns the lines read so far into events.
fn pour(messages: &Messages<'_, '_>, document: &mut Document, message: &mut Message) {
    let lines = std::mem::take(&mut document.lines);
    let mut snapshot: Option<Event> = None;
    let mut adjusted = Vec::new();
    for mut doc_line in lines {
        let extensions = std::mem::take(&mut doc_line.extensions);
        let warnings = std::mem::take(&mut doc_line.warnings);
        let quantities = std::mem::take(&mut doc_line.quantities);
        let (mut stocks, mut keeps) = (Vec::new(), extensions);
        if quantities.is_empty() {
            keeps.push((format!("edifact:LIN[{}]", doc_line.nth), doc_line.text.clone()));
        }
        for quantity in quantities {
            match sort(messages, &quantity) {
                Kind::Stock(status) => stocks.push(stock_line(&doc_line, quantity, status)),
                Kind::Movement(is_gain) => adjusted.push(movement(messages, document, &doc_line, quantity, is_gain)),
                Kind::Other => {
                    let value = format!("{} {}", quantity.value.normalize(), quantity.uom);
                    keeps.push((format!("edifact:QTY+{}[{}]", quantity.code, doc_line.nth), value));
                }
            }
        }
        trade::settle_whole(&mut stocks);
        for stock in stocks {
            if snapshot.as_ref().is_some_and(|event| event.lines.len() >= REPORT_LINES_MAX) {
                message.events.extend(snapshot.take());
            }
            let event = snapshot.get_or_insert_with(|| blank(document, &doc_line));
            event.lines.push(stock);
        }
        // What no event was made for is kept with the statement of stock beside it.
        let home = match &mut snapshot {
            Some(event) => Some(event),
            None => adjusted.last_mut(),
        };
        if let Some(home) = home {
            keeps.iter().for_each(|(key, value)| trade::keep(home, key, value));
            home.warnings.extend(warnings);
        } else {
            keeps.iter().for_each(|(key, value)| trade::keep(&mut document.event, key, value));
        }
    }
    message.events.extend(snapshot);
    message.events.append(&mut adjusted);
}

/// What a quantity of a report is.
enum Kind {
    /// Stock, with its status.
    Stock(String),
    /// Came in, or went out.
    Movement(bool),
    Other,
}

fn sort(messages: &Messages<'_, '_>, quantity: &Quantity) -> Kind {
    // Data element 4501: 1 out of the stock, 2 into it.
    match quantity.inventory.as_ref().map(|[direction, ..]| direction.as_str()) {
        Some("1") => return Kind::Movement(false),
        Some("2") => return Kind::Movement(true),
        _ => {}
    }
    if let Some(status) = messages.parse.partner("stock_status", &quantity.code) {
        return Kind::Stock(status.to_owned());
    }
    let by_type = quantity.inventory.as_ref().and_then(|[_, kind, _]| codes::stock_status(kind));
    match codes::stock_of(&quantity.code) {
        Some(status) => Kind::Stock(by_type.map_or(status, str::to_owned)),
        None => Kind::Other,
    }
}

fn blank(document: &Document, first: &DocLine) -> Event {
    let mut event = document.event(EventType::InventorySnapshot);
    event.split = true;
    event.source.line_no = first.ordinal;
    event.source.byte_offset = first.offset;
    trade::refer(&mut event.references, RefKind::Report, &document.number);
    event
}

/// The line with what is said of this quantity alone.
fn quantified(doc_line: &DocLine, quantity: Quantity) -> Line {
    let mut line = doc_line.line.clone();
    line.qty = Some(quantity.value);
    line.uom = quantity.uom;
    line.status_source = quantity.code;
    if !quantity.lot.is_empty() {
        line.lot = quantity.lot;
    }
    if !quantity.location.is_empty() {
        line.location_to = quantity.location;
    }
    line.serials.extend(quantity.serials);
    line.expiry_date = quantity.expiry.or(line.expiry_date);
    line
}

fn stock_line(doc_line: &DocLine, quantity: Quantity, status: String) -> Line {
    let mut line = quantified(doc_line, quantity);
    line.stock_status_to = status;
    line
}

fn movement(
    messages: &Messages<'_, '_>,
    document: &Document,
    doc_line: &DocLine,
    quantity: Quantity,
    is_gain: bool,
) -> Event {
    let mut event = document.event(EventType::InventoryAdjusted);
    event.source.line_no = quantity.ordinal;
    event.source.byte_offset = doc_line.offset;
    trade::refer(&mut event.references, RefKind::Adjustment, &document.number);
    event.correlation_id.clone_from(&document.number);
    let [_, kind, code] = quantity.inventory.clone().unwrap_or_default();
    let mut line = quantified(doc_line, quantity);
    line.qty = line.qty.map(|value| if is_gain { value.abs() } else { -value.abs() });
    line.stock_status_to = codes::stock_status(&kind).unwrap_or_default().to_owned();
    let known = messages.parse.partner("reason", &code).or_else(|| codes::reason(&code, is_gain));
    if known.is_none() {
        let text = if code.is_empty() { "no reason is stated".to_owned() } else { format!("`{code}` is not known") };
        doubt(&mut event, "UNKNOWN_REASON", "lines[0].reason.code", text);
    }
    if matches!(code.as_str(), "1" | "2") && messages.parse.partner("reason", &code).is_none() {
        let text = "receipts and despatches are usually told by RECADV and DESADV too; they would count twice";
        doubt(&mut event, "MOVEMENT_REASON", "lines[0].reason.code", text);
    }
    known.unwrap_or("other").clone_into(&mut line.reason.code);
    line.reason.source_code = code;
    event.lines.push(line);
    event
}

/// A report over [`MESSAGE_SEGMENTS_MAX`] segments, read in pieces. What is wrong with its header holds all of it.
pub(super) struct LongReport {
    head: Head,
    parser: Option<Parser>,
    piece: Message,
    /// The first faults of all pieces.
    seen: Message,
    is_open: bool,
    is_held: bool,
    count: u64,
}

impl LongReport {
    pub(super) fn new(head: &Head) -> Self {
        let piece = started(head.place.line_no, "");
        Self {
            head: head.clone(),
            parser: None,
            piece,
            seen: Message::default(),
            is_open: false,
            is_held: false,
            count: 0,
        }
    }

    pub(super) fn take(&mut self, segment: Segment, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        self.count += 1;
        if self.piece.text.is_empty() {
            self.piece.text = segment.shown();
        }
        self.piece.lines += 1;
        if self.is_held {
            return ControlFlow::Continue(());
        }
        let head = &self.head;
        let parser = self.parser.get_or_insert_with(|| Parser::new(messages, head));
        parser.take(messages, &mut self.piece, &segment);
        if parser.document.lines.len() < REPORT_LINES_MAX {
            return ControlFlow::Continue(());
        }
        self.flush(messages)
    }

    fn flush(&mut self, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        let Some(parser) = &mut self.parser else { return ControlFlow::Continue(()) };
        if !self.is_open {
            self.is_open = true;
            if parser.document.bgm_ordinal == 0 {
                let fault = hold::whole("MISSING_MANDATORY", "BGM", "nothing", "BGM as the message's second segment");
                let text = self.piece.text.clone();
                self.piece.fault(self.head.place.line_no, fault, &text);
            }
            let mut header = started(self.head.place.line_no, &self.piece.text);
            open(messages, &mut parser.document, &mut header);
            if !header.is_good() {
                self.is_held = true;
                self.piece.faults.append(&mut header.faults);
            }
        }
        pour(messages, &mut parser.document, &mut self.piece);
        if self.seen.faults.is_empty() {
            self.seen.faults.extend(self.piece.faults.iter().take(1).cloned());
        }
        let next = started(self.head.place.line_no, &self.piece.text);
        messages.hand(std::mem::replace(&mut self.piece, next))
    }

    /// What was wrong with any piece of it, for the answer.
    pub(super) fn faults(&self) -> &Message {
        &self.seen
    }

    /// Hands over the rest, UNT included. Of a held report the segments are counted.
    pub(super) fn finish(&mut self, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        self.piece.lines += 1;
        if self.is_held {
            messages.end.lines += self.piece.lines;
            return ControlFlow::Continue(());
        }
        if let Some(parser) = &mut self.parser {
            parser.close_line(messages, &mut self.piece);
        }
        debug_assert!(self.count as usize >= MESSAGE_SEGMENTS_MAX, "shorter reports are kept whole");
        self.flush(messages)
    }
}

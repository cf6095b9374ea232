//! ORDERS, ORDCHG and ORDRSP (ORDERS01 to ORDERS05).
//!
//! The order is known by the buyer's number (E1EDK02 001, else E1EDK01 BELNR); the seller's (002) is a reference beside it.

use docksync_proto::event::{Action, Event, EventType, Line, LineStatus, PartyRole, RefKind};
use rust_decimal::Decimal;

use super::model::{self, Idoc, Segment, refer, set_sku, taken_quantity, taken_unit};
use crate::decode::{
    message::{Message, Messages},
    trade,
};

/// Qualifiers of E1EDP19 in the order in which an item number is looked for: 002 the seller's, 001 the buyer's, 003 EAN.
const SKU_ORDER: &[&str] = &["002", "001", "003", "005", "010"];

pub(super) fn read(messages: &mut Messages<'_, '_>, mut idoc: Idoc, message: &mut Message) {
    let kind = if idoc.mestyp().is_empty() { "ORDERS".to_owned() } else { idoc.mestyp() };
    let mut event = idoc.blank(messages);
    event.event_type = if kind == "ORDRSP" { EventType::OrderAcknowledged } else { EventType::OrderSubmitted };
    event.action = if kind == "ORDCHG" { Action::Change } else { Action::Add };
    let mut reading = Reading { is_response: kind == "ORDRSP", ..Reading::default() };
    for segment in std::mem::take(&mut idoc.segments) {
        reading.take(messages, message, &mut event, segment);
    }
    reading.close(messages, message, &mut event);
    reading.name(&mut event, message);
    reading.time(messages, message, &mut event, &mut idoc);
    if let Some(point) = event.party(PartyRole::Warehouse) {
        reading.plants.push((point.id.clone(), "E1EDKA1/PARTN"));
    }
    model::place(messages, message, &mut event, &reading.plants);
    message.events.push(event);
}

#[derive(Default)]
struct Reading {
    is_response: bool,
    /// E1EDK01 BELNR.
    number: String,
    dates: Vec<Segment>,
    line: Option<Open>,
    plants: Vec<(String, &'static str)>,
    nth: usize,
    count_stated: Option<Decimal>,
}

/// The line that is being read.
struct Open {
    line: Line,
    line_no: u64,
    text: String,
    /// E1EDP19: qualifier and number.
    ids: Vec<(String, String)>,
    confirmed: Option<Decimal>,
    is_rejected: bool,
}

impl Reading {
    fn take(
        &mut self,
        messages: &mut Messages<'_, '_>,
        message: &mut Message,
        event: &mut Event,
        mut segment: Segment,
    ) {
        match segment.name.as_str() {
            "E1EDK01" => {
                self.number = segment.take("BELNR");
                segment.keep_rest(event, "");
            }
            "E1EDK02" => self.reference(message, event, segment),
            "E1EDK03" => self.dates.push(segment),
            "E1EDKA1" | "E1ADRM1" => model::party(event, &mut segment),
            "E1EDP01" => self.item(messages, message, event, segment),
            "E1EDP02" => self.item_reference(event, segment),
            "E1EDP19" => self.item_number(event, segment),
            "E1EDP20" => {
                let quantity = taken_quantity(messages, message, &mut segment, &["WMENG"]);
                if let Some(open) = &mut self.line {
                    open.confirmed = match (open.confirmed, quantity) {
                        (Some(known), Some(more)) => Some(known.saturating_add(more)),
                        (known, more) => known.or(more),
                    };
                }
                segment.keep_rest(event, &self.suffix());
            }
            "E1EDS01" => {
                self.close(messages, message, event);
                if segment.get("SUMID") == "001" {
                    self.count_stated = taken_quantity(messages, message, &mut segment, &["SUMME"]);
                }
                segment.keep_rest(event, "");
            }
            _ => segment.keep_rest(event, &self.suffix()),
        }
    }

    fn suffix(&self) -> String {
        if self.line.is_some() { format!("[{}]", self.nth) } else { String::new() }
    }

    fn reference(&mut self, message: &mut Message, event: &mut Event, mut segment: Segment) {
        let kind = match segment.get("QUALF") {
            "001" => RefKind::Po,
            "002" => RefKind::So,
            "012" => RefKind::Desadv,
            "017" => RefKind::CustomerOrder,
            _ => return segment.keep_rest(event, ""),
        };
        segment.take("QUALF");
        let number = segment.take("BELNR");
        let day = model::taken_day(message, &mut segment, "DATUM");
        refer(event, kind, &number);
        if let Some(reference) = event.references.iter_mut().find(|r| r.kind == kind && r.value == number) {
            reference.date = day;
        }
        segment.keep_rest(event, "");
    }

    fn item(
        &mut self,
        messages: &mut Messages<'_, '_>,
        message: &mut Message,
        event: &mut Event,
        mut segment: Segment,
    ) {
        self.close(messages, message, event);
        self.nth += 1;
        let mut line = Line { line_no: segment.take("POSEX"), ..Line::default() };
        if line.line_no.is_empty() {
            line.line_no = self.nth.to_string();
        }
        line.qty_ordered = taken_quantity(messages, message, &mut segment, &["MENGE"]);
        line.uom = taken_unit(messages, message, &mut segment, &["MENEE", "PMENE"]);
        self.plants.push((segment.get("WERKS").to_owned(), "E1EDP01/WERKS"));
        let place = segment.take("LGORT");
        line.location_from = place;
        // In an order change 002 and 003 are the codes of a deletion.
        let action = segment.get("ACTION").to_owned();
        let is_rejected = !segment.get("ABGRU").is_empty();
        if matches!(action.as_str(), "003") && !self.is_response {
            line.status_code = Some(LineStatus::Cancelled);
            line.status_source = action;
        }
        let ids = [("002", "MATNR")].into_iter().map(|(qualifier, field)| (qualifier.to_owned(), segment.take(field)));
        let ids = ids.filter(|(_, value)| !value.is_empty()).collect();
        let (line_no, text) = (segment.line_no, segment.shown());
        segment.keep_rest(event, &format!("[{}]", self.nth));
        self.line = Some(Open { line, line_no, text, ids, confirmed: None, is_rejected });
    }

    /// E1EDP02: 001 is the buyer's order with its line.
    fn item_reference(&mut self, event: &mut Event, mut segment: Segment) {
        let kind = match segment.get("QUALF") {
            "001" => RefKind::Po,
            "002" => RefKind::So,
            _ => return segment.keep_rest(event, &self.suffix()),
        };
        segment.take("QUALF");
        let (number, item) = (segment.take("BELNR"), segment.take("ZEILE"));
        if let Some(open) = &mut self.line {
            trade::refer(&mut open.line.references, kind, &number);
            if kind == RefKind::Po {
                open.line.source_line_no = item;
            }
        }
        segment.keep_rest(event, &self.suffix());
    }

    fn item_number(&mut self, event: &mut Event, mut segment: Segment) {
        let suffix = self.suffix();
        let qualifier = segment.take("QUALF");
        let (short, long) = (segment.take("IDTNR"), segment.take("IDTNR_LONG"));
        let number = if short.is_empty() { long } else { short };
        let text = segment.take("KTEXT");
        if let Some(open) = &mut self.line {
            let item = &mut open.line.item;
            if item.description.is_empty() {
                item.description = text;
            }
            match qualifier.as_str() {
                "001" => trade::without_zeros(&number).clone_into(&mut item.buyer_item),
                "002" => trade::without_zeros(&number).clone_into(&mut item.vendor_item),
                "003" => {
                    trade::set_gtin(item, &mut event.warnings, &format!("E1EDP19/IDTNR of line {}", self.nth), &number)
                }
                _ => trade::keep(event, format!("idoc:E1EDP19.{qualifier}{suffix}"), &number),
            }
            if !number.is_empty() {
                open.ids.push((qualifier, number));
            }
        }
        segment.keep_rest(event, &suffix);
    }

    /// Puts the line into the event.
    fn close(&mut self, messages: &Messages<'_, '_>, message: &mut Message, event: &mut Event) {
        let Some(open) = self.line.take() else { return };
        let Open { mut line, line_no, text, ids, confirmed, is_rejected } = open;
        let own = messages.parse.list("sku").iter().map(String::as_str);
        let find = |wanted: &str| ids.iter().find(|(qualifier, _)| qualifier == wanted);
        let found = own.chain(SKU_ORDER.iter().copied()).find_map(find).or_else(|| ids.first());
        match found {
            Some((qualifier, number)) => {
                let key = format!("idoc:E1EDP19.{qualifier}[{}]", self.nth);
                set_sku(event, &mut line, &key, number);
            }
            None => {
                let fault = trade::fault("MISSING_MANDATORY", "E1EDP19/IDTNR", 0, "", "an item number");
                message.fault(line_no, fault, &text);
            }
        }
        if line.qty_ordered.is_none() && !self.is_response {
            let fault = trade::fault("MISSING_MANDATORY", "E1EDP01/MENGE", 0, "", "the ordered quantity");
            message.fault(line_no, fault, &text);
        }
        if self.is_response {
            answer(&mut line, confirmed, is_rejected);
        }
        event.lines.push(line);
    }

    fn name(&self, event: &mut Event, message: &mut Message) {
        if event.reference(RefKind::Po).is_empty() {
            let kind = if self.is_response { RefKind::So } else { RefKind::Po };
            refer(event, kind, &self.number);
        }
        let candidates = [event.reference(RefKind::Po), event.reference(RefKind::So), &self.number];
        let found = candidates.into_iter().find(|number| !number.is_empty()).unwrap_or("").to_owned();
        if found.is_empty() {
            let fault = trade::fault("MISSING_MANDATORY", "E1EDK01/BELNR", 0, "", "the order's number");
            let (line_no, text) = (message.line_no, message.text.clone());
            message.fault(line_no, fault, &text);
        }
        event.correlation_id = found;
        if !self.number.is_empty() && !event.references.iter().any(|reference| reference.value == self.number) {
            trade::keep(event, "idoc:E1EDK01.BELNR", &self.number);
        }
        let lines = Decimal::from(event.lines.len());
        if let Some(stated) = self.count_stated.filter(|stated| *stated != lines) {
            let text = format!("E1EDS01 says {}, there are {lines} lines", stated.normalize());
            crate::decode::message::doubt(event, "TOTAL_MISMATCH", "E1EDS01/SUMME", text);
        }
    }

    /// E1EDK03: 012 the day of the document, 022 of the order, 025 of its making with a time.
    fn time(&mut self, messages: &mut Messages<'_, '_>, message: &mut Message, event: &mut Event, idoc: &mut Idoc) {
        let wanted = |qualifier: &&str| self.dates.iter().find(|date| date.get("IDDAT") == *qualifier);
        match ["012", "025", "022"].iter().find_map(wanted) {
            Some(date) => {
                let parts = [date.get("DATUM"), date.get("UZEIT"), ""];
                if let Err(fault) = model::set_time(messages, event, "E1EDK03/DATUM", parts) {
                    message.fault(date.line_no, fault, &date.shown());
                }
            }
            None => idoc.time_of_control(messages, event),
        }
        for mut date in std::mem::take(&mut self.dates) {
            let qualifier = date.take("IDDAT");
            date.keep_rest(event, &format!("[{qualifier}]"));
        }
    }
}

/// What the seller confirms of a line: the sum of its schedule lines.
fn answer(line: &mut Line, confirmed: Option<Decimal>, is_rejected: bool) {
    line.qty = confirmed.or(line.qty_ordered);
    line.qty_difference = line.qty_ordered.zip(confirmed).map(|(ordered, confirmed)| ordered - confirmed);
    line.status_code = if is_rejected {
        Some(LineStatus::Cancelled)
    } else {
        match line.qty_difference {
            None => None,
            Some(difference) if difference > Decimal::ZERO => Some(LineStatus::Other),
            Some(_) => Some(LineStatus::Complete),
        }
    };
}

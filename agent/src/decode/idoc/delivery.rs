//! Deliveries (DELVRY01 to DELVRY07, DESADV01): what the ERP asks of the warehouse, and what the warehouse confirms.
//!
//! | document | event |
//! |---|---|
//! | SHPCON with E1EDL18 PGI, or with an actual goods issue (E1EDT13 006 ISDD) | `shipment_confirmed` |
//! | SHPCON with PIC alone | `pick_confirmed` |
//! | WHSCON | `receipt_confirmed`, of a returns delivery `return_received` |
//! | DESADV from the ERP (DIRECT 1): LFART LF or NL; EL or LR | `order_submitted`; `receipt_expected` |
//! | DESADV to the ERP (DIRECT 2, or PGI): LF; NL; EL; LR | as SHPCON; `transfer_shipped`; `receipt_confirmed`; `return_received` |
//! | DESADV without delivery type | by the feed's `direction`: out (default) `shipment_confirmed`, in `receipt_expected` |
//!
//! The option `direction` also overrides what DIRECT says of a DESADV: `out` are shipments, `in` announcements.
//! Handling units with goods are `carton_packed` events of a confirmation.

use docksync_proto::event::{
    Action, Container, Event, EventType, Line, LineStatus, Measure, PartyRole, RefKind, Reference, Warning,
};
use rust_decimal::Decimal;

use super::{
    handling::{self, Units},
    model::{self, Idoc, Segment, common, refer, set_sku, taken_day, taken_quantity, taken_unit},
};
use crate::decode::{
    message::{Message, Messages, doubt},
    trade,
};

/// What the delivery says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pick,
    Ship,
    Transfer,
    Order,
    Expect,
    Receive,
    Return,
}

impl Kind {
    const fn event_type(self) -> EventType {
        match self {
            Self::Pick => EventType::PickConfirmed,
            Self::Ship => EventType::ShipmentConfirmed,
            Self::Transfer => EventType::TransferShipped,
            Self::Order => EventType::OrderSubmitted,
            Self::Expect => EventType::ReceiptExpected,
            Self::Receive => EventType::ReceiptConfirmed,
            Self::Return => EventType::ReturnReceived,
        }
    }

    const fn is_inbound(self) -> bool {
        matches!(self, Self::Expect | Self::Receive | Self::Return)
    }
}

/// What the header says before anything is mapped.
#[derive(Default)]
struct Facts {
    lfart: String,
    qualifiers: Vec<String>,
    has_issue: bool,
}

pub(super) fn read(messages: &mut Messages<'_, '_>, mut idoc: Idoc, message: &mut Message) {
    let facts = facts(&idoc);
    let Some(kind) = kind(messages, &idoc, &facts) else {
        let found = if facts.qualifiers.is_empty() { "neither".to_owned() } else { facts.qualifiers.join(", ") };
        let fault = trade::fault("INVALID_CODE", "E1EDL18/QUALF", 0, &found, "PIC (picked) or PGI (goods issue)");
        let (line_no, text) = (message.line_no, message.text.clone());
        return message.fault(line_no, fault, &text);
    };
    let mut event = idoc.blank(messages);
    event.event_type = kind.event_type();
    if matches!(kind, Kind::Order | Kind::Expect) {
        event.action = request_action(&facts);
    }
    let mut reading = Reading { kind, facts, dates: Vec::new(), units: Units::default(), plants: Vec::new(), nth: 0 };
    for segment in std::mem::take(&mut idoc.segments) {
        reading.take(messages, message, &mut event, segment);
    }
    reading.name(&mut event, message);
    reading.time(messages, message, &mut event, &mut idoc);
    reading.place(messages, message, &mut event);
    reading.assemble(event, message);
}

fn facts(idoc: &Idoc) -> Facts {
    let mut facts = Facts::default();
    for segment in &idoc.segments {
        match segment.name.as_str() {
            "E1EDL21" => facts.lfart = segment.get("LFART").to_ascii_uppercase(),
            "E1EDL18" => facts.qualifiers.push(segment.get("QUALF").to_ascii_uppercase()),
            "E1EDT13" => facts.has_issue |= segment.get("QUALF") == "006" && !segment.get("ISDD").is_empty(),
            _ => {}
        }
    }
    facts
}

/// Which event it is; `None` where a shipping confirmation confirms nothing.
fn kind(messages: &Messages<'_, '_>, idoc: &Idoc, facts: &Facts) -> Option<Kind> {
    let has = |qualifier: &str| facts.qualifiers.iter().any(|known| known == qualifier);
    let is_transfer = facts.lfart.starts_with('N');
    let is_return = matches!(facts.lfart.as_str(), "LR" | "RL" | "LRS");
    let is_receipt = facts.lfart.starts_with("EL");
    let shipped = || {
        if has("PGI") || (!has("PIC") && facts.has_issue) {
            Some(if is_transfer { Kind::Transfer } else { Kind::Ship })
        } else {
            has("PIC").then_some(Kind::Pick)
        }
    };
    match idoc.mestyp().as_str() {
        "SHPCON" | "CARNOT" => return shipped(),
        "WHSCON" => return Some(if is_return { Kind::Return } else { Kind::Receive }),
        "SHPORD" => return Some(Kind::Order),
        "WHSORD" => return Some(Kind::Expect),
        _ => {}
    }
    let is_confirmation = idoc.control.get("DIRECT") == "2" || has("PGI");
    let out = if is_transfer { Kind::Transfer } else { Kind::Ship };
    Some(match (messages.parse.first("direction"), is_confirmation) {
        (Some("out"), _) => out,
        (Some(_), false) => Kind::Expect,
        (_, true) if is_return => Kind::Return,
        (_, true) if is_receipt => Kind::Receive,
        (Some(_), true) => Kind::Receive,
        (None, true) => shipped().unwrap_or(out),
        (None, false) if is_return || is_receipt => Kind::Expect,
        (None, false) if facts.lfart.is_empty() => Kind::Ship,
        (None, false) => Kind::Order,
    })
}

/// E1EDL18 of a request: CHA a change, DEL a withdrawal.
fn request_action(facts: &Facts) -> Action {
    let has = |qualifiers: &[&str]| facts.qualifiers.iter().any(|known| qualifiers.contains(&known.as_str()));
    if has(&["DEL"]) {
        Action::Void
    } else if has(&["CHA", "CHG"]) {
        Action::Change
    } else {
        Action::Add
    }
}

/// What is read of a delivery so far.
struct Reading {
    kind: Kind,
    facts: Facts,
    dates: Vec<Segment>,
    units: Units,
    plants: Vec<(String, &'static str)>,
    nth: usize,
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
            "E1EDL20" => self.header(event, segment),
            "E1EDT13" => self.dates.push(segment),
            "E1ADRM1" | "E1EDKA1" => model::party(event, &mut segment),
            "E1EDL24" => self.item(messages, message, event, segment),
            "E1EDL41" => self.customer_reference(event, segment),
            "E1EDL43" => self.reference(event, segment),
            "E1EDL11" => {
                let serial = segment.take("SERNR");
                if let Some(line) = event.lines.last_mut().filter(|_| !serial.is_empty()) {
                    line.serials.push(serial);
                }
                segment.keep_rest(event, &self.suffix());
            }
            "E1EDL19" => {
                if segment.get("QUALF") == "DEL"
                    && let Some(line) = event.lines.last_mut()
                {
                    line.status_code = Some(LineStatus::Cancelled);
                    "DEL".clone_into(&mut line.status_source);
                }
                segment.keep_rest(event, &self.suffix());
            }
            "E1EDL37" => self.units.open(event, message, segment),
            "E1EDL44" => {
                let lines = std::mem::take(&mut event.lines);
                self.units.fill(messages, event, message, &lines, segment);
                event.lines = lines;
            }
            "E1EDT20" => {
                let number = segment.take("TKNUM");
                refer(event, RefKind::Load, &number);
                segment.keep_rest(event, "");
            }
            _ => segment.keep_rest(event, &self.suffix()),
        }
    }

    fn suffix(&self) -> String {
        if self.nth == 0 { String::new() } else { format!("[{}]", self.nth) }
    }

    fn header(&mut self, event: &mut Event, mut segment: Segment) {
        let (number, external) = (segment.take("VBELN"), segment.take("LIFEX"));
        refer(event, RefKind::DepositorOrder, &number);
        let external_kind = if self.kind.is_inbound() { RefKind::Desadv } else { RefKind::Shipment };
        refer(event, external_kind, &external);
        refer(event, RefKind::Bol, &segment.take("BOLNR"));
        refer(event, RefKind::Trailer, &segment.take("TRAID"));
        for (field, path) in [("LGNUM", "E1EDL20/LGNUM"), ("VSTEL", "E1EDL20/VSTEL")] {
            self.plants.push((segment.get(field).to_owned(), path));
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
        self.nth += 1;
        let suffix = self.suffix();
        let mut line = Line { line_no: segment.take("POSNR"), ..Line::default() };
        if line.line_no.is_empty() {
            line.line_no = self.nth.to_string();
        }
        let material = segment.take_first(&["MATNR", "MATNR_LONG", "MATNR_EXTERNAL"]);
        if material.is_empty() {
            let fault = trade::fault("MISSING_MANDATORY", "E1EDL24/MATNR", 0, "", "the material");
            message.fault(segment.line_no, fault, &segment.shown());
        }
        set_sku(event, &mut line, &format!("idoc:E1EDL24.MATNR{suffix}"), &material);
        line.item.description = segment.take("ARKTX");
        line.item.buyer_item = segment.take_first(&["KDMAT35", "KDMAT"]);
        let gtin = segment.get("EAN11").to_owned();
        if !gtin.is_empty() {
            let path = format!("E1EDL24/EAN11 of line {}", line.line_no);
            trade::set_gtin(&mut line.item, &mut event.warnings, &path, &gtin);
            if !line.item.gtin.is_empty() {
                segment.take("EAN11");
            }
        }
        self.amounts(messages, message, event, &mut segment, &mut line);
        line.lot = segment.take("CHARG");
        line.expiry_date = taken_day(message, &mut segment, "VFDAT");
        let place = segment.take("LGORT");
        if self.kind.is_inbound() { &mut line.location_to } else { &mut line.location_from }.push_str(&place);
        self.plants.insert(0, (segment.get("WERKS").to_owned(), "E1EDL24/WERKS"));
        self.origin(event, &mut segment, &mut line);
        segment.keep_rest(event, &suffix);
        event.lines.push(line);
    }

    fn amounts(
        &self,
        messages: &Messages<'_, '_>,
        message: &mut Message,
        event: &mut Event,
        segment: &mut Segment,
        line: &mut Line,
    ) {
        let base = (segment.get("LGMNG") == segment.get("LFIMG"), segment.get("MEINS") == segment.get("VRKME"));
        if base == (true, true) {
            segment.take("LGMNG");
            segment.take("MEINS");
        }
        let quantity = taken_quantity(messages, message, segment, &["LFIMG", "LGMNG"]);
        line.uom = taken_unit(messages, message, segment, &["VRKME", "MEINS"]);
        if line.uom.is_empty() {
            let text = "the document states no unit; the receiver's own sales unit is meant";
            doubt(event, "UOM_MISSING", &format!("lines[{}].uom", self.nth - 1), text);
        }
        let ordered = taken_quantity(messages, message, segment, &["ORMNG"]);
        match self.kind {
            Kind::Pick => (line.qty, line.qty_ordered) = (quantity, ordered),
            Kind::Ship | Kind::Transfer => (line.qty_shipped, line.qty_ordered) = (quantity, ordered),
            Kind::Order => line.qty_ordered = quantity.or(ordered),
            Kind::Expect => (line.qty, line.qty_ordered) = (quantity, ordered),
            Kind::Receive | Kind::Return => (line.qty_received, line.qty_ordered) = (quantity, ordered),
        }
        if matches!(self.kind, Kind::Ship | Kind::Transfer) {
            line.qty_difference = ordered.zip(quantity).map(|(ordered, shipped)| ordered - shipped);
        }
        if quantity.is_none() && self.kind != Kind::Expect && message.is_good() {
            let fault = trade::fault("MISSING_MANDATORY", "E1EDL24/LFIMG", 0, "", "the quantity");
            message.fault(segment.line_no, fault, &segment.shown());
        }
        self.weights(messages, message, segment, line);
    }

    fn weights(&self, messages: &Messages<'_, '_>, message: &mut Message, segment: &mut Segment, line: &mut Line) {
        let unit = segment.get("GEWEI").to_owned();
        let unit = docksync_proto::codes::canonical_uom(&unit).map_or(unit.clone(), str::to_owned);
        let mut weight = |name: &str| {
            let value = taken_quantity(messages, message, segment, &[name])?;
            Some(Measure { value, unit: unit.clone() })
        };
        (line.net_weight, line.gross_weight) = (weight("NTGEW"), weight("BRGEW"));
        if line.net_weight.is_some() || line.gross_weight.is_some() {
            segment.take("GEWEI");
        }
    }

    /// VGBEL and VGPOS name the document that the delivery was made for.
    fn origin(&self, event: &mut Event, segment: &mut Segment, line: &mut Line) {
        let (number, item) = (segment.take("VGBEL"), segment.take("VGPOS"));
        let kind = match self.kind {
            _ if self.facts.lfart.starts_with("LR") => RefKind::Rma,
            Kind::Return => RefKind::Rma,
            Kind::Expect | Kind::Receive => RefKind::Po,
            Kind::Transfer => RefKind::Transfer,
            Kind::Pick | Kind::Ship | Kind::Order => RefKind::So,
        };
        refer(event, kind, &number);
        trade::refer(&mut line.references, kind, &number);
        line.source_line_no = item;
        if line.source_line_no.is_empty() {
            line.source_line_no = segment.take("POSEX");
        }
    }

    /// E1EDL41: 001 is the customer's order.
    fn customer_reference(&self, event: &mut Event, mut segment: Segment) {
        let qualifier = segment.take_first(&["QUALI", "QUALF"]);
        let (number, item) = (segment.take("BSTNR"), segment.take("POSEX"));
        let kind = match qualifier.as_str() {
            "001" | "" => RefKind::Po,
            _ => RefKind::CustomerOrder,
        };
        refer(event, kind, &number);
        if let Some(line) = event.lines.last_mut() {
            trade::refer(&mut line.references, kind, &number);
            if line.source_line_no.is_empty() {
                line.source_line_no = item;
            }
        }
        segment.keep_rest(event, &self.suffix());
    }

    /// E1EDL43: by the category of the document (SAP domain VBTYP).
    fn reference(&self, event: &mut Event, mut segment: Segment) {
        let kind = match segment.get("QUALF") {
            "C" => RefKind::So,
            "V" => RefKind::Po,
            "H" => RefKind::Rma,
            _ => return segment.keep_rest(event, &self.suffix()),
        };
        segment.take("QUALF");
        let number = segment.take("BELNR");
        refer(event, kind, &number);
        if let Some(line) = event.lines.last_mut() {
            trade::refer(&mut line.references, kind, &number);
            if line.source_line_no == segment.get("POSNR") {
                segment.take("POSNR");
            }
        }
        segment.keep_rest(event, &self.suffix());
    }

    /// The business act: the delivery, by which ERP and warehouse know it; else the order, else the sender's own number.
    fn name(&self, event: &mut Event, message: &mut Message) {
        let lines_order =
            common(event.lines.iter().map(|line| line.references.first().map_or("", |r| r.value.as_str())));
        let [delivery, shipment, advice] =
            [RefKind::DepositorOrder, RefKind::Shipment, RefKind::Desadv].map(|kind| event.reference(kind).to_owned());
        let candidates = [delivery.clone(), lines_order, shipment, advice];
        let found = candidates.into_iter().find(|number| !number.is_empty()).unwrap_or_default();
        if found.is_empty() {
            let fault = trade::fault("MISSING_MANDATORY", "E1EDL20/VBELN", 0, "", "the delivery, or LIFEX");
            let (line_no, text) = (message.line_no, message.text.clone());
            message.fault(line_no, fault, &text);
        }
        event.correlation_id = found;
        match self.kind {
            Kind::Transfer if event.reference(RefKind::Transfer).is_empty() => {
                refer(event, RefKind::Transfer, &delivery)
            }
            Kind::Return if event.reference(RefKind::Rma).is_empty() => refer(event, RefKind::Rma, &delivery),
            Kind::Expect | Kind::Receive if event.reference(RefKind::Desadv).is_empty() => {
                refer(event, RefKind::Desadv, &delivery);
            }
            _ => {}
        }
    }

    /// The actual time of the step that is confirmed, else the planned one; a request bears the time of its making.
    fn time(&mut self, messages: &mut Messages<'_, '_>, message: &mut Message, event: &mut Event, idoc: &mut Idoc) {
        let order: &[&str] = match self.kind {
            Kind::Pick => &["010", "006"],
            Kind::Ship | Kind::Transfer => &["006", "010", "007"],
            Kind::Receive | Kind::Return => &["006", "007", "015", "010"],
            Kind::Order | Kind::Expect => &[],
        };
        let is_request = order.is_empty();
        let has_control = !idoc.control.get("CREDAT").is_empty();
        let found = [("ISDD", "ISDZ"), ("NTANF", "NTANZ")].into_iter().find_map(|(day, clock)| {
            let wanted = |qualifier: &&str| {
                self.dates.iter().position(|d| d.get("QUALF") == *qualifier && !d.get(day).is_empty())
            };
            let fallback = if is_request && !has_control { &["006", "007"][..] } else { order };
            fallback.iter().find_map(wanted).map(|at| (at, day, clock))
        });
        match found {
            Some((at, day, clock)) => {
                if let Some(date) = self.dates.get(at) {
                    let parts = [date.get(day), date.get(clock), date.get("TZONE_BEG")];
                    if day == "NTANF" && !is_request {
                        doubt(
                            event,
                            "PLANNED_TIME",
                            "event_time",
                            "no actual time is stated; the planned one is taken",
                        );
                    }
                    if let Err(fault) = model::set_time(messages, event, &format!("E1EDT13/{day}"), parts) {
                        message.fault(date.line_no, fault, &date.shown());
                    }
                }
            }
            None if is_request && has_control => {
                let text = idoc.control.get("CREDAT").to_owned() + idoc.control.get("CRETIM");
                if let Err(fault) = messages.time(event, "EDI_DC40/CREDAT", 0, &text, &[]) {
                    let (line_no, shown) = (message.line_no, message.text.clone());
                    message.fault(line_no, fault, &shown);
                }
            }
            None => idoc.time_of_control(messages, event),
        }
        for mut date in std::mem::take(&mut self.dates) {
            let qualifier = date.take("QUALF");
            date.keep_rest(event, &format!("[{qualifier}]"));
        }
    }

    fn place(&self, messages: &Messages<'_, '_>, message: &mut Message, event: &mut Event) {
        let mut codes = self.plants.clone();
        if let Some(point) = event.party(PartyRole::Warehouse) {
            codes.push((point.id.clone(), "E1ADRM1/PARTNER_ID"));
        }
        model::place(messages, message, event, &codes);
        let plants = self.plants.iter().filter(|(code, path)| *path == "E1EDL24/WERKS" && !code.is_empty());
        let mut plants: Vec<&str> = plants.map(|(code, _)| code.as_str()).collect();
        plants.sort_unstable();
        plants.dedup();
        if plants.len() > 1 {
            doubt(event, "SEVERAL_PLANTS", "site_id", format!("lines are of the plants {}", plants.join(", ")));
        }
    }

    fn assemble(self, mut event: Event, message: &mut Message) {
        let containers: Vec<Container> = self.units.link(&mut event.lines);
        if matches!(self.kind, Kind::Order | Kind::Expect) {
            event.containers = containers;
            return message.events.push(event);
        }
        if !self.kind.is_inbound() {
            message.events.extend(handling::cartons(&event, &containers));
        }
        event.containers = if self.kind.is_inbound() { containers } else { handling::emptied(&containers) };
        let shorts: Vec<Event> = event.lines.iter().filter_map(|line| short(&event, line)).collect();
        let bills = manifest(&event).filter(|_| matches!(self.kind, Kind::Ship | Kind::Transfer));
        message.events.extend(bills);
        message.events.push(event);
        message.events.extend(shorts);
    }
}

/// A line of a shipment with less than was ordered.
fn short(event: &Event, line: &Line) -> Option<Event> {
    let missing = line.qty_difference.filter(|difference| *difference > Decimal::ZERO)?;
    let mut exception = event.clone();
    exception.event_type = EventType::ExceptionRaised;
    exception.extensions.clear();
    exception.warnings.clear();
    exception.containers.clear();
    exception.references.push(Reference { kind: RefKind::ExceptionCode, value: "SHORT_SHIP".to_owned(), date: None });
    trade::keep(&mut exception, "severity", "warning");
    exception.lines = vec![Line { qty: Some(missing), ..line.clone() }];
    Some(exception)
}

/// A bill of lading with its carrier.
fn manifest(event: &Event) -> Option<Event> {
    let is_there = !event.reference(RefKind::Bol).is_empty() && event.party(PartyRole::Carrier).is_some();
    is_there.then(|| {
        let mut manifest = event.clone();
        manifest.event_type = EventType::ShipmentManifested;
        manifest.extensions.clear();
        manifest.warnings = Vec::<Warning>::new();
        manifest.lines.clear();
        manifest
    })
}

//! Reads the segments of a message into a [`Document`], and hands it to the file of its type.
//!
//! Groups are known by their first segment, not by the directories' tables: what follows NAD belongs to the party, what follows
//! CPS or PAC to the package, what follows LIN to the line.

use std::collections::HashMap;

use docksync_proto::event::{EventType, Measure, PartyRole, RefKind, Warning};

use super::{
    CONTAINERS_MAX, ack, codes, desadv,
    document::{self, DocLine, Document, Head, Quantity},
    invrpt,
    moment::Dated,
    order, recadv,
    segment::{Segment, joined},
};
use crate::decode::{
    hold,
    message::{Message, Messages, doubt},
    trade,
};

/// Reads a whole message.
pub(super) fn message(messages: &mut Messages<'_, '_>, head: &Head, segments: &[Segment]) -> Message {
    let text = segments.first().map(Segment::shown).unwrap_or_default();
    let mut message = document::started(head.place.line_no, &text);
    let assemble = match head.kind.as_str() {
        "DESADV" => desadv::assemble,
        "RECADV" => recadv::assemble,
        "INVRPT" => invrpt::assemble,
        "ORDERS" | "ORDCHG" | "HANMOV" => order::assemble,
        "ORDRSP" => order::assemble_response,
        "APERAK" => ack::assemble,
        "CONTRL" => return ack::control(messages, head, segments, message),
        kind => {
            let expected = "DESADV, RECADV, INVRPT, ORDERS, ORDCHG, ORDRSP, HANMOV, CONTRL or APERAK";
            let mut fault = hold::whole("UNSUPPORTED_DOCUMENT", "UNH/S009.0065", kind, expected);
            fault.column = 2;
            let text = message.text.clone();
            message.fault(head.place.line_no, fault, &text);
            return message;
        }
    };
    let mut parser = Parser::new(messages, head);
    for segment in segments {
        parser.take(messages, &mut message, segment);
    }
    let document = parser.finish(messages, &mut message);
    if document.bgm_ordinal == 0 {
        let fault = hold::whole("MISSING_MANDATORY", "BGM", "nothing", "BGM as the message's second segment");
        let text = message.text.clone();
        message.fault(head.place.line_no, fault, &text);
        return message;
    }
    assemble(messages, head, document, &mut message);
    message
}

/// Which part of the message a segment belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Header,
    /// Behind NAD, with its qualifier.
    Party(String),
    /// Behind CPS, in the detail of a despatch advice.
    Package,
    Line,
    Summary,
}

/// A node of the packing tree (CPS).
#[derive(Debug, Default)]
struct Pack {
    id: String,
    parent: String,
    /// Places of its containers in the document.
    containers: Vec<usize>,
    /// What the last PAC before a number calls the packages.
    kind: String,
    weight: Option<Measure>,
    dims: [String; 3],
    dims_unit: String,
}

/// Reads segment after segment.
pub(super) struct Parser {
    pub(super) document: Document,
    part: Part,
    line: Option<DocLine>,
    packs: Vec<Pack>,
    is_stock: bool,
    decimal: u8,
    nth: u64,
    /// INV before its quantities.
    inventory: Option<[String; 3]>,
    last_reference: Option<usize>,
}

impl Parser {
    pub(super) fn new(messages: &Messages<'_, '_>, head: &Head) -> Self {
        let mut event = messages.event(EventType::EpcisOther, &head.format(), head.place);
        event.interchange = head.interchange.clone();
        head.extras.iter().for_each(|(key, value)| trade::keep(&mut event, key, value));
        let document = Document {
            event,
            code: String::new(),
            number: String::new(),
            function: String::new(),
            response: String::new(),
            bgm_ordinal: 0,
            dates: Vec::new(),
            parties: Vec::new(),
            references: Vec::new(),
            lines: Vec::new(),
            containers: Vec::new(),
            errors: Vec::new(),
        };
        Self {
            document,
            part: Part::Header,
            line: None,
            packs: Vec::new(),
            is_stock: head.kind == "INVRPT",
            decimal: head.decimal,
            nth: 0,
            inventory: None,
            last_reference: None,
        }
    }

    pub(super) fn take(&mut self, messages: &mut Messages<'_, '_>, message: &mut Message, segment: &Segment) {
        if !segment.is_text {
            let fault =
                hold::whole("ENCODING_ERROR", segment.tag(), "bytes that are no text", "the declared character set");
            return message.fault(segment.ordinal, fault, &segment.shown());
        }
        if segment.is_repeated {
            let text = format!("of `{}` only the first repetition is read", segment.shown());
            doubt(&mut self.document.event, "REPETITION", segment.tag(), text);
        }
        match segment.tag() {
            "UNH" => {}
            "BGM" => self.beginning(segment),
            "UNS" => self.section(messages, message, segment),
            "LIN" => self.open_line(messages, message, segment),
            "CPS" => self.open_pack(messages, message, segment),
            "CNT" => self.control_total(messages, message, segment),
            "NAD" if self.part != Part::Line => self.party(segment),
            "TDT" if self.part != Part::Line => self.transport(segment),
            "ERC" => self.document.errors.push((segment.ordinal, joined(segment.element(1)), String::new())),
            tag => match self.part.clone() {
                Part::Line => self.line_segment(messages, message, segment),
                Part::Package => self.pack_segment(messages, message, segment),
                part => self.header_segment(messages, message, &part, tag, segment),
            },
        }
    }

    /// The document, complete.
    pub(super) fn finish(mut self, messages: &Messages<'_, '_>, message: &mut Message) -> Document {
        self.close_line(messages, message);
        self.close_packs();
        self.document
    }

    fn beginning(&mut self, segment: &Segment) {
        let document = &mut self.document;
        document.bgm_ordinal = segment.ordinal;
        let values = [segment.at(1, 1), segment.at(2, 1), segment.at(3, 1), segment.at(4, 1)];
        [document.code, document.number, document.function, document.response] = values.map(str::to_owned);
        trade::keep(&mut document.event, "edifact:BGM/1001", values[0]);
        trade::keep(&mut document.event, "edifact:BGM/1225", values[2]);
        trade::keep(&mut document.event, "edifact:BGM/4343", values[3]);
    }

    fn section(&mut self, messages: &Messages<'_, '_>, message: &mut Message, segment: &Segment) {
        self.close_line(messages, message);
        self.part = if segment.at(1, 1) == "S" { Part::Summary } else { Part::Header };
    }

    fn party(&mut self, segment: &Segment) {
        let (qualifier, id) = (segment.at(1, 1).to_owned(), segment.at(2, 1));
        self.document.parties.push((qualifier.clone(), id.to_owned()));
        let role = codes::role(&qualifier).filter(|role| self.document.event.party(*role).is_none());
        match role {
            Some(role) => fill_party(trade::party(&mut self.document.event, role), segment),
            None => trade::keep(&mut self.document.event, &format!("edifact:NAD+{qualifier}"), &segment.rest(2)),
        }
        self.part = Part::Party(qualifier);
    }

    fn transport(&mut self, segment: &Segment) {
        self.leave_party();
        let (id, name) = (segment.at(5, 1), segment.at(5, 4));
        let event = &mut self.document.event;
        trade::keep(event, &format!("edifact:TDT+{}", segment.at(1, 1)), &segment.rest(2));
        if event.party(PartyRole::Carrier).is_some_and(|carrier| !carrier.id.is_empty() || !carrier.name.is_empty()) {
            return;
        }
        if !id.is_empty() || !name.is_empty() {
            let carrier = trade::party(event, PartyRole::Carrier);
            // A name stands where the code should be in many files; codes hold no blanks.
            if id.contains(' ') && name.is_empty() { &mut carrier.name } else { &mut carrier.id }.push_str(id);
            carrier.name.push_str(name);
        }
        if segment.at(8, 1).len() > 1 {
            trade::refer(&mut event.references, RefKind::Trailer, segment.at(8, 1));
        }
    }

    fn leave_party(&mut self) {
        if matches!(self.part, Part::Party(_)) {
            self.part = Part::Header;
        }
    }

    fn header_segment(
        &mut self,
        messages: &mut Messages<'_, '_>,
        message: &mut Message,
        part: &Part,
        tag: &str,
        segment: &Segment,
    ) {
        let prefix = match part {
            Part::Party(qualifier) if matches!(tag, "RFF" | "DTM" | "CTA" | "COM" | "LOC" | "FII") => {
                format!("edifact:NAD+{qualifier}/")
            }
            Part::Party(_) => {
                self.part = Part::Header;
                "edifact:".to_owned()
            }
            _ => "edifact:".to_owned(),
        };
        match tag {
            "RFF" => self.header_reference(segment, &prefix),
            "DTM" => self.header_date(messages, message, segment),
            "EQD" if segment.at(1, 1) == "TE" => self.refer(RefKind::Trailer, segment.at(2, 1)),
            "SEL" => self.refer(RefKind::Seal, segment.at(1, 1)),
            "FTX" if !self.document.errors.is_empty() => {
                if let Some((.., text)) = self.document.errors.last_mut() {
                    text.push_str(&segment.element(4).join(" "));
                }
            }
            _ => keep(&mut self.document.event, &prefix, "", segment),
        }
        if !matches!(tag, "RFF" | "DTM") {
            self.last_reference = None;
        }
    }

    fn refer(&mut self, kind: RefKind, value: &str) {
        trade::refer(&mut self.document.event.references, kind, value);
    }

    fn header_reference(&mut self, segment: &Segment, prefix: &str) {
        let (qualifier, value) = (segment.at(1, 1), segment.at(1, 2));
        self.last_reference = None;
        if value.is_empty() {
            return;
        }
        self.document.references.push((qualifier.to_owned(), value.to_owned()));
        match codes::reference(qualifier) {
            Some(kind) => {
                self.refer(kind, value);
                let references = &self.document.event.references;
                self.last_reference = references.iter().position(|r| r.kind == kind && r.value == value);
            }
            None => keep(&mut self.document.event, prefix, "", segment),
        }
    }

    fn header_date(&mut self, _messages: &mut Messages<'_, '_>, message: &mut Message, segment: &Segment) {
        let dated = Dated::read(segment);
        // 171 is the date of the reference before it.
        let reference = self.last_reference.and_then(|at| self.document.event.references.get_mut(at));
        match reference.filter(|_| dated.qualifier == "171") {
            Some(reference) => match dated.day() {
                Some(Ok(day)) => reference.date = Some(day),
                Some(Err(fault)) => message.fault(segment.ordinal, fault, &segment.shown()),
                None => {}
            },
            None if matches!(self.part, Part::Party(_)) || dated.qualifier == "171" => {
                keep(&mut self.document.event, "edifact:", "", segment);
            }
            None => self.document.dates.push(dated),
        }
    }

    fn control_total(&mut self, messages: &Messages<'_, '_>, message: &mut Message, segment: &Segment) {
        self.close_line(messages, message);
        self.part = Part::Summary;
        let (qualifier, text) = (segment.at(1, 1), segment.at(1, 2));
        let total = match document::number(messages, "CNT/C270.6066", 1, text) {
            Ok(total) => total,
            Err(fault) => return message.fault(segment.ordinal, fault, &segment.shown()),
        };
        let found = match qualifier {
            "2" => rust_decimal::Decimal::from(self.nth),
            "1" if !self.is_stock => {
                let first = |line: &DocLine| line.quantities.first().map(|quantity| quantity.value);
                let values = self.document.lines.iter().filter_map(first);
                values.fold(rust_decimal::Decimal::ZERO, rust_decimal::Decimal::saturating_add)
            }
            _ => return keep(&mut self.document.event, "edifact:", "", segment),
        };
        if total != found {
            let text = format!("CNT+{qualifier} says {}, there are {}", total.normalize(), found.normalize());
            doubt(&mut self.document.event, "TOTAL_MISMATCH", "CNT", text);
        }
    }
}

/// Names and addresses: C082, C080, C059 and what follows them; C058 in older directories.
fn fill_party(party: &mut docksync_proto::event::Party, segment: &Segment) {
    segment.at(2, 1).clone_into(&mut party.id);
    party.id_scheme = match segment.at(2, 3) {
        "9" => "GLN".to_owned(),
        agency => agency.to_owned(),
    };
    let texts = |element: usize| {
        let values: Vec<&str> = segment.element(element).iter().map(String::as_str).filter(|v| !v.is_empty()).collect();
        values.join(", ")
    };
    party.name = texts(4);
    let parts = [texts(3), texts(5), texts(6), texts(7), texts(8), texts(9)];
    party.address = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
}

/// Tags whose first component says what the rest is about.
fn is_qualified(segment: &Segment) -> bool {
    const TAGS: &[&str] = &[
        "RFF", "DTM", "LOC", "MEA", "FTX", "EQD", "CTA", "CUX", "PAT", "TOD", "PCI", "MOA", "TAX", "QTY", "PRI", "GIN",
        "GIR", "HAN", "CNT", "STS", "PIA", "IMD", "TDT", "NAD", "CCI", "RNG", "QVR", "ALC", "PCD", "SCC", "TMD", "DOC",
    ];
    TAGS.contains(&segment.tag()) && !segment.at(1, 1).is_empty()
}

/// Keeps a segment that no field takes.
pub(super) fn keep(event: &mut docksync_proto::event::Event, prefix: &str, suffix: &str, segment: &Segment) {
    let (key, value) = kept(prefix, suffix, segment);
    trade::keep(event, &key, &value);
}

fn kept(prefix: &str, suffix: &str, segment: &Segment) -> (String, String) {
    if !is_qualified(segment) {
        return (format!("{prefix}{}{suffix}", segment.tag()), segment.rest(1));
    }
    let own = joined(segment.element(1).get(1..).unwrap_or_default());
    let rest = segment.rest(2);
    let value = match (own.is_empty(), rest.is_empty()) {
        (false, false) => format!("{own}+{rest}"),
        (false, true) => own,
        (true, _) => rest,
    };
    (format!("{prefix}{}+{}{suffix}", segment.tag(), segment.at(1, 1)), value)
}

impl Parser {
    fn open_line(&mut self, messages: &mut Messages<'_, '_>, message: &mut Message, segment: &Segment) {
        self.close_line(messages, message);
        self.part = Part::Line;
        self.inventory = None;
        self.nth += 1;
        let mut line = DocLine {
            ordinal: segment.ordinal,
            offset: segment.offset,
            text: segment.shown(),
            nth: self.nth,
            action: segment.at(2, 1).to_owned(),
            ..DocLine::default()
        };
        line.line.line_no = match segment.at(1, 1) {
            "" => self.nth.to_string(),
            number => number.to_owned(),
        };
        add_id(&mut line, segment.at(3, 2), segment.at(3, 1));
        if !line.action.is_empty() {
            line.extensions.push((format!("edifact:LIN/1229[{}]", self.nth), line.action.clone()));
        }
        self.link_container(&mut line);
        self.line = Some(line);
    }

    /// A line lies in the one container of its package, or in that of the package around it.
    fn link_container(&mut self, line: &mut DocLine) {
        let Some(pack) = self.packs.last() else { return };
        match pack.containers.as_slice() {
            [] => {
                let holder = self.holder(self.packs.len() - 1, |id| self.packs.iter().position(|pack| pack.id == id));
                line.line.container_ref = holder.unwrap_or_default();
            }
            [at] => {
                if let Some(container) = self.document.containers.get(*at) {
                    container.container_id.clone_into(&mut line.line.container_ref);
                }
            }
            several => line.warnings.push(Warning {
                code: "CONTAINER_AMBIGUOUS".to_owned(),
                path: format!("lines[{}].container_ref", line.nth - 1),
                text: format!("the line lies in one of {} containers of CPS {}", several.len(), pack.id),
            }),
        }
    }

    pub(super) fn close_line(&mut self, messages: &Messages<'_, '_>, message: &mut Message) {
        if let Some(mut line) = self.line.take() {
            document::choose_sku(messages, &mut line);
            let (nth, sku) = (line.nth, line.line.item.sku.clone());
            if sku.is_empty() {
                let fault = trade::fault("MISSING_MANDATORY", "LIN/C212.7140", 3, "", "an item number in LIN or PIA");
                message.fault(line.ordinal, fault, &line.text);
            }
            let item = &line.line.item;
            let known = [&item.sku, &item.gtin, &item.buyer_item, &item.vendor_item, &item.upc_case, &item.ndc];
            for (qualifier, value) in &line.ids {
                let is_gtin = trade::gtin14(value).is_some_and(|gtin| gtin == item.gtin);
                if *value != sku && !is_gtin && !known.contains(&value) {
                    line.extensions.push((format!("edifact:PIA+{qualifier}[{nth}]"), value.clone()));
                }
            }
            self.document.lines.push(line);
        }
    }

    fn line_segment(&mut self, messages: &mut Messages<'_, '_>, message: &mut Message, segment: &Segment) {
        let suffix = format!("[{}]", self.nth);
        let Some(mut line) = self.line.take() else { return };
        let taken = match segment.tag() {
            "PIA" => additional_ids(&mut line, segment),
            "IMD" => description(&mut line, segment),
            "QTY" => self.quantity(messages, message, &mut line, segment),
            "QVR" => self.variance(messages, message, &mut line, segment),
            "INV" => self.inventory(&mut line, segment),
            "RFF" => line_reference(&mut line, segment, self.is_stock),
            "DTM" => line_date(&mut line, message, segment, self.is_stock),
            "GIN" => self.numbers(&mut line, segment, message),
            "MEA" => self.line_measure(messages, message, &mut line, segment),
            "LOC" => self.line_location(&mut line, segment),
            "FTX" => {
                line.notes.push(segment.element(4).join(" "));
                false
            }
            _ => false,
        };
        if !taken {
            let (key, value) = kept("edifact:", &suffix, segment);
            line.extensions.push((key, value));
        }
        self.line = Some(line);
    }

    fn quantity(
        &mut self,
        messages: &Messages<'_, '_>,
        message: &mut Message,
        line: &mut DocLine,
        segment: &Segment,
    ) -> bool {
        let text = segment.at(1, 2);
        document::check_mark(&mut self.document.event, segment, text, self.decimal);
        let value = document::number(messages, "QTY/C186.6060", 1, text);
        let uom = match segment.at(1, 3) {
            "" => Ok("EA".to_owned()),
            unit => messages.unit("QTY/C186.6411", 1, unit),
        };
        match (value, uom) {
            (Ok(value), Ok(uom)) => line.quantities.push(Quantity {
                ordinal: segment.ordinal,
                code: segment.at(1, 1).to_owned(),
                value,
                uom,
                inventory: self.inventory.clone(),
                ..Quantity::default()
            }),
            (value, uom) => {
                let faults = [value.err(), uom.err()];
                faults.into_iter().flatten().for_each(|f| message.fault(segment.ordinal, f, &segment.shown()));
            }
        }
        true
    }

    fn variance(
        &mut self,
        messages: &Messages<'_, '_>,
        message: &mut Message,
        line: &mut DocLine,
        segment: &Segment,
    ) -> bool {
        match document::number(messages, "QVR/C279.6064", 1, segment.at(1, 1)) {
            Ok(difference) => line.variances.push((difference, segment.at(2, 1).to_owned())),
            Err(fault) => message.fault(segment.ordinal, fault, &segment.shown()),
        }
        // The reason in words or in the partner's code is nowhere else.
        segment.len() < 3
    }

    /// INV belongs to the quantity before it (D.96A), or to those that follow where it comes first.
    fn inventory(&mut self, line: &mut DocLine, segment: &Segment) -> bool {
        let inventory = [1, 2, 3].map(|element| segment.at(element, 1).to_owned());
        match line.quantities.last_mut().filter(|_| self.inventory.is_none()) {
            Some(quantity) => quantity.inventory = Some(inventory),
            None => self.inventory = Some(inventory),
        }
        segment.len() <= 3
    }

    fn line_location(&mut self, line: &mut DocLine, segment: &Segment) -> bool {
        if !self.is_stock {
            return false;
        }
        let place = segment.at(2, 1);
        match line.quantities.last_mut() {
            Some(quantity) => quantity.location.push_str(place),
            None => line.line.location_to.push_str(place),
        }
        true
    }

    /// GIN: container numbers, batch and serial numbers, each alone or as a range.
    fn numbers(&mut self, line: &mut DocLine, segment: &Segment, message: &mut Message) -> bool {
        let qualifier = segment.at(1, 1);
        if matches!(qualifier, "BJ" | "AW") {
            let containers = self.containers(segment, &mut line.warnings, message);
            if let [at] = containers.as_slice()
                && let Some(container) = self.document.containers.get(*at)
            {
                container.container_id.clone_into(&mut line.line.container_ref);
            }
            return true;
        }
        if !matches!(qualifier, "BN" | "BX") {
            return false;
        }
        let values: Vec<String> = (2..=segment.len()).map(|at| segment.at(at, 1).to_owned()).collect();
        let quantity = line.quantities.last_mut().filter(|_| self.is_stock);
        let (serials, lot) = match quantity {
            Some(quantity) => (&mut quantity.serials, &mut quantity.lot),
            None => (&mut line.line.serials, &mut line.line.lot),
        };
        let has_range = (2..=segment.len()).any(|at| !segment.at(at, 2).is_empty());
        match (qualifier, values.as_slice()) {
            ("BN", _) => {
                serials.extend(values);
                !has_range
            }
            ("BX", [only]) if lot.is_empty() || lot == only => {
                only.clone_into(lot);
                !has_range
            }
            _ => false,
        }
    }

    fn line_measure(
        &mut self,
        messages: &Messages<'_, '_>,
        message: &mut Message,
        line: &mut DocLine,
        segment: &Segment,
    ) -> bool {
        let slot = match segment.at(2, 1) {
            "AAB" | "G" | "AAD" | "WT" => &mut line.line.gross_weight,
            "AAA" | "AAC" | "N" => &mut line.line.net_weight,
            _ => return false,
        };
        match measure(messages, segment) {
            Ok(Some(weight)) if slot.is_none() => *slot = Some(weight),
            Ok(_) => return false,
            Err(fault) => message.fault(segment.ordinal, fault, &segment.shown()),
        }
        true
    }
}

/// MEA's value with its unit, canonical where it is known.
fn measure(messages: &Messages<'_, '_>, segment: &Segment) -> Result<Option<Measure>, crate::decode::assign::Fault> {
    let (unit, text) = (segment.at(3, 1), segment.at(3, 2));
    if text.is_empty() {
        return Ok(None);
    }
    let value = document::number(messages, "MEA/C174.6314", 3, text)?;
    let unit = docksync_proto::codes::canonical_uom(unit).unwrap_or(unit).to_owned();
    Ok(Some(Measure { value, unit }))
}

/// Notes an item number under its qualifier, and in the field that belongs to it.
fn add_id(line: &mut DocLine, qualifier: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    line.ids.push((qualifier.to_owned(), value.to_owned()));
    let item = &mut line.line.item;
    let slot = match qualifier {
        "IN" | "BP" => &mut item.buyer_item,
        "SA" | "VN" | "VP" => &mut item.vendor_item,
        "UA" => &mut item.upc_case,
        "ND" => &mut item.ndc,
        "NB" if line.line.lot.is_empty() => &mut line.line.lot,
        "SN" => return line.line.serials.push(value.to_owned()),
        _ if codes::is_gtin(qualifier) && item.gtin.is_empty() => {
            return trade::set_gtin(item, &mut line.warnings, &format!("LIN/C212.7140 of line {}", line.nth), value);
        }
        _ => return,
    };
    if slot.is_empty() {
        value.clone_into(slot);
    }
}

/// PIA: 1 and 5 name the same goods; the others name substitutes, which are kept.
fn additional_ids(line: &mut DocLine, segment: &Segment) -> bool {
    if !matches!(segment.at(1, 1), "1" | "5" | "") {
        return false;
    }
    for element in 2..=segment.len() {
        add_id(line, segment.at(element, 2), segment.at(element, 1));
    }
    true
}

fn description(line: &mut DocLine, segment: &Segment) -> bool {
    let texts = [segment.at(3, 4), segment.at(3, 5)];
    let text = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return false;
    }
    let description = &mut line.line.item.description;
    if !description.is_empty() {
        description.push(' ');
    }
    description.push_str(&text);
    // A code beside the text is kept.
    segment.at(3, 1).is_empty()
}

fn line_reference(line: &mut DocLine, segment: &Segment, is_stock: bool) -> bool {
    let [qualifier, value, number] = [1, 2, 3].map(|component| segment.at(1, component));
    match qualifier {
        "LI" => value.clone_into(&mut line.line.source_line_no),
        "BT" => {
            let quantity = line.quantities.last_mut().filter(|_| is_stock);
            let lot = quantity.map_or(&mut line.line.lot, |quantity| &mut quantity.lot);
            if !lot.is_empty() && lot != value {
                return false;
            }
            value.clone_into(lot);
        }
        "SE" => line.line.serials.push(value.to_owned()),
        _ => {
            let Some(kind) = codes::reference(qualifier) else { return false };
            trade::refer(&mut line.line.references, kind, value);
            if matches!(qualifier, "ON" | "VN") && line.line.source_line_no.is_empty() {
                number.clone_into(&mut line.line.source_line_no);
            }
        }
    }
    true
}

/// 36 is the expiry date, 361 best before.
fn line_date(line: &mut DocLine, message: &mut Message, segment: &Segment, is_stock: bool) -> bool {
    let dated = Dated::read(segment);
    if !matches!(dated.qualifier.as_str(), "36" | "361") {
        return false;
    }
    match dated.day() {
        Some(Ok(day)) if dated.qualifier == "361" => line.line.best_before_date = Some(day),
        Some(Ok(day)) => match line.quantities.last_mut().filter(|_| is_stock) {
            Some(quantity) => quantity.expiry = Some(day),
            None => line.line.expiry_date = Some(day),
        },
        Some(Err(fault)) => message.fault(segment.ordinal, fault, &segment.shown()),
        None => return false,
    }
    true
}

impl Parser {
    fn open_pack(&mut self, messages: &mut Messages<'_, '_>, message: &mut Message, segment: &Segment) {
        self.close_line(messages, message);
        self.part = Part::Package;
        if self.packs.len() >= CONTAINERS_MAX {
            return self.too_many(message, segment);
        }
        let (id, parent) = (segment.at(1, 1).to_owned(), segment.at(2, 1).to_owned());
        self.packs.push(Pack { id, parent, ..Pack::default() });
    }

    fn too_many(&self, message: &mut Message, segment: &Segment) {
        let expected = format!("at most {CONTAINERS_MAX} packages and containers");
        let fault = hold::whole("DOCUMENT_TOO_LARGE", segment.tag(), "more", expected);
        message.fault(segment.ordinal, fault, &segment.shown());
    }

    fn pack_segment(&mut self, messages: &mut Messages<'_, '_>, message: &mut Message, segment: &Segment) {
        let id = self.packs.last().map(|pack| pack.id.clone()).unwrap_or_default();
        let prefix = format!("edifact:CPS+{id}/");
        match segment.tag() {
            "PAC" => {
                if let Some(pack) = self.packs.last_mut().filter(|pack| pack.containers.is_empty()) {
                    segment.at(3, 1).clone_into(&mut pack.kind);
                }
                keep(&mut self.document.event, &prefix, "", segment);
            }
            "GIN" if matches!(segment.at(1, 1), "BJ" | "AW" | "ML") => {
                let mut warnings = Vec::new();
                let made = self.containers(segment, &mut warnings, message);
                self.document.event.warnings.append(&mut warnings);
                if let Some(pack) = self.packs.last_mut() {
                    pack.containers.extend(made);
                }
            }
            "MEA" => self.pack_measure(messages, message, segment, &prefix),
            _ => keep(&mut self.document.event, &prefix, "", segment),
        }
    }

    /// The containers of a GIN, ranges written out; gives their places in the document.
    fn containers(&mut self, segment: &Segment, warnings: &mut Vec<Warning>, message: &mut Message) -> Vec<usize> {
        let is_sscc = segment.at(1, 1) != "ML";
        let kind = self.packs.last().and_then(|pack| codes::container_kind(&pack.kind));
        let mut made = Vec::new();
        for element in 2..=segment.len() {
            for number in range(segment.at(element, 1), segment.at(element, 2), is_sscc) {
                let known = self.document.containers.iter().position(|c| c.container_id == number);
                if let Some(at) = known {
                    made.push(at);
                    continue;
                }
                if self.document.containers.len() >= CONTAINERS_MAX {
                    self.too_many(message, segment);
                    return made;
                }
                let mut container = trade::container(warnings, "GIN/C208.7402", &number, is_sscc);
                container.kind = kind;
                made.push(self.document.containers.len());
                self.document.containers.push(container);
            }
        }
        made
    }

    fn pack_measure(&mut self, messages: &Messages<'_, '_>, message: &mut Message, segment: &Segment, prefix: &str) {
        let Some(pack) = self.packs.last_mut() else { return };
        let dimension = match segment.at(2, 1) {
            "LN" => Some(0),
            "WD" => Some(1),
            "HT" | "HM" => Some(2),
            _ => None,
        };
        match (measure(messages, segment), dimension) {
            (Ok(Some(measure)), Some(at)) => {
                if let Some(slot) = pack.dims.get_mut(at) {
                    *slot = measure.value.normalize().to_string();
                }
                measure.unit.clone_into(&mut pack.dims_unit);
            }
            (Ok(Some(weight)), None)
                if pack.weight.is_none() && matches!(segment.at(2, 1), "AAB" | "G" | "AAD" | "WT") =>
            {
                pack.weight = Some(weight);
            }
            (Ok(_), _) => keep(&mut self.document.event, prefix, "", segment),
            (Err(fault), _) => message.fault(segment.ordinal, fault, &segment.shown()),
        }
    }

    /// Tells each container what its package weighs and which container it stands in.
    fn close_packs(&mut self) {
        let places: HashMap<String, usize> =
            self.packs.iter().enumerate().rev().map(|(at, pack)| (pack.id.clone(), at)).collect();
        for at in 0..self.packs.len() {
            let holder = self.holder(at, |id| places.get(id).copied());
            let Some(pack) = self.packs.get(at) else { continue };
            let dims = pack.dims.iter().filter(|d| !d.is_empty()).cloned().collect::<Vec<_>>().join("x");
            for place in &pack.containers {
                let Some(container) = self.document.containers.get_mut(*place) else { continue };
                if let Some(holder) = &holder
                    && *holder != container.container_id
                {
                    holder.clone_into(&mut container.parent_id);
                }
                // One weight over several containers is that of all of them.
                if pack.containers.len() == 1 {
                    container.weight.clone_from(&pack.weight);
                }
                if !dims.is_empty() {
                    container.dims = format!("{dims} {}", pack.dims_unit).trim().to_owned();
                }
            }
        }
    }

    /// The nearest container above a package. Steps are bounded: a ring of parents ends too.
    fn holder(&self, at: usize, find: impl Fn(&str) -> Option<usize>) -> Option<String> {
        let mut parent = self.packs.get(at)?.parent.as_str();
        for _ in 0..32 {
            if parent.is_empty() {
                return None;
            }
            let above = self.packs.get(find(parent)?)?;
            if let [place] = above.containers.as_slice() {
                return self.document.containers.get(*place).map(|c| c.container_id.clone());
            }
            parent = above.parent.as_str();
        }
        None
    }
}

/// Numbers from the first to the last; check digits of SSCCs are made anew. A range that makes no sense is its first number.
fn range(first: &str, last: &str, is_sscc: bool) -> Vec<String> {
    let single = || if first.is_empty() { Vec::new() } else { vec![first.to_owned()] };
    if last.is_empty() || last == first {
        return single();
    }
    let body = |text: &str| {
        let digits = if is_sscc { text.get(..text.len().checked_sub(1)?)? } else { text };
        if codes::is_digits(digits) && digits.len() <= 20 { digits.parse::<u128>().ok() } else { None }
    };
    let (Some(from), Some(to)) = (body(first), body(last)) else { return vec![first.to_owned(), last.to_owned()] };
    let is_sane = first.len() == last.len() && from < to && to - from < CONTAINERS_MAX as u128;
    if !is_sane {
        return vec![first.to_owned(), last.to_owned()];
    }
    let width = first.len() - usize::from(is_sscc);
    let made = |n: u128| {
        let digits = format!("{n:0>width$}");
        if is_sscc { with_check_digit(&digits) } else { digits }
    };
    (from..=to).map(made).collect()
}

/// GS1 General Specifications 7.9.
fn with_check_digit(digits: &str) -> String {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, b)| u32::from(b.wrapping_sub(b'0')) * if at % 2 == 0 { 3 } else { 1 })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

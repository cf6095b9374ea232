//! Reads the segments of a message into a [`Document`], and hands it to the file of its type.
//!
//! Groups are known by their first segment, not by the directories' tables: what follows NAD belongs to the party, what follows
//! CPS or PAC to the package, what follows LIN to the line.

use docksync_proto::event::{EventType, Measure, PartyRole, RefKind};

use super::{
    ack, codes, desadv,
    document::{self, DocLine, Document, Head},
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
pub(super) enum Part {
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
pub(super) struct Pack {
    pub(super) id: String,
    pub(super) parent: String,
    /// Places of its containers in the document.
    pub(super) containers: Vec<usize>,
    /// What the last PAC before a number calls the packages.
    pub(super) kind: String,
    pub(super) weight: Option<Measure>,
    pub(super) dims: [String; 3],
    pub(super) dims_unit: String,
}

/// Reads segment after segment.
pub(super) struct Parser {
    pub(super) document: Document,
    pub(super) part: Part,
    pub(super) line: Option<DocLine>,
    pub(super) packs: Vec<Pack>,
    pub(super) is_stock: bool,
    pub(super) decimal: u8,
    pub(super) nth: u64,
    /// INV before its quantities.
    pub(super) inventory: Option<[String; 3]>,
    pub(super) last_reference: Option<usize>,
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
            None => trade::keep(&mut self.document.event, format!("edifact:NAD+{qualifier}"), &segment.rest(2)),
        }
        self.part = Part::Party(qualifier);
    }

    fn transport(&mut self, segment: &Segment) {
        self.leave_party();
        let (id, name) = (segment.at(5, 1), segment.at(5, 4));
        let event = &mut self.document.event;
        trade::keep(event, format!("edifact:TDT+{}", segment.at(1, 1)), &segment.rest(2));
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

pub(super) fn kept(prefix: &str, suffix: &str, segment: &Segment) -> (String, String) {
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

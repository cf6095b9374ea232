//! An IDoc as both forms of file give it, and what all its mappings share.

use docksync_proto::{
    canonical,
    event::{Event, EventTime, EventType, Interchange, Line, Party, PartyRole, RefKind},
};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use super::{IDOC_BYTES_MAX, SEGMENTS_MAX};
use crate::decode::{
    assign::Fault,
    documents::Place,
    hold,
    message::{Message, Messages, doubt},
    number::{NumberForm, SCALE_MAX},
    trade,
};

/// A segment with its fields in their order.
#[derive(Debug, Default)]
pub(super) struct Segment {
    /// `E1EDL24`, without version.
    pub(super) name: String,
    pub(super) line_no: u64,
    pub(super) offset: u64,
    fields: Vec<(String, String)>,
}

impl Segment {
    pub(super) fn new(name: &str, line_no: u64, offset: u64) -> Self {
        Self { name: name.to_owned(), line_no, offset, fields: Vec::new() }
    }

    /// Adds a field; an empty one says nothing.
    pub(super) fn push(&mut self, name: &str, value: &str) {
        let value = value.trim();
        if !matches!(value, "" | "/" | "00000000" | "000000") {
            self.fields.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Value of a field; empty where it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    /// The same, and the field counts as mapped.
    pub(super) fn take(&mut self, name: &str) -> String {
        match self.fields.iter().position(|(known, _)| known == name) {
            Some(at) => self.fields.remove(at).1,
            None => String::new(),
        }
    }

    /// Takes the first of these fields that is there.
    pub(super) fn take_first(&mut self, names: &[&str]) -> String {
        names
            .iter()
            .map(|name| self.take(name))
            .fold(String::new(), |known, next| if known.is_empty() { next } else { known })
    }

    /// Keeps what nothing took.
    pub(super) fn keep_rest(&self, event: &mut Event, suffix: &str) {
        for (name, value) in &self.fields {
            trade::keep(event, format!("idoc:{}.{name}{suffix}", self.name), value);
        }
    }

    /// As people read it.
    pub(super) fn shown(&self) -> String {
        let fields: Vec<String> = self.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{} {}", self.name, fields.join(" "))
    }

    fn bytes(&self) -> usize {
        self.fields.iter().map(|(name, value)| name.len() + value.len() + 48).sum::<usize>() + 64
    }
}

/// What an IDoc is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Delivery,
    Order,
    Movement,
}

/// One IDoc.
#[derive(Debug, Default)]
pub(super) struct Idoc {
    /// EDI_DC40.
    pub(super) control: Segment,
    pub(super) segments: Vec<Segment>,
    pub(super) place: Place,
    /// Physical lines.
    pub(super) lines: u64,
    bytes: usize,
    /// Segments beyond the limits.
    lost: u64,
    /// Where its bytes are no text.
    pub(super) broken_line: Option<u64>,
}

impl Idoc {
    pub(super) fn push(&mut self, segment: Segment) {
        if matches!(segment.name.as_str(), "EDI_DC40" | "EDI_DC40_U" | "EDI_DC") {
            self.control = segment;
        } else if self.segments.len() < SEGMENTS_MAX && self.bytes < IDOC_BYTES_MAX {
            self.bytes += segment.bytes();
            self.segments.push(segment);
        } else {
            self.lost += 1;
        }
    }

    /// Whether so many segments are more than are read.
    pub(super) fn is_full(&mut self, count: usize) -> bool {
        let is_full = count > SEGMENTS_MAX;
        self.lost += u64::from(is_full);
        is_full
    }

    /// Takes segments in any order and brings them into that of the document.
    pub(super) fn arrange(&mut self, mut segments: Vec<Segment>) {
        segments.sort_by_key(|segment| segment.offset);
        segments.into_iter().for_each(|segment| self.push(segment));
    }

    pub(super) fn overflow(&self) -> Option<Fault> {
        if self.broken_line.is_some() {
            let expected = "text in the declared character set";
            return Some(hold::whole("ENCODING_ERROR", "", "bytes that are no text", expected));
        }
        let found = format!("{} segments", self.segments.len() as u64 + self.lost);
        let expected = format!("at most {SEGMENTS_MAX} segments and {IDOC_BYTES_MAX} bytes");
        (self.lost > 0).then(|| hold::whole("DOCUMENT_TOO_LARGE", "", found, expected))
    }

    pub(super) fn mestyp(&self) -> String {
        self.control.get("MESTYP").to_ascii_uppercase()
    }

    pub(super) fn idoctyp(&self) -> String {
        self.control.get("IDOCTYP").to_ascii_uppercase()
    }

    /// The message type decides; where none is stated, the basic type.
    pub(super) fn family(&self) -> Option<Family> {
        let (message, basic) = (self.mestyp(), self.idoctyp());
        let is_delivery = basic.is_empty() || basic.starts_with("DELVRY") || basic.starts_with("DESADV");
        match message.as_str() {
            "SHPCON" | "WHSCON" | "DESADV" | "DELVRY" | "CARNOT" | "SHPORD" | "WHSORD" if is_delivery => {
                Some(Family::Delivery)
            }
            "ORDERS" | "ORDCHG" | "ORDRSP" if basic.is_empty() || basic.starts_with("ORDERS") => Some(Family::Order),
            "MBGMCR" | "WMMBXY" => Some(Family::Movement),
            "" if basic.starts_with("DELVRY") || basic.starts_with("DESADV") => Some(Family::Delivery),
            "" if basic.starts_with("ORDERS") => Some(Family::Order),
            "" if basic.starts_with("MBGMCR") || basic.starts_with("WMMBID") => Some(Family::Movement),
            _ => None,
        }
    }

    pub(super) fn unsupported(&self) -> Fault {
        let found = format!("{} {}", self.mestyp(), self.idoctyp());
        let expected = "SHPCON, WHSCON or DESADV of DELVRY01 to DELVRY07 or DESADV01, ORDERS, ORDCHG or ORDRSP of ORDERS01 to \
                        ORDERS05, MBGMCR or WMMBXY";
        hold::whole("UNSUPPORTED_DOCUMENT", "EDI_DC40/MESTYP", found.trim(), expected)
    }

    /// A message of which nothing is mapped yet.
    pub(super) fn started(&self) -> Message {
        let mut message = Message::default();
        message.line_no = self.place.line_no;
        message.lines = self.lines;
        message.text = self.control.shown();
        message
    }

    /// `idoc-shpcon`.
    fn format(&self) -> String {
        let name = if self.mestyp().is_empty() { self.idoctyp() } else { self.mestyp() };
        format!("idoc-{}", name.to_ascii_lowercase())
    }

    /// What all events of the IDoc share; the control record goes into the envelope.
    pub(super) fn blank(&mut self, messages: &Messages<'_, '_>) -> Event {
        let mut event = messages.event(EventType::EpcisOther, &self.format(), self.place);
        let control = &mut self.control;
        let (sender, receiver) = (control.take("SNDPRN"), control.take("RCVPRN"));
        let named = |id: String, kind: String| match kind.is_empty() {
            false if !id.is_empty() => format!("{kind}:{id}"),
            _ => id,
        };
        event.interchange = Interchange {
            sender: named(sender, control.take("SNDPRT")),
            receiver: named(receiver, control.take("RCVPRT")),
            control: control.take("DOCNUM"),
            version: control.take("IDOCTYP"),
            usage: if control.take("TEST").is_empty() { "P" } else { "T" }.to_owned(),
            ..Interchange::default()
        };
        // What says how the document travelled is not kept: a document that comes again must not look revised.
        for name in ["MESCOD", "MESFCT", "CIMTYP"] {
            trade::keep(&mut event, format!("idoc:EDI_DC40.{name}"), control.get(name));
        }
        event
    }

    /// Sets the event's time by the control record, where the document has none of its own.
    pub(super) fn time_of_control(&mut self, messages: &mut Messages<'_, '_>, event: &mut Event) {
        let text = self.control.get("CREDAT").to_owned() + self.control.get("CRETIM");
        let is_set = !text.is_empty() && messages.time(event, "EDI_DC40/CREDAT", 0, &text, &[]).is_ok();
        if is_set {
            doubt(event, "TIME_OF_DOCUMENT", "event_time", "the document states no time; that of its making is taken");
        } else {
            event.time = EventTime::utc(event.record_time);
            doubt(event, "TIME_OF_CAPTURE", "event_time", "the document states no time; that of its capture is taken");
        }
    }
}

/// A number as SAP writes it: a minus may stand behind it.
pub(super) fn quantity(messages: &Messages<'_, '_>, path: &str, text: &str) -> Result<Decimal, Fault> {
    let form = NumberForm { trailing_minus: true, ..messages.tools.number };
    let wrong = || trade::fault("INVALID_QUANTITY", path, 0, text, "a number, as 12.500");
    let number = form.parse(text).ok_or_else(wrong)?;
    let number = if number.normalize().scale() > SCALE_MAX { number.round_dp(SCALE_MAX) } else { number };
    // What lies beyond the contract would overflow in sums and differences.
    let limit = "at most 13 digits before and 6 behind the point";
    canonical::check_decimal(number).map_err(|_| trade::fault("INVALID_QUANTITY", path, 0, text, limit))?;
    Ok(number)
}

/// An optional quantity of a segment, its fault noted.
pub(super) fn taken_quantity(
    messages: &Messages<'_, '_>,
    message: &mut Message,
    segment: &mut Segment,
    names: &[&str],
) -> Option<Decimal> {
    let name = names.iter().find(|name| !segment.get(name).is_empty())?;
    let text = segment.take(name);
    match quantity(messages, &format!("{}/{name}", segment.name), &text) {
        Ok(quantity) => Some(quantity),
        Err(fault) => {
            message.fault(segment.line_no, fault, &segment.shown());
            None
        }
    }
}

/// The unit of a segment, its fault noted; empty where none is stated.
pub(super) fn taken_unit(
    messages: &Messages<'_, '_>,
    message: &mut Message,
    segment: &mut Segment,
    names: &[&str],
) -> String {
    let Some(name) = names.iter().find(|name| !segment.get(name).is_empty()) else { return String::new() };
    let text = segment.take(name);
    match messages.unit(&format!("{}/{name}", segment.name), 0, &text) {
        Ok(unit) => unit,
        Err(fault) => {
            message.fault(segment.line_no, fault, &segment.shown());
            String::new()
        }
    }
}

/// A calendar day of a segment, its fault noted.
pub(super) fn taken_day(message: &mut Message, segment: &mut Segment, name: &str) -> Option<jiff::civil::Date> {
    let text = segment.take(name);
    if text.is_empty() || text == "0" {
        return None;
    }
    match trade::day(&format!("{}/{name}", segment.name), 0, &text) {
        Ok(day) => Some(day),
        Err(fault) => {
            message.fault(segment.line_no, fault, &segment.shown());
            None
        }
    }
}

/// Sets the item number from a material: leading zeros go from digits, the number as sent is kept.
pub(super) fn set_sku(event: &mut Event, line: &mut Line, key: &str, material: &str) {
    let sku = trade::without_zeros(material);
    sku.clone_into(&mut line.item.sku);
    if sku != material {
        trade::keep(event, key, material);
    }
}

/// Names of SAP time zones that are no IANA names (table TTZZ).
const ZONES: &[(&str, &str)] = &[
    ("CET", "Europe/Berlin"),
    ("EET", "Europe/Helsinki"),
    ("WET", "Europe/Lisbon"),
    ("GMTUK", "Europe/London"),
    ("EST", "America/New_York"),
    ("CST", "America/Chicago"),
    ("MST", "America/Denver"),
    ("PST", "America/Los_Angeles"),
    ("BRAZIL", "America/Sao_Paulo"),
    ("INDIA", "Asia/Kolkata"),
    ("JAPAN", "Asia/Tokyo"),
    ("UTC", "UTC"),
];

/// Sets the event's time from a day, a clock time that may be missing, and the zone that the document names.
pub(super) fn set_time(
    messages: &mut Messages<'_, '_>,
    event: &mut Event,
    path: &str,
    parts: [&str; 3],
) -> Result<(), Fault> {
    let [day, clock, zone_name] = parts;
    let mut text = format!("{day}{clock}");
    if !clock.is_empty() && !zone_name.is_empty() {
        match offset(&text, zone_name) {
            Some(offset) => text.push_str(&offset),
            None => doubt(
                event,
                "UNKNOWN_ZONE",
                "event_time",
                format!("zone `{zone_name}` is not known; the site's is taken"),
            ),
        }
    }
    messages.time(event, path, 0, &text, &[])
}

/// The offset of a local time in a SAP time zone.
fn offset(local: &str, zone_name: &str) -> Option<String> {
    let name = ZONES.iter().find(|(sap, _)| sap.eq_ignore_ascii_case(zone_name)).map(|(_, iana)| *iana)?;
    let zone = TimeZone::get(name).ok()?;
    let local = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", local).ok()?;
    let seconds = zone.to_ambiguous_timestamp(local).compatible().ok().map(|at| zone.to_offset(at).seconds())?;
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs() / 60);
    Some(format!("{sign}{:02}{:02}", minutes / 60, minutes % 60))
}

/// The site by the first code that the feed knows; where it lists codes and knows none of these, the first is a fault.
pub(super) fn place(messages: &Messages<'_, '_>, message: &mut Message, event: &mut Event, codes: &[(String, &str)]) {
    let stated = || codes.iter().filter(|(code, _)| !code.is_empty());
    let known = stated().find(|(code, _)| messages.parse.sites.contains_key(&code.to_uppercase()));
    let Some((code, path)) = known.or_else(|| stated().next()) else { return };
    if let Err(mut fault) = messages.place_at(event, code) {
        (*path).clone_into(&mut fault.field);
        let (line_no, text) = (message.line_no, message.text.clone());
        message.fault(line_no, fault, &text);
    }
}

/// Partner functions of E1ADRM1 and E1EDKA1.
fn role(function: &str) -> Option<PartyRole> {
    Some(match function {
        "AG" => PartyRole::Buyer,
        "WE" => PartyRole::ShipTo,
        "RE" | "RG" => PartyRole::BillTo,
        "LF" => PartyRole::Supplier,
        "SP" => PartyRole::Carrier,
        "OSP" => PartyRole::Warehouse,
        "OSO" => PartyRole::Depositor,
        "WL" => PartyRole::ShipFrom,
        _ => return None,
    })
}

/// Reads a partner: E1ADRM1 of deliveries, E1EDKA1 of orders. One of a role that is taken already is kept with the rest.
pub(super) fn party(event: &mut Event, segment: &mut Segment) {
    let function = segment.take_first(&["PARTNER_Q", "PARVW"]);
    let role = role(&function).filter(|role| event.party(*role).is_none());
    let Some(role) = role else {
        segment.keep_rest(event, &format!("[{function}]"));
        return;
    };
    let party = trade::party(event, role);
    fill(party, segment);
    segment.keep_rest(event, &format!("[{function}]"));
}

fn fill(party: &mut Party, segment: &mut Segment) {
    party.id = segment.take_first(&["PARTNER_ID", "PARTN"]);
    party.name = joined(segment, &["NAME1", "NAME2", "NAME3", "NAME4"]);
    let fields = [
        "STREET1",
        "STREET2",
        "STREET3",
        "STRAS",
        "STRS2",
        "POSTL_COD1",
        "PSTLZ",
        "CITY1",
        "ORT01",
        "REGION",
        "REGIO",
        "COUNTRY1",
        "LAND1",
    ];
    party.address = joined(segment, &fields);
}

fn joined(segment: &mut Segment, names: &[&str]) -> String {
    let values: Vec<String> = names.iter().map(|name| segment.take(name)).filter(|value| !value.is_empty()).collect();
    values.join(", ")
}

/// The value that all agree in; empty where they do not.
pub(super) fn common<'v>(mut values: impl Iterator<Item = &'v str>) -> String {
    let first = values.next().unwrap_or("");
    if values.all(|value| value == first) { first.to_owned() } else { String::new() }
}

/// Adds a reference that is there.
pub(super) fn refer(event: &mut Event, kind: RefKind, value: &str) {
    trade::refer(&mut event.references, kind, value);
}

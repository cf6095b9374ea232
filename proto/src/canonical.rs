//! The canonical form: an event as a flat run of tagged values.
//!
//! One form serves three ends: its bytes are hashed ([`crate::identity`]), its columns go over the wire
//! ([`crate::codec`]), and a receiver of an older version can still hash values whose tags it does not know.
//! A tag is `number * 4 + kind`, so that a value can be skipped without knowing its meaning. Absent values are left out
//! and decimals are normalised, hence adding a field later changes no hash of an event that does not use it.
//! Business values come first; [`PROVENANCE`] opens the part that says how the fact travelled.
//!
//! Tags are a contract: never reuse a number, never change its kind, only append.

use jiff::{Timestamp, civil::Date};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::{
    event::{
        Action, Container, ContainerKind, Content, Event, EventTime, EventType, Interchange, Line, LineStatus, Measure,
        Party, PartyRole, Precision, RefKind, Reference, Source, Warning,
    },
    site::SiteId,
};

/// A tag with its kind in the two low bits.
pub type Tag = u16;

/// Kind of a tag's value.
pub const KIND_TEXT: Tag = 0;
/// Signed 64-bit number.
pub const KIND_INT: Tag = 1;
/// Normalised decimal: mantissa and scale.
pub const KIND_DEC: Tag = 2;
/// No value: opens an element of a list, or a section.
pub const KIND_OPEN: Tag = 3;

/// Opens the values that say how the fact travelled: they take no part in the content hash.
pub const PROVENANCE: Tag = 150 * 4 + KIND_OPEN;

const EVENT_TYPE: Tag = 4 + KIND_INT;
const ACTION: Tag = 2 * 4 + KIND_INT;
const SITE: Tag = 3 * 4;
const TIME_AT: Tag = 4 * 4 + KIND_INT;
const TIME_OFFSET: Tag = 5 * 4 + KIND_INT;
const TIME_PRECISION: Tag = 6 * 4 + KIND_INT;
const TIME_ZONE: Tag = 7 * 4;
const CAUSATION: Tag = 9 * 4;
const ORDINAL: Tag = 10 * 4 + KIND_INT;
const SPLIT: Tag = 11 * 4 + KIND_INT;
const REFERENCE: Tag = 20 * 4 + KIND_OPEN;
const REF_KIND: Tag = 21 * 4 + KIND_INT;
const REF_DATE: Tag = 23 * 4 + KIND_INT;
const PARTY: Tag = 30 * 4 + KIND_OPEN;
const PARTY_ROLE: Tag = 31 * 4 + KIND_INT;
const LINE: Tag = 40 * 4 + KIND_OPEN;
const LINE_SERIAL: Tag = 60 * 4;
const LINE_EXPIRY: Tag = 62 * 4 + KIND_INT;
const LINE_BEST_BEFORE: Tag = 63 * 4 + KIND_INT;
const LINE_NET: Tag = 64 * 4 + KIND_DEC;
const LINE_NET_UNIT: Tag = 65 * 4;
const LINE_GROSS: Tag = 66 * 4 + KIND_DEC;
const LINE_GROSS_UNIT: Tag = 67 * 4;
const LINE_STATUS: Tag = 68 * 4 + KIND_INT;
const LINE_REFERENCE: Tag = 80 * 4 + KIND_OPEN;
const CONTAINER: Tag = 90 * 4 + KIND_OPEN;
const CONTAINER_KIND: Tag = 94 * 4 + KIND_INT;
const CONTAINER_WEIGHT: Tag = 98 * 4 + KIND_DEC;
const CONTAINER_WEIGHT_UNIT: Tag = 99 * 4;
const CONTENT: Tag = 110 * 4 + KIND_OPEN;
const CONTENT_SERIAL: Tag = 116 * 4;
const EXTENSION: Tag = 120 * 4 + KIND_OPEN;
const EXTENSION_KEY: Tag = 121 * 4;
const EXTENSION_VALUE: Tag = 122 * 4;
const RECORD_TIME: Tag = 151 * 4 + KIND_INT;
const TIME_TEXT: Tag = 152 * 4;
const WARNING: Tag = 155 * 4 + KIND_OPEN;
const SOURCE_SIZE: Tag = 166 * 4 + KIND_INT;
const SOURCE_RECORD: Tag = 167 * 4 + KIND_INT;
const SOURCE_OFFSET: Tag = 168 * 4 + KIND_INT;
const SOURCE_LINE: Tag = 169 * 4 + KIND_INT;

/// Takes the values of an event one by one.
pub trait Sink {
    /// A text.
    fn text(&mut self, tag: Tag, value: &str);
    /// A number.
    fn int(&mut self, tag: Tag, value: i64);
    /// A normalised decimal.
    fn dec(&mut self, tag: Tag, mantissa: i64, scale: u8);
    /// Opens an element of a list, or a section.
    fn open(&mut self, tag: Tag);
}

/// One value, borrowed from where it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Int(i64),
    /// A decimal.
    Dec(i64, u8),
    /// An opening.
    Open,
}

/// Why values do not make an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// A value that is only allowed inside an element stood outside of it.
    #[error("value with tag {tag} stands outside its element")]
    Misplaced {
        /// The tag.
        tag: Tag,
    },
    /// A value that this version cannot hold.
    #[error("value with tag {tag} is out of range")]
    Range {
        /// The tag.
        tag: Tag,
    },
    /// A quantity of more than 19 digits, or more than 6 behind the point.
    #[error("quantity {value} has more than 13 digits before or 6 behind the point")]
    Quantity {
        /// The quantity.
        value: Decimal,
    },
    /// A value that every event has was missing.
    #[error("an event without {what}")]
    Missing {
        /// Which.
        what: &'static str,
    },
}

/// The first whole number with more than thirteen digits.
const WHOLE_LIMIT: u64 = 10_000_000_000_000;

/// Checks that every quantity fits the contract (19 digits, 6 of them behind the point).
///
/// # Errors
/// [`CanonicalError::Quantity`] names the first that does not.
pub fn check_decimal(value: Decimal) -> Result<(i64, u8), CanonicalError> {
    // Whole numbers, as most are, need no look at their zeros.
    if value.scale() == 0
        && let Ok(mantissa) = i64::try_from(value.mantissa())
        && mantissa.unsigned_abs() < WHOLE_LIMIT
    {
        return Ok((mantissa, 0));
    }
    let normal = value.normalize();
    let error = || CanonicalError::Quantity { value };
    let mantissa = i64::try_from(normal.mantissa()).map_err(|_| error())?;
    let scale = u8::try_from(normal.scale()).map_err(|_| error())?;
    // Thirteen digits before the point: at this scale the mantissa of the first number with more.
    let limit = 10_u64.checked_pow(13 + u32::from(scale)).filter(|_| scale <= 6);
    if limit.is_none_or(|limit| mantissa.unsigned_abs() >= limit) {
        return Err(error());
    }
    Ok((mantissa, scale))
}

macro_rules! texts {
    ($walk:ident, $set:ident, $type:ty { $( $number:literal $($field:ident).+ ; )* }) => {
        fn $walk(value: &$type, sink: &mut impl Sink) {
            $( if !value.$($field).+.is_empty() { sink.text($number * 4, &value.$($field).+); } )*
        }

        /// Sets the text with this tag; false where this type has none.
        fn $set(target: &mut $type, tag: Tag, text: &str) -> bool {
            match tag {
                $( t if t == $number * 4 => target.$($field).+ = text.to_owned(), )*
                _ => return false,
            }
            true
        }
    };
}

macro_rules! quantities {
    ($walk:ident, $set:ident, $type:ty { $( $number:literal $field:ident ; )* }) => {
        fn $walk(value: &$type, sink: &mut impl Sink) {
            $( if let Some(d) = value.$field { dec(sink, $number * 4 + KIND_DEC, d); } )*
        }

        fn $set(target: &mut $type, tag: Tag, d: Decimal) -> bool {
            match tag {
                $( t if t == $number * 4 + KIND_DEC => target.$field = Some(d), )*
                _ => return false,
            }
            true
        }
    };
}

texts!(event_texts, set_event_text, Event { 8 correlation_id; 12 operator; });
texts!(ref_texts, set_ref_text, Reference { 22 value; });
texts!(party_texts, set_party_text, Party { 32 id; 33 id_scheme; 34 name; 35 address; });
texts!(line_texts, set_line_text, Line {
    41 line_no; 42 source_line_no; 43 item.sku; 44 item.gtin; 45 item.buyer_item; 46 item.vendor_item; 47 item.upc_case;
    48 item.ndc; 49 item.description; 50 uom; 59 lot; 61 production_code; 69 status_source; 70 stock_status_from;
    71 stock_status_to; 72 reason.code; 73 reason.source_code; 74 reason.text; 75 location_from; 76 location_to;
    77 container_ref;
});
quantities!(line_quantities, set_line_quantity, Line {
    51 qty; 52 qty_ordered; 53 qty_shipped; 54 qty_difference; 55 qty_received; 56 qty_damaged; 57 qty_before; 58 qty_after;
});
texts!(container_texts, set_container_text, Container {
    91 container_id; 92 sscc; 93 parent_id; 95 tracking_no; 96 carrier_scac; 97 service; 100 dims;
});
texts!(content_texts, set_content_text, Content { 111 line_no; 112 sku; 114 uom; 115 lot; });
quantities!(content_quantities, set_content_quantity, Content { 113 qty; });
texts!(warning_texts, set_warning_text, Warning { 156 code; 157 path; 158 text; });
texts!(source_texts, set_source_text, Source { 161 system; 162 format; 163 feed; 164 file_name; 165 file_sha256; });
texts!(interchange_texts, set_interchange_text, Interchange {
    171 sender; 172 receiver; 173 control; 174 group_control; 175 set_control; 176 version; 177 usage;
});

fn dec(sink: &mut impl Sink, tag: Tag, value: Decimal) {
    // A quantity that does not fit is refused by `validate` before anything is stored.
    let (mantissa, scale) = check_decimal(value).unwrap_or((i64::MAX, 0));
    sink.dec(tag, mantissa, scale);
}

fn measure(sink: &mut impl Sink, tag: Tag, unit_tag: Tag, value: Option<&Measure>) {
    if let Some(m) = value {
        dec(sink, tag, m.value);
        sink.text(unit_tag, &m.unit);
    }
}

fn date(sink: &mut impl Sink, tag: Tag, value: Option<Date>) {
    if let Some(d) = value {
        sink.int(tag, i64::from(days(d)));
    }
}

fn days(date: Date) -> i32 {
    date.since(EPOCH).map_or(0, |span| span.get_days())
}

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// Hands every value of the event to the sink, business values first.
pub fn walk(event: &Event, sink: &mut impl Sink) {
    sink.int(EVENT_TYPE, i64::from(event.event_type.code()));
    sink.int(ACTION, i64::from(event.action.code()));
    sink.text(SITE, event.site_id.as_str());
    // Milliseconds: no warehouse system says more, and whole seconds compress to nothing.
    sink.int(TIME_AT, event.time.at.as_millisecond());
    sink.int(TIME_OFFSET, i64::from(event.time.offset_secs));
    sink.int(TIME_PRECISION, i64::from(event.time.precision.code()));
    sink.text(TIME_ZONE, &event.time.zone);
    event_texts(event, sink);
    if let Some(id) = event.causation_id {
        sink.text(CAUSATION, id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    }
    if event.ordinal != 0 {
        sink.int(ORDINAL, i64::from(event.ordinal));
    }
    if event.split {
        sink.int(SPLIT, 1);
    }
    walk_references(REFERENCE, &event.references, sink);
    for party in &event.parties {
        sink.open(PARTY);
        sink.int(PARTY_ROLE, i64::from(party.role.code()));
        party_texts(party, sink);
    }
    event.lines.iter().for_each(|line| walk_line(line, sink));
    event.containers.iter().for_each(|container| walk_container(container, sink));
    for (key, value) in &event.extensions {
        sink.open(EXTENSION);
        sink.text(EXTENSION_KEY, key);
        sink.text(EXTENSION_VALUE, value);
    }
    walk_provenance(event, sink);
}

/// Hands every value of canonical bytes to the sink; `None` where they are none, with what came before handed over.
pub(crate) fn read(mut bytes: &[u8], sink: &mut impl Sink) -> Option<()> {
    while !bytes.is_empty() {
        let tag = Tag::try_from(varint(&mut bytes)?).ok()?;
        match tag & 3 {
            KIND_TEXT => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (text, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                sink.text(tag, std::str::from_utf8(text).ok()?);
            }
            KIND_INT => sink.int(tag, zigzag(&mut bytes)?),
            KIND_DEC => {
                let mantissa = zigzag(&mut bytes)?;
                let (scale, rest) = bytes.split_first()?;
                bytes = rest;
                sink.dec(tag, mantissa, *scale);
            }
            _ => sink.open(tag),
        }
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let (mut n, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(n);
        }
        shift += 7;
    }
}

fn zigzag(bytes: &mut &[u8]) -> Option<i64> {
    let n = varint(bytes)?;
    Some((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
}

fn walk_provenance(event: &Event, sink: &mut impl Sink) {
    sink.open(PROVENANCE);
    sink.int(RECORD_TIME, event.record_time.as_millisecond());
    if !event.time.text.is_empty() {
        sink.text(TIME_TEXT, &event.time.text);
    }
    for warning in &event.warnings {
        sink.open(WARNING);
        warning_texts(warning, sink);
    }
    source_texts(&event.source, sink);
    sink.int(SOURCE_SIZE, wide(event.source.file_size));
    sink.int(SOURCE_RECORD, wide(event.source.record_ordinal));
    sink.int(SOURCE_OFFSET, wide(event.source.byte_offset));
    sink.int(SOURCE_LINE, wide(event.source.line_no));
    interchange_texts(&event.interchange, sink);
}

fn wide(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn walk_references(tag: Tag, references: &[Reference], sink: &mut impl Sink) {
    for reference in references {
        sink.open(tag);
        sink.int(REF_KIND, i64::from(reference.kind.code()));
        ref_texts(reference, sink);
        date(sink, REF_DATE, reference.date);
    }
}

fn walk_line(line: &Line, sink: &mut impl Sink) {
    sink.open(LINE);
    line_texts(line, sink);
    line_quantities(line, sink);
    line.serials.iter().for_each(|serial| sink.text(LINE_SERIAL, serial));
    date(sink, LINE_EXPIRY, line.expiry_date);
    date(sink, LINE_BEST_BEFORE, line.best_before_date);
    measure(sink, LINE_NET, LINE_NET_UNIT, line.net_weight.as_ref());
    measure(sink, LINE_GROSS, LINE_GROSS_UNIT, line.gross_weight.as_ref());
    if let Some(status) = line.status_code {
        sink.int(LINE_STATUS, i64::from(status.code()));
    }
    walk_references(LINE_REFERENCE, &line.references, sink);
}

fn walk_container(container: &Container, sink: &mut impl Sink) {
    sink.open(CONTAINER);
    container_texts(container, sink);
    if let Some(kind) = container.kind {
        sink.int(CONTAINER_KIND, i64::from(kind.code()));
    }
    measure(sink, CONTAINER_WEIGHT, CONTAINER_WEIGHT_UNIT, container.weight.as_ref());
    for content in &container.contents {
        sink.open(CONTENT);
        content_texts(content, sink);
        content_quantities(content, sink);
        content.serials.iter().for_each(|serial| sink.text(CONTENT_SERIAL, serial));
    }
}

/// Element into which the next values belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Top,
    Reference,
    Party,
    Line,
    LineReference,
    Container,
    Content,
    Extension,
    Provenance,
    Warning,
}

/// Puts an event together from its values, in the order in which [`walk`] gave them.
#[derive(Debug)]
pub struct Builder {
    event: Event,
    at: At,
    key: String,
    seen_type: bool,
    seen_site: bool,
    /// Values whose tags this version does not know; they are covered by the hashes all the same.
    pub unknown: u32,
}

impl Builder {
    /// An empty builder.
    pub fn new() -> Self {
        // A placeholder that `finish` never lets out: type and site are checked there.
        let site = SiteId::new("X").unwrap_or_else(|_| unreachable!("a constant name"));
        let event =
            Event::new(EventType::EpcisOther, site, EventTime::utc(Timestamp::UNIX_EPOCH), Timestamp::UNIX_EPOCH);
        Self { event, at: At::Top, key: String::new(), seen_type: false, seen_site: false, unknown: 0 }
    }

    /// Takes one value.
    ///
    /// # Errors
    /// [`CanonicalError`] where the value cannot stand here.
    pub fn push(&mut self, tag: Tag, value: Value<'_>) -> Result<(), CanonicalError> {
        match value {
            Value::Open => self.open(tag),
            Value::Text(text) => self.text(tag, text),
            Value::Int(n) => self.int(tag, n),
            Value::Dec(mantissa, scale) => {
                let d = Decimal::try_from_i128_with_scale(i128::from(mantissa), u32::from(scale));
                self.decimal(tag, d.map_err(|_| CanonicalError::Range { tag })?)
            }
        }
    }

    /// The event.
    ///
    /// # Errors
    /// [`CanonicalError::Missing`] where a value that every event has did not come.
    pub fn finish(self) -> Result<Event, CanonicalError> {
        if !self.seen_type {
            return Err(CanonicalError::Missing { what: "event type" });
        }
        if !self.seen_site {
            return Err(CanonicalError::Missing { what: "site" });
        }
        Ok(self.event)
    }

    fn open(&mut self, tag: Tag) -> Result<(), CanonicalError> {
        let empty_ref = || Reference { kind: RefKind::Po, value: String::new(), date: None };
        match tag {
            REFERENCE => {
                self.event.references.push(empty_ref());
                self.at = At::Reference;
            }
            PARTY => {
                let (id, id_scheme, name, address) = Default::default();
                self.event.parties.push(Party { role: PartyRole::Warehouse, id, id_scheme, name, address });
                self.at = At::Party;
            }
            LINE => {
                // A line is large and most events have one: growing by habit would set aside four.
                if self.event.lines.is_empty() {
                    self.event.lines.reserve_exact(1);
                }
                self.event.lines.push(Line::default());
                self.at = At::Line;
            }
            LINE_REFERENCE => {
                self.line(tag)?.references.push(empty_ref());
                self.at = At::LineReference;
            }
            CONTAINER => {
                self.event.containers.push(Container::default());
                self.at = At::Container;
            }
            CONTENT => {
                self.container(tag)?.contents.push(Content::default());
                self.at = At::Content;
            }
            EXTENSION => self.at = At::Extension,
            PROVENANCE => self.at = At::Provenance,
            WARNING => {
                let (code, path, text) = Default::default();
                self.event.warnings.push(Warning { code, path, text });
                self.at = At::Warning;
            }
            _ => self.unknown += 1,
        }
        Ok(())
    }

    fn line(&mut self, tag: Tag) -> Result<&mut Line, CanonicalError> {
        self.event.lines.last_mut().ok_or(CanonicalError::Misplaced { tag })
    }

    fn container(&mut self, tag: Tag) -> Result<&mut Container, CanonicalError> {
        self.event.containers.last_mut().ok_or(CanonicalError::Misplaced { tag })
    }

    fn content(&mut self, tag: Tag) -> Result<&mut Content, CanonicalError> {
        self.container(tag)?.contents.last_mut().ok_or(CanonicalError::Misplaced { tag })
    }

    fn reference(&mut self, tag: Tag) -> Result<&mut Reference, CanonicalError> {
        let misplaced = CanonicalError::Misplaced { tag };
        match self.at {
            At::LineReference => self.line(tag)?.references.last_mut().ok_or(misplaced),
            _ => self.event.references.last_mut().ok_or(misplaced),
        }
    }

    fn text(&mut self, tag: Tag, text: &str) -> Result<(), CanonicalError> {
        let range = CanonicalError::Range { tag };
        match tag {
            SITE => {
                self.event.site_id = SiteId::new(text).map_err(|_| range)?;
                self.seen_site = true;
            }
            TIME_ZONE => text.clone_into(&mut self.event.time.zone),
            TIME_TEXT => text.clone_into(&mut self.event.time.text),
            CAUSATION => self.event.causation_id = Some(Uuid::parse_str(text).map_err(|_| range)?),
            LINE_SERIAL => self.line(tag)?.serials.push(text.to_owned()),
            LINE_NET_UNIT => unit(&mut self.line(tag)?.net_weight, text),
            LINE_GROSS_UNIT => unit(&mut self.line(tag)?.gross_weight, text),
            CONTAINER_WEIGHT_UNIT => unit(&mut self.container(tag)?.weight, text),
            CONTENT_SERIAL => self.content(tag)?.serials.push(text.to_owned()),
            EXTENSION_KEY => text.clone_into(&mut self.key),
            EXTENSION_VALUE => {
                let key = std::mem::take(&mut self.key);
                self.event.extensions.insert(key, text.to_owned());
            }
            _ => return self.listed_text(tag, text),
        }
        Ok(())
    }

    /// Texts that belong to the element opened last.
    fn listed_text(&mut self, tag: Tag, text: &str) -> Result<(), CanonicalError> {
        let known = match self.at {
            At::Top => set_event_text(&mut self.event, tag, text),
            At::Reference | At::LineReference => set_ref_text(self.reference(tag)?, tag, text),
            At::Party => match self.event.parties.last_mut() {
                Some(party) => set_party_text(party, tag, text),
                None => return Err(CanonicalError::Misplaced { tag }),
            },
            At::Line => set_line_text(self.line(tag)?, tag, text),
            At::Container => set_container_text(self.container(tag)?, tag, text),
            At::Content => set_content_text(self.content(tag)?, tag, text),
            At::Extension => false,
            At::Provenance => {
                set_source_text(&mut self.event.source, tag, text)
                    || set_interchange_text(&mut self.event.interchange, tag, text)
            }
            At::Warning => {
                let last = self.event.warnings.last_mut().is_some_and(|w| set_warning_text(w, tag, text));
                last || set_source_text(&mut self.event.source, tag, text)
                    || set_interchange_text(&mut self.event.interchange, tag, text)
            }
        };
        self.unknown += u32::from(!known);
        Ok(())
    }

    fn int(&mut self, tag: Tag, n: i64) -> Result<(), CanonicalError> {
        let range = CanonicalError::Range { tag };
        let code = u8::try_from(n).ok();
        match tag {
            EVENT_TYPE => {
                self.event.event_type = code.and_then(EventType::from_code).ok_or(range)?;
                self.seen_type = true;
            }
            ACTION => self.event.action = code.and_then(Action::from_code).ok_or(range)?,
            TIME_AT => self.event.time.at = Timestamp::from_millisecond(n).map_err(|_| range)?,
            TIME_OFFSET => self.event.time.offset_secs = i32::try_from(n).map_err(|_| range)?,
            TIME_PRECISION => self.event.time.precision = code.and_then(Precision::from_code).ok_or(range)?,
            RECORD_TIME => self.event.record_time = Timestamp::from_millisecond(n).map_err(|_| range)?,
            ORDINAL => self.event.ordinal = u32::try_from(n).map_err(|_| range)?,
            SPLIT => self.event.split = n == 1,
            REF_KIND => self.reference(tag)?.kind = code.and_then(RefKind::from_code).ok_or(range)?,
            REF_DATE => self.reference(tag)?.date = Some(day(tag, n)?),
            PARTY_ROLE => {
                let role = code.and_then(PartyRole::from_code).ok_or(range)?;
                self.event.parties.last_mut().ok_or(CanonicalError::Misplaced { tag })?.role = role;
            }
            LINE_EXPIRY => self.line(tag)?.expiry_date = Some(day(tag, n)?),
            LINE_BEST_BEFORE => self.line(tag)?.best_before_date = Some(day(tag, n)?),
            LINE_STATUS => self.line(tag)?.status_code = Some(code.and_then(LineStatus::from_code).ok_or(range)?),
            CONTAINER_KIND => self.container(tag)?.kind = Some(code.and_then(ContainerKind::from_code).ok_or(range)?),
            SOURCE_SIZE => self.event.source.file_size = u64::try_from(n).map_err(|_| range)?,
            SOURCE_RECORD => self.event.source.record_ordinal = u64::try_from(n).map_err(|_| range)?,
            SOURCE_OFFSET => self.event.source.byte_offset = u64::try_from(n).map_err(|_| range)?,
            SOURCE_LINE => self.event.source.line_no = u64::try_from(n).map_err(|_| range)?,
            _ => self.unknown += 1,
        }
        Ok(())
    }

    fn decimal(&mut self, tag: Tag, d: Decimal) -> Result<(), CanonicalError> {
        let weight = || Some(Measure { value: d, unit: String::new() });
        match tag {
            LINE_NET => self.line(tag)?.net_weight = weight(),
            LINE_GROSS => self.line(tag)?.gross_weight = weight(),
            CONTAINER_WEIGHT => self.container(tag)?.weight = weight(),
            _ => {
                let known = match self.at {
                    At::Content => set_content_quantity(self.content(tag)?, tag, d),
                    At::Line => set_line_quantity(self.line(tag)?, tag, d),
                    _ => false,
                };
                self.unknown += u32::from(!known);
            }
        }
        Ok(())
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

fn unit(measure: &mut Option<Measure>, unit: &str) {
    if let Some(m) = measure {
        unit.clone_into(&mut m.unit);
    }
}

fn day(tag: Tag, n: i64) -> Result<Date, CanonicalError> {
    let days = i32::try_from(n).map_err(|_| CanonicalError::Range { tag })?;
    let span = jiff::Span::new().try_days(days).map_err(|_| CanonicalError::Range { tag })?;
    EPOCH.checked_add(span).map_err(|_| CanonicalError::Range { tag })
}

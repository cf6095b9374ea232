//! The desk at which one transaction set is read: its envelope, its faults, and the reading of single elements.

use docksync_proto::{
    canonical,
    event::{Action, Event, EventType, Interchange, Line, Measure, Warning},
};
use jiff::{civil, tz::TimeZone};
use rust_decimal::Decimal;

use super::{
    super::{
        assign::Fault,
        documents::Place,
        message::{MESSAGE_FAULTS_MAX, Message, Messages, doubt},
        spare::copy_interchange,
        trade::{day, fault, keep},
    },
    codes::{self, Zone},
    segment::{Delimiters, Segment},
};
use crate::queue::capture::HeldLine;

/// Envelope of the sets that are being read.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    pub(super) interchange: Interchange,
    /// GS01; empty outside of groups.
    pub(super) group_kind: String,
    /// A set without an envelope.
    pub(super) is_bare: bool,
    /// Local day and time of the group, or of the interchange, as ISO 8601.
    pub(super) sent_at: Option<String>,
    /// Days are written with two digits of the year (before release 004010).
    pub(super) has_short_days: bool,
    pub(super) delimiters: Delimiters,
}

/// A remark for the functional acknowledgment that holds nothing back.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) line_no: u64,
    /// Element 720 or, with an element, 723.
    pub(super) code: &'static str,
    pub(super) element: usize,
}

/// One transaction set while it is read.
pub(super) struct Sheet<'s, 'm, 'v, 'p> {
    pub(super) messages: &'m mut Messages<'v, 'p>,
    pub(super) envelope: &'s Envelope,
    /// ST01.
    pub(super) kind: &'s str,
    /// ST02.
    pub(super) control: &'s str,
    pub(super) place: Place,
    pub(super) message: Message,
    pub(super) notes: Vec<Note>,
}

impl Sheet<'_, '_, '_, '_> {
    /// A new event of the document.
    pub(super) fn event(&self, event_type: EventType) -> Event {
        let mut event = self.messages.event(event_type, "x12-", self.place);
        event.source.format.push_str(self.kind);
        copy_interchange(&mut event.interchange, &self.envelope.interchange);
        self.control.clone_into(&mut event.interchange.set_control);
        event
    }

    /// Holds the document for what stands in an element; `n` is 0 for the segment as a whole.
    pub(super) fn fault(&mut self, segment: &Segment, n: usize, code: &'static str, expected: impl Into<String>) {
        let found = if n == 0 { segment.text() } else { segment.get(n) };
        let fault = fault(code, &name(segment, n), column(n), found, expected);
        self.hold(segment, fault);
    }

    /// Notes a fault; the same element is told once.
    fn hold(&mut self, segment: &Segment, fault: Fault) {
        let is_same = |known: &HeldLine| {
            (known.line_no, known.column, known.code.as_str()) == (segment.line_no, fault.column, fault.code)
        };
        if !self.message.faults.iter().any(is_same) {
            self.message.fault(segment.line_no, fault, segment.text());
        }
    }

    /// The element, or a fault where it is empty.
    pub(super) fn must<'t>(&mut self, segment: &'t Segment, n: usize, expected: &str) -> &'t str {
        if !segment.has(n) {
            self.fault(segment, n, "MISSING_MANDATORY", expected);
        }
        segment.get(n)
    }

    /// The quantity in an element; `None` where it is empty or wrong.
    pub(super) fn quantity(&mut self, segment: &Segment, n: usize) -> Option<Decimal> {
        if !segment.has(n) {
            return None;
        }
        if let Some(number) = short_number(segment.get(n)) {
            return Some(number);
        }
        // Names of elements are made where something is wrong: most numbers are right.
        let read = self.messages.quantity("", column(n), segment.get(n)).and_then(|number| {
            let most = "at most 13 digits before and 6 behind the point";
            let wrong = |_| fault("INVALID_QUANTITY", "", column(n), segment.get(n), most);
            canonical::check_decimal(number).map(|_| number).map_err(wrong)
        });
        match read {
            Ok(number) => Some(number),
            Err(fault) => {
                self.hold(segment, Fault { field: name(segment, n), ..fault });
                None
            }
        }
    }

    /// The quantity in an element that must have one.
    pub(super) fn must_quantity(&mut self, segment: &Segment, n: usize) -> Option<Decimal> {
        if !segment.has(n) {
            self.fault(segment, n, "MISSING_MANDATORY", "a quantity");
        }
        self.quantity(segment, n)
    }

    /// Sets the canonical unit in an element. A line without one is doubtful, not wrong.
    pub(super) fn unit(&mut self, event: &mut Event, line: &mut Line, segment: &Segment, n: usize) {
        line.uom.clear();
        if !segment.has(n) {
            doubt(event, "MISSING_UOM", &name(segment, n), format!("segment {} names no unit", segment.line_no));
            return;
        }
        match self.messages.known_unit("", column(n), segment.get(n)) {
            Ok(unit) => unit.clone_into(&mut line.uom),
            Err(fault) => self.hold(segment, Fault { field: name(segment, n), ..fault }),
        }
    }

    /// The canonical unit that a text of this element means.
    pub(super) fn unit_of(&mut self, segment: &Segment, n: usize, text: &str) -> String {
        match self.messages.unit("", column(n), text) {
            Ok(unit) => unit,
            Err(fault) => {
                self.hold(segment, Fault { field: name(segment, n), ..fault });
                String::new()
            }
        }
    }

    /// The calendar day in an element; `None` where it is empty or wrong.
    pub(super) fn day(&mut self, segment: &Segment, n: usize) -> Option<civil::Date> {
        if !segment.has(n) {
            return None;
        }
        let text = segment.get(n);
        let long = self.envelope.has_short_days.then(|| long_day(text));
        let text = long.as_deref().unwrap_or(text);
        let is_plain = text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit());
        match day("", column(n), if is_plain { text } else { "" }) {
            Ok(day) => Some(day),
            Err(_) => {
                self.fault(segment, n, "INVALID_DATE", "a day of the calendar, as 20261123");
                None
            }
        }
    }

    /// Sets the event's time by the elements of day, time of day and zone; 0 for an element that the segment does not have.
    pub(super) fn time(
        &mut self,
        event: &mut Event,
        segment: &Segment,
        [at_day, at_time, at_zone]: [usize; 3],
    ) -> bool {
        let Some(day) = self.day(segment, at_day) else { return false };
        let mut text = iso_day(day);
        if at_time > 0 && segment.has(at_time) {
            match clock(segment.get(at_time), &mut text) {
                Some(()) => {}
                None => self.fault(segment, at_time, "INVALID_DATE", "a time of day, as 1015 or 101530"),
            }
            if at_zone > 0 && segment.has(at_zone) {
                self.zone(event, segment, at_zone, &mut text);
            }
        }
        if let Err(fault) = self.messages.time(event, "", column(at_day), &text, &[]) {
            self.hold(segment, Fault { field: name(segment, at_day), ..fault });
        }
        true
    }

    fn zone(&mut self, event: &mut Event, segment: &Segment, n: usize, text: &mut String) {
        match codes::zone(segment.get(n)) {
            Some(Zone::Local) => {}
            Some(Zone::Hours(hours)) => push_offset(text, hours * 3600),
            Some(Zone::Named(zone)) => {
                let local = text.parse::<civil::DateTime>().ok();
                let zone = TimeZone::get(zone).ok();
                if let Some(at) = local.zip(zone).and_then(|(local, zone)| zone.to_zoned(local).ok()) {
                    push_offset(text, at.offset().seconds());
                }
            }
            None => {
                let words = format!("`{}` names no zone; the time is read as local", segment.get(n));
                doubt(event, "UNKNOWN_ZONE", &name(segment, n), words);
            }
        }
    }

    /// Sets the event's time to that of the envelope, for documents that name none.
    pub(super) fn sent_time(&mut self, event: &mut Event) {
        match self.envelope.sent_at.clone() {
            Some(text) => {
                // The envelope's time was checked when it was read.
                let read = self.messages.time(event, "GS04", 4, &text, &[]);
                debug_assert!(read.is_ok(), "{text}");
            }
            None => doubt(event, "NO_TIME", "event_time", "neither document nor envelope names a time"),
        }
    }

    /// The weight that an element, its qualifier and its unit give, put into the line.
    pub(super) fn weight(&mut self, event: &mut Event, line: &mut Line, segment: &Segment, at: usize, nth: usize) {
        let Some(value) = self.quantity(segment, at) else { return };
        let measure = Measure { value, unit: codes::weight_unit(segment.get(at + 2)).to_owned() };
        match segment.get(at + 1) {
            "G" if line.gross_weight.is_none() => line.gross_weight = Some(measure),
            "N" if line.net_weight.is_none() => line.net_weight = Some(measure),
            _ => (at..at + 3).for_each(|n| keep_element(event, segment, n, nth)),
        }
    }

    /// What the document says about itself, by element 353.
    pub(super) fn purpose(&mut self, event: &mut Event, segment: &Segment, n: usize, is_strict: bool) {
        let word = self.messages.parse.partner("action", segment.get(n));
        let action = word.and_then(Action::from_word).or(match segment.get(n) {
            "00" | "02" | "06" | "07" | "15" | "18" | "20" | "25" | "49" => Some(Action::Add),
            "04" | "05" | "19" | "26" | "CO" => Some(Action::Change),
            "01" | "03" | "17" => Some(Action::Void),
            _ => None,
        });
        match action {
            Some(action) => event.action = action,
            None if !segment.has(n) => doubt(event, "MISSING_ACTION", &name(segment, n), "read as a new document"),
            None if is_strict => {
                self.fault(segment, n, "INVALID_ACTION", "00, 01, 04 or 05, or an entry in the feed's table `action`");
            }
            None => {}
        }
        keep_element(event, segment, n, 1);
    }

    /// What the document says about itself, by element 306; an unknown code is doubtful.
    pub(super) fn action(&mut self, event: &mut Event, segment: &Segment, n: usize) {
        let code = segment.get(n);
        let word = self.messages.parse.partner("action", code);
        match word.and_then(Action::from_word).or(match code {
            "" => return,
            "1" => Some(Action::Add),
            "2" => Some(Action::Change),
            "3" => Some(Action::Void),
            _ => None,
        }) {
            Some(action) => event.action = action,
            None => doubt(event, "UNKNOWN_ACTION", &name(segment, n), format!("`{code}` is read as a new document")),
        }
        keep_element(event, segment, n, 1);
    }

    /// Keeps a segment that no field takes. `nth` is the line that it belongs to, 1 for the document.
    pub(super) fn keep(&mut self, event: &mut Event, segment: &Segment, nth: usize) {
        if !codes::is_segment(segment.id()) {
            let words = format!("segment {} is none of this document", segment.line_no);
            doubt(event, "UNKNOWN_SEGMENT", segment.id(), words);
            self.note(segment, "1", 0);
        }
        let is_qualified = segment.last() > 1 && is_code(segment.get(1));
        let (key, from) = match is_qualified {
            true => (["x12:", segment.id(), "*", segment.get(1)].concat(), 2),
            false => (["x12:", segment.id()].concat(), 1),
        };
        let rest = segment.rest(from);
        keep(event, nth_key(key, nth), if rest.is_empty() { segment.get(1) } else { &rest });
    }

    pub(super) fn note(&mut self, segment: &Segment, code: &'static str, element: usize) {
        if self.notes.len() < MESSAGE_FAULTS_MAX {
            self.notes.push(Note { line_no: segment.line_no, code, element });
        }
    }

    /// Compares a total of the document with what its lines give.
    pub(super) fn total(&mut self, event: &mut Event, segment: &Segment, n: usize, sum: Decimal, code: &str) {
        if let Some(stated) = self.quantity(segment, n)
            && stated != sum
        {
            let words = format!("{} says {stated}, the lines give {sum}", name(segment, n));
            doubt(event, code, &name(segment, n), words);
        }
    }

    /// Sets the site by the first of these parties that the document names with a code.
    pub(super) fn site(&mut self, event: &mut Event, codes: &[Site], order: &[&str]) {
        let Some(known) = order.iter().find_map(|code| codes.iter().find(|site| site.qualifier == *code)) else {
            return;
        };
        if let Err(mut fault) = self.messages.place_at(event, &known.code) {
            (fault.field, fault.column) = ("N104".to_owned(), 4);
            self.message.fault(known.line_no, fault, &known.text);
        }
    }
}

/// A party that may name the site.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// N101.
    pub(super) qualifier: String,
    /// N104.
    pub(super) code: String,
    pub(super) line_no: u64,
    pub(super) text: String,
}

/// As people name it: `W1203`.
pub(super) fn name(segment: &Segment, n: usize) -> String {
    if n == 0 { segment.id().to_owned() } else { format!("{}{n:02}", segment.id()) }
}

fn column(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The key of what belongs to a line; the first line has none, as in feeds of other formats.
pub(super) fn nth_key(mut key: String, nth: usize) -> String {
    if nth > 1 {
        key.push('[');
        push_number(&mut key, nth);
        key.push(']');
    }
    key
}

/// Keeps an element that no field takes.
pub(super) fn keep_element(event: &mut Event, segment: &Segment, n: usize, nth: usize) {
    if !segment.has(n) {
        return;
    }
    let mut key = String::with_capacity(16);
    key.push_str("x12:");
    key.push_str(segment.id());
    if n < 10 {
        key.push('0');
    }
    push_number(&mut key, n);
    keep(event, nth_key(key, nth), segment.get(n));
}

/// Appends a number.
pub(super) fn push_number(text: &mut String, n: usize) {
    use std::fmt::Write as _;
    match u8::try_from(n) {
        Ok(digit @ 0..=9) => text.push(char::from(b'0' + digit)),
        _ => {
            let written = write!(text, "{n}");
            debug_assert!(written.is_ok(), "writing to a String does not fail");
        }
    }
}

/// Keeps every element from 1 on that is not among the used ones.
pub(super) fn keep_others(event: &mut Event, segment: &Segment, used: &[usize], nth: usize) {
    keep_unless(event, segment, nth, |n| used.contains(&n));
}

/// Keeps every element from 1 on that is not used.
pub(super) fn keep_unless(event: &mut Event, segment: &Segment, nth: usize, is_used: impl Fn(usize) -> bool) {
    (1..=segment.last()).filter(|n| !is_used(*n)).for_each(|n| keep_element(event, segment, n, nth));
}

/// A doubt about an item, beside those of the event.
pub(super) fn doubts(event: &mut Event) -> &mut Vec<Warning> {
    &mut event.warnings
}

/// Whether a text has the form of a qualifier.
fn is_code(text: &str) -> bool {
    matches!(text.len(), 1..=3) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// A day of six digits with its century (EVENTS 1.4: years below 50 are of this century).
pub(super) fn long_day(text: &str) -> String {
    if text.len() != 6 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return text.to_owned();
    }
    format!("{}{text}", if text < "500000" { "20" } else { "19" })
}

/// A day as ISO 8601 writes it: what `to_string` gives, for years of four digits at less cost.
fn iso_day(day: civil::Date) -> String {
    let Ok(year @ 1000..) = u16::try_from(day.year()) else { return day.to_string() };
    let mut text = String::with_capacity(32);
    let mut digits = [b'-'; 10];
    for (place, number) in [(0, year / 100), (2, year % 100), (5, two(day.month())), (8, two(day.day()))] {
        digits[place] = b'0' + (number / 10) as u8;
        digits[place + 1] = b'0' + (number % 10) as u8;
    }
    text.push_str(std::str::from_utf8(&digits).unwrap_or_default());
    text
}

fn two(part: i8) -> u16 {
    u16::from(part.unsigned_abs())
}

/// Appends `HHMM`, `HHMMSS` or `HHMMSSdd` (data type TM) as ISO 8601; nothing where it is none.
pub(super) fn clock(text: &str, out: &mut String) -> Option<()> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize| text.get(from..from + 2);
    // Digits are in the order of their characters.
    let (hour, minute) = (part(0).filter(|hour| *hour <= "23")?, part(2).filter(|minute| *minute <= "59")?);
    let (second, rest) = match text.len() {
        4 => ("", ""),
        6..=8 => (part(4).filter(|second| *second <= "59")?, text.get(6..)?),
        _ => return None,
    };
    for (mark, part) in [("T", hour), (":", minute), (":", second), (".", rest)] {
        if !part.is_empty() {
            out.push_str(mark);
            out.push_str(part);
        }
    }
    Some(())
}

/// A whole number of at most twelve digits: most quantities are one, and nothing can be wrong with it in any feed.
fn short_number(text: &str) -> Option<Decimal> {
    if text.len() > 12 || text.is_empty() {
        return None;
    }
    let digit = |n: i64, byte: u8| byte.is_ascii_digit().then(|| n * 10 + i64::from(byte - b'0'));
    text.bytes().try_fold(0, digit).map(|number| Decimal::new(number, 0))
}

fn push_offset(text: &mut String, seconds: i32) {
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs() / 60);
    text.push_str(&format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60));
}

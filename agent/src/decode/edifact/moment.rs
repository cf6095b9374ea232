//! DTM: dates and times by their format code (data element 2379) or, where that is wrong, by their length.

use docksync_proto::event::Event;
use jiff::civil::Date;

use super::segment::Segment;
use crate::decode::{
    assign::Fault,
    message::{Messages, doubt},
    trade,
};

/// One DTM: what it is about, its text and its format code.
#[derive(Debug, Clone, Default)]
pub(super) struct Dated {
    pub(super) ordinal: u64,
    pub(super) qualifier: String,
    pub(super) value: String,
    pub(super) format: String,
}

impl Dated {
    pub(super) fn read(segment: &Segment) -> Self {
        let [qualifier, value, format] = [1, 2, 3].map(|component| segment.at(1, component).to_owned());
        Self { ordinal: segment.ordinal, qualifier, value, format }
    }

    /// As people write it.
    pub(super) fn shown(&self) -> String {
        if self.format.is_empty() { self.value.clone() } else { format!("{}:{}", self.value, self.format) }
    }

    fn path(&self) -> String {
        format!("DTM+{}/C507.2380", self.qualifier)
    }

    fn fault(&self) -> Fault {
        trade::fault(
            "INVALID_DATE",
            &self.path(),
            1,
            &self.shown(),
            "a day or time of the calendar in its stated format",
        )
    }

    /// Sets the event's time.
    pub(super) fn set(&self, messages: &mut Messages<'_, '_>, event: &mut Event) -> Result<(), Fault> {
        let written = self.written().ok_or_else(|| self.fault())?;
        if self.contradicts() {
            let text = format!("`{}` is declared as format {} and is read by its length", self.value, self.format);
            doubt(event, "DATE_FORMAT", "event_time", text);
        }
        if let Some(zone) = &written.unknown_zone {
            doubt(event, "UNKNOWN_ZONE", "event_time", format!("zone `{zone}` is not known; the site's is taken"));
        }
        messages.time(event, &self.path(), 1, &written.text, &[]).map_err(|_| self.fault())
    }

    /// The calendar day; `None` for a month, a week or a period.
    pub(super) fn day(&self) -> Option<Result<Date, Fault>> {
        if matches!(self.format.as_str(), "602" | "609" | "610" | "615" | "616" | "718" | "711" | "713") {
            return None;
        }
        let written = self.written();
        let day = written.as_ref().and_then(|written| written.text.get(..8));
        Some(day.and_then(|day| trade::day("", 1, day).ok()).ok_or_else(|| self.fault()))
    }

    /// Whether the length is not that of the declared format.
    fn contradicts(&self) -> bool {
        let length = match self.format.as_str() {
            "101" | "2" | "3" => 6,
            "102" | "4" => 8,
            "201" => 10,
            "202" | "203" => 12,
            "204" => 14,
            _ => return false,
        };
        self.value.len() != length
    }

    /// In the basic form of ISO 8601, with the century, and with an offset where one is stated.
    fn written(&self) -> Option<Written> {
        let digits = self.value.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = (self.value.get(..digits)?, self.value.get(digits..)?);
        // Format 205 and some senders put the offset in digits behind its sign.
        let is_zoned = matches!(self.format.as_str(), "205" | "301" | "302" | "303" | "304") || !tail.is_empty();
        let (zone, unknown_zone) = if is_zoned { zone(tail)? } else { (String::new(), None) };
        let full = match number.len() {
            8 if self.format == "4" => number.get(4..8)?.to_owned() + number.get(2..4)? + number.get(..2)?,
            6 if self.format == "2" => century(number.get(4..6)?)? + number.get(2..4)? + number.get(..2)?,
            6 if self.format == "3" => century(number.get(4..6)?)? + number.get(..2)? + number.get(2..4)?,
            6 | 10 => century(number.get(..2)?)? + number.get(2..)?,
            12 if self.format == "202" => century(number.get(..2)?)? + number.get(2..)?,
            8 | 12 | 14 => number.to_owned(),
            _ => return None,
        };
        if full.len() == 8 && !tail.is_empty() {
            return None;
        }
        Some(Written { text: full + &zone, unknown_zone })
    }
}

struct Written {
    text: String,
    unknown_zone: Option<String>,
}

/// Years without their century, below 50 in this one (EVENTS 1.4).
fn century(year: &str) -> Option<String> {
    let number: u8 = year.parse().ok()?;
    Some(format!("{}{year}", if number < 50 { "20" } else { "19" }))
}

/// The offset in the form of ISO 8601, and the name of a zone that is not known.
fn zone(tail: &str) -> Option<(String, Option<String>)> {
    match tail {
        "" => Some((String::new(), None)),
        "Z" | "UTC" | "GMT" | "UCT" | "+00" => Some(("Z".to_owned(), None)),
        _ if tail.starts_with(['+', '-']) => Some((tail.to_owned(), None)),
        _ if tail.bytes().all(|b| b.is_ascii_alphabetic()) => Some((String::new(), Some(tail.to_owned()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &str, format: &str) -> Option<String> {
        let dated = Dated { value: value.to_owned(), format: format.to_owned(), ..Dated::default() };
        dated.written().map(|written| written.text)
    }

    #[test]
    fn every_format_becomes_the_same_form() {
        for (value, format, expected) in [
            ("20260118", "102", "20260118"),
            ("260118", "101", "20260118"),
            ("180126", "2", "20260118"),
            ("011826", "3", "20260118"),
            ("18012026", "4", "20260118"),
            ("2601180915", "201", "202601180915"),
            ("260118091530", "202", "20260118091530"),
            ("202601180915", "203", "202601180915"),
            ("20260118091530", "204", "20260118091530"),
            ("202601180915+01", "303", "202601180915+01"),
            ("202601180915UTC", "303", "202601180915Z"),
            ("202601180915CET", "303", "202601180915"),
            ("202401190000", "102", "202401190000"),
            ("991231", "101", "19991231"),
        ] {
            assert_eq!(written(value, format).as_deref(), Some(expected), "{value}:{format}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for value in ["", "CCYYMMDD", "2026", "2026-01-18", "20260118T", "123456789"] {
            assert_eq!(written(value, "102"), None, "{value}");
        }
    }
}

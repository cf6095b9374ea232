//! Times as warehouse systems write them, resolved in the zone of the site.

use docksync_proto::event::{EventTime, Precision};
use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, Time},
    fmt::strtime::BrokenDownTime,
    tz::{AmbiguousOffset, Offset, TimeZone},
};

/// What was odd about a time that was read all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The clock showed this time twice; the first is taken.
    Ambiguous,
    /// The clock never showed this time; it is read as if it had not been put forward.
    Nonexistent,
}

/// A time as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    local: DateTime,
    precision: Precision,
    offset: Option<Offset>,
    /// Written as the local ISO 8601 form that the event shows anyway.
    is_iso: bool,
}

/// Reads and resolves times; remembers the offset of the hour last asked for, and the minute: rows of a file are mostly in the order
/// of their times.
#[derive(Debug)]
pub(super) struct Clockwork {
    zone: TimeZone,
    zone_name: String,
    hour: Option<(DateTime, Offset)>,
    minute: Option<Minute>,
}

/// Bytes of a local time in ISO 8601 before its seconds: `2026-11-23T09:15:`.
const MINUTE_BYTES: usize = 17;

/// A minute that was read without any doubt.
#[derive(Debug, Clone, Copy)]
struct Minute {
    text: [u8; MINUTE_BYTES],
    at: Timestamp,
    offset: Offset,
}

impl Minute {
    /// The minute of a time that was written as `2026-11-23T09:15:27`.
    fn of(text: &str, at: Timestamp, offset: Offset) -> Option<Self> {
        let second = Self::second(text)?;
        let text = *text.as_bytes().first_chunk()?;
        Some(Self { text, at: at - SignedDuration::from_secs(second.into()), offset })
    }

    fn second(text: &str) -> Option<i32> {
        let tail = text.as_bytes().get(MINUTE_BYTES..).filter(|tail| tail.len() == 2)?;
        digits(tail).filter(|second| *second < 60)
    }

    /// A time of this minute.
    fn time(&self, text: &str) -> Option<Timestamp> {
        let second = Self::second(text).filter(|_| text.as_bytes().starts_with(&self.text))?;
        self.at.checked_add(SignedDuration::from_secs(second.into())).ok()
    }
}

impl Clockwork {
    pub(super) fn new(zone: TimeZone, zone_name: String) -> Self {
        Self { zone, zone_name, hour: None, minute: None }
    }

    /// Puts the time into `target`; `None` where the text is no time in any of the formats.
    pub(super) fn read(&mut self, text: &str, formats: &[String], target: &mut EventTime) -> Option<Option<Doubt>> {
        let known = self.minute.filter(|_| formats.is_empty());
        if let Some((minute, at)) = known.and_then(|minute| Some((minute, minute.time(text)?))) {
            (target.at, target.offset_secs, target.precision) = (at, minute.offset.seconds(), Precision::Instant);
            self.zone_name.clone_into(&mut target.zone);
            target.text.clear();
            return Some(None);
        }
        let written = parse(text, formats)?;
        let (at, offset, doubt) = match written.offset {
            Some(offset) => (offset.to_timestamp(written.local).ok()?, offset, None),
            None => self.resolve(written.local)?,
        };
        // The contract keeps milliseconds.
        target.at = Timestamp::from_millisecond(at.as_millisecond()).ok()?;
        target.offset_secs = offset.seconds();
        target.precision = written.precision;
        target.zone.clear();
        match written.offset {
            Some(offset) => push_offset(&mut target.zone, offset.seconds()),
            None => target.zone.push_str(&self.zone_name),
        }
        let is_plain = formats.is_empty() && written.is_iso && written.offset.is_none() && doubt.is_none();
        let is_certain = is_plain && self.hour.is_some_and(|(hour, _)| hour == hour_of(written.local));
        if is_certain && let Some(minute) = Minute::of(text, at, offset) {
            self.minute = Some(minute);
        }
        target.text.clear();
        if !written.is_iso || doubt == Some(Doubt::Nonexistent) {
            target.text.push_str(text);
        }
        Some(doubt)
    }

    fn resolve(&mut self, local: DateTime) -> Option<(Timestamp, Offset, Option<Doubt>)> {
        let hour = hour_of(local);
        if let Some((_, offset)) = self.hour.filter(|(known, _)| *known == hour) {
            return Some((offset.to_timestamp(local).ok()?, offset, None));
        }
        // An hour with one offset at both ends and no change at either has that offset throughout.
        let last = DateTime::from_parts(local.date(), Time::constant(local.hour(), 59, 59, 999_999_999));
        let ends = [hour, last].map(|end| self.zone.to_ambiguous_timestamp(end).offset());
        if let [AmbiguousOffset::Unambiguous { offset }, AmbiguousOffset::Unambiguous { offset: same }] = ends
            && offset == same
        {
            self.hour = Some((hour, offset));
            return Some((offset.to_timestamp(local).ok()?, offset, None));
        }
        let (offset, doubt) = match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset, None),
            AmbiguousOffset::Fold { before, .. } => (before, Some(Doubt::Ambiguous)),
            AmbiguousOffset::Gap { before, .. } => (before, Some(Doubt::Nonexistent)),
        };
        let at = offset.to_timestamp(local).ok()?;
        // In a gap the offset that holds at the resolved instant is the one after it.
        let shown = if doubt == Some(Doubt::Nonexistent) { self.zone.to_offset(at) } else { offset };
        Some((at, shown, doubt))
    }
}

fn hour_of(local: DateTime) -> DateTime {
    DateTime::from_parts(local.date(), Time::constant(local.hour(), 0, 0, 0))
}

fn push_offset(out: &mut String, seconds: i32) {
    let minutes = seconds.unsigned_abs() / 60;
    out.push(if seconds < 0 { '-' } else { '+' });
    for (mark, number) in [("", minutes / 60), (":", minutes % 60)] {
        out.push_str(mark);
        out.extend([number / 10, number % 10].map(|digit| char::from_digit(digit, 10).unwrap_or('0')));
    }
}

/// Reads a calendar day: ISO 8601, or one of the formats.
pub(super) fn parse_date(text: &str, formats: &[String]) -> Option<Date> {
    Some(parse(text, formats)?.local.date())
}

fn parse(text: &str, formats: &[String]) -> Option<Written> {
    if formats.is_empty() {
        return iso(text);
    }
    formats.iter().find_map(|format| if format == "iso" { iso(text) } else { by_format(text, format) })
}

fn by_format(text: &str, format: &str) -> Option<Written> {
    let parts = BrokenDownTime::parse(format, text).ok()?;
    let date = parts.to_date().ok()?;
    let (time, precision) = match (parts.hour(), parts.minute(), parts.second()) {
        (None, ..) => (Time::midnight(), Precision::Date),
        (Some(_), _, None) => (parts.to_time().ok()?, Precision::Minute),
        (Some(_), _, Some(_)) => (parts.to_time().ok()?, Precision::Instant),
    };
    Some(Written { local: DateTime::from_parts(date, time), precision, offset: parts.offset(), is_iso: false })
}

/// `2026-11-23`, `20261123`, and with a time: `2026-11-23T09:15`, `2026-11-23 09:15:27.123Z`, `20261123T091527`.
fn iso(text: &str) -> Option<Written> {
    let bytes = text.as_bytes();
    let is_basic = bytes.len() >= 8 && bytes[..8].iter().all(u8::is_ascii_digit);
    let (date, rest) = if is_basic {
        (civil(digits(&bytes[..4])?, digits(&bytes[4..6])?, digits(&bytes[6..8])?)?, &bytes[8..])
    } else {
        if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        (civil(digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..10])?)?, &bytes[10..])
    };
    if rest.is_empty() {
        let local = DateTime::from_parts(date, Time::midnight());
        return Some(Written { local, precision: Precision::Date, offset: None, is_iso: !is_basic });
    }
    let (clock, is_iso) = match rest.split_first()? {
        (b'T' | b' ', clock) => (clock, !is_basic),
        _ if is_basic => (rest, false),
        _ => return None,
    };
    let mut written = iso_clock(date, clock)?;
    written.is_iso &= is_iso;
    Some(written)
}

fn iso_clock(date: Date, bytes: &[u8]) -> Option<Written> {
    let has_colon = bytes.get(2) == Some(&b':');
    let step = if has_colon { 3 } else { 2 };
    let hour = digits(bytes.get(..2)?)?;
    let minute = digits(bytes.get(step..step + 2)?)?;
    let mut rest = &bytes[step + 2..];
    let (mut second, mut nanos, mut precision, mut is_exact) = (0, 0, Precision::Minute, true);
    let at_second =
        if has_colon { rest.strip_prefix(b":") } else { rest.first().filter(|b| b.is_ascii_digit()).map(|_| rest) };
    if let Some(tail) = at_second {
        second = digits(tail.get(..2)?)?;
        rest = &tail[2..];
        precision = Precision::Instant;
        if let Some(fraction) = rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b",")) {
            let count = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if count == 0 || count > 9 {
                return None;
            }
            nanos = digits(&fraction[..count])? * 10_i32.pow(9 - count as u32);
            is_exact = nanos % 1_000_000 == 0;
            rest = &fraction[count..];
        }
    }
    let offset = iso_offset(rest)?;
    let small = |n: i32| i8::try_from(n).ok();
    let time = Time::new(small(hour)?, small(minute)?, small(second)?, nanos).ok()?;
    let local = DateTime::from_parts(date, time);
    Some(Written { local, precision, offset, is_iso: has_colon && is_exact })
}

/// The offset, `Some(None)` where there is none, `None` where what stands there is no offset.
fn iso_offset(bytes: &[u8]) -> Option<Option<Offset>> {
    let (sign, rest) = match bytes.split_first() {
        None => return Some(None),
        Some((b'Z' | b'z', [])) => return Some(Some(Offset::UTC)),
        Some((b'+', rest)) => (1, rest),
        Some((b'-', rest)) => (-1, rest),
        Some(_) => return None,
    };
    let (hours, minutes) = match rest {
        [_, _] => (digits(rest)?, 0),
        [_, _, b':', _, _] => (digits(&rest[..2])?, digits(&rest[3..])?),
        [_, _, _, _] => (digits(&rest[..2])?, digits(&rest[2..])?),
        _ => return None,
    };
    if hours > 18 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok().map(Some)
}

fn civil(year: i32, month: i32, day: i32) -> Option<Date> {
    Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn digits(bytes: &[u8]) -> Option<i32> {
    bytes.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i32::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, formats: &[&str]) -> Option<(String, String, Precision, Option<Doubt>)> {
        let zone = TimeZone::get("America/Chicago").unwrap();
        let mut clockwork = Clockwork::new(zone, "America/Chicago".to_owned());
        let mut time = EventTime::utc(Timestamp::UNIX_EPOCH);
        let formats: Vec<String> = formats.iter().map(|f| (*f).to_owned()).collect();
        let doubt = clockwork.read(text, &formats, &mut time)?;
        Some((time.rfc3339(), time.text, time.precision, doubt))
    }

    fn shown(text: &str, formats: &[&str]) -> String {
        let (time, kept, precision, doubt) = read(text, formats).unwrap();
        format!("{time} {precision} {kept:?} {doubt:?}")
    }

    #[test]
    fn the_local_iso_form_needs_no_text_of_its_own() {
        assert_eq!(shown("2026-11-23T09:15:27", &[]), "2026-11-23T09:15:27-06:00 instant \"\" None");
        assert_eq!(shown("2026-11-23 09:15", &[]), "2026-11-23T09:15:00-06:00 minute \"\" None");
        assert_eq!(shown("2026-11-23", &[]), "2026-11-23T00:00:00-06:00 date \"\" None");
        assert_eq!(shown("2026-11-23T09:15:27.250Z", &[]), "2026-11-23T09:15:27.25+00:00 instant \"\" None");
    }

    #[test]
    fn any_other_form_is_kept_as_written() {
        assert_eq!(shown("20261123091527", &[]), "2026-11-23T09:15:27-06:00 instant \"20261123091527\" None");
        let us = ["%m/%d/%Y %I:%M:%S %p"];
        assert_eq!(shown("7/4/2026 1:02:03 PM", &us), "2026-07-04T13:02:03-05:00 instant \"7/4/2026 1:02:03 PM\" None");
        assert_eq!(
            shown("2026-11-23T09:15:27.1234567", &[]),
            "2026-11-23T09:15:27.123-06:00 instant \"2026-11-23T09:15:27.1234567\" None"
        );
    }

    #[test]
    fn the_hour_that_comes_twice_and_the_hour_that_never_comes_are_flagged() {
        assert_eq!(shown("2026-11-01T01:30:00", &[]), "2026-11-01T01:30:00-05:00 instant \"\" Some(Ambiguous)");
        assert_eq!(
            shown("2026-03-08T02:30:00", &[]),
            "2026-03-08T03:30:00-05:00 instant \"2026-03-08T02:30:00\" Some(Nonexistent)"
        );
    }

    #[test]
    fn a_day_that_is_not_in_the_calendar_is_no_time() {
        for text in
            ["2026-02-30", "2026-13-01", "20261150", "CCYYMMDD", "00000000", "2026-11-23T25:00", "2026-11-23x", ""]
        {
            assert_eq!(read(text, &[]), None, "{text}");
        }
    }

    #[test]
    fn the_remembered_hour_gives_what_a_look_up_gives() {
        let zone = TimeZone::get("Australia/Lord_Howe").unwrap();
        let mut clockwork = Clockwork::new(zone.clone(), String::new());
        let mut local = jiff::civil::date(2026, 4, 4).at(0, 0, 0, 0);
        for _ in 0..400 {
            let (at, ..) = clockwork.resolve(local).unwrap();

            let expected = zone.to_ambiguous_timestamp(local).compatible().unwrap();
            assert_eq!(at, expected, "{local}");
            local = local.checked_add(jiff::Span::new().minutes(7)).unwrap();
        }
    }
}

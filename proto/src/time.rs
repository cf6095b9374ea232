//! Event times as JSON: `event_time` (RFC 3339 with offset), `event_time_precision`, `event_tz`, `event_time_text`.

use jiff::{Timestamp, civil, tz::Offset};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeStruct};

use crate::event::{EventTime, Precision};

/// Largest distance from UTC of any zone in use, in seconds (RFC 9557 keeps to the same 26 hours' span).
const OFFSET_SECS_MAX: i32 = 18 * 3600;

impl EventTime {
    /// A time whose source gave an exact instant, in UTC.
    pub fn utc(at: Timestamp) -> Self {
        Self { at, offset_secs: 0, precision: Precision::Instant, zone: "+00:00".to_owned(), text: String::new() }
    }

    /// The wall clock of the site at that instant.
    pub fn local(&self) -> civil::DateTime {
        self.offset().to_datetime(self.at)
    }

    /// RFC 3339 with offset, seconds always, fractions only where there are any.
    pub fn rfc3339(&self) -> String {
        let sign = if self.offset_secs < 0 { '-' } else { '+' };
        let minutes = self.offset_secs.unsigned_abs() / 60;
        format!("{}{sign}{:02}:{:02}", self.local(), minutes / 60, minutes % 60)
    }

    fn offset(&self) -> Offset {
        Offset::from_seconds(self.offset_secs.clamp(-OFFSET_SECS_MAX, OFFSET_SECS_MAX)).unwrap_or(Offset::UTC)
    }
}

impl Serialize for EventTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("EventTime", 4)?;
        s.serialize_field("event_time", &self.rfc3339())?;
        s.serialize_field("event_time_precision", &self.precision)?;
        s.serialize_field("event_tz", &self.zone)?;
        if self.text.is_empty() {
            s.skip_field("event_time_text")?;
        } else {
            s.serialize_field("event_time_text", &self.text)?;
        }
        s.end()
    }
}

/// The JSON shape, as read.
#[derive(Deserialize)]
struct Wire {
    event_time: String,
    event_time_precision: Precision,
    #[serde(default)]
    event_tz: String,
    #[serde(default)]
    event_time_text: String,
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let (at, offset_secs) = parse_rfc3339(&wire.event_time).map_err(serde::de::Error::custom)?;
        Ok(Self {
            at,
            offset_secs,
            precision: wire.event_time_precision,
            zone: wire.event_tz,
            text: wire.event_time_text,
        })
    }
}

/// Reads an RFC 3339 text, keeping its offset (seconds east).
fn parse_rfc3339(text: &str) -> Result<(Timestamp, i32), jiff::Error> {
    let parser = jiff::fmt::temporal::DateTimeParser::new();
    let at = parser.parse_timestamp(text)?;
    let offset = parser.parse_pieces(text)?.to_numeric_offset().unwrap_or(Offset::UTC);
    Ok((at, offset.seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_keeps_its_offset_through_json() {
        let time = EventTime {
            at: "2026-11-23T18:58:10Z".parse().unwrap(),
            offset_secs: -6 * 3600,
            precision: Precision::Instant,
            zone: "America/Chicago".to_owned(),
            text: String::new(),
        };

        let json = serde_json::to_string(&time).unwrap();

        assert_eq!(
            json,
            r#"{"event_time":"2026-11-23T12:58:10-06:00","event_time_precision":"instant","event_tz":"America/Chicago"}"#
        );
        assert_eq!(serde_json::from_str::<EventTime>(&json).unwrap(), time);
    }
}

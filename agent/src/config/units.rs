//! Values that carry their unit: `30s`, `2 GiB`, `06:00-22:00`.

use std::time::Duration;

use jiff::civil::Time;

/// Why a value with a unit could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No number in front.
    #[error("`{text}` does not start with a number")]
    Number {
        /// What was given.
        text: String,
    },
    /// A unit that is not known.
    #[error("`{unit}` is not a unit")]
    Unit {
        /// What was given.
        unit: String,
        /// What is known.
        known: &'static str,
    },
    /// Larger than can be held.
    #[error("`{text}` is too large")]
    TooLarge {
        /// What was given.
        text: String,
    },
    /// Not two times of day.
    #[error("`{text}` is not a span of hours")]
    Hours {
        /// What was given.
        text: String,
    },
}

impl UnitError {
    /// What would be right.
    pub fn help(&self) -> String {
        match self {
            Self::Number { .. } => "write a whole number and a unit, as \"30s\" or \"2 GiB\"".to_owned(),
            Self::Unit { known, .. } => format!("units: {known}"),
            Self::TooLarge { .. } => "write a smaller value".to_owned(),
            Self::Hours { .. } => "write two times of day, as \"06:00-22:00\"".to_owned(),
        }
    }
}

/// Reads a duration: `500ms`, `30s`, `10m`, `2h`, `7d`.
///
/// # Errors
/// [`UnitError`] names what is wrong and what is known.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(UnitError::Unit { unit: unit.to_owned(), known: "ms, s, m, h, d" }),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(|| UnitError::TooLarge { text: text.to_owned() })
}

/// Reads a number of bytes: `64 KiB`, `512 MiB`, `2 GiB`, `1 MB`.
///
/// # Errors
/// [`UnitError`] names what is wrong and what is known.
pub fn bytes(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(UnitError::Unit { unit: unit.to_owned(), known: "B, kB, MB, GB, KiB, MiB, GiB, TiB" }),
    };
    number.checked_mul(factor).ok_or_else(|| UnitError::TooLarge { text: text.to_owned() })
}

/// Hours of a day in which something is expected; may pass midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// From this time.
    pub from: Time,
    /// Until before this time.
    pub until: Time,
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.from.strftime("%H:%M"), self.until.strftime("%H:%M"))
    }
}

impl Hours {
    /// Whether this time of day lies within.
    pub fn contains(&self, time: Time) -> bool {
        if self.from <= self.until {
            self.from <= time && time < self.until
        } else {
            time >= self.from || time < self.until
        }
    }
}

/// Reads hours: `06:00-22:00`.
///
/// # Errors
/// [`UnitError::Hours`] for anything else.
pub fn hours(text: &str) -> Result<Hours, UnitError> {
    let parse = || {
        let (from, until) = text.split_once('-')?;
        Some(Hours { from: time_of_day(from.trim())?, until: time_of_day(until.trim())? })
    };
    parse().ok_or_else(|| UnitError::Hours { text: text.to_owned() })
}

fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    if hour == "24" && minute == "00" {
        return Some(Time::MAX);
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if digits == 0 {
        return Err(UnitError::Number { text: text.to_owned() });
    }
    let number = text[..digits].parse().map_err(|_| UnitError::TooLarge { text: text.to_owned() })?;
    Ok((number, text[digits..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_with_their_units() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2 h"), Ok(Duration::from_secs(7200)));
        assert_eq!(bytes("2 GiB"), Ok(2 << 30));
    }

    #[test]
    fn a_wrong_unit_names_those_that_are_known() {
        let error = bytes("2 GiBi").unwrap_err();

        assert_eq!(error.to_string(), "`GiBi` is not a unit");
        assert_eq!(error.help(), "units: B, kB, MB, GB, KiB, MiB, GiB, TiB");
    }

    #[test]
    fn a_number_beyond_the_range_is_refused() {
        assert!(matches!(bytes("99999999999999 GiB"), Err(UnitError::TooLarge { .. })));
        assert!(matches!(duration("99999999999999999999s"), Err(UnitError::TooLarge { .. })));
    }

    #[test]
    fn hours_may_pass_midnight() {
        let night = hours("22:00-06:00").unwrap();

        assert!(night.contains(jiff::civil::time(23, 0, 0, 0)));
        assert!(night.contains(jiff::civil::time(5, 59, 0, 0)));
        assert!(!night.contains(jiff::civil::time(6, 0, 0, 0)));
    }
}

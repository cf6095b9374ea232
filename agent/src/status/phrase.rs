//! Numbers, ages and times as people read them.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// `1284` as `1,284`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `2 files`.
pub(super) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Two units at most: `12 s`, `47 min`, `2 h 11 min`, `3 d 4 h`.
pub(super) fn span(secs: u64) -> String {
    let two = |big: u64, unit: &str, small: u64, sub: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {sub}"),
    };
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min", secs / 60),
        3_600..86_400 => two(secs / 3_600, "h", secs % 3_600 / 60, "min"),
        _ => two(secs / 86_400, "d", secs % 86_400 / 3_600, "h"),
    }
}

/// Whole seconds from one moment to another; 0 where the clock went back.
pub(super) fn secs_between(from: Timestamp, to: Timestamp) -> u64 {
    let gap: SignedDuration = to.duration_since(from);
    u64::try_from(gap.as_secs()).unwrap_or(0)
}

/// `18 MB`, in powers of 1024 as disks are shown by the usual tools.
pub(super) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut unit = 0;
    let mut scaled = n;
    let mut rest = 0;
    while scaled >= 1024 && unit + 1 < UNITS.len() {
        rest = scaled % 1024;
        scaled /= 1024;
        unit += 1;
    }
    if scaled < 10 && unit > 0 {
        return format!("{scaled}.{} {}", rest * 10 / 1024, UNITS[unit]);
    }
    format!("{scaled} {}", UNITS[unit])
}

/// Time of day, with the day where it is another one.
pub(super) fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    on_day(at, now, zone, "%H:%M")
}

/// As [`clock`], to the second.
pub(super) fn clock_exact(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    on_day(at, now, zone, "%H:%M:%S")
}

/// `Mon 23 Nov 14:32:08 CST`.
pub(super) fn moment(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%a %d %b %H:%M:%S %Z").to_string()
}

fn on_day(at: Timestamp, now: Timestamp, zone: &TimeZone, format: &str) -> String {
    let (then, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    if then.date() == now.date() {
        return then.strftime(format).to_string();
    }
    then.strftime(&format!("%a %d %b {format}")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_name_at_most_two_units() {
        let shown = [0, 59, 60, 2_820, 7_860, 7_200, 86_400, 273_600].map(span);

        assert_eq!(shown, ["0 s", "59 s", "1 min", "47 min", "2 h 11 min", "2 h", "1 d", "3 d 4 h"]);
    }

    #[test]
    fn counts_and_bytes_are_grouped() {
        assert_eq!([count(7), count(1_284), count(1_000_000)], ["7", "1,284", "1,000,000"]);
        assert_eq!([bytes(512), bytes(18 << 20), bytes(20 << 30), bytes(1_600)], ["512 B", "18 MB", "20 GB", "1.5 KB"]);
    }

    #[test]
    fn another_day_is_named_and_daylight_saving_is_kept() {
        let zone = TimeZone::get("America/Chicago").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();

        assert_eq!(clock(at("2026-11-23T15:14:00Z"), at("2026-11-23T20:00:00Z"), &zone), "09:14");
        assert_eq!(clock(at("2026-11-21T15:14:00Z"), at("2026-11-23T20:00:00Z"), &zone), "Sat 21 Nov 09:14");
        assert_eq!(moment(at("2026-07-01T12:00:00Z"), &zone), "Wed 01 Jul 07:00:00 CDT");
    }
}

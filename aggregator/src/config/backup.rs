//! Settings of the daily backups.

use jiff::tz::TimeZone;

use super::read::Section;
use crate::backups::BackupSettings;

const DAILY: &str = "03:30";
const KEEP: u64 = 7;

pub(super) fn read(section: &Section<'_>) -> Option<BackupSettings> {
    let dir = section.text("dir").map(|(dir, _)| dir.into());
    if dir.is_none() {
        section.missing("dir", "the folder of the backups");
    }
    let daily = section.parsed("daily", "a time of the day as 03:30", |text| text.parse().ok());
    let zone = section.parsed("time_zone", "an IANA time zone as America/Chicago", |text| TimeZone::get(text).ok());
    let keep = section.number("keep", 1..=1000).unwrap_or(KEEP);
    section.finish();
    Some(BackupSettings {
        dir: dir?,
        daily: daily.or_else(|| DAILY.parse().ok())?,
        zone: zone.unwrap_or(TimeZone::UTC),
        keep: usize::try_from(keep).ok()?,
    })
}

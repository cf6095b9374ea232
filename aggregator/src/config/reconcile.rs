//! Settings of reconciliation.

use super::read::Section;
use crate::reconcile::Settings;

pub(super) fn read(section: &Section<'_>) -> Settings {
    let usual = Settings::default();
    let number = |key, most: u64, otherwise: u32| {
        section.number(key, 0..=most).and_then(|n| u32::try_from(n).ok()).unwrap_or(otherwise)
    };
    let daily = section.parsed("daily", "a time of the site's day as 02:30, or never", |text| match text {
        "never" => Some(None),
        _ => text.parse().ok().map(Some),
    });
    let words = [("wms", true), ("erp", false)];
    let mut statuses = usual.statuses.clone();
    statuses.extend(section.pairs("statuses", "a text", |_, text| Some(text.to_owned())));
    let settings = Settings {
        daily: daily.unwrap_or(usual.daily),
        lead_hours: number("lead_hours", 10_000, usual.lead_hours),
        approve_above: number("approve_above", 1_000_000_000, usual.approve_above),
        approve_above_value: number("approve_above_value", 1_000_000_000, usual.approve_above_value),
        prices: section.text("prices").map(|(path, _)| path.into()),
        keep_runs: number("keep_runs", 10_000, usual.keep_runs).max(2),
        units: section.pairs("units", "how many pieces one is, as 12", |_, text| text.parse().ok().filter(|n| *n > 0)),
        statuses,
        wms_is_right: section.word("system_of_record", &words).unwrap_or(usual.wms_is_right),
    };
    section.finish();
    settings
}

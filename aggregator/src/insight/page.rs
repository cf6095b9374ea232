//! The centre's pages as HTML: no scripts, nothing of any other server. Pure.

use jiff::{Timestamp, tz::TimeZone};
use maud::{DOCTYPE, Markup, html};

use super::{
    decide,
    destinations::{self, Destination},
    parked::Group,
    sites::{Level, Overview, SiteLine},
};
use crate::ledger::OpRow;

/// Groups that the page of what waits shows.
const GROUPS_SHOWN: usize = 200;
/// How often pages are fetched again, seconds.
pub(super) const REFRESH_SECS: u32 = 10;

/// One line per site, worst first.
pub fn sites_page(overview: &Overview, destinations: &[Destination]) -> Markup {
    let now = overview.generated_at;
    let body = html! {
        @if overview.is_recovering {
            p .note { "The ledger was restored from a backup. Sites send again what it lacks; nothing is to be done." }
        }
        @if let Some(at) = overview.backup.failed_at {
            p .note {
                "The daily backup failed at " (at.strftime("%Y-%m-%d %H:%M UTC")) ": " (overview.backup.failed_why)
                ". Whose move: who runs this server. It is tried again every quarter of an hour."
            }
        }
        section .panel {
            h1 { "Sites " (overview.sites.len()) }
            p { @for level in Level::ALL { (count_of(level, overview)) } }
        }
        div .scroll { table .sites {
            thead { tr {
                @for name in ["State", "Site", "Since", "Last event"] { th scope="col" { (name) } }
                @for name in ["Waiting", "Oldest", "Parked"] { th .num scope="col" { (name) } }
                @for name in ["Version", "Clock", "Whose move"] { th scope="col" { (name) } }
            } }
            tbody { @for line in &overview.sites { (row(line, now)) } }
        } }
        @if overview.sites.is_empty() { p .note { "No site yet: docksync-aggregator sites add DC01" } }
        (destinations::section(destinations, now))
    };
    frame("Sites", overview, &body, Some(REFRESH_SECS))
}

/// What waits for a person, by code, site and consumer.
pub fn parked_page(
    overview: &Overview,
    (groups, is_cut): (&[Group], bool),
    decided: &[OpRow],
    may_decide: bool,
) -> Markup {
    let now = overview.generated_at;
    let total: u64 = groups.iter().map(|group| group.count).sum();
    let body = html! {
        section .panel { h1 { "Waiting for a person: " (count(total)) @if is_cut { " and more" } }
            p .muted { "Events are stored and safe. Each stays here until somebody tries it again or leaves it out." } }
        div .scroll { table .sites {
            thead { tr {
                th scope="col" { "Code" } th scope="col" { "Site" } th scope="col" { "For" } th .num scope="col" { "Count" }
                th scope="col" { "First" } th scope="col" { "Last" } th scope="col" { "Why (first one), and what to type" }
            } }
            tbody { @for group in groups.iter().take(GROUPS_SHOWN) { (group_row(group, now, may_decide)) } }
        } }
        @if groups.is_empty() { p .note { "Nothing waits for a person." } }
        (decide::section(decided))
    };
    frame("Waiting for a person", overview, &body, Some(REFRESH_SECS))
}

/// A page that says one thing.
pub fn message_page(title: &str, text: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title, None))
            body { main { section .panel { h1 { (title) } p { (text) } p { a href="/" { "Sites" } } } } }
        }
    }
}

fn head(title: &str, refresh_secs: Option<u32>) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            @if let Some(secs) = refresh_secs { meta http-equiv="refresh" content=(secs); }
            title { (title) " - Docksync" }
            link rel="stylesheet" href="/style.css";
        }
    }
}

/// A page; one with a form must not be fetched again while somebody types.
pub(super) fn frame(title: &str, overview: &Overview, body: &Markup, refresh_secs: Option<u32>) -> Markup {
    let needs = overview.sites.iter().filter(|line| line.level < Level::CatchingUp).count();
    let title = if needs > 0 { format!("({needs}) {title}") } else { title.to_owned() };
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&title, refresh_secs))
            body {
                a .skip href="#main" { "Skip to the list" }
                header .top {
                    strong { "Docksync" } a href="/" { "Sites" } a href="/parked" { "Waiting for a person" } a href="/books" { "Books" }
                    span .when { (moment(overview.generated_at)) }
                }
                main #main { (body) }
                footer { span { "docksync-aggregator " (env!("CARGO_PKG_VERSION")) } a href="/sites.json" { "As data" } }
            }
        }
    }
}

fn count_of(level: Level, overview: &Overview) -> Markup {
    let found = overview.sites.iter().filter(|line| line.level == level).count();
    html! {
        @if found > 0 { span class={ "tally " (class(level)) } { (shape(level)) strong { (found) } " " (level.word()) } " " }
    }
}

fn row(line: &SiteLine, now: Timestamp) -> Markup {
    html! {
        tr {
            td class=(class(line.level)) { (shape(line.level)) (line.level.word()) }
            td { strong { (line.site) } " " (line.name) }
            td { @match line.since { Some(at) => { (stamp(at, now)) " (" (ago(at, now)) ")" }, None => "-" } }
            td { @match line.last_event_at { Some(at) => { (ago(at, now)) " ago" }, None => "-" } }
            td .num { (count(line.waiting)) }
            td .num { @if line.waiting > 0 { (span(line.oldest_secs)) } @else { "-" } }
            td .num { @if line.parked > 0 { a href="/parked" { (count(line.parked)) } } @else { "0" } }
            td { @if line.version.is_empty() { "-" } @else { (line.version) } }
            td { @match line.clock_ahead_ms { Some(ms) => (clock(ms)), None => "ok" } }
            td { strong { (line.whose_action) } @if !line.next_step.is_empty() { br; (line.next_step) } }
        }
        @for held in &line.held {
            tr .held { td {} td colspan="9" { (held_line(held, line)) } }
        }
    }
}

/// A machine that waits carries the nonce by which it is approved; a stream that is set aside has none.
fn held_line(held: &str, line: &SiteLine) -> Markup {
    html! {
        @match held.split_once(" nonce ") {
            Some((machine, nonce)) => {
                "A machine waits for approval (" (machine) "). If it is the right one: "
                span .mono { "docksync-aggregator sites approve " (line.site) " " (nonce) }
            },
            None => { "Its stream is set aside (" (held) "): find out which machine is the right one." },
        }
    }
}

fn group_row(group: &Group, now: Timestamp, may_decide: bool) -> Markup {
    let at = |ms| Timestamp::from_millisecond(ms).unwrap_or(now);
    html! {
        tr {
            td .mono { (group.code) }
            td { (group.site) }
            td { @if group.target == crate::ledger::ADMIT_TARGET { "the ledger" } @else { (group.target) } }
            td .num { (count(group.count)) }
            td { (stamp(at(group.first_ms), now)) }
            td { (stamp(at(group.last_ms), now)) }
            td {
                (group.reason) br; span .mono .muted { "docksync-aggregator parked show " (group.sample) }
                @if may_decide {
                    form .inline method="get" action="/parked/decide" {
                        input type="hidden" name="code" value=(group.code);
                        input type="hidden" name="site" value=(group.site);
                        input type="hidden" name="target" value=(group.target);
                        button type="submit" { "Decide on these" }
                    }
                }
            }
        }
    }
}

const fn class(level: Level) -> &'static str {
    match level {
        Level::Stopped => "broken",
        Level::Held | Level::Offline | Level::NeedsYou => "attention",
        Level::New => "muted",
        Level::CatchingUp | Level::Ok => "ok",
    }
}

/// Elements are closed, for HTML would nest what follows an open one.
fn shape(level: Level) -> Markup {
    let outline = |inner: Markup| {
        html! {
            g fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round" { (inner) }
        }
    };
    let inner = match level {
        Level::Ok => html! {
            circle cx="12" cy="12" r="11" fill="currentColor" {}
            path d="M6.5 12.5l3.7 3.7 7.3-8" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" {}
        },
        Level::CatchingUp => html! {
            path d="M12 2a10 10 0 0 0 0 20z" fill="currentColor" {}
            (outline(html! { circle cx="12" cy="12" r="10" {} }))
        },
        Level::Offline => {
            outline(html! { path d="M12 2.5L22.5 21h-21z" {} path d="M12 9v5" {} path d="M12 17.5v.01" {} })
        }
        Level::Held | Level::NeedsYou => outline(html! {
            rect x="2" y="2" width="20" height="20" rx="2" {} path d="M12 8v5" {} path d="M12 17v.01" {}
        }),
        Level::New => outline(html! { circle cx="12" cy="12" r="10" stroke-dasharray="4 4" {} }),
        Level::Stopped => {
            outline(html! { path d="M7.5 1.5h9l6 6v9l-6 6h-9l-6-6v-9z" {} path d="M8 8l8 8M16 8l-8 8" {} })
        }
    };
    html! { svg class="shape" viewBox="0 0 24 24" aria-hidden="true" { (inner) } }
}

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

fn span(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min", secs / 60),
        3_600..86_400 => format!("{} h {} min", secs / 3_600, secs % 3_600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3_600),
    }
}

fn clock(ms: i64) -> String {
    let side = if ms > 0 { "ahead" } else { "behind" };
    format!("{} {side}", span(ms.unsigned_abs() / 1000))
}

pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    span(u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0))
}

/// The centre serves several zones: its times are UTC, and say so.
pub(super) fn stamp(at: Timestamp, now: Timestamp) -> Markup {
    let (then, today) = (at.to_zoned(TimeZone::UTC), now.to_zoned(TimeZone::UTC).date());
    let format = if then.date() == today { "%H:%M UTC" } else { "%d %b %H:%M UTC" };
    html! { time datetime=(at) title=(at) { (then.strftime(format).to_string()) } }
}

fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at.to_zoned(TimeZone::UTC).strftime("%a %d %b %H:%M:%S UTC").to_string()) } }
}

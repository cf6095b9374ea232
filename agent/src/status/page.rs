//! The local page as HTML: works without scripts, asks nothing of any other server. Pure.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::{
    facts::{FeedView, Watch},
    headline::{Headline, Level},
    phrase,
    shape::{class, name, shape},
    snapshot::{FileView, Snapshot, Step},
};

/// Lines of the history that the page shows.
const HISTORY_SHOWN: usize = 8;

/// The page of the site. `csrf` is the token of its forms; without one it has none.
pub fn page(snap: &Snapshot, csrf: Option<&str>) -> Markup {
    let body = html! {
        (state_block(snap, csrf))
        (strip(snap))
        div .grid {
            div {
                @if snap.files_total > 0 { (files(snap)) }
                @if !snap.others.is_empty() { (others(snap)) }
                (feeds(snap))
                @if !snap.recent.is_empty() { (recent(snap)) }
            }
            div { (flow(snap)) (history(snap)) }
        }
        section .panel.paper { h2 { "Notes for the next shift" } p { br; br; br; br; } }
    };
    frame(snap, Some(5), &body)
}

/// A page that says one thing: an answer to a form, or why there is nothing to see.
pub fn message_page(snap: &Snapshot, title: &str, text: &str) -> Markup {
    let body = html! { section .panel { h1 { (title) } p { (text) } p { a href="/" { "Back to the overview" } } } };
    frame(snap, None, &body)
}

pub(super) fn frame(snap: &Snapshot, refresh_secs: Option<u32>, body: &Markup) -> Markup {
    let level = snap.headline.level;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if let Some(secs) = refresh_secs { meta http-equiv="refresh" content=(secs); }
                title { (tab_title(snap)) }
                link rel="icon" type="image/svg+xml" href={ "/icon/" (name(level)) ".svg" };
                link rel="stylesheet" href="/style.css";
            }
            body {
                a .skip href="#main" { "Skip to the state" }
                header .top {
                    strong { "Docksync" }
                    span { (snap.site.id) " " (snap.site.name) }
                    span .when { (time(snap.generated_at, snap)) " (" (snap.site.time_zone) ")" }
                }
                main #main { (body) }
                footer {
                    @if !snap.site.contact.is_empty() { span { "Help: " (snap.site.contact) } }
                    span { "docksync-agent " (snap.agent_version) }
                    span { a href="/status.json" { "As data" } }
                    @if let Some(days) = snap.certificate_warning() { span { "Certificate: " (days) " days left" } }
                    @if let Some(ms) = snap.clock_warning() { span { "Clock: " (ms) " ms ahead of head office" } }
                }
            }
        }
    }
}

fn tab_title(snap: &Snapshot) -> String {
    let word = match snap.headline.level {
        Level::Ok => "works",
        Level::CatchingUp => "is catching up",
        Level::Offline => "is offline, safe",
        Level::NeedsYou => "needs you",
        Level::Quiet => "is quiet",
        Level::Stopped => "has stopped",
    };
    let count = match snap.needs() {
        0 => String::new(),
        n => format!("({n}) "),
    };
    format!("{count}{} {word} - Docksync", snap.site.id)
}

fn state_block(snap: &Snapshot, csrf: Option<&str>) -> Markup {
    let top = &snap.headline;
    html! {
        section class={ "state " (class(top.level)) } role="status" aria-live="polite" {
            div .row {
                (shape(top.level))
                div {
                    @if let Some(at) = top.since { p .since { (since(at, snap)) } }
                    span .word { (top.level.word()) }
                    h1 { (top.title) }
                    p { (snap.safety) }
                    @if !top.cause.is_empty() || !top.next_step.is_empty() { (cause(top)) }
                    @if top.level == Level::Offline || top.next_retry.is_some() { (retry(snap, csrf)) }
                }
            }
        }
    }
}

fn cause(one: &Headline) -> Markup {
    html! {
        dl .facts {
            @if !one.cause.is_empty() {
                dt { "Why" }
                dd { (one.cause) @if let Some(code) = &one.code { " " span .mono { "[" (code) "]" } } }
            }
            dt { "Whose move" } dd { strong { (one.whose_action.as_str()) } }
            @if !one.next_step.is_empty() { dt { "What to do" } dd { (one.next_step) } }
        }
    }
}

fn retry(snap: &Snapshot, csrf: Option<&str>) -> Markup {
    let Some(link) = &snap.link else { return html! {} };
    let next = link.next_try.map(|at| phrase::span(phrase::secs_between(snap.generated_at, at)));
    html! {
        p {
            @if let Some(next) = next { "Next try in " strong { (next) } " (try " (link.tries.saturating_add(1)) "). " }
            @if let Some(at) = link.last_error_at { "Last answer at " (time_of_day(at, snap)) "." }
        }
        @if let Some(token) = csrf {
            form method="post" action="/try-now" { (hidden(token)) button { "Try now" } }
        }
    }
}

pub(super) fn hidden(token: &str) -> Markup {
    html! { input type="hidden" name="csrf" value=(token); }
}

fn strip(snap: &Snapshot) -> Markup {
    html! {
        ol .strip aria-label="The way of an event" { @for one in &snap.strip { (step(one, snap)) } }
    }
}

fn step(step: &Step, snap: &Snapshot) -> Markup {
    let title = match step.name {
        "seen" => "Seen",
        "stored" => "Stored",
        "sent" => "Sent",
        "accepted" => "Accepted",
        _ => "In ERP",
    };
    html! {
        li {
            h3 { (title) }
            p .at {
                @match step.at { Some(at) => (time_of_day(at, snap)), None => span .muted { "–" } }
                @if step.is_late { " " span .attention { (shape(Level::Offline)) " late" } }
            }
            p .muted {
                @match (step.name, step.count) {
                    ("seen", Some(0)) => "no file waits",
                    ("seen", Some(n)) => (phrase::counted(n, "file waits", "files wait")),
                    (_, Some(n)) => { (phrase::count(n)) " today" },
                    (_, None) => "not known yet",
                }
                @if step.behind > 0 { " (" (phrase::count(step.behind)) " on the way)" }
            }
        }
    }
}

fn flow(snap: &Snapshot) -> Markup {
    let waiting = &snap.waiting;
    let percent = waiting.used_bytes.saturating_mul(100).checked_div(waiting.limit_bytes).unwrap_or(0);
    html! {
        section .panel {
            h2 { "Waiting to be sent" }
            dl .facts {
                dt { "Events" } dd { (phrase::count(waiting.events)) }
                @if let (Some(age), Some(at)) = (waiting.oldest_age_secs, waiting.oldest_at) {
                    dt { "Oldest" } dd { (phrase::span(age)) ", stored " (time_of_day(at, snap)) }
                }
                @if waiting.events > 0 {
                    @if let Some(rate) = waiting.drain_per_sec { dt { "Pace" } dd { (format!("{rate:.1}")) " events a second" } }
                    dt { "Cleared" }
                    dd { @match waiting.eta_secs { Some(secs) => { "in about " (phrase::span(secs.max(1))) }, None => "not in sight yet" } }
                }
                dt { "Room" }
                dd { (phrase::bytes(waiting.used_bytes)) " of " (phrase::bytes(waiting.limit_bytes)) " in use (" (percent) " %)" }
                @if let Some(link) = &snap.link {
                    dt { "Head office" } dd { @if link.is_up { "connected" } @else { "not connected" } ", " (link.address) }
                }
            }
        }
    }
}

fn files(snap: &Snapshot) -> Markup {
    html! {
        section .panel {
            h2 { "Files that need a person (" (snap.files_total) ")" }
            ul .plain {
                @for file in &snap.files {
                    li {
                        p { a href={ "/files/" (file.id) } { (file.name) } " " span .mono { "[" (file.code) "]" } }
                        p { (file.cause) }
                        p .muted { "Whose move: " strong { (file.whose_action.as_str()) } ". " (rows(file)) }
                    }
                }
            }
            @if snap.files_total > snap.files.len() as u64 { p .muted { "The oldest " (snap.files.len()) " are shown." } }
        }
    }
}

pub(super) fn rows(file: &FileView) -> String {
    let n = |n: i64| phrase::count(u64::try_from(n).unwrap_or(0));
    format!("{} rows: {} good, {} held.", n(file.lines), n(file.good), n(file.held))
}

fn others(snap: &Snapshot) -> Markup {
    html! {
        section .panel {
            h2 { "What else is open" }
            ul .plain {
                @for one in &snap.others {
                    li {
                        p { span class=(class(one.level)) { (shape(one.level)) " " strong { (one.level.word()) } } " " (one.title) }
                        (cause(one))
                        @if let Some(at) = one.since { p .muted { (since(at, snap)) } }
                    }
                }
            }
        }
    }
}

fn feeds(snap: &Snapshot) -> Markup {
    html! {
        section .panel {
            h2 { "Folders" }
            @if snap.feeds.is_empty() { p .muted { "None is told of while the agent does not run." } }
            @else {
                div .scroll { table {
                    thead { tr { th scope="col" { "State" } th scope="col" { "Folder" } th scope="col" { "Last file" } th scope="col" { "Normally" } } }
                    tbody { @for feed in &snap.feeds { (feed_row(feed, snap)) } }
                } }
            }
        }
    }
}

fn feed_row(feed: &FeedView, snap: &Snapshot) -> Markup {
    let (level, word) = match (&feed.trouble, feed.silent_since) {
        (Some(_), _) => (Level::NeedsYou, "fix"),
        (None, Some(_)) => (Level::Quiet, "quiet"),
        (None, None) => (Level::Ok, "ok"),
    };
    html! {
        tr {
            td class=(class(level)) { (shape(level)) " " (word) }
            td {
                span .mono { (feed.folder.display()) }
                @if feed.watching == Watch::Polled { " " span .muted { "(looked at by timer)" } }
                @if feed.waiting > 0 { " " span .muted { (phrase::counted(feed.waiting, "file waits", "files wait")) } }
            }
            td { @match feed.last_seen_at { Some(at) => (time_of_day(at, snap)), None => span .muted { "none yet" } } }
            td {
                @match feed.expect_every_secs {
                    Some(secs) => { "every " (phrase::span(secs)) @if feed.is_learned { span .muted { " (learned)" } } },
                    None => span .muted { "not known" },
                }
            }
        }
    }
}

/// The way to the page of a file: there stands what became of each of its events.
fn recent(snap: &Snapshot) -> Markup {
    html! {
        section .panel {
            h2 { "Files stored lately" }
            ul .plain {
                @for file in &snap.recent {
                    li {
                        @if let Some(at) = file.at { (time_of_day(at, snap)) " " }
                        a href={ "/files/" (file.id) } { (file.name) }
                        " " span .muted {
                            (phrase::counted(file.events, "event", "events"))
                            @if file.is_through { ", each in the ERP or waiting for a person there" }
                        }
                    }
                }
            }
        }
    }
}

fn history(snap: &Snapshot) -> Markup {
    html! {
        section .panel {
            h2 { "What happened lately" }
            @if snap.history.is_empty() { p .muted { "Nothing yet." } }
            ul .plain {
                @for row in snap.history.iter().take(HISTORY_SHOWN) {
                    li {
                        @if let Ok(at) = Timestamp::from_millisecond(row.at_ms) { (time_of_day(at, snap)) " " }
                        (row.what)
                    }
                }
            }
        }
    }
}

fn since(at: Timestamp, snap: &Snapshot) -> Markup {
    let age = phrase::span(phrase::secs_between(at, snap.generated_at));
    html! { "since " (stamp(at, &phrase::clock(at, snap.generated_at, &snap.site.zone))) " (" (age) ")" }
}

pub(super) fn time(at: Timestamp, snap: &Snapshot) -> Markup {
    stamp(at, &phrase::moment(at, &snap.site.zone))
}

pub(super) fn time_of_day(at: Timestamp, snap: &Snapshot) -> Markup {
    stamp(at, &phrase::clock_exact(at, snap.generated_at, &snap.site.zone))
}

fn stamp(at: Timestamp, text: &str) -> Markup {
    html! { time datetime=(at) title=(at) { (text) } }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;

//! The page of one file: what is wrong with it here, and what became of each of its events behind this site. Pure.

use docksync_proto::fate::FateState;
use maud::{Markup, html};

use super::{
    events::{EventView, EventsView},
    headline::{Level, Owner},
    page::{frame, hidden, rows, time, time_of_day},
    phrase,
    shape::{class, shape},
    snapshot::{FileView, Snapshot},
};
use crate::{queue::capture::HeldLine, uplink::fates::Asking};

/// Seconds until the page shows what is awaited.
const SOON_SECS: u32 = 2;
/// Seconds until it shows what may have changed.
const LATER_SECS: u32 = 5;

/// The page of a file. `csrf` is the token of its forms; without one it has none.
pub fn file_page(
    snap: &Snapshot,
    file: &FileView,
    events: &EventsView,
    csrf: Option<&str>,
    note: Option<&str>,
) -> Markup {
    // A page that comes anew while somebody types a reason would take the words away.
    let has_forms = file.needs_person && csrf.is_some();
    let refresh = refresh_secs(events).filter(|_| !has_forms);
    let body = html! {
        p { a href="/" { "Back to the overview" } }
        @if let Some(note) = note { p .note role="status" { (note) } }
        @if file.needs_person { (needs_person(snap, file, csrf)) } @else { (is_stored(snap, file)) }
        (events_panel(snap, file, events, refresh))
        @if !file.first.is_empty() {
            section .panel {
                h2 { "Lines that were held" }
                @for line in &file.first { (held_line(line)) }
                @if file.held > file.first.len() as i64 {
                    p .muted { "The first " (file.first.len()) " of " (file.held) " lines are shown." }
                }
            }
        }
    };
    frame(snap, refresh, &body)
}

/// When the page should come anew; `None` where nothing shown changes by itself.
fn refresh_secs(events: &EventsView) -> Option<u32> {
    let is_awaited = events.asking == Asking::Asked && events.is_link_up;
    let lacks = events.events.iter().any(|event| event.state == "not_told");
    match (events.may_change(), is_awaited && lacks) {
        (false, _) => None,
        (true, true) => Some(SOON_SECS),
        (true, false) => Some(LATER_SECS),
    }
}

fn needs_person(snap: &Snapshot, file: &FileView, csrf: Option<&str>) -> Markup {
    html! {
        section .state.attention {
            div .row {
                (shape(Level::NeedsYou))
                div {
                    h1 { (file.name) }
                    p { (file.cause) }
                    dl .facts {
                        dt { "Whose move" } dd { strong { (file.whose_action.as_str()) } " " span .mono { "[" (file.code) "]" } }
                        (place(snap, file))
                        dt { "What to do" } dd { "Correct it in the WMS and export again, or correct the file and press Check again." }
                    }
                    @if let Some(token) = csrf { (file_forms(file, token)) }
                }
            }
        }
    }
}

fn is_stored(snap: &Snapshot, file: &FileView) -> Markup {
    html! {
        section .panel {
            h1 { (file.name) }
            dl .facts {
                (place(snap, file))
                @if let Some(earlier) = &file.earlier { dt { "Came before" } dd { "with the same content, as " (earlier) } }
            }
        }
    }
}

fn place(snap: &Snapshot, file: &FileView) -> Markup {
    html! {
        dt { "Lies in" } dd .mono { (file.path) }
        @if let Some(at) = file.found_at { dt { "Found" } dd { (time(at, snap)) } }
        dt { "Rows" } dd { (rows(file)) }
    }
}

fn events_panel(snap: &Snapshot, file: &FileView, view: &EventsView, refresh: Option<u32>) -> Markup {
    let (before, next) = view.neighbours();
    let link = |from: u64| format!("/files/{}?from={from}", file.id);
    html! {
        section .panel {
            h2 { "What became of its events" }
            @if view.events.is_empty() {
                p .muted { "None of its events is kept here any more. Head office has them: ask there with the name of the file." }
            } @else {
                p { (summary(view)) }
                (asked(snap, view))
                @if refresh.is_none() && view.may_change() { p { a href=(link(view.from)) { "Show this again" } } }
                div .scroll { table {
                    thead { tr { th scope="col" { "Line" } th scope="col" { "What" } th scope="col" { "How it stands" } } }
                    tbody { @for event in &view.events { (event_row(event)) } }
                } }
                @if before.is_some() || next.is_some() {
                    p {
                        @if let Some(from) = before { a href=(link(from)) { "Events before" } " " }
                        (phrase::count(view.from)) " to " (phrase::count(view.from + view.events.len() as u64 - 1)) " of " (phrase::count(view.kept))
                        @if let Some(from) = next { " " a href=(link(from)) { "Events behind" } }
                    }
                }
            }
            @if file.duplicate > 0 {
                p .muted { (phrase::counted(u64::try_from(file.duplicate).unwrap_or(0), "row was", "rows were")) " known before and stand with the file that brought them." }
            }
        }
    }
}

/// The counts of what is shown, the ones that matter most first.
fn summary(view: &EventsView) -> String {
    let words = [
        ("waits_for_person", "waiting for a person at head office"),
        ("behind_another", "waiting behind another"),
        ("in_erp", "in the ERP"),
        ("on_the_way", "on the way to the ERP"),
        ("stored", "stored here"),
        ("not_held", "not at head office yet"),
        ("not_told", "not known yet"),
        ("left_out", "left out"),
        ("test", "for test alone"),
        ("no_erp", "at head office, which has no ERP"),
    ];
    let parts: Vec<String> = words
        .iter()
        .filter_map(|(state, word)| Some(format!("{} {word}", phrase::count(*view.counts.get(state)?))))
        .collect();
    format!("{}.", parts.join(", "))
}

/// How old what is shown is, and what is done about it.
fn asked(snap: &Snapshot, view: &EventsView) -> Markup {
    let is_asked = view.events.iter().any(|event| event.state != "stored");
    html! {
        @if is_asked {
            p .muted {
                @if let Some(at) = view.told_at { "As head office said at " (time_of_day(at, snap)) ". " }
                @match (view.is_link_up, view.asking) {
                    (false, _) => "Head office is not reachable now.",
                    (true, Asking::Current) => "",
                    (true, Asking::Asked) => "Head office is being asked; its answer is shown at the next refresh.",
                    (true, Asking::Silent) => "Head office did not answer the last question; it is asked again in a while.",
                    (true, Asking::NotUnderstood) => "Head office runs an older version, which cannot say what became of single events.",
                }
            }
        }
    }
}

fn event_row(event: &EventView) -> Markup {
    let (level, word) = words(event);
    html! {
        tr {
            td .num { @match &event.name { Some(name) => (name.line_no), None => "–" } }
            td {
                @match &event.name {
                    Some(name) => { (name.event_type.replace('_', " ")) " " span .mono { (name.document) } @if name.action != "add" { " " span .muted { (name.action) } } },
                    None => { "event " (event.seq) },
                }
            }
            td {
                span class=[level.map(class)] { @if let Some(level) = level.filter(|level| *level != Level::Ok) { (shape(level)) " " } (word) }
                @if !event.text.is_empty() { " " span .mono { (event.text) } }
                @if event.is_repeat { " " span .muted { "(head office had it before)" } }
                @if event.destinations.len() > 1 {
                    @for (name, state, text) in &event.destinations { br; span .muted { (name) ": " (state.replace('_', " ")) " " (text) } }
                }
            }
        }
    }
}

/// Level and words of a state: a shape stands where something holds it up.
fn words(event: &EventView) -> (Option<Level>, &'static str) {
    let has_text = !event.text.is_empty();
    match event.fate {
        None if event.state == "stored" => (None, "Stored here, on its way to head office"),
        None => (None, "At head office; not known yet"),
        Some(FateState::Applied) if has_text => (Some(Level::Ok), "In ERP"),
        Some(FateState::Applied) => (Some(Level::Ok), "Settled at the ERP, without a document number"),
        Some(FateState::Parked) => (Some(Level::NeedsYou), "Waits for a person at head office"),
        Some(FateState::Behind) => (Some(Level::Offline), "Waits behind an earlier event of the same document"),
        Some(FateState::OnTheWay) if has_text => (Some(Level::Offline), "On its way to the ERP:"),
        Some(FateState::OnTheWay) => (None, "On its way to the ERP"),
        Some(FateState::NotHeld) => (None, "Head office does not hold it yet"),
        Some(FateState::LeftOut) => (None, "Left out"),
        Some(FateState::Test) => (None, "A test, never applied"),
        Some(FateState::NoErp) => (None, "At head office, which has no ERP"),
    }
}

fn held_line(line: &HeldLine) -> Markup {
    let place = match (line.line_no, line.column) {
        (0, _) => "The whole file".to_owned(),
        (no, 0) => format!("Line {no}"),
        (no, column) => format!("Line {no}, column {column}"),
    };
    // The bad value is marked where it stands; a value that is not found so is told above anyway.
    let parts = line.text.rsplit_once(line.found.as_str()).filter(|_| !line.found.is_empty());
    html! {
        p {
            strong { (place) }
            @if !line.field.is_empty() { " " span .mono { (line.field) } }
            ": found " span .mono { "\"" (line.found) "\"" } ", expected " (line.expected) ". "
            span .muted { "Whose move: " (Owner::of_held(&line.owner).as_str()) " " span .mono { "[" (line.code) "]" } }
        }
        @if !line.text.is_empty() {
            pre { @match parts { Some((before, after)) => { (before) mark { (line.found) } (after) }, None => (line.text) } }
        }
    }
}

fn file_forms(file: &FileView, token: &str) -> Markup {
    html! {
        form method="post" action={ "/files/" (file.id) "/retry" } { (hidden(token)) button { "Check again" } }
        form method="post" action={ "/files/" (file.id) "/set-aside" } {
            (hidden(token))
            label for="reason" { "Reason (required)" }
            input #reason name="reason" required maxlength="500" autocomplete="off";
            " " button { "Set aside" }
        }
    }
}

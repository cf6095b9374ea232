//! The six shapes: a state is told by shape and word, colour only repeats it.

use maud::{Markup, html};

use super::headline::Level;

/// Class of the state's colour.
pub(super) const fn class(level: Level) -> &'static str {
    match level {
        Level::Ok | Level::CatchingUp => "ok",
        Level::Offline | Level::NeedsYou | Level::Quiet => "attention",
        Level::Stopped => "broken",
    }
}

/// Name in the icon's address.
pub(super) const fn name(level: Level) -> &'static str {
    match level {
        Level::Ok => "working",
        Level::CatchingUp => "catching-up",
        Level::Offline => "offline",
        Level::NeedsYou => "needs-you",
        Level::Quiet => "quiet",
        Level::Stopped => "stopped",
    }
}

/// The state of an icon's name.
pub(super) fn level_of(wanted: &str) -> Option<Level> {
    let all = [Level::Ok, Level::CatchingUp, Level::Offline, Level::NeedsYou, Level::Quiet, Level::Stopped];
    all.into_iter().find(|level| name(*level) == wanted)
}

/// The shape, in the colour of the text around it. Elements are closed, for HTML would nest what follows an open one.
pub(super) fn shape(level: Level) -> Markup {
    html! { svg class="shape" viewBox="0 0 24 24" aria-hidden="true" { (strokes(level)) } }
}

/// The icon of the tab. An icon stands alone: it needs the name space and a colour of its own.
pub(super) fn icon(level: Level) -> String {
    let color = match class(level) {
        "ok" => "#2f7fd0",
        "attention" => "#b38600",
        _ => "#d0305c",
    };
    let strokes = strokes(level).into_string();
    format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 24 24\" color=\"{color}\">{strokes}</svg>")
}

fn strokes(level: Level) -> Markup {
    let outline = |inner: Markup| {
        html! {
            g fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round" { (inner) }
        }
    };
    let bang = html! { path d="M12 8v5" {} path d="M12 17v.01" {} };
    match level {
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
        Level::NeedsYou => outline(html! { rect x="2" y="2" width="20" height="20" rx="2" {} (bang) }),
        Level::Quiet => outline(html! {
            circle cx="12" cy="12" r="10" {}
            path d="M9 9.3a3 3 0 1 1 4.4 2.6c-.9.5-1.4 1-1.4 2" {} path d="M12 17.3v.01" {}
        }),
        Level::Stopped => outline(html! {
            path d="M7.5 1.5h9l6 6v9l-6 6h-9l-6-6v-9z" {} path d="M8 8l8 8M16 8l-8 8" {}
        }),
    }
}

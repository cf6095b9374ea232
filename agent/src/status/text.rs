//! The `status` command: lines for people, JSON for programs, one line for monitoring. Pure.

use std::{fmt::Write as _, time::Duration};

use super::{
    headline::Level,
    phrase,
    snapshot::{Snapshot, Step},
};

/// Answer of `status --check`: a line in the form of the monitoring plugins, and the exit code (0 to 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// One line: state, words, figures.
    pub line: String,
    /// 0 good, 1 warning, 2 critical, 3 unknown.
    pub exit: u8,
}

/// At most 20 lines; the first is the headline of the page.
pub fn lines(snap: &Snapshot) -> String {
    let mut out = String::new();
    let zone = &snap.site.zone;
    let top = &snap.headline;
    put(&mut out, format_args!("{} {} {}: {}", mark(top.level), snap.site.id, snap.site.name, top.title));
    row(&mut out, "State", &since(snap));
    row(&mut out, "Lost?", &snap.safety);
    if !top.cause.is_empty() {
        row(&mut out, "Why", &with_code(&top.cause, top.code.as_deref()));
        row(&mut out, "Whose", &format!("{}: {}", top.whose_action.as_str(), top.next_step));
    }
    row(&mut out, "Waiting", &waiting(snap));
    if let Some(link) = snap.link.as_ref().filter(|link| !link.is_up)
        && let Some(next) = link.next_try
    {
        let secs = phrase::span(phrase::secs_between(snap.generated_at, next));
        row(&mut out, "Next try", &format!("in {secs} (try {}) to {}", link.tries + 1, link.address));
    }
    row(&mut out, "Steps", &steps(snap));
    for other in snap.others.iter().take(4) {
        row(&mut out, other.level.word(), &with_code(&other.title, other.code.as_deref()));
    }
    if let Some(file) = snap.files.first() {
        row(&mut out, "Files", &format!("{} -> docksync-agent files show {}", file.cause, file.id));
    }
    if let Some(days) = snap.certificate_warning() {
        row(&mut out, "Cert", &format!("{days} days left"));
    }
    if let Some(ms) = snap.clock_warning() {
        row(&mut out, "Clock", &format!("{ms} ms ahead of head office"));
    }
    row(&mut out, "Read at", &format!("{}   Version {}", phrase::moment(snap.generated_at, zone), snap.agent_version));
    out
}

/// The JSON of `/status.json`.
///
/// # Errors
/// [`serde_json::Error`], which a snapshot does not cause.
pub fn json(snap: &Snapshot) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(snap)
}

/// Judges a snapshot for monitoring: the age of the oldest waiting event, and the state.
pub fn check(snap: &Snapshot, warn_age: Duration, crit_age: Duration) -> Check {
    let age = snap.waiting.oldest_age_secs.unwrap_or(0);
    let by_age = match age {
        age if age >= crit_age.as_secs() => 2,
        age if age >= warn_age.as_secs() => 1,
        _ => 0,
    };
    let by_state = match (snap.headline.level, snap.headline.is_data_at_risk) {
        (Level::Stopped, _) | (Level::NeedsYou, true) => 2,
        (Level::NeedsYou | Level::Quiet, _) => 1,
        (Level::Ok | Level::CatchingUp | Level::Offline, _) => 0,
    };
    let exit = if snap.is_store_readable { by_age.max(by_state) } else { 3 };
    let word = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][usize::from(exit)];
    // A pipe begins the figures, so none may stand in the words.
    let title = snap.headline.title.replace('|', "/");
    let line = format!(
        "{word} - {} {title} | age={age}s;{};{} waiting={} bytes={};;;0;{} files={}",
        snap.site.id,
        warn_age.as_secs(),
        crit_age.as_secs(),
        snap.waiting.events,
        snap.waiting.used_bytes,
        snap.waiting.limit_bytes,
        snap.files_total
    );
    Check { line, exit }
}

const fn mark(level: Level) -> &'static str {
    match level {
        Level::Ok => "(v)",
        Level::CatchingUp => "(~)",
        Level::Offline => "/!\\",
        Level::NeedsYou => "[!]",
        Level::Quiet => "(?)",
        Level::Stopped => "(x)",
    }
}

fn since(snap: &Snapshot) -> String {
    let word = snap.headline.level.word();
    snap.headline.since.map_or_else(
        || word.to_owned(),
        |at| {
            let age = phrase::span(phrase::secs_between(at, snap.generated_at));
            format!("{word} since {} ({age})", phrase::moment(at, &snap.site.zone))
        },
    )
}

fn waiting(snap: &Snapshot) -> String {
    let waiting = &snap.waiting;
    let (used, limit) = (phrase::bytes(waiting.used_bytes), phrase::bytes(waiting.limit_bytes));
    let mut text = format!("{}, {used} of {limit} in use", phrase::counted(waiting.events, "event", "events"));
    if let Some(age) = waiting.oldest_age_secs {
        add(&mut text, format_args!(", oldest {}", phrase::span(age)));
    }
    if let Some(eta) = waiting.eta_secs {
        add(&mut text, format_args!(", about {} to clear", phrase::span(eta)));
    }
    text
}

fn steps(snap: &Snapshot) -> String {
    let one = |step: &Step| {
        let at =
            step.at.map_or_else(|| "-".to_owned(), |at| phrase::clock_exact(at, snap.generated_at, &snap.site.zone));
        format!("{} {at}{}", step.name.replace("in_erp", "in ERP"), if step.is_late { " (late)" } else { "" })
    };
    snap.strip.iter().map(one).collect::<Vec<_>>().join(" > ")
}

fn with_code(text: &str, code: Option<&str>) -> String {
    code.map_or_else(|| text.to_owned(), |code| format!("{text} [{code}]"))
}

fn row(out: &mut String, name: &str, text: &str) {
    // A line of the warehouse system may hold line breaks: the answer keeps its shape.
    let text = text.replace(['\n', '\r'], " ");
    put(out, format_args!("    {name:<9} {text}"));
}

fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    add(out, line);
    out.push('\n');
}

fn add(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{samples, snapshot::snapshot};

    const WARN: Duration = Duration::from_secs(600);
    const CRIT: Duration = Duration::from_secs(3_600);

    #[test]
    fn the_first_line_is_the_pages_and_there_are_at_most_twenty() {
        for (name, facts) in samples::states() {
            let snap = snapshot(&facts);

            let text = lines(&snap);

            assert!(text.lines().next().unwrap().ends_with(&snap.headline.title), "{name}");
            assert!(text.lines().count() <= 20, "{name}");
        }
    }

    #[test]
    fn each_exit_code_of_the_check_is_reached() {
        let exit = |facts| check(&snapshot(&facts), WARN, CRIT).exit;
        let unreadable = || crate::status::facts::Facts { store: Err("damaged".into()), ..samples::working() };

        assert_eq!(
            [exit(samples::working()), exit(samples::quiet()), exit(samples::offline()), exit(unreadable())],
            [0, 1, 2, 3]
        );
    }

    #[test]
    fn the_checks_line_carries_the_figures() {
        let told = check(&snapshot(&samples::offline()), WARN, CRIT);

        assert_eq!(
            told.line,
            "CRITICAL - DC01 No connection to head office since 12:21. Nothing is lost. | age=7860s;600;3600 waiting=1284 \
             bytes=18874368;;;0;21474836480 files=0"
        );
    }

    #[test]
    fn the_json_names_its_version() {
        let json: serde_json::Value = serde_json::from_str(&json(&snapshot(&samples::offline())).unwrap()).unwrap();

        assert_eq!(json["version"], 1);
        assert_eq!(json["headline"]["level"], "offline");
        assert_eq!(json["headline"]["whose_action"], "site_it");
    }
}

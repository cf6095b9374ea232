//! The one decision of this room: which state the site is in, and whose move it is. Pure.
//!
//! Six states; the worst is the headline, the others follow as rows:
//! STOPPED > NEEDS YOU with data at risk > QUIET > OFFLINE > NEEDS YOU > CATCHING UP > WORKING.

use docksync_proto::link::Condition;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    facts::{Facts, FeedView, FileFacts},
    line_states::{certificate_ending, clock_off, offline, offline_move, offline_title, refused},
    phrase,
};

/// Events on their way for less than this are normal flow.
const FLOW_SECS: u64 = 60;
/// Share of the room above which somebody should look, in percent.
const FULL_PERCENT: u64 = 80;
/// Days before its end at which a certificate is spoken of.
pub(super) const CERTIFICATE_DAYS: i64 = 21;
/// Difference of clocks that matters, in milliseconds.
pub(super) const CLOCK_MS: i64 = 5_000;

/// State of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// All flows.
    Ok,
    /// More waits than usual, and flows.
    CatchingUp,
    /// No connection; all is kept.
    Offline,
    /// A person must act.
    NeedsYou,
    /// The warehouse system writes nothing.
    Quiet,
    /// Nothing is stored any more.
    Stopped,
}

impl Level {
    /// The word beside the shape.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "WORKING",
            Self::CatchingUp => "CATCHING UP",
            Self::Offline => "OFFLINE, SAFE",
            Self::NeedsYou => "NEEDS YOU",
            Self::Quiet => "QUIET",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Whose move it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// It recovers by itself.
    Nobody,
    /// Who works with the warehouse system.
    WmsOperator,
    /// Who keeps the site's servers and lines.
    SiteIt,
    /// Who keeps the exports and Docksync.
    Integration,
    /// Who keeps the ERP.
    ErpTeam,
}

impl Owner {
    /// As people read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody, it recovers by itself",
            Self::WmsOperator => "WMS operator",
            Self::SiteIt => "site IT",
            Self::Integration => "integration team",
            Self::ErpTeam => "ERP team",
        }
    }

    /// From the word of a held line.
    pub fn of_held(owner: &str) -> Self {
        match owner {
            "warehouse" => Self::WmsOperator,
            "site_it" => Self::SiteIt,
            "erp" => Self::ErpTeam,
            _ => Self::Integration,
        }
    }
}

/// One state with its cause and its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Headline {
    /// State.
    pub level: Level,
    /// The sentence.
    pub title: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Why, in full; empty where nothing is wrong.
    pub cause: String,
    /// Whose move it is.
    pub whose_action: Owner,
    /// What to do; empty where there is nothing to do.
    pub next_step: String,
    /// When the agent tries again by itself.
    pub next_retry: Option<Timestamp>,
    /// Stable code.
    pub code: Option<String>,
    /// Folder or file that is meant.
    pub subject: Option<String>,
    /// Whether waiting may lose something.
    pub is_data_at_risk: bool,
}

impl Headline {
    /// Names the state across restarts.
    pub fn key(&self) -> String {
        let (code, subject) = (self.code.as_deref().unwrap_or(""), self.subject.as_deref().unwrap_or(""));
        format!("{}|{code}|{subject}", self.level.word())
    }

    const fn rank(&self) -> u8 {
        match (self.level, self.is_data_at_risk) {
            (Level::Stopped, _) => 0,
            (Level::NeedsYou, true) => 1,
            (Level::Quiet, _) => 2,
            (Level::Offline, _) => 3,
            (Level::NeedsYou, false) => 4,
            (Level::CatchingUp, _) => 5,
            (Level::Ok, _) => 6,
        }
    }

    pub(super) fn new(level: Level, title: impl Into<String>, whose_action: Owner) -> Self {
        Self {
            level,
            title: title.into(),
            since: None,
            cause: String::new(),
            whose_action,
            next_step: String::new(),
            next_retry: None,
            code: None,
            subject: None,
            is_data_at_risk: false,
        }
    }

    pub(super) fn because(mut self, code: &str, cause: impl Into<String>, next_step: impl Into<String>) -> Self {
        self.code = Some(code.to_owned());
        self.cause = cause.into();
        self.next_step = next_step.into();
        self
    }

    pub(super) fn since(mut self, at: Option<Timestamp>) -> Self {
        self.since = at;
        self
    }

    pub(super) fn at_risk(mut self) -> Self {
        self.is_data_at_risk = true;
        self
    }
}

/// The worst of what holds.
pub fn headline(facts: &Facts) -> Headline {
    let mut all = standing(facts);
    all.swap_remove(0)
}

/// All that holds, worst first; never empty.
pub fn standing(facts: &Facts) -> Vec<Headline> {
    let mut found: Vec<Headline> =
        [not_running(facts), unreadable(facts), no_room(facts), filling(facts), settings(facts)]
            .into_iter()
            .flatten()
            .collect();
    if let Some(link) = &facts.link {
        found.extend(refused(link).or_else(|| offline(facts, link)));
        found.extend(certificate_ending(link));
        found.extend(clock_off(link));
    }
    for feed in &facts.feeds {
        found.extend(folder_trouble(feed));
        found.extend(quiet(feed, facts));
    }
    found.extend(files(facts));
    if !found.iter().any(|h| matches!(h.level, Level::Offline | Level::Stopped)) {
        found.extend(catching_up(facts));
    }
    if found.is_empty() {
        found.push(working(facts));
    }
    for one in &mut found {
        remember(one, facts);
    }
    found.sort_by_key(Headline::rank);
    found
}

/// A state that held before a restart keeps its beginning.
fn remember(one: &mut Headline, facts: &Facts) {
    let known = facts.remembered.get(&one.key()).copied();
    one.since = match (one.since, known) {
        (Some(told), Some(known)) => Some(told.min(known)),
        (told, known) => told.or(known).or(Some(facts.now)),
    };
    if one.level == Level::Offline
        && let Some(since) = one.since
    {
        one.title = offline_title(since, facts);
        (one.whose_action, one.next_step) = offline_move(since, facts);
    }
}

fn not_running(facts: &Facts) -> Option<Headline> {
    if facts.started_at.is_some() {
        return None;
    }
    let title = "Not storing new events: the agent is not running. Act now.";
    Some(Headline::new(Level::Stopped, title, Owner::SiteIt).because(
        "A001",
        "The program docksync-agent is not running on this server. New exports stay in their folders.",
        "Start it with `sudo systemctl start docksync-agent`; its journal says why it ended.",
    ))
}

/// Settings that a reload could not take.
fn settings(facts: &Facts) -> Option<Headline> {
    let settings = &facts.settings;
    if let Some(at) = settings.refused_at {
        let title = "New settings were refused. The earlier ones run, and nothing is lost.";
        let next =
            "`docksync-agent check` shows every problem; correct it, then `sudo systemctl reload docksync-agent`.";
        let one = Headline::new(Level::NeedsYou, title, Owner::Integration);
        return Some(one.because("S001", settings.refused_why.as_str(), next).since(Some(at)));
    }
    if settings.needs_restart.is_empty() {
        return None;
    }
    let title = "New settings wait for a restart.";
    let cause = format!("These keep their earlier values until then: {}.", settings.needs_restart.join(", "));
    let next = "`sudo systemctl restart docksync-agent`, or put the old values back.";
    Some(
        Headline::new(Level::NeedsYou, title, Owner::Integration).because("S002", cause, next).since(settings.taken_at),
    )
}

fn unreadable(facts: &Facts) -> Option<Headline> {
    let error = facts.store.as_ref().err()?;
    let title = "Not storing new events: the local store cannot be read. Act now.";
    let next = "Keep all files as they are and call the integration team.";
    Some(Headline::new(Level::Stopped, title, Owner::SiteIt).because("Q002", error.as_str(), next).at_risk())
}

fn no_room(facts: &Facts) -> Option<Headline> {
    if facts.has_room {
        return None;
    }
    let (used, max) = (phrase::bytes(facts.used_bytes), phrase::bytes(facts.bytes_max));
    let cause =
        format!("The store uses {used} of {max}, or the disk has no free space. New exports stay in their folders.");
    let next = "Free disk space on this server, or raise the limit in its settings. Do not delete exports.";
    let title = "Not storing new events: disk is full. Act now.";
    Some(Headline::new(Level::Stopped, title, Owner::SiteIt).because("Q001", cause, next).at_risk())
}

fn filling(facts: &Facts) -> Option<Headline> {
    let percent = facts.used_bytes.saturating_mul(100).checked_div(facts.bytes_max)?;
    if percent < FULL_PERCENT || !facts.has_room {
        return None;
    }
    let cause = format!(
        "{} of {} are in use; when it is full, new exports stay in their folders.",
        phrase::bytes(facts.used_bytes),
        phrase::bytes(facts.bytes_max)
    );
    let next = "Bring the connection back, or raise the limit in the settings.";
    let title = format!("The local store is {percent} % full.");
    Some(Headline::new(Level::NeedsYou, title, Owner::SiteIt).because("Q003", cause, next).at_risk())
}

fn folder_trouble(feed: &FeedView) -> Option<Headline> {
    let trouble = feed.trouble.as_ref()?;
    let title = format!("Folder {} needs a fix. The rest keeps flowing.", feed.name);
    let next = format!("Check the folder {} and its permissions.", feed.folder.display());
    let one = Headline::new(Level::NeedsYou, title, Owner::SiteIt)
        .because(&trouble.code, trouble.text.as_str(), next)
        .since(Some(trouble.since));
    Some(Headline { subject: Some(feed.name.clone()), ..one.at_risk() })
}

fn quiet(feed: &FeedView, facts: &Facts) -> Option<Headline> {
    let silent_since = feed.silent_since?;
    let last = feed.last_seen_at.unwrap_or(silent_since);
    let normal = feed.expect_every_secs.map(phrase::span).unwrap_or_default();
    let silence = phrase::span(phrase::secs_between(last, facts.now));
    let title = format!("No exports from the WMS for {silence} (normally every {normal}).");
    let cause = format!("Nothing new in {} since {}.", feed.folder.display(), {
        phrase::clock(last, facts.now, &facts.site.zone)
    });
    let next = "Check in the WMS that the export job runs and writes into this folder.";
    let one = Headline::new(Level::Quiet, title, Owner::WmsOperator).because("F040", cause, next).since(Some(last));
    Some(Headline { subject: Some(feed.name.clone()), ..one })
}

fn files(facts: &Facts) -> Option<Headline> {
    let store = facts.store.as_ref().ok().filter(|store| store.files_total > 0)?;
    let needs = if store.files_total == 1 { "file needs" } else { "files need" };
    let title = format!("{} {needs} a fix. The rest keeps flowing.", phrase::count(store.files_total));
    let since = store.files.first().and_then(|file| Timestamp::from_millisecond(file.row.found_ms).ok());
    let (owner, code, cause) = store.files.first().map_or_else(
        || (Owner::Integration, "F012".to_owned(), String::new()),
        |file| (owner_of(file), code_of(file), cause_of(file)),
    );
    let next = "Correct it in the WMS and export again, or correct the file and press Check again.";
    Some(Headline::new(Level::NeedsYou, title, owner).because(&code, cause, next).since(since))
}

/// Whose move a file is: that of its first bad line.
pub(super) fn owner_of(file: &FileFacts) -> Owner {
    file.held.first().map_or(Owner::Integration, |line| Owner::of_held(&line.owner))
}

/// Code of a file's first bad line.
pub(super) fn code_of(file: &FileFacts) -> String {
    file.held.first().map_or_else(|| "F012".to_owned(), |line| line.code.clone())
}

/// Why a file waits, in one sentence.
pub(super) fn cause_of(file: &FileFacts) -> String {
    let Some(line) = file.held.first() else { return format!("{} was not taken.", file.row.name) };
    let place = match (line.line_no, line.column) {
        (0, _) => "the whole file".to_owned(),
        (no, 0) => format!("line {no}"),
        (no, column) => format!("line {no}, column {column}"),
    };
    let field = if line.field.is_empty() { String::new() } else { format!(" \"{}\"", line.field) };
    format!("{}: {place}{field}: found \"{}\", expected {}", file.row.name, line.found, line.expected)
}

fn catching_up(facts: &Facts) -> Option<Headline> {
    let store = facts.store.as_ref().ok()?;
    let waiting = facts.waiting();
    let is_old = store.oldest_at.is_some_and(|at| phrase::secs_between(at, facts.now) >= FLOW_SECS);
    if waiting == 0 || !is_old {
        return None;
    }
    let title = match eta_secs(facts) {
        Some(secs) => format!("Catching up. {} to send, about {}.", events(waiting), phrase::span(secs.max(1))),
        None => format!("Catching up. {} to send.", events(waiting)),
    };
    let one = Headline::new(Level::CatchingUp, title, Owner::Nobody).since(store.oldest_at);
    let out_of_room = facts.link.as_ref().is_some_and(|link| link.condition == Condition::NoCredit);
    Some(if out_of_room {
        let one = Headline { whose_action: Owner::Integration, ..one };
        let cause = "Head office takes no events for now: it is out of room or asks for a pause.";
        one.because("N005", cause, "Check disk space and load at head office.")
    } else {
        one
    })
}

/// Time until nothing waits; `None` where it would never be so at this pace.
pub(super) fn eta_secs(facts: &Facts) -> Option<u64> {
    let rates = facts.rates?;
    let net = rates.drain_per_sec - rates.inflow_per_sec;
    if net <= 0.01 || facts.waiting() == 0 {
        return None;
    }
    let secs = facts.waiting() as f64 / net;
    (secs < 1e9).then_some(secs.ceil() as u64)
}

fn events(n: u64) -> String {
    phrase::counted(n, "event", "events")
}

fn working(facts: &Facts) -> Headline {
    let title = facts.last_event_at().map_or_else(
        || "Working. No event yet.".to_owned(),
        |at| format!("Working. Last event {} ago.", phrase::span(phrase::secs_between(at, facts.now))),
    );
    Headline::new(Level::Ok, title, Owner::Nobody).since(facts.started_at)
}

#[cfg(test)]
#[path = "headline_tests.rs"]
mod tests;

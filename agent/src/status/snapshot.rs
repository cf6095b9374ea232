//! What page, `/status.json` and the `status` command show: a pure view of the facts.
//!
//! Format of `/status.json`: this struct, `version` [`SCHEMA`]. Fields are added, never renamed; a reader ignores what it
//! does not know. Times are RFC 3339 in UTC, durations end in `_secs`.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    facts::{Facts, FeedView, FileFacts, StoreFacts},
    headline::{self, CERTIFICATE_DAYS, CLOCK_MS, Headline, Level, Owner},
    phrase,
};
use crate::queue::{FileRow, HistoryRow, capture::HeldLine};

/// Version of the JSON.
pub const SCHEMA: u32 = 1;
/// Time after which an event should be in the ERP.
const ERP_WITHIN_SECS: u64 = 15 * 60;

/// The whole view.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// [`SCHEMA`].
    pub version: u32,
    /// When the facts were read.
    pub generated_at: Timestamp,
    /// Site.
    pub site: SiteView,
    /// Version of the agent.
    pub agent_version: &'static str,
    /// Whether the agent runs.
    pub is_running: bool,
    /// The first line.
    pub headline: Headline,
    /// What else holds, worst first.
    pub others: Vec<Headline>,
    /// Whether anything is lost, in a sentence.
    pub safety: String,
    /// The five steps of an event.
    pub strip: Vec<Step>,
    /// What waits.
    pub waiting: Waiting,
    /// The connection.
    pub link: Option<LinkView>,
    /// Files that need a person, the oldest first.
    pub files: Vec<FileView>,
    /// How many there are.
    pub files_total: u64,
    /// Files that brought events lately, newest first.
    pub recent: Vec<RecentFile>,
    /// Folders.
    pub feeds: Vec<FeedView>,
    /// What happened lately, newest first.
    pub history: Vec<HistoryRow>,
    /// Days left of the certificate.
    pub certificate_days: Option<i64>,
    /// This clock less that of head office, milliseconds.
    pub clock_ahead_ms: Option<i64>,
    /// Whether new files may be stored.
    pub has_room: bool,
    /// Whether the store can be read.
    pub is_store_readable: bool,
    /// Counters since start.
    pub since_start: Totals,
    /// How far the stream is.
    pub stream: Stream,
    /// Whether new settings were refused, and earlier ones run.
    pub is_settings_refused: bool,
}

/// How far the stream of this site's epoch is, in numbers of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stream {
    /// Last one stored here.
    pub head: u64,
    /// Last one that head office holds.
    pub marked: u64,
    /// Last one that the ERP has.
    pub applied: u64,
}

/// The site, as shown.
#[derive(Debug, Clone, Serialize)]
pub struct SiteView {
    /// Code.
    pub id: String,
    /// Name.
    pub name: String,
    /// IANA zone.
    pub time_zone: String,
    /// Whom to call.
    pub contact: String,
    /// The zone itself.
    #[serde(skip)]
    pub zone: jiff::tz::TimeZone,
}

/// One step of the strip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `seen`, `stored`, `sent`, `accepted` or `in_erp`.
    pub name: &'static str,
    /// When it moved last.
    pub at: Option<Timestamp>,
    /// Events of today; for `seen`: files that wait.
    pub count: Option<u64>,
    /// Events that are through the step before and not through this one.
    pub behind: u64,
    /// Whether that lasts too long.
    pub is_late: bool,
}

/// What waits to be sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Waiting {
    /// Events.
    pub events: u64,
    /// When the oldest was stored.
    pub oldest_at: Option<Timestamp>,
    /// Its age.
    pub oldest_age_secs: Option<u64>,
    /// Bytes in use, what is kept after sending included.
    pub used_bytes: u64,
    /// Bytes that may be used.
    pub limit_bytes: u64,
    /// Events a second that head office takes.
    pub drain_per_sec: Option<f64>,
    /// Time until nothing waits; absent where that is not in sight.
    pub eta_secs: Option<u64>,
}

/// The connection, as shown.
#[derive(Debug, Clone, Serialize)]
pub struct LinkView {
    /// Whether events can flow.
    pub is_up: bool,
    /// Since when.
    pub since: Timestamp,
    /// Where to.
    pub address: String,
    /// Failed tries in a row.
    pub tries: u32,
    /// Connections since start.
    pub connects: u64,
    /// When the agent tries again.
    pub next_try: Option<Timestamp>,
    /// The last error, in full.
    pub last_error: Option<String>,
    /// When it came.
    pub last_error_at: Option<Timestamp>,
    /// Time from sending a batch to its acceptance.
    pub accept_ms: u64,
}

/// A file that brought events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecentFile {
    /// Number.
    pub id: i64,
    /// Name.
    pub name: String,
    /// Feed.
    pub feed: String,
    /// When it was stored.
    pub at: Option<Timestamp>,
    /// Events that it brought.
    pub events: u64,
    /// Whether all of them are in the ERP, or wait for a person there.
    pub is_through: bool,
}

/// A file.
#[derive(Debug, Clone, Serialize)]
pub struct FileView {
    /// Number.
    pub id: i64,
    /// Name.
    pub name: String,
    /// Feed.
    pub feed: String,
    /// Where it lies.
    pub path: String,
    /// `captured`, `refused` or another word of the store.
    pub state: &'static str,
    /// When it was found.
    pub found_at: Option<Timestamp>,
    /// Data lines.
    pub lines: i64,
    /// Events taken, those known before included.
    pub good: i64,
    /// Events known before: they came with another file.
    pub duplicate: i64,
    /// Lines held.
    pub held: i64,
    /// Whether it needs a person here.
    pub needs_person: bool,
    /// Name under which the same bytes came before.
    pub earlier: Option<String>,
    /// Code of its first bad line.
    pub code: String,
    /// Why it waits.
    pub cause: String,
    /// Whose move it is.
    pub whose_action: Owner,
    /// Its first bad lines.
    pub first: Vec<HeldLine>,
}

/// Counters since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Files stored.
    pub files: u64,
    /// Events stored.
    pub events: u64,
    /// Events known before.
    pub duplicates: u64,
    /// Lines held.
    pub held: u64,
}

/// The view of these facts.
pub fn snapshot(facts: &Facts) -> Snapshot {
    let mut all = headline::standing(facts);
    let headline = all.remove(0);
    let empty = StoreFacts::default();
    let store = facts.store.as_ref().unwrap_or(&empty);
    Snapshot {
        version: SCHEMA,
        generated_at: facts.now,
        site: site(facts),
        agent_version: env!("CARGO_PKG_VERSION"),
        is_running: facts.started_at.is_some(),
        safety: safety(&headline, facts),
        headline,
        others: all,
        strip: strip(facts, store),
        waiting: waiting(facts, store),
        link: facts.link.as_ref().map(link),
        files: store.files.iter().map(file).collect(),
        files_total: store.files_total,
        recent: store.recent.iter().map(|row| recent(row, store.applied)).collect(),
        feeds: facts.feeds.clone(),
        history: store.history.clone(),
        certificate_days: facts.link.as_ref().and_then(|link| link.certificate_days),
        clock_ahead_ms: facts.link.as_ref().and_then(|link| link.clock_offset_ms).map(|ms| -ms),
        has_room: facts.has_room,
        is_store_readable: facts.store.is_ok(),
        since_start: Totals {
            files: facts.counts.files,
            events: facts.counts.captured,
            duplicates: facts.counts.duplicates,
            held: facts.counts.held,
        },
        stream: Stream { head: store.head, marked: store.marked, applied: store.applied },
        is_settings_refused: facts.settings.refused_at.is_some(),
    }
}

impl Snapshot {
    /// Days left of the certificate, where that matters.
    pub fn certificate_warning(&self) -> Option<i64> {
        self.certificate_days.filter(|days| *days < CERTIFICATE_DAYS)
    }

    /// Difference of the clocks, where that matters.
    pub fn clock_warning(&self) -> Option<i64> {
        self.clock_ahead_ms.filter(|ms| ms.abs() >= CLOCK_MS)
    }

    /// How many states need a person.
    pub fn needs(&self) -> u64 {
        let others = self.others.iter().chain([&self.headline]);
        let one = |h: &Headline| match (h.level, h.subject.is_some()) {
            (Level::Stopped | Level::Quiet, _) | (Level::NeedsYou, true) => 1,
            (Level::NeedsYou, false) if h.code.as_deref().is_some_and(|code| self.is_file_code(code)) => {
                self.files_total
            }
            (Level::NeedsYou, false) => 1,
            (Level::Ok | Level::CatchingUp | Level::Offline, _) => 0,
        };
        others.map(one).sum()
    }

    fn is_file_code(&self, code: &str) -> bool {
        self.files.first().is_some_and(|file| file.code == code)
    }
}

fn site(facts: &Facts) -> SiteView {
    SiteView {
        id: facts.site.id.clone(),
        name: facts.site.name.clone(),
        time_zone: facts.site.zone_name.clone(),
        contact: facts.site.contact.clone(),
        zone: facts.site.zone.clone(),
    }
}

/// Whether anything is lost: always answered.
fn safety(headline: &Headline, facts: &Facts) -> String {
    let waiting = facts.waiting();
    match headline.level {
        Level::Stopped => "New exports stay in their folders. Leave them there; nothing stored is lost.".to_owned(),
        _ if facts.store.is_err() => "The store cannot be read now.".to_owned(),
        _ if waiting == 0 => "Nothing is lost, nothing waits.".to_owned(),
        _ => {
            let stored = if waiting == 1 { "event is" } else { "events are" };
            format!("Nothing is lost: {} {stored} stored on this server.", phrase::count(waiting))
        }
    }
}

fn strip(facts: &Facts, store: &StoreFacts) -> Vec<Step> {
    let seen_at = facts.feeds.iter().filter_map(|feed| feed.last_seen_at).max();
    let waiting_files = facts.feeds.iter().map(|feed| feed.waiting).sum();
    let moved = facts.link.as_ref().map(|link| link.moved).unwrap_or_default();
    let sent = facts.link.as_ref().map_or(store.marked, |link| link.sent.max(store.marked));
    let before = store.before_today;
    let today = move |through: u64| before.map_or(Some(0), |before| Some(through.saturating_sub(before)));
    let is_old = |at: Option<Timestamp>, secs| at.is_some_and(|at| phrase::secs_between(at, facts.now) >= secs);
    let late_to_send = is_old(store.oldest_at, 60);
    // Before the first word of the ERP's side there is nothing to be late against.
    let in_erp = store.marked.saturating_sub(store.applied);
    let late_to_erp = in_erp > 0 && is_old(moved.applied, ERP_WITHIN_SECS);
    let step = |name, at, count, behind, is_late| Step { name, at, count, behind, is_late };
    vec![
        step("seen", seen_at, Some(waiting_files), 0, false),
        step("stored", facts.last_event_at(), today(store.head), 0, false),
        step("sent", moved.sent, today(sent), store.head.saturating_sub(sent), late_to_send && sent < store.head),
        step("accepted", moved.marked, today(store.marked), sent.saturating_sub(store.marked), late_to_send),
        step("in_erp", moved.applied, today(store.applied), in_erp, late_to_erp),
    ]
}

fn waiting(facts: &Facts, store: &StoreFacts) -> Waiting {
    let oldest_at = store.oldest_at.filter(|_| facts.waiting() > 0);
    Waiting {
        events: facts.waiting(),
        oldest_at,
        oldest_age_secs: oldest_at.map(|at| phrase::secs_between(at, facts.now)),
        used_bytes: facts.used_bytes,
        limit_bytes: facts.bytes_max,
        drain_per_sec: facts.rates.map(|rates| rates.drain_per_sec),
        eta_secs: headline::eta_secs(facts),
    }
}

fn link(link: &crate::uplink::UplinkFacts) -> LinkView {
    use docksync_proto::link::Condition;
    LinkView {
        is_up: matches!(link.condition, Condition::Flowing | Condition::NoCredit),
        since: link.since,
        address: link.address.clone(),
        tries: link.tries,
        connects: link.connects,
        next_try: link.next_try,
        last_error: link.last_error.clone(),
        last_error_at: link.last_error_at,
        accept_ms: link.mark_ms,
    }
}

fn recent(row: &FileRow, applied: u64) -> RecentFile {
    let last = row.last_seq.and_then(|seq| u64::try_from(seq).ok());
    RecentFile {
        id: row.id.0,
        name: row.name.clone(),
        feed: row.feed.clone(),
        at: row.ended_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        events: u64::try_from(row.accepted + row.revised).unwrap_or(0),
        is_through: last.is_some_and(|last| last <= applied),
    }
}

/// A file as the list shows it.
pub(super) fn file(file: &FileFacts) -> FileView {
    let row = &file.row;
    let good = row.taken.unwrap_or(row.accepted + row.duplicate);
    let held = if row.taken.is_some() { row.lines - good } else { row.held };
    FileView {
        id: row.id.0,
        name: row.name.clone(),
        feed: row.feed.clone(),
        path: row.path.clone(),
        state: row.state,
        found_at: Timestamp::from_millisecond(row.found_ms).ok(),
        lines: row.lines,
        good,
        duplicate: row.duplicate,
        held,
        needs_person: (row.state == "refused" || held > 0) && row.resolved_ms.is_none(),
        earlier: row.earlier.clone(),
        code: headline::code_of(file),
        cause: headline::cause_of(file),
        whose_action: headline::owner_of(file),
        first: file.held.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::samples;

    #[test]
    fn only_the_last_step_is_late_when_the_erp_stands() {
        let mut facts = samples::working();
        facts.link.as_mut().unwrap().moved.applied = Some(samples::ago(20));

        let late: Vec<_> = snapshot(&facts).strip.into_iter().filter(|s| s.is_late).map(|s| s.name).collect();

        assert_eq!(late, ["in_erp"]);
        assert_eq!(snapshot(&facts).headline.level, Level::Ok);
    }

    #[test]
    fn certificate_and_clock_are_shown_only_when_they_matter() {
        let mut facts = samples::working();
        let at = |facts: &Facts| (snapshot(facts).certificate_warning(), snapshot(facts).clock_warning());
        assert_eq!(at(&facts), (None, None));

        facts.link.as_mut().unwrap().certificate_days = Some(20);
        facts.link.as_mut().unwrap().clock_offset_ms = Some(5_000);

        assert_eq!(at(&facts), (Some(20), Some(-5_000)));
    }

    #[test]
    fn a_fixed_cause_leaves_the_page_with_the_next_snapshot() {
        let mut facts = samples::needs_you();
        assert_eq!(snapshot(&facts).needs(), 1);

        facts.store.as_mut().unwrap().files_total = 0;
        facts.store.as_mut().unwrap().files.clear();

        let after = snapshot(&facts);
        assert_eq!((after.needs(), after.headline.level, after.files.len()), (0, Level::Ok, 0));
    }

    #[test]
    fn counts_of_today_start_at_midnight_of_the_site() {
        let counts: Vec<_> = snapshot(&samples::working()).strip.into_iter().map(|s| s.count).collect();

        assert_eq!(counts, [Some(0), Some(8_412), Some(8_412), Some(8_412), Some(8_390)]);
    }

    #[test]
    fn whether_anything_is_lost_is_always_answered() {
        for (name, facts) in samples::states() {
            assert!(snapshot(&facts).safety.contains("lost"), "{name}");
        }
    }
}

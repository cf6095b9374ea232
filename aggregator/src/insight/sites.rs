//! One line per site, worst first. Pure.

use std::collections::BTreeMap;

use docksync_proto::site::SiteId;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::parked::Waiting;
use crate::{backups::Standing, ledger::SiteFacts, pki::SiteEntry, receive::view::SiteView};

/// Version of `/sites.json`: fields are added, never renamed.
pub const SCHEMA: u32 = 1;
/// A lost connection that lasts longer is a matter for site IT.
const NOBODY_FOR: SignedDuration = SignedDuration::from_mins(30);
/// Events on their way for less than this are normal flow.
const FLOW_MS: u64 = 60_000;
/// Difference of clocks that matters.
const CLOCK_MS: i64 = 60_000;
/// Days before its end at which a certificate is spoken of: it renews itself earlier.
const CERTIFICATE_DAYS: i64 = 7;

/// State of a site, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It has no room for new events.
    Stopped,
    /// A machine of it waits for approval, or its stream is set aside.
    Held,
    /// No connection.
    Offline,
    /// Something of it waits for a person.
    NeedsYou,
    /// More waits than usual, and flows.
    CatchingUp,
    /// Never heard of.
    New,
    /// All flows.
    Ok,
}

impl Level {
    /// All, worst first.
    pub const ALL: [Self; 7] =
        [Self::Stopped, Self::Held, Self::Offline, Self::NeedsYou, Self::CatchingUp, Self::New, Self::Ok];

    /// The word beside the shape.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Held => "waits for approval",
            Self::Offline => "offline",
            Self::NeedsYou => "needs a person",
            Self::CatchingUp => "catching up",
            Self::New => "never connected",
            Self::Ok => "working",
        }
    }
}

/// A site as the overview shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteLine {
    /// Code.
    pub site: SiteId,
    /// Name.
    pub name: String,
    /// State.
    pub level: Level,
    /// Since when it is connected, or not.
    pub since: Option<Timestamp>,
    /// When its last event was stored.
    pub last_event_at: Option<Timestamp>,
    /// When it was last heard of.
    pub heard_at: Option<Timestamp>,
    /// Events that it holds and the ledger does not, by its last word.
    pub waiting: u64,
    /// Age of the oldest, by its last word.
    pub oldest_secs: u64,
    /// Files in its folders, by its last word.
    pub files_waiting: u32,
    /// Events and deliveries of it that wait for a person.
    pub parked: u64,
    /// Version of its agent.
    pub version: String,
    /// Its clock less ours, where that matters.
    pub clock_ahead_ms: Option<i64>,
    /// Days left of its certificate; absent before enrolment.
    pub certificate_days: Option<i64>,
    /// Whose move it is.
    pub whose_action: &'static str,
    /// What the move is; empty where there is none.
    pub next_step: String,
    /// Machines that wait for approval and reasons for which its stream is set aside, in words.
    pub held: Vec<String>,
    /// Counters for the figures.
    #[serde(skip)]
    pub totals: Totals,
}

/// Counters of a site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events in the ledger.
    pub events: u64,
    /// Events that came again.
    pub duplicates: u64,
    /// Events of its present stream that no backup holds; 0 where none was ever made.
    pub unsaved: u64,
    /// End of its certificate.
    pub certificate_until: Option<Timestamp>,
    /// Whether it is connected.
    pub is_online: bool,
}

/// The overview.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// [`SCHEMA`].
    pub version: u32,
    /// When it was made.
    pub generated_at: Timestamp,
    /// Whether the ledger was restored and waits for sites to send again what it lacks.
    pub is_recovering: bool,
    /// Sites, worst first.
    pub sites: Vec<SiteLine>,
    /// How the daily backups stand.
    pub backup: Standing,
    /// Bytes that are free beside the ledger.
    pub room_bytes: Option<u64>,
}

/// What the overview is made from.
#[derive(Debug)]
pub struct Sources {
    /// Now.
    pub now: Timestamp,
    /// Register; revoked sites are left out.
    pub register: Vec<SiteEntry>,
    /// Links.
    pub views: BTreeMap<SiteId, SiteView>,
    /// Counters of the ledger.
    pub facts: Vec<SiteFacts>,
    /// What waits for a person.
    pub waiting: Vec<Waiting>,
    /// Whether the ledger is recovering.
    pub is_recovering: bool,
    /// How the daily backups stand.
    pub backup: Standing,
    /// Bytes that are free beside the ledger.
    pub room_bytes: Option<u64>,
}

/// The overview of these sources.
pub fn overview(from: &Sources) -> Overview {
    let mut sites: Vec<SiteLine> =
        from.register.iter().filter(|entry| entry.revoked_at.is_none()).map(|entry| line(entry, from)).collect();
    sites.sort_by(|a, b| (a.level, &a.site).cmp(&(b.level, &b.site)));
    Overview {
        version: SCHEMA,
        generated_at: from.now,
        is_recovering: from.is_recovering,
        sites,
        backup: from.backup.clone(),
        room_bytes: from.room_bytes,
    }
}

fn line(entry: &SiteEntry, from: &Sources) -> SiteLine {
    let never = SiteView::default();
    let view = from.views.get(&entry.site).unwrap_or(&never);
    let facts = from.facts.iter().find(|facts| facts.site == entry.site);
    let parked = from.waiting.iter().filter(|row| row.site == entry.site).count() as u64;
    let level = level(view, facts.is_some(), parked);
    let certificate_days =
        entry.certificate_until.map(|until| until.duration_since(from.now).as_hours().div_euclid(24));
    let (whose_action, next_step) = next(level, view, &entry.site, certificate_days, from.now);
    let stored_at = facts.filter(|f| f.last_received_ms > 0).map(|f| f.last_received_ms);
    SiteLine {
        site: entry.site.clone(),
        name: entry.name.clone(),
        level,
        since: view.since,
        last_event_at: view.batch_at.max(stored_at.and_then(|ms| Timestamp::from_millisecond(ms).ok())),
        heard_at: view.heard_at,
        waiting: view.head.saturating_sub(view.marked),
        oldest_secs: view.oldest_age_ms / 1000,
        files_waiting: view.files_waiting,
        parked,
        version: view.version.clone(),
        clock_ahead_ms: view.clock_offset_ms.filter(|ms| ms.abs() >= CLOCK_MS),
        certificate_days,
        whose_action,
        next_step,
        held: view.held.clone(),
        totals: Totals {
            events: facts.map_or(0, |f| f.events),
            duplicates: facts.map_or(0, |f| f.duplicate),
            is_online: view.online,
            unsaved: facts
                .filter(|f| f.backed_up_epoch == view.epoch)
                .map_or(0, |f| view.marked.saturating_sub(f.backed_up)),
            certificate_until: entry.certificate_until,
        },
    }
}

fn level(view: &SiteView, is_known: bool, parked: u64) -> Level {
    if !view.held.is_empty() {
        return Level::Held;
    }
    if view.heard_at.is_none() && view.since.is_none() && !is_known {
        return Level::New;
    }
    match view.online {
        false => Level::Offline,
        true if view.disk_used_bytes > 0 && view.disk_free_bytes == 0 => Level::Stopped,
        true if parked > 0 => Level::NeedsYou,
        true if view.head > view.marked && view.oldest_age_ms >= FLOW_MS => Level::CatchingUp,
        true => Level::Ok,
    }
}

fn next(
    level: Level,
    view: &SiteView,
    site: &SiteId,
    certificate_days: Option<i64>,
    now: Timestamp,
) -> (&'static str, String) {
    let is_short = view.since.is_some_and(|since| now.duration_since(since) < NOBODY_FOR);
    match level {
        Level::Stopped => ("site IT", "Free disk space on the site's server.".to_owned()),
        Level::Held => {
            ("integration team", "Ask the site which machine is the right one; the command stands below.".to_owned())
        }
        Level::Offline if certificate_days.is_some_and(|days| days < 0) => {
            ("integration team", format!("Its certificate has expired: docksync-aggregator sites token {site}"))
        }
        Level::Offline if is_short => ("nobody yet", String::new()),
        Level::Offline => ("site IT", "Check the site's line and server.".to_owned()),
        Level::NeedsYou => ("integration team", "See what waits: docksync-aggregator parked list".to_owned()),
        Level::New if certificate_days.is_none() => {
            ("site IT", format!("Enrol its server with a token: docksync-aggregator sites token {site}"))
        }
        Level::New => ("site IT", "Start docksync-agent on its server.".to_owned()),
        Level::CatchingUp | Level::Ok => match (certificate_days, view.clock_offset_ms) {
            (Some(days), _) if days < CERTIFICATE_DAYS => ("site IT", format!("Its certificate ends in {days} days.")),
            (_, Some(ms)) if ms.abs() >= CLOCK_MS => ("site IT", "Turn on time synchronisation there.".to_owned()),
            _ => ("-", String::new()),
        },
    }
}

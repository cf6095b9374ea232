//! What the room is told: plain facts, no decision.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use crate::{
    config::Config,
    queue::{FileRow, HistoryRow, capture::HeldLine},
    reload::Standing,
    uplink::UplinkFacts,
};

/// Who and where this site is.
#[derive(Debug, Clone)]
pub struct SiteCard {
    /// Code.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Zone of local times.
    pub zone: TimeZone,
    /// Its IANA name.
    pub zone_name: String,
    /// Whom to call, in the words of the settings; may be empty.
    pub contact: String,
}

impl SiteCard {
    /// The card that the settings give.
    pub fn of(config: &Config) -> Self {
        Self {
            id: config.site.id.to_string(),
            name: config.site.name.clone(),
            zone: config.site.time_zone.clone(),
            zone_name: config.site.time_zone_name.clone(),
            contact: config.status.contact.clone(),
        }
    }
}

/// How a folder is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// The system tells of each change.
    Notified,
    /// By timer alone.
    Polled,
}

/// What is wrong with a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeedTrouble {
    /// Stable code.
    pub code: String,
    /// In words.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
}

/// One watched folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeedView {
    /// Name.
    pub name: String,
    /// Folder.
    pub folder: PathBuf,
    /// Files that wait to be taken.
    pub waiting: u64,
    /// When the newest file was first seen.
    pub last_seen_at: Option<Timestamp>,
    /// When the last file was stored.
    pub last_captured_at: Option<Timestamp>,
    /// Files stored since start.
    pub captured: u64,
    /// Lines held since start.
    pub held: u64,
    /// What is wrong.
    pub trouble: Option<FeedTrouble>,
    /// Longest silence that is normal, in seconds.
    pub expect_every_secs: Option<u64>,
    /// Whether that was learned and not declared.
    pub is_learned: bool,
    /// Since when the source is silent beyond that.
    pub silent_since: Option<Timestamp>,
    /// How the folder is watched.
    pub watching: Watch,
}

/// A file that needs a person, with its first bad lines.
#[derive(Debug, Clone)]
pub struct FileFacts {
    /// The file.
    pub row: FileRow,
    /// First bad lines, or the reasons of a refused file.
    pub held: Vec<HeldLine>,
}

/// What is stored on this server.
#[derive(Debug, Clone, Default)]
pub struct StoreFacts {
    /// Last event stored.
    pub head: u64,
    /// Last event that head office holds.
    pub marked: u64,
    /// Last event through which all is in the ERP or set aside there.
    pub applied: u64,
    /// Last event of yesterday; unknown where nothing was stored today.
    pub before_today: Option<u64>,
    /// When the oldest event that waits was stored.
    pub oldest_at: Option<Timestamp>,
    /// When the last file was dealt with.
    pub last_file_at: Option<Timestamp>,
    /// Files that need a person.
    pub files_total: u64,
    /// The oldest of these.
    pub files: Vec<FileFacts>,
    /// Files that brought events lately, newest first.
    pub recent: Vec<FileRow>,
    /// What happened lately, newest first.
    pub history: Vec<HistoryRow>,
}

/// How fast events come and go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Events that head office takes, a second.
    pub drain_per_sec: f64,
    /// Events that are stored, a second.
    pub inflow_per_sec: f64,
}

/// Counters of the running agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CountFacts {
    /// Events stored since start.
    pub captured: u64,
    /// Events known before, since start.
    pub duplicates: u64,
    /// Files stored since start.
    pub files: u64,
    /// Lines held since start.
    pub held: u64,
    /// Time of the last capture since start.
    pub captured_at: Option<Timestamp>,
}

/// All of it at one moment.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The site.
    pub site: SiteCard,
    /// How the settings stand.
    pub settings: Standing,
    /// Now.
    pub now: Timestamp,
    /// When the agent started; `None` where it does not run.
    pub started_at: Option<Timestamp>,
    /// The store, or why it cannot be read.
    pub store: Result<StoreFacts, String>,
    /// Counters.
    pub counts: CountFacts,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Bytes that may be used.
    pub bytes_max: u64,
    /// Whether new files may be stored.
    pub has_room: bool,
    /// The connection; `None` where the agent does not run.
    pub link: Option<UplinkFacts>,
    /// Folders.
    pub feeds: Vec<FeedView>,
    /// Speeds, once known.
    pub rates: Option<Rates>,
    /// Since when each state holds that held before a restart, by [`super::headline::Headline::key`].
    pub remembered: BTreeMap<String, Timestamp>,
}

impl Facts {
    /// Events that head office does not hold yet.
    pub fn waiting(&self) -> u64 {
        self.store.as_ref().map_or(0, |store| store.head.saturating_sub(store.marked))
    }

    /// When the last event was stored.
    pub fn last_event_at(&self) -> Option<Timestamp> {
        let stored = self.store.as_ref().ok().and_then(|store| store.last_file_at);
        self.counts.captured_at.max(stored)
    }
}

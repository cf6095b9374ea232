//! What pages and commands may know of the sites' links.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use docksync_proto::{frame::DayTotal, site::SiteId};
use jiff::Timestamp;
use serde::Serialize;

/// How one site's link stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SiteView {
    /// Whether it is connected.
    pub online: bool,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Last frame of it.
    pub heard_at: Option<Timestamp>,
    /// Last batch of it.
    pub batch_at: Option<Timestamp>,
    /// Open epoch.
    pub epoch: u32,
    /// Last event that the site has stored, by its last word.
    pub head: u64,
    /// Last event that the ledger holds.
    pub marked: u64,
    /// Age of its oldest waiting event at the last heartbeat, milliseconds.
    pub oldest_age_ms: u64,
    /// Files waiting in its folders at the last heartbeat.
    pub files_waiting: u32,
    /// Bytes of its queue.
    pub disk_used_bytes: u64,
    /// Bytes that its queue may still take.
    pub disk_free_bytes: u64,
    /// Its clock less ours, milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// Version of its agent.
    pub version: String,
    /// Host that was granted last.
    pub host: String,
    /// Why its stream is set aside, or a machine of it waits for a person.
    pub held: Vec<String>,
    /// Frames refused since start.
    pub refused: u64,
    /// Its own counts of the last days, at the last heartbeat.
    #[serde(skip)]
    pub totals: Vec<DayTotal>,
    /// Last event that they count, and the site's clock then, milliseconds since 1970.
    #[serde(skip)]
    pub totals_at: (u64, i64),
    /// Events stored since start.
    pub events: u64,
    /// Of these: held already.
    pub duplicates: u64,
}

/// All sites; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Views(Arc<Mutex<BTreeMap<SiteId, SiteView>>>);

impl Views {
    /// Changes a site's view.
    pub fn change(&self, site: &SiteId, change: impl FnOnce(&mut SiteView)) {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(sites.entry(site.clone()).or_default());
    }

    /// Open epoch of a site; 0 before the first.
    pub fn epoch(&self, site: &SiteId) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(site).map_or(0, |view| view.epoch)
    }

    /// A copy of all.
    pub fn all(&self) -> BTreeMap<SiteId, SiteView> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

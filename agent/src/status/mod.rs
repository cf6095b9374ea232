//! The local page: whether this site works, since when not, whose move it is.
//!
//! Takes facts of the other rooms (queue, uplink, intake), gives a page, JSON, figures and the text of the `status` command.
//! One pure path: facts -> [`mod@headline`] -> [`mod@snapshot`] -> [`page`], [`text`], [`metrics`]; [`gather`] reads, `web` answers.
//!
//! Invariants: the view is made twice a second beside the requests, so that a page costs no database read; reading needs no
//! sign-in and is open on loopback only; actions need the token of the page and come from this machine; what a person asks
//! goes through one bounded channel; since when a state holds outlives a restart.
//!
//! It does not: change files or the queue, save for the beginnings of states and the history; serve the network (a
//! listener beyond loopback is refused).

pub mod events;
pub mod facts;
pub mod file_page;
mod gather;
pub mod headline;
mod line_states;
pub mod metrics;
mod pace;
pub mod page;
mod phrase;
#[cfg(test)]
mod samples;
mod shape;
pub mod snapshot;
pub mod text;
mod web;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{net::TcpListener, sync::mpsc, sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use gather::offline_snapshot;

use self::{
    facts::{Facts, FeedView, SiteCard},
    headline::Level,
    pace::Pace,
    snapshot::{Snapshot, snapshot},
};
use crate::{
    queue::{
        Content, Queue, Reader,
        capture::{CaptureStore as _, FileId},
    },
    reload::Standing,
    uplink::{UplinkFacts, fates::Fates},
};

/// How often the view is made anew.
const REFRESH: Duration = Duration::from_millis(500);
/// After a start, states of before may take this long to show again.
const SETTLE_SECS: u64 = 60;
/// Shorter troubles leave no line in the history.
const NOTED_SECS: u64 = 60;
/// Requests that are under way when the agent stops get this long.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// What a person asks for on the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusAction {
    /// Take a file again.
    Retry {
        /// The file.
        file: FileId,
    },
    /// The file needs nobody any more.
    SetAside {
        /// The file.
        file: FileId,
        /// Why.
        reason: String,
    },
    /// Try the connection now.
    TryNow,
}

/// Why the page is not served.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Reading needs no sign-in, so the page stays on this machine.
    #[error("the page listens on {listen}, which other machines reach; listen on 127.0.0.1")]
    OpenToNetwork {
        /// Address of the listener.
        listen: SocketAddr,
    },
    /// The listener failed.
    #[error("cannot serve the page")]
    Serve {
        /// The system's word.
        source: std::io::Error,
    },
    /// The thread that reads the database ended in a panic.
    #[error("the reader of the page ended")]
    Reader,
}

/// The room. All fields are handed in by `run.rs`.
pub struct StatusRoom {
    /// Bound listener, on loopback.
    pub listener: TcpListener,
    /// More names under which the page may be asked for.
    pub hosts: Vec<String>,
    /// The site, now.
    pub site: Arc<dyn Fn() -> SiteCard + Send + Sync>,
    /// When the certificate ends, now.
    pub certificate: Arc<dyn Fn() -> Option<Timestamp> + Send + Sync>,
    /// How the settings stand, now.
    pub settings: Arc<dyn Fn() -> Standing + Send + Sync>,
    /// The queue.
    pub queue: Queue,
    /// Facts of the uplink.
    pub uplink: watch::Receiver<UplinkFacts>,
    /// What head office says of events, and what it is to be asked.
    pub fates: Fates,
    /// Facts of the folders, now.
    pub feeds: Arc<dyn Fn() -> Vec<FeedView> + Send + Sync>,
    /// Where requests of people go.
    pub actions: mpsc::Sender<StatusAction>,
    /// Hears each new view: for systemd's status line and heartbeats.
    pub views: watch::Sender<Option<Arc<Snapshot>>>,
    /// A fresh random token for the forms.
    pub csrf: String,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

impl std::fmt::Debug for StatusRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusRoom").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl StatusRoom {
    /// Serves the page until `stop`.
    ///
    /// # Errors
    /// [`StatusError`]; the rest of the agent is not touched by it.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StatusError> {
        let listen = self.listener.local_addr().map_err(|source| StatusError::Serve { source })?;
        if !listen.ip().is_loopback() {
            return Err(StatusError::OpenToNetwork { listen });
        }
        let path = self.queue.path().to_owned();
        let mut watcher = Watcher::new(&self);
        let first;
        (watcher, first) = look(watcher).await?;
        let (tell, snapshot) = watch::channel(first);
        let desk = web::Desk {
            snapshot,
            actions: self.actions,
            file: Arc::new(move |id, skip| read_file(&path, id, skip)),
            fates: self.fates,
            csrf: self.csrf.into(),
            hosts: Arc::new(web::hosts(listen, &self.hosts)),
            clock: self.clock,
        };
        let app = web::router(desk).into_make_service_with_connect_info::<SocketAddr>();
        let serve = axum::serve(self.listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
        let serve = async { serve.await.map_err(|source| StatusError::Serve { source }) };
        let late = async {
            stop.cancelled().await;
            // A browser that keeps its connection open does not keep the agent.
            tokio::time::sleep(STOP_WITHIN).await;
            Ok(())
        };
        tokio::select! {
            ended = serve => ended,
            ended = refresh(watcher, &tell, &self.views) => ended,
            ended = late => ended,
        }
    }
}

async fn refresh(
    mut watcher: Watcher,
    tell: &watch::Sender<Arc<Snapshot>>,
    views: &watch::Sender<Option<Arc<Snapshot>>>,
) -> Result<(), StatusError> {
    let mut ticks = tokio::time::interval(REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let snap;
        (watcher, snap) = look(watcher).await?;
        views.send_replace(Some(snap.clone()));
        tell.send_replace(snap);
    }
}

async fn look(mut watcher: Watcher) -> Result<(Watcher, Arc<Snapshot>), StatusError> {
    tokio::task::spawn_blocking(move || {
        let snap = Arc::new(watcher.look());
        (watcher, snap)
    })
    .await
    .map_err(|_| StatusError::Reader)
}

fn read_file(path: &Path, id: FileId, skip: u64) -> Option<(snapshot::FileView, Content)> {
    gather::one_file(path, id, skip)
        .inspect_err(|error| tracing::warn!(error = gather::chain(error), "file could not be read for the page"))
        .ok()
        .flatten()
}

/// Makes the view; keeps the beginnings of states. Blocks on the database.
struct Watcher {
    site: Arc<dyn Fn() -> SiteCard + Send + Sync>,
    certificate: Arc<dyn Fn() -> Option<Timestamp> + Send + Sync>,
    settings: Arc<dyn Fn() -> Standing + Send + Sync>,
    queue: Queue,
    uplink: watch::Receiver<UplinkFacts>,
    feeds: Arc<dyn Fn() -> Vec<FeedView> + Send + Sync>,
    clock: fn() -> Timestamp,
    started_at: Timestamp,
    reader: Option<Reader>,
    pace: Pace,
    remembered: Option<BTreeMap<String, Timestamp>>,
    last: Option<(Level, Timestamp)>,
}

impl Watcher {
    fn new(room: &StatusRoom) -> Self {
        Self {
            site: Arc::clone(&room.site),
            certificate: Arc::clone(&room.certificate),
            settings: Arc::clone(&room.settings),
            queue: room.queue.clone(),
            uplink: room.uplink.clone(),
            feeds: room.feeds.clone(),
            clock: room.clock,
            started_at: (room.clock)(),
            reader: None,
            pace: Pace::default(),
            remembered: None,
            last: None,
        }
    }

    fn look(&mut self) -> Snapshot {
        let facts = self.facts();
        let snap = snapshot(&facts);
        self.keep_beginnings(&snap);
        self.note_change(&snap);
        snap
    }

    fn facts(&mut self) -> Facts {
        let now = (self.clock)();
        let store = self.read(now).map_err(|error| gather::chain(&error));
        if store.is_err() {
            // The next look opens the database anew.
            self.reader = None;
        }
        let stands = store.as_ref().map(|store| (store.head, store.marked));
        Facts {
            site: (self.site)(),
            settings: (self.settings)(),
            now,
            started_at: Some(self.started_at),
            rates: stands.ok().and_then(|(head, marked)| self.pace.sample(now, head, marked)),
            store,
            counts: gather::counts(&self.queue.counts()),
            used_bytes: self.queue.counts().used_bytes.load(Ordering::Relaxed),
            bytes_max: self.queue.bytes_max(),
            has_room: self.queue.has_room(),
            link: Some(self.link(now)),
            feeds: (self.feeds)(),
            remembered: self.remembered.clone().unwrap_or_default(),
        }
    }

    /// The connection's facts, with the days that the certificate has left at this moment.
    fn link(&self, now: Timestamp) -> UplinkFacts {
        let mut link = self.uplink.borrow().clone();
        if let Some(until) = (self.certificate)() {
            link.certificate_days = Some((until.as_second() - now.as_second()).div_euclid(24 * 3600));
        }
        link
    }

    fn read(&mut self, now: Timestamp) -> Result<facts::StoreFacts, crate::queue::QueueError> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::open(self.queue.path())?,
        };
        if self.remembered.is_none() {
            self.remembered = Some(gather::remembered(&reader));
        }
        let store = gather::store(&reader, now, &(self.site)().zone)?;
        self.reader = Some(reader);
        Ok(store)
    }

    /// Stores since when the states hold, whenever one comes or goes.
    fn keep_beginnings(&mut self, snap: &Snapshot) {
        let Some(known) = &mut self.remembered else { return };
        let mut holds: BTreeMap<String, Timestamp> = std::iter::once(&snap.headline)
            .chain(&snap.others)
            .filter_map(|one| Some((one.key(), one.since?)))
            .collect();
        if snap.headline.level == Level::CatchingUp {
            // Its beginning is the age of the oldest event and moves with it.
            holds.remove(&snap.headline.key());
        }
        if phrase::secs_between(self.started_at, snap.generated_at) < SETTLE_SECS {
            holds.extend(known.iter().map(|(key, at)| (key.clone(), *at)));
        }
        if holds == *known {
            return;
        }
        let text = serde_json::to_string(&holds).unwrap_or_default();
        if let Err(error) = self.queue.set_since(gather::SINCE_NAME, snap.generated_at, &text) {
            tracing::warn!(error = gather::chain(&error), "beginnings of states could not be stored");
        }
        // Kept even so: on a full disk the page still tells since when it is full.
        *known = holds;
    }

    /// Adds a line to the history when the first line changes for the better.
    fn note_change(&mut self, snap: &Snapshot) {
        let now = (snap.headline.level, snap.headline.since.unwrap_or(snap.generated_at));
        let Some((was, since)) = self.last.replace(now) else { return };
        let lasted = phrase::secs_between(since, snap.generated_at);
        if was == now.0 || matches!(was, Level::Ok | Level::CatchingUp) || lasted < NOTED_SECS {
            return;
        }
        let what = format!("{} ended after {}.", was.word(), phrase::span(lasted));
        if let Err(error) = self.queue.note_history(snap.generated_at, &what) {
            tracing::warn!(error = gather::chain(&error), "history could not be written");
        }
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;

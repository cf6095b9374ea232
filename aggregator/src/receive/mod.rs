//! Takes what the sites send, checks whose it is, and hands it to the ledger.
//!
//! Takes messages of a transport (the embedded [`listener`] or an outside [`broker`]); gives appends to the ledger and marks to
//! the sites. Invariants: a batch is acknowledged and marked only after the ledger's durable commit; a frame counts only
//! under the signature of the site whose topic it came on; one task for each site decides for it, with the link engine's receiver.
//! It does not: judge the content of events (`admit`), know what MQTT library is used.

pub mod answer;
pub mod broker;
pub mod listener;
pub mod mosquitto;
pub mod recovery;
pub mod site;
pub mod transport;
pub mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use docksync_proto::{
    codec::CodecError,
    identity::{Incarnation, hex},
    site::SiteId,
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use ring::signature::Ed25519KeyPair;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::{
    answer::Answering,
    site::SiteTask,
    transport::{Inbound, Outbound, Presence, RefuseCode},
};
pub use self::{site::StoredLink, view::Views};
use crate::ledger::{LedgerError, writer::LedgerHandle};
use crate::reconcile::shell::Wants;

/// How often a site hears of progress without having sent anything.
pub const MARK_EVERY: Duration = Duration::from_secs(1);
/// Messages of one site that may wait for its task: more than its connection may have unacknowledged.
const INBOX_MAX: usize = 256;
/// Events that all sites together may have on their way.
const CREDIT_ALL: u32 = 400_000;
/// Least credit of one site.
const CREDIT_MIN: u32 = 2_000;
/// Most sites whose tasks run; each was enrolled by a person.
const SITES_MAX: usize = 4_000;

/// Why receiving ended.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The ledger failed for good.
    #[error("the ledger cannot take events")]
    Ledger(#[from] LedgerError),
    /// Bytes that must not be lost could not be kept.
    #[error("cannot keep {path}")]
    Keep {
        /// File.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A part of a batch could not be encoded.
    #[error("cannot encode the rest of a batch")]
    Encode(#[source] CodecError),
    /// A thread ended.
    #[error("a database thread ended")]
    Thread,
}

/// Position of a stream: epoch and number.
pub type PositionOf = Arc<dyn Fn(&SiteId) -> (u32, u64) + Send + Sync>;

/// What the sites are told of the ways behind the ledger.
#[derive(Clone)]
pub struct Progress {
    /// All through here is in the ERP, or parked.
    pub applied: PositionOf,
    /// All through here is in a checked backup.
    pub backed_up: PositionOf,
}

/// Asks the register of sites.
pub type Ask<Q, A> = Arc<dyn Fn(Q) -> BoxFuture<'static, A> + Send + Sync>;

/// What the tasks of all sites share.
pub struct Shared {
    /// Writer of the ledger.
    pub ledger: LedgerHandle,
    /// Its name.
    pub ledger_id: Incarnation,
    /// The centre's key.
    pub key: Ed25519KeyPair,
    /// The way out.
    pub outbound: Outbound,
    /// What pages read.
    pub views: Views,
    /// Progress behind the ledger.
    pub progress: Progress,
    /// Keys that verify a site's frames.
    pub keys_of: Ask<SiteId, Vec<Vec<u8>>>,
    /// When a machine of the site was enrolled last, milliseconds since 1970.
    pub enrolled_at: Ask<SiteId, Option<i64>>,
    /// Whether a person approved the machine with this nonce.
    pub is_approved: Arc<dyn Fn(SiteId, [u8; 16]) -> BoxFuture<'static, bool> + Send + Sync>,
    /// Sites that are revoked.
    pub revoked: Revoked,
    /// What the ledger lacks and sites are asked for again.
    pub wants: Wants,
    /// What sites are told of their events when they ask.
    pub answering: Answering,
    /// Folder for bytes that a person may have to look at.
    pub kept: PathBuf,
    /// Sites that are connected.
    pub active: AtomicUsize,
}

/// Sites whose frames are not taken, whatever stands between: a broker may keep a session that was open when they were revoked.
#[derive(Debug, Clone, Default)]
pub struct Revoked(Arc<std::sync::Mutex<std::collections::BTreeSet<SiteId>>>);

impl Revoked {
    /// Takes the sites in place of those that were known.
    pub fn set(&self, sites: impl IntoIterator<Item = SiteId>) {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let sites: std::collections::BTreeSet<SiteId> = sites.into_iter().collect();
        for site in sites.difference(&known) {
            tracing::info!(%site, "site is revoked: nothing of it is taken");
        }
        *known = sites;
    }

    fn contains(&self, site: &SiteId) -> bool {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains(site)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("ledger_id", &self.ledger_id).finish_non_exhaustive()
    }
}

impl Shared {
    /// A fair share of what may be on its way; nothing when the disk has no room.
    fn credit(&self) -> u32 {
        if !self.ledger.has_room() {
            return 0;
        }
        let active = u32::try_from(self.active.load(Ordering::Relaxed).max(1)).unwrap_or(u32::MAX);
        (CREDIT_ALL / active).max(CREDIT_MIN)
    }
}

/// The receiving room.
#[derive(Debug)]
pub struct Receive {
    /// What the tasks share.
    pub shared: Arc<Shared>,
    /// Messages of the transport.
    pub inbound: mpsc::Receiver<Inbound>,
    /// Comings and goings.
    pub presence: mpsc::Receiver<Presence>,
    /// Links as the ledger holds them.
    pub links: BTreeMap<SiteId, StoredLink>,
}

/// State of the centre as the sites see it.
pub fn centre_state(ledger_id: Incarnation, online: bool) -> Bytes {
    Bytes::from(serde_json::json!({ "online": online, "ledger_id": hex(&ledger_id.0) }).to_string())
}

impl Receive {
    /// Runs until it is stopped.
    ///
    /// # Errors
    /// [`ReceiveError`] where the ledger fails for good: the process must end.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), ReceiveError> {
        let mut doors: BTreeMap<SiteId, mpsc::Sender<Inbound>> = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let mut online = BTreeSet::new();
        for site in self.links.keys().cloned().collect::<Vec<_>>() {
            self.door(&site, &mut doors, &mut tasks);
        }
        self.announce(true).await;
        let result = loop {
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => break Err(error),
                    Err(_) => break Err(ReceiveError::Thread),
                },
                presence = self.presence.recv() => match presence {
                    Some(presence) => self.present(&presence, &mut online),
                    None => break Ok(()),
                },
                inbound = self.inbound.recv() => match inbound {
                    Some(inbound) => self.route(inbound, &mut doors, &mut tasks),
                    None => break Ok(()),
                },
            }
        };
        self.announce(false).await;
        doors.clear();
        while let Some(ended) = tasks.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::error!(%error, "a site's last batches were not stored, it sends them again");
            }
        }
        result
    }

    async fn announce(&self, online: bool) {
        let state = centre_state(self.shared.ledger_id, online);
        if let Err(error) = self.shared.outbound.set_centre(state).await {
            tracing::debug!(%error, "state of the centre was not told");
        }
    }

    fn present(&self, presence: &Presence, online: &mut BTreeSet<SiteId>) {
        if presence.online {
            online.insert(presence.site.clone());
        } else {
            online.remove(&presence.site);
        }
        self.shared.active.store(online.len(), Ordering::Relaxed);
        tracing::info!(site = %presence.site, online = presence.online, "presence of a site changed");
        self.shared.views.change(&presence.site, |view| {
            if view.online != presence.online {
                view.since = Some(Timestamp::now());
            }
            view.online = presence.online;
        });
    }

    fn door<'d>(
        &mut self,
        site: &SiteId,
        doors: &'d mut BTreeMap<SiteId, mpsc::Sender<Inbound>>,
        tasks: &mut JoinSet<Result<(), ReceiveError>>,
    ) -> Option<&'d mpsc::Sender<Inbound>> {
        if !doors.contains_key(site) {
            if doors.len() >= SITES_MAX {
                return None;
            }
            let (door, inbox) = mpsc::channel(INBOX_MAX);
            let task = SiteTask::new(site.clone(), self.shared.clone(), self.links.remove(site));
            tasks.spawn(task.run(inbox));
            doors.insert(site.clone(), door);
        }
        doors.get(site)
    }

    fn route(
        &mut self,
        inbound: Inbound,
        doors: &mut BTreeMap<SiteId, mpsc::Sender<Inbound>>,
        tasks: &mut JoinSet<Result<(), ReceiveError>>,
    ) {
        let site = inbound.site.clone();
        let refused = match self.door(&site, doors, tasks) {
            Some(door) => door.try_send(inbound).err().map(mpsc::error::TrySendError::into_inner),
            None => Some(inbound),
        };
        // A site that sends more than it may unacknowledged is told to slow down; the others are not held up.
        if let Some(inbound) = refused {
            inbound.done.refuse(RefuseCode::QuotaExceeded);
        }
    }
}

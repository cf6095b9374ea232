//! Wiring: opens what is kept, builds the rooms in the order of the flow, starts them, waits, stops them in that order.
//!
//! | room | where it fails |
//! |---|---|
//! | intake, uplink (they use the queue) | the process ends; the service manager starts it again, and it reads the disk anew |
//! | status page | logged, the rest goes on |
//! | housekeeping | logged, tried again at the next turn |

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use docksync_proto::{
    identity::{Incarnation, hex},
    link::SenderConfig,
};
use jiff::{Timestamp, ToSpan as _};
use sd_notify::NotifyState;
use sha2::{Digest as _, Sha256};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    enroll,
    intake::{FeedFacts, Intake, IntakeFacts, SystemClock, Watching},
    queue::{Queue, QueueConfig, Reader, capture::CaptureStore as _},
    requests::{self, Folders, Request},
    status::{
        StatusAction, StatusRoom,
        facts::{FeedTrouble, FeedView, SiteCard, Watch},
        snapshot::Snapshot,
    },
    uplink::{Uplink, UplinkFacts, tls::Identity},
};

/// How often requests are looked for and facts passed on.
const TURN: Duration = Duration::from_secs(1);
/// How often payloads are pruned and the certificate is looked at.
const TURNS_A_PRUNE: u64 = 60;
const ACTIONS_MAX: usize = 32;
const TURNS_A_RENEWAL: u64 = 3_600;
/// How long a stop may take before what is left is named and left.
const STOP_WITHIN: Duration = Duration::from_secs(8);
/// A certificate is renewed when a third of its life is left.
const RENEW_DAYS_LEFT: i64 = 30;

type Rooms = JoinSet<(&'static str, anyhow::Result<()>)>;

/// Runs the agent until it is told to stop.
///
/// # Errors
/// Whatever ended it, with everything behind it.
pub fn run(config: &Config) -> anyhow::Result<()> {
    // Where another part of the process named the provider before, it is the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    std::fs::create_dir_all(&config.state_dir)
        .with_context(|| format!("cannot make {}", config.state_dir.display()))?;
    let queue = Queue::open(QueueConfig {
        dir: config.state_dir.clone(),
        site: config.site.id.clone(),
        zone: config.site.time_zone.clone(),
        bytes_max: config.queue.bytes_max,
        ballast_bytes: config.queue.ballast_bytes,
        machine: machine(),
        incarnation: Incarnation(rand::random()),
    })?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().thread_name("agent").build()?;
    let result = runtime.block_on(serve(config, &queue));
    runtime.shutdown_timeout(STOP_WITHIN);
    queue.close();
    tracing::info!("agent stopped");
    result
}

/// What names this machine, without telling its number to anyone.
fn machine() -> String {
    let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    hex(&Sha256::digest(format!("docksync {}", id.trim()))[..8])
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

async fn serve(config: &Config, queue: &Queue) -> anyhow::Result<()> {
    // Before anyone is told that it runs: whoever knows that may ask it to stop.
    let terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let mut rooms = Rooms::new();
    let page = tokio::net::TcpListener::bind(config.status.listen)
        .await
        .with_context(|| format!("cannot listen on {}, the status page's address", config.status.listen))?;
    let page_addr = page.local_addr()?;
    let folders: Folders = config.feeds.iter().map(|f| (f.name.clone(), f.folder.clone())).collect();
    if let Err(error) = requests::make_up(queue, &folders) {
        tracing::warn!(error = %anyhow::Error::from(error), "a file that was to be read again could not be put back");
    }
    let intake = Intake::new(config, Arc::new(queue.clone()), Arc::new(SystemClock));
    let intake_facts = intake.facts();
    let address = format!("{}:{}", config.centre.host, config.centre.port);
    let (facts, link_facts) = watch::channel(UplinkFacts::new(&address, Timestamp::now()));
    let (files_waiting_in, files_waiting) = watch::channel(0);
    let try_now = Arc::new(Notify::new());
    let mut sender = SenderConfig::new(&host());
    sender.reconnect_max = u64::try_from(config.centre.reconnect_max.as_millis()).unwrap_or(u64::MAX);
    sender.spread = sender.spread.min(sender.reconnect_max);
    let uplink = Uplink {
        queue: queue.clone(),
        identity: config.state_dir.join("identity"),
        centre: Some((config.centre.host.clone(), config.centre.port)),
        config: sender,
        facts,
        try_now: Arc::clone(&try_now),
        files_waiting,
    };

    let uplink_stop = stop.clone();
    rooms.spawn(async move { ("uplink", uplink.run(uplink_stop).await.map_err(Into::into)) });
    let intake_stop = stop.clone();
    rooms.spawn_blocking(move || ("intake", intake.run(&intake_stop).map_err(Into::into)));
    let (actions_in, actions) = mpsc::channel(ACTIONS_MAX);
    let (views, view) = watch::channel(None);
    let status = StatusRoom {
        listener: page,
        hosts: Vec::new(),
        site: card(config),
        queue: queue.clone(),
        uplink: link_facts.clone(),
        feeds: {
            let facts = intake_facts.clone();
            Arc::new(move || facts.snapshot().into_iter().map(feed_view).collect())
        },
        actions: actions_in,
        views,
        csrf: hex(&rand::random::<[u8; 16]>()),
        clock: Timestamp::now,
    };
    let status_stop = stop.clone();
    rooms.spawn(async move {
        // Where people look is not where events flow: its end is said, and ends nothing else.
        if let Err(error) = status.run(status_stop.clone()).await {
            tracing::error!(error = %anyhow::Error::from(error), "status page ended");
        }
        status_stop.cancelled().await;
        ("status", Ok(()))
    });
    let keeper = Keeper {
        queue: queue.clone(),
        state_dir: config.state_dir.clone(),
        folders,
        keep_days: i64::from(config.queue.keep_days),
        link: link_facts.clone(),
        intake: intake_facts.clone(),
        files_waiting: files_waiting_in,
        actions: Mutex::new(actions),
        view,
        try_now,
    };
    let keeper_stop = stop.clone();
    rooms.spawn(async move { ("housekeeping", keeper.run(keeper_stop).await) });

    announce(&config.state_dir, page_addr)?;
    let ended = wait(&mut rooms, terminate).await;
    stop_all(&stop, rooms).await;
    ended
}

/// Who this site is, for the page.
pub fn card(config: &Config) -> SiteCard {
    SiteCard {
        id: config.site.id.to_string(),
        name: config.site.name.clone(),
        zone: config.site.time_zone.clone(),
        zone_name: config.site.time_zone_name.clone(),
        contact: config.status.contact.clone(),
    }
}

fn feed_view(feed: FeedFacts) -> FeedView {
    FeedView {
        name: feed.feed,
        folder: feed.folder,
        waiting: feed.waiting,
        last_seen_at: feed.last_seen_at,
        last_captured_at: feed.last_captured_at,
        captured: feed.captured,
        held: feed.held,
        trouble: feed.trouble.map(|t| FeedTrouble { code: t.code.into(), text: t.text, since: t.since }),
        expect_every_secs: feed.expect_every.map(|every| every.as_secs()),
        is_learned: feed.is_learned,
        silent_since: feed.silent_since,
        watching: match feed.watching {
            Watching::Notified => Watch::Notified,
            Watching::Polled => Watch::Polled,
        },
    }
}

/// Small duties that belong to no room: requests, pruning, renewal.
struct Keeper {
    queue: Queue,
    state_dir: PathBuf,
    folders: Folders,
    keep_days: i64,
    link: watch::Receiver<UplinkFacts>,
    intake: IntakeFacts,
    files_waiting: watch::Sender<u32>,
    actions: Mutex<mpsc::Receiver<StatusAction>>,
    view: watch::Receiver<Option<Arc<Snapshot>>>,
    try_now: Arc<Notify>,
}

impl Keeper {
    async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let keeper = Arc::new(self);
        let mut turn = tokio::time::interval(TURN);
        let mut turns = 0_u64;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = turn.tick() => {}
            }
            turns += 1;
            let waiting: u64 = keeper.intake.snapshot().iter().map(|f| f.waiting).sum();
            keeper.files_waiting.send_replace(u32::try_from(waiting).unwrap_or(u32::MAX));
            keeper.tell_manager();
            let (works, prunes) = (Arc::clone(&keeper), turns.is_multiple_of(TURNS_A_PRUNE));
            tokio::task::spawn_blocking(move || works.work(prunes)).await?;
            if turns.is_multiple_of(TURNS_A_RENEWAL) {
                keeper.renew().await;
            }
        }
    }

    /// The headline, and a sign of life: only while the rooms that matter turn is this task reached.
    fn tell_manager(&self) {
        let title = self.view.borrow().as_ref().map(|view| view.headline.title.clone()).unwrap_or_default();
        let told = sd_notify::notify(&[NotifyState::Watchdog, NotifyState::Status(&title)]);
        if let Err(error) = told {
            tracing::trace!(%error, "no service manager to tell");
        }
    }

    /// What was asked on the page, in the words of the command line.
    fn asked_on_page(&self) -> Vec<Request> {
        let mut actions = self.actions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut requests = Vec::new();
        while let Ok(action) = actions.try_recv() {
            match action {
                StatusAction::Retry { file } => requests.push(Request::Retry { file: file.0 }),
                StatusAction::SetAside { file, reason } => requests.push(Request::SetAside { file: file.0, reason }),
                StatusAction::TryNow => self.try_now.notify_one(),
            }
        }
        requests
    }

    /// Files of damaged batches are read again without a person: the archive has them whole.
    fn damaged(&self) -> Vec<Request> {
        let files = Reader::open(self.queue.path()).and_then(|reader| reader.damaged_files());
        files.unwrap_or_default().into_iter().map(|file| Request::Retry { file: file.0 }).collect()
    }

    fn work(&self, prunes: bool) {
        let damaged = if prunes { self.damaged() } else { Vec::new() };
        for request in requests::take(&self.state_dir).into_iter().chain(self.asked_on_page()).chain(damaged) {
            match requests::carry_out(&self.queue, &self.folders, &request) {
                Ok(()) => tracing::info!(?request, "request was carried out"),
                Err(error) => {
                    tracing::warn!(?request, error = %anyhow::Error::from(error), "request was not carried out")
                }
            }
        }
        if !self.queue.has_room() {
            // Under pressure what the centre holds goes first: what it does not hold never goes.
            let marked = self.link.borrow().marked;
            tracing::warn!(marked, "queue is nearly full, events that the centre holds are deleted early");
            self.prune(marked, Timestamp::MAX);
        } else if prunes {
            let before = Timestamp::now().checked_sub((self.keep_days * 24).hours()).unwrap_or(Timestamp::UNIX_EPOCH);
            let through = self.link.borrow().backed_up;
            self.prune(through, before);
        }
    }

    fn prune(&self, through: u64, before: Timestamp) {
        match self.queue.prune(through, before) {
            Ok(0) => {}
            Ok(batches) => tracing::info!(batches, through, "old payloads were deleted"),
            Err(error) => tracing::warn!(%error, "old payloads could not be deleted"),
        }
    }

    async fn renew(&self) {
        let (dir, now) = (self.state_dir.join("identity"), Timestamp::now());
        let Ok(identity) = Identity::load(&dir, now) else { return };
        if identity.days_left(now) > RENEW_DAYS_LEFT {
            return;
        }
        match enroll::renew(&dir, now).await {
            Ok(identity) => tracing::info!(until = %identity.not_after, "certificate was renewed"),
            Err(error) => {
                tracing::warn!(error = %anyhow::Error::from(error), "certificate was not renewed, tried again in an hour")
            }
        }
    }
}

/// Tells the service manager, the journal and `run.json` beside the queue.
fn announce(state_dir: &Path, page: std::net::SocketAddr) -> anyhow::Result<()> {
    let json = serde_json::to_vec_pretty(&serde_json::json!({ "pid": std::process::id(), "page": page }))?;
    std::fs::write(state_dir.join("run.json"), json)?;
    tracing::info!(%page, "agent started");
    if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
        tracing::debug!(%error, "no service manager to tell");
    }
    Ok(())
}

async fn wait(rooms: &mut Rooms, mut terminate: Signal) -> anyhow::Result<()> {
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
        Some(ended) = rooms.join_next() => {
            let (room, result) = ended?;
            result.with_context(|| format!("room {room} ended"))?;
            anyhow::bail!("room {room} ended before it was told to")
        }
    }
}

async fn stop_all(stop: &CancellationToken, mut rooms: Rooms) {
    tracing::info!("agent is stopping");
    stop.cancel();
    let drain = async {
        while let Some(ended) = rooms.join_next().await {
            match ended {
                Ok((_, Ok(()))) => {}
                Ok((room, Err(error))) => {
                    tracing::error!(room, error = format!("{error:#}"), "room ended with an error")
                }
                Err(error) => tracing::error!(%error, "room panicked"),
            }
        }
    };
    if tokio::time::timeout(STOP_WITHIN, drain).await.is_err() {
        tracing::warn!("rooms were late to stop; what they held is safe in the queue or in the folders");
    }
}

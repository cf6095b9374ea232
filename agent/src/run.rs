//! Wiring: opens what is kept, builds the rooms in the order of the flow, starts them, waits, stops them in that order.
//!
//! | room | where it fails |
//! |---|---|
//! | intake, uplink (they use the queue) | the process ends; the service manager starts it again, and it reads the disk anew |
//! | status page | logged, the rest goes on |
//! | housekeeping | logged, tried again at the next turn |

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use docksync_proto::{
    identity::{Incarnation, hex},
    link::SenderConfig,
};
use jiff::Timestamp;
use sd_notify::NotifyState;
use sha2::{Digest as _, Sha256};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, Config},
    intake::{FeedFacts, Intake, IntakeError, SystemClock, Watching},
    keeper::{self, Keeper},
    live::Live,
    logging::Journal,
    queue::{Queue, QueueConfig},
    reload::{self, Standing},
    requests,
    status::{
        StatusRoom,
        facts::{FeedTrouble, FeedView, Watch},
    },
    uplink::{Uplink, UplinkFacts, fates::Fates},
};

const ACTIONS_MAX: usize = 32;
/// How long a reload waits until the folders are let go of.
const END_WITHIN: Duration = Duration::from_secs(20);
/// How long a stop may take before what is left is named and left.
const STOP_WITHIN: Duration = Duration::from_secs(8);

type Rooms = JoinSet<(&'static str, anyhow::Result<()>)>;

/// Runs the agent until it is told to stop; `main` is read anew when it is told to reload.
///
/// # Errors
/// Whatever ended it, with everything behind it.
pub fn run(config: Config, main: &Path, journal: &Journal) -> anyhow::Result<()> {
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
    let result = runtime.block_on(serve(config, &queue, main, journal));
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

async fn serve(config: Config, queue: &Queue, main: &Path, journal: &Journal) -> anyhow::Result<()> {
    // Before anyone is told that it runs: whoever knows that may ask it to stop.
    let mut signals = Signals { terminate: signal(SignalKind::terminate())?, hang_up: signal(SignalKind::hangup())? };
    let stop = CancellationToken::new();
    let mut rooms = Rooms::new();
    let page = tokio::net::TcpListener::bind(config.status.listen)
        .await
        .with_context(|| format!("cannot listen on {}, the status page's address", config.status.listen))?;
    let page_addr = page.local_addr()?;
    let standing = Standing::of(&config, Timestamp::now());
    standing.write(&config.state_dir);
    let intake = Intake::new(&config, Arc::new(queue.clone()), Arc::new(SystemClock));
    let live = Live::new(config.clone(), standing, intake.facts());
    live.certificate_ends(keeper::certificate_end(&config.state_dir, Timestamp::now()));
    if let Err(error) = requests::make_up(queue, &live.folders()) {
        tracing::warn!(
            error = format!("{:#}", anyhow::Error::from(error)),
            "a file that was to be read again could not be put back"
        );
    }
    let address = format!("{}:{}", config.centre.host, config.centre.port);
    let (facts, link_facts) = watch::channel(UplinkFacts::new(&address, Timestamp::now()));
    let (files_waiting_in, files_waiting) = watch::channel(0);
    let (try_now, fates) = (Arc::new(Notify::new()), Fates::default());
    let mut sender = SenderConfig::new(&host());
    sender.reconnect_max = u64::try_from(config.centre.reconnect_max.as_millis()).unwrap_or(u64::MAX);
    sender.spread = sender.spread.min(sender.reconnect_max);
    let uplink = Uplink {
        queue: queue.clone(),
        identity: config.state_dir.join("identity"),
        centre: Some((config.centre.host.clone(), config.centre.port)),
        config: sender,
        facts,
        fates: fates.clone(),
        try_now: Arc::clone(&try_now),
        files_waiting,
    };

    let uplink_stop = stop.clone();
    rooms.spawn(async move { ("uplink", uplink.run(uplink_stop).await.map_err(Into::into)) });
    let mut taking = Taking::start(intake, &stop);
    let (actions_in, actions) = mpsc::channel(ACTIONS_MAX);
    let (views, view) = watch::channel(None);
    let status = StatusRoom {
        listener: page,
        hosts: Vec::new(),
        site: {
            let live = live.clone();
            Arc::new(move || live.card())
        },
        certificate: {
            let live = live.clone();
            Arc::new(move || live.certificate_until())
        },
        settings: {
            let live = live.clone();
            Arc::new(move || live.standing())
        },
        queue: queue.clone(),
        uplink: link_facts.clone(),
        fates,
        feeds: {
            let live = live.clone();
            Arc::new(move || live.feeds().into_iter().map(feed_view).collect())
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
            tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "status page ended");
        }
        status_stop.cancelled().await;
        ("status", Ok(()))
    });
    let keeper = Keeper {
        queue: queue.clone(),
        state_dir: config.state_dir.clone(),
        live: live.clone(),
        link: link_facts.clone(),
        files_waiting: files_waiting_in,
        actions: Mutex::new(actions),
        view,
        try_now,
    };
    let keeper_stop = stop.clone();
    rooms.spawn(async move { ("housekeeping", keeper.run(keeper_stop).await) });

    announce(&config.state_dir, page_addr)?;
    let ended = loop {
        match wait(&mut rooms, &mut taking, &mut signals).await {
            Wake::Ended(ended) => break ended,
            Wake::Reload => {
                let taken = tokio::select! {
                    _ = signals.terminate.recv() => break Ok(()),
                    taken = take_settings(&live, queue, main, journal, &mut taking, &stop) => taken,
                };
                if let Err(error) = taken {
                    break Err(error);
                }
            }
        }
    };
    rooms.spawn(async move { ("intake", taking.end().await) });
    stop_all(&stop, rooms).await;
    ended
}

/// The one room that a reload ends and starts anew.
struct Taking {
    /// `None` once its end was told.
    room: Option<JoinHandle<Result<(), IntakeError>>>,
    stop: CancellationToken,
}

impl Taking {
    fn start(intake: Intake, stop: &CancellationToken) -> Self {
        let stop = stop.child_token();
        let told = stop.clone();
        Self { room: Some(tokio::task::spawn_blocking(move || intake.run(&told))), stop }
    }

    /// Ends it; a file that is being read is left where a restart would find it.
    async fn end(&mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.ended().await
    }

    /// Waits for its end, which is told once.
    async fn ended(&mut self) -> anyhow::Result<()> {
        let Some(room) = &mut self.room else { return Ok(()) };
        let ended = room.await;
        self.room = None;
        Ok(ended??)
    }
}

/// Reads the settings anew and takes what can be taken; files that are refused change nothing.
async fn take_settings(
    live: &Live,
    queue: &Queue,
    main: &Path,
    journal: &Journal,
    taking: &mut Taking,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    tell(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?]);
    let path = main.to_owned();
    let read = tokio::task::spawn_blocking(move || config::load(&path)).await?;
    for problem in &read.problems {
        let (file, line, code) = (problem.file.display(), problem.line, problem.code);
        tracing::error!(%file, line, code, problem = problem.message, "settings have a problem");
    }
    let outcome = reload::decide(&live.config(), &live.standing(), read, Timestamp::now());
    outcome.standing.write(&live.config().state_dir);
    match outcome.config {
        None => {
            tracing::error!("new settings were refused, the earlier ones run; next: docksync-agent check");
            live.keep(outcome.standing);
        }
        Some(config) => {
            match tokio::time::timeout(END_WITHIN, taking.end()).await {
                Ok(ended) => ended?,
                // It holds a file or hangs on a share: two of them at once would take files twice.
                Err(_) => anyhow::bail!(
                    "a folder or file did not let go within {END_WITHIN:?}; the agent starts anew and takes the new settings then"
                ),
            }
            journal.set(&config.log.level)?;
            let intake = Intake::new(&config, Arc::new(queue.clone()), Arc::new(SystemClock));
            intake.facts().inherit(&live.feeds());
            let needs_restart = outcome.standing.needs_restart.join(", ");
            live.replace(config, outcome.standing, intake.facts());
            *taking = Taking::start(intake, stop);
            tracing::info!(needs_restart, "new settings were taken");
        }
    }
    tell(&[NotifyState::Ready]);
    Ok(())
}

/// Tells the service manager, where there is one.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "no service manager to tell");
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

/// Tells the service manager, the journal and `run.json` beside the queue.
fn announce(state_dir: &Path, page: std::net::SocketAddr) -> anyhow::Result<()> {
    let json = serde_json::to_vec_pretty(&serde_json::json!({ "pid": std::process::id(), "page": page }))?;
    std::fs::write(state_dir.join("run.json"), json)?;
    tracing::info!(%page, "agent started");
    tell(&[NotifyState::Ready]);
    Ok(())
}

struct Signals {
    terminate: Signal,
    hang_up: Signal,
}

/// What the wiring waits for.
enum Wake {
    Ended(anyhow::Result<()>),
    Reload,
}

async fn wait(rooms: &mut Rooms, taking: &mut Taking, signals: &mut Signals) -> Wake {
    let (room, result) = tokio::select! {
        _ = tokio::signal::ctrl_c() => return Wake::Ended(Ok(())),
        _ = signals.terminate.recv() => return Wake::Ended(Ok(())),
        _ = signals.hang_up.recv() => return Wake::Reload,
        ended = taking.ended() => ("intake", ended),
        Some(ended) = rooms.join_next() => match ended {
            Ok(ended) => ended,
            Err(error) => return Wake::Ended(Err(error.into())),
        },
    };
    let early = || anyhow::anyhow!("room {room} ended before it was told to");
    Wake::Ended(result.with_context(|| format!("room {room} ended")).and_then(|()| Err(early())))
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

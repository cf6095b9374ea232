//! Wiring: opens what is kept, binds, builds the rooms in the order of the flow, starts them, waits, stops them in that order.
//!
//! | room | where it fails |
//! |---|---|
//! | receive, deliver, operator requests (they keep the ledger) | the process ends; the service manager starts it again |
//! | listener, broker, enrolment, pages | they end with the process; faults of single connections stay with them |
//! | backups, register, backups' positions | logged, tried again at the next turn |

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use docksync_proto::{identity::Incarnation, site::SiteId};
use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    backups::Backups,
    config::{Config, ConsumerConfig},
    consumers::{Consumer, FaultClass},
    deliver::{self, board::Board, deliverer::Deliverer, deliverer::LiveBooks, pause::Incident, shell::Wake},
    insight::{Decisions, InsightRoom},
    ledger::{
        Change, Clock, Reads as _, Store as _,
        lock::StateLock,
        reads::SqliteReader,
        sqlite::SqliteStore,
        writer::{LedgerHandle, LedgerWriter},
    },
    pki::{
        Pki,
        enroll_api::{self, EnrollState},
    },
    receive::{
        self, Progress, Receive, Revoked, Shared, StoredLink, Views,
        answer::Answering,
        broker::{Broker, BrokerSettings},
        listener::{Listener, ListenerLimits},
        recovery::Recovery,
        transport::{Outbound, Ports},
    },
    reconcile::{
        self, CENTRE_STREAM,
        complete::Told,
        gate::{Gate, Gates},
        run::Destination,
        shell::Wants,
    },
};

/// How often the register is read again: revocations of the command line take effect within it.
const REGISTER_EVERY: Duration = Duration::from_secs(5);
/// How long a stop may take before what is left is named and left.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How often a destination that cannot be opened is tried.
const OPEN_EVERY: Duration = Duration::from_secs(10);
const CHANNEL: usize = 1024;
const BROKER_KEEP_ALIVE_SECS: u16 = 30;
const BROKER_RECEIVE_MAX: u16 = 256;

type Rooms = JoinSet<(&'static str, anyhow::Result<()>)>;
type Register = Arc<Mutex<Pki>>;

/// Runs the aggregator until it is told to stop.
///
/// # Errors
/// Whatever ended it, with everything behind it.
pub fn run(config: &Config) -> anyhow::Result<()> {
    // Where another part of the process named the provider before, it is the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    std::fs::create_dir_all(&config.state_dir)
        .with_context(|| format!("cannot make {}", config.state_dir.display()))?;
    let Some(_lock) = StateLock::take(&config.state_dir)? else {
        anyhow::bail!("docksync-aggregator is already running on {}", config.state_dir.display());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("aggregator").build()?;
    let result = runtime.block_on(serve(config));
    runtime.shutdown_timeout(STOP_WITHIN);
    result
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let pki = Pki::open_or_create(&config.state_dir.join("pki"), &config.centre.certificate_names, now)?;
    let clock: Clock = Arc::new(|| Timestamp::now().as_millisecond());
    let store = SqliteStore::open(&config.ledger_path(), Arc::clone(&clock))?;
    let (ledger_id, links) = (store.reads().ledger_id()?, links_of(store.reads())?);
    let (writer, ledger) = LedgerWriter::start(store, config.ledger.room_bytes_min)?;
    let board = Board::new(config.consumers.iter().filter(|c| c.is_erp).map(|c| c.name.clone()));
    let views = Views::default();
    let wants = Wants::default();
    let revoked_sites = Revoked::default();
    // Before anyone is told that it runs: whoever knows that may ask it to stop.
    let terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let mut rooms = Rooms::new();

    let (inbound_in, inbound) = mpsc::channel(CHANNEL);
    let (presence_in, presence) = mpsc::channel(CHANNEL);
    let ports = Ports { inbound: inbound_in, presence: presence_in };
    let (outbound, mqtt) = open_transport(config, &pki, ports, ledger_id, &stop, &mut rooms).await?;
    let enroll = TcpListener::bind(config.centre.enroll)
        .with_context(|| format!("cannot listen on {}", config.centre.enroll))?;
    let page = tokio::net::TcpListener::bind(config.centre.page)
        .await
        .with_context(|| format!("cannot listen on {}", config.centre.page))?;
    let addresses = Addresses { mqtt, enroll: enroll.local_addr()?, page: page.local_addr()? };

    let backed_up: Arc<Mutex<BTreeMap<SiteId, (u32, u64)>>> = Arc::default();
    let key = pki.centre_key()?;
    let enroll_tls = pki.enroll_config()?;
    let register: Register = Arc::new(Mutex::new(pki));
    let shared = Shared {
        ledger: ledger.clone(),
        ledger_id,
        key,
        outbound: outbound.clone(),
        views: views.clone(),
        progress: progress(&board, &views, &backed_up),
        keys_of: ask(&register, |pki, site: SiteId| pki.public_keys(&site).unwrap_or_default()),
        enrolled_at: ask(&register, |pki, site: SiteId| {
            pki.enrolled_at(&site).ok().flatten().map(|at| at.as_millisecond())
        }),
        is_approved: {
            let asked = ask(&register, |pki, (site, nonce)| pki.is_approved(&site, nonce).unwrap_or(false));
            Arc::new(move |site, nonce| asked((site, nonce)))
        },
        wants: wants.clone(),
        answering: Answering::new(config.consumers.iter().filter(|c| c.is_erp).map(|c| c.name.clone())),
        revoked: revoked_sites.clone(),
        kept: config.state_dir.join("kept"),
        active: std::sync::atomic::AtomicUsize::new(0),
    };
    let receive = Receive { shared: Arc::new(shared), inbound, presence, links };
    let receive_stop = stop.clone();
    rooms.spawn(async move { ("receive", receive.run(receive_stop).await.map_err(Into::into)) });
    let host = config.broker.as_ref().map_or(&config.centre.certificate_names[0], |b| &b.host);
    let port = config.broker.as_ref().map_or(mqtt.port(), |b| b.port);
    let state = EnrollState::new(Arc::clone(&register), host, port, Timestamp::now);
    let enroll_stop = stop.clone();
    rooms.spawn(async move {
        ("enrolment", enroll_api::serve(enroll, enroll_tls, state, enroll_stop).await.map_err(Into::into))
    });
    let gates: Gates = config.consumers.iter().map(|c| (c.name.clone(), Gate::default())).collect();
    let mut deliveries = start_deliveries(config, &ledger, &board, &clock, &stop, &gates)?;
    deliveries.push(start_reconcile(config, &ledger, (&views, &register, &wants), &clock, &stop, &gates)?);
    let backups = Backups::new(config.backup.clone(), &config.state_dir, ledger.clone());
    let backup_stop = stop.clone();
    rooms.spawn(backups.clone().run(backup_stop).map(|()| ("backups", Ok(()))));
    let insight = InsightRoom {
        backups: Arc::new(move || backups.standing()),
        listener: page,
        hosts: Vec::new(),
        ledger: config.ledger_path(),
        views: views.clone(),
        register: {
            let register = Arc::clone(&register);
            Arc::new(move || register.lock().unwrap_or_else(PoisonError::into_inner).list_sites().ok())
        },
        decisions: config.centre.page_user_header.clone().map(|user_header| Decisions {
            user_header,
            ledger: ledger.clone(),
            token: docksync_proto::identity::hex(&rand::random::<[u8; 16]>()),
        }),
        clock: Timestamp::now,
    };
    let insight_stop = stop.clone();
    rooms.spawn(async move {
        // Where people look is not where events flow: its end is said, and ends nothing else.
        if let Err(error) = insight.run(insight_stop.clone()).await {
            tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "pages ended");
        }
        insight_stop.cancelled().await;
        ("pages", Ok(()))
    });
    let keeper =
        keep_register(Arc::clone(&register), outbound, ledger.clone(), backed_up, (views, revoked_sites), stop.clone());
    rooms.spawn(async move { ("register", keeper.await) });

    announce(&config.state_dir, &addresses)?;
    let ended = wait(&mut rooms, &deliveries, terminate).await;
    stop_all(stop, rooms, deliveries, ledger, writer).await;
    ended
}

fn links_of(reader: &SqliteReader) -> anyhow::Result<BTreeMap<SiteId, StoredLink>> {
    reader
        .links()?
        .into_iter()
        .map(|row| {
            let stored = serde_json::from_slice(&row.state)
                .with_context(|| format!("the link of site {} is damaged", row.site))?;
            Ok((row.site, stored))
        })
        .collect()
}

/// The embedded listener, or the client of an outside broker.
async fn open_transport(
    config: &Config,
    pki: &Pki,
    ports: Ports,
    ledger_id: Incarnation,
    stop: &CancellationToken,
    rooms: &mut Rooms,
) -> anyhow::Result<(Outbound, SocketAddr)> {
    let stop = stop.clone();
    if let Some(broker) = &config.broker {
        let settings = BrokerSettings {
            host: broker.host.clone(),
            port: broker.port,
            tls: pki.client_config()?,
            keep_alive_secs: BROKER_KEEP_ALIVE_SECS,
            receive_max: BROKER_RECEIVE_MAX,
            will: receive::centre_state(ledger_id, false),
        };
        let (broker, outbound) = Broker::new(settings, ports);
        rooms.spawn(broker.run(stop).map(|()| ("broker", Ok(()))));
        return Ok((outbound, config.centre.mqtt));
    }
    let limits = ListenerLimits::default();
    let (listener, outbound) =
        Listener::bind(config.centre.mqtt, pki.server_config()?, pki.denylist(), limits, ports).await?;
    let addr = listener.addr();
    rooms.spawn(listener.run(stop).map(|()| ("listener", Ok(()))));
    Ok((outbound, addr))
}

fn progress(board: &Board, views: &Views, backed_up: &Arc<Mutex<BTreeMap<SiteId, (u32, u64)>>>) -> Progress {
    let (board, views, backed_up) = (board.clone(), views.clone(), Arc::clone(backed_up));
    Progress {
        applied: Arc::new(move |site| {
            let epoch = views.epoch(site);
            (epoch, board.applied(site, epoch).unwrap_or(0))
        }),
        backed_up: Arc::new(move |site| {
            backed_up.lock().unwrap_or_else(PoisonError::into_inner).get(site).copied().unwrap_or((0, 0))
        }),
    }
}

/// Asks the register on a thread that may block.
fn ask<Q: Send + 'static, A: Default + Send + 'static>(
    register: &Register,
    question: impl Fn(&Pki, Q) -> A + Clone + Send + Sync + 'static,
) -> receive::Ask<Q, A> {
    let register = Arc::clone(register);
    Arc::new(move |asked| {
        let (register, question) = (Arc::clone(&register), question.clone());
        let answer = tokio::task::spawn_blocking(move || {
            question(&register.lock().unwrap_or_else(PoisonError::into_inner), asked)
        });
        async move { answer.await.unwrap_or_default() }.boxed()
    })
}

/// One thread for each destination, and one for the requests of operators.
fn start_deliveries(
    config: &Config,
    ledger: &LedgerHandle,
    board: &Board,
    clock: &Clock,
    stop: &CancellationToken,
    gates: &Gates,
) -> anyhow::Result<Vec<(String, std::thread::JoinHandle<anyhow::Result<()>>)>> {
    let wake = Wake {
        commits: ledger.commits(),
        stop: stop.clone(),
        runtime: tokio::runtime::Handle::current(),
        clock: Arc::clone(clock),
    };
    let mut threads = Vec::new();
    for consumer in &config.consumers {
        let name = consumer.name.clone();
        let books = LiveBooks::open(ledger.clone())?;
        let gate = gates.get(&name).cloned().unwrap_or_default();
        let (wake, end, settings, board) = (wake.clone(), stop.clone(), consumer.clone(), board.clone());
        let thread = std::thread::Builder::new().name(format!("to-{name}")).spawn(move || {
            let Some(destination) = opened(&settings, &wake, &board) else { return Ok(()) };
            let deliverer = Deliverer::open(&settings.name, books, destination, board, rand::random());
            let result = deliverer
                .map_err(anyhow::Error::from)
                .and_then(|deliverer| deliver::shell::run(deliverer, wake, &gate).map_err(anyhow::Error::from));
            end_on_error(&result, &end);
            result
        })?;
        threads.push((name, thread));
    }
    let (writer, end) = (ledger.clone(), stop.clone());
    let thread = std::thread::Builder::new().name("operators".to_owned()).spawn(move || {
        let result = deliver::shell::run_ops(writer, wake).map_err(anyhow::Error::from);
        end_on_error(&result, &end);
        result
    })?;
    threads.push(("operators".to_owned(), thread));
    Ok(threads)
}

/// Opens a destination, whenever that becomes possible: a file or certificate that one of them lacks stops no other, and no site.
fn opened(settings: &ConsumerConfig, wake: &Wake, board: &Board) -> Option<Box<dyn Consumer + Send>> {
    let (mut told, since_ms) = (String::new(), (wake.clock)());
    loop {
        let error = match settings.open(wake.runtime.clone()) {
            Ok(destination) => {
                if !told.is_empty() {
                    tracing::info!(consumer = settings.name, "destination was opened");
                    board.paused(&settings.name, None);
                }
                return Some(destination);
            }
            Err(error) => format!("{:#}", anyhow::Error::from(error)),
        };
        if error != told {
            tracing::error!(consumer = settings.name, error, "destination cannot be opened, tried again until it can");
            board.paused(&settings.name, Some(&cannot_open(&error, since_ms)));
            told = error;
        }
        let is_stopped =
            wake.runtime.block_on(async { tokio::time::timeout(OPEN_EVERY, wake.stop.cancelled()).await.is_ok() });
        if is_stopped {
            return None;
        }
    }
}

fn cannot_open(error: &str, since_ms: i64) -> Incident {
    let reason = format!("it cannot be opened: {error}");
    Incident { class: FaultClass::Outage, reason, since_ms, failures: 1, next_try_ms: since_ms }
}

/// One thread that compares books. Its end is said and ends nothing else: books can be compared later.
fn start_reconcile(
    config: &Config,
    ledger: &LedgerHandle,
    (views, register, wants): (&Views, &Register, &Wants),
    clock: &Clock,
    stop: &CancellationToken,
    gates: &Gates,
) -> anyhow::Result<(String, std::thread::JoinHandle<anyhow::Result<()>>)> {
    let (views, register) = (views.clone(), Arc::clone(register));
    let room = reconcile::shell::Room {
        state_dir: config.state_dir.clone(),
        ledger: ledger.clone(),
        settings: config.reconcile.clone(),
        destinations: destinations(config, gates)?,
        told: Arc::new(move |site| {
            let view = views.all().remove(site)?;
            let (totals_head, clock_ms) = view.totals_at;
            let day = Timestamp::from_millisecond(clock_ms).unwrap_or_default().strftime("%Y%m%d").to_string();
            let totals_day = day.parse().unwrap_or(0);
            let told = Told { epoch: view.epoch, head: view.head, totals: view.totals, totals_head, totals_day };
            view.heard_at.is_some().then_some(told)
        }),
        zones: Arc::new(move || {
            let sites = register.lock().unwrap_or_else(PoisonError::into_inner).list_sites().unwrap_or_default();
            sites.into_iter().filter(|s| s.revoked_at.is_none()).map(|s| (s.site, s.time_zone)).collect()
        }),
        wants: wants.clone(),
        clock: Arc::clone(clock),
        runtime: tokio::runtime::Handle::current(),
        stop: stop.clone(),
    };
    let waits = stop.clone();
    let thread = std::thread::Builder::new().name("reconcile".to_owned()).spawn(move || {
        let runtime = room.runtime.clone();
        if let Err(error) = reconcile::shell::run(room) {
            tracing::error!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "books are not compared until the next start"
            );
            runtime.block_on(waits.cancelled());
        }
        Ok(())
    })?;
    Ok(("reconcile".to_owned(), thread))
}

/// The ERPs that can tell their balances.
pub(crate) fn destinations(config: &Config, gates: &Gates) -> anyhow::Result<Vec<Destination>> {
    let mut all = Vec::new();
    for consumer in config.consumers.iter().filter(|c| c.is_erp) {
        if let Some(balances) = consumer.balances(tokio::runtime::Handle::current())? {
            let gate = gates.get(&consumer.name).cloned().unwrap_or_default();
            all.push(Destination { name: consumer.name.clone(), balances, gate });
        }
    }
    Ok(all)
}

/// A room that keeps the ledger has failed: nothing may go on as if it had not.
fn end_on_error(result: &anyhow::Result<()>, end: &CancellationToken) {
    if result.is_err() {
        end.cancel();
    }
}

/// Reads the register again, ends the sessions of revoked sites, and looks how far backups reach.
async fn keep_register(
    register: Register,
    outbound: Outbound,
    ledger: LedgerHandle,
    backed_up: Arc<Mutex<BTreeMap<SiteId, (u32, u64)>>>,
    (views, revoked_sites): (Views, Revoked),
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut turn = tokio::time::interval(REGISTER_EVERY);
    let mut recovery = Recovery::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = turn.tick() => {}
        }
        tell_manager(&ledger, &views).await?;
        let (register, path) = (Arc::clone(&register), ledger.path().to_owned());
        let looked: JoinHandle<anyhow::Result<_>> = tokio::task::spawn_blocking(move || {
            let pki = register.lock().unwrap_or_else(PoisonError::into_inner);
            pki.refresh(Timestamp::now())?;
            let revoked: Vec<SiteId> =
                pki.list_sites()?.into_iter().filter(|s| s.revoked_at.is_some()).map(|s| s.site).collect();
            let reader = SqliteReader::open(&path)?;
            Ok((revoked, reader.sites()?, reader.is_recovering()?))
        });
        match looked.await? {
            Ok((revoked, sites, is_recovering)) => {
                let expected = sites.iter().map(|s| &s.site);
                let expected = expected.filter(|s| s.as_str() != CENTRE_STREAM && !revoked.contains(s));
                if is_recovering && recovery.is_over(expected, &views.all()) {
                    ledger.change(vec![Change::Recovered]).await?;
                    tracing::info!("every site has sent again what the restored ledger lacked");
                }
                revoked_sites.set(revoked.iter().cloned());
                // Where no backup was ever made, none can be waited for: what is marked may go when it is old.
                let reach = sites
                    .into_iter()
                    .map(|s| match s.backed_up_epoch {
                        0 => (s.site.clone(), (views.epoch(&s.site), u64::MAX)),
                        epoch => (s.site, (epoch, s.backed_up)),
                    })
                    .collect();
                *backed_up.lock().unwrap_or_else(PoisonError::into_inner) = reach;
                for site in revoked {
                    if let Err(error) = outbound.disconnect(&site).await {
                        tracing::debug!(%site, %error, "session of a revoked site was not ended here");
                    }
                }
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "register could not be read, tried again soon"),
        }
    }
}

/// A sign of life, only where the writer of the ledger still answers, and the headline.
async fn tell_manager(ledger: &LedgerHandle, views: &Views) -> anyhow::Result<()> {
    // A writer that is slow is waited for: the manager's patience decides, not ours.
    ledger.run(|_| Ok(())).await?;
    let views = views.all();
    let online = views.values().filter(|view| view.online).count();
    let waiting: u64 = views.values().map(|view| view.head.saturating_sub(view.marked)).sum();
    let held = views.values().filter(|view| !view.held.is_empty()).count();
    let mut status = format!("{online} of {} sites connected, {waiting} events on their way", views.len());
    if held > 0 {
        status.push_str(&format!(", {held} wait for approval"));
    }
    let told = sd_notify::notify(&[sd_notify::NotifyState::Watchdog, sd_notify::NotifyState::Status(&status)]);
    if let Err(error) = told {
        tracing::trace!(%error, "no service manager to tell");
    }
    Ok(())
}

/// Where the program listens.
#[derive(Debug, serde::Serialize)]
struct Addresses {
    mqtt: SocketAddr,
    enroll: SocketAddr,
    page: SocketAddr,
}

/// Tells the service manager, the journal and `run.json` beside the ledger.
fn announce(state_dir: &Path, addresses: &Addresses) -> anyhow::Result<()> {
    let json = serde_json::to_vec_pretty(&serde_json::json!({ "pid": std::process::id(), "addresses": addresses }))?;
    std::fs::write(state_dir.join("run.json"), json)?;
    tracing::info!(mqtt = %addresses.mqtt, enroll = %addresses.enroll, page = %addresses.page, "aggregator started");
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "no service manager to tell");
    }
    Ok(())
}

async fn wait(
    rooms: &mut Rooms,
    deliveries: &[(String, std::thread::JoinHandle<anyhow::Result<()>>)],
    mut terminate: Signal,
) -> anyhow::Result<()> {
    let mut look = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            Some(ended) = rooms.join_next() => {
                let (room, result) = ended?;
                result.with_context(|| format!("room {room} ended"))?;
                anyhow::bail!("room {room} ended before it was told to");
            }
            _ = look.tick() => {
                if let Some((name, _)) = deliveries.iter().find(|(_, thread)| thread.is_finished()) {
                    anyhow::bail!("delivery to {name} ended by itself; the journal says why");
                }
            }
        }
    }
}

async fn stop_all(
    stop: CancellationToken,
    mut rooms: Rooms,
    deliveries: Vec<(String, std::thread::JoinHandle<anyhow::Result<()>>)>,
    ledger: LedgerHandle,
    writer: LedgerWriter,
) {
    tracing::info!("aggregator is stopping");
    stop.cancel();
    let drain = async {
        while let Some(ended) = rooms.join_next().await {
            if let Ok((room, Err(error))) = ended {
                tracing::error!(room, error = format!("{error:#}"), "room ended with an error");
            }
        }
    };
    if tokio::time::timeout(STOP_WITHIN, drain).await.is_err() {
        tracing::warn!("rooms were late to stop; what they held is safe in the ledger or at the sites");
    }
    drop(ledger);
    let threads = tokio::task::spawn_blocking(move || {
        for (name, thread) in deliveries {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(consumer = name, error = format!("{error:#}"), "delivery ended with an error")
                }
                Err(_) => tracing::error!(consumer = name, "delivery panicked"),
            }
        }
        if let Err(error) = writer.join() {
            tracing::error!(%error, "ledger was not closed in order");
        }
    });
    if tokio::time::timeout(STOP_WITHIN, threads).await.is_err() {
        tracing::warn!("deliveries were late to stop; what was under way is settled at the next start");
    }
    tracing::info!("aggregator stopped");
}

//! A centre on loopback: authority, enrolment, and one of the two transports.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use docksync_agent::{
    enroll::{self, EnrollError},
    uplink::{
        mqtt::{ConnectionSettings, IN_FLIGHT_MAX},
        tls::Identity,
    },
};
use docksync_aggregator::{
    pki::{
        Pki, TOKEN_TTL,
        enroll_api::{self, EnrollState},
    },
    receive::{
        broker::{Broker, BrokerSettings},
        listener::{Listener, ListenerLimits},
        mosquitto::{self, MosquittoSettings},
        transport::{Inbound, Outbound, Ports, Presence},
    },
};
use docksync_proto::{site::SiteId, topic::Leaf};
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// What the centre hears when a site is lost.
pub(crate) const WILL: &[u8] = b"{\"online\":false}";
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for a named signal.
pub(crate) async fn within<T>(what: &str, signal: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, signal).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come in time"),
    }
}

pub(crate) fn say(text: &str) {
    let mut stderr = std::io::stderr();
    stderr.write_all(format!("{text}\n").as_bytes()).unwrap();
}

pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

pub(crate) fn site_id(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

/// An enrolled site.
pub(crate) struct Site {
    pub(crate) dir: PathBuf,
    pub(crate) token: String,
    pub(crate) identity: Identity,
}

impl Site {
    pub(crate) fn settings(&self) -> ConnectionSettings {
        ConnectionSettings {
            host: self.identity.centre.host.clone(),
            port: self.identity.centre.port,
            tls: Arc::clone(&self.identity.tls),
            site: self.identity.site.clone(),
            keep_alive_secs: 30,
            in_flight_max: IN_FLIGHT_MAX,
            connect_within: Duration::from_secs(20),
            will: Bytes::from_static(WILL),
        }
    }
}

pub(crate) struct Hub {
    pub(crate) port: u16,
    pub(crate) outbound: Outbound,
    receiver: mpsc::Receiver<Inbound>,
    presences: mpsc::Receiver<Presence>,
    pki: Arc<Mutex<Pki>>,
    enroll_url: String,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    dir: tempfile::TempDir,
    mosquitto: Option<Mosquitto>,
}

/// A broker of this test, ended with it.
struct Mosquitto(Child);

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        if let Err(error) = ended {
            say(&format!("mosquitto did not end: {error}"));
        }
    }
}

impl Hub {
    pub(crate) async fn embedded() -> Self {
        let (dir, pki) = authority();
        let (ports, receiver, presences) = ports();
        let tls = pki.server_config().unwrap();
        let addr = "127.0.0.1:0".parse().unwrap();
        let bound = Listener::bind(addr, tls, pki.denylist(), ListenerLimits::default(), ports).await;
        let (listener, outbound) = bound.unwrap();
        let (port, stop, mut tasks) = (listener.addr().port(), CancellationToken::new(), JoinSet::new());
        tasks.spawn(listener.run(stop.clone()));
        let (pki, enroll_url) = serve_enrolment(pki, port, &stop, &mut tasks);
        Self { port, outbound, receiver, presences, pki, enroll_url, stop, tasks, dir, mosquitto: None }
    }

    /// A Mosquitto with the generated configuration, and the centre as its client; `None` where it is not installed.
    pub(crate) async fn mosquitto() -> Option<Self> {
        let (dir, pki) = authority();
        let (ports, receiver, presences) = ports();
        // Mosquitto cannot bind port 0 and tell; the port is free a moment before.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mosquitto = start_mosquitto(dir.path(), &pki, port).await?;
        let settings = BrokerSettings {
            host: "localhost".to_owned(),
            port,
            tls: pki.client_config().unwrap(),
            keep_alive_secs: 30,
            receive_max: 64,
            will: Bytes::from_static(WILL),
        };
        let (broker, outbound) = Broker::new(settings, ports);
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(broker.run(stop.clone()));
        // Taken only once the centre is subscribed; before, a site would hear that nobody listens.
        let subscribed = async {
            while outbound.publish(&site_id("NOBODY"), Leaf::UpMark, Bytes::new()).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        within("the centre's subscription", subscribed).await;
        let (pki, enroll_url) = serve_enrolment(pki, port, &stop, &mut tasks);
        let mosquitto = Some(mosquitto);
        Some(Self { port, outbound, receiver, presences, pki, enroll_url, stop, tasks, dir, mosquitto })
    }

    pub(crate) async fn enroll(&mut self, name: &str) -> Site {
        let token = {
            let mut pki = self.pki.lock().unwrap();
            pki.add_site(&site_id(name), "North", "Europe/Paris", TOKEN_TTL, now()).unwrap().reveal()
        };
        let identity = self.enroll_with(&token, name).await.unwrap();
        Site { dir: self.folder(name), token, identity }
    }

    pub(crate) async fn enroll_with(&self, token: &str, folder: &str) -> Result<Identity, EnrollError> {
        within("enrolment", enroll::enroll(&self.enroll_url, token, &self.folder(folder), now())).await
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("site-{name}"))
    }

    pub(crate) fn revoke(&self, name: &str) {
        self.pki.lock().unwrap().revoke(&site_id(name), now()).unwrap();
    }

    /// The next message of a kind; others are acknowledged and passed over.
    pub(crate) async fn inbound(&mut self, leaf: Leaf) -> Inbound {
        loop {
            let message = within("a message", self.receiver.recv()).await.unwrap();
            if message.leaf == leaf {
                return message;
            }
            message.done.ack();
        }
    }

    pub(crate) async fn presence(&mut self) -> Presence {
        within("a notice of presence", self.presences.recv()).await.unwrap()
    }

    /// Whether an outside broker lies between.
    pub(crate) const fn is_foreign(&self) -> bool {
        self.mosquitto.is_some()
    }

    /// The room's end of the messages, for a task of its own.
    pub(crate) fn take_receiver(&mut self) -> mpsc::Receiver<Inbound> {
        std::mem::replace(&mut self.receiver, mpsc::channel(1).1)
    }

    pub(crate) fn tls_without_certificate(&self) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(self.pki.lock().unwrap().ca_pem().as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = within("the end of the tasks", self.tasks.join_next()).await {
            ended.unwrap();
        }
        drop(self.mosquitto.take());
    }
}

fn authority() -> (tempfile::TempDir, Pki) {
    let dir = tempfile::tempdir().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let pki = Pki::open_or_create(&dir.path().join("pki"), &names, now()).unwrap();
    (dir, pki)
}

fn ports() -> (Ports, mpsc::Receiver<Inbound>, mpsc::Receiver<Presence>) {
    // Room for few, so that back-pressure is met.
    let (inbound, receiver) = mpsc::channel(2);
    let (presence, presences) = mpsc::channel(64);
    (Ports { inbound, presence }, receiver, presences)
}

fn serve_enrolment(
    pki: Pki,
    mqtt_port: u16,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> (Arc<Mutex<Pki>>, String) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", socket.local_addr().unwrap().port());
    let tls = pki.enroll_config().unwrap();
    let pki = Arc::new(Mutex::new(pki));
    let state = EnrollState::new(Arc::clone(&pki), "localhost", mqtt_port, now);
    let stop = stop.clone();
    tasks.spawn(async move { enroll_api::serve(socket, tls, state, stop).await.unwrap() });
    (pki, url)
}

async fn start_mosquitto(dir: &Path, pki: &Pki, port: u16) -> Option<Mosquitto> {
    let (acl, config) = (dir.join("mosquitto.acl"), dir.join("mosquitto.conf"));
    let persistence = dir.join("mosquitto");
    std::fs::create_dir(&persistence).unwrap();
    std::fs::write(&acl, mosquitto::acl()).unwrap();
    let mut text = mosquitto::config(&MosquittoSettings {
        addr: ([127, 0, 0, 1], port).into(),
        ca: &pki.path("ca.pem"),
        certificate: &pki.path("server.pem"),
        key: &pki.path("server.key"),
        crl: &pki.crl_path(),
        acl: &acl,
        persistence: &persistence,
        inflight_max: 64,
    });
    // Started by root it would change to a user that cannot read the folder of the test.
    if rustix::process::geteuid().is_root() {
        text.push_str("user root\n");
    }
    text.push_str("log_dest stderr\n");
    std::fs::write(&config, text).unwrap();
    let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
    let mut child = Command::new(program).arg("-c").arg(&config).stderr(Stdio::piped()).spawn().ok()?;
    let (ready, running) = oneshot::channel();
    let stderr = child.stderr.take().unwrap();
    let mosquitto = Mosquitto(child);
    // Its log must be read for as long as it runs, or it would block on a full pipe.
    std::thread::spawn(move || follow(stderr, ready));
    assert!(within("mosquitto", running).await.is_ok(), "mosquitto did not start");
    Some(mosquitto)
}

fn follow(stderr: ChildStderr, ready: oneshot::Sender<()>) {
    let mut ready = Some(ready);
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        say(&line);
        if line.contains("running")
            && let Some(ready) = ready.take()
        {
            ready.send(()).unwrap();
        }
    }
}

//! One disposable MQTT 5 connection to the centre. The only file of the agent that names rumqttc.
//!
//! [`Connection::open`] starts it, [`Connection::next`] gives its [`Event`]s, and after [`Event::Lost`] it is thrown away:
//! the queue on disk is the only memory, so no session survives, and nothing here connects again. Every channel is
//! bounded; the window of unacknowledged messages is counted at the door.

use std::{collections::VecDeque, future::Future, io, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use docksync_proto::{
    frame::FRAME_BYTES_MAX,
    site::SiteId,
    topic::{self, CENTRE, Leaf},
};
use rumqttc::{
    AsyncClient, Broker, ConnectReturnCode, ConnectionError, DisconnectReasonCode, EventLoop, LastWill, MqttOptions,
    Packet, PubAckReason, PublishNoticeError, PublishOptions, PublishResult, QoS, StateError, SubscribeFilter,
    SubscribeReasonCode, TlsConfiguration, Transport, mqttbytes::Error as MqttError,
};
use rustls::ClientConfig;
use tokio::{
    net::{TcpStream, lookup_host},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::tls::{TlsFault, tls_error};

/// Messages that may be unacknowledged unless set otherwise.
pub const IN_FLIGHT_MAX: u16 = 32;
/// Room for topic and properties around the largest frame.
const TOPIC_SLACK_BYTES: usize = 4096;
/// Events that may wait besides one per message in flight.
const EVENTS_SLACK: usize = 64;
/// Longest wait for one address to take the TCP connection.
const TCP_WITHIN: Duration = Duration::from_secs(10);

/// How to reach the centre.
#[derive(Clone)]
pub struct ConnectionSettings {
    /// Host name or address, as in the centre's certificate.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS with this site's certificate ([`super::tls::Identity::tls`]).
    pub tls: Arc<ClientConfig>,
    /// This site.
    pub site: SiteId,
    /// Longest silence, in seconds.
    pub keep_alive_secs: u16,
    /// Messages that may be unacknowledged.
    pub in_flight_max: u16,
    /// Longest wait from TCP to CONNACK.
    pub connect_within: Duration,
    /// What the centre hears as this site's state when the site is lost.
    pub will: Bytes,
}

impl std::fmt::Debug for ConnectionSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionSettings").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Where a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The centre's state.
    Centre,
    /// A topic of this site.
    Leaf(Leaf),
}

/// What the other end made of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckReason {
    /// Taken.
    Success,
    /// Taken, but nobody listens: the centre is away (0x10).
    NobodyListens,
    /// Refused by the access list (0x87).
    NotAuthorized,
    /// Refused as over a quota (0x97).
    QuotaExceeded,
    /// Refused for another reason, by its MQTT code.
    Refused(u8),
}

/// What happened on the connection.
#[derive(Debug)]
pub enum Event {
    /// The login was granted.
    Connected,
    /// The centre's topics are subscribed.
    Subscribed,
    /// A message of the centre.
    Message {
        /// Which topic.
        source: Source,
        /// Frame, or JSON of the centre's state.
        payload: Bytes,
    },
    /// A message was acknowledged.
    PubAck {
        /// As given to [`Connection::try_publish`].
        token: u64,
        /// How.
        reason: AckReason,
    },
    /// The end; nothing follows.
    Lost {
        /// Why.
        why: LostReason,
    },
}

/// Why a connection ended or never was.
#[derive(Debug, thiserror::Error)]
pub enum LostReason {
    /// The name does not resolve.
    #[error("the name {host} cannot be resolved; check the name and this machine's DNS")]
    Dns {
        /// Which name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody listens there.
    #[error("{host} refuses the connection; check the port, and whether the aggregator runs")]
    TcpRefused {
        /// Host and port.
        host: String,
    },
    /// No answer.
    #[error("{host} does not answer; check the network and the firewall")]
    TcpTimeout {
        /// Host and port.
        host: String,
    },
    /// Another fault of the network.
    #[error("the network failed")]
    Network(#[source] io::Error),
    /// TLS failed.
    #[error("{}", fault.as_str())]
    Tls {
        /// What it means.
        fault: TlsFault,
        /// What TLS says.
        text: String,
    },
    /// The login took too long.
    #[error("the centre did not answer the login in time")]
    LoginTimeout,
    /// The login or the session was refused for this site (0x87).
    #[error("the centre does not authorise this site; its certificate may be revoked")]
    NotAuthorized,
    /// The login was refused.
    #[error("the centre refused the login: {code}")]
    Refused {
        /// As MQTT names it.
        code: String,
    },
    /// A subscription was refused.
    #[error("the centre refused a subscription")]
    NotSubscribed,
    /// Another machine logged in as this site (0x8E).
    #[error("another machine logged in as this site; make sure that only one agent runs with this certificate")]
    TakenOver,
    /// The centre stops (0x8B).
    #[error("the centre is shutting down")]
    ServerShuttingDown,
    /// The centre closed the session.
    #[error("the centre closed the session: {code}")]
    ServerClosed {
        /// As MQTT names it.
        code: String,
    },
    /// Nothing was heard for too long.
    #[error("nothing was heard from the centre for 2.5 times the keep-alive")]
    Silent,
    /// The other end does not speak MQTT as agreed.
    #[error("the protocol was violated: {text}")]
    Protocol {
        /// What was wrong.
        text: String,
    },
    /// This end let go.
    #[error("the connection was closed from here")]
    Closed,
}

/// The window is full: the message was not taken and may be offered again after an [`Event::PubAck`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the window of unacknowledged messages is full")]
pub struct Busy;

/// What the door asks of the task.
enum Ask {
    Publish { leaf: Leaf, payload: Bytes, token: u64 },
    Goodbye,
}

/// One connection; dropping it closes the socket at once, and the centre hears the last will.
#[derive(Debug)]
pub struct Connection {
    asks: mpsc::Sender<Ask>,
    events: mpsc::Receiver<Event>,
    in_flight: usize,
    in_flight_max: usize,
    /// Aborts the task when the connection is dropped.
    task: JoinSet<()>,
}

impl Connection {
    /// Starts to connect; must be called within a tokio runtime.
    pub fn open(settings: &ConnectionSettings) -> Self {
        let in_flight_max = usize::from(settings.in_flight_max.max(1));
        let (sender, asks) = mpsc::channel(in_flight_max + 1);
        let (events_in, events) = mpsc::channel(in_flight_max + EVENTS_SLACK);
        let driver = Driver::new(settings, asks, events_in);
        let mut task = JoinSet::new();
        task.spawn(driver.run());
        Self { asks: sender, events, in_flight: 0, in_flight_max, task }
    }

    /// The next event; may be dropped without loss. After the end it gives [`LostReason::Closed`] for ever.
    pub async fn next(&mut self) -> Event {
        let event = self.events.recv().await.unwrap_or(Event::Lost { why: LostReason::Closed });
        if matches!(event, Event::PubAck { .. }) {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        event
    }

    /// Publishes to a topic of this site at QoS 1 (the state retained); `token` comes back in [`Event::PubAck`].
    ///
    /// # Errors
    /// [`Busy`].
    pub fn try_publish(&mut self, leaf: Leaf, payload: Bytes, token: u64) -> Result<(), Busy> {
        if self.in_flight >= self.in_flight_max {
            return Err(Busy);
        }
        self.asks.try_send(Ask::Publish { leaf, payload, token }).map_err(|_| Busy)?;
        self.in_flight += 1;
        Ok(())
    }

    /// How many more messages would be taken now.
    pub const fn room(&self) -> usize {
        self.in_flight_max - self.in_flight
    }

    /// Says goodbye, so that no last will is heard, and waits for the end.
    pub async fn close(mut self, within: Duration) {
        let end = async {
            if self.asks.send(Ask::Goodbye).await.is_err() {
                return;
            }
            while self.events.recv().await.is_some() {}
            while self.task.join_next().await.is_some() {}
        };
        if timeout(within, end).await.is_err() {
            tracing::debug!("centre did not take the goodbye in time");
        }
    }
}

type Notice = Pin<Box<dyn Future<Output = Result<PublishResult, PublishNoticeError>> + Send>>;

struct Driver {
    client: AsyncClient,
    polls: EventLoop,
    site: SiteId,
    silence_max: Duration,
    silent_until: Instant,
    asks: mpsc::Receiver<Ask>,
    events: mpsc::Sender<Event>,
    unacked: VecDeque<(u64, Notice)>,
    is_connected: bool,
    is_closing: bool,
}

impl Driver {
    fn new(settings: &ConnectionSettings, asks: mpsc::Receiver<Ask>, events: mpsc::Sender<Event>) -> Self {
        let capacity = usize::from(settings.in_flight_max) + 8;
        let (client, polls) = AsyncClient::builder(options(settings)).capacity(capacity).build();
        let silence_max = Duration::from_secs(u64::from(settings.keep_alive_secs)).mul_f64(2.5);
        let silence_max = silence_max.max(settings.connect_within);
        Self {
            client,
            polls,
            site: settings.site.clone(),
            silence_max,
            silent_until: Instant::now() + silence_max,
            asks,
            events,
            unacked: VecDeque::new(),
            is_connected: false,
            is_closing: false,
        }
    }

    async fn run(mut self) {
        let why = loop {
            if let Err(why) = self.step().await {
                break why;
            }
        };
        if self.events.send(Event::Lost { why }).await.is_err() {
            tracing::trace!("nobody waited for the end of the connection");
        }
    }

    async fn step(&mut self) -> Result<(), LostReason> {
        tokio::select! {
            polled = timeout_at(self.silent_until, self.polls.poll()) => match polled {
                Ok(Ok(event)) => {
                    self.silent_until = Instant::now() + self.silence_max;
                    match event {
                        rumqttc::Event::Incoming(packet) => self.on_packet(packet).await,
                        rumqttc::Event::Outgoing(_) | rumqttc::Event::Auth(_) => Ok(()),
                    }
                }
                Ok(Err(error)) => Err(if self.is_closing { LostReason::Closed } else { explain(error) }),
                Err(_) => Err(LostReason::Silent),
            },
            (token, result) = front(&mut self.unacked) => {
                let reason = ack_reason(result)?;
                self.tell(Event::PubAck { token, reason }).await
            }
            // While it connects the library starts over when its future is dropped, so nothing else may wake this.
            ask = self.asks.recv(), if self.is_connected && !self.is_closing => match ask {
                Some(Ask::Publish { leaf, payload, token }) => self.publish(leaf, payload, token),
                Some(Ask::Goodbye) => {
                    self.is_closing = true;
                    self.client.try_disconnect().map_err(|_| LostReason::Closed)
                }
                // Dropped at the door: no goodbye, so that the last will is heard.
                None => Err(LostReason::Closed),
            },
        }
    }

    fn publish(&mut self, leaf: Leaf, payload: Bytes, token: u64) -> Result<(), LostReason> {
        let options = PublishOptions::at_least_once().retain(leaf == Leaf::State);
        let notice = self
            .client
            .try_publish_tracked(topic::of(&self.site, leaf), payload, options)
            .map_err(|error| LostReason::Protocol { text: error.to_string() })?;
        self.unacked.push_back((token, Box::pin(notice.wait_async())));
        Ok(())
    }

    async fn on_packet(&mut self, packet: Packet) -> Result<(), LostReason> {
        match packet {
            Packet::ConnAck(_) => {
                self.is_connected = true;
                let filters = topic::agent_filters(&self.site);
                let filters = filters.into_iter().map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce));
                let asked = self.client.try_subscribe_many(filters);
                asked.map_err(|error| LostReason::Protocol { text: error.to_string() })?;
                self.tell(Event::Connected).await
            }
            Packet::SubAck(ack) => {
                let is_granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                if !ack.return_codes.iter().all(is_granted) {
                    return Err(LostReason::NotSubscribed);
                }
                self.tell(Event::Subscribed).await
            }
            Packet::Publish(publish) => match self.source(&publish.topic) {
                Some(source) => self.tell(Event::Message { source, payload: publish.payload }).await,
                None => {
                    tracing::warn!("message on a topic that was not subscribed");
                    Ok(())
                }
            },
            Packet::Disconnect(goodbye) => Err(explain_goodbye(goodbye.reason_code)),
            _ => Ok(()),
        }
    }

    fn source(&self, topic: &[u8]) -> Option<Source> {
        let topic = std::str::from_utf8(topic).ok()?;
        if topic == CENTRE {
            return Some(Source::Centre);
        }
        topic::parse(topic).filter(|(site, _)| *site == self.site).map(|(_, leaf)| Source::Leaf(leaf))
    }

    async fn tell(&mut self, event: Event) -> Result<(), LostReason> {
        self.events.send(event).await.map_err(|_| LostReason::Closed)
    }
}

fn options(settings: &ConnectionSettings) -> MqttOptions {
    let will =
        LastWill::new(topic::of(&settings.site, Leaf::State), settings.will.clone(), QoS::AtLeastOnce, true, None);
    let address = Broker::tcp(settings.host.clone(), settings.port);
    let mut options = MqttOptions::new(settings.site.as_str(), address);
    options
        .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(&settings.tls))))
        .set_keep_alive(settings.keep_alive_secs)
        .set_clean_start(true)
        // The centre's limit towards us; its own, the other way, comes with its CONNACK and is kept by the library.
        .set_max_packet_size(u32::try_from(FRAME_BYTES_MAX + TOPIC_SLACK_BYTES).ok())
        .set_outgoing_inflight_upper_limit(settings.in_flight_max.max(1))
        .set_connect_timeout(settings.connect_within)
        .set_last_will(will)
        .set_socket_connector(|host, _| connect(host));
    options
}

/// Connects by hand, so that a name that does not resolve can be told from a machine that does not answer.
async fn connect(host: String) -> io::Result<TcpStream> {
    let addrs = lookup_host(host.as_str()).await;
    let addrs = addrs.map_err(|source| io::Error::other(LostReason::Dns { host: host.clone(), source }))?;
    let mut last = LostReason::TcpTimeout { host: host.clone() };
    for addr in addrs {
        last = match timeout(TCP_WITHIN, TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                LostReason::TcpRefused { host: host.clone() }
            }
            Ok(Err(error)) => LostReason::Network(error),
            Err(_) => LostReason::TcpTimeout { host: host.clone() },
        };
    }
    Err(io::Error::other(last))
}

fn explain(error: ConnectionError) -> LostReason {
    if let Some(tls) = find_tls(&error) {
        return LostReason::Tls { fault: TlsFault::of(tls), text: tls.to_string() };
    }
    match error {
        ConnectionError::Io(error) => explain_io(error),
        ConnectionError::Tls(error) => LostReason::Tls { fault: TlsFault::Other, text: error.to_string() },
        ConnectionError::Timeout(_) => LostReason::LoginTimeout,
        ConnectionError::ConnectionRefused(code) => explain_refusal(code),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => explain_goodbye(reason_code),
        ConnectionError::MqttState(StateError::ConnFail { reason }) => explain_refusal(reason),
        ConnectionError::MqttState(StateError::Io(error) | StateError::Deserialization(MqttError::Io(error))) => {
            explain_io(error)
        }
        ConnectionError::MqttState(StateError::AwaitPingResp) => LostReason::Silent,
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            LostReason::Network(io::ErrorKind::ConnectionAborted.into())
        }
        other => LostReason::Protocol { text: other.to_string() },
    }
}

fn explain_io(error: io::Error) -> LostReason {
    match error.downcast::<LostReason>() {
        Ok(reason) => reason,
        Err(error) => LostReason::Network(error),
    }
}

fn explain_refusal(code: ConnectReturnCode) -> LostReason {
    match code {
        ConnectReturnCode::NotAuthorized | ConnectReturnCode::Banned => LostReason::NotAuthorized,
        code => LostReason::Refused { code: format!("{code:?}") },
    }
}

fn explain_goodbye(code: DisconnectReasonCode) -> LostReason {
    match code {
        DisconnectReasonCode::SessionTakenOver => LostReason::TakenOver,
        DisconnectReasonCode::ServerShuttingDown => LostReason::ServerShuttingDown,
        DisconnectReasonCode::NotAuthorized | DisconnectReasonCode::AdministrativeAction => LostReason::NotAuthorized,
        code => LostReason::ServerClosed { code: format!("{code:?}") },
    }
}

/// The error of TLS inside; the library hides errors of the codec from the chain of sources.
fn find_tls(error: &ConnectionError) -> Option<&rustls::Error> {
    match error {
        ConnectionError::MqttState(StateError::Deserialization(MqttError::Io(inner))) => tls_error(inner),
        error => tls_error(error),
    }
}

fn ack_reason(result: Result<PublishResult, PublishNoticeError>) -> Result<AckReason, LostReason> {
    let reason = match result {
        Ok(PublishResult::Qos1(ack)) => ack.reason,
        Ok(PublishResult::Qos0Flushed | PublishResult::Qos2Completed(_) | PublishResult::Qos2PubRecRejected(_)) => {
            return Err(LostReason::Protocol { text: "an acknowledgement of another QoS came".to_owned() });
        }
        Err(PublishNoticeError::V5PubAck(reason)) => reason,
        Err(error) => return Err(LostReason::Protocol { text: error.to_string() }),
    };
    Ok(match reason {
        PubAckReason::Success => AckReason::Success,
        PubAckReason::NoMatchingSubscribers => AckReason::NobodyListens,
        PubAckReason::NotAuthorized => AckReason::NotAuthorized,
        PubAckReason::QuotaExceeded => AckReason::QuotaExceeded,
        other => AckReason::Refused(other as u8),
    })
}

/// The acknowledgement of the oldest message: MQTT keeps their order.
async fn front(unacked: &mut VecDeque<(u64, Notice)>) -> (u64, Result<PublishResult, PublishNoticeError>) {
    let Some((token, notice)) = unacked.front_mut() else { return std::future::pending().await };
    let answer = (*token, notice.as_mut().await);
    unacked.pop_front();
    answer
}

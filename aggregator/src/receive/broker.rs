//! The centre as a client of an outside MQTT 5 broker: the same messages and orders as the embedded listener.
//!
//! Each connection has a fresh client with a clean start, thrown away at its first error: the sites keep what is not
//! marked, so no broker session is worth its bugs. A message is acknowledged to the broker after its `Done`, in order.
//! Presence comes from the retained state messages and last wills: `{"online": false}` or an empty payload means away.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use docksync_proto::{
    site::SiteId,
    topic::{self, CENTRE, Leaf},
};
use rand::Rng;
use rumqttc::{
    AckMode, AsyncClient, Broker as Address, ConnectionError, Event, EventLoop, LastWill, ManualAck, MqttOptions,
    Packet, PubAckReason, Publish, PublishOptions, QoS, SubscribeFilter, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    listener::PACKET_BYTES_MAX,
    transport::{Ask, Done, Inbound, Outbound, OutboundError, Ports, Presence, RefuseCode, Verdict},
};
use crate::pki::CENTRE_NAME;

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Requests that may wait in the client.
const REQUESTS_MAX: usize = 512;

/// How to reach the broker.
#[derive(Clone)]
pub struct BrokerSettings {
    /// Host name, as in the broker's certificate.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Identity of the centre ([`crate::pki::Pki::client_config`]).
    pub tls: Arc<ClientConfig>,
    /// Longest silence, in seconds.
    pub keep_alive_secs: u16,
    /// Messages that may be unacknowledged, over all sites.
    pub receive_max: u16,
    /// What the broker publishes as the centre's state when the centre is lost.
    pub will: Bytes,
}

impl std::fmt::Debug for BrokerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerSettings").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// The client of an outside broker.
#[derive(Debug)]
pub struct Broker {
    settings: BrokerSettings,
    ports: Ports,
    asks: mpsc::Receiver<Ask>,
    centre: Bytes,
    online: BTreeMap<SiteId, bool>,
}

/// Why a connection to the broker ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the broker was lost")]
    Lost(#[source] Box<ConnectionError>),
    #[error("the broker was silent for 2.5 times the keep-alive")]
    Silent,
    #[error("the broker refuses a subscription")]
    NotSubscribed,
    #[error("a message was dropped unacknowledged")]
    Dropped,
    #[error("the client takes no requests")]
    Full,
    #[error("stopped")]
    Stopped,
}

impl Broker {
    /// Prepares the client; nothing is connected before [`Self::run`].
    pub fn new(settings: BrokerSettings, ports: Ports) -> (Self, Outbound) {
        let (outbound, asks) = Outbound::channel();
        (Self { settings, ports, asks, centre: Bytes::new(), online: BTreeMap::new() }, outbound)
    }

    /// Serves until `stop`; connects again after every loss, with a jittered and growing pause.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut failures = 0_u32;
        while !stop.is_cancelled() {
            let mut attempt = Attempt::new(&self.settings);
            let ended = attempt.run(&mut self, &stop).await;
            failures = if attempt.was_subscribed { 1 } else { failures.saturating_add(1) };
            if matches!(ended, Ended::Stopped) {
                attempt.say_goodbye(&self.centre).await;
                return;
            }
            tracing::warn!(error = &ended as &dyn std::error::Error, attempt = failures, "broker connection ended");
            self.everybody_away().await;
            self.pause(failures, &stop).await;
        }
    }

    async fn everybody_away(&mut self) {
        for (site, _) in std::mem::take(&mut self.online).into_iter().filter(|(_, online)| *online) {
            self.tell(site, false).await;
        }
    }

    async fn tell(&mut self, site: SiteId, online: bool) {
        if self.online.insert(site.clone(), online) != Some(online)
            && self.ports.presence.send(Presence { site, online, peer: None }).await.is_err()
        {
            tracing::debug!("nobody takes notices of presence");
        }
    }

    /// Waits, while orders are answered: their senders must not hang on a broker that is away.
    async fn pause(&mut self, failures: u32, stop: &CancellationToken) {
        let longest = BACKOFF_MIN.saturating_mul(1 << failures.min(6)).min(BACKOFF_MAX);
        let pause = sleep(longest.mul_f64(rand::rng().random_range(0.5..1.0)));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                () = stop.cancelled() => return,
                Some(ask) = self.asks.recv() => self.answer_away(ask),
            }
        }
    }

    /// Answers an order while there is no connection.
    fn answer_away(&mut self, ask: Ask) {
        match ask {
            Ask::SetCentre { payload, reply } => {
                // Published at the next login.
                self.centre = payload;
                answer(reply, Ok(()));
            }
            Ask::Publish { reply, .. } => answer(reply, Err(OutboundError::BrokerAway)),
            Ask::Disconnect { reply, .. } => answer(reply, Err(OutboundError::NotOurs)),
        }
    }
}

/// One connection, thrown away at its end.
struct Attempt {
    client: AsyncClient,
    events: EventLoop,
    silence_max: Duration,
    silent_until: Instant,
    was_subscribed: bool,
    /// Messages that the receiving room had no room for; bounded by the receive maximum.
    backlog: VecDeque<Inbound>,
    backlog_max: usize,
    unacked: VecDeque<(ManualAck, oneshot::Receiver<Verdict>)>,
}

impl Attempt {
    fn new(settings: &BrokerSettings) -> Self {
        let packet_bytes_max = u32::try_from(PACKET_BYTES_MAX).ok();
        let mut options = MqttOptions::new(CENTRE_NAME, Address::tcp(settings.host.clone(), settings.port));
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(&settings.tls))))
            .set_keep_alive(settings.keep_alive_secs)
            .set_clean_start(true)
            .set_max_packet_size(packet_bytes_max)
            .set_receive_maximum(Some(settings.receive_max))
            .set_ack_mode(AckMode::Manual)
            .set_last_will(LastWill::new(CENTRE, settings.will.clone(), QoS::AtLeastOnce, true, None));
        let (client, events) = AsyncClient::builder(options).capacity(REQUESTS_MAX).build();
        let silence_max = Duration::from_secs(u64::from(settings.keep_alive_secs)).mul_f64(2.5);
        let backlog_max = usize::from(settings.receive_max);
        let (backlog, unacked) = (VecDeque::new(), VecDeque::new());
        let silent_until = Instant::now() + silence_max;
        Self { client, events, silence_max, silent_until, was_subscribed: false, backlog, backlog_max, unacked }
    }

    /// Connects; the library starts over when its future is dropped, so it is held while orders are answered.
    async fn connect(&mut self, broker: &mut Broker, stop: &CancellationToken) -> Result<(), Ended> {
        let first = {
            let polled = timeout(self.silence_max, self.events.poll());
            tokio::pin!(polled);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Err(Ended::Stopped),
                    first = &mut polled => break first,
                    Some(ask) = broker.asks.recv() => broker.answer_away(ask),
                }
            }
        };
        let event = first.map_err(|_| Ended::Silent)?.map_err(|error| Ended::Lost(Box::new(error)))?;
        self.on_event(event, broker).await
    }

    async fn run(&mut self, broker: &mut Broker, stop: &CancellationToken) -> Ended {
        if let Err(ended) = self.connect(broker, stop).await {
            return ended;
        }
        self.silent_until = Instant::now() + self.silence_max;
        let mut asks_open = true;
        loop {
            let inbound = broker.ports.inbound.clone();
            let step = tokio::select! {
                () = stop.cancelled() => Err(Ended::Stopped),
                polled = timeout_at(self.silent_until, self.events.poll()) => match polled {
                    Ok(Ok(event)) => {
                        self.silent_until = Instant::now() + self.silence_max;
                        self.on_event(event, broker).await
                    }
                    Ok(Err(error)) => Err(Ended::Lost(Box::new(error))),
                    Err(_) => Err(Ended::Silent),
                },
                verdict = front(&mut self.unacked) => self.on_verdict(verdict),
                permit = inbound.reserve_owned(), if !self.backlog.is_empty() => {
                    match (permit, self.backlog.pop_front()) {
                        (Ok(permit), Some(message)) => { permit.send(message); Ok(()) }
                        (Ok(_), None) => Ok(()),
                        (Err(_), _) => Err(Ended::Stopped),
                    }
                }
                ask = broker.asks.recv(), if asks_open => match ask {
                    Some(ask) => self.on_ask(ask, &mut broker.centre),
                    None => { asks_open = false; Ok(()) }
                },
            };
            if let Err(ended) = step {
                return ended;
            }
        }
    }

    async fn on_event(&mut self, event: Event, broker: &mut Broker) -> Result<(), Ended> {
        let Event::Incoming(packet) = event else { return Ok(()) };
        match packet {
            Packet::ConnAck(_) => {
                let filters = topic::centre_filters().into_iter().map(|f| SubscribeFilter::new(f, QoS::AtLeastOnce));
                self.client.try_subscribe_many(filters).map_err(|_| Ended::Full)?;
                self.publish_centre(broker.centre.clone())
            }
            Packet::SubAck(ack) if ack.return_codes.iter().all(|code| is_granted(*code)) => {
                tracing::info!("broker connected");
                self.was_subscribed = true;
                Ok(())
            }
            Packet::SubAck(_) => Err(Ended::NotSubscribed),
            Packet::Publish(publish) => self.on_publish(publish, broker).await,
            _ => Ok(()),
        }
    }

    async fn on_publish(&mut self, publish: Publish, broker: &mut Broker) -> Result<(), Ended> {
        let done = match self.client.prepare_ack(&publish) {
            Some(ack) => {
                let (done, verdict) = Done::pair();
                self.unacked.push_back((ack, verdict));
                done
            }
            None => Done::unawaited(),
        };
        let named = std::str::from_utf8(&publish.topic).ok().and_then(topic::parse);
        let Some((site, leaf)) = named.filter(|(_, leaf)| leaf.is_from_site()) else {
            tracing::warn!("message on a topic that is none of ours");
            done.refuse(RefuseCode::NotAuthorized);
            return Ok(());
        };
        if leaf == Leaf::State {
            let online = is_online(&publish.payload);
            broker.tell(site.clone(), online).await;
        }
        let message = Inbound { site, leaf, payload: publish.payload, done };
        self.hand_on(message, &broker.ports.inbound)
    }

    fn hand_on(&mut self, message: Inbound, inbound: &mpsc::Sender<Inbound>) -> Result<(), Ended> {
        // QoS 1 keeps to the receive maximum, which bounds the backlog; QoS 0 keeps to nothing and may get lost.
        if !message.done.is_awaited() && self.backlog.len() >= self.backlog_max {
            tracing::warn!(site = %message.site, "unacknowledged message was dropped, the room is full");
            return Ok(());
        }
        if !self.backlog.is_empty() {
            self.backlog.push_back(message);
            return Ok(());
        }
        match inbound.try_send(message) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(message)) => {
                self.backlog.push_back(message);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Ended::Stopped),
        }
    }

    fn on_verdict(&mut self, (ack, verdict): (ManualAck, Option<Verdict>)) -> Result<(), Ended> {
        let verdict = verdict.ok_or(Ended::Dropped)?;
        let mut ack = ack;
        if let (ManualAck::PubAck(ack), Verdict::Refused(_)) = (&mut ack, verdict) {
            // The broker, not the site, reads this reason; the site learns of refusals by frames.
            ack.reason = PubAckReason::ImplementationSpecificError;
        }
        self.client.try_manual_ack(ack).map_err(|_| Ended::Full)
    }

    fn on_ask(&mut self, ask: Ask, centre: &mut Bytes) -> Result<(), Ended> {
        match ask {
            Ask::Publish { site, leaf, payload, reply } => {
                let options = PublishOptions::new(QoS::AtLeastOnce);
                let sent = if self.was_subscribed {
                    let sent = self.client.try_publish(topic::of(&site, leaf), payload, options);
                    sent.map_err(|_| OutboundError::BrokerAway)
                } else {
                    Err(OutboundError::BrokerAway)
                };
                answer(reply, sent);
            }
            Ask::SetCentre { payload, reply } => {
                centre.clone_from(&payload);
                let sent = if self.was_subscribed { self.publish_centre(payload) } else { Ok(()) };
                answer(reply, Ok(()));
                sent?;
            }
            Ask::Disconnect { reply, .. } => answer(reply, Err(OutboundError::NotOurs)),
        }
        Ok(())
    }

    fn publish_centre(&self, payload: Bytes) -> Result<(), Ended> {
        if payload.is_empty() {
            return Ok(());
        }
        let options = PublishOptions::new(QoS::AtLeastOnce).retained();
        self.client.try_publish(CENTRE, payload, options).map_err(|_| Ended::Full)
    }

    /// Leaves in order; the room has set the state that says so before.
    async fn say_goodbye(&mut self, centre: &Bytes) {
        tracing::debug!(centre_bytes = centre.len(), "broker connection is closed");
        if self.client.try_disconnect().is_err() {
            return;
        }
        let farewell = async { while self.events.poll().await.is_ok() {} };
        if timeout(BACKOFF_MIN, farewell).await.is_err() {
            tracing::debug!("broker did not take the goodbye");
        }
    }
}

fn is_granted(code: rumqttc::SubscribeReasonCode) -> bool {
    matches!(code, rumqttc::SubscribeReasonCode::Success(_))
}

/// A site is there unless its state says otherwise or was cleared.
fn is_online(state: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct State {
        online: Option<bool>,
    }
    !state.is_empty() && serde_json::from_slice::<State>(state).ok().and_then(|state| state.online).unwrap_or(true)
}

fn answer(reply: oneshot::Sender<Result<(), OutboundError>>, answer: Result<(), OutboundError>) {
    if reply.send(answer).is_err() {
        tracing::trace!("nobody waited for the answer");
    }
}

async fn front(unacked: &mut VecDeque<(ManualAck, oneshot::Receiver<Verdict>)>) -> (ManualAck, Option<Verdict>) {
    let Some((_, receiver)) = unacked.front_mut() else { return std::future::pending().await };
    let verdict = receiver.await.ok();
    match unacked.pop_front() {
        Some((ack, _)) => (ack, verdict),
        None => std::future::pending().await,
    }
}

//! One connection: translates between the socket, the channels and the pure [`Session`].

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use docksync_proto::{site::SiteId, topic::Leaf};
use futures_util::{SinkExt, StreamExt};
use rumqttc::{
    Codec, Connect, ConnectReturnCode, Disconnect, DisconnectReasonCode, LastWill, Packet, PubAckReason,
    mqttbytes::Error as MqttError,
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::codec::Framed;

use super::{
    Context,
    desk::{Admission, Arrival},
    peer::{self, Peer},
    session::{Output, Session, Window},
    welcome::{self, PACKET_BYTES_MAX, Terms},
};
use crate::receive::transport::{Done, Inbound, Presence, RefuseCode, Verdict};

/// Longest TLS handshake, and longest wait for CONNECT.
const LOGIN_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for a peer to take what is written to it.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of one site that may wait for the receiving room; beyond, its socket is not read.
pub(super) const BACKLOG_BYTES_MAX: usize = 8 * 1024 * 1024;
/// CONNACK of MQTT 3.1.1 and 3.1 with return code 1, unacceptable protocol version.
const REFUSAL_V3: [u8; 4] = [0x20, 0x02, 0x00, 0x01];

type Wire = Framed<TlsStream<TcpStream>, Codec>;

/// Why a connection never got to a login.
#[derive(Debug, thiserror::Error)]
enum LoginError {
    #[error("TLS handshake took longer than 5 s")]
    HandshakeLate,
    #[error("TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error(transparent)]
    Peer(#[from] peer::PeerError),
    #[error("certificate of site {0} is revoked")]
    Revoked(SiteId),
    #[error("no CONNECT within 5 s")]
    ConnectLate,
    #[error("connection ended before CONNECT")]
    Ended,
    #[error("CONNECT cannot be read")]
    Connect(#[source] MqttError),
    #[error("another packet came before CONNECT")]
    NotConnect,
    #[error("login of site {site} was refused: {code:?}")]
    Refused { site: SiteId, code: ConnectReturnCode },
    #[error("login of site {0} was not admitted")]
    NotAdmitted(SiteId),
    #[error("cannot answer the login")]
    Answer(#[source] MqttError),
}

/// Serves one socket from handshake to end.
pub(super) async fn serve(context: Arc<Context>, stream: TcpStream, peer: SocketAddr, arrive: mpsc::Sender<Arrival>) {
    match log_in(&context, stream, &arrive).await {
        Ok((login, admission)) => attend(&context, login, admission, peer).await,
        Err(error) => {
            tracing::info!(%peer, error = &error as &dyn std::error::Error, "login failed");
        }
    }
}

struct Login {
    wire: Wire,
    site: SiteId,
    connect: Connect,
    will: Option<LastWill>,
    terms: Terms,
}

async fn log_in(
    context: &Context,
    stream: TcpStream,
    arrive: &mpsc::Sender<Arrival>,
) -> Result<(Login, Admission), LoginError> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay was not set");
    }
    let tls = timeout(LOGIN_WITHIN, context.tls.accept(stream)).await.map_err(|_| LoginError::HandshakeLate)?;
    let tls = tls.map_err(LoginError::Handshake)?;
    let peer = peer::read(tls.get_ref().1.peer_certificates());
    let limit = u32::try_from(PACKET_BYTES_MAX).ok();
    let mut wire = Framed::new(tls, Codec { max_incoming_size: limit, max_outgoing_size: None });
    let first = timeout(LOGIN_WITHIN, first_packet(&mut wire)).await.map_err(|_| LoginError::ConnectLate)??;
    let Packet::Connect(connect, will, _) = first else { return Err(LoginError::NotConnect) };
    let peer = match peer {
        Ok(peer) => peer,
        Err(error) => return Err(refuse(&mut wire, ConnectReturnCode::NotAuthorized, error.into()).await),
    };
    if context.denylist.borrow().contains(&peer.serial) {
        return Err(refuse(&mut wire, ConnectReturnCode::NotAuthorized, LoginError::Revoked(peer.site)).await);
    }
    let terms = match welcome::judge(&peer.site, &connect, will.as_ref(), context.limits.keep_alive_secs_max) {
        Ok(terms) => terms,
        Err(code) => {
            return Err(refuse(&mut wire, code, LoginError::Refused { site: peer.site, code }).await);
        }
    };
    wire.codec_mut().max_outgoing_size = Some(terms.packet_bytes_max);
    let Peer { site, serial } = peer;
    let admission = admission(arrive, &site, serial).await.ok_or_else(|| LoginError::NotAdmitted(site.clone()))?;
    Ok((Login { wire, site, connect, will, terms }, admission))
}

async fn admission(arrive: &mpsc::Sender<Arrival>, site: &SiteId, serial: Vec<u8>) -> Option<Admission> {
    let (admitted, answer) = oneshot::channel();
    arrive.send(Arrival { task: tokio::task::try_id()?, site: site.clone(), serial, admitted }).await.ok()?;
    answer.await.ok()
}

async fn first_packet(wire: &mut Wire) -> Result<Packet, LoginError> {
    match wire.next().await {
        Some(Ok(packet)) => Ok(packet),
        None => Err(LoginError::Ended),
        Some(Err(error)) => Err(refuse_version(wire, error).await),
    }
}

/// MQTT 3.1.1 and 3.1 understand only their own refusal; later versions get that of MQTT 5.
async fn refuse_version(wire: &mut Wire, error: MqttError) -> LoginError {
    match error {
        MqttError::InvalidProtocol | MqttError::InvalidProtocolLevel(3 | 4) => {
            let answer = async {
                wire.get_mut().write_all(&REFUSAL_V3).await?;
                wire.get_mut().shutdown().await
            };
            if let Ok(Err(error)) = timeout(WRITE_WITHIN, answer).await {
                tracing::trace!(%error, "refusal was not read");
            }
            LoginError::Connect(error)
        }
        MqttError::InvalidProtocolLevel(_) => {
            refuse(wire, ConnectReturnCode::UnsupportedProtocolVersion, LoginError::Connect(error)).await
        }
        error => LoginError::Connect(error),
    }
}

async fn refuse(wire: &mut Wire, code: ConnectReturnCode, error: LoginError) -> LoginError {
    let answer = async {
        wire.send(Packet::ConnAck(welcome::refusal(code))).await?;
        SinkExt::<Packet>::close(wire).await
    };
    match timeout(WRITE_WITHIN, answer).await {
        Ok(Ok(())) | Err(_) => error,
        Ok(Err(unread)) => {
            tracing::trace!(error = %unread, "refusal was not read");
            error
        }
    }
}

/// How a connection came to its end.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the site said goodbye")]
    Goodbye { with_will: bool },
    #[error("closed from here: {0:?}")]
    Closed(DisconnectReasonCode),
    #[error("the site was lost")]
    Lost(#[source] Option<MqttError>),
    #[error("the site took nothing for 10 s")]
    WriteLate,
}

async fn attend(context: &Context, login: Login, admission: Admission, peer: SocketAddr) {
    let Login { mut wire, site, connect, will, terms } = login;
    let presence = |online| Presence { site: site.clone(), online, peer: Some(peer) };
    if context.ports.presence.send(presence(true)).await.is_err() {
        return;
    }
    tracing::info!(%site, %peer, "site connected");
    let receive_max = context.limits.receive_max;
    let hello = Packet::ConnAck(welcome::welcome(&site, &connect, terms, receive_max));
    let window = Window { inbound_max: receive_max, outbound_max: terms.outbound_max };
    let end = match wire.send(hello).await.map_err(LoginError::Answer) {
        Ok(()) => {
            let silence_max = Duration::from_secs(u64::from(terms.keep_alive_secs)) * 3 / 2;
            let session = Session::new(site.clone(), window);
            Attendance::new(context, &site, wire, session, admission, silence_max).run().await
        }
        Err(error) => {
            tracing::debug!(%site, error = &error as &dyn std::error::Error, "login was not answered");
            End::Lost(None)
        }
    };
    tracing::info!(%site, %peer, reason = &end as &dyn std::error::Error, "site disconnected");
    // All that the protocol says about wills: only a normal goodbye discards it.
    if let Some(will) = will
        && !matches!(end, End::Goodbye { with_will: false })
    {
        let message = Inbound { site: site.clone(), leaf: Leaf::State, payload: will.message, done: Done::unawaited() };
        if context.ports.inbound.send(message).await.is_err() {
            return;
        }
    }
    if context.ports.presence.send(presence(false)).await.is_err() {
        tracing::debug!(%site, "nobody took the notice of its end");
    }
}

struct Attendance<'a> {
    context: &'a Context,
    site: &'a SiteId,
    wire: Wire,
    session: Session,
    admission: Admission,
    silence_max: Duration,
    silent_until: Instant,
    /// Messages that the receiving room had no room for.
    backlog: VecDeque<Inbound>,
    backlog_bytes: usize,
    unacked: VecDeque<(u16, oneshot::Receiver<Verdict>)>,
    /// Kept for its room only.
    outputs: Vec<Output>,
}

/// What woke the connection.
#[expect(clippy::large_enum_variant, reason = "lives for one step; a box would cost an allocation per packet")]
enum Wake {
    Packet(Option<Result<Packet, MqttError>>),
    Room(Option<mpsc::OwnedPermit<Inbound>>),
    Verdict(u16, Option<Verdict>),
    Outgoing(Leaf, Bytes),
    Centre,
    Close(DisconnectReasonCode),
}

impl<'a> Attendance<'a> {
    fn new(
        context: &'a Context,
        site: &'a SiteId,
        wire: Wire,
        session: Session,
        admission: Admission,
        silence_max: Duration,
    ) -> Self {
        Self {
            context,
            site,
            wire,
            session,
            admission,
            silence_max,
            silent_until: Instant::now() + silence_max,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            unacked: VecDeque::new(),
            outputs: Vec::new(),
        }
    }

    async fn run(mut self) -> End {
        loop {
            let end = match self.wait().await {
                Wake::Packet(Some(Ok(packet))) => self.on_packet(packet).await,
                Wake::Packet(Some(Err(error))) => Err(self.on_unreadable(error)),
                Wake::Packet(None) => Err(End::Lost(None)),
                Wake::Room(permit) => self.on_room(permit),
                Wake::Verdict(id, verdict) => self.on_verdict(id, verdict).await,
                Wake::Outgoing(leaf, payload) => match self.session.send(leaf, payload) {
                    Some(packet) => self.feed(packet).await,
                    None => Ok(()),
                },
                Wake::Centre => self.send_centre(false).await,
                Wake::Close(reason) => Err(End::Closed(reason)),
            };
            let flushed = match end {
                Ok(()) => self.flush().await,
                Err(end) => Err(end),
            };
            if let Err(end) = flushed {
                self.say_goodbye(&end).await;
                return end;
            }
        }
    }

    /// Waits for the next thing to do; every branch may be dropped without loss.
    async fn wait(&mut self) -> Wake {
        let may_read =
            self.backlog.len() < usize::from(self.context.limits.receive_max) && self.backlog_bytes < BACKLOG_BYTES_MAX;
        let may_send = self.session.can_send();
        let inbound = &self.context.ports.inbound;
        tokio::select! {
            biased;
            reason = &mut self.admission.close =>
                Wake::Close(reason.unwrap_or(DisconnectReasonCode::ServerShuttingDown)),
            (id, verdict) = front(&mut self.unacked) => Wake::Verdict(id, verdict),
            permit = inbound.clone().reserve_owned(), if !self.backlog.is_empty() => Wake::Room(permit.ok()),
            Some((leaf, payload)) = self.admission.outbox.recv(), if may_send => Wake::Outgoing(leaf, payload),
            Ok(()) = self.admission.centre.changed(), if may_send => Wake::Centre,
            packet = self.wire.next(), if may_read => Wake::Packet(packet),
            // A peer whose socket is not read cannot be blamed for its silence.
            () = tokio::time::sleep_until(self.silent_until), if may_read =>
                Wake::Close(DisconnectReasonCode::KeepAliveTimeout),
        }
    }

    async fn on_packet(&mut self, packet: Packet) -> Result<(), End> {
        self.silent_until = Instant::now() + self.silence_max;
        let mut outputs = std::mem::take(&mut self.outputs);
        self.session.on(packet, &mut outputs);
        let mut result = Ok(());
        for output in outputs.drain(..) {
            result = self.act(output).await;
            if result.is_err() {
                break;
            }
        }
        outputs.clear();
        self.outputs = outputs;
        result
    }

    async fn act(&mut self, output: Output) -> Result<(), End> {
        match output {
            Output::Send(packet) => self.feed(packet).await,
            Output::Deliver { leaf, payload, packet_id } => self.deliver(leaf, payload, packet_id),
            Output::Refuse { packet_id, reason } => {
                let (done, verdict) = Done::pair();
                tracing::warn!(site = %self.site, ?reason, "message was refused");
                done.refuse(RefuseCode::NotAuthorized);
                self.unacked.push_back((packet_id, verdict));
                Ok(())
            }
            Output::SendCentre => self.send_centre(true).await,
            Output::Close(reason) => Err(End::Closed(reason)),
            Output::Leave { with_will } => Err(End::Goodbye { with_will }),
        }
    }

    fn deliver(&mut self, leaf: Leaf, payload: Bytes, packet_id: Option<u16>) -> Result<(), End> {
        let done = match packet_id {
            Some(id) => {
                let (done, verdict) = Done::pair();
                self.unacked.push_back((id, verdict));
                done
            }
            None => Done::unawaited(),
        };
        let message = Inbound { site: self.site.clone(), leaf, payload, done };
        if !self.backlog.is_empty() {
            self.keep(message);
            return Ok(());
        }
        match self.context.ports.inbound.try_send(message) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(message)) => {
                self.keep(message);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(End::Closed(DisconnectReasonCode::ServerShuttingDown)),
        }
    }

    fn keep(&mut self, message: Inbound) {
        self.backlog_bytes += message.payload.len();
        self.backlog.push_back(message);
    }

    fn on_room(&mut self, permit: Option<mpsc::OwnedPermit<Inbound>>) -> Result<(), End> {
        let permit = permit.ok_or(End::Closed(DisconnectReasonCode::ServerShuttingDown))?;
        if let Some(message) = self.backlog.pop_front() {
            self.backlog_bytes -= message.payload.len();
            permit.send(message);
            self.silent_until = Instant::now() + self.silence_max;
        }
        Ok(())
    }

    /// Writes this acknowledgement and all after it whose verdict is there: one commit releases many.
    async fn on_verdict(&mut self, id: u16, verdict: Option<Verdict>) -> Result<(), End> {
        let mut next = Some((id, verdict));
        while let Some((id, verdict)) = next {
            // Its order would keep all later ones back for ever, so the site must offer them again.
            let verdict = verdict.ok_or(End::Closed(DisconnectReasonCode::ImplementationSpecificError))?;
            let ack = self.session.acknowledge(id, reason(verdict));
            self.feed(ack).await?;
            next = match self.unacked.front_mut().map(|(id, receiver)| (*id, receiver.try_recv())) {
                Some((id, Ok(verdict))) => {
                    self.unacked.pop_front();
                    Some((id, Some(verdict)))
                }
                Some((_, Err(_))) | None => None,
            };
        }
        Ok(())
    }

    async fn send_centre(&mut self, retained: bool) -> Result<(), End> {
        let payload = self.admission.centre.borrow_and_update().clone();
        match self.session.send_centre(payload, retained) {
            Some(packet) => self.feed(packet).await,
            None => Ok(()),
        }
    }

    fn on_unreadable(&self, error: MqttError) -> End {
        let reason = match error {
            MqttError::Io(_) => return End::Lost(Some(error)),
            MqttError::PayloadSizeLimitExceeded { .. } => DisconnectReasonCode::PacketTooLarge,
            MqttError::ProtocolViolation(reason) => reason,
            MqttError::ProtocolError => DisconnectReasonCode::ProtocolError,
            _ => DisconnectReasonCode::MalformedPacket,
        };
        tracing::warn!(site = %self.site, %error, "packet could not be read");
        End::Closed(reason)
    }

    async fn feed(&mut self, packet: Packet) -> Result<(), End> {
        match timeout(WRITE_WITHIN, self.wire.feed(packet)).await {
            Ok(Ok(())) => Ok(()),
            // MQTT asks to drop what a client cannot take, as if it had been sent.
            Ok(Err(MqttError::OutgoingPacketTooLarge { pkt_size, max })) => {
                tracing::warn!(site = %self.site, pkt_size, max, "message was larger than the site takes");
                Ok(())
            }
            Ok(Err(error)) => Err(End::Lost(Some(error))),
            Err(_) => Err(End::WriteLate),
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        match timeout(WRITE_WITHIN, SinkExt::<Packet>::flush(&mut self.wire)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(End::Lost(Some(error))),
            Err(_) => Err(End::WriteLate),
        }
    }

    async fn say_goodbye(&mut self, end: &End) {
        let farewell = async {
            if let End::Closed(reason) = end {
                self.wire.send(Packet::Disconnect(Disconnect::new(*reason))).await?;
            }
            SinkExt::<Packet>::close(&mut self.wire).await
        };
        if !matches!(timeout(WRITE_WITHIN, farewell).await, Ok(Ok(()))) {
            tracing::trace!(site = %self.site, "goodbye was not read");
        }
    }
}

/// The verdict on the oldest unacknowledged message; `None` where its `Done` was dropped.
async fn front(unacked: &mut VecDeque<(u16, oneshot::Receiver<Verdict>)>) -> (u16, Option<Verdict>) {
    let Some((id, receiver)) = unacked.front_mut() else { return std::future::pending().await };
    let answer = (*id, receiver.await.ok());
    unacked.pop_front();
    answer
}

fn reason(verdict: Verdict) -> PubAckReason {
    match verdict {
        Verdict::Taken => PubAckReason::Success,
        Verdict::Refused(RefuseCode::Unspecified) => PubAckReason::UnspecifiedError,
        Verdict::Refused(RefuseCode::ImplementationSpecific) => PubAckReason::ImplementationSpecificError,
        Verdict::Refused(RefuseCode::NotAuthorized) => PubAckReason::NotAuthorized,
        Verdict::Refused(RefuseCode::QuotaExceeded) => PubAckReason::QuotaExceeded,
        Verdict::Refused(RefuseCode::PayloadFormatInvalid) => PubAckReason::PayloadFormatInvalid,
    }
}

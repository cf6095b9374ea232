//! The desk where connections are admitted, found and ended: one task owns the register, so no lock is held.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use docksync_proto::{site::SiteId, topic::Leaf};
use rumqttc::DisconnectReasonCode;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::{AbortHandle, Id, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{Context, Listener, shell};
use crate::{
    pki::Denylist,
    receive::transport::{Ask, OutboundError},
};

/// Logins that may wait for the desk.
const ARRIVALS_MAX: usize = 64;
/// After this, connections that do not end are dropped at stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Pause after a failed accept: out of file handles, every next one fails at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A login that asks to be admitted.
pub(super) struct Arrival {
    pub(super) task: Id,
    pub(super) site: SiteId,
    pub(super) serial: Vec<u8>,
    pub(super) admitted: oneshot::Sender<Admission>,
}

/// What an admitted connection holds.
pub(super) struct Admission {
    pub(super) outbox: mpsc::Receiver<(Leaf, Bytes)>,
    pub(super) close: oneshot::Receiver<DisconnectReasonCode>,
    pub(super) centre: watch::Receiver<Bytes>,
}

struct Seat {
    task: Id,
    serial: Vec<u8>,
    outbox: mpsc::Sender<(Leaf, Bytes)>,
    close: Option<oneshot::Sender<DisconnectReasonCode>>,
    /// The login that waits for this connection's end.
    next: Option<Arrival>,
}

impl Seat {
    fn end(&mut self, reason: DisconnectReasonCode) {
        if let Some(close) = self.close.take()
            && close.send(reason).is_err()
        {
            tracing::trace!("connection had ended by itself");
        }
    }
}

/// Owner of all connections.
pub(super) struct Desk {
    socket: TcpListener,
    context: Arc<Context>,
    denylist: watch::Receiver<Arc<Denylist>>,
    asks: mpsc::Receiver<Ask>,
    centre: watch::Sender<Bytes>,
    arrivals: mpsc::Receiver<Arrival>,
    arrive: mpsc::Sender<Arrival>,
    connections: JoinSet<()>,
    peers: BTreeMap<Id, (IpAddr, AbortHandle)>,
    seats: BTreeMap<SiteId, Seat>,
}

impl Desk {
    pub(super) fn new(listener: Listener) -> Self {
        let Listener { socket, addr: _, context, denylist, asks, centre } = listener;
        let (arrive, arrivals) = mpsc::channel(ARRIVALS_MAX);
        let (connections, peers, seats) = (JoinSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { socket, context, denylist, asks, centre, arrivals, arrive, connections, peers, seats }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut asks_open = true;
        let mut denylist_open = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, peer)) => self.accept(stream, peer),
                    Err(error) => {
                        tracing::warn!(%error, "connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(arrival) = self.arrivals.recv() => self.admit(arrival),
                Some(ended) = self.connections.join_next_with_id() => self.ended(ended),
                ask = self.asks.recv(), if asks_open => match ask {
                    Some(ask) => self.answer(ask),
                    None => asks_open = false,
                },
                changed = self.denylist.changed(), if denylist_open => match changed {
                    Ok(()) => self.end_revoked(),
                    Err(_) => denylist_open = false,
                },
            }
        }
        self.stop().await;
    }

    fn accept(&mut self, stream: TcpStream, peer: SocketAddr) {
        let limits = &self.context.limits;
        let from_there = self.peers.values().filter(|(ip, _)| *ip == peer.ip()).count();
        if self.connections.len() >= limits.connections_max || from_there >= limits.connections_per_ip_max {
            tracing::warn!(%peer, connections = self.connections.len(), from_there, "connection was over the limit");
            return;
        }
        let task = shell::serve(Arc::clone(&self.context), stream, peer, self.arrive.clone());
        let handle = self.connections.spawn(task);
        self.peers.insert(handle.id(), (peer.ip(), handle));
    }

    /// Seats a login, after the connection that has its site's seat now.
    fn admit(&mut self, arrival: Arrival) {
        if let Some(seat) = self.seats.get_mut(&arrival.site) {
            seat.end(DisconnectReasonCode::SessionTakenOver);
            // A third login displaces the second, whose admission is dropped and whose task then ends.
            seat.next = Some(arrival);
            return;
        }
        let (outbox_in, outbox) = mpsc::channel(self.context.limits.outbox_max);
        let (close_in, close) = oneshot::channel();
        let admission = Admission { outbox, close, centre: self.centre.subscribe() };
        if arrival.admitted.send(admission).is_err() {
            return;
        }
        let seat =
            Seat { task: arrival.task, serial: arrival.serial, outbox: outbox_in, close: Some(close_in), next: None };
        self.seats.insert(arrival.site, seat);
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "connection task failed");
                error.id()
            }
        };
        self.peers.remove(&id);
        let site = self.seats.iter().find(|(_, seat)| seat.task == id).map(|(site, _)| site.clone());
        let next = site.and_then(|site| self.seats.remove(&site)).and_then(|seat| seat.next);
        if let Some(arrival) = next {
            self.admit(arrival);
        }
    }

    fn answer(&mut self, ask: Ask) {
        let (reply, answer) = match ask {
            Ask::Publish { site, leaf, payload, reply } => (reply, self.publish(site, leaf, payload)),
            Ask::SetCentre { payload, reply } => {
                self.centre.send_replace(payload);
                (reply, Ok(()))
            }
            Ask::Disconnect { site, reply } => {
                if let Some(seat) = self.seats.get_mut(&site) {
                    seat.end(DisconnectReasonCode::AdministrativeAction);
                }
                (reply, Ok(()))
            }
        };
        if reply.send(answer).is_err() {
            tracing::trace!("nobody waited for the answer");
        }
    }

    fn publish(&mut self, site: SiteId, leaf: Leaf, payload: Bytes) -> Result<(), OutboundError> {
        let Some(seat) = self.seats.get_mut(&site) else { return Err(OutboundError::Away { site }) };
        match seat.outbox.try_send((leaf, payload)) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(OutboundError::Away { site }),
            Err(mpsc::error::TrySendError::Full(_)) => {
                seat.end(DisconnectReasonCode::QuotaExceeded);
                Err(OutboundError::Slow { site })
            }
        }
    }

    fn end_revoked(&mut self) {
        let denylist = Arc::clone(&self.denylist.borrow_and_update());
        for (site, seat) in self.seats.iter_mut().filter(|(_, seat)| denylist.contains(&seat.serial)) {
            tracing::info!(%site, "session of a revoked certificate was closed");
            seat.end(DisconnectReasonCode::NotAuthorized);
        }
    }

    async fn stop(mut self) {
        for seat in self.seats.values_mut() {
            seat.next = None;
            seat.end(DisconnectReasonCode::ServerShuttingDown);
        }
        // Who has not logged in yet is owed no word; a silent one would hold the stop up for its whole patience.
        for (id, (_, handle)) in &self.peers {
            if !self.seats.values().any(|seat| seat.task == *id) {
                handle.abort();
            }
        }
        let all = async { while self.connections.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WITHIN, all).await.is_err() {
            tracing::warn!("connections did not end in time and were dropped");
            self.connections.shutdown().await;
        }
    }
}

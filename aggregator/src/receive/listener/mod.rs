//! The embedded MQTT 5 endpoint: ends TLS, checks certificates, and confines each site to its own topics.
//!
//! Takes connections of sites (and of any MQTT 5 client that holds a site's certificate); gives [`super::transport::Inbound`] messages and
//! [`super::transport::Presence`]. One connection per site: a later login ends an earlier one with 0x8E, whatever the client identifiers,
//! as Mosquitto does under `use_username_as_clientid`. A site's last will and offline notice are handed on before its
//! next login is granted, so that the receiving room sees them in order.
//!
//! Invariants: a handshake or login that stalls holds only its own task, for five seconds; nothing is acknowledged before
//! its `Done`; acknowledgements keep the order of messages; a site that does not read is disconnected, never waited for.
//! Memory per connection is bounded by the receive maximum, [`shell::BACKLOG_BYTES_MAX`] and the outbox.
//!
//! It keeps no session, no message and no retained state of sites: the receiving room has seen them all.

mod desk;
mod peer;
mod session;
mod shell;
mod welcome;

pub use welcome::PACKET_BYTES_MAX;

use std::{net::SocketAddr, sync::Arc};

use rustls::ServerConfig;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{
    pki::Denylist,
    receive::transport::{Ask, Outbound, Ports},
};

/// Limits of the endpoint.
#[derive(Debug, Clone)]
pub struct ListenerLimits {
    /// Connections in all, logged in or not.
    pub connections_max: usize,
    /// Connections from one address; sites behind one NAT share it.
    pub connections_per_ip_max: usize,
    /// Messages of one site that may be unacknowledged (MQTT receive maximum).
    pub receive_max: u16,
    /// Messages to one site that may wait; one more disconnects it.
    pub outbox_max: usize,
    /// Longest keep-alive that a site may ask for.
    pub keep_alive_secs_max: u16,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections_max: 512,
            connections_per_ip_max: 64,
            receive_max: 64,
            outbox_max: 256,
            keep_alive_secs_max: 120,
        }
    }
}

/// Why the endpoint did not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// The address is taken or not ours.
    #[error("cannot listen for sites on {addr}")]
    Bind {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// The endpoint, bound and ready to run.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
    context: Arc<Context>,
    denylist: watch::Receiver<Arc<Denylist>>,
    asks: mpsc::Receiver<Ask>,
    centre: watch::Sender<bytes::Bytes>,
}

/// What every connection shares.
pub(super) struct Context {
    tls: tokio_rustls::TlsAcceptor,
    limits: ListenerLimits,
    ports: Ports,
    denylist: watch::Receiver<Arc<Denylist>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Listener {
    /// Binds the socket. `tls` must demand client certificates ([`crate::pki::Pki::server_config`]).
    ///
    /// # Errors
    /// [`ListenerError`].
    pub async fn bind(
        addr: SocketAddr,
        tls: Arc<ServerConfig>,
        denylist: watch::Receiver<Arc<Denylist>>,
        limits: ListenerLimits,
        ports: Ports,
    ) -> Result<(Self, Outbound), ListenerError> {
        let error = |source| ListenerError::Bind { addr, source };
        let socket = TcpListener::bind(addr).await.map_err(error)?;
        let addr = socket.local_addr().map_err(error)?;
        let (outbound, asks) = Outbound::channel();
        let context = Arc::new(Context { tls: tls.into(), limits, ports, denylist: denylist.clone() });
        let centre = watch::Sender::new(bytes::Bytes::new());
        Ok((Self { socket, addr, context, denylist, asks, centre }, outbound))
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop`, then tells every site 0x8B and waits for their connections to end.
    pub async fn run(self, stop: CancellationToken) {
        desk::Desk::new(self).run(stop).await;
    }
}

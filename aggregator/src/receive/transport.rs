//! What the receiving room sees of MQTT: the same types for the embedded listener and for an outside broker.
//!
//! Every channel here is bounded. A message is acknowledged to its sender only after its [`Done`] was released, in the
//! order in which the messages came; a [`Done`] that is dropped unreleased ends that connection, so that the sender
//! connects again and offers the message once more.

use std::net::SocketAddr;

use bytes::Bytes;
use docksync_proto::{site::SiteId, topic::Leaf};
use tokio::sync::{mpsc, oneshot};

/// One message of a site.
#[derive(Debug)]
pub struct Inbound {
    /// Who sent it: by its certificate here, by the broker's access list there.
    pub site: SiteId,
    /// Which of the site's topics.
    pub leaf: Leaf,
    /// The frame, or the JSON of [`Leaf::State`]; last wills arrive as [`Leaf::State`] too.
    pub payload: Bytes,
    /// Releases the acknowledgement.
    pub done: Done,
}

/// Why a message is not taken, as the MQTT reason that its sender sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefuseCode {
    /// 0x80.
    Unspecified,
    /// 0x83.
    ImplementationSpecific,
    /// 0x87.
    NotAuthorized,
    /// 0x97.
    QuotaExceeded,
    /// 0x99.
    PayloadFormatInvalid,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is durably held.
    Taken,
    /// It is not.
    Refused(RefuseCode),
}

/// The right to acknowledge one message, once.
#[derive(Debug)]
#[must_use = "a message whose `Done` is dropped is never acknowledged and its connection ends"]
pub struct Done(Option<oneshot::Sender<Verdict>>);

impl Done {
    /// A pair for a transport, or for a test of the receiving room.
    pub fn pair() -> (Self, oneshot::Receiver<Verdict>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }

    /// For a message whose sender waits for nothing (QoS 0, last will).
    pub const fn unawaited() -> Self {
        Self(None)
    }

    /// Whether the sender waits for an acknowledgement.
    pub const fn is_awaited(&self) -> bool {
        self.0.is_some()
    }

    /// Acknowledges with success.
    pub fn ack(self) {
        self.settle(Verdict::Taken);
    }

    /// Acknowledges with a refusal.
    pub fn refuse(self, code: RefuseCode) {
        self.settle(Verdict::Refused(code));
    }

    fn settle(self, verdict: Verdict) {
        // The connection may be gone; its site offers the message again on the next one.
        if let Some(sender) = self.0
            && sender.send(verdict).is_err()
        {
            tracing::trace!("acknowledgement came after its connection");
        }
    }
}

/// A site came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Which.
    pub site: SiteId,
    /// Whether it is there now.
    pub online: bool,
    /// From where; an outside broker does not tell.
    pub peer: Option<SocketAddr>,
}

/// Why a message did not go out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The transport has stopped.
    #[error("the transport has stopped")]
    Stopped,
    /// The site has no connection; it asks for what it missed when it is back.
    #[error("site {site} is not connected")]
    Away {
        /// Which.
        site: SiteId,
    },
    /// The site does not read fast enough and was disconnected.
    #[error("site {site} does not read what it is sent and was disconnected")]
    Slow {
        /// Which.
        site: SiteId,
    },
    /// The outside broker is away.
    #[error("the broker is not connected")]
    BrokerAway,
    /// Outside brokers disconnect by their own revocation list.
    #[error("an outside broker keeps its own connections; let it reload its revocation list")]
    NotOurs,
}

/// What the receiving room asks of a transport.
#[derive(Debug)]
pub(super) enum Ask {
    /// Publish to a site, QoS 1.
    Publish { site: SiteId, leaf: Leaf, payload: Bytes, reply: oneshot::Sender<Result<(), OutboundError>> },
    /// Replace the retained state of the centre.
    SetCentre { payload: Bytes, reply: oneshot::Sender<Result<(), OutboundError>> },
    /// End a site's connection.
    Disconnect { site: SiteId, reply: oneshot::Sender<Result<(), OutboundError>> },
}

/// Requests that may wait for a transport.
const ASKS_MAX: usize = 256;

/// The way out, for the receiving room. Clones share one transport.
#[derive(Debug, Clone)]
pub struct Outbound(mpsc::Sender<Ask>);

impl Outbound {
    pub(super) fn channel() -> (Self, mpsc::Receiver<Ask>) {
        let (sender, receiver) = mpsc::channel(ASKS_MAX);
        (Self(sender), receiver)
    }

    /// Publishes to a site; `Ok` means handed to its connection, not that it has arrived (marks tell that).
    ///
    /// # Errors
    /// [`OutboundError`].
    pub async fn publish(&self, site: &SiteId, leaf: Leaf, payload: Bytes) -> Result<(), OutboundError> {
        let site = site.clone();
        self.ask(|reply| Ask::Publish { site, leaf, payload, reply }).await
    }

    /// Replaces the retained state of the centre (JSON) and sends it to every site that subscribed to it.
    ///
    /// # Errors
    /// [`OutboundError`].
    pub async fn set_centre(&self, payload: Bytes) -> Result<(), OutboundError> {
        self.ask(|reply| Ask::SetCentre { payload, reply }).await
    }

    /// Ends a site's connection, where there is one.
    ///
    /// # Errors
    /// [`OutboundError::NotOurs`] with an outside broker.
    pub async fn disconnect(&self, site: &SiteId) -> Result<(), OutboundError> {
        let site = site.clone();
        self.ask(|reply| Ask::Disconnect { site, reply }).await
    }

    async fn ask(
        &self,
        build: impl FnOnce(oneshot::Sender<Result<(), OutboundError>>) -> Ask,
    ) -> Result<(), OutboundError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(build(reply)).await.map_err(|_| OutboundError::Stopped)?;
        answer.await.unwrap_or(Err(OutboundError::Stopped))
    }
}

/// Both ends of the channels between a transport and the receiving room.
#[derive(Debug)]
pub struct Ports {
    /// Messages, to the receiving room.
    pub inbound: mpsc::Sender<Inbound>,
    /// Comings and goings, to the receiving room; it must read them, for a connection waits until its own is taken.
    pub presence: mpsc::Sender<Presence>,
}

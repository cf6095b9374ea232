//! The link engine: how a stream of events gets from one database to another over anything that fails.
//!
//! Takes what happened (a connection, a frame, a commit, a tick), gives what to do (store, send, wait). Two machines, the
//! same for both directions: [`sender`] on the side that has the events, [`receiver`] on the side that wants them.
//! Invariants:
//! - what the sender releases, the receiver's database held before it said so;
//! - the receiver's stream is gapless, and each link of its chain was checked before it was stored;
//! - nothing depends on a broker's acknowledgement, session, queue or order.
//!
//! Both are pure: no I/O; time and random bits come in with each step. What must survive a crash is in [`SenderState`]
//! and [`ReceiverState`]; an output [`SendAction::Persist`] is carried out, durably, before the outputs behind it.
//!
//! | sender's phase | leaves it when | for |
//! |---|---|---|
//! | `Closed` | a connection is open | `Waiting` |
//! | `Waiting` (for the centre) | the centre is online and the spread has passed | `Greeting` |
//! | `Greeting` | a grant comes; a refusal comes | `Flowing`; `Held` |
//! | `Flowing` | a mark of another ledger, a stale epoch, no credit for long; a chain that forked | `Greeting`; `Held` |
//! | `Held` (a person decides) | a minute has passed | `Greeting`, same nonce |
//!
//! It does not do: store events, split batches, sign frames, choose credit, or carry what a site asks of its events behind the
//! ledger ([`crate::fate`]): that goes beside the stream and changes nothing of it.

pub mod backoff;
pub mod receiver;
pub mod sender;

use serde::{Deserialize, Serialize};

pub use receiver::{
    Decision, Facts, HelloFacts, Hold, Offer, Pending, PendingReason, Receiver, ReceiverState, Taken, Verdict,
};
pub use sender::{Ack, Condition, Lost, SendAction, SendInput, Sender, SenderConfig, SenderState, Window};

/// Milliseconds of a clock that never goes back.
pub type Millis = u64;

/// 128 random bits handed in with a step.
pub type Dice = [u8; 16];

/// Faults that can be planted, so that the simulator shows that it would find them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bug {
    /// The receiver marks what it has not committed.
    MarkBeforeCommit,
    /// Neither end compares chains where a stream is continued.
    NoOverlapCheck,
    /// The sender releases what the broker acknowledged.
    ReleaseAtPubAck,
    /// The receiver takes a hello with a stale ratchet.
    NoRatchet,
}

/// Whether a bug is planted: never, unless the program was built to be tested with it.
#[cfg(feature = "planted-bugs")]
pub(crate) fn planted(set: Option<Bug>, bug: Bug) -> bool {
    set == Some(bug)
}

/// Whether a bug is planted: never in a shipped build.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_set: Option<Bug>, _bug: Bug) -> bool {
    false
}

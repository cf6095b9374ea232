//! The side that wants the events. One machine per site; it decides, the ledger stores.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Bug, Dice, Millis, planted};
use crate::{
    frame::{self, BatchHead, Grant, Hello, LINK_VERSION, Mark, Refuse, RefuseReason, Unavailable},
    identity::{Chain, Hash, Incarnation},
    site::SiteId,
};

/// Answered nonces that are remembered, so that a late copy of an old hello is not taken for a clone.
const NONCES_MAX: usize = 16;
/// Hellos kept for a person to decide on; beyond that the oldest undecided one goes, and comes again by itself.
pub const PENDING_MAX: usize = 8;
/// A stale copy may take over by itself when the other was silent for so long and its chain is a prefix.
const SILENT: Millis = 3_600_000;

/// What of the receiver must survive a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverState {
    /// Database of the site whose stream is open.
    pub incarnation: Incarnation,
    /// Open epoch.
    pub epoch: u32,
    /// Random value of the last grant.
    pub ratchet: Dice,
    /// Ledger under which it was granted: another one means that this ledger was restored since.
    pub ledger_id: Incarnation,
    /// Nonces answered, newest last.
    pub nonces: VecDeque<Dice>,
    /// All events through this one are held.
    pub marked: u64,
    /// Chain after it.
    pub chain: Chain,
    /// Host of the machine that was granted last.
    pub host: String,
    /// Why the stream is set aside.
    pub hold: Option<Hold>,
    /// Whether events came under the last grant: then it was received, and its nonce is spent.
    pub is_used: bool,
    /// Hellos that wait for a person, newest last, at most [`PENDING_MAX`].
    pub pending: Vec<Pending>,
}

/// Why a stream is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// A batch continued another chain than the ledger's.
    Fork {
        /// First event of the batch.
        first: u64,
    },
}

/// A hello that was not granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its nonce: names the machine in an approval.
    pub nonce: Dice,
    /// Its host.
    pub host: String,
    /// Its database.
    pub incarnation: Incarnation,
    /// Its last event.
    pub head: u64,
    /// Why it waits.
    pub reason: PendingReason,
    /// Set when a person, or the policy, decided for it.
    pub approved: bool,
}

/// Why a hello waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PendingReason {
    /// Same database, stale ratchet: a restored image, or a second copy.
    Copy,
    /// Unknown database under a valid certificate: a replaced machine.
    Replaced,
    /// The open stream is set aside.
    Forked,
}

/// What the machine cannot know by itself.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// This ledger.
    pub ledger_id: Incarnation,
    /// Most events that may be on their way.
    pub credit: u32,
    /// Wall clock, milliseconds since 1970.
    pub centre_time_ms: i64,
    /// Epoch, and the event through which all of it are in a checked backup: a number of another epoch says nothing.
    pub backed_up: (u32, u64),
    /// Epoch, and the event through which all of it are in the ERP or parked.
    pub applied: (u32, u64),
}

/// What the ledger knows about the sender of a hello.
#[derive(Debug, Clone, Copy, Default)]
pub struct HelloFacts {
    /// Whether the ledger's chain at the hello's head is the hello's; `None` where it does not reach there.
    pub is_prefix: Option<bool>,
    /// Milliseconds since the open stream was heard.
    pub silent: Millis,
    /// Whether the certificate was issued on a fresh enrolment token after the last grant.
    pub enrolled_anew: bool,
}

/// A batch on offer, with what was derived from its events.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// Its position.
    pub head: BatchHead,
    /// Id and payload hash of each event.
    pub links: &'a [(Uuid, Hash)],
    /// The ledger's chain before `head.first`, where it knows it.
    pub known_before: Option<Chain>,
}

/// What to do with a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Store what is new, then tell [`Receiver::committed`].
    Take(Taken),
    /// All of it is held already. Mark again: the last mark may be lost.
    Known,
    /// Say why not.
    Refuse(Refuse),
    /// Say why not, keep the bytes, store [`Receiver::state`], raise an alarm: the stream is set aside.
    Fork(Refuse),
}

/// The new part of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Events at its start that are held already.
    pub skip: u32,
    /// Last event.
    pub last: u64,
    /// Chain after it.
    pub chain: Chain,
    /// Chain before the first new event.
    pub chain_before: Chain,
}

/// What to do with a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Store [`Receiver::state`] durably, then answer.
    Grant {
        /// The answer.
        grant: Grant,
        /// The epoch that this grant closed: an incident lists what may be missing of it.
        closed: Option<(u32, u64)>,
    },
    /// Store [`Receiver::state`], then refuse: a person decides.
    Hold(Refuse),
    /// Refuse.
    Refuse(Refuse),
    /// There is nothing to answer for.
    Ignore,
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Receiver {
    site: SiteId,
    state: Option<ReceiverState>,
    /// Accepted but not yet committed: last event and chain after it.
    tentative: Option<(u64, Chain)>,
    bug: Option<Bug>,
}

impl Receiver {
    /// A machine that continues from what was stored.
    pub fn new(site: SiteId, state: Option<ReceiverState>) -> Self {
        Self { site, state, tentative: None, bug: None }
    }

    /// Plants a fault, where the program was built for it.
    #[must_use]
    pub fn with_bug(mut self, bug: Option<Bug>) -> Self {
        self.bug = bug;
        self
    }

    /// What must be stored; `None` before the first grant.
    pub fn state(&self) -> Option<&ReceiverState> {
        self.state.as_ref()
    }

    /// Decides on a hello. `dice` becomes the ratchet of a new grant.
    pub fn hello(&mut self, hello: &Hello, facts: Facts, about: HelloFacts, dice: Dice) -> Decision {
        if hello.version < LINK_VERSION {
            return Decision::Refuse(self.refusal(RefuseReason::Version, 0, hello.nonce));
        }
        let Some(state) = self.state.as_mut() else {
            // The first of this site, or the first since the centre lost everything: its own epoch stays.
            return self.open(hello, facts, hello.epoch.max(1), dice, None);
        };
        match state.nonces.iter().rposition(|nonce| *nonce == hello.nonce) {
            Some(at) if at + 1 == state.nonces.len() && !state.is_used && hello.head >= state.marked => {
                return self.grant_again(hello, facts);
            }
            // A late copy, which nobody waits for; or a copied machine, which needs a nonce of its own.
            Some(_) => return Decision::Refuse(self.refusal(RefuseReason::StaleEpoch, 0, hello.nonce)),
            None => {}
        }
        let approved = state.pending.iter().any(|p| p.nonce == hello.nonce && p.approved);
        if approved {
            let epoch = state.epoch.max(hello.epoch) + 1;
            return self.open_new_epoch(hello, facts, epoch, dice);
        }
        self.judge(hello, facts, about, dice)
    }

    /// Decides on a hello under a nonce that was not answered yet.
    fn judge(&mut self, hello: &Hello, facts: Facts, about: HelloFacts, dice: Dice) -> Decision {
        let Some(state) = self.state.as_ref() else { return Decision::Ignore };
        // Marks come from durable commits only: who knows more than we hold knew us before we lost it.
        let we_lost = hello.ledger_id == facts.ledger_id && hello.marked > state.marked && hello.epoch >= state.epoch;
        let recovering = state.ledger_id != facts.ledger_id || we_lost;
        let epoch = state.epoch;
        if hello.incarnation != state.incarnation {
            if about.enrolled_anew {
                return self.open_new_epoch(hello, facts, epoch.max(hello.epoch) + 1, dice);
            }
            return self.hold_hello(hello, PendingReason::Replaced);
        }
        if recovering && hello.epoch > epoch {
            // The grant of that epoch is among what we lost.
            return self.open(hello, facts, hello.epoch, dice, Some((epoch, state.marked)));
        }
        if state.hold.is_some() {
            return self.hold_hello(hello, PendingReason::Forked);
        }
        let ratchet_fits = hello.ratchet == state.ratchet || planted(self.bug, Bug::NoRatchet);
        if hello.epoch == epoch && (ratchet_fits || recovering) {
            if hello.head < state.marked || hello.has_diverged {
                // It has lost its tail: its next events would repeat numbers that the ledger holds.
                return self.open_new_epoch(hello, facts, epoch + 1, dice);
            }
            return self.grant(hello, facts, dice);
        }
        let is_safe = about.is_prefix == Some(true) && about.silent >= SILENT && hello.epoch == epoch;
        if is_safe {
            return self.open_new_epoch(hello, facts, epoch + 1, dice);
        }
        self.hold_hello(hello, PendingReason::Copy)
    }

    /// Records a person's decision for the pending hello with this nonce; false where there is none.
    pub fn approve(&mut self, nonce: Dice) -> bool {
        let pending = self.state.iter_mut().flat_map(|s| &mut s.pending).find(|p| p.nonce == nonce);
        pending.map(|p| p.approved = true).is_some()
    }

    fn open_new_epoch(&mut self, hello: &Hello, facts: Facts, epoch: u32, dice: Dice) -> Decision {
        let closed = self.state.as_ref().map(|s| (s.epoch, s.marked));
        self.open(hello, facts, epoch, dice, closed)
    }

    /// Opens an epoch from its first event.
    fn open(&mut self, hello: &Hello, facts: Facts, epoch: u32, dice: Dice, closed: Option<(u32, u64)>) -> Decision {
        let (nonces, mut pending) = self.state.take().map(|s| (s.nonces, s.pending)).unwrap_or_default();
        pending.retain(|p| p.nonce != hello.nonce);
        self.tentative = None;
        self.state = Some(ReceiverState {
            incarnation: hello.incarnation,
            epoch,
            ratchet: dice,
            ledger_id: facts.ledger_id,
            nonces,
            marked: 0,
            chain: Chain::start(&self.site, hello.incarnation),
            host: hello.host.clone(),
            hold: None,
            is_used: false,
            pending,
        });
        match self.grant(hello, facts, dice) {
            Decision::Grant { grant, .. } => Decision::Grant { grant, closed },
            other => other,
        }
    }

    fn grant(&mut self, hello: &Hello, facts: Facts, dice: Dice) -> Decision {
        let Some(state) = self.state.as_mut() else { return Decision::Ignore };
        // What was accepted but is not committed may never be: the sender starts again behind what is.
        self.tentative = None;
        state.ratchet = dice;
        state.is_used = false;
        state.ledger_id = facts.ledger_id;
        state.host.clone_from(&hello.host);
        state.nonces.push_back(hello.nonce);
        while state.nonces.len() > NONCES_MAX {
            state.nonces.pop_front();
        }
        Decision::Grant { grant: grant_of(state, hello, facts), closed: None }
    }

    /// The same nonce gets the same epoch and ratchet: the answer may have been lost.
    fn grant_again(&mut self, hello: &Hello, facts: Facts) -> Decision {
        let Some(state) = self.state.as_ref() else { return Decision::Ignore };
        Decision::Grant { grant: grant_of(state, hello, facts), closed: None }
    }

    fn hold_hello(&mut self, hello: &Hello, reason: PendingReason) -> Decision {
        let refusal = self.refusal(RefuseReason::Quarantined, 0, hello.nonce);
        let Some(state) = self.state.as_mut() else { return Decision::Ignore };
        if state.pending.iter().any(|p| p.nonce == hello.nonce) {
            return Decision::Refuse(refusal);
        }
        if state.pending.len() >= PENDING_MAX {
            let oldest = state.pending.iter().position(|p| !p.approved).unwrap_or(0);
            state.pending.remove(oldest);
        }
        state.pending.push(Pending {
            nonce: hello.nonce,
            host: hello.host.clone(),
            incarnation: hello.incarnation,
            head: hello.head,
            reason,
            approved: false,
        });
        Decision::Hold(refusal)
    }

    fn refusal(&self, reason: RefuseReason, session: u32, nonce: Dice) -> Refuse {
        let (marked, _) = self.position();
        Refuse { epoch: self.state.as_ref().map_or(0, |s| s.epoch), session, expected: marked + 1, reason, nonce }
    }

    /// Last event accepted, committed or not, and the chain after it.
    fn position(&self) -> (u64, Chain) {
        let durable = self.state.as_ref().map(|s| (s.marked, s.chain));
        self.tentative.or(durable).unwrap_or((0, Chain([0; 32])))
    }

    /// Decides on a batch.
    pub fn offer(&mut self, offer: Offer<'_>) -> Verdict {
        let head = offer.head;
        let refuse = |this: &Self, reason| Verdict::Refuse(this.refusal(reason, head.session, [0; 16]));
        let Some(state) = self.state.as_ref() else { return refuse(self, RefuseReason::StaleEpoch) };
        if head.epoch != state.epoch || head.session != frame::session(state.ratchet) {
            return refuse(self, RefuseReason::StaleEpoch);
        }
        if state.hold.is_some() {
            return refuse(self, RefuseReason::Quarantined);
        }
        let (position, chain) = self.position();
        if head.first > position + 1 {
            return refuse(self, RefuseReason::Gap);
        }
        if head.count as usize != offer.links.len() || head.count == 0 {
            return refuse(self, RefuseReason::Chain);
        }
        let (at_position, after) = walk(&head, offer.links, position);
        if after != head.chain_after {
            // Altered on the way or by its sender's disk: nothing of it is true.
            return refuse(self, RefuseReason::Chain);
        }
        let checks = !planted(self.bug, Bug::NoOverlapCheck);
        if head.last() <= position {
            let fits_end = head.last() != position || after == chain;
            let fits_start = offer.known_before.is_none_or(|known| known == head.chain_before);
            return if (fits_end && fits_start) || !checks { Verdict::Known } else { self.fork(&head) };
        }
        if at_position != chain && checks {
            return self.fork(&head);
        }
        let skip = u32::try_from(position + 1 - head.first).unwrap_or(u32::MAX);
        self.tentative = Some((head.last(), after));
        self.used();
        Verdict::Take(Taken { skip, last: head.last(), chain: after, chain_before: at_position })
    }

    /// Decides on a statement that events are gone.
    pub fn unavailable(&mut self, gone: &Unavailable) -> Verdict {
        let refuse = |this: &Self, reason| Verdict::Refuse(this.refusal(reason, gone.session, [0; 16]));
        let Some(state) = self.state.as_ref() else { return refuse(self, RefuseReason::StaleEpoch) };
        if gone.epoch != state.epoch || gone.session != frame::session(state.ratchet) {
            return refuse(self, RefuseReason::StaleEpoch);
        }
        if state.hold.is_some() {
            return refuse(self, RefuseReason::Quarantined);
        }
        let (position, chain_before) = self.position();
        if gone.last <= position {
            return Verdict::Known;
        }
        if gone.first > position + 1 {
            return refuse(self, RefuseReason::Gap);
        }
        self.tentative = Some((gone.last, gone.chain_after));
        self.used();
        Verdict::Take(Taken { skip: 0, last: gone.last, chain: gone.chain_after, chain_before })
    }

    fn used(&mut self) {
        if let Some(state) = self.state.as_mut() {
            state.is_used = true;
        }
    }

    fn fork(&mut self, head: &BatchHead) -> Verdict {
        let refusal = self.refusal(RefuseReason::Quarantined, head.session, [0; 16]);
        if let Some(state) = self.state.as_mut() {
            state.hold = Some(Hold::Fork { first: head.first });
        }
        self.tentative = None;
        Verdict::Fork(refusal)
    }

    /// The state to store in the same transaction as what was taken through `taken`.
    pub fn state_after(&self, taken: &Taken) -> Option<ReceiverState> {
        let mut state = self.state.clone()?;
        state.marked = taken.last;
        state.chain = taken.chain;
        Some(state)
    }

    /// What was taken through here is durable.
    pub fn committed(&mut self, epoch: u32, taken: &Taken) {
        if let Some(state) = self.state.as_mut().filter(|s| s.epoch == epoch && s.marked < taken.last) {
            state.marked = taken.last;
            state.chain = taken.chain;
        }
        if self.tentative.is_some_and(|(last, _)| last <= taken.last) {
            self.tentative = None;
        }
    }

    /// Forgets what was accepted but will not be committed.
    pub fn abandon(&mut self) {
        self.tentative = None;
    }

    /// The mark to send now; only what is durable.
    pub fn mark(&self, facts: Facts, want: Vec<(u64, u64)>) -> Option<Mark> {
        let state = self.state.as_ref()?;
        let durable = (state.marked, state.chain);
        let (marked, chain) = if planted(self.bug, Bug::MarkBeforeCommit) { self.position() } else { durable };
        let in_epoch = |(epoch, seq): (u32, u64)| if epoch == state.epoch { seq.min(marked) } else { 0 };
        Some(Mark {
            epoch: state.epoch,
            session: frame::session(state.ratchet),
            marked,
            chain,
            backed_up: in_epoch(facts.backed_up),
            applied: in_epoch(facts.applied),
            credit: facts.credit,
            ledger_id: facts.ledger_id,
            centre_time_ms: facts.centre_time_ms,
            want,
        })
    }
}

fn grant_of(state: &ReceiverState, hello: &Hello, facts: Facts) -> Grant {
    Grant {
        nonce: hello.nonce,
        epoch: state.epoch,
        ratchet: state.ratchet,
        resume_from: state.marked + 1,
        marked: state.marked,
        chain: state.chain,
        ledger_id: facts.ledger_id,
        credit: facts.credit,
        centre_time_ms: facts.centre_time_ms,
        version_min: LINK_VERSION,
    }
}

/// Follows the batch's chain: its value at `position` (where the batch reaches there) and at its end.
fn walk(head: &BatchHead, links: &[(Uuid, Hash)], position: u64) -> (Chain, Chain) {
    let mut chain = head.chain_before;
    let mut at_position = chain;
    for (seq, (id, payload)) in (head.first..).zip(links) {
        chain = chain.next(seq, *id, payload);
        if seq <= position {
            at_position = chain;
        }
    }
    (at_position, chain)
}

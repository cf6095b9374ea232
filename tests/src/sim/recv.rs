//! The receiving half of an endpoint: the engine, the commits on their way, and what the database holds.

use std::collections::{BTreeMap, VecDeque};

use docksync_proto::{
    frame::{Batch, Frame, Hello, Unavailable},
    identity::{Chain, Incarnation},
    link::{Bug, Decision, Dice, Facts, HelloFacts, Offer, Receiver, ReceiverState, Taken, Verdict},
    site::SiteId,
};
use uuid::Uuid;

use super::send;

/// One stream's durable rows: number, id, chain after it.
pub type Rows = BTreeMap<(u32, u64), (Uuid, Chain)>;

/// What a receiving database holds of one stream.
#[derive(Debug, Clone, Default)]
pub struct RecvDisk {
    pub(crate) state: Option<ReceiverState>,
    pub(crate) rows: Rows,
    /// Ranges that the sender no longer had.
    pub(crate) gone: Vec<(u32, u64, u64)>,
}

#[derive(Debug, Clone)]
struct Commit {
    epoch: u32,
    taken: Taken,
    rows: Vec<(u64, Uuid, Chain)>,
    gone: Option<(u64, u64)>,
    state: ReceiverState,
}

/// The receiving half.
#[derive(Debug, Clone)]
pub struct RecvSide {
    pub(crate) disk: RecvDisk,
    receiver: Receiver,
    pipeline: VecDeque<Commit>,
    heard_at: u64,
    bug: Option<Bug>,
    site: SiteId,
    /// Streams that forked: the simulator allows none.
    pub(crate) forks: usize,
    /// Ids committed since they were asked for last.
    fresh: Vec<Uuid>,
}

impl RecvSide {
    /// A half that knows nothing.
    pub fn new(site: SiteId, bug: Option<Bug>) -> Self {
        Self::on(site, bug, RecvDisk::default())
    }

    /// A half that starts on what the disk holds.
    pub fn on(site: SiteId, bug: Option<Bug>, disk: RecvDisk) -> Self {
        let receiver = Receiver::new(site.clone(), disk.state.clone()).with_bug(bug);
        Self { disk, receiver, pipeline: VecDeque::new(), heard_at: 0, bug, site, forks: 0, fresh: Vec::new() }
    }

    /// The process starts again; what was not committed is gone.
    pub fn restart(&mut self) {
        *self = Self { forks: self.forks, ..Self::on(self.site.clone(), self.bug, self.disk.clone()) };
    }

    /// Whether events came under the last grant.
    pub fn is_used(&self) -> bool {
        self.receiver.state().is_some_and(|s| s.is_used)
    }

    /// Ids committed since the last call.
    pub fn take_fresh(&mut self) -> Vec<Uuid> {
        std::mem::take(&mut self.fresh)
    }

    /// Whether commits are on their way.
    pub fn is_busy(&self) -> bool {
        !self.pipeline.is_empty()
    }

    /// Commits everything on its way: a hello is answered behind it, never beside it.
    fn drain(&mut self) {
        while self.commit_one() {}
    }

    /// Makes the oldest commit durable.
    pub fn commit_one(&mut self) -> bool {
        let Some(commit) = self.pipeline.pop_front() else { return false };
        for (seq, id, chain) in commit.rows {
            self.fresh.push(id);
            self.disk.rows.insert((commit.epoch, seq), (id, chain));
        }
        if let Some((first, last)) = commit.gone {
            self.disk.gone.push((commit.epoch, first, last));
        }
        self.disk.state = Some(commit.state);
        self.receiver.committed(commit.epoch, &commit.taken);
        true
    }

    /// Answers a hello.
    pub fn hello(&mut self, now: u64, dice: Dice, hello: &Hello, facts: Facts, enrolled_anew: bool) -> Option<Frame> {
        self.drain();
        let known = |epoch| self.disk.rows.get(&(epoch, hello.head)).map(|(_, chain)| *chain == hello.head_chain);
        let about = HelloFacts {
            is_prefix: if hello.head == 0 { Some(true) } else { known(hello.epoch) },
            silent: now.saturating_sub(self.heard_at),
            enrolled_anew,
        };
        let decision = self.receiver.hello(hello, facts, about, dice);
        if let Some(state) = self.receiver.state() {
            self.disk.state = Some(state.clone());
        }
        match decision {
            Decision::Grant { grant, .. } => {
                self.heard_at = now;
                Some(Frame::Grant(grant))
            }
            Decision::Hold(refuse) | Decision::Refuse(refuse) => Some(Frame::Refuse(refuse)),
            Decision::Ignore => None,
        }
    }

    /// Takes a batch; `true` where a commit is now on its way, else the answer.
    pub fn batch(&mut self, now: u64, batch: &Batch, facts: Facts) -> (bool, Option<Frame>) {
        let links = send::links_of(&batch.events);
        let before = (batch.head.epoch, batch.head.first.saturating_sub(1));
        let known_before = self.disk.rows.get(&before).map(|(_, chain)| *chain);
        let verdict = self.receiver.offer(Offer { head: batch.head, links: &links, known_before });
        match verdict {
            Verdict::Take(taken) => {
                self.heard_at = now;
                let mut chain = taken.chain_before;
                let mut rows = Vec::new();
                for (seq, (id, payload)) in (batch.head.first..).zip(links).skip(taken.skip as usize) {
                    chain = chain.next(seq, id, &payload);
                    rows.push((seq, id, chain));
                }
                self.queue(batch.head.epoch, taken, rows, None);
                let early = self.receiver.mark(facts, Vec::new());
                (true, early.filter(|_| self.bug == Some(Bug::MarkBeforeCommit)).map(Frame::Mark))
            }
            Verdict::Known => (false, self.mark(facts)),
            Verdict::Refuse(refuse) => (false, Some(Frame::Refuse(refuse))),
            Verdict::Fork(refuse) => {
                self.forks += 1;
                self.drain();
                self.disk.state = self.receiver.state().cloned();
                (false, Some(Frame::Refuse(refuse)))
            }
        }
    }

    /// Takes a statement that events are gone.
    pub fn unavailable(&mut self, gone: &Unavailable, facts: Facts) -> (bool, Option<Frame>) {
        match self.receiver.unavailable(gone) {
            Verdict::Take(taken) => {
                self.queue(gone.epoch, taken, Vec::new(), Some((gone.first, gone.last)));
                (true, None)
            }
            Verdict::Known => (false, self.mark(facts)),
            Verdict::Refuse(refuse) | Verdict::Fork(refuse) => (false, Some(Frame::Refuse(refuse))),
        }
    }

    fn queue(&mut self, epoch: u32, taken: Taken, rows: Vec<(u64, Uuid, Chain)>, gone: Option<(u64, u64)>) {
        if let Some(state) = self.receiver.state_after(&taken) {
            self.pipeline.push_back(Commit { epoch, taken, rows, gone, state });
        }
    }

    /// The mark to send now.
    pub fn mark(&self, facts: Facts) -> Option<Frame> {
        self.receiver.mark(facts, Vec::new()).map(Frame::Mark)
    }

    /// Approves the first machine that waits; gives its host.
    pub fn approve_pending(&mut self) -> Option<String> {
        let pending = self.receiver.state().map(|s| s.pending.as_slice()).unwrap_or_default();
        let (nonce, host) = pending.iter().find(|p| !p.approved).map(|p| (p.nonce, p.host.clone()))?;
        if !self.receiver.approve(nonce) {
            return None;
        }
        self.drain();
        self.disk.state = self.receiver.state().cloned();
        Some(host)
    }

    /// Facts for an answer.
    pub fn facts(ledger_id: Incarnation, credit: u32, backed_up: (u32, u64)) -> Facts {
        Facts { ledger_id, credit, centre_time_ms: 0, backed_up, applied: (0, 0) }
    }
}

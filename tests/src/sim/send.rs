//! The sending half of an endpoint: a disk, the engine on it, and the shell between them.

use docksync_proto::{
    frame::{Batch, BatchHead, Frame, Grant},
    identity::{Chain, Hash, Incarnation},
    link::{Dice, Lost, SendAction, SendInput, Sender, SenderConfig, SenderState},
    site::SiteId,
};
use uuid::Uuid;

/// An event as the link sees it.
pub type Link = (Uuid, Hash);

/// A stored batch.
#[derive(Debug, Clone)]
pub struct Stored {
    pub(crate) first: u64,
    pub(crate) links: Vec<Link>,
    pub(crate) before: Chain,
    pub(crate) after: Chain,
}

impl Stored {
    fn last(&self) -> u64 {
        self.first + self.links.len() as u64 - 1
    }
}

/// What a sending database holds.
#[derive(Debug, Clone)]
pub struct SendDisk {
    pub(crate) state: SenderState,
    pub(crate) batches: Vec<Stored>,
}

/// The sending half.
#[derive(Debug, Clone)]
pub struct SendSide {
    site: SiteId,
    config: SenderConfig,
    /// What a power cut leaves.
    pub(crate) durable: SendDisk,
    /// What a killed process leaves.
    pub(crate) disk: SendDisk,
    /// The engine, while the process runs.
    pub(crate) sender: Option<Sender>,
    /// Whether commits reach the disk (they do not with `synchronous=NORMAL`).
    pub(crate) syncs: bool,
}

/// What the shell does with the world.
#[derive(Debug, Clone)]
pub enum Out {
    /// Publish a frame; `through` names the last event of a batch.
    Frame(Frame, u64),
    /// End the connection, come back after the delay.
    Reconnect(u64),
}

impl SendSide {
    /// An empty database.
    pub fn new(site: SiteId, incarnation: Incarnation, config: SenderConfig, syncs: bool) -> Self {
        let state = SenderState::new(incarnation, Chain::start(&site, incarnation));
        let disk = SendDisk { state, batches: Vec::new() };
        Self { site, config, durable: disk.clone(), disk, sender: None, syncs }
    }

    /// Gives the host another name.
    pub fn rename(&mut self, host: &str) {
        host.clone_into(&mut self.config.host);
    }

    /// Starts the process on what the disk holds.
    pub fn start(&mut self) {
        self.sender = Some(Sender::new(self.disk.state.clone(), self.config.clone()));
    }

    /// Ends the process; at a power cut what was not synced is gone.
    pub fn stop(&mut self, power_cut: bool) {
        self.sender = None;
        if power_cut {
            self.disk = self.durable.clone();
        } else {
            self.durable = self.disk.clone();
        }
    }

    fn commit(&mut self) {
        if self.syncs {
            self.durable = self.disk.clone();
        }
    }

    /// Captures events: when this returns they count as stored.
    pub fn capture(&mut self, now: u64, dice: Dice, links: Vec<Link>) -> Vec<Out> {
        let state = &mut self.disk.state;
        let first = state.head + 1;
        let before = state.head_chain;
        let after = follow(before, first, &links);
        state.head += links.len() as u64;
        state.head_chain = after;
        let (head, chain) = (state.head, after);
        self.disk.batches.push(Stored { first, links, before, after });
        self.commit();
        self.step(now, dice, SendInput::Appended { head, chain })
    }

    /// Drops payloads through `seq`.
    pub fn prune(&mut self, now: u64, dice: Dice, seq: u64) -> Vec<Out> {
        let Some(at) = self.disk.batches.iter().rposition(|b| b.last() <= seq) else { return Vec::new() };
        let chain = self.disk.batches[at].after;
        let oldest_kept = self.disk.batches[at].last() + 1;
        self.disk.batches.drain(..=at);
        self.disk.state.oldest_kept = oldest_kept;
        self.disk.state.oldest_chain = chain;
        self.commit();
        self.step(now, dice, SendInput::Pruned { oldest_kept, oldest_chain: chain })
    }

    /// Feeds the engine, carries out what it asks, then sends what may be sent.
    pub fn step(&mut self, now: u64, dice: Dice, input: SendInput) -> Vec<Out> {
        let Some(mut sender) = self.sender.take() else { return Vec::new() };
        let mut out = Vec::new();
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for action in sender.step(now, dice, input) {
                self.act(&sender, action, &mut inputs, &mut out);
            }
        }
        self.pump(now, dice, &mut sender, &mut out);
        self.sender = Some(sender);
        out
    }

    fn act(&mut self, sender: &Sender, action: SendAction, inputs: &mut Vec<SendInput>, out: &mut Vec<Out>) {
        match action {
            SendAction::Persist => {
                self.disk.state = sender.state().clone();
                self.commit();
            }
            SendAction::Note => self.disk.state = sender.state().clone(),
            SendAction::Hello(hello) => out.push(Out::Frame(Frame::Hello(hello), 0)),
            SendAction::Unavailable(gone) => out.push(Out::Frame(Frame::Unavailable(gone), 0)),
            SendAction::Rebase { .. } => {
                self.rebase(sender.state().clone());
                let state = &self.disk.state;
                inputs.push(SendInput::Rebased { head: state.head, chain: state.head_chain });
                inputs.push(SendInput::Pruned { oldest_kept: 1, oldest_chain: state.oldest_chain });
            }
            SendAction::Resend { first, last } => {
                for batch in self.disk.batches.iter().filter(|b| b.first <= last && b.last() >= first) {
                    out.push(Out::Frame(frame_of(batch, sender), batch.last()));
                }
            }
            SendAction::Reconnect { after } => out.push(Out::Reconnect(after)),
        }
    }

    /// Numbers every kept event anew from 1.
    fn rebase(&mut self, mut state: SenderState) {
        let mut chain = Chain::start(&self.site, state.incarnation);
        state.oldest_kept = 1;
        state.oldest_chain = chain;
        let mut next = 1;
        for batch in &mut self.disk.batches {
            batch.first = next;
            batch.before = chain;
            chain = follow(chain, next, &batch.links);
            batch.after = chain;
            next = batch.last() + 1;
        }
        state.head = next - 1;
        state.head_chain = chain;
        self.disk.state = state;
        self.commit();
    }

    fn pump(&mut self, now: u64, dice: Dice, sender: &mut Sender, out: &mut Vec<Out>) {
        while let Some(window) = sender.window() {
            let Some(batch) = self.disk.batches.iter().find(|b| b.first <= window.from && window.from <= b.last())
            else {
                return;
            };
            out.push(Out::Frame(frame_of(batch, sender), batch.last()));
            sender.step(now, dice, SendInput::Sent { through: batch.last(), chain: batch.after });
        }
    }

    /// A grant, with our own chain at the event that it continues from.
    pub fn grant_input(&self, grant: &Grant) -> SendInput {
        let state = &self.disk.state;
        let own = if grant.marked + 1 == state.oldest_kept {
            Some(state.oldest_chain)
        } else {
            let batch = self.disk.batches.iter().find(|b| b.first <= grant.marked && grant.marked <= b.last());
            batch.map(|b| follow(b.before, b.first, &b.links[..=(grant.marked - b.first) as usize]))
        };
        SendInput::Grant { grant: grant.clone(), own }
    }

    /// The connection is gone.
    pub fn closed(&mut self, now: u64, dice: Dice, why: Lost) -> Vec<Out> {
        self.step(now, dice, SendInput::Closed(why))
    }
}

fn follow(mut chain: Chain, first: u64, links: &[Link]) -> Chain {
    for (seq, (id, payload)) in (first..).zip(links) {
        chain = chain.next(seq, *id, payload);
    }
    chain
}

/// A batch as it goes over the wire; ids and hashes stand in for the columns.
fn frame_of(batch: &Stored, sender: &Sender) -> Frame {
    let head = BatchHead {
        epoch: sender.state().epoch,
        session: sender.session(),
        first: batch.first,
        count: batch.links.len() as u32,
        chain_before: batch.before,
        chain_after: batch.after,
    };
    let mut events = Vec::with_capacity(batch.links.len() * 48);
    for (id, payload) in &batch.links {
        events.extend_from_slice(id.as_bytes());
        events.extend_from_slice(payload);
    }
    Frame::Batch(Batch { head, events })
}

/// The events of a batch that went over the wire.
pub fn links_of(events: &[u8]) -> Vec<Link> {
    events
        .chunks_exact(48)
        .map(|chunk| {
            let (mut id, mut payload) = ([0; 16], [0; 32]);
            id.copy_from_slice(&chunk[..16]);
            payload.copy_from_slice(&chunk[16..]);
            (Uuid::from_bytes(id), payload)
        })
        .collect()
}

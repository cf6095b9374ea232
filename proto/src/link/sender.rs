//! The side that has the events.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Bug, Dice, Millis, backoff, planted};
use crate::{
    frame::{self, BATCH_BYTES_MAX, Grant, Hello, LINK_VERSION, Mark, Refuse, RefuseReason, Unavailable},
    identity::{Chain, Incarnation},
};

/// What of the sender must survive a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderState {
    /// This database.
    pub incarnation: Incarnation,
    /// Epoch granted last; 0 before the first.
    pub epoch: u32,
    /// Random value of that grant.
    pub ratchet: Dice,
    /// Random value of a hello that is not answered yet.
    pub nonce: Option<Dice>,
    /// Whether that grant's chain was not ours: the next hello asks for an epoch of its own.
    pub has_diverged: bool,
    /// Last event stored.
    pub head: u64,
    /// Chain after it.
    pub head_chain: Chain,
    /// Last event that the receiver's database holds.
    pub marked: u64,
    /// Last event that is in a checked backup of the receiver.
    pub backed_up: u64,
    /// Last event through which all is in the ERP, or parked with a reason.
    pub applied: u64,
    /// Ledger that said so.
    pub ledger_id: Incarnation,
    /// First event whose payload is still there.
    pub oldest_kept: u64,
    /// Chain before that event.
    pub oldest_chain: Chain,
}

impl SenderState {
    /// State of a database that was just created.
    pub fn new(incarnation: Incarnation, start: Chain) -> Self {
        Self {
            incarnation,
            epoch: 0,
            ratchet: [0; 16],
            nonce: None,
            has_diverged: false,
            head: 0,
            head_chain: start,
            marked: 0,
            backed_up: 0,
            applied: 0,
            ledger_id: Incarnation::default(),
            oldest_kept: 1,
            oldest_chain: start,
        }
    }
}

/// Waiting times and limits.
#[derive(Debug, Clone)]
pub struct SenderConfig {
    /// Name of this host, told with each hello.
    pub host: String,
    /// Longest delay before a new connection, in milliseconds.
    pub reconnect_max: Millis,
    /// After the centre comes back, hello within this many milliseconds.
    pub spread: Millis,
    /// A planted fault.
    pub bug: Option<Bug>,
}

impl SenderConfig {
    /// The delays of LINK 4.
    pub fn new(host: &str) -> Self {
        Self { host: host.to_owned(), reconnect_max: 300_000, spread: 60_000, bug: None }
    }
}

/// Shortest time without progress before events are sent again.
const STALL: Millis = 5_000;
/// So many stalls in a row end the connection: the client may be wedged.
const STALLS_MAX: u32 = 3;
/// Delay after another client took the session over.
const TAKEN_OVER: Millis = 60_000;
/// How long a refused sender waits before it asks again.
///
/// Shorter than [`TAKEN_OVER`]: of two machines that throw each other out, the approved one must get to ask.
const HELD: Millis = 20_000;
/// How long without credit before it asks again.
const NO_CREDIT: Millis = 30_000;
/// Shortest time between two hellos that a mark caused.
const REHELLO: Millis = 10_000;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Anything that passes with time.
    Network,
    /// Another client with this identity connected (MQTT 5 reason 0x8E).
    TakenOver,
}

/// What the broker said to a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// It took it. Proves nothing about the centre.
    Taken,
    /// Nobody listens (0x10): the centre is away.
    NobodyListens,
    /// The access list refuses (0x87).
    NotAuthorised,
    /// Quota (0x97) or another refusal.
    Refused,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum SendInput {
    /// Connected and subscribed.
    Opened,
    /// The connection is gone.
    Closed(Lost),
    /// The centre's retained state, or its last will.
    Centre {
        /// Whether it is there.
        online: bool,
    },
    /// A grant came.
    Grant {
        /// The grant.
        grant: Grant,
        /// Our own chain after `grant.marked`, where that event, or the one behind it, is still kept.
        own: Option<Chain>,
    },
    /// A mark came.
    Mark(Mark),
    /// A refusal came.
    Refuse(Refuse),
    /// The broker answered a publish.
    PubAck {
        /// Last event of the batch that was published; 0 for control frames.
        through: u64,
        /// What it said.
        ack: Ack,
    },
    /// Events were stored.
    Appended {
        /// Last event.
        head: u64,
        /// Chain after it.
        chain: Chain,
    },
    /// Payloads were pruned.
    Pruned {
        /// First event still there.
        oldest_kept: u64,
        /// Chain before it.
        oldest_chain: Chain,
    },
    /// A batch was handed to the connection.
    Sent {
        /// Its last event.
        through: u64,
        /// Chain after it.
        chain: Chain,
    },
    /// [`SendAction::Rebase`] was carried out: events are numbered anew from 1.
    Rebased {
        /// Last event.
        head: u64,
        /// Chain after it.
        chain: Chain,
    },
    /// Time passed.
    Tick,
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum SendAction {
    /// Store [`Sender::state`] durably before going on.
    Persist,
    /// Store [`Sender::state`] at leisure: a mark moved, and is learned again after a crash.
    Note,
    /// Send a hello.
    Hello(Hello),
    /// Say that events are gone.
    Unavailable(Unavailable),
    /// Number every kept event anew from 1 under this epoch, with [`Sender::state`], in one transaction; then tell.
    Rebase {
        /// New epoch.
        epoch: u32,
    },
    /// Send these events once more; the receiver misses them.
    Resend {
        /// First.
        first: u64,
        /// Last.
        last: u64,
    },
    /// End this connection, make a new one with a new client after the delay.
    Reconnect {
        /// Milliseconds.
        after: Millis,
    },
}

/// How the link stands, for pages and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// No connection.
    Disconnected,
    /// Connected; the centre is away.
    CentreAway,
    /// Hello sent, no answer yet.
    Greeting,
    /// Events flow.
    Flowing,
    /// The receiver gives no credit: it is out of room.
    NoCredit,
    /// The receiver set this machine's stream aside: a clone, a restored image or a replaced machine. A person decides.
    Quarantined,
    /// The chains of both ends part. A person decides.
    Forked,
    /// The receiver does not speak this version.
    VersionRefused,
    /// The broker's access list refuses this site.
    NotAuthorised,
    /// Another machine uses this site's identity.
    TakenOver,
}

/// Events that may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Next event to send.
    pub from: u64,
    /// Last event that credit allows.
    pub through: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Waiting { since: Millis, hello_at: Option<Millis> },
    Greeting { sent_at: Millis, tries: u32 },
    Flowing,
    Held { until: Millis },
    Rebasing,
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Sender {
    state: SenderState,
    config: SenderConfig,
    phase: Phase,
    condition: Condition,
    credit: u32,
    sent_through: u64,
    /// Ends of batches on their way: last event, chain after it, time of sending.
    flight: VecDeque<(u64, Chain, Millis)>,
    progress_at: Millis,
    smoothed: Millis,
    stalls: u32,
    failures: u32,
    centre_was_away: bool,
    hello_at: Millis,
}

impl Sender {
    /// A machine that continues from what was stored.
    pub fn new(state: SenderState, config: SenderConfig) -> Self {
        let sent_through = state.marked;
        Self {
            state,
            config,
            phase: Phase::Closed,
            condition: Condition::Disconnected,
            credit: 0,
            sent_through,
            flight: VecDeque::new(),
            progress_at: 0,
            smoothed: 0,
            stalls: 0,
            failures: 0,
            centre_was_away: false,
            hello_at: 0,
        }
    }

    /// What must be stored.
    pub fn state(&self) -> &SenderState {
        &self.state
    }

    /// Short name of the grant under which events are sent.
    pub fn session(&self) -> u32 {
        frame::session(self.state.ratchet)
    }

    /// How the link stands.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// Smoothed time from sending a batch to its mark, in milliseconds.
    pub fn mark_time(&self) -> Millis {
        self.smoothed
    }

    /// Failed connections in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Last event handed to a connection.
    pub fn sent_through(&self) -> u64 {
        self.sent_through
    }

    /// What may be sent now, if anything.
    pub fn window(&self) -> Option<Window> {
        let limit = self.state.marked.saturating_add(u64::from(self.credit)).min(self.state.head);
        let open = self.phase == Phase::Flowing && self.sent_through < limit;
        open.then_some(Window { from: self.sent_through + 1, through: limit })
    }

    /// Takes one input; gives what to do.
    pub fn step(&mut self, now: Millis, dice: Dice, input: SendInput) -> Vec<SendAction> {
        match input {
            SendInput::Opened => self.opened(now),
            SendInput::Closed(why) => self.closed(dice, why),
            SendInput::Centre { online } => self.centre(now, dice, online),
            SendInput::Grant { grant, own } => self.granted(now, dice, &grant, own),
            SendInput::Mark(mark) => self.marked(now, dice, &mark),
            SendInput::Refuse(refuse) => self.refused(now, dice, &refuse),
            SendInput::PubAck { through, ack } => self.pub_acked(now, through, ack),
            SendInput::Appended { head, chain } => {
                self.state.head = head;
                self.state.head_chain = chain;
                if self.sent_through == self.state.marked {
                    self.progress_at = now;
                }
                Vec::new()
            }
            SendInput::Pruned { oldest_kept, oldest_chain } => {
                self.state.oldest_kept = oldest_kept;
                self.state.oldest_chain = oldest_chain;
                Vec::new()
            }
            SendInput::Sent { through, chain } => {
                if self.sent_through == self.state.marked {
                    self.progress_at = now;
                }
                self.sent_through = self.sent_through.max(through);
                self.flight.push_back((through, chain, now));
                Vec::new()
            }
            SendInput::Rebased { head, chain } => self.rebased(now, head, chain),
            SendInput::Tick => self.tick(now, dice),
        }
    }

    fn opened(&mut self, now: Millis) -> Vec<SendAction> {
        // What the last connection carried may be lost with it.
        self.sent_through = self.state.marked;
        self.flight.clear();
        self.stalls = 0;
        self.phase = Phase::Waiting { since: now, hello_at: None };
        self.condition = Condition::CentreAway;
        Vec::new()
    }

    fn closed(&mut self, dice: Dice, why: Lost) -> Vec<SendAction> {
        self.phase = Phase::Closed;
        self.failures = self.failures.saturating_add(1);
        let (condition, after) = match why {
            Lost::Network => {
                (Condition::Disconnected, backoff::delay(self.failures - 1, self.config.reconnect_max, dice))
            }
            // Two machines with one certificate would throw each other out for ever.
            Lost::TakenOver => (Condition::TakenOver, TAKEN_OVER),
        };
        self.condition = condition;
        vec![SendAction::Reconnect { after }]
    }

    fn centre(&mut self, now: Millis, dice: Dice, online: bool) -> Vec<SendAction> {
        if self.phase == Phase::Closed {
            return Vec::new();
        }
        if !online {
            self.centre_was_away = true;
            self.phase = Phase::Waiting { since: now, hello_at: None };
            self.condition = Condition::CentreAway;
            return Vec::new();
        }
        match self.phase {
            Phase::Waiting { since, hello_at: None } => {
                // Only those who saw it go wait: together they would fall upon it in the same second.
                let wait = if self.centre_was_away { backoff::below(dice, self.config.spread) } else { 0 };
                self.centre_was_away = false;
                if wait > 0 {
                    self.phase = Phase::Waiting { since, hello_at: Some(now + wait) };
                    return Vec::new();
                }
                self.greet(now, dice)
            }
            // The centre was restarted without our seeing it go: its grants are void.
            Phase::Flowing => self.greet(now, dice),
            Phase::Waiting { .. } | Phase::Greeting { .. } | Phase::Held { .. } | Phase::Rebasing | Phase::Closed => {
                Vec::new()
            }
        }
    }

    /// Sends a hello under a stored nonce; a nonce that was not answered is used again.
    fn greet(&mut self, now: Millis, dice: Dice) -> Vec<SendAction> {
        self.hello_at = now;
        self.phase = Phase::Greeting { sent_at: now, tries: 0 };
        self.condition = Condition::Greeting;
        if self.state.nonce.is_some() {
            return vec![SendAction::Hello(self.hello())];
        }
        self.state.nonce = Some(dice);
        vec![SendAction::Persist, SendAction::Hello(self.hello())]
    }

    fn hello(&self) -> Hello {
        Hello {
            incarnation: self.state.incarnation,
            epoch: self.state.epoch,
            ratchet: self.state.ratchet,
            nonce: self.state.nonce.unwrap_or_default(),
            head: self.state.head,
            head_chain: self.state.head_chain,
            marked: self.state.marked,
            ledger_id: self.state.ledger_id,
            oldest_kept: self.state.oldest_kept,
            has_diverged: self.state.has_diverged,
            version: LINK_VERSION,
            batch_bytes_max: u32::try_from(BATCH_BYTES_MAX).unwrap_or(u32::MAX),
            // The shell fills in the wall clock: the machine has none.
            clock_ms: 0,
            host: self.config.host.clone(),
        }
    }

    fn granted(&mut self, now: Millis, dice: Dice, grant: &Grant, own: Option<Chain>) -> Vec<SendAction> {
        if self.state.nonce != Some(grant.nonce) || !matches!(self.phase, Phase::Greeting { .. } | Phase::Held { .. }) {
            return Vec::new();
        }
        if grant.version_min > LINK_VERSION {
            return self.hold(now, Condition::VersionRefused);
        }
        self.state.ratchet = grant.ratchet;
        self.state.nonce = None;
        self.state.ledger_id = grant.ledger_id;
        self.credit = grant.credit;
        if self.state.epoch != 0 && grant.epoch != self.state.epoch {
            self.state.epoch = grant.epoch;
            self.state.has_diverged = false;
            self.state.marked = 0;
            self.state.backed_up = 0;
            self.state.applied = 0;
            self.phase = Phase::Rebasing;
            return vec![SendAction::Rebase { epoch: grant.epoch }];
        }
        self.state.epoch = grant.epoch;
        let checks = !planted(self.config.bug, Bug::NoOverlapCheck);
        if checks && (grant.marked > self.state.head || own.is_some_and(|chain| chain != grant.chain)) {
            // The ledger holds another machine's events under our numbers, as after a restore: no number of ours fits it.
            self.state.has_diverged = true;
            return self.greet(now, dice);
        }
        self.state.has_diverged = false;
        self.resume(now, grant.marked)
    }

    /// Continues behind what the receiver holds, whatever was believed before.
    fn resume(&mut self, now: Millis, marked: u64) -> Vec<SendAction> {
        self.state.marked = marked.min(self.state.head);
        self.state.backed_up = self.state.backed_up.min(self.state.marked);
        self.state.applied = self.state.applied.min(self.state.marked);
        self.flowing(now);
        let mut actions = vec![SendAction::Persist];
        if self.state.marked + 1 < self.state.oldest_kept {
            let last = self.state.oldest_kept - 1;
            self.sent_through = last;
            actions.push(SendAction::Unavailable(Unavailable {
                epoch: self.state.epoch,
                session: self.session(),
                first: self.state.marked + 1,
                last,
                chain_after: self.state.oldest_chain,
            }));
        }
        actions
    }

    fn flowing(&mut self, now: Millis) {
        self.phase = Phase::Flowing;
        self.condition = if self.credit == 0 { Condition::NoCredit } else { Condition::Flowing };
        self.sent_through = self.state.marked;
        self.flight.clear();
        self.progress_at = now;
        self.stalls = 0;
        self.failures = 0;
    }

    fn rebased(&mut self, now: Millis, head: u64, chain: Chain) -> Vec<SendAction> {
        self.state.head = head;
        self.state.head_chain = chain;
        if self.phase == Phase::Rebasing {
            self.flowing(now);
        }
        Vec::new()
    }

    fn marked(&mut self, now: Millis, dice: Dice, mark: &Mark) -> Vec<SendAction> {
        if self.phase != Phase::Flowing || mark.epoch != self.state.epoch || mark.session != self.session() {
            return Vec::new();
        }
        let went_back = mark.marked < self.state.marked && now.saturating_sub(self.hello_at) > REHELLO;
        if mark.ledger_id != self.state.ledger_id || mark.marked > self.state.head || went_back {
            // Another ledger, or one that holds more or less than it can: only a grant settles it.
            return self.greet(now, dice);
        }
        if mark.marked < self.state.marked {
            return Vec::new();
        }
        let known = self.flight.iter().find(|(last, _, _)| *last == mark.marked);
        if known.is_some_and(|(_, chain, _)| *chain != mark.chain) {
            return self.hold(now, Condition::Forked);
        }
        self.credit = mark.credit;
        self.condition = if self.credit == 0 { Condition::NoCredit } else { Condition::Flowing };
        let moved = mark.marked > self.state.marked;
        let noted = moved || mark.applied > self.state.applied || mark.backed_up > self.state.backed_up;
        self.state.applied = self.state.applied.max(mark.applied).min(mark.marked);
        self.state.backed_up = self.state.backed_up.max(mark.backed_up).min(mark.marked);
        if moved {
            self.advance(now, mark.marked);
        }
        let resends = mark.want.iter().map(|(first, last)| SendAction::Resend { first: *first, last: *last });
        noted.then_some(SendAction::Note).into_iter().chain(resends).collect()
    }

    fn advance(&mut self, now: Millis, marked: u64) {
        self.state.marked = marked;
        self.sent_through = self.sent_through.max(marked);
        self.progress_at = now;
        self.stalls = 0;
        while let Some((last, _, sent_at)) = self.flight.front().copied().filter(|(last, _, _)| *last <= marked) {
            self.flight.pop_front();
            if last == marked {
                let took = now.saturating_sub(sent_at);
                self.smoothed = if self.smoothed == 0 { took } else { (self.smoothed * 7 + took) / 8 };
            }
        }
    }

    fn refused(&mut self, now: Millis, dice: Dice, refuse: &Refuse) -> Vec<SendAction> {
        let answers_hello = self.state.nonce == Some(refuse.nonce);
        if !answers_hello && refuse.session != self.session() {
            return Vec::new();
        }
        match refuse.reason {
            RefuseReason::Gap if self.phase == Phase::Flowing && refuse.epoch == self.state.epoch => {
                let expected = refuse.expected.saturating_sub(1);
                if expected < self.state.marked || expected > self.state.head {
                    return self.greet(now, dice);
                }
                if expected + 1 < self.state.oldest_kept {
                    // It did not hear that these are gone: say it again.
                    return self.resume(now, expected);
                }
                // Only back: a late refusal must not skip what was never sent.
                self.sent_through = self.sent_through.min(expected);
                self.flight.retain(|(last, _, _)| *last <= expected);
                Vec::new()
            }
            RefuseReason::StaleEpoch if answers_hello => {
                // The nonce is spent, on another machine or another time.
                self.state.nonce = None;
                self.greet(now, dice)
            }
            RefuseReason::StaleEpoch if self.phase == Phase::Flowing => self.greet(now, dice),
            RefuseReason::Busy if self.phase == Phase::Flowing => {
                self.sent_through = self.state.marked;
                self.flight.clear();
                self.credit = 0;
                self.condition = Condition::NoCredit;
                self.progress_at = now;
                Vec::new()
            }
            RefuseReason::Quarantined if answers_hello || self.phase == Phase::Flowing => {
                self.hold(now, Condition::Quarantined)
            }
            RefuseReason::Chain if self.phase == Phase::Flowing => self.hold(now, Condition::Forked),
            RefuseReason::Version => self.hold(now, Condition::VersionRefused),
            // An oversized batch is a fault of this program: going on would lose its events, so a person is told.
            RefuseReason::TooBig if self.phase == Phase::Flowing => self.hold(now, Condition::Forked),
            _ => Vec::new(),
        }
    }

    fn hold(&mut self, now: Millis, condition: Condition) -> Vec<SendAction> {
        self.phase = Phase::Held { until: now + HELD };
        self.condition = condition;
        Vec::new()
    }

    fn pub_acked(&mut self, now: Millis, through: u64, ack: Ack) -> Vec<SendAction> {
        match ack {
            Ack::Taken => {
                if planted(self.config.bug, Bug::ReleaseAtPubAck) && through > self.state.marked {
                    self.advance(now, through);
                    return vec![SendAction::Note];
                }
            }
            Ack::NobodyListens => {
                if self.phase != Phase::Closed {
                    self.centre_was_away = true;
                    self.phase = Phase::Waiting { since: now, hello_at: None };
                    self.condition = Condition::CentreAway;
                }
            }
            Ack::NotAuthorised => return self.hold(now, Condition::NotAuthorised),
            Ack::Refused => {
                self.sent_through = self.state.marked;
                self.flight.clear();
            }
        }
        Vec::new()
    }

    fn tick(&mut self, now: Millis, dice: Dice) -> Vec<SendAction> {
        match self.phase {
            Phase::Closed | Phase::Rebasing => Vec::new(),
            Phase::Waiting { hello_at: Some(at), .. } if now >= at => self.greet(now, dice),
            // The retained state may have been lost with the broker: ask all the same, seldom.
            Phase::Waiting { since, hello_at: None } if now.saturating_sub(since) >= HELD => self.greet(now, dice),
            Phase::Waiting { .. } => Vec::new(),
            Phase::Greeting { sent_at, tries } => {
                let wait = STALL.saturating_mul(1 << tries.min(4));
                if now.saturating_sub(sent_at) < wait {
                    return Vec::new();
                }
                if tries >= 5 {
                    return self.closed(dice, Lost::Network);
                }
                self.phase = Phase::Greeting { sent_at: now, tries: tries + 1 };
                vec![SendAction::Hello(self.hello())]
            }
            Phase::Held { until } if now >= until => {
                let condition = self.condition;
                let actions = self.greet(now, dice);
                // Until it is answered otherwise, the reason stands.
                self.condition = condition;
                actions
            }
            Phase::Held { .. } => Vec::new(),
            Phase::Flowing => self.watch_progress(now, dice),
        }
    }

    fn watch_progress(&mut self, now: Millis, dice: Dice) -> Vec<SendAction> {
        let idle = now.saturating_sub(self.progress_at);
        if self.sent_through <= self.state.marked {
            let starved = self.credit == 0 && self.state.head > self.state.marked && idle >= NO_CREDIT;
            return if starved { self.greet(now, dice) } else { Vec::new() };
        }
        if idle < STALL.max(4 * self.smoothed) {
            return Vec::new();
        }
        self.stalls += 1;
        if self.stalls >= STALLS_MAX {
            return self.closed(dice, Lost::Network);
        }
        self.progress_at = now;
        self.sent_through = self.state.marked;
        self.flight.clear();
        if self.state.marked + 1 < self.state.oldest_kept {
            return self.resume(now, self.state.marked);
        }
        Vec::new()
    }
}

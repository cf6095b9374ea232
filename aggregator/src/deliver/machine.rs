//! The machine of one consumer and site: pure; the table is in the room's doc.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::lanes::Lanes;
use crate::{
    consumers::{Capability, LookUp, Outcome},
    ledger::{DeliveryRow, Loc, Stage},
};

/// Answers that left the outcome open, after which an event is parked.
pub const ATTEMPTS_MAX: u32 = 5;
/// Calls without any answer, while others are answered, after which an event is taken for the cause and parked.
pub const SILENCES_MAX: u32 = 8;
/// Unsettled events above the cursor.
pub const WINDOW_MAX: usize = 10_000;
/// Events that may be held behind parked ones before no more are read.
pub const HELD_MAX: usize = 200_000;

/// What the ledger says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It takes effect.
    Deliver,
    /// It has none (duplicate, test, skipped).
    Nothing,
    /// It was not admitted and nobody has decided yet.
    Refused,
}

/// An event that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// Place.
    pub loc: Loc,
    /// Epoch.
    pub epoch: u32,
    /// Number.
    pub seq: u64,
    /// Hash of its document.
    pub lane: i64,
    /// What the ledger says.
    pub fate: Fate,
}

/// What must be written before anything else happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Put a delivery.
    Put {
        /// Event.
        loc: Loc,
        /// Hash of its document.
        lane: i64,
        /// What it is at.
        stage: Stage,
        /// Judged tries.
        attempts: u32,
        /// Code.
        code: String,
        /// In words.
        reason: String,
    },
    /// Take a delivery away.
    Forget(Loc),
    /// Keep a document number.
    Document(Loc, String),
    /// Move the cursor.
    Cursor {
        /// Last settled event.
        loc: Loc,
        /// Its epoch.
        epoch: u32,
        /// Its number.
        seq: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Sending,
    Unknown,
    Parked,
}

#[derive(Debug)]
struct Entry {
    lane: i64,
    state: State,
    attempts: u32,
    /// Calls of it in a row that brought no answer, and the answers to others when that began.
    silences: u32,
    answers_before: u64,
    /// When its outcome was lost, milliseconds since 1970: until it settles, "absent" may only mean "not yet".
    lost_ms: i64,
    /// When to ask for it, milliseconds since 1970.
    ask_ms: i64,
    /// The cursor may have passed it: its row must stay until it is settled.
    is_held: bool,
    has_row: bool,
}

impl Entry {
    const fn new(lane: i64, state: State, is_held: bool) -> Self {
        let (attempts, silences, answers_before, lost_ms, ask_ms) = (0, 0, 0, 0, 0);
        Self { lane, state, attempts, silences, answers_before, lost_ms, ask_ms, is_held, has_row: is_held }
    }
}

struct Slot {
    loc: Loc,
    epoch: u32,
    seq: u64,
    is_settled: bool,
}

/// Deliveries of one consumer and site.
pub struct Machine {
    capability: Capability,
    asks_through: Loc,
    settle_ms: i64,
    /// Answers of the destination since the start.
    answers: u64,
    entries: BTreeMap<Loc, Entry>,
    lanes: Lanes,
    window: VecDeque<Slot>,
    unsettled: usize,
    done: BTreeSet<Loc>,
    unknown: BTreeSet<Loc>,
    finished: Vec<(Loc, bool)>,
    loaded_through: Loc,
}

impl Machine {
    /// A machine that knows nothing; events through `asks_through` are looked up before their first call, as after a restore.
    /// A call whose outcome is lost may still take effect within `settle_ms`.
    pub fn new(capability: Capability, is_ordered: bool, asks_through: Loc, settle_ms: i64) -> Self {
        Self {
            capability,
            settle_ms,
            answers: 0,
            asks_through: if capability == Capability::LookUp { asks_through } else { Loc::default() },
            entries: BTreeMap::new(),
            lanes: Lanes::new(is_ordered),
            window: VecDeque::new(),
            unsettled: 0,
            done: BTreeSet::new(),
            unknown: BTreeSet::new(),
            finished: Vec::new(),
            loaded_through: Loc::default(),
        }
    }

    /// Takes the rows of a former run, in order, before anything is loaded. A call that was under way has no known outcome.
    pub fn restore(&mut self, rows: &[DeliveryRow], cursor: Loc) -> Vec<Effect> {
        self.loaded_through = cursor;
        let mut effects = Vec::new();
        for row in rows {
            let is_held = row.loc <= cursor || matches!(row.stage, Stage::Held | Stage::Parked);
            let mut entry =
                Entry { attempts: row.attempts, has_row: true, ..Entry::new(row.lane, State::Ready, is_held) };
            entry.lost_ms = row.at_ms;
            match row.stage {
                Stage::Done => {
                    self.done.insert(row.loc);
                    continue;
                }
                // In the time that a restored ledger lacks it may have been let go and have taken effect.
                Stage::Held if self.asks(row.loc) => (entry.state, entry.lost_ms) = (State::Unknown, 0),
                Stage::Held => {}
                Stage::Parked => entry.state = State::Parked,
                Stage::Sending | Stage::Unknown => entry.state = self.after_silence(),
            }
            let (state, lane) = (entry.state, entry.lane);
            self.entries.insert(row.loc, entry);
            self.lanes.put(row.loc, lane, state != State::Ready);
            if state == State::Unknown {
                self.unknown.insert(row.loc);
            }
            if state == State::Parked && row.stage != Stage::Parked {
                effects.extend(self.park(row.loc, "UNKNOWN_OUTCOME", "the program ended during the call"));
            }
        }
        effects
    }

    /// Whether the destination may know of an event what the ledger does not.
    fn asks(&self, loc: Loc) -> bool {
        loc <= self.asks_through
    }

    /// Later events than these need no question any more.
    pub fn asks_through(&mut self, loc: Loc) {
        self.asks_through = self.asks_through.min(loc);
    }

    fn after_silence(&self) -> State {
        match self.capability {
            Capability::OwnKey => State::Ready,
            Capability::LookUp => State::Unknown,
            Capability::Neither => State::Parked,
        }
    }

    /// Whether more events should be read.
    pub fn wants_more(&self) -> bool {
        self.unsettled < WINDOW_MAX && self.entries.len() < HELD_MAX
    }

    /// Takes an event behind the last one loaded.
    pub fn load(&mut self, loaded: Loaded) -> Vec<Effect> {
        let Loaded { loc, epoch, seq, lane, fate } = loaded;
        let known = self.entries.get(&loc).map(|e| e.is_held);
        let mut effects = Vec::new();
        let mut is_settled = known.unwrap_or(false);
        if known.is_none() {
            let was_done = self.done.remove(&loc);
            is_settled = was_done || fate == Fate::Nothing;
            if !is_settled {
                effects = self.admit(loc, lane, fate);
                is_settled = self.entries.get(&loc).is_some_and(|e| e.is_held);
            }
        }
        self.unsettled += usize::from(!is_settled);
        self.loaded_through = loc;
        self.window.push_back(Slot { loc, epoch, seq, is_settled });
        effects
    }

    fn admit(&mut self, loc: Loc, lane: i64, fate: Fate) -> Vec<Effect> {
        let behind = self.parks_before(loc, lane);
        let state = match fate {
            Fate::Refused => State::Parked,
            Fate::Deliver | Fate::Nothing if self.asks(loc) => State::Unknown,
            Fate::Deliver | Fate::Nothing => State::Ready,
        };
        let is_held = behind || state == State::Parked;
        self.entries.insert(loc, Entry::new(lane, state, is_held));
        self.lanes.put(loc, lane, state != State::Ready);
        if state == State::Unknown {
            self.unknown.insert(loc);
        }
        match (state, is_held) {
            (State::Parked, _) => vec![self.put(loc, Stage::Parked, "NOT_ADMITTED", "waits for the decision on it")],
            (_, true) => vec![self.put(loc, Stage::Held, "", "")],
            (_, false) => Vec::new(),
        }
    }

    /// Whether it stands behind a parked event, not merely behind one that is being asked for.
    fn parks_before(&self, loc: Loc, lane: i64) -> bool {
        let is_parked = |l: Loc| self.entries.get(&l).is_some_and(|e| e.state == State::Parked);
        self.lanes.blockers_before(loc, lane).any(is_parked)
    }

    /// Events whose outcome must be asked for now, oldest first; of one lane only the first.
    pub fn questions(&self, max: usize, now_ms: i64) -> Vec<Loc> {
        let is_free = |loc: Loc, e: &Entry| e.ask_ms <= now_ms && !self.lanes.is_behind(loc, e.lane);
        let free = |loc: &&Loc| self.entries.get(*loc).is_some_and(|e| is_free(**loc, e));
        self.unknown.iter().filter(free).take(max).copied().collect()
    }

    /// When the next question is due that is not due now.
    pub fn next_question_ms(&self, now_ms: i64) -> Option<i64> {
        let due = |loc: &Loc| self.entries.get(loc).map(|e| e.ask_ms);
        self.unknown.iter().filter_map(due).filter(|ask_ms| *ask_ms > now_ms).min()
    }

    /// Events that may be sent now, oldest first.
    pub fn offer(&self, max: usize) -> Vec<Loc> {
        self.lanes.ready().take(max).collect()
    }

    /// The event to try a destination with: not one that brought only silence where there is another.
    pub fn offer_trial(&self) -> Option<Loc> {
        let silences = |loc: &Loc| self.entries.get(loc).map_or(0, |e| e.silences);
        self.lanes
            .ready()
            .take(WINDOW_MAX)
            .filter(|loc| self.lanes.is_first(*loc))
            .min_by_key(|loc| (silences(loc), *loc))
    }

    /// These events are about to be sent: what it gives must be durable before the call.
    pub fn sending(&mut self, locs: &[Loc]) -> Vec<Effect> {
        let mut effects = Vec::new();
        for loc in locs {
            self.lanes.sent(*loc);
            let Some(entry) = self.entries.get_mut(loc) else { continue };
            entry.state = State::Sending;
            // Where our key is kept, a repetition is harmless and the row would only cost.
            if self.capability != Capability::OwnKey {
                entry.has_row = true;
                effects.push(self.put(*loc, Stage::Sending, "", ""));
            }
        }
        effects
    }

    /// The destination answered, or did not.
    pub fn outcome(&mut self, loc: Loc, outcome: &Outcome, now_ms: i64) -> Vec<Effect> {
        let is_silence = matches!(outcome, Outcome::Unknown { was_answered: false, .. });
        self.answers += u64::from(!(is_silence || matches!(outcome, Outcome::Retry { .. })));
        match outcome {
            Outcome::Applied(document) | Outcome::AlreadyApplied(document) => self.applied(loc, document),
            Outcome::NeedsDecision { reason } => self.park(loc, "NEEDS_DECISION", reason),
            Outcome::Rejected { code, reason } => self.park(loc, code, reason),
            Outcome::Retry { .. } => self.again(loc),
            Outcome::Unknown { reason, was_answered } => self.lose(loc, reason, *was_answered, now_ms),
        }
    }

    /// The destination was asked by key.
    pub fn looked_up(&mut self, loc: Loc, answer: &LookUp, now_ms: i64) -> Vec<Effect> {
        let settled_ms = self.entries.get(&loc).map_or(0, |e| e.lost_ms.saturating_add(self.settle_ms));
        match answer {
            LookUp::Found(document) => self.applied(loc, document),
            // The call that was lost may still be at work over there.
            LookUp::Absent if self.entries.get(&loc).is_some_and(|e| e.lost_ms > 0) && now_ms < settled_ms => {
                if let Some(entry) = self.entries.get_mut(&loc) {
                    entry.ask_ms = settled_ms;
                }
                Vec::new()
            }
            LookUp::Absent => {
                self.unknown.remove(&loc);
                let tried = self.entries.get(&loc).map_or(0, |e| e.attempts);
                if tried >= ATTEMPTS_MAX {
                    return self.park(loc, "NO_EFFECT", "the destination answered each time and has no effect of it");
                }
                self.again(loc)
            }
            LookUp::Several { reason } => self.park(loc, "AMBIGUOUS_DOCUMENT", reason),
            LookUp::NoAnswer { .. } => Vec::new(),
        }
    }

    /// An operator asks to try a parked event again; `None` where it is not parked.
    pub fn retry(&mut self, loc: Loc) -> Option<Vec<Effect>> {
        let asks = self.asks(loc);
        let entry = self.entries.get_mut(&loc).filter(|e| e.state == State::Parked)?;
        (entry.attempts, entry.silences) = (0, 0);
        if asks {
            // It keeps its place before its followers until the destination has said what it knows.
            (entry.state, entry.lost_ms, entry.ask_ms) = (State::Unknown, 0, 0);
            self.unknown.insert(loc);
            return Some(vec![self.put(loc, Stage::Unknown, "", "asked for before it is sent again")]);
        }
        Some(self.again(loc))
    }

    /// An operator leaves a parked event out; `None` where it is not parked.
    pub fn skip(&mut self, loc: Loc) -> Option<Vec<Effect>> {
        self.entries.get(&loc).filter(|e| e.state == State::Parked)?;
        Some(self.applied(loc, ""))
    }

    /// Settles what the last answers allow: the cursor over the contiguous part, rows for the rest.
    pub fn advance(&mut self) -> Vec<Effect> {
        let mut last = None;
        while let Some(slot) = self.window.pop_front_if(|s| s.is_settled) {
            last = Some(slot);
        }
        let mut effects = Vec::new();
        let passed = self.window.front().map(|s| s.loc);
        for (loc, has_row) in std::mem::take(&mut self.finished) {
            let is_above = passed.map_or(loc > self.loaded_through, |p| loc > p);
            if is_above && self.capability != Capability::OwnKey {
                effects.push(Effect::Put {
                    loc,
                    lane: 0,
                    stage: Stage::Done,
                    attempts: 0,
                    code: String::new(),
                    reason: String::new(),
                });
            } else if has_row {
                effects.push(Effect::Forget(loc));
            }
        }
        effects.extend(last.map(|s| Effect::Cursor { loc: s.loc, epoch: s.epoch, seq: s.seq }));
        effects
    }

    fn applied(&mut self, loc: Loc, document: &str) -> Vec<Effect> {
        self.unknown.remove(&loc);
        self.lanes.take(loc);
        if let Some(entry) = self.entries.remove(&loc) {
            self.finished.push((loc, entry.has_row));
        }
        self.settle(loc);
        if loc > self.loaded_through {
            // Left over from a former run and not read again yet: it must not look new then.
            self.done.insert(loc);
        }
        if document.is_empty() { Vec::new() } else { vec![Effect::Document(loc, document.to_owned())] }
    }

    /// It is surely without effect and goes again.
    fn again(&mut self, loc: Loc) -> Vec<Effect> {
        self.unknown.remove(&loc);
        let Some(entry) = self.entries.get_mut(&loc) else { return Vec::new() };
        entry.state = State::Ready;
        let (is_held, had_row) = (entry.is_held, entry.has_row);
        entry.has_row = is_held;
        self.lanes.unblock(loc);
        match (is_held, had_row) {
            (true, _) => vec![self.put(loc, Stage::Held, "", "")],
            (false, true) => vec![Effect::Forget(loc)],
            (false, false) => Vec::new(),
        }
    }

    /// Nobody knows whether it took effect.
    fn lose(&mut self, loc: Loc, reason: &str, was_answered: bool, now_ms: i64) -> Vec<Effect> {
        let (next, answers) = (self.after_silence(), self.answers);
        let Some(entry) = self.entries.get_mut(&loc) else { return Vec::new() };
        entry.attempts += u32::from(was_answered);
        if entry.silences == 0 {
            entry.answers_before = answers;
        }
        entry.silences = if was_answered { 0 } else { entry.silences.saturating_add(1) };
        (entry.lost_ms, entry.ask_ms) = (now_ms, 0);
        // Silence counts against an event only where the destination goes on answering others.
        let is_mute = entry.silences >= SILENCES_MAX && answers > entry.answers_before;
        let is_spent = entry.attempts >= ATTEMPTS_MAX || is_mute;
        match next {
            State::Ready if is_spent => self.park(loc, "UNKNOWN_OUTCOME", reason),
            State::Ready | State::Sending => self.again(loc),
            State::Parked => self.park(loc, "UNKNOWN_OUTCOME", reason),
            State::Unknown => {
                entry.state = State::Unknown;
                entry.has_row = true;
                self.unknown.insert(loc);
                self.lanes.block(loc);
                vec![self.put(loc, Stage::Unknown, "", reason)]
            }
        }
    }

    fn park(&mut self, loc: Loc, code: &str, reason: &str) -> Vec<Effect> {
        self.unknown.remove(&loc);
        let Some(entry) = self.entries.get_mut(&loc) else { return Vec::new() };
        entry.state = State::Parked;
        entry.is_held = true;
        entry.has_row = true;
        entry.attempts = entry.attempts.max(1);
        self.settle(loc);
        let mut effects = vec![self.put(loc, Stage::Parked, code, reason)];
        for follower in self.lanes.block(loc) {
            let Some(entry) = self.entries.get_mut(&follower).filter(|e| !e.is_held) else { continue };
            entry.is_held = true;
            entry.has_row = true;
            self.settle(follower);
            effects.push(self.put(follower, Stage::Held, "", ""));
        }
        effects
    }

    fn settle(&mut self, loc: Loc) {
        let at = self.window.binary_search_by_key(&loc, |s| s.loc);
        if let Some(slot) = at.ok().and_then(|at| self.window.get_mut(at)).filter(|s| !s.is_settled) {
            slot.is_settled = true;
            self.unsettled -= 1;
        }
    }

    fn put(&self, loc: Loc, stage: Stage, code: &str, reason: &str) -> Effect {
        let (lane, attempts) = self.entries.get(&loc).map_or((0, 0), |e| (e.lane, e.attempts));
        Effect::Put { loc, lane, stage, attempts, code: code.to_owned(), reason: reason.to_owned() }
    }
}

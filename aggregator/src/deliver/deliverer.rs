//! One consumer's deliveries of all sites: reads, asks the machines, writes down, calls. No threads, no waiting.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use docksync_proto::site::SiteId;

use super::{
    DeliverError,
    board::Board,
    load::{self, LoadError},
    machine::{Effect, Machine},
    tempo::Tempo,
    watch::Watch,
};
use crate::{
    consumers::{Capability, Consumer, Delivery, Heals, LookUp, Outcome},
    ledger::{
        Change, CursorRow, DeliveryRow, LedgerError, Loc, OpKind, OpRow, Reads, Stage, Store, audit::Entry,
        reads::SqliteReader, sqlite::SqliteStore, writer::LedgerHandle,
    },
};

/// Batches read at a time.
const BATCHES_PER_READ: usize = 16;
/// Time between two looks whether the destination knows now what it did not know, milliseconds.
pub const RECHECK_EVERY_MS: i64 = 10 * 60 * 1000;
/// Time between two looks whether a person has resumed it, milliseconds.
const PAUSED_LOOK_MS: i64 = 1_000;
/// Parked events that are tried again at each look: each may cost a call of its own.
const RECHECK_MAX: usize = 20;

/// The ledger as deliveries see it.
pub trait Books {
    /// Its reads.
    type Reads: Reads;
    /// Reads that see every change made here.
    fn reads(&self) -> &Self::Reads;
    /// Writes; durable on return.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn change(&mut self, changes: Vec<Change>) -> Result<(), LedgerError>;
}

impl Books for SqliteStore {
    type Reads = SqliteReader;
    fn reads(&self) -> &SqliteReader {
        Store::reads(self)
    }
    fn change(&mut self, changes: Vec<Change>) -> Result<(), LedgerError> {
        Store::change(self, &changes)
    }
}

/// A connection for reads, and the way to the writer.
#[derive(Debug)]
pub struct LiveBooks {
    reader: SqliteReader,
    writer: LedgerHandle,
}

impl LiveBooks {
    /// Opens a reader beside the running writer.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(writer: LedgerHandle) -> Result<Self, LedgerError> {
        Ok(Self { reader: SqliteReader::open(writer.path())?, writer })
    }
}

impl Books for LiveBooks {
    type Reads = SqliteReader;
    fn reads(&self) -> &SqliteReader {
        &self.reader
    }
    fn change(&mut self, changes: Vec<Change>) -> Result<(), LedgerError> {
        self.writer.change_blocking(changes)
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Something; there may be more.
    Worked,
    /// Nothing before the ledger has more, or before this time.
    Idle {
        /// When the next question is due, milliseconds since 1970.
        until_ms: Option<i64>,
    },
    /// The destination takes nothing before this time, whatever the ledger has.
    Paused {
        /// When the next try is due, milliseconds since 1970.
        until_ms: i64,
    },
}

struct SiteLane {
    machine: Machine,
    read_through: i64,
    cursor: Loc,
}

/// Deliveries of one consumer.
pub struct Deliverer<B, C> {
    name: String,
    books: B,
    consumer: C,
    board: Board,
    watch: Watch,
    tempo: Tempo,
    /// Events through this one are looked up before they are sent.
    asks_through: Loc,
    sites: BTreeMap<SiteId, SiteLane>,
    /// Site that is served first.
    turn: usize,
    cache: HashMap<Loc, Delivery>,
    /// When parked events are looked at next; `None` before the first time.
    recheck_ms: Option<i64>,
}

impl<B: Books, C: Consumer> Deliverer<B, C> {
    /// Takes up where the last run stopped.
    ///
    /// # Errors
    /// [`DeliverError`].
    pub fn open(name: &str, books: B, consumer: C, board: Board, seed: u64) -> Result<Self, DeliverError> {
        let mut deliverer = Self {
            name: name.to_owned(),
            asks_through: Loc::default(),
            tempo: Tempo::new(consumer.batch_max()),
            books,
            consumer,
            watch: Watch::new(name, board.clone(), seed),
            board,
            sites: BTreeMap::new(),
            turn: 0,
            cache: HashMap::new(),
            recheck_ms: None,
        };
        deliverer.asks_through = deliverer.books.reads().asks_through(name).map_err(|e| deliverer.ledger(e))?;
        let known = deliverer.books.reads().incidents(name, 1).map_err(|e| deliverer.ledger(e))?;
        deliverer.watch.go_on(known.first());
        Ok(deliverer)
    }

    /// Does the next piece of work.
    ///
    /// # Errors
    /// [`DeliverError`]; what was under way is taken up by [`Deliverer::open`].
    pub fn step(&mut self, now_ms: i64) -> Result<Step, DeliverError> {
        let mut worked = self.read_more()?;
        // After reading: at a start, what is parked is known only then.
        worked |= self.answer_operators()?;
        if self.books.reads().paused(&self.name).map_err(|e| self.ledger(e))?.is_some() {
            return Ok(Step::Paused { until_ms: now_ms.saturating_add(PAUSED_LOOK_MS) });
        }
        worked |= self.recheck(now_ms)?;
        if let Some(until) = self.watch.paused_until(now_ms) {
            return Ok(Step::Paused { until_ms: until });
        }
        worked |= self.ask(now_ms)?;
        if let Some(until) = self.watch.paused_until(now_ms) {
            return Ok(Step::Paused { until_ms: until });
        }
        worked |= self.send(now_ms)?;
        let due = self.sites.values().filter_map(|lane| lane.machine.next_question_ms(now_ms)).min();
        if worked { Ok(Step::Worked) } else { Ok(Step::Idle { until_ms: due }) }
    }

    /// Lets go of what heals by itself: at a start what the configuration lacked, and now and then a few of what the
    /// destination did not know.
    fn recheck(&mut self, now_ms: i64) -> Result<bool, DeliverError> {
        let is_first = self.recheck_ms.is_none();
        if self.recheck_ms.is_some_and(|at| now_ms < at) {
            return Ok(false);
        }
        self.recheck_ms = Some(now_ms.saturating_add(RECHECK_EVERY_MS));
        self.asks_through = self.books.reads().asks_through(&self.name).map_err(|e| self.ledger(e))?;
        self.sites.values_mut().for_each(|lane| lane.machine.asks_through(self.asks_through));
        let mut parked = Vec::new();
        for site in self.sites.keys() {
            let rows = self.books.reads().deliveries(&self.name, site).map_err(|e| self.ledger(e))?;
            parked.extend(rows.into_iter().filter(|row| row.stage == Stage::Parked));
        }
        // A few that never heal must not keep the rest from being tried.
        parked.sort_by_key(|row| (row.at_ms, row.loc));
        let (mut changes, mut room, mut released) = (Vec::new(), RECHECK_MAX, 0_usize);
        for row in parked {
            let is_due = match self.consumer.heals(&row.code) {
                Heals::ByPerson => false,
                Heals::AtStart => is_first,
                Heals::ByTime if room > 0 => {
                    room -= 1;
                    true
                }
                Heals::ByTime => false,
            };
            if is_due {
                self.cache.remove(&row.loc);
                changes.extend(self.on(&row.site, |m| m.retry(row.loc).unwrap_or_default()));
                released += 1;
            }
        }
        if released == 0 {
            return Ok(false);
        }
        tracing::info!(consumer = self.name, released, "parked events are tried again");
        self.finish(changes)?;
        Ok(true)
    }

    /// Answers operators and calls no destination: for a command beside a service that does not run.
    ///
    /// # Errors
    /// [`DeliverError`].
    pub fn answer_only(&mut self) -> Result<(), DeliverError> {
        self.read_more()?;
        self.answer_operators().map(drop)
    }

    fn ledger(&self, source: LedgerError) -> DeliverError {
        DeliverError::Ledger { consumer: self.name.clone(), source }
    }

    fn loading(&self, error: LoadError) -> DeliverError {
        let consumer = self.name.clone();
        match error {
            LoadError::Ledger(source) => DeliverError::Ledger { consumer, source },
            LoadError::Stored(batch_no, source) => DeliverError::Stored { consumer, batch_no, source },
        }
    }

    /// Takes the sites that are new to this consumer.
    fn meet_sites(&mut self) -> Result<Vec<Change>, DeliverError> {
        let known = self.books.reads().sites().map_err(|e| self.ledger(e))?;
        if known.len() == self.sites.len() {
            return Ok(Vec::new());
        }
        let cursors = self.books.reads().cursors().map_err(|e| self.ledger(e))?;
        let mut changes = Vec::new();
        for site in known.into_iter().map(|f| f.site) {
            if self.sites.contains_key(&site) {
                continue;
            }
            let row = cursors.iter().find(|c| c.consumer == self.name && c.site == site);
            let cursor = row.map_or(Loc::default(), |c| c.loc);
            match row {
                Some(row) => self.board.moved(&self.name, &site, row.epoch, row.seq),
                // From now on decisions on events that were not admitted are told to this consumer.
                None => changes.push(Change::Cursor(CursorRow {
                    consumer: self.name.clone(),
                    site: site.clone(),
                    loc: cursor,
                    epoch: 0,
                    seq: 0,
                })),
            }
            let (capability, is_ordered) = (self.consumer.capability(), self.consumer.is_ordered());
            let mut machine = Machine::new(capability, is_ordered, self.asks_through, self.consumer.settle_ms());
            let rows = self.books.reads().deliveries(&self.name, &site).map_err(|e| self.ledger(e))?;
            let effects = machine.restore(&rows, cursor);
            changes.extend(effects.into_iter().map(|e| self.change_of(&site, e)));
            // The batch that holds the cursor may have more behind it.
            let read_through = cursor.batch_no() - 1;
            self.sites.insert(site, SiteLane { machine, read_through, cursor });
        }
        Ok(changes)
    }

    fn read_more(&mut self) -> Result<bool, DeliverError> {
        let mut changes = self.meet_sites()?;
        let mut worked = false;
        let names: Vec<SiteId> = self.sites.keys().cloned().collect();
        for site in names {
            let Some(lane) = self.sites.get_mut(&site).filter(|l| l.machine.wants_more()) else { continue };
            let batches = self.books.reads().read_batches(&site, lane.read_through, BATCHES_PER_READ);
            let batches = batches.map_err(|e| self.ledger(e))?;
            let mut effects = Vec::new();
            for batch in &batches {
                let read = load::read_batch(self.books.reads(), batch, &self.name).map_err(|e| self.loading(e))?;
                let Some(lane) = self.sites.get_mut(&site) else { continue };
                lane.read_through = batch.batch_no;
                for (loaded, delivery) in read.into_iter().filter(|(l, _)| l.loc > lane.cursor) {
                    effects.extend(lane.machine.load(loaded));
                    self.cache.extend(delivery.map(|d| (loaded.loc, d)));
                }
                worked = true;
            }
            if let Some(lane) = self.sites.get_mut(&site).filter(|_| !batches.is_empty()) {
                effects.extend(lane.machine.advance());
            }
            changes.extend(effects.into_iter().map(|e| self.change_of(&site, e)));
        }
        self.write(changes)?;
        Ok(worked)
    }

    /// The sites, each time another one first: a busy one must not keep the destination to itself.
    fn turns(&mut self) -> Vec<SiteId> {
        let mut names: Vec<SiteId> = self.sites.keys().cloned().collect();
        if !names.is_empty() {
            self.turn = (self.turn + 1) % names.len();
            names.rotate_left(self.turn);
        }
        names
    }

    /// Settles unknown outcomes by asking.
    fn ask(&mut self, now_ms: i64) -> Result<bool, DeliverError> {
        let max = if self.watch.is_trial() { 1 } else { self.consumer.batch_max() };
        let mut questions = Vec::new();
        for site in self.turns() {
            let Some(lane) = self.sites.get(&site) else { continue };
            let room = max - questions.len().min(max);
            questions.extend(lane.machine.questions(room, now_ms).into_iter().map(|loc| (site.clone(), loc)));
        }
        let mut changes = Vec::new();
        let worked = !questions.is_empty();
        for (site, loc) in questions {
            let delivery = self.delivery(loc)?;
            let answer = self.consumer.look_up(&delivery);
            if !matches!(answer, LookUp::Found(_)) {
                // To read it from the ledger once more would take its whole batch.
                self.cache.insert(loc, delivery);
            }
            if let LookUp::NoAnswer { class, reason } = &answer {
                changes.extend(self.watch.fault(*class, None, reason, now_ms));
                break;
            }
            changes.extend(self.watch.clear(now_ms));
            changes.extend(self.on(&site, |m| m.looked_up(loc, &answer, now_ms)));
        }
        self.finish(changes)?;
        Ok(worked)
    }

    fn send(&mut self, now_ms: i64) -> Result<bool, DeliverError> {
        let max = if self.watch.is_trial() { 1 } else { self.tempo.size() };
        let mut offered: Vec<(SiteId, Vec<Loc>)> = Vec::new();
        let mut left = max;
        for site in self.turns() {
            let Some(lane) = self.sites.get(&site) else { continue };
            let locs = match self.watch.is_trial() {
                true if left > 0 => lane.machine.offer_trial().into_iter().collect(),
                true => Vec::new(),
                false => lane.machine.offer(left),
            };
            left -= locs.len();
            if !locs.is_empty() {
                offered.push((site.clone(), locs));
            }
        }
        if offered.is_empty() {
            return Ok(false);
        }
        let mut before = Vec::new();
        let mut batch = Vec::with_capacity(max - left);
        for (site, locs) in &offered {
            before.extend(self.on(site, |m| m.sending(locs)));
            for loc in locs {
                batch.push(self.delivery(*loc)?);
            }
        }
        self.write(before)?;
        let start = Instant::now();
        let outcomes = self.consumer.apply(&batch);
        let took = start.elapsed();
        if outcomes.len() != batch.len() {
            let (found, expected) = (outcomes.len(), batch.len());
            return Err(DeliverError::Outcomes { consumer: self.name.clone(), found, expected });
        }
        let mut after = self.watch.heed(&outcomes, now_ms);
        // An answer that is lost beside others costs the time of the call, and no more.
        match outcomes.iter().any(|o| matches!(o, Outcome::Retry { .. })) || outcomes.iter().all(Outcome::is_fault) {
            true => self.tempo.failed(),
            false => self.tempo.answered(batch.len(), took),
        }
        for (delivery, outcome) in batch.iter().zip(&outcomes) {
            after.extend(self.on(&delivery.site, |m| m.outcome(delivery.loc, outcome, now_ms)));
            match outcome {
                Outcome::Applied(_) | Outcome::AlreadyApplied(_) => {}
                Outcome::NeedsDecision { .. }
                | Outcome::Rejected { .. }
                | Outcome::Retry { .. }
                | Outcome::Unknown { .. } => drop(self.cache.insert(delivery.loc, delivery.clone())),
            }
        }
        self.finish(after)?;
        Ok(true)
    }

    fn answer_operators(&mut self) -> Result<bool, DeliverError> {
        let ops = self.books.reads().ops_waiting(&self.name).map_err(|e| self.ledger(e))?;
        let worked = !ops.is_empty();
        let (resets, decisions): (Vec<OpRow>, Vec<OpRow>) = ops.into_iter().partition(|op| op.kind == OpKind::Reset);
        let mut changes = Vec::new();
        for op in decisions {
            changes.extend(self.answer(&op));
        }
        self.finish(changes)?;
        resets.iter().try_for_each(|op| self.reset(op))?;
        Ok(worked)
    }

    /// Begins again from an event: everything that is known of later ones goes, on disk and here. No call is under way.
    fn reset(&mut self, op: &OpRow) -> Result<(), DeliverError> {
        let answer = |done, result: &str| Change::Answer { op_id: op.op_id, done, result: result.to_owned() };
        if self.consumer.capability() == Capability::Neither {
            let why = "it keeps no key and cannot be asked: what it has had would take effect twice";
            return self.write(vec![answer(false, why)]);
        }
        let (consumer, reason, by) = (self.name.clone(), op.reason.clone(), op.requested_by.clone());
        let rewind = Change::Rewind { consumer, from: op.loc, reason, by };
        self.books.change(vec![rewind, answer(true, "done")]).map_err(|e| self.ledger(e))?;
        self.sites.clear();
        self.cache.clear();
        self.recheck_ms = None;
        self.asks_through = self.books.reads().asks_through(&self.name).map_err(|e| self.ledger(e))?;
        Ok(())
    }

    fn answer(&mut self, op: &OpRow) -> Vec<Change> {
        // The decision may have changed what is to be sent.
        self.cache.remove(&op.loc);
        let site = self.sites.iter_mut().find_map(|(site, lane)| {
            let effects = match op.kind {
                OpKind::Retry | OpKind::Reset => lane.machine.retry(op.loc),
                OpKind::Skip => lane.machine.skip(op.loc),
            };
            effects.map(|e| (site.clone(), e))
        });
        let (done, result) = match &site {
            Some(_) => (true, "done"),
            None => (false, "not parked here"),
        };
        let mut changes = vec![Change::Answer { op_id: op.op_id, done, result: result.to_owned() }];
        if let Some((site, effects)) = site {
            changes.extend(effects.into_iter().map(|e| self.change_of(&site, e)));
            changes.push(Change::Audit(Entry {
                who: op.requested_by.clone(),
                act: op.kind.as_str().to_owned(),
                subject: format!("{} {} {}", self.name, site, op.loc),
                detail: op.reason.clone(),
            }));
        }
        changes
    }

    fn on(&mut self, site: &SiteId, act: impl FnOnce(&mut Machine) -> Vec<Effect>) -> Vec<Change> {
        let effects = self.sites.get_mut(site).map(|lane| act(&mut lane.machine)).unwrap_or_default();
        effects.into_iter().map(|e| self.change_of(site, e)).collect()
    }

    /// Writes what answers brought, with the cursors that they allow.
    fn finish(&mut self, mut changes: Vec<Change>) -> Result<(), DeliverError> {
        let names: Vec<SiteId> = self.sites.keys().cloned().collect();
        for site in names {
            changes.extend(self.on(&site, Machine::advance));
        }
        self.write(changes)
    }

    fn write(&mut self, changes: Vec<Change>) -> Result<(), DeliverError> {
        if changes.is_empty() {
            return Ok(());
        }
        let moved: Vec<CursorRow> =
            changes.iter().filter_map(|c| if let Change::Cursor(row) = c { Some(row.clone()) } else { None }).collect();
        self.books.change(changes).map_err(|e| self.ledger(e))?;
        for row in moved {
            if let Some(lane) = self.sites.get_mut(&row.site) {
                lane.cursor = lane.cursor.max(row.loc);
            }
            self.board.moved(&self.name, &row.site, row.epoch, row.seq);
        }
        Ok(())
    }

    /// The event from memory, or from the ledger again.
    fn delivery(&mut self, loc: Loc) -> Result<Delivery, DeliverError> {
        if let Some(delivery) = self.cache.remove(&loc) {
            return Ok(delivery);
        }
        let read = load::read_one(self.books.reads(), loc, &self.name).map_err(|e| self.loading(e))?;
        read.ok_or_else(|| self.ledger(LedgerError::Absent { what: "event to deliver", at: loc.0 }))
    }

    fn change_of(&self, site: &SiteId, effect: Effect) -> Change {
        let (consumer, site) = (self.name.clone(), site.clone());
        match effect {
            Effect::Put { loc, lane, stage, attempts, code, reason } => {
                Change::Delivery(DeliveryRow { consumer, site, loc, lane, stage, attempts, code, reason, at_ms: 0 })
            }
            Effect::Forget(loc) => Change::Forget { consumer, site, loc },
            Effect::Document(loc, document) => Change::Document { consumer, loc, document },
            Effect::Cursor { loc, epoch, seq } => Change::Cursor(CursorRow { consumer, site, loc, epoch, seq }),
        }
    }
}

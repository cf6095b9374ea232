//! The scheduler: virtual time, the broker between the machines and the centre, the faults, the checks.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashSet},
};

use docksync_proto::{
    frame::Frame,
    identity::Incarnation,
    link::{Ack, Condition, Dice, Lost, SendInput},
    site::SiteId,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use super::{
    Failure, Summary,
    centre::Centre,
    plan::{Plan, SimBug},
    recv::RecvSide,
    send::{Link, Out},
    site::Machine,
};

const TICK: u64 = 1_000;
const COMMIT: u64 = 20;
const CREDIT: u32 = 64;
const STEPS_MAX: usize = 20_000_000;
/// Virtual time that everything has to come to rest after the last fault.
const HEAL: u64 = 4 * 3_600_000;

#[derive(Debug, Clone)]
enum Happening {
    Tick,
    Export(usize),
    Fault,
    Connect(usize),
    Start(usize),
    StartCentre,
    Commit(usize),
    CommitDown(usize),
    Up { site: usize, frame: Frame, is_down: bool },
    Down { site: usize, frame: Frame, is_down: bool },
    PubAck { machine: usize, connection: u64, through: u64, ack: Ack },
    CentreState { machine: usize, connection: u64, online: bool },
    Post,
    Order(usize),
    Heal,
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    rng: StdRng,
    now: u64,
    queue: BinaryHeap<(Reverse<u64>, Reverse<u64>, usize)>,
    happenings: Vec<Option<Happening>>,
    free: Vec<usize>,
    counter: u64,
    sites: Vec<SiteId>,
    machines: Vec<Machine>,
    centre: Centre,
    connections: u64,
    /// Events that must be applied exactly once.
    must: BTreeSet<Uuid>,
    /// Events whose disk was destroyed before the centre had them: at most once.
    may: HashSet<Uuid>,
    orders: Vec<Vec<Uuid>>,
    calm: bool,
    /// Sites whose machine changed: their orders are not followed.
    changed: BTreeSet<usize>,
    summary: Summary,
    script: Vec<String>,
    commits: Vec<bool>,
    commits_down: Vec<bool>,
    cut: BTreeSet<usize>,
    /// Ratchet granted last and the hosts that were given it, by site.
    holders: Vec<(Dice, BTreeSet<String>)>,
    /// Hosts that were granted before another, by site, while that other has not used its grant.
    rival: Vec<BTreeSet<String>>,
    /// Hosts that lost their grant to another, which used it.
    beaten: BTreeSet<(usize, String)>,
    /// Hosts that an operator let in and that have not come yet.
    excused: BTreeSet<(usize, String)>,
}

impl World {
    /// The world of a plan, at rest.
    pub fn new(plan: Plan) -> Self {
        let mut rng = StdRng::seed_from_u64(plan.seed);
        let sites: Vec<SiteId> = (0..plan.sites)
            .map(|n| SiteId::new(&format!("DC{n}")).unwrap_or_else(|_| unreachable!("a good name")))
            .collect();
        let bug = plan.engine_bug();
        let syncs = plan.bug != Some(SimBug::SynchronousNormal);
        let machines = sites
            .iter()
            .enumerate()
            .map(|(at, id)| Machine::new(at, id, Incarnation(rng.random()), syncs, bug, &format!("host-{at}")))
            .collect();
        let centre = Centre::new(&sites, &mut rng, bug, plan.bug == Some(SimBug::RetryWithoutLookUp));
        let n = plan.sites;
        Self {
            rng,
            now: 0,
            queue: BinaryHeap::new(),
            happenings: Vec::new(),
            free: Vec::new(),
            counter: 0,
            machines,
            centre,
            connections: 0,
            must: BTreeSet::new(),
            may: HashSet::new(),
            orders: vec![Vec::new(); n],
            calm: false,
            changed: BTreeSet::new(),
            summary: Summary::default(),
            script: Vec::new(),
            commits: vec![false; n],
            commits_down: Vec::new(),
            cut: BTreeSet::new(),
            holders: vec![([0; 16], BTreeSet::new()); n],
            rival: vec![BTreeSet::new(); n],
            beaten: BTreeSet::new(),
            excused: BTreeSet::new(),
            sites,
            plan,
        }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// [`Failure`] names the promise that was broken.
    pub fn run(mut self) -> Result<Summary, Failure> {
        self.commits_down = vec![false; self.machines.len()];
        self.after(0, Happening::StartCentre);
        for machine in 0..self.machines.len() {
            let at = self.rng.random_range(0..5_000);
            self.after(at, Happening::Start(machine));
            self.after(at, Happening::Export(machine));
        }
        for site in 0..self.sites.len() {
            self.after(1_000, Happening::Order(site));
        }
        self.after(TICK, Happening::Tick);
        self.after(50, Happening::Post);
        let first = self.rng.random_range(0..self.plan.fault_every);
        self.after(first, Happening::Fault);
        self.after(self.plan.faults_for, Happening::Heal);
        while let Some((Reverse(at), _, slot)) = self.queue.pop() {
            self.now = at;
            self.summary.steps += 1;
            if let Some(happening) = self.happenings[slot].take() {
                self.free.push(slot);
                self.happen(happening)?;
            }
            if self.calm && self.is_at_rest() {
                return self.verdict();
            }
            if self.now > self.plan.faults_for + HEAL || self.summary.steps > STEPS_MAX {
                return Err(self.failure(self.unrest()));
            }
        }
        self.verdict()
    }

    fn after(&mut self, delay: u64, happening: Happening) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.happenings.push(None);
            self.happenings.len() - 1
        });
        self.happenings[slot] = Some(happening);
        self.counter += 1;
        self.queue.push((Reverse(self.now + delay), Reverse(self.counter), slot));
    }

    fn dice(&mut self) -> Dice {
        self.rng.random()
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if self.plan.trace {
            self.script.push(format!("{:>9} {}", self.now, what()));
        }
    }

    fn failure(&self, what: String) -> Failure {
        Failure { seed: self.plan.seed, at: self.now, what, script: self.script.clone() }
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Failure> {
        match happening {
            Happening::Tick => self.tick(),
            Happening::Export(machine) => self.export(machine),
            Happening::Order(site) => self.order(site),
            Happening::Fault => self.fault(),
            Happening::Heal => self.heal(),
            Happening::Connect(machine) => self.connect(machine),
            Happening::Start(machine) => self.start(machine),
            Happening::StartCentre => self.start_centre(),
            Happening::Commit(site) => return self.commit(site),
            Happening::CommitDown(machine) => self.commit_down(machine),
            Happening::Up { site, frame, is_down } => return self.arrive_up(site, &frame, is_down),
            Happening::Down { site, frame, is_down } => return self.arrive_down(site, &frame, is_down),
            Happening::PubAck { machine, connection, through, ack } => {
                if self.machines[machine].connection == Some(connection) {
                    self.feed(machine, SendInput::PubAck { through, ack });
                }
            }
            Happening::CentreState { machine, connection, online } => {
                if self.machines[machine].connection == Some(connection) {
                    self.feed(machine, SendInput::Centre { online });
                }
            }
            Happening::Post => {
                if self.centre.runs {
                    self.centre.post(&mut self.rng, self.calm);
                }
                self.after(if self.calm { 5 } else { 50 }, Happening::Post);
            }
        }
        Ok(())
    }

    fn tick(&mut self) {
        for machine in 0..self.machines.len() {
            if self.machines[machine].runs {
                self.feed(machine, SendInput::Tick);
            }
        }
        if self.centre.runs {
            for site in 0..self.sites.len() {
                self.feed_centre(site, SendInput::Tick);
                // Marks are sent with every commit, and now and then without one: the last may have been lost.
                if self.now.is_multiple_of(5 * TICK) {
                    let facts = RecvSide::facts(self.centre.ledger_id, CREDIT, self.centre.backed_up[site]);
                    if let Some(frame) = self.centre.up[site].mark(facts) {
                        self.send_down(site, frame, false);
                    }
                }
            }
        }
        self.after(TICK, Happening::Tick);
    }

    // ---- the machines ----

    fn start(&mut self, machine: usize) {
        if self.machines[machine].retired || self.machines[machine].runs {
            return;
        }
        self.say(|| format!("machine {machine} starts"));
        self.machines[machine].start();
        self.after(1, Happening::Connect(machine));
    }

    fn connect(&mut self, machine: usize) {
        let m = &self.machines[machine];
        if !m.runs || m.connection.is_some() {
            return;
        }
        let site = m.site;
        if self.cut.contains(&site) {
            self.after(5_000, Happening::Connect(machine));
            return;
        }
        // One session for one identity: the broker throws the other out.
        for other in 0..self.machines.len() {
            if other != machine && self.machines[other].site == site && self.machines[other].connection.is_some() {
                self.disconnect(other, Lost::TakenOver);
            }
        }
        self.connections += 1;
        let connection = self.connections;
        self.machines[machine].connection = Some(connection);
        self.say(|| format!("machine {machine} connects"));
        self.feed(machine, SendInput::Opened);
        let online = self.centre.runs;
        self.after(1, Happening::CentreState { machine, connection, online });
        if online {
            self.feed_centre(site, SendInput::Opened);
            self.feed_centre(site, SendInput::Centre { online: true });
        }
    }

    fn disconnect(&mut self, machine: usize, why: Lost) {
        if self.machines[machine].connection.take().is_some() {
            self.say(|| format!("machine {machine} loses its connection: {why:?}"));
            self.feed(machine, SendInput::Closed(why));
        }
    }

    fn feed(&mut self, machine: usize, input: SendInput) {
        let (now, dice) = (self.now, self.dice());
        let before = self.machines[machine].up.disk.state.clone();
        let out = self.machines[machine].up.step(now, dice, input);
        self.out(machine, out);
        let state = &self.machines[machine].up.disk.state;
        if state.backed_up > before.backed_up {
            // Payloads go when a checked backup holds them.
            let through = state.backed_up;
            let dice = self.dice();
            let out = self.machines[machine].up.prune(now, dice, through);
            self.out(machine, out);
        }
    }

    fn out(&mut self, machine: usize, out: Vec<Out>) {
        for one in out {
            match one {
                Out::Frame(frame, through) => self.publish(machine, frame, through),
                Out::Reconnect(after) => {
                    self.machines[machine].connection = None;
                    self.after(after, Happening::Connect(machine));
                }
            }
        }
    }

    fn publish(&mut self, machine: usize, frame: Frame, through: u64) {
        let Some(connection) = self.machines[machine].connection else { return };
        let ack = if self.centre.runs { Ack::Taken } else { Ack::NobodyListens };
        let delay = self.delay();
        self.after(delay, Happening::PubAck { machine, connection, through, ack });
        self.send_up(self.machines[machine].site, frame, false);
    }

    fn delay(&mut self) -> u64 {
        if self.calm { 1 } else { self.rng.random_range(1..=self.plan.delay) }
    }

    /// How often a message arrives: lost, once, or twice.
    fn copies(&mut self) -> u32 {
        if self.calm {
            return 1;
        }
        let roll = self.rng.random_range(0..1_000);
        if roll < self.plan.drop { 0 } else { 1 + u32::from(roll < self.plan.drop + self.plan.double) }
    }

    fn send_up(&mut self, site: usize, frame: Frame, is_down: bool) {
        for _ in 0..self.copies() {
            let delay = self.delay();
            self.after(delay, Happening::Up { site, frame: frame.clone(), is_down });
        }
    }

    fn send_down(&mut self, site: usize, frame: Frame, is_down: bool) {
        for _ in 0..self.copies() {
            let delay = self.delay();
            self.after(delay, Happening::Down { site, frame: frame.clone(), is_down });
        }
    }

    fn export(&mut self, machine: usize) {
        if self.calm || self.machines[machine].retired {
            return;
        }
        let next = self.rng.random_range(1..=2 * self.plan.export_every);
        self.after(next, Happening::Export(machine));
        if !self.machines[machine].runs {
            return;
        }
        let mut links: Vec<Link> = Vec::new();
        for _ in 0..self.rng.random_range(1..=5) {
            let again = self.rng.random_bool(0.05);
            let known = if again { self.must.iter().next().copied() } else { None };
            let id = known.unwrap_or_else(|| Uuid::from_bytes(self.rng.random()));
            let mut payload = [0; 32];
            payload[..16].copy_from_slice(id.as_bytes());
            links.push((id, payload));
        }
        let ids: Vec<Uuid> = links.iter().map(|(id, _)| *id).collect();
        self.summary.captured += ids.len();
        let (now, dice) = (self.now, self.dice());
        let out = self.machines[machine].up.capture(now, dice, links);
        // The commit has returned: the export is archived, so the event must arrive.
        for id in ids {
            if !self.may.contains(&id) {
                self.must.insert(id);
            }
        }
        self.out(machine, out);
    }

    // ---- the centre ----

    fn start_centre(&mut self) {
        if self.centre.runs {
            return;
        }
        self.say(|| "centre starts".to_owned());
        self.centre.start();
        for machine in 0..self.machines.len() {
            if let Some(connection) = self.machines[machine].connection {
                let delay = self.delay();
                self.after(delay, Happening::CentreState { machine, connection, online: true });
                let site = self.machines[machine].site;
                self.feed_centre(site, SendInput::Opened);
                self.feed_centre(site, SendInput::Centre { online: true });
            }
        }
    }

    fn stop_centre(&mut self) {
        self.centre.stop();
        self.commits.fill(false);
        for machine in 0..self.machines.len() {
            if let Some(connection) = self.machines[machine].connection {
                let delay = self.delay();
                self.after(delay, Happening::CentreState { machine, connection, online: false });
            }
        }
    }

    fn feed_centre(&mut self, site: usize, input: SendInput) {
        let (now, dice) = (self.now, self.dice());
        let out = self.centre.down[site].step(now, dice, input);
        self.out_centre(site, out);
    }

    fn out_centre(&mut self, site: usize, out: Vec<Out>) {
        for one in out {
            match one {
                Out::Frame(frame, _) => self.send_down(site, frame, true),
                // The centre's end has no connection of its own for each site: it begins anew on the same one.
                Out::Reconnect(_) => {
                    if self.machines.iter().any(|m| m.site == site && m.connection.is_some()) {
                        let (now, dice) = (self.now, self.dice());
                        self.centre.down[site].step(now, dice, SendInput::Opened);
                    }
                }
            }
        }
    }

    fn order(&mut self, site: usize) {
        if self.calm {
            return;
        }
        let next = self.rng.random_range(1..=4 * self.plan.export_every);
        self.after(next, Happening::Order(site));
        if !self.centre.runs {
            return;
        }
        let id = Uuid::from_bytes(self.rng.random());
        self.orders[site].push(id);
        let (now, dice) = (self.now, self.dice());
        let out = self.centre.down[site].capture(now, dice, vec![(id, [0; 32])]);
        self.out_centre(site, out);
    }

    fn arrive_up(&mut self, site: usize, frame: &Frame, is_down: bool) -> Result<(), Failure> {
        if !self.centre.runs {
            return Ok(());
        }
        if is_down {
            let input = match frame {
                Frame::Grant(grant) => self.centre.down[site].grant_input(grant),
                Frame::Mark(mark) => SendInput::Mark(mark.clone()),
                Frame::Refuse(refuse) => SendInput::Refuse(refuse.clone()),
                Frame::Hello(_)
                | Frame::Batch(_)
                | Frame::Beat(_)
                | Frame::Unavailable(_)
                | Frame::Question(_)
                | Frame::Answer(_) => return Ok(()),
            };
            self.feed_centre(site, input);
            return Ok(());
        }
        let facts = RecvSide::facts(self.centre.ledger_id, CREDIT, self.centre.backed_up[site]);
        let (now, dice) = (self.now, self.dice());
        let side = &mut self.centre.up[site];
        let was_used = side.is_used();
        let (commits, answer) = match frame {
            Frame::Hello(hello) => {
                let anew = self.machines.iter().any(|m| m.incarnation == hello.incarnation && m.enrolled_anew);
                let answer = side.hello(now, dice, hello, facts, anew);
                let fresh = side.take_fresh();
                self.centre.queue(&fresh);
                (false, answer)
            }
            Frame::Batch(batch) => side.batch(now, batch, facts),
            Frame::Unavailable(gone) => side.unavailable(gone, facts),
            Frame::Grant(_)
            | Frame::Mark(_)
            | Frame::Refuse(_)
            | Frame::Beat(_)
            | Frame::Question(_)
            | Frame::Answer(_) => (false, None),
        };
        if self.plan.trace {
            let text = describe(frame, answer.as_ref());
            self.say(|| format!("site {site} up: {text}"));
        }
        self.check_streams(site)?;
        if let (Frame::Hello(hello), Some(Frame::Grant(grant))) = (frame, &answer) {
            self.machines
                .iter_mut()
                .filter(|m| m.incarnation == hello.incarnation)
                .for_each(|m| m.enrolled_anew = false);
            self.check_turns(site, &hello.host, grant.ratchet, was_used)?;
        }
        if let Some(frame) = answer {
            self.answer(site, frame)?;
        }
        if commits && !self.commits[site] {
            self.commits[site] = true;
            self.after(COMMIT, Happening::Commit(site));
        }
        Ok(())
    }

    /// A mark must say only what the disk holds.
    fn answer(&mut self, site: usize, frame: Frame) -> Result<(), Failure> {
        if let Frame::Mark(mark) = &frame {
            let held =
                self.centre.up[site].disk.state.as_ref().filter(|s| s.epoch == mark.epoch).map_or(0, |s| s.marked);
            if mark.marked > held {
                return Err(self.failure(format!("site {site}: mark of {} while the ledger holds {held}", mark.marked)));
            }
        }
        self.send_down(site, frame, false);
        Ok(())
    }

    fn commit(&mut self, site: usize) -> Result<(), Failure> {
        self.commits[site] = false;
        if !self.centre.runs {
            return Ok(());
        }
        while self.centre.up[site].commit_one() {}
        let fresh = self.centre.up[site].take_fresh();
        self.centre.queue(&fresh);
        let facts = RecvSide::facts(self.centre.ledger_id, CREDIT, self.centre.backed_up[site]);
        if let Some(frame) = self.centre.up[site].mark(facts) {
            self.answer(site, frame)?;
        }
        Ok(())
    }

    /// Once another machine has used its grant, a machine comes back only by an operator's word.
    ///
    /// Copies that share an unanswered nonce share its grant; the first of them to be granted another ratchet wins.
    fn check_turns(&mut self, site: usize, host: &str, ratchet: Dice, was_used: bool) -> Result<(), Failure> {
        let machine = (site, host.to_owned());
        if self.excused.remove(&machine) {
            self.beaten.remove(&machine);
        }
        if self.beaten.contains(&machine) {
            return Err(self.failure(format!("site {site}: {host} comes back without an operator's word")));
        }
        let holders = &mut self.holders[site];
        if holders.0 != ratchet {
            let losers = std::mem::take(&mut self.rival[site]);
            if was_used {
                let lost = losers.into_iter().filter(|loser| !holders.1.contains(loser));
                self.beaten.extend(lost.map(|loser| (site, loser)));
            } else {
                self.rival[site] = losers;
            }
            self.rival[site].extend(std::mem::take(&mut holders.1));
            holders.0 = ratchet;
        }
        holders.1.insert(host.to_owned());
        self.rival[site].remove(host);
        self.beaten.remove(&machine);
        Ok(())
    }

    fn forgive(&mut self, site: usize) {
        self.beaten.retain(|(of, _)| *of != site);
        self.rival[site].clear();
    }

    /// Gapless, and never forked.
    fn check_streams(&self, site: usize) -> Result<(), Failure> {
        let side = &self.centre.up[site];
        if side.forks > 0 {
            return Err(self.failure(format!("site {site}: the stream forked")));
        }
        Ok(())
    }

    fn arrive_down(&mut self, site: usize, frame: &Frame, is_down: bool) -> Result<(), Failure> {
        let Some(machine) = self.machines.iter().position(|m| m.site == site && m.connection.is_some() && m.runs)
        else {
            return Ok(());
        };
        if is_down {
            self.arrive_order(machine, frame);
            return Ok(());
        }
        let input = match frame {
            Frame::Grant(grant) => self.machines[machine].up.grant_input(grant),
            Frame::Mark(mark) => SendInput::Mark(mark.clone()),
            Frame::Refuse(refuse) => SendInput::Refuse(refuse.clone()),
            Frame::Hello(_)
            | Frame::Batch(_)
            | Frame::Beat(_)
            | Frame::Unavailable(_)
            | Frame::Question(_)
            | Frame::Answer(_) => return Ok(()),
        };
        self.feed(machine, input);
        Ok(())
    }

    fn arrive_order(&mut self, machine: usize, frame: &Frame) {
        let (now, dice) = (self.now, self.dice());
        let m = &mut self.machines[machine];
        let facts = RecvSide::facts(m.incarnation, CREDIT, (0, 0));
        let (commits, answer) = match frame {
            // The centre proved itself by its key: a new database of it needs nobody's leave.
            Frame::Hello(hello) => (false, m.down.hello(now, dice, hello, facts, true)),
            Frame::Batch(batch) => m.down.batch(now, batch, facts),
            Frame::Unavailable(gone) => m.down.unavailable(gone, facts),
            Frame::Grant(_)
            | Frame::Mark(_)
            | Frame::Refuse(_)
            | Frame::Beat(_)
            | Frame::Question(_)
            | Frame::Answer(_) => (false, None),
        };
        let site = m.site;
        if let Some(frame) = answer {
            self.send_up(site, frame, true);
        }
        if commits && !self.commits_down[machine] {
            self.commits_down[machine] = true;
            self.after(COMMIT, Happening::CommitDown(machine));
        }
    }

    fn commit_down(&mut self, machine: usize) {
        self.commits_down[machine] = false;
        if !self.machines[machine].runs {
            return;
        }
        let m = &mut self.machines[machine];
        while m.down.commit_one() {}
        let facts = RecvSide::facts(m.incarnation, CREDIT, (0, 0));
        if let Some(frame) = m.down.mark(facts) {
            self.send_up(self.machines[machine].site, frame, true);
        }
    }

    // ---- faults ----

    fn fault(&mut self) {
        if self.calm {
            return;
        }
        let next = self.rng.random_range(1..=2 * self.plan.fault_every);
        self.after(next, Happening::Fault);
        self.summary.faults += 1;
        let machine = self.rng.random_range(0..self.machines.len());
        match self.rng.random_range(0..12) {
            0 | 1 => self.stop_machine(machine, true),
            2 => self.stop_machine(machine, false),
            3 | 4 => self.crash_centre(),
            5 => self.restart_broker(),
            6 => self.cut_line(machine),
            7 => self.disconnect(machine, Lost::Network),
            8 => {
                self.say(|| "backup".to_owned());
                if self.centre.runs {
                    self.centre.back_up();
                }
            }
            9 if self.plan.restores => self.restore_centre(),
            10 if self.plan.copies => self.clone_machine(machine),
            11 if self.plan.copies => self.swap_disk(machine),
            _ => self.operate(),
        }
    }

    fn stop_machine(&mut self, machine: usize, power_cut: bool) {
        if !self.machines[machine].runs {
            return;
        }
        self.say(|| format!("machine {machine} {}", if power_cut { "loses power" } else { "is killed" }));
        self.machines[machine].stop(power_cut);
        self.commits_down[machine] = false;
        let back = self.rng.random_range(100..120_000);
        self.after(back, Happening::Start(machine));
    }

    fn crash_centre(&mut self) {
        if self.centre.runs {
            self.say(|| "centre is killed".to_owned());
            self.stop_centre();
            let back = self.rng.random_range(100..120_000);
            self.after(back, Happening::StartCentre);
        }
    }

    fn restart_broker(&mut self) {
        self.say(|| "broker restarts".to_owned());
        for slot in 0..self.happenings.len() {
            if matches!(self.happenings[slot], Some(Happening::Up { .. } | Happening::Down { .. })) {
                // The slot stays taken until its time comes: only what was to happen is forgotten.
                self.happenings[slot] = None;
            }
        }
        // Emptied slots must not be given out while the schedule still names them.
        for machine in 0..self.machines.len() {
            self.disconnect(machine, Lost::Network);
        }
    }

    fn cut_line(&mut self, machine: usize) {
        let site = self.machines[machine].site;
        if self.cut.remove(&site) {
            return;
        }
        self.say(|| format!("line of site {site} is cut"));
        self.cut.insert(site);
        for m in 0..self.machines.len() {
            if self.machines[m].site == site {
                self.disconnect(m, Lost::Network);
            }
        }
    }

    fn restore_centre(&mut self) {
        if self.centre.runs {
            self.stop_centre();
        }
        let sites = self.sites.clone();
        self.beaten.clear();
        self.rival.iter_mut().for_each(BTreeSet::clear);
        let restored = self.centre.restore(&sites, &mut self.rng, self.plan.engine_bug());
        self.say(|| format!("centre restored from backup: {restored}"));
        let back = self.rng.random_range(100..60_000);
        self.after(back, Happening::StartCentre);
    }

    fn clone_machine(&mut self, machine: usize) {
        if self.machines[machine].retired || self.machines.len() > self.sites.len() + 3 {
            return;
        }
        let site = self.machines[machine].site;
        self.changed.insert(site);
        let mut copy = self.machines[machine].clone();
        copy.stop(false);
        copy.up.rename(&format!("clone-{}", self.machines.len()));
        self.machines.push(copy);
        self.commits_down.push(false);
        let new = self.machines.len() - 1;
        self.say(|| format!("machine {new} is a clone of machine {machine}"));
        self.after(10, Happening::Start(new));
        self.after(5_000, Happening::Export(new));
    }

    /// The disk is replaced: by an older image of itself, or by an empty one.
    fn swap_disk(&mut self, machine: usize) {
        if self.machines[machine].retired {
            return;
        }
        let site = self.machines[machine].site;
        self.changed.insert(site);
        self.forgive(site);
        self.machines[machine].stop(true);
        let kept = self.ids_elsewhere(machine);
        let kind = self.rng.random_range(0..3);
        let empty = kind == 0;
        let syncs = self.plan.bug != Some(SimBug::SynchronousNormal);
        let m = &mut self.machines[machine];
        let mut lost: Vec<Uuid> = Vec::new();
        if empty {
            lost.extend(m.up.disk.batches.drain(..).flat_map(|b| b.links).map(|(id, _)| id));
            let incarnation = Incarnation(self.rng.random());
            let host = format!("replaced-{incarnation}");
            *m = Machine::new(site, &self.sites[site], incarnation, syncs, self.plan.engine_bug(), &host);
            m.enrolled_anew = true;
        } else {
            let keep = self.rng.random_range(0..=m.up.disk.batches.len());
            lost.extend(m.up.disk.batches.drain(keep..).flat_map(|b| b.links).map(|(id, _)| id));
            let state = &mut m.up.disk.state;
            let (head, chain) =
                m.up.disk.batches.last().map_or((state.oldest_kept - 1, state.oldest_chain), |b| {
                    (b.first + b.links.len() as u64 - 1, b.after)
                });
            state.head = head;
            state.head_chain = chain;
            state.marked = state.marked.min(head);
            // An image is older than the last grant; a disk that lied about a sync has lost only its tail.
            if kind == 1 {
                state.ratchet = [7; 16];
                state.nonce = None;
            }
            m.up.durable = m.up.disk.clone();
        }
        self.say(|| format!("machine {machine}: disk {}", if empty { "replaced" } else { "restored from an image" }));
        for id in lost {
            if !self.centre.holds(&id) && !kept.contains(&id) {
                self.must.remove(&id);
                self.may.insert(id);
            }
        }
        // What the centre holds may be lost by its restore before another backup: no disk can give it back then.
        if self.plan.restores {
            let gone: Vec<Uuid> =
                self.must.iter().filter(|id| !kept.contains(*id) && !self.is_on_disk(machine, id)).copied().collect();
            for id in gone {
                self.must.remove(&id);
                self.may.insert(id);
            }
        }
        self.after(1_000, Happening::Start(machine));
    }

    fn ids_elsewhere(&self, machine: usize) -> HashSet<Uuid> {
        let others = self.machines.iter().enumerate().filter(|(at, m)| *at != machine && !m.retired);
        others.flat_map(|(_, m)| m.up.durable.batches.iter().flat_map(|b| &b.links)).map(|(id, _)| *id).collect()
    }

    fn is_on_disk(&self, machine: usize, id: &Uuid) -> bool {
        self.machines[machine].up.durable.batches.iter().flat_map(|b| &b.links).any(|(other, _)| other == id)
    }

    /// An operator looks at the page and decides for whoever waits.
    fn operate(&mut self) {
        if !self.centre.runs {
            return;
        }
        for site in 0..self.sites.len() {
            if let Some(host) = self.centre.up[site].approve_pending() {
                self.forgive(site);
                self.excused.insert((site, host));
                self.say(|| format!("operator approves site {site}"));
            }
        }
    }

    /// The faults end: lines come back, and of two copies one after the other is let in, then retired.
    fn heal(&mut self) {
        self.say(|| "faults end".to_owned());
        self.calm = true;
        self.cut.clear();
        self.after(1, Happening::StartCentre);
        for machine in 0..self.machines.len() {
            self.after(10, Happening::Start(machine));
        }
    }

    // ---- rest ----

    fn is_at_rest(&mut self) -> bool {
        if !self.now.is_multiple_of(10 * TICK) {
            return false;
        }
        self.operate();
        self.retire_drained();
        let machines_done = self.machines.iter().all(|m| m.retired || self.has_nothing_left(m));
        let orders_done = (0..self.sites.len()).all(|site| {
            let state = &self.centre.down[site].disk.state;
            self.changed.contains(&site) || state.marked == state.head
        });
        machines_done
            && orders_done
            && self.centre.runs
            && self.centre.is_drained()
            && !self.centre.up.iter().any(RecvSide::is_busy)
    }

    /// Whether the ledger that runs now has said that it holds all of this machine.
    fn has_nothing_left(&self, machine: &Machine) -> bool {
        let state = &machine.up.disk.state;
        let flows = machine.up.sender.as_ref().is_some_and(|s| s.condition() == Condition::Flowing);
        machine.runs && flows && state.marked == state.head && state.ledger_id == self.centre.ledger_id
    }

    /// Of several machines of one site, one that has nothing left to send goes out of service.
    fn retire_drained(&mut self) {
        for machine in 0..self.machines.len() {
            let m = &self.machines[machine];
            let others =
                self.machines.iter().enumerate().any(|(at, o)| at != machine && o.site == m.site && !o.retired);
            if others && m.connection.is_some() && self.has_nothing_left(m) {
                self.say(|| format!("machine {machine} is taken out of service"));
                self.disconnect(machine, Lost::Network);
                self.machines[machine].stop(false);
                self.machines[machine].retired = true;
            }
        }
    }

    fn unrest(&self) -> String {
        let waits: Vec<String> = self
            .machines
            .iter()
            .enumerate()
            .filter(|(_, m)| {
                !m.retired && (m.up.disk.state.marked < m.up.disk.state.head || m.up.disk.state.nonce.is_some())
            })
            .map(|(at, m)| {
                let state = &m.up.disk.state;
                let condition = m.up.sender.as_ref().map(docksync_proto::link::Sender::condition);
                format!("machine {at} (site {}) marked {} of {} {condition:?}", m.site, state.marked, state.head)
            })
            .collect();
        let orders: Vec<String> = (0..self.sites.len())
            .filter(|s| {
                !self.changed.contains(s)
                    && self.centre.down[*s].disk.state.marked != self.centre.down[*s].disk.state.head
            })
            .map(|s| {
                format!(
                    "orders of site {s}: {:?}",
                    self.centre.down[s].sender.as_ref().map(docksync_proto::link::Sender::condition)
                )
            })
            .collect();
        format!("did not come to rest: {waits:?} {orders:?} drained {}", self.centre.is_drained())
    }

    fn verdict(mut self) -> Result<Summary, Failure> {
        self.summary.applied = self.centre.erp.documents.len();
        for site in 0..self.sites.len() {
            self.check_gapless(site)?;
        }
        if let Some((id, n)) = self.centre.erp.documents.iter().find(|(_, n)| **n > 1) {
            return Err(self.failure(format!("event {id} has {n} documents in the ERP")));
        }
        let missing: Vec<&Uuid> = self.must.iter().filter(|id| !self.centre.erp.documents.contains_key(id)).collect();
        if let Some(id) = missing.first() {
            return Err(self.failure(format!("{} events were lost, the first is {id}", missing.len())));
        }
        for (site, orders) in self.orders.iter().enumerate() {
            if self.changed.contains(&site) || self.centre.down_reset.contains(&site) {
                continue;
            }
            let machine = self.machines.iter().find(|m| m.site == site && !m.retired);
            let got: Vec<Uuid> =
                machine.map(|m| m.down.disk.rows.values().map(|(id, _)| *id).collect()).unwrap_or_default();
            if got != *orders {
                return Err(self.failure(format!(
                    "site {site} got {} of {} orders, or in another order",
                    got.len(),
                    orders.len()
                )));
            }
            self.summary.orders += got.len();
        }
        Ok(self.summary)
    }

    fn check_gapless(&self, site: usize) -> Result<(), Failure> {
        let disk = &self.centre.up[site].disk;
        let mut expected: Option<(u32, u64)> = None;
        for (epoch, seq) in disk.rows.keys() {
            let next = match expected {
                Some((e, s)) if e == *epoch => s,
                _ => 1,
            };
            let jumped = disk.gone.iter().any(|(e, first, last)| e == epoch && *first <= next && *seq == last + 1);
            if *seq != next && !jumped {
                return Err(self.failure(format!("site {site} epoch {epoch}: {seq} follows where {next} was due")));
            }
            expected = Some((*epoch, seq + 1));
        }
        Ok(())
    }
}

/// A frame and its answer, in one line of the script.
fn describe(frame: &Frame, answer: Option<&Frame>) -> String {
    let short = |frame: &Frame| match frame {
        Frame::Hello(h) => format!(
            "hello {} epoch {} ratchet {:02x}{:02x} nonce {:02x}{:02x} head {} marked {}",
            h.host, h.epoch, h.ratchet[0], h.ratchet[1], h.nonce[0], h.nonce[1], h.head, h.marked
        ),
        Frame::Grant(g) => {
            format!("grant epoch {} ratchet {:02x}{:02x} from {}", g.epoch, g.ratchet[0], g.ratchet[1], g.resume_from)
        }
        Frame::Batch(b) => format!(
            "batch epoch {} session {:04x} {}..={}",
            b.head.epoch,
            b.head.session >> 16,
            b.head.first,
            b.head.last()
        ),
        Frame::Mark(m) => format!("mark {}", m.marked),
        Frame::Refuse(r) => format!("refuse {} expected {}", r.reason.as_str(), r.expected),
        Frame::Beat(_) => "beat".to_owned(),
        Frame::Unavailable(u) => format!("unavailable {}..={}", u.first, u.last),
        Frame::Question(q) => format!("question {}..={}", q.first, q.last),
        Frame::Answer(a) => format!("answer {}..={}", a.first, a.last),
    };
    format!("{} -> {}", short(frame), answer.map_or_else(|| "-".to_owned(), short))
}

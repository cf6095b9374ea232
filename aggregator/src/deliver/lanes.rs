//! The order inside each document: which event may go next, and which wait behind one that cannot.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::ledger::Loc;

/// Events of one lane that are not settled, and those of them that hold back the rest.
#[derive(Debug, Default)]
struct Lane {
    queue: BTreeSet<Loc>,
    blockers: BTreeSet<Loc>,
}

/// All lanes of one consumer and site.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: HashMap<i64, Lane>,
    of: BTreeMap<Loc, i64>,
    ready: BTreeSet<Loc>,
    together: bool,
}

impl Lanes {
    /// `together` lets one call carry several events of a lane.
    pub(super) fn new(together: bool) -> Self {
        Self { lanes: HashMap::new(), of: BTreeMap::new(), ready: BTreeSet::new(), together }
    }

    /// Puts an event into its lane; a blocker holds back what stands behind it.
    pub(super) fn put(&mut self, loc: Loc, lane: i64, blocks: bool) {
        let entry = self.lanes.entry(lane).or_default();
        entry.queue.insert(loc);
        self.of.insert(loc, lane);
        if blocks {
            self.block(loc);
        } else {
            let first = entry.queue.first() == Some(&loc);
            let free = entry.blockers.first().is_none_or(|b| *b > loc);
            if free && (self.together || first) {
                self.ready.insert(loc);
            }
        }
    }

    /// The event holds back its lane; gives those behind it.
    pub(super) fn block(&mut self, loc: Loc) -> Vec<Loc> {
        let Some(lane) = self.of.get(&loc).and_then(|lane| self.lanes.get_mut(lane)) else { return Vec::new() };
        lane.blockers.insert(loc);
        let behind: Vec<Loc> = lane.queue.range(loc..).copied().collect();
        for held_back in &behind {
            self.ready.remove(held_back);
        }
        behind.into_iter().skip(1).collect()
    }

    /// The event may go, or go again.
    pub(super) fn unblock(&mut self, loc: Loc) {
        let Some(lane_no) = self.of.get(&loc).copied() else { return };
        if let Some(lane) = self.lanes.get_mut(&lane_no) {
            lane.blockers.remove(&loc);
        }
        self.wake(lane_no);
    }

    /// The event is settled.
    pub(super) fn take(&mut self, loc: Loc) {
        self.ready.remove(&loc);
        let Some(lane_no) = self.of.remove(&loc) else { return };
        let Some(lane) = self.lanes.get_mut(&lane_no) else { return };
        let blocked = lane.blockers.remove(&loc);
        lane.queue.remove(&loc);
        if lane.queue.is_empty() {
            self.lanes.remove(&lane_no);
        } else if blocked || !self.together {
            self.wake(lane_no);
        }
    }

    fn wake(&mut self, lane_no: i64) {
        let Some(lane) = self.lanes.get(&lane_no) else { return };
        let stop = lane.blockers.first().copied();
        let free = lane.queue.iter().take_while(|l| stop.is_none_or(|s| **l < s));
        self.ready.extend(free.take(if self.together { usize::MAX } else { 1 }));
    }

    /// Whether something before it in its lane holds it back.
    pub(super) fn is_behind(&self, loc: Loc, lane: i64) -> bool {
        self.lanes.get(&lane).and_then(|l| l.blockers.first()).is_some_and(|b| *b < loc)
    }

    /// Whether nothing of its lane stands before it.
    pub(super) fn is_first(&self, loc: Loc) -> bool {
        let lane = self.of.get(&loc).and_then(|lane| self.lanes.get(lane));
        lane.is_some_and(|lane| lane.queue.first() == Some(&loc))
    }

    /// Events before it in its lane that hold it back.
    pub(super) fn blockers_before(&self, loc: Loc, lane: i64) -> impl Iterator<Item = Loc> + '_ {
        self.lanes.get(&lane).into_iter().flat_map(move |l| l.blockers.range(..loc).copied())
    }

    /// The oldest events that may go.
    pub(super) fn ready(&self) -> impl Iterator<Item = Loc> + '_ {
        self.ready.iter().copied()
    }

    /// The event is on its way.
    pub(super) fn sent(&mut self, loc: Loc) {
        self.ready.remove(&loc);
    }
}

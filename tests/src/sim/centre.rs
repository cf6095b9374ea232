//! The centre: a ledger, both halves of the link for every site, and the posting to an ERP.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use docksync_proto::{identity::Incarnation, link::SenderConfig, site::SiteId};
use rand::{Rng, rngs::StdRng};
use uuid::Uuid;

use super::{
    recv::{RecvDisk, RecvSide},
    send::{SendDisk, SendSide},
};

/// What the centre's database holds.
#[derive(Debug, Clone)]
pub struct LedgerDisk {
    streams: Vec<RecvDisk>,
    orders: Vec<SendDisk>,
    applied: BTreeMap<Uuid, ()>,
    unknown: Option<Uuid>,
}

/// The ERP: documents by event, outside every database of ours.
#[derive(Debug, Default)]
pub struct Erp {
    pub(crate) documents: HashMap<Uuid, u32>,
}

/// The centre.
#[derive(Debug)]
pub struct Centre {
    pub(crate) ledger_id: Incarnation,
    pub(crate) up: Vec<RecvSide>,
    pub(crate) down: Vec<SendSide>,
    applied: BTreeMap<Uuid, ()>,
    /// Event whose call was begun and not answered.
    unknown: Option<Uuid>,
    backlog: Vec<Uuid>,
    seen: HashSet<Uuid>,
    recovering: bool,
    retry_blindly: bool,
    pub(crate) runs: bool,
    pub(crate) erp: Erp,
    pub(crate) backed_up: Vec<(u32, u64)>,
    backup: Option<LedgerDisk>,
    /// Down streams that were opened anew by a restore.
    pub(crate) down_reset: BTreeSet<usize>,
}

impl Centre {
    /// An empty ledger.
    pub fn new(
        sites: &[SiteId],
        rng: &mut StdRng,
        bug: Option<docksync_proto::link::Bug>,
        retry_blindly: bool,
    ) -> Self {
        let sender = |site: &SiteId, rng: &mut StdRng| {
            SendSide::new(site.clone(), Incarnation(rng.random()), SenderConfig::new("centre"), true)
        };
        Self {
            ledger_id: Incarnation(rng.random()),
            up: sites.iter().map(|s| RecvSide::new(s.clone(), bug)).collect(),
            down: sites.iter().map(|s| sender(s, rng)).collect(),
            applied: BTreeMap::new(),
            unknown: None,
            backlog: Vec::new(),
            seen: HashSet::new(),
            recovering: false,
            retry_blindly,
            runs: false,
            erp: Erp::default(),
            backed_up: vec![(0, 0); sites.len()],
            backup: None,
            down_reset: BTreeSet::new(),
        }
    }

    /// Starts the process.
    pub fn start(&mut self) {
        self.runs = true;
        self.up.iter_mut().for_each(RecvSide::restart);
        self.down.iter_mut().for_each(SendSide::start);
        self.rebuild_backlog();
    }

    fn rebuild_backlog(&mut self) {
        self.seen = self.applied.keys().copied().collect();
        self.backlog.clear();
        let ids: Vec<Uuid> = self.up.iter().flat_map(|s| s.disk.rows.values().map(|(id, _)| *id)).collect();
        self.queue(&ids);
    }

    /// Ends the process.
    pub fn stop(&mut self) {
        self.runs = false;
        self.up.iter_mut().for_each(RecvSide::restart);
        self.down.iter_mut().for_each(|s| s.stop(false));
    }

    /// New rows of the ledger: an id that is known is a duplicate and has no effect.
    pub fn queue(&mut self, ids: &[Uuid]) {
        for id in ids {
            if self.seen.insert(*id) {
                self.backlog.push(*id);
            }
        }
    }

    /// Copies the database, and checks the copy.
    pub fn back_up(&mut self) {
        self.backup = Some(LedgerDisk {
            streams: self.up.iter().map(|s| s.disk.clone()).collect(),
            orders: self.down.iter().map(|s| s.durable.clone()).collect(),
            applied: self.applied.clone(),
            unknown: self.unknown,
        });
        self.backed_up =
            self.up.iter().map(|s| s.disk.state.as_ref().map_or((0, 0), |state| (state.epoch, state.marked))).collect();
    }

    /// Puts the last backup back under a new ledger id; false where there is none.
    pub fn restore(&mut self, sites: &[SiteId], rng: &mut StdRng, bug: Option<docksync_proto::link::Bug>) -> bool {
        let Some(backup) = self.backup.clone() else { return false };
        self.ledger_id = Incarnation(rng.random());
        self.up = sites.iter().zip(backup.streams).map(|(s, disk)| RecvSide::on(s.clone(), bug, disk)).collect();
        for (at, (side, old)) in self.down.iter_mut().zip(backup.orders).enumerate() {
            // What went down after the backup is unknown now: a new stream, and ids remove the doubles.
            let links: Vec<_> = old.batches.into_iter().flat_map(|b| b.links).collect();
            *side = SendSide::new(sites[at].clone(), Incarnation(rng.random()), SenderConfig::new("centre"), true);
            side.capture(0, [0; 16], links);
            self.down_reset.insert(at);
        }
        self.applied = backup.applied;
        self.unknown = backup.unknown;
        self.recovering = true;
        true
    }

    /// One turn of posting: at most one document.
    pub fn post(&mut self, rng: &mut StdRng, calm: bool) {
        if let Some(id) = self.unknown {
            if !self.retry_blindly && self.erp.documents.contains_key(&id) {
                return self.applied(id);
            }
            return self.call(id, rng, calm);
        }
        let Some(id) = self.backlog.pop() else { return };
        if self.applied.contains_key(&id) {
            return;
        }
        if self.recovering && self.erp.documents.contains_key(&id) {
            return self.applied(id);
        }
        self.unknown = Some(id);
        self.call(id, rng, calm);
    }

    fn call(&mut self, id: Uuid, rng: &mut StdRng, calm: bool) {
        let roll = if calm { 9 } else { rng.random_range(0..10) };
        if roll == 0 {
            return;
        }
        *self.erp.documents.entry(id).or_default() += 1;
        // Committed, but the answer is lost: the outcome stays unknown.
        if roll > 1 {
            self.applied(id);
        }
    }

    fn applied(&mut self, id: Uuid) {
        self.applied.insert(id, ());
        self.unknown = None;
    }

    /// Whether everything in the ledger is in the ERP.
    pub fn is_drained(&self) -> bool {
        self.backlog.is_empty() && self.unknown.is_none()
    }

    /// Whether the ledger holds this event.
    pub fn holds(&self, id: &Uuid) -> bool {
        self.seen.contains(id)
    }
}

//! How far the ERP is, per site, and which destinations are paused: shared, cheap to read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use docksync_proto::site::SiteId;

use super::pause::Incident;

/// Shared snapshot of all deliveries.
#[derive(Debug, Clone, Default)]
pub struct Board {
    shared: Arc<Mutex<Facts>>,
}

#[derive(Debug, Default)]
struct Facts {
    erp: BTreeSet<String>,
    cursors: BTreeMap<SiteId, BTreeMap<String, (u32, u64)>>,
    incidents: BTreeMap<String, Incident>,
}

impl Board {
    /// A board for the consumers that are an ERP.
    pub fn new(erp: impl IntoIterator<Item = String>) -> Self {
        let facts = Facts { erp: erp.into_iter().collect(), ..Facts::default() };
        Self { shared: Arc::new(Mutex::new(facts)) }
    }

    /// Number through which every ERP consumer has applied or parked this stream; `None` where no consumer is one.
    pub fn applied(&self, site: &SiteId, epoch: u32) -> Option<u64> {
        let facts = self.facts();
        let of_site = facts.cursors.get(site);
        let through = |consumer: &String| match of_site.and_then(|c| c.get(consumer)) {
            Some((at, seq)) if *at == epoch => *seq,
            // A later epoch is only reached through the whole of this one.
            Some((at, _)) if *at > epoch => u64::MAX,
            Some(_) | None => 0,
        };
        facts.erp.iter().map(through).min()
    }

    /// Open incidents, by consumer.
    pub fn incidents(&self) -> BTreeMap<String, Incident> {
        self.facts().incidents.clone()
    }

    /// A consumer's cursor moved.
    pub(super) fn moved(&self, consumer: &str, site: &SiteId, epoch: u32, seq: u64) {
        let mut facts = self.facts();
        facts.cursors.entry(site.clone()).or_default().insert(consumer.to_owned(), (epoch, seq));
    }

    /// A consumer's incident opened, went on or closed.
    pub(crate) fn paused(&self, consumer: &str, incident: Option<&Incident>) {
        let mut facts = self.facts();
        match incident {
            Some(incident) => drop(facts.incidents.insert(consumer.to_owned(), incident.clone())),
            None => drop(facts.incidents.remove(consumer)),
        }
    }

    /// Every write is a single insert or removal, so that a panic in between leaves nothing half done.
    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_erp_counts_and_others_do_not() {
        let board = Board::new(["a".to_owned(), "b".to_owned()]);
        let site = SiteId::new("DC01").unwrap();
        board.moved("a", &site, 2, 90);
        board.moved("b", &site, 2, 70);
        board.moved("analytics", &site, 2, 3);

        assert_eq!(board.applied(&site, 2), Some(70));
        assert_eq!(board.applied(&site, 3), Some(0));
        assert_eq!(Board::default().applied(&site, 2), None);
    }
}

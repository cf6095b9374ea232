//! When a restored ledger has everything again: each site has told how far its own store reaches, and that much is held. Pure.

use std::collections::BTreeMap;

use docksync_proto::site::SiteId;

use super::view::SiteView;

/// Watches until every site has sent again what the ledger lacked.
#[derive(Debug, Default)]
pub struct Recovery {
    /// How far each site's store reached when it was first heard of since the restore: epoch and number.
    reach: BTreeMap<SiteId, (u32, u64)>,
}

impl Recovery {
    /// Whether all of these sites have sent everything that they held when they first came back. One that has not come yet is
    /// waited for, until it is revoked.
    pub fn is_over<'s>(
        &mut self,
        sites: impl IntoIterator<Item = &'s SiteId>,
        views: &BTreeMap<SiteId, SiteView>,
    ) -> bool {
        let mut all = true;
        for site in sites {
            // Its first heartbeat: a hello may be a copy's.
            let heard = views.get(site).filter(|view| view.totals_at.1 != 0);
            let Some(view) = heard else {
                all = false;
                continue;
            };
            let (epoch, head) = *self.reach.entry(site.clone()).or_insert((view.epoch, view.totals_at.0));
            // A later epoch begins where all of the earlier one is held.
            all &= view.epoch > epoch || view.marked >= head;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(epoch: u32, head: u64, marked: u64) -> SiteView {
        SiteView { epoch, marked, totals_at: (head, 1), ..SiteView::default() }
    }

    #[test]
    fn it_is_over_when_each_site_has_sent_what_it_held_when_it_came_back() {
        let sites = ["DC01", "DC02"].map(|code| SiteId::new(code).unwrap());
        let mut recovery = Recovery::default();
        let mut views = BTreeMap::from([(sites[0].clone(), view(1, 900, 400))]);

        assert!(!recovery.is_over(&sites, &views), "DC02 was not heard of");
        views.insert(sites[1].clone(), view(1, 50, 50));
        assert!(!recovery.is_over(&sites, &views), "DC01 has more");
        // What came new since then is no matter of the restore.
        views.insert(sites[0].clone(), view(1, 1_200, 900));
        assert!(recovery.is_over(&sites, &views));
        assert!(recovery.is_over(&sites[1..], &views));
    }
}

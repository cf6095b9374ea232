//! What waits for a person: events that were not admitted and deliveries that a destination refused. Pure.

use std::collections::BTreeMap;

use docksync_proto::site::SiteId;
use serde::Serialize;

use crate::ledger::{ADMIT_TARGET, DeliveryRow, Loc, RefusalRow};

/// One event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Stable code.
    pub code: String,
    /// Site.
    pub site: SiteId,
    /// Consumer, or [`ADMIT_TARGET`].
    pub target: String,
    /// Its place.
    pub loc: Loc,
    /// Why, in words.
    pub reason: String,
    /// Since when, milliseconds since 1970.
    pub at_ms: i64,
}

/// Those with the same code, site and target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Stable code.
    pub code: String,
    /// Site.
    pub site: SiteId,
    /// Consumer, or `admit` for events that break the contract.
    pub target: String,
    /// How many.
    pub count: u64,
    /// The first came then, milliseconds since 1970.
    pub first_ms: i64,
    /// The last came then.
    pub last_ms: i64,
    /// Place of the first, as the commands take it.
    pub sample: String,
    /// Why, of the first.
    pub reason: String,
}

/// Both kinds as one list.
pub fn waiting(refusals: Vec<RefusalRow>, parked: Vec<DeliveryRow>) -> Vec<Waiting> {
    let refused = refusals.into_iter().map(|row| Waiting {
        code: row.code,
        site: row.site,
        target: ADMIT_TARGET.to_owned(),
        loc: row.loc,
        reason: row.reason,
        at_ms: row.at_ms,
    });
    let parked = parked.into_iter().map(|row| Waiting {
        code: row.code,
        site: row.site,
        target: row.consumer,
        loc: row.loc,
        reason: row.reason,
        at_ms: row.at_ms,
    });
    refused.chain(parked).collect()
}

/// Groups, the largest first.
pub fn groups(waiting: &[Waiting]) -> Vec<Group> {
    let mut found: BTreeMap<(&str, &SiteId, &str), Group> = BTreeMap::new();
    for row in waiting {
        let group = found.entry((&row.code, &row.site, &row.target)).or_insert_with(|| Group {
            code: row.code.clone(),
            site: row.site.clone(),
            target: row.target.clone(),
            count: 0,
            first_ms: row.at_ms,
            last_ms: row.at_ms,
            sample: row.loc.to_string(),
            reason: row.reason.clone(),
        });
        group.count += 1;
        group.last_ms = group.last_ms.max(row.at_ms);
        if row.at_ms < group.first_ms {
            (group.first_ms, group.sample, group.reason) = (row.at_ms, row.loc.to_string(), row.reason.clone());
        }
    }
    let mut groups: Vec<Group> = found.into_values().collect();
    // Stable: groups of one size keep the order of code, site and target.
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

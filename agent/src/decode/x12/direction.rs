//! Whether a document of goods on their way speaks of goods that leave this warehouse or come to it.

use super::sheet::{Sheet, Site};

/// Which way goods go, seen from the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

impl Sheet<'_, '_, '_, '_> {
    /// The feed's option `direction` decides. Else the parties do, where the feed lists its warehouses: goods come in where the
    /// place that they go to (`ST`, or the warehouse of a 943) is one of them. Where nothing is known they go out.
    pub(super) fn direction(&self, sites: &[Site], to: &[&str]) -> Direction {
        match self.messages.parse.first("direction") {
            Some("in") => return Direction::In,
            Some("out") => return Direction::Out,
            _ => {}
        }
        let own = &self.messages.parse.sites;
        let is_ours = |site: &Site| own.contains_key(&site.code.to_uppercase());
        if sites.iter().any(|site| to.contains(&site.qualifier.as_str()) && is_ours(site)) {
            Direction::In
        } else {
            Direction::Out
        }
    }
}

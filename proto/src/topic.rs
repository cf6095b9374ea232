//! The only place that builds or reads an MQTT topic.
//!
//! All topics lie below `docksync/1/`: the number is the version of the link. Who may use which:
//! a site publishes `{site}/state` and `{site}/up/{batch,hello,beat}` and `{site}/down/mark`, and reads `centre`,
//! `{site}/up/mark`, `{site}/down/batch`. The centre has the rest.

use crate::site::SiteId;

/// First levels of every topic.
pub const ROOT: &str = "docksync/1";
/// State of the centre: retained, with last will.
pub const CENTRE: &str = "docksync/1/centre";

/// A topic below a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leaf {
    /// Presence of the agent: retained, with last will.
    State,
    /// Events of the site.
    UpBatch,
    /// Opening of the way up.
    UpHello,
    /// Heartbeat with control totals, and questions what became of events.
    UpBeat,
    /// Grants, marks, refusals and answers by the centre.
    UpMark,
    /// Orders and master data for the site.
    DownBatch,
    /// Grants, marks and refusals by the agent.
    DownMark,
}

impl Leaf {
    /// Every leaf.
    pub const ALL: [Self; 7] =
        [Self::State, Self::UpBatch, Self::UpHello, Self::UpBeat, Self::UpMark, Self::DownBatch, Self::DownMark];

    /// The levels below the site.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::UpBatch => "up/batch",
            Self::UpHello => "up/hello",
            Self::UpBeat => "up/beat",
            Self::UpMark => "up/mark",
            Self::DownBatch => "down/batch",
            Self::DownMark => "down/mark",
        }
    }

    /// Whether the site publishes it; otherwise the centre does.
    pub const fn is_from_site(self) -> bool {
        match self {
            Self::State | Self::UpBatch | Self::UpHello | Self::UpBeat | Self::DownMark => true,
            Self::UpMark | Self::DownBatch => false,
        }
    }
}

/// Topic of a site.
pub fn of(site: &SiteId, leaf: Leaf) -> String {
    format!("{ROOT}/{site}/{}", leaf.as_str())
}

/// Site and leaf of a topic, or `None` where it is none of ours.
pub fn parse(topic: &str) -> Option<(SiteId, Leaf)> {
    let (site, rest) = topic.strip_prefix(ROOT)?.strip_prefix('/')?.split_once('/')?;
    let leaf = Leaf::ALL.into_iter().find(|leaf| leaf.as_str() == rest)?;
    Some((SiteId::new(site).ok()?, leaf))
}

/// Filters that an agent subscribes to.
pub fn agent_filters(site: &SiteId) -> [String; 3] {
    [CENTRE.to_owned(), of(site, Leaf::UpMark), of(site, Leaf::DownBatch)]
}

/// Filters by which the centre hears every site, at a broker of its own.
pub fn centre_filters() -> Vec<String> {
    Leaf::ALL.into_iter().filter(|leaf| leaf.is_from_site()).map(|leaf| format!("{ROOT}/+/{}", leaf.as_str())).collect()
}

/// Whether a site may publish to this topic.
pub fn site_may_publish(site: &SiteId, topic: &str) -> bool {
    parse(topic).is_some_and(|(of, leaf)| of == *site && leaf.is_from_site())
}

/// Whether a site may subscribe to this filter: no wildcard, nobody else's.
pub fn site_may_subscribe(site: &SiteId, filter: &str) -> bool {
    agent_filters(site).iter().any(|allowed| allowed == filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_reads_back_as_it_was_built() {
        let site = SiteId::new("DC-01").unwrap();

        for leaf in Leaf::ALL {
            assert_eq!(parse(&of(&site, leaf)), Some((site.clone(), leaf)));
        }
    }

    #[test]
    fn a_site_may_use_its_own_topics_and_no_others() {
        let (own, other) = (SiteId::new("DC1").unwrap(), SiteId::new("DC2").unwrap());

        assert!(site_may_publish(&own, &of(&own, Leaf::UpBatch)));
        assert!(!site_may_publish(&own, &of(&other, Leaf::UpBatch)));
        assert!(!site_may_publish(&own, &of(&own, Leaf::UpMark)));
        assert!(!site_may_publish(&own, CENTRE));
        assert!(site_may_subscribe(&own, CENTRE));
        assert!(!site_may_subscribe(&own, "docksync/1/#"));
        assert!(!site_may_subscribe(&own, "docksync/1/DC2/up/mark"));
    }
}

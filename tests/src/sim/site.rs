//! A machine at a site: the agent's disk, both halves of the link, and its connection.

use docksync_proto::{
    identity::Incarnation,
    link::{Bug, SenderConfig},
    site::SiteId,
};

use super::{recv::RecvSide, send::SendSide};

/// A machine that has, or had, a site's identity.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Position of its site.
    pub(crate) site: usize,
    /// Events on their way to the centre.
    pub(crate) up: SendSide,
    /// Orders on their way from the centre.
    pub(crate) down: RecvSide,
    /// Number of its connection.
    pub(crate) connection: Option<u64>,
    /// Whether the process runs.
    pub(crate) runs: bool,
    /// Whether the machine was taken out of service.
    pub(crate) retired: bool,
    /// Whether the centre issued its certificate on a fresh token.
    pub(crate) enrolled_anew: bool,
    /// Its disk's database.
    pub(crate) incarnation: Incarnation,
}

impl Machine {
    /// A machine with an empty database.
    pub fn new(site: usize, id: &SiteId, incarnation: Incarnation, syncs: bool, bug: Option<Bug>, host: &str) -> Self {
        let mut config = SenderConfig::new(host);
        config.bug = bug;
        Self {
            site,
            up: SendSide::new(id.clone(), incarnation, config, syncs),
            down: RecvSide::new(id.clone(), None),
            connection: None,
            runs: false,
            retired: false,
            enrolled_anew: false,
            incarnation,
        }
    }

    /// Starts the process.
    pub fn start(&mut self) {
        self.runs = true;
        self.up.start();
        self.down.restart();
    }

    /// Ends the process.
    pub fn stop(&mut self, power_cut: bool) {
        self.runs = false;
        self.connection = None;
        self.up.stop(power_cut);
        self.down.restart();
    }
}

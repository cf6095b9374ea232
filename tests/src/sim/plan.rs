//! What a seed means: how many sites, which faults, how often.

use docksync_proto::link::Bug;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// A fault planted in the code, or in the way it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimBug {
    /// One of the engine's.
    Engine(Bug),
    /// The site's database does not sync its commits.
    SynchronousNormal,
    /// After an unknown outcome the ERP is called again without a look-up.
    RetryWithoutLookUp,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Sites.
    pub sites: usize,
    /// Virtual milliseconds during which faults happen.
    pub faults_for: u64,
    /// Mean time between two faults, in virtual milliseconds.
    pub fault_every: u64,
    /// Mean time between two exports of one site.
    pub export_every: u64,
    /// Per mille of messages that the broker loses.
    pub drop: u32,
    /// Per mille of messages that it delivers twice.
    pub double: u32,
    /// Longest delay of a message.
    pub delay: u64,
    /// Whether machines are cloned, restored and replaced.
    pub copies: bool,
    /// Whether the centre is restored from backups.
    pub restores: bool,
    /// A planted fault.
    pub bug: Option<SimBug>,
    /// Whether to keep the script.
    pub trace: bool,
}

impl Plan {
    /// The run that a seed means.
    pub fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed_0000);
        let sites = match rng.random_range(0..10) {
            0 => rng.random_range(10..=50),
            1..=3 => rng.random_range(3..10),
            _ => rng.random_range(1..3),
        };
        Self {
            seed,
            sites,
            faults_for: rng.random_range(60_000..1_200_000),
            fault_every: rng.random_range(5_000..120_000),
            export_every: rng.random_range(500..30_000) * (1 + sites as u64 / 4),
            drop: [0, 10, 100, 300][rng.random_range(0..4)],
            double: [0, 50, 200][rng.random_range(0..3)],
            delay: [5, 200, 5_000][rng.random_range(0..3)],
            copies: rng.random_bool(0.5),
            restores: rng.random_bool(0.5),
            bug: None,
            trace: false,
        }
    }

    /// The same with a planted fault.
    #[must_use]
    pub fn with_bug(mut self, bug: SimBug) -> Self {
        self.bug = Some(bug);
        self
    }

    /// The engine's part of the planted fault.
    pub fn engine_bug(&self) -> Option<Bug> {
        match self.bug {
            Some(SimBug::Engine(bug)) => Some(bug),
            Some(SimBug::SynchronousNormal | SimBug::RetryWithoutLookUp) | None => None,
        }
    }
}

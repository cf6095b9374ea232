//! Seeded simulation of sites, broker, centre and ERP around the real link engine.
//!
//! Takes a seed, gives a verdict. One scheduler with virtual time; every random choice comes from the seed, so a failing seed
//! replays to the letter. What is real: the engine ([`docksync_proto::link`]), its chain and its states. What is modelled:
//! disks (what was not synced is lost at a power cut), the broker (drops, doubles, reorders, forgets, restarts), the ledger's
//! transaction, an ERP that commits and does not answer, operators who approve.
//!
//! Invariants, checked while it runs: a mark says only what the ledger's disk holds; a stream is gapless; no stream forks; an
//! ERP document is made at most once for an event. After the faults end: every event captured on a disk that was not destroyed
//! is applied exactly once, and both ends agree on every stream.

pub mod centre;
pub mod plan;
pub mod recv;
pub mod send;
pub mod site;
pub mod world;

use std::fmt;

pub use plan::{Plan, SimBug};

/// How a run ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    /// Events captured at all sites.
    pub captured: usize,
    /// Documents in the ERP.
    pub applied: usize,
    /// Faults that were injected.
    pub faults: usize,
    /// Steps of the scheduler.
    pub steps: usize,
    /// Orders received by sites.
    pub orders: usize,
}

/// A broken promise, with the way to see it again.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Virtual milliseconds.
    pub at: u64,
    /// What was broken.
    pub what: String,
    /// What had happened.
    pub script: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at {} ms: {} (replay: ./tests/sim --seed {})", self.seed, self.at, self.what, self.seed)
    }
}

impl std::error::Error for Failure {}

/// Runs one seed.
///
/// # Errors
/// [`Failure`] names the promise that was broken.
pub fn run(plan: Plan) -> Result<Summary, Failure> {
    world::World::new(plan).run()
}

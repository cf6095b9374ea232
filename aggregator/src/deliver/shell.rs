//! Runs deliveries until told to stop, on the thread it is called on: the ledger's reads and the consumer both block.

use std::time::Duration;

use tokio::{runtime::Handle, sync::watch};
use tokio_util::sync::CancellationToken;

use super::{
    DeliverError,
    deliverer::{Books, Deliverer, LiveBooks, Step},
    ops,
};
use crate::{
    consumers::Consumer,
    ledger::{Clock, LedgerError, writer::LedgerHandle},
    reconcile::gate::Gate,
};

/// Requests of operators come from another process: nothing tells of them.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// While the destination's balances are read.
const GATE_LOOK: Duration = Duration::from_millis(20);

/// When to look again.
#[derive(Clone)]
pub struct Wake {
    /// Rung by every commit of the ledger.
    pub commits: watch::Receiver<u64>,
    /// Ends the run.
    pub stop: CancellationToken,
    /// Where waiting happens.
    pub runtime: Handle,
    /// Wall clock.
    pub clock: Clock,
}

impl Wake {
    fn wait(&mut self, at_most: Duration) {
        let Self { commits, stop, runtime, .. } = self;
        runtime.block_on(async {
            tokio::select! {
                () = stop.cancelled() => {}
                // A closed ledger ends the loop by its own error at the next step.
                _ = commits.changed() => {}
                () = tokio::time::sleep(at_most) => {}
            }
        });
    }

    /// Waits without heed of commits, which cannot help a paused destination.
    fn rest(&self, at_most: Duration) {
        let stop = &self.stop;
        self.runtime.block_on(async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(at_most) => {}
            }
        });
    }
}

/// Delivers to one consumer. Blocks: call it on a thread of its own, named after the consumer.
///
/// # Errors
/// [`DeliverError`]; its disposition says whether the program must end.
pub fn run<B: Books, C: Consumer>(
    mut deliverer: Deliverer<B, C>,
    mut wake: Wake,
    gate: &Gate,
) -> Result<(), DeliverError> {
    while !wake.stop.is_cancelled() {
        let now_ms = (wake.clock)();
        wake.commits.mark_unchanged();
        let Some(step) = gate.step(|| deliverer.step(now_ms)) else {
            // Balances of the destination are being read.
            wake.rest(GATE_LOOK);
            continue;
        };
        match step? {
            Step::Worked => {}
            // A question that is due later is asked at the look after that.
            Step::Idle { .. } => wake.wait(LOOK_EVERY),
            Step::Paused { until_ms } => {
                let left = u64::try_from(until_ms - now_ms).unwrap_or(0);
                wake.rest(Duration::from_millis(left).min(LOOK_EVERY));
            }
        }
    }
    Ok(())
}

/// Answers requests about events that were not admitted. Blocks, as [`run`].
///
/// # Errors
/// [`LedgerError`].
pub fn run_ops(writer: LedgerHandle, mut wake: Wake) -> Result<(), LedgerError> {
    let mut books = LiveBooks::open(writer)?;
    while !wake.stop.is_cancelled() {
        wake.commits.mark_unchanged();
        if ops::answer_waiting(&mut books)? == 0 {
            wake.rest(LOOK_EVERY);
        }
    }
    Ok(())
}

//! Real processes on loopback: an aggregator, agents, and a warehouse system that writes export files.
//!
//! A program counts as started when it says so over `NOTIFY_SOCKET`, as to systemd. Conditions are awaited with a deadline;
//! nothing here measures time to decide. Only processes that were started here are ended, by their own handles.

pub mod centre;
pub mod destination;
pub mod lossy;
pub mod process;
pub mod site;
pub mod tryton;
pub mod wms;

use std::time::{Duration, Instant};

/// Longest wait for anything in a test: generous, for machines are shared.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until the condition holds.
///
/// # Errors
/// Names what did not come true within the deadline.
pub fn await_that(what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + within;
    while !holds() {
        anyhow::ensure!(Instant::now() < end, "{what} did not come true within {within:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    Ok(())
}

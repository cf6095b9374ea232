//! The two clocks that intake reads: one for what people see, one for waiting.

use std::time::Instant;

use jiff::Timestamp;

/// Source of time.
pub trait Clock: Send + Sync {
    /// The wall clock; may jump.
    fn wall(&self) -> Timestamp;
    /// Never goes back; whether a file has settled is decided by it alone.
    fn monotonic(&self) -> Instant;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

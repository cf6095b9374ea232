//! Deliveries to a destination rest while its balances are read.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// One destination's gate; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    wanted: Arc<AtomicUsize>,
    busy: Arc<Mutex<()>>,
}

impl Gate {
    /// A step of the deliveries, unless somebody waits to read.
    pub fn step<T>(&self, step: impl FnOnce() -> T) -> Option<T> {
        if self.wanted.load(Ordering::SeqCst) > 0 {
            return None;
        }
        let _busy = self.lock();
        Some(step())
    }

    /// Reads while no delivery is under way.
    pub fn rest<T>(&self, read: impl FnOnce() -> T) -> T {
        self.wanted.fetch_add(1, Ordering::SeqCst);
        let result = {
            let _busy = self.lock();
            read()
        };
        self.wanted.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gates of all destinations.
pub type Gates = BTreeMap<String, Gate>;

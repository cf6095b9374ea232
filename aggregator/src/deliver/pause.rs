//! When a destination that takes nothing is tried again. Pure: jitter comes from a seed.

use crate::consumers::FaultClass;

/// First delay, milliseconds.
const DELAY_FIRST_MS: u64 = 500;
/// Longest delay, milliseconds: a try is one call with one event, and what waits should flow again half a minute after it can.
pub const DELAY_MAX_MS: u64 = 25_000;
/// Longest time that a destination may ask for, milliseconds.
const RETRY_AFTER_MAX_MS: u64 = 3_600_000;

/// One incident of a destination, from its first fault to its next success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// What kind of fault it is now.
    pub class: FaultClass,
    /// The destination's last words.
    pub reason: String,
    /// First fault, milliseconds since 1970.
    pub since_ms: i64,
    /// Tries that failed.
    pub failures: u32,
    /// Next try, milliseconds since 1970.
    pub next_try_ms: i64,
}

/// Whether a destination is paused.
#[derive(Debug, Clone)]
pub struct Pause {
    seed: u64,
    incident: Option<Incident>,
}

impl Pause {
    /// Not paused.
    pub fn new(seed: u64) -> Self {
        Self { seed, incident: None }
    }

    /// The open incident.
    pub fn incident(&self) -> Option<&Incident> {
        self.incident.as_ref()
    }

    /// An incident of a former run goes on.
    pub fn go_on(&mut self, incident: Incident) {
        self.incident = Some(incident);
    }

    /// Until when nothing is tried.
    pub fn paused_until(&self, now_ms: i64) -> Option<i64> {
        self.incident.as_ref().map(|i| i.next_try_ms).filter(|until| *until > now_ms)
    }

    /// Whether the next call is a trial, to be made with one event.
    pub fn is_trial(&self) -> bool {
        self.incident.is_some()
    }

    /// The destination takes nothing. Gives `true` where this opens an incident.
    pub fn fault(&mut self, class: FaultClass, after_ms: Option<u64>, reason: &str, now_ms: i64) -> bool {
        let opens = self.incident.is_none();
        let (since_ms, failures) =
            self.incident.as_ref().map_or((now_ms, 1), |i| (i.since_ms, i.failures.saturating_add(1)));
        let delay = backoff(failures, self.seed).max(after_ms.unwrap_or(0).min(RETRY_AFTER_MAX_MS));
        let next_try_ms = now_ms.saturating_add_unsigned(delay);
        self.incident = Some(Incident { class, reason: reason.to_owned(), since_ms, failures, next_try_ms });
        opens
    }

    /// The destination works. Gives the incident that this closes.
    pub fn clear(&mut self) -> Option<Incident> {
        self.incident.take()
    }
}

/// Delay after this many failures: doubling to [`DELAY_MAX_MS`], between half and the whole of it by the seed.
pub fn backoff(failures: u32, seed: u64) -> u64 {
    let whole = DELAY_FIRST_MS.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(DELAY_MAX_MS);
    // SplitMix64, so that sites and restarts do not try at the same moment.
    let mixed = (seed ^ u64::from(failures)).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    whole / 2 + (mixed ^ (mixed >> 31)) % (whole / 2 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_limit_and_differ_by_seed() {
        assert!(backoff(1, 7) >= 250 && backoff(1, 7) <= 500);
        assert!((DELAY_MAX_MS / 2..=DELAY_MAX_MS).contains(&backoff(60, 7)));
        assert_ne!(backoff(12, 7), backoff(12, 8));
    }

    #[test]
    fn one_incident_lasts_from_the_first_fault_to_the_next_success() {
        let mut pause = Pause::new(1);

        assert!(pause.fault(FaultClass::Outage, None, "down", 1_000));
        assert!(!pause.fault(FaultClass::Limit, Some(60_000), "slow", 2_000));

        assert_eq!(pause.incident().map(|i| (i.since_ms, i.failures)), Some((1_000, 2)));
        assert_eq!(pause.paused_until(2_000), Some(62_000));
        assert_eq!(pause.paused_until(62_000), None);
        assert!(pause.clear().is_some() && pause.incident().is_none());
    }
}

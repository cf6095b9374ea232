//! How much a destination is given at once: more while that makes it faster, less when it slows down or refuses. Pure.
//!
//! For a destination that takes calls side by side the batch is its concurrency; for one that takes documents together it is the
//! call's size. Both have a size beyond which more at once brings less. It is found by trying, for nobody knows it and it moves: additive
//! growth, multiplicative decrease, as TCP finds its window (RFC 5681, section 3.1).

use std::time::Duration;

/// Share of the most that one success adds.
const GROWTH: f64 = 1.0 / 16.0;
/// What a refusal, a fault or a lost answer leaves of the size.
const AFTER_FAULT: f64 = 0.5;
/// What a slower destination leaves of it.
const AFTER_SLOWNESS: f64 = 0.75;
/// Share of the usual pace below which a destination counts as slower.
const SLOW: f64 = 0.5;
/// Weight of the newest call in the usual pace.
const NEWEST: f64 = 0.2;
/// Below this a call tells nothing of the destination.
const SHORT: Duration = Duration::from_millis(20);

/// The size of what is sent next.
#[derive(Debug, Clone)]
pub struct Tempo {
    most: f64,
    size: f64,
    /// Events for each second, smoothed; zero before the first call that told something.
    pace: f64,
}

impl Tempo {
    /// Begins with the most that the destination takes.
    pub fn new(most: usize) -> Self {
        let most = most.max(1) as f64;
        Self { most, size: most, pace: 0.0 }
    }

    /// Most events of the next call.
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// A call with this many events was answered for all of them, well or ill, in this time.
    pub fn answered(&mut self, events: usize, took: Duration) {
        let is_full = events >= self.size();
        if took < SHORT {
            self.grow(is_full);
            return;
        }
        let pace = events as f64 / took.as_secs_f64();
        // A small call says little of how much the destination could take.
        if is_full && pace < self.pace * SLOW {
            self.shrink(AFTER_SLOWNESS);
        } else {
            self.grow(is_full);
        }
        if is_full {
            let is_first = self.pace == 0.0;
            self.pace = if is_first { pace } else { self.pace + (pace - self.pace) * NEWEST };
        }
    }

    /// A call was refused for its destination's sake, or not answered.
    pub fn failed(&mut self) {
        self.shrink(AFTER_FAULT);
    }

    fn grow(&mut self, is_full: bool) {
        if is_full {
            self.size = (self.size + (self.most * GROWTH).max(1.0)).min(self.most);
        }
    }

    fn shrink(&mut self, to: f64) {
        self.size = (self.size * to).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A destination that takes so many at once without loss, and gets slower by the square of what is beyond.
    fn takes(events: usize, well: usize) -> Duration {
        let over = (events as f64 / well as f64).max(1.0);
        Duration::from_secs_f64(0.1 * over * over * over)
    }

    #[test]
    fn a_destination_that_takes_all_of_it_is_given_all_of_it() {
        let mut tempo = Tempo::new(64);
        for _ in 0..100 {
            tempo.answered(tempo.size(), takes(tempo.size(), 64));
        }
        assert_eq!(tempo.size(), 64);
    }

    #[test]
    fn one_that_slows_down_is_given_less_and_then_more_again() {
        let mut tempo = Tempo::new(64);
        for _ in 0..20 {
            tempo.answered(tempo.size(), takes(tempo.size(), 64));
        }
        tempo.answered(tempo.size(), takes(tempo.size(), 16));
        let slowed = tempo.size();
        for _ in 0..100 {
            tempo.answered(tempo.size(), takes(tempo.size(), 64));
        }

        assert_eq!(slowed, 48);
        assert_eq!(tempo.size(), 64);
    }

    #[test]
    fn refusals_halve_it_down_to_one_and_successes_bring_it_back() {
        let mut tempo = Tempo::new(200);
        for _ in 0..20 {
            tempo.failed();
        }
        assert_eq!(tempo.size(), 1);
        for _ in 0..20 {
            tempo.answered(tempo.size(), Duration::from_millis(1));
        }
        assert_eq!(tempo.size(), 200);
    }

    #[test]
    fn a_call_that_was_not_full_says_nothing() {
        let mut tempo = Tempo::new(64);
        tempo.answered(64, Duration::from_millis(100));
        tempo.answered(1, Duration::from_secs(1));
        assert_eq!(tempo.size(), 64);
    }
}

//! How fast events come and go: two ends of a window of samples.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::facts::Rates;

const WINDOW_MS: i64 = 60_000;
/// Shorter windows tell nothing.
const WINDOW_MS_MIN: i64 = 5_000;
const SAMPLES_MAX: usize = 256;

/// Samples of the last minute.
#[derive(Debug, Default)]
pub(super) struct Pace {
    samples: VecDeque<(i64, u64, u64)>,
}

impl Pace {
    /// Notes where the stream stands; gives the speeds once they are known.
    pub(super) fn sample(&mut self, now: Timestamp, head: u64, marked: u64) -> Option<Rates> {
        let at = now.as_millisecond();
        // A renumbered stream or a clock that went back makes older samples worthless.
        if self.samples.back().is_some_and(|last| last.0 > at || last.1 > head || last.2 > marked) {
            self.samples.clear();
        }
        self.samples.push_back((at, head, marked));
        while self.samples.len() > SAMPLES_MAX || self.samples.front().is_some_and(|first| at - first.0 > WINDOW_MS) {
            self.samples.pop_front();
        }
        let first = self.samples.front()?;
        let secs = (at - first.0) as f64 / 1000.0;
        (at - first.0 >= WINDOW_MS_MIN).then(|| Rates {
            drain_per_sec: (marked - first.2) as f64 / secs,
            inflow_per_sec: (head - first.1) as f64 / secs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    #[test]
    fn speeds_are_known_after_five_seconds_and_forget_after_a_minute() {
        let mut pace = Pace::default();

        assert_eq!(pace.sample(at(0), 1_000, 0), None);
        assert_eq!(pace.sample(at(10), 1_010, 100), Some(Rates { drain_per_sec: 10.0, inflow_per_sec: 1.0 }));
        assert_eq!(pace.sample(at(70), 1_010, 100), Some(Rates { drain_per_sec: 0.0, inflow_per_sec: 0.0 }));
    }

    #[test]
    fn a_renumbered_stream_starts_afresh() {
        let mut pace = Pace::default();
        assert_eq!(pace.sample(at(0), 1_000, 900), None);

        assert_eq!(pace.sample(at(10), 50, 0), None);
    }
}

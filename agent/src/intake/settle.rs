//! Whether the warehouse system has finished writing a file, and which file is next. Pure.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    time::{Duration, Instant},
};

use regex::Regex;

use crate::decode::profile::CompleteRule;

/// What a scan saw of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Bytes.
    pub size: u64,
    /// Last change, nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Hash of its first and last bytes; 0 where nobody asked.
    pub ends_hash: u64,
    /// Whether its companion lies beside it.
    pub has_marker: bool,
    /// Whether its last line is the trailer; true where none is declared.
    pub has_trailer: bool,
    /// Whether its last byte is a NUL: space set aside and not yet filled.
    pub ends_in_nul: bool,
}

/// Whether a file may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Now.
    Ready,
    /// Look again after this time.
    In(Duration),
    /// Not until something changes.
    Waiting,
    /// Not until something changes, and for long nothing has.
    Stale,
}

/// Time without change after which a file with its trailer, or its marker, is taken for complete.
const GRACE: Duration = Duration::from_secs(1);

/// Time without change after which an incomplete file is a person's business.
pub const STALE_AFTER: Duration = Duration::from_secs(15 * 60);

/// What earlier scans saw of the files of one feed.
#[derive(Debug, Default)]
pub struct Watchlist {
    files: BTreeMap<OsString, (Seen, Instant)>,
}

impl Watchlist {
    /// Notes what a scan saw, and says whether the file may be taken.
    pub fn observe(&mut self, name: &OsStr, seen: &Seen, rule: &CompleteRule, now: Instant) -> Readiness {
        readiness(seen, rule, self.unchanged(name, seen, now))
    }

    fn unchanged(&mut self, name: &OsStr, seen: &Seen, now: Instant) -> Duration {
        let since = match self.files.get(name) {
            Some((before, since)) if before == seen => *since,
            _ => {
                self.files.insert(name.to_owned(), (seen.clone(), now));
                now
            }
        };
        now.saturating_duration_since(since)
    }

    /// Forgets files that are no longer there.
    pub fn keep(&mut self, is_there: impl Fn(&OsStr) -> bool) {
        self.files.retain(|name, _| is_there(name));
    }
}

/// The verdict for a file that has not changed for so long.
pub fn readiness(seen: &Seen, rule: &CompleteRule, unchanged: Duration) -> Readiness {
    let after = |wait: Duration| {
        if unchanged >= wait { Readiness::Ready } else { Readiness::In(wait.saturating_sub(unchanged)) }
    };
    match rule {
        CompleteRule::Rename => Readiness::Ready,
        CompleteRule::Marker { .. } if seen.has_marker => Readiness::Ready,
        CompleteRule::Trailer if seen.has_trailer => after(GRACE),
        CompleteRule::Quiet { seconds } if !seen.ends_in_nul => after(Duration::from_secs(*seconds)),
        CompleteRule::Marker { .. } | CompleteRule::Trailer | CompleteRule::Quiet { .. } => {
            if unchanged >= STALE_AFTER { Readiness::Stale } else { Readiness::Waiting }
        }
    }
}

/// Order in which files are taken: by the number in the name where the feed declares one, else by time of change, then name.
pub fn order(a: (&OsStr, i128), b: (&OsStr, i128), sequence: Option<&Regex>) -> Ordering {
    let number = |name: &OsStr| sequence.and_then(|regex| sequence_number(regex, name));
    let by_number = match (number(a.0), number(b.0)) {
        (Some(a), Some(b)) => a.cmp(&b),
        // A name without a number goes last: nobody knows its place.
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    };
    by_number.then(a.1.cmp(&b.1)).then_with(|| a.0.cmp(b.0))
}

fn sequence_number(regex: &Regex, name: &OsStr) -> Option<u128> {
    let captures = regex.captures(name.to_str()?)?;
    captures.get(1).or_else(|| captures.get(0))?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: CompleteRule = CompleteRule::Quiet { seconds: 10 };

    fn seen(size: u64) -> Seen {
        Seen { size, mtime_ns: 1, ends_hash: 0, has_marker: false, has_trailer: false, ends_in_nul: false }
    }

    #[test]
    fn a_file_that_still_grows_is_never_taken() {
        let (mut list, start, name) = (Watchlist::default(), Instant::now(), OsStr::new("a"));

        for second in 0..100 {
            let now = start + Duration::from_secs(second * 9);
            assert_ne!(list.observe(name, &seen(second), &QUIET, now), Readiness::Ready);
        }
    }

    #[test]
    fn a_file_without_change_is_taken_after_the_settle_time() {
        let (mut list, start, name) = (Watchlist::default(), Instant::now(), OsStr::new("a"));
        list.observe(name, &seen(5), &QUIET, start);

        let early = list.observe(name, &seen(5), &QUIET, start + Duration::from_secs(9));
        let late = list.observe(name, &seen(5), &QUIET, start + Duration::from_secs(10));

        assert_eq!((early, late), (Readiness::In(Duration::from_secs(1)), Readiness::Ready));
    }

    #[test]
    fn space_set_aside_and_not_filled_is_not_a_file() {
        let allocated = Seen { ends_in_nul: true, ..seen(5) };

        assert_eq!(readiness(&allocated, &QUIET, Duration::from_secs(600)), Readiness::Waiting);
        assert_eq!(readiness(&allocated, &QUIET, STALE_AFTER), Readiness::Stale);
    }

    #[test]
    fn a_marker_and_a_trailer_are_waited_for() {
        let marker = CompleteRule::Marker { suffix: ".done".to_owned() };
        let long = Duration::from_secs(800);

        assert_eq!(readiness(&seen(5), &marker, long), Readiness::Waiting);
        assert_eq!(readiness(&Seen { has_marker: true, ..seen(5) }, &marker, Duration::ZERO), Readiness::Ready);
        assert_eq!(readiness(&seen(5), &CompleteRule::Trailer, long), Readiness::Waiting);
        assert_eq!(readiness(&Seen { has_trailer: true, ..seen(5) }, &CompleteRule::Trailer, GRACE), Readiness::Ready);
    }

    #[test]
    fn files_are_taken_by_number_else_by_age_else_by_name() {
        let regex = Regex::new(r"_(\d+)").unwrap();
        let name = OsStr::new;

        assert_eq!(order((name("S_10"), 1), (name("S_9"), 2), Some(&regex)), Ordering::Greater);
        assert_eq!(order((name("b"), 1), (name("a"), 2), None), Ordering::Less);
        assert_eq!(order((name("b"), 1), (name("a"), 1), None), Ordering::Greater);
    }
}

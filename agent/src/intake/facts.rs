//! What intake knows, for those who look on.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};

use crate::config::units::Hours;

/// Gaps between files that a rhythm is learned from.
const GAPS_MAX: usize = 64;
/// Gaps without which nothing is learned.
const GAPS_LEAST: usize = 8;

/// What a person should know about a feed that does not run as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Stable code (`F031`).
    pub code: &'static str,
    /// In words.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
}

/// How a folder is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Watching {
    /// The kernel tells, and a timer makes sure.
    #[default]
    Notified,
    /// By timer alone: a network share, or the kernel has no watch left.
    Polled,
}

/// A feed as it stands.
#[derive(Debug, Clone, Default)]
pub struct FeedFacts {
    /// Name.
    pub feed: String,
    /// Its folder.
    pub folder: PathBuf,
    /// How the folder is watched.
    pub watching: Watching,
    /// Files that wait to be taken, those still being written included.
    pub waiting: u64,
    /// Of those: seen at first.
    pub waiting_since: Option<Timestamp>,
    /// Files that match no pattern.
    pub ignored: u64,
    /// Name of the newest file seen.
    pub last_seen_name: String,
    /// When it was first seen.
    pub last_seen_at: Option<Timestamp>,
    /// Name of the last file stored.
    pub last_captured_name: String,
    /// When it was stored.
    pub last_captured_at: Option<Timestamp>,
    /// Files stored since start.
    pub captured: u64,
    /// Files set aside since start.
    pub quarantined: u64,
    /// Files known before, since start.
    pub duplicates: u64,
    /// Lines held since start.
    pub held: u64,
    /// Name of the file that is being read.
    pub reading: Option<String>,
    /// What is wrong with the folder or the last file.
    pub trouble: Option<Trouble>,
    /// Longest silence that is normal, declared or learned.
    pub expect_every: Option<Duration>,
    /// Whether `expect_every` was learned.
    pub is_learned: bool,
    /// Since when the source is silent beyond that.
    pub silent_since: Option<Timestamp>,
    gaps: VecDeque<i64>,
}

impl FeedFacts {
    pub(super) fn of(feed: String, folder: PathBuf) -> Self {
        Self { feed, folder, ..Self::default() }
    }

    /// Notes that a file appeared: feeds the rhythm.
    pub(super) fn saw(&mut self, name: String, at: Timestamp) {
        if let Some(last) = self.last_seen_at {
            self.gaps.push_back((at - last).get_seconds().max(0));
            if self.gaps.len() > GAPS_MAX {
                self.gaps.pop_front();
            }
        }
        self.last_seen_name = name;
        self.last_seen_at = Some(at);
    }

    /// Notes trouble; the same trouble keeps its beginning. True where it is new.
    pub(super) fn fail(&mut self, code: &'static str, text: String, now: Timestamp) -> bool {
        if self.trouble.as_ref().is_some_and(|t| t.code == code && t.text == text) {
            return false;
        }
        self.trouble = Some(Trouble { code, text, since: now });
        true
    }

    /// Brings the rhythm up to date.
    pub(super) fn judge(&mut self, declared: Option<Duration>, hours: Option<&Hours>, zone: &TimeZone, now: Timestamp) {
        self.is_learned = declared.is_none();
        self.expect_every = declared.or_else(|| learned(self.gaps.iter().copied()));
        self.silent_since = silence(self.last_seen_at, self.expect_every, hours, zone, now);
    }
}

/// Four times the usual gap, once enough gaps are known.
fn learned(gaps: impl Iterator<Item = i64>) -> Option<Duration> {
    let mut gaps: Vec<i64> = gaps.collect();
    if gaps.len() < GAPS_LEAST {
        return None;
    }
    gaps.sort_unstable();
    let usual = u64::try_from(gaps[gaps.len() / 2]).unwrap_or(0).max(60);
    Some(Duration::from_secs(usual * 4))
}

/// Since when the source is overdue. Outside the hours nothing is, and the morning starts afresh.
fn silence(
    last: Option<Timestamp>,
    every: Option<Duration>,
    hours: Option<&Hours>,
    zone: &TimeZone,
    now: Timestamp,
) -> Option<Timestamp> {
    let every = jiff::SignedDuration::try_from(every?).ok()?;
    let mut from = last?;
    if let Some(hours) = hours {
        let local = now.to_zoned(zone.clone());
        if !hours.contains(local.time()) {
            return None;
        }
        let day = if local.time() >= hours.from { local.date() } else { local.date().yesterday().ok()? };
        let opened = day.to_datetime(hours.from).to_zoned(zone.clone()).ok()?.timestamp();
        from = from.max(opened);
    }
    let due = from.checked_add(every).ok()?;
    (now > due).then_some(due)
}

/// All feeds, for the page: written by intake, read by anybody.
#[derive(Debug, Clone, Default)]
pub struct IntakeFacts {
    feeds: Arc<Mutex<Vec<FeedFacts>>>,
}

impl IntakeFacts {
    pub(super) fn new(feeds: Vec<FeedFacts>) -> Self {
        Self { feeds: Arc::new(Mutex::new(feeds)) }
    }

    /// Takes over what was known of feeds of the same name and folder: a reload makes no feed new.
    pub fn inherit(&self, earlier: &[FeedFacts]) {
        for feed in self.feeds.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if let Some(was) = earlier.iter().find(|was| was.feed == feed.feed && was.folder == feed.folder) {
                feed.clone_from(was);
            }
        }
    }

    /// The feeds as they stand now, in the order of the settings.
    pub fn snapshot(&self) -> Vec<FeedFacts> {
        // Facts are counters and names: a panic elsewhere leaves them readable.
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn with<T>(&self, feed: usize, change: impl FnOnce(&mut FeedFacts) -> T) -> Option<T> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).get_mut(feed).map(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_is_silent_only_within_its_hours() {
        let zone = TimeZone::get("America/Chicago").unwrap();
        let hours = crate::config::units::hours("06:00-22:00").unwrap();
        let every = Some(Duration::from_secs(600));
        let last = Some(at("2026-11-23T03:00:00Z"));
        let judge = |now| silence(last, every, Some(&hours), &zone, at(now));

        assert_eq!(judge("2026-11-23T11:59:00Z"), None, "before six");
        assert_eq!(judge("2026-11-23T12:09:00Z"), None, "the morning starts afresh");
        assert_eq!(judge("2026-11-23T12:11:00Z"), Some(at("2026-11-23T12:10:00Z")));
    }

    #[test]
    fn the_rhythm_is_learned_from_what_was_seen() {
        let mut facts = FeedFacts::default();
        let start = at("2026-11-23T12:00:00Z");
        for n in 0..9 {
            facts.saw("x".to_owned(), start + jiff::SignedDuration::from_secs(n * 300));
        }

        facts.judge(None, None, &TimeZone::UTC, start + jiff::SignedDuration::from_secs(8 * 300 + 1201));

        assert_eq!(facts.expect_every, Some(Duration::from_secs(1200)));
        assert!(facts.silent_since.is_some());
    }
}

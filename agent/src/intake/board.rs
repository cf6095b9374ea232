//! Which file is worked on next: one at a time of each feed, so that a feed's facts keep their order, and feeds in turn.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::scan::Ready;

/// A file to be worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    /// It lies in its folder.
    Found(Ready),
    /// It was claimed before.
    Claimed(PathBuf),
}

#[derive(Debug, Default)]
struct Lane {
    ready: VecDeque<Ready>,
    /// Claimed files, each with the time before which it is left alone and the attempts made.
    claimed: Vec<(Instant, u32, PathBuf)>,
    is_busy: bool,
}

#[derive(Debug, Default)]
struct State {
    lanes: Vec<Lane>,
    next: usize,
    is_stopped: bool,
}

/// Work for all workers.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

/// Longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Attempts through which other files of the feed wait for one that failed: about a quarter of a minute.
const ATTEMPTS_IN_ORDER: u32 = 3;

/// Pause after so many attempts.
pub(super) fn pause(attempts: u32) -> Duration {
    Duration::from_secs(1 << attempts.min(8)).min(PAUSE_MAX)
}

impl Board {
    pub(super) fn new(feeds: usize) -> Self {
        let board = Self::default();
        board.lock().lanes.resize_with(feeds, Lane::default);
        board
    }

    /// Puts up what a scan found in place of what the one before did.
    pub(super) fn put(&self, feed: usize, ready: Vec<Ready>) {
        if let Some(lane) = self.lock().lanes.get_mut(feed) {
            lane.ready = ready.into();
        }
        self.changed.notify_all();
    }

    /// Puts up a claimed file.
    pub(super) fn put_claimed(&self, feed: usize, path: PathBuf, attempts: u32, not_before: Instant) {
        if let Some(lane) = self.lock().lanes.get_mut(feed) {
            lane.claimed.push((not_before, attempts, path));
        }
        self.changed.notify_all();
    }

    /// One more file of a feed that is busy for the caller.
    pub(super) fn take_more(&self, feed: usize, now: Instant) -> Option<(Job, u32)> {
        self.lock().lanes.get_mut(feed)?.next_job(now)
    }

    /// The next file; its feed is busy until [`Board::done`].
    pub(super) fn take(&self, now: Instant) -> Option<(usize, Job, u32)> {
        let mut state = self.lock();
        let count = state.lanes.len();
        for turn in 0..count {
            let feed = (state.next + turn) % count;
            if let Some((job, attempts)) = state.lanes[feed].next(now) {
                state.lanes[feed].is_busy = true;
                state.next = (feed + 1) % count;
                return Some((feed, job, attempts));
            }
        }
        None
    }

    pub(super) fn done(&self, feed: usize) {
        if let Some(lane) = self.lock().lanes.get_mut(feed) {
            lane.is_busy = false;
        }
        self.changed.notify_all();
    }

    pub(super) fn stop(&self) {
        self.lock().is_stopped = true;
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    /// Waits for a change, or so long.
    pub(super) fn wait(&self, most: Duration) {
        let state = self.lock();
        if !state.is_stopped {
            // Whether time or a change ended the wait makes no difference: the caller looks anyway.
            drop(self.changed.wait_timeout(state, most));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete in itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn next(&mut self, now: Instant) -> Option<(Job, u32)> {
        if self.is_busy { None } else { self.next_job(now) }
    }

    fn next_job(&mut self, now: Instant) -> Option<(Job, u32)> {
        // A file that may yet be read is not overtaken by a later one of its feed: facts of one document keep their order.
        // One that failed again and again holds up no other.
        if self.claimed.iter().any(|(not_before, attempts, _)| *not_before > now && *attempts <= ATTEMPTS_IN_ORDER) {
            return None;
        }
        // Claimed files are older than any that still lie in the folder.
        if let Some(at) = self.claimed.iter().position(|(not_before, ..)| *not_before <= now) {
            let (_, attempts, path) = self.claimed.remove(at);
            return Some((Job::Claimed(path), attempts));
        }
        self.ready.pop_front().map(|ready| (Job::Found(ready), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(name: &str) -> Ready {
        Ready { path: PathBuf::from(name), size: 1, mtime_ns: 1 }
    }

    #[test]
    fn feeds_take_turns_and_one_feed_is_never_read_twice_at_once() {
        let (board, now) = (Board::new(2), Instant::now());
        board.put(0, vec![ready("a1"), ready("a2")]);
        board.put(1, vec![ready("b1")]);

        let first = board.take(now).unwrap();
        let second = board.take(now).unwrap();

        assert_eq!((first.1, second.1), (Job::Found(ready("a1")), Job::Found(ready("b1"))));
        assert_eq!(board.take(now), None, "feed 0 is busy");
        board.done(0);
        assert_eq!(board.take(now).unwrap().1, Job::Found(ready("a2")));
    }

    #[test]
    fn a_file_that_failed_again_and_again_is_left_alone_for_its_pause_while_others_flow() {
        let (board, now) = (Board::new(1), Instant::now());
        board.put_claimed(0, PathBuf::from("bad"), ATTEMPTS_IN_ORDER, now + pause(1));
        board.put(0, vec![ready("good")]);
        assert_eq!(board.take(now), None, "the file may yet be read");
        let now = now + pause(1);
        assert!(board.take(now).is_some());
        board.done(0);
        board.put_claimed(0, PathBuf::from("bad"), ATTEMPTS_IN_ORDER + 1, now + pause(1));

        let (feed, job, _) = board.take(now).unwrap();
        board.done(feed);

        assert_eq!(job, Job::Found(ready("good")));
        assert_eq!(board.take(now), None);
        assert_eq!(board.take(now + pause(1)).unwrap().1, Job::Claimed(PathBuf::from("bad")));
    }
}

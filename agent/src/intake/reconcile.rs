//! Brings folders and queue into step at start: makes up for moves that were cut short, takes up files that were.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use jiff::{ToSpan as _, civil::Date};

use super::{Intake, IntakeError, capture::Desk, shelve::Shelf};
use crate::queue::capture::Unfinished;

/// Days of the archive in which a moved file is looked for.
const DAYS: i64 = 7;

impl Intake {
    /// Settles every file that an earlier run left unfinished.
    ///
    /// # Errors
    /// [`IntakeError`] where the queue cannot answer.
    pub(super) fn reconcile(&self) -> Result<(), IntakeError> {
        let queue = |source| IntakeError::Queue { path: PathBuf::from("queue"), source: Box::new(source) };
        let unfinished = self.store.unfinished().map_err(queue)?;
        let mut known = BTreeSet::new();
        for file in &unfinished {
            known.insert(file.path.clone());
            match self.feeds.iter().position(|feed| feed.name == file.feed) {
                Some(feed) => self.settle(feed, file)?,
                None => {
                    tracing::warn!(feed = %file.feed, file = %file.name, "file of a feed that is gone was left alone")
                }
            }
        }
        for (at, feed) in self.feeds.iter().enumerate() {
            for path in self.shelves.work_dirs(&feed.name, &feed.folder).iter().flat_map(|dir| files_below(dir)) {
                if !known.contains(&path) {
                    tracing::info!(feed = %feed.name, file = %super::shelve::name_of(&path), "claimed file was taken up again");
                    self.board.put_claimed(at, path, 0, self.clock.monotonic());
                }
            }
        }
        Ok(())
    }

    fn settle(&self, at: usize, file: &Unfinished) -> Result<(), IntakeError> {
        let desk = self.desk(at);
        let is_there = file.path.symlink_metadata().is_ok();
        if !(file.is_captured || file.is_refused) {
            if is_there {
                self.board.put_claimed(at, file.path.clone(), 0, self.clock.monotonic());
            } else {
                tracing::error!(feed = %file.feed, file = %file.name, "export vanished before all of it was captured");
                self.facts.with(at, |facts| {
                    let text = format!("{} vanished before all of it was captured", file.name);
                    facts.fail("F006", text, self.clock.wall());
                });
            }
            return Ok(());
        }
        let shelf = if file.is_refused { Shelf::Quarantine } else { Shelf::Archive };
        if is_there {
            if file.is_captured
                && let Err(error) = desk.answer_again(&file.path, &file.name, &file.sha256)
            {
                tracing::warn!(feed = %file.feed, file = %file.name, error = %error, "answer could not be written again");
            }
            // A move that fails now is tried again at the next start; the content is safe.
            if let Err(error) = desk.move_away(file.file, &file.path, shelf) {
                tracing::warn!(feed = %file.feed, file = %file.name, error = %error, "file could not be moved");
            }
            return Ok(());
        }
        let found = self.shelves.find(&file.path, &desk.feed.folder, &file.sha256, &days(desk.today));
        let to = found.unwrap_or_else(|| file.path.clone());
        self.store
            .moved(vec![(file.file, to)])
            .map_err(|source| IntakeError::Queue { path: file.path.clone(), source: Box::new(source) })
    }

    /// What capturing a file of this feed needs now.
    pub(super) fn desk(&self, feed: usize) -> Desk<'_> {
        let now = self.clock.wall();
        Desk {
            feed: &self.feeds[feed],
            store: &*self.store,
            shelves: &self.shelves,
            file_bytes_max: self.settings.file_bytes_max,
            now,
            today: now.to_zoned(self.zone.clone()).date(),
        }
    }
}

fn days(today: Date) -> Vec<Date> {
    (0..DAYS).filter_map(|back| today.checked_sub(back.days()).ok()).collect()
}

/// Files two folders down: `work/<feed>/<number>/<name>`.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries =
        |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries(dir).flat_map(|own| entries(&own).collect::<Vec<_>>()).collect();
    files.sort();
    files
}

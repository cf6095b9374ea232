//! One backup a day by itself: when it is due, which are kept, and how it went.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{Span, Timestamp, civil::Time, tz::TimeZone};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{BackupError, folder_error, make, remove};
use crate::ledger::writer::LedgerHandle;

/// How often it is looked whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After one that failed.
const REST_MS: i64 = 15 * 60 * 1000;
const PREFIX: &str = "docksync-";
const END: &str = ".sqlite";
const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// Settings of `[backup]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSettings {
    /// Folder of the backups; best on another disk than the ledger's.
    pub dir: PathBuf,
    /// Time of day.
    pub daily: Time,
    /// Zone of that time.
    pub zone: TimeZone,
    /// How many are kept.
    pub keep: usize,
}

/// How the daily backups stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Whether the settings ask for them.
    pub is_scheduled: bool,
    /// When the newest was made.
    pub last_at: Option<Timestamp>,
    /// When one failed last, where none was made since.
    pub failed_at: Option<Timestamp>,
    /// Why.
    pub failed_why: String,
}

/// The room of the daily backups.
#[derive(Debug, Clone)]
pub struct Backups {
    settings: Option<BackupSettings>,
    state_dir: PathBuf,
    ledger: LedgerHandle,
    standing: Arc<Mutex<Standing>>,
}

impl Backups {
    /// The room; nothing is scheduled without settings.
    pub fn new(settings: Option<BackupSettings>, state_dir: &Path, ledger: LedgerHandle) -> Self {
        let newest = settings.as_ref().and_then(|s| kept(&s.dir).ok()).and_then(|all| all.last().map(|(at, _)| *at));
        let standing = Standing { is_scheduled: settings.is_some(), last_at: newest, ..Standing::default() };
        Self { settings, state_dir: state_dir.to_owned(), ledger, standing: Arc::new(Mutex::new(standing)) }
    }

    /// How they stand.
    pub fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes them until told to stop. A failure is logged and shown, and tried again in a quarter of an hour.
    pub async fn run(self, stop: CancellationToken) {
        let Some(settings) = self.settings.clone() else { return stop.cancelled().await };
        let mut turn = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = turn.tick() => {}
            }
            let now = Timestamp::now();
            if !is_due(&settings, &self.standing(), now) {
                continue;
            }
            let (room, of) = (self.clone(), settings.clone());
            let made = tokio::task::spawn_blocking(move || room.make(&of, now)).await;
            if let Err(error) = made {
                tracing::error!(%error, "a backup ended before it was made");
            }
        }
    }

    fn make(&self, settings: &BackupSettings, now: Timestamp) {
        let outcome = self.attempt(settings, now);
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(path) => {
                tracing::info!(path = %path.display(), "backup was made and checked");
                *standing = Standing { is_scheduled: true, last_at: Some(now), ..Standing::default() };
            }
            Err(error) => {
                let why = crate::logging::chain(&error);
                tracing::error!(error = why, "backup was not made, tried again in a quarter of an hour");
                (standing.failed_at, standing.failed_why) = (Some(now), why);
            }
        }
    }

    fn attempt(&self, settings: &BackupSettings, now: Timestamp) -> Result<PathBuf, BackupError> {
        if !settings.dir.exists() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&settings.dir);
            made.map_err(folder_error("make", &settings.dir))?;
        }
        let path = settings.dir.join(format!("{PREFIX}{}{END}", now.strftime(STAMP)));
        let made = make(&self.state_dir, self.ledger.path(), &path)?;
        self.ledger.change_blocking(made.changes())?;
        // A good backup stays one, whatever becomes of the old ones.
        if let Err(error) = prune(&settings.dir, settings.keep, now) {
            tracing::warn!(error = crate::logging::chain(&error), "old backups could not be removed");
        }
        Ok(path)
    }
}

/// Whether the time of day has passed since the newest; a centre that was off at that time catches up.
pub(super) fn is_due(settings: &BackupSettings, standing: &Standing, now: Timestamp) -> bool {
    if standing.failed_at.is_some_and(|at| now.as_millisecond() - at.as_millisecond() < REST_MS) {
        return false;
    }
    let local = now.to_zoned(settings.zone.clone());
    let today = local.date().to_datetime(settings.daily);
    let day = if local.time() >= settings.daily { today } else { today.saturating_sub(Span::new().days(1)) };
    // A time that the change of clocks skips counts as the moment behind it.
    let Ok(due) = settings.zone.to_ambiguous_zoned(day).compatible() else { return false };
    // A newest from the future was made by a clock that ran ahead: it must not end all backups.
    standing.last_at.is_none_or(|at| at < due.timestamp() || at > now)
}

/// The backups of a folder, oldest first; files of other names are not ours.
pub(super) fn kept(dir: &Path) -> Result<Vec<(Timestamp, PathBuf)>, BackupError> {
    let error = || folder_error("look at", dir);
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).map_err(error())? {
        let path = entry.map_err(error())?.path();
        if !path.is_file() {
            continue;
        }
        let stamp = path.file_name().and_then(|name| name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(END));
        let at = stamp.and_then(|text| jiff::civil::DateTime::strptime(STAMP, text).ok());
        if let Some(at) = at.and_then(|at| at.to_zoned(TimeZone::UTC).ok()) {
            all.push((at.timestamp(), path));
        }
    }
    all.sort();
    Ok(all)
}

/// Removes the oldest beyond what is kept.
pub(super) fn prune(dir: &Path, keep: usize, now: Timestamp) -> Result<(), BackupError> {
    let mut all = kept(dir)?;
    // Names from the future were given by a clock that ran ahead: they go first, never the one that was made just now.
    let second = now.as_second();
    all.sort_by_key(|(at, _)| (at.as_second() <= second, *at));
    for (_, path) in &all[..all.len().saturating_sub(keep)] {
        remove(path)?;
        tracing::info!(path = %path.display(), "old backup was removed");
    }
    Ok(())
}

//! Small duties that belong to no room: requests, pruning, the archive's end, renewal, the service manager.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{Timestamp, ToSpan as _, civil::Date};
use sd_notify::NotifyState;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    enroll,
    intake::expire,
    live::Live,
    queue::{FileFilter, Queue, QueueError, Reader, capture::CaptureStore as _},
    requests::{self, Request},
    status::{StatusAction, snapshot::Snapshot},
    uplink::{
        UplinkFacts,
        tls::{Identity, IdentityError},
    },
};

/// How often requests are looked for and facts passed on.
const TURN: Duration = Duration::from_secs(1);
/// How often payloads are pruned.
const TURNS_A_PRUNE: u64 = 60;
/// How often the archive's end is looked at.
const TURNS_AN_EXPIRY: u64 = 3_600;
/// How often the certificate is looked at ...
const TURNS_A_RENEWAL: u64 = 3_600;
/// ... and when first: a machine that was off for weeks does not wait an hour more.
const TURNS_TO_FIRST_RENEWAL: u64 = 30;
/// A renewal that failed is tried again so soon.
const TURNS_AFTER_FAILURE: u64 = 300;
/// A certificate is renewed when a third of its life is left.
const RENEW_DAYS_LEFT: i64 = 30;
/// Most files that need a person and hence stay in the archive.
const KEPT_FILES_MAX: u32 = 100_000;

/// What the duties need; all handed in by `run.rs`.
pub(crate) struct Keeper {
    pub(crate) queue: Queue,
    pub(crate) state_dir: PathBuf,
    pub(crate) live: Live,
    pub(crate) link: watch::Receiver<UplinkFacts>,
    pub(crate) files_waiting: watch::Sender<u32>,
    pub(crate) actions: Mutex<mpsc::Receiver<StatusAction>>,
    pub(crate) view: watch::Receiver<Option<Arc<Snapshot>>>,
    pub(crate) try_now: Arc<Notify>,
}

impl Keeper {
    /// Turns until `stop`.
    ///
    /// # Errors
    /// Where a duty panicked.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let keeper = Arc::new(self);
        let mut turn = tokio::time::interval(TURN);
        let (mut turns, mut next_renewal) = (0_u64, TURNS_TO_FIRST_RENEWAL);
        let mut expiry: Option<tokio::task::JoinHandle<()>> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = turn.tick() => {}
            }
            turns += 1;
            let waiting: u64 = keeper.live.feeds().iter().map(|f| f.waiting).sum();
            keeper.files_waiting.send_replace(u32::try_from(waiting).unwrap_or(u32::MAX));
            keeper.tell_manager();
            let (works, prunes) = (Arc::clone(&keeper), turns.is_multiple_of(TURNS_A_PRUNE));
            let expires = turns % TURNS_AN_EXPIRY == TURNS_A_PRUNE;
            tokio::task::spawn_blocking(move || works.work(prunes)).await?;
            // Beside the turns: a share that hangs must not keep the service manager from hearing of us.
            if expires && expiry.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
                let works = Arc::clone(&keeper);
                expiry = Some(tokio::task::spawn_blocking(move || works.expire()));
            }
            if turns >= next_renewal {
                let wait = if keeper.renew().await { TURNS_A_RENEWAL } else { TURNS_AFTER_FAILURE };
                next_renewal = turns + wait;
            }
        }
    }

    /// The headline, and a sign of life: only while the rooms that matter turn is this task reached.
    fn tell_manager(&self) {
        let title = self.view.borrow().as_ref().map(|view| view.headline.title.clone()).unwrap_or_default();
        let status = format!("{title} {}", self.live.standing().words());
        let told = sd_notify::notify(&[NotifyState::Watchdog, NotifyState::Status(status.trim_end())]);
        if let Err(error) = told {
            tracing::trace!(%error, "no service manager to tell");
        }
    }

    /// What was asked on the page, in the words of the command line.
    fn asked_on_page(&self) -> Vec<Request> {
        let mut actions = self.actions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut requests = Vec::new();
        while let Ok(action) = actions.try_recv() {
            match action {
                StatusAction::Retry { file } => requests.push(Request::Retry { file: file.0 }),
                StatusAction::SetAside { file, reason } => requests.push(Request::SetAside { file: file.0, reason }),
                StatusAction::TryNow => self.try_now.notify_one(),
            }
        }
        requests
    }

    /// Files of damaged batches are read again without a person: the archive has them whole.
    fn damaged(&self) -> Vec<Request> {
        let files = Reader::open(self.queue.path()).and_then(|reader| reader.damaged_files());
        files.unwrap_or_default().into_iter().map(|file| Request::Retry { file: file.0 }).collect()
    }

    fn work(&self, prunes: bool) {
        if prunes {
            self.live.certificate_ends(certificate_end(&self.state_dir, Timestamp::now()));
        }
        let damaged = if prunes { self.damaged() } else { Vec::new() };
        let folders = self.live.folders();
        for request in requests::take(&self.state_dir).into_iter().chain(self.asked_on_page()).chain(damaged) {
            match requests::carry_out(&self.queue, &folders, &request) {
                Ok(()) => tracing::info!(?request, "request was carried out"),
                Err(error) => {
                    tracing::warn!(
                        ?request,
                        error = format!("{:#}", anyhow::Error::from(error)),
                        "request was not carried out"
                    )
                }
            }
        }
        if !self.queue.has_room() {
            // Under pressure what the centre holds goes first: what it does not hold never goes.
            let marked = self.link.borrow().marked;
            tracing::warn!(marked, "queue is nearly full, events that the centre holds are deleted early");
            self.prune(marked, Timestamp::MAX);
        } else if prunes {
            let before =
                Timestamp::now().checked_sub((self.live.keep_days() * 24).hours()).unwrap_or(Timestamp::UNIX_EPOCH);
            let through = self.link.borrow().backed_up;
            self.prune(through, before);
        }
    }

    fn prune(&self, through: u64, before: Timestamp) {
        match self.queue.prune(through, before) {
            Ok(0) => {}
            Ok(batches) => tracing::info!(batches, through, "old payloads were deleted"),
            Err(error) => tracing::warn!(%error, "old payloads could not be deleted"),
        }
    }

    /// Exports of long ago leave the archive, in the agent's folder and beside the feeds' own.
    fn expire(&self) {
        let before = Timestamp::now().to_zoned(self.live.zone()).date();
        let before = before.saturating_sub(self.live.archive_days().days());
        let (before, keep) = match self.needed(before) {
            Ok(Some(needed)) => needed,
            Ok(None) => return tracing::warn!("too many files need a person, the archive is left as it is"),
            Err(error) => return tracing::warn!(%error, "archive was not looked at"),
        };
        let sides = self.live.folders().into_values().map(|folder| expire::beside(&folder));
        for root in std::iter::once(self.state_dir.clone()).chain(sides) {
            self.expire_below(&root, before, &keep);
        }
    }

    /// What of the archive may still be needed: files that wait for a person or to be read again, and every day since the oldest
    /// event that head office does not hold, for a batch that turns out to be damaged is captured from its file again.
    fn needed(&self, before: Date) -> Result<Option<(Date, BTreeSet<PathBuf>)>, QueueError> {
        let reader = Reader::open(self.queue.path())?;
        let mut rows = reader.files(FileFilter::NeedPerson, KEPT_FILES_MAX)?;
        if rows.len() >= KEPT_FILES_MAX as usize {
            return Ok(None);
        }
        for id in reader.files_not_read_again()? {
            rows.extend(reader.file(id)?);
        }
        let keep = rows.iter().filter_map(|row| expire::place(Path::new(&row.path))).collect();
        let marked = self.link.borrow().marked;
        let oldest = reader.oldest_after(marked)?.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let day = oldest.map(|at| at.to_zoned(self.live.zone()).date().saturating_sub(1.days()));
        Ok(Some((day.map_or(before, |day| before.min(day)), keep)))
    }

    fn expire_below(&self, root: &Path, before: Date, keep: &BTreeSet<PathBuf>) {
        match expire::expire(root, before, keep) {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, %before, root = %root.display(), "old exports left the archive"),
            Err(error) => tracing::warn!(%error, root = %root.display(), "old exports could not be removed"),
        }
    }

    /// Renews where it is time; `false` where that failed and should be tried again soon.
    async fn renew(&self) -> bool {
        let (dir, now) = (self.state_dir.join("identity"), Timestamp::now());
        let Ok(identity) = Identity::load(&dir, now) else { return true };
        if identity.days_left(now) > RENEW_DAYS_LEFT {
            return true;
        }
        match enroll::renew(&dir, now).await {
            Ok(identity) => {
                tracing::info!(until = %identity.not_after, "certificate was renewed");
                self.live.certificate_ends(Some(identity.not_after));
                true
            }
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(error, "certificate was not renewed, tried again in five minutes");
                false
            }
        }
    }
}

/// When the certificate of a state folder ends, also where it has; `None` before enrolment.
pub(crate) fn certificate_end(state_dir: &Path, now: Timestamp) -> Option<Timestamp> {
    match Identity::load(&state_dir.join("identity"), now) {
        Ok(identity) => Some(identity.not_after),
        Err(IdentityError::Expired { at, .. }) => Some(at),
        Err(_) => None,
    }
}

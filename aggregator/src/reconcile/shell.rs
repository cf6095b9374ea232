//! The room's thread: makes the runs that are asked for or due, and writes approved corrections into the ledger.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use docksync_proto::site::SiteId;
use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::TimeZone,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{
    ReconcileError, Settings,
    complete::{Hole, Told},
    post,
    run::{self, Destination, Surroundings},
    store::{ReconStore, Wish},
};
use crate::ledger::{Clock, reads::SqliteReader, writer::LedgerHandle};

/// Requests of commands come from another process: nothing tells of them.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After a failure that may pass.
const REST: Duration = Duration::from_secs(30);

/// Ranges of events that the ledger lacks, by site: the link asks for them again.
#[derive(Debug, Clone, Default)]
pub struct Wants(Arc<Mutex<BTreeMap<SiteId, Ranges>>>);

/// Epoch, first and last number.
type Ranges = Vec<(u32, u64, u64)>;

/// What a site said last; `None` where it was not heard.
pub type Hear = Arc<dyn Fn(&SiteId) -> Option<Told> + Send + Sync>;

impl Wants {
    /// Takes what a site lacks in place of what was known.
    pub fn set(&self, site: &SiteId, holes: impl IntoIterator<Item = (u32, u64, u64)>) {
        let all: Vec<_> = holes.into_iter().collect();
        let mut wants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() { drop(wants.remove(site)) } else { drop(wants.insert(site.clone(), all)) }
    }

    /// What a site lacks of an epoch.
    pub fn of(&self, site: &SiteId, epoch: u32) -> Vec<(u64, u64)> {
        let wants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_site = wants.get(site).map_or(&[][..], Vec::as_slice);
        of_site.iter().filter(|(e, ..)| *e == epoch).map(|(_, first, last)| (*first, *last)).collect()
    }

    /// Something of a range has come.
    pub fn came(&self, site: &SiteId, epoch: u32, first: u64, last: u64) {
        let mut wants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of_site) = wants.get_mut(site) else { return };
        let mut left = Vec::with_capacity(of_site.len());
        for (e, from, through) in of_site.drain(..) {
            if e != epoch || last < from || first > through {
                left.push((e, from, through));
                continue;
            }
            if from < first {
                left.push((e, from, first - 1));
            }
            if through > last {
                left.push((e, last + 1, through));
            }
        }
        *of_site = left;
    }
}

/// What the thread needs; all handed in by `run.rs`.
pub struct Room {
    /// Folder of its database.
    pub state_dir: std::path::PathBuf,
    /// The ledger.
    pub ledger: LedgerHandle,
    /// How to compare.
    pub settings: Settings,
    /// Destinations that are an ERP.
    pub destinations: Vec<Destination>,
    /// What a site said last.
    pub told: Hear,
    /// Sites with their time zones.
    pub zones: Arc<dyn Fn() -> Vec<(SiteId, String)> + Send + Sync>,
    /// What is to be asked for again.
    pub wants: Wants,
    /// The wall clock.
    pub clock: Clock,
    /// Where waiting happens.
    pub runtime: Handle,
    /// Ends the thread.
    pub stop: CancellationToken,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Works until told to stop. Blocks.
///
/// # Errors
/// [`ReconcileError`] that a person must see to; others are logged and tried again.
pub fn run(mut room: Room) -> Result<(), ReconcileError> {
    let store = ReconStore::open(&room.state_dir)?;
    let reads = SqliteReader::open(room.ledger.path())?;
    while !room.stop.is_cancelled() {
        let rest = match turn(&store, &reads, &mut room) {
            Ok(true) => continue,
            Ok(false) => LOOK_EVERY,
            Err(error) => {
                tracing::error!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "reconciliation failed; what was asked is kept with the reason: recon list"
                );
                REST
            }
        };
        let stop = &room.stop;
        room.runtime.block_on(async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(rest) => {}
            }
        });
    }
    Ok(())
}

/// Does the next thing; `false` where there is none.
fn turn(store: &ReconStore, reads: &SqliteReader, room: &mut Room) -> Result<bool, ReconcileError> {
    let now_ms = (room.clock)();
    if let Some(at) = room.settings.daily {
        ask_for_nights(store, at, &(room.zones)(), now_ms)?;
    }
    let ledger = room.ledger.clone();
    let mut commit = |append| {
        let committed = ledger.commit_blocking(vec![append])?;
        committed.into_iter().next().ok_or(crate::ledger::LedgerError::Closed)
    };
    let posted = post::post_approved(store, reads, &room.destinations, &mut commit, now_ms)?;
    let Some(run) = store.next_run()? else { return Ok(posted > 0) };
    let (wants, clock, told) = (room.wants.clone(), Arc::clone(&room.clock), Arc::clone(&room.told));
    let mut want = |site: &SiteId, holes: &[Hole]| {
        wants.set(site, holes.iter().map(|hole| (hole.epoch, hole.first, hole.last)));
        true
    };
    let mut around = Surroundings {
        settings: &room.settings,
        destinations: &mut room.destinations,
        told: &*told,
        now_ms: &*clock,
        want: &mut want,
    };
    let report = run::make(store, reads, &run, &mut around)?;
    tracing::info!(run = report.run_no, compared = report.compared, drift = report.drift, "books were compared");
    Ok(true)
}

/// Asks for one run of all sites whose night it is.
pub(super) fn ask_for_nights(
    store: &ReconStore,
    at: Time,
    zones: &[(SiteId, String)],
    now_ms: i64,
) -> Result<(), ReconcileError> {
    let now = Timestamp::from_millisecond(now_ms).unwrap_or_default();
    store.together(|| {
        let mut due = Vec::new();
        for (site, zone) in zones {
            let local = now.to_zoned(TimeZone::get(zone).unwrap_or(TimeZone::UTC));
            let (today, key) = (number(local.date()), format!("night {site}"));
            let last = store.meta(&key)?;
            // A site that is new is compared in its next night, one that missed a night at once.
            if last == 0 {
                let first =
                    if local.time() >= at { today } else { number(local.date().yesterday().unwrap_or(local.date())) };
                store.set_meta(&key, first)?;
            } else if last != today && local.time() >= at {
                // Not "earlier than today": a clock that was once ahead must not end all comparisons.
                store.set_meta(&key, today)?;
                due.push(site.to_string());
            }
        }
        if !due.is_empty() {
            store.ask(&Wish { by: "schedule".to_owned(), sites: due, ..Wish::default() }, now_ms)?;
        }
        Ok(())
    })
}

fn number(date: Date) -> i64 {
    i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day())
}

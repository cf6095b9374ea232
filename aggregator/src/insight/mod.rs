//! The centre's pages: how every site stands, and what waits for a person.
//!
//! Takes the views of [`crate::receive`], the register of sites, reads of the ledger; gives pages, JSON and figures.
//! One pure path: sources -> [`sites`], [`parked`] -> [`page`], [`metrics`]; `web` answers.
//!
//! Invariants: reads only, on connections of its own and outside async code; the sources are read at most twice a second,
//! however many ask; nothing is asked of another server; without sign-in it is served on loopback only, so that a proxy
//! in front of it decides who may see it.
//!
//! It does not: act, but for decisions on what is parked, which it hands over as requests where the settings say who may decide. For
//! everything else pages name the command.

pub mod books;
mod decide;
pub mod destinations;
pub mod metrics;
pub mod page;
pub mod parked;
pub mod sites;
mod web;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::http::HeaderName;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::{
    destinations::Destination,
    parked::{Group, groups, waiting},
    sites::{Overview, Sources, overview},
};
use crate::{
    backups::Standing,
    ledger::{LedgerError, OpRow, Reads as _, reads::SqliteReader, writer::LedgerHandle},
    pki::SiteEntry,
    receive::Views,
    reconcile::ReconcileError,
};

/// Events that are counted and grouped at most; the page says when there are more.
const WAITING_MAX: usize = 10_000;
/// Decisions that the page shows.
const DECIDED_SHOWN: usize = 10;
/// Requests that are under way at a stop get this long.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Why the pages are not served.
#[derive(Debug, thiserror::Error)]
pub enum InsightError {
    /// There is no sign-in, so the pages stay on this machine.
    #[error(
        "the pages listen on {listen}, which other machines reach; listen on 127.0.0.1 behind a proxy with sign-in"
    )]
    OpenToNetwork {
        /// Address of the listener.
        listen: SocketAddr,
    },
    /// The listener failed.
    #[error("cannot serve the pages")]
    Serve {
        /// The system's word.
        source: std::io::Error,
    },
    /// The ledger could not be read.
    #[error("the pages cannot read the ledger")]
    Ledger(#[from] LedgerError),
    /// The comparisons of the books could not be read.
    #[error("the pages cannot read the comparisons of the books")]
    Books(#[from] ReconcileError),
    /// The register of sites could not be read.
    #[error("the pages cannot read the register of sites")]
    Register,
    /// A reading thread ended in a panic.
    #[error("a reader of the pages ended")]
    Reader,
}

/// The register of sites as it is now; `None` where it cannot be read. Called outside async code.
pub type Register = Arc<dyn Fn() -> Option<Vec<SiteEntry>> + Send + Sync>;

/// The room. All fields are handed in by `run.rs`.
pub struct InsightRoom {
    /// Bound listener, on loopback.
    pub listener: TcpListener,
    /// More host names under which the pages may be asked for: those of the proxy.
    pub hosts: Vec<String>,
    /// Database of the ledger.
    pub ledger: PathBuf,
    /// Links of the sites.
    pub views: Views,
    /// Register of the sites.
    pub register: Register,
    /// How the daily backups stand.
    pub backups: Arc<dyn Fn() -> Standing + Send + Sync>,
    /// Who may decide, and where decisions go; without it nobody may.
    pub decisions: Option<Decisions>,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

/// Decisions on pages.
#[derive(Clone)]
pub struct Decisions {
    /// Header in which the proxy before the pages names the person; it must take away what a browser puts there.
    pub user_header: HeaderName,
    /// Takes the requests.
    pub ledger: LedgerHandle,
    /// Secret of this run, in each form: a page of another site cannot know it.
    pub token: String,
}

impl std::fmt::Debug for InsightRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InsightRoom").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl InsightRoom {
    /// Serves the pages until `stop`.
    ///
    /// # Errors
    /// [`InsightError`]; the rest of the centre is not touched by it.
    pub async fn run(self, stop: CancellationToken) -> Result<(), InsightError> {
        let serve_error = |source| InsightError::Serve { source };
        let listen = self.listener.local_addr().map_err(serve_error)?;
        if !listen.ip().is_loopback() {
            return Err(InsightError::OpenToNetwork { listen });
        }
        let desk = web::Desk::new(
            Source {
                ledger: self.ledger,
                views: self.views,
                register: self.register,
                backups: self.backups,
                clock: self.clock,
            },
            web::hosts(listen, &self.hosts),
            self.decisions,
        );
        let serve =
            axum::serve(self.listener, web::router(desk)).with_graceful_shutdown(stop.clone().cancelled_owned());
        let late = async {
            stop.cancelled().await;
            // A browser that keeps its connection open does not keep the centre.
            tokio::time::sleep(STOP_WITHIN).await;
        };
        tokio::select! {
            ended = async { serve.await } => ended.map_err(serve_error),
            () = late => Ok(()),
        }
    }
}

/// What the pages show at one moment.
#[derive(Debug)]
pub struct View {
    /// Sites.
    pub overview: Overview,
    /// What waits for a person.
    pub groups: Vec<Group>,
    /// Whether more waits than was counted.
    pub is_cut: bool,
    /// The newest comparison of the books.
    pub books: books::Books,
    /// How far each destination is.
    pub destinations: Vec<Destination>,
    /// The last decisions of people, the newest first.
    pub decided: Vec<OpRow>,
}

/// Where views come from.
#[derive(Clone)]
struct Source {
    ledger: PathBuf,
    views: Views,
    register: Register,
    backups: Arc<dyn Fn() -> Standing + Send + Sync>,
    clock: fn() -> Timestamp,
}

impl Source {
    /// Reads everything; blocks.
    fn read(&self) -> Result<View, InsightError> {
        let reader = SqliteReader::open(&self.ledger)?;
        let (refused, parked) = (reader.refusals(WAITING_MAX)?, reader.parked(WAITING_MAX)?);
        let is_cut = refused.len() == WAITING_MAX || parked.len() == WAITING_MAX;
        let waiting = waiting(refused, parked);
        let groups = groups(&waiting);
        let overview = overview(&Sources {
            now: (self.clock)(),
            register: (self.register)().ok_or(InsightError::Register)?,
            views: self.views.all(),
            facts: reader.sites()?,
            waiting,
            is_recovering: reader.is_recovering()?,
            backup: (self.backups)(),
            room_bytes: room_bytes(&self.ledger),
        });
        let books = books::read(self.ledger.parent().unwrap_or(&self.ledger))?;
        let destinations = destinations::read(&reader)?;
        let decided = reader.ops_asked(DECIDED_SHOWN)?;
        Ok(View { overview, groups, is_cut, books, destinations, decided })
    }
}

/// Bytes that are free beside the ledger; `None` where the system does not say.
fn room_bytes(ledger: &Path) -> Option<u64> {
    rustix::fs::statvfs(ledger.parent().unwrap_or(ledger)).ok().map(|s| s.f_bavail.saturating_mul(s.f_frsize))
}

#[cfg(test)]
mod tests;

//! The ledger: every event of every site, once, in order, for ever.
//!
//! Takes batches whose frames were checked, with the verdict of [`crate::admit`] on each event. Gives what became of them, ordered
//! reads for deliveries and pages, and the opaque state of each link.
//!
//! Invariants: a commit is one durable transaction of events, keys, balances and link states; a mark is sent only after it. One
//! writer per database ([`writer`]); readers have connections of their own. An event's standing is decided once, at its commit:
//!
//! | id known | content | declared | standing | effect |
//! |---|---|---|---|---|
//! | no | | | new | whole |
//! | yes | same | | duplicate | none |
//! | yes, never took effect | other | | new, the earlier one is superseded | whole |
//! | yes | other | change or void | correction | the difference |
//! | yes | other | no | revised | none until a person decides |
//! | | breaks the contract | | parked | none until readmitted |
//! | | test interchange | | test | none, ever; does not occupy the id |
//!
//! The batch is stored as it came, in one row with a byte of standing per event; a thin index by event id decides duplicates, one
//! by document finds what a person asks for. Formats: `migrations/`; `user_version` is the schema, a later one is refused.
//!
//! Deliberately not here: what consumers do ([`crate::deliver`]), who a site is.

mod append;
pub mod audit;
pub mod backup;
mod change;
pub mod conformance;
mod destination;
pub mod effect;
pub mod error;
mod keys;
pub mod lock;
mod mend;
pub mod place;
pub mod reads;
mod runs;
pub mod sqlite;
pub mod terms;
#[cfg(test)]
mod tests;
mod whereabouts;
pub mod writer;

use std::sync::Arc;

use docksync_proto::{
    codec::{self, Decoded},
    frame::BatchHead,
    identity::{Chain, Incarnation},
    site::SiteId,
};
use uuid::Uuid;

use crate::admit::Verdict;
pub(crate) use change::content_of;
pub use change::{Change, DeliveryRow, OpKind, RefusalState, Stage};
pub use destination::IncidentRow;
pub use error::LedgerError;
pub use place::{Loc, Standing};

/// Wall clock, milliseconds since 1970; handed in, so that tests set it.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A batch to store. The caller has decoded it and has recomputed its chain.
#[derive(Debug, Clone)]
pub struct Append {
    /// Site by its certificate.
    pub site: SiteId,
    /// Position in its stream.
    pub head: BatchHead,
    /// Columns as received.
    pub columns: Vec<u8>,
    /// The events of `columns`.
    pub events: Vec<Decoded>,
    /// One verdict per event.
    pub verdicts: Vec<Verdict>,
}

/// Durable state of the link with one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// Site.
    pub site: SiteId,
    /// Open epoch.
    pub epoch: u32,
    /// All events of the epoch through this one are held.
    pub marked: u64,
    /// The receiver's own state; the ledger does not read it.
    pub state: Vec<u8>,
}

/// What became of the events of one batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Committed {
    /// Number of its row.
    pub batch_no: i64,
    /// New ones.
    pub new: u32,
    /// Already held.
    pub duplicate: u32,
    /// Declared corrections.
    pub corrected: u32,
    /// Undeclared other versions, parked.
    pub revised: u32,
    /// Parked for breaking the contract.
    pub parked: u32,
    /// Of test interchanges.
    pub test: u32,
}

/// A batch as it is stored.
#[derive(Debug, Clone)]
pub struct StoredBatch {
    /// Its number; batches of one site rise in the order of their stream.
    pub batch_no: i64,
    /// Site.
    pub site: SiteId,
    /// Position in the stream.
    pub head: BatchHead,
    /// When it was committed, milliseconds since 1970.
    pub received_ms: i64,
    /// One byte of [`Standing`] per event.
    pub standings: Vec<u8>,
    /// Columns as received.
    pub columns: Vec<u8>,
    /// Events of it that were not admitted, by place in the batch, with what was decided since.
    pub refusals: Vec<(usize, RefusalState)>,
    /// Events of it that replace an earlier version.
    pub priors: Vec<(usize, Loc)>,
}

/// How far a consumer got with a site: everything through `loc` is applied, parked or held behind a parked one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorRow {
    /// Consumer.
    pub consumer: String,
    /// Site.
    pub site: SiteId,
    /// Last event that is settled.
    pub loc: Loc,
    /// Its epoch.
    pub epoch: u32,
    /// Its number.
    pub seq: u64,
}

/// An event that was not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalRow {
    /// Place.
    pub loc: Loc,
    /// Site.
    pub site: SiteId,
    /// Stable code.
    pub code: String,
    /// In words.
    pub reason: String,
    /// The version in force, where this is another one.
    pub other: Option<Loc>,
    /// What was decided.
    pub state: RefusalState,
    /// When it came, milliseconds since 1970.
    pub at_ms: i64,
}

/// A request of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpRow {
    /// Number.
    pub op_id: i64,
    /// Consumer, or [`ADMIT_TARGET`].
    pub target: String,
    /// What is asked.
    pub kind: OpKind,
    /// Of which event.
    pub loc: Loc,
    /// Why.
    pub reason: String,
    /// By whom.
    pub requested_by: String,
    /// Whether it was answered; `Some(false)` means refused.
    pub answered: Option<bool>,
    /// The answer.
    pub result: String,
}

/// Target of requests about events that were not admitted.
pub const ADMIT_TARGET: &str = "admit";

/// Counters of one site, kept with each commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteFacts {
    /// Site.
    pub site: SiteId,
    /// Events stored, duplicates included.
    pub events: u64,
    /// By standing.
    pub new: u64,
    /// Already held when they came.
    pub duplicate: u64,
    /// Declared corrections.
    pub corrected: u64,
    /// Undeclared other versions.
    pub revised: u64,
    /// Breaking the contract.
    pub parked: u64,
    /// Of test interchanges.
    pub test: u64,
    /// Last commit, milliseconds since 1970; 0 before the first.
    pub last_received_ms: i64,
    /// Epoch of `backed_up`.
    pub backed_up_epoch: u32,
    /// All through this one are in a backup that passed its check.
    pub backed_up: u64,
}

/// One balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceRow {
    /// Item.
    pub sku: String,
    /// Lot, or empty.
    pub lot: String,
    /// Stock status; empty means available.
    pub status: String,
    /// Quantity in millionths.
    pub micros: i64,
}

/// Deliveries of one event that no cursor tells, and the numbers given for it by consumer.
pub type Fates = (Vec<DeliveryRow>, Vec<(String, String)>);

/// Short ordered reads; each takes one snapshot and lets go of it.
pub trait Reads {
    /// Name of this ledger; a restore gives a new one.
    ///
    /// # Errors
    /// [`LedgerError`], as for every other read.
    fn ledger_id(&self) -> Result<Incarnation, LedgerError>;
    /// Whether the ledger was restored and its sites may hold more than it does.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn is_recovering(&self) -> Result<bool, LedgerError>;
    /// Last event of which a consumer may know more than this ledger, after a restore or a reset: it is asked before it is sent.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn asks_through(&self, consumer: &str) -> Result<Loc, LedgerError>;
    /// Incidents of a consumer, the newest first, at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn incidents(&self, consumer: &str, limit: usize) -> Result<Vec<IncidentRow>, LedgerError>;
    /// First batch that was received at this time or later, milliseconds since 1970.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn first_batch_since(&self, at_ms: i64) -> Result<Option<i64>, LedgerError>;
    /// State of every link.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn links(&self) -> Result<Vec<LinkRow>, LedgerError>;
    /// Last number and chain held of a stream.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn tail(&self, site: &SiteId, epoch: u32) -> Result<Option<(u64, Chain)>, LedgerError>;
    /// Batches of a site after this batch number, at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn read_batches(&self, site: &SiteId, after: i64, limit: usize) -> Result<Vec<StoredBatch>, LedgerError>;
    /// Number of the newest batch; 0 before the first.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn last_batch(&self) -> Result<i64, LedgerError>;
    /// One batch.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn batch(&self, batch_no: i64) -> Result<Option<StoredBatch>, LedgerError>;
    /// Heads of all batches of a site in the order of its stream, each with its batch number.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn heads(&self, site: &SiteId, each: &mut dyn FnMut(i64, BatchHead)) -> Result<(), LedgerError>;
    /// Content and place of the version in force of an event, as its key remembers them.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn key(&self, id: Uuid) -> Result<Option<(i64, Loc)>, LedgerError>;
    /// The batch that holds this number of a stream.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn batch_with(&self, site: &SiteId, epoch: u32, seq: u64) -> Result<Option<StoredBatch>, LedgerError>;
    /// Place of the version in force of an event.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn event(&self, id: Uuid) -> Result<Option<Loc>, LedgerError>;
    /// Newest batches that carry this text, at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn batches_with_term(&self, text: &str, limit: usize) -> Result<Vec<i64>, LedgerError>;
    /// Sites with their counters.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn sites(&self) -> Result<Vec<SiteFacts>, LedgerError>;
    /// Balances of a site, zero ones included, in the order of item, lot and status.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn balances(&self, site: &SiteId) -> Result<Vec<BalanceRow>, LedgerError>;
    /// Every cursor.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn cursors(&self) -> Result<Vec<CursorRow>, LedgerError>;
    /// Deliveries of a consumer and site that its cursor does not tell, in order.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn deliveries(&self, consumer: &str, site: &SiteId) -> Result<Vec<DeliveryRow>, LedgerError>;
    /// Every consumer's delivery of one event that its cursor does not tell, and documents given for it.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn fates(&self, site: &SiteId, loc: Loc) -> Result<Fates, LedgerError>;
    /// Deliveries that wait for a person.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn parked(&self, limit: usize) -> Result<Vec<DeliveryRow>, LedgerError>;
    /// Events that were not admitted and wait for a person.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn refusals(&self, limit: usize) -> Result<Vec<RefusalRow>, LedgerError>;
    /// One event that was not admitted.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn refusal(&self, loc: Loc) -> Result<Option<RefusalRow>, LedgerError>;
    /// Who edited an event for which consumer, and what that is sent instead, as JSON.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn edits(&self, loc: Loc) -> Result<Vec<(String, String, String)>, LedgerError>;
    /// Requests of operators that wait, for one target.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn ops_waiting(&self, target: &str) -> Result<Vec<OpRow>, LedgerError>;
    /// One request.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn op(&self, op_id: i64) -> Result<Option<OpRow>, LedgerError>;
    /// Number of the newest request; 0 before the first.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn last_op(&self) -> Result<i64, LedgerError>;
    /// Requests to a target after this number, answered or not, in their order.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn ops_after(&self, op_id: i64, target: &str) -> Result<Vec<OpRow>, LedgerError>;
    /// The last requests of people, the newest first, at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn ops_asked(&self, limit: usize) -> Result<Vec<OpRow>, LedgerError>;
    /// The document that a consumer gave for the newest event, and when, milliseconds since 1970.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn last_document(&self, consumer: &str) -> Result<Option<(String, i64)>, LedgerError>;
    /// Who paused a consumer and why; `None` where it is not paused.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn paused(&self, consumer: &str) -> Result<Option<String>, LedgerError>;
    /// Audit trail from this number on, at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn audit_rows(&self, from: i64, limit: usize) -> Result<Vec<audit::AuditRow>, LedgerError>;
}

/// The one writer of a ledger.
pub trait Store {
    /// Reads on the writer's own connection.
    type Reads: Reads;

    /// Reads that see what was written last.
    fn reads(&self) -> &Self::Reads;

    /// Stores batches, link states and changes in one durable transaction: on return all of it is on disk, on error none is.
    ///
    /// # Errors
    /// [`LedgerError`]; its disposition says whether this handle may be used again.
    fn write(
        &mut self,
        appends: &[Append],
        links: &[LinkRow],
        changes: &[Change],
    ) -> Result<Vec<Committed>, LedgerError>;

    /// Stores batches and link states.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn commit(&mut self, appends: &[Append], links: &[LinkRow]) -> Result<Vec<Committed>, LedgerError> {
        self.write(appends, links, &[])
    }

    /// Stores changes.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn change(&mut self, changes: &[Change]) -> Result<(), LedgerError> {
        self.write(&[], &[], changes).map(drop)
    }
}

/// The version of an event that a later one replaces, and how it stands.
pub(crate) fn earlier(reads: &impl Reads, loc: Loc) -> Result<(Decoded, Standing), LedgerError> {
    let (what, batch_no) = ("event that was corrected", loc.batch_no());
    let absent = || LedgerError::Absent { what, at: loc.0 };
    let batch = reads.batch(batch_no)?.ok_or_else(absent)?;
    let standing = batch.standings.get(loc.index()).and_then(|b| Standing::from_byte(*b)).ok_or_else(absent)?;
    // A version that a person let in replaced another one too.
    let standing = if standing == Standing::Revised { Standing::Correction } else { standing };
    let events = codec::decode_batch(&batch.columns).map_err(|source| LedgerError::Stored { batch_no, source })?;
    Ok((events.into_iter().nth(loc.index()).ok_or_else(absent)?, standing))
}

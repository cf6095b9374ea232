//! Reconciliation: proves that warehouse systems, ledger, destinations and sites agree, and names the event where they part.
//!
//! Takes batches of the ledger, stock statements that travel in them, balances of destinations. Gives runs with a report, and
//! differences that nothing explains (*drifts*) with a probable cause and a workflow.
//!
//! | step | file | what it does |
//! |---|---|---|
//! | book | [`book`] | carries movements of the ledger, statements and transfers into accounts |
//! | inputs | [`inputs`] | reads a destination's balances at its own cursor while its deliveries rest |
//! | compare | [`compare`] (pure) | other = ledger + on the way + parked + not sent + unexplained, for each balance |
//! | cause | [`cause`] (pure) | rules that say why a difference may be there, else `unknown` |
//! | transfers | [`transfers`] (pure) | shipped at one site against received at another |
//! | completeness | [`complete`] | numbers and chains of every stream, without a hole |
//! | drifts | [`drift`] | recount, proposal, approval, posting, closing, each with who and why |
//!
//! Invariants: a statement is compared with the ledger at the point of the stream at which it stands, so that no quiet hour is needed; a
//! destination is compared at its cursor, with what it had not had subtracted event by event; only what is left is drift. A run
//! keeps its inputs, so that it can be repeated and gives the same answer. A number that nobody told is never read as zero.
//!
//! Everything but the workflow can be made again from the ledger. Deliberately not here: who may approve; prices.

pub mod book;
pub mod cause;
pub mod compare;
pub mod complete;
pub mod drift;
pub mod error;
pub mod gate;
pub mod inputs;
mod join;
pub mod post;
pub mod prices;
mod prune;
pub mod report;
pub mod run;
pub mod shell;
mod sides;
pub mod store;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod transfers;

pub use error::ReconcileError;

use std::collections::BTreeMap;

use docksync_proto::site::SiteId;

/// Side of the warehouse systems' own statements.
pub const WMS: &str = "wms";
/// Side of transfers between sites.
pub const TRANSFER: &str = "transfer";
/// Stream of the centre's own corrections.
pub const CENTRE_STREAM: &str = "DOCKSYNC-RECON";
/// Where an event says for which destination alone it is meant; `*` is all of them and the book.
pub const FOR: &str = "docksync:for";

/// How to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Time of a site's own day at which it is compared; `None` compares only on demand.
    pub daily: Option<jiff::civil::Time>,
    /// Hours that goods may be on their way between two sites.
    pub lead_hours: u32,
    /// Quantity above which a correction needs two persons; in whole pieces.
    pub approve_above: u32,
    /// Value above which it does, in the money of the prices.
    pub approve_above_value: u32,
    /// File with a price for each item; without it drifts have no value.
    pub prices: Option<std::path::PathBuf>,
    /// Runs whose inputs and movements are kept.
    pub keep_runs: u32,
    /// Pieces in each other unit, where that is the same for every item.
    pub units: BTreeMap<String, u32>,
    /// Statuses that are compared as another one; an empty one is left out.
    pub statuses: BTreeMap<String, String>,
    /// Whether the warehouse system's number is the right one where it differs from the books.
    pub wms_is_right: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let statuses = [("allocated", "available"), ("received_not_put_away", "available"), ("in_transit", "")];
        Self {
            daily: Some(jiff::civil::time(2, 30, 0, 0)),
            lead_hours: 72,
            approve_above: 100,
            approve_above_value: 250,
            prices: None,
            keep_runs: 60,
            units: BTreeMap::new(),
            statuses: statuses.into_iter().map(|(from, to)| (from.to_owned(), to.to_owned())).collect(),
            wms_is_right: true,
        }
    }
}

impl Settings {
    /// The bucket in which a stock status is compared, `available` as an empty text; `None` where it is left out.
    pub fn bucket<'s>(&'s self, status: &'s str) -> Option<&'s str> {
        let status = if status.is_empty() { "available" } else { status };
        let bucket = match self.statuses.get(status) {
            Some(bucket) => bucket.as_str(),
            // Numbers beside the parts of stock, as what is on order, are no stock.
            None if status.starts_with("other:") => "",
            None => status,
        };
        (!bucket.is_empty()).then_some(if bucket == "available" { "" } else { bucket })
    }

    /// A quantity in pieces, where its unit has a factor.
    pub fn pieces<'s>(&self, uom: &'s str, micros: i64) -> (&'s str, i64) {
        match self.units.get(uom) {
            Some(factor) => ("", micros.saturating_mul(i64::from(*factor))),
            None if uom == "EA" => ("", micros),
            None => (uom, micros),
        }
    }
}

/// One balance of a destination, in its words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OtherBalance {
    /// Item.
    pub item: String,
    /// Lot, or empty.
    pub lot: String,
    /// Place or status; empty is where available stock lies.
    pub place: String,
    /// Quantity in millionths.
    pub micros: i64,
}

/// A balance of the book in the words of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Item.
    pub item: String,
    /// Place or status.
    pub place: String,
    /// Quantity in millionths of the destination's unit.
    pub micros: i64,
}

/// The balances of a destination.
pub trait Balances: Send {
    /// Reads all balances of a site.
    ///
    /// # Errors
    /// In words: why it does not tell.
    fn read(&mut self, site: &SiteId) -> Result<Vec<OtherBalance>, String>;
    /// Where a balance of the book is found there; `None` where no mapping says.
    fn place(&self, site: &str, key: (&str, &str, &str), micros: i64) -> Option<Placed>;
    /// Items of ours that have another name there.
    fn renamed(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
    /// Whether it adds up what it is told from nothing, and knows no stock of before.
    fn is_from_nothing(&self) -> bool {
        false
    }
    /// The stock status of ours that leads to a place there.
    fn status_of(&self, _site: &str, place: &str) -> Option<String> {
        Some(place.to_owned())
    }
    /// Whether events of this type are told to it at all.
    fn takes(&self, kind: docksync_proto::event::EventType) -> bool;
    /// Pieces in each unit by its mapping, for the rules of causes.
    fn factors(&self) -> Vec<u32> {
        Vec::new()
    }
}

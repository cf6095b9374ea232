//! What the rest of the agent may know of the link.

use docksync_proto::link::Condition;
use jiff::Timestamp;
use serde::Serialize;

/// How the link stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct UplinkFacts {
    /// The engine's word.
    pub condition: Condition,
    /// Since when it is so.
    pub since: Timestamp,
    /// Why the last connection ended, in full.
    pub last_error: Option<String>,
    /// When it ended.
    pub last_error_at: Option<Timestamp>,
    /// Failed tries in a row.
    pub tries: u32,
    /// When the next try begins.
    pub next_try: Option<Timestamp>,
    /// Address of the centre.
    pub address: String,
    /// Last event handed to a connection.
    pub sent: u64,
    /// Last event that the ledger holds.
    pub marked: u64,
    /// Last event through which all is in the ERP or parked.
    pub applied: u64,
    /// Last event that is in a checked backup of the centre.
    pub backed_up: u64,
    /// When each of these moved last.
    pub moved: Moved,
    /// Epoch.
    pub epoch: u32,
    /// Clock of the centre less ours, milliseconds; unknown before the first grant.
    pub clock_offset_ms: Option<i64>,
    /// Days for which the certificate is still good; set by who looks, for they pass on a line that holds.
    pub certificate_days: Option<i64>,
    /// Smoothed time from sending a batch to its mark, milliseconds.
    pub mark_ms: u64,
    /// Connections since start.
    pub connects: u64,
}

/// When the stages moved last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Sent.
    pub sent: Option<Timestamp>,
    /// Accepted by the centre.
    pub marked: Option<Timestamp>,
    /// In the ERP.
    pub applied: Option<Timestamp>,
}

impl UplinkFacts {
    /// Facts of an agent that has just started.
    pub fn new(address: &str, now: Timestamp) -> Self {
        Self {
            condition: Condition::Disconnected,
            since: now,
            last_error: None,
            last_error_at: None,
            tries: 0,
            next_try: None,
            address: address.to_owned(),
            sent: 0,
            marked: 0,
            applied: 0,
            backed_up: 0,
            moved: Moved::default(),
            epoch: 0,
            clock_offset_ms: None,
            certificate_days: None,
            mark_ms: 0,
            connects: 0,
        }
    }
}

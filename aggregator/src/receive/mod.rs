//! Takes what the sites send and hands it to the ledger.

pub mod listener;
pub mod transport;

//! Takes what the sites send and hands it to the ledger.

pub mod broker;
pub mod listener;
pub mod mosquitto;
pub mod transport;

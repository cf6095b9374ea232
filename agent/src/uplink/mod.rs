//! The uplink: carries batches from the queue to the centre.
//!
//! Takes batches in the order of their numbers, gives marks. [`shell`] drives the link engine of the contract, [`mqtt`] is one
//! disposable connection, [`tls`] says who this site is; [`fates`] carries what a page asks of events that are sent. Invariants: only a mark releases an event; the client is thrown away
//! with its connection, for the queue is the only queue; the engine's state is stored before what depends on it is sent.
//! It does not: decide what to send or when (the engine), delete anything (the queue).

pub mod facts;
pub mod fates;
pub mod mqtt;
pub mod shell;
pub mod tls;

pub use facts::UplinkFacts;
pub use shell::{Uplink, UplinkError};

//! What crosses the wire between a site and the centre.
//!
//! Knows neither program, does no I/O, reads no clock: whatever decides here is given its facts.

pub mod canonical;
pub mod codec;
pub mod codes;
pub mod event;
pub mod fate;
pub mod frame;
pub mod identity;
pub mod link;
pub mod site;
pub mod stock;
mod time;
pub mod topic;
pub mod validate;
mod words;

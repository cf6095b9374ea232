//! The agent: carries each fact that a site's warehouse system exports to the centre, once and in order.
//!
//! Rooms in the order in which an event passes them: [`intake`], [`decode`], [`queue`], [`uplink`]; [`status`] looks on.

pub mod cli;
pub mod config;
pub mod decode;
pub mod enroll;
pub mod intake;
mod keeper;
mod live;
pub mod logging;
pub mod queue;
pub mod reload;
pub mod requests;
pub mod run;
pub mod status;
pub mod uplink;

//! The local page.
pub mod facts;
pub mod headline;
pub mod metrics;
mod pace;
mod phrase;
#[cfg(test)]
mod samples;
pub mod snapshot;
pub mod text;

//! Carries batches to the centre.

pub mod mqtt;
pub mod tls;

//! Settings: read whole, checked whole, every mistake with its place.

pub mod problem;
pub mod section;
pub mod units;

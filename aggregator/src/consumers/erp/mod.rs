//! ERP connectors: what they share, one file or folder for each system.
//!
//! [`mapping`] and [`document`] are pure: they say which events matter to an ERP, and in its own words what each has to bring about. A
//! connector carries such a document over and answers with one [`super::Outcome`]. What no mapping covers is parked under a code that
//! begins with [`UNMAPPED`], and goes again by itself when the mapping is there.

pub mod document;
pub mod mapping;
pub mod tryton;

/// Beginning of every code that a line in the configuration settles.
pub const UNMAPPED: &str = "UNMAPPED_";

//! What the tests of Docksync share: the simulator of the link, and the harness that runs real processes.

#[cfg(feature = "programs")]
pub mod bench;
#[cfg(feature = "programs")]
pub mod demo;
#[cfg(feature = "programs")]
pub mod fuzz;
#[cfg(feature = "programs")]
pub mod harness;
pub mod sim;

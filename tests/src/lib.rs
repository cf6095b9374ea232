//! What the tests of Docksync share: the simulator of the link, and the harness that runs real processes.

pub mod sim;

//! The link engine.

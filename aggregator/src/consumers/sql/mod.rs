//! SQL staging: events, stock and cursor in a database of the destination's side, for an ERP that reads tables.
//!
//! `docksync_event` holds one row per effect (a correction's id has its content behind a dot), `docksync_stock` the sums of their
//! movements in millionths, `docksync_cursor` the last number of each stream. All three change in one transaction; the primary key
//! makes a second delivery a no-op, so that an unknown outcome is settled by sending again. One file for each database system.

pub mod postgres;
#[cfg(test)]
mod postgres_tests;
#[cfg(test)]
mod server;
pub mod sqlite;

pub use postgres::{PostgresBalances, PostgresConsumer};
pub use sqlite::{SqlBalances, SqlConsumer};

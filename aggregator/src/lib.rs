//! The aggregator: keeps the ledger of every site and brings each event's effect to those who need it.
//!
//! Rooms in the order in which an event passes them: [`receive`], [`admit`], [`ledger`], [`deliver`], [`consumers`];
//! [`insight`] and [`api`] look on, [`reconcile`] compares, [`backups`] copies, [`pki`] says who is who.

pub mod admit;
pub mod api;
pub mod backups;
pub mod cli;
pub mod config;
pub mod consumers;
pub mod deliver;
pub mod insight;
pub mod ledger;
pub mod logging;
pub mod pki;
pub mod receive;
pub mod reconcile;
pub mod run;

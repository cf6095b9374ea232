//! ERP connectors: what they share, one file or folder for each system.
//!
//! [`mapping`] and [`document`] are pure: they say which events matter to an ERP, and in its own words what each has to bring about. A
//! connector carries such a document over and answers with one [`super::Outcome`]. What no mapping covers is parked under a code that
//! begins with [`UNMAPPED`], and goes again by itself when the mapping is there.

pub mod balances;
pub mod document;
pub mod erpnext;
pub mod mapping;
pub mod odoo;
pub mod quantity;
pub mod single;
pub mod spread;
pub mod tryton;

use super::{Delivery, Heals, Outcome};

/// Beginning of every code that a line in the configuration settles.
pub const UNMAPPED: &str = "UNMAPPED_";
/// Beginning of every code that something new in the ERP settles: an item, an order, a location.
pub const UNKNOWN: &str = "UNKNOWN_";

/// What no mapping covers, before any call.
fn refuses(delivery: &Delivery, mapping: &mapping::Mapping) -> Option<Outcome> {
    document::document(delivery, mapping).err().map(Outcome::from)
}

/// When what an ERP refused under this code is tried again.
pub fn heals(code: &str) -> Heals {
    match code {
        _ if code.starts_with(UNMAPPED) => Heals::AtStart,
        // This one is our own word for a lost answer; only a person settles it.
        "UNKNOWN_OUTCOME" => Heals::ByPerson,
        _ if code.starts_with(UNKNOWN) => Heals::ByTime,
        _ => Heals::ByPerson,
    }
}

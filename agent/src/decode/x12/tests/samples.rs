//! Public samples of X12 documents, with what becomes of them.
//!
//! Held for what they say, and rightly so, also by a feed that lets wrong counts pass:
//! - `oopfactory_945`: W0602 is empty, and neither W0606 nor N9 with CO names an order in its place (EVENTS 4.2). A shipment
//!   that belongs to no order could be booked against none.
//! - `oopfactory_860`: the day of the order (BCH06) is the words `PO DATE`; the 856 of a large retailer has DTM with `200`. What is
//!   no day is a fault, never a guess (EVENTS 1.4).
//!
//! `oopfactory_856_example2` has no BSN02 but a bill of lading, which names a shipment as well (EVENTS 1.2): it is read, with a doubt.

use super::super::super::{
    profile::DialectKind,
    samples::{check, check_with, decoder_with},
};

const FOLDERS: &[&str] = &[
    "x12-846",
    "x12-850",
    "x12-855",
    "x12-856",
    "x12-860",
    "x12-940",
    "x12-943",
    "x12-944",
    "x12-945",
    "x12-947",
    "x12-997",
    "x12-malformed",
];

#[test]
fn every_sample_becomes_what_is_recorded() {
    FOLDERS.iter().for_each(|folder| check(folder, DialectKind::X12));
}

/// Many public samples were edited by hand and have wrong counts or group kinds: this shows what their documents say.
#[test]
fn every_sample_becomes_what_is_recorded_where_envelopes_may_be_careless() {
    let lenient = decoder_with(DialectKind::X12, "lenient_counts = true", "");

    FOLDERS.iter().for_each(|folder| check_with(folder, &lenient, ".lenient"));
}

//! Public samples of X12 documents, with what becomes of them.

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

//! What becomes of the public samples.
//!
//! `eancom_desadv_sscc` says in UNZ that it holds two messages where there is one: held, as a wrong IEA is in X12, and read by a
//! feed with `lenient_counts`.

use crate::decode::{
    profile::DialectKind,
    samples::{check, check_with, decoder_with},
};

#[test]
fn every_sample_is_read_as_recorded() {
    for dir in ["desadv", "recadv", "invrpt", "hanmov", "contrl", "malformed"] {
        check(&format!("edifact-{dir}"), DialectKind::Edifact);
    }
}

#[test]
fn despatch_advices_with_wrong_counts_are_read_where_the_feed_allows_it() {
    check_with("edifact-desadv", &decoder_with(DialectKind::Edifact, "lenient_counts = true", ""), ".lenient");
}

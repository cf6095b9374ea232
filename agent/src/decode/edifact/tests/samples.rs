use crate::decode::{profile::DialectKind, samples};

#[test]
fn every_sample_is_read_as_recorded() {
    for dir in ["desadv", "recadv", "invrpt", "hanmov", "contrl", "malformed"] {
        samples::check(&format!("edifact-{dir}"), DialectKind::Edifact);
    }
}

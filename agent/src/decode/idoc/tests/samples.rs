use crate::decode::{profile::DialectKind, samples};

#[test]
fn every_sample_is_read_as_recorded() {
    for dir in ["sap-idoc-flat", "sap-idoc-xml"] {
        samples::check(dir, DialectKind::Idoc);
    }
}

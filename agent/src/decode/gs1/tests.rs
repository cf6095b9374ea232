use super::super::{profile::DialectKind, samples};

#[test]
fn samples_read_as_recorded() {
    samples::check("gs1-xml", DialectKind::Gs1Xml);
}

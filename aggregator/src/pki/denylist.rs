//! Serial numbers of revoked certificates.

use std::collections::BTreeSet;

/// Certificates that open no session, by serial number (big endian, no leading zeros).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Denylist(BTreeSet<Vec<u8>>);

impl Denylist {
    /// Builds the list.
    pub fn new(serials: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self(serials.into_iter().collect())
    }

    /// Whether a certificate is revoked.
    pub fn contains(&self, serial: &[u8]) -> bool {
        self.0.contains(serial)
    }
}

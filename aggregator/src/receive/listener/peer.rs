//! Who is at the other end: site and serial number out of the client certificate.

use docksync_proto::site::{SiteId, SiteIdError};
use rustls_pki_types::CertificateDer;

/// Identity of a client, as its certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) site: SiteId,
    /// Serial number, big endian, without leading zeros.
    pub(super) serial: Vec<u8>,
}

/// Why a certificate names no site.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error("no client certificate")]
    Absent,
    #[error("the client certificate cannot be read")]
    Unreadable,
    #[error("the client certificate has no common name")]
    Nameless,
    #[error("the client certificate names no site")]
    NotASite(#[source] SiteIdError),
}

/// Reads the identity; that the certificate is valid was checked by the TLS handshake.
pub(super) fn read(chain: Option<&[CertificateDer<'_>]>) -> Result<Peer, PeerError> {
    let leaf = chain.and_then(|chain| chain.first()).ok_or(PeerError::Absent)?;
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).map_err(|_| PeerError::Unreadable)?;
    let name = certificate.subject().iter_common_name().next().ok_or(PeerError::Nameless)?;
    let site = SiteId::new(name.as_str().map_err(|_| PeerError::Unreadable)?).map_err(PeerError::NotASite)?;
    let serial = certificate.raw_serial().iter().copied().skip_while(|byte| *byte == 0).collect();
    Ok(Peer { site, serial })
}

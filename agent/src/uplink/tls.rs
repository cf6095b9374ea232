//! The identity of this site: its certificate and key, the centre's authority, and what TLS makes of them.
//!
//! Folder: `ca.pem`, `site.pem` (chain), `site.key` (PKCS#8, mode 0600), `centre.pub` (hex), `centre.toml` (address).
//! Only the centre's own authority is trusted, TLS 1.2 or later. The site's key also signs the frames.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use docksync_proto::site::{SiteId, SiteIdError};
use jiff::Timestamp;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore, crypto::ring as provider};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};

const DAY_SECS: i64 = 24 * 3600;
/// Bits of a mode that let others than the owner in.
const MODE_OTHERS: u32 = 0o077;

/// Why the identity of this site cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// This machine was not enrolled, or the folder is another.
    #[error(
        "{path} is missing: this machine is not enrolled; ask the centre for a token and run `docksync-agent enroll`"
    )]
    Absent {
        /// Which file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner can read the key.
    #[error("{path} has mode {mode:03o}, so others can read the key; run `chmod 600 {path}`")]
    KeyExposed {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no {what} that can be read; enrol this machine again")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What should be there.
        what: &'static str,
    },
    /// The certificate names no site.
    #[error("the certificate in {path} names no site")]
    NotASite {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: SiteIdError,
    },
    /// Certificate and key do not belong together.
    #[error("the certificate in {path} is for another key than site.key; enrol this machine again")]
    KeyMismatch {
        /// Which file.
        path: PathBuf,
    },
    /// The certificate has come to its end.
    #[error(
        "the certificate of site {site} expired at {at}, or this machine's clock is ahead; if the clock is right, ask the centre for a new token and enrol again"
    )]
    Expired {
        /// Which site.
        site: SiteId,
        /// When.
        at: Timestamp,
    },
    /// TLS does not take the files.
    #[error("TLS does not take the identity in {path}")]
    Tls {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// Where the centre is, as told at enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CentreAddress {
    /// Host name of the MQTT endpoint.
    pub host: String,
    /// Port of the MQTT endpoint.
    pub port: u16,
    /// Where certificates are renewed.
    pub enroll_url: String,
}

/// The identity, loaded and found good.
#[derive(Clone)]
pub struct Identity {
    /// Whom the certificate names.
    pub site: SiteId,
    /// Where the centre is.
    pub centre: CentreAddress,
    /// Key that verifies the centre's frames, raw (32 bytes).
    pub centre_public_key: Vec<u8>,
    /// Key that signs this site's frames.
    pub signing_key: Arc<Ed25519KeyPair>,
    /// End of the certificate.
    pub not_after: Timestamp,
    /// TLS towards the centre.
    pub tls: Arc<ClientConfig>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("site", &self.site)
            .field("centre", &self.centre)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Loads the identity of a folder.
    ///
    /// # Errors
    /// [`IdentityError`] names the file and what to do.
    pub fn load(dir: &Path, now: Timestamp) -> Result<Self, IdentityError> {
        let certificate_path = dir.join("site.pem");
        let chain = load_chain(&certificate_path)?;
        let ca = load_chain(&dir.join("ca.pem"))?;
        let (key_der, signing_key) = load_key(&dir.join("site.key"))?;
        let facts = facts(&chain, &certificate_path)?;
        if facts.public_key != signing_key.public_key().as_ref() {
            return Err(IdentityError::KeyMismatch { path: certificate_path });
        }
        if facts.not_after <= now {
            return Err(IdentityError::Expired { site: facts.site, at: facts.not_after });
        }
        let tls =
            client_config(&ca, chain, key_der).map_err(|source| IdentityError::Tls { path: dir.to_owned(), source })?;
        let centre_path = dir.join("centre.toml");
        let centre = toml::from_str(&read(&centre_path)?)
            .map_err(|_| IdentityError::Damaged { path: centre_path, what: "address of the centre" })?;
        let public_path = dir.join("centre.pub");
        let centre_public_key = unhex(read(&public_path)?.trim())
            .filter(|key| key.len() == 32)
            .ok_or(IdentityError::Damaged { path: public_path, what: "key of the centre" })?;
        let (site, not_after) = (facts.site, facts.not_after);
        Ok(Self { site, centre, centre_public_key, signing_key: Arc::new(signing_key), not_after, tls: Arc::new(tls) })
    }

    /// Whole days until the certificate ends; negative after that.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.not_after.as_second() - now.as_second()).div_euclid(DAY_SECS)
    }
}

struct Facts {
    site: SiteId,
    not_after: Timestamp,
    public_key: Vec<u8>,
}

fn facts(chain: &[CertificateDer<'_>], path: &Path) -> Result<Facts, IdentityError> {
    let damaged = || IdentityError::Damaged { path: path.to_owned(), what: "certificate" };
    let leaf = chain.first().ok_or_else(damaged)?;
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).map_err(|_| damaged())?;
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    let site = SiteId::new(name).map_err(|source| IdentityError::NotASite { path: path.to_owned(), source })?;
    let not_after = Timestamp::from_second(certificate.validity().not_after.timestamp()).map_err(|_| damaged())?;
    Ok(Facts { site, not_after, public_key: certificate.public_key().subject_public_key.data.to_vec() })
}

/// TLS that trusts one authority only and shows the site's certificate.
pub(crate) fn client_config(
    ca: &[CertificateDer<'static>],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in ca {
        roots.add(certificate.clone())?;
    }
    ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
}

fn load_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let text = read(path)?;
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| IdentityError::Damaged { path: path.to_owned(), what: "certificate" })
}

fn load_key(path: &Path) -> Result<(PrivateKeyDer<'static>, Ed25519KeyPair), IdentityError> {
    let text = read(path)?;
    let mode = fs::metadata(path).map_err(|source| read_error(path, source))?.permissions().mode() & 0o777;
    if mode & MODE_OTHERS != 0 {
        return Err(IdentityError::KeyExposed { path: path.to_owned(), mode });
    }
    let damaged = || IdentityError::Damaged { path: path.to_owned(), what: "Ed25519 key" };
    let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| damaged())?;
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(|_| damaged())?;
    Ok((der.into(), key))
}

fn read(path: &Path) -> Result<String, IdentityError> {
    fs::read_to_string(path).map_err(|source| read_error(path, source))
}

fn read_error(path: &Path, source: io::Error) -> IdentityError {
    match source.kind() {
        io::ErrorKind::NotFound => IdentityError::Absent { path: path.to_owned() },
        _ => IdentityError::Read { path: path.to_owned(), source },
    }
}

/// Bytes of a text of hex digits.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// What a failed handshake means to the people at the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// The centre's certificate has expired, or this machine's clock is ahead.
    ServerExpired,
    /// The centre's certificate is not valid yet: this machine's clock is behind.
    ServerNotYetValid,
    /// The certificate is for another host name than the one configured.
    WrongName,
    /// The certificate is not of the centre's authority: something stands between, or it is another centre.
    UnknownAuthority,
    /// The centre refuses this site's certificate as expired.
    OwnExpired,
    /// The centre refuses this site's certificate as revoked.
    OwnRevoked,
    /// The centre refuses this site's certificate.
    OwnRefused,
    /// Anything else.
    Other,
}

impl TlsFault {
    /// Reads the fault out of an error of TLS.
    pub fn of(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => Self::OwnExpired,
            rustls::Error::AlertReceived(AlertDescription::CertificateRevoked) => Self::OwnRevoked,
            rustls::Error::AlertReceived(
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRequired
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError,
            ) => Self::OwnRefused,
            _ => Self::Other,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::ServerExpired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::ServerNotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            _ => Self::Other,
        }
    }

    /// One sentence for the status page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServerExpired => "the centre's certificate has expired, or this machine's clock is ahead",
            Self::ServerNotYetValid => "the centre's certificate is not valid yet: this machine's clock is behind",
            Self::WrongName => "the certificate shown is for another host name",
            Self::UnknownAuthority => "the certificate shown is not of the centre's authority",
            Self::OwnExpired => "this site's certificate has expired",
            Self::OwnRevoked => "this site's certificate was revoked",
            Self::OwnRefused => "the centre refuses this site's certificate",
            Self::Other => "the TLS handshake failed",
        }
    }
}

/// The error of TLS inside another, however many layers of I/O errors lie between.
pub(crate) fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // The source of an I/O error is that of the error within, which would be skipped.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inside) => Some(inside as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    None
}

//! What can go wrong with identities, with the code and the next step that an operator sees.

use std::path::PathBuf;

use docksync_proto::site::SiteId;
use jiff::Timestamp;

/// Why an identity was not made, given or found.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file of the authority cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the authority cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Some files of the authority are there and others not; a new one would lock every site out.
    #[error("{path} is missing although the authority exists; restore it from the backup")]
    Incomplete {
        /// Which.
        path: PathBuf,
    },
    /// A file holds no Ed25519 key in PKCS#8.
    #[error("{path} holds no Ed25519 key in PKCS#8 form; restore it from the backup")]
    BadKey {
        /// Which.
        path: PathBuf,
    },
    /// A file holds no certificate.
    #[error("{path} holds no certificate that can be read; restore it from the backup")]
    BadCertificate {
        /// Which.
        path: PathBuf,
    },
    /// A file holds no key that can sign certificates.
    #[error("{path} holds no PKCS#8 key in PEM that this program can sign with: Ed25519, ECDSA P-256 or P-384, or RSA")]
    BadIssuingKey {
        /// Which.
        path: PathBuf,
    },
    /// Others than the owner can read a key.
    #[error("others than its owner can read {path}; run `chmod 600 {path}`")]
    KeyExposed {
        /// Which.
        path: PathBuf,
    },
    /// A certificate that cannot be an authority here.
    #[error("{path} cannot be the authority: {why}")]
    Issuing {
        /// Which.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// There is an authority already.
    #[error("there is an authority already; replace it with `ca rotate`, so that no site is locked out")]
    AuthorityExists,
    /// A rotation is under way.
    #[error("the authority is being replaced already; see `ca show`, and end it with `ca finish`")]
    RotationBegun,
    /// No rotation is under way.
    #[error("the authority is not being replaced; begin with `ca rotate`")]
    NoRotation,
    /// Sites would be locked out.
    #[error(
        "{} would be locked out: they have not renewed since, or only just; wait, or end it with --leave-behind and give them tokens",
        .0.iter().map(SiteId::as_str).collect::<Vec<_>>().join(", ")
    )]
    SitesWaiting(Vec<SiteId>),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// A certificate or list could not be made.
    #[error("cannot make {what}")]
    Make {
        /// What.
        what: &'static str,
        /// Why.
        source: rcgen::Error,
    },
    /// TLS refuses own key material.
    #[error("TLS does not take the server certificate")]
    Tls(#[source] rustls::Error),
    /// TLS refuses the own authority as verifier of clients.
    #[error("TLS does not take the authority as verifier of sites")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// The database failed.
    #[error("cannot {what} in {path}")]
    Store {
        /// What was attempted.
        what: &'static str,
        /// Which database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The database was written by a newer release.
    #[error("{path} has version {found}, this release reads up to {known}; install the newer release again")]
    NewerStore {
        /// Which database.
        path: PathBuf,
        /// Version found.
        found: i64,
        /// Highest version known.
        known: i64,
    },
    /// The site was added before.
    #[error("site {0} exists; ask for a new token instead of adding it again")]
    SiteExists(SiteId),
    /// No such site.
    #[error("site {0} is not known; add it first")]
    SiteUnknown(SiteId),
    /// The site was revoked.
    #[error("site {site} was revoked at {at}; add it again to let it back in")]
    SiteRevoked {
        /// Which.
        site: SiteId,
        /// When.
        at: Timestamp,
    },
    /// Not the form of a token.
    #[error("this is not an enrolment token (`dsk1-SITE-secret-fingerprint`); copy it whole")]
    TokenMalformed,
    /// Never given, or for another authority.
    #[error("this enrolment token is not known here; ask the centre for a new one")]
    TokenUnknown,
    /// Too late.
    #[error("this enrolment token expired at {at}; ask the centre for a new one")]
    TokenExpired {
        /// When.
        at: Timestamp,
    },
    /// A second use.
    #[error("this enrolment token was already used by {by} at {at}; if that was not you, revoke the site")]
    TokenUsed {
        /// When.
        at: Timestamp,
        /// The site and address that used it.
        by: String,
    },
    /// The request for a certificate cannot be read or its signature is wrong.
    #[error("the certificate request cannot be read")]
    RequestUnreadable(#[source] rcgen::Error),
    /// The request is for a key other than Ed25519.
    #[error("the certificate request is not for an Ed25519 key")]
    RequestKey,
    /// The request names another site.
    #[error("the certificate request names {found}, the token or certificate is for {site}")]
    RequestNames {
        /// Whom the caller is.
        site: SiteId,
        /// Whom the request names.
        found: String,
    },
    /// The present certificate is not one of ours, has expired, is revoked or did not sign the request.
    #[error("the present certificate does not entitle to a new one; enrol with a new token")]
    NotEntitled,
}

impl PkiError {
    /// Stable code for machines.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::Write { .. } => "pki_file",
            Self::Incomplete { .. } | Self::BadKey { .. } | Self::BadCertificate { .. } => "pki_damaged",
            Self::BadIssuingKey { .. } | Self::KeyExposed { .. } | Self::Issuing { .. } => "pki_issuing",
            Self::AuthorityExists | Self::RotationBegun | Self::NoRotation | Self::SitesWaiting(_) => "pki_rotation",
            Self::Random | Self::Make { .. } | Self::Tls(_) | Self::Verifier(_) => "pki_crypto",
            Self::Store { .. } | Self::NewerStore { .. } => "pki_store",
            Self::SiteExists(_) => "site_exists",
            Self::SiteUnknown(_) => "site_unknown",
            Self::SiteRevoked { .. } => "site_revoked",
            Self::TokenMalformed => "token_malformed",
            Self::TokenUnknown => "token_unknown",
            Self::TokenExpired { .. } => "token_expired",
            Self::TokenUsed { .. } => "token_used",
            Self::RequestUnreadable(_) => "request_unreadable",
            Self::RequestKey => "request_key",
            Self::RequestNames { .. } => "request_names_other_site",
            Self::NotEntitled => "not_entitled",
        }
    }

    /// What the person at the site does next.
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Incomplete { .. }
            | Self::BadKey { .. }
            | Self::BadCertificate { .. }
            | Self::BadIssuingKey { .. }
            | Self::KeyExposed { .. }
            | Self::Issuing { .. }
            | Self::AuthorityExists
            | Self::RotationBegun
            | Self::NoRotation
            | Self::SitesWaiting(_)
            | Self::Random
            | Self::Make { .. }
            | Self::Tls(_)
            | Self::Verifier(_)
            | Self::Store { .. }
            | Self::NewerStore { .. } => "Tell the centre's operators; their journal names the cause.",
            Self::SiteExists(_) => "Ask for a new token for the site.",
            Self::SiteUnknown(_) => "Have the site added at the centre.",
            Self::SiteRevoked { .. } => "Have the site added again at the centre, then enrol with the new token.",
            Self::TokenMalformed => "Copy the token whole, from `dsk1-` to its last character.",
            Self::TokenUnknown | Self::TokenExpired { .. } => "Ask the centre for a new token.",
            Self::TokenUsed { .. } => {
                "If this machine did not use it, have the site revoked at once; else ask for a new token."
            }
            Self::RequestUnreadable(_) | Self::RequestKey => "Update the agent and enrol again.",
            Self::RequestNames { .. } => "Enrol with the token of this site.",
            Self::NotEntitled => "Enrol with a new token.",
        }
    }

    /// Whether the caller is at fault, rather than the centre.
    pub const fn is_callers(&self) -> bool {
        match self {
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Incomplete { .. }
            | Self::BadKey { .. }
            | Self::BadCertificate { .. }
            | Self::BadIssuingKey { .. }
            | Self::Random
            | Self::Make { .. }
            | Self::Tls(_)
            | Self::Verifier(_)
            | Self::Store { .. }
            | Self::NewerStore { .. } => false,
            // Of the command line alone.
            Self::KeyExposed { .. }
            | Self::Issuing { .. }
            | Self::AuthorityExists
            | Self::RotationBegun
            | Self::NoRotation
            | Self::SitesWaiting(_) => true,
            Self::SiteExists(_)
            | Self::SiteUnknown(_)
            | Self::SiteRevoked { .. }
            | Self::TokenMalformed
            | Self::TokenUnknown
            | Self::TokenExpired { .. }
            | Self::TokenUsed { .. }
            | Self::RequestUnreadable(_)
            | Self::RequestKey
            | Self::RequestNames { .. }
            | Self::NotEntitled => true,
        }
    }
}

//! The certificate authority: its own certificate, and those that it signs.

use std::{net::IpAddr, sync::Arc, time::Duration};

use docksync_proto::{identity::hex, site::SiteId};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, RevocationReason,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};

use super::error::PkiError;

/// rcgen takes times of a crate that nothing else here needs, so the type is reached without its name.
macro_rules! date_time {
    ($at:expr) => {
        date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(($at).as_second()).unwrap_or(0))
    };
}

const DAY_SECS: i64 = 24 * 3600;
/// Life of the authority's own certificate.
pub(super) const CA_DAYS: i64 = 10 * 365;
/// Validity starts this much earlier: clocks at sites run behind.
pub(super) const BACKDATED_SECS: i64 = DAY_SECS;

/// A signed certificate and what the register keeps of it.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    pub(super) pem: String,
    pub(super) serial: Vec<u8>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// SHA-256 of the certificate of the authority that signed it.
    pub(super) issuer: String,
}

/// What a certificate is for.
#[derive(Debug)]
pub(super) enum Role<'a> {
    Server(&'a [String]),
    Centre,
    Site(&'a SiteId),
}

/// Name of the centre's own client certificate.
pub const CENTRE_NAME: &str = "docksync-centre";

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) der: CertificateDer<'static>,
    pub(super) pem: String,
}

impl Authority {
    /// The self-signed certificate of a new authority.
    pub(super) fn certificate(key: &KeyPair, now: Timestamp) -> Result<String, PkiError> {
        let mut params = params("Docksync CA", now, CA_DAYS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let signed = params.self_signed(key).map_err(|source| PkiError::Make { what: "the authority", source })?;
        Ok(signed.pem())
    }

    pub(super) fn load(pem: String, der: CertificateDer<'static>, key: KeyPair) -> Result<Self, PkiError> {
        let issuer =
            Issuer::from_ca_cert_der(&der, key).map_err(|source| PkiError::Make { what: "the authority", source })?;
        Ok(Self { issuer, der, pem })
    }

    /// Signs for a site and a server, and has both verified as the two ends would: what a name or a constraint of a certificate
    /// spoils shows here, and not at the sites.
    pub(super) fn trial(&self, now: Timestamp) -> Result<(), PkiError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).map_err(PkiError::Tls)?;
        let roots = Arc::new(roots);
        let key = super::keys::generate()?;
        let site = SiteId::new("TRIAL").map_err(|_| PkiError::Random)?;
        let second = u64::try_from(now.as_second()).unwrap_or(0);
        let at = UnixTime::since_unix_epoch(Duration::from_secs(second));
        let der = |issued: Issued| CertificateDer::from_pem_slice(issued.pem.as_bytes()).map_err(|_| PkiError::Random);
        let leaf = der(self.sign(&Role::Site(&site), &key, now, 1)?)?;
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let clients = clients.build().map_err(PkiError::Verifier)?;
        clients.verify_client_cert(&leaf, &[], at).map_err(PkiError::Tls)?;
        let leaf = der(self.sign(&Role::Server(&["localhost".to_owned()]), &key, now, 1)?)?;
        let servers =
            WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(PkiError::Verifier)?;
        let name = ServerName::try_from("localhost").map_err(|_| PkiError::Random)?;
        servers.verify_server_cert(&leaf, &[], &name, &[], at).map_err(PkiError::Tls)?;
        self.revocation_list(&[], now).map(drop)
    }

    /// SHA-256 of its certificate, in hex.
    pub(super) fn fingerprint(&self) -> String {
        hex(digest(&SHA256, &self.der).as_ref())
    }

    /// When its certificate ends.
    pub(super) fn until(&self) -> Result<Timestamp, PkiError> {
        let unreadable = || PkiError::Make { what: "the authority", source: rcgen::Error::CouldNotParseCertificate };
        let (_, parsed) = x509_parser::parse_x509_certificate(&self.der).map_err(|_| unreadable())?;
        Timestamp::from_second(parsed.validity().not_after.timestamp()).map_err(|_| unreadable())
    }

    /// Signs a public key for a role.
    pub(super) fn sign(
        &self,
        role: &Role<'_>,
        key: &impl PublicKeyData,
        now: Timestamp,
        days: i64,
    ) -> Result<Issued, PkiError> {
        let (name, usage) = match role {
            Role::Server(_) => ("Docksync centre server", ExtendedKeyUsagePurpose::ServerAuth),
            Role::Centre => (CENTRE_NAME, ExtendedKeyUsagePurpose::ClientAuth),
            Role::Site(site) => (site.as_str(), ExtendedKeyUsagePurpose::ClientAuth),
        };
        let mut params = params(name, now, days)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        if let Role::Server(names) = role {
            params.subject_alt_names = names.iter().map(|name| alt_name(name)).collect::<Result<_, _>>()?;
        }
        let serial = serial()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let signed =
            params.signed_by(key, &self.issuer).map_err(|source| PkiError::Make { what: "a certificate", source })?;
        let (not_before, not_after) = validity(now, days);
        Ok(Issued { pem: signed.pem(), serial, not_before, not_after, issuer: self.fingerprint() })
    }

    /// The revocation list, in PEM.
    pub(super) fn revocation_list(&self, revoked: &[(Vec<u8>, Timestamp)], now: Timestamp) -> Result<String, PkiError> {
        let revoked_certs = revoked
            .iter()
            .map(|(serial, at)| RevokedCertParams {
                serial_number: SerialNumber::from_slice(serial),
                revocation_time: date_time!(*at),
                reason_code: Some(RevocationReason::CessationOfOperation),
                invalidity_date: None,
            })
            .collect();
        let list = CertificateRevocationListParams {
            this_update: date_time!(now - Duration::from_secs(3600)),
            // The broker reads it from the same disk: a stale one must not lock every site out.
            next_update: date_time!(after(now, CA_DAYS)),
            crl_number: SerialNumber::from(now.as_second().unsigned_abs()),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let make = |source| PkiError::Make { what: "the revocation list", source };
        list.signed_by(&self.issuer).map_err(make)?.pem().map_err(make)
    }
}

fn params(name: &str, now: Timestamp, days: i64) -> Result<CertificateParams, PkiError> {
    let make = |source| PkiError::Make { what: "a certificate", source };
    let mut params = CertificateParams::new(Vec::new()).map_err(make)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    let (not_before, not_after) = validity(now, days);
    params.not_before = date_time!(not_before);
    params.not_after = date_time!(not_after);
    Ok(params)
}

fn alt_name(name: &str) -> Result<SanType, PkiError> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    let name = name.try_into().map_err(|source| PkiError::Make { what: "the server's name", source })?;
    Ok(SanType::DnsName(name))
}

fn validity(now: Timestamp, days: i64) -> (Timestamp, Timestamp) {
    (now - jiff::SignedDuration::from_secs(BACKDATED_SECS), after(now, days))
}

fn after(now: Timestamp, days: i64) -> Timestamp {
    now + jiff::SignedDuration::from_secs(days * DAY_SECS)
}

/// 128 random bits; positive and without leading zeros, so that every reader sees the same bytes.
fn serial() -> Result<Vec<u8>, PkiError> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| PkiError::Random)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial.to_vec())
}

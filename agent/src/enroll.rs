//! Enrolment: turns a token into this site's identity, and renews it before it ends.
//!
//! The key is made here and never leaves. The token carries the first 16 hex digits of the SHA-256 of the centre's
//! authority, so the first contact already knows whom to trust. The identity folder (see [`crate::uplink::tls`]) is
//! filled aside, synced, and put in place by one rename, so a crash leaves the old identity, the new one, or none.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use docksync_proto::{identity::hex, site::SiteId};
use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring as provider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime, pem::PemObject};
use serde::Deserialize;

use crate::uplink::tls::{CentreAddress, Identity, IdentityError, TlsFault, unhex};

/// PKCS#8 version 1 around a 32-byte seed (RFC 8410, section 7); OpenSSL 3.0 does not read version 2, which ring writes.
const PKCS8_V1_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
const FINGERPRINT_DIGITS: usize = 16;
const SECRET_DIGITS: usize = 32;

/// Why this machine was not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// Not the form of a token.
    #[error("this is not an enrolment token (`dsk1-SITE-secret-fingerprint`); copy it whole from the centre")]
    TokenMalformed,
    /// Not an `https` address.
    #[error("the address {url} does not start with https://")]
    NotHttps {
        /// What was given.
        url: String,
    },
    /// The centre cannot be reached.
    #[error("cannot reach the centre at {url}; check the address, the network and the firewall")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The server is not the one that gave the token.
    #[error(
        "the server at {url} is not the centre that gave this token; something stands between, or the address is wrong"
    )]
    WrongCentre {
        /// Where.
        url: String,
    },
    /// TLS failed in another way.
    #[error("{} at {url}", fault.as_str())]
    Tls {
        /// Where.
        url: String,
        /// What it means.
        fault: TlsFault,
    },
    /// The centre refused, and says what to do.
    #[error("the centre refused: {detail} ({code}). {next_step}")]
    Refused {
        /// Stable code.
        code: String,
        /// What was wrong.
        detail: String,
        /// What to do.
        next_step: String,
    },
    /// The answer cannot be understood.
    #[error("the server at {url} answered {status} with something that is no identity; check the address")]
    Answer {
        /// Where.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The key or request cannot be made.
    #[error("cannot make the certificate request")]
    Request(#[source] rcgen::Error),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// TLS cannot be set up.
    #[error("cannot set TLS up")]
    Setup(#[source] rustls::Error),
    /// The HTTP client cannot be set up.
    #[error("cannot set the HTTP client up")]
    Client(#[source] reqwest::Error),
    /// A file cannot be written; nothing was changed.
    #[error("cannot write {path}; check the folder's owner and free space, then ask for a new token")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was received does not make an identity.
    #[error("the identity received cannot be used")]
    Unusable(#[source] IdentityError),
    /// This machine's clock is beyond the life of what the centre made just now.
    #[error(
        "the certificate was received and kept, but by this machine's clock it ended at {at}: correct the clock \
         (chrony or systemd-timesyncd), then start the agent; no other token is needed"
    )]
    Clock {
        /// End of the certificate.
        at: Timestamp,
    },
    /// A background task was cancelled.
    #[error("enrolment was interrupted")]
    Interrupted,
}

/// What the centre answers.
#[derive(Debug, Deserialize)]
struct Answer {
    certificate: String,
    ca: String,
    centre_public_key: String,
    mqtt_host: String,
    mqtt_port: u16,
}

#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
    code: String,
    next_step: String,
}

/// Enrols this machine: `url` is the centre's address such as `https://centre.example:8443`, `dir` the identity folder.
///
/// # Errors
/// [`EnrollError`], with the next step in its message.
pub async fn enroll(url: &str, token: &str, dir: &Path, now: Timestamp) -> Result<Identity, EnrollError> {
    let (site, fingerprint) = read_token(token)?;
    let pin = Arc::new(Pin::new(fingerprint));
    let tls = ClientConfig::builder_with_provider(Arc::clone(&pin.provider))
        .with_safe_default_protocol_versions()
        .map_err(EnrollError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&pin) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let key = generate_key()?;
    let csr = request(&site, &key)?;
    let body = serde_json::json!({ "token": token.trim(), "csr": csr });
    let answer = post(url, "enroll", tls, &body).await?;
    if !pin.accepts_pem(&answer.ca) {
        return Err(EnrollError::WrongCentre { url: url.to_owned() });
    }
    install(url, answer, &key, dir, now).await
}

/// Renews the identity of a folder with a new key, proved by a signature of the present one.
///
/// # Errors
/// [`EnrollError`]; the present identity stays.
pub async fn renew(dir: &Path, now: Timestamp) -> Result<Identity, EnrollError> {
    let present = Identity::load(dir, now).map_err(EnrollError::Unusable)?;
    let certificate_path = dir.join("site.pem");
    let certificate = fs::read_to_string(&certificate_path)
        .map_err(|source| EnrollError::Unusable(IdentityError::Read { path: certificate_path, source }))?;
    let key = generate_key()?;
    let csr = request(&present.site, &key)?;
    let signature = hex(present.signing_key.sign(csr.as_bytes()).as_ref());
    let body = serde_json::json!({ "certificate": certificate, "csr": csr, "signature": signature });
    let url = present.centre.enroll_url.clone();
    let answer = post(&url, "renew", (*present.tls).clone(), &body).await?;
    install(&url, answer, &key, dir, now).await
}

/// The site that a token is for.
///
/// # Errors
/// [`EnrollError::TokenMalformed`].
pub fn site_of(token: &str) -> Result<SiteId, EnrollError> {
    read_token(token).map(|(site, _)| site)
}

/// Site and fingerprint of a token; the name of a site may hold hyphens, so it is read from the right.
fn read_token(token: &str) -> Result<(SiteId, String), EnrollError> {
    let is_hex = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    let rest = token.trim().strip_prefix("dsk1-").ok_or(EnrollError::TokenMalformed)?;
    let (rest, fingerprint) = rest.rsplit_once('-').ok_or(EnrollError::TokenMalformed)?;
    let (site, secret) = rest.rsplit_once('-').ok_or(EnrollError::TokenMalformed)?;
    if !is_hex(fingerprint, FINGERPRINT_DIGITS) || !is_hex(secret, SECRET_DIGITS) {
        return Err(EnrollError::TokenMalformed);
    }
    let site = SiteId::new(site).map_err(|_| EnrollError::TokenMalformed)?;
    Ok((site, fingerprint.to_ascii_lowercase()))
}

fn generate_key() -> Result<KeyPair, EnrollError> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| EnrollError::Random)?;
    let der = [PKCS8_V1_PREFIX.as_slice(), &seed].concat();
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519).map_err(EnrollError::Request)
}

fn request(site: &SiteId, key: &KeyPair) -> Result<String, EnrollError> {
    let mut params = CertificateParams::new(Vec::new()).map_err(EnrollError::Request)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, site.as_str());
    params.serialize_request(key).and_then(|request| request.pem()).map_err(EnrollError::Request)
}

async fn post(url: &str, path: &str, tls: ClientConfig, body: &serde_json::Value) -> Result<Answer, EnrollError> {
    if !url.starts_with("https://") {
        return Err(EnrollError::NotHttps { url: url.to_owned() });
    }
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(REQUEST_WITHIN)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(EnrollError::Client)?;
    let sent = client.post(format!("{}/{path}", url.trim_end_matches('/'))).json(body).send().await;
    let mut response = sent.map_err(|source| explain(url, source))?;
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|source| explain(url, source))? {
        bytes.extend_from_slice(&chunk);
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > ANSWER_BYTES_MAX {
            return Err(EnrollError::Answer { url: url.to_owned(), status: status.as_u16() });
        }
    }
    let unreadable = |_| EnrollError::Answer { url: url.to_owned(), status: status.as_u16() };
    if status.is_success() {
        return serde_json::from_slice(&bytes).map_err(unreadable);
    }
    let Problem { detail, code, next_step } = serde_json::from_slice(&bytes).map_err(unreadable)?;
    Err(EnrollError::Refused { code, detail, next_step })
}

fn explain(url: &str, source: reqwest::Error) -> EnrollError {
    let url = url.to_owned();
    let fault = crate::uplink::tls::tls_error(&source).map(TlsFault::of);
    match fault {
        Some(TlsFault::UnknownAuthority) => EnrollError::WrongCentre { url },
        Some(fault) => EnrollError::Tls { url, fault },
        None => EnrollError::Unreachable { url, source },
    }
}

/// Accepts the one authority that a token names, for the host name that was asked for.
#[derive(Debug)]
struct Pin {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
    /// The authority seen in the handshake.
    seen: Mutex<Option<CertificateDer<'static>>>,
}

impl Pin {
    fn new(fingerprint: String) -> Self {
        Self { fingerprint, provider: Arc::new(provider::default_provider()), seen: Mutex::new(None) }
    }

    fn accepts(&self, der: &[u8]) -> bool {
        hex(digest(&SHA256, der).as_ref()).starts_with(&self.fingerprint)
    }

    /// Whether a PEM text is the very authority that the handshake showed.
    fn accepts_pem(&self, pem: &str) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        CertificateDer::from_pem_slice(pem.as_bytes()).is_ok_and(|der| Some(&der) == seen.as_ref())
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let ca = intermediates.iter().find(|der| self.accepts(der)).ok_or_else(unknown)?.clone().into_owned();
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|_| unknown())?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(ca);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Writes the identity aside, proves it by loading it, and puts it in place.
async fn install(
    url: &str,
    answer: Answer,
    key: &KeyPair,
    dir: &Path,
    now: Timestamp,
) -> Result<Identity, EnrollError> {
    let address = CentreAddress {
        host: answer.mqtt_host,
        port: answer.mqtt_port,
        enroll_url: url.trim_end_matches('/').to_owned(),
    };
    let unreadable = || EnrollError::Answer { url: url.to_owned(), status: 200 };
    let address = toml::to_string(&address).map_err(|_| unreadable())?;
    unhex(&answer.centre_public_key).ok_or_else(unreadable)?;
    let files = [
        ("ca.pem", answer.ca, 0o644),
        ("site.key", key.serialize_pem(), 0o600),
        ("site.pem", answer.certificate, 0o644),
        ("centre.pub", answer.centre_public_key, 0o644),
        ("centre.toml", address, 0o644),
    ];
    let dir = dir.to_owned();
    let placed = tokio::task::spawn_blocking(move || place(&dir, &files, now));
    placed.await.map_err(|_| EnrollError::Interrupted)?
}

fn place(dir: &Path, files: &[(&str, String, u32)], now: Timestamp) -> Result<Identity, EnrollError> {
    let aside = dir.with_extension("new");
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source| EnrollError::Write { path, source }
    };
    remove_folder(&aside).map_err(error(&aside))?;
    fs::create_dir_all(&aside).map_err(error(&aside))?;
    for (name, text, mode) in files {
        let path = aside.join(name);
        write_new(&path, text, *mode).map_err(error(&path))?;
    }
    sync_folder(&aside).map_err(error(&aside))?;
    let loaded = match Identity::load(&aside, now) {
        // It was made a moment ago: the clock is wrong, not the certificate, and the token is used up.
        Err(IdentityError::Expired { at, .. }) => Err(EnrollError::Clock { at }),
        loaded => Ok(loaded.map_err(EnrollError::Unusable)?),
    };
    swap(&aside, dir).map_err(error(dir))?;
    // After an exchange the former identity is what lies aside.
    remove_folder(&aside).map_err(error(&aside))?;
    loaded
}

fn swap(aside: &Path, dir: &Path) -> io::Result<()> {
    match renameat_with(CWD, aside, CWD, dir, RenameFlags::EXCHANGE) {
        Err(rustix::io::Errno::NOENT) => fs::rename(aside, dir)?,
        result => result?,
    }
    sync_folder(dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_a_site_with_hyphens_is_read_and_a_truncated_one_refused() {
        let token = "dsk1-DC-NORTH-01-00112233445566778899aabbccddeeff-0123456789abcdef";

        let (site, fingerprint) = read_token(&format!(" {token}\n")).unwrap();

        assert_eq!((site.as_str(), fingerprint.as_str()), ("DC-NORTH-01", "0123456789abcdef"));
        for cut in 0..token.len() {
            assert!(read_token(&token[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_new_identity_that_cannot_be_used_leaves_the_present_one() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("identity");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("site.pem"), "present").unwrap();

        let error = place(&dir, &[("site.pem", "rubbish".to_owned(), 0o644)], Timestamp::UNIX_EPOCH).unwrap_err();

        assert!(matches!(error, EnrollError::Unusable(IdentityError::Damaged { .. })), "{error}");
        assert_eq!(fs::read_to_string(dir.join("site.pem")).unwrap(), "present");
    }

    #[test]
    fn swapping_puts_the_new_folder_in_place_whether_or_not_one_was_there() {
        let parent = tempfile::tempdir().unwrap();
        let (aside, dir) = (parent.path().join("identity.new"), parent.path().join("identity"));

        for round in ["first", "second"] {
            remove_folder(&aside).unwrap();
            fs::create_dir(&aside).unwrap();
            write_new(&aside.join("file"), round, 0o600).unwrap();
            swap(&aside, &dir).unwrap();
            assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), round);
        }
    }
}

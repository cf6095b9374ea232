//! Ed25519 keys on disk.
//!
//! PKCS#8 version 1, which OpenSSL (so Mosquitto and its tools) reads; ring writes version 2, which OpenSSL 3.0 refuses.

use std::path::Path;

use rcgen::{KeyPair, PKCS_ED25519};
use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

use super::{
    error::PkiError,
    files::{self, SECRET},
};

/// PKCS#8 version 1 around a 32-byte seed (RFC 8410, section 7).
const PKCS8_V1_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Makes a key, not yet stored.
pub(super) fn generate() -> Result<KeyPair, PkiError> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| PkiError::Random)?;
    let der = [PKCS8_V1_PREFIX.as_slice(), &seed].concat();
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519)
        .map_err(|source| PkiError::Make { what: "a key", source })
}

/// Writes a key for its owner alone.
pub(super) fn store(path: &Path, key: &KeyPair) -> Result<(), PkiError> {
    files::write(path, key.serialize_pem().as_bytes(), SECRET)
}

/// Reads the key of an authority, which may be a company's own: of whatever kind this program can sign with.
pub(super) fn load_issuer(path: &Path) -> Result<KeyPair, PkiError> {
    KeyPair::from_pem(&files::read(path)?).map_err(|_| PkiError::BadIssuingKey { path: path.to_owned() })
}

/// Reads a key.
pub(super) fn load(path: &Path) -> Result<KeyPair, PkiError> {
    let bad = || PkiError::BadKey { path: path.to_owned() };
    let der = PrivatePkcs8KeyDer::from_pem_slice(files::read(path)?.as_bytes()).map_err(|_| bad())?;
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).map_err(|_| bad())
}

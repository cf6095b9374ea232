//! TLS settings out of the authority's files: own authority only, TLS 1.2 or later, ring.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{error::PkiError, files};

pub(super) fn server(
    chain: &Path,
    key: &Path,
    clients: Option<&[CertificateDer<'static>]>,
) -> Result<Arc<ServerConfig>, PkiError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(PkiError::Tls)?;
    let builder = match clients {
        Some(ca) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(PkiError::Verifier)?)
        }
        None => builder.with_no_client_auth(),
    };
    let config = builder.with_single_cert(load_chain(chain)?, load_key(key)?).map_err(PkiError::Tls)?;
    Ok(Arc::new(config))
}

pub(super) fn client(chain: &Path, key: &Path, ca: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, PkiError> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(PkiError::Tls)?
        .with_root_certificates(roots(ca)?)
        .with_client_auth_cert(load_chain(chain)?, load_key(key)?)
        .map_err(PkiError::Tls)?;
    Ok(Arc::new(config))
}

/// Days until the first certificate of a file ends.
pub(super) fn days_left(path: &Path, now: Timestamp) -> Result<i64, PkiError> {
    let bad = || PkiError::BadCertificate { path: path.to_owned() };
    let chain = load_chain(path)?;
    let leaf = chain.first().ok_or_else(bad)?;
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).map_err(|_| bad())?;
    Ok((certificate.validity().not_after.timestamp() - now.as_second()) / (24 * 3600))
}

fn roots(ca: &[CertificateDer<'static>]) -> Result<RootCertStore, PkiError> {
    let mut roots = RootCertStore::empty();
    for certificate in ca {
        roots.add(certificate.clone()).map_err(PkiError::Tls)?;
    }
    Ok(roots)
}

fn load_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let text = files::read(path)?;
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| PkiError::BadCertificate { path: path.to_owned() })
}

fn load_key(path: &Path) -> Result<PrivateKeyDer<'static>, PkiError> {
    let text = files::read(path)?;
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| PkiError::BadKey { path: path.to_owned() })
}

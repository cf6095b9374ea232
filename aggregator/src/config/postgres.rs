//! Settings of staging databases.

use std::path::PathBuf;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use rustls_platform_verifier::ConfigVerifierExt as _;

use super::{
    consumer::{ConsumerKind, first_line},
    read::Section,
};
use crate::consumers::{ConsumerError, sql::postgres::Access};

const SCHEMA: &str = "docksync";
/// PostgreSQL cuts longer names (NAMEDATALEN, less one).
const SCHEMA_MAX: usize = 63;

/// A staging database in PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// Its address: host, port, database, user.
    pub url: String,
    /// File whose first line is the user's password.
    pub password_file: Option<PathBuf>,
    /// Whether everything goes in the clear.
    pub is_plain: bool,
    /// Certificates that the server's is checked with; without it those of this system.
    pub ca_file: Option<PathBuf>,
    /// Schema of the tables.
    pub schema: String,
}

impl PostgresConfig {
    /// Reads the files that it names.
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub fn access(&self) -> Result<Access, ConsumerError> {
        let server = self.url.parse().map_err(|source| ConsumerError::Address { url: self.url.clone(), source })?;
        let tls = if self.is_plain { None } else { Some(self.tls()?) };
        let password = self.password_file.as_ref().map(first_line).transpose()?;
        Ok(Access { server, password, tls, schema: self.schema.clone() })
    }

    fn tls(&self) -> Result<ClientConfig, ConsumerError> {
        // Another room may have named the provider before: it is the same one.
        drop(rustls::crypto::ring::default_provider().install_default());
        let Some(path) = &self.ca_file else {
            return ClientConfig::with_platform_verifier().map_err(|source| ConsumerError::Tls { source });
        };
        let unreadable = |source| ConsumerError::Certificates { path: path.clone(), source };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            roots.add(certificate.map_err(unreadable)?).map_err(|source| ConsumerError::Tls { source })?;
        }
        if roots.is_empty() {
            return Err(unreadable(rustls_pki_types::pem::Error::NoItemsFound));
        }
        Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }
}

/// A SQLite file has a path, a PostgreSQL an address.
pub(super) fn read_sql(section: &Section<'_>) -> Option<ConsumerKind> {
    let path = section.text("path").map(|(path, _)| ConsumerKind::Sql { path: PathBuf::from(path) });
    let url = section.parsed(
        "url",
        "a postgresql:// address without a password, as postgresql://docksync@db:5432/staging",
        address,
    );
    let postgres = url.and_then(|url| read_postgres(section, url)).map(ConsumerKind::Postgres);
    if path.is_none() && postgres.is_none() {
        section.missing("path", "the file of the staging database, or url, the address of a PostgreSQL");
    }
    postgres.or(path)
}

fn read_postgres(section: &Section<'_>, url: String) -> Option<PostgresConfig> {
    let file = |key| section.text(key).map(|(path, _)| PathBuf::from(path));
    let schema = section.parsed("schema", "a name of small letters, digits and underscores", name);
    Some(PostgresConfig {
        url,
        password_file: file("password_file"),
        is_plain: section.word("tls", &[("verify", false), ("off", true)]).unwrap_or(false),
        ca_file: file("ca_file"),
        schema: schema.unwrap_or_else(|| SCHEMA.to_owned()),
    })
}

/// Secrets are files: an address is shown on pages and in messages.
fn address(text: &str) -> Option<String> {
    let is_address = text.starts_with("postgresql://") || text.starts_with("postgres://");
    let config: tokio_postgres::Config = text.parse().ok().filter(|_| is_address)?;
    (config.get_password().is_none() && config.get_user().is_some()).then(|| text.to_owned())
}

fn name(text: &str) -> Option<String> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
    let fits = text.bytes().all(|b| is_plain(b) || b.is_ascii_digit()) && text.bytes().next().is_some_and(is_plain);
    (fits && text.len() <= SCHEMA_MAX).then(|| text.to_owned())
}

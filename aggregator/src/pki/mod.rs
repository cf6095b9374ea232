//! Who is who: the centre's own certificate authority, the register of sites, enrolment and revocation.
//!
//! Takes names of sites and certificate requests; gives tokens, certificates, TLS settings, keys that verify frames, and
//! the list of revoked certificates (in memory for the listener, as a file for Mosquitto). All keys are Ed25519.
//!
//! Folder: `ca.key`, `ca.pem`, `server.key`, `server.pem`, `centre.key`, `centre.pem`, `trust.pem`, `crl.pem`, `pki.db`; in an overlap of
//! authorities `next-ca.key`, `next-ca.pem`. Keys are 0600.
//! Invariants: a lost CA file stops the program, for a new authority would lock every site out; a token admits one
//! machine of one site once; tokens are stored only as SHA-256; serial numbers are never reused.
//!
//! Everything here blocks on disk: call it outside async code. It reads no clock: `now` is handed in.

mod authority;
mod copies;
mod denylist;
pub mod enroll_api;
mod error;
mod files;
mod keys;
mod rotation;
mod store;
mod tls;
mod token;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use docksync_proto::site::SiteId;
use jiff::Timestamp;
use rcgen::{CertificateSigningRequestParams, DnType, DnValue, KeyPair, PKCS_ED25519, PublicKeyData};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::sync::watch;

pub use self::{
    authority::CENTRE_NAME,
    copies::{copy, differ, put_back},
    denylist::Denylist,
    error::PkiError,
    rotation::{Authorities, Issuing, install},
    store::SiteEntry,
    token::Token,
};
use self::{
    authority::{Authority, Issued, Role},
    files::PUBLIC,
    store::{Store, TokenEntry},
};

/// Life of a site's certificate.
pub const SITE_DAYS: i64 = 90;
/// Life of the server's and the centre's own certificates; renewed at start.
const OWN_DAYS: i64 = 825;
/// At start, own certificates with less than this left are made anew.
const OWN_DAYS_LEFT_MIN: i64 = 90;
/// Life of an enrolment token.
pub const TOKEN_TTL: Duration = Duration::from_secs(24 * 3600);

/// The authority and its register.
pub struct Pki {
    dir: PathBuf,
    authority: Authority,
    /// In an overlap, the one that signs sites' certificates from now on.
    next: Option<Authority>,
    store: Store,
    denylist: watch::Sender<Arc<Denylist>>,
    site_days: i64,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Pki {
    /// Opens the authority in a folder, or makes it there. The server certificate is made for `server_names` (DNS names
    /// or IP addresses) whenever they changed or it comes to its end.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn open_or_create(dir: &Path, server_names: &[String], now: Timestamp) -> Result<Self, PkiError> {
        fs::create_dir_all(dir).map_err(|source| PkiError::Write { path: dir.to_owned(), source })?;
        rotation::roll_forward(dir)?;
        let authority = open_authority(dir, now)?;
        let next = rotation::open_next(dir)?;
        let store = Store::open(&dir.join("pki.db"))?;
        let (denylist, _) = watch::channel(Arc::default());
        let pki = Self { dir: dir.to_owned(), authority, next, store, denylist, site_days: SITE_DAYS };
        pki.ensure_own("server", &Role::Server(server_names), &server_names.join(" "), now)?;
        pki.ensure_own("centre", &Role::Centre, authority::CENTRE_NAME, now)?;
        pki.write_trust()?;
        pki.refresh(now)?;
        Ok(pki)
    }

    /// Sets the life of certificates for sites, in days.
    #[must_use]
    pub const fn with_site_days(mut self, days: i64) -> Self {
        self.site_days = days;
        self
    }

    /// Adds a site, or lets a revoked one back in, and gives its first enrolment token.
    ///
    /// # Errors
    /// [`PkiError::SiteExists`] where it is there and not revoked.
    pub fn add_site(
        &mut self,
        site: &SiteId,
        name: &str,
        time_zone: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Token, PkiError> {
        if self.store.site(site)?.is_some_and(|entry| entry.revoked_at.is_none()) {
            return Err(PkiError::SiteExists(site.clone()));
        }
        self.store.put_site(site, name, time_zone, now)?;
        self.new_token(site, ttl, now)
    }

    /// Gives one more token for a site, for a new or reinstalled machine.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn new_token(&mut self, site: &SiteId, ttl: Duration, now: Timestamp) -> Result<Token, PkiError> {
        self.live_site(site)?;
        let token = Token::generate(site, &self.authority.der)?;
        self.store.put_token(&token, now, now + ttl)?;
        Ok(token)
    }

    /// Every site, revoked ones too.
    ///
    /// # Errors
    /// [`PkiError::Store`].
    pub fn list_sites(&self) -> Result<Vec<SiteEntry>, PkiError> {
        self.store.sites()
    }

    /// Revokes a site: its certificates, its open tokens; live sessions end as the listener sees the new denylist.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn revoke(&mut self, site: &SiteId, now: Timestamp) -> Result<(), PkiError> {
        self.live_site(site)?;
        self.store.revoke(site, now)?;
        self.refresh(now)
    }

    /// Lets the machine that said hello under this nonce in: it gets an epoch of its own.
    ///
    /// # Errors
    /// [`PkiError`] where the site is unknown or revoked.
    pub fn approve(&mut self, site: &SiteId, nonce: [u8; 16], by: &str, now: Timestamp) -> Result<(), PkiError> {
        self.live_site(site)?;
        self.store.approve(site, &nonce, by, now)
    }

    /// Whether a person let the machine with this nonce in.
    ///
    /// # Errors
    /// [`PkiError::Store`].
    pub fn is_approved(&self, site: &SiteId, nonce: [u8; 16]) -> Result<bool, PkiError> {
        self.store.is_approved(site, &nonce)
    }

    /// When a machine of the site was enrolled with a token last; renewals do not count.
    ///
    /// # Errors
    /// [`PkiError::Store`].
    pub fn enrolled_at(&self, site: &SiteId) -> Result<Option<Timestamp>, PkiError> {
        self.store.enrolled_at(site)
    }

    /// Keys that may have signed a site's frames, raw (32 bytes), newest first.
    ///
    /// # Errors
    /// [`PkiError::Store`].
    pub fn public_keys(&self, site: &SiteId) -> Result<Vec<Vec<u8>>, PkiError> {
        self.store.public_keys(site)
    }

    /// Signs a request for the site of a token and uses the token up; gives the chain, in PEM. `from` names the caller.
    ///
    /// # Errors
    /// [`PkiError`]; the token stays usable.
    pub fn sign_request(&mut self, token: &str, csr_pem: &str, from: &str, now: Timestamp) -> Result<String, PkiError> {
        let token = Token::parse(token)?;
        if !token.names_authority(&self.authority.der) {
            return Err(PkiError::TokenUnknown);
        }
        let TokenEntry { expires_at, used } = self.store.token(&token)?.ok_or(PkiError::TokenUnknown)?;
        let used_by =
            |(at, from): (Timestamp, String)| PkiError::TokenUsed { at, by: format!("{} ({from})", token.site()) };
        if let Some(used) = used {
            return Err(used_by(used));
        }
        self.live_site(token.site())?;
        if expires_at <= now {
            return Err(PkiError::TokenExpired { at: expires_at });
        }
        let (issued, key) = self.issue(token.site(), csr_pem, now)?;
        if !self.store.spend(&token, from, now, &issued, &key)? {
            let used = self.store.token(&token)?.and_then(|entry| entry.used);
            return Err(used.map_or(PkiError::TokenUnknown, used_by));
        }
        Ok(format!("{}{}", issued.pem, self.issuer().pem))
    }

    /// Signs a new request for the holder of a valid certificate, who proves it by a signature with its key over the
    /// request's text; gives the chain, in PEM.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn renew(
        &mut self,
        certificate_pem: &str,
        csr_pem: &str,
        signature: &[u8],
        now: Timestamp,
    ) -> Result<String, PkiError> {
        let site = self.entitled(certificate_pem, csr_pem, signature, now)?;
        self.live_site(&site)?;
        let (issued, key) = self.issue(&site, csr_pem, now)?;
        self.store.put_certificate(&site, &issued, &key)?;
        Ok(format!("{}{}", issued.pem, self.issuer().pem))
    }

    /// Reads the register again (another process may have revoked) and writes `crl.pem` where it changed.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn refresh(&self, now: Timestamp) -> Result<(), PkiError> {
        let revoked = self.store.revoked()?;
        let denylist = Denylist::new(revoked.iter().map(|(serial, _)| serial.clone()));
        let path = self.crl_path();
        if **self.denylist.borrow() != denylist || !path.exists() {
            self.write_revocations(now)?;
            self.denylist.send_replace(Arc::new(denylist));
        }
        Ok(())
    }

    /// One list of each authority: a broker asks for that of the one that signed.
    fn write_revocations(&self, now: Timestamp) -> Result<(), PkiError> {
        let revoked = self.store.revoked()?;
        let lists: Result<String, PkiError> =
            self.trusted().map(|authority| authority.revocation_list(&revoked, now)).collect();
        files::write(&self.crl_path(), lists?.as_bytes(), PUBLIC)
    }

    /// `trust.pem`: for brokers, which trust what this program trusts.
    fn write_trust(&self) -> Result<(), PkiError> {
        files::write(&self.path("trust.pem"), self.trust_pem().as_bytes(), PUBLIC)
    }

    fn trusted(&self) -> impl Iterator<Item = &Authority> {
        std::iter::once(&self.authority).chain(&self.next)
    }

    fn issuer(&self) -> &Authority {
        self.next.as_ref().unwrap_or(&self.authority)
    }

    fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.trusted().map(|authority| authority.der.clone()).collect()
    }

    /// Serial numbers of revoked certificates, as they change.
    pub fn denylist(&self) -> watch::Receiver<Arc<Denylist>> {
        self.denylist.subscribe()
    }

    /// The revocation list for an outside broker.
    pub fn crl_path(&self) -> PathBuf {
        self.dir.join("crl.pem")
    }

    /// Path of one of the authority's own files, such as `ca.pem`, `server.pem`, `centre.key`.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Certificates of all authorities that count, in PEM; that of the server first.
    pub fn trust_pem(&self) -> String {
        self.trusted().map(|authority| authority.pem.as_str()).collect()
    }

    /// The authority's certificate, in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.authority.pem
    }

    /// The key that signs the centre's frames: that of the `docksync-centre` certificate.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn centre_key(&self) -> Result<Ed25519KeyPair, PkiError> {
        let path = self.path("centre.key");
        let key = keys::load(&path)?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.serialized_der()).map_err(|_| PkiError::BadKey { path })
    }

    /// The public half of [`Self::centre_key`], raw (32 bytes).
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn centre_public_key(&self) -> Result<Vec<u8>, PkiError> {
        Ok(keys::load(&self.path("centre.key"))?.public_key_raw().to_vec())
    }

    /// TLS of the MQTT endpoint: demands a certificate of this authority.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn server_config(&self) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        tls::server(&self.path("server.pem"), &self.path("server.key"), Some(&self.roots()))
    }

    /// TLS of the enrolment endpoint: its callers have no certificate yet.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn enroll_config(&self) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        tls::server(&self.path("server.pem"), &self.path("server.key"), None)
    }

    /// TLS of the centre as a client of an outside broker.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn client_config(&self) -> Result<Arc<rustls::ClientConfig>, PkiError> {
        tls::client(&self.path("centre.pem"), &self.path("centre.key"), &self.roots())
    }

    fn live_site(&self, site: &SiteId) -> Result<(), PkiError> {
        match self.store.site(site)? {
            None => Err(PkiError::SiteUnknown(site.clone())),
            Some(SiteEntry { revoked_at: Some(at), .. }) => Err(PkiError::SiteRevoked { site: site.clone(), at }),
            Some(_) => Ok(()),
        }
    }

    /// Signs a request, of which only name and key are heeded.
    fn issue(&self, site: &SiteId, csr_pem: &str, now: Timestamp) -> Result<(Issued, Vec<u8>), PkiError> {
        let request = CertificateSigningRequestParams::from_pem(csr_pem).map_err(PkiError::RequestUnreadable)?;
        if request.public_key.algorithm() != &PKCS_ED25519 {
            return Err(PkiError::RequestKey);
        }
        let found = match request.params.distinguished_name.get(&DnType::CommonName) {
            Some(DnValue::Utf8String(name)) => name.clone(),
            Some(DnValue::PrintableString(name)) => name.as_str().to_owned(),
            Some(_) | None => String::new(),
        };
        if found != site.as_str() {
            return Err(PkiError::RequestNames { site: site.clone(), found });
        }
        let issued = self.issuer().sign(&Role::Site(site), &request.public_key, now, self.site_days)?;
        Ok((issued, request.public_key.der_bytes().to_vec()))
    }

    fn entitled(&self, certificate: &str, csr: &str, signature: &[u8], now: Timestamp) -> Result<SiteId, PkiError> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| PkiError::NotEntitled)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| PkiError::NotEntitled)?;
        let serial: Vec<u8> = parsed.raw_serial().iter().copied().skip_while(|byte| *byte == 0).collect();
        let entry = self.store.certificate(&serial)?.ok_or(PkiError::NotEntitled)?;
        // The register, not the certificate at hand, says which keys are the site's.
        let is_signed = self.store.public_keys(&entry.site)?.iter().any(|key| {
            *key == *parsed.public_key().subject_public_key.data
                && UnparsedPublicKey::new(&ED25519, key).verify(csr.as_bytes(), signature).is_ok()
        });
        if entry.is_revoked || entry.not_after <= now || !is_signed {
            return Err(PkiError::NotEntitled);
        }
        Ok(entry.site)
    }

    /// Makes one of the centre's own certificates where it is absent, for other names, or near its end.
    fn ensure_own(&self, stem: &str, role: &Role<'_>, names: &str, now: Timestamp) -> Result<(), PkiError> {
        let (key_path, certificate_path) = (self.path(&format!("{stem}.key")), self.path(&format!("{stem}.pem")));
        let names_path = self.path(&format!("{stem}.names"));
        let key = if key_path.exists() {
            keys::load(&key_path)?
        } else {
            let key = keys::generate()?;
            keys::store(&key_path, &key)?;
            key
        };
        // With the authority it changes too.
        let names = format!("{names}\n{}", self.authority.fingerprint());
        let is_current = fs::read_to_string(&names_path).is_ok_and(|kept| kept == names)
            && certificate_path.exists()
            && tls::days_left(&certificate_path, now)? >= OWN_DAYS_LEFT_MIN;
        if !is_current {
            let issued = self.authority.sign(role, &key, now, OWN_DAYS)?;
            files::write(&certificate_path, format!("{}{}", issued.pem, self.authority.pem).as_bytes(), PUBLIC)?;
            // Last: a crash before it only makes the certificate once more.
            files::write(&names_path, names.as_bytes(), PUBLIC)?;
        }
        Ok(())
    }
}

fn open_authority(dir: &Path, now: Timestamp) -> Result<Authority, PkiError> {
    let (key_path, pem_path) = (dir.join("ca.key"), dir.join("ca.pem"));
    let key: KeyPair = match (key_path.exists(), pem_path.exists(), dir.join("pki.db").exists()) {
        (true, true, _) => keys::load_issuer(&key_path)?,
        (false, true, _) | (false, _, true) => return Err(PkiError::Incomplete { path: key_path }),
        (true, false, true) => return Err(PkiError::Incomplete { path: pem_path }),
        // The key is written first, so this is a start that was cut short: no certificate was given yet.
        (true, false, false) => {
            create_authority(&keys::load(&key_path)?, &pem_path, now).and_then(|()| keys::load(&key_path))?
        }
        (false, false, false) => {
            let key = keys::generate()?;
            keys::store(&key_path, &key)?;
            create_authority(&key, &pem_path, now)?;
            key
        }
    };
    let pem = files::read(&pem_path)?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes());
    let der = der.map_err(|_| PkiError::BadCertificate { path: pem_path })?;
    Authority::load(pem, der, key)
}

fn create_authority(key: &KeyPair, pem_path: &Path, now: Timestamp) -> Result<(), PkiError> {
    files::write(pem_path, Authority::certificate(key, now)?.as_bytes(), PUBLIC)
}

#[cfg(test)]
mod tests;

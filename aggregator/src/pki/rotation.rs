//! A new authority in the place of the old one, without a site that stands still.
//!
//! | phase | signs sites | signs the server | trusted | how it ends |
//! |---|---|---|---|---|
//! | one authority | it | it | it | [`Pki::rotate`] writes `next-ca.key`, then `next-ca.pem` |
//! | overlap | the next | the old | both | every site has renewed (two thirds of a certificate's life), then [`Pki::finish`] |
//! | finishing | the next | the next | the next | renames, taken up again at the next opening where they were cut short |
//!
//! A site that renews in the overlap learns to trust both, so the server may change its certificate at the end. The next authority is made
//! here, or is one of the company's own: an issuing certificate with its key.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use docksync_proto::site::SiteId;
use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{
    Pki, PkiError, SiteEntry,
    authority::Authority,
    files::{self, PUBLIC, SECRET},
    keys, open_authority,
};

const KEY: &str = "ca.key";
const PEM: &str = "ca.pem";
const NEXT_KEY: &str = "next-ca.key";
const NEXT_PEM: &str = "next-ca.pem";
const FINISHING_PEM: &str = "finishing-ca.pem";
/// A renewal counts when it is this old: an answer that was lost is asked for again within the hour.
const SETTLED_SECS: i64 = 24 * 3600;

/// An authority of the company's own.
#[derive(Debug, Clone, Copy)]
pub struct Issuing<'a> {
    /// Its certificate, in PEM; only the first of the file counts.
    pub certificate: &'a Path,
    /// Its key, PKCS#8 in PEM, readable by its owner alone.
    pub key: &'a Path,
}

/// How authorities stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities {
    /// SHA-256 of the present one's certificate, and its end.
    pub present: (String, Timestamp),
    /// The same of the next one, in an overlap.
    pub next: Option<(String, Timestamp)>,
    /// Sites that would be locked out by an end of the overlap now.
    pub waiting: Vec<SiteId>,
}

impl Pki {
    /// How authorities stand.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn authorities(&self, now: Timestamp) -> Result<Authorities, PkiError> {
        let of = |authority: &Authority| Ok::<_, PkiError>((authority.fingerprint(), authority.until()?));
        Ok(Authorities {
            present: of(&self.authority)?,
            next: self.next.as_ref().map(of).transpose()?,
            waiting: self.waiting(now)?,
        })
    }

    /// Begins an overlap with a new authority, or with one of the company's own.
    ///
    /// # Errors
    /// [`PkiError::RotationBegun`] where one is under way, and others; nothing has changed then.
    pub fn rotate(&mut self, issuing: Option<Issuing<'_>>, now: Timestamp) -> Result<(), PkiError> {
        if self.next.is_some() {
            return Err(PkiError::RotationBegun);
        }
        let (pem, key) = match issuing {
            Some(issuing) => read_issuing(issuing, now)?,
            None => {
                let key = keys::generate()?;
                (Authority::certificate(&key, now)?, key.serialize_pem())
            }
        };
        files::write(&self.path(NEXT_KEY), key.as_bytes(), SECRET)?;
        // Last: with it the overlap begins.
        files::write(&self.path(NEXT_PEM), pem.as_bytes(), PUBLIC)?;
        self.next = open_next(&self.dir)?;
        self.write_trust()?;
        self.write_revocations(now)
    }

    /// Ends an overlap; the server's certificate is of the next authority from then on. Gives the sites that are left behind.
    ///
    /// # Errors
    /// [`PkiError::SitesWaiting`] where sites would be locked out and `leave_behind` does not allow it.
    pub fn finish(&mut self, leave_behind: bool, now: Timestamp) -> Result<Vec<SiteId>, PkiError> {
        if self.next.is_none() {
            return Err(PkiError::NoRotation);
        }
        let waiting = self.waiting(now)?;
        if !leave_behind && !waiting.is_empty() {
            return Err(PkiError::SitesWaiting(waiting));
        }
        rename(&self.path(NEXT_PEM), &self.path(FINISHING_PEM))?;
        roll_forward(&self.dir)?;
        self.authority = open_authority(&self.dir, now)?;
        self.next = None;
        self.write_trust()?;
        self.write_revocations(now)?;
        Ok(waiting)
    }

    /// Sites with a certificate in force that is not yet, or only just, one of the next authority.
    fn waiting(&self, now: Timestamp) -> Result<Vec<SiteId>, PkiError> {
        let Some(next) = &self.next else { return Ok(Vec::new()) };
        let fingerprint = next.fingerprint();
        let mut waiting = Vec::new();
        for SiteEntry { site, revoked_at, certificate_until, .. } in self.store.sites()? {
            if revoked_at.is_some() || certificate_until.is_none_or(|until| until <= now) {
                continue;
            }
            let latest = self.store.latest_issuer(&site)?;
            let is_settled = latest.is_some_and(|(issuer, not_before)| {
                let issued_at = not_before.as_second() + super::authority::BACKDATED_SECS;
                issuer == fingerprint && now.as_second() - issued_at >= SETTLED_SECS
            });
            if !is_settled {
                waiting.push(site);
            }
        }
        Ok(waiting)
    }
}

/// Puts an authority of the company's own where there is none yet.
///
/// # Errors
/// [`PkiError::AuthorityExists`] where there is one.
pub fn install(dir: &Path, issuing: Issuing<'_>, now: Timestamp) -> Result<(), PkiError> {
    if dir.join(KEY).exists() || dir.join("pki.db").exists() {
        return Err(PkiError::AuthorityExists);
    }
    let (pem, key) = read_issuing(issuing, now)?;
    fs::create_dir_all(dir).map_err(|source| PkiError::Write { path: dir.to_owned(), source })?;
    // As at a first start: the key first, so that a cut between is one that was cut short.
    files::write(&dir.join(KEY), key.as_bytes(), SECRET)?;
    files::write(&dir.join(PEM), pem.as_bytes(), PUBLIC)
}

/// The next authority of a folder, in an overlap.
pub(super) fn open_next(dir: &Path) -> Result<Option<Authority>, PkiError> {
    let (key_path, pem_path) = (dir.join(NEXT_KEY), dir.join(NEXT_PEM));
    if !pem_path.exists() {
        return Ok(None);
    }
    if !key_path.exists() {
        return Err(PkiError::Incomplete { path: key_path });
    }
    let pem = files::read(&pem_path)?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes());
    let der = der.map_err(|_| PkiError::BadCertificate { path: pem_path })?;
    Authority::load(pem, der, keys::load_issuer(&key_path)?).map(Some)
}

/// Completes an end of an overlap that was cut short.
pub(super) fn roll_forward(dir: &Path) -> Result<(), PkiError> {
    if !dir.join(FINISHING_PEM).exists() {
        return Ok(());
    }
    if dir.join(NEXT_KEY).exists() {
        rename(&dir.join(NEXT_KEY), &dir.join(KEY))?;
    }
    rename(&dir.join(FINISHING_PEM), &dir.join(PEM))
}

fn rename(from: &Path, to: &Path) -> Result<(), PkiError> {
    let folder = |path: &Path| path.parent().map_or_else(PathBuf::new, Path::to_owned);
    fs::rename(from, to)
        .and_then(|()| fs::File::open(folder(to))?.sync_all())
        .map_err(|source| PkiError::Write { path: to.to_owned(), source })
}

/// Certificate and key of a company's authority, in PEM, found to fit each other and to be allowed to sign.
fn read_issuing(issuing: Issuing<'_>, now: Timestamp) -> Result<(String, String), PkiError> {
    let unfit = |why: &'static str| PkiError::Issuing { path: issuing.certificate.to_owned(), why };
    let meta = fs::metadata(issuing.key).map_err(|source| PkiError::Read { path: issuing.key.to_owned(), source })?;
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(PkiError::KeyExposed { path: issuing.key.to_owned() });
    }
    let key_text = files::read(issuing.key)?;
    let key = KeyPair::from_pem(&key_text).map_err(|_| PkiError::BadIssuingKey { path: issuing.key.to_owned() })?;
    let bad = || PkiError::BadCertificate { path: issuing.certificate.to_owned() };
    // Only the issuing certificate is kept: whoever trusts the company's root would trust all that it signs.
    let pem = first_block(&files::read(issuing.certificate)?).ok_or_else(bad)?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| bad())?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| unfit("it cannot be read"))?;
    if parsed.public_key().raw != key.subject_public_key_info() {
        return Err(unfit("the key is of another certificate"));
    }
    let is_ca = parsed.basic_constraints().ok().flatten().is_some_and(|found| found.value.ca);
    let signs =
        parsed.key_usage().ok().flatten().is_none_or(|found| found.value.key_cert_sign() && found.value.crl_sign());
    if !is_ca || !signs {
        return Err(unfit("it may not sign certificates and revocation lists"));
    }
    if parsed.validity().not_after.timestamp() <= now.as_second() + super::SITE_DAYS * 24 * 3600 {
        return Err(unfit("it ends before a site's certificate would"));
    }
    let text = key.serialize_pem();
    let refuse = |_| unfit("certificates that it signs are not accepted: its name or its constraints do not allow it");
    Authority::load(pem.clone(), der.into_owned(), key).and_then(|authority| authority.trial(now)).map_err(refuse)?;
    Ok((pem, text))
}

/// The first certificate of a PEM file (RFC 7468, section 5).
fn first_block(text: &str) -> Option<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let from = text.find("-----BEGIN CERTIFICATE-----")?;
    let to = from + text[from..].find(END)? + END.len();
    Some(format!("{}\n", &text[from..to]))
}

//! Enrolment tokens: `dsk1-<site>-<secret, 32 hex digits>-<first 16 hex digits of SHA-256 of the CA certificate>`.
//!
//! The secret has 128 random bits and is kept only as its SHA-256. The fingerprint lets the agent recognise the centre
//! before it holds any certificate of it.

use docksync_proto::{identity::hex, site::SiteId};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};

use super::error::PkiError;

const PREFIX: &str = "dsk1-";
const SECRET_BYTES: usize = 16;
/// Hex digits of the fingerprint.
const FINGERPRINT_DIGITS: usize = 16;

/// A token in clear; shown once, never stored, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    site: SiteId,
    secret: String,
    fingerprint: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("site", &self.site).field("secret", &"***").finish_non_exhaustive()
    }
}

impl Token {
    pub(super) fn generate(site: &SiteId, ca_der: &[u8]) -> Result<Self, PkiError> {
        let mut secret = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut secret).map_err(|_| PkiError::Random)?;
        Ok(Self { site: site.clone(), secret: hex(&secret), fingerprint: fingerprint(ca_der) })
    }

    /// Reads a token.
    ///
    /// # Errors
    /// [`PkiError::TokenMalformed`].
    pub fn parse(text: &str) -> Result<Self, PkiError> {
        let is_hex = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
        let rest = text.trim().strip_prefix(PREFIX).ok_or(PkiError::TokenMalformed)?;
        // From the right: the name of a site may hold hyphens.
        let (rest, fingerprint) = rest.rsplit_once('-').ok_or(PkiError::TokenMalformed)?;
        let (site, secret) = rest.rsplit_once('-').ok_or(PkiError::TokenMalformed)?;
        if !is_hex(fingerprint, FINGERPRINT_DIGITS) || !is_hex(secret, 2 * SECRET_BYTES) {
            return Err(PkiError::TokenMalformed);
        }
        let site = SiteId::new(site).map_err(|_| PkiError::TokenMalformed)?;
        Ok(Self { site, secret: secret.to_ascii_lowercase(), fingerprint: fingerprint.to_ascii_lowercase() })
    }

    /// The site that it admits.
    pub const fn site(&self) -> &SiteId {
        &self.site
    }

    /// The text to hand to the site, for the one time that it is shown.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}-{}-{}", self.site, self.secret, self.fingerprint)
    }

    pub(super) fn names_authority(&self, ca_der: &[u8]) -> bool {
        self.fingerprint == fingerprint(ca_der)
    }

    /// What is stored: bound to the site, so that the secret of one admits no other.
    pub(super) fn digest(&self) -> Vec<u8> {
        digest(&SHA256, format!("{}-{}", self.site, self.secret).as_bytes()).as_ref().to_vec()
    }
}

/// First 16 hex digits of the SHA-256 of a certificate.
fn fingerprint(ca_der: &[u8]) -> String {
    let mut text = hex(digest(&SHA256, ca_der).as_ref());
    text.truncate(FINGERPRINT_DIGITS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_a_site_with_hyphens_reads_back() {
        let site = SiteId::new("DC-NORTH-01").unwrap();
        let token = Token::generate(&site, b"certificate").unwrap();

        let read = Token::parse(&format!(" {}\n", token.reveal())).unwrap();

        assert_eq!(read, token);
        assert!(read.names_authority(b"certificate"));
        assert!(!read.names_authority(b"another"));
    }

    #[test]
    fn a_truncated_token_is_refused_and_debug_output_hides_the_secret() {
        let token = Token::generate(&SiteId::new("DC1").unwrap(), b"certificate").unwrap();
        let text = token.reveal();

        for cut in 0..text.len() {
            assert_eq!(Token::parse(&text[..cut]).unwrap_err().code(), "token_malformed", "{cut}");
        }
        assert!(!format!("{token:?}").contains(&token.secret));
    }
}

//! Names of sites.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest name of a site, in characters.
pub const SITE_ID_LEN_MAX: usize = 32;

/// One distribution centre, by the code that ERP, certificates and topics use: `A-Z`, `0-9` and `-`, at most 32.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SiteId(String);

/// Why a text is not the name of a site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteIdError {
    /// Nothing was given.
    #[error("site id is empty")]
    Empty,
    /// Longer than [`SITE_ID_LEN_MAX`].
    #[error("site id has {len} characters, the limit is {SITE_ID_LEN_MAX}")]
    TooLong {
        /// Characters given.
        len: usize,
    },
    /// Holds a character that topics, certificates or file names could not carry safely.
    #[error("site id `{text}` may hold only A-Z, 0-9 and '-', found `{found}`; try `{suggestion}`")]
    Character {
        /// What was given.
        text: String,
        /// The first bad character.
        found: char,
        /// The nearest allowed name.
        suggestion: String,
    },
}

impl SiteId {
    /// Checks a name.
    ///
    /// # Errors
    /// [`SiteIdError`] says what is wrong and suggests the nearest allowed name.
    pub fn new(text: &str) -> Result<Self, SiteIdError> {
        if text.is_empty() {
            return Err(SiteIdError::Empty);
        }
        let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
        if let Some(found) = text.chars().find(|c| !allowed(*c)) {
            let suggestion = text
                .to_ascii_uppercase()
                .chars()
                .map(|c| if allowed(c) { c } else { '-' })
                .take(SITE_ID_LEN_MAX)
                .collect();
            return Err(SiteIdError::Character { text: text.to_owned(), found, suggestion });
        }
        if text.len() > SITE_ID_LEN_MAX {
            return Err(SiteIdError::TooLong { len: text.len() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SiteId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_blank_is_refused_with_a_suggestion() {
        let error = SiteId::new("dc 01").unwrap_err();

        assert_eq!(error.to_string(), "site id `dc 01` may hold only A-Z, 0-9 and '-', found `d`; try `DC-01`");
    }

    #[test]
    fn a_name_at_the_limit_is_taken_and_one_beyond_is_refused() {
        assert!(SiteId::new(&"A".repeat(SITE_ID_LEN_MAX)).is_ok());
        assert_eq!(SiteId::new(&"A".repeat(33)), Err(SiteIdError::TooLong { len: 33 }));
    }
}

//! The register `pki.db`: sites, tokens (as digests), certificates. Times are seconds since 1970; schema in `schema.sql`.
//!
//! A version above [`VERSION`] is refused. Several processes may hold it open (the service and the command line).

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use docksync_proto::site::SiteId;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{authority::Issued, error::PkiError, token::Token};

const VERSION: i64 = 2;
const SCHEMA: &str = include_str!("schema.sql");
/// Certificates name their authority, since it can be replaced; those before were signed by the first.
const TO_2: &str = "ALTER TABLE certificate ADD COLUMN issuer TEXT NOT NULL DEFAULT ''";
const BUSY_WITHIN: Duration = Duration::from_secs(5);

/// One site of the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteEntry {
    /// Code.
    pub site: SiteId,
    /// Name for people.
    pub name: String,
    /// IANA time zone.
    pub time_zone: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// End of its latest valid certificate; `None` before enrolment.
    pub certificate_until: Option<Timestamp>,
}

/// A token of the register.
pub(super) struct TokenEntry {
    pub(super) expires_at: Timestamp,
    /// When and from where it was used.
    pub(super) used: Option<(Timestamp, String)>,
}

/// A certificate of the register.
pub(super) struct CertificateEntry {
    pub(super) site: SiteId,
    pub(super) not_after: Timestamp,
    pub(super) is_revoked: bool,
}

pub(super) struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, PkiError> {
        let error = |what| move |source| PkiError::Store { what, path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(error("open the register"))?;
        connection.busy_timeout(BUSY_WITHIN).map_err(error("set the patience"))?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(error("set full syncs"))?;
        connection.pragma_update(None, "foreign_keys", true).map_err(error("set foreign keys"))?;
        let mut store = Self { connection, path: path.to_owned() };
        store.migrate()?;
        Ok(store)
    }

    fn migrate(&mut self) -> Result<(), PkiError> {
        let path = self.path.clone();
        let found = self.write("read the version", |tx| {
            let found: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            if found == 0 {
                tx.execute_batch(SCHEMA)?;
            }
            if found < 2 {
                tx.execute_batch(TO_2)?;
                tx.pragma_update(None, "user_version", VERSION)?;
            }
            Ok(found)
        })?;
        if found > VERSION {
            return Err(PkiError::NewerStore { path, found, known: VERSION });
        }
        Ok(())
    }

    fn write<T>(
        &mut self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, PkiError> {
        let attempt = || {
            let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&tx)?;
            tx.commit()?;
            Ok(result)
        };
        attempt().map_err(|source| PkiError::Store { what, path: self.path.clone(), source })
    }

    fn read<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, PkiError> {
        work(&self.connection).map_err(|source| PkiError::Store { what, path: self.path.clone(), source })
    }

    /// Notes that a person let the machine with this nonce in.
    pub(super) fn approve(&mut self, site: &SiteId, nonce: &[u8], by: &str, now: Timestamp) -> Result<(), PkiError> {
        self.write("approve a machine", |tx| {
            tx.execute(
                "INSERT OR IGNORE INTO approval (site_id, nonce, approved_at, approved_by) VALUES (?1, ?2, ?3, ?4)",
                params![site.as_str(), nonce, now.as_second(), by],
            )
            .map(|_| ())
        })
    }

    pub(super) fn is_approved(&self, site: &SiteId, nonce: &[u8]) -> Result<bool, PkiError> {
        self.read("look for an approval", |db| {
            db.prepare("SELECT 1 FROM approval WHERE site_id = ?1 AND nonce = ?2")?
                .exists(params![site.as_str(), nonce])
        })
    }

    /// When a token of the site was used last.
    pub(super) fn enrolled_at(&self, site: &SiteId) -> Result<Option<Timestamp>, PkiError> {
        self.read("look for the last enrolment", |db| {
            db.query_row("SELECT max(used_at) FROM token WHERE site_id = ?1", [site.as_str()], |row| {
                optional_time(row, 0)
            })
        })
    }

    /// Adds a site, or lets a revoked one back in.
    pub(super) fn put_site(&mut self, site: &SiteId, name: &str, zone: &str, now: Timestamp) -> Result<(), PkiError> {
        self.write("add a site", |tx| {
            tx.execute(
                "INSERT INTO site (site_id, name, time_zone, created_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (site_id) DO UPDATE SET name = ?2, time_zone = ?3, revoked_at = NULL",
                params![site.as_str(), name, zone, now.as_second()],
            )
            .map(|_| ())
        })
    }

    pub(super) fn site(&self, site: &SiteId) -> Result<Option<SiteEntry>, PkiError> {
        Ok(self.sites()?.into_iter().find(|entry| entry.site == *site))
    }

    pub(super) fn sites(&self) -> Result<Vec<SiteEntry>, PkiError> {
        self.read("list the sites", |db| {
            let mut query = db.prepare(
                "SELECT site_id, name, time_zone, created_at, revoked_at,
                        (SELECT max(not_after) FROM certificate c
                         WHERE c.site_id = site.site_id AND c.revoked_at IS NULL)
                 FROM site ORDER BY site_id",
            )?;
            query.query_map([], entry)?.collect()
        })
    }

    pub(super) fn put_token(&mut self, token: &Token, now: Timestamp, until: Timestamp) -> Result<(), PkiError> {
        self.write("store a token", |tx| {
            tx.execute(
                "INSERT INTO token (digest, site_id, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)",
                params![token.digest(), token.site().as_str(), now.as_second(), until.as_second()],
            )
            .map(|_| ())
        })
    }

    pub(super) fn token(&self, token: &Token) -> Result<Option<TokenEntry>, PkiError> {
        self.read("look a token up", |db| {
            db.query_row(
                "SELECT expires_at, used_at, used_from FROM token WHERE digest = ?1 AND site_id = ?2",
                params![token.digest(), token.site().as_str()],
                |row| {
                    let used = match optional_time(row, 1)? {
                        Some(at) => Some((at, row.get(2)?)),
                        None => None,
                    };
                    Ok(TokenEntry { expires_at: time(row, 0)?, used })
                },
            )
            .optional()
        })
    }

    /// Uses a token up and stores the certificate it gave, in one transaction; `false` where it was used meanwhile.
    pub(super) fn spend(
        &mut self,
        token: &Token,
        from: &str,
        now: Timestamp,
        issued: &Issued,
        public_key: &[u8],
    ) -> Result<bool, PkiError> {
        self.write("use a token up", |tx| {
            let used = tx.execute(
                "UPDATE token SET used_at = ?2, used_from = ?3 WHERE digest = ?1 AND used_at IS NULL",
                params![token.digest(), now.as_second(), from],
            )?;
            if used == 1 {
                insert_certificate(tx, token.site(), issued, public_key)?;
            }
            Ok(used == 1)
        })
    }

    pub(super) fn put_certificate(
        &mut self,
        site: &SiteId,
        issued: &Issued,
        public_key: &[u8],
    ) -> Result<(), PkiError> {
        self.write("store a certificate", |tx| insert_certificate(tx, site, issued, public_key))
    }

    pub(super) fn certificate(&self, serial: &[u8]) -> Result<Option<CertificateEntry>, PkiError> {
        self.read("look a certificate up", |db| {
            db.query_row(
                "SELECT site_id, not_after, revoked_at FROM certificate WHERE serial = ?1",
                params![serial],
                |row| {
                    Ok(CertificateEntry {
                        site: site_id(row, 0)?,
                        not_after: time(row, 1)?,
                        is_revoked: optional_time(row, 2)?.is_some(),
                    })
                },
            )
            .optional()
        })
    }

    /// Authority of the certificate that a site got last, and the beginning of that certificate.
    pub(super) fn latest_issuer(&self, site: &SiteId) -> Result<Option<(String, Timestamp)>, PkiError> {
        self.read("look for the newest certificate", |db| {
            db.query_row(
                "SELECT issuer, not_before FROM certificate WHERE site_id = ?1 AND revoked_at IS NULL
                 ORDER BY not_before DESC, rowid DESC LIMIT 1",
                [site.as_str()],
                |row| Ok((row.get(0)?, time(row, 1)?)),
            )
            .optional()
        })
    }

    /// Revokes a site with all its certificates and open tokens.
    pub(super) fn revoke(&mut self, site: &SiteId, now: Timestamp) -> Result<(), PkiError> {
        self.write("revoke a site", |tx| {
            let at = params![site.as_str(), now.as_second()];
            tx.execute("UPDATE site SET revoked_at = ?2 WHERE site_id = ?1 AND revoked_at IS NULL", at)?;
            tx.execute("UPDATE certificate SET revoked_at = ?2 WHERE site_id = ?1 AND revoked_at IS NULL", at)?;
            tx.execute("UPDATE token SET expires_at = min(expires_at, ?2) WHERE site_id = ?1", at)?;
            Ok(())
        })
    }

    pub(super) fn revoked(&self) -> Result<Vec<(Vec<u8>, Timestamp)>, PkiError> {
        self.read("list the revoked certificates", |db| {
            let mut query =
                db.prepare("SELECT serial, revoked_at FROM certificate WHERE revoked_at IS NOT NULL ORDER BY serial")?;
            query.query_map([], |row| Ok((row.get(0)?, time(row, 1)?)))?.collect()
        })
    }

    pub(super) fn public_keys(&self, site: &SiteId) -> Result<Vec<Vec<u8>>, PkiError> {
        self.read("list the keys of a site", |db| {
            let mut query = db.prepare(
                "SELECT DISTINCT public_key FROM certificate WHERE site_id = ?1 AND revoked_at IS NULL
                 ORDER BY not_after DESC",
            )?;
            query.query_map(params![site.as_str()], |row| row.get(0))?.collect()
        })
    }
}

fn insert_certificate(tx: &Transaction<'_>, site: &SiteId, issued: &Issued, key: &[u8]) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO certificate (serial, site_id, public_key, not_before, not_after, issuer) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            issued.serial,
            site.as_str(),
            key,
            issued.not_before.as_second(),
            issued.not_after.as_second(),
            issued.issuer
        ],
    )
    .map(|_| ())
}

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<SiteEntry> {
    Ok(SiteEntry {
        site: site_id(row, 0)?,
        name: row.get(1)?,
        time_zone: row.get(2)?,
        created_at: time(row, 3)?,
        revoked_at: optional_time(row, 4)?,
        certificate_until: optional_time(row, 5)?,
    })
}

fn site_id(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<SiteId> {
    let text: String = row.get(column)?;
    SiteId::new(&text).map_err(|error| conversion(column, rusqlite::types::Type::Text, error))
}

fn time(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_second(row.get(column)?).map_err(|error| conversion(column, rusqlite::types::Type::Integer, error))
}

fn optional_time(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let Some(second) = row.get::<_, Option<i64>>(column)? else { return Ok(None) };
    let time = Timestamp::from_second(second);
    time.map(Some).map_err(|error| conversion(column, rusqlite::types::Type::Integer, error))
}

fn conversion(
    column: usize,
    found: rusqlite::types::Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, found, Box::new(error))
}

#[cfg(test)]
impl Store {
    pub(super) fn connection_serials(&self) -> Vec<Vec<u8>> {
        let mut query = self.connection.prepare("SELECT serial FROM certificate").unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

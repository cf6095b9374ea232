//! Where a stretch of a site's stream lies, and what of it a person left out: for the answers to sites, without reading events.

use std::collections::BTreeSet;

use docksync_proto::{
    codec::{BATCH_EVENTS_MAX, Decoded},
    site::SiteId,
};
use rusqlite::{OptionalExtension as _, params};

use super::{
    Loc, Reads as _, Standing, content_of,
    error::{LedgerError, sql},
    reads::SqliteReader,
};

/// Part of a stream that one batch holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Number of the batch.
    pub batch_no: i64,
    /// Number of its first event.
    pub first: u64,
    /// One byte of [`Standing`] per event.
    standings: Vec<u8>,
}

impl Stretch {
    /// Place and standing of an event of the stream; `None` where another batch holds it.
    pub fn place(&self, seq: u64) -> Option<(Loc, Option<Standing>)> {
        let index = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        let standing = self.standings.get(index)?;
        Some((Loc::new(self.batch_no, index), Standing::from_byte(*standing)))
    }
}

impl SqliteReader {
    /// The batches that hold these events of a stream, in their order.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn stretches(&self, site: &SiteId, epoch: u32, first: u64, last: u64) -> Result<Vec<Stretch>, LedgerError> {
        // A batch that starts earlier than this cannot reach as far.
        let from = first.saturating_sub(u64::from(BATCH_EVENTS_MAX));
        let values = params![site.as_str(), epoch, from.cast_signed(), first.cast_signed(), last.cast_signed()];
        self.conn
            .prepare_cached(
                "SELECT batch_no, first_seq, standings FROM batch WHERE site_no = (SELECT site_no FROM site WHERE site = ?1) \
                 AND epoch = ?2 AND first_seq >= ?3 AND first_seq <= ?5 AND first_seq + count > ?4 ORDER BY first_seq",
            )
            .and_then(|mut s| {
                let read = |r: &rusqlite::Row<'_>| {
                    let (batch_no, first) = (r.get(0)?, r.get::<_, i64>(1)?.cast_unsigned());
                    Ok(Stretch { batch_no, first, standings: r.get(2)? })
                };
                s.query_map(values, read)?.collect()
            })
            .map_err(sql("look for events of a stream"))
    }

    /// Place of the event of which this one is a repeat: the same fact with the same content, or else the version in force.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn first_of(&self, repeat: &Decoded) -> Result<Option<Loc>, LedgerError> {
        let version = self
            .conn
            .prepare_cached("SELECT loc FROM version WHERE id = ?1 AND content = ?2")
            .and_then(|mut s| {
                s.query_row(params![repeat.id.as_bytes(), content_of(repeat)], |r| r.get(0).map(Loc)).optional()
            })
            .map_err(sql("look up a version"))?;
        version.map_or_else(|| self.event(repeat.id), |loc| Ok(Some(loc)))
    }

    /// How an event stands, by its place; `None` for a standing of a later program.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn standing(&self, loc: Loc) -> Result<Option<Standing>, LedgerError> {
        let byte: Option<Vec<u8>> = self
            .conn
            .prepare_cached("SELECT substr(standings, ?2, 1) FROM batch WHERE batch_no = ?1")
            .and_then(|mut s| s.query_row(params![loc.batch_no(), loc.index() as i64 + 1], |r| r.get(0)).optional())
            .map_err(sql("read how an event stands"))?;
        Ok(byte.and_then(|bytes| Standing::from_byte(*bytes.first()?)))
    }

    /// How far a consumer is with a site; nothing where it has not begun.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn settled_through(&self, consumer: &str, site: &SiteId) -> Result<Loc, LedgerError> {
        let found = self
            .conn
            .prepare_cached(
                "SELECT loc FROM cursor WHERE consumer = ?1 AND site_no = (SELECT site_no FROM site WHERE site = ?2)",
            )
            .and_then(|mut s| s.query_row(params![consumer, site.as_str()], |r| r.get(0).map(Loc)).optional())
            .map_err(sql("read a cursor"))?;
        Ok(found.unwrap_or_default())
    }

    /// Which of these events a person had left out for a consumer: one pass over its decisions, however many events.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn left_out(&self, consumer: &str, locs: &[Loc]) -> Result<BTreeSet<Loc>, LedgerError> {
        let numbers: Vec<String> = locs.iter().map(|loc| loc.0.to_string()).collect();
        self.conn
            .prepare_cached(
                "SELECT loc FROM op WHERE state = 2 AND target = ?1 AND kind = 'skip' \
                 AND loc IN (SELECT value FROM json_each(?2))",
            )
            .and_then(|mut s| {
                let values = params![consumer, format!("[{}]", numbers.join(","))];
                s.query_map(values, |r| r.get(0).map(Loc))?.collect()
            })
            .map_err(sql("read what was left out"))
    }
}

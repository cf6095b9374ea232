//! Puts a batch back that somebody deleted or changed behind the ledger's back.
//!
//! It takes its old place again, which the keys of its events remember, so that corrections, cursors and what is parked still mean it. Its
//! effects were never taken back: only the row is written.

use docksync_proto::{codec::Decoded, frame::BatchHead, site::SiteId};
use rusqlite::{OptionalExtension as _, params};

use super::{
    LedgerError, Loc, RefusalState, Standing, audit::Entry, change::content_of, error::sql, sqlite::SqliteStore,
};

/// Code of a version that differs and does not say so.
const REVISED: &str = "REVISED_DOCUMENT";

impl SqliteStore {
    /// Writes a batch whose chain joins both its neighbours; `false` where it does not, or nothing was missing.
    ///
    /// # Errors
    /// [`LedgerError`]; nothing is changed then.
    pub fn mend(
        &mut self,
        site: &SiteId,
        head: &BatchHead,
        columns: &[u8],
        events: &[Decoded],
    ) -> Result<bool, LedgerError> {
        let chain = (head.first..)
            .zip(events)
            .fold(head.chain_before, |chain, (seq, event)| chain.next(seq, event.id, &event.digests.payload));
        if chain != head.chain_after || events.len() != head.count as usize {
            return Ok(false);
        }
        self.together(|store| store.put_back(site, head, columns, events))
    }

    fn put_back(
        &mut self,
        site: &SiteId,
        head: &BatchHead,
        columns: &[u8],
        events: &[Decoded],
    ) -> Result<bool, LedgerError> {
        let site_no = self.site_no(site)?;
        if self.is_there(site_no, head, columns)? || self.overlaps(site_no, head)? || !self.joins(site_no, head)? {
            return Ok(false);
        }
        let place = match self.altered_at(site_no, head)? {
            Some(batch_no) => Some(batch_no),
            None => self.old_place(site_no, head, events)?,
        };
        let Some(batch_no) = place else { return Ok(false) };
        let standings = self.standings_at(batch_no, events)?;
        self.run("put a batch back", "DELETE FROM batch WHERE batch_no = ?1", [batch_no])?;
        self.run(
            "put a batch back",
            "INSERT INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                batch_no,
                site_no,
                head.epoch,
                head.first.cast_signed(),
                head.count,
                self.now_ms,
                head.chain_before.0,
                head.chain_after.0,
                standings,
                columns
            ],
        )?;
        let (first, last) = (head.first, head.last());
        self.append_audit(&Entry {
            who: "receive".to_owned(),
            act: "mend".to_owned(),
            subject: site.to_string(),
            detail: format!("epoch {} events {first} to {last} were put back as batch {batch_no}", head.epoch),
        })?;
        Ok(true)
    }

    /// Whether the batches around it, where they are there, have its chain at their ends.
    fn joins(&self, site_no: i64, head: &BatchHead) -> Result<bool, LedgerError> {
        let chain = |text: &str, seq: u64| -> Result<Option<[u8; 32]>, LedgerError> {
            let mut find = self.db.conn.prepare_cached(text).map_err(sql("read a neighbour"))?;
            find.query_row(params![site_no, head.epoch, seq.cast_signed()], |r| r.get(0))
                .optional()
                .map_err(sql("read a neighbour"))
        };
        let before = chain(
            "SELECT chain_after FROM batch WHERE site_no = ?1 AND epoch = ?2 AND first_seq + count = ?3 ORDER BY first_seq DESC LIMIT 1",
            head.first,
        )?;
        let after = chain(
            "SELECT chain_before FROM batch WHERE site_no = ?1 AND epoch = ?2 AND first_seq = ?3",
            head.last() + 1,
        )?;
        let fits = before.is_none_or(|c| c == head.chain_before.0) && after.is_none_or(|c| c == head.chain_after.0);
        Ok(fits && (before.is_some() || after.is_some() || head.first == 1))
    }

    /// Whether the very batch stands there, unharmed.
    fn is_there(&self, site_no: i64, head: &BatchHead, columns: &[u8]) -> Result<bool, LedgerError> {
        let mut find = self
            .db
            .conn
            .prepare_cached(
                "SELECT 1 FROM batch WHERE site_no = ?1 AND epoch = ?2 AND first_seq = ?3 AND count = ?4 AND chain_before = ?5 \
                 AND chain_after = ?6 AND columns = ?7",
            )
            .map_err(sql("read a batch"))?;
        let values = params![
            site_no,
            head.epoch,
            head.first.cast_signed(),
            head.count,
            head.chain_before.0,
            head.chain_after.0,
            columns
        ];
        find.exists(values).map_err(sql("read a batch"))
    }

    /// Whether batches of another cut hold a part of it: the site sends it again as it was stored there, which may be more than is missing.
    fn overlaps(&self, site_no: i64, head: &BatchHead) -> Result<bool, LedgerError> {
        let mut find = self
            .db
            .conn
            .prepare_cached(
                "SELECT 1 FROM batch WHERE site_no = ?1 AND epoch = ?2 AND first_seq <= ?4 AND first_seq + count > ?3 \
                 AND NOT (first_seq = ?3 AND count = ?5)",
            )
            .map_err(sql("read a batch"))?;
        let values = params![site_no, head.epoch, head.first.cast_signed(), head.last().cast_signed(), head.count];
        find.exists(values).map_err(sql("read a batch"))
    }

    /// Number of the batch that stands in its place and is not what the site sent.
    fn altered_at(&self, site_no: i64, head: &BatchHead) -> Result<Option<i64>, LedgerError> {
        let mut find = self
            .db
            .conn
            .prepare_cached("SELECT batch_no FROM batch WHERE site_no = ?1 AND epoch = ?2 AND first_seq = ?3")
            .map_err(sql("read a batch"))?;
        find.query_row(params![site_no, head.epoch, head.first.cast_signed()], |r| r.get(0))
            .optional()
            .map_err(sql("read a batch"))
    }

    /// The number that a missing batch had: its events' keys remember it; where all of them were duplicates, a free one between its
    /// neighbours serves.
    fn old_place(&self, site_no: i64, head: &BatchHead, events: &[Decoded]) -> Result<Option<i64>, LedgerError> {
        let is_free = |batch_no: i64| -> Result<bool, LedgerError> {
            let mut find =
                self.db.conn.prepare_cached("SELECT 1 FROM batch WHERE batch_no = ?1").map_err(sql("read a batch"))?;
            find.exists([batch_no]).map(|found| !found).map_err(sql("read a batch"))
        };
        for (index, decoded) in events.iter().enumerate() {
            if let Some((_, loc)) = self.in_force(decoded.id.as_bytes())?
                && loc.index() == index
                && is_free(loc.batch_no())?
            {
                return Ok(Some(loc.batch_no()));
            }
        }
        let of_neighbour = |text: &str| -> Result<Option<i64>, LedgerError> {
            let mut find = self.db.conn.prepare_cached(text).map_err(sql("read a neighbour"))?;
            find.query_row(params![site_no, head.epoch, head.first.cast_signed()], |r| r.get::<_, Option<i64>>(0))
                .map_err(sql("read a neighbour"))
        };
        let after =
            of_neighbour("SELECT max(batch_no) FROM batch WHERE site_no = ?1 AND epoch = ?2 AND first_seq < ?3")?
                .unwrap_or(0);
        let before =
            of_neighbour("SELECT min(batch_no) FROM batch WHERE site_no = ?1 AND epoch = ?2 AND first_seq > ?3")?;
        for batch_no in after + 1..before.unwrap_or(after + 1) {
            if is_free(batch_no)? {
                return Ok(Some(batch_no));
            }
        }
        Ok(None)
    }

    fn standings_at(&self, batch_no: i64, events: &[Decoded]) -> Result<Vec<u8>, LedgerError> {
        let exists = |text: &str, loc: Loc| -> Result<bool, LedgerError> {
            self.db.conn.prepare_cached(text).and_then(|mut s| s.exists([loc.0])).map_err(sql("read a standing"))
        };
        let mut all = Vec::with_capacity(events.len());
        for (index, decoded) in events.iter().enumerate() {
            let loc = Loc::new(batch_no, index);
            let refused = self.db.refusal_code(loc)?;
            let standing = match refused {
                Some(code) if code == REVISED => Standing::Revised,
                Some(_) => Standing::Parked,
                None if exists("SELECT 1 FROM correction WHERE loc = ?1", loc)? => Standing::Correction,
                None if exists("SELECT 1 FROM correction WHERE prior = ?1", loc)? => Standing::New,
                None => match self.in_force(decoded.id.as_bytes())? {
                    Some((content, at)) if at == loc && content == content_of(decoded) => Standing::New,
                    Some(_) => Standing::Duplicate,
                    // Only test interchanges take no key and are not refused.
                    None => Standing::Test,
                },
            };
            all.push(standing as u8);
        }
        Ok(all)
    }
}

impl super::reads::SqliteReader {
    fn refusal_code(&self, loc: Loc) -> Result<Option<String>, LedgerError> {
        use super::Reads as _;
        let refusal = self.refusal(loc)?;
        Ok(refusal.filter(|r| r.state != RefusalState::Superseded || !r.code.is_empty()).map(|r| r.code))
    }
}

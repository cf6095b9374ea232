//! Which facts this site has captured before.
//!
//! The ledger alone decides for ever; this index serves the site's own words: "409 rows, 400 already captured". It must not
//! touch a page for each event, so identities are appended as sorted runs, one for each batch, and found through a filter for
//! each group of runs that stays in memory (16 bits an identity, wrong once in 2,000). A filter that says "perhaps" is settled
//! by searching its runs; only a true find reads them into a map, for then more of them follow.
//! Limits: the newest [`GROUPS_MAX`] groups; an older fact sent again is counted as new here, and refused by the ledger.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::capture::{Appended, Fact};

/// Identities that share a filter.
const GROUP_IDS: usize = 32_768;
/// Bits of a filter.
const FILTER_BITS: u64 = GROUP_IDS as u64 * 16;
/// Groups kept: some eight million identities, seventeen megabytes.
const GROUPS_MAX: usize = 256;
const PROBES: u64 = 11;

#[derive(Debug)]
struct Group {
    last_run: i64,
    filter: Vec<u8>,
}

/// The index. Owned by the queue's writer.
#[derive(Debug)]
pub(super) struct Known {
    groups: Vec<Group>,
    open: Vec<u8>,
    open_ids: usize,
    next_run: i64,
    /// Runs of the group that was read last: re-exports come in the order in which they were captured.
    cached: Option<(usize, HashMap<u64, u64>)>,
}

fn key(fact: &Fact) -> (u64, u64) {
    let (mut id, mut content) = ([0; 8], [0; 8]);
    id.copy_from_slice(&fact.id.as_bytes()[8..]);
    content.copy_from_slice(&fact.digests.content[..8]);
    (u64::from_be_bytes(id), u64::from_be_bytes(content))
}

fn probes(id: u64) -> impl Iterator<Item = (usize, u8)> {
    // Ids are hashes already: two halves make as many probes as are wanted (Kirsch and Mitzenmacher, 2006).
    let (a, b) = (id, (id >> 32) | 1);
    (0..PROBES).map(move |n| {
        let bit = a.wrapping_add(n.wrapping_mul(b)) % FILTER_BITS;
        ((bit / 8) as usize, 1 << (bit % 8))
    })
}

fn empty_filter() -> Vec<u8> {
    vec![0; (FILTER_BITS / 8) as usize]
}

impl Known {
    /// Reads the filters.
    ///
    /// # Errors
    /// SQLite's own.
    pub(super) fn open(db: &Connection) -> rusqlite::Result<Self> {
        let mut groups: Vec<Group> = db
            .prepare("SELECT last_run, filter FROM known_group ORDER BY last_run DESC LIMIT ?1")?
            .query_map([GROUPS_MAX as i64], |row| Ok(Group { last_run: row.get(0)?, filter: row.get(1)? }))?
            .collect::<rusqlite::Result<_>>()?;
        // A filter of another size is of another version: its runs go into the open group, where they were not read yet.
        groups.retain(|group| group.filter.len() as u64 == FILTER_BITS / 8);
        groups.reverse();
        let closed = groups.last().map_or(0, |g| g.last_run);
        let mut known = Self { groups, open: empty_filter(), open_ids: 0, next_run: closed + 1, cached: None };
        let mut runs = db.prepare("SELECT id, ids FROM known_run WHERE id > ?1 ORDER BY id")?;
        let mut rows = runs.query([closed])?;
        while let Some(row) = rows.next()? {
            known.next_run = row.get::<_, i64>(0)? + 1;
            let ids: Vec<u8> = row.get(1)?;
            entries(&ids).for_each(|(id, _)| known.note(id));
        }
        Ok(known)
    }

    fn note(&mut self, id: u64) {
        probes(id).for_each(|(at, bit)| self.open[at] |= bit);
        self.open_ids += 1;
    }

    /// Says of each fact whether it was captured before.
    ///
    /// # Errors
    /// SQLite's own.
    pub(super) fn judge(&mut self, db: &Connection, facts: &[Fact]) -> rusqlite::Result<Appended> {
        let mut appended = Appended::default();
        for fact in facts {
            let (id, content) = key(fact);
            match self.find(db, id)? {
                None => appended.accepted += 1,
                Some(known) if known == content => appended.duplicate += 1,
                Some(_) => appended.revised += 1,
            }
        }
        Ok(appended)
    }

    fn find(&mut self, db: &Connection, id: u64) -> rusqlite::Result<Option<u64>> {
        let maybe = |filter: &[u8]| probes(id).all(|(at, bit)| filter[at] & bit != 0);
        let open = self.groups.len();
        let mut hits: Vec<usize> = (0..open).filter(|g| maybe(&self.groups[*g].filter)).collect();
        if maybe(&self.open) {
            hits.push(open);
        }
        for group in hits.into_iter().rev() {
            if self.cached.as_ref().is_none_or(|(cached, _)| *cached != group) {
                if !self.holds(db, group, id)? {
                    continue;
                }
                self.cached = Some((group, self.load(db, group)?));
            }
            if let Some(content) = self.cached.as_ref().and_then(|(_, map)| map.get(&id)) {
                return Ok(Some(*content));
            }
        }
        Ok(None)
    }

    /// Numbers of a group's runs: after the first, through the second.
    fn range(&self, group: usize) -> (i64, i64) {
        let after = if group == 0 { 0 } else { self.groups[group - 1].last_run };
        (after, self.groups.get(group).map_or(i64::MAX, |g| g.last_run))
    }

    /// Whether a run of the group holds the identity: its place is searched for, as runs are sorted.
    fn holds(&self, db: &Connection, group: usize, id: u64) -> rusqlite::Result<bool> {
        let (after, through) = self.range(group);
        let wanted = id.to_be_bytes();
        let mut runs = db.prepare_cached("SELECT ids FROM known_run WHERE id > ?1 AND id <= ?2 ORDER BY id")?;
        let mut rows = runs.query([after, through])?;
        while let Some(row) = rows.next()? {
            let (run, _) = row.get_ref(0)?.as_blob()?.as_chunks::<16>();
            if run.binary_search_by(|entry| entry[..8].cmp(&wanted)).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn load(&self, db: &Connection, group: usize) -> rusqlite::Result<HashMap<u64, u64>> {
        let (after, through) = self.range(group);
        let mut map = HashMap::with_capacity(GROUP_IDS);
        let mut runs = db.prepare_cached("SELECT ids FROM known_run WHERE id > ?1 AND id <= ?2 ORDER BY id")?;
        let mut rows = runs.query([after, through])?;
        while let Some(row) = rows.next()? {
            let ids: Vec<u8> = row.get(0)?;
            map.extend(entries(&ids));
        }
        Ok(map)
    }

    /// Number of the run that [`Known::add`] stores next.
    pub(super) const fn next_run(&self) -> i64 {
        self.next_run
    }

    /// Forgets one run, whose batch is lost. Its bits stay in the filter: they only make a search more.
    ///
    /// # Errors
    /// SQLite's own.
    pub(super) fn forget_run(&mut self, db: &Connection, run: i64) -> rusqlite::Result<()> {
        self.cached = None;
        db.execute("DELETE FROM known_run WHERE id = ?1", [run]).map(drop)
    }

    /// Adds a batch's facts; part of the transaction that stores the batch.
    ///
    /// # Errors
    /// SQLite's own.
    pub(super) fn add(&mut self, db: &Connection, facts: &[Fact], now_ms: i64) -> rusqlite::Result<()> {
        let mut keys: Vec<(u64, u64)> = facts.iter().map(key).collect();
        keys.sort_unstable();
        let mut ids = Vec::with_capacity(keys.len() * 16);
        for (id, content) in &keys {
            ids.extend_from_slice(&id.to_be_bytes());
            ids.extend_from_slice(&content.to_be_bytes());
            self.note(*id);
        }
        db.prepare_cached("INSERT INTO known_run (id, ids) VALUES (?1, ?2)")?.execute(params![self.next_run, ids])?;
        if let Some((group, map)) = self.cached.as_mut().filter(|(group, _)| *group == self.groups.len()) {
            debug_assert!(*group == self.groups.len(), "the open group");
            map.extend(keys);
        }
        self.next_run += 1;
        if self.open_ids >= GROUP_IDS {
            self.close_group(db, now_ms)?;
        }
        Ok(())
    }

    fn close_group(&mut self, db: &Connection, now_ms: i64) -> rusqlite::Result<()> {
        let last_run = self.next_run - 1;
        let filter = std::mem::replace(&mut self.open, empty_filter());
        self.open_ids = 0;
        db.execute(
            "INSERT INTO known_group (last_run, made_ms, filter) VALUES (?1, ?2, ?3)",
            params![last_run, now_ms, filter],
        )?;
        self.groups.push(Group { last_run, filter });
        if self.groups.len() > GROUPS_MAX {
            self.forget_oldest(db)?;
        }
        self.cached = None;
        Ok(())
    }

    /// Gives the room of the oldest group back, where there is a closed one.
    ///
    /// # Errors
    /// SQLite's own.
    pub(super) fn forget_oldest(&mut self, db: &Connection) -> rusqlite::Result<()> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let gone = self.groups.remove(0);
        db.execute("DELETE FROM known_run WHERE id <= ?1", [gone.last_run])?;
        db.execute("DELETE FROM known_group WHERE last_run <= ?1", [gone.last_run])?;
        self.cached = None;
        Ok(())
    }

    /// Forgets what a rolled-back transaction added, by reading the database again.
    ///
    /// # Errors
    /// SQLite's own.
    pub(super) fn reload(&mut self, db: &Connection) -> rusqlite::Result<()> {
        *self = Self::open(db)?;
        Ok(())
    }
}

fn entries(ids: &[u8]) -> impl Iterator<Item = (u64, u64)> + '_ {
    ids.chunks_exact(16).map(|chunk| {
        let (mut id, mut content) = ([0; 8], [0; 8]);
        id.copy_from_slice(&chunk[..8]);
        content.copy_from_slice(&chunk[8..]);
        (u64::from_be_bytes(id), u64::from_be_bytes(content))
    })
}

//! Which facts this site has captured before.
//!
//! The ledger alone decides for ever; this index serves the site's own words: "409 rows, 400 already captured". It must not
//! touch a page for each event, so identities are appended as sorted runs, one for each batch, and found through a filter for
//! each group of runs that stays in memory (16 bits an identity, wrong once in 2,000). The filters of closed groups lie across:
//! for each bit one word for 64 groups, so that one identity asks them all with a few words. A filter that says "perhaps" is settled
//! by searching the part of its group in which the identity would lie; only a true find reads the group into a map, for then
//! more of it follow.
//! Limits: the newest [`GROUPS_MAX`] groups; an older fact sent again is counted as new here, and refused by the ledger.

use std::collections::{BTreeSet, HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::capture::{Appended, Fact};

/// Identities that share a filter.
const GROUP_IDS: usize = 32_768;
/// Bits of a filter.
const FILTER_BITS: u64 = GROUP_IDS as u64 * 16;
/// Groups kept: some eight million identities, seventeen megabytes.
const GROUPS_MAX: usize = 256;
const PROBES: u64 = 11;
/// Facts whose first probes are fetched together, and how many of each: most are told apart by then.
const TOGETHER: usize = 32;
const FETCHED: usize = 4;
/// Stretches into which the sorted identities of a closed group are cut, by their highest bits.
const PARTS: i64 = 64;

#[derive(Debug, Clone, Copy)]
struct Group {
    last_run: i64,
    /// Its bit in the filters.
    slot: usize,
}

/// The filters of closed groups.
#[derive(Debug, Default)]
struct Filters {
    /// For 64 slots each: one word for each bit of a filter.
    slices: Vec<Vec<u64>>,
    taken: Vec<bool>,
}

impl Filters {
    /// Adds a filter; gives its slot.
    fn add(&mut self, filter: &[u8]) -> usize {
        let slot = self.taken.iter().position(|taken| !taken).unwrap_or(self.taken.len());
        if slot == self.taken.len() {
            self.taken.push(false);
        }
        if slot / 64 == self.slices.len() {
            self.slices.push(vec![0; FILTER_BITS as usize]);
        }
        self.taken[slot] = true;
        let (words, bit) = (&mut self.slices[slot / 64], 1_u64 << (slot % 64));
        for (eight, byte) in words.chunks_exact_mut(8).zip(filter) {
            let mut left = *byte;
            while left != 0 {
                eight[left.trailing_zeros() as usize] |= bit;
                left &= left - 1;
            }
        }
        slot
    }

    fn remove(&mut self, slot: usize) {
        self.taken[slot] = false;
        let keep = !(1_u64 << (slot % 64));
        self.slices[slot / 64].iter_mut().for_each(|word| *word &= keep);
    }

    /// Reads the first words that these facts ask for. Nothing waits for another here, so that the processor fetches from memory what
    /// [`Filters::ask`] would wait for one by one.
    fn fetch(&self, facts: &[Fact]) {
        let mut all = 0;
        for words in &self.slices {
            let bits = facts.iter().flat_map(|fact| probes(key(fact).0).take(FETCHED));
            all = bits.fold(all, |all, bit| all ^ words[bit]);
        }
        std::hint::black_box(all);
    }

    /// Slots whose filters may hold the identity.
    fn ask(&self, id: u64, mut each: impl FnMut(usize)) {
        for (at, words) in self.slices.iter().enumerate() {
            let mut mask = u64::MAX;
            for bit in probes(id) {
                mask &= words[bit];
                if mask == 0 {
                    break;
                }
            }
            while mask != 0 {
                each(at * 64 + mask.trailing_zeros() as usize);
                mask &= mask - 1;
            }
        }
    }
}

/// The index. Owned by the queue's writer.
#[derive(Debug)]
pub(super) struct Known {
    groups: Vec<Group>,
    filters: Filters,
    open: Vec<u8>,
    open_ids: usize,
    next_run: i64,
    /// Runs of the group that was read last: re-exports come in the order in which they were captured.
    cached: Option<(usize, HashMap<u64, u64>)>,
}

fn key(fact: &Fact) -> (u64, u64) {
    let (_, id) = fact.id.as_u64_pair();
    (id, u64::from_be_bytes(fact.content))
}

fn probes(id: u64) -> impl Iterator<Item = usize> {
    // Ids are hashes already: two halves make as many probes as are wanted (Kirsch and Mitzenmacher, 2006).
    let (a, b) = (id, (id >> 32) | 1);
    (0..PROBES).map(move |n| (a.wrapping_add(n.wrapping_mul(b)) % FILTER_BITS) as usize)
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
        let (mut groups, mut filters) = (Vec::new(), Filters::default());
        let mut stored = db.prepare("SELECT last_run, filter FROM known_group ORDER BY last_run DESC LIMIT ?1")?;
        let mut rows = stored.query([GROUPS_MAX as i64])?;
        while let Some(row) = rows.next()? {
            let filter = row.get_ref(1)?.as_blob()?;
            // A filter of another size is of another version: its runs go into the open group, where they were not read yet.
            if filter.len() as u64 == FILTER_BITS / 8 {
                groups.push(Group { last_run: row.get(0)?, slot: filters.add(filter) });
            }
        }
        groups.reverse();
        let closed = groups.last().map_or(0, |g| g.last_run);
        let next_run = closed + 1;
        let mut known = Self { groups, filters, open: empty_filter(), open_ids: 0, next_run, cached: None };
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
        probes(id).for_each(|bit| self.open[bit / 8] |= 1 << (bit % 8));
        self.open_ids += 1;
    }

    /// Says of each fact whether it was captured before.
    ///
    /// # Errors
    /// SQLite's own.
    pub(super) fn judge(&mut self, db: &Connection, facts: &[Fact]) -> rusqlite::Result<Appended> {
        let mut appended = Appended::default();
        for facts in facts.chunks(TOGETHER) {
            self.filters.fetch(facts);
            for fact in facts {
                let (id, content) = key(fact);
                match self.find(db, id)? {
                    None => appended.accepted += 1,
                    Some(known) if known == content => appended.duplicate += 1,
                    Some(_) => appended.revised += 1,
                }
            }
        }
        Ok(appended)
    }

    fn find(&mut self, db: &Connection, id: u64) -> rusqlite::Result<Option<u64>> {
        let mut hits: Vec<usize> = Vec::new();
        self.filters.ask(id, |slot| hits.extend(self.groups.iter().position(|group| group.slot == slot)));
        hits.sort_unstable();
        if probes(id).all(|bit| self.open[bit / 8] & (1 << (bit % 8)) != 0) {
            hits.push(self.groups.len());
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

    /// Whether the group holds the identity: its place is searched for, as parts and runs are sorted.
    fn holds(&self, db: &Connection, group: usize, id: u64) -> rusqlite::Result<bool> {
        let (after, through) = self.range(group);
        let wanted = id.to_be_bytes();
        if group < self.groups.len() {
            let mut part = db.prepare_cached("SELECT ids FROM known_part WHERE id = ?1")?;
            let mut rows = part.query([through * PARTS + part_of(id)])?;
            // Groups of the first schema have no parts.
            if let Some(row) = rows.next()? {
                return Ok(search(row.get_ref(0)?.as_blob()?, &wanted));
            }
        }
        let mut runs = db.prepare_cached("SELECT ids FROM known_run WHERE id > ?1 AND id <= ?2 ORDER BY id")?;
        let mut rows = runs.query([after, through])?;
        while let Some(row) = rows.next()? {
            if search(row.get_ref(0)?.as_blob()?, &wanted) {
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
        let ids: Option<Vec<u8>> =
            db.query_row("SELECT ids FROM known_run WHERE id = ?1", [run], |row| row.get(0)).optional()?;
        if let (Some(ids), Some(group)) = (ids, self.groups.iter().find(|group| group.last_run >= run)) {
            let gone: HashSet<(u64, u64)> = entries(&ids).collect();
            let parts: BTreeSet<i64> = gone.iter().map(|(id, _)| group.last_run * PARTS + part_of(*id)).collect();
            for part in parts {
                let ids: Option<Vec<u8>> =
                    db.query_row("SELECT ids FROM known_part WHERE id = ?1", [part], |row| row.get(0)).optional()?;
                let Some(ids) = ids else { continue };
                let left: Vec<(u64, u64)> = entries(&ids).filter(|entry| !gone.contains(entry)).collect();
                db.execute("UPDATE known_part SET ids = ?2 WHERE id = ?1", params![part, pack(&left)])?;
            }
        }
        db.execute("DELETE FROM known_run WHERE id = ?1", [run]).map(drop)
    }

    /// Adds a batch's facts; part of the transaction that stores the batch.
    ///
    /// # Errors
    /// SQLite's own.
    pub(super) fn add(&mut self, db: &Connection, facts: &[Fact], now_ms: i64) -> rusqlite::Result<()> {
        let mut keys: Vec<(u64, u64)> = facts.iter().map(key).collect();
        keys.sort_unstable();
        keys.iter().for_each(|(id, _)| self.note(*id));
        let ids = pack(&keys);
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
        self.write_parts(db, last_run)?;
        let filter = std::mem::replace(&mut self.open, empty_filter());
        self.open_ids = 0;
        db.execute(
            "INSERT INTO known_group (last_run, made_ms, filter) VALUES (?1, ?2, ?3)",
            params![last_run, now_ms, filter],
        )?;
        self.groups.push(Group { last_run, slot: self.filters.add(&filter) });
        if self.groups.len() > GROUPS_MAX {
            self.forget_oldest(db)?;
        }
        self.cached = None;
        Ok(())
    }

    /// Puts the runs of the open group together, so that one short read settles what its filter leaves open.
    fn write_parts(&self, db: &Connection, last_run: i64) -> rusqlite::Result<()> {
        let (after, _) = self.range(self.groups.len());
        let mut all: Vec<(u64, u64)> = Vec::with_capacity(GROUP_IDS + GROUP_IDS / 8);
        let mut runs = db.prepare_cached("SELECT ids FROM known_run WHERE id > ?1 ORDER BY id")?;
        let mut rows = runs.query([after])?;
        while let Some(row) = rows.next()? {
            all.extend(entries(row.get_ref(0)?.as_blob()?));
        }
        // The stable sort finds the runs that are sorted already.
        all.sort();
        let mut rest = all.as_slice();
        let mut add = db.prepare_cached("INSERT INTO known_part (id, ids) VALUES (?1, ?2)")?;
        for part in 0..PARTS {
            let (this, next) = rest.split_at(rest.partition_point(|(id, _)| part_of(*id) == part));
            add.execute(params![last_run * PARTS + part, pack(this)])?;
            rest = next;
        }
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
        self.filters.remove(gone.slot);
        db.execute("DELETE FROM known_part WHERE id < ?1", [(gone.last_run + 1) * PARTS])?;
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

fn pack(keys: &[(u64, u64)]) -> Vec<u8> {
    let mut ids = Vec::with_capacity(keys.len() * 16);
    for (id, content) in keys {
        ids.extend_from_slice(&id.to_be_bytes());
        ids.extend_from_slice(&content.to_be_bytes());
    }
    ids
}

/// Highest bits of the identity: parts follow one another as their identities do.
fn part_of(id: u64) -> i64 {
    (id >> 58).cast_signed()
}

fn search(ids: &[u8], wanted: &[u8; 8]) -> bool {
    let (entries, _) = ids.as_chunks::<16>();
    entries.binary_search_by(|entry| entry[..8].cmp(wanted)).is_ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE known_run (id INTEGER PRIMARY KEY, ids BLOB NOT NULL) STRICT;
             CREATE TABLE known_group (last_run INTEGER PRIMARY KEY, made_ms INTEGER NOT NULL, filter BLOB NOT NULL) STRICT;
             CREATE TABLE known_part (id INTEGER PRIMARY KEY, ids BLOB NOT NULL) STRICT;",
        )
        .unwrap();
        db
    }

    fn fact(n: u64) -> Fact {
        // Spread as hashes are.
        let id = Uuid::from_u64_pair(n, n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Fact { id, content: [7; 8], payload: [0; 32] }
    }

    fn facts(range: std::ops::Range<u64>) -> Vec<Fact> {
        range.map(fact).collect()
    }

    /// Two closed groups and some of a third.
    const IDS: u64 = 2 * GROUP_IDS as u64 + 1_000;

    fn filled(db: &Connection) -> Known {
        let mut known = Known::open(db).unwrap();
        for from in (0..IDS).step_by(500) {
            known.add(db, &facts(from..(from + 500).min(IDS)), 0).unwrap();
        }
        known
    }

    #[test]
    fn every_fact_of_every_group_is_known_and_no_other_also_after_a_restart() {
        let db = database();
        let mut known = filled(&db);

        for mut known in [std::mem::replace(&mut known, Known::open(&db).unwrap()), known] {
            assert_eq!(known.groups.len(), 2);
            let all = known.judge(&db, &facts(0..IDS)).unwrap();
            assert_eq!(all, Appended { duplicate: IDS, ..Appended::default() });
            let others = known.judge(&db, &facts(IDS..IDS + 50_000)).unwrap();
            assert_eq!(others, Appended { accepted: 50_000, ..Appended::default() });
        }
    }

    #[test]
    fn a_forgotten_run_of_a_closed_group_is_new_again_and_its_neighbours_are_not() {
        let db = database();
        let mut known = filled(&db);

        known.forget_run(&db, 3).unwrap();

        assert_eq!(known.judge(&db, &facts(1_000..1_500)).unwrap().accepted, 500);
        assert_eq!(known.judge(&db, &facts(500..1_000)).unwrap().duplicate, 500);
    }

    #[test]
    fn the_oldest_group_goes_whole_and_its_place_serves_the_next() {
        let db = database();
        let mut known = filled(&db);
        let closed = known.groups[0].last_run as u64 * 500;

        known.forget_oldest(&db).unwrap();
        let judged = known.judge(&db, &facts(0..IDS)).unwrap();
        let parts: i64 = db.query_row("SELECT count(*) FROM known_part", [], |row| row.get(0)).unwrap();
        known.add(&db, &facts(IDS..IDS + GROUP_IDS as u64), 0).unwrap();

        assert_eq!((judged.accepted, judged.duplicate), (closed, IDS - closed));
        assert_eq!(parts, PARTS);
        assert_eq!(known.groups.iter().map(|group| group.slot).collect::<Vec<_>>(), [1, 0]);
    }

    #[test]
    fn a_group_of_the_first_schema_is_searched_by_its_runs() {
        let db = database();
        let mut known = filled(&db);
        db.execute("DELETE FROM known_part", []).unwrap();

        assert_eq!(known.judge(&db, &facts(0..5)).unwrap().duplicate, 5);
    }
}

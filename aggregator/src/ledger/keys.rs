//! Which events the ledger holds: the id of each, the content in force and its place, for ever.
//!
//! Ids are hashes, so that a tree of them costs a page for every key once it has outgrown the cache. Keys are *young* first: in
//! memory, and on disk in the order in which they came, one sorted row of `key_run` for each transaction. When [`FOLD_AT`] are young, or the
//! writer has nothing else to do, they are folded into the tree `event_key` in the order of ids, a few with each transaction;
//! what a page of the tree takes is then written once. A young key tells over an old one.
//!
//! A fold that a crash cuts short is begun again: its runs are taken away in the transaction of its last step. Format of
//! `key_run.entries`: 32 bytes for each key, id, content (i64), place (i64), big endian, sorted by id, each id once.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Loc,
    error::{LedgerError, sql},
};

/// Id of an event.
pub(super) type Id = [u8; 16];
/// Content in force, and its place.
pub(super) type Version = (i64, Loc);

/// Young keys at which a fold begins under load.
const FOLD_AT: usize = 600_000;
/// Young keys that make a fold worth while when nothing else is to be done.
pub(super) const FOLD_IDLE_AT: usize = 4_096;
/// Keys of one step.
const STEP: usize = 4_096;
const ENTRY_BYTES: usize = 32;

/// Takes the first bytes of an id as they are: it is a hash already.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        if let Some(head) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*head);
        }
    }
    // The length of an array, which comes before its bytes, tells nothing.
    fn write_usize(&mut self, _: usize) {}
}

type Hash = BuildHasherDefault<IdHasher>;

/// Young keys on their way into the tree.
struct Fold {
    ids: Vec<Id>,
    done: usize,
    /// Runs through this one hold no other keys.
    through: i64,
    /// Put in force since the fold began: they stay young.
    changed: HashSet<Id, Hash>,
}

/// The keys, as the ledger's writer sees them. What a transaction changed here is on disk after [`Keys::write`] and its commit; after a
/// rollback [`Keys::open`] reads them anew.
#[derive(Default)]
pub(super) struct Keys {
    young: HashMap<Id, Version, Hash>,
    staged: Vec<(Id, Version)>,
    last_run: i64,
    has_old: bool,
    fold: Option<Fold>,
    fold_at: usize,
}

impl Keys {
    /// Reads the young keys.
    pub(super) fn open(conn: &Connection) -> Result<Self, LedgerError> {
        let doing = "read the keys of events";
        let mut keys = Self { fold_at: FOLD_AT, ..Self::default() };
        keys.has_old =
            conn.prepare("SELECT 1 FROM event_key LIMIT 1").and_then(|mut s| s.exists([])).map_err(sql(doing))?;
        let mut runs = conn.prepare("SELECT run_no, entries FROM key_run ORDER BY run_no").map_err(sql(doing))?;
        let mut rows = runs.query([]).map_err(sql(doing))?;
        while let Some(row) = rows.next().map_err(sql(doing))? {
            keys.last_run = row.get(0).map_err(sql(doing))?;
            let entries = row.get_ref(1).and_then(|r| Ok(r.as_blob()?)).map_err(sql(doing))?;
            keys.young.extend(unpack(entries, keys.last_run)?);
        }
        Ok(keys)
    }

    /// Begins folds earlier, so that tests need few keys.
    #[cfg(test)]
    pub(super) fn fold_at(&mut self, keys: usize) {
        self.fold_at = keys;
    }

    /// The version in force.
    pub(super) fn get(&self, conn: &Connection, id: &Id) -> Result<Option<Version>, LedgerError> {
        match self.young.get(id) {
            Some(version) => Ok(Some(*version)),
            None if self.has_old => old(conn, id),
            None => Ok(None),
        }
    }

    /// Takes a key where the id is not held yet; says whether it was not.
    pub(super) fn insert(&mut self, conn: &Connection, id: Id, version: Version) -> Result<bool, LedgerError> {
        if self.young.contains_key(&id) || (self.has_old && old(conn, &id)?.is_some()) {
            return Ok(false);
        }
        self.young.insert(id, version);
        self.staged.push((id, version));
        Ok(true)
    }

    /// Puts a version in force.
    pub(super) fn replace(&mut self, id: Id, version: Version) {
        self.young.insert(id, version);
        self.staged.push((id, version));
        if let Some(fold) = &mut self.fold {
            fold.changed.insert(id);
        }
    }

    /// Writes what the open transaction took.
    pub(super) fn write(&mut self, conn: &Connection) -> Result<(), LedgerError> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let taken = self.staged.len();
        // Stable: of one id the last is the one in force.
        self.staged.sort_by_key(|(id, _)| *id);
        let doing = "write the keys of events";
        self.last_run += 1;
        let mut insert = conn.prepare_cached("INSERT INTO key_run VALUES (?1, ?2)").map_err(sql(doing))?;
        insert.execute(params![self.last_run, pack(&self.staged)]).map_err(sql(doing))?;
        self.staged.clear();
        if self.fold.is_some() || self.young.len() >= self.fold_at {
            // Faster than keys come, or they would never all be old.
            self.fold(conn, taken * 2 + STEP)?;
        }
        Ok(())
    }

    /// Whether a fold should go on, or begin, when there is nothing else to do.
    pub(super) fn wants_fold(&self) -> bool {
        self.fold.is_some() || self.young.len() >= FOLD_IDLE_AT
    }

    /// Folds some more keys inside the open transaction.
    pub(super) fn fold_some(&mut self, conn: &Connection) -> Result<(), LedgerError> {
        self.fold(conn, STEP)
    }

    fn fold(&mut self, conn: &Connection, most: usize) -> Result<(), LedgerError> {
        let doing = "fold the keys of events";
        let mut fold = self.fold.take().unwrap_or_else(|| {
            let mut ids: Vec<Id> = self.young.keys().copied().collect();
            ids.sort_unstable();
            Fold { ids, done: 0, through: self.last_run, changed: HashSet::default() }
        });
        let mut put = conn
            .prepare_cached(
                "INSERT INTO event_key VALUES (?1, ?2, ?3) \
                 ON CONFLICT DO UPDATE SET content = excluded.content, loc = excluded.loc",
            )
            .map_err(sql(doing))?;
        let next = fold.ids.iter().skip(fold.done).take(most);
        for id in next {
            if let Some((content, loc)) = self.young.get(id) {
                put.execute(params![id, content, loc.0]).map_err(sql(doing))?;
            }
        }
        self.has_old = true;
        fold.done = fold.ids.len().min(fold.done + most);
        if fold.done < fold.ids.len() {
            self.fold = Some(fold);
            return Ok(());
        }
        let mut take = conn.prepare_cached("DELETE FROM key_run WHERE run_no <= ?1").map_err(sql(doing))?;
        take.execute([fold.through]).map_err(sql(doing))?;
        for id in fold.ids.iter().filter(|id| !fold.changed.contains(*id)) {
            self.young.remove(id);
        }
        Ok(())
    }
}

/// Place of the version in force, for a connection that only reads.
pub(super) fn look_up(conn: &Connection, id: &Id) -> Result<Option<(i64, Loc)>, LedgerError> {
    let doing = "look up an event";
    let mut runs = conn.prepare_cached("SELECT entries FROM key_run ORDER BY run_no DESC").map_err(sql(doing))?;
    let mut rows = runs.query([]).map_err(sql(doing))?;
    while let Some(row) = rows.next().map_err(sql(doing))? {
        let (entries, _) =
            row.get_ref(0).and_then(|r| Ok(r.as_blob()?)).map_err(sql(doing))?.as_chunks::<ENTRY_BYTES>();
        if let Ok(at) = entries.binary_search_by(|entry| entry[..16].cmp(id)) {
            return Ok(Some(entry(&entries[at]).1));
        }
    }
    drop(rows);
    old(conn, id)
}

fn old(conn: &Connection, id: &Id) -> Result<Option<Version>, LedgerError> {
    let doing = "look up an event";
    let mut find = conn.prepare_cached("SELECT content, loc FROM event_key WHERE id = ?1").map_err(sql(doing))?;
    find.query_row([id], |r| Ok((r.get(0)?, Loc(r.get(1)?)))).optional().map_err(sql(doing))
}

/// The sorted entries, of each id the last.
fn pack(entries: &[(Id, Version)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for (at, (id, (content, loc))) in entries.iter().enumerate() {
        if entries.get(at + 1).is_some_and(|(next, _)| next == id) {
            continue;
        }
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(&content.to_be_bytes());
        bytes.extend_from_slice(&loc.0.to_be_bytes());
    }
    bytes
}

fn unpack(bytes: &[u8], run_no: i64) -> Result<impl Iterator<Item = (Id, Version)> + '_, LedgerError> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    if rest.is_empty() {
        Ok(entries.iter().map(entry))
    } else {
        Err(LedgerError::Damaged { what: "run of keys", at: run_no })
    }
}

fn entry(bytes: &[u8; ENTRY_BYTES]) -> (Id, Version) {
    let (mut id, mut content, mut loc) = ([0; 16], [0; 8], [0; 8]);
    id.copy_from_slice(&bytes[..16]);
    content.copy_from_slice(&bytes[16..24]);
    loc.copy_from_slice(&bytes[24..]);
    (id, (i64::from_be_bytes(content), Loc(i64::from_be_bytes(loc))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn database() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            "CREATE TABLE event_key (id BLOB PRIMARY KEY, content INTEGER NOT NULL, loc INTEGER NOT NULL) WITHOUT ROWID;
             CREATE TABLE key_run (run_no INTEGER PRIMARY KEY, entries BLOB NOT NULL);",
        )
        .unwrap();
        conn
    }

    fn id(n: u8) -> Id {
        // Spread as hashes are, so that folds cut the order anywhere.
        [n.wrapping_mul(151); 16]
    }

    #[derive(Debug, Clone)]
    enum Act {
        Insert(u8, i64),
        Replace(u8, i64),
        Write,
        Fold(usize),
        Reopen,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (any::<u8>(), any::<i64>()).prop_map(|(n, v)| Act::Insert(n, v)),
            2 => (any::<u8>(), any::<i64>()).prop_map(|(n, v)| Act::Replace(n, v)),
            2 => Just(Act::Write),
            2 => (1..40_usize).prop_map(Act::Fold),
            1 => Just(Act::Reopen),
        ]
    }

    proptest! {
        /// Whatever is folded when, and wherever a crash falls, the keys are those of a plain map.
        #[test]
        fn keys_are_a_map_whatever_is_folded(acts in prop::collection::vec(act(), 0..200)) {
            let conn = database();
            let mut keys = Keys::open(&conn).unwrap();
            keys.fold_at(50);
            let (mut model, mut durable) = (BTreeMap::new(), BTreeMap::new());
            for act in acts {
                match act {
                    Act::Insert(n, v) => {
                        let is_new = keys.insert(&conn, id(n), (v, Loc(v))).unwrap();
                        prop_assert_eq!(is_new, !model.contains_key(&id(n)));
                        model.entry(id(n)).or_insert(v);
                    }
                    Act::Replace(n, v) => {
                        keys.replace(id(n), (v, Loc(v)));
                        model.insert(id(n), v);
                    }
                    Act::Write => {
                        keys.write(&conn).unwrap();
                        durable = model.clone();
                    }
                    // The writer folds between transactions: nothing is staged then.
                    Act::Fold(most) => {
                        keys.write(&conn).unwrap();
                        durable = model.clone();
                        keys.fold(&conn, most).unwrap();
                    }
                    Act::Reopen => {
                        keys = Keys::open(&conn).unwrap();
                        keys.fold_at(50);
                        model = durable.clone();
                    }
                }
                for n in 0..=u8::MAX {
                    let held = keys.get(&conn, &id(n)).unwrap().map(|(content, _)| content);
                    prop_assert_eq!(held, model.get(&id(n)).copied());
                    let seen = look_up(&conn, &id(n)).unwrap().map(|loc| loc.0);
                    prop_assert_eq!(seen, durable.get(&id(n)).copied());
                }
            }
        }
    }

    #[test]
    fn a_run_that_is_cut_is_called_damaged() {
        let conn = database();
        conn.execute("INSERT INTO key_run VALUES (1, x'0102')", []).unwrap();

        assert!(matches!(Keys::open(&conn), Err(LedgerError::Damaged { what: "run of keys", at: 1 })));
    }
}

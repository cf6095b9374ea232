//! Storing batches: which events are new, what they do to balances, by which texts they are found.

use std::collections::BTreeMap;

use docksync_proto::{codec::Decoded, event::Action, stock};
use rusqlite::{OptionalExtension as _, params};

use super::{
    Append, Committed, Loc, RefusalState, Standing,
    change::{OpKind, content_of},
    effect::{StockKey, effect},
    error::{LedgerError, sql},
    sqlite::{SqliteStore, Tail},
    terms::{each_term, term_hash},
};
use crate::admit::{TEST_INTERCHANGE, Verdict};

/// An event of the group on its way to the key index.
struct Key {
    id: [u8; 16],
    append: u32,
    index: u16,
}

/// What the group does beside its rows.
#[derive(Default)]
struct Group<'a> {
    base: i64,
    standings: Vec<Vec<u8>>,
    fresh: BTreeMap<(i64, &'a str, &'a str, &'a str), i64>,
    balances: BTreeMap<(i64, StockKey), i64>,
    refusals: Vec<(Loc, i64, &'static str, String, Option<Loc>)>,
}

impl SqliteStore {
    /// Stores batches inside the open transaction.
    pub(super) fn append(&mut self, appends: &[Append]) -> Result<Vec<Committed>, LedgerError> {
        let base = self.next_batch;
        let mut group = Group { base, ..Group::default() };
        let mut site_nos = Vec::with_capacity(appends.len());
        for append in appends {
            check(append)?;
            let site_no = self.site_no(&append.site)?;
            self.follow(append, site_no)?;
            site_nos.push(site_no);
            group.standings.push(vec![Standing::Test as u8; append.events.len()]);
        }
        self.decide_standings(appends, &site_nos, &mut group)?;
        let committed = self.write_batches(appends, &site_nos, &group)?;
        self.write_terms(appends, base)?;
        self.write_refusals(&group)?;
        self.add_balances(group.sums())?;
        self.next_batch += i64::try_from(appends.len()).unwrap_or(i64::MAX);
        Ok(committed)
    }

    /// A batch must continue the chain that is stored; a gap is the receiver's decision, an overlap never is.
    fn follow(&mut self, append: &Append, site_no: i64) -> Result<(), LedgerError> {
        let head = &append.head;
        let tail = self.tails.get(&(site_no, head.epoch));
        // What came before may have failed in an earlier transaction while this was on its way: a mark over that gap would
        // release what no ledger holds.
        if let Some(marked) = self.linked(site_no, head.epoch)? {
            let last = tail.map_or(0, |t| t.last).max(marked);
            if head.first > last + 1 {
                let (site, epoch, first) = (append.site.clone(), head.epoch, head.first);
                return Err(LedgerError::Discontinuous { site, epoch, first, last });
            }
        }
        if let Some(tail) = tail {
            let forks = head.first == tail.last + 1 && head.chain_before != tail.chain;
            if head.first <= tail.last || forks {
                return Err(LedgerError::Discontinuous {
                    site: append.site.clone(),
                    epoch: head.epoch,
                    first: head.first,
                    last: tail.last,
                });
            }
        }
        self.tails.insert((site_no, head.epoch), Tail { last: head.last(), chain: head.chain_after });
        Ok(())
    }

    /// Last event marked in this epoch, where the link with the site is stored.
    fn linked(&self, site_no: i64, epoch: u32) -> Result<Option<u64>, LedgerError> {
        use rusqlite::OptionalExtension as _;
        self.db
            .conn
            .prepare_cached("SELECT marked FROM link WHERE site_no = ?1 AND epoch = ?2")
            .and_then(|mut s| s.query_row(rusqlite::params![site_no, epoch], |row| row.get::<_, i64>(0)).optional())
            .map(|marked| marked.map(i64::cast_unsigned))
            .map_err(super::error::sql("read a link"))
    }

    fn decide_standings<'a>(
        &mut self,
        appends: &'a [Append],
        site_nos: &[i64],
        group: &mut Group<'a>,
    ) -> Result<(), LedgerError> {
        let mut keys = Vec::with_capacity(appends.iter().map(|a| a.events.len()).sum());
        for (at, append) in appends.iter().enumerate() {
            for (index, (decoded, verdict)) in append.events.iter().zip(&append.verdicts).enumerate() {
                if let Some(known) = takes_no_key(append, decoded, verdict) {
                    group.settle(at, index, known);
                    group.refuse(Loc::new(group.base + at as i64, index), site_nos[at], verdict, None);
                    continue;
                }
                keys.push(Key { id: *decoded.id.as_bytes(), append: at as u32, index: index as u16 });
            }
        }
        // In the order of ids, so that neighbouring pages of the index are touched once; then in the order of arrival.
        keys.sort_unstable_by(|a, b| (&a.id, a.append, a.index).cmp(&(&b.id, b.append, b.index)));
        let is_first = self.insert_keys(appends, group.base, &keys)?;
        for (key, is_first) in keys.iter().zip(is_first) {
            self.decide_one(appends, site_nos, group, key, is_first)?;
        }
        Ok(())
    }

    /// Stores the keys that are not held yet; says of each whether it was the first.
    fn insert_keys(&mut self, appends: &[Append], base: i64, keys: &[Key]) -> Result<Vec<bool>, LedgerError> {
        let mut first = Vec::with_capacity(keys.len());
        for key in keys {
            let (at, index) = (key.append as usize, usize::from(key.index));
            let loc = Loc::new(base + i64::from(key.append), index);
            let content = content_of(&appends[at].events[index]);
            first.push(self.keys.insert(&self.db.conn, key.id, (content, loc))?);
        }
        Ok(first)
    }

    fn decide_one<'a>(
        &mut self,
        appends: &'a [Append],
        site_nos: &[i64],
        group: &mut Group<'a>,
        key: &Key,
        is_first: bool,
    ) -> Result<(), LedgerError> {
        let (at, index) = (key.append as usize, usize::from(key.index));
        let decoded = &appends[at].events[index];
        let verdict = &appends[at].verdicts[index];
        let loc = Loc::new(group.base + i64::from(key.append), index);
        let standing = match verdict {
            Verdict::Admitted if is_first => {
                group.move_stock(site_nos[at], decoded);
                Standing::New
            }
            Verdict::Parked { .. } if is_first => {
                group.refuse(loc, site_nos[at], verdict, None);
                Standing::Parked
            }
            Verdict::Admitted | Verdict::Parked { .. } => {
                self.meet(appends, site_nos[at], group, (decoded, verdict, content_of(decoded), loc))?
            }
        };
        group.settle(at, index, standing);
        Ok(())
    }

    /// The id is held already: decides between duplicate, correction and revision.
    fn meet<'a>(
        &mut self,
        appends: &'a [Append],
        site_no: i64,
        group: &mut Group<'a>,
        (decoded, verdict, content, loc): (&'a Decoded, &Verdict, i64, Loc),
    ) -> Result<Standing, LedgerError> {
        let id = decoded.id.as_bytes();
        let prior = self.in_force(id)?.ok_or(LedgerError::Damaged { what: "key of an event", at: loc.0 })?;
        if prior.0 == content || self.is_known_version(id, content)? {
            return Ok(Standing::Duplicate);
        }
        if let Verdict::Parked { .. } = verdict {
            self.remember_version(id, (content, loc))?;
            group.refuse(loc, site_no, verdict, None);
            return Ok(Standing::Parked);
        }
        if self.had_no_effect(group, prior.1)? {
            self.supersede(group, prior.1)?;
            self.remember_version(id, prior)?;
            self.keys.replace(*id, (content, loc));
            group.move_stock(site_no, decoded);
            return Ok(Standing::New);
        }
        if decoded.event.action == Action::Add {
            self.remember_version(id, (content, loc))?;
            let reason = format!("another version of the event at {} that does not say it corrects it", prior.1);
            let revised = Verdict::Parked { code: "REVISED_DOCUMENT", reason };
            group.refuse(loc, site_no, &revised, Some(prior.1));
            return Ok(Standing::Revised);
        }
        let (earlier, standing) = self.earlier(appends, group, prior.1)?;
        for (key, micros) in effect(&decoded.event, Some((&earlier.event, standing))) {
            *group.balances.entry((site_no, key)).or_default() += micros;
        }
        self.replace(id, prior, (content, loc))?;
        Ok(Standing::Correction)
    }

    fn is_known_version(&self, id: &[u8; 16], content: i64) -> Result<bool, LedgerError> {
        let mut find = self
            .db
            .conn
            .prepare_cached("SELECT 1 FROM version WHERE id = ?1 AND content = ?2")
            .map_err(sql("look up a version"))?;
        find.exists(params![id, content]).map_err(sql("look up a version"))
    }

    /// Whether the version in force was refused and never took effect.
    fn had_no_effect(&self, group: &Group<'_>, prior: Loc) -> Result<bool, LedgerError> {
        if prior.batch_no() >= group.base {
            return Ok(group.refusals.iter().any(|r| r.0 == prior));
        }
        let mut find =
            self.db.conn.prepare_cached("SELECT state FROM refusal WHERE loc = ?1").map_err(sql("read a refusal"))?;
        let state: Option<i64> = find.query_row([prior.0], |r| r.get(0)).optional().map_err(sql("read a refusal"))?;
        Ok(state.is_some_and(|s| s != RefusalState::Readmitted as i64))
    }

    fn supersede(&mut self, group: &mut Group<'_>, prior: Loc) -> Result<(), LedgerError> {
        if prior.batch_no() >= group.base {
            // Not yet written: it is written as open and closed right behind, so that consumers hear of it alike.
            let at = group.refusals.iter().position(|r| r.0 == prior);
            if let Some((loc, site_no, code, reason, other)) = at.map(|at| group.refusals.remove(at)) {
                self.write_refusal(loc, site_no, code, &reason, other)?;
            }
        }
        self.close_refusal(prior, RefusalState::Superseded, OpKind::Skip, "a good version came", "docksync")
    }

    /// The earlier version of an event, from this group or from disk.
    fn earlier(&self, appends: &[Append], group: &Group<'_>, loc: Loc) -> Result<(Decoded, Standing), LedgerError> {
        let Ok(at) = usize::try_from(loc.batch_no() - group.base) else {
            return Ok((self.stored_event(loc)?, self.standing(loc)?));
        };
        let standing = Standing::from_byte(group.standings[at][loc.index()]);
        let standing = standing.ok_or(LedgerError::Damaged { what: "standing of an event", at: loc.0 })?;
        Ok((appends[at].events[loc.index()].clone(), standing))
    }

    fn write_batches(
        &mut self,
        appends: &[Append],
        site_nos: &[i64],
        group: &Group<'_>,
    ) -> Result<Vec<Committed>, LedgerError> {
        let mut all = Vec::with_capacity(appends.len());
        for ((append, site_no), (at, standings)) in appends.iter().zip(site_nos).zip(group.standings.iter().enumerate())
        {
            let committed = tally(group.base + at as i64, standings);
            let head = &append.head;
            self.run(
                "store a batch",
                "INSERT INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    committed.batch_no,
                    site_no,
                    head.epoch,
                    head.first.cast_signed(),
                    head.count,
                    self.now_ms,
                    head.chain_before.0,
                    head.chain_after.0,
                    standings,
                    append.columns
                ],
            )?;
            self.run(
                "count a batch",
                "UPDATE site SET events = events + ?2, fresh = fresh + ?3, duplicate = duplicate + ?4, \
                 corrected = corrected + ?5, revised = revised + ?6, parked = parked + ?7, test = test + ?8, \
                 last_received_ms = ?9 WHERE site_no = ?1",
                params![
                    site_no,
                    head.count,
                    committed.new,
                    committed.duplicate,
                    committed.corrected,
                    committed.revised,
                    committed.parked,
                    committed.test,
                    self.now_ms
                ],
            )?;
            all.push(committed);
        }
        Ok(all)
    }

    fn write_terms(&mut self, appends: &[Append], base: i64) -> Result<(), LedgerError> {
        let mut rows = Vec::new();
        for (at, append) in appends.iter().enumerate() {
            // Neighbours mostly carry the same file, order and item.
            let (mut recent, mut oldest) = ([""; 8], 0);
            let batch_no = base + at as i64;
            let mut of_batch = Vec::new();
            for decoded in &append.events {
                each_term(&decoded.event, |term| {
                    if !recent.contains(&term) {
                        of_batch.push((term_hash(term), batch_no));
                        recent[oldest] = term;
                        oldest = (oldest + 1) % recent.len();
                    }
                });
            }
            of_batch.sort_unstable();
            of_batch.dedup();
            rows.append(&mut of_batch);
        }
        // Each batch is sorted already: the stable sort merges them.
        rows.sort();
        self.add_run(&rows)
    }

    fn write_refusals(&self, group: &Group<'_>) -> Result<(), LedgerError> {
        group.refusals.iter().try_for_each(|(loc, site_no, code, reason, other)| {
            self.write_refusal(*loc, *site_no, code, reason, *other)
        })
    }

    fn write_refusal(
        &self,
        loc: Loc,
        site_no: i64,
        code: &str,
        reason: &str,
        other: Option<Loc>,
    ) -> Result<(), LedgerError> {
        self.run(
            "store a refusal",
            "INSERT INTO refusal VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6)",
            params![loc.0, site_no, code, reason, other.map(|o| o.0), self.now_ms],
        )
    }

    /// Adds to balances, one upsert per key.
    pub(super) fn add_balances(
        &self,
        sums: impl IntoIterator<Item = ((i64, StockKey), i64)>,
    ) -> Result<(), LedgerError> {
        let doing = "add to a balance";
        let mut add = self
            .db
            .conn
            .prepare_cached(
                "INSERT INTO balance VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT DO UPDATE SET micros = micros + excluded.micros",
            )
            .map_err(sql(doing))?;
        for ((site_no, (sku, lot, status)), micros) in sums {
            add.execute(params![site_no, sku, lot, status, micros]).map_err(sql(doing))?;
        }
        Ok(())
    }
}

impl<'a> Group<'a> {
    fn settle(&mut self, at: usize, index: usize, standing: Standing) {
        self.standings[at][index] = standing as u8;
    }

    fn move_stock(&mut self, site_no: i64, decoded: &'a Decoded) {
        stock::movements(&decoded.event, |m| {
            let sum = self.fresh.entry((site_no, m.sku, m.lot, m.status)).or_default();
            *sum = sum.saturating_add(m.micros);
        });
    }

    /// All changes of balances, corrections included.
    fn sums(self) -> BTreeMap<(i64, StockKey), i64> {
        let mut sums = self.balances;
        for ((site_no, sku, lot, status), micros) in self.fresh {
            *sums.entry((site_no, (sku.to_owned(), lot.to_owned(), status.to_owned()))).or_default() += micros;
        }
        sums
    }

    fn refuse(&mut self, loc: Loc, site_no: i64, verdict: &Verdict, other: Option<Loc>) {
        if let Verdict::Parked { code, reason } = verdict
            && *code != TEST_INTERCHANGE
        {
            self.refusals.push((loc, site_no, code, reason.clone(), other));
        }
    }
}

/// Test events, and events under the name of another site, must not occupy the id of the real one.
fn takes_no_key(append: &Append, decoded: &Decoded, verdict: &Verdict) -> Option<Standing> {
    match verdict {
        Verdict::Parked { code, .. } if *code == TEST_INTERCHANGE => Some(Standing::Test),
        Verdict::Parked { .. } if decoded.event.site_id != append.site => Some(Standing::Parked),
        Verdict::Parked { .. } | Verdict::Admitted => None,
    }
}

fn check(append: &Append) -> Result<(), LedgerError> {
    let wrong = [append.events.len(), append.verdicts.len()].into_iter().find(|n| *n != append.head.count as usize);
    match wrong {
        None => Ok(()),
        Some(found) => Err(LedgerError::Miscounted {
            site: append.site.clone(),
            first: append.head.first,
            count: append.head.count,
            found,
        }),
    }
}

fn tally(batch_no: i64, standings: &[u8]) -> Committed {
    let mut all = Committed { batch_no, ..Committed::default() };
    for standing in standings.iter().filter_map(|b| Standing::from_byte(*b)) {
        *match standing {
            Standing::New => &mut all.new,
            Standing::Duplicate => &mut all.duplicate,
            Standing::Correction => &mut all.corrected,
            Standing::Revised => &mut all.revised,
            Standing::Parked => &mut all.parked,
            Standing::Test => &mut all.test,
        } += 1;
    }
    all
}

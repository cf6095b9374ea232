//! Compares a side of a site with the book, at the points that a run has kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use docksync_proto::event::EventType;
use rusqlite::{Row, params};

use super::{
    Balances, ReconcileError, Settings,
    compare::{Compared, Expected, Key, add, compare},
    error::sql,
    inputs::{Class, Input},
    join::{Groups, join},
    report::SideReport,
    store::ReconStore,
};

/// Batches before a statement in which an event may stand that happened after it.
const EARLY_BATCHES: i64 = 2_000;

/// What a side's comparison gives: sums, and the balances that are not exact, each with its item.
pub(super) struct Outcome {
    pub(super) report: SideReport,
    pub(super) lines: Vec<(String, Compared)>,
    /// Items of which something has no place there.
    pub(super) without_place: BTreeSet<String>,
    /// Whether only what was named was compared.
    pub(super) is_partial: bool,
}

/// A balance of the book at a point.
struct Account {
    no: i64,
    lot: String,
    uom: String,
    status: String,
    micros: i64,
    is_opened: bool,
}

/// Reads accounts as they stood at `at`.
struct AtPoint<'s> {
    store: &'s ReconStore,
    at: i64,
    is_stated: bool,
    /// Whether what was there in the beginning is left out.
    is_from_nothing: bool,
    error: Option<ReconcileError>,
}

const ACCOUNTS: &str = "SELECT sku, account_no, lot, uom, status, micros, last_at, opening, opened_at FROM account \
     WHERE site = ?1 ORDER BY sku, lot, uom, status";

impl AtPoint<'_> {
    fn read(&mut self, r: &Row<'_>) -> Result<(String, Account), rusqlite::Error> {
        let no: i64 = r.get(1)?;
        let (mut micros, last_at): (i64, i64) = (r.get(5)?, r.get(6)?);
        if last_at > self.at {
            match moved_after(self.store, no, self.at) {
                Ok(later) => micros -= later,
                Err(error) => self.error = Some(error),
            }
        }
        let opened_at: Option<i64> = r.get(8)?;
        // An opening that was told later is what was there all the same.
        let is_opened = !self.is_from_nothing && opened_at.is_some_and(|opened| opened <= self.at || self.is_stated);
        if is_opened {
            micros += r.get::<_, Option<i64>>(7)?.unwrap_or(0);
        }
        let account = Account {
            no,
            lot: r.get(2)?,
            uom: r.get(3)?,
            status: r.get(4)?,
            micros,
            is_opened: is_opened || self.is_stated,
        };
        Ok((r.get(0)?, account))
    }
}

fn moved_after(store: &ReconStore, account_no: i64, at: i64) -> Result<i64, ReconcileError> {
    let found = store.one(
        "read later movements",
        "SELECT coalesce(sum(micros), 0) FROM movement WHERE account_no = ?1 AND at > ?2",
        [account_no, at],
        |r| r.get(0),
    )?;
    Ok(found.unwrap_or(0))
}

fn stated_key(site: &str) -> String {
    format!("stated {site}")
}

/// Place of the ledger since which every balance of a site is known; 0 before its first whole statement.
pub(super) fn stated_at(store: &ReconStore, site: &str) -> Result<i64, ReconcileError> {
    store.meta(&stated_key(site))
}

/// Takes a whole statement as what was there in the beginning, where nobody has told yet; gives how many balances it told.
fn open_by_statement(store: &ReconStore, input: &Input, is_partial: bool) -> Result<u64, ReconcileError> {
    let (Some(statement), site, at) = (input.statement_no, input.site.as_str(), input.at) else { return Ok(0) };
    if stated_at(store, site)? > 0 {
        return Ok(0);
    }
    let scope = if is_partial {
        "EXISTS (SELECT 1 FROM told t WHERE t.statement_no = ?1 AND t.sku = account.sku AND t.lot = account.lot \
         AND t.uom = account.uom AND t.status = account.status)"
    } else {
        "?1 = ?1"
    };
    store.together(|| {
        store.run_sql(
            "open accounts",
            "INSERT OR IGNORE INTO account (site, sku, lot, uom, status) SELECT DISTINCT ?2, sku, lot, uom, status FROM told WHERE statement_no = ?1",
            params![statement, site],
        )?;
        let opened = store.run_sql(
            "open accounts",
            &format!(
                "UPDATE account SET opened_at = ?3, opened_by = 'wms', opening = \
                 coalesce((SELECT sum(t.micros) FROM told t WHERE t.statement_no = ?1 AND t.sku = account.sku AND t.lot = account.lot \
                 AND t.uom = account.uom AND t.status = account.status), 0) - (micros - \
                 CASE WHEN last_at > ?3 THEN coalesce((SELECT sum(m.micros) FROM movement m WHERE m.account_no = account.account_no AND m.at > ?3), 0) \
                 ELSE 0 END) WHERE site = ?2 AND opened_at IS NULL AND {scope}"
            ),
            params![statement, site, at],
        )?;
        if !is_partial {
            store.set_meta(&stated_key(site), at)?;
        }
        Ok(opened as u64)
    })
}

/// The first whole statement that names everything.
fn first_full(store: &ReconStore, site: &str) -> Result<Option<Input>, ReconcileError> {
    store.one(
        "read the first statement",
        "SELECT statement_no, first_at FROM statement WHERE site = ?1 AND is_whole = 1 AND is_partial = 0 ORDER BY first_at LIMIT 1",
        [site],
        |r| Ok(Input { side: super::WMS.to_owned(), site: site.to_owned(), at: r.get(1)?, statement_no: Some(r.get(0)?) }),
    )
}

/// Compares a statement of a warehouse system.
pub(super) fn statement(store: &ReconStore, settings: &Settings, input: &Input) -> Result<Outcome, ReconcileError> {
    let (statement, site) = (input.statement_no.unwrap_or_default(), input.site.as_str());
    let facts = store.one(
        "read a statement",
        "SELECT report, as_of_ms, is_exact, is_partial, file FROM statement WHERE statement_no = ?1",
        [statement],
        |r| {
            Ok((
                r.get::<_, String>(0)?,
                r.get::<_, i64>(1)?,
                r.get::<_, bool>(2)?,
                r.get::<_, bool>(3)?,
                r.get::<_, String>(4)?,
            ))
        },
    )?;
    let (report_no, as_of_ms, is_exact, is_partial, file) = facts.unwrap_or_default();
    let opened = match first_full(store, site)? {
        Some(first) if stated_at(store, site)? == 0 => open_by_statement(store, &first, false)?,
        _ => open_by_statement(store, input, is_partial)?,
    };
    let waiting = sums(
        store,
        "SELECT w.account_no, w.micros FROM waiting w JOIN account a USING (account_no) WHERE a.site = ?1 AND w.at <= ?2 AND (w.decided_at IS NULL OR w.decided_at > ?2)",
        params![site, input.at],
    )?;
    let maybe = around(store, (site, input.at, as_of_ms), is_exact)?;
    let mut report = SideReport {
        side: input.side.clone(),
        site: input.site.clone(),
        what: format!(
            "statement {report_no} of {} ({file}{})",
            super::report::moment(as_of_ms),
            if is_partial { "; only what it names" } else { "" }
        ),
        at: input.at,
        opened,
        ..SideReport::default()
    };
    let mut point =
        AtPoint { store, at: input.at, is_stated: stated_at(store, site)? > 0, is_from_nothing: false, error: None };
    let mut lines = Vec::new();
    let mut ours = store.conn.prepare_cached(ACCOUNTS).map_err(sql("read the book"))?;
    let mut theirs = store
        .conn
        .prepare_cached(
            "SELECT sku, lot, uom, status, sum(micros) FROM told WHERE statement_no = ?1 GROUP BY sku, lot, uom, status \
             ORDER BY sku, lot, uom, status",
        )
        .map_err(sql("read a statement"))?;
    let left = Groups::new(ours.query([site]).map_err(sql("read the book"))?, |r| point.read(r))?;
    let right = Groups::new(theirs.query([statement]).map_err(sql("read a statement"))?, |r| {
        Ok((r.get(0)?, (r.get::<_, String>(1)?, r.get::<_, String>(2)?, r.get::<_, String>(3)?, r.get::<_, i64>(4)?)))
    })?;
    join(left, right, &BTreeMap::new(), |item, accounts, told| {
        // Nearly every item is one balance that is equal: that is seen without putting anything together.
        if let ([a], [(lot, uom, status, micros)]) = (accounts.as_slice(), told.as_slice())
            && (&a.lot, &a.uom, &a.status, a.micros) == (lot, uom, status, *micros)
            && !waiting.contains_key(&a.no)
            && settings.bucket(status).is_some()
        {
            report.compared += 1;
            report.exact += 1;
            return Ok(());
        }
        let mut expected: BTreeMap<Key, Expected> = BTreeMap::new();
        for a in accounts {
            let Some(bucket) = settings.bucket(&a.status) else { continue };
            let (uom, ledger) = settings.pieces(&a.uom, a.micros);
            let scale = |micros: i64| settings.pieces(&a.uom, micros).1;
            let e = Expected {
                ledger,
                parked: waiting.get(&a.no).copied().map_or(0, scale),
                maybe: maybe.get(&a.no).map_or_else(Vec::new, |all| all.iter().map(|m| scale(*m)).collect()),
                is_opened: a.is_opened,
                accounts: vec![a.no],
                ..Expected::default()
            };
            let key = (a.lot, bucket.to_owned(), uom.to_owned());
            put(&mut expected, key, e);
        }
        let mut other: BTreeMap<Key, i64> = BTreeMap::new();
        for (lot, uom, status, micros) in told {
            let Some(bucket) = settings.bucket(&status) else { continue };
            let (uom, micros) = settings.pieces(&uom, micros);
            *other.entry((lot, bucket.to_owned(), uom.to_owned())).or_default() += micros;
        }
        tally(&mut report, &mut lines, item, compare(expected, other, !is_partial));
        Ok(())
    })?;
    point.error.map_or(Ok(()), Err)?;
    Ok(Outcome { report, lines, without_place: BTreeSet::new(), is_partial })
}

fn put(all: &mut BTreeMap<Key, Expected>, key: Key, e: Expected) {
    let sum = all.entry(key).or_insert_with(|| Expected { is_opened: true, ..Expected::default() });
    add(sum, e);
}

/// Movements that a statement may know and the ledger not at that point, or the other way about: those whose time says so.
fn around(
    store: &ReconStore,
    (site, at, as_of_ms): (&str, i64, i64),
    is_exact: bool,
) -> Result<HashMap<i64, Vec<i64>>, ReconcileError> {
    let mut all: HashMap<i64, Vec<i64>> = HashMap::new();
    let late = rows(
        store,
        "SELECT m.account_no, m.micros FROM movement m JOIN account a USING (account_no) WHERE a.site = ?1 AND m.loc > ?2 \
         AND m.at > ?2 AND m.happened_ms <= ?3",
        params![site, at, as_of_ms],
    )?;
    for (account, micros) in late {
        all.entry(account).or_default().push(micros);
    }
    if is_exact {
        let early = rows(
            store,
            "SELECT m.account_no, m.micros FROM movement m JOIN account a USING (account_no) WHERE a.site = ?1 AND m.loc > ?2 \
             AND m.at <= ?3 AND m.happened_ms > ?4 AND m.is_exact = 1",
            params![site, at - (EARLY_BATCHES << 12), at, as_of_ms],
        )?;
        for (account, micros) in early {
            all.entry(account).or_default().push(-micros);
        }
    }
    Ok(all)
}

/// Movements one by one: a part of them may explain a difference.
fn rows(store: &ReconStore, text: &str, values: impl rusqlite::Params) -> Result<Vec<(i64, i64)>, ReconcileError> {
    store.all("read movements", text, values, |r| Ok((r.get(0)?, r.get(1)?)))
}

fn sums(store: &ReconStore, text: &str, values: impl rusqlite::Params) -> Result<HashMap<i64, i64>, ReconcileError> {
    let mut all = HashMap::new();
    for (account, micros) in
        store.all("sum movements", text, values, |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?)))?
    {
        *all.entry(account).or_default() += micros;
    }
    Ok(all)
}

#[derive(Default)]
struct Unsettled {
    on_way: i64,
    parked: i64,
    unmapped: i64,
    unknown: Vec<i64>,
}

/// Compares a destination's balances.
pub(super) fn destination(
    store: &ReconStore,
    balances: &dyn Balances,
    run_no: i64,
    input: &Input,
    read_ms: i64,
) -> Result<Outcome, ReconcileError> {
    let site = input.site.as_str();
    let unsettled = unsettled(store, run_no, input)?;
    let not_told = not_told(store, balances, input)?;
    let renamed = balances.renamed();
    let is_from_nothing = balances.is_from_nothing();
    let is_stated = is_from_nothing || stated_at(store, site)? > 0;
    let mut report = SideReport {
        side: input.side.clone(),
        site: input.site.clone(),
        what: format!("its stock of {}", super::report::moment(read_ms)),
        at: input.at,
        ..SideReport::default()
    };
    let (mut lines, mut openings, mut without_place) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut point = AtPoint { store, at: input.at, is_stated, is_from_nothing, error: None };
    let mut ours = store.conn.prepare_cached(ACCOUNTS).map_err(sql("read the book"))?;
    let mut theirs = store
        .conn
        .prepare_cached(
            "SELECT item, lot, place, micros FROM other_balance WHERE run_no = ?1 AND side = ?2 AND site = ?3 ORDER BY item, lot, place",
        )
        .map_err(sql("read balances"))?;
    let left = Groups::new(ours.query([site]).map_err(sql("read the book"))?, |r| {
        let (sku, account) = point.read(r)?;
        Ok((sku.clone(), (sku, account)))
    })?;
    let right = Groups::new(theirs.query(params![run_no, input.side, site]).map_err(sql("read balances"))?, |r| {
        Ok((r.get(0)?, (r.get::<_, String>(1)?, r.get::<_, String>(2)?, r.get::<_, i64>(3)?)))
    })?;
    let none = Unsettled::default();
    join(left, right, &renamed, |item, accounts, told| {
        // Nearly every item is one balance that is equal: that is seen without putting anything together.
        if let ([(sku, a)], [(lot, place, micros)]) = (accounts.as_slice(), told.as_slice())
            && (is_stated || a.is_opened)
            && a.lot == *lot
            && !unsettled.contains_key(&a.no)
            && !not_told.contains_key(&a.no)
            && let Some(placed) = balances.place(site, (sku, &a.status, &a.uom), a.micros)
            && placed.place == *place
            && placed.micros == *micros
        {
            report.compared += 1;
            report.exact += 1;
            return Ok(());
        }
        let mut expected: BTreeMap<Key, Expected> = BTreeMap::new();
        for (sku, a) in accounts {
            let key = (sku.as_str(), a.status.as_str(), a.uom.as_str());
            let Some(placed) = balances.place(site, key, a.micros) else {
                if a.micros != 0 {
                    report.without_place += 1;
                    without_place.insert(item.to_owned());
                }
                continue;
            };
            let scale = |micros: i64| balances.place(site, key, micros).map_or(0, |p| p.micros);
            let u = unsettled.get(&a.no).unwrap_or(&none);
            let e = Expected {
                ledger: placed.micros,
                on_way: scale(-u.on_way),
                parked: scale(-u.parked),
                unmapped: scale(-u.unmapped),
                not_told: not_told.get(&a.no).map_or(0, |m| scale(-m)),
                unknown: u.unknown.iter().map(|m| scale(-m)).collect(),
                maybe: Vec::new(),
                is_opened: a.is_opened,
                accounts: vec![a.no],
            };
            put(&mut expected, (a.lot, placed.place, String::new()), e);
        }
        let mut other: BTreeMap<Key, i64> = BTreeMap::new();
        for (lot, place, micros) in told {
            *other.entry((lot, place, String::new())).or_default() += micros;
        }
        let mut all = compare(expected, other, true);
        for c in all.iter_mut().filter(|c| !is_stated && (c.is_opening || c.accounts.is_empty())) {
            // No warehouse system has told what was there in the beginning: then the destination's word counts.
            report.opened += 1;
            openings.push((item.to_owned(), c.clone()));
            c.ledger = c.ledger.saturating_add(c.unexplained);
            c.unexplained = 0;
        }
        tally(&mut report, &mut lines, item, all);
        Ok(())
    })?;
    point.error.map_or(Ok(()), Err)?;
    drop((ours, theirs));
    open_by_destination(store, input, &openings, &renamed)?;
    if !is_stated {
        // From now on an item that appears has come, and was not there before.
        store.set_meta(&stated_key(site), input.at)?;
    }
    Ok(Outcome { report, lines, without_place, is_partial: false })
}

fn tally(report: &mut SideReport, lines: &mut Vec<(String, Compared)>, item: &str, all: Vec<Compared>) {
    for c in all {
        report.compared += 1;
        match (c.is_exact(), c.unexplained) {
            (true, _) => report.exact += 1,
            (false, 0) => report.explained += 1,
            (false, _) => report.drift += 1,
        }
        if !c.is_exact() {
            lines.push((item.to_owned(), c));
        }
    }
}

fn unsettled(store: &ReconStore, run_no: i64, input: &Input) -> Result<HashMap<i64, Unsettled>, ReconcileError> {
    let rows = store.all(
        "read what is unsettled",
        "SELECT account_no, class, sum(micros) FROM unsettled WHERE run_no = ?1 AND side = ?2 AND site = ?3 AND class <> 2 GROUP BY 1, 2 \
         UNION ALL SELECT account_no, class, micros FROM unsettled WHERE run_no = ?1 AND side = ?2 AND site = ?3 AND class = 2",
        params![run_no, input.side, input.site],
        |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?, r.get::<_, i64>(2)?)),
    )?;
    let mut all: HashMap<i64, Unsettled> = HashMap::new();
    for (account, class, micros) in rows {
        let of = all.entry(account).or_default();
        match class {
            c if c == Class::Unknown as i64 => of.unknown.push(micros),
            c if c == Class::Parked as i64 => of.parked += micros,
            c if c == Class::Unmapped as i64 => of.unmapped += micros,
            _ => of.on_way += micros,
        }
    }
    Ok(all)
}

/// What a destination is never told, by account.
fn not_told(store: &ReconStore, balances: &dyn Balances, input: &Input) -> Result<HashMap<i64, i64>, ReconcileError> {
    let mut all = HashMap::new();
    for kind in crate::consumers::erp::mapping::STOCK_EVENTS.iter().filter(|kind| !balances.takes(**kind)) {
        let found = sums(
            store,
            "SELECT m.account_no, m.micros FROM movement m JOIN account a USING (account_no) WHERE a.site = ?1 AND m.at <= ?2 AND m.kind = ?3",
            params![input.site, input.at, EventType::code(*kind)],
        )?;
        found.into_iter().for_each(|(account, micros)| *all.entry(account).or_default() += micros);
    }
    Ok(all)
}

fn in_pieces(store: &ReconStore, accounts: &[i64]) -> Result<Option<i64>, ReconcileError> {
    for no in accounts {
        let found = store.one(
            "look for an account",
            "SELECT account_no FROM account WHERE account_no = ?1 AND uom = ''",
            [no],
            |r| r.get(0),
        )?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The book takes the destination's word for what was there in the beginning.
fn open_by_destination(
    store: &ReconStore,
    input: &Input,
    openings: &[(String, Compared)],
    renamed: &BTreeMap<String, String>,
) -> Result<(), ReconcileError> {
    for chunk in openings.chunks(10_000) {
        store.together(|| {
            for (item, c) in chunk {
                // A place there that no status of ours leads to cannot be an account of ours.
                if c.accounts.is_empty() && (!c.place.is_empty() || renamed.values().any(|to| to == item)) {
                    continue;
                }
                // In pieces, which is the destination's unit: an account of cases would take them for cases.
                let account = match in_pieces(store, &c.accounts)? {
                    Some(no) => no,
                    None => {
                        let sku = renamed.iter().find(|(_, to)| *to == item).map_or(item, |(sku, _)| sku);
                        let key = (sku.clone(), c.lot.clone(), c.place.clone(), String::new());
                        super::book::account(store, &input.site, &key, 0, 0)?
                    }
                };
                store.run_sql(
                    "open an account",
                    "UPDATE account SET opening = coalesce(opening, 0) + ?2, opened_at = ?3, opened_by = ?4 WHERE account_no = ?1",
                    params![account, c.unexplained, input.at, input.side],
                )?;
                for no in c.accounts.iter().filter(|no| **no != account) {
                    store.run_sql(
                        "open an account",
                        "UPDATE account SET opening = coalesce(opening, 0), opened_at = ?2, opened_by = ?3 WHERE account_no = ?1",
                        params![no, input.at, input.side],
                    )?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

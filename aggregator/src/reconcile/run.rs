//! A run: book, inputs, comparison, transfers, completeness, drifts, report. Blocks; each step may be repeated.

use std::{cmp::Reverse, collections::BTreeMap};

use docksync_proto::{event::EventType, site::SiteId};
use rusqlite::params;

use super::{
    Balances, CENTRE_STREAM, ReconcileError, Settings, TRANSFER, WMS, book,
    cause::{Cause, Facts, Moved, cause},
    compare::Compared,
    complete::{Hole, Told, complete},
    drift::{self, About},
    gate::Gate,
    inputs::{self, Input},
    prices::Prices,
    prune::prune,
    report::{DriftLine, Report, SCHEMA, SideReport, words},
    sides,
    store::{ReconStore, RunRow, RunState},
    trace,
    transfers::{self, Leg, Matched, Standing},
};
use crate::{
    ledger::{Loc, Reads, audit},
    logging::chain,
};

/// Movements of one balance that the rules look at: the newest.
const MOVED_MAX: i64 = 5_000;
/// Drifts that a report names; the rest is counted.
pub(super) const NAMED_MAX: usize = 5_000;
/// Sites for which a destination may fail to tell its balances before it is left alone: its deliveries rest at each try.
const MISSES_MAX: u32 = 3;

/// A destination that is compared.
pub struct Destination {
    /// Its name.
    pub name: String,
    /// Its balances.
    pub balances: Box<dyn Balances>,
    /// Its deliveries rest while they are read.
    pub gate: Gate,
}

/// Everything around a run.
pub struct Surroundings<'s> {
    /// How to compare.
    pub settings: &'s Settings,
    /// Destinations that are an ERP.
    pub destinations: &'s mut [Destination],
    /// What a site said of itself last; `None` where it was not heard.
    pub told: &'s dyn Fn(&SiteId) -> Option<Told>,
    /// The wall clock, milliseconds since 1970.
    pub now_ms: &'s dyn Fn() -> i64,
    /// Takes what is missing, so that its site sends it again; whether anybody asks.
    pub want: &'s mut dyn FnMut(&SiteId, &[Hole]) -> bool,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("settings", self.settings).finish_non_exhaustive()
    }
}

/// Makes a run and keeps its report. A failure of the run itself is kept with it.
///
/// # Errors
/// [`ReconcileError`], also kept as the run's end.
pub fn make<R: Reads>(
    store: &ReconStore,
    reads: &R,
    run: &RunRow,
    around: &mut Surroundings<'_>,
) -> Result<Report, ReconcileError> {
    match try_make(store, reads, run, around) {
        Ok(report) => {
            let text = serde_json::to_string(&report)
                .map_err(|_| ReconcileError::Damaged { what: "the report", run_no: run.run_no })?;
            store.end_run(run.run_no, RunState::Done, &text, (around.now_ms)())?;
            Ok(report)
        }
        Err(error) => {
            store.end_run(run.run_no, RunState::Failed, &chain(&error), (around.now_ms)())?;
            Err(error)
        }
    }
}

fn try_make<R: Reads>(
    store: &ReconStore,
    reads: &R,
    run: &RunRow,
    around: &mut Surroundings<'_>,
) -> Result<Report, ReconcileError> {
    let started_ms = run.started_ms.unwrap_or_else(|| (around.now_ms)());
    let progress = |step: &str| store.set_step(run.run_no, step, started_ms);
    progress("book")?;
    book::carry(store, reads, reads.last_batch()?, progress)?;
    let (inputs, mut sides) = match run.again {
        Some(again) => (kept_inputs(store, again)?, Vec::new()),
        None => gather(store, reads, run, around)?,
    };
    let mut report =
        Report { version: SCHEMA, run_no: run.run_no, asked_by: run.asked_by.clone(), started_ms, ..Report::default() };
    let from = run.again.unwrap_or(run.run_no);
    for (input, read_ms) in &inputs {
        progress(&format!("compare {} of {}", input.side, input.site))?;
        let outcome = if input.side == WMS {
            sides::statement(store, around.settings, input)?
        } else {
            let known = around.destinations.iter().find(|d| d.name == input.side);
            let Some(destination) = known else { continue };
            sides::destination(store, &*destination.balances, from, input, *read_ms)?
        };
        let factors = factors(around, &input.side);
        let judged =
            judge(store, reads, run, input, outcome.lines, (&factors, around.settings.wms_is_right), started_ms)?;
        report.drifts.extend(judged);
        if run.again.is_none() {
            // A partial statement says nothing of what it does not name: the next whole one closes.
            let (missed, is_partial) = (outcome.without_place, outcome.is_partial);
            let was_compared = |about: &About| !is_partial && !missed.contains(&about.item);
            let about = (input.side.as_str(), input.site.as_str());
            report.closed.extend(drift::close_exact(store, about, was_compared, (run.run_no, started_ms))?);
        }
        sides.push(outcome.report);
    }
    if run.again.is_none() {
        progress("transfers")?;
        let matched = transfers::matched(&legs(store, around.settings)?, started_ms, around.settings.lead_hours);
        report.drifts.extend(judge_transfers(store, reads, run, &matched, started_ms)?);
        for site in sites(reads, run)? {
            report.closed.extend(drift::close_exact(
                store,
                (TRANSFER, site.as_str()),
                |_| true,
                (run.run_no, started_ms),
            )?);
        }
        report.transfers_matched = matched.iter().filter(|m| m.standing == Standing::Matched).count() as u64;
        report.transfers = matched.into_iter().filter(|m| m.standing != Standing::Matched).collect();
        progress("completeness")?;
        // What sites say first, then what is held: what comes meanwhile is neither told nor counted.
        let wanted: Vec<_> = sites(reads, run)?.into_iter().map(|site| ((around.told)(&site), site)).collect();
        let links_before = reads.links()?;
        let until = reads.last_batch()?;
        book::carry(store, reads, until, |_| Ok(()))?;
        for (told, site) in wanted {
            let turn = if run.is_full { None } else { Some(next_turn(store, &site)?) };
            let link = links_before.iter().find(|link| link.site == site);
            let mut line = complete(store, reads, &site, (told.as_ref(), link), (turn, until))?;
            line.is_asked_again = (around.want)(&site, &line.holes);
            report.complete.push(line);
        }
        prune(store, run.run_no, around.settings, started_ms)?;
    }
    let prices = Prices::read(around.settings.prices.as_deref());
    for line in &mut report.drifts {
        line.value = prices.value(&line.item, line.balance.unexplained);
    }
    report.value = report.drifts.iter().filter_map(|line| line.value).reduce(|sum, value| sum + value);
    report
        .drifts
        .sort_by_key(|line| (Reverse(line.value), Reverse(line.balance.unexplained.saturating_abs()), line.drift_no));
    for line in &report.drifts {
        *report.causes.entry(line.cause.code.clone()).or_default() += 1;
    }
    let wrong_transfers = report.drifts.iter().filter(|line| line.side == TRANSFER).count() as u64;
    report.drift_lines = report.drifts.len() as u64;
    report.drifts.truncate(NAMED_MAX);
    for side in &sides {
        report.compared += side.compared;
        report.exact += side.exact;
        report.explained += side.explained;
        report.drift += side.drift;
    }
    report.drift += wrong_transfers;
    report.sides = sides;
    report.ended_ms = (around.now_ms)();
    Ok(report)
}

fn factors(around: &Surroundings<'_>, side: &str) -> Vec<u32> {
    let own = around.settings.units.values().copied();
    let theirs = around.destinations.iter().filter(|d| d.name == side).flat_map(|d| d.balances.factors());
    own.chain(theirs).collect()
}

fn sites<R: Reads>(reads: &R, run: &RunRow) -> Result<Vec<SiteId>, ReconcileError> {
    let wanted: Vec<&str> = run.sites.split(',').filter(|site| !site.is_empty()).collect();
    let all = reads.sites()?.into_iter().map(|facts| facts.site);
    Ok(all
        .filter(|site| site.as_str() != CENTRE_STREAM && (wanted.is_empty() || wanted.contains(&site.as_str())))
        .collect())
}

type Inputs = Vec<(Input, i64)>;

fn kept_inputs(store: &ReconStore, run_no: i64) -> Result<Inputs, ReconcileError> {
    store.run(run_no)?.ok_or(ReconcileError::NoRun { run_no })?;
    let all = store.all(
        "read the inputs of a run",
        "SELECT side, site, at, statement_no, read_ms FROM input WHERE run_no = ?1 ORDER BY side = 'wms' DESC, site, side",
        [run_no],
        |r| Ok((Input { side: r.get(0)?, site: r.get(1)?, at: r.get(2)?, statement_no: r.get(3)? }, r.get(4)?)),
    )?;
    if all.is_empty() { Err(ReconcileError::NoInputs { run_no }) } else { Ok(all) }
}

/// Takes what is to be compared; what an interrupted run has taken already is kept.
fn gather<R: Reads>(
    store: &ReconStore,
    reads: &R,
    run: &RunRow,
    around: &mut Surroundings<'_>,
) -> Result<(Inputs, Vec<SideReport>), ReconcileError> {
    let (mut failed, mut misses) = (Vec::new(), BTreeMap::<String, u32>::new());
    let have = inputs::inputs_of(store, run.run_no)?;
    let has = |side: &str, site: &SiteId| have.iter().any(|i| i.side == side && i.site == site.as_str());
    let not_compared = |side: &str, site: &SiteId, why: String| SideReport {
        side: side.to_owned(),
        site: site.to_string(),
        not_compared: why,
        ..SideReport::default()
    };
    for site in sites(reads, run)? {
        store.set_step(run.run_no, &format!("read {site}"), (around.now_ms)())?;
        if !has(WMS, &site) {
            match inputs::statement(store, site.as_str())? {
                Some(input) => inputs::keep_input(store, run.run_no, &input, (around.now_ms)())?,
                None => {
                    failed.push(not_compared(WMS, &site, "its warehouse system has stated no stock yet".to_owned()))
                }
            }
        }
        for destination in around.destinations.iter_mut() {
            if has(&destination.name, &site) {
                continue;
            }
            store.run_sql(
                "forget a broken reading",
                "DELETE FROM other_balance WHERE run_no = ?1 AND side = ?2 AND site = ?3",
                params![run.run_no, destination.name, site.as_str()],
            )?;
            if misses.get(&destination.name).is_some_and(|n| *n >= MISSES_MAX) {
                let why = format!("not asked: it did not answer for {MISSES_MAX} other sites");
                failed.push(not_compared(&destination.name, &site, why));
                continue;
            }
            let read =
                inputs::read_destination(store, reads, destination, (run.run_no, &site, (around.now_ms)()), |until| {
                    book::carry(store, reads, until, |_| Ok(())).map(drop)
                })?;
            if let Err(words) = read {
                *misses.entry(destination.name.clone()).or_insert(0) += 1;
                failed.push(not_compared(&destination.name, &site, words));
            }
        }
    }
    Ok((kept_inputs(store, run.run_no).or_else(none)?, failed))
}

fn none(error: ReconcileError) -> Result<Inputs, ReconcileError> {
    // A run may find nothing to compare; it proves completeness all the same.
    if matches!(error, ReconcileError::NoInputs { .. }) { Ok(Vec::new()) } else { Err(error) }
}

/// Since when both sides may differ: behind the last run in which they were compared before.
fn window(store: &ReconStore, input: &Input, before_run: i64) -> Result<Option<i64>, ReconcileError> {
    store.one(
        "look for the run before",
        "SELECT min(i.at, coalesce((SELECT min(u.loc) - 1 FROM unsettled u WHERE u.run_no = i.run_no AND u.side = i.side AND u.site = i.site), i.at)) \
         FROM input i JOIN run r USING (run_no) WHERE i.side = ?1 AND i.site = ?2 AND i.run_no < ?3 AND r.state = 3 \
         ORDER BY i.run_no DESC LIMIT 1",
        params![input.side, input.site, before_run],
        |r| r.get(0),
    )
}

/// Names causes, opens and notes drifts.
fn judge<R: Reads>(
    store: &ReconStore,
    reads: &R,
    run: &RunRow,
    input: &Input,
    lines: Vec<(String, Compared)>,
    (factors, wms_is_right): (&[u32], bool),
    now_ms: i64,
) -> Result<Vec<DriftLine>, ReconcileError> {
    let skipped = skipped(reads, &input.side)?;
    // A warehouse system agreed with itself when its first statement opened the book.
    let stated =
        Some(sides::stated_at(store, &input.site)?).filter(|at| input.side == WMS && (1..input.at).contains(at));
    let mut all = Vec::new();
    let mut by_item: BTreeMap<&str, Vec<&Compared>> = BTreeMap::new();
    for (item, c) in lines.iter().filter(|(_, c)| c.unexplained != 0) {
        by_item.entry(item).or_default().push(c);
    }
    store.together(|| {
        for (item, c) in &lines {
            keep_line(store, run.run_no, input, item, c)?;
            if c.unexplained == 0 {
                continue;
            }
            let about = About {
                side: input.side.clone(),
                site: input.site.clone(),
                item: item.clone(),
                lot: c.lot.clone(),
                place: c.place.clone(),
                uom: c.uom.clone(),
            };
            let open = drift::open_about(store, &about)?;
            let before = open.as_ref().map_or(run.again.unwrap_or(run.run_no), |drift| drift.first_run);
            let from = window(store, input, before)?.or(stated);
            let moved = moved(store, &c.accounts, from.unwrap_or(0), input.at)?;
            let siblings = by_item.get(item.as_str()).map_or(&[][..], Vec::as_slice);
            let places: Vec<(&str, i64)> = siblings
                .iter()
                .filter(|s| s.lot == c.lot && s.place != c.place)
                .map(|s| (s.place.as_str(), s.unexplained))
                .collect();
            let lots: Vec<(&str, i64)> = siblings
                .iter()
                .filter(|s| s.lot != c.lot && s.place == c.place)
                .map(|s| (s.lot.as_str(), s.unexplained))
                .collect();
            let found = cause(&Facts {
                unexplained: c.unexplained,
                expected: c.other.saturating_sub(c.unexplained),
                other: c.other,
                moved: &moved,
                skipped: &skipped,
                places: &places,
                lots: &lots,
                is_first: from.is_none(),
                factors,
            });
            all.push(line(store, reads, run, &about, c, found, wms_is_right, now_ms)?);
        }
        Ok(())
    })?;
    Ok(all)
}

#[expect(clippy::too_many_arguments, reason = "one place that puts a line of the report together")]
fn line<R: Reads>(
    store: &ReconStore,
    reads: &R,
    run: &RunRow,
    about: &About,
    c: &Compared,
    cause: Cause,
    wms_is_right: bool,
    now_ms: i64,
) -> Result<DriftLine, ReconcileError> {
    let known = match run.again {
        None => Some(drift::found(store, about, (c.unexplained, &cause.code), (run.run_no, now_ms))?),
        Some(_) => drift::open_about(store, about)?,
    };
    let (what, action) = words(&about.side, c, &cause, wms_is_right);
    let evidence = cause.events.iter().map(|loc| trace::describe(reads, Loc(*loc))).collect::<Result<_, _>>()?;
    Ok(DriftLine {
        drift_no: known.as_ref().map_or(0, |d| d.drift_no),
        side: about.side.clone(),
        site: about.site.clone(),
        item: about.item.clone(),
        balance: c.clone(),
        value: None,
        cause,
        evidence,
        words: what,
        action,
        state: known.as_ref().map_or("open", |d| d.state.as_str()).to_owned(),
        since_ms: known.as_ref().map_or(now_ms, |d| d.since_ms),
    })
}

fn keep_line(store: &ReconStore, run_no: i64, input: &Input, item: &str, c: &Compared) -> Result<(), ReconcileError> {
    let body = serde_json::to_string(c).map_err(|_| ReconcileError::Damaged { what: "a balance", run_no })?;
    store
        .run_sql(
            "keep a balance that differs",
            "INSERT OR REPLACE INTO line VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![run_no, input.side, input.site, item, c.lot, c.place, c.uom, body, c.unexplained],
        )
        .map(drop)
}

/// Movements of some accounts in a window, oldest first.
fn moved(store: &ReconStore, accounts: &[i64], from: i64, through: i64) -> Result<Vec<Moved>, ReconcileError> {
    let mut all = Vec::new();
    for account in accounts {
        all.extend(store.all(
            "read movements",
            "SELECT loc, micros, kind FROM movement WHERE account_no = ?1 AND at > ?2 AND at <= ?3 ORDER BY at DESC LIMIT ?4",
            params![account, from, through, MOVED_MAX],
            |r| Ok((Loc(r.get(0)?), r.get::<_, i64>(1)?, r.get::<_, u8>(2)?)),
        )?);
    }
    all.sort_unstable();
    let moved = |(loc, micros, kind)| EventType::from_code(kind).map(|kind| Moved { loc, micros, kind });
    Ok(all.into_iter().filter_map(moved).collect())
}

/// Events that people left out for a destination, by the audit trail.
fn skipped<R: Reads>(reads: &R, side: &str) -> Result<Vec<Loc>, ReconcileError> {
    let mut all = Vec::new();
    audit::each(reads, 0, |row| {
        let mut words = row.entry.subject.split(' ');
        if row.entry.act == "skip" && words.next() == Some(side) {
            all.extend(words.nth(1).and_then(|loc| loc.parse::<Loc>().ok()));
        }
    })?;
    Ok(all)
}

fn legs(store: &ReconStore, settings: &Settings) -> Result<Vec<Leg>, ReconcileError> {
    let mut all = store.all(
        "read transfers",
        "SELECT transfer, is_receipt, site, to_site, sku, lot, uom, micros, happened_ms, loc FROM transfer t WHERE is_receipt <> 2 \
         OR EXISTS (SELECT 1 FROM transfer s WHERE s.transfer = t.transfer AND s.is_receipt = 0) ORDER BY transfer, loc",
        [],
        |r| {
            let is_receipt: i64 = r.get(1)?;
            Ok(Leg {
                transfer: r.get(0)?,
                is_receipt: is_receipt > 0,
                is_named: is_receipt != 2,
                site: r.get(2)?,
                to_site: r.get(3)?,
                sku: r.get(4)?,
                lot: r.get(5)?,
                uom: r.get(6)?,
                micros: r.get(7)?,
                happened_ms: r.get(8)?,
                loc: r.get(9)?,
            })
        },
    )?;
    for leg in &mut all {
        let (uom, micros) = settings.pieces(&leg.uom, leg.micros);
        (leg.micros, leg.uom) = (micros, uom.to_owned());
    }
    Ok(all)
}

fn judge_transfers<R: Reads>(
    store: &ReconStore,
    reads: &R,
    run: &RunRow,
    matched: &[Matched],
    now_ms: i64,
) -> Result<Vec<DriftLine>, ReconcileError> {
    let wanted = sites(reads, run)?;
    let mut all = Vec::new();
    for m in matched.iter().filter(|m| m.standing.is_wrong()) {
        let site = if m.to_site.is_empty() { &m.from_site } else { &m.to_site };
        // Where it should arrive may be a name that is none of our sites: then the sender is asked.
        let is_ours = |name: &str| wanted.iter().any(|site| site.as_str() == name);
        let site = if is_ours(site) { site } else { &m.from_site };
        if !is_ours(site) {
            continue;
        }
        let about = About {
            side: TRANSFER.to_owned(),
            site: site.clone(),
            item: m.sku.clone(),
            lot: m.lot.clone(),
            place: m.transfer.clone(),
            uom: m.uom.clone(),
        };
        let missing = m.received.saturating_sub(m.shipped);
        // A person has closed it, and nothing has changed since.
        if drift::was_closed_by_person(store, &about, missing)? {
            continue;
        }
        let balance = Compared {
            lot: m.lot.clone(),
            place: m.transfer.clone(),
            uom: m.uom.clone(),
            ledger: m.shipped,
            other: m.received,
            unexplained: missing,
            ..Compared::default()
        };
        let code = match m.standing {
            Standing::Short => "transfer_short",
            Standing::Over => "transfer_over",
            Standing::Overdue => "transfer_overdue",
            Standing::Unshipped => "transfer_not_shipped",
            _ => "transfer_wrong_lot",
        };
        let cause = Cause { code: code.to_owned(), events: m.events.clone(), detail: m.standing.as_str().to_owned() };
        let mut line = line(store, reads, run, &about, &balance, cause, true, now_ms)?;
        (line.words, line.action) = transfer_words(m);
        all.push(line);
    }
    Ok(all)
}

fn transfer_words(m: &Matched) -> (String, String) {
    let (from, to) = (&m.from_site, if m.to_site.is_empty() { "another site" } else { &m.to_site });
    let (shipped, received) = (super::report::quantity(m.shipped), super::report::quantity(m.received));
    match m.standing {
        Standing::Overdue => (
            format!("transfer {}: {shipped} left {from} {} h ago and nothing arrived at {to}", m.transfer, m.age_hours),
            format!("{to}: is the delivery there and not received? Otherwise {from}: ask the carrier"),
        ),
        Standing::Unshipped => (
            format!("transfer {}: {received} arrived at {to} and no site has told that they left", m.transfer),
            "sending site: export the shipment".to_owned(),
        ),
        Standing::WrongLot => (
            format!(
                "transfer {}: the quantity is right, the lot is not: {shipped} left and {received} arrived of this lot",
                m.transfer
            ),
            format!("{to}: look at the labels, correct the lot"),
        ),
        Standing::Over => (
            format!("transfer {}: {shipped} left {from}, {received} arrived at {to}", m.transfer),
            format!("{from}: was more shipped than told? Otherwise {to}: count the receipt again"),
        ),
        _ => (
            format!("transfer {}: {shipped} left {from}, only {received} arrived at {to}", m.transfer),
            format!("{to}: count the receipt again; then claim what is lost"),
        ),
    }
}

/// Which part of a site's batches is read again: the next one at each run of this site.
fn next_turn(store: &ReconStore, site: &SiteId) -> Result<i64, ReconcileError> {
    let key = format!("turn {site}");
    let turn = store.meta(&key)? + 1;
    store.set_meta(&key, turn)?;
    Ok(turn)
}

//! The page of the books: the newest comparison, and how it went in the last ones. Pure, but for the reading.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use maud::{Markup, html};
use serde::Serialize;

use super::{
    page::{REFRESH_SECS, frame},
    sites::Overview,
};
use crate::reconcile::{
    ReconcileError, TRANSFER,
    report::{DriftLine, Report, moment, quantity, repair, side_name},
    store::{RECONCILE_FILE, ReconStore, RunState},
};

/// Runs of the trend.
const TREND_RUNS: usize = 30;
/// Drifts that the page shows; the rest is counted, and in the CSV.
const SHOWN: usize = 200;

/// One run of the trend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Night {
    /// Run.
    pub run_no: i64,
    /// When it began, milliseconds since 1970.
    pub at_ms: i64,
    /// Balances compared.
    pub compared: u64,
    /// Adrift.
    pub drift: u64,
    /// Adrift by cause.
    pub causes: BTreeMap<String, u64>,
    /// Adrift by site.
    pub sites: BTreeMap<String, u64>,
}

/// What the page shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Books {
    /// The newest run that is done.
    pub report: Option<Report>,
    /// The last runs, oldest first.
    pub trend: Vec<Night>,
    /// The run that is under way: number and step.
    pub running: Option<(i64, String)>,
    /// Why the newest run failed.
    pub failed: Option<(i64, String)>,
}

/// Reads the newest runs of a state folder; nothing where there was none.
///
/// # Errors
/// [`ReconcileError`].
pub(super) fn read(state_dir: &Path) -> Result<Books, ReconcileError> {
    if !state_dir.join(RECONCILE_FILE).exists() {
        return Ok(Books::default());
    }
    let store = ReconStore::open(state_dir)?;
    let mut books = Books::default();
    for (at, run) in store.runs(TREND_RUNS)?.into_iter().enumerate() {
        match run.state {
            RunState::Running | RunState::Asked => books.running = Some((run.run_no, run.step)),
            RunState::Failed if at == 0 => books.failed = Some((run.run_no, run.report)),
            RunState::Failed => {}
            RunState::Done => {
                let read: Result<Report, _> = serde_json::from_str(&run.report);
                let Ok(report) = read else { continue };
                if run.again.is_none() {
                    books.trend.push(night(&report));
                }
                books.report.get_or_insert(report);
            }
        }
    }
    books.trend.reverse();
    Ok(books)
}

fn night(report: &Report) -> Night {
    let mut sites: BTreeMap<String, u64> = BTreeMap::new();
    for line in &report.drifts {
        *sites.entry(line.site.clone()).or_default() += 1;
    }
    Night {
        run_no: report.run_no,
        at_ms: report.started_ms,
        compared: report.compared,
        drift: report.drift,
        causes: report.causes.clone(),
        sites,
    }
}

/// The page.
pub fn books_page(overview: &Overview, books: &Books) -> Markup {
    let body = html! {
        @if let Some((run, why)) = &books.failed {
            p .note .broken { "Run " (run) " failed: " (why) ". It is made again with: docksync-aggregator recon run" }
        }
        @if let Some((run, step)) = &books.running {
            p .note { "Run " (run) " is under way: " @if step.is_empty() { "waits for its turn" } @else { (step) } }
        }
        @match &books.report {
            None => section .panel {
                h1 { "Books: not compared yet" }
                p { "They are compared every night of each site, or now with: docksync-aggregator recon run" }
            },
            Some(report) => { (headline(report)) (drifts(report)) (sides(report)) (transfers(report)) (proof(report)) (trend(&books.trend)) }
        }
    };
    frame("Books", overview, &body, Some(REFRESH_SECS))
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.3} %", part as f64 * 100.0 / whole as f64) }
}

fn headline(r: &Report) -> Markup {
    let by_cause = r.causes.iter().map(|(cause, n)| format!("{} {n}", cause.replace('_', " "))).collect::<Vec<_>>();
    html! {
        section .panel {
            h1 { "Books: " @if r.drift == 0 { "no drift" } @else { (r.drift) " really adrift" } }
            p {
                (r.compared) " balances compared: " (r.exact) " exact (" (percent(r.exact, r.compared)) "), " (r.explained)
                " explained by what is on its way or parked, " strong { (r.drift) " adrift" }
            }
            @if let Some(value) = r.value { p { "Value of what is adrift: " (value) } }
            @if !by_cause.is_empty() { p { "By cause: " (by_cause.join(", ")) } }
            p .muted { a href="/books.csv" { "Drifts as CSV" } " " a href="/books.json" { "All as data" } }
            p .muted { "Run " (r.run_no) ", asked by " (r.asked_by) ", " (moment(r.started_ms)) " to " (moment(r.ended_ms)) }
        }
    }
}

fn drifts(r: &Report) -> Markup {
    html! {
        @if !r.drifts.is_empty() {
            div .scroll { table .sites .books {
                thead { tr {
                    @for name in ["No.", "Site", "Item", "Side"] { th scope="col" { (name) } }
                    @for name in ["Ledger", "There", "On the way", "Drift"] { th .num scope="col" { (name) } }
                    @for name in ["Probable cause", "State, since", "What happened, and what to do"] { th scope="col" { (name) } }
                } }
                tbody { @for line in r.drifts.iter().take(SHOWN) { (drift(line)) } }
            } }
            @let more = r.drift_lines.saturating_sub(r.drifts.len().min(SHOWN) as u64);
            @if more > 0 { p .muted { (more) " more; the first five thousand: docksync-aggregator recon show --csv" } }
        }
        @if !r.closed.is_empty() {
            p .muted { "Exact again and closed: " (r.closed.iter().map(|n| format!("#{n}")).collect::<Vec<_>>().join(", ")) }
        }
    }
}

fn drift(line: &DriftLine) -> Markup {
    let b = &line.balance;
    html! {
        tr .held {
            td { "#" (line.drift_no) }
            td { (line.site) }
            td { strong { (line.item) } @if !b.lot.is_empty() { " lot " (b.lot) } @if !b.place.is_empty() { " in " (b.place) } }
            td { @if line.side == TRANSFER { "transfer" } @else { (side_name(&line.side)) } }
            td .num data-label="Ledger" { (quantity(b.ledger)) }
            td .num data-label="There" { (quantity(b.other)) }
            td .num data-label="On the way" { (quantity(b.on_way.saturating_add(b.parked).saturating_add(b.unmapped))) }
            td .num data-label="Drift" { strong { @if b.unexplained > 0 { "+" } (quantity(b.unexplained)) } }
            td { (line.cause.code.replace('_', " ")) @if let Some(value) = line.value { br; span .muted { "value " (value) } } }
            td { (line.state) br; span .muted { (moment(line.since_ms)) } }
            td {
                (line.words)
                @for evidence in &line.evidence { br; span .muted { (evidence) } }
                br; strong { (line.action) }
                br; span .muted { "docksync-aggregator recon trace " (line.site) " " (line.item) }
            }
        }
    }
}

fn sides(r: &Report) -> Markup {
    html! {
        section .panel { h2 { "What was compared" }
            div .scroll { table {
                thead { tr {
                    th scope="col" { "Site" } th scope="col" { "Side" }
                    @for name in ["Compared", "Exact", "Explained", "Adrift"] { th .num scope="col" { (name) } }
                    th scope="col" { "What" }
                } }
                tbody { @for s in &r.sides { tr {
                    td { (s.site) } td { (side_name(&s.side)) }
                    @if s.not_compared.is_empty() {
                        td .num { (s.compared) } td .num { (s.exact) } td .num { (s.explained) } td .num { (s.drift) }
                        td { (s.what)
                            @if s.opened > 0 { ", " (s.opened) " told for the first time" }
                            @if s.without_place > 0 { ", " (s.without_place) " have no place there" } }
                    } @else { td colspan="5" { "not compared: " (s.not_compared) } }
                } } }
            } }
        }
    }
}

fn transfers(r: &Report) -> Markup {
    let on_way: Vec<_> = r.transfers.iter().filter(|m| !m.standing.is_wrong()).take(SHOWN).collect();
    html! {
        section .panel { h2 { "Transfers between sites" }
            p { (r.transfers_matched) " match, " (on_way.len()) " on their way" }
            ul .plain { @for m in on_way { li {
                (m.transfer) " " (m.sku) ": " (quantity(m.in_transit)) " of " (quantity(m.shipped)) " on the way from " (m.from_site) " to "
                @if m.to_site.is_empty() { "?" } @else { (m.to_site) } ", " (m.age_hours) " h"
            } } }
        }
    }
}

fn proof(r: &Report) -> Markup {
    html! {
        section .panel { h2 { "Completeness" }
            ul .plain { @for c in &r.complete { li {
                (c.site) ": " (c.have) " of " (c.told) " events, "
                @if c.is_proven() { "chain equal" } @else { strong .broken { "not complete" } }
                ", " (c.days_equal) " daily counts equal"
                @for hole in &c.holes { br; "epoch " (hole.epoch) " events " (hole.first) " to " (hole.last) ": " (hole.words) }
                @if !c.holes.is_empty() { br; (repair(c)) }
                @for d in &c.days { br; (d.day) " " (d.feed) " " (d.event_type) ": the site captured " (d.at_site) ", here are " (d.here) }
            } } }
        }
    }
}

fn trend(nights: &[Night]) -> Markup {
    let most = nights.iter().map(|n| n.drift).max().unwrap_or(0).max(1);
    html! {
        section .panel { h2 { "Is it getting better?" }
            div .scroll { table {
                thead { tr { th scope="col" { "Run" } th scope="col" { "When" } th .num scope="col" { "Compared" } th .num scope="col" { "Adrift" } th scope="col" { "" } th scope="col" { "By site" } th scope="col" { "By cause" } } }
                tbody { @for n in nights.iter().rev() { tr {
                    td { (n.run_no) } td { (moment(n.at_ms)) } td .num { (n.compared) } td .num { (n.drift) }
                    td .mono aria-hidden="true" { @for _ in 0..(n.drift * 20).div_ceil(most) { "#" } }
                    td { (n.sites.iter().map(|(site, k)| format!("{site} {k}")).collect::<Vec<_>>().join(", ")) }
                    td { (n.causes.iter().map(|(cause, k)| format!("{} {k}", cause.replace('_', " "))).collect::<Vec<_>>().join(", ")) }
                } } }
            } }
        }
    }
}

/// The moment at which the newest run began.
pub(super) fn last_run(books: &Books) -> Option<Timestamp> {
    books.report.as_ref().and_then(|r| Timestamp::from_millisecond(r.started_ms).ok())
}

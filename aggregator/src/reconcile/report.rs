//! What a run found, as data and in words. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{TRANSFER, WMS, cause::Cause, compare::Compared, complete::Complete, transfers::Matched};

/// Version of the report's JSON: fields are added, never renamed.
pub const SCHEMA: u32 = 1;

/// One side of one site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideReport {
    /// `wms` or a destination.
    pub side: String,
    /// Site.
    pub site: String,
    /// What was compared: the statement, or the moment at which balances were read.
    pub what: String,
    /// Place of the ledger at which it was compared.
    pub at: i64,
    /// Balances compared.
    pub compared: u64,
    /// Equal at once.
    pub exact: u64,
    /// Equal when what is on its way, parked or never told is taken into account.
    pub explained: u64,
    /// Not equal.
    pub drift: u64,
    /// Balances that were told for the first time, and so could not be compared.
    pub opened: u64,
    /// Balances of the ledger for which the side has no place.
    pub without_place: u64,
    /// Why it was not compared; empty where it was.
    pub not_compared: String,
}

/// A balance that differs and nothing explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftLine {
    /// Number of the drift, for commands.
    pub drift_no: i64,
    /// `wms`, a destination, or `transfer`.
    pub side: String,
    /// Site.
    pub site: String,
    /// Item.
    pub item: String,
    /// The balance on both sides.
    #[serde(flatten)]
    pub balance: Compared,
    /// Worth of the difference, without its sign; absent where the item has no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Decimal>,
    /// Probable cause.
    pub cause: Cause,
    /// The events that it points to, in words: file, line, what.
    pub evidence: Vec<String>,
    /// What happened, in a sentence.
    pub words: String,
    /// Who should do what.
    pub action: String,
    /// State of the drift.
    pub state: String,
    /// Since when it is known, milliseconds since 1970.
    pub since_ms: i64,
}

/// What a run found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this form.
    pub version: u32,
    /// Number of the run.
    pub run_no: i64,
    /// By whom it was asked.
    pub asked_by: String,
    /// Begin and end, milliseconds since 1970.
    pub started_ms: i64,
    /// End.
    pub ended_ms: i64,
    /// Sums of all sides.
    pub compared: u64,
    /// Equal.
    pub exact: u64,
    /// Explained.
    pub explained: u64,
    /// Really adrift.
    pub drift: u64,
    /// Worth of all drifts that have a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Decimal>,
    /// Drifts by cause.
    pub causes: BTreeMap<String, u64>,
    /// Each side of each site.
    pub sides: Vec<SideReport>,
    /// What is adrift, the dearest and largest first; at most five thousand.
    pub drifts: Vec<DriftLine>,
    /// How many there are in all.
    #[serde(default)]
    pub drift_lines: u64,
    /// Drifts that are closed by this run.
    pub closed: Vec<i64>,
    /// Transfers that are not all right, and those on their way.
    pub transfers: Vec<Matched>,
    /// Transfers that match.
    pub transfers_matched: u64,
    /// Completeness of each site.
    pub complete: Vec<Complete>,
}

/// A quantity as people write it.
pub fn quantity(micros: i64) -> String {
    let decimal = rust_decimal::Decimal::new(micros, 6).normalize();
    decimal.to_string()
}

fn signed(micros: i64) -> String {
    if micros > 0 { format!("+{}", quantity(micros)) } else { quantity(micros) }
}

/// The name of a side as people say it.
pub fn side_name(side: &str) -> String {
    if side == WMS { "the warehouse system".to_owned() } else { side.to_owned() }
}

/// What happened and who should do what, for a cause.
pub fn words(side: &str, balance: &Compared, cause: &Cause, wms_is_right: bool) -> (String, String) {
    let name = side_name(side);
    let differs = if balance.unexplained > 0 {
        format!("{name} has {} more than the ledger", quantity(balance.unexplained))
    } else {
        format!("{name} has {} less than the ledger", quantity(balance.unexplained.saturating_neg()))
    };
    let adjust = if side != WMS {
        format!(
            "ERP team: recon propose, then recon approve corrects {name} by {}",
            signed(balance.unexplained.saturating_neg())
        )
    } else if wms_is_right {
        format!("ERP team: recon propose, then recon approve corrects the books by {}", signed(balance.unexplained))
    } else {
        "site: count the item, then correct the warehouse system".to_owned()
    };
    let (why, action) = match cause.code.as_str() {
        "opening_balance" => (
            "it differed when both were compared for the first time, before any event".to_owned(),
            format!("count the item (recon recount); {adjust}"),
        ),
        "wrong_status" => (
            format!("the same quantity is too much under status {}", cause.detail),
            format!("move it between the statuses; {adjust}"),
        ),
        "wrong_lot" => {
            (format!("the same quantity is too much in lot {}", cause.detail), format!("correct the lot; {adjust}"))
        }
        "unit_of_measure" => (
            format!("it looks counted in another unit ({})", cause.detail),
            format!("master data: check the unit's factor of the item; {adjust}"),
        ),
        "skipped_event" => ("a person left out an event with just this effect (parked skip)".to_owned(), adjust),
        code if code.starts_with("missed_") && side == WMS => (
            format!(
                "the {} below is in the ledger, not in its statement: cancelled there, or exported twice",
                plain(code, "missed_")
            ),
            format!("site: look at that document; {adjust}"),
        ),
        code if code.starts_with("missed_") => {
            (format!("the {} below is not in its stock", plain(code, "missed_")), adjust)
        }
        code if code.starts_with("doubled_") && side == WMS => (
            format!("it counts the {} below twice, or one like it was never exported", plain(code, "doubled_")),
            format!("site: look for an export that is missing; {adjust}"),
        ),
        code if code.starts_with("doubled_") => {
            (format!("it counts the {} below twice", plain(code, "doubled_")), adjust)
        }
        _ if !cause.detail.is_empty() => {
            (format!("no single cause: {}", cause.detail), "site: count the item (recon recount)".to_owned())
        }
        _ => ("no rule explains it".to_owned(), "site: count the item (recon recount)".to_owned()),
    };
    (format!("{differs}: {why}"), action)
}

fn plain(code: &str, prefix: &str) -> String {
    code.trim_start_matches(prefix).replace('_', " ")
}

/// The report as text, also fit for a printer.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let written = write_text(report, &mut out);
    debug_assert!(written.is_ok(), "writing to a String does not fail");
    out
}

fn write_text(r: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(out, "run {}   asked by {}   {} to {}", r.run_no, r.asked_by, moment(r.started_ms), moment(r.ended_ms))?;
    writeln!(
        out,
        "{} balances compared: {} exact, {} explained by what is on its way, {} REALLY ADRIFT\n",
        r.compared, r.exact, r.explained, r.drift
    )?;
    if let Some(value) = r.value {
        writeln!(out, "value of what is adrift: {value}\n")?;
    }
    for side in &r.sides {
        write!(out, "{:<8} {:<12} ", side.site, side.side)?;
        if side.not_compared.is_empty() {
            write!(
                out,
                "{} compared, {} exact, {} explained, {} adrift",
                side.compared, side.exact, side.explained, side.drift
            )?;
            if side.opened > 0 {
                write!(out, ", {} told for the first time", side.opened)?;
            }
            if side.without_place > 0 {
                write!(out, ", {} have no place there", side.without_place)?;
            }
            writeln!(out, "   {}", side.what)?;
        } else {
            writeln!(out, "not compared: {}", side.not_compared)?;
        }
    }
    for line in &r.drifts {
        let b = &line.balance;
        writeln!(
            out,
            "\n#{}  {} {}{}{}   drift {}   ({}; since {})",
            line.drift_no,
            line.site,
            line.item,
            if b.lot.is_empty() { String::new() } else { format!(" lot {}", b.lot) },
            if b.place.is_empty() { String::new() } else { format!(" in {}", b.place) },
            signed(b.unexplained),
            line.state,
            moment(line.since_ms)
        )?;
        if line.side != TRANSFER {
            writeln!(
                out,
                "    ledger {}   {} {}   on the way {}   parked {}",
                quantity(b.ledger),
                line.side,
                quantity(b.other),
                signed(b.on_way),
                signed(b.parked.saturating_add(b.unmapped))
            )?;
        }
        let value = line.value.map(|value| format!("   value {value}")).unwrap_or_default();
        writeln!(out, "    cause: {}{value}", line.cause.code)?;
        writeln!(out, "    {}", line.words)?;
        line.evidence.iter().try_for_each(|e| writeln!(out, "    - {e}"))?;
        writeln!(out, "    -> {}", line.action)?;
    }
    let unnamed = r.drift_lines.saturating_sub(r.drifts.len() as u64);
    if unnamed > 0 {
        writeln!(out, "\n{unnamed} more are not named here: one cause may stand behind many, begin with the first")?;
    }
    if !r.closed.is_empty() {
        let numbers: Vec<String> = r.closed.iter().map(|n| format!("#{n}")).collect();
        writeln!(out, "\nexact again, closed: {}", numbers.join(", "))?;
    }
    writeln!(out)?;
    for m in r.transfers.iter().filter(|m| !m.standing.is_wrong()) {
        writeln!(
            out,
            "transfer {} {}: {} of {} on the way from {} to {}, {} h",
            m.transfer,
            m.sku,
            quantity(m.in_transit),
            quantity(m.shipped),
            m.from_site,
            if m.to_site.is_empty() { "?" } else { &m.to_site },
            m.age_hours
        )?;
    }
    for c in &r.complete {
        let verdict = if c.is_proven() { "chain equal" } else { "NOT COMPLETE" };
        let days = if c.days_equal == 0 && c.days.is_empty() {
            "daily counts not heard yet".to_owned()
        } else {
            format!("{} of {} daily counts equal", c.days_equal, c.days_equal + c.days.len() as u64)
        };
        writeln!(out, "{:<8} {} of {} events, {verdict}; {days}", c.site, c.have, c.told)?;
        for hole in &c.holes {
            writeln!(out, "    epoch {} events {} to {}: {}", hole.epoch, hole.first, hole.last, hole.words)?;
        }
        if !c.holes.is_empty() {
            writeln!(out, "    {}", repair(c))?;
        }
        for d in &c.days {
            writeln!(
                out,
                "    {} {} {}: the site captured {}, here are {}",
                d.day, d.feed, d.event_type, d.at_site, d.here
            )?;
        }
    }
    Ok(())
}

/// The drifts as CSV (RFC 4180), one row for each.
pub fn csv(report: &Report) -> String {
    let mut out = String::from(
        "run,drift,side,site,item,lot,place,uom,ledger,other,on_way,parked,unmapped,not_told,unexplained,value,cause,state,since,words,action\r\n",
    );
    for line in &report.drifts {
        let b = &line.balance;
        let cells = [
            report.run_no.to_string(),
            line.drift_no.to_string(),
            line.side.clone(),
            line.site.clone(),
            line.item.clone(),
            b.lot.clone(),
            b.place.clone(),
            b.uom.clone(),
            quantity(b.ledger),
            quantity(b.other),
            quantity(b.on_way),
            quantity(b.parked),
            quantity(b.unmapped),
            quantity(b.not_told),
            quantity(b.unexplained),
            line.value.map(|value| value.to_string()).unwrap_or_default(),
            line.cause.code.clone(),
            line.state.clone(),
            moment(line.since_ms),
            line.words.clone(),
            line.action.clone(),
        ];
        out.push_str(&cells.map(|cell| quoted(&cell)).join(","));
        out.push_str("\r\n");
    }
    out
}

fn quoted(cell: &str) -> String {
    // A text that a spreadsheet would take for a formula is kept a text; a number may begin with a sign.
    let is_formula = cell.starts_with(['=', '+', '-', '@']) && cell.parse::<f64>().is_err();
    let cell = if is_formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// What becomes of holes, and whose move it is.
pub fn repair(c: &Complete) -> String {
    let more = if c.more_holes > 0 { format!("{} more. ", c.more_holes) } else { String::new() };
    let next = if c.is_asked_again {
        "The site is asked for them again; what is still missing in the next run it no longer has: restore a backup."
    } else {
        "Nobody asks the site for them: start docksync-aggregator, then recon run --full."
    };
    format!("{more}{next}")
}

/// A moment as people and machines read it.
pub fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| ms.to_string(), |t| t.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

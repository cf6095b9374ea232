//! What a file would become, in words.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
};

use docksync_proto::event::{Action, Event, Line, Precision};

use super::SHOWN_LINES;
use crate::{
    decode::{
        Decoder, Survey,
        profile::{self, DialectKind},
    },
    intake,
    queue::capture::HeldLine,
};

/// The first events of a file, and what is doubtful about them.
#[derive(Debug, Default)]
pub(super) struct First {
    rows: Vec<[String; 5]>,
    /// By code: what the first of them says, and how many there are.
    doubts: BTreeMap<String, (String, u64)>,
}

impl First {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn add(&mut self, event: &Event) {
        self.rows.push(row(event));
        for warning in &event.warnings {
            let place = if warning.path.is_empty() { String::new() } else { format!("{}: ", warning.path) };
            let new = || (format!("{place}{}", warning.text), 0);
            self.doubts.entry(warning.code.clone()).or_insert_with(new).1 += 1;
        }
    }
}

/// Tells of a file: how it was read, what comes out, what is rejected and why, and its first events.
pub(super) fn table(
    decoder: &Decoder,
    path: &Path,
    survey: &Survey,
    first: &First,
    out: &mut dyn Write,
) -> io::Result<()> {
    let profile = decoder.profile();
    let name = intake::shown(path.file_name().unwrap_or_default());
    let (named, version, charset) = (&profile.name, profile.version, survey.charset.name());
    let form = form(profile, survey);
    writeln!(out, "{name}: mapping {named} v{version}   {}{form}, {charset}", survey.lines)?;
    if survey.is_refused() {
        writeln!(out, "  the file is refused as a whole:")?;
        survey.refusals.iter().take(SHOWN_LINES).try_for_each(|line| writeln!(out, "  {}", words(line)))?;
        return Ok(());
    }
    for (event_type, count) in &survey.counts {
        writeln!(out, "  {count} -> {event_type}")?;
    }
    writeln!(out, "  {}", rejected(profile, survey))?;
    survey.bad.iter().take(SHOWN_LINES).try_for_each(|line| writeln!(out, "  {}", words(line)))?;
    if survey.held > SHOWN_LINES as u64 {
        writeln!(out, "  and {} more", survey.held - SHOWN_LINES as u64)?;
    }
    survey.warnings.iter().try_for_each(|warning| writeln!(out, "  warning: {warning}"))?;
    if first.len() > 0 {
        rows(&first.rows, out)?;
    }
    for (code, (text, count)) in &first.doubts {
        let more = if *count > 1 { format!(" ({} more of this kind)", count - 1) } else { String::new() };
        writeln!(out, "  {code}: {text}{more}")?;
    }
    let left = survey.counts.values().sum::<u64>().saturating_sub(first.len() as u64);
    if left > 0 {
        writeln!(out, "  and {left} events more; --jsonl prints them all")?;
    }
    Ok(())
}

/// How many of the file's lines become no event; where they are held together, for how many reasons.
fn rejected(profile: &profile::Profile, survey: &Survey) -> String {
    let lines = survey.lines.saturating_sub(survey.taken);
    let unit = match form(profile, survey).as_str() {
        " segments" => "segment",
        _ => "line",
    };
    let s = |count: u64| if count == 1 { "" } else { "s" };
    let reasons = match survey.held {
        held if held == lines => String::new(),
        held => format!(", for {held} reason{}", s(held)),
    };
    format!("{lines} {unit}{} rejected{reasons}", s(lines))
}

/// How the file was read.
fn form(profile: &profile::Profile, survey: &Survey) -> String {
    let csv = match &profile.parse {
        profile::Parse::Csv(csv) if csv.is_fixed => return " rows of fixed width".to_owned(),
        profile::Parse::Csv(csv) => csv,
        profile::Parse::Tree(tree) if tree.form != profile::TreeForm::Ndjson => return " records".to_owned(),
        profile::Parse::Dialect(parse) if matches!(parse.dialect, DialectKind::X12 | DialectKind::Edifact) => {
            return " segments".to_owned();
        }
        profile::Parse::Tree(_) | profile::Parse::Dialect(_) => return " lines".to_owned(),
    };
    let misfit = survey.refusals.iter().any(|line| line.code == "HEADER_MISMATCH");
    let header = match (misfit, survey.header.is_empty()) {
        (true, _) => "header does not fit",
        (false, true) => "no header row",
        (false, false) => "header ok",
    };
    format!(" rows, delimiter {:?}, {header}", char::from(csv.dialect.delimiter))
}

/// A held line in words: where, what stands there, what would be right.
pub(super) fn words(line: &HeldLine) -> String {
    let mut text = if line.line_no > 0 { format!("line {}", line.line_no) } else { "file".to_owned() };
    if line.column > 0 {
        text.push_str(&format!(" col {}", line.column));
    }
    if !line.field.is_empty() {
        text.push_str(&format!(" {}", line.field));
    }
    text.push_str(&format!(" {:?}: expected {} [{}] ({})", line.found, line.expected, line.code, line.owner));
    text
}

/// What matters of an event, cell by cell.
fn row(event: &Event) -> [String; 5] {
    let named = event.references.iter().find(|reference| reference.value == event.correlation_id);
    let named = named.map_or(String::new(), |reference| format!("{}=", reference.kind));
    let mut goods: Vec<String> = event.lines.iter().take(2).map(goods).collect();
    goods.extend((event.lines.len() > 2).then(|| format!("and {} more", event.lines.len() - 2)));
    if event.lines.is_empty() {
        goods.extend(event.containers.first().map(|container| format!("container {}", container.container_id)));
    }
    let action = if event.action == Action::Add { String::new() } else { format!(" ({})", event.action) };
    let mut warnings: Vec<&str> = event.warnings.iter().map(|warning| warning.code.as_str()).collect();
    warnings.sort_unstable();
    warnings.dedup();
    // A day without a time is no midnight.
    let time = match event.time.precision {
        Precision::Date => event.time.local().date().to_string(),
        Precision::Minute | Precision::Instant => event.time.rfc3339(),
    };
    [
        format!("{}{action}", event.event_type),
        time,
        format!("{named}{}", event.correlation_id),
        goods.join(", "),
        warnings.join(" "),
    ]
}

fn goods(line: &Line) -> String {
    let quantity = line.qty.or(line.qty_shipped).or(line.qty_received).or(line.qty_after).or(line.qty_ordered);
    let quantity = quantity.map(|q| q.normalize().to_string()).unwrap_or_default();
    let lot = if line.lot.is_empty() { String::new() } else { format!(" lot {}", line.lot) };
    format!("{} {quantity} {}{lot}", line.item.sku, line.uom).trim().to_owned()
}

/// Events below one another, columns as wide as they must be.
fn rows(rows: &[[String; 5]], out: &mut dyn Write) -> io::Result<()> {
    let heads = ["event", "time", "document", "lines", "warnings"].map(str::to_owned);
    let width = |column: usize| rows.iter().chain([&heads]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4].map(|column| width(column).min(60));
    for row in [&heads].into_iter().chain(rows) {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "  {}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

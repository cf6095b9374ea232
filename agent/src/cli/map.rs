//! `map test`: what a file would become, without an agent and without storing anything.

use std::{
    fs::File,
    io::{self, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand};
use docksync_proto::{event::Event, identity, site::SiteId};
use jiff::{Timestamp, tz::TimeZone};

use super::exit;
use crate::{
    config,
    decode::{Decoder, FileFacts, Record, Survey, json, profile},
    intake,
    queue::capture::HeldLine,
};

/// Events that are shown in words.
const SHOWN_EVENTS: usize = 3;
/// Held lines that are shown in words.
const SHOWN_LINES: usize = 50;

/// Commands about mappings.
#[derive(Debug, Subcommand)]
pub enum MapCommand {
    /// Shows what files would become; stores and sends nothing.
    Test(TestArgs),
}

/// Flags of `map test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Profile by which the files are read.
    #[arg(long, value_name = "FILE", conflicts_with = "feed", required_unless_present = "feed")]
    pub profile: Option<PathBuf>,
    /// Feed of the agent's settings by which the files are read.
    #[arg(long, value_name = "NAME")]
    pub feed: Option<String>,
    /// The agent's settings.
    #[arg(long, value_name = "FILE", default_value = config::MAIN_FILE)]
    pub config: PathBuf,
    /// Prints each event as one line of JSON.
    #[arg(long)]
    pub jsonl: bool,
    /// Site that the events name.
    #[arg(long, value_name = "ID")]
    pub site: Option<String>,
    /// Zone of local times, as America/Chicago.
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,
    /// Exports to be read.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

/// Site of events where neither flag nor settings name one.
const NO_SITE: &str = "TEST";

/// Runs `map test`: data to `out`, words to `err`. Gives the exit code.
///
/// # Errors
/// Whatever writing gives.
pub fn test(args: &TestArgs, now: Timestamp, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let (feed, decoder) = match decoder(args) {
        Ok(found) => found,
        Err(text) => {
            writeln!(err, "{text}")?;
            return Ok(exit::CONFIG);
        }
    };
    let mut code = exit::OK;
    for path in &args.files {
        match file(args, &feed, &decoder, path, now, out, err) {
            Ok(true) => {}
            Ok(false) => code = exit::DATA,
            Err(Failure::Write(error)) => return Err(error),
            Err(Failure::Read(text)) => {
                writeln!(err, "{}: {text}", path.display())?;
                code = exit::DATA;
            }
        }
    }
    if !args.jsonl {
        writeln!(out, "nothing was stored or sent (dry run)")?;
    }
    Ok(code)
}

enum Failure {
    Read(String),
    Write(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// The decoder and the name of its feed, or what is wrong in words.
fn decoder(args: &TestArgs) -> Result<(String, Decoder), String> {
    let loaded = args.feed.as_ref().map(|_| config::load(&args.config));
    let shown = |problems: &[config::problem::Problem]| problems.iter().map(ToString::to_string).collect::<String>();
    let settings = match loaded {
        Some(loaded) => Some(loaded.config.ok_or_else(|| shown(&loaded.problems))?),
        None => None,
    };
    let (name, profile) = match (&args.feed, &settings, &args.profile) {
        (Some(name), Some(settings), _) => {
            let feed = settings.feeds.iter().find(|feed| feed.name == *name);
            let known: Vec<&str> = settings.feeds.iter().map(|feed| feed.name.as_str()).collect();
            let missing = || format!("no feed `{name}`; {}", config::problem::suggestion(name, &known));
            (name.clone(), Arc::clone(&feed.ok_or_else(missing)?.profile))
        }
        (_, _, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let profile = profile::read(path, &text).map_err(|problems| shown(&problems))?;
            (profile.name.clone(), Arc::new(profile))
        }
        _ => return Err("name a profile with --profile, or a feed with --feed".to_owned()),
    };
    let site = settings.as_ref().map(|settings| &settings.site);
    let site_id = match &args.site {
        Some(text) => SiteId::new(text).map_err(|error| error.to_string())?,
        None => site.map_or_else(|| SiteId::new(NO_SITE).map_err(|e| e.to_string()), |site| Ok(site.id.clone()))?,
    };
    let zone_name = match &args.tz {
        Some(name) => name.clone(),
        None => site.map_or("UTC".to_owned(), |site| site.time_zone_name.clone()),
    };
    let zone = TimeZone::get(&zone_name).map_err(|_| format!("no time zone `{zone_name}`; as America/Chicago"))?;
    Ok((name, Decoder::new(profile, &site_id, &zone, &zone_name)))
}

/// Reads one file; true where every line became an event.
fn file(
    args: &TestArgs,
    feed: &str,
    decoder: &Decoder,
    path: &Path,
    now: Timestamp,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<bool, Failure> {
    let read = |error: io::Error| Failure::Read(error.to_string());
    let mut input = File::open(path).map_err(read)?;
    let size = input.metadata().map_err(read)?.len();
    let sha256 = intake::sha256(&mut input).map_err(read)?;
    let facts = FileFacts {
        feed: feed.to_owned(),
        name: intake::shown(path.file_name().unwrap_or_default()),
        sha256: identity::hex(&sha256),
        size,
        record_time: now,
    };
    let decode = |error: crate::decode::DecodeError| Failure::Read(intake::chain(&error));
    let survey = decoder.survey(&mut input, &facts).map_err(decode)?;
    if args.jsonl {
        return jsonl(decoder, &mut input, &facts, &survey, out, err);
    }
    let mut first = Vec::new();
    let mut visit = |_, record: Record<'_>| {
        if let Record::Event(event) = record {
            first.push(compact(event));
        }
        if first.len() < SHOWN_EVENTS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    if !survey.is_refused() {
        decoder.emit(&mut input, &facts, &survey, &mut visit).map_err(decode)?;
    }
    table(decoder, path, &survey, &first, out)?;
    Ok(survey.held == 0 && !survey.is_refused())
}

fn jsonl(
    decoder: &Decoder,
    input: &mut File,
    facts: &FileFacts,
    survey: &Survey,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<bool, Failure> {
    if survey.is_refused() {
        writeln!(err, "{}: refused as a whole", facts.name)?;
        for line in &survey.refusals {
            writeln!(err, "{}: {}", facts.name, words(line))?;
        }
        return Ok(false);
    }
    let mut result = Ok(());
    let mut out = io::BufWriter::new(out);
    let mut visit = |_, record: Record<'_>| {
        result = match record {
            Record::Event(event) => {
                json::event_json(event).map_err(io::Error::from).and_then(|event| writeln!(out, "{event}"))
            }
            Record::Held(lines) => lines.iter().try_for_each(|line| writeln!(err, "{}: {}", facts.name, words(line))),
        };
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    decoder.emit(input, facts, survey, &mut visit).map_err(|error| Failure::Read(intake::chain(&error)))?;
    result?;
    out.flush()?;
    Ok(survey.held == 0)
}

fn table(decoder: &Decoder, path: &Path, survey: &Survey, first: &[String], out: &mut dyn Write) -> io::Result<()> {
    let profile = decoder.profile();
    let delimiter = match &profile.parse {
        profile::Parse::Csv(csv) => format!(", delimiter {:?}", char::from(csv.dialect.delimiter)),
        profile::Parse::Ndjson(_) | profile::Parse::Dialect(_) => String::new(),
    };
    let header = if survey.header.is_empty() { "no header row" } else { "header ok" };
    let header =
        if survey.refusals.iter().any(|line| line.code == "HEADER_MISMATCH") { "header does not fit" } else { header };
    let name = intake::shown(path.file_name().unwrap_or_default());
    writeln!(
        out,
        "{name}: mapping {} v{}   {} rows{delimiter}, {header}, {}",
        profile.name,
        profile.version,
        survey.lines,
        survey.charset.name()
    )?;
    if survey.is_refused() {
        writeln!(out, "  the file is refused as a whole:")?;
        survey.refusals.iter().take(SHOWN_LINES).try_for_each(|line| writeln!(out, "  {}", words(line)))?;
        return Ok(());
    }
    for (event_type, count) in &survey.counts {
        writeln!(out, "  {count} -> {event_type}")?;
    }
    writeln!(out, "  {} rows rejected", survey.held)?;
    survey.bad.iter().take(SHOWN_LINES).try_for_each(|line| writeln!(out, "  {}", words(line)))?;
    if survey.held > SHOWN_LINES as u64 {
        writeln!(out, "  and {} more", survey.held - SHOWN_LINES as u64)?;
    }
    survey.warnings.iter().try_for_each(|warning| writeln!(out, "  warning: {warning}"))?;
    first.iter().try_for_each(|event| writeln!(out, "event: {event}"))
}

/// A held line in words: where, what stands there, what would be right.
fn words(line: &HeldLine) -> String {
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

/// What matters of an event, on one line.
fn compact(event: &Event) -> String {
    let mut text = format!("{} {}", event.event_type, event.time.rfc3339());
    for reference in &event.references {
        text.push_str(&format!(" {}={}", reference.kind, reference.value));
    }
    for line in event.lines.iter().take(3) {
        let quantity = line.qty.or(line.qty_shipped).or(line.qty_received).or(line.qty_after);
        let quantity = quantity.map(|q| q.normalize().to_string()).unwrap_or_default();
        text.push_str(&format!(" [{} {quantity} {}]", line.item.sku, line.uom));
    }
    if event.lines.len() > 3 {
        text.push_str(&format!(" and {} lines more", event.lines.len() - 3));
    }
    for warning in &event.warnings {
        text.push_str(&format!(" !{}", warning.code));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn run(jsonl: bool) -> (u8, String, String) {
        let args = TestArgs {
            profile: Some(root().join("config/feeds/pick-csv.toml")),
            feed: None,
            config: PathBuf::new(),
            jsonl,
            site: Some("DC7".to_owned()),
            tz: Some("America/Chicago".to_owned()),
            files: vec![root().join("tests/golden/feeds/pick-csv.csv")],
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = test(&args, Timestamp::UNIX_EPOCH, &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_table_says_what_the_file_would_become() {
        let (code, out, err) = run(false);

        assert_eq!((code, err.as_str()), (65, ""));
        let expected = "pick-csv.csv: mapping pick-csv v1   10 rows, delimiter ',', header ok, UTF-8\n  6 -> pick_confirmed\n  4 rows rejected\n\
                        \x20 line 4 col 5 qty \"12EA\": expected a number, as 12.5 [INVALID_QUANTITY] (warehouse)\n";
        assert!(out.starts_with(expected), "{out}");
        assert!(out.ends_with("nothing was stored or sent (dry run)\n"), "{out}");
    }

    #[test]
    fn the_lines_of_json_are_the_events_and_rejects_go_to_the_words() {
        let (code, out, err) = run(true);

        assert_eq!(code, 65);
        assert_eq!(out.lines().count(), 6);
        for line in out.lines() {
            let event: Event = serde_json::from_str(line).unwrap();
            let id = serde_json::from_str::<serde_json::Value>(line).unwrap()["event_id"].clone();
            assert_eq!(id, identity::event_id(&event).to_string());
        }
        assert_eq!(err.lines().count(), 4);
    }
}

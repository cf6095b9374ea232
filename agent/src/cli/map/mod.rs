//! `map`: what a file would become, without an agent and without storing anything; and profiles written from examples.

mod cases;
mod columns;
mod fixed;
mod new;
mod show;
mod source;
mod trees;

use std::{
    fs::File,
    io::{self, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use docksync_proto::identity;
use jiff::Timestamp;

use super::exit;
use crate::{
    config,
    decode::{Decoder, FileFacts, Record, Survey, json},
    intake,
};

pub use new::{NewArgs, new};
pub(super) use new::{pattern_of, profile_name_of, profile_of};

/// Events that are shown in words.
const SHOWN_EVENTS: usize = 20;
/// Held lines that are shown in words.
const SHOWN_LINES: usize = 50;

/// Commands about mappings.
#[derive(Debug, Subcommand)]
pub enum MapCommand {
    /// Shows what files would become, and runs a profile's own tests; stores and sends nothing.
    Test(TestArgs),
    /// Writes a profile from an example, with comments, to be looked over and tried.
    New(NewArgs),
}

/// Flags of `map test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Profile by which the files are read; its own tests are run as well.
    #[arg(long, value_name = "FILE", conflicts_with = "dialect")]
    pub profile: Option<PathBuf>,
    /// Standard by which the files are read: x12, edifact, epcis, idoc, gs1-xml or ubl.
    #[arg(long, value_name = "NAME")]
    pub dialect: Option<String>,
    /// Feed of the agent's settings by which the files are read; beside --profile or --dialect, the name that events carry.
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
    /// Takes groups whose counts do not fit.
    #[arg(long)]
    pub lenient_counts: bool,
    /// Takes transaction sets without an envelope.
    #[arg(long)]
    pub allow_bare_st: bool,
    /// Exports to be read; without any, only the profile's own tests are run.
    pub files: Vec<PathBuf>,
}

/// Runs `map test`: data to `out`, words to `err`. Gives the exit code: 1 where anything was rejected or a test failed.
///
/// # Errors
/// Whatever writing gives.
pub fn test(args: &TestArgs, now: Timestamp, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let source = match source::source(args) {
        Ok(source) => source,
        Err(refused) => {
            writeln!(err, "{}", refused.text)?;
            return Ok(refused.code);
        }
    };
    let has_cases = !source.decoder.profile().cases.is_empty();
    if args.files.is_empty() && !has_cases {
        writeln!(err, "error: name a file to read; the profile has no [[test]] of its own")?;
        return Ok(exit::USAGE);
    }
    let mut code = exit::OK;
    let told: &mut dyn Write = if args.jsonl { err } else { out };
    if has_cases && !cases::run(&source, args.profile.as_deref(), told)? {
        code = exit::PROBLEMS;
    }
    for path in &args.files {
        match file(args, &source.feed, &source.decoder, path, now, out, err) {
            Ok(true) => {}
            Ok(false) => code = exit::PROBLEMS,
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

/// Facts of a file as the agent would note them.
fn facts(path: &Path, input: &mut File, feed: &str, now: Timestamp) -> io::Result<FileFacts> {
    let size = input.metadata()?.len();
    let sha256 = identity::hex(&intake::sha256(input)?);
    let name = intake::shown(path.file_name().unwrap_or_default());
    Ok(FileFacts { feed: feed.to_owned(), name, sha256, size, record_time: now })
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
    let facts = facts(path, &mut input, feed, now).map_err(read)?;
    let decode = |error: crate::decode::DecodeError| Failure::Read(intake::chain(&error));
    let survey = decoder.survey(&mut input, &facts).map_err(decode)?;
    if args.jsonl {
        return jsonl(decoder, &mut input, &facts, &survey, out, err);
    }
    let mut first = show::First::default();
    let mut visit = |_, record: Record<'_>| {
        if let Record::Event(event) = record {
            first.add(event);
        }
        if first.len() < SHOWN_EVENTS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    if !survey.is_refused() {
        decoder.emit(&mut input, &facts, &survey, &mut visit).map_err(decode)?;
    }
    show::table(decoder, path, &survey, &first, out)?;
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
            writeln!(err, "{}: {}", facts.name, show::words(line))?;
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
            Record::Held(lines) => {
                lines.iter().try_for_each(|line| writeln!(err, "{}: {}", facts.name, show::words(line)))
            }
        };
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    decoder.emit(input, facts, survey, &mut visit).map_err(|error| Failure::Read(intake::chain(&error)))?;
    result?;
    out.flush()?;
    Ok(survey.held == 0)
}

#[cfg(test)]
mod tests {
    use docksync_proto::event::Event;

    use super::*;

    fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn args(jsonl: bool) -> TestArgs {
        TestArgs {
            profile: Some(root().join("config/feeds/pick-csv.toml")),
            dialect: None,
            feed: None,
            config: PathBuf::new(),
            lenient_counts: false,
            allow_bare_st: false,
            jsonl,
            site: Some("DC7".to_owned()),
            tz: Some("America/Chicago".to_owned()),
            files: vec![root().join("tests/golden/feeds/pick-csv.csv")],
        }
    }

    fn run(jsonl: bool) -> (u8, String, String) {
        let args = args(jsonl);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = test(&args, Timestamp::UNIX_EPOCH, &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_table_says_what_the_file_would_become() {
        let (code, out, err) = run(false);

        assert_eq!((code, err.as_str()), (1, ""));
        let expected = "pick-csv.csv: mapping pick-csv v1   10 rows, delimiter ',', header ok, UTF-8\n  6 -> pick_confirmed\n  4 lines rejected\n\
                        \x20 line 4 col 5 qty \"12EA\": expected a number, as 12.5 [INVALID_QUANTITY] (warehouse)\n";
        assert!(out.starts_with(expected), "{out}");
        assert!(out.ends_with("nothing was stored or sent (dry run)\n"), "{out}");
    }

    #[test]
    fn segments_of_a_document_that_is_held_are_told_with_its_reasons() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("945.edi");
        let set = |control: &str, qty: &str| {
            format!(
                "ST*945*{control}~W06*F*SO-{control}*20261123*SHP-{control}~LX*1~W12*CC*3*{qty}**EA**VN*SKU-1~SE*5*{control}~"
            )
        };
        let text = format!(
            "ISA*00*          *00*          *ZZ*WMSDC7         *ZZ*DEPOSITOR      *261123*0915*U*00401*000000101*0*P*>~\
             GS*SW*WMSDC7*DEPOSITOR*20261123*0915*101*X*004010~{}{}GE*2*101~IEA*1*000000101~",
            set("0001", "3"),
            set("0002", "three"),
        );
        std::fs::write(&path, text).unwrap();
        let args = TestArgs { profile: None, dialect: Some("x12".to_owned()), files: vec![path], ..args(false) };
        let (mut out, mut err) = (Vec::new(), Vec::new());

        let code = test(&args, Timestamp::UNIX_EPOCH, &mut out, &mut err).unwrap();

        let out = String::from_utf8(out).unwrap();
        assert_eq!(code, 1);
        assert!(
            out.contains("   10 segments, UTF-8\n  1 -> shipment_confirmed\n  5 segments rejected, for 1 reason\n"),
            "{out}"
        );
    }

    #[test]
    fn the_lines_of_json_are_the_events_and_rejects_go_to_the_words() {
        let (code, out, err) = run(true);

        assert_eq!(code, 1);
        assert_eq!(out.lines().count(), 6);
        for line in out.lines() {
            let event: Event = serde_json::from_str(line).unwrap();
            let id = serde_json::from_str::<serde_json::Value>(line).unwrap()["event_id"].clone();
            assert_eq!(id, identity::event_id(&event).to_string());
        }
        assert_eq!(err.lines().count(), 4);
    }
}

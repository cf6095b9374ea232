//! Reads every file of a folder of samples and compares what became of it with a recorded outcome.
//!
//! The samples lie beside the project (`../shared/samples`); where they are absent nothing is compared. An outcome is a text
//! in `tests/golden/samples`, one fact a line, so that a change of the decoder is seen as a change of lines.
//! `DOCKSYNC_RECORD=1` writes the outcomes anew; the difference is to be read before it is committed.

use std::{
    fmt::Write as _,
    io::{Cursor, Read, Seek, SeekFrom, Write as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use docksync_proto::{
    event::{Container, Event, Line, Measure},
    identity,
    site::SiteId,
};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use super::{Decoder, FileFacts, Record, Survey, profile, profile::DialectKind};
use crate::queue::capture::HeldLine;

/// What became of a file.
pub(super) struct Outcome {
    pub(super) survey: Survey,
    /// Its events; none where the file is refused.
    pub(super) events: Vec<Event>,
    /// Its held lines; none where the file is refused.
    pub(super) held: Vec<HeldLine>,
}

/// A decoder of a feed that declares nothing but its dialect, at site `DC7` in Chicago.
pub(super) fn decoder(dialect: DialectKind) -> Decoder {
    decoder_with(dialect, "", "")
}

/// The same with lines for `[parse]`, and with tables behind it.
pub(super) fn decoder_with(dialect: DialectKind, parse: &str, tables: &str) -> Decoder {
    let kind = dialect.as_str();
    decoder_of(&format!(
        "[feed]\nname = \"sample\"\nversion = 1\nmatch = [\"*\"]\n[parse]\ntype = \"{kind}\"\n{parse}\n{tables}\n"
    ))
}

/// A decoder of any profile.
pub(super) fn decoder_of(text: &str) -> Decoder {
    let profile = profile::read(Path::new("feed.toml"), text).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<String>());
    });
    let zone = TimeZone::get("America/Chicago").unwrap();
    Decoder::new(Arc::new(profile), &SiteId::new("DC7").unwrap(), &zone, "America/Chicago")
}

/// Reads a file as the agent does: nothing is taken of one that is refused.
pub(super) fn read(decoder: &Decoder, bytes: &[u8]) -> Outcome {
    read_from(decoder, &mut Cursor::new(bytes), bytes.len())
}

/// The same through a reader that hands out at most `step` bytes at a time.
pub(super) fn read_slowly(decoder: &Decoder, bytes: &[u8], step: usize) -> Outcome {
    read_from(decoder, &mut Slow(Cursor::new(bytes), step), bytes.len())
}

fn read_from(decoder: &Decoder, input: &mut (impl Read + Seek), size: usize) -> Outcome {
    let file = FileFacts {
        feed: "sample".to_owned(),
        name: "sample".to_owned(),
        sha256: "00".repeat(32),
        size: size as u64,
        record_time: "2026-11-24T00:00:00Z".parse().unwrap(),
    };
    let survey = decoder.survey(input, &file).unwrap();
    let (mut events, mut held) = (Vec::new(), Vec::new());
    let mut keep = |_, found: Record<'_>| {
        match found {
            Record::Event(event) => events.push(event.clone()),
            Record::Held(lines) => held.extend_from_slice(lines),
        }
        ControlFlow::Continue(())
    };
    if !survey.is_refused() {
        decoder.emit(input, &file, &survey, &mut keep).unwrap();
    }
    Outcome { survey, events, held }
}

struct Slow<'b>(Cursor<&'b [u8]>, usize);

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let most = out.len().min(self.1);
        self.0.read(&mut out[..most])
    }
}

impl Seek for Slow<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

/// Compares every file of the sample folder `dir` with its recorded outcome.
pub(super) fn check(dir: &str, dialect: DialectKind) {
    check_with(dir, &decoder(dialect), "");
}

/// The same by a decoder of the caller's; `suffix` tells its outcomes from those of other profiles.
pub(super) fn check_with(dir: &str, decoder: &Decoder, suffix: &str) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.join("../../shared/samples").join(dir);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        writeln!(std::io::stderr(), "skipped: no samples at {}", folder.display()).unwrap();
        return;
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let outcome = read(decoder, &std::fs::read(&file).unwrap());
        let Survey { lines, taken, held, .. } = outcome.survey;
        // Each line is in an event or held; reasons are there where lines are.
        let adds_up = taken <= lines && (lines == taken) == (held == 0);
        assert!(adds_up || outcome.survey.is_refused(), "{name}: {lines} lines, {taken} taken, {held} reasons");
        wrong.extend(differs(dir, &name, suffix, &outcome));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Compares one outcome with the recorded one.
pub(super) fn compare(dir: &str, name: &str, suffix: &str, outcome: &Outcome) {
    assert_eq!(differs(dir, name, suffix, outcome), None);
}

fn differs(dir: &str, name: &str, suffix: &str, outcome: &Outcome) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/samples");
    let recorded = folder.join(format!("{dir}__{name}{suffix}.txt"));
    let found = summary(outcome);
    if std::env::var_os("DOCKSYNC_RECORD").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&recorded, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&recorded).unwrap_or_default();
    (found != expected).then(|| format!("{name}{}", difference(&expected, &found)))
}

/// The first line that differs.
fn difference(expected: &str, found: &str) -> String {
    let count = expected.lines().count().max(found.lines().count());
    let at = (0..count).find(|at| expected.lines().nth(*at) != found.lines().nth(*at)).unwrap_or(0);
    let line = |text: &str| text.lines().nth(at).unwrap_or("(end)").to_owned();
    format!(":{}\n  recorded {}\n  found    {}", at + 1, line(expected), line(found))
}

/// The outcome, one fact a line.
pub(super) fn summary(outcome: &Outcome) -> String {
    let survey = &outcome.survey;
    let mut text = format!("lines {} taken {} held {}\n", survey.lines, survey.taken, survey.held);
    let mut line = |words: String| writeln!(text, "{words}").unwrap();
    survey.refusals.iter().for_each(|held| line(format!("refused {}", held_words(held))));
    survey.warnings.iter().for_each(|warning| line(format!("warning {warning}")));
    outcome.held.iter().for_each(|held| line(format!("held {}", held_words(held))));
    for event in &outcome.events {
        event_words(event).into_iter().for_each(&mut line);
    }
    text
}

fn held_words(held: &HeldLine) -> String {
    let HeldLine { line_no, column, field, code, found, expected, owner, .. } = held;
    format!("{line_no}:{column} {code} {field}: found {found:?}, expected {expected} ({owner})")
}

fn event_words(event: &Event) -> Vec<String> {
    let usage = if event.interchange.usage.is_empty() { "-" } else { &event.interchange.usage };
    let mut all = vec![format!(
        "{} {} {} {} at {} correlation {} from {}:{} usage {usage}{}{}",
        event.event_type,
        event.action,
        event.time.rfc3339(),
        event.time.precision,
        event.site_id,
        event.correlation_id,
        event.source.format,
        event.source.line_no,
        if event.split { " split" } else { "" },
        if event.ordinal > 0 { format!(" ordinal {}", event.ordinal) } else { String::new() },
    )];
    all.push(format!("  id {}", identity::event_id(event)));
    let mut pairs = Vec::new();
    event.references.iter().for_each(|known| pairs.push(format!("{}={}", known.kind, known.value)));
    if !pairs.is_empty() {
        all.push(format!("  references {}", pairs.join(" ")));
    }
    for party in &event.parties {
        all.push(format!("  {} {}:{} {:?}", party.role, party.id_scheme, party.id, party.name));
    }
    all.extend(event.lines.iter().map(line_words));
    all.extend(event.containers.iter().map(container_words));
    let keys: Vec<&str> = event.extensions.keys().map(String::as_str).collect();
    if !keys.is_empty() {
        all.push(format!("  extensions {}", keys.join(" ")));
    }
    let warnings =
        event.warnings.iter().map(|known| format!("  warning {} {}: {}", known.code, known.path, known.text));
    all.extend(warnings);
    all
}

fn line_words(line: &Line) -> String {
    let mut text = format!("  line {} sku {}", line.line_no, line.item.sku);
    let mut word = |name: &str, value: &str| {
        if !value.is_empty() {
            write!(text, " {name} {value}").unwrap();
        }
    };
    let number = |value: Option<Decimal>| value.map(|value| value.to_string()).unwrap_or_default();
    word("source_line", &line.source_line_no);
    word("gtin", &line.item.gtin);
    word("qty", &number(line.qty));
    word("ordered", &number(line.qty_ordered));
    word("shipped", &number(line.qty_shipped));
    word("difference", &number(line.qty_difference));
    word("received", &number(line.qty_received));
    word("damaged", &number(line.qty_damaged));
    word("before", &number(line.qty_before));
    word("after", &number(line.qty_after));
    word("uom", &line.uom);
    word("lot", &line.lot);
    word("serials", &line.serials.join(","));
    word("expiry", &line.expiry_date.map(|day| day.to_string()).unwrap_or_default());
    word("net", &measure(line.net_weight.as_ref()));
    word("gross", &measure(line.gross_weight.as_ref()));
    word("status", &line.status_code.map(|status| status.to_string()).unwrap_or_default());
    word("status_source", &line.status_source);
    word("stock_from", &line.stock_status_from);
    word("stock_to", &line.stock_status_to);
    word("reason", &line.reason.code);
    word("reason_source", &line.reason.source_code);
    word("from", &line.location_from);
    word("to", &line.location_to);
    word("in", &line.container_ref);
    for known in &line.references {
        word(known.kind.as_str(), &known.value);
    }
    text
}

fn measure(value: Option<&Measure>) -> String {
    value.map(|known| format!("{}{}", known.value, known.unit)).unwrap_or_default()
}

fn container_words(container: &Container) -> String {
    let kind = container.kind.map(|kind| kind.to_string()).unwrap_or_default();
    let mut text = format!("  container {} sscc {:?} {kind}", container.container_id, container.sscc);
    for (name, value) in [("parent", &container.parent_id), ("tracking", &container.tracking_no)] {
        if !value.is_empty() {
            write!(text, " {name} {value}").unwrap();
        }
    }
    for content in &container.contents {
        let qty = content.qty.map(|qty| qty.to_string()).unwrap_or_else(|| "?".to_owned());
        write!(text, " [{} {} {qty} {} {}]", content.line_no, content.sku, content.uom, content.lot).unwrap();
    }
    text
}

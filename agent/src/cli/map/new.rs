//! `map new`: a profile written from an example, with comments; then read back and tried on that example.

use std::{
    fs::File,
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use docksync_proto::{event::EventType, site::SiteId};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use super::{columns, facts, fixed, trees};
use crate::{
    cli::exit,
    decode::{
        Charset, Decoder,
        guess::{self, Guess},
        profile,
    },
    intake,
};

/// Rows of the example that are looked at.
const ROWS: usize = 200;

/// Most bytes of a JSON document that is looked at.
const JSON_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Flags of `map new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// An export of the feed, as the warehouse system writes it.
    pub file: PathBuf,
    /// Writes the profile there instead of printing it; a file that is there is left alone.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Name of the profile.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What the rows report, as pick_confirmed; guessed from names otherwise.
    #[arg(long, value_name = "TYPE")]
    pub event_type: Option<String>,
}

/// Runs `map new`. Gives the exit code: 1 where the profile needs work before it reads the example.
///
/// # Errors
/// Whatever writing gives.
pub fn new(args: &NewArgs, now: Timestamp, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let text = match profile_text(args) {
        Ok(text) => text,
        Err(text) => {
            writeln!(err, "error: {text}")?;
            return Ok(exit::DATA);
        }
    };
    let shown = args.out.clone().unwrap_or_else(|| PathBuf::from("PROFILE.toml"));
    match &args.out {
        None => write!(out, "{text}")?,
        Some(path) => match File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes())) {
            Ok(()) => writeln!(err, "wrote {}", path.display())?,
            Err(error) => {
                writeln!(err, "error: {}: {error}", path.display())?;
                return Ok(exit::DATA);
            }
        },
    }
    let file = args.file.display();
    match tried(&args.file, &text, now) {
        Ok((events, held)) => {
            writeln!(err, "{file}: {events} events, {held} lines rejected by this profile")?;
            writeln!(
                err,
                "next: look over the profile, then docksync-agent map test --profile {} {file}",
                shown.display()
            )?;
            Ok(if held == 0 && events > 0 { exit::OK } else { exit::PROBLEMS })
        }
        Err(why) => {
            writeln!(err, "the profile does not read {file} yet: {why}")?;
            Ok(exit::PROBLEMS)
        }
    }
}

/// Names of files like this one: `SHIP_20261123.csv` stands for `SHIP_*.csv`.
pub(crate) fn pattern_of(name: &str) -> String {
    Example { name, profile: None, event_type: None }.pattern()
}

/// The name of a profile for files like this one.
pub(crate) fn profile_name_of(name: &str) -> String {
    Example { name, profile: None, event_type: None }.profile_name()
}

/// A profile guessed from an example.
#[derive(Debug)]
pub(crate) struct Guessed {
    /// Its text.
    pub(crate) text: String,
    /// Whether settings may name it: it may still lack what cannot be guessed.
    pub(crate) is_whole: bool,
    /// How well it reads the example.
    pub(crate) verdict: String,
}

/// Guesses a profile.
///
/// # Errors
/// Why none can be guessed.
pub(crate) fn profile_of(example: &Path, name: &str, now: Timestamp) -> Result<Guessed, String> {
    let args = NewArgs { file: example.to_owned(), out: None, name: Some(name.to_owned()), event_type: None };
    let text = profile_text(&args)?;
    let is_whole = profile::read(Path::new("PROFILE.toml"), &text).is_ok();
    let verdict = match tried(example, &text, now) {
        Ok((events, 0)) => format!("{events} events by profile {name}"),
        Ok((events, held)) => format!("{events} events by profile {name}, {held} lines rejected: look it over"),
        Err(_) if !is_whole => format!("profile {name} lacks fields that its columns do not tell: name them there"),
        Err(why) => format!("profile {name} does not read it yet: {why}"),
    };
    Ok(Guessed { text, is_whole, verdict })
}

/// Reads the example with the profile; gives events and rejected lines.
fn tried(path: &Path, text: &str, now: Timestamp) -> Result<(u64, u64), String> {
    let profile = profile::read(Path::new("PROFILE.toml"), text)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<String>())?;
    let site = SiteId::new("TEST").map_err(|error| error.to_string())?;
    let decoder = Decoder::new(Arc::new(profile), &site, &TimeZone::UTC, "UTC");
    let mut input = File::open(path).map_err(|error| error.to_string())?;
    let facts = facts(path, &mut input, "test", now).map_err(|error| error.to_string())?;
    let survey = decoder.survey(&mut input, &facts).map_err(|error| intake::chain(&error))?;
    match survey.refusals.first() {
        Some(line) => Err(super::show::words(line)),
        None => Ok((survey.counts.values().sum(), survey.held)),
    }
}

fn profile_text(args: &NewArgs) -> Result<String, String> {
    let shown = args.file.display();
    let mut head = Vec::new();
    let mut file = File::open(&args.file).map_err(|error| format!("{shown}: {error}"))?;
    io::Read::by_ref(&mut file)
        .take(guess::HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(|error| format!("{shown}: {error}"))?;
    let name = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let event_type = match &args.event_type {
        None => None,
        Some(word) => Some(EventType::from_word(word).ok_or_else(|| format!("no event type `{word}`"))?),
    };
    let example = Example { name: &name, profile: args.name.as_deref(), event_type };
    match guess::guess(&head) {
        Guess::Standard(dialect) => Ok(example.standard(dialect.as_str())),
        Guess::Rows => example.rows(&decoded(&head)),
        Guess::Ndjson => example.objects(&decoded(&head)),
        Guess::Json => {
            // A JSON value that is cut cannot be read: more of it is taken than of other files.
            let read = file.take(JSON_BYTES_MAX).read_to_end(&mut head);
            read.map_err(|error| format!("{shown}: {error}"))?;
            let root = serde_json::from_str(decoded(&head).trim_start_matches('\u{feff}')).map_err(|error| {
                format!(
                    "{shown}: no whole JSON value within {JSON_BYTES_MAX} bytes ({error}); shorten it to a few records"
                )
            })?;
            let start = "config/feeds/3pl-central-orders-json.toml";
            example
                .tree(&root, false)
                .ok_or_else(|| format!("{shown}: no list of objects was found; start from {start}"))
        }
        Guess::Xml => {
            let start = "config/feeds/scale-transactions-xml.toml";
            let found = example.tree(&trees::of_xml(&decoded(&head)), true);
            found.ok_or_else(|| format!("{shown}: no element that repeats was found; start from {start}"))
        }
    }
}

/// The first bytes as text, up to the last whole line.
fn decoded(head: &[u8]) -> String {
    let charset = Charset::detect(&mut &*head).unwrap_or(Charset::Utf8);
    let mut text = String::new();
    let read = crate::decode::text_of(head, charset, &mut text);
    debug_assert!(read.is_ok(), "reading memory does not fail");
    let whole = if head.len() < guess::HEAD_BYTES { text.len() } else { text.rfind('\n').unwrap_or(text.len()) };
    text.truncate(whole);
    text
}

struct Example<'e> {
    name: &'e str,
    profile: Option<&'e str>,
    event_type: Option<EventType>,
}

impl Example<'_> {
    /// `SHIP_20261123.csv` stands for `SHIP_*.csv`.
    fn pattern(&self) -> String {
        let (stem, end) = self.name.rsplit_once('.').unwrap_or((self.name, ""));
        let word: String = stem.chars().take_while(|c| !c.is_ascii_digit()).collect();
        let dot = if end.is_empty() { String::new() } else { format!(".{end}") };
        if word.is_empty() { format!("*{dot}") } else { format!("{word}*{dot}") }
    }

    fn profile_name(&self) -> String {
        if let Some(name) = self.profile {
            return name.to_owned();
        }
        let stem = self.pattern().to_lowercase().replace(['*', '.', '_', ' ', '@'], "-");
        let parts: Vec<&str> = stem.split('-').filter(|part| !part.is_empty()).collect();
        if parts.is_empty() { "new-feed".to_owned() } else { parts.join("-") }
    }

    fn head(&self, event_type: Option<EventType>) -> String {
        let name = self.profile_name();
        let mut text = format!(
            "# Written from {}. What is marked (guessed) was guessed: look it over.\n\
             # Try it:  docksync-agent map test --profile {name}.toml {}\n\n[feed]\nname = {}\nversion = 1\n",
            self.name,
            self.name,
            quoted(&name)
        );
        if let Some(event_type) = event_type {
            text.push_str(&format!("event_type = \"{event_type}\"          # (guessed) what the rows report\n"));
        }
        text.push_str(&format!(
            "match = [{}]          # (guessed) names of the feed's files\n\
             complete = {{ rule = \"quiet\", seconds = 10 }}   # or rename, marker = \".done\", trailer\n\n[parse]\n",
            quoted(&self.pattern())
        ));
        text
    }

    fn standard(&self, dialect: &str) -> String {
        format!(
            "{}type = \"{dialect}\"\n# timezone = \"America/Chicago\"   # default: the zone of the site\n\n\
             # [sites]                        # codes of warehouses in the documents; without it all are of the agent's site\n\
             # WH01 = \"DC1\"\n",
            self.head(None)
        )
    }

    fn rows(&self, text: &str) -> Result<String, String> {
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(ROWS).collect();
        let sheet = Sheet::read(text);
        let is_even = sheet.as_ref().is_some_and(|sheet| sheet.rows.iter().all(|row| row.len() == sheet.rows[0].len()));
        if let (false, Some(stretches)) = (is_even, fixed::stretches(&lines)) {
            return Ok(self.fixed(&lines, &stretches));
        }
        let sheet = sheet.ok_or(
            "no delimiter (, ; | or tab) gives rows of one width, and no blanks that all lines share tell fields of fixed width \
             apart; start from config/feeds/pick-csv.toml or config/feeds/metasfresh-desadv-fixed.toml",
        )?;
        let names: Vec<String> = match sheet.has_header {
            true => sheet.rows[0].clone(),
            false => (0..sheet.rows[0].len()).map(|at| at.to_string()).collect(),
        };
        let body = if sheet.has_header { &sheet.rows[1..] } else { &sheet.rows[..] };
        let mut out = String::new();
        let samples = |at: usize| body.iter().filter_map(move |row| row.get(at)).map(String::as_str);
        let by_place = !sheet.has_header;
        let from = |at: usize| match by_place {
            true => format!("{{ column = {at} }}"),
            false => format!("{{ column = {} }}", quoted(&names[at])),
        };
        let has_comma = (0..names.len()).any(|at| is_comma_number(samples(at)));
        let (event_type, fields) = self.fields(&names, &|at| samples(at).take(ROWS).collect(), &from, &|_, _| true);
        out.push_str(&self.head(Some(event_type)));
        let (delimiter, header) = (quoted(&char::from(sheet.delimiter).to_string()), sheet.has_header);
        let mark = if has_comma { "," } else { "." };
        out.push_str(&format!("type = \"csv\"\ndelimiter = {delimiter}\nheader = {header}\ndecimal = \"{mark}\"\n\n"));
        let of_document = names.iter().enumerate().find(|(_, name)| is_document(event_type, columns::field_of(name)));
        if let Some((at, name)) = of_document {
            let column = if by_place { at.to_string() } else { quoted(name) };
            out.push_str(&format!(
                "[group]\nby = [{column}]          # (guessed) neighbouring rows of one document\n\n"
            ));
        }
        out.push_str(&fields);
        Ok(out)
    }

    /// Lines of one width. Fields that touch each other cannot be told apart: the comments show what was seen.
    fn fixed(&self, lines: &[&str], stretches: &[(usize, usize)]) -> String {
        let head: Vec<String> = stretches.iter().map(|stretch| fixed::cell(lines[0], *stretch)).collect();
        let has_header = head.iter().any(|name| columns::field_of(name).is_some());
        let body = &lines[usize::from(has_header)..];
        let cells: Vec<Vec<String>> =
            stretches.iter().map(|stretch| body.iter().map(|line| fixed::cell(line, *stretch)).collect()).collect();
        let place = |at: usize| format!("characters {} to {}", stretches[at].0, stretches[at].0 + stretches[at].1 - 1);
        let names: Vec<String> =
            (0..stretches.len()).map(|at| if has_header { head[at].clone() } else { place(at) }).collect();
        let samples = |at: usize| -> Vec<&str> { cells[at].iter().map(String::as_str).collect() };
        let from = |at: usize| format!("{{ start = {}, len = {} }}", stretches[at].0, stretches[at].1);
        let (event_type, fields) = self.fields(&names, &samples, &from, &|_, _| true);
        let mut out = self.head(Some(event_type));
        out.push_str("type = \"fixed\"\n# (guessed) where fields begin, by blanks that all lines share; correct start and len where fields touch:\n");
        for (at, column) in cells.iter().enumerate() {
            let seen = column.iter().find(|cell| !cell.is_empty()).map_or("", String::as_str);
            out.push_str(&format!("#   {}, as {}\n", place(at), quoted(seen)));
        }
        if let (true, Some((start, len))) = (has_header, stretches.first()) {
            let word = quoted(&head[0]);
            out.push_str(&format!(
                "skip = [{{ start = {start}, len = {len}, values = [{word}] }}]   # the line of names\n"
            ));
        }
        out.push('\n');
        out.push_str(&fields);
        out
    }

    fn objects(&self, text: &str) -> Result<String, String> {
        let objects: Vec<Value> = text.lines().take(ROWS).filter_map(|line| serde_json::from_str(line).ok()).collect();
        let Some(Value::Object(first)) = objects.first() else { return Err("no JSON objects were found".to_owned()) };
        let mut pointers = Vec::new();
        flatten("", &Value::Object(first.clone()), &mut pointers);
        let names: Vec<String> =
            pointers.iter().map(|pointer| pointer.rsplit('/').next().unwrap_or("").to_owned()).collect();
        let samples = |at: usize| -> Vec<&str> {
            objects.iter().filter_map(|object| object.pointer(&pointers[at])?.as_str()).collect()
        };
        let from = |at: usize| format!("{{ path = {} }}", quoted(&pointers[at]));
        let (event_type, fields) = self.fields(&names, &samples, &from, &|_, _| true);
        Ok(format!("{}type = \"ndjson\"\n\n{fields}", self.head(Some(event_type))))
    }

    fn tree(&self, root: &Value, is_xml: bool) -> Option<String> {
        let found = trees::layout(root, is_xml)?;
        let names: Vec<String> = found.leaves.iter().map(|leaf| leaf.name.clone()).collect();
        let samples =
            |at: usize| -> Vec<&str> { found.leaves[at].samples.iter().take(ROWS).map(String::as_str).collect() };
        let from = |at: usize| format!("{{ path = {} }}", quoted(&found.leaves[at].path));
        // A path starts at the line for what belongs to a line, and at the record for everything else.
        let has_lines = !found.lines.is_empty();
        let fits = |at: usize, target: &str| !has_lines || target.starts_with("lines.") == found.leaves[at].is_line;
        let (event_type, fields) = self.fields(&names, &samples, &from, &fits);
        let mut out = self.head(Some(event_type));
        if is_xml {
            let record = quoted(found.records.last()?);
            out.push_str(&format!(
                "type = \"xml\"\nrecord = {record}          # (guessed) the element that is one document\n"
            ));
        } else {
            out.push_str("type = \"json\"\n");
            if !found.records.is_empty() {
                let records = quoted(&trees::pointer(&found.records, false));
                out.push_str(&format!("records = {records}          # (guessed) the list of documents\n"));
            }
        }
        if has_lines {
            let lines = quoted(&trees::pointer(&found.lines, is_xml));
            out.push_str(&format!("lines = {lines}          # (guessed) from the document to its lines\n"));
        }
        out.push('\n');
        out.push_str(&fields);
        Some(out)
    }

    /// The `[[field]]` tables, and what the rows report. `fits` says whether a value can be read into a field at all.
    fn fields<'s>(
        &self,
        names: &[String],
        samples: &dyn Fn(usize) -> Vec<&'s str>,
        from: &dyn Fn(usize) -> String,
        fits: &dyn Fn(usize, &str) -> bool,
    ) -> (EventType, String) {
        let field_at = |at: usize, name: &String| columns::field_of(name).filter(|target| fits(at, target));
        let guessed: Vec<&str> = names.iter().enumerate().filter_map(|(at, name)| field_at(at, name)).collect();
        let event_type = self.event_type.unwrap_or_else(|| columns::event_type(self.name, &guessed));
        let quantity = columns::quantity_of(event_type);
        let (mut taken, mut out, mut has_time) = (Vec::new(), String::new(), false);
        let has_quantity = guessed.contains(&quantity);
        let open = if names.is_empty() { "{ column = \"...\" }".to_owned() } else { from(0) };
        for (at, name) in names.iter().enumerate() {
            let format = columns::format_of(samples(at).into_iter());
            let is_named = columns::is_time(name);
            // A bare number of eight digits is a day only where the name says so.
            if !has_time && format.is_some() && is_named && fits(at, "event_time") {
                has_time = true;
                let formats =
                    format.filter(|f| *f != "iso").map_or(String::new(), |f| format!("formats = [\"{f}\"]\n"));
                out.push_str(&field("event_time", &from(at), &formats));
                continue;
            }
            let target = match field_at(at, name) {
                Some("lines.qty") if !has_quantity => Some(quantity),
                other => other,
            };
            match target.filter(|target| !taken.contains(target)) {
                Some(target) => {
                    taken.push(target);
                    let is_needed = target == "lines.item.sku" || target == quantity;
                    let more = if is_needed { "required = true\n" } else { "" };
                    let units = if target == "lines.uom" { "default = \"EA\"\n" } else { "" };
                    out.push_str(&field(target, &from(at), &format!("{more}{units}")));
                }
                None => out.push_str(&format!("# {} is kept as an extension\n\n", from(at))),
            }
        }
        if !has_time && columns::is_of_the_moment(event_type) {
            out.push_str(&field("event_time", "{ file = \"time\" }", ""));
        } else if !has_time {
            out.push_str(&missing("which of them says when it happened?", "event_time", &open));
        }
        if !taken.contains(&"lines.item.sku") {
            out.push_str(&missing("which of them holds the item number?", "lines.item.sku", &open));
        }
        (event_type, out)
    }
}

/// Whether this field names the document whose rows lie below one another.
fn is_document(event_type: EventType, field: Option<&str>) -> bool {
    match event_type {
        EventType::ShipmentConfirmed | EventType::OrderSubmitted => field == Some("references.depositor_order"),
        EventType::ReceiptConfirmed => field == Some("references.receipt"),
        _ => false,
    }
}

fn field(to: &str, from: &str, more: &str) -> String {
    format!("[[field]]\nto = \"{to}\"\nfrom = {from}          # (guessed)\n{more}\n")
}

fn missing(question: &str, to: &str, from: &str) -> String {
    format!("# (missing) {question}\n# [[field]]\n# to = \"{to}\"\n# from = {from}          # or another\n\n")
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn flatten(path: &str, value: &Value, pointers: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            flatten(&format!("{path}/{key}"), value, pointers);
        }),
        // What a list holds must be said by a person: it may be lines, or serial numbers.
        Value::Array(_) => {}
        _ => pointers.push(path.to_owned()),
    }
}

/// Whether every value is a number with a decimal comma, and one has it.
fn is_comma_number<'s>(samples: impl Iterator<Item = &'s str> + Clone) -> bool {
    let is_number = |text: &str| {
        let (whole, part) = text.split_once(',').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits(whole.trim_start_matches('-')) && digits(part)
    };
    let filled = samples.filter(|text| !text.is_empty());
    filled.clone().any(|text| text.contains(',')) && filled.clone().all(is_number)
}

/// The example as rows of cells.
struct Sheet {
    delimiter: u8,
    has_header: bool,
    rows: Vec<Vec<String>>,
}

impl Sheet {
    /// Takes the delimiter that gives most rows of one and the same width, which must be more than one cell.
    fn read(text: &str) -> Option<Self> {
        let of = |delimiter: u8| {
            let reader = csv::ReaderBuilder::new()
                .delimiter(delimiter)
                .has_headers(false)
                .flexible(true)
                .trim(csv::Trim::All)
                .from_reader(text.as_bytes())
                .into_records()
                .take(ROWS)
                .filter_map(Result::ok)
                .map(|record| record.iter().map(str::to_owned).collect::<Vec<String>>())
                .collect::<Vec<_>>();
            let width = reader.first().map_or(0, Vec::len);
            let even = reader.iter().filter(|row| row.len() == width).count();
            (even * width.saturating_sub(1), delimiter, reader)
        };
        let (score, delimiter, rows) =
            [b',', b';', b'|', b'\t'].map(of).into_iter().max_by_key(|(score, ..)| *score)?;
        if score == 0 {
            return None;
        }
        let is_word = |cell: &String| {
            cell.chars().any(char::is_alphabetic) && columns::format_of([cell.as_str()].into_iter()).is_none()
        };
        let known =
            rows.first()?.iter().filter(|cell| columns::field_of(cell).is_some() || columns::is_time(cell)).count();
        let has_header = known > 0 && rows.first()?.iter().all(|cell| cell.is_empty() || is_word(cell));
        Some(Self { delimiter, has_header, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, text: &str) -> (u8, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let args = NewArgs { file, out: None, name: None, event_type: None };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = new(&args, "2026-11-24T00:00:00Z".parse().unwrap(), &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_profile_written_from_rows_reads_them() {
        let text = "Order No;Item;Shipped Qty;Unit;Ship Date\nSO1;4711;12,5;KG;23.11.2026 09:15\n\
                    SO1;4713;2;EA;23.11.2026 09:15\nSO2;4712;1;EA;23.11.2026 09:20\n";

        let (code, out, err) = run("SHIP_20261123.csv", text);

        assert_eq!(code, 0, "{out}\n{err}");
        for part in [
            "event_type = \"shipment_confirmed\"",
            "delimiter = \";\"",
            "decimal = \",\"",
            "%d.%m.%Y %H:%M",
            "SHIP_*.csv",
        ] {
            assert!(out.contains(part), "{part} in\n{out}");
        }
        assert!(err.contains("2 events, 0 lines rejected"), "{err}");
    }

    #[test]
    fn rows_without_a_header_are_told_by_place_and_what_is_missing_is_said() {
        let (code, out, err) = run("X1.txt", "A|4711|3|9.5\nB|4712|4|1.25\n");

        assert_eq!(code, 1, "{out}");
        assert!(out.contains("header = false") && out.contains("(missing) which of them says when"), "{out}");
        assert!(err.contains("does not read"), "{err}");
    }

    #[test]
    fn lists_of_xml_and_json_get_profiles_that_read_them() {
        let (code, out, err) = run(
            "Shipments.xml",
            "<Upload><Shipment><ShipmentId>S1</ShipmentId><OrderNo>SO1</OrderNo><ShipDate>2026-11-23T09:15:00</ShipDate><Details>\
             <Detail><Item>4711</Item><Qty>2</Qty></Detail><Detail><Item>4712</Item><Qty>1</Qty></Detail></Details></Shipment></Upload>",
        );
        assert_eq!(code, 0, "{out}\n{err}");
        assert!(out.contains("record = \"Shipment\"") && out.contains("lines = \"Details/Detail\""), "{out}");

        let (code, out, err) = run(
            "stock.json",
            "{\"total\":1,\"items\":[{\"sku\":\"4711\",\"onHand\":5,\"unit\":\"EA\",\"timestamp\":\"2026-11-23T09:15:00\"}]}",
        );
        assert_eq!(code, 0, "{out}\n{err}");
        assert!(out.contains("records = \"/items\"") && out.contains("path = \"/onHand\""), "{out}");
    }

    #[test]
    fn lines_of_fixed_width_get_the_stretches_between_their_blanks() {
        let (code, out, err) = run(
            "PICK1.txt",
            "ORDER  ITEM  QTY UNIT DATE\u{20}\u{20}\u{20}\u{20}\u{20}\u{20}\nSO-1   4711   12 EA   2026-11-23\nSO-22  4712    3 EA   2026-11-24\n",
        );
        assert_eq!(code, 0, "{out}\n{err}");
        assert!(out.contains("{ start = 8, len = 6 }") && out.contains("values = [\"ORDER\"]"), "{out}");

        let (code, _, err) = run("NOTES.txt", "nothing of a table\nand no columns\n");
        assert_eq!(code, crate::cli::exit::DATA);
        assert!(err.contains("no delimiter"), "{err}");
    }

    #[test]
    fn objects_and_standards_get_profiles_of_their_own_kind() {
        let (code, out, err) = run(
            "picks.ndjson",
            "{\"order\":\"S1\",\"item\":{\"sku\":\"4711\"},\"qty\":\"3\",\"picked_at\":\"2026-11-23T09:15:00\"}\n",
        );
        assert_eq!(code, 0, "{out}\n{err}");
        assert!(out.contains("path = \"/item/sku\""), "{out}");

        let (_, out, _) = run("945.edi", "ISA*00*          *");
        assert!(out.contains("type = \"x12\""), "{out}");
    }
}

//! Reads a profile's text.

use std::{collections::BTreeMap, path::Path};

use docksync_proto::{event::EventType, site::SiteId};
use jiff::tz::TimeZone;
use regex::Regex;

use super::{
    Column, Common, CompleteRule, CsvParse, DialectKind, DialectParse, Field, Group, Parse, Profile, RecordType,
    Revision, Scope, TreeForm, TreeParse, TypeRule, cases,
    dialect::OptionKind,
    fields::{self, Form, Ground},
    response,
};
use crate::{
    config::{
        problem::{Problem, suggestion},
        section::{Document, Section},
    },
    decode::{
        charset::Charset,
        number::NumberForm,
        rows::{Dialect, LINES},
        target::{ContainerField, ContainerText, LineField, LineText, Target},
    },
};

/// Names that no warehouse system gives to a finished file.
const REJECTS: &[&str] = &["*.tmp", "*.part", "*.filepart", "~*", ".*"];
const ENCODINGS: &[(&str, Option<Charset>)] = &[
    ("auto", None),
    ("utf-8", Some(Charset::Utf8)),
    ("utf-8-bom", Some(Charset::Utf8)),
    ("utf-16le", Some(Charset::Utf16Le)),
    ("utf-16be", Some(Charset::Utf16Be)),
    ("windows-1252", Some(Charset::Windows1252)),
    ("iso-8859-1", Some(Charset::Latin1)),
];

/// Reads a profile.
///
/// # Errors
/// Every mistake in the text, in its order.
pub fn read(path: &Path, text: &str) -> Result<Profile, Vec<Problem>> {
    let document = Document::parse(path.to_path_buf(), text);
    let profile = document.root().and_then(|root| profile(root));
    let problems = document.into_problems();
    match profile {
        Some(profile) if problems.is_empty() => Ok(profile),
        _ => Err(problems),
    }
}

fn profile(root: Section<'_, '_>) -> Option<Profile> {
    let feed = require(&root, "feed");
    let mut parsed = require(&root, "parse").and_then(parse);
    let tables = tables(&root);
    if let Some(Parse::Dialect(parse)) = &mut parsed {
        parse.sites = sites(&root);
        parse.tables.clone_from(&tables);
        return document_feed(root, feed, parsed);
    }
    let group_node = root.section("group");
    let has_group = group_node.is_some();
    let group = group_node.map_or(Some(Group::Row), |section| group(section, parsed.as_ref()));
    let mut ground = ground(parsed.as_ref(), group.as_ref(), tables);
    if parsed.is_none() {
        // A mistake in [parse] must not make mistakes of all that is right below it.
        ground.form = form_of(&root);
    }
    let fields: Vec<Option<Field>> = root.sections("field").into_iter().map(|s| fields::field(s, &ground)).collect();
    // Which rows are left out is said in terms of what [parse] itself declares.
    let skips: Vec<_> = root
        .section("parse")
        .map_or_else(Vec::new, |parse| parse.sections("skip").into_iter().map(|s| fields::skip(s, &ground)).collect());
    let checks: Vec<_> = root.sections("check").into_iter().map(|s| fields::check(s, &ground)).collect();
    let (refuses_file, keeps_unknown) = on_error(&root);
    let (cases, response) = (cases::cases(&root), response::read(&root));
    let is_split = !has_group && !ground.has_header_scope;
    let profile = feed.and_then(|feed| {
        let fields = fields.into_iter().collect::<Option<Vec<_>>>();
        let event_type = event_type(&feed, &ground);
        let half = head(&feed, is_split);
        feed.close();
        let (fields, half) = (fields?, half?);
        Some(Profile {
            event_type: event_type?,
            parse: parsed?,
            group: group?,
            skips: skips.into_iter().collect::<Option<_>>()?,
            fields,
            checks: checks.into_iter().collect::<Option<_>>()?,
            refuses_file,
            keeps_unknown,
            cases: cases?,
            response,
            ..half
        })
    });
    if let Some(profile) = &profile {
        mandatory(&root, profile);
    }
    root.close();
    profile
}

/// A feed whose documents need no mapping.
fn document_feed(root: Section<'_, '_>, feed: Option<Section<'_, '_>>, parsed: Option<Parse>) -> Option<Profile> {
    let (refuses_file, keeps_unknown) = on_error(&root);
    let (cases, response) = (cases::cases(&root), response::read(&root));
    let profile = feed.and_then(|feed| {
        let half = head(&feed, false);
        feed.close();
        Some(Profile { parse: parsed?, refuses_file, keeps_unknown, cases: cases?, response, ..half? })
    });
    root.close();
    profile
}

fn require<'d, 't>(root: &Section<'d, 't>, key: &'static str) -> Option<Section<'d, 't>> {
    if root.node(key).is_none() {
        root.missing(key, format!("add [{key}]"));
    }
    root.section(key)
}

/// What `[feed]` says apart from the event type.
fn head(feed: &Section<'_, '_>, is_split: bool) -> Option<Profile> {
    let name = feed.required_text("name", "a short name, as \"dc7-receipts\"");
    let version = feed.number("version");
    if feed.node("version").is_none() {
        feed.missing("version", "version = 1");
    }
    let site = feed.node("site").and_then(|node| {
        let text = feed.text_of("site", node)?;
        SiteId::new(text).map_err(|e| feed.wrong(node, "C018", e.to_string(), "")).ok()
    });
    let matches = feed.texts("match");
    if matches.is_empty() {
        feed.missing("match", "as match = [\"*.csv\"]");
    }
    let mut rejects = feed.texts("reject");
    rejects.extend(REJECTS.iter().map(|r| (*r).to_owned()));
    let sequence = feed.node("sequence").and_then(|node| {
        let text = feed.text_of("sequence", node)?;
        Regex::new(text).map_err(|_| feed.wrong(node, "C019", "not a regular expression".to_owned(), "")).ok()
    });
    Some(Profile {
        name: name?.to_owned(),
        version: version?,
        system: feed.text("system").unwrap_or("").to_owned(),
        site,
        event_type: TypeRule::Const(EventType::EpcisOther),
        matches,
        rejects,
        sequence,
        encoding: feed.word("encoding", ENCODINGS).unwrap_or(None),
        complete: complete(feed)?,
        on_revision: feed
            .word("on_revision", &[("hold", Revision::Hold), ("latest", Revision::Latest)])
            .unwrap_or(Revision::Hold),
        split: feed.flag("split").unwrap_or(is_split),
        parse: Parse::Dialect(Box::new(DialectParse::new(DialectKind::X12, common_default()))),
        group: Group::Row,
        skips: Vec::new(),
        fields: Vec::new(),
        checks: Vec::new(),
        refuses_file: false,
        keeps_unknown: true,
        cases: Vec::new(),
        response: None,
    })
}

fn complete(feed: &Section<'_, '_>) -> Option<CompleteRule> {
    let Some(section) = feed.section("complete") else { return Some(CompleteRule::Quiet { seconds: 10 }) };
    let rule = section.word(
        "rule",
        &[("quiet", 0_u8), ("rename", 1), ("marker", 2), ("trailer", 3), ("xml_root", 3), ("companion", 2)],
    );
    let marker = section.text("marker").or(section.text("companion")).map(str::to_owned);
    let seconds = section.number("seconds").unwrap_or(10);
    let complete = match (rule, marker) {
        (Some(2) | None, Some(suffix)) => Some(CompleteRule::Marker { suffix }),
        (Some(2), None) => Some(CompleteRule::Marker { suffix: ".done".to_owned() }),
        (Some(0), _) => Some(CompleteRule::Quiet { seconds }),
        (Some(1), _) => Some(CompleteRule::Rename),
        (Some(_), _) => Some(CompleteRule::Trailer),
        (None, None) => {
            section.missing("rule", "quiet, rename, marker, trailer or xml_root");
            None
        }
    };
    section.close();
    complete
}

fn event_type(feed: &Section<'_, '_>, ground: &Ground) -> Option<TypeRule> {
    let Some(node) = feed.node("event_type") else {
        feed.missing("event_type", "as event_type = \"pick_confirmed\"");
        return None;
    };
    let known: Vec<&str> = EventType::ALL.iter().map(|t| t.as_str()).collect();
    let wrong = |word: &str| feed.wrong(node, "C020", format!("no event type `{word}`"), suggestion(word, &known));
    if let Some(word) = node.get_ref().as_str() {
        let found = EventType::from_word(word);
        if found.is_none() {
            wrong(word);
        }
        return found.map(TypeRule::Const);
    }
    let table = feed.section_of("event_type", node)?;
    let pairs = table.section("map").map(|map| map.pairs()).unwrap_or_default();
    let source = fields::plain(&table, ground.form);
    table.close();
    let mut map = BTreeMap::new();
    for (key, word) in pairs {
        match EventType::from_word(&word) {
            Some(event_type) => {
                map.insert(key.to_uppercase(), event_type);
            }
            None => wrong(&word),
        }
    }
    Some(TypeRule::Mapped { from: source?, map })
}

fn parse(section: Section<'_, '_>) -> Option<Parse> {
    let trees = [TreeForm::Ndjson, TreeForm::Json, TreeForm::Xml];
    let mut words = vec![("csv", Kind::Csv), ("fixed", Kind::Fixed)];
    words.extend(trees.map(|form| (form.as_str(), Kind::Tree(form))));
    words.extend(DialectKind::WORDS.iter().map(|(word, dialect)| (*word, Kind::Dialect(*dialect))));
    let kind = section.word("type", &words);
    if section.node("type").is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        section.missing("type", known.join(", "));
    }
    let common = common(&section);
    let _read_later = section.node("skip");
    let parsed = match kind? {
        Kind::Dialect(dialect) => dialect_parse(&section, dialect, common?),
        Kind::Csv => {
            let header = section.flag("header").unwrap_or(true);
            let trim = section.flag("trim").unwrap_or(true);
            let columns = section.number("columns").map(|n| n as usize);
            let dialect = dialect(&section);
            let record_type = declared_kinds(&section, false)?;
            let (has_header, is_fixed) = (header, false);
            Parse::Csv(CsvParse {
                common: common?,
                dialect: dialect?,
                is_fixed,
                has_header,
                columns,
                trim,
                record_type,
            })
        }
        Kind::Fixed => {
            let trim = section.flag("trim").unwrap_or(true);
            let record_type = declared_kinds(&section, true)?;
            let (dialect, is_fixed, has_header) = (LINES, true, false);
            Parse::Csv(CsvParse { common: common?, dialect, is_fixed, has_header, columns: None, trim, record_type })
        }
        Kind::Tree(form) => Parse::Tree(tree(&section, form, common?)?),
    };
    section.close();
    Some(parsed)
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Csv,
    Fixed,
    Tree(TreeForm),
    Dialect(DialectKind),
}

/// The outer `None` where what is declared is wrong.
fn declared_kinds(section: &Section<'_, '_>, is_fixed: bool) -> Option<Option<RecordType>> {
    match section.section("record_type") {
        Some(kinds) => record_type(kinds, is_fixed).map(Some),
        None => Some(None),
    }
}

fn tree(section: &Section<'_, '_>, form: TreeForm, common: Common) -> Option<TreeParse> {
    let is_xml = form == TreeForm::Xml;
    let path = |key: &'static str| {
        let node = section.node(key)?;
        let text = section.text_of(key, node)?;
        let form = if is_xml { Form::Xml } else { Form::Json };
        fields::is_path(section, node, text, form).then(|| text.to_owned())
    };
    let records = match form {
        TreeForm::Ndjson => Some(String::new()),
        TreeForm::Json => {
            if section.node("records").is_some() {
                path("records")
            } else {
                Some(String::new())
            }
        }
        TreeForm::Xml => {
            if section.node("record").is_none() {
                section.missing("record", "the element that is a record, as record = \"Shipment\"");
            }
            path("record")
        }
    };
    for (key, node) in [("records", section.node("records")), ("record", section.node("record"))] {
        let Some(node) = node else { continue };
        if (key == "record") != is_xml || form == TreeForm::Ndjson {
            let help = match form {
                TreeForm::Ndjson => "leave it out: each line of the file is a record",
                TreeForm::Json => "for json write records = \"/orders\"",
                TreeForm::Xml => "for xml write record = \"Shipment\"",
            };
            section.wrong(node, "C040", format!("`{key}` is not for {}", form.as_str()), help);
        } else if node.get_ref().as_str().is_some_and(|text| text.contains(['[', '*']) || text.contains("..")) {
            let message = format!("`{key}` takes names alone");
            section.wrong(node, "C040", message, "leave out records with [parse] skip");
        }
    }
    let lines = path("lines");
    let is_wrong = section.node("lines").is_some() && lines.is_none();
    let may_be_empty = is_xml && section.flag("may_be_empty").unwrap_or(false);
    Some(TreeParse { common, form, records: records?, lines: (!is_wrong).then_some(lines)?, may_be_empty })
}

fn dialect_parse(section: &Section<'_, '_>, dialect: DialectKind, common: Common) -> Parse {
    let mut parse = DialectParse::new(dialect, common);
    for (name, kind) in dialect.options() {
        let values = match kind {
            OptionKind::Switch => section.flag(name).map(|is_set| vec![is_set.to_string()]),
            OptionKind::Word(words) => {
                let words: Vec<(&str, &str)> = words.iter().map(|word| (*word, *word)).collect();
                section.word(name, &words).map(|word| vec![word.to_owned()])
            }
            OptionKind::List => section.node(name).map(|_| section.texts(name)),
        };
        parse.options.extend(values.map(|values| (*name, values)));
    }
    Parse::Dialect(Box::new(parse))
}

/// `[sites]`: codes of warehouses in the documents to sites.
fn sites(root: &Section<'_, '_>) -> BTreeMap<String, SiteId> {
    let (Some(section), Some(node)) = (root.section("sites"), root.node("sites")) else { return BTreeMap::new() };
    let mut sites = BTreeMap::new();
    for (code, site) in section.pairs() {
        match SiteId::new(&site) {
            Ok(site) => {
                sites.insert(code.to_uppercase(), site);
            }
            Err(error) => root.wrong(node, "C018", error.to_string(), ""),
        }
    }
    sites
}

fn common_default() -> Common {
    let number = NumberForm { mark: b'.', thousands: None, trailing_minus: false };
    Common { null: Vec::new(), number, zone: None, zone_name: String::new() }
}

fn common(section: &Section<'_, '_>) -> Option<Common> {
    let mark = byte(section, "decimal").unwrap_or(Some(b'.'))?;
    let thousands = byte(section, "thousands").flatten();
    let zone = match section.node("timezone") {
        None => None,
        Some(node) => {
            let name = section.text_of("timezone", node)?;
            let zone = TimeZone::get(name);
            if zone.is_err() {
                section.wrong(node, "C021", format!("no time zone `{name}`"), "as \"America/Chicago\"");
            }
            Some((zone.ok()?, name.to_owned()))
        }
    };
    let number = NumberForm { mark, thousands, trailing_minus: section.flag("trailing_minus").unwrap_or(false) };
    let (zone, zone_name) = zone.unzip();
    Some(Common { null: section.texts("null"), number, zone, zone_name: zone_name.unwrap_or_default() })
}

fn dialect(section: &Section<'_, '_>) -> Option<Dialect> {
    Some(Dialect {
        delimiter: byte(section, "delimiter").unwrap_or(Some(b','))?,
        quote: byte(section, "quote").unwrap_or(Some(b'"')),
        escape: byte(section, "escape").flatten(),
        comment: byte(section, "comment").flatten(),
    })
}

/// One ASCII character; the inner `None` is an empty text, which switches the feature off.
fn byte(section: &Section<'_, '_>, key: &'static str) -> Option<Option<u8>> {
    let node = section.node(key)?;
    let text = section.text_of(key, node)?;
    match text.as_bytes() {
        [] => Some(None),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Some(Some(*byte)),
        _ => {
            section.wrong(node, "C022", format!("`{key}` must be one ASCII character"), "as \",\" or \"\\t\"");
            None
        }
    }
}

fn record_type(section: Section<'_, '_>, is_fixed: bool) -> Option<RecordType> {
    let column = if is_fixed { fields::span(&section) } else { fields::column(&section, "column") };
    if !is_fixed && section.node("column").is_none() {
        section.missing("column", "column = 0");
    }
    let header = section.text("header").map(str::to_owned);
    let trailer = section.text("trailer").map(str::to_owned);
    let details = match section.node("detail") {
        Some(node) if node.get_ref().as_array().is_some() => {
            Some(section.texts("detail")).filter(|all| !all.is_empty())
        }
        // Where header or trailer rows are named, every other row is a detail.
        None if header.is_some() || trailer.is_some() => Some(Vec::new()),
        _ => section.required_text("detail", "detail = \"DTL\"").map(|word| vec![word.to_owned()]),
    };
    let found = RecordType { column: column?, header, details: details?, trailer };
    section.close();
    Some(found)
}

fn tables(root: &Section<'_, '_>) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut tables = BTreeMap::new();
    for section in root.sections("table") {
        let name = section.required_text("name", "name = \"units\"").map(str::to_owned);
        let rows = section.section("rows").map(|rows| fields::capitals(rows.pairs()));
        if section.node("rows").is_none() {
            section.missing("rows", "rows = { \"FROM\" = \"to\" }");
        }
        section.close();
        if let (Some(name), Some(rows)) = (name, rows) {
            tables.insert(name, rows);
        }
    }
    tables
}

fn group(section: Section<'_, '_>, parsed: Option<&Parse>) -> Option<Group> {
    let Some(node) = section.node("by") else {
        section.missing("by", "\"header_record\" or a list of columns");
        return None;
    };
    let has_header =
        matches!(parsed, Some(Parse::Csv(csv)) if csv.record_type.as_ref().is_some_and(|r| r.header.is_some()));
    let group = match (node.get_ref().as_str(), node.get_ref().as_array()) {
        (Some("header_record"), _) if has_header || parsed.is_none() => Some(Group::HeaderRecord),
        (Some("header_record"), _) => {
            section.wrong(
                node,
                "C023",
                "no header record is declared".to_owned(),
                "add [parse] record_type = { header = ... }",
            );
            None
        }
        (_, Some(columns)) if matches!(parsed, Some(Parse::Csv(_)) | None) => {
            let is_fixed = matches!(parsed, Some(Parse::Csv(csv)) if csv.is_fixed);
            let columns: Option<Vec<Column>> =
                columns.iter().map(|item| fields::place_of(&section, "by", item, is_fixed)).collect();
            columns.map(Group::Columns)
        }
        _ => {
            section.wrong(node, "C023", "`by` must be \"header_record\" or a list of columns".to_owned(), "");
            None
        }
    };
    section.close();
    group
}

fn ground(parsed: Option<&Parse>, group: Option<&Group>, tables: BTreeMap<String, BTreeMap<String, String>>) -> Ground {
    let mut records = Vec::new();
    let (form, has_header_scope) = match parsed {
        Some(Parse::Csv(csv)) => {
            if let Some(record) = &csv.record_type {
                records.extend(record.header.clone().map(|word| (word, Scope::Header)));
                records.extend(record.details.iter().map(|word| (word.clone(), Scope::Detail)));
                records.extend(record.trailer.clone().map(|word| (word, Scope::Trailer)));
            }
            let form = if csv.is_fixed { Form::Fixed } else { Form::Cells };
            (form, matches!(group, Some(Group::HeaderRecord)))
        }
        Some(Parse::Tree(tree)) => {
            records.push(("header".to_owned(), Scope::Header));
            records.push(("line".to_owned(), Scope::Detail));
            let form = if tree.form == TreeForm::Xml { Form::Xml } else { Form::Json };
            (form, tree.lines.is_some())
        }
        Some(Parse::Dialect(_)) | None => (Form::Cells, false),
    };
    Ground { form, records, has_header_scope, tables }
}

/// How values are named, by the declared type alone.
fn form_of(root: &Section<'_, '_>) -> Form {
    let parse = root.section("parse");
    let word = parse.as_ref().and_then(|parse| parse.node("type")).and_then(|node| node.get_ref().as_str());
    match word {
        Some("fixed") => Form::Fixed,
        Some("json" | "ndjson") => Form::Json,
        Some("xml") => Form::Xml,
        _ => Form::Cells,
    }
}

/// Whether a bad line refuses the file, and whether unmapped columns are kept.
fn on_error(root: &Section<'_, '_>) -> (bool, bool) {
    let Some(section) = root.section("on_error") else { return (false, true) };
    let line = section.word("line", &[("hold", false), ("dead_letter", false), ("file", true)]);
    // The only answer to a bad file; a feed may say so aloud.
    let _said = section.word("file", &[("quarantine", ())]);
    let unknown = section.word("unknown_columns", &[("extensions", true), ("ignore", false)]);
    section.close();
    (line.unwrap_or(false), unknown.unwrap_or(true))
}

/// Fields without which no event of the type can be good.
fn mandatory(root: &Section<'_, '_>, profile: &Profile) {
    let has = |wanted: &dyn Fn(&Target) -> bool| profile.fields.iter().any(|field| wanted(&field.to));
    if !has(&|to| *to == Target::EventTime) {
        root.missing("field", "add a [[field]] with to = \"event_time\"");
    }
    let has_line = has(&|to| matches!(to, Target::Line(_)));
    if has_line && !has(&|to| *to == Target::Line(LineField::Text(LineText::Sku))) {
        root.missing("field", "add a [[field]] with to = \"lines.item.sku\"");
    }
    let has_content = has(&|to| matches!(to, Target::Content(_)));
    let named =
        |to: &Target| matches!(to, Target::Container(ContainerField::Sscc | ContainerField::Text(ContainerText::Id)));
    if has_content && !has(&named) {
        root.missing("field", "add a [[field]] with to = \"containers.container_id\"");
    }
}

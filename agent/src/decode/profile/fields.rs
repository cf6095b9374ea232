//! Reads `[[field]]` and `[[check]]`.

use std::collections::BTreeMap;

use regex::Regex;
use rust_decimal::Decimal;

use super::{Check, Column, Field, FileFact, From, Scope, Skip, Transform};
use crate::{
    config::{
        problem::did_you_mean,
        section::{Node, Section},
    },
    decode::{
        target::{Kind, LineField, Target},
        tree::path::TreePath,
    },
};

/// How values are named in a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Columns by place and name.
    Cells,
    /// Stretches of a line.
    Fixed,
    /// JSON pointers.
    Json,
    /// Paths of names.
    Xml,
}

/// What the fields must know of the rest of the profile.
pub(super) struct Ground {
    /// How values are named.
    pub(super) form: Form,
    /// Words of `[parse] record_type`, by scope.
    pub(super) records: Vec<(String, Scope)>,
    /// Whether documents have a header of their own.
    pub(super) has_header_scope: bool,
    /// Named tables.
    pub(super) tables: BTreeMap<String, BTreeMap<String, String>>,
}

const TYPES: &[(&str, &[Kind])] = &[
    (
        "text",
        &[
            Kind::Text,
            Kind::Uom,
            Kind::Reason,
            Kind::Status,
            Kind::LineStatus,
            Kind::Gtin,
            Kind::Sscc,
            Kind::Action,
            Kind::ContainerKind,
        ],
    ),
    ("decimal", &[Kind::Decimal]),
    ("date", &[Kind::Date, Kind::Time]),
    ("datetime", &[Kind::Time, Kind::Date]),
];

pub(super) fn field(section: Section<'_, '_>, ground: &Ground) -> Option<Field> {
    let name = section.required_text("to", "name a field of the event, as \"lines.item.sku\"");
    let to = name.and_then(|name| target(&section, name));
    let from = source(&section, ground, "from", to.as_ref().is_some_and(Target::is_detail));
    check_type(&section, to.as_ref());
    let required = section.flag("required").unwrap_or(false);
    let default = section.text("default").map(str::to_owned);
    let field = Field {
        name: name?.to_owned(),
        // An event without its time would be a guess.
        required: required || matches!(to, Some(Target::EventTime)),
        formats: formats(&section, to.as_ref()),
        transforms: transforms(&section, ground),
        map: map(&section, ground),
        default,
        min: bound(&section, "min"),
        max: bound(&section, "max"),
        to: to?,
        scope: from.as_ref()?.1,
        from: from?.0,
    };
    section.close();
    Some(field)
}

fn target(section: &Section<'_, '_>, name: &str) -> Option<Target> {
    let target = Target::parse(name);
    if target.is_none()
        && let Some(node) = section.node("to")
    {
        let known = Target::known();
        let near = did_you_mean(name, known.iter().map(String::as_str));
        let help =
            near.map_or("see the fields of docksync.event.v1".to_owned(), |near| format!("did you mean `{near}`?"));
        section.wrong(node, "C010", format!("the event has no field `{name}`"), help);
    }
    target
}

fn check_type(section: &Section<'_, '_>, to: Option<&Target>) {
    let Some(node) = section.node("type") else { return };
    let Some(kinds) = section.word("type", &TYPES.iter().map(|(w, k)| (*w, *k)).collect::<Vec<_>>()) else { return };
    if let Some(to) = to
        && !kinds.contains(&to.kind())
    {
        let right: Vec<&str> = TYPES.iter().filter(|(_, k)| k.contains(&to.kind())).map(|(w, _)| *w).collect();
        section.wrong(node, "C011", "the field takes another type".to_owned(), format!("write {}", right.join(" or ")));
    }
}

/// The source and the kind of row it stands in.
pub(super) fn source(
    section: &Section<'_, '_>,
    ground: &Ground,
    key: &'static str,
    is_detail: bool,
) -> Option<(From, Scope)> {
    let Some(node) = section.node(key) else {
        section.missing(key, "say where the value stands, as { column = \"sku\" }");
        return None;
    };
    let table = section.section_of(key, node)?;
    let declared = record(&table, ground);
    let from = plain(&table, ground.form);
    table.close();
    let usual = if is_detail || !ground.has_header_scope { Scope::Detail } else { Scope::Header };
    Some((from?, declared.unwrap_or(usual)))
}

fn record(table: &Section<'_, '_>, ground: &Ground) -> Option<Scope> {
    let words: Vec<(&str, Scope)> = ground.records.iter().map(|(w, s)| (w.as_str(), *s)).collect();
    let node = table.node("record")?;
    let text = table.text_of("record", node)?;
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, scope)| *scope);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
        let help = if known.is_empty() {
            "declare [parse] record_type".to_owned()
        } else {
            format!("known: {}", known.join(", "))
        };
        table.wrong(node, "C012", format!("no record type `{text}` is declared"), help);
    }
    found
}

pub(super) fn plain(table: &Section<'_, '_>, form: Form) -> Option<From> {
    if let Some(text) = table.text("const") {
        return Some(From::Const(text.to_owned()));
    }
    if table.node("file").is_some() {
        return table.word("file", &[("name", FileFact::Name), ("time", FileFact::Time)]).map(From::File);
    }
    if let Some(node) = table.node("column") {
        let (message, help) = match form {
            Form::Cells => return column(table, "column").map(From::Column),
            Form::Fixed => ("lines of fixed width have no columns", "write start = 1, len = 4"),
            Form::Json => ("JSON has no columns", "write path = \"/name\""),
            Form::Xml => ("XML has no columns", "write path = \"Name\""),
        };
        table.wrong(node, "C013", message.to_owned(), help);
        return None;
    }
    if let Some(node) = table.node("start").or(table.node("len")) {
        if form != Form::Fixed {
            let message = "`start` and `len` are for lines of fixed width".to_owned();
            table.wrong(node, "C036", message, "name a column or a path");
            return None;
        }
        return span(table).map(From::Column);
    }
    if let Some(node) = table.node("path") {
        let path = table.text_of("path", node)?;
        return is_path(table, node, path, form).then(|| From::Path(path.to_owned()));
    }
    for (key, make) in [("concat", From::Concat as fn(Vec<From>) -> From), ("first_of", From::FirstOf)] {
        if let Some(node) = table.node(key) {
            let parts = node.get_ref().as_array()?;
            let part = |item| {
                let inner = table.section_of(key, item)?;
                let from = plain(&inner, form);
                inner.close();
                from
            };
            return parts.iter().map(part).collect::<Option<Vec<_>>>().map(make);
        }
    }
    let (key, help) = match form {
        Form::Cells => ("column", "column, const, concat or first_of"),
        Form::Fixed => ("start", "start and len, const, concat or first_of"),
        Form::Json | Form::Xml => ("path", "path, const, concat or first_of"),
    };
    table.missing(key, help);
    None
}

/// Whether this is a path in the format; else the mistake is noted.
pub(super) fn is_path(table: &Section<'_, '_>, node: &Node<'_>, path: &str, form: Form) -> bool {
    let (code, message, help) = match form {
        Form::Cells => ("C013", format!("`{path}` is no column: rows have no paths"), "write column = \"name\""),
        Form::Fixed => ("C013", format!("`{path}`: lines of fixed width have no paths"), "write start = 1, len = 4"),
        Form::Json => match TreePath::parse(path, false) {
            Ok(_) => return true,
            Err(why) => ("C013", format!("`{path}` is no JSON pointer: {why}"), "as path = \"/name\""),
        },
        Form::Xml => match TreePath::parse(path, true) {
            Ok(_) => return true,
            Err(why) => ("C037", format!("`{path}` is no path into XML: {why}"), "as path = \"Carton/@TrackingId\""),
        },
    };
    table.wrong(node, code, message, help);
    false
}

/// A stretch of a line: `start` from 1 and `len`, in characters.
pub(super) fn span(table: &Section<'_, '_>) -> Option<Column> {
    for key in ["start", "len"] {
        if table.node(key).is_none() {
            table.missing(key, "start = 1, len = 4: first character, from 1, and how many");
        }
    }
    let part = |key: &'static str| {
        let number = table.number(key)?;
        let part = usize::try_from(number).ok().filter(|n| (1..=LINE_CHARS_MAX).contains(n));
        if let (None, Some(node)) = (part, table.node(key)) {
            let message = format!("`{key}` must be from 1 to {LINE_CHARS_MAX}");
            table.wrong(node, "C038", message, "the first character of a line is 1");
        }
        part
    };
    let (start, len) = (part("start"), part("len"));
    Some(Column::Span { start: start?, len: len? })
}

/// Longest line of fixed width that a stretch can point into.
const LINE_CHARS_MAX: usize = 65_536;

/// One of `[parse] skip`.
pub(super) fn skip(section: Section<'_, '_>, ground: &Ground) -> Option<Skip> {
    let declared = record(&section, ground);
    let from = plain(&section, ground.form);
    let (values, except) = (section.texts("values"), section.texts("except"));
    match (section.node("values"), section.node("except")) {
        (None, None) => section.missing("values", "values = [\"To\"] that leave it out, or except = [...] that do not"),
        (Some(_), Some(node)) => {
            section.wrong(node, "C039", "`values` and `except` exclude each other".to_owned(), "keep one of them");
        }
        _ => {}
    }
    let is_except = section.node("except").is_some();
    section.close();
    let is_tree = matches!(ground.form, Form::Json | Form::Xml);
    let usual = if is_tree && ground.has_header_scope { Scope::Header } else { Scope::Detail };
    let values = if is_except { except } else { values };
    Some(Skip { from: from?, scope: declared.unwrap_or(usual), values, is_except })
}

/// A column by place or name.
pub(super) fn column(section: &Section<'_, '_>, key: &'static str) -> Option<Column> {
    let node = section.node(key)?;
    column_of(section, key, node)
}

/// A column by place or name; of a line of fixed width, a stretch.
pub(super) fn place_of<'t>(
    section: &Section<'_, 't>,
    key: &'static str,
    node: &Node<'t>,
    is_fixed: bool,
) -> Option<Column> {
    if !is_fixed {
        return column_of(section, key, node);
    }
    let table = section.section_of(key, node)?;
    let column = span(&table);
    table.close();
    column
}

/// A column by place or name.
pub(super) fn column_of<'t>(section: &Section<'_, 't>, key: &'static str, node: &Node<'t>) -> Option<Column> {
    if let Some(name) = node.get_ref().as_str() {
        return Some(Column::Name(name.trim().to_owned()));
    }
    let at = node.get_ref().as_integer().and_then(|n| n.as_str().parse::<usize>().ok()).filter(|at| *at < 4096);
    if at.is_none() {
        section.wrong(node, "C004", format!("`{key}` must be a column's name, or its place from 0"), "");
    }
    at.map(Column::Index)
}

fn formats(section: &Section<'_, '_>, to: Option<&Target>) -> Vec<String> {
    let formats = section.texts("formats");
    let Some(node) = section.node("formats") else { return formats };
    if to.is_some_and(|to| !matches!(to.kind(), Kind::Date | Kind::Time)) {
        section.wrong(node, "C011", "`formats` are for dates and times".to_owned(), "leave it out");
    }
    for format in formats.iter().filter(|f| *f != "iso") {
        let sample = jiff::civil::date(2026, 11, 23).at(13, 5, 9, 0).to_zoned(jiff::tz::TimeZone::UTC);
        let is_sound = sample.is_ok_and(|s| jiff::fmt::strtime::format(format, &s).is_ok());
        if !is_sound || !format.contains('%') {
            let message = format!("`{format}` is no format of dates");
            section.wrong(node, "C014", message, "as \"%Y-%m-%d %H:%M:%S\" or \"iso\"");
        }
    }
    formats
}

fn transforms(section: &Section<'_, '_>, ground: &Ground) -> Vec<Transform> {
    let Some(node) = section.node("transform") else { return Vec::new() };
    let Some(items) = node.get_ref().as_array() else {
        section.wrong(node, "C004", "`transform` must be a list".to_owned(), "as [\"trim\", \"upper\"]");
        return Vec::new();
    };
    items.iter().filter_map(|item| transform(section, ground, item)).collect()
}

const TRANSFORMS: &[&str] = &["trim", "upper", "strip_leading_zeros", "substring", "regex", "scale", "negate_if"];

fn transform<'t>(section: &Section<'_, 't>, ground: &Ground, item: &Node<'t>) -> Option<Transform> {
    match item.get_ref().as_str() {
        Some("trim") => return Some(Transform::Trim),
        Some("upper") => return Some(Transform::Upper),
        Some("strip_leading_zeros") => return Some(Transform::StripLeadingZeros),
        Some(word) => {
            let help = crate::config::problem::suggestion(word, TRANSFORMS);
            section.wrong(item, "C015", format!("`{word}` is no transform that stands alone"), help);
            return None;
        }
        None => {}
    }
    let (key, value) = item.get_ref().as_table()?.iter().next()?;
    let (key, number) = (&**key.get_ref(), |node: &Node<'_>| node.get_ref().as_integer()?.as_str().parse::<u32>().ok());
    let found = match key {
        "regex" => value.get_ref().as_str().and_then(|text| Regex::new(text).ok()).map(Transform::Regex),
        "scale" => number(value).filter(|scale| *scale <= 9).map(Transform::Scale),
        "substring" => {
            let part = |name: &str| {
                let table = value.get_ref().as_table()?;
                number(table.iter().find(|(k, _)| *k.get_ref() == name)?.1)
            };
            part("start")
                .zip(part("len"))
                .map(|(start, len)| Transform::Substring { start: start as usize, len: len as usize })
        }
        "negate_if" => section_like(section, value).and_then(|table| {
            let from = plain(&table, ground.form);
            let values = table.texts("values");
            table.close();
            Some(Transform::NegateIf { from: from?, values })
        }),
        _ => None,
    };
    if found.is_none() {
        let help = crate::config::problem::suggestion(key, TRANSFORMS);
        section.wrong(item, "C015", format!("`{key}` is no transform, or lacks what it needs"), help);
    }
    found
}

fn section_like<'d, 't>(section: &Section<'d, 't>, node: &'d Node<'t>) -> Option<Section<'d, 't>> {
    section.section_of("negate_if", node)
}

fn map(section: &Section<'_, '_>, ground: &Ground) -> Option<BTreeMap<String, String>> {
    let node = section.node("map")?;
    let Some(name) = node.get_ref().as_str() else {
        return Some(capitals(section.section_of("map", node)?.pairs()));
    };
    // The units of the contract apply to these fields by themselves; naming them says so aloud.
    if name == "uom" {
        return None;
    }
    if name == "reason_x12" {
        return Some(crate::decode::reasons::x12());
    }
    let table = ground.tables.get(name);
    if table.is_none() {
        let known: Vec<&str> = ground.tables.keys().map(String::as_str).chain(["uom", "reason_x12"]).collect();
        section.wrong(node, "C016", format!("no table `{name}`"), crate::config::problem::suggestion(name, &known));
    }
    table.cloned()
}

/// Keys of a map are compared in capitals.
pub(super) fn capitals(pairs: Vec<(String, String)>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_uppercase(), value)).collect()
}

fn bound(section: &Section<'_, '_>, key: &'static str) -> Option<Decimal> {
    let node = section.node(key)?;
    let value = node.get_ref();
    let text = value.as_integer().map(|n| n.as_str()).or_else(|| value.as_float().map(|f| f.as_str()));
    let bound = text.and_then(|text| text.parse().ok());
    if bound.is_none() {
        section.wrong(node, "C004", format!("`{key}` must be a number"), "");
    }
    bound
}

pub(super) fn check(section: Section<'_, '_>, ground: &Ground) -> Option<Check> {
    let kind = section.word("kind", &[("sum", true), ("count", false)]);
    if section.node("kind").is_none() {
        section.missing("kind", "sum or count");
    }
    let field = section.text("field").unwrap_or("rows");
    let sum_of = match (kind, Target::parse(field)) {
        (Some(true), Some(Target::Line(LineField::Quantity(quantity)))) => Some(quantity),
        (Some(true), _) => {
            if let Some(node) = section.node("field") {
                section.wrong(node, "C017", format!("`{field}` cannot be summed"), "name a quantity, as \"lines.qty\"");
            } else {
                section.missing("field", "name a quantity, as \"lines.qty\"");
            }
            return None;
        }
        (Some(false) | None, _) => None,
    };
    let equals = source(&section, ground, "equals", false);
    let refuses_file = section.word("on_mismatch", &[("warn", false), ("quarantine", true)]).unwrap_or(true);
    let (equals, scope) = equals?;
    if scope == Scope::Detail {
        let node = section.node("equals")?;
        section.wrong(node, "C012", "a total stands in a header or trailer record".to_owned(), "add record = \"...\"");
        return None;
    }
    kind?;
    section.close();
    Some(Check { sum_of, field: field.to_owned(), scope, equals, refuses_file })
}

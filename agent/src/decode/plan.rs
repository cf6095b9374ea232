//! A profile bound to one file: every column name turned into its place before the first row is read.

use std::{borrow::Cow, collections::BTreeMap};

use docksync_proto::event::EventType;
use rust_decimal::Decimal;
use serde_json::Value;

use super::{
    profile::{Check, Column, Field, From, Group, Parse, Profile, Scope, Transform, TypeRule},
    rows::Row,
    target::{Kind, LineQuantity, Target},
};
use crate::config::problem::did_you_mean;

/// One row as the fields see it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Input<'r> {
    Cells(&'r Row),
    Json(&'r Value),
}

/// Where a value stands in a row.
#[derive(Debug)]
pub(super) enum Source {
    Cell(usize),
    Path(String),
    Const(String),
    Concat(Vec<Self>),
    FirstOf(Vec<Self>),
}

/// Texts that mean nothing, and whether blanks around values do.
#[derive(Debug)]
pub(super) struct Blanks {
    pub(super) null: Vec<String>,
    pub(super) trim: bool,
}

impl Source {
    /// The value, or `None` where nothing stands there.
    pub(super) fn text<'r>(&'r self, row: Input<'r>, blanks: &Blanks) -> Option<Cow<'r, str>> {
        match self {
            Self::Cell(at) => match row {
                Input::Cells(row) => blanks.clean(row.cell(*at)?).map(Cow::Borrowed),
                Input::Json(_) => None,
            },
            Self::Path(path) => match row {
                Input::Json(value) => blanks.clean_cow(scalar(value.pointer(path)?)?),
                Input::Cells(_) => None,
            },
            Self::Const(text) => Some(Cow::Borrowed(text)),
            Self::FirstOf(parts) => parts.iter().find_map(|part| part.text(row, blanks)),
            Self::Concat(parts) => {
                let mut all = String::new();
                let mut is_real = false;
                for part in parts {
                    let text = part.text(row, blanks);
                    is_real |= text.is_some() && !matches!(part, Self::Const(_));
                    all.push_str(text.as_deref().unwrap_or(""));
                }
                // Fixed parts alone say nothing.
                is_real.then_some(Cow::Owned(all))
            }
        }
    }

    /// Column from 1, for messages; 0 where there is no single one.
    fn column(&self) -> u32 {
        match self {
            Self::Cell(at) => u32::try_from(*at).map_or(0, |at| at + 1),
            Self::FirstOf(parts) | Self::Concat(parts) => {
                parts.iter().map(Self::column).find(|column| *column > 0).unwrap_or(0)
            }
            Self::Path(_) | Self::Const(_) => 0,
        }
    }
}

impl Blanks {
    fn clean<'t>(&self, text: &'t str) -> Option<&'t str> {
        let text = if self.trim { text.trim() } else { text };
        let is_null = text.is_empty() || self.null.iter().any(|null| null == text);
        (!is_null).then_some(text)
    }

    fn clean_cow<'t>(&self, text: Cow<'t, str>) -> Option<Cow<'t, str>> {
        match text {
            Cow::Borrowed(text) => self.clean(text).map(Cow::Borrowed),
            Cow::Owned(text) => self.clean(&text).map(|clean| Cow::Owned(clean.to_owned())),
        }
    }
}

/// A JSON value as a text; objects and arrays as compact JSON, null as nothing.
pub(super) fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(Cow::Owned(value.to_string())),
    }
}

/// A change of a value, bound.
#[derive(Debug)]
pub(super) enum Step {
    Plain(Transform),
    NegateIf(Source, Vec<String>),
}

/// A field of the mapping, bound.
#[derive(Debug)]
pub(super) struct FieldPlan {
    /// Name in the profile.
    pub(super) name: String,
    /// Name or place of its column.
    pub(super) label: String,
    pub(super) column: u32,
    pub(super) to: Target,
    pub(super) is_decimal: bool,
    pub(super) source: Source,
    pub(super) required: bool,
    pub(super) formats: Vec<String>,
    pub(super) steps: Vec<Step>,
    pub(super) map: Option<BTreeMap<String, String>>,
    pub(super) default: Option<String>,
    pub(super) min: Option<Decimal>,
    pub(super) max: Option<Decimal>,
}

/// Columns that nobody mapped, by kind of row.
#[derive(Debug, Default)]
pub(super) struct Unmapped {
    /// Place and key of the extension.
    pub(super) cells: Vec<(usize, String)>,
    /// Whether a header row names the columns.
    pub(super) is_named: bool,
    /// Places that are used, for files without a header row.
    pub(super) used: Vec<usize>,
    /// Before the place in the key of an extension.
    pub(super) prefix: &'static str,
    /// Names of JSON members that are mapped.
    pub(super) members: Vec<String>,
}

/// How the kind of a row is found.
#[derive(Debug)]
pub(super) struct KindPlan {
    pub(super) column: usize,
    pub(super) header: Option<String>,
    pub(super) detail: String,
    pub(super) trailer: Option<String>,
}

/// Which event a row is.
#[derive(Debug)]
pub(super) enum TypePlan {
    Const(EventType),
    Mapped(Source, BTreeMap<String, EventType>),
}

/// A control total, bound.
#[derive(Debug)]
pub(super) struct CheckPlan {
    pub(super) sum_of: Option<LineQuantity>,
    pub(super) field: String,
    pub(super) scope: Scope,
    pub(super) equals: Source,
    pub(super) refuses_file: bool,
}

/// A profile bound to one file.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) header_fields: Vec<FieldPlan>,
    pub(super) detail_fields: Vec<FieldPlan>,
    pub(super) header_rest: Unmapped,
    pub(super) detail_rest: Unmapped,
    pub(super) keeps_unknown: bool,
    pub(super) kinds: Option<KindPlan>,
    pub(super) type_of: TypePlan,
    pub(super) type_scope: Scope,
    pub(super) group_by: Option<Vec<usize>>,
    pub(super) has_header_rows: bool,
    pub(super) checks: Vec<CheckPlan>,
    pub(super) blanks: Blanks,
    pub(super) has_lines: bool,
    pub(super) has_containers: bool,
    pub(super) has_interchange: bool,
    /// Columns that each row must have, where they are known beforehand.
    pub(super) width: Option<usize>,
}

/// What a file's header lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMismatch {
    /// The header as found.
    pub found: String,
    /// What the profile needs, with the nearest that is there.
    pub expected: String,
}

/// Binds the profile to a file whose header row is `header` (empty where there is none).
pub(super) fn bind(profile: &Profile, header: &[String]) -> Result<Plan, HeaderMismatch> {
    let mut binder = Binder { header, missing: Vec::new() };
    let (trim, width, kinds) = match &profile.parse {
        Parse::Csv(csv) => {
            let kinds = csv.record_type.as_ref().map(|kind| KindPlan {
                column: binder.place(&kind.column),
                header: kind.header.clone(),
                detail: kind.detail.clone(),
                trailer: kind.trailer.clone(),
            });
            let width = if csv.has_header { Some(header.len()) } else { csv.columns };
            (csv.trim, width, kinds)
        }
        Parse::Ndjson(_) | Parse::Dialect(_) => (true, None, None),
    };
    let has_header_rows = matches!(profile.group, Group::HeaderRecord);
    let is_nested = matches!(&profile.parse, Parse::Ndjson(json) if json.lines.is_some());
    let plans: Vec<(Scope, FieldPlan)> = profile.fields.iter().map(|f| (f.scope, binder.field(f))).collect();
    let (type_of, type_scope) = binder.type_rule(&profile.event_type, has_header_rows || is_nested);
    let group_by = match &profile.group {
        Group::Columns(columns) => Some(columns.iter().map(|c| binder.place(c)).collect()),
        Group::Row | Group::HeaderRecord => None,
    };
    let checks = profile.checks.iter().map(|check| binder.check(check)).collect();
    let has = |wanted: fn(&Target) -> bool| profile.fields.iter().any(|field| wanted(&field.to));
    let header_rest = rest(profile, &kinds, &[Scope::Header], header, "HDR.", &binder, is_nested);
    let detail_rest = rest(profile, &kinds, &[Scope::Detail], header, "", &binder, false);
    let missing = std::mem::take(&mut binder.missing);
    if !missing.is_empty() {
        return Err(HeaderMismatch { found: header.join(","), expected: missing.join("; ") });
    }
    let (header_fields, detail_fields) = plans.into_iter().partition::<Vec<_>, _>(|(scope, _)| *scope == Scope::Header);
    Ok(Plan {
        header_fields: header_fields.into_iter().map(|(_, plan)| plan).collect(),
        detail_fields: detail_fields.into_iter().map(|(_, plan)| plan).collect(),
        header_rest,
        detail_rest,
        keeps_unknown: profile.keeps_unknown,
        kinds,
        type_of,
        type_scope,
        group_by,
        has_header_rows,
        checks,
        blanks: Blanks { null: profile.common().null.clone(), trim },
        has_lines: has(|to| matches!(to, Target::Line(_))),
        has_containers: has(|to| matches!(to, Target::Container(_) | Target::Content(_))),
        has_interchange: has(|to| matches!(to, Target::Interchange(_))),
        width,
    })
}

/// What nobody mapped.
fn rest(
    profile: &Profile,
    kinds: &Option<KindPlan>,
    scopes: &[Scope],
    header: &[String],
    prefix: &'static str,
    binder: &Binder<'_>,
    is_nested: bool,
) -> Unmapped {
    let mut used: Vec<usize> = kinds.iter().map(|kind| kind.column).collect();
    let mut members = Vec::new();
    let mut note = |from: &From| {
        from.each(&mut |part| match part {
            From::Column(column) => used.extend(binder.find(column)),
            From::Path(path) => {
                members.push(path.split('/').nth(1).unwrap_or("").replace("~1", "/").replace("~0", "~"))
            }
            From::Const(_) | From::Concat(_) | From::FirstOf(_) => {}
        });
    };
    for field in profile.fields.iter().filter(|field| scopes.contains(&field.scope)) {
        note(&field.from);
        for transform in &field.transforms {
            if let Transform::NegateIf { from, .. } = transform {
                note(from);
            }
        }
    }
    if let TypeRule::Mapped { from, .. } = &profile.event_type {
        note(from);
    }
    for check in profile.checks.iter().filter(|check| scopes.contains(&check.scope)) {
        note(&check.equals);
    }
    if let (true, Parse::Ndjson(json)) = (is_nested, &profile.parse) {
        members.extend(json.lines.as_deref().and_then(|path| path.split('/').nth(1)).map(str::to_owned));
    }
    let free = (0..header.len()).filter(|at| !used.contains(at));
    let cells = free.map(|at| (at, format!("csv:{prefix}{}", header[at]))).collect();
    Unmapped { cells, is_named: !header.is_empty(), used, prefix, members }
}

struct Binder<'h> {
    header: &'h [String],
    missing: Vec<String>,
}

impl Binder<'_> {
    fn find(&self, column: &Column) -> Option<usize> {
        match column {
            Column::Index(at) => Some(*at),
            Column::Name(name) => {
                let mut places = (0..self.header.len()).filter(|at| self.header[*at].eq_ignore_ascii_case(name));
                let first = places.next()?;
                // Two columns of that name: nobody can say which is meant.
                places.next().is_none().then_some(first)
            }
        }
    }

    fn place(&mut self, column: &Column) -> usize {
        let place = self.find(column);
        if let (None, Column::Name(name)) = (place, column) {
            let near = did_you_mean(name, self.header.iter().map(String::as_str));
            let count = self.header.iter().filter(|h| h.eq_ignore_ascii_case(name)).count();
            let text = match (count, near) {
                (2.., _) => format!("column `{name}` once, not {count} times"),
                (_, Some(near)) => format!("column `{name}` (nearest is `{near}`)"),
                (_, None) => format!("column `{name}`"),
            };
            if !self.missing.contains(&text) {
                self.missing.push(text);
            }
        }
        place.unwrap_or(usize::MAX)
    }

    fn source(&mut self, from: &From) -> Source {
        match from {
            From::Column(column) => Source::Cell(self.place(column)),
            From::Path(path) => Source::Path(path.clone()),
            From::Const(text) => Source::Const(text.clone()),
            From::Concat(parts) => Source::Concat(parts.iter().map(|part| self.source(part)).collect()),
            From::FirstOf(parts) => Source::FirstOf(parts.iter().map(|part| self.source(part)).collect()),
        }
    }

    fn field(&mut self, field: &Field) -> FieldPlan {
        let source = self.source(&field.from);
        let steps = field.transforms.iter().map(|transform| match transform {
            Transform::NegateIf { from, values } => Step::NegateIf(self.source(from), values.clone()),
            other => Step::Plain(other.clone()),
        });
        let steps = steps.collect();
        let mut label = String::new();
        field.from.each(&mut |part| {
            if label.is_empty() {
                label = match part {
                    From::Column(column) => column.to_string(),
                    From::Path(path) => path.clone(),
                    From::Const(_) | From::Concat(_) | From::FirstOf(_) => String::new(),
                };
            }
        });
        FieldPlan {
            name: field.name.clone(),
            label,
            column: source.column(),
            to: field.to.clone(),
            is_decimal: field.to.kind() == Kind::Decimal,
            source,
            required: field.required,
            formats: field.formats.clone(),
            steps,
            map: field.map.clone(),
            default: field.default.clone(),
            min: field.min,
            max: field.max,
        }
    }

    fn type_rule(&mut self, rule: &TypeRule, has_header: bool) -> (TypePlan, Scope) {
        let scope = if has_header { Scope::Header } else { Scope::Detail };
        match rule {
            TypeRule::Const(event_type) => (TypePlan::Const(*event_type), scope),
            TypeRule::Mapped { from, map } => (TypePlan::Mapped(self.source(from), map.clone()), scope),
        }
    }

    fn check(&mut self, check: &Check) -> CheckPlan {
        CheckPlan {
            sum_of: check.sum_of,
            field: check.field.clone(),
            scope: check.scope,
            equals: self.source(&check.equals),
            refuses_file: check.refuses_file,
        }
    }
}

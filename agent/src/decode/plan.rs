//! A profile bound to one file: every column name turned into its place before the first row is read.

use std::{borrow::Cow, cell::RefCell, collections::BTreeMap};

use docksync_proto::event::{Event, EventType};
use rust_decimal::Decimal;
use serde_json::Value;

use super::{
    profile::{
        Check, Column, Field, FileFact, From, Group, Parse, Profile, Scope, Skip, Transform, TreeForm, TypeRule,
    },
    rows::Row,
    target::{Kind, LineField, LineQuantity, LineText, Target},
    tree::{path::TreePath, rest::Branch},
};
use crate::config::problem::did_you_mean;

/// One row as the fields see it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Input<'r> {
    Cells(&'r Row),
    Tree(Branch<'r>),
}

/// Where a value stands in a row.
#[derive(Debug)]
pub(super) enum Source {
    Cell(usize),
    Path(TreePath),
    Const(String),
    /// A fact of the file, known when it is opened.
    File(String),
    Concat(Vec<Self>),
    FirstOf(Vec<Self>),
}

/// Texts that mean nothing, and whether blanks around values do.
#[derive(Debug)]
pub(super) struct Blanks {
    pub(super) null: Vec<String>,
    /// Length of the longest of them: a longer text need not be compared.
    longest: usize,
    pub(super) trim: bool,
}

impl Source {
    /// The value, or `None` where nothing stands there.
    pub(super) fn text<'r>(&'r self, row: Input<'r>, blanks: &Blanks) -> Option<Cow<'r, str>> {
        match self {
            Self::Cell(at) => match row {
                Input::Cells(row) => blanks.clean(row.cell(*at)?).map(Cow::Borrowed),
                Input::Tree(_) => None,
            },
            Self::Path(path) => match row {
                Input::Tree(branch) => blanks.clean_cow(path.text(branch.chain)?),
                Input::Cells(_) => None,
            },
            Self::Const(text) | Self::File(text) => Some(Cow::Borrowed(text)),
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
            Self::Path(_) | Self::Const(_) | Self::File(_) => 0,
        }
    }

    /// Levels above its starting point that it reaches.
    pub(super) fn up(&self) -> usize {
        match self {
            Self::Path(path) => path.up,
            Self::FirstOf(parts) | Self::Concat(parts) => parts.iter().map(Self::up).max().unwrap_or(0),
            Self::Cell(_) | Self::Const(_) | Self::File(_) => 0,
        }
    }
}

impl Blanks {
    fn new(null: Vec<String>, trim: bool) -> Self {
        let longest = null.iter().map(String::len).max().unwrap_or(0);
        Self { null, longest, trim }
    }

    #[inline]
    pub(super) fn clean<'t>(&self, text: &'t str) -> Option<&'t str> {
        let text = if self.trim { trimmed(text) } else { text };
        let is_null = text.len() <= self.longest && self.null.iter().any(|null| null == text) || text.is_empty();
        (!is_null).then_some(text)
    }

    fn clean_cow<'t>(&self, text: Cow<'t, str>) -> Option<Cow<'t, str>> {
        match text {
            Cow::Borrowed(text) => self.clean(text).map(Cow::Borrowed),
            Cow::Owned(text) => self.clean(&text).map(|clean| Cow::Owned(clean.to_owned())),
        }
    }
}

/// The text without white space around it; most values have none, and their first and last byte tell.
#[inline]
fn trimmed(text: &str) -> &str {
    let is_ink = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    let bytes = text.as_bytes();
    if is_ink(bytes.first()) && is_ink(bytes.last()) { text } else { text.trim() }
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
    /// The cell, where the value is what stands in one, and the text of a line that it becomes, where it does as it stands there.
    pub(super) plain: Option<(usize, Option<LineText>)>,
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
    /// Paths that are mapped.
    pub(super) paths: Vec<TreePath>,
    /// Stretches of a line of fixed width that are mapped, as first character from 1 and length, in order.
    pub(super) stretches: Option<Vec<(usize, usize)>>,
}

/// Records or rows that are left out on purpose, bound.
#[derive(Debug)]
pub(super) struct SkipPlan {
    pub(super) source: Source,
    pub(super) scope: Scope,
    values: Vec<String>,
    is_except: bool,
}

impl SkipPlan {
    pub(super) fn is_met(&self, row: Input<'_>, blanks: &Blanks) -> bool {
        let text = self.source.text(row, blanks).unwrap_or_default();
        self.values.iter().any(|value| *value == text) != self.is_except
    }
}

/// What a file says about rows that were left out.
pub(super) fn skipped_words(count: u64) -> Option<String> {
    (count > 0).then(|| format!("ROWS_SKIPPED: {count} left out by [parse] skip"))
}

/// How the kind of a row is found.
#[derive(Debug)]
pub(super) struct KindPlan {
    pub(super) column: usize,
    pub(super) header: Option<String>,
    pub(super) details: Vec<String>,
    pub(super) trailer: Option<String>,
}

impl KindPlan {
    /// Whether a row with this word in its column is a detail.
    pub(super) fn is_detail(&self, word: &str) -> bool {
        if self.details.is_empty() {
            return ![&self.header, &self.trailer].into_iter().any(|kind| kind.as_deref() == Some(word));
        }
        self.details.iter().any(|detail| detail == word)
    }
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
    /// Rows that are left out.
    pub(super) skips: Vec<SkipPlan>,
    /// Stretches that are the cells of a line of fixed width, as first character from 1 and length.
    pub(super) spans: Option<Vec<(usize, usize)>>,
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
pub(super) fn bind(profile: &Profile, header: &[String], blank: &Event) -> Result<Plan, HeaderMismatch> {
    let is_xml = matches!(&profile.parse, Parse::Tree(tree) if tree.form == TreeForm::Xml);
    let mut binder = Binder { header, blank, is_xml, spans: RefCell::new(Vec::new()), missing: Vec::new() };
    let (trim, width, kinds) = match &profile.parse {
        Parse::Csv(csv) => {
            let kinds = csv.record_type.as_ref().map(|kind| KindPlan {
                column: binder.place(&kind.column),
                header: kind.header.clone(),
                details: kind.details.clone(),
                trailer: kind.trailer.clone(),
            });
            let width = if csv.has_header { Some(header.len()) } else { csv.columns };
            (csv.trim, width, kinds)
        }
        Parse::Tree(_) | Parse::Dialect(_) => (true, None, None),
    };
    let has_header_rows = matches!(profile.group, Group::HeaderRecord);
    let is_nested = matches!(&profile.parse, Parse::Tree(tree) if tree.lines.is_some());
    let plans: Vec<(Scope, FieldPlan)> = profile.fields.iter().map(|f| (f.scope, binder.field(f))).collect();
    let (type_of, type_scope) = binder.type_rule(&profile.event_type, has_header_rows || is_nested);
    let group_by = match &profile.group {
        Group::Columns(columns) => Some(columns.iter().map(|c| binder.place(c)).collect()),
        Group::Row | Group::HeaderRecord => None,
    };
    let checks = profile.checks.iter().map(|check| binder.check(check)).collect();
    let skips = profile.skips.iter().map(|skip| binder.skip(skip)).collect();
    let is_fixed = matches!(&profile.parse, Parse::Csv(csv) if csv.is_fixed);
    let has = |wanted: fn(&Target) -> bool| profile.fields.iter().any(|field| wanted(&field.to));
    let header_rest = rest(profile, &kinds, Scope::Header, type_scope, "HDR.", &binder);
    let detail_rest = rest(profile, &kinds, Scope::Detail, type_scope, "", &binder);
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
        blanks: Blanks::new(profile.common().null.clone(), trim),
        has_lines: has(|to| matches!(to, Target::Line(_))),
        has_containers: has(|to| matches!(to, Target::Container(_) | Target::Content(_))),
        has_interchange: has(|to| matches!(to, Target::Interchange(_))),
        skips,
        spans: is_fixed.then(|| binder.spans.take()),
        width,
    })
}

/// What nobody mapped.
fn rest(
    profile: &Profile,
    kinds: &Option<KindPlan>,
    scope: Scope,
    type_scope: Scope,
    prefix: &'static str,
    binder: &Binder<'_>,
) -> Unmapped {
    let header = binder.header;
    let mut used: Vec<usize> = kinds.iter().map(|kind| kind.column).collect();
    let mut paths = Vec::new();
    let mut note = |from: &From| {
        from.each(&mut |part| match part {
            From::Column(column) => used.extend(binder.find(column)),
            From::Path(path) => paths.push(binder.path(path)),
            From::Const(_) | From::File(_) | From::Concat(_) | From::FirstOf(_) => {}
        });
    };
    for field in profile.fields.iter().filter(|field| field.scope == scope) {
        note(&field.from);
        for transform in &field.transforms {
            if let Transform::NegateIf { from, .. } = transform {
                note(from);
            }
        }
    }
    if let TypeRule::Mapped { from, .. } = &profile.event_type
        && (type_scope == scope || matches!(profile.parse, Parse::Csv(_)))
    {
        note(from);
    }
    for check in profile.checks.iter().filter(|check| check.scope == scope) {
        note(&check.equals);
    }
    let free = (0..header.len()).filter(|at| !used.contains(at));
    let cells = free.map(|at| (at, format!("csv:{prefix}{}", header[at]))).collect();
    let is_fixed = matches!(&profile.parse, Parse::Csv(csv) if csv.is_fixed);
    let stretches = is_fixed.then(|| {
        let spans = binder.spans.borrow();
        let mut mapped: Vec<(usize, usize)> = used.iter().filter_map(|at| spans.get(*at).copied()).collect();
        mapped.sort_unstable();
        mapped
    });
    Unmapped { cells, is_named: !header.is_empty(), used, prefix, paths, stretches }
}

struct Binder<'h> {
    header: &'h [String],
    blank: &'h Event,
    is_xml: bool,
    /// Stretches of a line of fixed width that are asked for: the cells.
    spans: RefCell<Vec<(usize, usize)>>,
    missing: Vec<String>,
}

impl Binder<'_> {
    fn find(&self, column: &Column) -> Option<usize> {
        match column {
            Column::Index(at) => Some(*at),
            Column::Span { start, len } => {
                let mut spans = self.spans.borrow_mut();
                let known = spans.iter().position(|span| *span == (*start, *len));
                Some(known.unwrap_or_else(|| {
                    spans.push((*start, *len));
                    spans.len() - 1
                }))
            }
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

    /// The profile was read with the same rules: a path that is none does not get here.
    fn path(&self, text: &str) -> TreePath {
        TreePath::parse(text, self.is_xml).unwrap_or_default()
    }

    fn skip(&mut self, skip: &Skip) -> SkipPlan {
        let (values, is_except) = (skip.values.clone(), skip.is_except);
        SkipPlan { source: self.source(&skip.from), scope: skip.scope, values, is_except }
    }

    fn source(&mut self, from: &From) -> Source {
        match from {
            From::Column(column) => Source::Cell(self.place(column)),
            From::Path(path) => Source::Path(self.path(path)),
            From::Const(text) => Source::Const(text.clone()),
            From::File(FileFact::Name) => Source::File(self.blank.source.file_name.clone()),
            From::File(FileFact::Time) => Source::File(self.blank.record_time.to_string()),
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
        let steps: Vec<Step> = steps.collect();
        let slot = match (&field.to, &field.map) {
            (Target::Line(LineField::Text(slot)), None) => Some(*slot),
            _ => None,
        };
        let plain = match &source {
            Source::Cell(at) if steps.is_empty() => Some((*at, slot)),
            _ => None,
        };
        let (mut label, mut start) = (String::new(), None);
        field.from.each(&mut |part| {
            if label.is_empty() {
                if let From::Column(Column::Span { start: first, .. }) = part {
                    start = u32::try_from(*first).ok();
                }
                label = match part {
                    From::Column(column) => column.to_string(),
                    From::Path(path) => path.clone(),
                    From::File(_) => "the file".to_owned(),
                    From::Const(_) | From::Concat(_) | From::FirstOf(_) => String::new(),
                };
            }
        });
        FieldPlan {
            name: field.name.clone(),
            label,
            column: start.unwrap_or_else(|| source.column()),
            to: field.to.clone(),
            is_decimal: field.to.kind() == Kind::Decimal,
            source,
            plain,
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

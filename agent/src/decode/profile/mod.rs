//! The feed profile: which columns of an export mean which fields of an event. Declarative, one TOML file per feed.
//!
//! [`read()`] turns the text into a [`Profile`] that cannot be wrong, or gives every mistake with its place. What depends on
//! a file's header is bound later, once per file.

pub mod cases;
pub mod dialect;
mod fields;
mod read;
mod response;

use std::collections::BTreeMap;

use docksync_proto::{event::EventType, site::SiteId};
use jiff::tz::TimeZone;
use regex::Regex;
use rust_decimal::Decimal;

use super::{number::NumberForm, rows::Dialect, target::Target};

pub use cases::{Case, CaseInput};
pub use dialect::{DialectKind, DialectParse};
pub use read::read;
pub use response::ResponseRule;

/// A feed profile.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Name of the feed's dialect.
    pub name: String,
    /// Version of the profile, from 1.
    pub version: u64,
    /// Name of the warehouse system.
    pub system: String,
    /// Site, where it is not the agent's own.
    pub site: Option<SiteId>,
    /// What the rows say.
    pub event_type: TypeRule,
    /// Patterns of file names that are taken.
    pub matches: Vec<String>,
    /// Patterns of file names that are left alone.
    pub rejects: Vec<String>,
    /// Expression that finds a sequence number in a file name.
    pub sequence: Option<Regex>,
    /// Character set; `None` finds it for each file.
    pub encoding: Option<super::Charset>,
    /// When a file is complete.
    pub complete: CompleteRule,
    /// What happens to a document that comes again with other content.
    pub on_revision: Revision,
    /// One event for each row; then the line takes part in its identity.
    pub split: bool,
    /// How a file is split into records.
    pub parse: Parse,
    /// How rows form documents.
    pub group: Group,
    /// Rows and records that are left out on purpose.
    pub skips: Vec<Skip>,
    /// The mapping.
    pub fields: Vec<Field>,
    /// Control totals.
    pub checks: Vec<Check>,
    /// Whether one bad line refuses the file.
    pub refuses_file: bool,
    /// Whether columns nobody mapped are kept as extensions.
    pub keeps_unknown: bool,
    /// Its own tests.
    pub cases: Vec<Case>,
    /// What the warehouse system is told about each file.
    pub response: Option<ResponseRule>,
}

impl Profile {
    /// A profile that declares nothing but a standard.
    pub fn of_dialect(dialect: DialectKind) -> Self {
        let number = NumberForm { mark: b'.', thousands: None, trailing_minus: true };
        let common = Common { null: Vec::new(), number, zone: None, zone_name: String::new() };
        Self {
            name: dialect.as_str().to_owned(),
            version: 1,
            system: String::new(),
            site: None,
            event_type: TypeRule::Const(EventType::EpcisOther),
            matches: vec!["*".to_owned()],
            rejects: Vec::new(),
            sequence: None,
            encoding: None,
            complete: CompleteRule::Quiet { seconds: 10 },
            on_revision: Revision::Hold,
            split: false,
            parse: Parse::Dialect(Box::new(DialectParse::new(dialect, common))),
            group: Group::Row,
            skips: Vec::new(),
            fields: Vec::new(),
            checks: Vec::new(),
            refuses_file: false,
            keeps_unknown: true,
            cases: Vec::new(),
            response: None,
        }
    }

    /// `csv:dc7-receipts`.
    pub fn format(&self) -> String {
        let kind = match &self.parse {
            Parse::Csv(csv) if csv.is_fixed => "fixed",
            Parse::Csv(_) => "csv",
            Parse::Tree(tree) => tree.form.as_str(),
            Parse::Dialect(parse) => parse.dialect.as_str(),
        };
        format!("{kind}:{}", self.name)
    }

    /// Whether files of the feed are answered.
    pub fn has_answers(&self) -> bool {
        self.response.is_some() || matches!(&self.parse, Parse::Dialect(parse) if parse.is_set("answer"))
    }

    /// Zone declared by the profile.
    pub fn zone(&self) -> Option<&TimeZone> {
        self.common().zone.as_ref()
    }

    /// What every format has.
    pub fn common(&self) -> &Common {
        match &self.parse {
            Parse::Csv(csv) => &csv.common,
            Parse::Tree(tree) => &tree.common,
            Parse::Dialect(parse) => &parse.common,
        }
    }
}

/// Which event a row is.
#[derive(Debug, Clone)]
pub enum TypeRule {
    /// Always this one.
    Const(EventType),
    /// Named by a value.
    Mapped {
        /// Where the value stands.
        from: From,
        /// Value to event type.
        map: BTreeMap<String, EventType>,
    },
}

/// When a file is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompleteRule {
    /// Its name appears by renaming: at once.
    Rename,
    /// Nothing about it changed for so long.
    Quiet {
        /// Seconds.
        seconds: u64,
    },
    /// A companion with this suffix lies beside it.
    Marker {
        /// As `.done`; `.sha256` and `.md5` companions also hold the sum to check.
        suffix: String,
    },
    /// Its last line is the trailer record.
    Trailer,
}

/// What happens to a document that comes again with other content, undeclared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// Parked for a person.
    Hold,
    /// Taken as a correction.
    Latest,
}

/// How a file is split into records.
#[derive(Debug, Clone)]
pub enum Parse {
    /// Text in rows, delimited or of fixed width.
    Csv(CsvParse),
    /// JSON and XML.
    Tree(TreeParse),
    /// Documents of a standard, whose meaning is known.
    Dialect(Box<DialectParse>),
}

/// What every format has.
#[derive(Debug, Clone)]
pub struct Common {
    /// Texts that mean nothing.
    pub null: Vec<String>,
    /// How numbers are written.
    pub number: NumberForm,
    /// Zone of local times, where it is not the site's.
    pub zone: Option<TimeZone>,
    /// Its name.
    pub zone_name: String,
}

/// Text in rows.
#[derive(Debug, Clone)]
pub struct CsvParse {
    /// What every format has.
    pub common: Common,
    /// How cells are told apart.
    pub dialect: Dialect,
    /// Whether cells are stretches of the line.
    pub is_fixed: bool,
    /// Whether the first row names the columns.
    pub has_header: bool,
    /// Columns that every row must have, where declared.
    pub columns: Option<usize>,
    /// Whether blanks around cells are taken away.
    pub trim: bool,
    /// Where rows of several kinds are mixed.
    pub record_type: Option<RecordType>,
}

/// How rows of several kinds are told apart.
#[derive(Debug, Clone)]
pub struct RecordType {
    /// Column of the kind.
    pub column: Column,
    /// Kind of header rows.
    pub header: Option<String>,
    /// Kinds of detail rows; none where every row that is neither header nor trailer is one.
    pub details: Vec<String>,
    /// Kind of the last row.
    pub trailer: Option<String>,
}

/// JSON and XML.
#[derive(Debug, Clone)]
pub struct TreeParse {
    /// What every format has.
    pub common: Common,
    /// Which of them.
    pub form: TreeForm,
    /// Where the records stand: a JSON pointer, or the name of an XML element behind the names around it.
    pub records: String,
    /// Path of the lines within a record, where there are some.
    pub lines: Option<String>,
    /// Whether an XML document without records is a good one.
    pub may_be_empty: bool,
}

/// Forms of trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeForm {
    /// One JSON object for each line of the file.
    Ndjson,
    /// One JSON document.
    Json,
    /// One XML document.
    Xml,
}

impl TreeForm {
    /// Its name in `[parse] type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Json => "json",
            Self::Xml => "xml",
        }
    }
}

/// Rows and records that are left out on purpose.
#[derive(Debug, Clone)]
pub struct Skip {
    /// Where the deciding value stands.
    pub from: From,
    /// Kind of row, or record or line.
    pub scope: Scope,
    /// Values that leave it out.
    pub values: Vec<String>,
    /// Whether all other values do instead.
    pub is_except: bool,
}

/// How rows form documents.
#[derive(Debug, Clone)]
pub enum Group {
    /// Each row is one.
    Row,
    /// The detail rows below a header row.
    HeaderRecord,
    /// Neighbouring rows that agree in these columns.
    Columns(Vec<Column>),
}

/// A column by its place, from 0, or by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// Place, from 0.
    Index(usize),
    /// Name in the header row, in any case.
    Name(String),
    /// A stretch of a line of fixed width, in characters.
    Span {
        /// First character, from 1.
        start: usize,
        /// How many.
        len: usize,
    },
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index(at) => write!(f, "{at}"),
            Self::Name(name) => f.write_str(name),
            Self::Span { start, len } => write!(f, "{start}-{}", start + len - 1),
        }
    }
}

/// Which kind of row a value stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The header row of a document.
    Header,
    /// A row of a document, or an element of its lines.
    Detail,
    /// The last row of the file.
    Trailer,
}

/// What a file says apart from its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFact {
    /// Its name.
    Name,
    /// When the agent took it.
    Time,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub enum From {
    /// A column.
    Column(Column),
    /// A JSON pointer, or a path of XML names.
    Path(String),
    /// Always this text.
    Const(String),
    /// A fact of the file itself.
    File(FileFact),
    /// Several, one after the other.
    Concat(Vec<From>),
    /// The first that is not empty.
    FirstOf(Vec<From>),
}

impl From {
    /// Every plain source within.
    pub fn each(&self, visit: &mut impl FnMut(&Self)) {
        match self {
            Self::Concat(parts) | Self::FirstOf(parts) => parts.iter().for_each(|part| part.each(visit)),
            Self::Column(_) | Self::Path(_) | Self::Const(_) | Self::File(_) => visit(self),
        }
    }
}

/// One field of the mapping.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in the profile.
    pub name: String,
    /// Where it goes.
    pub to: Target,
    /// Kind of row that it is read from.
    pub scope: Scope,
    /// Where it comes from.
    pub from: From,
    /// Whether a row without it is bad.
    pub required: bool,
    /// Formats of dates and times; none means ISO 8601.
    pub formats: Vec<String>,
    /// Changes, in order.
    pub transforms: Vec<Transform>,
    /// Value to value; texts in capitals.
    pub map: Option<BTreeMap<String, String>>,
    /// Used where nothing stands there.
    pub default: Option<String>,
    /// Least quantity.
    pub min: Option<Decimal>,
    /// Greatest quantity.
    pub max: Option<Decimal>,
}

/// A change of a value; the list is closed.
#[derive(Debug, Clone)]
pub enum Transform {
    /// Takes blanks away at both ends.
    Trim,
    /// Makes capitals.
    Upper,
    /// Takes leading zeros away, where all are digits.
    StripLeadingZeros,
    /// Takes characters out, from 0.
    Substring {
        /// First character.
        start: usize,
        /// How many.
        len: usize,
    },
    /// Takes the first capture out, or the whole match.
    Regex(Regex),
    /// Puts the decimal point before so many last digits.
    Scale(u32),
    /// Changes the sign where a column holds one of these values.
    NegateIf {
        /// Where the deciding value stands.
        from: From,
        /// Values that mean minus.
        values: Vec<String>,
    },
}

/// A control total.
#[derive(Debug, Clone)]
pub struct Check {
    /// The quantity that is summed; `None` counts rows.
    pub sum_of: Option<super::target::LineQuantity>,
    /// Name of the field, for messages.
    pub field: String,
    /// Header (each document) or trailer (the file).
    pub scope: Scope,
    /// Where the total stands.
    pub equals: From,
    /// Whether a difference refuses the file; else it is a warning.
    pub refuses_file: bool,
}

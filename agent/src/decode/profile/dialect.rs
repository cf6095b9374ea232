//! What a feed declares about documents of a standard: the mapping is the standard's, the feed says what its partners do
//! differently.

use std::collections::BTreeMap;

use docksync_proto::site::SiteId;

use super::Common;

/// How documents of a standard are read.
#[derive(Debug, Clone)]
pub struct DialectParse {
    /// What every format has.
    pub common: Common,
    /// Which standard.
    pub dialect: DialectKind,
    /// Codes of warehouses in the documents, in capitals, to sites; empty where all documents are of the feed's site.
    pub sites: BTreeMap<String, SiteId>,
    /// Tables of the partner by name (`uom`, `reason`, `status`, `stock_status`), keys in capitals.
    pub tables: BTreeMap<String, BTreeMap<String, String>>,
    /// Switches and lists of the dialect, by the names in [`DialectKind::options`].
    pub options: BTreeMap<&'static str, Vec<String>>,
}

impl DialectParse {
    /// A feed that declares nothing.
    pub fn new(dialect: DialectKind, common: Common) -> Self {
        Self { common, dialect, sites: BTreeMap::new(), tables: BTreeMap::new(), options: BTreeMap::new() }
    }

    /// Sets a switch; false where the standard has no such one.
    pub fn set(&mut self, option: &str) -> bool {
        let known =
            self.dialect.options().iter().find(|(name, kind)| *name == option && matches!(kind, OptionKind::Switch));
        if let Some((name, _)) = known {
            self.options.insert(name, vec!["true".to_owned()]);
        }
        known.is_some()
    }

    /// Whether the feed sets this switch.
    pub fn is_set(&self, option: &str) -> bool {
        self.first(option) == Some("true")
    }

    /// The option's value, or the first of its list.
    pub fn first(&self, option: &str) -> Option<&str> {
        self.list(option).first().map(String::as_str)
    }

    /// The option's list; empty where the feed does not set it.
    pub fn list(&self, option: &str) -> &[String] {
        self.options.get(option).map_or(&[], Vec::as_slice)
    }

    /// The partner's meaning of a code.
    pub fn partner(&self, table: &str, code: &str) -> Option<&str> {
        self.tables.get(table)?.get(&code.to_uppercase()).map(String::as_str)
    }
}

/// A standard whose documents are read without a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialectKind {
    /// ASC X12 interchanges.
    X12,
    /// UN/EDIFACT interchanges.
    Edifact,
    /// GS1 EPCIS 1.2 and 2.0, XML and JSON.
    Epcis,
    /// SAP intermediate documents, as XML or as flat file.
    Idoc,
    /// GS1 XML 3 logistics messages.
    Gs1Xml,
    /// OASIS UBL 2 despatch advice.
    Ubl,
}

/// What an option takes.
#[derive(Debug, Clone, Copy)]
pub enum OptionKind {
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of texts.
    List,
}

impl DialectKind {
    /// Their names in a profile's `[parse] type` and behind `map test --dialect`.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("x12", Self::X12),
        ("edifact", Self::Edifact),
        ("epcis", Self::Epcis),
        ("idoc", Self::Idoc),
        ("gs1-xml", Self::Gs1Xml),
        ("ubl", Self::Ubl),
    ];

    /// The standard with this name, or with one that people use for it.
    pub fn from_word(word: &str) -> Option<Self> {
        let others = [
            ("gs1", Self::Gs1Xml),
            ("gs1xml", Self::Gs1Xml),
            ("idoc-xml", Self::Idoc),
            ("idoc-flat", Self::Idoc),
            ("ubl-despatch", Self::Ubl),
            ("epcis-json", Self::Epcis),
            ("epcis-xml", Self::Epcis),
        ];
        let word = word.to_ascii_lowercase();
        Self::WORDS.iter().chain(&others).find(|(known, _)| *known == word).map(|(_, dialect)| *dialect)
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X12 => "x12",
            Self::Edifact => "edifact",
            Self::Epcis => "epcis",
            Self::Idoc => "idoc",
            Self::Gs1Xml => "gs1-xml",
            Self::Ubl => "ubl",
        }
    }

    /// Options that `[parse]` may set.
    pub const fn options(self) -> &'static [(&'static str, OptionKind)] {
        match self {
            Self::X12 => &[
                ("allow_bare_st", OptionKind::Switch),
                ("answer", OptionKind::Switch),
                ("lenient_counts", OptionKind::Switch),
                ("w12_shift", OptionKind::Switch),
                ("w07_excludes_damaged", OptionKind::Switch),
                ("w19_sign", OptionKind::Word(&["as_sent", "by_reason"])),
                ("direction", OptionKind::Word(&["in", "out"])),
                ("sku", OptionKind::List),
            ],
            Self::Edifact => &[
                ("answer", OptionKind::Switch),
                ("lenient_counts", OptionKind::Switch),
                ("direction", OptionKind::Word(&["in", "out"])),
                ("sku", OptionKind::List),
            ],
            Self::Idoc => &[
                ("direction", OptionKind::Word(&["in", "out"])),
                ("layout", OptionKind::List),
                ("sku", OptionKind::List),
            ],
            Self::Gs1Xml | Self::Ubl => &[("direction", OptionKind::Word(&["in", "out"])), ("sku", OptionKind::List)],
            Self::Epcis => &[],
        }
    }
}

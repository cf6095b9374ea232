//! Reads a TOML table key by key, noting every mistake instead of stopping at the first.

use std::{cell::RefCell, ops::Range, path::PathBuf};

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    problem::{Findings, Problem, suggestion},
    units,
};

/// A value of a settings file with its place.
pub type Node<'t> = Spanned<DeValue<'t>>;

/// A settings file that is being read.
#[derive(Debug)]
pub struct Document<'t> {
    root: Option<Spanned<DeTable<'t>>>,
    findings: RefCell<Findings>,
}

impl<'t> Document<'t> {
    /// Parses the text; mistakes of syntax are noted.
    pub fn parse(file: PathBuf, text: &'t str) -> Self {
        let mut findings = Findings::new(file, text);
        let (root, errors) = DeTable::parse_recoverable(text);
        let is_sound = errors.is_empty();
        for error in errors {
            findings.add(
                "C001",
                error.span().unwrap_or(0..0),
                format!("not valid TOML: {}", error.message()),
                String::new(),
            );
        }
        // What follows a mistake of syntax is guesswork: its other mistakes would only confuse.
        Self { root: is_sound.then_some(root), findings: RefCell::new(findings) }
    }

    /// The whole file as one section; `None` where its syntax is wrong.
    pub fn root(&self) -> Option<Section<'_, 't>> {
        let root = self.root.as_ref()?;
        Some(Section::new(self, root.get_ref(), 0..0, String::new()))
    }

    /// Notes a mistake.
    pub fn add(&self, code: &'static str, span: Range<usize>, message: String, help: String) {
        self.findings.borrow_mut().add(code, span, message, help);
    }

    /// Everything found, in the order of the file.
    pub fn into_problems(self) -> Vec<Problem> {
        self.findings.into_inner().into_sorted()
    }
}

/// One table of the file. Keys nobody asked for are mistakes, noted by [`Section::close`].
#[derive(Debug)]
pub struct Section<'d, 't> {
    document: &'d Document<'t>,
    table: &'d DeTable<'t>,
    /// Where the section stands.
    pub span: Range<usize>,
    name: String,
    known: RefCell<Vec<&'static str>>,
}

impl<'d, 't> Section<'d, 't> {
    fn new(document: &'d Document<'t>, table: &'d DeTable<'t>, span: Range<usize>, name: String) -> Self {
        Self { document, table, span, name, known: RefCell::new(Vec::new()) }
    }

    /// File and line in which it begins.
    pub fn place(&self) -> (PathBuf, usize) {
        let findings = self.document.findings.borrow();
        findings.place(self.span.start)
    }

    /// The value of this key, which from now on is known.
    pub fn node(&self, key: &'static str) -> Option<&'d Node<'t>> {
        self.known.borrow_mut().push(key);
        self.table.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v)
    }

    /// Notes a mistake at a value.
    pub fn wrong(&self, node: &Node<'_>, code: &'static str, message: String, help: impl Into<String>) {
        self.document.add(code, node.span(), message, help.into());
    }

    /// Notes that a key is missing.
    pub fn missing(&self, key: &'static str, help: impl Into<String>) {
        let message = format!("missing key `{key}` in {}", self.title());
        self.document.add("C003", self.span.clone(), message, help.into());
    }

    /// A text, or `None`.
    pub fn text(&self, key: &'static str) -> Option<&'d str> {
        let node = self.node(key)?;
        self.text_of(key, node)
    }

    /// A text that must be there.
    pub fn required_text(&self, key: &'static str, help: &str) -> Option<&'d str> {
        if self.node(key).is_none() {
            self.missing(key, help);
        }
        self.text(key)
    }

    /// This value as a text.
    pub fn text_of(&self, key: &str, node: &'d Node<'t>) -> Option<&'d str> {
        let text = node.get_ref().as_str();
        if text.is_none() {
            self.wrong(
                node,
                "C004",
                format!("`{key}` must be a text, found {}", node.get_ref().type_str()),
                "put it in quotes",
            );
        }
        text
    }

    /// A whole number from 0, or `None`.
    pub fn number(&self, key: &'static str) -> Option<u64> {
        let node = self.node(key)?;
        let parsed = node.get_ref().as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        if parsed.is_none() {
            let kind = node.get_ref().type_str();
            self.wrong(node, "C004", format!("`{key}` must be a whole number from 0, found {kind}"), "");
        }
        parsed
    }

    /// True or false, or `None`.
    pub fn flag(&self, key: &'static str) -> Option<bool> {
        let node = self.node(key)?;
        let flag = node.get_ref().as_bool();
        if flag.is_none() {
            self.wrong(node, "C004", format!("`{key}` must be true or false, found {}", node.get_ref().type_str()), "");
        }
        flag
    }

    /// A list of texts; absent is empty.
    pub fn texts(&self, key: &'static str) -> Vec<String> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Some(array) = node.get_ref().as_array() else {
            self.wrong(node, "C004", format!("`{key}` must be a list of texts"), format!("write {key} = [\"...\"]"));
            return Vec::new();
        };
        array.iter().filter_map(|item| self.text_of(key, item)).map(str::to_owned).collect()
    }

    /// A text with a unit, as `10s` or `2 GiB`.
    pub fn measured<T>(&self, key: &'static str, parse: fn(&str) -> Result<T, units::UnitError>) -> Option<T> {
        let node = self.node(key)?;
        let text = self.text_of(key, node)?;
        parse(text).map_err(|e| self.wrong(node, "C005", format!("`{key}`: {e}"), e.help())).ok()
    }

    /// One of a closed list of words.
    pub fn word<T: Copy>(&self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let node = self.node(key)?;
        let text = self.text_of(key, node)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(node, "C006", format!("`{key}` cannot be `{text}`"), suggestion(text, &known));
        }
        found
    }

    /// A table below this key.
    pub fn section(&self, key: &'static str) -> Option<Section<'d, 't>> {
        let node = self.node(key)?;
        self.section_of(key, node)
    }

    /// The tables of a list of tables; absent is empty.
    pub fn sections(&self, key: &'static str) -> Vec<Section<'d, 't>> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Some(array) = node.get_ref().as_array() else {
            self.wrong(node, "C004", format!("`{key}` must be a list of tables"), format!("write [[{key}]]"));
            return Vec::new();
        };
        array.iter().filter_map(|item| self.section_of(key, item)).collect()
    }

    /// This value as a table.
    pub fn section_of(&self, key: &str, node: &'d Node<'t>) -> Option<Section<'d, 't>> {
        let Some(table) = node.get_ref().as_table() else {
            self.wrong(node, "C004", format!("`{key}` must be a table, found {}", node.get_ref().type_str()), "");
            return None;
        };
        Some(Section::new(self.document, table, node.span(), key.to_owned()))
    }

    /// Every key with its text, for tables whose keys are free.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let text = |(key, node): (&Spanned<_>, &'d Node<'t>)| {
            let key: &std::borrow::Cow<'_, str> = key.get_ref();
            Some((key.to_string(), self.text_of(key, node)?.to_owned()))
        };
        self.table.iter().filter_map(text).collect()
    }

    /// Notes every key that nobody asked for.
    pub fn close(self) {
        let known = self.known.borrow();
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let message = format!("unknown key `{name}` in {}", self.title());
                self.document.add("C002", key.span(), message, suggestion(name, &known));
            }
        }
    }

    fn title(&self) -> String {
        if self.name.is_empty() { "the file".to_owned() } else { format!("[{}]", self.name) }
    }
}

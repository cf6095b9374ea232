//! Reads tables of a configuration, noting problems instead of stopping at the first.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::Problem;

/// A name at most this far from a known one is taken for a slip of the pen.
const SLIP_MIN: f64 = 0.7;

/// One table of the file.
pub(super) struct Section<'a> {
    name: String,
    table: Option<&'a DeTable<'a>>,
    span: Range<usize>,
    asked: RefCell<BTreeSet<&'static str>>,
    problems: &'a RefCell<Vec<Problem>>,
}

impl<'a> Section<'a> {
    pub(super) fn root(table: &'a Spanned<DeTable<'a>>, problems: &'a RefCell<Vec<Problem>>) -> Self {
        Self::of(String::new(), Some(table.get_ref()), table.span(), problems)
    }

    fn of(
        name: String,
        table: Option<&'a DeTable<'a>>,
        span: Range<usize>,
        problems: &'a RefCell<Vec<Problem>>,
    ) -> Self {
        Self { name, table, span, asked: RefCell::default(), problems }
    }

    /// Where the table stands.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(super) fn problem(&self, code: &'static str, span: Range<usize>, message: String, hint: &str) {
        self.problems.borrow_mut().push(Problem { code, span, message, hint: hint.to_owned() });
    }

    fn value(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().insert(key);
        self.table?.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v)
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let found = value.get_ref().type_str();
        let message = format!("`{}` is a {found}, expected {expected}", self.path(key));
        self.problem("C003", value.span(), message, &format!("expected {expected}"));
    }

    /// A text with its place.
    pub(super) fn text(&self, key: &'static str) -> Option<(String, Range<usize>)> {
        let value = self.value(key)?;
        let text = value.get_ref().as_str().map(|s| (s.to_owned(), value.span()));
        if text.is_none() {
            self.wrong_type(key, value, "a text");
        }
        text
    }

    /// A text that reads as `T`.
    pub(super) fn parsed<T>(&self, key: &'static str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (text, span) = self.text(key)?;
        let read = read(&text);
        if read.is_none() {
            let message = format!("`{}` is `{text}`, expected {expected}", self.path(key));
            self.problem("C005", span, message, &format!("expected {expected}"));
        }
        read
    }

    /// One of a closed list of words.
    pub(super) fn word<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let (text, span) = self.text(key)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let expected = format!("expected one of {}", all.join(", "));
        let hint = near(&text, all.iter().copied()).map_or(expected.clone(), |w| format!("did you mean `{w}`?"));
        self.problem("C005", span, format!("`{}` is `{text}`, {expected}", self.path(key)), &hint);
        None
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, key: &'static str, bounds: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(key)?;
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(key, value, "a whole number");
            return None;
        };
        let read = u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|n| bounds.contains(n));
        if read.is_none() {
            let expected = format!("expected {} to {}", bounds.start(), bounds.end());
            self.problem("C005", value.span(), format!("`{}` is out of bounds", self.path(key)), &expected);
        }
        read
    }

    /// Yes or no.
    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(*flag);
        }
        self.wrong_type(key, value, "true or false");
        None
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let DeValue::Array(list) = value.get_ref() else {
            self.wrong_type(key, value, "a list of texts");
            return None;
        };
        let text = |v: &Spanned<DeValue<'_>>| v.get_ref().as_str().map(str::to_owned);
        for wrong in list.iter().filter(|v| text(v).is_none()) {
            self.wrong_type(key, wrong, "a text");
        }
        Some(list.iter().filter_map(text).collect())
    }

    /// A table below this one; an empty one where there is none.
    pub(super) fn table(&self, key: &'static str) -> Self {
        self.table_if_any(key).unwrap_or_else(|| Self::of(self.path(key), None, self.span(), self.problems))
    }

    /// A table below this one.
    pub(super) fn table_if_any(&self, key: &'static str) -> Option<Self> {
        let value = self.value(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(key, value, "a table");
        }
        table.map(|t| Self::of(self.path(key), Some(t), value.span(), self.problems))
    }

    /// A list of tables.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(list) = value.get_ref() else {
            self.wrong_type(key, value, "a list of tables, each under its own [[header]]");
            return Vec::new();
        };
        let section = |v: &'a Spanned<DeValue<'a>>| {
            let table = v.get_ref().as_table();
            if table.is_none() {
                self.wrong_type(key, v, "a table");
            }
            table.map(|t| Self::of(self.path(key), Some(t), v.span(), self.problems))
        };
        list.iter().filter_map(section).collect()
    }

    /// A table of texts under names of the user's own; `read` gets both.
    pub(super) fn pairs<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&str, &str) -> Option<T>,
    ) -> BTreeMap<String, T> {
        let Some(value) = self.value(key) else { return BTreeMap::new() };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, value, "a table");
            return BTreeMap::new();
        };
        let mut pairs = BTreeMap::new();
        for (name, value) in table {
            let name: &str = name.get_ref();
            match value.get_ref().as_str().map(|text| (text, read(name, text))) {
                Some((_, Some(read))) => drop(pairs.insert(name.to_owned(), read)),
                Some((text, None)) => {
                    let message = format!("`{}.{name}` is `{text}`, expected {expected}", self.path(key));
                    self.problem("C005", value.span(), message, &format!("expected {expected}"));
                }
                None => self.wrong_type(&format!("{key}.{name}"), value, "a text"),
            }
        }
        pairs
    }

    /// A list of words of a closed list.
    pub(super) fn words<T: Copy>(&self, key: &'static str, words: &BTreeMap<&str, T>) -> Option<Vec<T>> {
        let value = self.value(key)?;
        let listed = self.texts(key)?;
        let mut read = Vec::with_capacity(listed.len());
        for text in &listed {
            match words.get(text.as_str()) {
                Some(word) => read.push(*word),
                None => {
                    let all: Vec<&str> = words.keys().copied().collect();
                    let expected = format!("expected some of {}", all.join(", "));
                    let hint = near(text, all.into_iter()).map_or(expected.clone(), |w| format!("did you mean `{w}`?"));
                    let message = format!("`{}` holds `{text}`, {expected}", self.path(key));
                    self.problem("C005", value.span(), message, &hint);
                }
            }
        }
        Some(read)
    }

    /// Counts a key as known even where nothing was read of it.
    pub(super) fn note(&self, key: &'static str) {
        self.asked.borrow_mut().insert(key);
    }

    /// Notes that a key is needed.
    pub(super) fn missing(&self, key: &str, expected: &str) {
        let message = format!("`{}` is missing, expected {expected}", self.path(key));
        self.problem("C004", self.span(), message, &format!("add `{key} = ...` here"));
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.into_iter().flat_map(DeTable::iter) {
            let name: &str = key.get_ref();
            if asked.contains(name) {
                continue;
            }
            let hint = near(name, asked.iter().copied());
            let hint = hint.map_or_else(
                || format!("known keys: {}", asked.iter().copied().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.problem("C002", key.span(), format!("unknown key `{}`", self.path(name)), &hint);
        }
    }
}

fn near<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    words
        .map(|word| (strsim::jaro_winkler(text, word), word))
        .filter(|(likeness, _)| *likeness >= SLIP_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}

//! Keeps the values of a record that no field names, so that nothing is dropped.

use std::{cell::Cell, collections::HashSet};

use serde_json::Value;

use super::path::{TEXT, TreePath};
use crate::decode::plan::{Plan, scalar};

/// Most values of one record that are kept beside the mapped ones.
pub(in crate::decode) const REST_VALUES_MAX: usize = 2_000;
/// Most bytes of their names and texts.
pub(in crate::decode) const REST_BYTES_MAX: usize = 256 * 1024;

/// A place in a record: what is around it, outermost first, and itself.
#[derive(Debug, Clone, Copy)]
pub(in crate::decode) struct Branch<'r> {
    pub(in crate::decode) chain: &'r [&'r Value],
    pub(in crate::decode) rest: &'r Rest<'r>,
}

/// Which values of a record are mapped.
#[derive(Debug, Default)]
pub(in crate::decode) struct Rest<'r> {
    /// Places in memory of values that fields name, and of the lines themselves.
    mapped: HashSet<usize>,
    lines: HashSet<usize>,
    /// `json:` or `xml:`.
    prefix: &'static str,
    /// Path of the lines, behind the prefix.
    line_path: &'r str,
    left_values: Cell<usize>,
    left_bytes: Cell<usize>,
    left_out: Cell<usize>,
}

impl<'r> Rest<'r> {
    pub(super) fn new(prefix: &'static str, line_path: &'r str) -> Self {
        let rest = Self { prefix, line_path, ..Self::default() };
        rest.left_values.set(REST_VALUES_MAX);
        rest.left_bytes.set(REST_BYTES_MAX);
        rest
    }

    /// Notes what the fields of the record name.
    pub(super) fn note_header(&mut self, plan: &Plan, chain: &[&Value]) {
        self.note(&plan.header_rest.paths, chain);
    }

    /// Notes a line, and what its fields name.
    pub(super) fn note_line(&mut self, plan: &Plan, chain: &[&Value]) {
        self.lines.extend(chain.last().map(|line| address(line)));
        self.note(&plan.detail_rest.paths, chain);
    }

    /// Notes what a record that is its own line names.
    pub(super) fn note_record(&mut self, plan: &Plan, chain: &[&Value]) {
        self.note(&plan.detail_rest.paths, chain);
    }

    fn note(&mut self, paths: &[TreePath], chain: &[&Value]) {
        for path in paths {
            path.each(chain, &mut |value| {
                self.mapped.insert(address(value));
            });
        }
    }

    /// How many values were left out because there were too many.
    pub(super) fn left_out(&self) -> usize {
        self.left_out.get()
    }

    fn takes(&self, key: &str, text: &str) -> bool {
        let (values, bytes) = (self.left_values.get(), self.left_bytes.get());
        let size = key.len() + text.len();
        if values == 0 || bytes < size {
            self.left_out.set(self.left_out.get() + 1);
            return false;
        }
        self.left_values.set(values - 1);
        self.left_bytes.set(bytes - size);
        true
    }
}

impl Branch<'_> {
    /// Hands over every value that is not mapped. `is_line` where the branch is a line of a record with lines.
    pub(in crate::decode) fn keep(&self, is_line: bool, keep: &mut dyn FnMut(String, &str)) {
        let Some(value) = self.chain.last() else { return };
        let mut key = self.rest.prefix.to_owned();
        if is_line && !self.rest.line_path.is_empty() {
            key.push_str(self.rest.line_path);
            key.push('/');
        }
        let whole = key.len();
        self.walk(value, &mut key, whole, true, keep);
    }

    fn walk(&self, value: &Value, key: &mut String, whole: usize, is_top: bool, keep: &mut dyn FnMut(String, &str)) {
        // Lines are kept with their own fields.
        if !is_top && self.rest.lines.contains(&address(value)) {
            return;
        }
        let length = key.len();
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if name != TEXT {
                        if key.len() > whole {
                            key.push('/');
                        }
                        key.push_str(name);
                    }
                    self.walk(value, key, whole, false, keep);
                    key.truncate(length);
                }
            }
            Value::Array(parts) => {
                for (at, value) in parts.iter().enumerate() {
                    // A single element is shown as XML shows it: without a number.
                    if parts.len() > 1 {
                        key.push_str(&format!("/{at}"));
                    }
                    self.walk(value, key, whole, false, keep);
                    key.truncate(length);
                }
            }
            _ => {
                let Some(text) = scalar(value) else { return };
                if self.rest.mapped.contains(&address(value)) || text.trim().is_empty() {
                    return;
                }
                let name = key.trim_end_matches('/');
                if self.rest.takes(name, &text) {
                    keep(name.to_owned(), &text);
                }
            }
        }
    }
}

/// Where a value lies in memory: within one record, that is who it is.
fn address(value: &Value) -> usize {
    std::ptr::from_ref(value).addr()
}

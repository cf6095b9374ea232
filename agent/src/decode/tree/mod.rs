//! JSON and XML by a declared mapping: one form for both, one record in memory at a time.
//!
//! A record is an object of a list, an element of a name, or a line of the file; `lines` within it are objects or elements at a
//! path. An XML element becomes an object (attributes as `@name`), so that fields of both are read by [`path::TreePath`].
//!
//! - A record is one line of the ledger, at the physical line where it starts.
//! - `../` leads from a line to what is around it, at last to what stands around the records. Of a JSON document only
//!   values that stand before the records are known there, of an XML document the elements without elements within.
//! - What no field names is kept as an extension: `json:readOnly/status`, `xml:Carton/@Weight`; of later lines with their number.
//! - A document that ends before its end is refused as a whole: nothing of it is taken.

mod element;
mod json;
mod markup;
mod ndjson;
pub(super) mod path;
pub(super) mod rest;
#[cfg(test)]
mod tests;

use std::{io::Read, ops::ControlFlow};

use serde_json::Value;

use super::{
    DecodeError, PassEnd, Setup, Visit,
    assign::Fault,
    charset::{Charset, Utf8Reader},
    documents::{Documents, Place},
    hold,
    plan::{self, Input, Plan},
    profile::{Profile, Scope, TreeForm, TreeParse},
};
use path::TreePath;
use rest::{Branch, Rest};

/// Reads the file once.
pub(super) fn pass<R: Read>(
    profile: &Profile,
    parse: &TreeParse,
    text: Utf8Reader<R>,
    charset: Charset,
    setup: Setup,
    visit: &mut Visit<'_>,
) -> Result<PassEnd, DecodeError> {
    let plan = match plan::bind(profile, &[], &setup.blank) {
        Ok(plan) => plan,
        Err(mismatch) => {
            let mut end = PassEnd::default();
            let fault = hold::whole("HEADER_MISMATCH", "", mismatch.found, mismatch.expected);
            end.refusals.extend(hold::held(0, &[fault], ""));
            return Ok(end);
        }
    };
    let trees = Trees::new(parse, &plan, setup);
    match parse.form {
        TreeForm::Ndjson => ndjson::pass(text, charset, trees, visit),
        TreeForm::Json => json::pass(text, &parse.records, trees, visit),
        TreeForm::Xml => markup::pass(text, &parse.records, trees, visit),
    }
}

/// Turns records into documents.
struct Trees<'p, 't> {
    parse: &'t TreeParse,
    plan: &'p Plan,
    documents: Documents<'p>,
    lines: Option<TreePath>,
    /// Path of the lines as extensions name it.
    line_path: String,
    offset: u64,
    /// Whether a field asks for what stands around the records.
    needs_outer: bool,
    skipped: u64,
    end: PassEnd,
}

impl<'p, 't> Trees<'p, 't> {
    fn new(parse: &'t TreeParse, plan: &'p Plan, setup: Setup) -> Self {
        let is_xml = parse.form == TreeForm::Xml;
        let lines = parse.lines.as_deref().and_then(|path| TreePath::parse(path, is_xml).ok());
        let depth = lines.as_ref().map_or(0, TreePath::depth);
        let line_path = lines.as_ref().map(|path| path.names().collect::<Vec<_>>().join("/")).unwrap_or_default();
        let is_above = |paths: &[TreePath], depth: usize| paths.iter().any(|path| path.up > depth);
        let is_skip_above = plan.skips.iter().any(|skip| skip.source.up() > 0);
        let needs_outer =
            is_skip_above || is_above(&plan.header_rest.paths, 0) || is_above(&plan.detail_rest.paths, depth);
        let offset = setup.offset;
        let documents = Documents::new(plan, setup.tools, setup.blank, setup.is_trusted, true);
        Self { parse, plan, documents, lines, line_path, offset, needs_outer, skipped: 0, end: PassEnd::default() }
    }

    /// Reads one record; `outer` is what stands around it.
    fn record(
        &mut self,
        outer: &[Value],
        record: &Value,
        place: Place,
        text: &dyn Fn() -> String,
        visit: &mut Visit<'_>,
    ) -> ControlFlow<()> {
        let mut chain: Vec<&Value> = outer.iter().collect();
        chain.push(record);
        let top = if self.lines.is_some() { Scope::Header } else { Scope::Detail };
        if self.is_skipped(&chain, top) {
            return ControlFlow::Continue(());
        }
        if !record.is_object() && self.parse.form != TreeForm::Xml {
            let fault = hold::whole("SCHEMA_VIOLATION", "", "another JSON value", "a JSON object for each record");
            return self.bad(place, text(), fault, visit);
        }
        self.end.lines += 1;
        self.documents.open(place);
        self.document(&chain, place, text);
        self.close(text, visit)
    }

    fn document(&mut self, chain: &[&Value], place: Place, text: &dyn Fn() -> String) {
        let prefix = if self.parse.form == TreeForm::Xml { "xml:" } else { "json:" };
        let line_path = std::mem::take(&mut self.line_path);
        let mut rest = Rest::new(prefix, &line_path);
        let Some(path) = self.lines.take() else {
            rest.note_record(self.plan, chain);
            self.documents.detail(Input::Tree(Branch { chain, rest: &rest }), place.line_no, text);
            return self.finish_rest(rest.left_out());
        };
        let Some((record, outer)) = chain.split_last() else { return };
        let (mut lines, mut odd) = (Vec::new(), None);
        path.lines(
            record,
            &mut |below| {
                let line: Vec<&Value> = outer.iter().chain(below).copied().collect();
                lines.push(line);
            },
            &mut |value| odd = Some(value.to_string()),
        );
        rest.note_header(self.plan, chain);
        lines.iter().for_each(|line| rest.note_line(self.plan, line));
        self.documents.header(Input::Tree(Branch { chain, rest: &rest }), place.line_no, String::new());
        for line in &lines {
            if self.is_skipped(line, Scope::Detail) {
                continue;
            }
            self.documents.detail(Input::Tree(Branch { chain: line, rest: &rest }), place.line_no, text);
        }
        let is_json = self.parse.form != TreeForm::Xml;
        if odd.is_some() || is_json && lines.is_empty() && !path.is_begun(record) {
            let field = self.parse.lines.as_deref().unwrap_or("");
            let fault =
                hold::whole("SCHEMA_VIOLATION", field, odd.unwrap_or("no array".to_owned()), "an array of lines");
            self.documents.bad(place.line_no, text(), fault);
        }
        let left_out = rest.left_out();
        drop(rest);
        (self.lines, self.line_path) = (Some(path), line_path);
        self.finish_rest(left_out);
    }

    fn finish_rest(&mut self, left_out: usize) {
        if left_out > 0 {
            let text = format!("{left_out} values that no field names were left out: too many of them");
            self.documents.warn("EXTENSIONS_LEFT_OUT", text);
        }
    }

    fn is_skipped(&mut self, chain: &[&Value], scope: Scope) -> bool {
        if self.plan.skips.is_empty() {
            return false;
        }
        let rest = Rest::default();
        let input = Input::Tree(Branch { chain, rest: &rest });
        let is_skipped =
            self.plan.skips.iter().any(|skip| skip.scope == scope && skip.is_met(input, &self.plan.blanks));
        self.skipped += u64::from(is_skipped);
        is_skipped
    }

    /// Notes a record that cannot be read.
    fn bad(&mut self, place: Place, text: String, fault: Fault, visit: &mut Visit<'_>) -> ControlFlow<()> {
        self.end.lines += 1;
        self.documents.open(place);
        self.documents.bad(place.line_no, text, fault);
        self.close(&String::new, visit)
    }

    fn close(&mut self, text: &dyn Fn() -> String, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let mut flow = ControlFlow::Continue(());
        self.documents.close(text, &mut |record, outcome| flow = visit(record, outcome));
        flow
    }

    fn refuse(&mut self, line_no: u64, fault: Fault) {
        self.end.refusals.extend(hold::held(line_no, &[fault], ""));
    }

    fn is_sound(&self) -> bool {
        self.end.refusals.is_empty()
    }

    /// A document without any record is another document, unless the feed says that lists may be empty.
    fn expect_record(&mut self, record: &str, root: &str) {
        if self.end.lines == 0 && self.skipped == 0 && !self.parse.may_be_empty {
            let found =
                if root.is_empty() { "no element of that name".to_owned() } else { format!("a document {root}") };
            self.refuse(0, hold::whole("UNSUPPORTED_DOCUMENT", record, found, format!("at least one <{record}>")));
        }
    }

    fn finish(&mut self) -> PassEnd {
        let mut end = std::mem::take(&mut self.end);
        end.records = self.documents.records;
        end.refusals.append(&mut self.documents.refusals);
        end.warnings.extend(plan::skipped_words(self.skipped));
        end
    }
}

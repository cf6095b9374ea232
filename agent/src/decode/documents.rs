//! Puts rows together to documents, one at a time, and hands each over as an event or as held lines.

use std::collections::BTreeMap;

use docksync_proto::{
    event::{Action, Event, EventType, Interchange, Line, RefKind, Warning},
    validate,
};
use rust_decimal::Decimal;

use super::{
    assign::{self, Fault, Tools},
    hold,
    plan::{CheckPlan, FieldPlan, Input, Plan, TypePlan, Unmapped},
    profile::Scope,
    rows::Row,
    spare::empty,
};
use crate::queue::capture::HeldLine;

/// Most rows of one document; a larger one is held, so that memory stays bounded.
pub const DOCUMENT_ROWS_MAX: usize = 5_000;

/// What a document became.
pub(super) enum Outcome<'o> {
    /// A good event, with the rows that it holds. Its ordinal is still 0.
    Event(&'o mut Event, u64),
    /// Its rows, each with a reason.
    Held(&'o [HeldLine]),
}

/// Where a row stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) line_no: u64,
    pub(super) offset: u64,
}

/// Collects the rows of one document at a time.
pub(super) struct Documents<'p> {
    plan: &'p Plan,
    tools: Tools,
    event: Event,
    /// Whether the event's line is one of the document before, emptied: most documents have one, and its memory serves again.
    has_spare: bool,
    /// Rows of the open document, with their texts where it has several.
    rows: Vec<(u64, String)>,
    /// Row of each line of the event.
    line_rows: Vec<usize>,
    faults: Vec<(usize, Vec<Fault>)>,
    is_open: bool,
    /// Rows after the limit: counted and held, not kept.
    overflow: Vec<HeldLine>,
    totals: Vec<Option<Decimal>>,
    sums: Vec<Decimal>,
    file_sums: Vec<Decimal>,
    is_trusted: bool,
    /// Set where header and details of a document stand on one line of the file.
    is_one_line: bool,
    pub(super) records: u64,
    pub(super) refusals: Vec<HeldLine>,
}

impl<'p> Documents<'p> {
    /// `blank` carries what all events of the file share. `is_trusted` leaves out rules that the whole file is known to meet.
    pub(super) fn new(plan: &'p Plan, tools: Tools, blank: Event, is_trusted: bool, is_one_line: bool) -> Self {
        let count = plan.checks.len();
        Self {
            plan,
            tools,
            event: blank,
            has_spare: false,
            rows: Vec::new(),
            line_rows: Vec::new(),
            faults: Vec::new(),
            is_open: false,
            overflow: Vec::new(),
            totals: vec![None; count],
            sums: vec![Decimal::ZERO; count],
            file_sums: vec![Decimal::ZERO; count],
            is_trusted,
            is_one_line,
            records: 0,
            refusals: Vec::new(),
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) const fn plan(&self) -> &'p Plan {
        self.plan
    }

    /// Opens a document at this place.
    pub(super) fn open(&mut self, place: Place) {
        self.tools.clear(&mut self.event.references);
        reset(&mut self.event, self.plan.has_interchange);
        self.event.lines.truncate(1);
        self.event.lines.iter_mut().for_each(empty);
        self.has_spare = !self.event.lines.is_empty();
        self.rows.clear();
        self.line_rows.clear();
        self.faults.clear();
        self.overflow.clear();
        self.sums.fill(Decimal::ZERO);
        self.totals.fill(None);
        self.is_open = true;
        self.records += 1;
        self.event.source.record_ordinal = self.records;
        self.event.source.line_no = place.line_no;
        self.event.source.byte_offset = place.offset;
    }

    /// Adds the header row of a document.
    pub(super) fn header(&mut self, input: Input<'_>, line_no: u64, text: String) {
        let row = self.row(line_no, text);
        let mut faults = Vec::new();
        if self.plan.type_scope == Scope::Header {
            self.event_type(input, &mut faults);
        }
        self.fields(&self.plan.header_fields, input, &mut faults, true);
        if self.plan.keeps_unknown {
            keep_rest(&self.plan.header_rest, input, 0, false, &self.plan.blanks, &mut self.event);
        }
        for (at, check) in self.plan.checks.iter().enumerate().filter(|(_, c)| c.scope == Scope::Header) {
            self.totals[at] = total(check, input, self.plan, &self.tools, &mut faults);
        }
        self.note(row, faults);
    }

    /// Adds a detail row; the text is asked for only where it is kept.
    pub(super) fn detail(&mut self, input: Input<'_>, line_no: u64, text: &dyn Fn() -> String) {
        if self.line_rows.len() >= DOCUMENT_ROWS_MAX {
            let fault = hold::whole(
                "DOCUMENT_TOO_LARGE",
                "",
                "more rows",
                format!("at most {DOCUMENT_ROWS_MAX} rows in a document"),
            );
            self.overflow.extend(hold::held(line_no, &[fault], &text()));
            return;
        }
        let is_single = self.is_one_line || (self.plan.group_by.is_none() && !self.plan.has_header_rows);
        let row = self.row(line_no, if is_single { String::new() } else { text() });
        let mut faults = Vec::new();
        let is_first = self.line_rows.is_empty() && self.plan.type_scope == Scope::Detail;
        if is_first {
            self.event_type(input, &mut faults);
        }
        self.elements(row);
        self.fields(&self.plan.detail_fields, input, &mut faults, is_first || self.plan.type_scope == Scope::Header);
        if self.plan.keeps_unknown {
            let nth = self.line_rows.len();
            let is_line = self.plan.type_scope == Scope::Header;
            keep_rest(&self.plan.detail_rest, input, nth, is_line, &self.plan.blanks, &mut self.event);
        }
        self.link_container();
        if !self.plan.checks.is_empty() {
            self.add_up();
        }
        if !faults.is_empty() && is_single {
            self.rows[row].1 = text();
        }
        self.note(row, faults);
    }

    /// Notes a doubt about the open document.
    pub(super) fn warn(&mut self, code: &str, text: String) {
        self.event.warnings.push(Warning { code: code.to_owned(), path: String::new(), text });
    }

    /// Notes a row that could not be read at all.
    pub(super) fn bad(&mut self, line_no: u64, text: String, fault: Fault) {
        let row = self.row(line_no, text);
        self.note(row, vec![fault]);
    }

    /// Closes the document and hands it over. `text` gives the row of a document that has only one.
    pub(super) fn close(&mut self, text: &dyn Fn() -> String, visit: &mut dyn FnMut(u64, Outcome<'_>)) {
        if !self.is_open {
            return;
        }
        self.is_open = false;
        if std::mem::take(&mut self.has_spare) {
            self.event.lines.clear();
        }
        correlate(&mut self.event);
        self.compare_totals();
        if self.faults.is_empty() && self.overflow.is_empty() {
            self.validate();
        }
        if self.faults.is_empty() && self.overflow.is_empty() {
            let rows = self.rows.len() as u64;
            return visit(self.records, Outcome::Event(&mut self.event, rows));
        }
        if let Some((_, kept)) = self.rows.first_mut().filter(|(_, kept)| kept.is_empty()) {
            *kept = text();
        }
        let held = self.held();
        visit(self.records, Outcome::Held(&held));
    }

    /// Compares the totals of the file with the trailer row; gives warnings.
    pub(super) fn trailer(&mut self, input: Input<'_>, line_no: u64, text: &str, warnings: &mut Vec<String>) {
        for (at, check) in self.plan.checks.iter().enumerate().filter(|(_, c)| c.scope == Scope::Trailer) {
            let mut faults = Vec::new();
            let total = total(check, input, self.plan, &self.tools, &mut faults);
            if let Some(fault) = total.and_then(|total| difference(check, total, self.file_sums[at])) {
                if check.refuses_file {
                    faults.push(fault);
                } else {
                    warnings.push(format!(
                        "{}: {} is {}, the trailer says {}",
                        fault.code, fault.field, fault.found, fault.expected
                    ));
                }
            }
            self.refusals.extend(hold::held(line_no, &faults, text));
        }
    }

    fn row(&mut self, line_no: u64, text: String) -> usize {
        if self.is_one_line && !self.rows.is_empty() {
            return 0;
        }
        self.rows.push((line_no, text));
        self.rows.len() - 1
    }

    fn note(&mut self, row: usize, faults: Vec<Fault>) {
        if faults.is_empty() {
            return;
        }
        match self.faults.iter_mut().find(|(at, _)| *at == row) {
            Some((_, known)) => known.extend(faults),
            None => self.faults.push((row, faults)),
        }
    }

    fn event_type(&mut self, input: Input<'_>, faults: &mut Vec<Fault>) {
        match &self.plan.type_of {
            TypePlan::Const(event_type) => self.event.event_type = *event_type,
            TypePlan::Mapped(source, map) => {
                let word = source.text(input, &self.plan.blanks).unwrap_or_default();
                match by_word(map, &word.to_uppercase()) {
                    Some(event_type) => self.event.event_type = event_type,
                    None => {
                        let known: Vec<&str> = map.keys().map(String::as_str).collect();
                        faults.push(hold::whole("UNSUPPORTED_DOCUMENT", "event_type", word, known.join(", ")));
                    }
                }
            }
        }
    }

    /// Adds the line and the container that the row's fields go into.
    fn elements(&mut self, row: usize) {
        self.line_rows.push(row);
        if self.plan.has_lines && !std::mem::take(&mut self.has_spare) {
            self.event.lines.push(Line::default());
        }
        if self.plan.has_containers {
            self.event.containers.push(docksync_proto::event::Container::default());
        }
    }

    fn fields(&mut self, fields: &[FieldPlan], input: Input<'_>, faults: &mut Vec<Fault>, is_first: bool) {
        // What belongs to the document as a whole is read from its first row.
        for field in fields.iter().filter(|field| is_first || field.to.is_detail()) {
            if let Err(fault) = assign::assign(field, input, &self.plan.blanks, &mut self.tools, &mut self.event) {
                faults.push(fault);
            }
        }
    }

    /// Rows that name the container of the row before continue it; a line knows the container of its row.
    fn link_container(&mut self) {
        if !self.plan.has_containers {
            return;
        }
        let count = self.event.containers.len();
        if let [.., before, last] = self.event.containers.as_mut_slice()
            && before.container_id == last.container_id
        {
            let mut contents = std::mem::take(&mut last.contents);
            before.contents.append(&mut contents);
            self.event.containers.truncate(count - 1);
        }
        let id = self.event.containers.last().map(|c| c.container_id.clone()).unwrap_or_default();
        if let Some(line) = self.event.lines.last_mut().filter(|line| line.container_ref.is_empty()) {
            line.container_ref = id;
        }
        if self.event.containers.last() == Some(&docksync_proto::event::Container::default()) {
            self.event.containers.pop();
        }
    }

    fn add_up(&mut self) {
        for (at, check) in self.plan.checks.iter().enumerate() {
            let amount = match check.sum_of {
                None => Some(Decimal::ONE),
                Some(quantity) => self.event.lines.last_mut().and_then(|line| *quantity.slot(line)),
            };
            let amount = amount.unwrap_or_default();
            self.sums[at] = self.sums[at].saturating_add(amount);
            self.file_sums[at] = self.file_sums[at].saturating_add(amount);
        }
    }

    fn compare_totals(&mut self) {
        for (at, check) in self.plan.checks.iter().enumerate() {
            let Some(fault) = self.totals[at].and_then(|total| difference(check, total, self.sums[at])) else {
                continue;
            };
            if check.refuses_file {
                let (line_no, text) = self.rows.first().cloned().unwrap_or_default();
                self.refusals.extend(hold::held(line_no, &[fault], &text));
            } else {
                let text = format!("lines give {}, the header says {}", fault.found, fault.expected);
                self.event.warnings.push(Warning { code: fault.code.to_owned(), path: fault.field, text });
            }
        }
    }

    fn validate(&mut self) {
        if self.is_trusted {
            return;
        }
        for violation in validate::violations(&self.event) {
            let index =
                violation.path.strip_prefix("lines[").and_then(|rest| rest.split_once(']')?.0.parse::<usize>().ok());
            let row = index.and_then(|at| self.line_rows.get(at).copied()).unwrap_or(0);
            let mut fault = hold::whole(violation.code, &violation.path, violation.found, violation.expected);
            if let Some(field) = self.field_of(&violation.path) {
                (fault.column, fault.field) = (field.column, field.label.clone());
            }
            self.note(row, vec![fault]);
        }
    }

    /// The field that a path of the contract, as `lines[1].qty`, was read from.
    fn field_of(&self, path: &str) -> Option<&'p FieldPlan> {
        let (before, after) =
            path.split_once('[').map_or((path, ""), |(a, b)| (a, b.split_once(']').map_or("", |x| x.1)));
        let is_it = |field: &&FieldPlan| field.name.strip_prefix(before) == Some(after) && !field.label.is_empty();
        self.plan.detail_fields.iter().chain(&self.plan.header_fields).find(is_it)
    }

    /// Every row of a document that has a bad one: half a document would be a wrong statement about all of it.
    fn held(&self) -> Vec<HeldLine> {
        let mut all = Vec::with_capacity(self.rows.len() + self.overflow.len());
        for (at, (line_no, text)) in self.rows.iter().enumerate() {
            let own = self.faults.iter().find(|(row, _)| *row == at);
            all.extend(match own {
                Some((_, faults)) => hold::held(*line_no, faults, text),
                None => {
                    let fault = hold::whole("DOCUMENT_HELD", "", "a good line", "all lines of its document to be good");
                    hold::held(*line_no, &[fault], text)
                }
            });
        }
        all.extend(self.overflow.iter().cloned());
        all
    }
}

/// What the map says of a word: the word itself, else the longest beginning that a `*` ends.
fn by_word(map: &BTreeMap<String, EventType>, word: &str) -> Option<EventType> {
    let begins = |key: &str| key.strip_suffix('*').is_some_and(|head| word.starts_with(head));
    let known = map.get(word).or_else(|| {
        let fitting = map.iter().filter(|(key, _)| begins(key));
        fitting.max_by_key(|(key, _)| key.len()).map(|(_, event_type)| event_type)
    });
    known.copied()
}

fn reset(event: &mut Event, has_interchange: bool) {
    event.action = Action::Add;
    event.correlation_id.clear();
    event.ordinal = 0;
    event.parties.clear();
    event.operator.clear();
    event.containers.clear();
    event.extensions.clear();
    event.warnings.clear();
    if has_interchange {
        event.interchange = Interchange::default();
    }
}

/// Where no field names the business act, the first of these numbers does.
fn correlate(event: &mut Event) {
    const KINDS: [RefKind; 6] =
        [RefKind::So, RefKind::DepositorOrder, RefKind::Shipment, RefKind::Receipt, RefKind::Adjustment, RefKind::Rma];
    if !event.correlation_id.is_empty() {
        return;
    }
    let of = |kind: &RefKind| event.references.iter().find(|known| known.kind == *kind);
    let value = |kind: &RefKind| of(kind).map(|known| &known.value).filter(|value| !value.is_empty());
    if let Some(value) = KINDS.iter().find_map(value) {
        value.clone_into(&mut event.correlation_id);
    }
}

fn total(check: &CheckPlan, input: Input<'_>, plan: &Plan, tools: &Tools, faults: &mut Vec<Fault>) -> Option<Decimal> {
    let text = check.equals.text(input, &plan.blanks);
    let total = text.as_deref().and_then(|text| tools.number.parse(text));
    if total.is_none() {
        let found = text.unwrap_or("nothing".into());
        faults.push(hold::whole("TOTAL_MISMATCH", &check.field, found, "a control total"));
    }
    total
}

fn difference(check: &CheckPlan, total: Decimal, sum: Decimal) -> Option<Fault> {
    let code = if check.sum_of.is_some() { "TOTAL_MISMATCH" } else { "COUNT_MISMATCH" };
    (total != sum).then(|| hold::whole(code, &check.field, sum.normalize().to_string(), total.normalize().to_string()))
}

/// Keeps what nobody mapped. Rows of one document after the first carry their number.
fn keep_rest(
    rest: &Unmapped,
    input: Input<'_>,
    nth: usize,
    is_line: bool,
    blanks: &super::plan::Blanks,
    event: &mut Event,
) {
    let mut keep = |mut key: String, text: &str| {
        if text.trim().is_empty() || blanks.null.iter().any(|null| null == text.trim()) {
            return;
        }
        if nth > 1 {
            key.push_str(&format!("[{nth}]"));
        }
        event.extensions.insert(key, text.to_owned());
    };
    match input {
        Input::Cells(row) if rest.stretches.is_some() => unmapped_stretches(rest, row, &mut keep),
        Input::Cells(row) if !rest.is_named => unnamed(rest, row, &mut keep),
        Input::Cells(row) => {
            for (at, key) in &rest.cells {
                keep(key.clone(), row.cell(*at).unwrap_or(""));
            }
        }
        Input::Tree(branch) => branch.keep(is_line, &mut keep),
    }
}

fn unnamed(rest: &Unmapped, row: &Row, keep: &mut impl FnMut(String, &str)) {
    for at in (0..row.len()).filter(|at| !rest.used.contains(at)) {
        keep(format!("csv:{}{at}", rest.prefix), row.cell(at).unwrap_or(""));
    }
}

/// What stands in a line of fixed width between the stretches that are mapped: `fixed:31-38`.
fn unmapped_stretches(rest: &Unmapped, row: &Row, keep: &mut impl FnMut(String, &str)) {
    let line = row.line();
    let mut from = 1;
    let end = row.chars() + 1;
    let mut gap = |from: usize, to: usize| {
        let text: String = line.chars().skip(from - 1).take(to.saturating_sub(from)).collect();
        let blanks = text.chars().take_while(|c| c.is_whitespace()).count();
        let text = text.trim();
        if !text.is_empty() {
            let first = from + blanks;
            keep(format!("fixed:{}{first}-{}", rest.prefix, first + text.chars().count() - 1), text);
        }
    };
    for (start, len) in rest.stretches.iter().flatten() {
        let start = (*start).min(end);
        if start > from {
            gap(from, start);
        }
        from = from.max(start.saturating_add(*len));
    }
    if from < end {
        gap(from, end);
    }
}

/// A type that every blank event starts with; the rule of the feed replaces it.
pub(super) const BLANK_TYPE: EventType = EventType::EpcisOther;

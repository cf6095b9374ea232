//! Delimited text: header row, rows of several kinds, documents.

use std::{io::Read, ops::ControlFlow};

use super::{
    DecodeError, PassEnd, ROW_BYTES_MAX, Setup, Visit,
    assign::Fault,
    charset::{Charset, Utf8Reader},
    documents::{Documents, Place},
    hold,
    plan::{self, Input, Plan},
    profile::{CsvParse, Profile, Scope},
    rows::{Found, LINES, Row, Rows, RowsError},
};

/// Reads the file once.
pub(super) fn pass<R: Read>(
    profile: &Profile,
    parse: &CsvParse,
    text: Utf8Reader<R>,
    charset: Charset,
    setup: Setup,
    visit: &mut Visit<'_>,
) -> Result<PassEnd, DecodeError> {
    let mut rows = Rows::new(text, if parse.is_fixed { LINES } else { parse.dialect }, ROW_BYTES_MAX);
    rows.is_transcoded = charset != Charset::Utf8;
    let (mut row, mut end) = (Row::default(), PassEnd::default());
    if parse.has_header {
        match rows.next(&mut row) {
            Ok(Found::End) => return Ok(end),
            Ok(Found::Row) => {
                end.header = (0..row.len()).map(|at| row.cell(at).unwrap_or("").trim().to_owned()).collect()
            }
            Ok(Found::NotText) => {
                let fault = encoding_fault(&row, charset);
                end.refusals.extend(hold::held(row.line_no, &[fault], &hold::text_of(&row)));
                return Ok(end);
            }
            Err(error) => return stopped(error, end),
        }
    }
    let plan = match plan::bind(profile, &end.header, &setup.blank) {
        Ok(plan) => plan,
        Err(mismatch) => {
            let fault = hold::whole("HEADER_MISMATCH", "header", mismatch.found, mismatch.expected);
            end.refusals.extend(hold::held(row.line_no, &[fault], &hold::text_of(&row)));
            return Ok(end);
        }
    };
    let offset = setup.offset;
    let documents = Documents::new(&plan, setup.tools, setup.blank, setup.is_trusted, false);
    let mut walk = Walk {
        documents,
        charset,
        offset,
        widths: [plan.width; 3],
        key: String::new(),
        has_trailer: false,
        is_skipping: false,
        skipped: 0,
        longest: [0; 3],
        end,
    };
    walk.rows(&mut rows, &mut row, visit)
}

struct Walk<'p> {
    documents: Documents<'p>,
    charset: Charset,
    offset: u64,
    /// Columns of header, detail and trailer rows.
    widths: [Option<usize>; 3],
    key: String,
    has_trailer: bool,
    /// Set below a header row that is left out.
    is_skipping: bool,
    skipped: u64,
    /// Longest line of each kind so far, in characters, for lines of fixed width.
    longest: [usize; 3],
    end: PassEnd,
}

impl<'p> Walk<'p> {
    fn rows<R: Read>(
        &mut self,
        rows: &mut Rows<R>,
        row: &mut Row,
        visit: &mut Visit<'_>,
    ) -> Result<PassEnd, DecodeError> {
        let mut flow = ControlFlow::Continue(());
        let mut hand = |record, outcome: super::Outcome<'_>| {
            if flow.is_continue() {
                flow = visit(record, outcome);
            }
            flow
        };
        loop {
            let found = match rows.next(row) {
                Ok(Found::End) => break,
                Ok(found) => found,
                Err(error) => {
                    // The file is refused: nobody asks whether to go on.
                    let _flow = self.close(&mut hand);
                    return stopped(error, self.finish());
                }
            };
            if let Some(spans) = &self.plan().spans {
                row.cut(spans);
            }
            if self.row(row, found, &mut hand).is_break() {
                return Ok(self.finish());
            }
        }
        if self.close(&mut hand).is_continue() {
            self.expect_trailer();
        }
        Ok(self.finish())
    }

    fn row(&mut self, row: &Row, found: Found, hand: &mut Visit<'_>) -> ControlFlow<()> {
        if let Some(flow) = self.skip(row, &found, hand) {
            return flow;
        }
        let kind = self.kind(row, &found);
        if !matches!(kind, Ok(Scope::Trailer)) {
            self.end.lines += 1;
        }
        let kind = match kind.and_then(|kind| self.width(row, kind)) {
            Ok(kind) => kind,
            Err(fault) => return self.bad(row, fault, hand),
        };
        match kind {
            Scope::Header => {
                let flow = self.close(hand);
                self.documents.open(self.place(row));
                self.documents.header(Input::Cells(row), row.line_no, hold::text_of(row));
                flow
            }
            Scope::Detail => self.detail(row, hand),
            Scope::Trailer => {
                let flow = self.close(hand);
                self.has_trailer = true;
                self.documents.trailer(Input::Cells(row), row.line_no, &hold::text_of(row), &mut self.end.warnings);
                flow
            }
        }
    }

    fn detail(&mut self, row: &Row, hand: &mut Visit<'_>) -> ControlFlow<()> {
        let plan = self.plan();
        let mut flow = ControlFlow::Continue(());
        if plan.has_header_rows {
            if !self.documents.is_open() {
                let fault = hold::whole("SCHEMA_VIOLATION", "", "a detail row", "a header row before it");
                return self.bad(row, fault, hand);
            }
        } else if let Some(columns) = &plan.group_by {
            if !self.documents.is_open() || !self.has_key(row, columns) {
                flow = self.close(hand);
                self.keep_key(row, columns);
                self.documents.open(self.place(row));
            }
        } else {
            self.documents.open(self.place(row));
        }
        let text = || hold::text_of(row);
        self.documents.detail(Input::Cells(row), row.line_no, &text);
        if plan.has_header_rows || plan.group_by.is_some() { flow } else { self.close_with(&text, hand) }
    }

    fn plan(&self) -> &'p Plan {
        self.documents.plan()
    }

    fn kind(&self, row: &Row, found: &Found) -> Result<Scope, Fault> {
        if *found == Found::NotText {
            return Err(encoding_fault(row, self.charset));
        }
        if row.is_torn {
            return Err(hold::whole("TRUNCATED_FILE", "", "the end of the file within quotes", "a closing quote"));
        }
        let Some(kinds) = &self.plan().kinds else { return Ok(Scope::Detail) };
        let word = row.cell(kinds.column).unwrap_or("").trim();
        if self.has_trailer {
            return Err(hold::whole("SCHEMA_VIOLATION", "", "a row after the trailer", "the end of the file"));
        }
        if kinds.is_detail(word) {
            return Ok(Scope::Detail);
        }
        if kinds.header.as_deref() == Some(word) {
            return Ok(Scope::Header);
        }
        if kinds.trailer.as_deref() == Some(word) {
            return Ok(Scope::Trailer);
        }
        let found = hold::shown(Input::Cells(row), kinds.column);
        Err(hold::whole("UNKNOWN_RECORD_TYPE", "record type", found, "a declared record type"))
    }

    /// Rows of a kind all have as many columns as the header row, or as the first of the kind.
    fn width(&mut self, row: &Row, kind: Scope) -> Result<Scope, Fault> {
        if self.plan().spans.is_some() {
            return self.whole(row, kind);
        }
        let width = *self.widths[kind as usize].get_or_insert(row.len());
        if row.len() == width {
            return Ok(kind);
        }
        Err(hold::whole("RAGGED_ROW", "", format!("{} columns", row.len()), format!("{width} columns")))
    }

    /// A line of fixed width that the file ends with, shorter than others of its kind or than what is read of it, is torn.
    fn whole(&mut self, row: &Row, kind: Scope) -> Result<Scope, Fault> {
        if kind == Scope::Trailer {
            // Its total tells whether it is whole.
            return Ok(kind);
        }
        let longest = &mut self.longest[kind as usize];
        let chars = row.chars();
        if !row.is_unended {
            *longest = chars.max(*longest);
            return Ok(kind);
        }
        let plan = self.documents.plan();
        let rest = if kind == Scope::Header { &plan.header_rest } else { &plan.detail_rest };
        let ends = rest.stretches.iter().flatten().map(|(start, len)| start + len - 1);
        let least = if *longest > 0 { *longest } else { ends.max().unwrap_or(0) };
        if chars >= least {
            return Ok(kind);
        }
        let found = format!("the end of the file at character {chars} of a line");
        Err(hold::whole("TRUNCATED_FILE", "", found, format!("a line of {least} characters, or its end")))
    }

    /// Whether the row is one that the feed leaves out; with a header row go the rows below it.
    fn skip(&mut self, row: &Row, found: &Found, hand: &mut Visit<'_>) -> Option<ControlFlow<()>> {
        let plan = self.plan();
        if plan.skips.is_empty() || *found != Found::Row || row.is_torn {
            return None;
        }
        let word = plan.kinds.as_ref().map(|kinds| row.cell(kinds.column).unwrap_or("").trim());
        let is_header = word.is_some() && plan.kinds.as_ref().and_then(|kinds| kinds.header.as_deref()) == word;
        let scope = if is_header { Scope::Header } else { Scope::Detail };
        let input = Input::Cells(row);
        let is_met = plan.skips.iter().any(|skip| skip.scope == scope && skip.is_met(input, &plan.blanks));
        let is_detail = plan.kinds.as_ref().is_none_or(|kinds| word.is_some_and(|word| kinds.is_detail(word)));
        let is_trailer = word.is_some() && plan.kinds.as_ref().and_then(|kinds| kinds.trailer.as_deref()) == word;
        if is_header {
            self.is_skipping = is_met;
        }
        let is_out = if is_header { is_met } else { (is_met || self.is_skipping && is_detail) && !is_trailer };
        if !is_out {
            return None;
        }
        self.skipped += 1;
        Some(if is_header { self.close(hand) } else { ControlFlow::Continue(()) })
    }

    /// A row that cannot be read belongs to the open document, which it spoils, or stands alone.
    fn bad(&mut self, row: &Row, fault: Fault, hand: &mut Visit<'_>) -> ControlFlow<()> {
        let is_alone = !self.documents.is_open();
        if is_alone {
            self.documents.open(self.place(row));
        }
        self.documents.bad(row.line_no, hold::text_of(row), fault);
        if is_alone { self.close(hand) } else { ControlFlow::Continue(()) }
    }

    fn has_key(&self, row: &Row, columns: &[usize]) -> bool {
        let mut rest = self.key.as_str();
        columns.iter().all(|at| {
            let found = rest.strip_prefix(row.cell(*at).unwrap_or("")).and_then(|rest| rest.strip_prefix('\u{1f}'));
            rest = found.unwrap_or("");
            found.is_some()
        })
    }

    fn keep_key(&mut self, row: &Row, columns: &[usize]) {
        self.key.clear();
        for at in columns {
            self.key.push_str(row.cell(*at).unwrap_or(""));
            self.key.push('\u{1f}');
        }
    }

    fn place(&self, row: &Row) -> Place {
        Place { line_no: row.line_no, offset: row.offset + self.offset }
    }

    fn close(&mut self, hand: &mut Visit<'_>) -> ControlFlow<()> {
        self.close_with(&String::new, hand)
    }

    fn close_with(&mut self, text: &dyn Fn() -> String, hand: &mut Visit<'_>) -> ControlFlow<()> {
        let mut flow = ControlFlow::Continue(());
        self.documents.close(text, &mut |record, outcome| flow = hand(record, outcome));
        flow
    }

    fn expect_trailer(&mut self) {
        let is_declared = self.plan().kinds.as_ref().is_some_and(|kinds| kinds.trailer.is_some());
        if is_declared && !self.has_trailer && self.end.lines > 0 {
            let fault = hold::whole("TRUNCATED_FILE", "", "the end of the file", "a trailer row");
            self.end.refusals.extend(hold::held(0, &[fault], ""));
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

/// Past a row over the limit nothing can be trusted: the file is refused.
pub(super) fn stopped(error: RowsError, mut end: PassEnd) -> Result<PassEnd, DecodeError> {
    match error {
        RowsError::Io(source) => Err(DecodeError::Read(source)),
        RowsError::TooLong { line_no } => {
            let expected = format!("at most {ROW_BYTES_MAX} bytes; is a quote left open?");
            let fault = hold::whole("RECORD_TOO_LONG", "", "a longer row", expected);
            end.refusals.extend(hold::held(line_no, &[fault], ""));
            Ok(end)
        }
    }
}

/// Names the first wrong byte of a row.
pub(super) fn encoding_fault(row: &Row, charset: Charset) -> Fault {
    let at = match std::str::from_utf8(row.raw()) {
        Err(error) => error.valid_up_to(),
        Ok(text) => text.find(['\0', '\u{fffd}']).unwrap_or(0),
    };
    let byte = row.raw().get(at).copied().unwrap_or(0);
    let mut fault =
        hold::whole("ENCODING_ERROR", "", format!("byte {byte:#04x} at {at}"), format!("text in {}", charset.name()));
    fault.column = u32::try_from(at).map_or(0, |at| at + 1);
    fault
}

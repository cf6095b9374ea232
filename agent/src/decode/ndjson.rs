//! One JSON object for each line; where the profile says so, with an array of lines within.

use std::{io::Read, ops::ControlFlow};

use serde_json::Value;

use super::{
    DecodeError, PassEnd, ROW_BYTES_MAX, Setup, Visit,
    assign::Fault,
    charset::{Charset, Utf8Reader},
    csv,
    documents::{Documents, Place},
    hold,
    plan::{self, Input},
    profile::{NdjsonParse, Profile},
    rows::{Dialect, Found, Row, Rows},
};

/// No byte of a line is special.
const LINES: Dialect = Dialect { delimiter: b'\n', quote: None, escape: None, comment: None };

/// Reads the file once.
pub(super) fn pass<R: Read>(
    profile: &Profile,
    parse: &NdjsonParse,
    text: Utf8Reader<R>,
    charset: Charset,
    setup: Setup,
    visit: &mut Visit<'_>,
) -> Result<PassEnd, DecodeError> {
    let mut rows = Rows::new(text, LINES, ROW_BYTES_MAX);
    rows.is_transcoded = charset != Charset::Utf8;
    let (mut row, mut end) = (Row::default(), PassEnd::default());
    let plan = match plan::bind(profile, &[]) {
        Ok(plan) => plan,
        Err(mismatch) => {
            let fault = hold::whole("HEADER_MISMATCH", "", mismatch.found, mismatch.expected);
            end.refusals.extend(hold::held(0, &[fault], ""));
            return Ok(end);
        }
    };
    let mut documents = Documents::new(&plan, setup.tools, setup.blank, setup.is_trusted, true);
    loop {
        let found = match rows.next(&mut row) {
            Ok(Found::End) => break,
            Ok(found) => found,
            Err(error) => {
                end.records = documents.records;
                return csv::stopped(error, end);
            }
        };
        end.lines += 1;
        documents.open(Place { line_no: row.line_no, offset: row.offset + setup.offset });
        let object = if found == Found::Row { object(&row) } else { Err(csv::encoding_fault(&row, charset)) };
        match object {
            Ok(object) => document(&mut documents, parse, &object, &row),
            Err(fault) => documents.bad(row.line_no, hold::text_of(&row), fault),
        }
        let mut flow = ControlFlow::Continue(());
        documents.close(&|| hold::text_of(&row), &mut |record, outcome| flow = visit(record, outcome));
        if flow.is_break() {
            break;
        }
    }
    end.records = documents.records;
    end.refusals.append(&mut documents.refusals);
    Ok(end)
}

fn object(row: &Row) -> Result<Value, Fault> {
    let text = row.cell(0).unwrap_or("");
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err(hold::whole("SCHEMA_VIOLATION", "", "another JSON value", "a JSON object on each line")),
        Err(error) => {
            let mut fault = hold::whole("SCHEMA_VIOLATION", "", error.to_string(), "a JSON object on each line");
            fault.column = u32::try_from(error.column()).unwrap_or(0);
            Err(fault)
        }
    }
}

fn document(documents: &mut Documents<'_>, parse: &NdjsonParse, object: &Value, row: &Row) {
    let text = || hold::text_of(row);
    let Some(path) = &parse.lines else {
        documents.detail(Input::Json(object), row.line_no, &text);
        return;
    };
    documents.header(Input::Json(object), row.line_no, String::new());
    match object.pointer(path) {
        Some(Value::Array(lines)) => {
            for line in lines {
                documents.detail(Input::Json(line), row.line_no, &text);
            }
        }
        Some(_) | None => {
            let fault = hold::whole("SCHEMA_VIOLATION", path, "no array", "an array of lines");
            documents.bad(row.line_no, text(), fault);
        }
    }
}

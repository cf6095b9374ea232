//! One JSON object for each line of the file.

use std::{io::Read, ops::ControlFlow};

use serde_json::Value;

use super::{Trees, Visit};
use crate::decode::{
    DecodeError, PassEnd, ROW_BYTES_MAX,
    assign::Fault,
    charset::{Charset, Utf8Reader},
    csv,
    documents::Place,
    hold,
    rows::{Found, LINES, Row, Rows},
};

pub(super) fn pass<R: Read>(
    text: Utf8Reader<R>,
    charset: Charset,
    mut trees: Trees<'_, '_>,
    visit: &mut Visit<'_>,
) -> Result<PassEnd, DecodeError> {
    let mut rows = Rows::new(text, LINES, ROW_BYTES_MAX);
    rows.is_transcoded = charset != Charset::Utf8;
    let mut row = Row::default();
    loop {
        let found = match rows.next(&mut row) {
            Ok(Found::End) => break,
            Ok(found) => found,
            Err(error) => return csv::stopped(error, trees.finish()),
        };
        let place = Place { line_no: row.line_no, offset: row.offset + trees.offset };
        let object = if found == Found::Row { object(&row) } else { Err(csv::encoding_fault(&row, charset)) };
        let shown = || hold::text_of(&row);
        let flow = match object {
            Ok(object) => trees.record(&[], &object, place, &shown, visit),
            Err(fault) => trees.bad(place, shown(), fault, visit),
        };
        if flow == ControlFlow::Break(()) {
            break;
        }
    }
    Ok(trees.finish())
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

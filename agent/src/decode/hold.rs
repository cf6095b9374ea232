//! Turns faults into held lines: what stands there, what would be right, and whose move it is.

use super::{assign::Fault, plan::Input, rows::Row};
use crate::queue::capture::HeldLine;

/// Longest text of a line that is kept with it.
pub(super) const TEXT_CHARS_MAX: usize = 1000;

/// Whose move it is when a line is held for this code.
pub fn owner_of(code: &str) -> &'static str {
    match code {
        "ENCODING_ERROR" | "TRUNCATED_FILE" | "RECORD_TOO_LONG" => "site_it",
        "UNKNOWN_UOM"
        | "HEADER_MISMATCH"
        | "UNKNOWN_RECORD_TYPE"
        | "UNSUPPORTED_DOCUMENT"
        | "INVALID_ACTION"
        | "INVALID_CODE"
        | "TOO_MANY_REPEATS"
        | "COUNT_MISMATCH"
        | "DOCUMENT_TOO_LARGE"
        | "DUPLICATE_INTERCHANGE_CONTROL"
        | "ELEMENT_SHIFT"
        | "ENVELOPE_MISMATCH"
        | "UNKNOWN_SITE" => "integration",
        _ => "warehouse",
    }
}

/// A held line from all faults of one row: the first names it, the others follow in words.
pub(super) fn held(line_no: u64, faults: &[Fault], text: &str) -> Option<HeldLine> {
    use std::fmt::Write as _;
    let (first, others) = faults.split_first()?;
    let mut expected = first.expected.clone();
    for fault in others {
        let written = write!(
            expected,
            "; also {} `{}`: found {}, expected {}",
            fault.code, fault.field, fault.found, fault.expected
        );
        debug_assert!(written.is_ok(), "writing to a String does not fail");
    }
    Some(HeldLine {
        line_no,
        column: first.column,
        field: first.field.clone(),
        code: first.code.to_owned(),
        found: first.found.clone(),
        expected,
        owner: owner_of(first.code).to_owned(),
        text: text.chars().take(TEXT_CHARS_MAX).collect(),
    })
}

/// A fault of a whole row.
pub(super) fn whole(code: &'static str, field: &str, found: impl Into<String>, expected: impl Into<String>) -> Fault {
    Fault { code, column: 0, field: field.to_owned(), found: found.into(), expected: expected.into() }
}

/// The row as it was read, cut to what is kept.
pub(super) fn text_of(row: &Row) -> String {
    let raw = row.raw();
    // Four bytes are the most of one character.
    let head = &raw[..raw.len().min(TEXT_CHARS_MAX * 4)];
    String::from_utf8_lossy(head).chars().take(TEXT_CHARS_MAX).collect()
}

/// The value that decides about a row, for messages.
pub(super) fn shown(input: Input<'_>, column: usize) -> String {
    match input {
        Input::Cells(row) => row.cell(column).unwrap_or("nothing").to_owned(),
        Input::Tree(_) => "nothing".to_owned(),
    }
}

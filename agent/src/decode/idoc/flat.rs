//! The flat form: one record a line. Each IDoc begins with its control record EDI_DC40.
//!
//! A data record is the segment's name (30 characters, with a version of three digits behind those that begin with E2), 33
//! characters of control fields, and up to 1000 of data (SAP structure EDI_DD40). Positions count characters, not bytes.

use std::io::{self, BufRead, BufReader, Read};

use super::{
    RECORD_BYTES_MAX, hand,
    layout::Layouts,
    model::{Idoc, Segment},
};
use crate::decode::{DecodeError, documents::Place, hold, message::Messages};

/// Characters of a whole control record.
const CONTROL: usize = 524;
/// Characters of a whole data record.
const DATA: usize = 1063;
/// Characters of a segment's name.
const NAME: usize = 30;

/// One record.
struct Record {
    bytes: Vec<u8>,
    has_end: bool,
}

/// Reads all IDocs of the file.
pub(super) fn read<R: Read>(text: R, offset: u64, messages: &mut Messages<'_, '_>) -> Result<(), DecodeError> {
    let mut layouts = match Layouts::declared(messages.parse.list("layout")) {
        Ok(layouts) => layouts,
        Err(entry) => {
            let expected = "entries of `layout` as `E1EDL24.LFIMG=176+15` (place from 0 and length) or `data=63`";
            messages.refuse(0, hold::whole("INVALID_CODE", "layout", entry, expected), "");
            return Ok(());
        }
    };
    let mut input = BufReader::new(text);
    let mut record = Record { bytes: Vec::new(), has_end: false };
    let mut idoc: Option<Idoc> = None;
    let (mut line_no, mut place) = (0, offset);
    while next(&mut input, &mut record).map_err(DecodeError::Read)? {
        line_no += 1;
        let start = place;
        place += record.bytes.len() as u64;
        if record.bytes.len() > RECORD_BYTES_MAX {
            let expected = format!("records of at most {RECORD_BYTES_MAX} bytes, each on a line of its own");
            messages.refuse(line_no, hold::whole("RECORD_TOO_LONG", "", "a longer record", expected), "");
            return Ok(());
        }
        let text = String::from_utf8_lossy(&record.bytes);
        let is_text = std::str::from_utf8(&record.bytes).is_ok() && !text.contains('\0');
        let line = text.trim_end_matches(['\r', '\n', '\u{1a}']);
        if line.trim().is_empty() {
            if let Some(open) = &mut idoc {
                open.lines += 1;
            }
            continue;
        }
        let full = if line.starts_with("EDI_DC") { CONTROL } else { DATA };
        if !record.has_end && line.chars().count() != full {
            let expected = "a line end behind the last record";
            messages.refuse(line_no, hold::whole("TRUNCATED_FILE", "", "a record without its end", expected), line);
            return Ok(());
        }
        if line.starts_with("EDI_DC") {
            if let Some(done) = idoc.take()
                && hand(done, messages).is_break()
            {
                return Ok(());
            }
            layouts.recognise(line);
            let mut begun = Idoc::default();
            begun.place = Place { line_no, offset: start };
            begun.push(layouts.control(line, line_no, start));
            idoc = Some(begun);
        } else if idoc.is_none() {
            let found: String = line.chars().take(30).collect();
            let fault = hold::whole("ENVELOPE_MISMATCH", "", found.trim(), "EDI_DC40, or `<` of XML, at the beginning");
            messages.refuse(line_no, fault, line);
            return Ok(());
        }
        if let Some(open) = &mut idoc {
            open.lines += 1;
            if !is_text {
                open.broken_line.get_or_insert(line_no);
            }
            if !line.starts_with("EDI_DC") {
                open.push(segment(&layouts, line, line_no, start));
            }
        }
    }
    if let Some(done) = idoc {
        // The last one has nothing behind it that could still be broken off.
        let _is_over = hand(done, messages);
    }
    Ok(())
}

fn segment(layouts: &Layouts, line: &str, line_no: u64, offset: u64) -> Segment {
    let full: String = line.chars().take(NAME).collect();
    // In some files names end at their first blank and data begins at its place all the same.
    let written = full.split_whitespace().next().unwrap_or("");
    layouts.data(written, line, line_no, offset)
}

/// Reads one line with its end; a longer one than the limit is cut and not read on.
fn next(input: &mut impl BufRead, record: &mut Record) -> io::Result<bool> {
    record.bytes.clear();
    let most = RECORD_BYTES_MAX as u64 + 1;
    let read = input.by_ref().take(most).read_until(b'\n', &mut record.bytes)?;
    record.has_end = record.bytes.last() == Some(&b'\n');
    Ok(read > 0)
}

//! UN/EDIFACT interchanges: DESADV, RECADV, INVRPT, ORDERS, ORDCHG, ORDRSP, HANMOV, CONTRL and APERAK, of any directory from
//! D.93A on, also as EANCOM.
//!
//! Takes: UTF-8 text. Gives: the events of each message, or why it is held. The path of a segment: [`syntax`] splits,
//! [`envelope`] pairs UNB with UNZ and UNH with UNT and counts, [`parse`] reads a message into a [`document::Document`] that
//! knows no message type, and one file for each type says which events that is.
//!
//! - A line of the ledger is a segment: `line_no` is its number in the file from 1, UNA counted; `column` is the element's place
//!   behind the tag; `field` names it as people do: `QTY/C186.6060`.
//! - A message with a fault is held whole and its neighbours flow. A file that ends before its UNT or UNZ gives nothing at all.
//!   So does one whose UNZ contradicts what is there, unless the feed sets `lenient_counts`.
//! - Segments and qualifiers that no field takes are kept: `edifact:RFF+VA` of the header, `edifact:FTX+AAO[2]` of line 2.
//! - A despatch advice is one of ours (`shipment_confirmed`) where the feed's option `direction` is `out`, or it is not set and
//!   `[sites]` names the party that ships; it is announced to us (`receipt_expected`) where `direction` is `in`, or `[sites]`
//!   names only the party that receives. Where `[sites]` names both it is a transfer. Without any of that it is one of ours.
//! - Units: a quantity without unit counts pieces (EANCOM: units are stated only for goods of variable quantity).
//! - Stock reports are split into events of at most [`REPORT_LINES_MAX`] lines; those over [`MESSAGE_SEGMENTS_MAX`] segments are
//!   read as they come, and then only the piece with a fault is held, while a wrong UNT refuses the file.
//!
//! It does not check the order of segments against the directories: partners' guides differ from them and from each other.

mod ack;
mod answer;
mod codes;
mod desadv;
mod document;
mod envelope;
mod invrpt;
mod moment;
mod order;
mod parse;
mod recadv;
mod segment;
mod syntax;
#[cfg(test)]
mod tests;

use std::io::Read;

use super::{DecodeError, PassEnd, charset::Utf8Reader, message::Messages};
use envelope::Envelope;
use syntax::{Reader, Stop};

/// Longest segment in bytes.
pub(super) const SEGMENT_BYTES_MAX: usize = 64 * 1024;
/// Most segments of a message that is held in memory; only stock reports may be longer.
pub(super) const MESSAGE_SEGMENTS_MAX: usize = 20_000;
/// Most bytes of a message that is held in memory.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most lines of one event of a stock report.
pub(super) const REPORT_LINES_MAX: usize = 500;
/// Most containers of one message, ranges of numbers written out.
pub(super) const CONTAINERS_MAX: usize = 5_000;

/// Reads the file once.
pub(super) fn pass<R: Read>(
    text: Utf8Reader<R>,
    offset: u64,
    mut messages: Messages<'_, '_>,
) -> Result<PassEnd, DecodeError> {
    let mut reader = Reader::new(text, offset);
    let mut envelope = Envelope::default();
    loop {
        let stop = match reader.next() {
            Ok(Some(segment)) => {
                if envelope.take(segment, reader.services.decimal, &mut messages).is_break() {
                    break;
                }
                continue;
            }
            Ok(None) if envelope.is_open() => reader.torn(&envelope.open_part()),
            Ok(None) => break,
            Err(stop) => stop,
        };
        match stop {
            Stop::Read(error) => return Err(DecodeError::Read(error)),
            Stop::Broken { line_no, fault, text } => messages.refuse(line_no, fault, &text),
        }
        break;
    }
    Ok(messages.end)
}

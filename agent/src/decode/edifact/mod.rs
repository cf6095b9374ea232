//! UN/EDIFACT interchanges: DESADV, RECADV, INVRPT, ORDERS, ORDCHG, ORDRSP, HANMOV, CONTRL and APERAK, of any directory from
//! D.93A on, also as EANCOM.
//!
//! Takes: UTF-8 text. Gives: the events of each message, or why it is held. The path of a segment: [`syntax`] splits,
//! [`mod@outline`] pairs UNB with UNZ and UNH with UNT and counts, [`envelope`] gathers messages, [`parse`] reads a message
//! (with [`item`] and [`package`]) into a [`document::Document`] that
//! knows no message type, and one file for each type says which events that is.
//!
//! - A line of the ledger is a segment: `line_no` is its number in the file from 1, UNA counted; `column` is the element's place
//!   behind the tag; `field` names it as people do: `QTY/C186.6060`.
//! - A message with a fault is held whole and its neighbours flow. A file that ends before its UNT or UNZ gives nothing at all.
//!   An interchange whose UNZ contradicts what is there, or a group whose UNE does, is held whole, unless the feed sets
//!   `lenient_counts`.
//! - Segments and qualifiers that no field takes are kept: `edifact:RFF+VA` of the header, `edifact:FTX+AAO[2]` of line 2.
//! - A despatch advice is one of ours (`shipment_confirmed`) where the feed's option `direction` is `out`, or it is not set and
//!   `[sites]` names the party that ships; it is announced to us (`receipt_expected`) where `direction` is `in`, or `[sites]`
//!   names only the party that receives. Where `[sites]` names both it is a transfer. Without any of that it is one of ours.
//! - Units: a quantity without unit counts pieces (EANCOM: units are stated only for goods of variable quantity).
//! - Stock reports are split into events of at most [`REPORT_LINES_MAX`] lines; those over [`MESSAGE_SEGMENTS_MAX`] segments are
//!   read as they come, and then only the piece with a fault is held.
//!
//! It does not check the order of segments against the directories: partners' guides differ from them and from each other.

mod ack;
mod answer;
mod codes;
mod desadv;
mod document;
mod envelope;
mod invrpt;
mod item;
mod moment;
mod order;
mod outline;
mod package;
mod parse;
mod recadv;
mod segment;
mod syntax;
#[cfg(test)]
mod tests;

use std::io::Read;

use super::{DecodeError, PassEnd, charset::Utf8Reader, message::Messages, profile::DialectParse};
use envelope::Envelope;
use outline::Outline;
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

/// Interchanges of a file whose control references are compared.
const INTERCHANGES_MAX: usize = 10_000;
/// Most interchanges, groups and messages of a file that are held for their envelope; a file with more is refused.
const VERDICTS_MAX: usize = 10_000;

/// Reads the envelope of the file.
///
/// # Errors
/// [`DecodeError::Read`] where the bytes cannot be read.
pub(super) fn outline<R: Read>(text: Utf8Reader<R>, parse: &DialectParse) -> Result<Outline, DecodeError> {
    outline::read(Reader::new(text, 0), parse.is_set("lenient_counts"))
}

/// Reads the file once; `outline` is its envelope.
///
/// # Errors
/// [`DecodeError::Read`] where the bytes cannot be read.
pub(super) fn pass<R: Read>(
    text: Utf8Reader<R>,
    outline: Outline,
    offset: u64,
    mut messages: Messages<'_, '_>,
) -> Result<PassEnd, DecodeError> {
    messages.end.warnings.clone_from(&outline.warnings);
    if !outline.refusals.is_empty() {
        messages.end.refusals.clone_from(&outline.refusals);
        return Ok(messages.end);
    }
    let mut reader = Reader::new(text, offset);
    let mut envelope = Envelope::new(outline);
    loop {
        match reader.next() {
            Ok(Some(segment)) => {
                if envelope.take(segment, reader.services.decimal, &mut messages).is_break() {
                    break;
                }
            }
            Ok(None) => break,
            Err(Stop::Read(error)) => return Err(DecodeError::Read(error)),
            Err(Stop::Broken(broken)) => {
                messages.refuse(broken.line_no, broken.fault, &broken.text);
                break;
            }
        }
    }
    Ok(messages.end)
}

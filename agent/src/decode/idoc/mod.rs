//! SAP intermediate documents, as XML and as flat files: what the first character that is no blank says.
//!
//! Takes: UTF-8 text. Gives: the events of each IDoc, or why it is held. Both forms become the same [`model::Idoc`]: segments with
//! fields in the order of the document. How segments nest is of no meaning: senders nest them as the basic type says, or not at
//! all, and flat files never do.
//!
//! - The message type (MESTYP, else the basic type IDOCTYP) says what is read, never the root element. SHPCON, WHSCON and DESADV of
//!   the basic types DELVRY01 to DELVRY07 and DESADV01 are in [`delivery`], ORDERS, ORDCHG and ORDRSP in [`order`], MBGMCR and WMMBXY
//!   in [`movement`]. Others are held.
//! - A line of the ledger is a physical line. An IDoc with a fault is held whole, its neighbours flow.
//! - An XML file that ends early gives nothing at all. A flat file has no trailer: it counts as torn where its last record has
//!   neither a line end nor its full length.
//! - Fields that nothing takes are kept under `idoc:E1EDL24.POSEX[2]`, where 2 is the line's number. `00000000` and `000000` are
//!   empty dates and times, `/` is an empty value.
//!   Of the control record only MESCOD, MESFCT and CIMTYP are, as the rest tells how the document travelled.
//! - Numbers of documents and batches stay as sent; of an item number that is all digits the leading zeros go.

mod delivery;
mod flat;
mod handling;
mod layout;
mod model;
mod movement;
mod order;
#[cfg(test)]
mod tests;
mod tree;

use std::{
    io::{self, Cursor, Read},
    ops::ControlFlow,
};

use super::{DecodeError, PassEnd, charset::Utf8Reader, message::Messages};
use model::Idoc;

/// Most segments of one IDoc.
pub(super) const SEGMENTS_MAX: usize = 20_000;
/// Most bytes of fields of one IDoc.
pub(super) const IDOC_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest record of a flat file, in bytes. Data records have 1063 characters.
pub(super) const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Reads the file once.
pub(super) fn pass<R: Read>(
    mut text: Utf8Reader<R>,
    offset: u64,
    mut messages: Messages<'_, '_>,
) -> Result<PassEnd, DecodeError> {
    let (head, is_xml) = head(&mut text).map_err(DecodeError::Read)?;
    let whole = Cursor::new(head).chain(text);
    if is_xml {
        tree::read(whole, offset, &mut messages)?;
    } else {
        flat::read(whole, offset, &mut messages)?;
    }
    Ok(messages.end)
}

/// Reads up to the first character that is no blank; gives what was read, and whether it is `<`.
fn head<R: Read>(text: &mut Utf8Reader<R>) -> io::Result<(Vec<u8>, bool)> {
    let mut head = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = match text.read(&mut chunk) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let piece = chunk.get(..read).unwrap_or_default();
        let first = piece.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
        head.extend_from_slice(piece);
        if first.is_some() || read == 0 || head.len() > RECORD_BYTES_MAX {
            return Ok((head, first == Some(b'<')));
        }
    }
}

/// Says which events an IDoc is, and hands them over.
fn hand(idoc: Idoc, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
    let mut message = idoc.started();
    if let Some(fault) = idoc.overflow() {
        let text = message.text.clone();
        message.fault(idoc.place.line_no, fault, &text);
        return messages.hand(message);
    }
    match idoc.family() {
        Some(model::Family::Delivery) => delivery::read(messages, idoc, &mut message),
        Some(model::Family::Order) => order::read(messages, idoc, &mut message),
        Some(model::Family::Movement) => movement::read(messages, idoc, &mut message),
        None => {
            let text = message.text.clone();
            message.fault(idoc.place.line_no, idoc.unsupported(), &text);
        }
    }
    messages.hand(message)
}

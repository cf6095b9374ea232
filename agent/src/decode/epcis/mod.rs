//! GS1 EPCIS 1.2 and 2.0, as XML and as JSON-LD, with one mapping for both (EVENTS 6).
//!
//! Takes an `EPCISDocument`, an `EPCISQueryDocument`, a bare event or an array of events; which form it is the first character
//! tells. Each event is a message: a bad one is held, its siblings flow. A torn file gives nothing.
//!
//! - Faults name their field by its place in the JSON form (`/epcisBody/eventList/3/action`), in XML as well; `line_no` is the
//!   line at which the event starts. The line ledger counts the lines that an event spans.
//! - The same document as XML and as JSON gives the same events: identifiers are brought to GS1 numbers ([`ids`]), words of the
//!   vocabulary to their short form ([`words`]), partner fields to `<name space>#<field>` ([`context`]).
//! - Each serialised item is a line of quantity 1. An event about containers alone takes its lines from what was packed into them
//!   earlier in the file ([`memory`]); where that is not known it becomes `shipment_manifested` or `epcis_other`, with a warning.
//! - An `errorDeclaration` withdraws the event (void); `incorrect_data` without corrective events is a change. A corrective event
//!   carries the withdrawn one as its cause where both are in the file.
//! - Without `eventID` the lines take part in the event's identity: one order may be shipped by many events of a day. Where
//!   not even a document is named, a hash of what the event says stands in for its id (`?ver=docksync1`).

mod context;
mod event;
mod fields;
mod ids;
mod json;
mod meaning;
mod memory;
mod naming;
mod raw;
mod rest;
#[cfg(test)]
mod tests;
mod tree;
mod words;

use std::io::{self, Cursor, Read};

use docksync_proto::event::Interchange;
use serde_json::Value;

use super::{
    DecodeError, PassEnd,
    charset::Utf8Reader,
    documents::Place,
    hold,
    message::Messages,
    xml::{self, Node, Step, Stop, Take, Xml},
};
use context::Context;
use fields::Fields;
use memory::Memory;

/// Most bytes of one event in JSON, and of all that stands beside the events.
pub(super) const EVENT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most values of one event.
pub(super) const EVENT_NODES_MAX: usize = xml::RECORD_NODES_MAX;
/// Most bytes of events that wait for the document's `@context`.
pub(super) const PENDING_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Most lines of one snapshot.
pub(super) const SNAPSHOT_LINES_MAX: usize = 500;

/// An event of the source, in the shape of EPCIS 2.0 JSON.
#[derive(Debug)]
struct Found {
    event: Fields,
    /// The event's own `@context`.
    context: Option<Value>,
    place: Place,
    /// Lines of the file that it spans.
    lines: u64,
    /// Its place in the document.
    pointer: String,
    is_xml: bool,
    is_too_large: bool,
}

/// Reads the file once.
pub(super) fn pass<R: Read>(
    mut text: Utf8Reader<R>,
    offset: u64,
    mut messages: Messages<'_, '_>,
) -> Result<PassEnd, DecodeError> {
    let head = head(&mut text).map_err(DecodeError::Read)?;
    let first = head.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
    let text = Cursor::new(head).chain(text);
    let mut memory = Memory::default();
    let read = match first {
        // An empty file is no document and no fault.
        None => Ok(()),
        Some(b'<') => read_xml(Xml::new(text, offset), &mut messages, &mut memory),
        Some(_) => read_json(text, offset, &mut messages, &mut memory),
    };
    if let Err(stop) = read {
        stop.settle(&mut messages)?;
    }
    Ok(messages.end)
}

fn read_json<R: Read>(text: R, offset: u64, messages: &mut Messages<'_, '_>, memory: &mut Memory) -> Result<(), Stop> {
    let is_late = json::walk(text, offset, &mut |document, found| {
        let mut message = event::message(messages, &document.context, found, memory);
        let version = document.fields.get("schemaVersion").and_then(Value::as_str).unwrap_or_default();
        message.events.iter_mut().for_each(|event| version.clone_into(&mut event.interchange.version));
        messages.hand(message)
    })?;
    if is_late {
        let words = "the @context stands behind more events than wait for it: their partner fields keep their prefixes";
        messages.warn(words.to_owned());
    }
    Ok(())
}

/// The first bytes, as far as the first that is no white space.
fn head(text: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut head, mut piece) = (Vec::new(), [0; 1024]);
    while head.len() < xml::TEXT_BYTES_MAX && head.iter().all(u8::is_ascii_whitespace) {
        match text.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => head.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

fn read_xml<R: Read>(mut xml: Xml<R>, messages: &mut Messages<'_, '_>, memory: &mut Memory) -> Result<(), Stop> {
    let context = Context::default();
    let (mut at, mut has_list, mut envelope) = (0_u64, false, Interchange::default());
    loop {
        let (node, is_whole) = match xml.next(take)? {
            Step::Record(node) => (node, true),
            Step::TooLarge(node) => (node, false),
            Step::Left(node) => {
                has_list |= node.name == "EventList" || node.child("EventList").is_some();
                if node.name == "EPCISHeader" {
                    header(&node, &mut envelope, messages);
                }
                continue;
            }
            Step::End => {
                if !has_list && at == 0 {
                    no_list(messages);
                }
                return Ok(());
            }
        };
        if let Some(root) = xml.outer().first() {
            root.attr("schemaVersion").clone_into(&mut envelope.version);
        }
        let pointer = match xml.outer() {
            [] => String::new(),
            outer if outer.iter().any(|node| node.name == "resultsBody") => {
                numbered("/epcisBody/queryResults/resultsBody/eventList/", at)
            }
            _ => numbered("/epcisBody/eventList/", at),
        };
        at += 1;
        let (place, lines) = (Place { line_no: node.line_no, offset: node.offset }, node.lines());
        let found = Found {
            event: if is_whole { tree::event(node) } else { Fields::default() },
            context: None,
            place,
            lines,
            pointer,
            is_xml: true,
            is_too_large: !is_whole,
        };
        let mut message = event::message(messages, &context, found, memory);
        message.events.iter_mut().for_each(|event| event.interchange.clone_from(&envelope));
        if messages.hand(message).is_break() {
            return Ok(());
        }
    }
}

/// A place in a list: what formatting gives, at less cost.
fn numbered(list: &str, at: u64) -> String {
    let (mut digits, mut from, mut rest) = ([b'0'; 20], 19, at);
    while rest > 9 {
        digits[from] = b'0' + (rest % 10) as u8;
        (rest, from) = (rest / 10, from - 1);
    }
    digits[from] = b'0' + rest as u8;
    [list, std::str::from_utf8(&digits[from..]).unwrap_or_default()].concat()
}

/// Events stand in `EventList`, those that EPCIS 1.2 added in an `extension` within; a bare event is the root.
fn take(outer: &[Node], start: &Node) -> Take {
    let is_in_list = outer.iter().any(|node| node.name == "EventList");
    match start.name.as_str() {
        "extension" if is_in_list => Take::Enter,
        _ if is_in_list => Take::Record,
        name if outer.is_empty() && name.ends_with("Event") => Take::Record,
        "StandardBusinessDocumentHeader" => Take::Keep,
        "EPCISMasterData" => Take::Skip,
        _ => Take::Enter,
    }
}

/// Sender, receiver and number of the document, where its header names them; the rest is said to be left out.
fn header(node: &Node, envelope: &mut Interchange, messages: &mut Messages<'_, '_>) {
    if let Some(business) = node.child("StandardBusinessDocumentHeader") {
        business.text_at("Sender/Identifier").clone_into(&mut envelope.sender);
        business.text_at("Receiver/Identifier").clone_into(&mut envelope.receiver);
        business.text_at("DocumentIdentification/InstanceIdentifier").clone_into(&mut envelope.control);
    }
    let others = node.children.iter().filter(|child| child.name != "StandardBusinessDocumentHeader");
    let names: Vec<&str> = others.map(|child| child.name.as_str()).collect();
    if !names.is_empty() {
        messages.warn(format!("{} of the header belongs to no event and was left out", names.join(", ")));
    }
}

fn no_list(messages: &mut Messages<'_, '_>) {
    let fault =
        hold::whole("UNSUPPORTED_DOCUMENT", "", "a document without event list", "an EPCIS document with events");
    messages.refuse(0, fault, "");
}

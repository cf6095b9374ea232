//! GS1 XML 3 logistics messages: warehousing notifications, inventory reports, despatch and receiving advices (EVENTS 8).
//!
//! Takes a message with one or several documents, bare or in a `StandardBusinessDocument`. Each document is held or taken whole;
//! of an inventory report each 500 statuses are one event, and each inventory event of its own is one, so that a report of any
//! length is read in constant memory.
//!
//! - Faults name their field by the path of elements; `line_no` is the line at which the document (or the status) starts. The
//!   line ledger counts the lines that a document spans.
//! - `documentActionCode`: ADD, CHANGE_BY_REFRESH (change), DELETE (void).
//! - A decrease and an increase of the same goods at the same time are one move: of status where the dispositions differ, else
//!   of place.
//! - The partner's table `status` may give a status code the name of an event type, as `GOODS_ARRIVED = "receipt_expected"`.
//! - Feed options: `direction` (`in`: a despatch advice announces a delivery to us), `sku` (type codes of item numbers, best
//!   first, `GTIN` for the GTIN).

mod document;
mod goods;
mod parts;
mod report;
#[cfg(test)]
mod tests;

use std::io::Read;

use docksync_proto::event::Interchange;

use super::{
    DecodeError, PassEnd,
    charset::Utf8Reader,
    hold,
    message::{Message, Messages},
    xml::{Node, RECORD_NODES_MAX, Step, Stop, Take, Xml},
};
use report::Report;

/// Most lines of one snapshot.
pub(super) const SNAPSHOT_LINES_MAX: usize = 500;

/// Documents that are read whole.
const DOCUMENTS: &[&str] =
    &["warehousingInboundNotification", "warehousingOutboundNotification", "despatchAdvice", "receivingAdvice"];
const REPORT: &str = "logisticsInventoryReport";
const LOCATION: &str = "logisticsInventoryReportInventoryLocation";
const ENTRIES: &[&str] = &["tradeItemInventoryStatus", "tradeItemInventoryEvent"];

/// Reads the file once.
pub(super) fn pass<R: Read>(
    text: Utf8Reader<R>,
    offset: u64,
    mut messages: Messages<'_, '_>,
) -> Result<PassEnd, DecodeError> {
    if let Err(stop) = read(Xml::new(text, offset), &mut messages) {
        stop.settle(&mut messages)?;
    }
    Ok(messages.end)
}

fn read<R: Read>(mut xml: Xml<R>, messages: &mut Messages<'_, '_>) -> Result<(), Stop> {
    let mut report = Report::default();
    let (mut count, mut has_root) = (0_u64, false);
    loop {
        let step = xml.next(take)?;
        let flow = match step {
            Step::Record(node) if ENTRIES.contains(&node.name.as_str()) => {
                count += 1;
                report.entry(messages, xml.outer(), &envelope(xml.outer()), node)
            }
            Step::Record(node) => {
                count += 1;
                let message = document::read(messages, &envelope(xml.outer()), &node);
                messages.hand(message)
            }
            Step::TooLarge(head) => {
                count += 1;
                messages.hand(too_large(&head))
            }
            Step::Left(node) => {
                has_root = true;
                count += u64::from(node.name == REPORT);
                if matches!(node.name.as_str(), REPORT | LOCATION) { report.flush(messages) } else { continue }
            }
            Step::End => break,
        };
        if flow.is_break() {
            return Ok(());
        }
    }
    if count == 0 && has_root {
        let expected = format!("one of {}, {REPORT}", DOCUMENTS.join(", "));
        messages.refuse(0, hold::whole("UNSUPPORTED_DOCUMENT", "", "another document", expected), "");
    }
    Ok(())
}

fn take(outer: &[Node], start: &Node) -> Take {
    let around = outer.last().map_or("", |node| node.name.as_str());
    match start.name.as_str() {
        // Within a document a reference to another may have the name of one.
        name if DOCUMENTS.contains(&name) && outer.iter().all(|node| node.name != REPORT) => Take::Record,
        "StandardBusinessDocumentHeader" => Take::Keep,
        REPORT => Take::Enter,
        LOCATION if around == REPORT => Take::Enter,
        name if ENTRIES.contains(&name) && around == LOCATION => Take::Record,
        _ if matches!(around, REPORT | LOCATION) => Take::Keep,
        _ => Take::Enter,
    }
}

fn too_large(head: &Node) -> Message {
    let mut message = Message::default();
    (message.lines, message.line_no, message.text) = (head.lines(), head.line_no, format!("<{}>", head.name));
    let expected = format!("at most {RECORD_NODES_MAX} elements in a document");
    let text = message.text.clone();
    message.fault(head.line_no, hold::whole("DOCUMENT_TOO_LARGE", &head.name, "more", expected), &text);
    message
}

/// Sender, receiver and number by the header (UN/CEFACT SBDH 1.3); a scope that says so makes it a test.
fn envelope(outer: &[Node]) -> Interchange {
    let header = outer.iter().find_map(|node| node.child("StandardBusinessDocumentHeader"));
    let Some(header) = header else { return Interchange::default() };
    let is_test = header.descend("Scope").any(|scope| {
        let (kind, value) = (scope.text_at("Type").to_uppercase(), scope.text_at("InstanceIdentifier").to_uppercase());
        kind.contains("TEST") && matches!(value.as_str(), "TRUE" | "1" | "T" | "TEST")
    });
    Interchange {
        sender: header.text_at("Sender/Identifier").to_owned(),
        receiver: header.text_at("Receiver/Identifier").to_owned(),
        control: header.text_at("DocumentIdentification/InstanceIdentifier").to_owned(),
        version: header.text_at("DocumentIdentification/TypeVersion").to_owned(),
        usage: if is_test { "T".to_owned() } else { String::new() },
        ..Interchange::default()
    }
}

//! OASIS UBL 2 `DespatchAdvice` (Peppol BIS Despatch Advice 3) and `ReceiptAdvice`.
//!
//! A despatch advice is a shipment of ours (`shipment_confirmed`, with its cartons, its manifest and its shortages) or the
//! announcement of a delivery to us (`receipt_expected`): the feed's option `direction` decides (`out`, `in`); without it a
//! delivery to one of the feed's `[sites]` comes in. A receipt advice is a `receipt_confirmed`.
//!
//! - The document stands alone or within any envelope (an SBD, an attached list); each is held or taken whole.
//! - Faults name their field by its path of elements; `line_no` is the line at which the document starts. The line ledger
//!   counts the lines that it spans.
//! - `DocumentStatusCode` (UBL words, or UN/EDIFACT element 1225): 1 and Cancelled withdraw, 4, 5 and Revised change.
//! - Feed option `sku`: `SELLER`, `BUYER`, `MANUFACTURER`, `STANDARD`, best first; the default is that order.

mod parts;
#[cfg(test)]
mod tests;

use std::io::Read;

use docksync_proto::event::{Event, EventType, Line, LineStatus, PartyRole, RefKind};
use rust_decimal::Decimal;

use super::{
    DecodeError, PassEnd,
    charset::Utf8Reader,
    despatch,
    documents::Place,
    hold,
    message::{Message, Messages},
    trade,
    xml::{Node, RECORD_NODES_MAX, Step, Stop, Take, Taken, Xml},
};
use parts::Draft;

const DOCUMENTS: &[&str] = &["DespatchAdvice", "ReceiptAdvice"];

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
    let (mut count, mut has_root) = (0_u64, false);
    loop {
        let message = match xml.next(take)? {
            Step::Record(node) => document(messages, &node),
            Step::TooLarge(head) => too_large(&head),
            Step::Left(_) => {
                has_root = true;
                continue;
            }
            Step::End => break,
        };
        count += 1;
        if messages.hand(message).is_break() {
            return Ok(());
        }
    }
    if count == 0 && has_root {
        let fault = hold::whole("UNSUPPORTED_DOCUMENT", "", "another document", "a DespatchAdvice or a ReceiptAdvice");
        messages.refuse(0, fault, "");
    }
    Ok(())
}

fn take(_: &[Node], start: &Node) -> Take {
    if DOCUMENTS.contains(&start.name.as_str()) { Take::Record } else { Take::Enter }
}

fn too_large(head: &Node) -> Message {
    let mut message = Message::default();
    (message.lines, message.line_no, message.text) = (head.lines(), head.line_no, format!("<{}>", head.name));
    let expected = format!("at most {RECORD_NODES_MAX} elements in a document");
    let text = message.text.clone();
    message.fault(head.line_no, hold::whole("DOCUMENT_TOO_LARGE", &head.name, "more", expected), &text);
    message
}

fn document(messages: &mut Messages<'_, '_>, node: &Node) -> Message {
    let mut message = Message::default();
    (message.lines, message.line_no) = (node.lines(), node.line_no);
    message.text = format!("<{}> {}", node.name, node.text_at("ID"));
    let place = Place { line_no: node.line_no, offset: node.offset };
    let event = messages.event(EventType::ShipmentConfirmed, &format!("ubl-{}", node.name), place);
    let mut draft = Draft { messages, message: &mut message, taken: Taken::default(), event };
    draft.head(node);
    if node.name == "DespatchAdvice" {
        draft.despatch(node)
    } else {
        draft.receipt(node)
    }
    draft.pack();
    draft.correlate();
    draft.taken.keep_rest(&mut draft.event, "ubl", node);
    let event = draft.event;
    let rejected: Vec<Event> = rejections(&event);
    message.events.extend(despatch::with_consequences(event));
    message.events.extend(rejected);
    message
}

impl Draft<'_, '_, '_> {
    fn despatch(&mut self, node: &Node) {
        let to = self.places(
            node,
            &["Shipment/Delivery/DeliveryLocation", "Shipment/Delivery/DeliveryAddress"],
            "DeliveryCustomerParty",
        );
        let from = self.places(
            node,
            &[
                "Shipment/Delivery/Despatch/DespatchLocation",
                "Shipment/Delivery/Despatch/DespatchAddress",
                "Shipment/OriginAddress",
            ],
            "DespatchSupplierParty",
        );
        let is_in = match self.messages.parse.first("direction") {
            Some(direction) => direction == "in",
            None => self.knows(&to),
        };
        self.event.event_type = if is_in { EventType::ReceiptExpected } else { EventType::ShipmentConfirmed };
        let field = if is_in { "DeliveryCustomerParty" } else { "DespatchSupplierParty" };
        self.site(field, if is_in { &to } else { &from });
        self.refer(RefKind::Desadv, node, "ID");
        self.refer(RefKind::Shipment, node, "ID");
        self.time(
            node,
            &[
                ("Shipment/Delivery/Despatch/ActualDespatchDate", "Shipment/Delivery/Despatch/ActualDespatchTime"),
                ("IssueDate", "IssueTime"),
            ],
        );
        self.units(node);
        for (at, item) in node.children("DespatchLine").enumerate() {
            let mut line = self.line(item, at + 1);
            self.delivered(item, &mut line);
            self.event.lines.push(line);
        }
        if node.child("DespatchLine").is_none() {
            self.fault(trade::fault("MISSING_MANDATORY", "DespatchLine", 0, "", "at least one line"));
        }
    }

    /// What was not delivered is still owed where it is called outstanding or on backorder.
    fn delivered(&mut self, item: &Node, line: &mut Line) {
        let shipped = self.amount(item, "DeliveredQuantity", line);
        if item.child("DeliveredQuantity").is_none() {
            let path = "DespatchLine/DeliveredQuantity";
            self.fault(trade::fault("MISSING_MANDATORY", path, 0, "", "the quantity delivered"));
        }
        let owed = self.amount(item, "OutstandingQuantity", line);
        let backorder = self.amount(item, "BackorderQuantity", line);
        (line.qty, line.qty_shipped) = (shipped, shipped);
        if let (Some(shipped), Some(short)) = (shipped, owed.or(backorder)) {
            line.qty_ordered = Some(shipped + short);
            line.qty_difference = Some(short);
            let is_short = short > Decimal::ZERO;
            line.status_code = Some(if is_short { LineStatus::ShortBackordered } else { LineStatus::Complete });
        }
        if backorder.is_some_and(|backorder| backorder.is_zero()) && owed.is_some_and(|owed| owed > Decimal::ZERO) {
            line.status_code = Some(LineStatus::ShortNoBackorder);
        }
        let reason = item.child("OutstandingReason").or_else(|| item.child("BackorderReason"));
        if let Some(reason) = reason {
            self.taken.mark(reason);
            line.reason.text.clone_from(&reason.text);
        }
    }

    fn receipt(&mut self, node: &Node) {
        self.event.event_type = EventType::ReceiptConfirmed;
        let to = self.places(
            node,
            &["Shipment/Delivery/DeliveryLocation", "Shipment/Delivery/DeliveryAddress"],
            "DeliveryCustomerParty",
        );
        self.site("DeliveryCustomerParty", &to);
        self.refer(RefKind::Receipt, node, "ID");
        self.refer(RefKind::Desadv, node, "DespatchDocumentReference/ID");
        let day_of_lines = ("ReceiptLine/ReceivedDate", "");
        self.time(
            node,
            &[
                ("Shipment/Delivery/ActualDeliveryDate", "Shipment/Delivery/ActualDeliveryTime"),
                day_of_lines,
                ("IssueDate", "IssueTime"),
            ],
        );
        self.units(node);
        for (at, item) in node.children("ReceiptLine").enumerate() {
            let mut line = self.line(item, at + 1);
            let received = self.amount(item, "ReceivedQuantity", &mut line);
            if item.child("ReceivedQuantity").is_none() {
                let path = "ReceiptLine/ReceivedQuantity";
                self.fault(trade::fault("MISSING_MANDATORY", path, 0, "", "the quantity received"));
            }
            let short = self.amount(item, "ShortQuantity", &mut line);
            (line.qty, line.qty_received) = (received, received);
            if let (Some(received), Some(short)) = (received, short) {
                line.qty_ordered = Some(received + short);
                line.qty_difference = Some(short);
            }
            self.rejected(item, &mut line);
            self.event.lines.push(line);
        }
    }

    /// What was turned away never came in: it is told as an exception, not as stock.
    fn rejected(&mut self, item: &Node, line: &mut Line) {
        let Some(rejected) = self.amount(item, "RejectedQuantity", line).filter(|rejected| !rejected.is_zero()) else {
            return;
        };
        trade::keep(&mut self.event, REJECTED, &format!("{}: {rejected}", line.line_no));
        let code = self.taken.text(item, "RejectReasonCode");
        let words: Vec<&str> = item.children("RejectReason").map(|node| node.text.as_str()).collect();
        item.children("RejectReason").for_each(|node| self.taken.mark(node));
        code.clone_into(&mut line.reason.source_code);
        line.reason.text = words.join(" ");
        "other".clone_into(&mut line.reason.code);
    }

    fn head(&mut self, node: &Node) {
        self.action(node);
        for path in ["UBLVersionID", "CustomizationID"] {
            let text = self.taken.text(node, path);
            if !text.is_empty() {
                text.clone_into(&mut self.event.interchange.version);
            }
        }
        self.refer(RefKind::Po, node, "OrderReference/ID");
        self.refer(RefKind::So, node, "OrderReference/SalesOrderID");
        for reference in node.children("AdditionalDocumentReference") {
            let kind = match reference.text_at("DocumentTypeCode") {
                "BM" | "705" | "BOL" => RefKind::Bol,
                _ => continue,
            };
            self.taken.text(reference, "DocumentTypeCode");
            self.refer(kind, reference, "ID");
        }
        self.transport(node);
        for (path, role) in [
            ("DespatchSupplierParty/Party", PartyRole::ShipFrom),
            ("DeliveryCustomerParty/Party", PartyRole::ShipTo),
            ("BuyerCustomerParty/Party", PartyRole::Buyer),
            ("SellerSupplierParty/Party", PartyRole::Supplier),
            ("Shipment/Consignment/CarrierParty", PartyRole::Carrier),
            ("Shipment/ShipmentStage/CarrierParty", PartyRole::Carrier),
            ("Shipment/Delivery/CarrierParty", PartyRole::Carrier),
        ] {
            if self.event.party(role).is_none() {
                self.party(role, node.at(path));
            }
        }
    }
}

const REJECTED: &str = "ubl:ReceiptLine/RejectedQuantity";

/// One exception for each line with goods turned away.
fn rejections(event: &Event) -> Vec<Event> {
    if !event.extensions.contains_key(REJECTED) {
        return Vec::new();
    }
    let lines = event.lines.iter().filter(|line| line.reason.code == "other");
    let raised = lines.map(|line| {
        let mut raised = event.clone();
        raised.event_type = EventType::ExceptionRaised;
        raised.extensions.clear();
        raised.warnings.clear();
        raised.containers.clear();
        trade::refer(&mut raised.references, RefKind::ExceptionCode, "RECEIPT_REJECTED");
        raised.lines = vec![line.clone()];
        raised
    });
    raised.collect()
}

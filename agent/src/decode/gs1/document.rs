//! Notifications and advices: one document, one event with its consequences.

use docksync_proto::event::{EventType, Interchange, Line, LineStatus, PartyRole, RefKind};
use rust_decimal::Decimal;

use super::{
    super::{
        despatch,
        documents::Place,
        message::{Message, Messages},
        trade,
        xml::{Node, Taken},
    },
    goods::items,
    parts::Draft,
};

/// Reads a document into a message.
pub(super) fn read(messages: &mut Messages<'_, '_>, envelope: &Interchange, node: &Node) -> Message {
    let mut message = Message::default();
    (message.lines, message.line_no, message.text) = (node.lines(), node.line_no, format!("<{}>", node.name));
    let shipments: Vec<&Node> =
        node.children.iter().filter(|child| child.name == format!("{}Shipment", node.name)).collect();
    let parts = if shipments.is_empty() { vec![node] } else { shipments };
    for part in &parts {
        let place = Place { line_no: part.line_no, offset: part.offset };
        let event = messages.event(EventType::EpcisOther, &format!("gs1-{}", node.name), place);
        let mut draft = Draft { messages, message: &mut message, taken: Taken::default(), event };
        draft.event.interchange.clone_from(envelope);
        draft.event.split = parts.len() > 1;
        // Of several shipments each event speaks of its own only.
        for other in parts.iter().filter(|other| other.offset != part.offset) {
            mark_all(&draft.taken, other);
        }
        draft.document(node, part);
        let Draft { event, .. } = draft;
        message.events.extend(despatch::with_consequences(event));
    }
    message
}

fn mark_all(taken: &Taken, node: &Node) {
    taken.mark(node);
    node.children.iter().for_each(|child| mark_all(taken, child));
}

impl Draft<'_, '_, '_> {
    fn document(&mut self, node: &Node, part: &Node) {
        self.action(node);
        for name in ["creationDateTime", "documentStatusCode"] {
            // Both belong to the message's way here, not to what happened.
            self.taken.text(node, name);
        }
        match node.name.as_str() {
            "warehousingInboundNotification" => self.inbound(node, part),
            "warehousingOutboundNotification" => self.outbound(node, part),
            "despatchAdvice" => self.despatch(node),
            _ => self.receiving(node),
        }
        self.pack();
        self.correlate();
        self.taken.keep_rest(&mut self.event, "gs1", node);
    }

    /// Event type of a status code: the partner's table first.
    fn status(&mut self, field: &str, code: &str, known: &[(&str, EventType)]) {
        let own = self.messages.parse.partner("status", code).and_then(EventType::from_word);
        let standard = || known.iter().find(|(word, _)| *word == code).map(|(_, event_type)| *event_type);
        match own.or_else(standard) {
            Some(event_type) => self.event.event_type = event_type,
            None => {
                let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
                let expected = format!("{}, or an entry in the feed's table `status`", words.join(", "));
                let fault = trade::fault("INVALID_CODE", field, 0, code, expected);
                self.fault(fault);
            }
        }
    }

    fn inbound(&mut self, node: &Node, part: &Node) {
        use EventType as T;
        let code = self.taken.text(part, "warehousingInboundStatusCode");
        let known = [
            ("RECEIVING_FINISHED", T::ReceiptConfirmed),
            ("RECEIPT_FINISHED", T::ReceiptConfirmed),
            ("GOODS_RECEIVED", T::ReceiptConfirmed),
            ("RECEIVED", T::ReceiptConfirmed),
        ];
        self.status("warehousingInboundStatusCode", code, &known);
        let number = "warehousingInboundNotificationIdentification/entityIdentification";
        self.refer(RefKind::Receipt, node, number);
        self.header(part);
        self.time(part, &["actualReceipt/logisticEventDateTime", "actualDelivery/logisticEventDateTime"]);
        self.site(&[part.child("inventoryLocation"), part.child("shipTo"), part.child("receiver")]);
        self.parties(node, part);
        if self.event.event_type == T::ReceiptConfirmed && !self.event.reference(RefKind::Rma).is_empty() {
            self.event.event_type = T::ReturnReceived;
        }
        self.units(part, "");
        for (at, placed) in items(part).into_iter().enumerate() {
            let mut line = self.line(placed, at + 1);
            line.qty_received = self.main_amount(placed.0, &["actualReceiptQuantity", "receivedQuantity"], &mut line);
            line.qty_ordered = self.amount(placed.0, &["plannedReceiptQuantity"], &mut line);
            line.qty = line.qty_received;
            self.conditions(placed.0, &mut line);
            self.disposition(placed.0, &mut line);
            self.event.lines.push(line);
        }
    }

    fn outbound(&mut self, node: &Node, part: &Node) {
        use EventType as T;
        let code = self.taken.text(part, "warehousingOutboundStatusCode");
        let known = [
            ("PRODUCT_PICKED", T::PickConfirmed),
            ("PICKED", T::PickConfirmed),
            ("PICKING_FINISHED", T::PickConfirmed),
            ("GOODS_LOADED", T::ShipmentConfirmed),
            ("LOADED", T::ShipmentConfirmed),
            ("GOODS_DESPATCHED", T::ShipmentConfirmed),
            ("DESPATCHED", T::ShipmentConfirmed),
            ("GOODS_SHIPPED", T::ShipmentConfirmed),
            ("SHIPPED", T::ShipmentConfirmed),
        ];
        self.status("warehousingOutboundStatusCode", code, &known);
        let number = "warehousingOutboundNotificationIdentification/entityIdentification";
        self.refer(RefKind::Shipment, node, number);
        self.header(part);
        let times =
            ["actualDelivery", "actualDespatch", "actualPickUp"].map(|name| format!("{name}/logisticEventDateTime"));
        self.time(part, &times.each_ref().map(String::as_str));
        self.site(&[part.child("inventoryLocation"), part.child("shipFrom"), part.child("shipper")]);
        self.parties(node, part);
        self.units(part, "");
        for (at, placed) in items(part).into_iter().enumerate() {
            let mut line = self.line(placed, at + 1);
            let shipped = self.main_amount(placed.0, &["actualDespatchQuantity", "despatchedQuantity"], &mut line);
            line.qty_ordered = self.amount(placed.0, &["plannedDespatchQuantity", "requestedQuantity"], &mut line);
            self.shipped(&mut line, shipped);
            line.location_from = std::mem::take(&mut line.location_to);
            self.event.lines.push(line);
        }
    }

    /// Ordered less shipped decides how the line ended.
    fn shipped(&mut self, line: &mut Line, shipped: Option<Decimal>) {
        line.qty = shipped;
        if self.event.event_type != EventType::PickConfirmed {
            line.qty_shipped = shipped;
        }
        if let (Some(ordered), Some(shipped)) = (line.qty_ordered, shipped) {
            line.qty_difference = Some(ordered - shipped);
            if ordered <= shipped {
                line.status_code = Some(LineStatus::Complete);
            }
        }
    }

    /// GS1 XML 3 despatch advice: of what we ship, or of what comes to us.
    fn despatch(&mut self, node: &Node) {
        let ship_to = node.child("shipTo").or(node.child("receiver"));
        let sites = &self.messages.parse.sites;
        let is_ours = ship_to
            .is_some_and(|place| super::parts::codes(place).any(|code| sites.contains_key(&code.to_uppercase())));
        let is_in = match self.messages.parse.first("direction") {
            Some(direction) => direction == "in",
            None => is_ours,
        };
        self.event.event_type = if is_in { EventType::ReceiptExpected } else { EventType::ShipmentConfirmed };
        let number = self.taken.text(node, "despatchAdviceIdentification/entityIdentification").to_owned();
        trade::refer(&mut self.event.references, RefKind::Desadv, &number);
        self.header(node);
        trade::refer(&mut self.event.references, RefKind::Shipment, &number);
        let times = ["actualShipDateTime", "despatchDateTime", "shipDateTime", "loadingDateTime"];
        let mut times: Vec<String> = times.iter().map(|name| format!("despatchInformation/{name}")).collect();
        times.push("creationDateTime".to_owned());
        self.time(node, &times.iter().map(String::as_str).collect::<Vec<_>>());
        let from = [node.child("inventoryLocation"), node.child("shipFrom"), node.child("shipper")];
        self.site(if is_in { std::slice::from_ref(&ship_to) } else { &from });
        self.parties(node, node);
        self.units(node, "");
        for (at, placed) in items(node).into_iter().enumerate() {
            let mut line = self.line(placed, at + 1);
            let shipped = self.main_amount(placed.0, &["despatchedQuantity", "actualDespatchQuantity"], &mut line);
            line.qty_ordered = self.amount(placed.0, &["requestedQuantity", "orderedQuantity"], &mut line);
            self.shipped(&mut line, shipped);
            if !is_in {
                line.location_from = std::mem::take(&mut line.location_to);
            }
            self.event.lines.push(line);
        }
    }

    fn receiving(&mut self, node: &Node) {
        self.event.event_type = EventType::ReceiptConfirmed;
        self.refer(RefKind::Receipt, node, "receivingAdviceIdentification/entityIdentification");
        self.header(node);
        self.time(node, &["receivingDateTime", "creationDateTime"]);
        self.site(&[node.child("inventoryLocation"), node.child("shipTo"), node.child("receiver")]);
        self.parties(node, node);
        if !self.event.reference(RefKind::Rma).is_empty() {
            self.event.event_type = EventType::ReturnReceived;
        }
        self.units(node, "");
        for (at, placed) in items(node).into_iter().enumerate() {
            let mut line = self.line(placed, at + 1);
            // Accepted goods are those received where the advice names no others.
            let names = ["quantityReceived", "quantityAccepted"];
            line.qty_received = self.main_amount(placed.0, &names, &mut line);
            line.qty_shipped = self.amount(placed.0, &["quantityDespatched"], &mut line);
            line.qty_ordered = self.amount(placed.0, &["quantityOrdered"], &mut line);
            line.qty = line.qty_received;
            self.conditions(placed.0, &mut line);
            self.event.lines.push(line);
        }
    }

    /// What arrived damaged is part of what arrived.
    fn conditions(&mut self, item: &Node, line: &mut Line) {
        for condition in item.children("receivingConditionInformation") {
            let code = condition.text_at("receivingConditionCode");
            let amount = self.amount(condition, &["receivingConditionQuantity"], line);
            if code.contains("DAMAGED") {
                self.taken.text(condition, "receivingConditionCode");
                line.qty_damaged = Some(line.qty_damaged.unwrap_or_default() + amount.unwrap_or_default());
            } else if let Some(amount) = amount.filter(|_| !matches!(code, "GOOD_CONDITION" | "")) {
                let key = format!("gs1:{}/receivingCondition/{code}", item.name);
                trade::keep(&mut self.event, &key, &format!("{}: {amount}", line.line_no));
            }
        }
    }

    fn disposition(&mut self, item: &Node, line: &mut Line) {
        let code = self.taken.text(item, "inventoryDispositionCode");
        line.stock_status_to = self.stock_status(code);
    }

    /// References and carrier of the document's head.
    fn header(&mut self, node: &Node) {
        let (references, _) = self.references(node);
        for (kind, value) in references {
            trade::refer(&mut self.event.references, kind, &value);
        }
        for (path, kind) in [
            ("despatchAdviceTransportInformation/billOfLadingNumber/entityIdentification", RefKind::Bol),
            ("despatchAdviceTransportInformation/routeID", RefKind::Load),
            ("despatchAdviceTransportInformation/transportMeansID", RefKind::Trailer),
            ("shipmentIdentification/gsin", RefKind::Shipment),
            ("logisticServiceReference/entityIdentification", RefKind::Load),
        ] {
            self.refer(kind, node, path);
        }
    }

    fn parties(&mut self, node: &Node, part: &Node) {
        for (name, role) in [
            ("inventoryLocation", PartyRole::Warehouse),
            ("shipFrom", PartyRole::ShipFrom),
            ("shipTo", PartyRole::ShipTo),
            ("carrier", PartyRole::Carrier),
            ("buyer", PartyRole::Buyer),
            ("seller", PartyRole::Supplier),
            ("billTo", PartyRole::BillTo),
        ] {
            self.party(role, part.child(name).or_else(|| node.child(name)));
        }
        self.party(PartyRole::Depositor, node.child("logisticServicesBuyer").or_else(|| node.child("inventoryOwner")));
        // Shipper and receiver stand in where the places themselves are not named.
        for (name, role) in [("shipper", PartyRole::ShipFrom), ("receiver", PartyRole::ShipTo)] {
            if self.event.party(role).is_none() {
                self.party(role, part.child(name).or_else(|| node.child(name)));
            }
        }
    }
}

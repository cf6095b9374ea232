//! What an EPCIS event means in the contract (EVENTS 6).

use docksync_proto::{
    event::{Action, Container, Content, Event, EventType, Line, PartyRole, Precision, RefKind},
    identity,
};
use rust_decimal::Decimal;

use super::{
    super::{
        assign::Fault,
        message::{Message, Messages, doubt},
        trade,
    },
    Found, SNAPSHOT_LINES_MAX,
    context::Context,
    ids::Kind,
    meaning::{codes, has_zone, locations, meaning, needs_quantity, offset_secs},
    memory::Memory,
    naming::{fingerprint, is_named},
    raw::{self, Id, Quantity, Raw},
    rest::flatten,
    words,
};

/// Reads one event into a message.
pub(super) fn message(
    messages: &mut Messages<'_, '_>,
    context: &Context,
    mut found: Found,
    memory: &mut Memory,
) -> Message {
    let mut message = Message::default();
    (message.lines, message.line_no) = (found.lines, found.place.line_no);
    if found.is_too_large {
        raw::too_large(&mut message, &found.pointer, super::EVENT_NODES_MAX);
        return message;
    }
    let own = found.context.take().map(|more| {
        let mut own = context.clone();
        own.add(&more);
        own
    });
    let context = own.as_ref().unwrap_or(context);
    let format = if found.is_xml { "epcis-xml" } else { "epcis-json" };
    let (place, pointer) = (found.place, found.pointer.clone());
    let raw = Raw::read(messages, context, found, &mut message);
    let event = messages.event(EventType::EpcisOther, format, place);
    let mut mapping = Mapping { messages, message: &mut message, pointer, event };
    mapping.map(raw, context, memory);
    let event = mapping.event;
    if message.is_good() {
        message.events = split(event);
    }
    message
}

/// A large stock statement as several events, each named by the statement and its lines.
fn split(mut event: Event) -> Vec<Event> {
    if event.event_type != EventType::InventorySnapshot || event.lines.len() <= SNAPSHOT_LINES_MAX {
        return vec![event];
    }
    for reference in event.references.iter_mut().filter(|reference| reference.kind == RefKind::SourceEvent) {
        reference.kind = RefKind::Report;
    }
    event.split = true;
    let lines = std::mem::take(&mut event.lines);
    lines.chunks(SNAPSHOT_LINES_MAX).map(|lines| Event { lines: lines.to_vec(), ..event.clone() }).collect()
}

struct Mapping<'m, 'v, 'p> {
    messages: &'m mut Messages<'v, 'p>,
    message: &'m mut Message,
    pointer: String,
    event: Event,
}

impl Mapping<'_, '_, '_> {
    fn map(&mut self, mut raw: Raw, context: &Context, memory: &mut Memory) {
        self.event.references.clear();
        trade::refer(&mut self.event.references, RefKind::SourceEvent, &raw.id);
        self.time(&raw);
        self.site(&raw);
        self.transactions(&raw);
        self.parties(&raw);
        // An event that its source named goes by that name, whatever else it says.
        let print = raw.id.is_empty().then(|| fingerprint(&raw, &self.event));
        let labels: Vec<String> = raw.epcs.iter().map(|id| id.key.label()).collect();
        let has_shipped = memory.has_shipped(labels.iter().map(String::as_str));
        (self.event.event_type, self.event.action) = meaning(&raw, has_shipped);
        self.goods(&mut raw);
        self.settle_type(memory);
        self.ilmd(&mut raw);
        self.lines(&raw);
        self.correlate();
        self.event.split = raw.id.is_empty();
        if let Some(print) = print.filter(|_| !is_named(&self.event)) {
            trade::refer(&mut self.event.references, RefKind::SourceEvent, &print);
        }
        self.declared_error(&raw, memory);
        self.words(&raw);
        for (key, value) in raw.rest.iter() {
            flatten(&mut self.event, &format!("epcis:{key}"), value, context);
        }
        self.remember(&raw, &labels, memory);
    }

    fn fault(&mut self, fault: Fault) {
        let text = self.message.text.clone();
        self.message.fault(self.message.line_no, fault, &text);
    }

    fn path(&self, field: &str) -> String {
        [&self.pointer, "/", field].concat()
    }

    /// The instant as sent, shown on the clock of the place (`eventTimeZoneOffset`).
    fn time(&mut self, raw: &Raw) {
        if raw.time.is_empty() || raw.zone.is_empty() {
            return;
        }
        let path = self.path("eventTime");
        if !has_zone(&raw.time) {
            let expected = "a date and time with its zone, as 2026-11-23T09:15:27.000-06:00";
            return self.fault(trade::fault("INVALID_DATE", &path, 0, &raw.time, expected));
        }
        if let Err(fault) = self.messages.time(&mut self.event, &path, 0, &raw.time, &[]) {
            return self.fault(fault);
        }
        let Some(offset) = offset_secs(&raw.zone) else {
            let path = self.path("eventTimeZoneOffset");
            return self.fault(trade::fault("INVALID_DATE", &path, 0, &raw.zone, "an offset, as -06:00"));
        };
        self.event.time.offset_secs = offset;
        self.event.time.zone = if raw.zone == "Z" { "+00:00".to_owned() } else { raw.zone.clone() };
        self.event.time.precision = Precision::Instant;
    }

    /// The business location decides about the site, else the read point.
    fn site(&mut self, raw: &Raw) {
        let sites = &self.messages.parse.sites;
        if !sites.is_empty() {
            let codes: Vec<String> = [&raw.location, &raw.read_point].into_iter().flatten().flat_map(codes).collect();
            let known = codes.iter().find(|code| sites.contains_key(&code.to_uppercase())).or(codes.first());
            let code = known.cloned().unwrap_or_default();
            if let Err(mut fault) = self.messages.place_at(&mut self.event, &code) {
                fault.field = self.path(if raw.location.is_some() { "bizLocation/id" } else { "readPoint/id" });
                self.fault(fault);
            }
        }
        for (key, id) in [("epcis:bizLocation", &raw.location), ("epcis:readPoint", &raw.read_point)] {
            if let Some(id) = id {
                trade::keep(&mut self.event, key, &id.key.label());
            }
        }
        if let Some(id) = raw.location.as_ref().or(raw.read_point.as_ref()).filter(|id| id.key.kind == Kind::Gln) {
            let party = trade::party(&mut self.event, PartyRole::Warehouse);
            party.id.clone_from(&id.key.id);
            "GLN".clone_into(&mut party.id_scheme);
        }
    }

    fn transactions(&mut self, raw: &Raw) {
        for (kind, value) in &raw.transactions {
            match words::reference(kind) {
                Some(kind) => trade::refer(&mut self.event.references, kind, value),
                None if kind.is_empty() => trade::keep(&mut self.event, "epcis:bizTransactionList", value),
                None => trade::keep(&mut self.event, format!("epcis:bizTransactionList/{kind}"), value),
            }
        }
    }

    /// A place says more than who holds the goods; the owner is another role.
    fn parties(&mut self, raw: &Raw) {
        let ends = [
            ("sourceList", &raw.sources, PartyRole::ShipFrom, PartyRole::Supplier),
            ("destinationList", &raw.destinations, PartyRole::ShipTo, PartyRole::Buyer),
        ];
        for (list, ids, place, owner) in ends {
            let has_location = ids.iter().any(|(kind, _)| kind == "location");
            for (kind, id) in ids {
                let role = match kind.as_str() {
                    "location" => Some(place),
                    "possessing_party" if !has_location => Some(place),
                    "owning_party" => Some(owner),
                    _ => None,
                };
                match role.filter(|role| self.event.party(*role).is_none()) {
                    Some(role) => {
                        let party = trade::party(&mut self.event, role);
                        (party.id, party.id_scheme) = match id.key.kind {
                            Kind::Gln if id.key.serial.is_empty() => (id.key.id.clone(), "GLN".to_owned()),
                            Kind::Gln => (format!("{}.{}", id.key.id, id.key.serial), "GLN".to_owned()),
                            Kind::Gtin | Kind::Sscc | Kind::Asset | Kind::Other => (id.text.clone(), String::new()),
                        };
                    }
                    None => trade::keep(&mut self.event, format!("epcis:{list}/{kind}"), &id.key.label()),
                }
            }
        }
    }

    /// Identifiers become lines, logistic units containers; the parent is the first container.
    fn goods(&mut self, raw: &mut Raw) {
        let mut parent_id = String::new();
        if let Some(parent) = &raw.parent {
            if raw.kind == "AggregationEvent" || parent.key.kind == Kind::Sscc {
                let container = self.container(parent);
                parent_id.clone_from(&container.container_id);
                self.event.containers.push(container);
            } else {
                trade::keep(&mut self.event, "epcis:parentID", &parent.key.label());
            }
        }
        let is_other = self.event.event_type == EventType::EpcisOther;
        for id in std::mem::take(&mut raw.epcs) {
            match id.key.kind {
                Kind::Sscc => {
                    let container = Container { parent_id: parent_id.clone(), ..self.container(&id) };
                    self.event.containers.push(container);
                }
                Kind::Asset | Kind::Gln => trade::keep(&mut self.event, "epcis:epcList", &id.text),
                Kind::Gtin | Kind::Other => {
                    let mut line = self.line(&id, &parent_id);
                    line.qty = Some(Decimal::ONE);
                    "EA".clone_into(&mut line.uom);
                    self.event.lines.push(line);
                }
            }
        }
        for quantity in std::mem::take(&mut raw.quantities) {
            let mut line = self.line(&quantity.class, &parent_id);
            line.qty = quantity.amount;
            if line.qty.is_none() && self.message.is_good() && needs_quantity(self.event.event_type) {
                let path = [self.pointer.as_str(), &quantity.path("quantity")].concat();
                self.fault(trade::fault("MISSING_MANDATORY", &path, 0, "", "a number"));
            }
            line.uom = self.unit(&quantity, is_other);
            self.event.lines.push(line);
        }
    }

    /// What is only kept is kept with a unit that nobody knows; what takes effect is held.
    fn unit(&mut self, quantity: &Quantity, is_other: bool) -> String {
        if quantity.uom.is_empty() {
            return "EA".to_owned();
        }
        // Most units are known, and nobody asks for their place.
        if let Ok(unit) = self.messages.unit("", 0, &quantity.uom) {
            return unit;
        }
        let path = [self.pointer.as_str(), &quantity.path("uom")].concat();
        match self.messages.unit(&path, 0, &quantity.uom) {
            Ok(unit) => unit,
            Err(_) if is_other => {
                doubt(&mut self.event, "UNKNOWN_UOM", &path, format!("`{}` is no known unit", quantity.uom));
                quantity.uom.clone()
            }
            Err(fault) => {
                self.fault(fault);
                String::new()
            }
        }
    }

    fn container(&mut self, id: &Id) -> Container {
        match id.key.kind {
            Kind::Sscc => trade::container(&mut self.event.warnings, &self.pointer, &id.key.id, true),
            Kind::Gtin | Kind::Gln | Kind::Asset | Kind::Other => {
                Container { container_id: id.key.label(), ..Container::default() }
            }
        }
    }

    fn line(&mut self, id: &Id, parent_id: &str) -> Line {
        let mut line = Line { container_ref: parent_id.to_owned(), ..Line::default() };
        line.item.sku.clone_from(&id.key.id);
        if id.key.kind == Kind::Gtin {
            trade::set_gtin(&mut line.item, &mut self.event.warnings, &self.pointer, &id.key.id);
            line.lot.clone_from(&id.key.lot);
            line.serials.extend(Some(id.key.serial.clone()).filter(|serial| !serial.is_empty()));
        }
        line
    }

    /// Goods that the event does not name are looked up among the containers packed before; without them it is a statement
    /// about containers alone.
    fn settle_type(&mut self, memory: &Memory) {
        use EventType as T;
        let needs_lines = matches!(
            self.event.event_type,
            T::PickConfirmed
                | T::ShipmentConfirmed
                | T::ReceiptConfirmed
                | T::ReturnReceived
                | T::InventoryAdjusted
                | T::InventoryStatusChanged
                | T::InventoryTransferred
                | T::CycleCountCompleted
        );
        if needs_lines && self.event.lines.is_empty() {
            memory.fill(&mut self.event);
            if self.event.lines.is_empty() {
                let text =
                    format!("{} without goods: the contents of its containers are not known", self.event.event_type);
                doubt(&mut self.event, "CONTENTS_UNKNOWN", &self.pointer, text);
                self.event.event_type =
                    if self.event.event_type == T::ShipmentConfirmed { T::ShipmentManifested } else { T::EpcisOther };
            }
        }
        if self.event.event_type == T::CartonPacked && self.event.containers.is_empty() {
            doubt(&mut self.event, "CONTENTS_UNKNOWN", &self.pointer, "packing without a container");
            self.event.event_type = T::EpcisOther;
        }
        for (at, line) in self.event.lines.iter_mut().enumerate() {
            line.line_no = (at + 1).to_string();
        }
        if self.event.event_type == T::CartonPacked {
            let contents = self.event.lines.iter().map(content).collect();
            if let Some(container) = self.event.containers.first_mut() {
                container.contents = contents;
            }
        }
    }

    fn ilmd(&mut self, raw: &mut Raw) {
        let fields = std::mem::take(&mut raw.ilmd);
        for (key, value) in fields {
            let text = value.as_str().map(str::trim).unwrap_or_default();
            let name = key.rsplit('#').next().unwrap_or_default();
            if name == "lotNumber" && !text.is_empty() {
                self.event
                    .lines
                    .iter_mut()
                    .filter(|line| line.lot.is_empty())
                    .for_each(|line| text.clone_into(&mut line.lot));
            } else if matches!(name, "itemExpirationDate" | "bestBeforeDate") && !text.is_empty() {
                match trade::day(&self.path(&format!("ilmd/{key}")), 0, text) {
                    Ok(day) if name == "itemExpirationDate" => {
                        self.event.lines.iter_mut().for_each(|line| line.expiry_date = Some(day));
                    }
                    Ok(day) => self.event.lines.iter_mut().for_each(|line| line.best_before_date = Some(day)),
                    Err(fault) => self.fault(fault),
                }
            } else {
                raw.rest.insert(format!("ilmd/{key}"), value);
            }
        }
    }

    /// Quantity, status and location, as the type asks for them.
    fn lines(&mut self, raw: &Raw) {
        use EventType as T;
        let event_type = self.event.event_type;
        let status = self.status(&raw.disposition);
        let [from, to] = locations(raw);
        for line in &mut self.event.lines {
            let qty = line.qty;
            match event_type {
                T::ShipmentConfirmed | T::ShipmentVoided => line.qty_shipped = qty,
                T::ReceiptConfirmed | T::ReturnReceived => {
                    line.qty_received = qty;
                    line.stock_status_to = if status == "in_transit" { String::new() } else { status.clone() };
                }
                T::CycleCountCompleted => {
                    line.qty_after = qty;
                    line.stock_status_to.clone_from(&status);
                }
                T::InventorySnapshot => line.stock_status_to.clone_from(&status),
                T::InventoryStatusChanged => {
                    let default = if raw.step == "inspecting" { "quality" } else { "hold" };
                    line.stock_status_to = if status.is_empty() { default.to_owned() } else { status.clone() };
                }
                T::InventoryAdjusted => {
                    let is_gain = raw.step == "stock_taking" && raw.action == "ADD";
                    line.qty = qty.map(|q| if is_gain { q.abs() } else { -q.abs() });
                    let code = match raw.step.as_str() {
                        "stock_taking" if is_gain => "count_gain",
                        "stock_taking" => "count_loss",
                        _ => "damage",
                    };
                    code.clone_into(&mut line.reason.code);
                    line.reason.source_code.clone_from(&raw.step);
                }
                _ => {}
            }
            match event_type {
                T::PickConfirmed | T::ShipmentConfirmed | T::ShipmentManifested | T::CartonPacked => {
                    line.location_from.clone_from(&from);
                }
                T::ShipmentVoided | T::EpcisOther => {}
                T::InventoryTransferred => {
                    if from != to {
                        line.location_from.clone_from(&from);
                    }
                    line.location_to.clone_from(&to);
                }
                _ => line.location_to.clone_from(&to),
            }
        }
    }

    fn status(&self, disposition: &str) -> String {
        let partner = self.messages.parse.partner("stock_status", disposition);
        match partner.or_else(|| words::stock_status(disposition)) {
            Some(status) => status.to_owned(),
            None if matches!(disposition, "" | "in_progress" | "active" | "conformant") => String::new(),
            None => format!("other:{disposition}"),
        }
    }

    /// The order if it is named, else the nearest document; a shipment without any goes by the event's own id.
    fn correlate(&mut self) {
        use RefKind as R;
        let kinds = [R::Po, R::Rma, R::Desadv, R::Bol, R::Recadv, R::Inv, R::Prodorder];
        let known = kinds.iter().map(|kind| self.event.reference(*kind)).find(|value| !value.is_empty());
        self.event.correlation_id = known.unwrap_or_default().to_owned();
        let is_shipment = matches!(self.event.event_type, EventType::ShipmentConfirmed | EventType::ShipmentVoided);
        if is_shipment {
            let despatch = self.event.reference(R::Desadv).to_owned();
            trade::refer(&mut self.event.references, R::Shipment, &despatch);
        }
        if self.event.correlation_id.is_empty() && is_shipment {
            let container = self.event.containers.first().map(|container| container.container_id.clone());
            let serial =
                self.event.lines.iter().find_map(|line| Some(format!("{}.{}", line.item.sku, line.serials.first()?)));
            let own = Some(self.event.reference(R::SourceEvent).to_owned()).filter(|id| !id.is_empty());
            self.event.correlation_id = own.or(container).or(serial).unwrap_or_default();
            let text = "no order or despatch advice is named";
            doubt(&mut self.event, "NO_ORDER", &self.pointer, text);
        }
    }

    /// A wrong event is withdrawn: what did not occur, and what other events replace. Without those only a person knows what
    /// was wrong with it: a change that states the same again.
    fn declared_error(&mut self, raw: &Raw, memory: &mut Memory) {
        if let Some(error) = &raw.error {
            let is_replaced = error.reason == "incorrect_data" && error.correctives.is_empty();
            self.event.action = if is_replaced { Action::Change } else { Action::Void };
            let id = identity::event_id(&self.event);
            self.event.causation_id = Some(id);
            memory.correct(&error.correctives, id);
        } else {
            self.event.causation_id = memory.corrected_by(&raw.id);
        }
    }

    /// The event's own words, for those who read EPCIS.
    fn words(&mut self, raw: &Raw) {
        for (key, value) in [
            ("epcis:type", &raw.kind),
            ("epcis:action", &raw.action),
            ("epcis:bizStep", &raw.step),
            ("epcis:disposition", &raw.disposition),
        ] {
            trade::keep(&mut self.event, key, value);
        }
    }

    fn remember(&self, raw: &Raw, labels: &[String], memory: &mut Memory) {
        if raw.kind == "AggregationEvent" && raw.error.is_none() {
            match raw.action.as_str() {
                "ADD" => memory.pack(&self.event),
                "DELETE" => {
                    self.event.containers.first().into_iter().for_each(|outer| memory.unpack(&outer.container_id));
                }
                _ => {}
            }
        }
        if raw.step == "shipping" {
            memory.ship(labels.iter().map(String::as_str));
        }
    }
}

/// What lies in a container, as a line says it.
fn content(line: &Line) -> Content {
    Content {
        line_no: line.line_no.clone(),
        sku: line.item.sku.clone(),
        qty: line.qty,
        uom: line.uom.clone(),
        lot: line.lot.clone(),
        serials: line.serials.clone(),
    }
}

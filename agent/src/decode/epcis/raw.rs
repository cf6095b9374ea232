//! The fields of one event, checked for form; what has no place here stays in `rest`.

use rust_decimal::Decimal;

use super::{
    super::{
        hold,
        message::{Message, Messages},
        trade,
    },
    Found,
    context::Context,
    fields::{Fields, Part},
    ids::{self, Key},
    words::short,
};

/// An identifier with the text as sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Id {
    pub(super) key: Key,
    pub(super) text: String,
}

impl Id {
    fn new(text: &str) -> Self {
        Self { key: ids::key(text), text: text.trim().to_owned() }
    }
}

/// An entry of a quantity list.
#[derive(Debug)]
pub(super) struct Quantity {
    pub(super) class: Id,
    pub(super) amount: Option<Decimal>,
    pub(super) uom: String,
    /// Its list, and its place there.
    list: &'static str,
    at: usize,
}

impl Quantity {
    /// Pointer to a field of it within the event.
    pub(super) fn path(&self, field: &str) -> String {
        format!("/{}/{}/{field}", self.list, self.at)
    }
}

/// What the source says of an event that was declared to be wrong.
#[derive(Debug, Default)]
pub(super) struct ErrorDeclaration {
    /// `did_not_occur` or `incorrect_data`.
    pub(super) reason: String,
    pub(super) correctives: Vec<String>,
}

/// An event as both forms give it.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) kind: String,
    pub(super) action: String,
    pub(super) step: String,
    pub(super) disposition: String,
    pub(super) time: String,
    pub(super) zone: String,
    pub(super) id: String,
    pub(super) read_point: Option<Id>,
    pub(super) location: Option<Id>,
    pub(super) parent: Option<Id>,
    pub(super) epcs: Vec<Id>,
    pub(super) quantities: Vec<Quantity>,
    /// Type and value of business transactions, sources and destinations.
    pub(super) transactions: Vec<(String, String)>,
    pub(super) sources: Vec<(String, Id)>,
    pub(super) destinations: Vec<(String, Id)>,
    pub(super) ilmd: Fields,
    pub(super) error: Option<ErrorDeclaration>,
    pub(super) rest: Fields,
}

const ACTIONS: &[&str] = &["ADD", "OBSERVE", "DELETE"];

impl Raw {
    /// Reads the fields; what is wrong with them is noted in `message`.
    pub(super) fn read(messages: &Messages<'_, '_>, context: &Context, found: Found, message: &mut Message) -> Self {
        let event = context.qualified(found.event);
        let mut taker = Taker { map: event, pointer: found.pointer, is_xml: found.is_xml, message };
        let kind = taker.text("type");
        let kind = kind.rsplit([':', '#']).next().unwrap_or_default().to_owned();
        let mut raw = Self { kind, ..Self::default() };
        taker.message.text = raw.kind.clone();
        raw.id = taker.text("eventID");
        if !raw.id.is_empty() {
            taker.message.text.push(' ');
            taker.message.text.push_str(&raw.id);
        }
        raw.action = taker.text("action");
        raw.time = taker.text("eventTime");
        raw.zone = taker.text("eventTimeZoneOffset");
        raw.step = short(&context.expanded(&taker.text("bizStep"))).to_owned();
        raw.disposition = short(&context.expanded(&taker.text("disposition"))).to_owned();
        raw.read_point = taker.place("readPoint");
        raw.location = taker.place("bizLocation");
        raw.parent = Some(taker.text("parentID")).filter(|parent| !parent.is_empty()).map(|parent| Id::new(&parent));
        raw.transactions = taker.pairs("bizTransactionList", "bizTransaction");
        raw.sources = taker.ids("sourceList", "source");
        raw.destinations = taker.ids("destinationList", "destination");
        raw.goods(messages, &mut taker);
        raw.ilmd = taker.object("ilmd").unwrap_or_default();
        raw.error = taker.error();
        raw.check(&mut taker);
        raw.rest = taker.map;
        raw
    }

    fn goods(&mut self, messages: &Messages<'_, '_>, taker: &mut Taker<'_>) {
        match self.kind.as_str() {
            "TransformationEvent" => {}
            "AggregationEvent" | "AssociationEvent" => {
                self.epcs = taker.texts("childEPCs").iter().map(|epc| Id::new(epc)).collect();
                self.quantities = taker.quantities(messages, "childQuantityList");
            }
            "QuantityEvent" => {
                let mut one = Fields::default();
                for key in ["epcClass", "quantity"] {
                    if let Some(value) = taker.map.remove(key) {
                        one.insert(key.to_owned(), value);
                    }
                }
                taker.map.insert("quantityList".to_owned(), Part::List(vec![Part::Object(one)]));
                self.quantities = taker.quantities(messages, "quantityList");
            }
            _ => {
                self.epcs = taker.texts("epcList").iter().map(|epc| Id::new(epc)).collect();
                self.quantities = taker.quantities(messages, "quantityList");
            }
        }
    }

    /// What every event has to have (GS1 EPCIS 2.0 section 7.4).
    fn check(&self, taker: &mut Taker<'_>) {
        let needs_action = ["ObjectEvent", "AggregationEvent", "TransactionEvent", "AssociationEvent"];
        for (key, value) in [("type", &self.kind), ("eventTime", &self.time), ("eventTimeZoneOffset", &self.zone)] {
            if value.is_empty() {
                taker.missing(key, "a value: EPCIS demands it of every event");
            }
        }
        if needs_action.contains(&self.kind.as_str()) && !ACTIONS.contains(&self.action.as_str()) {
            match self.action.as_str() {
                "" => taker.missing("action", "ADD, OBSERVE or DELETE"),
                other => taker.fault("SCHEMA_VIOLATION", "/action", other, "ADD, OBSERVE or DELETE"),
            }
        }
        let has_goods = !self.epcs.is_empty() || !self.quantities.is_empty();
        let is_sensed = taker.map.get("sensorElementList").is_some();
        match self.kind.as_str() {
            "ObjectEvent" | "QuantityEvent" if !has_goods && !is_sensed => {
                taker.missing("epcList", "an epcList or a quantityList that is not empty");
            }
            "AggregationEvent" | "AssociationEvent" if self.parent.is_none() && self.action != "OBSERVE" => {
                taker.missing("parentID", "the identifier of the container");
            }
            "TransactionEvent" if self.transactions.is_empty() => {
                taker.missing("bizTransactionList", "at least one business transaction");
            }
            _ => {}
        }
    }
}

/// Takes fields out of an event and notes what is wrong with them.
struct Taker<'m> {
    map: Fields,
    pointer: String,
    is_xml: bool,
    message: &'m mut Message,
}

impl Taker<'_> {
    fn fault(&mut self, code: &'static str, path: &str, found: &str, expected: &str) {
        let fault = trade::fault(code, &format!("{}{path}", self.pointer), 0, found, expected);
        let text = self.message.text.clone();
        self.message.fault(self.message.line_no, fault, &text);
    }

    fn missing(&mut self, key: &str, expected: &str) {
        self.fault("MISSING_MANDATORY", &format!("/{key}"), "", expected);
    }

    fn wrong(&mut self, path: &str, value: &Part, expected: &str) {
        let found = value.to_string();
        self.fault("SCHEMA_VIOLATION", path, &found, expected);
    }

    /// A text without blanks around it. The path is written only where it is told.
    fn plain(&mut self, path: impl FnOnce() -> String, value: Option<Part>) -> String {
        match value {
            None | Some(Part::Null) => String::new(),
            Some(Part::Text(text)) if text.trim().len() == text.len() => text,
            Some(Part::Text(text)) => text.trim().to_owned(),
            Some(other) => {
                self.wrong(&path(), &other, "a text");
                String::new()
            }
        }
    }

    fn text(&mut self, key: &str) -> String {
        let value = self.map.remove(key);
        self.plain(|| format!("/{key}"), value)
    }

    fn object(&mut self, key: &str) -> Option<Fields> {
        match self.map.remove(key)? {
            Part::Object(object) => Some(object),
            // An empty element of XML.
            Part::Text(text) if text.is_empty() => None,
            Part::Null => None,
            other => {
                self.wrong(&format!("/{key}"), &other, "an object");
                None
            }
        }
    }

    fn array(&mut self, key: &str) -> Vec<Part> {
        match self.map.remove(key) {
            None | Some(Part::Null) => Vec::new(),
            Some(Part::List(parts)) => parts,
            Some(other) => {
                self.wrong(&format!("/{key}"), &other, "an array");
                Vec::new()
            }
        }
    }

    fn texts(&mut self, key: &str) -> Vec<String> {
        let parts = self.array(key).into_iter().enumerate();
        let texts = parts.map(|(at, part)| self.plain(|| format!("/{key}/{at}"), Some(part))).collect::<Vec<_>>();
        texts.into_iter().filter(|text| !text.is_empty()).collect()
    }

    /// `id` of a place; its other fields stay.
    fn place(&mut self, key: &str) -> Option<Id> {
        let mut object = match self.map.remove(key)? {
            Part::Text(text) => return Some(Id::new(&text)).filter(|id| !id.text.is_empty()),
            Part::Object(object) => object,
            Part::Null => return None,
            other => {
                self.wrong(&format!("/{key}"), &other, "an object");
                return None;
            }
        };
        let id = object.remove("id");
        let id = self.plain(|| format!("/{key}/id"), id);
        if !object.is_empty() {
            self.map.insert(key.to_owned(), Part::Object(object));
        }
        Some(Id::new(&id)).filter(|id| !id.text.is_empty())
    }

    fn pairs(&mut self, key: &str, value_key: &str) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for (at, part) in self.array(key).into_iter().enumerate() {
            let Part::Object(mut object) = part else {
                self.wrong(&format!("/{key}/{at}"), &part, "an object");
                continue;
            };
            let (kind, value) = (object.remove("type"), object.remove(value_key));
            let kind = self.plain(|| format!("/{key}/{at}/type"), kind);
            let value = self.plain(|| format!("/{key}/{at}/{value_key}"), value);
            if value.is_empty() {
                self.missing(&format!("{key}/{at}/{value_key}"), "a value");
            } else {
                pairs.push((short(&kind).to_owned(), value));
            }
        }
        pairs
    }

    fn ids(&mut self, key: &str, value_key: &str) -> Vec<(String, Id)> {
        self.pairs(key, value_key).into_iter().map(|(kind, id)| (kind, Id::new(&id))).collect()
    }

    fn quantities(&mut self, messages: &Messages<'_, '_>, list: &'static str) -> Vec<Quantity> {
        let mut quantities = Vec::new();
        for (at, part) in self.array(list).into_iter().enumerate() {
            let path = |field: &str| format!("/{list}/{at}{field}");
            let Part::Object(mut object) = part else {
                self.wrong(&path(""), &part, "an object with epcClass and quantity");
                continue;
            };
            let (class, uom) = (object.remove("epcClass"), object.remove("uom"));
            let class = self.plain(|| path("/epcClass"), class);
            let uom = self.plain(|| path("/uom"), uom);
            if class.is_empty() {
                self.missing(&format!("{list}/{at}/epcClass"), "an item class");
            }
            let amount = self.amount(messages, || path("/quantity"), object.remove("quantity"));
            quantities.push(Quantity { class: Id::new(&class), amount, uom, list, at });
        }
        quantities
    }

    /// JSON has numbers, and a text in their place is an error; XML has only text.
    fn amount(
        &mut self,
        messages: &Messages<'_, '_>,
        path: impl FnOnce() -> String,
        value: Option<Part>,
    ) -> Option<Decimal> {
        let text = match value {
            None | Some(Part::Null) => return None,
            Some(Part::Number(number)) => number.to_string(),
            Some(Part::Text(text)) if self.is_xml => text,
            Some(other) => {
                let found = other.to_string();
                self.fault("INVALID_QUANTITY", &path(), &found, "a number");
                return None;
            }
        };
        match messages.quantity("", 0, &text) {
            Ok(amount) => Some(amount.normalize()),
            Err(_) => {
                self.fault("INVALID_QUANTITY", &path(), &text, "a number, as 12.5");
                None
            }
        }
    }

    fn error(&mut self) -> Option<ErrorDeclaration> {
        let mut object = self.object("errorDeclaration")?;
        let reason = object.remove("reason");
        let reason = short(&self.plain(|| "/errorDeclaration/reason".to_owned(), reason)).to_owned();
        let ids = object.get("correctiveEventIDs").and_then(Part::as_list).unwrap_or_default();
        let correctives = ids.iter().filter_map(|id| Some(id.as_str()?.to_owned())).collect();
        if !reason.is_empty() {
            object.insert("reason".to_owned(), reason.clone().into());
        }
        // All of it is kept as well: the words of the declaration are not the event's.
        self.map.insert("errorDeclaration".to_owned(), Part::Object(object));
        Some(ErrorDeclaration { reason, correctives })
    }
}

/// A fault that is no field's: the event is over a limit.
pub(super) fn too_large(message: &mut Message, pointer: &str, limit: usize) {
    let fault =
        hold::whole("DOCUMENT_TOO_LARGE", pointer, "an event with more", format!("at most {limit} values in an event"));
    message.fault(message.line_no, fault, "");
}

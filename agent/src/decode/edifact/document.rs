//! A message as it was read, before anybody says which events it is: header, lines, packages.

use docksync_proto::{
    canonical,
    event::{Container, Event, EventType, Line, LineStatus, RefKind, Warning},
};
use rust_decimal::Decimal;

use super::{codes, moment::Dated, segment::Segment};
use crate::decode::{
    assign::Fault,
    documents::Place,
    message::{Message, Messages, doubt},
    number::{NumberForm, SCALE_MAX},
    trade,
};

/// A message of which nothing is read yet.
pub(super) fn started(line_no: u64, text: &str) -> Message {
    let mut message = Message::default();
    message.line_no = line_no;
    text.clone_into(&mut message.text);
    message
}

/// Where a message stands and what its envelope says.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Data element 0065, in capitals.
    pub(super) kind: String,
    /// S009 as sent, for the answer.
    pub(super) identifier: Vec<String>,
    pub(super) interchange: docksync_proto::event::Interchange,
    pub(super) extras: Vec<(String, String)>,
    pub(super) decimal: u8,
    /// UNB S004, when the interchange was made.
    pub(super) made: Option<Dated>,
    pub(super) place: Place,
}

impl Head {
    /// Data element 0062.
    pub(super) fn reference(&self) -> &str {
        &self.interchange.set_control
    }

    /// `edifact-desadv`.
    pub(super) fn format(&self) -> String {
        format!("edifact-{}", self.kind.to_ascii_lowercase())
    }
}

/// What all message types have.
pub(super) struct Document {
    /// What all events of the message share.
    pub(super) event: Event,
    /// BGM: kind of document (1001), number (1004), function (1225), response (4343).
    pub(super) code: String,
    pub(super) number: String,
    pub(super) function: String,
    pub(super) response: String,
    pub(super) bgm_ordinal: u64,
    /// DTM of the header.
    pub(super) dates: Vec<Dated>,
    /// NAD: qualifier and identifier.
    pub(super) parties: Vec<(String, String)>,
    /// RFF of the header: qualifier and number.
    pub(super) references: Vec<(String, String)>,
    pub(super) lines: Vec<DocLine>,
    /// Containers in the order of the document, without contents.
    pub(super) containers: Vec<Container>,
    /// ERC and their texts.
    pub(super) errors: Vec<(u64, String, String)>,
}

/// A line item.
#[derive(Debug, Default)]
pub(super) struct DocLine {
    pub(super) ordinal: u64,
    pub(super) offset: u64,
    pub(super) text: String,
    /// From 1.
    pub(super) nth: u64,
    pub(super) line: Line,
    /// Item numbers by data element 7143.
    pub(super) ids: Vec<(String, String)>,
    /// Data element 1229.
    pub(super) action: String,
    pub(super) quantities: Vec<Quantity>,
    /// QVR: difference, qualifier, data element 4221.
    pub(super) variances: Vec<(Decimal, String)>,
    /// Texts of FTX.
    pub(super) notes: Vec<String>,
    pub(super) extensions: Vec<(String, String)>,
    pub(super) warnings: Vec<Warning>,
    /// Set where a quantity could not be read: that it is missing need not be said too.
    pub(super) has_faults: bool,
}

/// A quantity, and what a stock report says about it.
#[derive(Debug, Default)]
pub(super) struct Quantity {
    pub(super) ordinal: u64,
    /// Data element 6063.
    pub(super) code: String,
    pub(super) value: Decimal,
    pub(super) uom: String,
    /// INV: direction (4501), kind of stock (7491), reason (4499).
    pub(super) inventory: Option<[String; 3]>,
    pub(super) location: String,
    pub(super) lot: String,
    pub(super) serials: Vec<String>,
    pub(super) expiry: Option<jiff::civil::Date>,
}

impl DocLine {
    /// The first quantity with one of these qualifiers, in their order.
    pub(super) fn quantity(&self, codes: &[&str]) -> Option<&Quantity> {
        codes.iter().find_map(|code| self.quantities.iter().find(|quantity| quantity.code == *code))
    }

    pub(super) fn value(&self, code: &str) -> Option<Decimal> {
        self.quantity(&[code]).map(|quantity| quantity.value)
    }

    /// Keeps the quantities that no field takes.
    pub(super) fn keep_quantities(&mut self, taken: &[&str]) {
        for quantity in self.quantities.iter().filter(|quantity| !taken.contains(&quantity.code.as_str())) {
            let value = format!("{} {}", quantity.value.normalize(), quantity.uom);
            self.extensions.push((format!("edifact:QTY+{}[{}]", quantity.code, self.nth), value));
        }
    }

    /// Keeps what QVR says: its sign and its code are not the same with everybody.
    pub(super) fn keep_variances(&mut self) {
        for (difference, code) in &self.variances {
            let value = format!("{}+{code}", difference.normalize());
            self.extensions.push((format!("edifact:QVR[{}]", self.nth), value));
        }
    }

    /// Puts the line into an event, with all that was said about it.
    pub(super) fn settle(self, event: &mut Event) {
        self.extensions.iter().for_each(|(key, value)| trade::keep(event, key, value));
        event.warnings.extend(self.warnings);
        event.lines.push(self.line);
    }
}

impl Document {
    /// The value of the first header reference with one of these qualifiers, in their order.
    pub(super) fn reference(&self, qualifiers: &[&str]) -> &str {
        let find = |wanted: &&str| self.references.iter().find(|(qualifier, _)| qualifier == wanted);
        qualifiers.iter().find_map(find).map_or("", |(_, value)| value.as_str())
    }

    /// Sets the event's time by the first DTM with one of these qualifiers, in their order; the others are kept.
    pub(super) fn time(&mut self, messages: &mut Messages<'_, '_>, message: &mut Message, qualifiers: &[&str]) {
        let find = |wanted: &&str| self.dates.iter().position(|dated| dated.qualifier == *wanted);
        match qualifiers.iter().find_map(find) {
            Some(at) => {
                let dated = self.dates.remove(at);
                if let Err(fault) = dated.set(messages, &mut self.event) {
                    message.fault(dated.ordinal, fault, &format!("DTM+{}:{}", dated.qualifier, dated.shown()));
                }
            }
            None => {
                let wanted: Vec<String> = qualifiers.iter().map(|qualifier| format!("DTM+{qualifier}")).collect();
                let fault = trade::fault("MISSING_MANDATORY", "DTM", 0, "", wanted.join(" or "));
                message.fault(self.bgm_ordinal, fault, &message.text.clone());
            }
        }
        for dated in &self.dates {
            trade::keep(&mut self.event, format!("edifact:DTM+{}", dated.qualifier), &dated.shown());
        }
    }

    /// The document's number; without it nothing can be told apart.
    pub(super) fn needs_number(&self, message: &mut Message) {
        if self.number.is_empty() {
            let fault = trade::fault("MISSING_MANDATORY", "BGM/C106.1004", 2, "", "the document's number");
            message.fault(self.bgm_ordinal, fault, &message.text.clone());
        }
    }

    /// The order that all lines belong to, where they agree in it.
    pub(super) fn common_order(&self) -> String {
        let mut orders = self.lines.iter().map(|line| {
            line.line.references.iter().find(|r| matches!(r.kind, RefKind::Po | RefKind::So)).map(|r| r.value.as_str())
        });
        let first = orders.next().flatten().unwrap_or("");
        if orders.all(|order| order == Some(first)) { first.to_owned() } else { String::new() }
    }

    /// Whether `[sites]` names one of these parties.
    pub(super) fn has_own(&self, messages: &Messages<'_, '_>, roles: &[&str]) -> bool {
        let is_own = |id: &str| messages.parse.sites.contains_key(&id.to_uppercase());
        self.parties.iter().any(|(role, id)| roles.contains(&role.as_str()) && is_own(id))
    }

    /// The site of the events: the first party in one of these roles whose code the feed knows. A code of a strong role that it
    /// does not know is a fault; the weak roles may also be a company's own number.
    pub(super) fn place(&mut self, messages: &Messages<'_, '_>, message: &mut Message, strong: &[&str], weak: &[&str]) {
        let coded = |role: &&str| self.parties.iter().find(|(known, id)| known == role && !id.is_empty());
        let known = |(_, id): &&(String, String)| messages.parse.sites.contains_key(&id.to_uppercase());
        let found = strong.iter().chain(weak).filter_map(coded).find(known);
        let Some((_, code)) = found.or_else(|| strong.iter().find_map(coded)) else { return };
        let code = code.clone();
        if let Err(mut fault) = messages.place_at(&mut self.event, &code) {
            "NAD/C082.3039".clone_into(&mut fault.field);
            message.fault(message.line_no, fault, &message.text.clone());
        }
    }

    /// A new event of the document.
    pub(super) fn event(&self, event_type: EventType) -> Event {
        let mut event = self.event.clone();
        event.event_type = event_type;
        event
    }
}

/// A number with either decimal mark: triads are never set apart in this standard (ISO 9735, 10.1).
pub(super) fn number(messages: &Messages<'_, '_>, path: &str, column: u32, text: &str) -> Result<Decimal, Fault> {
    let mark = if text.contains(',') { b',' } else { b'.' };
    let form = NumberForm { mark, thousands: None, trailing_minus: messages.tools.number.trailing_minus };
    let wrong = || trade::fault("INVALID_QUANTITY", path, column, text, "a number, as 12.5");
    let number = form.parse(text).ok_or_else(wrong)?;
    let number = if number.normalize().scale() > SCALE_MAX { number.round_dp(SCALE_MAX) } else { number };
    // What lies beyond the contract would overflow in sums and differences.
    let limit = "at most 13 digits before and 6 behind the point";
    canonical::check_decimal(number).map_err(|_| trade::fault("INVALID_QUANTITY", path, column, text, limit))?;
    Ok(number)
}

/// Warns where a number is written with another mark than the one that UNA declares.
pub(super) fn check_mark(event: &mut Event, segment: &Segment, text: &str, decimal: u8) {
    let other = if decimal == b',' { '.' } else { ',' };
    let is_other = text.contains(other) && matches!(decimal, b',' | b'.');
    if is_other && !event.warnings.iter().any(|warning| warning.code == "DECIMAL_MARK") {
        let mark = char::from(decimal);
        doubt(event, "DECIMAL_MARK", segment.tag(), format!("`{text}` is read as a number, UNA declares `{mark}`"));
    }
}

/// How a line ended (data element 4221): the partner's table first, then the standard's codes.
pub(super) fn line_status(messages: &Messages<'_, '_>, code: &str) -> Option<LineStatus> {
    messages.parse.partner("status", code).and_then(LineStatus::from_word).or_else(|| codes::discrepancy(code))
}

/// Picks the item number: the feed's own order first, then the usual one, then whatever is there.
pub(super) fn choose_sku(messages: &Messages<'_, '_>, line: &mut DocLine) {
    let own = messages.parse.list("sku").iter().map(String::as_str);
    let find = |wanted: &str| line.ids.iter().find(|(qualifier, _)| qualifier.eq_ignore_ascii_case(wanted));
    let found = own.chain(codes::SKU_ORDER.iter().copied()).find_map(find).or_else(|| line.ids.first());
    if let Some((_, value)) = found {
        value.clone_into(&mut line.line.item.sku);
    }
}

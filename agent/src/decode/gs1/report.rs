//! Inventory reports: statuses become snapshots of at most 500 lines, inventory events become moves and adjustments.

use std::ops::ControlFlow;

use docksync_proto::event::{Event, EventType, Interchange, Line, PartyRole, RefKind};
use rust_decimal::Decimal;

use super::{
    super::{
        documents::Place,
        message::{Message, Messages, doubt},
        trade,
        xml::{Node, Taken},
    },
    LOCATION, REPORT, SNAPSHOT_LINES_MAX,
    parts::{Draft, sub_location},
};

/// Reasons of inventory events (GS1 code list `InventoryEventReasonCode` and common words of partners), to those of EVENTS 3.1.
const REASONS: &[(&str, &str)] = &[
    ("ADMINISTRATIVE_TRANSFER", "transfer"),
    ("CYCLE_COUNT", "count"),
    ("STOCK_COUNT", "count"),
    ("STOCK_TAKING", "count"),
    ("INVENTORY_COUNT", "count"),
    ("PHYSICAL_INVENTORY", "count"),
    ("DAMAGED", "damage"),
    ("DAMAGED_GOODS", "damage"),
    ("DESTROYED", "damage"),
    ("EXPIRED", "expired"),
    ("RECALL", "recall"),
    ("RECALLED", "recall"),
    ("QUALITY_INSPECTION", "quality_in"),
    ("BLOCKED", "hold"),
    ("QUARANTINE", "hold"),
    ("RELEASED", "release"),
    ("SAMPLE", "sample"),
    ("DONATION", "donation"),
    ("CUSTOMER_RETURN", "customer_return"),
    ("RETURN", "customer_return"),
    ("RELABELLED", "relabel"),
    ("REPACKED", "rework"),
];

/// What of a report waits to be handed over.
#[derive(Debug, Default)]
pub(super) struct Report {
    snapshot: Option<Message>,
    moves: Vec<(Message, Move)>,
    /// Start of the report and events of it so far.
    at: (u64, usize),
}

/// One inventory event.
#[derive(Debug, Default)]
struct Move {
    is_increase: bool,
    status: String,
    place: String,
}

impl Report {
    /// A status or an event of the report.
    pub(super) fn entry(
        &mut self,
        messages: &mut Messages<'_, '_>,
        outer: &[Node],
        envelope: &Interchange,
        node: Node,
    ) -> ControlFlow<()> {
        let (Some(report), Some(location)) = (named(outer, REPORT), named(outer, LOCATION)) else {
            return ControlFlow::Continue(());
        };
        if self.at.0 != report.offset {
            self.at = (report.offset, 0);
        }
        self.at.1 += 1;
        let ordinal = self.at.1;
        if node.name == "tradeItemInventoryEvent" {
            self.moves.push(movement(messages, report, location, envelope, &node, ordinal));
            return if self.moves.len() >= SNAPSHOT_LINES_MAX {
                self.hand_moves(messages)
            } else {
                ControlFlow::Continue(())
            };
        }
        let snapshot = self.snapshot.take();
        let mut message = snapshot.unwrap_or_else(|| start(messages, report, location, envelope, &node));
        status(messages, &mut message, &node, ordinal);
        let is_full = message.events.first().is_none_or(|event| event.lines.len() >= SNAPSHOT_LINES_MAX);
        self.snapshot = Some(message);
        if is_full { self.hand_snapshot(messages) } else { ControlFlow::Continue(()) }
    }

    /// Hands over what waits: the location or the report ended.
    pub(super) fn flush(&mut self, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        self.hand_snapshot(messages)?;
        self.hand_moves(messages)
    }

    fn hand_snapshot(&mut self, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        match self.snapshot.take() {
            Some(message) => messages.hand(message),
            None => ControlFlow::Continue(()),
        }
    }

    /// A decrease and an increase of the same goods are one move; what stays alone is an adjustment.
    fn hand_moves(&mut self, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        let mut waiting = std::mem::take(&mut self.moves).into_iter().map(Some).collect::<Vec<_>>();
        for at in 0..waiting.len() {
            let Some((mut message, own)) = waiting.get_mut(at).and_then(Option::take) else { continue };
            let other = waiting.iter().skip(at + 1).position(|other| {
                other.as_ref().is_some_and(|(other, its)| is_counterpart((&message, &own), (other, its)))
            });
            match other.and_then(|other| waiting.get_mut(at + 1 + other)?.take()) {
                Some((other, its)) => {
                    message.lines += other.lines;
                    let (from, to) = if own.is_increase { (&its, &own) } else { (&own, &its) };
                    message.events.iter_mut().for_each(|event| join(event, from, to));
                    for event in &other.events {
                        for (key, value) in &event.extensions {
                            message.events.iter_mut().for_each(|own| trade::keep(own, key, value));
                        }
                    }
                }
                None => message.events.iter_mut().for_each(|event| alone(event, &own)),
            }
            messages.hand(message)?;
        }
        ControlFlow::Continue(())
    }
}

fn named<'n>(outer: &'n [Node], name: &str) -> Option<&'n Node> {
    outer.iter().find(|node| node.name == name)
}

/// A message with an empty event: number, site and parties of the report.
fn start(
    messages: &mut Messages<'_, '_>,
    report: &Node,
    location: &Node,
    envelope: &Interchange,
    node: &Node,
) -> Message {
    let mut message = Message::default();
    (message.line_no, message.text) = (node.line_no, format!("<{}>", node.name));
    let place = Place { line_no: node.line_no, offset: node.offset };
    let mut event = messages.event(EventType::InventorySnapshot, "gs1-logisticsInventoryReport", place);
    event.interchange.clone_from(envelope);
    event.split = true;
    let mut draft = Draft { messages, message: &mut message, taken: Taken::default(), event };
    draft.action(report);
    draft.refer(RefKind::Report, report, "logisticsInventoryReportIdentification/entityIdentification");
    draft.site(&[location.child("inventoryLocation")]);
    draft.party(PartyRole::Warehouse, location.child("inventoryLocation"));
    draft.party(PartyRole::Depositor, report.child("inventoryReportToParty"));
    let times = ["reportingPeriod", "inventoryDateTime", "creationDateTime"];
    match report.child("reportingPeriod").filter(|period| period.child("beginDate").is_some()) {
        Some(period) => {
            let joined = period_begin(period);
            if let Err(fault) = draft.messages.time(&mut draft.event, "reportingPeriod/beginDate", 0, &joined, &[]) {
                draft.fault(fault);
            }
        }
        None => draft.time(report, times.get(1..).unwrap_or_default()),
    }
    let event = draft.event;
    message.events.push(event);
    message
}

fn period_begin(period: &Node) -> String {
    let (date, time) = (period.text_at("beginDate"), period.text_at("beginTime"));
    let (day, zone) = date.split_at_checked(10).unwrap_or((date, ""));
    match time {
        "" => day.to_owned(),
        time if time.ends_with('Z') || time.contains(['+', '-']) => format!("{day}T{time}"),
        time => format!("{day}T{time}{zone}"),
    }
}

/// Adds a line to the snapshot.
fn status(messages: &mut Messages<'_, '_>, message: &mut Message, node: &Node, ordinal: usize) {
    message.lines += node.lines();
    let Some(event) = message.events.pop() else { return };
    let line_no = std::mem::replace(&mut message.line_no, node.line_no);
    let mut draft = Draft { messages, message, taken: Taken::default(), event };
    let mut line = entry_line(&mut draft, node, ordinal);
    line.stock_status_to = entry_status(&mut draft, node);
    line.location_to = sub_location(&draft.taken, node).to_owned();
    draft.event.lines.push(line);
    draft.taken.keep_rest(&mut draft.event, "gs1", node);
    let event = draft.event;
    message.line_no = line_no;
    message.events.push(event);
}

fn entry_line(draft: &mut Draft<'_, '_, '_>, node: &Node, ordinal: usize) -> Line {
    let mut line = Line { line_no: ordinal.to_string(), ..Line::default() };
    let item = node.child("transactionalTradeItem").unwrap_or(node);
    draft.item(item, &mut line);
    draft.item_details(item, &mut line);
    line.qty = draft.main_amount(node, &["tradeItemQuantity", "quantity"], &mut line);
    line
}

fn entry_status(draft: &mut Draft<'_, '_, '_>, node: &Node) -> String {
    let code = draft.taken.text(node, "inventoryDispositionCode");
    draft.stock_status(code)
}

/// An event of its own for an inventory event; what it is shows once its counterpart is looked for.
fn movement(
    messages: &mut Messages<'_, '_>,
    report: &Node,
    location: &Node,
    envelope: &Interchange,
    node: &Node,
    ordinal: usize,
) -> (Message, Move) {
    let mut message = start(messages, report, location, envelope, node);
    message.lines = node.lines();
    let Some(mut event) = message.events.pop() else { return (message, Move::default()) };
    event.split = false;
    event.event_type = EventType::InventoryAdjusted;
    let mut draft = Draft { messages, message: &mut message, taken: Taken::default(), event };
    let report_no = draft.event.reference(RefKind::Report).to_owned();
    trade::refer(&mut draft.event.references, RefKind::Adjustment, &report_no);
    draft.refer(RefKind::Transaction, node, "eventIdentifier");
    let (references, _) = draft.references(node);
    for (kind, value) in references {
        trade::refer(&mut draft.event.references, kind, &value);
    }
    if node.child("eventDateTime").is_some() {
        draft.time(node, &["eventDateTime"]);
    }
    let mut line = entry_line(&mut draft, node, ordinal);
    let code = draft.taken.text(node, "inventoryMovementTypeCode");
    let is_increase = match code {
        "INCREASE" => true,
        "DECREASE" => false,
        other => {
            let fault = trade::fault("INVALID_CODE", "inventoryMovementTypeCode", 0, other, "INCREASE or DECREASE");
            draft.fault(fault);
            false
        }
    };
    let reason = draft.taken.text(node, "inventoryEventReasonCode");
    let own = draft.messages.parse.partner("reason", reason).map(str::to_owned);
    let known = REASONS.iter().find(|(word, _)| *word == reason).map(|(_, meaning)| (*meaning).to_owned());
    line.reason.code = match own.or(known) {
        Some(word) if word == "count" => if is_increase { "count_gain" } else { "count_loss" }.to_owned(),
        Some(word) => word,
        None => {
            let text = format!("`{reason}` is no known reason");
            doubt(&mut draft.event, "UNKNOWN_REASON", "inventoryEventReasonCode", text);
            "other".to_owned()
        }
    };
    reason.clone_into(&mut line.reason.source_code);
    let status = entry_status(&mut draft, node);
    let place = sub_location(&draft.taken, node).to_owned();
    draft.event.lines.push(line);
    draft.taken.keep_rest(&mut draft.event, "gs1", node);
    draft.event.correlation_id = report_no;
    let event = draft.event;
    message.events.push(event);
    (message, Move { is_increase, status, place })
}

/// The same goods in the same amount at the same time, the other way round, and not where they were.
fn is_counterpart((message, own): (&Message, &Move), (other, its): (&Message, &Move)) -> bool {
    let (Some(event), Some(its_event)) = (message.events.first(), other.events.first()) else { return false };
    let (Some(line), Some(its_line)) = (event.lines.first(), its_event.lines.first()) else { return false };
    message.is_good()
        && other.is_good()
        && own.is_increase != its.is_increase
        && (&own.status, &own.place) != (&its.status, &its.place)
        && event.time == its_event.time
        && (&line.item.sku, &line.lot, &line.uom, line.qty)
            == (&its_line.item.sku, &its_line.lot, &its_line.uom, its_line.qty)
        && line.serials == its_line.serials
}

/// Both halves of a move.
fn join(event: &mut Event, from: &Move, to: &Move) {
    let is_of_status = from.status != to.status;
    event.event_type = if is_of_status { EventType::InventoryStatusChanged } else { EventType::InventoryTransferred };
    for line in &mut event.lines {
        line.stock_status_from.clone_from(&from.status);
        line.stock_status_to.clone_from(&to.status);
        line.location_from.clone_from(&from.place);
        line.location_to.clone_from(&to.place);
    }
}

/// An adjustment: the sign says what became more or less.
fn alone(event: &mut Event, own: &Move) {
    for line in &mut event.lines {
        line.qty = line.qty.map(|qty: Decimal| if own.is_increase { qty.abs() } else { -qty.abs() });
        line.stock_status_to.clone_from(&own.status);
        let place = if own.is_increase { &mut line.location_to } else { &mut line.location_from };
        place.clone_from(&own.place);
    }
}

impl Draft<'_, '_, '_> {
    /// Stock status of a disposition (EVENTS 3.3); the partner's table first.
    pub(super) fn stock_status(&self, code: &str) -> String {
        let word = code.rsplit(':').next().unwrap_or(code).to_lowercase();
        if let Some(own) = self.messages.parse.partner("stock_status", code) {
            return own.to_owned();
        }
        match word.as_str() {
            "" => String::new(),
            "sellable_accessible" | "available" => "available".to_owned(),
            "sellable_not_accessible" | "reserved" => "allocated".to_owned(),
            "damaged" | "non_sellable_damaged" => "damaged".to_owned(),
            "expired" | "non_sellable_expired" => "expired".to_owned(),
            "in_transit" => "in_transit".to_owned(),
            "non_sellable_quarantined"
            | "non_sellable_other"
            | "non_sellable_recalled"
            | "recalled"
            | "quarantined" => "hold".to_owned(),
            other => format!("other:{other}"),
        }
    }
}

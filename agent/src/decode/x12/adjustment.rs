//! 947 warehouse inventory adjustment advice: corrections, changes of status, and counts; one event for each `W19`.

use std::collections::BTreeMap;

use docksync_proto::event::{Event, EventType, Line, Reason, RefKind};
use rust_decimal::Decimal;

use super::{
    super::{message::doubt, reasons, trade::refer},
    codes::{self, ITEM_QUALIFIERS},
    header::{Header, begin},
    item::Places,
    segment::Segment,
    sheet::{Sheet, keep_others},
};

/// W19: 04 case code; 05/06, 07/08 and 17/18 item numbers; 09 lot; 16 transaction type (ASC X12 004010, segment W19).
const ITEM: Places<'_> = Places { upc: 4, pairs: &[5, 7, 17] };

/// Reasons that take stock away (EVENTS 3.1).
const DECREASES: &[&str] = &["06", "07", "AX", "04", "53"];
/// Reasons that add stock.
const INCREASES: &[&str] = &["56", "51", "54", "03"];

/// A line while it is read, with what decides about its event.
struct Entry {
    line: Line,
    /// W1916.
    kind: String,
    /// The document's own extensions and doubts about the line.
    event: Event,
}

/// Reads the document.
pub(super) fn read(sheet: &mut Sheet<'_, '_, '_, '_>, segments: &[Segment]) {
    let Some(w15) = begin(sheet, segments, "W15") else { return };
    let mut header = Header::new(sheet.event(EventType::InventoryAdjusted));
    start(sheet, &mut header, w15);
    let mut entries: Vec<Entry> = Vec::new();
    let reasons = reasons::x12();
    let has_signs = segments.iter().any(|segment| segment.id() == "W19" && segment.get(2).starts_with('-'));
    for segment in segments {
        match segment.id() {
            "ST" | "SE" | "W15" => {}
            "W19" => {
                let nth = entries.len() + 1;
                entries.extend(entry(sheet, segment, nth, &reasons, has_signs));
            }
            _ => match entries.last_mut() {
                None => header.take(sheet, segment),
                Some(entry) => {
                    if let Some(plate) = sheet.below(&mut entry.event, &mut entry.line, segment, 1) {
                        entry.line.container_ref = plate.id;
                    }
                }
            },
        }
    }
    let Header { event: mut head, sites, .. } = header;
    sheet.site(&mut head, &sites, &["WH", "SF", "ST"]);
    if entries.is_empty() && sheet.message.is_good() {
        sheet.fault(w15, 0, "MISSING_MANDATORY", "at least one line (W19)");
    }
    for entry in paired(entries) {
        let event = finish(&head, entry);
        sheet.message.events.push(event);
    }
}

fn start(sheet: &mut Sheet<'_, '_, '_, '_>, header: &mut Header, w15: &Segment) {
    let event = &mut header.event;
    sheet.must(w15, 1, "the day of the adjustment");
    sheet.time(event, w15, [1, 0, 0]);
    let number = if w15.has(2) { w15.get(2) } else { w15.get(3) };
    if number.is_empty() {
        sheet.fault(w15, 2, "MISSING_MANDATORY", "the number of the adjustment");
    }
    number.clone_into(&mut event.correlation_id);
    refer(&mut event.references, RefKind::Adjustment, w15.get(2));
    refer(&mut event.references, RefKind::Adjustment, w15.get(3));
    sheet.action(event, w15, 6);
    if w15.has(4) {
        sheet.purpose(event, w15, 4, true);
    }
    keep_others(event, w15, &[1, 2, 3, 4, 6], 1);
}

fn entry(
    sheet: &mut Sheet<'_, '_, '_, '_>,
    w19: &Segment,
    nth: usize,
    reasons: &BTreeMap<String, String>,
    has_signs: bool,
) -> Option<Entry> {
    if ITEM_QUALIFIERS.contains(&w19.get(4)) {
        sheet.fault(w19, 4, "ELEMENT_SHIFT", "a case code; a qualifier belongs into W1905");
        return None;
    }
    let mut event = sheet.event(EventType::InventoryAdjusted);
    let mut line = Line { line_no: nth.to_string(), ..Line::default() };
    let code = sheet.must(w19, 1, "the reason of the adjustment").to_owned();
    let qty = sheet.must_quantity(w19, 2);
    line.qty = qty;
    sheet.unit(&mut event, &mut line, w19, 3);
    w19.get(9).clone_into(&mut line.lot);
    sheet.item(&mut event, &mut line, w19, &ITEM, 1);
    sheet.weight(&mut event, &mut line, w19, 10, 1);
    let mut used = ITEM.used();
    used.extend([1, 2, 3, 9, 10, 11, 12, 16]);
    keep_others(&mut event, w19, &used, 1);
    let partner = sheet.messages.parse.partner("reason", &code).map(str::to_owned);
    line.qty = qty.map(|qty| sign(sheet, &mut event, &code, partner.as_deref(), qty, has_signs));
    line.reason.source_code.clone_from(&code);
    line.reason.code = match (partner, code.as_str()) {
        (Some(word), _) => word,
        (None, "AA") if line.qty.is_some_and(|qty| qty < Decimal::ZERO) => "count_loss".to_owned(),
        (None, "AA") => "count_gain".to_owned(),
        (None, code) => reasons.get(code).cloned().unwrap_or_else(|| {
            let words = format!("`{code}` is no known reason; the feed's table `reason` can name it");
            doubt(&mut event, "UNKNOWN_REASON", "W1901", words);
            "other".to_owned()
        }),
    };
    Some(Entry { line, kind: w19.get(16).to_owned(), event })
}

/// The sign as it was sent, or that of the reason where the feed says so and the sender writes none at all.
fn sign(
    sheet: &Sheet<'_, '_, '_, '_>,
    event: &mut Event,
    code: &str,
    partner: Option<&str>,
    qty: Decimal,
    has_signs: bool,
) -> Decimal {
    let is_loss = DECREASES.contains(&code) || matches!(partner, Some("count_loss" | "damage" | "expired"));
    if !has_signs && is_loss && sheet.messages.parse.first("w19_sign") == Some("by_reason") {
        return -qty;
    }
    let is_odd = (is_loss && qty > Decimal::ZERO) || (INCREASES.contains(&code) && qty < Decimal::ZERO);
    if is_odd {
        doubt(event, "SIGN_MISMATCH", "W1902", format!("{qty} has another sign than the reason `{code}`"));
    }
    qty
}

/// Two lines of one item, as much from one kind of stock as to another, are one change of status (EVENTS 4.5).
fn paired(entries: Vec<Entry>) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    for mut entry in entries {
        let is_pair = |known: &Entry| {
            known.line.item.sku == entry.line.item.sku
                && known.line.lot == entry.line.lot
                && known.line.uom == entry.line.uom
                && known.kind != entry.kind
                && !known.kind.is_empty()
                && !entry.kind.is_empty()
                && known.line.stock_status_to.is_empty()
                && known.line.qty.zip(entry.line.qty).is_some_and(|(a, b)| a == -b && !a.is_zero())
        };
        let Some(at) = all.iter().position(is_pair) else {
            all.push(entry);
            continue;
        };
        let Some(known) = all.get_mut(at) else { continue };
        let is_from = known.line.qty.is_some_and(|qty| qty < Decimal::ZERO);
        let (from, to) = if is_from { (&known.kind, &entry.kind) } else { (&entry.kind, &known.kind) };
        let (from, to) = (stock_word(from), stock_word(to));
        known.line.qty = known.line.qty.map(|qty| qty.abs());
        (known.line.stock_status_from, known.line.stock_status_to) = (from, to);
        known.event.warnings.append(&mut entry.event.warnings);
        for (key, value) in &entry.event.extensions {
            super::super::trade::keep(&mut known.event, key, value);
        }
    }
    all
}

fn stock_word(kind: &str) -> String {
    codes::transaction_status(kind).map_or_else(|| format!("other:{kind}"), str::to_owned)
}

/// The event of a line: which kind it is follows from reason and transaction type.
fn finish(head: &Event, entry: Entry) -> Event {
    let Entry { mut line, kind, event: own } = entry;
    let mut event = head.clone();
    event.warnings.extend(own.warnings);
    for (key, value) in &own.extensions {
        super::super::trade::keep(&mut event, key, value);
    }
    if !kind.is_empty() {
        super::super::trade::keep(&mut event, "x12:W1916", &kind);
    }
    let Reason { source_code: code, .. } = &line.reason;
    if !line.stock_status_to.is_empty() {
        event.event_type = EventType::InventoryStatusChanged;
    } else if let Some((from, to)) = codes::status_move(code) {
        event.event_type = EventType::InventoryStatusChanged;
        move_status(&mut event, &mut line, from, to);
    } else if code == "AA" || kind == "PA" {
        event.event_type = EventType::CycleCountCompleted;
    } else if matches!(kind.as_str(), "QU" | "QI") {
        event.event_type = EventType::InventoryStatusChanged;
        let there = stock_word(&kind);
        let is_back = line.qty.is_some_and(|qty| qty < Decimal::ZERO);
        let (from, to) = if is_back { (there.as_str(), "available") } else { ("available", there.as_str()) };
        move_status(&mut event, &mut line, from, to);
    } else if let Some(status) = codes::transaction_status(&kind).filter(|status| *status != "available") {
        // The correction is one of that stock alone.
        status.clone_into(&mut line.stock_status_to);
    }
    event.lines.push(line);
    event
}

/// The reason says which way goods move; the quantity, how many.
fn move_status(event: &mut Event, line: &mut Line, from: &str, to: &str) {
    from.clone_into(&mut line.stock_status_from);
    to.clone_into(&mut line.stock_status_to);
    line.qty = line.qty.map(|qty| qty.abs());
    if to.starts_with("other:") {
        doubt(event, "UNKNOWN_STATUS", "W1901", "the document does not say which status the goods have now");
    }
}

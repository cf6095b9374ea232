//! What an event has to bring about in an ERP, in the ERP's own words. Pure.
//!
//! A fact is told as it is: a shipment by its lines, so that the ERP's order takes part. What corrects or withdraws a fact is told by
//! the difference that it makes to stock, as an adjustment of its own. A count is told by its difference too: at the moment at
//! which the ERP hears of it, its book differs from the warehouse's by what is still on the way.

use std::collections::{BTreeMap, BTreeSet};

use docksync_proto::{
    event::{Action, Event, EventType, Line, LineStatus, Reason},
    identity::traceparent,
};
use rust_decimal::Decimal;
use serde::Serialize;

use super::{
    super::Delivery,
    mapping::{self, Mapping, Unmapped},
};
use crate::ledger::effect::{StockKey, effect};

/// One document for an ERP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Document {
    /// Key of the effect, unique for ever.
    pub key: String,
    /// Identity of the event.
    pub event_id: String,
    /// What it is: `shipped`, `voided`, `received`, `returned`, `transferred`, `adjusted`, `counted`, `moved`, `picked`, `packed`.
    pub kind: &'static str,
    /// The ERP's warehouse.
    pub site: String,
    /// Day on which it happened, by the site's clock.
    pub date: String,
    /// Number by which the ERP knows the order, purchase or return.
    pub reference: Option<String>,
    /// The warehouse's own number.
    pub number: Option<String>,
    /// File and line that told it.
    pub source: String,
    /// W3C trace context.
    pub trace: String,
    /// What to do without a document of that reference.
    pub without_document: &'static str,
    /// Its lines.
    pub lines: Vec<DocumentLine>,
}

/// One line of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentLine {
    /// The ERP's item.
    pub product: String,
    /// Decimal; signed for adjustments and counts.
    pub quantity: String,
    /// The ERP's unit; `None` is the item's own.
    pub unit: Option<String>,
    /// Lot.
    pub lot: Option<String>,
    /// Location below the warehouse; `None` is where available stock lies.
    pub location: Option<String>,
    /// Where it went.
    pub to_location: Option<String>,
    /// Line of the order.
    pub line: Option<String>,
    /// What becomes of what is short: `backorder`, `cancel`.
    pub short: Option<&'static str>,
    /// Container that holds it.
    pub container: Option<String>,
    /// Where the ERP books what was found or lost; `None` is where it always does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// The document for a delivery; `None` where the ERP need not hear of it.
///
/// # Errors
/// [`Unmapped`] names what the configuration lacks.
pub fn document(delivery: &Delivery, mapping: &Mapping) -> Result<Option<Document>, Unmapped> {
    let event = &delivery.event;
    if !mapping.events.contains(&event.event_type) {
        return Ok(None);
    }
    let warehouse = mapping.warehouse(event.site_id.as_str())?;
    // A correction's key is not the id of its fact.
    let is_correction = delivery.key.len() > 36;
    let is_void = event.action == Action::Void && event.event_type != EventType::ShipmentVoided;
    let (kind, lines) = match event.event_type {
        _ if is_correction => ("adjusted", corrected(delivery, mapping, &warehouse)?),
        EventType::ShipmentVoided => ("voided", goods(event, mapping, &warehouse)?),
        EventType::ShipmentConfirmed if is_void => ("voided", goods(event, mapping, &warehouse)?),
        _ if is_void => ("adjusted", adjusted(delivery, mapping, &warehouse)?),
        EventType::ShipmentConfirmed => ("shipped", goods(event, mapping, &warehouse)?),
        EventType::TransferShipped => ("transferred", transfer(event, mapping, &warehouse)?),
        EventType::ReceiptConfirmed => ("received", received(event, mapping, &warehouse)?),
        EventType::ReturnReceived => ("returned", received(event, mapping, &warehouse)?),
        EventType::InventoryAdjusted => ("adjusted", adjusted(delivery, mapping, &warehouse)?),
        EventType::CycleCountCompleted => ("counted", adjusted(delivery, mapping, &warehouse)?),
        EventType::InventoryStatusChanged => ("moved", moved(event, mapping, &warehouse)?),
        EventType::PickConfirmed => ("picked", goods(event, mapping, &warehouse)?),
        EventType::CartonPacked => ("packed", contents(event, mapping)?),
        _ => return Ok(None),
    };
    if lines.is_empty() {
        return Ok(None);
    }
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(Some(Document {
        key: delivery.key.clone(),
        event_id: delivery.id.to_string(),
        kind,
        site: warehouse,
        date: day(event),
        reference: some(mapping::reference(event)),
        number: some(mapping::number(event)),
        source: format!("{} line {}", event.source.file_name, event.source.line_no),
        trace: traceparent(event, delivery.id),
        without_document: mapping.without_document.as_str(),
        lines,
    }))
}

/// The day in the warehouse.
fn day(event: &Event) -> String {
    let offset = jiff::tz::Offset::from_seconds(event.time.offset_secs).unwrap_or(jiff::tz::Offset::UTC);
    offset.to_datetime(event.time.at).date().to_string()
}

fn line(line: &Line, quantity: Decimal, mapping: &Mapping) -> Result<DocumentLine, Unmapped> {
    let (quantity, unit) = mapping.quantity(quantity, &line.uom)?;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(DocumentLine {
        product: mapping.item(&line.item.sku).to_owned(),
        quantity: quantity.to_string(),
        unit,
        lot: some(&line.lot),
        location: None,
        to_location: None,
        line: some(if line.source_line_no.is_empty() { &line.line_no } else { &line.source_line_no }),
        short: None,
        container: some(&line.container_ref),
        account: None,
    })
}

/// Goods that left, or were taken for leaving. A line of which nothing went still says what becomes of the rest.
fn goods(event: &Event, mapping: &Mapping, warehouse: &str) -> Result<Vec<DocumentLine>, Unmapped> {
    let each = |of: &Line| {
        let quantity = of.qty_shipped.or(of.qty)?;
        Some(line(of, quantity, mapping).and_then(|made| {
            let location = mapping.location(&of.stock_status_from, warehouse)?;
            let short = match of.status_code {
                Some(LineStatus::ShortNoBackorder | LineStatus::Cancelled) => Some("cancel"),
                Some(LineStatus::ShortBackordered) => Some("backorder"),
                Some(LineStatus::Complete | LineStatus::Substituted | LineStatus::Other) | None => None,
            };
            Ok(DocumentLine { location, short, ..made })
        }))
    };
    event.lines.iter().filter_map(each).collect()
}

fn transfer(event: &Event, mapping: &Mapping, warehouse: &str) -> Result<Vec<DocumentLine>, Unmapped> {
    let to = event.parties.iter().find(|p| p.role == docksync_proto::event::PartyRole::ShipTo).map(|p| p.id.as_str());
    // Only a site of ours is a warehouse of the ERP; without one the goods go to wherever the ERP keeps what it cannot place.
    let to = to.filter(|id| !id.is_empty() && (mapping.sites.is_empty() || mapping.sites.contains_key(*id)));
    let to = to.map(|id| mapping.warehouse(id)).transpose()?;
    let lines = goods(event, mapping, warehouse)?;
    Ok(lines.into_iter().map(|line| DocumentLine { to_location: to.clone(), short: None, ..line }).collect())
}

/// Goods that came: what is damaged of them goes to its own location.
fn received(event: &Event, mapping: &Mapping, warehouse: &str) -> Result<Vec<DocumentLine>, Unmapped> {
    let mut lines = Vec::with_capacity(event.lines.len());
    for of in &event.lines {
        let Some(received) = of.qty_received.or(of.qty) else { continue };
        let damaged = of.qty_damaged.unwrap_or(Decimal::ZERO);
        if !damaged.is_zero() {
            let to_location = mapping.location("damaged", warehouse)?;
            lines.push(DocumentLine { to_location, ..line(of, damaged, mapping)? });
        }
        if received != damaged {
            let to_location = mapping.location(&of.stock_status_to, warehouse)?;
            lines.push(DocumentLine { to_location, ..line(of, received - damaged, mapping)? });
        }
    }
    Ok(lines)
}

fn moved(event: &Event, mapping: &Mapping, warehouse: &str) -> Result<Vec<DocumentLine>, Unmapped> {
    let each = |of: &Line| {
        let quantity = of.qty?;
        Some(line(of, quantity, mapping).and_then(|made| {
            let location = mapping.location(&of.stock_status_from, warehouse)?;
            let to_location = mapping.location(&of.stock_status_to, warehouse)?;
            Ok(DocumentLine { location, to_location, ..made })
        }))
    };
    let lines: Vec<DocumentLine> = event.lines.iter().filter_map(each).collect::<Result<_, _>>()?;
    // Two statuses that lie in one place there are no move.
    Ok(lines.into_iter().filter(|line| line.location != line.to_location).collect())
}

fn contents(event: &Event, mapping: &Mapping) -> Result<Vec<DocumentLine>, Unmapped> {
    let mut lines = Vec::new();
    for container in &event.containers {
        let id = if container.container_id.is_empty() { &container.sscc } else { &container.container_id };
        for content in &container.contents {
            let Some(quantity) = content.qty else { continue };
            let of = Line {
                line_no: content.line_no.clone(),
                uom: content.uom.clone(),
                lot: content.lot.clone(),
                container_ref: id.clone(),
                item: docksync_proto::event::Item { sku: content.sku.clone(), ..Default::default() },
                ..Line::default()
            };
            lines.push(line(&of, quantity, mapping)?);
        }
    }
    Ok(lines)
}

/// What an adjustment or a count changes: for each account, by the reasons of the lines, one line for each balance.
fn adjusted(delivery: &Delivery, mapping: &Mapping, warehouse: &str) -> Result<Vec<DocumentLine>, Unmapped> {
    if mapping.reasons.is_empty() {
        return differences(delivery, &delivery.stock, None, mapping, warehouse);
    }
    let mut by_account: BTreeMap<Option<String>, Vec<Line>> = BTreeMap::new();
    for line in &delivery.event.lines {
        by_account.entry(mapping.account(&line.reason)?).or_default().push(line.clone());
    }
    let mut made = Vec::new();
    for (account, lines) in by_account {
        let part = Event { lines, ..delivery.event.clone() };
        made.extend(differences(delivery, &effect(&part, None), account.as_deref(), mapping, warehouse)?);
    }
    Ok(made)
}

/// What a correction changes. Its difference is that of two versions: it has one account, or a person must say which.
fn corrected(delivery: &Delivery, mapping: &Mapping, warehouse: &str) -> Result<Vec<DocumentLine>, Unmapped> {
    let is_about_stock =
        matches!(delivery.event.event_type, EventType::InventoryAdjusted | EventType::CycleCountCompleted);
    let accounts: BTreeSet<Option<String>> = match is_about_stock {
        true => delivery.event.lines.iter().map(|line| mapping.account(&line.reason)).collect::<Result<_, _>>()?,
        false => BTreeSet::from([mapping.account(&Reason::default()).unwrap_or_default()]),
    };
    if accounts.len() > 1 {
        let reason = "the correction has lines with several reasons, and its difference cannot be told apart: edit it"
            .to_owned();
        return Err(Unmapped { code: "AMBIGUOUS_REASON", reason });
    }
    let account = accounts.into_iter().next().flatten();
    differences(delivery, &delivery.stock, account.as_deref(), mapping, warehouse)
}

/// Changes of stock, one line for each balance.
fn differences(
    delivery: &Delivery,
    stock: &BTreeMap<StockKey, i64>,
    account: Option<&str>,
    mapping: &Mapping,
    warehouse: &str,
) -> Result<Vec<DocumentLine>, Unmapped> {
    let of_sku = |sku: &str| delivery.event.lines.iter().find(|line| line.item.sku == sku);
    let each = |((sku, lot, status), micros): (&StockKey, &i64)| {
        let uom = of_sku(sku).map_or("", |line| line.uom.as_str());
        let (quantity, unit) = mapping.quantity(Decimal::new(*micros, 6), uom)?;
        Ok(DocumentLine {
            product: mapping.item(sku).to_owned(),
            quantity: quantity.to_string(),
            unit,
            lot: (!lot.is_empty()).then(|| lot.clone()),
            location: mapping.location(status, warehouse)?,
            to_location: None,
            line: None,
            short: None,
            container: None,
            account: account.map(str::to_owned),
        })
    };
    stock.iter().map(each).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use docksync_proto::{
        event::{EventTime, Item, RefKind, Reference},
        site::SiteId,
    };
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::{
        consumers::erp::mapping::{Unit, WithoutDocument},
        ledger::Loc,
    };

    fn event(event_type: EventType, lines: Vec<Line>) -> Event {
        let site = SiteId::new("DC01").unwrap();
        let mut time = EventTime::utc("2026-11-23T02:30:00Z".parse().unwrap());
        time.offset_secs = -6 * 3600;
        let mut event = Event::new(event_type, site, time, Timestamp::UNIX_EPOCH);
        event.references.push(Reference { kind: RefKind::So, value: "WEB-1".to_owned(), date: None });
        event.lines = lines;
        event
    }

    fn piece(sku: &str) -> Line {
        Line { item: Item { sku: sku.to_owned(), ..Item::default() }, uom: "EA".to_owned(), ..Line::default() }
    }

    fn delivery(event: Event, correction: bool) -> Delivery {
        let id = Uuid::from_u128(7);
        let key = if correction { format!("{id}.00ff") } else { id.to_string() };
        let stock = effect(&event, None);
        Delivery { site: event.site_id.clone(), loc: Loc::new(1, 0), epoch: 1, seq: 1, id, key, event, stock }
    }

    fn mapping() -> Mapping {
        Mapping {
            sites: BTreeMap::from([("DC01".to_owned(), "MEM".to_owned())]),
            items: BTreeMap::from([("A-1".to_owned(), "9001".to_owned())]),
            units: BTreeMap::from([("CA".to_owned(), Unit { symbol: "u".to_owned(), factor: 12.into() })]),
            statuses: BTreeMap::from([("damaged".to_owned(), "{warehouse}-DMG".to_owned())]),
            without_document: WithoutDocument::Refuse,
            ..Mapping::default()
        }
    }

    #[test]
    fn a_shipment_is_told_by_its_lines_in_the_words_of_the_erp() {
        let short = Line {
            qty_shipped: Some(2.into()),
            uom: "CA".to_owned(),
            status_code: Some(LineStatus::ShortNoBackorder),
            ..piece("A-1")
        };

        let told = document(&delivery(event(EventType::ShipmentConfirmed, vec![short]), false), &mapping()).unwrap();

        let told = told.unwrap();
        assert_eq!((told.kind, told.site.as_str(), told.reference.as_deref()), ("shipped", "MEM", Some("WEB-1")));
        // Half past two in the morning, UTC, is the evening before in Memphis.
        assert_eq!(told.date, "2026-11-22");
        let line = &told.lines[0];
        assert_eq!((line.product.as_str(), line.quantity.as_str(), line.unit.as_deref()), ("9001", "24", Some("u")));
        assert_eq!(line.short, Some("cancel"));
    }

    #[test]
    fn the_damaged_part_of_a_receipt_goes_to_its_own_location() {
        let line = Line { qty_received: Some(10.into()), qty_damaged: Some(3.into()), ..piece("B") };

        let told = document(&delivery(event(EventType::ReceiptConfirmed, vec![line]), false), &mapping()).unwrap();

        let lines = told.unwrap().lines;
        let parts: Vec<_> = lines.iter().map(|l| (l.quantity.as_str(), l.to_location.as_deref())).collect();
        assert_eq!(parts, [("3", Some("MEM-DMG")), ("7", None)]);
    }

    #[test]
    fn counts_and_corrections_are_told_by_their_difference() {
        let counted = Line { qty_before: Some(10.into()), qty_after: Some(7.into()), ..piece("B") };
        let shipped = Line { qty_shipped: Some(4.into()), ..piece("B") };

        let count = document(&delivery(event(EventType::CycleCountCompleted, vec![counted]), false), &mapping());
        let correction = document(&delivery(event(EventType::ShipmentConfirmed, vec![shipped]), true), &mapping());

        let told = |d: Result<Option<Document>, Unmapped>| {
            let d = d.unwrap().unwrap();
            (d.kind, d.lines[0].quantity.clone())
        };
        assert_eq!(told(count), ("counted", "-3".to_owned()));
        assert_eq!(told(correction), ("adjusted", "-4".to_owned()));
    }

    #[test]
    fn what_no_mapping_names_is_said_with_the_table_to_add_it_to() {
        let line = Line { qty: Some(1.into()), uom: "PL".to_owned(), ..piece("B") };
        let other_site = Mapping { sites: BTreeMap::from([("DC9".to_owned(), "X".to_owned())]), ..mapping() };
        let adjusted = || delivery(event(EventType::InventoryAdjusted, vec![line.clone()]), false);

        let unit = document(&adjusted(), &mapping()).unwrap_err();
        let site = document(&adjusted(), &other_site).unwrap_err();

        assert_eq!((unit.code, site.code), ("UNMAPPED_UNIT", "UNMAPPED_SITE"));
        assert!(unit.reason.contains("`PL`") && unit.reason.contains("[consumer.units]"), "{}", unit.reason);
        assert!(site.reason.contains("`DC01`") && site.reason.contains("[consumer.sites]"), "{}", site.reason);
    }

    #[test]
    fn what_was_lost_goes_to_the_account_of_its_reason() {
        let lost = |quantity: i64, code: &str| Line {
            qty: Some(quantity.into()),
            reason: Reason { code: code.to_owned(), source_code: "DMG7".to_owned(), ..Reason::default() },
            ..piece("B")
        };
        let reasons = BTreeMap::from([
            ("damage".to_owned(), "6100".to_owned()),
            ("sample".to_owned(), "6200".to_owned()),
            ("DMG7".to_owned(), "6300".to_owned()),
        ]);
        let with = |reasons: &BTreeMap<String, String>| Mapping { reasons: reasons.clone(), ..mapping() };
        let told = |lines: Vec<Line>, mapping: &Mapping, correction| {
            let made = document(&delivery(event(EventType::InventoryAdjusted, lines), correction), mapping);
            made.map(|d| d.unwrap().lines.into_iter().map(|l| (l.quantity, l.account)).collect::<Vec<_>>())
        };
        let line = |quantity: &str, account: &str| (quantity.to_owned(), Some(account.to_owned()));

        // The source's own code says more than what it was translated to.
        let by_source = told(vec![lost(-2, "damage")], &with(&reasons), false).unwrap();
        assert_eq!(by_source, [line("-2", "6300")]);
        let canonical = BTreeMap::from_iter(reasons.into_iter().filter(|(code, _)| code != "DMG7"));
        let both = vec![lost(-2, "damage"), lost(-3, "sample"), lost(1, "damage")];
        assert_eq!(told(both.clone(), &with(&canonical), false).unwrap(), [line("-1", "6100"), line("-3", "6200")]);
        assert_eq!(told(both, &with(&canonical), true).unwrap_err().code, "AMBIGUOUS_REASON");
        let unknown = told(vec![lost(-1, "expired")], &with(&canonical), false).unwrap_err();
        assert_eq!(unknown.code, "UNMAPPED_REASON");
        assert!(unknown.reason.contains("`DMG7`"), "{}", unknown.reason);
        let rest = BTreeMap::from([("*".to_owned(), "6999".to_owned())]);
        assert_eq!(told(vec![lost(-1, "expired")], &with(&rest), false).unwrap(), [line("-1", "6999")]);
        assert_eq!(told(vec![lost(-1, "expired")], &mapping(), false).unwrap(), [("-1".to_owned(), None)]);
    }

    #[test]
    fn an_erp_hears_only_of_what_matters_to_it() {
        let pick = Line { qty: Some(1.into()), ..piece("B") };

        let told = document(&delivery(event(EventType::PickConfirmed, vec![pick]), false), &mapping()).unwrap();

        assert_eq!(told, None);
    }
}

//! The words of the sites in the words of an ERP: warehouses, items, units, stock statuses, references. Pure.

use std::collections::{BTreeMap, BTreeSet};

use docksync_proto::event::{Event, EventType, Reason, RefKind};
use rust_decimal::Decimal;

use super::super::Outcome;

/// Stands for the ERP's warehouse in the name of a location.
const WAREHOUSE: &str = "{warehouse}";

/// Stands for every reason that is not named.
const ANY: &str = "*";

/// A unit of the ERP, and how many of it one of ours makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its symbol there.
    pub symbol: String,
    /// Ours in theirs: 12 where a case holds twelve.
    pub factor: Decimal,
}

/// What an ERP is told when it has no document for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutDocument {
    /// The event waits for a person.
    Refuse,
    /// The goods move all the same, without order or purchase.
    Move,
}

impl WithoutDocument {
    /// The word in configuration and calls.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Move => "move",
        }
    }
}

/// How sites and events are told to an ERP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Types of events that matter to it; others pass without a call.
    pub events: BTreeSet<EventType>,
    /// Its warehouse for each site; empty where both have the same names.
    pub sites: BTreeMap<String, String>,
    /// Its item for each of ours, where they differ.
    pub items: BTreeMap<String, String>,
    /// Its unit for each of ours. Pieces need none: they are its item's own unit.
    pub units: BTreeMap<String, Unit>,
    /// Its location for each stock status but available; `{warehouse}` is replaced.
    pub statuses: BTreeMap<String, String>,
    /// Where the ERP books what was found or lost, by the source's code of the reason or the canonical one; `*` is for all others. Empty
    /// where it books all in one place.
    pub reasons: BTreeMap<String, String>,
    /// What happens where it has no document.
    pub without_document: WithoutDocument,
}

/// Types of events that move stock in an ERP.
pub const STOCK_EVENTS: [EventType; 8] = [
    EventType::ShipmentConfirmed,
    EventType::ShipmentVoided,
    EventType::TransferShipped,
    EventType::ReceiptConfirmed,
    EventType::ReturnReceived,
    EventType::InventoryAdjusted,
    EventType::InventoryStatusChanged,
    EventType::CycleCountCompleted,
];

/// Types of events that an ERP can follow a shipment by before it leaves.
pub const STEP_EVENTS: [EventType; 2] = [EventType::PickConfirmed, EventType::CartonPacked];

impl Default for Mapping {
    fn default() -> Self {
        Self {
            events: STOCK_EVENTS.into(),
            sites: BTreeMap::new(),
            items: BTreeMap::new(),
            units: BTreeMap::new(),
            statuses: BTreeMap::new(),
            reasons: BTreeMap::new(),
            without_document: WithoutDocument::Refuse,
        }
    }
}

/// Something that the configuration does not name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmapped {
    /// Stable code.
    pub code: &'static str,
    /// What is missing, and where to add it.
    pub reason: String,
}

impl From<Unmapped> for Outcome {
    fn from(unmapped: Unmapped) -> Self {
        Self::Rejected { code: unmapped.code.to_owned(), reason: unmapped.reason }
    }
}

impl Mapping {
    /// The ERP's warehouse for a site.
    ///
    /// # Errors
    /// [`Unmapped`].
    pub fn warehouse(&self, site: &str) -> Result<String, Unmapped> {
        if self.sites.is_empty() {
            return Ok(site.to_owned());
        }
        self.sites.get(site).cloned().ok_or_else(|| missing("UNMAPPED_SITE", "warehouse for site", site, "sites"))
    }

    /// The ERP's item for one of ours.
    pub fn item<'m>(&'m self, sku: &'m str) -> &'m str {
        self.items.get(sku).map_or(sku, String::as_str)
    }

    /// The ERP's unit for one of ours, and the quantity in it; without a symbol it is the item's own.
    ///
    /// # Errors
    /// [`Unmapped`].
    pub fn quantity(&self, quantity: Decimal, uom: &str) -> Result<(Decimal, Option<String>), Unmapped> {
        match self.units.get(uom) {
            Some(unit) => {
                let whole = quantity.checked_mul(unit.factor).ok_or_else(|| Unmapped {
                    code: "UNMAPPED_UNIT",
                    reason: format!("{quantity} {uom} are more than the ERP can be told"),
                })?;
                Ok((whole.normalize(), Some(unit.symbol.clone())))
            }
            None if uom.is_empty() || uom == "EA" => Ok((quantity.normalize(), None)),
            None => Err(missing("UNMAPPED_UNIT", "unit for", uom, "units")),
        }
    }

    /// Where the ERP books what was found or lost for this reason; `None` is where it always does.
    ///
    /// # Errors
    /// [`Unmapped`].
    pub fn account(&self, reason: &Reason) -> Result<Option<String>, Unmapped> {
        if self.reasons.is_empty() {
            return Ok(None);
        }
        let known =
            [reason.source_code.as_str(), &reason.code, ANY].into_iter().find_map(|code| self.reasons.get(code));
        let told = if reason.source_code.is_empty() { &reason.code } else { &reason.source_code };
        known.cloned().map(Some).ok_or_else(|| missing("UNMAPPED_REASON", "account for reason", told, "reasons"))
    }

    /// The ERP's location for a stock status; `None` is where its available stock lies.
    ///
    /// # Errors
    /// [`Unmapped`].
    pub fn location(&self, status: &str, warehouse: &str) -> Result<Option<String>, Unmapped> {
        if status.is_empty() || status == "available" {
            return Ok(None);
        }
        let known = self.statuses.get(status).map(|name| name.replace(WAREHOUSE, warehouse));
        known.map(Some).ok_or_else(|| missing("UNMAPPED_STATUS", "location for stock status", status, "statuses"))
    }
}

fn missing(code: &'static str, what: &str, found: &str, table: &str) -> Unmapped {
    Unmapped {
        code,
        reason: format!("the configuration names no {what} `{found}`: add it to [consumer.{table}], then restart"),
    }
}

/// The number by which the ERP knows the document that an event is about; empty where it names none.
pub fn reference(event: &Event) -> &str {
    let kinds: &[RefKind] = match event.event_type {
        EventType::ReceiptConfirmed => &[RefKind::Po, RefKind::Transfer, RefKind::Desadv],
        EventType::ReturnReceived => &[RefKind::Rma, RefKind::So],
        EventType::TransferShipped => &[RefKind::Transfer],
        _ => &[RefKind::So, RefKind::DepositorOrder, RefKind::CustomerOrder],
    };
    kinds.iter().map(|kind| event.reference(*kind)).find(|value| !value.is_empty()).unwrap_or(&event.correlation_id)
}

/// The warehouse's own number of the document; empty where it has none.
pub fn number(event: &Event) -> &str {
    const KINDS: [RefKind; 7] = [
        RefKind::Shipment,
        RefKind::Receipt,
        RefKind::Adjustment,
        RefKind::Count,
        RefKind::Bol,
        RefKind::Transfer,
        RefKind::Transaction,
    ];
    KINDS.iter().map(|kind| event.reference(*kind)).find(|value| !value.is_empty()).unwrap_or("")
}

//! The canonical event: one warehouse fact, as every room and every site understands it.
//!
//! Field names are those of the contract `docksync.event.v1`. Conventions: an empty text is an absent one, quantities are
//! decimals of at most 19 digits with 6 behind the point, identifiers keep the text that was sent. The order of lines and
//! references is the order of the source.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{site::SiteId, words::words};

/// Name of the contract; its major version takes part in every event id.
pub const SCHEMA: &str = "docksync.event.v1";

/// Extension of the event that ends a file with statements of stock; its value is how many lines of the file were held.
pub const STATEMENT_END: &str = "docksync:end";

words! {
    /// What happened. The steps are those of GS1 CBV 2.0 where it has one.
    EventType {
        /// A channel or the ERP asks for goods.
        OrderSubmitted = 1 "order_submitted",
        /// The supplier or warehouse answered an order.
        OrderAcknowledged = 2 "order_acknowledged",
        /// Goods were taken from a location for an order.
        PickConfirmed = 3 "pick_confirmed",
        /// Goods were closed into a carton, tote or pallet.
        CartonPacked = 4 "carton_packed",
        /// A carrier manifest or bill of lading was made.
        ShipmentManifested = 5 "shipment_manifested",
        /// Goods left the site; the ERP issues the quantity shipped.
        ShipmentConfirmed = 6 "shipment_confirmed",
        /// A confirmed shipment is taken back.
        ShipmentVoided = 7 "shipment_voided",
        /// Goods left for another site of ours.
        TransferShipped = 8 "transfer_shipped",
        /// A delivery to this site was announced.
        ReceiptExpected = 9 "receipt_expected",
        /// Goods arrived and were counted in.
        ReceiptConfirmed = 10 "receipt_confirmed",
        /// Goods came back from a customer.
        ReturnReceived = 11 "return_received",
        /// Stock was corrected by a signed quantity.
        InventoryAdjusted = 12 "inventory_adjusted",
        /// Stock moved between statuses (held, released, damaged).
        InventoryStatusChanged = 13 "inventory_status_changed",
        /// A location was counted.
        CycleCountCompleted = 14 "cycle_count_completed",
        /// The warehouse system's own statement of its stock.
        InventorySnapshot = 15 "inventory_snapshot",
        /// Stock moved between locations of one site.
        InventoryTransferred = 16 "inventory_transferred",
        /// A pick location asked to be filled.
        ReplenishmentTriggered = 17 "replenishment_triggered",
        /// The warehouse reports that something is not as it should be.
        ExceptionRaised = 18 "exception_raised",
        /// A partner acknowledged a document of ours.
        DocumentAcknowledged = 19 "document_acknowledged",
        /// A business step without effect on stock, kept for those who read EPCIS.
        EpcisOther = 20 "epcis_other",
    }
}

words! {
    /// What the document says about itself: a new fact, a replacement, or a withdrawal.
    Action {
        /// A new fact.
        Add = 1 "add",
        /// Replaces an earlier statement of the same fact; declared by the document.
        Change = 2 "change",
        /// Withdraws an earlier statement.
        Void = 3 "void",
    }
}

words! {
    /// How exact an event time is.
    Precision {
        /// Seconds or better.
        Instant = 1 "instant",
        /// Minutes.
        Minute = 2 "minute",
        /// A calendar day of the site.
        Date = 3 "date",
    }
}

words! {
    /// What a reference number names (CBV business transaction types, X12 qualifiers, and the warehouse's own).
    RefKind {
        /// Purchase order.
        Po = 1 "po",
        /// Sales order.
        So = 2 "so",
        /// Despatch advice, advance ship notice.
        Desadv = 3 "desadv",
        /// Receiving advice.
        Recadv = 4 "recadv",
        /// Bill of lading.
        Bol = 5 "bol",
        /// Return authorisation.
        Rma = 6 "rma",
        /// Invoice.
        Inv = 7 "inv",
        /// Production order.
        Prodorder = 8 "prodorder",
        /// The depositor's order number at the warehouse (X12 W0502, W0602).
        DepositorOrder = 9 "depositor_order",
        /// Shipment number.
        Shipment = 10 "shipment",
        /// Warehouse receipt number.
        Receipt = 11 "receipt",
        /// Adjustment number.
        Adjustment = 12 "adjustment",
        /// Carrier's progressive number.
        Pro = 13 "pro",
        /// Load number.
        Load = 14 "load",
        /// Dock appointment.
        Appointment = 15 "appointment",
        /// Seal number.
        Seal = 16 "seal",
        /// Trailer number.
        Trailer = 17 "trailer",
        /// The customer's own order number.
        CustomerOrder = 18 "customer_order",
        /// Store number.
        Store = 19 "store",
        /// Department number.
        Department = 20 "department",
        /// Transaction number of the warehouse system: unique for one movement.
        Transaction = 21 "transaction",
        /// Carrier manifest or SCAN form.
        Manifest = 22 "manifest",
        /// Transfer order between sites.
        Transfer = 23 "transfer",
        /// Count document.
        Count = 24 "count",
        /// Report number of a stock statement.
        Report = 25 "report",
        /// Work task.
        Task = 26 "task",
        /// Parcel tracking number.
        Tracking = 27 "tracking",
        /// Number of a change to an order.
        OrderChange = 28 "order_change",
        /// Event id given by the source (EPCIS eventID).
        SourceEvent = 29 "source_event",
        /// Control numbers of a document of ours that is being answered.
        Subject = 30 "subject",
        /// Customer reference.
        Customer = 31 "customer",
        /// Master bill of lading.
        MasterBol = 32 "master_bol",
        /// Code of an exception.
        ExceptionCode = 33 "exception_code",
    }
}

words! {
    /// Who a party is in this event.
    PartyRole {
        /// Where goods leave.
        ShipFrom = 1 "ship_from",
        /// Where goods go.
        ShipTo = 2 "ship_to",
        /// The site itself.
        Warehouse = 3 "warehouse",
        /// Owner of the goods.
        Depositor = 4 "depositor",
        /// Who pays.
        BillTo = 5 "bill_to",
        /// Who carries.
        Carrier = 6 "carrier",
        /// Who supplied.
        Supplier = 7 "supplier",
        /// Who bought.
        Buyer = 8 "buyer",
    }
}

words! {
    /// What a container is.
    ContainerKind {
        /// Pallet.
        Pallet = 1 "pallet",
        /// Carton.
        Carton = 2 "carton",
        /// Tote.
        Tote = 3 "tote",
        /// Parcel.
        Parcel = 4 "parcel",
    }
}

words! {
    /// How a line of a shipment ended.
    LineStatus {
        /// As ordered.
        Complete = 1 "complete",
        /// Short, the rest is not coming.
        ShortNoBackorder = 2 "short_no_backorder",
        /// Short, the rest follows.
        ShortBackordered = 3 "short_backordered",
        /// Not shipped.
        Cancelled = 4 "cancelled",
        /// Another item was shipped.
        Substituted = 5 "substituted",
        /// Anything else; the source's code is kept beside it.
        Other = 6 "other",
    }
}

/// When something happened in the warehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTime {
    /// The resolved instant.
    pub at: Timestamp,
    /// Offset from UTC at that instant, in seconds east.
    pub offset_secs: i32,
    /// How exact the source was.
    pub precision: Precision,
    /// IANA zone or `+hh:mm` by which a local time was resolved.
    pub zone: String,
    /// The source's own text where it is not simply the local ISO 8601 form.
    pub text: String,
}

/// A number by which business partners know a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// What the number names.
    #[serde(rename = "type")]
    pub kind: RefKind,
    /// The number as sent.
    pub value: String,
    /// Date that belongs to the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Date>,
}

/// A company, place or carrier that takes part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Part that it plays.
    pub role: PartyRole,
    /// Its identifier as sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Scheme of the identifier (X12 element 66, GLN, SCAC).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id_scheme: String,
    /// Name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Address in one text, lines separated by `, `.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
}

/// Which goods a line is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Item {
    /// Our item number; every line has one.
    pub sku: String,
    /// GTIN, 14 digits with a valid check digit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gtin: String,
    /// The buyer's item number.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub buyer_item: String,
    /// The vendor's item number.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vendor_item: String,
    /// UPC of the case.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub upc_case: String,
    /// National drug code.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ndc: String,
    /// Description.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// A value with its unit, as a weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Amount in `unit`.
    pub value: Decimal,
    /// Unit code (`KG`, `LB`).
    pub unit: String,
}

/// Why stock was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reason {
    /// Canonical reason ([`crate::codes::REASONS`]).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The source's own code.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_code: String,
    /// The source's own words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
}

impl Reason {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One item of one event. Quantities are in `uom`; never converted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// Line number of the warehouse document.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub line_no: String,
    /// Line number of the host's order.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_line_no: String,
    /// Which goods.
    pub item: Item,
    /// The event's own quantity, signed for adjustments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qty: Option<Decimal>,
    /// Canonical unit of measure ([`crate::codes::canonical_uom`]).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uom: String,
    /// Ordered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qty_ordered: Option<Decimal>,
    /// Shipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qty_shipped: Option<Decimal>,
    /// Ordered less shipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qty_difference: Option<Decimal>,
    /// Received, damaged goods included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qty_received: Option<Decimal>,
    /// Of those received: damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qty_damaged: Option<Decimal>,
    /// Before a count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qty_before: Option<Decimal>,
    /// After a count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qty_after: Option<Decimal>,
    /// Lot or batch.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lot: String,
    /// Serial numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<String>,
    /// Production code.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub production_code: String,
    /// Last day of use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry_date: Option<Date>,
    /// Best before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_before_date: Option<Date>,
    /// Weight without packaging.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_weight: Option<Measure>,
    /// Weight with packaging.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gross_weight: Option<Measure>,
    /// How the line ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<LineStatus>,
    /// The source's own status code.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status_source: String,
    /// Stock status that the goods had, or have ([`crate::codes::STOCK_STATUSES`] or `other:<code>`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stock_status_from: String,
    /// Stock status that the goods have now.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stock_status_to: String,
    /// Why.
    #[serde(skip_serializing_if = "Reason::is_empty")]
    pub reason: Reason,
    /// Location that the goods left.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub location_from: String,
    /// Location that the goods came to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub location_to: String,
    /// `container_id` of the container that holds them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container_ref: String,
    /// Numbers that belong to this line alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
}

/// What lies in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Content {
    /// Line of the document.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub line_no: String,
    /// Item.
    pub sku: String,
    /// Quantity in `uom`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qty: Option<Decimal>,
    /// Unit of measure.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uom: String,
    /// Lot.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lot: String,
    /// Serial numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub serials: Vec<String>,
}

/// A pallet, carton, tote or parcel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Licence plate as printed.
    pub container_id: String,
    /// SSCC, 18 digits with a valid check digit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sscc: String,
    /// Container that holds this one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent_id: String,
    /// What it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ContainerKind>,
    /// Parcel tracking number.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tracking_no: String,
    /// Carrier, by its SCAC.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub carrier_scac: String,
    /// Carrier's service.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Weight with packaging.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<Measure>,
    /// Length x width x height with unit, as sent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dims: String,
    /// What lies in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contents: Vec<Content>,
}

/// Lossless but doubtful input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Stable code ([`crate::codes`]).
    pub code: String,
    /// Field that is doubted.
    pub path: String,
    /// In words.
    pub text: String,
}

/// Where an event was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// Name of the warehouse system.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// Format and profile (`csv:dc7-receipts`, `x12-945`).
    pub format: String,
    /// Feed that declares the folder.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub feed: String,
    /// File name, without its folder.
    pub file_name: String,
    /// SHA-256 of the file, lower-case hex.
    pub file_sha256: String,
    /// Size of the file in bytes.
    pub file_size: u64,
    /// Record within the file, from 1.
    pub record_ordinal: u64,
    /// Byte at which the record starts, from 0.
    pub byte_offset: u64,
    /// Line at which the record starts, from 1.
    pub line_no: u64,
}

/// EDI envelope of the document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interchange {
    /// Sender with qualifier.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sender: String,
    /// Receiver with qualifier.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub receiver: String,
    /// ISA13 or UNB05.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub control: String,
    /// GS06.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group_control: String,
    /// ST02 or UNH01.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub set_control: String,
    /// GS08 or UNH02.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// ISA15: `P` production, `T` test.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub usage: String,
}

impl Interchange {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One warehouse fact, immutable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub event_type: EventType,
    /// New, changed or withdrawn.
    pub action: Action,
    /// Distribution centre.
    pub site_id: SiteId,
    /// When it happened.
    #[serde(flatten)]
    pub time: EventTime,
    /// When the agent captured it.
    pub record_time: Timestamp,
    /// Order number if known, else shipment, receipt or adjustment: joins all events of one business act.
    pub correlation_id: String,
    /// Event that this one corrects, voids or answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// Tells equal facts of one document apart: 0 for the first, 1 for the second.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ordinal: u32,
    /// Set where the feed gives one event for each row of a document: then the line takes part in the event's identity.
    #[serde(default, skip_serializing_if = "is_false")]
    pub split: bool,
    /// Document numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// Parties.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parties: Vec<Party>,
    /// User of the warehouse system.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// Items.
    #[serde(default)]
    pub lines: Vec<Line>,
    /// Pallets, cartons, totes, parcels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Container>,
    /// What the source says beyond the contract; nothing is dropped.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, String>,
    /// Doubts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Where it was read.
    pub source: Source,
    /// EDI envelope.
    #[serde(default, skip_serializing_if = "Interchange::is_empty")]
    pub interchange: Interchange,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(b: &bool) -> bool {
    !*b
}

impl Event {
    /// An event with everything absent that may be absent.
    pub fn new(event_type: EventType, site_id: SiteId, time: EventTime, record_time: Timestamp) -> Self {
        Self {
            event_type,
            action: Action::Add,
            site_id,
            time,
            record_time,
            correlation_id: String::new(),
            causation_id: None,
            ordinal: 0,
            split: false,
            references: Vec::new(),
            parties: Vec::new(),
            operator: String::new(),
            lines: Vec::new(),
            containers: Vec::new(),
            extensions: BTreeMap::new(),
            warnings: Vec::new(),
            source: Source::default(),
            interchange: Interchange::default(),
        }
    }

    /// Value of the first reference of this kind, or an empty text.
    pub fn reference(&self, kind: RefKind) -> &str {
        self.references.iter().find(|r| r.kind == kind).map_or("", |r| r.value.as_str())
    }

    /// First party in this role.
    pub fn party(&self, role: PartyRole) -> Option<&Party> {
        self.parties.iter().find(|p| p.role == role)
    }
}

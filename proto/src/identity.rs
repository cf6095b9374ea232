//! Identity: the event id says which fact, the content hash says what is claimed of it, the chain says that nothing
//! between capture and ledger was lost, altered or put in another order.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    canonical::{self, PROVENANCE, Sink, Tag},
    event::{Event, EventType, RefKind},
    site::SiteId,
};

/// Name space of every event id (RFC 9562 section 5.5, version 5).
pub const NS_DOCKSYNC: Uuid = Uuid::from_u128(0x6b1f_6f0e_0c2d_5f3a_9c1e_d0c5_57ac_0001);

/// Major version of the contract, first part of every event id.
const SCHEMA_MAJOR: &str = "1";

/// Separates the parts of a name (ASCII unit separator): no identifier holds it.
const SEP: char = '\u{1f}';

/// 32 bytes of SHA-256.
pub type Hash = [u8; 32];

/// What is claimed of a fact, and everything that is sent of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256 of the business values alone: equal for a document that was sent again under new control numbers.
    pub content: Hash,
    /// SHA-256 of the content hash and the provenance.
    pub payload: Hash,
}

/// Canonical bytes of one event, reusable for the next.
#[derive(Debug, Default)]
pub struct Canonical {
    bytes: Vec<u8>,
    provenance_from: Option<usize>,
}

impl Canonical {
    /// Forgets the last event, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.provenance_from = None;
    }

    /// Bytes written since [`Canonical::clear`].
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written since [`Canonical::clear`].
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Hashes of what was written since [`Canonical::clear`].
    pub fn digests(&self) -> Digests {
        let (bytes, from) = self.parts();
        digests_of(bytes, from)
    }

    /// What was written since [`Canonical::clear`], and where in it the provenance begins.
    pub(crate) fn parts(&self) -> (&[u8], usize) {
        (&self.bytes, self.provenance_from.unwrap_or(self.bytes.len()))
    }

    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.bytes.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        self.bytes.push(n as u8);
    }

    fn zigzag(&mut self, n: i64) {
        self.varint(((n << 1) ^ (n >> 63)).cast_unsigned());
    }
}

impl Sink for Canonical {
    fn text(&mut self, tag: Tag, value: &str) {
        self.varint(u64::from(tag));
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    fn int(&mut self, tag: Tag, value: i64) {
        self.varint(u64::from(tag));
        self.zigzag(value);
    }

    fn dec(&mut self, tag: Tag, mantissa: i64, scale: u8) {
        self.varint(u64::from(tag));
        self.zigzag(mantissa);
        self.bytes.push(scale);
    }

    fn open(&mut self, tag: Tag) {
        if tag == PROVENANCE {
            self.provenance_from = Some(self.bytes.len());
        }
        self.varint(u64::from(tag));
    }
}

/// Hashes of canonical bytes whose provenance begins at `from`.
pub(crate) fn digests_of(bytes: &[u8], from: usize) -> Digests {
    let content: Hash = Sha256::digest(&bytes[..from]).into();
    let mut payload = Sha256::new();
    payload.update(content);
    payload.update(&bytes[from..]);
    Digests { content, payload: payload.finalize().into() }
}

/// Hashes of an event.
pub fn digests(event: &Event) -> Digests {
    let mut canonical = Canonical::default();
    canonical::walk(event, &mut canonical);
    canonical.digests()
}

/// Identity of the fact: what it is, not how it travelled.
///
/// UUID version 5 over contract version, site, type and the natural key of the type. The same fact in another file, under
/// other control numbers, read again after years, has the same id. A fact without any document identity is named by its
/// file's hash and its record.
pub fn event_id(event: &Event) -> Uuid {
    let mut name = String::with_capacity(160);
    spell(event, &mut name);
    named(&name)
}

/// Appends the name behind an [`event_id`]: equal for equal facts, and for no others.
pub fn spell(event: &Event, name: &mut String) {
    name.push_str(SCHEMA_MAJOR);
    part(name, event.site_id.as_str());
    part(name, event.event_type.as_str());
    natural_key(event, name);
    if event.ordinal != 0 {
        let written = write!(name, "{SEP}#{}", event.ordinal);
        debug_assert!(written.is_ok(), "writing to a String does not fail");
    }
}

/// The id that a name of [`spell`] gives.
pub fn named(name: &str) -> Uuid {
    let mut sha = Sha1::new();
    sha.update(NS_DOCKSYNC.as_bytes());
    sha.update(name.as_bytes());
    let digest: [u8; 20] = sha.finalize().into();
    let mut head = [0; 16];
    head.copy_from_slice(&digest[..16]);
    uuid::Builder::from_sha1_bytes(head).into_uuid()
}

fn part(name: &mut String, text: &str) {
    name.push(SEP);
    name.push_str(text);
}

/// Appends the natural key of the event's type; the table is EVENTS 1.2 and a contract.
fn natural_key(event: &Event, name: &mut String) {
    let source_event = event.reference(RefKind::SourceEvent);
    if !source_event.is_empty() {
        return part(name, source_event);
    }
    let known = match event.event_type {
        EventType::OrderSubmitted | EventType::OrderAcknowledged => order_key(event, name),
        EventType::PickConfirmed => pick_key(event, name),
        EventType::CartonPacked => carton_key(event, name),
        EventType::ShipmentManifested => manifest_key(event, name),
        EventType::ShipmentConfirmed | EventType::ShipmentVoided | EventType::TransferShipped => {
            shipment_key(event, name)
        }
        EventType::ReceiptExpected | EventType::ReceiptConfirmed => receipt_key(event, name),
        EventType::ReturnReceived => return_key(event, name),
        EventType::InventoryAdjusted => adjustment_key(event, name),
        EventType::InventoryStatusChanged | EventType::InventoryTransferred => movement_key(event, name),
        EventType::CycleCountCompleted => count_key(event, name),
        EventType::InventorySnapshot => snapshot_key(event, name),
        EventType::ReplenishmentTriggered => replenishment_key(event, name),
        EventType::ExceptionRaised => exception_key(event, name),
        EventType::DocumentAcknowledged => subject_key(event, name),
        EventType::EpcisOther => false,
    };
    if !known {
        part(name, &event.source.file_sha256);
        part(name, &event.source.record_ordinal.to_string());
    }
}

/// The first of these references that is there.
fn first<'e>(event: &'e Event, kinds: &[RefKind]) -> &'e str {
    kinds.iter().map(|kind| event.reference(*kind)).find(|value| !value.is_empty()).unwrap_or("")
}

fn time_part(event: &Event, name: &mut String) {
    let written = write!(name, "{SEP}{}", event.time.at.as_millisecond());
    debug_assert!(written.is_ok(), "writing to a String does not fail");
}

fn day_part(event: &Event, name: &mut String) {
    let written = write!(name, "{SEP}{}", event.time.local().date());
    debug_assert!(written.is_ok(), "writing to a String does not fail");
}

/// Which line, of which goods: enough to tell the lines of one document apart.
fn line_parts(event: &Event, name: &mut String) {
    for line in &event.lines {
        part(name, &line.line_no);
        part(name, &line.item.sku);
        part(name, &line.lot);
        part(name, &line.container_ref);
        line.serials.iter().for_each(|serial| part(name, serial));
    }
}

/// The row takes part in the identity where the feed gives one event for each row of a document.
fn split_parts(event: &Event, name: &mut String) {
    if event.split {
        line_parts(event, name);
    }
}

fn order_key(event: &Event, name: &mut String) -> bool {
    part(name, &event.interchange.sender);
    part(name, &event.correlation_id);
    part(name, event.reference(RefKind::OrderChange));
    split_parts(event, name);
    !event.correlation_id.is_empty()
}

fn pick_key(event: &Event, name: &mut String) -> bool {
    let transaction = event.reference(RefKind::Transaction);
    part(name, &event.correlation_id);
    line_parts(event, name);
    if transaction.is_empty() {
        time_part(event, name);
    } else {
        part(name, transaction);
    }
    !event.correlation_id.is_empty() || !transaction.is_empty()
}

fn carton_key(event: &Event, name: &mut String) -> bool {
    let carton = event.containers.first().map_or("", |c| if c.sscc.is_empty() { &c.container_id } else { &c.sscc });
    part(name, carton);
    part(name, first(event, &[RefKind::Shipment, RefKind::DepositorOrder, RefKind::Bol]));
    split_parts(event, name);
    !carton.is_empty()
}

fn manifest_key(event: &Event, name: &mut String) -> bool {
    let manifest = first(event, &[RefKind::Manifest, RefKind::Bol, RefKind::Load, RefKind::Shipment]);
    part(name, manifest);
    part(name, event.party(crate::event::PartyRole::Carrier).map_or("", |p| p.id.as_str()));
    split_parts(event, name);
    !manifest.is_empty()
}

fn shipment_key(event: &Event, name: &mut String) -> bool {
    let order = first(event, &[RefKind::DepositorOrder, RefKind::Transfer, RefKind::So, RefKind::CustomerOrder]);
    let order = if order.is_empty() { event.correlation_id.as_str() } else { order };
    let shipment = first(event, &[RefKind::Shipment, RefKind::Bol]);
    part(name, order);
    part(name, shipment);
    if event.event_type == EventType::ShipmentConfirmed {
        day_part(event, name);
    }
    split_parts(event, name);
    !(order.is_empty() && shipment.is_empty())
}

fn receipt_key(event: &Event, name: &mut String) -> bool {
    let receipt = event.reference(RefKind::Receipt);
    let announced = first(event, &[RefKind::Desadv, RefKind::Shipment, RefKind::Po, RefKind::DepositorOrder]);
    if receipt.is_empty() {
        part(name, announced);
        day_part(event, name);
    } else {
        part(name, receipt);
    }
    split_parts(event, name);
    !(receipt.is_empty() && announced.is_empty())
}

fn return_key(event: &Event, name: &mut String) -> bool {
    let rma = first(event, &[RefKind::Rma, RefKind::Receipt, RefKind::DepositorOrder, RefKind::So]);
    part(name, rma);
    day_part(event, name);
    line_parts(event, name);
    !rma.is_empty()
}

fn adjustment_key(event: &Event, name: &mut String) -> bool {
    let number = first(event, &[RefKind::Adjustment, RefKind::Transaction]);
    part(name, number);
    line_parts(event, name);
    event.lines.iter().for_each(|line| part(name, &line.reason.code));
    !number.is_empty()
}

fn movement_key(event: &Event, name: &mut String) -> bool {
    let number = first(event, &[RefKind::Transaction, RefKind::Adjustment, RefKind::Task]);
    part(name, number);
    line_parts(event, name);
    !number.is_empty()
}

fn count_key(event: &Event, name: &mut String) -> bool {
    let number = first(event, &[RefKind::Count, RefKind::Adjustment, RefKind::Transaction]);
    part(name, number);
    for line in &event.lines {
        part(name, if line.location_to.is_empty() { &line.location_from } else { &line.location_to });
    }
    line_parts(event, name);
    !number.is_empty()
}

fn snapshot_key(event: &Event, name: &mut String) -> bool {
    let report = event.reference(RefKind::Report);
    part(name, report);
    time_part(event, name);
    if event.split {
        line_parts(event, name);
        event.lines.iter().for_each(|line| part(name, &line.stock_status_to));
    }
    !report.is_empty()
}

fn replenishment_key(event: &Event, name: &mut String) -> bool {
    let task = event.reference(RefKind::Task);
    part(name, task);
    if task.is_empty() {
        for line in &event.lines {
            part(name, &line.location_to);
            part(name, &line.item.sku);
        }
        time_part(event, name);
    }
    !task.is_empty() || !event.lines.is_empty()
}

fn exception_key(event: &Event, name: &mut String) -> bool {
    let code = event.reference(RefKind::ExceptionCode);
    part(name, &event.correlation_id);
    part(name, first(event, &[RefKind::Shipment, RefKind::Receipt, RefKind::DepositorOrder]));
    part(name, code);
    line_parts(event, name);
    !(event.correlation_id.is_empty() || code.is_empty())
}

fn subject_key(event: &Event, name: &mut String) -> bool {
    let subject = event.reference(RefKind::Subject);
    part(name, &event.interchange.sender);
    part(name, subject);
    part(name, &event.interchange.control);
    !subject.is_empty()
}

/// Key by which the events of one business document keep their order through every consumer.
///
/// The order, shipment, receipt or adjustment; for facts about stock alone, the item.
pub fn document_key(event: &Event) -> &str {
    if !event.correlation_id.is_empty() {
        return &event.correlation_id;
    }
    event.lines.first().map_or(event.event_type.as_str(), |line| line.item.sku.as_str())
}

/// 128 random bits that name one database (of a site) or one ledger (of the centre).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Incarnation(pub [u8; 16]);

impl std::fmt::Display for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Head of a stream's hash chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Chain(pub Hash);

impl Chain {
    /// Chain of an empty stream: SHA-256 of site and incarnation.
    pub fn start(site: &SiteId, incarnation: Incarnation) -> Self {
        let mut sha = Sha256::new();
        sha.update(site.as_str().as_bytes());
        sha.update(incarnation.0);
        Self(sha.finalize().into())
    }

    /// Chain after one more event: SHA-256 of the chain before, the number (big endian), the event id and the payload hash.
    #[must_use]
    pub fn next(&self, seq: u64, id: Uuid, payload: &Hash) -> Self {
        let mut bytes = [0_u8; 32 + 8 + 16 + 32];
        bytes[..32].copy_from_slice(&self.0);
        bytes[32..40].copy_from_slice(&seq.to_be_bytes());
        bytes[40..56].copy_from_slice(id.as_bytes());
        bytes[56..].copy_from_slice(payload);
        Self(Sha256::digest(bytes).into())
    }
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// W3C Trace Context `traceparent` of an event (level 1, section 3.2): the same for ever, so that a replay stays on its trace.
///
/// The trace is the business act (site and document), the parent is the event.
pub fn traceparent(event: &Event, id: Uuid) -> String {
    let mut sha = Sha256::new();
    sha.update(event.site_id.as_str().as_bytes());
    sha.update([0x1f]);
    sha.update(document_key(event).as_bytes());
    let trace: Hash = sha.finalize().into();
    let mut text = String::with_capacity(55);
    text.push_str("00-");
    push_hex(&mut text, &trace[..16]);
    text.push('-');
    push_hex(&mut text, &id.as_bytes()[8..]);
    text.push_str("-01");
    text
}

/// Appends the bytes as lower-case hex.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// The bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    push_hex(&mut text, bytes);
    text
}

//! Containers of a document: collected by their number, so that a pallet named by several lines is one pallet.

use docksync_proto::event::{Container, ContainerKind, Content, Event, EventType, Line, RefKind};
use rust_decimal::Decimal;

use super::{
    super::{message::doubt, trade},
    sheet::{Sheet, doubts},
};

/// Containers in the order in which they are named.
#[derive(Debug, Default)]
pub(super) struct Plates {
    pub(super) all: Vec<Container>,
}

impl Plates {
    /// The container with this number, added where it is new. `is_sscc` says that the document calls it a serial shipping
    /// container code.
    pub(super) fn open(&mut self, event: &mut Event, path: &str, id: &str, is_sscc: bool) -> usize {
        let new = trade::container(doubts(event), path, id, is_sscc);
        let is_same = |known: &Container| known.container_id == id || (!new.sscc.is_empty() && known.sscc == new.sscc);
        self.all.iter().position(is_same).unwrap_or_else(|| {
            self.all.push(new);
            self.all.len() - 1
        })
    }

    /// The container that a licence plate (`LV`) names; one of 18 or 20 digits is meant as a serial shipping container code.
    pub(super) fn open_plate(&mut self, event: &mut Event, id: &str) -> usize {
        let is_sscc = matches!(id.len(), 18 | 20) && id.bytes().all(|b| b.is_ascii_digit());
        self.open(event, "N902", id, is_sscc)
    }

    pub(super) fn at(&mut self, index: usize) -> Option<&mut Container> {
        self.all.get_mut(index)
    }

    /// Puts a line into a container.
    pub(super) fn put(&mut self, index: usize, line: &Line, qty: Option<Decimal>) {
        if let Some(container) = self.all.get_mut(index) {
            container.contents.push(Content {
                line_no: line.line_no.clone(),
                sku: line.item.sku.clone(),
                qty,
                uom: line.uom.clone(),
                lot: line.lot.clone(),
                serials: line.serials.clone(),
            });
        }
    }

    /// One event for each container that holds goods, in their order.
    pub(super) fn packed(&self, sheet: &Sheet<'_, '_, '_, '_>, shipment: &Event) -> Vec<Event> {
        let filled = self.all.iter().filter(|container| !container.contents.is_empty());
        filled
            .map(|container| {
                let mut event = derived(sheet, shipment, EventType::CartonPacked);
                event.containers.push(container.clone());
                event
            })
            .collect()
    }
}

/// Quantities on several plates below one line: a single plate without a quantity holds all of the line.
pub(super) fn plate_quantity(
    line: &Line,
    stated: Option<Decimal>,
    is_only: bool,
    all: Option<Decimal>,
) -> Option<Decimal> {
    stated.or(if is_only { all.or(line.qty) } else { None })
}

/// Whether a tracking number has the form of a UPS one: `1Z` and sixteen letters or digits.
pub(super) fn is_ups(text: &str) -> bool {
    text.len() == 18 && text.starts_with("1Z") && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Opens the container that a `MAN` pair names (element 88). `None` for one that names none.
pub(super) fn open_mark(
    plates: &mut Plates,
    event: &mut Event,
    path: &str,
    qualifier: &str,
    value: &str,
    open: Option<usize>,
) -> Option<usize> {
    let is_sscc = matches!(qualifier, "GM" | "AA");
    if value.is_empty() || !(is_sscc || matches!(qualifier, "CP" | "CA" | "SM" | "MC" | "W" | "UC")) {
        return None;
    }
    // The carrier's number of a carton that has one of its own is its tracking number.
    if qualifier == "CP"
        && let Some(container) = open.and_then(|index| plates.at(index)).filter(|known| known.tracking_no.is_empty())
    {
        value.clone_into(&mut container.tracking_no);
        return open;
    }
    let index = plates.open(event, path, value, is_sscc);
    let container = plates.at(index)?;
    if qualifier == "CP" && is_ups(value) {
        value.clone_into(&mut container.tracking_no);
    }
    if container.kind.is_none() {
        container.kind = Some(match qualifier {
            "W" => ContainerKind::Pallet,
            "CP" => ContainerKind::Parcel,
            _ => ContainerKind::Carton,
        });
    }
    Some(index)
}

/// An event that follows from a shipment or receipt: the same act, place and time.
pub(super) fn derived(sheet: &Sheet<'_, '_, '_, '_>, from: &Event, event_type: EventType) -> Event {
    let mut event = sheet.event(event_type);
    event.site_id = from.site_id.clone();
    event.time = from.time.clone();
    event.action = from.action;
    event.correlation_id.clone_from(&from.correlation_id);
    let kinds = [
        RefKind::DepositorOrder,
        RefKind::Shipment,
        RefKind::Receipt,
        RefKind::Rma,
        RefKind::Po,
        RefKind::Bol,
        RefKind::MasterBol,
        RefKind::CustomerOrder,
    ];
    event.references = from.references.iter().filter(|known| kinds.contains(&known.kind)).cloned().collect();
    event
}

/// An exception about a line.
pub(super) fn exception(sheet: &Sheet<'_, '_, '_, '_>, from: &Event, code: &str, severity: &str, line: Line) -> Event {
    let mut event = derived(sheet, from, EventType::ExceptionRaised);
    trade::refer(&mut event.references, RefKind::ExceptionCode, code);
    trade::keep(&mut event, "severity", severity);
    event.lines.push(line);
    event
}

/// Says that several containers share lines whose division is not told.
pub(super) fn shared(event: &mut Event, path: &str) {
    doubt(event, "SHARED_CONTENTS", path, "several containers share these lines; how they are divided is not told");
}

//! Handling units of a delivery: E1EDL37 with its contents E1EDL44.

use docksync_proto::event::{Container, Content, Event, EventType, Line};

use super::model::{Segment, taken_quantity, taken_unit};
use crate::decode::{
    hold,
    message::{Message, Messages},
    trade,
};

/// Most handling units of one delivery.
const UNITS_MAX: usize = 5_000;

/// The handling units read so far, in the order of the document.
#[derive(Default)]
pub(super) struct Units {
    containers: Vec<Container>,
}

impl Units {
    /// E1EDL37 opens a unit.
    pub(super) fn open(&mut self, event: &mut Event, message: &mut Message, mut segment: Segment) {
        let number = segment.take("EXIDV");
        if number.is_empty() {
            let fault = trade::fault("MISSING_MANDATORY", "E1EDL37/EXIDV", 0, "", "the number of the handling unit");
            return message.fault(segment.line_no, fault, &segment.shown());
        }
        if self.containers.len() >= UNITS_MAX {
            let expected = format!("at most {UNITS_MAX} handling units");
            let fault = hold::whole("DOCUMENT_TOO_LARGE", "E1EDL37", "more", expected);
            return message.fault(segment.line_no, fault, &segment.shown());
        }
        let (number, is_sscc) = plain(&number);
        let parent = self.containers.iter().position(|known| known.container_id == number);
        segment.keep_rest(event, &format!("[{number}]"));
        match parent {
            // Named before as part of another unit.
            Some(at) => {
                let known = self.containers.remove(at);
                self.containers.push(known);
            }
            None => self.containers.push(trade::container(&mut event.warnings, "E1EDL37/EXIDV", &number, is_sscc)),
        }
    }

    /// E1EDL44 puts an item or another unit into the open one.
    pub(super) fn fill(
        &mut self,
        messages: &Messages<'_, '_>,
        event: &mut Event,
        message: &mut Message,
        lines: &[Line],
        mut segment: Segment,
    ) {
        let Some(at) = self.containers.len().checked_sub(1) else { return segment.keep_rest(event, "") };
        let (item, inner) = (segment.take("POSNR"), segment.take("EXIDV"));
        let (_kind, _delivery) = (segment.take("VELIN"), segment.take("VBELN"));
        let qty = taken_quantity(messages, message, &mut segment, &["VEMNG"]);
        let uom = taken_unit(messages, message, &mut segment, &["VEMEH"]);
        let material = segment.take_first(&["MATNR", "MATNR_LONG"]);
        let holder = self.containers.get(at).map(|c| c.container_id.clone()).unwrap_or_default();
        let (inner, is_sscc) = plain(&inner);
        if item.is_empty() && !inner.is_empty() && inner != holder {
            return self.nest(event, &inner, is_sscc, &holder);
        }
        let line = lines.iter().find(|line| same_item(&line.line_no, &item));
        let sku = line.map_or_else(|| trade::without_zeros(&material).to_owned(), |line| line.item.sku.clone());
        let lot = segment.take("CHARG");
        let content = Content {
            line_no: item,
            sku,
            qty,
            uom: if uom.is_empty() { line.map(|line| line.uom.clone()).unwrap_or_default() } else { uom },
            lot: if lot.is_empty() { line.map(|line| line.lot.clone()).unwrap_or_default() } else { lot },
            serials: Vec::new(),
        };
        segment.keep_rest(event, &format!("[{holder}]"));
        if let Some(container) = self.containers.get_mut(at) {
            container.contents.push(content);
        }
    }

    fn nest(&mut self, event: &mut Event, inner: &str, is_sscc: bool, holder: &str) {
        let has_room = self.containers.len() < UNITS_MAX;
        match self.containers.iter_mut().find(|known| known.container_id == inner) {
            Some(known) => holder.clone_into(&mut known.parent_id),
            None if has_room => {
                let mut container = trade::container(&mut event.warnings, "E1EDL44/EXIDV", inner, is_sscc);
                holder.clone_into(&mut container.parent_id);
                // The open unit stays the last.
                let place = self.containers.len().saturating_sub(1);
                self.containers.insert(place, container);
            }
            None => {}
        }
    }

    /// Says of each line which one unit it lies in, and gives the units.
    pub(super) fn link(self, lines: &mut [Line]) -> Vec<Container> {
        for line in lines {
            let holds =
                |container: &&Container| container.contents.iter().any(|c| same_item(&c.line_no, &line.line_no));
            let mut holders = self.containers.iter().filter(holds);
            if let (Some(only), None) = (holders.next(), holders.next()) {
                only.container_id.clone_into(&mut line.container_ref);
            }
        }
        self.containers
    }
}

/// One event for each unit with goods in it.
pub(super) fn cartons(event: &Event, containers: &[Container]) -> Vec<Event> {
    let packed = |container: &Container| {
        let mut carton = event.clone();
        carton.event_type = EventType::CartonPacked;
        carton.lines.clear();
        carton.extensions.clear();
        carton.warnings.clear();
        carton.containers = vec![container.clone()];
        carton
    };
    containers.iter().filter(|container| !container.contents.is_empty()).map(packed).collect()
}

/// The units without their contents.
pub(super) fn emptied(containers: &[Container]) -> Vec<Container> {
    containers.iter().map(|container| Container { contents: Vec::new(), ..container.clone() }).collect()
}

/// Unit numbers are filled with zeros to 20 characters; 20 digits with a valid SSCC behind the first two are one.
fn plain(number: &str) -> (String, bool) {
    let is_sscc = number.len() == 20
        && number.get(2..).is_some_and(docksync_proto::codes::has_check_digit)
        && number.starts_with("00");
    if is_sscc {
        return (number.get(2..).unwrap_or(number).to_owned(), true);
    }
    (trade::without_zeros(number).to_owned(), false)
}

/// `10` and `000010` are the same item.
pub(super) fn same_item(a: &str, b: &str) -> bool {
    a == b || (!a.is_empty() && trade::without_zeros(a) == trade::without_zeros(b))
}

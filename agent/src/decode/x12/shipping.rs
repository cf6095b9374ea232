//! 945 warehouse shipping advice: what left the warehouse, in which cartons, and what is short.

use docksync_proto::event::{Action, ContainerKind, Event, EventType, Line, LineStatus, Measure, PartyRole, RefKind};
use rust_decimal::Decimal;

use super::{
    super::{message::doubt, spare::Sheaf, trade::refer},
    codes::{self, ITEM_QUALIFIERS},
    header::{Header, begin},
    item::{Places, Plate},
    order::group_of,
    plates::{Plates, derived, exception, open_mark, plate_quantity, shared},
    segment::{Segment, code},
    sheet::{Sheet, keep_others, keep_unless, push_number},
};

/// W12: 06 case code; 07/08, 17/18 and 21/22 item numbers (ASC X12 004010, segment W12).
const ITEM: Places<'_> = Places { upc: 6, pairs: &[7, 17, 21] };
/// Where a substitute was shipped (`IS`), 16 to 18 tell the item that was ordered instead of the one shipped.
const SUBSTITUTE: Places<'_> = Places { upc: 6, pairs: &[7, 21] };

/// Identifiers of the segments that a 945 is made of.
const ST: u64 = code("ST");
const SE: u64 = code("SE");
const W06: u64 = code("W06");
const LX: u64 = code("LX");
const W12: u64 = code("W12");
const W03: u64 = code("W03");
const MAN: u64 = code("MAN");
const PAL: u64 = code("PAL");
const N9: u64 = code("N9");

/// A 945 while it is read.
struct Shipping<'t> {
    header: Header,
    plates: Plates,
    /// Containers of the open `LX`.
    group: Vec<usize>,
    /// Containers that stand behind the open line: they are its own.
    own: Vec<usize>,
    /// References of the open `LX` that stand before its lines.
    before: Vec<&'t Segment>,
    /// Plates below the open line.
    below: Vec<Plate>,
    group_no: String,
    is_in_group: bool,
    has_line: bool,
    lines: Sheaf,
    shipped: Decimal,
}

/// Reads the document.
pub(super) fn read(sheet: &mut Sheet<'_, '_, '_, '_>, segments: &[Segment]) {
    let Some(w06) = begin(sheet, segments, "W06") else { return };
    let mut shipping = Shipping {
        header: Header::new(sheet.event(EventType::ShipmentConfirmed)),
        plates: Plates::default(),
        group: Vec::new(),
        own: Vec::new(),
        before: Vec::new(),
        below: Vec::new(),
        group_no: String::new(),
        is_in_group: false,
        has_line: false,
        lines: sheet.messages.lines(),
        shipped: Decimal::ZERO,
    };
    start(sheet, &mut shipping.header, w06);
    for segment in segments {
        shipping.take(sheet, segment);
    }
    shipping.close_line();
    shipping.close_group();
    shipping.finish(sheet, w06, segments);
}

/// W06, the same in 943 and 945.
pub(super) fn start(sheet: &mut Sheet<'_, '_, '_, '_>, header: &mut Header, w06: &Segment) {
    let event = &mut header.event;
    if !w06.has(1) {
        doubt(event, "MISSING_REPORTING_CODE", "W0601", "the reporting code is empty");
    }
    refer(&mut event.references, RefKind::DepositorOrder, w06.get(2));
    refer(&mut event.references, RefKind::Shipment, w06.get(4));
    refer(&mut event.references, RefKind::Po, w06.get(6));
    sheet.action(event, w06, 12);
    keep_others(event, w06, &[2, 3, 4, 6, 12], 1);
}

/// Day of shipping: the one that says so goes before that of the document.
pub(super) fn ship_time(sheet: &mut Sheet<'_, '_, '_, '_>, event: &mut Event, w06: &Segment, segments: &[Segment]) {
    let dated = |code: &str| segments.iter().find(|segment| segment.is("G62") && segment.get(1) == code);
    let stated = sheet.day(w06, 3);
    let Some(shipped) = dated("11").or(if stated.is_none() { dated("86") } else { None }) else {
        if !w06.has(3) {
            sheet.fault(w06, 3, "MISSING_MANDATORY", "the day of shipping, here or in G62 with 11");
        }
        if stated.is_some() {
            sheet.time(event, w06, [3, 0, 0]);
        }
        return;
    };
    sheet.time(event, shipped, [2, 4, 5]);
    if let Some(stated) = stated.filter(|day| *day != event.time.local().date()) {
        let words = format!("W0603 says {stated}, G62 says {}; the latter is taken", event.time.local().date());
        doubt(event, "DATE_MISMATCH", "W0603", words);
    }
}

/// The order number by which all events of the shipment belong together.
fn correlate(sheet: &mut Sheet<'_, '_, '_, '_>, event: &mut Event, w06: &Segment) {
    let kinds = [RefKind::DepositorOrder, RefKind::Po, RefKind::CustomerOrder];
    match kinds.iter().map(|kind| event.reference(*kind)).find(|value| !value.is_empty()) {
        Some(order) => event.correlation_id = order.to_owned(),
        None => {
            let expected = "the depositor's order number, or a purchase order in W0606 or N9 with CO";
            sheet.fault(w06, 2, "MISSING_MANDATORY", expected);
        }
    }
}

impl<'t> Shipping<'t> {
    fn take(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &'t Segment) {
        match segment.code() {
            ST | SE | W06 => {}
            LX => {
                self.close_line();
                self.close_group();
                self.is_in_group = true;
                segment.get(1).clone_into(&mut self.group_no);
            }
            W12 => {
                self.close_line();
                self.line(sheet, segment);
            }
            W03 => {
                self.close_line();
                sheet.total(&mut self.header.event, segment, 1, self.shipped, "TOTAL_MISMATCH");
                keep_others(&mut self.header.event, segment, &[1], 1);
            }
            MAN if self.is_in_group => self.mark(sheet, segment),
            PAL if self.is_in_group => self.pallet(sheet, segment),
            _ if self.has_line => self.under_line(sheet, segment),
            N9 if self.is_in_group => self.before.push(segment),
            _ if self.is_in_group => {
                let nth = self.lines.len() + 1;
                sheet.keep(&mut self.header.event, segment, nth);
            }
            _ => self.header.take(sheet, segment),
        }
    }

    fn line(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, raw: &Segment) {
        let shifted;
        let w12 = match alignment(sheet, raw) {
            Alignment::Good => raw,
            Alignment::Shifted(at) => {
                shifted = raw.shifted(at);
                &shifted
            }
            Alignment::Wrong => return,
        };
        let event = &mut self.header.event;
        let nth = self.lines.len() + 1;
        let Some(line) = self.lines.add() else { return };
        push_number(&mut line.line_no, nth);
        line.qty_ordered = sheet.quantity(w12, 2);
        line.qty_shipped = sheet.must_quantity(w12, 3);
        line.qty_difference = sheet.quantity(w12, 4);
        sheet.unit(event, line, w12, 5);
        w12.get(9).clone_into(&mut line.lot);
        let places = if w12.get(1) == "IS" { SUBSTITUTE } else { ITEM };
        sheet.item(event, line, w12, &places, nth);
        sheet.weight(event, line, w12, 10, nth);
        difference(event, line, w12);
        status(sheet, event, line, w12);
        keep_unless(event, w12, nth, |n| matches!(n, 1..=5 | 9..=12) || places.takes(n));
        group_of(event, &mut self.group_no, &line.line_no, nth);
        for segment in &self.before {
            self.below.extend(sheet.below(event, line, segment, nth));
        }
        self.shipped += line.qty_shipped.unwrap_or_default();
        self.has_line = true;
    }

    fn under_line(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &Segment) {
        let nth = self.lines.len();
        if let Some(line) = self.lines.last() {
            self.below.extend(sheet.below(&mut self.header.event, line, segment, nth));
        }
    }

    /// `MAN` holds up to two marks: 01/02 (to 03) and 04/05 (to 06).
    fn mark(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &Segment) {
        let event = &mut self.header.event;
        let mut used = Vec::new();
        for at in [1, 4] {
            let marks = if self.has_line { &mut self.own } else { &mut self.group };
            let open = marks.last().copied();
            let (path, qualifier) = (format!("MAN{:02}", at + 1), segment.get(at));
            let found = open_mark(&mut self.plates, event, &path, qualifier, segment.get(at + 1), open);
            if let Some(index) = found {
                used.extend([at, at + 1]);
                if !marks.contains(&index) {
                    marks.push(index);
                }
            }
        }
        if used.is_empty() {
            return sheet.keep(event, segment, self.lines.len().max(1));
        }
        keep_others(event, segment, &used, self.lines.len().max(1));
    }

    /// PAL: 05/06 unit weight, 07 to 09 length, width and height in the unit of 10, 11/12 gross weight (ASC X12 004010).
    fn pallet(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &Segment) {
        let weight = sheet.quantity(segment, 11).or_else(|| sheet.quantity(segment, 5));
        let unit = if segment.has(11) { segment.get(12) } else { segment.get(6) };
        let sides = [7, 8, 9].map(|n| segment.get(n)).join("x");
        if let Some(container) = self.group.last().and_then(|index| self.plates.at(*index)) {
            container.kind = Some(ContainerKind::Pallet);
            container.weight = weight.map(|value| Measure { value, unit: codes::weight_unit(unit).to_owned() });
            if !sides.trim_matches('x').is_empty() {
                container.dims = format!("{sides} {}", segment.get(10)).trim_end().to_owned();
            }
            keep_others(&mut self.header.event, segment, &[5, 6, 7, 8, 9, 10, 11, 12], 1);
        } else {
            sheet.keep(&mut self.header.event, segment, 1);
        }
    }

    /// Puts the line that ends here on the plates below it, or into the containers of its group.
    fn close_line(&mut self) {
        let is_open = std::mem::take(&mut self.has_line);
        // Most documents name no containers.
        if is_open && !(self.below.is_empty() && self.own.is_empty() && self.group.is_empty()) {
            self.pack_line();
        }
    }

    fn pack_line(&mut self) {
        let below = std::mem::take(&mut self.below);
        let event = &mut self.header.event;
        let Some(line) = self.lines.last() else { return };
        let is_only = below.len() == 1;
        let mut sum = Some(Decimal::ZERO);
        let mut own = Vec::new();
        for plate in &below {
            let index = self.plates.open_plate(event, &plate.id);
            let qty = plate_quantity(line, plate.qty, is_only, line.qty_shipped);
            sum = sum.zip(qty).map(|(sum, qty)| sum + qty);
            self.plates.put(index, line, qty);
            own.push(index);
        }
        if !below.is_empty()
            && let Some((sum, shipped)) = sum.zip(line.qty_shipped).filter(|(sum, shipped)| sum != shipped)
        {
            let words = format!("line {}: the plates hold {sum}, W1203 says {shipped}", line.line_no);
            doubt(event, "TOTAL_MISMATCH", "N903", words);
        }
        let behind = std::mem::take(&mut self.own);
        if below.is_empty() {
            own = if behind.is_empty() { self.group.clone() } else { behind };
            let is_alone = own.len() == 1;
            for index in &own {
                self.plates.put(*index, line, if is_alone { line.qty_shipped } else { None });
            }
        }
        if let [index] = own.as_slice()
            && let Some(container) = self.plates.at(*index)
        {
            line.container_ref.clone_from(&container.container_id);
        }
    }

    fn close_group(&mut self) {
        let group = std::mem::take(&mut self.group);
        let holds = |index: &usize| self.plates.all.get(*index).is_some_and(|c| !c.contents.is_empty());
        if group.len() > 1 && group.iter().any(holds) {
            shared(&mut self.header.event, "MAN");
        }
        self.before.clear();
        self.is_in_group = false;
    }

    fn finish(self, sheet: &mut Sheet<'_, '_, '_, '_>, w06: &Segment, segments: &[Segment]) {
        let Header { mut event, sites, .. } = self.header;
        event.lines = self.lines.finish();
        sheet.site(&mut event, &sites, &["WH", "SF"]);
        ship_time(sheet, &mut event, w06, segments);
        correlate(sheet, &mut event, w06);
        let mut plates = self.plates;
        name_carrier(&mut plates, &event);
        event.containers.clone_from(&plates.all);
        if event.action == Action::Void {
            event.event_type = EventType::ShipmentVoided;
            sheet.message.events.push(event);
            return;
        }
        if event.lines.is_empty() {
            return freight_only(sheet, event, w06);
        }
        let packed = plates.packed(sheet, &event);
        let manifest = manifest(sheet, &event);
        let exceptions = shorts(sheet, &event);
        sheet.message.events.extend(packed);
        sheet.message.events.extend(manifest);
        sheet.message.events.push(event);
        sheet.message.events.extend(exceptions);
    }
}

/// The line as the standard lays it out. Some senders leave an element out, so that all behind it stand one place too far to
/// the left: a unit as difference, or a qualifier as case code.
fn alignment(sheet: &mut Sheet<'_, '_, '_, '_>, w12: &Segment) -> Alignment {
    let is_unit = w12.has(4)
        && sheet.messages.quantity("", 0, w12.get(4)).is_err()
        && sheet.messages.known_unit("", 0, w12.get(4)).is_ok();
    let is_qualifier = w12.has(6) && ITEM_QUALIFIERS.contains(&w12.get(6));
    let at = match (is_unit, is_qualifier) {
        (false, false) => return Alignment::Good,
        (true, _) => 4,
        (false, true) => 6,
    };
    if sheet.messages.parse.is_set("w12_shift") {
        return Alignment::Shifted(at);
    }
    let expected = match at {
        4 => "a difference of quantities; a unit belongs into W1205 (the feed's option `w12_shift` reads it there)",
        _ => "a case code; a qualifier belongs into W1207 (the feed's option `w12_shift` reads it there)",
    };
    sheet.fault(w12, at, "ELEMENT_SHIFT", expected);
    Alignment::Wrong
}

/// How the elements of a line stand to the standard.
enum Alignment {
    Good,
    /// The feed says that those from this one on stand one place too far to the left.
    Shifted(usize),
    Wrong,
}

/// The difference is what was ordered less what was shipped, whatever the sender's sign is.
fn difference(event: &mut Event, line: &mut Line, w12: &Segment) {
    let Some(difference) = line.qty_ordered.zip(line.qty_shipped).map(|(ordered, shipped)| ordered - shipped) else {
        return;
    };
    if let Some(stated) = line.qty_difference.filter(|stated| stated.abs() != difference.abs()) {
        let words = format!("segment {}: W1204 says {stated}, the quantities give {difference}", w12.line_no);
        doubt(event, "TOTAL_MISMATCH", "W1204", words);
    }
    line.qty_difference = Some(difference);
}

/// Where the status does not fit the quantities, the quantities count (EVENTS 3.2).
fn status(sheet: &Sheet<'_, '_, '_, '_>, event: &mut Event, line: &mut Line, w12: &Segment) {
    let code = w12.get(1);
    let partner = sheet.messages.parse.partner("status", code).and_then(LineStatus::from_word);
    code.clone_into(&mut line.status_source);
    let stated = partner.or_else(|| codes::line_status(code));
    let short = line.qty_difference.unwrap_or_default();
    let shipped = line.qty_shipped.unwrap_or_default();
    let counted = match stated {
        None if code.is_empty() => None,
        None => {
            doubt(event, "UNKNOWN_STATUS", "W1201", format!("`{code}` is no known status of a line"));
            Some(LineStatus::Other)
        }
        Some(LineStatus::Complete) if short > Decimal::ZERO && shipped.is_zero() => Some(LineStatus::Cancelled),
        Some(LineStatus::Complete) if short > Decimal::ZERO => Some(LineStatus::ShortNoBackorder),
        Some(LineStatus::ShortNoBackorder | LineStatus::ShortBackordered | LineStatus::Cancelled)
            if line.qty_ordered.is_some() && short <= Decimal::ZERO && !shipped.is_zero() =>
        {
            Some(LineStatus::Complete)
        }
        known => known,
    };
    if let Some((stated, counted)) = stated.zip(counted).filter(|(stated, counted)| stated != counted) {
        let words = format!("line {}: `{code}` means {stated}, the quantities mean {counted}", line.line_no);
        doubt(event, "STATUS_MISMATCH", "W1201", words);
    }
    line.status_code = counted;
}

fn name_carrier(plates: &mut Plates, event: &Event) {
    let scac = event.party(PartyRole::Carrier).filter(|known| known.id_scheme == "SCAC").map(|known| known.id.clone());
    let Some(scac) = scac else { return };
    plates.all.iter_mut().for_each(|container| container.carrier_scac.clone_from(&scac));
}

/// The manifest that the shipment stands on: known where there is a bill of lading and a carrier.
pub(super) fn manifest(sheet: &Sheet<'_, '_, '_, '_>, shipment: &Event) -> Option<Event> {
    let has_bill = [RefKind::Bol, RefKind::MasterBol].iter().any(|kind| !shipment.reference(*kind).is_empty());
    let carrier = shipment.party(PartyRole::Carrier).filter(|known| !known.id.is_empty() || !known.name.is_empty())?;
    if !has_bill {
        return None;
    }
    let mut event = derived(sheet, shipment, EventType::ShipmentManifested);
    event.parties.push(carrier.clone());
    let others = [RefKind::Pro, RefKind::Load, RefKind::Seal, RefKind::Trailer];
    event.references.extend(shipment.references.iter().filter(|known| others.contains(&known.kind)).cloned());
    Some(event)
}

/// A 945 without lines speaks of the freight alone: never a shipment of nothing.
fn freight_only(sheet: &mut Sheet<'_, '_, '_, '_>, mut event: Event, w06: &Segment) {
    let kinds = [RefKind::Bol, RefKind::MasterBol, RefKind::Load, RefKind::Shipment];
    if kinds.iter().all(|kind| event.reference(*kind).is_empty()) {
        sheet.fault(w06, 0, "MISSING_MANDATORY", "lines (W12), or the number of a bill of lading or shipment");
    }
    event.event_type = EventType::ShipmentManifested;
    sheet.message.events.push(event);
}

/// What was not shipped as ordered, one exception a line.
fn shorts(sheet: &Sheet<'_, '_, '_, '_>, shipment: &Event) -> Vec<Event> {
    let mut all = Vec::new();
    for line in &shipment.lines {
        let difference = line.qty_difference.unwrap_or_default();
        if difference.is_zero() {
            continue;
        }
        let code = if difference > Decimal::ZERO { "SHORT_SHIP" } else { "OVER_SHIP" };
        let severity = match line.status_code {
            Some(LineStatus::ShortBackordered | LineStatus::Substituted) => "warning",
            _ if difference < Decimal::ZERO => "warning",
            _ => "error",
        };
        let mut short = line.clone();
        short.qty = Some(difference.abs());
        all.push(exception(sheet, shipment, code, severity, short));
    }
    all
}

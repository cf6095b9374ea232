//! 856 ship notice: a tree of shipment, orders, pallets, packs and items.
//!
//! `shipment_confirmed` as the copy of what this site sent, `receipt_expected` where it comes to this site (see
//! [`super::direction`]). The tree is built by the numbers of the parents (`HL02`), never by the order of the segments.

use std::collections::HashMap;

use docksync_proto::event::{Action, ContainerKind, Event, EventType, Line, PartyRole, RefKind};
use rust_decimal::Decimal;

use super::{
    super::{
        message::doubt,
        trade::{keep, refer},
    },
    direction::Direction,
    header::{Header, begin},
    item::{Places, line_refer},
    plates::{Plates, open_mark, shared},
    segment::Segment,
    sheet::{Sheet, keep_others, nth_key},
    shipping::manifest,
};

/// Levels above one another that are followed; a deeper tree is a circle.
const DEPTH_MAX: usize = 32;

/// A level of the tree with the segments below it.
struct Level<'t> {
    hl: &'t Segment,
    segments: Vec<&'t Segment>,
    parent: Option<usize>,
}

impl Level<'_> {
    fn code(&self) -> &str {
        self.hl.get(3)
    }
}

/// Reads the document.
pub(super) fn read(sheet: &mut Sheet<'_, '_, '_, '_>, segments: &[Segment]) {
    let Some(bsn) = begin(sheet, segments, "BSN") else { return };
    let mut header = Header::new(sheet.event(EventType::ShipmentConfirmed));
    start(sheet, &mut header.event, bsn);
    let (above, levels) = split(sheet, segments);
    let shipped = shipped_on(segments);
    for segment in above {
        match segment.id() {
            "ST" | "SE" | "BSN" | "CTT" => {}
            _ if shipped.is_some_and(|shipped| std::ptr::eq(shipped, segment)) => {}
            _ => header.take(sheet, segment),
        }
    }
    for level in levels.iter().filter(|level| matches!(level.code(), "S" | "O")) {
        take_above(sheet, &mut header, level, shipped);
    }
    let mut tree = Tree { levels: &levels, containers: HashMap::new(), plates: Plates::default(), sum: Decimal::ZERO };
    tree.containers(sheet, &mut header.event);
    for at in 0..levels.len() {
        if levels.get(at).is_some_and(|level| level.code() == "I") {
            tree.item(sheet, &mut header.event, at);
        }
    }
    if let Some(ctt) = segments.iter().find(|segment| segment.id() == "CTT") {
        sheet.total(&mut header.event, ctt, 1, levels.len().into(), "COUNT_MISMATCH");
        sheet.total(&mut header.event, ctt, 2, tree.sum, "TOTAL_MISMATCH");
        keep_others(&mut header.event, ctt, &[1, 2], 1);
    }
    let plates = tree.plates;
    finish(sheet, header, plates, bsn, shipped);
}

fn start(sheet: &mut Sheet<'_, '_, '_, '_>, event: &mut Event, bsn: &Segment) {
    sheet.purpose(event, bsn, 1, true);
    refer(&mut event.references, RefKind::Shipment, bsn.get(2));
    sheet.must(bsn, 3, "the day of the notice");
    keep_others(event, bsn, &[1, 2, 3, 4], 1);
}

/// The segment that tells the day of shipping (element 374: 011).
fn shipped_on(segments: &[Segment]) -> Option<&Segment> {
    segments.iter().find(|segment| segment.id() == "DTM" && segment.get(1) == "011" && segment.has(2))
}

/// Segments above the first level, and the levels with theirs.
fn split<'t>(sheet: &mut Sheet<'_, '_, '_, '_>, segments: &'t [Segment]) -> (Vec<&'t Segment>, Vec<Level<'t>>) {
    let (mut above, mut levels, mut ids) = (Vec::new(), Vec::<Level<'t>>::new(), HashMap::new());
    for segment in segments {
        match (segment.id(), levels.last_mut()) {
            ("HL", _) => {
                if ids.insert(segment.get(1), levels.len()).is_some() {
                    sheet.fault(segment, 1, "SCHEMA_VIOLATION", "a number that no earlier level has");
                }
                levels.push(Level { hl: segment, segments: Vec::new(), parent: None });
            }
            ("CTT" | "SE", _) | (_, None) => above.push(segment),
            (_, Some(level)) => level.segments.push(segment),
        }
    }
    for level in &mut levels {
        if !level.hl.has(2) {
            continue;
        }
        level.parent = ids.get(level.hl.get(2)).copied();
        if level.parent.is_none() {
            sheet.fault(level.hl, 2, "SCHEMA_VIOLATION", "the number of a level (HL01)");
        }
    }
    if levels.is_empty() {
        let place = segments.first().cloned().unwrap_or_default();
        sheet.fault(&place, 0, "MISSING_MANDATORY", "levels (HL) of shipment, order and item");
    }
    (above, levels)
}

/// What stands at the levels of shipment and order belongs to the document.
fn take_above(sheet: &mut Sheet<'_, '_, '_, '_>, header: &mut Header, level: &Level<'_>, shipped: Option<&Segment>) {
    for segment in &level.segments {
        match segment.id() {
            _ if shipped.is_some_and(|shipped| std::ptr::eq(shipped, *segment)) => {}
            "PRF" => {
                refer(&mut header.event.references, RefKind::Po, segment.get(1));
                sheet.day(segment, 4);
                keep_others(&mut header.event, segment, &[1], 1);
            }
            // The buyer and the numbers of each order are of that order alone; the first names the document's.
            _ => header.take(sheet, segment),
        }
    }
}

struct Tree<'t, 'l> {
    levels: &'l [Level<'t>],
    /// Container of each pallet and pack.
    containers: HashMap<usize, usize>,
    plates: Plates,
    sum: Decimal,
}

impl Tree<'_, '_> {
    /// The levels above this one, nearest first.
    fn above(&self, at: usize) -> Vec<usize> {
        let mut all = Vec::new();
        let mut next = self.levels.get(at).and_then(|level| level.parent);
        while let Some(parent) = next
            && all.len() < DEPTH_MAX
        {
            all.push(parent);
            next = self.levels.get(parent).and_then(|level| level.parent);
        }
        all
    }

    fn containers(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, event: &mut Event) {
        for (at, level) in self.levels.iter().enumerate() {
            let kind = match level.code() {
                "T" => ContainerKind::Pallet,
                "P" => ContainerKind::Carton,
                "S" | "O" | "I" => continue,
                _ => {
                    level.segments.iter().for_each(|segment| sheet.keep(event, segment, 1));
                    continue;
                }
            };
            for segment in &level.segments {
                match segment.id() {
                    "MAN" => self.mark(sheet, event, at, segment, kind),
                    // Some senders tell the item of a pack in the pack itself.
                    "LIN" | "SN1" => {}
                    _ => sheet.keep(event, segment, 1),
                }
            }
            if level.segments.iter().any(|segment| segment.id() == "LIN") {
                self.item(sheet, event, at);
            }
        }
        for at in 0..self.levels.len() {
            let parent = self.above(at).into_iter().find_map(|above| self.containers.get(&above).copied());
            let id = parent.and_then(|index| self.plates.at(index)).map(|container| container.container_id.clone());
            let own = self.containers.get(&at).copied();
            if let (Some(id), Some(own)) = (id, own.and_then(|index| self.plates.at(index)))
                && own.container_id != id
            {
                own.parent_id = id;
            }
        }
    }

    fn mark(
        &mut self,
        sheet: &mut Sheet<'_, '_, '_, '_>,
        event: &mut Event,
        at: usize,
        man: &Segment,
        kind: ContainerKind,
    ) {
        let mut used = Vec::new();
        for n in [1, 4] {
            let open = self.containers.get(&at).copied();
            let path = format!("MAN{:02}", n + 1);
            let Some(index) = open_mark(&mut self.plates, event, &path, man.get(n), man.get(n + 1), open) else {
                continue;
            };
            used.extend([n, n + 1]);
            if open.is_some_and(|open| open != index) {
                // Two containers at one level: how the goods are divided is not told.
                shared(event, "MAN");
            }
            self.containers.entry(at).or_insert(index);
            if let Some(container) = self.plates.at(index) {
                container.kind = Some(kind);
            }
        }
        if used.is_empty() {
            return sheet.keep(event, man, 1);
        }
        keep_others(event, man, &used, 1);
    }

    /// Reads an item and puts it into its containers.
    fn item(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, event: &mut Event, at: usize) {
        let Some(level) = self.levels.get(at) else { return };
        let nth = event.lines.len() + 1;
        let mut line = Line { line_no: nth.to_string(), ..Line::default() };
        let has = |id: &str| level.segments.iter().any(|segment| segment.id() == id);
        for (id, expected) in [("LIN", "a segment LIN with the item"), ("SN1", "a segment SN1 with the quantity")] {
            if !has(id) {
                sheet.fault(level.hl, 0, "MISSING_MANDATORY", expected);
            }
        }
        for segment in &level.segments {
            self.item_segment(sheet, event, &mut line, segment, level.code() == "I");
        }
        self.sum += line.qty_shipped.unwrap_or_default();
        let above = self.above(at);
        for parent in above.iter().filter_map(|parent| self.levels.get(*parent)).filter(|parent| parent.code() == "O") {
            let orders = parent.segments.iter().filter(|segment| segment.id() == "PRF");
            orders.for_each(|prf| line_refer(&mut line, RefKind::Po, prf.get(1)));
        }
        self.put(at, &mut line, event, &above);
        event.lines.push(line);
    }

    fn item_segment(
        &mut self,
        sheet: &mut Sheet<'_, '_, '_, '_>,
        event: &mut Event,
        line: &mut Line,
        segment: &Segment,
        is_item: bool,
    ) {
        let nth = event.lines.len() + 1;
        match segment.id() {
            "LIN" => {
                segment.get(1).clone_into(&mut line.source_line_no);
                let pairs: Vec<usize> = (2..=segment.last()).step_by(2).collect();
                sheet.item(event, line, segment, &Places { upc: 0, pairs: &pairs }, nth);
            }
            // SN1: 01 line, 02 shipped, 03 unit, 04 shipped to date, 05 ordered, 06 its unit, 08 status.
            "SN1" => {
                line.qty_shipped = sheet.must_quantity(segment, 2);
                sheet.unit(event, line, segment, 3);
                line.qty_ordered = sheet.quantity(segment, 5);
                let mut used = vec![1, 2, 3, 5, 8];
                if line.source_line_no.is_empty() {
                    segment.get(1).clone_into(&mut line.source_line_no);
                }
                if segment.has(6) && sheet.unit_of(segment, 6, segment.get(6)) == line.uom {
                    used.push(6);
                }
                segment.get(8).clone_into(&mut line.status_source);
                line.status_code = super::codes::answer_status(segment.get(8));
                keep_others(event, segment, &used, nth);
            }
            "PRF" => {
                line_refer(line, RefKind::Po, segment.get(1));
                refer(&mut event.references, RefKind::Po, segment.get(1));
                keep_others(event, segment, &[1], nth);
            }
            // Containers have read what is theirs.
            _ if !is_item => {}
            _ => {
                if let Some(plate) = sheet.below(event, line, segment, nth) {
                    keep(event, nth_key("x12:REF*LV".to_owned(), nth), &plate.id);
                    line.container_ref = plate.id;
                }
            }
        }
    }

    /// An item lies in the nearest container above it, or in those below it where the notice is built the other way round.
    fn put(&mut self, at: usize, line: &mut Line, event: &mut Event, above: &[usize]) {
        let own = self.containers.get(&at).copied();
        let nearest = own.or_else(|| above.iter().find_map(|parent| self.containers.get(parent).copied()));
        if let Some(index) = nearest {
            self.plates.put(index, line, line.qty_shipped);
            if let Some(container) = self.plates.at(index) {
                line.container_ref.clone_from(&container.container_id);
            }
            return;
        }
        let is_below = |level: &Level<'_>| level.parent == Some(at);
        let below: Vec<usize> =
            self.levels.iter().enumerate().filter(|(_, level)| is_below(level)).map(|(n, _)| n).collect();
        let inside: Vec<usize> = below.iter().filter_map(|n| self.containers.get(n).copied()).collect();
        let is_alone = inside.len() == 1;
        for index in &inside {
            let qty = if is_alone { line.qty_shipped } else { None };
            self.plates.put(*index, line, qty);
        }
        if let ([index], true) = (inside.as_slice(), is_alone)
            && let Some(container) = self.plates.at(*index)
        {
            line.container_ref.clone_from(&container.container_id);
        } else if inside.len() > 1 {
            shared(event, "HL");
        }
    }
}

fn finish(sheet: &mut Sheet<'_, '_, '_, '_>, header: Header, plates: Plates, bsn: &Segment, shipped: Option<&Segment>) {
    let Header { mut event, sites, .. } = header;
    match shipped {
        Some(dtm) => {
            sheet.time(&mut event, dtm, [2, 3, 4]);
            sheet.day(bsn, 3);
        }
        None => {
            sheet.time(&mut event, bsn, [3, 4, 0]);
        }
    }
    let bill = event.reference(RefKind::Bol).to_owned();
    match (bsn.has(2), bill.is_empty()) {
        (true, _) => {}
        // A bill of lading names a shipment as well (EVENTS 1.2).
        (false, false) => {
            let words = format!("the notice has no number of its own; it goes by its bill of lading {bill}");
            doubt(&mut event, "MISSING_SHIPMENT", "BSN02", words);
        }
        (false, true) => {
            sheet.fault(bsn, 2, "MISSING_MANDATORY", "the number of the shipment, or a bill of lading (REF with BM)");
        }
    }
    // One order is what the shipment is known by; several are not one act, so the shipment's own number is.
    let orders: Vec<&str> =
        event.references.iter().filter(|known| known.kind == RefKind::Po).map(|known| known.value.as_str()).collect();
    event.correlation_id = match orders.as_slice() {
        [order] => (*order).to_owned(),
        _ if bsn.has(2) => bsn.get(2).to_owned(),
        _ => bill,
    };
    event.containers.clone_from(&plates.all);
    if event.lines.is_empty() && event.action != Action::Void {
        sheet.fault(bsn, 0, "MISSING_MANDATORY", "at least one item (HL with I)");
    }
    if sheet.direction(&sites, &["ST"]) == Direction::In {
        sheet.site(&mut event, &sites, &["ST", "WH"]);
        event.event_type = EventType::ReceiptExpected;
        refer(&mut event.references, RefKind::Desadv, bsn.get(2));
        event.lines.iter_mut().for_each(|line| line.qty = line.qty_shipped);
        sheet.message.events.push(event);
        return;
    }
    sheet.site(&mut event, &sites, &["SF", "WH"]);
    if event.action == Action::Void {
        event.event_type = EventType::ShipmentVoided;
        sheet.message.events.push(event);
        return;
    }
    if let Some(carrier) = event.party(PartyRole::Carrier).filter(|known| known.id_scheme == "SCAC").cloned() {
        event.containers.iter_mut().for_each(|container| container.carrier_scac.clone_from(&carrier.id));
    }
    if let Some(differing) =
        event.lines.iter().find(|line| line.qty_ordered.is_some_and(|q| Some(q) < line.qty_shipped))
    {
        let words = format!("line {}: more is shipped than ordered", differing.line_no);
        doubt(&mut event, "OVER_SHIP", "SN102", words);
    }
    let packed = Plates { all: event.containers.clone() }.packed(sheet, &event);
    let manifest = manifest(sheet, &event);
    sheet.message.events.extend(packed);
    sheet.message.events.extend(manifest);
    sheet.message.events.push(event);
}

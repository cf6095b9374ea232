//! The line items of a message: LIN and what follows it.

use docksync_proto::event::{Measure, Warning};

use super::{
    codes,
    document::{self, DocLine, Quantity},
    moment::Dated,
    parse::{Parser, Part, kept},
    segment::Segment,
};
use crate::decode::{
    assign::Fault,
    message::{Message, Messages},
    trade,
};

impl Parser {
    pub(super) fn open_line(&mut self, messages: &mut Messages<'_, '_>, message: &mut Message, segment: &Segment) {
        self.close_line(messages, message);
        self.part = Part::Line;
        self.inventory = None;
        self.nth += 1;
        let mut line = DocLine {
            ordinal: segment.ordinal,
            offset: segment.offset,
            text: segment.shown(),
            nth: self.nth,
            action: segment.at(2, 1).to_owned(),
            ..DocLine::default()
        };
        line.line.line_no = match segment.at(1, 1) {
            "" => self.nth.to_string(),
            number => number.to_owned(),
        };
        add_id(&mut line, segment.at(3, 2), segment.at(3, 1));
        if !line.action.is_empty() {
            line.extensions.push((format!("edifact:LIN/1229[{}]", self.nth), line.action.clone()));
        }
        self.link_container(&mut line);
        self.line = Some(line);
    }

    /// A line lies in the one container of its package, or in that of the package around it.
    fn link_container(&mut self, line: &mut DocLine) {
        let Some(pack) = self.packs.last() else { return };
        match pack.containers.as_slice() {
            [] => {
                let holder = self.holder(self.packs.len() - 1, |id| self.packs.iter().position(|pack| pack.id == id));
                line.line.container_ref = holder.unwrap_or_default();
            }
            [at] => {
                if let Some(container) = self.document.containers.get(*at) {
                    container.container_id.clone_into(&mut line.line.container_ref);
                }
            }
            several => line.warnings.push(Warning {
                code: "CONTAINER_AMBIGUOUS".to_owned(),
                path: format!("lines[{}].container_ref", line.nth - 1),
                text: format!("the line lies in one of {} containers of CPS {}", several.len(), pack.id),
            }),
        }
    }

    pub(super) fn close_line(&mut self, messages: &Messages<'_, '_>, message: &mut Message) {
        if let Some(mut line) = self.line.take() {
            document::choose_sku(messages, &mut line);
            let (nth, sku) = (line.nth, line.line.item.sku.clone());
            if sku.is_empty() {
                let fault = trade::fault("MISSING_MANDATORY", "LIN/C212.7140", 3, "", "an item number in LIN or PIA");
                message.fault(line.ordinal, fault, &line.text);
            }
            let item = &line.line.item;
            let known = [&item.sku, &item.gtin, &item.buyer_item, &item.vendor_item, &item.upc_case, &item.ndc];
            for (qualifier, value) in &line.ids {
                let is_gtin = trade::gtin14(value).is_some_and(|gtin| gtin == item.gtin);
                if *value != sku && !is_gtin && !known.contains(&value) {
                    line.extensions.push((format!("edifact:PIA+{qualifier}[{nth}]"), value.clone()));
                }
            }
            self.document.lines.push(line);
        }
    }

    pub(super) fn line_segment(&mut self, messages: &mut Messages<'_, '_>, message: &mut Message, segment: &Segment) {
        let suffix = format!("[{}]", self.nth);
        let Some(mut line) = self.line.take() else { return };
        let taken = match segment.tag() {
            "PIA" => additional_ids(&mut line, segment),
            "IMD" => description(&mut line, segment),
            "QTY" => self.quantity(messages, message, &mut line, segment),
            "QVR" => self.variance(messages, message, &mut line, segment),
            "INV" => self.inventory(&mut line, segment),
            "RFF" => line_reference(&mut line, segment, self.is_stock),
            "DTM" => line_date(&mut line, message, segment, self.is_stock),
            "GIN" => self.numbers(&mut line, segment, message),
            "MEA" => self.line_measure(messages, message, &mut line, segment),
            "LOC" => self.line_location(&mut line, segment),
            "FTX" => {
                line.notes.push(segment.element(4).join(" "));
                false
            }
            _ => false,
        };
        if !taken {
            let (key, value) = kept("edifact:", &suffix, segment);
            line.extensions.push((key, value));
        }
        self.line = Some(line);
    }

    fn quantity(
        &mut self,
        messages: &Messages<'_, '_>,
        message: &mut Message,
        line: &mut DocLine,
        segment: &Segment,
    ) -> bool {
        let text = segment.at(1, 2);
        document::check_mark(&mut self.document.event, segment, text, self.decimal);
        let value = document::number(messages, "QTY/C186.6060", 1, text);
        let uom = match segment.at(1, 3) {
            "" => Ok("EA".to_owned()),
            unit => messages.unit("QTY/C186.6411", 1, unit),
        };
        match (value, uom) {
            (Ok(value), Ok(uom)) => line.quantities.push(Quantity {
                ordinal: segment.ordinal,
                code: segment.at(1, 1).to_owned(),
                value,
                uom,
                inventory: self.inventory.clone(),
                ..Quantity::default()
            }),
            (value, uom) => {
                line.has_faults = true;
                let faults = [value.err(), uom.err()];
                faults.into_iter().flatten().for_each(|f| message.fault(segment.ordinal, f, &segment.shown()));
            }
        }
        true
    }

    fn variance(
        &mut self,
        messages: &Messages<'_, '_>,
        message: &mut Message,
        line: &mut DocLine,
        segment: &Segment,
    ) -> bool {
        match document::number(messages, "QVR/C279.6064", 1, segment.at(1, 1)) {
            Ok(difference) => line.variances.push((difference, segment.at(2, 1).to_owned())),
            Err(fault) => message.fault(segment.ordinal, fault, &segment.shown()),
        }
        // The reason in words or in the partner's code is nowhere else.
        segment.len() < 3
    }

    /// INV belongs to the quantity before it (D.96A), or to those that follow where it comes first.
    fn inventory(&mut self, line: &mut DocLine, segment: &Segment) -> bool {
        let inventory = [1, 2, 3].map(|element| segment.at(element, 1).to_owned());
        match line.quantities.last_mut().filter(|_| self.inventory.is_none()) {
            Some(quantity) => quantity.inventory = Some(inventory),
            None => self.inventory = Some(inventory),
        }
        segment.len() <= 3
    }

    fn line_location(&mut self, line: &mut DocLine, segment: &Segment) -> bool {
        if !self.is_stock {
            return false;
        }
        let place = segment.at(2, 1);
        match line.quantities.last_mut() {
            Some(quantity) => quantity.location.push_str(place),
            None => line.line.location_to.push_str(place),
        }
        true
    }

    /// GIN: container numbers, batch and serial numbers, each alone or as a range. By the code list of data element 7405, BN is
    /// a serial number and BX a batch number in every directory.
    fn numbers(&mut self, line: &mut DocLine, segment: &Segment, message: &mut Message) -> bool {
        let qualifier = segment.at(1, 1);
        if matches!(qualifier, "BJ" | "AW") {
            let containers = self.containers(segment, &mut line.warnings, message);
            if let [at] = containers.as_slice()
                && let Some(container) = self.document.containers.get(*at)
            {
                container.container_id.clone_into(&mut line.line.container_ref);
            }
            return true;
        }
        if !matches!(qualifier, "BN" | "BX") {
            return false;
        }
        let values: Vec<String> = (2..=segment.len()).map(|at| segment.at(at, 1).to_owned()).collect();
        let quantity = line.quantities.last_mut().filter(|_| self.is_stock);
        let (serials, lot) = match quantity {
            Some(quantity) => (&mut quantity.serials, &mut quantity.lot),
            None => (&mut line.line.serials, &mut line.line.lot),
        };
        let has_range = (2..=segment.len()).any(|at| !segment.at(at, 2).is_empty());
        match (qualifier, values.as_slice()) {
            ("BN", _) => {
                serials.extend(values);
                !has_range
            }
            ("BX", [only]) if lot.is_empty() || lot == only => {
                only.clone_into(lot);
                !has_range
            }
            _ => false,
        }
    }

    fn line_measure(
        &mut self,
        messages: &Messages<'_, '_>,
        message: &mut Message,
        line: &mut DocLine,
        segment: &Segment,
    ) -> bool {
        let slot = match segment.at(2, 1) {
            "AAB" | "G" | "AAD" | "WT" => &mut line.line.gross_weight,
            "AAA" | "AAC" | "N" => &mut line.line.net_weight,
            _ => return false,
        };
        match measure(messages, segment) {
            Ok(Some(weight)) if slot.is_none() => *slot = Some(weight),
            Ok(_) => return false,
            Err(fault) => message.fault(segment.ordinal, fault, &segment.shown()),
        }
        true
    }
}

/// MEA's value with its unit, canonical where it is known.
pub(super) fn measure(messages: &Messages<'_, '_>, segment: &Segment) -> Result<Option<Measure>, Fault> {
    let (unit, text) = (segment.at(3, 1), segment.at(3, 2));
    if text.is_empty() {
        return Ok(None);
    }
    let value = document::number(messages, "MEA/C174.6314", 3, text)?;
    let unit = docksync_proto::codes::canonical_uom(unit).unwrap_or(unit).to_owned();
    Ok(Some(Measure { value, unit }))
}

/// Notes an item number under its qualifier, and in the field that belongs to it.
fn add_id(line: &mut DocLine, qualifier: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    line.ids.push((qualifier.to_owned(), value.to_owned()));
    let item = &mut line.line.item;
    let slot = match qualifier {
        "IN" | "BP" => &mut item.buyer_item,
        "SA" | "VN" | "VP" => &mut item.vendor_item,
        "UA" => &mut item.upc_case,
        "ND" => &mut item.ndc,
        "NB" if line.line.lot.is_empty() => &mut line.line.lot,
        "SN" => return line.line.serials.push(value.to_owned()),
        _ if codes::is_gtin(qualifier) && item.gtin.is_empty() => {
            return trade::set_gtin(item, &mut line.warnings, &format!("LIN/C212.7140 of line {}", line.nth), value);
        }
        _ => return,
    };
    if slot.is_empty() {
        value.clone_into(slot);
    }
}

/// PIA: 1 and 5 name the same goods; the others name substitutes, which are kept.
fn additional_ids(line: &mut DocLine, segment: &Segment) -> bool {
    if !matches!(segment.at(1, 1), "1" | "5" | "") {
        return false;
    }
    for element in 2..=segment.len() {
        add_id(line, segment.at(element, 2), segment.at(element, 1));
    }
    true
}

fn description(line: &mut DocLine, segment: &Segment) -> bool {
    let texts = [segment.at(3, 4), segment.at(3, 5)];
    let text = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return false;
    }
    let description = &mut line.line.item.description;
    if !description.is_empty() {
        description.push(' ');
    }
    description.push_str(&text);
    // A code beside the text is kept.
    segment.at(3, 1).is_empty()
}

fn line_reference(line: &mut DocLine, segment: &Segment, is_stock: bool) -> bool {
    let [qualifier, value, number] = [1, 2, 3].map(|component| segment.at(1, component));
    match qualifier {
        "LI" => value.clone_into(&mut line.line.source_line_no),
        "BT" => {
            let quantity = line.quantities.last_mut().filter(|_| is_stock);
            let lot = quantity.map_or(&mut line.line.lot, |quantity| &mut quantity.lot);
            if !lot.is_empty() && lot != value {
                return false;
            }
            value.clone_into(lot);
        }
        "SE" => line.line.serials.push(value.to_owned()),
        _ => {
            let Some(kind) = codes::reference(qualifier) else { return false };
            trade::refer(&mut line.line.references, kind, value);
            if matches!(qualifier, "ON" | "VN") && line.line.source_line_no.is_empty() {
                number.clone_into(&mut line.line.source_line_no);
            }
        }
    }
    true
}

/// 36 is the expiry date, 361 best before.
fn line_date(line: &mut DocLine, message: &mut Message, segment: &Segment, is_stock: bool) -> bool {
    let dated = Dated::read(segment);
    if !matches!(dated.qualifier.as_str(), "36" | "361") {
        return false;
    }
    match dated.day() {
        Some(Ok(day)) if dated.qualifier == "361" => line.line.best_before_date = Some(day),
        Some(Ok(day)) => match line.quantities.last_mut().filter(|_| is_stock) {
            Some(quantity) => quantity.expiry = Some(day),
            None => line.line.expiry_date = Some(day),
        },
        Some(Err(fault)) => message.fault(segment.ordinal, fault, &segment.shown()),
        None => return false,
    }
    true
}

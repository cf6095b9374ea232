//! Lines of GS1 XML documents: trade items, quantities, logistic units.

use docksync_proto::event::{Container, Item, Line, Reference};
use rust_decimal::Decimal;

use super::{
    super::{
        despatch, trade,
        xml::{Node, Taken},
    },
    parts::{Draft, sub_location},
};

/// Item numbers as the best to the worst, where the feed says nothing: the vendor's, the buyer's, our own, the GTIN (EVENTS 3.9).
const SKU: &[&str] = &["SUPPLIER_ASSIGNED", "SELLER_ASSIGNED", "BUYER_ASSIGNED", "FOR_INTERNAL_USE_1", "GTIN"];

/// A line item and the logistic unit in which it lies.
pub(super) type Placed<'n> = (&'n Node, Option<&'n Node>);

/// The line items of a document in its order, those of its logistic units among them.
pub(super) fn items(node: &Node) -> Vec<Placed<'_>> {
    let mut all = Vec::new();
    collect(node, None, &mut all);
    all
}

fn collect<'n>(node: &'n Node, unit: Option<&'n Node>, all: &mut Vec<Placed<'n>>) {
    for child in &node.children {
        if child.name.ends_with("LineItem") || child.name.ends_with("ShipmentItem") {
            all.push((child, unit));
        } else if is_unit(child) {
            collect(child, Some(child), all);
        }
    }
}

fn is_unit(node: &Node) -> bool {
    node.name.ends_with("LogisticUnit") || node.name == "logisticUnit"
}

impl Draft<'_, '_, '_> {
    /// Adds the logistic units as containers.
    pub(super) fn units(&mut self, node: &Node, parent: &str) {
        for unit in node.children.iter().filter(|child| is_unit(child)) {
            let id = unit_id(&self.taken, unit).to_owned();
            if !id.is_empty() {
                let mut container = trade::container(&mut self.event.warnings, &unit.name, &id, true);
                parent.clone_into(&mut container.parent_id);
                self.event.containers.push(container);
            }
            self.units(unit, if id.is_empty() { parent } else { &id });
        }
        self.nest(node);
    }

    /// Units that name their parent by level instead of lying in it.
    fn nest(&mut self, node: &Node) {
        let units: Vec<&Node> = node.children.iter().filter(|child| is_unit(child)).collect();
        for unit in &units {
            let parent = self.taken.text(unit, "parentLevelIdentification");
            let above = units.iter().find(|other| other.text_at("levelIdentification") == parent && !parent.is_empty());
            let Some(above) = above.filter(|above| above.offset != unit.offset) else { continue };
            self.taken.text(above, "levelIdentification");
            let (id, parent_id) = (unit_id(&self.taken, unit), unit_id(&self.taken, above));
            if let Some(container) = self.event.containers.iter_mut().find(|known| known.container_id == id) {
                parent_id.clone_into(&mut container.parent_id);
            }
        }
    }

    /// A line from a line item: everything but its quantities.
    pub(super) fn line(&mut self, (node, unit): Placed<'_>, ordinal: usize) -> Line {
        let mut line = Line { line_no: self.taken.text(node, "lineItemNumber").to_owned(), ..Line::default() };
        if line.line_no.is_empty() {
            line.line_no = ordinal.to_string();
        }
        line.container_ref = unit.map_or("", |unit| unit_id(&self.taken, unit)).to_owned();
        let item = node.child("transactionalTradeItem").unwrap_or(node);
        self.item(item, &mut line);
        self.item_details(item, &mut line);
        let place = sub_location(&self.taken, node).to_owned();
        line.location_to = place;
        let (references, source_line) = self.references(node);
        line.source_line_no = source_line;
        let known = &self.event.references;
        let own = references.into_iter().filter(|(kind, value)| {
            !known.iter().any(|reference| reference.kind == *kind && reference.value == *value)
        });
        line.references = own.map(|(kind, value)| Reference { kind, value, date: None }).collect();
        line
    }

    /// The trade item with its number of ours.
    pub(super) fn item(&mut self, node: &Node, line: &mut Line) {
        let gtin = self.taken.text(node, "gtin");
        let mut item =
            Item { description: self.taken.text(node, "tradeItemDescription").to_owned(), ..Item::default() };
        if !gtin.is_empty() {
            trade::set_gtin(&mut item, &mut self.event.warnings, "gtin", gtin);
        }
        let mut numbers = vec![("GTIN", if item.gtin.is_empty() { gtin } else { item.gtin.as_str() })];
        for number in node.children("additionalTradeItemIdentification") {
            self.taken.mark(number);
            numbers.push((number.attr("additionalTradeItemIdentificationTypeCode"), &number.text));
        }
        let own: Vec<&str> = self.messages.parse.list("sku").iter().map(String::as_str).collect();
        let wanted = if own.is_empty() { SKU } else { own.as_slice() };
        let best = wanted
            .iter()
            .find_map(|want| numbers.iter().find(|(kind, value)| kind.eq_ignore_ascii_case(want) && !value.is_empty()));
        let any = || numbers.iter().rev().find(|(_, value)| !value.is_empty());
        let sku = best.or_else(any).map_or("", |(_, value)| value).to_owned();
        for (kind, value) in &numbers {
            match *kind {
                "SUPPLIER_ASSIGNED" | "SELLER_ASSIGNED" => (*value).clone_into(&mut line.item.vendor_item),
                "BUYER_ASSIGNED" => (*value).clone_into(&mut line.item.buyer_item),
                _ => {}
            }
        }
        (item.vendor_item, item.buyer_item) =
            (std::mem::take(&mut line.item.vendor_item), std::mem::take(&mut line.item.buyer_item));
        item.sku = sku;
        line.item = item;
        if line.item.sku.is_empty() {
            let expected = "a gtin or an additionalTradeItemIdentification";
            self.fault(trade::fault("MISSING_MANDATORY", &format!("{}/gtin", node.name), 0, "", expected));
        }
    }

    /// Lot, serial numbers and dates.
    pub(super) fn item_details(&mut self, item: &Node, line: &mut Line) {
        for node in item.children("transactionalItemData").chain([item]) {
            let lots = ["batchNumber", "lotNumber"].map(|name| self.taken.text(node, name));
            if let Some(lot) = lots.into_iter().find(|lot| !lot.is_empty()) {
                lot.clone_into(&mut line.lot);
            }
            for serial in node.children("serialNumber") {
                self.taken.mark(serial);
                line.serials.push(serial.text.clone());
            }
            for (name, is_expiry) in [("itemExpirationDate", true), ("bestBeforeDate", false)] {
                let text = self.taken.text(node, name);
                if text.is_empty() {
                    continue;
                }
                // xsd:date may carry a zone.
                match trade::day(name, 0, text.get(..10).unwrap_or(text)) {
                    Ok(day) if is_expiry => line.expiry_date = Some(day),
                    Ok(day) => line.best_before_date = Some(day),
                    Err(fault) => self.fault(fault),
                }
            }
        }
    }

    /// The quantity that the document is about; a line without it says nothing.
    pub(super) fn main_amount(&mut self, node: &Node, names: &[&str], line: &mut Line) -> Option<Decimal> {
        if names.iter().all(|name| node.child(name).is_none()) {
            let path = format!("{}/{}", node.name, names.first().copied().unwrap_or_default());
            self.fault(trade::fault("MISSING_MANDATORY", &path, 0, "", "a quantity"));
        }
        self.amount(node, names, line)
    }

    /// A quantity with its unit; the unit goes to the line where it has none yet, and must be the same where it has one.
    pub(super) fn amount(&mut self, node: &Node, names: &[&str], line: &mut Line) -> Option<Decimal> {
        let found = names.iter().find_map(|name| node.child(name))?;
        self.taken.mark(found);
        let unit = match found.attr("measurementUnitCode") {
            "" => "EA".to_owned(),
            code => match self.messages.unit(&found.name, 0, code) {
                Ok(unit) => unit,
                Err(fault) => {
                    self.fault(fault);
                    return None;
                }
            },
        };
        if !line.uom.is_empty() && line.uom != unit {
            let expected = format!("the line's unit {}", line.uom);
            let fault = trade::fault("UNKNOWN_UOM", &found.name, 0, &unit, expected);
            self.fault(fault);
            return None;
        }
        line.uom = unit;
        match self.messages.quantity(&found.name, 0, &found.text) {
            Ok(amount) => Some(amount),
            Err(fault) => {
                self.fault(fault);
                None
            }
        }
    }

    /// Puts the lines into the containers that they name.
    pub(super) fn pack(&mut self) {
        for container in &mut self.event.containers {
            let lines = self.event.lines.iter().filter(|line| line.container_ref == container.container_id);
            container.contents = lines.map(despatch::content).collect();
        }
        // A unit without number holds nothing that could be named.
        let known: Vec<&Container> = self.event.containers.iter().collect();
        for line in &mut self.event.lines {
            if !known.iter().any(|container| container.container_id == line.container_ref) {
                line.container_ref.clear();
            }
        }
    }
}

fn unit_id<'n>(taken: &Taken, unit: &'n Node) -> &'n str {
    let paths =
        ["logisticUnitIdentification/sscc", "sscc", "logisticUnitIdentification/additionalLogisticUnitIdentification"];
    paths.iter().map(|path| taken.text(unit, path)).find(|id| !id.is_empty()).unwrap_or("")
}

//! Parts that UBL documents share: parties, places, items, quantities, handling units (UBL 2.1 common aggregates).

use docksync_proto::event::{Action, Container, ContainerKind, Content, Event, Line, PartyRole, RefKind, Reference};
use rust_decimal::Decimal;

use super::super::{
    assign::Fault,
    despatch,
    message::{Message, Messages},
    trade,
    xml::{Node, Taken},
};

/// A document on its way to an event.
pub(super) struct Draft<'m, 'v, 'p> {
    pub(super) messages: &'m mut Messages<'v, 'p>,
    pub(super) message: &'m mut Message,
    pub(super) taken: Taken,
    pub(super) event: Event,
}

/// Item numbers by the words of the option `sku`.
const SKU: &[(&str, &str)] = &[
    ("SELLER", "SellersItemIdentification"),
    ("BUYER", "BuyersItemIdentification"),
    ("MANUFACTURER", "ManufacturersItemIdentification"),
    ("STANDARD", "StandardItemIdentification"),
];

impl Draft<'_, '_, '_> {
    pub(super) fn fault(&mut self, fault: Fault) {
        let text = self.message.text.clone();
        self.message.fault(self.message.line_no, fault, &text);
    }

    pub(super) fn refer(&mut self, kind: RefKind, node: &Node, path: &str) {
        let value = self.taken.text(node, path);
        // Peppol demands an identifier even where there is none.
        if value != "NA" {
            trade::refer(&mut self.event.references, kind, value);
        }
    }

    pub(super) fn action(&mut self, node: &Node) {
        self.event.action = match self.taken.text(node, "DocumentStatusCode").to_uppercase().as_str() {
            "" | "9" | "NOSTATUS" | "ORIGINAL" => Action::Add,
            "1" | "CANCELLED" => Action::Void,
            "4" | "5" | "REVISED" => Action::Change,
            other => {
                let expected = "9, 1, 4, 5, NoStatus, Cancelled or Revised";
                let fault = trade::fault("INVALID_CODE", "DocumentStatusCode", 0, other, expected);
                return self.fault(fault);
            }
        };
    }

    /// Codes of a place: its own, then those of the party.
    pub(super) fn places(&self, node: &Node, paths: &[&str], party: &str) -> Vec<String> {
        let own = paths.iter().filter_map(|path| node.at(path)?.child("ID"));
        let party = node.at(&format!("{party}/Party"));
        let numbers = party.into_iter().flat_map(|party| {
            let numbers = party.children("PartyIdentification").filter_map(|one| one.child("ID"));
            numbers.chain(party.child("EndpointID")).chain(party.at("PhysicalLocation/ID"))
        });
        own.chain(numbers).map(|id| id.text.clone()).filter(|id| !id.is_empty()).collect()
    }

    /// Whether one of the codes is a site of the feed.
    pub(super) fn knows(&self, codes: &[String]) -> bool {
        codes.iter().any(|code| self.messages.parse.sites.contains_key(&code.to_uppercase()))
    }

    pub(super) fn site(&mut self, field: &str, codes: &[String]) {
        let sites = &self.messages.parse.sites;
        let known = codes.iter().find(|code| sites.contains_key(&code.to_uppercase())).or(codes.first());
        let code = known.cloned().unwrap_or_default();
        if let Err(mut fault) = self.messages.place_at(&mut self.event, &code) {
            field.clone_into(&mut fault.field);
            self.fault(fault);
        }
    }

    /// The first of these days that is there, with its time of day.
    pub(super) fn time(&mut self, node: &Node, pairs: &[(&str, &str)]) {
        for (date_path, time_path) in pairs {
            let date = self.taken.text(node, date_path);
            if date.is_empty() {
                continue;
            }
            let (day, zone) = date.split_at_checked(10).unwrap_or((date, ""));
            let text = match self.taken.text(node, time_path) {
                "" => day.to_owned(),
                time if time.ends_with('Z') || time.contains(['+', '-']) => format!("{day}T{time}"),
                time => format!("{day}T{time}{zone}"),
            };
            if let Err(fault) = self.messages.time(&mut self.event, date_path, 0, &text, &[]) {
                self.fault(fault);
            }
            return;
        }
        let field = pairs.last().map_or("", |(date, _)| date);
        self.fault(trade::fault("MISSING_MANDATORY", field, 0, "", "the day of the document"));
    }

    pub(super) fn party(&mut self, role: PartyRole, node: Option<&Node>) {
        let Some(node) = node else { return };
        let id = node.at("PartyIdentification/ID").or_else(|| node.child("EndpointID"));
        let names = ["PartyName/Name", "PartyLegalEntity/RegistrationName"].map(|path| self.taken.text(node, path));
        let address = self.address(node);
        let party = trade::party(&mut self.event, role);
        if let Some(id) = id {
            self.taken.mark(id);
            party.id.clone_from(&id.text);
            // ISO 6523: 0088 is the GLN.
            party.id_scheme = if id.attr("schemeID") == "0088" { "GLN" } else { id.attr("schemeID") }.to_owned();
        }
        names.into_iter().find(|name| !name.is_empty()).unwrap_or_default().clone_into(&mut party.name);
        party.address = address;
    }

    fn address(&self, node: &Node) -> String {
        let Some(address) = node.child("PostalAddress") else { return String::new() };
        let paths = [
            "StreetName",
            "AdditionalStreetName",
            "AddressLine/Line",
            "PostalZone",
            "CityName",
            "CountrySubentity",
            "Country/IdentificationCode",
        ];
        let texts = paths.map(|path| self.taken.text(address, path));
        texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// Numbers of the way: consignment, tracking, vehicle, seals.
    pub(super) fn transport(&mut self, node: &Node) {
        let Some(shipment) = node.child("Shipment") else { return };
        self.taken.text(shipment, "ID");
        for (path, kind) in [
            ("Consignment/ID", RefKind::Pro),
            ("Delivery/TrackingID", RefKind::Tracking),
            ("ShipmentStage/TransportMeans/RoadTransport/LicensePlateID", RefKind::Trailer),
            ("TransportHandlingUnit/TransportEquipment/TransportEquipmentSeal/ID", RefKind::Seal),
        ] {
            self.refer(kind, shipment, path);
        }
    }

    /// A line: everything but its quantities.
    pub(super) fn line(&mut self, node: &Node, ordinal: usize) -> Line {
        let mut line = Line { line_no: self.taken.text(node, "ID").to_owned(), ..Line::default() };
        if line.line_no.is_empty() {
            line.line_no = ordinal.to_string();
        }
        self.taken.text(node, "OrderLineReference/LineID").clone_into(&mut line.source_line_no);
        for (path, kind) in [
            ("OrderLineReference/OrderReference/ID", RefKind::Po),
            ("OrderLineReference/OrderReference/SalesOrderID", RefKind::So),
        ] {
            let value = self.taken.text(node, path).to_owned();
            let is_known = self.event.references.iter().any(|known| known.kind == kind && known.value == value);
            if !value.is_empty() && !is_known {
                line.references.push(Reference { kind, value, date: None });
            }
        }
        match node.child("Item") {
            Some(item) => self.item(item, &mut line),
            None => self.fault(trade::fault("MISSING_MANDATORY", &format!("{}/Item", node.name), 0, "", "an item")),
        }
        let unit = node
            .at("Shipment/TransportHandlingUnit/ID")
            .or_else(|| node.at("Shipment/TransportHandlingUnit/Package/ID"));
        if let Some(unit) = unit {
            self.taken.mark(unit);
            line.container_ref.clone_from(&unit.text);
            if !self.event.containers.iter().any(|known| known.container_id == unit.text) {
                let container = self.container(unit);
                self.event.containers.push(container);
            }
        }
        line
    }

    fn item(&mut self, item: &Node, line: &mut Line) {
        for path in ["Name", "Description"] {
            let text = self.taken.text(item, path);
            if line.item.description.is_empty() {
                text.clone_into(&mut line.item.description);
            }
        }
        let number = |part: &str| self.taken.at(item, &format!("{part}/ID")).map_or("", |id| id.text.as_str());
        number("SellersItemIdentification").clone_into(&mut line.item.vendor_item);
        number("BuyersItemIdentification").clone_into(&mut line.item.buyer_item);
        let own = self.messages.parse.list("sku");
        let wanted: Vec<&str> = own.iter().map(String::as_str).chain(SKU.iter().map(|(word, _)| *word)).collect();
        let best = wanted.iter().find_map(|want| {
            let (_, part) = SKU.iter().find(|(word, _)| word.eq_ignore_ascii_case(want))?;
            Some(number(part)).filter(|value| !value.is_empty())
        });
        best.unwrap_or_default().clone_into(&mut line.item.sku);
        if line.item.sku.is_empty() {
            let expected = "an item number of the seller, the buyer or the standard";
            self.fault(trade::fault("MISSING_MANDATORY", "Item/SellersItemIdentification/ID", 0, "", expected));
        }
        if let Some(standard) = item.at("StandardItemIdentification/ID") {
            self.taken.mark(standard);
            // ISO 6523: 0160 is the GTIN; where no scheme is named, it is one if it looks like one.
            let is_gtin = matches!(standard.attr("schemeID"), "0160" | "GTIN" | "EAN" | "SRV");
            if is_gtin || trade::gtin14(&standard.text).is_some() {
                trade::set_gtin(
                    &mut line.item,
                    &mut self.event.warnings,
                    "StandardItemIdentification/ID",
                    &standard.text,
                );
                if !line.item.gtin.is_empty() && line.item.sku == standard.text {
                    line.item.sku.clone_from(&line.item.gtin);
                }
            }
        }
        self.instances(item, line);
    }

    /// Lot, serial numbers and dates.
    fn instances(&mut self, item: &Node, line: &mut Line) {
        for instance in item.children("ItemInstance") {
            let serial = self.taken.text(instance, "SerialID");
            if !serial.is_empty() {
                line.serials.push(serial.to_owned());
            }
            let lot = self.taken.text(instance, "LotIdentification/LotNumberID").to_owned();
            if line.lot.is_empty() {
                line.lot = lot;
            } else if !lot.is_empty() && line.lot != lot {
                let fault = trade::fault(
                    "SCHEMA_VIOLATION",
                    "Item/ItemInstance/LotIdentification",
                    0,
                    &lot,
                    "one lot in a line",
                );
                self.fault(fault);
            }
            for (path, is_expiry) in [("LotIdentification/ExpiryDate", true), ("BestBeforeDate", false)] {
                let text = self.taken.text(instance, path);
                if text.is_empty() {
                    continue;
                }
                match trade::day(path, 0, text.get(..10).unwrap_or(text)) {
                    Ok(day) if is_expiry => line.expiry_date = Some(day),
                    Ok(day) => line.best_before_date = Some(day),
                    Err(fault) => self.fault(fault),
                }
            }
        }
    }

    /// A quantity; its unit becomes that of the line, or is the same.
    pub(super) fn amount(&mut self, node: &Node, name: &str, line: &mut Line) -> Option<Decimal> {
        let found = node.child(name)?;
        self.taken.mark(found);
        let path = format!("{}/{name}", node.name);
        let code = found.attr("unitCode");
        let unit = match code {
            "" => Ok("EA".to_owned()),
            // UN/ECE Recommendation 20: one.
            "C62" => self.messages.unit(&path, 0, code).or_else(|_| Ok("EA".to_owned())),
            // UN/ECE Recommendation 21 codes are written with an X in front.
            code => self.messages.unit(&path, 0, code).or_else(|fault| {
                let bare = code.strip_prefix('X').ok_or(fault)?;
                self.messages.unit(&path, 0, bare)
            }),
        };
        let unit = match unit {
            Ok(unit) => unit,
            Err(fault) => {
                self.fault(fault);
                return None;
            }
        };
        if !line.uom.is_empty() && line.uom != unit {
            let fault = trade::fault("UNKNOWN_UOM", &path, 0, code, format!("the line's unit {}", line.uom));
            self.fault(fault);
            return None;
        }
        line.uom = unit;
        match self.messages.quantity(&path, 0, &found.text) {
            Ok(amount) => Some(amount),
            Err(fault) => {
                self.fault(fault);
                None
            }
        }
    }

    /// Handling units of the shipment, with the packages in them and the lines that they name.
    pub(super) fn units(&mut self, node: &Node) {
        let Some(shipment) = node.child("Shipment") else { return };
        let of_consignment = shipment.children("Consignment").flat_map(|one| one.children("TransportHandlingUnit"));
        for unit in shipment.children("TransportHandlingUnit").chain(of_consignment) {
            let mut parent = String::new();
            if let Some(id) = unit.child("ID").filter(|id| !id.text.is_empty() && id.text != "NA") {
                self.taken.mark(id);
                let mut container = self.container(id);
                container.kind = self.kind(unit, "TransportHandlingUnitTypeCode");
                parent.clone_from(&container.container_id);
                container.contents = self.named_lines(unit);
                self.event.containers.push(container);
            }
            for name in ["Package", "ActualPackage", "ContainedPackage"] {
                unit.children(name).for_each(|package| self.package(package, &parent));
            }
        }
    }

    /// Lines that a unit says it holds; what they are is filled in once the lines are read.
    fn named_lines(&self, unit: &Node) -> Vec<Content> {
        let names = ["HandlingUnitDespatchLine", "ReceivedHandlingUnitReceiptLine"];
        let lines = names.iter().flat_map(|name| unit.children(name));
        let contents =
            lines.map(|line| Content { line_no: self.taken.text(line, "ID").to_owned(), ..Content::default() });
        contents.collect()
    }

    /// A package and those within it; documents of any depth that the reader allows end.
    fn package(&mut self, package: &Node, parent: &str) {
        let mut id = parent.to_owned();
        if let Some(found) = package.child("ID").filter(|id| !id.text.is_empty()) {
            self.taken.mark(found);
            let mut container = self.container(found);
            parent.clone_into(&mut container.parent_id);
            container.kind = self.kind(package, "PackagingTypeCode");
            id.clone_from(&container.container_id);
            if !self.event.containers.iter().any(|known| known.container_id == id) {
                self.event.containers.push(container);
            }
        }
        package.children("ContainedPackage").for_each(|inner| self.package(inner, &id));
    }

    fn container(&mut self, id: &Node) -> Container {
        let is_sscc = matches!(id.attr("schemeID"), "SSCC" | "0145") || id.attr("schemeName") == "SSCC";
        trade::container(&mut self.event.warnings, "TransportHandlingUnit/ID", &id.text, is_sscc)
    }

    /// UN/ECE Recommendation 21, as far as the contract tells kinds apart.
    fn kind(&self, node: &Node, name: &str) -> Option<ContainerKind> {
        let code = node.text_at(name);
        let kind = match code.strip_prefix('X').filter(|bare| bare.len() == 2).unwrap_or(code) {
            "PX" | "PF" | "PE" | "PB" | "201" | "202" => ContainerKind::Pallet,
            "CT" | "BX" | "CS" | "4G" => ContainerKind::Carton,
            "PC" => ContainerKind::Parcel,
            _ => return None,
        };
        self.taken.text(node, name);
        Some(kind)
    }

    /// Puts lines into containers: by the line's own word, or by the unit's.
    pub(super) fn pack(&mut self) {
        for container in &mut self.event.containers {
            let named = std::mem::take(&mut container.contents);
            for line in &mut self.event.lines {
                let is_named = named.iter().any(|content| content.line_no == line.line_no);
                if is_named && line.container_ref.is_empty() {
                    line.container_ref.clone_from(&container.container_id);
                }
            }
            let lines = self.event.lines.iter().filter(|line| line.container_ref == container.container_id);
            container.contents = lines.map(despatch::content).collect();
        }
    }

    /// The order if it is named, else the document itself.
    pub(super) fn correlate(&mut self) {
        use RefKind as R;
        let of_line = |kind: R| {
            let mut all = self.event.lines.iter().flat_map(|line| &line.references);
            all.find(|reference| reference.kind == kind).map(|reference| reference.value.clone())
        };
        let of_event = |kind: R| Some(self.event.reference(kind).to_owned()).filter(|value| !value.is_empty());
        let order = of_event(R::Po).or_else(|| of_event(R::So)).or_else(|| of_line(R::Po)).or_else(|| of_line(R::So));
        let own = order.or_else(|| of_event(R::Desadv)).or_else(|| of_event(R::Receipt));
        self.event.correlation_id = own.unwrap_or_default();
    }
}

//! Parts that all GS1 XML documents share: places, parties, times, references (GS1 XML 3 shared common library).

use docksync_proto::event::{Action, Event, PartyRole, RefKind};

use super::super::{
    assign::Fault,
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

/// What a kind of reference number means: GS1 code list `TransactionalReferenceTypeCode` (UN/EDIFACT element 1153).
pub(super) fn reference_kind(code: &str) -> Option<RefKind> {
    Some(match code {
        "ON" => RefKind::Po,
        "VN" => RefKind::So,
        "AAJ" => RefKind::DepositorOrder,
        "AAK" | "DQ" => RefKind::Desadv,
        "BM" => RefKind::Bol,
        "MB" => RefKind::MasterBol,
        "ALO" => RefKind::Recadv,
        "ALQ" => RefKind::Rma,
        "IV" => RefKind::Inv,
        "CR" => RefKind::Customer,
        "CN" | "AAS" => RefKind::Pro,
        "SRN" => RefKind::Shipment,
        "SN" => RefKind::Seal,
        _ => return None,
    })
}

impl Draft<'_, '_, '_> {
    pub(super) fn fault(&mut self, fault: Fault) {
        let text = self.message.text.clone();
        self.message.fault(self.message.line_no, fault, &text);
    }

    pub(super) fn refer(&mut self, kind: RefKind, node: &Node, path: &str) {
        let value = self.taken.text(node, path);
        trade::refer(&mut self.event.references, kind, value);
    }

    /// ADD, CHANGE_BY_REFRESH or DELETE; a document without a code is a new one.
    pub(super) fn action(&mut self, node: &Node) {
        self.event.action = match self.taken.text(node, "documentActionCode") {
            "" | "ADD" => Action::Add,
            "CHANGE_BY_REFRESH" | "CORRECT" => Action::Change,
            "DELETE" => Action::Void,
            other => {
                let expected = "ADD, CHANGE_BY_REFRESH or DELETE";
                let fault = trade::fault("INVALID_CODE", "documentActionCode", 0, other, expected);
                return self.fault(fault);
            }
        };
    }

    /// Sets the site by the first of these places that the feed knows.
    pub(super) fn site(&mut self, places: &[Option<&Node>]) {
        let places = || places.iter().flatten();
        let codes: Vec<&str> = places().flat_map(|place| codes(place)).collect();
        let sites = &self.messages.parse.sites;
        if sites.is_empty() {
            return;
        }
        let known = codes.iter().find(|code| sites.contains_key(&code.to_uppercase())).or(codes.first());
        let code = known.copied().unwrap_or_default();
        if let Err(mut fault) = self.messages.place_at(&mut self.event, code) {
            fault.field = places().next().map_or_else(|| "inventoryLocation".to_owned(), |place| place.name.clone());
            self.fault(fault);
        }
    }

    /// A party by GLN, else by the first of its other numbers.
    pub(super) fn party(&mut self, role: PartyRole, node: Option<&Node>) {
        let Some(node) = node else { return };
        let gln = self.taken.text(node, "gln");
        let other = node.child("additionalPartyIdentification");
        let name =
            [self.taken.text(node, "address/name"), self.taken.text(node, "organisationDetails/organisationName")];
        let address = address(&self.taken, node);
        let party = trade::party(&mut self.event, role);
        if !gln.is_empty() {
            (party.id, party.id_scheme) = (gln.to_owned(), "GLN".to_owned());
        } else if let Some(other) = other {
            self.taken.mark(other);
            party.id.clone_from(&other.text);
            other.attr("additionalPartyIdentificationTypeCode").clone_into(&mut party.id_scheme);
        }
        name.into_iter().find(|name| !name.is_empty()).unwrap_or_default().clone_into(&mut party.name);
        party.address = address;
    }

    /// Takes the first of these times that is there. A date and a time stand in elements of their own, each with its zone.
    pub(super) fn time(&mut self, node: &Node, paths: &[&str]) {
        for path in paths {
            let Some(found) = self.taken.at(node, path) else { continue };
            let text = if found.children.is_empty() {
                found.text.clone()
            } else {
                let date = self.taken.text(found, "date");
                let time = self.taken.text(found, "time");
                joined(date, time)
            };
            if text.is_empty() {
                continue;
            }
            if let Err(fault) = self.messages.time(&mut self.event, path, 0, &text, &[]) {
                self.fault(fault);
            }
            return;
        }
        let field = paths.first().copied().unwrap_or_default();
        let fault = trade::fault("MISSING_MANDATORY", field, 0, "", "the time of the event, or of the document");
        self.fault(fault);
    }

    /// The references of a node; gives the line number that the first of them names.
    pub(super) fn references(&mut self, node: &Node) -> (Vec<(RefKind, String)>, String) {
        let (mut found, mut line_no) = (Vec::new(), String::new());
        for reference in node.children("transactionalReference") {
            let kind = reference_kind(reference.text_at("transactionalReferenceTypeCode"));
            let line = self.taken.text(reference, "lineItemNumber");
            if line_no.is_empty() {
                line.clone_into(&mut line_no);
            }
            if let Some(kind) = kind {
                self.taken.text(reference, "transactionalReferenceTypeCode");
                found.push((kind, self.taken.text(reference, "entityIdentification").to_owned()));
            }
        }
        let named = [
            ("purchaseOrder", RefKind::Po),
            ("customerReference", RefKind::Customer),
            ("salesOrder", RefKind::So),
            ("despatchAdvice", RefKind::Desadv),
            ("deliveryNote", RefKind::Desadv),
            ("billOfLadingNumber", RefKind::Bol),
            ("warehousingInboundInstruction", RefKind::DepositorOrder),
            ("warehousingOutboundInstruction", RefKind::DepositorOrder),
        ];
        for (name, kind) in named {
            let Some(reference) = node.child(name) else { continue };
            let value = self.taken.text(reference, "entityIdentification");
            let line = self.taken.text(reference, "lineItemNumber");
            if line_no.is_empty() {
                line.clone_into(&mut line_no);
            }
            if !value.is_empty() {
                found.push((kind, value.to_owned()));
            }
        }
        (found, line_no)
    }

    /// The order if it is named, else the nearest number of the document.
    pub(super) fn correlate(&mut self) {
        use RefKind as R;
        let orders = [R::So, R::Po, R::DepositorOrder, R::Rma];
        let of_line = |kind: &R| {
            let mut all = self.event.lines.iter().flat_map(|line| &line.references);
            all.find(|reference| reference.kind == *kind).map(|reference| reference.value.clone())
        };
        let of_event = |kind: &R| Some(self.event.reference(*kind).to_owned()).filter(|value| !value.is_empty());
        let known = orders.iter().find_map(of_event).or_else(|| orders.iter().find_map(of_line));
        let others = [R::Desadv, R::Shipment, R::Receipt, R::Adjustment, R::Report];
        self.event.correlation_id = known.or_else(|| others.iter().find_map(of_event)).unwrap_or_default();
    }
}

/// Spellings by which a feed may list a place.
pub(super) fn codes(place: &Node) -> impl Iterator<Item = &str> {
    let others = place.children("additionalPartyIdentification").map(|node| node.text.as_str());
    others.chain(place.child("gln").map(|node| node.text.as_str())).filter(|code| !code.is_empty())
}

/// Name of a place within the site.
pub(super) fn sub_location<'n>(taken: &Taken, node: &'n Node) -> &'n str {
    let Some(place) = node.child("inventorySubLocation") else { return "" };
    let numbers: Vec<&Node> = place.children("additionalPartyIdentification").collect();
    let is_internal =
        |node: &&&Node| node.attr("additionalPartyIdentificationTypeCode").starts_with("FOR_INTERNAL_USE");
    let best = numbers.iter().find(is_internal).or(numbers.first()).copied().or_else(|| place.child("gln"));
    best.map_or("", |node| {
        taken.mark(node);
        &node.text
    })
}

fn address(taken: &Taken, node: &Node) -> String {
    let parts = ["streetAddressOne", "streetAddressTwo", "street", "postalCode", "city", "state", "countryCode"];
    let texts = parts.map(|part| taken.text(node, &format!("address/{part}")));
    texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
}

/// `2025-01-19+05:30` and `06:04:13+05:30` as one time; the zone of a mere date says nothing about a day of the site.
fn joined(date: &str, time: &str) -> String {
    let (day, zone) = date.split_at_checked(10).unwrap_or((date, ""));
    if time.is_empty() {
        return day.to_owned();
    }
    let has_zone = time.ends_with('Z') || time.contains(['+', '-']);
    format!("{day}T{time}{}", if has_zone { "" } else { zone })
}

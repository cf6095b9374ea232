//! What stands above the lines of a document in the same way in all of them: parties, references, dates, carrier, notes.

use docksync_proto::event::{Event, Party, PartyRole, RefKind};

use super::{
    super::{
        message::doubt,
        trade::{keep, party, refer},
    },
    codes,
    segment::{Segment, upper},
    sheet::{Sheet, Site, keep_element, keep_others, keep_unless},
};

/// The header of a document while it is read.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) event: Event,
    /// Parties that may name the site.
    pub(super) sites: Vec<Site>,
    /// Where the lines below the last party go.
    spot: Spot,
}

/// Where name and address lines go.
#[derive(Debug)]
enum Spot {
    None,
    Role(PartyRole),
    Extension(String),
}

/// Parties that are told apart in one document.
const SITES_MAX: usize = 100;

impl Header {
    pub(super) fn new(event: Event) -> Self {
        Self { event, sites: Vec::new(), spot: Spot::None }
    }

    /// Takes a segment of the header. What is not mapped is kept.
    pub(super) fn take(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &Segment) {
        match segment.id() {
            "N1" => self.party(segment),
            "N2" => self.more(&[1, 2], segment, Party::add_name),
            "N3" => self.more(&[1, 2], segment, Party::add_address),
            "N4" => self.more(&[1, 2, 3, 4], segment, Party::add_address),
            "PER" if !matches!(self.spot, Spot::None) => self.contact(sheet, segment),
            "N9" | "REF" => self.reference(sheet, segment),
            "G62" | "DTM" => {
                sheet.day(segment, 2);
                sheet.keep(&mut self.event, segment, 1);
            }
            "W27" => self.carrier(segment, [2, 6, 7], &[]),
            "W66" => self.carrier(segment, [10, 0, 0], &[]),
            "W08" => self.carrier(segment, [2, 4, 5], &[6, 7]),
            "TD5" => self.routing(segment),
            "TD3" => self.carrier(segment, [0, 2, 3], &[9]),
            _ => sheet.keep(&mut self.event, segment, 1),
        }
    }

    fn party(&mut self, segment: &Segment) {
        let qualifier = upper(segment.get(1));
        let qualifier = &*qualifier;
        let code = segment.get(4);
        if !code.is_empty() && self.sites.len() < SITES_MAX {
            let (qualifier, code, text) = (qualifier.to_owned(), code.to_owned(), segment.text().to_owned());
            self.sites.push(Site { qualifier, code, line_no: segment.line_no, text });
        }
        let role = codes::role(qualifier).filter(|role| self.event.party(*role).is_none_or(is_bare));
        let Some(role) = role else {
            let key = format!("x12:N1*{qualifier}");
            keep(&mut self.event, &key, &segment.rest(2));
            self.spot = Spot::Extension(key);
            return;
        };
        let known = party(&mut self.event, role);
        known.name = segment.get(2).to_owned();
        if !code.is_empty() {
            known.id = code.to_owned();
            known.id_scheme = segment.get(3).to_owned();
        }
        self.spot = Spot::Role(role);
        keep_others(&mut self.event, segment, &[1, 2, 3, 4], 1);
    }

    fn more(&mut self, elements: &[usize], segment: &Segment, add: fn(&mut Party, &str)) {
        match &self.spot {
            Spot::Role(role) => {
                let known = party(&mut self.event, *role);
                elements
                    .iter()
                    .map(|n| segment.get(*n))
                    .filter(|text| !text.is_empty())
                    .for_each(|text| add(known, text));
                keep_others(&mut self.event, segment, elements, 1);
            }
            Spot::Extension(key) => keep(&mut self.event, key, &segment.rest(1)),
            Spot::None => keep(&mut self.event, format!("x12:{}", segment.id()), &segment.rest(1)),
        }
    }

    fn contact(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &Segment) {
        match &self.spot {
            Spot::Extension(key) => keep(&mut self.event, key.clone(), &segment.rest(1)),
            Spot::Role(_) | Spot::None => sheet.keep(&mut self.event, segment, 1),
        }
    }

    fn reference(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &Segment) {
        let Some(kind) = codes::reference(&upper(segment.get(1))).filter(|_| segment.has(2)) else {
            return sheet.keep(&mut self.event, segment, 1);
        };
        refer(&mut self.event.references, kind, segment.get(2));
        let key = format!("x12:{}*{}", segment.id(), segment.get(1));
        (3..=segment.last()).filter(|n| segment.has(*n)).for_each(|n| {
            keep(&mut self.event, format!("{key}/{n:02}"), segment.get(n));
        });
    }

    /// The carrier by its code, equipment and seals, at these elements; 0 for one that the segment does not have.
    fn carrier(&mut self, segment: &Segment, [code, initial, number]: [usize; 3], seals: &[usize]) {
        if code > 0 {
            self.carrier_code(segment, code);
        }
        if number > 0 && segment.has(number) {
            let trailer = format!("{}{}", segment.get(initial), segment.get(number));
            refer(&mut self.event.references, RefKind::Trailer, &trailer);
        }
        seals.iter().for_each(|n| refer(&mut self.event.references, RefKind::Seal, segment.get(*n)));
        keep_unless(&mut self.event, segment, 1, |n| [code, initial, number].contains(&n) || seals.contains(&n));
    }

    /// A standard carrier alpha code has two to four characters (element 140); what is longer is a name.
    fn carrier_code(&mut self, segment: &Segment, n: usize) {
        let text = segment.get(n);
        if text.is_empty() {
            return;
        }
        if text.chars().count() > 4 {
            let words = format!("`{text}` is longer than a carrier code; it is taken as a name");
            doubt(&mut self.event, "CARRIER_CODE", &super::sheet::name(segment, n), words);
            let carrier = party(&mut self.event, PartyRole::Carrier);
            if carrier.name.is_empty() {
                text.clone_into(&mut carrier.name);
            }
            return;
        }
        let carrier = party(&mut self.event, PartyRole::Carrier);
        if carrier.id.is_empty() {
            text.clone_into(&mut carrier.id);
            "SCAC".clone_into(&mut carrier.id_scheme);
        } else if carrier.id != text {
            keep_element(&mut self.event, segment, n, 1);
        }
    }

    /// TD5: 02 says by which list 03 names the carrier (element 66, 2 is the SCAC), 05 is the routing in words.
    fn routing(&mut self, segment: &Segment) {
        self.carrier_code(segment, 3);
        keep_others(&mut self.event, segment, &[3], 1);
    }
}

/// Whether nothing but a code of another segment is known of the party.
fn is_bare(party: &Party) -> bool {
    party.name.is_empty() && party.address.is_empty() && matches!(party.id_scheme.as_str(), "" | "SCAC")
}

/// Parties are told in several segments.
trait Lines {
    fn add_name(&mut self, text: &str);
    fn add_address(&mut self, text: &str);
}

impl Lines for Party {
    fn add_name(&mut self, text: &str) {
        join(&mut self.name, text);
    }

    fn add_address(&mut self, text: &str) {
        join(&mut self.address, text);
    }
}

fn join(all: &mut String, text: &str) {
    if !all.is_empty() {
        all.push_str(", ");
    }
    all.push_str(text);
}

/// The first segment with this identifier, or a fault.
pub(super) fn begin<'t>(
    sheet: &mut Sheet<'_, '_, '_, '_>,
    segments: &'t [Segment],
    id: &'static str,
) -> Option<&'t Segment> {
    let found = segments.iter().find(|segment| segment.is(id));
    if found.is_none() {
        let place = segments.first().cloned().unwrap_or_default();
        let fault = super::super::trade::fault("MISSING_MANDATORY", id, 0, "", format!("a segment {id} behind ST"));
        sheet.message.fault(place.line_no.max(sheet.place.line_no), fault, place.text());
    }
    found
}

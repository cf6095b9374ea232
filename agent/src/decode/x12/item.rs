//! What stands in and below the line of a document in the same way in all of them: item numbers, lots, serials, weights.

use docksync_proto::event::{Event, Line, RefKind, Reference};
use rust_decimal::Decimal;

use super::{
    super::{
        message::doubt,
        trade::{gtin14, keep, refer, set_gtin},
    },
    codes::{self, SKU_LAST, SKU_ORDER},
    segment::{Segment, upper},
    sheet::{Sheet, doubts, keep_element, name, nth_key},
};

/// Where a detail segment tells which goods it is about: elements of the case code (0 for none) and of the qualifiers whose
/// numbers stand behind them.
pub(super) struct Places<'p> {
    pub(super) upc: usize,
    pub(super) pairs: &'p [usize],
}

impl Places<'_> {
    /// Whether the element is taken.
    pub(super) fn takes(&self, n: usize) -> bool {
        n == self.upc || self.pairs.iter().any(|at| n == *at || n == at + 1)
    }

    /// Qualifiers and numbers, where both are there.
    fn known<'t>(&self, segment: &'t Segment) -> impl Iterator<Item = (&'t str, &'t str)> {
        let pairs = self.pairs.iter().map(|at| (segment.get(*at), segment.get(at + 1)));
        pairs.filter(|(qualifier, value)| !qualifier.is_empty() && !value.is_empty())
    }

    /// The case code.
    fn code<'t>(&self, segment: &'t Segment) -> &'t str {
        if self.upc > 0 { segment.get(self.upc) } else { "" }
    }

    /// Every element that is taken.
    pub(super) fn used(&self) -> Vec<usize> {
        let pairs = self.pairs.iter().flat_map(|n| [*n, *n + 1]);
        pairs.chain(Some(self.upc).filter(|n| *n > 0)).collect()
    }
}

/// A licence plate below a line: its element and the quantity in it.
#[derive(Debug, Clone)]
pub(super) struct Plate {
    pub(super) id: String,
    pub(super) qty: Option<Decimal>,
}

impl Sheet<'_, '_, '_, '_> {
    /// Reads the item of a line; a line that nobody can name is a fault.
    pub(super) fn item(
        &mut self,
        event: &mut Event,
        line: &mut Line,
        segment: &Segment,
        places: &Places<'_>,
        nth: usize,
    ) {
        let is_usual = self.messages.parse.list("sku").is_empty();
        let mut best: Option<(usize, &str)> = None;
        let mut rank = |qualifier: &str, value| {
            let rank = SKU_ORDER.iter().position(|known| known.eq_ignore_ascii_case(qualifier));
            if let Some(rank) = rank.filter(|rank| best.is_none_or(|(least, _)| *rank < least)) {
                best = Some((rank, value));
            }
        };
        for at in places.pairs {
            match (segment.get(*at), segment.get(at + 1)) {
                ("", "") => {}
                ("", value) => keep(event, nth_key(format!("x12:{}", name(segment, at + 1)), nth), value),
                (_, "") => keep_element(event, segment, *at, nth),
                (qualifier, value) => {
                    self.number(event, line, segment, &upper(qualifier), value, nth);
                    rank(qualifier, value);
                }
            }
        }
        let upc = places.code(segment);
        if !upc.is_empty() {
            rank("UPC", upc);
            if line.item.upc_case.is_empty() {
                upc.clone_into(&mut line.item.upc_case);
            }
        }
        match best.filter(|_| is_usual) {
            Some((_, value)) => value.clone_into(&mut line.item.sku),
            None => self.sku(event, line, segment, places),
        }
    }

    fn number(
        &mut self,
        event: &mut Event,
        line: &mut Line,
        segment: &Segment,
        qualifier: &str,
        value: &str,
        nth: usize,
    ) {
        let item = &mut line.item;
        let slot = match qualifier {
            "VN" | "VP" | "VC" | "VA" => &mut item.vendor_item,
            "BP" | "IN" | "CB" | "PN" => &mut item.buyer_item,
            "UA" => &mut item.upc_case,
            "ND" => &mut item.ndc,
            "LT" => &mut line.lot,
            "PJ" => &mut line.production_code,
            // Our own item number: nothing but the item number.
            "SK" | "SW" => return,
            "SN" => return line.serials.push(value.to_owned()),
            "UP" | "EN" | "UK" | "EO" => {
                let is_new = item.gtin.is_empty();
                if is_new {
                    set_gtin(item, doubts(event), &name(segment, 0), value);
                } else if gtin14(value).is_none_or(|gtin| gtin != item.gtin) {
                    keep(event, nth_key(format!("x12:{}*{qualifier}", segment.id()), nth), value);
                }
                return;
            }
            _ => return keep(event, nth_key(format!("x12:{}*{qualifier}", segment.id()), nth), value),
        };
        if slot.is_empty() {
            value.clone_into(slot);
        } else if slot != value {
            keep(event, nth_key(format!("x12:{}*{qualifier}", segment.id()), nth), value);
        }
    }

    /// Our item number, by the feed's order of qualifiers, or by one that none of them names.
    fn sku(&mut self, event: &mut Event, line: &mut Line, segment: &Segment, places: &Places<'_>) {
        let at = places.pairs.first().copied().unwrap_or(places.upc);
        let find = |qualifier: &str| {
            let known = places.known(segment).chain([("UPC", places.code(segment))]);
            let mut named = known.filter(|(q, value)| q.eq_ignore_ascii_case(qualifier) && !value.is_empty());
            named.next().map(|(_, value)| value)
        };
        let own = self.messages.parse.list("sku");
        let found = own.iter().find_map(|qualifier| find(qualifier));
        if let Some(value) = found {
            value.clone_into(&mut line.item.sku);
            return;
        }
        let order = if own.is_empty() { SKU_ORDER.join(", ") } else { own.join(", ") };
        match SKU_LAST.iter().find_map(|qualifier| find(qualifier).map(|value| (qualifier, value))) {
            Some((qualifier, value)) if own.is_empty() => {
                value.clone_into(&mut line.item.sku);
                let words = format!("`{value}` ({qualifier}) is taken as item number, as none of {order} is there");
                doubt(event, "SKU_FALLBACK", &name(segment, 0), words);
            }
            _ => self.fault(segment, at, "MISSING_MANDATORY", format!("an item number with one of {order}")),
        }
    }

    /// Takes a segment below a line. Gives the licence plate that it names, if it does.
    pub(super) fn below(&mut self, event: &mut Event, line: &mut Line, segment: &Segment, nth: usize) -> Option<Plate> {
        match segment.id() {
            "G69" => describe(event, line, segment, 1, nth),
            "PID" => describe(event, line, segment, 5, nth),
            "N9" | "REF" => return self.line_reference(event, line, segment, nth),
            "W20" => {
                self.weight(event, line, segment, 4, nth);
                (1..=segment.last())
                    .filter(|n| !(4..=6).contains(n))
                    .for_each(|n| keep_element(event, segment, n, nth));
            }
            "G62" | "DTM" => match (segment.get(1), self.day(segment, 2)) {
                ("36" | "036", Some(day)) => line.expiry_date = Some(day),
                _ => self.keep(event, segment, nth),
            },
            _ => self.keep(event, segment, nth),
        }
        None
    }

    fn line_reference(&mut self, event: &mut Event, line: &mut Line, segment: &Segment, nth: usize) -> Option<Plate> {
        let (qualifier, value) = (upper(segment.get(1)), segment.get(2));
        let mut is_whole = true;
        match &*qualifier {
            _ if value.is_empty() => {
                self.keep(event, segment, nth);
                return None;
            }
            "LI" => replace(event, &mut line.source_line_no, segment, nth),
            "LT" => replace(event, &mut line.lot, segment, nth),
            "PC" => replace(event, &mut line.production_code, segment, nth),
            "SE" => line.serials.push(value.to_owned()),
            "LV" => {
                let qty = self.quantity(segment, 3);
                return Some(Plate { id: value.to_owned(), qty });
            }
            _ => match codes::reference(&qualifier) {
                Some(kind) => refer(&mut line.references, kind, value),
                None => {
                    self.keep(event, segment, nth);
                    is_whole = false;
                }
            },
        }
        for n in (3..=segment.last()).filter(|n| is_whole && segment.has(*n)) {
            keep(event, nth_key(format!("x12:{}*{qualifier}/{n:02}", segment.id()), nth), segment.get(n));
        }
        None
    }
}

/// Sets a text that the line has once; another value of it is kept beside it.
fn replace(event: &mut Event, slot: &mut String, segment: &Segment, nth: usize) {
    let value = segment.get(2);
    if slot.is_empty() {
        value.clone_into(slot);
    } else if slot != value {
        let key = format!("x12:{}*{}", segment.id(), segment.get(1));
        doubt(event, "SEVERAL_VALUES", &key, format!("`{slot}` stands in the line already, beside `{value}`"));
        keep(event, nth_key(key, nth), value);
    }
}

fn describe(event: &mut Event, line: &mut Line, segment: &Segment, n: usize, nth: usize) {
    if line.item.description.is_empty() {
        segment.get(n).clone_into(&mut line.item.description);
    } else {
        keep_element(event, segment, n, nth);
    }
    // Before the text PID only says that a text follows.
    (1..=segment.last())
        .filter(|at| *at != n && !(n == 5 && *at == 1))
        .for_each(|at| keep_element(event, segment, at, nth));
}

/// A reference of a line.
pub(super) fn line_refer(line: &mut Line, kind: RefKind, value: &str) {
    if !value.is_empty() && !line.references.iter().any(|known| known.kind == kind && known.value == value) {
        line.references.push(Reference { kind, value: value.to_owned(), date: None });
    }
}

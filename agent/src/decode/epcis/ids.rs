//! GS1 identifiers as EPC URN and as GS1 Digital Link, brought to the same numbers.
//!
//! GS1 EPC Tag Data Standard 2.1, sections 6.3 and 7: in a URN the company prefix is told apart by a dot, the indicator or
//! extension digit leads the second part, and there is no check digit. GS1 Digital Link: URI Syntax 1.2, section 4: pairs of
//! application identifier and value in the path.

use docksync_proto::codes;

/// What an identifier names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Key {
    /// Which kind.
    pub(super) kind: Kind,
    /// GTIN of 14 digits, SSCC of 18, GLN of 13; for other kinds the text as sent.
    pub(super) id: String,
    /// Lot, with a GTIN.
    pub(super) lot: String,
    /// Serial number with a GTIN, extension with a GLN.
    pub(super) serial: String,
}

/// Kinds that an event tells apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Trade item, of a class, a lot or one alone.
    Gtin,
    /// Logistic unit.
    Sscc,
    /// Place or party.
    Gln,
    /// Asset, document, service relation: no goods.
    Asset,
    /// Any other URI.
    #[default]
    Other,
}

impl Key {
    /// The identifier as one text, the same for both spellings: `(01)09521141012345(21)2017`.
    pub(super) fn label(&self) -> String {
        let (ai, tail) = match self.kind {
            Kind::Gtin => ("(01)", "(21)"),
            Kind::Sscc => ("(00)", ""),
            Kind::Gln => ("(414)", "(254)"),
            Kind::Asset | Kind::Other => return self.id.clone(),
        };
        let mut label = [ai, &self.id].concat();
        for (ai, text) in [("(10)", &self.lot), (tail, &self.serial)].into_iter().filter(|(_, text)| !text.is_empty()) {
            label.push_str(ai);
            label.push_str(text);
        }
        label
    }
}

/// Reads an identifier; what is no GS1 key keeps its text.
pub(super) fn key(text: &str) -> Key {
    let text = text.trim();
    let found = match text.strip_prefix("urn:epc:") {
        Some(urn) => of_urn(urn),
        None if text.contains("://") => of_link(text),
        None => None,
    };
    found.unwrap_or_else(|| {
        let is_asset = ["id", "idpat", "class"].iter().any(|form| {
            let scheme = text.strip_prefix("urn:epc:").and_then(|rest| rest.strip_prefix(form)?.strip_prefix(':'));
            scheme.and_then(|rest| rest.split(':').next()).is_some_and(|scheme| ASSETS.contains(&scheme))
        });
        Key { kind: if is_asset { Kind::Asset } else { Kind::Other }, id: text.to_owned(), ..Key::default() }
    })
}

/// Schemes that name no goods (EPC TDS section 6.3).
const ASSETS: &[&str] =
    &["grai", "giai", "gsrn", "gsrnp", "gdti", "gsin", "ginc", "sgcn", "ginc", "bic", "imovn", "adi"];
/// Application identifiers of the same.
const ASSET_AIS: &[&str] = &["8003", "8004", "8017", "8018", "253", "255", "401", "402"];

fn of_urn(urn: &str) -> Option<Key> {
    let mut parts = urn.splitn(3, ':');
    let (form, scheme, value) = (parts.next()?, parts.next()?, parts.next()?);
    let mut fields = value.splitn(3, '.');
    let (prefix, reference) = (fields.next()?, fields.next()?);
    let rest = unescaped(fields.next().unwrap_or(""));
    let is_pattern = form == "idpat" && rest == "*";
    let (lot, serial) = match (form, scheme) {
        ("class", "lgtin") => (rest, String::new()),
        ("id", "sgtin") => (String::new(), rest),
        ("idpat", "sgtin") if is_pattern => (String::new(), String::new()),
        ("id", "sscc") if rest.is_empty() => {
            let (extension, serial) = reference.split_at_checked(1)?;
            return numbered(Kind::Sscc, &[extension, prefix, serial].concat(), 17, String::new(), String::new());
        }
        ("id" | "idpat", "sgln") => {
            let extension = if is_pattern || rest == "0" { String::new() } else { rest };
            return numbered(Kind::Gln, &[prefix, reference].concat(), 12, String::new(), extension);
        }
        ("id", "pgln") => {
            return numbered(Kind::Gln, &[prefix, reference].concat(), 12, String::new(), String::new());
        }
        _ => return None,
    };
    let (indicator, item) = reference.split_at_checked(1)?;
    numbered(Kind::Gtin, &[indicator, prefix, item].concat(), 13, lot, serial)
}

/// The number with its check digit, where it has the right length.
fn numbered(kind: Kind, digits: &str, length: usize, lot: String, serial: String) -> Option<Key> {
    if digits.len() != length || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut id = String::with_capacity(length + 1);
    id.push_str(digits);
    id.push(codes::check_digit(digits)?);
    Some(Key { kind, id, lot, serial })
}

fn of_link(link: &str) -> Option<Key> {
    let path = link.split_once("://")?.1.split(['?', '#']).next()?;
    let parts: Vec<&str> = path.split('/').skip(1).filter(|part| !part.is_empty()).collect();
    (0..parts.len().saturating_sub(1)).find_map(|at| of_pairs(parts.get(at..)?))
}

/// A primary key and its qualifiers.
fn of_pairs(pairs: &[&str]) -> Option<Key> {
    let (name, value) = (*pairs.first()?, *pairs.get(1)?);
    let is_number = |lengths: &[usize]| lengths.contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    let mut key = match name {
        "01" | "gtin" if is_number(&[8, 12, 13, 14]) => {
            Key { kind: Kind::Gtin, id: format!("{value:0>14}"), ..Key::default() }
        }
        "00" | "sscc" if is_number(&[18]) => Key { kind: Kind::Sscc, id: value.to_owned(), ..Key::default() },
        "414" | "417" | "gln" if is_number(&[13]) => Key { kind: Kind::Gln, id: value.to_owned(), ..Key::default() },
        _ if ASSET_AIS.contains(&name) => Key { kind: Kind::Asset, id: pairs.join("/"), ..Key::default() },
        _ => return None,
    };
    for pair in pairs.get(2..)?.chunks_exact(2) {
        match (key.kind, pair) {
            (Kind::Gtin, ["10" | "lot", lot]) => key.lot = unescaped(lot),
            (Kind::Gtin, ["21" | "ser", serial]) => key.serial = unescaped(serial),
            (Kind::Gln, ["254", extension]) if *extension != "0" => key.serial = unescaped(extension),
            _ => {}
        }
    }
    Some(key)
}

/// Percent-encoded characters as themselves; what is no such code stays.
fn unescaped(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match code.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> String {
        key(text).label()
    }

    #[test]
    fn urn_and_digital_link_give_the_same_numbers() {
        for (urn, link, expected) in [
            (
                "urn:epc:id:sgtin:0614141.107346.2017",
                "https://id.gs1.org/01/10614141073464/21/2017",
                "(01)10614141073464(21)2017",
            ),
            (
                "urn:epc:id:sgtin:952114.1101234.AB%2F9",
                "https://x.example/p/01/19521141012342/21/AB%2F9",
                "(01)19521141012342(21)AB/9",
            ),
            (
                "urn:epc:class:lgtin:4012345.012345.998877",
                "https://id.gs1.org/01/04012345123456/10/998877",
                "(01)04012345123456(10)998877",
            ),
            ("urn:epc:idpat:sgtin:4012345.098765.*", "https://id.gs1.org/gtin/4012345987652", "(01)04012345987652"),
            (
                "urn:epc:id:sscc:0614141.1234567890",
                "https://id.gs1.org/00/106141412345678908",
                "(00)106141412345678908",
            ),
            ("urn:epc:id:sgln:0614141.00888.0", "https://id.gs1.org/414/0614141008889", "(414)0614141008889"),
            (
                "urn:epc:id:sgln:0614141.07346.1234",
                "https://id.gs1.org/414/0614141073467/254/1234?a=b",
                "(414)0614141073467(254)1234",
            ),
            ("urn:epc:id:sgln:952012345676..D", "https://id.gs1.org/414/9520123456764/254/D", ""),
        ] {
            let found = label(urn);

            assert_eq!(found, label(link), "{urn}");
            if !expected.is_empty() {
                assert_eq!(found, expected, "{urn}");
            }
        }
    }

    #[test]
    fn every_length_of_company_prefix_places_the_indicator() {
        for (prefix, item) in [
            ("061414", "1107346"),
            ("0614141", "107346"),
            ("06141411", "10734"),
            ("061414110", "1734"),
            ("0614141107", "134"),
            ("06141411073", "14"),
            ("061414110734", "1"),
        ] {
            let found = key(&format!("urn:epc:id:sgtin:{prefix}.{item}.1"));

            assert_eq!((found.kind, found.id.len()), (Kind::Gtin, 14), "{prefix}");
            assert!(found.id.starts_with(&format!("1{prefix}")), "{prefix} {}", found.id);
            assert!(codes::has_check_digit(&found.id));
        }
    }

    #[test]
    fn what_is_no_key_keeps_its_text() {
        for (text, kind) in [
            ("urn:epc:id:grai:4012345.55555.987", Kind::Asset),
            ("https://id.example.com/8003/030013450007718765", Kind::Asset),
            ("urn:epc:id:sgtin:0614141.1.2", Kind::Other),
            ("urn:epc:id:sgtin", Kind::Other),
            ("urn:epc:id:sgtin:é.é.é", Kind::Other),
            ("http://example.com/item/7", Kind::Other),
            ("plain", Kind::Other),
            ("", Kind::Other),
            ("%", Kind::Other),
        ] {
            assert_eq!(key(text).kind, kind, "{text}");
        }
        assert_eq!(unescaped("a%zz%"), "a%zz%");
    }
}

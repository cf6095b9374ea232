//! Code tables: units, reasons, stock statuses (EVENTS 1.3, 3.1, 3.3).

/// Canonical units, each with the spellings that mean it (X12 element 355, UN/ECE Recommendation 20, SAP, common words).
const UNITS: &[(&str, &[&str])] = &[
    ("EA", &["EA", "H87", "PCE", "PCS", "PC", "ST", "UN", "PZ", "EACH", "EACHES"]),
    ("CA", &["CA", "CS", "CT", "CTN", "KAR", "CASE", "CASES"]),
    ("PL", &["PL", "PLT", "PF", "PALLET"]),
    ("BX", &["BX", "BOX"]),
    ("PK", &["PK", "PAK", "PACK"]),
    ("DZ", &["DZ", "DZN"]),
    ("LB", &["LB", "LBR"]),
    ("KG", &["KG", "KGM"]),
    ("FT", &["FT", "FOT"]),
];

/// Canonical reasons of an adjustment.
pub const REASONS: &[&str] = &[
    "count_gain",
    "count_loss",
    "damage",
    "expired",
    "hold",
    "release",
    "quality_in",
    "quality_out",
    "rework",
    "recall",
    "receipt_correction",
    "shipment_correction",
    "transfer",
    "customer_return",
    "sample",
    "donation",
    "ownership",
    "relabel",
    "other",
];

/// Canonical stock statuses; a source's other code is kept as `other:<code>`.
pub const STOCK_STATUSES: &[&str] = &[
    "available",
    "allocated",
    "hold",
    "damaged",
    "quality",
    "expired",
    "in_transit",
    "suspense",
    "received_not_put_away",
];

/// The canonical unit that a spelling means, upper or lower case; `None` where it is not known.
pub fn canonical_uom(text: &str) -> Option<&'static str> {
    // Nearly all lines are in this unit.
    if text == UNITS[0].0 {
        return Some(UNITS[0].0);
    }
    let spelling = |known: &&str| known.eq_ignore_ascii_case(text);
    UNITS.iter().find(|(_, spellings)| spellings.iter().any(spelling)).map(|(unit, _)| *unit)
}

/// Whether this is a stock status of the contract.
pub fn is_stock_status(text: &str) -> bool {
    STOCK_STATUSES.contains(&text) || text.strip_prefix("other:").is_some_and(|code| !code.is_empty())
}

/// The check digit that a GS1 number without one gets (GS1 General Specifications 7.9); `None` where it is not all digits.
pub fn check_digit(digits: &str) -> Option<char> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    char::from_digit((10 - weighted(digits, 3) % 10) % 10, 10)
}

/// The sum of the digits with weights 1 and 3 in turn; the last of them has weight `last`.
fn weighted(digits: &str, last: u32) -> u32 {
    digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, b)| u32::from(b - b'0') * if at % 2 == 0 { last } else { 4 - last })
        .sum()
}

/// Whether a GS1 number (GTIN, SSCC) of digits ends with the right check digit (GS1 General Specifications 7.9).
pub fn has_check_digit(digits: &str) -> bool {
    if digits.len() < 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    weighted(digits, 1).is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spelling_finds_its_unit_in_any_case() {
        assert_eq!(canonical_uom("kgm"), Some("KG"));
        assert_eq!(canonical_uom("Eaches"), Some("EA"));
        assert_eq!(canonical_uom("FURLONG"), None);
    }

    #[test]
    fn a_wrong_check_digit_is_found() {
        assert!(has_check_digit("4006381333931"));
        assert!(!has_check_digit("4006381333932"));
        assert!(has_check_digit("106141412345678908"));
    }
}

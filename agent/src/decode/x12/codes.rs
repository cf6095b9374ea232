//! Code tables of ASC X12 004010 and 005010 that the documents of a warehouse use (EVENTS 3).

use docksync_proto::event::{LineStatus, PartyRole, RefKind};

use super::segment::code;

/// Documents that are read, with the functional identifier of their group (element 479).
pub(super) const DOCUMENTS: &[(&str, &str)] = &[
    ("846", "IB"),
    ("850", "PO"),
    ("855", "PR"),
    ("856", "SH"),
    ("860", "PC"),
    ("940", "OW"),
    ("943", "AR"),
    ("944", "RE"),
    ("945", "SW"),
    ("947", "AW"),
    ("997", "FA"),
];

/// Identifiers of the segments that those documents may hold. Others are kept, and reported as unknown.
pub(super) const SEGMENTS: &[&str] = &[
    "ACK", "ADV", "AK1", "AK2", "AK3", "AK4", "AK5", "AK9", "AMT", "BAK", "BCH", "BEG", "BIA", "BSN", "CLD", "CN1",
    "CSH", "CTB", "CTP", "CTT", "CUR", "CUX", "DIS", "DTM", "EFI", "FOB", "FST", "G01", "G25", "G50", "G61", "G62",
    "G66", "G69", "G70", "G72", "GE", "GS", "HL", "IEA", "INC", "ISA", "IT8", "ITA", "ITD", "J2X", "LC", "LDT", "LE",
    "LIN", "LM", "LQ", "LS", "LX", "MAN", "MEA", "MSG", "MTX", "N1", "N2", "N3", "N4", "N9", "NM1", "NTE", "NX1",
    "NX2", "PAC", "PAL", "PAM", "PCT", "PER", "PID", "PKD", "PKG", "PO1", "PO3", "PO4", "POC", "PRF", "PWK", "QTY",
    "R1", "R2", "R4", "REF", "RST", "SAC", "SCH", "SDQ", "SE", "SI", "SLN", "SN1", "SPI", "ST", "TA1", "TAX", "TC2",
    "TD1", "TD3", "TD4", "TD5", "TXI", "UIT", "V1", "V4", "W01", "W03", "W04", "W05", "W06", "W07", "W08", "W09",
    "W10", "W12", "W13", "W14", "W15", "W17", "W19", "W20", "W27", "W28", "W66", "W76",
];

/// The same as numbers: they are compared at once.
const CODES: [u64; SEGMENTS.len()] = {
    let (mut codes, mut at) = ([0; SEGMENTS.len()], 0);
    while at < codes.len() {
        codes[at] = code(SEGMENTS[at]);
        at += 1;
    }
    codes
};

/// Whether a segment of this name may stand in one of those documents.
pub(super) fn is_segment(id: &str) -> bool {
    let wanted = code(id);
    CODES.iter().fold(false, |is_found, code| is_found | (*code == wanted))
}

/// What a reference number names (element 128).
pub(super) fn reference(qualifier: &str) -> Option<RefKind> {
    Some(match qualifier {
        "2I" => RefKind::Tracking,
        "AO" => RefKind::Appointment,
        "BM" => RefKind::Bol,
        "CN" => RefKind::Pro,
        "CO" => RefKind::CustomerOrder,
        "CR" => RefKind::Customer,
        "DP" => RefKind::Department,
        "IV" => RefKind::Inv,
        "LO" => RefKind::Load,
        "MB" => RefKind::MasterBol,
        "PO" => RefKind::Po,
        "RZ" => RefKind::Rma,
        "SN" => RefKind::Seal,
        "ST" => RefKind::Store,
        "WR" => RefKind::Receipt,
        _ => return None,
    })
}

/// Who a party is (element 98).
pub(super) fn role(code: &str) -> Option<PartyRole> {
    Some(match code {
        "BT" => PartyRole::BillTo,
        "BY" => PartyRole::Buyer,
        "CA" => PartyRole::Carrier,
        "CN" | "ST" => PartyRole::ShipTo,
        "DE" => PartyRole::Depositor,
        "SE" | "SU" | "VN" => PartyRole::Supplier,
        "SF" => PartyRole::ShipFrom,
        "WH" => PartyRole::Warehouse,
        _ => return None,
    })
}

/// How a line ended (element 368). `CS` is complete by a substitute: the quantity says the first, the code the second.
pub(super) fn line_status(code: &str) -> Option<LineStatus> {
    Some(match code {
        "CC" | "CL" | "CM" | "DD" => LineStatus::Complete,
        "CP" | "PR" => LineStatus::ShortNoBackorder,
        "BP" | "BO" | "BK" => LineStatus::ShortBackordered,
        "CU" | "IC" | "DE" | "CK" | "DI" => LineStatus::Cancelled,
        "CS" | "IS" => LineStatus::Substituted,
        _ => return None,
    })
}

/// How a line of an order was answered (element 668).
pub(super) fn answer_status(code: &str) -> Option<LineStatus> {
    Some(match code {
        "AC" | "IA" => LineStatus::Complete,
        "BP" | "IB" => LineStatus::ShortBackordered,
        "IR" | "ID" | "R1" | "R2" | "R3" | "R4" => LineStatus::Cancelled,
        "IS" => LineStatus::Substituted,
        "DR" | "IQ" | "IC" | "IH" | "IP" | "IW" => LineStatus::Other,
        _ => return None,
    })
}

/// Qualifiers of item numbers (element 235) that may serve as our item number, best first (EVENTS 3.9). `UPC` is the case
/// code that the detail segments of warehouse documents carry without a qualifier.
pub(super) const SKU_ORDER: &[&str] = &["SK", "SW", "VN", "VP", "VC", "BP", "IN", "PN", "UK", "UP", "EN", "UPC"];

/// Where none of those is there: better this with a doubt than a line that nobody can name.
pub(super) const SKU_LAST: &[&str] = &["CB", "VA", "EO", "UA", "MG", "ND"];

/// Qualifiers of element 235, as far as they stand in these documents: to see that elements have moved.
pub(super) const ITEM_QUALIFIERS: &[&str] = &[
    "BP", "CB", "CM", "EC", "EN", "EO", "IN", "LT", "MF", "MG", "ND", "PI", "PJ", "PN", "SK", "SM", "SN", "SR", "SW",
    "UA", "UC", "UK", "UP", "VA", "VC", "VN", "VP", "ZZ",
];

/// Stock status of a quantity in a stock report (element 673, EVENTS 3.6). `None` for one that is no status of the contract; an
/// empty one is the whole stock, whatever its status (17 on hand), as in EDIFACT.
pub(super) fn stock_status(code: &str) -> Option<&'static str> {
    Some(match code {
        "17" => "",
        "33" | "34" | "V2" | "RJ" => "available",
        "QH" => "hold",
        "74" => "damaged",
        "IQ" => "in_transit",
        _ => return None,
    })
}

/// Stock status of an inventory transaction type (element 529).
pub(super) fn transaction_status(code: &str) -> Option<&'static str> {
    Some(match code {
        "SA" => "available",
        "QU" => "hold",
        "QI" => "quality",
        "DM" => "damaged",
        "IT" => "in_transit",
        _ => return None,
    })
}

/// From and to which stock status a reason moves goods (element 181).
pub(super) fn status_move(reason: &str) -> Option<(&'static str, &'static str)> {
    Some(match reason {
        "05" => ("available", "hold"),
        "55" => ("hold", "available"),
        "08" => ("available", "quality"),
        "88" => ("quality", "available"),
        "52" => ("damaged", "available"),
        "AC" => ("available", "other:AC"),
        _ => return None,
    })
}

/// Receiving condition (element 412) as the end of an exception's code; `None` for goods that are as they should be.
pub(super) fn condition(code: &str) -> Option<&'static str> {
    Some(match code {
        "01" => "DAMAGED",
        "02" => "SHORT",
        "03" | "12" => "OVER",
        "04" => "QUALITY",
        "05" => "INCORRECT_PRODUCT",
        "06" => "CONTAINER",
        "08" => "REJECTED",
        "09" => "HOLD",
        "10" => "SCRAPPED",
        "13" | "14" => "NO_SHIP_NOTICE",
        "16" => "NOT_RECEIVED",
        _ => return None,
    })
}

/// Zone of a time (element 623): an offset in hours, or the name of a zone whose offset depends on the day.
pub(super) enum Zone {
    Local,
    Hours(i32),
    Named(&'static str),
}

/// The zone that a time code names.
pub(super) fn zone(code: &str) -> Option<Zone> {
    let fixed = |hours| Some(Zone::Hours(hours));
    match code {
        "" | "LT" => Some(Zone::Local),
        "UT" | "GM" => fixed(0),
        "HS" => fixed(-10),
        "HD" | "AS" => fixed(-9),
        "AD" | "PS" => fixed(-8),
        "PD" | "MS" => fixed(-7),
        "MD" | "CS" => fixed(-6),
        "CD" | "ES" => fixed(-5),
        "ED" | "TS" => fixed(-4),
        "TD" => fixed(-3),
        "AT" => Some(Zone::Named("America/Anchorage")),
        "CT" => Some(Zone::Named("America/Chicago")),
        "ET" => Some(Zone::Named("America/New_York")),
        "HT" => Some(Zone::Named("Pacific/Honolulu")),
        "MT" => Some(Zone::Named("America/Denver")),
        "NT" => Some(Zone::Named("America/St_Johns")),
        "PT" => Some(Zone::Named("America/Los_Angeles")),
        "TT" => Some(Zone::Named("America/Halifax")),
        _ => match code.parse::<i32>() {
            Ok(hours @ 1..=12) => fixed(hours),
            Ok(hours @ 13..=24) => fixed(hours - 25),
            _ => None,
        },
    }
}

/// Canonical unit of a weight (elements 188 and 355).
pub(super) fn weight_unit(code: &str) -> &str {
    match code {
        "L" | "LB" | "01" => "LB",
        "K" | "KG" | "50" => "KG",
        "G" | "GR" => "GR",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_in_order_and_found() {
        assert!(SEGMENTS.is_sorted());
        assert!(SEGMENTS.iter().all(|id| is_segment(id)));
        assert!(!is_segment("W99"));
    }
}

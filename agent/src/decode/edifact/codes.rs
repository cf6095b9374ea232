//! Code lists of the directories, as far as events speak of them (UNTDID D.96A unless said otherwise).

use docksync_proto::event::{Action, ContainerKind, LineStatus, PartyRole, RefKind};

pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Data element 1153. Numbers of a document as a whole; those that also name lines are the same.
pub(super) fn reference(qualifier: &str) -> Option<RefKind> {
    Some(match qualifier {
        "ON" => RefKind::Po,
        "VN" => RefKind::So,
        "AAJ" => RefKind::DepositorOrder,
        "CO" | "UO" => RefKind::CustomerOrder,
        "CR" => RefKind::Customer,
        "AAK" | "DQ" | "AAU" => RefKind::Desadv,
        "ALO" => RefKind::Receipt,
        "ALQ" => RefKind::Rma,
        "SRN" => RefKind::Shipment,
        "BM" => RefKind::Bol,
        "MB" => RefKind::MasterBol,
        "CN" => RefKind::Pro,
        "LO" => RefKind::Load,
        "SN" => RefKind::Seal,
        "IV" => RefKind::Inv,
        _ => return None,
    })
}

/// Data element 3035.
pub(super) fn role(qualifier: &str) -> Option<PartyRole> {
    Some(match qualifier {
        "SF" | "SH" | "CZ" | "PW" => PartyRole::ShipFrom,
        "ST" | "DP" | "CN" | "UC" => PartyRole::ShipTo,
        "WH" | "LSP" => PartyRole::Warehouse,
        "WD" | "GO" | "OW" => PartyRole::Depositor,
        "IV" | "PR" => PartyRole::BillTo,
        "CA" | "FW" => PartyRole::Carrier,
        "SU" | "SE" | "VN" => PartyRole::Supplier,
        "BY" | "OB" => PartyRole::Buyer,
        _ => return None,
    })
}

/// Data element 1225: what a document does to an earlier one. 1 cancellation, 3 deletion, 4 change, 5 replace.
pub(super) fn action(function: &str) -> Action {
    match function {
        "1" | "3" => Action::Void,
        "4" | "5" => Action::Change,
        _ => Action::Add,
    }
}

/// Data element 4221, whose letters are those of X12 element 368.
pub(super) fn discrepancy(code: &str) -> Option<LineStatus> {
    Some(match code {
        "" => return None,
        "CC" | "CM" | "DD" => LineStatus::Complete,
        "CP" | "PR" => LineStatus::ShortNoBackorder,
        "BP" | "BO" | "BK" => LineStatus::ShortBackordered,
        "CU" | "IC" | "DE" | "CK" | "DI" => LineStatus::Cancelled,
        "CS" | "IS" => LineStatus::Substituted,
        _ => LineStatus::Other,
    })
}

/// Data element 7065 with the codes of EANCOM (08 and 09 pallets, 200 to 212 pallets of given sizes) and Recommendation 21.
pub(super) fn container_kind(code: &str) -> Option<ContainerKind> {
    Some(match code {
        "08" | "8" | "09" | "9" | "200" | "201" | "202" | "203" | "204" | "210" | "211" | "212" => {
            ContainerKind::Pallet
        }
        "PX" | "PF" | "PE" | "PAL" | "PLT" => ContainerKind::Pallet,
        "CT" | "CTN" | "BX" | "CS" | "4G" => ContainerKind::Carton,
        "PC" => ContainerKind::Parcel,
        _ => return None,
    })
}

/// Data element 4499: reason of a movement. Reception and delivery are corrections here: what was received and shipped is told
/// by RECADV and DESADV.
pub(super) fn reason(code: &str, is_gain: bool) -> Option<&'static str> {
    Some(match code {
        "1" => "receipt_correction",
        "2" => "shipment_correction",
        "3" | "8" => "damage",
        "4" if is_gain => "count_gain",
        "4" => "count_loss",
        "5" => "ownership",
        "6" | "10" => "rework",
        "7" | "9" | "11" => "other",
        _ => return None,
    })
}

/// Data element 7491: kind of stock.
pub(super) fn stock_status(inventory_type: &str) -> Option<&'static str> {
    Some(match inventory_type {
        "1" => "available",
        "2" => "damaged",
        "3" => "other:bonded",
        "4" => "allocated",
        _ => return None,
    })
}

/// Data element 6063 in a stock report: the stock status that the quantity has, where it is a stock at all. An empty one is the
/// whole stock, whatever its status (17 on hand, 145 actual stock).
pub(super) fn stock_of(quantity: &str) -> Option<String> {
    Some(match quantity {
        "17" | "145" => String::new(),
        "27" => "hold".to_owned(),
        "66" => "allocated".to_owned(),
        "124" => "damaged".to_owned(),
        // Orders, packs, limits and past movements.
        "3" | "11" | "12" | "13" | "14" | "18" | "21" | "31" | "46" | "47" | "48" | "52" | "53" | "54" | "59"
        | "61" | "70" | "71" | "79" | "83" | "113" | "131" | "153" | "192" | "194" => return None,
        code => format!("other:{code}"),
    })
}

/// Data element 7143 in the order in which an item number is looked for; the feed's option `sku` goes before it.
pub(super) const SKU_ORDER: &[&str] =
    &["SK", "SW", "SA", "VN", "VP", "VC", "BP", "IN", "PN", "MF", "SRV", "EN", "UP", "EU", "GTN", "SRS", "UPC"];

/// Whether the number is a GTIN (data element 7143).
pub(super) fn is_gtin(qualifier: &str) -> bool {
    matches!(qualifier, "SRV" | "EN" | "UP" | "EU" | "GTN" | "SRS" | "UPC")
}

/// Data element 0085 for a code of ours.
pub(super) fn syntax_error(code: &str) -> &'static str {
    match code {
        "MISSING_MANDATORY" => "13",
        "COUNT_MISMATCH" => "29",
        "ENVELOPE_MISMATCH" => "28",
        "ENCODING_ERROR" => "21",
        "UNSUPPORTED_DOCUMENT" => "17",
        "INVALID_DATE" | "INVALID_QUANTITY" | "UNKNOWN_UOM" | "UNKNOWN_SITE" | "INVALID_CODE" => "12",
        "DOCUMENT_TOO_LARGE" => "16",
        _ => "18",
    }
}

//! What a refusal of ERPNext means for an event. Pure.
//!
//! Judged by the class of the error (`frappe/exceptions.py`, `erpnext/stock/stock_ledger.py`, `erpnext/accounts/general_ledger.py`), and
//! for books that are closed without a class of their own by the sentence; our user's language is therefore English.

use crate::consumers::{FaultClass, Outcome, wire::Refusal};

/// Another transaction was in the way, or somebody saved the same document.
const CONFLICTS: [&str; 4] =
    ["QueryDeadlockError", "QueryTimeoutError", "TimestampMismatchError", "DocumentLockedError"];
const CLOSED_CLASSES: [&str; 3] = ["ClosedAccountingPeriod", "StockFreezeError", "FiscalYearError"];
/// Of accounts frozen up to a day, and of a period closing voucher. One account that is frozen is no closed period.
const CLOSED: [&str; 2] = ["authorized to add or update entries before", "books have been closed till the period"];

/// Whether the same call may be made again at once.
pub(super) fn is_conflict(refusal: &Refusal) -> bool {
    CONFLICTS.contains(&refusal.kind.as_str())
}

/// Whether a document with the same key is there.
pub(super) fn is_there(refusal: &Refusal) -> bool {
    matches!(refusal.kind.as_str(), "UniqueValidationError" | "DuplicateEntryError")
}

/// What a refusal means.
pub(super) fn outcome(refusal: &Refusal) -> Outcome {
    let reason = refusal.words();
    let retry = |class| Outcome::Retry { class, after_ms: None, reason: reason.clone() };
    let sentence = refusal.message.to_lowercase();
    let is_closed = CLOSED.iter().any(|closed| sentence.contains(closed));
    match refusal.kind.as_str() {
        _ if is_conflict(refusal) => retry(FaultClass::Outage),
        kind if CLOSED_CLASSES.contains(&kind) => retry(FaultClass::ClosedPeriod),
        "ValidationError" if is_closed => retry(FaultClass::ClosedPeriod),
        "AuthenticationError" | "PermissionError" | "SessionExpired" | "CSRFTokenError" => retry(FaultClass::Auth),
        "RateLimitExceededError" | "TooManyRequestsError" => retry(FaultClass::Limit),
        "SessionStopped" | "InReadOnlyMode" | "OperationalError" | "InterfaceError" => retry(FaultClass::Outage),
        kind => Outcome::Rejected { code: code(kind), reason },
    }
}

/// `NegativeStockError` as `NEGATIVE_STOCK`.
fn code(kind: &str) -> String {
    let mut code = String::new();
    for c in kind.trim_end_matches("Error").chars() {
        if c.is_ascii_uppercase() && !code.is_empty() {
            code.push('_');
        }
        code.push(c.to_ascii_uppercase());
    }
    if code.is_empty() { "REFUSED".to_owned() } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_meaning() {
        let of = |kind: &str, message: &str| {
            let refusal = Refusal { kind: kind.to_owned(), message: message.to_owned(), description: String::new() };
            match outcome(&refusal) {
                Outcome::Retry { class, .. } => class.as_str().to_owned(),
                Outcome::Rejected { code, .. } => code,
                other => format!("{other:?}"),
            }
        };
        let table = [
            ("ValidationError", "Row 1: Item is disabled", "VALIDATION"),
            ("NegativeStockError", "5 units needed", "NEGATIVE_STOCK"),
            ("LinkValidationError", "Could not find Warehouse", "LINK_VALIDATION"),
            ("ClosedAccountingPeriod", "", "closed_period"),
            ("StockFreezeError", "", "closed_period"),
            ("ValidationError", "You are not authorized to add or update entries before 31-10-2026", "closed_period"),
            ("ValidationError", "Books have been closed till the period ending on 31-10-2026", "closed_period"),
            ("ValidationError", "Account Stock In Hand - A is frozen", "VALIDATION"),
            ("PermissionError", "", "auth"),
            ("RateLimitExceededError", "", "limit"),
            ("TimestampMismatchError", "", "outage"),
            ("QueryDeadlockError", "", "outage"),
            ("TypeError", "", "TYPE"),
        ];
        for (kind, message, expected) in table {
            assert_eq!(of(kind, message), expected, "{kind}: {message}");
        }
    }
}

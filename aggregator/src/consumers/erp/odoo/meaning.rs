//! What a refusal of Odoo means for an event. Pure.
//!
//! Judged by the class of the error (`odoo/exceptions.py`), and for closed books by Odoo's sentence, which is English because every
//! call asks for `en_US`: Odoo has no class for them. Whatever is refused was rolled back.

use crate::consumers::{FaultClass, Outcome, wire::Refusal};

/// Sentences of `account.move` and of lock date checks of stock modules.
const CLOSED: [&str; 2] = ["prior to and inclusive of", "lock date"];
/// PostgreSQL lost the transaction to another one; Odoo itself tries five times before it tells.
const CONFLICTS: [&str; 5] =
    ["SerializationFailure", "DeadlockDetected", "LockNotAvailable", "ConcurrencyError", "LockError"];

/// Whether the same call may be made again at once.
pub(super) fn is_conflict(refusal: &Refusal) -> bool {
    let class = class_of(refusal);
    CONFLICTS.contains(&class) || refusal.message.contains("could not serialize access")
}

/// What a refusal means.
pub(super) fn outcome(refusal: &Refusal) -> Outcome {
    let reason = refusal.words();
    let retry = |class| Outcome::Retry { class, after_ms: None, reason: reason.clone() };
    let rejected = |code: &str| Outcome::Rejected { code: code.to_owned(), reason: reason.clone() };
    if is_conflict(refusal) {
        return retry(FaultClass::Outage);
    }
    let is_closed = CLOSED.iter().any(|sentence| refusal.message.to_lowercase().contains(sentence));
    match class_of(refusal) {
        "UserError" | "ValidationError" | "RedirectWarning" if is_closed => retry(FaultClass::ClosedPeriod),
        "UserError" => rejected("REFUSED"),
        "ValidationError" => rejected("VALIDATION"),
        "RedirectWarning" => Outcome::NeedsDecision { reason },
        "MissingError" => rejected("MISSING_RECORD"),
        "AccessDenied" | "AccessError" | "Unauthorized" | "Forbidden" | "SessionExpiredException" => {
            retry(FaultClass::Auth)
        }
        // A model or method that is not there: the module is not installed, and every event would meet it.
        "NotFound" => retry(FaultClass::Auth),
        "TooManyRequests" => retry(FaultClass::Limit),
        "OperationalError" | "InterfaceError" | "PoolError" | "ServiceUnavailable" => retry(FaultClass::Outage),
        // A fault in its own code.
        _ => rejected("ERP_FAULT"),
    }
}

fn class_of(refusal: &Refusal) -> &str {
    refusal.kind.rsplit('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, message: &str) -> Outcome {
        outcome(&Refusal { kind: kind.to_owned(), message: message.to_owned(), description: String::new() })
    }

    #[test]
    fn each_refusal_has_its_meaning() {
        let class = |outcome| match outcome {
            Outcome::Retry { class, .. } => class.as_str().to_owned(),
            Outcome::Rejected { code, .. } => code,
            other => format!("{other:?}"),
        };
        let table = [
            ("odoo.exceptions.UserError", "You need to supply a Lot/Serial number", "REFUSED"),
            (
                "odoo.exceptions.UserError",
                "You cannot add/modify entries prior to and inclusive of: Tax Lock Date (10/31/2026).",
                "closed_period",
            ),
            ("odoo.exceptions.ValidationError", "Reference must be unique per company!", "VALIDATION"),
            ("odoo.exceptions.MissingError", "Record does not exist", "MISSING_RECORD"),
            ("odoo.exceptions.AccessError", "You are not allowed to modify", "auth"),
            ("odoo.exceptions.AccessDenied", "Access Denied", "auth"),
            ("werkzeug.exceptions.NotFound", "the model 'stock.picking' does not exist", "auth"),
            ("psycopg2.errors.SerializationFailure", "could not serialize access", "outage"),
            ("psycopg2.OperationalError", "server closed the connection", "outage"),
            ("builtins.ValueError", "Invalid field", "ERP_FAULT"),
        ];
        for (kind, message, expected) in table {
            assert_eq!(class(of(kind, message)), expected, "{kind}: {message}");
        }
    }

    #[test]
    fn a_warning_that_leads_elsewhere_is_for_a_person() {
        let warned = of("odoo.exceptions.RedirectWarning", "Please configure the journal");

        assert!(matches!(warned, Outcome::NeedsDecision { .. }), "{warned:?}");
    }
}

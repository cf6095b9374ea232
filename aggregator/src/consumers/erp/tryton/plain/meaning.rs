//! What a refusal of Tryton means for an event. Pure.
//!
//! Judged by the class of the error (trytond 8.2, `exceptions.py`), never by its sentence, which is in the user's language. Whatever is
//! refused was rolled back.

use crate::consumers::{FaultClass, Outcome, wire::Refusal};

/// What these ask is whether what the warehouse says shall be believed: more than ordered went or came, other lots or less were
/// packed than picked, a move is of no order (modules `stock`, `stock_lot`, `sale` and `purchase`).
const ANSWERED: [&str; 4] = ["check_move_quantity", "check_quantity_lot", "check_quantity_product", "done"];

/// Whether the same call may be made again at once.
pub(super) fn is_conflict(refusal: &Refusal) -> bool {
    refusal.kind == "ConcurrencyException"
}

/// Whether it is a warning that is passed over. Its name ends in what it is about.
pub(super) fn is_answered(refusal: &Refusal) -> bool {
    let about = refusal.description.rsplit('.').next().unwrap_or_default();
    refusal.kind == "UserWarning" && ANSWERED.contains(&about)
}

/// What a refusal means.
pub(super) fn outcome(refusal: &Refusal) -> Outcome {
    let reason = refusal.words();
    match refusal.kind.as_str() {
        "UserError" => Outcome::Rejected { code: REFUSED.to_owned(), reason },
        "UserWarning" => Outcome::NeedsDecision { reason },
        "ConcurrencyException" => Outcome::Retry { class: FaultClass::Outage, after_ms: None, reason },
        // A fault in its own code.
        _ => Outcome::Rejected { code: "ERP_FAULT".to_owned(), reason },
    }
}

/// Code of what Tryton itself refuses.
pub(super) const REFUSED: &str = "REFUSED";

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(kind: &str, name: &str) -> Refusal {
        Refusal { kind: kind.to_owned(), message: "no".to_owned(), description: name.to_owned() }
    }

    #[test]
    fn a_warning_about_what_happened_is_passed_over_and_any_other_is_for_a_person() {
        let asks = |name: &str| is_answered(&refusal("UserWarning", name));

        assert!(asks("a789069bc70b83e0bc17b24967a6b0b6.done"));
        assert!(asks("a789069bc70b83e0bc17b24967a6b0b6.check_quantity_product"));
        assert!(!asks("a789069bc70b83e0bc17b24967a6b0b6.effective_date_future"));
        assert!(!is_answered(&refusal("UserError", "x.done")));
        assert!(matches!(outcome(&refusal("UserWarning", "x.other")), Outcome::NeedsDecision { .. }));
    }

    #[test]
    fn each_refusal_has_its_meaning() {
        let code = |kind: &str| match outcome(&refusal(kind, "")) {
            Outcome::Rejected { code, .. } => code,
            Outcome::Retry { class, .. } => class.as_str().to_owned(),
            other => format!("{other:?}"),
        };

        assert_eq!(code("UserError"), "REFUSED");
        assert_eq!(code("ConcurrencyException"), "outage");
        assert_eq!(code("could not convert string to float: 'x'"), "ERP_FAULT");
    }
}

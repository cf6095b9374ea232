//! Tryton's own ways without our module, beside the suite.

use serde_json::json;

use super::{BATCH, Plain, WARY, double::Double, meaning::REFUSED};
use crate::consumers::{
    Capability, Consumer as _, FaultClass, Outcome,
    conformance::{self, Bench as _, adjustment, one, receipt, shipment},
    erp::tryton::UseModule,
};

#[test]
fn tryton_without_the_module_conforms() {
    conformance::all(Double::start);
}

#[test]
fn a_batch_goes_by_as_many_calls_as_one_document() {
    let double = Double::start();
    let mut tryton = double.connect(false).unwrap();
    let batch: Vec<_> = (1..=20).map(|n| adjustment(n, if n % 2 == 0 { 3 } else { -2 })).collect();

    let outcomes = tryton.apply(&batch);

    assert!(outcomes.iter().all(|o| matches!(o, Outcome::Applied(_))), "{outcomes:?}");
    assert_eq!(double.total(), 20);
    let calls = double.server.models.lock().unwrap().calls.clone();
    for button in ["create", "wait", "assign_force", "do"] {
        assert_eq!(calls[&format!("model.stock.shipment.internal.{button}")], 1, "{calls:?}");
    }
}

#[test]
fn one_that_tryton_refuses_of_many_is_found_and_the_others_go() {
    let double = Double::start();
    let mut tryton = double.connect(false).unwrap();
    // Somebody took its shipment into a state from which no button leads on.
    let key = adjustment(3, 1).key;
    double.server.models.lock().unwrap().tables.entry("stock.shipment.internal".to_owned()).or_default().insert(
        9,
        json!({"id": 9, "reference": key, "state": "cancelled", "number": "9"}).as_object().unwrap().clone(),
    );
    let batch: Vec<_> = (1..=5).map(|n| adjustment(n, 1)).collect();

    let outcomes = tryton.apply(&batch);

    assert!(matches!(outcomes[2], Outcome::NeedsDecision { .. }), "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|o| matches!(o, Outcome::Applied(_))).count(), 4);
}

#[test]
fn a_warning_about_what_happened_is_answered_and_any_other_waits_for_a_person() {
    for (name, is_answered) in [("0f.check_quantity_product", true), ("0f.effective_date_future", false)] {
        let double = Double::start();
        double.server.models.lock().unwrap().asks = Some(name);

        let outcome = one(&mut double.connect(false).unwrap(), &receipt(1));

        assert_eq!(matches!(outcome, Outcome::Applied(_)), is_answered, "{outcome:?}");
        assert_eq!(matches!(outcome, Outcome::NeedsDecision { .. }), !is_answered, "{outcome:?}");
    }
}

#[test]
fn without_the_module_it_can_be_asked_and_with_it_required_nothing_goes() {
    let double = Double::start();
    let mut auto = double.connect_as(UseModule::Auto, false);
    assert!(auto.greet().unwrap().starts_with("without the module"));
    assert_eq!(auto.capability(), Capability::LookUp);

    let mut required = double.connect_as(UseModule::Required, false);
    let outcome = one(&mut required, &shipment(1));

    let Outcome::Retry { class: FaultClass::Auth, reason, .. } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("docksync"), "{reason}");
    assert_eq!(double.total(), 0);
}

#[test]
fn behind_an_answer_that_leaves_it_open_documents_go_singly_for_a_while() {
    let left_open = |was_answered| Outcome::Unknown { reason: String::new(), was_answered };
    let applied = || Outcome::Applied(String::new());
    let mut plain = Plain::default();

    plain.heed([&applied(), &left_open(false)].into_iter());
    assert_eq!(plain.batch_max(), BATCH, "silence is settled by the machine of deliveries");
    plain.heed([&applied(), &left_open(true)].into_iter());
    assert_eq!(plain.batch_max(), 1);
    for _ in 0..WARY {
        plain.heed([&applied()].into_iter());
    }
    assert_eq!(plain.batch_max(), BATCH);
}

#[test]
fn two_shipments_of_one_order_are_two_effects() {
    let double = Double::start();
    let mut tryton = double.connect(false).unwrap();
    let (first, mut second) = (shipment(1), shipment(1));
    second.key = "00000000-0000-0000-0000-0000000000bb".to_owned();

    assert!(matches!(one(&mut tryton, &first), Outcome::Applied(_)));
    // The double makes no backorder: the order has nothing open, and what is done is not taken for the second.
    let outcome = one(&mut tryton, &second);

    let Outcome::Rejected { code, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(code, "STATE");
    assert_ne!(code, REFUSED);
    assert_eq!(double.total(), 1);
}

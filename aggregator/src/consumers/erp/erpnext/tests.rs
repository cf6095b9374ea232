//! ERPNext's own ways, beside the suite: drafts, the unique key, returns, batches, places.

use docksync_proto::{
    event::{Event, EventType, Line, Party, PartyRole, RefKind},
    site::SiteId,
};
use serde_json::{Map, Value, json};

use crate::reconcile::Balances as _;

use super::{ErpNext, KEY_FIELD, double::Double};
use crate::consumers::{
    Consumer as _, Delivery, FaultClass, LookUp, Outcome,
    conformance::{self, Bench as _, adjustment, deliver, line, one, shipment, shipment_of},
    double::Turn,
    erp::mapping::WithoutDocument,
};

#[test]
fn erpnext_conforms() {
    conformance::all(Double::start);
}

fn connected(double: &Double) -> ErpNext {
    double.connect(false).unwrap()
}

fn applied(outcome: &Outcome) -> &str {
    let Outcome::Applied(name) = outcome else { panic!("{outcome:?}") };
    name
}

fn code(outcome: Outcome) -> String {
    let Outcome::Rejected { code, .. } = outcome else { panic!("{outcome:?}") };
    code
}

fn rows(double: &Double, delivery: &Delivery) -> Vec<Map<String, Value>> {
    double.server.books.lock().unwrap().rows(Some(&delivery.key))
}

fn drafts(double: &Double) -> usize {
    let books = double.server.books.lock().unwrap();
    let all = books.documents.values().flat_map(std::collections::BTreeMap::values);
    all.filter(|document| document.contains_key(KEY_FIELD) && document["docstatus"] == 0).count()
}

fn of_type(n: u32, event_type: EventType, kind: RefKind, reference: &str, line: Line) -> Delivery {
    let mut event: Event = shipment(1).event;
    event.event_type = event_type;
    event.references[0].kind = kind;
    event.references[0].value = reference.to_owned();
    event.lines = vec![line];
    deliver(n, event)
}

#[test]
fn a_delivery_note_is_the_order_s_own_with_what_went_and_its_day() {
    let double = Double::start();
    let delivery = shipment(1);

    let name = one(&mut connected(&double), &delivery);

    applied(&name);
    let books = double.server.books.lock().unwrap();
    let note = &books.effects(Some(&delivery.key))[0];
    assert_eq!(
        (&note["customer"], &note["posting_date"], &note["set_posting_time"]),
        (&json!("C"), &json!("1970-01-01"), &json!(1))
    );
    assert!(!note.contains_key("set_warehouse"), "it would put every row elsewhere");
    let row = &note["items"][0];
    assert_eq!(
        (&row["qty"], &row["warehouse"], &row["against_sales_order"]),
        (&json!(4.0), &json!("DC01"), &json!("SO-1"))
    );
    assert_eq!(row["rate"], 3.5);
}

#[test]
fn an_order_is_found_by_the_customer_s_number_too() {
    let double = Double::start();
    let delivery = of_type(9, EventType::ShipmentConfirmed, RefKind::So, "C-SO-1", line("SKU-1", 1));

    applied(&one(&mut connected(&double), &delivery));
}

#[test]
fn a_draft_that_was_left_behind_gets_what_the_event_says_now_and_is_submitted() {
    let double = Double::start();
    let mut erp = connected(&double);
    double.server.books.lock().unwrap().refuses = Some(("NegativeStockError", "5 units of SKU-1 needed"));
    let refused = one(&mut erp, &adjustment(1, -5));
    let left = drafts(&double);
    double.server.books.lock().unwrap().refuses = None;
    let edited = adjustment(1, -3);

    let after = one(&mut erp, &edited);

    assert_eq!((code(refused).as_str(), left), ("NEGATIVE_STOCK", 1));
    applied(&after);
    assert_eq!((rows(&double, &edited)[0]["qty"].clone(), drafts(&double)), (json!(3.0), 0));
}

#[test]
fn a_draft_is_not_there_yet_and_a_cancelled_document_is_for_a_person() {
    let double = Double::start();
    let mut erp = connected(&double);
    let delivery = shipment(1);
    double.server.faults.once(Turn::Drop, 0);
    drop(one(&mut erp, &delivery));
    let asked = erp.look_up(&delivery);
    for note in double.server.books.lock().unwrap().documents.get_mut("Delivery Note").unwrap().values_mut() {
        note["docstatus"] = json!(2);
    }

    let outcome = one(&mut erp, &delivery);

    assert_eq!(asked, LookUp::Absent);
    assert!(matches!(outcome, Outcome::NeedsDecision { .. }), "{outcome:?}");
}

#[test]
fn an_insert_that_meets_its_own_key_is_taken_up_and_not_doubled() {
    let double = Double::start();
    let delivery = adjustment(1, 3);
    double.server.faults.once(Turn::Drop, 0);
    drop(one(&mut connected(&double), &delivery));
    // The insert whose answer was lost ends while the next one is under way.
    double.server.books.lock().unwrap().too_early = 1;

    applied(&one(&mut connected(&double), &delivery));

    assert_eq!((double.effects(&delivery.key), drafts(&double)), (1, 0));
}

#[test]
fn a_key_that_is_not_unique_there_is_refused_before_anything_is_sent() {
    let double = Double::start();
    double.server.books.lock().unwrap().is_unique = false;

    let outcome = one(&mut connected(&double), &shipment(1));

    let Outcome::Retry { class: FaultClass::Auth, reason, .. } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("not unique"), "{reason}");
}

#[test]
fn what_was_found_and_what_was_lost_in_one_count_are_two_entries_and_one_effect() {
    let double = Double::start();
    let mut erp = connected(&double);
    let mut counted = shipment(1).event;
    counted.event_type = EventType::InventoryAdjusted;
    let damaged = Line { stock_status_to: "damaged".to_owned(), ..line("SKU-1", -2) };
    counted.lines = vec![line("SKU-1", 3), damaged];
    let delivery = deliver(9, counted);
    erp.mapping.statuses.insert("damaged".to_owned(), "Damaged {warehouse}".to_owned());

    double.server.faults.once(Turn::Drop, 3);
    let lost = one(&mut erp, &delivery);
    let after = one(&mut erp, &delivery);
    let again = one(&mut erp, &delivery);

    assert!(matches!(lost, Outcome::Unknown { .. }), "{lost:?}");
    let Outcome::AlreadyApplied(names) = &after else { panic!("{after:?}") };
    assert_eq!(names.split(", ").count(), 2);
    assert_eq!(again, after);
    let ways: Vec<_> = rows(&double, &delivery)
        .iter()
        .map(|r| (r["s_warehouse"].clone(), r["t_warehouse"].clone(), r["qty"].clone()))
        .collect();
    assert_eq!(ways, [(Value::Null, json!("DC01"), json!(3.0)), (json!("Damaged DC01"), Value::Null, json!(2.0))]);
}

#[test]
fn goods_that_come_back_are_taken_from_the_note_that_they_left_by() {
    let double = Double::start();
    let mut erp = connected(&double);
    applied(&one(&mut erp, &shipment(1)));
    let back = of_type(9, EventType::ReturnReceived, RefKind::So, "SO-1", line("SKU-1", 3));

    applied(&one(&mut erp, &back));

    let books = double.server.books.lock().unwrap();
    let note = &books.effects(Some(&back.key))[0];
    assert_eq!((&note["is_return"], &note["items"][0]["qty"]), (&json!(1), &json!(-3.0)));
}

#[test]
fn goods_between_two_sites_go_through_the_warehouse_for_them() {
    let double = Double::start();
    let mut erp = connected(&double);
    let mut sent = of_type(9, EventType::TransferShipped, RefKind::Transfer, "T-1", line("SKU-1", 7));
    let (role, id) = (PartyRole::ShipTo, "DC01".to_owned());
    sent.event.parties =
        vec![Party { role, id, id_scheme: String::new(), name: String::new(), address: String::new() }];
    let came = of_type(10, EventType::ReceiptConfirmed, RefKind::Transfer, "T-1", line("SKU-1", 7));

    applied(&one(&mut erp, &sent));
    applied(&one(&mut erp, &came));

    let way = |delivery| {
        let row = rows(&double, delivery)[0].clone();
        (row["s_warehouse"].clone(), row["t_warehouse"].clone())
    };
    assert_eq!(way(&sent), (json!("DC01"), json!("Transit")));
    assert_eq!(way(&came), (json!("Transit"), json!("DC01")));
}

#[test]
fn the_damaged_part_of_a_receipt_goes_to_its_own_warehouse() {
    let double = Double::start();
    let mut erp = connected(&double);
    erp.mapping.statuses.insert("damaged".to_owned(), "Damaged {warehouse}".to_owned());
    let part = Line { qty_received: Some(10.into()), qty_damaged: Some(4.into()), ..line("SKU-1", 10) };
    let part = of_type(9, EventType::ReceiptConfirmed, RefKind::Po, "PO-1", part);

    applied(&one(&mut erp, &part));

    let came: Vec<_> =
        rows(&double, &part).iter().map(|row| (row["warehouse"].clone(), row["received_qty"].clone())).collect();
    assert_eq!(came, [(json!("Damaged DC01"), json!(4.0)), (json!("DC01"), json!(6.0))]);
}

#[test]
fn goods_without_an_order_move_where_that_is_allowed() {
    let mut double = Double::start();
    double.without_document = WithoutDocument::Move;
    let stray = of_type(9, EventType::ShipmentConfirmed, RefKind::So, "SO-404", line("SKU-1", 2));

    applied(&one(&mut connected(&double), &stray));

    assert_eq!(rows(&double, &stray)[0]["s_warehouse"], "DC01");
}

#[test]
fn batches_are_told_where_erpnext_keeps_them_and_made_where_they_come_in() {
    let double = Double::start();
    let mut erp = connected(&double);
    double.server.books.lock().unwrap().order("Sales Order", "SO-L", "LOTTED", 5.0);
    let shipped = |lot: &str| {
        let line = Line { lot: lot.to_owned(), ..line("LOTTED", 5) };
        of_type(9, EventType::ShipmentConfirmed, RefKind::So, "SO-L", line)
    };
    let mut found = adjustment(1, 2);
    found.event.lines = vec![Line { lot: "L-NEW".to_owned(), ..line("LOTTED", 2) }];
    let found = deliver(201, found.event);

    let (none, unknown) = (one(&mut erp, &shipped("")), one(&mut erp, &shipped("L-404")));
    let known = one(&mut erp, &shipped("L-1"));
    let new = one(&mut erp, &found);

    assert_eq!((code(none), code(unknown)), ("LOT".to_owned(), "UNKNOWN_LOT".to_owned()));
    applied(&known);
    applied(&new);
    assert_eq!(rows(&double, &found)[0]["batch_no"], "L-NEW");
    assert!(double.server.books.lock().unwrap().documents["Batch"].contains_key("L-NEW"));
}

#[test]
fn a_quantity_that_erpnext_rounds_is_refused_while_it_is_a_draft() {
    let double = Double::start();
    double.server.books.lock().unwrap().decimals = 2;
    let mut delivery = shipment(1);
    delivery.event.lines[0].qty = Some("1.125".parse().unwrap());

    let outcome = one(&mut connected(&double), &delivery);

    assert_eq!(code(outcome), "QUANTITY");
    assert_eq!(double.total(), 0);
}

#[test]
fn an_order_of_which_all_went_has_nothing_open() {
    let double = Double::start();
    let mut erp = connected(&double);
    applied(&one(&mut erp, &shipment_of(1, line("SKU-1", 10))));
    let more = deliver(9, shipment(1).event);

    assert_eq!(code(one(&mut erp, &more)), "UNMATCHED_LINE");
}

#[test]
fn a_call_that_met_another_transaction_is_made_again_at_once_and_not_for_ever() {
    let double = Double::start();
    let mut erp = connected(&double);

    double.server.books.lock().unwrap().conflicts = 3;
    let first = one(&mut erp, &shipment(1));
    double.server.books.lock().unwrap().conflicts = 100;
    let second = one(&mut erp, &shipment(2));

    applied(&first);
    assert!(matches!(second, Outcome::Retry { class: FaultClass::Outage, .. }), "{second:?}");
}

#[test]
fn stock_is_told_by_item_and_the_warehouse_of_a_status() {
    let double = Double::start();
    let mut erp = connected(&double);
    erp.mapping.statuses.insert("damaged".to_owned(), "Damaged {warehouse}".to_owned());

    let told = erp.read(&SiteId::new("DC01").unwrap()).unwrap();

    let told: Vec<_> = told.iter().map(|b| (b.item.as_str(), b.place.as_str(), b.micros)).collect();
    assert_eq!(told, [("SKU-1", "", 7_500_000), ("SKU-1", "Damaged DC01", 2_000_000)]);
}

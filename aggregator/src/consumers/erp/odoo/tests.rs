//! Odoo's own ways, beside the suite: backorders, questions, returns, lots, places.

use docksync_proto::{
    event::{Event, EventType, Line, LineStatus, Party, PartyRole, RefKind},
    site::SiteId,
};
use serde_json::{Map, Value, json};

use crate::reconcile::Balances as _;

use super::{
    KEY_FIELD, Odoo,
    double::{CUSTOMERS, DAMAGED, Double, LOSS, STOCK, SUPPLIERS, TRANSIT},
};
use crate::consumers::Consumer as _;
use crate::consumers::{
    Delivery, FaultClass, LookUp, Outcome,
    conformance::{self, Bench as _, adjustment, deliver, line, one, receipt, shipment, shipment_of},
    erp::mapping::WithoutDocument,
};

#[test]
fn odoo_conforms_over_json2() {
    conformance::all(|| Double::start(true));
}

#[test]
fn odoo_conforms_over_json_rpc() {
    conformance::all(|| Double::start(false));
}

fn connected(double: &Double) -> Odoo {
    double.connect(false).unwrap()
}

fn applied(outcome: &Outcome) -> &str {
    let Outcome::Applied(number) = outcome else { panic!("{outcome:?}") };
    number
}

fn code(outcome: Outcome) -> String {
    let Outcome::Rejected { code, .. } = outcome else { panic!("{outcome:?}") };
    code
}

/// Moves of the transfer that carries the key.
fn moves(double: &Double, delivery: &Delivery) -> Vec<Map<String, Value>> {
    let models = double.server.models.lock().unwrap();
    let own = models.rows_of("stock.picking", KEY_FIELD, &json!(delivery.key));
    let done: Vec<_> = own.iter().filter(|row| row["state"] == "done").collect();
    assert_eq!(done.len(), 1);
    models.rows_of("stock.move", "picking_id", &done[0]["id"])
}

fn ways(moves: &[Map<String, Value>]) -> Vec<(i64, i64, f64)> {
    let int = |of: &Map<String, Value>, field: &str| of[field].as_i64().unwrap();
    moves
        .iter()
        .map(|of| (int(of, "location_id"), int(of, "location_dest_id"), of["quantity"].as_f64().unwrap()))
        .collect()
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
fn the_rest_of_an_order_goes_by_its_backorder_under_an_event_of_its_own() {
    let double = Double::start(true);
    let mut odoo = connected(&double);
    let (first, mut second) = (shipment(1), shipment_of(1, line("SKU-1", 6)));
    second.key = "00000000-0000-0000-0000-0000000000bb".to_owned();

    let part = one(&mut odoo, &first);
    let rest = one(&mut odoo, &second);

    assert_ne!(applied(&part), applied(&rest));
    assert_eq!(ways(&moves(&double, &first)), [(STOCK, CUSTOMERS, 4.0)]);
    assert_eq!(ways(&moves(&double, &second)), [(STOCK, CUSTOMERS, 6.0)]);
    assert_eq!(
        odoo.look_up(&first),
        LookUp::Found(applied(&part).to_owned()),
        "the copy of its key is not taken for it"
    );
}

#[test]
fn what_is_cancelled_has_no_backorder() {
    let double = Double::start(true);
    let short = Line { status_code: Some(LineStatus::ShortNoBackorder), ..line("SKU-1", 4) };

    let outcome = one(&mut connected(&double), &shipment_of(1, short));

    applied(&outcome);
    let models = double.server.models.lock().unwrap();
    assert_eq!(models.rows_of("stock.picking", "origin", &json!("SO-1")).len(), 1);
}

#[test]
fn an_order_of_which_nothing_went_stays_open_or_waits_for_a_person() {
    let double = Double::start(true);
    let mut odoo = connected(&double);
    let cancelled = Line { status_code: Some(LineStatus::Cancelled), ..line("SKU-1", 0) };

    let open = one(&mut odoo, &shipment_of(1, line("SKU-1", 0)));
    let cancelled = one(&mut odoo, &shipment_of(2, cancelled));

    applied(&open);
    assert!(matches!(cancelled, Outcome::NeedsDecision { .. }), "{cancelled:?}");
    assert_eq!(double.total(), 0);
}

#[test]
fn a_question_of_odoo_waits_for_a_person_and_is_over_when_he_has_answered_there() {
    let double = Double::start(true);
    double.server.models.lock().unwrap().asks = Some("expiry.picking.confirmation");
    let mut odoo = connected(&double);
    let delivery = shipment(1);

    let asked = one(&mut odoo, &delivery);
    double.server.models.lock().unwrap().asks = None;
    let after = one(&mut odoo, &delivery);

    let Outcome::NeedsDecision { reason } = &asked else { panic!("{asked:?}") };
    assert!(reason.contains("expiry.picking.confirmation"), "{reason}");
    applied(&after);
    assert_eq!(double.effects(&delivery.key), 1);
}

#[test]
fn a_transfer_that_one_event_has_prepared_is_not_taken_by_another() {
    let double = Double::start(true);
    double.server.models.lock().unwrap().asks = Some("some.wizard");
    let mut odoo = connected(&double);
    drop(one(&mut odoo, &shipment(1)));
    double.server.models.lock().unwrap().asks = None;
    let other = deliver(2, shipment(1).event);

    let outcome = one(&mut odoo, &other);

    assert_eq!(code(outcome), "CONFLICT");
}

#[test]
fn what_was_edited_before_it_went_again_goes_as_it_is_now() {
    let double = Double::start(true);
    double.server.models.lock().unwrap().asks = Some("some.wizard");
    let mut odoo = connected(&double);
    drop(one(&mut odoo, &adjustment(1, 3)));
    double.server.models.lock().unwrap().asks = None;
    let edited = adjustment(1, 5);

    applied(&one(&mut odoo, &edited));

    assert_eq!(ways(&moves(&double, &edited)), [(LOSS, STOCK, 5.0)]);
}

#[test]
fn corrections_moves_and_damaged_goods_go_between_their_places() {
    let double = Double::start(true);
    let mut odoo = connected(&double);
    odoo.mapping.statuses.insert("damaged".to_owned(), "{warehouse}/Damaged".to_owned());
    let lost = adjustment(1, -2);
    let held = Line { stock_status_to: "damaged".to_owned(), ..line("SKU-1", 3) };
    let held = of_type(9, EventType::InventoryStatusChanged, RefKind::Adjustment, "A", held);
    let part = Line { qty_received: Some(10.into()), qty_damaged: Some(4.into()), ..line("SKU-1", 10) };
    let part = of_type(10, EventType::ReceiptConfirmed, RefKind::Po, "PO-1", part);

    for delivery in [&lost, &held, &part] {
        applied(&one(&mut odoo, delivery));
    }

    assert_eq!(ways(&moves(&double, &lost)), [(STOCK, LOSS, 2.0)]);
    assert_eq!(ways(&moves(&double, &held)), [(STOCK, DAMAGED, 3.0)]);
    assert_eq!(ways(&moves(&double, &part)), [(SUPPLIERS, STOCK, 10.0)]);
    let models = double.server.models.lock().unwrap();
    let lines = models.rows_of(
        "stock.move.line",
        "move_id",
        &moves_id(&models.rows_of("stock.picking", "origin", &json!("PO-1")), &models),
    );
    assert_eq!(ways(&lines), [(SUPPLIERS, DAMAGED, 4.0), (SUPPLIERS, STOCK, 6.0)]);
}

fn moves_id(pickings: &[Map<String, Value>], models: &super::double::Models) -> Value {
    models.rows_of("stock.move", "picking_id", &pickings[0]["id"])[0]["id"].clone()
}

#[test]
fn goods_that_come_back_are_taken_from_the_delivery_that_they_left_by() {
    let double = Double::start(true);
    let mut odoo = connected(&double);
    applied(&one(&mut odoo, &shipment(1)));
    let back = |n, quantity| of_type(n, EventType::ReturnReceived, RefKind::So, "SO-1", line("SKU-1", quantity));

    let (some, more) = (back(9, 3), back(10, 2));
    let first = one(&mut odoo, &some);
    let too_many = one(&mut odoo, &more);

    applied(&first);
    let moves = moves(&double, &some);
    assert_eq!(ways(&moves), [(CUSTOMERS, STOCK, 3.0)]);
    assert_eq!((&moves[0]["sale_line_id"], &moves[0]["to_refund"]), (&json!(77), &json!(true)));
    assert!(moves[0]["origin_returned_move_id"].is_i64());
    assert_eq!(code(too_many), "QUANTITY");
}

#[test]
fn goods_between_two_sites_go_through_the_location_for_them() {
    let double = Double::start(true);
    let mut odoo = connected(&double);
    let mut sent = of_type(9, EventType::TransferShipped, RefKind::Transfer, "T-1", line("SKU-1", 7));
    sent.event.parties = vec![Party {
        role: PartyRole::ShipTo,
        id: "DC01".to_owned(),
        id_scheme: String::new(),
        name: String::new(),
        address: String::new(),
    }];
    let came = of_type(10, EventType::ReceiptConfirmed, RefKind::Transfer, "T-1", line("SKU-1", 7));

    applied(&one(&mut odoo, &sent));
    applied(&one(&mut odoo, &came));

    assert_eq!(ways(&moves(&double, &sent)), [(STOCK, TRANSIT, 7.0)]);
    assert_eq!(ways(&moves(&double, &came)), [(TRANSIT, STOCK, 7.0)]);
}

#[test]
fn goods_without_an_order_move_where_that_is_allowed() {
    let mut double = Double::start(true);
    double.without_document = WithoutDocument::Move;
    let mut odoo = connected(&double);
    let stray = of_type(9, EventType::ShipmentConfirmed, RefKind::So, "SO-404", line("SKU-1", 2));

    applied(&one(&mut odoo, &stray));

    assert_eq!(ways(&moves(&double, &stray)), [(STOCK, CUSTOMERS, 2.0)]);
}

#[test]
fn lots_are_told_where_odoo_keeps_them() {
    let double = Double::start(true);
    let mut odoo = connected(&double);
    double.server.models.lock().unwrap().order("SO-L", 2, 101, 5);
    let lotted = |lot: &str| {
        let line = Line { lot: lot.to_owned(), ..line("LOTTED", 5) };
        of_type(9, EventType::ShipmentConfirmed, RefKind::So, "SO-L", line)
    };

    let (none, unknown) = (one(&mut odoo, &lotted("")), one(&mut odoo, &lotted("L-404")));
    let known = one(&mut odoo, &lotted("L-1"));

    assert_eq!((code(none), code(unknown)), ("LOT".to_owned(), "UNKNOWN_LOT".to_owned()));
    applied(&known);
    let models = double.server.models.lock().unwrap();
    assert_eq!(models.rows_of("stock.move.line", "lot_id", &json!(31)).len(), 1);
}

#[test]
fn a_quantity_that_odoo_rounds_is_refused_before_anything_moves() {
    let double = Double::start(true);
    double.server.models.lock().unwrap().decimals = 2;
    let mut delivery = shipment(1);
    delivery.event.lines[0].qty = Some("1.125".parse().unwrap());

    let outcome = one(&mut connected(&double), &delivery);

    assert_eq!(code(outcome), "QUANTITY");
    assert_eq!(double.total(), 0);
}

#[test]
fn another_unit_than_the_order_s_is_refused() {
    let double = Double::start(true);
    let dozen = Line { uom: "DZ".to_owned(), ..line("SKU-1", 1) };

    assert_eq!(code(one(&mut connected(&double), &shipment_of(1, dozen))), "UNIT");
}

#[test]
fn a_call_that_met_another_transaction_is_made_again_at_once_and_not_for_ever() {
    let double = Double::start(true);
    let mut odoo = connected(&double);

    double.server.models.lock().unwrap().conflicts = 3;
    let first = one(&mut odoo, &receipt(1));
    double.server.models.lock().unwrap().conflicts = 100;
    let second = one(&mut odoo, &receipt(2));

    applied(&first);
    assert!(matches!(second, Outcome::Retry { class: FaultClass::Outage, .. }), "{second:?}");
}

#[test]
fn a_key_that_odoo_does_not_know_is_told_as_such_by_the_older_api_too() {
    let mut double = Double::start(false);
    double.key = "another";

    let outcome = one(&mut connected(&double), &shipment(1));

    assert!(matches!(outcome, Outcome::Retry { class: FaultClass::Auth, .. }), "{outcome:?}");
}

#[test]
fn stock_is_told_by_item_lot_and_the_place_of_a_status() {
    let double = Double::start(true);
    let mut odoo = connected(&double);
    odoo.mapping.statuses.insert("damaged".to_owned(), "{warehouse}/Damaged".to_owned());

    let told = odoo.read(&SiteId::new("DC01").unwrap()).unwrap();

    let told: Vec<_> = told.iter().map(|b| (b.item.as_str(), b.lot.as_str(), b.place.as_str(), b.micros)).collect();
    let expected =
        [("LOTTED", "L-1", "", 3_000_000), ("SKU-1", "", "", 7_500_000), ("SKU-1", "", "DC01/Damaged", 2_000_000)];
    assert_eq!(told, expected, "what lies between two sites is of neither");
}

use docksync_proto::event::{Action, Event, EventType, LineStatus, PartyRole, RefKind};
use proptest::prelude::*;

use super::{
    super::{
        profile::DialectKind,
        samples::{self, Outcome},
    },
    SNAPSHOT_LINES_MAX,
};

const DESPATCH: &str = include_str!("../../../../tests/golden/gs1-xml/despatch.xml");

fn read(text: &str) -> Outcome {
    samples::read(&samples::decoder(DialectKind::Gs1Xml), text.as_bytes())
}

fn read_with(parse: &str, tables: &str, text: &str) -> Outcome {
    samples::read(&samples::decoder_with(DialectKind::Gs1Xml, parse, tables), text.as_bytes())
}

fn types(found: &Outcome) -> Vec<EventType> {
    found.events.iter().map(|event| event.event_type).collect()
}

const ITEM: &str = "<transactionalTradeItem><gtin>09521141123454</gtin></transactionalTradeItem>";

fn inbound(status: &str, more: &str, items: &str) -> String {
    format!(
        "<warehousingInboundNotification><documentActionCode>ADD</documentActionCode>\
         <warehousingInboundNotificationIdentification><entityIdentification>N-1</entityIdentification>\
         </warehousingInboundNotificationIdentification><warehousingInboundNotificationShipment>\
         <warehousingInboundStatusCode>{status}</warehousingInboundStatusCode><actualReceipt><logisticEventDateTime>\
         <date>2026-11-23-06:00</date><time>09:15:27-06:00</time></logisticEventDateTime></actualReceipt>{more}{items}\
         </warehousingInboundNotificationShipment></warehousingInboundNotification>"
    )
}

fn received(number: u32, quantity: &str, unit: &str) -> String {
    format!(
        "<warehousingInboundNotificationShipmentItem><lineItemNumber>{number}</lineItemNumber>{ITEM}\
         <actualReceiptQuantity measurementUnitCode=\"{unit}\">{quantity}</actualReceiptQuantity>\
         </warehousingInboundNotificationShipmentItem>"
    )
}

fn message(documents: &str) -> String {
    format!("<x:Message xmlns:x=\"urn:gs1:ecom:x:xsd:3\">{documents}</x:Message>")
}

fn outbound(status: &str, action: &str) -> String {
    format!(
        "<warehousingOutboundNotification><documentActionCode>{action}</documentActionCode>\
         <warehousingOutboundNotificationIdentification><entityIdentification>S-1</entityIdentification>\
         </warehousingOutboundNotificationIdentification><warehousingOutboundNotificationShipment>\
         <transactionalReference><entityIdentification>SO-5</entityIdentification>\
         <transactionalReferenceTypeCode>VN</transactionalReferenceTypeCode></transactionalReference>\
         <warehousingOutboundStatusCode>{status}</warehousingOutboundStatusCode><actualDelivery><logisticEventDateTime>\
         <date>2026-11-23-06:00</date></logisticEventDateTime></actualDelivery>\
         <warehousingOutboundNotificationShipmentItem><lineItemNumber>1</lineItemNumber>{ITEM}\
         <plannedDespatchQuantity measurementUnitCode=\"H87\">10</plannedDespatchQuantity>\
         <actualDespatchQuantity measurementUnitCode=\"H87\">8</actualDespatchQuantity>\
         </warehousingOutboundNotificationShipmentItem></warehousingOutboundNotificationShipment></warehousingOutboundNotification>"
    )
}

fn report(entries: &str) -> String {
    message(&format!(
        "<logisticsInventoryReport><creationDateTime>2026-11-23T18:00:00-06:00</creationDateTime>\
         <logisticsInventoryReportIdentification><entityIdentification>REP-1</entityIdentification>\
         </logisticsInventoryReportIdentification><logisticsInventoryReportInventoryLocation><inventoryLocation>\
         <gln>9521141000014</gln></inventoryLocation>{entries}</logisticsInventoryReportInventoryLocation>\
         </logisticsInventoryReport>"
    ))
}

fn stocked(quantity: usize, status: &str) -> String {
    format!(
        "<tradeItemInventoryStatus><gtin>09521141123454</gtin><tradeItemQuantity measurementUnitCode=\"H87\">{quantity}\
         </tradeItemQuantity><inventoryDispositionCode>{status}</inventoryDispositionCode></tradeItemInventoryStatus>"
    )
}

fn moved(direction: &str, status: &str, place: &str, reason: &str, quantity: &str) -> String {
    format!(
        "<tradeItemInventoryEvent><gtin>09521141123454</gtin><tradeItemQuantity measurementUnitCode=\"H87\">{quantity}\
         </tradeItemQuantity><eventDateTime>2026-11-23T10:00:00-06:00</eventDateTime>\
         <inventoryDispositionCode>{status}</inventoryDispositionCode><inventoryMovementTypeCode>{direction}\
         </inventoryMovementTypeCode><inventoryEventReasonCode>{reason}</inventoryEventReasonCode><inventorySubLocation>\
         <additionalPartyIdentification additionalPartyIdentificationTypeCode=\"FOR_INTERNAL_USE_1\">{place}\
         </additionalPartyIdentification></inventorySubLocation></tradeItemInventoryEvent>"
    )
}

#[test]
fn samples_read_as_recorded() {
    samples::check("gs1-xml", DialectKind::Gs1Xml);
}

#[test]
fn a_despatch_advice_is_a_shipment_with_all_that_follows() {
    use EventType as T;
    let found = read(DESPATCH);

    assert_eq!(types(&found), [T::CartonPacked, T::ShipmentManifested, T::ShipmentConfirmed, T::ExceptionRaised]);
    assert!(found.events.iter().all(|event| event.correlation_id == "PO-4711"));
    let shipped = &found.events[2];
    assert_eq!(shipped.reference(RefKind::Desadv), "DA-9001");
    assert_eq!(shipped.reference(RefKind::Bol), "BOL-31");
    assert_eq!(shipped.interchange.sender, "9521141000014");
    assert_eq!(shipped.interchange.control, "MSG-501");
    assert_eq!(shipped.time.rfc3339(), "2026-11-23T09:15:27-06:00");
    let to = shipped.party(PartyRole::ShipTo).unwrap();
    assert_eq!(
        (to.id.as_str(), to.name.as_str(), to.address.as_str()),
        ("9521141000038", "Store 12", "1 Main St, Springfield, US")
    );
    let line = &shipped.lines[0];
    assert_eq!(
        (line.item.sku.as_str(), line.item.buyer_item.as_str(), line.item.gtin.as_str()),
        ("V-1", "B-1", "09521141123454")
    );
    assert_eq!((line.lot.as_str(), line.serials.join(",").as_str()), ("L-77", "S1,S2"));
    assert_eq!(line.expiry_date.unwrap().to_string(), "2027-05-31");
    assert_eq!(
        (line.qty_ordered, line.qty_shipped, line.qty_difference),
        (Some(60.into()), Some(55.into()), Some(5.into()))
    );
    assert_eq!(line.source_line_no, "10");
    assert_eq!(line.container_ref, "095211410000000182");
    assert_eq!(shipped.lines[1].uom, "KG");
    assert_eq!(shipped.containers[1].parent_id, "095211410000000175");
    assert_eq!(shipped.extensions["gs1:despatchInformation/estimatedDeliveryDateTime"], "2026-11-25T08:00:00-06:00");
    assert_eq!(found.events[0].containers[0].contents.len(), 2);
    assert_eq!(found.events[3].reference(RefKind::ExceptionCode), "SHORT_SHIP");
    assert_eq!(found.events[3].lines.len(), 1);
}

#[test]
fn a_despatch_to_a_site_of_ours_is_expected() {
    let own = "[sites]\n\"9521141000038\" = \"DC8\"\n";
    for (parse, tables) in [("direction = \"in\"", own), ("", own)] {
        let found = read_with(parse, tables, DESPATCH);

        assert_eq!(types(&found), [EventType::ReceiptExpected], "{parse} {:?}", found.held);
        assert_eq!(found.events[0].site_id.as_str(), "DC8");
    }
    let from = "[sites]\n\"9521141000014\" = \"DC9\"\n";
    assert_eq!(read_with("", from, DESPATCH).events[0].site_id.as_str(), "DC9");
    let other = "[sites]\n\"1\" = \"DC9\"\n";
    assert_eq!(read_with("", other, DESPATCH).held[0].code, "UNKNOWN_SITE");
}

#[test]
fn the_feed_chooses_the_item_number() {
    let found = read_with("sku = [\"BUYER_ASSIGNED\", \"GTIN\"]", "", DESPATCH);

    let numbers: Vec<&str> = found.events[2].lines.iter().map(|line| line.item.sku.as_str()).collect();
    assert_eq!(numbers, ["B-1", "09521141678909"]);
}

#[test]
fn receiving_is_confirmed_and_its_siblings_flow() {
    let good = inbound("RECEIVING_FINISHED", "", &received(1, "5", "H87"));
    let bad = inbound(
        "RECEIVING_FINISHED",
        "",
        &(received(1, "5", "H87") + &received(2, "5", "FURLONG") + &received(3, "x", "H87")),
    );
    let found = read(&message(&format!("{good}\n{bad}\n{}", inbound("TRUCK_ARRIVED", "", ""))));

    assert_eq!(types(&found), [EventType::ReceiptConfirmed]);
    let event = &found.events[0];
    assert_eq!((event.correlation_id.as_str(), event.reference(RefKind::Receipt)), ("N-1", "N-1"));
    assert_eq!(event.time.rfc3339(), "2026-11-23T09:15:27-06:00");
    assert_eq!((event.lines[0].qty_received, event.lines[0].uom.as_str()), (Some(5.into()), "EA"));
    let held: Vec<String> =
        found.held.iter().map(|held| format!("{} {} {} {}", held.line_no, held.code, held.field, held.found)).collect();
    assert_eq!(
        held,
        [
            "2 UNKNOWN_UOM actualReceiptQuantity FURLONG",
            "2 INVALID_QUANTITY actualReceiptQuantity x",
            "3 INVALID_CODE warehousingInboundStatusCode TRUCK_ARRIVED",
        ]
    );
}

#[test]
fn a_partner_may_give_its_status_a_meaning() {
    let table = "[[table]]\nname = \"status\"\nrows = { \"TRUCK_ARRIVED\" = \"receipt_expected\" }\n";

    let found = read_with("", table, &message(&inbound("TRUCK_ARRIVED", "", "")));

    assert_eq!(types(&found), [EventType::ReceiptExpected]);
}

#[test]
fn a_return_is_no_receipt() {
    let rma = "<transactionalReference><entityIdentification>RMA-1</entityIdentification>\
               <transactionalReferenceTypeCode>ALQ</transactionalReferenceTypeCode></transactionalReference>";

    let found = read(&message(&inbound("RECEIVING_FINISHED", rma, &received(1, "5", "H87"))));

    assert_eq!(types(&found), [EventType::ReturnReceived]);
    assert_eq!(found.events[0].correlation_id, "RMA-1");
}

#[test]
fn outbound_steps_and_actions_are_told_apart() {
    use EventType as T;
    for (status, action, expected, expected_action) in [
        ("PRODUCT_PICKED", "ADD", vec![T::PickConfirmed], Action::Add),
        ("PRODUCT_PICKED", "CHANGE_BY_REFRESH", vec![T::PickConfirmed], Action::Change),
        ("GOODS_LOADED", "ADD", vec![T::ShipmentConfirmed, T::ExceptionRaised], Action::Add),
        ("SHIPPED", "DELETE", vec![T::ShipmentConfirmed, T::ExceptionRaised], Action::Void),
    ] {
        let found = read(&message(&outbound(status, action)));

        assert_eq!(types(&found), expected, "{status} {:?}", found.held);
        let event = &found.events[0];
        assert_eq!((event.action, event.correlation_id.as_str()), (expected_action, "SO-5"));
        assert_eq!(event.time.rfc3339(), "2026-11-23T00:00:00-06:00");
        assert_eq!((event.lines[0].qty, event.lines[0].qty_ordered), (Some(8.into()), Some(10.into())));
        assert_eq!(event.lines[0].status_code, None);
    }
    assert_eq!(read(&message(&outbound("SHIPPED", "ERASE"))).held[0].field, "documentActionCode");
    let all = outbound("SHIPPED", "ADD").replace(">8<", ">10<");
    assert_eq!(read(&message(&all)).events[0].lines[0].status_code, Some(LineStatus::Complete));
}

#[test]
fn damaged_goods_are_part_of_what_was_received() {
    let text = "<receivingAdviceMessage><receivingAdvice><creationDateTime>2026-11-23T10:00:00Z</creationDateTime>\
        <receivingAdviceIdentification><entityIdentification>RA-1</entityIdentification></receivingAdviceIdentification>\
        <receivingDateTime>2026-11-23T09:15:27</receivingDateTime><despatchAdvice><entityIdentification>DA-1</entityIdentification>\
        </despatchAdvice><receivingAdviceLogisticUnit><logisticUnitIdentification><sscc>095211410000000175</sscc>\
        </logisticUnitIdentification><receivingAdviceLineItem><lineItemNumber>1</lineItemNumber>\
        <quantityReceived measurementUnitCode=\"H87\">100</quantityReceived><quantityDespatched measurementUnitCode=\"H87\">101\
        </quantityDespatched><transactionalTradeItem><gtin>09521141123454</gtin></transactionalTradeItem>\
        <receivingConditionInformation><receivingConditionCode>DAMAGED_PRODUCT_OR_CONTAINER</receivingConditionCode>\
        <receivingConditionQuantity measurementUnitCode=\"H87\">4</receivingConditionQuantity></receivingConditionInformation>\
        </receivingAdviceLineItem></receivingAdviceLogisticUnit></receivingAdvice></receivingAdviceMessage>";

    let found = read(text);

    let [event] = found.events.as_slice() else { panic!("{:?}", found.held) };
    assert_eq!((event.event_type, event.correlation_id.as_str()), (EventType::ReceiptConfirmed, "DA-1"));
    let line = &event.lines[0];
    assert_eq!(
        (line.qty_received, line.qty_damaged, line.qty_shipped),
        (Some(100.into()), Some(4.into()), Some(101.into()))
    );
    assert_eq!(line.container_ref, "095211410000000175");
}

#[test]
fn a_large_report_is_split() {
    let entries: String = (0..=2 * SNAPSHOT_LINES_MAX).map(|at| stocked(at, "sellable_accessible")).collect();
    let found = read(&report(&entries));

    let sizes: Vec<usize> = found.events.iter().map(|event| event.lines.len()).collect();
    assert_eq!(sizes, [500, 500, 1]);
    assert!(found.events.iter().all(|event| event.split && event.event_type == EventType::InventorySnapshot));
    let event = &found.events[2];
    assert_eq!((event.reference(RefKind::Report), event.lines[0].line_no.as_str()), ("REP-1", "1001"));
    assert_eq!((event.lines[0].qty, event.lines[0].stock_status_to.as_str()), (Some(1000.into()), "available"));
    assert_eq!(event.party(PartyRole::Warehouse).unwrap().id, "9521141000014");
}

#[test]
fn two_halves_of_a_move_are_one_event() {
    let of_status = moved("DECREASE", "sellable_accessible", "A", "ADMINISTRATIVE_TRANSFER", "3")
        + &moved("INCREASE", "non_sellable_quarantined", "Q", "ADMINISTRATIVE_TRANSFER", "3");
    let of_place = moved("INCREASE", "sellable_accessible", "B", "ADMINISTRATIVE_TRANSFER", "4")
        + &moved("DECREASE", "sellable_accessible", "A", "ADMINISTRATIVE_TRANSFER", "4");
    let found = read(&report(&(of_status + &of_place)));

    assert_eq!(types(&found), [EventType::InventoryStatusChanged, EventType::InventoryTransferred]);
    let words = |event: &Event| {
        let line = &event.lines[0];
        let qty = line.qty.unwrap();
        format!("{qty} {} {} {} {}", line.stock_status_from, line.stock_status_to, line.location_from, line.location_to)
    };
    assert_eq!(words(&found.events[0]), "3 available hold A Q");
    assert_eq!(words(&found.events[1]), "4 available available A B");
}

#[test]
fn what_moves_alone_is_an_adjustment() {
    let found = read(&report(
        &(moved("DECREASE", "sellable_accessible", "A", "DAMAGED", "3")
            + &moved("INCREASE", "sellable_accessible", "A", "CYCLE_COUNT", "2")
            + &moved("DECREASE", "sellable_accessible", "A", "SOMETHING", "1")),
    ));

    let all: Vec<String> = found
        .events
        .iter()
        .map(|e| format!("{} {} {}", e.event_type, e.lines[0].qty.unwrap(), e.lines[0].reason.code))
        .collect();
    assert_eq!(all, ["inventory_adjusted -3 damage", "inventory_adjusted 2 count_gain", "inventory_adjusted -1 other"]);
    assert_eq!(found.events[2].warnings[0].code, "UNKNOWN_REASON");
    assert_eq!(found.events[0].reference(RefKind::Adjustment), "REP-1");
}

#[test]
fn a_test_message_is_marked() {
    let scope = "<sh:BusinessScope><sh:Scope><sh:Type>TEST_INDICATOR</sh:Type><sh:InstanceIdentifier>true\
                 </sh:InstanceIdentifier></sh:Scope></sh:BusinessScope></sh:StandardBusinessDocumentHeader>";

    let found = read(&DESPATCH.replace("</sh:StandardBusinessDocumentHeader>", scope));

    assert!(found.events.iter().all(|event| event.interchange.usage == "T"));
}

#[test]
fn another_document_is_refused() {
    let found = read("<orderMessage><order><id>1</id></order></orderMessage>");

    assert_eq!(found.survey.refusals[0].code, "UNSUPPORTED_DOCUMENT");
}

#[test]
fn the_declared_encoding_is_honoured() {
    let text = DESPATCH.replace("UTF-8", "windows-1252").replace("Widget", "Größe");
    let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let decoder = samples::decoder(DialectKind::Gs1Xml);

    let found = samples::read(&decoder, &bytes);
    assert_eq!(found.events[2].lines[0].item.description, "Größe");
    assert!(found.survey.warnings.is_empty());

    let wrong: Vec<u8> =
        text.replace("windows-1252", "UTF-8").chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let found = samples::read(&decoder, &wrong);
    assert_eq!(found.events[2].lines[0].item.description, "Größe");
    assert_eq!(found.survey.warnings.len(), 1);
}

#[test]
fn a_document_cut_anywhere_gives_nothing() {
    let text = DESPATCH.trim_end();
    for cut in 1..text.len() {
        let found = samples::read(&samples::decoder(DialectKind::Gs1Xml), &text.as_bytes()[..cut]);

        assert!(found.events.is_empty(), "{cut}");
        assert_eq!(found.survey.refusals[0].code, "TRUNCATED_FILE", "{cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_size_of_the_pieces_does_not_matter(step in 1_usize..40) {
        let decoder = samples::decoder(DialectKind::Gs1Xml);

        let whole = samples::read(&decoder, DESPATCH.as_bytes());
        let pieces = samples::read_slowly(&decoder, DESPATCH.as_bytes(), step);

        prop_assert_eq!(samples::summary(&whole), samples::summary(&pieces));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(at in 0..DESPATCH.len(), noise in "[<>/&;a0 \\x00é.+-]{0,9}", is_report in any::<bool>()) {
        let text = if is_report {
            report(&(stocked(3, "x") + &moved("DECREASE", "a", "b", "c", "4") + &moved("INCREASE", "d", "b", "c", "4")))
        } else {
            DESPATCH.to_owned()
        };
        let mut bytes = text.into_bytes();
        let at = at % bytes.len();
        let end = (at + noise.len()).min(bytes.len());
        bytes.splice(at..end, noise.into_bytes());

        samples::read(&samples::decoder(DialectKind::Gs1Xml), &bytes);
    }
}

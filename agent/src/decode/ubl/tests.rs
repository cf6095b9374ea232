use docksync_proto::event::{Action, ContainerKind, EventType, LineStatus, PartyRole, RefKind};
use proptest::prelude::*;

use super::super::{
    profile::DialectKind,
    samples::{self, Outcome},
};

const DESPATCH: &str = include_str!("../../../../tests/golden/ubl/despatch.xml");
const RECEIPT: &str = include_str!("../../../../tests/golden/ubl/receipt.xml");

fn read(text: &str) -> Outcome {
    read_with("", "", text)
}

fn read_with(parse: &str, tables: &str, text: &str) -> Outcome {
    samples::read(&samples::decoder_with(DialectKind::Ubl, parse, tables), text.as_bytes())
}

fn types(found: &Outcome) -> Vec<EventType> {
    found.events.iter().map(|event| event.event_type).collect()
}

#[test]
fn samples_read_as_recorded() {
    samples::check("ubl-despatch", DialectKind::Ubl);
}

#[test]
fn a_despatch_advice_is_a_shipment_with_all_that_follows() {
    use EventType as T;
    let found = read(DESPATCH);

    assert_eq!(
        types(&found),
        [T::CartonPacked, T::CartonPacked, T::ShipmentConfirmed, T::ExceptionRaised],
        "{:?}",
        found.held
    );
    assert!(found.events.iter().all(|event| event.correlation_id == "PO-12"));
    let shipped = &found.events[2];
    assert_eq!(shipped.time.rfc3339(), "2026-11-23T09:15:27-06:00");
    assert_eq!((shipped.reference(RefKind::Desadv), shipped.reference(RefKind::Shipment)), ("DN-55", "DN-55"));
    assert_eq!((shipped.reference(RefKind::So), shipped.reference(RefKind::Pro)), ("SO-9", "CONS-3"));
    assert_eq!(shipped.party(PartyRole::ShipTo).unwrap().address, "Quay 1, Harbour, SE");
    assert_eq!(shipped.party(PartyRole::Carrier).unwrap().name, "Carrier");
    let line = &shipped.lines[0];
    assert_eq!(
        (line.item.sku.as_str(), line.item.buyer_item.as_str(), line.item.gtin.as_str()),
        ("V-1", "B-1", "09521141123454")
    );
    assert_eq!(
        (line.qty_ordered, line.qty_shipped, line.qty_difference),
        (Some(10.into()), Some(7.into()), Some(3.into()))
    );
    assert_eq!(
        (line.status_code, line.reason.text.as_str()),
        (Some(LineStatus::ShortBackordered), "Follows on Friday")
    );
    assert_eq!((line.lot.as_str(), line.serials.join(",").as_str()), ("L-77", "S-1,S-2"));
    assert_eq!(line.expiry_date.unwrap().to_string(), "2027-05-31");
    assert_eq!((line.uom.as_str(), line.source_line_no.as_str(), line.container_ref.as_str()), ("EA", "10", "BOX-1"));
    let line = &shipped.lines[1];
    assert_eq!((line.item.sku.as_str(), line.uom.as_str()), ("09521141678909", "BX"));
    assert_eq!((line.references[0].value.as_str(), line.container_ref.as_str()), ("PO-13", "095211410000000175"));
    let [pallet, carton] = shipped.containers.as_slice() else { panic!("two containers") };
    assert_eq!((pallet.kind, pallet.sscc.as_str()), (Some(ContainerKind::Pallet), "095211410000000175"));
    assert_eq!((carton.kind, carton.parent_id.as_str()), (Some(ContainerKind::Carton), "095211410000000175"));
    assert_eq!(shipped.extensions["ubl:DespatchLine[1]/Item/AdditionalItemProperty/Value"], "Red");
    assert_eq!(found.events[3].reference(RefKind::ExceptionCode), "SHORT_SHIP");
}

#[test]
fn a_delivery_to_a_site_of_ours_is_expected() {
    let own = "[sites]\n\"9521141000021\" = \"DC8\"\n";
    for (parse, tables) in [("", own), ("direction = \"in\"", own), ("direction = \"in\"", "")] {
        let found = read_with(parse, tables, DESPATCH);

        assert_eq!(types(&found), [EventType::ReceiptExpected], "{parse} {tables} {:?}", found.held);
    }
    assert_eq!(read_with("", own, DESPATCH).events[0].site_id.as_str(), "DC8");
    let out = read_with("direction = \"out\"", own, DESPATCH);
    assert_eq!((out.held[0].code.as_str(), out.held[0].field.as_str()), ("UNKNOWN_SITE", "DespatchSupplierParty"));
}

#[test]
fn a_receipt_advice_tells_what_came_and_what_was_turned_away() {
    let found = read(RECEIPT);

    assert_eq!(types(&found), [EventType::ReceiptConfirmed, EventType::ExceptionRaised], "{:?}", found.held);
    let event = &found.events[0];
    assert_eq!((event.reference(RefKind::Receipt), event.reference(RefKind::Desadv)), ("RA-7", "DN-55"));
    assert_eq!(
        (event.correlation_id.as_str(), event.time.local().date().to_string().as_str()),
        ("PO-12", "2026-11-23")
    );
    assert_eq!((event.lines[0].qty_received, event.lines[0].qty_ordered), (Some(7.into()), Some(10.into())));
    assert_eq!(event.lines[1].reason.source_code, "WET");
    assert_eq!(found.events[1].reference(RefKind::ExceptionCode), "RECEIPT_REJECTED");
    assert_eq!(found.events[1].lines[0].item.sku, "V-2");
}

#[test]
fn status_codes_change_and_withdraw() {
    let with = |code: &str| {
        let text =
            format!("<cbc:IssueDate>2026-11-23</cbc:IssueDate><cbc:DocumentStatusCode>{code}</cbc:DocumentStatusCode>");
        read(&DESPATCH.replace("<cbc:IssueDate>2026-11-23</cbc:IssueDate>", &text))
    };

    assert_eq!(with("Revised").events[0].action, Action::Change);
    assert_eq!(with("1").events[0].action, Action::Void);
    assert_eq!(with("17").held[0].code, "INVALID_CODE");
}

#[test]
fn a_bad_line_holds_its_document() {
    for (from, to, code, field) in [
        (">7<", ">seven<", "INVALID_QUANTITY", "DespatchLine/DeliveredQuantity"),
        ("\"XBX\"", "\"XYZ\"", "UNKNOWN_UOM", "DespatchLine/DeliveredQuantity"),
        ("2027-05-31", "2027-05-32", "INVALID_DATE", "LotIdentification/ExpiryDate"),
        (
            "ActualDespatchDate>2026-11-23",
            "ActualDespatchDate>2026-11-50",
            "INVALID_DATE",
            "Shipment/Delivery/Despatch/ActualDespatchDate",
        ),
        (
            "L-77</cbc:LotNumberID></cac:LotI",
            "L-78</cbc:LotNumberID></cac:LotI",
            "SCHEMA_VIOLATION",
            "Item/ItemInstance/LotIdentification",
        ),
        (
            "<cbc:ID schemeID=\"0160\">09521141678909</cbc:ID>",
            "",
            "MISSING_MANDATORY",
            "Item/SellersItemIdentification/ID",
        ),
    ] {
        let found = read(&DESPATCH.replacen(from, to, 1));

        let [held] = found.held.as_slice() else { panic!("{to}: {:?}", found.held) };
        assert_eq!((held.code.as_str(), held.field.as_str(), held.line_no), (code, field, 2), "{to}");
        assert!(found.events.is_empty());
    }
}

#[test]
fn documents_in_an_envelope_are_read_and_others_refused() {
    let bare = DESPATCH.split_once("?>").unwrap().1;
    let both = format!("<Batch>{bare}{}</Batch>", RECEIPT.split_once("?>").unwrap().1);

    assert_eq!(read(&both).events.len(), 6);
    assert_eq!(read("<Invoice><ID>1</ID></Invoice>").survey.refusals[0].code, "UNSUPPORTED_DOCUMENT");
}

#[test]
fn a_document_cut_anywhere_gives_nothing() {
    for text in [DESPATCH.trim_end(), RECEIPT.trim_end()] {
        for cut in 1..text.len() {
            let found = samples::read(&samples::decoder(DialectKind::Ubl), &text.as_bytes()[..cut]);

            assert!(found.events.is_empty(), "{cut}");
            assert_eq!(found.survey.refusals[0].code, "TRUNCATED_FILE", "{cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_size_of_the_pieces_does_not_matter(step in 1_usize..40) {
        let decoder = samples::decoder(DialectKind::Ubl);

        let whole = samples::read(&decoder, DESPATCH.as_bytes());
        let pieces = samples::read_slowly(&decoder, DESPATCH.as_bytes(), step);

        prop_assert_eq!(samples::summary(&whole), samples::summary(&pieces));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(at in 0..DESPATCH.len(), noise in "[<>/&;a0 \\x00é.+-]{0,9}") {
        let mut bytes = DESPATCH.as_bytes().to_vec();
        let end = (at + noise.len()).min(bytes.len());
        bytes.splice(at..end, noise.into_bytes());

        samples::read(&samples::decoder(DialectKind::Ubl), &bytes);
    }
}

//! What the columns of an example most likely mean, by their names and by what stands in them.

use docksync_proto::event::EventType;

/// Field of the event, and names under which exports carry it; letters and digits alone, in small letters, between blanks.
const NAMES: &[(&str, &str)] = &[
    (
        "lines.item.sku",
        "sku item itemno itemnumber itemcode itemid article articleno artikel artikelnr material matnr \
         product productcode productid productsku partno partnumber skucode skuno skunumber skuid itemsku \
         itemnum articlenumber artno artnr materialno materialnumber productno productnumber partnr stockcode",
    ),
    ("lines.item.gtin", "gtin ean ean13 upc barcode eancode gtin14 upccode"),
    (
        "lines.item.description",
        "description itemdescription productname desc bezeichnung name productdescription articledescription \
         itemname materialdescription",
    ),
    (
        "lines.lot",
        "lot lotno lotnumber lotcode batch batchno batchnumber charge charg lotid lotnum batchid batchcode \
         chargenr",
    ),
    ("lines.serials", "serial serialno serialnumber serials serialnum serialnumbers imei"),
    (
        "lines.expiry_date",
        "expiry expirydate expirationdate expdate expires bestbefore mhd expiration expiresat expireson useby \
         usebydate verfallsdatum",
    ),
    ("lines.uom", "uom unit unitofmeasure qtyum um einheit me uomcode baseuom qtyuom unitcode"),
    ("lines.qty_ordered", "qtyordered orderedqty ordered orderqty quantityordered qtyord ordqty orderedquantity"),
    (
        "lines.qty_shipped",
        "qtyshipped shippedqty shipped shipqty quantityshipped qtyship qtyshp shippedquantity despatchedqty \
         dispatchedqty qtydespatched deliveredqty qtydelivered",
    ),
    (
        "lines.qty_received",
        "qtyreceived receivedqty received recvqty quantityreceived qtyrecd recdqty qtyrcvd rcvdqty \
         receivedquantity",
    ),
    ("lines.qty_damaged", "qtydamaged damagedqty damaged damagedquantity"),
    ("lines.qty_before", "qtybefore obqoh systemqty expectedqty bookqty book systemquantity expectedquantity"),
    (
        "lines.qty_after",
        "qtyafter physicalqoh countedqty countqty counted countedquantity physicalqty physicalquantity",
    ),
    (
        "lines.qty",
        "qty quantity menge qtyonhand onhand qoh stock balance delta qtychange adjqty pickedqty qtypicked \
         quantityonhand onhandqty onhandquantity stockqty stockquantity stocklevel bestand pickqty \
         pickedquantity adjustedqty adjustmentqty qtyadjusted",
    ),
    ("lines.source_line_no", "line lineno linenumber orderline pos position posnr"),
    (
        "lines.location_from",
        "location loc fromlocation fromloc bin binlocation lagerplatz frombin bincode binno binid \
         storagelocation storagebin shelf slot locationcode locationid",
    ),
    ("lines.location_to", "tolocation toloc destinationbin tobin destination destinationlocation"),
    (
        "lines.container_ref",
        "lpn licenseplate container containerid carton cartonid pallet palletid lpnno lpnid licenceplate \
         handlingunit huid cartonno palletno",
    ),
    ("lines.reason.code", "reason reasoncode adjreason grund reasoncd adjustmentreason movementreason"),
    ("lines.stock_status_to", "status stockstatus invstatus inventorystatus"),
    ("containers.sscc", "sscc sscc18"),
    ("containers.tracking_no", "tracking trackingno trackingnumber trackingid trackingcode"),
    (
        "references.depositor_order",
        "order orderno ordernumber orderid so salesorder auftrag auftragsnr ordernum orderref orderreference \
         salesorderno salesordernumber sono",
    ),
    ("references.po", "po pono ponumber purchaseorder purchaseordernumber ponum purchaseorderno"),
    (
        "references.shipment",
        "shipment shipmentno shipmentid delivery deliveryno lieferung shipmentnumber shipid deliverynumber \
         deliveryid",
    ),
    ("references.receipt", "receipt receiptno receiptnumber receiptid grn receiptnum grnno grnnumber"),
    ("references.adjustment", "adjustment adjustmentno adjno adjustmentid adjustmentnumber adjid"),
    ("references.count", "count countno countid countnumber"),
    (
        "references.transaction",
        "transaction transactionid txn txnid transid internalid transactionno transactionnumber transno txnno \
         movementid",
    ),
    ("references.bol", "bol billoflading"),
    ("references.report", "report reportid reportno reportnumber"),
    ("references.desadv", "asn asnno asnnumber asnid"),
    ("references.rma", "rma rmano returnno rmanumber returnnumber returnid"),
    ("parties.carrier.id", "carrier scac carriercode scaccode carrierid"),
    (
        "parties.ship_to.id",
        "customer customerno customerid shipto kunde customercode customernumber shiptoid shiptocode \
         consignee",
    ),
    (
        "operator",
        "operator user userid username employee picker operatorid pickedby countedby receivedby adjustedby \
         userlogin",
    ),
];

/// Words in the names of columns that hold a time.
const TIMES: &[&str] = &[
    "date",
    "time",
    "timestamp",
    "datum",
    "zeit",
    "fecha",
    "pickedat",
    "shippedat",
    "receivedat",
    "createdat",
    "at",
    "when",
    "asof",
];

/// Last words of such names: `counted_on`, `ship_dt`.
const TIME_ENDS: &[&str] = &["at", "on", "dt", "ts"];

/// Formats of times that are tried, with the field's own ISO form first.
const FORMATS: &[&str] = &[
    "iso",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S",
    "%d-%b-%Y",
];

fn bare(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The field that a column of this name most likely is.
pub(super) fn field_of(name: &str) -> Option<&'static str> {
    let bare = bare(name);
    let of = |names: &str| names.split_whitespace().any(|name| name == bare);
    NAMES.iter().find(|(_, names)| of(names)).map(|(field, _)| *field)
}

/// Whether a column of this name most likely holds a time.
pub(super) fn is_time(name: &str) -> bool {
    let bare = bare(name);
    let (_, last) = name.rsplit_once(|c: char| !c.is_alphanumeric()).unwrap_or_default();
    TIMES.iter().any(|word| bare == *word || (word.len() > 3 && bare.ends_with(word)))
        || TIME_ENDS.iter().any(|word| last.eq_ignore_ascii_case(word))
}

/// The format in which every one of these times is written.
pub(super) fn format_of<'s>(samples: impl Iterator<Item = &'s str> + Clone) -> Option<&'static str> {
    let mut filled = samples.filter(|text| !text.is_empty()).peekable();
    filled.peek()?;
    FORMATS.iter().find(|format| filled.clone().all(|text| fits(text, format))).copied()
}

fn fits(text: &str, format: &str) -> bool {
    if format == "iso" {
        let text = text.replacen(' ', "T", 1);
        return text.parse::<jiff::civil::DateTime>().is_ok()
            || text.parse::<jiff::Timestamp>().is_ok()
            || text.parse::<jiff::civil::Date>().is_ok();
    }
    jiff::fmt::strtime::parse(format, text).is_ok_and(|parts| parts.to_date().is_ok())
}

/// What files of this name and these columns most likely report.
pub(super) fn event_type(file: &str, fields: &[&str]) -> EventType {
    let name = file.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let has = |field: &str| fields.contains(&field);
    if says(&["return", "rma", "rtn"]) || has("references.rma") {
        EventType::ReturnReceived
    } else if says(&["ship", "desp", "945", "shp"]) || has("lines.qty_shipped") {
        EventType::ShipmentConfirmed
    } else if says(&["recei", "rcpt", "944", "grn", "inbound"]) || has("lines.qty_received") {
        EventType::ReceiptConfirmed
    } else if says(&["adj", "947"]) || has("references.adjustment") {
        EventType::InventoryAdjusted
    } else if says(&["count", "cyc"]) || has("lines.qty_after") {
        EventType::CycleCountCompleted
    } else if says(&["inv", "stock", "balance", "846", "snapshot", "bestand"]) {
        EventType::InventorySnapshot
    } else if says(&["order", "940"]) && !says(&["pick"]) {
        EventType::OrderSubmitted
    } else {
        EventType::PickConfirmed
    }
}

/// The field of the quantity that an event of this type lives by.
pub(super) const fn quantity_of(event_type: EventType) -> &'static str {
    match event_type {
        EventType::ShipmentConfirmed | EventType::TransferShipped => "lines.qty_shipped",
        EventType::ReceiptConfirmed | EventType::ReturnReceived => "lines.qty_received",
        EventType::OrderSubmitted => "lines.qty_ordered",
        EventType::CycleCountCompleted => "lines.qty_after",
        _ => "lines.qty",
    }
}

/// Whether a statement of this type is about stock as it is when the file is written, so that the file's own time says when.
pub(super) const fn is_of_the_moment(event_type: EventType) -> bool {
    matches!(event_type, EventType::InventorySnapshot | EventType::CycleCountCompleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_find_their_fields_and_times_their_formats() {
        assert_eq!(field_of("Item No."), Some("lines.item.sku"));
        assert_eq!(field_of("Physical QOH"), Some("lines.qty_after"));
        assert_eq!(field_of("zone"), None);
        assert!(is_time("picked_at") && is_time("ShipDate") && !is_time("status"));
        assert!(is_time("as_of") && is_time("counted_on") && !is_time("location") && !is_time("on_hand"));
        assert_eq!(field_of("report"), Some("references.report"));
        assert_eq!(format_of(["2026-11-23 09:15:27", "", "2026-11-24"].into_iter()), Some("iso"));
        assert_eq!(format_of(["11/23/2026 9:15:00 AM"].into_iter()), Some("%m/%d/%Y %I:%M:%S %p"));
        assert_eq!(format_of(["23.11.2026"].into_iter()), Some("%d.%m.%Y"));
        assert_eq!(format_of(["12 apples"].into_iter()), None);
    }

    #[test]
    fn no_name_is_guessed_twice() {
        let mut names: Vec<&str> = NAMES.iter().flat_map(|(_, names)| names.split_whitespace()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_field_that_is_guessed_exists() {
        for (field, _) in NAMES {
            assert!(crate::decode::target::Target::parse(field).is_some(), "{field}");
        }
    }
}

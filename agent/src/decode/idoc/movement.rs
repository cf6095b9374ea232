//! Goods movements: MBGMCR (BAPI_GOODSMVT_CREATE) and WMMBXY.
//!
//! The movement type of each item says what it is; the items of a document that are one receipt, one return or one issue for a
//! delivery become one event, stock corrections one event each. Movement types are SAP's own (transaction OMJJ); a type of the
//! customer is held with its code, as nobody here knows its meaning.

use docksync_proto::event::{Action, Event, EventType, Line, Reason, RefKind};
use rust_decimal::Decimal;

use super::model::{self, Idoc, Segment, common, refer, set_sku, taken_quantity, taken_unit};
use crate::decode::{
    message::{Message, Messages, doubt},
    trade,
};

/// What a movement type does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Goods came in; the flag takes it back.
    Receipt(bool),
    /// Goods came back from a customer.
    Return(bool),
    /// Goods left for a delivery.
    Issue(bool),
    /// Stock was corrected, up or down.
    Adjust(bool, &'static str),
    /// Stock changed its status.
    Status(&'static str, &'static str),
    /// Stock moved to another place.
    Move,
    /// Stock became another item.
    Relabel,
}

fn effect(movement: &str) -> Option<Effect> {
    Some(match movement {
        "101" | "105" | "501" | "521" | "531" | "561" | "305" => Effect::Receipt(false),
        "102" | "106" | "502" | "522" | "532" | "562" | "306" => Effect::Receipt(true),
        "122" | "161" => Effect::Adjust(false, "receipt_correction"),
        "123" | "162" => Effect::Adjust(true, "receipt_correction"),
        "651" | "653" | "655" | "657" => Effect::Return(false),
        "652" | "654" | "656" | "658" => Effect::Return(true),
        "601" | "641" | "643" | "645" | "647" => Effect::Issue(false),
        "602" | "642" | "644" | "646" | "648" => Effect::Issue(true),
        "201" | "221" | "231" | "241" | "251" | "261" | "281" | "291" => Effect::Adjust(false, "other"),
        "202" | "222" | "232" | "242" | "252" | "262" | "282" | "292" => Effect::Adjust(true, "other"),
        "331" | "333" | "335" => Effect::Adjust(false, "sample"),
        "332" | "334" | "336" => Effect::Adjust(true, "sample"),
        "551" | "553" | "555" => Effect::Adjust(false, "damage"),
        "552" | "554" | "556" => Effect::Adjust(true, "damage"),
        "701" | "703" | "707" | "712" | "714" | "716" | "718" => Effect::Adjust(true, "count_gain"),
        "702" | "704" | "708" | "711" | "713" | "715" | "717" => Effect::Adjust(false, "count_loss"),
        "321" => Effect::Status("quality", "available"),
        "322" => Effect::Status("available", "quality"),
        "343" => Effect::Status("hold", "available"),
        "344" => Effect::Status("available", "hold"),
        "349" => Effect::Status("hold", "quality"),
        "350" => Effect::Status("quality", "hold"),
        "301" | "302" | "303" | "304" | "311" | "312" | "313" | "314" | "315" | "316" => Effect::Move,
        "309" | "310" => Effect::Relabel,
        _ => return None,
    })
}

pub(super) fn read(messages: &mut Messages<'_, '_>, mut idoc: Idoc, message: &mut Message) {
    let mut event = idoc.blank(messages);
    let mut items = Vec::new();
    let mut header = Segment::default();
    let mut plants = Vec::new();
    for mut segment in std::mem::take(&mut idoc.segments) {
        match segment.name.as_str() {
            "E1BP2017_GM_HEAD_01" | "E1BP2017_GM_HEAD" | "E1MBXYH" => header = segment,
            "E1BP2017_GM_ITEM_CREATE" | "E1MBXYI" => {
                plants.push((segment.get("PLANT").to_owned() + segment.get("WERKS"), "PLANT"));
                let nth = items.len() + 1;
                items.extend(item(messages, message, &mut event, &mut segment, nth));
            }
            "E1MBGMCR" => segment.keep_rest(&mut event, ""),
            _ => {
                let suffix = if items.is_empty() { String::new() } else { format!("[{}]", items.len()) };
                segment.keep_rest(&mut event, &suffix);
            }
        }
    }
    let number = head(messages, message, &mut event, &mut idoc, header);
    model::place(messages, message, &mut event, &plants);
    if items.is_empty() && message.is_good() {
        let fault = trade::fault("MISSING_MANDATORY", "E1BP2017_GM_ITEM_CREATE", 0, "", "at least one item");
        let (line_no, text) = (message.line_no, message.text.clone());
        message.fault(line_no, fault, &text);
    }
    assemble(&event, items, &number, message);
}

/// Time and numbers of the document; gives the number that its facts are known by.
fn head(
    messages: &mut Messages<'_, '_>,
    message: &mut Message,
    event: &mut Event,
    idoc: &mut Idoc,
    mut header: Segment,
) -> String {
    let posted = header.take_first(&["PSTNG_DATE", "BUDAT"]);
    let posted = if posted.is_empty() { header.take_first(&["DOC_DATE", "BLDAT"]) } else { posted };
    if posted.is_empty() {
        idoc.time_of_control(messages, event);
    } else if let Err(fault) = messages.time(event, &format!("{}/PSTNG_DATE", header.name), 0, &posted, &[]) {
        message.fault(header.line_no, fault, &header.shown());
    }
    event.operator = header.take_first(&["PR_UNAME", "USNAM"]);
    refer(event, RefKind::Bol, &header.take_first(&["BILL_OF_LADING", "FRBNR"]));
    let own = header.take_first(&["REF_DOC_NO", "REF_DOC_NO_LONG", "XBLNR"]);
    header.keep_rest(event, "");
    // Without a number of its own the movement is known by that of the IDoc.
    let number = if own.is_empty() { event.interchange.control.clone() } else { own };
    if number.is_empty() {
        doubt(
            event,
            "NUMBER_MISSING",
            "references",
            "neither a reference document nor DOCNUM: known by the file alone",
        );
    }
    number
}

/// One item of the document.
struct Item {
    effect: Effect,
    line: Line,
    line_no: u64,
    offset: u64,
    references: Vec<(RefKind, String)>,
    /// Material and place where it went.
    target: Target,
}

#[derive(Default)]
struct Target {
    sku: String,
    lot: String,
    plant: String,
}

fn item(
    messages: &Messages<'_, '_>,
    message: &mut Message,
    event: &mut Event,
    segment: &mut Segment,
    nth: usize,
) -> Option<Item> {
    let shown = segment.shown();
    let name = segment.name.clone();
    let suffix = format!("[{nth}]");
    let movement = segment.take_first(&["MOVE_TYPE", "BWART"]);
    let Some(effect) = effect(&movement) else {
        let path = if name == "E1MBXYI" { "E1MBXYI/BWART".to_owned() } else { format!("{name}/MOVE_TYPE") };
        let fault = trade::fault("INVALID_CODE", &path, 0, &movement, "a movement type of SAP, as 101, 311 or 701");
        message.fault(segment.line_no, fault, &shown);
        return None;
    };
    let mut line = Line { line_no: nth.to_string(), status_source: movement, ..Line::default() };
    let material = segment.take_first(&["MATERIAL", "MATERIAL_LONG", "MATNR", "MATNR_LONG"]);
    if material.is_empty() {
        let fault = trade::fault("MISSING_MANDATORY", &format!("{name}/MATERIAL"), 0, "", "the material");
        message.fault(segment.line_no, fault, &shown);
    }
    set_sku(event, &mut line, &format!("idoc:{name}.MATERIAL{suffix}"), &material);
    line.qty = taken_quantity(messages, message, segment, &["ENTRY_QNT", "ERFMG", "MENGE"]).map(|q| q.abs());
    line.uom = taken_unit(messages, message, segment, &["ENTRY_UOM_ISO", "ENTRY_UOM", "ERFME", "MEINS"]);
    if line.uom.is_empty() {
        doubt(
            event,
            "UOM_MISSING",
            &format!("lines[{}].uom", nth - 1),
            "the item states no unit; the base unit is meant",
        );
    }
    line.lot = segment.take_first(&["BATCH", "CHARG"]);
    line.location_from = segment.take_first(&["STGE_LOC", "LGORT"]);
    line.location_to = segment.take_first(&["MOVE_STLOC", "UMLGO"]);
    line.reason.source_code = segment.take_first(&["MOVE_REAS", "GRUND"]).trim_start_matches('0').to_owned();
    line.reason.text = segment.take_first(&["ITEM_TEXT", "SGTXT"]);
    line.stock_status_to = stock(&segment.take_first(&["STCK_TYPE", "INSMK"])).to_owned();
    line.expiry_date = model::taken_day(message, segment, "EXPIRYDATE").or(model::taken_day(message, segment, "VFDAT"));
    line.source_line_no = segment.take_first(&["PO_ITEM", "EBELP", "DELIV_ITEM", "S_ORD_ITEM"]);
    let target = Target {
        sku: trade::without_zeros(&segment.take_first(&["MOVE_MAT", "UMMAT"])).to_owned(),
        lot: segment.take_first(&["MOVE_BATCH", "UMCHA"]),
        plant: segment.take_first(&["MOVE_PLANT", "UMWRK"]),
    };
    let references = [
        (RefKind::Po, segment.take_first(&["PO_NUMBER", "EBELN"])),
        (RefKind::Desadv, segment.take_first(&["DELIV_NUMB", "DELIV_NUMB_TO_SEARCH", "VBELN"])),
        (RefKind::So, segment.take_first(&["SALES_ORD", "KDAUF"])),
        (RefKind::Prodorder, segment.take_first(&["ORDERID", "AUFNR"])),
    ];
    let references = references.into_iter().filter(|(_, number)| !number.is_empty()).collect();
    let (line_no, offset) = (segment.line_no, segment.offset);
    if line.qty.is_none() && message.is_good() {
        let fault = trade::fault("MISSING_MANDATORY", &format!("{name}/ENTRY_QNT"), 0, "", "the quantity");
        message.fault(line_no, fault, &shown);
    }
    segment.keep_rest(event, &suffix);
    Some(Item { effect, line, line_no, offset, references, target })
}

/// Stock types of SAP (STCK_TYPE, INSMK).
fn stock(code: &str) -> &'static str {
    match code {
        "X" | "2" => "quality",
        "S" | "3" => "hold",
        _ => "",
    }
}

fn assemble(event: &Event, items: Vec<Item>, number: &str, message: &mut Message) {
    let mut grouped: Vec<(Effect, Vec<Item>)> = Vec::new();
    for item in items {
        let is_grouped = matches!(item.effect, Effect::Receipt(_) | Effect::Return(_) | Effect::Issue(_));
        match grouped.iter_mut().find(|(effect, _)| is_grouped && *effect == item.effect) {
            Some((_, group)) => group.push(item),
            None => grouped.push((item.effect, vec![item])),
        }
    }
    for (effect, group) in grouped {
        match effect {
            Effect::Receipt(is_void) => {
                message.events.push(receipt(event, group, number, EventType::ReceiptConfirmed, is_void))
            }
            Effect::Return(is_void) => {
                message.events.push(receipt(event, group, number, EventType::ReturnReceived, is_void))
            }
            Effect::Issue(is_void) => message.events.push(issue(event, group, number, is_void)),
            Effect::Adjust(is_gain, reason) => {
                message.events.extend(group.into_iter().map(|item| adjustment(event, item, number, is_gain, reason)));
            }
            Effect::Status(from, to) => {
                message.events.extend(group.into_iter().map(|item| status(event, item, number, from, to)));
            }
            Effect::Move => message.events.extend(group.into_iter().map(|item| transfer(event, item, number))),
            Effect::Relabel => message.events.extend(group.into_iter().flat_map(|item| relabel(event, item, number))),
        }
    }
}

/// An event about several items of the document.
fn group_of(event: &Event, group: &[Item], event_type: EventType, number: &str) -> Event {
    let mut event = event.clone();
    event.event_type = event_type;
    for item in group {
        for (kind, value) in &item.references {
            refer(&mut event, *kind, value);
        }
    }
    let orders = group.iter().map(|item| {
        let order = item.references.iter().find(|(kind, _)| matches!(kind, RefKind::Po | RefKind::So));
        order.map_or("", |(_, number)| number.as_str())
    });
    let order = common(orders);
    event.correlation_id = if order.is_empty() { number.to_owned() } else { order };
    event
}

fn receipt(event: &Event, group: Vec<Item>, number: &str, event_type: EventType, is_void: bool) -> Event {
    let mut event = group_of(event, &group, event_type, number);
    if is_void {
        event.action = Action::Void;
    }
    refer(&mut event, RefKind::Receipt, number);
    for item in group {
        let mut line = item.line;
        line.qty_received = line.qty.take();
        line.location_to = std::mem::take(&mut line.location_from);
        event.lines.push(referred(line, &item.references));
    }
    event
}

fn issue(event: &Event, group: Vec<Item>, number: &str, is_void: bool) -> Event {
    let is_transfer = group.iter().all(|item| item.line.status_source.starts_with("64"));
    let event_type = match (is_void, is_transfer) {
        (true, _) => EventType::ShipmentVoided,
        (false, true) => EventType::TransferShipped,
        (false, false) => EventType::ShipmentConfirmed,
    };
    let mut event = group_of(event, &group, event_type, number);
    let delivery = event.reference(RefKind::Desadv).to_owned();
    let order = if delivery.is_empty() { event.correlation_id.clone() } else { delivery };
    event.references.retain(|reference| reference.kind != RefKind::Desadv);
    refer(&mut event, RefKind::DepositorOrder, &order);
    refer(&mut event, RefKind::Shipment, number);
    event.correlation_id = order;
    for item in group {
        let mut line = item.line;
        line.qty_shipped = line.qty.take();
        line.stock_status_from = std::mem::take(&mut line.stock_status_to);
        event.lines.push(referred(line, &item.references));
    }
    event
}

fn referred(mut line: Line, references: &[(RefKind, String)]) -> Line {
    references.iter().for_each(|(kind, number)| trade::refer(&mut line.references, *kind, number));
    line
}

/// An event about one item.
fn single(event: &Event, item: &Item, event_type: EventType, number: &str) -> Event {
    let mut event = group_of(event, std::slice::from_ref(item), event_type, number);
    event.source.line_no = item.line_no;
    event.source.byte_offset = item.offset;
    event.correlation_id = number.to_owned();
    let kind = if event_type == EventType::InventoryAdjusted { RefKind::Adjustment } else { RefKind::Transaction };
    refer(&mut event, kind, number);
    event
}

fn adjustment(event: &Event, item: Item, number: &str, is_gain: bool, reason: &str) -> Event {
    let mut event = single(event, &item, EventType::InventoryAdjusted, number);
    let mut line = item.line;
    line.qty = line.qty.map(|qty: Decimal| if is_gain { qty } else { -qty });
    reason.clone_into(&mut line.reason.code);
    if line.reason.source_code.is_empty() {
        line.reason.source_code.clone_from(&line.status_source);
    }
    event.lines.push(line);
    event
}

fn status(event: &Event, item: Item, number: &str, from: &str, to: &str) -> Event {
    let mut event = single(event, &item, EventType::InventoryStatusChanged, number);
    let mut line = item.line;
    from.clone_into(&mut line.stock_status_from);
    to.clone_into(&mut line.stock_status_to);
    event.lines.push(line);
    event
}

fn transfer(event: &Event, item: Item, number: &str) -> Event {
    let mut event = single(event, &item, EventType::InventoryTransferred, number);
    if !item.target.plant.is_empty() {
        let text = format!("goods go to plant {}; a move between sites changes the stock of both", item.target.plant);
        doubt(&mut event, "SEVERAL_PLANTS", "site_id", text);
    }
    let mut line = item.line;
    line.stock_status_from.clone_from(&line.stock_status_to);
    event.lines.push(line);
    event
}

/// An item that becomes another leaves the stock as the one and enters it as the other.
fn relabel(event: &Event, item: Item, number: &str) -> [Event; 2] {
    let mut out = single(event, &item, EventType::InventoryAdjusted, number);
    let mut into = out.clone();
    let Item { line, target, .. } = item;
    let reason =
        Reason { code: "relabel".to_owned(), source_code: line.status_source.clone(), text: line.reason.text.clone() };
    let mut added = line.clone();
    if !target.sku.is_empty() {
        added.item.sku = target.sku;
    }
    if !target.lot.is_empty() {
        added.lot = target.lot;
    }
    added.reason = reason.clone();
    let mut taken = line;
    taken.qty = taken.qty.map(|qty: Decimal| -qty);
    taken.reason = reason;
    out.lines.push(taken);
    into.lines.push(added);
    [out, into]
}

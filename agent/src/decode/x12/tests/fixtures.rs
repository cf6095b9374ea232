//! Documents written for these tests: invented partners and numbers, valid check digits.

use docksync_proto::event::{Event, EventType};

use super::super::super::{
    profile::DialectKind,
    samples::{Outcome, decoder, decoder_with, read},
};

/// A set from its segments, with a right trailer.
pub(super) fn set(kind: &str, control: &str, segments: &[&str]) -> Vec<String> {
    let mut all = vec![format!("ST*{kind}*{control}")];
    all.extend(segments.iter().map(|segment| (*segment).to_owned()));
    all.push(format!("SE*{}*{control}", all.len() + 1));
    all
}

/// A group of sets.
pub(super) fn group(kind: &str, control: &str, sets: &[Vec<String>]) -> Vec<String> {
    let mut all = vec![format!("GS*{kind}*ACME*NORTHDC*20260714*1015*{control}*X*004010")];
    all.extend(sets.iter().flatten().cloned());
    all.push(format!("GE*{}*{control}", sets.len()));
    all
}

/// An interchange of groups, ready to be read. `usage` is `P` or `T`.
pub(super) fn interchange(control: &str, usage: &str, groups: &[Vec<String>]) -> String {
    let mut all = vec![format!(
        "ISA*00*          *00*          *ZZ*ACME           *ZZ*NORTHDC        *260714*1015*U*00401*{control}*0*{usage}*>"
    )];
    all.extend(groups.iter().flatten().cloned());
    all.push(format!("IEA*{}*{control}", groups.len()));
    all.iter().map(|segment| format!("{segment}~\n")).collect()
}

/// A file of one document.
pub(super) fn document(kind: &str, segments: &[&str]) -> String {
    let group_kind = super::super::codes::DOCUMENTS.iter().find(|(known, _)| *known == kind).unwrap().1;
    interchange("000000041", "P", &[group(group_kind, "41", &[set(kind, "0001", segments)])])
}

/// Reads a text by a feed that declares nothing.
pub(super) fn plain(text: &str) -> Outcome {
    read(&decoder(DialectKind::X12), text.as_bytes())
}

/// Reads a text by a feed with these lines in `[parse]` and these tables.
pub(super) fn with(parse: &str, tables: &str, text: &str) -> Outcome {
    read(&decoder_with(DialectKind::X12, parse, tables), text.as_bytes())
}

/// The events of a good file.
pub(super) fn good(text: &str) -> Vec<Event> {
    let outcome = plain(text);
    assert!(outcome.held.is_empty(), "{:?}", outcome.held);
    assert!(outcome.survey.refusals.is_empty(), "{:?}", outcome.survey.refusals);
    outcome.events
}

/// The only event of this type.
pub(super) fn only(events: &[Event], event_type: EventType) -> &Event {
    let found: Vec<&Event> = events.iter().filter(|event| event.event_type == event_type).collect();
    assert_eq!(found.len(), 1, "{event_type}: {events:#?}");
    found[0]
}

/// Codes of its doubts.
pub(super) fn codes(event: &Event) -> Vec<&str> {
    event.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

/// The segments with another in the place of this one.
pub(super) fn changed<'s>(segments: &[&'s str], from: &str, to: &'s str) -> Vec<&'s str> {
    assert!(segments.contains(&from), "{from}");
    segments.iter().map(|segment| if *segment == from { to } else { segment }).collect()
}

/// Code and field of what is held.
pub(super) fn held(outcome: &Outcome) -> Vec<(&str, &str)> {
    outcome.held.iter().map(|line| (line.code.as_str(), line.field.as_str())).collect()
}

pub(super) const SHIPPING: &[&str] = &[
    "W06*F*ORD-7701*20260714*SHP-9*AG1*PO-55",
    "N1*WH*NORTH DC*92*N01",
    "N1*ST*CORNER SHOP 12*92*0012",
    "N3*1 HARBOR ROAD",
    "N4*DULUTH*MN*55802*US",
    "N9*BM*BOL-31",
    "N9*SN*SEAL-8",
    "G62*11*20260715*1*1330*UT",
    "W27*M*RDWY*ROADWAY",
    "LX*1",
    "MAN*GM*00106141412345678908**CP*1Z999AA10123456784",
    "W12*CC*24*24*0*EA*000000614141*VN*SKU-1*********UK*10614141000415",
    "G69*TRAIL MIX",
    "N9*LI*10",
    "N9*LT*LOT-A",
    "LX*2",
    "W12*BP*60*55*5*EA**VN*SKU-2*LOT-B*110.5*G*L",
    "N9*LV*00106141412345678915*55",
    "N9*PJ*X7",
    "W03*79*310*LB",
];

pub(super) const ORDER: &[&str] = &[
    "W05*N*ORD-7701*PO-55",
    "N1*ST*CORNER SHOP 12*92*0012",
    "N4*DULUTH*MN*55802",
    "N1*WH*NORTH DC*92*N01",
    "N9*CO*C-9",
    "G62*04*20260710",
    "G62*10*20260714",
    "NTE*DEL*CALL FIRST",
    "W66*PP*M***VIA RAIL*****RDWY",
    "LX*1",
    "W01*24*EA*000000614141*VN*SKU-1*UP*614141000418******LOT-A",
    "G69*TRAIL MIX",
    "N9*LI*10",
    "W20****240*G*L",
    "W76*24*240*LB",
];

pub(super) const TRANSFER: &[&str] = &[
    "W06*F*TRF-5*20260714*SHP-5",
    "N1*SF*SOUTH DC*92*S01",
    "N1*ST*NORTH DC*92*N01",
    "W27*M*RDWY",
    "W04*40*CA**VN*SKU-1",
    "N9*LT*LOT-A",
    "N9*LV*00106141412345678908*40",
    "W03*40",
];

pub(super) const RECEIPT: &[&str] = &[
    "W17*F*20260714*RCP-1*TRF-5*SHP-5*8*0930",
    "N1*WH*NORTH DC*92*N01",
    "N1*SF*SOUTH DC*92*S01",
    "W08*M*RDWY***TRL-4*SEAL-4",
    "W07*40*CA**VN*SKU-1*LT**LOT-A",
    "N9*PC*PROD-3",
    "W20****80*N*K",
    "W13*4*CA*01**CC",
    "W07*10*CA**VN*SKU-2***LOT-B",
    "W13*2*CA*02",
    "W14*50",
];

pub(super) const ADJUSTMENT: &[&str] = &[
    "W15*20260714*ADJ-1",
    "N1*WH*NORTH DC*92*N01",
    "W19*06*-13.000*EA**VN*SKU-1***LOT-A",
    "G69*TRAIL MIX",
    "W19*05*20*EA**VN*SKU-1***LOT-A",
    "W19*AA*3*EA**VN*SKU-2********PA",
    "W19*AU*-2*EA**VN*SKU-3",
];

pub(super) const STOCK: &[&str] = &[
    "BIA*00*SI*RPT-1*20260714*0600",
    "DTM*007*20260713*2300",
    "N1*WH*NORTH DC*92*N01",
    "LIN*1*VN*SKU-1*UP*614141000418",
    "PID*F****TRAIL MIX",
    "REF*LT*LOT-A",
    "REF*WS*A-01-02",
    "QTY*33*500*EA",
    "QTY*74*4",
    "UIT*EA",
    "LIN*2*VN*SKU-2",
    "QTY*QH*12*CA",
    "DTM*036*20270101",
    "CTT*2",
];

pub(super) const PURCHASE: &[&str] = &[
    "BEG*00*SA*PO-55**20260710",
    "REF*DP*045",
    "DTM*002*20260720",
    "N1*ST*CORNER SHOP 12*92*0012",
    "PO1*1*30*EA*8.5**UP*614141000418*VN*SKU-1",
    "PID*F****TRAIL MIX",
    "SDQ*EA*92*0012*10*0013*20",
    "PO1*2*6*CA*24**BP*B-2",
    "CTT*2*36",
];

pub(super) const ANSWER: &[&str] = &[
    "BAK*00*AC*PO-55*20260710****SO-9*20260711",
    "N1*ST*CORNER SHOP 12*92*0012",
    "PO1*1*30*EA***VN*SKU-1",
    "ACK*IA*20*EA*067*20260720",
    "ACK*IB*10*EA",
    "PO1*2*6*CA***VN*SKU-2",
    "ACK*IR*6*CA",
    "CTT*2",
];

pub(super) const CHANGE: &[&str] =
    &["BCH*04*SA*PO-55**2*20260710*****20260712", "POC*1*QI*36**EA***VN*SKU-1", "POC*2*DI******VN*SKU-2", "CTT*2"];

pub(super) const NOTICE: &[&str] = &[
    "BSN*00*SHP-9*20260714*1330*0001",
    "HL*2*1*O",
    "PRF*PO-55***20260710",
    "HL*1**S",
    "TD1*CTN25*2****G*44*LB",
    "TD5*B*2*RDWY*M",
    "REF*BM*BOL-31",
    "DTM*011*20260715*0800",
    "N1*SF*NORTH DC*92*N01",
    "N1*ST*CORNER SHOP 12*92*0012",
    "HL*3*2*T",
    "MAN*GM*00106141412345678915",
    "HL*4*3*P",
    "MAN*GM*00106141412345678908**CP*1Z999AA10123456784",
    "HL*5*4*I",
    "LIN*10*VN*SKU-1*LT*LOT-A",
    "SN1**24*EA**30",
    "DTM*036*20270101",
    "HL*6*4*I",
    "LIN*20*VN*SKU-2",
    "SN1**5*EA",
    "CTT*6*29",
];

pub(super) const ACKNOWLEDGMENT: &[&str] = &[
    "AK1*OW*1044",
    "AK2*940*0001",
    "AK5*A",
    "AK2*940*0002",
    "AK3*W01*5**8",
    "AK4*2*355*7*ZZ",
    "AK5*R*5",
    "AK9*P*2*2*1",
];

/// Every document.
pub(super) fn all() -> Vec<(&'static str, String)> {
    let documents = [
        ("846", STOCK),
        ("850", PURCHASE),
        ("855", ANSWER),
        ("856", NOTICE),
        ("860", CHANGE),
        ("940", ORDER),
        ("943", TRANSFER),
        ("944", RECEIPT),
        ("945", SHIPPING),
        ("947", ADJUSTMENT),
        ("997", ACKNOWLEDGMENT),
    ];
    documents.into_iter().map(|(kind, segments)| (kind, document(kind, segments))).collect()
}

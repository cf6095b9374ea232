//! Messages of ours with invented parties; numbers have valid check digits.

use docksync_proto::event::{Event, EventType};

use crate::decode::{
    profile::DialectKind,
    samples::{Outcome, decoder, decoder_with, read},
};

/// An interchange of these messages: type with its version, and the segments between UNH and UNT, one a line.
pub(super) fn interchange(messages: &[(&str, &str)]) -> String {
    enclosed("UNB+UNOC:3+5400000000010:14+5400000000027:14+260714:1015+IC42'", messages)
}

pub(super) fn enclosed(unb: &str, messages: &[(&str, &str)]) -> String {
    let control = unb.trim_end_matches('\'').split('+').nth(5).unwrap();
    let mut text = format!("{unb}\n");
    for (at, (kind, body)) in messages.iter().enumerate() {
        text.push_str(&wrapped(at + 1, kind, body));
    }
    text.push_str(&format!("UNZ+{}+{control}'\n", messages.len()));
    text
}

/// A message with its UNH and UNT.
pub(super) fn wrapped(number: usize, kind: &str, body: &str) -> String {
    let body: String = body.trim().lines().map(|line| format!("{}\n", line.trim())).collect();
    let count = body.lines().count() + 2;
    format!("UNH+{number}+{kind}'\n{body}UNT+{count}+{number}'\n")
}

pub(super) fn outcome(text: &str) -> Outcome {
    read(&decoder(DialectKind::Edifact), text.as_bytes())
}

pub(super) fn outcome_with(parse: &str, tables: &str, text: &str) -> Outcome {
    read(&decoder_with(DialectKind::Edifact, parse, tables), text.as_bytes())
}

/// The events of one good message.
pub(super) fn events(kind: &str, body: &str) -> Vec<Event> {
    good(outcome(&interchange(&[(kind, body)])))
}

pub(super) fn good(outcome: Outcome) -> Vec<Event> {
    assert!(outcome.held.is_empty() && !outcome.survey.is_refused(), "{:?}{:?}", outcome.held, outcome.survey.refusals);
    outcome.events
}

pub(super) fn types(events: &[Event]) -> Vec<EventType> {
    events.iter().map(|event| event.event_type).collect()
}

/// The codes of what is held of one message.
pub(super) fn faults(kind: &str, body: &str) -> Vec<(u64, String, String)> {
    let outcome = outcome(&interchange(&[(kind, body)]));
    assert!(outcome.events.is_empty());
    outcome.held.into_iter().map(|line| (line.line_no, line.code, line.field)).collect()
}

pub(super) fn warnings(event: &Event) -> Vec<&str> {
    event.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

pub(super) const DESADV: &str = "BGM+351+DA-77+9'
DTM+137:20260714:102'
DTM+11:202607141530:203'
RFF+ON:PO-9'
DTM+171:20260701:102'
RFF+BM:BL-5'
NAD+SH+DC7::92++North warehouse'
NAD+DP+5400000000034::9++Shop 12+Main street 1+Springfield++62701+US'
RFF+VA:123'
TDT+20++30+31+RYDD::182:Ryder'
CPS+1'
CPS+2+1'
PAC+1++201::9'
MEA+PD+AAB+KGM:263.2'
MEA+PD+WD+MMT:800'
MEA+PD+LN+MMT:1200'
PCI+33E'
GIN+BJ+354000000000000011'
CPS+3+2'
PAC+1++CT'
PCI+33E'
GIN+BJ+354000000000000028'
LIN+1++4006381333931:SRV'
PIA+5+SKU-1:SA+B-1:IN'
IMD+F++:::Pencils:red'
QTY+12:18:PCE'
QTY+21:20:PCE'
QVR+-2:21+BP'
DTM+36:20271231:102'
RFF+ON:PO-9:10'
RFF+BT:L77'
FTX+ZZZ+++two are missing'
CPS+4+2'
PAC+1++CT'
PCI+33E'
GIN+BJ+354000000000000035'
LIN+2'
PIA+5+SKU-2:SA'
QTY+12:5:PCE'
GIN+BN+S1+S2'
CNT+2:2'";

pub(super) const RECADV: &str = "BGM+632+RA-5+9'
DTM+137:20260715:102'
DTM+50:202607150800:203'
RFF+ON:PO-9'
RFF+DQ:DA-77'
RFF+ALO:WR-1'
NAD+SU+5400000000010::9'
NAD+DP+DC7::92'
LIN+1++4006381333931:SRV'
PIA+5+SKU-1:SA'
QTY+12:20:PCE'
QTY+48:18:PCE'
QTY+124:3:PCE'
RFF+BT:L77'
LIN+2++SKU-2:SA'
QTY+12:5:PCE'
QTY+194:5:PCE'
CNT+2:2'";

pub(super) const INVRPT: &str = "BGM+35+IR-1+9'
DTM+137:20260715:102'
DTM+366:202607142359:203'
NAD+WH+DC7::92'
LIN+1++SKU-1:SA'
QTY+145:850:PCE'
LOC+18+A-01'
RFF+BT:L77'
QTY+124:4:PCE'
QTY+52:12:PCE'
LIN+2++SKU-2:SA'
QTY+17:30:KGM'
CNT+2:2'";

pub(super) const ORDERS: &str = "BGM+220+PO-9+9'
DTM+137:20260701:102'
DTM+2:20260714:102'
FTX+DEL+++ring twice'
NAD+BY+5400000000034::9'
NAD+SU+5400000000010::9'
NAD+DP+5400000000041::9'
LIN+1++4006381333931:SRV'
PIA+1+SKU-1:SA'
QTY+21:20:PCE'
PRI+AAA:1.20'
LIN+2++SKU-2:SA'
QTY+21:1,5:KGM'
UNS+S'
CNT+2:2'";

pub(super) const CONTRL: &str = "UCI+IC7+5400000000027:14+5400000000010:14+7'
UCM+M1+DESADV:D:96A:UN:EAN007+7'
UCM+M2+DESADV:D:96A:UN:EAN007+4+13'
UCS+5+13'";

/// One of each.
pub(super) fn all() -> Vec<(&'static str, String)> {
    [
        ("DESADV:D:96A:UN:EAN007", DESADV),
        ("RECADV:D:01B:UN:EAN007", RECADV),
        ("INVRPT:D:96A:UN", INVRPT),
        ("ORDERS:D:93A:UN:EAN007", ORDERS),
        ("CONTRL:D:3:UN", CONTRL),
        ("ORDCHG:D:96A:UN", super::orders::ORDCHG),
        ("ORDRSP:D:21B:UN", super::orders::ORDRSP),
        ("HANMOV:D:96A:UN:EAN002", super::orders::HANMOV),
        ("APERAK:D:96A:UN", super::orders::APERAK),
    ]
    .into_iter()
    .map(|(kind, body)| (kind, interchange(&[(kind, body)])))
    .collect()
}

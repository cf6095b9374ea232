//! IDocs of ours. They are written in short, one segment a line with its fields (`_` is a blank), and spelled out as XML.

use docksync_proto::event::{Event, EventType};

use crate::decode::{
    profile::DialectKind,
    samples::{Outcome, decoder, decoder_with, read},
};

/// An IDoc as XML. A segment that is indented stands in the one above it.
pub(super) fn xml(control: &str, body: &str) -> String {
    file(&[idoc(control, body)])
}

pub(super) fn file(idocs: &[String]) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ANY>\n{}</ANY>\n", idocs.concat())
}

pub(super) fn idoc(control: &str, body: &str) -> String {
    let mut text = format!("<IDOC BEGIN=\"1\">\n{}</EDI_DC40>\n", opened(&format!("EDI_DC40 {control}")));
    let mut open: Vec<(usize, String)> = Vec::new();
    for line in body.lines().filter(|line| !line.trim().is_empty()) {
        let depth = line.len() - line.trim_start().len();
        while open.last().is_some_and(|(known, _)| *known >= depth) {
            text.push_str(&format!("</{}>\n", open.pop().unwrap().1));
        }
        text.push_str(&opened(line.trim()));
        open.push((depth, line.split_whitespace().next().unwrap().to_owned()));
    }
    while let Some((_, name)) = open.pop() {
        text.push_str(&format!("</{name}>\n"));
    }
    text + "</IDOC>\n"
}

fn opened(line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut text = format!("<{} SEGMENT=\"1\">\n", words.next().unwrap());
    for word in words {
        let (name, value) = word.split_once('=').unwrap();
        text.push_str(&format!("<{name}>{}</{name}>\n", value.replace('_', " ")));
    }
    text
}

pub(super) fn outcome(text: &str) -> Outcome {
    read(&decoder(DialectKind::Idoc), text.as_bytes())
}

pub(super) fn outcome_with(parse: &str, tables: &str, text: &str) -> Outcome {
    read(&decoder_with(DialectKind::Idoc, parse, tables), text.as_bytes())
}

pub(super) fn good(outcome: Outcome) -> Vec<Event> {
    assert!(outcome.held.is_empty() && !outcome.survey.is_refused(), "{:?}{:?}", outcome.held, outcome.survey.refusals);
    outcome.events
}

pub(super) fn events(control: &str, body: &str) -> Vec<Event> {
    good(outcome(&xml(control, body)))
}

pub(super) fn faults(control: &str, body: &str) -> Vec<(String, String)> {
    let outcome = outcome(&xml(control, body));
    assert!(outcome.events.is_empty());
    outcome.held.into_iter().map(|line| (line.code, line.field)).collect()
}

pub(super) fn types(events: &[Event]) -> Vec<EventType> {
    events.iter().map(|event| event.event_type).collect()
}

pub(super) fn warnings(event: &Event) -> Vec<&str> {
    event.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

pub(super) const SHPCON: &str = "IDOCTYP=DELVRY07 MESTYP=SHPCON DOCNUM=0000000000000042 DIRECT=2 SNDPRN=WMS SNDPRT=LS RCVPRN=ERP CREDAT=20260714 CRETIM=160000";

pub(super) const SHIPMENT: &str = "E1EDL20 VBELN=0080001234 LIFEX=SH-9 BOLNR=BL-5 BTGEW=10.5
  E1EDL18 QUALF=PIC
  E1EDL18 QUALF=PGI
  E1ADRM1 PARTNER_Q=WE PARTNER_ID=0000100200 NAME1=Shop_12 CITY1=Springfield COUNTRY1=US
  E1ADRM1 PARTNER_Q=SP PARTNER_ID=RYDD NAME1=Ryder
  E1EDT13 QUALF=006 NTANF=20260713 NTANZ=120000 ISDD=20260714 ISDZ=153000
  E1EDL24 POSNR=000010 MATNR=000000000010004741 ARKTX=Pencils WERKS=DC7 LGORT=0001 CHARG=000077 LFIMG=18.000 VRKME=PCE LGMNG=18.000 MEINS=PCE NTGEW=1.500 GEWEI=KGM EAN11=4006381333931 VFDAT=20271231 VGBEL=0000012345 VGPOS=000010 ORMNG=20.000
    E1EDL41 QUALI=001 BSTNR=PO-9 POSEX=1
    E1EDL11 SERNR=S1
  E1EDL24 POSNR=000020 MATNR=A-2 WERKS=DC7 LFIMG=5.000 VRKME=KAR VFDAT=00000000
  E1EDL37 EXIDV=00354000000000000011
    E1EDL44 POSNR=000010 VEMNG=18.000 VEMEH=PCE
    E1EDL44 EXIDV=0000000000000PAL0002
  E1EDL37 EXIDV=0000000000000PAL0002
    E1EDL44 POSNR=000020 VEMNG=5.000 VEMEH=KAR";

pub(super) const DELIVERY: &str = "E1EDL20 VBELN=0080001234 VSTEL=NL0R
  E1EDL21 LFART=LF
  E1EDL18 QUALF=ORI
  E1ADRM1 PARTNER_Q=OSP PARTNER_ID=NL0R
  E1EDT13 QUALF=006 NTANF=20260715
  E1EDL24 POSNR=000010 MATNR=000000000010004741 WERKS=DC7 LFIMG=18.000 VRKME=H87 VGBEL=0000012345 VGPOS=000010";

pub(super) const ORDERS: &str = "E1EDK01 BELNR=PO-9 CURCY=EUR
E1EDK14 QUALF=014 ORGID=1000
E1EDK02 QUALF=001 BELNR=PO-9 DATUM=20260701
E1EDK03 IDDAT=012 DATUM=20260702
E1EDKA1 PARVW=AG PARTN=0000100200 NAME1=Shop_12
E1EDKA1 PARVW=WE PARTN=0000100201
E1EDP01 POSEX=000010 MENGE=20.000 MENEE=PCE WERKS=DC7
  E1EDP20 WMENG=15.000 EDATU=20260714
  E1EDP20 WMENG=5.000 EDATU=20260720
  E1EDP19 QUALF=001 IDTNR=B-1 KTEXT=Pencils
  E1EDP19 QUALF=002 IDTNR=000000000010004741
  E1EDP19 QUALF=003 IDTNR=4006381333931
E1EDP01 POSEX=000020 MENGE=5.000 MENEE=KGM
  E1EDP19 QUALF=001 IDTNR=B-2
E1EDS01 SUMID=001 SUMME=2";

pub(super) const MBGMCR: &str =
    "IDOCTYP=MBGMCR03 MESTYP=MBGMCR DOCNUM=0000000000000043 SNDPRN=WMS CREDAT=20260714 CRETIM=160000";

pub(super) const RECEIPT: &str = "E1MBGMCR
  E1BP2017_GM_HEAD_01 PSTNG_DATE=20260714 DOC_DATE=20260713 REF_DOC_NO=GR-5 PR_UNAME=KIM
  E1BP2017_GM_CODE GM_CODE=01
  E1BP2017_GM_ITEM_CREATE MATERIAL=000000000010004741 PLANT=DC7 STGE_LOC=0001 BATCH=L77 MOVE_TYPE=101 ENTRY_QNT=18.000 ENTRY_UOM=ST PO_NUMBER=4500000001 PO_ITEM=00010
  E1BP2017_GM_ITEM_CREATE MATERIAL=A-2 PLANT=DC7 STGE_LOC=0001 MOVE_TYPE=101 ENTRY_QNT=5.000 ENTRY_UOM=KG PO_NUMBER=4500000001 PO_ITEM=00020";

/// One of each.
pub(super) fn all() -> Vec<String> {
    vec![
        xml(SHPCON, SHIPMENT),
        xml("IDOCTYP=DELVRY07 MESTYP=DESADV DIRECT=1 CREDAT=20260714 CRETIM=100000", DELIVERY),
        xml("IDOCTYP=ORDERS05 MESTYP=ORDERS SNDPRN=ERP", ORDERS),
        xml("IDOCTYP=ORDERS05 MESTYP=ORDRSP SNDPRN=ERP", ORDERS),
        xml(MBGMCR, RECEIPT),
    ]
}

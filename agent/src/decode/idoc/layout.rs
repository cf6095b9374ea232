//! Where the fields of flat records stand.
//!
//! The layouts are those of the released segment definitions: E2EDL20002, E2EDL24006, E2EDT13001, E2ADRM1001, E2EDL18, E2EDL21,
//! E2EDL41 and E2EDL43 as two published converters of flat DELVRY03 files cut them (both agree in every place that they share),
//! E2EDK*/E2EDP* of ORDERS05 as the public documentation of the basic type lists them, E2EDL37 and E2EDL44 and the BAPI structures
//! from the dictionary definitions of their fields. Later releases lengthen segments at their end only. A feed whose sender cuts
//! them otherwise declares `layout = ["E1EDL24.LFIMG=176+15", ...]` with the place in the data, from 0, and the length; a segment
//! with declared fields has these alone. `data=64` moves the beginning of the data.
//!
//! Mapping tools also write a short form, recognised by its control record (the basic type stands at character 50): it has only
//! the fields in [`SHORT`].

use std::collections::BTreeMap;

use super::model::Segment;

/// Characters before the data of a record.
const DATA: usize = 63;
/// Where the basic type stands in the control record of the short form.
const SHORT_TYPE: usize = 50;

/// Fields by name with their lengths, one behind the other; a number alone is what lies between.
type Fields = &'static [(&'static str, usize)];

/// EDI_DC40.
const CONTROL: Fields = &[
    ("TABNAM", 10),
    ("MANDT", 3),
    ("DOCNUM", 16),
    ("DOCREL", 4),
    ("STATUS", 2),
    ("DIRECT", 1),
    ("OUTMOD", 1),
    ("EXPRSS", 1),
    ("TEST", 1),
    ("IDOCTYP", 30),
    ("CIMTYP", 30),
    ("MESTYP", 30),
    ("MESCOD", 3),
    ("MESFCT", 3),
    ("STD", 1),
    ("STDVRS", 6),
    ("STDMES", 6),
    ("SNDPOR", 10),
    ("SNDPRT", 2),
    ("SNDPFC", 2),
    ("SNDPRN", 10),
    ("SNDSAD", 21),
    ("SNDLAD", 70),
    ("RCVPOR", 10),
    ("RCVPRT", 2),
    ("RCVPFC", 2),
    ("RCVPRN", 10),
    ("RCVSAD", 21),
    ("RCVLAD", 70),
    ("CREDAT", 8),
    ("CRETIM", 6),
    ("REFINT", 14),
    ("REFGRP", 14),
    ("REFMES", 14),
    ("ARCKEY", 70),
    ("SERIAL", 20),
];

/// Control record of the short form, from its beginning.
const SHORT_CONTROL: Fields = &[("TABNAM", 10), ("", 40), ("IDOCTYP", 30)];

/// Data of the segments that are mapped.
const STANDARD: &[(&str, Fields)] = &[
    (
        "E1EDL20",
        &[
            ("VBELN", 10),
            ("VSTEL", 4),
            ("VKORG", 4),
            ("LSTEL", 2),
            ("VKBUR", 4),
            ("LGNUM", 3),
            ("ABLAD", 25),
            ("INCO1", 3),
            ("INCO2", 28),
            ("ROUTE", 6),
            ("VSBED", 2),
            ("BTGEW", 17),
            ("NTGEW", 15),
            ("GEWEI", 3),
            ("VOLUM", 15),
            ("VOLEH", 3),
            ("ANZPK", 5),
            ("BOLNR", 35),
            ("TRATY", 4),
            ("TRAID", 20),
            ("XABLN", 10),
            ("LIFEX", 35),
            ("PARID", 35),
            ("PODAT", 8),
            ("POTIM", 6),
        ],
    ),
    ("E1EDL21", &[("LFART", 4), ("BZIRK", 6), ("AUTLF", 1), ("EXPKZ", 1), ("LIFSK", 2), ("LPRIO", 2), ("KDGRP", 2)]),
    ("E1EDL18", &[("QUALF", 3), ("PARAM", 20)]),
    ("E1EDL19", &[("QUALF", 3), ("PARAM", 20)]),
    ("E1EDL28", &[("ROUTE", 6), ("VSART", 2), ("VSAVL", 2), ("VSANL", 2), ("ROUID", 100)]),
    (
        "E1ADRM1",
        &[
            ("PARTNER_Q", 3),
            ("ADDRESS_T", 1),
            ("PARTNER_ID", 17),
            ("JURISDIC", 17),
            ("LANGUAGE", 2),
            ("FORMOFADDR", 15),
            ("NAME1", 40),
            ("NAME2", 40),
            ("NAME3", 40),
            ("NAME4", 40),
            ("NAME_TEXT", 50),
            ("NAME_CO", 40),
            ("LOCATION", 40),
            ("BUILDING", 10),
            ("FLOOR", 10),
            ("ROOM", 10),
            ("STREET1", 40),
            ("STREET2", 40),
            ("STREET3", 40),
            ("HOUSE_SUPL", 4),
            ("HOUSE_RANG", 10),
            ("POSTL_COD1", 10),
            ("POSTL_COD3", 10),
            ("POSTL_AREA", 15),
            ("CITY1", 40),
            ("CITY2", 40),
            ("POSTL_PBOX", 10),
            ("POSTL_COD2", 10),
            ("POSTL_CITY", 40),
            ("TELEPHONE1", 30),
            ("TELEPHONE2", 30),
            ("TELEFAX", 30),
            ("TELEX", 30),
            ("E_MAIL", 70),
            ("COUNTRY1", 3),
            ("COUNTRY2", 3),
            ("REGION", 3),
        ],
    ),
    (
        "E1EDT13",
        &[
            ("QUALF", 3),
            ("VSTZW", 4),
            ("VSTZW_BEZ", 20),
            ("NTANF", 8),
            ("NTANZ", 6),
            ("NTEND", 8),
            ("NTENZ", 6),
            ("TZONE_BEG", 6),
            ("ISDD", 8),
            ("ISDZ", 6),
            ("IEDD", 8),
            ("IEDZ", 6),
            ("TZONE_END", 6),
        ],
    ),
    (
        "E1EDL24",
        &[
            ("POSNR", 6),
            ("MATNR", 18),
            ("MATWA", 18),
            ("ARKTX", 40),
            ("ORKTX", 40),
            ("SUGRD", 4),
            ("SUDRU", 1),
            ("MATKL", 9),
            ("WERKS", 4),
            ("LGORT", 4),
            ("CHARG", 10),
            ("KDMAT", 22),
            ("LFIMG", 15),
            ("VRKME", 3),
            ("LGMNG", 15),
            ("MEINS", 3),
            ("NTGEW", 15),
            ("BRGEW", 15),
            ("GEWEI", 3),
            ("VOLUM", 15),
            ("VOLEH", 3),
            ("LGPBE", 10),
            ("HIPOS", 6),
            ("HIEVW", 1),
            ("LADGR", 4),
            ("TRAGR", 4),
            ("VKBUR", 4),
            ("VKGRP", 3),
            ("VTWEG", 2),
            ("SPART", 2),
            ("GRKOR", 3),
            ("EAN11", 18),
            ("SERNR", 8),
            ("AESKD", 17),
            ("EMPST", 25),
            ("MFRGR", 8),
            ("VBRST", 14),
            ("LABNK", 17),
            ("ABRDT", 8),
            ("MFRPN", 40),
            ("MFRNR", 10),
            ("ABRVW", 3),
            ("KDMAT35", 35),
            ("KANNR", 35),
            ("POSEX", 6),
            ("LIEFFZ", 17),
            ("USR01", 35),
            ("USR02", 35),
            ("USR03", 35),
            ("USR04", 10),
            ("USR05", 10),
            ("MATNR_EXTERNAL", 40),
            ("MATNR_VERSION", 10),
            ("MATNR_GUID", 32),
            ("MATWA_EXTERNAL", 40),
            ("MATWA_VERSION", 10),
            ("MATWA_GUID", 32),
            ("ZUDAT", 20),
            ("VFDAT", 8),
        ],
    ),
    ("E1EDL41", &[("QUALI", 3), ("BSTNR", 35), ("BSTDT", 8), ("BSARK", 4), ("IHREZ", 12), ("POSEX", 6)]),
    ("E1EDL43", &[("QUALF", 1), ("BELNR", 35), ("POSNR", 6), ("DATUM", 8)]),
    ("E1EDL11", &[("EQUNR", 18), ("SERNR", 18)]),
    ("E1EDL37", &[("EXIDV", 20)]),
    (
        "E1EDL44",
        &[("VELIN", 1), ("VBELN", 10), ("POSNR", 6), ("EXIDV", 20), ("VEMNG", 17), ("VEMEH", 3), ("MATNR", 18)],
    ),
    (
        "E1EDK01",
        &[
            ("ACTION", 3),
            ("KZABS", 1),
            ("CURCY", 3),
            ("HWAER", 3),
            ("WKURS", 12),
            ("ZTERM", 17),
            ("KUNDEUINR", 20),
            ("EIGENUINR", 20),
            ("BSART", 4),
            ("BELNR", 35),
        ],
    ),
    ("E1EDK02", &[("QUALF", 3), ("BELNR", 35), ("POSNR", 6), ("DATUM", 8), ("UZEIT", 6)]),
    ("E1EDK03", &[("IDDAT", 3), ("DATUM", 8), ("UZEIT", 6)]),
    ("E1EDK14", &[("QUALF", 3), ("ORGID", 35)]),
    (
        "E1EDKA1",
        &[
            ("PARVW", 3),
            ("PARTN", 17),
            ("LIFNR", 17),
            ("NAME1", 35),
            ("NAME2", 35),
            ("NAME3", 35),
            ("NAME4", 35),
            ("STRAS", 35),
            ("STRS2", 35),
            ("PFACH", 35),
            ("ORT01", 35),
            ("COUNC", 9),
            ("PSTLZ", 9),
            ("PSTL2", 9),
            ("LAND1", 3),
        ],
    ),
    (
        "E1EDP01",
        &[
            ("POSEX", 6),
            ("ACTION", 3),
            ("PSTYP", 1),
            ("KZABS", 1),
            ("MENGE", 15),
            ("MENEE", 3),
            ("BMNG2", 15),
            ("PMENE", 3),
            ("ABFTZ", 7),
            ("VPREI", 15),
            ("PEINH", 9),
            ("NETWR", 18),
            ("ANETW", 18),
            ("SKFBP", 18),
            ("NTGEW", 18),
            ("GEWEI", 3),
            ("EINKZ", 1),
            ("CURCY", 3),
            ("PREIS", 18),
            ("MATKL", 9),
            ("UEPOS", 6),
            ("GRKOR", 3),
            ("EVERS", 7),
            ("BPUMN", 6),
            ("BPUMZ", 6),
            ("ABGRU", 2),
            ("ABGRT", 40),
        ],
    ),
    ("E1EDP02", &[("QUALF", 3), ("BELNR", 35), ("ZEILE", 6), ("DATUM", 8), ("UZEIT", 6)]),
    ("E1EDP03", &[("IDDAT", 3), ("DATUM", 8), ("UZEIT", 6)]),
    ("E1EDP19", &[("QUALF", 3), ("IDTNR", 35), ("KTEXT", 70)]),
    ("E1EDP20", &[("WMENG", 15), ("AMENG", 15), ("EDATU", 8), ("EZEIT", 6)]),
    ("E1EDS01", &[("SUMID", 3), ("SUMME", 18), ("SUNIT", 3)]),
    (
        "E1BP2017_GM_HEAD_01",
        &[
            ("PSTNG_DATE", 8),
            ("DOC_DATE", 8),
            ("REF_DOC_NO", 16),
            ("BILL_OF_LADING", 16),
            ("GR_GI_SLIP_NO", 10),
            ("PR_UNAME", 12),
            ("HEADER_TXT", 25),
        ],
    ),
    ("E1BP2017_GM_CODE", &[("GM_CODE", 2)]),
    (
        "E1BP2017_GM_ITEM_CREATE",
        &[
            ("MATERIAL", 18),
            ("PLANT", 4),
            ("STGE_LOC", 4),
            ("BATCH", 10),
            ("MOVE_TYPE", 3),
            ("STCK_TYPE", 1),
            ("SPEC_STOCK", 1),
            ("VENDOR", 10),
            ("CUSTOMER", 10),
            ("SALES_ORD", 10),
            ("S_ORD_ITEM", 6),
            ("SCHED_LINE", 4),
            ("VAL_TYPE", 10),
            ("ENTRY_QNT", 15),
            ("ENTRY_UOM", 3),
            ("ENTRY_UOM_ISO", 3),
            ("PO_PR_QNT", 15),
            ("ORDERPR_UN", 3),
            ("ORDERPR_UN_ISO", 3),
            ("PO_NUMBER", 10),
            ("PO_ITEM", 5),
            ("SHIPPING", 2),
            ("COMP_SHIP", 2),
            ("NO_MORE_GR", 1),
            ("ITEM_TEXT", 50),
            ("GR_RCPT", 12),
            ("UNLOAD_PT", 25),
            ("COSTCENTER", 10),
            ("ORDERID", 12),
            ("ORDER_ITNO", 4),
            ("CALC_MOTIVE", 2),
            ("ASSET_NO", 12),
            ("SUB_NUMBER", 4),
            ("RESERV_NO", 10),
            ("RES_ITEM", 4),
            ("RES_TYPE", 1),
            ("WITHDRAWN", 1),
            ("MOVE_MAT", 18),
            ("MOVE_PLANT", 4),
            ("MOVE_STLOC", 4),
            ("MOVE_BATCH", 10),
            ("MOVE_VAL_TYPE", 10),
            ("MVT_IND", 1),
            ("MOVE_REAS", 4),
        ],
    ),
];

/// The short form of mapping tools.
const SHORT: &[(&str, Fields)] = &[
    ("E1EDL20", &[("VBELN", 10), ("LIFEX", 35), ("BOLNR", 35)]),
    ("E1EDT13", &[("QUALF", 3), ("NTANF", 8)]),
    ("E1EDKA1", &[("PARVW", 3), ("PARTN", 17), ("NAME1", 35), ("ORT01", 35)]),
    ("E1EDL24", &[("POSNR", 6), ("MATNR", 35), ("LFIMG", 15), ("VRKME", 3)]),
    ("E1EDL41", &[("QUALF", 3), ("BSTNR", 35), ("POSEX", 6)]),
];

/// What a feed declares, and which form a file has.
pub(super) struct Layouts {
    data: usize,
    declared: BTreeMap<String, Vec<(String, usize, usize)>>,
    is_short: bool,
}

impl Layouts {
    /// From the feed's option `layout`.
    ///
    /// # Errors
    /// The entry that is none.
    pub(super) fn declared(entries: &[String]) -> Result<Self, String> {
        let mut layouts = Self { data: DATA, declared: BTreeMap::new(), is_short: false };
        for entry in entries {
            layouts.declare(entry).ok_or_else(|| entry.clone())?;
        }
        Ok(layouts)
    }

    fn declare(&mut self, entry: &str) -> Option<()> {
        let (name, place) = entry.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("data") {
            self.data = place.trim().parse().ok().filter(|data| *data <= 1000)?;
            return Some(());
        }
        let (segment, field) = name.trim().split_once('.')?;
        let (start, len) = place.split_once('+')?;
        let (start, len) = (start.trim().parse().ok()?, len.trim().parse().ok()?);
        let is_sane = |n: usize| n <= 2000;
        if !is_sane(start) || !is_sane(len) || len == 0 {
            return None;
        }
        self.declared.entry(segment.to_ascii_uppercase()).or_default().push((field.to_ascii_uppercase(), start, len));
        Some(())
    }

    /// Looks at a control record: what follows it has its form.
    pub(super) fn recognise(&mut self, line: &str) {
        let standard = slice(line, 39, 10);
        let short = slice(line, SHORT_TYPE, 30);
        self.is_short = standard.trim().is_empty() && !short.trim().is_empty();
    }

    /// Reads a control record.
    pub(super) fn control(&self, line: &str, line_no: u64, offset: u64) -> Segment {
        let mut segment = Segment::new("EDI_DC40", line_no, offset);
        cut(&mut segment, if self.is_short { SHORT_CONTROL } else { CONTROL }, line, 0);
        segment
    }

    /// Reads a data record; one that nobody knows keeps its data as it is.
    pub(super) fn data(&self, written: &str, line: &str, line_no: u64, offset: u64) -> Segment {
        let table = if self.is_short { SHORT } else { STANDARD };
        let name = self.name(written, table);
        let mut segment = Segment::new(&name, line_no, offset);
        if let Some(fields) = self.declared.get(&name) {
            for (field, start, len) in fields {
                segment.push(field, slice(line, self.data + start, *len));
            }
        } else if let Some((_, fields)) = table.iter().find(|(known, _)| *known == name) {
            cut(&mut segment, fields, line, self.data);
        } else {
            segment.push("SDATA", slice(line, self.data, 1000));
        }
        segment
    }

    /// The name without its version: `E2EDL24006` is `E1EDL24`.
    fn name(&self, written: &str, table: &[(&str, Fields)]) -> String {
        let name = match written.strip_prefix("E2") {
            Some(rest) => format!("E1{rest}"),
            None => written.to_owned(),
        };
        let is_known = |bare: &str| self.declared.contains_key(bare) || table.iter().any(|(known, _)| *known == bare);
        let bare = name.len().checked_sub(3).and_then(|at| name.split_at_checked(at));
        match bare {
            Some((bare, version))
                if !is_known(&name) && version.bytes().all(|b| b.is_ascii_digit()) && is_known(bare) =>
            {
                bare.to_owned()
            }
            _ => name,
        }
    }
}

fn cut(segment: &mut Segment, fields: Fields, line: &str, from: usize) {
    let mut start = from;
    for (field, len) in fields {
        if !field.is_empty() {
            segment.push(field, slice(line, start, *len));
        }
        start += len;
    }
}

/// Characters from a place on; fewer at the end of the line.
fn slice(line: &str, start: usize, len: usize) -> &str {
    if line.is_ascii() {
        let end = line.len().min(start + len);
        return line.get(start.min(end)..end).unwrap_or("");
    }
    let place = |count: usize| line.char_indices().nth(count).map_or(line.len(), |(at, _)| at);
    line.get(place(start)..place(start + len)).unwrap_or("")
}

//! Profiles of JSON, XML and fixed width: each rule, the shipped feeds, the samples.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;

use crate::decode::{
    Decoder, json,
    profile::{self, CaseInput, cases::difference},
    samples::{self, Outcome, decoder_of, read, read_slowly, summary},
};

fn feeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/feeds")
}

fn feed(name: &str) -> Decoder {
    decoder_of(&std::fs::read_to_string(feeds().join(format!("{name}.toml"))).unwrap())
}

const FIELDS: &str = "[[field]]\nto = \"event_time\"\nfrom = { const = \"2026-11-23\" }\n";

fn small(parse: &str, fields: &str) -> Decoder {
    decoder_of(&format!(
        "[feed]\nname = \"small\"\nversion = 1\nevent_type = \"pick_confirmed\"\nmatch = [\"*\"]\n[parse]\n{parse}\n{FIELDS}{fields}"
    ))
}

fn field(to: &str, from: &str) -> String {
    format!("[[field]]\nto = \"{to}\"\nfrom = {from}\n")
}

fn goods(parse: &str, order: &str, sku: &str, qty: &str) -> Decoder {
    small(parse, &[field("references.so", order), field("lines.item.sku", sku), field("lines.qty", qty)].concat())
}

fn skus(outcome: &Outcome) -> Vec<Vec<String>> {
    outcome.events.iter().map(|event| event.lines.iter().map(|line| line.item.sku.clone()).collect()).collect()
}

fn codes(outcome: &Outcome) -> Vec<String> {
    let all = outcome.survey.refusals.iter().chain(&outcome.held);
    all.map(|line| format!("{} {}", line.line_no, line.code)).collect()
}

fn problems(text: &str) -> Vec<String> {
    let problems = profile::read(Path::new("feed.toml"), text).unwrap_err();
    problems.iter().map(|p| format!("{}:{} {}", p.line, p.column, p.code)).collect()
}

#[test]
fn every_shipped_feed_passes_its_own_tests() {
    let mut count = 0;
    for entry in std::fs::read_dir(feeds()).unwrap() {
        let path = entry.unwrap().path();
        let decoder = decoder_of(&std::fs::read_to_string(&path).unwrap());
        for case in &decoder.profile().cases {
            count += 1;
            let CaseInput::Text(text) = &case.input else { continue };
            let outcome = read(&decoder, text.as_bytes());
            let place = format!("{} {:?}", path.display(), case.name);
            assert_eq!(codes(&outcome), case.rejects, "{place}\n{}", summary(&outcome));
            let found: Vec<Value> = outcome.events.iter().map(|event| json::event_json(event).unwrap()).collect();
            assert_eq!(found.len(), case.expect.len(), "{place}\n{}", summary(&outcome));
            for (expected, found) in case.expect.iter().zip(&found) {
                assert_eq!(difference(expected, found, ""), None, "{place}");
            }
        }
    }
    assert!(count >= 16, "{count}");
}

/// Files of the samples with the feed that is meant for them.
const FED: &[(&str, &str, &str)] = &[
    ("csv-openboxes", "main_warehouse_inventory.csv", "openboxes-count-csv"),
    ("erp-metasfresh-fixedwidth", "compudata_desadv_as_ordered.txt", "metasfresh-desadv-fixed"),
    ("erp-metasfresh-xml", "stepcom_desadv_windows1252.xml", "metasfresh-stepcom-xml"),
    ("parcel-easypost", "scan_form.json", "easypost-scanform-json"),
    ("shopify", "inventory_level.json", "shopify-inventory-json"),
    ("shopify", "order.json", "shopify-order-json"),
    ("wms-3plcentral-json", "orders.json", "3pl-central-orders-json"),
    ("wms-3plcentral-json", "stock_details.json", "3pl-central-stock-json"),
    ("wms-manhattan-scale", "Inventory Transaction-2024-01-15@10-30-00.itxupl", "scale-transactions-xml"),
    ("wms-quiet-xml", "documents_shipment_order_result.xml", "quiet-soresult-xml"),
    ("wms-shipbob-json", "wro_1.json", "shipbob-wro-json"),
    ("wms-shiphero-webhook", "order_packed_out.json", "shiphero-packed-json"),
    ("wms-synapse-pipe", "synapse_944_three_lines.txt", "synapse-944"),
];

/// Files for which no feed is meant, with why, a feed of the same system and what it makes of them.
const UNFED: &[(&str, &str, &str, &str, &str)] = &[
    ("csv-generic", "order_staging_hd_pipe.csv", "orders without item numbers", "synapse-944", "UNKNOWN_RECORD_TYPE"),
    ("csv-openboxes", "bin_locations.csv", "master data", "openboxes-count-csv", "HEADER_MISMATCH"),
    ("csv-openboxes", "products.csv", "master data", "openboxes-count-csv", "HEADER_MISMATCH"),
    (
        "csv-retail-wms",
        "RTN_18072018_131616.csv",
        "states of routes, no goods",
        "openboxes-count-csv",
        "HEADER_MISMATCH",
    ),
    (
        "erp-erpnext-json",
        "stock_entry_test_records.json",
        "orders of an ERP",
        "shopify-order-json",
        "UNSUPPORTED_DOCUMENT",
    ),
    ("parcel-easypost", "tracker.json", "states of a parcel", "easypost-scanform-json", "UNSUPPORTED_DOCUMENT"),
    ("shopify", "locations.json", "master data", "shopify-inventory-json", "UNSUPPORTED_DOCUMENT"),
    (
        "wms-manhattan-scale",
        "inventory_transaction_transfer.json",
        "JSON of an XML export",
        "scale-transactions-xml",
        "SCHEMA_VIOLATION",
    ),
    (
        "wms-manhattan-scale",
        "shipment_download_order.xml",
        "an order download",
        "quiet-soresult-xml",
        "UNSUPPORTED_DOCUMENT",
    ),
    (
        "wms-quiet-xml",
        "ADAY_ShipmentOrder_H11111111111_20160329_1010101.xml",
        "an order download",
        "quiet-soresult-xml",
        "UNSUPPORTED_DOCUMENT",
    ),
    (
        "wms-quiet-xml",
        "messages_shipment_order_result.xml",
        "announces a document",
        "quiet-soresult-xml",
        "UNSUPPORTED_DOCUMENT",
    ),
    ("wms-quiet-xml", "sqs_messages_from_ql.json", "announces documents", "quiet-soresult-xml", "SCHEMA_VIOLATION"),
];

fn sample(dir: &str, file: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples").join(dir).join(file);
    std::fs::read(path).ok()
}

/// Three are held for what they say: the article numbers of the stepcom advice were taken out of it, and the examples of
/// 3PL Central have the word `str` where a unit belongs.
#[test]
fn samples_of_shipped_feeds_read_as_recorded() {
    for (dir, file, name) in FED {
        let Some(bytes) = sample(dir, file) else { continue };
        samples::compare(dir, file, &format!("__{name}"), &read(&feed(name), &bytes));
    }
}

#[test]
fn samples_for_which_no_feed_is_meant_are_refused_by_their_neighbours() {
    for (dir, file, why, name, code) in UNFED {
        let Some(bytes) = sample(dir, file) else { continue };

        let outcome = read(&feed(name), &bytes);

        assert!(outcome.events.is_empty(), "{file} ({why})\n{}", summary(&outcome));
        let all: Vec<&str> =
            outcome.survey.refusals.iter().chain(&outcome.held).map(|line| line.code.as_str()).collect();
        assert_eq!(all.first(), Some(code), "{file} ({why})\n{}", summary(&outcome));
    }
}

#[test]
fn every_sample_of_these_folders_has_its_line_in_a_table() {
    let known = |dir: &str, file: &str| {
        FED.iter().any(|fed| fed.0 == dir && fed.1 == file) || UNFED.iter().any(|one| one.0 == dir && one.1 == file)
    };
    for (dir, ..) in FED {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples").join(dir);
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let file = entry.unwrap().file_name().to_string_lossy().into_owned();
            assert!(known(dir, &file), "{dir}/{file}");
        }
    }
}

const JSON: &str = "type = \"json\"\nrecords = \"/orders\"\nlines = \"/goods\"";

fn json_feed() -> Decoder {
    goods(JSON, "{ path = \"/id\" }", "{ path = \"/sku\" }", "{ path = \"/q\" }")
}

#[test]
fn json_takes_one_for_many() {
    let decoder = json_feed();

    let many = read(&decoder, br#"{"n":1,"orders":[{"id":1,"goods":[{"sku":"A","q":1},{"sku":"B","q":2.5}]},{"id":2,"goods":{"sku":"C","q":"3"}}]}"#);
    let one = read(&decoder, br#"{"orders":{"id":1,"goods":[{"sku":"A","q":1}]}}"#);
    let none = read(&decoder, br#"{"orders":[]}"#);

    assert_eq!(skus(&many), [vec!["A", "B"], vec!["C"]]);
    assert_eq!(skus(&one), [vec!["A"]]);
    assert!(none.events.is_empty() && codes(&none).is_empty());
}

#[test]
fn json_of_another_shape_is_refused_or_held() {
    let decoder = json_feed();
    for (text, expected) in [
        ("{\"order\":[]}", vec!["1 UNSUPPORTED_DOCUMENT"]),
        ("{\"orders\":\n[{\"id\":1,\"goods\":[{\"sku\":\"A\",\"q\":1}]}", vec!["2 TRUNCATED_FILE"]),
        ("{\"orders\":5}", vec!["1 SCHEMA_VIOLATION"]),
        ("{\"orders\":[7]}", vec!["1 SCHEMA_VIOLATION"]),
        ("{\"orders\":[{\"id\":1}]}", vec!["1 SCHEMA_VIOLATION"]),
        ("{\"orders\":[]} x", vec!["1 SCHEMA_VIOLATION"]),
        ("", vec!["1 TRUNCATED_FILE"]),
    ] {
        assert_eq!(codes(&read(&decoder, text.as_bytes())), expected, "{text}");
    }
}

#[test]
fn a_bad_record_does_not_block_its_neighbours_and_says_its_line() {
    let text = "{\"orders\":[\n{\"id\":1,\"goods\":[{\"sku\":\"A\",\"q\":\"x\"},{\"sku\":\"B\",\"q\":1}]},\n{\"id\":2,\"goods\":[{\"sku\":\"C\",\"q\":1}]}]}";

    let outcome = read(&json_feed(), text.as_bytes());

    assert_eq!(skus(&outcome), [vec!["C"]]);
    assert_eq!(codes(&outcome), ["2 INVALID_QUANTITY"]);
    assert_eq!(outcome.held[0].field, "/q");
    assert_eq!((outcome.events[0].source.line_no, outcome.events[0].source.byte_offset), (3, 70));
}

#[test]
fn what_stands_around_the_records_is_reached_where_it_stands_before_them() {
    let decoder = small(
        "type = \"json\"\nrecords = \"/batch/orders\"\nlines = \"/goods\"",
        &[
            field("references.so", "{ path = \"/id\" }"),
            field("references.load", "{ path = \"../load\" }"),
            field("references.manifest", "{ path = \"../../no\" }"),
            field("lines.item.sku", "{ path = \"\" }"),
            field("lines.lot", "{ path = \"../lot\" }"),
            field("lines.qty", "{ const = \"1\" }"),
        ]
        .concat(),
    );

    let outcome =
        read(&decoder, br#"{"no":"M1","batch":{"load":"L1","orders":[{"id":1,"lot":"X","goods":["A","B"]}]}}"#);

    let event = &outcome.events[0];
    let found: Vec<&str> = event.references.iter().map(|known| known.value.as_str()).collect();
    assert_eq!(found, ["1", "L1", "M1"]);
    assert_eq!(skus(&outcome), [vec!["A", "B"]]);
    assert_eq!(event.lines[1].lot, "X");
    assert!(event.extensions.is_empty(), "{:?}", event.extensions);
}

const XML: &str = "type = \"xml\"\nrecord = \"Order\"\nlines = \"Box/Item\"";

fn xml_feed() -> Decoder {
    goods(XML, "{ path = \"@id\" }", "{ path = \"@sku\" }", "{ path = \".\" }")
}

#[test]
fn xml_records_are_found_with_and_without_a_wrapper() {
    let one = "<Order id=\"1\"><Box no=\"9\"><Item sku=\"A\">1</Item></Box><Box><Item sku=\"B\">2</Item></Box></Order>";
    let decoder = xml_feed();

    let alone = read(&decoder, one.as_bytes());
    let many = read(&decoder, format!("<r:All xmlns:r=\"u\"><r:Responses>{one}{one}</r:Responses></r:All>").as_bytes());

    assert_eq!(skus(&alone), [vec!["A", "B"]]);
    assert_eq!(many.events.len(), 2);
    assert_eq!(alone.events[0].extensions.iter().collect::<Vec<_>>(), [(&"xml:Box/0/@no".to_owned(), &"9".to_owned())]);
}

#[test]
fn xml_that_is_cut_or_another_document_is_refused() {
    let decoder = xml_feed();

    assert_eq!(
        codes(&read(&decoder, b"<All><Order id=\"1\"><Box><Item sku=\"A\">1</Item></Box></Order>")),
        ["1 TRUNCATED_FILE"]
    );
    assert_eq!(codes(&read(&decoder, b"<All><Other/></All>")), ["0 UNSUPPORTED_DOCUMENT"]);
    assert_eq!(codes(&read(&decoder, b"<All><Order id=\"1\"/></All>")), ["1 MISSING_MANDATORY"]);
}

#[test]
fn xml_is_read_in_the_encoding_that_it_declares() {
    let bytes = b"<?xml version=\"1.0\" encoding=\"Windows-1252\"?><Order id=\"1\"><Box><Item sku=\"M\xfcsli\">1</Item></Box></Order>";

    assert_eq!(skus(&read(&xml_feed(), bytes)), [vec!["M\u{fc}sli"]]);
}

#[test]
fn records_and_lines_are_left_out_by_declared_values_and_counted() {
    let records = goods(
        "type = \"json\"\nlines = \"/g\"\nskip = [{ path = \"/s\", except = [\"done\"] }, { record = \"line\", path = \"/q\", values = [\"0\"] }]",
        "{ path = \"/id\" }",
        "{ path = \"/sku\" }",
        "{ path = \"/q\" }",
    );
    let rows = goods(
        "type = \"csv\"\nskip = [{ column = \"dir\", values = [\"To\"] }]",
        "{ column = \"so\" }",
        "{ column = \"sku\" }",
        "{ column = \"q\" }",
    );

    let of_json =
        read(&records, br#"[{"id":1,"s":"done","g":[{"sku":"A","q":1},{"sku":"B","q":0}]},{"id":2,"s":"open"}]"#);
    let of_rows = read(&rows, b"so,sku,q,dir\n1,A,1,From\n1,A,1,To\n");

    assert_eq!(skus(&of_json), [vec!["A"]]);
    assert_eq!(of_json.survey.warnings, ["ROWS_SKIPPED: 2 left out by [parse] skip"]);
    assert_eq!((of_rows.survey.lines, of_rows.events.len()), (1, 1));
    assert_eq!(of_rows.survey.warnings, ["ROWS_SKIPPED: 1 left out by [parse] skip"]);
}

const FIXED: &str = "type = \"fixed\"\nrecord_type = { start = 1, len = 1, header = \"H\", detail = [\"D\", \"E\"], trailer = \"T\" }\n[group]\nby = \"header_record\"";

fn fixed_feed() -> Decoder {
    let more = "[[check]]\nkind = \"count\"\nequals = { record = \"T\", start = 2, len = 3 }\n";
    let fields = [
        field("references.so", "{ record = \"H\", start = 2, len = 4 }"),
        field("lines.item.sku", "{ record = \"D\", start = 2, len = 4 }"),
        field("lines.qty", "{ record = \"D\", start = 6, len = 3 }"),
    ];
    small(FIXED, &format!("{}{more}", fields.concat()))
}

#[test]
fn fixed_width_is_cut_by_characters_and_keeps_the_rest() {
    let text = "HS1    late\nDM\u{fc}l  12 \u{e4}b\nEB2    7\nT  2\n";

    let outcome = read(&fixed_feed(), text.as_bytes());

    assert_eq!(skus(&outcome), [vec!["M\u{fc}l", "B2"]], "{}", summary(&outcome));
    let kept: Vec<(&str, &str)> =
        outcome.events[0].extensions.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
    assert_eq!(kept, [("fixed:10-11", "\u{e4}b"), ("fixed:HDR.8-11", "late")]);
}

#[test]
fn fixed_width_faults_say_the_character_and_totals_refuse_the_file() {
    let bad = read(&fixed_feed(), b"HS1  \nDA1   x1\nT  1\n");
    let short = read(&fixed_feed(), b"HS1  \nDA1   11\nT  2\n");

    assert_eq!(
        (codes(&bad), bad.held[1].column, bad.held[1].field.as_str()),
        (vec!["1 DOCUMENT_HELD".to_owned(), "2 INVALID_QUANTITY".to_owned()], 6, "6-8")
    );
    assert_eq!(codes(&short), ["3 COUNT_MISMATCH"]);
}

#[test]
fn a_last_line_that_is_cut_is_torn() {
    let decoder =
        goods("type = \"fixed\"", "{ start = 1, len = 3 }", "{ start = 4, len = 3 }", "{ start = 7, len = 3 }");

    let whole = read(&decoder, b"S1 A  100\nS2 B  200");
    let torn = read(&decoder, b"S1 A  100\nS2 B  20");

    assert_eq!(skus(&whole), [vec!["A"], vec!["B"]]);
    assert_eq!((skus(&torn), codes(&torn)), (vec![vec!["A".to_owned()]], vec!["2 TRUNCATED_FILE".to_owned()]));
}

#[test]
fn mistakes_of_the_new_formats_are_named_with_their_places() {
    let head = "[feed]\nname = \"x\"\nversion = 1\nevent_type = \"pick_confirmed\"\nmatch = [\"*\"]\n";
    let text = format!(
        "{head}[parse]\ntype = \"xml\"\nrecords = \"/a\"\nskip = [{{ path = \"A\" }}, {{ path = \"A\", values = [], except = [] }}]\n[[field]]\nto = \"event_time\"\nfrom = {{ path = \"/a\" }}\n[[field]]\nto = \"operator\"\nfrom = {{ start = 1, len = 2 }}\n"
    );
    let fixed = format!(
        "{head}[parse]\ntype = \"fixed\"\n[[field]]\nto = \"event_time\"\nfrom = {{ start = 0, len = 4 }}\n[[field]]\nto = \"operator\"\nfrom = {{ column = 1 }}\n"
    );

    assert_eq!(problems(&text), ["6:1 C003", "8:11 C040", "9:9 C003", "9:61 C039", "12:17 C037", "15:18 C036"]);
    assert_eq!(problems(&fixed), ["10:18 C038", "13:19 C013"]);
}

const FILES: &[(&str, &str)] = &[
    (
        "json",
        "{\"n\":1,\"orders\":[{\"id\":1,\"goods\":[{\"sku\":\"A\",\"q\":1,\"x\":{\"y\":[1,2]}},{\"sku\":\"\u{fc}\",\"q\":2.5}]},\n{\"id\":2,\"goods\":{\"sku\":\"C\",\"q\":\"3\"}}]}",
    ),
    (
        "xml",
        "<?xml version=\"1.0\"?>\n<All><Order id=\"1\"><Box no=\"9\"><Item sku=\"A\">1</Item></Box></Order>\n<Order id=\"2\"><Box><Item sku=\"B\">2</Item></Box></Order></All>",
    ),
    ("fixed", "HS1    late\nDM\u{fc}l  12 \u{e4}b\nEB2    7\nT  2\n"),
];

fn file_feed(which: usize) -> Decoder {
    match which {
        0 => json_feed(),
        1 => xml_feed(),
        _ => fixed_feed(),
    }
}

#[test]
fn a_file_cut_at_any_byte_gives_nothing_of_what_was_cut() {
    for (which, (name, text)) in FILES.iter().enumerate() {
        let decoder = file_feed(which);
        let bytes = text.as_bytes();
        for end in 0..bytes.len() {
            let outcome = read(&decoder, &bytes[..end]);

            // The last line end alone may be missing.
            let is_whole = bytes[end..].iter().all(u8::is_ascii_whitespace);
            assert!(outcome.events.is_empty() || is_whole, "{name} cut at {end}: {}", summary(&outcome));
            assert_eq!(outcome.survey.taken + outcome.survey.held, outcome.survey.lines, "{name} cut at {end}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_size_of_the_pieces_does_not_matter(which in 0..FILES.len(), step in 1_usize..40) {
        let (decoder, bytes) = (file_feed(which), FILES[which].1.as_bytes());

        prop_assert_eq!(summary(&read(&decoder, bytes)), summary(&read_slowly(&decoder, bytes, step)));
    }

    #[test]
    fn any_change_is_read_without_a_panic(which in 0..FILES.len(), at in 0_usize..400, byte in any::<u8>()) {
        let mut bytes = FILES[which].1.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;

        let outcome = read(&file_feed(which), &bytes);

        prop_assert_eq!(outcome.survey.taken + outcome.survey.held, outcome.survey.lines);
    }
}

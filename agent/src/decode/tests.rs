use std::{io::Cursor, ops::ControlFlow, path::PathBuf, sync::Arc};

use docksync_proto::{
    event::{Action, Event},
    site::SiteId,
};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{Decoder, FileFacts, Record, Survey, json, profile};
use crate::queue::capture::HeldLine;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn facts(bytes: &[u8]) -> FileFacts {
    FileFacts {
        feed: "test".to_owned(),
        name: "test.csv".to_owned(),
        sha256: "00".repeat(32),
        size: bytes.len() as u64,
        record_time: "2026-11-24T00:00:00Z".parse().unwrap(),
    }
}

fn decoder_of(text: &str) -> Decoder {
    let profile = profile::read(&PathBuf::from("feed.toml"), text).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<String>());
    });
    let zone = TimeZone::get("America/Chicago").unwrap();
    Decoder::new(Arc::new(profile), &SiteId::new("DC7").unwrap(), &zone, "America/Chicago")
}

fn decoder(name: &str) -> Decoder {
    decoder_of(&std::fs::read_to_string(root().join(format!("config/feeds/{name}.toml"))).unwrap())
}

struct Read {
    survey: Survey,
    events: Vec<Event>,
    held: Vec<HeldLine>,
    records: Vec<u64>,
}

fn read(decoder: &Decoder, bytes: &[u8]) -> Read {
    let file = facts(bytes);
    let mut input = Cursor::new(bytes);
    let survey = decoder.survey(&mut input, &file).unwrap();
    let (mut events, mut held, mut records) = (Vec::new(), Vec::new(), Vec::new());
    let mut keep = |record, found: Record<'_>| {
        records.push(record);
        match found {
            Record::Event(event) => events.push(event.clone()),
            Record::Held(lines) => held.extend_from_slice(lines),
        }
        ControlFlow::Continue(())
    };
    decoder.emit(&mut input, &file, &survey, &mut keep).unwrap();
    Read { survey, events, held, records }
}

/// Compares with a committed text; `UPDATE_GOLDEN=1` writes it.
fn golden(name: &str, found: &str) {
    let path = root().join("tests/golden/feeds").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{}", path.display());
}

fn report(read: &Read) -> String {
    let mut text = String::new();
    for event in &read.events {
        text.push_str(&json::event_json(event).unwrap().to_string());
        text.push('\n');
    }
    for line in read.held.iter().chain(&read.survey.refusals) {
        text.push_str(&format!(
            "{}:{} {} {} found {:?} expected {:?} owner {} text {:?}\n",
            line.line_no, line.column, line.code, line.field, line.found, line.expected, line.owner, line.text
        ));
    }
    text
}

#[test]
fn every_sample_feed_reads_its_sample_file_as_before() {
    for (feed, file) in [
        ("pick-csv", "pick-csv.csv"),
        ("ship-csv", "ship-csv.csv"),
        ("receipt-csv", "receipt-csv.txt"),
        ("adjust-csv", "adjust-csv.csv"),
        ("count-csv", "count-csv.csv"),
        ("snapshot-csv", "snapshot-csv.csv"),
        ("events-ndjson", "events-ndjson.ndjson"),
    ] {
        let bytes = std::fs::read(root().join("tests/golden/feeds").join(file)).unwrap();

        let found = read(&decoder(feed), &bytes);

        golden(&format!("{feed}.expected"), &report(&found));
        assert_eq!(found.survey.taken + found.survey.held, found.survey.lines, "{feed}");
        assert_eq!(found.records, (1..=found.survey.records).collect::<Vec<_>>(), "{feed}");
    }
}

const SMALL: &str = r#"
[feed]
name = "small"
version = 1
event_type = "pick_confirmed"
match = ["*"]
[parse]
type = "csv"
[[field]]
to = "references.so"
from = { column = "order" }
[[field]]
to = "lines.item.sku"
from = { column = "sku" }
required = true
[[field]]
to = "lines.qty"
from = { column = "qty" }
[[field]]
to = "event_time"
from = { column = "at" }
"#;

#[test]
fn a_renamed_column_refuses_the_file_and_names_the_nearest() {
    let found = read(&decoder_of(SMALL), b"order,skuu,qty,at\nA,1,1,2026-01-01\n");

    let [refusal] = found.survey.refusals.as_slice() else { panic!("one refusal, not {:?}", found.survey.refusals) };
    assert_eq!(refusal.code, "HEADER_MISMATCH");
    assert_eq!(refusal.found, "order,skuu,qty,at");
    assert_eq!(refusal.expected, "column `sku` (nearest is `skuu`)");
    assert!(found.events.is_empty());
}

#[test]
fn header_names_match_in_any_case_and_any_order() {
    let found = read(&decoder_of(SMALL), "\u{feff}AT, Sku ,QTY,Order\n2026-01-01,1,2,A\n".as_bytes());

    assert_eq!(found.events[0].lines[0].item.sku, "1");
    assert_eq!(found.events[0].correlation_id, "A");
    assert_eq!(found.events[0].source.byte_offset, 22);
}

#[test]
fn an_empty_file_has_no_events_and_no_fault() {
    for bytes in [&b""[..], b"\n\n", b"order,sku,qty,at\n"] {
        let found = read(&decoder_of(SMALL), bytes);

        assert_eq!((found.survey.lines, found.events.len(), found.survey.refusals.len()), (0, 0, 0));
    }
}

#[test]
fn equal_facts_of_one_file_are_numbered_in_order() {
    let row = "A,1,1,2026-01-01T10:00:00\n";

    let found = read(&decoder_of(SMALL), format!("order,sku,qty,at\n{row}{row}B,1,1,2026-01-01\n{row}").as_bytes());

    let ordinals: Vec<u32> = found.events.iter().map(|event| event.ordinal).collect();
    assert_eq!(ordinals, [0, 1, 0, 2]);
}

#[test]
fn one_bad_line_refuses_the_file_where_the_feed_says_so() {
    let strict = format!("{SMALL}\n[on_error]\nline = \"file\"\n");

    let found = read(&decoder_of(&strict), b"order,sku,qty,at\nA,1,1,2026-01-01\nA,,1,2026-01-01\n");

    assert!(found.survey.is_refused());
    assert_eq!(found.survey.refusals[0].line_no, 3);
    assert_eq!(found.survey.refusals[0].code, "MISSING_MANDATORY");
}

#[test]
fn a_feed_whose_newest_statement_counts_says_so_of_each_event() {
    let text = std::fs::read_to_string(root().join("config/feeds/pick-csv.toml")).unwrap();
    let latest = decoder_of(&text.replace("on_revision = \"hold\"", "on_revision = \"latest\""));
    let sample = std::fs::read_to_string(root().join("tests/golden/feeds/pick-csv.csv")).unwrap();
    let rows: Vec<&str> = sample.lines().take(2).collect();
    let bytes = rows.join("\n").into_bytes();

    let (held, latest) = (read(&decoder("pick-csv"), &bytes), read(&latest, &bytes));

    let action = |read: &Read| read.events[0].action;
    assert_eq!((action(&held), action(&latest)), (Action::Add, Action::Change));
    let id = |read: &Read| docksync_proto::identity::event_id(&read.events[0]);
    assert_eq!(id(&held), id(&latest), "it is the same fact");
}

#[test]
fn a_trailer_with_another_count_refuses_the_file() {
    let text = "HDR|R-1|PO7|07/04/2026 1:02:03 PM|kim|10\nDTL|1|4711|L1|EA|10|\nTRL|2\n";

    let found = read(&decoder("receipt-csv"), text.as_bytes());

    assert_eq!(found.survey.refusals[0].code, "COUNT_MISMATCH");
    assert_eq!(found.survey.refusals[0].line_no, 3);
}

#[test]
fn a_file_without_its_trailer_is_refused() {
    let text = "HDR|R-1|PO7|07/04/2026 1:02:03 PM|kim|10\nDTL|1|4711|L1|EA|10|\n";

    let found = read(&decoder("receipt-csv"), text.as_bytes());

    assert_eq!(found.survey.refusals[0].code, "TRUNCATED_FILE");
}

#[test]
fn a_document_with_a_bad_line_is_held_whole() {
    let text = "HDR|R-1|PO7|07/04/2026 1:02:03 PM|kim|10\nDTL|1|4711|L1|EA|10|\nDTL|2|4712|L1|EA|x|\nTRL|2\n";

    let found = read(&decoder("receipt-csv"), text.as_bytes());

    let codes: Vec<&str> = found.held.iter().map(|line| line.code.as_str()).collect();
    assert_eq!(codes, ["DOCUMENT_HELD", "DOCUMENT_HELD", "INVALID_QUANTITY"]);
    assert!(found.events.is_empty());
}

#[test]
fn a_row_with_bytes_that_are_no_text_is_held_alone() {
    let utf8 = SMALL.replace("match", "encoding = \"utf-8\"\nmatch");

    let found = read(&decoder_of(&utf8), b"order,sku,qty,at\nA,\xff,1,2026-01-01\nB,2,1,2026-01-01\n");

    assert_eq!(found.held[0].code, "ENCODING_ERROR");
    assert_eq!(found.held[0].column, 3);
    assert_eq!(found.events.len(), 1);
}

#[test]
fn every_mistake_of_a_profile_is_named_with_its_place() {
    let text = "[feed]\nname = \"x\"\nversion = 1\nevent_type = \"pick_confirmd\"\nmatchh = [\"*\"]\n[parse]\ntype = \"csv\"\n\
                delimiter = \"ab\"\n[[field]]\nto = \"lines.item.skuu\"\nfrom = { colum = \"a\" }\n";

    let problems = profile::read(&PathBuf::from("feed.toml"), text).unwrap_err();

    let shown: Vec<String> =
        problems.iter().map(|p| format!("{}:{} {} {}", p.line, p.column, p.code, p.help)).collect();
    for expected in [
        "4:14 C020 did you mean `pick_confirmed`?",
        "5:1 C002 did you mean `match`?",
        "8:13 C022 as \",\" or \"\\t\"",
        "10:6 C010 did you mean `lines.item.sku`?",
        "11:10 C002 did you mean `column`?",
    ] {
        assert!(shown.iter().any(|line| line == expected), "{expected} is not in {shown:#?}");
    }
}

const SEMICOLONS: &str = r#"
[feed]
name = "sums"
version = 1
event_type = "pick_confirmed"
match = ["*.csv"]
[parse]
type = "csv"
delimiter = ";"
header = true
decimal = ","
thousands = "."
record_type = { column = 0, trailer = "Total" }
[[field]]
to = "references.so"
from = { column = "Order" }
required = true
[[field]]
to = "lines.item.sku"
from = { column = "Article" }
required = true
[[field]]
to = "lines.qty"
from = { column = "Quantity" }
[[field]]
to = "lines.item.description"
from = { column = "Text" }
[[field]]
to = "event_time"
from = { column = "Day" }
formats = ["%d.%m.%Y %H:%M"]
[[check]]
kind = "sum"
field = "lines.qty"
equals = { record = "Total", column = "Quantity" }
on_mismatch = "quarantine"
"#;
const SUMS: &str = "ORDER;Article;Quantity;Text;Day\r\nA1;4711;12,5;\"wide \"\"X\"\"\ntwo lines; a mark\";23.11.2026 09:15\r\n\r\n\
                    A2;4712;1.234,00;;24.11.2026 10:00\r\nTotal;;1246,5;;\r\n";

#[test]
fn rows_of_another_country_are_read_and_their_trailer_is_checked() {
    let decoder = decoder_of(SEMICOLONS);

    let found = read(&decoder, SUMS.as_bytes());
    let wrong = read(&decoder, SUMS.replace("1246,5", "1246,6").as_bytes());

    let told: Vec<_> = found.events.iter().map(|event| event.lines[0].qty.unwrap().normalize().to_string()).collect();
    assert_eq!(told, ["12.5", "1234"]);
    assert_eq!(found.events[0].lines[0].item.description, "wide \"X\"\ntwo lines; a mark");
    assert_eq!((found.survey.lines, found.survey.taken), (2, 2));
    assert_eq!(wrong.survey.refusals[0].code, "TOTAL_MISMATCH");
}

#[test]
fn rows_with_a_trailer_give_nothing_where_the_file_is_cut() {
    let decoder = decoder_of(SEMICOLONS);
    // The total is whole once its last digit is there.
    let whole = SUMS.find("1246,5").unwrap() + "1246,5".len();
    for cut in 1..whole {
        let survey = decoder.survey(&mut Cursor::new(&SUMS.as_bytes()[..cut]), &facts(b"")).unwrap();

        assert!(survey.is_refused() || survey.lines == 0, "{cut}");
    }
}

/// Rows without a trailer say nowhere how many they are: a file that is cut behind a cell looks like a whole one. What comes out
/// of it is what the whole file says, but for its last row.
#[test]
fn rows_of_a_file_cut_at_any_byte_say_what_the_whole_file_says() {
    for (feed, file) in FILES.iter().filter(|(feed, _)| !feed.starts_with("receipt")) {
        let bytes = std::fs::read(root().join("tests/golden/feeds").join(file)).unwrap();
        let decoder = decoder(feed);
        let whole = summary(&decoder, &mut Cursor::new(&bytes[..]), bytes.len());
        for cut in 1..bytes.len() {
            let all = summary(&decoder, &mut Cursor::new(&bytes[..cut]), bytes.len());

            let known = all.iter().skip(1).take_while(|record| whole.contains(record)).count();
            assert!(known + 1 >= all.len() - 1, "{feed} cut at {cut}: {all:#?}");
        }
    }
}

/// Hands out at most `step` bytes at a time.
struct Slow<'b>(Cursor<&'b [u8]>, usize);

impl std::io::Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let most = out.len().min(self.1);
        self.0.read(&mut out[..most])
    }
}

impl std::io::Seek for Slow<'_> {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

fn summary(decoder: &Decoder, input: &mut (impl std::io::Read + std::io::Seek), size: usize) -> Vec<String> {
    let file = FileFacts { size: size as u64, ..facts(b"") };
    let survey = decoder.survey(input, &file).unwrap();
    let mut all = vec![format!("{} {} {}", survey.lines, survey.taken, survey.held)];
    let mut keep = |record, found: Record<'_>| {
        all.push(format!("{record} {found:?}"));
        ControlFlow::Continue(())
    };
    decoder.emit(input, &file, &survey, &mut keep).unwrap();
    all
}

const FILES: &[(&str, &str)] = &[
    ("pick-csv", "pick-csv.csv"),
    ("ship-csv", "ship-csv.csv"),
    ("receipt-csv", "receipt-csv.txt"),
    ("events-ndjson", "events-ndjson.ndjson"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_size_of_the_pieces_does_not_matter(which in 0..FILES.len(), step in 1_usize..40) {
        let (feed, file) = FILES[which];
        let bytes = std::fs::read(root().join("tests/golden/feeds").join(file)).unwrap();
        let decoder = decoder(feed);

        let whole = summary(&decoder, &mut Cursor::new(&bytes[..]), bytes.len());
        let pieces = summary(&decoder, &mut Slow(Cursor::new(&bytes), step), bytes.len());

        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn a_file_cut_anywhere_loses_no_line_silently(which in 0..FILES.len(), share in 0.0_f64..1.0) {
        let (feed, file) = FILES[which];
        let bytes = std::fs::read(root().join("tests/golden/feeds").join(file)).unwrap();
        let cut = (bytes.len() as f64 * share) as usize;

        let found = read(&decoder(feed), &bytes[..cut]);

        prop_assert_eq!(found.survey.taken + found.survey.held, found.survey.lines);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(which in 0..FILES.len(), bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (feed, file) = FILES[which];
        let mut all = std::fs::read(root().join("tests/golden/feeds").join(file)).unwrap();
        all.extend(bytes);

        let found = read(&decoder(feed), &all);

        prop_assert_eq!(found.survey.taken + found.survey.held, found.survey.lines);
    }
}

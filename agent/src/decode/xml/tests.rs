use std::fmt::Write as _;

use proptest::prelude::*;

use super::{
    super::charset::{Charset, Utf8Reader},
    *,
};

/// Records and what is around them, one line each; the refusal last.
fn outline(xml: impl Read) -> Vec<String> {
    let mut xml = Xml::new(Utf8Reader::new(xml, Charset::Utf8), 0);
    let mut all = Vec::new();
    loop {
        let step = xml.next(|_, start| match start.name.as_str() {
            "rec" => Take::Record,
            "head" => Take::Keep,
            "noise" => Take::Skip,
            _ => Take::Enter,
        });
        match step {
            Ok(Step::Record(node)) => {
                let around: Vec<String> = xml.outer().iter().map(shown).collect();
                all.push(format!("{}:{} {} in {}", node.line_no, node.column, shown(&node), around.join("/")));
            }
            Ok(Step::TooLarge(head)) => all.push(format!("too large {}", shown(&head))),
            Ok(Step::Left(node)) => all.push(format!("left {}", node.name)),
            Ok(Step::End) => return all,
            Err(Stop::Broken { line_no, fault }) => {
                all.push(format!("{line_no} {} {}", fault.code, fault.found));
                return all;
            }
            Err(Stop::Read(error)) => panic!("{error}"),
        }
    }
}

fn shown(node: &Node) -> String {
    let mut text = node.name.clone();
    if !node.ns.is_empty() {
        write!(text, "{{{}}}", node.ns).unwrap();
    }
    for (name, value) in &node.attrs {
        write!(text, " {name}={value}").unwrap();
    }
    if !node.text.is_empty() {
        write!(text, " {:?}", node.text).unwrap();
    }
    if !node.children.is_empty() {
        let children: Vec<String> = node.children.iter().map(shown).collect();
        write!(text, "({})", children.join(" ")).unwrap();
    }
    text
}

fn one(xml: &str) -> String {
    outline(xml.as_bytes()).pop().unwrap_or_default()
}

const SAMPLE: &str = "<?xml version=\"1.0\" encoding=\"windows-1252\"?>\n<!-- c -->\n<p:root xmlns:p=\"urn:a\" v=\"1\" \
    xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"x y\">\n <id> 7 </id><head><a>1</a></head>\n \
    <noise><rec/></noise>\n <list>\n  <rec n='&lt;1&gt;'>\n   <b>x &amp; &#x41;<![CDATA[<raw>]]></b><c/></rec><p:rec/>\n \
    </list>\n</p:root>\n<!-- end -->\n";

#[test]
fn records_come_with_the_headers_around_them() {
    let found = outline(SAMPLE.as_bytes());

    assert_eq!(
        found,
        [
            "7:3 rec n=<1>(b \"x & A<raw>\" c) in root{urn:a} v=1(id \"7\" head(a \"1\"))/list",
            "8:52 rec{urn:a} in root{urn:a} v=1(id \"7\" head(a \"1\"))/list",
            "left list",
            "left root",
        ]
    );
}

#[test]
fn elements_are_found_by_name_and_path() {
    let text = "<rec><a><b>1</b><b>2</b></a><c><a><b k='v'>3</b></a></c></rec>";
    let mut xml = Xml::new(Utf8Reader::new(text.as_bytes(), Charset::Utf8), 0);
    let Ok(Step::Record(node)) = xml.next(|_, _| Take::Record) else { panic!("a record") };

    assert_eq!(node.text_at("a/b"), "1");
    assert_eq!(node.text_at("a/x"), "");
    assert_eq!(node.at("c/a/b").unwrap().attr("k"), "v");
    assert_eq!(node.child("a").unwrap().children("b").count(), 2);
    let all: Vec<&str> = node.descend("b").map(|node| node.text.as_str()).collect();
    assert_eq!(all, ["1", "2", "3"]);
}

#[test]
fn what_is_no_document_is_refused_in_words() {
    for (text, expected) in [
        ("<a><rec></a>", "1 SCHEMA_VIOLATION ill-formed document: expected `</rec>`, but `</a>` was found"),
        ("<a></a>\n<b/>", "2 SCHEMA_VIOLATION <b> behind the root element"),
        ("<a></a>tail", "1 SCHEMA_VIOLATION `tail` outside of the root element"),
        ("ISA*00", "1 SCHEMA_VIOLATION `ISA*00` outside of the root element"),
        ("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "1 SCHEMA_VIOLATION a document type (<!DOCTYPE)"),
        ("<a>&x;</a>", "1 SCHEMA_VIOLATION the entity `&x;`"),
        ("<a b='&x;'/>", "1 SCHEMA_VIOLATION <a>: at 1..2: unrecognized entity `x`"),
        (
            "<a b='1' b='2'/>",
            "1 SCHEMA_VIOLATION <a>: position 8: duplicated attribute, previous declaration at position 2",
        ),
        ("<a>\u{1}</a>", "1 ENCODING_ERROR a control character"),
        ("<a>\n<b>", "2 TRUNCATED_FILE the end of the file with 2 elements open"),
        ("<?xml version='1.0'?>", "1 TRUNCATED_FILE the end of the file before the root element is complete"),
        ("<a", "1 TRUNCATED_FILE the end of the file before the root element is complete"),
        ("<a>x &am", "1 TRUNCATED_FILE the end of the file with 1 elements open"),
    ] {
        assert_eq!(one(text), expected, "{text}");
    }
}

#[test]
fn an_empty_file_is_no_document_and_no_fault() {
    assert!(outline(&b""[..]).is_empty());
    assert!(outline(&b" \n"[..]).is_empty());
}

#[test]
fn bytes_that_are_no_utf_8_are_named() {
    assert_eq!(outline(&b"<a>\xff</a>"[..]), ["1 ENCODING_ERROR bytes that are no text"]);
}

#[test]
fn every_limit_refuses_what_is_over_it() {
    let deep = "<a>".repeat(DEPTH_MAX + 1);
    let many = format!("<a {}/>", (0..=ATTRIBUTES_MAX).fold(String::new(), |all, n| format!("{all} x{n}='1'")));
    let long = format!("<a>{}</a>", "x".repeat(TEXT_BYTES_MAX + 200_000));
    let large = format!("<a><rec>{}</rec><rec/></a>", "<b/>".repeat(RECORD_NODES_MAX));
    let heavy = format!("<a><rec>{}</rec></a>", format!("<b>{}</b>", "x".repeat(1_000_000)).repeat(17));
    let heads = format!("<a>{}</a>", "<b/>".repeat(RECORD_NODES_MAX + 1));

    assert_eq!(one(&deep), format!("1 SCHEMA_VIOLATION <a> within {DEPTH_MAX} elements"));
    assert_eq!(one(&many), format!("1 SCHEMA_VIOLATION <a> with more than {ATTRIBUTES_MAX} attributes"));
    assert_eq!(one(&long), format!("1 DOCUMENT_TOO_LARGE a text, tag or comment longer than {TEXT_BYTES_MAX} bytes"));
    assert_eq!(outline(large.as_bytes())[..2], ["too large rec", &format!("1:{} rec in a", large.len() - 9)]);
    assert_eq!(outline(heavy.as_bytes())[0], "too large rec");
    assert_eq!(one(&heads), "1 DOCUMENT_TOO_LARGE more");
}

#[test]
fn a_document_cut_anywhere_is_torn() {
    for cut in 1..SAMPLE.trim_end().len() - "\n<!-- end -->".len() {
        let found = outline(&SAMPLE.as_bytes()[..cut]);

        assert!(found.last().unwrap().contains("TRUNCATED_FILE"), "{cut}: {found:?}");
    }
}

/// Hands out at most so many bytes at a time.
struct Slow<'b>(&'b [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(self.1);
        self.0.read(&mut out[..most])
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_size_of_the_pieces_does_not_matter(step in 1_usize..40) {
        prop_assert_eq!(outline(Slow(SAMPLE.as_bytes(), step)), outline(SAMPLE.as_bytes()));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(at in 0..SAMPLE.len(), noise in "[<>/!?&;'\"a\\-\\[\\]=# \\x00é]{0,12}") {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        let end = (at + noise.len()).min(bytes.len());
        bytes.splice(at..end, noise.into_bytes());

        outline(&bytes[..]);
    }
}

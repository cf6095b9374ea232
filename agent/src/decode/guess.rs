//! Guesses the standard of a file from its first bytes, for people who try a file before they describe it.

use super::profile::DialectKind;

/// Bytes of a file that are looked at.
pub const HEAD_BYTES: usize = 64 * 1024;

/// What a file looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    /// Documents of a standard.
    Standard(DialectKind),
    /// JSON, one object for each line.
    Ndjson,
    /// One JSON value.
    Json,
    /// XML of no standard known here.
    Xml,
    /// Text in rows.
    Rows,
}

/// Guesses from the first bytes.
pub fn guess(head: &[u8]) -> Guess {
    let text = text_of(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let starts = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
    if starts(&["ISA", "ST*"]) {
        return Guess::Standard(DialectKind::X12);
    }
    if starts(&["UNA", "UNB", "UNH"]) {
        return Guess::Standard(DialectKind::Edifact);
    }
    if starts(&["EDI_DC"]) {
        return Guess::Standard(DialectKind::Idoc);
    }
    if starts(&["<"]) {
        return xml(text);
    }
    if starts(&["{", "["]) {
        return json(text);
    }
    Guess::Rows
}

/// UTF-16 has a zero beside each ASCII character; the words looked for are ASCII.
fn text_of(head: &[u8]) -> String {
    let plain: Vec<u8> = match head {
        [0xff, 0xfe, rest @ ..] | [0xfe, 0xff, rest @ ..] => rest.iter().copied().filter(|byte| *byte != 0).collect(),
        _ => head.to_vec(),
    };
    String::from_utf8_lossy(&plain).into_owned()
}

fn xml(text: &str) -> Guess {
    let has = |word: &str| text.contains(word);
    if has("urn:epcglobal:epcis") || has("EPCISDocument") || has("EPCISQueryDocument") {
        Guess::Standard(DialectKind::Epcis)
    } else if has("<EDI_DC40") || has("<IDOC ") || has("<IDOC>") {
        Guess::Standard(DialectKind::Idoc)
    } else if has("urn:oasis:names:specification:ubl") {
        Guess::Standard(DialectKind::Ubl)
    } else if has("urn:gs1:") {
        Guess::Standard(DialectKind::Gs1Xml)
    } else {
        Guess::Xml
    }
}

fn json(text: &str) -> Guess {
    let is_epcis =
        ["EPCISDocument", "EPCISQueryDocument", "epcisBody", "\"bizStep\"", "\"ObjectEvent\"", "\"AggregationEvent\""];
    if is_epcis.iter().any(|word| text.contains(word)) {
        return Guess::Standard(DialectKind::Epcis);
    }
    let mut lines = text.lines();
    let first = lines.next().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    // One line alone is a document with a list in it, or the only record of a file that has one a line.
    let is_alone = lines.all(|line| line.trim().is_empty());
    match first {
        Some(value) if value.is_object() && !(is_alone && has_list(&value)) => Guess::Ndjson,
        _ => Guess::Json,
    }
}

fn has_list(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::Array(parts) => parts.iter().any(Value::is_object),
        Value::Object(fields) => fields.values().any(has_list),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standards_are_known_by_their_first_words() {
        let cases: [(&[u8], Guess); 11] = [
            (b"\xef\xbb\xbf\n ISA*00*", Guess::Standard(DialectKind::X12)),
            (b"UNA:+.? '", Guess::Standard(DialectKind::Edifact)),
            (b"EDI_DC40  800", Guess::Standard(DialectKind::Idoc)),
            (b"<?xml version=\"1.0\"?><DELVRY07><IDOC BEGIN=\"1\">", Guess::Standard(DialectKind::Idoc)),
            (b"<e:EPCISDocument xmlns:e=\"urn:epcglobal:epcis:xsd:2\">", Guess::Standard(DialectKind::Epcis)),
            (b"{\"type\":\"EPCISDocument\"", Guess::Standard(DialectKind::Epcis)),
            (b"{\"a\":1}\n{\"a\":2}\n", Guess::Ndjson),
            (b"{\n \"a\": 1\n}", Guess::Json),
            (b"{\"a\":1}\n", Guess::Ndjson),
            (b"{\"a\":[{\"b\":1}]}\n", Guess::Json),
            (b"order,sku\n", Guess::Rows),
        ];
        for (head, expected) in cases {
            assert_eq!(guess(head), expected, "{}", String::from_utf8_lossy(head));
        }
        let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain("ISA*".bytes().flat_map(|b| [b, 0])).collect();
        assert_eq!(guess(&wide), Guess::Standard(DialectKind::X12));
    }
}

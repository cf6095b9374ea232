//! The encoding that an XML declaration names (XML 1.0 section 4.3.3 and appendix F), for files without byte order mark.

use super::charset::Charset;

/// Bytes of a file among which its declaration stands.
pub(super) const HEAD_BYTES: usize = 200;

/// What the first bytes of a file say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Declared {
    /// Nothing, or a name that the bytes themselves must bear out: UTF-8, US-ASCII, UTF-16.
    Nothing,
    /// A character set that cannot be told from the bytes.
    Known(Charset),
    /// A name that is not known here.
    Unknown(String),
}

/// Reads the declaration at the start of a file.
pub(super) fn sniff(head: &[u8]) -> Declared {
    match head {
        [b'<', 0, ..] => return Declared::Known(Charset::Utf16Le),
        [0, b'<', ..] => return Declared::Known(Charset::Utf16Be),
        _ => {}
    }
    let head = String::from_utf8_lossy(head);
    let Some(name) = encoding(&head) else { return Declared::Nothing };
    match name.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" | "utf-16" | "utf-16le" | "utf-16be" => Declared::Nothing,
        "windows-1252" | "cp1252" | "cp-1252" => Declared::Known(Charset::Windows1252),
        "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "latin-1" => Declared::Known(Charset::Latin1),
        _ => Declared::Unknown(name.to_owned()),
    }
}

fn encoding(head: &str) -> Option<&str> {
    let declaration = head.trim_start().strip_prefix("<?xml")?.split_once("?>")?.0;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Some(value.get(1..)?.split_once(quote)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_names_the_character_set() {
        for (head, expected) in [
            ("<?xml version=\"1.0\" encoding=\"Windows-1252\"?><a/>", Declared::Known(Charset::Windows1252)),
            ("<?xml version='1.0' encoding = 'ISO-8859-1' standalone='yes'?>", Declared::Known(Charset::Latin1)),
            ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", Declared::Nothing),
            ("<?xml version=\"1.0\" encoding=\"UTF-16\"?>", Declared::Nothing),
            ("<?xml version=\"1.0\" encoding=\"KOI8-R\"?>", Declared::Unknown("KOI8-R".to_owned())),
            ("<?xml version=\"1.0\"?><a encoding=\"x\"/>", Declared::Nothing),
            ("<a/>", Declared::Nothing),
            ("{\"encoding\":\"windows-1252\"}", Declared::Nothing),
            ("", Declared::Nothing),
        ] {
            assert_eq!(sniff(head.as_bytes()), expected, "{head}");
        }
        assert_eq!(sniff(b"<\0?\0x\0"), Declared::Known(Charset::Utf16Le));
        assert_eq!(sniff(b"\0<\0?"), Declared::Known(Charset::Utf16Be));
    }
}

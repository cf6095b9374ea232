//! The encoding that an XML declaration names (XML 1.0 section 4.3.3 and appendix F), for files without byte order mark.

use super::charset::Charset;

/// Bytes of a file among which its declaration stands.
pub(super) const HEAD_BYTES: usize = 200;

/// What says which character set a file is of before all of it is read.
#[derive(Debug)]
pub(super) struct Declaration {
    /// Where it is known; else the bytes must tell.
    pub(super) charset: Option<Charset>,
    /// A name that is not known here.
    unknown: Option<String>,
    is_xml: bool,
}

impl Declaration {
    /// A feed that names its character set.
    pub(super) const fn of(charset: Charset) -> Self {
        Self { charset: Some(charset), unknown: None, is_xml: false }
    }

    /// A file that can only have a mark, by its first bytes.
    pub(super) fn of_mark(head: &[u8]) -> Self {
        Self { charset: Charset::of_mark(head), unknown: None, is_xml: false }
    }

    /// A document, by its first bytes.
    pub(super) fn read(head: &[u8]) -> Self {
        let unknown = match sniff(head) {
            Declared::Known(charset) => return Self::of(charset),
            Declared::Unknown(name) => Some(name),
            Declared::Nothing => None,
        };
        Self { unknown, is_xml: head.starts_with(b"<"), ..Self::of_mark(head) }
    }

    /// What is doubtful about the character set that the bytes told.
    pub(super) fn doubt(&self, found: Charset) -> Option<String> {
        match &self.unknown {
            Some(name) => Some(format!("the declared encoding {name} is not known; read as {}", found.name())),
            None if found == Charset::Windows1252 && self.is_xml => {
                Some("the file is no UTF-8, though XML without another declaration is; read as Windows-1252".to_owned())
            }
            None => None,
        }
    }
}

/// What the first bytes of a file say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Declared {
    /// Nothing, or a name that the bytes themselves must bear out: UTF-8, US-ASCII, UTF-16.
    Nothing,
    /// A character set that cannot be told from the bytes.
    Known(Charset),
    /// A name that is not known here.
    Unknown(String),
}

/// Reads the declaration at the start of a file.
fn sniff(head: &[u8]) -> Declared {
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

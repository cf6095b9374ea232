//! Start tags, end tags and texts, with what XML asks of a whole document.

use std::io::{self, Read};

use quick_xml::{
    Error, Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesRef, BytesStart, Event},
};

use super::{
    super::documents::Place,
    ATTRIBUTES_MAX, DEPTH_MAX, Stop, TEXT_BYTES_MAX, broken,
    meter::Meter,
    node::{Node, is_blank},
    spaces::Spaces,
};

/// One piece of the document.
pub(super) enum Token {
    /// A start tag; it stands in [`Tokens::node`].
    Open,
    /// An element without content; it stands there as well.
    Empty,
    /// An end tag; it matches.
    Close,
    /// Text within the root; it stands in [`Tokens::text`].
    Text,
    /// The document is complete.
    End,
}

/// Reads piece by piece.
pub(super) struct Tokens<R: Read> {
    reader: Reader<Meter<R>>,
    bytes: Vec<u8>,
    /// The last text.
    pub(super) text: String,
    /// The last start tag.
    pub(super) node: Option<Node>,
    spaces: Spaces,
    offset: u64,
    depth: usize,
    has_root: bool,
    has_prolog: bool,
}

/// What a piece of the parser is to us.
enum Piece {
    Token(Token),
    Text(bool),
    Aside,
    Prolog,
    Bad(Bad),
}

/// What cannot be read on from.
struct Bad {
    code: &'static str,
    found: String,
    expected: &'static str,
}

impl Bad {
    fn violation(found: String, expected: &'static str) -> Self {
        Self { code: "SCHEMA_VIOLATION", found, expected }
    }
}

impl<R: Read> Tokens<R> {
    pub(super) fn new(text: R, offset: u64) -> Self {
        Self {
            reader: Reader::from_reader(Meter::new(text)),
            bytes: Vec::new(),
            text: String::new(),
            node: None,
            spaces: Spaces::default(),
            offset,
            depth: 0,
            has_root: false,
            has_prolog: false,
        }
    }

    /// Where the next piece starts.
    pub(super) fn line_no(&mut self) -> u64 {
        self.reader.get_mut().place().line_no
    }

    /// The next piece.
    ///
    /// # Errors
    /// [`Stop`]; nothing more can be read after it.
    pub(super) fn next(&mut self) -> Result<Token, Stop> {
        loop {
            let meter = self.reader.get_mut();
            meter.begin();
            let (mut place, column) = (meter.place(), meter.column());
            let line_no = place.line_no;
            place.offset += self.offset;
            self.bytes.clear();
            self.text.clear();
            let event = match self.reader.read_event_into(&mut self.bytes) {
                Ok(event) => event,
                Err(error) => return Err(self.stopped(line_no, error)),
            };
            let start = match &event {
                Event::Start(start) | Event::Empty(start) => Some(start),
                _ => None,
            };
            if let Some(Err(error)) = start.map(|start| self.spaces.open(start, self.depth)) {
                return Err(self.stopped(line_no, error.into()));
            }
            match piece(&self.spaces, event, &mut self.text, &mut self.node) {
                Piece::Token(Token::End) => return self.end(line_no),
                Piece::Token(token) => return self.structure(token, place, column),
                Piece::Text(_) if self.depth > 0 => {
                    if has_forbidden(&self.text) {
                        let found = "a control character";
                        return Err(broken(line_no, "ENCODING_ERROR", found, "text as XML 1.0 section 2.2 allows it"));
                    }
                    return Ok(Token::Text);
                }
                Piece::Text(is_plain) => {
                    if !is_plain || !is_blank(&self.text) {
                        let found: String = self.text.trim().chars().take(40).collect();
                        let found = format!("`{found}` outside of the root element");
                        return Err(broken(line_no, "SCHEMA_VIOLATION", found, "one XML document"));
                    }
                }
                Piece::Aside => {}
                Piece::Prolog => self.has_prolog = true,
                Piece::Bad(Bad { code, found, expected }) => return Err(broken(line_no, code, found, expected)),
            }
        }
    }

    /// Keeps count of open elements.
    fn structure(&mut self, token: Token, place: Place, column: u32) -> Result<Token, Stop> {
        if matches!(token, Token::Open | Token::Empty)
            && let Some(node) = &mut self.node
        {
            (node.line_no, node.end_line_no, node.column, node.offset) =
                (place.line_no, place.line_no, column, place.offset);
            if self.depth == 0 && self.has_root {
                let found = format!("<{}> behind the root element", node.name);
                return Err(broken(place.line_no, "SCHEMA_VIOLATION", found, "one root element"));
            }
            if self.depth >= DEPTH_MAX {
                let found = format!("<{}> within {DEPTH_MAX} elements", node.name);
                let expected = format!("elements nested at most {DEPTH_MAX} deep");
                return Err(broken(place.line_no, "SCHEMA_VIOLATION", found, expected));
            }
            self.has_root = true;
        }
        match token {
            Token::Open => self.depth += 1,
            Token::Close => {
                self.depth = self.depth.saturating_sub(1);
                self.spaces.close(self.depth);
            }
            Token::Empty => self.spaces.close(self.depth),
            Token::Text | Token::End => {}
        }
        Ok(token)
    }

    fn end(&mut self, line_no: u64) -> Result<Token, Stop> {
        if self.depth > 0 || self.has_prolog && !self.has_root {
            return Err(self.torn(line_no));
        }
        Ok(Token::End)
    }

    fn torn(&self, line_no: u64) -> Stop {
        let found = match self.depth {
            0 => "the end of the file before the root element is complete".to_owned(),
            open => format!("the end of the file with {open} elements open"),
        };
        broken(line_no, "TRUNCATED_FILE", found, "the end tag of the root element")
    }

    fn stopped(&mut self, line_no: u64, error: Error) -> Stop {
        let meter = self.reader.get_mut();
        let (is_over, is_ended) = (meter.is_over, meter.is_ended);
        match error {
            Error::Io(_) if is_over => {
                let found = format!("a text, tag or comment longer than {TEXT_BYTES_MAX} bytes");
                broken(line_no, "DOCUMENT_TOO_LARGE", found, format!("at most {TEXT_BYTES_MAX} bytes"))
            }
            Error::Io(error) => Stop::Read(io::Error::new(error.kind(), error)),
            _ if is_ended && (self.depth > 0 || !self.has_root) => self.torn(line_no),
            Error::Encoding(_) => {
                broken(line_no, "ENCODING_ERROR", "bytes that are no text", "text in the declared character set")
            }
            other => broken(line_no, "SCHEMA_VIOLATION", other.to_string(), "well-formed XML"),
        }
    }
}

fn piece(spaces: &Spaces, event: Event<'_>, text: &mut String, slot: &mut Option<Node>) -> Piece {
    match event {
        Event::Start(start) => node(spaces, &start, slot).map_or_else(Piece::Bad, |()| Piece::Token(Token::Open)),
        Event::Empty(start) => node(spaces, &start, slot).map_or_else(Piece::Bad, |()| Piece::Token(Token::Empty)),
        Event::End(_) => Piece::Token(Token::Close),
        Event::Text(part) => {
            text.push_str(&part.xml10_content());
            Piece::Text(true)
        }
        Event::CData(part) => {
            text.push_str(&part.xml10_content());
            Piece::Text(false)
        }
        Event::GeneralRef(entity) => match character(&entity) {
            Some(piece) => {
                text.push_str(&piece);
                Piece::Text(false)
            }
            None => Piece::Bad(Bad::violation(
                format!("the entity `&{};`", entity.chars().take(40).collect::<String>()),
                "one of &amp; &lt; &gt; &apos; &quot; or a character reference",
            )),
        },
        Event::DocType(_) => {
            let expected = "an XML document without document type: entities and outside definitions are not read";
            Piece::Bad(Bad::violation("a document type (<!DOCTYPE)".to_owned(), expected))
        }
        Event::Decl(_) => Piece::Prolog,
        Event::Comment(_) | Event::PI(_) => Piece::Aside,
        Event::Eof => Piece::Token(Token::End),
    }
}

/// What a reference stands for, where that is known.
fn character(entity: &BytesRef<'_>) -> Option<String> {
    match entity.resolve_char_ref() {
        Ok(Some(character)) => Some(character.to_string()),
        Ok(None) => resolve_predefined_entity(entity).map(str::to_owned),
        Err(_) => None,
    }
}

fn node(spaces: &Spaces, start: &BytesStart<'_>, slot: &mut Option<Node>) -> Result<(), Bad> {
    let (ns, local) = spaces.element(start);
    let node = slot.insert(Node::new(local, ns));
    if start.attributes_raw().is_empty() {
        return Ok(());
    }
    for attribute in start.attributes() {
        let attribute =
            attribute.map_err(|error| Bad::violation(format!("<{}>: {error}", node.name), "well-formed attributes"))?;
        let Some(local) = spaces.attribute(attribute.key) else { continue };
        if node.attrs.len() == ATTRIBUTES_MAX {
            let found = format!("<{}> with more than {ATTRIBUTES_MAX} attributes", node.name);
            return Err(Bad::violation(found, "fewer attributes"));
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| Bad::violation(format!("<{}>: {error}", node.name), "text or the five entities of XML"))?;
        node.attrs.push((local.to_owned(), value.into_owned()));
    }
    Ok(())
}

/// Whether there are control characters other than tab and line ends (XML 1.0 section 2.2).
fn has_forbidden(text: &str) -> bool {
    let is_control = |byte: u8| (byte < b' ') & !matches!(byte, b'\t' | b'\n' | b'\r');
    // Without an early end, so that many bytes are looked at in one step.
    text.bytes().fold(false, |is_any, byte| is_any | is_control(byte))
        || !text.is_ascii() && text.contains(['\u{fffe}', '\u{ffff}'])
}

//! Start tags, end tags and texts, with what XML asks of a whole document.

use std::{
    io::{self, Read},
    rc::Rc,
};

use quick_xml::{
    Error, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesRef, BytesStart, Event, attributes::Attribute},
    name::{NamespaceResolver, ResolveResult},
    reader::NsReader,
};

use super::{
    super::documents::Place,
    ATTRIBUTES_MAX, DEPTH_MAX, Stop, TEXT_BYTES_MAX, broken,
    meter::Meter,
    node::{Node, is_blank},
};

const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// One piece of the document.
pub(super) enum Token {
    /// A start tag.
    Open(Node),
    /// An element without content.
    Empty(Node),
    /// An end tag; it matches.
    Close,
    /// Text within the root; it stands in [`Tokens::text`].
    Text,
    /// The document is complete.
    End,
}

/// Reads piece by piece.
pub(super) struct Tokens<R: Read> {
    reader: NsReader<Meter<R>>,
    bytes: Vec<u8>,
    /// The last text.
    pub(super) text: String,
    space: Rc<str>,
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
        let reader = NsReader::from_reader(Meter::new(text));
        let (bytes, text, space) = (Vec::new(), String::new(), Rc::from(""));
        Self { reader, bytes, text, space, offset, depth: 0, has_root: false, has_prolog: false }
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
            let piece = piece(self.reader.resolver(), event, &mut self.text, &mut self.space);
            match piece {
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
    fn structure(&mut self, mut token: Token, place: Place, column: u32) -> Result<Token, Stop> {
        if let Token::Open(node) | Token::Empty(node) = &mut token {
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
            Token::Open(_) => self.depth += 1,
            Token::Close => self.depth = self.depth.saturating_sub(1),
            Token::Empty(_) | Token::Text | Token::End => {}
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

fn piece(names: &NamespaceResolver, event: Event<'_>, text: &mut String, space: &mut Rc<str>) -> Piece {
    let node = |start: &BytesStart<'_>, space: &mut Rc<str>| node(names, start, space);
    match event {
        Event::Start(start) => node(&start, space).map_or_else(Piece::Bad, |node| Piece::Token(Token::Open(node))),
        Event::Empty(start) => node(&start, space).map_or_else(Piece::Bad, |node| Piece::Token(Token::Empty(node))),
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

fn node(names: &NamespaceResolver, start: &BytesStart<'_>, space: &mut Rc<str>) -> Result<Node, Bad> {
    let (resolved, local) = names.resolve_element(start.name());
    let mut node = Node { name: local.into_inner().to_owned(), ns: interned(&resolved, space), ..Node::default() };
    for attribute in start.attributes() {
        let attribute =
            attribute.map_err(|error| Bad::violation(format!("<{}>: {error}", node.name), "well-formed attributes"))?;
        let (resolved, local) = names.resolve_attribute(attribute.key);
        if is_about_document(&attribute, &resolved) {
            continue;
        }
        if node.attrs.len() == ATTRIBUTES_MAX {
            let found = format!("<{}> with more than {ATTRIBUTES_MAX} attributes", node.name);
            return Err(Bad::violation(found, "fewer attributes"));
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| Bad::violation(format!("<{}>: {error}", node.name), "text or the five entities of XML"))?;
        node.attrs.push((local.into_inner().to_owned(), value.into_owned()));
    }
    Ok(node)
}

fn is_about_document(attribute: &Attribute<'_>, resolved: &ResolveResult<'_>) -> bool {
    attribute.key.as_namespace_binding().is_some()
        || matches!(resolved, ResolveResult::Bound(ns) if matches!(ns.0, XSI | XMLNS))
}

/// The name space, shared with the element before where it is the same.
fn interned(resolved: &ResolveResult<'_>, last: &mut Rc<str>) -> Rc<str> {
    let name = match resolved {
        ResolveResult::Bound(ns) => ns.0,
        ResolveResult::Unbound => "",
        ResolveResult::Unknown(prefix) => prefix,
    };
    if **last != *name {
        *last = Rc::from(name);
    }
    Rc::clone(last)
}

/// Whether there are control characters other than tab and line ends (XML 1.0 section 2.2).
fn has_forbidden(text: &str) -> bool {
    let is_control = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
    text.bytes().any(is_control) || !text.is_ascii() && text.contains(['\u{fffe}', '\u{ffff}'])
}

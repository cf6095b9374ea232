//! Walks an XML document and hands over one element tree at a time, in constant memory over the file.
//!
//! The caller says of each start tag what becomes of the element ([`Take`]): records are given whole ([`Step::Record`]), what is
//! entered lies on [`Xml::outer`] while it is open, with its attributes and with what was kept of it so far (the headers).
//!
//! ```text
//! let mut xml = Xml::new(text, offset);
//! loop {
//!     match xml.next(|outer, start| if start.name == "IDOC" { Take::Record } else { Take::Enter }) {
//!         Ok(Step::Record(node)) => ...          // xml.outer() holds the open elements, the root first
//!         Ok(Step::TooLarge(head)) => ...        // over RECORD_NODES_MAX or RECORD_BYTES_MAX: only its start tag is given
//!         Ok(Step::Left(node)) => {}             // an entered element ended
//!         Ok(Step::End) => break,
//!         Err(stop) => { stop.settle(&mut messages)?; break }
//!     }
//! }
//! ```
//!
//! - The text is UTF-8 already; the encoding that the document declares is of no meaning here.
//! - Refused as a whole: a document type, entities beyond the five of XML 1.0 section 4.6, content beside the root, tags that do
//!   not match, and what lies over the limits. A file that ends within an element is a torn file.
//! - Text is without blanks at both ends; text around child elements is joined. Names are local names.
//! - Attributes of the name spaces `xmlns` and `xsi` are about the document, not of it, and are left out.

mod meter;
mod node;
mod spaces;
mod taken;
#[cfg(test)]
mod tests;
mod tokens;

use std::io::{self, Read};

use super::{DecodeError, assign::Fault, hold, message::Messages};
use tokens::{Token, Tokens};

pub(super) use node::Node;
pub(super) use taken::Taken;

/// Deepest nesting of elements.
pub(super) const DEPTH_MAX: usize = 64;
/// Most elements of one record, and most that are kept as headers.
pub(super) const RECORD_NODES_MAX: usize = 20_000;
/// Most bytes of names, attributes and text of one record.
pub(super) const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest text of one element, longest tag, comment or instruction, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Most attributes of one element.
pub(super) const ATTRIBUTES_MAX: usize = 100;

/// What becomes of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// Its start tag goes on the stack of open elements; its children are asked for one by one. One without child elements is
    /// kept like [`Take::Keep`].
    Enter,
    /// It is handed over whole.
    Record,
    /// It becomes a child of the open element around it, whole: a header of what follows.
    Keep,
    /// Nothing is made of it.
    Skip,
}

/// What was found next.
#[derive(Debug)]
pub(super) enum Step {
    /// A record.
    Record(Node),
    /// The start tag of a record that is over the limits.
    TooLarge(Node),
    /// An entered element with elements within ended; with what was kept of it.
    Left(Node),
    /// The document is complete.
    End,
}

/// Why the reading stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// The bytes could not be read.
    Read(io::Error),
    /// The document is no good as a whole.
    Broken {
        /// Line at which that is seen.
        line_no: u64,
        /// What is wrong.
        fault: Fault,
    },
}

impl Stop {
    /// Refuses the file.
    ///
    /// # Errors
    /// [`DecodeError::Read`] where the bytes could not be read.
    pub(super) fn settle(self, messages: &mut Messages<'_, '_>) -> Result<(), DecodeError> {
        match self {
            Self::Read(error) => Err(DecodeError::Read(error)),
            Self::Broken { line_no, fault } => {
                messages.refuse(line_no, fault, "");
                Ok(())
            }
        }
    }
}

/// Reads one document.
pub(super) struct Xml<R: Read> {
    tokens: Tokens<R>,
    outer: Vec<Node>,
    /// Elements kept on `outer`.
    kept: usize,
    /// Elements of the last record, next below its own: mostly those of the next one are as many.
    usual: usize,
}

/// Most elements for which room is made beforehand.
const USUAL_MAX: usize = 64;

impl<R: Read> Xml<R> {
    /// `offset` is the place of the text's first byte in the file.
    pub(super) fn new(text: R, offset: u64) -> Self {
        Self { tokens: Tokens::new(text, offset), outer: Vec::new(), kept: 0, usual: 0 }
    }

    /// The open elements, the root first, with what was kept of them so far.
    pub(super) fn outer(&self) -> &[Node] {
        &self.outer
    }

    /// The next record, or the end. `take` decides about each element that is not part of one: it sees the open elements and
    /// the element's start tag.
    ///
    /// # Errors
    /// [`Stop`]; nothing more can be read after it.
    pub(super) fn next(&mut self, take: impl Fn(&[Node], &Node) -> Take) -> Result<Step, Stop> {
        loop {
            let is_empty = match self.tokens.next()? {
                Token::Open => false,
                Token::Empty => true,
                Token::Close => match self.leave()? {
                    Some(left) => return Ok(Step::Left(left)),
                    None => continue,
                },
                Token::Text => {
                    self.loose_text()?;
                    continue;
                }
                Token::End => return Ok(Step::End),
            };
            let Some(node) = self.tokens.node.take() else { continue };
            let taken = take(&self.outer, &node);
            if let Some(around) = self.outer.last_mut() {
                around.has_elements = true;
            }
            match taken {
                Take::Enter if is_empty => self.keep(node)?,
                Take::Enter => self.outer.push(node),
                Take::Record => {
                    return Ok(match self.tree(node, is_empty, true)? {
                        (node, true) => Step::Record(node),
                        (head, false) => Step::TooLarge(head),
                    });
                }
                Take::Keep => match self.tree(node, is_empty, true)? {
                    (node, true) => self.keep(node)?,
                    (_, false) => return Err(self.too_large()),
                },
                Take::Skip => drop(self.tree(node, is_empty, false)?),
            }
        }
    }

    /// An entered element ended: one without elements within is a header, another is told.
    fn leave(&mut self) -> Result<Option<Node>, Stop> {
        let Some(mut node) = self.outer.pop() else { return Ok(None) };
        node.end_line_no = self.tokens.line_no();
        node.trim();
        if node.has_elements {
            self.kept = self.kept.saturating_sub(node.size() - 1);
            return Ok(Some(node));
        }
        self.keep(node)?;
        Ok(None)
    }

    fn keep(&mut self, node: Node) -> Result<(), Stop> {
        let Some(around) = self.outer.last_mut() else { return Ok(()) };
        self.kept += node.size();
        around.children.push(node);
        if self.kept > RECORD_NODES_MAX { Err(self.too_large()) } else { Ok(()) }
    }

    /// Text that is in no record: it belongs to the innermost open element.
    fn loose_text(&mut self) -> Result<(), Stop> {
        let fits = self.outer.last_mut().is_none_or(|node| node.push_text(&self.tokens.text));
        if fits { Ok(()) } else { Err(self.too_large()) }
    }

    fn too_large(&mut self) -> Stop {
        let expected = format!("at most {RECORD_NODES_MAX} elements and {RECORD_BYTES_MAX} bytes of headers");
        broken(self.tokens.line_no(), "DOCUMENT_TOO_LARGE", "more", expected)
    }

    /// Reads to the end of an element; false where it is over the limits, and then only its start tag is given.
    fn tree(&mut self, head: Node, is_empty: bool, is_kept: bool) -> Result<(Node, bool), Stop> {
        let mut tree = Tree { nodes: 1, bytes: head.bytes(), is_kept, is_whole: true, open: Vec::with_capacity(8) };
        tree.open.push(head);
        if let Some(head) = tree.open.first_mut().filter(|_| is_kept) {
            head.children.reserve(self.usual);
        }
        let mut is_closing = is_empty;
        loop {
            if is_closing && let Some(root) = tree.close(self.tokens.line_no()) {
                self.usual = root.children.len().min(USUAL_MAX);
                return Ok((root, tree.is_whole));
            }
            let token = self.tokens.next()?;
            is_closing = matches!(token, Token::Empty | Token::Close);
            match token {
                Token::Open | Token::Empty => self.tokens.node.take().into_iter().for_each(|node| tree.push(node)),
                Token::Text => tree.text(&self.tokens.text),
                Token::Close | Token::End => {}
            }
        }
    }
}

/// A record while it is read.
struct Tree {
    open: Vec<Node>,
    nodes: usize,
    bytes: usize,
    is_kept: bool,
    is_whole: bool,
}

impl Tree {
    fn push(&mut self, node: Node) {
        self.nodes += 1;
        self.bytes += node.bytes();
        self.open.push(node);
        self.check();
    }

    fn text(&mut self, text: &str) {
        self.bytes += text.len();
        self.check();
        if self.is_kept
            && self.is_whole
            && let Some(node) = self.open.last_mut()
        {
            self.is_whole &= node.push_text(text);
        }
    }

    /// Over the limits, what was read is let go; only the start tag of the record remains.
    fn check(&mut self) {
        if self.is_kept && self.is_whole && (self.nodes > RECORD_NODES_MAX || self.bytes > RECORD_BYTES_MAX) {
            self.is_whole = false;
            for node in &mut self.open {
                node.children.clear();
                node.text.clear();
            }
        }
    }

    /// Ends the innermost element; gives the record where it was the last.
    fn close(&mut self, line_no: u64) -> Option<Node> {
        let mut node = self.open.pop()?;
        node.end_line_no = line_no;
        node.trim();
        let Some(parent) = self.open.last_mut() else { return Some(node) };
        if self.is_kept && self.is_whole {
            parent.children.push(node);
        }
        None
    }
}

fn broken(line_no: u64, code: &'static str, found: impl Into<String>, expected: impl Into<String>) -> Stop {
    Stop::Broken { line_no, fault: hold::whole(code, "", found, expected) }
}

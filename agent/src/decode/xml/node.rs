//! An element with what is in it.

use std::rc::Rc;

use super::TEXT_BYTES_MAX;

/// An element of a record.
#[derive(Debug, Clone, Default)]
pub(in crate::decode) struct Node {
    /// Local name.
    pub(in crate::decode) name: String,
    /// Name space; the prefix where it is not declared.
    pub(in crate::decode) ns: Rc<str>,
    /// Attributes by local name, in the document's order.
    pub(in crate::decode) attrs: Vec<(String, String)>,
    /// Text, without blanks at both ends.
    pub(in crate::decode) text: String,
    /// Elements within, in the document's order.
    pub(in crate::decode) children: Vec<Node>,
    /// Line of its start tag, from 1.
    pub(in crate::decode) line_no: u64,
    /// Byte of that line, from 1.
    pub(in crate::decode) column: u32,
    /// Byte of the file at which it starts.
    pub(in crate::decode) offset: u64,
    /// Line of its end tag.
    pub(in crate::decode) end_line_no: u64,
    /// Whether elements stand within that are not among `children`.
    pub(super) has_elements: bool,
}

impl Node {
    /// An element of this local name and name space.
    pub(super) fn new(name: &str, ns: Rc<str>) -> Self {
        Self {
            name: name.to_owned(),
            ns,
            attrs: Vec::new(),
            text: String::new(),
            children: Vec::new(),
            line_no: 0,
            column: 0,
            offset: 0,
            end_line_no: 0,
            has_elements: false,
        }
    }

    /// The first child of this name.
    pub(in crate::decode) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All children of this name.
    pub(in crate::decode) fn children<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The first element at a path of names, as `a/b/c`.
    pub(in crate::decode) fn at(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |node, name| node.child(name))
    }

    /// The text of the first element at a path; empty where there is none.
    pub(in crate::decode) fn text_at(&self, path: &str) -> &str {
        self.at(path).map_or("", |node| &node.text)
    }

    /// The attribute of this local name; empty where there is none.
    pub(in crate::decode) fn attr(&self, name: &str) -> &str {
        self.attrs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// All elements of this name within, at any depth, in the document's order.
    pub(in crate::decode) fn descend<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n Self> {
        let mut open = vec![self.children.iter()];
        std::iter::from_fn(move || {
            while let Some(siblings) = open.last_mut() {
                match siblings.next() {
                    Some(node) => {
                        open.push(node.children.iter());
                        if node.name == name {
                            return Some(node);
                        }
                    }
                    None => drop(open.pop()),
                }
            }
            None
        })
    }

    /// Lines of the file from its start tag to its end tag.
    pub(in crate::decode) fn lines(&self) -> u64 {
        self.end_line_no.saturating_sub(self.line_no) + 1
    }

    /// Elements, itself included.
    pub(super) fn size(&self) -> usize {
        1 + self.children.iter().map(Self::size).sum::<usize>()
    }

    /// Bytes of its start tag that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.name.len() + self.attrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }

    /// False where the text becomes longer than the limit.
    pub(super) fn push_text(&mut self, text: &str) -> bool {
        if !(is_blank(text) && (self.text.is_empty() || self.has_elements)) {
            match self.text.is_empty() {
                true => self.text = text.to_owned(),
                false => self.text.push_str(text),
            }
        }
        self.text.len() <= TEXT_BYTES_MAX
    }

    pub(super) fn trim(&mut self) {
        let is_ink = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_graphic);
        if is_ink(self.text.as_bytes().first()) && is_ink(self.text.as_bytes().last()) {
            return;
        }
        let trimmed = self.text.trim_matches(BLANKS);
        if trimmed.len() != self.text.len() {
            self.text = trimmed.to_owned();
        }
    }
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// White space of XML alone.
pub(super) fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

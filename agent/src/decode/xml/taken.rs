//! Remembers which elements of a record a mapping has used, so that all others can be kept: nothing is dropped.

use std::{cell::RefCell, collections::BTreeSet};

use docksync_proto::event::Event;

use super::Node;
use crate::decode::trade;

/// Elements that were used, by their place in the file.
#[derive(Debug, Default)]
pub(in crate::decode) struct Taken {
    places: RefCell<BTreeSet<u64>>,
}

impl Taken {
    /// The text at a path, now used.
    pub(in crate::decode) fn text<'n>(&self, node: &'n Node, path: &str) -> &'n str {
        self.at(node, path).map_or("", |found| &found.text)
    }

    /// The element at a path; itself used, not what is within.
    pub(in crate::decode) fn at<'n>(&self, node: &'n Node, path: &str) -> Option<&'n Node> {
        let found = node.at(path)?;
        self.places.borrow_mut().insert(found.offset);
        Some(found)
    }

    /// Marks one element.
    pub(in crate::decode) fn mark(&self, node: &Node) {
        self.places.borrow_mut().insert(node.offset);
    }

    /// Keeps what was not used as extensions: `<prefix>:<path within the record>`, one of several equal elements by its number.
    pub(in crate::decode) fn keep_rest(&self, event: &mut Event, prefix: &str, node: &Node) {
        self.walk(event, &format!("{prefix}:"), node);
    }

    fn walk(&self, event: &mut Event, path: &str, node: &Node) {
        let slash = if path.ends_with(':') { "" } else { "/" };
        if !self.places.borrow().contains(&node.offset) {
            trade::keep(event, path, &node.text);
            for (name, value) in &node.attrs {
                trade::keep(event, format!("{path}{slash}@{name}"), value);
            }
        }
        for (at, child) in node.children.iter().enumerate() {
            let same = |other: &&Node| other.name == child.name;
            let path = if node.children.iter().filter(same).nth(1).is_some() {
                let number = node.children.iter().take(at + 1).filter(same).count();
                format!("{path}{slash}{}[{number}]", child.name)
            } else {
                format!("{path}{slash}{}", child.name)
            };
            self.walk(event, &path, child);
        }
    }
}

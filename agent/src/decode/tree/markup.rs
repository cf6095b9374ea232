//! Records of an XML document: elements of one name, wherever they stand.

use std::{io::Read, ops::ControlFlow};

use serde_json::Value;

use super::{Trees, Visit, element};
use crate::decode::{
    DecodeError, PassEnd,
    charset::Utf8Reader,
    documents::Place,
    hold,
    xml::{Node, RECORD_BYTES_MAX, RECORD_NODES_MAX, Step, Stop, Take, Xml},
};

pub(super) fn pass<R: Read>(
    text: Utf8Reader<R>,
    record: &str,
    mut trees: Trees<'_, '_>,
    visit: &mut Visit<'_>,
) -> Result<PassEnd, DecodeError> {
    let mut names: Vec<&str> = record.split('/').collect();
    let name = names.pop().unwrap_or("");
    let take = |outer: &[Node], start: &Node| {
        let is_below = outer.len() >= names.len()
            && names.iter().rev().zip(outer.iter().rev()).all(|(name, node)| *name == node.name);
        if start.name == name && is_below { Take::Record } else { Take::Enter }
    };
    let mut xml = Xml::new(text, trees.offset);
    let mut around = Around::default();
    let mut root = String::new();
    loop {
        let step = match xml.next(take) {
            Ok(step) => step,
            Err(Stop::Read(error)) => return Err(DecodeError::Read(error)),
            Err(Stop::Broken { line_no, fault }) => {
                trees.refuse(line_no, fault);
                break;
            }
        };
        let flow = match step {
            Step::Record(node) => {
                if trees.needs_outer {
                    around.update(xml.outer());
                }
                let value = element::value(&node);
                let place = Place { line_no: node.line_no, offset: node.offset };
                trees.record(&around.levels, &value, place, &|| value.to_string(), visit)
            }
            Step::TooLarge(node) => {
                let most = format!("at most {RECORD_NODES_MAX} elements and {RECORD_BYTES_MAX} bytes");
                let fault = hold::whole("DOCUMENT_TOO_LARGE", &node.name, "a larger record", most);
                trees.bad(Place { line_no: node.line_no, offset: node.offset }, node.name, fault, visit)
            }
            Step::Left(node) => {
                root = node.name;
                ControlFlow::Continue(())
            }
            Step::End => {
                trees.expect_record(record, &root);
                break;
            }
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(trees.finish())
}

/// What stands around the records, in the form of paths; kept while nothing is added to it.
#[derive(Default)]
struct Around {
    levels: Vec<Value>,
    seen: Vec<(u64, usize)>,
}

impl Around {
    fn update(&mut self, outer: &[Node]) {
        let now: Vec<(u64, usize)> = outer.iter().map(|node| (node.offset, node.children.len())).collect();
        if now != self.seen {
            self.levels = outer.iter().map(element::value).collect();
            self.seen = now;
        }
    }
}

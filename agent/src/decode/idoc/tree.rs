//! The XML form: `IDOC` elements, each with its control record and its segments, nested or not.

use std::io::Read;

use super::{
    hand,
    model::{Idoc, Segment},
};
use crate::decode::{
    DecodeError,
    documents::Place,
    hold,
    message::Messages,
    xml::{Node, Step, Take, Xml},
};

/// Reads all IDocs of the file.
pub(super) fn read<R: Read>(text: R, offset: u64, messages: &mut Messages<'_, '_>) -> Result<(), DecodeError> {
    let mut xml = Xml::new(text, offset);
    // Segments are left in the order of their end tags; their places bring them back into the order of the document.
    let mut segments: Vec<Segment> = Vec::new();
    let mut idoc = Idoc::default();
    let mut count = 0;
    loop {
        match xml.next(|_, _| Take::Enter) {
            Ok(Step::Left(node)) if node.name == "IDOC" => {
                let mut done = std::mem::take(&mut idoc);
                done.place = Place { line_no: node.line_no, offset: node.offset };
                done.lines = node.lines();
                done.arrange(std::mem::take(&mut segments));
                count += 1;
                if hand(done, messages).is_break() {
                    return Ok(());
                }
            }
            Ok(Step::Left(node)) => {
                if xml.outer().iter().any(|open| open.name == "IDOC") && !idoc.is_full(segments.len()) {
                    segments.push(segment(&node));
                }
            }
            Ok(Step::Record(_) | Step::TooLarge(_)) => {}
            Ok(Step::End) => break,
            Err(stop) => return stop.settle(messages),
        }
    }
    if count == 0 && messages.end.refusals.is_empty() {
        let fault =
            hold::whole("UNSUPPORTED_DOCUMENT", "", "an XML document without IDOC", "IDOC elements below the root");
        messages.refuse(1, fault, "");
    }
    Ok(())
}

fn segment(node: &Node) -> Segment {
    let mut segment = Segment::new(&node.name, node.line_no, node.offset);
    for field in node.children.iter().filter(|child| child.attr("SEGMENT").is_empty()) {
        segment.push(&field.name, &field.text);
    }
    segment
}

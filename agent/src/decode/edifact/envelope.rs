//! Gathers the segments of each message and hands it over, or holds it for what the outline says of its envelope.

use std::ops::ControlFlow;

use docksync_proto::event::Interchange;

use super::{
    MESSAGE_BYTES_MAX, MESSAGE_SEGMENTS_MAX,
    answer::Answering,
    document::{Head, started},
    invrpt::LongReport,
    moment::Dated,
    outline::Outline,
    parse,
    segment::{Segment, joined},
};
use crate::{
    decode::{
        documents::Place,
        hold,
        message::{Message, Messages},
    },
    queue::capture::HeldLine,
};

/// What is open at this place of the file.
pub(super) struct Envelope {
    outline: Outline,
    interchange: Option<Open>,
}

/// An interchange between its UNB and its UNZ.
struct Open {
    interchange: Interchange,
    /// UNB as far as events keep it.
    extras: Vec<(String, String)>,
    decimal: u8,
    made: Option<Dated>,
    /// Why all of it is held, or all of the open group.
    verdict: Option<HeldLine>,
    group_verdict: Option<HeldLine>,
    group: String,
    message: Option<Current>,
    answering: Option<Answering>,
}

/// A message between its UNH and its UNT.
struct Current {
    head: Head,
    verdict: Option<HeldLine>,
    segments: Vec<Segment>,
    bytes: usize,
    count: u64,
    /// Set where the message is longer than what is kept of it.
    overflow: Option<Overflow>,
}

/// What becomes of a message that is not kept whole.
enum Overflow {
    Held,
    Report(Box<LongReport>),
}

const GO: ControlFlow<()> = ControlFlow::Continue(());

impl Envelope {
    pub(super) fn new(outline: Outline) -> Self {
        Self { outline, interchange: None }
    }

    /// Takes the next segment; breaks where nothing more is to be read. The outline has seen to it that they come in order.
    pub(super) fn take(&mut self, segment: Segment, decimal: u8, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        let verdict = || self.outline.verdicts.get(&segment.ordinal).cloned();
        match (segment.tag(), &mut self.interchange) {
            ("UNB", _) => {
                let open = Open::new(&segment, decimal, verdict(), messages);
                self.interchange = Some(open);
                GO
            }
            ("UNZ", open) => {
                if let Some(open) = open.take() {
                    open.finish(messages);
                }
                GO
            }
            ("UNG", Some(open)) => {
                open.group_verdict = verdict();
                segment.at(5, 1).clone_into(&mut open.group);
                GO
            }
            ("UNE", Some(open)) => {
                open.group_verdict = None;
                open.group.clear();
                GO
            }
            ("UNH", Some(open)) => {
                let verdict = verdict();
                open.message = Some(Current::new(open, &segment, verdict));
                open.keep(segment, messages)
            }
            ("UNT", Some(open)) => open.close_message(messages),
            (_, Some(open)) => open.keep(segment, messages),
            (_, None) => GO,
        }
    }
}

impl Open {
    fn new(unb: &Segment, decimal: u8, verdict: Option<HeldLine>, messages: &Messages<'_, '_>) -> Self {
        // Data element 0035: anything but nothing and 0 is some kind of test.
        let is_test = !matches!(unb.at(11, 1), "" | "0");
        let named = |element: usize| {
            let (id, qualifier) = (unb.at(element, 1), unb.at(element, 2));
            if qualifier.is_empty() { id.to_owned() } else { format!("{qualifier}:{id}") }
        };
        let extras = [
            ("edifact:UNB/0008", unb.at(2, 3)),
            ("edifact:UNB/0014", unb.at(3, 3)),
            ("edifact:UNB/0026", unb.at(7, 1)),
            ("edifact:UNB/0032", unb.at(10, 1)),
        ];
        let extras = extras.into_iter().filter(|(_, value)| !value.is_empty());
        Self {
            interchange: Interchange {
                sender: named(2),
                receiver: named(3),
                control: unb.at(5, 1).to_owned(),
                usage: if is_test { "T" } else { "P" }.to_owned(),
                ..Interchange::default()
            },
            extras: extras.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            decimal,
            made: made(unb),
            verdict,
            group_verdict: None,
            group: String::new(),
            message: None,
            answering: messages.parse.is_set("answer").then(|| Answering::new(unb)),
        }
    }

    fn keep(&mut self, segment: Segment, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        let Some(current) = &mut self.message else { return GO };
        current.count += 1;
        match &mut current.overflow {
            Some(Overflow::Held) => return GO,
            Some(Overflow::Report(report)) => return report.take(segment, messages),
            None => {}
        }
        let is_full = current.segments.len() >= MESSAGE_SEGMENTS_MAX || current.bytes >= MESSAGE_BYTES_MAX;
        if !is_full {
            current.bytes += segment.size();
            current.segments.push(segment);
            return GO;
        }
        if current.head.kind != "INVRPT" || current.verdict.is_some() {
            current.overflow = Some(Overflow::Held);
            current.segments.truncate(1);
            return GO;
        }
        let mut report = Box::new(LongReport::new(&current.head));
        for kept in current.segments.drain(..).chain([segment]) {
            report.take(kept, messages)?;
        }
        current.overflow = Some(Overflow::Report(report));
        GO
    }

    fn close_message(&mut self, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        let Some(mut current) = self.message.take() else { return GO };
        current.count += 1;
        let mut message = match (current.verdict.take(), current.overflow.take()) {
            (Some(verdict), _) => {
                let mut held = Message::default();
                held.faults.push(verdict);
                held
            }
            (None, Some(Overflow::Report(mut report))) => {
                let flow = report.finish(messages);
                if let Some(answering) = &mut self.answering {
                    answering.note(&current.head, report.faults());
                }
                return flow;
            }
            (None, Some(Overflow::Held)) => current.too_large(),
            (None, None) => parse::message(messages, &current.head, &current.segments),
        };
        message.lines = current.count;
        message.line_no = current.head.place.line_no;
        if let Some(first) = current.segments.first() {
            message.text = first.shown();
        }
        if let Some(answering) = &mut self.answering {
            answering.note(&current.head, &message);
        }
        messages.hand(message)
    }

    fn finish(self, messages: &mut Messages<'_, '_>) {
        if let Some(answering) = self.answering {
            answering.finish(self.verdict.as_ref().map(|line| line.code.as_str()), messages);
        }
    }
}

/// S004: day and time, with or without the century.
fn made(unb: &Segment) -> Option<Dated> {
    let value = format!("{}{}", unb.at(4, 1), unb.at(4, 2));
    (!value.is_empty()).then(|| Dated {
        ordinal: unb.ordinal,
        qualifier: "UNB".to_owned(),
        value,
        format: String::new(),
    })
}

impl Current {
    fn new(open: &Open, unh: &Segment, verdict: Option<HeldLine>) -> Self {
        let mut interchange = open.interchange.clone();
        interchange.set_control = unh.at(1, 1).to_owned();
        interchange.version = joined(unh.element(2).get(1..).unwrap_or_default());
        interchange.group_control.clone_from(&open.group);
        let head = Head {
            kind: unh.at(2, 1).to_ascii_uppercase(),
            identifier: unh.element(2).to_vec(),
            interchange,
            extras: open.extras.clone(),
            decimal: open.decimal,
            made: open.made.clone(),
            place: Place { line_no: unh.ordinal, offset: unh.offset },
        };
        let verdict = open.verdict.clone().or_else(|| open.group_verdict.clone()).or(verdict);
        Self { head, verdict, segments: Vec::new(), bytes: 0, count: 0, overflow: None }
    }

    fn too_large(&self) -> Message {
        let text = self.segments.first().map(Segment::shown).unwrap_or_default();
        let mut message = started(self.head.place.line_no, &text);
        let expected = format!("at most {MESSAGE_SEGMENTS_MAX} segments and {MESSAGE_BYTES_MAX} bytes");
        let fault = hold::whole("DOCUMENT_TOO_LARGE", "", format!("{} segments", self.count), expected);
        message.fault(self.head.place.line_no, fault, &text);
        message
    }
}

//! CONTRL as our answer to an interchange: a pure function of what was read of it.
//!
//! It is addressed with sender and receiver exchanged and bears the subject's own date, time and control reference, so that
//! reading a file twice gives the same bytes. Interchanges of CONTRL alone are not answered (ISO 9735-4, 5.1: no CONTRL about
//! CONTRL). Each message is named; one with faults is rejected with the segments that are to blame.

use std::collections::BTreeSet;

use docksync_proto::validate;

use super::{codes, document::Head, segment::Segment};
use crate::{
    decode::{
        answer::Answer,
        message::{Message, Messages},
    },
    queue::capture::HeldLine,
};

/// Most messages that are named in one answer. Accepted ones beyond it are acknowledged by the interchange's own action code;
/// a rejected one beyond it makes the answer impossible, and none is given.
pub(super) const NAMED_MAX: usize = 10_000;
/// Most errors that are told of one message.
const ERRORS_MAX: usize = 20;

/// What the answer to one interchange will say.
pub(super) struct Answering {
    /// S001 of the subject: identifier and version.
    syntax: (String, String),
    sender: Vec<String>,
    receiver: Vec<String>,
    /// S004.
    made: (String, String),
    control: String,
    is_test: bool,
    verdicts: Vec<Verdict>,
    is_only_control: bool,
    is_over: bool,
}

/// What is said of one message.
struct Verdict {
    reference: String,
    identifier: Vec<String>,
    /// Data element 0085 with the segment's place in the message and the element's in the segment, from 1; 0 where unknown.
    errors: Vec<(&'static str, u64, u32)>,
}

impl Answering {
    /// Starts from the subject's UNB.
    pub(super) fn new(unb: &Segment) -> Self {
        Self {
            syntax: (unb.at(1, 1).to_owned(), unb.at(1, 2).to_owned()),
            sender: unb.element(2).to_vec(),
            receiver: unb.element(3).to_vec(),
            made: (unb.at(4, 1).to_owned(), unb.at(4, 2).to_owned()),
            control: unb.at(5, 1).to_owned(),
            is_test: !matches!(unb.at(11, 1), "" | "0"),
            verdicts: Vec::new(),
            is_only_control: true,
            is_over: false,
        }
    }

    /// Notes what became of a message.
    pub(super) fn note(&mut self, head: &Head, message: &Message) {
        self.is_only_control &= head.kind == "CONTRL";
        let mut errors: Vec<_> = message.faults.iter().map(|line| error(head, line)).collect();
        if message.is_good() {
            let found: BTreeSet<_> = message.events.iter().flat_map(validate::violations).map(|v| v.code).collect();
            errors.extend(found.into_iter().map(|code| (codes::syntax_error(code), 0, 0)));
        }
        if self.verdicts.len() >= NAMED_MAX {
            self.is_over |= !errors.is_empty();
            return;
        }
        errors.truncate(ERRORS_MAX);
        let (reference, identifier) = (head.reference().to_owned(), head.identifier.clone());
        self.verdicts.push(Verdict { reference, identifier, errors });
    }

    /// Gives the answer; `refused` is why the interchange as a whole is not taken.
    pub(super) fn finish(self, refused: Option<&str>, messages: &mut Messages<'_, '_>) {
        if self.is_only_control && !self.verdicts.is_empty() {
            return;
        }
        if self.is_over {
            let control = &self.control;
            return messages
                .warn(format!("no CONTRL for interchange {control}: over {NAMED_MAX} messages, some rejected"));
        }
        let text = self.text(refused);
        messages.end.answers.push(Answer { kind: "contrl", text });
    }

    /// The interchange that answers.
    fn text(&self, refused: Option<&str>) -> String {
        let is_v4 = self.syntax.1 == "4";
        let release = |value: &str| released(value, is_v4);
        let composite = |parts: &[String]| {
            let joined = parts.iter().map(|part| release(part)).collect::<Vec<_>>().join(":");
            joined.trim_end_matches(':').to_owned()
        };
        let mut body = vec![format!("UNH+1+CONTRL:{}:UN", if is_v4 { "4:1" } else { "D:3" })];
        let subject = format!("{}+{}+{}", release(&self.control), composite(&self.sender), composite(&self.receiver));
        body.push(match refused {
            Some(code) => format!("UCI+{subject}+4+{}+UNZ", codes::syntax_error(code)),
            None if self.verdicts.is_empty() => format!("UCI+{subject}+8"),
            None => format!("UCI+{subject}+7"),
        });
        // A rejected interchange is rejected with all that is in it.
        for verdict in self.verdicts.iter().filter(|_| refused.is_none()) {
            let named = format!("UCM+{}+{}", release(&verdict.reference), composite(&verdict.identifier));
            verdict.tell(&named, &mut body);
        }
        body.push(format!("UNT+{}+1", body.len() + 1));
        let version = if self.syntax.1.is_empty() { "3" } else { &self.syntax.1 };
        let head = format!(
            "UNB+{}:{}+{}+{}+{}:{}+{}",
            release(&self.syntax.0),
            release(version),
            composite(&self.receiver),
            composite(&self.sender),
            release(&self.made.0),
            release(&self.made.1),
            release(&self.control),
        );
        let head = if self.is_test { format!("{head}++++++1") } else { head };
        let tail = format!("UNZ+1+{}", release(&self.control));
        let segments = std::iter::once(head).chain(body).chain([tail]);
        segments.map(|segment| format!("{segment}'\r\n")).collect()
    }
}

impl Verdict {
    fn tell(&self, named: &str, body: &mut Vec<String>) {
        let Some((first, ..)) = self.errors.first() else { return body.push(format!("{named}+7")) };
        // An error without a place is one of the message, the others stand below it.
        let whole = self.errors.iter().find(|(_, segment, _)| *segment == 0).map(|(code, ..)| *code);
        body.push(match whole {
            Some(code) => format!("{named}+4+{code}"),
            None if self.errors.len() == 1 && first.is_empty() => format!("{named}+4"),
            None => format!("{named}+4"),
        });
        for (code, segment, element) in self.errors.iter().filter(|(_, segment, _)| *segment > 0) {
            if *element == 0 {
                body.push(format!("UCS+{segment}+{code}"));
            } else {
                // The tag is the first data element of a segment (ISO 9735-4, data element 0098).
                body.push(format!("UCS+{segment}"));
                body.push(format!("UCD+{code}+{}", element + 1));
            }
        }
    }
}

/// An error with its place in the message.
fn error(head: &Head, line: &HeldLine) -> (&'static str, u64, u32) {
    let place = line.line_no.checked_sub(head.place.line_no).map_or(0, |steps| steps + 1);
    // What is said of UNT is said of the message.
    let is_trailer = line.field.starts_with("UNT/") || line.code == "UNSUPPORTED_DOCUMENT";
    (codes::syntax_error(&line.code), if is_trailer { 0 } else { place }, line.column)
}

/// A value with its service characters released.
fn released(value: &str, is_v4: bool) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, '+' | ':' | '\'' | '?') || (is_v4 && character == '*') {
            text.push('?');
        }
        text.push(character);
    }
    text
}

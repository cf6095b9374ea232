//! CONTRL and APERAK: what a partner says about documents of ours.
//!
//! A CONTRL gives one event for the interchange that it answers (UCI), one for each group (UCF) and one for each message (UCM).
//! What is rejected is an exception beside that. The subject is named by its control references: `131`, `131/ME000001`.

use docksync_proto::event::{Event, EventTime, EventType, RefKind, Reference};

use super::{
    document::{Document, Head},
    segment::{Segment, joined},
};
use crate::decode::{
    hold,
    message::{Message, Messages},
    trade,
};

/// What is said of an interchange, a group or a message.
struct Verdict<'s> {
    segment: &'s Segment,
    subject: String,
    action: &'s str,
    error: &'s str,
    /// UCS and UCD below it.
    details: Vec<String>,
}

pub(super) fn control(
    messages: &mut Messages<'_, '_>,
    head: &Head,
    segments: &[Segment],
    mut message: Message,
) -> Message {
    let text = message.text.clone();
    let mut verdicts: Vec<Verdict<'_>> = Vec::new();
    let (mut interchange, mut group) = (String::new(), String::new());
    for segment in segments {
        if !segment.is_text {
            let fault =
                hold::whole("ENCODING_ERROR", segment.tag(), "bytes that are no text", "the declared character set");
            message.fault(segment.ordinal, fault, &text);
        }
        let verdict = |subject: String, action, error| Verdict { segment, subject, action, error, details: Vec::new() };
        match segment.tag() {
            "UCI" => {
                segment.at(1, 1).clone_into(&mut interchange);
                verdicts.push(verdict(interchange.clone(), segment.at(4, 1), segment.at(5, 1)));
            }
            "UCF" => {
                group = format!("{interchange}/{}", segment.at(1, 1));
                verdicts.push(verdict(group.clone(), segment.at(4, 1), segment.at(5, 1)));
            }
            "UCM" => {
                let above = if group.is_empty() { &interchange } else { &group };
                let subject = format!("{above}/{}", segment.at(1, 1));
                verdicts.push(verdict(subject, segment.at(3, 1), segment.at(4, 1)));
            }
            "UCS" | "UCD" => {
                if let Some(last) = verdicts.last_mut() {
                    last.details.push(segment.shown());
                }
            }
            _ => {}
        }
    }
    if interchange.is_empty() {
        let fault = hold::whole("MISSING_MANDATORY", "UCI/0020", "nothing", "the interchange that is answered");
        message.fault(head.place.line_no, fault, &text);
        return message;
    }
    for verdict in verdicts {
        let events = verdict.events(messages, head);
        message.events.extend(events);
    }
    message
}

impl Verdict<'_> {
    fn events(&self, messages: &mut Messages<'_, '_>, head: &Head) -> Vec<Event> {
        let mut event = blank(messages, head, &self.subject);
        event.source.line_no = self.segment.ordinal;
        event.source.byte_offset = self.segment.offset;
        // Data element 0083: 4 rejected, 7 acknowledged, 8 received.
        let status = match self.action {
            "4" => "rejected",
            "7" => "accepted",
            "8" => "received",
            _ => "unknown",
        };
        trade::keep(&mut event, "status", status);
        let tag = self.segment.tag();
        trade::keep(&mut event, format!("edifact:{tag}/0083"), self.action);
        trade::keep(&mut event, format!("edifact:{tag}/0085"), self.error);
        trade::keep(&mut event, format!("edifact:{tag}"), &self.segment.shown());
        self.details.iter().for_each(|detail| trade::keep(&mut event, format!("edifact:{tag}/errors"), detail));
        let exception = (status == "rejected").then(|| {
            let code =
                if self.error.is_empty() { "CONTRL_REJECTED".to_owned() } else { format!("CONTRL_{}", self.error) };
            rejection(&event, &code)
        });
        std::iter::once(event).chain(exception).collect()
    }
}

/// An acknowledgement. Where CONTRL has no time of its own, it is said when the interchange was made; events keep the capture's.
fn blank(messages: &mut Messages<'_, '_>, head: &Head, subject: &str) -> Event {
    let mut event = messages.event(EventType::DocumentAcknowledged, &head.format(), head.place);
    event.interchange = head.interchange.clone();
    head.extras.iter().for_each(|(key, value)| trade::keep(&mut event, key, value));
    let is_set = head.made.as_ref().is_some_and(|made| made.set(messages, &mut event).is_ok());
    if !is_set {
        event.time = EventTime::utc(event.record_time);
    }
    trade::refer(&mut event.references, RefKind::Subject, subject);
    subject.clone_into(&mut event.correlation_id);
    event
}

fn rejection(acknowledged: &Event, code: &str) -> Event {
    let mut event = acknowledged.clone();
    event.event_type = EventType::ExceptionRaised;
    event.references.push(Reference { kind: RefKind::ExceptionCode, value: code.to_owned(), date: None });
    trade::keep(&mut event, "severity", "error");
    event
}

/// Qualifiers of the number that APERAK is about, the most exact first: the document or message that is answered, then the
/// document's own numbers.
const SUBJECTS: &[&str] = &["ACW", "AGO", "DM", "ON", "AAK", "DQ", "ALO", "IV", "TN"];

pub(super) fn assemble(messages: &mut Messages<'_, '_>, _head: &Head, mut document: Document, message: &mut Message) {
    document.time(messages, message, &["137", "178"]);
    let first = document.references.first().map(|(_, value)| value.clone()).unwrap_or_default();
    let subject = match document.reference(SUBJECTS) {
        "" => first,
        subject => subject.to_owned(),
    };
    if subject.is_empty() {
        let fault = hold::whole("MISSING_MANDATORY", "RFF/C506.1154", "nothing", "the document that is answered");
        let text = message.text.clone();
        return message.fault(document.bgm_ordinal, fault, &text);
    }
    let is_rejected = !document.errors.is_empty()
        || matches!(document.response.as_str(), "RE" | "NA")
        || matches!(document.function.as_str(), "27" | "1" | "3");
    let mut event = document.event(EventType::DocumentAcknowledged);
    event.references.retain(|r| r.kind != RefKind::Subject);
    trade::refer(&mut event.references, RefKind::Subject, &subject);
    trade::keep(&mut event, "edifact:BGM/1004", &document.number);
    trade::keep(&mut event, "status", if is_rejected { "rejected" } else { "accepted" });
    let order = document.reference(&["ON"]);
    event.correlation_id = if order.is_empty() { subject } else { order.to_owned() };
    for (_, code, text) in &document.errors {
        trade::keep(&mut event, "edifact:ERC", format!("{code} {text}").trim());
    }
    let codes: Vec<&str> = document.errors.iter().map(|(_, code, _)| code.as_str()).collect();
    let exceptions: Vec<Event> = match codes.as_slice() {
        [] if is_rejected => vec![rejection(&event, "APERAK_REJECTED")],
        codes => {
            codes.iter().map(|code| rejection(&event, &format!("APERAK_{}", joined(&[(*code).to_owned()])))).collect()
        }
    };
    message.events.push(event);
    message.events.extend(exceptions);
}

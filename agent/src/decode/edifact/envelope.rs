//! Pairs UNB with UNZ, UNG with UNE, UNH with UNT, and compares what they count and call themselves (ISO 9735).

use std::ops::ControlFlow;

use docksync_proto::event::Interchange;

use super::{
    MESSAGE_BYTES_MAX, MESSAGE_SEGMENTS_MAX, answer::Answering, codes, document::Head, invrpt::LongReport,
    moment::Dated, parse, segment::Segment,
};
use crate::decode::{
    documents::Place,
    hold,
    message::{Message, Messages},
};

/// What is open at this place of the file.
#[derive(Default)]
pub(super) struct Envelope {
    interchange: Option<Open>,
}

/// An interchange between its UNB and its UNZ.
struct Open {
    interchange: Interchange,
    /// UNB as far as events keep it.
    extras: Vec<(String, String)>,
    decimal: u8,
    made: Option<Dated>,
    messages: u64,
    groups: u64,
    group: Option<Group>,
    message: Option<Current>,
    answering: Option<Answering>,
}

struct Group {
    control: String,
    messages: u64,
}

/// A message between its UNH and its UNT.
struct Current {
    head: Head,
    segments: Vec<Segment>,
    bytes: usize,
    count: u64,
    /// Set where the message is longer than what is kept of it.
    overflow: Option<Overflow>,
}

/// What becomes of a message that is too long to be kept.
enum Overflow {
    Held,
    Report(Box<LongReport>),
}

const GO: ControlFlow<()> = ControlFlow::Continue(());
const STOP: ControlFlow<()> = ControlFlow::Break(());

impl Envelope {
    pub(super) fn is_open(&self) -> bool {
        self.interchange.is_some()
    }

    /// What the end of the file would cut.
    pub(super) fn open_part(&self) -> String {
        let Some(open) = &self.interchange else { return String::new() };
        match &open.message {
            Some(current) => format!("the file ends within message {}", current.head.reference()),
            None => format!("the file ends within interchange {}", open.interchange.control),
        }
    }

    /// Takes the next segment; breaks where nothing more is to be read.
    pub(super) fn take(&mut self, segment: Segment, decimal: u8, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        let is_service = matches!(segment.tag(), "UNB" | "UNZ" | "UNG" | "UNE" | "UNH" | "UNT");
        if is_service && !segment.is_text {
            return refuse(
                messages,
                &segment,
                "ENCODING_ERROR",
                "bytes that are no text",
                "the declared character set",
            );
        }
        match (segment.tag(), &mut self.interchange) {
            ("UNB", None) => self.begin(&segment, decimal, messages),
            ("UNB", Some(_)) => {
                let found = format!("a second UNB, and {}", self.open_part());
                refuse(messages, &segment, "TRUNCATED_FILE", &found, "a UNZ before the next UNB")
            }
            (_, None) => refuse(messages, &segment, "ENVELOPE_MISMATCH", &segment.shown(), "UNB"),
            ("UNZ", Some(open)) => {
                let flow = open.finish(&segment, messages);
                self.interchange = None;
                flow
            }
            (_, Some(open)) => open.take(segment, messages),
        }
    }

    fn begin(&mut self, segment: &Segment, decimal: u8, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        let needed = [
            (1, "UNB/S001.0001", segment.at(1, 1)),
            (2, "UNB/S002.0004", segment.at(2, 1)),
            (3, "UNB/S003.0010", segment.at(3, 1)),
            (5, "UNB/0020", segment.at(5, 1)),
        ];
        if let Some((column, field, _)) = needed.into_iter().find(|(_, _, value)| value.is_empty()) {
            let mut fault = hold::whole("ENVELOPE_MISMATCH", field, "nothing", "a value: it is mandatory in UNB");
            fault.column = column;
            messages.refuse(segment.ordinal, fault, &segment.shown());
            return STOP;
        }
        let is_known = segment.at(1, 1).len() == 4 && segment.at(1, 1).to_ascii_uppercase().starts_with("UNO");
        if !is_known {
            let found = segment.at(1, 1);
            return refuse(messages, segment, "ENVELOPE_MISMATCH", found, "a syntax identifier, as UNOA or UNOC");
        }
        // Data element 0035: anything but nothing and 0 is some kind of test.
        let is_test = !matches!(segment.at(11, 1), "" | "0");
        let named = |element: usize| {
            let (id, qualifier) = (segment.at(element, 1), segment.at(element, 2));
            if qualifier.is_empty() { id.to_owned() } else { format!("{id}:{qualifier}") }
        };
        let extras = [
            ("edifact:UNB/0008", segment.at(2, 3)),
            ("edifact:UNB/0014", segment.at(3, 3)),
            ("edifact:UNB/0026", segment.at(7, 1)),
            ("edifact:UNB/0032", segment.at(10, 1)),
        ];
        let extras = extras.into_iter().filter(|(_, value)| !value.is_empty());
        self.interchange = Some(Open {
            interchange: Interchange {
                sender: named(2),
                receiver: named(3),
                control: segment.at(5, 1).to_owned(),
                usage: if is_test { "T" } else { "P" }.to_owned(),
                ..Interchange::default()
            },
            extras: extras.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            decimal,
            made: made(segment),
            messages: 0,
            groups: 0,
            group: None,
            message: None,
            answering: messages.parse.is_set("answer").then(|| Answering::new(segment)),
        });
        GO
    }
}

impl Open {
    fn take(&mut self, segment: Segment, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        let has_message = self.message.is_some();
        match segment.tag() {
            "UNH" | "UNG" | "UNE" if has_message => {
                let found = format!("{} within a message", segment.tag());
                refuse(messages, &segment, "TRUNCATED_FILE", &found, "the UNT of the message before it")
            }
            "UNH" => {
                self.message = Some(Current::new(self, &segment));
                self.keep(segment, messages)
            }
            "UNT" if has_message => self.close_message(&segment, messages),
            "UNG" => self.begin_group(&segment, messages),
            "UNE" => self.end_group(&segment, messages),
            _ if has_message => self.keep(segment, messages),
            _ => {
                let found = segment.shown();
                refuse(messages, &segment, "ENVELOPE_MISMATCH", &found, "UNH, UNG, UNE or UNZ between messages")
            }
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
        if current.head.kind != "INVRPT" {
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

    fn close_message(&mut self, segment: &Segment, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        let Some(mut current) = self.message.take() else { return GO };
        current.count += 1;
        self.messages += 1;
        if let Some(group) = &mut self.group {
            group.messages += 1;
        }
        let mut trailer = Message::default();
        current.check(segment, &mut trailer, messages);
        let mut message = match current.overflow.take() {
            Some(Overflow::Report(mut report)) => {
                // Pieces of it are handed over already: only the whole file can still be refused.
                for line in trailer.faults {
                    messages.end.refusals.push(line);
                }
                return report.finish(messages);
            }
            Some(Overflow::Held) => current.too_large(),
            None if trailer.is_good() => parse::message(messages, &current.head, &current.segments),
            None => Message::default(),
        };
        message.faults.append(&mut trailer.faults);
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

    fn begin_group(&mut self, segment: &Segment, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        if let Some(group) = &self.group {
            let found = format!("a second UNG, and group {} without its UNE", group.control);
            return refuse(messages, segment, "TRUNCATED_FILE", &found, "UNE before the next UNG");
        }
        self.groups += 1;
        self.group = Some(Group { control: segment.at(5, 1).to_owned(), messages: 0 });
        GO
    }

    fn end_group(&mut self, segment: &Segment, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        let Some(group) = self.group.take() else {
            return refuse(messages, segment, "ENVELOPE_MISMATCH", &segment.shown(), "a UNG before UNE");
        };
        counted(messages, segment, "UNE/0060", &[group.messages], "messages")?;
        named_alike(messages, segment, "UNE/0048", &group.control)
    }

    fn finish(&mut self, segment: &Segment, messages: &mut Messages<'_, '_>) -> ControlFlow<()> {
        if let Some(current) = &self.message {
            let found = format!("UNZ within message {}", current.head.reference());
            return refuse(messages, segment, "TRUNCATED_FILE", &found, "the UNT of the message before it");
        }
        if let Some(group) = &self.group {
            let found = format!("UNZ within group {}", group.control);
            return refuse(messages, segment, "TRUNCATED_FILE", &found, "UNE before UNZ");
        }
        let before = messages.end.refusals.len();
        // With groups UNZ counts them; senders that count messages all the same are understood.
        let counts = if self.groups > 0 { vec![self.groups, self.messages] } else { vec![self.messages] };
        let mut flow =
            counted(messages, segment, "UNZ/0036", &counts, if self.groups > 0 { "groups" } else { "messages" });
        if flow.is_continue() {
            flow = named_alike(messages, segment, "UNZ/0020", &self.interchange.control);
        }
        if let Some(answering) = self.answering.take() {
            let refused = messages.end.refusals.get(before).map(|line| line.code.clone());
            answering.finish(refused.as_deref(), messages);
        }
        flow
    }
}

impl Current {
    fn new(open: &Open, segment: &Segment) -> Self {
        let mut interchange = open.interchange.clone();
        interchange.set_control = segment.at(1, 1).to_owned();
        interchange.version = super::segment::joined(segment.element(2).get(1..).unwrap_or_default());
        if let Some(group) = &open.group {
            interchange.group_control.clone_from(&group.control);
        }
        let head = Head {
            kind: segment.at(2, 1).to_ascii_uppercase(),
            identifier: segment.element(2).to_vec(),
            interchange,
            extras: open.extras.clone(),
            decimal: open.decimal,
            made: open.made.clone(),
            place: Place { line_no: segment.ordinal, offset: segment.offset },
        };
        Self { head, segments: Vec::new(), bytes: 0, count: 0, overflow: None }
    }

    /// UNT against UNH: the count holds the message alone, so does another reference number.
    fn check(&self, segment: &Segment, trailer: &mut Message, messages: &mut Messages<'_, '_>) {
        let (text, line_no) = (segment.shown(), segment.ordinal);
        let stated = segment.at(1, 1);
        if stated.parse() != Ok(self.count) {
            let found = if stated.is_empty() { "nothing".to_owned() } else { format!("UNT says {stated} segments") };
            let mut fault = hold::whole("COUNT_MISMATCH", "UNT/0074", found, format!("{}, as there are", self.count));
            fault.column = 1;
            trailer.fault(line_no, fault, &text);
        }
        let (stated, reference) = (segment.at(2, 1), self.head.reference());
        match alike(stated, reference) {
            Likeness::Equal => {}
            Likeness::Numeric => messages.warn(format!("ENVELOPE_MISMATCH: UNT {stated} ends the message {reference}")),
            Likeness::Different => {
                let expected = format!("{reference}, as UNH says");
                let mut fault = hold::whole("ENVELOPE_MISMATCH", "UNT/0062", stated, expected);
                fault.column = 2;
                trailer.fault(line_no, fault, &text);
            }
        }
    }

    fn too_large(&self) -> Message {
        let mut message = Message::default();
        let expected = format!("at most {MESSAGE_SEGMENTS_MAX} segments and {MESSAGE_BYTES_MAX} bytes");
        let fault = hold::whole("DOCUMENT_TOO_LARGE", "", format!("{} segments", self.count), expected);
        let text = self.segments.first().map(Segment::shown).unwrap_or_default();
        message.fault(self.head.place.line_no, fault, &text);
        message
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

enum Likeness {
    Equal,
    Numeric,
    Different,
}

/// Numbers that differ only in leading zeros name the same thing.
fn alike(stated: &str, expected: &str) -> Likeness {
    let number = |text: &str| codes::is_digits(text).then(|| text.trim_start_matches('0').to_owned());
    if stated == expected {
        Likeness::Equal
    } else if number(stated).is_some() && number(stated) == number(expected) {
        Likeness::Numeric
    } else {
        Likeness::Different
    }
}

/// A control reference of a trailer; another than that of the header refuses the file or is a doubt, as the feed says.
fn named_alike(
    messages: &mut Messages<'_, '_>,
    segment: &Segment,
    field: &'static str,
    expected: &str,
) -> ControlFlow<()> {
    let stated = segment.at(2, 1);
    let found = match alike(stated, expected) {
        Likeness::Equal => return GO,
        Likeness::Numeric => {
            messages.warn(format!("ENVELOPE_MISMATCH: {field} is {stated}, the header says {expected}"));
            return GO;
        }
        Likeness::Different => stated,
    };
    mismatch(messages, segment, "ENVELOPE_MISMATCH", field, found, format!("{expected}, as the header says"))
}

/// A count of a trailer.
fn counted(
    messages: &mut Messages<'_, '_>,
    segment: &Segment,
    field: &'static str,
    counts: &[u64],
    noun: &str,
) -> ControlFlow<()> {
    let stated = segment.at(1, 1);
    if stated.parse().is_ok_and(|stated: u64| counts.contains(&stated)) {
        return GO;
    }
    let count = counts.first().copied().unwrap_or_default();
    mismatch(messages, segment, "COUNT_MISMATCH", field, stated, format!("{count} {noun}, as there are"))
}

fn mismatch(
    messages: &mut Messages<'_, '_>,
    segment: &Segment,
    code: &'static str,
    field: &'static str,
    found: &str,
    expected: String,
) -> ControlFlow<()> {
    if messages.parse.is_set("lenient_counts") {
        messages.warn(format!("{code}: {field} is {found}, expected {expected}"));
        return GO;
    }
    let found = if found.is_empty() { "nothing" } else { found };
    let mut fault = hold::whole(code, field, found, expected);
    fault.column = if code == "COUNT_MISMATCH" { 1 } else { 2 };
    messages.refuse(segment.ordinal, fault, &segment.shown());
    STOP
}

fn refuse(
    messages: &mut Messages<'_, '_>,
    segment: &Segment,
    code: &'static str,
    found: &str,
    expected: &str,
) -> ControlFlow<()> {
    let found: String = found.chars().take(200).collect();
    messages.refuse(segment.ordinal, hold::whole(code, "", found, expected), &segment.shown());
    STOP
}

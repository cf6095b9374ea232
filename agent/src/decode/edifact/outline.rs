//! The envelope of a file, read before its messages (ISO 9735): what is torn, what contradicts itself, what may be taken.
//!
//! UNZ judges an interchange, UNE a group, UNT a message; all of them stand behind what they judge. Reading the outline first
//! keeps messages from being taken before the verdict, without holding them in memory.

use std::{
    collections::{BTreeMap, HashSet},
    io::Read,
};

use super::{
    INTERCHANGES_MAX, VERDICTS_MAX, codes,
    segment::Segment,
    syntax::{Reader, Stop},
};
use crate::{
    decode::{DecodeError, assign::Fault, hold, trade::fault},
    queue::capture::HeldLine,
};

/// What the envelope says about the file.
#[derive(Debug, Default)]
pub(in crate::decode) struct Outline {
    /// Why the whole file is refused.
    pub(super) refusals: Vec<HeldLine>,
    pub(super) warnings: Vec<String>,
    /// Why an interchange, a group or a message is held, by the number of the segment that opens it.
    pub(super) verdicts: BTreeMap<u64, HeldLine>,
}

/// What is open, and how often its content was seen.
struct Level {
    ordinal: u64,
    control: String,
    count: u64,
}

struct Scan {
    outline: Outline,
    is_lenient: bool,
    interchange: Option<Level>,
    /// Groups of the interchange.
    groups: u64,
    group: Option<Level>,
    message: Option<Level>,
    controls: HashSet<String>,
}

/// Reads the envelopes of the file; `is_lenient` lets contradictions of UNZ and UNE pass.
pub(super) fn read<R: Read>(mut reader: Reader<R>, is_lenient: bool) -> Result<Outline, DecodeError> {
    let mut scan = Scan {
        outline: Outline::default(),
        is_lenient,
        interchange: None,
        groups: 0,
        group: None,
        message: None,
        controls: HashSet::new(),
    };
    loop {
        let stop = match reader.next() {
            Ok(Some(segment)) => {
                scan.step(&segment);
                if scan.outline.refusals.is_empty() {
                    continue;
                }
                break;
            }
            Ok(None) if scan.interchange.is_some() => reader.torn(&format!("the file ends within {}", scan.place())),
            Ok(None) => break,
            Err(stop) => stop,
        };
        match stop {
            Stop::Read(error) => return Err(DecodeError::Read(error)),
            Stop::Broken(broken) => {
                scan.outline.refusals.extend(hold::held(broken.line_no, &[broken.fault], &broken.text));
            }
        }
        break;
    }
    Ok(scan.outline)
}

impl Scan {
    fn place(&self) -> String {
        let named = |noun: &str, level: &Option<Level>| level.as_ref().map(|level| format!("{noun} {}", level.control));
        named("message", &self.message)
            .or_else(|| named("group", &self.group))
            .or_else(|| named("interchange", &self.interchange))
            .unwrap_or_default()
    }

    fn step(&mut self, segment: &Segment) {
        let is_service = matches!(segment.tag(), "UNB" | "UNZ" | "UNG" | "UNE" | "UNH" | "UNT");
        if is_service && !segment.is_text {
            let wrong =
                fault("ENCODING_ERROR", segment.tag(), 0, "bytes that are no text", "the declared character set");
            return self.refuse(segment, wrong);
        }
        match (segment.tag(), self.group.is_some(), self.message.is_some()) {
            ("UNB", ..) if self.interchange.is_none() => self.begin(segment),
            _ if self.interchange.is_none() => self.stray(segment, "UNB"),
            ("UNB", ..) | ("UNH" | "UNG" | "UNE" | "UNZ", _, true) | ("UNG" | "UNZ", true, _) => {
                let found = format!("{} within {}", segment.tag(), self.place());
                self.refuse(segment, fault("TRUNCATED_FILE", "", 0, &found, "the trailer of what is open, before it"));
            }
            ("UNG", ..) => {
                self.groups += 1;
                self.group = Some(level(segment, 5));
            }
            ("UNH", ..) => {
                for open in [&mut self.group, &mut self.interchange].into_iter().flatten() {
                    open.count += 1;
                }
                self.message = Some(level(segment, 1));
                self.count_segment();
            }
            ("UNT", _, true) => self.end_message(segment),
            ("UNE", true, _) => self.end_group(segment),
            ("UNZ", ..) => self.end(segment),
            (_, _, true) => self.count_segment(),
            _ => self.stray(segment, "UNH, UNG, UNE or UNZ between messages"),
        }
    }

    fn count_segment(&mut self) {
        if let Some(message) = &mut self.message {
            message.count += 1;
        }
    }

    fn begin(&mut self, unb: &Segment) {
        let needed = [
            (1, "UNB/S001.0001", unb.at(1, 1)),
            (2, "UNB/S002.0004", unb.at(2, 1)),
            (3, "UNB/S003.0010", unb.at(3, 1)),
            (5, "UNB/0020", unb.at(5, 1)),
        ];
        if let Some((column, field, value)) = needed.into_iter().find(|(_, _, value)| value.is_empty()) {
            let wrong = fault("ENVELOPE_MISMATCH", field, column, value, "a value: it is mandatory in UNB");
            return self.refuse(unb, wrong);
        }
        let syntax = unb.at(1, 1);
        if syntax.len() != 4 || !syntax.to_ascii_uppercase().starts_with("UNO") {
            let wrong = fault("ENVELOPE_MISMATCH", "UNB/S001.0001", 1, syntax, "a syntax identifier, as UNOA or UNOC");
            return self.refuse(unb, wrong);
        }
        self.interchange = Some(level(unb, 5));
        self.groups = 0;
        let key =
            [unb.rest(2).split('+').take(2).collect::<Vec<_>>().join("+"), bare(unb.at(5, 1)).to_owned()].join("+");
        if self.controls.len() >= INTERCHANGES_MAX {
            self.warn(format!("more than {INTERCHANGES_MAX} interchanges: their control references are not compared"));
        } else if !self.controls.insert(key) {
            let expected = "a reference that no earlier interchange of the file has";
            let wrong = fault("DUPLICATE_INTERCHANGE_CONTROL", "UNB/0020", 5, unb.at(5, 1), expected);
            self.hold(unb.ordinal, unb, wrong);
        }
    }

    fn end_message(&mut self, unt: &Segment) {
        self.count_segment();
        let Some(message) = self.message.take() else { return };
        let stated = unt.at(1, 1);
        if stated.parse() != Ok(message.count) {
            let expected = format!("{}, as there are segments from UNH to UNT", message.count);
            self.hold(message.ordinal, unt, fault("COUNT_MISMATCH", "UNT/0074", 1, stated, expected));
        }
        if let Some(wrong) = self.other_name(unt, "UNT/0062", &message.control) {
            self.hold(message.ordinal, unt, wrong);
        }
    }

    fn end_group(&mut self, une: &Segment) {
        let Some(group) = self.group.take() else { return };
        let count = self.other_count(une, "UNE/0060", &[group.count], "messages");
        let name = self.other_name(une, "UNE/0048", &group.control);
        self.judge(&group, une, [count, name]);
    }

    fn end(&mut self, unz: &Segment) {
        let Some(interchange) = self.interchange.take() else { return };
        // Without its terminator a UNZ is whole where it ends with the reference of its UNB.
        if !unz.has_end && unz.at(2, 1) != interchange.control {
            let wrong = fault("TRUNCATED_FILE", "UNZ", 0, "the file ends within UNZ", "a complete interchange");
            return self.refuse(unz, wrong);
        }
        // With groups UNZ counts them; senders that count messages all the same are understood.
        let count = if self.groups > 0 {
            self.other_count(unz, "UNZ/0036", &[self.groups, interchange.count], "groups")
        } else {
            self.other_count(unz, "UNZ/0036", &[interchange.count], "messages")
        };
        let name = self.other_name(unz, "UNZ/0020", &interchange.control);
        self.judge(&interchange, unz, [count, name]);
    }

    fn judge(&mut self, level: &Level, trailer: &Segment, faults: [Option<Fault>; 2]) {
        for wrong in faults.into_iter().flatten() {
            if self.is_lenient {
                self.warn(format!("{}: {} is {}, expected {}", wrong.code, wrong.field, wrong.found, wrong.expected));
            } else {
                self.hold(level.ordinal, trailer, wrong);
            }
        }
    }

    fn other_count(&self, trailer: &Segment, field: &str, counts: &[u64], noun: &str) -> Option<Fault> {
        let stated = trailer.at(1, 1);
        let is_right = stated.parse().is_ok_and(|stated: u64| counts.contains(&stated));
        let count = counts.first().copied().unwrap_or_default();
        (!is_right).then(|| fault("COUNT_MISMATCH", field, 1, stated, format!("{count} {noun}, as there are")))
    }

    /// Numbers that differ only in leading zeros name the same thing.
    fn other_name(&mut self, trailer: &Segment, field: &str, expected: &str) -> Option<Fault> {
        let stated = trailer.at(2, 1);
        if stated == expected {
            return None;
        }
        if bare(stated) == bare(expected) {
            self.warn(format!("ENVELOPE_MISMATCH: {field} is {stated}, the header says {expected}"));
            return None;
        }
        Some(fault("ENVELOPE_MISMATCH", field, 2, stated, format!("{expected}, as the header says")))
    }

    fn stray(&mut self, segment: &Segment, expected: &str) {
        let shown: String = segment.shown().chars().take(200).collect();
        self.refuse(segment, fault("ENVELOPE_MISMATCH", "", 0, &shown, expected));
    }

    fn hold(&mut self, ordinal: u64, segment: &Segment, wrong: Fault) {
        if self.outline.verdicts.len() >= VERDICTS_MAX {
            let expected = format!("at most {VERDICTS_MAX} wrong envelopes in a file");
            return self.refuse(segment, fault("ENVELOPE_MISMATCH", "", 0, "more", expected));
        }
        // The first verdict stands.
        if let Some(line) = hold::held(segment.ordinal, &[wrong], &segment.shown()) {
            self.outline.verdicts.entry(ordinal).or_insert(line);
        }
    }

    fn refuse(&mut self, segment: &Segment, wrong: Fault) {
        self.outline.refusals.extend(hold::held(segment.ordinal, &[wrong], &segment.shown()));
    }

    fn warn(&mut self, text: String) {
        if self.outline.warnings.len() < crate::decode::message::MESSAGE_FAULTS_MAX {
            self.outline.warnings.push(text);
        }
    }
}

fn level(segment: &Segment, element: usize) -> Level {
    Level { ordinal: segment.ordinal, control: segment.at(element, 1).to_owned(), count: 0 }
}

/// A reference without leading zeros, where it is a number.
fn bare(text: &str) -> &str {
    if codes::is_digits(text) { text.trim_start_matches('0') } else { text }
}

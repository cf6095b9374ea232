//! Builds functional acknowledgments (997) of what was received: pure text, the same whenever the file is read.
//!
//! One interchange answers one that was received, with one 997 for each group. Its control numbers are those that were
//! received, so that writing it again is seen as the same answer. Acknowledgments are not acknowledged.

use jiff::{Timestamp, tz::TimeZone};

use super::{
    super::answer::Answer,
    GROUP_SETS_MAX,
    segment::{Delimiters, Segment},
    sheet::Note,
};
use crate::queue::capture::HeldLine;

/// Most bytes of all answers to one file; groups behind that are told in numbers only.
const ANSWERS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest copy of a bad value (element 724).
const VALUE_CHARS_MAX: usize = 99;
/// Most error codes of a set (AK502 to AK506) and of a group (AK905 to AK909).
const CODES_MAX: usize = 5;

/// What became of a set.
#[derive(Debug, Default)]
pub(super) struct SetNote {
    kind: String,
    control: String,
    is_taken: bool,
    /// Codes of element 718.
    codes: Vec<&'static str>,
    segments: Vec<SegmentNote>,
}

/// A segment with errors.
#[derive(Debug)]
struct SegmentNote {
    id: String,
    position: u64,
    /// Element 720.
    code: &'static str,
    /// Place, code of element 723, bad value.
    elements: Vec<(u32, &'static str, String)>,
}

impl SetNote {
    pub(super) fn new(st: &Segment) -> Self {
        let (kind, control) = (st.get(1).to_owned(), st.get(2).to_owned());
        Self { kind, control, is_taken: true, ..Self::default() }
    }

    /// Refuses the set for a reason of element 718.
    pub(super) fn refuse(&mut self, code: &'static str) {
        self.is_taken = false;
        self.remark_set(code);
    }

    /// Notes a reason of element 718 that does not refuse the set.
    pub(super) fn remark_set(&mut self, code: &'static str) {
        if self.codes.len() < CODES_MAX && !self.codes.contains(&code) {
            self.codes.push(code);
        }
    }

    /// Refuses the set for what is wrong in its segments.
    pub(super) fn fault(&mut self, fault: &HeldLine, segments: &[Segment], first: u64) {
        self.refuse("5");
        let (segment, element) = match fault.column {
            0 if fault.code == "MISSING_MANDATORY" => ("3", None),
            0 => ("8", None),
            column => {
                let is_missing = fault.code == "MISSING_MANDATORY";
                let value = if is_missing { "" } else { fault.found.as_str() };
                ("8", Some((column, element_code(fault), value.chars().take(VALUE_CHARS_MAX).collect())))
            }
        };
        self.add(fault.line_no, segment, element, segments, first);
    }

    /// Notes what holds nothing back.
    pub(super) fn remark(&mut self, note: &Note, segments: &[Segment], first: u64) {
        match note.element {
            0 => self.add(note.line_no, note.code, None, segments, first),
            n => {
                let column = u32::try_from(n).unwrap_or(u32::MAX);
                self.add(note.line_no, "8", Some((column, note.code, String::new())), segments, first);
            }
        }
    }

    fn add(
        &mut self,
        line_no: u64,
        code: &'static str,
        element: Option<(u32, &'static str, String)>,
        segments: &[Segment],
        first: u64,
    ) {
        let position = line_no.saturating_sub(first) + 1;
        if let Some(known) = self.segments.iter_mut().find(|known| known.position == position) {
            known.elements.extend(element);
            return;
        }
        let found = segments.iter().find(|segment| segment.line_no == line_no);
        let id = found.map_or("ST", Segment::id).to_owned();
        self.segments.push(SegmentNote { id, position, code, elements: element.into_iter().collect() });
    }

    const fn verdict(&self) -> &'static str {
        match (self.is_taken, self.segments.is_empty() && self.codes.is_empty()) {
            (true, true) => "A",
            (true, false) => "E",
            (false, _) => "R",
        }
    }
}

/// Code of element 723 for a fault.
fn element_code(fault: &HeldLine) -> &'static str {
    match fault.code.as_str() {
        "MISSING_MANDATORY" => "1",
        "RECORD_TOO_LONG" => "5",
        "INVALID_QUANTITY" | "ENCODING_ERROR" => "6",
        "INVALID_DATE" if fault.expected.starts_with("a time") => "9",
        "INVALID_DATE" => "8",
        _ => "7",
    }
}

/// A group that was received.
#[derive(Debug)]
struct GroupNote {
    gs: Segment,
    sets: Vec<SetNote>,
    received: u64,
    accepted: u64,
    has_errors: bool,
    /// GE01.
    stated: String,
    /// Codes of element 716.
    codes: Vec<&'static str>,
}

/// Collects the answers to one file.
#[derive(Debug)]
pub(super) struct Book {
    is_on: bool,
    now: Timestamp,
    isa: Segment,
    delimiters: Option<Delimiters>,
    groups: Vec<GroupNote>,
    bytes: usize,
    pub(super) answers: Vec<Answer>,
}

impl Book {
    /// `is_on` is the feed's option; `now` the time at which the file was taken.
    pub(super) fn new(is_on: bool, now: Timestamp) -> Self {
        let (isa, delimiters, groups, answers) = (Segment::default(), None, Vec::new(), Vec::new());
        Self { is_on, now, isa, delimiters, groups, bytes: 0, answers }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    pub(super) fn open(&mut self, isa: &Segment, delimiters: Delimiters) {
        if self.is_on {
            self.isa = isa.clone();
            self.delimiters = Some(delimiters);
        }
    }

    pub(super) fn group(&mut self, gs: &Segment) {
        if self.is_on {
            let (sets, stated, codes) = (Vec::new(), String::new(), Vec::new());
            let gs = gs.clone();
            self.groups.push(GroupNote { gs, sets, received: 0, accepted: 0, has_errors: false, stated, codes });
        }
    }

    pub(super) fn set(&mut self, set: SetNote) {
        let has_room = self.bytes < ANSWERS_BYTES_MAX;
        let Some(group) = self.groups.last_mut().filter(|_| self.is_on) else { return };
        group.received += 1;
        group.accepted += u64::from(set.is_taken);
        group.has_errors |= set.verdict() == "E";
        if group.sets.len() < GROUP_SETS_MAX && has_room {
            self.bytes += 64 + set.segments.iter().map(|segment| 64 + segment.elements.len() * 128).sum::<usize>();
            group.sets.push(set);
        }
    }

    pub(super) fn group_end(&mut self, ge: &Segment, verdict: Option<&'static str>) {
        if let Some(group) = self.groups.last_mut() {
            ge.get(1).clone_into(&mut group.stated);
            group.codes.extend(verdict.filter(|code| !code.is_empty()));
        }
    }

    /// Writes the answer to the interchange that ends here.
    pub(super) fn close(&mut self) {
        let groups = std::mem::take(&mut self.groups);
        let answered: Vec<&GroupNote> = groups.iter().filter(|group| group.gs.get(1) != "FA").collect();
        let Some(delimiters) = self.delimiters.take().filter(|_| !answered.is_empty()) else { return };
        let mut writer = Writer { text: String::new(), delimiters };
        let control = number(self.isa.get(13), 1_000_000_000);
        let control = format!("{control:09}");
        self.header(&mut writer, &control);
        for (nth, group) in answered.iter().enumerate() {
            self.write_group(&mut writer, group, nth + 1);
        }
        writer.put(&["IEA", &answered.len().to_string(), &control]);
        self.answers.push(Answer { kind: "997", text: writer.text });
    }

    fn local(&self) -> jiff::Zoned {
        self.now.to_zoned(TimeZone::UTC)
    }

    /// ISA has fixed lengths: numbers of elements and their widths by ASC X12.5.
    fn header(&self, writer: &mut Writer, control: &str) {
        let isa = &self.isa;
        let Delimiters { element, component, terminator, .. } = writer.delimiters;
        let spare = [':', '>', '^', '|'].into_iter().find(|mark| *mark != element && *mark != terminator);
        let now = self.local();
        let fixed = |text: &str, width: usize| {
            let text: String = text.chars().take(width).collect();
            format!("{text:<width$}")
        };
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        writer.put(&[
            "ISA",
            "00",
            &fixed("", 10),
            "00",
            &fixed("", 10),
            &fixed(isa.get(7), 2),
            &fixed(isa.get(8), 15),
            &fixed(isa.get(5), 2),
            &fixed(isa.get(6), 15),
            &now.strftime("%y%m%d").to_string(),
            &now.strftime("%H%M").to_string(),
            &fixed(&or(isa.get(11), "U"), 1),
            &fixed(&or(isa.get(12), "00401"), 5),
            control,
            "0",
            &or(isa.get(15), "P"),
            &component.or(spare).map(String::from).unwrap_or_default(),
        ]);
    }

    fn write_group(&self, writer: &mut Writer, group: &GroupNote, nth: usize) {
        let gs = &group.gs;
        let now = self.local();
        let version: String = gs.get(8).chars().take(6).collect();
        let version = if version.is_empty() { "004010" } else { &version };
        let day = now.strftime(if version < "004010" { "%y%m%d" } else { "%Y%m%d" }).to_string();
        let control = number(gs.get(6), 1_000_000_000);
        let control = if control == 0 { nth.to_string() } else { control.to_string() };
        let time = now.strftime("%H%M").to_string();
        writer.put(&["GS", "FA", gs.get(3), gs.get(2), &day, &time, &control, "X", version]);
        writer.put(&["ST", "997", "0001"]);
        writer.put(&["AK1", gs.get(1), gs.get(6)]);
        let mut count = 3;
        for set in &group.sets {
            count += write_set(writer, set);
        }
        let verdict = match group {
            GroupNote { received, accepted, has_errors, .. } if accepted == received => {
                if *has_errors {
                    "E"
                } else {
                    "A"
                }
            }
            GroupNote { accepted: 0, .. } => "R",
            _ => "P",
        };
        let (received, accepted) = (group.received.to_string(), group.accepted.to_string());
        let stated = if group.stated.parse::<u64>().is_ok() { group.stated.as_str() } else { &received };
        let mut parts = vec!["AK9", verdict, stated, &received, &accepted];
        parts.extend(group.codes.iter().take(CODES_MAX));
        writer.put(&parts);
        writer.put(&["SE", &(count + 1).to_string(), "0001"]);
        writer.put(&["GE", "1", &control]);
    }
}

/// Writes the loop of a set; gives the number of its segments.
fn write_set(writer: &mut Writer, set: &SetNote) -> usize {
    writer.put(&["AK2", &set.kind, &set.control]);
    let mut count = 2;
    for segment in &set.segments {
        writer.put(&["AK3", &segment.id, &segment.position.to_string(), "", segment.code]);
        count += 1 + segment.elements.len();
        for (place, code, value) in &segment.elements {
            writer.put(&["AK4", &place.to_string(), "", code, value]);
        }
    }
    let mut parts = vec!["AK5", set.verdict()];
    parts.extend(&set.codes);
    writer.put(&parts);
    count
}

/// Writes segments with the delimiters that were received.
struct Writer {
    text: String,
    delimiters: Delimiters,
}

impl Writer {
    /// One segment. Empty elements at its end are left out, but not the blanks of a header.
    fn put(&mut self, parts: &[&str]) {
        let last = parts.iter().rposition(|part| !part.is_empty()).unwrap_or(0);
        let Delimiters { element, terminator, .. } = self.delimiters;
        for (at, part) in parts.iter().take(last + 1).enumerate() {
            if at > 0 {
                self.text.push(element);
            }
            self.text.extend(part.chars().filter(|c| *c != element && *c != terminator));
        }
        self.text.push(terminator);
    }
}

/// The control number as a number below `most`; one that is none gives a number of its own that is always the same.
fn number(control: &str, most: u64) -> u64 {
    let digits: Option<u64> = control.parse().ok();
    digits.unwrap_or_else(|| {
        // FNV-1a: stable across versions of the program, which the hasher of the standard library is not.
        control
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }) % most
}

//! The envelope of a file, read before its documents: what is torn, what does not match, which sets may be taken.
//!
//! A group is judged by its trailer, a set by its own; both stand behind what they judge. Reading the outline first keeps
//! documents from being taken before the verdict, without holding them in memory.

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, Read},
};

use super::{
    super::{assign::Fault, hold, trade::fault},
    GROUP_SETS_MAX, INTERCHANGES_MAX, VERDICTS_MAX,
    reader::{Found, Header, Outside, Segments},
    segment::Segment,
};
use crate::queue::capture::HeldLine;

/// What the envelope says about the file.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Outline {
    /// Why the whole file is refused.
    pub(super) refusals: Vec<HeldLine>,
    pub(super) warnings: Vec<String>,
    /// Verdicts by the segment that opens what they hold: an interchange, a group or a set.
    pub(super) verdicts: BTreeMap<u64, Verdict>,
}

/// Why an interchange, a group or a set is held.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub(super) line: HeldLine,
    /// Code for the functional acknowledgment (element 716 for a group, 718 for a set).
    pub(super) answer: &'static str,
}

/// What is open at a place of the file.
#[derive(Debug, Default)]
struct Open {
    interchange: Option<Level>,
    group: Option<Level>,
    set: Option<Level>,
}

/// An envelope segment, and how often its content was seen.
#[derive(Debug)]
struct Level {
    line_no: u64,
    control: String,
    count: u64,
}

#[derive(Debug, Default)]
struct Scan {
    outline: Outline,
    open: Open,
    is_lenient: bool,
    interchanges: HashSet<String>,
    sets: Controls,
    is_over: bool,
}

/// Control numbers of the sets of a group. Mostly each is one more than the one before: a run of them is known by its ends.
#[derive(Debug, Default)]
struct Controls {
    run: Option<(u64, u64)>,
    others: HashSet<String>,
}

impl Controls {
    fn clear(&mut self) {
        self.run = None;
        self.others.clear();
    }

    fn len(&self) -> usize {
        let run =
            self.run.map_or(0, |(first, last)| usize::try_from(last - first).unwrap_or(usize::MAX).saturating_add(1));
        run.saturating_add(self.others.len())
    }

    /// Takes a control number without leading zeros; false where it was there already.
    fn insert(&mut self, control: &str) -> bool {
        let is_number = control.len() <= 18 && control.bytes().all(|b| b.is_ascii_digit());
        let Some(number) = control.parse::<u64>().ok().filter(|_| is_number) else {
            return self.others.insert(control.to_owned());
        };
        match &mut self.run {
            None => self.run = Some((number, number)),
            Some((first, last)) if (*first..=*last).contains(&number) => return false,
            Some((_, last)) if *last + 1 == number && !self.others.contains(control) => *last = number,
            Some(_) => return self.others.insert(control.to_owned()),
        }
        true
    }
}

/// Reads the envelopes of the file. `allows_bare` takes sets without one; `is_lenient` lets wrong counts of groups pass.
///
/// # Errors
/// Whatever reading gives.
pub(super) fn outline<R: Read>(mut segments: Segments<R>, allows_bare: bool, is_lenient: bool) -> io::Result<Outline> {
    let mut scan = Scan { is_lenient, ..Scan::default() };
    let mut segment = Segment::default();
    while !scan.is_over {
        match segments.outside()? {
            Outside::End => break,
            Outside::Interchange => {
                let header = segments.header(&mut segment)?;
                scan.header(header, &segment);
            }
            Outside::Set if allows_bare => {
                if !segments.bare()? {
                    scan.torn(segments.line_no() + 1, "ST", "a segment terminator");
                }
            }
            other @ (Outside::Set | Outside::Other(_)) => {
                scan.other(&other, segments.line_no() + 1);
                if !scan.is_over {
                    segments.skip_other()?;
                }
                continue;
            }
        }
        scan.inside(&mut segments, &mut segment)?;
    }
    Ok(scan.outline)
}

/// Follows the envelopes while the documents of the file are taken, as [`outline()`] would have read them beforehand. A file
/// that contradicts itself is the exception: then the documents are taken anew, by what its outline says.
#[derive(Debug)]
pub(super) struct Watch {
    scan: Scan,
    /// Whether an interchange, or a set without one, is open.
    is_inside: bool,
    /// Whether the documents were taken otherwise than the outline would have been read.
    is_lost: bool,
}

impl Watch {
    pub(super) fn new(is_lenient: bool) -> Self {
        Self { scan: Scan { is_lenient, ..Scan::default() }, is_inside: false, is_lost: false }
    }

    /// Whether something is held or refused for what was seen so far.
    pub(super) fn is_contradicted(&self) -> bool {
        let Outline { refusals, verdicts, .. } = &self.scan.outline;
        self.is_lost || self.scan.is_over || !refusals.is_empty() || !verdicts.is_empty()
    }

    /// The envelopes, where nothing contradicts them and none is open.
    pub(super) fn finish(self) -> Option<Outline> {
        let is_sound = !self.is_contradicted() && !self.is_inside;
        is_sound.then_some(self.scan.outline)
    }

    pub(super) fn header(&mut self, header: Header, isa: &Segment) {
        self.is_lost |= std::mem::replace(&mut self.is_inside, true);
        self.scan.header(header, isa);
    }

    /// A set without envelope begins; `is_whole` where its delimiters could be told.
    pub(super) fn bare(&mut self, is_whole: bool) {
        self.is_lost |= std::mem::replace(&mut self.is_inside, true) || !is_whole;
    }

    /// Something that is no interchange stands at this segment.
    pub(super) fn other(&mut self, other: &Outside, line_no: u64) {
        self.is_lost |= self.is_inside;
        self.scan.other(other, line_no);
    }

    /// A segment was read, or the end of the file.
    pub(super) fn next(&mut self, found: &Found, segment: &Segment) {
        if let Some(set) = &mut self.scan.open.set
            && segment.is_inner
            && *found == Found::Segment
            && !segment.lacks_terminator
        {
            // Nothing but a segment more of the set: most are.
            set.count += 1;
            return;
        }
        self.is_lost |= !self.is_inside || *found == Found::End;
        self.is_inside = self.scan.next(found, segment);
    }
}

impl Scan {
    /// Follows the segments until nothing is open any more.
    fn inside<R: Read>(&mut self, segments: &mut Segments<R>, segment: &mut Segment) -> io::Result<()> {
        while !self.is_over {
            let found = segments.next(segment)?;
            if found == Found::End {
                self.unclosed(segments.line_no());
                return Ok(());
            }
            if !self.next(&found, segment) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn unclosed(&mut self, line_no: u64) {
        let place = self.place();
        self.torn(line_no, &place, "the trailer that closes it");
    }

    /// Takes one segment; false where nothing is open any more.
    fn next(&mut self, found: &Found, segment: &Segment) -> bool {
        let is_inner = segment.is_inner;
        // The trailer of an interchange is known to be whole by its control number.
        if *found == Found::Unended && (is_inner || !matches!(segment.id(), "IEA" | "SE")) {
            self.unclosed(segment.line_no);
            return false;
        }
        if segment.lacks_terminator {
            let text = format!("MISSING_TERMINATOR: segment {} ends with its line only", segment.line_no);
            self.warn(text);
        }
        match &mut self.open.set {
            Some(set) if is_inner => set.count += 1,
            None if is_inner => {}
            _ => self.step(segment),
        }
        self.open.interchange.is_some() || self.open.set.is_some()
    }

    fn place(&self) -> String {
        let level = |name: &str, level: &Option<Level>| level.as_ref().map(|l| format!("{name} {}", l.control));
        level("set (ST)", &self.open.set)
            .or_else(|| level("group (GS)", &self.open.group))
            .or_else(|| level("interchange (ISA)", &self.open.interchange))
            .unwrap_or_default()
    }

    fn header(&mut self, header: Header, isa: &Segment) {
        match header {
            Header::Good => {}
            Header::Unpadded => self.warn("ISA_LENGTH: the header is not padded to 106 characters".to_owned()),
            Header::Torn => return self.torn(isa.line_no + 1, "ISA", "a whole header of an interchange"),
            Header::Bad(fault) => return self.refuse(isa.line_no + 1, fault),
        }
        let names = [5, 6, 7, 8].map(|n| isa.get(n)).join("|");
        let control = isa.get(13).to_owned();
        let key = format!("{names}|{}", bare(&control));
        if self.interchanges.len() >= INTERCHANGES_MAX {
            self.warn(format!("more than {INTERCHANGES_MAX} interchanges: their control numbers are not compared"));
        } else if !self.interchanges.insert(key) {
            let expected = "a control number that no earlier interchange of the file has";
            let fault = fault("DUPLICATE_INTERCHANGE_CONTROL", "ISA13", 13, &control, expected);
            self.hold(isa.line_no, isa, fault, "");
        }
        self.open.interchange = Some(Level { line_no: isa.line_no, control, count: 0 });
    }

    fn step(&mut self, segment: &Segment) {
        let has_interchange = self.open.interchange.is_some();
        match (segment.id(), self.open.group.is_some(), self.open.set.is_some()) {
            ("ISA" | "IEA", true, _) | ("ISA", ..) | ("GS", true, _) | ("ST" | "GE" | "IEA", _, true) => {
                let place = self.place();
                self.torn(segment.line_no, segment.id(), &format!("the trailer of {place} first"));
            }
            ("GS", false, false) if has_interchange => {
                count(&mut self.open.interchange);
                self.sets.clear();
                let control = segment.get(6).to_owned();
                self.open.group = Some(Level { line_no: segment.line_no, control, count: 0 });
            }
            ("ST", _, false) => self.set(segment),
            ("SE", _, true) => self.set_end(segment),
            ("GE", true, false) => self.group_end(segment),
            ("IEA", false, false) if has_interchange => self.interchange_end(segment),
            ("SE" | "GE", ..) => {
                let expected = "its header before it";
                self.refuse(segment.line_no, fault("ENVELOPE_MISMATCH", segment.id(), 0, segment.text(), expected));
            }
            _ => {
                if let Some(set) = &mut self.open.set {
                    set.count += 1;
                }
            }
        }
    }

    fn set(&mut self, st: &Segment) {
        count(&mut self.open.group);
        let control = st.get(2).to_owned();
        let is_grouped = self.open.group.is_some() && self.sets.len() < GROUP_SETS_MAX;
        if is_grouped && !self.sets.insert(bare(&control)) {
            let expected = "a control number that no earlier set of the group has";
            self.hold(st.line_no, st, fault("ENVELOPE_MISMATCH", "ST02", 2, &control, expected), "23");
        }
        self.open.set = Some(Level { line_no: st.line_no, control, count: 1 });
    }

    fn set_end(&mut self, se: &Segment) {
        let Some(set) = self.open.set.take() else { return };
        match compare(se.get(2), &set.control) {
            Match::Same => {}
            Match::Zeros => self.warn(zeros("ST02", &set.control, "SE02", se.get(2))),
            Match::Other => {
                let expected = format!("{}, as ST02 says", set.control);
                self.hold(set.line_no, se, fault("ENVELOPE_MISMATCH", "SE02", 2, se.get(2), expected), "3");
            }
        }
        let count = set.count + 1;
        if se.get(1).parse() != Ok(count) {
            let expected = format!("{count}: the segments from ST to SE");
            self.hold(set.line_no, se, fault("COUNT_MISMATCH", "SE01", 1, se.get(1), expected), "4");
        }
    }

    fn group_end(&mut self, ge: &Segment) {
        let Some(group) = self.open.group.take() else { return };
        let mut faults = Vec::new();
        match compare(ge.get(2), &group.control) {
            Match::Same => {}
            Match::Zeros => self.warn(zeros("GS06", &group.control, "GE02", ge.get(2))),
            Match::Other => {
                let expected = format!("{}, as GS06 says", group.control);
                faults.push((fault("ENVELOPE_MISMATCH", "GE02", 2, ge.get(2), expected), "4"));
            }
        }
        if ge.get(1).parse() != Ok(group.count) {
            let expected = format!("{}: the sets of the group", group.count);
            faults.push((fault("COUNT_MISMATCH", "GE01", 1, ge.get(1), expected), "5"));
        }
        for (fault, answer) in faults {
            if self.is_lenient {
                self.warn(words(&fault));
            } else {
                self.hold(group.line_no, ge, fault, answer);
            }
        }
    }

    fn interchange_end(&mut self, iea: &Segment) {
        let Some(interchange) = self.open.interchange.take() else { return };
        let mut faults = Vec::new();
        match compare(iea.get(2), &interchange.control) {
            Match::Same => {}
            Match::Zeros => self.warn(zeros("ISA13", &interchange.control, "IEA02", iea.get(2))),
            Match::Other => {
                let expected = format!("{}, as ISA13 says", interchange.control);
                faults.push(fault("ENVELOPE_MISMATCH", "IEA02", 2, iea.get(2), expected));
            }
        }
        if iea.get(1).parse() != Ok(interchange.count) {
            let expected = format!("{}: the groups of the interchange", interchange.count);
            faults.push(fault("COUNT_MISMATCH", "IEA01", 1, iea.get(1), expected));
        }
        for fault in faults {
            if self.is_lenient {
                self.warn(words(&fault));
            } else {
                self.hold(interchange.line_no, iea, fault, "");
            }
        }
    }

    /// What stands outside of interchanges: before the first it means another format, behind one it is held by itself.
    fn other(&mut self, other: &Outside, line_no: u64) {
        if line_no > 1 {
            return;
        }
        let (found, expected) = match other {
            Outside::Other(text) => (text.as_str(), "an interchange, which begins with ISA"),
            Outside::Set | Outside::Interchange | Outside::End => {
                ("ST", "an interchange, which begins with ISA, or the feed's option `allow_bare_st`")
            }
        };
        self.refuse(line_no, fault("ENVELOPE_MISMATCH", "ISA", 0, found, expected));
    }

    fn torn(&mut self, line_no: u64, found: &str, expected: &str) {
        self.refuse(line_no, fault("TRUNCATED_FILE", found, 0, "", expected));
    }

    fn refuse(&mut self, line_no: u64, fault: Fault) {
        self.outline.refusals.extend(hold::held(line_no, &[fault], ""));
        self.is_over = true;
    }

    /// Holds what the segment at `opened` opens. The first verdict stands.
    fn hold(&mut self, opened: u64, at: &Segment, fault: Fault, answer: &'static str) {
        if self.outline.verdicts.len() >= VERDICTS_MAX {
            let most = format!("at most {VERDICTS_MAX} sets with a wrong envelope");
            return self.refuse(at.line_no, hold::whole("ENVELOPE_MISMATCH", "", "more of them", most));
        }
        if let Some(line) = hold::held(at.line_no, &[fault], at.text()) {
            self.outline.verdicts.entry(opened).or_insert(Verdict { line, answer });
        }
    }

    fn warn(&mut self, text: String) {
        if self.outline.warnings.len() < super::super::message::MESSAGE_FAULTS_MAX {
            self.outline.warnings.push(text);
        }
    }
}

fn count(level: &mut Option<Level>) {
    if let Some(level) = level {
        level.count += 1;
    }
}

fn words(fault: &Fault) -> String {
    format!("{}: {} is {}, expected {}", fault.code, fault.field, fault.found, fault.expected)
}

fn zeros(first: &str, control: &str, second: &str, trailer: &str) -> String {
    format!("CONTROL_NUMBER: {first} {control} and {second} {trailer} differ in leading zeros")
}

enum Match {
    Same,
    /// Equal as numbers.
    Zeros,
    Other,
}

fn compare(trailer: &str, header: &str) -> Match {
    if trailer == header {
        Match::Same
    } else if !trailer.is_empty() && !header.is_empty() && bare(trailer) == bare(header) {
        Match::Zeros
    } else {
        Match::Other
    }
}

/// A control number without leading zeros; one that is no number as it stands.
pub(super) fn bare(control: &str) -> &str {
    super::super::trade::without_zeros(control)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::{Controls, bare};

    proptest! {
        #[test]
        fn a_run_of_control_numbers_tells_what_a_list_of_them_tells(
            all in proptest::collection::vec(prop_oneof![8 => (0_u32..12).prop_map(|n| format!("{n:04}")), 1 => "[A-Z]{0,2}"], 0..60),
        ) {
            let (mut controls, mut list) = (Controls::default(), HashSet::new());
            for control in all {
                prop_assert_eq!(controls.insert(bare(&control)), list.insert(bare(&control).to_owned()));
                prop_assert_eq!(controls.len(), list.len());
            }
        }
    }
}

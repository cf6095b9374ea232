//! One transaction set: its segments, what is wrong with them as such, and which document they are.

use std::{
    io::{self, Read},
    ops::ControlFlow,
};

use docksync_proto::{event::Warning, validate};

use super::{
    super::message::{MESSAGE_FAULTS_MAX, Message, doubt},
    ELEMENTS_MAX, SEGMENT_BYTES_MAX, SET_BYTES_MAX, SET_SEGMENTS_MAX, acknowledgment, adjustment,
    answer::SetNote,
    codes, notice, order, purchase,
    reader::{Found, Segments},
    receipt,
    segment::Segment,
    sheet::{Note, Sheet},
    shipping,
    snapshot::Snapshot,
    transfer,
};

/// The segments of a set, as far as they are kept.
pub(super) struct Body {
    /// Of sets before as well: their memory serves again.
    segments: Vec<Segment>,
    /// Those of this set.
    count: usize,
    pub(super) lines: u64,
    /// Of those: handed over already, as parts of a long report.
    pub(super) handed: u64,
    /// Whether a part of it is held.
    has_held: bool,
    bytes: usize,
    pub(super) doubts: Vec<Warning>,
}

/// Most segments that are kept for the next set.
const SPARE_MAX: usize = 1_000;

impl Body {
    /// A set that begins with this segment. `spare` are segments that nobody needs any more.
    pub(super) fn new(st: &Segment, mut spare: Vec<Segment>) -> Self {
        match spare.first_mut() {
            Some(first) => first.copy(st),
            None => spare.push(st.clone()),
        }
        Self { segments: spare, count: 1, lines: 1, handed: 0, has_held: false, bytes: 0, doubts: Vec::new() }
    }

    /// The segments of the set, but its trailer.
    pub(super) fn segments(&self) -> &[Segment] {
        self.segments.get(..self.count).unwrap_or_default()
    }

    /// The segments, for the next set.
    pub(super) fn into_spare(mut self) -> Vec<Segment> {
        self.segments.truncate(SPARE_MAX);
        self.segments
    }

    /// Passes over the set.
    pub(super) fn skip<R: Read>(&mut self, input: &mut Segments<R>) -> io::Result<()> {
        let mut segment = Segment::default();
        while input.next(&mut segment)? != Found::End {
            self.lines += 1;
            if segment.id() == "SE" {
                break;
            }
        }
        Ok(())
    }

    /// Reads the set into memory.
    pub(super) fn collect<R: Read>(
        &mut self,
        input: &mut Segments<R>,
        sheet: &mut Sheet<'_, '_, '_, '_>,
    ) -> io::Result<()> {
        let is_known = is_supported(sheet.kind);
        let mut segments = std::mem::take(&mut self.segments);
        let mut is_too_large = false;
        loop {
            if segments.len() == self.count {
                segments.push(Segment::default());
            }
            let Some(segment) = segments.get_mut(self.count) else { break };
            if input.next(segment)? == Found::End {
                break;
            }
            self.lines += 1;
            self.bytes += segment.text().len();
            if is_known {
                self.check(sheet, segment);
            }
            let has_room = self.lines <= SET_SEGMENTS_MAX && self.bytes <= SET_BYTES_MAX;
            if !has_room && !is_too_large && is_known {
                is_too_large = true;
                let expected = format!("at most {SET_SEGMENTS_MAX} segments and {SET_BYTES_MAX} bytes of one set");
                sheet.fault(segment, 0, "DOCUMENT_TOO_LARGE", expected);
            }
            if segment.is("SE") {
                break;
            }
            self.count += usize::from(has_room && is_known);
        }
        self.segments = segments;
        Ok(())
    }

    /// Reads a stock report item by item. While it is short it is taken or held whole; a long one is handed over in parts, each
    /// taken or held by itself.
    pub(super) fn stream<R: Read>(
        &mut self,
        input: &mut Segments<R>,
        sheet: &mut Sheet<'_, '_, '_, '_>,
    ) -> io::Result<ControlFlow<()>> {
        let mut snapshot = Snapshot::new(sheet);
        let mut segment = Segment::default();
        while input.next(&mut segment)? != Found::End {
            self.lines += 1;
            self.check(sheet, &segment);
            snapshot.take(sheet, &segment);
            if segment.id() == "SE" {
                break;
            }
            let has_parts = !sheet.message.events.is_empty() || !sheet.message.is_good();
            if self.lines > SET_SEGMENTS_MAX && has_parts && self.hand_part(sheet).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let st = self.segments.first().cloned().unwrap_or_default();
        snapshot.finish(sheet, &st);
        Ok(ControlFlow::Continue(()))
    }

    /// Hands over what was read of a long report so far.
    fn hand_part(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>) -> ControlFlow<()> {
        let mut part = std::mem::take(&mut sheet.message);
        self.has_held |= !part.is_good();
        mark(&mut part, &self.doubts);
        self.doubts.clear();
        (part.lines, part.line_no) = (self.lines - self.handed, sheet.place.line_no);
        self.handed = self.lines;
        sheet.messages.hand(part)
    }

    /// Faults and doubts of a segment as such.
    #[inline]
    fn check(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &Segment) {
        let is_flawless = segment.is_ink && !segment.is_too_long && !segment.lacks_terminator;
        let repetition = sheet.envelope.delimiters.repetition;
        // Nearly all segments need no closer look.
        if !is_flawless || repetition.is_some() || segment.last() > 0 && !segment.has(segment.last()) {
            self.check_closely(sheet, segment);
        }
    }

    fn check_closely(&mut self, sheet: &mut Sheet<'_, '_, '_, '_>, segment: &Segment) {
        if segment.is_too_long {
            let expected = format!("at most {SEGMENT_BYTES_MAX} bytes and {ELEMENTS_MAX} elements of a segment");
            sheet.fault(segment, 0, "RECORD_TOO_LONG", expected);
        }
        // The first byte of the character in UTF-8 is rare enough to look for it alone.
        let may_be_wrong = !segment.is_ink && memchr::memchr(0xef, segment.text().as_bytes()).is_some();
        if may_be_wrong && let Some(n) = (0..=segment.last()).find(|n| segment.get(*n).contains('\u{fffd}')) {
            sheet.fault(segment, n, "ENCODING_ERROR", "characters of the declared character set");
        }
        if self.doubts.len() >= MESSAGE_FAULTS_MAX {
            return;
        }
        let mut warn = |code: &str, text: String| {
            let (code, path) = (code.to_owned(), segment.id().to_owned());
            self.doubts.push(Warning { code, path, text });
        };
        if segment.lacks_terminator {
            warn("MISSING_TERMINATOR", format!("segment {} ends with its line only", segment.line_no));
        }
        if sheet.envelope.delimiters.repetition.is_some_and(|mark| segment.text().contains(mark)) {
            warn("REPEATED_ELEMENT", format!("segment {} repeats an element; it is kept as sent", segment.line_no));
        }
        if segment.last() > 0 && !segment.has(segment.last()) {
            sheet.note(segment, "3", segment.last());
        }
    }

    pub(super) fn answer(&self, note: &mut SetNote, message: &Message, remarks: &[Note], first: u64) {
        if message.faults.iter().any(|fault| fault.code == "UNSUPPORTED_DOCUMENT") {
            return note.refuse("1");
        }
        let own = message.faults.iter().filter(|fault| !is_envelope(fault.field.as_str()));
        own.for_each(|fault| note.fault(fault, self.segments(), first));
        if self.has_held {
            note.refuse("5");
        }
        if message.is_good() && message.events.iter().any(|event| !validate::violations(event).is_empty()) {
            note.refuse("5");
        }
        remarks.iter().for_each(|remark| note.remark(remark, self.segments(), first));
    }
}

/// Reads the document of a set.
pub(super) fn read_document(sheet: &mut Sheet<'_, '_, '_, '_>, segments: &[Segment]) {
    match sheet.kind {
        "850" | "855" | "860" => purchase::read(sheet, segments),
        "856" => notice::read(sheet, segments),
        "940" => {
            if !order::read(sheet, segments) {
                let text = format!("TEST_ORDER: set {} is a test (W0501 is X); it is dropped", sheet.control);
                sheet.messages.warn(text);
            }
        }
        "943" => transfer::read(sheet, segments),
        "944" => receipt::read(sheet, segments),
        "945" => shipping::read(sheet, segments),
        "947" => adjustment::read(sheet, segments),
        "997" => acknowledgment::read(sheet, segments),
        _ => {
            let st = segments.first().cloned().unwrap_or_default();
            let known: Vec<&str> = codes::DOCUMENTS.iter().map(|(kind, _)| *kind).collect();
            sheet.fault(&st, 1, "UNSUPPORTED_DOCUMENT", format!("one of {}", known.join(", ")));
        }
    }
}

/// What all events of a set share: doubts about its segments, and that it is a test.
pub(super) fn mark(message: &mut Message, doubts: &[Warning]) {
    if !message.is_good() {
        message.events.clear();
    }
    for event in &mut message.events {
        event.warnings.extend(doubts.iter().cloned());
        if event.interchange.usage == "T" {
            doubt(event, "TEST_INTERCHANGE", "ISA15", "a test: stored, never applied");
        }
    }
}

/// Whether a fault is one of the envelope, which has codes of its own.
fn is_envelope(field: &str) -> bool {
    ["SE", "GE", "IEA", "ISA", "GS", "ST"].iter().any(|id| {
        field.strip_prefix(id).is_some_and(|rest| rest.len() == 2 && rest.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn is_supported(kind: &str) -> bool {
    codes::DOCUMENTS.iter().any(|(known, _)| *known == kind)
}

//! ASC X12 interchanges: the documents of a warehouse in releases 004010 and 005010 (EVENTS 4).
//!
//! - Delimiters come from the header of each interchange. Blanks, line breaks and indentation around segments mean nothing.
//! - The envelope of the whole file is read first ([`outline()`]): a torn one refuses the file, a wrong trailer holds its group
//!   or set. Then each transaction set is read whole, one at a time, and taken or held whole. Stock reports (846), which may
//!   be of any length, are read item by item.
//! - `line_no` of faults and events is the ordinal of the segment in the file, from 1; `column` is the element, and `field` names
//!   it as people say (`W1203`).
//! - What no field takes becomes an extension: `x12:N9*PJ` for a qualified segment, `x12:W0607` for an element; behind the
//!   first line of a document with the line's ordinal, `x12:N9*PJ[2]`.
//! - A set of another kind is held as `UNSUPPORTED_DOCUMENT`. What stands behind the last interchange is held by itself.

mod acknowledgment;
mod adjustment;
mod answer;
mod codes;
mod cut;
mod direction;
mod header;
mod item;
mod notice;
mod order;
mod outline;
mod plates;
mod purchase;
mod reader;
mod receipt;
mod segment;
mod set;
mod sheet;
mod shipping;
mod snapshot;
#[cfg(test)]
mod tests;
mod transfer;

use std::{
    io::{self, Read},
    ops::ControlFlow,
};

use docksync_proto::event::{Interchange, Warning};
use jiff::civil;

use super::{
    DecodeError, PassEnd,
    assign::Fault,
    charset::Utf8Reader,
    documents::Place,
    hold,
    message::{MESSAGE_FAULTS_MAX, Message, Messages},
    profile::DialectParse,
    trade::fault,
};
use crate::queue::capture::HeldLine;
use answer::{Book, SetNote};
pub(super) use outline::Outline;
use outline::{Verdict, Watch};
use reader::{Found, Outside, Segments};
use segment::Segment;
use set::{Body, mark, read_document};
use sheet::{Envelope, Sheet, clock, long_day};

/// Longest segment in bytes; a set with a longer one is held.
pub(super) const SEGMENT_BYTES_MAX: usize = 64 * 1024;
/// Most elements of a segment.
const ELEMENTS_MAX: usize = 1_000;
/// Most segments of a set that is read whole; a stock report may have more.
pub(super) const SET_SEGMENTS_MAX: u64 = 20_000;
/// Most bytes of such a set.
const SET_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Interchanges of a file whose control numbers are compared.
const INTERCHANGES_MAX: usize = 10_000;
/// Sets of a group that are told apart, by control number and in an acknowledgment.
const GROUP_SETS_MAX: usize = 10_000;
/// Sets and groups of a file that are held for their envelope; a file with more is refused.
const VERDICTS_MAX: usize = 10_000;

/// Reads the envelope of the file.
///
/// # Errors
/// [`DecodeError::Read`] where the bytes cannot be read.
pub(super) fn outline<R: Read>(text: Utf8Reader<R>, parse: &DialectParse) -> Result<Outline, DecodeError> {
    let segments = Segments::outlined(text);
    let (allows_bare, is_lenient) = (parse.is_set("allow_bare_st"), parse.is_set("lenient_counts"));
    outline::outline(segments, allows_bare, is_lenient).map_err(DecodeError::Read)
}

/// Reads the file once; `outline` is its envelope.
///
/// # Errors
/// [`DecodeError::Read`] where the bytes cannot be read.
pub(super) fn pass<R: Read>(
    text: Utf8Reader<R>,
    outline: Outline,
    offset: u64,
    mut messages: Messages<'_, '_>,
) -> Result<PassEnd, DecodeError> {
    messages.end.warnings.clone_from(&outline.warnings);
    messages.end.outline = Some(outline.clone());
    if !outline.refusals.is_empty() {
        messages.end.refusals.clone_from(&outline.refusals);
        return Ok(messages.end);
    }
    let mut file = File::new(Segments::new(text, offset), outline, messages);
    // A visitor that has seen enough ends the pass.
    let _ended: ControlFlow<()> = file.read().map_err(DecodeError::Read)?;
    Ok(file.finish())
}

/// Reads the file once and follows its envelope meanwhile. `None` where that holds or refuses something: then documents have been
/// handed over that are to be taken otherwise, and the file is to be read by its [`outline()`].
///
/// # Errors
/// [`DecodeError::Read`] where the bytes cannot be read.
pub(super) fn follow<R: Read>(
    text: Utf8Reader<R>,
    offset: u64,
    messages: Messages<'_, '_>,
) -> Result<Option<PassEnd>, DecodeError> {
    let mut segments = Segments::new(text, offset);
    segments.watch = Some(Watch::new(messages.parse.is_set("lenient_counts")));
    let mut file = File::new(segments, Outline::default(), messages);
    if file.read().map_err(DecodeError::Read)?.is_break() {
        return Ok(None);
    }
    let Some(outline) = file.segments.watch.take().and_then(Watch::finish) else { return Ok(None) };
    let mut end = file.finish();
    // Doubts about the envelope come first, and count.
    let own = std::mem::replace(&mut end.warnings, outline.warnings.clone());
    let room = MESSAGE_FAULTS_MAX.saturating_sub(end.warnings.len());
    end.warnings.extend(own.into_iter().take(room));
    end.outline = Some(outline);
    Ok(Some(end))
}

/// A file while it is read.
struct File<'v, 'p, R> {
    segments: Segments<R>,
    messages: Messages<'v, 'p>,
    outline: Outline,
    envelope: Option<Envelope>,
    /// Why all of the open interchange, or of the open group, is held.
    interchange: Option<Verdict>,
    group: Option<Verdict>,
    book: Book,
    /// Segments whose memory serves again.
    spare: Vec<Segment>,
}

impl<'v, 'p, R: Read> File<'v, 'p, R> {
    fn new(segments: Segments<R>, outline: Outline, messages: Messages<'v, 'p>) -> Self {
        let book = Book::new(messages.parse.is_set("answer"), messages.record_time());
        Self { segments, messages, outline, envelope: None, interchange: None, group: None, book, spare: Vec::new() }
    }

    fn finish(mut self) -> PassEnd {
        self.messages.end.answers = self.book.answers;
        self.messages.end
    }

    /// Breaks where the visitor has seen enough, or where the envelope that is followed contradicts what was taken.
    fn read(&mut self) -> io::Result<ControlFlow<()>> {
        let mut segment = Segment::default();
        loop {
            match self.segments.outside()? {
                Outside::End => return Ok(ControlFlow::Continue(())),
                Outside::Interchange => {
                    // A header that cannot be read has refused the file already, or is about to.
                    let header = self.segments.header(&mut segment)?;
                    if self.is_contradicted(|watch| watch.header(header, &segment)) {
                        return Ok(ControlFlow::Break(()));
                    }
                    self.open(&segment);
                }
                Outside::Set if self.messages.parse.is_set("allow_bare_st") => {
                    let is_whole = self.segments.bare()?;
                    if self.is_contradicted(|watch| watch.bare(is_whole)) {
                        return Ok(ControlFlow::Break(()));
                    }
                    self.envelope = Some(bare_envelope(self.segments.delimiters()));
                }
                other @ (Outside::Other(_) | Outside::Set) => {
                    if self.junk(&other)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    continue;
                }
            }
            if self.inside(&mut segment)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    fn inside(&mut self, segment: &mut Segment) -> io::Result<ControlFlow<()>> {
        loop {
            let is_ended = self.segments.next(segment)? == Found::End;
            if self.is_contradicted(|_| {}) {
                return Ok(ControlFlow::Break(()));
            }
            if is_ended {
                return Ok(ControlFlow::Continue(()));
            }
            match segment.id() {
                "GS" => self.open_group(segment),
                "GE" => {
                    let verdict = self.group.take().or_else(|| self.interchange.clone());
                    self.book.group_end(segment, verdict.map(|verdict| verdict.answer));
                    self.leave_group();
                }
                "ST" => {
                    if self.set(segment)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    if self.is_bare() {
                        return Ok(ControlFlow::Continue(()));
                    }
                }
                "IEA" => {
                    self.book.close();
                    (self.envelope, self.interchange) = (None, None);
                    return Ok(ControlFlow::Continue(()));
                }
                "TA1" => {
                    if self.interchange_answer(segment).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                _ => {
                    let expected = "a group (GS), a set (ST) or a trailer";
                    let found = fault("ENVELOPE_MISMATCH", segment.id(), 0, segment.text(), expected);
                    if self.stray(segment.line_no, found, segment.text()).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
    }

    /// Tells whoever follows the envelope; whether it contradicts what was taken so far.
    fn is_contradicted(&mut self, tell: impl FnOnce(&mut Watch)) -> bool {
        self.segments.watch.as_mut().is_some_and(|watch| {
            tell(watch);
            watch.is_contradicted()
        })
    }

    fn open(&mut self, isa: &Segment) {
        let verdicts = &mut self.outline.verdicts;
        self.interchange = verdicts.remove(&isa.line_no);
        let party = |qualifier: usize, id: usize| match (isa.get(qualifier), isa.get(id)) {
            ("", id) => id.to_owned(),
            (qualifier, id) => format!("{qualifier}:{id}"),
        };
        let interchange = Interchange {
            sender: party(5, 6),
            receiver: party(7, 8),
            control: isa.get(13).to_owned(),
            version: isa.get(12).to_owned(),
            usage: isa.get(15).to_owned(),
            ..Interchange::default()
        };
        let delimiters = self.segments.delimiters();
        self.book.open(isa, delimiters);
        self.envelope = Some(Envelope {
            interchange,
            group_kind: String::new(),
            is_bare: false,
            sent_at: sent_at(isa.get(9), isa.get(10)),
            has_short_days: false,
            delimiters,
        });
    }

    fn open_group(&mut self, gs: &Segment) {
        self.group = self.outline.verdicts.remove(&gs.line_no);
        self.book.group(gs);
        let Some(envelope) = &mut self.envelope else { return };
        gs.get(1).clone_into(&mut envelope.group_kind);
        gs.get(6).clone_into(&mut envelope.interchange.group_control);
        gs.get(8).clone_into(&mut envelope.interchange.version);
        let release: String = gs.get(8).chars().take(6).collect();
        envelope.has_short_days = !release.is_empty() && release.as_str() < "004010";
        if let Some(at) = sent_at(gs.get(4), gs.get(5)) {
            envelope.sent_at = Some(at);
        }
    }

    fn leave_group(&mut self) {
        if let Some(envelope) = &mut self.envelope {
            envelope.group_kind.clear();
            envelope.interchange.group_control.clear();
        }
    }

    fn is_bare(&self) -> bool {
        self.envelope.as_ref().is_some_and(|envelope| envelope.is_bare)
    }

    /// Reads one set, up to its trailer.
    fn set(&mut self, st: &Segment) -> io::Result<ControlFlow<()>> {
        // The envelope is set aside, so that it can be looked at while the file changes.
        let Some(envelope) = self.envelope.take() else { return Ok(ControlFlow::Continue(())) };
        let flow = self.set_within(&envelope, st);
        self.envelope = Some(envelope);
        flow
    }

    fn set_within(&mut self, envelope: &Envelope, st: &Segment) -> io::Result<ControlFlow<()>> {
        let own = self.outline.verdicts.remove(&st.line_no).map(|verdict| (verdict.line, verdict.answer));
        let whole = self.group.as_ref().or(self.interchange.as_ref());
        let refused =
            own.or_else(|| whole.map(|verdict| (verdict.line.clone(), "5"))).or_else(|| groupless(st, envelope));
        let place = Place { line_no: st.line_no, offset: st.offset };
        let (kind, control) = (st.get(1), st.get(2));
        let (message, notes) = (Message::default(), Vec::new());
        let mut sheet = Sheet { messages: &mut self.messages, envelope, kind, control, place, message, notes };
        let mut body = Body::new(st, std::mem::take(&mut self.spare));
        let mut note = if self.book.is_on() { SetNote::new(st) } else { SetNote::default() };
        if let Some(warning) = misfit(st, envelope) {
            body.doubts.push(warning);
            note.remark_set("6");
        }
        if let Some((line, answer)) = refused {
            body.skip(&mut self.segments)?;
            sheet.message.faults.push(line);
            note.refuse(answer);
        } else if st.get(1) == "846" {
            if body.stream(&mut self.segments, &mut sheet)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        } else {
            body.collect(&mut self.segments, &mut sheet)?;
            read_document(&mut sheet, body.segments());
        }
        mark(&mut sheet.message, &body.doubts);
        if self.book.is_on() {
            body.answer(&mut note, &sheet.message, &sheet.notes, st.line_no);
        }
        let mut message = sheet.message;
        // A test order is dropped: it is in no ledger.
        message.lines = if message.is_good() && message.events.is_empty() { 0 } else { body.lines - body.handed };
        message.line_no = st.line_no;
        self.book.set(note);
        self.spare = body.into_spare();
        if message.lines == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        Ok(self.messages.hand_of(message, st.text()))
    }

    fn interchange_answer(&mut self, ta1: &Segment) -> ControlFlow<()> {
        let Some(envelope) = self.envelope.clone() else { return ControlFlow::Continue(()) };
        let place = Place { line_no: ta1.line_no, offset: ta1.offset };
        let (kind, control) = ("TA1", ta1.get(1));
        let message = Message::of_line(ta1.line_no, ta1.text());
        let (messages, notes) = (&mut self.messages, Vec::new());
        let mut sheet = Sheet { messages, envelope: &envelope, kind, control, place, message, notes };
        match &self.interchange {
            Some(verdict) => sheet.message.faults.push(verdict.line.clone()),
            None => acknowledgment::read_interchange(&mut sheet, ta1),
        }
        let mut message = sheet.message;
        mark(&mut message, &[]);
        message.events.iter_mut().for_each(|event| event.interchange.set_control.clear());
        self.messages.hand(message)
    }

    /// What stands outside of interchanges: held by itself, so that nobody has to guess whether it mattered.
    fn junk(&mut self, other: &Outside) -> io::Result<ControlFlow<()>> {
        let text = if let Outside::Other(text) = other { text } else { "ST" };
        let line_no = self.segments.line_no() + 1;
        if self.is_contradicted(|watch| watch.other(other, line_no)) {
            return Ok(ControlFlow::Break(()));
        }
        self.segments.skip_other()?;
        let expected = "the end of the file, or another interchange";
        Ok(self.stray(line_no, fault("ENVELOPE_MISMATCH", "ISA", 0, text, expected), text))
    }

    fn stray(&mut self, line_no: u64, found: Fault, text: &str) -> ControlFlow<()> {
        let mut message = Message::of_line(line_no, text);
        message.fault(line_no, found, text);
        self.messages.hand(message)
    }
}

/// A set outside of groups is held; ST01 says what it is, but nobody says from whom to whom it goes.
fn groupless(st: &Segment, envelope: &Envelope) -> Option<(HeldLine, &'static str)> {
    if envelope.is_bare || !envelope.group_kind.is_empty() {
        return None;
    }
    let found = fault("ENVELOPE_MISMATCH", "GS01", 1, "", "a group (GS) around the set");
    hold::held(st.line_no, &[found], st.text()).map(|line| (line, "6"))
}

/// A set in a group of another kind. It is read all the same: what it is, ST01 says.
fn misfit(st: &Segment, envelope: &Envelope) -> Option<Warning> {
    let (_, group) = codes::DOCUMENTS.iter().find(|(kind, _)| *kind == st.get(1))?;
    if envelope.group_kind.is_empty() || envelope.group_kind == *group {
        return None;
    }
    let text = format!("`{}` is no group of {} documents; that is {group}", envelope.group_kind, st.get(1));
    Some(Warning { code: "ENVELOPE_MISMATCH".to_owned(), path: "GS01".to_owned(), text })
}

fn bare_envelope(delimiters: segment::Delimiters) -> Envelope {
    let (interchange, group_kind) = (Interchange::default(), String::new());
    Envelope { interchange, group_kind, is_bare: true, sent_at: None, has_short_days: false, delimiters }
}

/// Day and time of an envelope as ISO 8601; `None` where they are none.
fn sent_at(day: &str, time: &str) -> Option<String> {
    let day = long_day(day);
    let is_plain = day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit());
    let day: civil::Date = super::trade::day("", 0, if is_plain { &day } else { "" }).ok()?;
    let mut text = day.to_string();
    // A time that is none leaves the day.
    let _has_time = clock(time, &mut text);
    Some(text)
}

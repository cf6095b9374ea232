//! Turns the bytes of one export into canonical events, by the feed's declared profile.
//!
//! Takes: a readable, seekable file, the facts of the file, a [`Profile`]. Gives: for each record an event or the lines that
//! are held, each with place, reason and whose move it is.
//!
//! - Two passes. [`Decoder::survey`] reads all of the file, stores nothing, and decides whether it is taken at all.
//!   [`Decoder::emit`] reads it again and hands over one record at a time, the same whenever it is asked. Of a small file
//!   the first pass can keep what the second would give ([`Keep`]).
//! - Memory does not grow with the file: rows, documents and repeated keys are bounded.
//! - A bad line is held; its neighbours flow. A document (rows under one header or key) with a bad line is held whole.
//! - Nothing is dropped: what no field names becomes an extension, what is doubtful a warning.
//!
//! It opens no file, moves nothing and reads no clock. Text in rows (delimited, of fixed width) is read by `csv`, JSON and XML by `tree`;
//! standards stand beside them.

mod answer;
mod assign;
mod charset;
mod csv;
mod declared;
mod despatch;
mod documents;
mod edifact;
mod epcis;
mod gs1;
pub mod guess;
mod hold;
mod idoc;
pub mod json;
mod message;
mod moment;
mod number;
mod places;
mod plan;
pub mod profile;
mod reasons;
mod repeats;
mod rows;
#[cfg(test)]
mod samples;
mod slide;
mod spare;
pub mod target;
#[cfg(test)]
mod tests;
mod trade;
mod tree;
mod ubl;
mod x12;
mod xml;

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, Read, Seek},
    ops::ControlFlow,
    sync::Arc,
};

use docksync_proto::{
    event::{Action, Event, EventTime, EventType},
    identity,
    site::SiteId,
};
use jiff::{Timestamp, tz::TimeZone};
use uuid::Uuid;

use crate::queue::capture::HeldLine;
use assign::Tools;
use charset::{Checked, Utf8Reader};
use declared::Declaration;
use documents::Outcome;
use message::Messages;
use moment::Clockwork;
use profile::{DialectKind, Parse, Profile, Revision, TreeForm};
use repeats::{Numberer, Repeats};

pub use answer::Answer;
pub use charset::Charset;
pub use documents::DOCUMENT_ROWS_MAX;
pub use hold::owner_of;
pub use plan::HeaderMismatch;
pub use repeats::REPEATS_MAX;

/// Longest row in bytes.
pub const ROW_BYTES_MAX: usize = 1024 * 1024;
/// Most bad lines that a survey keeps; more are counted.
pub const BAD_LINES_MAX: usize = 10_000;

/// Why a file could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes could not be read.
    #[error("cannot read the export")]
    Read(#[source] io::Error),
}

/// Facts of a file that its events carry.
#[derive(Debug, Clone)]
pub struct FileFacts {
    /// Feed whose folder it lay in.
    pub feed: String,
    /// Its name.
    pub name: String,
    /// SHA-256 of its bytes, lower-case hex.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// When the agent took it.
    pub record_time: Timestamp,
}

/// A record of the file, as the second pass gives it.
#[derive(Debug)]
pub enum Record<'r> {
    /// A good event.
    Event(&'r Event),
    /// Its lines, each with a reason.
    Held(&'r [HeldLine]),
}

/// Keeps records of the first pass, so that a small file need not be read twice.
pub trait Keep {
    /// Takes an event; gives its id where it was needed anyway.
    fn event(&mut self, record: u64, event: &Event) -> Option<Uuid>;
    /// Takes the lines of a record that is held.
    fn held(&mut self, record: u64, lines: &[HeldLine]);
    /// Forgets all of it: the first pass starts again, because the end of the file said how its beginning is to be read.
    fn forget(&mut self);
}

struct Nothing;

impl Keep for Nothing {
    fn event(&mut self, _record: u64, _event: &Event) -> Option<Uuid> {
        None
    }

    fn held(&mut self, _record: u64, _lines: &[HeldLine]) {}

    fn forget(&mut self) {}
}

/// What the first pass found.
#[derive(Debug)]
pub struct Survey {
    /// Character set by which the file is read.
    pub charset: Charset,
    /// Names of its columns, where it has a header row.
    pub header: Vec<String>,
    /// Data lines.
    pub lines: u64,
    /// Records: documents, or rows where each row is one.
    pub records: u64,
    /// Lines that good events hold.
    pub taken: u64,
    /// Lines that are held.
    pub held: u64,
    /// The first [`BAD_LINES_MAX`] of them.
    pub bad: Vec<HeldLine>,
    /// Why the file is refused as a whole; empty where it is taken.
    pub refusals: Vec<HeldLine>,
    /// Doubts about the file as a whole.
    pub warnings: Vec<String>,
    /// Good events by type.
    pub counts: BTreeMap<EventType, u64>,
    /// What the partner is to be told, where the feed asks for it.
    pub answers: Vec<Answer>,
    repeats: HashSet<Uuid>,
    outline: Option<x12::Outline>,
}

impl Survey {
    /// Whether nothing of the file is taken.
    pub fn is_refused(&self) -> bool {
        !self.refusals.is_empty()
    }
}

/// Turns bytes of a character set into text.
///
/// # Errors
/// None for bytes in memory.
pub fn text_of(bytes: &[u8], charset: Charset, text: &mut String) -> io::Result<()> {
    let (mut reader, mut utf8, mut piece) = (Utf8Reader::new(bytes, charset), Vec::new(), vec![0; 64 * 1024]);
    loop {
        let read = reader.read(&mut piece)?;
        if read == 0 {
            text.push_str(&String::from_utf8_lossy(&utf8));
            return Ok(());
        }
        utf8.extend_from_slice(&piece[..read]);
    }
}

/// Reads files of one feed.
#[derive(Debug, Clone)]
pub struct Decoder {
    profile: Arc<Profile>,
    site: SiteId,
    zone: TimeZone,
    zone_name: String,
}

/// What one pass over the file found.
#[derive(Debug, Default)]
struct PassEnd {
    header: Vec<String>,
    lines: u64,
    records: u64,
    refusals: Vec<HeldLine>,
    warnings: Vec<String>,
    answers: Vec<Answer>,
    /// The envelopes of the file, where it has some.
    outline: Option<x12::Outline>,
}

/// How a pass comes to know the envelopes of a file whose trailers judge what stands before them.
#[derive(Debug, Clone, Copy)]
enum Envelopes<'o> {
    /// It follows them while it takes the documents. Where a trailer turns out to hold something back, all of it was in vain.
    Followed,
    /// It reads them first.
    First,
    /// An earlier pass has read them.
    Known(&'o x12::Outline),
}

/// What the first pass counts.
#[derive(Default)]
struct Tally {
    taken: u64,
    held: u64,
    bad: Vec<HeldLine>,
    counts: BTreeMap<EventType, u64>,
}

impl Tally {
    fn held(&mut self, lines: &[HeldLine]) {
        self.held += lines.len() as u64;
        let room = BAD_LINES_MAX - self.bad.len();
        self.bad.extend(lines.iter().take(room).cloned());
    }
}

/// Where a pass hands its records to.
type Visit<'v> = dyn FnMut(u64, Outcome<'_>) -> ControlFlow<()> + 'v;

/// What a pass starts from.
struct Setup {
    tools: Tools,
    blank: Event,
    is_trusted: bool,
    offset: u64,
}

impl Decoder {
    /// A decoder for a feed; the profile's site and zone go before those of the agent.
    pub fn new(profile: Arc<Profile>, site: &SiteId, zone: &TimeZone, zone_name: &str) -> Self {
        let common = profile.common();
        let (zone, zone_name) = match &common.zone {
            Some(own) => (own.clone(), common.zone_name.clone()),
            None => (zone.clone(), zone_name.to_owned()),
        };
        let site = profile.site.clone().unwrap_or_else(|| site.clone());
        Self { profile, site, zone, zone_name }
    }

    /// The site that its events are of, where a file does not name another.
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    /// The feed's profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// First pass: reads everything, decides whether the file is taken.
    ///
    /// # Errors
    /// [`DecodeError::Read`] where the bytes cannot be read; then nothing is decided.
    pub fn survey<R: Read + Seek>(&self, input: &mut R, file: &FileFacts) -> Result<Survey, DecodeError> {
        self.survey_keeping(input, file, &mut Nothing)
    }

    /// First pass that hands records over at once: what was kept is what the second would give where the
    /// file is taken and no two events are of one id.
    ///
    /// # Errors
    /// [`DecodeError::Read`] where the bytes cannot be read; then nothing is decided.
    pub fn survey_keeping<R: Read + Seek>(
        &self,
        input: &mut R,
        file: &FileFacts,
        keep: &mut dyn Keep,
    ) -> Result<Survey, DecodeError> {
        let declaration = self.declaration(input)?;
        let assumed = declaration.charset.unwrap_or(Charset::Utf8);
        let mut input = Checked::new(input, declaration.charset.is_none());
        let mut first = self.first_pass(&mut input, file, assumed, Envelopes::Followed, keep);
        let charset = match declaration.charset {
            Some(charset) => charset,
            // It was read as what nearly all files are, and its bytes are.
            None if input.is_utf8(first.is_err()).map_err(DecodeError::Read)? => Charset::Utf8,
            None => {
                keep.forget();
                first = self.first_pass(&mut input, file, Charset::Windows1252, Envelopes::Followed, keep);
                Charset::Windows1252
            }
        };
        let (end, tally, repeats) = match first? {
            Some(done) => done,
            None => {
                keep.forget();
                self.first_pass(&mut input, file, charset, Envelopes::First, keep)?.unwrap_or_default()
            }
        };
        let mut refusals = end.refusals;
        let (repeats, is_within) = repeats;
        if !is_within {
            let fault = hold::whole("TOO_MANY_REPEATS", "", "more repeated facts", format!("at most {REPEATS_MAX}"));
            refusals.extend(hold::held(0, &[fault], ""));
        }
        let Tally { taken, held, bad, counts } = tally;
        if refusals.is_empty() && self.profile.refuses_file {
            refusals.clone_from(&bad);
        }
        let PassEnd { header, lines, records, mut warnings, answers, outline, .. } = end;
        warnings.extend(declaration.doubt(charset));
        Ok(Survey {
            charset,
            header,
            lines,
            records,
            taken,
            held,
            bad,
            refusals,
            warnings,
            counts,
            answers,
            repeats,
            outline,
        })
    }

    /// Reads everything once; `None` where the envelopes that were followed say that documents are to be read differently.
    #[expect(clippy::type_complexity, reason = "three results that only the survey puts together")]
    fn first_pass<R: Read + Seek>(
        &self,
        input: &mut Checked<'_, R>,
        file: &FileFacts,
        charset: Charset,
        envelopes: Envelopes<'_>,
        keep: &mut dyn Keep,
    ) -> Result<Option<(PassEnd, Tally, (HashSet<Uuid>, bool))>, DecodeError> {
        let (mut tally, mut repeats, is_numbered) = (Tally::default(), Repeats::new(file.size), self.numbers_rows());
        let end = self.pass(input, file, charset, false, envelopes, &mut |record, outcome| {
            match outcome {
                Outcome::Event(event, rows) => {
                    self.declare(event);
                    tally.taken += rows;
                    *tally.counts.entry(event.event_type).or_insert(0) += 1;
                    // Equal facts are numbered within one document: rows of a file are one, documents of a standard are not.
                    let id = keep.event(record, event);
                    if is_numbered {
                        repeats.note(event, id);
                    }
                }
                Outcome::Held(lines) => {
                    keep.held(record, lines);
                    tally.held(lines);
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(end.map(|end| (end, tally, repeats.finish())))
    }

    /// Whether equal facts of a file are numbered: rows of a file are one document, documents of a standard are not.
    fn numbers_rows(&self) -> bool {
        !matches!(self.profile.parse, Parse::Dialect(_))
    }

    /// Identities that come more than once in the file, and some that only look so; `None` where nobody looked for them.
    pub fn repeats<'s>(&self, survey: &'s Survey) -> Option<&'s HashSet<Uuid>> {
        self.numbers_rows().then_some(&survey.repeats)
    }

    /// Second pass: hands over each record with its number, from 1, until `visit` breaks.
    ///
    /// # Errors
    /// [`DecodeError::Read`] where the bytes cannot be read.
    pub fn emit<R: Read + Seek>(
        &self,
        input: &mut R,
        file: &FileFacts,
        survey: &Survey,
        visit: &mut dyn FnMut(u64, Record<'_>) -> ControlFlow<()>,
    ) -> Result<(), DecodeError> {
        let mut numberer = Numberer::new(&survey.repeats);
        // Without a held line every rule of the contract is known to be met.
        let is_trusted = survey.held == 0;
        let envelopes = survey.outline.as_ref().map_or(Envelopes::First, Envelopes::Known);
        self.pass(
            &mut Checked::new(input, false),
            file,
            survey.charset,
            is_trusted,
            envelopes,
            &mut |record, outcome| match outcome {
                Outcome::Event(event, _) => {
                    // A withdrawal or a replacement names the fact that it is about: it is no second one.
                    let is_new = event.action == Action::Add;
                    if is_new && numberer.is_needed() {
                        event.ordinal = numberer.next(identity::event_id(event));
                    }
                    self.declare(event);
                    visit(record, Record::Event(event))
                }
                Outcome::Held(lines) => visit(record, Record::Held(lines)),
            },
        )?;
        Ok(())
    }

    /// A feed whose newest statement counts says of each that it replaces earlier ones: the ledger takes the difference where
    /// there is one, and a new fact where there is none.
    fn declare(&self, event: &mut Event) {
        if self.profile.on_revision == Revision::Latest && event.action == Action::Add {
            event.action = Action::Change;
        }
    }

    /// What says which character set it is before the file is read. Documents in XML name theirs.
    fn declaration<R: Read + Seek>(&self, input: &mut R) -> Result<Declaration, DecodeError> {
        if let Some(charset) = self.profile.encoding {
            return Ok(Declaration::of(charset));
        }
        input.rewind().map_err(DecodeError::Read)?;
        let may_declare = match &self.profile.parse {
            Parse::Dialect(parse) => !matches!(parse.dialect, DialectKind::X12 | DialectKind::Edifact),
            Parse::Tree(parse) => parse.form == TreeForm::Xml,
            Parse::Csv(_) => false,
        };
        let limit = if may_declare { declared::HEAD_BYTES } else { charset::MARK_BYTES };
        let mut head = Vec::with_capacity(limit);
        input.by_ref().take(limit as u64).read_to_end(&mut head).map_err(DecodeError::Read)?;
        Ok(if may_declare { Declaration::read(&head) } else { Declaration::of_mark(&head) })
    }

    /// Reads the file once. `None` where envelopes that were to be followed judge documents that have been handed over.
    fn pass<R: Read + Seek>(
        &self,
        input: &mut Checked<'_, R>,
        file: &FileFacts,
        charset: Charset,
        is_trusted: bool,
        envelopes: Envelopes<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<Option<PassEnd>, DecodeError> {
        input.rewind().map_err(DecodeError::Read)?;
        let mut mark = Vec::with_capacity(3);
        input.by_ref().take(3).read_to_end(&mut mark).map_err(DecodeError::Read)?;
        input.rewind().map_err(DecodeError::Read)?;
        let clockwork = Clockwork::new(self.zone.clone(), self.zone_name.clone());
        let setup = Setup {
            tools: Tools::new(self.profile.common().number, clockwork),
            blank: self.blank(file),
            is_trusted,
            offset: if charset == Charset::Utf8 && mark == [0xef, 0xbb, 0xbf] { 3 } else { 0 },
        };
        let text = Utf8Reader::new(&mut *input, charset);
        let parse = match &self.profile.parse {
            Parse::Csv(parse) => return csv::pass(&self.profile, parse, text, charset, setup, visit).map(Some),
            Parse::Tree(parse) => return tree::pass(&self.profile, parse, text, charset, setup, visit).map(Some),
            Parse::Dialect(parse) => parse,
        };
        let offset = setup.offset;
        let read = match parse.dialect {
            DialectKind::X12 => {
                let outline = match envelopes {
                    Envelopes::Followed => return x12::follow(text, offset, Messages::new(parse, setup, visit)),
                    Envelopes::First => x12::outline(text, parse)?,
                    Envelopes::Known(outline) => outline.clone(),
                };
                input.rewind().map_err(DecodeError::Read)?;
                let text = Utf8Reader::new(input, charset);
                return x12::pass(text, outline, offset, Messages::new(parse, setup, visit)).map(Some);
            }
            DialectKind::Edifact => {
                // A trailer judges what stands before it: the envelope is read first.
                let outline = edifact::outline(text, parse)?;
                input.rewind().map_err(DecodeError::Read)?;
                let text = Utf8Reader::new(input, charset);
                return edifact::pass(text, outline, offset, Messages::new(parse, setup, visit)).map(Some);
            }
            DialectKind::Epcis => epcis::pass,
            DialectKind::Idoc => idoc::pass,
            DialectKind::Gs1Xml => gs1::pass,
            DialectKind::Ubl => ubl::pass,
        };
        read(text, offset, Messages::new(parse, setup, visit)).map(Some)
    }

    /// What all events of the file share.
    fn blank(&self, file: &FileFacts) -> Event {
        let time = EventTime::utc(Timestamp::UNIX_EPOCH);
        let mut event = Event::new(documents::BLANK_TYPE, self.site.clone(), time, file.record_time);
        event.split = self.profile.split;
        event.source.system.clone_from(&self.profile.system);
        event.source.format = self.profile.format();
        event.source.feed.clone_from(&file.feed);
        event.source.file_name.clone_from(&file.name);
        event.source.file_sha256.clone_from(&file.sha256);
        event.source.file_size = file.size;
        event
    }
}

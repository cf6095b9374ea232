//! Hands over messages that are read whole: an X12 transaction set, an EDIFACT message, an `IDoc`, an EPCIS event.
//!
//! A dialect reads one message at a time into a [`Message`]; [`Messages`] checks its events against the contract and hands
//! them over together or holds the message together: half a document would be a wrong statement about all of it. Messages
//! beside it are not touched. What refuses the whole file (a torn envelope) is said with [`Messages::refuse`].

use std::{cell::RefCell, collections::HashMap, ops::ControlFlow};

use docksync_proto::{
    event::{Event, EventType, Warning},
    identity, validate,
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    PassEnd, Setup, Visit,
    assign::{Fault, Tools},
    documents::{Outcome, Place},
    hold,
    profile::DialectParse,
    spare::{Sheaf, Spare},
};
use crate::queue::capture::HeldLine;

/// Most faults of one message that are told apart; what lies beyond is said in a number.
pub(super) const MESSAGE_FAULTS_MAX: usize = 100;

/// What was read of one message.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// Its events, in the order in which they take effect.
    pub(super) events: Vec<Event>,
    /// Why it is held; empty for a good one.
    pub(super) faults: Vec<HeldLine>,
    /// Lines of the line ledger that it holds: segments, elements or rows.
    pub(super) lines: u64,
    /// Line of the file at which it starts, and its own first words, for faults without a better place.
    pub(super) line_no: u64,
    /// Text shown with faults that have none of their own.
    pub(super) text: String,
    more_faults: u64,
}

impl Message {
    /// A message of one line.
    pub(super) fn of_line(line_no: u64, text: &str) -> Self {
        Self { lines: 1, line_no, text: text.to_owned(), ..Self::default() }
    }

    /// Notes a fault at a place of the message.
    pub(super) fn fault(&mut self, line_no: u64, fault: Fault, text: &str) {
        if self.faults.len() < MESSAGE_FAULTS_MAX {
            self.faults.extend(hold::held(line_no, &[fault], text));
        } else {
            self.more_faults += 1;
        }
    }

    /// Whether nothing is wrong with it so far.
    pub(super) fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Takes messages one by one and hands over what became of them.
pub(super) struct Messages<'v, 'p> {
    /// What the feed declares.
    pub(super) parse: &'p DialectParse,
    /// How numbers and local times of the feed are read.
    pub(super) tools: Tools,
    /// What the pass found so far.
    pub(super) end: PassEnd,
    blank: Event,
    is_trusted: bool,
    visit: &'v mut Visit<'v>,
    spare: RefCell<Spare>,
}

impl<'v, 'p> Messages<'v, 'p> {
    /// `visit` is where records go.
    pub(super) fn new(parse: &'p DialectParse, setup: Setup, visit: &'v mut Visit<'v>) -> Self {
        let Setup { tools, blank, is_trusted, .. } = setup;
        Self { parse, tools, end: PassEnd::default(), blank, is_trusted, visit, spare: RefCell::default() }
    }

    /// When the file was taken.
    pub(super) fn record_time(&self) -> Timestamp {
        self.blank.record_time
    }

    /// A new event that starts at this place of the file. `format` is the document's own, as `x12-945`.
    pub(super) fn event(&self, event_type: EventType, format: &str, place: Place) -> Event {
        let mut event = self.spare.borrow_mut().event(&self.blank);
        event.event_type = event_type;
        format.clone_into(&mut event.source.format);
        event.source.line_no = place.line_no;
        event.source.byte_offset = place.offset;
        event
    }

    /// Lines for an event.
    pub(super) fn lines(&self) -> Sheaf {
        self.spare.borrow_mut().lines()
    }

    /// Whether a warehouse code of the document may be one of this feed.
    pub(super) fn is_own_site(&self, code: &str) -> bool {
        self.parse.sites.is_empty() || self.parse.sites.contains_key(&code.to_uppercase())
    }

    /// Sets the site of the events by a warehouse code; gives the fault where the feed lists its codes and this is none of
    /// them. A feed that lists none is of one site: its own.
    pub(super) fn place_at(&self, event: &mut Event, code: &str) -> Result<(), Fault> {
        match self.parse.sites.get(&code.to_uppercase()) {
            Some(site) => site.clone_into(&mut event.site_id),
            None if self.parse.sites.is_empty() => {}
            None => {
                let known: Vec<&str> = self.parse.sites.keys().map(String::as_str).collect();
                return Err(hold::whole("UNKNOWN_SITE", "site_id", code, format!("one of {}", known.join(", "))));
            }
        }
        Ok(())
    }

    /// Hands a message over: all of its events, or all of its faults.
    pub(super) fn hand(&mut self, mut message: Message) -> ControlFlow<()> {
        let text = std::mem::take(&mut message.text);
        self.hand_of(message, &text)
    }

    /// The same, with the text that is shown where something is wrong with its events.
    pub(super) fn hand_of(&mut self, mut message: Message, text: &str) -> ControlFlow<()> {
        self.end.lines += message.lines;
        if message.is_good() && !self.is_trusted {
            self.validate(&mut message, text);
        }
        if !message.is_good() {
            if message.more_faults > 0
                && let Some(last) = message.faults.last_mut()
            {
                last.expected.push_str(&format!("; and {} faults more in this document", message.more_faults));
            }
            self.end.records += 1;
            return (self.visit)(self.end.records, Outcome::Held(&message.faults));
        }
        number(&mut message.events);
        let mut lines = message.lines;
        for event in &mut message.events {
            self.end.records += 1;
            event.source.record_ordinal = self.end.records;
            (self.visit)(self.end.records, Outcome::Event(event, std::mem::take(&mut lines)))?;
        }
        self.spare.get_mut().keep(message.events);
        ControlFlow::Continue(())
    }

    fn validate(&self, message: &mut Message, text: &str) {
        let found: Vec<_> = message.events.iter().flat_map(validate::violations).collect();
        if found.is_empty() {
            return;
        }
        let line_no = message.line_no;
        for violation in found {
            message.fault(
                line_no,
                hold::whole(violation.code, &violation.path, violation.found, violation.expected),
                text,
            );
        }
    }

    /// Refuses the whole file.
    pub(super) fn refuse(&mut self, line_no: u64, fault: Fault, text: &str) {
        self.end.refusals.extend(hold::held(line_no, &[fault], text));
    }

    /// Notes a doubt about the file as a whole; a bounded number is kept.
    pub(super) fn warn(&mut self, text: String) {
        if self.end.warnings.len() < MESSAGE_FAULTS_MAX {
            self.end.warnings.push(text);
        }
    }
}

/// Tells equal facts of one document apart. Equal facts of two documents are one fact: a document that came twice.
fn number(events: &mut [Event]) {
    if events.len() < 2 {
        return;
    }
    let mut counts: HashMap<Uuid, u32> = HashMap::new();
    for event in events {
        let count = counts.entry(identity::event_id(event)).or_insert(0);
        event.ordinal = *count;
        *count += 1;
    }
}

/// Notes a doubt about an event.
pub(super) fn doubt(event: &mut Event, code: &str, path: &str, text: impl Into<String>) {
    event.warnings.push(Warning { code: code.to_owned(), path: path.to_owned(), text: text.into() });
}

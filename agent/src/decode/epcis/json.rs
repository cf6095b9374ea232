//! Walks a JSON document event by event: only one event is in memory, however long the list is.

use std::{
    cell::Cell,
    fmt,
    io::{self, BufReader, Read},
    ops::ControlFlow,
    rc::Rc,
};

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Map, Value, error::Category};

use super::{
    super::{documents::Place, hold, xml::Stop},
    EVENT_BYTES_MAX, EVENT_NODES_MAX, Found, PENDING_BYTES_MAX,
    context::{self, Context},
};

/// Reads the document; `visit` gets each event. True where prefixes were declared too late for the first of them.
pub(super) fn walk<R: Read>(
    text: R,
    offset: u64,
    visit: &mut dyn FnMut(&Document, Found) -> ControlFlow<()>,
) -> Result<bool, Stop> {
    let meter = Rc::new(Meter::default());
    meter.line.set(1);
    let input = Metered { input: BufReader::with_capacity(64 * 1024, text), meter: Rc::clone(&meter) };
    let document = Document { context: Context::default(), has_context: false, fields: Map::new() };
    let mut walk = Walk {
        meter,
        offset,
        document,
        pending: Vec::new(),
        pending_bytes: 0,
        head_bytes: 0,
        is_broken_off: false,
        is_late: false,
        is_body_bare: false,
        visit,
    };
    let mut json = Deserializer::from_reader(input);
    walk.allow();
    let read = Level { walk: &mut walk, level: At::Document, path: String::new() }.deserialize(&mut json);
    let read = read.and_then(|()| if walk.is_broken_off { Ok(()) } else { json.end() });
    match read {
        Err(error) if !walk.is_broken_off => Err(walk.stopped(error)),
        _ => {
            walk.flush();
            if walk.is_body_bare {
                let fault = hold::whole(
                    "UNSUPPORTED_DOCUMENT",
                    "",
                    "a document without event list",
                    "an EPCIS document with events",
                );
                return Err(Stop::Broken { line_no: 1, fault });
            }
            Ok(walk.is_late)
        }
    }
}

/// What stands around the events.
#[derive(Debug)]
pub(super) struct Document {
    /// Prefixes, as far as they were read.
    pub(super) context: Context,
    /// Other fields of the document, as far as they were read.
    pub(super) fields: Map<String, Value>,
    has_context: bool,
}

/// Where the reader is, and how far it may go.
#[derive(Debug, Default)]
struct Meter {
    offset: Cell<u64>,
    line: Cell<u64>,
    limit: Cell<u64>,
    is_over: Cell<bool>,
}

struct Metered<R: Read> {
    input: BufReader<R>,
    meter: Rc<Meter>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.meter.offset.get() > self.meter.limit.get() {
            self.meter.is_over.set(true);
            return Err(io::Error::other("an event is too long"));
        }
        let count = self.input.read(out)?;
        let read = out.get(..count).unwrap_or_default();
        let lines = read.iter().filter(|byte| **byte == b'\n').count();
        self.meter.offset.set(self.meter.offset.get() + count as u64);
        self.meter.line.set(self.meter.line.get() + lines as u64);
        Ok(count)
    }
}

/// One pass over the document.
struct Walk<'v> {
    meter: Rc<Meter>,
    offset: u64,
    document: Document,
    /// Events read before the document's `@context`: their prefixes are not known yet.
    pending: Vec<Found>,
    pending_bytes: u64,
    /// Bytes of the document beside its events.
    head_bytes: u64,
    is_broken_off: bool,
    /// Set where events were handed over before prefixes were declared.
    is_late: bool,
    /// Set for a document until its list is seen.
    is_body_bare: bool,
    visit: &'v mut dyn FnMut(&Document, Found) -> ControlFlow<()>,
}

impl Walk<'_> {
    /// What stands beside the events may be as long as one event, all together.
    fn allow(&self) {
        let left = EVENT_BYTES_MAX.saturating_sub(self.head_bytes);
        self.meter.limit.set(self.meter.offset.get() + left);
    }

    fn found(&mut self, mut found: Found) {
        found.is_too_large = found.event.size() > EVENT_NODES_MAX;
        if let Some(context) = found.event.remove("@context") {
            found.context = Some(context.json());
        }
        let bytes = self.meter.offset.get() + self.offset - found.place.offset;
        if self.document.has_context || self.pending_bytes + bytes > PENDING_BYTES_MAX {
            self.flush();
            self.hand(found);
        } else {
            self.pending_bytes += bytes;
            self.pending.push(found);
        }
    }

    fn flush(&mut self) {
        // From here on nothing waits: what the context says later comes too late.
        self.document.has_context = true;
        for found in std::mem::take(&mut self.pending) {
            self.hand(found);
        }
    }

    fn hand(&mut self, found: Found) {
        if !self.is_broken_off {
            self.is_broken_off = (self.visit)(&self.document, found).is_break();
        }
    }

    /// A field of the document itself.
    fn field(&mut self, key: String, value: Value) {
        if key == "@context" {
            self.is_late |= self.document.has_context && context::declares(&value);
            self.document.context.add(&value);
            self.flush();
        }
        self.document.fields.insert(key, value);
    }

    fn stopped(&self, error: serde_json::Error) -> Stop {
        let line_no = self.meter.line.get();
        if self.meter.is_over.get() {
            let expected = format!("at most {EVENT_BYTES_MAX} bytes");
            let fault =
                hold::whole("DOCUMENT_TOO_LARGE", "", "an event, or the text around the events, with more", expected);
            return Stop::Broken { line_no, fault };
        }
        let (code, found, expected) = match error.classify() {
            Category::Io => return Stop::Read(error.into()),
            Category::Eof => {
                ("TRUNCATED_FILE", "the end of the file within the document".to_owned(), "the end of the document")
            }
            Category::Syntax | Category::Data => ("SCHEMA_VIOLATION", error.to_string(), "an EPCIS document in JSON"),
        };
        let mut fault = hold::whole(code, "", found, expected);
        fault.column = u32::try_from(error.column()).unwrap_or(0);
        Stop::Broken { line_no: if error.line() > 0 { error.line() as u64 } else { line_no }, fault }
    }
}

/// Where in the document a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Document,
    Body,
    Query,
    Results,
    List,
}

struct Level<'w, 'v> {
    walk: &'w mut Walk<'v>,
    level: At,
    path: String,
}

impl<'w, 'v> Level<'w, 'v> {
    fn within(&mut self, level: At, key: &str) -> Level<'_, 'v> {
        Level { walk: self.walk, level, path: format!("{}/{key}", self.path) }
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            At::Document => f.write_str("an EPCIS document, an event or an array of events"),
            At::List => write!(f, "an array of events at {}", self.path),
            At::Body | At::Query | At::Results => write!(f, "an object at {}", self.path),
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        if self.level == At::List {
            return Err(A::Error::custom(format!("an object where {} is an array of events", self.path)));
        }
        // The brace is read already.
        let start = Place { line_no: self.walk.meter.line.get(), offset: self.walk.place().offset };
        let mut is_document = false;
        loop {
            let from = self.walk.meter.offset.get();
            let Some(key) = map.next_key::<String>()? else { break };
            let within = match (self.level, key.as_str()) {
                (At::Document, "epcisBody") => Some(At::Body),
                (At::Body, "queryResults") => Some(At::Query),
                (At::Query, "resultsBody") => Some(At::Results),
                (At::Body | At::Results, "eventList") => Some(At::List),
                _ => None,
            };
            match (within, self.level, key.as_str()) {
                (Some(level), ..) => {
                    is_document = true;
                    self.walk.is_body_bare |= level == At::Body;
                    if level == At::List {
                        self.walk.is_body_bare = false;
                    }
                    map.next_value_seed(self.within(level, &key))?;
                    self.walk.allow();
                }
                (None, At::Body, "event") => {
                    self.walk.is_body_bare = false;
                    let seed = OneEvent { walk: self.walk, path: format!("{}/event", self.path) };
                    map.next_value_seed(seed)?;
                }
                (None, At::Document, _) => {
                    let value = map.next_value()?;
                    self.walk.head_bytes += self.walk.meter.offset.get() - from;
                    self.walk.field(key, value);
                }
                (None, ..) => {
                    map.next_value::<IgnoredAny>()?;
                    self.walk.head_bytes += self.walk.meter.offset.get() - from;
                    self.walk.allow();
                }
            }
            if self.walk.is_broken_off {
                return Err(A::Error::custom("broken off"));
            }
        }
        if self.level == At::Document && !is_document {
            let event = std::mem::take(&mut self.walk.document.fields);
            let place = start;
            let found = self.walk.event(event, place, String::new());
            self.walk.found(found);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if !matches!(self.level, At::Document | At::List) {
            return Err(A::Error::custom(format!("an array where {} is an object", self.path)));
        }
        let mut at = 0_u64;
        loop {
            let seed = OneEvent { walk: self.walk, path: format!("{}/{at}", self.path) };
            if list.next_element_seed(seed)?.is_none() {
                return Ok(());
            }
            if self.walk.is_broken_off {
                return Err(A::Error::custom("broken off"));
            }
            at += 1;
        }
    }
}

impl Walk<'_> {
    /// Where the value stands whose first character was just read.
    fn place(&self) -> Place {
        let offset = self.offset + self.meter.offset.get().saturating_sub(1);
        Place { line_no: self.meter.line.get(), offset }
    }

    fn event(&self, event: Map<String, Value>, place: Place, pointer: String) -> Found {
        let lines = self.meter.line.get().saturating_sub(place.line_no) + 1;
        Found { event: event.into(), context: None, place, lines, pointer, is_xml: false, is_too_large: false }
    }
}

/// One event of a list.
struct OneEvent<'w, 'v> {
    walk: &'w mut Walk<'v>,
    path: String,
}

impl<'de> DeserializeSeed<'de> for OneEvent<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        self.walk.meter.limit.set(self.walk.meter.offset.get() + EVENT_BYTES_MAX);
        json.deserialize_map(Fields(self.walk, self.path))
    }
}

/// Fields of one event.
struct Fields<'w, 'v>(&'w mut Walk<'v>, String);

impl<'de> Visitor<'de> for Fields<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event at {}", self.1)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let place = self.0.place();
        let mut event = Map::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            event.insert(key, value);
        }
        let found = self.0.event(event, place, self.1);
        self.0.found(found);
        self.0.allow();
        Ok(())
    }
}

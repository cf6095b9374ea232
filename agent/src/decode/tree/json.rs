//! Records of one JSON document: the elements of a list, or a single object, at a pointer. One record is in memory at a time,
//! however long the list is.

use std::{
    cell::Cell,
    fmt,
    io::{self, BufReader, Read},
    ops::ControlFlow,
    rc::Rc,
};

use serde::de::{Deserialize as _, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Map, Value, error::Category};

use super::{Trees, Visit, path::TreePath};
use crate::decode::{DecodeError, PassEnd, charset::Utf8Reader, documents::Place, hold};

/// Most bytes of one record, and of what stands around all records.
pub(in crate::decode) const JSON_RECORD_BYTES_MAX: u64 = 4 * 1024 * 1024;

pub(super) fn pass<R: Read>(
    text: Utf8Reader<R>,
    records: &str,
    trees: Trees<'_, '_>,
    visit: &mut Visit<'_>,
) -> Result<PassEnd, DecodeError> {
    let path = TreePath::parse(records, false).unwrap_or_default();
    let names: Vec<&str> = path.names().collect();
    let meter = Rc::new(Meter::default());
    meter.line.set(1);
    let input = Metered { input: BufReader::with_capacity(64 * 1024, text), meter: Rc::clone(&meter) };
    let outer = vec![Value::Object(Map::new()); names.len()];
    let mut walk = Walk { meter, names, outer, head_bytes: 0, is_broken_off: false, is_found: false, trees, visit };
    let mut json = Deserializer::from_reader(input);
    walk.allow();
    let read = Level { walk: &mut walk, depth: 0 }.deserialize(&mut json);
    let read = read.and_then(|()| if walk.is_broken_off { Ok(()) } else { json.end() });
    match read {
        Err(error) if !walk.is_broken_off => walk.stopped(error)?,
        _ => {}
    }
    if !walk.is_found && !walk.is_broken_off && walk.trees.is_sound() {
        let fault = hold::whole("UNSUPPORTED_DOCUMENT", records, "nothing there", "the records of the feed");
        walk.trees.refuse(1, fault);
    }
    Ok(walk.trees.finish())
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
            return Err(io::Error::other("a record is too long"));
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
struct Walk<'w, 'p, 'n, 'v> {
    meter: Rc<Meter>,
    /// Keys on the way to the records.
    names: Vec<&'n str>,
    /// Plain values around the records, level by level, as far as they stand before them.
    outer: Vec<Value>,
    /// Bytes of the document beside its records.
    head_bytes: u64,
    is_broken_off: bool,
    is_found: bool,
    trees: Trees<'p, 'p>,
    visit: &'w mut Visit<'v>,
}

impl Walk<'_, '_, '_, '_> {
    fn allow(&self) {
        let left = JSON_RECORD_BYTES_MAX.saturating_sub(self.head_bytes);
        self.meter.limit.set(self.meter.offset.get() + left);
    }

    /// Where the value stands whose first character was just read.
    fn place(&self) -> Place {
        let offset = self.trees.offset + self.meter.offset.get().saturating_sub(1);
        Place { line_no: self.meter.line.get(), offset }
    }

    fn record(&mut self, record: &Value, place: Place) {
        self.is_found = true;
        if !self.is_broken_off {
            let flow = self.trees.record(&self.outer, record, place, &|| record.to_string(), self.visit);
            self.is_broken_off = flow == ControlFlow::Break(());
        }
    }

    fn stopped(&mut self, error: serde_json::Error) -> Result<(), DecodeError> {
        let line_no = self.meter.line.get();
        if self.meter.is_over.get() {
            let most = format!("at most {JSON_RECORD_BYTES_MAX} bytes");
            let found = "a record, or the text around the records, with more";
            self.trees.refuse(line_no, hold::whole("DOCUMENT_TOO_LARGE", "", found, most));
            return Ok(());
        }
        let (code, found, expected) = match error.classify() {
            Category::Io => return Err(DecodeError::Read(error.into())),
            Category::Eof => {
                ("TRUNCATED_FILE", "the end of the file within the document".to_owned(), "the end of the document")
            }
            Category::Syntax | Category::Data => ("SCHEMA_VIOLATION", error.to_string(), "one JSON document"),
        };
        let mut fault = hold::whole(code, "", found, expected);
        fault.column = u32::try_from(error.column()).unwrap_or(0);
        self.trees.refuse(if error.line() > 0 { error.line() as u64 } else { line_no }, fault);
        Ok(())
    }
}

/// A value on the way to the records.
struct Level<'l, 'w, 'p, 'n, 'v> {
    walk: &'l mut Walk<'w, 'p, 'n, 'v>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Level<'_, '_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl Level<'_, '_, '_, '_, '_> {
    fn misfit<E: serde::de::Error>(&self, found: &str) -> Result<(), E> {
        let at = self.walk.names[..self.depth.min(self.walk.names.len())].join("/");
        Err(E::custom(format!("{found} at /{at} where records are")))
    }
}

impl<'de> Visitor<'de> for Level<'_, '_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some(name) = self.walk.names.get(self.depth).copied() else {
            let (place, mut record) = (self.walk.place(), Map::new());
            self.walk.meter.limit.set(self.walk.meter.offset.get() + JSON_RECORD_BYTES_MAX);
            while let Some((key, value)) = map.next_entry::<String, Value>()? {
                record.insert(key, value);
            }
            self.walk.record(&Value::Object(record), place);
            self.walk.allow();
            return if self.walk.is_broken_off { Err(A::Error::custom("broken off")) } else { Ok(()) };
        };
        if let Some(Value::Object(fields)) = self.walk.outer.get_mut(self.depth) {
            fields.clear();
        }
        loop {
            let from = self.walk.meter.offset.get();
            let Some(key) = map.next_key::<String>()? else { return Ok(()) };
            if key == name {
                map.next_value_seed(Level { walk: self.walk, depth: self.depth + 1 })?;
                self.walk.allow();
                continue;
            }
            if self.walk.trees.needs_outer {
                let value = map.next_value::<Value>()?;
                if let Some(Value::Object(fields)) = self.walk.outer.get_mut(self.depth) {
                    fields.insert(key, value);
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            self.walk.head_bytes += self.walk.meter.offset.get() - from;
            self.walk.allow();
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let is_records = self.depth == self.walk.names.len();
        self.walk.is_found |= is_records;
        loop {
            let found = if is_records {
                list.next_element_seed(One { walk: self.walk })?
            } else {
                list.next_element_seed(Level { walk: self.walk, depth: self.depth })?
            };
            if found.is_none() {
                return Ok(());
            }
            if self.walk.is_broken_off {
                return Err(A::Error::custom("broken off"));
            }
        }
    }

    /// `null` is a list without records.
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.walk.is_found |= self.depth == self.walk.names.len();
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.misfit("true or false")
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.misfit("a number")
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.misfit("a number")
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.misfit("a number")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.misfit("a text")
    }
}

/// One record of a list.
struct One<'l, 'w, 'p, 'n, 'v> {
    walk: &'l mut Walk<'w, 'p, 'n, 'v>,
}

impl<'de> DeserializeSeed<'de> for One<'_, '_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        self.walk.meter.limit.set(self.walk.meter.offset.get() + JSON_RECORD_BYTES_MAX);
        let place = self.walk.place();
        let record = Value::deserialize(json)?;
        self.walk.record(&record, place);
        self.walk.allow();
        Ok(())
    }
}

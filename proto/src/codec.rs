//! The only place that names a serializer: events as compressed columns, and small control bodies.
//!
//! A batch of events is stored and sent as it is encoded here, once, at capture. Each event is the run of values of
//! [`crate::canonical`]; equal values of neighbouring events lie together, so that zstd finds them. Event ids and hashes
//! are not sent: the receiver derives them, which proves them. Layout (version 1): one version byte, the length of the plain
//! body (u32, little endian), then zstd of bincode of `Columns`.
//!
//! Limits on decoding: [`BODY_BYTES_MAX`] after expansion, [`BATCH_EVENTS_MAX`] events, [`EVENT_VALUES_MAX`] values an event.

use std::collections::HashMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    canonical::{self, Builder, CanonicalError, KIND_DEC, KIND_INT, KIND_OPEN, KIND_TEXT, Sink, Tag, Value},
    event::Event,
    identity::{self, Canonical, Digests},
};

/// Version byte of the columns.
pub const COLUMNS_VERSION: u8 = 1;
/// Most events that one batch may hold.
pub const BATCH_EVENTS_MAX: u32 = 4096;
/// Most values that one event may have: a document of some thousand lines.
pub const EVENT_VALUES_MAX: usize = 262_144;
/// Most bytes that a body may expand to.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bytes of encoded columns: with its head and signature the frame stays below its own limit.
pub const COLUMNS_BYTES_MAX: usize = 4 * 1024 * 1024 - 4096;
/// Most bytes that the events of a batch may come to, once every column is laid out.
pub const PLAIN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most bytes of a control body (hello, grant, mark, refuse, beat, question, answer).
pub const CONTROL_BYTES_MAX: usize = 64 * 1024;

const ZSTD_LEVEL: i32 = 1;

/// Why bytes could not be read, or events not be written.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Columns of a version that this program does not know.
    #[error("columns of version {found}, this program reads version {COLUMNS_VERSION}")]
    Version {
        /// Version byte found.
        found: u8,
    },
    /// Fewer bytes than announced, or none.
    #[error("body ends early")]
    Truncated,
    /// A limit of this module was passed.
    #[error("{what} {found} is over the limit of {limit}")]
    Limit {
        /// Which.
        what: &'static str,
        /// Found.
        found: usize,
        /// Allowed.
        limit: usize,
    },
    /// zstd could not expand.
    #[error("cannot expand body")]
    Expand(#[source] std::io::Error),
    /// bincode could not read.
    #[error("cannot decode body")]
    Decode(#[source] Box<bincode::error::DecodeError>),
    /// bincode could not write.
    #[error("cannot encode body")]
    Encode(#[source] Box<bincode::error::EncodeError>),
    /// Columns contradict one another.
    #[error("columns do not fit together: {what}")]
    Columns {
        /// What is wrong.
        what: &'static str,
    },
    /// Values do not make an event.
    #[error("event {index} of the batch is not one")]
    Event {
        /// Position in the batch, from 0.
        index: usize,
        /// Why.
        source: CanonicalError,
    },
}

/// Encodes a control body.
///
/// # Errors
/// [`CodecError::Encode`] where the value cannot be written.
pub fn encode_control<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).map_err(|e| CodecError::Encode(Box::new(e)))
}

/// Decodes a control body; every byte must be used.
///
/// # Errors
/// [`CodecError`] for anything that is not exactly one such value within [`CONTROL_BYTES_MAX`].
pub fn decode_control<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let config = bincode::config::standard().with_limit::<CONTROL_BYTES_MAX>();
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, config).map_err(|e| CodecError::Decode(Box::new(e)))?;
    if used != bytes.len() {
        return Err(CodecError::Columns { what: "bytes after the body" });
    }
    Ok(value)
}

/// All values with one tag, in order.
#[derive(Debug, Serialize, Deserialize)]
enum Column {
    /// The same text every time.
    TextConst(String),
    /// Few different texts.
    TextDict { words: Vec<String>, index: Vec<u8> },
    /// Texts behind one another.
    Text { lens: Vec<u32>, text: String },
    /// First number and the difference to each next.
    Int { first: i64, delta: Vec<i64> },
    /// First number and one difference between all neighbours.
    IntStep { first: i64, step: i64 },
    /// Decimals of one scale.
    Dec { scale: u8, mantissa: Vec<i64> },
    /// Decimals of several scales.
    DecMixed { scale: Vec<u8>, mantissa: Vec<i64> },
}

/// The body of a batch.
#[derive(Debug, Serialize, Deserialize)]
struct Columns {
    /// Every run of tags that occurs.
    shapes: Vec<Vec<Tag>>,
    /// Runs of events of one shape: shape and count.
    runs: Vec<(u32, u32)>,
    /// Values by tag.
    columns: Vec<(Tag, u32, Column)>,
}

/// Values of one tag while they are collected.
enum Collected {
    Text { lens: Vec<u32>, text: String },
    Int(Vec<i64>),
    Dec { scale: Vec<u8>, mantissa: Vec<i64> },
}

/// Events in their canonical form, on their way to a [`BatchEncoder`]: it may run on another thread.
#[derive(Debug, Default)]
pub struct PlainEvents {
    bytes: Vec<u8>,
    /// For each event: where its bytes end, where in them its provenance begins, its identity.
    events: Vec<(usize, usize, Uuid)>,
    canonical: Canonical,
    name: String,
    plain_bytes: usize,
}

impl PlainEvents {
    /// Adds an event; gives its identity.
    pub fn push(&mut self, event: &Event) -> Uuid {
        self.canonical.clear();
        canonical::walk(event, &mut Counted { canonical: &mut self.canonical, plain_bytes: &mut self.plain_bytes });
        let (bytes, provenance) = self.canonical.parts();
        self.bytes.extend_from_slice(bytes);
        self.name.clear();
        identity::spell(event, &mut self.name);
        let id = identity::named(&self.name);
        self.events.push((self.bytes.len(), provenance, id));
        id
    }

    /// Events in it.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Bytes of values so far, before compression.
    pub fn plain_bytes(&self) -> usize {
        self.plain_bytes
    }

    /// Forgets the events, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.events.clear();
        self.plain_bytes = 0;
    }
}

/// Writes canonical bytes and counts those of values.
struct Counted<'a> {
    canonical: &'a mut Canonical,
    plain_bytes: &'a mut usize,
}

impl Sink for Counted<'_> {
    fn text(&mut self, tag: Tag, value: &str) {
        *self.plain_bytes += value.len() + 1;
        self.canonical.text(tag, value);
    }
    fn int(&mut self, tag: Tag, value: i64) {
        *self.plain_bytes += 4;
        self.canonical.int(tag, value);
    }
    fn dec(&mut self, tag: Tag, mantissa: i64, scale: u8) {
        *self.plain_bytes += 4;
        self.canonical.dec(tag, mantissa, scale);
    }
    fn open(&mut self, tag: Tag) {
        self.canonical.open(tag);
    }
}

/// Collects the events of one batch and encodes them.
#[derive(Default)]
pub struct BatchEncoder {
    shapes: HashMap<Vec<Tag>, u32>,
    shape_list: Vec<Vec<Tag>>,
    runs: Vec<(u32, u32)>,
    current: Vec<Tag>,
    slots: Vec<Option<Collected>>,
    events: u32,
    plain_bytes: usize,
    canonical_bytes: usize,
}

impl std::fmt::Debug for BatchEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchEncoder")
            .field("events", &self.events)
            .field("plain_bytes", &self.plain_bytes)
            .finish_non_exhaustive()
    }
}

impl BatchEncoder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event; gives its hashes and its id, both needed for the chain.
    pub fn push(&mut self, event: &Event) -> (Uuid, Digests) {
        let mut plain = PlainEvents::default();
        plain.push(event);
        let mut added = (Uuid::nil(), Digests { content: [0; 32], payload: [0; 32] });
        self.push_plain(&plain, |id, digests| added = (id, digests));
        added
    }

    /// Adds events; gives the id and the hashes of each.
    pub fn push_plain(&mut self, plain: &PlainEvents, mut each: impl FnMut(Uuid, Digests)) {
        let mut start = 0;
        for (end, provenance, id) in &plain.events {
            let bytes = &plain.bytes[start..*end];
            start = *end;
            self.current.clear();
            let is_whole = canonical::read(bytes, self).is_some();
            debug_assert!(is_whole, "canonical bytes were written by `walk`");
            self.close_event();
            self.canonical_bytes += bytes.len();
            each(*id, identity::digests_of(bytes, *provenance));
        }
    }

    /// Events in the batch.
    pub fn len(&self) -> u32 {
        self.events
    }

    /// Whether the batch is empty.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Bytes of values so far, before compression.
    pub fn plain_bytes(&self) -> usize {
        self.plain_bytes
    }

    /// Encodes the batch and leaves an empty one.
    ///
    /// # Errors
    /// [`CodecError`] where the batch is over a limit of this module.
    pub fn finish(&mut self) -> Result<Vec<u8>, CodecError> {
        let taken = std::mem::take(self);
        // The same limits as on reading: what the other end would refuse must never be stored.
        let values = taken.shape_list.iter().map(Vec::len).max().unwrap_or(0);
        limit("event of values", values, EVENT_VALUES_MAX)?;
        limit("batch of events", taken.events as usize, BATCH_EVENTS_MAX as usize)?;
        limit("batch of plain bytes", taken.canonical_bytes, PLAIN_BYTES_MAX)?;
        let columns = taken
            .slots
            .into_iter()
            .enumerate()
            .filter_map(|(tag, slot)| slot.map(|s| (Tag::try_from(tag).unwrap_or(Tag::MAX), pack(s))))
            .map(|(tag, (count, column))| (tag, count, column))
            .collect();
        let plain = encode_control(&Columns { shapes: taken.shape_list, runs: taken.runs, columns })?;
        limit("body of bytes", plain.len(), BODY_BYTES_MAX)?;
        let mut out = Vec::with_capacity(plain.len() / 4 + 16);
        out.push(COLUMNS_VERSION);
        out.extend_from_slice(&u32::try_from(plain.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(zstd::bulk::compress(&plain, ZSTD_LEVEL).map_err(CodecError::Expand)?);
        limit("batch of bytes", out.len(), COLUMNS_BYTES_MAX)?;
        Ok(out)
    }

    fn close_event(&mut self) {
        self.events += 1;
        // Neighbours are mostly of one shape: comparing costs less than looking it up.
        if let Some((last, count)) = self.runs.last_mut()
            && self.shape_list.get(*last as usize) == Some(&self.current)
        {
            *count += 1;
            return;
        }
        let shape = match self.shapes.get(&self.current) {
            Some(shape) => *shape,
            None => {
                let shape = u32::try_from(self.shape_list.len()).unwrap_or(u32::MAX);
                self.shape_list.push(self.current.clone());
                self.shapes.insert(self.current.clone(), shape);
                shape
            }
        };
        self.runs.push((shape, 1));
    }

    fn slot(&mut self, tag: Tag) -> &mut Collected {
        let at = usize::from(tag);
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        self.slots[at].get_or_insert_with(|| match tag & 3 {
            KIND_TEXT => Collected::Text { lens: Vec::new(), text: String::new() },
            KIND_INT => Collected::Int(Vec::new()),
            _ => Collected::Dec { scale: Vec::new(), mantissa: Vec::new() },
        })
    }
}

/// Puts each value into its column.
impl Sink for BatchEncoder {
    fn text(&mut self, tag: Tag, value: &str) {
        self.current.push(tag);
        self.plain_bytes += value.len() + 1;
        if let Collected::Text { lens, text } = self.slot(tag) {
            lens.push(u32::try_from(value.len()).unwrap_or(u32::MAX));
            text.push_str(value);
        }
    }

    fn int(&mut self, tag: Tag, value: i64) {
        self.current.push(tag);
        self.plain_bytes += 4;
        if let Collected::Int(ints) = self.slot(tag) {
            ints.push(value);
        }
    }

    fn dec(&mut self, tag: Tag, mantissa: i64, scale: u8) {
        self.current.push(tag);
        self.plain_bytes += 4;
        if let Collected::Dec { scale: scales, mantissa: mantissas } = self.slot(tag) {
            scales.push(scale);
            mantissas.push(mantissa);
        }
    }

    fn open(&mut self, tag: Tag) {
        self.current.push(tag);
    }
}

fn pack(collected: Collected) -> (u32, Column) {
    match collected {
        Collected::Text { lens, text } => (count(&lens), pack_text(lens, text)),
        Collected::Int(ints) => (count(&ints), pack_ints(&ints)),
        Collected::Dec { scale, mantissa } => {
            let n = count(&mantissa);
            match scale.first() {
                Some(one) if scale.iter().all(|s| s == one) => (n, Column::Dec { scale: *one, mantissa }),
                _ => (n, Column::DecMixed { scale, mantissa }),
            }
        }
    }
}

fn count<T>(values: &[T]) -> u32 {
    u32::try_from(values.len()).unwrap_or(u32::MAX)
}

fn pack_ints(ints: &[i64]) -> Column {
    let first = ints.first().copied().unwrap_or(0);
    let delta: Vec<i64> = ints.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
    match delta.first() {
        None => Column::IntStep { first, step: 0 },
        Some(step) if delta.iter().all(|d| d == step) => Column::IntStep { first, step: *step },
        Some(_) => Column::Int { first, delta },
    }
}

fn pack_text(lens: Vec<u32>, text: String) -> Column {
    const DICT_MAX: usize = 64;
    let mut words: Vec<&str> = Vec::new();
    let mut index = Vec::with_capacity(lens.len());
    let mut at = 0;
    for len in &lens {
        let word = &text[at..at + *len as usize];
        at += *len as usize;
        // Neighbours are mostly equal: look from the newest word backwards.
        match words.iter().rposition(|w| *w == word) {
            Some(found) => index.push(found as u8),
            None if words.len() < DICT_MAX && words.len() <= index.len() / 4 + 4 => {
                index.push(words.len() as u8);
                words.push(word);
            }
            None => return Column::Text { lens, text },
        }
    }
    match words.as_slice() {
        [one] => Column::TextConst((*one).to_owned()),
        _ => Column::TextDict { words: words.into_iter().map(str::to_owned).collect(), index },
    }
}

fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), CodecError> {
    if found > limit { Err(CodecError::Limit { what, found, limit }) } else { Ok(()) }
}

/// An event of a decoded batch with what was derived from it.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The event.
    pub event: Event,
    /// Its identity.
    pub id: Uuid,
    /// Its hashes, over all values that were sent.
    pub digests: Digests,
}

/// Decodes a batch.
///
/// # Errors
/// [`CodecError`] for anything that [`BatchEncoder::finish`] of a known version could not have written.
pub fn decode_batch(bytes: &[u8]) -> Result<Vec<Decoded>, CodecError> {
    let columns = expand(bytes)?;
    let events: u64 = columns.runs.iter().map(|(_, n)| u64::from(*n)).sum();
    limit("batch of events", usize::try_from(events).unwrap_or(usize::MAX), BATCH_EVENTS_MAX as usize)?;
    let mut readers = Readers::new(&columns.columns)?;
    let mut decoded = Vec::with_capacity(usize::try_from(events).unwrap_or(0));
    let mut canonical = Canonical::default();
    let mut plain = 0;
    for (shape, n) in &columns.runs {
        let shape = columns.shapes.get(*shape as usize).ok_or(CodecError::Columns { what: "no such shape" })?;
        limit("event of values", shape.len(), EVENT_VALUES_MAX)?;
        for _ in 0..*n {
            decoded.push(decode_event(shape, &mut readers, &mut canonical, decoded.len())?);
            // A column of one text for all events expands without end where nobody counts.
            plain += canonical.len();
            limit("batch of plain bytes", plain, PLAIN_BYTES_MAX)?;
        }
    }
    readers.all_used()?;
    Ok(decoded)
}

fn expand(bytes: &[u8]) -> Result<Columns, CodecError> {
    let (version, rest) = bytes.split_first().ok_or(CodecError::Truncated)?;
    if *version != COLUMNS_VERSION {
        return Err(CodecError::Version { found: *version });
    }
    let (len, packed) = rest.split_first_chunk::<4>().ok_or(CodecError::Truncated)?;
    let len = u32::from_le_bytes(*len) as usize;
    limit("body of bytes", len, BODY_BYTES_MAX)?;
    let plain = zstd::bulk::decompress(packed, len).map_err(CodecError::Expand)?;
    let config = bincode::config::standard().with_limit::<{ BODY_BYTES_MAX * 2 }>();
    let (columns, used) =
        bincode::serde::decode_from_slice(&plain, config).map_err(|e| CodecError::Decode(Box::new(e)))?;
    if used != plain.len() || plain.len() != len {
        return Err(CodecError::Columns { what: "bytes after the body" });
    }
    Ok(columns)
}

fn decode_event(
    shape: &[Tag],
    readers: &mut Readers<'_>,
    canonical: &mut Canonical,
    index: usize,
) -> Result<Decoded, CodecError> {
    canonical.clear();
    let mut builder = Builder::new();
    for tag in shape {
        let value = if tag & 3 == KIND_OPEN { Value::Open } else { readers.next(*tag)? };
        match value {
            Value::Text(text) => canonical.text(*tag, text),
            Value::Int(n) => canonical.int(*tag, n),
            Value::Dec(mantissa, scale) => canonical.dec(*tag, mantissa, scale),
            Value::Open => canonical.open(*tag),
        }
        builder.push(*tag, value).map_err(|source| CodecError::Event { index, source })?;
    }
    let event = builder.finish().map_err(|source| CodecError::Event { index, source })?;
    Ok(Decoded { id: identity::event_id(&event), digests: canonical.digests(), event })
}

/// Reads each column in order.
struct Readers<'a> {
    by_tag: Vec<Option<Reader<'a>>>,
}

struct Reader<'a> {
    column: &'a Column,
    left: u32,
    at: usize,
    byte: usize,
    int: i64,
}

impl<'a> Readers<'a> {
    fn new(columns: &'a [(Tag, u32, Column)]) -> Result<Self, CodecError> {
        let mut by_tag: Vec<Option<Reader<'a>>> = Vec::new();
        for (tag, n, column) in columns {
            check(*tag, *n as usize, column)?;
            let at = usize::from(*tag);
            if by_tag.len() <= at {
                by_tag.resize_with(at + 1, || None);
            }
            if by_tag[at].replace(Reader { column, left: *n, at: 0, byte: 0, int: 0 }).is_some() {
                return Err(CodecError::Columns { what: "two columns with one tag" });
            }
        }
        Ok(Self { by_tag })
    }

    fn next(&mut self, tag: Tag) -> Result<Value<'a>, CodecError> {
        let reader = self.by_tag.get_mut(usize::from(tag)).and_then(Option::as_mut);
        let reader = reader.filter(|r| r.left > 0).ok_or(CodecError::Columns { what: "a column is too short" })?;
        reader.left -= 1;
        let at = reader.at;
        reader.at += 1;
        Ok(match reader.column {
            Column::TextConst(text) => Value::Text(text),
            Column::TextDict { words, index } => {
                let word = words.get(usize::from(index[at]));
                Value::Text(word.ok_or(CodecError::Columns { what: "no such word" })?)
            }
            Column::Text { lens, text } => {
                let end = reader.byte.saturating_add(lens[at] as usize);
                let part = text.get(reader.byte..end).ok_or(CodecError::Columns { what: "a text is cut" })?;
                reader.byte = end;
                Value::Text(part)
            }
            Column::Int { first, delta } => {
                reader.int = if at == 0 { *first } else { reader.int.wrapping_add(delta[at - 1]) };
                Value::Int(reader.int)
            }
            Column::IntStep { first, step } => {
                reader.int = if at == 0 { *first } else { reader.int.wrapping_add(*step) };
                Value::Int(reader.int)
            }
            Column::Dec { scale, mantissa } => Value::Dec(mantissa[at], *scale),
            Column::DecMixed { scale, mantissa } => Value::Dec(mantissa[at], scale[at]),
        })
    }

    fn all_used(&self) -> Result<(), CodecError> {
        if self.by_tag.iter().flatten().any(|r| r.left > 0) {
            return Err(CodecError::Columns { what: "values are left over" });
        }
        Ok(())
    }
}

/// A column must be of its tag's kind and hold as many values as it says.
fn check(tag: Tag, n: usize, column: &Column) -> Result<(), CodecError> {
    let (kind, found) = match column {
        Column::TextConst(_) => (KIND_TEXT, n),
        Column::TextDict { index, .. } => (KIND_TEXT, index.len()),
        Column::Text { lens, .. } => (KIND_TEXT, lens.len()),
        Column::Int { delta, .. } => (KIND_INT, delta.len() + 1),
        Column::IntStep { .. } => (KIND_INT, n),
        Column::Dec { mantissa, .. } => (KIND_DEC, mantissa.len()),
        Column::DecMixed { scale, mantissa } if scale.len() == mantissa.len() => (KIND_DEC, mantissa.len()),
        Column::DecMixed { .. } => (KIND_DEC, usize::MAX),
    };
    if kind != tag & 3 || found != n {
        return Err(CodecError::Columns { what: "a column of the wrong kind or length" });
    }
    Ok(())
}

//! An event of the source as it is handed around here: fields in the order of the source, found by looking through the few there are.
//!
//! It is the shape of EPCIS 2.0 JSON. Events have a dozen fields, their parts two or three; a table that hashes names costs more
//! than such an event is worth. Objects with many fields get one all the same.

use std::{collections::HashMap, fmt};

use serde_json::{Map, Number, Value};

/// Fields above which names are looked up in a table.
const LISTED_MAX: usize = 32;

/// A value.
#[derive(Debug)]
pub(super) enum Part {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Self>),
    Object(Fields),
}

impl Part {
    pub(super) fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(parts) = self { Some(parts) } else { None }
    }

    /// A field of an object.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        if let Self::Object(fields) = self { fields.get(key) } else { None }
    }

    /// Values in it, itself included.
    fn size(&self) -> usize {
        match self {
            Self::Object(fields) => fields.size(),
            Self::List(parts) => 1 + parts.iter().map(Self::size).sum::<usize>(),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => 1,
        }
    }

    /// The value as JSON.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(is) => Value::Bool(*is),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.clone()),
            Self::List(parts) => parts.iter().map(Self::json).collect(),
            Self::Object(fields) => fields.iter().map(|(key, part)| (key.to_owned(), part.json())).collect(),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.json().fmt(f)
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Value> for Part {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(is) => Self::Bool(is),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text),
            Value::Array(parts) => Self::List(parts.into_iter().map(Self::from).collect()),
            Value::Object(object) => Self::Object(object.into()),
        }
    }
}

/// Values by name. A value that is set again stays at its place; the last one moves to the place of one that is taken out, as in a map of
/// `serde_json` that preserves order.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pairs: Vec<(String, Part)>,
    /// Places by name, once there are more than [`LISTED_MAX`].
    places: Option<HashMap<String, usize>>,
}

impl Fields {
    pub(super) fn with_capacity(count: usize) -> Self {
        Self { pairs: Vec::with_capacity(count), places: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Part)> {
        self.pairs.iter().map(|(key, part)| (key.as_str(), part))
    }

    pub(super) fn get(&self, key: &str) -> Option<&Part> {
        self.pairs.get(self.place(key)?).map(|(_, part)| part)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Part> {
        let at = self.place(key)?;
        self.pairs.get_mut(at).map(|(_, part)| part)
    }

    pub(super) fn insert(&mut self, key: String, part: Part) {
        match self.get_mut(&key) {
            Some(known) => *known = part,
            None => self.push(key, part),
        }
    }

    /// Adds a value under a name that is not there.
    pub(super) fn push(&mut self, key: String, part: Part) {
        if let Some(places) = &mut self.places {
            places.insert(key.clone(), self.pairs.len());
        }
        self.pairs.push((key, part));
        if self.places.is_none() && self.pairs.len() > LISTED_MAX {
            let places = self.pairs.iter().enumerate().map(|(at, (key, _))| (key.clone(), at));
            self.places = Some(places.collect());
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Part> {
        let at = self.place(key)?;
        let (_, part) = self.pairs.swap_remove(at);
        if let Some(places) = &mut self.places {
            places.remove(key);
            if let Some((moved, _)) = self.pairs.get(at) {
                places.insert(moved.clone(), at);
            }
        }
        Some(part)
    }

    /// Values in it, itself included.
    pub(super) fn size(&self) -> usize {
        1 + self.pairs.iter().map(|(_, part)| part.size()).sum::<usize>()
    }

    #[inline]
    fn place(&self, key: &str) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(key).copied(),
            None => self.pairs.iter().position(|(known, _)| known == key),
        }
    }
}

impl IntoIterator for Fields {
    type Item = (String, Part);
    type IntoIter = std::vec::IntoIter<(String, Part)>;

    fn into_iter(self) -> Self::IntoIter {
        self.pairs.into_iter()
    }
}

impl FromIterator<(String, Part)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Part)>>(pairs: I) -> Self {
        let mut fields = Self::default();
        pairs.into_iter().for_each(|(key, part)| fields.insert(key, part));
        fields
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(object: Map<String, Value>) -> Self {
        object.into_iter().map(|(key, value)| (key, Part::from(value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fields_keep_the_order_that_a_map_of_json_keeps(
            steps in proptest::collection::vec((any::<bool>(), 0_u8..60, any::<u16>()), 0..200),
        ) {
            let (mut fields, mut map) = (Fields::default(), Map::new());
            for (is_insert, key, value) in steps {
                let key = format!("key{key}");
                if is_insert {
                    fields.insert(key.clone(), Part::from(Value::from(value)));
                    map.insert(key, value.into());
                } else {
                    prop_assert_eq!(fields.remove(&key).map(|part| part.json()), map.remove(&key));
                }
                prop_assert_eq!(fields.size(), map.len() + 1);
            }
            prop_assert_eq!(Part::Object(fields).to_string(), Value::Object(map).to_string());
        }
    }
}

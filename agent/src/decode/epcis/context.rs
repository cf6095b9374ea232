//! Prefixes of JSON-LD keys, as far as events need them: a key of a partner becomes `<name space>#<field>`, the same as in XML.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;

use super::fields::{Fields, Part};

/// Name spaces by prefix, and whole terms.
#[derive(Debug, Clone)]
pub(super) struct Context {
    names: BTreeMap<String, String>,
    /// A bit for each length below 64 that a prefix has: most keys need no look at the prefixes.
    lengths: u64,
}

impl Default for Context {
    /// What `epcis-context.jsonld` declares and everybody uses.
    fn default() -> Self {
        let known = [
            ("cbv", "https://ref.gs1.org/cbv/"),
            ("cbvmda", "urn:epcglobal:cbv:mda:"),
            ("epcis", "https://ref.gs1.org/epcis/"),
            ("gs1", "https://ref.gs1.org/voc/"),
        ];
        let lengths = known.iter().fold(0, |lengths, (prefix, _)| lengths | length_bit(prefix));
        Self { names: known.map(|(prefix, name)| (prefix.to_owned(), name.to_owned())).into(), lengths }
    }
}

/// Most prefixes that are kept.
const NAMES_MAX: usize = 1000;

impl Context {
    /// Adds what an `@context` declares; the addresses of outside contexts are not followed.
    pub(super) fn add(&mut self, context: &Value) {
        match context {
            Value::Array(parts) => parts.iter().for_each(|part| self.add_names(part)),
            other => self.add_names(other),
        }
    }

    fn add_names(&mut self, part: &Value) {
        let Value::Object(names) = part else { return };
        for (prefix, meaning) in names {
            let name = meaning.as_str().or_else(|| meaning.get("@id")?.as_str());
            if let Some(name) = name
                && self.names.len() < NAMES_MAX
            {
                self.lengths |= length_bit(prefix);
                self.names.insert(prefix.clone(), name.to_owned());
            }
        }
    }

    /// A value of the kind `prefix:word`, written out where the prefix is known.
    pub(super) fn expanded<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match text.split_once(':') {
            Some((prefix, word)) if !word.starts_with("//") => match self.names.get(prefix) {
                Some(name) => Cow::Owned(format!("{name}{word}")),
                None => Cow::Borrowed(text),
            },
            _ => Cow::Borrowed(text),
        }
    }

    /// The object with every partner's key in the form `<name space>#<field>`.
    pub(super) fn qualified(&self, object: Fields) -> Fields {
        if self.is_plain(&object) {
            return object;
        }
        let pairs = object.into_iter().filter(|(key, _)| key != "@context");
        pairs.map(|(key, value)| (self.key(&key), self.value(value))).collect()
    }

    /// Whether it has no key that would become another one, at any depth.
    fn is_plain(&self, object: &Fields) -> bool {
        object.iter().all(|(key, value)| {
            let is_term = self.lengths & length_bit(key) != 0 && self.names.contains_key(key);
            !is_term && key != "@context" && !key.contains(':') && self.has_plain(value)
        })
    }

    fn has_plain(&self, value: &Part) -> bool {
        match value {
            Part::Object(object) => self.is_plain(object),
            Part::List(parts) => parts.iter().all(|part| self.has_plain(part)),
            Part::Null | Part::Bool(_) | Part::Number(_) | Part::Text(_) => true,
        }
    }

    fn value(&self, value: Part) -> Part {
        match value {
            Part::Object(object) => Part::Object(self.qualified(object)),
            Part::List(parts) => Part::List(parts.into_iter().map(|part| self.value(part)).collect()),
            plain => plain,
        }
    }

    fn key(&self, key: &str) -> String {
        let whole = match self.names.get(key) {
            Some(term) if key != "type" && key != "id" => term.clone(),
            _ if !key.contains(':') => return key.to_owned(),
            _ => self.expanded(key).into_owned(),
        };
        match whole.rfind(['#', '/', ':']) {
            Some(at) => name(whole.get(..at).unwrap_or_default(), whole.get(at + 1..).unwrap_or_default()),
            None => whole,
        }
    }
}

fn length_bit(key: &str) -> u64 {
    1 << key.len().min(63)
}

/// Whether a context declares names of its own.
pub(super) fn declares(context: &Value) -> bool {
    match context {
        Value::Array(parts) => parts.iter().any(Value::is_object),
        other => other.is_object(),
    }
}

/// The key of a partner's field.
pub(super) fn name(space: &str, field: &str) -> String {
    format!("{}#{field}", space.trim_end_matches(['#', '/', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(context: &str, key: &str) -> String {
        let mut all = Context::default();
        all.add(&serde_json::from_str(context).unwrap());
        all.key(key)
    }

    #[test]
    fn keys_of_partners_get_their_name_space() {
        let context =
            r#"["https://x/c.jsonld", {"ex": "http://ns.example.com/epcis/", "own": {"@id": "http://a.b/c#own"}}]"#;

        assert_eq!(keys(context, "ex:myField"), "http://ns.example.com/epcis#myField");
        assert_eq!(keys(context, "http://ns.example.com/epcis/myField"), "http://ns.example.com/epcis#myField");
        assert_eq!(keys(context, "own"), "http://a.b/c#own");
        assert_eq!(keys(context, "cbvmda:lotNumber"), "urn:epcglobal:cbv:mda#lotNumber");
        assert_eq!(keys(context, "else:field"), "else#field");
        assert_eq!(keys(context, "bizStep"), "bizStep");
    }
}

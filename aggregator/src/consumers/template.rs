//! Texts with places for what an event says: addresses, headers and bodies of HTTP destinations. Pure.
//!
//! | place | holds |
//! |---|---|
//! | `{key}` | key of the effect, unique for ever |
//! | `{document}` | document that orders its events |
//! | `{site}`, `{type}` | site, type of the event |
//! | `{/lines/0/item/sku}` | the text or number at that JSON pointer (RFC 6901) of the event; empty where there is none |
//! | `{event}` | the event, as a JSON object |
//! | `{json:/lines}` | what stands at that pointer, as JSON; `null` where there is none |
//!
//! Braces around anything else stand for themselves, as in JSON. What is put in is escaped for where it stands.

use docksync_proto::identity::document_key;
use serde_json::Value;

use super::{Delivery, json::event_json, wire::escape};

/// A text with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Key,
    Document,
    Site,
    Type,
    Field(String),
    Event,
    Json(String),
}

/// Where a template stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In an address: what is put in is one segment or value.
    Url,
    /// In a header: visible ASCII.
    Header,
    /// In a body of JSON: between quotation marks, but for whole JSON.
    Json,
}

/// A place that nothing is known for; its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown(pub String);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`Unknown`].
    pub fn parse(text: &str) -> Result<Self, Unknown> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, behind) = rest.split_at(open);
            let inside = behind.find('}').map(|close| &behind[1..close]).filter(|name| is_place(name));
            let taken = match inside {
                Some(name) => {
                    push(&mut parts, before);
                    parts.push(part(name).ok_or_else(|| Unknown(name.to_owned()))?);
                    open + name.len() + 2
                }
                // A brace of the text's own.
                None => {
                    push(&mut parts, &rest[..=open]);
                    open + 1
                }
            };
            rest = &rest[taken..];
        }
        push(&mut parts, rest);
        Ok(Self(parts))
    }

    /// The text with everything put in.
    pub fn render(&self, delivery: &Delivery, place: Place) -> String {
        // Most templates ask for little of the event: it is written, and read back, for those only that do.
        let is_asked = self.holds_json() || self.asks_for_fields();
        let event = if is_asked { event_json(delivery) } else { String::new() };
        let read: Option<Value> = self.asks_for_fields().then(|| serde_json::from_str(&event).ok()).flatten();
        let at = |pointer: &str| read.as_ref().and_then(|event| event.pointer(pointer));
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Key => text.push_str(&escaped(&delivery.key, place)),
                Part::Document => text.push_str(&escaped(document_key(&delivery.event), place)),
                Part::Site => text.push_str(&escaped(delivery.event.site_id.as_str(), place)),
                Part::Type => text.push_str(&escaped(delivery.event.event_type.as_str(), place)),
                Part::Field(pointer) => text.push_str(&escaped(&at(pointer).map(plain).unwrap_or_default(), place)),
                Part::Event => text.push_str(&event),
                Part::Json(pointer) => text.push_str(&at(pointer).unwrap_or(&Value::Null).to_string()),
            }
        }
        text
    }

    /// The text with something in each place, to see whether it can be what it should be.
    pub fn sample(&self) -> String {
        let shown = |part: &Part| match part {
            Part::Text(plain) => plain.clone(),
            Part::Event => "{}".to_owned(),
            Part::Json(_) => "null".to_owned(),
            Part::Key | Part::Document | Part::Site | Part::Type | Part::Field(_) => "x".to_owned(),
        };
        self.0.iter().map(shown).collect()
    }

    /// Whether it holds whole JSON, which only a body can.
    pub fn holds_json(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Event | Part::Json(_)))
    }

    fn asks_for_fields(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Field(_) | Part::Json(_)))
    }
}

fn push(parts: &mut Vec<Part>, text: &str) {
    if text.is_empty() {
        return;
    }
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

/// Whether what stands between braces is meant as a place: a word, or a pointer.
fn is_place(name: &str) -> bool {
    let is_word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    is_word || name.starts_with('/') || name.starts_with("json:")
}

fn part(name: &str) -> Option<Part> {
    Some(match name {
        "key" => Part::Key,
        "document" => Part::Document,
        "site" => Part::Site,
        "type" => Part::Type,
        "event" => Part::Event,
        _ => match name.strip_prefix("json:") {
            Some(pointer) if pointer.starts_with('/') => Part::Json(pointer.to_owned()),
            None if name.starts_with('/') => Part::Field(name.to_owned()),
            Some(_) | None => return None,
        },
    })
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn escaped(text: &str, place: Place) -> String {
    match place {
        Place::Url => escape(text),
        Place::Header => text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect(),
        Place::Json => {
            let quoted = Value::from(text).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumers::conformance::{line, shipment_of};

    fn rendered(template: &str, place: Place) -> String {
        Template::parse(template).unwrap().render(&shipment_of(7, line("A \"1\"/é", 4)), place)
    }

    #[test]
    fn what_is_put_in_is_escaped_for_where_it_stands() {
        let template = "{document}|{/lines/0/item/sku}|{site}|{type}|{/nothing}";

        assert_eq!(rendered(template, Place::Url), "SO-7|A%20%221%22%2F%C3%A9|DC01|shipment_confirmed|");
        assert_eq!(rendered(template, Place::Header), "SO-7|A \"1\"/?|DC01|shipment_confirmed|");
        assert_eq!(rendered(template, Place::Json), "SO-7|A \\\"1\\\"/é|DC01|shipment_confirmed|");
    }

    #[test]
    fn a_body_of_json_stays_json_whatever_the_event_says() {
        let template = r#"{"id": "{key}", "item": "{/lines/0/item/sku}", "lines": {json:/lines}, "none": {json:/x}, "all": {event}, "empty": {}}"#;

        let body: Value = serde_json::from_str(&rendered(template, Place::Json)).unwrap();

        assert_eq!(body["item"], "A \"1\"/é");
        assert_eq!(body["lines"], body["all"]["lines"]);
        assert_eq!((&body["none"], &body["empty"]), (&Value::Null, &serde_json::json!({})));
        assert!(serde_json::from_str::<Value>(&Template::parse(template).unwrap().sample()).is_ok());
    }

    #[test]
    fn a_place_that_nothing_is_known_for_is_named() {
        assert_eq!(Template::parse("https://x/{docment}"), Err(Unknown("docment".to_owned())));
        assert_eq!(Template::parse("{json:lines}"), Err(Unknown("json:lines".to_owned())));
        assert_eq!(Template::parse("{ key } {} {").unwrap().sample(), "{ key } {} {");
    }
}

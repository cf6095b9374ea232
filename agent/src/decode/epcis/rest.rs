//! Keeps what no field of the contract takes.

use docksync_proto::event::Event;
use serde_json::{Map, Value};

use super::{super::trade, context::Context, words};

/// Keeps a value that no field takes: a field of a field by its path, one of several objects by its number.
pub(super) fn flatten(event: &mut Event, key: &str, value: &Value, context: &Context) {
    match value {
        Value::Null => {}
        Value::String(text) if key.contains("isposition") => {
            trade::keep(event, key, words::short(&context.expanded(text)));
        }
        Value::String(text) => trade::keep(event, key, text.trim()),
        Value::Bool(_) | Value::Number(_) => trade::keep(event, key, &value.to_string()),
        Value::Object(fields) => flatten_fields(event, key, fields, context),
        Value::Array(parts) if parts.len() < 2 || parts.iter().all(|part| !part.is_object() && !part.is_array()) => {
            parts.iter().for_each(|part| flatten(event, key, part, context));
        }
        Value::Array(parts) => {
            let parts = parts.iter().enumerate();
            parts.for_each(|(at, part)| flatten(event, &format!("{key}[{at}]"), part, context));
        }
    }
}

fn flatten_fields(event: &mut Event, key: &str, fields: &Map<String, Value>, context: &Context) {
    // The field of a field shows its own name space only where that is another one.
    let space = key.rsplit_once('#').map(|(space, _)| space.trim_start_matches("epcis:"));
    for (name, value) in fields {
        let name = match name.split_once('#') {
            Some((own, field)) if space.is_some_and(|space| space.ends_with(own)) => field,
            _ => name,
        };
        flatten(event, &format!("{key}/{name}"), value, context);
    }
}

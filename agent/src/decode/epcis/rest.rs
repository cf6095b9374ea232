//! Keeps what no field of the contract takes.

use super::{
    super::trade,
    context::Context,
    fields::{Fields, Part},
    words,
};
use docksync_proto::event::Event;

/// Keeps a value that no field takes: a field of a field by its path, one of several objects by its number.
pub(super) fn flatten(event: &mut Event, key: &str, value: &Part, context: &Context) {
    match value {
        Part::Null => {}
        Part::Text(text) if key.contains("isposition") => {
            trade::keep(event, key, words::short(&context.expanded(text)));
        }
        Part::Text(text) => trade::keep(event, key, text.trim()),
        Part::Bool(_) | Part::Number(_) => trade::keep(event, key, &value.to_string()),
        Part::Object(fields) => flatten_fields(event, key, fields, context),
        Part::List(parts)
            if parts.len() < 2 || parts.iter().all(|part| !matches!(part, Part::Object(_) | Part::List(_))) =>
        {
            parts.iter().for_each(|part| flatten(event, key, part, context));
        }
        Part::List(parts) => {
            let parts = parts.iter().enumerate();
            parts.for_each(|(at, part)| flatten(event, &format!("{key}[{at}]"), part, context));
        }
    }
}

fn flatten_fields(event: &mut Event, key: &str, fields: &Fields, context: &Context) {
    // The field of a field shows its own name space only where that is another one.
    let space = key.rsplit_once('#').map(|(space, _)| space.trim_start_matches("epcis:"));
    for (name, value) in fields.iter() {
        let name = match name.split_once('#') {
            Some((own, field)) if space.is_some_and(|space| space.ends_with(own)) => field,
            _ => name,
        };
        flatten(event, &format!("{key}/{name}"), value, context);
    }
}

//! An event as one line of JSON: what `map test --jsonl` prints is what would be queued.

use docksync_proto::{
    event::{Event, SCHEMA},
    identity,
};
use serde_json::{Map, Value};

/// The event as JSON: `schema` and `event_id` first, then its fields in the order of the contract.
///
/// # Errors
/// `serde_json::Error` where a value cannot be written; no value of the contract is such.
pub fn event_json(event: &Event) -> Result<Value, serde_json::Error> {
    let mut all = Map::new();
    all.insert("schema".to_owned(), SCHEMA.into());
    all.insert("event_id".to_owned(), identity::event_id(event).to_string().into());
    if let Value::Object(fields) = serde_json::to_value(event)? {
        all.extend(fields);
    }
    Ok(Value::Object(all))
}

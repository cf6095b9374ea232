//! An event as other systems read it: the fields of the contract behind schema, id and number.

use docksync_proto::event::{Event, SCHEMA};
use serde::Serialize;
use uuid::Uuid;

use super::Delivery;

#[derive(Serialize)]
struct Envelope<'e> {
    schema: &'static str,
    event_id: Uuid,
    site_seq: u64,
    #[serde(flatten)]
    event: &'e Event,
}

/// The delivery's event as one JSON object.
///
/// # Panics
/// Never: the contract's types have only text keys.
pub fn event_json(delivery: &Delivery) -> String {
    let envelope = Envelope { schema: SCHEMA, event_id: delivery.id, site_seq: delivery.seq, event: &delivery.event };
    serde_json::to_string(&envelope).expect("an event has only text keys and finite numbers")
}

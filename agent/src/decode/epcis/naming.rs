//! Identity of events that their source did not name.

use docksync_proto::{event::Event, identity};
use sha2::{Digest as _, Sha256};

use super::{
    fields::Part,
    ids,
    raw::{Id, Raw},
};

/// Whether the event's id hangs on what it says alone, and not on the file that carries it.
pub(super) fn is_named(event: &Event) -> bool {
    let mut elsewhere = event.clone();
    elsewhere.source.file_sha256.push('-');
    identity::event_id(&elsewhere) == identity::event_id(event)
}

/// Names an event without id by what, when, where and why (RFC 6920 form), the same in XML and in JSON and in every file.
pub(super) fn fingerprint(raw: &Raw, event: &Event) -> String {
    let mut sha = Sha256::new();
    let mut part = |text: &str| {
        sha.update(text.as_bytes());
        sha.update([0x1f]);
    };
    let label = |id: &Option<Id>| id.as_ref().map(|id| id.key.label()).unwrap_or_default();
    part(&event.time.at.as_millisecond().to_string());
    for text in [&raw.kind, &raw.action, &raw.step, &raw.disposition, &raw.zone] {
        part(text);
    }
    for id in [&raw.read_point, &raw.location, &raw.parent] {
        part(&label(id));
    }
    let mut goods: Vec<String> = raw.epcs.iter().map(|id| id.key.label()).collect();
    goods.extend(raw.quantities.iter().map(|quantity| {
        let amount = quantity.amount.map(|amount| amount.to_string()).unwrap_or_default();
        format!("{}*{amount}*{}", quantity.class.key.label(), quantity.uom)
    }));
    goods.extend(raw.transactions.iter().map(|(kind, value)| format!("{kind}={value}")));
    for key in ["inputEPCList", "outputEPCList", "inputQuantityList", "outputQuantityList", "transformationID"] {
        goods.extend(raw.rest.get(key).into_iter().flat_map(|value| texts(key, value)));
    }
    goods.sort_unstable();
    goods.iter().for_each(|text| part(text));
    format!("ni:///sha-256;{}?ver=docksync1", identity::hex(&sha.finalize()))
}

/// Identifiers of a list that has no place among the goods.
fn texts(key: &str, value: &Part) -> Vec<String> {
    let parts = value.as_list().unwrap_or_default();
    let text = |part: &Part| Some(ids::key(part.as_str().or_else(|| part.get("epcClass")?.as_str())?).label());
    parts.iter().filter_map(text).map(|label| format!("{key}={label}")).collect()
}

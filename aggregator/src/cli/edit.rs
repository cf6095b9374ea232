//! `parked edit`: another content for one consumer, sent in place of what it refused. The ledger keeps the original.

use std::io::Write;

use clap::Args;
use docksync_proto::{
    codec::Decoded,
    event::Event,
    identity::{self, digests},
};
use serde_json::Value;

use super::{CliError, copies::open, decide, events, parked};
use crate::{
    admit::{Verdict, admit},
    config::Config,
    ledger::{ADMIT_TARGET, Change, OpKind, Reads as _, Store as _, audit::Entry, lock::StateLock},
};

/// Code of what was sent and never answered.
const UNKNOWN: &str = "UNKNOWN_OUTCOME";

/// Which event, and what is to be another.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// Place as `parked list` shows it
    pub place: String,
    /// Consumer that refused it
    #[arg(long)]
    pub consumer: String,
    /// Field and its new value, as /lines/0/item/sku=4711 (JSON pointer; text or JSON); an empty value takes the field away
    #[arg(long = "set", value_name = "POINTER=VALUE", required = true)]
    pub set: Vec<String>,
    /// Show the difference and whether it can be sent; change nothing
    #[arg(long)]
    pub preview: bool,
    /// Why; kept in the audit trail
    #[arg(long)]
    pub reason: String,
    /// Who decides; kept in the audit trail
    #[arg(long)]
    pub by: String,
}

/// Edits one event for one consumer, and has it sent.
///
/// # Errors
/// [`CliError`]; nothing was changed then.
pub(super) fn edit(config: &Config, args: &EditArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let loc = parked::place(&args.place)?;
    let lock = StateLock::take(&config.state_dir)?;
    let store = open(config)?;
    let targets = decide::targets(store.reads(), loc, Some(&args.consumer))?;
    if !targets.contains(&args.consumer) {
        let refused = targets.iter().any(|t| t == ADMIT_TARGET);
        let why = if refused { "it was never admitted: have its site send it right" } else { "" };
        return Err(CliError::NotEditable { place: args.place.clone(), consumer: args.consumer.clone(), why });
    }
    let absent = || CliError::NotParked { place: args.place.clone() };
    let batch = store.reads().batch(loc.batch_no())?.ok_or_else(absent)?;
    if batch.priors.iter().any(|(at, _)| *at == loc.index()) {
        let why = "it is the correction of an earlier event: have its site send another";
        return Err(CliError::NotEditable { place: args.place.clone(), consumer: args.consumer.clone(), why });
    }
    let original = events::decode(&batch)?.into_iter().nth(loc.index()).ok_or_else(absent)?;
    if store.reads().fates(&batch.site, loc)?.0.iter().any(|row| row.consumer == args.consumer && row.code == UNKNOWN) {
        let why = "its first outcome is not known, and two contents could take effect: retry it or skip it";
        return Err(CliError::NotEditable { place: args.place.clone(), consumer: args.consumer.clone(), why });
    }
    // A second edit goes on from the first.
    let earlier = store.reads().edits(loc)?.into_iter().find(|(of, ..)| *of == args.consumer).map(|(.., text)| text);
    let present: Event = match &earlier {
        Some(text) => serde_json::from_str(text).map_err(std::io::Error::from)?,
        None => original.event.clone(),
    };
    let edited = changed(&present, &args.set)?;
    let shown = difference(&present, &edited)?;
    shown.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    if shown.is_empty() {
        return Err(CliError::Edit { text: args.set.join(" "), why: "that is what it says already".to_owned() });
    }
    judge(&original, &edited, &batch.site)?;
    let is_original = edited == original.event;
    if args.preview {
        let what = if is_original { "the original" } else { "this" };
        writeln!(out, "{what} would be sent to {} under its key {}; nothing was changed", args.consumer, original.id)?;
        return Ok(());
    }
    let text = serde_json::to_string(&edited).map_err(std::io::Error::from)?;
    // One transaction: of two persons one is refused, and a cut leaves all of it or none.
    let changes = vec![
        Change::Edit {
            consumer: args.consumer.clone(),
            loc,
            event: (!is_original).then(|| text.clone()),
            by: args.by.clone(),
        },
        Change::Audit(Entry {
            who: args.by.clone(),
            act: "edit".to_owned(),
            subject: format!("{} {} {loc}", args.consumer, batch.site),
            detail: format!("{}: {}", args.reason, shown.join("; ")),
        }),
        Change::Ask {
            target: args.consumer.clone(),
            kind: OpKind::Retry,
            loc,
            reason: args.reason.clone(),
            by: args.by.clone(),
        },
    ];
    match decide::ask(config, store, lock.is_some(), changes, &[(args.consumer.clone(), loc)]) {
        Ok(_) => writeln!(out, "retry {loc} for {}: done", args.consumer)?,
        // It went another way meanwhile: what was sent then was not this.
        Err(error @ CliError::Refused { .. }) => {
            open(config)?.change(&[Change::Unedit { consumer: args.consumer.clone(), loc, event: text }])?;
            return Err(error);
        }
        // Stored and not answered yet: the service takes both, edit and request.
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The event with every change made. What was a text stays one; what was not there is a text where that makes an event, else JSON.
fn changed(event: &Event, set: &[String]) -> Result<Event, CliError> {
    let as_text = made(event, set, false);
    match as_text {
        Ok(event) => Ok(event),
        Err(first) => made(event, set, true).map_err(|_| first),
    }
}

fn made(event: &Event, set: &[String], is_json: bool) -> Result<Event, CliError> {
    let refuse = |text: &str, why: String| CliError::Edit { text: text.to_owned(), why };
    let mut json = serde_json::to_value(event).map_err(std::io::Error::from)?;
    for text in set {
        let (pointer, value) = text
            .split_once('=')
            .ok_or_else(|| refuse(text, "give a pointer and a value, as /lines/0/item/sku=4711".to_owned()))?;
        let (parent, key) = pointer
            .rsplit_once('/')
            .ok_or_else(|| refuse(text, "a pointer starts with /, as /lines/0/item/sku".to_owned()))?;
        let parent = json.pointer_mut(parent).ok_or_else(|| refuse(text, format!("the event has no {parent}")))?;
        put(parent, key, value, is_json)
            .ok_or_else(|| refuse(text, "there is no such place in the event".to_owned()))?;
    }
    let edited: Event =
        serde_json::from_value(json).map_err(|error| refuse(&set.join(" "), format!("that is no event: {error}")))?;
    // A field that the contract does not name would be passed over in silence.
    let kept = serde_json::to_value(&edited).map_err(std::io::Error::from)?;
    let is_lost = |text: &&String| {
        text.split_once('=').is_some_and(|(pointer, value)| !value.is_empty() && kept.pointer(pointer).is_none())
    };
    match set.iter().find(is_lost) {
        Some(text) => Err(refuse(text, "an event has no such field".to_owned())),
        None => Ok(edited),
    }
}

fn put(parent: &mut Value, key: &str, value: &str, is_json: bool) -> Option<()> {
    let text = || Value::String(value.to_owned());
    let read = |was: Option<&Value>| match was {
        Some(Value::String(_)) => text(),
        None if !is_json => text(),
        _ => serde_json::from_str(value).unwrap_or_else(|_| text()),
    };
    match parent {
        Value::Object(fields) if value.is_empty() => fields.shift_remove(key).map(drop),
        Value::Object(fields) => {
            let new = read(fields.get(key));
            fields.insert(key.to_owned(), new);
            Some(())
        }
        Value::Array(list) => {
            let slot = list.get_mut(key.parse::<usize>().ok()?)?;
            let new = read(Some(slot));
            *slot = new;
            Some(())
        }
        _ => None,
    }
}

/// What differs, field by field.
fn difference(original: &Event, edited: &Event) -> Result<Vec<String>, CliError> {
    let json = |event: &Event| serde_json::to_value(event).map_err(std::io::Error::from);
    let mut found = Vec::new();
    walk("", Some(&json(original)?), Some(&json(edited)?), &mut found);
    Ok(found)
}

fn walk(path: &str, was: Option<&Value>, is: Option<&Value>, found: &mut Vec<String>) {
    match (was, is) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let new = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(new) {
                walk(&format!("{path}/{key}"), a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for at in 0..a.len().max(b.len()) {
                walk(&format!("{path}/{at}"), a.get(at), b.get(at), found);
            }
        }
        (was, is) if was != is => {
            let show = |value: Option<&Value>| value.map_or("(none)".to_owned(), Value::to_string);
            found.push(format!("{path}: {} -> {}", show(was), show(is)));
        }
        _ => {}
    }
}

/// The contract holds of what is sent, too; and it stays the event of its site and kind.
fn judge(original: &Decoded, edited: &Event, site: &docksync_proto::site::SiteId) -> Result<(), CliError> {
    let refuse = |why: &str| CliError::Edit { text: "the edit".to_owned(), why: why.to_owned() };
    let was = &original.event;
    if edited.site_id != was.site_id || edited.event_type != was.event_type || edited.action != was.action {
        return Err(refuse("site, event type and action stay as they are"));
    }
    // Its place in the order of deliveries is that of its document; a reference that was mistyped may be put right.
    if edited.correlation_id != was.correlation_id {
        return Err(refuse("its document stays what it is: skip it, and have its site send another"));
    }
    let decoded = Decoded { id: identity::event_id(edited), digests: digests(edited), event: edited.clone() };
    match admit(&decoded, site) {
        Verdict::Parked { code, reason } => Err(refuse(&format!("it would not be admitted, {code}: {reason}"))),
        Verdict::Admitted => Ok(()),
    }
}

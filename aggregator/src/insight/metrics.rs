//! `/metrics`: figures of the centre, made from what the pages show.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

use super::{
    books::{Books, last_run},
    destinations::Destination,
    parked::Group,
    sites::Overview,
};

type Value = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySite {
    site: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByNothing {}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTarget {
    code: String,
    target: String,
}

/// The text of one scrape.
///
/// # Errors
/// [`std::fmt::Error`], which writing to a string does not cause.
pub fn metrics(
    overview: &Overview,
    groups: &[Group],
    destinations: &[Destination],
    books: &Books,
) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    let version = ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    registry.register("docksync_build", "Version of this program", Info::new(vec![version]));
    let centre = registry.sub_registry_with_prefix("docksync");
    sites(centre, overview);
    kept(centre, overview);
    let letters = Family::<ByTarget, Gauge>::default();
    for group in groups {
        let labels = ByTarget { code: group.code.clone(), target: group.target.clone() };
        letters.get_or_create(&labels).inc_by(i64::try_from(group.count).unwrap_or(i64::MAX));
    }
    centre.register("dead_letters", "Events that wait for a person", letters);
    deliveries(centre, destinations);
    compared(centre, books);
    let mut out = String::new();
    encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySide {
    site: String,
    side: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCause {
    cause: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDelivery {
    consumer: String,
    site: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByConsumer {
    consumer: String,
}

/// How far each destination is.
fn deliveries(to: &mut Registry, destinations: &[Destination]) {
    let (behind, paused) = (Family::<ByDelivery, Gauge>::default(), Family::<ByConsumer, Gauge>::default());
    for d in destinations {
        paused.get_or_create(&ByConsumer { consumer: d.consumer.clone() }).set(i64::from(d.paused.is_some()));
        for (site, events) in &d.behind {
            let labels = ByDelivery { consumer: d.consumer.clone(), site: site.to_string() };
            behind.get_or_create(&labels).set(i64::try_from(*events).unwrap_or(i64::MAX));
        }
    }
    to.register("consumer_behind_events", "Events of a site that a destination has not settled", behind);
    to.register("consumer_paused", "Whether a person has paused the destination", paused);
}

/// What the newest comparison of the books found.
fn compared(to: &mut Registry, books: &Books) {
    let (drift, all) = (Family::<BySide, Gauge>::default(), Family::<BySide, Gauge>::default());
    let (causes, holes) = (Family::<ByCause, Gauge>::default(), Family::<BySite, Gauge>::default());
    let last = Value::default();
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    if let Some(report) = &books.report {
        for s in &report.sides {
            let labels = BySide { site: s.site.clone(), side: s.side.clone() };
            drift.get_or_create(&labels).set(number(s.drift));
            all.get_or_create(&labels).set(number(s.compared));
        }
        for (cause, n) in &report.causes {
            causes.get_or_create(&ByCause { cause: cause.clone() }).set(number(*n));
        }
        for c in &report.complete {
            holes
                .get_or_create(&BySite { site: c.site.clone() })
                .set(number(c.holes.len() as u64 + c.days.len() as u64));
        }
    }
    last.set(last_run(books).map_or(0.0, |at| at.as_millisecond() as f64 / 1000.0));
    to.register(
        "reconcile_drift_balances",
        "Balances that differ and nothing explains, in the newest comparison",
        drift,
    );
    to.register("reconcile_compared_balances", "Balances compared", all);
    to.register("reconcile_drifts", "Drifts by probable cause, transfers included", causes);
    to.register("reconcile_incomplete", "Holes in a site's stream and daily counts that differ", holes);
    to.register_with_unit("reconcile_last_run_timestamp", "When the newest comparison began", Unit::Seconds, last);
}

/// Backups and room.
fn kept(to: &mut Registry, overview: &Overview) {
    let (last, failed) = (Value::default(), Value::default());
    let (scheduled, room) = (Gauge::<i64>::default(), Family::<ByNothing, Value>::default());
    scheduled.set(i64::from(overview.backup.is_scheduled));
    last.set(seconds(overview.backup.last_at));
    failed.set(seconds(overview.backup.failed_at));
    if let Some(bytes) = overview.room_bytes {
        room.get_or_create(&ByNothing {}).set(bytes as f64);
    }
    to.register("backup_scheduled", "Whether the settings ask for daily backups", scheduled);
    to.register_with_unit(
        "backup_last_success_timestamp",
        "When the newest daily backup was made",
        Unit::Seconds,
        last,
    );
    to.register_with_unit(
        "backup_last_failure_timestamp",
        "When a daily backup failed, where none was made since",
        Unit::Seconds,
        failed,
    );
    to.register_with_unit("ledger_free", "Room that the disk of the ledger has", Unit::Bytes, room);
}

/// Seconds since 1970; 0 where it never was, so that the series exists from the start.
fn seconds(at: Option<jiff::Timestamp>) -> f64 {
    at.map_or(0.0, |at| at.as_millisecond() as f64 / 1000.0)
}

fn sites(to: &mut Registry, overview: &Overview) {
    let (received, again) = (Family::<BySite, Counter>::default(), Family::<BySite, Counter>::default());
    let (up, waiting) = (Family::<BySite, Gauge>::default(), Family::<BySite, Gauge>::default());
    let (seen, oldest) = (Family::<BySite, Value>::default(), Family::<BySite, Value>::default());
    let (held, recovering) = (Family::<BySite, Gauge>::default(), Family::<ByNothing, Gauge>::default());
    recovering.get_or_create(&ByNothing {}).set(i64::from(overview.is_recovering));
    let (unsaved, expiry) = (Family::<BySite, Gauge>::default(), Family::<BySite, Value>::default());
    for line in &overview.sites {
        let site = BySite { site: line.site.to_string() };
        received.get_or_create(&site).inc_by(line.totals.events);
        again.get_or_create(&site).inc_by(line.totals.duplicates);
        up.get_or_create(&site).set(i64::from(line.totals.is_online));
        held.get_or_create(&site).set(i64::try_from(line.held.len()).unwrap_or(i64::MAX));
        waiting.get_or_create(&site).set(i64::try_from(line.waiting).unwrap_or(i64::MAX));
        seen.get_or_create(&site).set(line.heard_at.map_or(0.0, |at| at.as_millisecond() as f64 / 1000.0));
        oldest.get_or_create(&site).set(line.oldest_secs as f64);
        unsaved.get_or_create(&site).set(i64::try_from(line.totals.unsaved).unwrap_or(i64::MAX));
        if let Some(until) = line.totals.certificate_until {
            expiry.get_or_create(&site).set(seconds(Some(until)));
        }
    }
    to.register("events_received", "Events stored, those that came again included", received);
    to.register("events_duplicate", "Events that were held already when they came", again);
    to.register("site_held", "Machines of the site, or its stream, that wait for a person", held);
    to.register("recovering", "Whether the ledger was restored and sites send again what it lacks", recovering);
    to.register("site_up", "Whether the site is connected", up);
    to.register("site_waiting_events", "Events that the site holds and the ledger does not", waiting);
    to.register_with_unit("site_last_seen_timestamp", "When the site was last heard of", Unit::Seconds, seen);
    to.register("site_unsaved_events", "Events in the ledger that no checked backup holds", unsaved);
    to.register_with_unit(
        "site_certificate_expiry_timestamp",
        "When the site's certificate ends",
        Unit::Seconds,
        expiry,
    );
    to.register_with_unit("site_oldest_event_age", "Age of the site's oldest waiting event", Unit::Seconds, oldest);
}

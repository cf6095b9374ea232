//! `/metrics`: the figures of the page in OpenMetrics text, made from the same snapshot, so both always agree.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

use super::snapshot::Snapshot;

type Value = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Folder {
    folder: String,
}

/// The text of one scrape.
///
/// # Errors
/// [`std::fmt::Error`], which writing to a string does not cause.
pub fn metrics(snap: &Snapshot) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    let build = Info::new([("version", snap.agent_version), ("site", snap.site.id.as_str())].map(owned).to_vec());
    registry.register("docksync_build", "Version of this program", build);
    let agent = registry.sub_registry_with_prefix("docksync_agent");
    store(agent, snap);
    stages(agent, snap);
    link(agent, snap);
    folders(agent, snap);
    let mut out = String::new();
    encode(&mut out, &registry)?;
    Ok(out)
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn store(to: &mut Registry, snap: &Snapshot) {
    let waiting = &snap.waiting;
    gauge(to, "queue_events", "Events that head office does not hold yet", waiting.events as f64);
    bytes(to, "queue", "Bytes in use on this server", waiting.used_bytes);
    bytes(to, "queue_limit", "Bytes that may be used", waiting.limit_bytes);
    moment(to, "queue_oldest_event_timestamp", "When the oldest waiting event was stored", waiting.oldest_at);
    gauge(to, "queue_has_room", "Whether new files may be stored", f64::from(u8::from(snap.has_room)));
    gauge(to, "queue_head_events", "Number of the last event that was stored, in its epoch", snap.stream.head as f64);
    gauge(to, "queue_marked_events", "Number of the last event that head office holds", snap.stream.marked as f64);
    gauge(to, "queue_applied_events", "Number of the last event that the ERP has", snap.stream.applied as f64);
    gauge(
        to,
        "settings_refused",
        "Whether new settings were refused and earlier ones run",
        f64::from(u8::from(snap.is_settings_refused)),
    );
    counter(to, "events_captured", "Events stored since start", snap.since_start.events);
    counter(to, "events_duplicate", "Events known before, since start", snap.since_start.duplicates);
    counter(to, "lines_held", "Lines held since start", snap.since_start.held);
    gauge(to, "files_needing_person", "Files that wait for a person", snap.files_total as f64);
}

fn stages(to: &mut Registry, snap: &Snapshot) {
    for step in &snap.strip {
        let name = match step.name {
            "stored" => "last_captured_timestamp",
            "sent" => "last_sent_timestamp",
            "accepted" => "last_accepted_timestamp",
            "in_erp" => "last_erp_timestamp",
            _ => continue,
        };
        moment(to, name, "When an event last passed this step", step.at);
    }
}

fn link(to: &mut Registry, snap: &Snapshot) {
    let Some(link) = &snap.link else { return };
    gauge(to, "connection_up", "Whether events can flow to head office", f64::from(u8::from(link.is_up)));
    counter(to, "connections", "Connections since start", link.connects);
    gauge(to, "connect_failures", "Failed tries in a row", f64::from(link.tries));
    if let Some(days) = snap.certificate_days {
        let left = jiff::SignedDuration::from_hours(24 * days);
        let ends = snap.generated_at.saturating_add(left).ok();
        moment(to, "certificate_expiry_timestamp", "When the certificate ends, to the day", ends);
    }
    if let Some(ms) = snap.clock_ahead_ms {
        seconds(to, "clock_skew", "This clock less that of head office", ms as f64 / 1000.0);
    }
}

fn folders(to: &mut Registry, snap: &Snapshot) {
    let (late, waiting) = (Family::<Folder, Gauge>::default(), Family::<Folder, Gauge>::default());
    let captured = Family::<Folder, Counter>::default();
    for feed in &snap.feeds {
        let folder = Folder { folder: feed.name.clone() };
        late.get_or_create(&folder).set(i64::from(feed.silent_since.is_some()));
        waiting.get_or_create(&folder).set(i64::try_from(feed.waiting).unwrap_or(i64::MAX));
        captured.get_or_create(&folder).inc_by(feed.captured);
    }
    to.register("source_late", "Whether a folder is silent beyond its rhythm", late);
    to.register("files_waiting", "Files that wait to be taken", waiting);
    to.register("files_captured", "Files stored since start", captured);
}

fn gauge(to: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Value::default();
    gauge.set(value);
    to.register(name, help, gauge);
}

fn seconds(to: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Value::default();
    gauge.set(value);
    to.register_with_unit(name, help, Unit::Seconds, gauge);
}

fn bytes(to: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Value::default();
    gauge.set(value as f64);
    to.register_with_unit(name, help, Unit::Bytes, gauge);
}

fn counter(to: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    to.register(name, help, counter);
}

/// Seconds since 1970; 0 where it never was, so that the series exists from the start.
fn moment(to: &mut Registry, name: &str, help: &str, at: Option<Timestamp>) {
    seconds(to, name, help, at.map_or(0.0, |at| at.as_millisecond() as f64 / 1000.0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{samples, snapshot::snapshot};

    #[test]
    fn the_figures_are_those_of_the_page() {
        let text = metrics(&snapshot(&samples::offline())).unwrap();

        for line in [
            "docksync_build_info{version=\"0.1.0\",site=\"DC01\"} 1",
            "docksync_agent_queue_events 1284.0",
            "docksync_agent_queue_bytes 18874368.0",
            "docksync_agent_queue_limit_bytes 21474836480.0",
            "docksync_agent_queue_oldest_event_timestamp_seconds 1795458068.0",
            "docksync_agent_connection_up 0.0",
            "docksync_agent_source_late{folder=\"ship\"} 0",
            "docksync_agent_files_captured_total{folder=\"ship\"} 41",
            "docksync_agent_last_erp_timestamp_seconds 1795458068.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    /// Captured = waiting + marked, in the figures themselves.
    #[test]
    fn what_is_captured_is_waiting_or_held_by_head_office() {
        for facts in [samples::working(), samples::backlog(), samples::offline(), samples::needs_you()] {
            let text = metrics(&snapshot(&facts)).unwrap();
            let value = |name: &str| -> f64 {
                let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
                line.parse().unwrap()
            };

            let (head, marked) =
                (value("docksync_agent_queue_head_events"), value("docksync_agent_queue_marked_events"));

            assert_eq!(head, marked + value("docksync_agent_queue_events"));
            assert!(value("docksync_agent_queue_applied_events") <= marked);
        }
    }

    #[test]
    fn no_file_name_becomes_a_label() {
        let text = metrics(&snapshot(&samples::needs_you())).unwrap();

        assert!(!text.contains("SHIP_20261123"));
    }
}

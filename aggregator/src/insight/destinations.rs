//! How far each destination is, and whether it takes events. Pure, but for the reading.

use std::collections::BTreeMap;

use docksync_proto::site::SiteId;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Serialize;

use super::page::{ago, count, stamp};
use crate::ledger::{LedgerError, Reads as _, reads::SqliteReader};

/// How far a destination is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// Its name.
    pub consumer: String,
    /// Who has paused it and why; absent where nobody has.
    pub paused: Option<String>,
    /// Why it takes nothing by itself; absent where it takes events.
    pub incident: Option<Incident>,
    /// Events of each site that it has not settled.
    pub behind: Vec<(SiteId, u64)>,
}

/// A time during which a destination takes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Incident {
    /// Kind of fault.
    pub class: String,
    /// The destination's words when it began or changed its kind.
    pub reason: String,
    /// First fault.
    pub since: Timestamp,
}

impl Incident {
    /// Whose move it is.
    fn whose(&self) -> &'static str {
        match self.class.as_str() {
            "auth" => "Whose move: who keeps its users and keys. Then: docksync-aggregator erp test",
            "closed_period" => "Whose move: accounting, to open the period or to decide",
            "limit" => "Nobody's move: it asks for less at once, and is tried again by itself",
            _ => "Whose move: who runs it. It is tried again by itself, nothing is lost",
        }
    }
}

/// Reads how far each destination is.
pub(super) fn read(reader: &SqliteReader) -> Result<Vec<Destination>, LedgerError> {
    let held: BTreeMap<SiteId, (u32, u64)> =
        reader.links()?.into_iter().map(|link| (link.site, (link.epoch, link.marked))).collect();
    let mut all: Vec<Destination> = Vec::new();
    for cursor in reader.cursors()? {
        // The centre's own stream has no link, and is never long.
        let Some((epoch, marked)) = held.get(&cursor.site) else { continue };
        let settled = if cursor.epoch == *epoch { cursor.seq } else { 0 };
        let behind = (cursor.site, marked.saturating_sub(settled));
        match all.iter_mut().find(|d| d.consumer == cursor.consumer) {
            Some(known) => known.behind.push(behind),
            None => {
                let paused = reader.paused(&cursor.consumer)?;
                let newest = reader.incidents(&cursor.consumer, 1)?.into_iter().next();
                let incident = newest.filter(|row| row.until_ms.is_none()).map(|row| Incident {
                    class: row.class,
                    reason: row.reason,
                    since: Timestamp::from_millisecond(row.since_ms).unwrap_or(Timestamp::UNIX_EPOCH),
                });
                all.push(Destination { consumer: cursor.consumer, paused, incident, behind: vec![behind] });
            }
        }
    }
    Ok(all)
}

/// One line for each.
pub(super) fn section(destinations: &[Destination], now: Timestamp) -> Markup {
    html! {
        @if !destinations.is_empty() {
            section .panel {
                h1 { "Destinations " (destinations.len()) }
                ul .plain { @for destination in destinations { li { (line(destination, now)) } } }
            }
        }
    }
}

fn line(destination: &Destination, now: Timestamp) -> Markup {
    let behind: u64 = destination.behind.iter().map(|(_, events)| events).sum();
    html! {
        strong { (destination.consumer) } " "
        @match (&destination.paused, &destination.incident) {
            (Some(why), _) => {
                span .attention { "paused by " (why) } ". "
                span .mono .muted { "docksync-aggregator consumers resume " (destination.consumer) }
            },
            (None, Some(incident)) => {
                span .attention {
                    "takes nothing since " (stamp(incident.since, now)) " (" (ago(incident.since, now)) "), "
                    (incident.class) ": " (incident.reason)
                }
                " " (incident.whose()) "."
            },
            (None, None) => "takes events.",
        }
        " " (count(behind)) " events behind."
    }
}

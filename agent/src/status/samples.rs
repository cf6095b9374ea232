//! Facts of a site in each state, for the tests of this room.

use std::collections::BTreeMap;

use docksync_proto::{
    fate::{Fate, FateState},
    link::Condition,
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::facts::{CountFacts, Facts, FeedView, FileFacts, Rates, SiteCard, StoreFacts, Watch};
use crate::{
    queue::{
        Content, EventName, EventRow, FileRow, HistoryRow,
        capture::{FileId, HeldLine},
    },
    reload::Standing,
    uplink::{
        UplinkFacts,
        facts::Moved,
        fates::{Asking, Known, Seen},
    },
};

/// 14:32:08 CST.
pub(super) fn now() -> Timestamp {
    "2026-11-23T20:32:08Z".parse().unwrap()
}

pub(super) fn ago(mins: i64) -> Timestamp {
    now() - SignedDuration::from_mins(mins)
}

fn feed(name: &str, seen_mins: i64, every_mins: u64) -> FeedView {
    FeedView {
        name: name.to_owned(),
        folder: format!("/srv/wms/export/{name}").into(),
        waiting: 0,
        last_seen_at: Some(ago(seen_mins)),
        last_captured_at: Some(ago(seen_mins)),
        captured: 41,
        held: 0,
        trouble: None,
        expect_every_secs: Some(every_mins * 60),
        is_learned: false,
        silent_since: None,
        watching: Watch::Notified,
    }
}

/// A site where all is well.
pub(super) fn working() -> Facts {
    let mut link = UplinkFacts::new("mq.example:8883", ago(510));
    link.condition = Condition::Flowing;
    link.sent = 918_221;
    link.marked = 918_221;
    link.applied = 918_199;
    link.certificate_days = Some(71);
    link.clock_offset_ms = Some(200);
    link.moved = Moved { sent: Some(ago(2)), marked: Some(ago(2)), applied: Some(ago(3)) };
    let history = vec![HistoryRow {
        at_ms: ago(510).as_millisecond(),
        what: "Back online after 18 min. Nothing was lost.".to_owned(),
    }];
    let store = StoreFacts {
        head: 918_221,
        marked: 918_221,
        applied: 918_199,
        before_today: Some(909_809),
        oldest_at: None,
        last_file_at: Some(ago(2)),
        files_total: 0,
        files: Vec::new(),
        recent: vec![recent_file(7, 918_221), recent_file(6, 918_180)],
        history,
    };
    let zone = TimeZone::get("America/Chicago").unwrap();
    let contact = "Integration desk x4410 (06-22)".to_owned();
    let site =
        SiteCard { id: "DC01".into(), name: "Memphis".into(), zone, zone_name: "America/Chicago".into(), contact };
    Facts {
        site,
        settings: Standing::default(),
        now: now(),
        started_at: Some(ago(510)),
        store: Ok(store),
        counts: CountFacts { captured: 8_412, duplicates: 9, files: 64, held: 0, captured_at: Some(ago(2)) },
        used_bytes: 18 << 20,
        bytes_max: 20 << 30,
        has_room: true,
        link: Some(link),
        feeds: vec![feed("ship", 2, 10), feed("pick", 1, 5), feed("adjust", 34, 60)],
        rates: None,
        remembered: BTreeMap::new(),
    }
}

/// A site with 1,284 events that wait since 2 h 11 min.
pub(super) fn backlog() -> Facts {
    let mut facts = working();
    let store = facts.store.as_mut().unwrap();
    store.marked = 918_221 - 1_284;
    store.oldest_at = Some(ago(131));
    store.applied = store.marked;
    let link = facts.link.as_mut().unwrap();
    link.sent = 918_221 - 1_284;
    link.moved = Moved { sent: Some(ago(131)), marked: Some(ago(131)), applied: Some(ago(131)) };
    facts
}

pub(super) fn catching_up() -> Facts {
    Facts { rates: Some(Rates { drain_per_sec: 6.0, inflow_per_sec: 0.65 }), ..backlog() }
}

pub(super) fn offline() -> Facts {
    let mut facts = backlog();
    let link = facts.link.as_mut().unwrap();
    link.condition = Condition::Disconnected;
    link.since = ago(131);
    link.tries = 61;
    link.next_try = Some(now() + SignedDuration::from_secs(23));
    link.last_error = Some("mq.example:8883 does not answer; check the network and the firewall: timed out".to_owned());
    link.last_error_at = Some(now() - SignedDuration::from_secs(7));
    facts
}

pub(super) fn held_line(line_no: u64) -> HeldLine {
    HeldLine {
        line_no,
        column: 7,
        field: "ship_qty".to_owned(),
        code: "INVALID_QUANTITY".to_owned(),
        found: "12EA".to_owned(),
        expected: "a whole number".to_owned(),
        owner: "warehouse".to_owned(),
        text: "100483,SKU-2210,LPN0093130,2026-11-23T12:59:01,UPS,1Z999AA10123456784,12EA".to_owned(),
    }
}

pub(super) fn bad_file() -> FileFacts {
    let row = FileRow {
        id: FileId(1),
        feed: "ship".to_owned(),
        name: "SHIP_20261123_1300.csv".to_owned(),
        path: "/srv/wms/export/ship/SHIP_20261123_1300.csv".to_owned(),
        state: "captured",
        found_ms: ago(90).as_millisecond(),
        ended_ms: Some(ago(90).as_millisecond()),
        size: 31_337,
        sha256: "00".repeat(32),
        lines: 411,
        taken: Some(409),
        accepted: 400,
        duplicate: 9,
        revised: 0,
        held: 2,
        earlier: None,
        first_seq: Some(1),
        last_seq: Some(400),
        resolved_ms: None,
        resolved_why: None,
    };
    FileFacts { row, held: vec![held_line(214), held_line(377)] }
}

fn recent_file(id: i64, last: i64) -> FileRow {
    let name = format!("SHIP_20261123_140{id}.csv");
    FileRow {
        id: FileId(id),
        path: format!("/srv/wms/archive/{name}"),
        name,
        lines: 41,
        accepted: 41,
        duplicate: 0,
        held: 0,
        ended_ms: Some(ago(2).as_millisecond()),
        first_seq: Some(last - 40),
        last_seq: Some(last),
        ..bad_file().row
    }
}

/// A file that needs nobody.
pub(super) fn good_file() -> FileFacts {
    FileFacts { row: recent_file(7, 918_221), held: Vec::new() }
}

/// Events of a file, each on its line.
pub(super) fn content() -> Content {
    let name = |line_no| EventName {
        line_no,
        event_type: "shipment_confirmed",
        action: if line_no == 9 { "change" } else { "add" },
        document: format!("SO-{}", 100_480 + line_no),
    };
    let seqs = 918_181..=918_192;
    let events = seqs.zip(2..).map(|(seq, line_no)| EventRow { seq, name: (line_no != 12).then(|| name(line_no)) });
    Content { kept: 41, events: events.collect() }
}

/// What head office says of them: one of each state, the last two not known.
pub(super) fn fates(first: u64, asking: Asking) -> Seen {
    let states = [
        (FateState::Applied, "SHP/2026/00412", false),
        (FateState::Applied, "", false),
        (FateState::Applied, "SHP/2026/00377", true),
        (FateState::Parked, "UNKNOWN_PRODUCT: the ERP has no product SKU-2210", false),
        (FateState::Behind, "", false),
        (FateState::OnTheWay, "", false),
        (FateState::OnTheWay, "the ERP does not answer head office", false),
        (FateState::LeftOut, "by head office", false),
        (FateState::Test, "", false),
        (FateState::NotHeld, "", false),
    ];
    let fate = |(seq, (state, text, is_repeat)): (u64, (FateState, &str, bool))| {
        let fate = Fate { seq, destination: "erp".to_owned(), state, is_repeat, text: text.to_owned() };
        (seq, Known { at: ago(0), fates: vec![fate] })
    };
    Seen { known: (first..).zip(states).map(fate).collect(), asking }
}

pub(super) fn needs_you() -> Facts {
    let mut facts = working();
    let store = facts.store.as_mut().unwrap();
    store.files_total = 1;
    store.files = vec![bad_file()];
    facts
}

pub(super) fn quiet() -> Facts {
    let mut facts = working();
    facts.feeds[0].last_seen_at = Some(ago(47));
    facts.feeds[0].silent_since = Some(ago(37));
    facts
}

pub(super) fn stopped() -> Facts {
    Facts { has_room: false, used_bytes: 19 << 30, ..working() }
}

/// Each state with the name of its golden page.
pub(super) fn states() -> [(&'static str, Facts); 6] {
    [
        ("working", working()),
        ("catching-up", catching_up()),
        ("offline", offline()),
        ("needs-you", needs_you()),
        ("quiet", quiet()),
        ("stopped", stopped()),
    ]
}

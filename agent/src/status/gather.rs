//! Collects the facts: reads the database beside its writer, never inside async code.

use std::{collections::BTreeMap, path::Path, sync::atomic::Ordering};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    events::EVENTS_SHOWN,
    facts::{CountFacts, Facts, FileFacts, SiteCard, StoreFacts},
    snapshot::{FileView, Snapshot, file, snapshot},
};
use crate::{
    queue::{Content, Counts, FileFilter, QueueError, Reader, capture::FileId},
    reload::Standing,
};

/// Files that the page shows at once.
const FILES_SHOWN: u32 = 20;
/// Bad lines of each that the page knows.
const LINES_SHOWN: u32 = 3;
/// Bad lines on the page of a file.
const LINES_OF_FILE: u32 = 100;
/// Files that brought events, as the page lists them.
const RECENT_SHOWN: u32 = 6;
const HISTORY_SHOWN: u32 = 20;
/// Under this name the beginnings of the states outlive a restart.
pub(super) const SINCE_NAME: &str = "status";

/// What the database tells at this moment.
///
/// # Errors
/// [`QueueError`] where it cannot answer.
pub(super) fn store(reader: &Reader, now: Timestamp, zone: &TimeZone) -> Result<StoreFacts, QueueError> {
    let link = reader.link()?;
    let (head, marked, applied) = link.map_or((0, 0, 0), |link| (link.head, link.marked, link.applied));
    let last = reader.files(FileFilter::Newest, 1)?.into_iter().next();
    let files = reader
        .files(FileFilter::NeedPerson, FILES_SHOWN)?
        .into_iter()
        .map(|row| Ok(FileFacts { held: reader.held(row.id, LINES_SHOWN)?, row }))
        .collect::<Result<_, QueueError>>()?;
    let at = |ms: Option<i64>| ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    Ok(StoreFacts {
        head,
        marked,
        applied,
        before_today: reader.day_start(day(now, zone))?,
        oldest_at: at(if marked < head { reader.oldest_after(marked)? } else { None }),
        last_file_at: at(last.and_then(|file| file.ended_ms)),
        files_total: reader.files_needing_person()?,
        files,
        recent: reader.captured_lately(RECENT_SHOWN)?,
        history: reader.history(HISTORY_SHOWN)?,
    })
}

/// One file with its bad lines, and its events behind the first `skip`.
///
/// # Errors
/// [`QueueError`] where the database cannot answer.
pub(super) fn one_file(path: &Path, id: FileId, skip: u64) -> Result<Option<(FileView, Content)>, QueueError> {
    let reader = Reader::open(path)?;
    let Some(row) = reader.file(id)? else { return Ok(None) };
    let content = reader.content(&row, skip, EVENTS_SHOWN)?;
    let held = reader.held(id, LINES_OF_FILE)?;
    Ok(Some((file(&FileFacts { row, held }), content)))
}

/// The beginnings of the states, as they were stored.
pub(super) fn remembered(reader: &Reader) -> BTreeMap<String, Timestamp> {
    let text = reader.since(SINCE_NAME).ok().flatten().map(|(_, text)| text);
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// The counters of the running agent.
pub(super) fn counts(counts: &Counts) -> CountFacts {
    let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let captured_at = i64::try_from(of(&counts.captured_at_ms)).ok().filter(|ms| *ms > 0);
    CountFacts {
        captured: of(&counts.captured),
        duplicates: of(&counts.duplicates),
        files: of(&counts.files),
        held: of(&counts.held),
        captured_at: captured_at.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
    }
}

/// The view for the `status` command while the agent does not run: read from its database alone.
pub fn offline_snapshot(reader: &Reader, site: SiteCard, used_bytes: u64, bytes_max: u64, now: Timestamp) -> Snapshot {
    let store = store(reader, now, &site.zone).map_err(|error| chain(&error));
    snapshot(&Facts {
        site,
        // What a start will take is what the files say then.
        settings: Standing::default(),
        now,
        started_at: None,
        store,
        counts: CountFacts::default(),
        used_bytes,
        bytes_max,
        has_room: true,
        link: None,
        feeds: Vec::new(),
        rates: None,
        remembered: BTreeMap::new(),
    })
}

/// An error with its causes, as one sentence.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// The site's day as the database writes it, `YYYYMMDD`.
fn day(now: Timestamp, zone: &TimeZone) -> i64 {
    let date = now.to_zoned(zone.clone()).date();
    i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day())
}

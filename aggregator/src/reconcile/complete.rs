//! Completeness: whether the ledger holds every event of every stream, unchanged, and as many as the site says that it captured.
//!
//! Numbers and chains of all batches are followed at every run; a seventh of the batches is decoded and its chain recomputed, so that
//! within seven runs everything was read again. What is missing or altered is named, and asked for again from its site.

use std::collections::BTreeMap;

use docksync_proto::{
    codec,
    event::EventType,
    frame::{BatchHead, DayTotal},
    site::SiteId,
};
use serde::{Deserialize, Serialize};

use super::{ReconcileError, store::ReconStore};
use crate::ledger::{LinkRow, Reads, StoredBatch, audit, content_of};

/// Of so many runs each batch is read again in one.
const TURNS: i64 = 7;
/// Holes that are named.
pub(super) const NAMED: usize = 100;

/// Events of a stream that are missing or not what they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// Epoch.
    pub epoch: u32,
    /// First number.
    pub first: u64,
    /// Last number.
    pub last: u64,
    /// What is wrong, in words.
    pub words: String,
}

/// One day of one feed and type, where site and centre differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayLine {
    /// Day of capture (UTC), `YYYYMMDD`.
    pub day: u32,
    /// Feed.
    pub feed: String,
    /// Type of the events.
    pub event_type: String,
    /// Events by the site's count.
    pub at_site: u64,
    /// Events by ours.
    pub here: u64,
}

/// How complete a site's stream is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// Site.
    pub site: String,
    /// Events of all its epochs that the ledger holds.
    pub have: u64,
    /// Events that the site has captured, by its last word; `have` where it was not heard.
    pub told: u64,
    /// Days, feeds and types whose counts are equal.
    pub days_equal: u64,
    /// Those that are not.
    pub days: Vec<DayLine>,
    /// What is missing or altered; the first hundred.
    pub holes: Vec<Hole>,
    /// How many more there are.
    #[serde(default)]
    pub more_holes: u64,
    /// Whether its site is asked for them again: only the running service can.
    #[serde(default)]
    pub is_asked_again: bool,
}

impl Complete {
    /// Whether nothing is missing or altered.
    pub fn is_proven(&self) -> bool {
        self.holes.is_empty() && self.days.is_empty()
    }
}

/// What a site said of itself last.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Its epoch.
    pub epoch: u32,
    /// Last event that it has stored.
    pub head: u64,
    /// Its counts of the last days.
    pub totals: Vec<DayTotal>,
    /// Last event that they count.
    pub totals_head: u64,
    /// Day (UTC) on which they were counted, `YYYYMMDD`: earlier days change no more.
    pub totals_day: u32,
}

/// Follows a site's stream through batch `until`, which the book was carried to. `told` and `link` are older than that:
/// a mark is committed with its batch, and so never ahead of what is followed. `turn` chooses which batches are
/// decoded; `None` decodes all.
///
/// # Errors
/// [`ReconcileError`].
pub fn complete<R: Reads>(
    store: &ReconStore,
    reads: &R,
    site: &SiteId,
    (told, link): (Option<&Told>, Option<&LinkRow>),
    (turn, until): (Option<i64>, i64),
) -> Result<Complete, ReconcileError> {
    let gone = gone(reads, site)?;
    let mut follow = Follow { gone: &gone, holes: Vec::new(), last: None, have: 0 };
    let mut to_read = Vec::new();
    // What did not read back is read at every run until it does.
    let suspects =
        store.all("read suspects", "SELECT batch_no FROM suspect WHERE site = ?1", [site.as_str()], |r| {
            r.get::<_, i64>(0)
        })?;
    reads.heads(site, &mut |batch_no, head| {
        if batch_no > until {
            return;
        }
        follow.take(&head);
        if suspects.contains(&batch_no) || turn.is_none_or(|turn| batch_no % TURNS == turn % TURNS) {
            to_read.push(batch_no);
        }
    })?;
    let (mut holes, have, end) = (follow.holes, follow.have, follow.last);
    for batch_no in to_read {
        if let Some(batch) = reads.batch(batch_no)? {
            let found = altered(reads, &batch)?;
            match &found {
                Some(_) => store.run_sql(
                    "keep a suspect",
                    "INSERT OR IGNORE INTO suspect VALUES (?1, ?2)",
                    rusqlite::params![site.as_str(), batch_no],
                )?,
                None if suspects.contains(&batch_no) => {
                    store.run_sql("clear a suspect", "DELETE FROM suspect WHERE batch_no = ?1", [batch_no])?
                }
                None => 0,
            };
            holes.extend(found);
        }
    }
    holes.extend(end_missing(link, end.map(|head| (head.epoch, head.last())), &gone));
    let missing: u64 = holes.iter().filter(|h| h.words == MISSING).map(|h| h.last + 1 - h.first).sum();
    let more_holes = holes.len().saturating_sub(NAMED) as u64;
    holes.truncate(NAMED);
    let head = told.filter(|told| end.is_none_or(|end| end.epoch == told.epoch));
    let last = end.map_or(0, |end| end.last());
    // What is still on its way is counted when it is here.
    let days = match head.filter(|told| told.totals_head <= last) {
        Some(told) => {
            let is_all = told.totals_head == last;
            let over = |total: &&DayTotal| is_all || total.day < told.totals_day;
            days(store, site, told.totals.iter().filter(over))?
        }
        None => (0, Vec::new()),
    };
    // What is missing at the end was held once, and is not on its way.
    let marked = link.filter(|link| end.is_none_or(|end| end.epoch == link.epoch)).map_or(0, |link| link.marked);
    let waiting = head.map_or(0, |told| told.head.saturating_sub(last.max(marked)));
    Ok(Complete {
        site: site.to_string(),
        have,
        told: have + missing + waiting,
        days_equal: days.0,
        days: days.1,
        holes,
        more_holes,
        is_asked_again: false,
    })
}

const MISSING: &str = "missing";

struct Follow<'g> {
    gone: &'g [(u32, u64, u64)],
    holes: Vec<Hole>,
    last: Option<BatchHead>,
    have: u64,
}

impl Follow<'_> {
    fn take(&mut self, head: &BatchHead) {
        self.have += u64::from(head.count);
        let before = self.last.filter(|last| last.epoch == head.epoch);
        let expected = before.map_or(1, |last| last.last() + 1);
        if head.first > expected {
            self.miss(head.epoch, expected, head.first - 1);
        } else if let Some(last) = before
            && last.chain_after != head.chain_before
            && !self.is_gone(head.epoch, expected.saturating_sub(1))
        {
            self.holes.push(Hole {
                epoch: head.epoch,
                first: last.first,
                last: head.last(),
                words: "the chain of two neighbouring batches does not join".to_owned(),
            });
        }
        self.last = Some(*head);
    }

    fn is_gone(&self, epoch: u32, seq: u64) -> bool {
        self.gone.iter().any(|(e, first, last)| *e == epoch && (*first..=*last).contains(&seq))
    }

    fn miss(&mut self, epoch: u32, first: u64, last: u64) {
        // What the site itself no longer had is known, and not missing here.
        let is_known = self.is_gone(epoch, first) && self.is_gone(epoch, last);
        if !is_known {
            self.holes.push(Hole { epoch, first, last, words: MISSING.to_owned() });
        }
    }
}

/// The mark of a link says through which number its epoch was held: the end may be missing too.
fn end_missing(link: Option<&LinkRow>, end: Option<(u32, u64)>, gone: &[(u32, u64, u64)]) -> Option<Hole> {
    let link = link?;
    let last = end.filter(|(epoch, _)| *epoch == link.epoch).map_or(0, |(_, last)| last);
    let is_gone = gone.iter().any(|(epoch, _, through)| *epoch == link.epoch && *through == link.marked);
    let is_missing = link.marked > last && !is_gone;
    is_missing.then(|| Hole { epoch: link.epoch, first: last + 1, last: link.marked, words: MISSING.to_owned() })
}

/// Ranges that the site told to be gone, by the audit trail.
fn gone<R: Reads>(reads: &R, site: &SiteId) -> Result<Vec<(u32, u64, u64)>, ReconcileError> {
    let mut all = Vec::new();
    audit::each(reads, 0, |row| {
        if row.entry.act != "events_unavailable" || row.entry.subject != site.as_str() {
            return;
        }
        let numbers: Vec<u64> = row.entry.detail.split(' ').filter_map(|word| word.parse().ok()).collect();
        if let [epoch, first, through] = numbers.as_slice() {
            all.push((u32::try_from(*epoch).unwrap_or(0), *first, *through));
        }
    })?;
    Ok(all)
}

/// What of a batch is not what its site sent.
fn altered<R: Reads>(reads: &R, batch: &StoredBatch) -> Result<Option<Hole>, ReconcileError> {
    let head = batch.head;
    let hole = |first, last, words: String| Some(Hole { epoch: head.epoch, first, last, words });
    let events = match codec::decode_batch(&batch.columns) {
        Ok(events) => events,
        Err(error) => return Ok(hole(head.first, head.last(), format!("altered: does not read back ({error})"))),
    };
    let mut chain = head.chain_before;
    for (seq, decoded) in (head.first..).zip(&events) {
        chain = chain.next(seq, decoded.id, &decoded.digests.payload);
    }
    if chain == head.chain_after && events.len() == head.count as usize {
        return Ok(None);
    }
    for (index, (seq, decoded)) in (head.first..).zip(&events).enumerate() {
        let loc = crate::ledger::Loc::new(batch.batch_no, index);
        let is_known = match reads.key(decoded.id)? {
            Some((content, at)) => at != loc || content == content_of(decoded),
            None => false,
        };
        if !is_known {
            let source = &decoded.event.source;
            let words =
                format!("altered: {} of {} line {}", decoded.event.event_type, source.file_name, source.line_no);
            return Ok(hole(seq, seq, words));
        }
    }
    Ok(hole(head.first, head.last(), "altered: the chain of the batch does not fit its events".to_owned()))
}

/// How many counts are equal, and those that are not.
fn days<'t>(
    store: &ReconStore,
    site: &SiteId,
    totals: impl Iterator<Item = &'t DayTotal> + Clone,
) -> Result<(u64, Vec<DayLine>), ReconcileError> {
    let Some(first) = totals.clone().map(|total| total.day).min() else { return Ok((0, Vec::new())) };
    let rows = store.all(
        "read counts of captured events",
        "SELECT day, feed, kind, events FROM captured WHERE site = ?1 AND day >= ?2",
        rusqlite::params![site.as_str(), first],
        |r| Ok(((r.get(0)?, r.get::<_, String>(1)?, r.get(2)?), r.get::<_, i64>(3)?)),
    )?;
    let mut here: BTreeMap<(u32, String, u8), i64> = rows.into_iter().collect();
    let (mut equal, mut all) = (0, Vec::new());
    for total in totals {
        let found = here.remove(&(total.day, total.feed.clone(), total.event_type)).unwrap_or(0).cast_unsigned();
        if found == total.count {
            equal += 1;
        } else {
            all.push(DayLine {
                day: total.day,
                feed: total.feed.clone(),
                event_type: EventType::from_code(total.event_type).map_or("?", EventType::as_str).to_owned(),
                at_site: total.count,
                here: found,
            });
        }
    }
    Ok((equal, all))
}

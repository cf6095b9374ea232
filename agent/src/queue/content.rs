//! The events of one file, as they are still kept here: for the page of the file.

use docksync_proto::{codec, identity::document_key};
use rusqlite::params;

use super::{FileRow, QueueError, Reader, store};

/// Most bytes of batches that are opened to name the events of one page; what lies behind is shown by its number.
const NAMED_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Part of a file's events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Events of the file that are kept here.
    pub kept: u64,
    /// Those that were asked for, in their order.
    pub events: Vec<EventRow>,
}

/// One event of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Number in the stream.
    pub seq: u64,
    /// What it is; `None` where its batch is damaged or was not opened.
    pub name: Option<EventName>,
}

/// What people call an event.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EventName {
    /// Line of the file, from 1.
    pub line_no: u64,
    /// Type, by its word.
    pub event_type: &'static str,
    /// `add`, `change` or another word.
    pub action: &'static str,
    /// Order, shipment or other document that it is about.
    pub document: String,
}

impl Reader {
    /// Events of a file: `limit` of them behind the first `skip`.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn content(&self, file: &FileRow, skip: u64, limit: u64) -> Result<Content, QueueError> {
        let (Some(first), Some(last)) = (file.first_seq, file.last_seq) else { return Ok(Content::default()) };
        let batches: Vec<(i64, u32)> = self
            .db
            .prepare_cached(
                "SELECT first, count FROM batch WHERE first >= ?1 AND first <= ?2 AND file = ?3 ORDER BY first",
            )
            .and_then(|mut s| s.query_map(params![first, last, file.id.0], |r| Ok((r.get(0)?, r.get(1)?)))?.collect())
            .map_err(|e| self.sql(e))?;
        let mut content = Content::default();
        let mut room = NAMED_BYTES_MAX;
        for (first, count) in batches {
            let (before, count) = (content.kept, u64::from(count));
            content.kept += count;
            let from = skip.saturating_sub(before);
            let through = (skip + limit).saturating_sub(before).min(count);
            if from < through {
                let names = self.names(first, &mut room)?;
                let event = |index: u64| EventRow {
                    seq: u64::try_from(first).unwrap_or(0) + index,
                    name: usize::try_from(index).ok().and_then(|index| names.get(index).cloned()),
                };
                content.events.extend((from..through).map(event));
            }
        }
        Ok(content)
    }

    /// Names of the events of a batch; none where it is damaged or there is no room to open it.
    fn names(&self, first: i64, room: &mut usize) -> Result<Vec<EventName>, QueueError> {
        let first = u64::try_from(first).unwrap_or(0);
        let batch = self.batches(first, 1)?.into_iter().next().filter(|batch| batch.first == first && batch.is_sound);
        let Some(body) = batch.map(|batch| batch.body).filter(|body| body.len() <= *room) else {
            *room = 0;
            return Ok(Vec::new());
        };
        *room -= body.len();
        let events = codec::decode_batch(&body).unwrap_or_default();
        Ok(events
            .into_iter()
            .map(|decoded| EventName {
                line_no: decoded.event.source.line_no,
                event_type: decoded.event.event_type.as_str(),
                action: decoded.event.action.as_str(),
                document: document_key(&decoded.event).to_owned(),
            })
            .collect())
    }

    /// The newest files that brought events, at most `limit`.
    ///
    /// # Errors
    /// [`QueueError`] where the database cannot answer.
    pub fn captured_lately(&self, limit: u32) -> Result<Vec<FileRow>, QueueError> {
        // The newest rows alone are looked at, whatever the table has grown to.
        let newest = self.files(super::FileFilter::Newest, limit.saturating_mul(4))?;
        let brought = newest.into_iter().filter(|file| file.state == store::CAPTURED_WORD && file.first_seq.is_some());
        Ok(brought.take(limit as usize).collect())
    }
}

//! Small writes: deliveries, cursors, decisions of operators.

use docksync_proto::{codec, site::SiteId};
use rusqlite::params;

use super::{
    Loc, Reads as _, Standing,
    audit::Entry,
    effect::effect,
    error::{LedgerError, sql},
    sqlite::SqliteStore,
};

/// Beginning of the key under which a pause is kept, before the consumer's name.
pub(super) const PAUSED: &str = "paused ";

/// What a delivery is at that its cursor does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Committed before the call; found at a start it means the outcome is unknown.
    Sending = 1,
    /// The call was made, its outcome is not known.
    Unknown = 2,
    /// Waits for a person.
    Parked = 3,
    /// Waits behind a parked event of its document.
    Held = 4,
    /// Settled, above the cursor.
    Done = 5,
}

impl Stage {
    pub(super) fn from_code(code: i64) -> Result<Self, LedgerError> {
        Ok(match code {
            1 => Self::Sending,
            2 => Self::Unknown,
            3 => Self::Parked,
            4 => Self::Held,
            5 => Self::Done,
            at => return Err(LedgerError::Damaged { what: "stage of a delivery", at }),
        })
    }

    /// The word on pages and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Parked => "parked",
            Self::Held => "held",
            Self::Done => "applied",
        }
    }
}

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Consumer.
    pub consumer: String,
    /// Site.
    pub site: SiteId,
    /// Event.
    pub loc: Loc,
    /// Hash of its document.
    pub lane: i64,
    /// What it is at.
    pub stage: Stage,
    /// Calls that the destination judged.
    pub attempts: u32,
    /// Why it is parked: stable code, kept as the destination gave it.
    pub code: String,
    /// In words.
    pub reason: String,
    /// Since when, milliseconds since 1970; set by the store.
    pub at_ms: i64,
}

/// What was decided of an event that was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalState {
    /// Nothing yet.
    Open = 1,
    /// It takes effect after all.
    Readmitted = 2,
    /// It never takes effect.
    Skipped = 3,
    /// A good version of the same fact came later.
    Superseded = 4,
}

impl RefusalState {
    pub(super) fn from_code(code: i64) -> Result<Self, LedgerError> {
        Ok(match code {
            1 => Self::Open,
            2 => Self::Readmitted,
            3 => Self::Skipped,
            4 => Self::Superseded,
            at => return Err(LedgerError::Damaged { what: "state of a refusal", at }),
        })
    }
}

/// What an operator asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpKind {
    /// Try again.
    Retry,
    /// Leave out, for ever.
    Skip,
    /// Send a destination everything from this event on again.
    Reset,
}

impl OpKind {
    /// The word in the database and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Reset => "reset",
        }
    }

    /// What the word in the database means.
    pub(super) fn from_word(word: &str) -> Self {
        match word {
            "skip" => Self::Skip,
            "reset" => Self::Reset,
            _ => Self::Retry,
        }
    }
}

/// A small write; several go into one transaction.
#[derive(Debug, Clone)]
pub enum Change {
    /// Puts or replaces a delivery.
    Delivery(DeliveryRow),
    /// Takes a delivery away: its cursor tells the rest.
    Forget {
        /// Consumer.
        consumer: String,
        /// Site.
        site: SiteId,
        /// Event.
        loc: Loc,
    },
    /// Moves a cursor and takes away what it now tells.
    Cursor(super::CursorRow),
    /// Keeps the number that a destination gave.
    Document {
        /// Consumer.
        consumer: String,
        /// Event.
        loc: Loc,
        /// Number.
        document: String,
    },
    /// What a consumer is sent in place of an event as it was received; the batch keeps the original.
    Edit {
        /// Consumer.
        consumer: String,
        /// Event.
        loc: Loc,
        /// The event as JSON; `None` lets the original count again.
        event: Option<String>,
        /// By whom.
        by: String,
    },
    /// Takes an edit back, where it is still this one.
    Unedit {
        /// Consumer.
        consumer: String,
        /// Event.
        loc: Loc,
        /// The event as JSON.
        event: String,
    },
    /// Adds to the audit trail.
    Audit(Entry),
    /// Asks something of the running service.
    Ask {
        /// Consumer or [`super::ADMIT_TARGET`].
        target: String,
        /// What.
        kind: OpKind,
        /// Event.
        loc: Loc,
        /// Why.
        reason: String,
        /// By whom.
        by: String,
    },
    /// Answers a request.
    Answer {
        /// Request.
        op_id: i64,
        /// Whether it was done.
        done: bool,
        /// In words.
        result: String,
    },
    /// Decides on an event that was not admitted; its effect on balances and every consumer follow.
    Decide {
        /// Event.
        loc: Loc,
        /// [`OpKind::Retry`] readmits it.
        kind: OpKind,
        /// Why.
        reason: String,
        /// By whom.
        by: String,
    },
    /// Pauses a consumer until a person resumes it, or resumes it.
    Pause {
        /// Consumer.
        consumer: String,
        /// Why it is paused; `None` resumes it.
        reason: Option<String>,
        /// By whom.
        by: String,
    },
    /// A backup that passed its check holds this stream.
    BackedUp {
        /// Site.
        site: SiteId,
        /// Epoch.
        epoch: u32,
        /// Last number in the backup.
        through: u64,
    },
    /// A destination takes nothing, or takes events again.
    Incident(super::IncidentRow),
    /// A destination is sent everything again; where it can be asked, it is asked before each event.
    Rewind {
        /// Consumer.
        consumer: String,
        /// First event that is sent again.
        from: Loc,
        /// Why.
        reason: String,
        /// By whom.
        by: String,
    },
    /// Every site has sent again what a restored ledger lacked.
    Recovered,
}

impl SqliteStore {
    /// Applies one change inside the open transaction.
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), LedgerError> {
        match change {
            Change::Delivery(row) => self.put_delivery(row),
            Change::Forget { consumer, site, loc } => {
                let site_no = self.site_no(site)?;
                self.run(
                    "forget a delivery",
                    "DELETE FROM delivery WHERE consumer = ?1 AND site_no = ?2 AND loc = ?3",
                    params![consumer, site_no, loc.0],
                )
            }
            Change::Cursor(row) => self.put_cursor(row),
            Change::Document { consumer, loc, document } => self.run(
                "keep a document number",
                "INSERT INTO applied VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET document = excluded.document",
                params![consumer, loc.0, document, self.now_ms],
            ),
            Change::Edit { consumer, loc, event, by } => self.edit(consumer, *loc, event.as_deref(), by),
            Change::Unedit { consumer, loc, event } => self.run(
                "take an edit back",
                "DELETE FROM edit WHERE consumer = ?1 AND loc = ?2 AND event = ?3",
                params![consumer, loc.0, event],
            ),
            Change::Audit(entry) => self.append_audit(entry),
            Change::Ask { target, kind, loc, reason, by } => self.ask(target, *kind, *loc, reason, by),
            Change::Answer { op_id, done, result } => self.run(
                "answer a request",
                "UPDATE op SET state = ?2, result = ?3 WHERE op_id = ?1",
                params![op_id, if *done { 2 } else { 3 }, result],
            ),
            Change::Decide { loc, kind, reason, by } => self.decide(*loc, *kind, reason, by),
            Change::Pause { consumer, reason, by } => self.pause(consumer, reason.as_deref(), by),
            Change::BackedUp { site, epoch, through } => {
                let site_no = self.site_no(site)?;
                self.run(
                    "note a backup",
                    "UPDATE site SET backed_up_epoch = ?2, backed_up = ?3 WHERE site_no = ?1",
                    params![site_no, epoch, through.cast_signed()],
                )
            }
            Change::Incident(row) => self.put_incident(row),
            Change::Rewind { consumer, from, reason, by } => self.rewind(consumer, *from, reason, by),
            Change::Recovered => self.end_recovery(),
        }
    }

    pub(super) fn run(
        &self,
        doing: &'static str,
        text: &str,
        values: impl rusqlite::Params,
    ) -> Result<(), LedgerError> {
        self.db.conn.prepare_cached(text).and_then(|mut s| s.execute(values)).map(drop).map_err(sql(doing))
    }

    /// Only of what is parked there, and only where no other decision on it is under way: two persons must not mix.
    fn edit(&mut self, consumer: &str, loc: Loc, event: Option<&str>, by: &str) -> Result<(), LedgerError> {
        let is_free: bool = self
            .db
            .conn
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM delivery WHERE consumer = ?1 AND loc = ?2 AND stage = 3)
                 AND NOT EXISTS (SELECT 1 FROM op WHERE target = ?1 AND loc = ?2 AND state = 1)",
                params![consumer, loc.0],
                |r| r.get(0),
            )
            .map_err(sql("look for other decisions"))?;
        if !is_free {
            return Err(LedgerError::Absent { what: "parked event without another decision", at: loc.0 });
        }
        match event {
            Some(event) => self.run(
                "keep an edit",
                "INSERT OR REPLACE INTO edit VALUES (?1, ?2, ?3, ?4, ?5)",
                params![consumer, loc.0, event, by, self.now_ms],
            ),
            None => self.run(
                "take an edit back",
                "DELETE FROM edit WHERE consumer = ?1 AND loc = ?2",
                params![consumer, loc.0],
            ),
        }
    }

    fn pause(&mut self, consumer: &str, reason: Option<&str>, by: &str) -> Result<(), LedgerError> {
        let key = format!("{PAUSED}{consumer}");
        match reason {
            Some(reason) => self.run(
                "pause a consumer",
                "INSERT OR REPLACE INTO meta VALUES (?1, CAST(?2 AS BLOB))",
                params![key, format!("{by}: {reason}")],
            )?,
            None => self.run("resume a consumer", "DELETE FROM meta WHERE key = ?1", [key])?,
        }
        self.append_audit(&Entry {
            who: by.to_owned(),
            act: if reason.is_some() { "pause" } else { "resume" }.to_owned(),
            subject: consumer.to_owned(),
            detail: reason.unwrap_or_default().to_owned(),
        })
    }

    fn put_delivery(&mut self, row: &DeliveryRow) -> Result<(), LedgerError> {
        let site_no = self.site_no(&row.site)?;
        self.run(
            "record a delivery",
            "INSERT INTO delivery VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET \
             stage = excluded.stage, attempts = excluded.attempts, code = excluded.code, reason = excluded.reason, \
             at_ms = excluded.at_ms",
            params![
                row.consumer,
                site_no,
                row.loc.0,
                row.lane,
                row.stage as i64,
                row.attempts,
                row.code,
                row.reason,
                self.now_ms
            ],
        )
    }

    fn put_cursor(&mut self, row: &super::CursorRow) -> Result<(), LedgerError> {
        let site_no = self.site_no(&row.site)?;
        self.run(
            "move a cursor",
            "INSERT INTO cursor VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET loc = excluded.loc, \
             epoch = excluded.epoch, seq = excluded.seq WHERE excluded.loc > cursor.loc",
            params![row.consumer, site_no, row.loc.0, row.epoch, row.seq.cast_signed()],
        )?;
        self.run(
            "take away settled deliveries",
            "DELETE FROM delivery WHERE consumer = ?1 AND site_no = ?2 AND loc <= ?3 AND stage = 5",
            params![row.consumer, site_no, row.loc.0],
        )
    }

    fn ask(&self, target: &str, kind: OpKind, loc: Loc, reason: &str, by: &str) -> Result<(), LedgerError> {
        self.run(
            "ask the service",
            "INSERT INTO op (target, kind, loc, reason, requested_by, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![target, kind.as_str(), loc.0, reason, by, self.now_ms],
        )
    }

    fn decide(&mut self, loc: Loc, kind: OpKind, reason: &str, by: &str) -> Result<(), LedgerError> {
        let refusal = self.db.refusal(loc)?.ok_or(LedgerError::Absent { what: "refused event", at: loc.0 })?;
        if refusal.state != RefusalState::Open {
            return Err(LedgerError::Absent { what: "open refusal", at: loc.0 });
        }
        let state = match kind {
            OpKind::Retry => {
                self.readmit(loc, refusal.other)?;
                RefusalState::Readmitted
            }
            OpKind::Skip => RefusalState::Skipped,
            OpKind::Reset => return Err(LedgerError::Absent { what: "decision on a refusal", at: loc.0 }),
        };
        self.close_refusal(loc, state, kind, reason, by)
    }

    /// Closes a refusal and tells every consumer.
    pub(super) fn close_refusal(
        &mut self,
        loc: Loc,
        state: RefusalState,
        kind: OpKind,
        reason: &str,
        by: &str,
    ) -> Result<(), LedgerError> {
        self.run("close a refusal", "UPDATE refusal SET state = ?2 WHERE loc = ?1", params![loc.0, state as i64])?;
        self.run(
            "tell the consumers",
            "INSERT INTO op (target, kind, loc, reason, requested_by, at_ms) \
             SELECT DISTINCT consumer, ?1, ?2, ?3, ?4, ?5 FROM cursor",
            params![kind.as_str(), loc.0, reason, by, self.now_ms],
        )
    }

    /// Lets an event take effect that had none: alone, or in place of the version in force.
    fn readmit(&mut self, loc: Loc, other: Option<Loc>) -> Result<(), LedgerError> {
        let batch = self.db.batch(loc.batch_no())?.ok_or(LedgerError::Absent { what: "batch", at: loc.batch_no() })?;
        let decoded = self.stored_event(loc)?;
        let prior = match other {
            None => None,
            Some(_) => self.in_force(decoded.id.as_bytes())?,
        };
        let sums = match prior {
            None => effect(&decoded.event, None),
            Some((content, at)) => {
                let earlier = self.stored_event(at)?;
                let standing = self.standing(at)?;
                self.replace(decoded.id.as_bytes(), (content, at), (content_of(&decoded), loc))?;
                effect(&decoded.event, Some((&earlier.event, standing)))
            }
        };
        let site_no = self.site_no(&batch.site)?;
        self.add_balances(sums.into_iter().map(|(key, micros)| ((site_no, key), micros)))
    }

    pub(super) fn in_force(&self, id: &[u8; 16]) -> Result<Option<(i64, Loc)>, LedgerError> {
        self.keys.get(&self.db.conn, id)
    }

    /// Puts a later version in force and remembers the earlier one.
    pub(super) fn replace(&mut self, id: &[u8; 16], old: (i64, Loc), new: (i64, Loc)) -> Result<(), LedgerError> {
        self.remember_version(id, old)?;
        self.keys.replace(*id, new);
        self.run("link a correction", "INSERT OR REPLACE INTO correction VALUES (?1, ?2)", params![new.1.0, old.1.0])
    }

    pub(super) fn remember_version(&self, id: &[u8; 16], version: (i64, Loc)) -> Result<(), LedgerError> {
        self.run(
            "remember a version",
            "INSERT OR IGNORE INTO version VALUES (?1, ?2, ?3)",
            params![id, version.0, version.1.0],
        )
    }

    /// Decodes one stored event.
    pub(super) fn stored_event(&self, loc: Loc) -> Result<codec::Decoded, LedgerError> {
        let batch_no = loc.batch_no();
        let batch = self.db.batch(batch_no)?.ok_or(LedgerError::Absent { what: "batch", at: batch_no })?;
        let events = codec::decode_batch(&batch.columns).map_err(|source| LedgerError::Stored { batch_no, source })?;
        events.into_iter().nth(loc.index()).ok_or(LedgerError::Absent { what: "event", at: loc.0 })
    }

    /// How a stored event stands, readmission included.
    pub(super) fn standing(&self, loc: Loc) -> Result<Standing, LedgerError> {
        let mut find = self
            .db
            .conn
            .prepare_cached("SELECT standings FROM batch WHERE batch_no = ?1")
            .map_err(sql("read a standing"))?;
        let bytes: Vec<u8> = find.query_row([loc.batch_no()], |r| r.get(0)).map_err(sql("read a standing"))?;
        let standing = bytes.get(loc.index()).and_then(|b| Standing::from_byte(*b));
        let standing = standing.ok_or(LedgerError::Damaged { what: "standing of an event", at: loc.0 })?;
        let replaces = standing == Standing::Revised;
        Ok(if replaces { Standing::Correction } else { standing })
    }
}

/// The first eight bytes of the content hash: the id is already equal when two contents are compared.
pub(crate) fn content_of(decoded: &codec::Decoded) -> i64 {
    let mut head = [0; 8];
    head.copy_from_slice(&decoded.digests.content[..8]);
    i64::from_be_bytes(head)
}

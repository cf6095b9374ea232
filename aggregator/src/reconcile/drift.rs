//! Drifts and what people decide on them.
//!
//! | state | by | becomes |
//! |---|---|---|
//! | | a run that finds a difference which nothing explains | open |
//! | open, recount asked | `recount` | recount asked |
//! | open, recount asked, ignored | `propose` | proposed |
//! | proposed | `approve`, by another person than proposed where the quantity needs two | approved |
//! | approved | the service writes the correction into the ledger | posted |
//! | open, recount asked, proposed | `ignore` until a day | ignored, and open again after it |
//! | any | a run that finds it exact, or `close` | closed |
//!
//! Every step is kept with who and why, and goes to the audit trail of the ledger.

use rusqlite::params;

use super::{ReconcileError, Settings, prices::Prices, store::ReconStore};

/// State of a drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Found.
    Open = 1,
    /// A person should count.
    Recount = 2,
    /// A correction is proposed.
    Proposed = 3,
    /// It may be made.
    Approved = 4,
    /// It is in the ledger.
    Posted = 5,
    /// Left alone until a day.
    Ignored = 6,
    /// Over.
    Closed = 7,
}

impl State {
    fn from_code(code: i64) -> Self {
        match code {
            2 => Self::Recount,
            3 => Self::Proposed,
            4 => Self::Approved,
            5 => Self::Posted,
            6 => Self::Ignored,
            7 => Self::Closed,
            _ => Self::Open,
        }
    }

    /// The word on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Recount => "recount asked",
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Posted => "posted",
            Self::Ignored => "ignored",
            Self::Closed => "closed",
        }
    }
}

/// What a drift is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct About {
    /// `wms`, a destination, or `transfer`.
    pub side: String,
    /// Site.
    pub site: String,
    /// Item.
    pub item: String,
    /// Lot.
    pub lot: String,
    /// Place, status, or number of the transfer.
    pub place: String,
    /// Unit.
    pub uom: String,
}

/// A drift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Number.
    pub drift_no: i64,
    /// What it is about.
    pub about: About,
    /// State.
    pub state: State,
    /// Other side less ledger at the last run, millionths.
    pub micros: i64,
    /// Cause at the last run.
    pub cause: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
    /// Run that found it.
    pub first_run: i64,
    /// Correction that is proposed, millionths.
    pub proposed: Option<i64>,
    /// By whom.
    pub proposed_by: String,
    /// Who approved, separated by line feeds.
    pub approvals: String,
    /// Until when it is ignored.
    pub ignored_until_ms: Option<i64>,
}

const DRIFT: &str = "SELECT drift_no, side, site, item, lot, place, uom, state, micros, cause, since_ms, first_run, proposed, \
     proposed_by, approvals, ignored_until_ms FROM drift";

fn row(r: &rusqlite::Row<'_>) -> Result<Drift, rusqlite::Error> {
    Ok(Drift {
        drift_no: r.get(0)?,
        about: About {
            side: r.get(1)?,
            site: r.get(2)?,
            item: r.get(3)?,
            lot: r.get(4)?,
            place: r.get(5)?,
            uom: r.get(6)?,
        },
        state: State::from_code(r.get(7)?),
        micros: r.get(8)?,
        cause: r.get(9)?,
        since_ms: r.get(10)?,
        first_run: r.get(11)?,
        proposed: r.get(12)?,
        proposed_by: r.get(13)?,
        approvals: r.get(14)?,
        ignored_until_ms: r.get(15)?,
    })
}

/// A step of a person or a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Who.
    pub who: String,
    /// What, one word.
    pub act: String,
    /// Why.
    pub reason: String,
}

/// What a person decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Asks for a count.
    Recount,
    /// Proposes a correction of so much; `None` is all of it.
    Propose(Option<i64>),
    /// Lets it be made.
    Approve,
    /// Leaves it alone until then, milliseconds since 1970.
    Ignore(i64),
    /// Ends it.
    Close,
}

impl Act {
    /// The word in the audit trail.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Recount => "recon_recount",
            Self::Propose(_) => "recon_propose",
            Self::Approve => "recon_approve",
            Self::Ignore(_) => "recon_ignore",
            Self::Close => "recon_close",
        }
    }
}

/// Drifts that are not closed.
///
/// # Errors
/// [`ReconcileError`].
pub fn open(store: &ReconStore) -> Result<Vec<Drift>, ReconcileError> {
    store.all("read drifts", &format!("{DRIFT} WHERE state < 7 ORDER BY drift_no"), [], row)
}

/// One drift.
///
/// # Errors
/// [`ReconcileError::NoDrift`].
pub fn get(store: &ReconStore, drift_no: i64) -> Result<Drift, ReconcileError> {
    let found = store.one("read a drift", &format!("{DRIFT} WHERE drift_no = ?1"), [drift_no], row)?;
    found.ok_or(ReconcileError::NoDrift { drift_no })
}

/// Steps of a drift.
///
/// # Errors
/// [`ReconcileError`].
pub fn steps(store: &ReconStore, drift_no: i64) -> Result<Vec<StepRow>, ReconcileError> {
    store.all(
        "read the steps of a drift",
        "SELECT at_ms, who, act, reason FROM drift_step WHERE drift_no = ?1 ORDER BY step_no",
        [drift_no],
        |r| Ok(StepRow { at_ms: r.get(0)?, who: r.get(1)?, act: r.get(2)?, reason: r.get(3)? }),
    )
}

/// The drift that is open about this.
///
/// # Errors
/// [`ReconcileError`].
pub fn open_about(store: &ReconStore, about: &About) -> Result<Option<Drift>, ReconcileError> {
    store.one(
        "look for a drift",
        &format!(
            "{DRIFT} WHERE side = ?1 AND site = ?2 AND item = ?3 AND lot = ?4 AND place = ?5 AND uom = ?6 AND state < 7 \
             ORDER BY drift_no DESC LIMIT 1"
        ),
        params![about.side, about.site, about.item, about.lot, about.place, about.uom],
        row,
    )
}

/// Whether the newest drift about this was closed by a person when it was just so large.
///
/// # Errors
/// [`ReconcileError`].
pub fn was_closed_by_person(store: &ReconStore, about: &About, micros: i64) -> Result<bool, ReconcileError> {
    let found = store.one(
        "look for a decision",
        "SELECT d.state, d.micros, (SELECT act FROM drift_step s WHERE s.drift_no = d.drift_no ORDER BY step_no DESC LIMIT 1) FROM drift d \
         WHERE side = ?1 AND site = ?2 AND item = ?3 AND lot = ?4 AND place = ?5 AND uom = ?6 ORDER BY drift_no DESC LIMIT 1",
        params![about.side, about.site, about.item, about.lot, about.place, about.uom],
        |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?, r.get::<_, Option<String>>(2)?)),
    )?;
    let close = Act::Close;
    Ok(found.is_some_and(|(state, was, act)| state == 7 && was == micros && act.as_deref() == Some(close.as_str())))
}

/// A difference was found: opens a drift, or notes what became of the one that is open.
///
/// # Errors
/// [`ReconcileError`].
pub fn found(
    store: &ReconStore,
    about: &About,
    (micros, cause): (i64, &str),
    (run_no, now_ms): (i64, i64),
) -> Result<Drift, ReconcileError> {
    let drift_no = match open_about(store, about)? {
        Some(drift) => {
            let is_over = drift.state == State::Ignored && drift.ignored_until_ms.is_some_and(|until| until <= now_ms);
            let state = if is_over { State::Open } else { drift.state };
            store.run_sql(
                "note a drift",
                "UPDATE drift SET micros = ?2, cause = ?3, last_run = ?4, state = ?5 WHERE drift_no = ?1",
                params![drift.drift_no, micros, cause, run_no, state as i64],
            )?;
            if is_over {
                note(
                    store,
                    drift.drift_no,
                    ("reconcile", "open", "the day until which it was ignored is over"),
                    now_ms,
                )?;
            }
            drift.drift_no
        }
        None => {
            store.run_sql(
                "open a drift",
                "INSERT INTO drift (side, site, item, lot, place, uom, state, micros, cause, since_ms, first_run, last_run) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?8, ?9, ?10, ?10)",
                params![
                    about.side, about.site, about.item, about.lot, about.place, about.uom, micros, cause, now_ms, run_no
                ],
            )?;
            let drift_no = store.conn.last_insert_rowid();
            note(store, drift_no, ("reconcile", "open", &format!("found by run {run_no}")), now_ms)?;
            drift_no
        }
    };
    get(store, drift_no)
}

/// Closes drifts of a side and site that a run compared and did not find again; gives their numbers.
///
/// # Errors
/// [`ReconcileError`].
pub fn close_exact(
    store: &ReconStore,
    (side, site): (&str, &str),
    was_compared: impl Fn(&About) -> bool,
    (run_no, now_ms): (i64, i64),
) -> Result<Vec<i64>, ReconcileError> {
    // One whose correction is being written is not over before it is.
    let gone = store.all(
        "look for drifts that are gone",
        &format!("{DRIFT} WHERE side = ?1 AND site = ?2 AND state < 7 AND state <> 4 AND last_run < ?3"),
        params![side, site, run_no],
        row,
    )?;
    let gone: Vec<i64> = gone.into_iter().filter(|d| was_compared(&d.about)).map(|d| d.drift_no).collect();
    for drift_no in &gone {
        store.run_sql("close a drift", "UPDATE drift SET state = 7 WHERE drift_no = ?1", [drift_no])?;
        note(store, *drift_no, ("reconcile", "close", &format!("exact in run {run_no}")), now_ms)?;
    }
    Ok(gone)
}

pub(super) fn note(
    store: &ReconStore,
    drift_no: i64,
    (who, act, reason): (&str, &str, &str),
    now_ms: i64,
) -> Result<(), ReconcileError> {
    store
        .run_sql(
            "note a step",
            "INSERT INTO drift_step SELECT ?1, coalesce(max(step_no), 0) + 1, ?2, ?3, ?4, ?5 FROM drift_step WHERE drift_no = ?1",
            params![drift_no, now_ms, who, act, reason],
        )
        .map(drop)
}

/// Does what a person decided; gives the drift as it then is.
///
/// # Errors
/// [`ReconcileError::Step`] where its state does not allow it.
pub fn act(
    store: &ReconStore,
    drift_no: i64,
    act: &Act,
    (by, reason): (&str, &str),
    settings: &Settings,
    now_ms: i64,
) -> Result<Drift, ReconcileError> {
    let prices = Prices::read(settings.prices.as_deref());
    store.together(|| {
        let drift = get(store, drift_no)?;
        let refuse = |needed: &str| {
            Err(ReconcileError::Step { drift_no, state: drift.state.as_str(), needed: needed.to_owned() })
        };
        let set = |state: State| {
            store.run_sql("decide on a drift", "UPDATE drift SET state = ?2 WHERE drift_no = ?1", params![drift_no, state as i64])
        };
        match act {
            Act::Recount => match drift.state {
                State::Open | State::Recount => drop(set(State::Recount)?),
                _ => return refuse("only an open one can be counted again"),
            },
            Act::Propose(micros) => match drift.state {
                State::Open | State::Recount | State::Ignored | State::Proposed => {
                    if drift.about.side == super::TRANSFER {
                        return refuse("a transfer is corrected by the site that shipped or received wrongly; close it with a reason then");
                    }
                    let all = if drift.about.side == super::WMS { drift.micros } else { drift.micros.saturating_neg() };
                    store.run_sql(
                        "propose a correction",
                        "UPDATE drift SET state = 3, proposed = ?2, proposed_by = ?3, approvals = '' WHERE drift_no = ?1",
                        params![drift_no, micros.unwrap_or(all), by],
                    )?;
                }
                _ => return refuse("only an open one can be corrected"),
            },
            Act::Approve => match (drift.state, drift.proposed) {
                (State::Proposed, Some(micros)) => {
                    let limit = i64::from(settings.approve_above).saturating_mul(docksync_proto::stock::MICROS);
                    let value = prices.value(&drift.about.item, micros);
                    let is_dear = value.is_some_and(|value| value > settings.approve_above_value.into());
                    if (micros.saturating_abs() > limit || is_dear) && by == drift.proposed_by {
                        return refuse(&format!(
                            "a correction of more than {} pieces, or of a value above {}, needs two persons, and {by} proposed it",
                            settings.approve_above, settings.approve_above_value
                        ));
                    }
                    store.run_sql(
                        "approve a correction",
                        "UPDATE drift SET state = 4, approvals = ?2 WHERE drift_no = ?1",
                        params![drift_no, by],
                    )?;
                }
                _ => return refuse("propose a correction first"),
            },
            Act::Ignore(until_ms) => match drift.state {
                State::Open | State::Recount | State::Proposed | State::Ignored => {
                    store.run_sql(
                        "ignore a drift",
                        "UPDATE drift SET state = 6, ignored_until_ms = ?2 WHERE drift_no = ?1",
                        params![drift_no, until_ms],
                    )?;
                }
                _ => return refuse("only an open one can be ignored"),
            },
            Act::Close => match drift.state {
                State::Closed => return refuse("it is over"),
                State::Approved => return refuse("its correction is being written"),
                _ => drop(set(State::Closed)?),
            },
        }
        note(store, drift_no, (by, act.as_str(), reason), now_ms)?;
        get(store, drift_no)
    })
}

//! What a site is told of its events: whether the ERP has each, and under which number.
//!
//! Read from the ledger when it is asked for, on a thread that may block. A site cannot load the ledger: one question of a site at a
//! time and one a quarter of a second; what comes sooner is dropped, and its page asks again. All sites together get so many at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    path::Path,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use docksync_proto::{
    codec::{self, Decoded},
    fate::{Answer, Fate, FateState, Question},
    site::SiteId,
};
use tokio::sync::Semaphore;

use crate::{
    consumers::FaultClass,
    ledger::{DeliveryRow, LedgerError, Loc, Reads as _, RefusalState, Stage, Standing, reads::SqliteReader},
};

/// Shortest time between two questions of a site.
const EVERY: Duration = Duration::from_millis(250);
/// Questions of all sites that are read at once.
const AT_ONCE: usize = 2;

/// What every site's answers are made from.
#[derive(Debug, Clone)]
pub struct Answering {
    erps: Arc<[String]>,
    at_once: Arc<Semaphore>,
}

impl Answering {
    /// Answers for the consumers that are an ERP.
    pub fn new(erps: impl IntoIterator<Item = String>) -> Self {
        Self { erps: erps.into_iter().collect(), at_once: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    async fn read(self, path: Arc<Path>, site: SiteId, question: Question) -> Option<Answer> {
        let permit = self.at_once.acquire_owned().await.ok()?;
        let (erps, of) = (self.erps, site.clone());
        let read = tokio::task::spawn_blocking(move || {
            let read = SqliteReader::open(&path).and_then(|reader| answer(&reader, &of, &question, &erps));
            drop(permit);
            read
        });
        match read.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::warn!(%site, %error, "question of a site could not be answered");
                None
            }
            Err(_) => None,
        }
    }
}

type UnderWay = Pin<Box<dyn Future<Output = Option<Answer>> + Send + Sync>>;

/// The questions of one site.
#[derive(Default)]
pub(super) struct Questions {
    under_way: Option<UnderWay>,
    taken_at: Option<Instant>,
}

impl Questions {
    /// Takes a question, unless one is being answered or was taken a moment ago; `false` where it is dropped.
    pub(super) fn take(
        &mut self,
        answering: &Answering,
        path: &Path,
        (site, question): (&SiteId, Question),
        now: Instant,
    ) -> bool {
        let is_early = self.taken_at.is_some_and(|at| now.saturating_duration_since(at) < EVERY);
        if is_early || self.under_way.is_some() {
            return false;
        }
        self.taken_at = Some(now);
        self.under_way = Some(Box::pin(answering.clone().read(path.into(), site.clone(), question)));
        true
    }

    /// Whether an answer is awaited.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// The answer that is under way; may be dropped without loss.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        let answer = match &mut self.under_way {
            Some(under_way) => under_way.await,
            None => std::future::pending().await,
        };
        self.under_way = None;
        answer
    }
}

/// Reads the answer; `None` where nothing was asked for.
///
/// # Errors
/// [`LedgerError`].
pub(super) fn answer(
    reader: &SqliteReader,
    site: &SiteId,
    question: &Question,
    erps: &[String],
) -> Result<Option<Answer>, LedgerError> {
    let Some((first, last)) = question.bounded() else { return Ok(None) };
    let places = places(reader, site, question.epoch, first, last)?;
    let locs: Vec<Loc> = places.iter().filter_map(|place| place.loc).collect();
    let erps = erps.iter().map(|name| Erp::read(reader, name, site, &locs)).collect::<Result<Vec<_>, _>>()?;
    let mut answer = Answer::to(question);
    for place in &places {
        let mut fates = fates(reader, site, place, &erps)?;
        fates.iter_mut().for_each(|fate| fate.is_repeat = place.is_repeat);
        if !answer.push(place.seq, fates) {
            break;
        }
    }
    Ok(Some(answer))
}

/// Where an event lies; of a repeat, where the fact lies that counts in its place.
struct Place {
    seq: u64,
    /// `None` where the ledger does not hold it.
    loc: Option<Loc>,
    standing: Option<Standing>,
    is_repeat: bool,
}

fn places(reader: &SqliteReader, site: &SiteId, epoch: u32, first: u64, last: u64) -> Result<Vec<Place>, LedgerError> {
    let stretches = reader.stretches(site, epoch, first, last)?;
    let mut originals = Originals { reader, by_batch: BTreeMap::new() };
    let mut places = Vec::new();
    for seq in first..=last {
        let found = stretches.iter().find_map(|stretch| stretch.place(seq));
        let (loc, standing) = found.map_or((None, None), |(loc, standing)| (Some(loc), standing));
        let is_repeat = standing == Some(Standing::Duplicate);
        let mut place = Place { seq, loc, standing, is_repeat };
        if let Some(loc) = loc.filter(|_| is_repeat)
            && let Some(original) = originals.of(loc)?
        {
            (place.loc, place.standing) = (Some(original), reader.standing(original)?);
        }
        places.push(place);
    }
    Ok(places)
}

/// Finds the facts that count in place of repeats; each batch is read once.
struct Originals<'a> {
    reader: &'a SqliteReader,
    by_batch: BTreeMap<i64, Vec<Decoded>>,
}

impl Originals<'_> {
    fn of(&mut self, loc: Loc) -> Result<Option<Loc>, LedgerError> {
        let batch_no = loc.batch_no();
        if !self.by_batch.contains_key(&batch_no) {
            let columns = self.reader.batch(batch_no)?.map(|batch| batch.columns).unwrap_or_default();
            let events = codec::decode_batch(&columns).map_err(|source| LedgerError::Stored { batch_no, source })?;
            self.by_batch.insert(batch_no, events);
        }
        let repeat = self.by_batch.get(&batch_no).and_then(|events| events.get(loc.index()));
        repeat.map_or(Ok(None), |repeat| self.reader.first_of(repeat))
    }
}

/// One ERP, as it stands with a site.
struct Erp {
    name: String,
    settled_through: Loc,
    /// Why it takes nothing now; empty where it does.
    halt: &'static str,
    /// What a person left out of what is asked for.
    left_out: BTreeSet<Loc>,
}

impl Erp {
    fn read(reader: &SqliteReader, name: &str, site: &SiteId, locs: &[Loc]) -> Result<Self, LedgerError> {
        let open = reader.incidents(name, 1)?.into_iter().find(|incident| incident.until_ms.is_none());
        let halt = match (reader.paused(name)?, open) {
            (Some(_), _) => "head office has paused it",
            (None, Some(incident)) => match FaultClass::from_word(&incident.class) {
                FaultClass::Outage => "the ERP does not answer head office",
                FaultClass::Auth => "the ERP does not accept the sign-in of head office",
                FaultClass::Limit => "the ERP asks head office to slow down",
                FaultClass::ClosedPeriod => "the ERP's books are closed for that time",
            },
            (None, None) => "",
        };
        Ok(Self {
            name: name.to_owned(),
            settled_through: reader.settled_through(name, site)?,
            halt,
            left_out: reader.left_out(name, locs)?,
        })
    }
}

fn fate(seq: u64, destination: &str, state: FateState, text: &str) -> Fate {
    Fate { seq, destination: destination.to_owned(), state, is_repeat: false, text: text.to_owned() }
}

fn fates(reader: &SqliteReader, site: &SiteId, place: &Place, erps: &[Erp]) -> Result<Vec<Fate>, LedgerError> {
    let one = |state, text: &str| Ok(vec![fate(place.seq, "", state, text)]);
    let Some(loc) = place.loc else { return one(FateState::NotHeld, "") };
    match place.standing {
        Some(Standing::New | Standing::Correction) => at_erps(reader, site, (place.seq, loc), erps),
        Some(Standing::Test) => one(FateState::Test, ""),
        Some(Standing::Duplicate) | None => one(FateState::LeftOut, ""),
        Some(Standing::Parked | Standing::Revised) => match reader.refusal(loc)? {
            None => one(FateState::Parked, ""),
            Some(refusal) => match refusal.state {
                RefusalState::Open => one(FateState::Parked, &why(&refusal.code, &refusal.reason)),
                RefusalState::Readmitted => at_erps(reader, site, (place.seq, loc), erps),
                RefusalState::Skipped => one(FateState::LeftOut, "by head office"),
                RefusalState::Superseded => one(FateState::LeftOut, "a corrected version came"),
            },
        },
    }
}

fn at_erps(
    reader: &SqliteReader,
    site: &SiteId,
    (seq, loc): (u64, Loc),
    erps: &[Erp],
) -> Result<Vec<Fate>, LedgerError> {
    if erps.is_empty() {
        return Ok(vec![fate(seq, "", FateState::NoErp, "")]);
    }
    let (rows, documents) = reader.fates(site, loc)?;
    let at = |erp: &Erp| {
        let document = documents.iter().find(|(consumer, _)| *consumer == erp.name).map(|(_, number)| number);
        let row = rows.iter().find(|row| row.consumer == erp.name);
        let (state, text) = at_erp(erp, loc, document.map(String::as_str), row);
        fate(seq, &erp.name, state, &text)
    };
    Ok(erps.iter().map(at).collect())
}

fn at_erp(erp: &Erp, loc: Loc, document: Option<&str>, row: Option<&DeliveryRow>) -> (FateState, String) {
    if let Some(number) = document {
        return (FateState::Applied, number.to_owned());
    }
    let is_settled = match row.map(|row| (row.stage, row)) {
        Some((Stage::Parked, row)) => return (FateState::Parked, why(&row.code, &row.reason)),
        Some((Stage::Held, _)) => return (FateState::Behind, String::new()),
        Some((Stage::Sending | Stage::Unknown, _)) => false,
        Some((Stage::Done, _)) => true,
        None => erp.settled_through >= loc,
    };
    match (is_settled, erp.left_out.contains(&loc)) {
        (false, _) => (FateState::OnTheWay, erp.halt.to_owned()),
        (true, true) => (FateState::LeftOut, "by head office".to_owned()),
        (true, false) => (FateState::Applied, String::new()),
    }
}

/// Code and words of what waits for a person.
fn why(code: &str, reason: &str) -> String {
    match (code, reason) {
        ("", reason) => reason.to_owned(),
        (code, "") => code.to_owned(),
        (code, reason) => format!("{code}: {reason}"),
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;

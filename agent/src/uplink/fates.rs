//! What head office said of events, while a page shows it; and what it is to be asked.
//!
//! A page looks; where what is known is missing or old, a question waits here for the uplink, which carries it and brings the
//! answer. Nothing is stored: after a restart it is asked again. [`Book`] is pure, [`Fates`] shares it.
//!
//! | question | on | becomes |
//! |---|---|---|
//! | wanted | the link flows | under way |
//! | under way | its answer | known; what the answer left out is wanted |
//! | under way | 10 s without one, the answer refused | silent: the next one waits longer each time, up to 10 min |
//! | under way | refused by name: head office is older | asked no more under this grant |
//! | wanted, under way | another grant, a lost line | forgotten; a page that is open wants it again |
//!
//! Limits: [`WANTED_MAX`] questions wait, [`KNOWN_MAX`] events are known; the oldest go.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use docksync_proto::fate::{Answer, Fate, QUESTION_EVENTS_MAX, Question};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

/// Events that are known at once.
const KNOWN_MAX: usize = 4_000;
/// Questions that wait.
const WANTED_MAX: usize = 8;
/// What may still change is asked for again after so long.
const FRESH: SignedDuration = SignedDuration::from_secs(4);
/// What changes no more of its own accord, after so long.
const FRESH_FINAL: SignedDuration = SignedDuration::from_mins(1);
/// An answer that takes longer does not come.
const ANSWER_WITHIN: SignedDuration = SignedDuration::from_secs(10);
/// Longest wait before the next question to a head office that does not answer.
const SILENCE_MAX: SignedDuration = SignedDuration::from_mins(10);

/// A grant: epoch and session.
pub type Grant = (u32, u32);

/// What is known of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// When head office said it.
    pub at: Timestamp,
    /// What it said, by destination.
    pub fates: Vec<Fate>,
}

impl Known {
    /// Whether it changes no more of its own accord.
    pub fn is_final(&self) -> bool {
        self.fates.iter().all(|fate| fate.state.is_final())
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.at);
        // A clock that was set back makes no answer fresh for ever.
        !age.is_negative() && age < if self.is_final() { FRESH_FINAL } else { FRESH }
    }
}

/// How it stands with the question that a page needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Asking {
    /// Nothing need be asked.
    Current,
    /// It was asked, or is about to be.
    Asked,
    /// Head office did not answer the last question.
    Silent,
    /// Head office does not know such questions: it runs an older version.
    NotUnderstood,
}

/// What a page may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What is known, by number.
    pub known: BTreeMap<u64, Known>,
    /// How it stands with the rest.
    pub asking: Asking,
}

/// Shared between pages and uplink.
#[derive(Debug, Clone, Default)]
pub struct Fates {
    book: Arc<Mutex<Book>>,
    wanted: Arc<Notify>,
}

impl Fates {
    /// What is known of these events; what is missing or old is asked for.
    pub fn look(&self, first: u64, last: u64, now: Timestamp) -> Seen {
        let seen = self.book().look(first, last, now);
        if seen.asking == Asking::Asked {
            self.wanted.notify_one();
        }
        seen
    }

    /// Waits until a page wants something.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Every change leaves the book whole, so that a panic in between leaves nothing half done.
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state behind it.
#[derive(Debug, Default)]
pub(super) struct Book {
    grant: Option<Grant>,
    known: BTreeMap<u64, Known>,
    wanted: VecDeque<(u64, u64)>,
    under_way: Option<(Question, Timestamp)>,
    /// Questions in a row that were not answered, and when the last of them was given up.
    silent: (u32, Option<Timestamp>),
    is_not_understood: bool,
}

impl Book {
    fn look(&mut self, first: u64, last: u64, now: Timestamp) -> Seen {
        let last = last.min(first.saturating_add(QUESTION_EVENTS_MAX - 1));
        let known: BTreeMap<u64, Known> = match first <= last {
            true => self.known.range(first..=last).map(|(seq, known)| (*seq, known.clone())).collect(),
            false => BTreeMap::new(),
        };
        let stale = (first..=last).find(|seq| known.get(seq).is_none_or(|known| !known.is_fresh(now)));
        let asking = match stale {
            None => Asking::Current,
            Some(_) if self.is_not_understood => Asking::NotUnderstood,
            Some(from) => {
                self.want(from, last);
                if self.silent.0 > 0 { Asking::Silent } else { Asking::Asked }
            }
        };
        Seen { known, asking }
    }

    fn want(&mut self, first: u64, last: u64) {
        let is_asked = self.under_way.is_some_and(|(question, _)| question.first <= first && question.last >= last);
        if is_asked || self.wanted.iter().any(|(from, through)| *from <= first && *through >= last) {
            return;
        }
        if self.wanted.len() >= WANTED_MAX {
            self.wanted.pop_front();
        }
        self.wanted.push_back((first, last));
    }

    /// The question to send now, under the grant that holds.
    pub(super) fn next(&mut self, grant: Grant, now: Timestamp) -> Option<Question> {
        if self.grant != Some(grant) {
            self.granted(grant);
        }
        match self.under_way {
            Some((_, at)) if (SignedDuration::ZERO..ANSWER_WITHIN).contains(&now.duration_since(at)) => return None,
            Some(_) => self.unanswered(now),
            None => {}
        }
        if self.is_not_understood || self.silent.1.is_some_and(|at| now < waits_until(at, self.silent.0)) {
            return None;
        }
        let (first, last) = self.wanted.pop_front()?;
        let question = Question { epoch: grant.0, session: grant.1, first, last };
        self.under_way = Some((question, now));
        Some(question)
    }

    /// Under another grant what is under way is not answered; under another epoch the numbers mean other events.
    fn granted(&mut self, grant: Grant) {
        if self.grant.is_some_and(|(epoch, _)| epoch != grant.0) {
            self.known.clear();
            self.wanted.clear();
        }
        self.grant = Some(grant);
        self.under_way = None;
        self.silent = (0, None);
        self.is_not_understood = false;
    }

    /// The question could not be sent: it is asked at the next occasion.
    pub(super) fn not_sent(&mut self) {
        if let Some((question, _)) = self.under_way.take() {
            self.want(question.first, question.last);
        }
    }

    /// Takes an answer, if it is one to the question that is under way.
    pub(super) fn told(&mut self, answer: Answer, now: Timestamp) -> bool {
        let Some((question, _)) = self.under_way.filter(|(question, _)| answer.is_to(question)) else { return false };
        self.under_way = None;
        self.silent = (0, None);
        let (first, last) = (answer.first, answer.last);
        let mut told: BTreeMap<u64, Vec<Fate>> = BTreeMap::new();
        for fate in answer.fates {
            told.entry(fate.seq).or_default().push(fate);
        }
        for seq in first..=last {
            // An event without a word is known as such: asking again at once would bring no more.
            let fates = told.remove(&seq).unwrap_or_default();
            self.known.insert(seq, Known { at: now, fates });
        }
        if last < question.last {
            self.want(last + 1, question.last);
        }
        self.forget_oldest();
        true
    }

    fn forget_oldest(&mut self) {
        let over = self.known.len().saturating_sub(KNOWN_MAX);
        if over == 0 {
            return;
        }
        let mut times: Vec<(Timestamp, u64)> = self.known.iter().map(|(seq, known)| (known.at, *seq)).collect();
        times.sort_unstable();
        times.into_iter().take(over).for_each(|(_, seq)| drop(self.known.remove(&seq)));
    }

    /// Head office, or what lies between, did not take the question: `by_name` where it does not know such a thing.
    pub(super) fn refused(&mut self, by_name: bool, now: Timestamp) {
        self.is_not_understood |= by_name;
        if self.under_way.is_some() {
            self.unanswered(now);
        }
    }

    fn unanswered(&mut self, now: Timestamp) {
        self.under_way = None;
        self.silent = (self.silent.0.saturating_add(1), Some(now));
    }

    /// The line is gone, and what was asked with it.
    pub(super) fn lost(&mut self) {
        self.under_way = None;
        self.wanted.clear();
    }
}

/// 10 s after the first question without an answer, then four times as long each time.
fn waits_until(at: Timestamp, silent: u32) -> Timestamp {
    let wait = ANSWER_WITHIN.saturating_mul(4_i32.saturating_pow(silent.saturating_sub(1).min(8)));
    at.checked_add(wait.min(SILENCE_MAX)).unwrap_or(at)
}

#[cfg(test)]
#[path = "fates_tests.rs"]
mod tests;

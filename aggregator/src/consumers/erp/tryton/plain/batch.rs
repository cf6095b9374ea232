//! Many documents at once over calls that take many records.
//!
//! A call into Tryton costs nearly the same for one record as for fifty (its README of the module has the figures), and a document
//! takes several calls, one behind the other. So each document has a course: a machine that asks for one thing at a time, written
//! as an async function, which nothing ever waits for. [`run`] polls all courses, makes one call of what several ask alike, and hands out the
//! answers. A call is one transaction: where it is refused nothing of it took effect, and its halves are tried.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use serde_json::{Map, Value, json};

use super::{
    super::rpc::{Failure, Refusal, Rpc},
    meaning,
};
use crate::consumers::{FaultClass, Outcome};

/// How often a call that met another transaction is made again at once.
const CONFLICTS_MAX: u32 = 3;
/// Warnings of one call that are answered: each of its records may meet two.
const WARNINGS_PER_RECORD: usize = 2;

/// A result, or what became of the document.
pub(super) type Told<T> = Result<T, Outcome>;
/// One document on its way.
pub(super) type Course<'c, T> = Pin<Box<dyn Future<Output = T> + 'c>>;

/// Something to ask of Tryton.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    /// Records of which one field of several has one of these values.
    Find {
        model: &'static str,
        by: &'static [&'static str],
        values: Vec<Value>,
        more: Value,
        fields: &'static [&'static str],
        limit: usize,
    },
    /// New records, all or none.
    Create { model: &'static str, records: Vec<Value> },
    /// Values of one record.
    Write { model: &'static str, id: i64, values: Value },
    /// A button, pressed on records at once.
    Press { model: &'static str, button: &'static str, ids: Vec<i64> },
    /// Any other call, with more in its context.
    Call { method: String, params: Vec<Value>, more: Map<String, Value>, is_write: bool },
}

impl Ask {
    /// What asks that go into one call have in common; `None` stands alone.
    fn likeness(&self) -> Option<String> {
        match self {
            Self::Find { model, by, more, fields, .. } => Some(format!("find {model} {by:?} {more} {fields:?}")),
            Self::Create { model, .. } => Some(format!("create {model}")),
            Self::Write { model, .. } => Some(format!("write {model}")),
            Self::Press { model, button, .. } => Some(format!("press {model} {button}")),
            Self::Call { .. } => None,
        }
    }

    const fn is_write(&self) -> bool {
        match self {
            Self::Find { .. } => false,
            Self::Create { .. } | Self::Write { .. } | Self::Press { .. } => true,
            Self::Call { is_write, .. } => *is_write,
        }
    }

    fn records(&self) -> usize {
        match self {
            Self::Find { values, .. } => values.len(),
            Self::Create { records, .. } => records.len(),
            Self::Press { ids, .. } => ids.len(),
            Self::Write { .. } | Self::Call { .. } => 1,
        }
    }
}

/// Where a course lays down what it asks, and finds the answer.
#[derive(Debug, Default)]
pub(super) struct Desk {
    ask: RefCell<Option<Ask>>,
    answer: RefCell<Option<Told<Value>>>,
}

impl Desk {
    /// Asks, and goes on with the answer.
    pub(super) async fn call(&self, ask: Ask) -> Told<Value> {
        *self.ask.borrow_mut() = Some(ask);
        std::future::poll_fn(|_| match self.answer.borrow_mut().take() {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        })
        .await
    }
}

/// Takes every course to its end; gives what became of each.
pub(super) fn run<T>(rpc: &mut Rpc, desks: &[Desk], courses: Vec<Course<'_, T>>) -> Vec<T> {
    let mut caller = Caller { rpc, stopped: None };
    let mut ends: Vec<Option<T>> = courses.iter().map(|_| None).collect();
    let mut courses: Vec<Option<Course<'_, T>>> = courses.into_iter().map(Some).collect();
    let mut context = Context::from_waker(Waker::noop());
    while courses.iter().any(Option::is_some) {
        for (at, slot) in courses.iter_mut().enumerate() {
            let Some(course) = slot else { continue };
            if let Poll::Ready(end) = course.as_mut().poll(&mut context) {
                ends[at] = Some(end);
                *slot = None;
            }
        }
        let asked = desks.iter().enumerate().filter_map(|(at, desk)| Some((at, desk.ask.borrow_mut().take()?)));
        for (at, answer) in caller.answer(asked.collect()) {
            *desks[at].answer.borrow_mut() = Some(answer);
        }
    }
    ends.into_iter().map(|end| end.expect("every course came to its end")).collect()
}

struct Caller<'r> {
    rpc: &'r mut Rpc,
    /// What Tryton said of itself, which holds for every call behind that one.
    stopped: Option<Outcome>,
}

/// Asks with the desk that each lies on.
type Asked = Vec<(usize, Ask)>;

impl Caller<'_> {
    fn answer(&mut self, asked: Asked) -> Vec<(usize, Told<Value>)> {
        let mut alike: BTreeMap<String, Asked> = BTreeMap::new();
        for (at, ask) in asked {
            let likeness = ask.likeness().unwrap_or_else(|| format!("call {at}"));
            alike.entry(likeness).or_default().push((at, ask));
        }
        alike.into_values().flat_map(|asks| self.call(asks)).collect()
    }

    /// One call for asks that are alike, or several where one is refused.
    fn call(&mut self, asks: Asked) -> Vec<(usize, Told<Value>)> {
        if let Some(stopped) = &self.stopped {
            return asks.iter().map(|(at, _)| (*at, Err(stopped.clone()))).collect();
        }
        let is_write = asks.iter().any(|(_, ask)| ask.is_write());
        match self.send(&asks) {
            Ok(answer) => self.share(asks, &answer),
            Err(Failure::Refused(_)) if asks.len() > 1 => {
                let mut first = asks;
                let second = first.split_off(first.len() / 2);
                let mut answers = self.call(first);
                answers.extend(self.call(second));
                answers
            }
            Err(failure) => {
                let outcome = self.meaning(failure, is_write);
                asks.iter().map(|(at, _)| (*at, Err(outcome.clone()))).collect()
            }
        }
    }

    fn meaning(&mut self, failure: Failure, is_write: bool) -> Outcome {
        let outcome = match failure {
            Failure::Refused(refusal) => return meaning::outcome(&refusal),
            Failure::Unknown { reason, was_answered } if is_write => Outcome::Unknown { reason, was_answered },
            other => other.without_effect(),
        };
        self.stopped = match &outcome {
            Outcome::Unknown { was_answered: true, .. } => None,
            Outcome::Unknown { reason, .. } => Some(Outcome::Retry {
                class: FaultClass::Outage,
                after_ms: None,
                reason: format!("not sent behind a call without an answer: {reason}"),
            }),
            other => Some(other.clone()),
        };
        outcome
    }

    /// A call with the warnings answered that ask whether what happened shall be believed.
    fn send(&mut self, asks: &Asked) -> Result<Value, Failure> {
        let (method, params, more) = written(asks);
        let mut conflicts = 0;
        let mut warnings = WARNINGS_PER_RECORD * asks.iter().map(|(_, ask)| ask.records()).sum::<usize>();
        loop {
            match self.rpc.call_in(&method, &params, &more) {
                Err(Failure::Refused(refusal)) if meaning::is_conflict(&refusal) && conflicts < CONFLICTS_MAX => {
                    conflicts += 1;
                }
                Err(Failure::Refused(refusal)) if meaning::is_answered(&refusal) && warnings > 0 => {
                    warnings -= 1;
                    self.skip(&refusal)?;
                }
                other => return other,
            }
        }
    }

    fn skip(&mut self, warning: &Refusal) -> Result<(), Failure> {
        let params = [json!(warning.description), json!(false)];
        self.rpc.call("model.res.user.warning.skip", &params).map(drop)
    }

    /// To each who asked, its part of the answer.
    fn share(&mut self, asks: Asked, answer: &Value) -> Vec<(usize, Told<Value>)> {
        let rows = answer.as_array().map_or(&[][..], Vec::as_slice);
        if is_cut(&asks, rows.len()) {
            // One of them has more than it asked for, and may have left nothing for the others.
            return asks.into_iter().flat_map(|one| self.call(vec![one])).collect();
        }
        let mut made = rows.iter();
        let part = |(at, ask): (usize, Ask)| {
            let part = match &ask {
                Ask::Find { by, values, limit, .. } => {
                    let is_its = |row: &&Value| by.iter().any(|field| values.contains(&row[*field]));
                    Value::Array(rows.iter().filter(is_its).take(*limit).cloned().collect())
                }
                Ask::Create { records, .. } => Value::Array(made.by_ref().take(records.len()).cloned().collect()),
                Ask::Write { .. } | Ask::Press { .. } => Value::Null,
                Ask::Call { .. } => answer.clone(),
            };
            (at, Ok(part))
        };
        asks.into_iter().map(part).collect()
    }
}

fn is_cut(asks: &Asked, rows: usize) -> bool {
    asks.len() > 1 && matches!(asks[0].1, Ask::Find { .. }) && rows >= limit_of(asks)
}

fn limit_of(asks: &Asked) -> usize {
    let limit = |(_, ask): &(usize, Ask)| if let Ask::Find { limit, .. } = ask { *limit } else { 0 };
    asks.iter().map(limit).sum()
}

/// Method, parameters and more of the context of one call for asks that are alike.
fn written(asks: &Asked) -> (String, Vec<Value>, Map<String, Value>) {
    let all = || asks.iter().map(|(_, ask)| ask);
    let plain = |method: String, params| (method, params, Map::new());
    match &asks[0].1 {
        Ask::Find { model, by, more, fields, .. } => {
            let mut values: Vec<&Value> = Vec::new();
            for value in all().flat_map(|ask| if let Ask::Find { values, .. } = ask { &values[..] } else { &[] }) {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
            let any: Vec<Value> = by.iter().map(|field| json!([field, "in", values])).collect();
            let mut domain = match any.as_slice() {
                [one] => vec![one.clone()],
                several => vec![std::iter::once(json!("OR")).chain(several.iter().cloned()).collect()],
            };
            domain.extend(more.as_array().into_iter().flatten().cloned());
            let limit = json!(limit_of(asks));
            plain(
                format!("model.{model}.search_read"),
                vec![domain.into(), json!(0), limit, json!([["id", "ASC"]]), json!(fields)],
            )
        }
        Ask::Create { model, .. } => {
            let records = all().flat_map(|ask| if let Ask::Create { records, .. } = ask { &records[..] } else { &[] });
            plain(format!("model.{model}.create"), vec![records.cloned().collect()])
        }
        Ask::Write { model, .. } => {
            let pair = |ask: &Ask| match ask {
                Ask::Write { id, values, .. } => vec![json!([id]), values.clone()],
                _ => Vec::new(),
            };
            plain(format!("model.{model}.write"), all().flat_map(pair).collect())
        }
        Ask::Press { model, button, .. } => {
            let ids = all().flat_map(|ask| if let Ask::Press { ids, .. } = ask { &ids[..] } else { &[] });
            plain(format!("model.{model}.{button}"), vec![ids.copied().collect::<Vec<i64>>().into()])
        }
        Ask::Call { method, params, more, .. } => (method.clone(), params.clone(), more.clone()),
    }
}

//! The events of a file as its page shows them: whether each is in the ERP and under which number, or who has to act. Pure.

use std::collections::BTreeMap;

use docksync_proto::fate::{Fate, FateState, QUESTION_EVENTS_MAX};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    queue::{Content, EventName, EventRow},
    uplink::fates::{Asking, Known, Seen},
};

/// Events of one page.
pub const EVENTS_SHOWN: u64 = 100;

/// Events of a file, as shown.
#[derive(Debug, Clone, Serialize)]
pub struct EventsView {
    /// Events of the file that are still kept here.
    pub kept: u64,
    /// Place of the first that is shown, from 1.
    pub from: u64,
    /// Those shown.
    pub events: Vec<EventView>,
    /// How many of them stand how.
    pub counts: BTreeMap<&'static str, u64>,
    /// How it stands with what head office says of them.
    pub asking: Asking,
    /// Whether head office can be reached now.
    pub is_link_up: bool,
    /// When head office said the oldest of what is shown.
    pub told_at: Option<Timestamp>,
}

/// One event, as shown.
#[derive(Debug, Clone, Serialize)]
pub struct EventView {
    /// Number in the stream of this site.
    pub seq: u64,
    /// What it is.
    #[serde(flatten)]
    pub name: Option<EventName>,
    /// `stored`, `not_told`, or a word of [`FateState::as_str`]: of several ERPs, of the one that is least far.
    pub state: &'static str,
    /// What head office said, if anything.
    #[serde(skip)]
    pub fate: Option<FateState>,
    /// For `in_erp` the number that the ERP gave; for others why; may be empty.
    pub text: String,
    /// Whether head office had the same fact before: then this is told of that one.
    pub is_repeat: bool,
    /// Each ERP by its name, with state and text, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<(String, &'static str, String)>,
}

impl EventsView {
    /// Whether anything shown may still change by itself.
    pub fn may_change(&self) -> bool {
        self.events.iter().any(|event| !event.fate.is_some_and(FateState::is_final))
    }

    /// Place of the first event of the page before, and of the next.
    pub fn neighbours(&self) -> (Option<u64>, Option<u64>) {
        let before = (self.from > 1).then(|| self.from.saturating_sub(EVENTS_SHOWN).max(1));
        let next = self.from + EVENTS_SHOWN;
        (before, (next <= self.kept).then_some(next))
    }
}

/// The view of these events. Those that head office holds, through `marked`, are looked up with `look`, which may ask for them.
pub fn view(
    content: Content,
    skip: u64,
    marked: u64,
    is_link_up: bool,
    mut look: impl FnMut(u64, u64) -> Seen,
) -> EventsView {
    let mut known = BTreeMap::new();
    let mut asking = Asking::Current;
    for (first, last) in spans(&content.events, marked) {
        let seen = look(first, last);
        known.extend(seen.known);
        if seen.asking != Asking::Current {
            asking = seen.asking;
        }
    }
    let told_at = content.events.iter().filter_map(|event| known.get(&event.seq)).map(|known| known.at).min();
    let mut shown = |event: EventRow| {
        let told = known.remove(&event.seq);
        one(event, marked, told)
    };
    let events: Vec<EventView> = content.events.into_iter().map(&mut shown).collect();
    let mut counts = BTreeMap::new();
    for event in &events {
        *counts.entry(event.state).or_insert(0) += 1;
    }
    EventsView { kept: content.kept, from: skip + 1, events, counts, asking, is_link_up, told_at }
}

/// What to look up: few spans, each within one question, though events of other files may lie between.
fn spans(events: &[EventRow], marked: u64) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for seq in events.iter().map(|event| event.seq).filter(|seq| *seq <= marked) {
        match spans.last_mut() {
            Some((first, last)) if seq - *first < QUESTION_EVENTS_MAX => *last = seq,
            _ => spans.push((seq, seq)),
        }
    }
    spans
}

fn one(event: EventRow, marked: u64, known: Option<Known>) -> EventView {
    let EventRow { seq, name } = event;
    let fates = known.map(|known| known.fates).unwrap_or_default();
    let Some(worst) = fates.iter().min_by_key(|fate| (rank(fate.state), fate.text.is_empty())) else {
        let state = if seq > marked { "stored" } else { "not_told" };
        let (text, destinations) = (String::new(), Vec::new());
        return EventView { seq, name, state, fate: None, text, is_repeat: false, destinations };
    };
    EventView {
        seq,
        name,
        state: worst.state.as_str(),
        fate: Some(worst.state),
        text: worst.text.clone(),
        is_repeat: worst.is_repeat,
        destinations: if fates.len() > 1 { fates.iter().map(destination).collect() } else { Vec::new() },
    }
}

fn destination(fate: &Fate) -> (String, &'static str, String) {
    (fate.destination.clone(), fate.state.as_str(), fate.text.clone())
}

/// The least far comes first.
const fn rank(state: FateState) -> u8 {
    match state {
        FateState::Parked => 0,
        FateState::Behind => 1,
        FateState::OnTheWay => 2,
        FateState::NotHeld => 3,
        FateState::Applied => 4,
        FateState::LeftOut => 5,
        FateState::Test => 6,
        FateState::NoErp => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(seqs: impl IntoIterator<Item = u64>) -> Content {
        let events: Vec<EventRow> = seqs.into_iter().map(|seq| EventRow { seq, name: None }).collect();
        Content { kept: events.len() as u64, events }
    }

    fn fate(seq: u64, destination: &str, state: FateState, text: &str) -> Fate {
        Fate { seq, destination: destination.to_owned(), state, is_repeat: false, text: text.to_owned() }
    }

    fn seen(fates: Vec<Fate>, asking: Asking) -> Seen {
        let mut known: BTreeMap<u64, Known> = BTreeMap::new();
        for fate in fates {
            let entry = known.entry(fate.seq).or_insert(Known { at: Timestamp::UNIX_EPOCH, fates: Vec::new() });
            entry.fates.push(fate);
        }
        Seen { known, asking }
    }

    #[test]
    fn what_is_not_at_head_office_is_not_asked_for() {
        let mut asked = Vec::new();

        let shown = view(content(5..9), 0, 6, true, |first, last| {
            asked.push((first, last));
            seen(vec![fate(5, "erp", FateState::Applied, "D-1")], Asking::Asked)
        });

        let states: Vec<_> = shown.events.iter().map(|event| (event.state, event.text.as_str())).collect();
        assert_eq!(states, [("in_erp", "D-1"), ("not_told", ""), ("stored", ""), ("stored", "")]);
        assert_eq!((asked, shown.asking, shown.may_change()), (vec![(5, 6)], Asking::Asked, true));
        assert_eq!(shown.counts, BTreeMap::from([("in_erp", 1), ("not_told", 1), ("stored", 2)]));
    }

    #[test]
    fn of_several_erps_the_one_that_is_least_far_counts_and_each_is_told() {
        let fates =
            vec![fate(1, "erp", FateState::Applied, "D-1"), fate(1, "other", FateState::Parked, "CODE: not known")];

        let shown = view(content([1]), 0, 1, true, |_, _| seen(fates.clone(), Asking::Current));

        let event = &shown.events[0];
        assert_eq!((event.state, event.text.as_str()), ("waits_for_person", "CODE: not known"));
        assert_eq!(event.destinations[0], ("erp".to_owned(), "in_erp", "D-1".to_owned()));
    }

    #[test]
    fn events_of_other_files_between_do_not_make_a_question_longer_than_it_may_be() {
        let seqs = (0..EVENTS_SHOWN).map(|n| 1 + n * 7);
        let mut asked = Vec::new();

        view(content(seqs), 0, 10_000, true, |first, last| {
            asked.push((first, last));
            seen(Vec::new(), Asking::Current)
        });

        assert_eq!(asked, [(1, 197), (204, 400), (407, 603), (610, 694)]);
    }

    #[test]
    fn pages_of_a_long_file_lead_to_one_another() {
        let page = |from, kept| EventsView {
            from,
            kept,
            ..view(content([]), 0, 0, true, |_, _| seen(vec![], Asking::Current))
        };

        assert_eq!(page(1, 100).neighbours(), (None, None));
        assert_eq!(page(1, 101).neighbours(), (None, Some(101)));
        assert_eq!(page(101, 250).neighbours(), (Some(1), Some(201)));
        assert_eq!(page(50, 120).neighbours(), (Some(1), None));
    }
}

//! What a site asks of its events behind the ledger, and what it is told: how they stand at the ERP.
//!
//! On demand, so that nothing need be stored or tried again: a person looks at a file, the site sends a [`Question`] on
//! `{site}/up/beat`, the centre reads its ledger and sends an [`Answer`] on `{site}/up/mark`. Neither changes any state of the
//! link. Both name epoch and session: a question of another grant is not answered, an answer under another one is not believed.
//! A centre that does not know the question refuses it by name, and the site asks it no more under that grant; a site that does
//! not ask is never told.
//!
//! Limits: [`QUESTION_EVENTS_MAX`] events a question, [`TEXT_BYTES_MAX`] bytes a text, [`ANSWER_BYTES_MAX`] bytes of fates an answer.
//! An answer may tell of fewer events than were asked for: through its own `last`, which is never before `first`.

use serde::{Deserialize, Serialize};

/// Most events of one question.
pub const QUESTION_EVENTS_MAX: u64 = 200;
/// Most bytes of one text of an answer.
pub const TEXT_BYTES_MAX: usize = 240;
/// Most bytes that the fates of one answer come to: with its frame it stays within 64 KiB.
pub const ANSWER_BYTES_MAX: usize = 56 * 1024;
/// Most bytes of a fate besides its texts: two numbers of at most nine bytes, three of at most three.
const FATE_BYTES: usize = 32;

/// Asks what became of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Epoch.
    pub epoch: u32,
    /// [`crate::frame::session`] of the grant under which it is asked.
    pub session: u32,
    /// First event.
    pub first: u64,
    /// Last event.
    pub last: u64,
}

/// Tells what became of them, as the ledger has it at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Epoch.
    pub epoch: u32,
    /// [`crate::frame::session`] of the question.
    pub session: u32,
    /// First event of the question.
    pub first: u64,
    /// Last event that is told of.
    pub last: u64,
    /// Fates in the order of the events: one for each event and ERP, and at least one for each event.
    pub fates: Vec<Fate>,
}

/// How one event stands at one ERP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fate {
    /// Number of the event.
    pub seq: u64,
    /// The ERP, by its name at the centre; empty where no ERP is meant.
    pub destination: String,
    /// How it stands.
    pub state: FateState,
    /// Whether the ledger had the same fact before: then this is told of the one that counts.
    pub is_repeat: bool,
    /// For [`FateState::Applied`] the number that the ERP gave, where it gave one; for others a reason, which may be empty.
    pub text: String,
}

/// How an event stands at an ERP. The order is frozen: a new state comes behind the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FateState {
    /// The ledger does not hold it.
    NotHeld,
    /// No ERP is connected.
    NoErp,
    /// On its way to the ERP.
    OnTheWay,
    /// Taken by the ERP.
    Applied,
    /// Waits for a person at head office.
    Parked,
    /// Waits behind an event of the same document that waits for a person.
    Behind,
    /// Left out for ever, by a person's word or for a better version.
    LeftOut,
    /// Of a test interchange: never applied.
    Test,
}

impl FateState {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotHeld => "not_held",
            Self::NoErp => "no_erp",
            Self::OnTheWay => "on_the_way",
            Self::Applied => "in_erp",
            Self::Parked => "waits_for_person",
            Self::Behind => "behind_another",
            Self::LeftOut => "left_out",
            Self::Test => "test",
        }
    }

    /// Whether it changes no more of its own accord.
    pub const fn is_final(self) -> bool {
        match self {
            Self::NoErp | Self::Applied | Self::LeftOut | Self::Test => true,
            Self::NotHeld | Self::OnTheWay | Self::Parked | Self::Behind => false,
        }
    }
}

impl Question {
    /// The events that may be answered for: at most [`QUESTION_EVENTS_MAX`]; `None` where it asks for none.
    pub fn bounded(&self) -> Option<(u64, u64)> {
        let last = self.last.min(self.first.saturating_add(QUESTION_EVENTS_MAX - 1));
        (self.first > 0 && self.last >= self.first && last < u64::MAX).then_some((self.first, last))
    }
}

impl Answer {
    /// An answer that tells of nothing yet.
    pub const fn to(question: &Question) -> Self {
        let Question { epoch, session, first, .. } = *question;
        Self { epoch, session, first, last: first, fates: Vec::new() }
    }

    /// Puts the fates of the next event in, texts cut; `false` where there is no room for them.
    pub fn push(&mut self, seq: u64, fates: Vec<Fate>) -> bool {
        let mut added = fates;
        for fate in &mut added {
            cut(&mut fate.destination);
            cut(&mut fate.text);
        }
        // The first event always goes in: an answer that tells of nothing would be asked for again and again.
        let room = ANSWER_BYTES_MAX.saturating_sub(bytes_of(&self.fates));
        if !self.fates.is_empty() && bytes_of(&added) > room {
            return false;
        }
        while bytes_of(&added) > room {
            added.pop();
        }
        self.last = seq;
        self.fates.append(&mut added);
        true
    }

    /// Whether it may be an answer to this question: it says so, and tells of none but events that were asked for.
    pub fn is_to(&self, question: &Question) -> bool {
        let events = self.first..=self.last;
        (self.epoch, self.session, self.first) == (question.epoch, question.session, question.first)
            && events.contains(&self.first)
            && self.last <= question.last
            && self.fates.iter().all(|fate| events.contains(&fate.seq))
    }
}

fn bytes_of(fates: &[Fate]) -> usize {
    fates.iter().map(|fate| FATE_BYTES + fate.destination.len() + fate.text.len()).sum()
}

/// Cuts a text to [`TEXT_BYTES_MAX`] between characters.
fn cut(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX - "…".len()));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{BATCH_BYTES_MAX, Frame};

    const QUESTION: Question = Question { epoch: 1, session: 7, first: 5, last: 204 };

    fn fate(seq: u64, text: &str) -> Fate {
        let destination = "erp".to_owned();
        Fate { seq, destination, state: FateState::Parked, is_repeat: false, text: text.to_owned() }
    }

    #[test]
    fn a_question_is_answered_for_so_many_events_and_no_more() {
        let ask = |first, last| Question { first, last, ..QUESTION }.bounded();

        assert_eq!(ask(5, 9), Some((5, 9)));
        assert_eq!(ask(5, u64::MAX), Some((5, 204)));
        assert_eq!((ask(0, 9), ask(9, 5), ask(u64::MAX, u64::MAX)), (None, None, None));
    }

    #[test]
    fn the_longest_answer_stays_within_64_kib_and_tells_through_where_it_ends() {
        let mut answer = Answer::to(&QUESTION);
        let text = "ü".repeat(5_000);

        let took = (5..=204).take_while(|seq| answer.push(*seq, vec![fate(*seq, &text); 4])).count();

        assert!(took > 40 && took < 200, "{took}");
        assert_eq!((answer.last, answer.fates.len()), (5 + took as u64 - 1, 4 * took));
        assert!(answer.fates.iter().all(|f| f.text.len() <= TEXT_BYTES_MAX && f.text.ends_with('…')));
        assert!(Frame::Answer(answer).seal(None).unwrap().len() <= BATCH_BYTES_MAX);
    }

    #[test]
    fn an_event_with_more_fates_than_an_answer_holds_is_told_of_in_part() {
        let mut answer = Answer::to(&QUESTION);

        assert!(answer.push(5, vec![fate(5, &"x".repeat(500)); 1_000]));
        assert!(!answer.push(6, vec![fate(6, &"x".repeat(500)); 2]));

        assert!(answer.last == 5 && answer.fates.len() > 100 && answer.is_to(&QUESTION));
    }

    #[test]
    fn an_answer_to_another_question_is_not_believed() {
        let mut answer = Answer::to(&QUESTION);
        (5..10).for_each(|seq| assert!(answer.push(seq, vec![fate(seq, "D-1")])));
        let others = [
            Answer { epoch: 2, ..answer.clone() },
            Answer { session: 8, ..answer.clone() },
            Answer { first: 4, ..answer.clone() },
            Answer { last: 205, ..answer.clone() },
            Answer { last: 4, fates: Vec::new(), ..answer.clone() },
            Answer { last: 8, ..answer.clone() },
        ];

        assert!(answer.is_to(&QUESTION));
        for other in others {
            assert!(!other.is_to(&QUESTION), "{other:?}");
        }
    }

    fn any_state() -> impl Strategy<Value = FateState> {
        use FateState::{Applied, Behind, LeftOut, NoErp, NotHeld, OnTheWay, Parked, Test};
        prop::sample::select(vec![NotHeld, NoErp, OnTheWay, Applied, Parked, Behind, LeftOut, Test])
    }

    fn any_fate() -> impl Strategy<Value = Fate> {
        (any::<u64>(), ".{0,40}", any_state(), any::<bool>(), ".{0,300}")
            .prop_map(|(seq, destination, state, is_repeat, text)| Fate { seq, destination, state, is_repeat, text })
    }

    proptest! {
        #[test]
        fn questions_and_answers_read_back_and_no_part_of_one_does(
            (epoch, session, first, last) in any::<(u32, u32, u64, u64)>(),
            fates in prop::collection::vec(any_fate(), 0..20),
            at in any::<prop::sample::Index>(),
        ) {
            let question = Frame::Question(Question { epoch, session, first, last });
            let answer = Frame::Answer(Answer { epoch, session, first, last, fates });
            for frame in [question, answer] {
                let bytes = frame.seal(None).unwrap();
                prop_assert_eq!(Frame::open(&bytes, None).unwrap(), frame);
                prop_assert!(Frame::open(&bytes[..at.index(bytes.len())], None).is_err());
            }
        }

        #[test]
        fn whatever_is_pushed_goes_into_one_frame(lengths in prop::collection::vec((0_usize..400, 0_usize..5), 1..200)) {
            let mut answer = Answer::to(&QUESTION);
            for (seq, (length, n)) in (QUESTION.first..).zip(lengths) {
                answer.push(seq, vec![fate(seq, &"é".repeat(length)); n]);
            }
            prop_assert!(Frame::Answer(answer).seal(None).unwrap().len() <= BATCH_BYTES_MAX);
        }
    }
}

use docksync_proto::fate::FateState;

use super::*;

const GRANT: Grant = (1, 7);

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

fn fate(seq: u64, state: FateState) -> Fate {
    Fate { seq, destination: "erp".to_owned(), state, is_repeat: false, text: String::new() }
}

/// An answer through `last` to a question.
fn answer(question: Question, last: u64, state: FateState) -> Answer {
    let Question { epoch, session, first, .. } = question;
    Answer { epoch, session, first, last, fates: (first..=last).map(|seq| fate(seq, state)).collect() }
}

#[test]
fn a_look_asks_once_and_the_next_one_shows_what_was_said() {
    let mut book = Book::default();

    assert_eq!(book.look(5, 9, at(0)).asking, Asking::Asked);
    assert_eq!(book.look(5, 9, at(0)).asking, Asking::Asked);
    let question = book.next(GRANT, at(0)).unwrap();
    assert_eq!((question.first, question.last, book.next(GRANT, at(1))), (5, 9, None));
    assert!(book.told(answer(question, 9, FateState::Applied), at(1)));

    let seen = book.look(5, 9, at(2));
    assert_eq!((seen.asking, seen.known.len(), seen.known[&5].at), (Asking::Current, 5, at(1)));
    assert_eq!(book.next(GRANT, at(2)), None);
}

#[test]
fn what_may_change_is_asked_for_again_soon_and_what_is_final_later() {
    let mut book = Book::default();
    let mut told = |first, state, now| {
        book.look(first, first, at(now));
        let question = book.next(GRANT, at(now)).unwrap();
        assert!(book.told(answer(question, first, state), at(now)));
    };
    told(1, FateState::OnTheWay, 0);
    told(2, FateState::Applied, 0);

    assert_eq!(book.look(1, 1, at(5)).asking, Asking::Asked);
    assert_eq!(book.look(2, 2, at(5)).asking, Asking::Current);
    assert_eq!(book.look(2, 2, at(61)).asking, Asking::Asked);
    assert_eq!(book.look(2, 2, at(-3600)).asking, Asking::Asked, "the clock was set back");
}

#[test]
fn what_an_answer_leaves_out_is_asked_for_next() {
    let mut book = Book::default();
    book.look(1, 100, at(0));
    let question = book.next(GRANT, at(0)).unwrap();

    assert!(book.told(answer(question, 40, FateState::Applied), at(0)));

    let next = book.next(GRANT, at(0)).unwrap();
    assert_eq!((next.first, next.last), (41, 100));
}

#[test]
fn an_answer_that_was_not_asked_for_is_not_believed() {
    let mut book = Book::default();
    let never = answer(Question { epoch: 1, session: 7, first: 1, last: 1 }, 1, FateState::Applied);
    assert!(!book.told(never, at(0)));
    book.look(1, 3, at(0));
    let question = book.next(GRANT, at(0)).unwrap();

    let of_another = Question { session: 8, ..question };
    assert!(!book.told(answer(of_another, 3, FateState::Applied), at(0)));
    assert!(book.look(1, 3, at(0)).known.is_empty());
    assert!(book.told(answer(question, 3, FateState::Applied), at(0)));
    assert!(!book.told(answer(question, 3, FateState::Parked), at(0)), "it comes twice");
}

#[test]
fn a_head_office_that_does_not_answer_is_asked_ever_more_seldom() {
    let mut book = Book::default();
    let mut asked = Vec::new();

    for now in 0..3_600 {
        book.look(1, 3, at(now));
        asked.extend(book.next(GRANT, at(now)).map(|_| now));
    }

    assert_eq!(asked[..4], [0, 20, 70, 240]);
    assert!(asked.len() < 12, "{asked:?}");
    assert_eq!(book.look(1, 3, at(3_600)).asking, Asking::Silent);
}

#[test]
fn an_older_head_office_is_asked_once_for_each_grant() {
    let mut book = Book::default();
    book.look(1, 3, at(0));
    assert!(book.next(GRANT, at(0)).is_some());

    book.refused(true, at(0));

    assert_eq!(book.look(1, 3, at(1)).asking, Asking::NotUnderstood);
    assert_eq!(book.next(GRANT, at(1_000)), None);
    assert_eq!(book.next((1, 8), at(1_000)), None);
    assert_eq!(book.look(1, 3, at(1_000)).asking, Asking::Asked);
    assert!(book.next((1, 8), at(1_000)).is_some());
}

#[test]
fn under_another_epoch_the_numbers_mean_other_events() {
    let mut book = Book::default();
    book.look(1, 3, at(0));
    let question = book.next(GRANT, at(0)).unwrap();
    assert!(book.told(answer(question, 3, FateState::Applied), at(0)));

    book.next((1, 8), at(1));
    assert_eq!(book.look(1, 3, at(1)).known.len(), 3);
    book.next((2, 9), at(1));
    assert!(book.look(1, 3, at(1)).known.is_empty());
}

#[test]
fn a_lost_line_and_a_full_window_lose_no_question_of_an_open_page() {
    let mut book = Book::default();
    book.look(1, 3, at(0));
    let question = book.next(GRANT, at(0)).unwrap();

    book.not_sent();
    assert_eq!(book.next(GRANT, at(0)), Some(question));
    book.lost();

    assert_eq!(book.next(GRANT, at(1)), None);
    book.look(1, 3, at(1));
    assert_eq!(book.next(GRANT, at(1)), Some(question));
}

#[test]
fn questions_and_what_is_known_are_bounded() {
    let mut book = Book::default();
    for n in 0..100 {
        book.look(n * 200 + 1, u64::MAX, at(0));
    }
    assert_eq!(book.wanted.len(), WANTED_MAX);
    let mut now = 0;
    for n in 0..40 {
        now += 1;
        book.wanted.clear();
        book.look(n * 200 + 1, n * 200 + 200, at(now));
        let question = book.next(GRANT, at(now)).unwrap();
        assert!(book.told(answer(question, n * 200 + 200, FateState::Applied), at(now)));
    }

    assert_eq!(book.known.len(), KNOWN_MAX);
    assert_eq!(book.known.keys().next_back(), Some(&8_000));
}

#[test]
fn nothing_is_asked_where_there_is_nothing_to_ask() {
    assert_eq!(Book::default().look(1, 0, at(0)).asking, Asking::Current);
}

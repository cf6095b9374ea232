//! CONTRL as our answer.

use super::fixtures::{CONTRL, ORDERS, enclosed, interchange, outcome, outcome_with};

const ORDER: (&str, &str) = ("ORDERS:D:96A:UN:EAN008", ORDERS);
const ON: &str = "answer = true";

#[test]
fn an_accepted_interchange_is_acknowledged_with_each_message() {
    let outcome = outcome_with(ON, "", &interchange(&[ORDER, ORDER]));

    let [answer] = outcome.survey.answers.as_slice() else { panic!("one answer") };
    assert_eq!(answer.kind, "contrl");
    let expected = "UNB+UNOC:3+5400000000027:14+5400000000010:14+260714:1015+IC42'\r\nUNH+1+CONTRL:D:3:UN'\r\n\
                    UCI+IC42+5400000000010:14+5400000000027:14+7'\r\nUCM+1+ORDERS:D:96A:UN:EAN008+7'\r\n\
                    UCM+2+ORDERS:D:96A:UN:EAN008+7'\r\nUNT+5+1'\r\nUNZ+1+IC42'\r\n";
    assert_eq!(answer.text, expected);
}

#[test]
fn a_rejected_message_is_named_with_its_faults() {
    let bad = ORDERS.replace("QTY+21:20:PCE", "QTY+21:20:FURLONG");

    let outcome = outcome_with(ON, "", &interchange(&[(ORDER.0, &bad)]));

    let text = &outcome.survey.answers[0].text;
    assert!(text.contains("UCI+IC42+5400000000010:14+5400000000027:14+7'\r\n"), "{text}");
    assert!(text.contains("UCM+1+ORDERS:D:96A:UN:EAN008+4'\r\nUCS+11'\r\nUCD+12+2'\r\nUNT+6+1'"), "{text}");
}

#[test]
fn what_is_wrong_with_a_message_as_a_whole_has_no_place_in_it() {
    let count = interchange(&[ORDER]).replace("UNT+17+1", "UNT+18+1");
    let unknown = interchange(&[("INVOIC:D:96A:UN", "BGM+380+1+9'")]);

    let text = |text: &str| outcome_with(ON, "", text).survey.answers[0].text.clone();

    assert!(text(&count).contains("UCM+1+ORDERS:D:96A:UN:EAN008+4+29'\r\nUNT"));
    assert!(text(&unknown).contains("UCM+1+INVOIC:D:96A:UN+4+17'\r\nUNT"));
}

#[test]
fn a_rejected_interchange_is_rejected_with_all_that_is_in_it() {
    let text = interchange(&[ORDER]).replace("UNZ+1", "UNZ+5");

    let outcome = outcome_with(ON, "", &text);

    let answer = &outcome.survey.answers[0].text;
    assert!(answer.contains("UCI+IC42+5400000000010:14+5400000000027:14+4+29+UNZ'\r\nUNT+3+1'"), "{answer}");
}

#[test]
fn service_characters_and_the_test_indicator_are_carried_over() {
    let unb = "UNB+UNOB:4+A?+1:14+B:14+20260714:1015+T?:1++++++1'";

    let outcome = outcome_with(ON, "", &enclosed(unb, &[ORDER]));

    let text = &outcome.survey.answers[0].text;
    assert!(text.starts_with("UNB+UNOB:4+B:14+A?+1:14+20260714:1015+T?:1++++++1'\r\nUNH+1+CONTRL:4:1:UN'"), "{text}");
}

#[test]
fn a_contrl_is_not_answered_and_nothing_is_without_the_option() {
    assert!(outcome_with(ON, "", &interchange(&[("CONTRL:D:3:UN", CONTRL)])).survey.answers.is_empty());
    assert!(outcome(&interchange(&[ORDER])).survey.answers.is_empty());
}

#[test]
fn an_answer_is_read_as_one() {
    let given = outcome_with(ON, "", &interchange(&[ORDER])).survey.answers[0].text.clone();

    let read = outcome(&given);

    let told: Vec<_> = read.events.iter().map(|e| (&*e.correlation_id, &*e.extensions["status"])).collect();
    assert_eq!(told, [("IC42", "accepted"), ("IC42/1", "accepted")]);
}

//! Functional acknowledgments of what was received.

use super::fixtures::{ACKNOWLEDGMENT, ORDER, STOCK, all, document, group, interchange, plain, set, with};

fn answers(text: &str) -> Vec<String> {
    let outcome = with("answer = true", "", text);
    assert!(outcome.survey.answers.iter().all(|answer| answer.kind == "997"));
    outcome.survey.answers.into_iter().map(|answer| answer.text).collect()
}

/// The answer's segments, without its envelope.
fn body(text: &str) -> Vec<String> {
    let found = answers(text);
    assert_eq!(found.len(), 1, "{found:?}");
    let segments = found[0].trim_end_matches('~').split('~').map(str::to_owned);
    segments.filter(|segment| !["ISA", "GS", "GE", "IEA"].iter().any(|id| segment.starts_with(id))).collect()
}

#[test]
fn a_good_group_is_accepted_by_a_whole_interchange() {
    let found = answers(&document("940", ORDER));

    assert_eq!(
        found,
        [concat!(
            "ISA*00*          *00*          *ZZ*NORTHDC        *ZZ*ACME           *261124*0000*U*00401*000000041*0*P*>~",
            "GS*FA*NORTHDC*ACME*20261124*0000*41*X*004010~",
            "ST*997*0001~",
            "AK1*OW*41~",
            "AK2*940*0001~",
            "AK5*A~",
            "AK9*A*1*1*1~",
            "SE*6*0001~",
            "GE*1*41~",
            "IEA*1*000000041~"
        )]
    );
}

#[test]
fn an_answer_is_itself_a_good_document() {
    for (kind, text) in all().into_iter().filter(|(kind, _)| *kind != "997") {
        let found = answers(&text);

        let outcome = plain(&found[0]);

        assert!(outcome.held.is_empty() && !outcome.survey.is_refused(), "{kind} {:?}", outcome.held);
        assert_eq!(outcome.events[0].extensions["status"], "accepted", "{kind}");
    }
}

#[test]
fn a_feed_that_does_not_ask_gets_no_answer() {
    assert!(plain(&document("940", ORDER)).survey.answers.is_empty());
}

#[test]
fn an_acknowledgment_is_not_acknowledged() {
    assert_eq!(answers(&document("997", ACKNOWLEDGMENT)), [""; 0]);
    let only_ta1 = interchange("000000001", "P", &[vec!["TA1*000000905*260701*1200*A*000".to_owned()]]);
    assert_eq!(answers(&only_ta1.replace("IEA*1*", "IEA*0*")), [""; 0]);
}

#[test]
fn what_is_wrong_in_a_set_is_told_by_segment_and_element() {
    let bad = set("940", "0002", &["W05*N*ORD-2", "G62*10*20260230", "W01*x*ZZZ**VN*SKU-1", "W01*1*EA"]);
    let text = interchange("000000001", "P", &[group("OW", "5", &[set("940", "0001", ORDER), bad])]);

    assert_eq!(
        body(&text)[3..],
        [
            "AK5*A",
            "AK2*940*0002",
            "AK3*G62*3**8",
            "AK4*2**8*20260230",
            "AK3*W01*4**8",
            "AK4*1**6*x",
            "AK4*2**7*ZZZ",
            "AK3*W01*5**8",
            "AK4*4**1",
            "AK5*R*5",
            "AK9*P*2*2*1",
            "SE*15*0001"
        ]
    );
}

#[test]
fn trailers_and_unknown_sets_have_codes_of_their_own() {
    let unknown = set("810", "0002", &["BIG*20260714*1"]);
    let text = interchange("000000001", "P", &[group("OW", "5", &[set("940", "0001", ORDER), unknown])]);
    let count = text.replace("SE*17*0001", "SE*18*0001");
    let number = text.replace("SE*17*0001", "SE*17*0009");

    assert_eq!(body(&text)[3..7], ["AK5*A", "AK2*810*0002", "AK5*R*1", "AK9*P*2*2*1"]);
    assert_eq!(body(&count)[3], "AK5*R*4");
    assert_eq!(body(&number)[3], "AK5*R*3");
    assert_eq!(body(&number)[6], "AK9*R*2*2*0");
}

#[test]
fn a_wrong_trailer_of_a_group_is_told_of_the_group() {
    let text = document("940", ORDER);

    assert_eq!(body(&text.replace("GE*1*41", "GE*3*41"))[4], "AK9*R*3*1*0*5");
    assert_eq!(body(&text.replace("GE*1*41", "GE*1*42"))[4], "AK9*R*1*1*0*4");
}

#[test]
fn what_holds_nothing_back_is_accepted_with_a_remark() {
    let mut segments = ORDER.to_vec();
    segments.insert(1, "ZQ9*A*B");
    segments.insert(2, "N9*ZZ*A**");

    let found = body(&document("940", &segments));
    let group = body(&document("940", ORDER).replace("GS*OW", "GS*IN"));

    assert_eq!(found[3..], ["AK3*N9*4**8", "AK4*4**3", "AK3*ZQ9*3**1", "AK5*E", "AK9*E*1*1*1", "SE*9*0001"]);
    assert_eq!(group[3..5], ["AK5*E*6", "AK9*E*1*1*1"]);
}

#[test]
fn each_interchange_has_an_answer_and_each_group_a_document() {
    let groups = [group("OW", "1", &[set("940", "0001", ORDER)]), group("IB", "2", &[set("846", "0001", STOCK)])];
    let first = interchange("000000001", "T", &groups);
    let second = interchange("000000002", "P", &groups[..1]);

    let found = answers(&(first + &second));

    assert_eq!(found.len(), 2);
    assert!(found[0].contains("*000000001*0*T*>~"));
    assert_eq!(found[0].matches("ST*997*").count(), 2);
    assert!(found[0].ends_with("IEA*2*000000001~"));
    assert!(found[0].contains("AK1*IB*2~AK2*846*0001~AK5*A~"));
    assert!(found[1].ends_with("IEA*1*000000002~"));
}

#[test]
fn delimiters_of_an_answer_are_those_received() {
    let text = document("940", ORDER).replace('*', "|").replace("~\n", "\n").replace("|>\n", "|:\n");

    let found = answers(&text);

    assert!(found[0].starts_with("ISA|00|"), "{found:?}");
    assert!(found[0].contains("|P|:\nGS|FA|"), "{found:?}");
}

#[test]
fn a_group_of_very_many_sets_is_told_in_numbers() {
    let sets: Vec<Vec<String>> = (0..10_050)
        .map(|nth| set("940", &format!("{nth:05}"), &["W05*N*O-1", "G62*04*20260710", "W01*1*EA**VN*S"]))
        .collect();
    let text = interchange("000000001", "P", &[group("OW", "1", &sets)]);

    let found = body(&text);

    assert_eq!(found.iter().filter(|segment| segment.starts_with("AK2")).count(), 10_000);
    assert!(found.contains(&"AK9*A*10050*10050*10050".to_owned()));
}

#[test]
fn a_file_that_is_refused_has_no_answer() {
    assert_eq!(answers(&document("940", ORDER).replace("GE*1*41~\n", "")), [""; 0]);
}

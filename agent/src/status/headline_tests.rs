use jiff::SignedDuration;

use super::*;
use crate::status::{facts::FeedTrouble, samples};

#[test]
fn six_states_have_six_fixed_first_lines() {
    let lines: Vec<_> = samples::states()
        .iter()
        .map(|(_, facts)| headline(facts))
        .map(|h| (h.level, h.title, h.whose_action))
        .collect();

    let expected = [
        (Level::Ok, "Working. Last event 2 min ago.", Owner::Nobody),
        (Level::CatchingUp, "Catching up. 1,284 events to send, about 4 min.", Owner::Nobody),
        (Level::Offline, "No connection to head office since 12:21. Nothing is lost.", Owner::SiteIt),
        (Level::NeedsYou, "1 file needs a fix. The rest keeps flowing.", Owner::WmsOperator),
        (Level::Quiet, "No exports from the WMS for 47 min (normally every 10 min).", Owner::WmsOperator),
        (Level::Stopped, "Not storing new events: disk is full. Act now.", Owner::SiteIt),
    ];
    assert_eq!(lines, expected.map(|(level, title, owner)| (level, title.to_owned(), owner)));
}

#[test]
fn the_worst_state_leads_and_the_others_follow() {
    let mut facts = samples::offline();
    facts.has_room = false;
    facts.feeds[0].silent_since = Some(samples::ago(37));
    facts.feeds[1].trouble =
        Some(FeedTrouble { code: "F031".into(), text: "permission denied".into(), since: samples::ago(5) });
    let store = facts.store.as_mut().unwrap();
    store.files_total = 1;
    store.files = vec![samples::bad_file()];

    let order: Vec<_> = standing(&facts).into_iter().map(|h| (h.level, h.is_data_at_risk)).collect();

    let expected = [
        (Level::Stopped, true),
        (Level::NeedsYou, true),
        (Level::Quiet, false),
        (Level::Offline, false),
        (Level::NeedsYou, false),
    ];
    assert_eq!(order, expected);
}

#[test]
fn a_lost_connection_is_nobodys_for_half_an_hour() {
    let at = |mins| {
        let mut facts = samples::offline();
        facts.link.as_mut().unwrap().since = samples::ago(mins);
        headline(&facts).whose_action
    };

    assert_eq!([at(29), at(30)], [Owner::Nobody, Owner::SiteIt]);
}

#[test]
fn a_connection_may_take_ten_seconds_to_come_about() {
    let mut facts = samples::working();
    facts.link.as_mut().unwrap().condition = Condition::Disconnected;
    facts.link.as_mut().unwrap().since = facts.now - SignedDuration::from_secs(9);

    assert_eq!(headline(&facts).level, Level::Ok);
    facts.now += SignedDuration::from_secs(1);
    assert_eq!(headline(&facts).level, Level::Offline);
}

#[test]
fn each_refusal_has_its_own_code_cause_and_next_step() {
    let conditions = [
        (Condition::NotAuthorised, "N010"),
        (Condition::TakenOver, "N011"),
        (Condition::VersionRefused, "N012"),
        (Condition::Quarantined, "N014"),
        (Condition::Forked, "N015"),
    ];
    for (condition, code) in conditions {
        let mut facts = samples::working();
        facts.link.as_mut().unwrap().condition = condition;

        let told = headline(&facts);

        assert_eq!((told.level, told.code.as_deref()), (Level::NeedsYou, Some(code)));
        assert!(told.is_data_at_risk && !told.cause.is_empty() && !told.next_step.is_empty());
        assert!(told.whose_action != Owner::Nobody);
    }
}

#[test]
fn an_expired_certificate_is_told_before_the_connection_that_it_prevents() {
    let mut facts = samples::offline();
    facts.link.as_mut().unwrap().certificate_days = Some(-1);

    assert_eq!(headline(&facts).code.as_deref(), Some("N013"));
}

#[test]
fn every_problem_says_whose_move_it_is_and_what_the_move_is() {
    for (name, facts) in samples::states() {
        for told in standing(&facts).iter().filter(|h| !matches!(h.level, Level::Ok | Level::CatchingUp)) {
            assert!(told.code.is_some() && !told.cause.is_empty() && !told.next_step.is_empty(), "{name}: {told:?}");
            assert!(told.since.is_some(), "{name}");
        }
    }
}

#[test]
fn titles_have_at_most_twelve_words() {
    for (name, facts) in samples::states() {
        let title = headline(&facts).title;
        assert!(title.split_whitespace().count() <= 12, "{name}: {title}");
    }
}

#[test]
fn the_time_to_clear_is_hidden_when_more_comes_than_goes() {
    let mut facts = samples::catching_up();
    facts.rates = Some(crate::status::facts::Rates { drain_per_sec: 5.0, inflow_per_sec: 5.0 });

    assert_eq!(headline(&facts).title, "Catching up. 1,284 events to send.");
}

#[test]
fn a_state_keeps_its_beginning_over_a_restart() {
    let mut facts = samples::offline();
    let began = samples::ago(600);
    let key = headline(&facts).key();
    facts.remembered.insert(key, began);

    let told = headline(&facts);

    assert_eq!(told.since, Some(began));
    assert_eq!(told.title, "No connection to head office since 04:32. Nothing is lost.");
}

#[test]
fn an_agent_that_does_not_run_is_stopped() {
    let facts = Facts { started_at: None, link: None, ..samples::working() };

    assert_eq!(headline(&facts).code.as_deref(), Some("A001"));
}

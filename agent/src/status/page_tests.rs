use std::path::{Path, PathBuf};

use super::*;
use crate::{
    queue::Content,
    status::{events, file_page::file_page, samples, shape, snapshot},
    uplink::fates::Asking,
};

const CSS: &str = include_str!("style.css");

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/pages")
}

fn pages() -> Vec<(&'static str, String)> {
    let mut pages: Vec<_> = samples::states()
        .iter()
        .map(|(name, facts)| (*name, page(&snapshot::snapshot(facts), Some("token")).into_string()))
        .collect();
    let snap = snapshot::snapshot(&samples::needs_you());
    let none = events::view(Content::default(), 0, 0, true, |_, _| unreachable!("nothing is looked up"));
    pages.push(("file", file_page(&snap, &snap.files[0], &none, Some("token"), None).into_string()));
    for (name, shown) in [("file-events", shown(true, Asking::Asked)), ("file-offline", shown(false, Asking::Asked))] {
        let file = snapshot::file(&samples::good_file());
        pages.push((name, file_page(&snap, &file, &shown, Some("token"), None).into_string()));
    }
    pages
}

/// Events of which the last is not at head office yet.
fn shown(is_link_up: bool, asking: Asking) -> events::EventsView {
    events::view(samples::content(), 0, 918_191, is_link_up, |first, _| samples::fates(first, asking))
}

fn html_of(shown: &events::EventsView, file: &snapshot::FileView, csrf: Option<&str>) -> String {
    file_page(&snapshot::snapshot(&samples::working()), file, shown, csrf, None).into_string()
}

#[test]
fn the_six_states_and_the_file_pages_are_as_reviewed() {
    for (name, html) in pages() {
        let path = golden_dir().join(format!("agent-{name}.html"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(golden_dir()).unwrap();
            std::fs::write(&path, &html).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{}: UPDATE_GOLDEN=1", path.display()));
        // Not compared with assert_eq: two whole pages in a failure hide what differs.
        let differs = html.split('<').zip(golden.split('<')).find(|(new, old)| new != old);
        assert_eq!(differs, None, "{name}");
        assert_eq!(html.len(), golden.len(), "{name}");
    }
}

#[test]
fn nothing_is_asked_of_another_server() {
    let icon = shape::icon(Level::Ok).replace("http://www.w3.org/2000/svg", "");
    for (name, text) in pages().into_iter().chain([("css", CSS.to_owned()), ("icon", icon)]) {
        assert!(!text.contains("//"), "{name}");
        assert!(!text.contains("url(") && !text.contains("@import"), "{name}");
        assert!(!text.contains("<script") && !text.contains(" style="), "{name}");
    }
}

#[test]
fn staff_text_has_plain_words_only() {
    for (name, html) in pages() {
        let words: Vec<String> = html.split(|c: char| !c.is_alphanumeric()).map(str::to_ascii_lowercase).collect();
        for banned in ["broker", "queue", "qos", "offset", "dlq", "mqtt", "payload", "backlog"] {
            assert!(!words.iter().any(|word| word == banned), "{name}: {banned}");
        }
    }
}

#[test]
fn the_state_is_told_without_colour() {
    for (name, facts) in samples::states() {
        let snap = snapshot::snapshot(&facts);
        let html = page(&snap, None).into_string();

        assert!(html.contains(snap.headline.level.word()) && html.contains("<svg class=\"shape\""), "{name}");
    }
}

#[test]
fn the_tab_counts_what_needs_a_person() {
    assert_eq!(tab_title(&snapshot::snapshot(&samples::needs_you())), "(1) DC01 needs you - Docksync");
    assert_eq!(tab_title(&snapshot::snapshot(&samples::working())), "DC01 works - Docksync");
}

#[test]
fn a_long_error_is_shown_whole_and_escaped() {
    let mut facts = samples::offline();
    let error = format!("<b>{}", "x".repeat(2_000));
    facts.link.as_mut().unwrap().last_error = Some(error.clone());

    let html = page(&snapshot::snapshot(&facts), None).into_string();

    assert!(html.contains(&error.replace('<', "&lt;").replace('>', "&gt;")));
}

#[test]
fn a_page_without_token_has_no_form() {
    let snap = snapshot::snapshot(&samples::needs_you());

    assert!(!page(&snap, None).into_string().contains("<form"));
    assert!(!html_of(&shown(true, Asking::Current), &snap.files[0], None).contains("<form"));
}

#[test]
fn the_page_of_a_file_comes_anew_while_something_may_change_and_never_under_a_form() {
    let good = snapshot::file(&samples::good_file());
    let bad = snapshot::file(&samples::bad_file());
    let mut settled = shown(true, Asking::Current);
    settled.events.truncate(2);

    assert!(
        html_of(&shown(true, Asking::Asked), &good, Some("token")).contains("http-equiv=\"refresh\" content=\"2\"")
    );
    assert!(html_of(&shown(false, Asking::Asked), &good, None).contains("http-equiv=\"refresh\" content=\"5\""));
    assert!(!html_of(&settled, &good, None).contains("http-equiv"));
    let with_form = html_of(&shown(true, Asking::Asked), &bad, Some("token"));
    assert!(!with_form.contains("http-equiv") && with_form.contains("Show this again"));
}

#[test]
fn whatever_keeps_head_office_from_answering_is_said() {
    let good = snapshot::file(&samples::good_file());
    let said = |is_up, asking| html_of(&shown(is_up, asking), &good, None);

    assert!(said(false, Asking::Asked).contains("Head office is not reachable now."));
    assert!(said(true, Asking::Asked).contains("shown at the next refresh"));
    assert!(said(true, Asking::Silent).contains("did not answer the last question"));
    assert!(said(true, Asking::NotUnderstood).contains("older version"));
    assert!(said(true, Asking::Current).contains("As head office said at"));
}

#[test]
fn what_head_office_says_is_shown_as_text_and_nothing_else() {
    let mut hostile = shown(true, Asking::Current);
    hostile.events[0].text = "<script>alert(1)</script>".to_owned();

    let html = html_of(&hostile, &snapshot::file(&samples::good_file()), None);

    assert!(html.contains("&lt;script&gt;") && !html.contains("<script"));
}

#[test]
fn every_token_has_contrast_enough_on_both_grounds() {
    for block in CSS.split(":root {").skip(1).take(2) {
        let token = |name: &str| {
            let at = block.find(&format!("--{name}: #")).unwrap_or_else(|| panic!("{name}")) + name.len() + 5;
            u32::from_str_radix(&block[at..at + 6], 16).unwrap()
        };
        for ground in ["bg", "panel"] {
            for ink in ["fg", "muted", "link", "ok", "attention", "broken"] {
                let contrast = contrast(token(ink), token(ground));
                assert!(contrast >= 4.5, "--{ink} on --{ground}: {contrast:.2}");
            }
        }
    }
}

/// WCAG 2.2, relative luminance.
fn contrast(one: u32, other: u32) -> f64 {
    let channel = |value: u32| {
        let s = f64::from(value & 0xff) / 255.0;
        if s <= 0.04045 { s / 12.92 } else { ((s + 0.055) / 1.055).powf(2.4) }
    };
    let light = |rgb: u32| 0.2126 * channel(rgb >> 16) + 0.7152 * channel(rgb >> 8) + 0.0722 * channel(rgb);
    let (a, b) = (light(one), light(other));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

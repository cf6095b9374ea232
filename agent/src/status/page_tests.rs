use std::path::{Path, PathBuf};

use super::*;
use crate::status::{samples, shape, snapshot};

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
    pages.push(("file", file_page(&snap, &snap.files[0], Some("token"), None).into_string()));
    pages
}

#[test]
fn the_six_states_and_the_file_page_are_as_reviewed() {
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
    assert!(!file_page(&snap, &snap.files[0], None, None).into_string().contains("<form"));
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

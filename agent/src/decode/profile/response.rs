//! `[answer]`: a response file of the feed's own form, for warehouse systems that want a result for each file.

use std::path::Path;

use super::super::{FileFacts, Survey};
use crate::{config::section::Section, queue::capture::HeldLine};

/// Most held lines that a response tells one by one.
const LINES_MAX: usize = 10_000;
/// What a template may name.
const PLACES: &[&str] = &[
    "{name}",
    "{stem}",
    "{feed}",
    "{sha256}",
    "{status}",
    "{lines}",
    "{events}",
    "{taken}",
    "{held}",
    "{line}",
    "{column}",
    "{field}",
    "{code}",
    "{found}",
    "{expected}",
];

/// How a response is written.
#[derive(Debug, Clone)]
pub struct ResponseRule {
    /// Name of the response file.
    name: String,
    /// Its text, once for each file.
    text: String,
    /// Added once for each held line.
    line: String,
    /// Words of the status: all taken, some held, refused.
    words: [String; 3],
}

impl ResponseRule {
    /// Name and text of the response to a file.
    pub fn response(&self, file: &FileFacts, survey: &Survey) -> (String, String) {
        let bad = if survey.is_refused() { &survey.refusals } else { &survey.bad };
        let word = match (survey.is_refused(), survey.held) {
            (true, _) => 2,
            (false, 0) => 0,
            (false, _) => 1,
        };
        let whole = |text: &str| fill(text, file, survey, &self.words[word]);
        let mut text = whole(&self.text);
        for held in bad.iter().take(LINES_MAX) {
            text.push_str(&fill_line(&whole(&self.line), held));
        }
        (whole(&self.name), text)
    }
}

fn fill(text: &str, file: &FileFacts, survey: &Survey, status: &str) -> String {
    let stem = Path::new(&file.name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (is_taken, events) = (!survey.is_refused(), survey.counts.values().sum::<u64>());
    let number = |n: u64| if is_taken { n.to_string() } else { "0".to_owned() };
    text.replace("{name}", &file.name)
        .replace("{stem}", &stem)
        .replace("{feed}", &file.feed)
        .replace("{sha256}", &file.sha256)
        .replace("{status}", status)
        .replace("{lines}", &survey.lines.to_string())
        .replace("{events}", &number(events))
        .replace("{taken}", &number(survey.taken))
        .replace("{held}", &survey.held.to_string())
}

fn fill_line(text: &str, held: &HeldLine) -> String {
    // What a file holds must not end the line that tells of it.
    let plain = |text: &str| text.replace(['\r', '\n'], " ");
    text.replace("{line}", &held.line_no.to_string())
        .replace("{column}", &held.column.to_string())
        .replace("{field}", &plain(&held.field))
        .replace("{code}", &held.code)
        .replace("{found}", &plain(&held.found))
        .replace("{expected}", &plain(&held.expected))
}

pub(super) fn read(root: &Section<'_, '_>) -> Option<ResponseRule> {
    let section = root.section("answer")?;
    let name = section.required_text("name", "as name = \"{stem}.ack\"");
    let text = section.required_text("text", "as text = \"{name};{status};{taken};{held}\\n\"");
    let line = section.text("line").unwrap_or("");
    let words = section.texts("status");
    for (key, template) in [("name", name), ("text", text), ("line", Some(line))] {
        unknown_place(&section, key, template.unwrap_or(""));
    }
    let is_safe = name.is_none_or(|name| !name.contains('/') && !name.starts_with('.'));
    if let (false, Some(node)) = (is_safe, section.node("name")) {
        section.wrong(node, "C042", "`name` must be the name of a file, without a folder".to_owned(), "");
    }
    let words = match (words.as_slice(), section.node("status")) {
        ([taken, some, refused], _) => [taken.clone(), some.clone(), refused.clone()],
        (_, None) => ["OK", "PARTIAL", "ERROR"].map(str::to_owned),
        (_, Some(node)) => {
            let help = "as status = [\"OK\", \"PARTIAL\", \"ERROR\"]";
            section.wrong(
                node,
                "C041",
                "`status` must hold three words: all taken, some held, refused".to_owned(),
                help,
            );
            return None;
        }
    };
    section.close();
    Some(ResponseRule { name: name?.to_owned(), text: text?.to_owned(), line: line.to_owned(), words })
}

fn unknown_place(section: &Section<'_, '_>, key: &'static str, template: &str) {
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let Some(len) = rest[start..].find('}') else { return };
        let place = &rest[start..=start + len];
        if let (false, Some(node)) = (PLACES.contains(&place), section.node(key)) {
            section.wrong(node, "C041", format!("`{key}` cannot tell {place}"), PLACES.join(" "));
        }
        rest = &rest[start + len + 1..];
    }
}

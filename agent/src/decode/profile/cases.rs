//! `[[test]]`: what a profile must make of an example, kept beside the mapping and run by `map test`.

use serde_json::Value;

use crate::config::section::{Node, Section};

/// One example with what is to come out.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Where the example stands.
    pub input: CaseInput,
    /// The events, in order: each names the fields that matter.
    pub expect: Vec<Value>,
    /// Codes of the held lines, in order, each with its line, as `3 INVALID_QUANTITY`.
    pub rejects: Vec<String>,
}

/// Where an example stands.
#[derive(Debug, Clone)]
pub enum CaseInput {
    /// In the profile itself.
    Text(String),
    /// In a file; a relative path starts at the profile's folder.
    File(String),
}

pub(super) fn cases(root: &Section<'_, '_>) -> Option<Vec<Case>> {
    root.sections("test").into_iter().map(case).collect()
}

fn case(section: Section<'_, '_>) -> Option<Case> {
    let name = section.required_text("name", "a few words that say what is shown");
    let input = match (section.text("input"), section.text("file")) {
        (Some(text), _) => Some(CaseInput::Text(text.to_owned())),
        (None, Some(file)) => Some(CaseInput::File(file.to_owned())),
        (None, None) => {
            section.missing("input", "the example as text, or file = \"sample.csv\"");
            None
        }
    };
    let expect = match section.node("expect") {
        Some(node) => events(&section, node),
        None => Some(Vec::new()),
    };
    let rejects = section.texts("rejects");
    section.close();
    Some(Case { name: name?.to_owned(), input: input?, expect: expect?, rejects })
}

/// One JSON object for each line that is not blank.
fn events<'t>(section: &Section<'_, 't>, node: &Node<'t>) -> Option<Vec<Value>> {
    let text = node.get_ref().as_str();
    if text.is_none() {
        section.wrong(
            node,
            "C004",
            "`expect` must be a text".to_owned(),
            "one JSON object for each line, in three quotes",
        );
    }
    let lines = text?.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| match serde_json::from_str::<Value>(line) {
            Ok(value) if value.is_object() => Some(value),
            _ => {
                let help = "as {\"event_type\":\"pick_confirmed\",\"lines\":[{\"qty\":\"3\"}]}";
                section.wrong(node, "C035", format!("`{line}` is no JSON object on one line"), help);
                None
            }
        })
        .collect()
}

/// Where the event differs from what is expected: the first place, what stands there and what should. Fields that are not
/// expected may be anything.
pub fn difference(expected: &Value, found: &Value, path: &str) -> Option<(String, String, String)> {
    let shown = |value: &Value| value.to_string();
    match (expected, found) {
        (Value::Object(wanted), Value::Object(there)) => wanted.iter().find_map(|(key, value)| {
            let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match there.get(key) {
                Some(found) => difference(value, found, &at),
                None => Some((at, "nothing".to_owned(), shown(value))),
            }
        }),
        (Value::Array(wanted), Value::Array(there)) => {
            if wanted.len() != there.len() {
                return Some((
                    path.to_owned(),
                    format!("{} of them", there.len()),
                    format!("{} of them", wanted.len()),
                ));
            }
            let mut pairs = wanted.iter().zip(there).enumerate();
            pairs.find_map(|(at, (value, found))| difference(value, found, &format!("{path}[{at}]")))
        }
        _ if expected == found => None,
        _ => Some((path.to_owned(), shown(found), shown(expected))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_are_not_expected_may_be_anything_and_the_first_difference_is_named() {
        let found = json!({"event_type": "pick_confirmed", "lines": [{"qty": "3", "uom": "EA"}], "site_id": "DC7"});

        assert_eq!(difference(&json!({"lines": [{"qty": "3"}]}), &found, ""), None);
        let at = |expected| difference(&expected, &found, "").map(|(path, ..)| path);
        assert_eq!(at(json!({"lines": [{"qty": "4"}]})).as_deref(), Some("lines[0].qty"));
        assert_eq!(at(json!({"lines": []})).as_deref(), Some("lines"));
        assert_eq!(at(json!({"operator": "jdoe"})).as_deref(), Some("operator"));
    }
}

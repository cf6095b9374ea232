//! Paths into a record: where a value stands, counted from a record, from one of its lines, or from what is around it.
//!
//! A JSON path is a JSON pointer (RFC 6901), an XML path names elements and attributes (`Carton/@TrackingId`). Both step over
//! lists: a name after a list goes into its first element, and a number picks one, also where a single element stands
//! without a list around it. `../` before a path goes to what is around (lists do not count), `[name=text]` behind a name picks
//! the element that holds this text, `*` at the end takes all elements of a list of texts.

use std::borrow::Cow;

use serde_json::Value;

use crate::decode::plan::scalar;

/// Key under which the text of an XML element stands beside its attributes or elements.
pub(in crate::decode) const TEXT: &str = "#text";
/// Between the parts of a list that is taken as one text.
const LIST_MARK: &str = ";";

/// A path, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::decode) struct TreePath {
    /// How many levels above the starting point it begins.
    pub(in crate::decode) up: usize,
    steps: Vec<Step>,
    is_list: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    name: String,
    index: Option<usize>,
    filter: Option<(String, String)>,
}

impl TreePath {
    /// The pointer into JSON, or the path of names into XML; the mistake in words where it is none.
    pub(in crate::decode) fn parse(text: &str, is_xml: bool) -> Result<Self, &'static str> {
        let (mut rest, mut up) = (text, 0);
        while let Some(outer) = rest.strip_prefix("..") {
            up += 1;
            if outer.is_empty() {
                rest = "";
                break;
            }
            rest = outer.strip_prefix('/').ok_or("`..` stands alone between slashes")?;
        }
        if up == 0 && !is_xml && !rest.is_empty() {
            rest = rest.strip_prefix('/').ok_or("it starts with a slash, as /name, or with ../")?;
        } else if rest.is_empty() || rest == "." {
            if rest.is_empty() && is_xml && up == 0 {
                return Err("name an element or @attribute; `.` is the text of the element itself");
            }
            return Ok(Self { up, ..Self::default() });
        }
        let mut path = Self { up, ..Self::default() };
        let mut parts = split(rest).peekable();
        while let Some(part) = parts.next() {
            if part == "*" && parts.peek().is_none() {
                path.is_list = true;
            } else {
                path.steps.push(Step::parse(part, is_xml)?);
            }
        }
        Ok(path)
    }

    /// The value, from the last of `chain`: the record, what lies between, the starting point.
    pub(in crate::decode) fn find<'t>(&self, chain: &[&'t Value]) -> Option<&'t Value> {
        let start = chain.len().checked_sub(self.up + 1)?;
        self.steps.iter().try_fold(*chain.get(start)?, |value, step| step.of(value))
    }

    /// The value as a text: of a list its first element, or all of them where the path asks for it.
    pub(in crate::decode) fn text<'t>(&self, chain: &[&'t Value]) -> Option<Cow<'t, str>> {
        let found = self.find(chain)?;
        match found {
            Value::Array(parts) if self.is_list => {
                let parts: Vec<Cow<'_, str>> = parts.iter().filter_map(leaf).collect();
                (!parts.is_empty()).then(|| Cow::Owned(parts.join(LIST_MARK)))
            }
            _ => leaf(first(found)?),
        }
    }

    /// Values whose text this path gives.
    pub(in crate::decode) fn each<'t>(&self, chain: &[&'t Value], visit: &mut dyn FnMut(&'t Value)) {
        let Some(found) = self.find(chain) else { return };
        match found {
            Value::Array(parts) if self.is_list => parts.iter().map(own_text).for_each(visit),
            _ => first(found).map(own_text).into_iter().for_each(visit),
        }
    }

    /// Every element that the path leads to, with what lies between: lists are gone through on the way. What is neither
    /// object nor in a list is given to `odd`.
    pub(in crate::decode) fn lines<'t>(
        &self,
        record: &'t Value,
        visit: &mut dyn FnMut(&[&'t Value]),
        odd: &mut dyn FnMut(&'t Value),
    ) {
        walk_lines(&self.steps, &mut vec![record], false, visit, odd);
    }

    /// Whether its first step leads anywhere.
    pub(in crate::decode) fn is_begun(&self, record: &Value) -> bool {
        self.steps.first().is_none_or(|step| step.of(record).is_some_and(|found| !found.is_null()))
    }

    /// How many names it has.
    pub(in crate::decode) fn depth(&self) -> usize {
        self.steps.len()
    }

    /// Its names.
    pub(in crate::decode) fn names(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| step.name.as_str())
    }
}

/// Parts between slashes; those in brackets are none.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut is_within = false;
    text.split(move |c| {
        is_within = (is_within || c == '[') && c != ']';
        c == '/' && !is_within
    })
}

impl Step {
    fn parse(part: &str, is_xml: bool) -> Result<Self, &'static str> {
        let filtered = part.strip_suffix(']').and_then(|rest| rest.split_once('[')?.1.split_once('='));
        let bare = if filtered.is_some() { part.split_once('[').map_or(part, |(name, _)| name) } else { part };
        let filter = filtered.map(|(name, text)| (name.to_owned(), text.to_owned()));
        if is_xml && (bare.is_empty() || bare == "@" || bare == "..") {
            return Err("a name is missing between slashes");
        }
        let name = if is_xml { bare.to_owned() } else { bare.replace("~1", "/").replace("~0", "~") };
        let index = name.parse().ok();
        Ok(Self { name, index, filter })
    }

    fn of<'t>(&self, value: &'t Value) -> Option<&'t Value> {
        let found = match (value, self.index) {
            (Value::Array(parts), Some(at)) => parts.get(at)?,
            (Value::Array(_), None) => first(value)?.get(&self.name)?,
            (Value::Object(fields), index) => match (fields.get(&self.name), index) {
                (Some(found), _) => found,
                (None, Some(0)) => value,
                (None, _) => return None,
            },
            (_, Some(0)) => value,
            _ => return None,
        };
        let Some((name, text)) = &self.filter else { return Some(found) };
        let is_it = |one: &&Value| one.get(name).and_then(leaf).is_some_and(|found| found == text.as_str());
        match found {
            Value::Array(parts) => parts.iter().find(is_it),
            one => Some(one).filter(is_it),
        }
    }
}

fn walk_lines<'t>(
    steps: &[Step],
    chain: &mut Vec<&'t Value>,
    is_in_list: bool,
    visit: &mut dyn FnMut(&[&'t Value]),
    odd: &mut dyn FnMut(&'t Value),
) {
    let Some(here) = chain.last().copied() else { return };
    if let Value::Array(parts) = here {
        for part in parts {
            // The list itself is no level.
            chain.pop();
            chain.push(part);
            walk_lines(steps, chain, true, visit, odd);
        }
        chain.pop();
        chain.push(here);
        return;
    }
    let Some((step, rest)) = steps.split_first() else {
        if here.is_object() || is_in_list {
            visit(chain);
        } else if !here.is_null() {
            odd(here);
        }
        return;
    };
    if let Some(next) = step.of(here) {
        chain.push(next);
        walk_lines(rest, chain, false, visit, odd);
        chain.pop();
    }
}

/// The first element of lists within lists.
fn first(mut value: &Value) -> Option<&Value> {
    while let Value::Array(parts) = value {
        value = parts.first()?;
    }
    Some(value)
}

/// Of an element with attributes, the value that holds its text.
fn own_text(value: &Value) -> &Value {
    value.get(TEXT).unwrap_or(value)
}

fn leaf(value: &Value) -> Option<Cow<'_, str>> {
    scalar(own_text(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(path: &str, is_xml: bool, chain: &[&Value]) -> Option<String> {
        TreePath::parse(path, is_xml).unwrap().text(chain).map(Cow::into_owned)
    }

    #[test]
    fn a_path_steps_into_lists_and_takes_one_for_many() {
        let many = json!({"box": [{"id": 7, "sn": ["a", "b"]}, {"id": 8}], "a/b": {"c": true}});
        let one = json!({"box": {"id": 7}});

        assert_eq!(text("/box/id", false, &[&many]).as_deref(), Some("7"));
        assert_eq!(text("/box/1/id", false, &[&many]).as_deref(), Some("8"));
        assert_eq!(text("/box/0/id", false, &[&one]).as_deref(), Some("7"));
        assert_eq!(text("/box/1/id", false, &[&one]), None);
        assert_eq!(text("/a~1b/c", false, &[&many]).as_deref(), Some("true"));
        assert_eq!(text("/box/sn", false, &[&many]).as_deref(), Some("a"));
        assert_eq!(text("/box/sn/*", false, &[&many]).as_deref(), Some("a;b"));
    }

    #[test]
    fn a_filter_picks_the_element_that_holds_a_text() {
        let dates = json!({"DATE": [{"QUAL": "CREA", "FROM": "1"}, {"QUAL": "DELV", "FROM": "2"}]});

        assert_eq!(text("DATE[QUAL=DELV]/FROM", true, &[&dates]).as_deref(), Some("2"));
        assert_eq!(text("DATE[QUAL=SHIP]/FROM", true, &[&dates]), None);
        assert_eq!(text("/DATE[QUAL=CREA]/FROM", false, &[&dates]).as_deref(), Some("1"));
    }

    #[test]
    fn dots_go_to_what_is_around() {
        let order = json!({"name": "S1"});
        let carton = json!({"@Id": "C1", "#text": "x"});

        assert_eq!(text("../@Id", true, &[&order, &carton, &json!({})]).as_deref(), Some("C1"));
        assert_eq!(text("..", true, &[&order, &carton, &json!({})]).as_deref(), Some("x"));
        assert_eq!(text("../../name", false, &[&order, &carton, &json!({})]).as_deref(), Some("S1"));
        assert_eq!(text("../../../name", false, &[&order, &carton, &json!({})]), None);
    }

    #[test]
    fn lines_are_found_through_lists_and_without() {
        let record = json!({"carton": [{"id": 1, "content": [{"q": 1}, {"q": 2}]}, {"id": 2, "content": {"q": 3}}]});
        let path = TreePath::parse("carton/content", true).unwrap();
        let mut found = Vec::new();

        path.lines(
            &record,
            &mut |chain| found.push((chain.len(), chain[1]["id"].clone(), chain[2]["q"].clone())),
            &mut |_| {},
        );

        assert_eq!(found, [(3, json!(1), json!(1)), (3, json!(1), json!(2)), (3, json!(2), json!(3))]);
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (path, is_xml) in [("name", false), ("/a", true), ("", true), ("a//b", true), ("..a", false), ("a/@", true)]
        {
            assert!(TreePath::parse(path, is_xml).is_err(), "{path}");
        }
    }
}

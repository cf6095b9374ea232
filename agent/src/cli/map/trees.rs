//! Where the records of a JSON or XML example stand, which of them hold lines, and what stands in them.
//!
//! An XML document takes the shape of a JSON value: elements of one name below one another become a list, attributes get an `@`.
//! Records are the outermost list whose elements have a field that is known by its name; a list within them holds the lines.

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};
use serde_json::{Map, Value};

use super::columns;

/// Deepest nesting that is looked at.
const DEPTH_MAX: usize = 12;
/// Key of the text of an element that has attributes as well.
const TEXT: &str = "#text";

/// A value of the example that a field may be read from.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Path from the record, or from the line.
    pub(super) path: String,
    /// Name by which its meaning is guessed.
    pub(super) name: String,
    /// Whether it stands in a line.
    pub(super) is_line: bool,
    /// What stands there in the example.
    pub(super) samples: Vec<String>,
}

/// What was found of an example.
#[derive(Debug)]
pub(super) struct Layout {
    /// Path of the records, names from the root.
    pub(super) records: Vec<String>,
    /// Path of the lines, names from the record.
    pub(super) lines: Vec<String>,
    /// Every value in a record.
    pub(super) leaves: Vec<Leaf>,
}

/// Finds records and lines.
pub(super) fn layout(root: &Value, is_xml: bool) -> Option<Layout> {
    let (mut records, mut found) = records(root)?;
    if let (true, true, Some((name, inner))) =
        (is_xml, records.is_empty(), root.as_object().and_then(|o| o.iter().next()))
    {
        // The root element itself.
        (records, found) = (vec![name.clone()], vec![inner]);
    }
    let first = *found.first()?;
    let lines = lists(first).into_iter().find(|(_, parts)| holds_goods(parts)).map(|(path, _)| path);
    let lines = lines.unwrap_or_default();
    let mut leaves = Vec::new();
    collect(&found, &[], false, is_xml, &mut leaves);
    if !lines.is_empty() {
        let parts: Vec<&Value> = found.iter().flat_map(|record| at(record, &lines)).collect();
        collect(&parts, &[], true, is_xml, &mut leaves);
    }
    (!leaves.is_empty()).then_some(Layout { records, lines, leaves })
}

/// The path of the records and the records: the root, or the elements of a list.
fn records(root: &Value) -> Option<(Vec<String>, Vec<&Value>)> {
    let lists = lists(root);
    let own = std::slice::from_ref(root);
    // An object that names an order or shipment itself is the record, whatever lists it has.
    if root.is_object()
        && names(root).iter().any(|name| columns::field_of(name).is_some_and(|f| !f.starts_with("lines.")))
    {
        return Some((Vec::new(), own.iter().collect()));
    }
    let telling = lists.iter().find(|(_, parts)| is_telling(parts));
    let is_wide = |parts: &[&Value]| parts.first().is_some_and(|first| names(first).len() > 1);
    let (path, parts) = telling.or_else(|| lists.iter().find(|(_, parts)| is_wide(parts)))?;
    Some((path.clone(), parts.clone()))
}

/// Whether the elements have a value that is known by its name.
fn is_telling(parts: &[&Value]) -> bool {
    parts.first().is_some_and(|first| names(first).iter().any(|name| columns::field_of(name).is_some()))
}

/// Whether the elements name goods or amounts of them: notes and attributes are lists as well.
fn holds_goods(parts: &[&Value]) -> bool {
    let is_goods = |field: &str| field == "lines.item.sku" || field.starts_with("lines.qty");
    parts.first().is_some_and(|first| names(first).iter().any(|name| columns::field_of(name).is_some_and(is_goods)))
}

/// Lists of objects within the value, the outermost first, with the path to each.
fn lists(value: &Value) -> Vec<(Vec<String>, Vec<&Value>)> {
    let mut found = Vec::new();
    let mut open = vec![(Vec::new(), value)];
    for _ in 0..DEPTH_MAX {
        let mut next = Vec::new();
        for (path, value) in open {
            match value {
                Value::Array(parts) if parts.iter().any(Value::is_object) => {
                    next.extend(parts.first().map(|first| (path.clone(), first)));
                    found.push((path, parts.iter().filter(|part| part.is_object()).collect()));
                }
                Value::Object(fields) => next.extend(fields.iter().map(|(key, value)| {
                    let mut path = path.clone();
                    path.push(key.clone());
                    (path, value)
                })),
                _ => {}
            }
        }
        open = next;
    }
    found
}

/// Names of the plain values in it, also of those in objects within, with the names around them.
fn names(value: &Value) -> Vec<String> {
    let mut leaves = Vec::new();
    collect(&[value], &[], false, true, &mut leaves);
    leaves.into_iter().map(|leaf| leaf.name).collect()
}

/// All values at a path; lists on the way are entered.
fn at<'v>(value: &'v Value, path: &[String]) -> Vec<&'v Value> {
    match (value, path.split_first()) {
        (Value::Array(parts), _) => parts.iter().flat_map(|part| at(part, path)).collect(),
        (_, None) => vec![value],
        (_, Some((name, rest))) => value.get(name).map(|inner| at(inner, rest)).unwrap_or_default(),
    }
}

/// Notes the plain values of the first of these objects, with what stands there in all of them.
fn collect(all: &[&Value], path: &[String], is_line: bool, is_xml: bool, leaves: &mut Vec<Leaf>) {
    let Some(Value::Object(fields)) = all.first().and_then(|first| at(first, path).first().copied()) else { return };
    if path.len() >= DEPTH_MAX {
        return;
    }
    for (key, value) in fields {
        let mut path = path.to_vec();
        path.push(key.clone());
        match value {
            Value::Object(_) => collect(all, &path, is_line, is_xml, leaves),
            // What a list holds must be said by a person: it may be lines, or serial numbers.
            Value::Array(_) => {}
            _ => {
                let samples = all.iter().flat_map(|one| at(one, &path)).map(shown).collect();
                leaves.push(Leaf { path: pointer(&path, is_xml), name: name(&path), is_line, samples });
            }
        }
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The name of a value: its own where that is known, else together with the name around it (`Order/Number`).
fn name(path: &[String]) -> String {
    let bare: Vec<&str> = path.iter().map(|part| part.trim_start_matches('@')).filter(|part| *part != TEXT).collect();
    let own = bare.last().copied().unwrap_or_default();
    if columns::field_of(own).is_some() || columns::is_time(own) {
        return own.to_owned();
    }
    match bare.as_slice() {
        [.., around, own] if columns::field_of(&format!("{around}{own}")).is_some() => format!("{around}{own}"),
        _ => own.to_owned(),
    }
}

/// A path as profiles write it: a JSON pointer, or names of elements.
pub(super) fn pointer(path: &[String], is_xml: bool) -> String {
    if is_xml {
        let parts: Vec<&str> = path.iter().map(String::as_str).filter(|part| *part != TEXT).collect();
        return parts.join("/");
    }
    path.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

/// An XML document, or the beginning of one, in the shape of JSON: its root as the only field of an object.
pub(super) fn of_xml(text: &str) -> Value {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<(String, Map<String, Value>, String)> = vec![(String::new(), Map::new(), String::new())];
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) if open.len() < 64 => open.push(started(&start)),
            Ok(Event::Empty(start)) => {
                open.push(started(&start));
                close(&mut open);
            }
            Ok(Event::End(_)) => close(&mut open),
            Ok(Event::Text(part)) => {
                if let Some((.., text)) = open.last_mut() {
                    text.push_str(&part.xml10_content());
                }
            }
            Ok(Event::Eof | Event::Start(_)) | Err(_) => break,
            Ok(_) => {}
        }
    }
    while open.len() > 1 {
        close(&mut open);
    }
    open.pop().map(|(_, fields, _)| Value::Object(fields)).unwrap_or_default()
}

fn started(start: &BytesStart<'_>) -> (String, Map<String, Value>, String) {
    let local = |name: &str| name.rsplit(':').next().unwrap_or_default().to_owned();
    let mut fields = Map::new();
    for attribute in start.attributes().flatten().filter(|attribute| attribute.key.as_namespace_binding().is_none()) {
        let key = attribute.key.into_inner();
        if let Ok(value) = attribute.normalized_value(XmlVersion::Implicit1_0)
            && !key.starts_with("xsi:")
        {
            fields.insert(format!("@{}", local(key)), value.into_owned().into());
        }
    }
    (local(start.name().into_inner()), fields, String::new())
}

fn close(open: &mut Vec<(String, Map<String, Value>, String)>) {
    if open.len() < 2 {
        return;
    }
    let Some((name, mut fields, text)) = open.pop() else { return };
    let text = text.trim();
    // The only element within is a list of which there is one.
    let is_alone = fields.len() == 1 && fields.values().all(Value::is_object);
    if is_alone {
        fields.values_mut().for_each(|value| *value = Value::Array(vec![value.take()]));
    }
    let value = if fields.is_empty() {
        Value::from(text)
    } else {
        if !text.is_empty() {
            fields.insert(TEXT.to_owned(), text.into());
        }
        Value::Object(fields)
    };
    let Some((_, around, _)) = open.last_mut() else { return };
    match around.get_mut(&name) {
        Some(Value::Array(parts)) => parts.push(value),
        Some(other) => *other = Value::Array(vec![other.take(), value]),
        None => drop(around.insert(name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_lines_of_a_document_are_found() {
        let xml = "<?xml version=\"1.0\"?><w:Upload xmlns:w=\"urn:w\"><Id>1</Id><Orders><Order no=\"7\"><ShipmentId>S1</ShipmentId>\
                   <Details><Detail><Item>4711</Item><Qty um=\"EA\">2</Qty></Detail></Details></Order></Orders></w:Upload>";

        let found = layout(&of_xml(xml), true).unwrap();

        assert_eq!(
            (found.records.last().unwrap().as_str(), pointer(&found.lines, true).as_str()),
            ("Order", "Details/Detail")
        );
        let told: Vec<_> = found.leaves.iter().map(|leaf| (leaf.path.as_str(), leaf.is_line)).collect();
        assert_eq!(told, [("@no", false), ("ShipmentId", false), ("Item", true), ("Qty/@um", true), ("Qty", true)]);
    }

    #[test]
    fn a_document_that_is_cut_is_read_as_far_as_it_goes() {
        let found = layout(&of_xml("<L><R><Item>1</Item><Qty>2</Qty></R><R><Item>3</Item><Qty>4</Q"), true).unwrap();

        assert_eq!(found.leaves[0].samples, ["1", "3"]);
    }

    #[test]
    fn records_stand_in_a_list_or_are_the_document_itself() {
        let list: Value = serde_json::from_str(r#"{"page":1,"data":{"rows":[{"sku":"1","qty":2}]}}"#).unwrap();
        let one: Value =
            serde_json::from_str(r#"{"orderNumber":"1","notes":[{"name":"a"}],"items":[{"sku":"1","qty":2}]}"#)
                .unwrap();

        assert_eq!(pointer(&layout(&list, false).unwrap().records, false), "/data/rows");
        let found = layout(&one, false).unwrap();
        assert_eq!(
            (pointer(&found.records, false), pointer(&found.lines, false)),
            (String::new(), "/items".to_owned())
        );
    }
}

//! Brings an event in XML into the shape that EPCIS 2.0 gives it in JSON, so that one mapping reads both.
//!
//! The wrappers of EPCIS 1.2 (`extension`, `baseExtension`) are taken away, lists become arrays, elements of another name space
//! get the key that [`super::context::name`] gives them. Quantities stay text: the mapping knows that XML has no numbers.

use serde_json::{Map, Value};

use super::{super::xml::Node, context};

/// The event as an object.
pub(super) fn event(mut node: Node) -> Map<String, Value> {
    let mut event = Map::with_capacity(node.children.len() + 1);
    event.insert("type".to_owned(), std::mem::take(&mut node.name).into());
    fields(node, &mut event);
    event
}

fn is_own(node: &Node) -> bool {
    node.ns.is_empty() || node.ns.starts_with("urn:epcglobal:epcis")
}

fn fields(node: Node, event: &mut Map<String, Value>) {
    for mut child in node.children {
        if !is_own(&child) {
            add(event, context::name(&child.ns, &child.name), plain(child));
            continue;
        }
        let name = std::mem::take(&mut child.name);
        let value = match name.as_str() {
            "extension" | "baseExtension" => {
                fields(child, event);
                continue;
            }
            "epcList" | "childEPCs" | "inputEPCList" | "outputEPCList" => texts(child),
            "quantityList" | "childQuantityList" | "inputQuantityList" | "outputQuantityList" => {
                child.children.into_iter().map(plain).collect()
            }
            "bizTransactionList" => child.children.into_iter().map(|one| typed(one, "bizTransaction")).collect(),
            "sourceList" => child.children.into_iter().map(|one| typed(one, "source")).collect(),
            "destinationList" => child.children.into_iter().map(|one| typed(one, "destination")).collect(),
            "sensorElementList" => child.children.into_iter().map(plain).collect(),
            "errorDeclaration" => error(child),
            _ => plain(child),
        };
        add(event, name, value);
    }
}

fn texts(node: Node) -> Value {
    node.children.into_iter().map(|child| Value::from(child.text)).collect()
}

fn typed(mut node: Node, name: &str) -> Value {
    let mut object = Map::new();
    let kind = node.attrs.iter_mut().find(|(known, _)| known == "type").map(|(_, value)| std::mem::take(value));
    if let Some(kind) = kind.filter(|kind| !kind.is_empty()) {
        object.insert("type".to_owned(), kind.into());
    }
    object.insert(name.to_owned(), node.text.into());
    Value::Object(object)
}

fn error(node: Node) -> Value {
    let mut object = Map::new();
    for child in node.children {
        match child.name.as_str() {
            "correctiveEventIDs" => add(&mut object, child.name.clone(), texts(child)),
            "extension" if is_own(&child) => fields(child, &mut object),
            _ => part(child, &mut object),
        }
    }
    Value::Object(object)
}

/// Text where there is only text; else attributes and elements as fields.
fn plain(node: Node) -> Value {
    if node.children.is_empty() && node.attrs.is_empty() {
        return node.text.into();
    }
    let mut object = Map::new();
    for (name, value) in node.attrs {
        add(&mut object, name, value.into());
    }
    if !node.text.is_empty() {
        add(&mut object, "value".to_owned(), node.text.into());
    }
    for child in node.children {
        match child.name.as_str() {
            "extension" if is_own(&child) => fields(child, &mut object),
            _ => part(child, &mut object),
        }
    }
    Value::Object(object)
}

/// Adds an element under its name, or under that of its name space and its own.
fn part(mut child: Node, object: &mut Map<String, Value>) {
    let name = if is_own(&child) { std::mem::take(&mut child.name) } else { context::name(&child.ns, &child.name) };
    add(object, name, plain(child));
}

/// A second value under the same key makes an array.
fn add(object: &mut Map<String, Value>, key: String, value: Value) {
    match object.get_mut(&key) {
        Some(Value::Array(parts)) => parts.push(value),
        Some(other) => *other = Value::Array(vec![other.take(), value]),
        None => drop(object.insert(key, value)),
    }
}

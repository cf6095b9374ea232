//! Brings an event in XML into the shape that EPCIS 2.0 gives it in JSON, so that one mapping reads both.
//!
//! The wrappers of EPCIS 1.2 (`extension`, `baseExtension`) are taken away, lists become arrays, elements of another name space
//! get the key that [`super::context::name`] gives them. Quantities stay text: the mapping knows that XML has no numbers.

use serde_json::{Map, Value};

use super::{super::xml::Node, context};

/// The event as an object.
pub(super) fn event(node: &Node) -> Map<String, Value> {
    let mut event = Map::new();
    event.insert("type".to_owned(), node.name.clone().into());
    fields(node, &mut event);
    event
}

fn is_own(node: &Node) -> bool {
    node.ns.is_empty() || node.ns.starts_with("urn:epcglobal:epcis")
}

fn fields(node: &Node, event: &mut Map<String, Value>) {
    for child in &node.children {
        if !is_own(child) {
            add(event, context::name(&child.ns, &child.name), plain(child));
            continue;
        }
        let value = match child.name.as_str() {
            "extension" | "baseExtension" => {
                fields(child, event);
                continue;
            }
            "epcList" | "childEPCs" | "inputEPCList" | "outputEPCList" => texts(child),
            "quantityList" | "childQuantityList" | "inputQuantityList" | "outputQuantityList" => {
                child.children.iter().map(plain).collect()
            }
            "bizTransactionList" => child.children.iter().map(|one| typed(one, "bizTransaction")).collect(),
            "sourceList" => child.children.iter().map(|one| typed(one, "source")).collect(),
            "destinationList" => child.children.iter().map(|one| typed(one, "destination")).collect(),
            "sensorElementList" => child.children.iter().map(plain).collect(),
            "errorDeclaration" => error(child),
            _ => plain(child),
        };
        add(event, child.name.clone(), value);
    }
}

fn texts(node: &Node) -> Value {
    node.children.iter().map(|child| Value::from(child.text.as_str())).collect()
}

fn typed(node: &Node, name: &str) -> Value {
    let mut object = Map::new();
    if !node.attr("type").is_empty() {
        object.insert("type".to_owned(), node.attr("type").into());
    }
    object.insert(name.to_owned(), node.text.as_str().into());
    Value::Object(object)
}

fn error(node: &Node) -> Value {
    let mut object = Map::new();
    for child in &node.children {
        match child.name.as_str() {
            "correctiveEventIDs" => add(&mut object, child.name.clone(), texts(child)),
            "extension" if is_own(child) => fields(child, &mut object),
            name if is_own(child) => add(&mut object, name.to_owned(), plain(child)),
            name => add(&mut object, context::name(&child.ns, name), plain(child)),
        }
    }
    Value::Object(object)
}

/// Text where there is only text; else attributes and elements as fields.
fn plain(node: &Node) -> Value {
    if node.children.is_empty() && node.attrs.is_empty() {
        return node.text.as_str().into();
    }
    let mut object = Map::new();
    for (name, value) in &node.attrs {
        add(&mut object, name.clone(), value.as_str().into());
    }
    if !node.text.is_empty() {
        add(&mut object, "value".to_owned(), node.text.as_str().into());
    }
    for child in &node.children {
        match child.name.as_str() {
            "extension" if is_own(child) => fields(child, &mut object),
            name if is_own(child) => add(&mut object, name.to_owned(), plain(child)),
            name => add(&mut object, context::name(&child.ns, name), plain(child)),
        }
    }
    Value::Object(object)
}

/// A second value under the same key makes an array.
fn add(object: &mut Map<String, Value>, key: String, value: Value) {
    match object.get_mut(&key) {
        Some(Value::Array(parts)) => parts.push(value),
        Some(other) => *other = Value::Array(vec![other.take(), value]),
        None => drop(object.insert(key, value)),
    }
}

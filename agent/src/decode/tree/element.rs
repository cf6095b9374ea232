//! Brings an XML element into the form that a JSON object has, so that one set of paths reads both.

use serde_json::{Map, Value};

use super::path::TEXT;
use crate::decode::xml::Node;

/// Text where there is only text; else attributes as `@name`, elements by name (several of a name as a list) and the text.
pub(super) fn value(node: &Node) -> Value {
    if node.attrs.is_empty() && node.children.is_empty() {
        return Value::String(node.text.clone());
    }
    let mut object = Map::new();
    for (name, value) in &node.attrs {
        object.insert(format!("@{name}"), value.as_str().into());
    }
    for child in &node.children {
        add(&mut object, &child.name, value(child));
    }
    if !node.text.is_empty() {
        object.insert(TEXT.to_owned(), node.text.as_str().into());
    }
    Value::Object(object)
}

fn add(object: &mut Map<String, Value>, name: &str, value: Value) {
    match object.get_mut(name) {
        Some(Value::Array(parts)) => parts.push(value),
        Some(other) => *other = Value::Array(vec![other.take(), value]),
        None => drop(object.insert(name.to_owned(), value)),
    }
}

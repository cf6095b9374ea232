//! Brings an event in XML into the shape that EPCIS 2.0 gives it in JSON, so that one mapping reads both.
//!
//! The wrappers of EPCIS 1.2 (`extension`, `baseExtension`) are taken away, lists become arrays, elements of another name space
//! get the key that [`super::context::name`] gives them. Quantities stay text: the mapping knows that XML has no numbers.

use super::{
    super::xml::Node,
    context,
    fields::{Fields, Part},
};

/// The event as an object.
pub(super) fn event(mut node: Node) -> Fields {
    let mut event = Fields::with_capacity(node.children.len() + 1);
    event.push("type".to_owned(), std::mem::take(&mut node.name).into());
    fields(node, &mut event);
    event
}

fn is_own(node: &Node) -> bool {
    node.ns.is_empty() || node.ns.starts_with("urn:epcglobal:epcis")
}

fn fields(node: Node, event: &mut Fields) {
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
                Part::List(child.children.into_iter().map(plain).collect())
            }
            "bizTransactionList" => {
                Part::List(child.children.into_iter().map(|one| typed(one, "bizTransaction")).collect())
            }
            "sourceList" => Part::List(child.children.into_iter().map(|one| typed(one, "source")).collect()),
            "destinationList" => Part::List(child.children.into_iter().map(|one| typed(one, "destination")).collect()),
            "sensorElementList" => Part::List(child.children.into_iter().map(plain).collect()),
            "errorDeclaration" => error(child),
            _ => plain(child),
        };
        add(event, name, value);
    }
}

fn texts(node: Node) -> Part {
    Part::List(node.children.into_iter().map(|child| Part::Text(child.text)).collect())
}

fn typed(mut node: Node, name: &str) -> Part {
    let mut object = Fields::default();
    let kind = node.attrs.iter_mut().find(|(known, _)| known == "type").map(|(_, value)| std::mem::take(value));
    if let Some(kind) = kind.filter(|kind| !kind.is_empty()) {
        object.push("type".to_owned(), kind.into());
    }
    object.push(name.to_owned(), node.text.into());
    Part::Object(object)
}

fn error(node: Node) -> Part {
    let mut object = Fields::default();
    for child in node.children {
        match child.name.as_str() {
            "correctiveEventIDs" => add(&mut object, child.name.clone(), texts(child)),
            "extension" if is_own(&child) => fields(child, &mut object),
            _ => part(child, &mut object),
        }
    }
    Part::Object(object)
}

/// Text where there is only text; else attributes and elements as fields.
fn plain(node: Node) -> Part {
    if node.children.is_empty() && node.attrs.is_empty() {
        return node.text.into();
    }
    let mut object = Fields::default();
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
    Part::Object(object)
}

/// Adds an element under its name, or under that of its name space and its own.
fn part(mut child: Node, object: &mut Fields) {
    let name = if is_own(&child) { std::mem::take(&mut child.name) } else { context::name(&child.ns, &child.name) };
    add(object, name, plain(child));
}

/// A second value under the same key makes an array.
fn add(object: &mut Fields, key: String, value: Part) {
    match object.get_mut(&key) {
        Some(Part::List(parts)) => parts.push(value),
        Some(other) => {
            let first = std::mem::replace(other, Part::Null);
            *other = Part::List(vec![first, value]);
        }
        None => object.push(key, value),
    }
}

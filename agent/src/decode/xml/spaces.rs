//! Name spaces of the open elements, looked up only where a prefix is met or a declaration changes the default.

use std::rc::Rc;

use quick_xml::{
    events::BytesStart,
    name::{NamespaceError, NamespaceResolver, QName, ResolveResult},
};

const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// What is declared at this place of the document.
pub(super) struct Spaces {
    resolver: NamespaceResolver,
    /// How many elements are open around each element that declares something.
    declaring: Vec<usize>,
    /// The name space of elements without prefix.
    default: Rc<str>,
}

impl Default for Spaces {
    fn default() -> Self {
        Self { resolver: NamespaceResolver::default(), declaring: Vec::new(), default: Rc::from("") }
    }
}

impl Spaces {
    /// Takes what a start tag declares; so many elements are open around it.
    ///
    /// # Errors
    /// A declaration that XML forbids.
    #[inline]
    pub(super) fn open(&mut self, start: &BytesStart<'_>, depth: usize) -> Result<(), NamespaceError> {
        let attributes = start.attributes_raw();
        if attributes.is_empty() || !attributes.contains("xmlns") {
            return Ok(());
        }
        self.resolver.set_level(u16::try_from(depth).unwrap_or(u16::MAX));
        self.resolver.push(start)?;
        self.declaring.push(depth);
        self.set_default();
        Ok(())
    }

    /// The element around which so many are open has ended.
    #[inline]
    pub(super) fn close(&mut self, depth: usize) {
        if self.declaring.last() == Some(&depth) {
            self.declaring.pop();
            self.resolver.set_level(u16::try_from(depth).unwrap_or(u16::MAX));
            self.set_default();
        }
    }

    fn set_default(&mut self) {
        self.default = Rc::from(name(&self.resolver.resolve_prefix(None, true)));
    }

    /// Name space and local name of an element; the prefix where it is not declared.
    #[inline]
    pub(super) fn element<'s>(&self, start: &'s BytesStart<'_>) -> (Rc<str>, &'s str) {
        let qualified = start.name();
        if !has_prefix(qualified) {
            return (Rc::clone(&self.default), qualified.0);
        }
        let (resolved, local) = self.resolver.resolve_element(qualified);
        let space = name(&resolved);
        // Most elements of a document are of one name space.
        let space = if *self.default == *space { Rc::clone(&self.default) } else { Rc::from(space) };
        (space, local.into_inner())
    }

    /// The local name of an attribute; `None` where it is about the document.
    pub(super) fn attribute<'s>(&self, key: QName<'s>) -> Option<&'s str> {
        if !has_prefix(key) {
            return (key.0 != "xmlns").then_some(key.0);
        }
        let (resolved, local) = self.resolver.resolve_attribute(key);
        let is_about_document = key.as_namespace_binding().is_some()
            || matches!(resolved, ResolveResult::Bound(ns) if matches!(ns.0, XSI | XMLNS));
        (!is_about_document).then(|| local.into_inner())
    }
}

/// Names are short: to look at each byte costs less than to call a search.
#[inline]
fn has_prefix(name: QName<'_>) -> bool {
    name.0.bytes().fold(false, |has_colon, byte| has_colon | (byte == b':'))
}

fn name<'r>(resolved: &'r ResolveResult<'_>) -> &'r str {
    match resolved {
        ResolveResult::Bound(ns) => ns.0,
        ResolveResult::Unbound => "",
        ResolveResult::Unknown(prefix) => prefix,
    }
}

//! A small owned XML tree: dead properties, and the bodies of requests on their way to a type (RFC 4918 4.3, 4.4).
//!
//! Exact names, attributes (`xml:lang` among them), mixed text and order survive a round trip; prefixes, comments and
//! the spelling of entities do not, which RFC 4918 4.3 leaves open. Depth is bounded by the [`Limits`] it was read with.
//!
//! `Debug` prints names and sizes, never text.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::name::{QName, ns};
use super::writer::{PREFIXES, Writer, is_foreign};
use super::xml::{Document, Limits, XmlError, decode};

/// An element with all that is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Element {
    name: QName,
    attributes: Vec<Attribute>,
    nodes: Vec<Node>,
}

/// An attribute; namespace declarations are none.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, mostly without namespace.
    pub name: QName,
    /// Its value, entities resolved.
    pub value: String,
}

/// What stands inside an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Text, entities resolved, CDATA joined.
    Text(String),
}

impl Element {
    /// An empty element.
    pub fn new(name: QName) -> Self {
        Self { name, attributes: Vec::new(), nodes: Vec::new() }
    }

    /// `<name>text</name>`
    pub fn with_text(name: QName, text: impl Into<String>) -> Self {
        let mut element = Self::new(name);
        element.push_text(text.into());
        element
    }

    /// An element that holds `children`.
    pub fn with_children(name: QName, children: impl IntoIterator<Item = Element>) -> Self {
        Self { name, attributes: Vec::new(), nodes: children.into_iter().map(Node::Element).collect() }
    }

    /// Reads a whole document.
    pub fn parse(bytes: &[u8], limits: Limits) -> Result<Self, XmlError> {
        Document::open(&decode(bytes, limits)?, limits)?.into_element()
    }

    /// Its name.
    pub fn name(&self) -> &QName {
        &self.name
    }

    /// Whether it has this name.
    pub fn is(&self, name: &QName) -> bool {
        self.name == *name
    }

    /// All attributes, in order.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The value of an attribute without namespace.
    pub fn attribute(&self, local: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.name.pair() == ("", local)).map(|a| a.value.as_str())
    }

    /// Everything in it, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The elements in it, in order.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The elements in it, taken out.
    pub fn into_children(self) -> impl Iterator<Item = Element> {
        self.nodes.into_iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first child of this name.
    pub fn child(&self, name: &QName) -> Option<&Element> {
        self.children().find(|child| child.is(name))
    }

    /// Its own text, without that of its children.
    pub fn text(&self) -> Cow<'_, str> {
        let mut texts = self.nodes.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        match (texts.next(), texts.next()) {
            (None, _) => Cow::Borrowed(""),
            (Some(only), None) => Cow::Borrowed(only),
            (Some(first), Some(second)) => Cow::Owned([first, second].into_iter().chain(texts).collect()),
        }
    }

    /// Its own text without the blanks around it.
    pub fn trimmed(&self) -> String {
        self.text().trim_matches(|c: char| c.is_ascii_whitespace()).to_owned()
    }

    /// Adds a node at the end; text joins text.
    pub fn push(&mut self, node: Node) {
        match node {
            Node::Text(text) => self.push_text(text),
            Node::Element(_) => self.nodes.push(node),
        }
    }

    /// Adds text at the end.
    pub fn push_text(&mut self, text: String) {
        match self.nodes.last_mut() {
            _ if text.is_empty() => {}
            Some(Node::Text(before)) => before.push_str(&text),
            _ => self.nodes.push(Node::Text(text)),
        }
    }

    /// Adds an attribute, unless it is there already.
    #[must_use]
    pub fn push_attribute(&mut self, attribute: Attribute) -> bool {
        let new = self.attributes.iter().all(|known| known.name != attribute.name);
        if new {
            self.attributes.push(attribute);
        }
        new
    }

    /// The language in force inside it, if it says one.
    pub fn lang(&self) -> Option<&str> {
        self.attributes.iter().find(|a| a.name == XML_LANG).map(|a| a.value.as_str())
    }

    /// Takes over the language of what surrounds it, since that is part of a property's value (RFC 4918 4.3).
    pub(super) fn inherit_lang(&mut self, lang: Option<&str>) {
        if let Some(lang) = lang {
            // An own xml:lang wins: then the attribute is refused, which is right.
            let _own_wins = self.push_attribute(Attribute { name: XML_LANG, value: lang.to_owned() });
        }
    }

    /// As a piece of XML that stands alone: it declares every prefix that it uses.
    pub fn to_bytes(&self) -> Bytes {
        let mut writer = Writer::new();
        self.write(&mut writer, true, None);
        writer.finish()
    }

    /// The same as it is stored as a dead property; none if it is longer than [`MAX_PROPERTY`].
    pub fn to_stored(&self) -> Option<Bytes> {
        Some(self.to_bytes()).filter(|bytes| bytes.len() <= MAX_PROPERTY)
    }

    /// Writes it inside a document of ours, where the known prefixes are declared.
    pub fn write_into(&self, writer: &mut Writer) {
        self.write(writer, false, None);
    }

    // Depth is bounded by the limits of reading, so recursion is.
    fn write(&self, writer: &mut Writer, declare: bool, outer: Option<&str>) {
        writer.open_within(&self.name, outer);
        let inner = if is_foreign(self.name.ns()) { Some(self.name.ns()) } else { outer };
        if declare {
            for (prefix, namespace) in PREFIXES {
                if self.uses(namespace) {
                    writer.declare(prefix, namespace);
                }
            }
        }
        for (index, attribute) in self.attributes.iter().enumerate() {
            writer.attribute(&attribute.name, &attribute.value, index);
        }
        if self.nodes.is_empty() {
            return writer.put("/>");
        }
        writer.put(">");
        for node in &self.nodes {
            match node {
                Node::Element(element) => element.write(writer, false, inner),
                Node::Text(text) => {
                    writer.text(text);
                }
            }
        }
        writer.end(&self.name);
    }

    fn uses(&self, namespace: &str) -> bool {
        self.name.ns() == namespace
            || self.attributes.iter().any(|a| a.name.ns() == namespace)
            || self.children().any(|child| child.uses(namespace))
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: usize = self.text().len();
        write!(
            f,
            "<{:?} {} attributes, {} children, {text} octets>",
            self.name,
            self.attributes.len(),
            self.nodes.len()
        )
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({} octets)", self.name, self.value.len())
    }
}

/// The most octets of a dead property.
pub const MAX_PROPERTY: usize = 4 * 1024;

const XML_LANG: QName = QName::fixed(ns::XML, "lang");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Element {
        Element::parse(text.as_bytes(), Limits::REQUEST).unwrap()
    }

    #[test]
    fn a_dead_property_survives_exactly() {
        let property = parse(
            "<x:note xmlns:x='urn:x' xmlns:y='urn:y' xmlns='urn:d' xml:lang='de' y:k='1' x:k='2' k=' a&#10;b '>Grüße <b>an <y:i/></b> \
             <plain xmlns=''/> &lt;alle&gt;&#13;</x:note>",
        );
        let again = parse(std::str::from_utf8(&property.to_bytes()).unwrap());
        assert_eq!(again, property);
        assert_eq!(again.attribute("k"), Some(" a\nb "));
        assert_eq!(again.lang(), Some("de"));
        assert_eq!(again.nodes().len(), 5);
        assert!(again.text().ends_with("<alle>\r"));
    }

    #[test]
    fn a_piece_stands_alone_and_inside_a_document() {
        let color = parse("<color xmlns='http://apple.com/ns/ical/' symbolic-color='custom'>#FF0000FF</color>");
        let alone = String::from_utf8(color.to_bytes().to_vec()).unwrap();
        assert_eq!(
            alone,
            "<A:color xmlns:A=\"http://apple.com/ns/ical/\" symbolic-color=\"custom\">#FF0000FF</A:color>"
        );
        let mut writer = Writer::new();
        color.write_into(&mut writer);
        assert_eq!(writer.finish(), "<A:color symbolic-color=\"custom\">#FF0000FF</A:color>");
    }

    #[test]
    fn a_stored_property_has_a_limit() {
        let of = |size: usize| Element::with_text(QName::new("urn:x", "p").unwrap(), "x".repeat(size));
        assert!(of(4000).to_stored().is_some());
        assert!(of(4096).to_stored().is_none());
    }

    #[test]
    fn debug_keeps_quiet() {
        let shown = format!("{:?}", parse("<a secret='hidden'>private</a>"));
        assert!(!shown.contains("private") && !shown.contains("hidden"), "{shown}");
    }

    fn any_element() -> impl Strategy<Value = Element> {
        let name = ("(DAV:|urn:x|urn:y|)", "[a-z]{1,4}").prop_map(|(ns, local)| QName::new(&ns, &local).unwrap());
        let attribute = (name.clone(), "[\\x09 -\\x7e]{0,6}").prop_map(|(name, value)| Attribute { name, value });
        let head = (name, prop::collection::vec(attribute, 0..4)).prop_map(|(name, attributes)| {
            attributes.into_iter().fold(Element::new(name), |mut element, attribute| {
                let _twice = element.push_attribute(attribute);
                element
            })
        });
        head.clone().prop_recursive(4, 24, 4, move |inner| {
            let node =
                prop_oneof![inner.prop_map(Node::Element), "[\\x09\\x0a\\x0d -\\x7eä]{0,8}".prop_map(Node::Text)];
            (head.clone(), prop::collection::vec(node, 0..4)).prop_map(|(mut element, nodes)| {
                for node in nodes {
                    element.push(node);
                }
                element
            })
        })
    }

    proptest! {
        #[test]
        fn written_is_read_back(element in any_element()) {
            let again = Element::parse(&element.to_bytes(), Limits::REQUEST);
            prop_assert_eq!(again, Ok(element));
        }

        #[test]
        fn nothing_panics(text in "[<>/&;a:='\" \\[\\]!?#x0-9-]{0,60}") {
            let _either_way_is_fine = Element::parse(text.as_bytes(), Limits::REQUEST);
            let _either_way_is_fine = Element::parse(text.as_bytes(), Limits::ANSWER);
        }
    }
}

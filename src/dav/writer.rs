//! Writes XML 1.0 into a buffer: elements by [`QName`], text escaped.
//!
//! The prefixes D, C, CS and A stand for the namespaces of the protocol and are declared once, at the root; an element
//! of any other namespace declares it on itself. So every piece can be written without knowing what surrounds it.
//!
//! Invariant: whatever text is given, the output is well-formed. Characters that XML 1.0 can't carry are left out, and
//! CR is written as a reference, since a reader turns a bare CR LF into LF (XML 1.0, 2.11).

use bytes::{Bytes, BytesMut};

use super::href::Href;
use super::name::{self, QName, ns};

/// A growing piece of XML.
#[derive(Default)]
pub struct Writer {
    out: BytesMut,
}

impl Writer {
    /// An empty piece, for parts of a document.
    pub fn new() -> Self {
        Self::default()
    }

    /// A document: declaration and opened root, with the known prefixes declared.
    pub fn document(root: &QName) -> Self {
        let mut writer = Self { out: BytesMut::with_capacity(1024) };
        writer.put(XML_DECLARATION);
        writer.open(root);
        for (prefix, namespace) in PREFIXES {
            writer.declare(prefix, namespace);
        }
        writer.put(">");
        writer
    }

    /// `<name>`
    pub fn start(&mut self, name: &QName) -> &mut Self {
        self.open(name);
        self.put(">");
        self
    }

    /// `<name a="v">`; attributes without namespace.
    pub fn start_with(&mut self, name: &QName, attributes: &[(&str, &str)]) -> &mut Self {
        self.open(name);
        self.plain_attributes(attributes);
        self.put(">");
        self
    }

    /// `</name>`
    pub fn end(&mut self, name: &QName) -> &mut Self {
        self.put("</");
        self.qualified(name);
        self.put(">");
        self
    }

    /// `<name/>`
    pub fn empty(&mut self, name: &QName) -> &mut Self {
        self.empty_with(name, &[])
    }

    /// `<name a="v"/>`
    pub fn empty_with(&mut self, name: &QName, attributes: &[(&str, &str)]) -> &mut Self {
        self.open(name);
        self.plain_attributes(attributes);
        self.put("/>");
        self
    }

    /// Escaped text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        escape(&mut self.out, text, TEXT);
        self
    }

    /// `<name>text</name>`
    pub fn text_element(&mut self, name: &QName, text: &str) -> &mut Self {
        self.start(name).text(text).end(name)
    }

    /// `<D:href>path</D:href>`
    pub fn href(&mut self, href: &Href) -> &mut Self {
        self.text_element(&name::dav::HREF, href.as_str())
    }

    /// What is already XML and declares the prefixes it uses, or only the known ones.
    pub fn raw(&mut self, xml: &[u8]) -> &mut Self {
        self.out.extend_from_slice(xml);
        self
    }

    /// How many octets wait in the buffer.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written since the last [`Self::take`].
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// What was written so far; writing goes on behind it.
    pub fn take(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    /// What was written.
    pub fn finish(self) -> Bytes {
        self.out.freeze()
    }

    /// `<name`, with the declaration that it needs itself.
    pub(super) fn open(&mut self, name: &QName) {
        self.open_within(name, None);
    }

    /// The same inside of an element whose foreign namespace is `outer`, and so declared already.
    pub(super) fn open_within(&mut self, name: &QName, outer: Option<&str>) {
        self.put("<");
        self.qualified(name);
        if is_foreign(name.ns()) && outer != Some(name.ns()) {
            self.declare(OTHER_PREFIX, name.ns());
        }
    }

    /// ` xmlns:prefix="namespace"`
    pub(super) fn declare(&mut self, prefix: &str, namespace: &str) {
        self.put(" xmlns:");
        self.put(prefix);
        self.put("=\"");
        escape(&mut self.out, namespace, ATTRIBUTE);
        self.put("\"");
    }

    /// ` name="value"`; `index` makes the prefix of a foreign namespace its own.
    pub(super) fn attribute(&mut self, name: &QName, value: &str, index: usize) {
        let foreign = is_foreign(name.ns()).then(|| format!("{OTHER_PREFIX}{index}"));
        if let Some(prefix) = &foreign {
            self.declare(prefix, name.ns());
        }
        self.put(" ");
        if let Some(prefix) = foreign.as_deref().or(prefix_of(name.ns())) {
            self.put(prefix);
            self.put(":");
        }
        self.put(name.local());
        self.put("=\"");
        escape(&mut self.out, value, ATTRIBUTE);
        self.put("\"");
    }

    pub(super) fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn plain_attributes(&mut self, attributes: &[(&str, &str)]) {
        for (name, value) in attributes {
            self.put(" ");
            self.put(name);
            self.put("=\"");
            escape(&mut self.out, value, ATTRIBUTE);
            self.put("\"");
        }
    }

    fn qualified(&mut self, name: &QName) {
        match name.ns() {
            "" => {}
            known => {
                self.put(prefix_of(known).unwrap_or(OTHER_PREFIX));
                self.put(":");
            }
        }
        self.put(name.local());
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({} octets)", self.out.len())
    }
}

/// `text` as XML text.
pub fn escaped(text: &str) -> Bytes {
    let mut writer = Writer::new();
    writer.text(text);
    writer.finish()
}

/// Whether an element of this namespace must declare it itself.
pub(super) fn is_foreign(namespace: &str) -> bool {
    !namespace.is_empty() && prefix_of(namespace).is_none()
}

/// The prefix declared at the root for `namespace`.
pub(super) fn prefix_of(namespace: &str) -> Option<&'static str> {
    if namespace == ns::XML {
        return Some("xml");
    }
    PREFIXES.iter().find(|(_, known)| *known == namespace).map(|(prefix, _)| *prefix)
}

/// Where an octet needs a closer look. 0xEF starts U+FFFE and U+FFFF, among others.
const fn class_of(octet: u8) -> u8 {
    match octet {
        b'\t' | b'\n' | b'"' => ATTRIBUTE,
        0..0x20 | b'&' | b'<' | b'>' | 0xEF => TEXT | ATTRIBUTE,
        _ => 0,
    }
}

/// Copies runs of ordinary octets at once; looks closer only at octets of `class`.
fn escape(out: &mut BytesMut, text: &str, class: u8) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|octet| class_of(octet) & class != 0) {
        let (ordinary, from) = rest.split_at(at);
        out.extend_from_slice(ordinary.as_bytes());
        let mut chars = from.chars();
        if let Some(c) = chars.next() {
            escape_char(out, c);
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn escape_char(out: &mut BytesMut, c: char) {
    let reference = match c {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\r' => "&#13;",
        '\n' => "&#10;",
        '\t' => "&#9;",
        c if name::is_xml_char(c) => return out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        _ => return,
    };
    out.extend_from_slice(reference.as_bytes());
}

const TEXT: u8 = 1;
const ATTRIBUTE: u8 = 2;

pub(super) const PREFIXES: [(&str, &str); 4] = [("D", ns::DAV), ("C", ns::CALDAV), ("CS", ns::CS), ("A", ns::ICAL)];
const OTHER_PREFIX: &str = "X";
const XML_DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::element::Element;
    use super::super::xml::Limits;
    use super::*;

    #[test]
    fn text_is_escaped_and_never_breaks_the_document() {
        let cases = [
            ("a<b>&\"c\"", "a&lt;b&gt;&amp;\"c\""),
            ("line\r\nline", "line&#13;\nline"),
            ("nul\0 bell\u{7} fffe\u{fffe} ok\u{fffd}", "nul bell fffe ok\u{fffd}"),
            ("]]>", "]]&gt;"),
            ("ﬁ 中 🎉", "ﬁ 中 🎉"),
        ];
        for (text, xml) in cases {
            assert_eq!(escaped(text), xml, "{text:?}");
        }
    }

    #[test]
    fn known_prefixes_stand_at_the_root_and_others_on_their_element() {
        let foreign = QName::new("urn:x&y", "thing").unwrap();
        let mut writer = Writer::document(&name::dav::PROP);
        writer.empty(&name::caldav::CALENDAR).text_element(&foreign, "v").end(&name::dav::PROP);
        let text = String::from_utf8(writer.finish().to_vec()).unwrap();
        assert!(text.contains("<C:calendar/><X:thing xmlns:X=\"urn:x&amp;y\">v</X:thing></D:prop>"), "{text}");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(text in "\\PC*|[\\x00-\\x7f]*", value in "[\\x09\\x0a\\x0d -\\x7e]*") {
            let mut writer = Writer::document(&name::dav::PROP);
            writer.start_with(&name::dav::OWNER, &[("a", &value)]).text(&text).end(&name::dav::OWNER).end(&name::dav::PROP);
            let root = Element::parse(&writer.finish(), Limits::REQUEST).unwrap();
            let owner = root.child(&name::dav::OWNER).unwrap();
            let carried: String = text.chars().filter(|c| name::is_xml_char(*c)).collect();
            prop_assert_eq!(owner.text(), carried.as_str());
            prop_assert_eq!(owner.attribute("a"), Some(value.as_str()));
        }
    }
}

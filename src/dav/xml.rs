//! The one door through which XML comes in: a pull reader with limits (XML 1.0, Namespaces 1.0; RFC 4918 17, 20.6).
//!
//! `quick-xml` finds the tokens. What it lets pass and we must not is refused here: document types, entities beyond the
//! five, depth, numbers of elements and attributes, duplicate attributes, two roots, text beside the root, names and
//! characters that XML has not, encodings other than UTF-8 and UTF-16 (which every processor reads: XML 1.0 2.2).
//!
//! Two ways of reading: [`Limits::REQUEST`] is strict, since the sender is told and can mend it. [`Limits::ANSWER`] is
//! for upstream servers, which can't be mended: forbidden characters and broken UTF-8 are replaced or left out.
//!
//! It never resolves anything outside the document, and never recurses.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use super::element::{Attribute, Element, Node};
use super::name::{self, QName, Shared};

/// How much a document may hold, and how strictly it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the whole document.
    pub octets: usize,
    /// Elements inside one another.
    pub depth: usize,
    /// Elements in all.
    pub elements: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
    /// Whether characters that XML forbids are left out instead of refused, and line ends kept as they came.
    pub forgiving: bool,
}

impl Limits {
    /// For what clients send us.
    pub const REQUEST: Self = Self { octets: 1 << 20, depth: 32, elements: 50_000, attributes: 64, forgiving: false };
    /// For what upstream servers answer; their length is capped by the transport.
    pub const ANSWER: Self =
        Self { octets: 64 << 20, depth: 64, elements: 2_000_000, attributes: 256, forgiving: true };
}

/// Why a document was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// It is not well-formed; says where and why.
    #[error("not well-formed XML near octet {at}: {what}")]
    NotWellFormed { at: u64, what: String },
    /// It brings a document type, and so might bring entities (RFC 4918 20.6).
    #[error("a document type declaration is not accepted")]
    DocumentType,
    /// It is too long, too deep or too wide.
    #[error("the XML document exceeds the limit of {0}")]
    OverLimit(&'static str),
    /// It ends before its root does.
    #[error("the XML document is cut off")]
    CutOff,
    /// There is no element in it at all.
    #[error("the XML document is empty")]
    Empty,
}

/// The text of a document, without byte order mark: UTF-16 where that mark says so (RFC 4918 19), else UTF-8.
pub fn decode(bytes: &[u8], limits: Limits) -> Result<Cow<'_, str>, XmlError> {
    if bytes.len() > limits.octets {
        return Err(XmlError::OverLimit("octets"));
    }
    match bytes {
        [0xff, 0xfe, units @ ..] => return from_utf16(units, u16::from_le_bytes, limits),
        [0xfe, 0xff, units @ ..] => return from_utf16(units, u16::from_be_bytes, limits),
        _ => {}
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if limits.forgiving {
        return Ok(String::from_utf8_lossy(bytes));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => Err(XmlError::NotWellFormed {
            at: u64::try_from(error.valid_up_to()).unwrap_or(u64::MAX),
            what: "not UTF-8".to_owned(),
        }),
    }
}

fn from_utf16(units: &[u8], unit: impl Fn([u8; 2]) -> u16, limits: Limits) -> Result<Cow<'static, str>, XmlError> {
    let (pairs, odd) = units.as_chunks::<2>();
    let text: Result<String, _> = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect();
    match text {
        Ok(text) if odd.is_empty() && text.len() <= limits.octets => Ok(Cow::Owned(text)),
        Ok(_) if odd.is_empty() => Err(XmlError::OverLimit("octets")),
        _ => Err(XmlError::NotWellFormed { at: 0, what: "not UTF-16".to_owned() }),
    }
}

/// A document being read: its root without children, then the children one by one.
pub struct Document<'a> {
    reader: NsReader<&'a [u8]>,
    limits: Limits,
    elements: usize,
    /// Namespaces met so far, so that each is held once.
    namespaces: Vec<Shared>,
    /// A child that ended a run of text and is handed out next.
    pending: Option<Element>,
    root: Element,
    open: bool,
}

impl<'a> Document<'a> {
    /// Reads up to and including the root's start tag.
    pub fn open(text: &'a str, limits: Limits) -> Result<Self, XmlError> {
        let mut reader = NsReader::from_str(text);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.check_comments = true;
        let mut document = Self {
            reader,
            limits,
            elements: 0,
            namespaces: Vec::new(),
            pending: None,
            root: Element::new(name::dav::PROP),
            open: true,
        };
        document.root = document.prologue()?;
        Ok(document)
    }

    /// The root, with its attributes and without its children.
    pub fn root(&self) -> &Element {
        &self.root
    }

    /// The root's next child element; text between is passed over. After the last, the rest of the document is checked.
    pub fn next_child(&mut self) -> Result<Option<Element>, XmlError> {
        while let Some(node) = self.next_node()? {
            if let Node::Element(element) = node {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }

    /// The root's next child, element or text.
    pub fn next_node(&mut self) -> Result<Option<Node>, XmlError> {
        if let Some(element) = self.pending.take() {
            return Ok(Some(Node::Element(element)));
        }
        let mut text = String::new();
        while self.open {
            match self.next_token()? {
                Token::Text(more) => text.push_str(&more),
                Token::Skip => {}
                Token::Start(element) => {
                    let element = self.subtree(element)?;
                    if text.is_empty() {
                        return Ok(Some(Node::Element(element)));
                    }
                    self.pending = Some(element);
                    return Ok(Some(Node::Text(text)));
                }
                Token::End => {
                    self.open = false;
                    self.epilogue()?;
                }
                Token::Eof => return Err(XmlError::CutOff),
            }
        }
        Ok((!text.is_empty()).then_some(Node::Text(text)))
    }

    /// The whole document as a tree.
    pub fn into_element(mut self) -> Result<Element, XmlError> {
        while let Some(node) = self.next_node()? {
            self.root.push(node);
        }
        Ok(self.root)
    }

    /// Everything up to the end tag that belongs to `top`.
    fn subtree(&mut self, top: Element) -> Result<Element, XmlError> {
        let mut above: Vec<Element> = Vec::new();
        let mut current = top;
        loop {
            match self.next_token()? {
                Token::Text(text) => current.push_text(text),
                Token::Skip => {}
                Token::Start(child) => {
                    // The root and the current element stand above the new one too.
                    if above.len() + 3 > self.limits.depth {
                        return Err(XmlError::OverLimit("depth"));
                    }
                    above.push(std::mem::replace(&mut current, child));
                }
                Token::End => match above.pop() {
                    Some(mut parent) => {
                        parent.push(Node::Element(current));
                        current = parent;
                    }
                    None => return Ok(current),
                },
                Token::Eof => return Err(XmlError::CutOff),
            }
        }
    }

    /// Passes declaration, comments and instructions; ends at the root's start.
    fn prologue(&mut self) -> Result<Element, XmlError> {
        let mut first = true;
        loop {
            let event = self.reader.read_event().map_err(|error| self.not_well_formed(&error))?;
            match event {
                Event::Decl(declaration) => {
                    if !first {
                        return Err(self.wrong("XML declaration not at the start"));
                    }
                    let encoding = declaration.encoding().transpose().map_err(|error| self.not_well_formed(&error))?;
                    // UTF-16 is decoded by now, or named by a .NET writer that sends UTF-8 all the same.
                    let known = |e: &str| ["utf-8", "us-ascii", "utf-16"].iter().any(|k| e.eq_ignore_ascii_case(k));
                    if !self.limits.forgiving && encoding.is_some_and(|e| !known(&e)) {
                        return Err(self.wrong("an encoding other than UTF-8 and UTF-16"));
                    }
                }
                Event::Start(start) => return self.element(&start),
                Event::Text(text) if is_blank(&text) => {}
                Event::Comment(_) | Event::PI(_) => {}
                Event::DocType(_) => return Err(XmlError::DocumentType),
                Event::Eof => return Err(XmlError::Empty),
                _ => return Err(self.wrong("text before the root element")),
            }
            first = false;
        }
    }

    /// After the root only blanks, comments and instructions may follow.
    fn epilogue(&mut self) -> Result<(), XmlError> {
        loop {
            let event = self.reader.read_event().map_err(|error| self.not_well_formed(&error))?;
            match event {
                Event::Eof => return Ok(()),
                Event::Text(text) if is_blank(&text) => {}
                Event::Comment(_) | Event::PI(_) => {}
                Event::DocType(_) => return Err(XmlError::DocumentType),
                _ => return Err(self.wrong("something after the root element")),
            }
        }
    }

    fn next_token(&mut self) -> Result<Token, XmlError> {
        let event = self.reader.read_event().map_err(|error| self.not_well_formed(&error))?;
        match event {
            Event::Start(start) => self.element(&start).map(Token::Start),
            Event::End(_) => Ok(Token::End),
            Event::Text(text) if self.limits.forgiving => self.checked(text.into_inner()).map(Token::Text),
            Event::Text(text) => self.checked(text.xml10_content()).map(Token::Text),
            Event::CData(text) if self.limits.forgiving => self.checked(text.into_inner()).map(Token::Text),
            Event::CData(text) => self.checked(text.xml10_content()).map(Token::Text),
            Event::GeneralRef(reference) => self.reference(&reference).map(Token::Text),
            Event::Comment(_) | Event::PI(_) => Ok(Token::Skip),
            Event::DocType(_) => Err(XmlError::DocumentType),
            Event::Decl(_) => Err(self.wrong("XML declaration not at the start")),
            Event::Empty(_) => Err(self.wrong("an empty element that was not expanded")),
            Event::Eof => Ok(Token::Eof),
        }
    }

    /// The five entities of XML and character references; no others exist without a document type.
    fn reference(&self, reference: &BytesRef<'_>) -> Result<String, XmlError> {
        if let Some(c) = reference.resolve_char_ref().map_err(|error| self.not_well_formed(&error))? {
            return self.checked(Cow::Owned(c.to_string()));
        }
        let text = match reference.xml10_content().as_ref() {
            "amp" => "&",
            "lt" => "<",
            "gt" => ">",
            "quot" => "\"",
            "apos" => "'",
            _ => return Err(self.wrong("an entity that is not declared")),
        };
        Ok(text.to_owned())
    }

    /// The text, if XML allows all of its characters; what it forbids is left out when forgiving.
    fn checked(&self, text: Cow<'_, str>) -> Result<String, XmlError> {
        if text.chars().all(name::is_xml_char) {
            return Ok(text.into_owned());
        }
        if self.limits.forgiving {
            return Ok(text.chars().filter(|c| name::is_xml_char(*c)).collect());
        }
        Err(self.wrong("a character that XML does not allow"))
    }

    fn element(&mut self, start: &BytesStart<'_>) -> Result<Element, XmlError> {
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(XmlError::OverLimit("elements"));
        }
        let (namespace, local) = self.reader.resolver().resolve_element(start.name());
        let namespace = namespace_text(&namespace).map(Cow::into_owned);
        let name = self.name(namespace, local.as_ref())?;
        let mut element = Element::new(name);
        for (number, attribute) in start.attributes().enumerate() {
            if number >= self.limits.attributes {
                return Err(XmlError::OverLimit("attributes"));
            }
            let attribute = attribute.map_err(|error| self.not_well_formed(&error))?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            if attribute.value.contains('<') {
                return Err(self.wrong("'<' in an attribute value"));
            }
            let (namespace, local) = self.reader.resolver().resolve_attribute(attribute.key);
            let namespace = namespace_text(&namespace).map(Cow::into_owned);
            let name = self.name(namespace, local.as_ref())?;
            let value =
                attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| self.not_well_formed(&error))?;
            let value = self.checked(value)?;
            if !element.push_attribute(Attribute { name, value }) {
                return Err(self.wrong("an attribute given twice"));
            }
        }
        Ok(element)
    }

    fn name(&mut self, namespace: Option<String>, local: &str) -> Result<QName, XmlError> {
        let Some(namespace) = namespace else {
            return Err(self.wrong("a prefix that is not declared"));
        };
        let known = self.namespaces.iter().find(|known| known.as_str() == namespace).cloned();
        let shared = match known {
            Some(shared) => shared,
            None if namespace.len() > name::MAX_NAMESPACE || !namespace.chars().all(name::is_xml_char) => {
                return Err(XmlError::OverLimit("namespace names"));
            }
            None => {
                let shared = Shared::of(&namespace);
                if self.namespaces.len() < MAX_SHARED {
                    self.namespaces.push(shared.clone());
                }
                shared
            }
        };
        QName::from_parts(shared, local).ok_or_else(|| self.wrong("a name that XML does not allow"))
    }

    fn wrong(&self, what: &str) -> XmlError {
        XmlError::NotWellFormed { at: self.reader.buffer_position(), what: what.to_owned() }
    }

    fn not_well_formed(&self, error: &dyn std::fmt::Display) -> XmlError {
        // The library's words can quote the document: keep them short.
        self.wrong(&error.to_string().chars().take(120).collect::<String>())
    }
}

impl std::fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("root", &self.root.name()).field("elements", &self.elements).finish()
    }
}

enum Token {
    Start(Element),
    End,
    Text(String),
    Skip,
    Eof,
}

/// The namespace's name; `None` if the prefix has no declaration, or one that is no text.
fn namespace_text<'n>(resolved: &ResolveResult<'n>) -> Option<Cow<'n, str>> {
    match resolved {
        ResolveResult::Bound(namespace) => unescape(namespace.0).ok(),
        ResolveResult::Unbound => Some(Cow::Borrowed("")),
        ResolveResult::Unknown(_) => None,
    }
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Beyond so many namespaces in one document sharing would cost more than it saves.
const MAX_SHARED: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(text: &[u8]) -> Result<Element, XmlError> {
        Element::parse(text, Limits::REQUEST)
    }

    #[test]
    fn hostile_documents_are_refused() {
        let not_well_formed: [&[u8]; 24] = [
            b"junk<a/>",
            b"<a/>junk",
            b"<a/><b/>",
            b"<a/>&amp;",
            b"<a b=1/>",
            b"<a b='1' b='2'/>",
            b"<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>",
            b"<a b='<'/>",
            b"<a>\x01</a>",
            b"<a>&#1;</a>",
            b"<a>&#0;</a>",
            b"<a>&#xFFFE;</a>",
            b"<a b='&#1;'/>",
            b"<a>&nbsp;</a>",
            b"<a b='&nbsp;'/>",
            b"<a>&</a>",
            b"<x:a/>",
            b"<a x:b='1'/>",
            b"<a:b:c xmlns:a='u'/>",
            b"<1/>",
            b"<a>\xff</a>",
            b"\xff\xfe<\0a\0/\0>",
            b"<?xml version='1.0' encoding='iso-8859-1'?><a/>",
            b"<a></b>",
        ];
        for text in not_well_formed {
            let shown = String::from_utf8_lossy(text);
            assert!(matches!(strict(text), Err(XmlError::NotWellFormed { .. })), "{shown}: {:?}", strict(text));
        }
        for doctype in [
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
            "<!DOCTYPE a [<!ENTITY x 'ha'><!ENTITY y '&x;&x;'>]><a>&y;</a>",
        ] {
            assert_eq!(strict(doctype.as_bytes()), Err(XmlError::DocumentType), "{doctype}");
        }
        for cut in ["<a>", "<a><b></b>", "<a>text"] {
            assert_eq!(strict(cut.as_bytes()), Err(XmlError::CutOff), "{cut}");
        }
        for empty in ["", "  ", "\u{feff}", "<!-- nothing -->"] {
            assert_eq!(strict(empty.as_bytes()), Err(XmlError::Empty), "{empty:?}");
        }
    }

    #[test]
    fn utf_16_is_read_in_both_orders() {
        let text = "\u{feff}<?xml version='1.0' encoding='UTF-16'?><a>\u{1f389}</a>";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for octets in [little, big] {
            assert_eq!(strict(&octets).unwrap().text(), "\u{1f389}");
        }
        let half_a_pair = b"\xff\xfe<\0a\0>\0\x3c\xd8<\0/\0a\0>\0";
        assert!(matches!(strict(half_a_pair), Err(XmlError::NotWellFormed { .. })));
    }

    #[test]
    fn depth_width_and_number_have_limits() {
        let deep = |n: usize| "<a>".repeat(n) + &"</a>".repeat(n);
        assert!(strict(deep(32).as_bytes()).is_ok());
        assert_eq!(strict(deep(33).as_bytes()), Err(XmlError::OverLimit("depth")));
        assert_eq!(strict("<a>".repeat(200_000).as_bytes()), Err(XmlError::OverLimit("depth")));
        let wide = |n: usize| (0..n).fold("<a".to_owned(), |text, i| text + &format!(" b{i}=''")) + "/>";
        assert!(strict(wide(64).as_bytes()).is_ok());
        assert_eq!(strict(wide(65).as_bytes()), Err(XmlError::OverLimit("attributes")));
        assert_eq!(strict(wide(80_000).as_bytes()), Err(XmlError::OverLimit("attributes")));
        let many = format!("<a>{}</a>", "<b/>".repeat(50_000));
        assert_eq!(strict(many.as_bytes()), Err(XmlError::OverLimit("elements")));
        let long = format!("<a>{}</a>", "x".repeat(1 << 20));
        assert_eq!(strict(long.as_bytes()), Err(XmlError::OverLimit("octets")));
        let namespace = format!("<a xmlns='{}'/>", "u".repeat(5000));
        assert_eq!(strict(namespace.as_bytes()), Err(XmlError::OverLimit("namespace names")));
        let declarations = (0..300).fold("<a".to_owned(), |text, i| text + &format!(" xmlns:n{i}='u'")) + "/>";
        assert!(strict(declarations.as_bytes()).is_err());
    }

    #[test]
    fn text_is_joined_from_all_its_forms() {
        let root = strict(
            b"<?xml version='1.0'?><!-- c --><a>one &amp; <![CDATA[<two>]]>&#x20;thr<!-- c -->ee\r\n</a>\n<!-- d -->",
        );
        assert_eq!(root.unwrap().text(), "one & <two> three\n");
    }

    #[test]
    fn answers_are_read_forgivingly() {
        let read = |text: &[u8]| Element::parse(text, Limits::ANSWER).map(|e| e.text().to_string());
        assert_eq!(read(b"\xef\xbb\xbf<a>x\x01y&#2;z\r\n</a>").unwrap(), "xyz\r\n");
        assert_eq!(read(b"<a>caf\xe9</a>").unwrap(), "caf\u{fffd}");
        assert_eq!(read(b"<!DOCTYPE html><html></html>"), Err(XmlError::DocumentType));
        assert_eq!(read(b"<html><body>"), Err(XmlError::CutOff));
        assert!(read(b"<a>&nbsp;</a>").is_err());
    }
}

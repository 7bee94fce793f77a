//! Values of properties on their way into an answer.

use bytes::Bytes;

use crate::dav::name::dav;
use crate::dav::{Element, Href, QName, Writer};

/// What stands inside a property's element.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing.
    Empty,
    /// Text.
    Text(String),
    /// Text that is calendar data.
    Octets(Bytes),
    /// One href for each.
    Hrefs(Vec<Href>),
    /// An empty element for each.
    Names(Vec<QName>),
    /// These elements.
    Elements(Vec<Element>),
}

impl Value {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// One href.
    pub fn href(href: Href) -> Self {
        Self::Hrefs(vec![href])
    }

    /// Writes what stands inside the element.
    pub fn write(&self, writer: &mut Writer) {
        match self {
            Self::Empty => {}
            Self::Text(text) => {
                writer.text(text);
            }
            Self::Octets(octets) => {
                writer.text(&String::from_utf8_lossy(octets));
            }
            Self::Hrefs(hrefs) => {
                for href in hrefs {
                    writer.href(href);
                }
            }
            Self::Names(names) => {
                for name in names {
                    writer.empty(name);
                }
            }
            Self::Elements(elements) => {
                for element in elements {
                    element.write_into(writer);
                }
            }
        }
    }
}

impl Value {
    /// The whole property as an element.
    pub fn element(self, name: QName) -> Element {
        match self {
            Self::Empty => Element::new(name),
            Self::Text(text) => Element::with_text(name, text),
            Self::Octets(octets) => Element::with_text(name, String::from_utf8_lossy(&octets)),
            Self::Hrefs(hrefs) => {
                let href = |href: Href| Element::with_text(dav::HREF, href.as_str());
                Element::with_children(name, hrefs.into_iter().map(href))
            }
            Self::Names(names) => Element::with_children(name, names.into_iter().map(Element::new)),
            Self::Elements(elements) => Element::with_children(name, elements),
        }
    }
}

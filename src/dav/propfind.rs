//! The body of PROPFIND (RFC 4918 9.1, 14.20), read and written.
//!
//! An empty body means all properties. Properties named twice are kept once, in the order of their first mention.

use bytes::Bytes;

use super::element::Element;
use super::name::{self, QName, ns::DAV};
use super::precondition::Malformed;
use super::writer::Writer;
use super::xml::Limits;

/// Which properties are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Propfind {
    /// Those that `allprop` shows, and these besides.
    All { include: Vec<QName> },
    /// Only the names of all.
    PropName,
    /// These.
    Prop(Vec<QName>),
}

impl Propfind {
    /// Reads a request body.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::All { include: Vec::new() });
        }
        let root = Element::parse(body, Limits::REQUEST)?;
        if root.name().pair() != (DAV, "propfind") {
            return Err(Malformed::Unexpected("the body of PROPFIND is DAV:propfind"));
        }
        Self::within(&root)?.ok_or(Malformed::Unexpected("DAV:propfind holds one of prop, allprop and propname"))
    }

    /// The choice of properties among the children of a report or a propfind, if there is one.
    pub(super) fn within(root: &Element) -> Result<Option<Self>, Malformed> {
        let mut found = None;
        let mut include = Vec::new();
        for child in root.children() {
            let choice = match child.name().pair() {
                (DAV, "prop") => Self::Prop(names(child)),
                (DAV, "propname") => Self::PropName,
                (DAV, "allprop") => Self::All { include: Vec::new() },
                (DAV, "include") => {
                    include.extend(names(child));
                    continue;
                }
                _ => continue,
            };
            if found.replace(choice).is_some() {
                return Err(Malformed::Unexpected("only one of DAV:prop, DAV:allprop and DAV:propname can be asked"));
            }
        }
        match found {
            Some(Self::All { .. }) => Ok(Some(Self::All { include })),
            _ if !include.is_empty() => Err(Malformed::Unexpected("DAV:include stands beside DAV:allprop only")),
            found => Ok(found),
        }
    }

    /// A request body.
    pub fn write(&self) -> Bytes {
        let root = QName::fixed(DAV, "propfind");
        let mut writer = Writer::document(&root);
        self.write_into(&mut writer);
        writer.end(&root);
        writer.finish()
    }

    /// The choice alone, inside another body.
    pub(super) fn write_into(&self, writer: &mut Writer) {
        match self {
            Self::PropName => {
                writer.empty(&QName::fixed(DAV, "propname"));
            }
            Self::Prop(names) => write_names(writer, &name::dav::PROP, names),
            Self::All { include } => {
                writer.empty(&name::dav::ALLPROP);
                if !include.is_empty() {
                    write_names(writer, &QName::fixed(DAV, "include"), include);
                }
            }
        }
    }
}

/// The names of the children, each once.
pub(super) fn names(element: &Element) -> Vec<QName> {
    let mut seen = std::collections::HashSet::new();
    element.children().map(Element::name).filter(|name| seen.insert(*name)).cloned().collect()
}

/// `<container><a/><b/></container>`
pub(super) fn write_names(writer: &mut Writer, container: &QName, names: &[QName]) {
    writer.start(container);
    for name in names {
        writer.empty(name);
    }
    writer.end(container);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_body_asks_for_all() {
        for body in ["", " \r\n"] {
            assert_eq!(Propfind::parse(body.as_bytes()), Ok(Propfind::All { include: Vec::new() }));
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let foreign = QName::new("http://owncloud.org/ns", "calendar-enabled").unwrap();
        for propfind in [
            Propfind::PropName,
            Propfind::All { include: Vec::new() },
            Propfind::All { include: vec![name::caldav::CALENDAR_DATA] },
            Propfind::Prop(vec![name::dav::GETETAG, name::apple::GETCTAG, foreign, QName::new("", "plain").unwrap()]),
            Propfind::Prop(Vec::new()),
        ] {
            assert_eq!(Propfind::parse(&propfind.write()), Ok(propfind));
        }
    }

    #[test]
    fn duplicates_are_asked_once_and_unknown_elements_are_passed_over() {
        let body = "<propfind xmlns='DAV:'><x xmlns='urn:x'/><prop><getetag/><owner/><getetag/></prop></propfind>";
        let expected = Propfind::Prop(vec![name::dav::GETETAG, name::dav::OWNER]);
        assert_eq!(Propfind::parse(body.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_no_propfind_is_refused() {
        for body in [
            "<propfind xmlns='DAV:'/>",
            "<propfind/>",
            "<prop xmlns='DAV:'/>",
            "<propfind xmlns='DAV:'><prop/><allprop/></propfind>",
            "<propfind xmlns='DAV:'><prop/><include><owner/></include></propfind>",
            "<propfind xmlns='DAV:'><prop>",
        ] {
            assert_eq!(Propfind::parse(body.as_bytes()).unwrap_err().status(), 400, "{body}");
        }
    }
}

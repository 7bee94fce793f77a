//! The bodies of MKCALENDAR (RFC 4791 5.3.1, 9.2) and extended MKCOL (RFC 5689), read and written.
//!
//! Both may be empty. Clients put `DAV:resourcetype` into MKCALENDAR too (`DAVx5`), so it is taken there as well.

use bytes::Bytes;

use super::element::Element;
use super::name::{
    self, QName,
    ns::{CALDAV, DAV},
};
use super::precondition::Malformed;
use super::proppatch::{set_properties, write_set};
use super::writer::Writer;
use super::xml::Limits;

/// A calendar to make, with the properties it shall have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MkCalendar {
    /// Without `DAV:resourcetype`, in document order.
    pub properties: Vec<Element>,
}

/// A collection to make, of the asked type, with the properties it shall have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedMkcol {
    /// What `DAV:resourcetype` holds; empty when it is not given, and then a plain collection is meant.
    pub resourcetype: Vec<QName>,
    /// Without `DAV:resourcetype`, in document order.
    pub properties: Vec<Element>,
}

impl MkCalendar {
    /// Reads a request body.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let properties = parse_set(body, (CALDAV, "mkcalendar"), "the body of MKCALENDAR is CALDAV:mkcalendar")?;
        Ok(Self { properties: properties.into_iter().filter(|p| !p.is(&name::dav::RESOURCETYPE)).collect() })
    }

    /// A request body.
    pub fn write(&self) -> Bytes {
        write_body(&QName::fixed(CALDAV, "mkcalendar"), &self.properties)
    }
}

impl ExtendedMkcol {
    /// Reads a request body.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let (types, properties): (Vec<_>, Vec<_>) = parse_set(body, (DAV, "mkcol"), "the body of MKCOL is DAV:mkcol")?
            .into_iter()
            .partition(|property| property.is(&name::dav::RESOURCETYPE));
        let resourcetype = types.last().map(|t| t.children().map(|c| c.name().clone()).collect()).unwrap_or_default();
        Ok(Self { resourcetype, properties })
    }

    /// Whether a calendar is asked for.
    pub fn is_calendar(&self) -> bool {
        self.resourcetype.contains(&name::caldav::CALENDAR)
    }

    /// A request body.
    pub fn write(&self) -> Bytes {
        let types = self.resourcetype.iter().cloned().map(Element::new);
        let mut properties = vec![Element::with_children(name::dav::RESOURCETYPE, types)];
        properties.extend(self.properties.iter().cloned());
        write_body(&QName::fixed(DAV, "mkcol"), &properties)
    }
}

fn parse_set(body: &[u8], root_name: (&str, &str), expected: &'static str) -> Result<Vec<Element>, Malformed> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    let root = Element::parse(body, Limits::REQUEST)?;
    if root.name().pair() != root_name {
        return Err(Malformed::Unexpected(expected));
    }
    let lang = root.lang().map(str::to_owned);
    let sets = root.into_children().filter(|child| child.name().pair() == (DAV, "set"));
    Ok(sets.flat_map(|set| set_properties(set, lang.as_deref()).collect::<Vec<_>>()).collect())
}

fn write_body(root: &QName, properties: &[Element]) -> Bytes {
    let mut writer = Writer::document(root);
    if !properties.is_empty() {
        write_set(&mut writer, properties);
    }
    writer.end(root);
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calendar_is_asked_for_in_both_ways() {
        let properties = vec![
            Element::with_text(name::dav::DISPLAYNAME, "Büro"),
            Element::with_text(name::apple::CALENDAR_ORDER, "3"),
            Element::new(QName::new("urn:x", "y").unwrap()),
        ];
        let plain = MkCalendar { properties: properties.clone() };
        assert_eq!(MkCalendar::parse(&plain.write()), Ok(plain));
        let extended = ExtendedMkcol { resourcetype: vec![name::dav::COLLECTION, name::caldav::CALENDAR], properties };
        assert_eq!(ExtendedMkcol::parse(&extended.write()), Ok(extended.clone()));
        assert!(extended.is_calendar());
    }

    #[test]
    fn davx5_says_the_type_in_mkcalendar_too() {
        let body = "<mkcalendar xmlns='urn:ietf:params:xml:ns:caldav' xmlns:d='DAV:'><d:set><d:prop>\
            <d:resourcetype><d:collection/><calendar/></d:resourcetype><calendar-timezone-id>Europe/Oslo</calendar-timezone-id>\
            </d:prop></d:set></mkcalendar>";
        let read = MkCalendar::parse(body.as_bytes()).unwrap();
        assert_eq!(read.properties.len(), 1);
        assert!(read.properties.iter().all(|p| p.is(&name::caldav::CALENDAR_TIMEZONE_ID)));
    }

    #[test]
    fn an_empty_body_is_allowed_and_another_root_is_not() {
        assert_eq!(MkCalendar::parse(b""), Ok(MkCalendar::default()));
        assert_eq!(ExtendedMkcol::parse(b" "), Ok(ExtendedMkcol::default()));
        assert!(MkCalendar::parse(b"<mkcol xmlns='DAV:'/>").is_err());
        assert!(ExtendedMkcol::parse(b"<mkcol/>").is_err());
    }
}

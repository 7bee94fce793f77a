//! `calendar-query` and `calendar-multiget` (RFC 4791 7.8, 7.9, 9.5 to 9.8; 7809 5.2 `timezone-id`).

use std::fmt;

use bytes::Bytes;

use super::super::element::Element;
use super::super::filter::{FILTER, parse_data, parse_filter, write_data, write_filter};
use super::super::href::Href;
use super::super::name::{self, QName, ns::CALDAV};
use super::super::precondition::{Malformed, Precondition};
use super::super::propfind::Propfind;
use super::super::writer::Writer;
use crate::ical::{CompFilter, DataRequest, Object};

/// What a report shall give of each resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The properties, `calendar-data` among them if it is asked for.
    pub properties: Propfind,
    /// Which part of the data; all of it by default.
    pub data: DataRequest,
}

/// `CALDAV:calendar-query`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarQuery {
    pub asked: Asked,
    pub filter: CompFilter,
    /// The zone of floating times and of days, if the client names one.
    pub zone: Option<QueryZone>,
}

/// The zone of a query.
#[derive(Clone, PartialEq, Eq)]
pub enum QueryZone {
    /// `CALDAV:timezone`: an iCalendar object with one VTIMEZONE.
    Text(String),
    /// `CALDAV:timezone-id`
    Id(String),
}

/// `CALDAV:calendar-multiget`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarMultiget {
    pub asked: Asked,
    /// In the client's spelling and order; may be relative to the request.
    pub hrefs: Vec<Href>,
}

impl Asked {
    /// These properties, and all of the data if `calendar-data` is among them.
    pub fn properties(names: Vec<QName>) -> Self {
        Self { properties: Propfind::Prop(names), data: DataRequest::default() }
    }

    pub(super) fn read(root: &Element) -> Result<Self, Malformed> {
        let properties = super::asked_or_nothing(root)?;
        let asked = root.child(&name::dav::PROP).and_then(|prop| prop.child(&name::caldav::CALENDAR_DATA));
        Ok(Self { properties, data: asked.map(parse_data).transpose()?.unwrap_or_default() })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        let Propfind::Prop(names) = &self.properties else { return self.properties.write_into(writer) };
        writer.start(&name::dav::PROP);
        for name in names {
            if *name == name::caldav::CALENDAR_DATA {
                write_data(writer, &self.data);
            } else {
                writer.empty(name);
            }
        }
        writer.end(&name::dav::PROP);
    }
}

impl CalendarQuery {
    pub(super) fn read(root: &Element) -> Result<Self, Malformed> {
        let filter = root.child(&FILTER).ok_or(Precondition::ValidFilter)?;
        Ok(Self { asked: Asked::read(root)?, filter: parse_filter(filter)?, zone: QueryZone::read(root)? })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        self.asked.write(writer);
        write_filter(writer, &self.filter);
        match &self.zone {
            Some(QueryZone::Text(text)) => writer.text_element(&TIMEZONE, text),
            Some(QueryZone::Id(id)) => writer.text_element(&TIMEZONE_ID, id),
            None => writer,
        };
    }
}

impl QueryZone {
    fn read(root: &Element) -> Result<Option<Self>, Malformed> {
        match (root.child(&TIMEZONE), root.child(&TIMEZONE_ID)) {
            (Some(_), Some(_)) => {
                Err(Malformed::Unexpected("only one of CALDAV:timezone and CALDAV:timezone-id can be given"))
            }
            (None, None) => Ok(None),
            (None, Some(id)) => Ok(Some(Self::Id(id.trimmed()))),
            (Some(text), None) => {
                let text = text.trimmed();
                let zones = Object::parse(Bytes::from(text.clone())).map(|object| object.timezones().count());
                if zones == Ok(1) { Ok(Some(Self::Text(text))) } else { Err(Precondition::ValidCalendarData.into()) }
            }
        }
    }
}

impl fmt::Debug for QueryZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} octets)", text.len()),
            Self::Id(id) => write!(f, "Id({} octets)", id.len()),
        }
    }
}

impl CalendarMultiget {
    pub(super) fn read(root: &Element) -> Result<Self, Malformed> {
        let hrefs = root.children().filter(|child| child.is(&name::dav::HREF));
        let hrefs: Result<Vec<_>, _> = hrefs.map(|href| Href::parse_answer(&href.text())).collect();
        let hrefs = hrefs.map_err(|_| Malformed::Unexpected("a DAV:href names no resource"))?;
        if hrefs.is_empty() {
            return Err(Malformed::Unexpected("CALDAV:calendar-multiget names no DAV:href"));
        }
        Ok(Self { asked: Asked::read(root)?, hrefs })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        self.asked.write(writer);
        for href in &self.hrefs {
            writer.href(href);
        }
    }
}

const TIMEZONE: QName = QName::fixed(CALDAV, "timezone");
const TIMEZONE_ID: QName = QName::fixed(CALDAV, "timezone-id");

#[cfg(test)]
mod tests {
    use super::super::Report;
    use super::*;

    fn query(inner: &str) -> Result<Report, Malformed> {
        let body = format!("<C:calendar-query xmlns='DAV:' xmlns:C='{CALDAV}'>{inner}</C:calendar-query>");
        Report::parse(body.as_bytes())
    }

    const FILTER_ALL: &str = "<C:filter><C:comp-filter name='VCALENDAR'/></C:filter>";

    #[test]
    fn a_query_may_name_its_zone() {
        let zone = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\nBEGIN:VTIMEZONE\nTZID:X\nBEGIN:STANDARD\nDTSTART:19700101T000000\n\
            TZOFFSETFROM:+0100\nTZOFFSETTO:+0100\nEND:STANDARD\nEND:VTIMEZONE\nEND:VCALENDAR\n";
        for given in
            [format!("<C:timezone>{zone}</C:timezone>"), "<C:timezone-id> Europe/Oslo </C:timezone-id>".to_owned()]
        {
            let read = query(&format!("<prop><getetag/></prop>{FILTER_ALL}{given}")).unwrap();
            assert!(matches!(&read, Report::CalendarQuery(query) if query.zone.is_some()));
            assert_eq!(Report::parse(&read.write()), Ok(read));
        }
        for bad in ["<C:timezone>nonsense</C:timezone>", "<C:timezone/>"] {
            let error = query(&format!("{FILTER_ALL}{bad}")).unwrap_err();
            assert_eq!(error.precondition(), Some(Precondition::ValidCalendarData), "{bad}");
        }
    }

    #[test]
    fn a_query_without_filter_is_refused_and_one_without_properties_is_not() {
        assert_eq!(query("<prop/>").unwrap_err().precondition(), Some(Precondition::ValidFilter));
        assert!(query(FILTER_ALL).is_ok());
        assert!(query(&format!("<allprop/>{FILTER_ALL}")).is_ok());
        assert_eq!(query(&format!("<allprop/><propname/>{FILTER_ALL}")).unwrap_err().status(), 400);
    }

    #[test]
    fn a_multiget_keeps_hrefs_in_order() {
        let body = format!(
            "<C:calendar-multiget xmlns='DAV:' xmlns:C='{CALDAV}'><prop><getetag/><C:calendar-data>\
            <C:expand start='20060101T000000Z' end='20070101T000000Z'/></C:calendar-data></prop>\
            <href>/cal/b%40x.ics</href><href>http://h/cal/a.ics</href><href>c.ics</href></C:calendar-multiget>"
        );
        let read = Report::parse(body.as_bytes()).unwrap();
        let Report::CalendarMultiget(multiget) = &read else { panic!("a multiget") };
        assert!(multiget.asked.data.expand.is_some());
        assert_eq!(multiget.hrefs.iter().map(|h| h.name().unwrap()).collect::<Vec<_>>(), ["b@x.ics", "a.ics", "c.ics"]);
        assert_eq!(Report::parse(&read.write()), Ok(read));
        let empty = format!("<C:calendar-multiget xmlns:C='{CALDAV}'/>");
        assert_eq!(Report::parse(empty.as_bytes()).unwrap_err().status(), 400);
    }
}

//! The bodies of REPORT, read by the name of their root and written for upstream servers.
//!
//! RFC 4791 7 (query, multiget, free-busy), 6578 3 (sync), 3253 3.8 (expand-property), 3744 9 (principals).
//! [`NAMES`] is the table from which `supported-report-set` is answered.

mod principal;
mod query;
mod sync;

use bytes::Bytes;

pub use principal::{
    ExpandProperty, Expanded, Matching, PrincipalMatch, PrincipalPropertySearch, PrincipalSearchProperty,
    PropertySearch, Test, TextKind, write_principal_search_property_set,
};
pub use query::{Asked, CalendarMultiget, CalendarQuery, QueryZone};
pub use sync::{SyncCollection, SyncLevel};

use super::element::Element;
use super::filter::{TIME_RANGE, parse_range, write_range};
use super::name::{
    QName,
    ns::{CALDAV, DAV},
};
use super::precondition::{Malformed, Precondition};
use super::propfind::Propfind;
use super::writer::Writer;
use super::xml::Limits;
use crate::ical::TimeRange;

/// A report, by its root element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    CalendarQuery(CalendarQuery),
    CalendarMultiget(CalendarMultiget),
    FreeBusyQuery(TimeRange),
    SyncCollection(SyncCollection),
    ExpandProperty(ExpandProperty),
    PrincipalPropertySearch(PrincipalPropertySearch),
    PrincipalSearchPropertySet,
    PrincipalMatch(PrincipalMatch),
    AclPrincipalPropSet(Propfind),
}

impl Report {
    /// Reads a request body. An unknown report is `supported-report`.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let root = Element::parse(body, Limits::REQUEST)?;
        match root.name().pair() {
            (CALDAV, "calendar-query") => CalendarQuery::read(&root).map(Self::CalendarQuery),
            (CALDAV, "calendar-multiget") => CalendarMultiget::read(&root).map(Self::CalendarMultiget),
            (CALDAV, "free-busy-query") => free_busy(&root).map(Self::FreeBusyQuery),
            (DAV, "sync-collection") => SyncCollection::read(&root).map(Self::SyncCollection),
            (DAV, "expand-property") => ExpandProperty::read(&root).map(Self::ExpandProperty),
            (DAV, "principal-property-search") => {
                PrincipalPropertySearch::read(&root).map(Self::PrincipalPropertySearch)
            }
            (DAV, "principal-search-property-set") => Ok(Self::PrincipalSearchPropertySet),
            (DAV, "principal-match") => PrincipalMatch::read(&root).map(Self::PrincipalMatch),
            (DAV, "acl-principal-prop-set") => asked_or_nothing(&root).map(Self::AclPrincipalPropSet),
            _ => Err(Precondition::SupportedReport.into()),
        }
    }

    /// The name of its root element.
    pub fn name(&self) -> QName {
        let [query, multiget, free_busy, sync, expand, search, search_set, matching, acl] = NAMES;
        match self {
            Self::CalendarQuery(_) => query,
            Self::CalendarMultiget(_) => multiget,
            Self::FreeBusyQuery(_) => free_busy,
            Self::SyncCollection(_) => sync,
            Self::ExpandProperty(_) => expand,
            Self::PrincipalPropertySearch(_) => search,
            Self::PrincipalSearchPropertySet => search_set,
            Self::PrincipalMatch(_) => matching,
            Self::AclPrincipalPropSet(_) => acl,
        }
    }

    /// A request body.
    pub fn write(&self) -> Bytes {
        let root = self.name();
        let mut writer = Writer::document(&root);
        match self {
            Self::CalendarQuery(query) => query.write(&mut writer),
            Self::CalendarMultiget(multiget) => multiget.write(&mut writer),
            Self::FreeBusyQuery(range) => write_range(&mut writer, &TIME_RANGE, range),
            Self::SyncCollection(sync) => sync.write(&mut writer),
            Self::ExpandProperty(expand) => expand.write(&mut writer),
            Self::PrincipalPropertySearch(search) => search.write(&mut writer),
            Self::PrincipalSearchPropertySet => {}
            Self::PrincipalMatch(matching) => matching.write(&mut writer),
            Self::AclPrincipalPropSet(asked) => asked.write_into(&mut writer),
        }
        writer.end(&root);
        writer.finish()
    }
}

/// Every report there is, in the order of [`Report`].
pub const NAMES: [QName; 9] = [
    QName::fixed(CALDAV, "calendar-query"),
    QName::fixed(CALDAV, "calendar-multiget"),
    QName::fixed(CALDAV, "free-busy-query"),
    QName::fixed(DAV, "sync-collection"),
    QName::fixed(DAV, "expand-property"),
    QName::fixed(DAV, "principal-property-search"),
    QName::fixed(DAV, "principal-search-property-set"),
    QName::fixed(DAV, "principal-match"),
    QName::fixed(DAV, "acl-principal-prop-set"),
];

fn free_busy(root: &Element) -> Result<TimeRange, Malformed> {
    let range = root.child(&TIME_RANGE).map(parse_range);
    // The RFC names no condition for this report: a plain 400.
    let bad = Malformed::Unexpected("CALDAV:free-busy-query holds one time-range in UTC");
    range.and_then(Result::ok).ok_or(bad)
}

fn asked_or_nothing(root: &Element) -> Result<Propfind, Malformed> {
    Ok(Propfind::within(root)?.unwrap_or(Propfind::Prop(Vec::new())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_report_is_not_supported() {
        for body in ["<x/>", "<calendar-query xmlns='DAV:'/>", "<version-tree xmlns='DAV:'/>"] {
            let error = Report::parse(body.as_bytes()).unwrap_err();
            assert_eq!(error.precondition(), Some(Precondition::SupportedReport), "{body}");
        }
        assert_eq!(Report::parse(b"").unwrap_err().status(), 400);
        let doctype = Report::parse(b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>").unwrap_err();
        assert_eq!(doctype.precondition(), Some(Precondition::NoExternalEntities));
    }

    #[test]
    fn free_busy_wants_a_range() {
        let body = |inner: &str| format!("<free-busy-query xmlns='{CALDAV}'>{inner}</free-busy-query>");
        let good = body("<time-range start='20060104T140000Z' end='20060105T220000Z'/>");
        let read = Report::parse(good.as_bytes()).unwrap();
        assert_eq!(Report::parse(&read.write()), Ok(read));
        for bad in ["", "<time-range/>", "<time-range start='x'/>"] {
            let error = Report::parse(body(bad).as_bytes()).unwrap_err();
            assert_eq!((error.status().as_u16(), error.precondition()), (400, None), "{bad}");
        }
    }
}

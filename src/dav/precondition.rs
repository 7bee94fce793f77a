//! The named conditions of the protocol, their elements and their status codes: the one table of them.
//!
//! RFC 4918 16, 3253 1.6, 3744, 4331, 4791 5.3 and 7, 5689 3.2, 6578 3.2, 6638 3.2, 7809 5, and WebDAV-Push.
//! A client finds the cause of a 403, 409, 423 or 507 by the element inside `DAV:error`.
//!
//! It never decides that a condition is violated; it only says it.

use bytes::Bytes;
use http::StatusCode;

use super::href::Href;
use super::name::{
    self, QName,
    ns::{CALDAV, DAV, PUSH},
};
use super::writer::Writer;
use super::xml::XmlError;

/// A violated condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    // RFC 4918
    CannotModifyProtectedProperty,
    LockTokenMatchesRequestUri,
    LockTokenSubmitted(Vec<Href>),
    NoConflictingLock(Vec<Href>),
    NoExternalEntities,
    PreservedLiveProperties,
    PropfindFiniteDepth,
    // RFC 3253
    ResourceMustBeNull,
    SupportedReport,
    // RFC 3744
    NeedPrivileges(Vec<(Href, QName)>),
    NumberOfMatchesWithinLimits,
    // RFC 4331
    QuotaNotExceeded,
    SufficientDiskSpace,
    // RFC 4791
    CalendarCollectionLocationOk,
    MaxAttendeesPerInstance,
    MaxDateTime,
    MaxInstances,
    MaxResourceSize,
    MinDateTime,
    NoUidConflict(Option<Href>),
    SupportedCalendarComponent,
    SupportedCalendarData,
    SupportedCollation,
    /// The filter's part that is not supported, if it can be named.
    SupportedFilter(Option<Unsupported>),
    ValidCalendarData,
    ValidCalendarObjectResource,
    ValidFilter,
    // RFC 5689
    ValidResourcetype,
    // RFC 6578
    SyncTraversalSupported,
    ValidSyncToken,
    // RFC 6638
    AllowedAttendeeSchedulingObjectChange,
    AllowedOrganizerSchedulingObjectChange,
    AttendeeAllowed,
    DefaultCalendarNeeded,
    OrganizerAllowed,
    RecipientPermissions,
    SameOrganizerInAllComponents,
    UniqueSchedulingObjectResource(Option<Href>),
    ValidOrganizer,
    ValidScheduleDefaultCalendarUrl,
    ValidSchedulingMessage,
    // RFC 7809
    ValidTimezone,
    // WebDAV-Push
    InvalidSubscription,
    NoSupportedTrigger,
    PushNotAvailable,
}

/// The part of a filter that the server can't apply (RFC 4791 7.8: the element is repeated in the error).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// A component, by name.
    Component(String),
    /// A property, by name.
    Property(String),
    /// A parameter, by name.
    Parameter(String),
}

impl Precondition {
    /// The element that names it.
    #[rustfmt::skip]
    pub fn element(&self) -> QName {
        let (ns, local) = match self {
            Self::CannotModifyProtectedProperty => (DAV, "cannot-modify-protected-property"),
            Self::LockTokenMatchesRequestUri => (DAV, "lock-token-matches-request-uri"),
            Self::LockTokenSubmitted(_) => (DAV, "lock-token-submitted"),
            Self::NoConflictingLock(_) => (DAV, "no-conflicting-lock"),
            Self::NoExternalEntities => (DAV, "no-external-entities"),
            Self::PreservedLiveProperties => (DAV, "preserved-live-properties"),
            Self::PropfindFiniteDepth => (DAV, "propfind-finite-depth"),
            Self::ResourceMustBeNull => (DAV, "resource-must-be-null"),
            Self::SupportedReport => (DAV, "supported-report"),
            Self::NeedPrivileges(_) => (DAV, "need-privileges"),
            Self::NumberOfMatchesWithinLimits => (DAV, "number-of-matches-within-limits"),
            Self::QuotaNotExceeded => (DAV, "quota-not-exceeded"),
            Self::SufficientDiskSpace => (DAV, "sufficient-disk-space"),
            Self::CalendarCollectionLocationOk => (CALDAV, "calendar-collection-location-ok"),
            Self::MaxAttendeesPerInstance => (CALDAV, "max-attendees-per-instance"),
            Self::MaxDateTime => (CALDAV, "max-date-time"),
            Self::MaxInstances => (CALDAV, "max-instances"),
            Self::MaxResourceSize => (CALDAV, "max-resource-size"),
            Self::MinDateTime => (CALDAV, "min-date-time"),
            Self::NoUidConflict(_) => (CALDAV, "no-uid-conflict"),
            Self::SupportedCalendarComponent => (CALDAV, "supported-calendar-component"),
            Self::SupportedCalendarData => (CALDAV, "supported-calendar-data"),
            Self::SupportedCollation => (CALDAV, "supported-collation"),
            Self::SupportedFilter(_) => (CALDAV, "supported-filter"),
            Self::ValidCalendarData => (CALDAV, "valid-calendar-data"),
            Self::ValidCalendarObjectResource => (CALDAV, "valid-calendar-object-resource"),
            Self::ValidFilter => (CALDAV, "valid-filter"),
            Self::ValidResourcetype => (DAV, "valid-resourcetype"),
            Self::SyncTraversalSupported => (DAV, "sync-traversal-supported"),
            Self::ValidSyncToken => (DAV, "valid-sync-token"),
            Self::AllowedAttendeeSchedulingObjectChange => (CALDAV, "allowed-attendee-scheduling-object-change"),
            Self::AllowedOrganizerSchedulingObjectChange => (CALDAV, "allowed-organizer-scheduling-object-change"),
            Self::AttendeeAllowed => (CALDAV, "attendee-allowed"),
            Self::DefaultCalendarNeeded => (CALDAV, "default-calendar-needed"),
            Self::OrganizerAllowed => (CALDAV, "organizer-allowed"),
            Self::RecipientPermissions => (CALDAV, "recipient-permissions"),
            Self::SameOrganizerInAllComponents => (CALDAV, "same-organizer-in-all-components"),
            Self::UniqueSchedulingObjectResource(_) => (CALDAV, "unique-scheduling-object-resource"),
            Self::ValidOrganizer => (CALDAV, "valid-organizer"),
            Self::ValidScheduleDefaultCalendarUrl => (CALDAV, "valid-schedule-default-calendar-URL"),
            Self::ValidSchedulingMessage => (CALDAV, "valid-scheduling-message"),
            Self::ValidTimezone => (CALDAV, "valid-timezone"),
            Self::InvalidSubscription => (PUSH, "invalid-subscription"),
            Self::NoSupportedTrigger => (PUSH, "no-supported-trigger"),
            Self::PushNotAvailable => (PUSH, "push-not-available"),
        };
        QName::fixed(ns, local)
    }

    /// The status that goes with it: 409 where the person can mend it and try again, 403 else (RFC 4918 16).
    pub fn status(&self) -> StatusCode {
        match self {
            Self::LockTokenSubmitted(_) | Self::NoConflictingLock(_) => StatusCode::LOCKED,
            Self::LockTokenMatchesRequestUri | Self::PreservedLiveProperties => StatusCode::CONFLICT,
            Self::NumberOfMatchesWithinLimits | Self::QuotaNotExceeded | Self::SufficientDiskSpace => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            _ => StatusCode::FORBIDDEN,
        }
    }

    /// A whole `DAV:error` document.
    pub fn body(&self) -> Bytes {
        let error = &name::dav::ERROR;
        let mut writer = Writer::document(error);
        self.write_inner(&mut writer);
        writer.end(error);
        writer.finish()
    }

    /// `<D:error>` with the element in it, inside another document.
    pub fn write_error(&self, writer: &mut Writer) {
        writer.start(&name::dav::ERROR);
        self.write_inner(writer);
        writer.end(&name::dav::ERROR);
    }

    /// Whether `name` is an element of an error that is this kind of condition.
    pub fn is_named(&self, name: &QName) -> bool {
        self.element() == *name
    }

    fn write_inner(&self, writer: &mut Writer) {
        let element = self.element();
        match self {
            Self::LockTokenSubmitted(hrefs) | Self::NoConflictingLock(hrefs) if !hrefs.is_empty() => {
                writer.start(&element);
                for href in hrefs {
                    writer.href(href);
                }
                writer.end(&element);
            }
            Self::NoUidConflict(Some(href)) | Self::UniqueSchedulingObjectResource(Some(href)) => {
                writer.start(&element).href(href).end(&element);
            }
            Self::NeedPrivileges(needs) if !needs.is_empty() => {
                writer.start(&element);
                for (href, privilege) in needs {
                    writer.start(&RESOURCE).href(href).start(&name::dav::PRIVILEGE).empty(privilege);
                    writer.end(&name::dav::PRIVILEGE).end(&RESOURCE);
                }
                writer.end(&element);
            }
            Self::SupportedFilter(Some(part)) => {
                let (filter, name) = match part {
                    Unsupported::Component(name) => ("comp-filter", name),
                    Unsupported::Property(name) => ("prop-filter", name),
                    Unsupported::Parameter(name) => ("param-filter", name),
                };
                writer.start(&element);
                writer.empty_with(&QName::fixed(CALDAV, filter), &[("name", name)]).end(&element);
            }
            _ => {
                writer.empty(&element);
            }
        }
    }
}

/// A request body that can't be acted on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not XML, or more of it than we read.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// XML, but not what this method takes; says what was expected.
    #[error("{0}")]
    Unexpected(&'static str),
    /// A named condition is violated.
    #[error("violates {}", .0.element())]
    Refused(Precondition),
}

impl Malformed {
    /// 400, 413, or what the condition says.
    pub fn status(&self) -> StatusCode {
        match (self.precondition(), self) {
            (Some(precondition), _) => precondition.status(),
            (None, Self::Xml(XmlError::OverLimit(_))) => StatusCode::PAYLOAD_TOO_LARGE,
            (None, _) => StatusCode::BAD_REQUEST,
        }
    }

    /// The condition to name in the body, if there is one.
    pub fn precondition(&self) -> Option<Precondition> {
        match self {
            Self::Refused(precondition) => Some(precondition.clone()),
            Self::Xml(XmlError::DocumentType) => Some(Precondition::NoExternalEntities),
            _ => None,
        }
    }
}

impl From<Precondition> for Malformed {
    fn from(precondition: Precondition) -> Self {
        Self::Refused(precondition)
    }
}

const RESOURCE: QName = QName::fixed(DAV, "resource");

#[cfg(test)]
mod tests {
    use super::super::element::Element;
    use super::super::xml::Limits;
    use super::*;

    #[test]
    fn the_body_names_the_condition_and_what_it_is_about() {
        let href = Href::parse("/dav/calendars/ana@x/unified/a.ics").unwrap();
        let table = [
            (Precondition::ValidSyncToken, 403, "<D:error><D:valid-sync-token/></D:error>"),
            (Precondition::NumberOfMatchesWithinLimits, 507, "<D:error><D:number-of-matches-within-limits/></D:error>"),
            (
                Precondition::NoUidConflict(Some(href.canonical())),
                403,
                "<D:error><C:no-uid-conflict><D:href>/dav/calendars/ana%40x/unified/a.ics</D:href></C:no-uid-conflict></D:error>",
            ),
            (
                Precondition::NeedPrivileges(vec![(Href::collection(["a"]), name::dav::BIND)]),
                403,
                "<D:error><D:need-privileges><D:resource><D:href>/a/</D:href><D:privilege><D:bind/></D:privilege>\
                 </D:resource></D:need-privileges></D:error>",
            ),
            (
                Precondition::SupportedFilter(Some(Unsupported::Property("X-A\"B".to_owned()))),
                403,
                "<D:error><C:supported-filter><C:prop-filter name=\"X-A&quot;B\"/></C:supported-filter></D:error>",
            ),
            (Precondition::LockTokenSubmitted(Vec::new()), 423, "<D:error><D:lock-token-submitted/></D:error>"),
        ];
        for (precondition, status, xml) in table {
            assert_eq!(precondition.status().as_u16(), status);
            let mut writer = Writer::new();
            precondition.write_error(&mut writer);
            assert_eq!(writer.finish(), xml);
            let body = Element::parse(&precondition.body(), Limits::REQUEST).unwrap();
            assert!(body.is(&name::dav::ERROR));
            assert!(precondition.is_named(body.children().next().unwrap().name()));
        }
    }

    #[test]
    fn malformed_says_its_status() {
        assert_eq!(Malformed::Xml(XmlError::CutOff).status(), 400);
        assert_eq!(Malformed::Xml(XmlError::OverLimit("depth")).status(), 413);
        let doctype = Malformed::Xml(XmlError::DocumentType);
        assert_eq!((doctype.status().as_u16(), doctype.precondition()), (403, Some(Precondition::NoExternalEntities)));
        assert_eq!(Malformed::from(Precondition::ValidFilter).status(), 403);
    }
}

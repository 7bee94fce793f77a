//! Qualified names: a namespace and a local name, and the ones that the protocol knows (XML Namespaces 1.0).
//!
//! Invariant: a [`QName`] can always be written as XML: its local name is an `NCName`, its namespace has no character
//! that XML forbids. Names read from one document share their namespaces, so that a long namespace costs once.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The namespaces that the program writes.
pub mod ns {
    /// RFC 4918 and its family.
    pub const DAV: &str = "DAV:";
    /// RFC 4791, 6638, 7809.
    pub const CALDAV: &str = "urn:ietf:params:xml:ns:caldav";
    /// Apple's calendar server extensions: `getctag`, sharing, proxies.
    pub const CS: &str = "http://calendarserver.org/ns/";
    /// Apple's iCal: `calendar-color`, `calendar-order`.
    pub const ICAL: &str = "http://apple.com/ns/ical/";
    /// WebDAV-Push, the bitfireAT draft.
    pub const PUSH: &str = "https://bitfire.at/webdav-push";
    /// `xml:lang` and its siblings.
    pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
}

/// A namespace and a local name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QName {
    ns: Shared,
    local: Shared,
}

impl QName {
    /// A name known when the program was written.
    pub const fn fixed(ns: &'static str, local: &'static str) -> Self {
        Self { ns: Shared::Fixed(ns), local: Shared::Fixed(local) }
    }

    /// A name from outside, if XML can carry it.
    pub fn new(ns: &str, local: &str) -> Option<Self> {
        let allowed = ns.len() <= MAX_NAMESPACE && ns.chars().all(is_xml_char) && is_ncname(local);
        allowed.then(|| Self { ns: Shared::of(ns), local: Shared::of(local) })
    }

    /// The namespace; empty for none.
    pub fn ns(&self) -> &str {
        self.ns.as_str()
    }

    /// The local name.
    pub fn local(&self) -> &str {
        self.local.as_str()
    }

    /// Both, for `match`.
    pub fn pair(&self) -> (&str, &str) {
        (self.ns(), self.local())
    }

    /// The same, with the namespace's text shared with other names of one document.
    pub(super) fn from_parts(ns: Shared, local: &str) -> Option<Self> {
        is_ncname(local).then(|| Self { ns, local: Shared::of(local) })
    }
}

impl fmt::Debug for QName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}{}", self.ns(), self.local())
    }
}

impl fmt::Display for QName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Text that is either part of the program or shared by all who hold it.
#[derive(Clone)]
pub(super) enum Shared {
    Fixed(&'static str),
    Read(Arc<str>),
}

impl Shared {
    /// The fixed spelling if there is one, else a copy.
    pub(super) fn of(text: &str) -> Self {
        match KNOWN.iter().find(|known| **known == text) {
            Some(known) => Self::Fixed(known),
            None => Self::Read(Arc::from(text)),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Read(text) => text,
        }
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Shared {}

impl Hash for Shared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for Shared {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Shared {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

/// Whether `text` may be the local part of a name (XML Namespaces 1.0, 3; the letters beyond ASCII are not told apart).
pub(super) fn is_ncname(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || is_name_char_beyond_ascii(c));
    let rest = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c) || is_name_char_beyond_ascii(c);
    first && text.len() <= MAX_LOCAL && chars.all(rest)
}

/// Whether XML 1.0 (2.2) can carry the character at all.
pub(super) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn is_name_char_beyond_ascii(c: char) -> bool {
    !c.is_ascii() && !c.is_whitespace() && !c.is_control() && is_xml_char(c)
}

/// Longer ones are no names but attacks.
pub(super) const MAX_NAMESPACE: usize = 1024;
const MAX_LOCAL: usize = 1024;

/// Texts that nearly every document holds, so that reading one costs no copy.
const KNOWN: [&str; 18] = [
    ns::DAV,
    ns::CALDAV,
    "href",
    "response",
    "propstat",
    "prop",
    "status",
    "getetag",
    "calendar-data",
    ns::CS,
    ns::ICAL,
    ns::XML,
    "",
    "collection",
    "resourcetype",
    "getcontenttype",
    "displayname",
    ns::PUSH,
];

/// Names in `DAV:`.
pub mod dav {
    use super::{QName, ns::DAV};

    pub const ACL: QName = QName::fixed(DAV, "acl");
    pub const ACL_RESTRICTIONS: QName = QName::fixed(DAV, "acl-restrictions");
    pub const ALL: QName = QName::fixed(DAV, "all");
    pub const ALLPROP: QName = QName::fixed(DAV, "allprop");
    pub const ALTERNATE_URI_SET: QName = QName::fixed(DAV, "alternate-URI-set");
    pub const BIND: QName = QName::fixed(DAV, "bind");
    pub const COLLECTION: QName = QName::fixed(DAV, "collection");
    pub const CREATIONDATE: QName = QName::fixed(DAV, "creationdate");
    pub const CURRENT_USER_PRINCIPAL: QName = QName::fixed(DAV, "current-user-principal");
    pub const CURRENT_USER_PRIVILEGE_SET: QName = QName::fixed(DAV, "current-user-privilege-set");
    pub const DISPLAYNAME: QName = QName::fixed(DAV, "displayname");
    pub const ERROR: QName = QName::fixed(DAV, "error");
    pub const GETCONTENTLANGUAGE: QName = QName::fixed(DAV, "getcontentlanguage");
    pub const GETCONTENTLENGTH: QName = QName::fixed(DAV, "getcontentlength");
    pub const GETCONTENTTYPE: QName = QName::fixed(DAV, "getcontenttype");
    pub const GETETAG: QName = QName::fixed(DAV, "getetag");
    pub const GETLASTMODIFIED: QName = QName::fixed(DAV, "getlastmodified");
    pub const GROUP_MEMBERSHIP: QName = QName::fixed(DAV, "group-membership");
    pub const GROUP_MEMBER_SET: QName = QName::fixed(DAV, "group-member-set");
    pub const HREF: QName = QName::fixed(DAV, "href");
    pub const INHERITED_ACL_SET: QName = QName::fixed(DAV, "inherited-acl-set");
    pub const LOCKDISCOVERY: QName = QName::fixed(DAV, "lockdiscovery");
    pub const MULTISTATUS: QName = QName::fixed(DAV, "multistatus");
    pub const OWNER: QName = QName::fixed(DAV, "owner");
    pub const PRINCIPAL: QName = QName::fixed(DAV, "principal");
    pub const PRINCIPAL_COLLECTION_SET: QName = QName::fixed(DAV, "principal-collection-set");
    pub const PRINCIPAL_URL: QName = QName::fixed(DAV, "principal-URL");
    pub const PRIVILEGE: QName = QName::fixed(DAV, "privilege");
    pub const PROP: QName = QName::fixed(DAV, "prop");
    pub const PROPSTAT: QName = QName::fixed(DAV, "propstat");
    pub const QUOTA_AVAILABLE_BYTES: QName = QName::fixed(DAV, "quota-available-bytes");
    pub const QUOTA_USED_BYTES: QName = QName::fixed(DAV, "quota-used-bytes");
    pub const READ: QName = QName::fixed(DAV, "read");
    pub const READ_ACL: QName = QName::fixed(DAV, "read-acl");
    pub const READ_CURRENT_USER_PRIVILEGE_SET: QName = QName::fixed(DAV, "read-current-user-privilege-set");
    pub const REPORT: QName = QName::fixed(DAV, "report");
    pub const RESOURCETYPE: QName = QName::fixed(DAV, "resourcetype");
    pub const RESPONSE: QName = QName::fixed(DAV, "response");
    pub const RESPONSEDESCRIPTION: QName = QName::fixed(DAV, "responsedescription");
    pub const STATUS: QName = QName::fixed(DAV, "status");
    pub const SUPPORTEDLOCK: QName = QName::fixed(DAV, "supportedlock");
    pub const SUPPORTED_PRIVILEGE: QName = QName::fixed(DAV, "supported-privilege");
    pub const SUPPORTED_PRIVILEGE_SET: QName = QName::fixed(DAV, "supported-privilege-set");
    pub const SUPPORTED_REPORT: QName = QName::fixed(DAV, "supported-report");
    pub const SUPPORTED_REPORT_SET: QName = QName::fixed(DAV, "supported-report-set");
    pub const SYNC_TOKEN: QName = QName::fixed(DAV, "sync-token");
    pub const UNBIND: QName = QName::fixed(DAV, "unbind");
    pub const UNLOCK: QName = QName::fixed(DAV, "unlock");
    pub const WRITE: QName = QName::fixed(DAV, "write");
    pub const MKCOL_RESPONSE: QName = QName::fixed(DAV, "mkcol-response");
    pub const WRITE_ACL: QName = QName::fixed(DAV, "write-acl");
    pub const WRITE_CONTENT: QName = QName::fixed(DAV, "write-content");
    pub const WRITE_PROPERTIES: QName = QName::fixed(DAV, "write-properties");
}

/// Names in the CalDAV namespace.
pub mod caldav {
    use super::{QName, ns::CALDAV};

    pub const CALENDAR: QName = QName::fixed(CALDAV, "calendar");
    pub const CALENDAR_DATA: QName = QName::fixed(CALDAV, "calendar-data");
    pub const CALENDAR_DESCRIPTION: QName = QName::fixed(CALDAV, "calendar-description");
    pub const CALENDAR_FREE_BUSY_SET: QName = QName::fixed(CALDAV, "calendar-free-busy-set");
    pub const CALENDAR_HOME_SET: QName = QName::fixed(CALDAV, "calendar-home-set");
    pub const CALENDAR_TIMEZONE: QName = QName::fixed(CALDAV, "calendar-timezone");
    pub const CALENDAR_TIMEZONE_ID: QName = QName::fixed(CALDAV, "calendar-timezone-id");
    pub const CALENDAR_USER_ADDRESS_SET: QName = QName::fixed(CALDAV, "calendar-user-address-set");
    pub const CALENDAR_USER_TYPE: QName = QName::fixed(CALDAV, "calendar-user-type");
    pub const COMP: QName = QName::fixed(CALDAV, "comp");
    pub const MAX_ATTENDEES_PER_INSTANCE: QName = QName::fixed(CALDAV, "max-attendees-per-instance");
    pub const MAX_DATE_TIME: QName = QName::fixed(CALDAV, "max-date-time");
    pub const MAX_INSTANCES: QName = QName::fixed(CALDAV, "max-instances");
    pub const MAX_RESOURCE_SIZE: QName = QName::fixed(CALDAV, "max-resource-size");
    pub const MIN_DATE_TIME: QName = QName::fixed(CALDAV, "min-date-time");
    pub const MKCALENDAR_RESPONSE: QName = QName::fixed(CALDAV, "mkcalendar-response");
    pub const READ_FREE_BUSY: QName = QName::fixed(CALDAV, "read-free-busy");
    pub const SCHEDULE_CALENDAR_TRANSP: QName = QName::fixed(CALDAV, "schedule-calendar-transp");
    pub const SCHEDULE_DEFAULT_CALENDAR_URL: QName = QName::fixed(CALDAV, "schedule-default-calendar-URL");
    pub const SCHEDULE_INBOX: QName = QName::fixed(CALDAV, "schedule-inbox");
    pub const SCHEDULE_INBOX_URL: QName = QName::fixed(CALDAV, "schedule-inbox-URL");
    pub const SCHEDULE_OUTBOX: QName = QName::fixed(CALDAV, "schedule-outbox");
    pub const SCHEDULE_OUTBOX_URL: QName = QName::fixed(CALDAV, "schedule-outbox-URL");
    pub const SCHEDULE_TAG: QName = QName::fixed(CALDAV, "schedule-tag");
    pub const SUPPORTED_CALENDAR_COMPONENT_SET: QName = QName::fixed(CALDAV, "supported-calendar-component-set");
    pub const SUPPORTED_CALENDAR_DATA: QName = QName::fixed(CALDAV, "supported-calendar-data");
    pub const SUPPORTED_COLLATION: QName = QName::fixed(CALDAV, "supported-collation");
    pub const SUPPORTED_COLLATION_SET: QName = QName::fixed(CALDAV, "supported-collation-set");
    pub const TIMEZONE_SERVICE_SET: QName = QName::fixed(CALDAV, "timezone-service-set");
}

/// Names of Apple's two namespaces.
pub mod apple {
    use super::{
        QName,
        ns::{CS, ICAL},
    };

    pub const CALENDAR_COLOR: QName = QName::fixed(ICAL, "calendar-color");
    pub const CALENDAR_ORDER: QName = QName::fixed(ICAL, "calendar-order");
    pub const CALENDAR_PROXY_READ_FOR: QName = QName::fixed(CS, "calendar-proxy-read-for");
    pub const CALENDAR_PROXY_WRITE_FOR: QName = QName::fixed(CS, "calendar-proxy-write-for");
    pub const EMAIL_ADDRESS_SET: QName = QName::fixed(CS, "email-address-set");
    pub const GETCTAG: QName = QName::fixed(CS, "getctag");
    pub const SOURCE: QName = QName::fixed(CS, "source");
    pub const SUBSCRIBED: QName = QName::fixed(CS, "subscribed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_xml_can_carry_is_a_name() {
        for good in ["a", "_x", "calendar-color", "größe", "a.b-c_d1"] {
            assert!(QName::new("urn:x", good).is_some(), "{good}");
        }
        for bad in ["", "1a", "a:b", "a b", "-a", "a>", "a\u{1}", "a\u{a0}b", &"x".repeat(2000)] {
            assert!(QName::new("urn:x", bad).is_none(), "{bad:?}");
        }
        assert!(QName::new("urn:\u{1}", "a").is_none());
        assert!(QName::new(&"x".repeat(5000), "a").is_none());
    }

    #[test]
    fn a_read_name_equals_the_fixed_one() {
        let read = QName::new("DAV:", "sync-token").unwrap();
        assert_eq!(read, dav::SYNC_TOKEN);
        assert_eq!(read.pair(), (ns::DAV, "sync-token"));
        assert_ne!(read, QName::new("", "sync-token").unwrap());
    }
}

//! The requests that a CalDAV client makes and what their answers say, without sending anything.
//!
//! RFC 4791 (calendars), 6578 (sync), 6764 5 (service discovery), 5397 (current-user-principal). Properties are
//! always asked for by name, since `allprop` leaves out what matters (iCloud), and `DAV:limit` is never sent,
//! since half of the servers cut the list and lose the rest.
//! Invariant: a listing is read from a whole 207 multistatus or not at all.

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use url::Url;

use super::fault::{Aim, fault};
use super::place::{resolve, same_resource};
use super::session::{Ask, Reply};
use crate::dav::name::{apple, caldav, dav, ns};
use crate::dav::{Element, Limits, Multistatus, Propfind, QName, Response, Writer};
use crate::ical::ComponentKind;
use crate::provider::Fault;

/// Asks what `url` is, and where the person's own things are.
pub(super) fn probe(url: &Url) -> Ask {
    let names = [
        dav::RESOURCETYPE,
        dav::CURRENT_USER_PRINCIPAL,
        dav::PRINCIPAL_URL,
        caldav::CALENDAR_HOME_SET,
        dav::DISPLAYNAME,
    ];
    propfind(url, "0", names.to_vec())
}

/// Asks for the calendars in a home (`"1"`), or about one calendar (`"0"`).
pub(super) fn calendars(url: &Url, depth: &str) -> Ask {
    let names = [
        dav::RESOURCETYPE,
        dav::DISPLAYNAME,
        caldav::CALENDAR_DESCRIPTION,
        caldav::SUPPORTED_CALENDAR_COMPONENT_SET,
        dav::CURRENT_USER_PRIVILEGE_SET,
        apple::CALENDAR_COLOR,
    ];
    propfind(url, depth, names.to_vec())
}

/// Asks for the collection tag: it changes whenever anything in the calendar does.
pub(super) fn ctag(url: &Url) -> Ask {
    propfind(url, "0", vec![dav::RESOURCETYPE, apple::GETCTAG])
}

/// Asks for every member's entity tag.
pub(super) fn etags(url: &Url) -> Ask {
    propfind(url, "1", vec![dav::GETETAG, dav::RESOURCETYPE])
}

/// Asks for every member's entity tag by a query, for servers that list no folder: of all members, or of
/// those of one component for servers that want one named.
pub(super) fn etags_by_query(url: &Url, component: Option<&str>) -> Ask {
    let (query, filter, comp) = (caldav_name("calendar-query"), caldav_name("filter"), caldav_name("comp-filter"));
    let mut writer = Writer::document(&query);
    prop(&mut writer, &[dav::GETETAG]);
    writer.start(&filter).start_with(&comp, &[("name", "VCALENDAR")]);
    if let Some(name) = component {
        writer.empty_with(&comp, &[("name", name)]);
    }
    writer.end(&comp).end(&filter).end(&query);
    Ask::dav("REPORT", url).depth("1").xml(writer.finish())
}

/// Asks what changed since `token`; an empty token asks for everything.
pub(super) fn sync(url: &Url, depth: &str, token: &str) -> Ask {
    let sync = QName::fixed(ns::DAV, "sync-collection");
    let mut writer = Writer::document(&sync);
    writer.text_element(&dav::SYNC_TOKEN, token);
    writer.text_element(&QName::fixed(ns::DAV, "sync-level"), "1");
    prop(&mut writer, &[dav::GETETAG]);
    writer.end(&sync);
    Ask::dav("REPORT", url).depth(depth).xml(writer.finish())
}

/// Asks for the content of `members`.
pub(super) fn multiget<'a>(url: &Url, members: impl IntoIterator<Item = &'a Url>) -> Ask {
    let multiget = caldav_name("calendar-multiget");
    let mut writer = Writer::document(&multiget);
    prop(&mut writer, &[dav::GETETAG, caldav::CALENDAR_DATA]);
    for member in members {
        let path = if member.origin() == url.origin() { member.path() } else { member.as_str() };
        writer.text_element(&dav::HREF, path);
    }
    writer.end(&multiget);
    Ask::dav("REPORT", url).depth("1").xml(writer.finish())
}

fn propfind(url: &Url, depth: &str, names: Vec<QName>) -> Ask {
    Ask::dav("PROPFIND", url).depth(depth).xml(Propfind::Prop(names).write())
}

fn prop(writer: &mut Writer, names: &[QName]) {
    writer.start(&dav::PROP);
    for name in names {
        writer.empty(name);
    }
    writer.end(&dav::PROP);
}

fn caldav_name(local: &'static str) -> QName {
    QName::fixed(ns::CALDAV, local)
}

/// A multistatus with its hrefs made absolute.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) members: Vec<Listed>,
    pub(super) sync_token: Option<String>,
    /// Something in it could not be read: absence proves nothing.
    pub(super) patchy: bool,
}

/// One resource of a multistatus.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) url: Url,
    pub(super) response: Response,
}

impl Listing {
    /// Reads a 207 to its end. Any other status has its fault; any other content is garbled.
    pub(super) fn read(reply: &Reply, aim: Aim, now: Timestamp) -> Result<Self, Fault> {
        if reply.status != StatusCode::MULTI_STATUS {
            return Err(fault(reply, aim, now));
        }
        let whole = Multistatus::parse(&reply.body)
            .map_err(|e| Fault::Garbled(format!("the server's answer can't be read: {e}")))?;
        let mut patchy = whole.unreadable > 0;
        let mut members = Vec::with_capacity(whole.responses.len());
        for response in whole.responses {
            for href in &response.hrefs {
                match resolve(&reply.url, href.as_str()) {
                    Some(url) => members.push(Listed { url, response: response.clone() }),
                    None => patchy = true,
                }
            }
        }
        Ok(Self { members, sync_token: whole.sync_token, patchy })
    }

    /// What it says about `url`.
    pub(super) fn about(&self, url: &Url) -> Option<&Listed> {
        self.members.iter().find(|member| same_resource(&member.url, url))
    }
}

impl Listed {
    /// Whether its type names `name`.
    pub(super) fn is_a(&self, name: &QName) -> bool {
        self.response.property(&dav::RESOURCETYPE).is_some_and(|kind| kind.child(name).is_some())
    }

    /// Whether it is a calendar that holds events or tasks of its own.
    pub(super) fn is_calendar(&self) -> bool {
        let kinds = self.response.property(&dav::RESOURCETYPE);
        let excluded = kinds.is_some_and(|kinds| {
            kinds.children().any(|kind| {
                // Subscriptions hold nothing; Nextcloud keeps deleted calendars in sight.
                kind.is(&apple::SUBSCRIBED) || matches!(kind.name().local(), "deleted-calendar" | "trash-bin")
            })
        });
        self.is_a(&caldav::CALENDAR)
            && !excluded
            && !self.is_a(&caldav::SCHEDULE_INBOX)
            && !self.is_a(&caldav::SCHEDULE_OUTBOX)
    }

    /// The URLs in a property, resolved against the answer's own URL.
    pub(super) fn urls(&self, base: &Url, name: &QName) -> Vec<Url> {
        self.response.hrefs_in(name).iter().filter_map(|href| resolve(base, href.as_str())).collect()
    }

    /// What it may hold. A calendar that doesn't say takes everything (RFC 4791 5.2.3).
    pub(super) fn components(&self) -> Vec<ComponentKind> {
        let Some(set) = self.response.property(&caldav::SUPPORTED_CALENDAR_COMPONENT_SET) else {
            return vec![ComponentKind::Event, ComponentKind::Todo, ComponentKind::Journal];
        };
        set.children()
            .filter(|comp| comp.is(&caldav::COMP))
            .filter_map(|comp| comp.attribute("name"))
            .map(ComponentKind::named)
            .filter(|kind| matches!(kind, ComponentKind::Event | ComponentKind::Todo | ComponentKind::Journal))
            .collect()
    }

    /// Whether the server says that we may write nothing here (RFC 3744 5.4). Saying nothing forbids nothing.
    pub(super) fn is_read_only(&self) -> bool {
        let Some(set) = self.response.property(&dav::CURRENT_USER_PRIVILEGE_SET) else { return false };
        let mut privileges = set.children().flat_map(Element::children).peekable();
        privileges.peek().is_some()
            && !privileges.any(|p| [&dav::ALL, &dav::WRITE, &dav::WRITE_CONTENT].contains(&p.name()))
    }

    /// A text property, if it says anything.
    pub(super) fn text(&self, name: &QName) -> Option<String> {
        self.response.text(name)
    }
}

/// The local name of the condition that an error body names first (RFC 4918 16).
pub(super) fn precondition(reply: &Reply) -> Option<String> {
    let error = error_of(reply)?;
    error.children().next().map(|condition| condition.name().local().to_owned())
}

/// Whether the error body names this condition.
pub(super) fn names_condition(reply: &Reply, local: &str) -> bool {
    error_of(reply).is_some_and(|error| error.children().any(|condition| condition.name().local() == local))
}

/// Who has the UID of an object that was refused for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Known(Url),
    Unknown,
}

/// If the error says that the UID is taken (RFC 4791 5.3.2.1, RFC 6638 3.2.4.1): by whom, where it says so.
pub(super) fn uid_conflict(reply: &Reply) -> Option<Holder> {
    let error = error_of(reply)?;
    let taken = ["no-uid-conflict", "unique-scheduling-object-resource"];
    let condition = error.children().find(|condition| taken.contains(&condition.name().local()))?;
    let url = condition.child(&dav::HREF).and_then(|href| resolve(&reply.url, &href.trimmed()));
    Some(url.map_or(Holder::Unknown, Holder::Known))
}

/// Whether the body begins as a WebDAV error and does not end as one.
pub(super) fn is_cut(reply: &Reply) -> bool {
    let speaks_dav = reply.body.starts_with(b"<") && reply.body.windows(4).any(|part| part == b"DAV:");
    speaks_dav && reply.body.len() <= ERROR_BODY && Element::parse(&reply.body, Limits::ANSWER).is_err()
}

fn error_of(reply: &Reply) -> Option<Element> {
    if reply.body.len() > ERROR_BODY {
        return None;
    }
    Element::parse(&reply.body, Limits::ANSWER).ok().filter(|root| root.is(&dav::ERROR))
}

/// The content of an object in an answer, as octets.
pub(super) fn calendar_data(member: &Listed) -> Option<Bytes> {
    let data = member.response.property(&caldav::CALENDAR_DATA)?.text();
    // A byte order mark inside the XML, and blank lines around: seen, and no part of the object.
    let data = data.trim_start_matches('\u{feff}').trim_start();
    (!data.is_empty()).then(|| Bytes::copy_from_slice(data.as_bytes()))
}

const ERROR_BODY: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            url: url("https://example.org/dav/ana/work/"),
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn read(body: &str) -> Result<Listing, Fault> {
        Listing::read(&reply(207, body), Aim::Calendar, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_is_no_whole_multistatus_is_garbled_and_never_empty() {
        let table = [
            "",
            "   ",
            "<!DOCTYPE html><html><body>Please sign in</body></html>",
            "<html xmlns=\"http://www.w3.org/1999/xhtml\"><body/></html>",
            "{\"error\":\"login\"}",
            "<multistatus xmlns=\"DAV:\">",
            "<multistatus xmlns=\"DAV:\"><response><href>/a</href></response>",
            "<multistatus xmlns=\"DAV:\"><response><href>/a</href></resp",
            "<multistatus/>",
        ];
        for body in table {
            assert!(matches!(read(body), Err(Fault::Garbled(_))), "{body}");
        }
        assert_eq!(read("<D:multistatus xmlns:D=\"DAV:\"/>").unwrap().members.len(), 0);
        let page = reply(200, "<html/>");
        assert!(matches!(Listing::read(&page, Aim::Calendar, Timestamp::UNIX_EPOCH), Err(Fault::Garbled(_))));
    }

    #[test]
    fn odd_spellings_of_a_listing_are_read() {
        let body = "\u{feff}<?xml version='1.0'?><multistatus xmlns='DAV:' xmlns:q='urn:ietf:params:xml:ns:caldav'>\
            <response><href>a%40b.ics</href><propstat><status>HTTP/2 200</status><prop>\
            <getetag>&quot;1&quot;</getetag><q:calendar-data><![CDATA[\u{feff}BEGIN:VCALENDAR&amp;]]>&#13;\n\
            </q:calendar-data></prop></propstat></response>\
            <response><href>https://example.org:443/dav/ana/work/c.ics</href><status>HTTP/1.1 410</status></response>\
            </multistatus>";
        let listing = read(body).unwrap();
        assert_eq!(listing.members[0].url, url("https://example.org/dav/ana/work/a%40b.ics"));
        assert_eq!(listing.members[0].text(&dav::GETETAG).as_deref(), Some("\"1\""));
        assert_eq!(calendar_data(&listing.members[0]).unwrap(), "BEGIN:VCALENDAR&amp;\r\n");
        assert!(listing.members[1].response.is_gone());
        assert!(listing.about(&url("https://example.org/dav/ana/work/a@b.ics")).is_some());
    }

    #[test]
    fn only_privileges_that_are_told_make_a_calendar_read_only() {
        let listed = |inside: &str| {
            let body = format!(
                "<multistatus xmlns='DAV:'><response><href>/x/</href><propstat><prop>{inside}</prop>\
                 <status>HTTP/1.1 200 OK</status></propstat></response></multistatus>"
            );
            read(&body).unwrap().members.remove(0)
        };
        let privileges = |names: &[&str]| {
            let each: Vec<String> = names.iter().map(|n| format!("<privilege><{n}/></privilege>")).collect();
            let each = each.concat();
            listed(&format!("<current-user-privilege-set>{each}</current-user-privilege-set>")).is_read_only()
        };
        assert!(privileges(&["read", "read-acl"]));
        assert!(!privileges(&["read", "write"]) && !privileges(&["all"]) && !privileges(&["write-content"]));
        assert!(!privileges(&[]) && !listed("").is_read_only());
    }

    #[test]
    fn a_taken_uid_is_recognised_in_every_dress() {
        let conflict = |inside: &str| {
            let body = format!("<D:error xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'>{inside}</D:error>");
            uid_conflict(&reply(409, &body))
        };
        assert_eq!(conflict("<C:no-uid-conflict/>"), Some(Holder::Unknown));
        let holder = url("https://example.org/dav/ana/work/x.ics");
        assert_eq!(
            conflict("<C:no-uid-conflict><D:href>x.ics</D:href></C:no-uid-conflict>"),
            Some(Holder::Known(holder))
        );
        assert_eq!(conflict("<C:unique-scheduling-object-resource/>"), Some(Holder::Unknown));
        assert_eq!(conflict("<C:max-resource-size/>"), None);
        assert_eq!(uid_conflict(&reply(409, "<html>no-uid-conflict</html>")), None);
    }

    #[test]
    fn requests_say_what_servers_need_and_no_limit() {
        let home = url("https://example.org/cal/");
        let ask = sync(&home, "0", "tok&en");
        let body = String::from_utf8(ask.body.to_vec()).unwrap();
        assert!(body.contains("tok&amp;en") && body.contains("getetag") && !body.contains("limit"));
        assert_eq!((ask.method.as_str(), &ask.headers["depth"]), ("REPORT", &"0".parse().unwrap()));
        let ask = multiget(&home, [&url("https://example.org/cal/a%40b.ics")]);
        assert!(String::from_utf8(ask.body.to_vec()).unwrap().contains(">/cal/a%40b.ics<"));
    }
}

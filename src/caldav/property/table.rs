//! The rows.

use crate::dav::name::ns::{CALDAV, CS, DAV, PUSH};
use crate::dav::name::{apple, caldav, dav};
use crate::dav::report::NAMES as REPORTS;
use crate::dav::{Attribute, Element, QName};
use crate::ical::{Collation, ComponentKind, Object, Zone};

use super::privilege::{acl, granted, privilege_elements, supported};
use super::{Facts, On, Property, Resource, Setting, Subject, Trait, Value, principal};
use crate::caldav::get::{content_type, http_date};
use crate::caldav::path::Path;
use crate::caldav::push::{transports, triggers};
use crate::calendar::{Collection, DeadProperty};

use ComponentKind::{Event, Journal, Todo};
use Setting::{AtCreation, Free, Protected};

const fn fixed(name: QName, rfc: &'static str, on: On, get: fn(&Facts, &Subject) -> Option<Value>) -> Property {
    Property { name, rfc, on, allprop: false, get, set: Protected }
}

const fn shown(name: QName, rfc: &'static str, on: On, get: fn(&Facts, &Subject) -> Option<Value>) -> Property {
    Property { name, rfc, on, allprop: true, get, set: Protected }
}

const fn free(name: QName, rfc: &'static str, which: Trait, get: fn(&Facts, &Subject) -> Option<Value>) -> Property {
    Property { name, rfc, on: On::CALENDAR, allprop: false, get, set: Free(which) }
}

/// Every live property.
pub static PROPERTIES: &[Property] = &[
    // WebDAV
    shown(dav::RESOURCETYPE, "4918 15.9", On::ANY, |_, s| Some(Value::Names(resource_types(s)))),
    Property {
        name: dav::DISPLAYNAME,
        rfc: "4918 15.2",
        on: NAMED,
        allprop: true,
        get: |f, s| Some(Value::text(display_name(f, s))),
        set: Free(Trait::Name),
    },
    shown(dav::CREATIONDATE, "4918 15.1", On::CALENDAR.and(On::OBJECT).and(On::MESSAGE).and(On::PLAIN), |_, s| {
        creation_date(s)
    }),
    shown(dav::GETETAG, "4918 15.6", CONTENT, |_, s| entity(s).map(|e| Value::Text(e.etag))),
    shown(dav::GETLASTMODIFIED, "4918 15.7", CONTENT, |_, s| entity(s).map(|e| Value::Text(http_date(e.modified)))),
    shown(dav::GETCONTENTTYPE, "4918 15.5", CONTENT, |_, s| entity(s).map(|e| Value::Text(e.content_type))),
    shown(dav::GETCONTENTLENGTH, "4918 15.4", CONTENT, |_, s| entity(s).map(|e| Value::Text(e.length.to_string()))),
    // Principals and rights
    fixed(dav::CURRENT_USER_PRINCIPAL, "5397 3", On::ANY, |f, _| Some(Value::href(principal(f).href()))),
    fixed(dav::PRINCIPAL_URL, "3744 4.2", On::PRINCIPAL, |f, _| Some(Value::href(principal(f).href()))),
    fixed(dav::ALTERNATE_URI_SET, "3744 4.1", On::PRINCIPAL, |_, _| Some(Value::Empty)),
    fixed(dav::GROUP_MEMBER_SET, "3744 4.3", On::PRINCIPAL, |_, _| Some(Value::Empty)),
    fixed(dav::GROUP_MEMBERSHIP, "3744 4.4", On::PRINCIPAL, |_, _| Some(Value::Empty)),
    fixed(dav::PRINCIPAL_COLLECTION_SET, "3744 5.8", On::ANY, |_, _| Some(Value::href(Path::Principals.href()))),
    fixed(dav::OWNER, "3744 5.1", On::OWNED, |f, _| Some(Value::href(principal(f).href()))),
    fixed(dav::CURRENT_USER_PRIVILEGE_SET, "3744 5.4", On::ANY, |f, s| {
        Some(Value::Elements(privilege_elements(granted(s, f.read_only))))
    }),
    fixed(dav::SUPPORTED_PRIVILEGE_SET, "3744 5.3", On::ANY, |_, _| Some(Value::Elements(supported()))),
    fixed(dav::ACL, "3744 5.5", On::OWNED, |f, s| {
        Some(Value::Elements(acl(s, Element::with_text(dav::HREF, principal(f).href().as_str()))))
    }),
    fixed(dav::ACL_RESTRICTIONS, "3744 5.6", On::OWNED, |_, _| {
        Some(Value::Names(vec![QName::fixed(DAV, "grant-only"), QName::fixed(DAV, "no-invert")]))
    }),
    fixed(dav::INHERITED_ACL_SET, "3744 5.7", On::OWNED, |_, _| Some(Value::Empty)),
    // Reports and sync
    fixed(dav::SUPPORTED_REPORT_SET, "3253 3.1.5", On::ANY, |_, s| Some(Value::Elements(reports(s)))),
    fixed(dav::SYNC_TOKEN, "6578 4", On::CALENDAR, |_, s| calendar(s).map(|c| Value::text(&c.token))),
    fixed(apple::GETCTAG, "caldav-ctag-02", On::CALENDAR.and(On::HOME), |_, s| ctag(s)),
    // CalDAV: principals
    fixed(caldav::CALENDAR_HOME_SET, "4791 6.2.1", On::PRINCIPAL, |f, _| {
        Some(Value::href(Path::Home(f.user.clone()).href()))
    }),
    fixed(caldav::CALENDAR_USER_ADDRESS_SET, "6638 2.4.1", On::PRINCIPAL, |f, _| Some(addresses(f))),
    fixed(caldav::CALENDAR_USER_TYPE, "6638 2.4.2", On::PRINCIPAL, |_, _| Some(Value::text("INDIVIDUAL"))),
    fixed(caldav::SCHEDULE_INBOX_URL, "6638 2.2", On::PRINCIPAL, |f, _| {
        Some(Value::href(Path::Inbox(f.user.clone()).href()))
    }),
    fixed(caldav::SCHEDULE_OUTBOX_URL, "6638 2.1", On::PRINCIPAL, |f, _| {
        Some(Value::href(Path::Outbox(f.user.clone()).href()))
    }),
    fixed(apple::EMAIL_ADDRESS_SET, "calendarserver", On::PRINCIPAL, |f, _| Some(mail_addresses(f))),
    fixed(apple::CALENDAR_PROXY_READ_FOR, "caldav-proxy", On::PRINCIPAL, |_, _| Some(Value::Empty)),
    fixed(apple::CALENDAR_PROXY_WRITE_FOR, "caldav-proxy", On::PRINCIPAL, |_, _| Some(Value::Empty)),
    // CalDAV: calendars
    free(caldav::CALENDAR_DESCRIPTION, "4791 5.2.1", Trait::Description, |_, s| {
        row(s)?.description.as_ref().map(Value::text)
    }),
    free(caldav::CALENDAR_TIMEZONE, "4791 5.2.2", Trait::Timezone, |_, s| row(s)?.timezone.as_ref().map(Value::text)),
    free(caldav::CALENDAR_TIMEZONE_ID, "7809 5.2", Trait::TimezoneId, |_, s| timezone_id(s).map(Value::Text)),
    Property {
        name: caldav::SUPPORTED_CALENDAR_COMPONENT_SET,
        rfc: "4791 5.2.3",
        on: On::CALENDAR.and(On::SCHEDULING),
        allprop: false,
        get: |_, s| Some(Value::Elements(components(s))),
        set: AtCreation(Trait::Components),
    },
    fixed(QName::fixed(CALDAV, "supported-calendar-component-sets"), "caldav-ext", On::HOME, |_, _| {
        Some(Value::Elements(component_sets()))
    }),
    fixed(caldav::SUPPORTED_CALENDAR_DATA, "4791 5.2.4", DATA, |_, _| Some(Value::Elements(vec![data_type()]))),
    fixed(caldav::SUPPORTED_COLLATION_SET, "4791 7.5.1", On::CALENDAR, |_, _| Some(Value::Elements(collations()))),
    fixed(caldav::MAX_RESOURCE_SIZE, "4791 5.2.5", DATA, |f, _| Some(Value::text(f.limits.size.to_string()))),
    fixed(caldav::MIN_DATE_TIME, "4791 5.2.6", DATA, |f, _| Some(Value::Text(utc(f.limits.earliest)))),
    fixed(caldav::MAX_DATE_TIME, "4791 5.2.7", DATA, |f, _| Some(Value::Text(utc(f.limits.latest)))),
    fixed(caldav::MAX_INSTANCES, "4791 5.2.8", DATA, |f, _| Some(Value::text(f.limits.instances.to_string()))),
    fixed(caldav::MAX_ATTENDEES_PER_INSTANCE, "4791 5.2.9", DATA, |f, _| {
        Some(Value::text(f.limits.attendees.to_string()))
    }),
    free(caldav::SCHEDULE_CALENDAR_TRANSP, "6638 9.1", Trait::Transparency, |_, s| {
        let transparent = row(s)?.transparent;
        Some(Value::Names(vec![if transparent { TRANSPARENT } else { OPAQUE }]))
    }),
    free(apple::CALENDAR_COLOR, "apple-ical", Trait::Color, |_, s| row(s)?.color.as_ref().map(Value::text)),
    free(apple::CALENDAR_ORDER, "apple-ical", Trait::Order, |_, s| row(s)?.order.map(|n| Value::text(n.to_string()))),
    // WebDAV-Push
    fixed(QName::fixed(PUSH, "transports"), "webdav-push", On::CALENDAR, |f, _| {
        f.push.as_ref().map(|push| Value::Elements(transports(push)))
    }),
    fixed(QName::fixed(PUSH, "topic"), "webdav-push", On::CALENDAR, |f, s| {
        Some(Value::Text(f.push.as_ref()?.topic(&row(s)?.id)))
    }),
    fixed(QName::fixed(PUSH, "supported-triggers"), "webdav-push", On::CALENDAR, |f, _| {
        f.push.as_ref().map(|_| Value::Elements(triggers()))
    }),
    // CalDAV: scheduling collections
    fixed(caldav::SCHEDULE_DEFAULT_CALENDAR_URL, "6638 9.2", On::INBOX, |f, _| Some(default_calendar(f))),
    fixed(caldav::CALENDAR_FREE_BUSY_SET, "caldav-sched-04", On::INBOX, |_, s| match &s.resource {
        Resource::Inbox { busy } => {
            Some(Value::Hrefs(busy.iter().map(|id| Path::Calendar(id.clone()).href()).collect()))
        }
        _ => None,
    }),
    // CalDAV: objects
    fixed(caldav::SCHEDULE_TAG, "6638 9.3", On::OBJECT, |_, s| {
        s.schedule_tag.as_ref().map(|tag| Value::Text(format!("\"{tag}\"")))
    }),
    fixed(caldav::CALENDAR_DATA, "4791 9.6", On::OBJECT.and(On::MESSAGE), |_, s| s.data.clone().map(Value::Octets)),
];

fn resource_types(subject: &Subject) -> Vec<QName> {
    match &subject.resource {
        Resource::Upper | Resource::Home { .. } => vec![dav::COLLECTION],
        Resource::Principal => vec![dav::COLLECTION, dav::PRINCIPAL],
        Resource::Inbox { .. } => vec![dav::COLLECTION, caldav::SCHEDULE_INBOX],
        Resource::Outbox => vec![dav::COLLECTION, caldav::SCHEDULE_OUTBOX],
        // Nothing else: an iPhone does not ask a calendar that is more than this (clients.md Q7).
        Resource::Calendar(_) => vec![dav::COLLECTION, caldav::CALENDAR],
        Resource::Plain(node) if node.is_folder() => vec![dav::COLLECTION],
        Resource::Object(..) | Resource::Message(_) | Resource::Plain(_) => Vec::new(),
    }
}

fn display_name(facts: &Facts, subject: &Subject) -> String {
    match (&subject.path, row(subject)) {
        (_, Some(row)) => row.display_name.clone(),
        (Path::Principal(_) | Path::Home(_), _) => facts.user.to_string(),
        (Path::Inbox(_), _) => "Inbox".to_owned(),
        (Path::Outbox(_), _) => "Outbox".to_owned(),
        _ => "LinearTime".to_owned(),
    }
}

fn creation_date(subject: &Subject) -> Option<Value> {
    let created = match &subject.resource {
        Resource::Calendar(state) => state.row.created,
        Resource::Object(_, entry) => entry.created,
        Resource::Message(message) => message.received,
        Resource::Plain(node) => node.created,
        _ => return None,
    };
    Some(Value::Text(created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))
}

/// What a GET of the resource would say about its body.
struct Entity {
    etag: String,
    modified: jiff::Timestamp,
    content_type: String,
    length: u64,
}

fn entity(subject: &Subject) -> Option<Entity> {
    match &subject.resource {
        Resource::Object(_, entry) => Some(Entity {
            etag: entry.etag.to_string(),
            modified: entry.modified,
            content_type: content_type(entry.component).to_owned(),
            length: entry.length,
        }),
        Resource::Message(message) => Some(Entity {
            etag: message.etag().to_string(),
            modified: message.received,
            content_type: content_type(message.kind).to_owned(),
            length: message.octets.len() as u64,
        }),
        Resource::Plain(node) => Some(Entity {
            etag: node.etag()?.to_string(),
            modified: node.modified,
            content_type: node.content_type.clone().unwrap_or_else(|| "application/octet-stream".to_owned()),
            length: node.octets.as_ref()?.len() as u64,
        }),
        _ => None,
    }
}

fn calendar(subject: &Subject) -> Option<&crate::caldav::resource::CalendarState> {
    match &subject.resource {
        Resource::Calendar(state) => Some(state),
        _ => None,
    }
}

fn row(subject: &Subject) -> Option<&Collection> {
    calendar(subject).map(|state| &state.row)
}

fn ctag(subject: &Subject) -> Option<Value> {
    match &subject.resource {
        Resource::Calendar(state) => Some(Value::text(&state.ctag)),
        Resource::Home { ctag } => Some(Value::text(ctag)),
        _ => None,
    }
}

/// The preferred address first and last and marked, since each client has its own way to choose (clients.md Q6).
fn addresses(facts: &Facts) -> Value {
    let href = |text: &str| Element::with_text(dav::HREF, text);
    let preferred = |text: &str| {
        let mut element = href(text);
        let mark = Attribute { name: QName::fixed("", "preferred"), value: "1".to_owned() };
        // A new element has no attribute that this one could meet.
        let _new = element.push_attribute(mark);
        element
    };
    let first = facts.addresses.first().map(String::as_str).unwrap_or_default();
    let others = facts.addresses.iter().skip(1).map(|address| href(address));
    let own = href(principal(facts).href().as_str());
    Value::Elements([preferred(first)].into_iter().chain(others).chain([own, preferred(first)]).collect())
}

fn mail_addresses(facts: &Facts) -> Value {
    let name = QName::fixed(CS, "email-address");
    let mails = facts.addresses.iter().filter_map(|address| address.strip_prefix("mailto:"));
    Value::Elements(mails.map(|mail| Element::with_text(name.clone(), mail)).collect())
}

fn default_calendar(facts: &Facts) -> Value {
    let unified = crate::id::CollectionId::new(&facts.user, crate::id::CollectionName::unified());
    Value::href(Path::Calendar(unified).href())
}

#[expect(clippy::match_same_arms, reason = "each arm stands for a case of its own")]
fn reports(subject: &Subject) -> Vec<Element> {
    let [query, multiget, free_busy, sync, expand, search, search_set, matching, acl_set] = REPORTS;
    let everywhere = [expand, search, search_set, matching, acl_set];
    let own = match &subject.resource {
        Resource::Calendar(_) => vec![query, multiget, free_busy, sync],
        Resource::Object(..) => vec![query, multiget],
        Resource::Inbox { .. } => vec![query, multiget],
        _ => Vec::new(),
    };
    let wrap = |report: QName| {
        let inner = Element::with_children(dav::REPORT, [Element::new(report)]);
        Element::with_children(dav::SUPPORTED_REPORT, [inner])
    };
    own.into_iter().chain(everywhere).map(wrap).collect()
}

/// The name that was set as calendar-timezone-id, among what clients have stored.
pub(in crate::caldav) fn named_timezone(dead: &[DeadProperty]) -> Option<String> {
    let name = caldav::CALENDAR_TIMEZONE_ID;
    let dead = dead.iter().find(|dead| dead.ns == name.ns() && dead.name == name.local())?;
    Element::parse(&dead.xml, crate::dav::Limits::REQUEST).ok().map(|element| element.trimmed())
}

/// The TZID: the one that was set by name, else that of the VTIMEZONE.
fn timezone_id(subject: &Subject) -> Option<String> {
    if let Some(named) = named_timezone(&subject.dead) {
        return Some(named);
    }
    let object = Object::parse(row(subject)?.timezone.clone()?.into()).ok()?;
    let tzid = object.timezones().next()?.property("TZID")?.text();
    matches!(Zone::resolve(&tzid, None), Some(Zone::Iana(_))).then_some(tzid)
}

fn components(subject: &Subject) -> Vec<Element> {
    let kinds = match row(subject) {
        Some(row) => row.components.clone(),
        None => vec![Event, ComponentKind::FreeBusy],
    };
    kinds.into_iter().map(component).collect()
}

fn component(kind: ComponentKind) -> Element {
    attributed(caldav::COMP, &[("name", kind.name())])
}

/// What may be made by MKCALENDAR: any mixture of the three.
fn component_sets() -> Vec<Element> {
    let set = |kinds: &[ComponentKind]| {
        Element::with_children(caldav::SUPPORTED_CALENDAR_COMPONENT_SET, kinds.iter().copied().map(component))
    };
    vec![set(&[Event]), set(&[Todo]), set(&[Journal]), set(&[Event, Todo]), set(&[Event, Todo, Journal])]
}

fn collations() -> Vec<Element> {
    Collation::ALL.iter().map(|one| Element::with_text(caldav::SUPPORTED_COLLATION, one.name())).collect()
}

fn data_type() -> Element {
    attributed(caldav::CALENDAR_DATA, &[("content-type", "text/calendar"), ("version", "2.0")])
}

fn attributed(name: QName, attributes: &[(&'static str, &str)]) -> Element {
    let mut element = Element::new(name);
    for (name, value) in attributes {
        // The names differ.
        let _new = element.push_attribute(Attribute { name: QName::fixed("", name), value: (*value).to_owned() });
    }
    element
}

fn utc(day: jiff::civil::Date) -> String {
    day.strftime("%Y%m%dT000000Z").to_string()
}

/// Resources with a name for people. On objects the name is free for a dead property.
const NAMED: On = On::UPPER.and(On::PRINCIPAL).and(On::HOME).and(On::SCHEDULING).and(On::CALENDAR);
/// Resources with a body of their own.
const CONTENT: On = On::OBJECT.and(On::MESSAGE).and(On::FILE);
const DATA: On = On::CALENDAR.and(On::SCHEDULING);
const TRANSPARENT: QName = QName::fixed(CALDAV, "transparent");
const OPAQUE: QName = QName::fixed(CALDAV, "opaque");

//! Privileges (RFC 3744 3 and 5): everybody has all of what is their own, as far as it can be written, and sees
//! nothing of others'. No ACL can be set.
//!
//! Thunderbird takes a calendar for writable if any of the write privileges is listed, so a read-only one lists none,
//! although its colour can be set.

use crate::dav::name::ns::CALDAV;
use crate::dav::name::{caldav, dav};
use crate::dav::{Attribute, Element, QName};

use super::super::resource::{Resource, Subject};

/// What the visitor may do with a resource: what its owner may, less what the visitor's app password is not good for.
pub(super) fn granted(subject: &Subject, read_only: bool) -> Vec<QName> {
    let mut all = privileges(subject);
    if read_only {
        all.retain(|privilege| !CHANGES.contains(privilege));
    }
    all
}

/// What the owner may do with a resource.
fn privileges(subject: &Subject) -> Vec<QName> {
    let mut all = vec![dav::READ, dav::READ_ACL, dav::READ_CURRENT_USER_PRIVILEGE_SET];
    match &subject.resource {
        Resource::Upper => {}
        Resource::Principal => all.push(dav::WRITE_PROPERTIES),
        Resource::Home { .. } => all.extend([dav::BIND, dav::UNBIND]),
        Resource::Inbox { .. } => all.extend([SCHEDULE_DELIVER, caldav::READ_FREE_BUSY]),
        Resource::Outbox => all.extend([SCHEDULE_SEND, SCHEDULE_SEND_FREEBUSY]),
        Resource::Calendar(state) => {
            all.push(caldav::READ_FREE_BUSY);
            if state.row.is_writable() {
                all.extend(WRITES);
            }
        }
        Resource::Object(_, entry) => {
            if entry.writable {
                all.extend(WRITES);
            }
        }
        Resource::Message(_) => all.push(dav::UNBIND),
        Resource::Plain(_) => all.extend(WRITES),
    }
    all
}

/// Each privilege inside its `DAV:privilege`.
pub(super) fn privilege_elements(privileges: Vec<QName>) -> Vec<Element> {
    let wrap = |privilege| Element::with_children(dav::PRIVILEGE, [Element::new(privilege)]);
    privileges.into_iter().map(wrap).collect()
}

/// The one access control entry: the owner, protected.
pub(super) fn acl(subject: &Subject, owner: Element) -> Vec<Element> {
    let grant = Element::with_children(GRANT, privilege_elements(privileges(subject)));
    let principal = Element::with_children(dav::PRINCIPAL, [owner]);
    vec![Element::with_children(ACE, [principal, grant, Element::new(PROTECTED)])]
}

/// The tree of all privileges there are (RFC 3744 5.3).
pub(super) fn supported() -> Vec<Element> {
    let leaf = |name, words| supported_privilege(name, words, Vec::new());
    let read = vec![
        leaf(dav::READ_ACL, "See the access control list"),
        leaf(dav::READ_CURRENT_USER_PRIVILEGE_SET, "See one's own privileges"),
        leaf(caldav::READ_FREE_BUSY, "See when time is taken"),
    ];
    let write = vec![
        leaf(dav::WRITE_PROPERTIES, "Set properties"),
        leaf(dav::WRITE_CONTENT, "Change an object"),
        leaf(dav::BIND, "Add members"),
        leaf(dav::UNBIND, "Remove members"),
    ];
    let all = vec![
        supported_privilege(dav::READ, "Read", read),
        supported_privilege(dav::WRITE, "Write", write),
        leaf(SCHEDULE_DELIVER, "Deliver scheduling messages"),
        supported_privilege(
            SCHEDULE_SEND,
            "Send scheduling messages",
            vec![leaf(SCHEDULE_SEND_FREEBUSY, "Ask when others have time")],
        ),
    ];
    vec![supported_privilege(dav::ALL, "Everything", all)]
}

fn supported_privilege(name: QName, words: &str, inner: Vec<Element>) -> Element {
    let privilege = Element::with_children(dav::PRIVILEGE, [Element::new(name)]);
    let mut description = Element::with_text(DESCRIPTION, words);
    let language = Attribute { name: LANG, value: "en".to_owned() };
    // A new element has no attribute that this one could meet.
    let _new = description.push_attribute(language);
    Element::with_children(dav::SUPPORTED_PRIVILEGE, [privilege, description].into_iter().chain(inner))
}

const WRITES: [QName; 5] = [dav::WRITE, dav::WRITE_PROPERTIES, dav::WRITE_CONTENT, dav::BIND, dav::UNBIND];
const CHANGES: [QName; 7] = [
    dav::WRITE,
    dav::WRITE_PROPERTIES,
    dav::WRITE_CONTENT,
    dav::BIND,
    dav::UNBIND,
    SCHEDULE_SEND,
    SCHEDULE_SEND_FREEBUSY,
];
const SCHEDULE_DELIVER: QName = QName::fixed(CALDAV, "schedule-deliver");
const SCHEDULE_SEND: QName = QName::fixed(CALDAV, "schedule-send");
const SCHEDULE_SEND_FREEBUSY: QName = QName::fixed(CALDAV, "schedule-send-freebusy");
const ACE: QName = QName::fixed("DAV:", "ace");
const GRANT: QName = QName::fixed("DAV:", "grant");
const PROTECTED: QName = QName::fixed("DAV:", "protected");
const DESCRIPTION: QName = QName::fixed("DAV:", "description");
const LANG: QName = QName::fixed(crate::dav::name::ns::XML, "lang");

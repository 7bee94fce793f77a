//! SCHEDULE-AGENT (RFC 6638 7.1): who invites. A server that invites by itself does so unless this says that the client does.
//!
//! A meeting may stand in several accounts. One copy leads, and its server invites; every other copy is written with
//! `SCHEDULE-AGENT=CLIENT` on organiser and attendees, so that nobody is mailed twice, or by the wrong account. The mark belongs to the
//! copy and not to the event: it is taken off again when the copy is read.

use std::collections::BTreeSet;

use super::component::{Component, Object, Property};
use super::edit::{Edit, Line};
use super::meaning::address;

const AGENT: &str = "SCHEDULE-AGENT";

/// The object as a copy for whose sake nobody is to be written to; itself if it names nobody.
#[must_use]
pub fn as_silent_copy(object: &Object) -> Object {
    let calls = |property: &Property| !is_silent(property).unwrap_or(false);
    rewrite(object, calls, |line| line.param(AGENT, "CLIENT"))
}

/// A copy read back: without the marks that `ours`, what it was made of, does not have.
#[must_use]
pub fn from_silent_copy(copy: &Object, ours: &Object) -> Object {
    let own: BTreeSet<String> = people(ours.root())
        .filter(|property| is_silent(property) == Some(true))
        .map(|property| address(property.value()))
        .collect();
    let is_mark = |property: &Property| is_client(property) && !own.contains(&address(property.value()));
    rewrite(copy, is_mark, |line| line)
}

/// Whether the property says that no server is to write to this person. `None`: it says nothing of it.
fn is_silent(property: &Property) -> Option<bool> {
    property.param(AGENT).map(|agent| !agent.eq_ignore_ascii_case("SERVER"))
}

fn is_client(property: &Property) -> bool {
    property.param(AGENT).is_some_and(|agent| agent.eq_ignore_ascii_case("CLIENT"))
}

fn people(root: &Component) -> impl Iterator<Item = &Property> {
    let properties = root.children().iter().flat_map(Component::properties);
    properties.filter(|property| property.is("ATTENDEE") || property.is("ORGANIZER"))
}

/// The chosen people's lines anew, without the parameter but for what `with` adds. What can't be rewritten stays.
fn rewrite(object: &Object, chosen: impl Fn(&Property) -> bool, with: impl Fn(Line) -> Line) -> Object {
    let mut edit = Edit::new(object);
    let mut changed = false;
    for property in people(object.root()).filter(|property| chosen(property)) {
        let mut line = Line::new(property.name());
        for param in property.params().filter(|param| !param.name().eq_ignore_ascii_case(AGENT)) {
            let values: Vec<_> = param.values().collect();
            let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
            line = line.param_list(param.name(), &values);
        }
        edit = edit.replace(property, &with(line).value(property.value()));
        changed = true;
    }
    if !changed {
        return object.clone();
    }
    edit.finish().unwrap_or_else(|_| object.clone())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::meaning::same_meaning;
    use super::*;

    fn meeting(people: &str) -> Object {
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\n\
             DTSTART:20260101T100000Z\r\nX-KEPT;A=\"b;c\":d\r\n{people}BEGIN:VALARM\r\nACTION:EMAIL\r\nTRIGGER:-PT5M\r\n\
             ATTENDEE:mailto:me@example.org\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        Object::parse(Bytes::from(text)).unwrap()
    }

    fn text(object: &Object) -> String {
        object.as_text().replace("\r\n ", "")
    }

    #[test]
    fn every_person_is_marked_and_the_marks_come_off_again() {
        let ours = meeting(
            "ORGANIZER;CN=\"Doe, Jane\":mailto:jane@example.org\r\nATTENDEE;PARTSTAT=ACCEPTED:mailto:a@example.org\r\n\
             ATTENDEE;SCHEDULE-AGENT=SERVER:mailto:b@example.org\r\n",
        );
        let copy = as_silent_copy(&ours);
        assert_eq!(text(&copy).matches("SCHEDULE-AGENT=CLIENT:mailto:").count(), 3, "{}", text(&copy));
        assert!(text(&copy).contains("ORGANIZER;CN=\"Doe, Jane\";SCHEDULE-AGENT=CLIENT:mailto:jane@example.org"));
        assert!(text(&copy).contains("X-KEPT;A=\"b;c\":d") && !text(&copy).contains("SERVER"));
        let back = from_silent_copy(&copy, &ours);
        assert!(!text(&back).contains("SCHEDULE-AGENT"), "{}", text(&back));
        assert!(same_meaning(&as_silent_copy(&back), &copy));
    }

    #[test]
    fn what_the_person_said_stays_said() {
        let ours = meeting(
            "ORGANIZER;SCHEDULE-AGENT=CLIENT:mailto:Jane@example.org\r\nATTENDEE;SCHEDULE-AGENT=NONE:mailto:a@example.org\r\n",
        );
        assert_eq!(as_silent_copy(&ours).octets(), ours.octets());
        assert_eq!(from_silent_copy(&ours, &ours).octets(), ours.octets());
    }

    #[test]
    fn an_event_without_people_is_left_alone() {
        let ours = meeting("");
        assert_eq!(as_silent_copy(&ours).octets(), ours.octets());
        assert_eq!(from_silent_copy(&ours, &ours).octets(), ours.octets());
    }
}

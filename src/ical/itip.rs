//! Invitations between people (RFC 5546 3.2, RFC 6638 3.2): who takes part in an object, what is sent to whom, and
//! the Schedule-Tag. Pure: who lives here and where messages go is decided above.

use std::collections::BTreeMap;

use super::component::{Component, ComponentKind, Object, Property};
use super::edit::{At, Edit, EditError, Line};
use super::meaning::{address, canonical_moment, meaning};
use super::value::DateOrTime;

/// What one participant said, by instance: `None` is the whole series, or the only instance.
pub type Participation = BTreeMap<Option<String>, String>;

/// The address of the organizer.
pub fn organizer(object: &Object) -> Option<&str> {
    object.members().find_map(|member| member.property("ORGANIZER")).map(Property::value)
}

/// The addresses of the attendees whom the server shall tell (RFC 6638 7.1), each once, as they are compared.
pub fn attendees(object: &Object) -> Vec<String> {
    let mut found = Vec::new();
    for attendee in object.members().flat_map(|member| member.all("ATTENDEE")) {
        let agent = attendee.param("SCHEDULE-AGENT");
        let own = agent.is_none_or(|agent| agent.eq_ignore_ascii_case("SERVER"));
        let known = address(attendee.value());
        if own && !found.contains(&known) {
            found.push(known);
        }
    }
    found
}

/// What the attendee that `is_them` names has said.
pub fn participation(object: &Object, is_them: impl Fn(&str) -> bool) -> Participation {
    let mut said = Participation::new();
    for member in object.members() {
        if let Some(attendee) = member.all("ATTENDEE").find(|attendee| is_them(attendee.value())) {
            let partstat = attendee.param("PARTSTAT").unwrap_or_else(|| "NEEDS-ACTION".into());
            said.insert(instance(member), partstat.to_ascii_uppercase());
        }
    }
    said
}

/// The object with what an attendee has said written into it; `None` if that says nothing new.
pub fn with_participation(
    object: &Object,
    is_them: impl Fn(&str) -> bool,
    said: &Participation,
) -> Result<Option<Object>, EditError> {
    let mut edit = Edit::new(object);
    let mut changes = false;
    for member in object.members() {
        let Some(partstat) = said.get(&instance(member)) else { continue };
        for attendee in member.all("ATTENDEE").filter(|attendee| is_them(attendee.value())) {
            let now = attendee.param("PARTSTAT").unwrap_or_else(|| "NEEDS-ACTION".into());
            if !now.eq_ignore_ascii_case(partstat) {
                changes = true;
                edit = edit.replace(attendee, &rewritten(attendee, &["PARTSTAT", "RSVP"], Some(partstat)));
            }
        }
    }
    if changes { edit.finish().map(Some) } else { Ok(None) }
}

/// What goes into the inbox: the object without alarms and with METHOD.
pub fn message(object: &Object, method: &str) -> Result<Object, EditError> {
    without_alarms(Edit::new(object), object).set(&At::Calendar, &Line::new("METHOD").value(method)).finish()
}

/// What an attendee answers (RFC 5546 3.2.3): which instances, and what they say. All else in their copy is their own: notes,
/// categories, another title.
pub fn reply(object: &Object, is_them: impl Fn(&str) -> bool) -> Result<Object, EditError> {
    let mut edit = Edit::new(object)
        .set(&At::Calendar, &Line::new("METHOD").value("REPLY"))
        .remove_where(&At::Calendar, |property| property.name().to_ascii_uppercase().starts_with("X-"));
    for member in object.members() {
        let is_said = |property: &Property| {
            ANSWER.iter().any(|name| property.is(name)) || property.is("ATTENDEE") && is_them(property.value())
        };
        for property in member.properties().iter().filter(|property| !is_said(property)) {
            edit = edit.remove_property(property);
        }
    }
    without_alarms(edit, object).finish()
}

/// The attendee's own copy. The organizer's alarms are the organizer's.
pub fn copy_for_attendee(object: &Object) -> Result<Object, EditError> {
    without_alarms(Edit::new(object), object).finish()
}

/// The object, called off.
pub fn cancelled(object: &Object) -> Result<Object, EditError> {
    let status = Line::new("STATUS").value("CANCELLED");
    let members = object.members().count();
    (0..members).fold(Edit::new(object), |edit, number| edit.set(&At::Member(number), &status)).finish()
}

/// The Schedule-Tag (RFC 6638 3.2.10): changes with everything except what participants say. `None` for an object
/// that nobody is invited to.
pub fn schedule_tag(object: &Object) -> Option<String> {
    organizer(object)?;
    let mut edit = Edit::new(object);
    for attendee in object.members().flat_map(|member| member.all("ATTENDEE")) {
        edit = edit.replace(attendee, &rewritten(attendee, &SAID, None));
    }
    let plain = edit.finish().ok()?;
    let digest = meaning(&plain);
    Some(data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or_default()))
}

/// Which instance a member is.
fn instance(member: &Component) -> Option<String> {
    let id = member.property("RECURRENCE-ID")?;
    Some(match DateOrTime::parse(id) {
        Ok(_) => canonical_moment(id.value(), id.param("TZID").as_deref()),
        Err(_) => id.value().to_owned(),
    })
}

/// The same line without some parameters, and with a PARTSTAT if one is given.
fn rewritten(property: &Property, without: &[&str], partstat: Option<&str>) -> Line {
    let mut line = Line::new(property.name());
    for param in property.params() {
        if without.iter().any(|name| param.name().eq_ignore_ascii_case(name)) {
            continue;
        }
        let values: Vec<_> = param.values().collect();
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        line = line.param_list(param.name(), &values);
    }
    if let Some(partstat) = partstat {
        line = line.param("PARTSTAT", partstat);
    }
    line.value(property.value())
}

fn without_alarms<'a>(edit: Edit<'a>, object: &'a Object) -> Edit<'a> {
    let mut edit = edit;
    for (number, member) in object.root().children().iter().enumerate() {
        if ComponentKind::of(member) == ComponentKind::Other {
            continue;
        }
        for (inner, child) in member.children().iter().enumerate() {
            if child.is("VALARM") {
                edit = edit.remove_component(&At::Path(vec![number, inner]));
            }
        }
    }
    edit
}

/// The properties of an answer beside the attendee.
const ANSWER: [&str; 9] =
    ["UID", "DTSTAMP", "DTSTART", "DTEND", "DURATION", "DUE", "RECURRENCE-ID", "SEQUENCE", "ORGANIZER"];
/// Parameters by which attendees and servers answer.
const SAID: [&str; 4] = ["PARTSTAT", "RSVP", "SCHEDULE-STATUS", "SCHEDULE-FORCE-SEND"];

#[cfg(test)]
mod tests {
    use super::*;

    fn object(inner: &str) -> Object {
        let text = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{inner}END:VCALENDAR\r\n");
        Object::parse(text.into()).unwrap()
    }

    fn meeting(partstat: &str, more: &str) -> Object {
        object(&format!(
            "BEGIN:VEVENT\r\nUID:m\r\nDTSTART:20260310T090000Z\r\nORGANIZER:mailto:ana@x\r\n\
             ATTENDEE;CN=\"Bob, B\";PARTSTAT={partstat}:mailto:Bob@x\r\n\
             ATTENDEE;SCHEDULE-AGENT=NONE:mailto:cleo@x\r\n{more}\
             BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\nEND:VEVENT\r\n"
        ))
    }

    fn is_bob(text: &str) -> bool {
        address(text) == "mailto:bob@x"
    }

    #[test]
    fn who_takes_part() {
        let meeting = meeting("NEEDS-ACTION", "");
        assert_eq!(organizer(&meeting), Some("mailto:ana@x"));
        assert_eq!(attendees(&meeting), ["mailto:bob@x"], "cleo is told by somebody else");
    }

    #[test]
    fn an_answer_is_written_into_the_organizers_copy_alone_where_it_belongs() {
        let theirs = meeting("ACCEPTED", "");
        let ours = meeting("NEEDS-ACTION", "SUMMARY:kept  \r\n");
        let said = participation(&theirs, is_bob);
        assert_eq!(said, Participation::from([(None, "ACCEPTED".to_owned())]));
        let changed = with_participation(&ours, is_bob, &said).unwrap().unwrap();
        let text = changed.as_text().into_owned();
        assert!(text.contains("ATTENDEE;CN=\"Bob, B\";PARTSTAT=ACCEPTED:mailto:Bob@x"), "{text}");
        assert!(text.contains("SUMMARY:kept  \r\n") && text.contains("VALARM"));
        assert!(with_participation(&changed, is_bob, &said).unwrap().is_none());
    }

    #[test]
    fn the_schedule_tag_stays_when_somebody_answers_and_changes_with_the_meeting() {
        let tag = schedule_tag(&meeting("NEEDS-ACTION", "")).unwrap();
        assert_eq!(schedule_tag(&meeting("DECLINED", "")).unwrap(), tag);
        assert_ne!(schedule_tag(&meeting("NEEDS-ACTION", "LOCATION:there\r\n")).unwrap(), tag);
        let alone = object("BEGIN:VEVENT\r\nUID:m\r\nDTSTART:20260310T090000Z\r\nEND:VEVENT\r\n");
        assert_eq!(schedule_tag(&alone), None);
    }

    #[test]
    fn messages_and_copies_leave_the_organizers_alarms_out() {
        let message = message(&meeting("NEEDS-ACTION", ""), "REQUEST").unwrap();
        let text = message.as_text().into_owned();
        assert!(text.contains("METHOD:REQUEST") && !text.contains("VALARM"), "{text}");
        let copy = copy_for_attendee(&meeting("NEEDS-ACTION", "")).unwrap();
        assert!(!copy.as_text().contains("METHOD") && !copy.as_text().contains("VALARM"));
        assert!(cancelled(&copy).unwrap().as_text().contains("STATUS:CANCELLED"));
    }
}

//! When a provider may tell attendees of a change that is written to it.
//!
//! Nobody is mailed unasked: a person must have changed what attendees must know (time, place, who comes, cancellation, or
//! their own answer). What the gateway does by itself (a repair, a merge, an import, a move, a restored version, a copy that
//! follows) tells nobody, whatever the account is set to.

use std::collections::BTreeSet;

use crate::account::Invitations;
use crate::calendar::{Author, Cause};
use crate::ical::{Component, Object, Property};
use crate::provider::Notify;

/// A write on its way to a provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outward<'a> {
    /// Who wrote last.
    pub(super) author: &'a Author,
    /// What they did.
    pub(super) cause: Cause,
    /// What the provider holds.
    pub(super) before: Option<&'a Object>,
    /// What it is to hold.
    pub(super) after: Option<&'a Object>,
}

/// Whom the provider may tell.
pub(super) fn notify(setting: Invitations, write: Outward<'_>) -> Notify {
    let is_a_person = matches!(write.author, Author::Client { .. } | Author::Person(_));
    let is_their_change = matches!(write.cause, Cause::Edit | Cause::Delete);
    let is_silent = match setting {
        Invitations::Never => true,
        Invitations::Always => false,
        Invitations::AsAsked => write.after.or(write.before).is_some_and(asks_for_silence),
    };
    if is_a_person && is_their_change && !is_silent && concerns_attendees(write.before, write.after) {
        Notify::Attendees
    } else {
        Notify::Nobody
    }
}

/// Whether the change is of something that attendees must know.
fn concerns_attendees(before: Option<&Object>, after: Option<&Object>) -> bool {
    let has_attendees = |object: Option<&Object>| object.is_some_and(|object| attendees(object).next().is_some());
    if !has_attendees(before) && !has_attendees(after) {
        return false;
    }
    facts(before) != facts(after)
}

/// What attendees must know of an object: a set of lines, one object's against the other's.
fn facts(object: Option<&Object>) -> BTreeSet<String> {
    object.into_iter().flat_map(Object::members).flat_map(member_facts).collect()
}

fn member_facts(member: &Component) -> Vec<String> {
    let id = member.property("RECURRENCE-ID").map(value).unwrap_or_default();
    let told = |property: &&Property| TOLD.iter().any(|name| property.is(name));
    let mut facts: Vec<String> =
        member.properties().iter().filter(told).flat_map(|property| fact(&id, property)).collect();
    facts.push(format!("{id} is there"));
    facts
}

fn fact(id: &str, property: &Property) -> Vec<String> {
    let name = property.name().to_ascii_uppercase();
    match name.as_str() {
        "ATTENDEE" => {
            let status = property.param("PARTSTAT").unwrap_or_else(|| "NEEDS-ACTION".into());
            vec![format!("{id} {name} {} {}", value(property), status.to_ascii_uppercase())]
        }
        // Tentative and confirmed are for the owner's own planning.
        "STATUS" if !property.value().trim().eq_ignore_ascii_case("CANCELLED") => Vec::new(),
        "EXDATE" | "RDATE" => property.list().map(|one| format!("{id} {name} {one}")).collect(),
        "LOCATION" => vec![format!("{id} {name} {}", property.text().trim())],
        _ => vec![format!("{id} {name} {}", value(property))],
    }
}

fn value(property: &Property) -> String {
    let zone = property.param("TZID").unwrap_or_default();
    format!("{}{zone}", property.value().trim().to_ascii_uppercase())
}

/// Whether the person's program said that no server is to write to anybody (RFC 6638 7.1).
fn asks_for_silence(object: &Object) -> bool {
    let mut all = attendees(object).peekable();
    let is_silent =
        |one: &Property| one.param("SCHEDULE-AGENT").is_some_and(|agent| !agent.eq_ignore_ascii_case("SERVER"));
    all.peek().is_some() && all.all(is_silent)
}

fn attendees(object: &Object) -> impl Iterator<Item = &Property> {
    object.members().flat_map(|member| member.all("ATTENDEE"))
}

/// Properties whose change attendees must know of.
const TOLD: &[&str] =
    &["DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "LOCATION", "ATTENDEE", "ORGANIZER", "STATUS"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::UserId;

    const PLAIN: &str = "DTSTART:20260101T100000Z\r\nSUMMARY:A\r\n";
    const PERSON: &str = "ORGANIZER:mailto:ana@example.org\r\nATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:bo@example.org\r\n";

    fn object(lines: &str) -> Object {
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\n{lines}\
             END:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        Object::parse(text.into()).unwrap()
    }

    fn of(setting: Invitations, author: &Author, cause: Cause, sides: (Option<&str>, Option<&str>)) -> bool {
        let (before, after) = (sides.0.map(object), sides.1.map(object));
        notify(setting, Outward { author, cause, before: before.as_ref(), after: after.as_ref() }) == Notify::Attendees
    }

    #[test]
    fn people_are_told_of_what_they_must_know_and_of_nothing_else() {
        let user = UserId::parse("ana").unwrap();
        let ana = Author::Client { user: user.clone(), device: None };
        let with = |more: &str| format!("{PLAIN}{PERSON}{more}");
        let meeting = with("");
        let table = [
            (None, Some(meeting.clone()), true, "an invitation"),
            (Some(meeting.clone()), None, true, "a cancellation"),
            (Some(meeting.clone()), Some(with("LOCATION:Room 2\r\n")), true, "a place"),
            (Some(meeting.clone()), Some(meeting.replace("T100000Z", "T110000Z")), true, "a time"),
            (Some(meeting.clone()), Some(with("STATUS:CANCELLED\r\n")), true, "called off"),
            (Some(meeting.clone()), Some(with("ATTENDEE:mailto:cy@example.org\r\n")), true, "one more"),
            (Some(meeting.clone()), Some(format!("{PLAIN}ORGANIZER:mailto:ana@example.org\r\n")), true, "one less"),
            (Some(meeting.clone()), Some(meeting.replace("NEEDS-ACTION", "ACCEPTED")), true, "an answer"),
            (Some(meeting.clone()), Some(meeting.replace("SUMMARY:A", "SUMMARY:B")), false, "a title"),
            (Some(meeting.clone()), Some(with("CATEGORIES:work\r\nSTATUS:CONFIRMED\r\n")), false, "my own sorting"),
            (None, Some(PLAIN.to_owned()), false, "nobody to tell"),
            (Some(PLAIN.to_owned()), None, false, "nobody to tell"),
            (None, Some(meeting.replace("ATTENDEE;", "ATTENDEE;SCHEDULE-AGENT=CLIENT;")), false, "silence asked for"),
        ];
        for (before, after, told, what) in table {
            let sides = (before.as_deref(), after.as_deref());
            assert_eq!(of(Invitations::AsAsked, &ana, Cause::Edit, sides), told, "{what}");
            assert!(!of(Invitations::Never, &ana, Cause::Edit, sides), "{what}");
            // What the gateway does by itself tells nobody, and neither does what came from elsewhere.
            for cause in [Cause::Move, Cause::Follow, Cause::Merge, Cause::Restore] {
                assert!(!of(Invitations::Always, &ana, cause, sides), "{what}: {cause:?}");
            }
            for author in [Author::Import, Author::Provider("s-x1".parse().unwrap())] {
                assert!(!of(Invitations::Always, &author, Cause::Edit, sides), "{what}");
            }
        }
        let silent = meeting.replace("ATTENDEE;", "ATTENDEE;SCHEDULE-AGENT=CLIENT;");
        assert!(of(Invitations::Always, &ana, Cause::Edit, (None, Some(&silent))));
        assert!(of(Invitations::AsAsked, &Author::Person(user), Cause::Delete, (Some(&meeting), None)));
    }
}

//! Who leads, and who shows in the unified calendar: the pure rules.

use crate::calendar::record::{EventRow, Member, Space};
use crate::ical::{ComponentKind, Object, Property};
use crate::id::{CollectionName, EventId, ResourceName};

/// What an account is in an event: its organizer's copy can tell the guests, an invited account's can answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// The organizer.
    Organizer,
    /// Invited.
    Guest,
    /// Neither, or nobody knows.
    #[default]
    Stranger,
}

impl Role {
    /// The role of whoever has these addresses, in lower case and without `mailto:`.
    pub(crate) fn of(addresses: &[String], object: &Object) -> Self {
        let is_theirs = |property: &Property| {
            let value = property.value().trim().to_ascii_lowercase();
            let address = value.strip_prefix("mailto:").unwrap_or(&value);
            addresses.iter().any(|own| own == address)
        };
        if object.members().any(|member| member.all("ORGANIZER").any(is_theirs)) {
            Self::Organizer
        } else if object.members().any(|member| member.all("ATTENDEE").any(is_theirs)) {
            Self::Guest
        } else {
            Self::Stranger
        }
    }
}

/// The member that leads: of those that can be written the organizer's, else an invited one's, else the present leader, else the
/// first; where none can be written, the present leader, else the first. `None` without members.
pub(crate) fn leader<'a>(
    members: &'a [Member],
    present: &CollectionName,
    is_writable: impl Fn(&CollectionName) -> bool,
    role: impl Fn(&CollectionName) -> Role,
) -> Option<&'a CollectionName> {
    let collections = || members.iter().map(|member| &member.collection);
    let known = collections().find(|name| *name == present);
    let writable = collections().filter(|name| is_writable(name));
    writable.min_by_key(|name| (role(name), *name != present)).or(known).or_else(|| collections().next())
}

/// Whether the event stands in the unified calendar: it holds events only.
pub(crate) fn shows_unified(row: &EventRow) -> bool {
    row.is_alive() && row.space == Space::Unified && row.kind == ComponentKind::Event
}

/// The name an event gets when the one that was wished for is taken: from its id, so that it never changes.
pub(crate) fn fallback_name(event: EventId, attempt: usize) -> ResourceName {
    let text = if attempt == 0 { format!("{event}.ics") } else { format!("{event}-{attempt}.ics") };
    ResourceName::try_from(text).unwrap_or_else(|_| unreachable!("hexadecimal digits make a name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members, present leader, those that can be written, the leader.
    type Case<'a> = (&'a [&'a str], &'a str, &'a [&'a str], Option<&'a str>);

    #[test]
    fn the_leader_stays_while_it_can_be_written() {
        let name = |text: &str| text.parse::<CollectionName>().unwrap();
        let members = |texts: &[&str]| -> Vec<Member> {
            texts.iter().map(|t| Member { collection: name(t), name: "x.ics".parse().unwrap() }).collect()
        };
        let cases: [Case<'_>; 7] = [
            (&[], "a", &["a"], None),
            (&["a"], "a", &["a"], Some("a")),
            (&["a", "b"], "b", &["a", "b"], Some("b")),
            (&["a", "b"], "a", &["b"], Some("b")),
            (&["a", "b"], "b", &[], Some("b")),
            (&["a", "b"], "gone", &[], Some("a")),
            (&["a", "b"], "gone", &["b"], Some("b")),
        ];
        for (who, present, writable, expected) in cases {
            let members = members(who);
            let found = leader(&members, &name(present), |c| writable.contains(&c.as_str()), |_| Role::Stranger);
            assert_eq!(found.map(CollectionName::as_str), expected, "{who:?} {present} {writable:?}");
        }
    }

    #[test]
    fn the_organizers_copy_leads_else_that_of_an_account_that_was_invited() {
        let text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\n\
                    DTSTART:20260101T100000Z\r\nORGANIZER:mailto:Ana@Example.org\r\nATTENDEE:mailto:bo@example.net\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        let object = Object::parse(bytes::Bytes::from(text)).unwrap();
        let role = |address: &str| Role::of(&[address.to_owned()], &object);
        assert_eq!(role("ana@example.org"), Role::Organizer);
        assert_eq!(role("bo@example.net"), Role::Guest);
        assert_eq!(role("cy@example.net"), Role::Stranger);
        let name = |text: &str| text.parse::<CollectionName>().unwrap();
        let members: Vec<Member> =
            ["c", "b", "a"].map(|t| Member { collection: name(t), name: "x.ics".parse().unwrap() }).into();
        let address = |c: &CollectionName| match c.as_str() {
            "a" => role("ana@example.org"),
            "b" => role("bo@example.net"),
            _ => Role::Stranger,
        };
        let led = |writable: &[&str]| {
            leader(&members, &name("c"), |c| writable.contains(&c.as_str()), address).unwrap().to_string()
        };
        assert_eq!(
            (led(&["a", "b", "c"]), led(&["b", "c"]), led(&["c"]), led(&[])),
            ("a".into(), "b".into(), "c".into(), "c".into())
        );
    }
}

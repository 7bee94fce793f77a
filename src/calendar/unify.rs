//! Who leads, and who shows in the unified calendar: the pure rules.

use crate::calendar::record::{EventRow, Member, Space};
use crate::ical::ComponentKind;
use crate::id::{CollectionName, EventId, ResourceName};

/// The member that leads: the present leader while it can be written, else the first that can, else the present
/// leader, else the first. `None` without members.
pub(crate) fn leader<'a>(
    members: &'a [Member],
    present: &CollectionName,
    is_writable: impl Fn(&CollectionName) -> bool,
) -> Option<&'a CollectionName> {
    let collections = || members.iter().map(|member| &member.collection);
    let present = collections().find(|name| *name == present);
    present
        .filter(|name| is_writable(name))
        .or_else(|| collections().find(|name| is_writable(name)))
        .or(present)
        .or_else(|| collections().next())
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
            let found = leader(&members, &name(present), |c| writable.contains(&c.as_str()));
            assert_eq!(found.map(CollectionName::as_str), expected, "{who:?} {present} {writable:?}");
        }
    }
}

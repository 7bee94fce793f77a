//! The stash: the lines that Graph has no room for, kept with the event itself (providers.md 5.8).
//!
//! Each event carries its component as the client wrote it, in named extended properties of less than 8 KiB each, with
//! their count and a checksum. They stay in the mailbox and are in no mail. On reading, a line of the stash stands
//! where what Graph says still agrees with it; see [`super::read`].
//! Invariant: a stash that is cut, mixed or altered counts as none.

use super::wire::{Event, ExtendedProperty};
use crate::ical::{Component, Object, Zone};

/// The stash of one member of an object.
pub(super) fn pack(object: &Object, member: &Component) -> Vec<ExtendedProperty> {
    let mut lines = Vec::new();
    for zone in object.timezones().filter(|zone| is_unknown(zone)) {
        copy(zone, &mut lines);
    }
    copy(member, &mut lines);
    shrink(&mut lines);
    let text = lines.join("\n");
    let parts = split(&text);
    let head = format!("1 {} {:08x}\n", parts.len(), crc32c::crc32c(text.as_bytes()));
    let uid =
        member.property("UID").map(crate::ical::Property::text).filter(|uid| !uid.is_empty() && uid.len() < 1_000);
    let mut properties: Vec<ExtendedProperty> =
        uid.into_iter().map(|uid| ExtendedProperty { id: marker_id(), value: Some(uid) }).collect();
    for (number, id) in ids().enumerate() {
        let value = match (number, parts.get(number)) {
            (0, Some(part)) => format!("{head}{part}"),
            (_, Some(part)) => (*part).to_owned(),
            // What an older and longer stash left is not touched: the count says what belongs to it.
            (_, None) => break,
        };
        properties.push(ExtendedProperty { id, value: Some(value) });
    }
    properties
}

/// The stashed component, in a calendar of its own.
pub(super) fn unpack(event: &Event) -> Option<Object> {
    let properties = event.single_value_extended_properties.as_deref()?;
    let value = |id: &str| {
        properties.iter().find(|property| property.id.eq_ignore_ascii_case(id)).and_then(|found| found.value.as_deref())
    };
    let mut names = ids();
    let (head, first) = value(&names.next()?)?.split_once('\n')?;
    let mut head = head.split(' ');
    let (format, count, sum) = (head.next()?, head.next()?, head.next()?);
    if format != "1" {
        return None;
    }
    let mut text = first.to_owned();
    for _ in 1..count.parse::<usize>().ok().filter(|count| *count <= PARTS)? {
        text.push_str(value(&names.next()?)?);
    }
    if u32::from_str_radix(sum, 16).ok()? != crc32c::crc32c(text.as_bytes()) {
        return None;
    }
    let calendar = format!("BEGIN:VCALENDAR\nVERSION:2.0\n{text}\nEND:VCALENDAR\n");
    Object::parse(calendar.into()).ok().filter(|object| object.members().count() == 1)
}

/// A property by whose value the event can be found: its UID.
pub(super) fn marker(event: &Event) -> Option<ExtendedProperty> {
    let uid = unpack(event)?.uid().to_owned();
    (!uid.is_empty()).then(|| ExtendedProperty { id: marker_id(), value: Some(uid) })
}

pub(super) fn marker_id() -> String {
    format!("String {{{GUID}}} Name ltUid")
}

/// The `$expand` that makes Graph return the stash.
pub(super) fn expand() -> String {
    let filter: Vec<String> = ids().map(|id| format!("id eq '{id}'")).collect();
    format!("singleValueExtendedProperties($filter={})", filter.join(" or "))
}

/// Whether two stashes say the same.
pub(super) fn same(a: &Event, b: &Event) -> bool {
    let text = |event: &Event| unpack(event).map(|object| object.octets().clone());
    text(a) == text(b)
}

fn ids() -> impl Iterator<Item = String> {
    (0..PARTS).map(|number| match number {
        0 => format!("String {{{GUID}}} Name ltIcal"),
        _ => format!("String {{{GUID}}} Name ltIcal{number}"),
    })
}

/// A VTIMEZONE that has to be kept, since its name alone says nothing.
fn is_unknown(zone: &Component) -> bool {
    zone.property("TZID").is_some_and(|tzid| Zone::resolve(tzid.text().trim(), None).is_none())
}

fn copy(component: &Component, lines: &mut Vec<String>) {
    lines.push(format!("BEGIN:{}", component.name()));
    let kept = component.properties().iter().filter(|line| !PASSING.iter().any(|name| line.is(name)));
    lines.extend(kept.map(|line| line.line().to_owned()));
    for child in component.children() {
        copy(child, lines);
    }
    lines.push(format!("END:{}", component.name()));
}

/// Leaves out the longest lines until the rest has room; the gateway's own store still has them.
fn shrink(lines: &mut Vec<String>) {
    let mut size: usize = lines.iter().map(|line| line.len() + 1).sum();
    while size > PARTS * PART {
        let longest = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| !["BEGIN:", "END:", "UID"].iter().any(|kept| line.starts_with(kept)))
            .max_by_key(|(_, line)| line.len())
            .map(|(at, _)| at);
        let Some(longest) = longest else { break };
        size -= lines.remove(longest).len() + 1;
    }
}

fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while parts.len() < PARTS && !rest.is_empty() {
        let end = (0..=rest.len().min(PART)).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (part, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        parts.push(part);
        rest = after;
    }
    parts
}

/// Made anew on each read, or by each snooze: not worth a write, and no write is to follow from them.
const PASSING: &[&str] = &[
    "DTSTAMP",
    "LAST-MODIFIED",
    "CREATED",
    "SEQUENCE",
    "ACKNOWLEDGED",
    "X-MOZ-LASTACK",
    "X-MOZ-SNOOZE-TIME",
    "X-MOZ-GENERATION",
];
/// Ours alone, for ever.
const GUID: &str = "6c1d2f0e-8b2a-4f0b-9d55-3a0c4d1e7f21";
/// Of octets of UTF-8; Exchange counts in UTF-16, which is never more here.
const PART: usize = 7_000;
const PARTS: usize = 4;

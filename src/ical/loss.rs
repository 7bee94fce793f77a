//! What one object says and another, which should say the same, does not: for telling what a provider could not hold.

use std::collections::{BTreeMap, BTreeSet};

use super::component::{Component, Object};
use super::meaning::{canonical_component, canonical_property, settle_end};

/// The names of the properties (or components, such as VALARM) of `ours` that `theirs` lacks or has otherwise, each once.
pub fn lost(ours: &Object, theirs: &Object) -> Vec<String> {
    let (ours, theirs) = (said(ours), said(theirs));
    let mut names = BTreeSet::new();
    for (member, things) in &ours {
        let there = theirs.get(member);
        for (name, thing) in things {
            if !there.is_some_and(|there| there.contains(&(name.clone(), thing.clone()))) {
                names.insert(name.clone());
            }
        }
    }
    names.into_iter().collect()
}

/// Whether `held` is `sent` but for what servers add and drop on their own: extensions, and links to other events (Zimbra).
pub fn is_rewritten(sent: &Object, held: &Object) -> bool {
    let is_theirs = |name: &String| name.starts_with("X-") || name == "RELATED-TO";
    lost(sent, held).iter().all(is_theirs) && lost(held, sent).iter().all(is_theirs)
}

/// A member, by its kind and instance, and what it says: name and canonical form.
type Said = BTreeMap<(String, Vec<String>), BTreeSet<(String, String)>>;

fn said(object: &Object) -> Said {
    let mut said = Said::new();
    for member in object.members() {
        let instance = member.property("RECURRENCE-ID").map(canonical_property).unwrap_or_default();
        said.entry((member.name().to_ascii_uppercase(), instance)).or_default().extend(things(member));
    }
    said
}

fn things(member: &Component) -> BTreeSet<(String, String)> {
    let mut lines: Vec<String> = member.properties().iter().flat_map(canonical_property).collect();
    settle_end(member, &mut lines);
    let name = |line: &str| line.split([';', ':']).next().unwrap_or_default().to_owned();
    let lines = lines.into_iter().map(|line| (name(&line), line));
    let children =
        member.children().iter().map(|child| (child.name().to_ascii_uppercase(), canonical_component(child)));
    lines.chain(children).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn event(extra: &str) -> Object {
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\n\
             DTSTART:20260101T100000Z\r\n{extra}END:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        Object::parse(Bytes::from(text)).unwrap()
    }

    #[test]
    fn what_is_lacking_is_named_once_and_what_was_added_is_no_loss() {
        let alarm = |minutes: u8| {
            format!("BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:x\r\nTRIGGER:-PT{minutes}M\r\nEND:VALARM\r\n")
        };
        let full =
            format!("SUMMARY:A\r\nX-COLOUR:red\r\nCATEGORIES:a,b\r\nLOCATION:There\r\n{}{}", alarm(5), alarm(10));
        let table: [(&str, &str, &[&str]); 6] = [
            (&full, &full, &[]),
            (&full, "SUMMARY:A\r\nX-COLOUR:red\r\nCATEGORIES:b,a\r\nLOCATION:There\r\n", &["VALARM"]),
            (&full, "SUMMARY:A\r\n", &["CATEGORIES", "LOCATION", "VALARM", "X-COLOUR"]),
            ("SUMMARY:A\r\n", &full, &[]),
            ("SUMMARY:A\r\n", "SUMMARY:B\r\n", &["SUMMARY"]),
            ("DTEND:20260101T110000Z\r\n", "DURATION:PT1H\r\nLAST-MODIFIED:20260101T000000Z\r\n", &[]),
        ];
        for (ours, theirs, wanted) in table {
            assert_eq!(lost(&event(ours), &event(theirs)), wanted, "{ours} {theirs}");
        }
    }
}

//! Which event of a file is which of the file before, and which of those that are gone are only out of sight.
//!
//! By UID alone it can't be said: some publishers make new UIDs for every download, some number their events through. So
//! what an event says comes first, its UID second, and its start with its title last. An event keeps the name and the UID
//! under which it was first seen.
//! Pure: the same file after the same memory gives the same.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::{Item, RemoteId, RemoteTag, Version};
use super::download::Validators;
use super::read::{Header, Reading, with_uid};
use crate::ical::{self, Budget, Object, Property};

/// What is known of a feed from its last file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) validators: Validators,
    pub(super) header: Header,
    items: Vec<Known>,
    broken: Vec<(Hash, String)>,
    cut: bool,
}

type Hash = [u8; 16];

/// An event that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    name: Hash,
    /// The UID that it was first seen with, and has here.
    uid: String,
    marks: Marks,
    /// Of what it says, under its UID here.
    tag: Hash,
    /// When it begins and ends, in seconds; an end without end for what goes on.
    span: (i64, i64),
    /// The last file had it.
    shown: bool,
}

/// By what an event is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marks {
    content: Hash,
    uid: Hash,
    place: Hash,
}

impl Memory {
    pub(super) fn write(&self) -> Bytes {
        let mut out = vec![FORMAT];
        out.extend(postcard::to_allocvec(self).unwrap_or_default());
        out.into()
    }

    /// What another version of the program wrote is nothing known.
    pub(super) fn read(octets: &[u8]) -> Option<Self> {
        postcard::from_bytes(octets.strip_prefix(&[FORMAT])?).ok()
    }

    /// The same under other validators.
    pub(super) fn under(self, validators: Validators) -> Self {
        Self { validators, ..self }
    }

    /// The last file had its end.
    pub(super) fn is_whole(&self) -> bool {
        !self.cut
    }

    /// Whether the last file had the item; `None` if it is not known at all.
    pub(super) fn shown(&self, id: &RemoteId) -> Option<bool> {
        self.find(id).map(|known| known.shown)
    }

    pub(super) fn tag(&self, id: &RemoteId) -> Option<RemoteTag> {
        self.find(id).map(|known| tag(&known.tag))
    }

    /// Why the part of the file with this name could not be read.
    pub(super) fn broken(&self, id: &RemoteId) -> Option<&str> {
        self.broken.iter().find(|(name, _)| broken_id(name) == *id).map(|(_, why)| why.as_str())
    }

    fn find(&self, id: &RemoteId) -> Option<&Known> {
        self.items.iter().find(|known| item_id(&known.name) == *id)
    }
}

/// Takes a file in: what is known then, and what it holds as items.
pub(super) fn take(before: &Memory, reading: Reading, validators: Validators, now: Timestamp) -> (Memory, Vec<Item>) {
    let entries: Vec<Entry> = reading.objects.into_iter().map(Entry::of).collect();
    let matched = matches(&before.items, &entries);
    let missed: HashSet<usize> = matched.iter().flatten().copied().collect();
    let missed = before.items.iter().enumerate().filter(|(at, _)| !missed.contains(at)).map(|(_, known)| known);
    let kept: Vec<Known> = if reading.whole {
        out_of_sight(missed, &entries, now)
    } else {
        // What a file that was cut off does not name may be in the part that is missing.
        missed.cloned().collect()
    };
    let mut names = Names::of(before, &matched, &kept);
    let (mut items, mut known) = (Vec::new(), Vec::new());
    for (entry, at) in entries.into_iter().zip(matched) {
        let (name, uid) = match at.and_then(|at| before.items.get(at)) {
            Some(old) => (old.name, old.uid.clone()),
            None => names.give(entry.object.uid(), &entry.marks),
        };
        let Some(object) = entry.named(&uid) else { continue };
        let seen =
            Known { name, uid, marks: entry.marks, tag: hash(&ical::meaning(&object)), span: entry.span, shown: true };
        let version = Version { id: item_id(&name), tag: Some(tag(&seen.tag)) };
        items.push(Item::Full { version, object: object.octets().clone() });
        known.push(seen);
    }
    items.extend(kept.iter().map(|known| Item::Stub { id: item_id(&known.name), tag: Some(tag(&known.tag)) }));
    known.extend(kept.into_iter().map(|known| Known { shown: !reading.whole && known.shown, ..known }));
    let broken: Vec<(Hash, String)> = reading.broken.into_iter().map(|why| (hash(why.as_bytes()), why)).collect();
    items.extend(broken.iter().map(|(name, _)| Item::Stub { id: broken_id(name), tag: Some(tag(name)) }));
    // A file that was cut off is asked for again, whatever its tag.
    let validators = if reading.whole { validators } else { Validators::default() };
    (Memory { validators, header: reading.header, items: known, broken, cut: !reading.whole }, items)
}

/// An event of the file at hand.
struct Entry {
    object: Object,
    marks: Marks,
    span: (i64, i64),
}

impl Entry {
    fn of(object: Object) -> Self {
        let nameless = with_uid(&object, NAMELESS);
        let content = hash(&ical::meaning(nameless.as_ref().unwrap_or(&object)));
        let uid = hash(object.uid().as_bytes());
        let marks = Marks { content, uid, place: hash(place(&object).as_bytes()) };
        let spans = ical::summary(&object, &mut Budget::object()).spans;
        let first = spans.iter().map(|span| span.0).min().unwrap_or(i64::MIN);
        let last = spans.iter().map(|span| span.1).max().unwrap_or(i64::MAX);
        Self { object, marks, span: (first, last) }
    }

    fn named(&self, uid: &str) -> Option<Object> {
        if self.object.uid() == uid { Some(self.object.clone()) } else { with_uid(&self.object, uid) }
    }
}

/// Its start and its title.
fn place(object: &Object) -> String {
    let member = object.master().or_else(|| object.members().next());
    let line = |name: &str| member.and_then(|member| member.property(name)).map(Property::line);
    [line("DTSTART"), line("RRULE"), line("SUMMARY")].into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// For each entry, which of the known items it is.
#[expect(clippy::type_complexity, reason = "spelled out once, here")]
fn matches(known: &[Known], entries: &[Entry]) -> Vec<Option<usize>> {
    let mut found: Vec<Option<usize>> = vec![None; entries.len()];
    let mut free = vec![true; known.len()];
    let ways: [fn(&Marks) -> (Hash, Hash); 4] = [
        |marks| (marks.content, marks.uid),
        |marks| (marks.content, [0; 16]),
        |marks| (marks.uid, [0; 16]),
        |marks| (marks.place, [0; 16]),
    ];
    for way in ways {
        let mut by_mark: HashMap<(Hash, Hash), Vec<usize>> = HashMap::new();
        // From the back, so that the first of several equal ones is the first taken.
        for (at, item) in known.iter().enumerate().rev().filter(|(at, _)| free.get(*at) == Some(&true)) {
            by_mark.entry(way(&item.marks)).or_default().push(at);
        }
        for (entry, found) in entries.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
            *found = by_mark.get_mut(&way(&entry.marks)).and_then(Vec::pop);
            if let Some(taken) = found.and_then(|at| free.get_mut(at)) {
                *taken = false;
            }
        }
    }
    found
}

/// Those of the missing that the feed has only stopped showing: begun or over, and older than all that it still shows.
fn out_of_sight<'a>(missing: impl Iterator<Item = &'a Known>, entries: &[Entry], now: Timestamp) -> Vec<Known> {
    let finite = || entries.iter().map(|entry| entry.span).filter(|span| span.0 > i64::MIN && span.1 < i64::MAX);
    let (first, end) = (finite().map(|span| span.0).min(), finite().map(|span| span.1).min());
    let forgotten = now.checked_sub(HISTORY).unwrap_or(Timestamp::MIN).as_second();
    let now = now.as_second();
    let is_out = |span: (i64, i64)| {
        let is_older = first.is_none_or(|first| span.0 <= first) || end.is_none_or(|end| span.1 <= end);
        span.0 <= now && span.1 < i64::MAX && span.1 > forgotten && is_older
    };
    missing.filter(|known| is_out(known.span)).cloned().collect()
}

/// Names and UIDs in use, so that no two events get the same.
struct Names {
    names: HashSet<Hash>,
    uids: HashSet<String>,
}

impl Names {
    fn of(before: &Memory, matched: &[Option<usize>], kept: &[Known]) -> Self {
        let again = matched.iter().flatten().filter_map(|at| before.items.get(*at));
        let used: Vec<&Known> = again.chain(kept).collect();
        let uids = used.iter().map(|known| known.uid.clone()).collect();
        Self { names: used.iter().map(|known| known.name).collect(), uids }
    }

    /// A name and a UID for a new event: its own UID, unless another event was first seen with it.
    fn give(&mut self, wished: &str, marks: &Marks) -> (Hash, String) {
        let mut uid = wished.to_owned();
        let mut number = 0_u32;
        while !self.uids.insert(uid.clone()) || !self.names.insert(hash(uid.as_bytes())) {
            number += 1;
            uid = format!("{wished}-{}-{number}", HEXLOWER.encode(marks.place.get(..8).unwrap_or_default()));
        }
        (hash(uid.as_bytes()), uid)
    }
}

fn hash(octets: &[u8]) -> Hash {
    let digest: [u8; 32] = Sha256::digest(octets).into();
    digest.first_chunk().copied().unwrap_or_default()
}

fn item_id(name: &Hash) -> RemoteId {
    RemoteId::new(format!("{}.ics", HEXLOWER.encode(name)))
}

fn broken_id(name: &Hash) -> RemoteId {
    RemoteId::new(format!("unreadable-{}", HEXLOWER.encode(name)))
}

fn tag(hash: &Hash) -> RemoteTag {
    RemoteTag::new(HEXLOWER.encode(hash))
}

const FORMAT: u8 = 1;
/// The UID of all events while their contents are compared.
const NAMELESS: &str = "x";
/// For so long what a feed no longer shows is kept.
const HISTORY: SignedDuration = SignedDuration::from_hours(2 * 365 * 24);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::ics::read::read;

    fn now() -> Timestamp {
        "2025-06-15T12:00:00Z".parse().unwrap()
    }

    #[expect(clippy::format_collect, reason = "short texts, written rarely")]
    fn file(events: &[(&str, &str, &str)]) -> Reading {
        let events: String = events
            .iter()
            .map(|(uid, start, summary)| {
                format!("BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20250101T000000Z\r\nDTSTART:{start}\r\nDURATION:PT1H\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\n")
            })
            .collect();
        read(format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{events}END:VCALENDAR\r\n").as_bytes()).unwrap()
    }

    fn after(before: &Memory, reading: Reading) -> (Memory, Vec<Item>) {
        take(before, reading, Validators::default(), now())
    }

    fn ids(items: &[Item]) -> Vec<(RemoteId, Option<RemoteTag>)> {
        let mut ids: Vec<_> = items.iter().map(|item| (item.id().clone(), item.tag().cloned())).collect();
        ids.sort();
        ids
    }

    fn uids(items: &[Item]) -> Vec<String> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Full { object, .. } => Some(Object::parse(object.clone()).unwrap().uid().to_owned()),
                Item::Stub { .. } => None,
            })
            .collect()
    }

    #[test]
    fn new_uids_at_every_download_change_nothing() {
        let first =
            file(&[("a1", "20250701T100000Z", "A"), ("b1", "20250702T100000Z", "B"), ("c1", "20250702T100000Z", "B")]);
        let second =
            file(&[("b2", "20250702T100000Z", "B"), ("a2", "20250701T100000Z", "A"), ("c2", "20250702T100000Z", "B")]);
        let (memory, before) = after(&Memory::default(), first);
        let (memory, again) = after(&memory, second);
        assert_eq!(ids(&before), ids(&again));
        let mut served = uids(&again);
        served.sort();
        assert_eq!(served, ["a1", "b1", "c1"]);
        // One is moved, and has a new UID too: its title and the others' contents leave only one that it can be.
        let third =
            file(&[("b3", "20250702T100000Z", "B"), ("a3", "20250701T100000Z", "A"), ("c3", "20250702T100000Z", "C")]);
        let (_, changed) = after(&memory, third);
        assert_eq!(uids(&changed).len(), 3);
    }

    #[test]
    fn events_that_are_numbered_through_stay_who_they_are() {
        let first =
            file(&[("1", "20250701T100000Z", "A"), ("2", "20250702T100000Z", "B"), ("3", "20250703T100000Z", "C")]);
        let (memory, before) = after(&Memory::default(), first);
        let second =
            file(&[("1", "20250702T100000Z", "B"), ("2", "20250703T100000Z", "C"), ("3", "20250704T100000Z", "D")]);
        let (memory, again) = after(&memory, second);
        assert_eq!(ids(&before)[..].iter().filter(|one| ids(&again).contains(one)).count(), 2);
        let served = uids(&again);
        assert_eq!(&served[..2], ["2", "3"]);
        assert!(served[2].starts_with("3-"), "{served:?}");
        assert_eq!(Memory::read(&memory.write()), Some(memory));
    }

    #[test]
    fn a_changed_event_with_its_uid_is_the_same() {
        let (memory, before) = after(&Memory::default(), file(&[("a", "20250701T100000Z", "A")]));
        let (_, again) = after(&memory, file(&[("a", "20250701T110000Z", "A, later")]));
        assert_eq!(before[0].id(), again[0].id());
        assert_ne!(before[0].tag(), again[0].tag());
    }

    #[test]
    fn what_a_window_has_left_behind_stays_and_what_was_called_off_goes() {
        let (memory, _) = after(
            &Memory::default(),
            file(&[
                ("old", "20250601T100000Z", "Over"),
                ("running", "20250615T113000Z", "Begun"),
                ("off", "20250620T100000Z", "Called off"),
                ("next", "20250621T100000Z", "Next"),
            ]),
        );
        let (memory, items) = after(&memory, file(&[("next", "20250621T100000Z", "Next")]));
        assert_eq!(items.len(), 3, "over and begun are still there");
        assert!(items.iter().skip(1).all(|item| matches!(item, Item::Stub { tag: Some(_), .. })));
        // Out of sight is no deletion, and neither is a second look.
        let (memory, again) = after(&memory, file(&[("next", "20250621T100000Z", "Next")]));
        assert_eq!(ids(&items), ids(&again));
        // A feed that shows older things than the missing one has taken it out.
        let (_, items) =
            after(&memory, file(&[("older", "20250501T100000Z", "Older"), ("next", "20250621T100000Z", "Next")]));
        assert_eq!(items.len(), 2);
        // And after its time it is forgotten.
        let later = now().checked_add(HISTORY + SignedDuration::from_hours(240)).unwrap();
        let (_, items) = take(&memory, file(&[]), Validators::default(), later);
        assert_eq!(items.len(), 0);
    }

    #[test]
    fn a_file_that_was_cut_off_keeps_all() {
        let (memory, before) =
            after(&Memory::default(), file(&[("a", "20250701T100000Z", "A"), ("b", "20250702T100000Z", "B")]));
        let mut reading = file(&[("a", "20250701T100000Z", "A")]);
        reading.whole = false;
        reading.broken.push("line 9: the file is cut off".to_owned());
        let (memory, items) = after(&memory, reading);
        assert!(!memory.is_whole() && memory.validators == Validators::default());
        assert!(ids(&before).iter().all(|one| ids(&items).contains(one)));
        let unreadable = items.last().unwrap().id().clone();
        assert_eq!(memory.broken(&unreadable), Some("line 9: the file is cut off"));
    }
}

//! Do the rows of a user agree with one another? For tests, and for `doctor`. Reads everything, writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::calendar::record::{
    CHANGES, COLLECTIONS, Change, ENTRIES, EVENTS, EntryRow, EtagOctets, EventRow, INTENTS, REVISIONS, UIDS, counter,
};
use crate::calendar::unify;
use crate::id::{CollectionId, CollectionName, EventId, ResourceName, UserId};
use crate::store::{Store, StoreError};

/// What does not agree, one line each, without names or contents; empty when all is well.
pub async fn consistent(store: &dyn Store, user: &UserId) -> Result<Vec<String>, StoreError> {
    let mut check = Check { store, user, events: BTreeMap::new(), wrong: Vec::new() };
    for ((_, event), row) in EVENTS.scan(store, EVENTS.range(user), usize::MAX).await? {
        check.events.insert(event, row);
    }
    check.events_are_whole().await?;
    check.uids_point_to_events().await?;
    let mut names = vec![CollectionName::unified()];
    for (id, row) in COLLECTIONS.scan(store, COLLECTIONS.range(user), usize::MAX).await? {
        if !id.name.is_unified() {
            names.push(id.name.clone());
        }
        if let Some(source) = row.source() {
            check.intents_have_events(source.source.clone()).await?;
        }
    }
    check.members_have_collections(&names);
    for name in names {
        check.collection(&CollectionId::new(user, name)).await?;
    }
    Ok(check.wrong)
}

/// All events that a user has, deleted ones that can be brought back among them.
pub async fn events(store: &dyn Store, user: &UserId) -> Result<BTreeSet<EventId>, StoreError> {
    let rows = EVENTS.scan(store, EVENTS.range(user), usize::MAX).await?;
    Ok(rows.into_iter().map(|((_, event), _)| event).collect())
}

struct Check<'a> {
    store: &'a dyn Store,
    user: &'a UserId,
    events: BTreeMap<EventId, EventRow>,
    wrong: Vec<String>,
}

impl Check<'_> {
    fn say(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(what());
        }
    }

    async fn events_are_whole(&mut self) -> Result<(), StoreError> {
        for (event, row) in self.events.clone() {
            let key = (self.user.clone(), event, row.revision);
            let revision = REVISIONS.get(self.store, &key).await?;
            let etag = revision.as_ref().map(|revision| EtagOctets::of(&revision.octets));
            self.say(etag == Some(row.etag), || {
                format!("event {event}: the served revision is not what its etag says")
            });
            let length = revision.map(|revision| revision.octets.len() as u64);
            self.say(length == Some(row.length), || format!("event {event}: wrong length"));
            self.say(row.revision <= row.last_revision, || format!("event {event}: revisions are misnumbered"));
            let shows = unify::shows_unified(&row) == row.unified_name.is_some();
            self.say(shows, || format!("event {event}: the unified calendar and its members disagree"));
            let led = !row.is_alive() || row.member(&row.leader).is_some();
            self.say(led, || format!("event {event}: its leader is no member"));
            let uid = (self.user.clone(), row.space.clone(), row.uid.clone());
            let found = UIDS.get(self.store, &uid).await?.map(|uid| uid.event);
            self.say(found == Some(event), || format!("event {event}: its UID leads elsewhere"));
            for (collection, name) in row.places() {
                let key = (CollectionId::new(self.user, collection), name);
                let entry = ENTRIES.get(self.store, &key).await?;
                self.say(entry == Some(row.entry(event)), || format!("event {event}: an entry is missing or outdated"));
            }
        }
        Ok(())
    }

    async fn uids_point_to_events(&mut self) -> Result<(), StoreError> {
        for ((_, space, uid), found) in UIDS.scan(self.store, UIDS.range(self.user), usize::MAX).await? {
            let row = self.events.get(&found.event);
            let fits = row.is_some_and(|row| row.space == space && row.uid == uid);
            self.say(fits, || format!("a UID leads to event {}, which is another or missing", found.event));
        }
        Ok(())
    }

    async fn intents_have_events(&mut self, source: crate::id::SourceId) -> Result<(), StoreError> {
        for ((_, event), _) in INTENTS.scan(self.store, INTENTS.range(&source), usize::MAX).await? {
            let known = self.events.contains_key(&event);
            self.say(known, || format!("an intent for event {event}, which does not exist"));
        }
        Ok(())
    }

    fn members_have_collections(&mut self, names: &[CollectionName]) {
        for (event, row) in self.events.clone() {
            let homed = row.members.iter().all(|member| names.contains(&member.collection));
            self.say(homed, || format!("event {event} is a member of a collection that does not exist"));
        }
    }

    async fn collection(&mut self, id: &CollectionId) -> Result<(), StoreError> {
        let mut entries: BTreeMap<ResourceName, EntryRow> = BTreeMap::new();
        for ((_, name), entry) in ENTRIES.scan(self.store, ENTRIES.range(id), usize::MAX).await? {
            let stands = self.events.get(&entry.event).and_then(|row| row.name_in(&id.name)) == Some(&name);
            self.say(stands, || format!("an entry shows event {}, which does not stand there", entry.event));
            entries.insert(name, entry);
        }
        let mut last: BTreeMap<ResourceName, Option<EntryRow>> = BTreeMap::new();
        let mut before = None;
        for ((_, number), row) in CHANGES.scan(self.store, CHANGES.range(id), usize::MAX).await? {
            let follows = before.is_none_or(|before| number == before + 1);
            self.say(follows, || format!("the change log has a gap before {number}"));
            before = Some(number);
            match row.what {
                Change::Is(name, entry) => drop(last.insert(name, Some(entry))),
                Change::Gone(name) => drop(last.insert(name, None)),
                Change::Rights => {}
            }
        }
        let agree = last.iter().all(|(name, entry)| entries.get(name) == entry.as_ref());
        self.say(agree, || "the change log and the entries disagree".to_owned());
        let counted = match self.store.get(&counter(id)).await? {
            Some(bytes) => <[u8; 8]>::try_from(&bytes[..]).ok().map(u64::from_be_bytes),
            None => Some(0),
        };
        self.say(before.is_none_or(|last| counted == Some(last)), || {
            "a counter and its change log disagree".to_owned()
        });
        // Only a log that begins at one tells of every entry.
        Ok(())
    }
}

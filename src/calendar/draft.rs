//! A draft: what one write makes of some events, worked out in memory and then committed at once.
//!
//! Everything that changes an event goes through here: clients, providers, restoring, emptying a collection. A draft
//! reads what it needs, changes its copies, and [`Draft::commit`] turns the difference into one batch: revisions, event
//! rows, entries, UIDs, change logs, intents and job wishes, each guarded by what was read. It knows no rules about who may do what;
//! those are `write`'s and `apply`'s.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;

use crate::calendar::audit::{self, AuditLine};
use crate::calendar::changes;
use crate::calendar::collection::{Collection, Mirror, SourceRef};
use crate::calendar::intent::{Cause, Intent, Pending, PushJob, Want};
use crate::calendar::record::{
    ADDRESSES, Author, COLLECTIONS, Change, ENTRIES, EVENTS, EntryRow, EtagOctets, EventRow, INTENTS, Member,
    PROPERTIES, REVISIONS, RevisionRow, Space, UIDS, UidRow,
};
use crate::calendar::unify;
use crate::calendar::{Calendars, PutError};
use crate::entropy;
use crate::ical::{self, Budget, ComponentKind, Object, Spans};
use crate::id::{CollectionId, CollectionName, EventId, ResourceName, SourceId, UserId};
use crate::jobs::{JobKind, NewJob, Priority};
use crate::store::{Batch, StoreError};

/// A collection and a name in it.
type Spot = (CollectionName, ResourceName);

/// Events as they will be.
pub(crate) struct Draft<'a> {
    calendars: &'a Calendars,
    user: UserId,
    author: Author,
    cause: Cause,
    collections: HashMap<CollectionName, Option<(Collection, Bytes)>>,
    events: BTreeMap<EventId, Working>,
    /// Who will hold a name, for names that this draft has touched.
    names: HashMap<Spot, Option<EventId>>,
    uids: HashMap<(Space, String), EventId>,
}

/// One event: as it was read, and as it will be.
struct Working {
    read: Option<(EventRow, Bytes)>,
    row: EventRow,
    revisions: Vec<(u64, Bytes, Author)>,
    /// Collections whose log repeats the entry even if it is as before.
    repeat: BTreeSet<CollectionName>,
    /// The author's own source must be told too.
    tell_author: bool,
    /// The rule or the reason behind what is done, for the audit log.
    rule: Option<String>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(calendars: &'a Calendars, user: &UserId, author: Author, cause: Cause) -> Self {
        Self {
            calendars,
            user: user.clone(),
            author,
            cause,
            collections: HashMap::new(),
            events: BTreeMap::new(),
            names: HashMap::new(),
            uids: HashMap::new(),
        }
    }

    /// Whose events these are.
    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }

    /// A collection, closing ones included. Those that everybody has are made.
    pub(crate) async fn collection(&mut self, name: &CollectionName) -> Result<Option<&Collection>, StoreError> {
        if !self.collections.contains_key(name) {
            let id = CollectionId::new(&self.user, name.clone());
            let key = COLLECTIONS.key(&id);
            let mut bytes = self.calendars.store.get(&key).await?;
            if bytes.is_none() && self.calendars.collection(&id).await?.is_some() {
                bytes = self.calendars.store.get(&key).await?;
            }
            let read = match bytes {
                Some(bytes) => Some((COLLECTIONS.decode(&bytes)?, bytes)),
                None => None,
            };
            self.collections.insert(name.clone(), read);
        }
        Ok(self.known_collection(name))
    }

    /// The event at a name.
    pub(crate) async fn event_at(
        &mut self,
        collection: &CollectionName,
        name: &ResourceName,
    ) -> Result<Option<EventId>, StoreError> {
        let spot = (collection.clone(), name.clone());
        if let Some(known) = self.names.get(&spot) {
            return Ok(*known);
        }
        let key = (CollectionId::new(&self.user, spot.0.clone()), spot.1.clone());
        Ok(ENTRIES.get(&*self.calendars.store, &key).await?.map(|entry| entry.event))
    }

    /// The event that has a UID in a space, be it alive or in the trash.
    pub(crate) async fn event_with(&mut self, space: &Space, uid: &str) -> Result<Option<EventId>, StoreError> {
        let key = (space.clone(), uid.to_owned());
        if let Some(known) = self.uids.get(&key) {
            return Ok(Some(*known));
        }
        let key = (self.user.clone(), key.0, key.1);
        Ok(UIDS.get(&*self.calendars.store, &key).await?.map(|row| row.event))
    }

    /// The event as it will be. Gone since it was referred to: stale.
    pub(crate) async fn load(&mut self, event: EventId) -> Result<&EventRow, PutError> {
        Ok(&self.working(event).await?.row)
    }

    /// A new event without content or place.
    pub(crate) fn create(&mut self, space: Space, uid: &str, home: &CollectionName) -> EventId {
        let event = EventId(entropy::number(&*self.calendars.entropy));
        let now = self.calendars.clock.now();
        let row = EventRow {
            space: space.clone(),
            uid: uid.to_owned(),
            kind: ComponentKind::Other,
            generation: 0,
            revision: 0,
            last_revision: 0,
            etag: EtagOctets::of(&[]),
            length: 0,
            spans: Spans::default(),
            members: Vec::new(),
            former: Vec::new(),
            unified_name: None,
            leader: home.clone(),
            created: now,
            modified: now,
        };
        self.uids.insert((space, uid.to_owned()), event);
        self.events.insert(event, Working::new(None, row));
        event
    }

    /// Gives the event this content as a new revision. Content that it has already is left alone.
    pub(crate) async fn write(&mut self, event: EventId, object: &Object) -> Result<(), PutError> {
        let (author, now) = (self.author.clone(), self.calendars.clock.now());
        let working = self.working(event).await?;
        let etag = EtagOctets::of(object.octets());
        if working.row.revision > 0 && working.row.etag == etag {
            return Ok(());
        }
        let revision = working.keep(object.octets().clone(), author);
        let row = &mut working.row;
        row.revision = revision;
        row.etag = etag;
        row.length = object.octets().len() as u64;
        row.kind = object.kind();
        row.spans = ical::summary(object, &mut Budget::object());
        row.modified = now;
        self.settle(event, None).await
    }

    /// Keeps octets in the history without serving them; the revision that has them already, if it is the served one.
    pub(crate) async fn keep(&mut self, event: EventId, octets: &Bytes, author: Author) -> Result<u64, PutError> {
        let working = self.working(event).await?;
        if working.row.revision > 0 && working.row.etag == EtagOctets::of(octets) {
            return Ok(working.row.revision);
        }
        Ok(working.keep(octets.clone(), author))
    }

    /// Serves an older revision again, as a new one.
    pub(crate) async fn bring_back(&mut self, event: EventId, revision: u64) -> Result<(), PutError> {
        let octets = self.calendars.octets(&self.user, event, revision).await?.ok_or(PutError::NotFound)?;
        let damaged = |_| PutError::Store(StoreError::damaged(REVISIONS.id()));
        let object = Object::parse(octets).map_err(damaged)?;
        self.write(event, &object).await
    }

    /// Makes the event a member of a collection, under the name that is wished for or, if that is taken, under one of its own.
    pub(crate) async fn join(
        &mut self,
        event: EventId,
        collection: &CollectionName,
        wished: Option<&ResourceName>,
    ) -> Result<(), PutError> {
        if self.load(event).await?.member(collection).is_some() {
            return Ok(());
        }
        self.collection(collection).await?;
        let name = self.free_name(event, collection, wished).await?;
        self.names.insert((collection.clone(), name.clone()), Some(event));
        let working = self.working(event).await?;
        if working.row.members.is_empty() {
            working.row.leader = collection.clone();
        }
        working.row.former.clear();
        working.row.members.push(Member { collection: collection.clone(), name });
        self.settle(event, wished).await
    }

    /// Takes the event out of a collection. Out of the last one, it is deleted.
    pub(crate) async fn leave(&mut self, event: EventId, collection: &CollectionName) -> Result<(), PutError> {
        let now = self.calendars.clock.now();
        let working = self.working(event).await?;
        let Some(member) = working.row.member(collection).cloned() else { return Ok(()) };
        working.row.members.retain(|other| other.collection != *collection);
        if working.row.members.is_empty() {
            // Only what goes in this write: what left earlier was moved away on purpose.
            let was = working.read.as_ref().map_or(&[][..], |(row, _)| &row.members);
            working.row.former = if was.is_empty() { vec![member.clone()] } else { was.to_vec() };
            working.row.modified = now;
        }
        self.names.insert((member.collection, member.name), None);
        self.settle(event, None).await
    }

    /// Gives the event another name in a collection, the unified one included. The name must be free.
    pub(crate) async fn rename(
        &mut self,
        event: EventId,
        collection: &CollectionName,
        name: &ResourceName,
    ) -> Result<(), PutError> {
        let row = &mut self.working(event).await?.row;
        let slot = if collection.is_unified() {
            row.unified_name.as_mut()
        } else {
            row.members.iter_mut().find(|member| member.collection == *collection).map(|member| &mut member.name)
        };
        let Some(slot) = slot else { return Err(PutError::Stale) };
        let old = std::mem::replace(slot, name.clone());
        self.names.insert((collection.clone(), old), None);
        self.names.insert((collection.clone(), name.clone()), Some(event));
        Ok(())
    }

    /// Has the collection's change log name the entry again even if nothing about it changes.
    pub(crate) async fn repeat(&mut self, event: EventId, collection: &CollectionName) -> Result<(), PutError> {
        self.working(event).await?.repeat.insert(collection.clone());
        Ok(())
    }

    /// Leaves an intent for the author's own source too: what was written is not what it has.
    pub(crate) async fn tell_author(&mut self, event: EventId) -> Result<(), PutError> {
        self.working(event).await?.tell_author = true;
        Ok(())
    }

    /// Says by which rule or for what reason the event becomes what it becomes.
    pub(crate) async fn because(&mut self, event: EventId, rule: &str) -> Result<(), PutError> {
        self.working(event).await?.rule = Some(rule.to_owned());
        Ok(())
    }

    /// Commits the draft together with `also`. Nothing to commit is fine.
    pub(crate) async fn commit(mut self, also: Batch) -> Result<Vec<Pending>, PutError> {
        let mut batch = Batch::new();
        let spots = self.spots();
        self.put_events(&mut batch);
        self.put_spots(&mut batch, &spots);
        self.put_audit(&mut batch);
        let pending = self.put_intents(&mut batch).await?;
        batch.merge(also);
        if !batch.is_empty() {
            self.calendars.store.commit(batch).await?;
        }
        Ok(pending)
    }

    fn known_collection(&self, name: &CollectionName) -> Option<&Collection> {
        self.collections.get(name)?.as_ref().map(|(row, _)| row)
    }

    async fn working(&mut self, event: EventId) -> Result<&mut Working, PutError> {
        if !self.events.contains_key(&event) {
            let key = EVENTS.key(&(self.user.clone(), event));
            let bytes = self.calendars.store.get(&key).await?.ok_or(PutError::Stale)?;
            let row: EventRow = EVENTS.decode(&bytes)?;
            self.events.insert(event, Working::new(Some((row.clone(), bytes)), row));
        }
        self.events.get_mut(&event).ok_or(PutError::Stale)
    }

    /// Puts leader and unified name right after members or content changed.
    async fn settle(&mut self, event: EventId, wished: Option<&ResourceName>) -> Result<(), PutError> {
        let members = self.load(event).await?.members.clone();
        for member in &members {
            self.collection(&member.collection).await?;
        }
        let row = self.load(event).await?.clone();
        let roles = self.roles(event, &members).await?;
        let role = |name: &CollectionName| roles.get(name).copied().unwrap_or_default();
        let is_writable = |name: &CollectionName| self.known_collection(name).is_some_and(Collection::is_writable);
        let leader = unify::leader(&members, &row.leader, is_writable, role).cloned();
        let unified_name = match (unify::shows_unified(&row), &row.unified_name) {
            (true, None) => {
                let unified = CollectionName::unified();
                let wished = wished.or_else(|| members.first().map(|member| &member.name));
                let name = self.free_name(event, &unified, wished).await?;
                self.names.insert((unified, name.clone()), Some(event));
                Some(name)
            }
            (true, Some(name)) => Some(name.clone()),
            (false, Some(name)) => {
                self.names.insert((CollectionName::unified(), name.clone()), None);
                None
            }
            (false, None) => None,
        };
        let row = &mut self.working(event).await?.row;
        row.leader = leader.unwrap_or(row.leader.clone());
        row.unified_name = unified_name;
        Ok(())
    }

    /// What the accounts behind the members of a meeting are in it. With one member nobody asks.
    async fn roles(
        &mut self,
        event: EventId,
        members: &[Member],
    ) -> Result<HashMap<CollectionName, unify::Role>, PutError> {
        let mut roles = HashMap::new();
        if members.len() < 2 {
            return Ok(roles);
        }
        let working = self.working(event).await?;
        let served = working.row.revision;
        let fresh = working.revisions.iter().find(|(number, ..)| *number == served);
        let object = match fresh.map(|(_, octets, _)| octets.clone()) {
            Some(octets) => Object::parse(octets).ok(),
            None => self.calendars.revision(&self.user, event, served).await?,
        };
        let Some(object) = object.filter(|object| object.members().any(|one| one.property("ORGANIZER").is_some()))
        else {
            return Ok(roles);
        };
        for member in members {
            let id = CollectionId::new(&self.user, member.collection.clone());
            let addresses = ADDRESSES.get(&*self.calendars.store, &id).await?.unwrap_or_default().addresses;
            roles.insert(member.collection.clone(), unify::Role::of(&addresses, &object));
        }
        Ok(roles)
    }

    async fn free_name(
        &mut self,
        event: EventId,
        collection: &CollectionName,
        wished: Option<&ResourceName>,
    ) -> Result<ResourceName, PutError> {
        if let Some(name) = wished
            && self.event_at(collection, name).await?.is_none()
        {
            return Ok(name.clone());
        }
        for attempt in 0.. {
            let name = unify::fallback_name(event, attempt);
            if self.event_at(collection, &name).await?.is_none() {
                return Ok(name);
            }
        }
        Err(PutError::Stale)
    }

    /// Every spot that changes, and what will be there.
    fn spots(&self) -> BTreeMap<Spot, Option<EntryRow>> {
        let mut spots = BTreeMap::new();
        for working in self.events.values() {
            let now: HashSet<Spot> = working.row.places().collect();
            spots.extend(working.old_places().filter(|spot| !now.contains(spot)).map(|spot| (spot, None)));
        }
        // Second, so that a name which one event leaves and another takes counts as taken.
        for (event, working) in &self.events {
            let entry = working.row.entry(*event);
            let before = working.read.as_ref().map(|(row, _)| row.entry(*event));
            let old: HashSet<Spot> = working.old_places().collect();
            for spot in working.row.places() {
                let same = old.contains(&spot) && before.as_ref() == Some(&entry);
                if !same || working.repeat.contains(&spot.0) {
                    spots.insert(spot, Some(entry.clone()));
                }
            }
        }
        spots
    }

    fn put_events(&mut self, batch: &mut Batch) {
        let (now, kept) = (self.calendars.clock.now(), self.calendars.limits.revisions);
        for (event, working) in &mut self.events {
            let key = (self.user.clone(), *event);
            EVENTS.expect_bytes(batch, &key, working.read.as_ref().map(|(_, bytes)| bytes.clone()));
            for (revision, octets, author) in &working.revisions {
                let row = RevisionRow { octets: octets.clone(), author: author.clone(), at: now };
                REVISIONS.put(batch, &(self.user.clone(), *event, *revision), &row);
                let oldest = revision.checked_sub(kept).filter(|old| *old > 0 && *old != working.row.revision);
                if let Some(oldest) = oldest {
                    REVISIONS.delete(batch, &(self.user.clone(), *event, oldest));
                }
            }
            if working.read.is_none() {
                let uid = (self.user.clone(), working.row.space.clone(), working.row.uid.clone());
                UIDS.expect_absent(batch, &uid);
                UIDS.put(batch, &uid, &UidRow { event: *event });
            }
            if working.read.as_ref().is_none_or(|(row, _)| *row != working.row) {
                working.row.generation += 1;
                EVENTS.put(batch, &key, &working.row);
            }
        }
    }

    fn put_spots(&self, batch: &mut Batch, spots: &BTreeMap<Spot, Option<EntryRow>>) {
        let ours: HashSet<Spot> = self.events.values().flat_map(Working::old_places).collect();
        let mut guarded = BTreeSet::new();
        for (spot, entry) in spots {
            let id = CollectionId::new(&self.user, spot.0.clone());
            let key = (id.clone(), spot.1.clone());
            let Some(entry) = entry else {
                ENTRIES.delete(batch, &key);
                PROPERTIES.delete(batch, &(id.clone(), spot.1.to_string()));
                changes::append(batch, &id, self.calendars.clock.now(), Change::Gone(spot.1.clone()));
                continue;
            };
            // A name that some event of this draft had is guarded by that event's row.
            if !ours.contains(spot) {
                ENTRIES.expect_absent(batch, &key);
                if guarded.insert(&spot.0)
                    && let Some(Some((_, bytes))) = self.collections.get(&spot.0)
                {
                    COLLECTIONS.expect_bytes(batch, &id, Some(bytes.clone()));
                }
            }
            ENTRIES.put(batch, &key, entry);
            changes::append(batch, &id, self.calendars.clock.now(), Change::Is(spot.1.clone(), entry.clone()));
        }
    }

    fn put_audit(&self, batch: &mut Batch) {
        for (event, working) in &self.events {
            let Some(deed) = audit::deed(working.read.as_ref().map(|(row, _)| row), &working.row) else { continue };
            let row = &working.row;
            let places = if row.is_alive() { &row.members } else { &row.former };
            let line = AuditLine {
                at: self.calendars.clock.now(),
                author: self.author.clone(),
                cause: self.cause,
                deed,
                event: *event,
                uid: row.uid.clone(),
                revision: row.revision,
                collections: places.iter().map(|member| member.collection.clone()).collect(),
                rule: working.rule.clone(),
            };
            audit::append(batch, &self.user, &line);
        }
    }

    async fn put_intents(&mut self, batch: &mut Batch) -> Result<Vec<Pending>, PutError> {
        let mut pending = Vec::new();
        let mut told = BTreeMap::new();
        let events: Vec<EventId> = self.events.keys().copied().collect();
        for event in events {
            for due in self.due(event).await? {
                let seq = entropy::number(&*self.calendars.entropy);
                let key = (due.source.source.clone(), event);
                let before = INTENTS.get(&*self.calendars.store, &key).await?;
                let intent = Intent {
                    user: self.user.clone(),
                    seq,
                    since: before.map_or_else(|| self.calendars.clock.now(), |before| before.since),
                    author: self.author.clone(),
                    cause: due.cause,
                    want: due.want,
                    after: due.after,
                };
                INTENTS.put(batch, &key, &intent);
                pending.push(Pending { source: key.0.clone(), event, seq });
                told.insert(key.0, due.source);
            }
        }
        for source in told.into_values() {
            self.calendars.queue.enqueue_into(batch, &self.push_job(source));
        }
        Ok(pending)
    }

    /// The sources whose copy of this event will be out of date.
    async fn due(&mut self, event: EventId) -> Result<Vec<Due>, PutError> {
        let Some(working) = self.events.get(&event) else { return Ok(Vec::new()) };
        let old = working.read.as_ref().map(|(row, _)| row.clone());
        let (row, tell_author) = (working.row.clone(), working.tell_author);
        let wrote = old.as_ref().is_none_or(|old| old.revision != row.revision) || tell_author;
        let was: Vec<CollectionName> =
            old.into_iter().flat_map(|old| old.members).map(|member| member.collection).collect();
        let mut due = Vec::new();
        for member in &row.members {
            let joined = !was.contains(&member.collection);
            if (joined || wrote)
                && let Some(source) = self.mirrored(&member.collection).await?
                && (tell_author || !self.author.is_source(&source.source))
            {
                let cause = self.cause_for(&source.source);
                due.push(Due { source, want: Want::Live, cause, after: None, joined });
            }
        }
        let after = due.iter().find(|due| due.joined).map(|due| due.source.source.clone());
        for name in was.into_iter().filter(|name| row.member(name).is_none()) {
            if let Some(source) = self.mirrored(&name).await?
                && !self.author.is_source(&source.source)
            {
                let after = after.clone();
                due.push(Due { source, want: Want::Gone, cause: self.cause, after, joined: false });
            }
        }
        Ok(due)
    }

    fn cause_for(&self, source: &SourceId) -> Cause {
        match &self.author {
            Author::Provider(own) if own == source => Cause::Merge,
            Author::Provider(_) => Cause::Follow,
            _ => self.cause,
        }
    }

    async fn mirrored(&mut self, name: &CollectionName) -> Result<Option<SourceRef>, StoreError> {
        let row = self.collection(name).await?.filter(|row| row.mirror == Mirror::TwoWay && !row.closing);
        Ok(row.and_then(Collection::source).cloned())
    }

    fn push_job(&self, source: SourceRef) -> NewJob {
        let somebody_waits = matches!(self.author, Author::Client { .. } | Author::Person(_));
        let payload = PushJob { user: self.user.clone(), account: source.account, source: source.source };
        NewJob {
            kind: JobKind::named(PushJob::KIND),
            lane: payload.account.to_string(),
            key: PushJob::key(&payload.source),
            priority: if somebody_waits { Priority::High } else { Priority::Medium },
            payload: payload.write(),
            due: self.calendars.clock.now(),
        }
    }
}

/// A source that must be told.
struct Due {
    source: SourceRef,
    want: Want,
    cause: Cause,
    after: Option<SourceId>,
    joined: bool,
}

impl Working {
    fn new(read: Option<(EventRow, Bytes)>, row: EventRow) -> Self {
        Self { read, row, revisions: Vec::new(), repeat: BTreeSet::new(), tell_author: false, rule: None }
    }

    fn keep(&mut self, octets: Bytes, author: Author) -> u64 {
        self.row.last_revision += 1;
        self.revisions.push((self.row.last_revision, octets, author));
        self.row.last_revision
    }

    fn old_places(&self) -> impl Iterator<Item = Spot> {
        self.read.iter().flat_map(|(row, _)| row.places())
    }
}

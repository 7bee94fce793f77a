//! Writes by clients and people: PUT, DELETE, COPY, MOVE. The rules about who may do what.
//!
//! Each write reads a handful of rows, decides, and commits a draft once. When somebody else was faster it starts
//! again from what is there now, a few times. A condition of the request that fails is never retried.

use crate::calendar::collection::{Collection, CollectionKind};
use crate::calendar::draft::Draft;
use crate::calendar::intent::{Cause, Pending};
use crate::calendar::record::{Author, EtagOctets, EventRow, PROPERTIES};
use crate::calendar::{ATTEMPTS, Calendars, Conditions, PutError, Refusal};
use crate::failpoint;
use crate::ical::{Defect, DefectClass, Object};
use crate::id::{CollectionName, Etag, EventId, Place};
use crate::store::Batch;

/// What a PUT, COPY or MOVE has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// There was nothing at this place before.
    pub created: bool,
    /// The tag of what is served now.
    pub etag: Etag,
    /// The event.
    pub event: EventId,
    /// Its revision.
    pub revision: u64,
    /// What is served is octet for octet what was sent, so the tag may be told to who sent it.
    pub octets_as_sent: bool,
    /// What must go to providers because of this.
    pub pending: Vec<Pending>,
}

/// What a DELETE has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The event.
    pub event: EventId,
    /// What must go to providers because of this.
    pub pending: Vec<Pending>,
}

/// COPY or MOVE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// The source stays.
    Copy,
    /// The source goes.
    Move,
}

/// Whether a COPY or MOVE may replace what is at the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// It may.
    Allowed,
    /// It may not: 412.
    Forbidden,
}

impl Calendars {
    /// Stores an object at a place. Octets that are there already change nothing.
    pub async fn put(
        &self,
        place: &Place,
        object: Object,
        conditions: &Conditions,
        author: &Author,
    ) -> Result<Put, PutError> {
        for _ in 1..ATTEMPTS {
            match self.try_put(place, &object, conditions, author).await {
                Err(PutError::Stale) => {}
                result => return result,
            }
        }
        self.try_put(place, &object, conditions, author).await
    }

    /// Removes the object at a place: from the unified calendar everywhere, from another one only there.
    pub async fn delete(&self, place: &Place, conditions: &Conditions, author: &Author) -> Result<Deleted, PutError> {
        for _ in 1..ATTEMPTS {
            match self.try_delete(place, conditions, author).await {
                Err(PutError::Stale) => {}
                result => return result,
            }
        }
        self.try_delete(place, conditions, author).await
    }

    /// Copies an object to another place of the same user. `conditions` are about the source.
    #[expect(clippy::too_many_arguments, reason = "the parts of a COPY request")]
    pub async fn copy(
        &self,
        from: &Place,
        to: &Place,
        overwrite: Overwrite,
        conditions: &Conditions,
        author: &Author,
    ) -> Result<Put, PutError> {
        let wish = Wish { kind: Transfer::Copy, from, to, overwrite, conditions };
        self.transfer(&wish, author).await
    }

    /// Moves an object to another place of the same user. `conditions` are about the source.
    #[expect(clippy::too_many_arguments, reason = "the parts of a MOVE request")]
    pub async fn move_to(
        &self,
        from: &Place,
        to: &Place,
        overwrite: Overwrite,
        conditions: &Conditions,
        author: &Author,
    ) -> Result<Put, PutError> {
        let wish = Wish { kind: Transfer::Move, from, to, overwrite, conditions };
        self.transfer(&wish, author).await
    }

    async fn transfer(&self, wish: &Wish<'_>, author: &Author) -> Result<Put, PutError> {
        if wish.from == wish.to {
            return Err(Refusal::SamePlace.into());
        }
        if wish.from.collection.user != wish.to.collection.user {
            return Err(Refusal::ParentMissing.into());
        }
        for _ in 1..ATTEMPTS {
            match self.try_transfer(wish, author).await {
                Err(PutError::Stale) => {}
                result => return result,
            }
        }
        self.try_transfer(wish, author).await
    }

    pub(super) async fn try_put(
        &self,
        place: &Place,
        object: &Object,
        conditions: &Conditions,
        author: &Author,
    ) -> Result<Put, PutError> {
        let mut draft = Draft::new(self, &place.collection.user, author.clone(), Cause::Edit);
        let written = self.put_into(&mut draft, place, object, conditions).await?;
        failpoint::transaction("put");
        written.commit(draft, Batch::new()).await
    }

    async fn try_delete(&self, place: &Place, conditions: &Conditions, author: &Author) -> Result<Deleted, PutError> {
        let mut draft = Draft::new(self, &place.collection.user, author.clone(), Cause::Delete);
        let event = find(&mut draft, place, conditions).await?.ok_or(PutError::NotFound)?;
        remove(&mut draft, event, &place.collection.name).await?;
        failpoint::transaction("delete");
        Ok(Deleted { event, pending: draft.commit(Batch::new()).await? })
    }

    async fn try_transfer(&self, wish: &Wish<'_>, author: &Author) -> Result<Put, PutError> {
        let mut draft = Draft::new(self, &wish.from.collection.user, author.clone(), Cause::Move);
        let written = self.transfer_into(&mut draft, wish).await?;
        let also = self.carry_properties(wish).await?;
        written.commit(draft, also).await
    }

    async fn put_into(
        &self,
        draft: &mut Draft<'_>,
        place: &Place,
        object: &Object,
        conditions: &Conditions,
    ) -> Result<Written, PutError> {
        let collection = open_collection(draft, &place.collection.name).await?;
        let current = find(draft, place, conditions).await?;
        self.check_object(object, &collection)?;
        let Some(event) = current else {
            return self.place_new(draft, place, object, &collection).await;
        };
        let row = draft.load(event).await?.clone();
        if row.uid != object.uid() {
            return Err(Refusal::UidChanged.into());
        }
        if row.etag != EtagOctets::of(object.octets()) {
            let decides = if collection.kind == CollectionKind::Unified { &row.leader } else { &place.collection.name };
            require_writable(draft, decides).await?;
            draft.write(event, object).await?;
        }
        Ok(Written { created: false, event })
    }

    /// The place is free. The UID may be known: then this is the same event coming to one more collection, or back.
    async fn place_new(
        &self,
        draft: &mut Draft<'_>,
        place: &Place,
        object: &Object,
        collection: &Collection,
    ) -> Result<Written, PutError> {
        let space = collection.space();
        let known = draft.event_with(&space, object.uid()).await?;
        let row = match known {
            Some(event) => Some(draft.load(event).await?.clone()),
            None => None,
        };
        if let Some(row) = &row
            && let Some(name) = taken_name(row, collection)
        {
            return Err(Refusal::UidTaken(name.clone()).into());
        }
        let (home, why) = self.home_for(draft, collection, (row.as_ref(), object)).await?;
        require_writable(draft, &home).await?;
        if !self.has_room(&place.collection, self.limits.objects).await? {
            return Err(Refusal::Full.into());
        }
        let event = known.unwrap_or_else(|| draft.create(space, object.uid(), &home));
        draft.write(event, object).await?;
        draft.join(event, &home, Some(&place.name)).await?;
        draft.because(event, &why).await?;
        if collection.kind == CollectionKind::Unified
            && draft.load(event).await?.unified_name.as_ref() != Some(&place.name)
        {
            return Err(PutError::Stale);
        }
        Ok(Written { created: true, event })
    }

    /// The collection that a new object goes to, and why. One that comes back to the unified calendar goes where it was.
    async fn home_for(
        &self,
        draft: &mut Draft<'_>,
        collection: &Collection,
        (back, object): (Option<&EventRow>, &Object),
    ) -> Result<(CollectionName, String), PutError> {
        if collection.kind != CollectionKind::Unified {
            return Ok((collection.id.name.clone(), "it was put into this calendar".to_owned()));
        }
        for member in back.map(|row| row.former.as_slice()).unwrap_or_default() {
            let former = draft.collection(&member.collection).await?;
            if former.is_some_and(|former| former.is_writable() && !former.closing && former.unify) {
                return Ok((member.collection.clone(), "it came back to where it was".to_owned()));
            }
        }
        if let Some((chosen, why)) = self.route(&collection.id.user, object).await? {
            return Ok((chosen.id.name, why));
        }
        let default = self.default_collection(&collection.id.user).await?;
        let why = format!("new events go to the default calendar, {}", default.display_name);
        Ok((default.id.name, why))
    }

    fn check_object(&self, object: &Object, collection: &Collection) -> Result<(), Refusal> {
        object.check_resource(&self.limits.object).map_err(refusal)?;
        if collection.holds(object.kind()) { Ok(()) } else { Err(Refusal::WrongComponent) }
    }

    async fn transfer_into(&self, draft: &mut Draft<'_>, wish: &Wish<'_>) -> Result<Written, PutError> {
        let event = find(draft, wish.from, wish.conditions).await?.ok_or(PutError::NotFound)?;
        let row = draft.load(event).await?.clone();
        let (from, to) = (&wish.from.collection.name, &wish.to.collection.name);
        if row.leader.is_notices() {
            return Err(Refusal::Protected.into());
        }
        let target = open_collection(draft, to).await?;
        if !target.holds(row.kind) {
            return Err(Refusal::WrongComponent.into());
        }
        let there = draft.event_at(to, &wish.to.name).await?;
        if there.is_some() && wish.overwrite == Overwrite::Forbidden {
            return Err(PutError::ConditionFailed);
        }
        let same_space = row.space == target.space();
        if let Some(other) = there.filter(|other| *other != event)
            && (same_space || draft.load(other).await?.uid != row.uid)
        {
            remove(draft, other, to).await?;
        }
        if same_space {
            within_space(draft, wish, event, &target).await?;
        } else {
            let object = self.current(&wish.from.collection.user, event).await?.ok_or(PutError::Stale)?;
            let written = self.put_into(draft, wish.to, &object, &Conditions::NONE).await?;
            if wish.kind == Transfer::Move {
                remove(draft, event, from).await?;
            }
            return Ok(Written { created: there.is_none(), ..written });
        }
        Ok(Written { created: there.is_none(), event })
    }

    /// Dead properties go along (RFC 4918 9.8.2, 9.9.1).
    async fn carry_properties(&self, wish: &Wish<'_>) -> Result<Batch, PutError> {
        let mut batch = Batch::new();
        let key = |place: &Place| (place.collection.clone(), place.name.to_string());
        match PROPERTIES.get(&*self.store, &key(wish.from)).await? {
            Some(properties) => PROPERTIES.put(&mut batch, &key(wish.to), &properties),
            None => PROPERTIES.delete(&mut batch, &key(wish.to)),
        }
        Ok(batch)
    }
}

/// A COPY or MOVE, as it was asked for.
struct Wish<'a> {
    kind: Transfer,
    from: &'a Place,
    to: &'a Place,
    overwrite: Overwrite,
    conditions: &'a Conditions,
}

/// What a draft will have done once it is committed.
struct Written {
    created: bool,
    event: EventId,
}

impl Written {
    async fn commit(self, mut draft: Draft<'_>, also: Batch) -> Result<Put, PutError> {
        let row = draft.load(self.event).await?;
        let (etag, revision) = (row.etag.etag(), row.revision);
        let pending = draft.commit(also).await?;
        Ok(Put { created: self.created, etag, event: self.event, revision, octets_as_sent: true, pending })
    }
}

/// COPY and MOVE between collections that share a space: the same event, with other members or another name.
async fn within_space(
    draft: &mut Draft<'_>,
    wish: &Wish<'_>,
    event: EventId,
    target: &Collection,
) -> Result<(), PutError> {
    let (from, to) = (&wish.from.collection.name, &wish.to.collection.name);
    let row = draft.load(event).await?.clone();
    let already = row.name_in(to).cloned();
    if wish.kind == Transfer::Move && from == to {
        require_removable(draft, &row, from).await?;
        return draft.rename(event, from, &wish.to.name).await;
    }
    if let Some(name) = already.filter(|name| *name != wish.to.name || target.kind == CollectionKind::Unified) {
        return Err(Refusal::UidTaken(name).into());
    }
    require_writable(draft, to).await?;
    draft.join(event, to, Some(&wish.to.name)).await?;
    if wish.kind == Transfer::Copy {
        return Ok(());
    }
    require_removable(draft, &row, from).await?;
    for member in row.members.iter().filter(|member| member.collection != *to) {
        if from.is_unified() || member.collection == *from {
            draft.leave(event, &member.collection).await?;
        }
    }
    // The client took the unified entry away on its side; its next sync must bring it back.
    if from.is_unified() { draft.repeat(event, from).await } else { Ok(()) }
}

/// The event at a place, if the request's conditions hold there.
async fn find(draft: &mut Draft<'_>, place: &Place, conditions: &Conditions) -> Result<Option<EventId>, PutError> {
    let name = &place.collection.name;
    let open = draft.collection(name).await?.is_some_and(|collection| !collection.closing);
    let event = if open { draft.event_at(name, &place.name).await? } else { None };
    let Some(event) = event else {
        conditions.check(None)?;
        return Ok(None);
    };
    let row = draft.load(event).await?;
    // The entry and the event were read one after the other; somebody may have moved it in between.
    if row.name_in(name) != Some(&place.name) {
        return Err(PutError::Stale);
    }
    conditions.check(Some(&row.etag.etag()))?;
    Ok(Some(event))
}

/// Takes an event away as seen from one collection.
async fn remove(draft: &mut Draft<'_>, event: EventId, collection: &CollectionName) -> Result<(), PutError> {
    let row = draft.load(event).await?.clone();
    require_removable(draft, &row, collection).await?;
    if !collection.is_unified() {
        return draft.leave(event, collection).await;
    }
    for member in &row.members {
        draft.leave(event, &member.collection).await?;
    }
    Ok(())
}

/// From the unified calendar an event is removed wherever it is, so every place must allow it.
async fn require_removable(draft: &mut Draft<'_>, row: &EventRow, collection: &CollectionName) -> Result<(), PutError> {
    if !collection.is_unified() {
        return require_writable(draft, collection).await;
    }
    for member in &row.members {
        require_writable(draft, &member.collection).await?;
    }
    Ok(())
}

async fn require_writable(draft: &mut Draft<'_>, collection: &CollectionName) -> Result<(), PutError> {
    match draft.collection(collection).await? {
        Some(row) if row.is_writable() => Ok(()),
        Some(_) => Err(Refusal::ReadOnly.into()),
        None => Err(Refusal::ParentMissing.into()),
    }
}

async fn open_collection(draft: &mut Draft<'_>, name: &CollectionName) -> Result<Collection, PutError> {
    let row = draft.collection(name).await?.filter(|row| !row.closing);
    row.cloned().ok_or_else(|| Refusal::ParentMissing.into())
}

/// The name under which a living event has its UID in the way of another object in this collection.
fn taken_name<'a>(row: &'a EventRow, collection: &Collection) -> Option<&'a crate::id::ResourceName> {
    let name = row.name_in(&collection.id.name);
    // A task of the shared space has no unified name, but its UID is no less in use.
    let elsewhere = || row.members.first().filter(|_| collection.kind == CollectionKind::Unified);
    name.or_else(|| elsewhere().map(|member| &member.name))
}

fn refusal(defect: Defect) -> Refusal {
    match defect.class() {
        DefectClass::Size => Refusal::TooLarge,
        DefectClass::Instances => Refusal::TooManyInstances,
        DefectClass::Attendees => Refusal::TooManyAttendees,
        _ => Refusal::Invalid(defect),
    }
}

//! A person's word on a conflict: which version is served from now on, in one commit with the record of it.
//!
//! It is an edit like any other, so it goes to the providers; the version that is not kept stays in the history.
//! Keeping both makes the other version an event of its own. That copy invites nobody: it has no organiser and no
//! attendees, or a server that sends invitations would mail them.

use serde::{Deserialize, Serialize};

use crate::calendar::collection::Collection;
use crate::calendar::conflict::{Conflict, ConflictId, ConflictKind, Decision};
use crate::calendar::draft::Draft;
use crate::calendar::intent::{Cause, Pending};
use crate::calendar::record::{Author, CONFLICTS, REVISIONS};
use crate::calendar::{ATTEMPTS, Calendars, PutError, Refusal};
use crate::entropy;
use crate::ical::{At, Edit, Line, Object};
use crate::id::{CollectionName, EventId, UserId};
use crate::store::{Batch, StoreError};

/// What a person keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The version of this side.
    Local,
    /// The version of the other side.
    Remote,
    /// What is served, and the other version as an event of its own.
    Both,
}

/// Why a conflict could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is no such conflict, or its event is forgotten.
    #[error("there is no such conflict any more")]
    NotFound,
    /// One side has nothing to keep beside the other.
    #[error("there are no two versions to keep: one side deleted the event or refused it")]
    OneSided,
    /// It could not be written.
    #[error(transparent)]
    Put(#[from] PutError),
}

impl From<StoreError> for ResolveError {
    fn from(error: StoreError) -> Self {
        Self::Put(error.into())
    }
}

impl Calendars {
    /// Resolves a conflict, together with `also`. One that a rule has decided may be decided otherwise.
    pub async fn resolve(
        &self,
        user: &UserId,
        id: ConflictId,
        keep: Keep,
        also: &Batch,
    ) -> Result<Vec<Pending>, ResolveError> {
        for _ in 1..ATTEMPTS {
            match self.try_resolve(user, id, keep, also).await {
                Err(ResolveError::Put(PutError::Stale)) => {}
                result => return result,
            }
        }
        self.try_resolve(user, id, keep, also).await
    }

    async fn try_resolve(
        &self,
        user: &UserId,
        id: ConflictId,
        keep: Keep,
        also: &Batch,
    ) -> Result<Vec<Pending>, ResolveError> {
        let key = (user.clone(), id.0);
        let conflict = CONFLICTS.get(&*self.store, &key).await?.ok_or(ResolveError::NotFound)?;
        if self.event(user, conflict.event).await?.is_none() {
            return Err(ResolveError::NotFound);
        }
        let mut draft = Draft::new(self, user, Author::Person(user.clone()), Cause::Merge);
        let is_alive = draft.load(conflict.event).await?.is_alive();
        let (decision, rule) = match keep {
            // What was written here since then is the version of this side.
            Keep::Local if conflict.is_open() && is_alive => (Decision::Ours, "a person kept the version of this side"),
            Keep::Local => {
                self.serve(&mut draft, &conflict, conflict.ours).await?;
                (Decision::Ours, "a person kept the version of this side")
            }
            Keep::Remote => {
                self.serve(&mut draft, &conflict, conflict.theirs).await?;
                (Decision::Theirs, "a person kept the version of the other side")
            }
            Keep::Both => {
                self.part(&mut draft, &conflict).await?;
                (Decision::Other, "a person kept both")
            }
        };
        draft.because(conflict.event, rule).await?;
        if draft.load(conflict.event).await?.is_alive() {
            // The other side has not been told of ours, whether or not it is written anew here.
            draft.tell_author(conflict.event).await?;
        }
        let decided = Some(self.clock.now());
        let resolved = Conflict { decision, decided, rule: rule.to_owned(), ..conflict.clone() };
        let mut batch = also.clone();
        CONFLICTS.expect(&mut batch, &key, &conflict);
        CONFLICTS.put(&mut batch, &key, &resolved);
        Ok(draft.commit(batch).await?)
    }

    /// Serves one side's version: a revision, or the event's absence from the source.
    async fn serve(&self, draft: &mut Draft<'_>, conflict: &Conflict, side: Option<u64>) -> Result<(), ResolveError> {
        let (event, collection) = (conflict.event, conflict.source.collection());
        let Some(revision) = side else { return Ok(draft.leave(event, &collection).await?) };
        match draft.bring_back(event, revision).await {
            Err(PutError::NotFound) => return Err(ResolveError::NotFound),
            done => done?,
        }
        if draft.load(event).await?.member(&collection).is_none() {
            let home = self.home(draft, conflict).await?;
            let former = draft.load(event).await?.former.first().map(|member| member.name.clone());
            draft.join(event, &home, former.as_ref()).await?;
        }
        Ok(())
    }

    /// Parts one source's copy from an event that it shares with others: what the source holds becomes an event of its own
    /// there, under another UID, and the source leaves the shared one. Created there first. It invites nobody.
    pub async fn separate(
        &self,
        user: &UserId,
        (event, seen): (EventId, u64),
        collection: &CollectionName,
        held: &Object,
    ) -> Result<EventId, PutError> {
        let mut draft = Draft::new(self, user, Author::Person(user.clone()), Cause::Move);
        let row = draft.load(event).await?.clone();
        if row.generation != seen {
            return Err(PutError::Stale);
        }
        let is_writable = draft.collection(collection).await?.is_some_and(|one| one.is_writable() && !one.closing);
        if !is_writable {
            return Err(Refusal::ReadOnly.into());
        }
        let uid = format!("{}-{event}", entropy::token(&*self.entropy, 10));
        let copy = as_own_event(held, &uid).ok_or(PutError::NotFound)?;
        let own = draft.create(row.space, &uid, collection);
        draft.write(own, &copy).await?;
        draft.join(own, collection, None).await?;
        draft.because(own, "a person parted it from the event that it shared a UID with").await?;
        draft.leave(event, collection).await?;
        draft.because(event, "a person parted this source's copy from it").await?;
        draft.commit(Batch::new()).await?;
        Ok(own)
    }

    /// Makes the version that is not served an event of its own.
    async fn part(&self, draft: &mut Draft<'_>, conflict: &Conflict) -> Result<EventId, ResolveError> {
        let (Some(ours), Some(theirs)) = (conflict.ours, conflict.theirs) else { return Err(ResolveError::OneSided) };
        if conflict.kind == ConflictKind::Refused {
            return Err(ResolveError::OneSided);
        }
        let user = draft.user().clone();
        let other = if conflict.decision == Decision::Theirs { ours } else { theirs };
        let octets = self.octets(&user, conflict.event, other).await?.ok_or(ResolveError::NotFound)?;
        let object = Object::parse(octets).map_err(|_| StoreError::damaged(REVISIONS.id()))?;
        let uid = format!("{}-{}", entropy::token(&*self.entropy, 10), conflict.event);
        let copy = as_own_event(&object, &uid).ok_or(ResolveError::NotFound)?;
        let space = draft.load(conflict.event).await?.space.clone();
        let home = self.home(draft, conflict).await?;
        let event = draft.create(space, &uid, &home);
        draft.write(event, &copy).await?;
        draft.join(event, &home, None).await?;
        Ok(event)
    }

    /// The source's collection, or where new events go if that takes nothing any more.
    async fn home(&self, draft: &mut Draft<'_>, conflict: &Conflict) -> Result<CollectionName, ResolveError> {
        let collection = conflict.source.collection();
        let open = draft.collection(&collection).await?.filter(|row| !row.closing);
        if open.is_some_and(Collection::is_writable) {
            return Ok(collection);
        }
        Ok(self.default_collection(draft.user()).await?.id.name)
    }
}

/// The object under another UID, and without those whom a server might write to because of it.
pub(crate) fn as_own_event(object: &Object, uid: &str) -> Option<Object> {
    let mut edit = Edit::new(object);
    for (index, component) in object.root().children().iter().enumerate() {
        if component.property("UID").is_some() {
            let at = At::Path(vec![index]);
            edit = edit.set(&at, &Line::new("UID").text(uid));
            edit = edit.remove(&at, "ORGANIZER").remove(&at, "ATTENDEE");
        }
    }
    edit.finish().ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_copy_has_its_own_uid_throughout_and_invites_nobody() {
        let member = |extra: &str| {
            format!(
                "BEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260101T100000Z\r\n{extra}\
                 ORGANIZER:mailto:a@example.org\r\nATTENDEE:mailto:b@example.org\r\nATTENDEE:mailto:c@example.org\r\nEND:VEVENT\r\n"
            )
        };
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{}{}END:VCALENDAR\r\n",
            member("RRULE:FREQ=DAILY;COUNT=3\r\n"),
            member("RECURRENCE-ID:20260102T100000Z\r\n")
        );
        let copy = as_own_event(&Object::parse(Bytes::from(text)).unwrap(), "other").unwrap();
        let text = String::from_utf8(copy.octets().to_vec()).unwrap();
        assert_eq!(copy.uid(), "other");
        assert_eq!(text.matches("UID:other").count(), 2, "{text}");
        assert!(!text.contains("mailto:") && text.contains("RRULE") && text.contains("RECURRENCE-ID"), "{text}");
    }
}

//! History: who wrote what and when, bringing something back, and the trash.

use jiff::Timestamp;

use crate::calendar::draft::Draft;
use crate::calendar::intent::{Cause, Pending};
use crate::calendar::record::{Author, EVENTS, EtagOctets, EventRow, REVISIONS, Space, UIDS};
use crate::calendar::{Calendars, Collection, PutError, Refusal};
use crate::ical::Object;
use crate::id::{Etag, EventId, SourceId, UserId};
use crate::store::{Batch, CommitError, StoreError};

/// One revision, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionInfo {
    /// The event: one UID may be several, in collections that stand alone.
    pub event: EventId,
    /// Its number.
    pub revision: u64,
    /// Who wrote it.
    pub author: Author,
    /// When.
    pub at: Timestamp,
    /// Its tag.
    pub etag: Etag,
    /// Its octets.
    pub length: u64,
    /// It is what is served, or was when the event was deleted.
    pub served: bool,
}

/// What there was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Absent,
    /// This revision.
    Revision(u64),
}

impl Calendars {
    /// All revisions of all events of a user with this UID, oldest first.
    pub async fn history(&self, user: &UserId, uid: &str) -> Result<Vec<RevisionInfo>, StoreError> {
        let mut spaces = vec![Space::Unified];
        spaces.extend(self.collections(user).await?.iter().map(Collection::space).filter(|s| *s != Space::Unified));
        let mut history = Vec::new();
        for space in spaces {
            if let Some(row) = UIDS.get(&*self.store, &(user.clone(), space, uid.to_owned())).await? {
                history.extend(self.revisions(user, row.event).await?);
            }
        }
        Ok(history)
    }

    /// All revisions of an event that are kept, oldest first.
    pub async fn revisions(&self, user: &UserId, event: EventId) -> Result<Vec<RevisionInfo>, StoreError> {
        let served = self.event(user, event).await?.map(|row| row.revision);
        let rows = REVISIONS.scan(&*self.store, REVISIONS.range(&(user.clone(), event)), usize::MAX).await?;
        let info = rows.into_iter().map(|((_, _, revision), row)| RevisionInfo {
            event,
            revision,
            author: row.author,
            at: row.at,
            etag: EtagOctets::of(&row.octets).etag(),
            length: row.octets.len() as u64,
            served: served == Some(revision),
        });
        Ok(info.collect())
    }

    /// The content of one revision.
    pub async fn revision(&self, user: &UserId, event: EventId, revision: u64) -> Result<Option<Object>, StoreError> {
        Ok(self.parsed(user, event, revision).await?.map(|object| Object::clone(&object)))
    }

    /// Brings a revision back, and a deleted event to where it was. An edit like any other: it goes to the providers.
    pub async fn restore(
        &self,
        user: &UserId,
        event: EventId,
        revision: u64,
        author: &Author,
    ) -> Result<Vec<Pending>, PutError> {
        let mut draft = Draft::new(self, user, author.clone(), Cause::Restore);
        let row = self.event(user, event).await?.ok_or(PutError::NotFound)?;
        let members = if row.is_alive() { &row.members } else { &row.former };
        let mut homes = Vec::new();
        for member in members {
            let open = draft.collection(&member.collection).await?.filter(|row| !row.closing);
            if open.is_some_and(Collection::is_writable) {
                homes.push(member.clone());
            }
        }
        draft.bring_back(event, revision).await?;
        if row.is_alive() {
            // What no provider lets us write would only come back.
            if homes.is_empty() {
                return Err(Refusal::ReadOnly.into());
            }
            return draft.commit(Batch::new()).await;
        }
        for member in &homes {
            draft.join(event, &member.collection, Some(&member.name)).await?;
        }
        if homes.is_empty() {
            if row.space != Space::Unified {
                return Err(Refusal::ParentMissing.into());
            }
            let home = self.default_collection(user).await?.id.name;
            let name = row.former.first().map(|member| &member.name);
            draft.join(event, &home, name).await?;
        }
        draft.commit(Batch::new()).await
    }

    /// The deleted events that can still be restored, the latest deletion first.
    pub async fn trash(&self, user: &UserId) -> Result<Vec<(EventId, EventRow)>, StoreError> {
        let rows = EVENTS.scan(&*self.store, EVENTS.range(user), usize::MAX).await?;
        let dead = rows.into_iter().filter(|(_, row)| !row.is_alive());
        let mut trash: Vec<_> = dead.map(|((_, event), row)| (event, row)).collect();
        trash.sort_by_key(|(event, row)| (std::cmp::Reverse(row.modified), *event));
        Ok(trash)
    }

    /// Forgets events that were deleted before `before`, with their history. Says how many.
    /// An event that comes back to life meanwhile is left alone, and one that a provider has yet to be told of.
    pub async fn purge(&self, user: &UserId, before: Timestamp) -> Result<usize, StoreError> {
        let sources: Vec<SourceId> =
            self.collection_rows(user).await?.iter().filter_map(|row| Some(row.source()?.source.clone())).collect();
        let mut purged = 0;
        for (event, row) in self.trash(user).await? {
            let old = row.modified < before;
            if old && !self.is_awaited(&sources, event).await? && self.purge_one(user, event, &row).await? {
                purged += 1;
            }
        }
        Ok(purged)
    }

    async fn is_awaited(&self, sources: &[SourceId], event: EventId) -> Result<bool, StoreError> {
        for source in sources {
            if self.intent(source, event).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn purge_one(&self, user: &UserId, event: EventId, row: &EventRow) -> Result<bool, StoreError> {
        let key = (user.clone(), event);
        let mut batch = Batch::new();
        EVENTS.expect(&mut batch, &key, row);
        EVENTS.delete(&mut batch, &key);
        UIDS.delete(&mut batch, &(user.clone(), row.space.clone(), row.uid.clone()));
        for (revision, _) in REVISIONS.scan(&*self.store, REVISIONS.range(&key), usize::MAX).await? {
            REVISIONS.delete(&mut batch, &revision);
        }
        match self.store.commit(batch).await {
            Ok(_) => Ok(true),
            Err(CommitError::Stale(_)) => Ok(false),
            Err(CommitError::Store(error)) => Err(error),
        }
    }
}

//! Parting by hand what shares a UID: one source's copy becomes an event of its own.

use super::record::{self, BaseContent};
use super::{Engine, SyncError};
use crate::account::AccountError;
use crate::calendar::PutError;
use crate::ical::Object;
use crate::id::{CollectionId, CollectionName, EventId, SourceId, UserId};

/// Why a copy could not be parted.
#[derive(Debug, thiserror::Error)]
pub enum UnmergeError {
    /// There is no such event.
    #[error("there is no such event")]
    NoEvent,
    /// The source holds no copy of the event.
    #[error("that source holds no copy of this event")]
    NotThere,
    /// Nobody else holds the event.
    #[error("no other calendar holds this event, so there is nothing to part")]
    Alone,
    /// The calendar did not take it.
    #[error(transparent)]
    Put(#[from] PutError),
    /// The engine's own rows failed.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

impl Engine {
    /// Makes what `source` holds of an event, or what is served of it if both mean the same, an event of its own there.
    pub async fn unmerge(&self, user: &UserId, uid: &str, source: &SourceId) -> Result<EventId, UnmergeError> {
        let source = self.accounts.source(source).await.map_err(|error| match error {
            AccountError::NotFound => UnmergeError::NotThere,
            error => UnmergeError::Sync(error.into()),
        })?;
        if source.user != *user {
            return Err(UnmergeError::NotThere);
        }
        let found = self
            .calendars
            .event_by_uid(&CollectionId::new(user, CollectionName::unified()), uid)
            .await
            .map_err(SyncError::from)?;
        let (event, row) = found.filter(|(_, row)| row.is_alive()).ok_or(UnmergeError::NoEvent)?;
        if row.member(&source.collection).is_none() {
            return Err(UnmergeError::NotThere);
        }
        if row.members.len() < 2 {
            return Err(UnmergeError::Alone);
        }
        let linked = record::link_of(&*self.store, &source.id, event).await.map_err(SyncError::from)?;
        let octets = match linked.map(|linked| linked.link.base) {
            Some(BaseContent::Octets { octets, .. }) => Some(octets),
            Some(BaseContent::Revision(number)) => {
                self.calendars.octets(user, event, number).await.map_err(SyncError::from)?
            }
            None => None,
        };
        let held = match octets.and_then(|octets| Object::parse(octets).ok()) {
            Some(held) => held,
            None => self.calendars.current(user, event).await.map_err(SyncError::from)?.ok_or(UnmergeError::NoEvent)?,
        };
        Ok(self.calendars.separate(user, (event, row.generation), &source.collection, &held).await?)
    }
}

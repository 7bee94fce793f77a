//! What providers could not take: told beside the revision that they hold less of.

use super::record::{self, BaseContent};
use super::{Engine, SyncError};
use crate::ical::{self, Object};
use crate::id::{EventId, SourceId, UserId};

/// A source that holds less of a revision than we do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// The source.
    pub source: SourceId,
    /// The revision that was sent to it.
    pub revision: u64,
    /// The names of the properties that stay here alone.
    pub properties: Vec<String>,
}

impl Engine {
    /// What the sources that hold an event could not take of it.
    pub async fn held_back(&self, user: &UserId, event: EventId) -> Result<Vec<HeldBack>, SyncError> {
        let mut held = Vec::new();
        let Some(row) = self.calendars.event(user, event).await? else { return Ok(held) };
        for source in self.accounts.sources(user).await? {
            if row.member(&source.collection).is_none() {
                continue;
            }
            let linked = record::link_of(&*self.store, &source.id, event).await?;
            let Some(BaseContent::Octets { octets, opposite: Some(revision) }) = linked.map(|linked| linked.link.base)
            else {
                continue;
            };
            let ours = self.calendars.octets(user, event, revision).await?;
            let ours = ours.and_then(|octets| Object::parse(octets).ok());
            let (Some(ours), Ok(theirs)) = (ours, Object::parse(octets)) else { continue };
            let properties = ical::lost(&ours, &theirs);
            if !properties.is_empty() {
                held.push(HeldBack { source: source.id, revision, properties });
            }
        }
        Ok(held)
    }
}

//! Reading objects: their octets, their parsed form (kept a while), and those that match a filter.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::calendar::Calendars;
use crate::calendar::record::{ENTRIES, EVENTS, EventRow, REVISIONS, UIDS};
use crate::calendar::view::{Entry, View};
use crate::ical::{Budget, CompFilter, CompTest, ComponentKind, Object, Overrun, TimeRange, Zone, matches};
use crate::id::{CollectionId, Etag, EventId, Place, UserId};
use crate::store::StoreError;

/// An object as a GET shows it.
#[derive(Clone)]
pub struct Stored {
    /// Octet for octet what was written.
    pub octets: Bytes,
    /// Its tag.
    pub etag: Etag,
    /// When it was last written.
    pub modified: Timestamp,
    /// The event.
    pub event: EventId,
    /// Its revision.
    pub revision: u64,
    /// What it is.
    pub component: ComponentKind,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stored({}, {} octets)", self.event, self.octets.len())
    }
}

/// Why a query has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    /// It costs more than one request may.
    #[error(transparent)]
    Overrun(#[from] Overrun),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Parsed objects by user, event and revision: what never changes.
pub(crate) type ObjectCache = Cache<(UserId, EventId, u64), Arc<Object>, BySize>;

#[derive(Clone, Debug)]
pub(crate) struct BySize;

impl Weighter<(UserId, EventId, u64), Arc<Object>> for BySize {
    fn weight(&self, _: &(UserId, EventId, u64), object: &Arc<Object>) -> u64 {
        // The tree over the octets is about three times as large as they are.
        512 + 4 * object.octets().len() as u64
    }
}

pub(crate) fn object_cache(octets: u64) -> ObjectCache {
    let about_this_many = usize::try_from(octets / 6_000).unwrap_or(usize::MAX).clamp(64, 100_000);
    Cache::with_weighter(about_this_many, octets, BySize)
}

impl Calendars {
    /// The object at a place.
    pub async fn get(&self, place: &Place) -> Result<Option<Stored>, StoreError> {
        let user = &place.collection.user;
        let key = (place.collection.clone(), place.name.clone());
        // Between the two reads the revision may have been replaced and, rarely, dropped: then the entry is newer too.
        for _ in 0..2 {
            let Some(row) = ENTRIES.get(&*self.store, &key).await? else { return Ok(None) };
            if let Some(octets) = self.octets(user, row.event, row.revision).await? {
                return Ok(Some(Stored {
                    octets,
                    etag: row.etag.etag(),
                    modified: row.modified,
                    event: row.event,
                    revision: row.revision,
                    component: row.kind,
                }));
            }
        }
        Err(StoreError::damaged(REVISIONS.id()))
    }

    /// The parsed object behind an entry.
    pub async fn object(&self, id: &CollectionId, entry: &Entry) -> Result<Arc<Object>, StoreError> {
        self.parsed(&id.user, entry.event, entry.revision).await?.ok_or_else(|| StoreError::damaged(REVISIONS.id()))
    }

    /// The octets behind an entry.
    pub async fn entry_octets(&self, id: &CollectionId, entry: &Entry) -> Result<Bytes, StoreError> {
        // Whoever was parsed a moment ago is at hand.
        if let Some(object) = self.objects.get(&(id.user.clone(), entry.event, entry.revision)) {
            return Ok(object.octets().clone());
        }
        let octets = self.octets(&id.user, entry.event, entry.revision).await?;
        octets.ok_or_else(|| StoreError::damaged(REVISIONS.id()))
    }

    /// The octets of one revision.
    pub async fn octets(&self, user: &UserId, event: EventId, revision: u64) -> Result<Option<Bytes>, StoreError> {
        let row = REVISIONS.get(&*self.store, &(user.clone(), event, revision)).await?;
        Ok(row.map(|row| row.octets))
    }

    /// An event's row, also of a deleted one.
    pub async fn event(&self, user: &UserId, event: EventId) -> Result<Option<EventRow>, StoreError> {
        EVENTS.get(&*self.store, &(user.clone(), event)).await
    }

    /// The event with a UID in the space of a collection, also a deleted one.
    pub async fn event_by_uid(
        &self,
        collection: &CollectionId,
        uid: &str,
    ) -> Result<Option<(EventId, EventRow)>, StoreError> {
        let Some(space) = self.collection(collection).await?.map(|row| row.space()) else { return Ok(None) };
        let key = (collection.user.clone(), space, uid.to_owned());
        let Some(event) = UIDS.get(&*self.store, &key).await?.map(|row| row.event) else { return Ok(None) };
        Ok(self.event(&collection.user, event).await?.map(|row| (event, row)))
    }

    /// The served content of an event, also of a deleted one.
    pub async fn current(&self, user: &UserId, event: EventId) -> Result<Option<Object>, StoreError> {
        let Some(row) = self.event(user, event).await? else { return Ok(None) };
        Ok(self.parsed(user, event, row.revision).await?.map(|object| Object::clone(&object)))
    }

    /// The entries of a view that match a filter, with their objects, by name.
    #[expect(clippy::too_many_arguments, reason = "a query is asked of a view with its own zone and budget")]
    pub async fn matching(
        &self,
        id: &CollectionId,
        view: &View,
        filter: &CompFilter,
        zone: &Zone,
        budget: &mut Budget,
    ) -> Result<Vec<(Arc<Entry>, Arc<Object>)>, QueryError> {
        let wanted = kinds(filter);
        let mut found = Vec::new();
        for entry in view.candidates(&filter.window().unwrap_or(TimeRange::ALL)) {
            if wanted.as_ref().is_some_and(|kinds| !kinds.contains(&entry.component)) {
                continue;
            }
            let object = self.object(id, &entry).await?;
            if matches(filter, &object, zone, budget)? {
                found.push((entry, object));
            }
        }
        Ok(found)
    }

    pub(crate) async fn parsed(
        &self,
        user: &UserId,
        event: EventId,
        revision: u64,
    ) -> Result<Option<Arc<Object>>, StoreError> {
        let key = (user.clone(), event, revision);
        if let Some(object) = self.objects.get(&key) {
            return Ok(Some(object));
        }
        let Some(octets) = self.octets(user, event, revision).await? else { return Ok(None) };
        let object = Object::parse(octets).map_err(|_| StoreError::damaged(REVISIONS.id()))?;
        let object = Arc::new(object);
        self.objects.insert(key, Arc::clone(&object));
        Ok(Some(object))
    }
}

/// The only kinds that can match: those of components which the filter demands. `None`: any.
fn kinds(filter: &CompFilter) -> Option<Vec<ComponentKind>> {
    let CompTest::Defined { components, .. } = &filter.test else { return None };
    let demanded = components.iter().filter(|inner| matches!(inner.test, CompTest::Defined { .. }));
    let kinds: Vec<_> =
        demanded.map(|inner| ComponentKind::named(&inner.name)).filter(|kind| *kind != ComponentKind::Other).collect();
    (!kinds.is_empty()).then_some(kinds)
}

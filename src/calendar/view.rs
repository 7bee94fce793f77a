//! Views: a collection as it was after change N, immutable, for any number of readers.
//!
//! A view is found in the cache, brought up to date by the tail of the change log (or built from the entries if there is none),
//! and shared. Its maps are persistent, so the next view costs what has changed. Views are thrown away
//! when memory is short, least recently used first; nothing is lost by that.
//!
//! Building reads the counter first and the entries after it, and then follows the log from that number: entries
//! that were written while it read are in the log too, so the result is exactly the state of its number.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdSet;
use jiff::Timestamp;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::calendar::changes::behind;
use crate::calendar::index::TimeIndex;
use crate::calendar::record::{CHANGES, Change, ENTRIES, EntryRow};
use crate::calendar::{Calendars, Collection};
use crate::ical::{ComponentKind, Spans, TimeRange};
use crate::id::{CollectionId, CollectionName, Etag, EventId, ResourceName};
use crate::store::StoreError;

/// What a listing shows of an object, and what the choice of candidates needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the collection.
    pub name: ResourceName,
    /// The event.
    pub event: EventId,
    /// The revision that is served.
    pub revision: u64,
    /// Its tag.
    pub etag: Etag,
    /// Its octets.
    pub length: u64,
    /// When it was last written.
    pub modified: Timestamp,
    /// When it was first seen.
    pub created: Timestamp,
    /// What it is.
    pub component: ComponentKind,
    /// When it takes place.
    pub spans: Spans,
    /// Whether a client may write it.
    pub writable: bool,
    leader: CollectionName,
}

impl Entry {
    pub(crate) fn new(name: ResourceName, row: EntryRow, writable: bool) -> Self {
        Self {
            name,
            event: row.event,
            revision: row.revision,
            etag: row.etag.etag(),
            length: row.length,
            modified: row.modified,
            created: row.created,
            component: row.kind,
            spans: row.spans,
            writable,
            leader: row.leader,
        }
    }

    /// Whether it is a notice of the gateway's own: for its owner's eyes, in no feed and no export.
    pub fn is_notice(&self) -> bool {
        self.leader.is_notices()
    }

    /// The collection that decides about it in the unified calendar: whose event it is, for colours and the like.
    pub fn leader(&self) -> &CollectionName {
        &self.leader
    }
}

/// An entry that sorts and is found by its name.
#[derive(Clone)]
pub(crate) struct ByName(pub(crate) Arc<Entry>);

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.name, f)
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for ByName {}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(&other.0.name)
    }
}

impl Borrow<ResourceName> for ByName {
    fn borrow(&self) -> &ResourceName {
        &self.0.name
    }
}

/// A collection after its change number [`View::seq`].
#[derive(Clone)]
pub struct View {
    seq: u64,
    entries: OrdSet<ByName>,
    index: TimeIndex,
    unified: bool,
    /// The collections that can't be written.
    locked: Arc<HashSet<CollectionName>>,
    own: CollectionName,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({} entries after change {})", self.entries.len(), self.seq)
    }
}

impl View {
    /// The number of the last change in it.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, by name.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter().map(|entry| &entry.0)
    }

    /// The entries behind a name.
    pub fn entries_after(&self, name: Option<&ResourceName>) -> impl Iterator<Item = &Arc<Entry>> {
        let from = name.map_or(Bound::Unbounded, |name| Bound::Excluded(name.clone()));
        self.entries.range::<_, ResourceName>((from, Bound::Unbounded)).map(|entry| &entry.0)
    }

    /// One entry.
    pub fn get(&self, name: &ResourceName) -> Option<&Arc<Entry>> {
        self.entries.get(name).map(|entry| &entry.0)
    }

    /// The entries that may have to do with `range`, by name; too many perhaps, never too few.
    pub fn candidates(&self, range: &TimeRange) -> Vec<Arc<Entry>> {
        if *range == TimeRange::ALL {
            return self.entries().cloned().collect();
        }
        self.index.candidates(range)
    }

    fn remove(&mut self, name: &ResourceName) {
        if let Some(old) = self.entries.remove(name) {
            self.index.remove(&old.0);
        }
    }

    fn insert(&mut self, name: ResourceName, row: EntryRow) {
        self.remove(&name);
        let decides = if self.unified { &row.leader } else { &self.own };
        let writable = !self.locked.contains(decides);
        let entry = Arc::new(Entry::new(name, row, writable));
        self.index.insert(&entry);
        self.entries.insert(ByName(entry));
    }
}

/// Views by collection, each as heavy as it has entries.
pub(crate) type ViewCache = Cache<CollectionId, Arc<View>, ByLength>;

#[derive(Clone, Debug)]
pub(crate) struct ByLength;

impl Weighter<CollectionId, Arc<View>> for ByLength {
    fn weight(&self, _: &CollectionId, view: &Arc<View>) -> u64 {
        16 + view.len() as u64
    }
}

pub(crate) fn view_cache(entries: u64) -> ViewCache {
    // So few expected items make the cache one shard: split into several, none might have room for a large view.
    Cache::with_weighter(32, entries, ByLength)
}

impl Calendars {
    /// The collection as it is now, or was a moment ago.
    pub async fn view(&self, id: &CollectionId) -> Result<Arc<View>, StoreError> {
        let seq = self.sequence(id).await?;
        let Some(view) = self.views.get(id) else {
            return self.views.get_or_insert_async(id, self.build(id)).await;
        };
        if view.seq >= seq {
            return Ok(view);
        }
        let view = match self.advance(id, View::clone(&view)).await? {
            Some(view) => Arc::new(view),
            None => self.build(id).await?,
        };
        self.views.insert(id.clone(), Arc::clone(&view));
        Ok(view)
    }

    /// Whether a collection has fewer than `limit` objects. While that is plain from the number of its changes, nothing
    /// is read but that: a writer does not pay for what only readers need.
    pub(crate) async fn has_room(&self, id: &CollectionId, limit: usize) -> Result<bool, StoreError> {
        let seq = self.sequence(id).await?;
        // No change adds more than one object.
        let most = match self.views.get(id) {
            Some(view) => (view.len() as u64).saturating_add(seq.saturating_sub(view.seq)),
            None => seq,
        };
        Ok(most < limit as u64 || self.view(id).await?.len() < limit)
    }

    /// The view after all changes that there are; `None` if the log does not tell, and it must be built anew.
    async fn advance(&self, id: &CollectionId, mut view: View) -> Result<Option<View>, StoreError> {
        loop {
            let rows = CHANGES.scan(&*self.store, behind(id, view.seq), LINES).await?;
            let last = rows.len() < LINES;
            for ((_, number), row) in rows {
                if number != view.seq + 1 {
                    return Ok(None);
                }
                view.seq = number;
                match row.what {
                    Change::Is(name, entry) => view.insert(name, entry),
                    Change::Gone(name) => view.remove(&name),
                    Change::Rights => return Ok(None),
                }
            }
            if last {
                // All lines may have been compacted away.
                let behind = self.sequence(id).await? > view.seq;
                return Ok((!behind || self.has_line(id, view.seq + 1).await?).then_some(view));
            }
        }
    }

    async fn has_line(&self, id: &CollectionId, number: u64) -> Result<bool, StoreError> {
        Ok(CHANGES.get(&*self.store, &(id.clone(), number)).await?.is_some())
    }

    async fn build(&self, id: &CollectionId) -> Result<Arc<View>, StoreError> {
        loop {
            let mut view = View {
                seq: self.sequence(id).await?,
                entries: OrdSet::new(),
                index: TimeIndex::default(),
                unified: id.name.is_unified(),
                locked: Arc::new(self.locked(id).await?),
                own: id.name.clone(),
            };
            let mut range = ENTRIES.range(id);
            loop {
                let rows = ENTRIES.scan(&*self.store, range.clone(), LINES).await?;
                let full = rows.len() == LINES;
                if let Some((key, _)) = rows.last() {
                    range = range.after(&ENTRIES.key(key));
                }
                for ((_, name), row) in rows {
                    view.insert(name, row);
                }
                if !full {
                    break;
                }
            }
            if let Some(view) = self.advance(id, view).await? {
                return Ok(Arc::new(view));
            }
        }
    }

    async fn locked(&self, id: &CollectionId) -> Result<HashSet<CollectionName>, StoreError> {
        let rows = self.collection_rows(&id.user).await?;
        Ok(rows.into_iter().filter(|row| !Collection::is_writable(row)).map(|row| row.id.name).collect())
    }
}

/// Rows read at once.
const LINES: usize = 1_000;

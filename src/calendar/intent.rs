//! Intents: the durable wishes to bring a remote copy up to date.
//!
//! An intent does not say what to do. It says that source S may hold something else than the event says, and whether S should hold
//! it at all; whoever pushes looks at the current revision and at the link's base then. So a hundred edits while
//! a provider is away leave one intent, and a push that is repeated does no harm.
//!
//! Each write gives the intent a new number. A push clears the intent it has read, by that number: a write that came
//! meanwhile stays wished for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::Calendars;
use crate::calendar::record::{Author, INTENTS, millis};
use crate::id::{AccountId, CollectionId, CollectionName, EventId, SourceId, UserId};
use crate::store::{Batch, StoreError};

/// The remote copy of an event at a source must be brought up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Whose event it is.
    pub user: UserId,
    /// This wish's own number: random, new with every write.
    pub seq: u64,
    /// Since when the copy has been out of date, through all later writes.
    #[serde(with = "millis")]
    pub since: Timestamp,
    /// Who wrote last.
    pub author: Author,
    /// What made the copy out of date: it decides, among others, whether attendees may be told.
    pub cause: Cause,
    /// Whether the source should hold the event.
    pub want: Want,
    /// Do nothing before the intent for this event at that source is cleared: a move creates before it deletes.
    pub after: Option<SourceId>,
}

/// Whether a source should hold an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Want {
    /// Yes, with the current content.
    Live,
    /// No.
    Gone,
}

/// What made the remote copy out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// The content was written, or the event created.
    Edit,
    /// It was deleted.
    Delete,
    /// It was copied into this source, or moved to or from it.
    Move,
    /// Another copy of it changed at its provider.
    Follow,
    /// Both sides had changed, and this is what became of it.
    Merge,
    /// An older state was brought back.
    Restore,
}

/// An intent that a write has left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pending {
    /// The source to be told.
    pub source: SourceId,
    /// The event.
    pub event: EventId,
    /// The wish's number.
    pub seq: u64,
}

/// The payload of a `push` job: whose intents, and for which source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushJob {
    /// Whose.
    pub user: UserId,
    /// The account, which is the job's lane.
    pub account: AccountId,
    /// The source.
    pub source: SourceId,
}

impl PushJob {
    /// The job's kind.
    pub const KIND: &'static str = "push";

    /// The key by which wishes for the same source become one job.
    pub fn key(source: &SourceId) -> String {
        format!("push:{source}")
    }

    /// The octets that the queue carries.
    pub fn write(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// Reads what [`PushJob::write`] wrote.
    pub fn read(payload: &[u8]) -> Option<Self> {
        postcard::from_bytes(payload).ok()
    }
}

/// How much there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects in each collection, by name.
    pub objects: Vec<(CollectionName, usize)>,
    /// Intents that wait, for each source.
    pub pending: Vec<(SourceId, usize)>,
    /// Conflicts that wait for a person.
    pub open_conflicts: usize,
}

impl Calendars {
    /// All that a source must still be told, the longest waiting first.
    pub async fn intents(&self, source: &SourceId) -> Result<Vec<(EventId, Intent)>, StoreError> {
        let rows = INTENTS.scan(&*self.store, INTENTS.range(source), usize::MAX).await?;
        let mut intents: Vec<_> = rows.into_iter().map(|((_, event), intent)| (event, intent)).collect();
        // What comes to be goes before what goes: an event that was parted from another leaves nothing behind before it is there.
        intents.sort_by_key(|(event, intent)| (intent.since, intent.want == Want::Gone, *event));
        Ok(intents)
    }

    /// The intent for one event at one source.
    pub async fn intent(&self, source: &SourceId, event: EventId) -> Result<Option<Intent>, StoreError> {
        INTENTS.get(&*self.store, &(source.clone(), event)).await
    }

    /// Clears an intent together with `batch`, which fails as stale if a newer write has wished again.
    pub fn clear_intent_into(&self, batch: &mut Batch, source: &SourceId, event: EventId, intent: &Intent) {
        let key = (source.clone(), event);
        INTENTS.expect(batch, &key, intent);
        INTENTS.delete(batch, &key);
    }

    /// What a user's calendars hold and what still has to travel.
    pub async fn counts(&self, user: &UserId) -> Result<Counts, StoreError> {
        let mut counts = Counts::default();
        for collection in self.collections(user).await? {
            if let Some(source) = collection.source() {
                let waiting = INTENTS.scan(&*self.store, INTENTS.range(&source.source), usize::MAX).await?.len();
                counts.pending.push((source.source.clone(), waiting));
            }
            let view = self.view(&CollectionId::new(user, collection.id.name.clone())).await?;
            counts.objects.push((collection.id.name, view.len()));
        }
        counts.open_conflicts = self.conflicts(user).await?.iter().filter(|(_, row)| row.is_open()).count();
        Ok(counts)
    }
}

//! Scheduling messages that have come in (RFC 6638 2.2): a few small rows for each user, apart from all calendars.
//!
//! Clients read and delete them; what they say has been done already in the user's calendar. Bounded: when there are
//! too many, the oldest go.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Calendars;
use super::record::{EtagOctets, kind_code, millis};
use crate::entropy;
use crate::ical::{ComponentKind, Object};
use crate::id::{Etag, ResourceName, UserId};
use crate::store::table::tables;
use crate::store::{Batch, CommitError, Record, StoreError, Table};

/// A message in an inbox.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its name.
    pub name: ResourceName,
    /// An iTIP message.
    pub octets: Bytes,
    /// When it came.
    pub received: Timestamp,
    /// What it is about.
    pub kind: ComponentKind,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} octets)", self.octets.len())
    }
}

impl Message {
    /// Its tag.
    pub fn etag(&self) -> Etag {
        EtagOctets::of(&self.octets).etag()
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct MessageRow {
    octets: Bytes,
    #[serde(with = "millis")]
    received: Timestamp,
    #[serde(with = "kind_code")]
    kind: ComponentKind,
}

impl Record for MessageRow {
    const FORMAT: u8 = 1;
}

impl Calendars {
    /// What has come in for a user, the oldest first.
    pub async fn inbox(&self, user: &UserId) -> Result<Vec<Message>, StoreError> {
        let rows = INBOX.scan(&*self.store, INBOX.range(user), usize::MAX).await?;
        Ok(rows.into_iter().map(|((_, name), row)| row.message(name)).collect())
    }

    /// One message.
    pub async fn inbox_message(&self, user: &UserId, name: &ResourceName) -> Result<Option<Message>, StoreError> {
        let row = INBOX.get(&*self.store, &(user.clone(), name.clone())).await?;
        Ok(row.map(|row| row.message(name.clone())))
    }

    /// Brings a message to a user.
    pub async fn deliver(&self, user: &UserId, message: &Object) -> Result<(), StoreError> {
        let received = self.clock.now();
        // Names sort by age.
        let name = format!("{:014}-{}.ics", received.as_millisecond().max(0), entropy::token(&*self.entropy, 8));
        let Ok(name) = ResourceName::try_from(name) else { return Ok(()) };
        let row = MessageRow { octets: message.octets().clone(), received, kind: message.kind() };
        let present = INBOX.scan(&*self.store, INBOX.range(user), usize::MAX).await?;
        let mut batch = Batch::new();
        for (old, _) in present.iter().take((present.len() + 1).saturating_sub(MOST)) {
            INBOX.delete(&mut batch, old);
        }
        INBOX.put(&mut batch, &(user.clone(), name), &row);
        self.commit_blind(batch).await
    }

    /// Takes a message away; says whether it was there.
    pub async fn inbox_remove(&self, user: &UserId, name: &ResourceName) -> Result<bool, StoreError> {
        let key = (user.clone(), name.clone());
        if INBOX.get(&*self.store, &key).await?.is_none() {
            return Ok(false);
        }
        let mut batch = Batch::new();
        INBOX.delete(&mut batch, &key);
        self.commit_blind(batch).await?;
        Ok(true)
    }

    /// Forgets everything that came in for a user.
    pub async fn inbox_clear(&self, user: &UserId) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        for (key, _) in self.store.scan(INBOX.range(user), usize::MAX).await? {
            batch.delete(key);
        }
        self.commit_blind(batch).await
    }

    async fn commit_blind(&self, batch: Batch) -> Result<(), StoreError> {
        match self.store.commit(batch).await {
            Err(CommitError::Store(error)) => Err(error),
            // Nothing is expected, so nothing can be stale.
            Ok(_) | Err(CommitError::Stale(_)) => Ok(()),
        }
    }
}

impl MessageRow {
    fn message(self, name: ResourceName) -> Message {
        Message { name, octets: self.octets, received: self.received, kind: self.kind }
    }
}

const INBOX: Table<(UserId, ResourceName), MessageRow> = Table::new(tables::INBOX);
const MOST: usize = 200;

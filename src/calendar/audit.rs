//! The audit log: each change of an event, by whom and why. Lines are appended in the commit that makes the change, never
//! altered, and dropped by age alone.
//!
//! A line names the event, its revision and its calendars, and holds none of its content but the UID; what was said is in the history.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::intent::Cause;
use crate::calendar::record::{AUDIT, Author, EventRow, millis};
use crate::calendar::{Calendars, PutError};
use crate::id::{CollectionName, EventId, UserId};
use crate::store::{Batch, Key, Record, StoreError, tables};

/// One change of one event.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// When.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// Who: a client with its device, a provider, a person.
    pub author: Author,
    /// On what occasion.
    pub cause: Cause,
    /// What was done.
    pub deed: Deed,
    /// To which event.
    pub event: EventId,
    /// Its UID.
    pub uid: String,
    /// The revision that is served since then, or was at the end.
    pub revision: u64,
    /// The calendars that hold it since then, or did at the end.
    pub collections: Vec<CollectionName>,
    /// The rule or the reason, in words.
    pub rule: Option<String>,
}

impl fmt::Debug for AuditLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditLine({}, {:?}, {:?}, {})", self.at, self.author, self.deed, self.event)
    }
}

impl Record for AuditLine {
    const FORMAT: u8 = 1;
}

/// What was done to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Deed {
    /// It came to be.
    Created,
    /// Its content was written.
    Edited,
    /// It left its last calendar.
    Deleted,
    /// It came back from the trash.
    Restored,
    /// It stands in other calendars, or under another name.
    Moved,
    /// Versions met, and what is served stayed.
    Kept,
}

/// What was done, seen from the rows; `None` if that is nothing.
pub(crate) fn deed(before: Option<&EventRow>, now: &EventRow) -> Option<Deed> {
    let Some(before) = before else { return Some(Deed::Created) };
    match (before.is_alive(), now.is_alive()) {
        (true, false) => Some(Deed::Deleted),
        (false, true) => Some(Deed::Restored),
        _ if before.revision != now.revision => Some(Deed::Edited),
        _ if before.members != now.members || before.unified_name != now.unified_name => Some(Deed::Moved),
        _ if before.last_revision != now.last_revision => Some(Deed::Kept),
        _ => None,
    }
}

/// Appends a line.
pub(crate) fn append(batch: &mut Batch, user: &UserId, line: &AuditLine) {
    batch.append(counter(user), Key::new(tables::AUDIT, user), AUDIT.encode(line));
}

fn counter(user: &UserId) -> Key {
    Key::new(tables::META, &("audit".to_owned(), user.clone()))
}

/// Lines that are dropped in one commit.
const CHUNK: usize = 1000;

impl Calendars {
    /// The last `limit` lines of a user, the latest first, with their numbers.
    pub async fn audit(&self, user: &UserId, limit: usize) -> Result<Vec<(u64, AuditLine)>, StoreError> {
        let rows = AUDIT.scan_back(&*self.store, AUDIT.range(user), limit).await?;
        Ok(rows.into_iter().map(|((_, number), line)| (number, line)).collect())
    }

    /// By which rule or for what reason the revisions of an event came to be served, and where it went.
    pub async fn explained(&self, user: &UserId, event: EventId) -> Result<Vec<(u64, String)>, StoreError> {
        let rows = AUDIT.scan(&*self.store, AUDIT.range(user), usize::MAX).await?;
        let lines = rows.into_iter().map(|(_, line)| line).filter(|line| line.event == event);
        Ok(lines.filter_map(|line| Some((line.revision, line.rule?))).collect())
    }

    /// Drops the lines from before `before`. Says how many.
    pub async fn trim_audit(&self, user: &UserId, before: Timestamp) -> Result<usize, PutError> {
        let mut dropped = 0;
        loop {
            let rows = AUDIT.scan(&*self.store, AUDIT.range(user), CHUNK).await?;
            let seen = rows.len();
            let mut batch = Batch::new();
            let old = rows.into_iter().take_while(|(_, line)| line.at < before);
            let count = old.map(|(key, _)| AUDIT.delete(&mut batch, &key)).count();
            if count == 0 {
                return Ok(dropped);
            }
            self.store.commit(batch).await?;
            dropped += count;
            if count < seen || seen < CHUNK {
                return Ok(dropped);
            }
        }
    }

    /// Forgets the log: its user is removed.
    pub async fn forget_audit(&self, user: &UserId) -> Result<(), PutError> {
        self.trim_audit(user, Timestamp::MAX).await?;
        let mut batch = Batch::new();
        batch.delete(counter(user));
        self.store.commit(batch).await?;
        Ok(())
    }
}

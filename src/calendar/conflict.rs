//! Conflicts: the record of a decision between two versions.
//!
//! Whatever was decided, both versions are revisions of the event, so neither is lost (I8). A record says between what, from
//! which base, by which rule and when. An open one waits for a person; a decided one is only told about.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::Calendars;
use crate::calendar::record::{CONFLICTS, millis};
use crate::id::{EventId, SourceId, UserId};
use crate::store::{Batch, StoreError};

/// A conflict's number, random, one user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConflictId(pub u64);

impl fmt::Display for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Two versions met and one was chosen, or is still to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The event.
    pub event: EventId,
    /// The remote calendar on the other side.
    pub source: SourceId,
    /// When it was found.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// When it was decided.
    pub decided: Option<Timestamp>,
    /// What met.
    pub kind: ConflictKind,
    /// The revision both sides had agreed on.
    pub base: Option<u64>,
    /// Our version; `None` if it was deleted here.
    pub ours: Option<u64>,
    /// Theirs; `None` if it was deleted there.
    pub theirs: Option<u64>,
    /// The names of the properties that differ.
    pub properties: Vec<String>,
    /// What became of it.
    pub decision: Decision,
    /// The rule or the reason, in words.
    pub rule: String,
}

impl Conflict {
    /// Whether a person has yet to decide.
    pub fn is_open(&self) -> bool {
        self.decision == Decision::Open
    }
}

/// What met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConflictKind {
    /// Both sides changed the same property.
    Edit,
    /// One side changed what the other deleted.
    EditDelete,
    /// The same UID came up on both sides with different content.
    Twin,
    /// The provider refuses our version for good.
    Refused,
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Decision {
    /// Our version.
    Ours,
    /// Theirs.
    Theirs,
    /// A mixture, or something third that a person wrote.
    Other,
    /// Nothing yet.
    Open,
}

impl std::str::FromStr for ConflictId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl Calendars {
    /// A user's conflicts, the latest first.
    pub async fn conflicts(&self, user: &UserId) -> Result<Vec<(ConflictId, Conflict)>, StoreError> {
        let rows = CONFLICTS.scan(&*self.store, CONFLICTS.range(user), usize::MAX).await?;
        let mut conflicts: Vec<_> = rows.into_iter().map(|((_, id), row)| (ConflictId(id), row)).collect();
        conflicts.sort_by_key(|(id, row)| (std::cmp::Reverse(row.at), *id));
        Ok(conflicts)
    }

    /// One conflict.
    pub async fn conflict(&self, user: &UserId, id: ConflictId) -> Result<Option<Conflict>, StoreError> {
        CONFLICTS.get(&*self.store, &(user.clone(), id.0)).await
    }

    /// Records a conflict together with `batch`.
    pub fn record_conflict(&self, batch: &mut Batch, user: &UserId, conflict: &Conflict) -> ConflictId {
        let id = self.conflict_id();
        let key = (user.clone(), id.0);
        CONFLICTS.expect_absent(batch, &key);
        CONFLICTS.put(batch, &key, conflict);
        id
    }

    /// A new conflict's number.
    pub fn conflict_id(&self) -> ConflictId {
        ConflictId(crate::entropy::number(&*self.entropy))
    }

    /// Writes a conflict under a number that its record may have already, together with `batch`.
    pub fn rewrite_conflict(&self, batch: &mut Batch, user: &UserId, id: ConflictId, conflict: &Conflict) {
        CONFLICTS.put(batch, &(user.clone(), id.0), conflict);
    }
}

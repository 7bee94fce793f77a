//! Work that must be done some time, even after a crash: a durable queue of leased jobs.
//!
//! What a job means is opaque here. Jobs of one *lane* (an account) run one after the other; lanes take turns.
//! A wish for a job is a blind row in somebody else's commit, so that the write path can enqueue a push in the
//! same batch as the event; wishes with the same key become one job, and a wish made while that job runs makes
//! it run again.
//!
//! Invariants: no wish is lost; a job is held by at most one worker, and who lost a lease can't finish with it
//! (the fence in [`state::Holder`]); within a lane the order is priority, then due time, then age.
//! Never here: what a provider answered means, or anything about calendars.

pub mod backoff;
pub mod breaker;
mod index;
pub mod lane;
pub mod policy;
pub mod queue;
pub mod state;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use breaker::{Breaker, BreakerPolicy};
pub use lane::{Hold, LaneHealth};
pub use policy::Policy;
pub use queue::{JobError, Leased, Queue};
pub use state::{Outcome, State};

use crate::store::{Record, StoreError, Table, tables};

/// What sort of work a job is. Only its makers and its workers know the names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKind(Cow<'static, str>);

impl JobKind {
    /// The kind of this name.
    pub const fn named(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What goes first in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Priority {
    /// Somebody waits for it.
    High,
    /// The usual.
    Medium,
    /// Housekeeping.
    Low,
}

/// The number of a job, given once and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A wish: this is to be done.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJob {
    /// What sort of work.
    pub kind: JobKind,
    /// Jobs of one lane run one after the other.
    pub lane: String,
    /// Wishes with one key are one job.
    pub key: String,
    /// What goes first.
    pub priority: Priority,
    /// What the worker must know. Of several wishes the last one's counts.
    pub payload: Vec<u8>,
    /// Not before this.
    pub due: Timestamp,
}

impl fmt::Debug for NewJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "NewJob({} {:?} in {}, {} octets, due {})",
            self.kind,
            self.key,
            self.lane,
            self.payload.len(),
            self.due
        )
    }
}

impl Record for NewJob {
    const FORMAT: u8 = 1;
}

/// A job as it stands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number, for people.
    pub id: JobId,
    /// What sort of work.
    pub kind: JobKind,
    /// Where it queues.
    pub lane: String,
    /// What makes it the same job as another wish.
    pub key: String,
    /// What goes first. A wish may raise it for one run.
    pub priority: Priority,
    /// The lowest priority ever wished: where it falls back to when it runs again on its own.
    pub usual: Priority,
    /// What the worker must know.
    pub payload: Vec<u8>,
    /// Ready, leased, waiting or dead, and the failures in a row.
    pub standing: state::Standing,
    /// What was wished while it ran.
    pub again: Option<Again>,
    /// When it was first wished.
    pub created: Timestamp,
    /// What went wrong the last time.
    pub last_error: Option<String>,
}

/// What was wished while the job ran.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// The number of the wish.
    pub id: JobId,
    /// What goes first.
    pub priority: Priority,
    /// What the worker must know.
    pub payload: Vec<u8>,
    /// Not before this.
    pub due: Timestamp,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({} {} {:?} in {}, {:?})", self.id, self.kind, self.key, self.lane, self.standing)
    }
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Again({}, due {})", self.id, self.due)
    }
}

impl Record for Job {
    const FORMAT: u8 = 1;
}

/// Jobs by key.
const JOBS: Table<String, Job> = Table::new(tables::JOB);
/// Wishes by (1, number); their counter lies at 0.
const WISHES: Table<(u8, u64), NewJob> = Table::new(tables::JOB_WISH);
const WISH_PARTS: Table<u8, NewJob> = Table::new(tables::JOB_WISH);
/// Jobs given up, by number.
const DEAD: Table<u64, Job> = Table::new(tables::DEAD_LETTER);
/// What is known of each lane.
const LANES: Table<String, lane::LaneRow> = Table::new(tables::LANE);

impl From<StoreError> for JobError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

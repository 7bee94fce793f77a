//! What the jobs of this floor are called and carry, and what becomes of one that a provider failed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::calendar::PushJob;
use crate::id::{AccountId, SourceId, UserId};
use crate::jobs::{JobKind, NewJob, Outcome, Priority};
use crate::provider::Fault;

/// Reading a source.
pub(super) const PULL: JobKind = JobKind::named("pull");
/// Looking which calendars an account has.
pub(super) const DISCOVER: JobKind = JobKind::named("discover");
/// Looking after the channels of an account.
pub(super) const WATCH: JobKind = JobKind::named("watch");
/// Writing to a source.
pub(super) const PUSH: JobKind = JobKind::named(PushJob::KIND);

/// The payload of a `pull` job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PullJob {
    /// Whose.
    pub(super) user: UserId,
    /// The account, which is the job's lane.
    pub(super) account: AccountId,
    /// The source.
    pub(super) source: SourceId,
    /// Compare everything, whatever the cursor says.
    pub(super) full: bool,
}

impl PullJob {
    /// The wish for this job.
    pub(super) fn wish(&self, due: Timestamp, priority: Priority) -> NewJob {
        NewJob {
            kind: PULL,
            lane: self.account.to_string(),
            key: self.key(),
            priority,
            payload: postcard::to_allocvec(self).unwrap_or_default(),
            due,
        }
    }

    /// The job's key: for each source one to look and one to compare, so that neither wish takes the other's place.
    pub(super) fn key(&self) -> String {
        format!("{}:{}", if self.full { "compare" } else { "pull" }, self.source)
    }

    /// Reads a payload.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        postcard::from_bytes(payload).ok()
    }
}

/// The wish to look which calendars `account` has.
pub(super) fn discover(account: &AccountId, due: Timestamp, priority: Priority) -> NewJob {
    NewJob {
        kind: DISCOVER,
        lane: account.to_string(),
        key: discover_key(account),
        priority,
        payload: account.as_str().as_bytes().to_vec(),
        due,
    }
}

/// The key of that job.
pub(super) fn discover_key(account: &AccountId) -> String {
    format!("discover:{account}")
}

/// The wish to look after the channels of `account`.
pub(super) fn watch(account: &AccountId, due: Timestamp) -> NewJob {
    NewJob {
        kind: WATCH,
        lane: account.to_string(),
        key: format!("watch:{account}"),
        priority: Priority::Medium,
        payload: account.as_str().as_bytes().to_vec(),
        due,
    }
}

/// Reads the payload of a `discover` or `watch` job.
pub(super) fn discovered(payload: &[u8]) -> Option<AccountId> {
    std::str::from_utf8(payload).ok()?.parse().ok()
}

/// The wish to write what `job` says.
pub(super) fn push(job: &PushJob, due: Timestamp, priority: Priority) -> NewJob {
    NewJob {
        kind: PUSH,
        lane: job.account.to_string(),
        key: PushJob::key(&job.source),
        priority,
        payload: job.write(),
        due,
    }
}

/// What becomes of a job that ended with a fault of the provider. Faults that concern one object alone never get here.
pub(super) fn outcome(fault: &Fault, now: Timestamp, poll: Duration) -> Outcome {
    let why = fault.to_string();
    match fault {
        Fault::Throttled(after) => Outcome::Unavailable { after: *after, why },
        Fault::Unreachable(_) | Fault::Garbled(_) => Outcome::Unavailable { after: None, why },
        Fault::Unauthorized(_) => Outcome::WaitForPerson { why },
        // The list of calendars, which is looked at next, says whether this one is still ours.
        Fault::CalendarGone | Fault::Forbidden(_) => Outcome::Again { at: after(now, poll) },
        Fault::Changed | Fault::Exists(_) | Fault::Gone | Fault::CursorExpired | Fault::Refused(_) => {
            Outcome::Retry { after: None, why }
        }
    }
}

/// `pause` after `now`, at most the end of time.
pub(super) fn after(now: Timestamp, pause: Duration) -> Timestamp {
    let pause = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
    now.checked_add(pause).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_reads_back() {
        let job = PullJob {
            user: UserId::parse("ana").unwrap(),
            account: "a-x1".parse().unwrap(),
            source: "s-y2".parse().unwrap(),
            full: true,
        };
        assert_eq!(PullJob::read(&job.wish(Timestamp::UNIX_EPOCH, Priority::High).payload), Some(job));
        assert_eq!(PullJob::read(b"nonsense"), None);
        let account: AccountId = "a-x1".parse().unwrap();
        assert_eq!(discovered(&discover(&account, Timestamp::UNIX_EPOCH, Priority::Low).payload), Some(account));
    }

    #[test]
    fn trouble_that_passes_never_gives_a_job_up() {
        let (now, poll) = (Timestamp::UNIX_EPOCH, Duration::from_mins(1));
        for fault in [Fault::Throttled(None), Fault::Unreachable("x".into()), Fault::Garbled("x".into())] {
            assert!(matches!(outcome(&fault, now, poll), Outcome::Unavailable { .. }), "{fault:?}");
        }
        assert!(matches!(outcome(&Fault::Unauthorized("x".into()), now, poll), Outcome::WaitForPerson { .. }));
        assert_eq!(outcome(&Fault::CalendarGone, now, poll), Outcome::Again { at: after(now, poll) });
    }
}

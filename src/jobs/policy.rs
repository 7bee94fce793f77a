//! The numbers by which jobs are tried again, and small arithmetic on times.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::breaker::BreakerPolicy;

/// How often and how soon jobs are tried, and for how long a worker may hold one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A job that failed this often goes to the dead letters.
    pub max_retries: u32,
    /// The pause after the first failure; it doubles with every further one.
    pub backoff_base: Duration,
    /// No pause is longer.
    pub backoff_max: Duration,
    /// How long a lease holds without being renewed.
    pub lease: Duration,
    /// When a lane's breaker opens.
    pub breaker: BreakerPolicy,
    /// Whether this process alone owns the store, as with the embedded engines: then leases found at the start
    /// were held by a process that is gone, and are taken over at once.
    pub sole_owner: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_retries: 8,
            backoff_base: Duration::from_secs(2),
            backoff_max: Duration::from_hours(1),
            lease: Duration::from_mins(1),
            breaker: BreakerPolicy::default(),
            sole_owner: true,
        }
    }
}

/// `pause` after `time`, at most the end of time.
pub(super) fn later(time: Timestamp, pause: Duration) -> Timestamp {
    let pause = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
    time.checked_add(pause).unwrap_or(Timestamp::MAX)
}

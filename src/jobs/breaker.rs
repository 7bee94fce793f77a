//! The circuit breaker of a lane: after repeated failure nothing is sent for a while, then one try decides.
//!
//! Pure. `Closed` lets everything through and counts failures in a row; `Open` lets nothing through until its
//! time; `HalfOpen` has let one try through and waits for what it says. Each opening in a row lasts twice as
//! long as the one before.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backoff;
use super::policy::later;

/// Where the breaker of a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Breaker {
    /// All is let through.
    Closed {
        /// Failures since the last success.
        fails: u32,
    },
    /// Nothing is let through.
    Open {
        /// When one try may go.
        until: Timestamp,
        /// The how manieth opening in a row this is.
        round: u32,
    },
    /// One try is under way.
    HalfOpen {
        /// The how manieth opening in a row this was.
        round: u32,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { fails: 0 }
    }
}

/// When breakers open, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// This many failures in a row open it.
    pub threshold: u32,
    /// How long the first opening lasts.
    pub pause: Duration,
    /// No opening lasts longer.
    pub max_pause: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { threshold: 5, pause: Duration::from_secs(15), max_pause: Duration::from_mins(5) }
    }
}

impl Breaker {
    /// From when on something may be tried; `None` is at once.
    pub fn opens_at(self) -> Option<Timestamp> {
        match self {
            Self::Open { until, .. } => Some(until),
            Self::Closed { .. } | Self::HalfOpen { .. } => None,
        }
    }

    /// A try sets out. Only to be called when [`Breaker::opens_at`] has passed.
    #[must_use]
    pub fn tried(self) -> Self {
        match self {
            Self::Open { round, .. } => Self::HalfOpen { round },
            same => same,
        }
    }

    /// A try came back well: whatever was, all is let through again.
    #[must_use]
    pub fn succeeded(self) -> Self {
        Self::default()
    }

    /// A try failed.
    #[must_use]
    pub fn failed(self, policy: &BreakerPolicy, now: Timestamp, jitter: u64) -> Self {
        let round = match self {
            Self::Closed { fails } if fails + 1 < policy.threshold => return Self::Closed { fails: fails + 1 },
            Self::Closed { .. } => 1,
            Self::Open { round, .. } | Self::HalfOpen { round } => round.saturating_add(1),
        };
        let pause = backoff::pause(round, policy.pause, policy.max_pause, jitter);
        Self::Open { until: later(now, pause), round }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn it_opens_at_the_threshold_and_one_success_closes_it() {
        let policy = BreakerPolicy::default();
        let mut breaker = Breaker::default();
        for fails in 1..policy.threshold {
            breaker = breaker.failed(&policy, NOW, 0);
            assert_eq!(breaker, Breaker::Closed { fails });
        }
        breaker = breaker.failed(&policy, NOW, 0);
        assert!(matches!(breaker, Breaker::Open { round: 1, .. }));
        breaker = breaker.tried();
        assert_eq!(breaker, Breaker::HalfOpen { round: 1 });
        assert!(matches!(breaker.failed(&policy, NOW, 0), Breaker::Open { round: 2, .. }));
        assert_eq!(breaker.succeeded(), Breaker::default());
    }

    proptest! {
        /// Whatever happens, an open breaker opens again within the longest pause.
        #[test]
        fn it_never_stays_shut(events in proptest::collection::vec((0_u8..3, any::<u64>()), 0..60)) {
            let policy = BreakerPolicy::default();
            let mut breaker = Breaker::default();
            for (event, jitter) in events {
                breaker = match event {
                    0 => breaker.failed(&policy, NOW, jitter),
                    1 => breaker.succeeded(),
                    _ => breaker.tried(),
                };
                if let Some(at) = breaker.opens_at() {
                    prop_assert!(at > NOW && at <= later(NOW, policy.max_pause));
                }
            }
        }
    }
}

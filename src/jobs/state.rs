//! What becomes of a job: the pure transitions.
//!
//! A job is `Ready` at some time, `Leased` to one worker until some time, `Waiting` on a person, or `Dead`.
//! `Done` has no state: the job is gone. Nothing here reads a clock or a random source.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backoff;
use super::policy::{Policy, later};

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// To be run once `at` has come.
    Ready {
        /// When.
        at: Timestamp,
    },
    /// A worker has it.
    Leased {
        /// Until when, unless renewed.
        until: Timestamp,
        /// The worker and the fence of this lease.
        by: Holder,
    },
    /// Nothing can be done before a person acts.
    Waiting {
        /// What the person must know.
        on_person: String,
    },
    /// Given up.
    Dead {
        /// Why.
        why: String,
    },
}

/// Who holds a lease. The fence differs for every lease, so one that was taken over can't be finished by the old
/// holder, even when both have the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The worker's name, for people.
    pub worker: String,
    /// Random for each lease.
    pub fence: u64,
}

/// What a worker says when it is through with a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do.
    Done,
    /// It went well, and is to be done again.
    Again {
        /// When.
        at: Timestamp,
    },
    /// It failed and may go better later; after the policy's number of these the job is dead.
    Retry {
        /// What the other side asked us to wait.
        after: Option<Duration>,
        /// What went wrong.
        why: String,
    },
    /// The other side can't be reached, or throttles us. That is no fault of the job: it is tried again without
    /// end, ever more seldom.
    Unavailable {
        /// What the other side asked us to wait.
        after: Option<Duration>,
        /// What went wrong.
        why: String,
    },
    /// Only a person can help, as by signing in again.
    WaitForPerson {
        /// What the person must know.
        why: String,
    },
    /// It can never succeed.
    Dead {
        /// Why.
        why: String,
    },
}

/// A state, and how often the job has failed in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The state.
    pub state: State,
    /// Failures in a row.
    pub attempts: u32,
}

impl Standing {
    /// A job that nobody has tried yet.
    pub fn ready(at: Timestamp) -> Self {
        Self { state: State::Ready { at }, attempts: 0 }
    }
}

/// What follows after `outcome`; `None` when the job is done and gone.
///
/// `jitter` is any random number.
pub fn next(standing: &Standing, outcome: &Outcome, policy: &Policy, now: Timestamp, jitter: u64) -> Option<Standing> {
    let attempts = standing.attempts.saturating_add(1);
    let (state, attempts) = match outcome {
        Outcome::Done => return None,
        Outcome::Again { at } => (State::Ready { at: *at }, 0),
        Outcome::Retry { why, .. } if attempts > policy.max_retries => {
            (State::Dead { why: format!("failed {attempts} times, lastly: {why}") }, attempts)
        }
        Outcome::Retry { after, .. } | Outcome::Unavailable { after, .. } => {
            (State::Ready { at: later(now, pause(attempts, *after, policy, jitter)) }, attempts)
        }
        Outcome::WaitForPerson { why } => (State::Waiting { on_person: why.clone() }, standing.attempts),
        Outcome::Dead { why } => (State::Dead { why: why.clone() }, attempts),
    };
    Some(Standing { state, attempts })
}

/// What becomes of a job whose lease ran out before its worker came back: it runs again, but one that never
/// comes back is dead in the end.
pub fn abandoned(standing: &Standing, policy: &Policy, now: Timestamp) -> Standing {
    let attempts = standing.attempts.saturating_add(1);
    let state = if attempts > policy.max_retries {
        State::Dead { why: format!("{attempts} workers in a row did not come back from it") }
    } else {
        State::Ready { at: now }
    };
    Standing { state, attempts }
}

fn pause(attempts: u32, after: Option<Duration>, policy: &Policy, jitter: u64) -> Duration {
    match after {
        Some(asked) => backoff::honoured(asked, jitter),
        None => backoff::pause(attempts, policy.backoff_base, policy.backoff_max, jitter),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn outcome() -> impl Strategy<Value = Outcome> {
        let after = || proptest::option::of((0_u64..10_000).prop_map(Duration::from_secs));
        prop_oneof![
            Just(Outcome::Done),
            (0_i64..100_000).prop_map(|s| Outcome::Again { at: Timestamp::from_second(s).unwrap() }),
            after().prop_map(|after| Outcome::Retry { after, why: "r".into() }),
            after().prop_map(|after| Outcome::Unavailable { after, why: "u".into() }),
            Just(Outcome::WaitForPerson { why: "p".into() }),
            Just(Outcome::Dead { why: "d".into() }),
        ]
    }

    proptest! {
        /// Every outcome but `Done` leaves a job that is ready, waiting or dead: none is lost, none stays leased.
        #[test]
        fn no_job_is_lost(attempts in 0_u32..20, outcome in outcome(), jitter: u64) {
            let policy = Policy::default();
            let holder = Holder { worker: "w".into(), fence: 1 };
            let standing = Standing { state: State::Leased { until: NOW, by: holder }, attempts };
            match next(&standing, &outcome, &policy, NOW, jitter) {
                None => prop_assert_eq!(outcome, Outcome::Done),
                Some(after) => {
                    let leased = matches!(after.state, State::Leased { .. });
                    prop_assert!(!leased);
                    prop_assert!(after.attempts <= attempts + 1);
                }
            }
        }

        /// `Retry` ends among the dead after exactly the policy's number; `Unavailable` never does.
        #[test]
        fn retries_end_and_outages_do_not(max_retries in 0_u32..12, jitter: u64) {
            let policy = Policy { max_retries, ..Policy::default() };
            let run = |outcome: Outcome| {
                let mut standing = Standing::ready(NOW);
                for tried in 1..50_u32 {
                    standing = next(&standing, &outcome, &policy, NOW, jitter).unwrap();
                    if matches!(standing.state, State::Dead { .. }) { return Some(tried); }
                }
                None
            };
            prop_assert_eq!(run(Outcome::Retry { after: None, why: String::new() }), Some(max_retries + 1));
            prop_assert_eq!(run(Outcome::Unavailable { after: None, why: String::new() }), None);
        }

        /// What the other side asks is waited, whatever our own pause would have been.
        #[test]
        fn retry_after_is_honoured(attempts in 0_u32..7, seconds in 1_u64..3600, jitter: u64) {
            let standing = Standing { attempts, ..Standing::ready(NOW) };
            let after = Some(Duration::from_secs(seconds));
            let next = next(&standing, &Outcome::Retry { after, why: String::new() }, &Policy::default(), NOW, jitter);
            let State::Ready { at } = next.unwrap().state else { panic!("not ready") };
            prop_assert!(at >= later(NOW, Duration::from_secs(seconds)));
        }
    }
}

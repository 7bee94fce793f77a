//! What is known of a lane: how it fares, and whether it is held.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backoff;
use super::breaker::Breaker;
use super::policy::{Policy, later};
use super::state::Outcome;
use crate::store::Record;

/// Why nothing runs in a lane although work is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// Somebody paused it.
    Paused,
    /// A person must act first, as by signing in again.
    NeedsSignIn {
        /// What the person must know.
        why: String,
    },
}

/// The stored record of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LaneRow {
    pub(super) hold: Option<Hold>,
    pub(super) breaker: Breaker,
    /// The other side asked us to stay away until then.
    pub(super) not_before: Option<Timestamp>,
    pub(super) failures: u32,
    /// The last runs, newest in the lowest bit; a set bit is a failure.
    pub(super) recent: u32,
    /// How many of those bits mean something.
    pub(super) runs: u8,
    pub(super) last_error: Option<String>,
    pub(super) last_success: Option<Timestamp>,
}

impl Record for LaneRow {
    const FORMAT: u8 = 1;
}

/// How a lane fares.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneHealth {
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// What went wrong, if anything did since the last success.
    pub last_error: Option<String>,
    /// When a job last went well.
    pub last_success: Option<Timestamp>,
    /// When the next job can run; in the past when it waits for a worker.
    pub next_run: Option<Timestamp>,
    /// Whether tries are let through.
    pub breaker: Breaker,
    /// Whether the lane is held, and why.
    pub hold: Option<Hold>,
    /// Jobs that are leased, due, backing off or waiting for a person; not those that only wait for their time.
    pub queued: usize,
    /// Jobs given up.
    pub dead: usize,
    /// The part of the last runs (up to 32) that failed, 0 to 1.
    pub error_rate: f64,
}

impl LaneRow {
    /// What a finished run tells about the lane.
    pub(super) fn ran(&mut self, outcome: &Outcome, policy: &Policy, now: Timestamp, jitter: u64) {
        match outcome {
            Outcome::Done | Outcome::Again { .. } => {
                self.mark(false);
                self.failures = 0;
                self.last_error = None;
                self.last_success = Some(now);
                self.not_before = None;
                self.breaker = self.breaker.succeeded();
            }
            Outcome::Retry { after, why } | Outcome::Unavailable { after, why } => {
                self.failed(why, policy, now, jitter);
                self.not_before = after.map(|asked| later(now, backoff::honoured(asked, jitter)));
            }
            Outcome::WaitForPerson { why } => {
                self.mark(true);
                self.failures = self.failures.saturating_add(1);
                self.last_error = Some(why.clone());
                self.breaker = self.breaker.succeeded();
                // Who paused the lane meanwhile meant it.
                self.hold.get_or_insert_with(|| Hold::NeedsSignIn { why: why.clone() });
            }
            // The other side answered, so the way is open; only this job has no future.
            Outcome::Dead { why } => {
                self.mark(true);
                self.last_error = Some(why.clone());
                self.breaker = self.breaker.succeeded();
            }
        }
    }

    /// A run that failed, or whose worker never came back.
    pub(super) fn failed(&mut self, why: &str, policy: &Policy, now: Timestamp, jitter: u64) {
        self.mark(true);
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(why.to_owned());
        self.breaker = self.breaker.failed(&policy.breaker, now, jitter);
    }

    /// Forgets pauses, so that the next job is tried at once.
    pub(super) fn nudge(&mut self) {
        self.not_before = None;
        if let Breaker::Open { round, .. } = self.breaker {
            self.breaker = Breaker::HalfOpen { round };
        }
    }

    /// The earliest time at which something may be tried, held or not.
    pub(super) fn opens_at(&self) -> Option<Timestamp> {
        self.breaker.opens_at().max(self.not_before)
    }

    /// The part of the last runs that failed.
    pub(super) fn error_rate(&self) -> f64 {
        if self.runs == 0 { 0.0 } else { f64::from(self.recent.count_ones()) / f64::from(self.runs) }
    }

    fn mark(&mut self, failure: bool) {
        self.recent = (self.recent << 1) | u32::from(failure);
        self.runs = (self.runs + 1).min(32);
    }
}

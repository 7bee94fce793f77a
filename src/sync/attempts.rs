//! What has been tried for each source since the start: what progress and `--wait` are made of.
//!
//! Only in memory: the durable truth is the queue and the intents. This tells whether a try *began after* somebody asked.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::id::{AccountId, SourceId};

/// What is tried for a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Reading from it.
    Pull,
    /// Writing to it.
    Push,
}

/// How the tries of one kind for one source stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempt {
    /// Tries begun.
    pub(super) begun: u64,
    /// The number of the last try that ended.
    pub(super) ended: u64,
    /// Why it failed, if it did.
    pub(super) trouble: Option<String>,
    /// Objects looked at in the try that runs or ran last.
    pub(super) objects: u64,
}

/// All attempts, and a bell that rings at every change.
#[derive(Debug)]
pub(super) struct Attempts {
    inner: Mutex<HashMap<(SourceId, Kind), Attempt>>,
    /// How long the jobs of an account took, the later ones counting for more.
    latency: Mutex<HashMap<AccountId, Duration>>,
    bell: watch::Sender<u64>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { inner: Mutex::default(), latency: Mutex::default(), bell: watch::Sender::new(0) }
    }
}

impl Attempts {
    /// How it stands.
    pub(super) fn of(&self, source: &SourceId, kind: Kind) -> Attempt {
        self.lock().get(&(source.clone(), kind)).cloned().unwrap_or_default()
    }

    /// A bell to wait for; take it before looking.
    pub(super) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// A try begins: its number, by which its end is told.
    pub(super) fn begin(&self, source: &SourceId, kind: Kind) -> u64 {
        let mut inner = self.lock();
        let attempt = inner.entry((source.clone(), kind)).or_default();
        attempt.begun += 1;
        attempt.objects = 0;
        self.ring();
        attempt.begun
    }

    /// So many more objects were looked at.
    pub(super) fn looked_at(&self, source: &SourceId, kind: Kind, objects: usize) {
        if let Some(attempt) = self.lock().get_mut(&(source.clone(), kind)) {
            attempt.objects += objects as u64;
        }
        self.ring();
    }

    /// A try has ended. The next one may have begun by then.
    pub(super) fn end(&self, source: &SourceId, (kind, number): (Kind, u64), trouble: Option<String>) {
        if let Some(attempt) = self.lock().get_mut(&(source.clone(), kind)).filter(|attempt| attempt.ended < number) {
            attempt.ended = number;
            attempt.trouble = trouble;
        }
        self.ring();
    }

    /// A job of an account took so long.
    pub(super) fn took(&self, account: AccountId, time: Duration) {
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let average = latency.entry(account).or_insert(time);
        *average = (*average * 7 + time) / 8;
    }

    /// How long a job of an account takes.
    pub(super) fn latency(&self, account: &AccountId) -> Option<Duration> {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).get(account).copied()
    }

    /// Something has changed that who waits must look at.
    pub(super) fn ring(&self) {
        self.bell.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(SourceId, Kind), Attempt>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_that_was_under_way_is_told_from_one_that_began_later() {
        let (attempts, source): (_, SourceId) = (Attempts::default(), "s-abc".parse().unwrap());
        let first = attempts.begin(&source, Kind::Pull);
        let asked = attempts.of(&source, Kind::Pull).begun;
        // The next one may begin before the end of this one is told.
        let second = attempts.begin(&source, Kind::Pull);
        attempts.end(&source, (Kind::Pull, first), None);
        assert!(attempts.of(&source, Kind::Pull).ended <= asked, "the one under way says nothing of later changes");
        attempts.looked_at(&source, Kind::Pull, 3);
        attempts.end(&source, (Kind::Pull, second), Some("no".to_owned()));
        let now = attempts.of(&source, Kind::Pull);
        assert!(now.ended > asked && now.objects == 3 && now.trouble.as_deref() == Some("no"));
        assert_eq!(attempts.of(&source, Kind::Push), Attempt::default());
    }
}

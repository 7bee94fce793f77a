//! Time comes in by this door: everything that asks what time it is, or waits, is handed a [`Clock`].
//!
//! Wall time is for records that people or other servers read; the monotonic time is for measuring and
//! never jumps. Nothing else in the crate may read the system's clock (a lint guards that).

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::oneshot;

/// A pause that ends when its clock says so.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What time it is, and how to wait.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall clock, UTC. It may jump; never subtract two of these to measure.
    fn now(&self) -> Timestamp;
    /// Time since some fixed start. It never goes back.
    fn monotonic(&self) -> Duration;
    /// Resolves once `pause` has passed on this clock.
    fn sleep(&self, pause: Duration) -> Sleep;
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    fn sleep(&self, pause: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(pause))
    }
}

/// A clock that moves only when told: for tests and simulations.
#[derive(Clone, Debug)]
pub struct ManualClock {
    inner: Arc<Mutex<Manual>>,
}

#[derive(Debug)]
struct Manual {
    epoch: Timestamp,
    passed: Duration,
    sleepers: BTreeMap<Duration, Vec<oneshot::Sender<()>>>,
}

impl ManualClock {
    /// A clock that stands at `epoch` until [`ManualClock::advance`] moves it.
    pub fn new(epoch: Timestamp) -> Self {
        let inner = Manual { epoch, passed: Duration::ZERO, sleepers: BTreeMap::new() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Moves the clock and wakes whoever slept until then.
    pub fn advance(&self, by: Duration) {
        let mut inner = self.lock();
        inner.passed += by;
        let passed = inner.passed;
        let later = inner.sleepers.split_off(&(passed + Duration::from_nanos(1)));
        let due = std::mem::replace(&mut inner.sleepers, later);
        for sender in due.into_values().flatten() {
            // A sleeper that was dropped meanwhile needs no waking.
            let _gone = sender.send(()).is_err();
        }
    }

    /// How long until the next sleeper is due, if anybody sleeps.
    pub fn until_next(&self) -> Option<Duration> {
        let inner = self.lock();
        inner.sleepers.keys().next().map(|at| at.saturating_sub(inner.passed))
    }

    fn lock(&self) -> MutexGuard<'_, Manual> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let inner = self.lock();
        inner.epoch.checked_add(inner.passed).unwrap_or(Timestamp::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.lock().passed
    }

    fn sleep(&self, pause: Duration) -> Sleep {
        if pause.is_zero() {
            return Box::pin(std::future::ready(()));
        }
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.lock();
        let at = inner.passed + pause;
        inner.sleepers.entry(at).or_default().push(sender);
        Box::pin(async move {
            // The sender only goes away with the clock itself; then nobody is left to wait for.
            drop(receiver.await);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_sleepers_in_time_and_no_sooner() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let mut sleep = clock.sleep(Duration::from_secs(10));
        clock.advance(Duration::from_secs(9));
        assert!(futures_util::poll!(&mut sleep).is_pending());
        assert_eq!(clock.until_next(), Some(Duration::from_secs(1)));
        clock.advance(Duration::from_secs(1));
        assert!(futures_util::poll!(&mut sleep).is_ready());
        assert_eq!(clock.now().as_second(), 10);
        assert_eq!(clock.monotonic(), Duration::from_secs(10));
    }
}

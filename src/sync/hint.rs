//! When something of which a provider says that it has changed is read: soon, and no more often than is of use.
//!
//! Providers send several messages for one change, the same one twice, and thousands when a meeting moves. The first one is
//! acted on after a moment; while they keep coming, readings grow rarer.
//! Invariant: a message that comes before a reading begins is covered by that reading, and one that comes later leads to
//! another. All of this may be forgotten: then there is a wish too many.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What was heard of late, by the key of the job that reads it. Times are those of the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Hints {
    heard: Mutex<HashMap<String, Hint>>,
}

#[derive(Clone, Copy, Debug)]
struct Hint {
    /// When the last reading was due.
    due: Duration,
    /// Whether it has not begun yet.
    waits: bool,
    /// What it kept from the one before.
    distance: Duration,
}

/// Messages within this while lead to one reading.
const GATHER: Duration = Duration::from_secs(1);
/// The rarest that readings become while messages keep coming.
const RAREST: Duration = Duration::from_secs(15);
/// After so long without a message the next one is a first one again.
const QUIET: Duration = Duration::from_secs(30);
/// A reading that has not begun so long after it was due may never do so: it is wished for again.
const OVERDUE: Duration = Duration::from_mins(1);
/// More are not remembered.
const MOST: usize = 10_000;

impl Hints {
    /// A message about `key`: in what time it is to be read, unless a reading that will begin covers it.
    pub(super) fn heard(&self, key: &str, now: Duration) -> Option<Duration> {
        let mut heard = self.lock();
        let before = heard.get(key).copied();
        if before.is_some_and(|hint| hint.waits && now < hint.due + OVERDUE) {
            return None;
        }
        let recent = before.filter(|hint| now < hint.due + QUIET);
        let distance = recent.map_or(GATHER, |hint| (hint.distance * 2).min(RAREST));
        let due = recent.map_or(Duration::ZERO, |hint| hint.due + distance).max(now + GATHER);
        if heard.len() >= MOST {
            heard.retain(|_, hint| now < hint.due + QUIET);
        }
        heard.insert(key.to_owned(), Hint { due, waits: true, distance });
        Some(due.saturating_sub(now))
    }

    /// A reading begins, or what was wished for can't be: the next message counts.
    pub(super) fn begun(&self, key: &str) {
        if let Some(hint) = self.lock().get_mut(key) {
            hint.waits = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Hint>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_burst_is_one_reading_and_what_comes_after_it_began_is_another() {
        let hints = Hints::default();
        assert_eq!(hints.heard("a", seconds(100)), Some(GATHER));
        assert_eq!(hints.heard("a", seconds(100)), None);
        assert_eq!(hints.heard("b", seconds(100)), Some(GATHER), "another calendar");
        hints.begun("a");
        assert!(hints.heard("a", seconds(101)).is_some(), "it may have missed this one");
        assert_eq!(hints.heard("a", seconds(101)), None);
    }

    /// 95: ten thousand messages in ten seconds, each reading over at once.
    #[test]
    fn a_storm_leads_to_few_readings() {
        let hints = Hints::default();
        let (mut readings, mut due) = (0, None);
        for at in 0..10_000 {
            let now = Duration::from_millis(at);
            if due.is_some_and(|due| due <= now) {
                hints.begun("a");
                readings += 1;
                due = None;
            }
            due = due.or(hints.heard("a", now).map(|pause| now + pause));
        }
        assert!(readings <= 3, "{readings}");
        // And it never falls silent for longer than the rarest.
        assert!(due.unwrap() <= seconds(10) + RAREST);
    }

    #[test]
    fn after_a_quiet_while_it_is_quick_again() {
        let hints = Hints::default();
        for round in 0..5 {
            hints.heard("a", seconds(round));
            hints.begun("a");
        }
        assert_eq!(hints.heard("a", seconds(100)), Some(GATHER));
    }

    #[test]
    fn a_reading_that_never_begins_is_wished_for_again() {
        let hints = Hints::default();
        hints.heard("a", seconds(0));
        assert_eq!(hints.heard("a", seconds(30)), None);
        assert_eq!(hints.heard("a", seconds(90)), Some(GATHER));
    }
}

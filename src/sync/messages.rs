//! When a message from a provider is acted upon: the first at once, those of the next moment together, and ever fewer
//! readings while they keep coming.
//!
//! Providers send several messages for one change, the same one twice, and thousands when a meeting moves.
//! Invariant: a message that comes before a reading begins is covered by that reading, and one that comes later leads to
//! another. Only in memory: a message that is forgotten costs one reading more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What was heard of late, by the key of the job that reads it. Times are those of the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Messages(Mutex<HashMap<String, Heard>>);

#[derive(Clone, Copy, Debug)]
struct Heard {
    /// When the last reading was due.
    due: Duration,
    /// Whether it has not begun yet.
    waits: bool,
    /// What it kept from the one before.
    distance: Duration,
}

/// Messages within this while after a reading lead to one more.
const GATHER: Duration = Duration::from_secs(1);
/// The rarest that readings become while messages keep coming.
const RAREST: Duration = Duration::from_secs(15);
/// After so long without a message the next one is a first one again.
const QUIET: Duration = Duration::from_secs(30);
/// A reading that has not begun so long after it was due may never do so: it is wished for again.
const OVERDUE: Duration = Duration::from_mins(1);
/// More are not remembered.
const MOST: usize = 10_000;

impl Messages {
    /// A message about `key`: how long its reading is to wait; `None` if one that has not begun yet covers it.
    pub(super) fn pause(&self, key: &str, now: Duration) -> Option<Duration> {
        let mut all = self.lock();
        let before = all.get(key).copied();
        if before.is_some_and(|heard| heard.waits && now < heard.due + OVERDUE) {
            return None;
        }
        let recent = before.filter(|heard| now < heard.due + QUIET);
        let distance = recent.map_or(Duration::ZERO, |heard| (heard.distance * 2).clamp(GATHER, RAREST));
        let due = recent.map_or(now, |heard| heard.due + distance).max(now);
        if all.len() >= MOST {
            all.retain(|_, heard| now < heard.due + QUIET);
        }
        all.insert(key.to_owned(), Heard { due, waits: true, distance });
        Some(due.saturating_sub(now))
    }

    /// A reading begins, or what was wished for can't be: the next message counts. Whether a message asked for it.
    pub(super) fn begun(&self, key: &str) -> bool {
        self.lock().get_mut(key).is_some_and(|heard| std::mem::take(&mut heard.waits))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_first_is_acted_upon_at_once_and_the_next_ones_together() {
        let messages = Messages::default();
        assert_eq!(messages.pause("a", at(0)), Some(at(0)));
        assert_eq!(messages.pause("a", at(1)), None, "the reading has not begun");
        assert_eq!(messages.pause("b", at(1)), Some(at(0)), "another calendar's are its own");
        assert!(messages.begun("a") && !messages.begun("a") && !messages.begun("c"));
        assert_eq!(messages.pause("a", at(300)), Some(at(700)), "it may have missed this one");
        assert_eq!(messages.pause("a", at(999)), None);
        messages.begun("a");
        assert_eq!(messages.pause("a", at(1500)), Some(at(1500)), "they keep coming");
    }

    /// 95: ten thousand messages in ten seconds, each reading over at once.
    #[test]
    fn a_storm_leads_to_few_readings() {
        let messages = Messages::default();
        let (mut readings, mut due) = (0, None);
        for now in (0..10_000).map(at) {
            if due.is_some_and(|due| due <= now) {
                messages.begun("a");
                readings += 1;
                due = None;
            }
            due = due.or(messages.pause("a", now).map(|pause| now + pause));
        }
        assert!(readings <= 4, "{readings}");
        // And it never falls silent for longer than the rarest.
        assert!(due.unwrap() <= at(10_000) + RAREST);
    }

    #[test]
    fn after_a_quiet_while_it_is_quick_again() {
        let messages = Messages::default();
        for round in 0..5 {
            messages.pause("a", at(round * 1000));
            messages.begun("a");
        }
        assert_eq!(messages.pause("a", at(100_000)), Some(at(0)));
    }

    #[test]
    fn a_reading_that_never_begins_is_wished_for_again() {
        let messages = Messages::default();
        messages.pause("a", at(0));
        assert_eq!(messages.pause("a", at(30_000)), None);
        assert_eq!(messages.pause("a", at(90_000)), Some(at(0)));
    }
}

//! When a message from a provider is acted upon: the first at once, those of the next moment together.
//!
//! Only in memory: a message that is forgotten costs one reading more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Messages within this while after a reading lead to one more.
const GATHER: Duration = Duration::from_secs(1);

/// When each channel's subject was last to be read because of a message, on the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Messages(Mutex<HashMap<String, Duration>>);

impl Messages {
    /// How long the reading that a message about `subject` asks for is to wait.
    pub(super) fn pause(&self, subject: &str, now: Duration) -> Duration {
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        due.retain(|_, at| *at + GATHER > now);
        let at = match due.get(subject) {
            Some(at) if *at > now => *at,
            Some(at) => *at + GATHER,
            None => now,
        };
        due.insert(subject.to_owned(), at);
        at.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_acted_upon_at_once_and_the_next_ones_together() {
        let messages = Messages::default();
        let at = |ms| Duration::from_millis(ms);
        let table = [(0, 0), (1, 999), (300, 700), (999, 1), (1500, 500), (1999, 1), (3500, 0), (3600, 900)];
        for (now, pause) in table {
            assert_eq!(messages.pause("s-1", at(now)), at(pause), "{now}");
        }
        assert_eq!(messages.pause("s-2", at(3601)), Duration::ZERO, "another calendar's are its own");
    }
}

//! How long to wait before the next try: exponential, with full jitter, within bounds.
//!
//! Pure: the random number comes in. Full jitter spreads those who failed together over the whole span, so
//! that they don't come back together.

use std::time::Duration;

/// The least and the most that another side's `Retry-After` can ask of us.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));

/// The pause before try number `attempt + 1`, after `attempt` failures: between half of `base` and
/// `base * 2^(attempt - 1)`, never above `max`.
pub fn pause(attempt: u32, base: Duration, max: Duration, jitter: u64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let ceiling = base.saturating_mul(1 << doublings).min(max);
    let floor = (base / 2).min(ceiling);
    floor + share(ceiling.saturating_sub(floor), jitter)
}

/// What another side asked for, made sane: clamped to a second up to an hour, plus up to a tenth so that all
/// who were told the same don't return in the same moment.
pub fn honoured(retry_after: Duration, jitter: u64) -> Duration {
    let (least, most) = RETRY_AFTER;
    let asked = retry_after.clamp(least, most);
    asked + share(asked / 10, jitter)
}

/// The part of `whole` that `jitter` picks, evenly over its range.
fn share(whole: Duration, jitter: u64) -> Duration {
    let nanos = whole.as_nanos();
    let part = (nanos * u128::from(jitter)) >> 64;
    Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pause_stays_within_its_bounds(attempt in 0_u32..1000, base in 0_u64..100_000, max in 0_u64..10_000_000, jitter: u64) {
            let (base, max) = (Duration::from_millis(base), Duration::from_millis(max));
            let pause = pause(attempt, base, max, jitter);
            prop_assert!(pause <= max);
            let ceiling = base.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(max);
            prop_assert!(pause <= ceiling);
            prop_assert!(pause >= (base / 2).min(max));
        }

        #[test]
        fn what_is_asked_is_waited_within_reason(seconds in 0_u64..1_000_000, jitter: u64) {
            let asked = Duration::from_secs(seconds);
            let pause = honoured(asked, jitter);
            prop_assert!(pause >= asked.clamp(Duration::from_secs(1), Duration::from_hours(1)));
            prop_assert!(pause <= Duration::from_mins(66));
        }
    }

    #[test]
    fn jitter_reaches_both_ends() {
        let (base, max) = (Duration::from_secs(2), Duration::from_hours(1));
        assert_eq!(pause(4, base, max, 0), Duration::from_secs(1));
        assert!(pause(4, base, max, u64::MAX) > Duration::from_millis(15_999));
    }
}

//! How often somebody may fail to sign in.
//!
//! Only failures count, so an office behind one address that signs in well is never held up. A name alone is
//! never locked: whoever fails under it holds up their own address and nobody else's.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use quick_cache::sync::Cache;

use crate::clock::Clock;

/// Failures a minute under one name from one address, and from one address under any name.
pub(super) struct Throttle {
    clock: GovernorClock,
    named: Failures<(String, IpAddr)>,
    address: Failures<IpAddr>,
}

impl Throttle {
    pub(super) fn new(clock: Arc<dyn Clock>, named: u32, address: u32) -> Self {
        let clock = GovernorClock(clock);
        Self { named: Failures::new(&clock, named), address: Failures::new(&clock, address), clock }
    }

    /// How long this name at this address is held up; `None` when it is not.
    pub(super) fn held_up(&self, user: &str, peer: IpAddr) -> Option<Duration> {
        let now = self.clock.0.monotonic();
        let peer = network(peer);
        let named = self.named.held_up(&(user.to_owned(), peer), now);
        named.max(self.address.held_up(&peer, now))
    }

    /// Counts a failure.
    pub(super) fn failed(&self, user: &str, peer: IpAddr) {
        let now = self.clock.0.monotonic();
        let peer = network(peer);
        self.named.failed((user.to_owned(), peer), now);
        self.address.failed(peer, now);
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").finish_non_exhaustive()
    }
}

struct Failures<K: std::hash::Hash + Eq + Clone> {
    limiter: RateLimiter<K, DefaultKeyedStateStore<K>, GovernorClock, StateInformationMiddleware>,
    held_up: Cache<K, Duration>,
    /// How long it takes until one more failure is forgiven.
    forgiven: Duration,
}

/// So many keys are remembered; those that failed longest ago go first.
const REMEMBERED: usize = 10_000;

impl<K: std::hash::Hash + Eq + Clone> Failures<K> {
    fn new(clock: &GovernorClock, per_minute: u32) -> Self {
        let per_minute = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        let limiter = RateLimiter::dashmap_with_clock(Quota::per_minute(per_minute), clock.clone());
        Self {
            limiter: limiter.with_middleware::<StateInformationMiddleware>(),
            held_up: Cache::new(REMEMBERED),
            forgiven: Duration::from_mins(1) / per_minute.get(),
        }
    }

    fn held_up(&self, key: &K, now: Duration) -> Option<Duration> {
        let until = self.held_up.get(key)?;
        let left = until.saturating_sub(now);
        (!left.is_zero()).then_some(left)
    }

    fn failed(&self, key: K, now: Duration) {
        if self.limiter.len() > REMEMBERED {
            self.limiter.retain_recent();
        }
        let spent = match self.limiter.check_key(&key) {
            Ok(state) => state.remaining_burst_capacity() == 0,
            Err(_) => true,
        };
        if spent {
            self.held_up.insert(key, now + self.forgiven);
        }
    }
}

/// An address as its owner has it: of IPv6 anybody has a /64.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[derive(Clone, Debug)]
struct GovernorClock(Arc<dyn Clock>);

impl governor::clock::Clock for GovernorClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::clock::ManualClock;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn five_failures_hold_up_a_name_at_its_address_and_time_forgives() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let throttle = Throttle::new(Arc::new(clock.clone()), 5, 20);
        let (here, there) = (ip("192.0.2.1"), ip("192.0.2.2"));
        for _ in 0..5 {
            assert_eq!(throttle.held_up("ana", here), None);
            throttle.failed("ana", here);
        }
        assert_eq!(throttle.held_up("ana", here), Some(Duration::from_secs(12)));
        assert_eq!(throttle.held_up("ana", there), None, "nobody is locked out by name");
        assert_eq!(throttle.held_up("ben", here), None);
        clock.advance(Duration::from_secs(12));
        assert_eq!(throttle.held_up("ana", here), None);
        throttle.failed("ana", here);
        assert!(throttle.held_up("ana", here).is_some());
    }

    #[test]
    fn an_address_that_tries_many_names_is_held_up_whole() {
        let throttle = Throttle::new(Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)), 5, 20);
        for n in 0..20 {
            throttle.failed(&format!("user{n}"), ip(&format!("2001:db8::{n:x}")));
        }
        assert!(throttle.held_up("ana", ip("2001:db8::ffff")).is_some());
        assert_eq!(throttle.held_up("ana", ip("2001:db8:0:1::1")), None);
    }
}

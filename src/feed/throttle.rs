//! How often an address may ask for feeds that nobody made.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use quick_cache::sync::Cache;

/// Wrong tokens by address. Right ones count for nothing, so a house full of readers is never held up.
#[derive(Debug)]
pub(super) struct Guesses {
    wrong: Cache<IpAddr, (Duration, u32)>,
}

impl Guesses {
    pub(super) fn new() -> Self {
        Self { wrong: Cache::new(10_000) }
    }

    /// How long this address is held up; `None` if it is not.
    pub(super) fn held_up(&self, peer: IpAddr, now: Duration) -> Option<Duration> {
        let (since, count) = self.wrong.get(&network(peer))?;
        let left = (since + MINUTE).saturating_sub(now);
        (count >= PER_MINUTE && !left.is_zero()).then_some(left)
    }

    /// Counts a wrong token.
    pub(super) fn wrong(&self, peer: IpAddr, now: Duration) {
        let peer = network(peer);
        let (since, count) = self.wrong.get(&peer).filter(|(since, _)| now < *since + MINUTE).unwrap_or((now, 0));
        self.wrong.insert(peer, (since, count + 1));
    }
}

/// An address as its owner has it: of IPv6 anybody has a /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

const MINUTE: Duration = Duration::from_mins(1);
const PER_MINUTE: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_is_held_up_for_the_rest_of_the_minute() {
        let guesses = Guesses::new();
        let (here, there): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let second = Duration::from_secs;
        for _ in 0..PER_MINUTE {
            assert_eq!(guesses.held_up(here, second(1)), None);
            guesses.wrong(here, second(1));
        }
        assert_eq!(guesses.held_up(here, second(2)), Some(second(59)));
        assert_eq!(guesses.held_up(there, second(2)), None);
        assert_eq!(guesses.held_up(here, second(61)), None);
        guesses.wrong(here, second(61));
        assert_eq!(guesses.held_up(here, second(62)), None);
    }
}

//! The sign-ins that were begun, by the hash of their state: each ends once, in the browser that began it.
//!
//! They lie in memory: anybody may begin one, and a disk is not to be filled by strangers. One network has few places, so
//! it can't push out those of others.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::OidcError;
use crate::id::UserId;
use crate::identity::throttle::network;
use crate::vault::Secret;

/// What is kept of a sign-in until it ends.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) nonce: Secret,
    pub(super) verifier: Secret,
    pub(super) to: String,
    pub(super) connect: Option<UserId>,
    /// On the monotonic clock.
    pub(super) until: Duration,
}

#[derive(Debug)]
struct Row {
    browser: [u8; 32],
    network: IpAddr,
    begun: Begun,
}

#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<BTreeMap<[u8; 32], Row>>);

impl Waiting {
    /// Keeps a sign-in. The oldest of the same network, or of all, goes when there are too many.
    pub(super) fn put(&self, state: &Secret, browser: &Secret, address: IpAddr, begun: Begun) {
        let network = network(address);
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.values().filter(|row| row.network == network).count() >= MOST_OF_NETWORK {
            drop_oldest(&mut rows, |row| row.network == network);
        }
        if rows.len() >= MOST {
            drop_oldest(&mut rows, |_| true);
        }
        rows.insert(hash(state), Row { browser: hash(browser), network, begun });
    }

    /// Takes a sign-in away to end it. One that another browser asks for stays.
    pub(super) fn take(&self, state: &Secret, browser: Option<&Secret>, now: Duration) -> Result<Begun, OidcError> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.retain(|_, row| now < row.begun.until);
        let key = hash(state);
        let row = rows.get(&key).ok_or(OidcError::Unknown)?;
        if browser.map(hash) != Some(row.browser) {
            return Err(OidcError::OtherBrowser);
        }
        rows.remove(&key).map(|row| row.begun).ok_or(OidcError::Unknown)
    }
}

fn drop_oldest(rows: &mut BTreeMap<[u8; 32], Row>, of: impl Fn(&Row) -> bool) {
    let oldest = rows.iter().filter(|(_, row)| of(row)).min_by_key(|(_, row)| row.begun.until).map(|(key, _)| *key);
    if let Some(oldest) = oldest {
        rows.remove(&oldest);
    }
}

/// Only hashes are compared, so the time that takes says nothing of a secret.
fn hash(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret.expose()).into()
}

const MOST: usize = 10_000;
/// An office behind one address signs in within ten minutes.
const MOST_OF_NETWORK: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn secret(text: impl Into<String>) -> Secret {
        Secret::from(text.into())
    }

    fn begun(until: u64) -> Begun {
        let (nonce, verifier) = (secret("n"), secret("v"));
        Begun { nonce, verifier, to: String::new(), connect: None, until: Duration::from_secs(until) }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_state_ends_one_sign_in_once_in_its_own_browser_and_in_time() {
        let waiting = Waiting::default();
        waiting.put(&secret("s"), &secret("b"), HERE, begun(600));
        assert!(matches!(waiting.take(&secret("x"), Some(&secret("b")), at(1)), Err(OidcError::Unknown)));
        assert!(matches!(waiting.take(&secret("s"), Some(&secret("c")), at(1)), Err(OidcError::OtherBrowser)));
        assert!(matches!(waiting.take(&secret("s"), None, at(1)), Err(OidcError::OtherBrowser)));
        assert!(waiting.take(&secret("s"), Some(&secret("b")), at(1)).is_ok());
        assert!(matches!(waiting.take(&secret("s"), Some(&secret("b")), at(1)), Err(OidcError::Unknown)));
        waiting.put(&secret("s"), &secret("b"), HERE, begun(600));
        assert!(matches!(waiting.take(&secret("s"), Some(&secret("b")), at(600)), Err(OidcError::Unknown)));
    }

    #[test]
    fn one_network_pushes_out_its_own_alone() {
        let waiting = Waiting::default();
        waiting.put(&secret("theirs"), &secret("b"), THERE, begun(1));
        for number in 0..=MOST_OF_NETWORK as u64 {
            waiting.put(&secret(number.to_string()), &secret("b"), HERE, begun(600 + number));
        }
        assert!(waiting.take(&secret("theirs"), Some(&secret("b")), at(0)).is_ok());
        assert!(matches!(waiting.take(&secret("0"), Some(&secret("b")), at(0)), Err(OidcError::Unknown)));
        assert!(waiting.take(&secret("1"), Some(&secret("b")), at(0)).is_ok());
    }
}

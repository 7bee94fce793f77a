//! Passwords that people choose: slow hashes off the reactor, and a word on weak ones.
//!
//! Argon2id with 19 MiB, two passes, one lane (OWASP's first choice) costs tens of milliseconds; so few run at
//! once, and when too many wait the caller is told to come back rather than being kept. One network has a quarter of the
//! places that wait, so whoever guesses from there keeps nobody else out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::throttle::network;
use crate::entropy::Entropy;
use crate::vault::Secret;

/// Too many hashes wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// Runs slow hashes, a few at a time.
#[derive(Debug)]
pub(super) struct Hasher {
    permits: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
    max_waiting: usize,
}

/// How many have a place, in all and of each network that has any.
#[derive(Debug, Default)]
struct Waiting {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

/// What is verified when the user is unknown, so that this takes the same time. No password has this hash.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGlzIGhlcmUu$bm9ib2R5J3MgcGFzc3dvcmQgaGFzIHRoaXMgaGFzaCE";

impl Hasher {
    pub(super) fn new(at_once: usize, max_waiting: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(at_once.max(1))), waiting: Mutex::default(), max_waiting }
    }

    /// The password as a PHC string with a new salt.
    pub(super) async fn hash(&self, password: &Secret, entropy: &dyn Entropy) -> Result<String, Busy> {
        let mut salt = [0; 16];
        entropy.fill(&mut salt);
        let password = normal(password);
        self.run(None, move || argon2().hash_password_with_salt(&password, &salt).map(|hash| hash.to_string()))
            .await?
            // The parameters and the salt's length are ours and right, so hashing can only run out of memory.
            .map_err(|_| Busy)
    }

    /// Whether the password that came from `peer` has this hash. Without a hash it takes as long, and says no.
    pub(super) async fn verify(&self, password: &Secret, hash: Option<&str>, peer: IpAddr) -> Result<bool, Busy> {
        let known = hash.is_some();
        let hash = hash.unwrap_or(NOBODY).to_owned();
        let password = normal(password);
        let right = self
            .run(Some(peer), move || {
                let Ok(hash) = PasswordHash::new(&hash) else { return false };
                argon2().verify_password(&password, &hash).is_ok()
            })
            .await?;
        Ok(right && known)
    }

    async fn run<T: Send + 'static>(
        &self,
        peer: Option<IpAddr>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let _place = self.queue(peer)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(|_| Busy)
    }

    fn queue(&self, peer: Option<IpAddr>) -> Result<Place<'_>, Busy> {
        // This machine stands for many people: those behind a proxy that nobody has named as trusted.
        let from = peer.filter(|peer| !peer.to_canonical().is_loopback()).map(network);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let own = from.and_then(|from| waiting.of.get(&from).copied()).unwrap_or(0);
        if waiting.all >= self.max_waiting || own >= (self.max_waiting / SHARE).max(1) {
            return Err(Busy);
        }
        waiting.all += 1;
        if let Some(from) = from {
            waiting.of.insert(from, own + 1);
        }
        Ok(Place { waiting: &self.waiting, from })
    }
}

/// One network has one in so many of the places.
const SHARE: usize = 4;

/// A place among those who wait; given back when dropped.
struct Place<'a> {
    waiting: &'a Mutex<Waiting>,
    from: Option<IpAddr>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.all = waiting.all.saturating_sub(1);
        let Some(from) = self.from else { return };
        match waiting.of.get_mut(&from) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(waiting.of.remove(&from)),
        }
    }
}

/// Why a password is easy to guess, in words for the person; `None` when nothing speaks against it.
pub fn weakness(password: &Secret, user: &str) -> Option<&'static str> {
    let text = password.expose_str().unwrap_or_default();
    let lower = Zeroizing::new(text.to_lowercase());
    let trimmed = lower.trim_end_matches(|c: char| c.is_ascii_digit() || c.is_ascii_punctuation());
    let distinct = lower.chars().collect::<std::collections::BTreeSet<_>>().len();
    if text.chars().count() < 10 {
        Some("it has fewer than 10 characters")
    } else if distinct < 5 {
        Some("it repeats a few characters")
    } else if lower.chars().all(|c| c.is_ascii_digit()) {
        Some("it is made of digits alone")
    } else if !user.is_empty() && lower.contains(user) {
        Some("it holds the user name")
    } else if COMMON.contains(&trimmed) || COMMON.contains(&lower.as_str()) {
        Some("it is among the passwords that are tried first")
    } else {
        None
    }
}

/// One spelling for what looks the same (RFC 7617 2.1 asks for NFC).
fn normal(password: &Secret) -> Zeroizing<Vec<u8>> {
    match password.expose_str() {
        Some(text) => Zeroizing::new(text.nfc().collect::<String>().into_bytes()),
        None => Zeroizing::new(password.expose().to_vec()),
    }
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

/// Words that head the lists of leaked passwords, without the digits and signs that people add at the end.
const COMMON: &[&str] = &[
    "password",
    "passwort",
    "passw0rd",
    "p@ssw0rd",
    "administrator",
    "admin",
    "letmein",
    "welcome",
    "iloveyou",
    "qwerty",
    "qwertyuiop",
    "qwertzuiop",
    "qwertz",
    "azerty",
    "azertyuiop",
    "1q2w3e4r5t",
    "1qaz2wsx3edc",
    "zaq12wsx",
    "1234567890",
    "12345678910",
    "0987654321",
    "9876543210",
    "123123123",
    "abcdefghij",
    "abc123abc123",
    "changeme",
    "changemenow",
    "calendar",
    "mycalendar",
    "lineartime",
    "secret",
    "mysecret",
    "superman",
    "batman",
    "football",
    "baseball",
    "basketball",
    "princess",
    "sunshine",
    "monkey",
    "dragon",
    "master",
    "shadow",
    "michael",
    "jennifer",
    "trustno1",
    "starwars",
    "whatever",
    "computer",
    "internet",
    "hallohallo",
    "schatz",
    "geheim",
    "sommer",
    "winter",
    "spring",
    "summer",
    "autumn",
    "default",
    "guest",
    "root",
    "toor",
    "testtest",
    "temporary",
    "1111111111",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[tokio::test]
    async fn a_hash_verifies_its_password_in_any_spelling_and_no_other() {
        let hasher = Hasher::new(2, 8);
        let entropy = SeededEntropy::new(1);
        let composed = Secret::from("gr\u{fc}n und blau".to_owned());
        let hash = hasher.hash(&composed, &entropy).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let decomposed = Secret::from("gru\u{308}n und blau".to_owned());
        assert_eq!(hasher.verify(&decomposed, Some(&hash), HOME).await, Ok(true));
        assert_eq!(hasher.verify(&Secret::from("gelb".to_owned()), Some(&hash), HOME).await, Ok(false));
        assert_eq!(hasher.verify(&composed, None, HOME).await, Ok(false));
        assert_eq!(hasher.verify(&composed, Some("no hash"), HOME).await, Ok(false));
        assert_ne!(hasher.hash(&composed, &entropy).await.unwrap(), hash, "a salt of its own");
    }

    #[test]
    fn nobodys_hash_costs_what_a_real_one_costs() {
        let hash = PasswordHash::new(NOBODY).unwrap();
        let params = Params::try_from(&hash).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (19456, 2, 1));
        assert_eq!(hash.hash.unwrap().len(), 32);
    }

    #[tokio::test]
    async fn who_comes_when_too_many_wait_is_sent_away() {
        let hasher = Hasher::new(1, 1);
        let password = Secret::from("x".to_owned());
        let first = hasher.verify(&password, None, HOME);
        let second = hasher.verify(&password, None, HOME);
        assert_eq!(tokio::join!(first, second), (Ok(false), Err(Busy)));
        assert_eq!(hasher.verify(&password, None, HOME).await, Ok(false));
    }

    #[test]
    fn one_network_has_a_quarter_of_the_places_and_gives_them_back() {
        let hasher = Hasher::new(1, 8);
        let take = |address: &str| hasher.queue(Some(address.parse().unwrap()));
        let own = [take("2001:db8::1"), take("2001:db8::2")];
        assert!(own.iter().all(Result::is_ok));
        assert!(take("2001:db8::ffff").is_err(), "a /64 is one");
        let others = [take("2001:db8:0:1::1"), take("192.0.2.1"), take("::ffff:192.0.2.1")];
        assert!(others.iter().all(Result::is_ok));
        assert!(take("192.0.2.1").is_err());
        let here = [take("127.0.0.1"), take("::1"), take("127.0.0.1")];
        assert!(here.iter().all(Result::is_ok), "this machine stands for many");
        assert!(take("192.0.2.2").is_err() && take("127.0.0.1").is_err(), "and no more than there are");
        drop((own, others, here));
        assert!(take("2001:db8::1").is_ok());
        let waiting = hasher.waiting.lock().unwrap();
        assert!(waiting.all == 0 && waiting.of.is_empty());
    }

    #[test]
    fn weak_passwords_are_told() {
        for weak in ["", "short", "aaaaaaaaaaaa", "Password1234!", "ana-likes-tea", "12345678901", "abababababab"] {
            assert!(weakness(&Secret::from(weak.to_owned()), "ana").is_some(), "{weak}");
        }
        for fine in ["correct horse battery", "kW3-fnZ8qa", "übermäßig viel Tee"] {
            assert_eq!(weakness(&Secret::from(fine.to_owned()), "ana"), None, "{fine}");
        }
    }
}

//! One sealed value: `version 1 | key id (8) | nonce (12) | ciphertext and tag (16)`.

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Secret;
use crate::entropy::Entropy;

const VERSION: u8 = 1;
const KEY_ID: usize = 8;
const NONCE: usize = 12;
const TAG: usize = 16;
/// Sets our additional data apart from any other use of the same key.
const DOMAIN: &[u8] = b"lineartime/v1/";

/// Which key sealed a value: a fingerprint, which says nothing about the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(super) [u8; KEY_ID]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Why a sealed value does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// It names a key that the ring does not have.
    #[error("sealed under the key {0}, which is not among the master keys given")]
    WrongKey(KeyId),
    /// It was altered, cut, or belongs to another record.
    #[error("a sealed value was altered or belongs to another record")]
    Damaged,
    /// A newer release sealed it.
    #[error("sealed in the format {0}, which this version does not know")]
    Newer(u8),
}

/// A secret at rest. Fit for a record's field: serde writes its octets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed(Bytes);

impl Sealed {
    /// What a file or a row held; nothing is checked before it is opened.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The octets to keep.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key that it names, if its header can be read.
    pub fn key_id(&self) -> Result<KeyId, VaultError> {
        self.split().map(|parts| parts.key)
    }

    fn split(&self) -> Result<Parts<'_>, VaultError> {
        let (&version, rest) = self.0.split_first().ok_or(VaultError::Damaged)?;
        if version != VERSION {
            return Err(if version > VERSION { VaultError::Newer(version) } else { VaultError::Damaged });
        }
        let (key, rest) = rest.split_first_chunk::<KEY_ID>().ok_or(VaultError::Damaged)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE>().ok_or(VaultError::Damaged)?;
        if body.len() < TAG {
            return Err(VaultError::Damaged);
        }
        Ok(Parts { key: KeyId(*key), nonce, body })
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} octets)", self.0.len())
    }
}

struct Parts<'a> {
    key: KeyId,
    nonce: &'a [u8; NONCE],
    body: &'a [u8],
}

/// What the tag covers beside the secret: our domain, the header and the record's own key.
fn additional(key: KeyId, record: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(DOMAIN.len() + 1 + KEY_ID + record.len());
    data.extend_from_slice(DOMAIN);
    data.push(VERSION);
    data.extend_from_slice(&key.0);
    data.extend_from_slice(record);
    data
}

#[expect(
    clippy::expect_used,
    reason = "AES-GCM refuses nothing but a message of 64 GiB, which no memory-held secret is"
)]
pub(super) fn seal(cipher: &Aes256Gcm, key: KeyId, entropy: &dyn Entropy, record: &[u8], plain: &Secret) -> Sealed {
    let mut nonce = [0; NONCE];
    entropy.fill(&mut nonce);
    let aad = additional(key, record);
    let payload = Payload { msg: plain.expose(), aad: &aad };
    let body = cipher.encrypt(&Nonce::from(nonce), payload).expect("a secret shorter than 64 GiB");
    let mut sealed = Vec::with_capacity(1 + KEY_ID + NONCE + body.len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&key.0);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&body);
    Sealed(sealed.into())
}

/// Opens with the one key that the header names, which `find` looks up.
pub(super) fn open<'k>(
    find: impl FnOnce(KeyId) -> Option<&'k Aes256Gcm>,
    record: &[u8],
    sealed: &Sealed,
) -> Result<Secret, VaultError> {
    let parts = sealed.split()?;
    let cipher = find(parts.key).ok_or(VaultError::WrongKey(parts.key))?;
    let aad = additional(parts.key, record);
    let payload = Payload { msg: parts.body, aad: &aad };
    cipher.decrypt(&Nonce::from(*parts.nonce), payload).map(Secret::new).map_err(|_| VaultError::Damaged)
}

/// The cipher for a key. The key schedule is wiped when the cipher is dropped.
pub(super) fn cipher(key: &Zeroizing<[u8; 32]>) -> Aes256Gcm {
    Aes256Gcm::new((&**key).into())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::entropy::{OsEntropy, SeededEntropy};
    use crate::vault::{KeyRing, MasterKey};

    fn ring(seed: u64) -> KeyRing {
        KeyRing::load(&MasterKey::generate(&SeededEntropy::new(seed)))
    }

    #[test]
    fn opens_with_the_same_record_only() {
        let (ring, entropy) = (ring(1), SeededEntropy::new(9));
        let (alice, bob) = (Secret::new("token of alice"), Secret::new("token of bob"));
        let at_alice = ring.seal(&entropy, b"account/alice", &alice);
        let at_bob = ring.seal(&entropy, b"account/bob", &bob);
        assert_eq!(ring.open(b"account/alice", &at_alice), Ok(alice));
        assert_eq!(ring.open(b"account/alice", &at_bob), Err(VaultError::Damaged), "swapped rows");
        assert_eq!(ring.open(b"account/bob", &at_alice), Err(VaultError::Damaged), "swapped rows");
    }

    #[test]
    fn the_layout_is_version_key_nonce_text_tag() {
        let ring = ring(1);
        let sealed = ring.seal(&SeededEntropy::new(9), b"r", &Secret::new("12345"));
        assert_eq!(sealed.as_bytes().len(), 1 + 8 + 12 + 5 + 16);
        assert_eq!(sealed.as_bytes()[0], 1);
        assert_eq!(sealed.key_id(), Ok(ring.active()));
    }

    #[test]
    fn sealing_twice_never_gives_the_same() {
        let (ring, entropy) = (ring(1), SeededEntropy::new(9));
        let plain = Secret::new("x");
        assert_ne!(ring.seal(&entropy, b"r", &plain), ring.seal(&entropy, b"r", &plain));
    }

    /// Reliability O13.
    #[test]
    fn of_a_million_nonces_no_two_are_alike() {
        let (ring, entropy, plain) = (ring(1), OsEntropy, Secret::new("x"));
        // Sealing is slow where nothing is optimised.
        let count = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };
        let nonces: HashSet<[u8; NONCE]> = (0..count)
            .map(|_| {
                let sealed = ring.seal(&entropy, b"r", &plain);
                sealed.as_bytes()[1 + KEY_ID..][..NONCE].try_into().unwrap()
            })
            .collect();
        assert_eq!(nonces.len(), count);
    }

    #[test]
    fn no_changed_bit_and_no_cut_opens() {
        let ring = ring(1);
        let sealed = ring.seal(&SeededEntropy::new(9), b"r", &Secret::new("secret"));
        for bit in 0..sealed.as_bytes().len() * 8 {
            let mut bad = sealed.as_bytes().to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(ring.open(b"r", &Sealed::from_bytes(bad)).is_err(), "bit {bit}");
        }
        for length in 0..sealed.as_bytes().len() {
            let cut = sealed.as_bytes()[..length].to_vec();
            assert!(ring.open(b"r", &Sealed::from_bytes(cut)).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn another_key_is_named_and_not_tried() {
        let (old, new) = (ring(1), ring(2));
        let sealed = old.seal(&SeededEntropy::new(9), b"r", &Secret::new("secret"));
        assert_eq!(new.open(b"r", &sealed), Err(VaultError::WrongKey(old.active())));
        // The header with the other key's id: that key is used, and fails.
        let mut forged = sealed.as_bytes().to_vec();
        forged[1..9].copy_from_slice(&new.active().0);
        assert_eq!(new.open(b"r", &Sealed::from_bytes(forged)), Err(VaultError::Damaged));
        let mut newer = sealed.as_bytes().to_vec();
        newer[0] = 2;
        assert_eq!(old.open(b"r", &Sealed::from_bytes(newer)), Err(VaultError::Newer(2)));
    }

    #[test]
    fn debug_shows_sizes_only() {
        let sealed = ring(1).seal(&SeededEntropy::new(9), b"r", &Secret::new("12345"));
        assert_eq!(format!("{sealed:?}"), "Sealed(42 octets)");
    }
}

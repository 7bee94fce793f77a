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

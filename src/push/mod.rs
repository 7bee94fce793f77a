//! `WebDAV-Push` (the bitfireAT draft): telling clients that a calendar has changed, so that they need not ask.
//!
//! Transport is Web Push (RFC 8030) with VAPID (RFC 8292) and message encryption (RFC 8291). A subscription is a row: where
//! to send is sealed, and what its client was last told stands beside it. So nothing is lost at a restart, and many
//! changes become one message. [`Pushes::work`] runs beside the requests; no request ever waits for a push service.
//!
//! It never tells what has changed, only that something has, and it never follows where the egress guard of
//! [`crate::transport`] does not let it go.

mod deliver;
mod key;
mod message;
mod subscription;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::calendar::Calendars;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::id::CollectionId;
use crate::store::{CommitError, Store, StoreError};
use crate::transport::Transport;
use crate::vault::{KeyRing, VaultError};

pub use deliver::Round;
pub use subscription::{Registered, Trigger, WebPush};

use key::Vapid;

/// What pushing works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where subscriptions are kept.
    pub store: Arc<dyn Store>,
    /// What is watched.
    pub calendars: Arc<Calendars>,
    /// The way out.
    pub transport: Arc<dyn Transport>,
    /// Ages and pauses.
    pub clock: Arc<dyn Clock>,
    /// Names and keys.
    pub entropy: Arc<dyn Entropy>,
}

/// All subscriptions, and the key by which push services know this server.
pub struct Pushes {
    parts: Parts,
    keys: Mutex<Arc<KeyRing>>,
    vapid: Vapid,
    /// Whom a push service can turn to (RFC 8292 2.1): a URL.
    contact: String,
}

/// Why a subscription can't be kept or used.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Not a push resource with keys that messages can be encrypted for.
    #[error("the subscription is not one for Web Push with message encryption")]
    Invalid,
    /// There are too many already.
    #[error("there are too many subscriptions to this calendar")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is sealed does not open.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<CommitError> for PushError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => Self::Store(error),
            CommitError::Stale(_) => Self::TooMany,
        }
    }
}

impl Pushes {
    /// Reads this server's key pair, or makes it.
    pub async fn open(parts: Parts, keys: Arc<KeyRing>, contact: String) -> Result<Self, PushError> {
        let vapid = Vapid::open(&*parts.store, &keys, &*parts.entropy).await?;
        Ok(Self { parts, keys: Mutex::new(keys), vapid, contact })
    }

    /// The public key for the property `transports`: uncompressed, base64url.
    pub fn public_key(&self) -> &str {
        self.vapid.public()
    }

    /// What a collection is called in messages: the same for ever, and it says nothing to others.
    pub fn topic(&self, id: &CollectionId) -> String {
        let mut hash = Sha256::new();
        for part in [self.public_key(), id.user.as_str(), id.name.as_str()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digest = hash.finalize();
        URL_SAFE_NO_PAD.encode(digest.get(..16).unwrap_or_default())
    }

    fn keys(&self) -> Arc<KeyRing> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Seals everything with `keys` from now on, and again what was sealed before. Says how many secrets that were.
    pub async fn reseal(&self, keys: &Arc<KeyRing>) -> Result<usize, PushError> {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys.clone();
        let key = Vapid::reseal(&*self.parts.store, keys, &*self.parts.entropy).await?;
        Ok(usize::from(key) + self.reseal_subscriptions(keys).await?)
    }
}

impl fmt::Debug for Pushes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pushes(..)")
    }
}

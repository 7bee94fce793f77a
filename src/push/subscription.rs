//! Subscriptions: made, renewed, ended, and what their clients know.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use web_push_native::p256::PublicKey;

use super::{PushError, Pushes};
use crate::id::{CollectionId, CollectionName, UserId};
use crate::store::{Batch, Record, Table, tables};
use crate::vault::{KeyRing, Sealed, Secret};

/// Where messages go and how they are encrypted. A secret as a whole: who has it can send to the device.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebPush {
    pub(super) resource: String,
    pub(super) public_key: Vec<u8>,
    pub(super) auth: Vec<u8>,
}

impl WebPush {
    /// A subscription as a client registers it: an absolute URL, a P-256 point and 16 octets in base64url.
    pub fn new(resource: &str, public_key: &str, auth: &str) -> Result<Self, PushError> {
        let uri: Uri = resource.parse().map_err(|_| PushError::Invalid)?;
        let absolute = matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some();
        let octets = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| PushError::Invalid);
        let (public_key, auth) = (octets(public_key)?, octets(auth)?);
        let fine = absolute && resource.len() <= MAX_RESOURCE && auth.len() == AUTH;
        if !fine || PublicKey::from_sec1_bytes(&public_key).is_err() {
            return Err(PushError::Invalid);
        }
        Ok(Self { resource: resource.to_owned(), public_key, auth })
    }
}

impl fmt::Debug for WebPush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebPush({} octets)", self.resource.len())
    }
}

/// What a client wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Objects that come, change or go.
    pub content: bool,
    /// The collection's own properties.
    pub properties: bool,
}

/// A subscription that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The last segment of its registration URL.
    pub id: String,
    /// When it ends.
    pub expires: Timestamp,
}

/// What has happened that a client does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// The sync token after changes of content.
    pub(super) token: Option<String>,
    /// Whether properties have changed.
    pub(super) traits: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) sealed: Sealed,
    pub(super) trigger: Trigger,
    /// Seconds since 1970.
    pub(super) expires: i64,
    /// The sync token that the client was last told of.
    pub(super) token: String,
    /// A digest of the properties that the client was last told of.
    pub(super) traits: u64,
}

impl Record for Row {
    const FORMAT: u8 = 1;
}

pub(super) type RowKey = (UserId, CollectionName, String);

impl Pushes {
    /// Keeps a subscription to `collection`. One to the same push resource is renewed. It ends when the client wants, but
    /// not before three days and not after ninety.
    pub async fn register(
        &self,
        collection: &CollectionId,
        to: &WebPush,
        trigger: Trigger,
        until: Option<Timestamp>,
    ) -> Result<Registered, PushError> {
        let id = identifier(collection, &to.resource);
        let key = (collection.user.clone(), collection.name.clone(), id.clone());
        let others = SUBSCRIPTIONS.scan(&*self.parts.store, SUBSCRIPTIONS.range(collection), MOST).await?;
        if others.len() >= MOST && others.iter().all(|(other, _)| *other != key) {
            return Err(PushError::TooMany);
        }
        let now = self.parts.clock.now();
        let at = |wait: SignedDuration| now.checked_add(wait).unwrap_or(Timestamp::MAX);
        let expires = until.unwrap_or_else(|| at(USUAL)).clamp(at(SHORTEST), at(LONGEST));
        let row = Row {
            sealed: self.seal(&self.keys(), &key, to),
            trigger,
            expires: expires.as_second(),
            token: self.parts.calendars.token(collection).await?.to_string(),
            traits: self.traits(collection).await?,
        };
        let mut batch = Batch::new();
        SUBSCRIPTIONS.put(&mut batch, &key, &row);
        self.parts.store.commit(batch).await?;
        Ok(Registered { id, expires })
    }

    /// Ends a subscription; says whether there was one.
    pub async fn unregister(&self, collection: &CollectionId, id: &str) -> Result<bool, PushError> {
        let key = (collection.user.clone(), collection.name.clone(), id.to_owned());
        if SUBSCRIPTIONS.get(&*self.parts.store, &key).await?.is_none() {
            return Ok(false);
        }
        self.forget(&key).await?;
        Ok(true)
    }

    /// Ends every subscription of a user.
    pub async fn forget_user(&self, user: &UserId) -> Result<(), PushError> {
        for (key, _) in SUBSCRIPTIONS.scan(&*self.parts.store, SUBSCRIPTIONS.range(user), usize::MAX).await? {
            self.forget(&key).await?;
        }
        Ok(())
    }

    /// The client behind `ids` (all of the collection's if there are none) has itself made the change that led from the
    /// token `before` to now, so it need not be told. Whoever had not heard of everything before still is.
    pub async fn knows(
        &self,
        collection: &CollectionId,
        ids: Option<&[String]>,
        before: &str,
    ) -> Result<(), PushError> {
        let now = self.parts.calendars.token(collection).await?.to_string();
        for (key, row) in SUBSCRIPTIONS.scan(&*self.parts.store, SUBSCRIPTIONS.range(collection), MOST).await? {
            let named = ids.is_none_or(|ids| ids.contains(&key.2));
            if named && row.token == before {
                self.told(&key, &row, &Row { token: now.clone(), ..row.clone() }).await?;
            }
        }
        Ok(())
    }

    /// Changes a row that nobody has changed meanwhile. One that somebody has is looked at again in the next round.
    pub(super) async fn told(&self, key: &RowKey, old: &Row, new: &Row) -> Result<(), PushError> {
        let mut batch = Batch::new();
        SUBSCRIPTIONS.expect(&mut batch, key, old);
        SUBSCRIPTIONS.put(&mut batch, key, new);
        match self.parts.store.commit(batch).await {
            Err(crate::store::CommitError::Store(error)) => Err(error.into()),
            Ok(_) | Err(crate::store::CommitError::Stale(_)) => Ok(()),
        }
    }

    pub(super) async fn forget(&self, key: &RowKey) -> Result<(), PushError> {
        let mut batch = Batch::new();
        SUBSCRIPTIONS.delete(&mut batch, key);
        Ok(self.parts.store.commit(batch).await.map(drop)?)
    }

    /// A digest of what a collection's properties say.
    pub(super) async fn traits(&self, collection: &CollectionId) -> Result<u64, PushError> {
        let Some(row) = self.parts.calendars.collection(collection).await? else { return Ok(0) };
        let owner = crate::calendar::Owner::Collection(collection.clone());
        let mut hash = Sha256::new();
        let shown = (&row.display_name, &row.color, row.order, &row.description, &row.timezone, row.transparent);
        hash.update(format!("{shown:?}{}", row.is_writable()));
        for dead in self.parts.calendars.properties(&owner).await? {
            hash.update(&dead.xml);
        }
        Ok(hash.finalize().iter().take(8).fold(0, |number, octet| number << 8 | u64::from(*octet)))
    }

    pub(super) fn open_row(&self, key: &RowKey, row: &Row) -> Result<WebPush, PushError> {
        let record = SUBSCRIPTIONS.key(key);
        let secret = self.keys().open(record.as_bytes(), &row.sealed)?;
        postcard::from_bytes(secret.expose()).map_err(|_| PushError::Invalid)
    }

    pub(super) async fn reseal_subscriptions(&self, keys: &Arc<KeyRing>) -> Result<usize, PushError> {
        let mut done = 0;
        for (key, row) in SUBSCRIPTIONS.scan(&*self.parts.store, SUBSCRIPTIONS.all(), usize::MAX).await? {
            if !keys.is_stale(&row.sealed) {
                continue;
            }
            match self.open_row(&key, &row) {
                Ok(to) => {
                    self.told(&key, &row, &Row { sealed: self.seal(keys, &key, &to), ..row.clone() }).await?;
                    done += 1;
                }
                // It can't be used any more; the client registers again.
                Err(PushError::Vault(_) | PushError::Invalid) => self.forget(&key).await?,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn seal(&self, keys: &KeyRing, key: &RowKey, to: &WebPush) -> Sealed {
        let record = SUBSCRIPTIONS.key(key);
        // Three fields of octets: nothing in them that can't be written.
        let plain = Secret::new(postcard::to_allocvec(to).unwrap_or_default());
        keys.seal(&*self.parts.entropy, record.as_bytes(), &plain)
    }
}

/// The same for the same push resource, so that a renewal is no second subscription.
fn identifier(collection: &CollectionId, resource: &str) -> String {
    let mut hash = Sha256::new();
    for part in [collection.user.as_str(), collection.name.as_str(), resource] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    URL_SAFE_NO_PAD.encode(digest.get(..16).unwrap_or_default())
}

pub(super) const SUBSCRIPTIONS: Table<RowKey, Row> = Table::new(tables::PUSH_SUBSCRIPTION);
/// Of one collection.
const MOST: usize = 64;
const MAX_RESOURCE: usize = 2048;
const AUTH: usize = 16;
const SHORTEST: SignedDuration = SignedDuration::from_hours(3 * 24);
const USUAL: SignedDuration = SignedDuration::from_hours(14 * 24);
const LONGEST: SignedDuration = SignedDuration::from_hours(90 * 24);

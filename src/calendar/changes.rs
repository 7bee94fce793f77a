//! The change log of a collection, and the sync tokens that point into it (RFC 6578 3.2, 3.7, 3.8).
//!
//! Each commit numbers its changes from the collection's counter, without gaps. A token is the number of the last change
//! that its holder knows, under the store's epoch and the collection's own mark. So a token of another collection, of a store
//! before a restore, from the future, or from before what was compacted away (a gap) is
//! [`ChangesError::UnknownToken`], and never an incomplete answer (I12).
//!
//! A first listing that does not fit its limit goes on by name: its token says at which change it began and how
//! far it came. Once it is through, whatever changed since it began is told once more.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use sha2::Digest;

use crate::calendar::record::{CHANGES, COLLECTIONS, Change, ChangeRow, EntryRow, counter};
use crate::calendar::view::Entry;
use crate::calendar::{Calendars, Collection, PutError};
use crate::failpoint;
use crate::id::{CollectionId, CollectionName, ResourceName};
use crate::store::{Batch, Key, KeyRange, StoreError, tables};

/// What a client knows of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SyncToken {
    /// The store's epoch and the collection, mixed.
    epoch: u64,
    /// The last change it knows.
    seq: u64,
    /// A first listing has come as far as this name.
    after: Option<ResourceName>,
}

/// The text is a URI, as RFC 6578 6.2 wants, and means nothing to others.
const PREFIX: &str = "https://lineartime.example/ns/sync/";

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:016x}-{}", self.epoch, self.seq)?;
        match &self.after {
            Some(name) => write!(f, "-{}", BASE64URL_NOPAD.encode(name.as_str().as_bytes())),
            None => Ok(()),
        }
    }
}

impl FromStr for SyncToken {
    type Err = ChangesError;

    fn from_str(text: &str) -> Result<Self, ChangesError> {
        let read = || {
            let (epoch, rest) = text.trim().strip_prefix(PREFIX)?.split_once('-')?;
            let (seq, after) = match rest.split_once('-') {
                Some((seq, name)) => {
                    let name = String::from_utf8(BASE64URL_NOPAD.decode(name.as_bytes()).ok()?).ok()?;
                    (seq, Some(ResourceName::try_from(name).ok()?))
                }
                None => (rest, None),
            };
            let token = Self { epoch: u64::from_str_radix(epoch, 16).ok()?, seq: seq.parse().ok()?, after };
            // One spelling each: a token that was tampered with is not ours.
            (token.to_string() == text.trim()).then_some(token)
        };
        read().ok_or(ChangesError::UnknownToken)
    }
}

/// What a client has to do to catch up.
#[derive(Clone, Debug)]
pub struct Changes {
    /// What is new or different.
    pub changed: Vec<Arc<Entry>>,
    /// What is not there any more.
    pub gone: Vec<ResourceName>,
    /// What the client knows afterwards.
    pub token: SyncToken,
    /// There is more: ask again with this token.
    pub truncated: bool,
}

/// Why changes can't be told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangesError {
    /// The client must start anew.
    #[error("this sync token is not known here (any more)")]
    UnknownToken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds a line to a collection's log.
pub(crate) fn append(batch: &mut Batch, id: &CollectionId, at: Timestamp, what: Change) {
    batch.append(counter(id), Key::new(tables::CHANGE, id), CHANGES.encode(&ChangeRow { at, what }));
}

/// The log lines behind `seq`.
pub(crate) fn behind(id: &CollectionId, seq: u64) -> KeyRange {
    CHANGES.range(id).after(&CHANGES.key(&(id.clone(), seq)))
}

impl Calendars {
    /// What happened since `since`, or all there is; about `limit` names at most.
    pub async fn changes(
        &self,
        id: &CollectionId,
        since: Option<&SyncToken>,
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        let limit = limit.max(1);
        match since {
            None => self.listing(id, None, limit).await,
            Some(token) if token.epoch != self.epoch_of(id) => Err(ChangesError::UnknownToken),
            Some(SyncToken { after: Some(_), .. }) => self.listing(id, since, limit).await,
            Some(token) => self.follow(id, token, limit).await,
        }
    }

    /// The token of the collection as it is now.
    pub async fn token(&self, id: &CollectionId) -> Result<SyncToken, StoreError> {
        Ok(SyncToken { epoch: self.epoch_of(id), seq: self.sequence(id).await?, after: None })
    }

    /// Apple's ctag: another one whenever anything in the collection is.
    pub async fn ctag(&self, id: &CollectionId) -> Result<String, StoreError> {
        Ok(format!("{:016x}-{}", self.epoch_of(id), self.sequence(id).await?))
    }

    /// Forgets what happened before `before`; tokens from then are unknown afterwards. Says how many lines went.
    pub async fn compact(&self, id: &CollectionId, before: Timestamp) -> Result<u64, PutError> {
        let mut forgotten = 0;
        loop {
            let rows = CHANGES.scan(&*self.store, CHANGES.range(id), LINES).await?;
            let old: Vec<_> = rows.iter().take_while(|(_, row)| row.at < before).collect();
            let mut batch = Batch::new();
            for (key, _) in &old {
                CHANGES.delete(&mut batch, key);
            }
            if batch.is_empty() {
                return Ok(forgotten);
            }
            forgotten += old.len() as u64;
            self.store.commit(batch).await?;
            failpoint::reach("gc.tombstone");
        }
    }

    /// The number of the collection's last change.
    pub(crate) async fn sequence(&self, id: &CollectionId) -> Result<u64, StoreError> {
        match self.store.get(&counter(id)).await? {
            None => Ok(0),
            Some(bytes) => {
                let octets = <[u8; 8]>::try_from(&bytes[..]).map_err(|_| StoreError::damaged(tables::COUNTER))?;
                Ok(u64::from_be_bytes(octets))
            }
        }
    }

    fn epoch_of(&self, id: &CollectionId) -> u64 {
        let mut hash = sha2::Sha256::new();
        for part in [self.store.epoch(), id.user.as_str(), id.name.as_str()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.finalize().iter().take(8).fold(0, |number, octet| number << 8 | u64::from(*octet))
    }

    /// A page of the listing by name.
    async fn listing(
        &self,
        id: &CollectionId,
        from: Option<&SyncToken>,
        limit: usize,
    ) -> Result<Changes, ChangesError> {
        let view = self.view(id).await?;
        let begun = from.map_or(view.seq(), |token| token.seq);
        if begun > view.seq() {
            return Err(ChangesError::UnknownToken);
        }
        let after = from.and_then(|token| token.after.as_ref());
        let mut changed: Vec<Arc<Entry>> = view.entries_after(after).take(limit.saturating_add(1)).cloned().collect();
        let more = changed.len() > limit;
        changed.truncate(limit);
        let after = changed.last().filter(|_| more).map(|entry| entry.name.clone());
        // Through, but something has changed since it began: that still has to be told.
        let truncated = more || begun < view.seq();
        let token = SyncToken { epoch: self.epoch_of(id), seq: begun, after };
        Ok(Changes { changed, gone: Vec::new(), token, truncated })
    }

    /// A page of the log.
    async fn follow(&self, id: &CollectionId, since: &SyncToken, limit: usize) -> Result<Changes, ChangesError> {
        let now = self.sequence(id).await?;
        if since.seq > now {
            return Err(ChangesError::UnknownToken);
        }
        let mut tail = Tail { seq: since.seq, names: BTreeMap::new(), full: false };
        while tail.seq < now && !tail.full {
            let rows = CHANGES.scan(&*self.store, behind(id, tail.seq), LINES).await?;
            // Lines are numbered without gaps, so a missing one was compacted away.
            if rows.is_empty() {
                return Err(ChangesError::UnknownToken);
            }
            for ((_, number), row) in rows {
                if number != tail.seq + 1 {
                    return Err(ChangesError::UnknownToken);
                }
                if !tail.take(number, row.what, limit) {
                    break;
                }
            }
        }
        let token = SyncToken { epoch: since.epoch, seq: tail.seq, after: None };
        let mut answer = Changes { changed: Vec::new(), gone: Vec::new(), token, truncated: tail.full };
        let mut rights = BTreeMap::new();
        // Behind a cut there may be more about the same names. What they are now is told at once, and told again there: a
        // client must not be sent for what is gone.
        let view = if tail.full { Some(self.view(id).await?) } else { None };
        for (name, last) in tail.names {
            match (&view, last) {
                (Some(view), _) => match view.get(&name) {
                    Some(entry) => answer.changed.push(entry.clone()),
                    None => answer.gone.push(name),
                },
                (None, None) => answer.gone.push(name),
                (None, Some(row)) => {
                    let writable = self.is_writable(id, &row, &mut rights).await?;
                    answer.changed.push(Arc::new(Entry::new(name, row, writable)));
                }
            }
        }
        Ok(answer)
    }

    /// Asks the collection that decides, each one once.
    async fn is_writable(
        &self,
        id: &CollectionId,
        row: &EntryRow,
        known: &mut BTreeMap<CollectionName, bool>,
    ) -> Result<bool, StoreError> {
        let decides = if id.name.is_unified() { &row.leader } else { &id.name };
        match known.entry(decides.clone()) {
            btree_map::Entry::Occupied(known) => Ok(*known.get()),
            btree_map::Entry::Vacant(new) => {
                let key = CollectionId::new(&id.user, decides.clone());
                let row = COLLECTIONS.get(&*self.store, &key).await?;
                Ok(*new.insert(row.as_ref().is_some_and(Collection::is_writable)))
            }
        }
    }
}

/// The last word about each name in a stretch of the log.
struct Tail {
    seq: u64,
    names: BTreeMap<ResourceName, Option<EntryRow>>,
    full: bool,
}

impl Tail {
    /// Takes a line in; `false` if there is no room for another name.
    fn take(&mut self, number: u64, what: Change, limit: usize) -> bool {
        let (name, last) = match what {
            Change::Is(name, row) => (name, Some(row)),
            Change::Gone(name) => (name, None),
            Change::Rights => {
                self.seq = number;
                return true;
            }
        };
        if self.names.len() >= limit && !self.names.contains_key(&name) {
            self.full = true;
            return false;
        }
        self.names.insert(name, last);
        self.seq = number;
        true
    }
}

/// Lines read at once.
const LINES: usize = 1_000;

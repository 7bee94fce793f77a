//! The rows that synchronisation keeps for itself: links, cursors, what is quarantined, what is held.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::ConflictId;
use crate::id::{EventId, SourceId};
use crate::provider::{Cursor, RemoteId, RemoteTag, Version};
use crate::store::{Batch, Record, Store, StoreError, Table, tables};

/// An event and the remote item that it is, with what both last agreed on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    /// Our side.
    pub(super) event: EventId,
    /// The remote tag at the last agreement; an item that still has it has not changed.
    pub(super) tag: Option<RemoteTag>,
    /// The meaning of the remote content at the last agreement: a new tag with the old meaning is no change.
    pub(super) meaning: [u8; 32],
    /// That content.
    pub(super) base: BaseContent,
    /// When that was: a listing may lag behind a write that was just made.
    pub(super) at: Timestamp,
}

/// The content that a provider held at the last agreement.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum BaseContent {
    /// It means what this revision of ours means.
    Revision(u64),
    /// The provider holds something else than we do: it rewrote what it was sent, holds a copy of its own, or is about
    /// to be overruled.
    Octets {
        /// What it holds.
        octets: Bytes,
        /// The revision of ours that stood opposite: what has changed since then is what is to be sent. `None`: all
        /// of ours is to be sent.
        opposite: Option<u64>,
    },
}

impl fmt::Debug for BaseContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(number) => write!(f, "Revision({number})"),
            Self::Octets { octets, opposite } => write!(f, "Octets({} octets, {opposite:?})", octets.len()),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({}, {:?}, {:?})", self.event, self.tag, self.base)
    }
}

impl Record for Link {
    const FORMAT: u8 = 1;
}

/// The way back: which remote item an event is in a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LinkOf {
    pub(super) remote: RemoteId,
}

impl Record for LinkOf {
    const FORMAT: u8 = 1;
}

/// How far a source has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CursorRow {
    pub(super) cursor: Cursor,
    /// When a full listing was last compared: servers exist that lie about deltas, so it is done now and then.
    pub(super) compared: Timestamp,
    /// When everything up to here had been taken in. A link made later is of an item that a delta from here must mention, or
    /// it is gone again: what came and went between two looks is in no delta.
    pub(super) at: Timestamp,
}

impl Record for CursorRow {
    const FORMAT: u8 = 1;
}

/// A remote item that can't be taken in, kept as it came until it changes or goes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Quarantined {
    /// Its tag when it was tried.
    pub tag: Option<RemoteTag>,
    /// Why it can't be taken in, without a word of its content.
    pub why: String,
    /// Its octets, where they could be had.
    pub octets: Option<Bytes>,
    /// Since when.
    pub since: Timestamp,
}

impl fmt::Debug for Quarantined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quarantined({}, since {})", self.why, self.since)
    }
}

impl Record for Quarantined {
    const FORMAT: u8 = 1;
}

/// Deletions that the brake holds back for a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which remote items the provider says are gone.
    pub gone: Vec<RemoteId>,
    /// Of how many.
    pub known: u64,
    /// Since when.
    pub since: Timestamp,
    /// A person said that they are really gone.
    pub confirmed: bool,
}

impl Record for Held {
    const FORMAT: u8 = 1;
}

/// An event that a source is not told of before a person has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OnHold {
    /// The conflict that waits.
    pub(super) conflict: ConflictId,
}

impl Record for OnHold {
    const FORMAT: u8 = 1;
}

pub(super) const LINKS: Table<(SourceId, String), Link> = Table::new(tables::LINK);
pub(super) const LINKS_OF: Table<(SourceId, EventId), LinkOf> = Table::new(tables::LINK_OF);
pub(super) const CURSORS: Table<SourceId, CursorRow> = Table::new(tables::CURSOR);
pub(super) const QUARANTINE: Table<(SourceId, String), Quarantined> = Table::new(tables::QUARANTINE);
pub(super) const HELD: Table<SourceId, Held> = Table::new(tables::HELD);
pub(super) const ON_HOLD: Table<(SourceId, EventId), OnHold> = Table::new(tables::ON_HOLD);

/// More links than any source has; scans are for one source.
const ALL: usize = 1_000_000;

/// A remote item and its link, as it was read, so that a commit can demand that it is still so.
#[derive(Clone, Debug)]
pub(super) struct Linked {
    pub(super) remote: RemoteId,
    pub(super) link: Link,
}

impl Linked {
    /// The remote version to name in a conditional write.
    pub(super) fn version(&self) -> Version {
        Version { id: self.remote.clone(), tag: self.link.tag.clone() }
    }
}

fn key(source: &SourceId, remote: &RemoteId) -> (SourceId, String) {
    (source.clone(), remote.as_str().to_owned())
}

/// The link of a remote item.
pub(super) async fn link(
    store: &dyn Store,
    source: &SourceId,
    remote: &RemoteId,
) -> Result<Option<Linked>, StoreError> {
    let found = LINKS.get(store, &key(source, remote)).await?;
    Ok(found.map(|link| Linked { remote: remote.clone(), link }))
}

/// The link of an event in a source.
pub(super) async fn link_of(
    store: &dyn Store,
    source: &SourceId,
    event: EventId,
) -> Result<Option<Linked>, StoreError> {
    match LINKS_OF.get(store, &(source.clone(), event)).await? {
        Some(of) => link(store, source, &of.remote).await,
        None => Ok(None),
    }
}

/// Every link of a source.
pub(super) async fn links(store: &dyn Store, source: &SourceId) -> Result<Vec<Linked>, StoreError> {
    let rows = LINKS.scan(store, LINKS.range(source), ALL).await?;
    Ok(rows.into_iter().map(|((_, remote), link)| Linked { remote: RemoteId::new(remote), link }).collect())
}

/// Writes `linked` if the row is still `before` (`None`: if there is none), and takes it out of quarantine.
pub(super) fn put_link(batch: &mut Batch, source: &SourceId, linked: &Linked, before: Option<&Link>) {
    let key = key(source, &linked.remote);
    match before {
        Some(before) => LINKS.expect(batch, &key, before),
        None => LINKS.expect_absent(batch, &key),
    }
    LINKS.put(batch, &key, &linked.link);
    let of = LinkOf { remote: linked.remote.clone() };
    LINKS_OF.put(batch, &(source.clone(), linked.link.event), &of);
    QUARANTINE.delete(batch, &key);
}

/// Forgets a link if it is still as it was read.
pub(super) fn drop_link(batch: &mut Batch, source: &SourceId, linked: &Linked) {
    let key = key(source, &linked.remote);
    LINKS.expect(batch, &key, &linked.link);
    LINKS.delete(batch, &key);
    LINKS_OF.delete(batch, &(source.clone(), linked.link.event));
    QUARANTINE.delete(batch, &key);
}

/// Forgets everything about a source: its account was removed.
pub(super) async fn forget_source(store: &dyn Store, batch: &mut Batch, source: &SourceId) -> Result<(), StoreError> {
    for linked in links(store, source).await? {
        LINKS.delete(batch, &key(source, &linked.remote));
        LINKS_OF.delete(batch, &(source.clone(), linked.link.event));
    }
    for (key, _) in QUARANTINE.scan(store, QUARANTINE.range(source), ALL).await? {
        QUARANTINE.delete(batch, &key);
    }
    for (key, _) in ON_HOLD.scan(store, ON_HOLD.range(source), ALL).await? {
        ON_HOLD.delete(batch, &key);
    }
    CURSORS.delete(batch, source);
    HELD.delete(batch, source);
    Ok(())
}

/// What is quarantined of a source.
pub(super) async fn quarantined(
    store: &dyn Store,
    source: &SourceId,
) -> Result<Vec<(RemoteId, Quarantined)>, StoreError> {
    let rows = QUARANTINE.scan(store, QUARANTINE.range(source), ALL).await?;
    Ok(rows.into_iter().map(|((_, remote), row)| (RemoteId::new(remote), row)).collect())
}

/// Puts a remote item into quarantine.
pub(super) fn quarantine(batch: &mut Batch, source: &SourceId, remote: &RemoteId, row: &Quarantined) {
    QUARANTINE.put(batch, &key(source, remote), row);
}

/// Takes a remote item out of quarantine: it is gone.
pub(super) fn release(batch: &mut Batch, source: &SourceId, remote: &RemoteId) {
    QUARANTINE.delete(batch, &key(source, remote));
}

//! The rows of the calendar floor and their tables: the schema on one screen, and nothing else.
//!
//! Times are kept in milliseconds since 1970, etags as their 16 octets: these rows are what memory and disk are
//! full of. Every row is read by one release and written by another, so fields are only ever added through
//! [`Record::upgrade`](crate::store::Record::upgrade).

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::audit::AuditLine;
use crate::calendar::collection::Collection;
use crate::calendar::conflict::Conflict;
use crate::calendar::intent::Intent;
use crate::calendar::route::RoutesRow;
use crate::ical::{ComponentKind, Spans};
use crate::id::{CollectionId, CollectionName, Etag, EventId, ResourceName, SourceId, UserId};
use crate::store::{Key, KeyParts, Record, Table, tables};

/// Where a UID is unique: all unified collections of a user are one space, every other collection its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Space {
    /// The one behind the unified calendar.
    Unified,
    /// A collection that stands alone.
    Own(CollectionName),
}

impl KeyParts for Space {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unified => out.push(0),
            Self::Own(name) => {
                out.push(1);
                name.write(out);
            }
        }
    }

    fn read(input: &mut &[u8]) -> Option<Self> {
        match u8::read(input)? {
            0 => Some(Self::Unified),
            1 => CollectionName::read(input).map(Self::Own),
            _ => None,
        }
    }
}

/// A collection that holds an event, and the event's name there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The collection.
    pub collection: CollectionName,
    /// The name in it.
    pub name: ResourceName,
}

/// One event: a UID in a space, whatever the number of collections that hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// Where its UID is unique.
    pub space: Space,
    /// Its UID.
    pub uid: String,
    /// What it is.
    #[serde(with = "kind_code")]
    pub kind: ComponentKind,
    /// Grows with every change of this row: who decides by it says so when writing, and is refused if it grew meanwhile.
    pub generation: u64,
    /// The revision that is served.
    pub revision: u64,
    /// The highest revision number given so far: losers of conflicts are revisions that were never served.
    pub last_revision: u64,
    /// The entity tag of the served revision.
    pub etag: EtagOctets,
    /// Its octets.
    pub length: u64,
    /// When it takes place.
    pub spans: Spans,
    /// The collections that hold it, in the order in which they came to. Empty: the event is deleted.
    pub members: Vec<Member>,
    /// Where it was when it was deleted, for restoring it.
    pub former: Vec<Member>,
    /// Its name in the unified calendar, if it shows there.
    pub unified_name: Option<ResourceName>,
    /// The member that decides whether the unified entry may be written.
    pub leader: CollectionName,
    /// When it was first seen here.
    #[serde(with = "millis")]
    pub created: Timestamp,
    /// When its content or its deletion was last written.
    #[serde(with = "millis")]
    pub modified: Timestamp,
}

impl EventRow {
    /// Whether any collection holds it.
    pub fn is_alive(&self) -> bool {
        !self.members.is_empty()
    }

    /// Its membership of `collection`.
    pub fn member(&self, collection: &CollectionName) -> Option<&Member> {
        self.members.iter().find(|member| member.collection == *collection)
    }

    /// Its name in `collection`, the unified one included.
    pub fn name_in(&self, collection: &CollectionName) -> Option<&ResourceName> {
        if collection.is_unified() {
            return self.unified_name.as_ref();
        }
        self.member(collection).map(|member| &member.name)
    }

    /// Every place where it stands, the unified one last.
    pub fn places(&self) -> impl Iterator<Item = (CollectionName, ResourceName)> {
        let members = self.members.iter().map(|member| (member.collection.clone(), member.name.clone()));
        members.chain(self.unified_name.iter().map(|name| (CollectionName::unified(), name.clone())))
    }

    /// What listings show of it.
    pub(crate) fn entry(&self, event: EventId) -> EntryRow {
        EntryRow {
            event,
            revision: self.revision,
            etag: self.etag,
            length: self.length,
            created: self.created,
            modified: self.modified,
            kind: self.kind,
            spans: self.spans.clone(),
            leader: self.leader.clone(),
        }
    }
}

impl Record for EventRow {
    const FORMAT: u8 = 1;
}

/// All that a listing or the choice of a query's candidates needs of one name in a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryRow {
    pub(crate) event: EventId,
    pub(crate) revision: u64,
    pub(crate) etag: EtagOctets,
    pub(crate) length: u64,
    #[serde(with = "millis")]
    pub(crate) created: Timestamp,
    #[serde(with = "millis")]
    pub(crate) modified: Timestamp,
    #[serde(with = "kind_code")]
    pub(crate) kind: ComponentKind,
    pub(crate) spans: Spans,
    pub(crate) leader: CollectionName,
}

impl Record for EntryRow {
    const FORMAT: u8 = 1;
}

/// The event that has a UID in a space. It stays while the event is in the trash.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UidRow {
    pub(crate) event: EventId,
}

impl Record for UidRow {
    const FORMAT: u8 = 1;
}

/// What was written once, by whom and when. Never changed afterwards.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RevisionRow {
    pub(crate) octets: Bytes,
    pub(crate) author: Author,
    #[serde(with = "millis")]
    pub(crate) at: Timestamp,
}

impl Record for RevisionRow {
    const FORMAT: u8 = 1;
}

impl fmt::Debug for RevisionRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevisionRow({} octets, {:?}, {})", self.octets.len(), self.author, self.at)
    }
}

/// One line of a collection's change log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ChangeRow {
    #[serde(with = "millis")]
    pub(crate) at: Timestamp,
    pub(crate) what: Change,
}

impl Record for ChangeRow {
    const FORMAT: u8 = 1;
}

/// What happened in a collection. It holds the whole entry, so that following the log needs no other read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    /// The name is there, with this content.
    Is(ResourceName, EntryRow),
    /// The name is gone.
    Gone(ResourceName),
    /// Which entries may be written has changed: no name, but everything has to be looked at again.
    Rights,
}

/// What a user has chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SettingsRow {
    /// The collection that a new event of the unified calendar goes to; `local` while there is none.
    pub(crate) default: Option<CollectionName>,
}

impl Record for SettingsRow {
    const FORMAT: u8 = 1;
}

/// The addresses of the account behind a collection, in lower case: they tell whose meeting it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddressesRow {
    pub(crate) addresses: Vec<String>,
}

impl Record for AddressesRow {
    const FORMAT: u8 = 1;
}

/// The dead properties of one resource, all in one row so that a PROPPATCH is one write.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct PropertiesRow {
    pub(crate) properties: Vec<(String, String, Bytes)>,
}

impl Record for PropertiesRow {
    const FORMAT: u8 = 1;
}

/// Who wrote. It decides who must be told, and keeps a provider's own change from being sent back to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Author {
    /// A CalDAV client.
    Client {
        /// Who was signed in.
        user: UserId,
        /// The app password's label, if one was used.
        device: Option<String>,
    },
    /// A remote calendar.
    Provider(SourceId),
    /// Somebody on the command line or the web page: resolving, restoring.
    Person(UserId),
    /// A file that was imported.
    Import,
    /// The gateway itself: its notices.
    Gateway,
}

impl Author {
    /// Whether this write came from `source` itself.
    pub(crate) fn is_source(&self, source: &SourceId) -> bool {
        matches!(self, Self::Provider(own) if own == source)
    }
}

/// The 16 octets behind an [`Etag`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EtagOctets([u8; 16]);

impl EtagOctets {
    /// The tag of this content: the first half of its SHA-256.
    pub fn of(octets: &[u8]) -> Self {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(octets);
        Self(std::array::from_fn(|index| digest.get(index).copied().unwrap_or_default()))
    }

    /// The tag as HTTP knows it.
    pub fn etag(self) -> Etag {
        Etag(data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for EtagOctets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.etag())
    }
}

pub(crate) const COLLECTIONS: Table<CollectionId, Collection> = Table::new(tables::COLLECTION);
pub(crate) const EVENTS: Table<(UserId, EventId), EventRow> = Table::new(tables::EVENT);
pub(crate) const REVISIONS: Table<(UserId, EventId, u64), RevisionRow> = Table::new(tables::REVISION);
pub(crate) const ENTRIES: Table<(CollectionId, ResourceName), EntryRow> = Table::new(tables::ENTRY);
pub(crate) const UIDS: Table<(UserId, Space, String), UidRow> = Table::new(tables::UID);
pub(crate) const CHANGES: Table<(CollectionId, u64), ChangeRow> = Table::new(tables::CHANGE);
pub(crate) const SETTINGS: Table<UserId, SettingsRow> = Table::new(tables::SETTINGS);
pub(crate) const CONFLICTS: Table<(UserId, u64), Conflict> = Table::new(tables::CONFLICT);
pub(crate) const AUDIT: Table<(UserId, u64), AuditLine> = Table::new(tables::AUDIT);
/// The empty name stands for the collection itself.
pub(crate) const PROPERTIES: Table<(CollectionId, String), PropertiesRow> = Table::new(tables::DEAD_PROPERTY);
pub(crate) const ADDRESSES: Table<CollectionId, AddressesRow> = Table::new(tables::ADDRESS);
pub(crate) const ROUTES: Table<UserId, RoutesRow> = Table::new(tables::ROUTE);
pub(crate) const INTENTS: Table<(SourceId, EventId), Intent> = Table::new(tables::INTENT);

/// Where the number of a collection's last change is counted.
pub(crate) fn counter(collection: &CollectionId) -> Key {
    Key::new(tables::COUNTER, collection)
}

impl Record for Collection {
    const FORMAT: u8 = 1;
}

impl Record for Conflict {
    const FORMAT: u8 = 1;
}

impl Record for Intent {
    const FORMAT: u8 = 1;
}

/// A timestamp as whole milliseconds.
pub(crate) mod millis {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.as_millisecond())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Timestamp::from_millisecond(i64::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// The kind of a component as one octet.
pub(crate) mod kind_code {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::ical::ComponentKind;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
    pub(crate) fn serialize<S: Serializer>(kind: &ComponentKind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(code(*kind))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ComponentKind, D::Error> {
        u8::deserialize(from).map(kind)
    }

    pub(crate) fn code(kind: ComponentKind) -> u8 {
        match kind {
            ComponentKind::Event => 1,
            ComponentKind::Todo => 2,
            ComponentKind::Journal => 3,
            ComponentKind::FreeBusy => 4,
            ComponentKind::Other => 0,
        }
    }

    pub(crate) fn kind(code: u8) -> ComponentKind {
        match code {
            1 => ComponentKind::Event,
            2 => ComponentKind::Todo,
            3 => ComponentKind::Journal,
            4 => ComponentKind::FreeBusy,
            _ => ComponentKind::Other,
        }
    }
}

/// Several kinds, one octet each.
pub(crate) mod kind_codes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::kind_code::{code, kind};
    use crate::ical::ComponentKind;

    pub(crate) fn serialize<S: Serializer>(kinds: &[ComponentKind], to: S) -> Result<S::Ok, S::Error> {
        kinds.iter().copied().map(code).collect::<Vec<u8>>().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ComponentKind>, D::Error> {
        Ok(Vec::<u8>::deserialize(from)?.into_iter().map(kind).collect())
    }
}

//! The typed layer: which rows exist, and how their keys and values are written.
//!
//! [`tables`] is the whole schema on one screen; the record types live with the modules that own them.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;

use super::{Batch, Expect, Key, KeyParts, KeyRange, Record, Store, StoreError, TableId, record};

/// Every kind of row. A number is never given to another kind.
pub mod tables {
    use super::TableId;

    /// The store's own rows (schema, epoch, number of commits). Never in a backup, never written by others.
    pub(in crate::store) const OWN: TableId = TableId(0);
    /// Facts about the installation.
    pub const META: TableId = TableId(1);
    /// People.
    pub const USER: TableId = TableId(2);
    /// Passwords for one device each.
    pub const APP_PASSWORD: TableId = TableId(3);
    /// One-time links.
    pub const SETUP_LINK: TableId = TableId(4);
    /// Who is signed in on the pages.
    pub const SESSION: TableId = TableId(5);
    /// Which user a person of a company's sign-in service is.
    pub const OIDC_LINK: TableId = TableId(6);
    /// Connected logins.
    pub const ACCOUNT: TableId = TableId(10);
    /// Remote calendars.
    pub const SOURCE: TableId = TableId(11);
    /// Sign-ins at providers that somebody has begun.
    pub const SIGN_IN: TableId = TableId(12);
    /// Channels by which providers tell of changes.
    pub const CHANNEL: TableId = TableId(13);
    /// Calendar collections.
    pub const COLLECTION: TableId = TableId(20);
    /// Events: what the space holds.
    pub const EVENT: TableId = TableId(21);
    /// The octets of every revision.
    pub const REVISION: TableId = TableId(22);
    /// Names in collections.
    pub const ENTRY: TableId = TableId(23);
    /// UIDs in spaces.
    pub const UID: TableId = TableId(24);
    /// The change log of every collection.
    pub const CHANGE: TableId = TableId(25);
    /// Numbers that `Batch::append` counts.
    pub const COUNTER: TableId = TableId(26);
    /// What a person set.
    pub const SETTINGS: TableId = TableId(27);
    /// Conflicts for a person to see.
    pub const CONFLICT: TableId = TableId(28);
    /// Properties that clients stored.
    pub const DEAD_PROPERTY: TableId = TableId(29);
    /// What must be done upstream.
    pub const INTENT: TableId = TableId(30);
    /// Which remote item an event is.
    pub const LINK: TableId = TableId(31);
    /// How far a source was read.
    pub const CURSOR: TableId = TableId(32);
    /// Remote items that cannot be read.
    pub const QUARANTINE: TableId = TableId(33);
    /// Which remote item an event is in a source: the way back of a link.
    pub const LINK_OF: TableId = TableId(35);
    /// What the mass-delete guard holds.
    pub const HELD: TableId = TableId(34);
    /// Events that a source is not told of before a person has chosen.
    pub const ON_HOLD: TableId = TableId(36);
    /// Whose change stands, as people chose it.
    pub const STRATEGY: TableId = TableId(37);
    /// The addresses of the accounts behind collections.
    pub const ADDRESS: TableId = TableId(19);
    /// What was told of an account's state.
    pub const TOLD: TableId = TableId(38);
    /// Where new events go.
    pub const ROUTE: TableId = TableId(39);
    /// Work.
    pub const JOB: TableId = TableId(40);
    /// Wishes for work.
    pub const JOB_WISH: TableId = TableId(41);
    /// Work that was given up.
    pub const DEAD_LETTER: TableId = TableId(42);
    /// How each lane of work fares.
    pub const LANE: TableId = TableId(43);
    /// Who did what.
    pub const AUDIT: TableId = TableId(50);
    /// Feeds.
    pub const FEED: TableId = TableId(51);
    /// Which feed a token opens.
    pub const FEED_TOKEN: TableId = TableId(59);
    /// Who wants to be pushed to.
    pub const PUSH_SUBSCRIPTION: TableId = TableId(52);
    /// Plain files and folders.
    pub const PLAIN: TableId = TableId(53);
    /// Scheduling messages that have come in.
    pub const INBOX: TableId = TableId(54);

    pub(in crate::store) const NAMES: &[(TableId, &str)] = &[
        (OWN, "store"),
        (META, "meta"),
        (USER, "user"),
        (APP_PASSWORD, "app_password"),
        (SETUP_LINK, "setup_link"),
        (SESSION, "session"),
        (OIDC_LINK, "oidc_link"),
        (ACCOUNT, "account"),
        (SOURCE, "source"),
        (SIGN_IN, "sign_in"),
        (CHANNEL, "channel"),
        (COLLECTION, "collection"),
        (EVENT, "event"),
        (REVISION, "revision"),
        (ENTRY, "entry"),
        (UID, "uid"),
        (CHANGE, "change"),
        (COUNTER, "counter"),
        (SETTINGS, "settings"),
        (CONFLICT, "conflict"),
        (DEAD_PROPERTY, "dead_property"),
        (INTENT, "intent"),
        (LINK, "link"),
        (CURSOR, "cursor"),
        (QUARANTINE, "quarantine"),
        (HELD, "held"),
        (ON_HOLD, "on_hold"),
        (LINK_OF, "link_of"),
        (STRATEGY, "strategy"),
        (TOLD, "told"),
        (ADDRESS, "address"),
        (ROUTE, "route"),
        (JOB, "job"),
        (JOB_WISH, "job_wish"),
        (DEAD_LETTER, "dead_letter"),
        (LANE, "lane"),
        (AUDIT, "audit"),
        (FEED, "feed"),
        (FEED_TOKEN, "feed_token"),
        (PUSH_SUBSCRIPTION, "push_subscription"),
        (PLAIN, "plain"),
        (INBOX, "inbox"),
    ];
}

/// A table's name, for people.
pub fn name(id: TableId) -> &'static str {
    tables::NAMES.iter().find(|(known, _)| *known == id).map_or("unknown", |(_, name)| name)
}

/// The rows of one kind: keys made of `K`, values of type `V`.
pub struct Table<K, V> {
    id: TableId,
    rows: PhantomData<fn(K) -> V>,
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl<K: KeyParts, V: Record> Table<K, V> {
    /// The table `id`; one constant for each, with the module that owns the rows.
    pub const fn new(id: TableId) -> Self {
        Self { id, rows: PhantomData }
    }

    /// Which table this is, for [`Store::changed`].
    pub const fn id(&self) -> TableId {
        self.id
    }

    /// The address of a row.
    pub fn key(&self, key: &K) -> Key {
        Key::new(self.id, key)
    }

    /// A value as it is stored.
    ///
    /// # Panics
    /// If `V` cannot be written by postcard at all (a map of unknown length, say): a mistake in the type, which
    /// its first test shows, and nothing that data can cause.
    #[expect(clippy::expect_used, reason = "depends on the type alone, never on data")]
    pub fn encode(&self, value: &V) -> Bytes {
        record::encode(value).expect("a record type that postcard can write").into()
    }

    /// A stored value; damaged when it is neither the current format nor one that can be upgraded.
    pub fn decode(&self, bytes: &[u8]) -> Result<V, StoreError> {
        record::decode(bytes).ok_or_else(|| StoreError::damaged(self.id))
    }

    /// Reads the parts of a key of this table.
    pub fn parts(&self, key: &Key) -> Result<K, StoreError> {
        let mut input = key.parts();
        let parts = (key.table() == self.id).then(|| K::read(&mut input)).flatten();
        parts.filter(|_| input.is_empty()).ok_or_else(|| StoreError::damaged(self.id))
    }

    /// Makes the row hold `value`.
    pub fn put(&self, batch: &mut Batch, key: &K, value: &V) {
        batch.put(self.key(key), self.encode(value));
    }

    /// Takes the row away.
    pub fn delete(&self, batch: &mut Batch, key: &K) {
        batch.delete(self.key(key));
    }

    /// Commits only if there is no such row.
    pub fn expect_absent(&self, batch: &mut Batch, key: &K) {
        batch.expect(self.key(key), Expect::Absent);
    }

    /// Commits only if there is such a row.
    pub fn expect_present(&self, batch: &mut Batch, key: &K) {
        batch.expect(self.key(key), Expect::Present);
    }

    /// Commits only if the row holds `value`. A row in an older format counts as changed: it is rewritten at
    /// the next unconditional write, and [`Table::expect_bytes`] compares what was read.
    pub fn expect(&self, batch: &mut Batch, key: &K, value: &V) {
        batch.expect(self.key(key), Expect::Exactly(self.encode(value)));
    }

    /// Commits only if the row is still what was read, byte for byte; `None` when there was none.
    pub fn expect_bytes(&self, batch: &mut Batch, key: &K, read: Option<Bytes>) {
        batch.expect(self.key(key), read.map_or(Expect::Absent, Expect::Exactly));
    }

    /// The value at `key`.
    pub async fn get(&self, store: &dyn Store, key: &K) -> Result<Option<V>, StoreError> {
        match store.get(&self.key(key)).await? {
            Some(bytes) => self.decode(&bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The value at `key` with the octets it was read from, for [`Table::expect_bytes`]: so that a row in an older
    /// format can be changed under a condition.
    pub async fn get_as_stored(&self, store: &dyn Store, key: &K) -> Result<Option<(V, Bytes)>, StoreError> {
        match store.get(&self.key(key)).await? {
            Some(bytes) => self.decode(&bytes).map(|value| Some((value, bytes))),
            None => Ok(None),
        }
    }

    /// The rows whose keys begin with these parts.
    pub fn range<P: KeyParts>(&self, prefix: &P) -> KeyRange {
        KeyRange::below(&Key::new(self.id, prefix))
    }

    /// All rows.
    pub fn all(&self) -> KeyRange {
        self.range(&())
    }

    /// Up to `limit` rows, ascending.
    pub async fn scan(&self, store: &dyn Store, range: KeyRange, limit: usize) -> Result<Vec<(K, V)>, StoreError> {
        self.read(store.scan(range, limit).await?)
    }

    /// Up to `limit` rows, descending.
    pub async fn scan_back(&self, store: &dyn Store, range: KeyRange, limit: usize) -> Result<Vec<(K, V)>, StoreError> {
        self.read(store.scan_back(range, limit).await?)
    }

    fn read(&self, rows: Vec<(Key, Bytes)>) -> Result<Vec<(K, V)>, StoreError> {
        rows.into_iter().map(|(key, value)| Ok((self.parts(&key)?, self.decode(&value)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::store::{CommitError, MemoryStore};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        name: String,
        age: Option<u8>,
    }

    impl Record for Row {
        const FORMAT: u8 = 2;

        fn upgrade(format: u8, body: &[u8]) -> Option<Self> {
            (format == 1).then(|| Some(Self { name: String::from_utf8(body.to_vec()).ok()?, age: None })).flatten()
        }
    }

    const ROWS: Table<(String, u64), Row> = Table::new(TableId(200));

    fn row(name: &str) -> Row {
        Row { name: name.into(), age: Some(7) }
    }

    #[test]
    fn no_number_is_given_twice() {
        let numbers: BTreeSet<_> = tables::NAMES.iter().map(|(id, _)| id).collect();
        let names: BTreeSet<_> = tables::NAMES.iter().map(|(_, name)| name).collect();
        assert_eq!((numbers.len(), names.len()), (tables::NAMES.len(), tables::NAMES.len()));
    }

    #[test]
    fn older_formats_are_upgraded_and_others_are_damage() {
        assert_eq!(ROWS.decode(&ROWS.encode(&row("a"))).unwrap(), row("a"));
        assert_eq!(ROWS.decode(b"\x01abc").unwrap(), Row { name: "abc".into(), age: None });
        for bad in [&b""[..], b"\x03abc", b"\x02\xff"] {
            assert!(ROWS.decode(bad).unwrap_err().is_damaged());
        }
    }

    #[tokio::test]
    async fn rows_are_found_by_their_leading_parts() {
        let store = MemoryStore::new();
        let mut batch = Batch::new();
        for (text, n) in [("a", 1), ("a", 2), ("ab", 1)] {
            ROWS.put(&mut batch, &(text.into(), n), &row(text));
        }
        store.commit(batch).await.unwrap();
        let found = ROWS.scan(&store, ROWS.range(&String::from("a")), 9).await.unwrap();
        assert_eq!(found, [(("a".into(), 1), row("a")), (("a".into(), 2), row("a"))]);
        let last = ROWS.scan_back(&store, ROWS.all(), 1).await.unwrap();
        assert_eq!(last, [(("ab".into(), 1), row("ab"))]);

        let mut batch = Batch::new();
        ROWS.expect(&mut batch, &("a".into(), 1), &row("b"));
        ROWS.delete(&mut batch, &("a".into(), 1));
        assert!(matches!(store.commit(batch).await, Err(CommitError::Stale(_))));
        assert_eq!(ROWS.get(&store, &("a".into(), 1)).await.unwrap(), Some(row("a")));
    }
}

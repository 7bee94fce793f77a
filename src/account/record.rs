//! The rows of accounts and sources.
//!
//! Each kind has two sorts of rows in its table: the record under its owner, so that a person's things lie together,
//! and the owner under the id, so that an id alone finds them. They are written and removed in the same commit.
//! What signs in (a password, or tokens) is sealed with the key of its own row as additional data.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Account, AccountError, AccountState, Invitations, ProviderKind, Source};
use crate::entropy::Entropy;
use crate::id::{AccountId, CollectionName, SourceId, UserId};
use crate::provider::{CalendarDetails, RemoteId};
use crate::store::{Batch, Record, Store, Table, tables};
use crate::vault::{KeyRing, Sealed, Secret};

/// An account with what it signs in with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AccountRow {
    pub(super) account: Account,
    /// A password as it is, tokens as [`super::oauth::TokenSet`] writes them; which of the two the kind tells.
    pub(super) secret: Sealed,
}

impl Record for AccountRow {
    const FORMAT: u8 = 2;

    /// Format 1 had no choice about invitations.
    fn upgrade(format: u8, body: &[u8]) -> Option<Self> {
        let old: FirstAccountRow = (format == 1).then(|| postcard::from_bytes(body).ok()).flatten()?;
        let FirstAccount { id, user, label, provider, state, created } = old.account;
        let invitations = Invitations::default();
        let account = Account { id, user, label, provider, state, created, invitations };
        Some(Self { account, secret: old.password })
    }
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct FirstAccountRow {
    account: FirstAccount,
    password: Sealed,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct FirstAccount {
    id: AccountId,
    user: UserId,
    label: String,
    provider: ProviderKind,
    state: AccountState,
    created: Timestamp,
}

impl Record for Source {
    const FORMAT: u8 = 2;

    /// Format 1 knew nothing beyond name, colour and rights.
    fn upgrade(format: u8, body: &[u8]) -> Option<Self> {
        let old: FirstSource = (format == 1).then(|| postcard::from_bytes(body).ok()).flatten()?;
        let FirstSource { id, account, user, remote, name, color, read_only, collection, missing, absences } = old;
        let details = CalendarDetails::default();
        Some(Self { id, account, user, remote, name, color, read_only, collection, missing, absences, details })
    }
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct FirstSource {
    id: SourceId,
    account: AccountId,
    user: UserId,
    remote: RemoteId,
    name: String,
    color: Option<String>,
    read_only: bool,
    collection: CollectionName,
    missing: bool,
    absences: u8,
}

/// Whose a record is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner(pub(super) UserId);

impl Record for Owner {
    const FORMAT: u8 = 1;
}

/// Which account bears a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Labelled(pub(super) AccountId);

impl Record for Labelled {
    const FORMAT: u8 = 1;
}

/// Which source a remote calendar is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remote(pub(super) SourceId);

impl Record for Remote {
    const FORMAT: u8 = 1;
}

/// Accounts by owner.
pub(super) const ACCOUNTS: Table<(u8, UserId, AccountId), AccountRow> = Table::new(tables::ACCOUNT);
/// Owners of accounts.
pub(super) const ACCOUNT_OWNERS: Table<(u8, AccountId), Owner> = Table::new(tables::ACCOUNT);
/// Labels in use, so that two of one name can't be added at once.
pub(super) const LABELS: Table<(u8, UserId, String), Labelled> = Table::new(tables::ACCOUNT);
/// Sources by owner.
pub(super) const SOURCES: Table<(u8, UserId, SourceId), Source> = Table::new(tables::SOURCE);
/// Owners of sources.
pub(super) const SOURCE_OWNERS: Table<(u8, SourceId), Owner> = Table::new(tables::SOURCE);

/// Which source a remote calendar is, so that two looks at one list make one source.
pub(super) const REMOTES: Table<(u8, AccountId, String), Remote> = Table::new(tables::SOURCE);

/// The first part of keys: which sort of row.
pub(super) const OWNER: u8 = 0;
/// The record itself.
pub(super) const RECORD: u8 = 1;
/// A label.
pub(super) const LABEL: u8 = 2;
/// A remote calendar.
pub(super) const REMOTE: u8 = 2;

impl AccountRow {
    pub(super) fn key(account: &Account) -> (u8, UserId, AccountId) {
        (RECORD, account.user.clone(), account.id.clone())
    }
}

/// The rows of accounts, and the keys that their secrets are sealed under. Shared with whoever keeps tokens fresh.
pub(super) struct Rows {
    pub(super) store: Arc<dyn Store>,
    pub(super) entropy: Arc<dyn Entropy>,
    keys: Mutex<Arc<KeyRing>>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows(..)")
    }
}

impl Rows {
    pub(super) fn new(store: Arc<dyn Store>, entropy: Arc<dyn Entropy>, keys: Arc<KeyRing>) -> Self {
        Self { store, entropy, keys: Mutex::new(keys) }
    }

    pub(super) fn keys(&self) -> Arc<KeyRing> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn replace_keys(&self, replace: impl FnOnce(&Arc<KeyRing>) -> Option<KeyRing>) -> Arc<KeyRing> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(new) = replace(&keys) {
            *keys = Arc::new(new);
        }
        keys.clone()
    }

    pub(super) fn seal(&self, account: &Account, secret: &Secret) -> Sealed {
        let record = ACCOUNTS.key(&AccountRow::key(account));
        self.keys().seal(self.entropy.as_ref(), record.as_bytes(), secret)
    }

    pub(super) fn unseal(&self, row: &AccountRow) -> Result<Secret, AccountError> {
        let record = ACCOUNTS.key(&AccountRow::key(&row.account));
        Ok(self.keys().open(record.as_bytes(), &row.secret)?)
    }

    pub(super) async fn row(&self, id: &AccountId) -> Result<AccountRow, AccountError> {
        Ok(self.row_as_stored(id).await?.0)
    }

    async fn row_as_stored(&self, id: &AccountId) -> Result<(AccountRow, bytes::Bytes), AccountError> {
        let owner = ACCOUNT_OWNERS.get(&*self.store, &(OWNER, id.clone())).await?.ok_or(AccountError::NotFound)?;
        let row = ACCOUNTS.get_as_stored(&*self.store, &(RECORD, owner.0, id.clone())).await?;
        row.ok_or(AccountError::NotFound)
    }

    /// Changes an account's row; what is there is read again when others were faster.
    pub(super) async fn change(
        &self,
        id: &AccountId,
        change: impl Fn(&mut AccountRow) + Send + Sync,
    ) -> Result<Account, AccountError> {
        for _ in 0..ATTEMPTS {
            let (old, stored) = self.row_as_stored(id).await?;
            let mut row = old.clone();
            change(&mut row);
            if row == old {
                return Ok(row.account);
            }
            let key = AccountRow::key(&old.account);
            let mut batch = Batch::new();
            ACCOUNTS.expect_bytes(&mut batch, &key, Some(stored));
            ACCOUNTS.put(&mut batch, &key, &row);
            match self.store.commit(batch).await.map_err(AccountError::from) {
                Ok(_) => return Ok(row.account),
                Err(AccountError::Stale) => {}
                Err(error) => return Err(error),
            }
        }
        Err(AccountError::Stale)
    }
}

/// Puts a source of a remote calendar that has none yet.
pub(super) fn put_new_source(batch: &mut Batch, source: &Source) {
    let key = (RECORD, source.user.clone(), source.id.clone());
    let remote = remote_key(source);
    REMOTES.expect_absent(batch, &remote);
    REMOTES.put(batch, &remote, &Remote(source.id.clone()));
    SOURCES.expect_absent(batch, &key);
    SOURCES.put(batch, &key, source);
    SOURCE_OWNERS.put(batch, &(OWNER, source.id.clone()), &Owner(source.user.clone()));
}

/// Puts `new` where `old` was, for another remote calendar. `stored` are the octets of the old row.
pub(super) fn replace_source(batch: &mut Batch, (old, stored): (&Source, bytes::Bytes), new: &Source) {
    let key = (RECORD, old.user.clone(), old.id.clone());
    SOURCES.expect_bytes(batch, &key, Some(stored));
    SOURCES.put(batch, &key, new);
    REMOTES.delete(batch, &remote_key(old));
    REMOTES.expect_absent(batch, &remote_key(new));
    REMOTES.put(batch, &remote_key(new), &Remote(new.id.clone()));
}

/// Takes all rows of a source away.
pub(super) fn delete_source(batch: &mut Batch, source: &Source) {
    SOURCES.delete(batch, &(RECORD, source.user.clone(), source.id.clone()));
    SOURCE_OWNERS.delete(batch, &(OWNER, source.id.clone()));
    REMOTES.delete(batch, &remote_key(source));
}

fn remote_key(source: &Source) -> (u8, AccountId, String) {
    (REMOTE, source.account.clone(), source.remote.as_str().to_owned())
}

const ATTEMPTS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn first<T: Serialize>(row: &T) -> Vec<u8> {
        postcard::to_extend(row, vec![1]).unwrap()
    }

    #[test]
    fn rows_of_the_first_release_are_read() {
        let provider = ProviderKind::CalDav { given: "g".into(), username: "u".into(), homes: vec!["h".into()] };
        let account = FirstAccount {
            id: "a-x1".parse().unwrap(),
            user: UserId::parse("ana").unwrap(),
            label: "l".into(),
            provider: provider.clone(),
            state: AccountState::Paused,
            created: Timestamp::UNIX_EPOCH,
        };
        let sealed = Sealed::from_bytes(vec![1, 2, 3]);
        let row = ACCOUNTS.decode(&first(&FirstAccountRow { account, password: sealed.clone() })).unwrap();
        assert_eq!((row.account.provider, row.secret), (provider, sealed));
        assert_eq!(row.account.state, AccountState::Paused);
        let id: SourceId = "s-y2".parse().unwrap();
        let source = FirstSource {
            collection: id.collection(),
            id,
            account: "a-x1".parse().unwrap(),
            user: UserId::parse("ana").unwrap(),
            remote: RemoteId::new("/work/"),
            name: "Work".into(),
            color: None,
            read_only: true,
            missing: false,
            absences: 1,
        };
        let read = SOURCES.decode(&first(&source)).unwrap();
        assert_eq!((read.name.as_str(), read.read_only, read.absences), ("Work", true, 1));
        assert_eq!(read.details, CalendarDetails::default());
    }
}

//! The rows of accounts and sources.
//!
//! Each kind has two sorts of rows in its table: the record under its owner, so that a person's things lie together,
//! and the owner under the id, so that an id alone finds them. They are written and removed in the same commit.
//! A password is sealed with the key of its own row as additional data.

use serde::{Deserialize, Serialize};

use super::{Account, AccountError, Accounts, Source};
use crate::id::{AccountId, SourceId, UserId};
use crate::store::{Batch, Record, Table, tables};
use crate::vault::{Sealed, Secret};

/// An account with its password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AccountRow {
    pub(super) account: Account,
    pub(super) password: Sealed,
}

impl Record for AccountRow {
    const FORMAT: u8 = 1;
}

impl Record for Source {
    const FORMAT: u8 = 1;
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

impl Accounts {
    pub(super) fn seal(&self, account: &Account, password: &Secret) -> Sealed {
        let record = ACCOUNTS.key(&AccountRow::key(account));
        self.keys().seal(self.means.entropy.as_ref(), record.as_bytes(), password)
    }

    pub(super) fn unseal(&self, row: &AccountRow) -> Result<Secret, AccountError> {
        let record = ACCOUNTS.key(&AccountRow::key(&row.account));
        Ok(self.keys().open(record.as_bytes(), &row.password)?)
    }

    pub(super) async fn row(&self, id: &AccountId) -> Result<AccountRow, AccountError> {
        let owner = ACCOUNT_OWNERS.get(&*self.store, &(OWNER, id.clone())).await?.ok_or(AccountError::NotFound)?;
        let row = ACCOUNTS.get(&*self.store, &(RECORD, owner.0, id.clone())).await?;
        row.ok_or(AccountError::NotFound)
    }

    /// Changes an account's row; what is there is read again when others were faster.
    pub(super) async fn change(
        &self,
        id: &AccountId,
        change: impl Fn(&mut AccountRow) + Send + Sync,
    ) -> Result<Account, AccountError> {
        for _ in 0..ATTEMPTS {
            let old = self.row(id).await?;
            let mut row = old.clone();
            change(&mut row);
            if row == old {
                return Ok(row.account);
            }
            let key = AccountRow::key(&old.account);
            let mut batch = Batch::new();
            ACCOUNTS.expect(&mut batch, &key, &old);
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

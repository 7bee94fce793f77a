//! Users: adding, listing, changing the password, removing.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Config;
use super::app_password::AppPasswordId;
use super::authenticate::Remembered;
use super::password::{Busy, Hasher};
use super::throttle::Throttle;
use crate::clock::Clock;
use crate::entropy::{self, Entropy};
use crate::id::UserId;
use crate::store::{Batch, CommitError, Record, Store, StoreError, Table, tables};
use crate::vault::Secret;

/// Somebody with a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub id: UserId,
    /// Whether they may manage others.
    pub admin: bool,
    /// Since when.
    pub created: Timestamp,
}

/// Why a call on users did not do what it says.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The name is taken.
    #[error("there is a user {0} already")]
    Exists(UserId),
    /// Nobody has this name.
    #[error("there is no user {0}")]
    Unknown(UserId),
    /// The password can't be one.
    #[error("a password has 1 to 256 octets and no control characters")]
    BadPassword,
    /// The label can't be one.
    #[error("a label has 1 to 100 octets and no control characters")]
    BadLabel,
    /// No app password of this user has this id.
    #[error("there is no app password {0}")]
    NoAppPassword(AppPasswordId),
    /// Too much is going on.
    #[error("too many passwords are being checked; try again in a moment")]
    Busy,
    /// The store failed.
    #[error("the users can't be reached in the store")]
    Store(#[from] StoreError),
}

impl From<Busy> for UserError {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

/// All users, and everything by which they sign in.
#[derive(Debug)]
pub struct Users {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) config: Config,
    pub(super) hasher: Hasher,
    pub(super) throttle: Throttle,
    pub(super) remembered: Remembered,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) admin: bool,
    /// The PHC string.
    pub(super) hash: String,
    /// Differs after every change of the password.
    pub(super) generation: u64,
    pub(super) created: Timestamp,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("admin", &self.admin).finish_non_exhaustive()
    }
}

impl Record for Row {
    const FORMAT: u8 = 1;
}

pub(super) const USERS: Table<UserId, Row> = Table::new(tables::USER);

impl Users {
    /// The users in `store`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, config: Config) -> Self {
        let hasher = Hasher::new(config.hashes_at_once, config.hashes_waiting);
        let throttle = Throttle::new(clock.clone(), config.failures_per_minute, config.failures_per_minute_per_address);
        let remembered = Remembered::new(&*entropy);
        Self { store, clock, entropy, config, hasher, throttle, remembered }
    }

    /// Adds a user. Ask [`super::password::weakness`] before, and say or refuse what it finds.
    pub async fn add(&self, user: &UserId, password: &Secret, admin: bool) -> Result<(), UserError> {
        if USERS.get(&*self.store, user).await?.is_some() {
            return Err(UserError::Exists(user.clone()));
        }
        let mut batch = Batch::new();
        self.add_into(&mut batch, user, password, admin).await?;
        commit(&*self.store, batch, || UserError::Exists(user.clone())).await
    }

    /// All users, by name.
    pub async fn list(&self) -> Result<Vec<User>, UserError> {
        let rows = USERS.scan(&*self.store, USERS.all(), usize::MAX).await?;
        Ok(rows.into_iter().map(|(id, row)| User { id, admin: row.admin, created: row.created }).collect())
    }

    /// One user, if there is one of this name.
    pub async fn user(&self, user: &UserId) -> Result<Option<User>, UserError> {
        let row = USERS.get(&*self.store, user).await?;
        Ok(row.map(|row| User { id: user.clone(), admin: row.admin, created: row.created }))
    }

    /// Whether there is any user at all.
    pub async fn is_empty(&self) -> Result<bool, UserError> {
        Ok(USERS.scan(&*self.store, USERS.all(), 1).await?.is_empty())
    }

    /// Gives the user another password. The old one ends at once, app passwords stay.
    pub async fn passwd(&self, user: &UserId, password: &Secret) -> Result<(), UserError> {
        let row = self.require(user).await?;
        check(password)?;
        let hash = self.hasher.hash(password, &*self.entropy).await?;
        let mut batch = Batch::new();
        USERS.expect(&mut batch, user, &row);
        USERS.put(&mut batch, user, &Row { hash, generation: entropy::number(&*self.entropy), ..row });
        commit(&*self.store, batch, || UserError::Unknown(user.clone())).await
    }

    /// Removes the user and all by which they sign in. What they own elsewhere is for the caller to remove first.
    pub async fn remove(&self, user: &UserId) -> Result<(), UserError> {
        let mut batch = Batch::new();
        USERS.expect_present(&mut batch, user);
        USERS.delete(&mut batch, user);
        self.delete_app_passwords(user, &mut batch).await?;
        self.delete_links(user, &mut batch).await?;
        commit(&*self.store, batch, || UserError::Unknown(user.clone())).await
    }

    pub(super) async fn require(&self, user: &UserId) -> Result<Row, UserError> {
        USERS.get(&*self.store, user).await?.ok_or_else(|| UserError::Unknown(user.clone()))
    }

    pub(super) async fn add_into(
        &self,
        batch: &mut Batch,
        user: &UserId,
        password: &Secret,
        admin: bool,
    ) -> Result<(), UserError> {
        let row = self.new_row(password, admin).await?;
        USERS.expect_absent(batch, user);
        USERS.put(batch, user, &row);
        Ok(())
    }

    pub(super) async fn new_row(&self, password: &Secret, admin: bool) -> Result<Row, UserError> {
        check(password)?;
        let hash = self.hasher.hash(password, &*self.entropy).await?;
        Ok(Row { admin, hash, generation: entropy::number(&*self.entropy), created: self.clock.now() })
    }
}

/// Commits; a condition that does not hold is `stale`.
pub(super) async fn commit(
    store: &dyn Store,
    batch: Batch,
    stale: impl FnOnce() -> UserError,
) -> Result<(), UserError> {
    match store.commit(batch).await {
        Ok(_) => Ok(()),
        Err(CommitError::Stale(_)) => Err(stale()),
        Err(CommitError::Store(error)) => Err(error.into()),
    }
}

/// What the Basic header can carry.
fn check(password: &Secret) -> Result<(), UserError> {
    let text = password.expose_str().ok_or(UserError::BadPassword)?;
    if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
        return Err(UserError::BadPassword);
    }
    Ok(())
}

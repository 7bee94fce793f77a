//! The logins that people have connected, and the remote calendars (sources) behind them.
//!
//! An [`Account`] is one login at one provider; each of its calendars is a [`Source`], and each source has a
//! collection of its own in the calendar floor. Passwords are sealed under the record's own key, so a sealed
//! password moved to another record opens nowhere.
//!
//! Invariant: an account is stored only after its provider was found and answered; a source disappears only
//! by a person's hand, a provider that stops naming it makes it `missing`.
//! It never looks into events.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::{Calendars, PutError};
use crate::id::{AccountId, CollectionName, SourceId, UserId};
pub use crate::provider::caldav::Means;
use crate::provider::caldav::{CalDav, DiscoverError};
use crate::provider::{Fault, RemoteId};
use crate::store::{CommitError, Store, StoreError};
use crate::vault::{KeyRing, VaultError};

mod connect;
mod record;
mod reseal;
mod source;

pub use connect::NewCalDav;
pub use reseal::Resealed;
pub use source::Refreshed;

/// All accounts of all users.
pub struct Accounts {
    store: Arc<dyn Store>,
    keys: Mutex<Arc<KeyRing>>,
    calendars: Arc<Calendars>,
    means: Means,
    /// Providers that were built, with the password unsealed, until their account changes.
    connected: Mutex<HashMap<AccountId, Arc<CalDav>>>,
}

impl Accounts {
    /// The accounts in `store`, whose passwords are sealed under `keys`.
    pub fn new(store: Arc<dyn Store>, keys: Arc<KeyRing>, calendars: Arc<Calendars>, means: Means) -> Self {
        Self { store, keys: Mutex::new(keys), calendars, means, connected: Mutex::default() }
    }

    fn connected(&self) -> MutexGuard<'_, HashMap<AccountId, Arc<CalDav>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accounts({} connected)", self.connected().len())
    }
}

/// Why something could not be done with an account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// No calendars were found behind what was given.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The provider did not do it.
    #[error(transparent)]
    Provider(#[from] Fault),
    /// Another account of this person has this label.
    #[error("there is an account with the label {0:?} already")]
    LabelTaken(String),
    /// The same login at the same server is connected already.
    #[error("this login is connected already, as {0:?}")]
    AlreadyConnected(String),
    /// A label that no one could read.
    #[error("a label has 1 to 100 characters, none of them a control character")]
    BadLabel,
    /// There is no such account or source.
    #[error("there is no such account")]
    NotFound,
    /// The stored password can't be opened.
    #[error("the stored password can't be opened: {0}")]
    Vault(#[from] VaultError),
    /// The calendar of a source could not be made or removed.
    #[error(transparent)]
    Calendar(#[from] PutError),
    /// Others kept changing the same account; trying again is right.
    #[error("the account is being changed by somebody else")]
    Stale,
    /// The store failed; nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CommitError> for AccountError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Stale(_) => Self::Stale,
            CommitError::Store(error) => Self::Store(error),
        }
    }
}

/// A connected login at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Whose it is.
    pub user: UserId,
    /// Its name for people, unique per user.
    pub label: String,
    /// Which kind of provider, and how it was found.
    pub provider: ProviderKind,
    /// Whether it is worked for.
    pub state: AccountState,
    /// When it was connected.
    pub created: Timestamp,
}

/// Which kind of provider an account is at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProviderKind {
    /// Any CalDAV server.
    CalDav {
        /// The address as the person gave it: discovery starts there again when homes move.
        given: String,
        /// The login name.
        username: String,
        /// The calendar homes found there.
        homes: Vec<String>,
    },
}

impl ProviderKind {
    /// The name used in configuration, on the command line and in answers.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CalDav { .. } => "caldav",
        }
    }
}

/// Whether an account is worked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountState {
    /// It is synchronised.
    Active,
    /// A person stopped it.
    Paused,
    /// The provider refuses the credentials; a person must give new ones.
    NeedsSignIn {
        /// What the provider said, for that person.
        why: String,
    },
}

/// One remote calendar of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// The account it belongs to.
    pub account: AccountId,
    /// Whose it is.
    pub user: UserId,
    /// What the provider calls it.
    pub remote: RemoteId,
    /// Its name for people, as the provider has it.
    pub name: String,
    /// Its colour, as the provider has it.
    pub color: Option<String>,
    /// The provider takes no changes to it.
    pub read_only: bool,
    /// The collection that shows it alone.
    pub collection: CollectionName,
    /// The provider's list did not name it the last two times: frozen until it does or a person removes it.
    pub missing: bool,
    /// How often in a row the list has not named it.
    pub absences: u8,
}

#[cfg(test)]
mod tests;

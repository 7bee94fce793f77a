//! The logins that people have connected, and the remote calendars (sources) behind them.
//!
//! An [`Account`] is one login at one provider; each of its calendars is a [`Source`], and each source has a
//! collection of its own in the calendar floor. Passwords and tokens are sealed under the record's own key, so one that
//! was moved to another record opens nowhere. `registry` knows which kind of account is which provider; `oauth` signs in
//! where no password does.
//!
//! Invariant: an account is stored only after its provider was found and answered; a source disappears only
//! by a person's hand, a provider that stops naming it makes it `missing`.
//! It never looks into events.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::oauth::SignInError;
use self::record::Rows;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::{Calendars, PutError};
use crate::id::{AccountId, CollectionName, SourceId, UserId};
use crate::provider::caldav::DiscoverError;
pub use crate::provider::caldav::Means;
use crate::provider::{CalendarDetails, Fault, Provider, RemoteId};
use crate::store::{CommitError, Store, StoreError};
use crate::vault::{KeyRing, VaultError};

mod connect;
mod feed;
pub mod oauth;
mod record;
mod registry;
mod reseal;
mod source;

pub use connect::NewCalDav;
pub use feed::NewICloud;
pub use registry::{GoogleService, ICloudService, MicrosoftService, Services};
pub use reseal::Resealed;
pub use source::{Alike, Refreshed};

/// All accounts of all users.
pub struct Accounts {
    rows: Arc<Rows>,
    calendars: Arc<Calendars>,
    means: Means,
    services: Services,
    /// Providers that were built, with the secret unsealed, until their account changes.
    connected: Mutex<HashMap<AccountId, Arc<dyn Provider>>>,
    devices: oauth::Devices,
}

impl Accounts {
    /// The accounts in `store`, whose secrets are sealed under `keys`.
    pub fn new(store: Arc<dyn Store>, keys: Arc<KeyRing>, calendars: Arc<Calendars>, means: Means) -> Self {
        let rows = Arc::new(Rows::new(store, means.entropy.clone(), keys));
        let services = Services::default();
        Self { rows, calendars, means, services, connected: Mutex::default(), devices: oauth::Devices::default() }
    }

    /// The same with the services that the configuration names.
    #[must_use]
    pub fn with_services(mut self, services: Services) -> Self {
        self.services = services;
        self
    }

    fn connected(&self) -> MutexGuard<'_, HashMap<AccountId, Arc<dyn Provider>>> {
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
    /// iCloud refuses the password.
    #[error(
        "iCloud refuses the user name or the password; it takes an app-specific password alone, which is made at \
         account.apple.com under Sign-In and Security"
    )]
    AppPassword,
    /// A label that no one could read.
    #[error("a label has 1 to 100 characters, none of them a control character")]
    BadLabel,
    /// There is no such account or source.
    #[error("there is no such account")]
    NotFound,
    /// The sign-in at the provider came to nothing.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The configuration lacks what this kind of account needs.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// The account signs in another way.
    #[error("this account signs in with {0}")]
    OtherSignIn(&'static str),
    /// The stored password or token can't be opened.
    #[error("the stored password or token can't be opened: {0}")]
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
    /// When attendees may be told of changes.
    pub invitations: Invitations,
}

/// When a provider may tell attendees of a change that is written to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invitations {
    /// When a person changed what attendees must know, and their program does not ask for silence.
    #[default]
    AsAsked,
    /// When a person changed what attendees must know, whatever their program asks for.
    Always,
    /// Never.
    Never,
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
    /// Google Calendar, by OAuth.
    Google {
        /// The account's address.
        email: String,
    },
    /// Microsoft 365 or Outlook.com, by OAuth.
    Microsoft {
        /// The account's address.
        email: String,
        /// The tenant that it signs in at.
        tenant: String,
    },
    /// An iCalendar feed, read only.
    Ics {
        /// The host that it is at. The whole address often is the only key to the feed, and is sealed like a password.
        host: String,
        /// A digest of the address, by which the same feed is recognised.
        digest: String,
    },
    /// iCloud, by an app-specific password.
    ICloud {
        /// The Apple account's address.
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
            Self::Google { .. } => "google",
            Self::Microsoft { .. } => "microsoft",
            Self::Ics { .. } => "ics",
            Self::ICloud { .. } => "icloud",
        }
    }

    /// The login name or address, where there is one.
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::CalDav { username, .. } | Self::ICloud { username, .. } => Some(username),
            Self::Google { email } | Self::Microsoft { email, .. } => Some(email),
            Self::Ics { .. } => None,
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
    /// What else the provider says of it.
    pub details: CalendarDetails,
}

#[cfg(test)]
mod tests;

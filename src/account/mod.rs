//! The logins that people have connected, and the remote calendars (sources) behind them.
//!
//! An [`Account`] is one login at one provider; each of its calendars is a [`Source`], and each source has a
//! collection of its own in the calendar floor. Passwords are sealed under the record's own key, so a sealed
//! password moved to another record opens nowhere.
//!
//! Invariant: an account is stored only after its provider was found and answered; a source disappears only
//! by a person's hand, a provider that stops naming it makes it `missing`.
//! It never looks into events.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{AccountId, CollectionName, SourceId, UserId};
use crate::provider::RemoteId;

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
}

//! One remote CalDAV account (RFC 4791) as a [`Provider`].
//!
//! The parts: `discover` finds the calendars behind what a person typed; `changes` tells what is new, by the best
//! means the server has; `write` creates, updates and deletes; `fetch` reads objects. They speak through one
//! `session` (credentials, redirects), make and read documents in `request`, and name failures in `fault`.
//!
//! Quirks are not looked up by the name of the server: each is an ability that is tried, and remembered for as long
//! as this value lives or in the cursor.
//! Invariant: what a server leaves out of an answer is missing, not deleted.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use url::Url;

use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::transport::Transport;

mod authenticate;
mod changes;
mod discover;
mod fault;
mod fetch;
mod place;
mod relocate;
mod request;
mod session;
mod write;

pub use self::authenticate::Login;
pub use self::discover::DiscoverError;
use self::discover::Home;
use self::fault::unsent;
use self::place::Spellings;
use self::session::{Ask, Reply, Session};
use self::write::Abilities;
use super::{
    Change, Fault, IdempotencyKey, Item, Page, Position, Provider, RemoteCalendar, RemoteId, Removal, Version, Written,
};

/// What the adapter needs from outside.
#[derive(Clone, Debug)]
pub struct Means {
    /// The way out.
    pub transport: Arc<dyn Transport>,
    /// The time, for dates in `Retry-After`.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for Digest.
    pub entropy: Arc<dyn Entropy>,
}

/// A service whose ways are known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// None: what the server can do is found out by trial.
    Any,
    /// Apple's: one request at a time, an end on every event, a UID in one calendar only.
    ICloud,
}

/// A remote CalDAV account.
pub struct CalDav {
    session: Session,
    clock: Arc<dyn Clock>,
    given: String,
    homes: Mutex<Vec<Home>>,
    spellings: Spellings,
    abilities: Mutex<Abilities>,
    /// How often in a row each calendar's server refused a token that it had just given.
    refused_tokens: Mutex<HashMap<Url, u8>>,
}

impl CalDav {
    /// The account behind what the person typed (an e-mail address, a host, or any URL of the server), and its
    /// calendars.
    pub async fn discover(
        given: &str,
        login: Login,
        means: &Means,
    ) -> Result<(Self, Vec<RemoteCalendar>), DiscoverError> {
        Self::discover_as(Preset::Any, given, login, means).await
    }

    /// The same at a service whose ways are known.
    pub async fn discover_as(
        preset: Preset,
        given: &str,
        login: Login,
        means: &Means,
    ) -> Result<(Self, Vec<RemoteCalendar>), DiscoverError> {
        let account = Self::empty(given, login, means).with(preset);
        let (homes, calendars) = discover::discover(&account.session, given, means.clock.as_ref()).await?;
        let calendars = account.settle(homes, calendars);
        Ok((account, calendars))
    }

    /// The account whose homes were found earlier, as [`CalDav::homes`] told them.
    pub fn known(given: &str, homes: &[String], login: Login, means: &Means) -> Self {
        let account = Self::empty(given, login, means);
        let homes: Vec<Home> = homes.iter().filter_map(|text| Home::read(text)).collect();
        for start in discover::starts(given) {
            account.session.trust_neighbourhood(&start);
        }
        for home in &homes {
            account.session.trust(&home.url);
        }
        *account.homes.lock().unwrap_or_else(PoisonError::into_inner) = homes;
        account
    }

    /// With the ways of a known service, which need not be found out by trial.
    #[must_use]
    pub fn with(mut self, preset: Preset) -> Self {
        if preset == Preset::ICloud {
            self.session.one_at_a_time();
            let known =
                Abilities { wants_end: true, one_uid: true, protects_existing: Some(true), ..Abilities::default() };
            *self.abilities.get_mut().unwrap_or_else(PoisonError::into_inner) = known;
        }
        self
    }

    /// Where its calendars are, for [`CalDav::known`]. Changes when the server has moved them.
    pub fn homes(&self) -> Vec<String> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Home::to_string).collect()
    }

    fn empty(given: &str, login: Login, means: &Means) -> Self {
        Self {
            session: Session::new(means.transport.clone(), login, means.entropy.clone()),
            clock: means.clock.clone(),
            given: given.to_owned(),
            homes: Mutex::default(),
            spellings: Spellings::default(),
            abilities: Mutex::default(),
            refused_tokens: Mutex::default(),
        }
    }

    /// Takes up newly found homes, and gives the calendars in them their ids.
    fn settle(&self, homes: Vec<Home>, found: Vec<discover::Found>) -> Vec<RemoteCalendar> {
        let first = homes.first().map(|home| home.url.clone());
        *self.homes.lock().unwrap_or_else(PoisonError::into_inner) = homes;
        let Some(first) = first else { return Vec::new() };
        let named = |calendar: discover::Found| {
            let id = self.spellings.learn(&first, &calendar.url);
            calendar.named(id)
        };
        found.into_iter().map(named).collect()
    }

    /// The first home: what ids are relative to.
    fn home(&self) -> Result<Url, Fault> {
        let homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        homes.first().map(|home| home.url.clone()).ok_or_else(|| Fault::Garbled("the account has no home".to_owned()))
    }

    fn url(&self, id: &RemoteId) -> Result<Url, Fault> {
        let home = self.home()?;
        let url = self.spellings.url(&home, id);
        url.ok_or_else(|| Fault::Garbled("an id that is no address".to_owned()))
    }

    fn learn(&self, url: &Url) -> Result<RemoteId, Fault> {
        Ok(self.spellings.learn(&self.home()?, url))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn ask(&self, ask: Ask) -> Result<Reply, Fault> {
        self.session.ask(ask).await.map_err(|error| unsent(&error))
    }
}

impl fmt::Debug for CalDav {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CalDav").field("homes", &self.homes()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for CalDav {
    async fn calendars(&self) -> Result<Vec<RemoteCalendar>, Fault> {
        let homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match discover::list(&self.session, &homes, self.now()).await {
            Ok(found) => Ok(self.settle(homes, found)),
            // The homes may have moved: look again from the start, once.
            Err(Fault::CalendarGone) => {
                let found = discover::discover(&self.session, &self.given, self.clock.as_ref()).await;
                let (homes, found) = found.map_err(DiscoverError::into_fault)?;
                Ok(self.settle(homes, found))
            }
            Err(fault) => Err(fault),
        }
    }

    async fn changes(&self, calendar: &RemoteId, from: &Position) -> Result<Page, Fault> {
        self.changes_since(calendar, from).await
    }

    async fn fetch(&self, calendar: &RemoteId, ids: &[RemoteId]) -> Result<Vec<Item>, Fault> {
        self.fetch_all(calendar, ids).await
    }

    fn identity(&self, calendar: &RemoteId, key: &IdempotencyKey) -> Option<RemoteId> {
        self.created_id(calendar, key)
    }

    async fn relocate(
        &self,
        (_, to): (&RemoteId, &RemoteId),
        version: &Version,
        key: &IdempotencyKey,
        _change: &Change<'_>,
    ) -> Result<Option<Written>, Fault> {
        self.move_object(version, to, key).await
    }

    async fn find(&self, calendar: &RemoteId, _key: &IdempotencyKey, uid: &str) -> Result<Option<RemoteId>, Fault> {
        self.find_uid(calendar, uid).await
    }

    async fn create(&self, calendar: &RemoteId, key: &IdempotencyKey, change: &Change<'_>) -> Result<Written, Fault> {
        self.create_object(calendar, key, change.object).await
    }

    async fn update(&self, calendar: &RemoteId, version: &Version, change: &Change<'_>) -> Result<Written, Fault> {
        self.update_object(calendar, version, change.object).await
    }

    async fn delete(&self, calendar: &RemoteId, version: &Version, removal: &Removal<'_>) -> Result<(), Fault> {
        self.delete_object(calendar, version, removal.notify).await
    }

    fn renames(&self) -> bool {
        true
    }

    fn deletes_first(&self) -> bool {
        self.takes_a_uid_once()
    }

    fn homes(&self) -> Vec<String> {
        self.homes()
    }
}

#[cfg(test)]
mod tests;

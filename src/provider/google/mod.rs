//! One Google account as a [`Provider`], by the Calendar API v3.
//!
//! The parts: `request` builds what is sent, sends it under the account's token and names failures; `pull` reads rounds of
//! changes; `group` joins a series with its exceptions; `write` creates, changes and deletes, `relocate` moves; `map` translates between
//! events and iCalendar, purely. Sources: the discovery document of the API, and its guides where it is silent.
//!
//! A series is one object here and many items there. Its [`RemoteId`] is the master's, its tag is the master's with a
//! sum over those of its exceptions, and a write to it begins with reading what there is.
//! Invariants: a PATCH names only what the change is about, so that members which iCalendar does not know stay; nobody is
//! mailed unless the change says so; absence is proven by a complete listing or a tombstone alone.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};
use url::Url;

use super::{
    Change, Channel, Fault, Hook, IdempotencyKey, Item, Page, Position, Provider, RemoteCalendar, RemoteId, Removal,
    Tokens, Version, Written,
};
use crate::clock::Clock;
use crate::transport::Transport;
use crate::vault::Secret;

mod body;
mod calendars;
mod group;
pub mod map;
mod pull;
mod relocate;
mod request;
mod write;

use request::{Aim, Ask};

/// What the adapter needs from outside.
#[derive(Clone, Debug)]
pub struct GoogleMeans {
    /// The base of the API, ends in `/calendar/v3`.
    pub api: Url,
    /// The way there.
    pub transport: Arc<dyn Transport>,
    /// The time, for dates in `Retry-After`.
    pub clock: Arc<dyn Clock>,
    /// Who signs the requests.
    pub tokens: Arc<dyn Tokens>,
}

/// A Google account.
pub struct Google {
    means: GoogleMeans,
    /// The account's address; empty until the list of calendars has told it.
    email: Mutex<String>,
    known: Mutex<Known>,
    /// Writes to one account go one after the other: quick ones to a calendar run into a limit that is not published.
    writing: tokio::sync::Mutex<()>,
}

/// What was seen in passing, and is asked for again when it isn't known.
#[derive(Debug, Default)]
struct Known {
    /// The iCalendar UIDs of series, by master.
    uids: HashMap<String, String>,
    /// Of each calendar: its zone and its usual reminders.
    calendars: HashMap<String, map::Calendar>,
}

impl Google {
    /// The account whose main address is `email` (empty where that is not known yet).
    pub fn new(email: &str, means: GoogleMeans) -> Self {
        let email = Mutex::new(email.to_owned());
        Self { means, email, known: Mutex::default(), writing: tokio::sync::Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn email(&self) -> String {
        self.email.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How events of this calendar are to be read.
    fn context(&self, calendar: &RemoteId) -> map::Context {
        let known = self.known().calendars.get(calendar.as_str()).cloned().unwrap_or_default();
        map::Context { calendar: known, email: self.email() }
    }
}

impl fmt::Debug for Google {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Google(..)")
    }
}

#[async_trait]
impl Provider for Google {
    async fn calendars(&self) -> Result<Vec<RemoteCalendar>, Fault> {
        self.calendar_list().await
    }

    async fn changes(&self, calendar: &RemoteId, from: &Position) -> Result<Page, Fault> {
        self.round(calendar, from).await
    }

    async fn fetch(&self, calendar: &RemoteId, ids: &[RemoteId]) -> Result<Vec<Item>, Fault> {
        self.fetch_all(calendar, ids).await
    }

    fn identity(&self, _calendar: &RemoteId, key: &IdempotencyKey) -> Option<RemoteId> {
        Some(RemoteId::new(write::event_id(key)))
    }

    async fn made(&self, calendar: &RemoteId, key: &IdempotencyKey, uid: &str) -> Result<Option<RemoteId>, Fault> {
        self.made_event(calendar, key, uid).await
    }

    async fn relocate(
        &self,
        places: (&RemoteId, &RemoteId),
        version: &Version,
        _key: &IdempotencyKey,
        change: &Change<'_>,
    ) -> Result<Option<Written>, Fault> {
        let _one = self.writing.lock().await;
        self.move_event(places, version, change).await
    }

    async fn create(&self, calendar: &RemoteId, key: &IdempotencyKey, change: &Change<'_>) -> Result<Written, Fault> {
        let _one = self.writing.lock().await;
        self.create_event(calendar, key, change).await
    }

    async fn update(&self, calendar: &RemoteId, version: &Version, change: &Change<'_>) -> Result<Written, Fault> {
        let _one = self.writing.lock().await;
        self.update_event(calendar, version, change).await
    }

    async fn delete(&self, calendar: &RemoteId, version: &Version, removal: &Removal<'_>) -> Result<(), Fault> {
        let _one = self.writing.lock().await;
        self.delete_event(calendar, version, removal).await
    }

    async fn addresses(&self) -> Result<Vec<String>, Fault> {
        self.calendar_list().await?;
        Ok(Some(self.email()).filter(|email| !email.is_empty()).into_iter().collect())
    }

    fn can_watch(&self) -> bool {
        true
    }

    async fn watch(&self, calendar: Option<&RemoteId>, hook: &Hook) -> Result<Option<Channel>, Fault> {
        let token = hook.token.expose_str().unwrap_or_default();
        let body = json!({
            "id": hook.id, "type": "web_hook", "address": hook.url, "token": token,
            "expiration": hook.until.as_millisecond().to_string(),
        });
        let ask = match calendar {
            Some(calendar) => Ask::post(&["calendars", calendar.as_str(), "events", "watch"], body),
            None => Ask::post(&["users", "me", "calendarList", "watch"], body),
        };
        let reply = self.ask(ask, Aim::Calendar).await?;
        let text = |name: &str| reply.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let expires = text("expiration").parse().ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        Ok(Some(Channel { id: hook.id.clone(), resource: text("resourceId"), expires: expires.unwrap_or(hook.until) }))
    }

    async fn unwatch(&self, channel: &Channel) -> Result<(), Fault> {
        let body = json!({ "id": channel.id, "resourceId": channel.resource });
        match self.ask(Ask::post(&["channels", "stop"], body), Aim::Event).await {
            Ok(_) | Err(Fault::Gone) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

/// The header value of a token.
fn bearer(token: &Secret) -> Option<http::HeaderValue> {
    let mut value = http::HeaderValue::from_str(&format!("Bearer {}", token.expose_str()?)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;

//! An iCalendar feed (RFC 5545, RFC 7986) as a [`Provider`]: one calendar, read only.
//!
//! The parts: `download` gets the file within bounds, `read` cuts it into objects as far as it can be read, `recognise`
//! says which of them is which of the time before. What has to be known of that lies in the cursor.
//!
//! Invariants: an event keeps its identity, and its UID here, when the publisher gives it a new UID; what is gone from
//! a feed that shows a window of time is not gone; a file that was cut off proves no absence; anything but a calendar is a
//! [`Fault`], whatever its status.
//! Never here: a request to write.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use super::caldav::Means;
use super::{
    CalendarDetails, Change, Cursor, Fault, IdempotencyKey, Item, Page, PageToken, Position, Provider, RemoteCalendar,
    RemoteId, Removal, Then, Version, Written,
};
use crate::ical::ComponentKind;

mod download;
mod read;
mod recognise;

use self::download::Answer;
pub use self::download::candidates;
use self::read::Reading;
use self::recognise::Memory;

/// A subscribed feed.
pub struct Feed {
    url: Url,
    means: Means,
    /// What the last round left, for what is asked between rounds.
    memory: Mutex<Option<Memory>>,
}

impl Feed {
    /// The feed at `url`, a secret. Names and passwords in it are sent by Basic authentication (RFC 7617).
    pub fn new(url: Url, means: &Means) -> Self {
        Self { url, means: means.clone(), memory: Mutex::default() }
    }

    /// The host that it is at, for people.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    fn memory(&self) -> MutexGuard<'_, Option<Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One look at the feed, by what is known of the time before. `afresh`: whatever the server says of no change.
    async fn look(&self, before: Memory, afresh: bool) -> Result<(Page, Memory), Fault> {
        let validators = (!afresh).then_some(&before.validators);
        let (octets, validators) = match download::get(&self.url, validators, &self.means).await? {
            Answer::Same => return Ok((quiet(&before), before)),
            Answer::Body { octets, validators } => (octets, validators),
        };
        if !afresh && validators.body == before.validators.body {
            let memory = before.under(validators);
            return Ok((quiet(&memory), memory));
        }
        let reading = tokio::task::spawn_blocking(move || read::read(&octets)).await;
        let reading: Reading = reading.map_err(|_| Fault::Garbled("the feed can't be read".to_owned()))??;
        let (memory, items) = recognise::take(&before, reading, validators, self.means.clock.now());
        let then = Then::Done(Cursor(memory.write()));
        let page = Page { items, gone: Vec::new(), complete: memory.is_whole(), then };
        Ok((page, memory))
    }

    async fn round(&self, before: Memory, afresh: bool) -> Result<Page, Fault> {
        let (page, memory) = self.look(before, afresh).await?;
        *self.memory() = Some(memory);
        Ok(page)
    }

    fn remembered(&self) -> Memory {
        self.memory().clone().unwrap_or_default()
    }

    /// What is known of one item without asking.
    fn known(&self, id: &RemoteId) -> Option<Result<Vec<Item>, Fault>> {
        let memory = self.memory();
        let memory = memory.as_ref()?;
        if let Some(why) = memory.broken(id) {
            return Some(Err(Fault::Garbled(why.to_owned())));
        }
        match memory.shown(id) {
            Some(true) => None,
            // It has left the window that the feed shows: still there, and its content is what was read last.
            Some(false) => Some(Ok(vec![Item::Stub { id: id.clone(), tag: memory.tag(id) }])),
            None => Some(Err(Fault::Gone)),
        }
    }

    fn calendar(&self, memory: &Memory) -> RemoteCalendar {
        let header = &memory.header;
        let mut components = vec![ComponentKind::Event];
        let others = [ComponentKind::Todo, ComponentKind::Journal];
        components.extend(others.into_iter().filter(|kind| header.kinds.iter().any(|name| name == kind.name())));
        RemoteCalendar {
            id: RemoteId::new(CALENDAR),
            name: header.name.clone().unwrap_or_else(|| self.host().to_owned()),
            color: header.color.clone(),
            read_only: true,
            components,
            description: header.description.clone(),
            details: CalendarDetails { time_zone: header.time_zone.clone(), ..CalendarDetails::default() },
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("host", &self.host()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for Feed {
    async fn calendars(&self) -> Result<Vec<RemoteCalendar>, Fault> {
        let known = self.memory().as_ref().map(|memory| self.calendar(memory));
        if let Some(calendar) = known {
            return Ok(vec![calendar]);
        }
        // Not kept: what a round goes by is its cursor.
        let (_, memory) = self.look(Memory::default(), true).await?;
        Ok(vec![self.calendar(&memory)])
    }

    async fn changes(&self, _calendar: &RemoteId, from: &Position) -> Result<Page, Fault> {
        match from {
            Position::Start => self.round(self.remembered(), true).await,
            Position::After(Cursor(octets)) => {
                let before = Memory::read(octets).ok_or(Fault::CursorExpired)?;
                self.round(before, false).await
            }
            Position::Next(PageToken(_)) => Err(Fault::CursorExpired),
        }
    }

    async fn changes_afresh(&self, _calendar: &RemoteId, before: Option<&Cursor>) -> Result<Page, Fault> {
        let before = before.and_then(|Cursor(octets)| Memory::read(octets));
        self.round(before.unwrap_or_else(|| self.remembered()), true).await
    }

    async fn fetch(&self, _calendar: &RemoteId, ids: &[RemoteId]) -> Result<Vec<Item>, Fault> {
        if let [id] = ids
            && let Some(known) = self.known(id)
        {
            return known;
        }
        if !ids.iter().any(|id| self.known(id).is_none()) {
            return Ok(Vec::new());
        }
        let (page, memory) = self.look(self.remembered(), true).await?;
        let found: Vec<Item> = page.items.into_iter().filter(|item| ids.contains(item.id())).collect();
        match ids {
            [id] if found.is_empty() && memory.is_whole() && memory.shown(id).is_none() => Err(Fault::Gone),
            _ => Ok(found),
        }
    }

    async fn create(&self, _: &RemoteId, _: &IdempotencyKey, _: &Change<'_>) -> Result<Written, Fault> {
        Err(read_only())
    }

    async fn update(&self, _: &RemoteId, _: &Version, _: &Change<'_>) -> Result<Written, Fault> {
        Err(read_only())
    }

    async fn delete(&self, _: &RemoteId, _: &Version, _: &Removal<'_>) -> Result<(), Fault> {
        Err(read_only())
    }

    fn poll_interval(&self, _calendar: &RemoteId) -> Option<Duration> {
        self.memory().as_ref()?.header.refresh.map(Duration::from_secs)
    }
}

/// Whose feed `url` is, once it has answered as a calendar: the first of the addresses that the text may mean.
///
/// # Errors
/// The first fault, if none of them answers.
pub async fn subscribe(text: &str, means: &Means) -> Result<(Arc<Feed>, Url, Vec<RemoteCalendar>), Fault> {
    let mut reason = None;
    for url in candidates(text) {
        let feed = Feed::new(url.clone(), means);
        match feed.calendars().await {
            Ok(calendars) => return Ok((Arc::new(feed), url, calendars)),
            Err(fault) => {
                // Only an address that nobody answers at may mean another one.
                let is_final = !matches!(fault, Fault::Unreachable(_));
                reason.get_or_insert(fault);
                if is_final {
                    break;
                }
            }
        }
    }
    Err(reason.unwrap_or_else(|| {
        Fault::Refused("that is no address of a feed: give one with https:// or webcal://".to_owned())
    }))
}

fn quiet(memory: &Memory) -> Page {
    let then = Then::Done(Cursor(memory.write()));
    Page { items: Vec::new(), gone: Vec::new(), complete: false, then }
}

fn read_only() -> Fault {
    Fault::Refused("a feed can only be read".to_owned())
}

/// What the one calendar of a feed is called.
const CALENDAR: &str = "feed";

#[cfg(test)]
mod tests;

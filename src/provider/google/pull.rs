//! Rounds of changes: `events.list` from nothing, or from a sync token.
//!
//! A round is read to its end at once, since the exceptions of a series may lie pages away from it. Its request shape never
//! varies, and is part of the cursor (fault catalogue 5): another shape starts over.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::request::{Aim, Ask};
use super::{Google, group};
use crate::provider::{Cursor, Fault, Item, Page, Position, RemoteId, Then};

/// What a cursor holds.
#[derive(Serialize, Deserialize)]
struct Place {
    shape: u8,
    token: String,
}

/// The items of a round, and where it ended.
struct Round {
    events: Vec<Value>,
    token: Option<String>,
}

impl Google {
    pub(super) async fn round(&self, calendar: &RemoteId, from: &Position) -> Result<Page, Fault> {
        let before = match from {
            Position::Start => None,
            Position::After(cursor) => Some(read(cursor).ok_or(Fault::CursorExpired)?),
            // A round has one page here.
            Position::Next(_) => return Err(Fault::CursorExpired),
        };
        let round = self.pages(calendar, before.as_ref()).await?;
        let Some(token) = round.token else {
            // Without it the next round could not begin; the old cursor stays (4).
            return Err(Fault::Garbled("Google's listing ended without a sync token".to_owned()));
        };
        let (items, gone) = match before {
            None => (self.listed(calendar, round.events), Vec::new()),
            Some(_) => self.changed(calendar, round.events),
        };
        let then = Then::Done(write(token));
        Ok(Page { items, gone, complete: from == &Position::Start, then })
    }

    async fn pages(&self, calendar: &RemoteId, before: Option<&Place>) -> Result<Round, Fault> {
        let aim = if before.is_some() { Aim::Round } else { Aim::Calendar };
        let (mut events, mut seen, mut page) = (Vec::new(), HashSet::new(), None::<String>);
        for _ in 0..PAGES {
            let mut ask = Ask::get(&["calendars", calendar.as_str(), "events"]).query("maxResults", "2500");
            if let Some(place) = before {
                ask = ask.query("syncToken", place.token.clone());
            }
            if let Some(page) = &page {
                ask = ask.query("pageToken", page.clone());
            }
            let mut reply = self.ask(ask, aim).await?;
            self.learn(calendar, &reply);
            match reply.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => events.extend(items),
                // A page may be empty and the listing go on (3), but one without the member is no page.
                _ => return Err(Fault::Garbled("Google's listing has no items".to_owned())),
            }
            let text = |name: &str| reply.get(name).and_then(Value::as_str).map(str::to_owned);
            match text("nextPageToken") {
                None => return Ok(Round { events, token: text("nextSyncToken") }),
                Some(next) if seen.insert(next.clone()) => page = Some(next),
                Some(_) => break,
            }
        }
        Err(Fault::Garbled("Google's listing has no end".to_owned()))
    }

    /// What a listing says of its calendar.
    pub(super) fn learn(&self, calendar: &RemoteId, reply: &Value) {
        let mut known = self.known();
        let seen = known.calendars.entry(calendar.as_str().to_owned()).or_default();
        if let Some(zone) = reply.get("timeZone").and_then(Value::as_str) {
            seen.zone = Some(zone.to_owned());
        }
        if let Some(Value::Array(reminders)) = reply.get("defaultReminders") {
            seen.reminders.clone_from(reminders);
        }
    }

    /// All that a full listing names, series joined with their exceptions.
    fn listed(&self, calendar: &RemoteId, events: Vec<Value>) -> Vec<Item> {
        let context = self.context(calendar);
        let mut groups: BTreeMap<String, group::Group> = BTreeMap::new();
        for event in events {
            if let Some(id) = group::id_of(&event) {
                self.remember(&event);
                groups.entry(id).or_default().add(event);
            }
        }
        groups.into_iter().filter_map(|(id, group)| group.item(&id, &context)).collect()
    }

    /// What a round after a token tells: single events as they are, series to be read whole, and what is gone.
    fn changed(&self, calendar: &RemoteId, events: Vec<Value>) -> (Vec<Item>, Vec<RemoteId>) {
        let context = self.context(calendar);
        let (mut items, mut gone) = (BTreeMap::new(), Vec::new());
        for event in events {
            let Some(id) = group::id_of(&event) else { continue };
            self.remember(&event);
            let is_exception = event.get("recurringEventId").is_some();
            let remote = RemoteId::new(id.clone());
            if group::is_cancelled(&event) && !is_exception {
                items.remove(&id);
                gone.push(remote);
            } else if is_exception || event.get("recurrence").is_some() {
                gone.retain(|one| *one != remote || is_exception);
                items.insert(id, Some(Item::Stub { id: remote, tag: None }));
            } else {
                gone.retain(|one| *one != remote);
                let mut single = group::Group::default();
                single.add(event);
                let item = single.item(&id, &context);
                items.insert(id, item);
            }
        }
        // An exception of a series that is itself gone is no news.
        let departed: HashSet<&str> = gone.iter().map(RemoteId::as_str).collect();
        let items = items.into_iter().filter(|(id, _)| !departed.contains(id.as_str())).filter_map(|(_, item)| item);
        (items.collect(), gone)
    }

    pub(super) fn remember(&self, event: &Value) {
        let uid = event.get("iCalUID").and_then(Value::as_str);
        if let (Some(id), Some(uid)) = (group::id_of(event), uid)
            && (event.get("recurrence").is_some() || event.get("recurringEventId").is_some())
        {
            self.known().uids.insert(id, uid.to_owned());
        }
    }
}

fn read(cursor: &Cursor) -> Option<Place> {
    let place: Place = serde_json::from_slice(&cursor.0).ok()?;
    (place.shape == SHAPE).then_some(place)
}

fn write(token: String) -> Cursor {
    Cursor(Bytes::from(serde_json::to_vec(&Place { shape: SHAPE, token }).unwrap_or_default()))
}

/// Counts up when the parameters of a listing change.
const SHAPE: u8 = 1;
/// 2,500 events each.
const PAGES: usize = 1_000;

//! A single event, or a series with its exceptions: one object here.

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::request::{Aim, Ask};
use super::{Google, map};
use crate::provider::{Fault, Item, RemoteId, RemoteTag, Version};

/// The items of one object. An exception may come without its master: the person was invited to that instance alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) master: Option<Value>,
    pub(super) exceptions: Vec<Value>,
}

/// The id of the object that an event belongs to.
pub(super) fn id_of(event: &Value) -> Option<String> {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    text("recurringEventId").or_else(|| text("id")).map(str::to_owned)
}

pub(super) fn is_cancelled(event: &Value) -> bool {
    event.get("status").and_then(Value::as_str) == Some("cancelled")
}

pub(super) fn text<'a>(event: &'a Value, name: &str) -> Option<&'a str> {
    event.get(name).and_then(Value::as_str)
}

impl Group {
    pub(super) fn add(&mut self, event: Value) {
        if event.get("recurringEventId").is_none() {
            self.master = Some(event);
            return;
        }
        // Of two states of one exception the later counts.
        self.exceptions.retain(|one| one.get("id") != event.get("id"));
        self.exceptions.push(event);
    }

    /// Whether nothing of it is there any more.
    pub(super) fn is_gone(&self) -> bool {
        match &self.master {
            Some(master) => is_cancelled(master),
            None => self.exceptions.iter().all(is_cancelled),
        }
    }

    /// Its tag: the master's, with a sum over the exceptions' where there are any.
    pub(super) fn tag(&self) -> Option<RemoteTag> {
        let master = match &self.master {
            Some(master) => text(master, "etag")?,
            None => "",
        };
        if self.exceptions.is_empty() {
            return Some(RemoteTag::new(master));
        }
        let mut marks: Vec<String> = self
            .exceptions
            .iter()
            .map(|one| format!("{} {}\n", text(one, "id").unwrap_or_default(), text(one, "etag").unwrap_or_default()))
            .collect();
        marks.sort_unstable();
        let sum = data_encoding::HEXLOWER.encode(&Sha256::digest(marks.concat()));
        Some(RemoteTag::new(format!("{master}+{}", sum.get(..16).unwrap_or(&sum))))
    }

    pub(super) fn octets(&self, context: &map::Context) -> Bytes {
        Bytes::from(map::to_ical(self.master.as_ref(), &self.exceptions, context))
    }

    pub(super) fn item(&self, id: &str, context: &map::Context) -> Option<Item> {
        if self.is_gone() {
            return None;
        }
        let version = Version { id: RemoteId::new(id), tag: self.tag() };
        Some(Item::Full { version, object: self.octets(context) })
    }

    /// The exception of the instance that would have begun at `start`.
    pub(super) fn exception(&self, start: &str) -> Option<&Value> {
        self.exceptions.iter().find(|one| map::instance_key(one).as_deref() == Some(start))
    }
}

impl Google {
    pub(super) async fn fetch_all(&self, calendar: &RemoteId, ids: &[RemoteId]) -> Result<Vec<Item>, Fault> {
        let context = self.context(calendar);
        let mut items = Vec::new();
        for id in ids {
            match self.group(calendar, id.as_str()).await {
                Ok(group) => items.extend(group.item(id.as_str(), &context)),
                Err(Fault::Gone) if ids.len() > 1 => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(items)
    }

    /// All that is there of one object; `Gone` if nothing is.
    pub(super) async fn group(&self, calendar: &RemoteId, id: &str) -> Result<Group, Fault> {
        let master = match self.ask(Ask::get(&["calendars", calendar.as_str(), "events", id]), Aim::Event).await {
            Ok(event) => Some(event),
            Err(Fault::Gone) => None,
            Err(fault) => return Err(fault),
        };
        if let Some(event) = &master {
            self.remember(event);
            if is_cancelled(event) {
                return Err(Fault::Gone);
            }
            if event.get("recurrence").is_none() {
                return Ok(Group { master, exceptions: Vec::new() });
            }
        }
        let uid = self.known().uids.get(id).cloned();
        let Some(uid) = uid else {
            // Nothing is known by this name but, perhaps, exceptions without a master: they are looked for in all.
            return match master {
                Some(_) => Ok(Group { master, exceptions: Vec::new() }),
                // An id that we have made is no series that somebody else invited to.
                None if id.starts_with(super::write::OURS) => Err(self.gone(calendar).await),
                None => self.orphans(calendar, id, None).await,
            };
        };
        let found = self.orphans(calendar, id, Some(&uid)).await;
        match (found, master) {
            (Ok(found), Some(master)) => Ok(Group { master: Some(found.master.unwrap_or(master)), ..found }),
            (Ok(found), None) => Ok(Group { master: None, ..found }),
            (Err(Fault::Gone), Some(master)) => Ok(Group { master: Some(master), exceptions: Vec::new() }),
            (Err(fault), _) => Err(fault),
        }
    }

    /// What a listing has of the object `id`: that of one UID, which master and exceptions share, or all.
    async fn orphans(&self, calendar: &RemoteId, id: &str, uid: Option<&str>) -> Result<Group, Fault> {
        let (mut group, mut page) = (Group::default(), None::<String>);
        for _ in 0..PAGES {
            let mut ask = Ask::get(&["calendars", calendar.as_str(), "events"])
                .query("maxResults", "2500")
                .query("showDeleted", "true");
            if let Some(uid) = uid {
                ask = ask.query("iCalUID", uid);
            }
            if let Some(page) = &page {
                ask = ask.query("pageToken", page.clone());
            }
            let mut reply = self.ask(ask, Aim::Calendar).await?;
            if let Some(Value::Array(events)) = reply.get_mut("items").map(Value::take) {
                events
                    .into_iter()
                    .filter(|event| id_of(event).as_deref() == Some(id))
                    .for_each(|event| group.add(event));
            }
            match text(&reply, "nextPageToken") {
                Some(next) => page = Some(next.to_owned()),
                None if group.master.is_none() && group.exceptions.is_empty() => return Err(self.gone(calendar).await),
                None if group.is_gone() => return Err(Fault::Gone),
                None => return Ok(group),
            }
        }
        Err(Fault::Garbled("Google's listing has no end".to_owned()))
    }
}

const PAGES: usize = 1_000;

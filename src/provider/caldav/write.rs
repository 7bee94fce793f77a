//! Creating, updating and deleting objects (RFC 4791 5.3.2), each under a condition.
//!
//! `If-Match: *` is never sent: several servers take it for its opposite. Two things that servers promise are tried
//! once per account before they are believed: that `If-None-Match: *` protects what is there, and that an entity tag
//! in the answer to PUT means that the octets were stored as sent.
//! Invariant: nothing is overwritten that was not known; what the server holds afterwards is reported truly.

use std::sync::PoisonError;

use bytes::Bytes;
use http::header::{IF_MATCH, IF_NONE_MATCH, LOCATION};
use http::{HeaderName, Method, StatusCode};
use url::Url;

use super::CalDav;
use super::fault::{Aim, fault};
use super::fetch::{Got, etag_of};
use super::place::{resolve, same_resource};
use super::request::{self, Holder, Listing, precondition, uid_conflict};
use super::session::{Ask, Reply};
use crate::ical::{Component, DateOrTime, Object, Property, fold_line};
use crate::provider::{Fault, IdempotencyKey, Item, Notify, Position, RemoteId, Stored, Then, Version, Written};

/// What this account's server was seen to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Abilities {
    /// `If-None-Match: *` keeps an existing object.
    pub(super) protects_existing: Option<bool>,
    /// An entity tag in the answer to PUT means: stored as sent.
    pub(super) tag_means_stored: Option<bool>,
    /// An event needs DTEND or DURATION, which RFC 5545 3.6.1 leaves open.
    pub(super) wants_end: bool,
    /// A UID is taken in one calendar of the account only.
    pub(super) one_uid: bool,
    /// It has no MOVE.
    pub(super) moves_not: bool,
}

impl CalDav {
    /// Where [`CalDav::create_object`] puts what it creates.
    pub(super) fn created_id(&self, calendar: &RemoteId, key: &IdempotencyKey) -> Option<RemoteId> {
        let url = member_url(&self.url(calendar).ok()?, key).ok()?;
        self.learn(&url).ok()
    }

    pub(super) async fn create_object(
        &self,
        calendar: &RemoteId,
        key: &IdempotencyKey,
        object: &Object,
    ) -> Result<Written, Fault> {
        let collection = self.url(calendar)?;
        let url = member_url(&collection, key)?;
        let id = self.learn(&url)?;
        let protects = self.abilities().protects_existing;
        if protects != Some(true) {
            match self.version_if_there(&id).await {
                Ok(Some(there)) => return Err(Fault::Exists(Some(there))),
                Ok(None) => {}
                Err(fault) => return Err(self.own_or_of_all(&collection, fault).await),
            }
        }
        let put = |octets: &Bytes| Ask::new(Method::PUT, &url).calendar(octets.clone()).header(IF_NONE_MATCH, "*");
        let (reply, sent) = self.put(&id, object, put).await?;
        if !reply.status.is_success() {
            return Err(self.why_not_created(&collection, &id, &reply, object).await);
        }
        if protects.is_none() {
            // The same octets once more: a server that keeps the promise refuses them, any other loses nothing.
            let second = self.ask(put(&sent)).await;
            let kept = second.as_ref().is_ok_and(|reply| reply.status == StatusCode::PRECONDITION_FAILED);
            let broken = second.as_ref().is_ok_and(|reply| reply.status.is_success());
            self.learn_ability(|abilities| abilities.protects_existing = (kept || broken).then_some(kept));
            if broken {
                // It has another tag now.
                return self.read_back(&id, &sent).await;
            }
        }
        self.written(id, &reply, &sent).await
    }

    pub(super) async fn update_object(
        &self,
        calendar: &RemoteId,
        version: &Version,
        object: &Object,
    ) -> Result<Written, Fault> {
        let id = &version.id;
        let collection = self.url(calendar)?;
        let put = match self.conditional(Ask::new(Method::PUT, &self.url(id)?), version).await {
            Ok(put) => put,
            Err(fault) => return Err(self.own_or_of_all(&collection, fault).await),
        };
        let (reply, sent) = self.put(id, object, |octets| put.clone().calendar(octets.clone())).await?;
        if reply.status.is_success() {
            return self.written(id.clone(), &reply, &sent).await;
        }
        if let Some(holder) = uid_conflict(&reply) {
            return Err(self.taken(holder, &collection, object.uid()).await);
        }
        let found = self.why_not_matched(id, &reply).await;
        Err(self.judged(&collection, &reply, found).await)
    }

    /// The answer to a PUT of `object`, and the octets that were sent with it. A server that refuses an event without an
    /// end (iCloud does with 404 or 403) gets it with the end that it has by RFC 5545 3.6.1, from then on at once.
    async fn put(
        &self,
        id: &RemoteId,
        object: &Object,
        ask: impl Fn(&Bytes) -> Ask + Send + Sync,
    ) -> Result<(Reply, Bytes), Fault> {
        let octets = object.octets().clone();
        let ended = with_end(object);
        if let Some(ended) = ended.clone().filter(|_| self.abilities().wants_end) {
            return Ok((answered(self.ask_about(id, ask(&ended)).await?)?, ended));
        }
        let reply = answered(self.ask_about(id, ask(&octets)).await?)?;
        // One that says why wants something else.
        let may_want_end = matches!(reply.status.as_u16(), 400 | 403 | 404 | 422) && precondition(&reply).is_none();
        if let Some(ended) = ended.filter(|_| may_want_end) {
            let second = answered(self.ask_about(id, ask(&ended)).await?)?;
            if second.status.is_success() {
                self.learn_ability(|abilities| abilities.wants_end = true);
                return Ok((second, ended));
            }
        }
        Ok((reply, octets))
    }

    pub(super) async fn delete_object(
        &self,
        calendar: &RemoteId,
        version: &Version,
        notify: Notify,
    ) -> Result<(), Fault> {
        let id = &version.id;
        let mut delete = Ask::new(Method::DELETE, &self.url(id)?);
        if notify == Notify::Nobody {
            // RFC 6638 8.1: a server that schedules would answer the organizer in the person's name.
            delete = delete.header(HeaderName::from_static("schedule-reply"), "F");
        }
        let collection = self.url(calendar)?;
        let delete = match self.conditional(delete, version).await {
            Ok(delete) => delete,
            Err(fault) => return Err(self.own_or_of_all(&collection, fault).await),
        };
        let reply = answered(self.ask_about(id, delete).await?)?;
        if reply.status.is_success() {
            return Ok(());
        }
        match self.why_not_matched(id, &reply).await {
            Fault::Gone => Err(Fault::Gone),
            other => Err(self.judged(&collection, &reply, other).await),
        }
    }

    /// A refusal that names no reason is the object's own only if the server answers about the calendar. A limit that says
    /// no more than 403 (iCloud), and somebody in between who answers everything alike, have refused no object.
    async fn judged(&self, calendar: &Url, reply: &Reply, found: Fault) -> Fault {
        if precondition(reply).is_some() { found } else { self.own_or_of_all(calendar, found).await }
    }

    async fn own_or_of_all(&self, calendar: &Url, found: Fault) -> Fault {
        match found {
            Fault::Refused(_) | Fault::Forbidden(_) => self.trouble_of_all(calendar).await.unwrap_or(found),
            found => found,
        }
    }

    /// What keeps the server from answering about the calendar at all, if anything does.
    pub(super) async fn trouble_of_all(&self, calendar: &Url) -> Option<Fault> {
        let answer = match self.ask(request::ctag(calendar)).await {
            Ok(answer) => answer,
            Err(fault) => return Some(fault),
        };
        match Listing::read(&answer, Aim::Calendar, self.now()) {
            Ok(_) => None,
            Err(Fault::Refused(why) | Fault::Forbidden(why) | Fault::Garbled(why)) => Some(Fault::Unreachable(why)),
            Err(fault) => Some(fault),
        }
    }

    /// The request under the condition that the object is still at `version`. Without a known tag the server is
    /// asked for one first, so that at least nothing slips in between reading and writing.
    pub(super) async fn conditional(&self, ask: Ask, version: &Version) -> Result<Ask, Fault> {
        let tag = match &version.tag {
            Some(tag) => Some(tag.clone()),
            None => self.get(&version.id).await?.version.tag,
        };
        Ok(match tag {
            Some(tag) => ask.header(IF_MATCH, tag.as_str()),
            None => ask,
        })
    }

    /// What a failed condition means: changed, or not there any more.
    async fn why_not_matched(&self, id: &RemoteId, reply: &Reply) -> Fault {
        let found = fault(reply, Aim::Object, self.now());
        if found != Fault::Changed {
            return found;
        }
        match self.version_if_there(id).await {
            Ok(Some(_)) => Fault::Changed,
            Ok(None) => Fault::Gone,
            Err(other) => other,
        }
    }

    async fn why_not_created(&self, collection: &Url, id: &RemoteId, reply: &Reply, object: &Object) -> Fault {
        if let Some(holder) = uid_conflict(reply) {
            return self.taken(holder, collection, object.uid()).await;
        }
        let found = fault(reply, Aim::Object, self.now());
        match found {
            // By name if it is there; else by UID, for servers that say 412 for a UID that is taken (Xandikos).
            Fault::Changed => match self.version_if_there(id).await {
                Ok(Some(version)) => Fault::Exists(Some(version)),
                Ok(None) => self.held(Holder::Unknown, collection, object.uid()).await,
                Err(other) => other,
            },
            // A folder that isn't there answers 409 (RFC 4918 9.7.1) or 404.
            Fault::Gone | Fault::Refused(_) if matches!(reply.status.as_u16(), 404 | 409 | 410) => {
                match self.ask(request::ctag(collection)).await {
                    Ok(answer) => match Listing::read(&answer, Aim::Calendar, self.now()) {
                        Ok(_) => {
                            Fault::Refused(format!("the server answers {} to a new object", reply.status.as_u16()))
                        }
                        Err(other) => other,
                    },
                    Err(other) => other,
                }
            }
            other => self.judged(collection, reply, other).await,
        }
    }

    /// The fault of an object that the server refuses for its UID.
    async fn taken(&self, holder: Holder, collection: &Url, uid: &str) -> Fault {
        let found = self.held(holder, collection, uid).await;
        if found == Fault::Exists(None) {
            // Taken, and not in this calendar: the account has a UID once (Cyrus, iCloud, Yahoo).
            self.learn_ability(|abilities| abilities.one_uid = true);
        }
        found
    }

    /// The fault of an object whose UID is taken.
    async fn held(&self, holder: Holder, collection: &Url, uid: &str) -> Fault {
        let found = match holder {
            // In another calendar of the account, where this one must not look for it.
            Holder::Known(url) if !is_inside(collection, &url) => Ok(None),
            Holder::Known(url) => match self.learn(&url) {
                Ok(id) => self.version_if_there(&id).await,
                Err(other) => Err(other),
            },
            Holder::Unknown => self.find_holder(collection, uid).await,
        };
        match found {
            Ok(version) => Fault::Exists(version),
            Err(other) => other,
        }
    }

    /// The object with this UID in the calendar. Filtered queries can't be relied on, so all of them are read; this
    /// happens once per conflict.
    async fn find_holder(&self, collection: &Url, uid: &str) -> Result<Option<Version>, Fault> {
        let calendar = self.learn(collection)?;
        let mut from = Position::Start;
        for _page in 0..PAGES {
            let page = self.changes_since(&calendar, &from).await?;
            let ids: Vec<RemoteId> = page.items.iter().map(|item| item.id().clone()).collect();
            for batch in ids.chunks(50) {
                for item in self.fetch_all(&calendar, batch).await? {
                    if let Item::Full { version, object } = item
                        && Object::parse(object).is_ok_and(|object| object.uid() == uid)
                    {
                        return Ok(Some(version));
                    }
                }
            }
            match page.then {
                Then::Next(token) => from = Position::Next(token),
                Then::Done(_) => break,
            }
        }
        Ok(None)
    }

    /// The object with this UID, wherever it has it from.
    pub(super) async fn find_uid(&self, calendar: &RemoteId, uid: &str) -> Result<Option<RemoteId>, Fault> {
        let collection = self.url(calendar)?;
        Ok(self.find_holder(&collection, uid).await?.map(|version| version.id))
    }

    pub(super) async fn version_if_there(&self, id: &RemoteId) -> Result<Option<Version>, Fault> {
        match self.get(id).await {
            Ok(Got { version, .. }) => Ok(Some(version)),
            Err(Fault::Gone) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// What the server holds after a write that it took.
    async fn written(&self, id: RemoteId, reply: &Reply, sent: &Bytes) -> Result<Written, Fault> {
        let id = match moved_to(reply) {
            Some(url) => self.learn(&url)?,
            None => id,
        };
        let tag = etag_of(reply).filter(|_| !is_weak(reply) && moved_to(reply).is_none());
        match (tag, self.abilities().tag_means_stored) {
            (Some(tag), Some(true)) => Ok(Written { version: Version { id, tag: Some(tag) }, stored: Stored::AsSent }),
            (None, _) | (_, Some(false)) => self.read_back(&id, sent).await,
            (Some(_), None) => {
                let written = self.read_back(&id, sent).await?;
                let as_sent = written.stored == Stored::AsSent;
                self.learn_ability(|abilities| abilities.tag_means_stored = Some(as_sent));
                Ok(written)
            }
        }
    }

    pub(super) async fn read_back(&self, id: &RemoteId, sent: &Bytes) -> Result<Written, Fault> {
        match self.get(id).await {
            Ok(got) if got.octets == *sent => Ok(Written { version: got.version, stored: Stored::AsSent }),
            Ok(got) => Ok(Written { version: got.version, stored: Stored::Different(got.octets) }),
            // It was taken a moment ago and is nowhere now: nothing can be said, and nothing must be concluded.
            Err(Fault::Gone) => Err(Fault::Garbled("the server took an object and does not have it".to_owned())),
            Err(other) => Err(other),
        }
    }

    /// Whether the account has a UID once, whatever the calendar.
    pub(super) fn takes_a_uid_once(&self) -> bool {
        self.abilities().one_uid
    }

    /// Whether the server may have MOVE.
    pub(super) fn moves(&self) -> bool {
        !self.abilities().moves_not
    }

    fn abilities(&self) -> Abilities {
        *self.abilities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn learn_ability(&self, learn: impl FnOnce(&mut Abilities)) {
        learn(&mut self.abilities.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The answer to a write, unless it is a page of somebody in between who has not passed it on: that is no success.
pub(super) fn answered(reply: Reply) -> Result<Reply, Fault> {
    let start = reply.body.trim_ascii_start();
    let is_page = [&b"<!doctype html"[..], b"<html"]
        .iter()
        .any(|page| start.get(..page.len()).is_some_and(|start| start.eq_ignore_ascii_case(page)));
    // A multistatus answers no PUT, and a DELETE only to say what was not deleted (RFC 4918 9.6.1).
    if reply.status == StatusCode::MULTI_STATUS || (reply.status.is_success() && is_page) {
        return Err(Fault::Garbled("the answer to a write does not say whether it was carried out".to_owned()));
    }
    Ok(reply)
}

/// Whether `url` names something in the folder.
fn is_inside(folder: &Url, url: &Url) -> bool {
    url.join(".").is_ok_and(|parent| same_resource(&parent, folder))
}

/// The object with an end in every event that has none; `None` if all have one.
fn with_end(object: &Object) -> Option<Bytes> {
    let octets = object.octets();
    let (mut out, mut at) = (Vec::with_capacity(octets.len() + 32), 0);
    let endless =
        |event: &&Component| event.is("VEVENT") && ["DTEND", "DURATION"].iter().all(|n| event.property(n).is_none());
    for start in object.members().filter(endless).filter_map(|event| event.property("DTSTART")) {
        let line = end_of(start)?;
        let span = start.span();
        out.extend_from_slice(octets.get(at..span.end)?);
        out.extend(fold_line(&line));
        at = span.end;
    }
    if at == 0 {
        return None;
    }
    out.extend_from_slice(octets.get(at..)?);
    Some(out.into())
}

/// The DTEND line of an event that begins at `start`: the next day of a date, the moment itself of a time.
fn end_of(start: &Property) -> Option<String> {
    let rest = start.line().get("DTSTART".len()..)?;
    let moment = DateOrTime::parse(start).ok()?;
    if !moment.is_date() {
        return Some(format!("DTEND{rest}"));
    }
    let next = moment.civil().date().tomorrow().ok()?;
    Some(format!("DTEND;VALUE=DATE:{}", next.strftime("%Y%m%d")))
}

/// Where an object that is made from `key` lives.
pub(super) fn member_url(collection: &Url, key: &IdempotencyKey) -> Result<Url, Fault> {
    let mut folder = collection.clone();
    if !folder.path().ends_with('/') {
        folder.set_path(&format!("{}/", collection.path()));
    }
    folder
        .join(&format!("{}.ics", key.as_str()))
        .map_err(|_| Fault::Garbled("a calendar that is no address".to_owned()))
}

/// Where the server has put the object, if it says that this is somewhere else than asked.
fn moved_to(reply: &Reply) -> Option<Url> {
    [LOCATION, HeaderName::from_static("content-location")]
        .iter()
        .filter_map(|name| reply.headers.get(name)?.to_str().ok())
        .filter_map(|text| resolve(&reply.url, text))
        .find(|url| url.origin() == reply.url.origin() && !same_resource(url, &reply.url))
}

fn is_weak(reply: &Reply) -> bool {
    reply.headers.get(http::header::ETAG).is_some_and(|value| value.as_bytes().starts_with(b"W/"))
}

/// No calendar is read further than this in search of a UID.
const PAGES: usize = 200;

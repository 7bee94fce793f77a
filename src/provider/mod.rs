//! One remote calendar service, translated: what every provider can do, in words that no provider owns.
//!
//! A [`Provider`] is bound to one account. It lists calendars, tells what changed since a position, fetches,
//! creates, updates and deletes single objects, and maps whatever the service answers to a [`Fault`].
//!
//! Invariant: an answer that is empty, cut short or not understood is a [`Fault`], never an empty [`Page`];
//! absence is proven only by a round whose pages say `complete`.
//! It never retries (that is `jobs`), never stores anything, and never decides who wins (that is `sync`).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use jiff::Timestamp;

use crate::ical::{ComponentKind, Object};
use crate::vault::Secret;

pub mod caldav;
pub mod google;
pub mod ics;
pub mod microsoft;

/// A remote calendar service, seen through one account.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// Every calendar of the account. An empty list is an answer, not proof that they are gone.
    async fn calendars(&self) -> Result<Vec<RemoteCalendar>, Fault>;

    /// What is new in `calendar` since `from`, one page of it.
    async fn changes(&self, calendar: &RemoteId, from: &Position) -> Result<Page, Fault>;

    /// A full listing. `before` is where the last round ended, for providers that recognise by it what has got another
    /// name since.
    async fn changes_afresh(&self, calendar: &RemoteId, _before: Option<&Cursor>) -> Result<Page, Fault> {
        self.changes(calendar, &Position::Start).await
    }

    /// Whether the items of a listing are as whole as those of [`Provider::fetch`].
    fn lists_whole(&self) -> bool {
        true
    }

    /// After what time the calendar itself asks to be looked at again. Whoever looks sets bounds to it.
    fn poll_interval(&self, _calendar: &RemoteId) -> Option<Duration> {
        None
    }

    /// The objects behind `ids`. An id that the service proves gone, or fails on, is left out of the answer;
    /// whoever must know which asks for that one alone: `Fault::Gone` is proof, anything else is not.
    async fn fetch(&self, calendar: &RemoteId, ids: &[RemoteId]) -> Result<Vec<Item>, Fault>;

    /// The identity that [`Provider::create`] with `key` gives, where that can be told beforehand.
    fn identity(&self, _calendar: &RemoteId, _key: &IdempotencyKey) -> Option<RemoteId> {
        None
    }

    /// What an earlier [`Provider::create`] with `key` made of the object with this UID, as far as it can be found.
    async fn made(&self, calendar: &RemoteId, key: &IdempotencyKey, _uid: &str) -> Result<Option<RemoteId>, Fault> {
        Ok(self.identity(calendar, key))
    }

    /// The object with this UID in the calendar, whoever made it, as far as it can be found.
    async fn find(&self, calendar: &RemoteId, key: &IdempotencyKey, uid: &str) -> Result<Option<RemoteId>, Fault> {
        self.made(calendar, key, uid).await
    }

    /// Moves an object that is still at `version` between two calendars of the account, from the first to the second: it stays the
    /// object that it is, neither deleted nor made anew, so that nobody is told of either. What it is to become goes along
    /// only as far as the service takes that; what it holds then is in the answer. `None`: nothing was done, and nothing
    /// like it can be. [`Fault::Gone`]: it is not there (any more), perhaps because it was moved before.
    async fn relocate(
        &self,
        _places: (&RemoteId, &RemoteId),
        _version: &Version,
        _key: &IdempotencyKey,
        _change: &Change<'_>,
    ) -> Result<Option<Written>, Fault> {
        Ok(None)
    }

    /// Creates the object under an identity that follows from `key`, so that a second try cannot double it.
    async fn create(&self, calendar: &RemoteId, key: &IdempotencyKey, change: &Change<'_>) -> Result<Written, Fault>;

    /// Makes the object at `version` what `change` says, if it is still that version.
    async fn update(&self, calendar: &RemoteId, version: &Version, change: &Change<'_>) -> Result<Written, Fault>;

    /// Removes the object at `version` if it is still that version. Already gone is success, or `Fault::Gone` where it may
    /// have another id now ([`Provider::renames`]).
    async fn delete(&self, calendar: &RemoteId, version: &Version, removal: &Removal<'_>) -> Result<(), Fault>;

    /// Whether an item may go on under another id that nothing but a listing tells, so that one which is not where it was is
    /// not gone for that.
    fn renames(&self) -> bool {
        false
    }

    /// Whether the account takes a UID only once, whatever the calendar, so that a move has to delete before it creates.
    fn deletes_first(&self) -> bool {
        false
    }

    /// Whether what is at `from` can go to another calendar of the account, which is a creation there and a deletion here.
    /// `Fault::Refused` where others would be mailed about it and nothing keeps the service from that.
    async fn may_move(&self, _from: &RemoteId) -> Result<(), Fault> {
        Ok(())
    }

    /// The addresses under which the account itself is organizer or attendee, the main one first. None where the
    /// service does not tell.
    async fn addresses(&self) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }

    /// Where its calendars are, for services that have to be looked for; kept with the account when it changes.
    fn homes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether [`Provider::watch`] is worth asking.
    fn can_watch(&self) -> bool {
        false
    }

    /// Has the service call `hook` when `calendar` (`None`: the list of calendars) changes. `None`: it does not.
    async fn watch(&self, _calendar: Option<&RemoteId>, _hook: &Hook) -> Result<Option<Channel>, Fault> {
        Ok(None)
    }

    /// Makes a channel last longer. Where the service can't, a new one under `hook`; the old one is then still open,
    /// which the different id tells.
    async fn renew(
        &self,
        calendar: Option<&RemoteId>,
        hook: &Hook,
        _channel: &Channel,
    ) -> Result<Option<Channel>, Fault> {
        self.watch(calendar, hook).await
    }

    /// Ends a channel. One that has ended is success.
    async fn unwatch(&self, _channel: &Channel) -> Result<(), Fault> {
        Ok(())
    }
}

/// An access token for a provider's requests, kept fresh by whoever holds the account's secrets.
#[async_trait]
pub trait Tokens: fmt::Debug + Send + Sync + 'static {
    /// A token that should be good now. Asked for before every request; one refresh serves all who wait.
    async fn access(&self) -> Result<Secret, Fault>;

    /// The service refused `token`: the next [`Tokens::access`] gives another one. A request is repeated once after
    /// this; a second refusal is [`Fault::Unauthorized`].
    async fn refused(&self, token: &Secret);
}

/// An object on its way to a provider.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// What is to be there.
    pub object: &'a Object,
    /// What both sides last agreed on, as the provider held it; unknown where nothing was agreed. Providers that
    /// change single members send what differs from it.
    pub base: Option<&'a Object>,
    /// Whether people other than the account's owner may be told by the provider.
    pub notify: Notify,
}

impl<'a> Change<'a> {
    /// The object with nothing known before, and nobody told.
    pub fn of(object: &'a Object) -> Self {
        Self { object, base: None, notify: Notify::Nobody }
    }
}

/// An object on its way out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Removal<'a> {
    /// What both sides last agreed on, as the provider held it.
    pub base: Option<&'a Object>,
    /// Whether people other than the account's owner may be told by the provider.
    pub notify: Notify,
}

/// Whom the provider may tell of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notify {
    /// Nobody. Where the service can't be kept from telling, the write is refused by it or left out, never made.
    #[default]
    Nobody,
    /// The attendees, or of a guest's answer the organizer.
    Attendees,
}

/// Where a service sends word that something has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The address it posts to.
    pub url: String,
    /// A new id for the channel, for services that let us choose it: letters, digits and `-`, at most 64.
    pub id: String,
    /// What it has to say so that it is believed, at most 128 characters.
    pub token: Secret,
    /// Until when it is wanted; the service may say sooner.
    pub until: Timestamp,
}

/// An open channel of notifications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its id, which notifications name.
    pub id: String,
    /// What the service calls that which is watched; empty where it doesn't.
    pub resource: String,
    /// When it ends by itself.
    pub expires: Timestamp,
}

/// What a provider calls one of its calendars or objects: opaque, stable, and equal when the thing is the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RemoteId(String);

impl RemoteId {
    /// The id with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, as keys of records hold it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RemoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A provider's mark of an object's content: equal marks mean equal content, different ones prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RemoteTag(String);

impl RemoteTag {
    /// The tag with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the remote identity of a new object is made from. The same key names the same object for ever.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// A key from `text`: letters, digits and `-` stay, anything else becomes `-`, so that it fits every provider.
    pub fn new(text: &str) -> Self {
        Self(text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A calendar as its provider describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCalendar {
    /// Its name for requests and records.
    pub id: RemoteId,
    /// Its name for people.
    pub name: String,
    /// `#RRGGBB` or `#RRGGBBAA`, as the provider has it.
    pub color: Option<String>,
    /// The provider takes no changes here.
    pub read_only: bool,
    /// What it may hold.
    pub components: Vec<ComponentKind>,
    /// A longer text, where there is one.
    pub description: Option<String>,
    /// What else is known of it.
    pub details: CalendarDetails,
}

/// What some services say of a calendar beyond its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarDetails {
    /// Its time zone by IANA name.
    pub time_zone: Option<String>,
    /// Only when somebody is busy can be seen, not with what.
    pub busy_only: bool,
    /// The person has hidden it there.
    pub hidden: bool,
    /// It is the account's main one.
    pub primary: bool,
}

/// From where changes are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// From nothing: a full listing.
    Start,
    /// After a finished round.
    After(Cursor),
    /// The next page of a round under way.
    Next(PageToken),
}

/// Where a finished round ended. Only the provider that made it can read it. A secret of the account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor(pub Bytes);

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({} octets)", self.0.len())
    }
}

/// Where the next page of a round begins. Worth nothing once the round is over. A secret of the account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageToken(pub Bytes);

impl fmt::Debug for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageToken({} octets)", self.0.len())
    }
}

/// One page of a round of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// New and changed objects (in a full listing: all of them).
    pub items: Vec<Item>,
    /// Objects that the provider itself says are gone.
    pub gone: Vec<RemoteId>,
    /// This round is a full listing: what no page of it names is absent, proven when the round is `Done`.
    pub complete: bool,
    /// How it goes on.
    pub then: Then,
}

/// What follows a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// More pages of this round.
    Next(PageToken),
    /// The round is over; the next one starts here.
    Done(Cursor),
}

/// One remote object.
#[derive(Clone, PartialEq, Eq)]
pub enum Item {
    /// It is there, with this tag; its content has to be fetched. Without a tag only the content can tell.
    Stub {
        /// Which.
        id: RemoteId,
        /// Its tag, where the provider gave one.
        tag: Option<RemoteTag>,
    },
    /// It is there, with this content.
    Full {
        /// Which, at which tag.
        version: Version,
        /// Its octets, unparsed.
        object: Bytes,
    },
}

impl Item {
    /// Which object this is.
    pub fn id(&self) -> &RemoteId {
        match self {
            Self::Stub { id, .. } => id,
            Self::Full { version, .. } => &version.id,
        }
    }

    /// Its tag, where the provider gave one.
    pub fn tag(&self) -> Option<&RemoteTag> {
        match self {
            Self::Stub { tag, .. } => tag.as_ref(),
            Self::Full { version, .. } => version.tag.as_ref(),
        }
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stub { id, tag } => write!(f, "Stub({id}, {tag:?})"),
            Self::Full { version, object } => write!(f, "Full({version:?}, {} octets)", object.len()),
        }
    }
}

/// An object at one state of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// Which object.
    pub id: RemoteId,
    /// At which tag; unknown where the provider gives none.
    pub tag: Option<RemoteTag>,
}

/// What a write left at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The object's identity and tag now.
    pub version: Version,
    /// Whether the provider holds what it was sent.
    pub stored: Stored,
}

/// What the provider holds after a write.
#[derive(Clone, PartialEq, Eq)]
pub enum Stored {
    /// The octets sent.
    AsSent,
    /// These octets, read back.
    Different(Bytes),
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsSent => f.write_str("AsSent"),
            Self::Different(octets) => write!(f, "Different({} octets)", octets.len()),
        }
    }
}

/// Why a provider did not do it: what happens next depends on the class alone, never on the words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Too many requests; come back after the pause, where one was named.
    #[error("the server asks for a pause")]
    Throttled(Option<Duration>),
    /// Nobody there, or not able just now. Try later.
    #[error("{0}")]
    Unreachable(String),
    /// The credentials are no longer good. A person must act; nothing is tried until then.
    #[error("{0}")]
    Unauthorized(String),
    /// These credentials may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The object is no longer the version named: read it, then decide.
    #[error("the object was changed there meanwhile")]
    Changed,
    /// A create found the object there already; its version, where that could be found out.
    #[error("the object is there already")]
    Exists(Option<Version>),
    /// The object is not there any more.
    #[error("the object is not there any more")]
    Gone,
    /// The position means nothing to the provider any more: start over.
    #[error("the server no longer knows where we were")]
    CursorExpired,
    /// The calendar itself is not there any more, or not for us.
    #[error("the calendar is not there any more")]
    CalendarGone,
    /// The provider will not hold this object, whatever we do.
    #[error("{0}")]
    Refused(String),
    /// The answer makes no sense. Nothing may be concluded from it.
    #[error("{0}")]
    Garbled(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_fits_every_provider() {
        assert_eq!(IdempotencyKey::new("ab c/é_9").as_str(), "ab-c---9");
    }

    #[test]
    fn debug_shows_sizes_and_no_content() {
        let version = Version { id: RemoteId::new("/x.ics"), tag: None };
        let item = Item::Full { version, object: Bytes::from_static(b"BEGIN:VCALENDAR") };
        assert!(!format!("{item:?}").contains("VCALENDAR"));
        assert!(!format!("{:?}", Stored::Different(Bytes::from_static(b"BEGIN"))).contains("BEGIN"));
        assert!(!format!("{:?}", Cursor(Bytes::from_static(b"secret"))).contains("secret"));
    }
}

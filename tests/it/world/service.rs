//! Calendar services that speak no CalDAV, as the engine sees them: behind the `Provider` trait (providers.md 2 and 5).
//!
//! Two manners. Like Google's: deltas by sync token, whole objects, ids of its own that follow from the key, tokens that
//! expire, tags that change once more after a write. Like Graph's: deltas of stubs over a window that prove no absence, removals
//! that hold only after a GET, ids that the service gives. Both list later than they take, both rewrite what they store, both refuse a
//! stale tag.
//!
//! What is *kept* is a journal; a listing is the journal as it stood a moment ago, so a round is of one moment whatever
//! happens between its pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use lineartime::clock::{Clock, ManualClock};
use lineartime::entropy::{SeededEntropy, number};
use lineartime::ical::ComponentKind;
use lineartime::provider::{
    CalendarDetails, Change, Channel, Cursor, Fault, Hook, IdempotencyKey, Item, Notify, Page, PageToken, Position,
    Provider, RemoteCalendar, RemoteId, RemoteTag, Removal, Stored, Then, Version, Written,
};

use super::channels::{Channels, Open};
use super::network::{Network, Trouble};
use super::upstream::uid_of;

/// What a service is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As Google's.
    Google,
    /// As Graph's.
    Graph,
}

/// How it behaves within its style.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    pub style: Style,
    /// Items on a page.
    pub page: usize,
    /// For so long a write is in no listing.
    pub lag: SignedDuration,
    /// Of a hundred positions so many have expired.
    pub expires: u64,
    /// After so many of a hundred writes the tag changes once more.
    pub follows_up: u64,
    /// Of a hundred items so many come twice, an older state first.
    pub repeats: u64,
}

/// One line of the journal: an item is this from then on, or is no more.
#[derive(Clone, Debug)]
struct Line {
    at: Timestamp,
    id: RemoteId,
    now: Option<Content>,
}

#[derive(Clone, Debug)]
struct Content {
    octets: Bytes,
    tag: u64,
}

#[derive(Debug, Default)]
struct State {
    journal: Vec<Line>,
    tags: u64,
    ids: u64,
    /// Which item a create with a key has made.
    made: BTreeMap<String, RemoteId>,
    /// Successful writes by the gateway.
    writes: Vec<String>,
    /// Whom of which event's attendees was written to because of the gateway, by UID.
    mails: BTreeMap<String, u64>,
    channels: Channels,
    /// The calendar's id since it was changed.
    renamed: Option<RemoteId>,
}

/// The service, with one calendar.
pub struct Service {
    name: String,
    habits: Habits,
    net: Arc<Network>,
    clock: ManualClock,
    dice: SeededEntropy,
    state: Mutex<State>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({}, {:?})", self.name, self.habits)
    }
}

impl Service {
    pub fn new(name: &str, habits: Habits, (net, clock): (Arc<Network>, ManualClock), seed: u64) -> Self {
        Self { name: name.to_owned(), habits, net, clock, dice: SeededEntropy::new(seed), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn percent(&self, chance: u64) -> bool {
        number(&self.dice) % 100 < chance
    }

    /// Id and content of everything that is there.
    pub fn items(&self) -> Vec<(String, Bytes)> {
        let state = self.state();
        let now = state.at(state.journal.len());
        now.into_iter().map(|(id, content)| (id.as_str().to_owned(), content.octets)).collect()
    }

    /// Somebody else writes here.
    pub fn put(&self, id: &str, octets: Bytes) {
        self.state().write(&self.clock, RemoteId::new(id), Some(octets));
    }

    /// Somebody else deletes here.
    pub fn delete(&self, id: &str) {
        self.state().write(&self.clock, RemoteId::new(id), None);
    }

    pub fn take_writes(&self) -> Vec<String> {
        std::mem::take(&mut self.state().writes)
    }

    /// How often the attendees of each event were written to.
    pub fn mails(&self) -> BTreeMap<String, u64> {
        self.state().mails.clone()
    }

    /// The calendar gets another id.
    pub fn rename(&self, id: &str) {
        self.state().renamed = Some(RemoteId::new(id));
    }

    fn calendar(&self) -> RemoteId {
        self.state().renamed.clone().unwrap_or_else(|| RemoteId::new("/home/work/"))
    }

    /// Whom it tells of changes.
    pub fn channels(&self) -> Vec<Open> {
        self.state().channels.all(self.clock.now())
    }

    /// A channel ends without a word.
    pub fn end(&self, channel: &str) {
        self.state().channels.end(channel);
    }

    /// Graph gives its subscriptions names of its own, and has none for the list of calendars.
    fn opens(&self, calendar: Option<&RemoteId>, hook: &Hook) -> Option<Channel> {
        let is_graph = self.habits.style == Style::Graph;
        (calendar.is_some() || !is_graph).then(|| self.state().channels.make(hook, is_graph))
    }

    /// Something was done; the attendees may hear of it. What was done before is not done again.
    fn mail(&self, notify: Notify, uid: &str) {
        if notify == Notify::Attendees {
            *self.state().mails.entry(uid.to_owned()).or_default() += 1;
        }
    }

    /// A request on its way: `Err` if it never arrives, else what is to go wrong with its answer.
    async fn arrives(&self, what: &str) -> Result<Option<Trouble>, Fault> {
        let trouble = self.net.strike(&self.name, what).await;
        let lost = |why: &str| Err(Fault::Unreachable(why.to_owned()));
        match trouble {
            Some(Trouble::Refused | Trouble::TimedOut) => lost("nobody there"),
            Some(Trouble::Status(429, after)) => {
                Err(Fault::Throttled(after.map(|seconds| std::time::Duration::from_secs(seconds.into()))))
            }
            Some(Trouble::Status(_, _)) => lost("not just now"),
            other => Ok(other),
        }
    }

    /// What becomes of an answer.
    fn answered<T>(trouble: Option<Trouble>, answer: Result<T, Fault>) -> Result<T, Fault> {
        match trouble {
            Some(Trouble::AnswerLost | Trouble::CarriedOutBut500) => Err(Fault::Unreachable("no answer".to_owned())),
            Some(Trouble::Truncated | Trouble::Html | Trouble::Empty) => {
                Err(Fault::Garbled("that is no answer".to_owned()))
            }
            _ => answer,
        }
    }

    /// As the service stores it: what it has no place for is dropped, and the time of the change is its own.
    fn normalised(&self, octets: &Bytes) -> Bytes {
        let text = String::from_utf8_lossy(octets);
        let stamp = self.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut lines: Vec<String> = Vec::new();
        for line in text.split("\r\n").filter(|line| !line.is_empty()) {
            if line.starts_with("X-KEPT") || line.starts_with("LAST-MODIFIED") {
                continue;
            }
            if line == "END:VEVENT" {
                lines.push(format!("LAST-MODIFIED:{stamp}"));
            }
            lines.push(line.to_owned());
        }
        Bytes::from(lines.join("\r\n") + "\r\n")
    }

    fn stored(&self, id: RemoteId, octets: Bytes, how: &str) -> Written {
        let mut state = self.state();
        let tag = state.write(&self.clock, id.clone(), Some(octets.clone()));
        if self.percent(self.habits.follows_up) {
            state.write(&self.clock, id.clone(), Some(octets.clone()));
        }
        state.writes.push(format!("{how} {id}"));
        Written { version: Version { id, tag: Some(tag_of(tag)) }, stored: Stored::Different(octets) }
    }

    fn creates(&self, key: &IdempotencyKey, change: &Change<'_>) -> Result<Written, Fault> {
        let object = change.object;
        let there = {
            let state = self.state();
            let now = state.at(state.journal.len());
            let own = state.made.get(key.as_str()).filter(|id| now.contains_key(id)).cloned();
            let twin = || now.iter().find(|(_, content)| uid_of(&content.octets) == object.uid());
            own.or_else(|| twin().map(|(id, _)| id.clone()))
                .and_then(|id| now.get(&id).map(|content| Version { id: id.clone(), tag: Some(tag_of(content.tag)) }))
        };
        if let Some(version) = there {
            return Err(Fault::Exists(Some(version)));
        }
        let id = match self.habits.style {
            Style::Google => google_id(key),
            Style::Graph => {
                let mut state = self.state();
                state.ids += 1;
                RemoteId::new(format!("AAMk{}", state.ids))
            }
        };
        self.state().made.insert(key.as_str().to_owned(), id.clone());
        self.mail(change.notify, object.uid());
        Ok(self.stored(id, self.normalised(object.octets()), "create"))
    }

    fn updates(&self, version: &Version, change: &Change<'_>) -> Result<Written, Fault> {
        self.state().demand(version)?;
        self.mail(change.notify, change.object.uid());
        Ok(self.stored(version.id.clone(), self.normalised(change.object.octets()), "update"))
    }

    fn deletes(&self, version: &Version, removal: &Removal<'_>) -> Result<(), Fault> {
        let demanded = self.state().demand(version);
        match demanded {
            Err(Fault::Gone) => return Ok(()),
            other => other?,
        }
        let mut state = self.state();
        state.write(&self.clock, version.id.clone(), None);
        state.writes.push(format!("delete {}", version.id));
        drop(state);
        if let Some(base) = removal.base {
            self.mail(removal.notify, base.uid());
        }
        Ok(())
    }

    fn finds(&self, ids: &[RemoteId]) -> Result<Vec<Item>, Fault> {
        let state = self.state();
        let now = state.at(state.journal.len());
        let found: Vec<Item> = ids.iter().filter_map(|id| Some(full(id, now.get(id)?))).collect();
        if ids.len() == 1 && found.is_empty() { Err(Fault::Gone) } else { Ok(found) }
    }

    /// The moment that a listing shows.
    fn visible(&self, state: &State) -> usize {
        let until = self.clock.now() - self.habits.lag;
        state.journal.iter().take_while(|line| line.at <= until).count()
    }

    /// A page, and which of its removals have to be asked for.
    fn lists(&self, from: &Position) -> Result<(Page, Vec<RemoteId>), Fault> {
        let state = self.state();
        let (since, upto, at) = match from {
            Position::Start => (None, self.visible(&state), 0),
            Position::After(cursor) if self.percent(self.habits.expires) && !cursor.0.is_empty() => {
                return Err(Fault::CursorExpired);
            }
            Position::After(cursor) => (Some(numbers(&cursor.0)[0]), self.visible(&state), 0),
            Position::Next(token) => {
                let numbers = numbers(&token.0);
                (numbers[0].checked_sub(1), numbers[1], numbers[2])
            }
        };
        // A cursor of a moment that this listing has not reached yet must not go back.
        let upto = upto.max(since.unwrap_or_default());
        let now = state.at(upto);
        let ids: BTreeSet<&RemoteId> =
            state.journal[since.unwrap_or_default()..upto].iter().map(|line| &line.id).collect();
        let ids: Vec<&RemoteId> = ids.into_iter().filter(|id| since.is_some() || now.contains_key(*id)).collect();
        let (mut items, mut gone) = (Vec::new(), Vec::new());
        for id in ids.iter().skip(at).take(self.habits.page) {
            match now.get(*id) {
                None => gone.push((*id).clone()),
                Some(content) => {
                    if self.percent(self.habits.repeats) {
                        let older = state.journal[..upto].iter().find(|line| line.id == **id && line.now.is_some());
                        items.extend(older.and_then(|line| Some(self.item(id, line.now.as_ref()?))));
                    }
                    // What merely left the window is said to be removed, too (providers.md 5.3).
                    if self.habits.style == Style::Graph && self.percent(20) {
                        gone.push((*id).clone());
                    } else {
                        items.push(self.item(id, content));
                    }
                }
            }
        }
        let next = at + self.habits.page;
        let then = if next < ids.len() {
            Then::Next(PageToken(token(&[since.map_or(0, |since| since + 1), upto, next])))
        } else {
            Then::Done(Cursor(token(&[upto])))
        };
        let complete = since.is_none() && self.habits.style == Style::Google;
        Ok((Page { items, gone: Vec::new(), complete, then }, gone))
    }

    fn item(&self, id: &RemoteId, content: &Content) -> Item {
        match self.habits.style {
            Style::Google => full(id, content),
            Style::Graph => Item::Stub { id: id.clone(), tag: Some(tag_of(content.tag)) },
        }
    }
}

impl State {
    /// Everything as it stood after so many lines.
    fn at(&self, lines: usize) -> BTreeMap<RemoteId, Content> {
        let mut now = BTreeMap::new();
        for line in &self.journal[..lines] {
            match &line.now {
                Some(content) => drop(now.insert(line.id.clone(), content.clone())),
                None => drop(now.remove(&line.id)),
            }
        }
        now
    }

    fn write(&mut self, clock: &ManualClock, id: RemoteId, octets: Option<Bytes>) -> u64 {
        self.tags += 1;
        let now = octets.map(|octets| Content { octets, tag: self.tags });
        self.journal.push(Line { at: clock.now(), id, now });
        self.tags
    }

    /// The item is there, at this version.
    fn demand(&self, version: &Version) -> Result<(), Fault> {
        let now = self.at(self.journal.len());
        let content = now.get(&version.id).ok_or(Fault::Gone)?;
        match &version.tag {
            Some(tag) if *tag != tag_of(content.tag) => Err(Fault::Changed),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Provider for Service {
    async fn calendars(&self) -> Result<Vec<RemoteCalendar>, Fault> {
        let trouble = self.arrives("calendars").await?;
        let calendar = RemoteCalendar {
            id: self.calendar(),
            name: "work".to_owned(),
            color: None,
            read_only: false,
            components: vec![ComponentKind::Event],
            description: None,
            details: CalendarDetails::default(),
        };
        Self::answered(trouble, Ok(vec![calendar]))
    }

    async fn changes(&self, calendar: &RemoteId, from: &Position) -> Result<Page, Fault> {
        let trouble = self.arrives("changes").await?;
        if *calendar != self.calendar() {
            return Err(Fault::CalendarGone);
        }
        let (mut page, doubtful) = Self::answered(trouble, self.lists(from))?;
        for id in doubtful {
            if self.habits.style == Style::Google {
                page.gone.push(id);
                continue;
            }
            let trouble = self.arrives(&format!("get {id}")).await?;
            match Self::answered(trouble, self.finds(std::slice::from_ref(&id))) {
                Ok(found) => page.items.extend(found),
                Err(Fault::Gone) => page.gone.push(id),
                Err(fault) => return Err(fault),
            }
        }
        Ok(page)
    }

    async fn fetch(&self, _calendar: &RemoteId, ids: &[RemoteId]) -> Result<Vec<Item>, Fault> {
        let trouble = self.arrives(&format!("fetch {}", ids.len())).await?;
        Self::answered(trouble, self.finds(ids))
    }

    fn identity(&self, _calendar: &RemoteId, key: &IdempotencyKey) -> Option<RemoteId> {
        (self.habits.style == Style::Google).then(|| google_id(key))
    }

    async fn create(&self, _calendar: &RemoteId, key: &IdempotencyKey, change: &Change<'_>) -> Result<Written, Fault> {
        let trouble = self.arrives("create").await?;
        if trouble == Some(Trouble::Twice) {
            drop(self.creates(key, change));
        }
        Self::answered(trouble, self.creates(key, change))
    }

    async fn update(&self, _calendar: &RemoteId, version: &Version, change: &Change<'_>) -> Result<Written, Fault> {
        let trouble = self.arrives(&format!("update {}", version.id)).await?;
        if trouble == Some(Trouble::Twice) {
            drop(self.updates(version, change));
        }
        Self::answered(trouble, self.updates(version, change))
    }

    async fn delete(&self, _calendar: &RemoteId, version: &Version, removal: &Removal<'_>) -> Result<(), Fault> {
        let trouble = self.arrives(&format!("delete {}", version.id)).await?;
        if trouble == Some(Trouble::Twice) {
            drop(self.deletes(version, removal));
        }
        Self::answered(trouble, self.deletes(version, removal))
    }

    fn can_watch(&self) -> bool {
        true
    }

    async fn watch(&self, calendar: Option<&RemoteId>, hook: &Hook) -> Result<Option<Channel>, Fault> {
        let trouble = self.arrives("watch").await?;
        Self::answered(trouble, Ok(self.opens(calendar, hook)))
    }

    async fn renew(
        &self,
        calendar: Option<&RemoteId>,
        hook: &Hook,
        channel: &Channel,
    ) -> Result<Option<Channel>, Fault> {
        let trouble = self.arrives("renew").await?;
        let prolonged = match self.habits.style {
            Style::Google => None,
            Style::Graph => self.state().channels.prolong(&channel.id, hook, self.clock.now()),
        };
        Self::answered(trouble, Ok(prolonged.or_else(|| self.opens(calendar, hook))))
    }

    async fn unwatch(&self, channel: &Channel) -> Result<(), Fault> {
        let trouble = self.arrives("unwatch").await?;
        self.end(&channel.id);
        Self::answered(trouble, Ok(()))
    }
}

fn full(id: &RemoteId, content: &Content) -> Item {
    let version = Version { id: id.clone(), tag: Some(tag_of(content.tag)) };
    Item::Full { version, object: content.octets.clone() }
}

fn tag_of(number: u64) -> RemoteTag {
    RemoteTag::new(format!("\"{number}\""))
}

fn google_id(key: &IdempotencyKey) -> RemoteId {
    RemoteId::new(format!("lt{}", key.as_str().trim_start_matches("lineartime-")))
}

fn token(numbers: &[usize]) -> Bytes {
    let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    texts.join(":").into()
}

fn numbers(token: &Bytes) -> Vec<usize> {
    String::from_utf8_lossy(token).split(':').map(|text| text.parse().unwrap()).collect()
}

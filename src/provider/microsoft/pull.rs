//! What is new in a calendar: `calendarView/delta` over a window of time (providers.md 5.3).
//!
//! Graph tells changes only inside a window that is frozen into its links, tells of occurrences in stubs, and says
//! "deleted" of events that have merely left the window. So a removal is believed after a GET, a full round proves no
//! absence (whoever needs that asks event by event), and a series is read as a whole whenever one of its rows comes.
//! Invariant: a row without content never stands for an event.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::session::{Aim, Ask, BATCH, Part, classify, segment, unreadable};
use super::wire::{Collection, Event};
use super::{Microsoft, read, stash, times};
use crate::ical::{Budget, TimeRange, Zone, instances};
use crate::provider::{Cursor, Fault, Item, Page, PageToken, Position, RemoteId, RemoteTag, Then, Version};

/// Where a finished round ended.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Mark {
    link: String,
    /// When the window was chosen.
    chosen: i64,
    /// Occurrences of the window, by a hash of their id, and the number of their series in `series`.
    occurrences: Vec<(u32, u32)>,
    series: Vec<String>,
}

/// A round under way.
#[derive(Default)]
pub(super) struct Round {
    rows: BTreeMap<String, Event>,
    removed: BTreeSet<String>,
    is_full: bool,
    window: Option<TimeRange>,
    before: Mark,
}

impl Mark {
    fn read(octets: &[u8]) -> Result<Self, Fault> {
        let (format, rest) = octets.split_first().ok_or(Fault::CursorExpired)?;
        if *format != FORMAT {
            return Err(Fault::CursorExpired);
        }
        postcard::from_bytes(rest).map_err(|_| Fault::CursorExpired)
    }

    fn write(&self) -> Bytes {
        let mut octets = vec![FORMAT];
        octets.extend(postcard::to_allocvec(self).unwrap_or_default());
        Bytes::from(octets)
    }

    /// The series that an occurrence belonged to.
    fn series_of(&self, id: &str) -> Option<&String> {
        let hash = hash(id);
        let at = self.occurrences.iter().find(|(known, _)| *known == hash)?.1;
        self.series.get(usize::try_from(at).ok()?)
    }
}

impl Microsoft {
    pub(super) async fn page(&self, calendar: &RemoteId, from: &Position) -> Result<Page, Fault> {
        let now = self.session.now();
        let (url, mut round) = match from {
            Position::Start => {
                let window = window(now);
                let query = format!("startDateTime={}&endDateTime={}", edm(window.start), edm(window.end));
                let url = format!("me/calendars/{}/calendarView/delta?{query}", segment(calendar.as_str()));
                let before = Mark { chosen: now.as_second(), ..Mark::default() };
                (self.session.url(&url), Round { is_full: true, window: Some(window), before, ..Round::default() })
            }
            Position::After(cursor) => {
                let before = Mark::read(&cursor.0)?;
                // The window stands still and time does not: a new one now and then.
                if now.as_second() - before.chosen > WINDOW_LASTS.as_secs() {
                    return Err(Fault::CursorExpired);
                }
                (self.session.link(&before.link)?, Round { before, ..Round::default() })
            }
            Position::Next(token) => {
                let link = std::str::from_utf8(&token.0).map_err(|_| Fault::CursorExpired)?;
                let round = self.rounds().remove(calendar).ok_or(Fault::CursorExpired)?;
                (self.session.link(link)?, round)
            }
        };
        let page: Collection<Event> = self.session.succeed(&Ask::get(url), Aim::Delta).await?.read()?;
        round.take(page.value);
        match (page.next, page.delta) {
            (Some(next), _) => {
                self.rounds().insert(calendar.clone(), round);
                let then = Then::Next(PageToken(Bytes::from(next)));
                Ok(Page { items: Vec::new(), gone: Vec::new(), complete: false, then })
            }
            (None, Some(link)) => self.finish(round, link).await,
            (None, None) => Err(unreadable()),
        }
    }

    /// All that a round said, once it is over.
    async fn finish(&self, round: Round, link: String) -> Result<Page, Fault> {
        let (gone, mut again) = self.removals(&round).await?;
        let mut items = Vec::new();
        for event in round.rows.values().filter(|event| !event.is_instance() && !event.is_master()) {
            items.extend(self.single(event, round.is_full));
        }
        for (series, rows) in round.series() {
            match round.rows.get(&series).filter(|_| round.is_full) {
                Some(master) if round.is_plain(master, &rows) => items.extend(self.single(master, true)),
                // Only its content can tell: exceptions change without the tag of their master.
                _ => {
                    again.insert(series);
                }
            }
        }
        for id in &again {
            self.remember_kind(id, true);
        }
        items.extend(again.into_iter().map(|id| Item::Stub { id: RemoteId::new(id), tag: None }));
        let cursor = Cursor(round.mark(link).write());
        Ok(Page { items, gone, complete: false, then: Then::Done(cursor) })
    }

    /// A single event, or a series without exceptions. One that we may have written to has a stash, which no list
    /// returns: it has to be fetched.
    fn single(&self, event: &Event, is_full: bool) -> Option<Item> {
        if event.id.is_empty() {
            return None;
        }
        self.remember_kind(&event.id, event.is_master());
        let id = RemoteId::new(event.id.clone());
        let tag = event.tag().map(RemoteTag::new);
        let is_ours = event.transaction_id.as_deref().is_some_and(|id| id.starts_with("lineartime"));
        let has_content = event.body.is_some() && event.start.is_some() && !event.is_draft.unwrap_or(false);
        let object = (is_full && !is_ours && has_content).then(|| read::compose(event, &self.mailbox()).ok()).flatten();
        Some(match object {
            Some(object) => Item::Full { version: Version { id, tag }, object: object.octets().clone() },
            None => Item::Stub { id, tag },
        })
    }

    /// What of the removals is true, and what has to be read again.
    async fn removals(&self, round: &Round) -> Result<(Vec<RemoteId>, BTreeSet<String>), Fault> {
        let (mut gone, mut again) = (Vec::new(), BTreeSet::new());
        let mut asked: Vec<&String> = Vec::new();
        for id in &round.removed {
            match round.before.series_of(id) {
                Some(series) => {
                    again.insert(series.clone());
                }
                None => asked.push(id),
            }
        }
        let urls: Vec<_> = asked
            .iter()
            .map(|id| self.session.event(&RemoteId::new(id.as_str()), "?$select=id,type,seriesMasterId"))
            .collect();
        for (id, part) in asked.into_iter().zip(self.gets(&urls).await?) {
            match self.judge(part)? {
                None => gone.push(RemoteId::new(id.clone())),
                Some(event) if event.is_instance() => again.extend(event.series_master_id),
                Some(_) => {
                    again.insert(id.clone());
                }
            }
        }
        // A series that is itself gone is not read again.
        again.retain(|id| !gone.iter().any(|gone| gone.as_str() == id));
        Ok((gone, again))
    }

    /// An event as a part of a batch has it; `None` if it is gone.
    #[expect(clippy::unused_self, reason = "called like its neighbours, which use it")]
    pub(super) fn judge(&self, part: Part) -> Result<Option<Event>, Fault> {
        if part.status == 200 {
            return serde_json::from_value(part.body).map(Some).map_err(|_| unreadable());
        }
        let code = part.body.get("error").and_then(|error| error.get("code")).and_then(Value::as_str);
        match classify(part.status, &code.unwrap_or_default().to_ascii_lowercase(), None, Aim::Event) {
            Fault::Gone => Ok(None),
            fault => Err(fault),
        }
    }

    /// Several GETs: in batches, or one by one where a service has no `$batch`.
    pub(super) async fn gets(&self, urls: &[url::Url]) -> Result<Vec<Part>, Fault> {
        if urls.len() > 1 && self.can_batch() {
            match self.session.batch(urls).await {
                Err(Fault::Refused(_) | Fault::CalendarGone) => self.no_batch(),
                other => return other,
            }
        }
        let mut parts = Vec::new();
        for url in urls {
            let reply = self.session.ask(&Ask::get(url.clone())).await?;
            match self.session.fault(&reply, Aim::Event) {
                fault @ (Fault::Throttled(_) | Fault::Unauthorized(_)) if !reply.is_success() => return Err(fault),
                _ => {}
            }
            parts.push(Part { status: reply.status, body: serde_json::from_slice(&reply.body).unwrap_or_default() });
        }
        Ok(parts)
    }

    /// The events behind `ids`, whole.
    pub(super) async fn items(&self, ids: &[RemoteId]) -> Result<Vec<Item>, Fault> {
        let mut items = Vec::new();
        for chunk in ids.chunks(BATCH) {
            let mut failed = None;
            for (id, found) in chunk.iter().zip(self.events(chunk).await?) {
                match found.and_then(|event| self.item(id, &event)) {
                    Ok(item) => items.push(item),
                    Err(fault) => failed = Some(fault),
                }
            }
            if let (Some(fault), [_]) = (failed, ids) {
                return Err(fault);
            }
        }
        Ok(items)
    }

    fn item(&self, id: &RemoteId, event: &Event) -> Result<Item, Fault> {
        if event.is_draft == Some(true) && event.has_attendees() {
            return Err(Fault::Refused("the meeting is a draft that was not sent yet".to_owned()));
        }
        let object = self.compose(event)?;
        let version = Version { id: id.clone(), tag: event.tag().map(RemoteTag::new) };
        Ok(Item::Full { version, object: object.octets().clone() })
    }

    pub(super) fn compose(&self, event: &Event) -> Result<crate::ical::Object, Fault> {
        read::compose(event, &self.mailbox())
            .map_err(|refusal| Fault::Refused(format!("it can't be shown here: {refusal}")))
    }

    /// Each event with its stash, a series with its exceptions and cancelled occurrences.
    pub(super) async fn events(&self, ids: &[RemoteId]) -> Result<Vec<Result<Event, Fault>>, Fault> {
        let shape = |id: &RemoteId| if self.is_master(id.as_str()) { whole_series() } else { with_stash() };
        let urls: Vec<_> = ids.iter().map(|id| self.session.event(id, &shape(id))).collect();
        let mut found = Vec::new();
        for (id, part) in ids.iter().zip(self.gets(&urls).await?) {
            found.push(self.settle(id, part).await);
        }
        Ok(found)
    }

    /// One event, whole.
    pub(super) async fn event(&self, id: &RemoteId) -> Result<Event, Fault> {
        let mut found = self.events(std::slice::from_ref(id)).await?;
        found.pop().unwrap_or_else(|| Err(unreadable()))
    }

    /// Asks again where the answer lacks something: the exceptions of what turned out to be a series, the members that
    /// a service refuses to expand, the original starts.
    async fn settle(&self, id: &RemoteId, part: Part) -> Result<Event, Fault> {
        let event = if part.status == 400 {
            // Not every mailbox expands everything.
            if self.is_master(id.as_str()) { self.series(id).await? } else { self.plain(id, "").await? }
        } else {
            self.judge(part)?.ok_or(Fault::Gone)?
        };
        if event.is_instance() {
            return Err(Fault::Refused("only one instance of the series is here".to_owned()));
        }
        let lacks_series =
            event.is_master() && event.cancelled_occurrences.is_none() && event.exception_occurrences.is_none();
        self.remember_kind(id.as_str(), event.is_master());
        let mut event = if lacks_series { self.series(id).await? } else { event };
        if event.exception_occurrences.iter().flatten().any(|exception| exception.original_start.is_none()) {
            self.add_original_starts(id, &mut event).await?;
        }
        Ok(event)
    }

    /// A series, by the richest request that the service takes.
    async fn series(&self, id: &RemoteId) -> Result<Event, Fault> {
        for shape in [whole_series(), flat_series()] {
            match self.plain(id, &shape).await {
                Err(Fault::Refused(_)) => {}
                other => return other,
            }
        }
        self.plain(id, &bare_series()).await
    }

    pub(super) async fn plain(&self, id: &RemoteId, shape: &str) -> Result<Event, Fault> {
        self.session.succeed(&Ask::get(self.session.event(id, shape)), Aim::Event).await?.read()
    }

    /// An expanded exception does not say which instance it is; the list of instances does, when asked.
    async fn add_original_starts(&self, id: &RemoteId, event: &mut Event) -> Result<(), Fault> {
        let mut span: Option<(Timestamp, Timestamp)> = None;
        for exception in event.exception_occurrences.iter().flatten() {
            let at = exception.start.as_ref().and_then(times::instant).ok_or_else(unreadable)?;
            span = Some(span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        }
        let Some((first, last)) = span else { return Ok(()) };
        let listed = self.instances(id, (first - DAY, last + DAY)).await?;
        for exception in event.exception_occurrences.iter_mut().flatten() {
            let twin = listed.iter().find(|listed| listed.id == exception.id);
            exception.original_start = twin.and_then(|twin| twin.original_start.clone());
        }
        Ok(())
    }

    /// The instances of a series in a span of time.
    pub(super) async fn instances(
        &self,
        id: &RemoteId,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<Event>, Fault> {
        let query =
            format!("/instances?startDateTime={}&endDateTime={}&$select={INSTANCE}&$top=200", edm(from), edm(to));
        let mut url = self.session.event(id, &query);
        let mut found = Vec::new();
        for _ in 0..PAGES {
            let page: Collection<Event> = self.session.succeed(&Ask::get(url), Aim::Event).await?.read()?;
            found.extend(page.value);
            match page.next {
                Some(next) => url = self.session.link(&next)?,
                None => return Ok(found),
            }
        }
        Err(unreadable())
    }
}

impl Round {
    /// Of several states of one item the last counts.
    fn take(&mut self, rows: Vec<Event>) {
        for row in rows {
            let id = row.id.clone();
            if row.removed.is_some() {
                self.rows.remove(&id);
                self.removed.insert(id);
            } else {
                self.removed.remove(&id);
                self.rows.insert(id, row);
            }
        }
    }

    /// Every series that a row speaks of, with its instances' rows.
    fn series(&self) -> BTreeMap<String, Vec<&Event>> {
        let mut series: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
        for row in self.rows.values() {
            if row.is_master() {
                series.entry(row.id.clone()).or_default();
            } else if let Some(master) = row.series_master_id.as_ref().filter(|_| row.is_instance()) {
                series.entry(master.clone()).or_default().push(row);
            }
        }
        series
    }

    /// Whether the window proves that a series has no exceptions: it begins inside, and every instance of its rule is
    /// there as the rule has it.
    fn is_plain(&self, master: &Event, rows: &[&Event]) -> bool {
        let Some(window) = self.window else { return false };
        let Ok(object) = read::compose(master, &super::write::Mailbox::default()) else { return false };
        let starts = master.start.as_ref().and_then(times::instant).is_some_and(|start| start >= window.start);
        let is_regular = rows.iter().all(|row| row.kind.as_deref() == Some("occurrence"));
        let mut budget = Budget::new(500_000, 5_000);
        let expected = instances(&object, &window, &Zone::UTC, &mut budget).map(|found| found.len());
        starts && is_regular && expected.is_ok_and(|expected| expected == rows.len())
    }

    /// Where the next round goes on. The occurrences of series that this round told of are known anew, all others stay.
    fn mark(self, link: String) -> Mark {
        let told = self.series();
        let mut by_series: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (hash, at) in &self.before.occurrences {
            let series = usize::try_from(*at).ok().and_then(|at| self.before.series.get(at));
            if let Some(series) = series.filter(|series| told.get(*series).is_none_or(Vec::is_empty)) {
                by_series.entry(series.clone()).or_default().push(*hash);
            }
        }
        for (series, rows) in &told {
            by_series.entry(series.clone()).or_default().extend(rows.iter().map(|row| hash(&row.id)));
        }
        let mut mark = Mark { link, chosen: self.before.chosen, ..Mark::default() };
        for (series, hashes) in by_series {
            let at = u32::try_from(mark.series.len()).unwrap_or(u32::MAX);
            mark.occurrences.extend(hashes.into_iter().map(|hash| (hash, at)));
            mark.series.push(series);
        }
        mark
    }
}

/// A year back, two years ahead, from midnight.
fn window(now: Timestamp) -> TimeRange {
    let today = Zone::UTC.to_civil(now).date().at(0, 0, 0, 0);
    let midnight = Zone::UTC.to_instant(today);
    TimeRange { start: midnight - BACK, end: midnight + AHEAD }
}

/// An Edm.DateTimeOffset in UTC, whole seconds.
fn edm(instant: Timestamp) -> String {
    Zone::UTC.to_civil(instant).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn hash(id: &str) -> u32 {
    let digest = Sha256::digest(id);
    digest.iter().take(4).fold(0, |hash, octet| (hash << 8) | u32::from(*octet))
}

fn with_stash() -> String {
    format!("?$expand={}", stash::expand())
}

/// A series with all that belongs to it, exceptions with their original starts and stashes.
fn whole_series() -> String {
    let stash = stash::expand();
    let exceptions = format!("exceptionOccurrences($select={INSTANCE};$expand={stash})");
    format!("?$select={MEMBERS},cancelledOccurrences&$expand={exceptions},{stash}")
}

/// The same for services that take no options inside of `$expand`.
fn flat_series() -> String {
    format!("?$select={MEMBERS},cancelledOccurrences&$expand=exceptionOccurrences,{}", stash::expand())
}

fn bare_series() -> String {
    format!("?$select={MEMBERS},cancelledOccurrences&$expand=exceptionOccurrences")
}

const FORMAT: u8 = 1;
const BACK: SignedDuration = SignedDuration::from_hours(24 * 366);
const AHEAD: SignedDuration = SignedDuration::from_hours(24 * 731);
const DAY: SignedDuration = SignedDuration::from_hours(48);
const WINDOW_LASTS: SignedDuration = SignedDuration::from_hours(24 * 30);
const PAGES: usize = 1_000;
const INSTANCE: &str = "id,type,seriesMasterId,originalStart,start,end,subject,body,location,isAllDay,showAs,importance,sensitivity,categories,isReminderOn,reminderMinutesBeforeStart,attendees,organizer,isOrganizer,originalStartTimeZone,originalEndTimeZone,allowNewTimeProposals,responseStatus,changeKey,createdDateTime,lastModifiedDateTime,isCancelled,onlineMeeting";
const MEMBERS: &str = "id,changeKey,createdDateTime,lastModifiedDateTime,iCalUId,transactionId,subject,body,start,end,originalStartTimeZone,originalEndTimeZone,isAllDay,isCancelled,isOrganizer,isDraft,isOnlineMeeting,onlineMeeting,importance,sensitivity,showAs,categories,isReminderOn,reminderMinutesBeforeStart,location,locations,attendees,organizer,responseStatus,responseRequested,allowNewTimeProposals,seriesMasterId,type,recurrence";

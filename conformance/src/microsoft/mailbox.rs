//! One mailbox: its calendars and items, what changed when, and the mails that it would have sent.
//!
//! An item is kept as it was written (times in the author's zone); what leaves here is made for each request.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::contract;
use super::series;

/// A mail that Exchange would have sent.
#[derive(Clone, Debug, Serialize)]
pub struct Mail {
    /// `invitation`, `update`, `cancellation` or `response`.
    pub kind: String,
    /// To whom.
    pub to: Vec<String>,
    /// About which event.
    pub event: String,
}

/// A single event or a series.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) calendar: String,
    /// `iCalUId`, which stays when the id changes.
    pub(super) uid: String,
    /// `originalStartTimeZone` where it is not the name of the zone.
    pub(super) zone_name: Option<String>,
    pub(super) members: Map<String, Value>,
    pub(super) seq: u64,
    pub(super) version: u64,
    pub(super) exceptions: BTreeMap<Date, Map<String, Value>>,
    pub(super) cancelled: BTreeSet<Date>,
    pub(super) gone: bool,
}

/// The mailbox.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pub(super) owner: String,
    pub(super) calendars: BTreeMap<String, Map<String, Value>>,
    /// Calendars that were put in a group, by their id: the group's name.
    pub(super) groups: BTreeMap<String, String>,
    pub(super) items: BTreeMap<String, Item>,
    pub(super) transactions: BTreeMap<String, String>,
    pub(super) seq: u64,
    pub(super) made: u64,
    pub(super) mails: Vec<Mail>,
}

/// A refusal: status, code, message.
pub(super) type Refusal = (u16, &'static str, String);

pub(super) fn invalid(why: impl Into<String>) -> Refusal {
    (400, "ErrorPropertyValidationFailure", why.into())
}

/// Which event an id means.
pub(super) enum Target {
    Item(String),
    Instance(String, Date),
}

impl Mailbox {
    pub(super) fn new(owner: &str) -> Self {
        let mut mailbox = Self { owner: owner.to_owned(), ..Self::default() };
        mailbox.add_calendar("Calendar", true);
        mailbox
    }

    pub(super) fn add_calendar(&mut self, name: &str, can_edit: bool) -> String {
        self.made += 1;
        let id = format!("AAMkCAL{}=", self.made);
        let is_default = self.calendars.is_empty();
        let calendar = json!({
            "id": id, "name": name, "color": "lightGreen", "hexColor": "", "isDefaultCalendar": is_default, "changeKey": "AAAB",
            "canShare": is_default, "canViewPrivateItems": true, "canEdit": can_edit,
            "allowedOnlineMeetingProviders": ["teamsForBusiness"], "defaultOnlineMeetingProvider": "teamsForBusiness",
            "isTallyingResponses": is_default, "isRemovable": !is_default,
            "owner": {"name": "Ada", "address": self.owner},
        });
        self.calendars.insert(id.clone(), calendar.as_object().cloned().unwrap_or_default());
        id
    }

    /// Gives the first calendar another id, with all that is in it.
    pub(super) fn rename_calendar(&mut self) -> Option<(String, String)> {
        let (old, mut calendar) = self.calendars.pop_first()?;
        self.made += 1;
        // It stays the first.
        let new = format!("AAMkCAL0{}=", self.made);
        calendar.insert("id".to_owned(), json!(new));
        self.calendars.insert(new.clone(), calendar);
        for item in self.items.values_mut().filter(|item| item.calendar == old) {
            item.calendar.clone_from(&new);
        }
        Some((old, new))
    }

    /// Gives every event another id, as a move of the mailbox does. `told`: the list of changes says that the old ones are
    /// gone.
    pub(super) fn change_ids(&mut self, told: bool) {
        let before: Vec<String> = self.items.iter().filter(|(_, item)| !item.gone).map(|(id, _)| id.clone()).collect();
        for old in before {
            let Some(item) = self.items.remove(&old) else { continue };
            self.made += 1;
            let new = format!("AAMkADE{:06}/+A=", self.made);
            if told {
                self.items.insert(old.clone(), Item { gone: true, ..item.clone() });
                self.touch(&old);
            }
            self.items.insert(new.clone(), item);
            self.touch(&new);
        }
    }

    pub(super) fn find(&self, id: &str) -> Option<Target> {
        if self.items.get(id).is_some_and(|item| !item.gone) {
            return Some(Target::Item(id.to_owned()));
        }
        let (master, date) = id.rsplit_once("-occ")?;
        let date: Date = date.parse().ok()?;
        let item = self.items.get(master).filter(|item| !item.gone)?;
        let is_there = !item.cancelled.contains(&date) && item.dates(date).contains(&date);
        is_there.then(|| Target::Instance(master.to_owned(), date))
    }

    /// A new event in a calendar.
    pub(super) fn create(&mut self, calendar: &str, body: &Value, invited_by: Option<&str>) -> Result<String, Refusal> {
        let members = written(body, &Map::new())?;
        if let Some(transaction) = members.get("transactionId").and_then(Value::as_str)
            && let Some(existing) = self.transactions.get(transaction)
        {
            return Err((409, "ErrorDuplicateTransactionId", existing.clone()));
        }
        self.made += 1;
        let id = format!("AAMkADE{:06}/+A=", self.made);
        if let Some(transaction) = members.get("transactionId").and_then(Value::as_str) {
            self.transactions.insert(transaction.to_owned(), id.clone());
        }
        let mut members = members;
        let organizer = invited_by.unwrap_or(&self.owner).to_owned();
        let own = invited_by.is_none();
        members.insert("isOrganizer".to_owned(), json!(own));
        members.insert("organizer".to_owned(), json!({"emailAddress": {"name": organizer, "address": organizer}}));
        let response = if own { "organizer" } else { "notResponded" };
        members.insert("responseStatus".to_owned(), json!({"response": response, "time": "0001-01-01T00:00:00Z"}));
        if own {
            self.mail("invitation", &members, &id);
        }
        let item = Item {
            calendar: calendar.to_owned(),
            uid: global_id(&id),
            zone_name: None,
            members,
            seq: 0,
            version: 0,
            exceptions: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            gone: false,
        };
        self.items.insert(id.clone(), item);
        self.touch(&id);
        Ok(id)
    }

    pub(super) fn touch(&mut self, id: &str) {
        self.seq += 1;
        let seq = self.seq;
        if let Some(item) = self.items.get_mut(id) {
            item.seq = seq;
            item.version += 1;
        }
    }

    /// Changes members. A series forgets its exceptions when its rule or start changes, without a word.
    #[expect(clippy::assigning_clones, reason = "short texts")]
    pub(super) fn update(&mut self, target: &Target, body: &Value) -> Result<(), Refusal> {
        let (id, instance) = match target {
            Target::Item(id) => (id.clone(), None),
            Target::Instance(id, date) => (id.clone(), Some(*date)),
        };
        let item = self.items.get(&id).ok_or((404, "ErrorItemNotFound", String::new()))?;
        if body.get("transactionId").is_some() {
            return Err(invalid("transactionId can't be changed"));
        }
        let before = match instance {
            Some(date) => item.instance(date),
            None => item.members.clone(),
        };
        if instance.is_some() && body.get("recurrence").is_some() {
            return Err(invalid("an occurrence has no recurrence"));
        }
        let after = written(body, &before)?;
        if let Some(date) = instance {
            item.check_neighbours(date, &after)?;
        }
        let is_own = item.members.get("isOrganizer") != Some(&json!(false));
        let item = self.items.get_mut(&id).ok_or((404, "ErrorItemNotFound", String::new()))?;
        if let Some(date) = instance {
            item.exceptions.insert(date, after.clone());
        } else {
            let moved = ["start", "recurrence"]
                .iter()
                .any(|name| body.get(*name).is_some() && before.get(*name) != after.get(*name));
            if moved {
                item.exceptions.clear();
                item.cancelled.clear();
            }
            item.members = after.clone();
        }
        if is_own {
            self.mail("update", &after, &id);
        }
        self.touch(&id);
        Ok(())
    }

    pub(super) fn delete(&mut self, target: &Target) {
        let (id, members) = match target {
            Target::Item(id) => {
                let Some(item) = self.items.get_mut(id) else { return };
                item.gone = true;
                (id.clone(), item.members.clone())
            }
            Target::Instance(id, date) => {
                let Some(item) = self.items.get_mut(id) else { return };
                item.exceptions.remove(date);
                item.cancelled.insert(*date);
                (id.clone(), item.members.clone())
            }
        };
        if members.get("isOrganizer") != Some(&json!(false)) {
            self.mail("cancellation", &members, &id);
        }
        self.touch(&id);
    }

    pub(super) fn respond(&mut self, target: &Target, answer: &str, sends: bool) -> Result<(), Refusal> {
        let id = match target {
            Target::Item(id) | Target::Instance(id, _) => id.clone(),
        };
        let Some(item) = self.items.get_mut(&id) else { return Ok(()) };
        if item.members.get("isOrganizer") == Some(&json!(true)) {
            return Err((
                400,
                "ErrorInvalidRequest",
                "Your request can't be completed. You're the organizer.".to_owned(),
            ));
        }
        let status = json!({"response": answer, "time": "2026-11-01T10:00:00Z"});
        let show = if answer == "tentativelyAccepted" { "tentative" } else { "busy" };
        if let Target::Instance(_, date) = target {
            let mut members = item.instance(*date);
            members.insert("responseStatus".to_owned(), status);
            item.exceptions.insert(*date, members);
        } else {
            item.members.insert("responseStatus".to_owned(), status);
            item.members.insert("showAs".to_owned(), json!(show));
            item.gone = answer == "declined";
        }
        let organizer =
            item.members.get("organizer").and_then(|who| who.pointer("/emailAddress/address")).and_then(Value::as_str);
        let to: Vec<String> = organizer.map(ToOwned::to_owned).into_iter().collect();
        if sends {
            self.mails.push(Mail { kind: format!("response {answer}"), to, event: id.clone() });
        }
        self.touch(&id);
        Ok(())
    }

    /// Whoever is invited is mailed, whatever was written. There is no switch.
    fn mail(&mut self, kind: &str, members: &Map<String, Value>, id: &str) {
        let people = members.get("attendees").and_then(Value::as_array).cloned().unwrap_or_default();
        let to: Vec<String> = people
            .iter()
            .filter_map(|person| person.pointer("/emailAddress/address").and_then(Value::as_str))
            .map(ToOwned::to_owned)
            .collect();
        if !to.is_empty() {
            self.mails.push(Mail { kind: kind.to_owned(), to, event: id.to_owned() });
        }
    }
}

impl Item {
    pub(super) fn is_series(&self) -> bool {
        self.members.get("recurrence").is_some_and(|rule| !rule.is_null())
    }

    fn zone(&self) -> TimeZone {
        zone_of(self.members.get("start"))
    }

    fn start(&self) -> DateTime {
        local(self.members.get("start")).unwrap_or_default()
    }

    /// The dates of the rule up to `last`.
    pub(super) fn dates(&self, last: Date) -> Vec<Date> {
        let rule = self.members.get("recurrence").cloned().unwrap_or_default();
        series::dates(&rule, self.start().date(), last)
    }

    /// An instance as it is: changed, or as the series has it.
    pub(super) fn instance(&self, date: Date) -> Map<String, Value> {
        if let Some(changed) = self.exceptions.get(&date) {
            return changed.clone();
        }
        let mut members = self.members.clone();
        members.remove("recurrence");
        members.remove("singleValueExtendedProperties");
        members.remove("transactionId");
        let start = self.start();
        let end = local(self.members.get("end")).unwrap_or(start);
        let days = (end.date() - start.date()).get_days();
        let last = date.saturating_add(jiff::Span::new().days(days));
        for (name, date, time) in [("start", date, start.time()), ("end", last, end.time())] {
            let zone = self.members.get(name).and_then(|at| at.get("timeZone")).cloned().unwrap_or(json!("UTC"));
            members.insert(name.to_owned(), json!({"dateTime": digits(date.to_datetime(time)), "timeZone": zone}));
        }
        members
    }

    pub(super) fn original_start(&self, date: Date) -> Timestamp {
        let zone = if self.members.get("isAllDay") == Some(&json!(true)) { TimeZone::UTC } else { self.zone() };
        instant(date.to_datetime(self.start().time()), &zone)
    }

    /// An instance can't go to or past the day of the one before or after.
    fn check_neighbours(&self, date: Date, after: &Map<String, Value>) -> Result<(), Refusal> {
        let Some(day) = local(after.get("start")).map(DateTime::date) else { return Ok(()) };
        let horizon = date.saturating_add(jiff::Span::new().days(800));
        let others: Vec<Date> =
            self.dates(horizon).into_iter().filter(|other| *other != date && !self.cancelled.contains(other)).collect();
        let placed = |other: &Date| {
            self.exceptions.get(other).and_then(|there| local(there.get("start"))).map_or(*other, DateTime::date)
        };
        let before = others.iter().rev().find(|other| **other < date).map(&placed);
        let next = others.iter().find(|other| **other > date).map(&placed);
        if before.is_some_and(|before| day <= before) || next.is_some_and(|next| day >= next) {
            let why = "Modified occurrence is crossing or overlapping adjacent occurrence.".to_owned();
            return Err((400, "ErrorOccurrenceCrossingBoundary", why));
        }
        Ok(())
    }
}

/// A Global Object ID that Exchange makes up.
#[expect(clippy::format_collect, reason = "short texts, written rarely")]
pub(super) fn global_id(id: &str) -> String {
    let hex: String = id.bytes().map(|octet| format!("{octet:02X}")).collect();
    format!("040000008200E00074C5B7101A82E008{hex}")
}

/// The members after a write of `body` over `before`, or why it is refused.
#[expect(clippy::match_same_arms, reason = "each arm stands for a case of its own")]
fn written(body: &Value, before: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    if let Some(why) = contract::defect(body, "event") {
        return Err((400, "RequestBodyRead", why));
    }
    let empty = Map::new();
    let body = body.as_object().unwrap_or(&empty);
    if let Some(name) = body.keys().find(|name| READ_ONLY.contains(&name.as_str())) {
        return Err((400, "ErrorInvalidPropertyUpdate", format!("{name} is read-only")));
    }
    if body.get("body").is_some_and(Value::is_null) {
        return Err((400, "ErrorInvalidRequest", "The body of the item is invalid.".to_owned()));
    }
    let mut after = before.clone();
    for (name, value) in body {
        match name.as_str() {
            "singleValueExtendedProperties" => merge_properties(&mut after, value),
            "body" => {
                after.insert(name.clone(), stored_body(value));
            }
            "start" | "end" => {
                after.insert(name.clone(), value.clone());
            }
            _ => {
                after.insert(name.clone(), value.clone());
            }
        }
    }
    check(&after)?;
    Ok(after)
}

fn check(after: &Map<String, Value>) -> Result<(), Refusal> {
    let (Some(start), Some(end)) = (local(after.get("start")), local(after.get("end"))) else {
        return Err(invalid("start and end are required"));
    };
    let (from, to) = (zone_name(after.get("start")), zone_name(after.get("end")));
    if zone(&from).is_none() || zone(&to).is_none() {
        return Err((
            400,
            "TimeZoneNotSupportedException",
            format!("A valid TimeZone value must be specified: {from}, {to}"),
        ));
    }
    let midnight = jiff::civil::Time::midnight();
    if after.get("isAllDay") == Some(&json!(true)) {
        if start.time() != midnight || end.time() != midnight || from != to || end <= start {
            return Err(invalid("The Event.Start property for an all-day event needs to be set to midnight."));
        }
    } else if instant(end, &zone_of(after.get("end"))) < instant(start, &zone_of(after.get("start"))) {
        return Err(invalid("The end of the event is before its start."));
    }
    if let Some(why) =
        after.get("recurrence").filter(|rule| !rule.is_null()).and_then(|rule| series::defect(rule, start.date()))
    {
        return Err(invalid(why));
    }
    if after.get("attendees").and_then(Value::as_array).is_some_and(|people| people.len() > 500) {
        return Err(invalid("more than 500 attendees"));
    }
    if after.get("reminderMinutesBeforeStart").and_then(Value::as_i64).is_some_and(|minutes| minutes < 0) {
        return Err(invalid("reminderMinutesBeforeStart is negative"));
    }
    Ok(())
}

/// Exchange keeps HTML: text comes back wrapped, with other line ends.
fn stored_body(value: &Value) -> Value {
    let content = value.get("content").and_then(Value::as_str).unwrap_or_default();
    if value.get("contentType").and_then(Value::as_str) == Some("html") || content.is_empty() {
        return json!({"contentType": "html", "content": content});
    }
    let text = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\n', "<br>\r\n");
    json!({"contentType": "html", "content": format!("<html><head>\r\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\"></head><body><div class=\"PlainText\">{text}</div></body></html>\r\n")})
}

fn merge_properties(after: &mut Map<String, Value>, new: &Value) {
    let mut all = after.get("singleValueExtendedProperties").and_then(Value::as_array).cloned().unwrap_or_default();
    for property in new.as_array().into_iter().flatten() {
        all.retain(|old| old.get("id") != property.get("id"));
        all.push(property.clone());
    }
    after.insert("singleValueExtendedProperties".to_owned(), Value::Array(all));
}

pub(super) fn local(at: Option<&Value>) -> Option<DateTime> {
    let text = at?.get("dateTime")?.as_str()?;
    text.split('.').next()?.trim_end_matches('Z').parse().ok()
}

fn zone_name(at: Option<&Value>) -> String {
    at.and_then(|at| at.get("timeZone")).and_then(Value::as_str).unwrap_or("UTC").to_owned()
}

pub(super) fn zone_of(at: Option<&Value>) -> TimeZone {
    zone(&zone_name(at)).unwrap_or(TimeZone::UTC)
}

fn zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    let row = WINDOWS.lines().filter_map(|line| line.split_once('=')).find(|(windows, _)| *windows == name);
    let iana = row.map_or(name, |(_, zones)| zones.split(' ').next().unwrap_or(name));
    TimeZone::get(iana).ok()
}

pub(super) fn instant(local: DateTime, zone: &TimeZone) -> Timestamp {
    zone.to_ambiguous_timestamp(local).compatible().unwrap_or_default()
}

/// Seven fractional digits and no offset.
pub(super) fn digits(local: DateTime) -> String {
    format!("{}.0000000", local.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// Windows names by CLDR: the first zone of each row is the choice for the whole world.
const WINDOWS: &str = include_str!("../../../src/provider/microsoft/zones.txt");
const READ_ONLY: &[&str] = &[
    "id",
    "changeKey",
    "createdDateTime",
    "lastModifiedDateTime",
    "iCalUId",
    "bodyPreview",
    "hasAttachments",
    "isCancelled",
    "isDraft",
    "isOrganizer",
    "organizer",
    "originalStart",
    "originalStartTimeZone",
    "originalEndTimeZone",
    "responseStatus",
    "seriesMasterId",
    "type",
    "webLink",
    "cancelledOccurrences",
    "exceptionOccurrences",
    "onlineMeeting",
    "onlineMeetingUrl",
];

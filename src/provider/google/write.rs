//! Creating, changing and deleting.
//!
//! A create carries an id that follows from the event, so a second try finds the first. A change is a PATCH of the members
//! that differ from what both sides last agreed on, under the etag that was agreed on. A series is read first, and what is
//! there is compared with what was agreed on; then master and exceptions are written one by one, and all is read back.

use data_encoding::Encoding;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::body::{answer, covers, differing, full, gives, instead, original, stash_into, times, with_what_is_there};
use super::group::{Group, is_cancelled, text};
use super::request::{Aim, Ask};
use super::{Google, map};
use crate::ical::{Component, DateOrTime, Object, same_meaning};
use crate::provider::{Change, Fault, IdempotencyKey, Notify, RemoteId, Removal, Stored, Version, Written};

/// With this the ids begin that this program makes.
pub(super) const OURS: &str = "lt";

/// The id that follows from a key: letters `a` to `v` and digits, as the API asks for.
pub(super) fn event_id(key: &IdempotencyKey) -> String {
    let sum = base32().encode(&Sha256::digest(key.as_str()));
    format!("{OURS}{}", sum.get(..32).unwrap_or(&sum))
}

fn base32() -> &'static Encoding {
    static ENCODING: std::sync::OnceLock<Encoding> = std::sync::OnceLock::new();
    ENCODING.get_or_init(|| {
        let mut specification = data_encoding::Specification::new();
        specification.symbols.push_str("0123456789abcdefghijklmnopqrstuv");
        specification.encoding().unwrap_or(data_encoding::HEXLOWER)
    })
}

/// An object as it is to be at Google.
struct Wanted {
    master: Option<map::Mapped>,
    overrides: Vec<(String, map::Mapped)>,
}

impl Google {
    fn wanted(&self, calendar: &RemoteId, object: &Object) -> Result<Wanted, Fault> {
        let context = self.context(calendar);
        let read =
            |one: &Component| map::from_ical(one, object, &context).map_err(|unfit| Fault::Refused(unfit.to_string()));
        let master = object.master().map(read).transpose()?;
        let mut overrides = Vec::new();
        for one in object.members() {
            let Some(id) = one.property("RECURRENCE-ID") else { continue };
            if id.param("RANGE").is_some() {
                return Err(Fault::Refused("Google takes no change of one instance and all that follow".to_owned()));
            }
            let moment = DateOrTime::parse(id).map_err(|_| Fault::Refused("an instance can't be read".to_owned()))?;
            overrides.push((map::moment_key(&moment, object, &context), read(one)?));
        }
        Ok(Wanted { master, overrides })
    }

    pub(super) async fn create_event(
        &self,
        calendar: &RemoteId,
        key: &IdempotencyKey,
        change: &Change<'_>,
    ) -> Result<Written, Fault> {
        let wanted = self.wanted(calendar, change.object)?;
        let Some(master) = &wanted.master else {
            return Err(Fault::Refused("Google takes no instance without its series".to_owned()));
        };
        let mut body = full(master);
        let is_meeting = body.get("attendees").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        let organizer = change.object.master().and_then(|master| master.property("ORGANIZER"));
        let organizer = organizer.map(|who| who.value().trim().to_ascii_lowercase().replace("mailto:", ""));
        let is_guest = organizer.as_ref().is_some_and(|who| !who.eq_ignore_ascii_case(&self.email()));
        // A meeting that nobody is to be told of, or somebody else's, is brought in as a copy: that invites nobody.
        let id = if is_meeting && (is_guest || change.notify == Notify::Nobody) {
            self.import(calendar, change.object.uid(), organizer.as_deref(), body).await?
        } else {
            let id = event_id(key);
            let kept = map::stash_members(master, &id, Some(change.object.uid()));
            stash_into(&mut body, kept);
            body.insert("id".to_owned(), json!(id));
            self.insert(calendar, &id, (body, master), change.notify).await?
        };
        if !wanted.overrides.is_empty() {
            let group = self.group(calendar, &id).await?;
            self.write_overrides(calendar, (&id, &group), (&wanted, None), change).await?;
        }
        self.read_back(calendar, &id, change.object).await
    }

    /// Adds an event under our id. One that is there already is ours of a try whose answer was lost, or was deleted since.
    async fn insert(
        &self,
        calendar: &RemoteId,
        id: &str,
        (body, master): (Map<String, Value>, &map::Mapped),
        notify: Notify,
    ) -> Result<String, Fault> {
        let ask = Ask::post(&["calendars", calendar.as_str(), "events"], Value::Object(body.clone()));
        match self.ask(told(ask, notify), Aim::Calendar).await {
            Ok(_) => return Ok(id.to_owned()),
            Err(Fault::Exists(_)) => {}
            Err(fault) => return Err(fault),
        }
        let at = ["calendars", calendar.as_str(), "events", id];
        let there = self.ask(Ask::get(&at), Aim::Event).await?;
        if !is_cancelled(&there) {
            let version =
                Version { id: RemoteId::new(id), tag: text(&there, "etag").map(crate::provider::RemoteTag::new) };
            let same = body.iter().all(|(name, value)| name == "id" || covers(there.get(name), value));
            return if same { Ok(id.to_owned()) } else { Err(Fault::Exists(Some(version))) };
        }
        let ask = Ask::patch(&at, Value::Object(instead(&there, body, master))).if_match(text(&there, "etag"));
        self.ask(told(ask, notify), Aim::Event).await?;
        Ok(id.to_owned())
    }

    /// What a create has left: under our id, or, where it was brought in as a copy, under its own UID.
    pub(super) async fn made_event(
        &self,
        calendar: &RemoteId,
        key: &IdempotencyKey,
        uid: &str,
    ) -> Result<Option<RemoteId>, Fault> {
        let id = event_id(key);
        match self.ask(Ask::get(&["calendars", calendar.as_str(), "events", &id]), Aim::Event).await {
            Ok(event) if !is_cancelled(&event) => return Ok(Some(RemoteId::new(id))),
            Ok(_) | Err(Fault::Gone) => {}
            Err(fault) => return Err(fault),
        }
        let ask = Ask::get(&["calendars", calendar.as_str(), "events"]).query("iCalUID", uid);
        let found = self.ask(ask, Aim::Calendar).await?;
        let events = found.get("items").and_then(Value::as_array);
        let there = events.and_then(|all| all.iter().find(|one| !is_cancelled(one)));
        if let Some(event) = there {
            self.remember(event);
        }
        Ok(there.and_then(super::group::id_of).map(RemoteId::new))
    }

    /// Adds a copy under its own UID. Again is the same copy.
    async fn import(
        &self,
        calendar: &RemoteId,
        uid: &str,
        organizer: Option<&str>,
        mut body: Map<String, Value>,
    ) -> Result<String, Fault> {
        body.insert("iCalUID".to_owned(), json!(uid));
        if let Some(organizer) = organizer.filter(|who| who.contains('@')) {
            body.insert("organizer".to_owned(), json!({ "email": organizer }));
        }
        let ask = Ask::post(&["calendars", calendar.as_str(), "events", "import"], Value::Object(body));
        let made = self.ask(ask, Aim::Calendar).await?;
        self.remember(&made);
        let id = text(&made, "id").ok_or_else(|| Fault::Garbled("Google names no event".to_owned()))?;
        Ok(id.to_owned())
    }

    pub(super) async fn update_event(
        &self,
        calendar: &RemoteId,
        version: &Version,
        change: &Change<'_>,
    ) -> Result<Written, Fault> {
        let id = version.id.as_str();
        let wanted = self.wanted(calendar, change.object)?;
        let base = change.base.and_then(|base| self.wanted(calendar, base).ok());
        if let Some(kind) = change.base.and_then(Object::master).and_then(map::special_type) {
            may_change(&kind, &wanted, base.as_ref())?;
        }
        let is_series = |one: &Wanted| {
            let recurs = |master: &map::Mapped| master.members.get("recurrence").is_some_and(Value::is_array);
            !one.overrides.is_empty() || one.master.as_ref().is_none_or(recurs)
        };
        let is_single = !is_series(&wanted) && base.as_ref().is_some_and(|base| !is_series(base));
        match (&version.tag, &wanted.master) {
            (Some(tag), Some(master)) if is_single && !tag.as_str().contains('+') => {
                let before = base.as_ref().and_then(|base| base.master.as_ref());
                let body = self.body(calendar, id, (master, before)).await?;
                self.patch(calendar, id, body, (Some(tag.as_str()), change.notify)).await?;
            }
            _ => {
                let group = self.group(calendar, id).await?;
                if version.tag.is_some() && group.tag() != version.tag {
                    return Err(Fault::Changed);
                }
                self.update_series(calendar, (id, &group), (&wanted, base.as_ref()), change).await?;
            }
        }
        self.read_back(calendar, id, change.object).await
    }

    async fn update_series(
        &self,
        calendar: &RemoteId,
        (id, group): (&str, &Group),
        (wanted, base): (&Wanted, Option<&Wanted>),
        change: &Change<'_>,
    ) -> Result<(), Fault> {
        if let (Some(master), Some(there)) = (&wanted.master, &group.master) {
            let before = base.and_then(|base| base.master.as_ref());
            let mut body = self.body(calendar, id, (master, before)).await?;
            // A rule that is written takes its left-out dates along; those deleted one by one stay deleted.
            let lines = there.get("recurrence").and_then(Value::as_array).cloned().unwrap_or_default();
            let old: Vec<&str> =
                lines.iter().filter_map(Value::as_str).filter(|line| line.starts_with("EXDATE")).collect();
            let restored = before.is_some_and(|before| before.exdates.iter().any(|key| !master.exdates.contains(key)));
            if body.contains_key("recurrence") || (restored && !old.is_empty()) {
                let rules = master.members.get("recurrence").and_then(Value::as_array).cloned().unwrap_or_default();
                let all = rules.into_iter().chain(master.exdate_lines.iter().map(|line| json!(line)));
                body.insert("recurrence".to_owned(), Value::Array(all.collect()));
            }
            self.patch(calendar, id, body, (text(there, "etag"), change.notify)).await?;
            self.write_left_out(calendar, (id, group), (master, before), change).await?;
        }
        self.write_overrides(calendar, (id, group), (wanted, base), change).await
    }

    /// Instances that are to be left out are deleted, and those that are back are put back.
    async fn write_left_out(
        &self,
        calendar: &RemoteId,
        (id, group): (&str, &Group),
        (master, before): (&map::Mapped, Option<&map::Mapped>),
        change: &Change<'_>,
    ) -> Result<(), Fault> {
        let notify = change.notify;
        let known: &[String] = before.map_or(&[], |before| &before.exdates);
        for key in master.exdates.iter().filter(|key| !known.contains(key)) {
            let instance = self.instance(calendar, (id, group), key).await?;
            if let Some(instance) = instance.as_ref().and_then(|one| text(one, "id")) {
                self.leave_out(calendar, instance, notify).await?;
            }
        }
        // What the rule no longer gives (the series has moved, or ends earlier) is not put back: it would be one too many.
        let context = self.context(calendar);
        let is_back = |key: &&String| !master.exdates.contains(key) && gives(change.object, key, &context);
        for key in known.iter().filter(is_back) {
            if let Some(one) = group.exception(key).filter(|one| is_cancelled(one))
                && let Some(instance) = text(one, "id")
            {
                let body = Map::from_iter([("status".to_owned(), json!("confirmed"))]);
                self.patch(calendar, instance, body, (None, notify)).await?;
            }
        }
        Ok(())
    }

    async fn leave_out(&self, calendar: &RemoteId, instance: &str, notify: Notify) -> Result<(), Fault> {
        let ask = Ask::delete(&["calendars", calendar.as_str(), "events", instance]);
        match self.ask(told(ask, notify), Aim::Event).await {
            Ok(_) | Err(Fault::Gone) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    async fn write_overrides(
        &self,
        calendar: &RemoteId,
        (id, group): (&str, &Group),
        (wanted, base): (&Wanted, Option<&Wanted>),
        change: &Change<'_>,
    ) -> Result<(), Fault> {
        let notify = change.notify;
        let before = |key: &str| base.and_then(|base| base.overrides.iter().find(|(known, _)| known == key));
        for (key, one) in &wanted.overrides {
            let known = before(key).map(|(_, before)| before);
            // What an exception does not say otherwise it has from its master.
            let inherited = known.or(wanted.master.as_ref());
            let there = group.exception(key);
            // One that was called off is a deleted one there, and stays it.
            let is_off = one.members.get("status") == Some(&json!("cancelled"));
            if is_off && there.is_some_and(is_cancelled) {
                continue;
            }
            let now = self.instance(calendar, (id, group), key).await?;
            let Some((now, instance)) = now.as_ref().and_then(|now| Some((now, text(now, "id")?))) else {
                return Err(Fault::Refused("Google knows no such instance of the series".to_owned()));
            };
            if is_off {
                self.leave_out(calendar, instance, notify).await?;
                continue;
            }
            let mut body = self.body(calendar, instance, (one, inherited)).await?;
            // The master's times are none of the instance's: what it has already is no change, and a guest may not name it.
            if known.is_none() {
                body.retain(|name, value| !matches!(name.as_str(), "start" | "end") || !covers(now.get(name), value));
            }
            if there.is_some_and(is_cancelled) {
                body.insert("status".to_owned(), json!("confirmed"));
            }
            self.patch(calendar, instance, body, (there.and_then(|one| text(one, "etag")), notify)).await?;
        }
        let Some(master) = &wanted.master else { return Ok(()) };
        for (key, old) in base.into_iter().flat_map(|base| &base.overrides) {
            let is_kept = wanted.overrides.iter().any(|(known, _)| known == key) || master.exdates.contains(key);
            if let Some(one) = group.exception(key).filter(|one| !is_kept && !is_cancelled(one))
                && let Some(instance) = text(one, "id")
            {
                if !gives(change.object, key, &self.context(calendar)) {
                    self.leave_out(calendar, instance, notify).await?;
                    continue;
                }
                // Back to what the series says, but for the times, which are its own.
                let mut body = differing(master, Some(old));
                body.retain(|name, _| !matches!(name.as_str(), "start" | "end" | "recurrence"));
                if let Some(original) = one.get("originalStartTime") {
                    body.extend(times(master, original));
                }
                self.patch(calendar, instance, body, (text(one, "etag"), notify)).await?;
            }
        }
        Ok(())
    }

    /// An instance as it is there. Its id is worked out, and asked for where that is no instance.
    async fn instance(
        &self,
        calendar: &RemoteId,
        (id, group): (&str, &Group),
        key: &str,
    ) -> Result<Option<Value>, Fault> {
        if let Some(one) = group.exception(key) {
            return Ok(Some(one.clone()));
        }
        let guess = map::instance_id(id, key);
        let at = ["calendars", calendar.as_str(), "events", &guess];
        match self.ask(Ask::get(&at), Aim::Event).await {
            Ok(found) if text(&found, "recurringEventId") == Some(id) => return Ok(Some(found)),
            Ok(_) | Err(Fault::Gone) => {}
            Err(fault) => return Err(fault),
        }
        let ask = Ask::get(&["calendars", calendar.as_str(), "events", id, "instances"])
            .query("originalStart", original(key));
        let found = self.ask(ask, Aim::Event).await?;
        Ok(found.pointer("/items/0").cloned())
    }

    /// What is to be sent of an event: the members that differ.
    async fn body(
        &self,
        calendar: &RemoteId,
        id: &str,
        (wanted, before): (&map::Mapped, Option<&map::Mapped>),
    ) -> Result<Map<String, Value>, Fault> {
        let mut body = differing(wanted, before);
        if before.is_none_or(|before| before.stash != wanted.stash) {
            stash_into(&mut body, self.stash(calendar, id, wanted).await?);
        }
        let Some(attendees) = body.remove("attendees") else { return Ok(body) };
        let ours = attendees.as_array().cloned().unwrap_or_default();
        let there = self.ask(Ask::get(&["calendars", calendar.as_str(), "events", id]), Aim::Event).await?;
        // The organizer of a meeting in another calendar is that calendar, and it is ours all the same.
        let is_guest = there.get("organizer").is_some_and(|who| who.get("self") != Some(&json!(true)));
        if let Some(answer) = Some(&there).filter(|_| is_guest).and_then(|there| answer(&ours, there, &self.email())) {
            // A guest answers for themselves alone; the list stays as it is.
            body.insert("attendeesOmitted".to_owned(), json!(true));
            body.insert("attendees".to_owned(), json!([answer]));
            return Ok(body);
        }
        if there.get("attendeesOmitted") != Some(&json!(true)) {
            body.insert("attendees".to_owned(), json!(with_what_is_there(ours, &there)));
        }
        Ok(body)
    }

    /// The stash of an event that is there, with the UID it had and without what it no longer needs.
    async fn stash(&self, calendar: &RemoteId, id: &str, wanted: &map::Mapped) -> Result<Map<String, Value>, Fault> {
        let there = self.ask(Ask::get(&["calendars", calendar.as_str(), "events", id]), Aim::Event).await?;
        let known = map::kept_uid(&there);
        let mut kept = map::stash_members(wanted, id, known.as_deref());
        let old = there.pointer("/extendedProperties/private").and_then(Value::as_object);
        for name in old.into_iter().flat_map(Map::keys).filter(|name| name.starts_with("gwIcal")) {
            kept.entry(name.clone()).or_insert(Value::Null);
        }
        Ok(kept)
    }

    async fn patch(
        &self,
        calendar: &RemoteId,
        id: &str,
        body: Map<String, Value>,
        (etag, notify): (Option<&str>, Notify),
    ) -> Result<(), Fault> {
        if body.is_empty() {
            return Ok(());
        }
        let ask = Ask::patch(&["calendars", calendar.as_str(), "events", id], Value::Object(body)).if_match(etag);
        match self.ask(told(ask, notify), Aim::Event).await {
            Ok(_) => Ok(()),
            Err(Fault::Gone) => Err(self.gone(calendar).await),
            Err(fault) => Err(fault),
        }
    }

    pub(super) async fn read_back(&self, calendar: &RemoteId, id: &str, sent: &Object) -> Result<Written, Fault> {
        let group = match self.group(calendar, id).await {
            Ok(group) => group,
            Err(Fault::Gone) => return Err(Fault::Garbled("Google took an event and does not have it".to_owned())),
            Err(fault) => return Err(fault),
        };
        let octets = group.octets(&self.context(calendar));
        let is_same = Object::parse(octets.clone()).is_ok_and(|stored| same_meaning(&stored, sent));
        let stored = if is_same { Stored::AsSent } else { Stored::Different(octets) };
        Ok(Written { version: Version { id: RemoteId::new(id), tag: group.tag() }, stored })
    }

    pub(super) async fn delete_event(
        &self,
        calendar: &RemoteId,
        version: &Version,
        removal: &Removal<'_>,
    ) -> Result<(), Fault> {
        let id = version.id.as_str();
        // The tag of a series says nothing of an exception that it has had since.
        let recurs = |master: &Component| ["RRULE", "RDATE"].iter().any(|name| master.property(name).is_some());
        let is_single = !removal.base.and_then(Object::master).is_some_and(recurs);
        let is_plain = is_single && version.tag.as_ref().is_some_and(|tag| !tag.as_str().contains('+'));
        let mut targets = vec![(id.to_owned(), version.tag.as_ref().map(|tag| tag.as_str().to_owned()))];
        if !is_plain {
            let group = match self.group(calendar, id).await {
                Err(Fault::Gone) => return Ok(()),
                other => other?,
            };
            if version.tag.is_some() && group.tag() != version.tag {
                return Err(Fault::Changed);
            }
            let all = group
                .master
                .iter()
                .chain(group.exceptions.iter().filter(|one| group.master.is_none() && !is_cancelled(one)));
            let name = |one: &Value| Some((text(one, "id")?.to_owned(), text(one, "etag").map(str::to_owned)));
            targets = all.filter_map(name).collect();
        }
        for (id, etag) in targets {
            let ask = Ask::delete(&["calendars", calendar.as_str(), "events", &id]).if_match(etag.as_deref());
            match self.ask(told(ask, removal.notify), Aim::Event).await {
                Ok(_) => {}
                Err(Fault::Gone) => match self.gone(calendar).await {
                    Fault::Gone => {}
                    fault => return Err(fault),
                },
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }
}

/// Says whom Google may tell, every time: its defaults are not ours.
pub(super) fn told(ask: Ask, notify: Notify) -> Ask {
    ask.query(
        "sendUpdates",
        match notify {
            Notify::Attendees => "all",
            Notify::Nobody => "none",
        },
    )
}

/// Birthdays, events made from mail and the like take few changes: the others are refused before anything is sent.
fn may_change(kind: &str, wanted: &Wanted, base: Option<&Wanted>) -> Result<(), Fault> {
    let free = ["colorId", "reminders", "visibility", "transparency"];
    let before = base.and_then(|base| base.master.as_ref());
    let changed = wanted.master.as_ref().map(|master| differing(master, before)).unwrap_or_default();
    let is_fine = changed.keys().all(|name| free.contains(&name.as_str()) || (kind == "fromGmail" && name == "status"));
    if is_fine {
        return Ok(());
    }
    Err(Fault::Refused(format!(
        "Google takes no change of this in an event of the kind {kind}: only colour, reminders and privacy can be changed"
    )))
}

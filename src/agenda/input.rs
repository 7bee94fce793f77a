//! An event as people's programs describe it, and the lines that follow from that.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

use crate::ical::{At, Component, DateOrTime, Draft, Edit, Line, Object, Zone, as_vtimezone, check_rule};

/// What is to be written; what is absent stays as it is. An empty text takes the property away.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A date, a time with its offset, or a time in `timeZone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// The same, exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Whether it takes whole days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_day: Option<bool>,
    /// The zone it is written in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A page about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `confirmed`, `tentative` or `cancelled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Whether it takes no time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transparent: Option<bool>,
    /// `public`, `private` or `confidential`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Its categories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub categories: Option<Vec<String>>,
    /// How it recurs, as RRULE has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rrule: Option<String>,
    /// Minutes before the start at which to remind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reminders: Option<Vec<u32>>,
    /// The calendar for a new event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").finish_non_exhaustive()
    }
}

/// Why an event can't be made of what was said. Names the member at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputFault {
    /// A member has a value that can't be understood.
    #[error("{0}: {1}")]
    Member(&'static str, &'static str),
    /// There is no such occurrence.
    #[error("the series has no such occurrence")]
    NoOccurrence,
    /// The result can't be read again; a defect on one of the sides.
    #[error("the event can't be changed this way")]
    Unchangeable,
}

/// A start and an end that fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct When {
    pub(super) start: DateOrTime,
    pub(super) end: DateOrTime,
}

impl Input {
    /// A new event.
    pub fn create(&self, uid: &str, now: Timestamp) -> Result<Object, InputFault> {
        let start = self.start.as_deref().ok_or(InputFault::Member("start", "is needed"))?;
        let start = self.moment("start", start, None)?;
        let when = When { end: self.end_for(&start, None)?, start };
        let event = Draft::new("VEVENT")
            .line(Line::new("UID").text(uid))
            .line(Line::at("DTSTAMP", &DateOrTime::Utc(now)))
            .line(Line::at("CREATED", &DateOrTime::Utc(now)));
        let object = Draft::calendar().child(event).object().map_err(|_| InputFault::Unchangeable)?;
        self.remind(self.apply(&object, &At::Member(0), Some(&when), now)?, 0)
    }

    /// The start and end that are asked for, for an event that is at `old` now; `None` if it stays there.
    pub(super) fn when(&self, old: &When) -> Result<Option<When>, InputFault> {
        if self.start.is_none() && self.end.is_none() && self.all_day.is_none() && self.time_zone.is_none() {
            return Ok(None);
        }
        let zone = old.start.tzid();
        let start = match &self.start {
            Some(text) => self.moment("start", text, zone)?,
            None => match (&old.start, self.all_day) {
                (at @ DateOrTime::Date(_), Some(false)) => DateOrTime::Floating(at.civil()),
                (at, Some(true)) => DateOrTime::Date(at.civil().date()),
                (at, _) => at.clone(),
            },
        };
        let end = match &self.end {
            Some(_) => self.end_for(&start, zone)?,
            None => lasting(&start, old),
        };
        Ok(Some(When { start, end }))
    }

    fn end_for(&self, start: &DateOrTime, zone: Option<&str>) -> Result<DateOrTime, InputFault> {
        let Some(text) = self.end.as_deref() else {
            let civil = start.civil();
            return Ok(match start {
                DateOrTime::Date(date) => DateOrTime::Date(date.tomorrow().unwrap_or(*date)),
                other => at_civil(other, civil.checked_add(jiff::Span::new().hours(1)).unwrap_or(civil)),
            });
        };
        let end = self.moment("end", text, zone.or(start.tzid()))?;
        if end.is_date() != start.is_date() {
            return Err(InputFault::Member("end", "must be a date where start is one, and a time where it is one"));
        }
        let late = instant(&end) > instant(start) || (!end.is_date() && instant(&end) == instant(start));
        if late { Ok(end) } else { Err(InputFault::Member("end", "lies before start")) }
    }

    fn moment(&self, member: &'static str, text: &str, old_zone: Option<&str>) -> Result<DateOrTime, InputFault> {
        let bad = InputFault::Member(member, "is no date or time such as 2026-03-01 or 2026-03-01T09:00:00+01:00");
        if self.all_day == Some(true) {
            return text.get(..10).and_then(|day| day.parse::<Date>().ok()).map(DateOrTime::Date).ok_or(bad);
        }
        if self.all_day.is_none()
            && text.len() == 10
            && let Ok(date) = text.parse::<Date>()
        {
            return Ok(DateOrTime::Date(date));
        }
        let named = self.time_zone.as_deref().or(old_zone).filter(|name| !name.eq_ignore_ascii_case("utc"));
        let zone = match named {
            None => None,
            Some(name) => {
                let unknown = InputFault::Member("timeZone", "is no name such as Europe/Berlin");
                Some((name, Zone::resolve(name, None).ok_or(unknown)?))
            }
        };
        let instant = text.parse::<Timestamp>().ok();
        Ok(match (instant, zone) {
            (Some(instant), None) => DateOrTime::Utc(instant),
            (Some(instant), Some((name, zone))) => {
                DateOrTime::Zoned { local: zone.to_civil(instant), tzid: name.to_owned() }
            }
            (None, zone) => {
                let local: DateTime = text.parse().map_err(|_| bad)?;
                match zone {
                    Some((name, _)) => DateOrTime::Zoned { local, tzid: name.to_owned() },
                    None => DateOrTime::Floating(local),
                }
            }
        })
    }

    /// Writes all that is said onto one component.
    pub(super) fn apply(
        &self,
        object: &Object,
        at: &At,
        when: Option<&When>,
        now: Timestamp,
    ) -> Result<Object, InputFault> {
        let mut edit = Edit::new(object);
        for (name, text) in [("SUMMARY", &self.title), ("LOCATION", &self.location), ("DESCRIPTION", &self.description)]
        {
            edit = match text.as_deref() {
                None => edit,
                Some("") => edit.remove(at, name),
                Some(text) => edit.set(at, &Line::new(name).text(text)),
            };
        }
        edit = self.apply_words(edit, at)?;
        if let Some(when) = when {
            edit = edit.set(at, &Line::at("DTSTART", &when.start)).set(at, &Line::at("DTEND", &when.end));
            edit = edit.remove(at, "DURATION");
            if let Some(sequence) = next_sequence(object, at) {
                edit = edit.set(at, &Line::new("SEQUENCE").value(&sequence.to_string()));
            }
            // Each zone once, also where start and end share it.
            let tzids: BTreeSet<&str> = [when.start.tzid(), when.end.tzid()].into_iter().flatten().collect();
            edit = tzids.into_iter().fold(edit, |edit, tzid| with_zone(edit, object, tzid));
        }
        edit = edit.set(at, &Line::at("LAST-MODIFIED", &DateOrTime::Utc(now)));
        edit = edit.set(at, &Line::at("DTSTAMP", &DateOrTime::Utc(now)));
        edit.finish().map_err(|_| InputFault::Unchangeable)
    }

    fn apply_words<'a>(&self, mut edit: Edit<'a>, at: &At) -> Result<Edit<'a>, InputFault> {
        let one_of = |member, text: &str, words: &[&str]| {
            let found = words.iter().find(|word| text.eq_ignore_ascii_case(word));
            found.map(|word| word.to_ascii_uppercase()).ok_or(InputFault::Member(member, "is not one of its words"))
        };
        if let Some(status) = &self.status {
            let status = one_of("status", status, &["confirmed", "tentative", "cancelled"])?;
            edit = edit.set(at, &Line::new("STATUS").value(&status));
        }
        if let Some(class) = &self.class {
            let class = one_of("class", class, &["public", "private", "confidential"])?;
            edit = edit.set(at, &Line::new("CLASS").value(&class));
        }
        if let Some(transparent) = self.transparent {
            edit = edit.set(at, &Line::new("TRANSP").value(if transparent { "TRANSPARENT" } else { "OPAQUE" }));
        }
        if let Some(url) = &self.url {
            if !url.is_empty() && url::Url::parse(url).is_err() {
                return Err(InputFault::Member("url", "is no address such as https://example.org/"));
            }
            edit = if url.is_empty() { edit.remove(at, "URL") } else { edit.set(at, &Line::new("URL").value(url)) };
        }
        if let Some(categories) = &self.categories {
            let list: Vec<&str> = categories.iter().map(String::as_str).collect();
            edit = edit.remove(at, "CATEGORIES");
            if !list.is_empty() {
                edit = edit.add(at, &Line::new("CATEGORIES").list(&list));
            }
        }
        if let Some(rule) = &self.rrule {
            let rule = rule.trim().trim_start_matches("RRULE:");
            if !rule.is_empty() && check_rule(rule).is_err() {
                return Err(InputFault::Member("rrule", "is no rule such as FREQ=WEEKLY;BYDAY=MO"));
            }
            edit =
                if rule.is_empty() { edit.remove(at, "RRULE") } else { edit.set(at, &Line::new("RRULE").value(rule)) };
        }
        Ok(edit)
    }

    /// The reminders asked for, in place of those that show something.
    pub(super) fn remind(&self, object: Object, member: usize) -> Result<Object, InputFault> {
        let Some(reminders) = &self.reminders else { return Ok(object) };
        let at = |object: &Object, member: usize| {
            let wanted = object.members().nth(member).map(Component::span);
            object.root().children().iter().position(|child| Some(child.span()) == wanted)
        };
        let place = at(&object, member).ok_or(InputFault::Unchangeable)?;
        let component = object.root().children().get(place).ok_or(InputFault::Unchangeable)?;
        let mut edit = Edit::new(&object);
        for (number, child) in component.children().iter().enumerate() {
            let shows =
                child.property("ACTION").is_some_and(|line| line.value().trim().eq_ignore_ascii_case("DISPLAY"));
            if child.is("VALARM") && shows {
                edit = edit.remove_component(&At::Path(vec![place, number]));
            }
        }
        for minutes in reminders {
            let alarm = Draft::new("VALARM")
                .line(Line::new("ACTION").value("DISPLAY"))
                .line(Line::new("TRIGGER").value(&format!("-PT{minutes}M")))
                .line(Line::new("DESCRIPTION").text("Reminder"));
            edit = edit.add_component(&At::Path(vec![place]), &alarm.octets());
        }
        edit.finish().map_err(|_| InputFault::Unchangeable)
    }
}

/// The revision that another time makes of an event that has one (RFC 5545 3.8.7.4).
fn next_sequence(object: &Object, at: &At) -> Option<i64> {
    let At::Member(number) = at else { return None };
    let member = object.members().nth(*number).filter(|member| member.property("DTSTART").is_some())?;
    let before = member.property("SEQUENCE").and_then(|line| line.value().trim().parse::<i64>().ok());
    Some(before.unwrap_or_default().saturating_add(1))
}

/// Adds the definition of a zone that the object lacks.
pub(super) fn with_zone<'a>(edit: Edit<'a>, object: &Object, tzid: &str) -> Edit<'a> {
    let has = object.timezones().any(|zone| zone.property("TZID").is_some_and(|line| line.text() == tzid));
    match Zone::resolve(tzid, None) {
        Some(zone) if !has => edit.add_component(&At::Calendar, &as_vtimezone(tzid, &zone).octets()),
        _ => edit,
    }
}

/// As long as before from another start on.
pub(super) fn lasting(start: &DateOrTime, old: &When) -> DateOrTime {
    let (from, to) = (old.start.civil(), old.end.civil());
    if start.is_date() {
        let days = instant_of_civil(to) - instant_of_civil(from);
        let days = (days / 86_400).max(1);
        let date = start.civil().date();
        let end = jiff::Span::new().try_days(days).ok().and_then(|days| date.checked_add(days).ok());
        return DateOrTime::Date(end.unwrap_or(date));
    }
    let length = if old.start.is_date() { 3600 } else { instant(&old.end) - instant(&old.start) };
    let civil = start.civil();
    let end = civil.checked_add(jiff::SignedDuration::from_secs(length.max(0))).unwrap_or(civil);
    at_civil(start, end)
}

/// Another local time in the same form.
pub(super) fn at_civil(like: &DateOrTime, civil: DateTime) -> DateOrTime {
    match like {
        DateOrTime::Date(_) => DateOrTime::Date(civil.date()),
        DateOrTime::Floating(_) => DateOrTime::Floating(civil),
        DateOrTime::Utc(_) => DateOrTime::Utc(Zone::UTC.to_instant(civil)),
        DateOrTime::Zoned { tzid, .. } => DateOrTime::Zoned { local: civil, tzid: tzid.clone() },
    }
}

/// Seconds since 1970, by the zone's name alone.
pub(super) fn instant(at: &DateOrTime) -> i64 {
    match at {
        DateOrTime::Utc(instant) => instant.as_second(),
        DateOrTime::Zoned { local, tzid } => {
            Zone::resolve(tzid, None).unwrap_or(Zone::UTC).to_instant(*local).as_second()
        }
        other => instant_of_civil(other.civil()),
    }
}

fn instant_of_civil(civil: DateTime) -> i64 {
    Zone::UTC.to_instant(civil).as_second()
}

//! Occurrences as people's programs take them: the event objects of `FullCalendar`, which others take with few words.
//!
//! Times are written in the zone that was asked for, with its offset; days as plain dates with an exclusive end.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::ical::{Budget, Component, DateOrTime, Instance, Object, Overrun, Property, TimeRange, Zone, instances};

/// In which zone times are written and floating times are read.
#[derive(Clone, Debug)]
pub struct Clockwork {
    zone: TimeZone,
    reading: Zone,
}

impl Clockwork {
    /// The zone of an IANA name; `UTC` and `local` (a word of `FullCalendar`'s) are UTC.
    pub fn named(name: &str) -> Option<Self> {
        if name.is_empty() || name.eq_ignore_ascii_case("utc") || name == "local" {
            return Some(Self::utc());
        }
        match Zone::iana(name)? {
            Zone::Iana(zone) => Some(Self { reading: Zone::Iana(zone.clone()), zone }),
            _ => None,
        }
    }

    /// UTC.
    pub fn utc() -> Self {
        Self { zone: TimeZone::UTC, reading: Zone::UTC }
    }

    /// The zone that floating times are read in.
    pub fn reading(&self) -> &Zone {
        &self.reading
    }

    /// The zone that times are written in.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Its IANA name, unless it is UTC.
    pub fn name(&self) -> Option<&str> {
        self.zone.iana_name().filter(|name| *name != "UTC")
    }

    /// An instant from a time with its offset, or a date or time in this zone.
    pub fn moment(&self, text: &str) -> Option<Timestamp> {
        // A plus sign that nobody encoded reads as a space.
        let text = text.replace(' ', "+");
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Some(instant);
        }
        if text.len() == 10 {
            let date: jiff::civil::Date = text.parse().ok()?;
            return Some(self.reading.to_instant(date.at(0, 0, 0, 0)));
        }
        text.parse().ok().map(|local| self.reading.to_instant(local))
    }

    /// A time as RFC 3339 has it, in this zone.
    pub fn written(&self, at: Timestamp) -> String {
        if self.zone == TimeZone::UTC {
            return at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        }
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

/// One occurrence of an event.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Occurrence {
    /// Names this occurrence.
    pub id: String,
    /// Names the series, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// What it is called.
    pub title: String,
    /// When it starts: a date, or a time with its offset.
    pub start: String,
    /// When it ends, exclusive.
    pub end: String,
    /// Whether it takes whole days.
    pub all_day: bool,
    /// The colour of its calendar, `#RRGGBB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// Whether it can be changed here.
    pub editable: bool,
    /// The rest.
    pub extended_props: Details,
    /// For putting occurrences in order.
    #[serde(skip)]
    pub starts: Timestamp,
    /// When it ends.
    #[serde(skip)]
    pub ends: Timestamp,
}

impl std::fmt::Debug for Occurrence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Occurrence({}, {})", self.id, self.starts)
    }
}

/// What calendar libraries have no place of their own for.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// The event's UID.
    pub uid: String,
    /// The calendar it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The tag that an edit may name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Which of the series, as RECURRENCE-ID would be written in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurrence_id: Option<String>,
    /// The series' rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rrule: Option<String>,
    /// The zone in which it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `confirmed`, `tentative`, `cancelled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Whether it takes no time.
    pub transparent: bool,
    /// `public`, `private`, `confidential`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// A page about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its categories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Who invites.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organizer: Option<Person>,
    /// Who is invited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attendees: Vec<Person>,
}

impl std::fmt::Debug for Details {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Details").finish_non_exhaustive()
    }
}

/// Somebody in an event.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// Their address, without `mailto:`.
    pub address: String,
    /// Their name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What they answered, in lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Person({} octets)", self.address.len())
    }
}

/// What an object is known by outside of itself.
#[derive(Clone, Debug, Default)]
pub struct Label {
    /// The event, in ids.
    pub event: String,
    /// The calendar.
    pub source: Option<String>,
    /// The calendar's colour.
    pub color: Option<String>,
    /// The object's tag.
    pub etag: Option<String>,
    /// Whether it may be written.
    pub editable: bool,
}

/// The occurrences of one object that overlap `range`, in order.
pub fn occurrences(
    object: &Object,
    label: &Label,
    range: &TimeRange,
    clock: &Clockwork,
    budget: &mut Budget,
) -> Result<Vec<Occurrence>, Overrun> {
    let found = instances(object, range, clock.reading(), budget)?;
    let members: Vec<&Component> = object.members().collect();
    let master = object.master();
    let shown = found.iter().filter_map(|instance| {
        let member = members.get(instance.component)?;
        Some(occurrence(member, master, instance, label, clock))
    });
    Ok(shown.collect())
}

fn occurrence(
    member: &Component,
    master: Option<&Component>,
    instance: &Instance,
    label: &Label,
    clock: &Clockwork,
) -> Occurrence {
    let text = |name: &str| member.property(name).map(Property::text).filter(|text| !text.is_empty());
    let word = |name: &str| member.property(name).map(|line| line.value().trim().to_ascii_lowercase());
    let recurs = instance.recurrence_id.as_ref().map(|id| instance_key(id, clock));
    let start = member.property("DTSTART").and_then(|line| DateOrTime::parse(line).ok());
    let (from, to) = if instance.all_day {
        let day = |at: Timestamp| clock.reading.to_civil(at).date().to_string();
        (day(instance.start), day(instance.end))
    } else {
        (clock.written(instance.start), clock.written(instance.end))
    };
    let id = recurs.as_ref().map_or_else(|| label.event.clone(), |key| format!("{}_{key}", label.event));
    let details = Details {
        uid: text("UID").unwrap_or_default(),
        source: label.source.clone(),
        etag: label.etag.clone(),
        rrule: master.and_then(|master| master.property("RRULE")).map(|line| line.value().trim().to_owned()),
        time_zone: start.as_ref().and_then(DateOrTime::tzid).map(str::to_owned),
        location: text("LOCATION"),
        description: text("DESCRIPTION"),
        status: word("STATUS"),
        transparent: word("TRANSP").as_deref() == Some("transparent"),
        class: word("CLASS"),
        url: member.property("URL").map(|line| line.value().to_owned()).filter(|url| is_web(url)),
        categories: member.all("CATEGORIES").flat_map(|line| line.list().map(unescaped).collect::<Vec<_>>()).collect(),
        organizer: member.property("ORGANIZER").map(person),
        attendees: member.all("ATTENDEE").map(person).collect(),
        recurrence_id: recurs.clone(),
    };
    Occurrence {
        id,
        group_id: recurs.map(|_| label.event.clone()),
        title: text("SUMMARY").unwrap_or_default(),
        start: from,
        end: to,
        all_day: instance.all_day,
        color: label.color.clone(),
        editable: label.editable,
        extended_props: details,
        starts: instance.start,
        ends: instance.end,
    }
}

/// Which of a series, as it stands in ids: a date, a time in UTC, or a time without a zone.
fn instance_key(id: &DateOrTime, clock: &Clockwork) -> String {
    match id {
        DateOrTime::Zoned { local, tzid } => {
            let zone = Zone::resolve(tzid, None).unwrap_or_else(|| clock.reading.clone());
            DateOrTime::Utc(zone.to_instant(*local)).to_string()
        }
        other => other.to_string(),
    }
}

/// Only what a browser may be sent to: event text comes from strangers.
fn is_web(url: &str) -> bool {
    let starts = |scheme: &str| url.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    starts("https://") || starts("http://")
}

fn unescaped(text: &str) -> String {
    crate::ical::unescape_text(text).into_owned()
}

fn person(line: &Property) -> Person {
    let value = line.value().trim();
    let is_mail = value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
    let address = if is_mail { value.get(7..).unwrap_or_default() } else { value };
    Person {
        address: address.to_owned(),
        name: line.param("CN").map(std::borrow::Cow::into_owned),
        answer: line.param("PARTSTAT").map(|said| said.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &str, zone: &str) -> Vec<(String, String, String, bool)> {
        let text = format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:u\n{lines}\nEND:VEVENT\nEND:VCALENDAR\n");
        let object = Object::parse(text.into()).unwrap();
        let range =
            TimeRange { start: "2026-03-01T00:00:00Z".parse().unwrap(), end: "2026-04-10T00:00:00Z".parse().unwrap() };
        let label = Label { event: "e".into(), ..Label::default() };
        let clock = Clockwork::named(zone).unwrap();
        let found = occurrences(&object, &label, &range, &clock, &mut Budget::request()).unwrap();
        found.into_iter().map(|one| (one.id, one.start, one.end, one.all_day)).collect()
    }

    #[test]
    fn times_are_written_in_the_zone_asked_for() {
        let line = "DTSTART;TZID=America/New_York:20260302T090000\nDURATION:PT1H";
        assert_eq!(
            shown(line, "Europe/Berlin"),
            [("e".into(), "2026-03-02T15:00:00+01:00".into(), "2026-03-02T16:00:00+01:00".into(), false)]
        );
        assert_eq!(shown(line, "UTC")[0].1, "2026-03-02T14:00:00Z");
        assert!(Clockwork::named("Nowhere/Land").is_none());
    }

    #[test]
    fn a_series_has_one_id_for_each_occurrence() {
        let found = shown("DTSTART;TZID=Europe/Berlin:20260328T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=2", "UTC");
        assert_eq!(found[0].0, "e_20260328T080000Z");
        // Summer time has begun.
        assert_eq!((found[1].0.as_str(), found[1].1.as_str()), ("e_20260329T070000Z", "2026-03-29T07:00:00Z"));
    }

    #[test]
    fn days_are_dates_with_an_exclusive_end() {
        let found = shown("DTSTART;VALUE=DATE:20260302\nDTEND;VALUE=DATE:20260304", "Asia/Tokyo");
        assert_eq!(found, [("e".into(), "2026-03-02".into(), "2026-03-04".into(), true)]);
    }
}

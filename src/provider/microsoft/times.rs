//! Times of events, both ways: a date, or a clock on the wall in a zone (RFC 5545 3.3.5; Graph `dateTimeTimeZone`).
//!
//! Events are read in UTC and put on the wall of the zone that their author used (`originalStartTimeZone`), or a
//! series would drift by an hour with the next change of clocks. The date of an all-day event never passes through a zone.

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::refusal::Refusal;
use super::wire::{DateTimeTimeZone, Event};
use super::zone::{windows_name, zone_named};
use crate::ical::{Component, DateOrTime, Duration, Zone, Zones};

/// When an event is.
#[derive(Clone, Debug)]
pub(super) struct When {
    pub(super) start: Moment,
    pub(super) end: Moment,
    pub(super) all_day: bool,
}

/// A place in time, on the wall of a zone.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) local: DateTime,
    pub(super) zone: Zone,
    /// As it stands in TZID.
    pub(super) tzid: String,
}

impl Moment {
    pub(super) fn instant(&self) -> Timestamp {
        self.zone.to_instant(self.local)
    }

    /// As a property's value.
    pub(super) fn value(&self, all_day: bool) -> DateOrTime {
        if all_day {
            DateOrTime::Date(self.local.date())
        } else if self.tzid == "UTC" {
            DateOrTime::Utc(self.instant())
        } else {
            DateOrTime::Zoned { local: self.local, tzid: self.tzid.clone() }
        }
    }

    /// As Graph takes it, in a zone that it knows by name; without one as the instant in UTC.
    fn wire(&self) -> DateTimeTimeZone {
        match windows_name(&self.zone, self.local) {
            Some(name) => wire(self.local, name),
            None => wire(Zone::UTC.to_civil(self.instant()), "UTC"),
        }
    }
}

impl When {
    /// As Graph has it; `None` if it can't be read.
    pub(super) fn of_event(event: &Event) -> Option<Self> {
        let (start, end) = (event.start.as_ref()?, event.end.as_ref()?);
        if event.is_all_day == Some(true) {
            let zone = event.original_start_time_zone.as_deref();
            let first = all_day_date(start, zone)?;
            let after = all_day_date(end, zone)?.max(first.saturating_add(1.day()));
            return Some(Self { start: midnight(first), end: midnight(after), all_day: true });
        }
        let author = event.original_start_time_zone.as_deref();
        let start = moment(start, author)?;
        let end = moment(end, event.original_end_time_zone.as_deref().or(author))?;
        Some(Self { start, end, all_day: false })
    }

    /// As a component has it. `home` is the zone of times that name none.
    pub(super) fn of_component(member: &Component, zones: &Zones, home: &Zone) -> Result<Self, Refusal> {
        let value = |name: &str| member.property(name).map(DateOrTime::parse);
        let start = value("DTSTART").and_then(Result::ok).ok_or(Refusal::NoStart)?;
        let all_day = start.is_date();
        let start = at(&start, zones, home).ok_or(Refusal::UnknownZone)?;
        let end = match (value("DTEND"), member.property("DURATION")) {
            (Some(Ok(end)), _) if end.is_date() == all_day => at(&end, zones, home).ok_or(Refusal::UnknownZone)?,
            (Some(_), _) => return Err(Refusal::NoStart),
            (None, Some(duration)) => {
                let duration = Duration::parse(duration.value()).map_err(|_| Refusal::NoStart)?;
                after(&start, &duration)
            }
            (None, None) => start.clone(),
        };
        let end = if all_day && end.local <= start.local {
            midnight(start.local.date().saturating_add(1.day()))
        } else {
            end
        };
        if end.instant() < start.instant() {
            return Err(Refusal::EndsEarly);
        }
        Ok(Self { start, end, all_day })
    }

    /// Its `start` and `end` for Graph. All days are midnight to midnight in one zone, whichever it is.
    pub(super) fn wire(&self) -> (DateTimeTimeZone, DateTimeTimeZone) {
        if self.all_day {
            return (wire(self.start.local, "UTC"), wire(self.end.local, "UTC"));
        }
        (self.start.wire(), self.end.wire())
    }
}

/// The place in time that a value means; `None` in a zone that nobody knows.
pub(super) fn at(value: &DateOrTime, zones: &Zones, home: &Zone) -> Option<Moment> {
    Some(match value {
        DateOrTime::Date(date) => midnight(*date),
        DateOrTime::Utc(instant) => {
            Moment { local: Zone::UTC.to_civil(*instant), zone: Zone::UTC, tzid: "UTC".to_owned() }
        }
        DateOrTime::Floating(local) => {
            Moment { local: *local, zone: home.clone(), tzid: home.name().unwrap_or("UTC").to_owned() }
        }
        DateOrTime::Zoned { local, tzid } => {
            Moment { local: *local, zone: zones.get(tzid)?.clone(), tzid: tzid.clone() }
        }
    })
}

fn midnight(date: Date) -> Moment {
    Moment { local: date.at(0, 0, 0, 0), zone: Zone::UTC, tzid: "UTC".to_owned() }
}

/// Days are nominal, the rest is exact.
fn after(start: &Moment, duration: &Duration) -> Moment {
    let days = start.local.saturating_add(duration.nominal_days().clamp(-400_000, 400_000).days());
    let exact = SignedDuration::from_secs(duration.exact_seconds());
    let instant = start.zone.to_instant(days).saturating_add(exact).unwrap_or(Timestamp::MAX);
    Moment { local: start.zone.to_civil(instant), ..start.clone() }
}

/// A local time as Graph writes it: seven fractional digits, no offset.
pub(super) fn wire(local: DateTime, zone: &str) -> DateTimeTimeZone {
    let date_time = format!("{}.0000000", local.strftime("%Y-%m-%dT%H:%M:%S"));
    DateTimeTimeZone { date_time, time_zone: Some(zone.to_owned()) }
}

/// The instant of a `dateTimeTimeZone`.
pub(super) fn instant(value: &DateTimeTimeZone) -> Option<Timestamp> {
    let (_, zone) = zone_named(value.time_zone.as_deref().unwrap_or("UTC"))?;
    Some(zone.to_instant(local(&value.date_time)?))
}

/// An Edm.DateTimeOffset.
pub(super) fn stamp(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| Some(Zone::UTC.to_instant(local(text)?)))
}

fn moment(value: &DateTimeTimeZone, author: Option<&str>) -> Option<Moment> {
    let instant = instant(value)?;
    let (tzid, zone) = author.and_then(zone_named).unwrap_or_else(|| ("UTC".to_owned(), Zone::UTC));
    Some(Moment { local: zone.to_civil(instant), zone, tzid })
}

/// The date of an all-day time. It is midnight somewhere: as it stands, or in the zone of the author.
fn all_day_date(value: &DateTimeTimeZone, author: Option<&str>) -> Option<Date> {
    let given = local(&value.date_time)?;
    if given.time() == jiff::civil::Time::midnight() {
        return Some(given.date());
    }
    let (_, zone) = author.and_then(zone_named)?;
    Some(zone.to_civil(instant(value)?).date())
}

/// The date that an instant in UTC means in an all-day series.
pub(super) fn all_day_of(instant: Timestamp, author: Option<&str>) -> Option<Date> {
    all_day_date(&wire(Zone::UTC.to_civil(instant), "UTC"), author)
}

/// 0 to 7 fractional digits, and no offset or `Z`.
fn local(text: &str) -> Option<DateTime> {
    let text = text.trim().trim_end_matches('Z');
    let (seconds, _) = text.split_once('.').unwrap_or((text, ""));
    seconds.parse().ok()
}

//! When a component is and for how long, by its own lines (RFC 5545 3.8.2): what occurrences are counted from.

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Span, Timestamp};

use super::component::Component;
use super::value::{DateOrTime, Duration};
use super::zone::{Zone, Zones};

/// When a component is, and for how long.
#[derive(Debug)]
pub(super) struct Timing {
    pub(super) start: DateOrTime,
    pub(super) local: DateTime,
    pub(super) instant: Timestamp,
    pub(super) zone: Zone,
    pub(super) all_day: bool,
    /// Whether the instants are sure, and don't hang on the asker's zone.
    pub(super) is_anchored: bool,
    pub(super) length: Length,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Length {
    Exact(SignedDuration),
    /// Days on the calendar, then exact time.
    Nominal(i64, SignedDuration),
}

impl Timing {
    /// By DTSTART and DTEND, DUE or DURATION; by DUE alone if there is no DTSTART. `None` if it is at no time.
    pub(super) fn of(member: &Component, zones: &Zones, default: &Zone) -> Option<Self> {
        let read = |name: &str| member.property(name).and_then(|line| DateOrTime::parse(line).ok());
        let end = read("DTEND").or_else(|| read("DUE"));
        let start = read("DTSTART").or_else(|| end.clone())?;
        let (zone, is_anchored) = zone_of(&start, zones, default);
        let local = start.civil();
        let instant = instant_of(&start, &zone);
        let all_day = start.is_date();
        let duration = member.property("DURATION").and_then(|line| Duration::parse(line.value()).ok());
        let length = match (&end, duration) {
            (Some(end), _) if all_day => Length::days(days_from(local.date(), end.civil().date())),
            (Some(end), _) => {
                let end = instant_of(end, &zone_of(end, zones, default).0);
                Length::Exact(end.duration_since(instant).max(SignedDuration::ZERO))
            }
            (None, Some(duration)) => Length::of(duration),
            (None, None) if all_day => Length::days(1),
            (None, None) => Length::Exact(SignedDuration::ZERO),
        };
        let end_is_anchored = end.is_none_or(|end| zone_of(&end, zones, default).1);
        Some(Self { start, local, instant, zone, all_day, is_anchored: is_anchored && end_is_anchored, length })
    }

    /// The end of an occurrence that starts then.
    pub(super) fn end(&self, local: DateTime, instant: Timestamp) -> Timestamp {
        let (from, exact) = match self.length {
            Length::Exact(exact) => (instant, exact),
            Length::Nominal(days, exact) => {
                let moved = Span::new().try_days(days).ok().and_then(|days| local.checked_add(days).ok());
                (moved.map_or(Timestamp::MAX, |local| self.zone.to_instant(local)), exact)
            }
        };
        from.checked_add(exact).unwrap_or(Timestamp::MAX).max(instant)
    }

    /// At least as long as any of its occurrences, in seconds.
    pub(super) fn longest(&self) -> i64 {
        match self.length {
            Length::Exact(exact) => exact.as_secs(),
            Length::Nominal(days, exact) => days.saturating_mul(86_400).saturating_add(exact.as_secs()),
        }
        .max(0)
        .saturating_add(2 * 86_400)
    }

    /// A local time in the form that DTSTART has.
    pub(super) fn written(&self, local: DateTime) -> DateOrTime {
        match &self.start {
            DateOrTime::Date(_) => DateOrTime::Date(local.date()),
            DateOrTime::Floating(_) => DateOrTime::Floating(local),
            DateOrTime::Utc(_) => DateOrTime::Utc(Zone::UTC.to_instant(local)),
            DateOrTime::Zoned { tzid, .. } => DateOrTime::Zoned { local, tzid: tzid.clone() },
        }
    }
}

impl Length {
    fn days(days: i64) -> Self {
        // An end that isn't after the start is written by clients that mean one day.
        Self::Nominal(days.max(1), SignedDuration::ZERO)
    }

    pub(super) fn of(duration: Duration) -> Self {
        let exact = SignedDuration::from_secs(duration.exact_seconds());
        if duration.nominal_days() == 0 { Self::Exact(exact) } else { Self::Nominal(duration.nominal_days(), exact) }
    }
}

/// The zone that a value is in, and whether it says so itself.
pub(super) fn zone_of(value: &DateOrTime, zones: &Zones, default: &Zone) -> (Zone, bool) {
    match value {
        DateOrTime::Utc(_) => (Zone::UTC, true),
        DateOrTime::Zoned { tzid, .. } => match zones.get(tzid) {
            Some(zone) => (zone.clone(), true),
            None => (default.clone(), false),
        },
        DateOrTime::Date(_) | DateOrTime::Floating(_) => (default.clone(), false),
    }
}

/// The instant of a value; its local time is in `zone`.
pub(super) fn instant_of(value: &DateOrTime, zone: &Zone) -> Timestamp {
    match value {
        DateOrTime::Utc(instant) => *instant,
        other => zone.to_instant(other.civil()),
    }
}

fn days_from(start: Date, end: Date) -> i64 {
    let instant = |date: Date| Zone::UTC.to_instant(date.to_datetime(jiff::civil::Time::midnight())).as_second();
    (instant(end) - instant(start)).div_euclid(86_400)
}

//! Occurrences of an object in time (RFC 5545 3.8.4.4, 3.8.5; RFC 4791 9.9): the master's rules and dates, less the
//! exceptions, with the overrides in their places.
//!
//! Lenient where clients are: an override without a master, or of a date that no rule gives, is an occurrence; EXDATE and
//! RECURRENCE-ID as a DATE mean all of that day; a time without a zone in them is in the master's zone; a rule that can't be
//! read adds nothing. All within a [`Budget`]; never looks at the clock.

use std::collections::HashSet;

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::component::{Component, Object, Property};
use super::recur::{Anchor, Beat, Flow, expand};
use super::repeat::Rule;
use super::timing::{Length, Timing, instant_of, zone_of};
use super::value::{DateOrTime, Period};
use super::zone::{Zone, Zones};

/// From `start` to before `end`; open ends are `Timestamp::MIN` and `Timestamp::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    pub start: Timestamp,
    pub end: Timestamp,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start: Timestamp::MIN, end: Timestamp::MAX };

    /// Whether something from `start` to before `end` overlaps it; what takes no time does if it starts inside.
    pub fn overlaps(&self, start: Timestamp, end: Timestamp) -> bool {
        if end > start { self.start < end && self.end > start } else { self.start <= start && self.end > start }
    }

    /// The range with `seconds` more on each side.
    pub(super) fn widened(&self, seconds: i64) -> Self {
        let by = SignedDuration::from_secs(seconds);
        Self {
            start: self.start.checked_sub(by).unwrap_or(Timestamp::MIN),
            end: self.end.checked_add(by).unwrap_or(Timestamp::MAX),
        }
    }
}

/// How much work may still be done: steps of expansion, and instances kept in memory. One per request, not per object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    steps: u64,
    instances: u64,
}

impl Budget {
    pub const fn new(steps: u64, instances: u64) -> Self {
        Self { steps, instances }
    }

    /// What one request may cost.
    pub const fn request() -> Self {
        Self::new(2_000_000, 20_000)
    }

    /// What one object may cost when it is written.
    pub const fn object() -> Self {
        Self::new(20_000, 3_000)
    }

    /// Takes `steps`, or says that there are no more.
    pub fn spend(&mut self, steps: u64) -> Result<(), Overrun> {
        self.steps = self.steps.checked_sub(steps).ok_or(Overrun)?;
        Ok(())
    }

    /// Takes room for one instance.
    pub fn keep(&mut self) -> Result<(), Overrun> {
        self.instances = self.instances.checked_sub(1).ok_or(Overrun)?;
        Ok(())
    }
}

/// The budget is used up. The answer isn't known, so nobody may act as if it were empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the expansion costs more than one request may")]
pub struct Overrun;

/// One occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub start: Timestamp,
    /// Equal to `start` when it takes no time.
    pub end: Timestamp,
    /// Which of the set it is, as the master's DTSTART would be written; `None` if the object doesn't recur.
    pub recurrence_id: Option<DateOrTime>,
    /// Which of `Object::members()` describes it.
    pub component: usize,
    pub all_day: bool,
}

/// The instances that overlap `range`, by start. `default` is the zone of floating times and of days.
pub fn instances(
    object: &Object,
    range: &TimeRange,
    default: &Zone,
    budget: &mut Budget,
) -> Result<Vec<Instance>, Overrun> {
    let set = Set::of(object, default);
    let mut found = Vec::new();
    let _stopped = set.visit(range, budget, &mut |occurrence, budget| {
        if range.overlaps(occurrence.start, occurrence.end) {
            budget.keep()?;
            found.push(Instance {
                start: occurrence.start,
                end: occurrence.end,
                recurrence_id: occurrence.recurrence_id(),
                component: occurrence.component,
                all_day: occurrence.timing.all_day,
            });
        }
        Ok(Flow::Continue(()))
    })?;
    found.sort_by_key(|instance| (instance.start, instance.end, instance.component));
    Ok(found)
}

/// One occurrence, before anybody asked whether it overlaps anything.
#[derive(Debug)]
pub(super) struct Occurrence<'a> {
    /// Its number among the members.
    pub(super) component: usize,
    pub(super) member: &'a Component,
    pub(super) timing: &'a Timing,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// The wall clock at its start, in `timing.zone`.
    pub(super) local: DateTime,
    id: Option<Id<'a>>,
}

/// What the RECURRENCE-ID of an occurrence is made of.
#[derive(Debug)]
enum Id<'a> {
    Written(&'a Replaces),
    Generated { beat: Beat, master: &'a Timing },
}

impl Occurrence<'_> {
    /// `None` if the object doesn't recur.
    pub(super) fn recurrence_id(&self) -> Option<DateOrTime> {
        match self.id.as_ref()? {
            Id::Written(replaces) => Some(replaces.id.clone()),
            Id::Generated { beat, master } => Some(master.written(beat.local)),
        }
    }

    /// The same, in UTC unless it is floating or a DATE.
    pub(super) fn recurrence_id_in_utc(&self) -> Option<DateOrTime> {
        let (written, instant) = match self.id.as_ref()? {
            Id::Written(replaces) => (replaces.id.clone(), replaces.instant),
            Id::Generated { beat, master } => (master.written(beat.local), beat.instant),
        };
        let is_zoned = matches!(written, DateOrTime::Zoned { .. });
        Some(if is_zoned { DateOrTime::Utc(instant) } else { written })
    }
}

/// All members of an object, and how they hang together.
#[derive(Debug)]
pub(super) struct Set<'a> {
    members: Vec<Member<'a>>,
    zones: Zones,
    default: Zone,
    master: Option<usize>,
    /// The dates of the master that aren't there, or are somewhere else.
    gone: Dates,
}

#[derive(Debug)]
struct Member<'a> {
    component: &'a Component,
    timing: Option<Timing>,
    replaces: Option<Replaces>,
}

/// RECURRENCE-ID.
#[derive(Debug)]
struct Replaces {
    id: DateOrTime,
    instant: Timestamp,
    and_future: bool,
}

/// Dates that recurrence properties name, to be looked up.
#[derive(Debug, Default)]
struct Dates {
    instants: HashSet<Timestamp>,
    days: HashSet<Date>,
}

impl Dates {
    fn add(&mut self, value: &DateOrTime, master: Option<&Timing>, zones: &Zones, default: &Zone) {
        // A DATE in a series of times means that day, a time in a series of days its day.
        if value.is_date() || master.is_some_and(|master| master.all_day) {
            self.days.insert(value.civil().date());
        } else {
            self.instants.insert(instant_beside(value, master, zones, default));
        }
    }

    fn contain(&self, beat: &Beat) -> bool {
        self.instants.contains(&beat.instant) || self.days.contains(&beat.local.date())
    }
}

/// The instant of a value of the same set: what says no zone is in the master's.
fn instant_beside(value: &DateOrTime, master: Option<&Timing>, zones: &Zones, default: &Zone) -> Timestamp {
    match (value, master) {
        (DateOrTime::Floating(_) | DateOrTime::Date(_), Some(master)) => instant_of(value, &master.zone),
        _ => instant_of(value, &zone_of(value, zones, default).0),
    }
}

impl<'a> Set<'a> {
    pub(super) fn of(object: &'a Object, default: &Zone) -> Self {
        let zones = Zones::of(object);
        let mut members: Vec<Member<'a>> = object
            .members()
            .map(|component| Member { component, timing: Timing::of(component, &zones, default), replaces: None })
            .collect();
        let master = members.iter().position(|member| member.component.property("RECURRENCE-ID").is_none());
        let mut gone = Dates::default();
        let timing = master.and_then(|at| members.get(at)).and_then(|member| member.timing.as_ref());
        let mut replacements = Vec::with_capacity(members.len());
        for member in &members {
            let line = member.component.property("RECURRENCE-ID");
            let id = line.and_then(|line| DateOrTime::parse(line).ok());
            if let Some(id) = &id {
                gone.add(id, timing, &zones, default);
            }
            replacements.push(id.map(|id| Replaces {
                instant: instant_beside(&id, timing, &zones, default),
                and_future: line.is_some_and(is_and_future),
                id,
            }));
        }
        if let Some(master) = master.and_then(|at| members.get(at)) {
            for value in master.component.all("EXDATE").flat_map(|line| DateOrTime::parse_all(line).unwrap_or_default())
            {
                gone.add(&value, timing, &zones, default);
            }
        }
        for (member, replaces) in members.iter_mut().zip(replacements) {
            member.replaces = replaces;
        }
        Self { members, zones, default: default.clone(), master, gone }
    }

    pub(super) fn zones(&self) -> &Zones {
        &self.zones
    }

    pub(super) fn timings(&self) -> impl Iterator<Item = (&'a Component, Option<&Timing>)> {
        self.members.iter().map(|member| (member.component, member.timing.as_ref()))
    }

    /// Whether there is more than one occurrence to tell apart.
    pub(super) fn recurs(&self) -> bool {
        self.members.iter().any(|member| member.replaces.is_some() || recurs(member.component))
    }

    /// Whether a member must be known to whoever looks at `range`: it is the master, or it or the date that it replaces
    /// overlaps it, or it changes dates that may.
    pub(super) fn concerns(&self, number: usize, range: &TimeRange) -> bool {
        let Some(member) = self.members.get(number) else { return false };
        let Some(replaces) = &member.replaces else { return true };
        let master = self.master.and_then(|at| self.members.get(at)).and_then(|master| master.timing.as_ref());
        let was_there = master.or(member.timing.as_ref()).is_some_and(|timing| {
            range.overlaps(replaces.instant, timing.end(timing.zone.to_civil(replaces.instant), replaces.instant))
        });
        let now = member.timing.as_ref();
        let overlaps = now.is_some_and(|now| range.overlaps(now.instant, now.end(now.local, now.instant)));
        was_there || overlaps || (replaces.and_future && replaces.instant < range.end)
    }

    /// Whether some override stands for many occurrences.
    pub(super) fn has_and_future(&self) -> bool {
        self.members.iter().any(|member| member.replaces.as_ref().is_some_and(|replaces| replaces.and_future))
    }

    /// Shows every occurrence that may overlap `range`, and some that don't: overrides first, then the master's dates.
    pub(super) fn visit(
        &self,
        range: &TimeRange,
        budget: &mut Budget,
        each: &mut Visitor<'_>,
    ) -> Result<Flow, Overrun> {
        let recurs = self.recurs();
        for (number, member) in self.members.iter().enumerate() {
            let Some(timing) = &member.timing else { continue };
            // Without a master, or beside it, a member stands for itself once.
            if Some(number) == self.master && recurs {
                continue;
            }
            budget.spend(1)?;
            let id = member.replaces.as_ref().map(Id::Written);
            let occurrence = Occurrence {
                component: number,
                member: member.component,
                timing,
                start: timing.instant,
                end: timing.end(timing.local, timing.instant),
                local: timing.local,
                id,
            };
            if each(&occurrence, budget)?.is_break() {
                return Ok(Flow::Break(()));
            }
        }
        if recurs { self.visit_master(range, budget, each) } else { Ok(Flow::Continue(())) }
    }

    fn visit_master(&self, range: &TimeRange, budget: &mut Budget, each: &mut Visitor<'_>) -> Result<Flow, Overrun> {
        let Some((number, master)) = self.master.and_then(|at| Some((at, self.members.get(at)?))) else {
            return Ok(Flow::Continue(()));
        };
        let Some(timing) = &master.timing else { return Ok(Flow::Continue(())) };
        let shifts = self.shifts(timing);
        let reach = shifts.iter().map(Shift::reach).max().unwrap_or(0).max(timing.longest());
        let near = range.widened(reach);
        let mut series = Series { set: self, number, timing, shifts, length: None, each };
        let start = Beat { local: timing.local, instant: timing.instant };
        if series.take(start, budget)?.is_break() {
            return Ok(Flow::Break(()));
        }
        let mut seen = HashSet::from([timing.instant]);
        for (beat, length) in self.dates(master.component, timing) {
            if !seen.insert(beat.instant) || beat.instant < near.start || beat.instant > near.end {
                continue;
            }
            series.length = length;
            if series.take(beat, budget)?.is_break() {
                return Ok(Flow::Break(()));
            }
        }
        series.length = None;
        let rules: Vec<Rule> =
            master.component.all("RRULE").filter_map(|line| Rule::parse(line.value()).ok()).collect();
        let several = rules.len() > 1;
        let anchor = Anchor { local: timing.local, zone: &timing.zone, all_day: timing.all_day };
        for rule in &rules {
            let flow = expand(rule, &anchor, (near.start, near.end), budget, &mut |beat, budget| {
                if beat.instant > near.end {
                    return Ok(Flow::Continue(()));
                }
                let is_new = if several {
                    let is_new = seen.insert(beat.instant);
                    if is_new {
                        budget.keep()?;
                    }
                    is_new
                } else {
                    !seen.contains(&beat.instant)
                };
                if is_new { series.take(beat, budget) } else { Ok(Flow::Continue(())) }
            })?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(Flow::Continue(()))
    }

    /// RDATE, with the length of those that are periods.
    fn dates(&self, master: &Component, timing: &Timing) -> Vec<(Beat, Option<Length>)> {
        let mut dates = Vec::new();
        let beat = |value: &DateOrTime| {
            let instant = instant_beside(value, Some(timing), &self.zones, &self.default);
            Beat { local: timing.zone.to_civil(instant), instant }
        };
        for line in master.all("RDATE") {
            if let Ok(periods) = Period::parse_all(line) {
                dates.extend(periods.iter().map(|period| {
                    let start = beat(period.start());
                    let length = match period {
                        Period::Starting { duration, .. } => Length::of(*duration),
                        Period::Explicit { end, .. } => Length::Exact(beat(end).instant.duration_since(start.instant)),
                    };
                    (start, Some(length))
                }));
            } else if let Ok(values) = DateOrTime::parse_all(line) {
                dates.extend(values.iter().map(|value| (beat(value), None)));
            }
        }
        dates
    }

    /// The overrides for all that follows, by where they begin.
    fn shifts(&self, master: &Timing) -> Vec<Shift<'_>> {
        let mut shifts: Vec<Shift<'_>> = self
            .members
            .iter()
            .enumerate()
            .filter_map(|(number, member)| {
                let replaces = member.replaces.as_ref().filter(|replaces| replaces.and_future)?;
                let timing = member.timing.as_ref()?;
                let from = master.zone.to_civil(replaces.instant);
                let by = timing.zone.to_civil(timing.instant).duration_since(from);
                Some(Shift { from: replaces.instant, by, number, component: member.component, timing })
            })
            .collect();
        shifts.sort_by_key(|shift| shift.from);
        shifts
    }
}

/// Shown each occurrence in turn.
pub(super) type Visitor<'v> = dyn FnMut(&Occurrence<'_>, &mut Budget) -> Result<Flow, Overrun> + 'v;

/// RANGE=THISANDFUTURE: from here on another component, earlier or later by so much.
#[derive(Debug)]
struct Shift<'a> {
    from: Timestamp,
    by: SignedDuration,
    number: usize,
    component: &'a Component,
    timing: &'a Timing,
}

impl Shift<'_> {
    fn reach(&self) -> i64 {
        self.by.abs().as_secs().saturating_add(self.timing.longest())
    }
}

/// The master's dates on their way to the visitor.
struct Series<'s, 'v> {
    set: &'s Set<'s>,
    number: usize,
    timing: &'s Timing,
    shifts: Vec<Shift<'s>>,
    /// The length of the date at hand, if it has one of its own.
    length: Option<Length>,
    each: &'s mut Visitor<'v>,
}

impl Series<'_, '_> {
    fn take(&mut self, beat: Beat, budget: &mut Budget) -> Result<Flow, Overrun> {
        if self.set.gone.contain(&beat) {
            return Ok(Flow::Continue(()));
        }
        budget.spend(1)?;
        let id = Some(Id::Generated { beat, master: self.timing });
        let shift = self.shifts.iter().rev().find(|shift| shift.from <= beat.instant);
        let Some(shift) = shift else {
            let end = match self.length {
                Some(Length::Exact(exact)) => {
                    beat.instant.checked_add(exact).unwrap_or(Timestamp::MAX).max(beat.instant)
                }
                Some(Length::Nominal(days, exact)) => {
                    let local = beat.local.saturating_add(days.clamp(0, 3_000_000).days());
                    self.timing.zone.to_instant(local).checked_add(exact).unwrap_or(Timestamp::MAX).max(beat.instant)
                }
                None => self.timing.end(beat.local, beat.instant),
            };
            let member = self.set.members.get(self.number).map(|member| member.component);
            let Some(member) = member else { return Ok(Flow::Continue(())) };
            let (component, timing) = (self.number, self.timing);
            let occurrence = Occurrence { component, member, timing, start: beat.instant, end, local: beat.local, id };
            return (self.each)(&occurrence, budget);
        };
        let local = beat.local.saturating_add(shift.by);
        let start = shift.timing.zone.to_instant(local);
        let occurrence = Occurrence {
            component: shift.number,
            member: shift.component,
            timing: shift.timing,
            start,
            end: shift.timing.end(local, start),
            local,
            id,
        };
        (self.each)(&occurrence, budget)
    }
}

/// Whether a component has recurrence properties.
pub(super) fn recurs(component: &Component) -> bool {
    component.properties().iter().any(|line| line.is("RRULE") || line.is("RDATE"))
}

fn is_and_future(line: &Property) -> bool {
    line.param("RANGE").is_some_and(|range| range.eq_ignore_ascii_case("THISANDFUTURE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(lines: &str) -> Object {
        let text = format!("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{}\nEND:VCALENDAR\n", lines.trim());
        Object::parse(text.into()).unwrap()
    }

    fn event(lines: &str) -> Object {
        object(&format!("BEGIN:VEVENT\nUID:1\n{}\nEND:VEVENT", lines.trim()))
    }

    fn at(text: &str) -> Timestamp {
        let DateOrTime::Utc(instant) = DateOrTime::parse_value(text, None).unwrap() else { panic!("{text}") };
        instant
    }

    fn range(start: &str, end: &str) -> TimeRange {
        TimeRange { start: at(start), end: at(end) }
    }

    fn starts(object: &Object, range: &TimeRange) -> Vec<String> {
        let found = instances(object, range, &Zone::iana("Europe/Berlin").unwrap(), &mut Budget::request()).unwrap();
        found.iter().map(|instance| DateOrTime::Utc(instance.start).to_string()).collect()
    }

    #[test]
    fn the_examples_of_rfc_5545_and_more() {
        let vectors = include_str!("../../tests/vectors/ical/recurrence.txt");
        let mut seen = 0;
        for case in vectors.split("\n# ").skip(1) {
            let (name, case) = case.split_once('\n').unwrap();
            let (lines, rest) = case.split_once("\nrange: ").unwrap();
            let (window, expected) = rest.split_once("\nexpect:").unwrap();
            let (start, end) = window.split_once(' ').unwrap();
            let expected: Vec<&str> = expected.split_whitespace().collect();
            assert_eq!(starts(&event(lines), &range(start, end)), expected, "{name}");
            seen += 1;
        }
        assert_eq!(seen, 59);
    }

    const YEAR: (&str, &str) = ("20260101T000000Z", "20270101T000000Z");

    /// Name, lines, and the hours of 2026 in UTC.
    const ODD: &[(&str, &str, &[&str])] = &[
        (
            "EXDATE as an instant",
            "DTSTART:20260301T100000Z\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260302T100000Z",
            &["0301T10", "0303T10"],
        ),
        (
            "EXDATE as a day",
            "DTSTART:20260301T100000Z\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE;VALUE=DATE:20260302",
            &["0301T10", "0303T10"],
        ),
        (
            "EXDATE in another zone",
            "DTSTART;TZID=Europe/Berlin:20260301T100000\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE;TZID=America/New_York:20260302T040000",
            &["0301T09", "0303T09"],
        ),
        (
            "EXDATE without a zone",
            "DTSTART;TZID=Europe/Berlin:20260301T100000\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260302T100000",
            &["0301T09", "0303T09"],
        ),
        (
            "EXDATE of another time",
            "DTSTART:20260301T100000Z\nRRULE:FREQ=DAILY;COUNT=2\nEXDATE:20260302T110000Z",
            &["0301T10", "0302T10"],
        ),
        (
            "EXDATE as a time among days",
            "DTSTART;VALUE=DATE:20260301\nRRULE:FREQ=DAILY;COUNT=2\nEXDATE:20260301T000000",
            &["0301T23"],
        ),
        (
            "RDATE once, though it is named twice",
            "DTSTART:20260301T100000Z\nRDATE:20260301T100000Z,20260305T100000Z,20260305T100000Z",
            &["0301T10", "0305T10"],
        ),
        (
            "RDATE as a period",
            "DTSTART:20260301T100000Z\nRDATE;VALUE=PERIOD:20260305T100000Z/PT1H,20260306T100000Z/20260306T120000Z",
            &["0301T10", "0305T10", "0306T10"],
        ),
        (
            "two rules that meet",
            "DTSTART:20260302T100000Z\nRRULE:FREQ=DAILY;COUNT=3\nRRULE:FREQ=WEEKLY;COUNT=2",
            &["0302T10", "0303T10", "0304T10", "0309T10"],
        ),
        (
            "UNTIL as a day",
            "DTSTART;TZID=Europe/Berlin:20260301T100000\nRRULE:FREQ=DAILY;UNTIL=20260302",
            &["0301T09", "0302T09"],
        ),
        (
            "UNTIL as a local time",
            "DTSTART;TZID=Europe/Berlin:20260301T100000\nRRULE:FREQ=DAILY;UNTIL=20260302T100000",
            &["0301T09", "0302T09"],
        ),
        ("UNTIL before the start", "DTSTART:20260301T100000Z\nRRULE:FREQ=DAILY;UNTIL=20250101T000000Z", &["0301T10"]),
        (
            "UNTIL of days as an instant",
            "DTSTART;VALUE=DATE:20260301\nRRULE:FREQ=DAILY;UNTIL=20260302T000000Z",
            &["0228T23", "0301T23"],
        ),
        ("COUNT=0", "DTSTART:20260301T100000Z\nRRULE:FREQ=DAILY;COUNT=0", &["0301T10"]),
        ("INTERVAL=0", "DTSTART:20260301T100000Z\nRRULE:FREQ=DAILY;INTERVAL=0;COUNT=4", &["0301T10"]),
        ("a huge INTERVAL", "DTSTART:20260301T100000Z\nRRULE:FREQ=DAILY;INTERVAL=4000000000", &["0301T10"]),
        (
            "parts twice, X- parts, lower case",
            "DTSTART:20260301T100000Z\nRRULE:freq=daily;COUNT=9;X-A=1;COUNT=2;",
            &["0301T10", "0302T10"],
        ),
        ("no rule at all", "DTSTART:20260301T100000Z\nRRULE:BYDAY=€", &["0301T10"]),
        ("a day that never comes", "DTSTART:20260301T100000Z\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", &["0301T10"]),
        (
            "DTSTART counts, though the rule doesn't give it",
            "DTSTART:20260301T100000Z\nRRULE:FREQ=WEEKLY;BYDAY=WE;COUNT=2",
            &["0301T10", "0304T10"],
        ),
        (
            "hours over the fold are an hour apart",
            "DTSTART;TZID=Europe/Berlin:20261025T010000\nRRULE:FREQ=HOURLY;COUNT=4",
            &["1024T23", "1025T00", "1025T01", "1025T02"],
        ),
        ("a Windows name", "DTSTART;TZID=W. Europe Standard Time:20260701T100000", &["0701T08"]),
        ("a name nobody knows is the asker's zone", "DTSTART;TZID=Nowhere:20260701T100000", &["0701T08"]),
    ];

    #[test]
    fn exceptions_extra_dates_and_odd_rules() {
        for (name, lines, expected) in ODD {
            let expected: Vec<String> = expected.iter().map(|short| format!("2026{short}0000Z")).collect();
            assert_eq!(starts(&event(lines), &range(YEAR.0, YEAR.1)), expected, "{name}");
        }
    }

    const MOVED: &str = "BEGIN:VEVENT\nUID:1\nDTSTART;TZID=Europe/Berlin:20260302T100000\nDTEND;TZID=Europe/Berlin:20260302T110000\nRRULE:FREQ=WEEKLY;COUNT=5\nEND:VEVENT\n";

    #[test]
    fn overrides_stand_for_their_date() {
        let moved = format!(
            "{MOVED}BEGIN:VEVENT\nUID:1\nRECURRENCE-ID:20260309T090000Z\nDTSTART:20260310T150000Z\nDTEND:20260310T160000Z\nEND:VEVENT"
        );
        let found = instances(&object(&moved), &range(YEAR.0, YEAR.1), &Zone::UTC, &mut Budget::request()).unwrap();
        let shown: Vec<(String, usize, String)> = found
            .iter()
            .map(|instance| {
                let start = DateOrTime::Utc(instance.start).to_string();
                (
                    start,
                    instance.component,
                    instance.recurrence_id.as_ref().map(ToString::to_string).unwrap_or_default(),
                )
            })
            .collect();
        let expected = [
            ("20260302T090000Z", 0, "20260302T100000"),
            ("20260310T150000Z", 1, "20260309T090000Z"),
            ("20260316T090000Z", 0, "20260316T100000"),
            ("20260323T090000Z", 0, "20260323T100000"),
            ("20260330T080000Z", 0, "20260330T100000"),
        ];
        let expected: Vec<_> = expected.map(|(start, at, id)| (start.to_owned(), at, id.to_owned())).to_vec();
        assert_eq!(shown, expected);
    }

    #[test]
    fn this_and_future_moves_what_follows() {
        let moved = format!(
            "{MOVED}BEGIN:VEVENT\nUID:1\nRECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Berlin:20260316T100000\nDTSTART;TZID=Europe/Berlin:20260317T120000\nDURATION:PT30M\nEND:VEVENT"
        );
        let found = instances(&object(&moved), &range(YEAR.0, YEAR.1), &Zone::UTC, &mut Budget::request()).unwrap();
        let shown: Vec<(i64, usize)> =
            found.iter().map(|at| (at.end.as_second() - at.start.as_second(), at.component)).collect();
        assert_eq!(shown, [(3600, 0), (3600, 0), (1800, 1), (1800, 1), (1800, 1)]);
        let expected =
            ["20260302T090000Z", "20260309T090000Z", "20260317T110000Z", "20260324T110000Z", "20260331T100000Z"];
        assert_eq!(starts(&object(&moved), &range(YEAR.0, YEAR.1)), expected);
    }

    #[test]
    fn an_override_without_its_master_is_an_instance() {
        let lone = event("RECURRENCE-ID:20260309T090000Z\nDTSTART:20260310T150000Z");
        assert_eq!(starts(&lone, &range(YEAR.0, YEAR.1)), ["20260310T150000Z"]);
        assert!(starts(&lone, &range("20260309T000000Z", "20260310T000000Z")).is_empty());
    }

    #[test]
    fn ends_by_exact_and_by_nominal_length() {
        let end = |lines: &str| {
            let found = instances(
                &event(lines),
                &range(YEAR.0, YEAR.1),
                &Zone::iana("Europe/Berlin").unwrap(),
                &mut Budget::request(),
            );
            DateOrTime::Utc(found.unwrap().last().unwrap().end).to_string()
        };
        let berlin = "DTSTART;TZID=Europe/Berlin:20260328T100000\n";
        assert_eq!(end(&format!("{berlin}DURATION:P1D")), "20260329T080000Z");
        assert_eq!(end(&format!("{berlin}DURATION:PT24H")), "20260329T090000Z");
        assert_eq!(end(&format!("{berlin}DTEND;TZID=Europe/London:20260328T110000")), "20260328T110000Z");
        assert_eq!(end("DTSTART;VALUE=DATE:20260328"), "20260328T230000Z");
        assert_eq!(end("DTSTART;VALUE=DATE:20260328\nDTEND;VALUE=DATE:20260330"), "20260329T220000Z");
        assert_eq!(end("DTSTART:20260328T100000Z\nDTEND:20260328T090000Z"), "20260328T100000Z");
    }

    #[test]
    fn floods_run_out_of_budget_or_are_skipped() {
        let flood = event("DTSTART:19700101T000000Z\nRRULE:FREQ=SECONDLY");
        let day = range("20260301T000000Z", "20260301T000010Z");
        assert_eq!(starts(&flood, &day).len(), 10);
        let ask = |object: &Object, range: &TimeRange| instances(object, range, &Zone::UTC, &mut Budget::request());
        assert_eq!(ask(&flood, &TimeRange::ALL), Err(Overrun));
        let counted = event("DTSTART:19700101T000000Z\nRRULE:FREQ=SECONDLY;BYSECOND=1;COUNT=4000000000");
        assert_eq!(ask(&counted, &day), Err(Overrun));
        let rules = "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30\n".repeat(3);
        let mut small = Budget::new(150_000, 10);
        let hollow = event(&format!("DTSTART:20260101T000000Z\n{rules}"));
        assert_eq!(instances(&hollow, &day, &Zone::UTC, &mut small), Err(Overrun));
        let dense = event(
            "DTSTART:20000101T000000Z\nRRULE:FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=1,2,3,4;BYMINUTE=1,2,3,4;BYSETPOS=-1",
        );
        assert_eq!(starts(&dense, &range(YEAR.0, YEAR.1)), ["20261231T040400Z"]);
    }
}

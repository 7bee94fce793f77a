//! What an index knows about an object in time: [`Spans`], from which most objects can be told apart from a time range
//! (RFC 4791 9.9) without reading them.
//!
//! Invariant: an object that matches a time range has a span that overlaps it. Never fails: what costs too much to
//! enumerate becomes one span without an end.

use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::component::{Component, Object};
use super::instances::{Budget, Overrun, Set, TimeRange};
use super::recur::Flow;
use super::repeat::{Frequency, Rule};
use super::timing::{Timing, instant_of, zone_of};
use super::value::{DateOrTime, Period};
use super::zone::{Zone, Zones};

/// When an object may have to do with a time range, cheap to ask. Admits too much, never too little.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans {
    /// Seconds UTC, half-open, sorted, apart, at most 40; `i64::MIN` and `i64::MAX` are for ever.
    pub spans: Vec<(i64, i64)>,
    pub recurring: bool,
    pub alarms: bool,
}

impl Spans {
    /// Whether an event with these spans surely has an instance that overlaps `range`, in whatever zone floating times are
    /// read. If not, it may still have one. Not for other components: they can match without any instance.
    pub fn surely_overlap(&self, range: &TimeRange) -> bool {
        // A span without an end, and what stands before one of a yearly rule, only say that there may be something.
        if self.spans.last().is_none_or(|last| last.1 == i64::MAX) {
            return false;
        }
        // Spans are wider than the instances that they were made of, but each holds at least one of them whole.
        let (start, end) = (range.start.as_second(), range.end.as_second());
        self.spans.iter().any(|span| start <= span.0 && span.1 <= end)
    }
}

/// The spans of an object.
pub fn summary(object: &Object, budget: &mut Budget) -> Spans {
    let set = Set::of(object, &Zone::UTC);
    let recurring = set.recurs();
    let spans = enumerate(&set, budget).unwrap_or_else(|Overrun| for_ever(&set));
    let alarms = object.members().any(|member| member.child("VALARM").is_some());
    Spans { spans: gathered(spans), recurring, alarms }
}

/// The zone that a floating time is read in is up to 14 hours from UTC.
const FLOATING: i64 = 14 * 3600;
/// The tables of RFC 4791 9.9 let some components touch a range without overlapping it.
const TOUCH: i64 = 1;
const MOST: usize = 40;

fn enumerate(set: &Set<'_>, budget: &mut Budget) -> Result<Vec<(i64, i64)>, Overrun> {
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for (member, timing) in set.timings() {
        spans.extend(timeless(member, timing, set.zones()));
    }
    let range = match endless(set) {
        None => TimeRange::ALL,
        Some(Frequency::Yearly) if !set.has_and_future() => {
            let until = |year: i16| Zone::UTC.to_instant(date(year, 1, 1).at(0, 0, 0, 0));
            let (from, to) = (until(ENUMERATED.0), until(ENUMERATED.1));
            spans.extend(Some((first_start(set), from.as_second())).filter(|(start, end)| start < end));
            spans.push((to.as_second(), i64::MAX));
            TimeRange { start: from, end: to }
        }
        Some(_) => return Err(Overrun),
    };
    let _stopped = set.visit(&range, budget, &mut |occurrence, budget| {
        budget.keep()?;
        spans.push(widened(occurrence.start, occurrence.end, occurrence.timing.is_anchored));
        Ok(Flow::Continue(()))
    })?;
    Ok(spans)
}

/// The years for which endless yearly rules are written out; before and after there is one span.
const ENUMERATED: (i16, i16) = (2018, 2054);

/// The frequency of the densest rule without an end.
fn endless(set: &Set<'_>) -> Option<Frequency> {
    let rules =
        set.timings().flat_map(|(member, _)| member.all("RRULE").filter_map(|line| Rule::parse(line.value()).ok()));
    rules.filter(Rule::is_endless).map(|rule| rule.freq).min()
}

fn for_ever(set: &Set<'_>) -> Vec<(i64, i64)> {
    let start = if set.has_and_future() { i64::MIN } else { first_start(set) };
    vec![(start, i64::MAX)]
}

/// A second before which nothing begins.
fn first_start(set: &Set<'_>) -> i64 {
    let dates = set.timings().flat_map(|(member, _)| member.all("RDATE")).flat_map(|line| {
        let starts = DateOrTime::parse_all(line).unwrap_or_default();
        // Whatever the zone of the date, it is less than a day away.
        starts.into_iter().map(|date| widened(instant_of(&date, &Zone::UTC), Timestamp::MAX, false).0 - FLOATING)
    });
    let starts =
        set.timings().filter_map(|(_, timing)| timing).map(|timing| widened(timing.instant, timing.instant, false).0);
    starts.chain(dates).min().unwrap_or(i64::MIN)
}

fn widened(start: Timestamp, end: Timestamp, is_anchored: bool) -> (i64, i64) {
    let by = if is_anchored { TOUCH } else { FLOATING + TOUCH };
    (start.as_second().saturating_sub(by), end.as_second().saturating_add(by + 1))
}

/// Members that match time ranges by other properties than their start and end.
fn timeless(member: &Component, timing: Option<&Timing>, zones: &Zones) -> Vec<(i64, i64)> {
    let at = |name: &str| {
        let value = member.property(name).and_then(|line| DateOrTime::parse(line).ok())?;
        let (zone, is_anchored) = zone_of(&value, zones, &Zone::UTC);
        let instant = instant_of(&value, &zone);
        Some(widened(instant, instant, is_anchored))
    };
    if member.is("VTODO") && timing.is_none() {
        return vec![match (at("COMPLETED"), at("CREATED")) {
            (Some(one), Some(other)) => (one.0.min(other.0), one.1.max(other.1)),
            (Some(completed), None) => completed,
            (None, Some(created)) => (created.0, i64::MAX),
            (None, None) => (i64::MIN, i64::MAX),
        }];
    }
    if member.is("VFREEBUSY") {
        let lines = member.all("FREEBUSY").filter_map(|line| Period::parse_all(line).ok());
        return lines
            .flatten()
            .map(|period| {
                let (start, end) = period_of(&period, zones, &Zone::UTC);
                widened(start, end, false)
            })
            .collect();
    }
    Vec::new()
}

/// The instants of a period.
pub(super) fn period_of(period: &Period, zones: &Zones, default: &Zone) -> (Timestamp, Timestamp) {
    let instant = |value: &DateOrTime| instant_of(value, &zone_of(value, zones, default).0);
    let start = instant(period.start());
    let end = match period {
        Period::Explicit { end, .. } => instant(end),
        Period::Starting { duration, .. } => {
            start.checked_add(SignedDuration::from_secs(duration.total_seconds())).unwrap_or(Timestamp::MAX)
        }
    };
    (start, end.max(start))
}

/// Sorted, apart, and few: the smallest gaps are given up first.
fn gathered(mut spans: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    spans.sort_unstable();
    let mut apart: Vec<(i64, i64)> = Vec::with_capacity(spans.len());
    for (start, end) in spans {
        match apart.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => apart.push((start, end)),
        }
    }
    if apart.len() <= MOST {
        return apart;
    }
    let mut gaps: Vec<i64> =
        apart.windows(2).filter_map(|two| Some(two.last()?.0.saturating_sub(two.first()?.1))).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    // At most MOST - 1 gaps are wider than this one.
    let widest_closed = gaps.get(MOST - 1).copied().unwrap_or(0);
    let mut few: Vec<(i64, i64)> = Vec::with_capacity(MOST);
    for (start, end) in apart {
        match few.last_mut() {
            Some(last) if start.saturating_sub(last.1) <= widest_closed => last.1 = end,
            _ => few.push((start, end)),
        }
    }
    few
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ical::instances;

    fn event(lines: &str) -> Object {
        let text = format!("BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:1\n{lines}\nEND:VEVENT\nEND:VCALENDAR\n");
        Object::parse(text.into()).unwrap()
    }

    fn spans(lines: &str) -> Vec<(i64, i64)> {
        summary(&event(lines), &mut Budget::object()).spans
    }

    #[test]
    fn every_instance_of_the_vectors_is_in_a_span() {
        let vectors = include_str!("../../tests/vectors/ical/recurrence.txt");
        for case in vectors.split("\n# ").skip(1) {
            let (_, case) = case.split_once('\n').unwrap();
            let (lines, expected) = case.split_once("\nrange: ").unwrap();
            let spans = spans(lines);
            assert!(spans.len() <= MOST && spans.windows(2).all(|two| two[0].1 < two[1].0), "{spans:?}");
            for start in expected.split_once("expect:").unwrap().1.split_whitespace() {
                let start = instant_of(&DateOrTime::parse_value(start, None).unwrap(), &Zone::UTC).as_second();
                assert!(spans.iter().any(|span| span.0 <= start && span.1 > start), "{lines}: {start}");
            }
        }
    }

    #[test]
    fn what_surely_overlaps_does_in_every_zone() {
        let vectors = include_str!("../../tests/vectors/ical/recurrence.txt");
        let zones = ["Pacific/Kiritimati", "Europe/Berlin", "Pacific/Pago_Pago"].map(|name| Zone::iana(name).unwrap());
        let (mut sure, mut asked) = (0, 0);
        for case in vectors.split("\n# ").skip(1) {
            let (lines, _) = case.split_once('\n').unwrap().1.split_once("\nrange: ").unwrap();
            let object = event(lines);
            let known = summary(&object, &mut Budget::object());
            for (start, end) in known.spans.iter().filter(|span| span.0 > -1_000_000_000 && span.1 < 9_000_000_000) {
                for (before, after) in [(0, 0), (-1, 0), (3, 0), (0, 5), (-86_400, 700_000), (50_000, 0)] {
                    let second = |at| Timestamp::from_second(at).unwrap();
                    let (start, end) = (second(start + before), second(end + after));
                    let range = TimeRange { start, end: end.max(start) };
                    asked += 1;
                    if known.surely_overlap(&range) {
                        sure += 1;
                        for zone in &zones {
                            let found = instances(&object, &range, zone, &mut Budget::request()).unwrap();
                            assert!(!found.is_empty(), "{lines} {range:?}");
                        }
                    }
                }
            }
        }
        assert!(sure > 100 && sure < asked, "{sure} of {asked}");
    }

    #[test]
    fn sparse_rules_are_written_out_and_dense_ones_are_not() {
        let once = spans("DTSTART:20260101T100000Z\nDTEND:20260101T110000Z");
        assert_eq!(once, [(1_767_261_599, 1_767_265_202)]);
        assert_eq!(spans("DTSTART:20260101T100000Z\nRRULE:FREQ=MONTHLY;COUNT=12").len(), 12);
        let birthday = spans("DTSTART;VALUE=DATE:19800401\nRRULE:FREQ=YEARLY");
        assert_eq!((birthday.len(), birthday.last().unwrap().1), (38, i64::MAX));
        assert_eq!(spans("DTSTART:20260101T100000Z\nRRULE:FREQ=SECONDLY"), [(1_767_261_599 - FLOATING, i64::MAX)]);
        assert_eq!(spans("DTSTART:20260101T100000Z\nRRULE:FREQ=SECONDLY;COUNT=100000000").last().unwrap().1, i64::MAX);
    }

    #[test]
    fn floating_times_are_admitted_wherever_the_asker_is() {
        let object = event("DTSTART:20260101T100000");
        let admitted = &summary(&object, &mut Budget::object()).spans;
        for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago"] {
            let zone = Zone::iana(zone).unwrap();
            let found = instances(&object, &TimeRange::ALL, &zone, &mut Budget::request()).unwrap();
            let start = found[0].start.as_second();
            assert!(admitted.iter().any(|span| span.0 <= start && span.1 > start));
        }
    }
}

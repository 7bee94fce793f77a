//! When somebody isn't free (RFC 4791 7.10; RFC 5545 3.6.4, 3.8.2.6, 3.2.9).
//!
//! An event takes its time unless it is TRANSPARENT or cancelled; Outlook's own word for it is heard too. Never tells
//! anything else about an event than when.

use bytes::Bytes;
use jiff::Timestamp;

use super::component::{Component, Object, Property};
use super::instances::{Budget, Overrun, Set, TimeRange};
use super::recur::Flow;
use super::spans::period_of;
use super::text::{escape_text, fold_line};
use super::value::{DateOrTime, Period};
use super::zone::Zone;

/// A time that isn't free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    pub start: Timestamp,
    pub end: Timestamp,
    pub kind: BusyKind,
}

/// FBTYPE (RFC 5545 3.2.9), the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BusyKind {
    Tentative,
    Unavailable,
    Busy,
}

impl BusyKind {
    /// The value of FBTYPE.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tentative => "BUSY-TENTATIVE",
            Self::Unavailable => "BUSY-UNAVAILABLE",
            Self::Busy => "BUSY",
        }
    }

    /// What an event makes of its time; `None`: it is free.
    fn of_event(event: &Component) -> Option<Self> {
        let is = |name: &str, value: &str| {
            event.property(name).is_some_and(|line| line.value().trim().eq_ignore_ascii_case(value))
        };
        if is("TRANSP", "TRANSPARENT") || is("STATUS", "CANCELLED") || is(OUTLOOK, "FREE") {
            None
        } else if is(OUTLOOK, "OOF") {
            Some(Self::Unavailable)
        } else if is("STATUS", "TENTATIVE") || is(OUTLOOK, "TENTATIVE") {
            Some(Self::Tentative)
        } else {
            Some(Self::Busy)
        }
    }

    /// What a FREEBUSY property says; kinds that nobody knows are busy (RFC 5545 3.2.9).
    fn of_line(line: &Property) -> Option<Self> {
        let kind = line.param("FBTYPE");
        let is = |name: &str| kind.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case(name));
        if is("FREE") {
            return None;
        }
        let known = [Self::Tentative, Self::Unavailable];
        Some(known.into_iter().find(|known| is(known.name())).unwrap_or(Self::Busy))
    }
}

const OUTLOOK: &str = "X-MICROSOFT-CDO-BUSYSTATUS";

/// The times inside `range` that an object takes.
pub fn busy(object: &Object, range: &TimeRange, default: &Zone, budget: &mut Budget) -> Result<Vec<Busy>, Overrun> {
    let set = Set::of(object, default);
    let mut found = Vec::new();
    let clip = |start: Timestamp, end: Timestamp, kind| {
        let (start, end) = (start.max(range.start), end.min(range.end));
        if start < end { Some(Busy { start, end, kind }) } else { None }
    };
    let _stopped = set.visit(range, budget, &mut |occurrence, budget| {
        if occurrence.member.is("VEVENT")
            && let Some(kind) = BusyKind::of_event(occurrence.member)
            && let Some(busy) = clip(occurrence.start, occurrence.end, kind)
        {
            budget.keep()?;
            found.push(busy);
        }
        Ok(Flow::Continue(()))
    })?;
    for line in object.members().filter(|member| member.is("VFREEBUSY")).flat_map(|member| member.all("FREEBUSY")) {
        let Some(kind) = BusyKind::of_line(line) else { continue };
        for period in Period::parse_all(line).unwrap_or_default() {
            budget.spend(1)?;
            let (start, end) = period_of(&period, set.zones(), default);
            found.extend(clip(start, end, kind));
        }
    }
    Ok(found)
}

/// Sorted and without overlaps; where several overlap, the strongest holds.
pub fn merge_busy(mut busy: Vec<Busy>) -> Vec<Busy> {
    busy.retain(|busy| busy.start < busy.end);
    // Each edge changes how many of its kind hold.
    let mut edges: Vec<(Timestamp, BusyKind, i64)> =
        busy.iter().flat_map(|busy| [(busy.start, busy.kind, 1), (busy.end, busy.kind, -1)]).collect();
    edges.sort_unstable();
    let mut merged: Vec<Busy> = Vec::new();
    let mut open = [(BusyKind::Busy, 0), (BusyKind::Unavailable, 0), (BusyKind::Tentative, 0)];
    let mut since: Option<(Timestamp, BusyKind)> = None;
    for (at, kind, change) in edges {
        for (_, count) in open.iter_mut().filter(|(open, _)| *open == kind) {
            *count += change;
        }
        let holds = open.iter().find(|(_, count)| *count > 0).map(|(kind, _)| *kind);
        if since.map(|(_, kind)| kind) == holds {
            continue;
        }
        if let Some((start, kind)) = since.filter(|(start, _)| *start < at) {
            match merged.last_mut() {
                Some(last) if last.end == start && last.kind == kind => last.end = at,
                _ => merged.push(Busy { start, end: at, kind }),
            }
        }
        since = holds.map(|kind| (at, kind));
    }
    merged
}

/// A whole VCALENDAR with one VFREEBUSY (RFC 4791 7.10, 5545 3.6.4), known by `uid`. `busy` is merged already.
pub fn vfreebusy(uid: &str, busy: &[Busy], range: &TimeRange, now: Timestamp) -> Bytes {
    let mut out = Vec::new();
    let mut line = |line: &str| out.extend(fold_line(line));
    line("BEGIN:VCALENDAR");
    line("VERSION:2.0");
    line("PRODID:-//LinearTime//Gateway//EN");
    line("BEGIN:VFREEBUSY");
    line(&format!("UID:{}", escape_text(uid)));
    line(&format!("DTSTAMP:{}", utc(now)));
    line(&format!("DTSTART:{}", utc(range.start)));
    line(&format!("DTEND:{}", utc(range.end)));
    for kind in [BusyKind::Busy, BusyKind::Unavailable, BusyKind::Tentative] {
        let periods = busy.iter().filter(|busy| busy.kind == kind);
        let periods: Vec<String> = periods.map(|busy| format!("{}/{}", utc(busy.start), utc(busy.end))).collect();
        if !periods.is_empty() {
            line(&format!("FREEBUSY;FBTYPE={}:{}", kind.name(), periods.join(",")));
        }
    }
    line("END:VFREEBUSY");
    line("END:VCALENDAR");
    out.into()
}

fn utc(instant: Timestamp) -> DateOrTime {
    DateOrTime::Utc(instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range() -> TimeRange {
        TimeRange { start: "2026-01-01T00:00:00Z".parse().unwrap(), end: "2026-01-04T00:00:00Z".parse().unwrap() }
    }

    fn shown(lines: &str) -> String {
        let object = Object::parse(format!("BEGIN:VCALENDAR\n{lines}\nEND:VCALENDAR\n").into()).unwrap();
        let busy = merge_busy(busy(&object, &range(), &Zone::UTC, &mut Budget::request()).unwrap());
        let text =
            String::from_utf8(vfreebusy("1", &busy, &range(), range().start).to_vec()).unwrap().replace("\r\n ", "");
        let lines = text.lines().filter_map(|line| line.strip_prefix("FREEBUSY;FBTYPE="));
        lines.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_takes_time_and_what_does_not() {
        let event = |lines: &str| {
            shown(&format!("BEGIN:VEVENT\nUID:1\nDTSTART:20260101T100000Z\nDTEND:20260101T110000Z\n{lines}END:VEVENT"))
        };
        let hour = "20260101T100000Z/20260101T110000Z";
        assert_eq!(event(""), format!("BUSY:{hour}"));
        assert_eq!(event("STATUS:TENTATIVE\n"), format!("BUSY-TENTATIVE:{hour}"));
        assert_eq!(event("X-MICROSOFT-CDO-BUSYSTATUS:OOF\n"), format!("BUSY-UNAVAILABLE:{hour}"));
        for free in ["TRANSP:TRANSPARENT\n", "STATUS:CANCELLED\n", "X-MICROSOFT-CDO-BUSYSTATUS:FREE\n"] {
            assert_eq!(event(free), "");
        }
        assert_eq!(
            event("RRULE:FREQ=DAILY\nEXDATE:20260102T100000Z\n"),
            format!("BUSY:{hour},20260103T100000Z/20260103T110000Z")
        );
    }

    #[test]
    fn freebusy_components_are_clipped_and_merged() {
        let lines = "BEGIN:VFREEBUSY\nUID:1\nFREEBUSY;FBTYPE=BUSY-TENTATIVE:20260101T080000Z/PT4H\nFREEBUSY:20260101T090000Z/PT1H,20260101T100000Z/PT1H,20260103T230000Z/PT9H\nFREEBUSY;FBTYPE=FREE:20260102T000000Z/PT1H\nEND:VFREEBUSY";
        assert_eq!(
            shown(lines),
            "BUSY:20260101T090000Z/20260101T110000Z,20260103T230000Z/20260104T000000Z BUSY-TENTATIVE:20260101T080000Z/20260101T090000Z,20260101T110000Z/20260101T120000Z"
        );
    }
}

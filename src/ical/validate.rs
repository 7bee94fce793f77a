//! May this object be stored? The rules of RFC 4791 4.1 and 5.3.2.1, of RFC 5545 3.6, and our limits.
//!
//! Strict where other programs would stumble, lenient where clients are careless and nothing is lost by it: DTSTAMP,
//! PRODID and a VTIMEZONE for a known zone may be missing, an end may equal its start, dates may lack VALUE=DATE.

use std::collections::HashSet;

use jiff::civil::{Date, date};

use super::component::{Component, ComponentKind, Object, Property};
use super::rule::{RuleDefect, check_rule, count};
use super::text::has_forbidden;
use super::value::{DateOrTime, Duration};

/// How much one object may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the whole resource (`max-resource-size`).
    pub size: usize,
    /// Attendees of one member (`max-attendees-per-instance`).
    pub attendees: usize,
    /// What COUNT of a rule may be (`max-instances`). A series without an end, or with a last day, has no number to compare.
    pub instances: usize,
    pub overrides: usize,
    /// Alarms of one member.
    pub alarms: usize,
    /// EXDATE values of one member, and RDATE values likewise.
    pub dates: usize,
    pub timezones: usize,
    /// `min-date-time`
    pub earliest: Date,
    /// `max-date-time`
    pub latest: Date,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            size: 1024 * 1024,
            attendees: 300,
            instances: 3_000,
            overrides: 500,
            alarms: 20,
            dates: 1_000,
            timezones: 50,
            earliest: date(1900, 1, 1),
            latest: date(2100, 1, 1),
        }
    }
}

/// What is wrong with an object. Holds none of its text, so it may be logged and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    #[error("the object is larger than allowed")]
    TooLarge,
    #[error("the text holds control characters")]
    ControlCharacter,
    #[error("VERSION isn't 2.0")]
    Version,
    #[error("CALSCALE isn't GREGORIAN")]
    Scale,
    #[error("a stored object must not have METHOD")]
    Method,
    #[error("there is no event, task or journal entry in it")]
    Empty,
    #[error("different kinds of component in one object")]
    MixedKinds,
    #[error("a component has no UID")]
    NoUid,
    #[error("a UID is longer than allowed")]
    LongUid,
    #[error("different UIDs in one object")]
    SeveralUids,
    #[error("two components with the same UID and no RECURRENCE-ID")]
    TwoMasters,
    #[error("two components with the same RECURRENCE-ID")]
    DuplicateOverride,
    #[error("an event has no DTSTART")]
    NoStart,
    #[error("{0} is there twice")]
    Twice(&'static str),
    #[error("{0} has no valid value")]
    BadValue(&'static str),
    #[error("both {0} and DURATION")]
    EndAndDuration(&'static str),
    #[error("DURATION is negative")]
    NegativeDuration,
    #[error("{0} is before DTSTART")]
    EndBeforeStart(&'static str),
    #[error(transparent)]
    Rule(#[from] RuleDefect),
    #[error("a VTIMEZONE has no TZID")]
    NoTzid,
    #[error("more attendees than allowed")]
    TooManyAttendees,
    #[error("more instances than allowed")]
    TooManyInstances,
    #[error("more changed instances than allowed")]
    TooManyOverrides,
    #[error("more EXDATE or RDATE values than allowed")]
    TooManyDates,
    #[error("more alarms than allowed")]
    TooManyAlarms,
    #[error("more VTIMEZONEs than allowed")]
    TooManyTimezones,
    #[error("a time before the earliest allowed")]
    TooEarly,
    #[error("a time after the latest allowed")]
    TooLate,
}

/// Which precondition of RFC 4791 5.3.2.1 a [`Defect`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefectClass {
    /// `valid-calendar-data`
    CalendarData,
    /// `valid-calendar-object-resource`
    ObjectResource,
    /// `max-resource-size`
    Size,
    /// `max-instances`
    Instances,
    /// `max-attendees-per-instance`
    Attendees,
    /// `min-date-time`
    Early,
    /// `max-date-time`
    Late,
}

impl Defect {
    pub fn class(self) -> DefectClass {
        match self {
            Self::Method
            | Self::Empty
            | Self::MixedKinds
            | Self::NoUid
            | Self::LongUid
            | Self::SeveralUids
            | Self::TwoMasters
            | Self::DuplicateOverride => DefectClass::ObjectResource,
            Self::TooLarge | Self::TooManyAlarms | Self::TooManyTimezones => DefectClass::Size,
            Self::TooManyInstances | Self::TooManyOverrides | Self::TooManyDates => DefectClass::Instances,
            Self::TooManyAttendees => DefectClass::Attendees,
            Self::TooEarly => DefectClass::Early,
            Self::TooLate => DefectClass::Late,
            _ => DefectClass::CalendarData,
        }
    }
}

impl Object {
    /// Whether this may be a calendar object resource (RFC 4791 4.1) within `limits`. The first defect found.
    pub fn check_resource(&self, limits: &Limits) -> Result<(), Defect> {
        ensure(self.octets().len() <= limits.size, Defect::TooLarge)?;
        ensure(!has_forbidden(self.octets()), Defect::ControlCharacter)?;
        check_calendar(self.root())?;
        check_timezones(self, limits)?;
        check_members(self, limits)?;
        self.members().try_for_each(|member| check_member(member, limits))
    }
}

fn check_calendar(calendar: &Component) -> Result<(), Defect> {
    let version = calendar.property("VERSION").map(|version| version.value().trim());
    ensure(version == Some("2.0"), Defect::Version)?;
    let mut scales = calendar.all("CALSCALE");
    ensure(scales.all(|scale| scale.value().trim().eq_ignore_ascii_case("GREGORIAN")), Defect::Scale)?;
    ensure(calendar.property("METHOD").is_none(), Defect::Method)
}

fn check_timezones(object: &Object, limits: &Limits) -> Result<(), Defect> {
    ensure(object.timezones().count() <= limits.timezones, Defect::TooManyTimezones)?;
    for timezone in object.timezones() {
        ensure(timezone.property("TZID").is_some_and(|tzid| !tzid.value().is_empty()), Defect::NoTzid)?;
        for observance in timezone.children() {
            observance.all("RRULE").try_for_each(|rule| check_rule(rule.value()))?;
        }
    }
    Ok(())
}

/// What holds between the members.
fn check_members(object: &Object, limits: &Limits) -> Result<(), Defect> {
    let first = object.members().next().ok_or(Defect::Empty)?;
    let (mut masters, mut overrides) = (0, HashSet::new());
    for member in object.members() {
        ensure(member.is(first.name()), Defect::MixedKinds)?;
        let uid = once(member, "UID")?.map(Property::text).filter(|uid| !uid.is_empty()).ok_or(Defect::NoUid)?;
        ensure(uid.len() <= LONGEST_UID, Defect::LongUid)?;
        ensure(uid == object.uid(), Defect::SeveralUids)?;
        match moment(member, "RECURRENCE-ID")? {
            Some(id) => ensure(overrides.insert(id), Defect::DuplicateOverride)?,
            None => masters += 1,
        }
    }
    ensure(masters <= 1, Defect::TwoMasters)?;
    ensure(overrides.len() <= limits.overrides, Defect::TooManyOverrides)
}

/// What holds inside of one member.
fn check_member(member: &Component, limits: &Limits) -> Result<(), Defect> {
    let start = moment(member, "DTSTART")?;
    ensure(start.is_some() || ComponentKind::of(member) != ComponentKind::Event, Defect::NoStart)?;
    let duration = once(member, "DURATION")?.map(|property| Duration::parse(property.value()));
    let duration = duration.transpose().map_err(|_| Defect::BadValue("DURATION"))?;
    ensure(duration.is_none_or(|duration| duration.total_seconds() >= 0), Defect::NegativeDuration)?;
    for name in ["DTEND", "DUE"] {
        let end = moment(member, name)?;
        ensure(end.is_none() || duration.is_none(), Defect::EndAndDuration(name))?;
        if let (Some(start), Some(end)) = (&start, &end) {
            ensure(!is_before(end, start), Defect::EndBeforeStart(name))?;
            check_range(end, limits)?;
        }
    }
    if let Some(start) = &start {
        check_range(start, limits)?;
    }
    // Some feeds write an empty rule where there is none.
    if let Some(rule) = once(member, "RRULE")?.filter(|rule| !rule.value().trim().is_empty()) {
        check_rule(rule.value())?;
        ensure(count(rule.value()).is_none_or(|count| count <= limits.instances), Defect::TooManyInstances)?;
    }
    check_dates(member, "EXDATE", limits)?;
    check_dates(member, "RDATE", limits)?;
    ensure(member.all("ATTENDEE").count() <= limits.attendees, Defect::TooManyAttendees)?;
    let alarms = member.children().iter().filter(|child| child.is("VALARM")).count();
    ensure(alarms <= limits.alarms, Defect::TooManyAlarms)
}

fn check_dates(member: &Component, name: &'static str, limits: &Limits) -> Result<(), Defect> {
    let mut count = 0;
    // Some clients leave an empty line behind when the last date is taken out.
    for property in member.all(name).filter(|property| !property.value().trim().is_empty()) {
        let dates = DateOrTime::parse_all(property).map_err(|_| Defect::BadValue(name))?;
        count += dates.len();
        ensure(count <= limits.dates, Defect::TooManyDates)?;
        if name == "RDATE" {
            dates.iter().try_for_each(|date| check_range(date, limits))?;
        }
    }
    Ok(())
}

fn check_range(value: &DateOrTime, limits: &Limits) -> Result<(), Defect> {
    let day = value.civil().date();
    ensure(day >= limits.earliest, Defect::TooEarly)?;
    ensure(day <= limits.latest, Defect::TooLate)
}

/// The value of a property that may be there once.
fn moment(member: &Component, name: &'static str) -> Result<Option<DateOrTime>, Defect> {
    once(member, name)?.map(DateOrTime::parse).transpose().map_err(|_| Defect::BadValue(name))
}

fn once<'a>(member: &'a Component, name: &'static str) -> Result<Option<&'a Property>, Defect> {
    let mut all = member.all(name);
    let first = all.next();
    ensure(all.next().is_none(), Defect::Twice(name))?;
    Ok(first)
}

/// Only said where it can be told without knowing any zone.
fn is_before(end: &DateOrTime, start: &DateOrTime) -> bool {
    let comparable = match (start, end) {
        (DateOrTime::Zoned { tzid: a, .. }, DateOrTime::Zoned { tzid: b, .. }) => a == b,
        _ => std::mem::discriminant(start) == std::mem::discriminant(end),
    };
    comparable && end.civil() < start.civil()
}

fn ensure(holds: bool, defect: Defect) -> Result<(), Defect> {
    if holds { Ok(()) } else { Err(defect) }
}

/// A UID is part of keys in the store.
const LONGEST_UID: usize = 1_000;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn check(text: &str) -> Result<(), Defect> {
        let limits = Limits {
            attendees: 2,
            alarms: 1,
            dates: 3,
            instances: 4,
            overrides: 2,
            timezones: 1,
            size: 4_000,
            ..Limits::default()
        };
        Object::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap().check_resource(&limits)
    }

    fn calendar(inside: &str) -> Result<(), Defect> {
        check(&format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}\r\nEND:VCALENDAR\r\n", inside.replace('\n', "\r\n")))
    }

    fn event(lines: &str) -> Result<(), Defect> {
        calendar(&format!("BEGIN:VEVENT\nUID:1\n{lines}\nEND:VEVENT"))
    }

    #[test]
    fn what_clients_send_is_accepted() {
        for lines in [
            "DTSTART:20250101T100000Z",
            "DTSTART;VALUE=DATE:20250101\nDTEND;VALUE=DATE:20250101\nRRULE:",
            "DTSTART:20250101\nDURATION:P1D\nRRULE:FREQ=DAILY;UNTIL=29991231",
            "DTSTART;TZID=Anywhere:20250101T100000\nDTEND;TZID=Else:20250101T090000",
            "DTSTART:20250101T100000Z\nEXDATE:\nEXDATE:20250102T100000Z,20250103T100000Z\nX-A:\t1",
            "DTSTART:20250101T100000Z\nRDATE;VALUE=PERIOD:20250101T100000Z/PT1H",
        ] {
            assert_eq!(event(lines), Ok(()), "{lines}");
        }
        assert_eq!(calendar("BEGIN:VTODO\nUID:1\nEND:VTODO"), Ok(()));
        assert_eq!(calendar("BEGIN:VJOURNAL\nUID:1\nEND:VJOURNAL\nBEGIN:X-A\nEND:X-A"), Ok(()));
        let only_an_override = "RECURRENCE-ID:20250101T100000Z\nDTSTART:20250101T110000Z";
        assert_eq!(event(only_an_override), Ok(()));
    }

    #[test]
    fn defects_inside_of_an_event() {
        use Defect::*;
        for (lines, defect) in [
            ("SUMMARY:x", NoStart),
            ("DTSTART:soon", BadValue("DTSTART")),
            ("DTSTART:20250101\nDTSTART:20250102", Twice("DTSTART")),
            ("DTSTART:20250102\nDTEND:20250101", EndBeforeStart("DTEND")),
            ("DTSTART;TZID=A:20250101T100000\nDTEND;TZID=A:20250101T090000", EndBeforeStart("DTEND")),
            ("DTSTART:20250101\nDTEND:20250102\nDURATION:P1D", EndAndDuration("DTEND")),
            ("DTSTART:20250101\nDURATION:-P1D", NegativeDuration),
            ("DTSTART:20250101\nDURATION:1D", BadValue("DURATION")),
            ("DTSTART:20250101\nEXDATE:x", BadValue("EXDATE")),
            ("DTSTART:20250101\nRRULE:FREQ=DAILY;BYDAY=€", Rule(RuleDefect::NotAscii)),
            ("DTSTART:20250101\nRRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY", Twice("RRULE")),
            ("DTSTART:20250101\nRRULE:FREQ=DAILY;COUNT=5", TooManyInstances),
            ("DTSTART:18991231", TooEarly),
            ("DTSTART:21000102", TooLate),
            ("DTSTART:20250101\nRDATE:30000101", TooLate),
            ("DTSTART:20250101\nRDATE:20250102,20250103\nRDATE:20250104,20250105", TooManyDates),
            ("DTSTART:20250101\nATTENDEE:a\nATTENDEE:b\nATTENDEE:c", TooManyAttendees),
            ("DTSTART:20250101\nBEGIN:VALARM\nEND:VALARM\nBEGIN:VALARM\nEND:VALARM", TooManyAlarms),
            ("DTSTART:20250101\nX:\u{b}", ControlCharacter),
            ("DTSTART:20250101\nX:a\rb", ControlCharacter),
            ("DTSTART:20250101\nX:\u{ffff}", ControlCharacter),
            ("DTSTART:20250101\nRECURRENCE-ID:x", BadValue("RECURRENCE-ID")),
        ] {
            assert_eq!(event(lines), Err(defect), "{lines}");
        }
        assert_eq!(event(&format!("DTSTART:20250101\nX:{}", "x".repeat(4_000))), Err(TooLarge));
    }

    #[test]
    fn defects_of_the_resource() {
        use Defect::*;
        let one = |uid: &str, more: &str| format!("BEGIN:VEVENT\nUID:{uid}\nDTSTART:20250101\n{more}END:VEVENT\n");
        let zone = "BEGIN:VTIMEZONE\nTZID:A\nEND:VTIMEZONE\n";
        for (inside, defect) in [
            (zone.to_owned(), Empty),
            ("BEGIN:X-ONLY\nEND:X-ONLY".to_owned(), Empty),
            (format!("METHOD:REQUEST\n{}", one("1", "")), Method),
            (format!("CALSCALE:CHINESE\n{}", one("1", "")), Scale),
            (one("1", "") + &one("1", ""), TwoMasters),
            (one("1", "") + &one("2", "RECURRENCE-ID:20250101\n"), SeveralUids),
            (
                one("1", "RECURRENCE-ID:20250101\n") + &one("1", "RECURRENCE-ID;VALUE=DATE:20250101\n"),
                DuplicateOverride,
            ),
            (one("1", "") + "BEGIN:VTODO\nUID:1\nEND:VTODO\n", MixedKinds),
            (one("", ""), NoUid),
            (one(&"u".repeat(1_001), ""), LongUid),
            ([zone, &zone.replace('A', "B"), &one("1", "")].concat(), TooManyTimezones),
            ("BEGIN:VTIMEZONE\nEND:VTIMEZONE\n".to_owned() + &one("1", ""), NoTzid),
            ((1..4).map(|day| one("1", &format!("RECURRENCE-ID:2025010{day}\n"))).collect(), TooManyOverrides),
        ] {
            assert_eq!(calendar(inside.trim_end()), Err(defect), "{inside}");
        }
        assert_eq!(check("BEGIN:VCALENDAR\nVERSION:1.0\nEND:VCALENDAR"), Err(Version));
        assert_eq!(TwoMasters.class(), DefectClass::ObjectResource);
        assert_eq!(NoStart.class(), DefectClass::CalendarData);
    }
}

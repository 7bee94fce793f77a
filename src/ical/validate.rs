//! May this object be stored? The rules of RFC 4791 4.1 and 5.3.2.1, of RFC 5545 3.6, and our limits.
//!
//! Strict where other programs would stumble, lenient where clients are careless and nothing is lost by it: DTSTAMP,
//! PRODID and a VTIMEZONE for a known zone may be missing, an end may equal its start, dates may lack VALUE=DATE.

use std::collections::HashSet;

use jiff::civil::{Date, date};

use super::component::{Component, ComponentKind, Object};
use super::rule::{RuleDefect, check_rule};
use super::value::{DateOrTime, Duration};

/// How much one object may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the whole resource (`max-resource-size`).
    pub size: usize,
    /// Attendees of one member (`max-attendees-per-instance`).
    pub attendees: usize,
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
            Self::TooManyOverrides | Self::TooManyDates => DefectClass::Instances,
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
        ensure(!has_controls(self), Defect::ControlCharacter)?;
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
        let uid = once(member, "UID")?.map(|uid| uid.text()).filter(|uid| !uid.is_empty()).ok_or(Defect::NoUid)?;
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
    if let Some(rule) = once(member, "RRULE")? {
        check_rule(rule.value())?;
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

fn once<'a>(member: &'a Component, name: &'static str) -> Result<Option<&'a super::Property>, Defect> {
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

fn has_controls(object: &Object) -> bool {
    let octets = object.octets();
    let controls = octets.iter().enumerate().any(|(at, &octet)| match octet {
        b'\r' => octets.get(at + 1) != Some(&b'\n'),
        b'\n' | b'\t' => false,
        _ => octet < b' ' || octet == 0x7f,
    });
    // No control characters, yet XML can't carry them.
    controls || [b"\xef\xbf\xbe", b"\xef\xbf\xbf"].iter().any(|bad| octets.windows(3).any(|three| three == *bad))
}

fn ensure(holds: bool, defect: Defect) -> Result<(), Defect> {
    if holds { Ok(()) } else { Err(defect) }
}

/// A UID is part of keys in the store.
const LONGEST_UID: usize = 1_000;

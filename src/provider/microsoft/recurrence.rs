//! Recurrence, both ways (RFC 5545 3.3.10; Graph `patternedRecurrence`).
//!
//! Exchange holds fewer rules than iCalendar, and means other days with some of them: 31 is the last day in a short
//! month there, a start that the rule does not hit is no instance, weeks begin on Sunday unless told otherwise.
//! Invariant: what is converted yields the same instances on both sides; all else is a [`Refusal`] with its reason.

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Weekday};

use super::refusal::Refusal;
use super::wire::{Pattern, Range, Recurrence};
use crate::ical::{DateOrTime, Frequency, Rule, Zone};

/// What a rule starts from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start<'a> {
    /// On the wall, in the zone.
    pub(super) local: DateTime,
    pub(super) all_day: bool,
    pub(super) zone: &'a Zone,
    /// The name of the zone in Exchange.
    pub(super) windows: &'a str,
}

/// The value of an RRULE as Graph has it.
pub(super) fn to_graph(rule: &str, start: &Start<'_>) -> Result<Recurrence, Refusal> {
    let rule = Rule::parse(rule).map_err(|_| Refusal::Unreadable)?;
    check_common(&rule)?;
    let mut pattern = match rule.freq {
        Frequency::Daily => daily(&rule)?,
        Frequency::Weekly => weekly(&rule, start)?,
        Frequency::Monthly => monthly(&rule, start)?,
        Frequency::Yearly => yearly(&rule, start)?,
        Frequency::Secondly | Frequency::Minutely | Frequency::Hourly => return Err(Refusal::TooOften),
    };
    pattern.interval = i32::try_from(rule.interval).map_err(|_| Refusal::TooMany)?;
    if !hits(&pattern, start.local.date()) {
        return Err(Refusal::StartOutside);
    }
    Ok(Recurrence { pattern, range: range(&rule, start)? })
}

fn check_common(rule: &Rule) -> Result<(), Refusal> {
    if rule.freq < Frequency::Daily {
        return Err(Refusal::TooOften);
    }
    let table = [
        (!(rule.by_hour.is_empty() && rule.by_minute.is_empty() && rule.by_second.is_empty()), Refusal::TimesOfDay),
        (!rule.by_week_no.is_empty(), Refusal::Weeks),
        (!rule.by_year_day.is_empty(), Refusal::DaysOfYear),
        (rule.by_month_day.len() > 1 && clamped(rule).is_none(), Refusal::SeveralMonthDays),
        (rule.by_month_day.iter().any(|day| *day < 0), Refusal::NegativeMonthDay),
        (!rule.by_month.is_empty() && rule.freq != Frequency::Yearly, Refusal::MonthsOutsideYearly),
        (rule.by_month.len() > 1, Refusal::SeveralMonths),
        (!rule.by_day.is_empty() && !rule.by_month_day.is_empty(), Refusal::WeekdayAndMonthDay),
        (!rule.by_set_pos.is_empty() && rule.by_day.is_empty() && clamped(rule).is_none(), Refusal::Position),
    ];
    table.into_iter().find(|(is_so, _)| *is_so).map_or(Ok(()), |(_, refusal)| Err(refusal))
}

/// The day that Exchange moves to the end of short months, where a rule says just that: `BYMONTHDAY=28,29,30;BYSETPOS=-1`.
fn clamped(rule: &Rule) -> Option<i8> {
    let last = *rule.by_month_day.iter().max()?;
    let mut days = rule.by_month_day.clone();
    days.sort_unstable();
    (last > 28 && rule.by_set_pos == [-1] && days.into_iter().eq(28..=last)).then_some(last)
}

fn daily(rule: &Rule) -> Result<Pattern, Refusal> {
    if !rule.by_month_day.is_empty() {
        return Err(Refusal::WeekdayAndMonthDay);
    }
    if rule.by_day.is_empty() {
        return Ok(Pattern { kind: "daily".to_owned(), ..Pattern::default() });
    }
    // Every day that is one of these is every week on these.
    if rule.interval == 1 && rule.by_set_pos.is_empty() && rule.by_day.iter().all(|(ordinal, _)| *ordinal == 0) {
        return Ok(weekly_on(rule.by_day.iter().map(|(_, day)| *day).collect(), rule.week_start));
    }
    Err(Refusal::Position)
}

fn weekly(rule: &Rule, start: &Start<'_>) -> Result<Pattern, Refusal> {
    if !rule.by_month_day.is_empty() {
        return Err(Refusal::WeekdayAndMonthDay);
    }
    if !rule.by_set_pos.is_empty() || rule.by_day.iter().any(|(ordinal, _)| *ordinal != 0) {
        return Err(Refusal::Position);
    }
    let mut days: Vec<Weekday> = rule.by_day.iter().map(|(_, day)| *day).collect();
    if days.is_empty() {
        days.push(start.local.date().weekday());
    }
    Ok(weekly_on(days, rule.week_start))
}

/// A weekly pattern. The first day of the week is always said: Graph's default is another than iCalendar's.
fn weekly_on(days: Vec<Weekday>, first: Weekday) -> Pattern {
    Pattern {
        kind: "weekly".to_owned(),
        days_of_week: Some(day_names(days)),
        first_day_of_week: Some(day_name(first).to_owned()),
        ..Pattern::default()
    }
}

fn monthly(rule: &Rule, start: &Start<'_>) -> Result<Pattern, Refusal> {
    if rule.by_day.is_empty() {
        let day = clamped(rule).or(rule.by_month_day.first().copied()).unwrap_or(start.local.day());
        if day > 28 && clamped(rule).is_none() {
            return Err(Refusal::LateMonthDay);
        }
        return Ok(Pattern {
            kind: "absoluteMonthly".to_owned(),
            day_of_month: Some(i32::from(day)),
            ..Pattern::default()
        });
    }
    if rule.interval == 1 && rule.by_set_pos.is_empty() && rule.by_day.iter().all(|(ordinal, _)| *ordinal == 0) {
        // Every such weekday of every month is every such weekday.
        return Ok(weekly_on(rule.by_day.iter().map(|(_, day)| *day).collect(), rule.week_start));
    }
    relative(rule, "relativeMonthly")
}

fn yearly(rule: &Rule, start: &Start<'_>) -> Result<Pattern, Refusal> {
    if rule.by_day.is_empty() {
        if rule.by_month.is_empty() && !rule.by_month_day.is_empty() {
            return Err(Refusal::NoMonth);
        }
        let month = rule.by_month.first().copied().unwrap_or(start.local.month());
        let day = clamped(rule).or(rule.by_month_day.first().copied()).unwrap_or(start.local.day());
        // In a common year: 29 February is none of its days.
        if Date::new(2025, month, day).is_err() && clamped(rule).is_none() {
            return Err(Refusal::LateMonthDay);
        }
        return Ok(Pattern {
            kind: "absoluteYearly".to_owned(),
            month: Some(i32::from(month)),
            day_of_month: Some(i32::from(day)),
            ..Pattern::default()
        });
    }
    let month = rule.by_month.first().ok_or(Refusal::NoMonth)?;
    let pattern = relative(rule, "relativeYearly")?;
    Ok(Pattern { month: Some(i32::from(*month)), ..pattern })
}

/// The n-th of some weekdays in a month: `BYDAY=2TU`, or `BYDAY=MO,TU;BYSETPOS=2`.
fn relative(rule: &Rule, kind: &str) -> Result<Pattern, Refusal> {
    let ordinals: Vec<i16> = rule.by_day.iter().map(|(ordinal, _)| *ordinal).collect();
    let plain = ordinals.iter().all(|ordinal| *ordinal == 0);
    let position = match (plain, rule.by_set_pos.as_slice(), ordinals.as_slice()) {
        (true, [position], _) => *position,
        (true, [], _) => return Err(Refusal::EveryWeekday),
        (false, [], [ordinal]) => *ordinal,
        (false, [], _) => return Err(Refusal::MixedOrdinals),
        _ => return Err(Refusal::Position),
    };
    let index = match position {
        1 => "first",
        2 => "second",
        3 => "third",
        4 => "fourth",
        -1 => "last",
        5 if rule.by_set_pos.is_empty() => return Err(Refusal::FifthWeekday),
        _ => return Err(Refusal::Position),
    };
    Ok(Pattern {
        kind: kind.to_owned(),
        days_of_week: Some(day_names(rule.by_day.iter().map(|(_, day)| *day).collect())),
        first_day_of_week: Some(day_name(rule.week_start).to_owned()),
        index: Some(index.to_owned()),
        ..Pattern::default()
    })
}

/// Whether a pattern has an instance on this date, were it the first.
fn hits(pattern: &Pattern, date: Date) -> bool {
    let on_day = || names(pattern).contains(&date.weekday());
    let month = pattern.month.unwrap_or_default() == i32::from(date.month());
    let wanted = pattern.day_of_month.unwrap_or_default();
    let day = wanted == i32::from(date.day());
    let is_last = wanted > i32::from(date.day()) && date.day() == date.days_in_month();
    match pattern.kind.as_str() {
        "daily" => true,
        "weekly" => on_day(),
        "absoluteMonthly" => day || is_last,
        "absoluteYearly" => month && (day || is_last),
        "relativeMonthly" => nth(pattern, date) == Some(date),
        "relativeYearly" => month && nth(pattern, date) == Some(date),
        _ => false,
    }
}

/// The date that a relative pattern means in the month of `date`.
fn nth(pattern: &Pattern, date: Date) -> Option<Date> {
    let days = names(pattern);
    let mut hits: Vec<Date> =
        (1..=date.days_in_month()).filter_map(|day| Date::new(date.year(), date.month(), day).ok()).collect();
    hits.retain(|day| days.contains(&day.weekday()));
    match pattern.index.as_deref()? {
        "first" => hits.first().copied(),
        "second" => hits.get(1).copied(),
        "third" => hits.get(2).copied(),
        "fourth" => hits.get(3).copied(),
        "last" => hits.last().copied(),
        _ => None,
    }
}

#[expect(clippy::assigning_clones, reason = "short texts")]
fn range(rule: &Rule, start: &Start<'_>) -> Result<Range, Refusal> {
    let first = start.local.date();
    let mut range = Range {
        kind: "noEnd".to_owned(),
        start_date: first.to_string(),
        recurrence_time_zone: Some(start.windows.to_owned()),
        ..Range::default()
    };
    if let Some(count) = rule.count {
        range.kind = "numbered".to_owned();
        range.number_of_occurrences = Some(i32::try_from(count).map_err(|_| Refusal::TooMany)?);
    } else if let Some(until) = &rule.until {
        let last = last_date(until, start);
        if last < first {
            return Err(Refusal::NoInstance);
        }
        range.kind = "endDate".to_owned();
        range.end_date = Some(last.to_string());
    }
    Ok(range)
}

/// The last date that may have an instance: an UNTIL before the time of day of the series leaves its date out.
fn last_date(until: &DateOrTime, start: &Start<'_>) -> Date {
    let local = match until {
        DateOrTime::Date(date) => return *date,
        DateOrTime::Utc(instant) if !start.all_day => start.zone.to_civil(*instant),
        other => other.civil(),
    };
    if start.all_day || local.time() >= start.local.time() {
        local.date()
    } else {
        local.date().saturating_sub(1.day())
    }
}

/// A recurrence as the value of an RRULE.
pub(super) fn to_rrule(recurrence: &Recurrence, start: &Start<'_>) -> Result<String, Refusal> {
    let pattern = &recurrence.pattern;
    let interval = pattern.interval.max(1);
    let by_day = |ordinal: &str| {
        let days: Vec<String> = names(pattern).iter().map(|day| format!("{ordinal}{}", short(*day))).collect();
        if days.is_empty() { Err(Refusal::Unreadable) } else { Ok(days.join(",")) }
    };
    let day = || pattern.day_of_month.filter(|day| (1..=31).contains(day)).ok_or(Refusal::Unreadable);
    let month = || pattern.month.filter(|month| (1..=12).contains(month)).ok_or(Refusal::Unreadable);
    let rule = match pattern.kind.as_str() {
        "daily" => "FREQ=DAILY".to_owned(),
        "weekly" => format!("FREQ=WEEKLY;BYDAY={}", by_day("")?),
        "absoluteMonthly" => format!("FREQ=MONTHLY;{}", month_day(day()?)),
        "absoluteYearly" => format!("FREQ=YEARLY;BYMONTH={};{}", month()?, month_day_of(day()?, month()?)),
        "relativeMonthly" => format!("FREQ=MONTHLY;{}", nth_days(pattern, by_day)?),
        "relativeYearly" => format!("FREQ=YEARLY;BYMONTH={};{}", month()?, nth_days(pattern, by_day)?),
        _ => return Err(Refusal::Unreadable),
    };
    let interval_part = if interval > 1 { format!(";INTERVAL={interval}") } else { String::new() };
    let first = pattern.first_day_of_week.as_deref().and_then(day_of).unwrap_or(Weekday::Sunday);
    // With an interval of 1 the first day of the week changes nothing.
    let says_first = pattern.kind == "weekly" && interval > 1 && first != Weekday::Monday;
    let first_part = if says_first { format!(";WKST={}", short(first)) } else { String::new() };
    Ok(format!("{rule}{interval_part}{first_part}{}", end(&recurrence.range, start)?))
}

/// Exchange takes the last day of a short month where there is no 29th, 30th or 31st.
fn month_day(day: i32) -> String {
    if day <= 28 {
        return format!("BYMONTHDAY={day}");
    }
    let days: Vec<String> = (28..=day).map(|day| day.to_string()).collect();
    format!("BYMONTHDAY={};BYSETPOS=-1", days.join(","))
}

fn month_day_of(day: i32, month: i32) -> String {
    let exists =
        i8::try_from(month).ok().zip(i8::try_from(day).ok()).is_some_and(|(m, d)| Date::new(2025, m, d).is_ok());
    if exists { format!("BYMONTHDAY={day}") } else { month_day(day) }
}

fn nth_days(pattern: &Pattern, by_day: impl Fn(&str) -> Result<String, Refusal>) -> Result<String, Refusal> {
    let position = match pattern.index.as_deref() {
        Some("first") | None => "1",
        Some("second") => "2",
        Some("third") => "3",
        Some("fourth") => "4",
        Some("last") => "-1",
        Some(_) => return Err(Refusal::Unreadable),
    };
    if names(pattern).len() == 1 {
        return Ok(format!("BYDAY={}", by_day(position)?));
    }
    Ok(format!("BYDAY={};BYSETPOS={position}", by_day("")?))
}

fn end(range: &Range, start: &Start<'_>) -> Result<String, Refusal> {
    match range.kind.as_str() {
        "noEnd" => Ok(String::new()),
        "numbered" => {
            let count = range.number_of_occurrences.filter(|count| *count > 0).ok_or(Refusal::Unreadable)?;
            Ok(format!(";COUNT={count}"))
        }
        "endDate" => {
            let date: Date =
                range.end_date.as_deref().and_then(|text| text.get(..10)?.parse().ok()).ok_or(Refusal::Unreadable)?;
            if start.all_day {
                return Ok(format!(";UNTIL={}", DateOrTime::Date(date)));
            }
            let last = start.zone.to_instant(date.to_datetime(start.local.time()));
            Ok(format!(";UNTIL={}", DateOrTime::Utc(last)))
        }
        _ => Err(Refusal::Unreadable),
    }
}

/// What of a recurrence counts, for comparing: members that the type does not use are left out.
pub(super) fn canonical(recurrence: &Recurrence) -> String {
    let pattern = &recurrence.pattern;
    let mut days = names(pattern);
    days.sort_unstable_by_key(|day| day.to_sunday_zero_offset());
    let days: Vec<&str> = days.into_iter().map(short).collect();
    let kind = pattern.kind.as_str();
    let interval = pattern.interval.max(1);
    let first = pattern.first_day_of_week.as_deref().and_then(day_of).unwrap_or(Weekday::Sunday);
    let week = if kind == "weekly" && interval > 1 { short(first) } else { "" };
    let days =
        if matches!(kind, "weekly" | "relativeMonthly" | "relativeYearly") { days.join(",") } else { String::new() };
    let index = if kind.starts_with("relative") { pattern.index.as_deref().unwrap_or("first") } else { "" };
    let month = if kind.ends_with("Yearly") { pattern.month.unwrap_or_default() } else { 0 };
    let day = if kind.starts_with("absolute") { pattern.day_of_month.unwrap_or_default() } else { 0 };
    let range = &recurrence.range;
    let end = match range.kind.as_str() {
        "numbered" => range.number_of_occurrences.unwrap_or_default().to_string(),
        "endDate" => range.end_date.as_deref().and_then(|text| text.get(..10)).unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    format!("{kind}/{interval}/{week}/{days}/{index}/{month}/{day}/{}/{end}", range.kind)
}

fn names(pattern: &Pattern) -> Vec<Weekday> {
    pattern.days_of_week.iter().flatten().filter_map(|name| day_of(name)).collect()
}

fn day_names(mut days: Vec<Weekday>) -> Vec<String> {
    days.sort_unstable_by_key(|day| day.to_sunday_zero_offset());
    days.dedup();
    days.into_iter().map(|day| day_name(day).to_owned()).collect()
}

fn day_of(name: &str) -> Option<Weekday> {
    DAYS.iter().find(|(_, long, _)| long.eq_ignore_ascii_case(name)).map(|(day, ..)| *day)
}

fn day_name(day: Weekday) -> &'static str {
    DAYS.iter().find(|(known, ..)| *known == day).map_or("monday", |(_, long, _)| long)
}

fn short(day: Weekday) -> &'static str {
    DAYS.iter().find(|(known, ..)| *known == day).map_or("MO", |(.., short)| short)
}

const DAYS: [(Weekday, &str, &str); 7] = [
    (Weekday::Sunday, "sunday", "SU"),
    (Weekday::Monday, "monday", "MO"),
    (Weekday::Tuesday, "tuesday", "TU"),
    (Weekday::Wednesday, "wednesday", "WE"),
    (Weekday::Thursday, "thursday", "TH"),
    (Weekday::Friday, "friday", "FR"),
    (Weekday::Saturday, "saturday", "SA"),
];

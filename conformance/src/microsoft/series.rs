//! Recurrence as Exchange reckons it, written from Microsoft's description and not from iCalendar: day by day.

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use serde_json::Value;

/// Why a recurrence is refused, in the words of an `ErrorPropertyValidationFailure`.
pub(super) fn defect(recurrence: &Value, start: Date) -> Option<String> {
    let (pattern, range) = (recurrence.get("pattern")?, recurrence.get("range")?);
    let number = |of: &Value, name: &str| of.get(name).and_then(Value::as_i64);
    let kind = pattern.get("type").and_then(Value::as_str).unwrap_or_default();
    if number(pattern, "interval").is_none_or(|interval| interval < 1) {
        return Some("interval must be positive".to_owned());
    }
    let has_days = pattern.get("daysOfWeek").and_then(Value::as_array).is_some_and(|days| !days.is_empty());
    let day = number(pattern, "dayOfMonth").is_some_and(|day| (1..=31).contains(&day));
    let month = number(pattern, "month").is_some_and(|month| (1..=12).contains(&month));
    let complete = match kind {
        "daily" => true,
        // Left out it would be Sunday, which is hardly ever meant.
        "weekly" => has_days && pattern.get("firstDayOfWeek").is_some_and(Value::is_string),
        "absoluteMonthly" => day,
        "relativeMonthly" => has_days && pattern.get("index").is_some(),
        "absoluteYearly" => day && month,
        "relativeYearly" => has_days && month && pattern.get("index").is_some(),
        _ => false,
    };
    if !complete {
        return Some(format!("the pattern {kind} lacks a member"));
    }
    let first = range.get("startDate").and_then(Value::as_str).and_then(|text| text.parse::<Date>().ok());
    if first != Some(start) {
        return Some("startDate must be the date of start".to_owned());
    }
    match range.get("type").and_then(Value::as_str).unwrap_or_default() {
        "noEnd" => None,
        "numbered" if number(range, "numberOfOccurrences").is_some_and(|count| (1..=999).contains(&count)) => None,
        "endDate" if end_date(range).is_some_and(|end| end >= start) => None,
        other => Some(format!("the range {other} lacks a member")),
    }
}

/// The dates of a series up to `last`, at most `most` of them.
pub(super) fn dates(recurrence: &Value, start: Date, last: Date) -> Vec<Date> {
    let (Some(pattern), Some(range)) = (recurrence.get("pattern"), recurrence.get("range")) else { return Vec::new() };
    let count = match range.get("type").and_then(Value::as_str) {
        Some("numbered") => range.get("numberOfOccurrences").and_then(Value::as_u64).unwrap_or(0),
        _ => u64::MAX,
    };
    let last = match range.get("type").and_then(Value::as_str) {
        Some("endDate") => end_date(range).map_or(last, |end| end.min(last)),
        _ => last,
    };
    let mut found = Vec::new();
    let mut date = start;
    while date <= last && (found.len() as u64) < count {
        if is_on(pattern, start, date) {
            found.push(date);
        }
        let Ok(next) = date.tomorrow() else { break };
        date = next;
    }
    found
}

fn is_on(pattern: &Value, start: Date, date: Date) -> bool {
    let number = |name: &str| pattern.get(name).and_then(Value::as_i64).unwrap_or(0);
    let interval = number("interval").max(1);
    let days = (date - start).get_days();
    let months = i64::from(date.year() - start.year()) * 12 + i64::from(date.month() - start.month());
    let years = i64::from(date.year() - start.year());
    let of_month = number("dayOfMonth").min(i64::from(date.days_in_month())) == i64::from(date.day());
    let in_month = number("month") == i64::from(date.month());
    match pattern.get("type").and_then(Value::as_str).unwrap_or_default() {
        "daily" => i64::from(days) % interval == 0,
        "weekly" => {
            let first = day(pattern.get("firstDayOfWeek")).unwrap_or(Weekday::Sunday);
            let week = |date: Date| date.saturating_sub(i64::from(date.weekday().since(first)).days());
            let weeks = i64::from((week(date) - week(start)).get_days()) / 7;
            weeks % interval == 0 && on_weekday(pattern, date)
        }
        "absoluteMonthly" => months % interval == 0 && of_month,
        "relativeMonthly" => months % interval == 0 && is_nth(pattern, date),
        "absoluteYearly" => years % interval == 0 && in_month && of_month,
        "relativeYearly" => years % interval == 0 && in_month && is_nth(pattern, date),
        _ => false,
    }
}

fn on_weekday(pattern: &Value, date: Date) -> bool {
    let days = pattern.get("daysOfWeek").and_then(Value::as_array);
    days.is_some_and(|days| days.iter().any(|name| day(Some(name)) == Some(date.weekday())))
}

fn is_nth(pattern: &Value, date: Date) -> bool {
    if !on_weekday(pattern, date) {
        return false;
    }
    let in_month = |range: std::ops::RangeInclusive<i8>| {
        range
            .filter_map(|day| Date::new(date.year(), date.month(), day).ok())
            .filter(|day| on_weekday(pattern, *day))
            .count()
    };
    let (before, after) = (in_month(1..=date.day()), in_month(date.day()..=date.days_in_month()));
    match pattern.get("index").and_then(Value::as_str).unwrap_or("first") {
        "first" => before == 1,
        "second" => before == 2,
        "third" => before == 3,
        "fourth" => before == 4,
        _ => after == 1,
    }
}

fn day(name: Option<&Value>) -> Option<Weekday> {
    Some(match name?.as_str()? {
        "sunday" => Weekday::Sunday,
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        _ => return None,
    })
}

fn end_date(range: &Value) -> Option<Date> {
    range.get("endDate")?.as_str()?.parse().ok()
}

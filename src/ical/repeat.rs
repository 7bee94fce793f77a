//! The RECUR value (RFC 5545 3.3.10): its grammar, and nothing about time zones.
//!
//! A [`Rule`] is in range in every part, ASCII only, so what expands it can't be fed nonsense (`rrule` panics on some).
//! Lenient where the field is: parts in any order and case, a repeated part (the last one counts), `X-` parts and
//! a trailing semicolon are passed over. INTERVAL=0, and calendars other than GREGORIAN (RFC 7529), are refused.

use jiff::civil::Weekday;

use super::value::DateOrTime;

/// A recurrence rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub freq: Frequency,
    pub interval: u32,
    pub count: Option<u64>,
    /// Of whichever form was written; who expands knows the zone.
    pub until: Option<DateOrTime>,
    pub week_start: Weekday,
    pub by_second: Vec<i8>,
    pub by_minute: Vec<i8>,
    pub by_hour: Vec<i8>,
    /// With the ordinal, 0 for every such day.
    pub by_day: Vec<(i16, Weekday)>,
    pub by_month_day: Vec<i8>,
    pub by_year_day: Vec<i16>,
    pub by_week_no: Vec<i8>,
    pub by_month: Vec<i8>,
    pub by_set_pos: Vec<i16>,
}

/// FREQ, the rarest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Frequency {
    Secondly,
    Minutely,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// Why a rule can't be read. Holds none of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a recurrence rule: {0}")]
pub struct RuleError(&'static str);

impl Rule {
    /// Reads the value of an RRULE.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        if !text.is_ascii() {
            return Err(RuleError("it isn't ASCII"));
        }
        let parts: Vec<(&str, &str)> = text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').map(|(name, value)| (name.trim(), value.trim())))
            .collect::<Option<_>>()
            .ok_or(RuleError("a part has no value"))?;
        let freq = parts.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case("FREQ"));
        let freq = freq.and_then(|(_, value)| Frequency::named(value)).ok_or(RuleError("FREQ"))?;
        let mut rule = Self::every(freq);
        for (name, value) in parts {
            rule.take(&name.to_ascii_uppercase(), value)?;
        }
        rule.check()?;
        Ok(rule)
    }

    /// The rule with nothing but a frequency.
    pub(super) fn every(freq: Frequency) -> Self {
        Self {
            freq,
            interval: 1,
            count: None,
            until: None,
            week_start: Weekday::Monday,
            by_second: Vec::new(),
            by_minute: Vec::new(),
            by_hour: Vec::new(),
            by_day: Vec::new(),
            by_month_day: Vec::new(),
            by_year_day: Vec::new(),
            by_week_no: Vec::new(),
            by_month: Vec::new(),
            by_set_pos: Vec::new(),
        }
    }

    /// Whether it has no end.
    pub fn is_endless(&self) -> bool {
        self.count.is_none() && self.until.is_none()
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), RuleError> {
        match name {
            "FREQ" => {}
            "INTERVAL" => self.interval = digits(value).filter(|n| *n > 0).ok_or(RuleError("INTERVAL"))?,
            "COUNT" => self.count = Some(digits(value).ok_or(RuleError("COUNT"))?),
            "UNTIL" => self.until = Some(DateOrTime::parse_value(value, None).map_err(|_| RuleError("UNTIL"))?),
            "WKST" => self.week_start = weekday(value).ok_or(RuleError("WKST"))?,
            "BYSECOND" => {
                self.by_second = numbers(value, 0, 60).ok_or(RuleError("BYSECOND"))?;
                // A leap second is read as the 59th, as in times.
                self.by_second.iter_mut().for_each(|second| *second = (*second).min(59));
            }
            "BYMINUTE" => self.by_minute = numbers(value, 0, 59).ok_or(RuleError("BYMINUTE"))?,
            "BYHOUR" => self.by_hour = numbers(value, 0, 23).ok_or(RuleError("BYHOUR"))?,
            "BYDAY" => self.by_day = days(value).ok_or(RuleError("BYDAY"))?,
            "BYMONTHDAY" => self.by_month_day = signed(value, 31).ok_or(RuleError("BYMONTHDAY"))?,
            "BYYEARDAY" => self.by_year_day = signed(value, 366).ok_or(RuleError("BYYEARDAY"))?,
            "BYWEEKNO" => self.by_week_no = signed(value, 53).ok_or(RuleError("BYWEEKNO"))?,
            "BYMONTH" => self.by_month = numbers(value, 1, 12).ok_or(RuleError("BYMONTH"))?,
            "BYSETPOS" => self.by_set_pos = signed(value, 366).ok_or(RuleError("BYSETPOS"))?,
            "RSCALE" if value.eq_ignore_ascii_case("GREGORIAN") => {}
            "SKIP" if value.eq_ignore_ascii_case("OMIT") => {}
            name if name.starts_with("X-") => {}
            _ => return Err(RuleError("a part that isn't known")),
        }
        Ok(())
    }

    /// What only makes sense with some frequencies (the table of RFC 5545 3.3.10).
    fn check(&mut self) -> Result<(), RuleError> {
        use Frequency::{Daily, Monthly, Weekly, Yearly};
        if !self.by_week_no.is_empty() && self.freq != Yearly {
            return Err(RuleError("BYWEEKNO without FREQ=YEARLY"));
        }
        if !self.by_year_day.is_empty() && matches!(self.freq, Daily | Weekly | Monthly) {
            return Err(RuleError("BYYEARDAY with this FREQ"));
        }
        if !self.by_month_day.is_empty() && self.freq == Weekly {
            return Err(RuleError("BYMONTHDAY with FREQ=WEEKLY"));
        }
        // An ordinal means nothing elsewhere; clients that write one mean the day.
        if !matches!(self.freq, Monthly | Yearly) || !self.by_week_no.is_empty() {
            self.by_day.iter_mut().for_each(|(ordinal, _)| *ordinal = 0);
        }
        Ok(())
    }
}

impl Frequency {
    fn named(name: &str) -> Option<Self> {
        const NAMES: [(&str, Frequency); 7] = [
            ("SECONDLY", Frequency::Secondly),
            ("MINUTELY", Frequency::Minutely),
            ("HOURLY", Frequency::Hourly),
            ("DAILY", Frequency::Daily),
            ("WEEKLY", Frequency::Weekly),
            ("MONTHLY", Frequency::Monthly),
            ("YEARLY", Frequency::Yearly),
        ];
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, freq)| *freq)
    }
}

/// Digits only; more than fits is as good as for ever.
fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn integer(text: &str) -> Option<i16> {
    let text = text.trim();
    text.strip_prefix('+').unwrap_or(text).parse().ok()
}

/// A comma list of numbers in a range, sorted and each once.
fn list<T: Ord + TryFrom<i16>>(text: &str, accept: impl Fn(i16) -> bool) -> Option<Vec<T>> {
    let read = |item: &str| integer(item).filter(|n| accept(*n)).and_then(|n| T::try_from(n).ok());
    let mut numbers = text.split(',').map(read).collect::<Option<Vec<T>>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    Some(numbers)
}

fn numbers(text: &str, least: i16, most: i16) -> Option<Vec<i8>> {
    list(text, |n| (least..=most).contains(&n))
}

fn signed<T: Ord + TryFrom<i16>>(text: &str, most: i16) -> Option<Vec<T>> {
    list(text, |n| n != 0 && (-most..=most).contains(&n))
}

fn days(text: &str) -> Option<Vec<(i16, Weekday)>> {
    let read = |item: &str| {
        let item = item.trim();
        let (ordinal, day) = item.split_at_checked(item.len().checked_sub(2)?)?;
        let ordinal = if ordinal.is_empty() { 0 } else { integer(ordinal).filter(|n| (-53..=53).contains(n))? };
        Some((ordinal, weekday(day)?))
    };
    let mut days = text.split(',').map(read).collect::<Option<Vec<_>>>()?;
    days.sort_unstable_by_key(|(ordinal, day)| (*ordinal, day.to_monday_zero_offset()));
    days.dedup();
    Some(days)
}

fn weekday(name: &str) -> Option<Weekday> {
    const NAMES: [(&str, Weekday); 7] = [
        ("MO", Weekday::Monday),
        ("TU", Weekday::Tuesday),
        ("WE", Weekday::Wednesday),
        ("TH", Weekday::Thursday),
        ("FR", Weekday::Friday),
        ("SA", Weekday::Saturday),
        ("SU", Weekday::Sunday),
    ];
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, day)| *day)
}
